/* SPDX-License-Identifier: MIT */
/*
 * read_around.h - reading the neighbourhood of missed blocks, while that pays.
 * Private to lsm/table/.
 *
 * A random read of one block costs the latency of the disk, in which the disk
 * could have read many blocks in sequence. A store of which much is going to
 * be read is therefore warm sooner when whole regions are read; one of which
 * little is read must not be. The rule:
 *
 *   - A region (1 MiB of a table) is read when a second block of it is missed,
 *     and only once while the table is open.
 *   - The first so many regions are for nothing (READ_AROUND_FREE). After that
 *     each must be earned by blocks that were missed in regions read before.
 *     Where misses spread over a large store hardly any is, and it stops.
 *   - All of them together are at most a part of the machine's memory, for
 *     what is read stays in the kernel's page cache and nowhere else.
 *
 * The kernel does the same to mapped files by itself, without the last two
 * rules. Any thread; no locks.
 */
#ifndef LSM_TABLE_READ_AROUND_H
#define LSM_TABLE_READ_AROUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READ_AROUND_REGION_BITS 20
#define READ_AROUND_FREE        64
/* Misses in regions that were read, for one more region. */
#define READ_AROUND_PRICE 2
/* Of physical memory. */
#define READ_AROUND_PARTS 8

/* What the tables of a store share. */
struct read_around {
	_Atomic uint64_t spent;  /* regions */
	_Atomic uint64_t earned; /* misses in them */
	uint64_t max;            /* regions */
};

void read_around_init(struct read_around *a);
/* Bytes of state a table of so many bytes needs, zeroed to begin with. */
static inline size_t read_around_bytes(uint64_t file_bytes)
{
	return (size_t)(file_bytes >> READ_AROUND_REGION_BITS) + 1;
}
/* A block at offset was missed; true: now read its region. */
bool read_around_missed(struct read_around *a, _Atomic uint8_t *regions,
			uint64_t offset);

#endif
