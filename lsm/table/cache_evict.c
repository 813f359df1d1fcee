/* SPDX-License-Identifier: MIT */
/*
 * cache_evict.c - the block cache's lists, and making room: a segmented LRU by
 * second chance. See the top of cache.c.
 */
#include "lsm/table/cache_impl.h"

#include <assert.h>
#include <string.h>

#include "lsm/base/epoch.h"

static void free_entries(void *arg)
{
	struct cache_entry *list = arg;

	cache_mem_free(&list->owner->mem, list);
}

void cache_retire(struct cache *c, struct cache_entry *list)
{
	if (!list)
		return;
	cache_mem_kill(&c->mem, list);
	list->owner = c;
	epoch_retire(free_entries, list);
}

static void list_push(struct cache *c, struct entry_list *l,
		      struct cache_entry *e)
{
	e->newer = NULL;
	e->older = l->newest;
	if (l->newest)
		l->newest->newer = e;
	else
		l->oldest = e;
	l->newest = e;
	l->bytes += cache_mem_cost(&c->mem, e);
}

static void list_remove(struct cache *c, struct entry_list *l,
			struct cache_entry *e)
{
	if (e->newer)
		e->newer->older = e->older;
	else
		l->newest = e->older;
	if (e->older)
		e->older->newer = e->newer;
	else
		l->oldest = e->newer;
	l->bytes -= cache_mem_cost(&c->mem, e);
}

static uint64_t shard_bit(struct cache *c, const struct shard *s)
{
	return 1ull << (s - c->shard);
}

void cache_link_locked(struct cache *c, struct shard *s, struct cache_entry *e,
		       uint64_t h) REQUIRES(s->mutex)
{
	_Atomic(struct cache_entry *) *head = &s->bucket[h & s->bucket_mask];

	atomic_store_explicit(&e->chain,
			      atomic_load_explicit(head, memory_order_relaxed),
			      memory_order_relaxed);
	/* release: pairs with the acquire in find() */
	atomic_store_explicit(head, e, memory_order_release);
	list_push(c, &s->probation, e);
	e->is_protected = false;
	if (!atomic_fetch_add_explicit(&s->entries, 1, memory_order_relaxed))
		atomic_fetch_or_explicit(&c->filled, shard_bit(c, s),
					 memory_order_relaxed);
}

/* What was in e's slot is now n; NULL: nothing. */
static void slot_replace_locked(struct cache_entry *e, struct cache_entry *n)
{
	struct cache_slot *slot =
		atomic_load_explicit(&e->slot, memory_order_relaxed);

	if (!slot)
		return;
	atomic_store_explicit(&e->slot, NULL, memory_order_relaxed);
	if (n)
		atomic_store_explicit(&n->slot, slot, memory_order_relaxed);
	/* release: pairs with the acquire in cache_slot_find() */
	atomic_store_explicit(&slot->entry, n, memory_order_release);
}

