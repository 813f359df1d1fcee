/* SPDX-License-Identifier: MIT */
/*
 * arena.c - memory in chunks, carved by many threads: see arena.h.
 *
 * A shard (chosen by the CPU the caller runs on) has one current chunk, and an
 * allocation is one atomic addition to the chunk's fill. Who finds the chunk
 * too full replaces it under the shard's lock. Chunks start small, so that an
 * empty memtable costs little, and double. Large chunks are mapped, aligned so
 * that the kernel can back them with huge pages: a skip list of tens of
 * megabytes is read at random, and page walks would be a good part of it.
 *
 * A pool keeps large chunks of arenas that ended, as they are, up to a bound.
 *
 * Chunks are only freed with the arena, so a reader of the current chunk never
 * needs the lock.
 */
#include "lsm/base/arena.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lsm/base/sync.h"

#define SHARDS_MAX  8
#define CHUNK_FIRST ((size_t)64 << 10)
#define CHUNK_LAST  ((size_t)2 << 20) /* a huge page */
/* Larger allocations get a chunk of their own: the rest of the current one
 * would be lost too often. */
#define CHUNK_SHARE 4

struct chunk {
	struct chunk *older; /* constant once published */
	size_t bytes;        /* the whole chunk, this header included */
	uint64_t before;     /* bytes of all older chunks of the shard */
	/* From the start of the chunk; may run past bytes. */
	_Alignas(64) atomic_size_t used;
};

struct shard {
	_Alignas(64) _Atomic(struct chunk *) current; /* NULL: none yet */
	struct mutex mutex;                           /* held to replace it */
};

struct arena_pool {
	struct mutex mutex;
	struct chunk *spare; /* protected by mutex; of CHUNK_LAST each */
	size_t bytes;        /* protected by mutex; of the spare ones */
	size_t bytes_max;
	void (*charge)(void *arg, int64_t delta);
	void *arg;
};

struct arena {
	struct arena_pool *pool; /* NULL: none */
	unsigned shard_mask;
	_Atomic(struct chunk *) large; /* chunks of one allocation each */
	_Atomic uint64_t large_bytes;
	struct shard shards[];
};

static unsigned shard_count(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = 1;

	while (n < SHARDS_MAX && (long)n < cpus)
		n *= 2;
	return n;
}

struct arena_pool *arena_pool_new(size_t bytes_max,
				  void (*charge)(void *arg, int64_t delta),
				  void *arg)
{
	struct arena_pool *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	mutex_init(&p->mutex);
	p->spare = NULL;
	p->bytes = 0;
	p->bytes_max = bytes_max;
	p->charge = charge;
	p->arg = arg;
	return p;
}

void arena_pool_free(struct arena_pool *p)
{
	struct chunk *c, *older;

	if (!p)
		return;
	for (c = p->spare; c; c = older) {
		older = c->older;
		munmap(c, CHUNK_LAST);
	}
	p->charge(p->arg, -(int64_t)p->bytes);
	mutex_destroy(&p->mutex);
	free(p);
}

/* NULL: none there. */
static struct chunk *pool_take(struct arena_pool *p)
{
	struct chunk *c;

	if (!p)
		return NULL;
	mutex_lock(&p->mutex);
	c = p->spare;
	if (c) {
		p->spare = c->older;
		p->bytes -= CHUNK_LAST;
	}
	mutex_unlock(&p->mutex);
	if (c)
		p->charge(p->arg, -(int64_t)CHUNK_LAST);
	return c;
}

/* False: the pool wants no more. */
static bool pool_give(struct arena_pool *p, struct chunk *c)
{
	bool room;

	if (!p)
		return false;
	mutex_lock(&p->mutex);
	room = p->bytes + CHUNK_LAST <= p->bytes_max;
	if (room) {
		c->older = p->spare;
		p->spare = c;
		p->bytes += CHUNK_LAST;
	}
	mutex_unlock(&p->mutex);
	if (room)
		p->charge(p->arg, CHUNK_LAST);
	return room;
}

struct arena *arena_new(struct arena_pool *pool)
{
	unsigned n = shard_count(), i;
	struct arena *a;

	a = aligned_alloc(64, sizeof(*a) + 64 + n * sizeof(struct shard));
	if (!a)
		return NULL;
	a->pool = pool;
	a->shard_mask = n - 1;
	atomic_init(&a->large, NULL);
	atomic_init(&a->large_bytes, 0);
	for (i = 0; i < n; i++) {
		atomic_init(&a->shards[i].current, NULL);
		mutex_init(&a->shards[i].mutex);
	}
	return a;
}

