/* SPDX-License-Identifier: MIT */
/* coding.c - the uncommon path of reading varints: more than one byte. */
#include "lsm/base/coding.h"

const uint8_t *get_varint64_slow(const uint8_t *p, const uint8_t *end,
				 uint64_t *v)
{
	uint64_t result = 0;

	for (unsigned shift = 0; shift <= 63 && p < end; shift += 7) {
		uint64_t byte = *p++;

		/* The tenth byte holds the 64th bit only. */
		if (shift == 63 && byte > 1)
			return NULL;
		result |= (byte & 0x7f) << shift;
		if (byte < 0x80) {
			*v = result;
			return p;
		}
	}
	return NULL;
}

const uint8_t *get_varint32_slow(const uint8_t *p, const uint8_t *end,
				 uint32_t *v)
{
	uint64_t wide;

	p = get_varint64_slow(p, end, &wide);
	if (!p || wide > UINT32_MAX)
		return NULL;
	*v = (uint32_t)wide;
	return p;
}
