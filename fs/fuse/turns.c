/* SPDX-License-Identifier: MIT */
/*
 * turns.c - which worker waits for the next request: as few as keep the cores
 * busy, and the one that worked last (leader and followers).
 *
 * The kernel wakes the threads that read /dev/fuse in turn, the one that has
 * slept longest first. With ten of them each request wakes a thread whose core
 * and caches are cold, and requests that one thread would have served one after
 * the other are spread over all. So only a few threads may be in read(2), half
 * as many as there are cores; the others are parked, the last to park is the
 * first to go on.
 *
 * A worker that takes a request leaves the device to the other readers. If
 * there is none, a parked worker must take over when the request will take
 * long, or when more requests are waiting already and requests turned out slow
 * of late (they wait for the disk, and could do so together). Where neither is
 * so, nobody is woken: the request is served sooner than a thread wakes up, and
 * two workers would take a core from the programs. If it takes long after all,
 * the minder, a thread that looks every few milliseconds while there is work,
 * sends a parked worker to read. It also tells awake.c how many requests come.
 *
 * A request that waits for the disk (fsync) is between the two. Where several
 * programs are at work somebody must read meanwhile, also so that syncs meet
 * and share one; where one program waits for its sync, as a database does,
 * there is nothing to read, and each wake-up moves the work to another core.
 * What is better is learned: a worker that was woken and read nothing costs
 * credit, and a request that was waiting when a sync was done earns it.
 *
 * Before a reader goes to sleep it looks for the next request for a moment,
 * as long as that pays: a program that works on the mount comes back within
 * microseconds, and waking a core that has gone idle meanwhile takes longer
 * than most requests. Each miss costs more credit than a hit earns, so a reader
 * that waits in vain soon stops looking, and tries again now and then.
 *
 * The leader/followers pattern is described by Schmidt et al. in "Pattern
 * Languages of Program Design 4" (2000).
 *
 * Workers end by cancellation. A parked one holds no lock, and the place it
 * sleeps in is not its own memory, so a late wake-up finds something there.
 */
#include "fs/fuse/turns.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fuse/awake.h"
#include "lsm/base/sync.h"

#define IDLE_TICKS    100   /* without a request; then the minder sleeps too */
#define LOOK_NS       20000 /* how long a reader looks before it sleeps */
#define SLOW_NS       20000 /* a request that took so long waited */
#define SLOW_CREDIT   8     /* requests that are then handed on */
#define CREDIT_MAX    16
#define MISSED_CREDIT 8 /* a request had to wait for a sync */

struct place {
	struct place *next;
	sem_t go;
};

static struct {
	unsigned limit; /* 0: no turns are taken */
	bool looks;     /* there is another core for the programs */
	struct place *places;
	pthread_t minder;
	struct mutex mutex;
	struct cond minder_cond;
	/* Protected by mutex. */
	unsigned readers; /* in read(2), or sent there */
	uint64_t taken;   /* requests so far */
	int sync_credit;  /* above 0: wake somebody for a sync */
	bool minder_asleep;
	bool stopping;
	struct place *parked; /* the last to park is the first */
	struct place *unused;
	/* Above 0: requests are slow. A hint, and published alone: relaxed. */
	atomic_int slow_credit;
} turns;

/* What this worker did about the sync it serves. */
static __thread enum { SYNC_NONE, SYNC_ALONE, SYNC_HANDED } at_sync;
static __thread uint64_t taken_at_sync;
/* When it took the short request that it serves, or 0. */
static __thread uint64_t short_since;

/* A parked worker that is to read, or NULL. The mutex is held; wake() is for
 * after it, or the one who wakes would sleep again for the mutex. */
static struct place *pick_one(void)
{
	struct place *p = turns.parked;

	if (p) {
		turns.parked = p->next;
		turns.readers++;
	}
	return p;
}

static void wake(struct place *p)
{
	if (p)
		sem_post(&p->go);
}

static void wait_turn(void)
{
	struct place *p = NULL;

	mutex_lock(&turns.mutex);
	if (turns.readers >= turns.limit)
		p = turns.unused;
	if (!p) {
		turns.readers++;
		mutex_unlock(&turns.mutex);
		return;
	}
	turns.unused = p->next;
	p->next = turns.parked;
	turns.parked = p;
	mutex_unlock(&turns.mutex);

	while (sem_wait(&p->go) && errno == EINTR)
		;

	/* Whoever woke us has counted us as a reader. */
	mutex_lock(&turns.mutex);
	p->next = turns.unused;
	turns.unused = p;
	mutex_unlock(&turns.mutex);
}

/* Looks for a request before sleeping for one. */
static void look(int fd)
{
	static __thread int credit = CREDIT_MAX / 2;
	struct pollfd pending = {.fd = fd, .events = POLLIN};
	uint64_t start;

	if (credit <= 0) {
		if (--credit > -CREDIT_MAX)
			return;
		credit = 2;
	}
	start = clock_ns();
	do {
		if (poll(&pending, 1, 0) > 0) {
			if (credit < CREDIT_MAX)
				credit++;
			return;
		}
	} while (clock_ns() - start < LOOK_NS);
	credit -= 2;
}

