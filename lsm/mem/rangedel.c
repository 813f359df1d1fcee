/* SPDX-License-Identifier: MIT */
/*
 * rangedel.c - range tombstones as fragments that can be read while they are
 * cut: see rangedel.h.
 *
 * A skip list holds the borders. A border's fragment reaches to the next
 * border; its cells are the sequence numbers of the tombstones that cover it,
 * newest first, in a list whose cells never change:
 *
 *     a ------ c ------ f ------ k          borders
 *     9        9        4        -          cells, newest first:
 *              4                            [a, f) at 9, [c, k) at 4
 *
 * Adding [start, end) makes borders at start and at end, which begin with the
 * cells of the fragment they cut, and then puts the number on every fragment
 * between them. Adders hold a mutex. Readers take none: a border appears with
 * its cells complete, and a fragment's cells are replaced by one store. What a
 * reader sees is right for the sequence numbers that were visible when it
 * began, because their tombstones were all in place and cutting takes nothing
 * away; newer numbers it skips.
 *
 * A get does not need to know how far its answer holds, and asks a sorted array
 * of all this instead (range_view.h), which gets themselves make anew when
 * tombstones have come. Readers find it under an epoch pin.
 */
#include "lsm/mem/rangedel.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lsm/base/epoch.h"
#include "lsm/base/sync.h"
#include "lsm/mem/range_view.h"
#include "lsm/mem/skiplist.h"

/* A get through the list costs about as much as putting some borders into a
 * view. */
#define ASKS_A_BORDER 8

/* The skip list's value is a pointer to this. */
struct border {
	_Atomic(const struct range_cell *) cells;
};

/* A tombstone as it was added, for the flush: cut up, n tombstones that overlap
 * are n * n pieces. */
struct tombstone {
	struct tombstone *older;
	struct lsm_slice start, end; /* the keys of its borders */
	uint64_t seq;
};

struct rangedel {
	struct arena *arena;
	struct skiplist *borders; /* all with tag 0 */
	_Atomic(struct tombstone *) newest;
	_Atomic uint64_t count;
	_Atomic uint64_t newest_seq;
	uint32_t border_count; /* protected by mutex */
	struct mutex mutex;    /* held by who adds, or makes a view */
	/* What gets ask as long as it knows all tombstones; NULL: none yet. */
	_Atomic(struct range_view *) view;
	_Atomic size_t view_bytes;
	/* Gets that could not use it, and how many are worth a new one. */
	_Atomic uint32_t asked;
	_Atomic uint32_t worth;
};

struct rangedel *rangedel_new(struct arena *arena)
{
	struct rangedel *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	r->arena = arena;
	r->borders = skiplist_new(arena, lsm_slice(NULL, 0));
	if (!r->borders) {
		free(r);
		return NULL;
	}
	atomic_init(&r->newest, NULL);
	atomic_init(&r->count, 0);
	atomic_init(&r->newest_seq, 0);
	r->border_count = 0;
	atomic_init(&r->view, NULL);
	atomic_init(&r->view_bytes, 0);
	atomic_init(&r->asked, 0);
	atomic_init(&r->worth, 0);
	mutex_init(&r->mutex);
	return r;
}

void rangedel_free(struct rangedel *r)
{
	if (!r)
		return;
	mutex_destroy(&r->mutex);
	free(atomic_load_explicit(&r->view, memory_order_relaxed));
	free(r);
}

static struct border *border_at(const struct skiplist_pos *p)
{
	struct border *b;

	memcpy(&b, skiplist_value(p).data, sizeof(b));
	return b;
}

static const struct range_cell *cells_at(const struct skiplist_pos *p)
{
	/* acquire: partners are the stores in border_make() and add_cells(). */
	return atomic_load_explicit(&border_at(p)->cells, memory_order_acquire);
}

/* Leaves p at the border of this key, made now unless there is one. */
static int border_make(struct rangedel *r, struct lsm_slice key,
		       struct skiplist_pos *p)
{
	const struct range_cell *cells = NULL;
	struct border *b;
	int err;

