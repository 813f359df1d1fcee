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
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

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

static void delete_file(struct version_set *vs, enum file_kind kind,
			uint64_t number)
{
	char name[FILE_NAME_MAX];
	int err;

	file_name(name, kind, number);
	err = env_dir_delete(vs->dir, name);
	if (err)
		logger_printf(vs->log, LSM_LOG_WARN,
			      "%s: cannot delete: error %d", name, err);
}

static struct table_file *detach_obsolete(struct version_set *vs, bool always,
					  struct blob_file **blobs)
{
	struct table_file *list = NULL;

	*blobs = NULL;

	mutex_lock(&vs->obsolete_mutex);
	if (always || !vs->keep_obsolete) {
		list = vs->obsolete;
		vs->obsolete = NULL;
		*blobs = vs->obsolete_blobs;
		vs->obsolete_blobs = NULL;
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
			delete_file(vs, FILE_SST, f->meta.number);
		table_file_free(f);
	}
}

static void free_blobs(struct version_set *vs, struct blob_file *list,
		       bool unlink)
{
	while (list) {
		struct blob_file *f = list;

		list = f->next_obsolete;
		blob_files_evict(&vs->blobs, &f->slot);
		if (f->dropped && unlink)
			delete_file(vs, FILE_BLOB, f->meta.number);
		blob_file_free(f);
	}
}

void version_set_delete_obsolete(struct version_set *vs)
{
	struct blob_file *blobs;

	free_obsolete(vs, detach_obsolete(vs, false, &blobs), true);
	free_blobs(vs, blobs, true);
}

void version_set_free_obsolete(struct version_set *vs)
{
	struct blob_file *blobs;

	free_obsolete(vs, detach_obsolete(vs, true, &blobs),
		      !vs->keep_obsolete);
	free_blobs(vs, blobs, !vs->keep_obsolete);
}

/* ---- changes ------------------------------------------------------------ */

void named_snapshots_free(struct named_snapshot *named, size_t count)
{
	while (count)
		free(named[--count].name);
	free(named);
}

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

/* blobs: what edit does to the blob files. */
static int write_edit(struct version_set *vs, const struct version_edit *edit,
		      const struct version_edit *blobs)
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
	if (!err)
		err = version_edit_encode(blobs, &rec);
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
	for (i = 0; i < c->gone_blob_count; i++)
		c->gone_blobs[i]->dropped = true;
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
		err = write_edit(vs, edit, &change.blob_edit);
	if (!err)
		install(vs, &change, &named, edit, installed, arg);
	/* Nothing that holds data names them, once a fresh manifest is there;
	 * until then keep_obsolete keeps them. */
	for (i = 0; err && i < change.fresh_count; i++)
		change.fresh[i]->dropped = true;
	for (i = 0; err && i < change.fresh_blob_count; i++)
		change.fresh_blobs[i]->dropped = !edit->blobs[i].keep;
	/* With the manifest in doubt the edit may be in it: what it took out
	 * must get no new users until version_set_resume(). */
	if (err && !vs->manifest_err)
		version_keep_blobs(vs, change.gone_blobs,
				   change.gone_blob_count);
	version_change_release(&change);
	named_snapshots_free(named.named, named.count);
	mutex_unlock(&vs->apply_mutex);
	return err;
}

/* No edit is being made. */
static void keep_all_blobs(struct version_set *vs)
{
	struct version *v = vs->current;

	for (size_t i = 0; i < v->blob_count; i++)
		version_keep_blobs(vs, &v->blobs[i].file, 1);
}

int version_set_resume(struct version_set *vs)
{
	int err = 0;

	mutex_lock(&vs->apply_mutex);
	if (vs->manifest_err) {
		err = manifest_roll(vs);
		if (!err) {
			vs->manifest_err = 0;
			keep_all_blobs(vs);
			mutex_lock(&vs->obsolete_mutex);
			vs->keep_obsolete = false;
			mutex_unlock(&vs->obsolete_mutex);
		}
	}
	mutex_unlock(&vs->apply_mutex);
	return err;
}
