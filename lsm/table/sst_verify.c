/* SPDX-License-Identifier: MIT */
/*
 * sst_verify.c - checking a whole table against everything it says of itself.
 *
 * Reads around the cache, so that the disk is asked and not our memory of it.
 * One thread.
 */
#include <stdlib.h>

#include "lsm/base/hash.h"
#include "lsm/table/blob_format.h"
#include "lsm/table/sst_reader.h"

struct totals {
	uint64_t entries, deletions, raw_bytes, min_seq, max_seq;
	uint32_t block; /* the one the index says the entry is in */
	struct buf last_key;
	uint64_t last_tag;
	struct sst_meta refs; /* references to blob files, and nothing else */
};

static int check_entry(struct sst_reader *r, const struct iter *it,
		       struct totals *t)
{
	const struct sst_index *ix = &r->index;
	uint64_t seq = tag_seq(it->tag);
	uint64_t offset = ix->entry[t->block].offset;
	uint64_t hash = hash64(it->key.data, it->key.len);

	if (!it->key.len || tag_kind(it->tag) > KIND_BLOB)
		return sst_block_corrupt(r, offset, "entry is of no kind");
	if (t->entries && entry_cmp(buf_slice(&t->last_key), t->last_tag,
				    it->key, it->tag) >= 0)
		return sst_block_corrupt(r, offset, "entries are out of order");
	if (sst_index_seek(ix, it->key, it->tag) != t->block)
		return sst_block_corrupt(r, offset,
					 "index leads past an entry");
	if (r->filter.line_count && !filter_may_contain(&r->filter, hash))
		return sst_block_corrupt(r, offset, "filter denies an entry");
	t->entries++;
	t->deletions += tag_kind(it->tag) == KIND_DELETE;
	t->raw_bytes += it->key.len + it->value.len;
	if (seq < t->min_seq)
		t->min_seq = seq;
	if (seq > t->max_seq)
		t->max_seq = seq;
	t->last_tag = it->tag;
	if (tag_kind(it->tag) == KIND_BLOB) {
		struct blob_handle h;
		int err;

		if (!blob_handle_decode(&h, it->value))
			return sst_block_corrupt(r, offset,
						 "handle cannot be decoded");
		err = sst_meta_add_blob(&t->refs, h.file, h.len);
		if (err)
			return err;
	}
	buf_clear(&t->last_key);
	return buf_append(&t->last_key, it->key.data, it->key.len);
}

/* Reads the parts behind the data once more; they were checked at open, but
 * the disk may have changed its mind since. */
static int check_tail(struct sst_reader *r)
{
	static const char *const parts[] = {
		SST_META_FILTER, SST_META_PROPERTIES, SST_META_RANGES};
	struct sst_footer f;
	struct sst_handle h;
	uint8_t *data;
	size_t len, i;
	int err = sst_footer_read(r, &f);

	if (err)
		return err;
	h = (struct sst_handle){.offset = f.index_offset,
				.bytes = f.index_bytes};
	err = sst_block_read_meta(r, &h, &data, &len);
	if (err)
		return err;
	free(data);
	for (i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		err = sst_metaindex_find(r, &f, parts[i], &h);
		if (err > 0) {
			err = sst_block_read_meta(r, &h, &data, &len);
			if (!err)
				free(data);
		}
		if (err)
			return err;
	}
	return 0;
}

static int check_totals(struct sst_reader *r, struct totals *t)
{
	const struct sst_meta *m = &r->props.meta;
	const struct frags *f = &r->frags;
	struct lsm_slice largest = buf_slice(&m->largest), last;
	uint64_t ranges = 0;
	size_t i;
	uint32_t k;

	for (i = 0; i < f->count; i++) {
		ranges += f->frag[i].seq_count;
		t->raw_bytes += f->frag[i].start.len + f->frag[i].end.len;
		for (k = 0; k < f->frag[i].seq_count; k++) {
			uint64_t seq = f->frag[i].seqs[k];

			t->min_seq = seq < t->min_seq ? seq : t->min_seq;
			t->max_seq = seq > t->max_seq ? seq : t->max_seq;
		}
	}
	last = buf_slice(&t->last_key);
	if (f->count && slice_cmp(f->frag[f->count - 1].end, last) > 0)
		last = f->frag[f->count - 1].end;
	if (t->entries != m->entries || t->deletions != m->deletions ||
	    !sst_meta_blobs_equal(&t->refs, m) ||
	    t->raw_bytes != m->raw_bytes || ranges != m->range_deletions ||
	    !slice_eq(last, largest) ||
	    ((t->entries || ranges) &&
	     (t->min_seq != m->min_seq || t->max_seq != m->max_seq)))
		return sst_block_corrupt(r, 0,
					 "properties and entries disagree");
	return 0;
}

int sst_reader_verify(struct sst_reader *r,
		      void (*done)(void *arg, uint64_t bytes), void *arg)
{
	struct sst_iter_options o = {.readahead = true, .verify = true};
	struct iter *it = sst_reader_iter(r, &o);
	struct totals t = {.min_seq = UINT64_MAX};
	uint64_t reported = 0;
	int err = 0;

	if (!it)
		return -ENOMEM;
	for (iter_first(it); it->valid && !err; iter_next(it)) {
		if (sst_index_cmp(&r->index, t.block, it->key, it->tag) < 0) {
			t.block++;
			if (done)
				done(arg,
				     r->index.entry[t.block].offset - reported);
			reported = r->index.entry[t.block].offset;
			if (t.block == r->index.count) {
				err = sst_block_corrupt(
					r, reported,
					"entry lies beyond the index");
				break;
			}
		}
		err = check_entry(r, it, &t);
	}
	if (!err)
		err = it->err;
	iter_free(it);
	if (!err)
		err = check_totals(r, &t);
	if (!err)
		err = check_tail(r);
	if (!err && done)
		done(arg, r->file_bytes - reported);
	buf_release(&t.last_key);
	sst_meta_release(&t.refs);
	return err;
}