	skiplist_seek_for_prev(p, key, 0);
	if (p->node) {
		if (slice_eq(skiplist_key(p), key))
			return 0;
		cells = cells_at(p);
	}
	b = arena_alloc(r->arena, sizeof(*b));
	if (!b)
		return -ENOMEM;
	atomic_init(&b->cells, cells);
	err = skiplist_insert(r->borders, key, 0, lsm_slice(&b, sizeof(b)));
	if (err)
		return err;
	r->border_count++;
	skiplist_seek(p, key, 0);
	return 0;
}

/* Cells that adding seq to this list takes: the newer ones are copied. */
static size_t cells_needed(const struct range_cell *c, uint64_t seq)
{
	size_t n = 1;

	for (; c && c->seq > seq; c = c->older)
		n++;
	return n;
}

/* Puts seq into list c; uses cells at *room. */
static const struct range_cell *
cells_with(const struct range_cell *c, uint64_t seq, struct range_cell **room)
{
	const struct range_cell *first = *room;

	for (; c && c->seq > seq; c = c->older) {
		(*room)->seq = c->seq;
		(*room)->older = *room + 1;
		(*room)++;
	}
	(*room)->seq = seq;
	(*room)->older = c;
	(*room)++;
	return first;
}

/* Adds seq to every fragment from p up to the border at end. */
static int add_cells(struct rangedel *r, struct skiplist_pos p,
		     struct lsm_slice end, uint64_t seq)
{
	const struct range_cell *c, *last_c = NULL, *last_with = NULL;
	struct skiplist_pos q;
	struct range_cell *room;
	size_t need = 0;

	/* Fragments that were one until they were cut share their cells, and
	 * go on sharing them. */
	for (q = p; slice_cmp(skiplist_key(&q), end) < 0; skiplist_next(&q)) {
		c = cells_at(&q);
		if (!need || c != last_c)
			need += cells_needed(c, seq);
		last_c = c;
	}
	room = arena_alloc(r->arena, need * sizeof(*room));
	if (!room)
		return -ENOMEM;
	for (q = p; slice_cmp(skiplist_key(&q), end) < 0; skiplist_next(&q)) {
		c = cells_at(&q);
		if (!last_with || c != last_c)
			last_with = cells_with(c, seq, &room);
		last_c = c;
		/* release: partner is cells_at(). */
		atomic_store_explicit(&border_at(&q)->cells, last_with,
				      memory_order_release);
	}
	return 0;
}

static int add_locked(struct rangedel *r, struct lsm_slice start,
		      struct lsm_slice end, uint64_t seq) REQUIRES(r->mutex)
{
	struct skiplist_pos from = {r->borders, NULL}, to = from;
	struct tombstone *t;
	int err;

	t = arena_alloc(r->arena, sizeof(*t));
	if (!t)
		return -ENOMEM;
	err = border_make(r, start, &from);
	if (!err)
		err = border_make(r, end, &to);
	if (!err)
		err = add_cells(r, from, end, seq);
	if (err)
		return err;
	t->start = skiplist_key(&from);
	t->end = skiplist_key(&to);
	t->seq = seq;
	t->older = atomic_load_explicit(&r->newest, memory_order_relaxed);
	/* release: partner is the load in rangedel_collect(). */
	atomic_store_explicit(&r->newest, t, memory_order_release);
	if (seq > atomic_load_explicit(&r->newest_seq, memory_order_relaxed))
		atomic_store_explicit(&r->newest_seq, seq,
				      memory_order_relaxed);
	atomic_store_explicit(&r->worth, r->border_count / ASKS_A_BORDER,
			      memory_order_relaxed);
	/* relaxed, here and above: the number becomes visible to readers after
	 * this, by the publication of the visible sequence. */
	atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
	return 0;
}

int rangedel_add(struct rangedel *r, struct lsm_slice start,
		 struct lsm_slice end, uint64_t seq)
{
	int err;

	assert(slice_cmp(start, end) < 0);
	mutex_lock(&r->mutex);
	err = add_locked(r, start, end, seq);
	mutex_unlock(&r->mutex);
	return err;
}

uint64_t rangedel_count(const struct rangedel *r)
{
	return atomic_load_explicit(&r->count, memory_order_relaxed);
}

