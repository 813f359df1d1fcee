/* SPDX-License-Identifier: MIT */
/*
 * sst_writer.h - a table being written, as sst_writer.c (its entries) and
 * sst_writer_tail.c (what follows them) share it. Private to lsm/table/.
 */
#ifndef LSM_TABLE_SST_WRITER_H
#define LSM_TABLE_SST_WRITER_H

#include "lsm/table/block.h"
#include "lsm/table/sst.h"
#include "lsm/table/sst_format.h"

/* For the index, the properties and the other small blocks. */
#define META_RESTART_INTERVAL 16

struct sst_writer {
	struct env_writer *out;
	const struct logger *log;
	struct cache *cache; /* charged with the hashes; may be NULL */
	char *name;
	uint32_t block_bytes, bloom_bits, prefix_bytes;
	bool lz4;
	int err; /* sticky */
	uint64_t offset;
	uint64_t data_bytes, data_blocks, raw_blocks;
	uint32_t misses; /* blocks in a row that did not compress */
	struct block_builder data, index, ranges;
	struct buf handle, stored, sep, range_value;
	uint64_t *hashes;
	size_t hash_count, hash_cap;
	struct buf range_end; /* the greatest */
	struct sst_meta meta; /* smallest is set with the first entry */
	bool has_range;
};

/* Writes a block and its trailer; *h is where. */
int sst_writer_block(struct sst_writer *w, struct lsm_slice plain, bool lz4,
		     struct sst_handle *h);
/* Sets the bounds of w->meta over entries and tombstones. */
int sst_writer_bounds(struct sst_writer *w);
/* Writes everything behind the data blocks. */
int sst_writer_tail(struct sst_writer *w);

#endif
