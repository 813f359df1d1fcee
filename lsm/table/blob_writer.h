/* SPDX-License-Identifier: MIT */
/*
 * blob_writer.h - writing a blob file (blob_format.h) from front to back.
 *
 * Values are packed into blocks; where a block lies and how long it is, is
 * known when it is cut, so a handle is made of what blob_writer_add() says and
 * what the blob_writer_cut() after it says. One thread.
 */
#ifndef LSM_TABLE_BLOB_WRITER_H
#define LSM_TABLE_BLOB_WRITER_H

#include "lsm/env/env.h"
#include "lsm/table/blob_format.h"

/* What a blob file's owner (the manifest) must know of it. */
struct blob_meta {
	uint64_t number, file_bytes;
	uint64_t values, value_bytes;
};

struct blob_writer;

int blob_writer_open(struct env_dir *dir, const char *name, uint64_t number,
		     bool lz4, struct blob_writer **out);
/* Would the value make the open block larger than blocks should be? */
bool blob_writer_full(const struct blob_writer *w, struct lsm_slice key,
		      struct lsm_slice value);
/* Puts a value, not empty, into the open block; *index is its place there. */
int blob_writer_add(struct blob_writer *w, struct lsm_slice key, uint64_t seq,
		    struct lsm_slice value, uint32_t *index);
/* Writes the open block. *h gets all of a handle but index and len. */
int blob_writer_cut(struct blob_writer *w, struct blob_handle *h);
/* Bytes written so far. */
uint64_t blob_writer_bytes(const struct blob_writer *w);
/* Writes the rest, makes it durable (not its name) and frees w, also on error.
 * No block may be open. */
int blob_writer_finish(struct blob_writer *w, struct blob_meta *meta);
/* Frees w and deletes the file. */
void blob_writer_abort(struct blob_writer *w);

#endif
