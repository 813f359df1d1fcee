/* SPDX-License-Identifier: MIT */
/*
 * version_set_open.c - from a directory to a version set, and back: recovery,
 * the check that every table is there and whole, and clearing away what no
 * manifest names.
 *
 * One look at the directory serves all of it: it tells the sizes of the tables,
 * raises the file counter above every number in use (files may be newer than
 * the last edit), and shows whether a missing CURRENT means an empty directory
 * or a damaged store.
 *
 * One thread, before any other knows the set, or after all have left it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lsm/tree/manifest.h"
#include "lsm/tree/version_build.h"

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Blob files that are open at once. */
#define BLOB_FILES_OPEN_MAX 256

struct strays {
	uint64_t *live; /* sorted */
	size_t live_count;
	uint64_t manifest;
	char (*name)[FILE_NAME_MAX];
	size_t count, cap;
};

static bool is_stray(const struct strays *s, const char *name)
{
	uint64_t number;

	switch (file_name_parse(name, &number)) {
	case FILE_SST:
	case FILE_BLOB: /* one counter numbers all */
		return !bsearch(&number, s->live, s->live_count, sizeof(number),
				cmp_u64);
	case FILE_MANIFEST:
		return number != s->manifest;
	case FILE_TEMP:
		return true;
	default:
		return false;
	}
}

static int note_stray(void *arg, const char *name, uint64_t bytes)
{
	struct strays *s = arg;

	/* A name longer than ours can be is a temporary of someone else. */
	if (strlen(name) >= FILE_NAME_MAX || !is_stray(s, name))
		return 0;
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		void *p = reallocarray(s->name, cap, sizeof(*s->name));

		if (!p)
			return -ENOMEM;
		s->name = p;
		s->cap = cap;
	}
	strcpy(s->name[s->count++], name);
	return 0;
}

int version_set_delete_strays(struct version_set *vs)
{
	struct strays s = {.manifest = vs->manifest_number};
	const struct version *v = vs->current;
	unsigned level;
	size_t i, n = v->blob_count;
	int err = 0;

	for (level = 0; level < LSM_LEVELS; level++)
		n += v->count[level];
	s.live = calloc(n ? n : 1, sizeof(*s.live));
	if (!s.live)
		return -ENOMEM;
	for (level = 0; level < LSM_LEVELS; level++)
		for (i = 0; i < v->count[level]; i++)
			s.live[s.live_count++] =
				v->level[level][i]->meta.number;
	for (i = 0; i < v->blob_count; i++)
		s.live[s.live_count++] = v->blobs[i].file->meta.number;
	qsort(s.live, n, sizeof(*s.live), cmp_u64);
	err = env_dir_list(vs->dir, note_stray, &s);
	for (i = 0; !err && i < s.count; i++) {
		logger_printf(vs->log, LSM_LOG_INFO, "%s: deleted, not in use",
			      s.name[i]);
		err = env_dir_delete(vs->dir, s.name[i]);
	}
	free(s.live);
	free(s.name);
	return err;
}

/* ---- open and close ----------------------------------------------------- */

struct found_table {
	uint64_t number, bytes;
	enum file_kind kind;
};

/* What lies in the directory. */
struct found {
	struct version_set *vs;
	struct found_table *table;
	size_t count, cap;
	bool data; /* anything that holds users' data */
};

static int note_found(void *arg, const char *name, uint64_t bytes)
{
	struct found *f = arg;
	uint64_t number = 0;
	enum file_kind kind = file_name_parse(name, &number);

	if (kind == FILE_SST || kind == FILE_WAL || kind == FILE_BLOB)
		f->data = true;
	if (number)
		version_set_use_file(f->vs, number);
	if (kind != FILE_SST && kind != FILE_BLOB)
		return 0;
	if (f->count == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		void *p = reallocarray(f->table, cap, sizeof(*f->table));

		if (!p)
			return -ENOMEM;
		f->table = p;
		f->cap = cap;
	}
	f->table[f->count].kind = kind;
	f->table[f->count].number = number;
	f->table[f->count++].bytes = bytes;
	return 0;
}

