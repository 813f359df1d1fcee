/* SPDX-License-Identifier: MIT */
/*
 * rate_limiter.c - paces background writing: a token bucket.
 *
 * The bucket is kept as a moment: `free_ns`, when everything taken so far will
 * have been paid for. Taking moves it on by the time the bytes cost, and the
 * taker sleeps until it is at most BURST_NS ahead. Sleepers hold no lock, so
 * that takers share the rate in the order they come. A taker never sleeps
 * longer than its own bytes and those before it cost.
 */
#include <stdlib.h>
#include <time.h>

#include "lsm/base/sync.h"
#include "lsm/tree/compact.h"

#define NS_PER_S 1000000000ull
/* How long a taker sleeps before it looks whether it is to stop. */
#define SLICE_NS (NS_PER_S / 50)
/* What an idle limiter saves up. */
#define BURST_NS (NS_PER_S / 10)

struct rate_limiter {
	struct mutex mutex;
	uint64_t bytes_per_second; /* protected by mutex; 0: no limit */
	uint64_t free_ns;          /* protected by mutex */
};

struct rate_limiter *rate_limiter_new(uint64_t bytes_per_second)
{
	struct rate_limiter *r;

	if (!bytes_per_second)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	mutex_init(&r->mutex);
	r->bytes_per_second = bytes_per_second;
	r->free_ns = clock_ns();
	return r;
}

void rate_limiter_set(struct rate_limiter *r, uint64_t bytes_per_second)
{
	mutex_lock(&r->mutex);
	r->bytes_per_second = bytes_per_second;
	mutex_unlock(&r->mutex);
}

void rate_limiter_free(struct rate_limiter *r)
{
	if (!r)
		return;
	mutex_destroy(&r->mutex);
	free(r);
}

static bool is_set(const _Atomic bool *stop)
{
	/* Relaxed: nothing is read on the strength of it. */
	return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

static void sleep_until(uint64_t ns, const _Atomic bool *stop)
{
	uint64_t now = clock_ns();

	while (now < ns && !is_set(stop)) {
		uint64_t next = ns - now < SLICE_NS ? ns : now + SLICE_NS;
		struct timespec t = {.tv_sec = (time_t)(next / NS_PER_S),
				     .tv_nsec = (long)(next % NS_PER_S)};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		now = clock_ns();
	}
}

void rate_limiter_take(struct rate_limiter *r, uint64_t bytes,
		       const _Atomic bool *stop)
{
	uint64_t now, until;

	if (!r || !bytes)
		return;
	now = clock_ns();
	mutex_lock(&r->mutex);
	if (r->free_ns + BURST_NS < now)
		r->free_ns = now - BURST_NS;
	if (r->bytes_per_second)
		r->free_ns += (uint64_t)((double)bytes * NS_PER_S /
					 (double)r->bytes_per_second);
	else
		r->free_ns = now; /* what was owed is let off */
	until = r->free_ns;
	mutex_unlock(&r->mutex);
	if (until > now)
		sleep_until(until, stop);
}
