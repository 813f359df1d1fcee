/* SPDX-License-Identifier: MIT */
/*
 * manifest.c - writing a fresh manifest, switching CURRENT to it, and reading
 * one back.
 *
 * The order of writing is what makes the switch safe: the new manifest's bytes
 * are synced, then its name, and only then may CURRENT name it; the old one is
 * deleted after CURRENT is durable. Power loss at any point leaves one complete
 * manifest that CURRENT names; the other is a stray.
 *
 * A manifest whose end is torn lost an edit that nobody was told was durable.
 * Anything else that does not add up (a table deleted that is not there, added
 * twice, a bad record with good ones behind it) is -EUCLEAN.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsm/base/checksum.h"
#include "lsm/base/hash.h"
#include "lsm/tree/manifest.h"
#include "lsm/tree/version_build.h"

#define CURRENT_MAX 256

/* ---- CURRENT ------------------------------------------------------------ */

static int current_format(char *out, size_t size, uint64_t number)
{
	char name[FILE_NAME_MAX];
	int n;

	file_name(name, FILE_MANIFEST, number);
	n = snprintf(out, size, "%s\n", name);
	return n + snprintf(out + n, size - n, "crc32c %08x\n",
			    (unsigned)crc32c(0, out, (size_t)n));
}

int manifest_current(struct env_dir *dir, const struct logger *log,
		     uint64_t *number)
{
	char name[FILE_NAME_MAX], want[CURRENT_MAX];
	void *data = NULL;
	size_t len = 0;
	char *nl;
	int err;

	file_name(name, FILE_CURRENT, 0);
	err = env_get_file(dir, name, CURRENT_MAX, &data, &len);
	if (err == -ENOENT)
		return err;
	if (err)
		return err == -EFBIG ? log_corrupt(log, name, 0, "too long")
				     : err;
	err = -EUCLEAN;
	nl = len ? memchr(data, '\n', len) : NULL;
	if (nl) {
		*nl = 0;
		/* Only what we would have written ourselves is believed. */
		if (file_name_parse(data, number) == FILE_MANIFEST &&
		    (size_t)current_format(want, sizeof(want), *number) ==
			    len) {
			*nl = '\n';
			if (!memcmp(data, want, len))
				err = 0;
		}
	}
	free(data);
	if (err)
		err = log_corrupt(log, name, 0, "does not name a manifest");
	return err;
}

int manifest_set_current(struct env_dir *dir, uint64_t number)
{
	char name[FILE_NAME_MAX], text[CURRENT_MAX];
	int len = current_format(text, sizeof(text), number);

	file_name(name, FILE_CURRENT, 0);
	return env_put_file(dir, name, text, (size_t)len);
}

/* ---- writing ------------------------------------------------------------ */

int manifest_state_edit(const struct version *v,
			const struct named_snapshot *named, size_t named_count,
			const uint8_t uuid[UUID_BYTES], struct version_edit *e)
{
	struct sst_meta meta = {0};
	unsigned level;
	size_t i;
	int err = 0;

	e->has_header = true;
	e->header.format = MANIFEST_FORMAT;
	memcpy(e->header.uuid, uuid, UUID_BYTES);
	for (i = 0; !err && i < named_count; i++)
		err = version_edit_snapshot(e, true, named[i].name,
					    named[i].seq);
	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; !err && i < v->count[level]; i++) {
			err = sst_meta_copy(&meta, &v->level[level][i]->meta);
			if (!err)
				err = version_edit_add(e, level, &meta);
			sst_meta_release(&meta);
		}
	}
	for (i = 0; !err && i < v->blob_count; i++) {
		struct edit_blob b = {.what = EDIT_BLOB_ADD,
				      .meta = v->blobs[i].file->meta,
				      .live_bytes = v->blobs[i].live};

		err = version_edit_blob(e, &b);
	}
	return err;
}

static int write_state(struct wal_writer *w, const struct version_edit *state)
{
	struct buf rec = {0};
	uint64_t end;
	int err = version_edit_encode(state, &rec);

	if (!err)
		err = wal_writer_append(w, lsm_slice(NULL, 0), buf_slice(&rec),
					&end);
	if (!err)
		err = wal_writer_sync(w);
	buf_release(&rec);
	return err;
}

int manifest_create(struct env_dir *dir, const struct logger *log,
		    uint64_t number, const struct version_edit *state,
		    struct wal_writer **out)
{
	struct wal_writer *w = NULL;
	char name[FILE_NAME_MAX];
	int err;

