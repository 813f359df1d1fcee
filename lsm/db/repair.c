/* SPDX-License-Identifier: MIT */
/*
 * repair.c - lsm_repair(): a store that does not open, made to open.
 *
 * First the store is opened read-only and verified: what passes is left alone.
 * Then, if only CURRENT is gone, it is written again. Else everything that can
 * be read is merged into one level, and a new manifest names that.
 *
 * Why a merge, instead of putting the tables into level 0: a lookup there takes
 * the first table that has the key, and no order of whole tables is right for
 * every key once tables of several levels, and inputs beside outputs of a
 * compaction, are mixed. Merged, every entry is ordered by its own tag.
 *
 * The manifest that CURRENT names, or without CURRENT the newest, is believed
 * when it can be read: then the tables it does not name are left out. An older
 * manifest is never used, it may not know of tables whose logs are gone. If
 * none is to be had all tables and logs count.
 */
#include "lsm/db/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define LINE_MAX_BYTES 512

void repair_say(struct repair *r, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	logger_printf(&r->log, LSM_LOG_INFO, "repair: %s", line);
	if (r->report)
		r->report(r->report_arg, line);
}

bool repair_is_damage(int err)
{
	return err == -EUCLEAN || err == -EIO || err == -ENODATA;
}

void repair_env(struct repair *r, struct compact_env *env)
{
	*env = (struct compact_env){.vs = &r->vs,
				    .options = &r->tree_opt,
				    .keep_handle = repair_keep_handle,
				    .keep_arg = r,
				    .snapshots = r->snapshots,
				    .snapshot_count = r->snapshot_count};
}

/* ---- what lies there ---- */

static int note_file(void *arg, const char *name, uint64_t bytes)
{
	struct repair *r = arg;
	uint64_t number;
	enum file_kind kind = file_name_parse(name, &number);

	if (kind == FILE_CURRENT)
		r->has_current = true;
	if (kind == FILE_BLOB && number > r->blob_number_max)
		r->blob_number_max = number;
	if (kind != FILE_SST && kind != FILE_WAL && kind != FILE_MANIFEST)
		return 0;
	if (r->file_count == r->file_cap) {
		size_t cap = r->file_cap ? 2 * r->file_cap : 64;
		void *p = reallocarray(r->files, cap, sizeof(*r->files));

		if (!p)
			return -ENOMEM;
		r->files = p;
		r->file_cap = cap;
	}
	r->files[r->file_count++] =
		(struct repair_file){.kind = kind, .number = number};
	return 0;
}

static int cmp_files(const void *a, const void *b)
{
	const struct repair_file *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int list_files(struct repair *r)
{
	int err;

	r->file_count = 0;
	r->has_current = false;
	err = env_dir_list(r->dir, note_file, r);
	if (!err && r->file_count)
		qsort(r->files, r->file_count, sizeof(*r->files), cmp_files);
	return err;
}

struct repair_file *repair_find(struct repair *r, enum file_kind kind,
				uint64_t number)
{
	struct repair_file key = {.kind = kind, .number = number};

	return r->file_count ? bsearch(&key, r->files, r->file_count,
				       sizeof(key), cmp_files)
			     : NULL;
}

/* ---- is it sound? ---- */

/* 0, damage, or an error that forbids going on. */
static int check_store(struct repair *r, bool verify)
{
	struct lsm_db *db;
	int err = lsm_open(r->path, &r->check_opt, &db), closed;

	if (err)
		return err;
	if (verify)
		err = lsm_verify(db, NULL, NULL);
	closed = lsm_close(db);
	return err ? err : closed;
}

/* What lsm_open() says of a store without CURRENT, too. */
static bool may_repair(int err)
{
	return repair_is_damage(err) || err == -ENOENT || err == -ENOTEMPTY;
}

static int take_names(struct repair *r)
{
	size_t n = r->state.named_count;

	r->snapshots = calloc(n ? n : 1, sizeof(*r->snapshots));
	if (!r->snapshots)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t seq = r->state.named[i].seq;
		size_t k = r->snapshot_count;

		/* few, and mostly ascending already */
		while (k && r->snapshots[k - 1] > seq)
			k--;
		if (k && r->snapshots[k - 1] == seq)
			continue;
		memmove(&r->snapshots[k + 1], &r->snapshots[k],
			(r->snapshot_count - k) * sizeof(seq));
		r->snapshots[k] = seq;
		r->snapshot_count++;
	}
	return 0;
}

/* Reads the manifest, and gives CURRENT back when that is all there is to do:
 * then *done. */
