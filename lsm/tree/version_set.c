/* SPDX-License-Identifier: MIT */
/*
 * version_set.c - the present version, how it changes, and what becomes of the
 * tables that no version holds.
 *
 * A change goes: build the next version; append the edit to the manifest and
 * sync; install under the database's mutex. After a failed append or sync
 * nobody knows whether the edit is on disk, so from then on nothing that either
 * outcome needs may vanish: deletions wait (keep_obsolete) until a fresh
 * manifest, written from the state in memory, has settled the question.
 *
 * A table is unlinked when its `dropped` mark is set (an edit without it is
 * durable, or its own edit failed) and its last reference is gone.
 *
 * Lock order: apply_mutex, then the database's mutex, then obsolete_mutex.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lsm/tree/manifest.h"
#include "lsm/tree/version_build.h"

/* The manifest is written afresh when it is larger than this and than
 * MANIFEST_GROWTH times the snapshot it began with. */
#define MANIFEST_ROLL_BYTES (4u << 20)
#define MANIFEST_GROWTH     4

/* A file number beyond this is not ours; it must not eat the counter. */
#define FILE_NUMBER_MAX (UINT64_MAX >> 1)

uint64_t version_set_new_file(struct version_set *vs)
{
	return atomic_fetch_add_explicit(&vs->next_file, 1,
					 memory_order_relaxed);
}

void version_set_use_file(struct version_set *vs, uint64_t number)
{
	uint64_t next =
		atomic_load_explicit(&vs->next_file, memory_order_relaxed);

	if (number > FILE_NUMBER_MAX)
		return;
	while (next <= number &&
	       !atomic_compare_exchange_weak_explicit(
		       &vs->next_file, &next, number + 1, memory_order_relaxed,
		       memory_order_relaxed))
		;
}

/* ---- deleting ----------------------------------------------------------- */

static void delete_table(struct version_set *vs, struct table_file *f)
{
	char name[FILE_NAME_MAX];
	int err;

	file_name(name, FILE_SST, f->meta.number);
	err = env_dir_delete(vs->dir, name);
	if (err)
		logger_printf(vs->log, LSM_LOG_WARN,
			      "%s: cannot delete: error %d", name, err);
}

static struct table_file *detach_obsolete(struct version_set *vs, bool always)
{
	struct table_file *list = NULL;

	mutex_lock(&vs->obsolete_mutex);
	if (always || !vs->keep_obsolete) {
		list = vs->obsolete;
		vs->obsolete = NULL;
		atomic_store_explicit(&vs->obsolete_count, 0,
				      memory_order_relaxed);
	}
	mutex_unlock(&vs->obsolete_mutex);
	return list;
}

static void free_obsolete(struct version_set *vs, struct table_file *list,
			  bool unlink)
{
	while (list) {
		struct table_file *f = list;

		list = f->next_obsolete;
		table_cache_evict(vs->tables, &f->slot);
		if (f->dropped && unlink)
			delete_table(vs, f);
		table_file_free(f);
	}
}

void version_set_delete_obsolete(struct version_set *vs)
{
	free_obsolete(vs, detach_obsolete(vs, false), true);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

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
	size_t i, n = 0;
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
	if (kind != FILE_SST)
		return 0;
	if (f->count == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		void *p = reallocarray(f->table, cap, sizeof(*f->table));

		if (!p)
			return -ENOMEM;
		f->table = p;
		f->cap = cap;
	}
	f->table[f->count].number = number;
	f->table[f->count++].bytes = bytes;
	return 0;
}