static void *map_aligned(size_t bytes)
{
	uint8_t *p, *q;

	p = mmap(NULL, bytes + CHUNK_LAST, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	q = (uint8_t *)(((uintptr_t)p + CHUNK_LAST - 1) &
			~(uintptr_t)(CHUNK_LAST - 1));
	if (q != p)
		munmap(p, (size_t)(q - p));
	if (q != p + CHUNK_LAST)
		munmap(q + bytes, (size_t)(p + CHUNK_LAST - q));
	/* Only a wish: where it is not granted, small pages do. */
	(void)madvise(q, bytes, MADV_HUGEPAGE);
	return q;
}

static struct chunk *chunk_new(struct arena *a, size_t bytes)
{
	struct chunk *c = NULL;

	if (bytes == CHUNK_LAST) {
		c = pool_take(a->pool);
		if (!c)
			c = map_aligned(bytes);
	} else {
		c = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	}
	if (!c)
		return NULL;
	c->older = NULL;
	c->bytes = bytes;
	c->before = 0;
	atomic_init(&c->used, sizeof(*c));
	return c;
}

static void chunk_free_all(struct arena *a, struct chunk *c)
{
	struct chunk *older;

	for (; c; c = older) {
		older = c->older;
		if (c->bytes != CHUNK_LAST)
			free(c);
		else if (!pool_give(a->pool, c))
			munmap(c, c->bytes);
	}
}

void arena_free(struct arena *a)
{
	unsigned i;

	if (!a)
		return;
	for (i = 0; i <= a->shard_mask; i++) {
		chunk_free_all(a, atomic_load_explicit(&a->shards[i].current,
						       memory_order_relaxed));
		mutex_destroy(&a->shards[i].mutex);
	}
	chunk_free_all(a,
		       atomic_load_explicit(&a->large, memory_order_relaxed));
	free(a);
}

static void *alloc_large(struct arena *a, size_t bytes)
{
	/* Odd sized, so that it is never taken for a mapped chunk. */
	size_t total = sizeof(struct chunk) + bytes + 8;
	struct chunk *c;

	if (total == CHUNK_LAST)
		total += 8;
	c = chunk_new(a, total);
	if (!c)
		return NULL;
	c->older = atomic_load_explicit(&a->large, memory_order_relaxed);
	/* relaxed: only arena_free() walks this list, and it comes alone. */
	while (!atomic_compare_exchange_weak_explicit(&a->large, &c->older, c,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
	atomic_fetch_add_explicit(&a->large_bytes, total, memory_order_relaxed);
	return (uint8_t *)c + sizeof(*c);
}

static void *chunk_take(struct chunk *c, size_t bytes)
{
	size_t at;

	at = atomic_fetch_add_explicit(&c->used, bytes, memory_order_relaxed);
	return at + bytes <= c->bytes ? (uint8_t *)c + at : NULL;
}

static void *alloc_slow(struct arena *a, struct shard *s, size_t bytes)
{
	struct chunk *c, *n;
	void *p = NULL;
	size_t size;

	mutex_lock(&s->mutex);
	c = atomic_load_explicit(&s->current, memory_order_relaxed);
	if (c)
		p = chunk_take(c, bytes); /* someone replaced it meanwhile */
	if (p)
		goto out;
	size = c ? c->bytes * 2 : CHUNK_FIRST;
	if (size > CHUNK_LAST)
		size = CHUNK_LAST;
	while (size < (bytes + sizeof(*n)) * CHUNK_SHARE && size < CHUNK_LAST)
		size *= 2;
	n = chunk_new(a, size);
	if (!n)
		goto out;
	n->older = c;
	n->before = c ? c->before + c->bytes : 0;
	p = chunk_take(n, bytes);
	/* release: partner is the load in arena_alloc(). */
	atomic_store_explicit(&s->current, n, memory_order_release);
out:
	mutex_unlock(&s->mutex);
	return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	struct shard *s;
	struct chunk *c;
	void *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + 7) & ~(size_t)7;
	if (bytes > CHUNK_LAST / CHUNK_SHARE)
		return alloc_large(a, bytes);
	s = &a->shards[a->shard_mask ? (unsigned)sched_getcpu() & a->shard_mask
				     : 0];
	/* acquire: partner is the store in alloc_slow(). */
	c = atomic_load_explicit(&s->current, memory_order_acquire);
	if (c) {
		p = chunk_take(c, bytes);
		if (p)
			return p;
	}
	return alloc_slow(a, s, bytes);
}

size_t arena_bytes(const struct arena *a)
{
	struct arena *m = (struct arena *)a; /* atomic loads want no const */
	uint64_t sum;
	struct chunk *c;
	size_t used;
	unsigned i;

	sum = atomic_load_explicit(&m->large_bytes, memory_order_relaxed);
	for (i = 0; i <= m->shard_mask; i++) {
		/* acquire: partner is the store in alloc_slow(). */
		c = atomic_load_explicit(&m->shards[i].current,
					 memory_order_acquire);
		if (!c)
			continue;
		used = atomic_load_explicit(&c->used, memory_order_relaxed);
		sum += c->before + (used < c->bytes ? used : c->bytes);
	}
	return sum;
}
