/* SPDX-License-Identifier: MIT */
/*
 * blob_reader.c - one open blob file; see blob_reader.h.
 *
 * Of an open file only the footer is kept: a handle says where its block is.
 * The index is read when the whole file is walked.
 */
#include "lsm/table/blob_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/coding.h"
#include "lsm/table/ahead.h"
#include "lsm/table/stored.h"

struct blob_reader {
	_Atomic uint32_t refs;
	struct env_object *object;
	struct cache *cache;
	const struct logger *log;
	struct blob_footer footer;
	uint64_t file_bytes;
	char *name;
};

static int corrupt(const struct blob_reader *r, uint64_t offset,
		   const char *why)
{
	return log_corrupt(r->log, r->name, offset, "%s", why);
}

/* ---- open and close ----------------------------------------------------- */

static void reader_free(struct blob_reader *r)
{
	if (r->object)
		env_object_close(r->object);
	free(r->name);
	free(r);
}

static int read_footer(struct blob_reader *r, uint64_t number)
{
	uint8_t footer[BLOB_FOOTER_BYTES];
	uint64_t at;
	int err;

	r->file_bytes = env_object_bytes(r->object);
	if (r->file_bytes < BLOB_FOOTER_BYTES)
		return corrupt(r, 0, "file is too short");
	at = r->file_bytes - BLOB_FOOTER_BYTES;
	err = env_object_read(r->object, at, footer, sizeof(footer));
	if (err == -EUCLEAN)
		return corrupt(r, at, "file ends early");
	return err ? err
		   : blob_footer_decode(&r->footer, footer, at, number, r->log,
					r->name);
}

/* Without a footer no block is refused for where it lies: a read of what is not
 * there fails. */
static void no_footer(struct blob_reader *r, uint64_t number)
{
	r->file_bytes = env_object_bytes(r->object);
	r->footer.number = number;
	r->footer.format = BLOB_FORMAT;
	r->footer.index_offset = INT64_MAX;
}

static int reader_open(struct env_dir *dir, const char *name, uint64_t number,
		       struct cache *cache, const struct logger *log,
		       bool sealed, struct blob_reader **out)
{
	struct blob_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	atomic_init(&r->refs, 1);
	r->cache = cache;
	r->log = log;
	r->name = strdup(name);
	err = r->name ? env_object_open(dir, name, &r->object) : -ENOMEM;
	if (!err && sealed)
		err = read_footer(r, number);
	else if (!err)
		no_footer(r, number);
	if (err) {
		reader_free(r);
		return err;
	}
	*out = r;
	return 0;
}

int blob_reader_open(struct env_dir *dir, const char *name, uint64_t number,
		     struct cache *cache, const struct logger *log,
		     struct blob_reader **out)
{
	return reader_open(dir, name, number, cache, log, true, out);
}

int blob_reader_open_unsealed(struct env_dir *dir, const char *name,
			      uint64_t number, struct cache *cache,
			      const struct logger *log,
			      struct blob_reader **out)
{
	return reader_open(dir, name, number, cache, log, false, out);
}

