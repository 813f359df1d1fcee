/* SPDX-License-Identifier: MIT */
/*
 * cache_impl.h - the inside of the block cache, for cache.c (finding, filling,
 * counting) and cache_evict.c (the lists, and making room). How it works is
 * told at the top of cache.c. Private to lsm/table/.
 */
#ifndef LSM_TABLE_CACHE_IMPL_H
#define LSM_TABLE_CACHE_IMPL_H

#include <stdatomic.h>

#include "lsm/base/hash.h"
#include "lsm/base/sync.h"
#include "lsm/table/cache.h"
#include "lsm/table/cache_mem.h"

#define IN_TABLE (1u << 31)

#define SHARD_BYTES_MIN     (1u << 20) /* more shards only when they are big */
#define SHARDS_MAX          64
#define BUCKET_BYTES        4096 /* one bucket for so much capacity */
#define BUCKETS_MIN         16
#define BUCKETS_MAX         (1u << 20)
#define PROTECTED_PARTS     4 /* of five: the protected share of a shard */
#define ALL_PARTS           5
#define SLACK_PARTS         32 /* of the capacity: free pieces that go round */
#define SLACK_MAX           (16u << 20)
#define STRIPES             16
#define EVICT_STEPS_MAX     64 /* looked at in one visit of a shard */
#define DRAIN_PLACES        64 /* of a slab, moved at once */
#define DRAIN_FRUITLESS_MAX 64

/* One cache line, so that the data after it is aligned to one. */
struct cache_entry {
	_Atomic(struct cache_entry *) chain;
	uint64_t file, offset;
	union { /* protected by shard->mutex */
		struct cache_entry *newer;
		struct cache *owner; /* of the first of a retired list */
	};
	struct cache_entry *older; /* protected by shard->mutex */
	/* Where a reader keeps it, or NULL; written under shard->mutex. */
	_Atomic(struct cache_slot *) slot;
	uint32_t bytes;
	_Atomic uint32_t state;
	uint16_t pad;         /* bytes between entry and data; constant */
	uint16_t class;       /* of its memory; constant, as bytes */
	_Atomic uint8_t used; /* since it came or was last passed over */
	bool is_protected;    /* protected by shard->mutex */
	bool was_in_table;    /* set before it can be found */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct cache_entry) == 64, "one cache line");

struct entry_list {
	struct cache_entry *newest, *oldest;
	uint64_t bytes;
};

struct shard {
	struct mutex mutex;
	_Atomic(struct cache_entry *) *bucket;
	uint32_t bucket_mask;
	struct entry_list probation, protected; /* protected by mutex */
	_Atomic uint64_t entries, evictions;    /* written under mutex */
} __attribute__((aligned(64)));

struct stripe {
	_Atomic uint64_t hits, misses;
} __attribute__((aligned(64)));

struct cache {
	uint64_t capacity;
	uint64_t slack;       /* what it does not fill with live pieces */
	uint32_t shard_count; /* a power of two */
	struct shard *shard;
	struct stripe stripe[STRIPES];
	_Atomic int64_t charged __attribute__((aligned(64)));
	_Atomic uint32_t hand; /* the shard to evict from next */
	/* A bit for each shard that has entries; changed under its mutex. */
	_Atomic uint64_t filled;
	struct cache_mem mem;
};

_Static_assert(SHARDS_MAX <= 64, "a bit a shard");

static inline bool exceeds(struct cache *c, const _Atomic int64_t *bytes,
			   uint64_t limit)
{
	int64_t sum = atomic_load_explicit(bytes, memory_order_relaxed) +
		      atomic_load_explicit(&c->charged, memory_order_relaxed);

	return sum > 0 && (uint64_t)sum > limit;
}

/* Too many entries. */
static inline bool over_live(struct cache *c)
{
	return exceeds(c, &c->mem.live, c->capacity - c->slack);
}

/* Too many slabs for them. */
static inline bool over_held(struct cache *c)
{
	return exceeds(c, &c->mem.held, c->capacity);
}

/* Evicting mappings would help. */
static inline bool over_held_by_mappings(struct cache *c)
{
	return atomic_load_explicit(&c->mem.mapped, memory_order_relaxed) > 0 &&
	       over_held(c);
}

static inline bool over_budget(struct cache *c)
{
	return over_live(c) || over_held(c);
}

static inline uint64_t place(uint64_t file, uint64_t offset)
{
	return hash_mix(file, offset);
}

static inline struct shard *shard_of(struct cache *c, uint64_t h)
{
	return &c->shard[(h >> 32) & (c->shard_count - 1)];
}

/* Takes a list linked by older; the entries are dead and unlinked. */
void cache_retire(struct cache *c, struct cache_entry *list);
void cache_link_locked(struct cache *c, struct shard *s, struct cache_entry *e,
		       uint64_t h) REQUIRES(s->mutex);
/* Out of its chain and list. It stays readable for those who stand on it. */
void cache_unlink_locked(struct cache *c, struct shard *s,
			 struct cache_entry *e) REQUIRES(s->mutex);
/* The entry without a pin: the shard's mutex is held. */
struct cache_entry *cache_find_linked(struct cache *c, uint64_t file,
				      uint64_t offset);
/* Evicts until the budget holds, or nothing is left to evict. */
void cache_shrink(struct cache *c);

#endif
