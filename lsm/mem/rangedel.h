/* SPDX-License-Identifier: MIT */
/*
 * rangedel.h - the range tombstones of a memtable, kept cut into fragments
 * while they are added, so that asking costs a search whatever their number.
 *
 * Private to the memtable.
 */
#ifndef LSM_MEM_RANGEDEL_H
#define LSM_MEM_RANGEDEL_H

#include "lsm/base/arena.h"
#include "lsm/base/frags.h"

struct rangedel;

/* Keys and fragments live in arena, the rest until rangedel_free().
 * NULL: no memory. */
struct rangedel *rangedel_new(struct arena *arena);
void rangedel_free(struct rangedel *r);
/* start < end. 0 or -ENOMEM, then nothing was added. Any thread. */
int rangedel_add(struct rangedel *r, struct lsm_slice start,
		 struct lsm_slice end, uint64_t seq);
/* Tombstones added; one relaxed load. Any thread. */
uint64_t rangedel_count(const struct rangedel *r);
/* See memtable_cover(). No lock. Any thread. */
void rangedel_cover(const struct rangedel *r, struct lsm_slice key,
		    uint64_t seq, struct range_cover *out);
/* The newest tombstone over key that is <= seq and > above; 0: none. No lock
 * that is waited for. Any thread. */
uint64_t rangedel_newest(struct rangedel *r, struct lsm_slice key, uint64_t seq,
			 uint64_t above);
/* Memory outside the arena that may be large. */
size_t rangedel_view_bytes(const struct rangedel *r);
/* Only when no one adds. */
int rangedel_collect(const struct rangedel *r, struct frags_builder *b);

#endif
