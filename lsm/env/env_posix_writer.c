/* SPDX-License-Identifier: MIT */
/*
 * env_posix_writer.c - writing an object with few, large, aligned writes.
 *
 * Appends gather in a buffer; a full one is one pwrite. Every few MiB the
 * kernel is told to start writing back what it has, so that the fdatasync of a
 * large table at its end finds little left to do and does not stall the disk
 * for everybody else. The pages stay cached: a table just written is the next
 * one read.
 *
 * One thread appends. The first error stays: nothing is written after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsm/env/env_posix.h"

#define BUF_BYTES       ((size_t)256 << 10)
#define BUF_ALIGN       4096
#define WRITEBACK_BYTES ((uint64_t)4 << 20)

struct posix_writer {
	struct env_writer base;
	struct posix_dir *dir;
	int fd;
	int error;        /* the first one */
	uint64_t written; /* file length: handed to the kernel */
	uint64_t started; /* of that, writeback was asked for */
	size_t fill;      /* of buf */
	unsigned char *buf;
	char *name;
};

static void writer_free(struct posix_writer *w)
{
	free(w->buf);
	free(w->name);
	free(w);
}

int posix_writer_create(struct env_dir *dir, const char *name,
			struct env_writer **out)
{
	struct posix_dir *d = posix_dir_of(dir);
	struct posix_writer *w;
	void *buf = NULL;
	int err;

	if (d->read_only)
		return -EROFS;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->base.ops = dir->ops;
	w->dir = d;
	w->name = strdup(name);
	if (!w->name || posix_memalign(&buf, BUF_ALIGN, BUF_BYTES)) {
		err = -ENOMEM;
		goto fail;
	}
	w->buf = buf;
	err = posix_open_at(d->fd, name, O_WRONLY | O_CREAT | O_EXCL, &w->fd);
	if (err)
		goto fail;
	*out = &w->base;
	return 0;
fail:
	writer_free(w);
	return err;
}

static int write_out(struct posix_writer *w, const void *data, size_t len)
{
	w->error = posix_write_all(w->fd, data, len, w->written);
	if (w->error)
		return w->error;
	w->written += len;
	if (w->written - w->started >= WRITEBACK_BYTES) {
		/* Only advice: an error of the disk comes back from the
		 * fdatasync, and some filesystems do not know the call. */
		sync_file_range(w->fd, (off_t)w->started,
				(off_t)(w->written - w->started),
				SYNC_FILE_RANGE_WRITE);
		w->started = w->written;
	}
	return 0;
}

int posix_writer_append(struct env_writer *writer, const void *data, size_t len)
{
	struct posix_writer *w = (struct posix_writer *)writer;
	const unsigned char *p = data;

	if (w->error)
		return w->error;
	while (len > 0) {
		size_t n = BUF_BYTES - w->fill;

		/* What fills the buffer by itself need not pass through it;
		 * whole buffers only, so that writes stay aligned. */
		if (w->fill == 0 && len >= BUF_BYTES) {
			n = len - len % BUF_BYTES;
			if (write_out(w, p, n))
				return w->error;
			p += n;
			len -= n;
			continue;
		}
		if (n > len)
			n = len;
		memcpy(w->buf + w->fill, p, n);
		w->fill += n;
		p += n;
		len -= n;
		if (w->fill == BUF_BYTES) {
			if (write_out(w, w->buf, BUF_BYTES))
				return w->error;
			w->fill = 0;
		}
	}
	return 0;
}

int posix_writer_finish(struct env_writer *writer)
{
	struct posix_writer *w = (struct posix_writer *)writer;
	int err = w->error, close_err;

	if (!err && w->fill > 0)
		err = write_out(w, w->buf, w->fill);
	if (!err)
		err = posix_fdatasync(w->fd);
	close_err = posix_close(w->fd);
	if (!err)
		err = close_err;
	/* Nobody may take half an object for a whole one, and on a full disk
	 * its space is wanted back at once. */
	if (err)
		unlinkat(w->dir->fd, w->name, 0);
	writer_free(w);
	return err;
}

void posix_writer_abort(struct env_writer *writer)
{
	struct posix_writer *w = (struct posix_writer *)writer;

	posix_close(w->fd);
	unlinkat(w->dir->fd, w->name, 0);
	writer_free(w);
}
