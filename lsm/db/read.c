/* SPDX-License-Identifier: MIT */
/*
 * read.c - looking up keys.
 *
 * A get that finds all it needs in memory takes no lock and touches no shared
 * counter: it pins an epoch, searches the superversion and copies the value
 * into the caller's own buffer. Only when a block must be read, or a large
 * value is handed out where it lies, is the superversion counted and the pin
 * ended, since a pin must never last as long as I/O.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/hash.h"
#include "lsm/db/db_impl.h"

/* Keys looked up under one pin before other threads' garbage gets a chance. */
#define MULTI_PIN_KEYS 64

/* What lsm_pin.owner points to when a value lies outside the pin's buffer. */
struct held {
	struct sst_pin sst; /* or */
	struct superversion *sv;
	struct cache *cache;
};

static void held_release(void *owner)
{
	struct held *h = owner;

	if (h->sv)
		sv_put_user(h->sv);
	else
		sst_pin_release(&h->sst, h->cache);
	free(h);
}

static void pin_clear(struct lsm_pin *pin)
{
	if (pin->release)
		pin->release(pin->owner);
	pin->owner = NULL;
	pin->release = NULL;
	pin->data = NULL;
	pin->len = 0;
}

void lsm_unpin(struct lsm_pin *pin)
{
	pin_clear(pin);
	free(pin->buffer);
	pin->buffer = NULL;
	pin->buffer_bytes = 0;
}

static int pin_copy(struct lsm_pin *pin, struct lsm_slice value)
{
	if (pin->buffer_bytes < value.len || !pin->buffer) {
		size_t bytes = value.len < 128 ? 128 : value.len;
		void *grown = malloc(bytes);

		if (!grown)
			return -ENOMEM;
		free(pin->buffer);
		pin->buffer = grown;
		pin->buffer_bytes = bytes;
	}
	if (value.len)
		memcpy(pin->buffer, value.data, value.len);
	pin->data = pin->buffer;
	pin->len = value.len;
	return 0;
}

static int pin_hold(struct lsm_pin *pin, struct superversion *sv,
		    const struct sst_pin *sst, struct lsm_slice value,
		    struct cache *cache)
{
	struct held *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	if (sst)
		h->sst = *sst;
	h->sv = sv;
	h->cache = cache;
	pin->owner = h;
	pin->release = held_release;
	pin->data = value.data;
	pin->len = value.len;
	return 0;
}

void db_count_gets(struct lsm_db *db, uint64_t hits, uint64_t misses)
{
	unsigned line = thread_line(DB_STRIPES);
	struct db_stripe *s = &db->stripes[line];

	line_add(&s->hits, hits, line, DB_STRIPES);
	line_add(&s->misses, misses, line, DB_STRIPES);
}

static bool bad_key(struct lsm_slice key)
{
	return !key.len || key.len > LSM_KEY_MAX;
}

/* What a search without I/O came to. */
struct found {
	enum entry_kind kind;
	struct lsm_slice value; /* as stored: of KIND_BLOB a handle */
	bool in_tables;         /* else in a memtable */
	struct sst_pin sst;
	struct version_pos at;
};

/* enum lookup_result or -errno. */
static int lookup_mems(struct superversion *sv, struct lsm_slice key,
		       uint64_t seq, enum entry_kind *kind,
		       struct lsm_slice *value)
{
	int r = LOOKUP_MISS;

	for (unsigned i = 0; i < sv->mem_count && r == LOOKUP_MISS; i++)
		r = memtable_lookup(sv->mems[i]->table, key, seq, kind, value);
	return r;
}

/* The store never writes another kind, so this is a damaged table. */
static int bad_kind(struct lsm_db *db)
{
	return log_corrupt(&db->log, "store", 0,
			   "a value of a kind that this version does not know");
}

/* What get_pinned() leaves to get_with_io(), beside enum lookup_result: the
 * search of the tables, or a value whose handle a memtable has. */
enum {
	NEED_TABLES = 1 << 4, /* from the position in the bits above on */
	NEED_BLOB = 1 << 5,
	NEED_ASKED = 1 << 6,
	NEED_LEVEL = 8,  /* shift; four bits */
	NEED_INDEX = 12, /* shift */
	NEED_INDEX_MAX = 1 << 16,
};

