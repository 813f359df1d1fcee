/* SPDX-License-Identifier: MIT */
/*
 * reclaim.c - that deleted space comes back although nothing more is written.
 *
 * A tombstone frees nothing while it sits in a memtable, and a store that is
 * left alone has no reason to write that out. So deletions are noted, and
 * reclaim_interval_ms after the first of them the flush thread asks what they
 * hide: when that is worth a table, it closes the memtable. From there on the
 * estimates of hidden.c bring the tombstones down.
 *
 * Of many range deletions the first few are kept and stand for all. What is not
 * worth it yet is carried on, so many small deletions are worth it together.
 *
 * Noting: any writer. The estimates: compaction threads. The rest: the flush
 * thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "lsm/db/db_impl.h"

static bool is_on(const struct lsm_db *db)
{
	return db->opt.reclaim_interval_ms != UINT32_MAX &&
	       !db->opt.no_background_compaction;
}

static void arm(struct lsm_db *db)
{
	uint64_t none = 0;

	/* Relaxed: the mutex below orders it for the flush thread. */
	if (atomic_load_explicit(&db->reclaim.since_ns, memory_order_relaxed) ||
	    !atomic_compare_exchange_strong_explicit(
		    &db->reclaim.since_ns, &none, clock_ns(),
		    memory_order_relaxed, memory_order_relaxed))
		return;
	mutex_lock(&db->mutex);
	cond_broadcast(&db->work_cond);
	mutex_unlock(&db->mutex);
}

static int keep_range(struct reclaim *r, const struct lsm_batch *batch,
		      size_t at)
{
	const uint8_t *end = batch->rep.data + batch->rep.len;
	struct lsm_slice start, stop;
	const uint8_t *p = batch->rep.data + at + 1;
	int err;

	p = get_slice(p, end, &start);
	p = p ? get_slice(p, end, &stop) : NULL;
	if (!p)
		return -EINVAL;
	err = buf_append_slice(&r->keys, start);
	return err ? err : buf_append_slice(&r->keys, stop);
}

static void keep_ranges(struct reclaim *r, const struct lsm_batch *batch)
{
	size_t len;

	if (atomic_fetch_add_explicit(&r->ranges, batch->ranges,
				      memory_order_relaxed) >= RECLAIM_RANGES)
		return;
	mutex_lock(&r->mutex);
	for (unsigned i = 0; i < batch->ranges && i < BATCH_RANGES; i++) {
		len = r->keys.len;
		if (r->kept == RECLAIM_RANGES)
			break;
		if (keep_range(r, batch, batch->range_at[i]))
			r->keys.len = len; /* one less to stand for all */
		else
			r->kept++;
	}
	mutex_unlock(&r->mutex);
}

void reclaim_note(struct lsm_db *db, const struct lsm_batch *batch)
{
	if (!is_on(db))
		return;
	if (batch->ranges)
		keep_ranges(&db->reclaim, batch);
	reclaim_note_deletes(db, batch->deletes);
}

void reclaim_note_deletes(struct lsm_db *db, uint32_t count)
{
	if (!is_on(db))
		return;
	atomic_fetch_add_explicit(&db->reclaim.deletes, count,
				  memory_order_relaxed);
	arm(db);
}

/* Starts anew; what was noted goes to *was. */
static void take(struct reclaim *r, struct reclaim *was)
{
	atomic_store_explicit(&r->since_ns, 0, memory_order_relaxed);
	mutex_lock(&r->mutex);
	was->keys = r->keys;
	was->kept = r->kept;
	memset(&r->keys, 0, sizeof(r->keys));
	r->kept = 0;
	atomic_store_explicit(
		&was->ranges,
		atomic_exchange_explicit(&r->ranges, 0, memory_order_relaxed),
		memory_order_relaxed);
	atomic_store_explicit(
		&was->deletes,
		atomic_exchange_explicit(&r->deletes, 0, memory_order_relaxed),
		memory_order_relaxed);
	mutex_unlock(&r->mutex);
}

