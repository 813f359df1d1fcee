/* SPDX-License-Identifier: MIT */
/*
 * compact_pick.c - what to compact next: pure policy, no I/O.
 *
 * Each level has a score: how full it is against its target (level_targets.c),
 * and for level 0 how many tables it has against the trigger. The highest score
 * of at least 1 whose tables are free goes first. When no size asks for
 * anything, a table made mostly of tombstones does: it is brought down, so
 * that the space of what it deletes comes back, and in the last level it is
 * rewritten in place, once no snapshot needs what it hides (a table that would
 * come out as it went in is left alone).
 *
 * Several compactions may run at once. What keeps them apart: a table is an
 * input of one at most (`compacting`); the inputs of the output level are all
 * tables there that overlap; and no two that write to one level may have
 * overlapping bounds, which the list of running ones tells. Only one compaction
 * of level 0 runs at a time, because what is newer must not come down first.
 *
 * Bounds include range tombstones. A bound that is exclusive touches the next
 * table without overlapping it.
 *
 * Called with vs->mutex.
 */
#include <stdlib.h>

#include "lsm/tree/compact.h"

#define LAST (LSM_LEVELS - 1)
/* Limits in multiples of the target size of a table: what one compaction may
 * grow to when it grows for free, and what a moved table may overlap below. */
#define EXPAND_TABLES      25
#define GRANDPARENT_TABLES 10
/* Tables of a level that are compared to find the cheapest. */
#define PICK_WINDOW 128

/* ---- bounds ------------------------------------------------------------- */

struct bounds {
	struct lsm_slice smallest, largest;
	bool exclusive;
};

static struct bounds bounds_of(const struct table_file *f)
{
	struct bounds b = {buf_slice(&f->meta.smallest),
			   buf_slice(&f->meta.largest),
			   f->meta.largest_exclusive};

	return b;
}

/* Does a end before b starts? */
static bool before(const struct bounds *a, const struct bounds *b)
{
	int c = slice_cmp(a->largest, b->smallest);

	return c < 0 || (!c && a->exclusive);
}

static bool overlap(const struct bounds *a, const struct bounds *b)
{
	return !before(a, b) && !before(b, a);
}

static void extend(struct bounds *b, const struct bounds *by)
{
	int c = slice_cmp(by->largest, b->largest);

	if (slice_cmp(by->smallest, b->smallest) < 0)
		b->smallest = by->smallest;
	if (c > 0 || (!c && !by->exclusive)) {
		b->largest = by->largest;
		b->exclusive = by->exclusive;
	}
}

static struct bounds bounds_of_all(struct table_file **f, size_t n)
{
	struct bounds all = bounds_of(f[0]), one;
	size_t i;

	for (i = 1; i < n; i++) {
		one = bounds_of(f[i]);
		extend(&all, &one);
	}
	return all;
}

/* Tables [first, end) of a level. */
struct span {
	size_t first, end;
};

/* Those of a level >= 1 that overlap b. */
static struct span find_overlap(const struct version *v, unsigned level,
				const struct bounds *b)
{
	struct span s;
	size_t high = v->count[level];

	s.first = s.end = version_find(v, level, b->smallest);
	while (s.end < high) {
		size_t mid = s.end + (high - s.end) / 2;
		struct bounds m = bounds_of(v->level[level][mid]);

		if (before(b, &m))
			high = mid;
		else
			s.end = mid + 1;
	}
	return s;
}

static size_t span_count(struct span s)
{
	return s.end - s.first;
}

static uint64_t span_bytes(const struct version *v, unsigned level,
			   struct span s)
{
	uint64_t sum = 0;

	for (; s.first < s.end; s.first++)
		sum += v->level[level][s.first]->meta.file_bytes;
	return sum;
}

static bool span_busy(const struct version *v, unsigned level, struct span s)
{
	for (; s.first < s.end; s.first++)
		if (v->level[level][s.first]->compacting)
			return true;
	return false;
}

