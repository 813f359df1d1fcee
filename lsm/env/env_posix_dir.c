/* SPDX-License-Identifier: MIT */
/*
 * env_posix_dir.c - a directory of the operating system and its names.
 *
 * The handle is a descriptor of the directory and never changes after it was
 * opened, apart from its lock (env_posix_lock.c); any thread may use it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lsm/env/env_posix.h"

#define COPY_BYTES ((size_t)1 << 18)

static int sync_dir_fd(int fd)
{
	int ret;

	do {
		ret = fsync(fd);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

/* A directory that was just made is a name in its parent. */
static int sync_parent(int fd)
{
	int parent, err;

	err = posix_open_at(fd, "..", O_RDONLY | O_DIRECTORY, &parent);
	if (err)
		return err;
	err = sync_dir_fd(parent);
	posix_close(parent);
	return err;
}

int posix_dir_open(struct lsm_env *env, const char *path, unsigned flags,
		   struct env_dir **out)
{
	struct posix_dir *d;
	bool made = false;
	int err;

	if ((flags & ENV_DIR_CREATE) && !(flags & ENV_DIR_READ_ONLY)) {
		if (mkdir(path, 0700) == 0)
			made = true;
		else if (errno != EEXIST)
			return -errno;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->base.ops = env->ops;
	d->read_only = flags & ENV_DIR_READ_ONLY;
	err = posix_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, &d->fd);
	if (err) {
		free(d);
		return err;
	}
	if (made)
		err = sync_parent(d->fd);
	if (err) {
		posix_dir_close(&d->base);
		return err;
	}
	*out = &d->base;
	return 0;
}

void posix_dir_close(struct env_dir *dir)
{
	struct posix_dir *d = posix_dir_of(dir);

	posix_lock_release(d->lock);
	posix_close(d->fd);
	free(d);
}

int posix_dir_list(struct env_dir *dir,
		   int (*fn)(void *arg, const char *name, uint64_t bytes),
		   void *arg)
{
	struct dirent *e;
	struct stat st;
	int fd, ret;
	DIR *stream;

	/* A descriptor of its own: a dup would share the position with other
	 * listings. */
	ret = posix_open_at(posix_dir_of(dir)->fd, ".", O_RDONLY | O_DIRECTORY,
			    &fd);
	if (ret)
		return ret;
	stream = fdopendir(fd);
	if (!stream) {
		ret = -errno;
		posix_close(fd);
		return ret;
	}
	while (!ret) {
		errno = 0;
		e = readdir(stream);
		if (!e) {
			ret = -errno;
			break;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			/* Deleted while we list: as if it had been before. */
			if (errno != ENOENT)
				ret = -errno;
			continue;
		}
		ret = fn(arg, e->d_name, (uint64_t)st.st_size);
	}
	closedir(stream);
	return ret;
}

int posix_dir_delete(struct env_dir *dir, const char *name)
{
	struct posix_dir *d = posix_dir_of(dir);

	if (d->read_only)
		return -EROFS;
	return unlinkat(d->fd, name, 0) ? -errno : 0;
}

int posix_dir_rename(struct env_dir *dir, const char *from, const char *to)
{
	struct posix_dir *d = posix_dir_of(dir);

	if (d->read_only)
		return -EROFS;
	return renameat(d->fd, from, d->fd, to) ? -errno : 0;
}

static int copy_bytes(int in, int out)
{
	uint64_t offset = 0;
	char *buf = malloc(COPY_BYTES);
	int err = 0;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = pread(in, buf, COPY_BYTES, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		err = posix_write_all(out, buf, (size_t)n, offset);
		if (err)
			break;
		offset += (uint64_t)n;
	}
	free(buf);
	return err;
}

static int copy_file(int from_dir, const char *name, int to_dir)
{
	int in, out, err, close_err;

	err = posix_open_at(from_dir, name, O_RDONLY, &in);
	if (err)
		return err;
	err = posix_open_at(to_dir, name, O_WRONLY | O_CREAT | O_EXCL, &out);
	if (err)
		goto close_in;
	err = copy_bytes(in, out);
	if (!err)
		err = posix_fdatasync(out);
	close_err = posix_close(out);
	if (!err)
		err = close_err;
	if (err)
		unlinkat(to_dir, name, 0);
close_in:
	posix_close(in);
	return err;
}

int posix_dir_link(struct env_dir *dir, const char *name, struct env_dir *to)
{
	struct posix_dir *d = posix_dir_of(dir), *t = posix_dir_of(to);

	if (t->read_only)
		return -EROFS;
	if (linkat(d->fd, name, t->fd, name, 0) == 0)
		return 0;
	switch (errno) {
	case EXDEV:
	case EPERM:
	case EMLINK:
	case ENOSYS:
	case EOPNOTSUPP:
		return copy_file(d->fd, name, t->fd);
	default:
		return -errno;
	}
}

int posix_dir_sync(struct env_dir *dir)
{
	struct posix_dir *d = posix_dir_of(dir);

	return d->read_only ? -EROFS : sync_dir_fd(d->fd);
}

int posix_dir_space(struct env_dir *dir, uint64_t *free_bytes,
		    uint64_t *total_bytes)
{
	struct statvfs v;
	int ret;

	do {
		ret = fstatvfs(posix_dir_of(dir)->fd, &v);
	} while (ret && errno == EINTR);
	if (ret)
		return -errno;
	/* bavail: what root keeps for itself is not for us. */
	*free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	*total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
	return 0;
}
