/* SPDX-License-Identifier: MIT */
/*
 * blob_writer.c - see blob_writer.h.
 *
 * An error sticks: later calls return it again, and finish deletes the file.
 */
#include "lsm/table/blob_writer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "lsm/table/blob_compress.h"
#include "lsm/table/sst_format.h"

struct blob_writer {
	struct env_writer *out;
	bool lz4;
	int err; /* sticky */
	uint64_t offset;
	/* The open block: ends of values, values, keys. */
	struct buf ends, values, keys;
	struct buf plain, stored; /* of the block being cut */
	struct buf index;
	struct blob_footer footer;
	struct blob_tries tries;
};

int blob_writer_open(struct env_dir *dir, const char *name, uint64_t number,
		     bool lz4, struct blob_writer **out)
{
	struct blob_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->lz4 = lz4;
	w->footer.number = number;
	w->footer.format = BLOB_FORMAT;
	err = env_writer_create(dir, name, &w->out);
	if (err) {
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

static void writer_free(struct blob_writer *w)
{
	buf_release(&w->ends);
	buf_release(&w->values);
	buf_release(&w->keys);
	buf_release(&w->plain);
	buf_release(&w->stored);
	buf_release(&w->index);
	free(w);
}

void blob_writer_abort(struct blob_writer *w)
{
	env_writer_abort(w->out);
	writer_free(w);
}

uint64_t blob_writer_bytes(const struct blob_writer *w)
{
	return w->offset;
}

bool blob_writer_full(const struct blob_writer *w, struct lsm_slice key,
		      struct lsm_slice value)
{
	return w->ends.len &&
	       w->ends.len + w->values.len + w->keys.len + key.len + value.len >
		       BLOB_BLOCK_BYTES;
}

static int add(struct blob_writer *w, struct lsm_slice key, uint64_t seq,
	       struct lsm_slice value)
{
	int err = buf_append(&w->values, value.data, value.len);

	if (!err)
		err = buf_append_le32(&w->ends, (uint32_t)w->values.len);
	if (!err)
		err = buf_append_slice(&w->keys, key);
	if (!err)
		err = buf_append_varint(&w->keys, seq);
	w->footer.values++;
	w->footer.value_bytes += value.len;
	return err;
}

int blob_writer_add(struct blob_writer *w, struct lsm_slice key, uint64_t seq,
		    struct lsm_slice value, uint32_t *index)
{
	if (w->err)
		return w->err;
	if (!value.len || value.len > LSM_VALUE_MAX || !key.len ||
	    w->values.len > SST_BLOCK_MAX - LSM_VALUE_MAX)
		return w->err = -EINVAL;
	*index = (uint32_t)(w->ends.len / 4);
	return w->err = add(w, key, seq, value);
}

/* Writes stored bytes and their trailer. */
static int write_block(struct blob_writer *w, struct lsm_slice stored,
		       uint8_t type)
{
	uint8_t trailer[SST_TRAILER_BYTES];
	int err;

	trailer[0] = type;
	put_le32(trailer + 1, sst_block_crc(stored.data, stored.len, type,
					    w->footer.number, w->offset));
	err = env_writer_append(w->out, stored.data, stored.len);
	if (!err)
		err = env_writer_append(w->out, trailer, sizeof(trailer));
	w->offset += stored.len + sizeof(trailer);
	return err;
}

static int cut(struct blob_writer *w, struct blob_handle *h)
{
	struct lsm_slice stored;
	int err;

	buf_clear(&w->plain);
	err = buf_append_le32(&w->plain, (uint32_t)(w->ends.len / 4));
	if (!err)
		err = buf_append(&w->plain, w->ends.data, w->ends.len);
	if (!err)
		err = buf_append(&w->plain, w->values.data, w->values.len);
	if (!err)
		err = buf_append(&w->plain, w->keys.data, w->keys.len);
	if (err)
		return err;
	if (w->plain.len > SST_BLOCK_MAX || w->footer.blocks == UINT32_MAX)
		return -EFBIG;
	buf_clear(&w->ends);
	buf_clear(&w->values);
	buf_clear(&w->keys);
	h->file = w->footer.number;
	h->offset = w->offset;
	buf_clear(&w->stored);
	h->type = w->lz4 && blob_compress(&w->tries, w->plain.data,
					  w->plain.len, &w->stored)
			  ? SST_BLOCK_LZ4
			  : SST_BLOCK_RAW;
	stored = buf_slice(h->type == SST_BLOCK_LZ4 ? &w->stored : &w->plain);
	h->bytes = (uint32_t)stored.len;
	w->footer.blocks++;
	err = buf_append_varint(&w->index, h->bytes);
	if (!err)
		err = buf_append_u8(&w->index, h->type);
	return err ? err : write_block(w, stored, h->type);
}

/* One huge value must not cost its memory for the rest of the file. */
static void shrink(struct buf *b)
{
	if (b->cap > 16 * BLOB_BLOCK_BYTES)
		buf_release(b);
}

int blob_writer_cut(struct blob_writer *w, struct blob_handle *h)
{
	assert(w->err || w->ends.len);
	if (!w->err)
		w->err = cut(w, h);
	shrink(&w->values);
	shrink(&w->plain);
	shrink(&w->stored);
	return w->err;
}

static int write_tail(struct blob_writer *w)
{
	uint8_t footer[BLOB_FOOTER_BYTES];
	int err;

	if (w->index.len > SST_BLOCK_MAX)
		return -EFBIG;
	w->footer.index_offset = w->offset;
	w->footer.index_bytes = (uint32_t)w->index.len;
	err = write_block(w, buf_slice(&w->index), SST_BLOCK_RAW);
	if (err)
		return err;
	blob_footer_encode(&w->footer, footer);
	w->offset += sizeof(footer);
	return env_writer_append(w->out, footer, sizeof(footer));
}

int blob_writer_finish(struct blob_writer *w, struct blob_meta *meta)
{
	int err = w->err;

	assert(err || !w->ends.len);
	if (!err)
		err = write_tail(w);
	if (err) {
		blob_writer_abort(w);
		return err;
	}
	err = env_writer_finish(w->out);
	*meta = (struct blob_meta){.number = w->footer.number,
				   .file_bytes = w->offset,
				   .values = w->footer.values,
				   .value_bytes = w->footer.value_bytes};
	writer_free(w);
	return err;
}
