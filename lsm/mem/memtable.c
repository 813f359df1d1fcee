/* SPDX-License-Identifier: MIT */
/*
 * memtable.c - a skip list of entries and the fragments of range tombstones,
 * together in one arena: see memtable.h.
 *
 * Everything a reader needs is reached by atomic links and is never removed
 * while a reference is held. Any thread may call anything here, unless the
 * header says otherwise.
 */
#include "lsm/mem/memtable.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lsm/mem/batch.h"
#include "lsm/mem/rangedel.h"
#include "lsm/mem/skiplist.h"

struct memtable {
	struct arena *arena;
	struct skiplist *list;
	struct rangedel *ranges;
	uint64_t wal_number;
	atomic_uint refs;
};

static void memtable_free(struct memtable *m)
{
	rangedel_free(m->ranges);
	arena_free(m->arena);
	free(m);
}

struct memtable *memtable_new(uint64_t wal_number)
{
	struct memtable *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->wal_number = wal_number;
	atomic_init(&m->refs, 1);
	m->arena = arena_new();
	if (m->arena)
		m->list = skiplist_new(m->arena);
	if (m->list)
		m->ranges = rangedel_new(m->arena);
	if (!m->ranges) {
		memtable_free(m);
		return NULL;
	}
	return m;
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

int memtable_put(struct memtable *m, struct lsm_slice key, uint64_t tag,
		 struct lsm_slice value)
{
	assert(tag_kind(tag) < KIND_RANGE_DELETE);
	return skiplist_insert(m->list, key, tag, value);
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
	struct skiplist_pos p = {m->list, NULL};
	uint64_t tag = 0;
	bool found;

	skiplist_seek(&p, key, tag_seek(seq));
	found = p.node && slice_eq(skiplist_key(&p), key);
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
	return sizeof(*m) + arena_bytes(m->arena) +
	       rangedel_view_bytes(m->ranges);
}

uint64_t memtable_entries(const struct memtable *m)
{
	return skiplist_count(m->list) + rangedel_count(m->ranges);
}

bool memtable_empty(const struct memtable *m)
{
	return !memtable_entries(m);
}

/* ---- iterator ----------------------------------------------------------- */

struct mem_iter {
	struct iter iter;
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

static void mem_seek(struct iter *it, struct lsm_slice key, uint64_t tag)
{
	skiplist_seek(&((struct mem_iter *)it)->pos, key, tag);
	show(it);
}

static void mem_seek_for_prev(struct iter *it, struct lsm_slice key,
			      uint64_t tag)
{
	skiplist_seek_for_prev(&((struct mem_iter *)it)->pos, key, tag);
	show(it);
}

static void mem_first(struct iter *it)
{
	skiplist_first(&((struct mem_iter *)it)->pos);
	show(it);
}

static void mem_last(struct iter *it)
{
	skiplist_last(&((struct mem_iter *)it)->pos);
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
	it->pos.list = m->list;
	return &it->iter;
}
