/* SPDX-License-Identifier: MIT */
/*
 * repair_tables.c - every table is read whole. One that is sound is merged as
 * it is; of one that is not, the blocks that can be read become a new table;
 * one that does not open is set aside.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/db/repair.h"

int repair_add_input(struct repair *r, struct sst_meta *meta)
{
	struct table_file *f;

	if (r->input_count == r->input_cap) {
		size_t cap = r->input_cap ? 2 * r->input_cap : 64;
		void *p = reallocarray(r->inputs, cap, sizeof(*r->inputs));

		if (!p)
			return -ENOMEM;
		r->inputs = p;
		r->input_cap = cap;
	}
	if (meta->max_seq > r->last_seq)
		r->last_seq = meta->max_seq;
	f = table_file_new(&r->vs, meta);
	if (!f)
		return -ENOMEM;
	r->inputs[r->input_count++] = f;
	return 0;
}

static int write_salvaged(struct repair *r, struct sst_reader *reader,
			  struct sst_meta *meta, uint32_t *lost)
{
	uint64_t number = version_set_new_file(&r->vs);
	char name[FILE_NAME_MAX];
	struct sst_writer *w;
	int err;

	file_name(name, FILE_SST, number);
	err = sst_writer_open(r->dir, name, number, &r->tree_opt.sst, &w);
	if (err)
		return err;
	err = sst_salvage(reader, w, lost);
	if (err) {
		sst_writer_abort(w);
		return err;
	}
	return sst_writer_finish(w, meta);
}

static int salvage(struct repair *r, struct sst_reader *reader,
		   const char *name)
{
	struct sst_meta meta = {0};
	uint32_t lost;
	int err = write_salvaged(r, reader, &meta, &lost);

	if (!err) {
		repair_say(r,
			   "%s: damaged: %u blocks are lost, %" PRIu64
			   " entries saved",
			   name, lost, meta.entries);
		if (meta.entries || meta.range_deletions)
			err = repair_add_input(r, &meta);
	}
	sst_meta_release(&meta);
	return err;
}

static int use_table(struct repair *r, struct sst_reader *reader)
{
	struct sst_meta meta = {0};
	int err = sst_reader_meta(reader, &meta);

	if (!err)
		err = repair_look_at_blobs(r, &meta);
	if (!err)
		err = repair_add_input(r, &meta);
	sst_meta_release(&meta);
	return err;
}

static int look_at_table(struct repair *r, struct repair_file *f)
{
	/* Not mapped: what cannot be read is then an error of one block. */
	struct sst_reader_options o = {
		.cache = r->cache, .verify_checksums = true, .log = &r->log};
	struct sst_reader *reader;
	char name[FILE_NAME_MAX];
	int err;

	file_name(name, FILE_SST, f->number);
	err = sst_reader_open(r->dir, name, f->number, &o, &reader);
	if (repair_is_damage(err)) {
		repair_say(r, "%s: damaged, cannot be opened: set aside", name);
		r->damaged = f->bad = true;
		return 0;
	}
	if (err)
		return err;
	err = sst_reader_verify(reader, NULL, NULL);
	if (!err) {
		err = use_table(r, reader);
	} else if (repair_is_damage(err)) {
		r->damaged = f->bad = true;
		err = salvage(r, reader, name);
	}
	sst_reader_put(reader);
	return err;
}

/* Those that the manifest names. */
static int look_at_known(struct repair *r)
{
	char name[FILE_NAME_MAX];
	int err = 0;

	for (unsigned level = 0; level < LSM_LEVELS; level++) {
		for (size_t i = 0; i < r->state.count[level] && !err; i++) {
			uint64_t n = r->state.level[level][i]->meta.number;
			struct repair_file *f = repair_find(r, FILE_SST, n);

			if (f) {
				err = look_at_table(r, f);
				continue;
			}
			file_name(name, FILE_SST, n);
			repair_say(r, "%s: missing: what it held is lost",
				   name);
			r->damaged = true;
		}
	}
	return err;
}

int repair_tables(struct repair *r)
{
	int err = 0;

	if (r->known)
		return look_at_known(r);
	for (size_t i = 0; i < r->file_count && !err; i++)
		if (r->files[i].kind == FILE_SST)
			err = look_at_table(r, &r->files[i]);
	return err;
}