/* Does nothing below level overlap? */
static bool is_bottommost(const struct version *v, unsigned level,
			  const struct bounds *b)
{
	while (++level < LSM_LEVELS)
		if (span_count(find_overlap(v, level, b)))
			return false;
	return true;
}

/* ---- building ----------------------------------------------------------- */

static bool has_tombstones(const struct table_file *f)
{
	return f->meta.deletions || f->meta.range_deletions;
}

/* Would rewriting the table where nothing lies below rid it of all its
 * tombstones? */
static bool tombstones_droppable(const struct version_set *vs,
				 const struct table_file *f)
{
	return has_tombstones(f) && f->meta.max_seq <= vs->oldest_snapshot;
}

static bool writes_into_running(const struct version_set *vs,
				unsigned output_level, const struct bounds *b)
{
	const struct compaction *r;

	for (r = vs->running; r; r = r->next) {
		struct bounds rb = {r->smallest, r->largest,
				    r->largest_exclusive};

		if (r->output_level == output_level && overlap(&rb, b))
			return true;
	}
	return false;
}

/* Allocates, copies the inputs, marks them, enters the list. */
static struct compaction *start(struct version_set *vs, unsigned level,
				unsigned output_level, const struct bounds *b,
				struct table_file **in0, size_t n0,
				struct table_file **in1, size_t n1)
{
	struct compaction *c = calloc(1, sizeof(*c));
	size_t i;

	if (!c)
		return NULL;
	c->inputs[0] = calloc(n0 + n1, sizeof(*c->inputs[0]));
	if (!c->inputs[0]) {
		free(c);
		return NULL;
	}
	c->inputs[1] = c->inputs[0] + n0;
	memcpy(c->inputs[0], in0, n0 * sizeof(*in0));
	if (n1)
		memcpy(c->inputs[1], in1, n1 * sizeof(*in1));
	c->input_count[0] = n0;
	c->input_count[1] = n1;
	for (i = 0; i < n0 + n1; i++)
		c->inputs[0][i]->compacting = true;
	c->level = level;
	c->output_level = output_level;
	c->smallest = b->smallest;
	c->largest = b->largest;
	c->largest_exclusive = b->exclusive;
	c->version = vs->current;
	version_ref(c->version);
	c->next = vs->running;
	vs->running = c;
	return c;
}

/*
 * A compaction of in0 (free tables of level, closed under overlap for level 0)
 * into output_level; NULL when something is in its way.
 */
static struct compaction *build(struct version_set *vs,
				const struct tree_options *o, unsigned level,
				unsigned output_level, struct table_file **in0,
				size_t n0)
{
	struct version *v = vs->current;
	struct bounds b = bounds_of_all(in0, n0);
	struct span in1 = {0, 0}, gp = {0, 0};
	struct table_file **out = v->level[output_level];
	struct compaction *c;

	if (output_level > level)
		in1 = find_overlap(v, output_level, &b);
	if (span_busy(v, output_level, in1))
		return NULL;
	if (span_count(in1)) {
		struct bounds ob =
			bounds_of_all(out + in1.first, span_count(in1));

		extend(&b, &ob);
	}
	if (writes_into_running(vs, output_level, &b))
		return NULL;
	c = start(vs, level, output_level, &b, in0, n0,
		  span_count(in1) ? out + in1.first : NULL, span_count(in1));
	if (!c)
		return NULL;
	if (output_level < LAST) {
		gp = find_overlap(v, output_level + 1, &b);
		if (span_count(gp))
			c->grandparents = v->level[output_level + 1] + gp.first;
		c->grandparent_count = span_count(gp);
	}
	c->bottommost = is_bottommost(v, output_level, &b);
	c->trivial_move = n0 == 1 && output_level > level && !span_count(in1) &&
			  span_bytes(v, output_level + 1, gp) <=
				  GRANDPARENT_TABLES * o->table_bytes &&
			  !(c->bottommost && in0[0]->dense &&
			    tombstones_droppable(vs, in0[0]));
	return c;
}

void compaction_free(struct compaction *c)
{
	struct compaction **p = &c->version->vs->running;
	size_t i;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	for (i = 0; i < c->input_count[0] + c->input_count[1]; i++)
		c->inputs[0][i]->compacting = false;
	version_put(c->version);
	free(c->inputs[0]);
	free(c);
}