/* The mutex is held. */
static void earn(int credit)
{
	turns.sync_credit += credit;
	if (turns.sync_credit > CREDIT_MAX)
		turns.sync_credit = CREDIT_MAX;
	else if (turns.sync_credit < 0)
		turns.sync_credit = 0;
}

/* Learns from a short request that is about to be answered. */
static void note_time(void)
{
	uint64_t since = short_since;
	int credit;

	if (!since)
		return;
	short_since = 0;
	credit = atomic_load_explicit(&turns.slow_credit, memory_order_relaxed);
	if (clock_ns() - since > SLOW_NS)
		credit = SLOW_CREDIT;
	else if (credit > 0)
		credit--;
	else
		return;
	atomic_store_explicit(&turns.slow_credit, credit, memory_order_relaxed);
}

/* Whether a request that waits behind a short one is to be read by another. */
static bool is_slow(void)
{
	return atomic_load_explicit(&turns.slow_credit, memory_order_relaxed) >
	       0;
}

void turns_reply(int fd)
{
	struct pollfd pending = {.fd = fd, .events = POLLIN};

	note_time();
	if (at_sync == SYNC_NONE)
		return;
	if (at_sync == SYNC_HANDED) {
		mutex_lock(&turns.mutex);
		earn(turns.taken == taken_at_sync ? -1 : 1);
		mutex_unlock(&turns.mutex);
	} else if (poll(&pending, 1, 0) > 0) {
		mutex_lock(&turns.mutex);
		earn(MISSED_CREDIT);
		mutex_unlock(&turns.mutex);
	}
	at_sync = SYNC_NONE;
}

void turns_wait(int fd)
{
	if (!turns.limit)
		return;
	wait_turn();
	if (turns.looks)
		look(fd);
}

void turns_take(int fd, enum turns_length length)
{
	struct pollfd pending = {.fd = fd, .events = POLLIN};
	struct place *next = NULL;
	bool alone, hand_on;

	if (!turns.limit)
		return;
	mutex_lock(&turns.mutex);
	turns.taken++;
	alone = --turns.readers == 0;
	if (turns.minder_asleep) {
		turns.minder_asleep = false;
		cond_signal(&turns.minder_cond);
	}
	hand_on = alone && (length == TURNS_LONG ||
			    (length == TURNS_SYNC && turns.sync_credit > 0));
	if (hand_on)
		next = pick_one();
	if (length == TURNS_SYNC && alone) {
		at_sync = hand_on ? SYNC_HANDED : SYNC_ALONE;
		taken_at_sync = turns.taken;
	}
	mutex_unlock(&turns.mutex);
	wake(next);
	short_since = length == TURNS_SHORT ? clock_ns() : 0;
	if (length == TURNS_SHORT && !is_slow())
		return;
	if (!alone || hand_on || poll(&pending, 1, 0) <= 0)
		return;
	mutex_lock(&turns.mutex);
	if (turns.readers == 0)
		next = pick_one();
	mutex_unlock(&turns.mutex);
	wake(next);
}

void turns_pass(void)
{
	if (!turns.limit)
		return;
	mutex_lock(&turns.mutex);
	turns.readers--;
	mutex_unlock(&turns.mutex);
}

static void *minder_main(void *arg)
{
	uint64_t seen = 0, taken;
	unsigned idle = 0;

	(void)arg;
	mutex_lock(&turns.mutex);
	while (!turns.stopping) {
		if (idle >= IDLE_TICKS && turns.taken == seen) {
			turns.minder_asleep = true;
			while (turns.minder_asleep && !turns.stopping)
				cond_wait(&turns.minder_cond, &turns.mutex);
			idle = 0;
		} else {
			cond_timedwait(&turns.minder_cond, &turns.mutex,
				       AWAKE_TICK_NS);
		}
		if (turns.taken != seen) {
			idle = 0;
		} else if (turns.readers == 0 && turns.parked) {
			/* For a whole tick nobody has read. */
			wake(pick_one());
			idle = 0;
		} else {
			idle++;
		}
		taken = turns.taken - seen;
		seen = turns.taken;
		mutex_unlock(&turns.mutex);
		awake_tick(taken);
		mutex_lock(&turns.mutex);
	}
	mutex_unlock(&turns.mutex);
	return NULL;
}

int turns_start(unsigned max_threads)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned i;
	int ret;

	turns.places = calloc(max_threads, sizeof(*turns.places));
	if (!turns.places)
		return -ENOMEM;
	for (i = 0; i < max_threads; i++) {
		sem_init(&turns.places[i].go, 0, 0);
		turns.places[i].next = turns.unused;
		turns.unused = &turns.places[i];
	}
	mutex_init(&turns.mutex);
	cond_init(&turns.minder_cond);
	ret = thread_start(&turns.minder, "minder", minder_main, NULL);
	if (ret) {
		free(turns.places);
		return ret;
	}
	turns.sync_credit = CREDIT_MAX / 2;
	turns.looks = cores > 1;
	turns.limit = cores > 3 ? (unsigned)cores / 2 : 1;
	return 0;
}

void turns_stop(void)
{
	if (!turns.limit)
		return;
	mutex_lock(&turns.mutex);
	turns.stopping = true;
	cond_signal(&turns.minder_cond);
	mutex_unlock(&turns.mutex);
	pthread_join(turns.minder, NULL);
	turns.limit = 0;
	free(turns.places);
}
