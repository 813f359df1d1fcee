/* SPDX-License-Identifier: MIT */
/*
 * memory.c - the life of the database's memtables and logs.
 *
 * A memtable belongs to the superversions that hold it. Its bytes count
 * against the one memory budget from the moment they are allocated until the
 * last reader has left. Some of its memory is kept, and charged, for the next
 * ones (db->arenas).
 *
 * A log belongs to the list from db->oldest_wal to db->wal and to the thread
 * that syncs it. When its memtable is in tables it leaves the list, and the
 * last reference closes it. One obsolete log's file is kept to be overwritten
 * by the next log, which saves the filesystem the work of allocating it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

/* A filter's part of a memtable: 20 bits a key when entries take 160 bytes. */
#define FILTER_PART 64

struct db_mem *db_mem_new(struct lsm_db *db, uint64_t wal_number,
			  uint64_t base_seq)
{
	struct db_mem *m = calloc(1, sizeof(*m));
	size_t filter_bytes =
		db->opt.bloom_bits == UINT32_MAX
			? 0
			: db->opt.write_buffer_bytes / FILTER_PART;

	if (!m)
		return NULL;
	m->table = memtable_new_from(db->arenas, wal_number, filter_bytes);
	if (!m->table) {
		free(m);
		return NULL;
	}
	m->db = db;
	m->pins.vs = &db->vs;
	m->wal_number = wal_number;
	m->base_seq = base_seq;
	atomic_init(&m->refs, 1);
	return m;
}

void db_mem_put(struct db_mem *m)
{
	struct db_direct *d;

	/* acq_rel: pairs with itself, so that the last one sees all writes of
	 * those who left before it. */
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	d = atomic_load_explicit(&m->direct, memory_order_relaxed);
	free(m->pins.files); /* left over when the store is closed */
	while (d) {
		struct db_direct *next = d->next;

		db_direct_put(d);
		d = next;
	}
	cache_charge(m->db->cache, -(int64_t)atomic_load_explicit(
					   &m->charged, memory_order_relaxed));
	/* After that: what goes to the pool is charged again. */
	memtable_put_ref(m->table);
	free(m);
}

void db_mem_charge(struct db_mem *m, uint64_t bytes)
{
	uint64_t old = atomic_load_explicit(&m->charged, memory_order_relaxed);

	if (bytes <= old)
		return;
	atomic_store_explicit(&m->charged, bytes, memory_order_relaxed);
	cache_charge(m->db->cache, (int64_t)(bytes - old));
}

static uint64_t take_free_wal(struct lsm_db *db)
{
	uint64_t number;

	mutex_lock(&db->mutex);
	number = db->free_wal;
	db->free_wal = 0;
	mutex_unlock(&db->mutex);
	return number;
}

/* Unlinking a log that is no longer needed. A failure leaves a file behind
 * that the next open removes. */
static void delete_wal(struct lsm_db *db, uint64_t number)
{
	char name[FILE_NAME_MAX];
	int err;

	file_name(name, FILE_WAL, number);
	err = env_dir_delete(db->dir, name);
	if (err && err != -ENOENT)
		logger_printf(&db->log, LSM_LOG_WARN,
			      "%s: cannot delete obsolete log: %s", name,
			      lsm_strerror(err));
}

/* What the records of a memtable take, mostly. */
static uint64_t wal_room(const struct lsm_db *db)
{
	return db->opt.write_buffer_bytes + db->opt.write_buffer_bytes / 10;
}

int db_wal_new(struct lsm_db *db, struct db_wal **out)
{
	struct db_wal *w = calloc(1, sizeof(*w));
	uint64_t old = take_free_wal(db);
	char name[FILE_NAME_MAX], recycle[FILE_NAME_MAX];
	int err;

	if (!w) {
		if (old)
			delete_wal(db, old);
		return -ENOMEM;
	}
	w->number = version_set_new_file(&db->vs);
	atomic_init(&w->refs, 1);
	file_name(name, FILE_WAL, w->number);
	if (old)
		file_name(recycle, FILE_WAL, old);
	err = wal_writer_open(db->dir, name, w->number, old ? recycle : NULL,
			      wal_room(db), &w->writer);
	if (err) {
		logger_printf(&db->log, LSM_LOG_ERROR,
			      "%s: cannot create log: %s", name,
			      lsm_strerror(err));
		/* What the failed call left behind, by either name; but a
		 * file that was there already is not ours to delete. */
		if (err != -EEXIST)
			delete_wal(db, w->number);
		if (old)
			delete_wal(db, old);
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

void db_wal_put(struct lsm_db *db, struct db_wal *w)
{
	uint64_t surplus = w->number;
	bool usual;
	int err;

	/* acq_rel: pairs with itself, as in db_mem_put(). */
	if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
		return;
	/* One that a huge batch has blown up would never shrink. */
	usual = wal_writer_bytes(w->writer) <= 2 * wal_room(db);
	err = wal_writer_close(w->writer, false);
	if (err)
		logger_printf(&db->log, LSM_LOG_WARN,
			      "%06llu.wal: closing an obsolete log: %s",
			      (unsigned long long)w->number, lsm_strerror(err));
	mutex_lock(&db->mutex);
	if (!err && usual && !db->free_wal && !db_stopping(db)) {
		db->free_wal = w->number;
		surplus = 0;
	}
	mutex_unlock(&db->mutex);
	if (surplus)
		delete_wal(db, surplus);
	free(w);
}

void db_wal_drop_below(struct lsm_db *db, uint64_t number)
{
	struct db_wal *first, *w;

	mutex_lock(&db->write_mutex);
	first = db->oldest_wal;
	for (w = first; w && w->number < number; w = w->next)
		db->wal_closed_bytes += wal_writer_bytes(w->writer);
	db->oldest_wal = w;
	assert(w); /* the active log is never dropped */
	mutex_unlock(&db->write_mutex);

	while (first != w) {
		struct db_wal *next = first->next;

		db_wal_put(db, first);
		first = next;
	}
}
