/* SPDX-License-Identifier: MIT */
/*
 * batch.h - the inside of struct lsm_batch, and reading its encoding.
 *
 * A batch is also the payload of one WAL record (doc/FORMAT.md, batch):
 *
 *   u64 first sequence | u32 count | count operations
 *   operation: u8 kind, then
 *     KIND_PUT, KIND_BLOB      varint key length, key, varint length, value
 *     KIND_DELETE              varint key length, key
 *     KIND_RANGE_DELETE        varint length, start, varint length, end
 *
 * Operation i of a batch has the sequence number first + i.
 */
#ifndef LSM_MEM_BATCH_H
#define LSM_MEM_BATCH_H

#include "lsm/base/buf.h"
#include "lsm/base/slice.h"

#define BATCH_HEADER_BYTES 12
/* Of one batch, so that it fits into one record of the log. */
#define BATCH_BYTES_MAX ((size_t)1 << 31)

struct blob_pins;
struct direct_write;

#define BATCH_RANGES 4

/* A value that is not copied in: it belongs into rep at at, behind its length,
 * so that rep is what it says at the top only when there are none. */
struct batch_ref {
	size_t at;
	const void *data;
	size_t len;
};

struct lsm_batch {
	struct buf rep; /* header and operations; always >= the header */
	struct batch_ref *refs; /* ascending */
	size_t ref_count, ref_cap;
	uint64_t ref_bytes;
	uint32_t count;
	int err; /* first error of an append; lsm_write returns it */
	/* Key and value bytes, for statistics. */
	uint64_t data_bytes;
	/* Deletions, and where in rep the first range deletions are. */
	uint32_t deletes, ranges;
	size_t range_at[BATCH_RANGES];
	/* The blob files that handles in it lead into, kept from being deleted
	 * until unpin() is told that the handles are gone; NULL: none. */
	struct blob_pins *pins;
	void (*unpin)(struct blob_pins *pins);
	/* Its values were written already (lsm_batch_prepare()); discard() is
	 * told when that was in vain. NULL: they were not. */
	struct direct_write *prepared;
	void (*discard)(struct direct_write *prepared);
};

/* As lsm_batch_put(); the value lies where handle says. Whoever calls it sees
 * to it that the blob file stays. */
int batch_put_blob(struct lsm_batch *b, struct lsm_slice key,
		   struct lsm_slice handle);
/* Remembers err as the first error, and returns it. */
int batch_fail(struct lsm_batch *b, int err);
/* Writes the header's sequence number. */
void batch_set_sequence(struct lsm_batch *b, uint64_t seq);

/* Appends the batch as it is encoded, with the values that rep only refers to.
 * 0, -ENOMEM, or -EINVAL: it is too large then. */
int batch_encode(const struct lsm_batch *b, struct buf *out);

/* Reads an encoded batch, from our own memory or from disk alike. */
struct batch_reader {
	const uint8_t *p, *end;
	uint64_t seq;  /* of the operation that the next call returns */
	uint32_t left; /* operations not yet returned */
};

struct batch_op {
	uint64_t seq;
	enum entry_kind kind;
	struct lsm_slice key, value; /* value: the end of a range delete */
};

/* 0 or -EUCLEAN (shorter than a header, sequence out of range). */
int batch_reader_init(struct batch_reader *r, struct lsm_slice rep);
/* 0, LSM_END (all count operations read and no byte left), or -EUCLEAN. */
int batch_reader_next(struct batch_reader *r, struct batch_op *op);

/* Reads a batch that is being built, values that rep refers to included. */
struct batch_walk {
	struct batch_reader reader;
	const struct lsm_batch *batch;
	size_t ref;        /* the next one */
	size_t from, head; /* in rep: where the operation begins, how long it
			    * is without its value */
};

void batch_walk_init(struct batch_walk *w, const struct lsm_batch *b);
/* 0 or LSM_END. */
int batch_walk_next(struct batch_walk *w, struct batch_op *op);

/* One line a batch for dump: sequence, kinds, keys, value lengths. */
int batch_to_text(struct lsm_slice rep, struct buf *out);

#endif
