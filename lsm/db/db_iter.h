/* SPDX-License-Identifier: MIT */
/*
 * db_iter.h - the inside of a user's iterator, for db_iter_open.c (making one)
 * and db_iter.c (moving it, where its working is told). Private to lsm/db/.
 */
#ifndef LSM_DB_DB_ITER_H
#define LSM_DB_DB_ITER_H

#include "lsm/db/db_impl.h"

enum direction {
	FORWARD,  /* merged is on the entry shown, wherever it came from */
	BACKWARD, /* merged is before all versions of the key shown */
};

struct source_cover {
	struct cover_source from;
	struct range_cover answer;
	bool asked; /* answer holds in its range */
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
	int value_err;         /* of resolving it; sticks until it moves */
	struct blob_view blob; /* the block of the last value */
	bool valid;
	enum direction direction;
	struct buf saved_key, saved_value;
};

#endif
