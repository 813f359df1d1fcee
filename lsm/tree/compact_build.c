/* SPDX-License-Identifier: MIT */
/*
 * compact_build.c - what the pickers are made of: bounds and what overlaps
 * them, and turning chosen tables into a compaction that no other one gets in
 * the way of.
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

#include "lsm/tree/compact_build.h"

/* ---- bounds ------------------------------------------------------------- */

struct bounds table_bounds(const struct table_file *f)
{
	struct bounds b = {buf_slice(&f->meta.smallest),
			   buf_slice(&f->meta.largest),
			   f->meta.largest_exclusive};

	return b;
}

/* Does a end before b starts? */
static bool bounds_before(const struct bounds *a, const struct bounds *b)
{
	int c = slice_cmp(a->largest, b->smallest);

	return c < 0 || (!c && a->exclusive);
}

bool bounds_overlap(const struct bounds *a, const struct bounds *b)
{
	return !bounds_before(a, b) && !bounds_before(b, a);
}

void bounds_extend(struct bounds *b, const struct bounds *by)
{
	int c = slice_cmp(by->largest, b->largest);

	if (slice_cmp(by->smallest, b->smallest) < 0)
		b->smallest = by->smallest;
	if (c > 0 || (!c && !by->exclusive)) {
		b->largest = by->largest;
		b->exclusive = by->exclusive;
	}
}

struct bounds tables_bounds(struct table_file **f, size_t n)
{
	struct bounds all = table_bounds(f[0]), one;
	size_t i;

	for (i = 1; i < n; i++) {
		one = table_bounds(f[i]);
		bounds_extend(&all, &one);
	}
	return all;
}

/* Those of a level >= 1 that overlap b. */
struct span level_overlap(const struct version *v, unsigned level,
			  const struct bounds *b)
{
	struct span s;
	size_t high = v->count[level];

	s.first = s.end = version_find(v, level, b->smallest);
	while (s.end < high) {
		size_t mid = s.end + (high - s.end) / 2;
		struct bounds m = table_bounds(v->level[level][mid]);

		if (bounds_before(b, &m))
			high = mid;
		else
			s.end = mid + 1;
	}
	return s;
}

size_t span_count(struct span s)
{
	return s.end - s.first;
}

uint64_t span_bytes(const struct version *v, unsigned level, struct span s)
{
	uint64_t sum = 0;

	for (; s.first < s.end; s.first++)
		sum += v->level[level][s.first]->meta.file_bytes;
	return sum;
}

bool span_busy(const struct version *v, unsigned level, struct span s)
{
	for (; s.first < s.end; s.first++)
		if (v->level[level][s.first]->compacting)
			return true;
	return false;
}

/* Does nothing below level overlap? */
bool is_bottommost(const struct version *v, unsigned level,
		   const struct bounds *b)
{
	while (++level < LSM_LEVELS)
		if (span_count(level_overlap(v, level, b)))
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
bool tombstones_droppable(const struct version_set *vs,
			  const struct table_file *f)
{
	return has_tombstones(f) && f->meta.max_seq <= vs->oldest_snapshot;
}

bool writes_into_running(const struct version_set *vs, unsigned output_level,
			 const struct bounds *b)
{
	const struct compaction *r;

	for (r = vs->running; r; r = r->next) {
		struct bounds rb = {r->smallest, r->largest,
				    r->largest_exclusive};

		if (r->output_level == output_level && bounds_overlap(&rb, b))
			return true;
	}
	return false;
}

/* Allocates, copies the inputs, marks them, enters the list. */
struct compaction *compaction_start(struct version_set *vs, unsigned level,
				    unsigned output_level,
				    const struct bounds *b,
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
	c->collect_count = vs->condemned_count;
	memcpy(c->collect, vs->condemned,
	       vs->condemned_count * sizeof(*c->collect));
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
struct compaction *compaction_build(struct version_set *vs,
				    const struct tree_options *o,
				    unsigned level, unsigned output_level,
				    struct table_file **in0, size_t n0)
{
	struct version *v = vs->current;
	struct bounds b = tables_bounds(in0, n0);
	struct span in1 = {0, 0}, gp = {0, 0};
	struct table_file **out = v->level[output_level];
	struct compaction *c;

	if (output_level > level)
		in1 = level_overlap(v, output_level, &b);
	if (span_busy(v, output_level, in1))
		return NULL;
	if (span_count(in1)) {
		struct bounds ob =
			tables_bounds(out + in1.first, span_count(in1));

		bounds_extend(&b, &ob);
	}
	if (writes_into_running(vs, output_level, &b))
		return NULL;
	c = compaction_start(vs, level, output_level, &b, in0, n0,
			     span_count(in1) ? out + in1.first : NULL,
			     span_count(in1));
	if (!c)
		return NULL;
	if (output_level < LAST) {
		gp = level_overlap(v, output_level + 1, &b);
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

/* More tables of level when they bring in no more of the level below. */
static struct span expand(const struct version *v, const struct tree_options *o,
			  unsigned level, struct span in0)
{
	struct bounds b =
		tables_bounds(v->level[level] + in0.first, span_count(in0));
	struct span in1 = level_overlap(v, level + 1, &b), more, in1_more;

	if (!span_count(in1))
		return in0;
	b = tables_bounds(v->level[level + 1] + in1.first, span_count(in1));
	more = level_overlap(v, level, &b);
	if (more.first > in0.first)
		more.first = in0.first;
	if (more.end < in0.end)
		more.end = in0.end;
	if (span_count(more) == span_count(in0) || span_busy(v, level, more))
		return in0;
	b = tables_bounds(v->level[level] + more.first, span_count(more));
	in1_more = level_overlap(v, level + 1, &b);
	if (in1_more.first != in1.first || in1_more.end != in1.end ||
	    span_bytes(v, level, more) + span_bytes(v, level + 1, in1) >
		    EXPAND_TABLES * o->table_bytes)
		return in0;
	return more;
}

struct compaction *compaction_build_span(struct version_set *vs,
					 const struct tree_options *o,
					 unsigned level, struct span in0)
{
	in0 = expand(vs->current, o, level, in0);
	return compaction_build(vs, o, level, level + 1,
				vs->current->level[level] + in0.first,
				span_count(in0));
}

/* ---- level 0 ------------------------------------------------------------ */

bool level0_busy(const struct version *v)
{
	struct span all = {0, v->count[0]};

	return span_busy(v, 0, all);
}

/* Adds to in (n tables, bounds b) all tables of level 0 that overlap them,
 * directly or through others. */
size_t level0_close(const struct version *v, struct table_file **in, size_t n,
		    struct bounds *b)
{
	size_t i, k, before_count;

	do {
		before_count = n;
		for (i = 0; i < v->count[0]; i++) {
			struct table_file *f = v->level[0][i];
			struct bounds fb = table_bounds(f);

			for (k = 0; k < n && in[k] != f; k++)
				;
			if (k < n || !bounds_overlap(b, &fb))
				continue;
			in[n++] = f;
			bounds_extend(b, &fb);
		}
	} while (n > before_count);
	return n;
}
