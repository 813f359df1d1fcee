/* SPDX-License-Identifier: MIT */
/*
 * blob_pack.c - see blob_pack.h.
 *
 * What is written is a list of parts: bytes of our own (heads, keys, trailers,
 * compressed blocks), which are named by their place in the buffer as it may
 * still move, and values where they lie. The CRC of a block is computed over
 * its bytes when it is cut, and bound to file and offset when these are known.
 */
#include "lsm/table/blob_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"
#include "lsm/table/sst_format.h"

/* Values from this size on are written from where they lie. */
#define BORROW_BYTES 2048
/* Memory beyond this is not kept for the next batch. */
#define KEEP_BYTES ((size_t)4 << 20)

struct blob_pack_part {
	const void *data; /* NULL: ours, from at on */
	size_t at, len;
};

struct blob_pack_trailer {
	size_t at;    /* in out */
	uint32_t crc; /* of the stored bytes */
};

void blob_pack_release(struct blob_pack *p)
{
	free(p->block);
	free(p->trailer);
	free(p->part);
	free(p->iov);
	free(p->value);
	buf_release(&p->out);
	buf_release(&p->plain);
	buf_release(&p->keys);
	memset(p, 0, sizeof(*p));
}

static void shrink(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_release(b);
	buf_clear(b);
}

void blob_pack_clear(struct blob_pack *p)
{
	p->block_count = p->part_count = p->iov_count = 0;
	p->value_count = 0;
	p->bytes = p->value_bytes = 0;
	shrink(&p->out);
	shrink(&p->plain);
	shrink(&p->keys);
}

