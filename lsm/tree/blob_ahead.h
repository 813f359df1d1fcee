/* SPDX-License-Identifier: MIT */
/*
 * blob_ahead.h - reading blocks of blob files ahead, in the order in which
 * handles are going to be followed.
 *
 * Somebody who knows the coming handles adds them; neighbours in a file become
 * one run (table/ahead.h). Who follows the handles takes the blocks. Blocks
 * are kept for a while after they were taken, since handles of neighbouring
 * keys may alternate between a few blocks. One thread at a time.
 */
#ifndef LSM_TREE_BLOB_AHEAD_H
#define LSM_TREE_BLOB_AHEAD_H

#include "lsm/table/ahead.h"
#include "lsm/tree/version.h"

struct blob_ahead_block {
	uint64_t file, offset;
	struct ahead_run *run;
	uint32_t index; /* in the run */
	uint32_t bytes;
	bool taken;
	struct cache_entry *entry; /* of a taken one; may be NULL */
};

/* Blocks that are ordered or kept: a window of small ones. */
#define BLOB_AHEAD_BLOCKS 512
/* Files whose blocks may alternate without runs getting short. */
#define BLOB_AHEAD_OPEN 4

/* Zeroed before first use, and after the end. */
struct blob_ahead {
	struct version *v; /* NULL: off; not counted */
	struct ahead *pool;
	bool fill;
	uint64_t window, ordered; /* stored bytes: wanted, and not yet taken */
	/* Being put together, not started; one a file. */
	struct blob_ahead_open {
		struct ahead_run *run; /* held; NULL: none */
		uint64_t file, from, to;
	} open[BLOB_AHEAD_OPEN];
	unsigned open_next;        /* to be closed when there are too many */
	unsigned first, at, count; /* of the ring; at: behind the last taken */
	unsigned cached, missed;   /* in a row: found in memory, not ordered */
	struct blob_ahead_block block[BLOB_AHEAD_BLOCKS];
};

static inline bool blob_ahead_is_on(const struct blob_ahead *a)
{
	return a->v != NULL;
}

/* v is the caller's until the end. fill: blocks enter the cache. */
void blob_ahead_start(struct blob_ahead *a, struct version *v,
		      struct ahead *pool, bool fill);
void blob_ahead_end(struct blob_ahead *a);
/* Whether more handles are wanted; it becomes so in larger steps. */
bool blob_ahead_wants(const struct blob_ahead *a);
/* The next handle; what cannot be read ahead is passed over. */
void blob_ahead_add(struct blob_ahead *a, const struct blob_handle *h);
/* No more come for now: what was added gets under way. */
void blob_ahead_flush(struct blob_ahead *a);
/* The block of a handle, with a reference, or NULL: read it yourself. Ends it
 * when it has been of no use for a while. */
struct cache_entry *blob_ahead_take(struct blob_ahead *a,
				    const struct blob_handle *h);

#endif
