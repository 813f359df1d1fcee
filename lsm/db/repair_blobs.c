/* SPDX-License-Identifier: MIT */
/*
 * repair_blobs.c - values in blob files, when a store is repaired: every handle
 * is followed; one that leads nowhere, or into damage, is dropped. What is left
 * is counted, so that the new manifest's live bytes are exact.
 *
 * Sound files stay as they are. Out of a damaged one what can be read moves
 * into a new file, and it is set aside. What a bulk write had put beside a log
 * moves as well, as no manifest names the file; the next open deletes it. If
 * its footer is all that is damaged of a file it looks just like that.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsm/db/repair.h"

static int cmp_blobs(const void *a, const void *b)
{
	const struct repair_file *x = a;
	const struct repair_blob *const *y = b;
	uint64_t number = (*y)->slot.number;

	return x->number < number ? -1 : x->number > number;
}

static int cmp_numbers(const void *a, const void *b)
{
	uint64_t x = (*(struct repair_blob *const *)a)->slot.number;
	uint64_t y = (*(struct repair_blob *const *)b)->slot.number;

	return x < y ? -1 : x > y;
}

static struct repair_blob *find_blob(struct repair *r, uint64_t number)
{
	struct repair_file key = {.number = number};
	struct repair_blob **b =
		r->blob_count ? bsearch(&key, r->blobs, r->blob_count,
					sizeof(*r->blobs), cmp_blobs)
			      : NULL;

	return b ? *b : NULL;
}

static bool is_known(const struct repair *r, uint64_t number)
{
	for (size_t i = 0; i < r->state.blob_count; i++)
		if (r->state.blobs[i].file->meta.number == number)
			return true;
	return false;
}

/* Without a footer. 0, damage when there is no file, or another error. */
static int look_at_unsealed(struct repair *r, struct repair_blob *b,
			    const char *name)
{
	int err = blob_reader_open_unsealed(r->dir, name, b->slot.number,
					    r->cache, NULL, &b->unsealed);

	if (err == -ENOENT)
		return -EUCLEAN;
	if (!err && is_known(r, b->slot.number)) {
		repair_say(r, "%s: damaged: what can be read is moved", name);
		r->damaged = b->bad = true;
	}
	return err;
}

/* Opens it for the first time; one that does not open is bad. */
static int look_at_blob(struct repair *r, struct repair_blob *b)
{
	struct blob_reader *reader;
	char name[FILE_NAME_MAX];
	int err = blob_files_get(&r->vs.blobs, &b->slot, &reader);

	file_name(name, FILE_BLOB, b->slot.number);
	if (!err) {
		blob_reader_meta(reader, &b->meta);
		err = blob_reader_each(reader, NULL, NULL);
		blob_reader_put(reader);
		if (!repair_is_damage(err))
			return err;
		repair_say(r, "%s: damaged: what can be read is moved", name);
		r->damaged = b->bad = true;
		return 0;
	}
	if (repair_is_damage(err))
		err = look_at_unsealed(r, b, name);
	if (!repair_is_damage(err))
		return err;
	repair_say(r, "%s: damaged or missing: the values in it are lost",
		   name);
	r->damaged = b->bad = b->lost = true;
	return 0;
}

static int add_blob(struct repair *r, uint64_t number, struct repair_blob **out)
{
	struct repair_blob *b = calloc(1, sizeof(*b));
	void *p = reallocarray(r->blobs, r->blob_count + 1, sizeof(*r->blobs));
	int err;

	if (p)
		r->blobs = p;
	if (!b || !p) {
		free(b);
		return -ENOMEM;
	}
	b->slot.number = number;
	r->blobs[r->blob_count++] = b;
	qsort(r->blobs, r->blob_count, sizeof(*r->blobs), cmp_numbers);
	err = look_at_blob(r, b);
	*out = b;
	return err;
}

static int get_blob(struct repair *r, uint64_t number, struct repair_blob **b)
{
	*b = find_blob(r, number);
	return *b ? 0 : add_blob(r, number, b);
}

int repair_look_at_blobs(struct repair *r, const struct sst_meta *m)
{
	struct repair_blob *b;
	int err = 0;

	for (size_t i = 0; i < m->blob_count && !err; i++)
		err = get_blob(r, m->blobs[i].file, &b);
	return err;
}

static void drop_block(struct repair *r)
{
	if (r->block)
		cache_put(r->cache, r->block);
	r->block = NULL;
}

