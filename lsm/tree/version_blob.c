/* SPDX-License-Identifier: MIT */
/*
 * version_blob.c - the blob files of a version: which there are, how much of
 * each is live, and fetching a value.
 *
 * Live bytes are never estimated. Each table says how many bytes of values it
 * refers to in which file, so what an edit does to a file follows from the
 * tables it deletes and adds, whether anyone read them or not; and as a version
 * is made of tables, its live bytes are right by construction. The manifest has
 * them written out besides, and recovery compares. A value that several keys
 * share counts for each.
 *
 * Reading: any thread that holds the version, or is pinned. Changing: one
 * thread at a time for a version set (apply_mutex, or open).
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/tree/version_build.h"

/* ---- files -------------------------------------------------------------- */

struct blob_file *blob_file_new(struct version_set *vs,
				const struct blob_meta *meta)
{
	struct blob_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->meta = *meta;
	f->slot.number = meta->number;
	atomic_init(&f->refs, 1);
	f->vs = vs;
	return f;
}

void blob_file_ref(struct blob_file *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void blob_file_put(struct blob_file *f)
{
	struct version_set *vs = f->vs;

	/* acq_rel: as in table_file_put() */
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	mutex_lock(&vs->obsolete_mutex);
	f->next_obsolete = vs->obsolete_blobs;
	vs->obsolete_blobs = f;
	atomic_fetch_add_explicit(&vs->obsolete_count, 1, memory_order_relaxed);
	mutex_unlock(&vs->obsolete_mutex);
}

void blob_file_free(struct blob_file *f)
{
	free(f);
}

int cmp_version_blob(const void *a, const void *b)
{
	uint64_t x = ((const struct version_blob *)a)->file->meta.number;
	uint64_t y = ((const struct version_blob *)b)->file->meta.number;

	return x < y ? -1 : x > y;
}

struct version_blob *version_find_blob(const struct version *v, uint64_t number)
{
	size_t low = 0, high = v->blob_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->blobs[mid].file->meta.number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < v->blob_count && v->blobs[low].file->meta.number == number
		       ? &v->blobs[low]
		       : NULL;
}

/* ---- live bytes --------------------------------------------------------- */

static int table_error(const struct version_set *vs, const struct table_file *f,
		       uint64_t blob, const char *why)
{
	char name[FILE_NAME_MAX];

	file_name(name, FILE_SST, f->meta.number);
	return log_corrupt(vs->log, name, 0, "blob file %" PRIu64 " %s", blob,
			   why);
}

/* Counts what a table refers to as live. */
static int add_refs(struct version *v, const struct table_file *f)
{
	for (size_t i = 0; i < f->meta.blob_count; i++) {
		const struct sst_blob_ref *r = &f->meta.blobs[i];
		struct version_blob *b = version_find_blob(v, r->file);

		if (!b)
			return table_error(v->vs, f, r->file, "is not known");
		if (r->bytes > UINT64_MAX - b->live)
			return table_error(v->vs, f, r->file,
					   "is referred to beyond counting");
		b->live += r->bytes;
	}
	return 0;
}

static int take_refs(struct version *v, const struct table_file *f)
{
	for (size_t i = 0; i < f->meta.blob_count; i++) {
		const struct sst_blob_ref *r = &f->meta.blobs[i];
		struct version_blob *b = version_find_blob(v, r->file);

		if (!b || b->live < r->bytes)
			return table_error(v->vs, f, r->file,
					   "has fewer live bytes than that");
		b->live -= r->bytes;
	}
	return 0;
}

int version_count_blobs(struct version *v, const struct version_blob *said)
{
	char name[FILE_NAME_MAX];
	int err = 0;

	for (unsigned level = 0; level < LSM_LEVELS; level++)
		for (size_t i = 0; i < v->count[level] && !err; i++)
			err = add_refs(v, v->level[level][i]);
	for (size_t i = 0; i < v->blob_count && !err; i++) {
		uint64_t number = said[i].file->meta.number;
		struct version_blob *b = version_find_blob(v, number);

		if (b->live == said[i].live)
			continue;
		file_name(name, FILE_BLOB, number);
		err = log_corrupt(v->vs->log, name, 0,
				  "%" PRIu64 " bytes are said to be live, but "
				  "tables refer to %" PRIu64,
				  said[i].live, b->live);
	}
	return err;
}

/* The blob files of before and those the edit adds. before: live bytes as the
 * manifest has them. */
static int join_blobs(struct version_change *c, const struct version *base,
		      const struct version_edit *edit)
{
	struct version *v = c->next;

	for (size_t i = 0; i < base->blob_count; i++)
		v->blobs[v->blob_count++] = base->blobs[i];
	for (size_t i = 0; i < edit->blob_count; i++) {
		const struct edit_blob *b = &edit->blobs[i];
		struct blob_file *f;

		if (b->what != EDIT_BLOB_ADD ||
		    version_find_blob(base, b->meta.number))
			return -EINVAL;
		f = blob_file_new(base->vs, &b->meta);
		if (!f)
			return -ENOMEM;
		c->fresh_blobs[c->fresh_blob_count++] = f;
		v->blobs[v->blob_count++].file = f;
	}
	if (v->blob_count)
		qsort(v->blobs, v->blob_count, sizeof(*v->blobs),
		      cmp_version_blob);
	return 0;
}

/* What the manifest has, before this edit or with it. */
static uint64_t live_before(const struct version *base,
			    const struct version_edit *edit, uint64_t number)
{
	const struct version_blob *b = version_find_blob(base, number);

	if (b)
		return b->live;
	for (size_t i = 0; i < edit->blob_count; i++)
		if (edit->blobs[i].meta.number == number)
			return edit->blobs[i].live_bytes;
	return 0;
}

/* Nobody refers to it and nobody is about to: from here on it cannot be pinned
 * any more. */
static bool give_up(struct version_set *vs, struct blob_file *f)
{
	bool gone;

	mutex_lock(vs->mutex);
	gone = !blob_pin_count(vs, f->meta.number);
	if (gone)
		f->dropping = true;
	mutex_unlock(vs->mutex);
	return gone;
}

void version_keep_blobs(struct version_set *vs, struct blob_file **files,
			size_t count)
{
	mutex_lock(vs->mutex);
	for (size_t i = 0; i < count; i++)
		files[i]->dropping = false;
	mutex_unlock(vs->mutex);
}

/* Writes down what changed, and takes out what nobody refers to. */
static int settle_blobs(struct version_change *c, const struct version *base,
			const struct version_edit *edit)
{
	struct version *v = c->next;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < v->blob_count && !err; i++) {
		struct version_blob b = v->blobs[i];
		struct edit_blob e = {.meta.number = b.file->meta.number};
		uint64_t before = live_before(base, edit, e.meta.number);

		if (!b.live && give_up(base->vs, b.file)) {
			e.what = EDIT_BLOB_DELETE;
			c->gone_blobs[c->gone_blob_count++] = b.file;
			err = version_edit_blob(&c->blob_edit, &e);
			continue;
		}
		v->blobs[n++] = b;
		if (b.live == before)
			continue;
		e.what = EDIT_BLOB_LIVE;
		e.less = before > b.live ? before - b.live : 0;
		e.more = b.live > before ? b.live - before : 0;
		err = version_edit_blob(&c->blob_edit, &e);
	}
	v->blob_count = n;
	return err;
}

