/* SPDX-License-Identifier: MIT */
/*
 * blob_pack.h - values packed into blocks of a blob file before it is known
 * where they go: a bulk write does this work, the expensive part of it, without
 * any lock, and learns its place afterwards.
 *
 * Large values that are not compressed are not copied either: the parts to be
 * written point to where they lie. So keys may go after the call that adds
 * them, values must stay until the pack is cleared.
 *
 * One thread.
 */
#ifndef LSM_TABLE_BLOB_PACK_H
#define LSM_TABLE_BLOB_PACK_H

#include <sys/uio.h>

#include "lsm/table/blob_compress.h"
#include "lsm/table/blob_format.h"
#include "lsm/table/blob_map.h"

struct blob_pack_part;
struct blob_pack_trailer;

/* Start with = {0} and lz4 set. */
struct blob_pack {
	bool lz4;
	struct blob_tries tries;
	/* Finished blocks; offsets count from the first. */
	struct blob_block *block;
	size_t block_count;
	uint64_t bytes; /* they take, trailers included */
	/* The bytes to be written, after blob_pack_place(). */
	struct iovec *iov;
	size_t iov_count;
	/* private */
	size_t block_cap, part_count, part_cap, iov_cap;
	struct blob_pack_trailer *trailer;
	struct blob_pack_part *part;
	struct buf out, plain;
	/* the open block */
	struct lsm_slice *value;
	size_t value_count, value_cap;
	uint64_t value_bytes;
	struct buf keys;
};

void blob_pack_release(struct blob_pack *p);
/* As new, but it keeps its memory, within bounds, and what it knows of how well
 * compression goes. */
void blob_pack_clear(struct blob_pack *p);
/* Would the value make the open block larger than blocks should be? */
bool blob_pack_full(const struct blob_pack *p, struct lsm_slice value);
/* Puts a value, not empty, into the open block. 0 or -ENOMEM. */
int blob_pack_add(struct blob_pack *p, struct lsm_slice key,
		  struct lsm_slice value);
/* Finishes the open block if there is one. 0, -ENOMEM or -EFBIG. */
int blob_pack_cut(struct blob_pack *p);
/* Where the first block goes; may be said again. 0 or -ENOMEM. */
int blob_pack_place(struct blob_pack *p, uint64_t number, uint64_t offset);

#endif
