/* SPDX-License-Identifier: MIT */
/*
 * version.c - tables and versions: their references, and looking a key up.
 *
 * A version never changes once it can be seen, so readers need no lock: they
 * hold a reference, or an epoch pin on something that holds one. What may
 * happen in an epoch callback, dropping the last reference, does no more than
 * move tables to a list under a mutex that is never held over anything slow;
 * unlinking them is left to version_set_delete_obsolete().
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lsm/base/hash.h"
#include "lsm/tree/version_build.h"

/* ---- tables ------------------------------------------------------------- */

bool table_file_overlaps(const struct table_file *f, struct lsm_slice start,
			 struct lsm_slice end)
{
	if (end.len && slice_cmp(buf_slice(&f->meta.smallest), end) >= 0)
		return false;
	return !start.len || table_file_cmp_key(f, start) <= 0;
}

int table_file_cmp_key(const struct table_file *f, struct lsm_slice key)
{
	int c;

	if (slice_cmp(key, buf_slice(&f->meta.smallest)) < 0)
		return -1;
	c = slice_cmp(key, buf_slice(&f->meta.largest));
	return c > 0 || (!c && f->meta.largest_exclusive);
}

struct table_file *table_file_new(struct version_set *vs, struct sst_meta *meta)
{
	struct table_file *f = calloc(1, sizeof(*f));
	uint64_t tombstones;

	if (!f)
		return NULL;
	f->meta = *meta;
	memset(meta, 0, sizeof(*meta));
	table_slot_init(&f->slot, f->meta.number);
	atomic_init(&f->refs, 1);
	f->vs = vs;
	tombstones = f->meta.deletions + f->meta.range_deletions;
	f->dense = tombstones &&
		   tombstones > (f->meta.entries + f->meta.range_deletions) / 2;
	return f;
}

void table_file_ref(struct table_file *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void table_file_put(struct table_file *f)
{
	struct version_set *vs = f->vs;

	/* Release: what we did with the table comes before its end. Acquire,
	 * of the last: pairs with the releases of all others. */
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	mutex_lock(&vs->obsolete_mutex);
	f->next_obsolete = vs->obsolete;
	vs->obsolete = f;
	atomic_fetch_add_explicit(&vs->obsolete_count, 1, memory_order_relaxed);
	mutex_unlock(&vs->obsolete_mutex);
}

void table_file_free(struct table_file *f)
{
	assert(!atomic_load_explicit(&f->refs, memory_order_relaxed));
	sst_meta_release(&f->meta);
	free(f);
}

/* ---- versions ----------------------------------------------------------- */

void version_ref(struct version *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
}

void version_put(struct version *v)
{
	unsigned level;
	size_t i;

	/* As in table_file_put(). */
	if (atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; i < v->count[level]; i++)
			table_file_put(v->level[level][i]);
		free(v->level[level]);
		level_bounds_release(&v->bounds[level]);
	}
	for (i = 0; i < v->blob_count; i++)
		blob_file_put(v->blobs[i].file);
	free(v->blobs);
	free(v);
}

size_t version_find(const struct version *v, unsigned level,
		    struct lsm_slice key)
{
	return level_bounds_find(&v->bounds[level], key);
}

/* What is looked up, and how. */
struct wish {
	struct lsm_slice key;
	uint64_t hash, seq;
	unsigned flags;
};

static int table_lookup(struct version *v, struct table_file *f,
			const struct wish *w, struct version_pos *at,
			enum entry_kind *kind, struct sst_pin *pin)
{
	unsigned flags = w->flags | (at->asked ? SST_LOOKUP_ASKED : 0);
	struct sst_reader *r;
	int res;

	at->asked = false;
	if (flags & SST_LOOKUP_CACHED) {
		r = table_cache_find(v->vs->tables, &f->slot);
		if (!r)
			return -EAGAIN;
		res = sst_reader_lookup(r, w->key, w->hash, w->seq, flags, kind,
					pin);
		at->asked = res == -EAGAIN || res == LOOKUP_FOUND;
		return res;
	}
	res = table_cache_get(v->vs->tables, &f->slot, &r);
	if (res)
		return res;
	res = sst_reader_lookup(r, w->key, w->hash, w->seq, flags, kind, pin);
	sst_reader_put(r);
	return res;
}

int version_lookup_from(struct version *v, struct lsm_slice key, uint64_t seq,
			unsigned flags, struct version_pos *at,
			enum entry_kind *kind, struct sst_pin *pin)
{
	const struct wish w = {key, hash64(key.data, key.len), seq, flags};
	struct table_file *f;
	size_t i;
	int res;

	for (; !at->level && at->index < v->count[0]; at->index++) {
		f = v->level[0][at->index];
		if (f->meta.min_seq > seq || table_file_cmp_key(f, key))
			continue;
		res = table_lookup(v, f, &w, at, kind, pin);
		if (res != LOOKUP_MISS)
			return res;
	}
	for (at->level += !at->level; at->level < LSM_LEVELS; at->level++) {
		i = version_find(v, at->level, key);
		if (i == v->count[at->level] ||
		    level_bounds_before(&v->bounds[at->level], i, key))
			continue;
		f = v->level[at->level][i];
		res = table_lookup(v, f, &w, at, kind, pin);
		if (res != LOOKUP_MISS)
			return res;
	}
	return LOOKUP_MISS;
}

int version_lookup(struct version *v, struct lsm_slice key, uint64_t seq,
		   unsigned flags, enum entry_kind *kind, struct sst_pin *pin)
{
	struct version_pos at = {0};

	return version_lookup_from(v, key, seq, flags, &at, kind, pin);
}
