/* SPDX-License-Identifier: MIT */
/*
 * table_cache.c - which tables are open; see table_cache.h.
 *
 * The slots of open tables form a ring-like list, newest first, from which the
 * oldest that was not used since the last look is closed. The list is locked;
 * finding a reader is not: the slot's pointer is read under an epoch pin, and
 * the table cache gives its own reference back only through epoch_retire(), so
 * whoever found the pointer under a pin has a live reader until it unpins, and
 * may take a counted reference without asking.
 *
 * Opening reads from disk and is done outside the lock. When two threads open
 * the same table at once, the second to come finds the first one's reader in
 * the slot, uses that, and closes its own.
 */
#include "lsm/table/table_cache.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/epoch.h"
#include "lsm/base/file_name.h"
#include "lsm/base/sync.h"
#include "lsm/table/read_around.h"

struct table_cache {
	struct env_dir *dir;
	struct sst_reader_options options;
	struct read_around around;
	struct sst_maps maps;
	struct sst_counters counters;
	uint32_t max_open;
	struct mutex mutex;
	struct table_slot *newest, *oldest; /* protected by mutex */
	uint32_t open_count;                /* protected by mutex */
};

struct table_cache *table_cache_new(struct env_dir *dir, uint32_t max_open,
				    const struct sst_reader_options *o)
{
	struct table_cache *tc = aligned_alloc(64, sizeof(*tc));

	if (!tc)
		return NULL;
	memset(tc, 0, sizeof(*tc));
	tc->dir = dir;
	tc->options = *o;
	read_around_init(&tc->around);
	tc->options.around = &tc->around;
	tc->options.maps = &tc->maps;
	tc->options.counters = &tc->counters;
	tc->max_open = max_open ? max_open : 1;
	mutex_init(&tc->mutex);
	return tc;
}

void table_slot_init(struct table_slot *s, uint64_t number)
{
	atomic_init(&s->reader, NULL);
	atomic_init(&s->used, 0);
	s->number = number;
	s->next = s->prev = NULL;
}

static void put_reader(void *reader)
{
	sst_reader_put(reader);
}

static void push_locked(struct table_cache *tc, struct table_slot *s)
	REQUIRES(tc->mutex)
{
	s->prev = NULL;
	s->next = tc->newest;
	if (tc->newest)
		tc->newest->prev = s;
	else
		tc->oldest = s;
	tc->newest = s;
	tc->open_count++;
}

static void remove_locked(struct table_cache *tc, struct table_slot *s)
	REQUIRES(tc->mutex)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		tc->newest = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		tc->oldest = s->prev;
	s->next = s->prev = NULL;
	tc->open_count--;
}

/* Takes the reader out of an open slot; the caller retires it. */
static struct sst_reader *close_locked(struct table_cache *tc,
				       struct table_slot *s) REQUIRES(tc->mutex)
{
	remove_locked(tc, s);
	/* relaxed: the epoch orders this before the end of the reader */
	return atomic_exchange_explicit(&s->reader, NULL, memory_order_relaxed);
}

/* The reader that has to make room, or NULL. */
static struct sst_reader *evict_locked(struct table_cache *tc)
	REQUIRES(tc->mutex)
{
	/* once round the list clears every used bit */
	uint32_t steps = 2 * tc->open_count;

	if (tc->open_count <= tc->max_open)
		return NULL;
	while (steps--) {
		struct table_slot *s = tc->oldest;

		if (!atomic_exchange_explicit(&s->used, 0,
					      memory_order_relaxed))
			return close_locked(tc, s);
		remove_locked(tc, s);
		push_locked(tc, s);
	}
	return close_locked(tc, tc->oldest);
}

void table_cache_free(struct table_cache *tc)
{
	struct sst_reader *r;

	if (!tc)
		return;
	mutex_lock(&tc->mutex);
	while (tc->oldest) {
		r = close_locked(tc, tc->oldest);
		sst_reader_put(r);
	}
	mutex_unlock(&tc->mutex);
	/* readers retired earlier still use the directory and the cache */
	epoch_barrier();
	mutex_destroy(&tc->mutex);
	free(tc);
}

void table_cache_evict(struct table_cache *tc, struct table_slot *s)
{
	struct sst_reader *r = NULL;

	mutex_lock(&tc->mutex);
	if (atomic_load_explicit(&s->reader, memory_order_relaxed))
		r = close_locked(tc, s);
	mutex_unlock(&tc->mutex);
	if (r)
		epoch_retire(put_reader, r);
	cache_erase_file(tc->options.cache, s->number);
}

struct sst_reader *table_cache_find(struct table_cache *tc,
				    struct table_slot *s)
{
	/* acquire: pairs with the release in table_cache_get() */
	struct sst_reader *r =
		atomic_load_explicit(&s->reader, memory_order_acquire);

	if (r && !atomic_load_explicit(&s->used, memory_order_relaxed))
		atomic_store_explicit(&s->used, 1, memory_order_relaxed);
	return r;
}

int table_cache_get(struct table_cache *tc, struct table_slot *s,
		    struct sst_reader **out)
{
	struct sst_reader *r, *mine, *victim;
	char name[FILE_NAME_MAX];
	int err;

	epoch_pin();
	r = table_cache_find(tc, s);
	if (r)
		sst_reader_ref(r);
	epoch_unpin();
	if (r) {
		*out = r;
		return 0;
	}
	file_name(name, FILE_SST, s->number);
	err = sst_reader_open(tc->dir, name, s->number, &tc->options, &mine);
	if (err)
		return err;
	mutex_lock(&tc->mutex);
	r = atomic_load_explicit(&s->reader, memory_order_relaxed);
	if (r) {
		/* Nobody can close it while we hold the mutex. */
		sst_reader_ref(r);
		mutex_unlock(&tc->mutex);
		sst_reader_put(mine);
		*out = r;
		return 0;
	}
	sst_reader_ref(mine); /* one is the slot's, one the caller's */
	push_locked(tc, s);
	/* release: pairs with the acquire in table_cache_find() */
	atomic_store_explicit(&s->reader, mine, memory_order_release);
	victim = evict_locked(tc);
	mutex_unlock(&tc->mutex);
	if (victim)
		epoch_retire(put_reader, victim);
	*out = mine;
	return 0;
}

struct ahead *table_cache_ahead(struct table_cache *tc)
{
	return tc->options.ahead;
}

struct cache *table_cache_blocks(struct table_cache *tc)
{
	return tc->options.cache;
}

void table_cache_bloom(struct table_cache *tc, uint64_t *checked,
		       uint64_t *useful)
{
	uint64_t no = 0, maybe = 0;

	for (unsigned i = 0; i < SST_COUNTER_LINES; i++) {
		no += atomic_load_explicit(&tc->counters.line[i].bloom_no,
					   memory_order_relaxed);
		maybe += atomic_load_explicit(&tc->counters.line[i].bloom_maybe,
					      memory_order_relaxed);
	}
	*checked = no + maybe;
	*useful = no;
}
