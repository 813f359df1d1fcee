/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - live snapshots, a ring under db->mutex, and named ones, which
 * are edits of the manifest.
 *
 * A snapshot is a sequence number that compaction must respect. It need not
 * hold tables: a compaction that read the list before the snapshot was taken
 * merges only what was visible by then, and keeps the newest of each key.
 *
 * A named snapshot's sequence is synced before the manifest names it: were the
 * log's tail lost, later writes would get the numbers that the snapshot claims
 * to include.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/db/db_impl.h"

#define NAME_BYTES_MAX 255

void snapshots_note_oldest_locked(struct lsm_db *db)
{
	uint64_t oldest = SEQ_MAX;

	for (struct lsm_snapshot *s = db->snapshots.next; s != &db->snapshots;
	     s = s->next)
		if (s->seq < oldest)
			oldest = s->seq;
	for (size_t i = 0; i < db->vs.named_count; i++)
		if (db->vs.named[i].seq < oldest)
			oldest = db->vs.named[i].seq;
	if (oldest > db->vs.oldest_snapshot)
		background_wake_locked(db);
	db->vs.oldest_snapshot = oldest;
}

struct lsm_snapshot *snapshot_new_locked(struct lsm_db *db, uint64_t seq)
{
	struct lsm_snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->seq = seq;
	s->next = &db->snapshots;
	s->prev = db->snapshots.prev;
	s->prev->next = s;
	s->next->prev = s;
	db->snapshot_count++;
	if (seq < db->vs.oldest_snapshot)
		db->vs.oldest_snapshot = seq;
	return s;
}

void snapshot_free_locked(struct lsm_db *db, struct lsm_snapshot *s)
{
	s->prev->next = s->next;
	s->next->prev = s->prev;
	db->snapshot_count--;
	if (s->seq <= db->vs.oldest_snapshot)
		snapshots_note_oldest_locked(db);
	reclaim_snapshot_gone_locked(db);
	free(s);
}

static struct lsm_snapshot *snapshot_now_locked(struct lsm_db *db)
	REQUIRES(db->mutex)
{
	/* acquire: pairs with the store in publish(). */
	return snapshot_new_locked(
		db, atomic_load_explicit(&db->visible, memory_order_acquire));
}

const struct lsm_snapshot *lsm_snapshot_take(struct lsm_db *db)
{
	struct lsm_snapshot *s;

	mutex_lock(&db->mutex);
	s = snapshot_now_locked(db);
	mutex_unlock(&db->mutex);
	return s;
}

