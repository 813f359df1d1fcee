/* SPDX-License-Identifier: MIT */
/*
 * version.h - which tables make up the tree, at one moment and over time.
 *
 * A struct version is an immutable list of tables by level. Level 0 is sorted
 * newest first (by max_seq) and its tables overlap; a level >= 1 is sorted by
 * key, disjoint, and no user key is split across two of its tables. Any key's
 * sequences in level n are newer than those in level n+1.
 *
 * It also lists the blob files that its tables refer to, each with the bytes of
 * values that are referred to, exactly. A file without any is not listed.
 *
 * A struct version_set owns the present version, the manifest, the counters
 * that the manifest keeps (next file number, last sequence, log number) and the
 * named snapshots. Every change is a struct version_edit, applied by
 * version_set_apply(): first durable in the manifest, then visible.
 *
 * Locks: fields marked so are protected by vs->mutex, which is the database's
 * own mutex, handed in. version_set_apply() serializes itself with
 * vs->apply_mutex, taken BEFORE vs->mutex and held over manifest I/O.
 */
#ifndef LSM_TREE_VERSION_H
#define LSM_TREE_VERSION_H

#include <stdatomic.h>

#include "lsm/base/file_name.h"
#include "lsm/base/sync.h"
#include "lsm/table/blob_reader.h"
#include "lsm/table/merge_iter.h"
#include "lsm/table/table_cache.h"
#include "lsm/tree/level_bounds.h"
#include "lsm/wal/wal.h"

/* One table, shared by all versions that hold it. */
struct table_file {
	struct sst_meta meta; /* immutable */
	struct table_slot slot;
	_Atomic uint32_t refs; /* of versions */
	bool compacting;       /* protected by vs->mutex */
	/* More than half of its entries are tombstones; immutable. */
	bool dense;
	/* Bytes below that its range tombstones hide, see hidden.c, as of this
	 * level and state of the snapshots. Protected by vs->mutex. */
	uint64_t hides, hides_epoch;
	unsigned hides_level;
	/* May hold versions that only a deleted snapshot needed; protected by
	 * vs->mutex. */
	bool stale;
	/* To be unlinked with the last reference; protected by vs->mutex, and
	 * final once no version holds the table. */
	bool dropped;
	struct table_file *next_obsolete; /* protected by vs->obsolete_mutex */
	struct version_set *vs;
};

/* One blob file, shared by all versions that refer to it. */
struct blob_file {
	struct blob_meta meta; /* immutable */
	struct blob_slot slot;
	_Atomic uint32_t refs; /* of versions */
	/* A value in it could not be read: it is not collected again. */
	_Atomic bool damaged;
	bool dropped; /* as in struct table_file */
	/* An edit that takes it out is being made; protected by vs->mutex. */
	bool dropping;
	struct blob_file *next_obsolete; /* protected by vs->obsolete_mutex */
	struct version_set *vs;
};

/* A blob file as one version sees it. */
struct version_blob {
	struct blob_file *file;
	/* Bytes of values that tables refer to, each time they do: more than
	 * the file holds when values are shared. */
	uint64_t live;
};

/* Does [start, end) (len 0: unbounded) overlap the table? */
bool table_file_overlaps(const struct table_file *f, struct lsm_slice start,
			 struct lsm_slice end);
/* <0: key lies before the table, 0: within its bounds, >0: after. */
int table_file_cmp_key(const struct table_file *f, struct lsm_slice key);

struct version {
	_Atomic uint32_t refs;
	struct version_set *vs;
	struct table_file **level[LSM_LEVELS];
	size_t count[LSM_LEVELS];
	uint64_t bytes[LSM_LEVELS];
	struct level_bounds bounds[LSM_LEVELS]; /* not of level 0 */
	bool has_ranges;                  /* any table with range tombstones */
	bool level_ranges[LSM_LEVELS];    /* the same by level */
	unsigned level_dense[LSM_LEVELS]; /* dense tables, by level */
	struct version_blob *blobs;       /* by number */
	size_t blob_count;
	/* Sums over blobs: on disk, values in them, and those still live, of
	 * each file not more than it holds. */
	uint64_t blob_file_bytes, blob_value_bytes, blob_live_bytes;
};

void version_ref(struct version *v);
/* Any thread, also from an epoch callback: tables nobody holds any more are
 * queued for deletion, see version_set_delete_obsolete(). */