	*out = NULL;
	file_name(name, FILE_MANIFEST, number);
	err = wal_writer_open(dir, name, number, NULL, 0, &w);
	if (!err)
		err = write_state(w, state);
	if (!err)
		err = env_dir_sync(dir);
	if (!err)
		err = manifest_set_current(dir, number);
	if (!err) {
		*out = w;
		return 0;
	}
	if (w)
		wal_writer_close(w, false);
	logger_printf(log, LSM_LOG_ERROR,
		      "%s: cannot write a fresh manifest: error %d", name, err);
	return err;
}

int manifest_roll(struct version_set *vs)
{
	uint64_t old = vs->manifest_number;
	uint64_t number = version_set_new_file(vs);
	struct version_edit state = {0};
	char name[FILE_NAME_MAX];
	int err;

	if (vs->manifest) {
		/* All of it was synced by the applies. */
		wal_writer_close(vs->manifest, false);
		vs->manifest = NULL;
	}
	err = manifest_state_edit(vs->current, vs->named, vs->named_count,
				  vs->uuid, &state);
	state.has_next_file = state.has_log_number = state.has_last_seq = true;
	state.next_file =
		atomic_load_explicit(&vs->next_file, memory_order_relaxed);
	state.log_number = vs->log_number;
	state.last_seq = vs->last_seq;
	if (!err)
		err = manifest_create(vs->dir, vs->log, number, &state,
				      &vs->manifest);
	version_edit_release(&state);
	if (err)
		return err;
	vs->manifest_number = number;
	vs->manifest_base_bytes = wal_writer_bytes(vs->manifest);
	if (old) {
		file_name(name, FILE_MANIFEST, old);
		err = env_dir_delete(vs->dir, name);
		if (err)
			logger_printf(vs->log, LSM_LOG_WARN,
				      "%s: cannot delete: error %d", name, err);
	}
	return 0;
}

/* ---- reading ------------------------------------------------------------ */

/* The live tables while edits are replayed: an open-addressing hash table by
 * number. A deleted entry keeps its place (f NULL, number kept). */
struct live {
	uint64_t number; /* 0: free */
	unsigned level;
	struct table_file *f;
};

struct replay {
	struct version_set *vs;
	const char *name;
	struct live *slot;
	size_t mask, used; /* used: also places of deleted ones */
	struct manifest_state *out;
};

static struct live *live_find(const struct replay *r, uint64_t number)
{
	size_t i = hash_mix(number, 0) & r->mask;

	while (r->slot[i].number && r->slot[i].number != number)
		i = (i + 1) & r->mask;
	return &r->slot[i];
}

/* Keeps the table at most half full; drops the places of deleted entries. */
static int live_reserve(struct replay *r)
{
	struct replay to = *r;
	size_t i, cap = 64, n = 1;

	if (r->slot && r->used < (r->mask + 1) / 2)
		return 0;
	for (i = 0; r->slot && i <= r->mask; i++)
		n += r->slot[i].f != NULL;
	while (cap < n * 4)
		cap *= 2;
	to.slot = calloc(cap, sizeof(*to.slot));
	if (!to.slot)
		return -ENOMEM;
	to.mask = cap - 1;
	to.used = 0;
	for (i = 0; r->slot && i <= r->mask; i++) {
		if (!r->slot[i].f)
			continue;
		*live_find(&to, r->slot[i].number) = r->slot[i];
		to.used++;
	}
	free(r->slot);
	*r = to;
	return 0;
}

/* A table made only to be thrown away, before any version knew it. */
static void drop_unused(struct table_file *f)
{
	atomic_store_explicit(&f->refs, 0, memory_order_relaxed);
	table_file_free(f);
}

static int replay_add(struct replay *r, struct edit_table *t, uint64_t offset)
{
	struct live *l;
	uint64_t number = t->meta.number;
	int err = live_reserve(r);

	if (err)
		return err;
	l = live_find(r, number);
	if (l->f)
		return log_corrupt(r->vs->log, r->name, offset,
				   "table %" PRIu64 " added twice", number);
	if (t->meta.max_seq > r->out->last_seq)
		r->out->last_seq = t->meta.max_seq;
	if (number >= r->out->next_file)
		r->out->next_file = number + 1;
	l->f = table_file_new(r->vs, &t->meta);
	if (!l->f)
		return -ENOMEM;
	if (!l->number)
		r->used++;
	l->number = number;
	l->level = t->level;
	return 0;
}

