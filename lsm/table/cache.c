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
 * The budget is one atomic sum over all shards: used (entries from
 * cache_alloc() to their end) + charged <= capacity. Whoever exceeds it evicts
 * from one shard after another until it holds again, or until a whole round
 * found nothing to evict.
 */
#include "lsm/table/cache.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/epoch.h"
#include "lsm/base/hash.h"
#include "lsm/base/sync.h"

#define IN_TABLE (1u << 31)

#define SHARD_BYTES_MIN (1u << 20) /* more shards only when they are big */
#define SHARDS_MAX      64
#define BUCKET_BYTES    4096 /* one bucket for so much capacity */
#define BUCKETS_MIN     16
#define BUCKETS_MAX     (1u << 20)
#define PROTECTED_PARTS 4 /* of five: the protected share of a shard */
#define ALL_PARTS       5
#define MALLOC_OVERHEAD 16
#define STRIPES         16
#define EVICT_STEPS_MAX 64 /* looked at in one visit of a shard */

/* One cache line, so that the data after it is aligned to one. */
struct cache_entry {
	_Atomic(struct cache_entry *) chain;
	uint64_t file, offset;
	struct cache_entry *newer, *older; /* protected by shard->mutex */
	size_t bytes;
	_Atomic uint32_t state;
	uint16_t shard;
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
	uint32_t shard_count; /* a power of two */
	struct shard *shard;
	struct stripe stripe[STRIPES];
	_Atomic int64_t used __attribute__((aligned(64)));
	_Atomic int64_t charged;
	_Atomic uint32_t hand; /* the shard to evict from next */
	/* A bit for each shard that has entries; changed under its mutex. */
	_Atomic uint64_t filled;
};

_Static_assert(SHARDS_MAX <= 64, "a bit a shard");

static struct stripe *my_stripe(struct cache *c)
{
	static _Atomic uint32_t threads;
	static _Thread_local uint32_t mine;

	if (!mine)
		mine = 1 + atomic_fetch_add_explicit(&threads, 1,
						     memory_order_relaxed) %
				   STRIPES;
	return &c->stripe[mine - 1];
}

static size_t entry_cost(const struct cache_entry *e)
{
	return sizeof(*e) + e->bytes + MALLOC_OVERHEAD;
}

static bool over_budget(struct cache *c)
{
	int64_t sum = atomic_load_explicit(&c->used, memory_order_relaxed) +
		      atomic_load_explicit(&c->charged, memory_order_relaxed);

	return sum > 0 && (uint64_t)sum > c->capacity;
}