void version_put(struct version *v);
/* Index of the first table of level (>= 1) whose bounds end at or after key;
 * count when none. */
size_t version_find(const struct version *v, unsigned level,
		    struct lsm_slice key);

/*
 * Looks key up in the tables, newest first. Results, flags and the pin as in
 * sst_reader_lookup(); with SST_LOOKUP_CACHED a table that is not open gives
 * -EAGAIN.
 */
int version_lookup(struct version *v, struct lsm_slice key, uint64_t seq,
		   unsigned flags, enum entry_kind *kind, struct sst_pin *pin);

/* The table of a version that a search of one key has come to. */
struct version_pos {
	unsigned level;
	uint32_t index; /* in level 0 */
	bool asked;     /* its filter was asked and did not deny the key */
};

/* As version_lookup(), from *at on, {0} being the start. Leaves in *at the
 * table that answered, so that after -EAGAIN the search goes on there. */
int version_lookup_from(struct version *v, struct lsm_slice key, uint64_t seq,
			unsigned flags, struct version_pos *at,
			enum entry_kind *kind, struct sst_pin *pin);

/* ---- values in blob files --------------------------------------------------
 */

/* The blob file, or NULL. */
struct version_blob *version_find_blob(const struct version *v,
				       uint64_t number);
/* A block held while its values are used; start with = {0}. */
struct blob_view {
	struct cache_entry *entry;
	uint64_t file, offset;
	bool from_disk; /* it was not in memory */
};
/*
 * The value that a handle found in v's tables stands for; it lies in the view's
 * block, so it is good until the view moves on or is released. fill: blocks
 * that are read enter the cache. 0 or -errno; damage is reported.
 */
int version_blob_value(struct version *v, struct lsm_slice handle, bool fill,
		       struct blob_view *view, struct lsm_slice *value);
/* The same for a handle that was decoded before. */
int version_blob_block(struct version *v, const struct blob_handle *h,
		       bool fill, struct blob_view *view,
		       struct lsm_slice *value);
void blob_view_release(struct version_set *vs, struct blob_view *view);
/* The same without touching the disk, else -EAGAIN; the caller is pinned, and
 * the value is good under that pin. */
int version_blob_cached(struct version *v, struct lsm_slice handle,
			struct lsm_slice *value);

/*
 * Appends the iterators a scan of [lower, upper) needs: one a level-0 table,
 * one a lower level (which opens tables only when it reaches them). The caller
 * holds a reference on v for as long as they live. cover_sources gets, index by
 * index, where the range tombstones of that iterator come from.
 */
struct cover_source {
	/* Range tombstones for key as frags_cover(); may open a table. 0 or
	 * -errno. NULL: this source has no range tombstones. The answer is
	 * borrowed until the next call for this source, or until its iterator
	 * is freed, whichever comes first. */
	int (*cover)(void *arg, struct lsm_slice key, uint64_t seq,
		     struct range_cover *out);
	void *arg;
};
/* Between init and release, which leaves the iterators to the caller; not to be
 * copied. Few of them take no memory but this. */
#define VERSION_ITERS_FEW 16
struct version_iters {
	struct iter **iters;
	struct cover_source *covers;
	size_t count, cap;
	struct iter *few_iters[VERSION_ITERS_FEW];
	struct cover_source few_covers[VERSION_ITERS_FEW];
};
void version_iters_init(struct version_iters *v);
/* Room for so many more. 0 or -ENOMEM. */
int version_iters_reserve(struct version_iters *v, size_t extra);
void version_iters_release(struct version_iters *v);
/* 0 or -errno, and then *into holds what it held before the call. Does not
 * need vs->mutex; may read tables. */
int version_add_iters(struct version *v, const struct sst_iter_options *o,
		      struct lsm_slice lower, struct lsm_slice upper,
		      struct version_iters *into);

/* ---- blob files kept --------------------------------------------------------
 *
 * A file that no table refers to is taken out of the version, unless it is
 * pinned: by a batch that has handles into it, and by the memtable that the
 * batch was written to, until the table it becomes refers to the file.
 */

struct blob_pin {
	uint64_t file;
	uint32_t count;
};
/* Files that one holder pins, each once. Start with .vs alone. */
struct blob_pins {
	struct version_set *vs;
	uint64_t *files;
	size_t count, cap;
};

