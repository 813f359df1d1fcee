/* SPDX-License-Identifier: MIT */
/*
 * sst_writer_tail.c - ending a table: filter, range tombstones, index,
 * properties, metaindex, footer.
 *
 * Called once, by the one thread that writes the table.
 */
#include "lsm/table/sst_writer.h"

#include <string.h>
#include <time.h>

#include "lsm/base/coding.h"
#include "lsm/table/filter.h"

static int prop_number(struct block_builder *b, const char *name, uint64_t v)
{
	uint8_t tmp[VARINT64_MAX];
	size_t n = (size_t)(put_varint64(tmp, v) - tmp);

	return block_builder_add(b, slice_str(name), 0, lsm_slice(tmp, n));
}

static int build_properties(struct sst_writer *w, struct block_builder *b)
{
	const struct sst_meta *m = &w->meta;
	const struct {
		const char *name;
		uint64_t value;
	} before[] =
		{
			{SST_PROP_CREATED, (uint64_t)time(NULL)},
			{SST_PROP_DATA_BLOCKS, w->data_blocks},
			{SST_PROP_DATA_BYTES, w->data_bytes},
			{SST_PROP_DELETIONS, m->deletions},
			{SST_PROP_ENTRIES, m->entries},
		},
	  after[] = {
		  {SST_PROP_LARGEST_EXCLUSIVE, m->largest_exclusive},
		  {SST_PROP_MAX_SEQ, m->max_seq},
		  {SST_PROP_MIN_SEQ, m->min_seq},
		  {SST_PROP_PREFIX_BYTES, w->prefix_bytes},
		  {SST_PROP_RANGE_DELETIONS, m->range_deletions},
		  {SST_PROP_RAW_BLOCKS, w->raw_blocks},
		  {SST_PROP_RAW_BYTES, m->raw_bytes},
	  };
	struct buf refs = {0};
	size_t i;
	int err = 0;

	if (m->blob_count) {
		err = sst_meta_encode_blobs(m, &refs);
		if (!err)
			err = block_builder_add(b,
						slice_str(SST_PROP_BLOB_REFS),
						0, buf_slice(&refs));
		buf_release(&refs);
	}
	for (i = 0; i < sizeof(before) / sizeof(*before) && !err; i++)
		err = prop_number(b, before[i].name, before[i].value);
	if (!err)
		err = block_builder_add(b, slice_str(SST_PROP_LARGEST), 0,
					buf_slice(&m->largest));
	for (i = 0; i < sizeof(after) / sizeof(*after) && !err; i++)
		if (after[i].value ||
		    strcmp(after[i].name, SST_PROP_PREFIX_BYTES))
			err = prop_number(b, after[i].name, after[i].value);
	if (!err)
		err = block_builder_add(b, slice_str(SST_PROP_SMALLEST), 0,
					buf_slice(&m->smallest));
	return err;
}

int sst_writer_bounds(struct sst_writer *w)
{
	struct sst_meta *m = &w->meta;
	struct lsm_slice last = buf_slice(&w->data.last_key);
	struct lsm_slice end = buf_slice(&w->range_end);
	struct lsm_slice start;
	struct block_entry e;
	int err;

	if (m->min_seq > m->max_seq)
		m->min_seq = 0; /* an empty table */
	if (!w->has_range)
		return buf_append(&m->largest, last.data, last.len);
	m->largest_exclusive = !m->entries || slice_cmp(end, last) > 0;
	if (m->largest_exclusive)
		last = end;
	err = buf_append(&m->largest, last.data, last.len);
	/* the first start is whole at the head of its block */
	block_entry_decode(w->ranges.buf.data,
			   w->ranges.buf.data + w->ranges.buf.len, &e);
	start = lsm_slice(e.key, e.unshared);
	if (!err &&
	    (!m->entries || slice_cmp(start, buf_slice(&m->smallest)) < 0)) {
		buf_clear(&m->smallest);
		err = buf_append(&m->smallest, start.data, start.len);
	}
	return err;
}

/* Ends a block built beside the data, writes it, and puts its handle under
 * name into the metaindex when there is one. */
static int write_meta(struct sst_writer *w, struct block_builder *b,
		      struct block_builder *metaindex, const char *name,
		      struct sst_handle *h)
{
	int err = block_builder_finish(b);

	if (!err)
		err = sst_writer_block(w, buf_slice(&b->buf), w->lz4, h);
	if (err || !metaindex)
		return err;
	buf_clear(&w->handle);
	err = sst_handle_append(&w->handle, h);
	if (!err)
		err = block_builder_add(metaindex, slice_str(name), 0,
					buf_slice(&w->handle));
	return err;
}

static int write_filter(struct sst_writer *w, struct block_builder *metaindex)
{
	struct buf filter = {0};
	struct sst_handle h;
	int err =
		filter_build(w->hashes, w->hash_count, w->bloom_bits, &filter);

	if (!err)
		err = sst_writer_block(w, buf_slice(&filter), false, &h);
	buf_release(&filter);
	buf_clear(&w->handle);
	if (!err)
		err = sst_handle_append(&w->handle, &h);
	if (!err)
		err = block_builder_add(metaindex, slice_str(SST_META_FILTER),
					0, buf_slice(&w->handle));
	return err;
}

/* The metaindex gets its names in order:
 * filter, properties, ranges. */
int sst_writer_tail(struct sst_writer *w)
{
	struct block_builder props = {.restart_interval =
					      META_RESTART_INTERVAL};
	struct block_builder metaindex = {.restart_interval =
						  META_RESTART_INTERVAL};
	struct sst_handle ranges, index, properties, meta;
	struct sst_footer f = {0};
	uint8_t footer[SST_FOOTER_BYTES];
	int err = 0;

	if (w->hash_count)
		err = write_filter(w, &metaindex);
	if (!err && w->has_range)
		err = write_meta(w, &w->ranges, NULL, NULL, &ranges);
	/* uncompressed, for its length is in the footer without a type */
	if (!err)
		err = block_builder_finish(&w->index);
	if (!err)
		err = sst_writer_block(w, buf_slice(&w->index.buf), false,
				       &index);
	if (!err)
		err = build_properties(w, &props);
	if (!err)
		err = write_meta(w, &props, &metaindex, SST_META_PROPERTIES,
				 &properties);
	if (!err && w->has_range) {
		buf_clear(&w->handle);
		err = sst_handle_append(&w->handle, &ranges);
		if (!err)
			err = block_builder_add(&metaindex,
						slice_str(SST_META_RANGES), 0,
						buf_slice(&w->handle));
	}
	if (!err)
		err = block_builder_finish(&metaindex);
	if (!err)
		err = sst_writer_block(w, buf_slice(&metaindex.buf), false,
				       &meta);
	block_builder_release(&props);
	block_builder_release(&metaindex);
	if (err)
		return err;
	f.metaindex_offset = meta.offset;
	f.metaindex_bytes = meta.bytes;
	f.index_offset = index.offset;
	f.index_bytes = index.bytes;
	f.number = w->meta.number;
	f.format = SST_FORMAT;
	sst_footer_encode(&f, footer);
	w->offset += sizeof(footer);
	return env_writer_append(w->out, footer, sizeof(footer));
}
