/* SPDX-License-Identifier: MIT */
/*
 * filter.c - building Bloom filters and checking their header; see filter.h.
 *
 * Pure functions; any thread.
 */
#include "lsm/table/filter.h"

#include <string.h>

#include "lsm/base/coding.h"

#define FILTER_KIND 1

static uint32_t line_count(size_t count, uint32_t bits_per_key)
{
	uint64_t bits = (uint64_t)count * bits_per_key;
	uint64_t lines =
		(bits + 8 * FILTER_LINE_BYTES - 1) / (8 * FILTER_LINE_BYTES);
	/* a filter is a block: its size is bounded */
	const uint64_t max = (1u << 30) / FILTER_LINE_BYTES;

	if (!lines)
		lines = 1;
	return (uint32_t)(lines < max ? lines : max);
}

/* ln 2 times the bits is best for bits anywhere; inside one line a little less
 * is, because lines fill unevenly. */
static uint32_t probe_count(uint32_t bits_per_key)
{
	uint64_t k = (uint64_t)bits_per_key * 62 / 100;

	if (k < 1)
		k = 1;
	return (uint32_t)(k < FILTER_PROBES_MAX ? k : FILTER_PROBES_MAX);
}

size_t filter_bytes(size_t count, uint32_t bits_per_key)
{
	return FILTER_HEADER_BYTES +
	       (size_t)FILTER_LINE_BYTES * line_count(count, bits_per_key);
}

int filter_build(const uint64_t *hashes, size_t count, uint32_t bits_per_key,
		 struct buf *out)
{
	uint32_t lines = line_count(count, bits_per_key);
	uint32_t probes = probe_count(bits_per_key);
	size_t bytes = filter_bytes(count, bits_per_key);
	uint8_t *head;
	size_t i;
	int err = buf_reserve(out, bytes);

	if (err)
		return err;
	head = out->data + out->len;
	memset(head, 0, bytes);
	head[0] = FILTER_KIND;
	head[1] = (uint8_t)probes;
	put_le32(head + 4, lines);
	for (i = 0; i < count; i++) {
		uint64_t hash = hashes[i], bits = filter_mix(hash);
		uint8_t *line =
			head + FILTER_HEADER_BYTES +
			(size_t)FILTER_LINE_BYTES * filter_line(hash, lines);
		uint32_t k;

		for (k = 0; k < probes; k++) {
			uint32_t bit = bits & 511;

			line[bit >> 3] |= (uint8_t)(1u << (bit & 7));
			bits >>= 9;
			if (k == FILTER_PROBES_PER_MIX - 1)
				bits = filter_mix(hash ^ hash >> 32);
		}
	}
	out->len += bytes;
	return 0;
}

bool filter_header(struct filter *f, const uint8_t *data, size_t len)
{
	uint32_t lines;

	if (len < FILTER_HEADER_BYTES || data[0] != FILTER_KIND)
		return false;
	lines = get_le32(data + 4);
	if (!lines || data[1] < 1 || data[1] > FILTER_PROBES_MAX ||
	    (uint64_t)lines * FILTER_LINE_BYTES != len - FILTER_HEADER_BYTES)
		return false;
	f->lines = NULL;
	f->line_count = lines;
	f->probes = data[1];
	return true;
}
