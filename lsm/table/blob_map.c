/* SPDX-License-Identifier: MIT */
/* blob_map.c - a sorted array; see blob_map.h. */
#include "lsm/table/blob_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/table/sst_format.h"

void blob_map_release(struct blob_map *m)
{
	free(m->block);
	memset(m, 0, sizeof(*m));
}

int blob_map_reserve(struct blob_map *m, size_t more)
{
	size_t cap = m->cap ? m->cap : 64;
	void *p;

	if (m->cap - m->count >= more)
		return 0;
	while (cap - m->count < more)
		cap *= 2;
	p = reallocarray(m->block, cap, sizeof(*m->block));
	if (!p)
		return -ENOMEM;
	m->block = p;
	m->cap = cap;
	return 0;
}

static uint64_t end_of(const struct blob_block *b)
{
	return b->offset + b->bytes + SST_TRAILER_BYTES;
}

/* The first block at or behind offset. */
static size_t find(const struct blob_map *m, uint64_t offset)
{
	size_t low = 0, high = m->count;

	/* mostly behind all that are there, or the last one again */
	if (high && m->block[high - 1].offset < offset)
		return high;
	if (high > 1 && m->block[high - 2].offset < offset)
		return high - 1;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->block[mid].offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct blob_block *blob_map_find(struct blob_map *m, uint64_t offset)
{
	size_t i = find(m, offset);

	return i < m->count && m->block[i].offset == offset ? &m->block[i]
							    : NULL;
}

int blob_map_add(struct blob_map *m, const struct blob_block *b)
{
	size_t i = find(m, b->offset);
	int err;

	if ((i && end_of(&m->block[i - 1]) > b->offset) ||
	    (i < m->count && end_of(b) > m->block[i].offset))
		return -EUCLEAN;
	err = blob_map_reserve(m, 1);
	if (err)
		return err;
	memmove(&m->block[i + 1], &m->block[i],
		(m->count - i) * sizeof(*m->block));
	m->block[i] = *b;
	m->count++;
	return 0;
}

uint64_t blob_map_end(const struct blob_map *m)
{
	return m->count ? end_of(&m->block[m->count - 1]) : 0;
}
