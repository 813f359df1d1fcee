/* SPDX-License-Identifier: MIT */
/*
 * open.c - opening and closing a store.
 *
 * The directory is ours when it has a CURRENT, or nothing but what an opening
 * that was interrupted before CURRENT leaves behind. Anything else is somebody
 * else's, or a store that lost its CURRENT, and is left alone.
 *
 * Closing syncs the log and leaves the memtables to the next open's replay: a
 * close is fast, and a store that is opened for a moment costs no table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/db/db_impl.h"

struct contents {
	const struct logger *log;
	const char *path;
	bool current;
};

static int look_at_name(void *arg, const char *name, uint64_t bytes)
{
	struct contents *c = arg;
	uint64_t number;

	if (file_name_parse(name, &number) == FILE_CURRENT)
		c->current = true;
	return 0;
}

static int find_foreign(void *arg, const char *name, uint64_t bytes)
{
	struct contents *c = arg;
	uint64_t number;

	switch (file_name_parse(name, &number)) {
	case FILE_LOCK:
	case FILE_MANIFEST:
	case FILE_TEMP:
		return 0;
	default:
		break;
	}
	if (!strcmp(name, "lost+found"))
		return 0;
	logger_printf(c->log, LSM_LOG_ERROR,
		      "%s: not a store: there is a '%s' but no CURRENT",
		      c->path, name);
	return -ENOTEMPTY;
}

/* Decides whether the directory may be opened, before anything is changed. */
static int check_directory(struct lsm_db *db, const char *path)
{
	struct contents c = {.log = &db->log, .path = path};
	int err = env_dir_list(db->dir, look_at_name, &c);

	if (err)
		return err;
	if (c.current) {
		if (!db->opt.error_if_exists)
			return 0;
		logger_printf(&db->log, LSM_LOG_ERROR,
			      "%s: there is a store already", path);
		return -EEXIST;
	}
	err = env_dir_list(db->dir, find_foreign, &c);
	if (!err && (db->opt.no_create || db->read_only)) {
		logger_printf(&db->log, LSM_LOG_ERROR, "%s: there is no store",
			      path);
		return -ENOENT;
	}
	return err;
}

static int lock_directory(struct lsm_db *db, const char *path)
{
	pid_t holder = 0;
	int err;

	/* Nothing may be changed, so there is no lock to take: reading a
	 * store that another process writes is the user's risk, and ends in an
	 * error at worst, because all that is read is checked. */
	if (db->read_only)
		return 0;
	err = env_dir_lock(db->dir, db->opt.lock_wait_ms, &holder);
	if (err == -EBUSY && holder)
		logger_printf(&db->log, LSM_LOG_ERROR,
			      "%s: in use by process %ld", path, (long)holder);
	else if (err)
		logger_printf(&db->log, LSM_LOG_ERROR, "%s: cannot lock: %s",
			      path, lsm_strerror(err));
	return err;
}

static void init_sync(struct lsm_db *db)
{
	mutex_init(&db->write_mutex);
	mutex_init(&db->pack_mutex);
	mutex_init(&db->publish_mutex);
	cond_init(&db->publish_cond);
	mutex_init(&db->mutex);
	cond_init(&db->work_cond);
	cond_init(&db->done_cond);
	cond_init(&db->timer_cond);
	mutex_init(&db->named_mutex);
	mutex_init(&db->resume_mutex);
	mutex_init(&db->reclaim.mutex);
	mutex_init(&db->events.mutex);
	cond_init(&db->events.cond);
}

static void destroy_sync(struct lsm_db *db)
{
	mutex_destroy(&db->write_mutex);
	mutex_destroy(&db->pack_mutex);
	mutex_destroy(&db->publish_mutex);
	cond_destroy(&db->publish_cond);
	mutex_destroy(&db->mutex);
	cond_destroy(&db->work_cond);
	cond_destroy(&db->done_cond);
	cond_destroy(&db->timer_cond);
	mutex_destroy(&db->named_mutex);
	mutex_destroy(&db->resume_mutex);
	mutex_destroy(&db->reclaim.mutex);
	mutex_destroy(&db->events.mutex);
	cond_destroy(&db->events.cond);
}

static struct lsm_db *db_new(const struct lsm_options *options)
{
	struct lsm_db *db = aligned_alloc(CACHE_LINE, sizeof(*db));

	if (!db)
		return NULL;
	memset(db, 0, sizeof(*db));
	if (options)
		db->opt = *options;
	options_complete(&db->opt);
	db->log = (struct logger){.fn = db->opt.log,
				  .arg = db->opt.log_arg,
				  .level = db->opt.log_level};
	options_for_tree(&db->opt, &db->log, &db->tree_opt);
	db->values_raw = !db->tree_opt.sst.lz4;
	db->read_only = db->opt.read_only;
	db->snapshots.next = db->snapshots.prev = &db->snapshots;
	init_sync(db);
	prefetch_init(db);
	return db;
}

static void charge_cache(void *cache, int64_t delta)
{
	cache_charge(cache, delta);
}