/* ---- level 0 ------------------------------------------------------------ */

static bool level0_busy(const struct version *v)
{
	struct span all = {0, v->count[0]};

	return span_busy(v, 0, all);
}

/* May table i of level 0 be moved down as it is? */
static bool movable(struct version_set *vs, const struct tree_options *o,
		    unsigned base, size_t i)
{
	const struct version *v = vs->current;
	struct table_file *f = v->level[0][i];
	struct bounds b = bounds_of(f);
	size_t k;

	for (k = 0; k < v->count[0]; k++) {
		struct bounds other = bounds_of(v->level[0][k]);

		if (k != i && overlap(&b, &other))
			return false;
	}
	if (span_count(find_overlap(v, base, &b)) ||
	    writes_into_running(vs, base, &b))
		return false;
	if (f->dense && tombstones_droppable(vs, f) &&
	    is_bottommost(v, base, &b))
		return false;
	return base == LAST ||
	       span_bytes(v, base + 1, find_overlap(v, base + 1, &b)) <=
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
		b = bounds_of_all(in, n);
		/* The whole may span tables that its parts do not touch. */
		if (!writes_into_running(vs, base, &b))
			c = start(vs, 0, base, &b, in, n, NULL, 0);
		if (c)
			c->trivial_move = true;
	}
	free(in);
	return c;
}

/* Adds to in (n tables, bounds b) all tables of level 0 that overlap them,
 * directly or through others. */
static size_t close_level0(const struct version *v, struct table_file **in,
			   size_t n, struct bounds *b)
{
	size_t i, k, before_count;

	do {
		before_count = n;
		for (i = 0; i < v->count[0]; i++) {
			struct table_file *f = v->level[0][i];
			struct bounds fb = bounds_of(f);

			for (k = 0; k < n && in[k] != f; k++)
				;
			if (k < n || !overlap(b, &fb))
				continue;
			in[n++] = f;
			extend(b, &fb);
		}
	} while (n > before_count);
	return n;
}

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
	b = bounds_of(in[0]);
	n = close_level0(v, in, 1, &b);
	c = build(vs, o, 0, base, in, n);
	free(in);
	return c;
}

/* ---- levels >= 1 -------------------------------------------------------- */

/* More tables of level when they bring in no more of the level below. */
static struct span expand(const struct version *v, const struct tree_options *o,
			  unsigned level, struct span in0)
{
	struct bounds b =
		bounds_of_all(v->level[level] + in0.first, span_count(in0));
	struct span in1 = find_overlap(v, level + 1, &b), more, in1_more;

	if (!span_count(in1))
		return in0;
	b = bounds_of_all(v->level[level + 1] + in1.first, span_count(in1));
	more = find_overlap(v, level, &b);
	if (more.first > in0.first)
		more.first = in0.first;
	if (more.end < in0.end)
		more.end = in0.end;
	if (span_count(more) == span_count(in0) || span_busy(v, level, more))
		return in0;
	b = bounds_of_all(v->level[level] + more.first, span_count(more));
	in1_more = find_overlap(v, level + 1, &b);
	if (in1_more.first != in1.first || in1_more.end != in1.end ||
	    span_bytes(v, level, more) + span_bytes(v, level + 1, in1) >
		    EXPAND_TABLES * o->table_bytes)
		return in0;
	return more;
}

static struct compaction *build_span(struct version_set *vs,
				     const struct tree_options *o,
				     unsigned level, struct span in0)
{
	in0 = expand(vs->current, o, level, in0);
	return build(vs, o, level, level + 1,
		     vs->current->level[level] + in0.first, span_count(in0));
}

/* What compacting table i costs: bytes below for each byte of it. Negative:
 * it is in work. A table of tombstones frees space besides. */
