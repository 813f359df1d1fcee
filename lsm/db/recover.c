/* SPDX-License-Identifier: MIT */
/*
 * recover.c - from the manifest and the logs back to the last state.
 *
 * The manifest says up to which sequence everything is in tables (last_seq) and
 * which logs hold the rest (log_number and above). Records continue each other
 * without a gap from last_seq on, across logs too, because a log that ended in
 * an error was flushed before the next one was used.
 *
 * Power loss can cut the unsynced tail of a log, and also of an older log while
 * a younger one, equally unsynced, reached the disk. So at a gap between two
 * logs history ends: what comes after it is not replayed, and every state that
 * recovery yields is a prefix of what was written. But an older log is always
 * synced before a younger one is: when a record behind the gap says that its
 * log had been synced, the gap is no lost tail but damage, as is a gap inside a
 * log, or a sequence that goes back.
 *
 * A record may point to values in blob files that bulk writes filled; where
 * they are missing history ends as well: see recover_direct.h.
 *
 * What was replayed is written to level 0 before the store opens, together with
 * one edit of the manifest that makes all old logs obsolete: so no second
 * recovery ever meets logs of two lives. Read-only, it stays in memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/db/recover_direct.h"

struct replay {
	struct lsm_db *db;
	const struct log_list *logs;
	struct direct_replay direct;
	struct db_mem *mem;
	struct version_edit edit; /* tables made on the way */
	uint64_t next_seq;        /* that the next record must begin with */
	bool gap;                 /* history has ended */
	bool ended; /* the same, in the middle of the last log that counts */
	uint64_t records, ignored;
	uint64_t flush_written;
};

struct log_list {
	struct version_set *vs;
	struct direct_replay *direct;
	uint64_t *numbers; /* ascending, after sorting */
	size_t count, cap;
};

