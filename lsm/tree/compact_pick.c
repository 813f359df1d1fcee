/* SPDX-License-Identifier: MIT */
/*
 * compact_pick.c - what to compact next: pure policy, no I/O.
 *
 * Each level has a score: how full it is against its target (level_targets.c),
 * and for level 0 how many tables it has against the trigger; dead values in
 * blob files have one too. The highest score of at least 1 whose tables are
 * free goes first. When no size asks for anything, a table made mostly of
 * tombstones does: it is brought down, so that the space of what it deletes
 * comes back, and in the last level it is rewritten in place, once no snapshot
 * needs what it hides (a table that would come out as it went in is left
 * alone). After that blob files that waste space are collected.
 *
 * Called with vs->mutex.
 */
#include <stdlib.h>

#include "lsm/tree/compact_build.h"

/* Tables of a level that are compared to find the cheapest. */
#define PICK_WINDOW 128

/* Level 0 is merged also while it grows when it is so many times the base. */
#define LEVEL0_ENOUGH_BASES 4

/* ---- level 0 ------------------------------------------------------------ */

/* May table i of level 0 be moved down as it is? */
static bool movable(struct version_set *vs, const struct tree_options *o,
		    unsigned base, size_t i)
{
	const struct version *v = vs->current;
	struct table_file *f = v->level[0][i];
	struct bounds b = table_bounds(f);
	size_t k;

	for (k = 0; k < v->count[0]; k++) {
		struct bounds other = table_bounds(v->level[0][k]);

		if (k != i && bounds_overlap(&b, &other))
			return false;
	}
	if (span_count(level_overlap(v, base, &b)) ||
	    writes_into_running(vs, base, &b))
		return false;
	if (f->dense && tombstones_droppable(vs, f) &&
	    is_bottommost(v, base, &b))
		return false;
	return base == LAST ||
	       span_bytes(v, base + 1, level_overlap(v, base + 1, &b)) <=
		       GRANDPARENT_TABLES * o->table_bytes;
}

/* All that can be moved without a merge: a load in key order is. */
static struct compaction *
pick_moves(struct version_set *vs, const struct tree_options *o, unsigned base)
{
	struct version *v = vs->current;
	struct table_file **in = calloc(v->count[0], sizeof(*in));
	struct compaction *c = NULL;
	struct bounds b;
	size_t i, n = 0;

	if (!in)
		return NULL;
	for (i = 0; i < v->count[0]; i++)
		if (movable(vs, o, base, i))
			in[n++] = v->level[0][i];
	if (n) {
		b = tables_bounds(in, n);
		/* The whole may span tables that its parts do not touch. */
		if (!writes_into_running(vs, base, &b))
			c = compaction_start(vs, 0, base, &b, in, n, NULL, 0);
		if (c)
			c->trivial_move = true;
	}
	free(in);
	return c;
}

/* Point tombstones that make a dense table of level 0 worth a compaction: a
 * scan takes about 50 ns for each, so half a millisecond. */
#define LEVEL0_DENSE_MIN 10000

static struct compaction *
pick_level0(struct version_set *vs, const struct tree_options *o, unsigned base)
{
	struct version *v = vs->current;
	struct table_file **in;
	struct compaction *c;
	struct bounds b;
	size_t n;

	if (!v->count[0] || level0_busy(v))
		return NULL;
	c = pick_moves(vs, o, base);
	if (c)
		return c;
	in = calloc(v->count[0], sizeof(*in));
	if (!in)
		return NULL;
	in[0] = v->level[0][v->count[0] - 1]; /* the oldest */
	b = table_bounds(in[0]);
	n = level0_close(v, in, 1, &b);
	if (base == LAST)
		collect_choose(vs, true);
	c = compaction_build(vs, o, 0, base, in, n);
	free(in);
	return c;
}

/* Whether scans walk over so many tombstones in level 0 that it is worth to
 * merge it early. A few tombstones are not: they wait for company. */
static bool level0_scans_badly(const struct version *v)
{
	double hidden = 0;

	for (size_t i = 0; i < v->count[0]; i++) {
		const struct table_file *f = v->level[0][i];

		if (!f->dense)
			continue;
		if (f->meta.deletions >= LEVEL0_DENSE_MIN)
			return true;
		hidden += (double)f->meta.deletions;
	}
	/* Or that what they delete is worth it. */
	return hidden > 0 &&
	       hidden * mean_entry_bytes(v) >= (double)worth_reclaiming(v);
}

