/* SPDX-License-Identifier: MIT */
/*
 * background.c - the threads that write memtables out and merge tables.
 *
 * One thread flushes, so that a long compaction never keeps memory from being
 * freed; the others compact. All wait on db->work_cond and are woken by
 * background_wake_locked(); whoever waits for a result waits on db->done_cond.
 *
 * Errors. A failed manifest edit is sticky (db->bg_err). A flush that failed
 * loses nothing, the log still has it: writers go on while there is room. A
 * compaction that failed left the tree as it was. With a full disk both are
 * tried again after a pause; other errors wait for lsm_resume(). While
 * db->bg_err is set nothing is flushed or merged, hence nothing deleted, but
 * for lsm_resume() itself.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lsm/db/db_impl.h"

#define RETRY_NS ((uint64_t)1000000000)
#define NEVER    UINT64_MAX
/* After a flush another one is expected for so long. */
#define GROWS_NS ((uint64_t)1000000000)

void background_wake_locked(struct lsm_db *db)
{
	db->compact_due = !db->opt.no_background_compaction;
	cond_broadcast(&db->work_cond);
}

/* When a failed job may be tried again. */
static uint64_t retry_at(int err)
{
	return err == -ENOSPC || err == -EDQUOT ? clock_ns() + RETRY_NS : NEVER;
}

/* Waits for work, or until the moment at. */
static void wait_work_locked(struct lsm_db *db, uint64_t at) REQUIRES(db->mutex)
{
	uint64_t now;

	if (at == NEVER) {
		cond_wait(&db->work_cond, &db->mutex);
		return;
	}
	now = clock_ns();
	if (now < at)
		cond_timedwait(&db->work_cond, &db->mutex, at - now);
}

int db_apply(struct lsm_db *db, const struct version_edit *edit,
	     void (*installed)(void *arg), void *arg)
{
	int err = version_set_apply(&db->vs, edit, installed, arg);
	int manifest_err;

	if (!err)
		return 0;
	mutex_lock(&db->vs.apply_mutex);
	manifest_err = db->vs.manifest_err;
	mutex_unlock(&db->vs.apply_mutex);
	if (manifest_err) {
		mutex_lock(&db->mutex);
		db->manifest_failed = true;
		db_set_error_locked(db, manifest_err, "writing the manifest");
		mutex_unlock(&db->mutex);
	}
	return err;
}

/* ---- flush ---- */

struct flush_job {
	struct lsm_db *db;
	struct superversion *fresh;
	struct db_mem *mems[DB_MEMS_MAX]; /* oldest first */
	unsigned count;
	/* The oldest log that is still needed afterwards, and the last
	 * sequence that is not in it. */
	uint64_t next_wal, next_base;
};

/* With db->mutex, right after the new version was put in place. */
static void flush_installed(void *arg) NO_TSA
{
	struct flush_job *j = arg;
	struct lsm_db *db = j->db;

	db->imm_count -= j->count;
	for (unsigned i = 0; i < j->count; i++)
		share_flushed_locked(db, j->mems[i]);
	sv_install_locked(db, j->fresh, NULL);
	j->fresh = NULL;
	db->reclaim.estimate_due = db->vs.current->has_ranges;
	pace_update_locked(db);
}

static bool wait_writers(struct flush_job *j)
{
	for (unsigned i = 0; i < j->count; i++) {
		unsigned spins = 0;
		struct timespec pause = {.tv_nsec = 50000};

		/* acquire: pairs with the release in write_rep(). */
		while (atomic_load_explicit(&j->mems[i]->inflight,
					    memory_order_acquire)) {
			if (atomic_load(&j->db->halted))
				return false;
			if (spins++ < 100)
				sched_yield();
			else
				nanosleep(&pause, NULL);
		}
	}
	for (unsigned i = 0; i < j->count; i++)
		db_direct_wait(j->mems[i]);
	return true;
}

