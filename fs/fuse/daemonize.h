/* SPDX-License-Identifier: MIT */
/* daemonize.h - going to the background, honestly. See daemonize.c. */
#ifndef FS_FUSE_DAEMONIZE_H
#define FS_FUSE_DAEMONIZE_H

#include <stdbool.h>

/* mount(8)'s exit codes. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_USAGE = 1,
	EXIT_SYSTEM = 2,
	EXIT_MOUNT = 32,
};

/*
 * Before any thread exists. In the background mode returns in the child only;
 * the parent waits for the child's verdict and exits with it. Returns 0 or
 * -errno (no process).
 */
int daemonize_start(bool foreground);
/* The start succeeded: the parent may go, and the terminal is let go. From any
 * thread, once. */
void daemonize_ready(void);
/* The start failed with code, what was to say was said on stderr. */
void daemonize_failed(enum exit_code code);

#endif
