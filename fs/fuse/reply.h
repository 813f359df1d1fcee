/* SPDX-License-Identifier: MIT */
/*
 * reply.h - replies to the kernel. Each function answers the request once;
 * results are those of fs.h. Any worker thread.
 */
#ifndef FS_FUSE_REPLY_H
#define FS_FUSE_REPLY_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse_lowlevel.h>

#include "fs/fuse/daemon.h"

/* Seconds that the kernel may keep entries and attributes: without end, since
 * nobody else changes them. */
#define REPLY_FOREVER 1e9

static inline struct daemon *daemon_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* 0 or a negative errno; damaged data becomes EIO. */
void reply_result(fuse_req_t req, int result);
/* For a result that changed a directory: with -o dirsync it is made durable
 * before the answer. Returns the result to go on with. */
int reply_dirsync(fuse_req_t req, uint64_t ino, int result);
/* result 0: the entry, which the call that filled attr has counted. */
void reply_entry(fuse_req_t req, int result, const struct fs_attr *attr);
/* The same for CREATE. */
void reply_create(fuse_req_t req, int result, const struct fs_attr *attr,
		  struct fuse_file_info *fi);
void reply_attr(fuse_req_t req, int result, const struct fs_attr *attr);
/* result >= 0: so many bytes of data. */
void reply_data(fuse_req_t req, ssize_t result, const void *data);
/* result >= 0: the data is in pieces. */
void reply_pieces(fuse_req_t req, ssize_t result, const struct fs_pieces *p);
void reply_written(fuse_req_t req, ssize_t result);
/* result >= 0: for size 0 the length only, else so many bytes of data. */
void reply_xattr(fuse_req_t req, ssize_t result, const void *data, size_t size);

/* Of attr, for FUSE. */
void reply_fill_entry(const struct fs_attr *attr, struct fuse_entry_param *e);

/*
 * At least size bytes for the answer that this thread is making, or NULL: no
 * memory. The same memory each time; freed when the thread ends.
 */
void *reply_buffer(size_t size);

#endif
