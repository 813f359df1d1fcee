/* SPDX-License-Identifier: MIT */
/*
 * table_cache.h - open tables: at most so many readers at once, opened when
 * first needed, the least recently used closed.
 *
 * A slot belongs to one table of the tree and is embedded in its version
 * entry. Finding an open reader takes no lock (an epoch pin protects it).
 */
#ifndef LSM_TABLE_TABLE_CACHE_H
#define LSM_TABLE_TABLE_CACHE_H

#include "lsm/table/sst.h"

struct table_cache;

struct table_slot {
	_Atomic(struct sst_reader *) reader; /* NULL: not open */
	uint64_t number;
	_Atomic uint32_t used;          /* second-chance bit */
	struct table_slot *next, *prev; /* protected by the table cache */
};

struct table_cache *table_cache_new(struct env_dir *dir, uint32_t max_open,
				    const struct sst_reader_options *o);
void table_cache_free(struct table_cache *tc);

/* A slot is zeroed and has its number before first use. */
void table_slot_init(struct table_slot *s, uint64_t number);
/* Closes the reader if open and forgets its cached blocks. The slot must not
 * be in use. */
void table_cache_evict(struct table_cache *tc, struct table_slot *s);

/* The open reader or NULL; the caller is pinned and may use it until it
 * unpins. No lock. */
struct sst_reader *table_cache_find(struct table_cache *tc,
				    struct table_slot *s);
/* Opens when needed; *out carries a reference (sst_reader_put()). */
int table_cache_get(struct table_cache *tc, struct table_slot *s,
		    struct sst_reader **out);
struct cache *table_cache_blocks(struct table_cache *tc);
/* Questions to filters, and how many of them kept from a read. */
void table_cache_bloom(struct table_cache *tc, uint64_t *checked,
		       uint64_t *useful);
/* What reads ahead for these tables, or NULL. */
struct ahead *table_cache_ahead(struct table_cache *tc);

#endif
