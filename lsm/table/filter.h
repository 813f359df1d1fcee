/* SPDX-License-Identifier: MIT */
/*
 * filter.h - a Bloom filter of one cache line a key. Private to lsm/table/.
 *
 *   header  kind u8 (1) | probes u8 | zero u16 | lines u32 | zero u64
 *   lines   64 bytes each
 *
 * A key's hash chooses a line and `probes` bits of its 512: one cache miss a
 * question, for somewhat more false positives than bits anywhere would give.
 * Source: F. Putze, P. Sanders, J. Singler, Cache-, Hash- and Space-Efficient
 * Bloom Filters, 2007.
 */
#ifndef LSM_TABLE_FILTER_H
#define LSM_TABLE_FILTER_H

#include <stdbool.h>

#include "lsm/base/buf.h"

#define FILTER_HEADER_BYTES 16
#define FILTER_LINE_BYTES   64
#define FILTER_PROBES_MAX   14

/* lines points to memory aligned to FILTER_LINE_BYTES. */
struct filter {
	const uint8_t *lines;
	uint32_t line_count; /* 0: no filter, everything may be there */
	uint32_t probes;
};

/* Appends a filter for the hashes to out. 0 or -ENOMEM. */
int filter_build(const uint64_t *hashes, size_t count, uint32_t bits_per_key,
		 struct buf *out);
/* Bytes that filter_build() would append. */
size_t filter_bytes(size_t count, uint32_t bits_per_key);
/* Checks a header: f->lines is left to the caller to set to a (copy of) what
 * follows it. False when data is no filter. */
bool filter_header(struct filter *f, const uint8_t *data, size_t len);

static inline uint32_t filter_line(uint64_t hash, uint32_t line_count)
{
	return (uint32_t)((hash >> 32) * line_count >> 32);
}

/* Seven probes of 9 bits come out of one multiplied hash. */
static inline uint64_t filter_mix(uint64_t hash)
{
	return hash * 0x9fb21c651e98df25ull;
}

#define FILTER_PROBES_PER_MIX 7

/* False: no key with this hash was added. */
static inline bool filter_may_contain(const struct filter *f, uint64_t hash)
{
	const uint8_t *line =
		f->lines +
		(size_t)FILTER_LINE_BYTES * filter_line(hash, f->line_count);
	uint64_t bits = filter_mix(hash);
	uint32_t i;

	for (i = 0; i < f->probes; i++) {
		uint32_t bit = bits & 511;

		if (!(line[bit >> 3] >> (bit & 7) & 1))
			return false;
		bits >>= 9;
		if (i == FILTER_PROBES_PER_MIX - 1)
			bits = filter_mix(hash ^ hash >> 32);
	}
	return true;
}

#endif
