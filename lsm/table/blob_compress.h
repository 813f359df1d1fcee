/* SPDX-License-Identifier: MIT */
/*
 * blob_compress.h - compressing a block of a blob file, or not.
 *
 * Compression is tried on every block until it fails a few times in a row; then
 * on one in so many, so that photographs cost no time and text behind them is
 * noticed. What fails is a block that is not an eighth smaller.
 *
 * One thread for a struct blob_tries; start with = {0}.
 */
#ifndef LSM_TABLE_BLOB_COMPRESS_H
#define LSM_TABLE_BLOB_COMPRESS_H

#include <stdbool.h>

#include "lsm/base/buf.h"

struct blob_tries {
	unsigned failures; /* in a row */
	unsigned skipped;  /* since the last try */
	/* How hurried, 0 or as lz4_compress_fast() has it; the owner's. */
	int acceleration;
};

/* Is this block to be tried? Said once for each block. */
bool blob_worth_trying(struct blob_tries *t, size_t len);
/* Appends the block to out as it is stored, and says whether it did; without
 * memory it did not. */
bool blob_compress_try(struct blob_tries *t, const void *plain, size_t len,
		       struct buf *out);
/* Both. */
bool blob_compress(struct blob_tries *t, const void *plain, size_t len,
		   struct buf *out);

#endif
