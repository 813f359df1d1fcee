/* SPDX-License-Identifier: MIT */
/* signals.h - ending by signal, cleanly. See signals.c. */
#ifndef FS_FUSE_SIGNALS_H
#define FS_FUSE_SIGNALS_H

struct daemon;

/* In the main thread, before any thread of the loop: from here on the signals
 * are the signal thread's. */
void signals_block(void);
/* Starts the signal thread; the caller is the thread that runs the loop. 0 or
 * -errno. */
int signals_start(struct daemon *d);
/* Ends it and waits. d->loop_ended has to be set. */
void signals_stop(void);

#endif
