/* SPDX-License-Identifier: MIT */
/*
 * version_build.c - the next version: the tables of the present one, without
 * those an edit deletes, with those it adds.
 *
 * Levels that an edit does not touch are copied as they are; in the others the
 * added tables, few, are sorted and merged into the old ones, many. Whatever
 * comes out is checked before anyone sees it: a tree whose tables overlap
 * answers wrongly and silently.
 *
 * Who may call: one thread at a time for a version set (apply_mutex, or open).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/tree/version_build.h"

/* Newest first. Tables of level 0 come from one flush after the other, so
 * their ranges of sequences do not overlap and max_seq orders them. */
static int cmp_newest(const void *a, const void *b)
{
	const struct table_file *x = *(struct table_file *const *)a;
	const struct table_file *y = *(struct table_file *const *)b;

	if (x->meta.max_seq != y->meta.max_seq)
		return x->meta.max_seq > y->meta.max_seq ? -1 : 1;
	if (x->meta.number != y->meta.number)
		return x->meta.number > y->meta.number ? -1 : 1;
	return 0;
}

static int cmp_smallest(const void *a, const void *b)
{
	const struct table_file *x = *(struct table_file *const *)a;
	const struct table_file *y = *(struct table_file *const *)b;

	return slice_cmp(buf_slice(&x->meta.smallest),
			 buf_slice(&y->meta.smallest));
}

typedef int (*table_cmp)(const void *, const void *);

static table_cmp level_cmp(unsigned level)
{
	return level ? cmp_smallest : cmp_newest;
}

static bool disjoint(const struct table_file *a, const struct table_file *b)
{
	int c = slice_cmp(buf_slice(&a->meta.largest),
			  buf_slice(&b->meta.smallest));

	return c < 0 || (!c && a->meta.largest_exclusive);
}

static int check_level(const struct version *v, unsigned level)
{
	struct table_file **f = v->level[level];
	char name[FILE_NAME_MAX];
	size_t i;

	if (!level)
		return 0;
	for (i = 0; i + 1 < v->count[level]; i++) {
		if (disjoint(f[i], f[i + 1]))
			continue;
		file_name(name, FILE_SST, f[i]->meta.number);
		return log_corrupt(v->vs->log, name, 0,
				   "overlaps table %" PRIu64 " of level %u",
				   f[i + 1]->meta.number, level);
	}
	return 0;
}

/* Sums up, checks the order, and takes the references. */
static int version_finish(struct version *v)
{
	unsigned level;
	size_t i;
	int err;

	for (level = 0; level < LSM_LEVELS; level++) {
		err = check_level(v, level);
		if (!err && level)
			err = level_bounds_make(&v->bounds[level],
						v->level[level],
						v->count[level]);
		if (err)
			return err;
	}
	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; i < v->count[level]; i++) {
			struct table_file *f = v->level[level][i];

			table_file_ref(f);
			v->bytes[level] += f->meta.file_bytes;
			v->level_dense[level] += f->dense;
			if (f->meta.range_deletions)
				v->level_ranges[level] = true;
		}
		v->has_ranges |= v->level_ranges[level];
	}
	for (i = 0; i < v->blob_count; i++) {
		const struct version_blob *b = &v->blobs[i];

		blob_file_ref(b->file);
		v->blob_file_bytes += b->file->meta.file_bytes;
		v->blob_value_bytes += b->file->meta.value_bytes;
		v->blob_live_bytes += b->live < b->file->meta.value_bytes
					      ? b->live
					      : b->file->meta.value_bytes;
	}
	return 0;
}

static struct version *version_alloc(struct version_set *vs)
{
	struct version *v = calloc(1, sizeof(*v));

	if (v) {
		v->vs = vs;
		atomic_init(&v->refs, 1);
	}
	return v;
}

