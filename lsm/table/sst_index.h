/* SPDX-License-Identifier: MIT */
/*
 * sst_index.h - a table's index as it lies in memory. Private to lsm/table/.
 *
 * The index block is decoded once, when the table is opened, into arrays that
 * a search touches little of: the keys as numbers (key_numbers.h), and their
 * bytes, which are looked at only where the numbers do not decide.
 *
 * Immutable once built; any thread.
 */
#ifndef LSM_TABLE_SST_INDEX_H
#define LSM_TABLE_SST_INDEX_H

#include "lsm/base/key_numbers.h"
#include "lsm/table/block.h"
#include "lsm/table/sst_format.h"

struct sst_index_entry {
	uint64_t offset;
	uint32_t bytes; /* top bit: LZ4 */
	uint32_t key_at;
};

#define SST_INDEX_LZ4 (1u << 31)

struct sst_index {
	uint32_t count;
	struct key_numbers numbers;
	const struct sst_index_entry *entry; /* count + 1, for key_at */
	const uint64_t *tag;                 /* NULL: all are zero */
	const uint8_t *keys; /* without the common bytes, one by one */
	void *memory;        /* all of the above */
	size_t memory_bytes;
};

/* 0, -ENOMEM or -EUCLEAN with *why saying what is wrong. The blocks must lie
 * one after the other from 0 to data_bytes. */
int sst_index_build(struct sst_index *ix, const struct block *b,
		    uint64_t data_bytes, const char **why);
void sst_index_release(struct sst_index *ix);

/* The first block whose index key is >= (key, tag): the only one that can
 * hold the first entry >= (key, tag), unless that is the first entry of the
 * block after it. ix->count when there is none. */
uint32_t sst_index_seek(const struct sst_index *ix, struct lsm_slice key,
			uint64_t tag);

/* Order of index key i against (key, tag). */
int sst_index_cmp(const struct sst_index *ix, uint32_t i, struct lsm_slice key,
		  uint64_t tag);

static inline struct sst_handle sst_index_handle(const struct sst_index *ix,
						 uint32_t i)
{
	const struct sst_index_entry *e = &ix->entry[i];
	struct sst_handle h = {
		.offset = e->offset,
		.bytes = e->bytes & ~SST_INDEX_LZ4,
		.type = e->bytes & SST_INDEX_LZ4 ? SST_BLOCK_LZ4
						 : SST_BLOCK_RAW,
	};

	return h;
}

#endif
