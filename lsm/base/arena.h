/* SPDX-License-Identifier: MIT */
/*
 * arena.h - memory that is given out in small pieces by many threads at once
 * and freed as a whole.
 *
 * Each thread carves from a chunk of its shard (chosen by CPU), so that
 * concurrent inserts do not share a cache line.
 */
#ifndef LSM_BASE_ARENA_H
#define LSM_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena;

struct arena *arena_new(void); /* NULL: no memory */
void arena_free(struct arena *a);
/* Aligned to 8 bytes; NULL: no memory. Any thread. */
void *arena_alloc(struct arena *a, size_t bytes);
/* Bytes taken from the system so far, chunks counted as their used part plus
 * what is unusable; grows monotonically. Any thread. */
size_t arena_bytes(const struct arena *a);

#endif
