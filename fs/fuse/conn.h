/* SPDX-License-Identifier: MIT */
/* conn.h - what is agreed with the kernel. See conn.c. */
#ifndef FS_FUSE_CONN_H
#define FS_FUSE_CONN_H

#include <stdbool.h>

struct daemon;
struct fuse_conn_info;

/* The kernel's read-ahead: two of the largest requests, so that two workers
 * serve a program that reads in sequence. More reads too much around a random
 * fault of a mapped file. */
#define CONN_READAHEAD_BYTES (2u << 20)

/* The answer to INIT: capabilities into conn, what was granted into d. */
void conn_init(struct daemon *d, struct fuse_conn_info *conn);
/* The kernel's own settings for the mount; what is not permitted stays as it
 * is. After the mount, before the loop. */
void conn_tune(const struct daemon *d);

#endif
