/* SPDX-License-Identifier: MIT */
/*
 * level_iter.c - the tables of a level >= 1 as one sorted sequence.
 *
 * The tables are disjoint, so a seek is a binary search for the one table that
 * can hold the key, and the end of one table is followed by the start of the
 * next. A table may have range tombstones alone and no point: it is passed
 * over.
 *
 * Range tombstones were clipped to the bounds of their table when it was
 * written, so the table whose bounds hold a key is the only one of the level
 * that can cover it. Between tables, and in tables without tombstones, the
 * answer is "nothing", and it is made to hold as far as can be told cheaply,
 * so that a caller who keeps it asks seldom.
 *
 * One thread at a time, like every iterator.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/epoch.h"
#include "lsm/tree/level_iter.h"

/* How many tables an answer "nothing" is stretched over, each way. */
#define COVER_STRETCH 16
/* A level of which bounds touch more tables is not asked as a whole whether it
 * can be left out: they hardly have one prefix then. */
#define LEAVE_OUT_MAX 2

struct level_iter {
	struct iter it; /* first: what callers see */
	struct table_cache *tc;
	struct table_file **files;
	size_t count;
	/* Of the whole level, of which files is what begins at first; or NULL.
	 */
	const struct level_bounds *bounds;
	size_t first;
	struct sst_iter_options options;
	uint32_t window;    /* how far child reads ahead, for the next one */
	size_t at;          /* the table that child is of */
	struct iter *child; /* or NULL */
	/* Holds what the last answer of level_iter_cover() points into. */
	struct sst_reader *cover_reader;
	size_t cover_at;
};