bool blob_pins_have(const struct blob_pins *p, uint64_t file);
/* All are called with vs->mutex, and change nothing on an error: 0 or -ENOMEM;
 * the first LSM_NOTFOUND when the file is no longer, or not yet, part of the
 * present version. To take one that is not yet is for who sees to it that it
 * comes there. */
int blob_pins_add(struct blob_pins *p, uint64_t file);
int blob_pins_take(struct blob_pins *p, uint64_t file);
int blob_pins_join(struct blob_pins *p, const struct blob_pins *from);
/* Called with vs->mutex; sets vs->dead_blobs when a file is left that nobody
 * refers to. p is empty afterwards. */
void blob_pins_release(struct blob_pins *p);
/* By how many. Called with vs->mutex. */
uint32_t blob_pin_count(const struct version_set *vs, uint64_t file);

/* ---- edits ----------------------------------------------------------------
 */

struct edit_table {
	unsigned level;
	struct sst_meta meta; /* owned */
};
struct edit_ref {
	unsigned level;
	uint64_t number;
};
struct edit_snapshot {
	bool add;
	struct buf name;
	uint64_t seq;
};

enum edit_blob_what { EDIT_BLOB_ADD, EDIT_BLOB_LIVE, EDIT_BLOB_DELETE };
/* Who makes an edit adds files. How live bytes change follows from the tables
 * of the edit; the set works it out and writes it down. */
struct edit_blob {
	enum edit_blob_what what;
	struct blob_meta meta; /* LIVE and DELETE: only the number */
	uint64_t live_bytes;   /* ADD */
	uint64_t less, more;   /* LIVE: change of the live bytes */
	/* ADD, not written down: the file is the caller's when the edit fails,
	 * as it was before. */
	bool keep;
};

/* What a manifest says of itself in its first record. */
#define MANIFEST_FORMAT 1
#define UUID_BYTES      16

struct edit_header {
	uint32_t format;
	/* Feature bits: a store with an unknown incompat bit is refused. */
	uint64_t compat, incompat;
	uint8_t uuid[UUID_BYTES]; /* of the store, random, for life */
};

/* Start with = {0}; end with version_edit_release(). */
struct version_edit {
	struct edit_table *added;
	size_t added_count, added_cap;
	struct edit_ref *deleted;
	size_t deleted_count, deleted_cap;
	struct edit_snapshot *snapshots;
	size_t snapshot_count, snapshot_cap;
	struct edit_blob *blobs;
	size_t blob_count, blob_cap;
	bool has_log_number, has_last_seq;
	uint64_t log_number; /* logs below it are not needed for recovery */
	uint64_t last_seq;
	/* Filled by the set and by decoding, not by who makes an edit. */
	bool has_next_file, has_header;
	uint64_t next_file;
	struct edit_header header;
};

void version_edit_release(struct version_edit *e);
/* Takes the contents of *meta, which is as new afterwards. */
int version_edit_add(struct version_edit *e, unsigned level,
		     struct sst_meta *meta);
int version_edit_delete(struct version_edit *e, unsigned level,
			uint64_t number);
int version_edit_snapshot(struct version_edit *e, bool add, const char *name,
			  uint64_t seq);
int version_edit_blob(struct version_edit *e, const struct edit_blob *b);
/* The manifest's record of an edit (doc/FORMAT.md, manifest). Fields with an
 * unknown tag that is marked skippable are skipped, any other unknown tag is
 * -EPROTONOSUPPORT. */
int version_edit_encode(const struct version_edit *e, struct buf *out);
int version_edit_decode(struct version_edit *e, struct lsm_slice record);
int version_edit_to_text(const struct version_edit *e, struct buf *out);

/* ---- the set ----------------------------------------------------------------
 */

struct named_snapshot {
	char *name;
	uint64_t seq;
};

/* Blob files that are emptied together. */
#define COLLECT_FILES_MAX 64

