/* SPDX-License-Identifier: MIT */
/*
 * db_iter.h - the inside of a user's iterator, for db_iter_open.c (making one)
 * and db_iter.c (moving it, where its working is told). Private to lsm/db/.
 */
#ifndef LSM_DB_DB_ITER_H
#define LSM_DB_DB_ITER_H

#include "lsm/db/db_impl.h"
#include "lsm/table/blob_format.h"
#include "lsm/tree/blob_ahead.h"

enum direction {
	FORWARD,  /* merged is on the entry shown, wherever it came from */
	BACKWARD, /* merged is before all versions of the key shown */
};

struct source_cover {
	struct cover_source from;
	struct range_cover answer;
	bool asked; /* answer holds in its range */
};

/* Another iterator that runs before one whose values come from blob files, so
 * that their blocks are read ahead. */
struct blob_scout {
	struct lsm_iter *it;
	bool backward;
	uint64_t file, offset; /* of the last block it saw */
	struct blob_ahead ahead;
};

struct lsm_iter {
	struct lsm_db *db;
	struct superversion *sv;
	struct iter *merged; /* NULL: there is nothing at all */
	uint64_t seq;
	size_t source_count;
	struct source_cover *covers; /* by source; NULL: no tombstones */
	struct buf lower, upper;
	struct lsm_slice key, value; /* shown when valid */
	struct lsm_slice handle;     /* of value, once it is resolved */
	/* value is a handle, or, in memory, what it stands for. */
	bool is_handle, resolved;
	bool saved_is_handle;
	bool no_fill_cache;
	int value_err;            /* of resolving it; sticks until it moves */
	struct blob_view blob;    /* the block of the last value */
	unsigned blob_row;        /* blocks from disk since it was positioned or
				   * turned */
	bool moved_back;          /* the last step */
	struct blob_scout *scout; /* NULL: none yet */
	bool valid;
	enum direction direction;
	struct buf saved_key, saved_value;
};

/* ---- db_iter_open.c ---- */

/* Another one that sees the same, unpositioned. 0 or -errno. */
int db_iter_clone(const struct lsm_iter *it, struct lsm_iter **out);

/* ---- db_iter_ahead.c ---- */

/* The block of a handle that it stands on if it was read ahead, into it->blob;
 * else false. */
bool db_iter_take_ahead(struct lsm_iter *it, const struct blob_handle *h);
/* A block had to be read from disk to follow a handle: starts reading ahead
 * when that looks like a scan. */
void db_iter_missed(struct lsm_iter *it);
/* It goes on elsewhere, or in the other direction. */
void db_iter_end_ahead(struct lsm_iter *it);

#endif
