/* SPDX-License-Identifier: MIT */
/*
 * iter.h - the iterator interface inside the engine: entries (key, tag,
 * value) in internal order (slice.h), versions and tombstones included.
 *
 * Position and entry are plain fields, so that the common path of a merge
 * costs one indirect call a step. key and value are borrowed until the
 * iterator moves. After a move, either valid is true, or err tells why not: 0
 * means the end. An iterator starts invalid. One thread at a time.
 */
#ifndef LSM_BASE_ITER_H
#define LSM_BASE_ITER_H

#include "lsm/base/slice.h"

struct iter;

struct iter_ops {
	/* to the first entry >= (key, tag) in internal order */
	void (*seek)(struct iter *it, struct lsm_slice key, uint64_t tag);
	/* to the last entry <= (key, tag) in internal order */
	void (*seek_for_prev)(struct iter *it, struct lsm_slice key,
			      uint64_t tag);
	void (*first)(struct iter *it);
	void (*last)(struct iter *it);
	void (*next)(struct iter *it); /* only when valid */
	void (*prev)(struct iter *it); /* only when valid */
	void (*free)(struct iter *it);
};

struct iter {
	const struct iter_ops *ops;
	struct lsm_slice key;
	uint64_t tag;
	struct lsm_slice value;
	bool valid;
	/* What is known of the key of the entry before: newest, it is another
	 * one, so this is the newest version that is here. Not to say so is
	 * always right, but: after next(), one that tells says it whenever it
	 * is so. */
	bool newest, tells;
	int err; /* sticky until the next positioning call */
};

static inline void iter_seek(struct iter *it, struct lsm_slice key,
			     uint64_t tag)
{
	it->ops->seek(it, key, tag);
}

static inline void iter_seek_for_prev(struct iter *it, struct lsm_slice key,
				      uint64_t tag)
{
	it->ops->seek_for_prev(it, key, tag);
}

static inline void iter_first(struct iter *it)
{
	it->ops->first(it);
}

static inline void iter_last(struct iter *it)
{
	it->ops->last(it);
}

static inline void iter_next(struct iter *it)
{
	it->ops->next(it);
}

static inline void iter_prev(struct iter *it)
{
	it->ops->prev(it);
}

/* it may be NULL. */
static inline void iter_free(struct iter *it)
{
	if (it)
		it->ops->free(it);
}

#endif