/* The value, in r->block; the file is not lost. */
static int read_value(struct repair *r, struct repair_blob *b,
		      const struct blob_handle *h, struct lsm_slice *value)
{
	struct blob_reader *reader = b->unsealed;
	int err = 0;

	drop_block(r);
	if (reader)
		blob_reader_ref(reader);
	else
		err = blob_files_get(&r->vs.blobs, &b->slot, &reader);
	if (err)
		return err;
	err = blob_reader_block(reader, h, true, &r->block);
	blob_reader_put(reader);
	return err ? err : blob_value(h, r->block, value);
}

static int check_value(struct repair *r, struct lsm_slice handle)
{
	struct repair_blob *b;
	struct lsm_slice value;
	struct blob_handle h;
	int err;

	if (!blob_handle_decode(&h, handle))
		return 0;
	err = get_blob(r, h.file, &b);
	if (err)
		return err;
	if (b->lost)
		return 0;
	/* Damage in other files is for who writes the value. */
	if (!b->unsealed)
		return 1;
	err = read_value(r, b, &h, &value);
	return !err ? 1 : repair_is_damage(err) ? 0 : err;
}

int repair_check_values(struct repair *r, struct lsm_slice rep)
{
	struct batch_reader b;
	struct batch_op op;
	int ok = 1;

	if (batch_reader_init(&b, rep))
		return 0;
	while (ok == 1 && !batch_reader_next(&b, &op))
		if (op.kind == KIND_BLOB)
			ok = check_value(r, op.value);
	drop_block(r);
	return ok;
}

int repair_keep_handle(void *arg, struct lsm_slice handle,
		       struct lsm_slice *value)
{
	struct repair *r = arg;
	struct blob_handle h;
	struct repair_blob *b;
	int err;

	if (!blob_handle_decode(&h, handle)) {
		r->lost_values++;
		return 0;
	}
	err = get_blob(r, h.file, &b);
	if (err)
		return err;
	if (b->lost) {
		r->lost_values++;
		return 0;
	}
	err = read_value(r, b, &h, value);
	if (!err)
		return b->bad || b->unsealed ? 2 : 1;
	if (!repair_is_damage(err))
		return err;
	r->damaged = b->bad = true;
	r->lost_values++;
	return 0;
}

int repair_add_blobs(struct repair *r, struct version_edit *edit)
{
	int err = 0;

	if (r->lost_values)
		repair_say(r, "%" PRIu64 " values in blob files are lost",
			   r->lost_values);
	for (size_t i = 0; i < edit->added_count; i++) {
		const struct sst_meta *m = &edit->added[i].meta;

		for (size_t k = 0; k < m->blob_count; k++) {
			struct repair_blob *b = find_blob(r, m->blobs[k].file);

			/* else it is new, and in edit already */
			if (b)
				b->live += m->blobs[k].bytes;
		}
	}
	for (size_t i = 0; i < r->blob_count && !err; i++) {
		struct edit_blob e = {.what = EDIT_BLOB_ADD,
				      .meta = r->blobs[i]->meta,
				      .live_bytes = r->blobs[i]->live};

		if (e.live_bytes)
			err = version_edit_blob(edit, &e);
	}
	return err;
}

void repair_set_blobs_aside(struct repair *r)
{
	char name[FILE_NAME_MAX], bad[FILE_NAME_MAX + 8];
	int err;

	for (size_t i = 0; i < r->blob_count; i++) {
		struct repair_blob *b = r->blobs[i];

		if (!b->bad || b->live)
			continue;
		file_name(name, FILE_BLOB, b->slot.number);
		snprintf(bad, sizeof(bad), "%s.bad", name);
		err = env_dir_rename(r->dir, name, bad);
		if (!err)
			repair_say(r, "%s: kept as %s", name, bad);
		else if (err != -ENOENT)
			repair_say(r, "%s: cannot be renamed: %s", name,
				   lsm_strerror(err));
	}
}

void repair_blobs_release(struct repair *r)
{
	drop_block(r);
	for (size_t i = 0; i < r->blob_count; i++) {
		if (r->blobs[i]->unsealed)
			blob_reader_put(r->blobs[i]->unsealed);
		blob_files_evict(&r->vs.blobs, &r->blobs[i]->slot);
		free(r->blobs[i]);
	}
	free(r->blobs);
	r->blobs = NULL;
	r->blob_count = 0;
}