int version_change_blobs(struct version_change *c, const struct version *base,
			 const struct version_edit *edit)
{
	size_t n = base->blob_count + edit->blob_count + 1;
	int err;

	c->next->blobs = calloc(n, sizeof(*c->next->blobs));
	c->fresh_blobs = calloc(edit->blob_count + 1, sizeof(*c->fresh_blobs));
	c->gone_blobs = calloc(n, sizeof(*c->gone_blobs));
	if (!c->next->blobs || !c->fresh_blobs || !c->gone_blobs)
		return -ENOMEM;
	err = join_blobs(c, base, edit);
	for (size_t i = 0; i < c->gone_count && !err; i++)
		err = take_refs(c->next, c->gone[i]);
	for (size_t i = 0; i < c->fresh_count && !err; i++)
		err = add_refs(c->next, c->fresh[i]);
	if (!err)
		err = settle_blobs(c, base, edit);
	return err;
}

/* ---- values ------------------------------------------------------------- */

static int bad_handle(const struct version *v)
{
	return log_corrupt(v->vs->log, "store", 0,
			   "a handle of a value cannot be decoded");
}

void blob_view_release(struct version_set *vs, struct blob_view *view)
{
	if (view->entry)
		cache_put(vs->blobs.cache, view->entry);
	memset(view, 0, sizeof(*view));
}

static int fetch_block(struct version *v, const struct blob_handle *h,
		       bool fill, struct blob_view *view)
{
	struct version_blob *b = version_find_blob(v, h->file);
	char name[FILE_NAME_MAX];
	struct blob_reader *r;
	int err;

	blob_view_release(v->vs, view);
	view->entry = cache_get(v->vs->blobs.cache, h->file, h->offset);
	if (view->entry)
		goto out;
	if (!b) {
		file_name(name, FILE_BLOB, h->file);
		return log_corrupt(v->vs->log, name, 0,
				   "a handle points into it, but it is not "
				   "part of the store");
	}
	err = blob_files_get(&v->vs->blobs, &b->file->slot, &r);
	if (err)
		return err;
	err = blob_reader_block(r, h, fill, &view->entry);
	blob_reader_put(r);
	if (err)
		return err;
	view->from_disk = true;
out:
	view->file = h->file;
	view->offset = h->offset;
	return 0;
}

int version_blob_block(struct version *v, const struct blob_handle *h,
		       bool fill, struct blob_view *view,
		       struct lsm_slice *value)
{
	int err = 0;

	if (!view->entry || view->file != h->file || view->offset != h->offset)
		err = fetch_block(v, h, fill, view);
	if (err)
		return err;
	return blob_value(h, view->entry, value) ? bad_handle(v) : 0;
}

int version_blob_value(struct version *v, struct lsm_slice handle, bool fill,
		       struct blob_view *view, struct lsm_slice *value)
{
	struct blob_handle h;

	if (!blob_handle_decode(&h, handle))
		return bad_handle(v);
	return version_blob_block(v, &h, fill, view, value);
}

int version_blob_cached(struct version *v, struct lsm_slice handle,
			struct lsm_slice *value)
{
	struct blob_handle h;

	if (!blob_handle_decode(&h, handle))
		return -EAGAIN; /* to be reported by who reads with I/O */
	return blob_cached(v->vs->blobs.cache, &h, value);
}
