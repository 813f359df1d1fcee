/* SPDX-License-Identifier: MIT */
/*
 * cache_slab.h - one slab of the cache's memory (cache_mem.h):
 *
 *   head | piece | piece | ...      aligned to its size
 *
 * Private to the files that make up struct cache_mem.
 */
#ifndef LSM_TABLE_CACHE_SLAB_H
#define LSM_TABLE_CACHE_SLAB_H

#include <stdbool.h>

#include "lsm/table/cache_impl.h"
#include "lsm/table/cache_mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CACHE_SLAB_MAX ((size_t)2 << 20) /* a huge page */

/* Protected by the mutex of cache_mem but for what is constant. */
struct slab {
	struct slab *next, *prev;                 /* in the ring of all */
	struct slab *partial_next, *partial_prev; /* of its class */
	uint32_t pieces;                          /* constant, as is class */
	uint32_t taken, live;                     /* live and killed; live */
	uint16_t class;
	bool is_partial, is_draining;
	uint64_t drained; /* the last round in which it was drained */
	uint64_t map[];   /* a bit for each piece: it is taken */
};

/* The head, rounded up so that pieces are aligned to cache lines. */
static inline size_t slab_head_bytes(uint32_t pieces)
{
	size_t bytes =
		sizeof(struct slab) + (pieces + 63) / 64 * sizeof(uint64_t);

	return (bytes + 63) & ~(size_t)63;
}

static inline struct cache_entry *slab_piece(const struct cache_mem *m,
					     struct slab *s, uint32_t i)
{
	const struct size_class *c = &m->classes[s->class];

	return (struct cache_entry *)((uint8_t *)s + c->first +
				      (size_t)i * c->bytes);
}

static inline uint32_t slab_piece_index(const struct cache_mem *m,
					const struct slab *s,
					const struct cache_entry *e)
{
	const struct size_class *c = &m->classes[s->class];
	size_t at = (size_t)((const uint8_t *)e - (const uint8_t *)s);

	return (uint32_t)((at - c->first) / c->bytes);
}

/* Unmaps memory that may be poisoned. */
void cache_mem_unmap(void *p, size_t bytes);
/* A fresh one, of zeros; NULL: no memory. */
struct slab *slab_map(const struct cache_mem *m);

/* The rest with the mutex held. */

/* The list of its class's slabs with a free piece. */
void slab_partial_push(struct size_class *c, struct slab *s, bool first);
void slab_partial_remove(struct size_class *c, struct slab *s);
/* Into use for a class. Mapped memory is zeros, an idle slab is not. */
void slab_start(struct cache_mem *m, struct slab *s, uint16_t class);
/* Without pieces now. Returns what is to be unmapped, or NULL. */
struct slab *slab_stop(struct cache_mem *m, struct slab *s);

#endif
