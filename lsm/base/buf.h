/* SPDX-License-Identifier: MIT */
/*
 * buf.h - a growable byte buffer.
 *
 * struct buf is the caller's; start with = {0}, end with buf_release(). The
 * appenders return 0 or -ENOMEM; after -ENOMEM the contents are unchanged.
 */
#ifndef LSM_BASE_BUF_H
#define LSM_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "lsm/lsm.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
};

void buf_release(struct buf *b);
/* Makes room for extra more bytes beyond len. */
int buf_reserve(struct buf *b, size_t extra);
int buf_append(struct buf *b, const void *data, size_t len);
int buf_append_u8(struct buf *b, uint8_t v);
int buf_append_le32(struct buf *b, uint32_t v);
int buf_append_le64(struct buf *b, uint64_t v);
int buf_append_varint(struct buf *b, uint64_t v);
/* A varint length, then the bytes. */
int buf_append_slice(struct buf *b, struct lsm_slice s);
/* Text, as printf; no terminating zero is counted in len, but one is there. */
int buf_printf(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Text: bytes as they are when printable, else \xNN. */
int buf_append_escaped(struct buf *b, struct lsm_slice s);

static inline void buf_clear(struct buf *b)
{
	b->len = 0;
}

static inline struct lsm_slice buf_slice(const struct buf *b)
{
	return lsm_slice(b->data, b->len);
}

/* Reads what buf_append_slice() wrote: the byte after it, or NULL. The slice
 * points into [p, end). */
const uint8_t *get_slice(const uint8_t *p, const uint8_t *end,
			 struct lsm_slice *s);

#endif
