/* SPDX-License-Identifier: MIT */
/*
 * env_sigbus.h - a mapped file that lost a page does not kill the process.
 *
 * Touching a page of a mapping whose file was cut short, or whose disk cannot
 * read or allocate it, raises SIGBUS in the thread that touched it. The guard
 * puts a page of zeros there, remembers that it did so, and the thread goes
 * on. Who uses a guarded mapping asks sigbus_lost() after using the bytes and
 * before believing them.
 *
 * A thread that blocks SIGBUS is not protected: the kernel ends the process.
 */
#ifndef LSM_ENV_ENV_SIGBUS_H
#define LSM_ENV_ENV_SIGBUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sigbus_guard {
	_Atomic uintptr_t start; /* 0: guards nothing at present */
	_Atomic uintptr_t end;
	_Atomic int prot; /* of the page that stands in */
	atomic_bool lost;
	struct sigbus_guard *next_free; /* protected by the registry's mutex */
};

/* A guard that guards nothing yet; the first call installs the handler, which
 * hands every fault that is not ours to the one it found. -ENOMEM, or why the
 * handler could not be installed. */
int sigbus_guard_get(struct sigbus_guard **out);
/* Call before the mapping goes away. NULL is allowed. */
void sigbus_guard_put(struct sigbus_guard *g);

/*
 * Guards [addr, addr + len) from now on, in place of what it guarded before,
 * which may still be mapped but must not be touched any more. prot as in
 * mmap(2). lost stays as it is: once lost, always lost.
 */
void sigbus_guard_set(struct sigbus_guard *g, void *addr, size_t len, int prot);

static inline bool sigbus_lost(const struct sigbus_guard *g)
{
	/* Set by the handler in the thread that read the bytes; for another
	 * thread acquire pairs with the release there. */
	return atomic_load_explicit(&g->lost, memory_order_acquire);
}

#endif
