/* SPDX-License-Identifier: MIT */
/*
 * share.c - giving a value that lies in a blob file a further key, by copying
 * its handle.
 *
 * What has to be seen to is that the file stays. The batch pins it when it gets
 * the handle; lsm_write() has the memtable pin it too, before the batch is
 * logged; the flush that puts the handle into a table ends that, as the table
 * refers to the file from then on. A file that is on its way out cannot be
 * pinned: then the value is read, and put as any other.
 *
 * A log never leads into a file that the manifest does not have: the file is
 * in a durable manifest before it can be pinned, and no edit takes it out while
 * it is. Or a bulk write put it where recovery looks (direct.c), and the flush
 * of its memtable adds it to the manifest as it is pinned. Recovery settles
 * what is dead only with the edit that puts what it replayed into tables.
 *
 * Any thread, one at a time for a batch.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_iter.h"

/* struct lsm_batch.pins of a batch with handles of db. */
struct batch_pins {
	struct blob_pins pins;
	struct lsm_db *db;
};

static struct batch_pins *of_batch(const struct lsm_batch *batch)
{
	return (struct batch_pins *)batch->pins;
}

static void release_locked(struct lsm_db *db, struct blob_pins *pins)
	REQUIRES(db->mutex)
{
	blob_pins_release(pins);
	if (db->vs.dead_blobs)
		background_wake_locked(db);
}

static void batch_unpin(struct blob_pins *pins)
{
	struct batch_pins *p = (struct batch_pins *)pins;

	mutex_lock(&p->db->mutex);
	release_locked(p->db, &p->pins);
	mutex_unlock(&p->db->mutex);
	free(p);
}

/* A bulk write made the file, and no version has it yet. When its memtable is
 * flushed it is added although it is only pinned; unless that has been decided
 * the other way already, or it cannot be made durable any more. */
static bool is_coming_locked(struct lsm_db *db, uint64_t file)
	REQUIRES(db->mutex)
{
	const struct superversion *sv =
		atomic_load_explicit(&db->sv, memory_order_relaxed);
	const struct db_direct *d = NULL;

	for (unsigned i = 0; i < sv->mem_count && !d; i++)
		d = db_direct_find(sv->mems[i], file);
	return d && !d->dropping && !blob_direct_error(d->blob);
}

/* 0, LSM_NOTFOUND or an error. */
static int pin(struct lsm_batch *batch, struct lsm_db *db, uint64_t file)
{
	struct batch_pins *p = of_batch(batch);
	int err;

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->pins.vs = &db->vs;
		p->db = db;
		batch->pins = &p->pins;
		batch->unpin = batch_unpin;
	}
	if (p->db != db)
		return -EINVAL;
	if (blob_pins_have(&p->pins, file))
		return 0;
	mutex_lock(&db->mutex);
	err = blob_pins_add(&p->pins, file);
	if (err == LSM_NOTFOUND && is_coming_locked(db, file))
		err = blob_pins_take(&p->pins, file);
	mutex_unlock(&db->mutex);
	return err;
}

static int put_copy(struct lsm_batch *batch, struct lsm_slice key,
		    const struct lsm_iter *it)
{
	struct lsm_slice value = lsm_iter_value(it);
	int err = lsm_iter_error(it);

	return err ? batch_fail(batch, err) : lsm_batch_put(batch, key, value);
}

int lsm_batch_put_shared(struct lsm_batch *batch, struct lsm_slice key,
			 const struct lsm_iter *it)
{
	uint8_t bytes[BLOB_HANDLE_MAX];
	struct blob_handle h;
	int err;

	if (!it->valid)
		return batch_fail(batch, -EINVAL);
	if (!it->is_handle)
		return lsm_batch_put(batch, key, it->value);
	if (!blob_handle_decode(&h, it->resolved ? it->handle : it->value))
		return put_copy(batch, key, it); /* reports it */
	err = pin(batch, it->db, h.file);
	if (err == LSM_NOTFOUND)
		return put_copy(batch, key, it);
	if (err)
		return batch_fail(batch, err);
	h.shared = true;
	return batch_put_blob(batch, key,
			      lsm_slice(bytes, blob_handle_encode(&h, bytes)));
}

int share_keep(struct lsm_db *db, struct db_mem *m,
	       const struct lsm_batch *batch)
{
	int err;

	if (of_batch(batch)->db != db)
		return -EINVAL;
	mutex_lock(&db->mutex);
	err = blob_pins_join(&m->pins, batch->pins);
	mutex_unlock(&db->mutex);
	return err;
}

bool share_pinned_locked(struct lsm_db *db, uint64_t file,
			 struct db_mem *const *mems, unsigned count)
{
	uint32_t theirs = blob_pin_count(&db->vs, file);

	for (unsigned i = 0; i < count && theirs; i++)
		theirs -= blob_pins_have(&mems[i]->pins, file);
	return theirs > 0;
}

void share_flushed_locked(struct lsm_db *db, struct db_mem *m)
{
	release_locked(db, &m->pins);
}