static int find_manifest(struct repair *r, bool *done)
{
	struct repair_file *newest = NULL;
	char name[FILE_NAME_MAX];
	uint64_t number = 0;
	int current = manifest_current(r->dir, &r->log, &number), err;

	for (size_t i = 0; i < r->file_count; i++)
		if (r->files[i].kind == FILE_MANIFEST)
			newest = &r->files[i];
	if (current && current != -ENOENT && !repair_is_damage(current))
		return current;
	if (current)
		repair_say(r, "CURRENT is %s",
			   current == -ENOENT ? "missing" : "damaged");
	if (current && newest)
		number = newest->number;
	file_name(name, FILE_MANIFEST, number);
	err = number ? manifest_read(&r->vs, number, &r->state) : -EUCLEAN;
	if (repair_is_damage(err)) {
		repair_say(r,
			   "%s: no list of tables can be read; all tables "
			   "and logs are used, named snapshots are lost",
			   number ? name : "MANIFEST");
		for (size_t i = 0; i < r->file_count; i++)
			r->files[i].bad |= r->files[i].kind == FILE_MANIFEST;
		return 0;
	}
	if (err)
		return err;
	r->known = true;
	r->last_seq = r->state.last_seq;
	if (current) {
		err = manifest_set_current(r->dir, number);
		if (err)
			return err;
		repair_say(r, "CURRENT names %s again", name);
		err = check_store(r, true);
		*done = !err;
		if (err && !may_repair(err))
			return err;
	}
	return take_names(r);
}

/* ---- the new state ---- */

static int write_state(struct repair *r, struct version_edit *edit)
{
	uint64_t number = version_set_new_file(&r->vs);
	struct wal_writer *w;
	int err = 0;

	edit->has_header = true;
	edit->header.format = MANIFEST_FORMAT;
	if (r->known)
		memcpy(edit->header.uuid, r->state.uuid, UUID_BYTES);
	else if (getrandom(edit->header.uuid, UUID_BYTES, 0) != UUID_BYTES)
		return errno ? -errno : -EIO;
	edit->has_next_file = edit->has_log_number = edit->has_last_seq = true;
	edit->next_file = number + 1;
	edit->log_number = number + 1;
	edit->last_seq = r->last_seq;
	for (size_t i = 0; i < r->state.named_count && !err; i++)
		err = version_edit_snapshot(edit, true, r->state.named[i].name,
					    r->state.named[i].seq);
	if (!err)
		err = manifest_create(r->dir, &r->log, number, edit, &w);
	return err ? err : wal_writer_close(w, true);
}

/* The files of before, and tables made on the way. What cannot be deleted is
 * swept up by the next open. */
static void clear_away(struct repair *r, const struct version_edit *edit)
{
	char name[FILE_NAME_MAX], bad[FILE_NAME_MAX + 8];
	uint64_t merged = edit->added_count ? edit->added[0].meta.number : 0;
	int err;

	for (size_t i = 0; i < r->file_count; i++) {
		struct repair_file *f = &r->files[i];

		file_name(name, f->kind, f->number);
		snprintf(bad, sizeof(bad), "%s.bad", name);
		err = f->bad ? env_dir_rename(r->dir, name, bad)
			     : env_dir_delete(r->dir, name);
		if (!err && f->bad)
			repair_say(r, "%s: kept as %s", name, bad);
		else if (err)
			repair_say(r, "%s: cannot be %s: %s", name,
				   f->bad ? "renamed" : "deleted",
				   lsm_strerror(err));
	}
	/* Salvaged ones and those of the logs, all older than the outputs. */
	for (size_t i = 0; i < r->input_count; i++) {
		uint64_t n = r->inputs[i]->meta.number;

		if (n < r->first_made || (merged && n >= merged))
			continue;
		file_name(name, FILE_SST, n);
		(void)env_dir_delete(r->dir, name);
	}
	repair_set_blobs_aside(r);
	err = env_dir_sync(r->dir);
	if (err)
		repair_say(r, "the directory cannot be synced: %s",
			   lsm_strerror(err));
}

/* After an error: the store is as it was. */
static void remove_made(struct repair *r)
{
	uint64_t end =
		atomic_load_explicit(&r->vs.next_file, memory_order_relaxed);
	char name[FILE_NAME_MAX];

	for (uint64_t n = r->first_made; r->first_made && n < end; n++) {
		file_name(name, FILE_SST, n);
		(void)env_dir_delete(r->dir, name);
		file_name(name, FILE_BLOB, n);
		(void)env_dir_delete(r->dir, name);
	}
}

