/* SPDX-License-Identifier: MIT */
/*
 * frags.h - range tombstones cut into fragments, and asking for the one that
 * covers a key.
 *
 * A source of range tombstones (a memtable, a table, a compaction's inputs)
 * answers one question: which is the newest tombstone, not newer than seq,
 * that covers key, and how far does that answer hold? A caller that walks keys
 * in order keeps the answer until it leaves [start, end).
 */
#ifndef LSM_BASE_FRAGS_H
#define LSM_BASE_FRAGS_H

#include "lsm/base/key_numbers.h"

/* The answer holds for every key in [start, end). start.len 0: from the very
 * first key; end.len 0: to the very last. Borrowed from the source. */
struct range_cover {
	uint64_t seq; /* of the newest visible tombstone there; 0: none */
	struct lsm_slice start, end;
};

/* Immutable, sorted, disjoint fragments. Each has sequence numbers, newest
 * first. Built by frags_builder, kept by tables in memory. */
struct frag {
	struct lsm_slice start, end; /* end exclusive */
	const uint64_t *seqs;        /* descending */
	uint32_t seq_count;
};

struct frags {
	struct frag *frag;
	size_t count;
	struct key_numbers starts; /* followed by the numbers of the ends */
	void *memory; /* one block that everything above points into */
	size_t memory_bytes;
};

/* Once the fragments are there, in order: makes them searchable. number: room
 * for frags_number_bytes(), which stays. At most 2^32 - 1 fragments. */
size_t frags_number_bytes(size_t count);
void frags_number(struct frags *f, uint64_t *number);
/* Binary search. */
void frags_cover(const struct frags *f, struct lsm_slice key, uint64_t seq,
		 struct range_cover *out);
/* The sequence alone, for a single key. */
uint64_t frags_newest(const struct frags *f, struct lsm_slice key,
		      uint64_t seq);
void frags_release(struct frags *f);

/* Collects tombstones in any order (copies the keys) and cuts them. */
struct frags_builder;
struct frags_builder *frags_builder_new(void);
void frags_builder_free(struct frags_builder *b);
int frags_builder_add(struct frags_builder *b, struct lsm_slice start,
		      struct lsm_slice end, uint64_t seq);
size_t frags_builder_count(const struct frags_builder *b);
/* *out is to be released with frags_release(); the builder is then empty. */
int frags_builder_finish(struct frags_builder *b, struct frags *out);

#endif
