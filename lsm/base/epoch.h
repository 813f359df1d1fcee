/* SPDX-License-Identifier: MIT */
/*
 * epoch.h - epoch-based memory reclamation for lock-free readers.
 *
 * A reader brackets its use of shared pointers with epoch_pin() and
 * epoch_unpin(). A writer unlinks an object, so that no new reader can find
 * it, and hands it to epoch_retire(); the callback runs once every thread
 * that was pinned at that moment has unpinned. Source: K. Fraser, Practical
 * lock-freedom, 2004, section 5.2.3.
 *
 * One domain for the process. Pins nest. Threads register themselves on first
 * use and are forgotten when they end. A pin must be short: it never spans
 * I/O, a lock that is held over I/O, or a sleep.
 */
#ifndef LSM_BASE_EPOCH_H
#define LSM_BASE_EPOCH_H

#include <stdbool.h>

void epoch_pin(void);
void epoch_unpin(void);
/* True when the calling thread is pinned; for assertions. */
bool epoch_is_pinned(void);

/* Calls fn(arg) after all present readers have left, from this or another
 * thread, never before the caller's own outermost epoch_unpin(). It is called
 * from within epoch_retire(), an outermost epoch_unpin() or epoch_barrier():
 * so fn may take locks, but not one that is held by a caller of these. fn may
 * pin and retire, and must not call epoch_barrier(). Never fails: without
 * memory it waits. */
void epoch_retire(void (*fn)(void *arg), void *arg);

/* Waits until everything retired before the call has been reclaimed, and what
 * the callbacks it ran retired in turn. The caller must not be pinned. For
 * shutdown and tests. */
void epoch_barrier(void);

#endif
