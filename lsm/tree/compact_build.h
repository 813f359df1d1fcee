/* SPDX-License-Identifier: MIT */
/*
 * compact_build.h - inside lsm/tree: the parts that the pickers share. All of
 * it is called with vs->mutex.
 */
#ifndef LSM_TREE_COMPACT_BUILD_H
#define LSM_TREE_COMPACT_BUILD_H

#include "lsm/tree/compact.h"

#define LAST (LSM_LEVELS - 1)
/* Limits in multiples of the target size of a table: what one compaction may
 * grow to when it grows for free, and what a moved table may overlap below. */
#define EXPAND_TABLES      25
#define GRANDPARENT_TABLES 10

/* Borrowed from tables. */
struct bounds {
	struct lsm_slice smallest, largest;
	bool exclusive;
};

struct bounds table_bounds(const struct table_file *f);
struct bounds tables_bounds(struct table_file **f, size_t n); /* n > 0 */
bool bounds_overlap(const struct bounds *a, const struct bounds *b);
void bounds_extend(struct bounds *b, const struct bounds *by);

/* Tables [first, end) of a level. */
struct span {
	size_t first, end;
};

/* Those of a level >= 1 that overlap b. */
struct span level_overlap(const struct version *v, unsigned level,
			  const struct bounds *b);
size_t span_count(struct span s);
uint64_t span_bytes(const struct version *v, unsigned level, struct span s);
/* Is one of them an input of a running compaction? */
bool span_busy(const struct version *v, unsigned level, struct span s);

/* Does nothing below level overlap? */
bool is_bottommost(const struct version *v, unsigned level,
		   const struct bounds *b);
/* Would rewriting the table where nothing lies below rid it of all its
 * tombstones? */
bool tombstones_droppable(const struct version_set *vs,
			  const struct table_file *f);
/* Does a running compaction write into b in that level? */
bool writes_into_running(const struct version_set *vs, unsigned output_level,
			 const struct bounds *b);

bool level0_busy(const struct version *v);
/* Adds to in (n tables, bounds b) all tables of level 0 that overlap them,
 * directly or through others; returns how many there are then. */
size_t level0_close(const struct version *v, struct table_file **in, size_t n,
		    struct bounds *b);

/* ---- hidden.c ---- */

/* Brings down the tombstones that hide most, when that is worth it; *level0:
 * they are in level 0. */
struct compaction *pick_hiding(struct version_set *vs,
			       const struct tree_options *o, bool *level0);
/* Rewrites a table that version_mark_stale() marked. */
struct compaction *pick_stale(struct version_set *vs,
			      const struct tree_options *o);

/* ---- compact_collect.c: emptying blob files ---- */

/* Condemns files when enough is dead and no set is being worked on. free_pass:
 * a compaction into the last level is about to be built. */
void collect_choose(struct version_set *vs, bool free_pass);
/* Rewrites tables that refer to condemned files where they are; *level0: some
 * of level 0 do, which can only come down. */
struct compaction *pick_collect(struct version_set *vs,
				const struct tree_options *o, bool *level0);

/* Allocates, copies the inputs, marks them, enters the list. NULL: no
 * memory. */
struct compaction *compaction_start(struct version_set *vs, unsigned level,
				    unsigned output_level,
				    const struct bounds *b,
				    struct table_file **in0, size_t n0,
				    struct table_file **in1, size_t n1);
/* A compaction of in0 (free tables of level, closed under overlap for level 0)
 * into output_level; NULL when something is in its way, or no memory. */
struct compaction *compaction_build(struct version_set *vs,
				    const struct tree_options *o,
				    unsigned level, unsigned output_level,
				    struct table_file **in0, size_t n0);
/* The same of tables of level >= 1 into the next, and more of them when that
 * costs nothing. */
struct compaction *compaction_build_span(struct version_set *vs,
					 const struct tree_options *o,
					 unsigned level, struct span in0);

#endif
