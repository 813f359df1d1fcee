/* SPDX-License-Identifier: MIT */
/*
 * sst_format.h - the bytes of a table, apart from the inside of a block
 * (block.h) and of a filter (filter.h). Private to lsm/table/.
 *
 *   block    stored bytes | trailer
 *   trailer  type u8 | CRC-32C u32
 *   LZ4      varint length of the plain bytes | LZ4 data
 *   handle   varint offset | varint stored bytes | type u8
 *   footer   64 bytes, see struct sst_footer
 *
 * The CRC covers the stored bytes, the type, the table's number (u64) and the
 * block's offset (u64). A handle repeats the type so that a reader knows
 * without touching the block whether it can be used where it lies.
 *
 * Integers are little-endian.
 */
#ifndef LSM_TABLE_SST_FORMAT_H
#define LSM_TABLE_SST_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/base/buf.h"
#include "lsm/base/logger.h"

#define SST_MAGIC         0x545353204d534c54ull /* "TLSM SST" */
#define SST_FOOTER_BYTES  64
#define SST_TRAILER_BYTES 5

/* Feature bits a reader must know; none exist yet. */
#define SST_INCOMPAT_KNOWN 0u

/* No block is larger: the largest value, its key, and a full block before. */
#define SST_BLOCK_MAX ((1u << 30) + (32u << 20))
/* What a writer's block_bytes is cut to. */
#define SST_BLOCK_BYTES_MAX (16u << 20)

enum sst_block_type {
	SST_BLOCK_RAW = 0,
	SST_BLOCK_LZ4 = 1,
};

struct sst_handle {
	uint64_t offset;
	uint32_t bytes; /* stored, without the trailer */
	uint8_t type;
};

/* Entries of the metaindex. */
#define SST_META_FILTER     "filter"
#define SST_META_PROPERTIES "properties"
#define SST_META_RANGES     "ranges"

/* Properties: numbers as varints, keys as they are. */
#define SST_PROP_BLOB_REFS         "blob_refs" /* only when there are any */
#define SST_PROP_CREATED           "created"   /* seconds since 1970 */
#define SST_PROP_DATA_BLOCKS       "data_blocks"
#define SST_PROP_DATA_BYTES        "data_bytes" /* with trailers */
#define SST_PROP_DELETIONS         "deletions"
#define SST_PROP_ENTRIES           "entries"
#define SST_PROP_LARGEST           "largest"
#define SST_PROP_LARGEST_EXCLUSIVE "largest_exclusive"
#define SST_PROP_MAX_SEQ           "max_seq"
#define SST_PROP_MIN_SEQ           "min_seq"
#define SST_PROP_PREFIX_BYTES      "prefix_bytes" /* only when not 0 */
#define SST_PROP_RANGE_DELETIONS   "range_deletions"
#define SST_PROP_RAW_BLOCKS        "raw_blocks" /* data blocks stored raw */
#define SST_PROP_RAW_BYTES         "raw_bytes"
#define SST_PROP_SMALLEST          "smallest"

/*
 *  0 u64 metaindex offset     32 u32 format        48 u32 zero
 *  8 u32 metaindex bytes      36 u32 incompat      52 u32 CRC-32C of [0, 52)
 * 12 u32 index bytes          40 u32 compat        56 u64 magic
 * 16 u64 index offset         44 u32 zero
 * 24 u64 table number
 */
struct sst_footer {
	uint64_t metaindex_offset, index_offset;
	uint32_t metaindex_bytes, index_bytes;
	uint64_t number;
	uint32_t format, incompat, compat;
};

void sst_footer_encode(const struct sst_footer *f,
		       uint8_t out[SST_FOOTER_BYTES]);
/* 0, -EUCLEAN or -EPROTONOSUPPORT, each reported. offset is where the footer
 * lies, which bounds the handles in it. */
int sst_footer_decode(struct sst_footer *f, const uint8_t in[SST_FOOTER_BYTES],
		      uint64_t offset, uint64_t number,
		      const struct logger *log, const char *name);

/* The CRC of a block's trailer. */
uint32_t sst_block_crc(const void *stored, size_t bytes, uint8_t type,
		       uint64_t number, uint64_t offset);

/* The same from the CRC of the stored bytes alone: where a block goes need not
 * be known when its bytes are. */
uint32_t sst_block_crc_bind(uint32_t crc, uint8_t type, uint64_t number,
			    uint64_t offset);

int sst_handle_append(struct buf *b, const struct sst_handle *h);
/* False when v is not a handle of something that lies before limit. */
bool sst_handle_decode(struct sst_handle *h, struct lsm_slice v,
		       uint64_t limit);

/* Where the plain bytes begin in an LZ4 block and how many there are; NULL
 * when the length is none that so many stored bytes could expand to. */
const uint8_t *sst_lz4_header(const uint8_t *stored, size_t bytes,
			      uint32_t *plain_bytes);

#endif