/* The tables that an edit adds. Files of bulk writes were there. */
static void count_out(struct lsm_event *e, const struct version_edit *edit)
{
	e->tables_out = (unsigned)edit->added_count;
	for (size_t i = 0; i < edit->added_count; i++)
		e->bytes_out += edit->added[i].meta.file_bytes;
	for (size_t i = 0; i < edit->blob_count; i++)
		if (!edit->blobs[i].keep)
			e->bytes_out += edit->blobs[i].meta.file_bytes;
}

/* Seals the files of bulk writes. Values in one that cannot be made durable any
 * more are moved, by env asking m. */
static int flush_direct(struct flush_job *j, struct compact_env *env,
			struct direct_mover *m)
{
	bool move = false;
	int err = 0;

	for (unsigned i = 0; i < j->count && !err; i++)
		err = db_direct_seal(j->db, j->mems, j->count, i, &move);
	*m = (struct direct_mover){
		.db = j->db, .mems = j->mems, .count = j->count};
	if (move) {
		env->move_handle = db_direct_move_handle;
		env->keep_arg = m;
	}
	return err;
}

static int flush_build(struct flush_job *j, struct version_edit *edit,
		       uint64_t *written)
{
	struct lsm_db *db = j->db;
	struct memtable *tables[DB_MEMS_MAX];
	struct compact_env env = {
		.vs = &db->vs, .options = &db->tree_opt, .stop = &db->stop};
	uint64_t *snapshots = NULL;
	struct direct_mover mover;
	int err;

	mutex_lock(&db->mutex);
	err = snapshots_collect_locked(db, &snapshots, &env.snapshot_count);
	mutex_unlock(&db->mutex);
	if (err)
		return err;
	env.snapshots = snapshots;
	for (unsigned i = 0; i < j->count; i++)
		tables[i] = j->mems[i]->table;
	err = flush_direct(j, &env, &mover);
	if (!err)
		err = flush_memtables(&env, tables, j->count, edit);
	blob_view_release(&db->vs, &mover.view);
	if (!err)
		err = db_direct_add(db, j->mems, j->count, edit);
	if (!err)
		direct_note_values(db, edit);
	*written = env.written_bytes;
	mutex_lock(&db->mutex);
	db->blob_written += env.blob_bytes;
	mutex_unlock(&db->mutex);
	free(snapshots);
	edit->has_log_number = edit->has_last_seq = true;
	edit->log_number = j->next_wal;
	edit->last_seq = j->next_base;
	return err;
}

static int flush_run(struct flush_job *j, uint64_t *written,
		     struct lsm_event *event)
{
	struct lsm_db *db = j->db;
	struct version_edit edit = {0};
	int err;

	if (!wait_writers(j))
		return -ECANCELED;
	j->fresh = sv_alloc();
	if (!j->fresh)
		return -ENOMEM;
	err = flush_build(j, &edit, written);
	if (!err)
		err = db_apply(db, &edit, flush_installed, j);
	if (!err)
		count_out(event, &edit);
	version_edit_release(&edit);
	free(j->fresh);
	if (err)
		return err;
	for (unsigned i = 0; i < j->count; i++) {
		db_direct_flushed(db, j->mems[i]);
		db_mem_put(j->mems[i]);
	}
	wal_synced_by_flush(db, j->next_base);
	db_wal_drop_below(db, j->next_wal);
	sv_reap(db);
	return 0;
}