/* Bytes that ranges cover in tables. */
static uint64_t ranges_bytes(struct lsm_db *db, const struct reclaim *was)
{
	const uint8_t *p = was->keys.data, *end = p + was->keys.len;
	uint64_t sum = 0, bytes;
	struct lsm_slice start, stop;

	for (unsigned i = 0; i < was->kept; i++) {
		p = get_slice(p, end, &start);
		p = p ? get_slice(p, end, &stop) : NULL;
		if (!p)
			break;
		/* A table that cannot be read was reported. */
		if (!lsm_approximate_size(db, start, stop, &bytes))
			sum += bytes;
	}
	return was->kept ? sum *
				   atomic_load_explicit(&was->ranges,
							memory_order_relaxed) /
				   was->kept
			 : 0;
}

static bool worth_it(struct lsm_db *db, struct reclaim *was)
{
	struct superversion *sv = sv_get(db);
	uint64_t least = worth_reclaiming(sv->version), direct;
	double mean = mean_entry_bytes(sv->version);

	sv_put_user(sv);
	/* No table knows what is deleted of values written by bulk batches
	 * since the memtable was made; when they are many, it is worth asking.
	 */
	mutex_lock(&db->write_mutex);
	direct = db->active->direct_bytes;
	mutex_unlock(&db->write_mutex);
	if (direct >= least)
		return true;
	db->reclaim.carried += ranges_bytes(db, was);
	db->reclaim.carried +=
		(uint64_t)(mean * (double)atomic_load_explicit(
					  &was->deletes, memory_order_relaxed));
	return db->reclaim.carried >= least;
}

static int close_memtable(struct lsm_db *db)
{
	bool room;
	int err = 0;

	mutex_lock(&db->write_mutex);
	mutex_lock(&db->mutex);
	room = db->imm_count + 1 < db->opt.write_buffer_count;
	mutex_unlock(&db->mutex);
	/* No room: what is in the way is being flushed, and this is full. */
	if (room && !memtable_empty(db->active->table) && !db_error(db)) {
		err = db_switch_locked(db);
		db->room_bytes = 0;
	}
	mutex_unlock(&db->write_mutex);
	return err;
}

uint64_t reclaim_due(struct lsm_db *db)
{
	uint64_t since = atomic_load_explicit(&db->reclaim.since_ns,
					      memory_order_relaxed);

	return since ? since + db->opt.reclaim_interval_ms * 1000000ull
		     : UINT64_MAX;
}

/* What snapshots held back may be free. */
static void estimate_anew_locked(struct lsm_db *db) REQUIRES(db->mutex)
{
	if (!db->reclaim.held)
		return;
	db->reclaim.held = false;
	db->reclaim.epoch++;
	db->reclaim.estimate_due = true;
	background_wake_locked(db);
}

void reclaim_estimate(struct lsm_db *db)
{
	struct superversion *sv = sv_get(db);
	uint64_t *snapshots, epoch, gone;
	size_t count;
	bool held;
	int err;

	mutex_lock(&db->mutex);
	err = snapshots_collect_locked(db, &snapshots, &count);
	epoch = db->reclaim.epoch + 1;
	gone = db->reclaim.gone;
	mutex_unlock(&db->mutex);
	if (!err) {
		held = version_estimate_hidden(sv->version, snapshots, count,
					       epoch);
		free(snapshots);
		mutex_lock(&db->mutex);
		db->reclaim.held |= held;
		/* One of the snapshots went meanwhile. */
		if (gone != db->reclaim.gone)
			estimate_anew_locked(db);
		mutex_unlock(&db->mutex);
	}
	sv_put_user(sv);
}

void reclaim_snapshot_gone_locked(struct lsm_db *db)
{
	db->reclaim.gone++;
	estimate_anew_locked(db);
}

void reclaim_name_gone(struct lsm_db *db, uint64_t seq)
{
	mutex_lock(&db->mutex);
	if (version_mark_stale(db->vs.current, seq))
		background_wake_locked(db);
	mutex_unlock(&db->mutex);
}

void reclaim_run(struct lsm_db *db)
{
	struct reclaim was = {0};
	int err;

	take(&db->reclaim, &was);
	if (worth_it(db, &was)) {
		err = close_memtable(db);
		if (!err)
			db->reclaim.carried = 0;
		else
			arm(db); /* a full disk: again after the interval */
	}
	buf_release(&was.keys);
}