void blob_reader_ref(struct blob_reader *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

void blob_reader_put(struct blob_reader *r)
{
	/* acq_rel: every use comes before the end; pairs with itself */
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		reader_free(r);
}

void blob_reader_meta(const struct blob_reader *r, struct blob_meta *out)
{
	*out = (struct blob_meta){.number = r->footer.number,
				  .file_bytes = r->file_bytes,
				  .values = r->footer.values,
				  .value_bytes = r->footer.value_bytes};
}

/* ---- blocks ------------------------------------------------------------- */

static struct sst_handle stored_handle(const struct blob_handle *h)
{
	return (struct sst_handle){
		.offset = h->offset, .bytes = h->bytes, .type = h->type};
}

static int read_stored(struct blob_reader *r, const struct blob_handle *h,
		       uint8_t *to)
{
	struct sst_handle sh = stored_handle(h);
	const char *why;
	int err = env_object_read(r->object, h->offset, to,
				  (size_t)h->bytes + SST_TRAILER_BYTES);

	if (err == -EUCLEAN)
		return corrupt(r, h->offset, "file ends inside a block");
	if (err)
		return err;
	why = stored_check(&sh, to, r->footer.number, true);
	return why ? corrupt(r, h->offset, why) : 0;
}

/* Straight into the cache's entry, the trailer behind it. */
static int fetch_raw(struct blob_reader *r, const struct blob_handle *h,
		     struct cache_entry **out)
{
	struct cache_entry *e =
		cache_alloc(r->cache, (size_t)h->bytes + SST_TRAILER_BYTES,
			    stored_lead(h->bytes));
	int err;

	if (!e)
		return -ENOMEM;
	err = read_stored(r, h, cache_data(e));
	if (err)
		cache_drop(r->cache, e);
	else
		*out = e;
	return err;
}

static int expand(struct blob_reader *r, const struct blob_handle *h,
		  const uint8_t *stored, struct cache_entry **out)
{
	struct sst_handle sh = stored_handle(h);
	const char *why;
	int err = stored_expand(r->cache, &sh, stored, out, &why);

	return err == -EUCLEAN ? corrupt(r, h->offset, why) : err;
}

static int fetch_lz4(struct blob_reader *r, const struct blob_handle *h,
		     struct cache_entry **out)
{
	uint8_t *stored = malloc((size_t)h->bytes + SST_TRAILER_BYTES);
	int err;

	if (!stored)
		return -ENOMEM;
	err = read_stored(r, h, stored);
	if (!err)
		err = expand(r, h, stored, out);
	free(stored);
	return err;
}

/* A fresh block, not in the cache, all of it checked. */
static int fetch(struct blob_reader *r, const struct blob_handle *h,
		 struct cache_entry **out)
{
	struct cache_entry *e = NULL;
	int err;

	if (h->type > SST_BLOCK_LZ4 || h->offset > r->footer.index_offset ||
	    r->footer.index_offset - h->offset <
		    (uint64_t)h->bytes + SST_TRAILER_BYTES)
		return corrupt(r, h->offset,
			       "a handle points outside the file");
	err = (h->type == SST_BLOCK_RAW ? fetch_raw : fetch_lz4)(r, h, &e);
	if (err)
		return err;
	if (!blob_block_check(cache_data(e), stored_plain_len(e, h->type))) {
		cache_drop(r->cache, e);
		return corrupt(r, h->offset, "block cannot be decoded");
	}
	*out = e;
	return 0;
}

int blob_reader_block(struct blob_reader *r, const struct blob_handle *h,
		      bool fill, struct cache_entry **out)
{
	struct cache_entry *e =
		cache_get(r->cache, r->footer.number, h->offset);
	struct lsm_slice value;
	int err;

	if (!e) {
		err = fetch(r, h, &e);
		if (err)
			return err;
		/* another thread may have been faster: its copy, then */
		e = cache_insert(r->cache, e, r->footer.number, h->offset,
				 fill);
	}
	if (blob_value(h, e, &value)) {
		cache_put(r->cache, e);
		return corrupt(r, h->offset, "a handle fits no value");
	}
	*out = e;
	return 0;
}

int blob_reader_count(struct blob_reader *r, const struct blob_handle *h,
		      uint32_t *values, uint64_t *value_bytes)
{
	struct cache_entry *e = NULL;
	const uint8_t *p;
	int err = fetch(r, h, &e);

	if (err)
		return err;
	p = cache_data(e);
	*values = blob_block_count(p);
	*value_bytes = get_le32(p + 4 * (size_t)*values);
	cache_drop(r->cache, e);
	return 0;
}

static void put_reader(void *reader)
{
	blob_reader_put(reader);
}

void blob_reader_source(struct blob_reader *r, struct ahead_source *out)
{
	*out = (struct ahead_source){.object = r->object,
				     .file = r->footer.number,
				     .crc = true,
				     .check = blob_block_check,
				     .owner = r,
				     .put = put_reader};
}

int blob_value(const struct blob_handle *h, struct cache_entry *block,
	       struct lsm_slice *value)
{
	if (!blob_block_value(cache_data(block),
			      stored_plain_len(block, h->type), h->index,
			      value) ||
	    value->len != h->len)
		return -EUCLEAN;
	return 0;
}

int blob_owner(const struct blob_handle *h, struct cache_entry *block,
	       struct lsm_slice *key, uint64_t *seq)
{
	return blob_block_key(cache_data(block),
			      stored_plain_len(block, h->type), h->index, key,
			      seq)
		       ? 0
		       : -EUCLEAN;
}

int blob_cached(struct cache *cache, const struct blob_handle *h,
		struct lsm_slice *value)
{
	struct cache_entry *e = cache_find(cache, h->file, h->offset);

	/* What does not fit is reported by who reads it with I/O. */
	return e && !blob_value(h, e, value) ? 0 : -EAGAIN;
}

/* ---- the whole file ----------------------------------------------------- */

struct walk {
	struct blob_reader *r;
	struct blob_handle h;
	uint64_t values, value_bytes;
	int (*fn)(void *arg, const struct blob_handle *h, struct lsm_slice key,
		  uint64_t seq, struct lsm_slice value);
	void *arg;
};

static int walk_value(void *arg, uint32_t index, struct lsm_slice key,
		      uint64_t seq, struct lsm_slice value)
{
	struct walk *w = arg;

	w->values++;
	w->value_bytes += value.len;
	w->h.index = index;
	w->h.len = (uint32_t)value.len;
	return w->fn ? w->fn(w->arg, &w->h, key, seq, value) : 0;
}

static int walk_block(struct walk *w)
{
	struct cache_entry *e = NULL;
	int err = fetch(w->r, &w->h, &e);

	if (err)
		return err;
	err = blob_block_each(cache_data(e), stored_plain_len(e, w->h.type),
			      walk_value, w);
	cache_drop(w->r->cache, e);
	return err;
}

static int read_index(struct blob_reader *r, uint8_t **out)
{
	struct blob_handle h = {.offset = r->footer.index_offset,
				.bytes = r->footer.index_bytes,
				.type = SST_BLOCK_RAW};
	uint8_t *p = malloc((size_t)h.bytes + SST_TRAILER_BYTES);
	int err = p ? read_stored(r, &h, p) : -ENOMEM;

	if (err)
		free(p);
	else
		*out = p;
	return err;
}

static int walk_blocks(struct walk *w, const uint8_t *p, const uint8_t *end)
{
	const struct blob_footer *f = &w->r->footer;
	uint32_t blocks = 0;
	int err = 0;

	while (p < end && !err) {
		p = get_varint32(p, end, &w->h.bytes);
		if (!p || p == end)
			return corrupt(w->r, f->index_offset,
				       "index cannot be decoded");
		w->h.type = *p++;
		if (w->h.type == BLOB_INDEX_GAP &&
		    f->incompat & BLOB_INCOMPAT_GAPS) {
			w->h.offset += w->h.bytes;
			continue;
		}
		err = walk_block(w);
		w->h.offset += (uint64_t)w->h.bytes + SST_TRAILER_BYTES;
		blocks++;
	}
	if (!err &&
	    (blocks != f->blocks || w->h.offset != f->index_offset ||
	     w->values != f->values || w->value_bytes != f->value_bytes))
		err = corrupt(w->r, f->index_offset,
			      "blocks and footer disagree");
	return err;
}

int blob_reader_each(struct blob_reader *r,
		     int (*fn)(void *arg, const struct blob_handle *h,
			       struct lsm_slice key, uint64_t seq,
			       struct lsm_slice value),
		     void *arg)
{
	struct walk w = {.r = r, .fn = fn, .arg = arg};
	uint8_t *index = NULL;
	int err = read_index(r, &index);

	if (err)
		return err;
	w.h.file = r->footer.number;
	err = walk_blocks(&w, index, index + r->footer.index_bytes);
	free(index);
	return err;
}
