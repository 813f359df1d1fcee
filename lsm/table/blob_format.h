/* SPDX-License-Identifier: MIT */
/*
 * blob_format.h - the bytes of a blob file: values that are kept outside the
 * tree, with the keys they belong to.
 *
 *   file     blocks | index | footer
 *   block    stored bytes | trailer, as in a table (sst_format.h)
 *   plain    u32 count | count x u32 end of value | values | keys
 *   key      varint length | key | varint sequence
 *   index    for each block varint stored bytes | type u8; a block, stored raw;
 *            a gap between blocks has an entry too, see BLOB_INDEX_GAP
 *   footer   64 bytes, see struct blob_footer
 *   handle   varint file | varint offset | varint stored bytes | type u8 |
 *            varint index in the block | varint length of the value; bit 7
 *            of the type: the value was written for another key
 *
 * The ends of values count from the first value. What a table keeps in place of
 * a value is a handle; it says all that is needed to fetch it with one read.
 * The keys tell garbage collection, verification and people what a value
 * belongs to. Integers are little-endian.
 *
 * Pure functions over the caller's memory; any thread. Nothing read from disk
 * is believed before it is checked.
 */
#ifndef LSM_TABLE_BLOB_FORMAT_H
#define LSM_TABLE_BLOB_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/base/buf.h"
#include "lsm/base/logger.h"

#define BLOB_MAGIC        0x424f4c42204d534cull /* "LSM BLOB" */
#define BLOB_FORMAT       1
#define BLOB_FOOTER_BYTES 64
/* There are gaps between blocks, as bulk writes leave them that came to
 * nothing. In the index such a gap has the type BLOB_INDEX_GAP, and its stored
 * bytes are all of it. */
#define BLOB_INCOMPAT_GAPS  1u
#define BLOB_INCOMPAT_KNOWN BLOB_INCOMPAT_GAPS
#define BLOB_INDEX_GAP      0xff
#define BLOB_GAP_MAX        (1u << 30) /* longer ones have several entries */
/* In a block's keys: written before its sequence was known. */
#define BLOB_SEQ_UNKNOWN 0
#define BLOB_HANDLE_MAX  (10 + 10 + 5 + 1 + 5 + 5)
/* What a writer packs into one block, before compression; a value larger than
 * that has one to itself. */
#define BLOB_BLOCK_BYTES (32u << 10)

struct blob_handle {
	uint64_t file, offset;
	uint32_t bytes; /* stored, without the trailer */
	uint8_t type;   /* enum sst_block_type */
	bool shared;    /* the block names another key as the value's */
	uint32_t index;
	uint32_t len; /* of the value; > 0 */
};

/* Returns how many bytes were written. */
size_t blob_handle_encode(const struct blob_handle *h,
			  uint8_t out[BLOB_HANDLE_MAX]);
/* False when v is none. */
bool blob_handle_decode(struct blob_handle *h, struct lsm_slice v);

/*
 *  0 u64 index offset   16 u64 values        40 u32 format     52 u32 CRC-32C
 *  8 u32 index bytes    24 u64 value bytes   44 u32 incompat      of [0, 52)
 * 12 u32 blocks         32 u64 number        48 u32 compat     56 u64 magic
 */
struct blob_footer {
	uint64_t index_offset, values, value_bytes, number;
	uint32_t index_bytes, blocks, format, incompat, compat;
};

void blob_footer_encode(const struct blob_footer *f,
			uint8_t out[BLOB_FOOTER_BYTES]);
/* 0, -EUCLEAN or -EPROTONOSUPPORT, each reported. offset: where it lies. */
int blob_footer_decode(struct blob_footer *f,
		       const uint8_t in[BLOB_FOOTER_BYTES], uint64_t offset,
		       uint64_t number, const struct logger *log,
		       const char *name);

/* Of a plain block: are its parts where it says? To be asked once, before the
 * others. */
bool blob_block_check(const void *data, size_t len);
uint32_t blob_block_count(const void *data);
/* False when the block has no such value. */
bool blob_block_value(const void *data, size_t len, uint32_t index,
		      struct lsm_slice *value);
/* Whose value it is; false when there is none. The block has passed
 * blob_block_check(). */
bool blob_block_key(const void *data, size_t len, uint32_t index,
		    struct lsm_slice *key, uint64_t *seq);
/* Calls fn for each value until it returns non-zero, which is returned. The
 * block has passed blob_block_check(). */
int blob_block_each(const void *data, size_t len,
		    int (*fn)(void *arg, uint32_t index, struct lsm_slice key,
			      uint64_t seq, struct lsm_slice value),
		    void *arg);

#endif
