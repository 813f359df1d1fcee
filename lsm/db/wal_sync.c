/* SPDX-License-Identifier: MIT */
/*
 * wal_sync.c - making the log durable: one sync at a time, shared by all who
 * wait for it.
 *
 * Whoever finds no sync under way leads one: it notes the last sequence
 * appended, syncs every log that may hold unsynced records, older ones first,
 * and raises db->synced to what it noted. Those who come meanwhile wait; when
 * it is done, the first of them whose write was not covered leads the next one,
 * which covers all of them.
 *
 * On a fast disk that alone makes small groups: who was covered comes back with
 * the next write a few microseconds after the next sync began, without it, so
 * the writers fall into two halves that take turns. So a leader that knows,
 * from the end of the last sync, that there are more writers than have come,
 * gives them a fraction of a sync's time to come. One writer never waits, and a
 * leader that waited in vain is followed by ever more that do not.
 *
 * Waiting is on a word (futex), not on a condition variable: all that were
 * covered go on at once, without passing through one mutex.
 *
 * A log's name is made durable together with its first bytes: a record that
 * was synced in a file that the directory forgot would be lost.
 *
 * The timer thread syncs what writers without sync have appended. It sleeps
 * without a timeout while there is nothing of the kind: an idle store costs no
 * wake-up. It is also the one that tries lsm_resume() now and then while the
 * disk is full, so that a store does not stay read-only after space came back.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

#define SYNC_LOGS_MAX      (DB_MEMS_MAX + 2)
#define RESUME_INTERVAL_MS 1000
/* A leader waits for others at most for this part of a sync's time, and after
 * waiting in vain at most so many (as a power of two) do not. */
#define GATHER_PART     4
#define GATHER_SKIP_LOG 6
#define GATHER_MAX_NS   ((uint64_t)100000)

/* What a sync is about: logs that may hold unsynced bytes, oldest first, and
 * how long they are; the blob files that records in them may point into; the
 * last sequence. All referenced. */
struct sync_job {
	struct db_wal *logs[SYNC_LOGS_MAX];
	uint64_t bytes[SYNC_LOGS_MAX];
	unsigned count;
	bool more; /* logs that have no room here; all of these are closed */
	struct db_direct *dirty;
	uint64_t seq;
};

static void collect(struct lsm_db *db, struct sync_job *j)
{
	mutex_lock(&db->write_mutex);
	j->count = 0;
	j->more = false;
	j->seq = db->last_seq;
	j->dirty = db_direct_take_dirty_locked(db);
	for (struct db_wal *w = db->oldest_wal; w; w = w->next) {
		if (w->clean)
			continue;
		j->more = j->count == SYNC_LOGS_MAX;
		if (j->more)
			break;
		atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
		j->bytes[j->count] = wal_writer_bytes(w->writer);
		j->logs[j->count++] = w;
	}
	mutex_unlock(&db->write_mutex);
}

static int sync_names(struct lsm_db *db, struct db_wal **logs, unsigned n)
{
	bool needed = false;
	int err;

	for (unsigned i = 0; i < n; i++)
		needed |= !logs[i]->name_durable;
	if (!needed)
		return 0;
	err = env_dir_sync(db->dir);
	if (err)
		return err;
	for (unsigned i = 0; i < n; i++)
		logs[i]->name_durable = true;
	return 0;
}

static int sync_round(struct lsm_db *db, bool *more)
{
	struct sync_job j;
	int err;

	collect(db, &j);
	*more = j.more;
	/* Values before the records that point to them: recovery believes a
	 * record that was durable without looking. */
	err = db_direct_sync(db, j.dirty);
	if (!err)
		err = sync_names(db, j.logs, j.count);
	for (unsigned i = 0; i < j.count; i++) {
		/* All but the newest were closed for appends when they were
		 * collected, so one sync is for good. */
		if (!err)
			err = wal_writer_sync_to(j.logs[i]->writer, j.bytes[i]);
		if (!err && (j.more || i + 1 < j.count))
			j.logs[i]->clean = true;
	}
	atomic_fetch_add_explicit(&db->wal_syncs, 1, memory_order_relaxed);
	if (err) {
		mutex_lock(&db->write_mutex);
		db->wal_failed = true;
		db_set_error(db, err, "syncing the log");
		mutex_unlock(&db->write_mutex);
	} else if (!j.more) {
		wal_synced_by_flush(db, j.seq);
	}
	db_direct_put_list(j.dirty);
	for (unsigned i = 0; i < j.count; i++)
		db_wal_put(db, j.logs[i]);
	return err;
}

/* A flush that is slow to drop its logs leaves many. */
static int lead(struct lsm_db *db)
{
	bool more = true;
	int err = 0;

	while (!err && more)
		err = sync_round(db, &more);
	return err;
}

void wal_synced_by_flush(struct lsm_db *db, uint64_t seq)
{
	uint64_t old = atomic_load_explicit(&db->synced, memory_order_relaxed);

	/* release: pairs with the acquire in wal_sync_to(). */
	while (old < seq && !atomic_compare_exchange_weak_explicit(
				    &db->synced, &old, seq,
				    memory_order_release, memory_order_relaxed))
		;
}

static bool is_synced(struct lsm_db *db, uint64_t seq)
{
	/* acquire: pairs with the release in wal_synced_by_flush(). */
	return atomic_load_explicit(&db->synced, memory_order_acquire) >= seq;
}