static size_t find(const struct level_iter *l, struct lsm_slice key)
{
	size_t low = 0, high = l->count;

	if (l->bounds) {
		low = level_bounds_find(l->bounds, key);
		low = low < l->first ? 0 : low - l->first;
		return low < high ? low : high;
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (table_file_cmp_key(l->files[mid], key) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void close_child(struct level_iter *l)
{
	iter_free(l->child);
	l->child = NULL;
}

/* Makes table i the open one. */
static bool open_child(struct level_iter *l, size_t i)
{
	struct sst_reader *r;
	int err;

	if (l->child && l->at == i)
		return true;
	close_child(l);
	err = table_cache_get(l->tc, &l->files[i]->slot, &r);
	if (!err) {
		struct sst_iter_options o = l->options;

		o.ahead_window = l->window;
		l->child = sst_reader_iter(r, &o);
		sst_reader_put(r);
		if (!l->child)
			err = -ENOMEM;
	}
	l->at = i;
	l->window = 0;
	if (err) {
		l->it.valid = false;
		l->it.err = err;
	}
	return !err;
}

static void show(struct level_iter *l)
{
	const struct iter *c = l->child;

	l->it.valid = c->valid;
	l->it.err = c->err;
	if (c->valid) {
		slice_copy(&l->it.key, &c->key);
		l->it.tag = c->tag;
		slice_copy(&l->it.value, &c->value);
		l->it.newest = c->newest;
	}
}

static void at_end(struct level_iter *l)
{
	l->it.valid = false;
	l->it.err = 0;
}

/* From where the child ran off its table's end on into the next tables. */
static void roll_forward(struct level_iter *l)
{
	while (!l->child->valid && !l->child->err) {
		if (l->at + 1 >= l->count) {
			at_end(l);
			return;
		}
		l->window = sst_iter_window(l->child);
		if (!open_child(l, l->at + 1))
			return;
		iter_first(l->child);
		/* no key is split across two tables */
		l->child->newest = true;
	}
	show(l);
}

static void roll_backward(struct level_iter *l)
{
	while (!l->child->valid && !l->child->err) {
		if (!l->at) {
			at_end(l);
			return;
		}
		l->window = sst_iter_window(l->child);
		if (!open_child(l, l->at - 1))
			return;
		iter_last(l->child);
	}
	show(l);
}

static void level_seek(struct iter *it, struct lsm_slice key, uint64_t tag)
{
	struct level_iter *l = (struct level_iter *)it;
	size_t i = find(l, key);

	if (i == l->count) {
		at_end(l);
		return;
	}
	if (!open_child(l, i))
		return;
	iter_seek(l->child, key, tag);
	roll_forward(l);
}

static void level_seek_for_prev(struct iter *it, struct lsm_slice key,
				uint64_t tag)
{
	struct level_iter *l = (struct level_iter *)it;
	size_t i = find(l, key);

	if (i == l->count || table_file_cmp_key(l->files[i], key) < 0) {
		if (!i) {
			at_end(l);
			return;
		}
		if (!open_child(l, i - 1))
			return;
		iter_last(l->child);
	} else {
		if (!open_child(l, i))
			return;
		iter_seek_for_prev(l->child, key, tag);
	}
	roll_backward(l);
}

static void level_first(struct iter *it)
{
	struct level_iter *l = (struct level_iter *)it;

	if (!l->count) {
		at_end(l);
		return;
	}
	if (!open_child(l, 0))
		return;
	iter_first(l->child);
	roll_forward(l);
}

static void level_last(struct iter *it)
{
	struct level_iter *l = (struct level_iter *)it;

	if (!l->count) {
		at_end(l);
		return;
	}
	if (!open_child(l, l->count - 1))
		return;
	iter_last(l->child);
	roll_backward(l);
}

static void level_next(struct iter *it)
{
	struct level_iter *l = (struct level_iter *)it;

	iter_next(l->child);
	if (l->child->valid)
		show(l);
	else
		roll_forward(l);
}

static void level_prev(struct iter *it)
{
	struct level_iter *l = (struct level_iter *)it;

	iter_prev(l->child);
	if (l->child->valid)
		show(l);
	else
		roll_backward(l);
}

static void level_free(struct iter *it)
{
	struct level_iter *l = (struct level_iter *)it;

	close_child(l);
	if (l->cover_reader)
		sst_reader_put(l->cover_reader);
	free(l);
}

static const struct iter_ops level_ops = {
	.seek = level_seek,
	.seek_for_prev = level_seek_for_prev,
	.first = level_first,
	.last = level_last,
	.next = level_next,
	.prev = level_prev,
	.free = level_free,
};

struct iter *level_iter_new(struct table_cache *tc, struct table_file **files,
			    size_t count, const struct sst_iter_options *o)
{
	struct level_iter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->it.ops = &level_ops;
	l->it.tells = true;
	l->tc = tc;
	l->files = files;
	l->count = count;
	l->options = *o;
	return &l->it;
}

/* ---- range tombstones --------------------------------------------------- */

/*
 * Nothing covers key. i is the first table that ends at or after key. The
 * answer ends where the next table with tombstones starts, and starts where the
 * one before ends: no tombstone reaches its largest bound, be that a key or an
 * exclusive end.
 */
static void cover_nothing(const struct level_iter *l, size_t i,
			  struct range_cover *out)
{
	size_t n, first = i;

	memset(out, 0, sizeof(*out));
	for (n = 0; i < l->count; i++, n++) {
		const struct table_file *f = l->files[i];

		if (f->meta.range_deletions || n == COVER_STRETCH) {
			out->end = buf_slice(&f->meta.smallest);
			break;
		}
	}
	for (n = 0; first; first--, n++) {
		const struct table_file *f = l->files[first - 1];

		if (f->meta.range_deletions || n == COVER_STRETCH) {
			out->start = buf_slice(&f->meta.largest);
			break;
		}
	}
}

static int open_cover(struct level_iter *l, size_t i)
{
	struct sst_reader *r;
	int err;

	if (l->cover_reader && l->cover_at == i)
		return 0;
	err = table_cache_get(l->tc, &l->files[i]->slot, &r);
	if (err)
		return err;
	if (l->cover_reader)
		sst_reader_put(l->cover_reader);
	l->cover_reader = r;
	l->cover_at = i;
	return 0;
}

int level_iter_cover(void *arg, struct lsm_slice key, uint64_t seq,
		     struct range_cover *out)
{
	struct level_iter *l = arg;
	size_t i = find(l, key);
	const struct sst_meta *m;
	int err;

	if (i == l->count || !l->files[i]->meta.range_deletions ||
	    table_file_cmp_key(l->files[i], key) < 0) {
		cover_nothing(l, i, out);
		return 0;
	}
	err = open_cover(l, i);
	if (err)
		return err;
	m = &l->files[i]->meta;
	frags_cover(sst_reader_frags(l->cover_reader), key, seq, out);
	/* The table speaks for its own bounds, and on to the next one. */
	if (!out->start.len ||
	    slice_cmp(out->start, buf_slice(&m->smallest)) < 0)
		out->start = buf_slice(&m->smallest);
	if (i + 1 < l->count) {
		struct lsm_slice next =
			buf_slice(&l->files[i + 1]->meta.smallest);

		if (!out->end.len || slice_cmp(out->end, next) > 0)
			out->end = next;
	}
	return 0;
}

/* ---- a scan's iterators ------------------------------------------------- */

void version_iters_init(struct version_iters *v)
{
	v->iters = v->few_iters;
	v->covers = v->few_covers;
	v->count = 0;
	v->cap = VERSION_ITERS_FEW;
}

int version_iters_reserve(struct version_iters *v, size_t extra)
{
	size_t need = v->count + extra;
	bool few = v->iters == v->few_iters;
	struct cover_source *covers;
	struct iter **iters;

	if (need <= v->cap)
		return 0;
	iters = reallocarray(few ? NULL : v->iters, need, sizeof(*iters));
	if (!iters)
		return -ENOMEM;
	if (few)
		memcpy(iters, v->iters, v->count * sizeof(*iters));
	v->iters = iters;
	few = v->covers == v->few_covers;
	covers = reallocarray(few ? NULL : v->covers, need, sizeof(*covers));
	if (!covers)
		return -ENOMEM;
	if (few)
		memcpy(covers, v->covers, v->count * sizeof(*covers));
	v->covers = covers;
	v->cap = need;
	return 0;
}

void version_iters_release(struct version_iters *v)
{
	if (v->iters != v->few_iters)
		free(v->iters);
	if (v->covers != v->few_covers)
		free(v->covers);
}

static int table_cover(void *arg, struct lsm_slice key, uint64_t seq,
		       struct range_cover *out)
{
	frags_cover(arg, key, seq, out);
	return 0;
}

/* A table with tombstones takes part although it may have no point for the
 * bounds; it can be asked for what it covers only while it is there. */
static int add_table(struct version *v, struct table_file *f,
		     const struct sst_iter_options *o,
		     struct version_iters *into)
{
	struct sst_reader *r;
	struct iter *it;
	int err;

	err = table_cache_get(v->vs->tables, &f->slot, &r);
	if (err)
		return err;
	if (!f->meta.range_deletions &&
	    !sst_reader_may_hold(r, o->lower, o->upper)) {
		sst_reader_put(r);
		return 0;
	}
	it = sst_reader_iter(r, o);
	if (it) {
		/* The iterator keeps the reader, and so its fragments. */
		struct cover_source cover = {0};

		if (f->meta.range_deletions) {
			cover.cover = table_cover;
			cover.arg = (void *)sst_reader_frags(r);
		}
		into->covers[into->count] = cover;
		into->iters[into->count++] = it;
	}
	sst_reader_put(r);
	return it ? 0 : -ENOMEM;
}

/* True: all of these tables are open, and none has anything for the bounds. */
static bool none_holds(struct version *v, struct table_file **files, size_t n,
		       const struct sst_iter_options *o)
{
	bool none = true;
	size_t i;

	epoch_pin();
	for (i = 0; i < n && none; i++) {
		struct sst_reader *r =
			table_cache_find(v->vs->tables, &files[i]->slot);

		none = r && !files[i]->meta.range_deletions &&
		       !sst_reader_may_hold(r, o->lower, o->upper);
	}
	epoch_unpin();
	return none;
}

/* The tables of a level of v from first up to end. */
static struct iter *part_of_level(struct version *v, unsigned level,
				  size_t first, size_t end,
				  const struct sst_iter_options *o)
{
	struct iter *it = level_iter_new(v->vs->tables, v->level[level] + first,
					 end - first, o);

	if (it) {
		struct level_iter *l = (struct level_iter *)it;

		l->bounds = &v->bounds[level];
		l->first = first;
	}
	return it;
}

static int add_level(struct version *v, unsigned level,
		     const struct sst_iter_options *o,
		     struct version_iters *into)
{
	struct lsm_slice lower = o->lower, upper = o->upper;
	struct table_file **files = v->level[level];
	size_t first = lower.len ? version_find(v, level, lower) : 0;
	size_t end =
		upper.len ? version_find(v, level, upper) : v->count[level];
	struct cover_source cover = {0};
	struct iter *it;
	size_t i;

	if (end < v->count[level] &&
	    table_file_overlaps(files[end], lower, upper))
		end++;
	if (first >= end || (end - first <= LEAVE_OUT_MAX &&
			     none_holds(v, files + first, end - first, o)))
		return 0;
	it = part_of_level(v, level, first, end, o);
	if (!it)
		return -ENOMEM;
	for (i = first; v->level_ranges[level] && i < end; i++) {
		if (files[i]->meta.range_deletions) {
			cover.cover = level_iter_cover;
			cover.arg = it;
			break;
		}
	}
	into->covers[into->count] = cover;
	into->iters[into->count++] = it;
	return 0;
}

int version_add_iters(struct version *v, const struct sst_iter_options *o,
		      struct lsm_slice lower, struct lsm_slice upper,
		      struct version_iters *into)
{
	struct sst_iter_options bounded = *o;
	size_t before = into->count, i;
	unsigned level;
	int err;

	bounded.lower = lower;
	bounded.upper = upper;
	err = version_iters_reserve(into, v->count[0] + LSM_LEVELS - 1);
	for (i = 0; !err && i < v->count[0]; i++)
		if (table_file_overlaps(v->level[0][i], lower, upper))
			err = add_table(v, v->level[0][i], &bounded, into);
	for (level = 1; !err && level < LSM_LEVELS; level++)
		if (v->count[level])
			err = add_level(v, level, &bounded, into);
	while (err && into->count > before)
		iter_free(into->iters[--into->count]);
	return err;
}