static int need_tables(const struct version_pos *at)
{
	if (at->index >= NEED_INDEX_MAX)
		return NEED_TABLES; /* from the start, then */
	return NEED_TABLES | (at->asked ? NEED_ASKED : 0) |
	       (int)(at->level << NEED_LEVEL) | (int)(at->index << NEED_INDEX);
}

static struct version_pos needed_pos(int need)
{
	return (struct version_pos){
		.level = (unsigned)need >> NEED_LEVEL & 15,
		.index = (unsigned)need >> NEED_INDEX,
		.asked = need & NEED_ASKED,
	};
}

/* Searches what is in memory; the caller is pinned. enum lookup_result, -errno,
 * or NEED_TABLES with where to go on. */
static int find_pinned(struct superversion *sv, struct lsm_slice key,
		       uint64_t seq, struct found *f)
{
	int r = lookup_mems(sv, key, seq, &f->kind, &f->value);

	if (r != LOOKUP_MISS)
		return r;
	f->in_tables = true;
	r = version_lookup_from(sv->version, key, seq, SST_LOOKUP_CACHED,
				&f->at, &f->kind, &f->sst);
	f->value = f->sst.data;
	return r == -EAGAIN ? need_tables(&f->at) : r;
}

/*
 * The part of a get that needs no I/O; the caller is pinned. LOOKUP_FOUND: the
 * value is in pin. NEED_TABLES and NEED_BLOB: ask get_with_io().
 */
static int get_pinned(struct lsm_db *db, struct superversion *sv,
		      struct lsm_slice key, uint64_t seq, struct lsm_pin *pin)
{
	struct found f = {.kind = KIND_PUT};
	int r = find_pinned(sv, key, seq, &f);
	int err, need;

	if (r != LOOKUP_FOUND)
		return r;
	if (!f.in_tables && f.kind == KIND_PUT && f.value.len > DB_COPY_MAX) {
		sv_ref(sv);
		err = pin_hold(pin, sv, NULL, f.value, NULL);
		if (err)
			sv_put_user(sv);
		return err ? err : LOOKUP_FOUND;
	}
	need = f.in_tables ? need_tables(&f.at) : NEED_BLOB;
	if (f.kind == KIND_BLOB) {
		err = version_blob_cached(sv->version, f.value, &f.value);
		if (err)
			return err == -EAGAIN ? need : err;
	} else if (f.kind != KIND_PUT) {
		return bad_kind(db);
	}
	if (f.value.len > DB_COPY_MAX)
		return need;
	err = pin_copy(pin, f.value);
	return err ? err : LOOKUP_FOUND;
}

/* Replaces the handle that *sst holds by the value it stands for. */
static int resolve(struct lsm_db *db, struct superversion *sv,
		   struct sst_pin *sst)
{
	struct blob_view view = {0};
	struct lsm_slice value;
	int err = sv_blob_value(sv, sst->data, true, &view, &value);

	sst_pin_release(sst, db->cache);
	if (err) {
		blob_view_release(&db->vs, &view);
		return err;
	}
	sst->data = value;
	sst->entry = view.entry; /* our reference is the pin's now */
	return 0;
}

/* What get_pinned() left, with I/O; the caller holds sv. */
static int get_with_io(struct lsm_db *db, struct superversion *sv,
		       struct lsm_slice key, uint64_t seq, int need,
		       struct lsm_pin *pin)
{
	enum entry_kind kind = KIND_PUT;
	struct version_pos at = needed_pos(need);
	struct sst_pin sst = {0};
	int err = 0, r;

	if (need & NEED_BLOB)
		r = lookup_mems(sv, key, seq, &kind, &sst.data);
	else
		r = version_lookup_from(sv->version, key, seq, 0, &at, &kind,
					&sst);

	if (r == LOOKUP_FOUND && kind == KIND_BLOB) {
		err = resolve(db, sv, &sst);
		if (err)
			return err;
	} else if (r == LOOKUP_FOUND && kind != KIND_PUT) {
		sst_pin_release(&sst, db->cache);
		return bad_kind(db);
	}
	if (r == LOOKUP_FOUND && sst.data.len > DB_COPY_MAX) {
		err = pin_hold(pin, NULL, &sst, sst.data, db->cache);
		if (!err)
			return r;
	} else if (r == LOOKUP_FOUND) {
		err = pin_copy(pin, sst.data);
	}
	sst_pin_release(&sst, db->cache);
	return err ? err : r;
}

static int get_result(struct lsm_db *db, int r)
{
	db_count_gets(db, r == LOOKUP_FOUND, r != LOOKUP_FOUND);
	if (r < 0)
		return r;
	return r == LOOKUP_FOUND ? 0 : LSM_NOTFOUND;
}

