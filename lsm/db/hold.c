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
 * the rest afterwards with I/O, in the order of the keys.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

/* Keys looked up under one pin. */
#define PIN_KEYS 64

/* Left to the second pass, beside enum lookup_result. */
#define NEED_IO 16

struct lsm_hold {
	struct lsm_db *db;
	struct superversion *sv;
	uint64_t seq;
	struct blob_view last; /* of a value in a blob file; pins has it */
	size_t pin_count;
	struct sst_pin pins[]; /* room for one a key */
};

static void add_entry(struct lsm_hold *h, struct cache_entry *e)
{
	h->pins[h->pin_count++] = (struct sst_pin){.entry = e};
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
static int blob_in_memory(struct lsm_hold *h, struct lsm_slice *value)
{
	struct cache_entry *e;
	struct blob_handle b;

	if (!blob_handle_decode(&b, *value))
		return NEED_IO; /* which reports it */
	if (is_near(h, &b, value))
		return LOOKUP_FOUND;
	e = cache_find(h->db->cache, b.file, b.offset);
	if (!e || !cache_ref(e))
		return NEED_IO;
	add_entry(h, e);
	h->last = (struct blob_view){
		.entry = e, .file = b.file, .offset = b.offset};
	return blob_value(&b, e, value) ? NEED_IO : LOOKUP_FOUND;
}

static int blob_with_io(struct lsm_hold *h, struct lsm_slice *value)
{
	struct blob_view view = {0};
	struct blob_handle b;
	int err;

	if (blob_handle_decode(&b, *value) && is_near(h, &b, value))
		return LOOKUP_FOUND;
	err = sv_blob_value(h->sv, *value, true, &view, value);
	if (err) {
		blob_view_release(&h->db->vs, &view);
		return err;
	}
	add_entry(h, view.entry);
	h->last = view;
	return LOOKUP_FOUND;
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
			  struct lsm_slice *value)
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
		return blob_in_memory(h, value);
	return r == LOOKUP_FOUND && kind != KIND_PUT ? NEED_IO : r;
}

static int find_with_io(struct lsm_hold *h, struct lsm_slice key,
			struct lsm_slice *value)
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
		r = blob_with_io(h, value);
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

/* Returns how many are left for the second pass. */
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
				     : find_in_memory(h, keys[i], &values[i]);
		need += results[i] == NEED_IO;
	}
	if (count)
		epoch_unpin();
	return need;
}

int lsm_hold_get(struct lsm_db *db, const struct lsm_snapshot *snapshot,
		 size_t count, const struct lsm_slice *keys,
		 struct lsm_slice *values, int *results, struct lsm_hold **out)
{
	struct lsm_hold *h;
	uint64_t hits = 0;
	size_t need, i;
	int err = 0;

	/* Two for each: a value that is in memory may turn out not to fit its
	 * handle, and is looked up again. */
	h = malloc(sizeof(*h) + 2 * count * sizeof(h->pins[0]));
	if (!h)
		return -ENOMEM;
	*h = (struct lsm_hold){.db = db};
	h->sv = sv_get_at(db, snapshot, &h->seq);
	need = first_pass(h, count, keys, values, results);
	for (i = 0; i < count; i++) {
		if (need && results[i] == NEED_IO)
			results[i] = find_with_io(h, keys[i], &values[i]);
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
	db_count_gets(db, hits, count - hits);
	*out = h;
	return err;
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
