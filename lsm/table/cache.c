/* SPDX-License-Identifier: MIT */
/*
 * cache.c - the block cache; what it promises is in cache.h.
 *
 * A shard is a hash table of chains and two lists, probation and protected,
 * newest first. Readers walk chains under an epoch pin and without a lock;
 * everything that links or unlinks holds the shard's mutex. A chain is only
 * ever pushed to at its head, and an unlinked entry keeps its next pointer, so
 * a reader that stands on one finds its way.
 *
 * Life of an entry, told by its state word (IN_TABLE bit and a count of
 * references):
 *
 *   n            filled or used by its owners only
 *   IN_TABLE|n   can be found
 *   0            dead: whoever brought the state here hands it to the epochs
 *
 * Nobody leaves state 0, so exactly one thread gets there. Eviction takes only
 * entries without references (one compare-and-swap, IN_TABLE to 0), for
 * evicting others would free nothing. cache_erase_file() takes the bit off
 * whatever the count is, and the last reference then frees. Because an epoch
 * reader may have found an entry before it was unlinked, every entry that was
 * ever in the table is freed through epoch_retire().
 *
 * The budget is one sum over all shards: the slabs that hold entries
 * (cache_mem.c) + charged <= capacity. Whoever exceeds it evicts from one shard
 * after another until it holds again, or until a whole round found nothing to
 * evict. So that an evicted entry's piece is there for the next one although
 * the epochs have to pass first, the entries themselves fill a little less than
 * the budget.
 */
#include "lsm/table/cache_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/epoch.h"

static inline void count(struct cache *c, bool hit)
{
	unsigned line = thread_line(STRIPES);
	struct stripe *s = &c->stripe[line];

	line_add(hit ? &s->hits : &s->misses, 1, line, STRIPES);
}

struct cache *cache_new(uint64_t capacity_bytes)
{
	struct cache *c = aligned_alloc(64, sizeof(*c));
	uint32_t i, shards = 1, buckets = BUCKETS_MIN;

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	/* what is charged may be all of it: sums stay far from overflow */
	c->capacity =
		capacity_bytes < INT64_MAX / 4 ? capacity_bytes : INT64_MAX / 4;
	c->slack = c->capacity / SLACK_PARTS < SLACK_MAX
			   ? c->capacity / SLACK_PARTS
			   : SLACK_MAX;
	cache_mem_init(&c->mem, c->capacity);
	while (shards < SHARDS_MAX &&
	       c->capacity / (2 * shards) >= SHARD_BYTES_MIN)
		shards *= 2;
	while (buckets < BUCKETS_MAX &&
	       c->capacity / shards / buckets > BUCKET_BYTES)
		buckets *= 2;
	c->shard_count = shards;
	c->shard = aligned_alloc(64, shards * sizeof(*c->shard));
	if (!c->shard) {
		cache_mem_release(&c->mem);
		free(c);
		return NULL;
	}
	memset(c->shard, 0, shards * sizeof(*c->shard));
	for (i = 0; i < shards; i++) {
		struct shard *s = &c->shard[i];

		mutex_init(&s->mutex);
		s->bucket_mask = buckets - 1;
		s->bucket = calloc(buckets, sizeof(*s->bucket));
		if (!s->bucket) {
			c->shard_count = i + 1;
			cache_free(c);
			return NULL;
		}
	}
	return c;
}

void cache_free(struct cache *c)
{
	uint32_t i;

	if (!c)
		return;
	/* what was evicted is freed into our slabs */
	epoch_barrier();
	for (i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shard[i];

		cache_mem_free(&c->mem, s->probation.newest);
		cache_mem_free(&c->mem, s->protected.newest);
		free(s->bucket);
		mutex_destroy(&s->mutex);
	}
	cache_mem_release(&c->mem);
	free(c->shard);
	free(c);
}

static inline struct cache_entry *find(struct cache *c, uint64_t file,
				       uint64_t offset)
{
	uint64_t h = place(file, offset);
	struct shard *s = shard_of(c, h);
	struct cache_entry *e;

	/* acquire: pairs with the release in cache_link_locked(); the entry's
	 * fields and data were written before */
	e = atomic_load_explicit(&s->bucket[h & s->bucket_mask],
				 memory_order_acquire);
	while (e) {
		/* most likely it is the one: its data is wanted next, and can
		 * come along with what is compared here */
		__builtin_prefetch(e + 1);
		if (e->offset == offset && e->file == file)
			break;
		/* acquire: as above, for an entry further down */
		e = atomic_load_explicit(&e->chain, memory_order_acquire);
	}
	return e;
}

struct cache_entry *cache_find_linked(struct cache *c, uint64_t file,
				      uint64_t offset)
{
	return find(c, file, offset);
}

