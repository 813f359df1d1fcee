/* SPDX-License-Identifier: MIT */
/*
 * merge_iter.c - merging sorted sequences with a binary heap; see
 * merge_iter.h.
 *
 * The heap holds the valid children; its top is the present entry. A step
 * moves the top child and sifts it down in place ("replace-top"), which ends
 * at once while one child goes on being the smallest. Beside each child lies
 * the first 8 bytes of its key as a number, so that most comparisons do not
 * follow a pointer.
 *
 * The merged order is (key, tag, index of the child): total, so that turning
 * round in the middle of equal entries neither loses nor repeats one. Turning
 * round positions every other child anew, relative to the present entry.
 *
 * One thread at a time.
 */
#include "lsm/table/merge_iter.h"

#include <assert.h>
#include <stdlib.h>

struct child {
	struct iter *it;
	uint64_t prefix;
	size_t index;
};

struct merge_iter {
	struct iter base;
	bool backward;
	size_t count;      /* of all children */
	size_t heap_count; /* of the valid ones */
	struct child *heap;
	struct iter **children;
};

static inline struct merge_iter *merge_iter(struct iter *it)
{
	return (struct merge_iter *)it;
}

static inline int child_cmp(const struct child *a, const struct child *b)
{
	int c;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	c = entry_cmp(a->it->key, a->it->tag, b->it->key, b->it->tag);
	if (c)
		return c;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* Does a come out before b? */
static inline bool before(const struct merge_iter *m, const struct child *a,
			  const struct child *b)
{
	int c = child_cmp(a, b);

	return m->backward ? c > 0 : c < 0;
}

static void sift_down(struct merge_iter *m, size_t at)
{
	struct child *h = m->heap, x = h[at];
	size_t n = m->heap_count;

	for (;;) {
		size_t down = 2 * at + 1;

		if (down >= n)
			break;
		if (down + 1 < n && before(m, &h[down + 1], &h[down]))
			down++;
		if (!before(m, &h[down], &x))
			break;
		h[at] = h[down];
		at = down;
	}
	h[at] = x;
}

/* The top is what we show. */
static inline void show(struct merge_iter *m)
{
	const struct iter *top;

	if (!m->heap_count) {
		m->base.valid = false;
		return;
	}
	top = m->heap[0].it;
	slice_copy(&m->base.key, &top->key);
	m->base.tag = top->tag;
	slice_copy(&m->base.value, &top->value);
	m->base.valid = true;
}

static void fail(struct merge_iter *m, int err)
{
	m->base.valid = false;
	m->base.err = err;
}

/* After all children were positioned. */
static void build(struct merge_iter *m)
{
	size_t i;

	m->heap_count = 0;
	for (i = 0; i < m->count; i++) {
		struct iter *it = m->children[i];

		if (!it->valid) {
			if (it->err) {
				fail(m, it->err);
				return;
			}
			continue;
		}
		m->heap[m->heap_count].it = it;
		m->heap[m->heap_count].prefix = slice_prefix(it->key);
		m->heap[m->heap_count].index = i;
		m->heap_count++;
	}
	for (i = m->heap_count / 2; i-- > 0;)
		sift_down(m, i);
	show(m);
}

/* The child at heap[at] has moved, in the direction of the merge. */
static inline void moved(struct merge_iter *m, size_t at)
{
	struct child *c = &m->heap[at];

	if (c->it->valid) {
		c->prefix = slice_prefix(c->it->key);
		sift_down(m, at);
	} else if (c->it->err) {
		fail(m, c->it->err);
		return;
	} else {
		/* The last of the heap comes from another branch, so it could
		 * belong above its new place: build from there again. Only
		 * the top goes this way in a common step. */
		*c = m->heap[--m->heap_count];
		if (at == 0) {
			if (m->heap_count)
				sift_down(m, 0);
		} else {
			size_t i;

			for (i = m->heap_count / 2; i-- > 0;)
				sift_down(m, i);
		}
	}
	show(m);
}

/* Moves every child but the top to its neighbour of the present entry on the
 * other side, and the top one step. */
static void turn(struct merge_iter *m, bool backward)
{
	size_t top = m->heap[0].index, i;
	struct lsm_slice key = m->heap[0].it->key;
	uint64_t tag = m->heap[0].it->tag;

	m->backward = backward;
	for (i = 0; i < m->count; i++) {
		struct iter *it = m->children[i];

		if (i == top)
			continue;
		if (backward) {
			iter_seek_for_prev(it, key, tag);
			if (i > top && it->valid &&
			    !entry_cmp(it->key, it->tag, key, tag))
				iter_prev(it);
		} else {
			iter_seek(it, key, tag);
			if (i < top && it->valid &&
			    !entry_cmp(it->key, it->tag, key, tag))
				iter_next(it);
		}
	}
	/* last, for key is its */
	if (backward)
		iter_prev(m->children[top]);
	else
		iter_next(m->children[top]);
	build(m);
}

static void merge_next(struct iter *base)
{
	struct merge_iter *m = merge_iter(base);

	if (m->backward) {
		turn(m, false);
		return;
	}
	iter_next(m->heap[0].it);
	moved(m, 0);
}

static void merge_prev(struct iter *base)
{
	struct merge_iter *m = merge_iter(base);

	if (!m->backward) {
		turn(m, true);
		return;
	}
	iter_prev(m->heap[0].it);
	moved(m, 0);
}

static void start(struct merge_iter *m, bool backward)
{
	m->backward = backward;
	m->base.err = 0;
}

static void merge_first(struct iter *base)
{
	struct merge_iter *m = merge_iter(base);
	size_t i;

	start(m, false);
	for (i = 0; i < m->count; i++)
		iter_first(m->children[i]);
	build(m);
}

static void merge_last(struct iter *base)
{
	struct merge_iter *m = merge_iter(base);
	size_t i;

	start(m, true);
	for (i = 0; i < m->count; i++)
		iter_last(m->children[i]);
	build(m);
}

static void merge_seek(struct iter *base, struct lsm_slice key, uint64_t tag)
{
	struct merge_iter *m = merge_iter(base);
	size_t i;

	start(m, false);
	for (i = 0; i < m->count; i++)
		iter_seek(m->children[i], key, tag);
	build(m);
}

static void merge_seek_for_prev(struct iter *base, struct lsm_slice key,
				uint64_t tag)
{
	struct merge_iter *m = merge_iter(base);
	size_t i;

	start(m, true);
	for (i = 0; i < m->count; i++)
		iter_seek_for_prev(m->children[i], key, tag);
	build(m);
}

static void merge_free(struct iter *base)
{
	struct merge_iter *m = merge_iter(base);
	size_t i;

	for (i = 0; i < m->count; i++)
		iter_free(m->children[i]);
	free(m);
}

static const struct iter_ops merge_ops = {
	.seek = merge_seek,
	.seek_for_prev = merge_seek_for_prev,
	.first = merge_first,
	.last = merge_last,
	.next = merge_next,
	.prev = merge_prev,
	.free = merge_free,
};

struct iter *merge_iter_new(struct iter **children, size_t count)
{
	struct merge_iter *m;
	size_t i;

	if (count == 1)
		return children[0];
	m = calloc(1, sizeof(*m) + count * (sizeof(*m->heap) +
					    sizeof(*m->children)));
	if (!m) {
		for (i = 0; i < count; i++)
			iter_free(children[i]);
		return NULL;
	}
	m->base.ops = &merge_ops;
	m->count = count;
	m->heap = (struct child *)(m + 1);
	m->children = (struct iter **)(m->heap + count);
	for (i = 0; i < count; i++)
		m->children[i] = children[i];
	return &m->base;
}

size_t merge_iter_source(const struct iter *it)
{
	const struct merge_iter *m = (const struct merge_iter *)it;

	assert(it->ops == &merge_ops && m->heap_count);
	return m->heap[0].index;
}

void merge_iter_skip_child(struct iter *it, size_t i, struct lsm_slice key,
			   uint64_t tag)
{
	struct merge_iter *m = merge_iter(it);
	struct iter *c;
	size_t at;
	int order;

	assert(it->ops == &merge_ops && i < m->count);
	c = m->children[i];
	if (!m->base.valid || !c->valid)
		return;
	order = entry_cmp(c->key, c->tag, key, tag);
	if (m->backward ? order <= 0 : order >= 0)
		return;
	for (at = 0; m->heap[at].index != i; at++)
		;
	if (m->backward)
		iter_seek_for_prev(c, key, tag);
	else
		iter_seek(c, key, tag);
	moved(m, at);
}
