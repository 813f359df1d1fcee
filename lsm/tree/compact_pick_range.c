/* SPDX-License-Identifier: MIT */
/*
 * compact_pick_range.c - a compaction that somebody asked for: the next step
 * in one level. Each step takes tables out of the level, or, in the last one,
 * rids a table of all its tombstones, so that asking until there is nothing
 * comes to an end.
 *
 * Called with vs->mutex.
 */
#include <stdlib.h>

#include "lsm/tree/compact_build.h"

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
		b = table_bounds(in[0]);
		n = level0_close(v, in, n, &b);
		if (!level0_busy(v))
			c = compaction_build(vs, o, 0, base, in, n);
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
		c = (*f)->compacting
			    ? NULL
			    : compaction_build(vs, o, LAST, LAST, f, 1);
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
	c = compaction_build_span(vs, o, level, s);
	/* Too much at once overlaps what others are at: one table may do. */
	if (!c && span_count(s) > 1) {
		s.end = s.first + 1;
		c = compaction_build_span(vs, o, level, s);
	}
	*busy = !c;
	return c;
}
