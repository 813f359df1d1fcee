/* SPDX-License-Identifier: MIT */
/*
 * resume.c - going on after the log or the manifest could not be written.
 *
 * The order is what makes it safe: a fresh manifest, then a fresh log and
 * memtable, then everything older is flushed into tables, and only then are
 * writers let in. So no log that ended in a failed append is ever needed by a
 * recovery together with records of a later one, and whatever was acknowledged
 * but could not be synced becomes durable in tables.
 */
#include <errno.h>

#include "lsm/db/db_impl.h"

/* More than there are threads whose errors can be late. */
#define RESUME_TRIES 8

int lsm_background_error(struct lsm_db *db)
{
	int err;

	mutex_lock(&db->mutex);
	err = db_error(db);
	if (!err)
		err = db->flush_err;
	if (!err)
		err = db->compact_err;
	mutex_unlock(&db->mutex);
	return err;
}

static int resume_manifest(struct lsm_db *db)
{
	bool needed;
	int err;

	mutex_lock(&db->mutex);
	needed = db->manifest_failed;
	mutex_unlock(&db->mutex);
	if (!needed)
		return 0;
	err = version_set_resume(&db->vs);
	if (err)
		return err;
	mutex_lock(&db->mutex);
	db->manifest_failed = false;
	mutex_unlock(&db->mutex);
	return 0;
}

/*
 * The memtable in use may have handles into a file of one that could not be
 * flushed. If a sync of that file has failed its values are to be moved, which
 * takes all who have handles at once (db_direct_seal()).
 */
static bool flush_needs_active_locked(struct lsm_db *db)
	REQUIRES(db->write_mutex)
{
	bool needed;

	mutex_lock(&db->mutex);
	needed = db->imm_count && db->imm_count + 1 < DB_MEMS_MAX &&
		 db->active->pins.count;
	mutex_unlock(&db->mutex);
	return needed;
}

/* *number is the log whose predecessors must be flushed. */
static int resume_log(struct lsm_db *db, uint64_t *number)
{
	int err = 0;

	mutex_lock(&db->write_mutex);
	if (db->wal_failed || flush_needs_active_locked(db)) {
		err = db_switch_locked(db);
		db->room_bytes = 0;
	}
	*number = db->wal->number;
	mutex_unlock(&db->write_mutex);
	return err;
}

/* *again: a compaction that had met the old manifest's error, or a sync that
 * had met one of the log, reported it only after the new one was there. */
static int resume_serialized(struct lsm_db *db, bool *again)
{
	uint64_t number;
	int err;

	*again = false;

	if (atomic_load(&db->halted))
		return db_error(db);
	err = resume_manifest(db);
	if (!err)
		err = resume_log(db, &number);
	if (err)
		return err;

	mutex_lock(&db->mutex);
	db->resuming = true;
	db->resumes++;
	db->compact_err = 0;
	mutex_unlock(&db->mutex);
	err = background_wait_flush(db, number);
	mutex_lock(&db->write_mutex);
	mutex_lock(&db->mutex);
	db->resuming = false;
	*again = db->manifest_failed || (!err && db->wal_failed);
	if (!err && !*again && db_error(db)) {
		atomic_store_explicit(&db->bg_err, 0, memory_order_relaxed);
		event_tell(db, (struct lsm_event){.kind = LSM_EVENT_RESUME});
		logger_printf(&db->log, LSM_LOG_INFO,
			      "the store takes writes again");
	}
	pace_update_locked(db);
	background_wake_locked(db);
	cond_broadcast(&db->done_cond);
	mutex_unlock(&db->mutex);
	mutex_unlock(&db->write_mutex);
	if (!err)
		err = db_error(db);
	/* The timer may have given up on records of a log that is kept. */
	if (!err)
		wal_mark_dirty(db);
	return err;
}

int lsm_resume(struct lsm_db *db)
{
	unsigned tries = 0;
	bool again = true;
	int err;

	if (db->read_only)
		return 0;
	mutex_lock(&db->resume_mutex);
	err = lsm_background_error(db);
	while (err && again && tries++ < RESUME_TRIES)
		err = resume_serialized(db, &again);
	mutex_unlock(&db->resume_mutex);
	return err;
}
