/* SPDX-License-Identifier: MIT */
/*
 * hold.c - looking up many keys without copying their values; lsm_hold_get().
 *
 * What keeps the values where they are: the superversion (those in memtables),
 * and a reference on each block of the cache. Neighbours often share a block,
 * above all values in blob files, so one that lies in the block of its
 * predecessor is found there: no search in the cache, and no second reference.
 *
 * As for other reads, what is in memory is found under a pin, in groups, and
 * the rest afterwards with I/O, in the order of the keys. Blocks of blob files
 * come last, when it is known which are wanted.
 *
 * Somebody who passes through more than will be read again should not have it
 * enter the cache: not for the sake of what it would push out, since a scan
 * pushes out its own kind, but because memory that is used for the first time
 * has to be cleared by the kernel, which takes longer than reading into memory
 * that has just been used and is still in the processor's caches.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

/* Keys looked up under one pin. */
#define PIN_KEYS 64

/* Left to later passes, beside enum lookup_result. */
#define NEED_IO    16
#define NEED_BLOCK 17 /* of a blob file; wanted says which */

struct lsm_hold {
	struct lsm_db *db;
	struct superversion *sv;
	uint64_t seq;
	struct blob_view last;      /* of a value in a blob file; pins has it */
	struct blob_handle *wanted; /* one a key; gone when it is made */
	size_t pin_count;
	struct sst_pin pins[]; /* room for one a key */
};

static void add_entry(struct lsm_hold *h, struct cache_entry *e)
{
	h->pins[h->pin_count++] = (struct sst_pin){.entry = e};
}

static bool is_same_block(const struct blob_handle *a,
			  const struct blob_handle *b)
{
	return a->file == b->file && a->offset == b->offset;
}

/* In the block of the value before? */
static bool is_near(const struct lsm_hold *h, const struct blob_handle *b,
		    struct lsm_slice *value)
{
	return h->last.entry && h->last.file == b->file &&
	       h->last.offset == b->offset &&
	       !blob_value(b, h->last.entry, value);
}

/* Replaces a handle by its value, if that is in memory. The caller is pinned.
 */
static int blob_in_memory(struct lsm_hold *h, struct lsm_slice *value,
			  struct blob_handle *b)
{
	struct cache_entry *e;

	if (!blob_handle_decode(b, *value))
		return NEED_IO; /* which reports it */
	if (is_near(h, b, value))
		return LOOKUP_FOUND;
	e = cache_find(h->db->cache, b->file, b->offset);
	if (!e || !cache_ref(e))
		return NEED_BLOCK;
	add_entry(h, e);
	h->last = (struct blob_view){
		.entry = e, .file = b->file, .offset = b->offset};
	return blob_value(b, e, value) ? NEED_BLOCK : LOOKUP_FOUND;
}

static int find_in_mems(struct lsm_hold *h, struct lsm_slice key,
			enum entry_kind *kind, struct lsm_slice *value)
{
	int r = LOOKUP_MISS;

	for (unsigned i = 0; i < h->sv->mem_count && r == LOOKUP_MISS; i++)
		r = memtable_lookup(h->sv->mems[i]->table, key, h->seq, kind,
				    value);
	return r;
}

static int find_in_memory(struct lsm_hold *h, struct lsm_slice key,
			  struct lsm_slice *value, struct blob_handle *wanted)
{
	enum entry_kind kind = KIND_PUT;
	struct sst_pin sst = {0};
	int r = find_in_mems(h, key, &kind, value);

	if (r == LOOKUP_MISS) {
		r = version_lookup(h->sv->version, key, h->seq,
				   SST_LOOKUP_CACHED, &kind, &sst);
		if (r == -EAGAIN)
			return NEED_IO;
		*value = sst.data;
		if (r == LOOKUP_FOUND && kind == KIND_PUT) {
			if (!sst.lies_in || !cache_ref(sst.lies_in))
				return NEED_IO;
			add_entry(h, sst.lies_in);
		}
	}
	if (r == LOOKUP_FOUND && kind == KIND_BLOB)
		return blob_in_memory(h, value, wanted);
	return r == LOOKUP_FOUND && kind != KIND_PUT ? NEED_IO : r;
}

static int find_with_io(struct lsm_hold *h, struct lsm_slice key,
			struct lsm_slice *value, struct blob_handle *wanted)
{
	enum entry_kind kind = KIND_PUT;
	struct sst_pin sst = {0};
	int r = find_in_mems(h, key, &kind, value);

