/* SPDX-License-Identifier: MIT */
/*
 * env_posix_direct.c - an object that is filled at several places at once.
 *
 * Every few MiB the kernel is told to start writing back what it has, as
 * env_posix_writer.c does, so that the sync that a small write waits for finds
 * little of the large ones left to do. Any thread may call anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lsm/env/env_posix.h"

#define WRITEBACK_BYTES ((uint64_t)8 << 20)
/* Parts that are copied on the stack before they are used up. */
#define PARTS_ON_STACK 128

struct posix_direct {
	struct env_direct base;
	int fd;
	uint64_t bytes; /* at open */
	_Atomic uint64_t written;
};

static struct posix_direct *direct_of(struct env_direct *d)
{
	return (struct posix_direct *)d;
}

int posix_direct_open(struct env_dir *dir, const char *name, bool create,
		      struct env_direct **out)
{
	struct posix_dir *pd = posix_dir_of(dir);
	struct posix_direct *d;
	struct stat st;
	int err;

	if (pd->read_only)
		return -EROFS;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->base.ops = dir->ops;
	err = posix_open_at(pd->fd, name,
			    create ? O_WRONLY | O_CREAT | O_EXCL : O_WRONLY,
			    &d->fd);
	if (err) {
		free(d);
		return err;
	}
	if (fstat(d->fd, &st)) {
		err = -errno;
		posix_close(d->fd);
		free(d);
		return err;
	}
	d->bytes = (uint64_t)st.st_size;
	*out = &d->base;
	return 0;
}

uint64_t posix_direct_bytes(struct env_direct *d)
{
	return direct_of(d)->bytes;
}

static void start_writeback(struct posix_direct *d, uint64_t len)
{
	uint64_t before = atomic_fetch_add_explicit(&d->written, len,
						    memory_order_relaxed);

	/* Only advice: an error of the disk comes back from the sync. */
	if (before / WRITEBACK_BYTES != (before + len) / WRITEBACK_BYTES)
		sync_file_range(d->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int posix_direct_write(struct env_direct *direct, uint64_t offset,
		       const struct iovec *iov, size_t count)
{
	struct posix_direct *d = direct_of(direct);
	struct iovec few[PARTS_ON_STACK], *parts = few;
	uint64_t len = 0;
	int err;

	if (count > PARTS_ON_STACK) {
		parts = malloc(count * sizeof(*parts));
		if (!parts)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		parts[i] = iov[i];
		len += iov[i].iov_len;
	}
	err = posix_writev_all(d->fd, parts, count, offset);
	if (parts != few)
		free(parts);
	if (!err)
		start_writeback(d, len);
	return err;
}

void posix_direct_discard(struct env_direct *d, uint64_t offset, uint64_t len)
{
	/* Filesystems that cannot do it keep the bytes; nobody reads them. */
	(void)fallocate(direct_of(d)->fd,
			FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)offset, (off_t)len);
}

int posix_direct_sync(struct env_direct *d)
{
	return posix_fdatasync(direct_of(d)->fd);
}

void posix_direct_settle(struct env_direct *direct)
{
	int fd = direct_of(direct)->fd;

	/* Pages that could not be written are clean for the kernel, and go. So
	 * who reads learns of it, and nobody has to be told here. */
	(void)posix_fdatasync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

void posix_direct_close(struct env_direct *direct)
{
	struct posix_direct *d = direct_of(direct);

	posix_close(d->fd);
	free(d);
}
