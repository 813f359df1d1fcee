/* SPDX-License-Identifier: MIT */
/*
 * sst_ahead.h - reading the coming blocks of a table ahead of a walk through
 * it, forward or backward. Private to lsm/table/.
 *
 * The walk says where it goes on, and then takes block by block; whoever jumps
 * ends it. What is ordered and not taken (the window) doubles with each run
 * that is entered, and a walk that meets only cached blocks ends it, too. One
 * thread at a time.
 */
#ifndef LSM_TABLE_SST_AHEAD_H
#define LSM_TABLE_SST_AHEAD_H

#include "lsm/table/ahead.h"
#include "lsm/table/sst_reader.h"

#define SST_AHEAD_RUNS 16

struct sst_ahead {
	struct sst_reader *r; /* NULL: off */
	bool fill, backward, verify;
	uint32_t first, end;        /* blocks that may be wanted */
	uint32_t at;                /* the block to be taken next */
	uint32_t next;              /* the block to be ordered next */
	uint32_t window, run_bytes; /* wanted of all, and of the next run */
	uint64_t ordered;           /* bytes in the runs below */
	unsigned cached_runs;       /* in a row, with nothing to read */
	unsigned head, count;       /* of the ring */
	uint32_t taken;             /* of the head */
	struct ahead_run *run[SST_AHEAD_RUNS];
};

static inline bool sst_ahead_is_on(const struct sst_ahead *a)
{
	return a->r != NULL;
}

/* The walk goes on with block i, and stays in [first, end). window: 0, or
 * that of a walk of which this is the continuation. The caller's reference of r
 * lasts until stop. */
void sst_ahead_start(struct sst_ahead *a, struct sst_reader *r, uint32_t i,
		     uint32_t window);
/* The block, with a reference, or NULL: read it yourself. It is off after a
 * block that is not the next. */
struct cache_entry *sst_ahead_take(struct sst_ahead *a, uint32_t i);
void sst_ahead_stop(struct sst_ahead *a);

#endif
