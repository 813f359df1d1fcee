/* SPDX-License-Identifier: MIT */
/*
 * compact_sink.h - inside lsm/tree: where a flush or a compaction pours its
 * merged entries: drops what nobody can see any more, and cuts the rest into
 * tables.
 */
#ifndef LSM_TREE_COMPACT_SINK_H
#define LSM_TREE_COMPACT_SINK_H

#include "lsm/table/blob_writer.h"
#include "lsm/tree/compact.h"
#include "lsm/tree/compact_moved.h"

/* An entry that waits for its turn: before it comes one whose value lies in a
 * block of a blob file that is not written yet. Offsets into sink.bytes. */
struct sink_pending {
	size_t key, key_len, value, value_len;
	uint64_t tag;
	bool first;
	uint32_t index, len;       /* of a blob: the rest of its handle */
	bool blob;                 /* its value is in the open block */
	bool shared;               /* where another key put it */
	struct moved_value *moved; /* where to note its place, or NULL */
};

struct sink_file {
	enum file_kind kind;
	uint64_t number;
};

struct compact_sink {
	struct compact_env *env;
	struct version_edit *edit;
	unsigned level;
	bool one_table;  /* never cut: level 0 */
	bool bottommost; /* nothing below: tombstones need not be kept */
	struct table_file **grandparents; /* borrowed */
	size_t grandparent_count;
	bool separate; /* put large values into blob files */
	/* Where handles lead, to move values out of the files collect
	 * (borrowed); NULL: handles stay as they are. */
	struct version *blob_version;
	const uint64_t *collect;
	unsigned collect_count;

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
	bool wrote_key; /* a version of it was kept */
	size_t stripe;  /* of its last version */

	size_t grandparent_at;
	uint64_t grandparent_bytes; /* overlapping the present table */
	bool crossed; /* a grandparent ended since the last cut or entry */

	/* The blob file being written, or NULL, and what waits for it. */
	struct blob_writer *blob;
	uint64_t blob_number, blob_paced;
	size_t blob_open; /* values in the open block */
	struct buf bytes;
	struct sink_pending *pending;
	size_t pending_count, pending_cap;
	/* The block last read of each file of collect, as keys in order go
	 * from file to file; of large values only the last of all. */
	struct blob_view *views; /* collect_count */
	struct blob_view large;
	struct moved_values moved_values;
	bool moved; /* a value is to go in the handle's place */
	struct lsm_slice moved_value;

	struct sink_file *made; /* finished, to be deleted on an error */
	size_t made_count, made_cap;
	size_t entries; /* since the last look at the clock and stop flag */
	uint64_t paced_bytes;
};

/* All up to collect_count is set by the caller, the rest
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

/* ---- compact_blob.c: values in blob files, inside the sink ---- */

/* An entry that was kept; first: of its key. To the table, now or in turn. */
int sink_keep(struct compact_sink *s, const struct iter *it, bool first);
/* Writes what waits, and ends the blob file. */
int sink_finish_blobs(struct compact_sink *s);
void sink_release_blobs(struct compact_sink *s);
/* ---- compact_sink.c ---- */

/* The next entry of the table. */
int sink_emit(struct compact_sink *s, struct lsm_slice key, uint64_t tag,
	      struct lsm_slice value, bool first);
/* A file that is being made. */
int sink_note_made(struct compact_sink *s, enum file_kind kind,
		   uint64_t number);

/* The stripe of a sequence: the number of snapshots below it. Two versions of
 * a key in one stripe look alike to every snapshot: the newer hides the
 * older. */
size_t snapshot_stripe(const struct compact_env *env, uint64_t seq);

#endif
