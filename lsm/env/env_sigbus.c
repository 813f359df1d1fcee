/* SPDX-License-Identifier: MIT */
/*
 * env_sigbus.c - the SIGBUS handler and the registry of guarded mappings.
 *
 * The handler may interrupt any thread anywhere, so it takes no lock and calls
 * no library: it walks chunks of atomic slots. Slots are handed out under a
 * mutex, reused, and never freed, so the walk is safe at any time.
 *
 * Why a walk cannot go wrong while other slots change: the mapping that
 * faulted is in use, hence its own slot is stable. Any other slot is believed
 * only when start reads the same before and after end; then both values
 * belonged to one mapping that was live when the fault happened, and live
 * mappings do not overlap.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lsm/env/env_sigbus.h"

#define SLOTS_PER_CHUNK 256

struct chunk {
	_Atomic(struct chunk *) next;
	struct sigbus_guard slots[SLOTS_PER_CHUNK];
};

static _Atomic(struct chunk *) chunks;
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigbus_guard *free_slots; /* protected by registry_mutex */

static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_error;
static struct sigaction previous;
static uintptr_t page_bytes;

/* The mapping that holds addr, or NULL. */
static struct sigbus_guard *find(uintptr_t addr)
{
	struct chunk *c;
	size_t i;

	/* Acquire pairs with the release in add_chunk(). */
	for (c = atomic_load_explicit(&chunks, memory_order_acquire); c;
	     c = atomic_load_explicit(&c->next, memory_order_relaxed)) {
		for (i = 0; i < SLOTS_PER_CHUNK; i++) {
			struct sigbus_guard *g = &c->slots[i];
			uintptr_t start, end;

			/* Acquire pairs with the releases in
			 * sigbus_guard_set(); acquire on end keeps the second
			 * read of start behind it. */
			start = atomic_load_explicit(&g->start,
						     memory_order_acquire);
			if (!start || addr < start)
				continue;
			end = atomic_load_explicit(&g->end,
						   memory_order_acquire);
			if (addr < end &&
			    start == atomic_load_explicit(&g->start,
							  memory_order_relaxed))
				return g;
		}
	}
	return NULL;
}

/* Lets the fault be what it would have been without us. */
static void chain(int sig, siginfo_t *info, void *ctx)
{
	struct sigaction dfl;

	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, info, ctx);
		return;
	}
	if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
		return;
	}
	/* Only a signal somebody sent can be ignored, a fault cannot. */
	if (previous.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	memset(&dfl, 0, sizeof(dfl));
	dfl.sa_handler = SIG_DFL;
	sigaction(SIGBUS, &dfl, NULL);
	/* A fault happens again as we return, with the right address in the
	 * core; a sent signal has to be sent again. */
	if (info->si_code <= 0)
		raise(SIGBUS);
}

static void on_sigbus(int sig, siginfo_t *info, void *ctx)
{
	int saved_errno = errno;
	uintptr_t addr = (uintptr_t)info->si_addr;
	struct sigbus_guard *g = NULL;
	void *page;
	int prot;

	if (info->si_code > 0)
		g = find(addr);
	if (!g) {
		errno = saved_errno;
		chain(sig, info, ctx);
		return;
	}
	/* Before the zeros can be seen; release pairs with sigbus_lost(). */
	atomic_store_explicit(&g->lost, true, memory_order_release);
	prot = atomic_load_explicit(&g->prot, memory_order_relaxed);
	page = mmap((void *)(addr & ~(page_bytes - 1)), page_bytes, prot,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	errno = saved_errno;
	if (page == MAP_FAILED)
		chain(sig, info, ctx);
}

static void install(void)
{
	struct sigaction sa;

	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = on_sigbus;
	/* NODEFER: the previous handler may fault or jump out of the signal. */
	sa.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &previous) || sigaction(SIGBUS, &sa, NULL))
		install_error = -errno;
}

static int add_chunk(void)
{
	struct chunk *c = calloc(1, sizeof(*c));
	size_t i;

	if (!c)
		return -ENOMEM;
	for (i = 0; i < SLOTS_PER_CHUNK; i++) {
		c->slots[i].next_free = free_slots;
		free_slots = &c->slots[i];
	}
	atomic_store_explicit(
		&c->next, atomic_load_explicit(&chunks, memory_order_relaxed),
		memory_order_relaxed);
	/* Release: the zeroed slots are seen with the chunk; see find(). */
	atomic_store_explicit(&chunks, c, memory_order_release);
	return 0;
}

int sigbus_guard_get(struct sigbus_guard **out)
{
	struct sigbus_guard *g;
	int err = 0;

	*out = NULL;
	pthread_once(&install_once, install);
	if (install_error)
		return install_error;
	pthread_mutex_lock(&registry_mutex);
	if (!free_slots)
		err = add_chunk();
	g = free_slots;
	if (!err) {
		free_slots = g->next_free;
		atomic_store_explicit(&g->lost, false, memory_order_relaxed);
		*out = g;
	}
	pthread_mutex_unlock(&registry_mutex);
	return err;
}

void sigbus_guard_put(struct sigbus_guard *g)
{
	if (!g)
		return;
	atomic_store_explicit(&g->start, 0, memory_order_release);
	pthread_mutex_lock(&registry_mutex);
	g->next_free = free_slots;
	free_slots = g;
	pthread_mutex_unlock(&registry_mutex);
}

void sigbus_guard_set(struct sigbus_guard *g, void *addr, size_t len, int prot)
{
	/* Release, all three: find() may read them in another thread; start
	 * is 0 while the rest changes. */
	atomic_store_explicit(&g->start, 0, memory_order_release);
	atomic_store_explicit(&g->prot, prot, memory_order_relaxed);
	atomic_store_explicit(&g->end, (uintptr_t)addr + len,
			      memory_order_release);
	atomic_store_explicit(&g->start, (uintptr_t)addr, memory_order_release);
}