/* ---- levels >= 1 -------------------------------------------------------- */

/* What compacting table i costs: bytes below for each byte of it. Negative:
 * it is in work. A table of tombstones frees space besides. */
static double move_cost(const struct version *v, unsigned level, size_t i)
{
	const struct table_file *f = v->level[level][i];
	struct bounds b = table_bounds(f);
	struct span below;
	double cost;

	if (f->compacting)
		return -1;
	below = level_overlap(v, level + 1, &b);
	if (span_busy(v, level + 1, below))
		return -1;
	cost = (double)span_bytes(v, level + 1, below) /
	       (double)(f->meta.file_bytes + 1);
	return f->dense ? cost / 2 : cost;
}

/* The cheapest table of a window that moves on through the level, so that none
 * is left out for good. */
static struct compaction *
pick_level(struct version_set *vs, const struct tree_options *o, unsigned level)
{
	const struct version *v = vs->current;
	size_t n = v->count[level], i, best = n, from;
	double best_cost = 0;
	struct span in0;

	if (!n)
		return NULL;
	from = (size_t)(vs->compact_cursor[level] % n);
	for (i = 0; i < n && (i < PICK_WINDOW || best == n); i++) {
		size_t at = (from + i) % n;
		double cost = move_cost(v, level, at);

		if (cost >= 0 && (best == n || cost < best_cost)) {
			best = at;
			best_cost = cost;
		}
	}
	if (best == n)
		return NULL;
	if (n > PICK_WINDOW)
		vs->compact_cursor[level] = from + PICK_WINDOW;
	in0.first = best;
	in0.end = best + 1;
	return compaction_build_span(vs, o, level, in0);
}

static struct compaction *
pick_dense(struct version_set *vs, const struct tree_options *o, unsigned base)
{
	struct version *v = vs->current;
	struct compaction *c;
	unsigned level;
	size_t i;

	for (level = base; level < LSM_LEVELS; level++) {
		if (!v->level_dense[level])
			continue;
		for (i = 0; i < v->count[level]; i++) {
			struct table_file **f = &v->level[level][i];
			struct span in0 = {i, i + 1};

			if (!(*f)->dense || (*f)->compacting)
				continue;
			if (level < LAST)
				c = compaction_build_span(vs, o, level, in0);
			else if (tombstones_droppable(vs, *f))
				c = compaction_build(vs, o, level, level, f, 1);
			else
				continue;
			if (c)
				return c;
		}
	}
	return NULL;
}

/* ---- blob files ---------------------------------------------------------- */

/*
 * Values that tables of level 0 refer to may hide older ones, which are dead
 * but count as live until the tables are merged. Is that as much as a sixteenth
 * of all, and merging, which moves handles, cheap against it? Or are writers
 * slowed down for it?
 */
static bool level0_hides_values(const struct version_set *vs,
				const struct tree_options *o, unsigned base)
{
	const struct version *v = vs->current;
	struct garbage g = garbage_now(vs, o);
	double share = vs->hidden_share, values = 0;

	if (g.hidden > g.bearable / 4 && g.dead + g.hidden > g.bearable)
		return true;
	for (size_t i = 0; i < v->count[0]; i++)
		values += (double)sst_meta_blob_bytes(&v->level[0][i]->meta);
	values *= share > 0.1 ? share : 0.1;
	return values > (double)v->blob_live_bytes / 16 &&
	       values / 4 > (double)(v->bytes[0] + v->bytes[base]) &&
	       (double)v->blob_live_bytes > values;
}

/* What range tombstones hide first: that goes without being read. */
static struct compaction *
pick_space(struct version_set *vs, const struct tree_options *o, unsigned base)
{
	bool level0;
	struct compaction *c = pick_hiding(vs, o, &level0);

	if (!c && !level0)
		c = pick_stale(vs, o);
	if (!c && !level0)
		c = pick_collect(vs, o, &level0);
	return c || !level0 ? c : pick_level0(vs, o, base);
}

