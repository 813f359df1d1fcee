/* SPDX-License-Identifier: MIT */
/*
 * db_iter_open.c - gathering the sources of an iterator: memtables that hold
 * something, then what the version adds, newest first. It holds a counted
 * superversion for as long as it lives. One thread at a time.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_iter.h"

static int cover_memtable(void *arg, struct lsm_slice key, uint64_t seq,
			  struct range_cover *out)
{
	memtable_cover(arg, key, seq, out);
	return 0;
}

/* Memtables without anything visible are left out: what enters them later is
 * newer than the iterator. */
static int add_memtables(struct superversion *sv, struct version_iters *s)
{
	int err = version_iters_reserve(s, sv->mem_count);

	if (err)
		return err;
	for (unsigned i = 0; i < sv->mem_count; i++) {
		struct memtable *m = sv->mems[i]->table;

		if (memtable_empty(m))
			continue;
		s->iters[s->count] = memtable_iter(m);
		if (!s->iters[s->count])
			return -ENOMEM;
		s->covers[s->count] = (struct cover_source){
			.cover = memtable_has_ranges(m) ? cover_memtable : NULL,
			.arg = m,
		};
		s->count++;
	}
	return 0;
}

static int keep_covers(struct lsm_iter *it, const struct version_iters *s)
{
	bool any = false;

	it->source_count = s->count;
	for (size_t i = 0; i < s->count; i++)
		any |= s->covers[i].cover != NULL;
	if (!any)
		return 0;
	it->covers = calloc(s->count, sizeof(*it->covers));
	if (!it->covers)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++)
		it->covers[i].from = s->covers[i];
	return 0;
}

static int open_sources(struct lsm_iter *it, bool no_fill_cache)
{
	struct sst_iter_options so = {.fill_cache = !no_fill_cache,
				      .ahead = true};
	struct version_iters s;
	int err;

	version_iters_init(&s);
	err = add_memtables(it->sv, &s);
	if (!err)
		err = version_add_iters(it->sv->version, &so,
					buf_slice(&it->lower),
					buf_slice(&it->upper), &s);
	if (!err)
		err = keep_covers(it, &s);
	if (!err && s.count) {
		it->merged = merge_iter_new(s.iters, s.count);
		if (!it->merged)
			err = -ENOMEM;
	} else {
		for (size_t i = 0; i < s.count; i++)
			iter_free(s.iters[i]);
	}
	version_iters_release(&s);
	return err;
}

static int copy_bounds(struct lsm_iter *it, const struct lsm_iter_options *o)
{
	int err = 0;

	if (o->lower.len)
		err = buf_append(&it->lower, o->lower.data, o->lower.len);
	if (!err && o->upper.len)
		err = buf_append(&it->upper, o->upper.data, o->upper.len);
	return err;
}

int lsm_iter_new(struct lsm_db *db, const struct lsm_iter_options *options,
		 struct lsm_iter **out)
{
	static const struct lsm_iter_options none;
	const struct lsm_iter_options *o = options ? options : &none;
	struct lsm_iter *it = calloc(1, sizeof(*it));
	int err;

	*out = NULL;
	if (!it)
		return -ENOMEM;
	it->db = db;
	it->sv = sv_get_at(db, o->snapshot, &it->seq);
	it->no_fill_cache = o->no_fill_cache;
	err = copy_bounds(it, o);
	if (!err)
		err = open_sources(it, o->no_fill_cache);
	if (err) {
		lsm_iter_free(it);
		return err;
	}
	*out = it;
	return 0;
}

int db_iter_clone(const struct lsm_iter *it, struct lsm_iter **out)
{
	struct lsm_iter_options o = {.lower = buf_slice(&it->lower),
				     .upper = buf_slice(&it->upper)};
	struct lsm_iter *copy = calloc(1, sizeof(*copy));
	int err;

	if (!copy)
		return -ENOMEM;
	copy->db = it->db;
	copy->sv = it->sv;
	sv_ref(copy->sv);
	copy->seq = it->seq;
	copy->no_fill_cache = it->no_fill_cache;
	err = copy_bounds(copy, &o);
	if (!err)
		err = open_sources(copy, copy->no_fill_cache);
	if (err) {
		lsm_iter_free(copy);
		return err;
	}
	*out = copy;
	return 0;
}

void lsm_iter_free(struct lsm_iter *it)
{
	if (!it)
		return;
	db_iter_end_ahead(it);
	iter_free(it->merged);
	free(it->covers);
	buf_release(&it->lower);
	buf_release(&it->upper);
	buf_release(&it->saved_key);
	buf_release(&it->saved_value);
	blob_view_release(&it->db->vs, &it->blob);
	sv_put_user(it->sv);
	free(it);
}