static int open_memory(struct lsm_db *db)
{
	struct sst_reader_options ro = {
		.map_raw = db->opt.mmap == LSM_MMAP_RAW,
		.verify_checksums = !db->opt.no_verify_checksums,
		.log = &db->log,
	};

	db->cache = cache_new(db->opt.memory_bytes);
	if (!db->cache)
		return -ENOMEM;
	db->tree_opt.sst.cache = db->cache;
	db->arenas = arena_pool_new(db->opt.write_buffer_bytes, charge_cache,
				    db->cache);
	if (!db->arenas)
		return -ENOMEM;
	ahead_init(&db->ahead, db->cache);
	ro.cache = db->cache;
	ro.ahead = &db->ahead;
	db->tables = table_cache_new(db->dir, db->opt.max_open_tables, &ro);
	if (!db->tables)
		return -ENOMEM;
	db->collect_limiter = rate_limiter_new(
		db->opt.blob_gc_rate_bytes ? db->opt.blob_gc_rate_bytes
					   : PACE_COLLECT_BYTES);
	if (!db->collect_limiter)
		return -ENOMEM;
	if (db->opt.rate_limit_bytes) {
		db->limiter = rate_limiter_new(db->opt.rate_limit_bytes);
		if (!db->limiter)
			return -ENOMEM;
	}
	return 0;
}

static int open_directory(struct lsm_db *db, const char *path)
{
	unsigned flags = 0;
	int err;

	if (db->read_only)
		flags |= ENV_DIR_READ_ONLY;
	else if (!db->opt.no_create)
		flags |= ENV_DIR_CREATE;
	err = env_dir_open(db->opt.env, path, flags, &db->dir);
	if (err) {
		logger_printf(&db->log, LSM_LOG_ERROR, "%s: %s", path,
			      lsm_strerror(err));
		return err;
	}
	/* Looked at twice: before the lock leaves a file in a directory that
	 * is not ours, and after it, when no other process is at work. */
	err = check_directory(db, path);
	if (err)
		return err;
	err = lock_directory(db, path);
	return err ? err : check_directory(db, path);
}

static void db_free(struct lsm_db *db)
{
	if (db->sv)
		sv_close(db);
	for (unsigned i = 0; i < db->imm_count; i++)
		db_mem_put(db->imm[i]);
	if (db->active)
		db_mem_put(db->active);
	mutex_lock(&db->write_mutex);
	db_direct_put_list(db_direct_take_dirty_locked(db));
	mutex_unlock(&db->write_mutex);
	direct_packs_free(db);
	while (db->oldest_wal) {
		struct db_wal *w = db->oldest_wal;

		db->oldest_wal = w->next;
		/* Trimmed: the space reserved is not kept from others. */
		wal_writer_close(w->writer, true);
		free(w);
	}
	if (db->vs.mutex)
		version_set_close(&db->vs);
	if (db->tables)
		table_cache_free(db->tables);
	if (db->cache) {
		ahead_release(&db->ahead);
		epoch_barrier();
		arena_pool_free(db->arenas);
		cache_free(db->cache);
	}
	rate_limiter_free(db->limiter);
	rate_limiter_free(db->collect_limiter);
	buf_release(&db->reclaim.keys);
	if (db->dir)
		env_dir_close(db->dir);
	prefetch_release(db);
	destroy_sync(db);
	free(db);
}

int lsm_open(const char *path, const struct lsm_options *options,
	     struct lsm_db **out)
{
	struct lsm_db *db;
	int err;

	*out = NULL;
	if (!path || !*path)
		return -EINVAL;
	db = db_new(options);
	if (!db)
		return -ENOMEM;
	err = open_directory(db, path);
	if (!err)
		err = open_memory(db);
	if (!err)
		err = version_set_open(&db->vs, &db->mutex, db->dir, db->tables,
				       &db->log, !db->opt.no_create,
				       db->read_only);
	if (!err)
		err = recover(db);
	if (!err && !db->read_only)
		err = version_set_delete_strays(&db->vs);
	if (!err && !db->read_only)
		err = background_start(db);
	if (err) {
		logger_printf(&db->log, LSM_LOG_ERROR, "%s: cannot open: %s",
			      path, lsm_strerror(err));
		background_stop(db);
		db_free(db);
		return err;
	}
	mutex_lock(&db->mutex);
	db->reclaim.estimate_due = db->vs.current->has_ranges;
	background_wake_locked(db);
	mutex_unlock(&db->mutex);
	*out = db;
	return 0;
}

/* An obsolete log that was kept to be overwritten. */
static void delete_spare_log(struct lsm_db *db)
{
	char name[FILE_NAME_MAX];

	if (!db->free_wal || db_error(db))
		return;
	file_name(name, FILE_WAL, db->free_wal);
	/* If it stays the next open removes it. */
	(void)env_dir_delete(db->dir, name);
	db->free_wal = 0;
}

int lsm_close(struct lsm_db *db)
{
	int err;

	if (!db)
		return 0;
	/* What was only to be on the safe side is given up. */
	ahead_stop(&db->ahead);
	err = lsm_sync(db);
	/* Tables are checked whole and open fast; a log that no later record
	 * vouches for would have its damage taken for a torn tail. When this
	 * fails nothing is lost: the log was synced. */
	if (!err && !db->read_only)
		(void)lsm_flush(db);
	background_stop(db);
	if (!db->read_only) {
		sv_reap(db);
		delete_spare_log(db);
	}
	db_free(db);
	return err;
}