static inline void touch(struct cache *c, struct cache_entry *e)
{
	/* Written only when it changes: hot entries stay shared between the
	 * cores' caches. */
	if (!atomic_load_explicit(&e->used, memory_order_relaxed))
		atomic_store_explicit(&e->used, 1, memory_order_relaxed);
	count(c, true);
}

struct cache_entry *cache_find(struct cache *c, uint64_t file, uint64_t offset)
{
	struct cache_entry *e;

	assert(epoch_is_pinned());
	e = find(c, file, offset);
	if (e)
		touch(c, e);
	return e;
}

struct cache_entry *cache_slot_find(struct cache *c, struct cache_slot *slot)
{
	/* acquire: pairs with the releases in cache_slot_fill() and when an
	 * entry is replaced; its fields and data were written before. It is
	 * not freed before we unpin: it is retired after the slot is emptied.
	 */
	struct cache_entry *e =
		atomic_load_explicit(&slot->entry, memory_order_acquire);

	assert(epoch_is_pinned());
	if (e) {
		__builtin_prefetch(e + 1);
		touch(c, e);
	}
	return e;
}

void cache_slot_fill(struct cache *c, struct cache_entry *e,
		     struct cache_slot *slot)
{
	struct shard *s = shard_of(c, place(e->file, e->offset));

	if (atomic_load_explicit(&e->slot, memory_order_relaxed))
		return;
	mutex_lock(&s->mutex);
	/* With this bit it is linked, as we hold the mutex. */
	if (!atomic_load_explicit(&e->slot, memory_order_relaxed) &&
	    atomic_load_explicit(&e->state, memory_order_relaxed) & IN_TABLE) {
		atomic_store_explicit(&e->slot, slot, memory_order_relaxed);
		/* release: pairs with cache_slot_find() */
		atomic_store_explicit(&slot->entry, e, memory_order_release);
	}
	mutex_unlock(&s->mutex);
}

void cache_slot_clear(struct cache *c, struct cache_slot *slot, uint64_t file,
		      uint64_t offset)
{
	struct shard *s = shard_of(c, place(file, offset));
	struct cache_entry *e;

	/* acquire: pairs with the release in slot_replace_locked(), so that who
	 * emptied it has done with the slot before its memory goes. */
	if (!atomic_load_explicit(&slot->entry, memory_order_acquire))
		return;
	mutex_lock(&s->mutex);
	/* What is in a slot is linked. */
	e = atomic_load_explicit(&slot->entry, memory_order_relaxed);
	if (e) {
		atomic_store_explicit(&e->slot, NULL, memory_order_relaxed);
		atomic_store_explicit(&slot->entry, NULL, memory_order_relaxed);
	}
	mutex_unlock(&s->mutex);
}

void cache_hint_find(struct cache *c, uint64_t file, uint64_t offset)
{
	uint64_t h = place(file, offset);
	struct shard *s = shard_of(c, h);

	__builtin_prefetch(&s->bucket[h & s->bucket_mask]);
}

void cache_hint_read(struct cache *c, uint64_t file, uint64_t offset,
		     size_t from, size_t len)
{
	uint64_t h = place(file, offset);
	struct shard *s = shard_of(c, h);
	/* Nothing is read through it, so it may be gone or another block;
	 * mostly the first of a chain is the one. */
	const struct cache_entry *e = atomic_load_explicit(
		&s->bucket[h & s->bucket_mask], memory_order_relaxed);
	const char *at = (const char *)(e + 1) + from;

	if (!e)
		return;
	__builtin_prefetch(e);
	__builtin_prefetch(e + 1);
	for (size_t i = 0; i < len; i += 64)
		__builtin_prefetch(at + i);
}

bool cache_ref(struct cache_entry *e)
{
	uint32_t s = atomic_load_explicit(&e->state, memory_order_relaxed);

	do {
		if (!s)
			return false;
		/* acquire: pairs with the release of cache_put(), so that what
		 * we do comes after what the last holder did */
	} while (!atomic_compare_exchange_weak_explicit(&e->state, &s, s + 1,
							memory_order_acquire,
							memory_order_relaxed));
	return true;
}

struct cache_entry *cache_get(struct cache *c, uint64_t file, uint64_t offset)
{
	struct cache_entry *e;

	epoch_pin();
	e = find(c, file, offset);
	if (e) {
		if (cache_ref(e))
			touch(c, e);
		else
			e = NULL;
	}
	epoch_unpin();
	return e;
}

void cache_put(struct cache *c, struct cache_entry *e)
{
	/* acq_rel: our use of the entry comes before its end, and whoever ends
	 * it sees everybody's use done; pairs with itself and the eviction */
	uint32_t s =
		atomic_fetch_sub_explicit(&e->state, 1, memory_order_acq_rel);

	assert(s & ~IN_TABLE);
	if (s != 1)
		return;
	e->older = NULL;
	if (e->was_in_table) {
		cache_retire(c, e);
	} else {
		cache_mem_kill(&c->mem, e);
		cache_mem_free(&c->mem, e);
	}
}

