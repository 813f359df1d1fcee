/* SPDX-License-Identifier: MIT */
/* recover_direct.c - see recover_direct.h. */
#include "lsm/db/recover_direct.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/table/sst_format.h"

int direct_replay_note(struct direct_replay *r, uint64_t number)
{
	size_t i = r->count;

	if (r->count == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		uint64_t *p = reallocarray(r->number, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		r->number = p;
		r->cap = cap;
	}
	for (; i && r->number[i - 1] > number; i--)
		r->number[i] = r->number[i - 1];
	r->number[i] = number;
	r->count++;
	return 0;
}

static bool is_there(const struct direct_replay *r, uint64_t number)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->number[mid] < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->count && r->number[low] == number;
}

/* ---- what was durable ---- */

/* What any record of the log says of it; damage is for who replays it. */
static int read_durable(struct direct_replay *r, struct direct_log *l)
{
	struct wal_reader *w;
	struct lsm_slice rep;
	char name[FILE_NAME_MAX];
	int err;

	file_name(name, FILE_WAL, l->number);
	err = wal_reader_open(r->db->dir, name, l->number, NULL, &w);
	if (err)
		return err == LSM_END || err == -EUCLEAN ? 0 : err;
	while (!(err = wal_reader_next(w, &rep)))
		if (wal_reader_durable(w) > l->durable)
			l->durable = wal_reader_durable(w);
	wal_reader_close(w);
	return err == LSM_END || err == -EUCLEAN ? 0 : err;
}

static int read_all_durable(struct direct_replay *r, const uint64_t *logs,
			    size_t count)
{
	bool later = false;
	int err = 0;

	r->log = calloc(count ? count : 1, sizeof(*r->log));
	if (!r->log)
		return -ENOMEM;
	r->log_count = count;
	for (size_t i = count; i-- && !err;) {
		r->log[i].number = logs[i];
		if (later) /* an older log is synced before a younger one */
			r->log[i].durable = UINT64_MAX;
		else
			err = read_durable(r, &r->log[i]);
		later |= r->log[i].durable != 0;
	}
	return err;
}

static bool was_durable(const struct direct_replay *r, uint64_t log,
			uint64_t end)
{
	for (size_t i = 0; i < r->log_count; i++)
		if (r->log[i].number == log)
			return end <= r->log[i].durable;
	return false;
}

/* ---- files and blocks ---- */

static int open_found(struct direct_replay *r, uint64_t number,
		      struct direct_found **out)
{
	struct lsm_db *db = r->db;
	struct direct_found *f;
	struct blob_direct *blob;
	char name[FILE_NAME_MAX];
	int err;

	if (!is_there(r, number))
		return LSM_END;
	f = reallocarray(r->found, r->found_count + 1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	r->found = f;
	f += r->found_count;
	*f = (struct direct_found){0};
	file_name(name, FILE_BLOB, number);
	err = blob_direct_open(db->dir, name, number, db->cache, &db->log,
			       db->read_only, &blob);
	if (err)
		return err;
	f->file = db_direct_new(blob, 0);
	if (!f->file) {
		blob_direct_close(blob);
		return -ENOMEM;
	}
	r->found_count++;
	*out = f;
	return 0;
}

static int find_file(struct direct_replay *r, uint64_t number,
		     struct direct_found **out)
{
	/* the newest are met most */
	for (size_t i = r->found_count; i--;) {
		*out = &r->found[i];
		if ((*out)->file->blob->number == number)
			return 0;
	}
	return open_found(r, number, out);
}

/* Reads the block: 0 and what is in it, or LSM_END when it is not whole. */
static int probe(struct direct_replay *r, struct direct_found *f,
		 const struct blob_handle *h, struct blob_block *b)
{
	char name[FILE_NAME_MAX];
	int err = 0;

	if (!f->probe) {
		blob_direct_settle(f->file->blob);
		file_name(name, FILE_BLOB, h->file);
		err = blob_reader_open_unsealed(r->db->dir, name, h->file,
						r->db->cache, NULL, &f->probe);
	}
	if (!err)
		err = blob_reader_count(f->probe, h, &b->values,
					&b->value_bytes);
	return err == -EUCLEAN ? LSM_END : err;
}

/* A block that is met for the first time. Its values are counted as their
 * handles come, which all do in one batch, unless it is read anyway. */
static int new_block(struct direct_replay *r, struct direct_found *f,
		     const struct blob_handle *h, bool durable)
{
	struct blob_block b = {
		.offset = h->offset, .bytes = h->bytes, .type = h->type};
	struct blob_meta meta;
	int err = 0;

	blob_reader_meta(f->file->blob->reader, &meta);
	if (h->offset > meta.file_bytes ||
	    meta.file_bytes - h->offset <
		    (uint64_t)h->bytes + SST_TRAILER_BYTES)
		return LSM_END;
	if (!durable || h->index)
		err = probe(r, f, h, &b);
	if (!err)
		err = blob_map_add(&f->file->blob->map, &b);
	return err == -EUCLEAN ? LSM_END : err;
}

static int follow(struct direct_replay *r, const struct blob_handle *h,
		  bool durable)
{
	struct direct_found *f = NULL;
	struct blob_block *b;
	int err = find_file(r, h->file, &f);

	if (err)
		return err;
	b = blob_map_find(&f->file->blob->map, h->offset);
	if (!b) {
		err = new_block(r, f, h, durable);
		if (err)
			return err;
		b = blob_map_find(&f->file->blob->map, h->offset);
	}
	if (b->bytes != h->bytes || b->type != h->type)
		return LSM_END;
	if (!h->shared && h->index == b->values) {
		b->values++;
		b->value_bytes += h->len;
	}
	return 0;
}

int direct_replay_batch(struct direct_replay *r, const uint64_t *logs,
			size_t log_count, uint64_t log, const char *name,
			uint64_t end, struct lsm_slice rep)
{
	struct batch_reader b;
	struct batch_op op;
	struct blob_handle h = {0};
	bool durable = false;
	int err = batch_reader_init(&b, rep);

	while (!err) {
		err = batch_reader_next(&b, &op);
		if (err || op.kind != KIND_BLOB)
			continue;
		if (!blob_handle_decode(&h, op.value))
			return log_corrupt(&r->db->log, name, end,
					   "a handle cannot be decoded");
		if (version_find_blob(r->db->vs.current, h.file))
			continue;
		if (!r->log)
			err = read_all_durable(r, logs, log_count);
		durable = was_durable(r, log, end);
		if (!err)
			err = follow(r, &h, durable);
		if (err == LSM_END)
			return !durable ? LSM_END
					: log_corrupt(
						  &r->db->log, name, end,
						  "blob file %" PRIu64
						  " has not the values of this "
						  "record, which was durable",
						  h.file);
	}
	return err == LSM_END ? 0 : err;
}

/* ---- end ---- */

void direct_replay_give(struct direct_replay *r, struct db_mem *m)
{
	for (size_t i = 0; i < r->found_count; i++) {
		db_direct_push(m, r->found[i].file);
		r->found[i].file = NULL;
	}
}

void direct_replay_release(struct direct_replay *r)
{
	for (size_t i = 0; i < r->found_count; i++) {
		if (r->found[i].probe)
			blob_reader_put(r->found[i].probe);
		if (r->found[i].file)
			db_direct_put(r->found[i].file);
	}
	free(r->found);
	free(r->number);
	free(r->log);
}
