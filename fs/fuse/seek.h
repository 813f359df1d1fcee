/* SPDX-License-Identifier: MIT */
/*
 * seek.h - SEEK_DATA and SEEK_HOLE, see seek.c.
 */
#ifndef FS_FUSE_SEEK_H
#define FS_FUSE_SEEK_H

#include "fs/fuse/reply.h"

/* Before and after the loop that serves requests; once. */
void seek_start(struct daemon *d);
void seek_stop(void);
/* Answers the request, now or later. Any worker. */
void seek_request(fuse_req_t req, fuse_ino_t ino, uint64_t offset, int whence);

#endif