struct cache_entry *cache_alloc(struct cache *c, size_t bytes, size_t lead)
{
	struct cache_entry *e;

	if (bytes > UINT32_MAX / 2)
		return NULL;
	e = cache_mem_alloc(&c->mem, bytes, lead);
	/* relaxed: nobody else knows of it */
	if (e)
		atomic_store_explicit(&e->state, 1, memory_order_relaxed);
	return e;
}

struct cache_entry *cache_insert(struct cache *c, struct cache_entry *e,
				 uint64_t file, uint64_t offset, bool insert)
{
	uint64_t h = place(file, offset);
	struct shard *s = shard_of(c, h);
	struct cache_entry *old;

	count(c, false);
	e->file = file;
	e->offset = offset;
	if (insert) {
		mutex_lock(&s->mutex);
		/* Who is linked cannot die while we hold the mutex, unless it
		 * is referenced and being erased, which needs the mutex too;
		 * so cache_ref() of a linked entry succeeds. */
		old = find(c, file, offset);
		if (old && cache_ref(old)) {
			mutex_unlock(&s->mutex);
			cache_drop(c, e);
			return old;
		}
		e->was_in_table = true;
		/* release: pairs with cache_mem_drain_next(); readers get it
		 * from cache_link_locked() */
		atomic_store_explicit(&e->state, IN_TABLE | 1,
				      memory_order_release);
		cache_link_locked(c, s, e, h);
		mutex_unlock(&s->mutex);
	}
	if (over_budget(c))
		cache_shrink(c);
	return e;
}

void cache_drop(struct cache *c, struct cache_entry *e)
{
	assert(!e->was_in_table);
	cache_put(c, e);
}

void *cache_data(struct cache_entry *e)
{
	return (uint8_t *)(e + 1) + e->pad;
}

size_t cache_bytes(const struct cache_entry *e)
{
	return e->bytes;
}

/* Takes the entries of file off one list; the dead ones are put on *dead. */
static void erase_locked(struct cache *c, struct shard *s, struct entry_list *l,
			 uint64_t file, struct cache_entry **dead)
	REQUIRES(s->mutex)
{
	struct cache_entry *e = l->newest;

	while (e) {
		struct cache_entry *older = e->older;

		if (e->file == file) {
			uint32_t was;

			cache_unlink_locked(c, s, e);
			/* From here on the last holder may end it, so it is
			 * ours only when nobody holds it. acq_rel: pairs with
			 * cache_put(). */
			was = atomic_fetch_and_explicit(&e->state, ~IN_TABLE,
							memory_order_acq_rel);
			if (was == IN_TABLE) {
				e->older = *dead;
				*dead = e;
			}
		}
		e = older;
	}
}

void cache_erase_file(struct cache *c, uint64_t file)
{
	uint32_t i;

	for (i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shard[i];
		struct cache_entry *dead = NULL;

		mutex_lock(&s->mutex);
		erase_locked(c, s, &s->probation, file, &dead);
		erase_locked(c, s, &s->protected, file, &dead);
		mutex_unlock(&s->mutex);
		cache_retire(c, dead);
	}
}

void cache_charge(struct cache *c, int64_t delta)
{
	atomic_fetch_add_explicit(&c->charged, delta, memory_order_relaxed);
	if (delta > 0 && over_budget(c))
		cache_shrink(c);
}

uint64_t cache_room(struct cache *c)
{
	int64_t sum = atomic_load_explicit(&c->mem.held, memory_order_relaxed) +
		      atomic_load_explicit(&c->charged, memory_order_relaxed);
	uint64_t least = c->capacity / 4, taken = sum > 0 ? (uint64_t)sum : 0;

	return taken < c->capacity - least ? c->capacity - taken : least;
}

void cache_get_stats(struct cache *c, struct cache_stats *out)
{
	int64_t used = atomic_load_explicit(&c->mem.held, memory_order_relaxed);
	int64_t charged =
		atomic_load_explicit(&c->charged, memory_order_relaxed);
	uint32_t i;

	memset(out, 0, sizeof(*out));
	out->capacity = c->capacity;
	out->used = used > 0 ? (uint64_t)used : 0;
	out->charged = charged > 0 ? (uint64_t)charged : 0;
	for (i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shard[i];

		out->entries +=
			atomic_load_explicit(&s->entries, memory_order_relaxed);
		out->evictions += atomic_load_explicit(&s->evictions,
						       memory_order_relaxed);
	}
	for (i = 0; i < STRIPES; i++) {
		out->hits += atomic_load_explicit(&c->stripe[i].hits,
						  memory_order_relaxed);
		out->misses += atomic_load_explicit(&c->stripe[i].misses,
						    memory_order_relaxed);
	}
}
