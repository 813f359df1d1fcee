/* SPDX-License-Identifier: MIT */
/*
 * cache_mem.c - the memory of cache entries; see cache_mem.h.
 *
 * Why not malloc(): a cache frees entries in another order than it allocated
 * them, and of other sizes, and a general allocator gives the gaps back to the
 * system only at the end of its heap. With entries of 4 KiB and of 32 KiB from
 * several threads the process held half as much again as the cache counted.
 * Here the unit that is counted is the unit that is mapped.
 *
 * In a large cache a slab is a huge page: blocks are found at random places,
 * and the kernel, when it copies from them (lsm_hold_get()), looks each page
 * up.
 *
 * Sizes are those of which a slab holds a whole number, a sixteenth apart where
 * that is possible, so little is lost at the end of a piece and nothing at the
 * end of a slab. What is larger than a quarter of a slab gets a mapping of its
 * own. Odd sizes come alone, as the last block of each table is: a piece of a
 * larger size is given away before a slab is opened for a few of one. A slab
 * whose last piece is freed goes to whatever class needs one next; beyond a few
 * it is unmapped.
 *
 * Data that is handed to the kernel where it lies should begin on a page: the
 * kernel takes hold of it page by page, and else has to look up two for each
 * that it copies. So there are classes of whole pages besides, for large
 * blocks. What that saves has not been measured apart from the huge pages. The
 * entry of such a piece lies in the last page of the piece before, or of the
 * slab's head, so that only its data has to be aligned.
 *
 * One mutex is enough: it is held for the length of a search in a bit map, and
 * only by those who missed, who have a block to read and to expand besides.
 */
#include "lsm/table/cache_mem.h"

#include <string.h>
#include <sys/mman.h>

#include "lsm/table/cache_impl.h"
#include "lsm/table/cache_slab.h"

#define SLAB_MIN     ((size_t)64 << 10)
#define SLABS_WANTED 64 /* of the capacity, at least */
#define PIECE_MIN    128
#define PIECES_LEAST 4
#define IDLE_PARTS   64 /* of the capacity: what idle slabs may take */
#define IDLE_MAX     16
#define PAGE_BYTES   ((size_t)4096)
#define LEAD_ROOM    512 /* entry and lead, before a page */
#define PAGES_MIN    7   /* of a piece aligned to pages */
#define PAGES_MAX    32
#define BORROW_PARTS 4 /* of a slab, in larger pieces */

static uint32_t piece_bytes(size_t slab_bytes, uint32_t pieces)
{
	return (uint32_t)((slab_bytes - slab_head_bytes(pieces)) / pieces) &
	       ~(uint32_t)63;
}

static void make_classes(struct cache_mem *m)
{
	struct size_class all[CACHE_MEM_CLASSES_MAX];
	uint32_t pieces = PIECES_LEAST;
	uint32_t bytes = piece_bytes(m->slab_bytes, pieces);
	unsigned n = 0;

	while (bytes >= PIECE_MIN &&
	       n < CACHE_MEM_CLASSES_MAX - (PAGES_MAX - PAGES_MIN + 1)) {
		uint32_t next = bytes - bytes / 16;

		all[n++] = (struct size_class){
			.bytes = bytes,
			.pieces = pieces,
			.first = (uint32_t)slab_head_bytes(pieces)};
		while (bytes > next)
			bytes = piece_bytes(m->slab_bytes, ++pieces);
	}
	m->class_count = n;
	for (unsigned i = 0; i < n; i++)
		m->classes[i] = all[n - 1 - i];
}

static void make_page_classes(struct cache_mem *m)
{
	for (uint32_t pages = PAGES_MIN; pages <= PAGES_MAX; pages++) {
		uint32_t bytes = pages * (uint32_t)PAGE_BYTES;
		uint32_t pieces =
			(uint32_t)(m->slab_bytes - PAGE_BYTES) / bytes;

		if (pieces < PIECES_LEAST)
			break;
		m->classes[m->class_count + m->page_count++] =
			(struct size_class){.bytes = bytes,
					    .pieces = pieces,
					    .first = PAGE_BYTES - LEAD_ROOM};
	}
}

