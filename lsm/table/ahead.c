/* SPDX-License-Identifier: MIT */
/*
 * ahead.c - runs of blocks that are read beside their walker; see ahead.h.
 *
 * A run belongs to two: its owner and, from ahead_run_start() on, the pool. The
 * last to let go frees it. Whoever loads it publishes how many blocks are done
 * in `ready`; a block below that is the owner's alone. Owners that must wait
 * sleep on the pool's condition, which is signalled only when somebody said
 * that he waits.
 */
#include "lsm/table/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "lsm/table/stored.h"

/* An owner that has to sleep is woken when so many blocks are there for it. */
#define WAKE_BLOCKS 8
/* An owner looks so often for a block that is nearly done before it sleeps. */
#define SPINS 200

/* A run of so many bytes gets memory of its own. */
#define SMALL_BYTES (64u << 10)

struct ahead_block {
	struct sst_handle h;
	bool fill;
	struct cache_entry *entry;
};

struct ahead_run {
	struct worker_job work;
	struct ahead *a;
	struct ahead_source source;
	_Atomic uint32_t refs;
	_Atomic uint32_t ready;
	_Atomic bool cancelled;
	_Atomic uint32_t wanted; /* the owner sleeps until so many are ready */
	bool started;
	uint32_t holds; /* the owner's, beyond the first */
	uint32_t count, cap;
	uint32_t cached;   /* found in the cache; good once all are ready */
	uint64_t from, to; /* in the file, with trailers */
	struct ahead_block *block;
};

/* ---- the pool ----------------------------------------------------------- */

void ahead_init(struct ahead *a, struct cache *cache)
{
	memset(a, 0, sizeof(*a));
	workers_init(&a->workers, AHEAD_THREADS, "lsm-ahead");
	a->cache = cache;
	mutex_init(&a->mutex);
	cond_init(&a->cond);
}

void ahead_stop(struct ahead *a)
{
	workers_stop(&a->workers);
}

void ahead_release(struct ahead *a)
{
	ahead_stop(a);
	for (unsigned i = 0; i < a->buffers; i++) {
		free(a->buffer[i]);
		cache_charge(a->cache, -(int64_t)AHEAD_RUN_BYTES);
	}
	workers_destroy(&a->workers);
	cond_destroy(&a->cond);
	mutex_destroy(&a->mutex);
}

uint64_t ahead_room(const struct ahead *a)
{
	uint64_t all = cache_room(a->cache) / AHEAD_PARTS;
	uint64_t ordered =
		atomic_load_explicit(&a->ordered, memory_order_relaxed);

	if (ordered >= all)
		return 0;
	return all - ordered < AHEAD_MAX ? all - ordered : AHEAD_MAX;
}

/* Room for what a run reads. Large ones are kept, for the pages of a fresh one
 * cost about what reading into it does. */
static void *get_buffer(struct ahead *a, uint64_t bytes)
{
	void *b = NULL;

	if (bytes <= SMALL_BYTES)
		return malloc((size_t)bytes);
	mutex_lock(&a->mutex);
	if (a->buffers)
		b = a->buffer[--a->buffers];
	mutex_unlock(&a->mutex);
	if (b)
		return b;
	b = malloc(AHEAD_RUN_BYTES);
	if (b)
		cache_charge(a->cache, AHEAD_RUN_BYTES);
	return b;
}

static void put_buffer(struct ahead *a, void *b, uint64_t bytes)
{
	if (bytes <= SMALL_BYTES) {
		free(b);
		return;
	}
	mutex_lock(&a->mutex);
	if (a->buffers < AHEAD_BUFFERS) {
		a->buffer[a->buffers++] = b;
		b = NULL;
	}
	mutex_unlock(&a->mutex);
	if (b) {
		free(b);
		cache_charge(a->cache, -(int64_t)AHEAD_RUN_BYTES);
	}
}

/* ---- loading ------------------------------------------------------------ */

static void put(struct ahead_run *r)
{
	/* acq_rel: what others did with it comes before its end; pairs with
	 * itself */
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->block[i].entry)
			cache_put(r->a->cache, r->block[i].entry);
	if (r->started)
		atomic_fetch_sub_explicit(&r->a->ordered, r->to - r->from,
					  memory_order_relaxed);
	r->source.put(r->source.owner);
	free(r->block);
	free(r);
}

/* Says that the first n blocks are done. */
static void publish(struct ahead_run *r, uint32_t n)
{
	uint32_t wanted;

	/* seq_cst, both: pairs with wait_for(), where the two are done in the
	 * other order, so that one of us sees the other's */
	atomic_store_explicit(&r->ready, n, memory_order_seq_cst);
	wanted = atomic_load_explicit(&r->wanted, memory_order_seq_cst);
	if (wanted && n >= wanted) {
		mutex_lock(&r->a->mutex);
		mutex_unlock(&r->a->mutex);
		cond_broadcast(&r->a->cond);
	}
}

/* What part of the file has to be read; false: none. */
static bool find_cached(struct ahead_run *r, uint64_t *from, uint64_t *to)
{
	*from = UINT64_MAX;
	*to = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		struct ahead_block *b = &r->block[i];
		uint64_t end = b->h.offset + b->h.bytes + SST_TRAILER_BYTES;

		b->entry = cache_get(r->a->cache, r->source.file, b->h.offset);
		if (b->entry) {
			r->cached++;
			continue;
		}
		if (b->h.offset < *from)
			*from = b->h.offset;
		if (end > *to)
			*to = end;
	}
	return *to != 0;
}

