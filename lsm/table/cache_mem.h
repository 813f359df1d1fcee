/* SPDX-License-Identifier: MIT */
/*
 * cache_mem.h - the memory of cache entries: slabs of pieces of one size, so
 * that what the cache counts is what the process holds. How, and why not
 * malloc(), is told at the top of cache_mem.c. Private to lsm/table/.
 *
 * A piece is allocated (live), killed (nobody will find it any more, somebody
 * may still read it), and freed. Killing is a matter of counting; only freeing
 * lets the piece be used again.
 *
 * Any thread. Under a shard's mutex, never the other way round.
 */
#ifndef LSM_TABLE_CACHE_MEM_H
#define LSM_TABLE_CACHE_MEM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/base/sync.h"

#define CACHE_MEM_CLASSES_MAX 160
#define CACHE_MEM_OWN         UINT16_MAX /* the class of a mapping of its own */

struct cache_entry;
struct slab;

struct size_class {
	uint32_t bytes;  /* of a piece */
	uint32_t pieces; /* of a slab */
	uint32_t first;  /* offset of the first one in a slab */
	size_t borrowed; /* bytes of larger pieces since it got a slab */
	/* Slabs with a free piece. Protected by the mutex of cache_mem. */
	struct slab *partial, *partial_last;
};

struct cache_mem {
	size_t slab_bytes;    /* a power of two; slabs are aligned to it */
	unsigned class_count; /* ordinary ones */
	unsigned page_count;  /* those that align data to pages, behind them */
	unsigned idle_max;
	struct size_class classes[CACHE_MEM_CLASSES_MAX]; /* ascending */
	struct mutex mutex;
	/* Protected by mutex. */
	struct slab *hand; /* all slabs with pieces, in a ring */
	struct slab *idle; /* without, for whatever class comes next */
	unsigned idle_count;
	uint64_t rounds; /* of draining */
	/* Written under mutex. held: the slabs with a live piece, and mappings;
	 * live: the pieces' shares in them; mapped: the mappings alone. */
	_Atomic int64_t held, live, mapped;
};

void cache_mem_init(struct cache_mem *m, uint64_t capacity_bytes);
/* Unmaps all slabs. Entries with a mapping of their own have been freed. */
void cache_mem_release(struct cache_mem *m);

/* An entry with its head zeroed but for what it says of its memory, data of
 * bytes behind it; NULL: no memory. lead: as for cache_alloc(). */
struct cache_entry *cache_mem_alloc(struct cache_mem *m, size_t bytes,
				    size_t lead);
/* The same for a copy of e, in a slab that there is; NULL: none has room. */
struct cache_entry *cache_mem_alloc_beside(struct cache_mem *m,
					   const struct cache_entry *e);
/* What an entry's piece counts in live. */
uint64_t cache_mem_cost(const struct cache_mem *m, const struct cache_entry *e);
/* Of a list linked by older. */
void cache_mem_kill(struct cache_mem *m, struct cache_entry *list);
void cache_mem_free(struct cache_mem *m, struct cache_entry *list);

/*
 * Emptying a slab: begin() chooses one with few live pieces, none of them held,
 * and takes it out of use for allocations (NULL: those of this round were all
 * chosen or held), next() tells what
 * was in the cache of it, a few at a time, from *piece on, and end() gives it
 * back. Until then it is not unmapped.
 */
struct cache_place {
	uint64_t file, offset;
};
uint64_t cache_mem_drain_round(struct cache_mem *m);
struct slab *cache_mem_drain_begin(struct cache_mem *m, uint64_t round);
unsigned cache_mem_drain_next(struct cache_mem *m, struct slab *s,
			      uint32_t *piece, struct cache_place *places,
			      unsigned max);
void cache_mem_drain_end(struct cache_mem *m, struct slab *s);
/* Where the entry lies. */
struct slab *cache_mem_slab(const struct cache_mem *m,
			    const struct cache_entry *e);

#endif
