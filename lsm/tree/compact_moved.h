/* SPDX-License-Identifier: MIT */
/*
 * compact_moved.h - inside lsm/tree: where a compaction has put the values it
 * moved, so that one which several keys share is moved once and stays shared.
 *
 * Only so many are remembered, the last one of each place in a hash table: a
 * value that is met again after many others is moved again, which costs space
 * and nothing else.
 *
 * One thread.
 */
#ifndef LSM_TREE_COMPACT_MOVED_H
#define LSM_TREE_COMPACT_MOVED_H

#include "lsm/table/blob_format.h"

struct moved_value {
	uint64_t file, offset; /* where it was; file 0: nothing */
	uint32_t index;
	/* Its place is known when this block has been cut; to.index always. */
	uint64_t block;
	struct blob_handle to;
};

/* Start with = {0}. */
struct moved_values {
	struct moved_value *value; /* NULL: nothing yet */
	uint64_t block;            /* number of the open block */
};

/* The value that h leads to, or NULL. */
const struct moved_value *moved_find(const struct moved_values *m,
				     const struct blob_handle *h);
/* It is the index-th of the open block. Returns where to say moved_placed();
 * NULL: it is not remembered. */
struct moved_value *moved_add(struct moved_values *m,
			      const struct blob_handle *h, uint32_t index);
/* The block was cut, and lies at place; for each of its values. */
void moved_placed(const struct moved_values *m, struct moved_value *v,
		  const struct blob_handle *place);
/* After that: the next block. */
void moved_next_block(struct moved_values *m);
void moved_release(struct moved_values *m);

#endif
