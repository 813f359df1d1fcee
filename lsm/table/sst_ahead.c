/* SPDX-License-Identifier: MIT */
/* sst_ahead.c - which blocks are ordered when; see sst_ahead.h. */
#include "lsm/table/sst_ahead.h"

/* The first run, which the walk may have to wait for, is small. */
#define RUN_MIN (32u << 10)
/* A window consists of so many runs, when they are not at their largest. */
#define WINDOW_RUNS 4
/* Runs of which every block was in the cache, before it stops. */
#define CACHED_RUNS_MAX 2

static bool check_block(const void *data, size_t len)
{
	struct block b;

	return block_init(&b, data, len);
}

static void put_reader(void *reader)
{
	sst_reader_put(reader);
}

static bool at_end(const struct sst_ahead *a, uint32_t i)
{
	return i < a->first || i >= a->end; /* before 0 is UINT32_MAX */
}

static uint32_t step(const struct sst_ahead *a, uint32_t i)
{
	return a->backward ? i - 1 : i + 1;
}

static struct ahead_run *make_run(struct sst_ahead *a)
{
	struct sst_reader *r = a->r;
	struct ahead_source s = {
		.object = r->object,
		.file = r->number,
		.crc = a->verify || r->verify,
		.check = check_block,
		.owner = r,
		.put = put_reader,
	};
	struct ahead_run *run = ahead_run_new(r->ahead, &s);

	if (!run)
		return NULL;
	sst_reader_ref(r);
	while (!at_end(a, a->next) &&
	       (!ahead_run_count(run) || ahead_run_bytes(run) < a->run_bytes)) {
		struct sst_handle h = sst_index_handle(&r->index, a->next);
		/* what can be used in the map has no place in the cache */
		bool fill = a->fill && !(r->map && h.type == SST_BLOCK_RAW);

		if (!ahead_run_add(run, &h, fill))
			break;
		a->next = step(a, a->next);
	}
	if (!ahead_run_count(run)) {
		ahead_run_drop(run);
		return NULL;
	}
	return run;
}

/* Orders what the window lacks. */
static void order(struct sst_ahead *a)
{
	uint64_t room = ahead_room(a->r->ahead), window = a->window;

	if (window > a->ordered + room)
		window = a->ordered + room;
	while (a->count < SST_AHEAD_RUNS && !at_end(a, a->next) &&
	       (a->ordered + a->run_bytes <= window)) {
		struct ahead_run *run = make_run(a);

		if (!run)
			return;
		ahead_run_start(run);
		a->run[(a->head + a->count++) % SST_AHEAD_RUNS] = run;
		a->ordered += ahead_run_bytes(run);
		if (a->run_bytes < a->window / WINDOW_RUNS)
			a->run_bytes *= 2;
		if (a->run_bytes > AHEAD_RUN_BYTES)
			a->run_bytes = AHEAD_RUN_BYTES;
	}
}

static void drop_head(struct sst_ahead *a)
{
	struct ahead_run *run = a->run[a->head];

	a->ordered -= ahead_run_bytes(run);
	ahead_run_drop(run);
	a->head = (a->head + 1) % SST_AHEAD_RUNS;
	a->count--;
	a->taken = 0;
}

void sst_ahead_start(struct sst_ahead *a, struct sst_reader *r, uint32_t i,
		     uint32_t window)
{
	a->r = r;
	a->at = a->next = i;
	a->window = window < AHEAD_MIN ? AHEAD_MIN : window;
	a->run_bytes = RUN_MIN;
	a->ordered = 0;
	a->cached_runs = 0;
	a->head = a->count = 0;
	a->taken = 0;
	order(a);
}

void sst_ahead_stop(struct sst_ahead *a)
{
	if (!a->r)
		return;
	while (a->count)
		drop_head(a);
	a->r = NULL;
}

/* The head is used up: on to the next. False: it is not worth it any more. */
static bool next_run(struct sst_ahead *a)
{
	if (ahead_run_was_cached(a->run[a->head]))
		a->cached_runs++;
	else
		a->cached_runs = 0;
	drop_head(a);
	if (a->cached_runs > CACHED_RUNS_MAX)
		return false;
	if (a->window < AHEAD_MAX)
		a->window *= 2;
	order(a);
	return true;
}

struct cache_entry *sst_ahead_take(struct sst_ahead *a, uint32_t i)
{
	struct cache_entry *e;

	if (i != a->at) {
		sst_ahead_stop(a);
		return NULL;
	}
	if (a->count && a->taken == ahead_run_count(a->run[a->head]) &&
	    !next_run(a)) {
		sst_ahead_stop(a);
		return NULL;
	}
	if (!a->count) {
		/* there was no room, or a block too large */
		if (a->next == i)
			a->next = step(a, i);
		a->at = a->next;
		order(a);
		return NULL;
	}
	e = ahead_run_take(a->run[a->head], a->taken++);
	a->at = step(a, i);
	return e;
}
