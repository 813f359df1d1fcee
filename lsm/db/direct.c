/* SPDX-License-Identifier: MIT */
/*
 * direct.c - bulk writes: a batch with many bytes of large values writes them
 * into a blob file itself, and only handles go through the log and into the
 * memtable. So they are written once, compressed by their writer, beside
 * others.
 *
 *   pack     values into compressed blocks, a bounded piece at a time; no lock
 *   reserve  a place in the memtable's newest file (write_mutex, shortly)
 *   write    the piece there; no lock
 *   encode   the batch with handles in the place of values
 *   commit   db_write_rep(): under write_mutex the record is appended to the
 *            log and the file told which blocks belong to it
 *
 * A handle is in the log and in the memtable only after its block was written,
 * so a reader never finds one that leads nowhere. A disk that is full, or
 * fails, fails the batch before anything of it is logged; what it had written
 * is a gap.
 *
 * A writer may have the first two steps done before it takes locks of its own
 * (lsm_batch_prepare()).
 *
 * Small batches go through the log, and their values are packed together when
 * the memtable is flushed: neighbours compress better together, and a sync of
 * the log alone is half of one of both. Neither counts when the values do not
 * compress and nobody syncs. So then a batch with a single value of some length
 * is a bulk write: random overwrites of files are written once, not twice.
 *
 * A file belongs to one memtable. When that was closed between writing and
 * committing, all was in vain and is done again; after a few times the values
 * go through the log as those of any batch.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "lsm/db/db_impl.h"

/* A piece is written when it has so many bytes; one more block fits. */
#define PIECE_BYTES ((uint64_t)1 << 20)
#define TRIES_MAX   3
/* Enough for a bulk write while nobody syncs. Smaller ones are not worth a call
 * of their own. */
#define SINGLE_BYTES 4096
/* Values that come out smaller by less than this part do not compress. */
#define RAW_PART 8
/* A user waits for it, and collecting garbage compresses again: LZ4 may be in a
 * hurry. Costs one or two hundredths of the size, and saves a tenth of the time
 * for programs, nothing for text, four tenths for noise that repeats itself. */
#define ACCELERATION 2
/* The memtable is looked at again after so many times the bytes of values that
 * would do in the log. */
#define ROOM_PART 64
/* Packs that are kept, with their memory. */
#define PACKS_MAX 4

/* Memory to pack in, used by one writer after the other. */
struct direct_pack {
	struct direct_pack *next;
	struct blob_pack pack;
	size_t charged;
};

/* A piece that was written. */
struct span {
	struct db_direct *file; /* referenced */
	uint64_t offset, bytes;
	size_t blocks; /* so many of direct_write.block */
};

struct direct_write {
	struct lsm_db *db;
	const struct lsm_batch *batch;
	struct direct_pack *pack;
	struct span *span;
	size_t span_count, span_cap;
	struct blob_block *block; /* by their offsets in their files */
	size_t block_count, block_cap;
	struct buf rep;
	uint32_t ops; /* so many of the batch were looked through for values */
	bool committed;
};

/* ---- memory ---- */

static struct direct_pack *pack_get(struct lsm_db *db)
{
	struct direct_pack *p;

	mutex_lock(&db->pack_mutex);
	p = db->packs;
	if (p) {
		db->packs = p->next;
		db->pack_count--;
	}
	mutex_unlock(&db->pack_mutex);
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (p) {
			p->pack.lz4 = db->tree_opt.sst.lz4;
			p->pack.tries.acceleration = ACCELERATION;
		}
	}
	return p;
}

static void pack_free(struct lsm_db *db, struct direct_pack *p)
{
	cache_charge(db->cache, -(int64_t)p->charged);
	blob_pack_release(&p->pack);
	free(p);
}

static void pack_put(struct lsm_db *db, struct direct_pack *p)
{
	size_t bytes;

	blob_pack_clear(&p->pack);
	bytes = sizeof(*p) + p->pack.out.cap + p->pack.plain.cap;
	if (bytes != p->charged)
		cache_charge(db->cache, (int64_t)bytes - (int64_t)p->charged);
	p->charged = bytes;
	mutex_lock(&db->pack_mutex);
	if (db->pack_count < PACKS_MAX) {
		p->next = db->packs;
		db->packs = p;
		db->pack_count++;
		p = NULL;
	}
	mutex_unlock(&db->pack_mutex);
	if (p)
		pack_free(db, p);
}

