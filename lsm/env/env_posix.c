/* SPDX-License-Identifier: MIT */
/*
 * env_posix.c - the operating system as an env: the table of functions, and
 * the system calls as the rest uses them. Any thread may call anything here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/env/env_posix.h"

int posix_open_at(int dirfd, const char *name, int flags, int *fd)
{
	do {
		*fd = openat(dirfd, name, flags | O_CLOEXEC, 0600);
	} while (*fd < 0 && errno == EINTR);
	return *fd < 0 ? -errno : 0;
}

int posix_write_all(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		/* Does not happen on a file; not a reason to spin. */
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int posix_writev_all(int fd, struct iovec *iov, size_t count, uint64_t offset)
{
	while (count > 0) {
		int now = count < IOV_MAX ? (int)count : IOV_MAX;
		ssize_t n = pwritev(fd, iov, now, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* as above */
		offset += (uint64_t)n;
		while (count > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int posix_read_all(int fd, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EUCLEAN;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int posix_fdatasync(int fd)
{
	int ret;

	do {
		ret = fdatasync(fd);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

int posix_close(int fd)
{
	/* Linux frees the descriptor also on EINTR: never close twice. */
	if (close(fd) && errno != EINTR)
		return -errno;
	return 0;
}

const struct env_ops posix_ops = {
	.dir_open = posix_dir_open,
	.dir_close = posix_dir_close,
	.dir_lock = posix_dir_lock,
	.dir_list = posix_dir_list,
	.dir_delete = posix_dir_delete,
	.dir_rename = posix_dir_rename,
	.dir_link = posix_dir_link,
	.dir_sync = posix_dir_sync,
	.dir_space = posix_dir_space,
	.writer_create = posix_writer_create,
	.writer_append = posix_writer_append,
	.writer_finish = posix_writer_finish,
	.writer_abort = posix_writer_abort,
	.direct_open = posix_direct_open,
	.direct_bytes = posix_direct_bytes,
	.direct_write = posix_direct_write,
	.direct_discard = posix_direct_discard,
	.direct_sync = posix_direct_sync,
	.direct_settle = posix_direct_settle,
	.direct_close = posix_direct_close,
	.object_open = posix_object_open,
	.object_close = posix_object_close,
	.object_bytes = posix_object_bytes,
	.object_read = posix_object_read,
	.object_map = posix_object_map,
	.object_map_lost = posix_object_map_lost,
	.object_prefetch = posix_object_prefetch,
	.object_drop = posix_object_drop,
	.log_create = posix_log_create,
	.log_append = posix_log_append,
	.log_sync = posix_log_sync,
	.log_close = posix_log_close,
};

struct lsm_env *lsm_env_posix(void)
{
	static struct lsm_env env = {&posix_ops};

	return &env;
}
