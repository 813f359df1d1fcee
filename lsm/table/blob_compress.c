/* SPDX-License-Identifier: MIT */
/* blob_compress.c - see blob_compress.h. */
#include "lsm/table/blob_compress.h"

#include "lsm/base/coding.h"
#include "lsm/base/compress.h"

/* Failures in a row before compression is tried on one block in SKIP_BLOCKS. */
#define FAILURES_MAX 4
#define SKIP_BLOCKS  16
#define LEN_MIN      64

bool blob_worth_trying(struct blob_tries *t, size_t len)
{
	if (len < LEN_MIN)
		return false;
	if (t->failures >= FAILURES_MAX && ++t->skipped < SKIP_BLOCKS)
		return false;
	t->skipped = 0;
	return true;
}

bool blob_compress_try(struct blob_tries *t, const void *plain, size_t len,
		       struct buf *out)
{
	size_t bound = len - len / 8, head, n;
	uint8_t *p;

	if (buf_reserve(out, bound + VARINT32_MAX))
		return false;
	p = out->data + out->len;
	head = (size_t)(put_varint32(p, (uint32_t)len) - p);
	n = lz4_compress_fast(plain, len, p + head, bound - head,
			      t->acceleration ? t->acceleration : 1);
	t->failures = n ? 0 : t->failures + 1;
	if (n)
		out->len += head + n;
	return n > 0;
}

bool blob_compress(struct blob_tries *t, const void *plain, size_t len,
		   struct buf *out)
{
	return blob_worth_trying(t, len) &&
	       blob_compress_try(t, plain, len, out);
}