void direct_packs_free(struct lsm_db *db)
{
	while (db->packs) {
		struct direct_pack *p = db->packs;

		db->packs = p->next;
		pack_free(db, p);
	}
}

/* ---- writing pieces ---- */

static bool is_large(const struct lsm_db *db, const struct batch_op *op)
{
	return op->kind == KIND_PUT && op->value.len >= db->opt.blob_bytes;
}

uint64_t direct_enough(const struct lsm_db *db)
{
	const struct lsm_options *o = &db->opt;

	if (!o->blob_bytes || o->blob_direct_bytes == UINT32_MAX)
		return UINT64_MAX;
	/* Relaxed: both are hints. */
	if (o->blob_direct_bytes > SINGLE_BYTES &&
	    atomic_load_explicit(&db->values_raw, memory_order_relaxed) &&
	    atomic_load_explicit(&db->unsynced_bytes, memory_order_relaxed) >=
		    o->blob_direct_unsynced_bytes)
		return SINGLE_BYTES;
	return o->blob_direct_bytes;
}

bool direct_wanted(const struct lsm_db *db, const struct lsm_batch *batch)
{
	uint64_t enough = direct_enough(db), large = 0;
	struct batch_walk w;
	struct batch_op op;

	if (batch->data_bytes < enough)
		return false;
	batch_walk_init(&w, batch);
	while (large < enough && !batch_walk_next(&w, &op))
		if (is_large(db, &op))
			large += op.value.len;
	return large >= enough;
}

void direct_note_values(struct lsm_db *db, const struct version_edit *edit)
{
	uint64_t values = 0, files = 0;

	for (size_t i = 0; i < edit->blob_count; i++) {
		const struct edit_blob *b = &edit->blobs[i];

		if (b->what != EDIT_BLOB_ADD)
			continue;
		values += b->meta.value_bytes;
		files += b->meta.file_bytes;
	}
	if (values)
		/* Relaxed: a hint. */
		atomic_store_explicit(&db->values_raw,
				      files > values - values / RAW_PART,
				      memory_order_relaxed);
}

/* A fresh file for the active memtable. */
static int new_file_locked(struct lsm_db *db, struct db_direct **out)
	REQUIRES(db->write_mutex)
{
	uint64_t number = version_set_new_file(&db->vs);
	struct blob_direct *blob;
	char name[FILE_NAME_MAX];
	struct db_direct *d;
	int err;

	file_name(name, FILE_BLOB, number);
	err = blob_direct_create(db->dir, name, number, db->cache, &db->log,
				 &blob);
	if (err)
		return err;
	d = db_direct_new(blob, db->active->wal_number);
	if (!d) {
		blob_direct_close(blob);
		return -ENOMEM;
	}
	db_direct_push(db->active, d);
	*out = d;
	return 0;
}

/* A place for the piece, in a file of the active memtable. */
static int reserve(struct lsm_db *db, uint64_t bytes, struct span *s)
{
	struct db_direct *d;
	int err;

	db_lock_writers(db);
	err = db_error(db);
	d = atomic_load_explicit(&db->active->direct, memory_order_relaxed);
	if (!err && (!d || d->blob->reserved >= db->opt.blob_file_bytes ||
		     blob_direct_error(d->blob)))
		err = new_file_locked(db, &d);
	if (!err) {
		s->file = d;
		s->offset = blob_direct_reserve(d->blob, bytes);
		s->bytes = bytes;
		atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
		/* Under the mutex: whoever closes the memtable sees it. */
		atomic_fetch_add_explicit(&d->writers, 1, memory_order_relaxed);
	}
	mutex_unlock(&db->write_mutex);
	return err;
}