void rangedel_cover(const struct rangedel *r, struct lsm_slice key,
		    uint64_t seq, struct range_cover *out)
{
	struct skiplist_pos p = {r->borders, NULL}, next;
	const struct range_cell *c;

	out->seq = 0;
	out->start = out->end = lsm_slice(NULL, 0);
	skiplist_seek_for_prev(&p, key, 0);
	next = p;
	for (;;) {
		if (p.node)
			skiplist_next(&next);
		else
			skiplist_first(&next);
		if (!next.node)
			break;
		out->end = skiplist_key(&next);
		if (slice_cmp(out->end, key) > 0)
			break;
		p = next; /* a border that was made meanwhile */
	}
	if (!next.node)
		out->end = lsm_slice(NULL, 0);
	if (!p.node)
		return;
	out->start = skiplist_key(&p);
	for (c = cells_at(&p); c; c = c->older) {
		if (c->seq <= seq) {
			out->seq = c->seq;
			break;
		}
	}
}

/* ---- the view -----------------------------------------------------------
 */

static struct range_view *view_make_locked(struct rangedel *r)
	REQUIRES(r->mutex)
{
	struct skiplist_pos p = {r->borders, NULL};
	struct range_view *v = range_view_new(r->border_count);
	uint32_t i = 0;

	if (!v)
		return NULL;
	for (skiplist_first(&p); p.node; skiplist_next(&p)) {
		v->border[i].key = skiplist_key(&p);
		v->border[i++].cells = cells_at(&p);
	}
	/* A border may be left over from an adding that failed. */
	assert(i == r->border_count);
	v->count = atomic_load_explicit(&r->count, memory_order_relaxed);
	range_view_finish(v);
	return v;
}

/*
 * Makes the view anew when as many gets went without one as its making costs
 * about; so neither gets nor tombstones pay much, however they come mixed.
 */
static void view_renew(struct rangedel *r)
{
	struct range_view *fresh, *old = NULL;

	if (atomic_fetch_add_explicit(&r->asked, 1, memory_order_relaxed) <
		    atomic_load_explicit(&r->worth, memory_order_relaxed) ||
	    !mutex_trylock(&r->mutex))
		return;
	atomic_store_explicit(&r->asked, 0, memory_order_relaxed);
	fresh = view_make_locked(r);
	if (fresh) {
		atomic_store_explicit(&r->view_bytes, range_view_bytes(fresh),
				      memory_order_relaxed);
		/* release: partner is the load in rangedel_newest(). */
		old = atomic_exchange_explicit(&r->view, fresh,
					       memory_order_acq_rel);
	}
	mutex_unlock(&r->mutex);
	if (old)
		epoch_retire(free, old);
}

uint64_t rangedel_newest(struct rangedel *r, struct lsm_slice key, uint64_t seq,
			 uint64_t above)
{
	const struct range_cell *c;
	const struct range_view *v;
	struct range_cover cover;
	uint64_t newest;

	/* relaxed: the tombstones that seq can see were all counted when it
	 * became visible. */
	newest = atomic_load_explicit(&r->newest_seq, memory_order_relaxed);
	if (newest <= above)
		return 0;
	epoch_pin();
	/* acquire: partner is the exchange in view_renew(). */
	v = atomic_load_explicit(&r->view, memory_order_acquire);
	if (v && v->count >= rangedel_count(r)) {
		c = range_view_find(v, key);
		while (c && c->seq > seq)
			c = c->older;
		epoch_unpin();
		return c && c->seq > above ? c->seq : 0;
	}
	epoch_unpin();
	rangedel_cover(r, key, seq, &cover);
	view_renew(r);
	return cover.seq > above ? cover.seq : 0;
}

size_t rangedel_view_bytes(const struct rangedel *r)
{
	return atomic_load_explicit(&r->view_bytes, memory_order_relaxed);
}

int rangedel_collect(const struct rangedel *r, struct frags_builder *b)
{
	const struct tombstone *t;
	int err;

	/* acquire: partner is the store in add_locked(). */
	t = atomic_load_explicit(&r->newest, memory_order_acquire);
	for (; t; t = t->older) {
		err = frags_builder_add(b, t->start, t->end, t->seq);
		if (err)
			return err;
	}
	return 0;
}
