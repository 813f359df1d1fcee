/* SPDX-License-Identifier: MIT */
/*
 * compact_sink.h - inside lsm/tree: where a flush or a compaction pours its
 * merged entries: drops what nobody can see any more, and cuts the rest into
 * tables.
 */
#ifndef LSM_TREE_COMPACT_SINK_H
#define LSM_TREE_COMPACT_SINK_H

#include "lsm/tree/compact.h"

struct compact_sink {
	struct compact_env *env;
	struct version_edit *edit;
	unsigned level;
	bool one_table;  /* never cut: level 0 */
	bool bottommost; /* nothing below: tombstones need not be kept */
	struct table_file **grandparents; /* borrowed */
	size_t grandparent_count;

	/* Range tombstones: all of them, to drop by; and those to be written,
	 * thinned out, not yet clipped to tables. */
	const struct frags *frags; /* borrowed */
	size_t frag_at;            /* first that ends after the present key */
	struct frag *keep;
	uint64_t *keep_seqs;
	size_t keep_count, keep_at; /* first that ends after low */

	struct sst_writer *writer; /* or NULL */
	uint64_t number;
	struct buf low; /* the table being written starts here */
	bool has_low;

	struct buf key; /* the last one seen */
	bool has_key;
	bool wrote_key; /* a version of it is in the present table */
	size_t stripe;  /* of its last version */

	size_t grandparent_at;
	uint64_t grandparent_bytes; /* overlapping the present table */
	bool crossed; /* a grandparent ended since the last cut or entry */

	uint64_t *made; /* finished tables, to be deleted on an error */
	size_t made_count, made_cap;
	size_t entries; /* since the last look at the clock and stop flag */
	uint64_t paced_bytes;
};

/* level, one_table, bottommost and grandparents are set by the caller, the rest
 * by compact_sink_init(); frags must outlive it. 0 or -ENOMEM. */
int compact_sink_init(struct compact_sink *s, struct compact_env *env,
		      struct version_edit *edit, const struct frags *frags);
/*
 * The next entry in internal order. *skip is set to the end of a range whose
 * entries with sequences below *skip_seq all go the same way as this one did:
 * they are hidden by a range tombstone; else to an empty slice.
 */
int compact_sink_add(struct compact_sink *s, const struct iter *it,
		     struct lsm_slice *skip, uint64_t *skip_seq);
/* Writes what is left, syncs the directory, and releases s. */
int compact_sink_finish(struct compact_sink *s);
/* Deletes what was written, and releases s. */
void compact_sink_abort(struct compact_sink *s);

/* The stripe of a sequence: the number of snapshots below it. Two versions of
 * a key in one stripe look alike to every snapshot: the newer hides the
 * older. */
size_t snapshot_stripe(const struct compact_env *env, uint64_t seq);

#endif
