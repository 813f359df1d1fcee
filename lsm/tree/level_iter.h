/* SPDX-License-Identifier: MIT */
/* level_iter.h - inside lsm/tree: one iterator over the tables of a level. */
#ifndef LSM_TREE_LEVEL_ITER_H
#define LSM_TREE_LEVEL_ITER_H

#include "lsm/tree/version.h"

/*
 * Walks the points of count disjoint tables in key order, and opens a table
 * only when it gets there; at most one is open. files is borrowed for the
 * iterator's life. NULL: no memory.
 */
struct iter *level_iter_new(struct table_cache *tc, struct table_file **files,
			    size_t count, const struct sst_iter_options *o);
/* struct cover_source's function; arg is a level iterator. */
int level_iter_cover(void *arg, struct lsm_slice key, uint64_t seq,
		     struct range_cover *out);

#endif