	if (r == LOOKUP_MISS) {
		r = version_lookup(h->sv->version, key, h->seq, 0, &kind, &sst);
		*value = sst.data;
	}
	if (r == LOOKUP_FOUND && kind == KIND_PUT) {
		if (sst.entry || sst.reader)
			h->pins[h->pin_count++] = sst;
		return r;
	}
	if (r == LOOKUP_FOUND && kind == KIND_BLOB)
		r = blob_handle_decode(wanted, *value)
			    ? NEED_BLOCK
			    : log_corrupt(&h->db->log, "store", 0,
					  "a handle of a value cannot be "
					  "decoded");
	else if (r == LOOKUP_FOUND)
		r = log_corrupt(&h->db->log, "store", 0,
				"a value of a kind that this version does not "
				"know");
	sst_pin_release(&sst, h->db->cache);
	return r;
}

static bool bad_key(struct lsm_slice key)
{
	return !key.len || key.len > LSM_KEY_MAX;
}

/* Returns how many are left for later passes. */
static size_t first_pass(struct lsm_hold *h, size_t count,
			 const struct lsm_slice *keys, struct lsm_slice *values,
			 int *results)
{
	size_t need = 0;

	for (size_t i = 0; i < count; i++) {
		if (i % PIN_KEYS == 0) {
			if (i)
				epoch_unpin();
			epoch_pin();
		}
		values[i] = lsm_slice(NULL, 0);
		results[i] = bad_key(keys[i])
				     ? -EINVAL
				     : find_in_memory(h, keys[i], &values[i],
						      &h->wanted[i]);
		need += results[i] >= NEED_IO;
	}
	if (count)
		epoch_unpin();
	return need;
}

static int read_block(struct lsm_hold *h, const struct blob_handle *b,
		      bool fill, struct lsm_slice *value)
{
	struct blob_view view = {0};
	int err;

	if (is_near(h, b, value))
		return LOOKUP_FOUND;
	err = sv_blob_block(h->sv, b, fill, &view, value);
	if (err) {
		blob_view_release(&h->db->vs, &view);
		return err;
	}
	add_entry(h, view.entry);
	h->last = view;
	return LOOKUP_FOUND;
}

/* The last block is likely to hold what comes after the last key too, so it
 * enters the cache in any case. */
static void read_blocks(struct lsm_hold *h, size_t count,
			struct lsm_slice *values, int *results, bool fill)
{
	const struct blob_handle *last =
		results[count - 1] == NEED_BLOCK ? &h->wanted[count - 1] : NULL;

	for (size_t i = 0; i < count; i++) {
		const struct blob_handle *b = &h->wanted[i];

		if (results[i] == NEED_BLOCK)
			results[i] = read_block(
				h, b, fill || (last && is_same_block(b, last)),
				&values[i]);
	}
}

/* Turns results into what the caller is told; the first error. */
static int settle(struct lsm_hold *h, size_t count, struct lsm_slice *values,
		  int *results)
{
	uint64_t hits = 0;
	int err = 0;

	for (size_t i = 0; i < count; i++) {
		if (results[i] == LOOKUP_FOUND) {
			results[i] = 0;
			hits++;
			continue;
		}
		values[i] = lsm_slice(NULL, 0);
		if (results[i] >= 0)
			results[i] = LSM_NOTFOUND;
		else if (!err)
			err = results[i];
	}
	db_count_gets(h->db, hits, count - hits);
	return err;
}

int lsm_hold_get(struct lsm_db *db, const struct lsm_hold_options *options,
		 size_t count, const struct lsm_slice *keys,
		 struct lsm_slice *values, int *results, struct lsm_hold **out)
{
	const struct lsm_hold_options o =
		options ? *options : (struct lsm_hold_options){0};
	struct lsm_hold *h;

	/* Two for each: a value that is in memory may turn out not to fit its
	 * handle, and is looked up again. */
	h = malloc(sizeof(*h) + 2 * count * sizeof(h->pins[0]));
	if (!h)
		return -ENOMEM;
	*h = (struct lsm_hold){.db = db};
	h->wanted = malloc((count + 1) * sizeof(*h->wanted));
	if (!h->wanted) {
		free(h);
		return -ENOMEM;
	}
	h->sv = sv_get_at(db, o.snapshot, &h->seq);
	if (first_pass(h, count, keys, values, results)) {
		for (size_t i = 0; i < count; i++)
			if (results[i] == NEED_IO)
				results[i] = find_with_io(
					h, keys[i], &values[i], &h->wanted[i]);
		read_blocks(h, count, values, results, !o.no_fill_cache);
	}
	free(h->wanted);
	h->wanted = NULL;
	*out = h;
	return settle(h, count, values, results);
}

void lsm_hold_release(struct lsm_hold *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->pin_count; i++)
		sst_pin_release(&h->pins[i], h->db->cache);
	sv_put_user(h->sv);
	free(h);
}
