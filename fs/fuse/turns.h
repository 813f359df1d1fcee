/* SPDX-License-Identifier: MIT */
/* turns.h - which worker waits for the next request. See turns.c. */
#ifndef FS_FUSE_TURNS_H
#define FS_FUSE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* Before the loop. max_threads: of the loop. 0 or -errno. */
int turns_start(unsigned max_threads);
/* After the loop. */
void turns_stop(void);

/* What is known of a request before it is served. */
enum turns_length {
	TURNS_SHORT,
	TURNS_SYNC, /* waits for the disk to have everything */
	TURNS_LONG,
};

/* Around the read of a request from fd. turns_wait() is a cancellation point.
 * turns_take() after it. */
void turns_wait(int fd);
void turns_take(int fd, enum turns_length length);
/* Before the reply. */
void turns_reply(int fd);
/* The read brought nothing. */
void turns_pass(void);

#endif