struct version_set {
	struct mutex *mutex; /* the database's */
	struct mutex apply_mutex;
	struct env_dir *dir;
	struct table_cache *tables;
	const struct logger *log;
	struct version *current; /* protected by mutex; holds a reference */
	_Atomic uint64_t next_file;
	uint64_t last_seq;   /* as of recovery; the database goes on from it */
	uint64_t log_number; /* protected by mutex */
	struct named_snapshot *named; /* protected by mutex; by creation */
	size_t named_count;
	uint8_t uuid[UUID_BYTES];
	/*
	 * The smallest sequence any snapshot, live or named, was taken at;
	 * SEQ_MAX: there is none. Protected by mutex. Set by
	 * version_set_open() from the named ones, then kept by the database.
	 * The picker needs it to know which tombstones can be got rid of.
	 */
	uint64_t oldest_snapshot;
	uint64_t compact_cursor[LSM_LEVELS]; /* picker's; protected by mutex */
	struct compaction *running; /* picked, not freed; protected by mutex */
	struct blob_pin *pins;      /* protected by mutex */
	size_t pin_count, pin_cap;
	/* The next edit takes out a file that was pinned, and one should be
	 * made; protected by mutex. */
	bool dead_blobs;
	/* Blob files being emptied, see compact_collect.c; and whether that
	 * met a full disk. Protected by mutex. */
	uint64_t condemned[COLLECT_FILES_MAX];
	unsigned condemned_count;
	bool collect_little;
	/* Of the values in blob files that level 0 refers to, the share that
	 * hid older ones, lately. Protected by mutex. */
	double hidden_share;
	/* More is coming into level 0: merging it may wait for company, see
	 * compact_pick.c; and whether it does. Protected by mutex; set by who
	 * picks, and by the picker. */
	bool level0_grows, level0_waits;
	/* manifest, protected by apply_mutex */
	struct wal_writer *manifest;
	uint64_t manifest_number;
	uint64_t manifest_base_bytes; /* its size with the snapshot alone */
	int manifest_err;             /* sticky until version_set_resume() */
	struct blob_files blobs;      /* the open ones */
	/* Tables and blob files that no version holds. */
	struct mutex obsolete_mutex;
	struct table_file *obsolete;      /* protected by obsolete_mutex */
	struct blob_file *obsolete_blobs; /* protected by obsolete_mutex */
	_Atomic size_t obsolete_count;    /* of these; a hint for who deletes */
	bool keep_obsolete; /* after a manifest error: delete nothing */
};

/*
 * version_set_open reads CURRENT and the manifest it names into *vs. Creates
 * an empty store (first manifest, CURRENT) when create is set and there is no
 * CURRENT. Without it and without CURRENT: -ENOENT. With read_only no file is
 * written; otherwise recovery ends with a fresh manifest that holds one
 * snapshot of the state. Every table named must exist with the size recorded:
 * -EUCLEAN. vs is embedded in the database; mutex is the database's.
 */
int version_set_open(struct version_set *vs, struct mutex *mutex,
		     struct env_dir *dir, struct table_cache *tables,
		     const struct logger *log, bool create, bool read_only);
/* A set without a version, for reading manifests and making tables. */
void version_set_init(struct version_set *vs, struct mutex *mutex,
		      struct env_dir *dir, struct table_cache *tables,
		      const struct logger *log);
/* Frees everything. No version may be held, and versions handed to
 * epoch_retire() must have been put (epoch_barrier()). No file is deleted but
 * those queued. */
void version_set_close(struct version_set *vs);

/*
 * Makes the edit durable, then installs the new version and calls
 * installed(arg) with vs->mutex held. Must be called without vs->mutex. The
 * new tables' names and data must be durable before (the caller synced the
 * directory).
 *
 * On error nothing is installed. When the manifest could not be written the
 * error is sticky, and nothing is deleted from then on: the edit may be on
 * disk or not. The tables an edit adds belong to the set, whatever comes back;
 * after an error the caller leaves them alone and, after
 * version_set_resume(), makes new ones: the set deletes them once it is known
 * that no manifest names them. -EINVAL: the edit does not fit the present
 * state.
 */
int version_set_apply(struct version_set *vs, const struct version_edit *edit,
		      void (*installed)(void *arg), void *arg);
/* Writes a fresh manifest after an error. 0: applies may go on, and deletions
 * too. Must be called without vs->mutex. */
int version_set_resume(struct version_set *vs);

uint64_t version_set_new_file(struct version_set *vs);
/* Raises next_file above number (a file of an earlier life). */
void version_set_use_file(struct version_set *vs, uint64_t number);
/* Unlinks what is queued. Any thread, without vs->mutex. */
void version_set_delete_obsolete(struct version_set *vs);
/* At open, after recovery: deletes tables, temporaries and manifests that
 * nothing names. WALs are the database's business. */
int version_set_delete_strays(struct version_set *vs);

#endif
