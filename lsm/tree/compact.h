/* SPDX-License-Identifier: MIT */
/*
 * compact.h - flushing memtables into level 0, and leveled compaction.
 *
 * compact_pick.c is pure policy: it looks at a version and says what to merge,
 * with no I/O. compact.c and flush.c do the work. Neither installs anything:
 * they fill a version_edit for version_set_apply().
 */
#ifndef LSM_TREE_COMPACT_H
#define LSM_TREE_COMPACT_H

#include "lsm/mem/memtable.h"
#include "lsm/tree/version.h"

struct tree_options {
	/* Tables of level 0 that are merged, and that are while it grows. */
	unsigned level0_trigger, level0_enough;
	uint64_t level_base_bytes;
	unsigned level_multiplier;
	uint64_t table_bytes;
	struct sst_writer_options sst;
	uint64_t rate_limit_bytes; /* 0: none */
	/* Flushes put values of this size or larger into blob files; 0: none.
	 * A file is ended when it has blob_file_bytes. */
	uint32_t blob_bytes;
	uint64_t blob_file_bytes;
	uint64_t garbage_least; /* so many dead values are not to be helped */
};

/* What the work needs of its surroundings. */
struct compact_env {
	struct version_set *vs;
	const struct tree_options *options;
	/* Sequence numbers of live and named snapshots, ascending. A version
	 * is kept when it is the newest, or the newest at or below one of
	 * them. Taken after the inputs were fixed. */
	const uint64_t *snapshots;
	size_t snapshot_count;
	/* True: stop soon (shutdown); the work returns -ECANCELED. */
	const _Atomic bool *stop;
	/* Out: bytes read and written. */
	uint64_t read_bytes, written_bytes;
	/* Of the written bytes, those in blob files; and of them those that
	 * were moved out of files full of dead values. */
	uint64_t blob_bytes, collected_bytes;
	/* Paces background writes, shared by all workers; NULL: none. */
	struct rate_limiter *limiter;
	/* The same for values that are moved between blob files. */
	struct rate_limiter *collect_limiter;
	/* NULL, or asked of each handle: 1 keep; 2 move *value, good until the
	 * next call, into a new blob file; 0 drop the entry as if it had never
	 * been; or -errno. For repair. */
	int (*keep_handle)(void *arg, struct lsm_slice handle,
			   struct lsm_slice *value);
	/* The same, but asked only of entries that are kept; never 0. */
	int (*move_handle)(void *arg, struct lsm_slice handle,
			   struct lsm_slice *value);
	void *keep_arg;
};

/*
 * Writes the entries of memtables (oldest first, closed for writing) into one
 * new table of level 0 or several, syncs them and the directory, and adds them
 * to edit. Versions hidden from every snapshot are dropped on the way. An
 * empty result adds nothing. Every sequence number in them must be visible
 * already, so that no later snapshot lies below one. On error *edit is good
 * for nothing but version_edit_release().
 */
int flush_memtables(struct compact_env *env, struct memtable *const *mems,
		    size_t count, struct version_edit *edit);

struct compaction {
	unsigned level, output_level;
	struct version *version;       /* reference held */
	struct table_file **inputs[2]; /* level, output level */
	size_t input_count[2];
	struct table_file **grandparents; /* borrowed from version */
	size_t grandparent_count;
	bool trivial_move; /* move the input as it is */
	/* No level below output_level overlaps: tombstones may be dropped. */
	bool bottommost;
	double score;
	/* Blob files whose values are to be moved. */
	uint64_t collect[COLLECT_FILES_MAX];
	unsigned collect_count;
	bool by_hand; /* somebody waits for it */
	/* Bounds of all inputs, borrowed from them. */
	struct lsm_slice smallest, largest;
	bool largest_exclusive;
	struct compaction *next; /* of vs->running */
};

/* Target sizes of all levels for a version, dynamic (from the last level up);
 * *base is the first level >= 1 in use. */
void level_targets(const struct version *v, const struct tree_options *o,
		   uint64_t target[LSM_LEVELS], unsigned *base);
/* Bytes of values in blob files that nothing refers to, and that moving the
 * others away would free. */
