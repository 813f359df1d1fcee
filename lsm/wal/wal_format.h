/* SPDX-License-Identifier: MIT */
/*
 * wal_format.h - the bytes of a log, for its writer and its reader.
 *
 * All numbers are little-endian.
 *
 *   header, 32 bytes at offset 0
 *      0  u64  magic
 *      8  u32  format                        WAL_FORMAT
 *     12  u64  number                        the log's own
 *     20  u32  crc32c of bytes 0 to 19
 *     24       8 zero bytes
 *
 *   record, from offset 32 on, one behind the other, not aligned
 *      0  u32  crc32c
 *      4  u32  length                        of the payload, 1 to 2^31
 *      8  u48  durable
 *     14  u16  mark                          the number's low 16 bits
 *     16       payload
 *
 * The crc is over the payload, then bytes 4 to 15, then the log's number and
 * the record's offset as u64: a record of another log or from another place,
 * left in a recycled file or copied into a value, never passes. The mark says
 * the same of a record that does not pass, cheaply: bytes without it are
 * leftovers, not a torn record of this log.
 *
 * durable is the length of this log that was known to be on disk when the
 * record was written. Bytes at offset x that fail, while some record behind
 * them passes and has durable > x, were on disk and are so no more.
 */
#ifndef LSM_WAL_WAL_FORMAT_H
#define LSM_WAL_WAL_FORMAT_H

#include <stdint.h>

#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"
#include "lsm/wal/wal.h"

#define WAL_MAGIC        0x676f6c2d6d736c74ull /* "tlsm-log" */
#define WAL_HEADER_BYTES 32
#define WAL_RECORD_BYTES 16 /* before the payload */
#define WAL_DURABLE_MAX  ((1ull << 48) - 1)

struct wal_record_header {
	uint32_t crc, length;
	uint64_t durable;
	uint16_t mark;
};

static inline uint16_t wal_mark(uint64_t number)
{
	return (uint16_t)number;
}

static inline void wal_header_put(uint8_t p[WAL_HEADER_BYTES], uint64_t number)
{
	put_le64(p, WAL_MAGIC);
	put_le32(p + 8, WAL_FORMAT);
	put_le64(p + 12, number);
	put_le32(p + 20, crc32c(0, p, 20));
	put_le64(p + 24, 0);
}

/* Finishes the checksum that was begun over the payload. */
static inline uint32_t wal_record_crc(uint32_t payload_crc,
				      const uint8_t p[WAL_RECORD_BYTES],
				      uint64_t number, uint64_t offset)
{
	uint8_t t[16];

	put_le64(t, number);
	put_le64(t + 8, offset);
	return crc32c(crc32c(payload_crc, p + 4, 12), t, sizeof(t));
}

static inline void wal_record_put(uint8_t p[WAL_RECORD_BYTES],
				  uint32_t payload_crc, uint32_t length,
				  uint64_t durable, uint64_t number,
				  uint64_t offset)
{
	put_le32(p + 4, length);
	put_le64(p + 8, durable | (uint64_t)wal_mark(number) << 48);
	put_le32(p, wal_record_crc(payload_crc, p, number, offset));
}

static inline struct wal_record_header
wal_record_get(const uint8_t p[WAL_RECORD_BYTES])
{
	struct wal_record_header h;
	uint64_t d = get_le64(p + 8);

	h.crc = get_le32(p);
	h.length = get_le32(p + 4);
	h.durable = d & WAL_DURABLE_MAX;
	h.mark = (uint16_t)(d >> 48);
	return h;
}

#endif