static int note_log(void *arg, const char *name, uint64_t bytes)
{
	struct log_list *l = arg;
	uint64_t number;

	enum file_kind kind = file_name_parse(name, &number);

	if (kind == FILE_BLOB)
		return direct_replay_note(l->direct, number);
	if (kind != FILE_WAL)
		return 0;
	version_set_use_file(l->vs, number);
	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		uint64_t *p = reallocarray(l->numbers, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->numbers = p;
		l->cap = cap;
	}
	l->numbers[l->count++] = number;
	return 0;
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int list_logs(struct lsm_db *db, struct log_list *l)
{
	int err;

	l->vs = &db->vs;
	err = env_dir_list(db->dir, note_log, l);
	if (!err && l->count)
		qsort(l->numbers, l->count, sizeof(*l->numbers), cmp_u64);
	return err;
}

static int flush_replayed(struct replay *rp)
{
	struct lsm_db *db = rp->db;
	struct compact_env env = {
		.vs = &db->vs, .options = &db->tree_opt, .stop = &db->stop};
	uint64_t *snapshots = NULL;
	int err;

	if (memtable_empty(rp->mem->table))
		return 0;
	mutex_lock(&db->mutex);
	err = snapshots_collect_locked(db, &snapshots, &env.snapshot_count);
	mutex_unlock(&db->mutex);
	if (err)
		return err;
	env.snapshots = snapshots;
	err = flush_memtables(&env, &rp->mem->table, 1, &rp->edit);
	free(snapshots);
	rp->flush_written += env.written_bytes;
	return err;
}

/* Keeps memory bounded while a long history is replayed. */
static int make_room(struct replay *rp)
{
	struct lsm_db *db = rp->db;
	uint64_t bytes = memtable_bytes(rp->mem->table);
	struct db_mem *fresh;
	int err;

	db_mem_charge(rp->mem, bytes);
	if (db->read_only || bytes < db->opt.write_buffer_bytes)
		return 0;
	err = flush_replayed(rp);
	if (err)
		return err;
	fresh = db_mem_new(db, 0, rp->next_seq - 1);
	if (!fresh)
		return -ENOMEM;
	db_mem_put(rp->mem);
	rp->mem = fresh;
	return 0;
}

/* Do the values lie where the batch says? LSM_END: history ends before it. */
static int replay_handles(struct replay *rp, struct wal_reader *r,
			  uint64_t number, const char *name,
			  struct lsm_slice rep)
{
	const struct log_list *l = rp->logs;
	size_t first = 0;
	int err;

	while (first < l->count && l->numbers[first] < rp->db->vs.log_number)
		first++;
	err = direct_replay_batch(&rp->direct, l->numbers + first,
				  l->count - first, number, name,
				  wal_reader_offset(r), rep);
	if (err == LSM_END)
		logger_printf(&rp->db->log, LSM_LOG_WARN,
			      "%s: values written beside the record before "
			      "offset %" PRIu64
			      " did not reach the disk; it and what follows "
			      "is left out",
			      name, wal_reader_offset(r));
	return err;
}

static int replay_record(struct replay *rp, struct wal_reader *r,
			 uint64_t number, const char *name, uint64_t offset,
			 bool first, struct lsm_slice rep)
{
	const struct logger *log = &rp->db->log;
	struct batch_reader b;
	int err = batch_reader_init(&b, rep);

	if (err)
		return log_corrupt(log, name, offset, "record is no batch");
	if (!rp->gap && b.seq != rp->next_seq) {
		if (!first || b.seq < rp->next_seq)
			return log_corrupt(log, name, offset,
					   "sequence %" PRIu64 " where %" PRIu64
					   " is due",
					   b.seq, rp->next_seq);
		rp->gap = true;
	}
	if (rp->gap && wal_reader_durable(r))
		return log_corrupt(log, name, offset,
				   "sequences %" PRIu64 " to %" PRIu64
				   " are missing though they had been synced",
				   rp->next_seq, b.seq - 1);
	if (rp->gap) {
		rp->ignored++;
		return 0;
	}
	err = replay_handles(rp, r, number, name, rep);
	if (err) {
		rp->ended = err == LSM_END;
		return err;
	}
	err = memtable_apply(rp->mem->table, rep);
	if (err == -EUCLEAN)
		return log_corrupt(log, name, offset, "batch is malformed");
	if (err)
		return err;
	rp->next_seq += b.left;
	rp->records++;
	return make_room(rp);
}

static int replay_log(struct replay *rp, uint64_t number)
{
	char name[FILE_NAME_MAX];
	struct lsm_slice rep;
	struct wal_reader *r;
	uint64_t offset;
	bool first = true;
	int err;

	file_name(name, FILE_WAL, number);
	err = wal_reader_open(rp->db->dir, name, number, &rp->db->log, &r);
	if (err)
		return err == LSM_END ? 0 : err;
	for (;;) {
		offset = wal_reader_offset(r);
		err = wal_reader_next(r, &rep);
		if (!err)
			err = replay_record(rp, r, number, name, offset, first,
					    rep);
		if (err)
			break;
		first = false;
	}
	if (err == LSM_END) {
		err = 0;
		if (!rp->ended && wal_reader_torn(r))
			logger_printf(&rp->db->log, LSM_LOG_WARN,
				      "%s: ends in an incomplete record at "
				      "offset %" PRIu64,
				      name, offset);
	}
	wal_reader_close(r);
	return err;
}

static int replay_logs(struct replay *rp, const struct log_list *l)
{
	struct lsm_db *db = rp->db;
	int err = 0;

	rp->mem = db_mem_new(db, 0, rp->next_seq - 1);
	if (!rp->mem)
		return -ENOMEM;
	for (size_t i = 0; i < l->count && !err && !rp->ended; i++)
		if (l->numbers[i] >= db->vs.log_number)
			err = replay_log(rp, l->numbers[i]);
	direct_replay_give(&rp->direct, rp->mem);
	if (!err && rp->next_seq - 1 > SEQ_MAX)
		err = -EUCLEAN;
	if (rp->ignored)
		logger_printf(&db->log, LSM_LOG_WARN,
			      "%" PRIu64 " records of unsynced logs are left "
			      "out: the log before them lost its tail",
			      rp->ignored);
	return err;
}

/*
 * The logs of the earlier life are obsolete by now. None is recycled: the
 * number of a log that power loss took back may be given again, and the file
 * could hold records under that very number.
 */
static int delete_logs(struct lsm_db *db, const struct log_list *l)
{
	char name[FILE_NAME_MAX];
	int err = 0;

	for (size_t i = 0; i < l->count && !err; i++) {
		file_name(name, FILE_WAL, l->numbers[i]);
		err = env_dir_delete(db->dir, name);
	}
	return err;
}

static int publish_state(struct lsm_db *db, struct db_mem *active,
			 uint64_t last_seq)
{
	struct superversion *sv = sv_alloc();

	if (!sv)
		return -ENOMEM;
	db->last_seq = last_seq;
	atomic_store_explicit(&db->visible, last_seq, memory_order_relaxed);
	atomic_store_explicit(&db->synced, last_seq, memory_order_relaxed);
	mutex_lock(&db->mutex);
	db->active = active;
	sv_install_locked(db, sv, active);
	pace_update_locked(db);
	mutex_unlock(&db->mutex);
	return 0;
}

/* The new log, the edit that makes the old ones obsolete, the first state. */
static int begin_life(struct replay *rp, const struct log_list *l)
{
	struct lsm_db *db = rp->db;
	uint64_t last_seq = rp->next_seq - 1;
	struct db_mem *mem;
	int err = flush_replayed(rp);

	if (!err)
		err = db_direct_seal(db, &rp->mem, 1, 0, NULL);
	if (!err)
		err = db_direct_add(db, &rp->mem, 1, &rp->edit);
	if (!err)
		err = db_wal_new(db, &db->wal);
	if (err)
		return err;
	db->oldest_wal = db->wal;
	rp->edit.has_log_number = rp->edit.has_last_seq = true;
	rp->edit.log_number = db->wal->number;
	rp->edit.last_seq = last_seq;
	err = version_set_apply(&db->vs, &rp->edit, NULL, NULL);
	if (!err)
		err = delete_logs(db, l);
	if (err)
		return err;
	mem = db_mem_new(db, db->wal->number, last_seq);
	if (!mem)
		return -ENOMEM;
	err = publish_state(db, mem, last_seq);
	if (err)
		db_mem_put(mem);
	db->flush_written = rp->flush_written;
	db->flushes = rp->flush_written != 0;
	return err;
}

int recover(struct lsm_db *db)
{
	struct replay rp = {.db = db, .next_seq = db->vs.last_seq + 1};
	struct log_list logs = {.direct = &rp.direct};
	int err;

	rp.direct.db = db;
	rp.logs = &logs;
	err = list_logs(db, &logs);
	if (!err)
		err = replay_logs(&rp, &logs);
	if (!err && db->read_only) {
		err = publish_state(db, rp.mem, rp.next_seq - 1);
		if (!err)
			rp.mem = NULL; /* db->active */
	} else if (!err) {
		err = begin_life(&rp, &logs);
	}
	if (!err && rp.records)
		logger_printf(&db->log, LSM_LOG_INFO,
			      "replayed %" PRIu64 " batches, up to sequence "
			      "%" PRIu64,
			      rp.records, rp.next_seq - 1);
	if (rp.mem)
		db_mem_put(rp.mem);
	direct_replay_release(&rp.direct);
	version_edit_release(&rp.edit);
	free(logs.numbers);
	return err;
}
