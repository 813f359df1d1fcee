/* SPDX-License-Identifier: MIT */
/*
 * version_edit_text.c - an edit in words, for dump, logs and tests. Any thread.
 */
#include <inttypes.h>

#include "lsm/tree/version.h"

static int table_to_text(const struct edit_table *t, struct buf *out)
{
	const struct sst_meta *m = &t->meta;
	int err;

	err = buf_printf(out,
			 " add{level=%u number=%" PRIu64 " bytes=%" PRIu64
			 " keys=[",
			 t->level, m->number, m->file_bytes);
	if (!err)
		err = buf_append_escaped(out, buf_slice(&m->smallest));
	if (!err)
		err = buf_append(out, "..", 2);
	if (!err)
		err = buf_append_escaped(out, buf_slice(&m->largest));
	if (!err)
		err = buf_printf(out,
				 "%c seqs=[%" PRIu64 "..%" PRIu64
				 "] entries=%" PRIu64 " deletions=%" PRIu64
				 " range_deletions=%" PRIu64
				 " raw_bytes=%" PRIu64,
				 m->largest_exclusive ? ')' : ']', m->min_seq,
				 m->max_seq, m->entries, m->deletions,
				 m->range_deletions, m->raw_bytes);
	for (size_t i = 0; !err && i < m->blob_count; i++)
		err = buf_printf(out, "%s%" PRIu64 ":%" PRIu64,
				 i ? "," : " blobs=", m->blobs[i].file,
				 m->blobs[i].bytes);
	return err ? err : buf_append(out, "}", 1);
}

static int header_to_text(const struct edit_header *h, struct buf *out)
{
	size_t i;
	int err;

	err = buf_printf(out,
			 " header{format=%u compat=%" PRIx64
			 " incompat=%" PRIx64 " uuid=",
			 h->format, h->compat, h->incompat);
	for (i = 0; !err && i < UUID_BYTES; i++)
		err = buf_printf(out, "%02x", h->uuid[i]);
	return err ? err : buf_append(out, "}", 1);
}

static int snapshot_to_text(const struct edit_snapshot *s, struct buf *out)
{
	int err = buf_printf(out, " %s{", s->add ? "snapshot" : "del_snapshot");

	if (!err)
		err = buf_append_escaped(out, buf_slice(&s->name));
	if (!err && s->add)
		err = buf_printf(out, " seq=%" PRIu64, s->seq);
	return err ? err : buf_append(out, "}", 1);
}

static int blob_to_text(const struct edit_blob *b, struct buf *out)
{
	uint64_t n = b->meta.number;

	if (b->what == EDIT_BLOB_DELETE)
		return buf_printf(out, " del_blob{number=%" PRIu64 "}", n);
	if (b->what == EDIT_BLOB_LIVE)
		return buf_printf(out,
				  " blob_live{number=%" PRIu64 " less=%" PRIu64
				  " more=%" PRIu64 "}",
				  n, b->less, b->more);
	return buf_printf(out,
			  " add_blob{number=%" PRIu64 " bytes=%" PRIu64
			  " values=%" PRIu64 " value_bytes=%" PRIu64
			  " live_bytes=%" PRIu64 "}",
			  n, b->meta.file_bytes, b->meta.values,
			  b->meta.value_bytes, b->live_bytes);
}

int version_edit_to_text(const struct version_edit *e, struct buf *out)
{
	size_t i;
	int err = buf_append(out, "edit", 4);

	if (!err && e->has_header)
		err = header_to_text(&e->header, out);
	if (!err && e->has_next_file)
		err = buf_printf(out, " next_file=%" PRIu64, e->next_file);
	if (!err && e->has_log_number)
		err = buf_printf(out, " log=%" PRIu64, e->log_number);
	if (!err && e->has_last_seq)
		err = buf_printf(out, " last_seq=%" PRIu64, e->last_seq);
	for (i = 0; !err && i < e->deleted_count; i++)
		err = buf_printf(out, " del{level=%u number=%" PRIu64 "}",
				 e->deleted[i].level, e->deleted[i].number);
	for (i = 0; !err && i < e->added_count; i++)
		err = table_to_text(&e->added[i], out);
	for (i = 0; !err && i < e->snapshot_count; i++)
		err = snapshot_to_text(&e->snapshots[i], out);
	for (i = 0; !err && i < e->blob_count; i++)
		err = blob_to_text(&e->blobs[i], out);
	return err;
}