/* Out of its chain and list. It stays readable for those who stand on it. */
void cache_unlink_locked(struct cache *c, struct shard *s,
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
	slot_replace_locked(e, NULL);
	list_remove(c, e->is_protected ? &s->protected : &s->probation, e);
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

static void move_locked(struct cache *c, struct shard *s, struct cache_entry *e,
			bool is_protected) REQUIRES(s->mutex)
{
	list_remove(c, e->is_protected ? &s->protected : &s->probation, e);
	e->is_protected = is_protected;
	list_push(c, is_protected ? &s->protected : &s->probation, e);
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

			move_locked(c, s, o, take_used(o));
			continue;
		}
		if (!e)
			return NULL;
		if (take_used(e)) {
			move_locked(c, s, e, true);
			continue;
		}
		/* acq_rel: pairs with cache_put(): every use is done before
		 * the memory is handed on */
		if (!atomic_compare_exchange_strong_explicit(
			    &e->state, &state, 0, memory_order_acq_rel,
			    memory_order_relaxed)) {
			move_locked(c, s, e, false); /* somebody holds it */
			continue;
		}
		cache_unlink_locked(c, s, e);
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
 * Evicts while there are too many entries, as over() says. A visit to a shard
 * may end without a victim though there are some, because used bits had to be
 * cleared first. An entry is passed over a few times at most before it is a
 * victim (used, protected, demoted) or is known to be held, which bounds the
 * visits worth making.
 */
static void evict_while(struct cache *c, bool (*over)(struct cache *c))
{
	uint64_t fruitless = 0, limit = 0;
	struct shard *s;

	while (over(c) && (s = next_filled(c)) != NULL) {
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
		cache_retire(c, e);
	}
}

/* ---- draining slabs ----------------------------------------------------- */

/* Puts n, which is in no list yet, in the place of e. */
static void replace_locked(struct shard *s, struct cache_entry *e,
			   struct cache_entry *n) REQUIRES(s->mutex)
{
	struct entry_list *l = e->is_protected ? &s->protected : &s->probation;
	uint64_t h = place(e->file, e->offset);
	_Atomic(struct cache_entry *) *at = &s->bucket[h & s->bucket_mask];
	struct cache_entry *i;

	n->newer = e->newer;
	n->older = e->older;
	if (n->newer)
		n->newer->older = n;
	else
		l->newest = n;
	if (n->older)
		n->older->newer = n;
	else
		l->oldest = n;
	atomic_store_explicit(
		&n->chain,
		atomic_load_explicit(&e->chain, memory_order_relaxed),
		memory_order_relaxed);
	while ((i = atomic_load_explicit(at, memory_order_relaxed)) != e)
		at = &i->chain;
	/* release: pairs with the acquire in find() */
	atomic_store_explicit(at, n, memory_order_release);
	slot_replace_locked(e, n);
}

/* The same block in other memory, or NULL. */
static struct cache_entry *copy_entry(struct cache *c, struct cache_entry *e)
{
	struct cache_entry *n = cache_mem_alloc_beside(&c->mem, e);

	if (!n)
		return NULL;
	n->file = e->file;
	n->offset = e->offset;
	n->is_protected = e->is_protected;
	n->was_in_table = true;
	atomic_store_explicit(
		&n->used, atomic_load_explicit(&e->used, memory_order_relaxed),
		memory_order_relaxed);
	memcpy(cache_data(n), cache_data(e), e->bytes);
	/* release: pairs with cache_mem_drain_next() */
	atomic_store_explicit(&n->state, IN_TABLE, memory_order_release);
	return n;
}

/* Moves the entry out of the slab, or evicts it; not when it is held. */
static void move_out(struct cache *c, const struct cache_place *p,
		     const struct slab *slab)
{
	uint64_t h = place(p->file, p->offset);
	struct shard *s = shard_of(c, h);
	struct cache_entry *e, *n;
	uint32_t state = IN_TABLE;

	mutex_lock(&s->mutex);
	e = cache_find_linked(c, p->file, p->offset);
	/* acq_rel: pairs with cache_put(), as in evict_one_locked() */
	if (!e || cache_mem_slab(&c->mem, e) != slab ||
	    !atomic_compare_exchange_strong_explicit(&e->state, &state, 0,
						     memory_order_acq_rel,
						     memory_order_relaxed)) {
		mutex_unlock(&s->mutex);
		return;
	}
	n = copy_entry(c, e);
	if (n) {
		replace_locked(s, e, n);
	} else {
		cache_unlink_locked(c, s, e);
		atomic_fetch_add_explicit(&s->evictions, 1,
					  memory_order_relaxed);
	}
	mutex_unlock(&s->mutex);
	e->older = NULL;
	cache_retire(c, e);
}

/* False: there is no slab to drain. */
static bool drain_one(struct cache *c, uint64_t round)
{
	struct cache_place places[DRAIN_PLACES];
	struct slab *slab = cache_mem_drain_begin(&c->mem, round);
	uint32_t piece = 0;
	unsigned n;

	if (!slab)
		return false;
	while ((n = cache_mem_drain_next(&c->mem, slab, &piece, places,
					 DRAIN_PLACES)) > 0)
		for (unsigned i = 0; i < n; i++)
			move_out(c, &places[i], slab);
	cache_mem_drain_end(&c->mem, slab);
	return true;
}

/*
 * First what is least worth keeping goes. If the slabs hold too much after
 * that, it is in free pieces, and the sparsest slabs are drained; a few whose
 * entries are all held are passed over.
 */
void cache_shrink(struct cache *c)
{
	unsigned fruitless = 0;
	uint64_t round;

	evict_while(c, over_live);
	if (!over_held(c))
		return;
	round = cache_mem_drain_round(&c->mem);
	while (over_held(c) && fruitless < DRAIN_FRUITLESS_MAX) {
		int64_t before = atomic_load_explicit(&c->mem.held,
						      memory_order_relaxed);

		if (!drain_one(c, round))
			break;
		if (atomic_load_explicit(&c->mem.held, memory_order_relaxed) >=
		    before)
			fruitless++;
	}
	/* What is left are mappings, and slabs some of whose entries are held:
	 * to evict the others would empty the cache and give nothing back. */
	evict_while(c, over_held_by_mappings);
}
