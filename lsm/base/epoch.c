/* SPDX-License-Identifier: MIT */
/*
 * epoch.c - epoch-based reclamation: see epoch.h.
 *
 * There is one global epoch. A pinned thread publishes the epoch it saw; the
 * global epoch moves from e to e + 1 only when every pinned thread has
 * published e. What was retired while the epoch was e may be reclaimed once it
 * is e + 2: every reader that could have found the object had published e + 1
 * at most, and has left.
 *
 * Why two steps are enough: the unlinking store precedes retire()'s seq_cst
 * access to the epoch, which precedes the step to e + 1, which precedes the
 * scan for the step to e + 2. A reader that this scan did not see pinned, or
 * saw pinned at e + 1, published itself after that step, so what it loads
 * afterwards includes the unlinking.
 *
 * Each thread has a record in a list that only grows; the record of a thread
 * that ended is used again. Garbage hangs on the record of the thread that
 * retired it, in a stack that anyone may take, so nothing needs to be handed
 * over when a thread ends and any thread can reclaim for a thread that sleeps.
 * One thread at a time works on the garbage of a record (state is odd then).
 *
 * Running out of memory loses nothing and frees nothing early: a record has a
 * few nodes of its own; when they are in use too, an unpinned caller waits for
 * the readers, and a pinned one for memory.
 */
#include "lsm/base/epoch.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define RESERVE_NODES  16  /* in each record, for when malloc fails */
#define STATIC_RECORDS 64  /* threads that can register without malloc */
#define RETIRE_BATCH   32  /* objects after which reclaiming is tried */
#define UNPIN_INTERVAL 256 /* unpins after which it is tried for others */

struct garbage {
	struct garbage *next;
	void (*fn)(void *arg);
	void *arg;
	uint64_t epoch;        /* global epoch at or after the unlinking */
	atomic_bool *reserved; /* NULL: malloc'ed */
};

struct record {
	/* The epoch this thread is pinned in; 0: not pinned. */
	_Alignas(64) _Atomic uint64_t local;
	/* The owner's alone. */
	unsigned nest;
	unsigned countdown; /* unpins until the next look at the garbage */
	unsigned fresh;     /* retired since the last attempt to reclaim */
	unsigned in_callback;
	uint64_t callback_retires;
	int64_t last_try; /* coarse milliseconds */

	_Alignas(64) atomic_bool used;
	_Atomic(struct garbage *) stack; /* retired, newest first */
	atomic_size_t pending;           /* in stack and queue */
	/* Even: free; odd: someone reclaims. Guards head and tail. */
	_Atomic uint64_t state;
	struct garbage *head, *tail; /* taken from the stack, oldest first */
	struct record *next;         /* constant once published */
	atomic_bool reserve_used[RESERVE_NODES];
	struct garbage reserve[RESERVE_NODES];
};

static _Alignas(64) _Atomic uint64_t global_epoch = 2;
static _Alignas(64) atomic_size_t garbage_count;
static _Atomic(struct record *) records;
static struct record static_records[STATIC_RECORDS];
static atomic_uint static_records_used;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_valid;

static __thread struct record *self __attribute__((tls_model("initial-exec")));

static void pause_thread(unsigned *round)
{
	struct timespec ts = {0, 100000};

	if ((*round)++ < 64)
		sched_yield();
	else
		nanosleep(&ts, NULL);
}

/* ---- thread records ----------------------------------------------------- */

static void record_release(void *arg)
{
	struct record *r = arg;

	assert(!r->nest);
	self = NULL;
	/* Partner: the compare-exchange in record_acquire(). */
	atomic_store_explicit(&r->used, false, memory_order_release);
}

static void key_create(void)
{
	/* Without a key, records of ended threads are not used again. */
	key_valid = !pthread_key_create(&key, record_release);
}

static struct record *record_reuse(void)
{
	struct record *r;
	bool expected;

	/* acquire: partner is the publication in record_new(). */
	for (r = atomic_load_explicit(&records, memory_order_acquire); r;
	     r = r->next) {
		expected = false;
		/* acquire: partner is record_release(). */
		if (!atomic_load_explicit(&r->used, memory_order_relaxed) &&
		    atomic_compare_exchange_strong_explicit(
			    &r->used, &expected, true, memory_order_acquire,
			    memory_order_relaxed))
			return r;
	}
	return NULL;
}

static struct record *record_new(void)
{
	struct record *r = NULL;
	unsigned i;

