/* SPDX-License-Identifier: MIT */
/*
 * maintain.c - flush, compact, wait, verify and estimate, on request.
 *
 * Requested compactions run in the caller's thread, step by step, beside those
 * of the background; the marks on the tables keep them apart.
 */
#include <errno.h>
#include <inttypes.h>

#include "lsm/db/db_impl.h"

static int check_writable(const struct lsm_db *db)
{
	return db->read_only ? -EROFS : db_error(db);
}

static bool has_slot_locked(const struct lsm_db *db) REQUIRES(db->mutex)
{
	return db->imm_count + 1 < db->opt.write_buffer_count;
}

/* Closes the active memtable if there is anything in it; *number is the first
 * log that the caller need not wait for. -EAGAIN: somebody took the slot. */
static int switch_active(struct lsm_db *db, uint64_t *number)
{
	bool empty, room;
	int err = 0;

	mutex_lock(&db->write_mutex);
	empty = memtable_empty(db->active->table);
	mutex_lock(&db->mutex);
	room = has_slot_locked(db);
	mutex_unlock(&db->mutex);
	if (!empty && !room) {
		err = -EAGAIN;
	} else if (!empty) {
		err = db_switch_locked(db);
		db->room_bytes = 0;
	}
	*number = db->wal->number;
	mutex_unlock(&db->write_mutex);
	return err;
}

/* Room for one more memtable in the list. */
static int wait_for_slot(struct lsm_db *db)
{
	int err = 0;

	mutex_lock(&db->mutex);
	if (!db->flushing)
		db->flush_err = 0;
	background_wake_locked(db);
	while (!has_slot_locked(db)) {
		err = db_error(db);
		if (!err)
			err = db->flush_err;
		if (err)
			break;
		cond_wait(&db->done_cond, &db->mutex);
	}
	mutex_unlock(&db->mutex);
	return err;
}

int lsm_flush(struct lsm_db *db)
{
	uint64_t number = 0;
	bool again;
	int err = check_writable(db);

	do {
		if (!err)
			err = wait_for_slot(db);
		if (!err)
			err = switch_active(db, &number);
		again = err == -EAGAIN;
		if (again)
			err = 0;
	} while (again);
	if (!err)
		err = background_wait_flush(db, number);
	return err;
}

/* Steps until there is none left. level LSM_LEVELS: of emptying blob files
 * with numbers below files_end. */
static int compact_level(struct lsm_db *db, unsigned level,
			 struct lsm_slice start, struct lsm_slice end,
			 uint64_t files_end)
{
	struct compaction *c;
	bool busy;
	int err = 0;

	mutex_lock(&db->mutex);
	while (!err) {
		err = db_error(db);
		if (err)
			break;
		busy = false;
		c = level < LSM_LEVELS
			    ? compact_pick_range(&db->vs, &db->tree_opt, level,
						 start, end, &busy)
			    : compact_pick_collect(&db->vs, &db->tree_opt,
						   files_end, &busy);
		if (c)
			err = background_compact_locked(db, c);
		else if (busy)
			cond_wait(&db->done_cond, &db->mutex);
		else
			break;
	}
	mutex_unlock(&db->mutex);
	return err;
}

int lsm_compact_range(struct lsm_db *db, struct lsm_slice start,
		      struct lsm_slice end)
{
	int err;

	if (start.len && end.len && slice_cmp(start, end) >= 0)
		return -EINVAL;
	err = lsm_flush(db);
	for (unsigned level = 0; level < LSM_LEVELS && !err; level++)
		err = compact_level(db, level, start, end, 0);
	/* What is being written now is not waited for. */
	if (!err && !start.len && !end.len)
		err = compact_level(db, LSM_LEVELS, start, end,
				    version_set_new_file(&db->vs));
	return err;
}

int lsm_wait_idle(struct lsm_db *db)
{
	int err = 0;

	if (db->read_only)
		return 0;
	mutex_lock(&db->mutex);
	db->idle_waits++; /* nothing is put off any more */
	background_wake_locked(db);
	while (db->imm_count || db->flushing || db->compacting ||
	       db->compact_due || db->cleanup_due || db->vs.dead_blobs) {
		err = db_error(db);
		if (!err)
			err = db->flush_err;
		if (!err)
			err = db->compact_err;
		if (err)
			break;
		cond_wait(&db->done_cond, &db->mutex);
	}
	db->idle_waits--;
	mutex_unlock(&db->mutex);
	return err;
}

/* ---- verify ---- */

struct verify {
	struct lsm_db *db;
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	uint64_t done, total;
};

static void verify_progress(void *arg, uint64_t bytes)
{
	struct verify *v = arg;

	v->done += bytes;
	if (v->progress)
		v->progress(v->arg, v->done < v->total ? v->done : v->total,
			    v->total);
}

