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

/* Large chunks that arenas left behind, for the next ones: the kernel clears
 * fresh pages, which costs as much as writing to them. charge is told what the
 * pool holds more or less than before, from any thread that frees an arena or
 * takes from one. */
struct arena_pool;
/* Keeps up to bytes_max. NULL: no memory. */
struct arena_pool *arena_pool_new(size_t bytes_max,
				  void (*charge)(void *arg, int64_t delta),
				  void *arg);
/* After all its arenas. */
void arena_pool_free(struct arena_pool *p);

/* pool: NULL for none. NULL: no memory. */
struct arena *arena_new(struct arena_pool *pool);
void arena_free(struct arena *a);
/* Aligned to 8 bytes; NULL: no memory. Any thread. */
void *arena_alloc(struct arena *a, size_t bytes);
/* Bytes taken from the system so far, chunks counted as their used part plus
 * what is unusable; grows monotonically. Any thread. */
size_t arena_bytes(const struct arena *a);

#endif