	i = atomic_load_explicit(&static_records_used, memory_order_relaxed);
	while (i < STATIC_RECORDS) {
		if (atomic_compare_exchange_weak_explicit(
			    &static_records_used, &i, i + 1,
			    memory_order_relaxed, memory_order_relaxed)) {
			r = &static_records[i];
			break;
		}
	}
	if (!r) {
		r = aligned_alloc(64, sizeof(*r));
		if (!r)
			return NULL;
		*r = (struct record){0};
	}
	atomic_init(&r->used, true);
	r->next = atomic_load_explicit(&records, memory_order_relaxed);
	/* release: partners are all walks over the list. A scan for a step of
	 * the epoch that misses this record is earlier than it in the order
	 * of seq_cst operations, because pinning is one. */
	while (!atomic_compare_exchange_weak_explicit(&records, &r->next, r,
						      memory_order_seq_cst,
						      memory_order_relaxed))
		;
	return r;
}

static struct record *record_acquire(void)
{
	unsigned round = 0;
	struct record *r;

	pthread_once(&key_once, key_create);
	for (;;) {
		r = record_reuse();
		if (!r)
			r = record_new();
		if (r)
			break;
		pause_thread(&round);
	}
	r->nest = 0;
	r->countdown = UNPIN_INTERVAL;
	r->fresh = 0;
	r->in_callback = 0;
	r->last_try = 0;
	self = r;
	if (key_valid)
		/* Failing, only the reuse of this record is lost. */
		(void)pthread_setspecific(key, r);
	return r;
}

static inline struct record *record_self(void)
{
	struct record *r = self;

	return __builtin_expect(r != NULL, 1) ? r : record_acquire();
}

/* ---- reclaiming --------------------------------------------------------- */

/* True when the epoch is no longer what it was on entry. */
static bool epoch_advance(void)
{
	/* seq_cst, all of this function: see the top of the file. */
	uint64_t e = atomic_load_explicit(&global_epoch, memory_order_seq_cst);
	struct record *r;
	uint64_t local;

	for (r = atomic_load_explicit(&records, memory_order_seq_cst); r;
	     r = r->next) {
		local = atomic_load_explicit(&r->local, memory_order_seq_cst);
		if (local && local != e)
			return false;
	}
	/* Failing means that someone else made this step. */
	atomic_compare_exchange_strong_explicit(&global_epoch, &e, e + 1,
						memory_order_seq_cst,
						memory_order_seq_cst);
	return true;
}

/* The stack is newest first; the queue wants oldest first. */
static void queue_take_stack(struct record *r)
{
	struct garbage *g, *next, *first = NULL, *last;

	/* acquire: partner is the push in stack_push(). */
	g = atomic_exchange_explicit(&r->stack, NULL, memory_order_acquire);
	last = g;
	for (; g; g = next) {
		next = g->next;
		g->next = first;
		first = g;
	}
	if (!first)
		return;
	if (r->tail)
		r->tail->next = first;
	else
		r->head = first;
	r->tail = last;
}

static void garbage_run(struct record *me, struct garbage *g)
{
	void (*fn)(void *arg) = g->fn;
	void *arg = g->arg;

	if (g->reserved)
		/* release: partner is the acquire in garbage_new(). */
		atomic_store_explicit(g->reserved, false, memory_order_release);
	else
		free(g);
	atomic_fetch_sub_explicit(&garbage_count, 1, memory_order_relaxed);
	me->in_callback++;
	fn(arg);
	me->in_callback--;
}

/* False when another thread is at work on r. */
static bool record_reclaim(struct record *me, struct record *r)
{
	uint64_t state, e;
	struct garbage *g;

	state = atomic_load_explicit(&r->state, memory_order_relaxed);
	/* acquire: partner is the release below. */
	if (state & 1 || !atomic_compare_exchange_strong_explicit(
				 &r->state, &state, state + 1,
				 memory_order_acquire, memory_order_relaxed))
		return false;
	queue_take_stack(r);
	/* After the stack was taken, so that what is in it is not newer. */
	e = atomic_load_explicit(&global_epoch, memory_order_seq_cst);
	while ((g = r->head) && g->epoch + 2 <= e) {
		r->head = g->next;
		if (!r->head)
			r->tail = NULL;
		atomic_fetch_sub_explicit(&r->pending, 1, memory_order_relaxed);
		garbage_run(me, g);
	}
	/* release: partners are the next reclaimer and epoch_barrier(). */
	atomic_store_explicit(&r->state, state + 2, memory_order_release);
	return true;
}

static int64_t coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void reclaim_some(struct record *me)
{
	struct record *r;

	me->fresh = 0;
	me->countdown = UNPIN_INTERVAL;
	/* From this epoch to the one in which it may be reclaimed. */
	if (epoch_advance())
		epoch_advance();
	for (r = atomic_load_explicit(&records, memory_order_acquire); r;
	     r = r->next)
		if (atomic_load_explicit(&r->pending, memory_order_relaxed))
			record_reclaim(me, r);
}

/* ---- the interface ------------------------------------------------------ */