/* Of a version that holds no references yet. */
static void version_discard(struct version *v)
{
	unsigned level;

	for (level = 0; level < LSM_LEVELS; level++) {
		free(v->level[level]);
		level_bounds_release(&v->bounds[level]);
	}
	free(v->blobs);
	free(v);
}

static int level_alloc(struct version *v, unsigned level, size_t n)
{
	if (!n)
		return 0;
	v->level[level] = calloc(n, sizeof(*v->level[level]));
	return v->level[level] ? 0 : -ENOMEM;
}

int version_new(struct version_set *vs, struct table_file **level[LSM_LEVELS],
		const size_t count[LSM_LEVELS], struct version **out)
{
	return version_new_blobs(vs, level, count, NULL, 0, out);
}

/* The blob files with nothing counted as live yet. */
static int copy_blobs(struct version *v, const struct version_blob *blobs,
		      size_t count)
{
	v->blobs = calloc(count ? count : 1, sizeof(*v->blobs));
	if (!v->blobs)
		return -ENOMEM;
	v->blob_count = count;
	for (size_t i = 0; i < count; i++)
		v->blobs[i].file = blobs[i].file;
	if (count)
		qsort(v->blobs, count, sizeof(*v->blobs), cmp_version_blob);
	return 0;
}

int version_new_blobs(struct version_set *vs,
		      struct table_file **level[LSM_LEVELS],
		      const size_t count[LSM_LEVELS],
		      const struct version_blob *blobs, size_t blob_count,
		      struct version **out)
{
	struct version *v = version_alloc(vs);
	int err = v ? 0 : -ENOMEM;
	unsigned l;

	*out = NULL;
	for (l = 0; !err && l < LSM_LEVELS; l++) {
		err = level_alloc(v, l, count[l]);
		if (err || !count[l])
			continue;
		memcpy(v->level[l], level[l], count[l] * sizeof(*level[l]));
		v->count[l] = count[l];
		qsort(v->level[l], count[l], sizeof(*v->level[l]),
		      level_cmp(l));
	}
	if (!err)
		err = copy_blobs(v, blobs, blob_count);
	if (!err)
		err = version_count_blobs(v, blobs);
	if (!err)
		err = version_finish(v);
	if (err) {
		if (v)
			version_discard(v);
		return err;
	}
	*out = v;
	return 0;
}

/* ---- edits -------------------------------------------------------------- */