static void flush_locked(struct lsm_db *db) REQUIRES(db->mutex)
{
	struct flush_job j = {.db = db, .count = db->imm_count};
	struct lsm_event event = {.kind = LSM_EVENT_FLUSH_BEGIN,
				  .tables_in = j.count};
	struct db_mem *active;
	uint64_t written = 0;
	int err;

	for (unsigned i = 0; i < j.count; i++) {
		j.mems[i] = db->imm[j.count - 1 - i];
		event.bytes_in += memtable_bytes(j.mems[i]->table);
	}
	active = atomic_load_explicit(&db->sv, memory_order_relaxed)->mems[0];
	j.next_wal = active->wal_number;
	j.next_base = active->base_seq;
	db->flushing = true;
	db->flush_err = 0;
	mutex_unlock(&db->mutex);

	event_tell(db, event);
	event.duration_ns = clock_ns();
	err = flush_run(&j, &written, &event);
	event.kind = LSM_EVENT_FLUSH_END;
	event.error = err;
	event_tell(db, event);

	mutex_lock(&db->mutex);
	db->flushing = false;
	if (!err) {
		db->flushes++;
		db->flush_written += written;
		db->flushed_ns = clock_ns();
	} else if (err != -ECANCELED) {
		db->flush_retry_ns = retry_at(err);
		logger_printf(&db->log, LSM_LOG_ERROR, "flush: %s",
			      lsm_strerror(err));
	}
	db->flush_err = err == -ECANCELED ? 0 : err;
	background_wake_locked(db);
	cond_broadcast(&db->done_cond);
}

static bool may_work_locked(struct lsm_db *db) REQUIRES(db->mutex)
{
	return !atomic_load(&db->halted) && (!db_error(db) || db->resuming);
}

static void *flush_main(void *arg)
{
	struct lsm_db *db = arg;

	mutex_lock(&db->mutex);
	while (!db_stopping(db)) {
		uint64_t at = db->flush_err ? db->flush_retry_ns : NEVER;

		if (!may_work_locked(db)) {
			wait_work_locked(db, NEVER);
		} else if (!db->imm_count && reclaim_due(db) <= clock_ns()) {
			mutex_unlock(&db->mutex);
			reclaim_run(db);
			mutex_lock(&db->mutex);
		} else if (!db->imm_count) {
			wait_work_locked(db, reclaim_due(db));
		} else if (db->flush_err && clock_ns() < at) {
			wait_work_locked(db, at);
		} else {
			flush_locked(db);
		}
	}
	mutex_unlock(&db->mutex);
	return NULL;
}

int background_wait_flush(struct lsm_db *db, uint64_t number)
{
	int err = 0;

	mutex_lock(&db->mutex);
	/* Who asks wants a try of his own, not what an older one met. */
	while (db->flushing)
		cond_wait(&db->done_cond, &db->mutex);
	db->flush_err = 0;
	background_wake_locked(db);
	while (db->vs.log_number < number || db->flushing) {
		err = db->flushing ? 0 : db->flush_err;
		if (!err && !db->flushing &&
		    (!db->resuming || db->manifest_failed ||
		     atomic_load(&db->halted)))
			err = db_error(db);
		if (!err && db_stopping(db))
			err = -ECANCELED;
		if (err)
			break;
		cond_wait(&db->done_cond, &db->mutex);
	}
	mutex_unlock(&db->mutex);
	return err;
}

/* ---- compaction ---- */

struct install {
	struct lsm_db *db;
	const struct compaction *c;
	const struct version_edit *edit;
	struct superversion *fresh;
};

/* With db->mutex, right after the new version was put in place. */
static void compaction_installed(void *arg) NO_TSA
{
	struct install *in = arg;

	sv_install_locked(in->db, in->fresh, NULL);
	in->fresh = NULL;
	in->db->reclaim.estimate_due = in->db->vs.current->has_ranges;
	if (in->c) /* else nothing was merged: drop_blobs_locked() */
		collect_note_hidden(&in->db->vs, in->c, in->edit);
	pace_update_locked(in->db);
}

static void count_in(struct lsm_event *e, const struct compaction *c)
{
	for (int n = 0; n < 2; n++) {
		e->tables_in += (unsigned)c->input_count[n];
		for (size_t i = 0; i < c->input_count[n]; i++)
			e->bytes_in += c->inputs[n][i]->meta.file_bytes;
	}
}