void epoch_pin(void)
{
	struct record *r = record_self();
	uint64_t e;

	if (r->nest++)
		return;
	e = atomic_load_explicit(&global_epoch, memory_order_acquire);
	/* Full barrier between this store and the loads of shared pointers
	 * that follow. Partner: the scan in epoch_advance(). */
#if defined(__x86_64__) || defined(__i386__) || defined(__SANITIZE_THREAD__)
	atomic_exchange_explicit(&r->local, e, memory_order_seq_cst);
#else
	atomic_store_explicit(&r->local, e, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

void epoch_unpin(void)
{
	struct record *r = self;

	assert(r && r->nest);
	if (--r->nest)
		return;
	/* release: partner is the scan in epoch_advance(). */
	atomic_store_explicit(&r->local, 0, memory_order_release);
	if (__builtin_expect(--r->countdown == 0, 0)) {
		r->countdown = UNPIN_INTERVAL;
		if (!r->in_callback &&
		    atomic_load_explicit(&garbage_count, memory_order_relaxed))
			reclaim_some(r);
	}
}

bool epoch_is_pinned(void)
{
	return self && self->nest;
}

static void stack_push(struct record *r, struct garbage *g)
{
	atomic_fetch_add_explicit(&garbage_count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->pending, 1, memory_order_relaxed);
	g->next = atomic_load_explicit(&r->stack, memory_order_relaxed);
	/* release: partner is queue_take_stack(). */
	while (!atomic_compare_exchange_weak_explicit(&r->stack, &g->next, g,
						      memory_order_release,
						      memory_order_relaxed))
		;
}

/* NULL: no memory, and the record's own nodes are all in use. */
static struct garbage *garbage_new(struct record *r)
{
	struct garbage *g = malloc(sizeof(*g));
	int i;

	if (g) {
		g->reserved = NULL;
		return g;
	}
	for (i = 0; i < RESERVE_NODES; i++) {
		/* acquire: partner is garbage_run(). */
		if (!atomic_load_explicit(&r->reserve_used[i],
					  memory_order_acquire)) {
			atomic_store_explicit(&r->reserve_used[i], true,
					      memory_order_relaxed);
			r->reserve[i].reserved = &r->reserve_used[i];
			return &r->reserve[i];
		}
	}
	return NULL;
}

/* An access that orders what the caller did before against every scan. */
static uint64_t epoch_now(void)
{
	return atomic_fetch_add_explicit(&global_epoch, 0,
					 memory_order_seq_cst);
}

static void wait_for_epoch(uint64_t e)
{
	unsigned round = 0;

	while (atomic_load_explicit(&global_epoch, memory_order_seq_cst) < e)
		if (!epoch_advance())
			pause_thread(&round);
}

void epoch_retire(void (*fn)(void *arg), void *arg)
{
	struct record *r = record_self();
	struct garbage *g;
	unsigned round = 0;
	int64_t now;

	r->callback_retires += r->in_callback != 0;
	while (!(g = garbage_new(r))) {
		if (!r->nest) {
			wait_for_epoch(epoch_now() + 2);
			r->in_callback++;
			fn(arg);
			r->in_callback--;
			if (!r->in_callback)
				reclaim_some(r); /* sets nodes free */
			return;
		}
		pause_thread(&round);
	}
	g->fn = fn;
	g->arg = arg;
	g->epoch = epoch_now();
	stack_push(r, g);
	r->fresh++;
	if (r->nest || r->in_callback) {
		if (r->fresh >= RETIRE_BATCH)
			r->countdown = 1; /* at the next unpin */
		return;
	}
	/* At once when retiring is rare: what is retired may be large. */
	now = coarse_ms();
	if (r->fresh >= RETIRE_BATCH || now != r->last_try) {
		r->last_try = now;
		reclaim_some(r);
	}
}

void epoch_barrier(void)
{
	struct record *me = record_self(), *r;
	uint64_t retires, state;
	unsigned round;

	assert(!me->nest && !me->in_callback);
	do {
		/* Again for what the callbacks themselves retired. */
		retires = me->callback_retires;
		wait_for_epoch(epoch_now() + 2);
		for (r = atomic_load_explicit(&records, memory_order_acquire);
		     r; r = r->next) {
			round = 0;
			/* Who was at work may have taken old garbage: the
			 * state must be seen free once. acquire: partner is
			 * the release in record_reclaim(). */
			state = atomic_load_explicit(&r->state,
						     memory_order_acquire);
			while (state & 1 &&
			       atomic_load_explicit(&r->state,
						    memory_order_acquire) ==
				       state)
				pause_thread(&round);
			while (!record_reclaim(me, r))
				pause_thread(&round);
		}
	} while (me->callback_retires != retires);
}
