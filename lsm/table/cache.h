/* SPDX-License-Identifier: MIT */
/*
 * cache.h - the block cache: decompressed blocks by (file, offset), sharded,
 * bounded by one memory budget, resistant to scans.
 *
 * A lookup takes no lock: under an epoch pin it walks a hash chain and sets a
 * bit. Insertion and eviction lock one shard. Eviction is a segmented LRU by
 * second chance: a block enters on probation and is protected only once it is
 * used again, so that a scan of cold blocks pushes out its own kind. Evicted
 * blocks are handed to epoch_retire(), or freed with their last reference.
 *
 * The budget counts cached blocks, what cache_charge() adds (filters, indexes,
 * memtables) and per-entry overhead.
 */
#ifndef LSM_TABLE_CACHE_H
#define LSM_TABLE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;
struct cache_entry;

struct cache *cache_new(uint64_t capacity_bytes); /* NULL: no memory */
void cache_free(struct cache *c);                 /* no reference may be held */

/*
 * Finds a block without taking a reference. The caller is pinned
 * (epoch_pin()) and may use the block until it unpins. NULL: not there.
 */
struct cache_entry *cache_find(struct cache *c, uint64_t file, uint64_t offset);
/* The same with a counted reference, to be given back with cache_put(). Does
 * not need a pin. */
struct cache_entry *cache_get(struct cache *c, uint64_t file, uint64_t offset);
/*
 * A place where whoever looks for the same block again and again keeps it, so
 * that it need not be searched; all zero at the start. The cache empties it
 * when the block goes, and fills it again when the block has only moved.
 */
struct cache_slot {
	_Atomic(struct cache_entry *) entry;
};
/* As cache_find(), for what is in the slot; NULL: nothing. */
struct cache_entry *cache_slot_find(struct cache *c, struct cache_slot *slot);
/* Puts what cache_find() returned into the slot, unless it is in another one
 * or has been evicted meanwhile. */
void cache_slot_fill(struct cache *c, struct cache_entry *e,
		     struct cache_slot *slot);
/* Before the slot's memory goes: empties it of the block at that place. */
void cache_slot_clear(struct cache *c, struct cache_slot *slot, uint64_t file,
		      uint64_t offset);
/* Hints to the processor, which has to wait for memory otherwise: the block is
 * going to be looked for before long; and, some time after that: it is so next,
 * and len of its bytes from `from` on will be read. Neither reads anything. */
void cache_hint_find(struct cache *c, uint64_t file, uint64_t offset);
void cache_hint_read(struct cache *c, uint64_t file, uint64_t offset,
		     size_t from, size_t len);
/* Turns what cache_find() returned into a counted reference; false when it was
 * evicted meanwhile (look it up again). */
bool cache_ref(struct cache_entry *e);
void cache_put(struct cache *c, struct cache_entry *e);
/*
 * A block's memory is allocated by cache_alloc(), filled by the caller, and
 * then either inserted (the entry comes back referenced; when another thread
 * was faster, its entry comes back and ours is freed) or dropped. insert=false
 * keeps it out of the table: it lives as long as the reference (reads around
 * the cache). NULL: no memory. lead: what comes after so many bytes is best
 * aligned to a page; 0, or where that would waste memory: all is aligned to a
 * cache line.
 */
struct cache_entry *cache_alloc(struct cache *c, size_t bytes, size_t lead);
struct cache_entry *cache_insert(struct cache *c, struct cache_entry *e,
				 uint64_t file, uint64_t offset, bool insert);
void cache_drop(struct cache *c, struct cache_entry *e); /* not inserted */
void *cache_data(struct cache_entry *e);
size_t cache_bytes(const struct cache_entry *e);

/* Forgets every block of file. */
void cache_erase_file(struct cache *c, uint64_t file);
/* Memory elsewhere that counts against the budget; delta may be negative. The
 * cache shrinks to make room, down to nothing. */
void cache_charge(struct cache *c, int64_t delta);
/* What the budget has left for bytes that are not charged, such as pages of
 * maps: the rest of it, but a quarter at least. */
uint64_t cache_room(struct cache *c);

struct cache_stats {
	uint64_t capacity, used, charged, entries, hits, misses, evictions;
};
void cache_get_stats(struct cache *c, struct cache_stats *out);

#endif