static int compact_work(struct compact_env *env, struct compaction *c,
			struct lsm_db *db, struct lsm_event *event)
{
	struct version_edit edit = {0};
	struct install in = {
		.db = db, .c = c, .edit = &edit, .fresh = sv_alloc()};
	int err;

	if (!in.fresh)
		return -ENOMEM;
	err = compaction_run(env, c, &edit);
	if (!err)
		err = db_apply(db, &edit, compaction_installed, &in);
	if (!err)
		count_out(event, &edit);
	if (c->trivial_move)
		event->bytes_out = 0;
	version_edit_release(&edit);
	free(in.fresh);
	return err;
}

int background_compact_locked(struct lsm_db *db, struct compaction *c)
{
	struct compact_env env = {.vs = &db->vs,
				  .options = &db->tree_opt,
				  .stop = &db->stop,
				  .limiter = db->limiter,
				  .collect_limiter = db->collect_limiter};
	struct lsm_event event = {.kind = LSM_EVENT_COMPACTION_BEGIN,
				  .level = c->level,
				  .output_level = c->output_level};
	uint64_t *snapshots = NULL;
	bool moved = c->trivial_move;
	int err = snapshots_collect_locked(db, &snapshots, &env.snapshot_count);

	env.snapshots = snapshots;
	if (c->by_hand && !db->opt.blob_gc_rate_bytes)
		env.collect_limiter = NULL;
	db->compacting++;
	mutex_unlock(&db->mutex);
	count_in(&event, c);
	event_tell(db, event);
	event.duration_ns = clock_ns();
	if (!err)
		err = compact_work(&env, c, db, &event);
	event.kind = LSM_EVENT_COMPACTION_END;
	event.error = err;
	event_tell(db, event);
	free(snapshots);

	mutex_lock(&db->mutex);
	compaction_free(c);
	/* Old readers must have left before the inputs can be unlinked. */
	mutex_unlock(&db->mutex);
	if (!err)
		sv_reap(db);
	mutex_lock(&db->mutex);
	db->compacting--;
	if (err == -ENOSPC || err == -EDQUOT)
		collect_give_up(&db->vs);
	else if (!err && !moved)
		db->vs.collect_little = false;
	if (!err && moved)
		db->trivial_moves++;
	else if (!err)
		db->compactions++;
	db->compact_read += env.read_bytes;
	db->compact_written += env.written_bytes;
	db->blob_written += env.blob_bytes;
	db->blob_moved += env.blob_bytes;
	db->blob_collected += env.collected_bytes;
	if (err && err != -ECANCELED)
		logger_printf(&db->log, LSM_LOG_ERROR, "compaction: %s",
			      lsm_strerror(err));
	background_wake_locked(db);
	cond_broadcast(&db->done_cond);
	return err;
}

/* Nobody has a handle any more into a blob file that was kept for one: an edit
 * that changes nothing else takes it out. When it fails the next edit does. */
static void drop_blobs_locked(struct lsm_db *db) REQUIRES(db->mutex)
{
	struct install in = {.db = db, .fresh = sv_alloc()};
	struct version_edit edit = {0};
	int err = in.fresh ? 0 : -ENOMEM;

	db->vs.dead_blobs = false;
	db->compacting++;
	mutex_unlock(&db->mutex);
	if (!err)
		err = db_apply(db, &edit, compaction_installed, &in);
	free(in.fresh);
	if (!err)
		sv_reap(db);
	else
		logger_printf(&db->log, LSM_LOG_WARN,
			      "dropping dead blob files: %s",
			      lsm_strerror(err));
	mutex_lock(&db->mutex);
	db->compacting--;
	cond_broadcast(&db->done_cond);
}

/* When no more is expected in level 0. */
static uint64_t grown_at(struct lsm_db *db) REQUIRES(db->mutex)
{
	return db->flushed_ns ? db->flushed_ns + GROWS_NS : 0;
}

