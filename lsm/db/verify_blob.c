/* SPDX-License-Identifier: MIT */
/*
 * verify_blob.c - the part of lsm_verify() that looks at blob files: that they
 * are whole, that every handle leads to the value of its key, and that live
 * bytes are what handles refer to. That tables count their own handles rightly
 * was checked when they were verified.
 *
 * The caller holds the version. No lock.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

struct check {
	struct lsm_db *db;
	struct version *version;
	uint64_t *live; /* recounted; by index in version->blobs */
};

/* The block at hand is that of the handle: is the value that of the key? */
static int check_owner(struct check *c, const struct iter *it,
		       const struct blob_view *view)
{
	struct lsm_slice key;
	struct blob_handle h;
	char name[FILE_NAME_MAX];
	uint64_t seq;

	if (blob_handle_decode(&h, it->value) &&
	    !blob_owner(&h, view->entry, &key, &seq) &&
	    (h.shared || (slice_eq(key, it->key) && (seq == BLOB_SEQ_UNKNOWN ||
						     seq == tag_seq(it->tag)))))
		return 0;
	file_name(name, FILE_BLOB, view->file);
	return log_corrupt(&c->db->log, name, view->offset,
			   "a value belongs to another key than its handle");
}

static int check_handle(struct check *c, const struct iter *it,
			struct blob_view *view)
{
	struct version *v = c->version;
	struct lsm_slice value;
	int err = version_blob_value(v, it->value, false, view, &value);

	if (err)
		return err;
	c->live[version_find_blob(v, view->file) - v->blobs] += value.len;
	return check_owner(c, it, view);
}

static int check_entries(struct check *c, struct sst_reader *r)
{
	struct sst_iter_options o = {.readahead = true, .verify = true};
	struct iter *it = sst_reader_iter(r, &o);
	struct blob_view view = {0};
	int first = 0, err;

	if (!it)
		return -ENOMEM;
	for (iter_first(it); it->valid; iter_next(it)) {
		err = tag_kind(it->tag) == KIND_BLOB
			      ? check_handle(c, it, &view)
			      : 0;
		first = first ? first : err;
	}
	first = first ? first : it->err;
	iter_free(it);
	blob_view_release(&c->db->vs, &view);
	return first;
}

static int check_table(struct check *c, struct table_file *f)
{
	struct sst_reader *r;
	int err;

	if (!f->meta.blob_count)
		return 0;
	err = table_cache_get(c->db->tables, &f->slot, &r);
	if (err)
		return err;
	err = check_entries(c, r);
	sst_reader_put(r);
	return err;
}

static int check_file(struct check *c, struct blob_file *f)
{
	struct blob_reader *r;
	struct blob_meta is;
	char name[FILE_NAME_MAX];
	int err = blob_files_get(&c->db->vs.blobs, &f->slot, &r);

	if (err)
		return err;
	blob_reader_meta(r, &is);
	if (is.file_bytes != f->meta.file_bytes ||
	    is.values != f->meta.values ||
	    is.value_bytes != f->meta.value_bytes) {
		file_name(name, FILE_BLOB, f->meta.number);
		err = log_corrupt(&c->db->log, name, 0,
				  "counts are not those of the manifest");
	}
	if (!err)
		err = blob_reader_each(r, NULL, NULL);
	blob_reader_put(r);
	return err;
}

static int check_live(struct check *c, size_t i)
{
	const struct version_blob *b = &c->version->blobs[i];
	char name[FILE_NAME_MAX];

	if (c->live[i] == b->live)
		return 0;
	file_name(name, FILE_BLOB, b->file->meta.number);
	return log_corrupt(&c->db->log, name, 0,
			   "%" PRIu64 " bytes are live, not %" PRIu64,
			   c->live[i], b->live);
}

/* What the log keeps beside bulk writes' values; nothing says how many bytes.
 */
static int check_memtable(struct check *c, struct superversion *sv,
			  const struct memtable *m, uint64_t seq)
{
	struct iter *it = memtable_iter(m);
	struct blob_view view = {0};
	struct lsm_slice value;
	int first = 0, err;

	if (!it)
		return -ENOMEM;
	for (iter_first(it); it->valid; iter_next(it)) {
		if (tag_kind(it->tag) != KIND_BLOB || tag_seq(it->tag) > seq)
			continue;
		err = sv_blob_value(sv, it->value, false, &view, &value);
		if (!err)
			err = check_owner(c, it, &view);
		first = first ? first : err;
	}
	iter_free(it);
	blob_view_release(&c->db->vs, &view);
	return first;
}

int verify_blobs(struct lsm_db *db, struct superversion *sv, uint64_t seq,
		 void (*done)(void *arg, uint64_t bytes), void *arg)
{
	struct version *v = sv->version;
	struct check c = {.db = db, .version = v};
	int first = 0, err;

	c.live = calloc(v->blob_count + 1, sizeof(*c.live));
	if (!c.live)
		return -ENOMEM;
	for (size_t i = 0; i < v->blob_count; i++) {
		err = check_file(&c, v->blobs[i].file);
		first = first ? first : err;
		done(arg, v->blobs[i].file->meta.file_bytes);
	}
	for (unsigned level = 0; level < LSM_LEVELS; level++) {
		for (size_t i = 0; i < v->count[level]; i++) {
			err = check_table(&c, v->level[level][i]);
			first = first ? first : err;
		}
	}
	for (unsigned i = 0; i < sv->mem_count; i++) {
		err = check_memtable(&c, sv, sv->mems[i]->table, seq);
		first = first ? first : err;
	}
	/* After damage the count says nothing. */
	for (size_t i = 0; i < v->blob_count && !first; i++)
		first = check_live(&c, i);
	free(c.live);
	return first;
}
