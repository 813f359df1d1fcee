/* SPDX-License-Identifier: MIT */
/* buf.c - a growable byte buffer; grows by half, so appends cost O(1). */
#include "lsm/base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/coding.h"

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

int buf_reserve(struct buf *b, size_t extra)
{
	size_t want, cap;
	uint8_t *p;

	if (b->cap - b->len >= extra)
		return 0;
	if (__builtin_add_overflow(b->len, extra, &want))
		return -ENOMEM;
	cap = b->cap + b->cap / 2;
	if (cap < 64)
		cap = 64;
	if (cap < want)
		cap = want;
	p = realloc(b->data, cap);
	if (!p)
		return -ENOMEM;
	b->data = p;
	b->cap = cap;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	int err;

	if (!len)
		return 0;
	err = buf_reserve(b, len);
	if (err)
		return err;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buf_append_u8(struct buf *b, uint8_t v)
{
	return buf_append(b, &v, 1);
}

int buf_append_le32(struct buf *b, uint32_t v)
{
	uint8_t tmp[4];

	put_le32(tmp, v);
	return buf_append(b, tmp, sizeof(tmp));
}

int buf_append_le64(struct buf *b, uint64_t v)
{
	uint8_t tmp[8];

	put_le64(tmp, v);
	return buf_append(b, tmp, sizeof(tmp));
}

int buf_append_varint(struct buf *b, uint64_t v)
{
	uint8_t tmp[VARINT64_MAX];

	return buf_append(b, tmp, (size_t)(put_varint64(tmp, v) - tmp));
}

int buf_append_slice(struct buf *b, struct lsm_slice s)
{
	int err = buf_reserve(b, VARINT64_MAX + s.len);

	if (err)
		return err;
	b->len = (size_t)(put_varint64(b->data + b->len, s.len) - b->data);
	return buf_append(b, s.data, s.len);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, err;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	err = buf_reserve(b, (size_t)n + 1);
	if (err)
		return err;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

int buf_append_escaped(struct buf *b, struct lsm_slice s)
{
	const uint8_t *p = s.data;
	int err = buf_reserve(b, s.len * 4 + 1);

	if (err)
		return err;
	for (size_t i = 0; i < s.len; i++) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\')
			b->data[b->len++] = p[i];
		else
			b->len += (size_t)sprintf((char *)b->data + b->len,
						  "\\x%02x", p[i]);
	}
	b->data[b->len] = '\0';
	return 0;
}

const uint8_t *get_slice(const uint8_t *p, const uint8_t *end,
			 struct lsm_slice *s)
{
	uint64_t len;

	p = get_varint64(p, end, &len);
	if (!p || len > (uint64_t)(end - p))
		return NULL;
	*s = lsm_slice(p, (size_t)len);
	return p + len;
}