static int cmp_found(const void *a, const void *b)
{
	const struct found_table *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Every table must be there, and whole. All that are not are logged. */
static int check_tables(struct version_set *vs, const struct found *found)
{
	const struct version *v = vs->current;
	char name[FILE_NAME_MAX];
	unsigned level;
	size_t i;
	int err = 0;

	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; i < v->count[level]; i++) {
			const struct sst_meta *m = &v->level[level][i]->meta;
			struct found_table key = {m->number, 0}, *f;

			f = found->count
				    ? bsearch(&key, found->table, found->count,
					      sizeof(key), cmp_found)
				    : NULL;
			if (f && f->bytes == m->file_bytes)
				continue;
			file_name(name, FILE_SST, m->number);
			err = f ? log_corrupt(vs->log, name, f->bytes,
					      "is %" PRIu64
					      " bytes long, not %" PRIu64,
					      f->bytes, m->file_bytes)
				: log_corrupt(vs->log, name, 0, "missing");
		}
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
	err = version_new(vs, state.level, state.count, &vs->current);
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

int version_set_open(struct version_set *vs, struct mutex *mutex,
		     struct env_dir *dir, struct table_cache *tables,
		     const struct logger *log, bool may_create, bool read_only)
{
	struct found found = {.vs = vs};
	uint64_t number;
	int err;

	memset(vs, 0, sizeof(*vs));
	vs->mutex = mutex;
	mutex_init(&vs->apply_mutex);
	mutex_init(&vs->obsolete_mutex);
	vs->dir = dir;
	vs->tables = tables;
	vs->log = log;
	vs->oldest_snapshot = SEQ_MAX;
	atomic_init(&vs->next_file, 1);
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

static void free_named(struct named_snapshot *named, size_t count)
{
	while (count)
		free(named[--count].name);
	free(named);
}

void version_set_close(struct version_set *vs)
{
	assert(!vs->running);
	if (vs->current)
		version_put(vs->current);
	free_obsolete(vs, detach_obsolete(vs, true), !vs->keep_obsolete);
	if (vs->manifest)
		wal_writer_close(vs->manifest, false);
	free_named(vs->named, vs->named_count);
	mutex_destroy(&vs->apply_mutex);
	mutex_destroy(&vs->obsolete_mutex);
	memset(vs, 0, sizeof(*vs));
}

/* ---- changes ------------------------------------------------------------ */

struct named_list {
	struct named_snapshot *named;
	size_t count;
};

static int named_add(struct named_list *l, const char *name, size_t len,
		     uint64_t seq)
{
	struct named_snapshot *n =
		reallocarray(l->named, l->count + 1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	l->named = n;
	n += l->count;
	n->name = strndup(name, len);
	if (!n->name)
		return -ENOMEM;
	n->seq = seq;
	l->count++;
	return 0;
}

static int named_change(struct named_list *l, const struct edit_snapshot *e)
{
	const char *name = (const char *)e->name.data;
	size_t i;

	for (i = 0; i < l->count; i++)
		if (strlen(l->named[i].name) == e->name.len &&
		    !memcmp(l->named[i].name, name, e->name.len))
			break;
	if (e->add == (i < l->count))
		return -EINVAL;
	if (e->add)
		return named_add(l, name, e->name.len, e->seq);
	free(l->named[i].name);
	l->count--;
	memmove(&l->named[i], &l->named[i + 1],
		(l->count - i) * sizeof(*l->named));
	return 0;
}

/* The named snapshots after edit, as a copy. */
static int named_after(const struct version_set *vs,
		       const struct version_edit *edit, struct named_list *out)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < vs->named_count; i++)
		err = named_add(out, vs->named[i].name,
				strlen(vs->named[i].name), vs->named[i].seq);
	for (i = 0; !err && i < edit->snapshot_count; i++)
		err = named_change(out, &edit->snapshots[i]);
	return err;
}

static int manifest_failed(struct version_set *vs, int err)
{
	if (vs->manifest) {
		wal_writer_close(vs->manifest, false);
		vs->manifest = NULL;
	}
	vs->manifest_err = err;
	mutex_lock(&vs->obsolete_mutex);
	vs->keep_obsolete = true;
	mutex_unlock(&vs->obsolete_mutex);
	logger_printf(vs->log, LSM_LOG_ERROR,
		      "MANIFEST-%06" PRIu64 ": write failed: error %d",
		      vs->manifest_number, err);
	return err;
}

static int write_edit(struct version_set *vs, const struct version_edit *edit)
{
	struct version_edit counters = {.has_next_file = true};
	struct buf rec = {0};
	uint64_t bytes, end;
	int err;

	bytes = wal_writer_bytes(vs->manifest);
	if (bytes > MANIFEST_ROLL_BYTES &&
	    bytes / MANIFEST_GROWTH > vs->manifest_base_bytes) {
		err = manifest_roll(vs);
		if (err)
			return manifest_failed(vs, err);
	}
	counters.next_file =
		atomic_load_explicit(&vs->next_file, memory_order_relaxed);
	err = version_edit_encode(&counters, &rec);
	if (!err)
		err = version_edit_encode(edit, &rec);
	if (!err) {
		err = wal_writer_append(vs->manifest, lsm_slice(NULL, 0),
					buf_slice(&rec), &end);
		if (!err)
			err = wal_writer_sync(vs->manifest);
		if (err)
			manifest_failed(vs, err);
	}
	buf_release(&rec);
	return err;
}

static void install(struct version_set *vs, struct version_change *c,
		    struct named_list *named, const struct version_edit *edit,
		    void (*installed)(void *arg), void *arg)
{
	struct version *old = vs->current;
	struct named_list old_named = {vs->named, vs->named_count};
	size_t i;

	mutex_lock(vs->mutex);
	vs->current = c->next;
	c->next = NULL;
	for (i = 0; i < c->gone_count; i++)
		c->gone[i]->dropped = true;
	if (edit->has_log_number)
		vs->log_number = edit->log_number;
	if (edit->has_last_seq && edit->last_seq > vs->last_seq)
		vs->last_seq = edit->last_seq;
	if (edit->snapshot_count) {
		vs->named = named->named;
		vs->named_count = named->count;
		*named = old_named;
	}
	if (installed)
		installed(arg);
	mutex_unlock(vs->mutex);
	version_put(old);
}

int version_set_apply(struct version_set *vs, const struct version_edit *edit,
		      void (*installed)(void *arg), void *arg)
{
	struct version_change change;
	struct named_list named = {0};
	size_t i;
	int err;

	mutex_lock(&vs->apply_mutex);
	err = version_change_init(&change, vs->current, edit);
	if (!err && edit->snapshot_count)
		err = named_after(vs, edit, &named);
	if (!err)
		err = vs->manifest_err;
	if (!err && !vs->manifest)
		err = -EROFS;
	if (!err)
		err = write_edit(vs, edit);
	if (!err)
		install(vs, &change, &named, edit, installed, arg);
	/* Nothing that holds data names them, once a fresh manifest is there;
	 * until then keep_obsolete keeps them. */
	for (i = 0; err && i < change.fresh_count; i++)
		change.fresh[i]->dropped = true;
	version_change_release(&change);
	free_named(named.named, named.count);
	mutex_unlock(&vs->apply_mutex);
	return err;
}

int version_set_resume(struct version_set *vs)
{
	int err = 0;

	mutex_lock(&vs->apply_mutex);
	if (vs->manifest_err) {
		err = manifest_roll(vs);
		if (!err) {
			vs->manifest_err = 0;
			mutex_lock(&vs->obsolete_mutex);
			vs->keep_obsolete = false;
			mutex_unlock(&vs->obsolete_mutex);
		}
	}
	mutex_unlock(&vs->apply_mutex);
	return err;
}