static void load_block(struct ahead_run *r, struct ahead_block *b,
		       const uint8_t *stored)
{
	struct cache *c = r->a->cache;
	struct cache_entry *e;
	const char *why;

	if (stored_check(&b->h, stored, r->source.file, r->source.crc) ||
	    stored_entry(c, &b->h, stored, &e, &why))
		return;
	if (!r->source.check(cache_data(e), stored_plain_len(e, b->h.type))) {
		cache_drop(c, e);
		return;
	}
	/* another thread may have been faster: its copy, then */
	b->entry = cache_insert(c, e, r->source.file, b->h.offset, b->fill);
}

static bool is_cancelled(struct ahead_run *r)
{
	return atomic_load_explicit(&r->cancelled, memory_order_relaxed) ||
	       workers_stopping(&r->a->workers);
}

static void load(struct ahead_run *r)
{
	uint64_t from = 0, to = 0;
	uint8_t *buf = NULL;

	if (!find_cached(r, &from, &to))
		goto out;
	buf = get_buffer(r->a, to - from);
	if (!buf ||
	    env_object_read(r->source.object, from, buf, (size_t)(to - from)))
		goto out;
	for (uint32_t i = 0; i < r->count && !is_cancelled(r); i++) {
		struct ahead_block *b = &r->block[i];

		if (!b->entry)
			load_block(r, b, buf + (b->h.offset - from));
		publish(r, i + 1);
	}
out:
	if (buf)
		put_buffer(r->a, buf, to - from);
	publish(r, r->count);
}

static struct ahead_run *run_of(struct worker_job *w)
{
	return (struct ahead_run *)w;
}

static void run_work(struct worker_job *w)
{
	struct ahead_run *r = run_of(w);

	if (is_cancelled(r))
		publish(r, r->count);
	else
		load(r);
	put(r);
}

static void drop_work(struct worker_job *w)
{
	publish(run_of(w), run_of(w)->count);
	put(run_of(w));
}

/* ---- the owner ---------------------------------------------------------- */

struct ahead_run *ahead_run_new(struct ahead *a, const struct ahead_source *s)
{
	struct ahead_run *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->work.run = run_work;
	r->work.drop = drop_work;
	r->a = a;
	r->source = *s;
	atomic_init(&r->refs, 1);
	return r;
}

bool ahead_run_add(struct ahead_run *r, const struct sst_handle *h, bool fill)
{
	uint64_t end = h->offset + h->bytes + SST_TRAILER_BYTES;
	uint64_t from = h->offset, to = end;

	if (r->count) {
		from = r->from < from ? r->from : from;
		to = r->to > to ? r->to : to;
	}
	if (to - from > AHEAD_RUN_BYTES || r->count == AHEAD_RUN_BLOCKS)
		return false;
	if (r->count == r->cap) {
		uint32_t cap = r->cap ? 2 * r->cap : 32;
		struct ahead_block *b = reallocarray(r->block, cap, sizeof(*b));

		if (!b)
			return false;
		r->block = b;
		r->cap = cap;
	}
	r->block[r->count++] = (struct ahead_block){.h = *h, .fill = fill};
	r->from = from;
	r->to = to;
	return true;
}

void ahead_run_start(struct ahead_run *r)
{
	r->started = true;
	atomic_fetch_add_explicit(&r->a->ordered, r->to - r->from,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	if (!workers_give(&r->a->workers, &r->work))
		drop_work(&r->work);
}

uint64_t ahead_run_bytes(const struct ahead_run *r)
{
	return r->to - r->from;
}

uint32_t ahead_run_count(const struct ahead_run *r)
{
	return r->count;
}

static bool is_ready(struct ahead_run *r, uint32_t i)
{
	/* seq_cst: see publish(); also acquires the entries published there */
	return atomic_load_explicit(&r->ready, memory_order_seq_cst) > i;
}

static void wait_for(struct ahead_run *r, uint32_t i)
{
	/* Not begun: done by us now, without waiting for who is busy. */
	if (workers_take_back(&r->a->workers, &r->work)) {
		run_work(&r->work);
		return;
	}
	for (int n = 0; n < SPINS; n++) {
		if (is_ready(r, i))
			return;
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	}
	i = r->count - i > WAKE_BLOCKS ? i + WAKE_BLOCKS - 1 : r->count - 1;
	mutex_lock(&r->a->mutex);
	/* seq_cst: see publish() */
	atomic_store_explicit(&r->wanted, i + 1, memory_order_seq_cst);
	while (!is_ready(r, i))
		cond_wait(&r->a->cond, &r->a->mutex);
	atomic_store_explicit(&r->wanted, 0, memory_order_relaxed);
	mutex_unlock(&r->a->mutex);
}

struct cache_entry *ahead_run_take(struct ahead_run *r, uint32_t i)
{
	struct cache_entry *e;

	if (!is_ready(r, i))
		wait_for(r, i);
	e = r->block[i].entry;
	r->block[i].entry = NULL;
	return e;
}

bool ahead_run_was_cached(struct ahead_run *r)
{
	return is_ready(r, r->count - 1) && r->cached == r->count;
}

void ahead_run_hold(struct ahead_run *r)
{
	r->holds++;
}

void ahead_run_drop(struct ahead_run *r)
{
	if (!r)
		return;
	if (r->holds) {
		r->holds--;
		return;
	}
	atomic_store_explicit(&r->cancelled, true, memory_order_relaxed);
	if (r->started && !is_ready(r, r->count - 1) &&
	    workers_take_back(&r->a->workers, &r->work))
		put(r);
	put(r);
}