static int rebuild(struct repair *r)
{
	struct version_edit edit = {0};
	struct compact_env env;
	uint64_t entries = 0;
	int err;

	for (size_t i = 0; i < r->file_count; i++)
		version_set_use_file(&r->vs, r->files[i].number);
	if (r->known && r->state.next_file)
		version_set_use_file(&r->vs, r->state.next_file - 1);
	version_set_use_file(&r->vs, r->blob_number_max);
	r->first_made =
		atomic_load_explicit(&r->vs.next_file, memory_order_relaxed);
	err = repair_tables(r);
	if (!err)
		err = repair_logs(r);
	repair_env(r, &env);
	if (!err)
		err = merge_all_tables(&env, r->inputs, r->input_count,
				       LSM_LEVELS - 1, &edit);
	if (!err)
		err = repair_add_blobs(r, &edit);
	for (size_t i = 0; i < edit.added_count; i++)
		entries += edit.added[i].meta.entries;
	if (!err)
		repair_say(r, "%zu tables merged into %zu, %" PRIu64 " entries",
			   r->input_count, edit.added_count, entries);
	if (!err) {
		err = write_state(r, &edit);
		if (!err)
			clear_away(r, &edit);
		/* else CURRENT may name it: nothing may be removed */
	} else {
		remove_made(r);
	}
	version_edit_release(&edit);
	return err;
}

/* ---- life ---- */

static int repair_open(struct repair *r, const struct lsm_options *options)
{
	struct sst_reader_options ro = {.verify_checksums = true,
					.log = &r->log};
	int err;

	if (options)
		r->opt = *options;
	r->opt.event_fn = NULL;
	r->check_opt = r->opt;
	r->check_opt.read_only = r->check_opt.no_create = true;
	r->check_opt.error_if_exists = false;
	options_complete(&r->opt);
	r->log = (struct logger){.fn = r->opt.log,
				 .arg = r->opt.log_arg,
				 .level = r->opt.log_level};
	options_for_tree(&r->opt, &r->log, &r->tree_opt);
	r->tree_opt.blob_bytes = 0; /* what logs hold stays in tables */
	mutex_init(&r->mutex);
	err = env_dir_open(r->opt.env, r->path, 0, &r->dir);
	/* Before the lock leaves a file in a directory that is not ours. */
	if (!err)
		err = list_files(r);
	if (!err && !r->file_count && !r->has_current)
		err = -ENOENT;
	if (!err)
		err = env_dir_lock(r->dir, r->opt.lock_wait_ms, NULL);
	if (!err)
		err = list_files(r);
	if (err)
		return err;
	r->cache = cache_new(r->opt.memory_bytes);
	ro.cache = r->cache;
	if (r->cache)
		r->tables =
			table_cache_new(r->dir, r->opt.max_open_tables, &ro);
	if (!r->tables)
		return -ENOMEM;
	version_set_init(&r->vs, &r->mutex, r->dir, r->tables, &r->log);
	r->vs_open = true;
	return 0;
}

static void repair_close(struct repair *r)
{
	manifest_state_release(&r->state);
	while (r->input_count)
		table_file_put(r->inputs[--r->input_count]);
	free(r->inputs);
	free(r->snapshots);
	free(r->files);
	if (r->vs_open) {
		repair_blobs_release(r);
		version_set_close(&r->vs);
	}
	if (r->tables)
		table_cache_free(r->tables);
	if (r->cache) {
		epoch_barrier();
		cache_free(r->cache);
	}
	env_dir_close(r->dir);
	mutex_destroy(&r->mutex);
}

static int repair_run(struct repair *r)
{
	bool done = false;
	int err = check_store(r, true);

	if (!err) {
		repair_say(r, "the store is sound; nothing was changed");
		return 0;
	}
	if (!may_repair(err))
		return err;
	err = find_manifest(r, &done);
	if (!err && !done)
		err = rebuild(r);
	/* What is said to open, opens. */
	if (!err && !done)
		err = check_store(r, false);
	return err;
}

int lsm_repair(const char *path, const struct lsm_options *options,
	       void (*report)(void *arg, const char *line), void *arg)
{
	struct repair r = {.path = path, .report = report, .report_arg = arg};
	int err;

	if (!path || !*path)
		return -EINVAL;
	err = repair_open(&r, options);
	if (!err)
		err = repair_run(&r);
	repair_close(&r);
	return err;
}
