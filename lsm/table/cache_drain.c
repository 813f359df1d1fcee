/* SPDX-License-Identifier: MIT */
/*
 * cache_drain.c - emptying slabs of the cache's memory; see cache_mem.h.
 *
 * Slabs that are sparsely filled are what could break the budget: when the mix
 * of sizes shifts, pieces of the old sizes are freed here and there, and no
 * slab becomes empty. So the cache can have one drained: its entries are copied
 * into free pieces of other slabs, or evicted where there are none
 * (cache_evict.c). Memcached moves slabs between classes for the same reason.
 */
#include "lsm/table/cache_slab.h"

#define SAMPLE         64 /* slabs looked at to find a sparse one */
#define DRAIN_HELD_MAX 16 /* held slabs in a row that are passed over */

uint64_t cache_mem_drain_round(struct cache_mem *m)
{
	uint64_t round;

	mutex_lock(&m->mutex);
	round = ++m->rounds;
	mutex_unlock(&m->mutex);
	return round;
}

/* live / pieces is smaller. */
static bool is_sparser(const struct slab *s, const struct slab *than)
{
	return !than || (uint64_t)s->live * than->pieces <
				(uint64_t)than->live * s->pieces;
}

/* Does somebody hold an entry of it? Then it cannot become empty. */
static bool is_held(struct cache_mem *m, struct slab *s) REQUIRES(m->mutex)
{
	for (uint32_t i = 0; i < s->pieces; i++) {
		uint32_t state;

		if (!(s->map[i / 64] >> (i % 64) & 1))
			continue;
		/* relaxed: who takes hold of one from now on is met later */
		state = atomic_load_explicit(&slab_piece(m, s, i)->state,
					     memory_order_relaxed);
		if (state && state != IN_TABLE)
			return true;
	}
	return false;
}

/* The sparsest of a few that were not chosen in this round, or NULL. */
static struct slab *choose(struct cache_mem *m, uint64_t round)
	REQUIRES(m->mutex)
{
	struct slab *best = NULL, *s = m->hand;
	unsigned n = 0;

	while (s && (n++ < SAMPLE || !best)) {
		if (s->live && !s->is_draining && s->drained != round &&
		    is_sparser(s, best))
			best = s;
		s = s->next;
		if (s == m->hand)
			break;
	}
	m->hand = s;
	if (best)
		best->drained = round;
	return best;
}

struct slab *cache_mem_drain_begin(struct cache_mem *m, uint64_t round)
{
	unsigned tries = DRAIN_HELD_MAX;
	struct slab *s;

	mutex_lock(&m->mutex);
	do {
		s = choose(m, round);
	} while (s && is_held(m, s) && --tries);
	if (!tries)
		s = NULL;
	if (s) {
		s->is_draining = true;
		slab_partial_remove(&m->classes[s->class], s);
	}
	mutex_unlock(&m->mutex);
	return s;
}

unsigned cache_mem_drain_next(struct cache_mem *m, struct slab *s,
			      uint32_t *piece, struct cache_place *places,
			      unsigned max)
{
	unsigned n = 0;

	mutex_lock(&m->mutex);
	for (; *piece < s->pieces && n < max; ++*piece) {
		struct cache_entry *e = slab_piece(m, s, *piece);

		if (!(s->map[*piece / 64] >> (*piece % 64) & 1))
			continue;
		/* acquire: pairs with the release in cache_insert(): the place
		 * was written before. It stays what it is until the piece is
		 * freed, which needs the mutex. */
		if (atomic_load_explicit(&e->state, memory_order_acquire) &
		    IN_TABLE)
			places[n++] = (struct cache_place){e->file, e->offset};
	}
	mutex_unlock(&m->mutex);
	return n;
}

void cache_mem_drain_end(struct cache_mem *m, struct slab *s)
{
	struct slab *empty = NULL;

	mutex_lock(&m->mutex);
	s->is_draining = false;
	if (!s->taken)
		empty = slab_stop(m, s);
	else if (s->taken < s->pieces)
		slab_partial_push(&m->classes[s->class], s, false);
	mutex_unlock(&m->mutex);
	if (empty)
		cache_mem_unmap(empty, m->slab_bytes);
}