int lsm_get(struct lsm_db *db, const struct lsm_snapshot *snapshot,
	    struct lsm_slice key, struct lsm_pin *value)
{
	struct superversion *sv;
	uint64_t seq;
	int r, need;

	pin_clear(value);
	if (bad_key(key))
		return -EINVAL;
	epoch_pin();
	sv = sv_load(db, snapshot, &seq);
	r = need = get_pinned(db, sv, key, seq, value);
	if (need >= NEED_TABLES)
		sv_ref(sv);
	epoch_unpin();
	if (need >= NEED_TABLES) {
		r = get_with_io(db, sv, key, seq, need, value);
		sv_put_user(sv);
	}
	return get_result(db, r);
}

int lsm_exists(struct lsm_db *db, const struct lsm_snapshot *snapshot,
	       struct lsm_slice key)
{
	struct found f = {.kind = KIND_PUT};
	struct superversion *sv;
	uint64_t seq;
	int r, need;

	if (bad_key(key))
		return -EINVAL;
	epoch_pin();
	sv = sv_load(db, snapshot, &seq);
	r = need = find_pinned(sv, key, seq, &f);
	if (need >= NEED_TABLES)
		sv_ref(sv);
	epoch_unpin();
	if (need >= NEED_TABLES) {
		f.at = needed_pos(need);
		r = version_lookup_from(sv->version, key, seq, 0, &f.at,
					&f.kind, &f.sst);
		sst_pin_release(&f.sst, db->cache);
		sv_put_user(sv);
	}
	return get_result(db, r);
}

/* ---- many keys ---- */

struct multi {
	struct lsm_db *db;
	struct superversion *sv; /* counted */
	uint64_t seq;
	size_t count;
	const struct lsm_slice *keys;
	struct lsm_pin *values;
	int *results; /* of get_pinned() until the end */
};

static void multi_memory(struct multi *m)
{
	for (size_t i = 0; i < m->count; i++) {
		if (i % MULTI_PIN_KEYS == 0) {
			if (i)
				epoch_unpin();
			epoch_pin();
		}
		pin_clear(&m->values[i]);
		m->results[i] = bad_key(m->keys[i])
					? -EINVAL
					: get_pinned(m->db, m->sv, m->keys[i],
						     m->seq, &m->values[i]);
	}
	if (m->count)
		epoch_unpin();
}

/* The indexes of the keys that need I/O, in the order of the keys, so that
 * each block is read once and the disk is walked forward. */
static int cmp_keys(const void *a, const void *b, void *arg)
{
	const struct lsm_slice *keys = arg;

	return slice_cmp(keys[*(const size_t *)a], keys[*(const size_t *)b]);
}

static void multi_tables(struct multi *m, const size_t *order, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = order ? order[i] : i;

		if (m->results[k] >= NEED_TABLES)
			m->results[k] =
				get_with_io(m->db, m->sv, m->keys[k], m->seq,
					    m->results[k], &m->values[k]);
	}
}

static size_t multi_missing(struct multi *m, size_t *order)
{
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (m->results[i] < NEED_TABLES)
			continue;
		if (order)
			order[n] = i;
		n++;
	}
	return n;
}

static void multi_io(struct multi *m)
{
	size_t n = multi_missing(m, NULL);
	size_t *order;

	if (!n)
		return;
	order = malloc(n * sizeof(*order));
	if (!order) { /* slower, not wrong */
		multi_tables(m, NULL, m->count);
		return;
	}
	multi_missing(m, order);
	qsort_r(order, n, sizeof(*order), cmp_keys, (void *)m->keys);
	multi_tables(m, order, n);
	free(order);
}

int lsm_multi_get(struct lsm_db *db, const struct lsm_snapshot *snapshot,
		  size_t count, const struct lsm_slice *keys,
		  struct lsm_pin *values, int *results)
{
	struct multi m = {.db = db,
			  .count = count,
			  .keys = keys,
			  .values = values,
			  .results = results};
	int err = 0;

	m.sv = sv_get_at(db, snapshot, &m.seq);
	multi_memory(&m);
	multi_io(&m);
	sv_put_user(m.sv);
	for (size_t i = 0; i < count; i++) {
		results[i] = get_result(db, results[i]);
		if (results[i] < 0 && !err)
			err = results[i];
	}
	return err;
}
