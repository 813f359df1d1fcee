/* SPDX-License-Identifier: MIT */
/*
 * reply.c - replies to the kernel.
 *
 * A reply with an entry raises the inode's lookup count. Where the kernel does
 * not take the reply (the caller was interrupted), the count is taken back,
 * or an unlinked inode would never be reclaimed.
 */
#include "fs/fuse/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Requests never ask for more than this at once; see conn.c. */
#define BUFFER_BYTES ((size_t)1 << 20)
#define PAGE_BYTES   4096

struct reply_memory {
	void *data;
	size_t size;
};

static pthread_key_t memory_key;
static pthread_once_t memory_once = PTHREAD_ONCE_INIT;
static bool memory_key_made;
static __thread struct reply_memory *memory;

static void free_memory(void *arg)
{
	struct reply_memory *m = arg;

	free(m->data);
	free(m);
}

static void make_key(void)
{
	memory_key_made = !pthread_key_create(&memory_key, free_memory);
}

static struct reply_memory *memory_of_thread(void)
{
	struct reply_memory *m;

	pthread_once(&memory_once, make_key);
	if (!memory_key_made)
		return NULL;
	m = calloc(1, sizeof(*m));
	if (m && pthread_setspecific(memory_key, m)) {
		free(m);
		m = NULL;
	}
	return m;
}

void *reply_buffer(size_t size)
{
	void *data;

	if (!memory)
		memory = memory_of_thread();
	if (!memory)
		return NULL;
	if (memory->size >= size)
		return memory->data;
	if (size < BUFFER_BYTES)
		size = BUFFER_BYTES;
	size = (size + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
	data = aligned_alloc(PAGE_BYTES, size);
	if (!data)
		return NULL;
	free(memory->data);
	memory->data = data;
	memory->size = size;
	return data;
}

static int errno_of(ssize_t result)
{
	if (result >= 0)
		return 0;
	return result == -EUCLEAN ? EIO : (int)-result;
}

void reply_result(fuse_req_t req, int result)
{
	fuse_reply_err(req, errno_of(result));
}

int reply_dirsync(fuse_req_t req, uint64_t ino, int result)
{
	struct daemon *d = daemon_of(req);

	if (result || !d->options->dirsync)
		return result;
	return fs_fsync(d->fs, ino, false);
}

void reply_fill_entry(const struct fs_attr *attr, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = attr->st.st_ino;
	e->generation = attr->generation;
	e->attr = attr->st;
	e->attr_timeout = REPLY_FOREVER;
	e->entry_timeout = REPLY_FOREVER;
}

void reply_entry(fuse_req_t req, int result, const struct fs_attr *attr)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fuse_entry_param e;

	if (result) {
		reply_result(req, result);
		return;
	}
	reply_fill_entry(attr, &e);
	if (fuse_reply_entry(req, &e))
		fs_forget(fs, e.ino, 1);
}

void reply_create(fuse_req_t req, int result, const struct fs_attr *attr,
		  struct fuse_file_info *fi)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fuse_entry_param e;

	if (result) {
		reply_result(req, result);
		return;
	}
	reply_fill_entry(attr, &e);
	if (fuse_reply_create(req, &e, fi))
		fs_forget(fs, e.ino, 1);
}

void reply_attr(fuse_req_t req, int result, const struct fs_attr *attr)
{
	if (result)
		reply_result(req, result);
	else
		fuse_reply_attr(req, &attr->st,
				attr->blocks_to_come ? 0 : REPLY_FOREVER);
}

void reply_data(fuse_req_t req, ssize_t result, const void *data)
{
	if (result < 0)
		fuse_reply_err(req, errno_of(result));
	else
		fuse_reply_buf(req, data, (size_t)result);
}

void reply_pieces(fuse_req_t req, ssize_t result, const struct fs_pieces *p)
{
	if (result < 0)
		fuse_reply_err(req, errno_of(result));
	else if (!p->count)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_iov(req, p->iov, (int)p->count);
}

void reply_written(fuse_req_t req, ssize_t result)
{
	if (result < 0)
		fuse_reply_err(req, errno_of(result));
	else
		fuse_reply_write(req, (size_t)result);
}

void reply_xattr(fuse_req_t req, ssize_t result, const void *data, size_t size)
{
	if (result < 0)
		fuse_reply_err(req, errno_of(result));
	else if (!size)
		fuse_reply_xattr(req, (size_t)result);
	else
		fuse_reply_buf(req, data, (size_t)result);
}