uint64_t collectable_bytes(const struct version *v);

/* Bytes of values that only take space: known to be dead, and hidden by those
 * that level 0 refers to, as far as experience goes; and from how many on
 * writers are slowed down, and much. */
struct garbage {
	double dead, hidden, bearable, too_much;
};
struct garbage garbage_now(const struct version_set *vs,
			   const struct tree_options *o);
bool collect_contains(const uint64_t *files, unsigned count, uint64_t file);
/*
 * Estimates what range tombstones of v hide, where that is not known for this
 * epoch; the picker goes by it. True: a snapshot keeps some of it, so it should
 * be asked again, with another epoch, when one has gone. Opens tables. Without
 * vs->mutex.
 */
bool version_estimate_hidden(struct version *v, const uint64_t *snapshots,
			     size_t snapshot_count, uint64_t epoch);
/*
 * The snapshot at seq is gone for good: tables of the last level that may hold
 * versions kept for it alone are to be written again, where that is cheap
 * because their values are in blob files. True: there are some. With vs->mutex.
 */
bool version_mark_stale(struct version *v, uint64_t seq);
/* Hidden bytes that are worth a flush or a compaction. */
uint64_t worth_reclaiming(const struct version *v);
/* What an entry takes in the mean, with its value. */
double mean_entry_bytes(const struct version *v);
/* The most that one table hides. With vs->mutex. */
uint64_t most_hidden(const struct version *v);
/* Learns from a compaction that is to be installed how much values of level 0
 * hide. With vs->mutex. */
void collect_note_hidden(struct version_set *vs, const struct compaction *c,
			 const struct version_edit *edit);
/* A compaction failed for want of space: what was being emptied is given up,
 * and from now on files go one at a time, the one with the least to move
 * first. With vs->mutex. */
void collect_give_up(struct version_set *vs);
/* How far behind: the bytes over target that compaction must move. */
uint64_t pending_compaction_bytes(const struct version *v,
				  const struct tree_options *o);
/*
 * The most urgent compaction whose inputs are not in work, or NULL. Called
 * with vs->mutex; marks its inputs as compacting. Free with compaction_free().
 */
struct compaction *compact_pick(struct version_set *vs,
				const struct tree_options *o);
/* The next step of compacting [start, end) from level downwards, for a manual
 * compaction; NULL when that level has nothing there or its tables are in
 * work, which *busy tells. */
struct compaction *compact_pick_range(struct version_set *vs,
				      const struct tree_options *o,
				      unsigned level, struct lsm_slice start,
				      struct lsm_slice end, bool *busy);
/* The next step of emptying every blob file with a number below end that is
 * worth it, for a manual compaction; as above. */
struct compaction *compact_pick_collect(struct version_set *vs,
					const struct tree_options *o,
					uint64_t end, bool *busy);
/* Unmarks the inputs. Called with vs->mutex. */
void compaction_free(struct compaction *c);
/* Merges (or moves) the inputs; adds outputs and deletions to edit. On error
 * the outputs are deleted, and *edit is good for nothing but
 * version_edit_release(). Without vs->mutex. */
int compaction_run(struct compact_env *env, struct compaction *c,
		   struct version_edit *edit);

/*
 * Merges count tables, which may overlap in any way and come in any order
 * (files is sorted on the way), into tables of level, as if there were no
 * others: tombstones that no snapshot needs are dropped. For repair. On error
 * as flush_memtables().
 */
int merge_all_tables(struct compact_env *env, struct table_file **files,
		     size_t count, unsigned level, struct version_edit *edit);

/* A token bucket; NULL when bytes_per_second is 0. */
struct rate_limiter *rate_limiter_new(uint64_t bytes_per_second);
void rate_limiter_free(struct rate_limiter *r);
/* From now on; 0: no limit. */
void rate_limiter_set(struct rate_limiter *r, uint64_t bytes_per_second);
/* Sleeps as long as needed; r may be NULL. */
void rate_limiter_take(struct rate_limiter *r, uint64_t bytes,
		       const _Atomic bool *stop);

#endif
