/* SPDX-License-Identifier: MIT */
/*
 * memtable.h - the newest writes, in memory: a skip list of entries and a
 * fragment list of range tombstones, in one arena.
 *
 * Counted references; the memory goes with the last. Lock-free readers may use
 * it under an epoch pin as long as the superversion they found it in is
 * protected (db_impl.h).
 */
#ifndef LSM_MEM_MEMTABLE_H
#define LSM_MEM_MEMTABLE_H

#include "lsm/base/frags.h"
#include "lsm/base/iter.h"
#include "lsm/base/lookup.h"

struct memtable;
struct arena_pool;

/* One reference; NULL: no memory. wal_number: the log that holds its writes. */
struct memtable *memtable_new(uint64_t wal_number);
/* The same, with memory from a pool (arena.h) that outlives it, or NULL, and
 * with a filter of the keys that takes up to filter_bytes, 0: without. */
struct memtable *memtable_new_from(struct arena_pool *pool, uint64_t wal_number,
				   size_t filter_bytes);
void memtable_get_ref(struct memtable *m);
void memtable_put_ref(struct memtable *m);
uint64_t memtable_wal_number(const struct memtable *m);

/* Any number of threads at once; 0 or -ENOMEM. Sequence numbers need not come
 * in order. */
int memtable_put(struct memtable *m, struct lsm_slice key, uint64_t tag,
		 struct lsm_slice value);
int memtable_delete_range(struct memtable *m, struct lsm_slice start,
			  struct lsm_slice end, uint64_t seq);
/* Applies every operation of an encoded batch. 0, -ENOMEM or -EUCLEAN. */
int memtable_apply(struct memtable *m, struct lsm_slice rep);

/* enum lookup_result or -errno. *kind is KIND_PUT or KIND_BLOB when found.
 * *value points into the memtable. */
int memtable_lookup(const struct memtable *m, struct lsm_slice key,
		    uint64_t seq, enum entry_kind *kind,
		    struct lsm_slice *value);

/* Point entries only. Freed with iter_free(); holds no reference: the caller
 * keeps the memtable. NULL: no memory. */
struct iter *memtable_iter(const struct memtable *m);

/* Range tombstones: see frags.h. Costs nothing when there are none. The
 * answer stays true for sequence numbers that were visible when asked. */
bool memtable_has_ranges(const struct memtable *m);
void memtable_cover(const struct memtable *m, struct lsm_slice key,
		    uint64_t seq, struct range_cover *out);
/* Adds every tombstone to b, for the flush. Only when no one inserts. */
int memtable_collect_ranges(const struct memtable *m, struct frags_builder *b);

/* Bytes of memory it holds; entries, tombstones among them. */
size_t memtable_bytes(const struct memtable *m);
uint64_t memtable_entries(const struct memtable *m);
bool memtable_empty(const struct memtable *m);

#endif
