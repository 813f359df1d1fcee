/* SPDX-License-Identifier: MIT */
/*
 * memtable.c - a skip list of entries and the fragments of range tombstones,
 * together in one arena: see memtable.h.
 *
 * Everything a reader needs is reached by atomic links and is never removed
 * while a reference is held. Any thread may call anything here, unless the
 * header says otherwise.
 *
 * What the keys have in common is known only when some are there, and a skip
 * list wants to know it at its start (skiplist.h). So the first entries are put
 * into a young list, which is copied into the final one; inserters are kept out
 * meanwhile, once in the memtable's life, for a few microseconds. Readers are
 * not: who still uses the young list finds in it all that was visible when it
 * took it.
 *
 * Most gets in a store that is also written to look for keys that the memtables
 * do not have, and a search that finds nothing is as long as one that does. So
 * a filter of the keys (mem_filter.h) is made at the same moment, from those of
 * the young list; until then there is little to search. Every later entry is
 * added before its inserter makes it visible.
 */
#include "lsm/mem/memtable.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lsm/base/hash.h"
#include "lsm/mem/batch.h"
#include "lsm/mem/mem_filter.h"
#include "lsm/mem/rangedel.h"
#include "lsm/mem/skiplist.h"

/* Entries after which the list is made anew, and the memory up to which it is:
 * beside large values, comparing keys costs little. */
#define YOUNG_ENTRIES 128
#define YOUNG_BYTES   ((size_t)256 << 10)
/* The gate of inserters: a count of those in the young list, or */
#define GATE_CLOSED (1u << 30) /* wait */
#define GATE_OPEN   (1u << 31) /* the list is the last one */

struct memtable {
	struct arena *arena;
	_Atomic(struct skiplist *) list;
	_Atomic uint32_t gate;
	_Atomic(struct mem_filter *) filter; /* NULL: none */
	size_t filter_bytes;                 /* it may take; 0: it stays so */
	struct rangedel *ranges;
	uint64_t wal_number;
	atomic_uint refs;
};

static void memtable_free(struct memtable *m)
{
	rangedel_free(m->ranges);
	arena_free(m->arena);
	free(atomic_load_explicit(&m->filter, memory_order_relaxed));
	free(m);
}

struct memtable *memtable_new_from(struct arena_pool *pool, uint64_t wal_number,
				   size_t filter_bytes)
{
	struct memtable *m = calloc(1, sizeof(*m));
	struct skiplist *list = NULL;

	if (!m)
		return NULL;
	m->wal_number = wal_number;
	atomic_init(&m->refs, 1);
	atomic_init(&m->gate, 0);
	atomic_init(&m->filter, NULL);
	m->filter_bytes = filter_bytes;
	m->arena = arena_new(pool);
	if (m->arena)
		list = skiplist_new(m->arena, lsm_slice(NULL, 0));
	atomic_init(&m->list, list);
	if (list)
		m->ranges = rangedel_new(m->arena);
	if (!m->ranges) {
		memtable_free(m);
		return NULL;
	}
	return m;
}

struct memtable *memtable_new(uint64_t wal_number)
{
	return memtable_new_from(NULL, wal_number, 0);
}