static int cmp_ref(const void *a, const void *b)
{
	const struct edit_ref *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

struct level_table {
	unsigned level;
	struct table_file *f;
};

struct build {
	struct version_change *c;
	struct version *base;
	const struct version_edit *edit;
	struct edit_ref *deleted; /* sorted */
	struct level_table *added;
};

/* Copies what stays of a level; the rest goes to c->gone for now. */
static int copy_kept(struct build *b, unsigned level, size_t *kept)
{
	struct version *v = b->c->next;
	size_t i, n = 0, room = b->base->count[level], gone = b->c->gone_count;
	size_t named = 0;

	for (i = 0; i < b->edit->added_count; i++)
		room += b->edit->added[i].level == level;
	for (i = 0; i < b->edit->deleted_count; i++)
		named += b->edit->deleted[i].level == level;
	if (level_alloc(v, level, room))
		return -ENOMEM;
	for (i = 0; i < b->base->count[level]; i++) {
		struct table_file *f = b->base->level[level][i];
		struct edit_ref ref = {level, f->meta.number};

		if (named && bsearch(&ref, b->deleted, b->edit->deleted_count,
				     sizeof(ref), cmp_ref))
			b->c->gone[b->c->gone_count++] = f;
		else
			v->level[level][n++] = f;
	}
	*kept = n;
	return b->c->gone_count - gone == named ? 0 : -EINVAL;
}

/* A table that was deleted and is added again has moved: the same table_file
 * goes on, with its open reader. Else a new one is made. */
static int resolve_added(struct build *b, size_t i)
{
	const struct edit_table *t = &b->edit->added[i];
	struct version_change *c = b->c;
	struct sst_meta meta = {0};
	struct table_file *f;
	size_t g;
	int err;

	b->added[i].level = t->level;
	for (g = 0; g < c->gone_count; g++) {
		if (c->gone[g]->meta.number == t->meta.number) {
			b->added[i].f = c->gone[g];
			c->gone[g] = c->gone[--c->gone_count];
			return 0;
		}
	}
	err = sst_meta_copy(&meta, &t->meta);
	if (err)
		return err;
	f = table_file_new(b->base->vs, &meta);
	if (!f) {
		sst_meta_release(&meta);
		return -ENOMEM;
	}
	c->fresh[c->fresh_count++] = f;
	b->added[i].f = f;
	return 0;
}

/* Merges the added tables of level, sorted, into the kept ones, from the back:
 * the array has room for both. */
static void merge_added(struct build *b, unsigned level, size_t kept,
			struct table_file **tmp)
{
	struct table_file **a = b->c->next->level[level];
	table_cmp cmp = level_cmp(level);
	size_t i, n = 0, to;

	for (i = 0; i < b->edit->added_count; i++)
		if (b->added[i].level == level)
			tmp[n++] = b->added[i].f;
	if (n > 1)
		qsort(tmp, n, sizeof(*tmp), cmp);
	b->c->next->count[level] = to = kept + n;
	while (n) {
		if (kept && cmp(&a[kept - 1], &tmp[n - 1]) > 0)
			a[--to] = a[--kept];
		else
			a[--to] = tmp[--n];
	}
}

static void *array(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

int version_change_init(struct version_change *c, struct version *base,
			const struct version_edit *edit)
{
	struct build b = {c, base, edit, NULL, NULL};
	struct table_file **tmp = array(edit->added_count, sizeof(*tmp));
	size_t kept[LSM_LEVELS], i;
	unsigned level;
	int err = -ENOMEM;

	memset(c, 0, sizeof(*c));
	c->next = version_alloc(base->vs);
	c->fresh = array(edit->added_count, sizeof(*c->fresh));
	c->gone = array(edit->deleted_count, sizeof(*c->gone));
	b.deleted = array(edit->deleted_count, sizeof(*b.deleted));
	b.added = array(edit->added_count, sizeof(*b.added));
	if (!tmp || !c->next || !c->fresh || !c->gone || !b.deleted || !b.added)
		goto out;
	if (edit->deleted_count)
		memcpy(b.deleted, edit->deleted,
		       edit->deleted_count * sizeof(*b.deleted));
	qsort(b.deleted, edit->deleted_count, sizeof(*b.deleted), cmp_ref);
	for (level = 0; level < LSM_LEVELS; level++) {
		err = copy_kept(&b, level, &kept[level]);
		if (err)
			goto out;
	}
	for (i = 0; i < edit->added_count; i++) {
		err = resolve_added(&b, i);
		if (err)
			goto out;
	}
	for (level = 0; level < LSM_LEVELS; level++)
		merge_added(&b, level, kept[level], tmp);
	err = version_change_blobs(c, base, edit);
	if (!err)
		err = version_finish(c->next);
	if (err == -EUCLEAN)
		err = -EINVAL;
out:
	if (err && c->next) {
		version_discard(c->next);
		c->next = NULL;
	}
	free(b.deleted);
	free(b.added);
	free(tmp);
	return err;
}

void version_change_release(struct version_change *c)
{
	size_t i;

	for (i = 0; i < c->fresh_count; i++)
		table_file_put(c->fresh[i]);
	for (i = 0; i < c->fresh_blob_count; i++)
		blob_file_put(c->fresh_blobs[i]);
	if (c->next)
		version_put(c->next);
	version_edit_release(&c->blob_edit);
	free(c->fresh);
	free(c->gone);
	free(c->fresh_blobs);
	free(c->gone_blobs);
	memset(c, 0, sizeof(*c));
}