/* Gives the writers that took part lately a moment to come. */
static void gather(struct lsm_db *db)
{
	struct sync_pace *p = &db->sync_pace;
	uint64_t wait = p->ns / GATHER_PART, until, came;
	bool here;

	if (p->skip) {
		p->skip--;
		return;
	}
	came = p->came + p->crowd;
	here = atomic_load_explicit(&db->sync_came, memory_order_relaxed) >=
	       came;
	if (here)
		return;
	until = clock_ns() + (wait < GATHER_MAX_NS ? wait : GATHER_MAX_NS);
	do {
		sched_yield();
		here = atomic_load_explicit(&db->sync_came,
					    memory_order_relaxed) >= came;
	} while (!here && clock_ns() < until);
	p->vain_waits = here ? 0 : p->vain_waits + 1;
	if (!here)
		p->skip = 1u << (p->vain_waits < GATHER_SKIP_LOG
					 ? p->vain_waits
					 : GATHER_SKIP_LOG);
}

static int lead_group(struct lsm_db *db)
{
	struct sync_pace *p = &db->sync_pace;
	uint64_t before = p->came, start;
	int err;

	gather(db);
	start = clock_ns();
	p->came = atomic_load_explicit(&db->sync_came, memory_order_relaxed);
	err = lead(db);
	p->ns += (clock_ns() - start) / 8 - p->ns / 8;
	/* Those it covered, and those that came meanwhile: nobody is counted
	 * twice, as all of them wait now. */
	p->crowd = atomic_load_explicit(&db->sync_came, memory_order_relaxed) -
		   before;
	return err;
}

int wal_sync_to(struct lsm_db *db, uint64_t seq)
{
	uint32_t turn;
	int err = 0;

	if (is_synced(db, seq))
		return 0;
	atomic_fetch_add_explicit(&db->sync_came, 1, memory_order_relaxed);
	while (!err) {
		/* seq_cst, here and below: whoever finds a leader has read the
		 * word before that leader changes it. */
		turn = atomic_load(&db->sync_turn);
		if (is_synced(db, seq))
			break;
		if (atomic_exchange(&db->sync_busy, true)) {
			atomic_fetch_add(&db->sync_sleep, 1);
			word_wait(&db->sync_turn, turn);
			atomic_fetch_sub(&db->sync_sleep, 1);
			continue;
		}
		if (!is_synced(db, seq)) {
			err = db_error(db);
			if (!err)
				err = lead_group(db);
		}
		atomic_store(&db->sync_busy, false);
		atomic_fetch_add(&db->sync_turn, 1);
		if (atomic_load(&db->sync_sleep))
			word_wake_all(&db->sync_turn);
	}
	return err;
}

int wal_sync_asked(struct lsm_db *db, uint64_t seq)
{
	/* Only a hint for direct.c: relaxed. */
	atomic_store_explicit(&db->unsynced_bytes, 0, memory_order_relaxed);
	return wal_sync_to(db, seq);
}

int lsm_sync(struct lsm_db *db)
{
	int err = db_error(db);

	if (db->read_only || err)
		return err;
	/* acquire: what is visible was appended. Acknowledged writes are
	 * visible. */
	return wal_sync_asked(
		db, atomic_load_explicit(&db->visible, memory_order_acquire));
}

void wal_mark_dirty(struct lsm_db *db)
{
	if (atomic_load_explicit(&db->dirty, memory_order_relaxed) ||
	    db->opt.wal_sync_interval_ms == UINT32_MAX)
		return;
	mutex_lock(&db->mutex);
	if (!atomic_load_explicit(&db->dirty, memory_order_relaxed)) {
		atomic_store_explicit(&db->dirty, true, memory_order_relaxed);
		cond_signal(&db->timer_cond);
	}
	mutex_unlock(&db->mutex);
}

/* Waits for the time to pass, or for the end. */
static void wait_ms_locked(struct lsm_db *db, uint32_t ms) REQUIRES(db->mutex)
{
	uint64_t now = clock_ns();
	uint64_t until = now + ms * 1000000ull;

	while (!db_stopping(db) && now < until) {
		cond_timedwait(&db->timer_cond, &db->mutex, until - now);
		now = clock_ns();
	}
}

static bool is_full_disk(int err)
{
	return err == -ENOSPC || err == -EDQUOT;
}

static void sync_appended(struct lsm_db *db)
{
	uint64_t seq;

	mutex_lock(&db->write_mutex);
	seq = db->last_seq;
	mutex_unlock(&db->write_mutex);
	/* An error is sticky, logged, and the next writer's to see. */
	(void)wal_sync_to(db, seq);
}

void *wal_timer_main(void *arg)
{
	struct lsm_db *db = arg;

	mutex_lock(&db->mutex);
	while (!db_stopping(db)) {
		if (is_full_disk(db_error(db))) {
			wait_ms_locked(db, RESUME_INTERVAL_MS);
			mutex_unlock(&db->mutex);
			if (!db_stopping(db))
				(void)lsm_resume(db);
			mutex_lock(&db->mutex);
			continue;
		}
		if (!atomic_load_explicit(&db->dirty, memory_order_relaxed)) {
			cond_wait(&db->timer_cond, &db->mutex);
			continue;
		}
		wait_ms_locked(db, db->opt.wal_sync_interval_ms);
		if (db_stopping(db))
			break;
		/* Cleared before the sequence is read: a writer that appends
		 * after that sets it again. */
		atomic_store_explicit(&db->dirty, false, memory_order_relaxed);
		mutex_unlock(&db->mutex);
		sync_appended(db);
		mutex_lock(&db->mutex);
	}
	mutex_unlock(&db->mutex);
	return NULL;
}
