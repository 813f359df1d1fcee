/* SPDX-License-Identifier: MIT */
/*
 * direct_file.c - the blob files that bulk writes fill: whose they are, when
 * they become durable, and how they enter a version.
 *
 * A file is known to its memtable, to writers that are at it, and from a commit
 * to the next sync to the list of dirty files; each holds a reference. Its data
 * is made durable before the log is whose records name its blocks. The flush of
 * its memtable seals it and adds it by the same edit as the table, so a file is
 * listed by a manifest exactly when no log is needed to find its blocks.
 *
 * When a sync of it failed, what the file holds may be lost though it still can
 * be read from memory: then the flush moves its values into a new file.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "lsm/db/db_impl.h"

struct db_direct *db_direct_new(struct blob_direct *blob, uint64_t wal_number)
{
	struct db_direct *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->blob = blob;
	d->wal_number = wal_number;
	atomic_init(&d->refs, 1);
	return d;
}

void db_direct_put(struct db_direct *d)
{
	/* acq_rel: pairs with itself, as in db_mem_put(). */
	if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
		return;
	blob_direct_close(d->blob);
	free(d);
}

void db_direct_push(struct db_mem *m, struct db_direct *d)
{
	d->next = atomic_load_explicit(&m->direct, memory_order_relaxed);
	/* release: pairs with the acquire in first(). */
	atomic_store_explicit(&m->direct, d, memory_order_release);
}

static struct db_direct *first(const struct db_mem *m)
{
	/* acquire: pairs with the release in db_direct_push(). */
	return atomic_load_explicit(&m->direct, memory_order_acquire);
}

struct db_direct *db_direct_find(const struct db_mem *m, uint64_t number)
{
	struct db_direct *d = first(m);

	while (d && d->blob->number != number)
		d = d->next;
	return d;
}

/* ---- durability ---- */

struct db_direct *db_direct_take_dirty_locked(struct lsm_db *db)
{
	struct db_direct *list = db->dirty_direct;

	/* A link of its own: a file may become dirty again meanwhile. */
	for (struct db_direct *d = list; d; d = d->next_dirty) {
		d->next_sync = d->next_dirty;
		d->dirty = false;
	}
	db->dirty_direct = NULL;
	return list;
}

void db_direct_put_list(struct db_direct *list)
{
	while (list) {
		struct db_direct *next = list->next_sync;

		db_direct_put(list);
		list = next;
	}
}

int db_direct_sync(struct lsm_db *db, struct db_direct *list)
{
	bool names = false;
	int err = 0;

	for (struct db_direct *d = list; d && !err; d = d->next_sync) {
		/* A file whose sync failed, perhaps, and that is gone. */
		if (atomic_load_explicit(&d->flushed, memory_order_relaxed))
			continue;
		err = blob_direct_sync(d->blob);
		names |= !d->name_durable;
	}
	if (!err && names)
		err = env_dir_sync(db->dir);
	for (struct db_direct *d = list; d && !err; d = d->next_sync)
		d->name_durable = true;
	return err;
}

/* ---- flushing ---- */

void db_direct_wait(const struct db_mem *m)
{
	struct timespec pause = {.tv_nsec = 50000};

	for (struct db_direct *d = first(m); d; d = d->next) {
		unsigned spins = 0;

		/* acquire: pairs with the release of who has written. */
		while (atomic_load_explicit(&d->writers,
					    memory_order_acquire)) {
			if (spins++ < 100)
				sched_yield();
			else
				nanosleep(&pause, NULL);
		}
	}
}

/* Values that handles elsewhere lead to cannot be moved with those of the
 * memtables: then the flush waits for a later one, which has all of them. */
static bool only_theirs(struct lsm_db *db, const struct db_direct *d,
			struct db_mem *const *mems, unsigned count)
{
	bool theirs;

	mutex_lock(&db->mutex);
	theirs = !share_pinned_locked(db, d->blob->number, mems, count);
	mutex_unlock(&db->mutex);
	return theirs;
}