static int grow(void **array, size_t *cap, size_t count, size_t size)
{
	size_t n = *cap ? *cap : 16;
	void *p;

	if (count <= *cap)
		return 0;
	while (n < count)
		n *= 2;
	p = reallocarray(*array, n, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = n;
	return 0;
}

static int write_piece(struct direct_write *w)
{
	struct blob_pack *p = &w->pack->pack;
	struct span s = {.blocks = p->block_count};
	int err = grow((void **)&w->span, &w->span_cap, w->span_count + 1,
		       sizeof(*w->span));

	if (!err)
		err = grow((void **)&w->block, &w->block_cap,
			   w->block_count + p->block_count, sizeof(*w->block));
	if (!err)
		err = reserve(w->db, p->bytes, &s);
	if (err)
		return err;
	err = blob_direct_write(s.file->blob, p, s.offset);
	w->span[w->span_count++] = s;
	/* release: pairs with the acquire in db_direct_wait(). */
	atomic_fetch_sub_explicit(&s.file->writers, 1, memory_order_release);
	for (size_t i = 0; i < p->block_count; i++) {
		struct blob_block b = p->block[i];

		b.offset += s.offset;
		w->block[w->block_count++] = b;
	}
	blob_pack_clear(p);
	return err;
}

static int write_values(struct direct_write *w)
{
	struct blob_pack *p = &w->pack->pack;
	struct batch_walk walk;
	struct batch_op op;
	int err = 0;

	w->ops = w->batch->count;
	batch_walk_init(&walk, w->batch);
	while (!err && !batch_walk_next(&walk, &op)) {
		if (!is_large(w->db, &op))
			continue;
		if (blob_pack_full(p, op.value)) {
			err = blob_pack_cut(p);
			if (!err && p->bytes >= PIECE_BYTES)
				err = write_piece(w);
		}
		if (!err)
			err = blob_pack_add(p, op.key, op.value);
	}
	if (!err)
		err = blob_pack_cut(p);
	if (!err && p->block_count)
		err = write_piece(w);
	return err;
}

/* ---- the record ---- */

/* Where the next value went: values went in the order of operations. */
struct place {
	size_t span, block;
	size_t left; /* blocks of the span, this one included */
	uint32_t index;
};

static struct blob_handle next_handle(const struct direct_write *w,
				      struct place *at, uint32_t len)
{
	const struct blob_block *b = &w->block[at->block];
	struct blob_handle h = {.file = w->span[at->span].file->blob->number,
				.offset = b->offset,
				.bytes = b->bytes,
				.type = b->type,
				.index = at->index,
				.len = len};

	if (++at->index < b->values)
		return h;
	at->index = 0;
	at->block++;
	if (!--at->left && ++at->span < w->span_count)
		at->left = w->span[at->span].blocks;
	return h;
}

static int encode_handle(struct buf *rep, const struct batch_op *op,
			 const struct blob_handle *h)
{
	uint8_t handle[BLOB_HANDLE_MAX], *p;
	size_t n = blob_handle_encode(h, handle);

	if (buf_reserve(rep, 1 + 2 * VARINT32_MAX + op->key.len + n))
		return -ENOMEM;
	p = rep->data + rep->len;
	*p++ = KIND_BLOB;
	p = put_varint32(p, (uint32_t)op->key.len);
	memcpy(p, op->key.data, op->key.len);
	p = put_varint32(p + op->key.len, (uint32_t)n);
	memcpy(p, handle, n);
	rep->len = (size_t)(p + n - rep->data);
	return 0;
}

static int encode(struct direct_write *w)
{
	const struct buf *from = &w->batch->rep;
	struct place at = {.left = w->span[0].blocks};
	struct batch_walk walk;
	struct batch_op op;
	uint32_t ops = 0;
	int err = buf_append(&w->rep, from->data, BATCH_HEADER_BYTES);

	batch_walk_init(&walk, w->batch);
	while (!err && !batch_walk_next(&walk, &op)) {
		struct blob_handle h;

		/* What was added after the values were written stays here. */
		if (ops++ < w->ops && is_large(w->db, &op)) {
			h = next_handle(w, &at, (uint32_t)op.value.len);
			err = encode_handle(&w->rep, &op, &h);
			continue;
		}
		err = buf_append(&w->rep, from->data + walk.from, walk.head);
		if (!err && op.kind == KIND_PUT)
			err = buf_append(&w->rep, op.value.data, op.value.len);
	}
	return err;
}

int direct_prepare_locked(struct lsm_db *db, const struct direct_write *w)
{
	int err = 0;

	for (size_t i = 0; i < w->span_count && !err; i++) {
		struct db_direct *d = w->span[i].file;

		if (d->wal_number != db->active->wal_number)
			err = -ESTALE;
		else
			err = blob_map_reserve(&d->blob->map, w->block_count);
	}
	return err;
}

void direct_commit_locked(struct lsm_db *db, struct direct_write *w)
{
	const struct blob_block *b = w->block;
	struct db_mem *m = db->active;
	bool single = w->batch->data_bytes < db->opt.blob_direct_bytes;

	w->committed = true;
	for (size_t i = 0; i < w->span_count; i++) {
		struct db_direct *d = w->span[i].file;

		for (size_t k = 0; k < w->span[i].blocks; k++)
			blob_direct_commit(d->blob, b++);
		m->direct_bytes += w->span[i].bytes;
		m->single_bytes += single ? w->span[i].bytes : 0;
		db->direct_written += w->span[i].bytes;
		db->room_bytes -= (int64_t)(w->span[i].bytes / ROOM_PART);
		if (d->dirty)
			continue;
		d->dirty = true;
		d->next_dirty = db->dirty_direct;
		db->dirty_direct = d;
		atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	}
}

/* ---- the whole ---- */

/* Forgets what was written; a place that was not committed is given up. */
static void drop_pieces(struct direct_write *w, bool committed)
{
	for (size_t i = 0; i < w->span_count; i++) {
		struct span *s = &w->span[i];

		if (!committed)
			blob_direct_discard(s->file->blob, s->offset, s->bytes);
		db_direct_put(s->file);
	}
	w->span_count = w->block_count = 0;
	if (w->pack)
		blob_pack_clear(&w->pack->pack);
	buf_clear(&w->rep);
}

/* The values are written. -ESTALE: in vain. */
static int commit(struct direct_write *w, bool sync)
{
	const struct lsm_batch *b = w->batch;
	int err = encode(w);

	if (!err)
		err = db_write_rep(w->db, b, w->rep.data, w->rep.len, b->count,
				   b->data_bytes, sync, w);
	drop_pieces(w, w->committed);
	return err;
}

/* -ESTALE: to be tried again. */
static int try_once(struct direct_write *w, bool sync)
{
	int err = write_values(w);

	if (!err)
		return commit(w, sync);
	drop_pieces(w, false);
	return err;
}

static int write_inline(struct direct_write *w, bool sync)
{
	const struct lsm_batch *b = w->batch;
	int err = batch_encode(b, &w->rep);

	return err ? err
		   : db_write_rep(w->db, b, w->rep.data, w->rep.len, b->count,
				  b->data_bytes, sync, NULL);
}

static void release(struct direct_write *w)
{
	if (w->pack)
		pack_put(w->db, w->pack);
	free(w->span);
	free(w->block);
	buf_release(&w->rep);
}

/* A batch whose values were to be written before it, in vain. */
static void discard(struct direct_write *w)
{
	drop_pieces(w, false);
	release(w);
	free(w);
}

/* The values are written. -ESTALE: in vain. */
static int write_prepared(struct lsm_batch *batch, bool sync)
{
	struct direct_write *w = batch->prepared;
	int err;

	batch->prepared = NULL;
	err = commit(w, sync);
	release(w);
	free(w);
	return err;
}

int direct_write(struct lsm_db *db, struct lsm_batch *batch, bool sync)
{
	struct direct_write w = {.db = db, .batch = batch};
	int err = -ESTALE;

	if (batch->prepared)
		err = write_prepared(batch, sync);
	if (err != -ESTALE)
		return err;
	w.pack = pack_get(db);
	if (!w.pack)
		return -ENOMEM;
	for (unsigned i = 0; i < TRIES_MAX && err == -ESTALE; i++)
		err = try_once(&w, sync);
	if (err == -ESTALE)
		err = write_inline(&w, sync);
	release(&w);
	return err;
}

int lsm_batch_prepare(struct lsm_db *db, struct lsm_batch *batch)
{
	struct direct_write *w;
	int err;

	if (batch->err)
		return batch->err;
	if (db->read_only)
		return -EROFS;
	if (batch->prepared || !direct_wanted(db, batch))
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->db = db;
	w->batch = batch;
	w->pack = pack_get(db);
	err = w->pack ? write_values(w) : -ENOMEM;
	if (err) {
		discard(w);
		return err;
	}
	/* The next writer may have the memory. */
	pack_put(db, w->pack);
	w->pack = NULL;
	batch->prepared = w;
	batch->discard = discard;
	return 0;
}