void memtable_get_ref(struct memtable *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void memtable_put_ref(struct memtable *m)
{
	/* acq_rel: what every holder did comes before the freeing; partners
	 * are the other calls here. */
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
		memtable_free(m);
}

uint64_t memtable_wal_number(const struct memtable *m)
{
	return m->wal_number;
}

static struct skiplist *list_of(const struct memtable *m)
{
	struct memtable *mutable = (struct memtable *)m;

	/* acquire: partner is the store in grow(). */
	return atomic_load_explicit(&mutable->list, memory_order_acquire);
}

/* The list for keys like those of the young one; NULL: that one will do. */
static struct skiplist *grown_list(struct memtable *m, struct skiplist *young)
{
	struct lsm_slice common = skiplist_common(young);
	struct skiplist_pos p = {young, NULL};
	struct skiplist *grown;

	if (!common.len || arena_bytes(m->arena) > YOUNG_BYTES)
		return NULL;
	grown = skiplist_new(m->arena, common);
	if (!grown)
		return NULL; /* slower, not wrong */
	for (skiplist_first(&p); p.node; skiplist_next(&p))
		if (skiplist_insert(grown, skiplist_key(&p), skiplist_tag(&p),
				    skiplist_value(&p)))
			return NULL;
	return grown;
}

static struct mem_filter *filter_of(const struct memtable *m)
{
	struct memtable *mutable = (struct memtable *)m;

	/* acquire: partner is the store in make_filter(). */
	return atomic_load_explicit(&mutable->filter, memory_order_acquire);
}

/* Of the list's keys, while no one inserts. */
static void make_filter(struct memtable *m)
{
	struct skiplist_pos p = {list_of(m), NULL};
	struct mem_filter *f;
	struct lsm_slice key;

	if (!m->filter_bytes)
		return;
	f = mem_filter_new(m->filter_bytes);
	if (!f)
		return; /* slower, not wrong */
	for (skiplist_first(&p); p.node; skiplist_next(&p)) {
		key = skiplist_key(&p);
		mem_filter_add(f, hash64(key.data, key.len));
	}
	/* release: partner is filter_of(). */
	atomic_store_explicit(&m->filter, f, memory_order_release);
}

/* Replaces the young list, unless another thread does. */
static void grow(struct memtable *m)
{
	uint32_t gate = atomic_load_explicit(&m->gate, memory_order_relaxed);
	struct skiplist *grown;

	do {
		if (gate >= GATE_CLOSED)
			return;
	} while (!atomic_compare_exchange_weak_explicit(
		&m->gate, &gate, gate | GATE_CLOSED, memory_order_relaxed,
		memory_order_relaxed));
	/* acquire: partner is who leaves, in young_put(). */
	while (atomic_load_explicit(&m->gate, memory_order_acquire) !=
	       GATE_CLOSED)
		sched_yield();
	grown = grown_list(m, list_of(m));
	if (grown)
		/* release: partner is list_of(). */
		atomic_store_explicit(&m->list, grown, memory_order_release);
	make_filter(m);
	/* release: partner is memtable_put(). */
	atomic_store_explicit(&m->gate, GATE_OPEN, memory_order_release);
}

/* Inserts while the list is young. LSM_END: it is no more. */
static int young_put(struct memtable *m, struct lsm_slice key, uint64_t tag,
		     struct lsm_slice value)
{
	/* acquire, here and below: partner is the store in grow(). */
	uint32_t gate = atomic_load_explicit(&m->gate, memory_order_acquire);
	struct skiplist *list;
	bool full;
	int err;

	for (;;) {
		if (gate & GATE_OPEN)
			return LSM_END;
		if (gate & GATE_CLOSED) {
			sched_yield();
			gate = atomic_load_explicit(&m->gate,
						    memory_order_acquire);
		} else if (atomic_compare_exchange_weak_explicit(
				   &m->gate, &gate, gate + 1,
				   memory_order_acquire,
				   memory_order_acquire)) {
			break;
		}
	}
	list = list_of(m);
	err = skiplist_insert(list, key, tag, value);
	full = skiplist_count(list) >= YOUNG_ENTRIES;
	/* release: partner is the load in grow(). */
	atomic_fetch_sub_explicit(&m->gate, 1, memory_order_release);
	if (full)
		grow(m);
	return err;
}

int memtable_put(struct memtable *m, struct lsm_slice key, uint64_t tag,
		 struct lsm_slice value)
{
	struct mem_filter *filter;
	uint64_t hash;
	int err;

	assert(tag_kind(tag) < KIND_RANGE_DELETE);
	/* acquire: partner is the store in grow(). */
	if (!(atomic_load_explicit(&m->gate, memory_order_acquire) &
	      GATE_OPEN)) {
		err = young_put(m, key, tag, value);
		if (err != LSM_END)
			return err;
	}
	filter = filter_of(m);
	if (!filter)
		return skiplist_insert(list_of(m), key, tag, value);
	hash = hash64(key.data, key.len);
	/* The word comes from memory while the list is searched. */
	__builtin_prefetch(mem_filter_word(filter, hash), 1);
	err = skiplist_insert(list_of(m), key, tag, value);
	mem_filter_add(filter, hash);
	return err;
}

int memtable_delete_range(struct memtable *m, struct lsm_slice start,
			  struct lsm_slice end, uint64_t seq)
{
	return rangedel_add(m->ranges, start, end, seq);
}

int memtable_apply(struct memtable *m, struct lsm_slice rep)
{
	struct batch_reader r;
	struct batch_op op;
	int err;

	err = batch_reader_init(&r, rep);
	while (!err) {
		err = batch_reader_next(&r, &op);
		if (err)
			break;
		if (op.kind == KIND_RANGE_DELETE)
			err = memtable_delete_range(m, op.key, op.value,
						    op.seq);
		else
			err = memtable_put(m, op.key, tag_make(op.seq, op.kind),
					   op.value);
	}
	return err == LSM_END ? 0 : err;
}

int memtable_lookup(const struct memtable *m, struct lsm_slice key,
		    uint64_t seq, enum entry_kind *kind,
		    struct lsm_slice *value)
{
	struct mem_filter *filter = filter_of(m);
	struct skiplist_pos p = {list_of(m), NULL};
	uint64_t tag = 0;
	bool found = false;

	if (!filter ||
	    mem_filter_may_contain(filter, hash64(key.data, key.len))) {
		skiplist_seek(&p, key, tag_seek(seq));
		found = p.node && slice_eq(skiplist_key(&p), key);
	}
	if (found)
		tag = skiplist_tag(&p);
	if (memtable_has_ranges(m) &&
	    rangedel_newest(m->ranges, key, seq, tag_seq(tag)))
		return LOOKUP_DELETED;
	if (!found)
		return LOOKUP_MISS;
	if (tag_kind(tag) == KIND_DELETE)
		return LOOKUP_DELETED;
	*kind = tag_kind(tag);
	*value = skiplist_value(&p);
	return LOOKUP_FOUND;
}

bool memtable_has_ranges(const struct memtable *m)
{
	return rangedel_count(m->ranges) != 0;
}

void memtable_cover(const struct memtable *m, struct lsm_slice key,
		    uint64_t seq, struct range_cover *out)
{
	if (memtable_has_ranges(m))
		rangedel_cover(m->ranges, key, seq, out);
	else
		*out = (struct range_cover){0};
}

int memtable_collect_ranges(const struct memtable *m, struct frags_builder *b)
{
	return rangedel_collect(m->ranges, b);
}

size_t memtable_bytes(const struct memtable *m)
{
	const struct mem_filter *filter = filter_of(m);

	return sizeof(*m) + arena_bytes(m->arena) +
	       (filter ? mem_filter_bytes(filter) : 0) +
	       rangedel_view_bytes(m->ranges);
}

uint64_t memtable_entries(const struct memtable *m)
{
	return skiplist_count(list_of(m)) + rangedel_count(m->ranges);
}

bool memtable_empty(const struct memtable *m)
{
	return !memtable_entries(m);
}

/* ---- iterator ----------------------------------------------------------- */

struct mem_iter {
	struct iter iter;
	const struct memtable *mem;
	struct skiplist_pos pos;
};

static inline void show(struct iter *it)
{
	struct mem_iter *m = (struct mem_iter *)it;

	it->valid = m->pos.node != NULL;
	if (it->valid) {
		it->key = skiplist_key(&m->pos);
		it->tag = skiplist_tag(&m->pos);
		it->value = skiplist_value(&m->pos);
	}
}

/* Each positioning takes the present list: what has become visible since the
 * last one may be in that alone. */
static struct skiplist_pos *anew(struct iter *it)
{
	struct mem_iter *m = (struct mem_iter *)it;

	m->pos.list = list_of(m->mem);
	return &m->pos;
}

static void mem_seek(struct iter *it, struct lsm_slice key, uint64_t tag)
{
	skiplist_seek(anew(it), key, tag);
	show(it);
}

static void mem_seek_for_prev(struct iter *it, struct lsm_slice key,
			      uint64_t tag)
{
	skiplist_seek_for_prev(anew(it), key, tag);
	show(it);
}

static void mem_first(struct iter *it)
{
	skiplist_first(anew(it));
	show(it);
}

static void mem_last(struct iter *it)
{
	skiplist_last(anew(it));
	show(it);
}

static void mem_next(struct iter *it)
{
	skiplist_next(&((struct mem_iter *)it)->pos);
	show(it);
}

static void mem_prev(struct iter *it)
{
	skiplist_prev(&((struct mem_iter *)it)->pos);
	show(it);
}

static void mem_free(struct iter *it)
{
	free(it);
}

static const struct iter_ops mem_iter_ops = {
	.seek = mem_seek,
	.seek_for_prev = mem_seek_for_prev,
	.first = mem_first,
	.last = mem_last,
	.next = mem_next,
	.prev = mem_prev,
	.free = mem_free,
};

struct iter *memtable_iter(const struct memtable *m)
{
	struct mem_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	it->iter.ops = &mem_iter_ops;
	it->mem = m;
	return &it->iter;
}