/* One round: what was done, or false when there was nothing to do. */
static bool compact_step_locked(struct lsm_db *db) REQUIRES(db->mutex)
{
	struct compaction *c;
	uint64_t resumes;
	int err;

	if (db->cleanup_due) {
		db->cleanup_due = false;
		mutex_unlock(&db->mutex);
		sv_reap(db);
		mutex_lock(&db->mutex);
		return true;
	}
	if (!may_work_locked(db) || db->resuming)
		return false;
	if (db->vs.dead_blobs) {
		drop_blobs_locked(db);
		return true;
	}
	if (!db->compact_due)
		return false;
	if (db->compact_err && clock_ns() < db->compact_retry_ns)
		return false;
	if (db->reclaim.estimate_due) {
		db->reclaim.estimate_due = false;
		mutex_unlock(&db->mutex);
		reclaim_estimate(db);
		mutex_lock(&db->mutex);
		return true;
	}
	db->vs.level0_grows = !db->idle_waits && clock_ns() < grown_at(db);
	c = compact_pick(&db->vs, &db->tree_opt);
	if (!c) {
		db->compact_due = db->vs.level0_waits;
		db->compact_retry_ns = grown_at(db);
		db->compact_err = 0;
		cond_broadcast(&db->done_cond);
		return false;
	}
	resumes = db->resumes;
	err = background_compact_locked(db, c);
	/* What it met before the last lsm_resume() is history. */
	if (err == -ECANCELED || resumes != db->resumes)
		err = 0;
	db->compact_err = err;
	if (err)
		db->compact_retry_ns = retry_at(err);
	return true;
}

static void *compact_main(void *arg)
{
	struct lsm_db *db = arg;
	bool retry;

	mutex_lock(&db->mutex);
	while (!db_stopping(db)) {
		if (compact_step_locked(db))
			continue;
		retry = (db->compact_err || db->vs.level0_waits) &&
			db->compact_due && may_work_locked(db) && !db->resuming;
		wait_work_locked(db, retry ? db->compact_retry_ns : NEVER);
	}
	mutex_unlock(&db->mutex);
	return NULL;
}

/* ---- life ---- */

int background_start(struct lsm_db *db)
{
	unsigned n = db->opt.compaction_threads;
	char name[16];
	int err;

	db->compact_threads = calloc(n, sizeof(*db->compact_threads));
	if (!db->compact_threads)
		return -ENOMEM;
	err = events_start(db);
	if (!err) {
		err = thread_start(&db->flush_thread, "lsm-flush", flush_main,
				   db);
		db->flush_started = !err;
	}
	if (!err) {
		err = thread_start(&db->timer_thread, "lsm-sync",
				   wal_timer_main, db);
		db->timer_started = !err;
	}
	for (unsigned i = 0; i < n && !err; i++) {
		snprintf(name, sizeof(name), "lsm-compact%u", i % 1000);
		err = thread_start(&db->compact_threads[i], name, compact_main,
				   db);
		db->compact_thread_count += !err;
	}
	return err;
}

void background_stop(struct lsm_db *db)
{
	mutex_lock(&db->mutex);
	atomic_store(&db->stop, true);
	cond_broadcast(&db->work_cond);
	cond_broadcast(&db->done_cond);
	cond_broadcast(&db->timer_cond);
	mutex_unlock(&db->mutex);
	if (db->flush_started)
		pthread_join(db->flush_thread, NULL);
	if (db->timer_started)
		pthread_join(db->timer_thread, NULL);
	for (unsigned i = 0; i < db->compact_thread_count; i++)
		pthread_join(db->compact_threads[i], NULL);
	free(db->compact_threads);
	db->compact_threads = NULL;
	db->compact_thread_count = 0;
	db->flush_started = db->timer_started = false;
	events_stop(db);
}