int db_direct_seal(struct lsm_db *db, struct db_mem *const *mems,
		   unsigned count, unsigned i, bool *move)
{
	struct blob_meta meta;
	int err = 0;

	for (struct db_direct *d = first(mems[i]); d && !err; d = d->next) {
		if (!d->blob->map.count)
			continue;
		err = blob_direct_error(d->blob);
		if (!err)
			err = blob_direct_seal(d->blob, &meta);
		if (err && move && blob_direct_error(d->blob) &&
		    only_theirs(db, d, mems, count)) {
			*move = true;
			err = 0;
		}
	}
	return err;
}

int db_direct_move_handle(void *arg, struct lsm_slice handle,
			  struct lsm_slice *value)
{
	struct direct_mover *m = arg;
	struct db_direct *d = NULL;
	struct blob_handle h;
	int err;

	if (!blob_handle_decode(&h, handle))
		return -EUCLEAN;
	for (unsigned i = 0; i < m->count && !d; i++)
		d = db_direct_find(m->mems[i], h.file);
	if (!d || !blob_direct_error(d->blob))
		return 1;
	if (!m->view.entry || m->view.file != h.file ||
	    m->view.offset != h.offset) {
		blob_view_release(&m->db->vs, &m->view);
		err = blob_reader_block(d->blob->reader, &h, false,
					&m->view.entry);
		if (err)
			return err;
		m->view.file = h.file;
		m->view.offset = h.offset;
	}
	err = blob_value(&h, m->view.entry, value);
	return err ? err : 2;
}

/* Bytes of values in the file that the tables of edit refer to. */
static uint64_t count_live(const struct version_edit *edit, uint64_t number)
{
	uint64_t live = 0;

	for (size_t i = 0; i < edit->added_count; i++) {
		const struct sst_meta *m = &edit->added[i].meta;

		for (size_t k = 0; k < m->blob_count; k++)
			if (m->blobs[k].file == number)
				live += m->blobs[k].bytes;
	}
	return live;
}

/* Handles elsewhere may lead into a file that the tables do not refer to. From
 * here on there are none, or none to come. */
static bool keep_shared(struct lsm_db *db, struct db_direct *d,
			struct db_mem *const *mems, unsigned count)
{
	bool keep;

	mutex_lock(&db->mutex);
	keep = share_pinned_locked(db, d->blob->number, mems, count);
	d->dropping = !keep;
	mutex_unlock(&db->mutex);
	return keep;
}

static int add_file(struct lsm_db *db, struct db_direct *d,
		    struct db_mem *const *mems, unsigned count,
		    struct version_edit *edit)
{
	struct edit_blob e = {
		.what = EDIT_BLOB_ADD,
		.keep = true,
		.live_bytes = count_live(edit, d->blob->number),
	};

	d->added = e.live_bytes || keep_shared(db, d, mems, count);
	if (!d->added)
		return 0;
	/* Others lead only to what was committed, and never into a file that
	 * could not be sealed: db_direct_seal() has seen to it. */
	assert(d->blob->sealed);
	e.meta = d->blob->meta;
	return version_edit_blob(edit, &e);
}

int db_direct_add(struct lsm_db *db, struct db_mem *const *mems, unsigned count,
		  struct version_edit *edit)
{
	int err = 0;

	for (unsigned i = 0; i < count && !err; i++)
		for (struct db_direct *d = first(mems[i]); d && !err;
		     d = d->next)
			err = add_file(db, d, mems, count, edit);
	return err;
}

void db_direct_flushed(struct lsm_db *db, const struct db_mem *m)
{
	char name[FILE_NAME_MAX];
	int err;

	for (struct db_direct *d = first(m); d; d = d->next) {
		atomic_store_explicit(&d->flushed, true, memory_order_relaxed);
		if (d->added)
			continue;
		cache_erase_file(db->cache, d->blob->number);
		file_name(name, FILE_BLOB, d->blob->number);
		err = env_dir_delete(db->dir, name);
		/* If it stays the next open removes it. */
		if (err)
			logger_printf(&db->log, LSM_LOG_WARN,
				      "%s: cannot delete: %s", name,
				      lsm_strerror(err));
	}
}