/* How urgent it is to get space back: 1 when a quarter of what is live could
 * be had. */
static double garbage_score(const struct version *v)
{
	uint64_t live = v->blob_live_bytes + 1;

	for (unsigned level = 0; level < LSM_LEVELS; level++)
		live += v->bytes[level];
	return 4 * (double)(collectable_bytes(v) + most_hidden(v)) /
	       (double)live;
}

/* ---- choosing ----------------------------------------------------------- */

/* Bytes of level that running compactions are taking out of it. */
static uint64_t leaving_bytes(const struct version_set *vs, unsigned level)
{
	const struct compaction *c;
	uint64_t sum = 0;
	size_t i;

	for (c = vs->running; c; c = c->next)
		if (c->level == level && c->output_level > level)
			for (i = 0; i < c->input_count[0]; i++)
				sum += c->inputs[0][i]->meta.file_bytes;
	return sum;
}

/*
 * A merge of level 0 rewrites all of the base, whatever it brings: the more it
 * brings the less is written for each byte, here and below, where what comes
 * down is then denser. So while writes keep coming it waits for more, unless
 * the base is small against what is there. Handles of values do not wait:
 * merging them costs little and tells which values are dead.
 */
static bool level0_waits(const struct version_set *vs,
			 const struct tree_options *o, unsigned base)
{
	const struct version *v = vs->current;
	uint64_t values = 0;

	if (!vs->level0_grows || v->count[0] >= o->level0_enough ||
	    v->bytes[0] >= LEVEL0_ENOUGH_BASES * v->bytes[base])
		return false;
	for (size_t i = 0; i < v->count[0]; i++)
		values += sst_meta_blob_bytes(&v->level[0][i]->meta);
	return values < v->bytes[0];
}

static double level_score(const struct version_set *vs,
			  const struct tree_options *o, unsigned level,
			  uint64_t target)
{
	const struct version *v = vs->current;
	uint64_t bytes = v->bytes[level], leaving = leaving_bytes(vs, level);
	double by_count, by_bytes;

	bytes = bytes > leaving ? bytes - leaving : 0;
	if (level)
		/* Target 0: to be emptied, but there is no hurry. */
		return target ? (double)bytes / (double)target : bytes > 0;
	/* Squared: writers wait for level 0, and for no other. */
	by_count = (double)v->count[0] / o->level0_trigger;
	by_count *= by_count;
	by_bytes = (double)v->bytes[0] / (double)o->level_base_bytes;
	return by_count > by_bytes ? by_count : by_bytes;
}

/* When no size asks for anything. */
static struct compaction *pick_idle(struct version_set *vs,
				    const struct tree_options *o, unsigned base)
{
	const struct version *v = vs->current;
	struct compaction *c;

	c = (level0_scans_badly(v) || level0_hides_values(vs, o, base)) &&
			    !level0_busy(v)
		    ? pick_level0(vs, o, base)
		    : pick_dense(vs, o, base);
	return c ? c : pick_space(vs, o, base);
}

struct compaction *compact_pick(struct version_set *vs,
				const struct tree_options *o)
{
	uint64_t target[LSM_LEVELS];
	double score[LSM_LEVELS] = {0};
	struct compaction *c = NULL;
	unsigned base, level;
	double garbage;

	level_targets(vs->current, o, target, &base);
	for (level = 0; level < LAST; level++)
		if (!level || level >= base)
			score[level] = level_score(vs, o, level, target[level]);
	vs->level0_waits = score[0] >= 1 && level0_waits(vs, o, base);
	if (vs->level0_waits)
		score[0] = 0;
	garbage = garbage_score(vs->current);
	while (!c) {
		unsigned best = 0;

		for (level = 1; level < LAST; level++)
			if (score[level] > score[best])
				best = level;
		if (garbage >= 1 && garbage > score[best]) {
			c = pick_space(vs, o, base);
			if (c)
				c->score = garbage;
			garbage = 0;
			continue;
		}
		if (score[best] < 1)
			return pick_idle(vs, o, base);
		c = best ? pick_level(vs, o, best) : pick_level0(vs, o, base);
		if (c)
			c->score = score[best];
		score[best] = 0;
	}
	return c;
}
