/* SPDX-License-Identifier: MIT */
/*
 * stored.h - from the bytes of a block as a file has them to a cache entry.
 * Blocks of tables and of blob files are stored alike (sst_format.h). Private
 * to lsm/table/.
 *
 * Nothing is reported here: who reads a block that is asked for says what was
 * wrong with it; who reads one that may never be asked for keeps silent. Any
 * thread.
 */
#ifndef LSM_TABLE_STORED_H
#define LSM_TABLE_STORED_H

#include "lsm/table/cache.h"
#include "lsm/table/sst_format.h"

/* What is wrong with a block and its trailer; NULL: nothing. crc: compare the
 * checksum too. */
const char *stored_check(const struct sst_handle *h, const uint8_t *stored,
			 uint64_t file, bool crc);
/* The plain bytes of an LZ4 block as a fresh cache entry. 0, -ENOMEM, or
 * -EUCLEAN and *why. */
int stored_expand(struct cache *c, const struct sst_handle *h,
		  const uint8_t *stored, struct cache_entry **out,
		  const char **why);
/* The same for a block of either type; a raw one keeps its trailer, as all do
 * in the cache. */
int stored_entry(struct cache *c, const struct sst_handle *h,
		 const uint8_t *stored, struct cache_entry **out,
		 const char **why);

/*
 * Where in a plain block of so many bytes the values begin, if it is one of a
 * blob file and they are equally long, a page or several, as those of a
 * filesystem are; else 0. A guess by the length, for cache_alloc().
 */
size_t stored_lead(size_t plain);

/* How many of an entry's bytes are the block. */
static inline size_t stored_plain_len(const struct cache_entry *e, uint8_t type)
{
	size_t len = cache_bytes(e);

	if (type == SST_BLOCK_LZ4)
		return len;
	return len < SST_TRAILER_BYTES ? 0 : len - SST_TRAILER_BYTES;
}

#endif