/* What the manifest says of a table against what the table says. */
static int verify_meta(struct verify *v, const char *name, struct sst_reader *r,
		       const struct sst_meta *want)
{
	const struct logger *log = &v->db->log;
	struct sst_meta is = {0};
	int err = sst_reader_meta(r, &is);

	if (err)
		return err;
	if (is.number != want->number || is.file_bytes != want->file_bytes ||
	    is.entries != want->entries || is.deletions != want->deletions ||
	    is.range_deletions != want->range_deletions ||
	    !sst_meta_blobs_equal(&is, want))
		err = log_corrupt(log, name, 0,
				  "counts are not those of the manifest");
	else if (is.min_seq != want->min_seq || is.max_seq != want->max_seq)
		err = log_corrupt(log, name, 0,
				  "sequences are not those of the manifest");
	else if (!slice_eq(buf_slice(&is.smallest),
			   buf_slice(&want->smallest)) ||
		 !slice_eq(buf_slice(&is.largest), buf_slice(&want->largest)) ||
		 is.largest_exclusive != want->largest_exclusive)
		err = log_corrupt(log, name, 0,
				  "bounds are not those of the manifest");
	sst_meta_release(&is);
	return err;
}

static int verify_table(struct verify *v, struct table_file *f)
{
	uint64_t before = v->done;
	char name[FILE_NAME_MAX];
	struct sst_reader *r;
	int err = table_cache_get(v->db->tables, &f->slot, &r);

	if (err)
		return err;
	file_name(name, FILE_SST, f->meta.number);
	err = sst_reader_verify(r, verify_progress, v);
	if (!err)
		err = verify_meta(v, name, r, &f->meta);
	sst_reader_put(r);
	v->done = before;
	verify_progress(v, f->meta.file_bytes);
	return err;
}

/* Two neighbours of a level >= 1: no key may lie in both. */
static int verify_order(struct verify *v, unsigned level,
			const struct table_file *a, const struct table_file *b)
{
	char name[FILE_NAME_MAX];
	int c = slice_cmp(buf_slice(&a->meta.largest),
			  buf_slice(&b->meta.smallest));

	if (c < 0 || (c == 0 && a->meta.largest_exclusive))
		return 0;
	file_name(name, FILE_SST, b->meta.number);
	return log_corrupt(&v->db->log, name, 0,
			   "overlaps table %" PRIu64 " of level %u",
			   a->meta.number, level);
}

static int verify_level(struct verify *v, struct version *version,
			unsigned level)
{
	int first = 0, err;

	for (size_t i = 0; i < version->count[level]; i++) {
		struct table_file *f = version->level[level][i];

		if (level && i) {
			err = verify_order(v, level,
					   version->level[level][i - 1], f);
			if (err && !first)
				first = err;
		}
		err = verify_table(v, f);
		if (err && !first)
			first = err;
	}
	return first;
}

int lsm_verify(struct lsm_db *db,
	       void (*progress)(void *arg, uint64_t done_bytes,
				uint64_t total_bytes),
	       void *arg)
{
	struct verify v = {.db = db, .progress = progress, .arg = arg};
	uint64_t seq;
	struct superversion *sv = sv_get_at(db, NULL, &seq);
	int first = 0, err;

	for (unsigned level = 0; level < LSM_LEVELS; level++)
		v.total += sv->version->bytes[level];
	v.total += sv->version->blob_file_bytes;
	for (unsigned level = 0; level < LSM_LEVELS; level++) {
		err = verify_level(&v, sv->version, level);
		if (err && !first)
			first = err;
	}
	err = verify_blobs(db, sv, seq, verify_progress, &v);
	if (err && !first)
		first = err;
	sv_put_user(sv);
	return first;
}

/* ---- approximate size ---- */

/* Where in the table key would lie, as bytes from its start. */
static int table_offset(struct lsm_db *db, struct table_file *f,
			struct lsm_slice key, uint64_t *offset)
{
	struct sst_reader *r;
	int c = table_file_cmp_key(f, key);
	int err;

	if (c) {
		*offset = c < 0 ? 0 : f->meta.file_bytes;
		return 0;
	}
	err = table_cache_get(db->tables, &f->slot, &r);
	if (err)
		return err;
	*offset = sst_reader_offset(r, key);
	sst_reader_put(r);
	return 0;
}

/* With it goes the same share of the values it refers to in blob files. */
static int table_share(struct lsm_db *db, struct table_file *f,
		       struct lsm_slice start, struct lsm_slice end,
		       uint64_t *bytes)
{
	uint64_t from = 0, to = f->meta.file_bytes;
	int err = 0;

	if (start.len)
		err = table_offset(db, f, start, &from);
	if (!err && end.len)
		err = table_offset(db, f, end, &to);
	if (!err && to > from)
		*bytes += to - from +
			  (uint64_t)((double)sst_meta_blob_bytes(&f->meta) *
				     (double)(to - from) /
				     (double)f->meta.file_bytes);
	return err;
}

int lsm_approximate_size(struct lsm_db *db, struct lsm_slice start,
			 struct lsm_slice end, uint64_t *bytes)
{
	struct superversion *sv;
	int err = 0;

	*bytes = 0;
	if (start.len && end.len && slice_cmp(start, end) >= 0)
		return 0;
	sv = sv_get(db);
	for (unsigned level = 0; level < LSM_LEVELS && !err; level++)
		for (size_t i = 0; i < sv->version->count[level] && !err; i++)
			if (table_file_overlaps(sv->version->level[level][i],
						start, end))
				err = table_share(db,
						  sv->version->level[level][i],
						  start, end, bytes);
	sv_put_user(sv);
	return err;
}
