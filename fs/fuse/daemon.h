/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - the one object of the process.
 *
 * Filled by main.c and conn_init() before the first request that uses it is
 * served; read by all worker threads afterwards.
 */
#ifndef FS_FUSE_DAEMON_H
#define FS_FUSE_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>

#include "fs/fs.h"
#include "fs/fuse/options.h"

struct fuse_session;

struct daemon {
	const struct options *options;
	struct fs *fs;
	struct fuse_session *session;
	/* Called once, when the mount works (INIT has come). */
	void (*ready)(struct daemon *d);
	bool is_ready; /* it was called; read after the loop */

	/* Agreed with the kernel, see conn.c. */
	bool writeback;
	bool no_open;
	bool no_opendir;

	/* The loop has ended. Set by the main thread, polled by the signal
	 * thread; nothing else is published by it: relaxed. */
	atomic_bool loop_ended;
	/* The mount is detached while its connection lives: nothing is left to
	 * unmount. Set by the signal thread, read after it was joined. */
	bool unmounted;
};

#endif
