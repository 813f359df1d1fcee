/* SPDX-License-Identifier: MIT */
/*
 * coding.h - integers as bytes: fixed little-endian, fixed big-endian (for
 * keys), and LEB128 varints.
 *
 * The get_* functions that read varints are bounded: they never read at or
 * beyond end and return NULL on a truncated or overlong number, so that bytes
 * from disk can be decoded without trusting them.
 */
#ifndef LSM_BASE_CODING_H
#define LSM_BASE_CODING_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VARINT32_MAX 5 /* bytes of the longest encoded 32-bit number */
#define VARINT64_MAX 10

static inline void put_le16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_le64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t get_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t get_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t get_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void put_be64(void *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t get_be64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

/* Each writes at most VARINT32_MAX / VARINT64_MAX bytes at p and returns the
 * first byte after them. */
static inline uint8_t *put_varint64(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *put_varint32(uint8_t *p, uint32_t v)
{
	return put_varint64(p, v);
}

static inline size_t varint_len(uint64_t v)
{
	size_t n = 1;

	while (v >= 0x80) {
		v >>= 7;
		n++;
	}
	return n;
}

/* The byte after the number, or NULL when [p, end) does not hold one. */
const uint8_t *get_varint64_slow(const uint8_t *p, const uint8_t *end,
				 uint64_t *v);
const uint8_t *get_varint32_slow(const uint8_t *p, const uint8_t *end,
				 uint32_t *v);

static inline const uint8_t *get_varint64(const uint8_t *p, const uint8_t *end,
					  uint64_t *v)
{
	if (p < end && *p < 0x80) {
		*v = *p;
		return p + 1;
	}
	return get_varint64_slow(p, end, v);
}

static inline const uint8_t *get_varint32(const uint8_t *p, const uint8_t *end,
					  uint32_t *v)
{
	if (p < end && *p < 0x80) {
		*v = *p;
		return p + 1;
	}
	return get_varint32_slow(p, end, v);
}

#endif