static int replay_delete(struct replay *r, const struct edit_ref *d,
			 uint64_t offset)
{
	struct live *l = r->slot && d->number ? live_find(r, d->number) : NULL;

	if (!l || !l->f || l->level != d->level)
		return log_corrupt(r->vs->log, r->name, offset,
				   "table %" PRIu64
				   " deleted, but not in level %u",
				   d->number, d->level);
	drop_unused(l->f);
	l->f = NULL;
	return 0;
}

static int replay_add_blob(struct replay *r, const struct edit_blob *e,
			   uint64_t offset, size_t at)
{
	struct manifest_state *s = r->out;
	struct version_blob *b;

	if (at < s->blob_count)
		return log_corrupt(r->vs->log, r->name, offset,
				   "blob file %" PRIu64 " added twice",
				   e->meta.number);
	b = reallocarray(s->blobs, s->blob_count + 1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	s->blobs = b;
	b += s->blob_count;
	b->live = e->live_bytes;
	b->file = blob_file_new(r->vs, &e->meta);
	if (!b->file)
		return -ENOMEM;
	s->blob_count++;
	if (e->meta.number >= s->next_file)
		s->next_file = e->meta.number + 1;
	return 0;
}

static int replay_blob(struct replay *r, const struct edit_blob *e,
		       uint64_t offset)
{
	struct manifest_state *s = r->out;
	struct version_blob *b;
	/* What changes was mostly added not long ago. */
	size_t i = s->blob_count;

	while (i && s->blobs[i - 1].file->meta.number != e->meta.number)
		i--;
	if (e->what == EDIT_BLOB_ADD)
		return replay_add_blob(r, e, offset, i ? i - 1 : s->blob_count);
	if (!i)
		return log_corrupt(r->vs->log, r->name, offset,
				   "blob file %" PRIu64 " is not known",
				   e->meta.number);
	b = &s->blobs[i - 1];
	if (e->what == EDIT_BLOB_DELETE) {
		blob_file_free(b->file);
		memmove(b, b + 1, (--s->blob_count - (i - 1)) * sizeof(*b));
		return 0;
	}
	if (e->less > b->live || e->more > UINT64_MAX - (b->live - e->less))
		return log_corrupt(r->vs->log, r->name, offset,
				   "live bytes of blob file %" PRIu64
				   " do not add up",
				   e->meta.number);
	b->live = b->live - e->less + e->more;
	return 0;
}

static size_t named_find(const struct manifest_state *s, const char *name,
			 size_t len)
{
	size_t i;

	for (i = 0; i < s->named_count; i++)
		if (strlen(s->named[i].name) == len &&
		    !memcmp(s->named[i].name, name, len))
			break;
	return i;
}

static int replay_snapshot(struct replay *r, const struct edit_snapshot *e,
			   uint64_t offset)
{
	struct manifest_state *s = r->out;
	const char *name = (const char *)e->name.data;
	size_t i = named_find(s, name, e->name.len);
	struct named_snapshot *n;

	if (e->add == (i < s->named_count))
		return log_corrupt(
			r->vs->log, r->name, offset, "snapshot %s",
			e->add ? "added twice" : "deleted, but not there");
	if (!e->add) {
		free(s->named[i].name);
		memmove(&s->named[i], &s->named[i + 1],
			(--s->named_count - i) * sizeof(*s->named));
		return 0;
	}
	n = reallocarray(s->named, s->named_count + 1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	s->named = n;
	n += s->named_count;
	n->name = strndup(name, e->name.len);
	if (!n->name)
		return -ENOMEM;
	n->seq = e->seq;
	s->named_count++;
	return 0;
}

static int replay_header(struct replay *r, const struct version_edit *e,
			 bool first, uint64_t offset)
{
	if (e->has_header != first)
		return log_corrupt(r->vs->log, r->name, offset,
				   "header missing, or not at the front");
	if (!first)
		return 0;
	if (e->header.incompat) {
		logger_printf(r->vs->log, LSM_LOG_ERROR,
			      "%s: unknown features %" PRIx64, r->name,
			      e->header.incompat);
		return -EPROTONOSUPPORT;
	}
	memcpy(r->out->uuid, e->header.uuid, UUID_BYTES);
	return 0;
}

static int replay_edit(struct replay *r, struct version_edit *e, bool first,
		       uint64_t offset)
{
	struct manifest_state *s = r->out;
	size_t i;
	int err = replay_header(r, e, first, offset);

	if (!err && e->has_next_file && e->next_file > s->next_file)
		s->next_file = e->next_file;
	if (!err && e->has_log_number)
		s->log_number = e->log_number;
	if (!err && e->has_last_seq && e->last_seq > s->last_seq)
		s->last_seq = e->last_seq;
	for (i = 0; !err && i < e->deleted_count; i++)
		err = replay_delete(r, &e->deleted[i], offset);
	for (i = 0; !err && i < e->added_count; i++)
		err = replay_add(r, &e->added[i], offset);
	for (i = 0; !err && i < e->snapshot_count; i++)
		err = replay_snapshot(r, &e->snapshots[i], offset);
	for (i = 0; !err && i < e->blob_count; i++)
		err = replay_blob(r, &e->blobs[i], offset);
	return err;
}

static int replay_records(struct replay *r, struct wal_reader *log)
{
	struct version_edit edit = {0};
	struct lsm_slice rec;
	bool first = true;
	int err;

	for (;;) {
		uint64_t offset = wal_reader_offset(log);

		err = wal_reader_next(log, &rec);
		if (err)
			break;
		err = version_edit_decode(&edit, rec);
		if (err == -EUCLEAN)
			log_corrupt(r->vs->log, r->name, offset,
				    "malformed edit");
		else if (err == -EPROTONOSUPPORT)
			logger_printf(r->vs->log, LSM_LOG_ERROR,
				      "%s: offset %" PRIu64
				      ": written by a newer format",
				      r->name, offset);
		if (!err)
			err = replay_edit(r, &edit, first, offset);
		version_edit_release(&edit);
		if (err)
			return err;
		first = false;
	}
	if (err == LSM_END && first)
		return log_corrupt(r->vs->log, r->name, 0, "holds no record");
	if (err == LSM_END && wal_reader_torn(log))
		logger_printf(r->vs->log, LSM_LOG_INFO,
			      "%s: torn at offset %" PRIu64
			      ", the edit was not acknowledged",
			      r->name, wal_reader_offset(log));
	return err == LSM_END ? 0 : err;
}

/* Moves the live tables into s->level. */
static int collect(struct replay *r)
{
	struct manifest_state *s = r->out;
	size_t n[LSM_LEVELS] = {0}, i;
	unsigned level;

	for (i = 0; r->slot && i <= r->mask; i++)
		if (r->slot[i].f)
			n[r->slot[i].level]++;
	for (level = 0; level < LSM_LEVELS; level++) {
		if (!n[level])
			continue;
		s->level[level] = calloc(n[level], sizeof(*s->level[level]));
		if (!s->level[level])
			return -ENOMEM;
	}
	for (i = 0; r->slot && i <= r->mask; i++) {
		struct live *l = &r->slot[i];

		if (l->f)
			s->level[l->level][s->count[l->level]++] = l->f;
		l->f = NULL;
	}
	return 0;
}

int manifest_read(struct version_set *vs, uint64_t number,
		  struct manifest_state *out)
{
	struct replay r = {.vs = vs, .out = out};
	struct wal_reader *log = NULL;
	char name[FILE_NAME_MAX];
	size_t i;
	int err;

	memset(out, 0, sizeof(*out));
	out->next_file = number + 1;
	file_name(name, FILE_MANIFEST, number);
	r.name = name;
	err = wal_reader_open(vs->dir, name, number, vs->log, &log);
	if (err == LSM_END)
		err = log_corrupt(vs->log, name, 0, "holds no header");
	else if (err == -ENOENT)
		err = log_corrupt(vs->log, name, 0, "missing");
	if (!err)
		err = replay_records(&r, log);
	if (!err)
		err = collect(&r);
	for (i = 0; r.slot && i <= r.mask; i++)
		if (r.slot[i].f)
			drop_unused(r.slot[i].f);
	free(r.slot);
	if (log)
		wal_reader_close(log);
	if (err)
		manifest_state_release(out);
	return err;
}

void manifest_state_release(struct manifest_state *s)
{
	unsigned level;
	size_t i;

	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; i < s->count[level]; i++)
			table_file_put(s->level[level][i]);
		free(s->level[level]);
	}
	for (i = 0; i < s->blob_count; i++)
		blob_file_put(s->blobs[i].file);
	free(s->blobs);
	named_snapshots_free(s->named, s->named_count);
	memset(s, 0, sizeof(*s));
}
