/* SPDX-License-Identifier: MIT */
/*
 * sst_format.c - encoding and checking of footers, handles and trailers.
 *
 * Pure functions; any thread.
 */
#include "lsm/table/sst_format.h"

#include <errno.h>
#include <string.h>

#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"
#include "lsm/table/sst.h"

#define FOOTER_CRC_AT 52

void sst_footer_encode(const struct sst_footer *f,
		       uint8_t out[SST_FOOTER_BYTES])
{
	memset(out, 0, SST_FOOTER_BYTES);
	put_le64(out, f->metaindex_offset);
	put_le32(out + 8, f->metaindex_bytes);
	put_le32(out + 12, f->index_bytes);
	put_le64(out + 16, f->index_offset);
	put_le64(out + 24, f->number);
	put_le32(out + 32, f->format);
	put_le32(out + 36, f->incompat);
	put_le32(out + 40, f->compat);
	put_le32(out + FOOTER_CRC_AT, crc32c(0, out, FOOTER_CRC_AT));
	put_le64(out + 56, SST_MAGIC);
}

static bool within(uint64_t offset, uint64_t bytes, uint64_t limit)
{
	return bytes <= SST_BLOCK_MAX && offset <= limit &&
	       limit - offset >= bytes + SST_TRAILER_BYTES;
}

int sst_footer_decode(struct sst_footer *f, const uint8_t in[SST_FOOTER_BYTES],
		      uint64_t offset, uint64_t number,
		      const struct logger *log, const char *name)
{
	if (get_le64(in + 56) != SST_MAGIC)
		return log_corrupt(log, name, offset, "not a table");
	if (get_le32(in + FOOTER_CRC_AT) != crc32c(0, in, FOOTER_CRC_AT))
		return log_corrupt(log, name, offset,
				   "footer checksum mismatch");
	f->metaindex_offset = get_le64(in);
	f->metaindex_bytes = get_le32(in + 8);
	f->index_bytes = get_le32(in + 12);
	f->index_offset = get_le64(in + 16);
	f->number = get_le64(in + 24);
	f->format = get_le32(in + 32);
	f->incompat = get_le32(in + 36);
	f->compat = get_le32(in + 40);
	if (f->format != SST_FORMAT || f->incompat & ~SST_INCOMPAT_KNOWN) {
		logger_printf(log, LSM_LOG_ERROR,
			      "%s: table format %u, features %#x: written by a "
			      "newer version",
			      name, f->format, f->incompat);
		return -EPROTONOSUPPORT;
	}
	if (f->number != number)
		return log_corrupt(log, name, offset,
				   "this is table %llu, not %llu",
				   (unsigned long long)f->number,
				   (unsigned long long)number);
	if (!within(f->metaindex_offset, f->metaindex_bytes, offset) ||
	    !within(f->index_offset, f->index_bytes, offset))
		return log_corrupt(log, name, offset,
				   "footer points outside the file");
	return 0;
}

uint32_t sst_block_crc_bind(uint32_t crc, uint8_t type, uint64_t number,
			    uint64_t offset)
{
	uint8_t bound[17];

	bound[0] = type;
	put_le64(bound + 1, number);
	put_le64(bound + 9, offset);
	return crc32c(crc, bound, sizeof(bound));
}

uint32_t sst_block_crc(const void *stored, size_t bytes, uint8_t type,
		       uint64_t number, uint64_t offset)
{
	return sst_block_crc_bind(crc32c(0, stored, bytes), type, number,
				  offset);
}

int sst_handle_append(struct buf *b, const struct sst_handle *h)
{
	int err = buf_append_varint(b, h->offset);

	if (!err)
		err = buf_append_varint(b, h->bytes);
	if (!err)
		err = buf_append_u8(b, h->type);
	return err;
}

bool sst_handle_decode(struct sst_handle *h, struct lsm_slice v, uint64_t limit)
{
	const uint8_t *p = v.data, *end = p + v.len;

	p = get_varint64(p, end, &h->offset);
	if (p)
		p = get_varint32(p, end, &h->bytes);
	if (!p || end - p != 1)
		return false;
	h->type = *p;
	return h->type <= SST_BLOCK_LZ4 && within(h->offset, h->bytes, limit);
}

const uint8_t *sst_lz4_header(const uint8_t *stored, size_t bytes,
			      uint32_t *plain_bytes)
{
	const uint8_t *end = stored + bytes;
	const uint8_t *p = get_varint32(stored, end, plain_bytes);

	/* A byte of LZ4 data makes at most 255 plain ones: a damaged length
	 * must not cost a gigabyte of memory before it is found out. */
	if (!p || *plain_bytes > SST_BLOCK_MAX ||
	    *plain_bytes > (uint64_t)(end - p) * 255)
		return NULL;
	return p;
}