static int grow(void **array, size_t *cap, size_t count, size_t size)
{
	size_t n = *cap ? 2 * *cap : 64;
	void *p;

	if (count < *cap)
		return 0;
	p = reallocarray(*array, n, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = n;
	return 0;
}

bool blob_pack_full(const struct blob_pack *p, struct lsm_slice value)
{
	return p->value_count && p->value_bytes + value.len > BLOB_BLOCK_BYTES;
}

int blob_pack_add(struct blob_pack *p, struct lsm_slice key,
		  struct lsm_slice value)
{
	int err = grow((void **)&p->value, &p->value_cap, p->value_count,
		       sizeof(*p->value));

	if (!err)
		err = buf_append_slice(&p->keys, key);
	if (!err)
		err = buf_append_u8(&p->keys, BLOB_SEQ_UNKNOWN);
	if (err)
		return err;
	p->value[p->value_count++] = value;
	p->value_bytes += value.len;
	return 0;
}

/* ---- blocks ------------------------------------------------------------- */

static int add_part(struct blob_pack *p, const void *data, size_t at,
		    size_t len)
{
	struct blob_pack_part *last =
		p->part_count ? &p->part[p->part_count - 1] : NULL;
	int err;

	if (last && data && last->data &&
	    (const uint8_t *)last->data + last->len == data) {
		last->len += len;
		return 0;
	}
	if (last && !data && !last->data && last->at + last->len == at) {
		last->len += len;
		return 0;
	}
	err = grow((void **)&p->part, &p->part_cap, p->part_count,
		   sizeof(*p->part));
	if (!err)
		p->part[p->part_count++] =
			(struct blob_pack_part){data, at, len};
	return err;
}

/* The count and the ends of the open block's values. */
static int append_head(struct blob_pack *p, struct buf *b)
{
	size_t i, n = 4 + 4 * p->value_count;
	uint32_t end = 0;
	uint8_t *to;

	if (buf_reserve(b, n))
		return -ENOMEM;
	to = b->data + b->len;
	put_le32(to, (uint32_t)p->value_count);
	for (i = 0; i < p->value_count; i++) {
		end += (uint32_t)p->value[i].len;
		put_le32(to + 4 + 4 * i, end);
	}
	b->len += n;
	return 0;
}

static int append_values(struct blob_pack *p, struct buf *b)
{
	uint8_t *to;
	size_t i;

	if (buf_reserve(b, (size_t)p->value_bytes))
		return -ENOMEM;
	to = b->data + b->len;
	for (i = 0; i < p->value_count; i++) {
		memcpy(to, p->value[i].data, p->value[i].len);
		to += p->value[i].len;
	}
	b->len += (size_t)p->value_bytes;
	return 0;
}

/* Plain bytes in one piece, for the compressor; then theirs into out. 1: done,
 * 0: they are to be stored as they are. */
static int cut_lz4(struct blob_pack *p, struct blob_block *b, uint32_t *crc)
{
	size_t at = p->out.len;
	int err;

	buf_clear(&p->plain);
	err = append_head(p, &p->plain);
	if (!err)
		err = append_values(p, &p->plain);
	if (!err)
		err = buf_append(&p->plain, p->keys.data, p->keys.len);
	if (err)
		return err;
	if (!blob_compress_try(&p->tries, p->plain.data, p->plain.len, &p->out))
		return 0;
	b->type = SST_BLOCK_LZ4;
	b->bytes = (uint32_t)(p->out.len - at);
	*crc = crc32c(0, p->out.data + at, b->bytes);
	err = add_part(p, NULL, at, b->bytes);
	return err ? err : 1;
}

/* Bytes of ours, from at to the end of out, are the next ones. */
static int own_part(struct blob_pack *p, size_t at, uint32_t *crc)
{
	size_t len = p->out.len - at;

	*crc = crc32c(*crc, p->out.data + at, len);
	return add_part(p, NULL, at, len);
}

static int add_value(struct blob_pack *p, struct lsm_slice v, uint32_t *crc)
{
	size_t at = p->out.len;
	int err;

	if (v.len < BORROW_BYTES) {
		err = buf_append(&p->out, v.data, v.len);
		return err ? err : own_part(p, at, crc);
	}
	*crc = crc32c(*crc, v.data, v.len);
	return add_part(p, v.data, 0, v.len);
}

static int cut_raw(struct blob_pack *p, struct blob_block *b, size_t plain,
		   uint32_t *crc)
{
	size_t at = p->out.len;
	int err = append_head(p, &p->out);

	*crc = 0;
	if (!err)
		err = own_part(p, at, crc);
	for (size_t i = 0; i < p->value_count && !err; i++)
		err = add_value(p, p->value[i], crc);
	at = p->out.len;
	if (!err)
		err = buf_append(&p->out, p->keys.data, p->keys.len);
	if (!err)
		err = own_part(p, at, crc);
	b->type = SST_BLOCK_RAW;
	b->bytes = (uint32_t)plain;
	return err;
}

static int grow_blocks(struct blob_pack *p)
{
	size_t cap = p->block_cap;
	int err = grow((void **)&p->block, &p->block_cap, p->block_count,
		       sizeof(*p->block));

	/* the same growth for what goes with them */
	if (!err && p->block_cap != cap) {
		void *t = reallocarray(p->trailer, p->block_cap,
				       sizeof(*p->trailer));

		if (!t) {
			p->block_cap = cap;
			return -ENOMEM;
		}
		p->trailer = t;
	}
	return err;
}

int blob_pack_cut(struct blob_pack *p)
{
	size_t plain =
		4 + 4 * p->value_count + (size_t)p->value_bytes + p->keys.len;
	struct blob_block b = {.offset = p->bytes,
			       .values = (uint32_t)p->value_count,
			       .value_bytes = p->value_bytes};
	uint8_t trailer[SST_TRAILER_BYTES] = {0};
	uint32_t crc = 0;
	int r = 0;

	if (!p->value_count)
		return 0;
	if (p->value_bytes > SST_BLOCK_MAX || plain > SST_BLOCK_MAX)
		return -EFBIG;
	if (grow_blocks(p))
		return -ENOMEM;
	if (p->lz4 && blob_worth_trying(&p->tries, plain))
		r = cut_lz4(p, &b, &crc);
	if (!r)
		r = cut_raw(p, &b, plain, &crc);
	if (r < 0)
		return r;
	trailer[0] = b.type;
	p->trailer[p->block_count].at = p->out.len;
	p->trailer[p->block_count].crc = crc;
	r = buf_append(&p->out, trailer, sizeof(trailer));
	if (!r)
		r = add_part(p, NULL, p->out.len - sizeof(trailer),
			     sizeof(trailer));
	if (r)
		return r;
	p->block[p->block_count++] = b;
	p->bytes += (uint64_t)b.bytes + SST_TRAILER_BYTES;
	p->value_count = 0;
	p->value_bytes = 0;
	buf_clear(&p->keys);
	return 0;
}

/* ---- the place ---------------------------------------------------------- */

int blob_pack_place(struct blob_pack *p, uint64_t number, uint64_t offset)
{
	size_t i;

	if (p->part_count > p->iov_cap) {
		void *v = reallocarray(p->iov, p->part_cap, sizeof(*p->iov));

		if (!v)
			return -ENOMEM;
		p->iov = v;
		p->iov_cap = p->part_cap;
	}
	for (i = 0; i < p->block_count; i++) {
		const struct blob_pack_trailer *t = &p->trailer[i];
		const struct blob_block *b = &p->block[i];

		put_le32(p->out.data + t->at + 1,
			 sst_block_crc_bind(t->crc, b->type, number,
					    offset + b->offset));
	}
	for (i = 0; i < p->part_count; i++) {
		const struct blob_pack_part *part = &p->part[i];

		p->iov[i].iov_base = part->data ? (void *)part->data
						: p->out.data + part->at;
		p->iov[i].iov_len = part->len;
	}
	p->iov_count = p->part_count;
	return 0;
}