void lsm_snapshot_release(struct lsm_db *db,
			  const struct lsm_snapshot *snapshot)
{
	if (!snapshot)
		return;
	mutex_lock(&db->mutex);
	snapshot_free_locked(db, (struct lsm_snapshot *)snapshot);
	mutex_unlock(&db->mutex);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int snapshots_collect_locked(struct lsm_db *db, uint64_t **out, size_t *count)
{
	size_t n = 0, unique = 0;
	uint64_t *seqs;

	seqs = malloc((db->snapshot_count + db->vs.named_count + 1) *
		      sizeof(*seqs));
	if (!seqs)
		return -ENOMEM;
	for (struct lsm_snapshot *s = db->snapshots.next; s != &db->snapshots;
	     s = s->next)
		seqs[n++] = s->seq;
	for (size_t i = 0; i < db->vs.named_count; i++)
		seqs[n++] = db->vs.named[i].seq;
	qsort(seqs, n, sizeof(*seqs), cmp_u64);
	for (size_t i = 0; i < n; i++)
		if (!i || seqs[i] != seqs[unique - 1])
			seqs[unique++] = seqs[i];
	*out = seqs;
	*count = unique;
	return 0;
}

/* ---- by name ---- */

static const struct named_snapshot *find_locked(struct lsm_db *db,
						const char *name)
	REQUIRES(db->mutex)
{
	for (size_t i = 0; i < db->vs.named_count; i++)
		if (!strcmp(db->vs.named[i].name, name))
			return &db->vs.named[i];
	return NULL;
}

/* With db->mutex, right after the names changed. */
static void names_changed(void *arg) NO_TSA
{
	snapshots_note_oldest_locked(arg);
	reclaim_snapshot_gone_locked(arg);
}

static int change(struct lsm_db *db, bool add, const char *name, uint64_t seq)
{
	struct version_edit edit = {0};
	int err = version_edit_snapshot(&edit, add, name, seq);

	if (!err)
		err = db_apply(db, &edit, names_changed, db);
	version_edit_release(&edit);
	return err;
}

static int create_serialized(struct lsm_db *db, const char *name)
{
	struct lsm_snapshot *hold = NULL;
	int err = 0;

	mutex_lock(&db->mutex);
	if (find_locked(db, name)) {
		err = -EEXIST;
	} else {
		/* Keeps compaction from dropping what the name will need until
		 * the name itself does. */
		hold = snapshot_now_locked(db);
		if (!hold)
			err = -ENOMEM;
	}
	mutex_unlock(&db->mutex);
	if (err)
		return err;
	err = db_error(db);
	if (!err)
		err = wal_sync_to(db, hold->seq);
	if (!err)
		err = change(db, true, name, hold->seq);
	lsm_snapshot_release(db, hold);
	return err;
}

static int check_name(const struct lsm_db *db, const char *name)
{
	size_t len = strnlen(name, NAME_BYTES_MAX + 1);

	if (!len || len > NAME_BYTES_MAX)
		return -EINVAL;
	return db->read_only ? -EROFS : 0;
}

int lsm_snapshot_create(struct lsm_db *db, const char *name)
{
	int err = check_name(db, name);

	if (err)
		return err;
	mutex_lock(&db->named_mutex);
	err = create_serialized(db, name);
	mutex_unlock(&db->named_mutex);
	return err;
}

int lsm_snapshot_delete(struct lsm_db *db, const char *name)
{
	int err = check_name(db, name);
	const struct named_snapshot *named;
	uint64_t seq;

	if (err)
		return err;
	mutex_lock(&db->named_mutex);
	mutex_lock(&db->mutex);
	named = find_locked(db, name);
	seq = named ? named->seq : 0;
	mutex_unlock(&db->mutex);
	err = db_error(db);
	if (!named)
		err = LSM_NOTFOUND;
	else if (!err)
		err = change(db, false, name, 0);
	if (!err)
		reclaim_name_gone(db, seq);
	mutex_unlock(&db->named_mutex);
	return err;
}

int lsm_snapshot_open(struct lsm_db *db, const char *name,
		      const struct lsm_snapshot **out)
{
	const struct named_snapshot *named;
	struct lsm_snapshot *s = NULL;
	int err = LSM_NOTFOUND;

	mutex_lock(&db->mutex);
	named = find_locked(db, name);
	if (named) {
		s = snapshot_new_locked(db, named->seq);
		err = s ? 0 : -ENOMEM;
	}
	mutex_unlock(&db->mutex);
	*out = s;
	return err;
}

/* A copy, so that fn may call back into the database. */
static int copy_names(struct lsm_db *db, struct named_snapshot **out,
		      size_t *count)
{
	struct named_snapshot *copy;
	size_t n;

	mutex_lock(&db->mutex);
	copy = calloc(db->vs.named_count + 1, sizeof(*copy));
	for (n = 0; copy && n < db->vs.named_count; n++) {
		copy[n].seq = db->vs.named[n].seq;
		copy[n].name = strdup(db->vs.named[n].name);
		if (!copy[n].name)
			break;
	}
	*out = copy;
	*count = n;
	n = db->vs.named_count;
	mutex_unlock(&db->mutex);
	return copy && *count == n ? 0 : -ENOMEM;
}

int lsm_snapshot_list(struct lsm_db *db,
		      int (*fn)(void *arg, const char *name, uint64_t sequence),
		      void *arg)
{
	struct named_snapshot *names;
	size_t count;
	int err = copy_names(db, &names, &count);

	for (size_t i = 0; i < count; i++) {
		if (!err)
			err = fn(arg, names[i].name, names[i].seq);
		free(names[i].name);
	}
	free(names);
	return err;
}
