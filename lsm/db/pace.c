/* SPDX-License-Identifier: MIT */
/*
 * pace.c - slowing writers down smoothly.
 *
 * The debt of the tree is a number x: 0 when there is none, 1 where writing has
 * to wait for good. It is the largest of
 *   - level-0 tables, between level0_slowdown and level0_stop;
 *   - bytes that compaction must move, between 16 and 128 times the size of
 *     level 1;
 *   - dead bytes in blob files, and those that level 0 hides, between a
 *     fifth and nine twentieths of the live ones, so that what a store takes
 *     stays bounded however fast it is overwritten;
 *   - the fill of the last memtable, when all others wait for their flush.
 * The writers together may then write RATE_FREE * 2^(-8 x) bytes a second: a
 * speed that falls continuously from one that nobody notices to that of a slow
 * disk, never a cliff. Dead bytes go on to x = 2, a few KiB a second, because
 * no other bound stops them: a collection slower than a slow disk (by
 * blob_gc_rate_bytes, or by a disk) then finds writers as slow as itself.
 *
 * The limit is one virtual clock for all writers: each reserves the time its
 * bytes take and sleeps until its turn, in small slices and without any lock,
 * looking each time whether the limit has gone meanwhile.
 */
#include <math.h>
#include <time.h>

#include "lsm/db/db_impl.h"

#define RATE_FREE   ((double)(512 << 20)) /* bytes a second at x = 0 */
#define RATE_HALVES 8.0
#define SLICE_NS    ((uint64_t)1000000)
/* Shorter waits are not worth a system call; they add up to longer ones. */
#define IGNORE_NS ((uint64_t)100000)

static uint64_t rate_of(double x)
{
	if (x <= 0)
		return 0;
	return (uint64_t)(RATE_FREE * exp2(-RATE_HALVES * x));
}

/* From 0 to the most, which 1 stands for or a multiple of it. */
static double fraction(double v, double from, double to, double most)
{
	double x = v <= from ? 0 : (v - from) / (to - from);

	return x < most ? x : most;
}

static uint64_t rate_now(struct lsm_db *db)
{
	uint64_t a = atomic_load_explicit(&db->pace_tree, memory_order_relaxed);
	uint64_t b = atomic_load_explicit(&db->pace_mem, memory_order_relaxed);

	return !a ? b : !b ? a : a < b ? a : b;
}

/* Faster the more there is to be won, and as fast as can be when level 0 waits
 * for it or writers are about to. */
static void set_collect_rate(struct lsm_db *db, const struct garbage *g)
{
	const struct version *v = db->vs.current;
	double x =
		fraction(g->dead + g->hidden, g->bearable / 2, g->bearable, 1);
	bool hurry =
		x >= 0.75 || v->count[0] >= 2 * db->opt.level0_compact_trigger;

	if (!db->collect_limiter || db->opt.blob_gc_rate_bytes)
		return;
	rate_limiter_set(
		db->collect_limiter,
		hurry ? 0
		      : (uint64_t)((double)PACE_COLLECT_BYTES * exp2(4 * x)));
}

/* What dead values ask for. Those in level 0 are an estimate, and bounded by
 * level0_stop. */
static double by_garbage(const struct garbage *g)
{
	double all = fraction(g->dead + g->hidden, g->bearable, g->too_much, 1);
	double dead = fraction(g->dead, g->bearable, g->too_much, 2);

	return dead > all ? dead : all;
}

void pace_update_locked(struct lsm_db *db)
{
	const struct lsm_options *o = &db->opt;
	struct version *v = db->vs.current;
	double base = (double)o->level_base_bytes;
	double x = 0, pending, garbage;
	struct garbage g;

	if (!o->no_background_compaction) {
		g = garbage_now(&db->vs, &db->tree_opt);
		set_collect_rate(db, &g);
		x = fraction((double)v->count[0], o->level0_slowdown - 1,
			     o->level0_stop, 1);
		pending = fraction(
			(double)pending_compaction_bytes(v, &db->tree_opt),
			16 * base, 128 * base, 1);
		if (pending > x)
			x = pending;
		garbage = db->compact_err ? 0 : by_garbage(&g);
		if (garbage > x)
			x = garbage;
	}
	atomic_store_explicit(&db->pace_tree, rate_of(x), memory_order_relaxed);
	if (db->imm_count + 1 < o->write_buffer_count)
		atomic_store_explicit(&db->pace_mem, 0, memory_order_relaxed);
	if (!rate_now(db))
		event_stall(db, false);
}

void pace_update_mem(struct lsm_db *db, bool last, uint64_t bytes)
{
	double full = (double)db->opt.write_buffer_bytes;
	double x = last ? fraction((double)bytes, full / 2, full, 1) : 0;

	atomic_store_explicit(&db->pace_mem, rate_of(x), memory_order_relaxed);
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000),
			     .tv_nsec = (long)(ns % 1000000000)};

	nanosleep(&t, NULL);
}

void pace_write(struct lsm_db *db, size_t bytes)
{
	uint64_t rate = rate_now(db), start, now, next, turn;

	if (!rate)
		return;
	start = now = clock_ns();
	next = atomic_load_explicit(&db->pace_next_ns, memory_order_relaxed);
	do {
		turn = next > now ? next : now;
	} while (!atomic_compare_exchange_weak_explicit(
		&db->pace_next_ns, &next,
		turn + (uint64_t)((double)bytes * 1e9 / (double)rate),
		memory_order_relaxed, memory_order_relaxed));
	if (turn <= now + IGNORE_NS)
		return;
	event_stall(db, true);
	while (now < turn && !db_error(db)) {
		sleep_ns(turn - now < SLICE_NS ? turn - now : SLICE_NS);
		now = clock_ns();
		if (!rate_now(db)) {
			/* the debt is paid: nobody owes this time any more */
			atomic_store_explicit(&db->pace_next_ns, now,
					      memory_order_relaxed);
			event_stall(db, false);
			break;
		}
	}
	atomic_fetch_add_explicit(&db->stall_ns, now - start,
				  memory_order_relaxed);
}