static int cmp_found(const void *a, const void *b)
{
	const struct found_table *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

/* A table or blob file must be there, and whole. */
static int check_file(struct version_set *vs, const struct found *found,
		      enum file_kind kind, uint64_t number, uint64_t bytes)
{
	struct found_table key = {.number = number, .kind = kind}, *f;
	char name[FILE_NAME_MAX];

	f = found->count ? bsearch(&key, found->table, found->count,
				   sizeof(key), cmp_found)
			 : NULL;
	if (f && f->bytes == bytes)
		return 0;
	file_name(name, kind, number);
	return f ? log_corrupt(vs->log, name, f->bytes,
			       "is %" PRIu64 " bytes long, not %" PRIu64,
			       f->bytes, bytes)
		 : log_corrupt(vs->log, name, 0, "missing");
}

/* Every table must be there, and whole. All that are not are logged. */
static int check_tables(struct version_set *vs, const struct found *found)
{
	const struct version *v = vs->current;
	unsigned level;
	size_t i;
	int err = 0, one;

	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; i < v->count[level]; i++) {
			const struct sst_meta *m = &v->level[level][i]->meta;

			one = check_file(vs, found, FILE_SST, m->number,
					 m->file_bytes);
			err = err ? err : one;
		}
	}
	for (i = 0; i < v->blob_count; i++) {
		const struct blob_meta *m = &v->blobs[i].file->meta;

		one = check_file(vs, found, FILE_BLOB, m->number,
				 m->file_bytes);
		err = err ? err : one;
	}
	return err;
}

static int recover(struct version_set *vs, uint64_t number,
		   const struct found *found)
{
	struct manifest_state state;
	size_t i;
	int err;

	err = manifest_read(vs, number, &state);
	if (err)
		return err;
	err = version_new_blobs(vs, state.level, state.count, state.blobs,
				state.blob_count, &vs->current);
	if (!err) {
		memcpy(vs->uuid, state.uuid, UUID_BYTES);
		if (state.next_file)
			version_set_use_file(vs, state.next_file - 1);
		vs->log_number = state.log_number;
		vs->last_seq = state.last_seq;
		vs->manifest_number = number;
		vs->named = state.named;
		vs->named_count = state.named_count;
		state.named = NULL;
		state.named_count = 0;
		err = check_tables(vs, found);
	}
	for (i = 0; i < vs->named_count; i++)
		if (vs->named[i].seq < vs->oldest_snapshot)
			vs->oldest_snapshot = vs->named[i].seq;
	manifest_state_release(&state);
	return err;
}

static int create(struct version_set *vs, const struct found *found)
{
	struct table_file **level[LSM_LEVELS] = {0};
	const size_t count[LSM_LEVELS] = {0};
	char name[FILE_NAME_MAX];

	/* An empty store over someone's tables would delete them all. */
	file_name(name, FILE_CURRENT, 0);
	if (found->data)
		return log_corrupt(vs->log, name, 0,
				   "missing, but there are tables or logs");
	if (getrandom(vs->uuid, UUID_BYTES, 0) != UUID_BYTES)
		return errno ? -errno : -EIO;
	return version_new(vs, level, count, &vs->current);
}

void version_set_init(struct version_set *vs, struct mutex *mutex,
		      struct env_dir *dir, struct table_cache *tables,
		      const struct logger *log)
{
	memset(vs, 0, sizeof(*vs));
	vs->mutex = mutex;
	mutex_init(&vs->apply_mutex);
	mutex_init(&vs->obsolete_mutex);
	vs->dir = dir;
	vs->tables = tables;
	vs->log = log;
	vs->oldest_snapshot = SEQ_MAX;
	atomic_init(&vs->next_file, 1);
	blob_files_init(&vs->blobs, dir, table_cache_blocks(tables), log,
			BLOB_FILES_OPEN_MAX);
}

int version_set_open(struct version_set *vs, struct mutex *mutex,
		     struct env_dir *dir, struct table_cache *tables,
		     const struct logger *log, bool may_create, bool read_only)
{
	struct found found = {.vs = vs};
	uint64_t number;
	int err;

	version_set_init(vs, mutex, dir, tables, log);
	err = env_dir_list(dir, note_found, &found);
	if (err)
		goto out;
	if (found.count)
		qsort(found.table, found.count, sizeof(*found.table),
		      cmp_found);
	err = manifest_current(dir, log, &number);
	if (!err)
		err = recover(vs, number, &found);
	else if (err == -ENOENT && may_create && !read_only)
		err = create(vs, &found);
	if (!err && !read_only)
		err = manifest_roll(vs);
out:
	free(found.table);
	if (err)
		version_set_close(vs);
	return err;
}

void version_set_close(struct version_set *vs)
{
	assert(!vs->running);
	if (vs->current)
		version_put(vs->current);
	version_set_free_obsolete(vs);
	if (vs->manifest)
		wal_writer_close(vs->manifest, false);
	named_snapshots_free(vs->named, vs->named_count);
	blob_files_release(&vs->blobs);
	free(vs->pins);
	mutex_destroy(&vs->apply_mutex);
	mutex_destroy(&vs->obsolete_mutex);
	memset(vs, 0, sizeof(*vs));
}
