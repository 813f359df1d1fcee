/* SPDX-License-Identifier: MIT */
/* blob_format.c - see blob_format.h. */
#include "lsm/table/blob_format.h"

#include <errno.h>

#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"
#include "lsm/base/slice.h"
#include "lsm/table/sst_format.h"

#define FOOTER_CRC_AT 52
/* In a handle's type. */
#define HANDLE_SHARED 0x80

/* ---- handles ------------------------------------------------------------ */

size_t blob_handle_encode(const struct blob_handle *h,
			  uint8_t out[BLOB_HANDLE_MAX])
{
	uint8_t *p = put_varint64(out, h->file);

	p = put_varint64(p, h->offset);
	p = put_varint32(p, h->bytes);
	*p++ = (uint8_t)(h->type | (h->shared ? HANDLE_SHARED : 0));
	p = put_varint32(p, h->index);
	p = put_varint32(p, h->len);
	return (size_t)(p - out);
}

bool blob_handle_decode(struct blob_handle *h, struct lsm_slice v)
{
	const uint8_t *p = v.data, *end = p + v.len;

	if (!v.len)
		return false;
	p = get_varint64(p, end, &h->file);
	if (p)
		p = get_varint64(p, end, &h->offset);
	if (p)
		p = get_varint32(p, end, &h->bytes);
	if (!p || p == end)
		return false;
	h->shared = *p & HANDLE_SHARED;
	h->type = *p++ & (uint8_t)~HANDLE_SHARED;
	p = get_varint32(p, end, &h->index);
	if (p)
		p = get_varint32(p, end, &h->len);
	return p == end && h->file && h->type <= SST_BLOCK_LZ4 &&
	       h->bytes <= SST_BLOCK_MAX && h->offset <= INT64_MAX && h->len &&
	       h->len <= LSM_VALUE_MAX;
}

/* ---- footer ------------------------------------------------------------- */

void blob_footer_encode(const struct blob_footer *f,
			uint8_t out[BLOB_FOOTER_BYTES])
{
	put_le64(out, f->index_offset);
	put_le32(out + 8, f->index_bytes);
	put_le32(out + 12, f->blocks);
	put_le64(out + 16, f->values);
	put_le64(out + 24, f->value_bytes);
	put_le64(out + 32, f->number);
	put_le32(out + 40, f->format);
	put_le32(out + 44, f->incompat);
	put_le32(out + 48, f->compat);
	put_le32(out + FOOTER_CRC_AT, crc32c(0, out, FOOTER_CRC_AT));
	put_le64(out + 56, BLOB_MAGIC);
}

int blob_footer_decode(struct blob_footer *f,
		       const uint8_t in[BLOB_FOOTER_BYTES], uint64_t offset,
		       uint64_t number, const struct logger *log,
		       const char *name)
{
	if (get_le64(in + 56) != BLOB_MAGIC)
		return log_corrupt(log, name, offset, "not a blob file");
	if (get_le32(in + FOOTER_CRC_AT) != crc32c(0, in, FOOTER_CRC_AT))
		return log_corrupt(log, name, offset,
				   "footer checksum mismatch");
	f->index_offset = get_le64(in);
	f->index_bytes = get_le32(in + 8);
	f->blocks = get_le32(in + 12);
	f->values = get_le64(in + 16);
	f->value_bytes = get_le64(in + 24);
	f->number = get_le64(in + 32);
	f->format = get_le32(in + 40);
	f->incompat = get_le32(in + 44);
	f->compat = get_le32(in + 48);
	if (f->format != BLOB_FORMAT || f->incompat & ~BLOB_INCOMPAT_KNOWN) {
		logger_printf(log, LSM_LOG_ERROR,
			      "%s: blob format %u, features %#x: written by a "
			      "newer version",
			      name, f->format, f->incompat);
		return -EPROTONOSUPPORT;
	}
	if (f->number != number)
		return log_corrupt(log, name, offset,
				   "this is blob file %llu, not %llu",
				   (unsigned long long)f->number,
				   (unsigned long long)number);
	if (f->index_bytes > SST_BLOCK_MAX || f->index_offset > offset ||
	    offset - f->index_offset !=
		    (uint64_t)f->index_bytes + SST_TRAILER_BYTES)
		return log_corrupt(log, name, offset,
				   "footer points outside the file");
	return 0;
}

/* ---- plain blocks ------------------------------------------------------- */

static const uint8_t *ends_of(const void *data)
{
	return (const uint8_t *)data + 4;
}

static uint32_t end_of(const void *data, uint32_t i)
{
	return get_le32(ends_of(data) + 4 * (size_t)i);
}

uint32_t blob_block_count(const void *data)
{
	return get_le32(data);
}

/* The next key with its sequence, or NULL. */
static const uint8_t *take_key(const uint8_t *p, const uint8_t *end,
			       struct lsm_slice *key, uint64_t *seq)
{
	p = get_slice(p, end, key);
	if (!p || !key->len || key->len > LSM_KEY_MAX)
		return NULL;
	p = get_varint64(p, end, seq);
	return p && *seq <= SEQ_MAX ? p : NULL;
}

bool blob_block_check(const void *data, size_t len)
{
	const uint8_t *end = (const uint8_t *)data + len, *p;
	uint32_t count, i, last = 0;
	struct lsm_slice key;
	uint64_t seq;

	if (len < 4)
		return false;
	count = blob_block_count(data);
	if (!count || count > (len - 4) / 4)
		return false;
	p = ends_of(data) + 4 * (size_t)count;
	for (i = 0; i < count; i++) {
		if (end_of(data, i) <= last)
			return false;
		last = end_of(data, i);
	}
	if (last > (size_t)(end - p))
		return false;
	p += last;
	for (i = 0; i < count && p; i++)
		p = take_key(p, end, &key, &seq);
	return p == end;
}

bool blob_block_value(const void *data, size_t len, uint32_t index,
		      struct lsm_slice *value)
{
	uint32_t count, from, to;
	size_t head;

	if (len < 4)
		return false;
	count = blob_block_count(data);
	if (index >= count || count > (len - 4) / 4)
		return false;
	head = 4 + 4 * (size_t)count;
	from = index ? end_of(data, index - 1) : 0;
	to = end_of(data, index);
	if (from > to || to > len - head)
		return false;
	*value = lsm_slice((const uint8_t *)data + head + from, to - from);
	return true;
}

bool blob_block_key(const void *data, size_t len, uint32_t index,
		    struct lsm_slice *key, uint64_t *seq)
{
	const uint8_t *end = (const uint8_t *)data + len, *p;
	uint32_t count = blob_block_count(data), i;

	if (index >= count)
		return false;
	p = ends_of(data) + 4 * (size_t)count + end_of(data, count - 1);
	for (i = 0; i <= index && p; i++)
		p = take_key(p, end, key, seq);
	return p;
}

int blob_block_each(const void *data, size_t len,
		    int (*fn)(void *arg, uint32_t index, struct lsm_slice key,
			      uint64_t seq, struct lsm_slice value),
		    void *arg)
{
	const uint8_t *end = (const uint8_t *)data + len, *p;
	uint32_t count = blob_block_count(data), i;
	struct lsm_slice key, value;
	uint64_t seq;
	int r = 0;

	p = ends_of(data) + 4 * (size_t)count + end_of(data, count - 1);
	for (i = 0; i < count && !r; i++) {
		p = take_key(p, end, &key, &seq);
		if (!p || !blob_block_value(data, len, i, &value))
			return -EUCLEAN;
		r = fn(arg, i, key, seq, value);
	}
	return r;
}
