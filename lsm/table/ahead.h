/* SPDX-License-Identifier: MIT */
/*
 * ahead.h - reading blocks before they are asked for, beside who will ask.
 *
 * Who walks through blocks orders them in runs: blocks that lie close together
 * in one file, in the order in which they are going to be asked for. A thread
 * of the store's pool reads a run in one piece, checks and expands the blocks,
 * and lets them into the cache if that is wanted. The walker takes them one by
 * one; a run that no thread has begun when it is needed is read by the walker
 * itself, so nobody waits behind others' work.
 *
 * What goes wrong is not told: the block is then simply not there, and who
 * reaches it reads it himself and meets the error, or not. So an error shows
 * exactly where it lies, and only to those who get there.
 *
 * Memory: entries count in the cache's budget like all, and so do the buffers
 * of the threads. All runs of a store together are bounded by a part of the
 * budget (ahead_room()); who finds no room goes on without.
 *
 * The pool: any thread. A run: its owner, one thread at a time.
 */
#ifndef LSM_TABLE_AHEAD_H
#define LSM_TABLE_AHEAD_H

#include "lsm/base/workers.h"
#include "lsm/env/env.h"
#include "lsm/table/cache.h"
#include "lsm/table/sst_format.h"

#define AHEAD_THREADS 2
/* Of one run in the file. A block larger than that is never read ahead. */
#define AHEAD_RUN_BYTES (512u << 10)
/* Blocks of a run: as many as there may be small ones. */
#define AHEAD_RUN_BLOCKS 512
/* What a walker has ordered and not yet taken, at first and at most. */
#define AHEAD_MIN (64u << 10)
#define AHEAD_MAX (4u << 20)
/* Of the budget, for all runs of a store. */
#define AHEAD_PARTS   8
#define AHEAD_BUFFERS (AHEAD_THREADS + 2)

struct ahead {
	struct workers workers;
	struct cache *cache;
	_Atomic uint64_t ordered; /* stored bytes of all runs */
	struct mutex mutex;
	struct cond cond;            /* who waits for a block */
	void *buffer[AHEAD_BUFFERS]; /* protected by mutex; spare ones */
	unsigned buffers;            /* the same; how many are spare */
};

void ahead_init(struct ahead *a, struct cache *cache);
/* No thread is left when it returns, and no run is begun after it but by its
 * owner. May be called again. */
void ahead_stop(struct ahead *a);
/* Stops; every run was dropped. */
void ahead_release(struct ahead *a);
/* Stored bytes that one walker may have ordered at once; 0: none. */
uint64_t ahead_room(const struct ahead *a);

/* Where blocks come from. */
struct ahead_source {
	struct env_object *object;
	uint64_t file; /* its number */
	bool crc;      /* compare checksums */
	/* False: the plain bytes are no block of this sort. */
	bool (*check)(const void *data, size_t len);
	/* What keeps the object open, and how it is given back. */
	void *owner;
	void (*put)(void *owner);
};

struct ahead_run;

/* An empty run. The source's owner carries a reference for the run, given back
 * with it. NULL: no memory, nothing taken. */
struct ahead_run *ahead_run_new(struct ahead *a, const struct ahead_source *s);
/* The next block, in the order of asking; fill: it enters the cache. False: it
 * does not fit any more: too many, or too far from the others. */
bool ahead_run_add(struct ahead_run *r, const struct sst_handle *h, bool fill);
/* Hands it to the pool. To be called once, when it has a block. */
void ahead_run_start(struct ahead_run *r);
uint64_t ahead_run_bytes(const struct ahead_run *r);
uint32_t ahead_run_count(const struct ahead_run *r);
/* Block i of it, with a reference for cache_put(), as the cache has them; waits
 * for it. Each is taken once. NULL: there is none, read it yourself. */
struct cache_entry *ahead_run_take(struct ahead_run *r, uint32_t i);
/* All blocks are done and every one was in the cache anyway. */
bool ahead_run_was_cached(struct ahead_run *r);
/* Once more to be dropped. */
void ahead_run_hold(struct ahead_run *r);
/* The last one ends it, whatever has become of it; does not wait. NULL:
 * nothing. */
void ahead_run_drop(struct ahead_run *r);

#endif
