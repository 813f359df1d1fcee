/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.c - a copy of the store in another directory, by hard links.
 *
 * Tables never change, so a copy of the store is their names, linked, and a
 * manifest of its own. What is only in memory and in the logs is flushed first,
 * so no log is copied. A version and the last sequence in tables, taken
 * together under db->mutex, are a prefix of the history: a flush installs both
 * at once. Snapshots that were named after that are left out: their numbers
 * would lie in the copy's future.
 *
 * CURRENT is written last, when everything it leads to is durable. Until then
 * the directory is no store; when something fails, CURRENT is the first to go,
 * and nothing else is touched before that is durable.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lsm/db/db_impl.h"
#include "lsm/tree/manifest.h"

struct checkpoint {
	struct lsm_db *db;
	const char *path;
	struct env_dir *to;
	struct version *version; /* reference held */
	struct version_edit state;
	uint64_t manifest;
	size_t linked, linked_blobs;
	bool has_store, foreign; /* what was found in the directory */
};

static int look_at_name(void *arg, const char *name, uint64_t bytes)
{
	struct checkpoint *c = arg;
	uint64_t number;
	enum file_kind kind = file_name_parse(name, &number);

	if (kind == FILE_CURRENT)
		c->has_store = true;
	else if (kind != FILE_LOCK && strcmp(name, "lost+found"))
		c->foreign = true;
	return 0;
}

static int check_empty(struct checkpoint *c)
{
	int err = env_dir_list(c->to, look_at_name, c);

	if (err)
		return err;
	return c->has_store ? -EEXIST : c->foreign ? -ENOTEMPTY : 0;
}

static int open_target(struct checkpoint *c)
{
	int err = env_dir_open(c->db->opt.env, c->path, ENV_DIR_CREATE, &c->to);

	/* Before the lock leaves a file in a directory that is not ours, and
	 * after it, when no other process is at work. */
	if (!err)
		err = check_empty(c);
	if (!err)
		err = env_dir_lock(c->to, 0, NULL);
	return err ? err : check_empty(c);
}

static int names_locked(struct checkpoint *c) REQUIRES(c->db->mutex)
{
	struct version_set *vs = &c->db->vs;
	int err = 0;

	for (size_t i = 0; i < vs->named_count && !err; i++)
		if (vs->named[i].seq <= vs->last_seq)
			err = version_edit_snapshot(&c->state, true,
						    vs->named[i].name,
						    vs->named[i].seq);
	return err;
}

/* Takes the state and keeps its tables from being deleted. */
static int pin_state(struct checkpoint *c)
{
	struct version_set *vs = &c->db->vs;
	struct version_edit *e = &c->state;
	uint8_t uuid[UUID_BYTES];
	int err;

	/* A store of its own, which goes its own way from here on. */
	if (getrandom(uuid, UUID_BYTES, 0) != UUID_BYTES)
		return errno ? -errno : -EIO;
	mutex_lock(&c->db->mutex);
	c->version = vs->current;
	version_ref(c->version);
	e->last_seq = vs->last_seq;
	err = names_locked(c);
	mutex_unlock(&c->db->mutex);
	if (!err)
		err = manifest_state_edit(c->version, NULL, 0, uuid, e);
	/* Above every table of the version: those have their numbers. */
	c->manifest =
		atomic_load_explicit(&vs->next_file, memory_order_relaxed);
	e->has_next_file = e->has_log_number = e->has_last_seq = true;
	e->next_file = c->manifest + 1;
	e->log_number = e->next_file;
	return err;
}

static void unpin_state(struct checkpoint *c)
{
	struct lsm_db *db = c->db;

	if (!c->version)
		return;
	version_put(c->version);
	/* What was replaced meanwhile may have been kept only by us. */
	mutex_lock(&db->mutex);
	db->cleanup_due = true;
	background_wake_locked(db);
	mutex_unlock(&db->mutex);
}

static int link_tables(struct checkpoint *c)
{
	char name[FILE_NAME_MAX];
	int err = 0;

	for (size_t i = 0; i < c->state.added_count && !err; i++) {
		file_name(name, FILE_SST, c->state.added[i].meta.number);
		err = env_dir_link(c->db->dir, name, c->to);
		c->linked += !err;
	}
	for (size_t i = 0; i < c->state.blob_count && !err; i++) {
		file_name(name, FILE_BLOB, c->state.blobs[i].meta.number);
		err = env_dir_link(c->db->dir, name, c->to);
		c->linked_blobs += !err;
	}
	return err;
}

static int write_manifest(struct checkpoint *c)
{
	struct wal_writer *w;
	int err =
		manifest_create(c->to, &c->db->log, c->manifest, &c->state, &w);

	return err ? err : wal_writer_close(w, true);
}

/* Whatever fails here is left to who deletes the directory. */
static void roll_back(struct checkpoint *c)
{
	char name[FILE_NAME_MAX];
	int err;

	file_name(name, FILE_CURRENT, 0);
	err = env_dir_delete(c->to, name);
	if (!err)
		err = env_dir_sync(c->to);
	if (err && err != -ENOENT)
		return;
	file_name(name, FILE_MANIFEST, c->manifest);
	(void)env_dir_delete(c->to, name);
	while (c->linked) {
		c->linked--;
		file_name(name, FILE_SST,
			  c->state.added[c->linked].meta.number);
		(void)env_dir_delete(c->to, name);
	}
	while (c->linked_blobs) {
		c->linked_blobs--;
		file_name(name, FILE_BLOB,
			  c->state.blobs[c->linked_blobs].meta.number);
		(void)env_dir_delete(c->to, name);
	}
	(void)env_dir_sync(c->to);
}

static int fill(struct checkpoint *c)
{
	int err = lsm_flush(c->db);

	if (!err)
		err = pin_state(c);
	if (err)
		return err;
	err = link_tables(c);
	if (!err)
		err = write_manifest(c);
	if (err)
		roll_back(c);
	return err;
}

int lsm_checkpoint(struct lsm_db *db, const char *dir)
{
	struct checkpoint c = {.db = db, .path = dir};
	int err;

	if (!dir || !*dir)
		return -EINVAL;
	if (db->read_only)
		return -EROFS;
	err = open_target(&c);
	if (!err)
		err = fill(&c);
	unpin_state(&c);
	version_edit_release(&c.state);
	env_dir_close(c.to);
	if (err)
		logger_printf(&db->log, LSM_LOG_ERROR,
			      "%s: no checkpoint was made: %s", dir,
			      lsm_strerror(err));
	return err;
}
