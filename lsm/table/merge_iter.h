/* SPDX-License-Identifier: MIT */
/*
 * merge_iter.h - one sorted sequence out of many: a heap with replace-top,
 * forward and backward, with a fast path for a single child. Children may be
 * lazy: an unpositioned child costs nothing until the first positioning call.
 */
#ifndef LSM_TABLE_MERGE_ITER_H
#define LSM_TABLE_MERGE_ITER_H

#include "lsm/base/iter.h"

/* Takes the children (frees them with itself; also when it fails). With one
 * child returns that child. Two children may hold the same entry (a memtable
 * and the table just made of it); then both come, in either order. NULL: no
 * memory. */
struct iter *merge_iter_new(struct iter **children, size_t count);

/* The index of the child that the present entry comes from; only for an
 * iterator made from two children or more. */
size_t merge_iter_source(const struct iter *it);

/* Moves child i to the first entry >= (key, tag), or, when the last move was
 * backward, to the last one <= (key, tag), and keeps the merged order. Nothing
 * when it is there or beyond already. Used to jump over runs that a range
 * tombstone of a newer source covers. */
void merge_iter_skip_child(struct iter *it, size_t i, struct lsm_slice key,
			   uint64_t tag);

#endif