static void add_used(struct cache *c, int64_t delta)
{
	atomic_fetch_add_explicit(&c->used, delta, memory_order_relaxed);
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
	while (shards < SHARDS_MAX &&
	       c->capacity / (2 * shards) >= SHARD_BYTES_MIN)
		shards *= 2;
	while (buckets < BUCKETS_MAX &&
	       c->capacity / shards / buckets > BUCKET_BYTES)
		buckets *= 2;
	c->shard_count = shards;
	c->shard = aligned_alloc(64, shards * sizeof(*c->shard));
	if (!c->shard) {
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

static void list_free(struct cache_entry *e)
{
	while (e) {
		struct cache_entry *older = e->older;

		free(e);
		e = older;
	}
}

void cache_free(struct cache *c)
{
	uint32_t i;

	if (!c)
		return;
	for (i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shard[i];

		list_free(s->probation.newest);
		list_free(s->protected.newest);
		free(s->bucket);
		mutex_destroy(&s->mutex);
	}
	free(c->shard);
	free(c);
}

static uint64_t place(uint64_t file, uint64_t offset)
{
	return hash_mix(file, offset);
}

static struct shard *shard_of(struct cache *c, uint64_t h)
{
	return &c->shard[(h >> 32) & (c->shard_count - 1)];
}

static inline struct cache_entry *find(struct cache *c, uint64_t file,
				       uint64_t offset)
{
	uint64_t h = place(file, offset);
	struct shard *s = shard_of(c, h);
	struct cache_entry *e;

	/* acquire: pairs with the release in link_locked(); the entry's fields
	 * and data were written before */
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

static inline void touch(struct cache *c, struct cache_entry *e)
{
	/* Written only when it changes: hot entries stay shared between the
	 * cores' caches. */
	if (!atomic_load_explicit(&e->used, memory_order_relaxed))
		atomic_store_explicit(&e->used, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&my_stripe(c)->hits, 1, memory_order_relaxed);
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

static void free_entries(void *arg)
{
	list_free(arg);
}

/* Takes a list linked by older; the entries are dead and unlinked. */
static void retire(struct cache *c, struct cache_entry *list)
{
	struct cache_entry *e;

	if (!list)
		return;
	for (e = list; e; e = e->older)
		add_used(c, -(int64_t)entry_cost(e));
	epoch_retire(free_entries, list);
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
		retire(c, e);
	} else {
		add_used(c, -(int64_t)entry_cost(e));
		free(e);
	}
}

static void list_push(struct entry_list *l, struct cache_entry *e)
{
	e->newer = NULL;
	e->older = l->newest;
	if (l->newest)
		l->newest->newer = e;
	else
		l->oldest = e;
	l->newest = e;
	l->bytes += entry_cost(e);
}

static void list_remove(struct entry_list *l, struct cache_entry *e)
{
	if (e->newer)
		e->newer->older = e->older;
	else
		l->newest = e->older;
	if (e->older)
		e->older->newer = e->newer;
	else
		l->oldest = e->newer;
	l->bytes -= entry_cost(e);
}

static uint64_t shard_bit(struct cache *c, const struct shard *s)
{
	return 1ull << (s - c->shard);
}

static void link_locked(struct cache *c, struct shard *s, struct cache_entry *e,
			uint64_t h) REQUIRES(s->mutex)
{
	_Atomic(struct cache_entry *) *head = &s->bucket[h & s->bucket_mask];

	atomic_store_explicit(&e->chain,
			      atomic_load_explicit(head, memory_order_relaxed),
			      memory_order_relaxed);
	/* release: pairs with the acquire in find() */
	atomic_store_explicit(head, e, memory_order_release);
	list_push(&s->probation, e);
	e->is_protected = false;
	if (!atomic_fetch_add_explicit(&s->entries, 1, memory_order_relaxed))
		atomic_fetch_or_explicit(&c->filled, shard_bit(c, s),
					 memory_order_relaxed);
}

/* Out of its chain and list. It stays readable for those who stand on it. */
static void unlink_locked(struct cache *c, struct shard *s,
			  struct cache_entry *e) REQUIRES(s->mutex)
{
	uint64_t h = place(e->file, e->offset);
	_Atomic(struct cache_entry *) *at = &s->bucket[h & s->bucket_mask];
	struct cache_entry *i;

	while ((i = atomic_load_explicit(at, memory_order_relaxed)) != e)
		at = &i->chain;
	/* release: what follows was published to us by the mutex and must be
	 * as visible to readers that come this way; pairs with find() */
	atomic_store_explicit(
		at, atomic_load_explicit(&e->chain, memory_order_relaxed),
		memory_order_release);
	list_remove(e->is_protected ? &s->protected : &s->probation, e);
	if (atomic_fetch_sub_explicit(&s->entries, 1, memory_order_relaxed) ==
	    1)
		atomic_fetch_and_explicit(&c->filled, ~shard_bit(c, s),
					  memory_order_relaxed);
}

static bool take_used(struct cache_entry *e)
{
	if (!atomic_load_explicit(&e->used, memory_order_relaxed))
		return false;
	atomic_store_explicit(&e->used, 0, memory_order_relaxed);
	return true;
}

static void move_locked(struct shard *s, struct cache_entry *e,
			bool is_protected) REQUIRES(s->mutex)
{
	list_remove(e->is_protected ? &s->protected : &s->probation, e);
	e->is_protected = is_protected;
	list_push(is_protected ? &s->protected : &s->probation, e);
}

/*
 * One victim of the shard, dead and unlinked, or NULL. A used entry on
 * probation becomes protected; the protected list gives its oldest back to
 * probation when it is too large, or when probation has nothing.
 */
static struct cache_entry *evict_one_locked(struct cache *c, struct shard *s)
	REQUIRES(s->mutex)
{
	/* None is passed over more than three times. */
	uint64_t steps =
		3 * atomic_load_explicit(&s->entries, memory_order_relaxed);

	if (steps > EVICT_STEPS_MAX)
		steps = EVICT_STEPS_MAX;
	for (; steps; steps--) {
		uint64_t all = s->probation.bytes + s->protected.bytes;
		struct cache_entry *e = s->probation.oldest;
		uint32_t state = IN_TABLE;

		if (s->protected.oldest &&
		    (!e ||
		     s->protected.bytes / PROTECTED_PARTS > all / ALL_PARTS)) {
			struct cache_entry *o = s->protected.oldest;

			move_locked(s, o, take_used(o));
			continue;
		}
		if (!e)
			return NULL;
		if (take_used(e)) {
			move_locked(s, e, true);
			continue;
		}
		/* acq_rel: pairs with cache_put(): every use is done before
		 * the memory is handed on */
		if (!atomic_compare_exchange_strong_explicit(
			    &e->state, &state, 0, memory_order_acq_rel,
			    memory_order_relaxed)) {
			move_locked(s, e, false); /* somebody holds it */
			continue;
		}
		unlink_locked(c, s, e);
		atomic_fetch_add_explicit(&s->evictions, 1,
					  memory_order_relaxed);
		return e;
	}
	return NULL;
}

static uint64_t entry_count(struct cache *c)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < c->shard_count; i++)
		n += atomic_load_explicit(&c->shard[i].entries,
					  memory_order_relaxed);
	return n;
}

static uint64_t filled_count(struct cache *c)
{
	return (uint64_t)__builtin_popcountll(
		atomic_load_explicit(&c->filled, memory_order_relaxed));
}

/* The shards that have entries, one after the other; NULL: none has. So one
 * visit is all it takes to see that what is charged fills the budget alone. */
static struct shard *next_filled(struct cache *c)
{
	uint64_t filled =
		atomic_load_explicit(&c->filled, memory_order_relaxed);
	uint32_t i;

	if (!filled)
		return NULL;
	i = atomic_fetch_add_explicit(&c->hand, 1, memory_order_relaxed) &
	    (c->shard_count - 1);
	/* the next bit at or above i, or round from the lowest one */
	if (filled >> i)
		i += (uint32_t)__builtin_ctzll(filled >> i);
	else
		i = (uint32_t)__builtin_ctzll(filled);
	/* relaxed: a hint; where threads meet, one shard gets a visit more */
	atomic_store_explicit(&c->hand, i + 1, memory_order_relaxed);
	return &c->shard[i];
}

/*
 * Evicts until the budget holds. A visit to a shard may end without a victim
 * though there are some, because used bits had to be cleared first. An entry is
 * passed over a few times at most before it is a victim (used, protected,
 * demoted) or is known to be held, which bounds the visits worth making.
 */
static void shrink(struct cache *c)
{
	uint64_t fruitless = 0, limit = 0;
	struct shard *s;

	while (over_budget(c) && (s = next_filled(c)) != NULL) {
		struct cache_entry *e;

		mutex_lock(&s->mutex);
		e = evict_one_locked(c, s);
		mutex_unlock(&s->mutex);
		if (!e) {
			if (!limit)
				limit = 3 * filled_count(c) +
					4 * entry_count(c) / EVICT_STEPS_MAX;
			if (++fruitless > limit)
				return;
			continue;
		}
		fruitless = 0;
		e->older = NULL;
		retire(c, e);
	}
}

struct cache_entry *cache_alloc(struct cache *c, size_t bytes)
{
	struct cache_entry *e;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	if (posix_memalign((void **)&e, 64, sizeof(*e) + bytes))
		return NULL;
	memset(e, 0, sizeof(*e));
	e->bytes = bytes;
	atomic_init(&e->state, 1);
	add_used(c, (int64_t)entry_cost(e));
	return e;
}

struct cache_entry *cache_insert(struct cache *c, struct cache_entry *e,
				 uint64_t file, uint64_t offset, bool insert)
{
	uint64_t h = place(file, offset);
	struct shard *s = shard_of(c, h);
	struct cache_entry *old;

	atomic_fetch_add_explicit(&my_stripe(c)->misses, 1,
				  memory_order_relaxed);
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
		/* relaxed: link_locked() publishes it */
		atomic_store_explicit(&e->state, IN_TABLE | 1,
				      memory_order_relaxed);
		link_locked(c, s, e, h);
		mutex_unlock(&s->mutex);
	}
	if (over_budget(c))
		shrink(c);
	return e;
}

void cache_drop(struct cache *c, struct cache_entry *e)
{
	assert(!e->was_in_table);
	cache_put(c, e);
}

void *cache_data(struct cache_entry *e)
{
	return e + 1;
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

			unlink_locked(c, s, e);
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
		retire(c, dead);
	}
}

void cache_charge(struct cache *c, int64_t delta)
{
	atomic_fetch_add_explicit(&c->charged, delta, memory_order_relaxed);
	if (delta > 0 && over_budget(c))
		shrink(c);
}

uint64_t cache_room(struct cache *c)
{
	int64_t sum = atomic_load_explicit(&c->used, memory_order_relaxed) +
		      atomic_load_explicit(&c->charged, memory_order_relaxed);
	uint64_t least = c->capacity / 4, taken = sum > 0 ? (uint64_t)sum : 0;

	return taken < c->capacity - least ? c->capacity - taken : least;
}

void cache_get_stats(struct cache *c, struct cache_stats *out)
{
	int64_t used = atomic_load_explicit(&c->used, memory_order_relaxed);
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