static double move_cost(const struct version *v, unsigned level, size_t i)
{
	const struct table_file *f = v->level[level][i];
	struct bounds b = bounds_of(f);
	struct span below;
	double cost;

	if (f->compacting)
		return -1;
	below = find_overlap(v, level + 1, &b);
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
	return build_span(vs, o, level, in0);
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
				c = build_span(vs, o, level, in0);
			else if (tombstones_droppable(vs, *f))
				c = build(vs, o, level, level, f, 1);
			else
				continue;
			if (c)
				return c;
		}
	}
	return NULL;
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

struct compaction *compact_pick(struct version_set *vs,
				const struct tree_options *o)
{
	uint64_t target[LSM_LEVELS];
	double score[LSM_LEVELS] = {0};
	struct compaction *c = NULL;
	unsigned base, level;

	level_targets(vs->current, o, target, &base);
	for (level = 0; level < LAST; level++)
		if (!level || level >= base)
			score[level] = level_score(vs, o, level, target[level]);
	while (!c) {
		unsigned best = 0;

		for (level = 1; level < LAST; level++)
			if (score[level] > score[best])
				best = level;
		if (score[best] < 1)
			return pick_dense(vs, o, base);
		c = best ? pick_level(vs, o, best) : pick_level0(vs, o, base);
		if (c)
			c->score = score[best];
		score[best] = 0;
	}
	return c;
}

/* ---- by hand ------------------------------------------------------------ */

static struct compaction *range_level0(struct version_set *vs,
				       const struct tree_options *o,
				       struct lsm_slice start_key,
				       struct lsm_slice end_key, bool *busy)
{
	struct version *v = vs->current;
	uint64_t target[LSM_LEVELS];
	struct table_file **in = calloc(v->count[0] + 1, sizeof(*in));
	struct compaction *c = NULL;
	struct bounds b;
	unsigned base;
	size_t i, n = 0;

	for (i = 0; in && i < v->count[0] && !n; i++)
		if (table_file_overlaps(v->level[0][i], start_key, end_key))
			in[n++] = v->level[0][i];
	if (n) {
		level_targets(v, o, target, &base);
		b = bounds_of(in[0]);
		n = close_level0(v, in, n, &b);
		if (!level0_busy(v))
			c = build(vs, o, 0, base, in, n);
		*busy = !c;
	}
	free(in);
	return c;
}

static struct compaction *range_last(struct version_set *vs,
				     const struct tree_options *o,
				     struct span s, bool *busy)
{
	struct compaction *c;

	for (; s.first < s.end; s.first++) {
		struct table_file **f = &vs->current->level[LAST][s.first];

		if (!tombstones_droppable(vs, *f))
			continue;
		c = (*f)->compacting ? NULL : build(vs, o, LAST, LAST, f, 1);
		if (c) {
			*busy = false;
			return c;
		}
		*busy = true;
	}
	return NULL;
}

struct compaction *compact_pick_range(struct version_set *vs,
				      const struct tree_options *o,
				      unsigned level,
				      struct lsm_slice start_key,
				      struct lsm_slice end_key, bool *busy)
{
	const struct version *v = vs->current;
	struct table_file **files = v->level[level];
	struct compaction *c;
	uint64_t bytes = 0;
	struct span s;

	*busy = false;
	if (!level)
		return range_level0(vs, o, start_key, end_key, busy);
	s.first = start_key.len ? version_find(v, level, start_key) : 0;
	s.end = s.first;
	while (s.end < v->count[level] &&
	       table_file_overlaps(files[s.end], start_key, end_key) &&
	       (level == LAST || (bytes < EXPAND_TABLES * o->table_bytes &&
				  !files[s.end]->compacting)))
		bytes += files[s.end++]->meta.file_bytes;
	if (level == LAST)
		return range_last(vs, o, s, busy);
	if (s.end == s.first) {
		*busy = s.first < v->count[level] &&
			table_file_overlaps(files[s.first], start_key, end_key);
		return NULL;
	}
	c = build_span(vs, o, level, s);
	/* Too much at once overlaps what others are at: one table may do. */
	if (!c && span_count(s) > 1) {
		s.end = s.first + 1;
		c = build_span(vs, o, level, s);
	}
	*busy = !c;
	return c;
}