void cache_mem_init(struct cache_mem *m, uint64_t capacity_bytes)
{
	uint64_t idle;

	memset(m, 0, sizeof(*m));
	mutex_init(&m->mutex);
	m->slab_bytes = SLAB_MIN;
	while (m->slab_bytes < CACHE_SLAB_MAX &&
	       capacity_bytes / m->slab_bytes > SLABS_WANTED)
		m->slab_bytes *= 2;
	idle = capacity_bytes / IDLE_PARTS / m->slab_bytes;
	m->idle_max = idle < 1          ? 1
		      : idle > IDLE_MAX ? IDLE_MAX
					: (unsigned)idle;
	make_classes(m);
	make_page_classes(m);
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void cache_mem_release(struct cache_mem *m)
{
	struct slab *s;

	while ((s = m->hand)) {
		m->hand = s->next == s ? NULL : s->next;
		s->next->prev = s->prev;
		s->prev->next = s->next;
		cache_mem_unmap(s, m->slab_bytes);
	}
	while ((s = m->idle)) {
		m->idle = s->next;
		cache_mem_unmap(s, m->slab_bytes);
	}
	mutex_destroy(&m->mutex);
}

/* The entry's class, or CACHE_MEM_OWN. */
static uint16_t class_of(const struct cache_mem *m, size_t bytes)
{
	unsigned low = 0, high = m->class_count;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (m->classes[mid].bytes < bytes)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->class_count ? (uint16_t)low : CACHE_MEM_OWN;
}

/* The class in which data can be aligned, or CACHE_MEM_OWN: there is none. */
static uint16_t page_class_of(const struct cache_mem *m, size_t bytes,
			      size_t lead)
{
	size_t pages;

	if (!lead || lead > LEAD_ROOM - sizeof(struct cache_entry) ||
	    bytes < lead)
		return CACHE_MEM_OWN;
	pages = (bytes - lead + LEAD_ROOM + PAGE_BYTES - 1) / PAGE_BYTES;
	if (pages < PAGES_MIN || pages - PAGES_MIN >= m->page_count)
		return CACHE_MEM_OWN;
	return (uint16_t)(m->class_count + (pages - PAGES_MIN));
}

static size_t own_bytes(size_t data_bytes)
{
	return (sizeof(struct cache_entry) + data_bytes + PAGE_BYTES - 1) &
	       ~(PAGE_BYTES - 1);
}

uint64_t cache_mem_cost(const struct cache_mem *m, const struct cache_entry *e)
{
	if (e->class == CACHE_MEM_OWN)
		return own_bytes(e->bytes);
	return m->slab_bytes / m->classes[e->class].pieces;
}

struct slab *cache_mem_slab(const struct cache_mem *m,
			    const struct cache_entry *e)
{
	if (e->class == CACHE_MEM_OWN)
		return NULL;
	return (struct slab *)((uintptr_t)e & ~(uintptr_t)(m->slab_bytes - 1));
}

static void add(_Atomic int64_t *sum, int64_t delta)
{
	atomic_fetch_add_explicit(sum, delta, memory_order_relaxed);
}

/* ---- pieces ------------------------------------------------------------- */

/* An entry from a slab that has room. */
static struct cache_entry *take(struct cache_mem *m, struct slab *s,
				size_t bytes, uint16_t pad) REQUIRES(m->mutex)
{
	struct size_class *c = &m->classes[s->class];
	struct cache_entry *e;
	uint32_t word = 0, bit;

	while (!~s->map[word])
		word++;
	bit = (uint32_t)__builtin_ctzll(~s->map[word]);
	s->map[word] |= 1ull << bit;
	if (!s->live++)
		add(&m->held, (int64_t)m->slab_bytes);
	add(&m->live, (int64_t)(m->slab_bytes / c->pieces));
	if (++s->taken == s->pieces)
		slab_partial_remove(c, s);
	e = slab_piece(m, s, word * 64 + bit);
	UNPOISON(e, sizeof(*e) + pad + bytes);
	/* Under the mutex, as cache_mem_drain_next() looks at all pieces. */
	memset(e, 0, sizeof(*e));
	e->bytes = (uint32_t)bytes;
	e->class = s->class;
	e->pad = pad;
	return e;
}

static void count_mapping(struct cache_mem *m, int64_t bytes)
{
	add(&m->held, bytes);
	add(&m->mapped, bytes);
}

static struct cache_entry *alloc_own(struct cache_mem *m, size_t bytes)
{
	struct cache_entry *e = map(own_bytes(bytes));

	if (!e)
		return NULL;
	e->bytes = (uint32_t)bytes;
	e->class = CACHE_MEM_OWN;
	count_mapping(m, (int64_t)own_bytes(bytes));
	add(&m->live, (int64_t)own_bytes(bytes));
	return e;
}

/* A slab with a free piece of the next larger size there is, or NULL: the class
 * is to have a slab, because it borrowed for a quarter of one since the last.
 */
static struct slab *borrow(struct cache_mem *m, uint16_t class)
	REQUIRES(m->mutex)
{
	struct size_class *c = &m->classes[class], *from = c + 1;

	while (from < m->classes + m->class_count && !from->partial)
		from++;
	if (from == m->classes + m->class_count)
		return NULL;
	c->borrowed += from->bytes;
	if (c->borrowed <= m->slab_bytes / BORROW_PARTS)
		return from->partial;
	c->borrowed = 0;
	return NULL;
}

struct cache_entry *cache_mem_alloc(struct cache_mem *m, size_t bytes,
				    size_t lead)
{
	uint16_t class = page_class_of(m, bytes, lead), pad = 0;
	struct cache_entry *e;
	struct slab *s;

	if (class != CACHE_MEM_OWN)
		pad = (uint16_t)(LEAD_ROOM - sizeof(*e) - lead);
	else
		class = class_of(m, sizeof(*e) + bytes);
	if (class == CACHE_MEM_OWN)
		return alloc_own(m, bytes);
	mutex_lock(&m->mutex);
	s = m->classes[class].partial;
	if (!s && !pad)
		s = borrow(m, class);
	if (!s && m->idle) {
		s = m->idle;
		m->idle = s->next;
		m->idle_count--;
		slab_start(m, s, class);
	}
	e = s ? take(m, s, bytes, pad) : NULL;
	mutex_unlock(&m->mutex);
	if (e)
		return e;

	s = slab_map(m);
	if (!s)
		return NULL;
	mutex_lock(&m->mutex);
	slab_start(m, s, class);
	e = take(m, s, bytes, pad);
	mutex_unlock(&m->mutex);
	return e;
}

struct cache_entry *cache_mem_alloc_beside(struct cache_mem *m,
					   const struct cache_entry *e)
{
	struct cache_entry *n = NULL;
	struct slab *s;

	if (e->class == CACHE_MEM_OWN)
		return NULL;
	mutex_lock(&m->mutex);
	/* One without live pieces does not count, and should stay so. */
	for (s = m->classes[e->class].partial; s && !s->live;)
		s = s->partial_next;
	if (s)
		n = take(m, s, e->bytes, e->pad);
	mutex_unlock(&m->mutex);
	return n;
}

void cache_mem_kill(struct cache_mem *m, struct cache_entry *list)
{
	struct cache_entry *e;

	mutex_lock(&m->mutex);
	for (e = list; e; e = e->older) {
		int64_t cost = (int64_t)cache_mem_cost(m, e);
		struct slab *s = cache_mem_slab(m, e);

		add(&m->live, -cost);
		if (!s)
			count_mapping(m, -cost);
		else if (!--s->live)
			add(&m->held, -(int64_t)m->slab_bytes);
	}
	mutex_unlock(&m->mutex);
}

/* Returns a slab to be unmapped, or NULL. */
static struct slab *give_back(struct cache_mem *m, struct cache_entry *e)
	REQUIRES(m->mutex)
{
	struct slab *s = cache_mem_slab(m, e);
	struct size_class *c = &m->classes[s->class];
	uint32_t i = slab_piece_index(m, s, e);

	POISON(e, c->bytes);
	s->map[i / 64] &= ~(1ull << i % 64);
	s->taken--;
	if (s->is_draining)
		return NULL;
	if (!s->taken)
		return slab_stop(m, s);
	/* First, so that pieces come from slabs that are nearly full, and the
	 * sparse ones become empty. */
	if (!s->is_partial)
		slab_partial_push(c, s, true);
	return NULL;
}

/* Unmaps those with a mapping of their own. Returns the others. */
static struct cache_entry *free_own(struct cache_entry *list)
{
	struct cache_entry *others = NULL, *e, *older;

	for (e = list; e; e = older) {
		older = e->older;
		if (e->class == CACHE_MEM_OWN) {
			cache_mem_unmap(e, own_bytes(e->bytes));
		} else {
			e->older = others;
			others = e;
		}
	}
	return others;
}

void cache_mem_free(struct cache_mem *m, struct cache_entry *list)
{
	struct slab *empty = NULL, *s;
	struct cache_entry *e, *older;

	list = free_own(list);
	mutex_lock(&m->mutex);
	for (e = list; e; e = older) {
		older = e->older;
		s = give_back(m, e);
		if (s) {
			s->next = empty;
			empty = s;
		}
	}
	mutex_unlock(&m->mutex);
	while ((s = empty)) {
		empty = s->next;
		cache_mem_unmap(s, m->slab_bytes);
	}
}
