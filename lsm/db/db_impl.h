/* SPDX-License-Identifier: MIT */
/*
 * db_impl.h - the inside of struct lsm_db, shared by the files of lsm/db/.
 *
 * Lock order. A lock may be taken while locks above it are held, never the
 * other way round:
 *
 *   1  db->resume_mutex     one lsm_resume() at a time
 *   2  db->named_mutex      one change of the named snapshots at a time
 *   3  db->write_mutex      order of the WAL; the active memtable and log
 *   4  db->vs.apply_mutex   one manifest edit at a time
 *   5  db->mutex            memtable list, version, snapshots, background
 *   6  db->publish_mutex    writers that wait for their predecessor
 *   7  a memtable's mutex for range tombstones, the table cache's mutex
 *   8  an arena shard's mutex
 *   9  a block cache shard's mutex
 *  10  under which no other is taken: db->pack_mutex, reclaim.mutex,
 *      events.mutex, prefetch.mutex, ahead.mutex, ahead.workers.mutex,
 *      vs.obsolete_mutex; those of the rate limiters, of open blob files, of
 *      arena pools, of the cache's memory and of the env
 *
 * Beside these, one thread at a time syncs the log: db->sync_busy, see
 * wal_sync.c. It takes write_mutex; who waits for it holds named_mutex at most.
 *
 * No lock is held over data I/O except: write_mutex over the append to the log
 * and the creation of a log, apply_mutex over the manifest.
 *
 * What a reader does: it pins an epoch, loads db->sv, THEN db->visible. In
 * that order, because whatever is visible at a moment t is in the superversion
 * loaded before t or was written after the read began; the other way round a
 * compaction could have dropped, between the two loads, the version that the
 * older sequence number needs. Then it looks whether db->sv is still the same,
 * or begins anew: what became visible between the two loads may be a handle
 * into a blob file that was made between them as well. A superversion that was
 * replaced goes to epoch_retire(), so a pinned reader may use it without
 * counting. Whoever needs it longer counts a reference while still pinned.
 *
 * What always holds (ENGINE invariants this layer is responsible for):
 *   - the log's order is sequence order, without gaps within the logs that
 *     recovery reads: a failed append ends its log, and lsm_resume() flushes
 *     everything before it lets a writer in again;
 *   - db->visible never passes a batch that is not applied;
 *   - no sequence number is used twice, not even that of a failed batch;
 *   - a memtable is flushed only when every sequence in it is visible, so a
 *     snapshot taken after the flush read the list of snapshots can see no
 *     less than the newest version of each key.
 */
#ifndef LSM_DB_DB_IMPL_H
#define LSM_DB_DB_IMPL_H

#include <stdatomic.h>

#include "lsm/base/arena.h"
#include "lsm/base/buf.h"
#include "lsm/base/epoch.h"
#include "lsm/base/logger.h"
#include "lsm/base/sync.h"
#include "lsm/env/env.h"
#include "lsm/mem/batch.h"
#include "lsm/mem/memtable.h"
#include "lsm/table/ahead.h"
#include "lsm/table/blob_direct.h"
#include "lsm/table/cache.h"
#include "lsm/table/table_cache.h"
#include "lsm/tree/compact.h"
#include "lsm/tree/version.h"
#include "lsm/wal/wal.h"

#define CACHE_LINE 64

/* Memtables that may exist at once, the active one included. */
#define DB_MEMS_MAX 34
/* What options can ask for; lsm_resume() may need one more than that. */
#define DB_WRITE_BUFFERS_MAX 32
/* Values longer than this are handed out where they lie, not copied. */
#define DB_COPY_MAX 4096
#define DB_STRIPES  32

/*
 * A blob file that bulk writes fill (direct.c). It belongs to one memtable, by
 * its log, and no version lists it before that memtable is in tables.
 */
struct db_direct {
	struct blob_direct *blob;
	_Atomic uint32_t refs;
	_Atomic uint32_t writers; /* between reserving and having written */
	uint64_t wal_number;
	struct db_direct *next;       /* older, of the memtable; immutable */
	struct db_direct *next_dirty; /* protected by db->write_mutex */
	bool dirty; /* protected by db->write_mutex: in db->dirty_direct */
	struct db_direct *next_sync; /* the syncing thread's */
	bool name_durable;           /* the same */
	bool added;                  /* the flushing thread's: by the edit */
	/* The flush leaves it out, so it gets no new users; protected by
	 * db->mutex. */
	bool dropping;
	/* Its memtable is in tables: no log needs it any more. */
	_Atomic bool flushed;
};

/* A memtable and what the database must know of it. */
struct db_mem {
	struct lsm_db *db;
	struct memtable *table;
	_Atomic uint32_t refs; /* of superversions */
	/* Writers between their append and the publication of it. */
	_Atomic uint32_t inflight;
	uint64_t wal_number;
	uint64_t base_seq;        /* everything in it is greater */
	_Atomic uint64_t charged; /* bytes told to cache_charge() */
	/* Files that handles in it lead into; protected by db->mutex. */
	struct blob_pins pins;
	/* Blob files that bulk writes put its values into: newest first, one
	 * reference each. Pushed to with db->write_mutex. */
	_Atomic(struct db_direct *) direct;
	/* In them, and of that, of small batches; protected by
	 * db->write_mutex. */
	uint64_t direct_bytes, single_bytes;
};

/* A log that is being written, or was and is not yet obsolete. */
struct db_wal {
	struct db_wal *next; /* newer; protected by db->write_mutex */
	struct wal_writer *writer;
	_Atomic uint32_t refs;
	uint64_t number;
	bool name_durable; /* the syncing thread's */
	bool clean;  /* closed for appends and synced; the syncing thread's */
	bool closed; /* no more appends; protected by db->write_mutex */
};

/* The state that a read needs, immutable. */
struct superversion {
	_Atomic uint32_t refs;
	struct lsm_db *db;
	struct superversion *next_retired;
	struct version *version;
	unsigned mem_count;
	struct db_mem *mems[DB_MEMS_MAX]; /* newest first; [0] is the active */
};

struct lsm_snapshot {
	struct lsm_snapshot *next, *prev; /* protected by db->mutex */
	uint64_t seq;
};

/* What the leader of a group commit knows of the ones before. */
struct sync_pace {
	uint64_t came;       /* sync_came when the last one began */
	uint64_t crowd;      /* writers seen at its end */
	uint64_t ns;         /* how long a sync takes */
	unsigned skip;       /* so many leaders do not wait for others */
	unsigned vain_waits; /* in a row */
};

struct db_stripe {
	_Alignas(CACHE_LINE) _Atomic uint64_t hits;
	_Atomic uint64_t misses;
};

/* Events that wait for the user's function. */
#define EVENTS_MAX 256

struct event_queue {
	struct mutex mutex; /* protects the rest */
	struct cond cond;
	struct lsm_event *ring; /* EVENTS_MAX; NULL: nobody listens */
	unsigned first, count, lost;
	uint64_t stall_ns; /* when the stall began */
	bool stop, started;
	pthread_t thread;
};

/* Ranges that lsm_prefetch() was asked for. */
#define PREFETCH_MAX 16

struct prefetch_range {
	struct buf start, end;
};

struct prefetch {
	struct worker_job work;
	struct mutex mutex;
	struct prefetch_range range[PREFETCH_MAX]; /* protected by mutex */
	unsigned first, count;                     /* the same */
	bool running; /* the same: the work was given away */
};

/* Range deletions that are kept to stand for all. */
#define RECLAIM_RANGES 64

/* What was deleted since the memtable was last looked at: see reclaim.c. */
struct reclaim {
	struct mutex mutex;
	struct buf keys; /* start and end of each; protected by mutex */
	unsigned kept;   /* protected by mutex */
	_Atomic uint32_t ranges;
	_Atomic uint64_t deletes;
	_Atomic uint64_t since_ns; /* of the first; 0: nothing */
	uint64_t carried;          /* the flush thread's */
	/* Estimates of what tables hide; protected by db->mutex. */
	uint64_t epoch;
	uint64_t gone; /* snapshots, ever */
	bool estimate_due, held;
};

struct lsm_db {
	/* Read by every reader, changed rarely. */
	_Alignas(CACHE_LINE) _Atomic(struct superversion *) sv;
	struct cache *cache;
	struct table_cache *tables;
	struct arena_pool *arenas; /* of memtables */
	struct lsm_options opt;    /* without zeros */
	struct tree_options tree_opt;
	struct logger log;
	struct env_dir *dir;
	bool read_only;

	/* The sequence up to which everything is applied. */
	_Alignas(CACHE_LINE) _Atomic uint64_t visible;
	_Atomic uint32_t publish_waiters;
	/* A batch could not be applied to the memtable: visible is stuck. */
	_Atomic bool halted;

	/* Writers. */
	_Alignas(CACHE_LINE) struct mutex write_mutex;
	struct db_mem *active;     /* protected by write_mutex */
	struct db_wal *wal;        /* protected by write_mutex; the newest */
	struct db_wal *oldest_wal; /* protected by write_mutex */
	uint64_t last_seq;         /* protected by write_mutex */
	int64_t room_bytes;        /* protected by write_mutex; see write.c */
	bool wal_failed;           /* protected by write_mutex */
	uint64_t writes, batches;  /* protected by write_mutex */
	uint64_t write_bytes;      /* protected by write_mutex */
	uint64_t wal_closed_bytes; /* protected by write_mutex */
	uint64_t direct_written;   /* protected by write_mutex */
	/* Direct files with committed blocks that are not synced, a reference
	 * each; protected by write_mutex. */
	struct db_direct *dirty_direct;
	/* Written since somebody asked for a sync. */
	_Atomic uint64_t unsynced_bytes;
	/* Values lately did not become smaller by compression. */
	_Atomic bool values_raw;

	struct mutex pack_mutex;
	struct direct_pack *packs; /* protected by pack_mutex; to be used */
	unsigned pack_count;       /* the same */

	_Alignas(CACHE_LINE) struct mutex publish_mutex;
	struct cond publish_cond;

	/* Pacing: see pace.c. */
	_Atomic uint64_t pace_tree; /* bytes a second; 0: unlimited */
	_Atomic uint64_t pace_mem;
	_Atomic uint64_t pace_next_ns;
	_Atomic uint64_t stall_ns;
	_Atomic bool stalled; /* told of; changed under events.mutex */

	/* Syncing the log: see wal_sync.c. */
	_Alignas(CACHE_LINE) _Atomic uint64_t synced; /* sequence: durable */
	_Atomic bool sync_busy;                       /* someone leads */
	_Atomic uint32_t sync_turn;  /* word: counts the ends of syncs */
	_Atomic uint32_t sync_sleep; /* who wait for the word */
	_Atomic uint64_t sync_came;  /* writers that asked for a sync, ever */
	struct sync_pace sync_pace;  /* who leads */
	_Atomic bool dirty;          /* the timer has something to do */
	_Atomic uint64_t wal_syncs;

	/* Everything else. */
	_Alignas(CACHE_LINE) struct mutex mutex;
	struct cond work_cond;  /* background threads wait for work */
	struct cond done_cond;  /* others wait for a change */
	struct cond timer_cond; /* the sync timer waits */
	struct version_set vs;
	struct db_mem *imm[DB_MEMS_MAX]; /* protected by mutex; newest first */
	unsigned imm_count;              /* protected by mutex */
	struct lsm_snapshot snapshots;   /* protected by mutex; ring head */
	unsigned snapshot_count;         /* protected by mutex */
	uint64_t free_wal;   /* protected by mutex; to recycle; 0: none */
	bool flushing;       /* protected by mutex */
	bool resuming;       /* protected by mutex: flush despite bg_err */
	uint64_t resumes;    /* protected by mutex: how often */
	unsigned compacting; /* protected by mutex: running compactions */
	bool compact_due;    /* protected by mutex: the tree changed */
	unsigned idle_waits; /* protected by mutex: calls of lsm_wait_idle() */
	bool cleanup_due;    /* protected by mutex: something to unlink */
	int flush_err;       /* protected by mutex: of the last flush */
	int compact_err;     /* protected by mutex: of the last compaction */
	uint64_t flush_retry_ns, compact_retry_ns; /* protected by mutex */
	_Atomic int bg_err;   /* sticky; changed under mutex */
	bool manifest_failed; /* protected by mutex */
	_Atomic bool stop;
	uint64_t flushes, flush_written; /* protected by mutex */
	uint64_t flushed_ns;             /* the same: when the last ended */
	uint64_t compactions, compact_read, compact_written; /* the same */
	uint64_t trivial_moves;                              /* the same */
	uint64_t blob_written, blob_collected;               /* the same */
	uint64_t blob_moved;                                 /* the same */
	_Atomic(struct superversion *) retired;              /* to be reaped */

	struct mutex named_mutex;
	struct mutex resume_mutex;
	struct ahead ahead; /* ready once there is a cache */
	struct prefetch prefetch;
	struct rate_limiter *limiter, *collect_limiter;
	struct reclaim reclaim;
	pthread_t flush_thread, timer_thread, *compact_threads;
	unsigned compact_thread_count;
	bool flush_started, timer_started;
	struct event_queue events;

	struct db_stripe stripes[DB_STRIPES];
};

/* ---- options.c ---- */

/* Fills every zero in *o with its default and bounds the rest. */
void options_complete(struct lsm_options *o);
void options_for_tree(const struct lsm_options *o, const struct logger *log,
		      struct tree_options *out);

/* ---- memory.c: memtables and logs of the database ---- */

/* One reference. NULL: no memory. */
struct db_mem *db_mem_new(struct lsm_db *db, uint64_t wal_number,
			  uint64_t base_seq);
void db_mem_put(struct db_mem *m);
/* Tells the cache's budget what the memtable takes by now. */
void db_mem_charge(struct db_mem *m, uint64_t bytes);

/* Creates the next log, one reference. */
int db_wal_new(struct lsm_db *db, struct db_wal **out);
/* The last put closes it and recycles or deletes the file. */
void db_wal_put(struct lsm_db *db, struct db_wal *w);
/* Drops the logs below number: their memtables are in tables. */
void db_wal_drop_below(struct lsm_db *db, uint64_t number);

/* ---- superversion.c ---- */

/* Memory for one, so that installing cannot fail. */
struct superversion *sv_alloc(void);
/* Builds fresh from the active memtable, db->imm and the present version, and
 * replaces db->sv with it. Consumes fresh. active NULL: the same as before.
 * Called by whoever changes one of these, with db->mutex. */
void sv_install_locked(struct lsm_db *db, struct superversion *fresh,
		       struct db_mem *active) REQUIRES(db->mutex);
/* The present one with a counted reference, to be given back by sv_put(). */
struct superversion *sv_get(struct lsm_db *db);
/* The same, and the sequence to read at. */
struct superversion *sv_get_at(struct lsm_db *db,
			       const struct lsm_snapshot *snapshot,
			       uint64_t *seq);
void sv_ref(struct superversion *sv);
void sv_put(struct superversion *sv);
/* The same from a user's thread: if that was the last, tables may have become
 * obsolete, and the background is told. */
void sv_put_user(struct superversion *sv);
/* Frees what readers have left, and deletes tables that nobody holds. Called
 * without locks, not pinned. */
void sv_reap(struct lsm_db *db);
/* At the end: nobody reads any more. */
void sv_close(struct lsm_db *db);

/* ---- write.c ---- */

/* Makes the active memtable immutable and starts a new one with a new log. */
int db_switch_locked(struct lsm_db *db) REQUIRES(db->write_mutex);
/* The first error stops the writers. */
void db_set_error(struct lsm_db *db, int err, const char *what);
void db_set_error_locked(struct lsm_db *db, int err, const char *what)
	REQUIRES(db->mutex);

/* ---- share.c: values that several keys share ---- */

/* Before a batch with handles goes to m: the blob files they lead into stay for
 * as long as m is not in a table. -EINVAL: the batch is another store's;
 * -ENOMEM. */
int share_keep(struct lsm_db *db, struct db_mem *m,
	       const struct lsm_batch *batch);
/* m is in a table, which refers to the files. */
/* Is the file pinned by others than these memtables? */
bool share_pinned_locked(struct lsm_db *db, uint64_t file,
			 struct db_mem *const *mems, unsigned count)
	REQUIRES(db->mutex);
void share_flushed_locked(struct lsm_db *db, struct db_mem *m)
	REQUIRES(db->mutex);

struct direct_write;

/* Takes the writers' lock. */
void db_lock_writers(struct lsm_db *db) ACQUIRE(db->write_mutex);
/*
 * Logs, applies and publishes an encoded batch of count operations; its header
 * is written here. batch: whose it is, or NULL. w, may be NULL: what was
 * written for it into direct files; -ESTALE: these no longer belong to the
 * active memtable, nothing was done.
 */
int db_write_rep(struct lsm_db *db, const struct lsm_batch *batch, uint8_t *rep,
		 size_t len, uint32_t count, uint64_t data_bytes, bool sync,
		 struct direct_write *w);

/* ---- direct.c: bulk writes ---- */

/* So many bytes of large values make a bulk write now. */
uint64_t direct_enough(const struct lsm_db *db);

/* Is the batch one that writes its large values itself? */
bool direct_wanted(const struct lsm_db *db, const struct lsm_batch *batch);
/* A flush adds these files: do values compress? */
void direct_note_values(struct lsm_db *db, const struct version_edit *edit);
/* As lsm_write(). */
int direct_write(struct lsm_db *db, struct lsm_batch *batch, bool sync);
/* Do its blocks lie in files of the active memtable? 0, -ESTALE or -ENOMEM;
 * after 0 direct_commit_locked() cannot fail. */
int direct_prepare_locked(struct lsm_db *db, const struct direct_write *w)
	REQUIRES(db->write_mutex);
/* The record that names its blocks was appended. */
void direct_commit_locked(struct lsm_db *db, struct direct_write *w)
	REQUIRES(db->write_mutex);
/* At the end, when nobody writes any more. */
void direct_packs_free(struct lsm_db *db);

/* ---- direct_file.c: the files of bulk writes ---- */

/* One reference; takes blob. */
struct db_direct *db_direct_new(struct blob_direct *blob, uint64_t wal_number);
void db_direct_put(struct db_direct *d);
/* To the files of m, which takes the reference. */
void db_direct_push(struct db_mem *m, struct db_direct *d);
/* The file, or NULL; the caller holds or is pinned to m. */
struct db_direct *db_direct_find(const struct db_mem *m, uint64_t number);
/* Takes the dirty files, which are so no more, as a list by next_sync. */
struct db_direct *db_direct_take_dirty_locked(struct lsm_db *db)
	REQUIRES(db->write_mutex);
/* Makes files of such a list durable, and their names. 0 or the first error. */
int db_direct_sync(struct lsm_db *db, struct db_direct *list);
/* Ends with the list. */
void db_direct_put_list(struct db_direct *list);
/* Waits for those who are writing into files of m. */
void db_direct_wait(const struct db_mem *m);
/* Before a flush of count memtables: seals the files of mems[i]. A file that
 * can no longer be made durable stays as it is, and *move is set: its values
 * have to go elsewhere. An error when move is NULL, or when others have handles
 * into such a file. */
int db_direct_seal(struct lsm_db *db, struct db_mem *const *mems,
		   unsigned count, unsigned i, bool *move);
/* For compact_env.move_handle, when move was set; arg is a struct
 * direct_mover. */
struct direct_mover {
	struct lsm_db *db;
	struct db_mem *const *mems;
	unsigned count;
	struct blob_view view; /* to be released */
};
int db_direct_move_handle(void *arg, struct lsm_slice handle,
			  struct lsm_slice *value);
/* Adds to edit, which adds tables, the memtables' files that they refer to, and
 * those that others have handles into. */
int db_direct_add(struct lsm_db *db, struct db_mem *const *mems, unsigned count,
		  struct version_edit *edit);
/* After that edit: deletes the files of m that it did not add. */
void db_direct_flushed(struct lsm_db *db, const struct db_mem *m);

/* ---- value.c ---- */

/* As version_blob_value(), for a handle found anywhere in sv. */
int sv_blob_value(struct superversion *sv, struct lsm_slice handle, bool fill,
		  struct blob_view *view, struct lsm_slice *value);
/* As version_blob_block(), the same. */
int sv_blob_block(struct superversion *sv, const struct blob_handle *h,
		  bool fill, struct blob_view *view, struct lsm_slice *value);

/* ---- pace.c ---- */

/* How fast blob files are emptied while there is no hurry, bytes a second. */
#define PACE_COLLECT_BYTES ((uint64_t)64 << 20)

/* Sleeps as long as a write of bytes must wait for the tree. */
void pace_write(struct lsm_db *db, size_t bytes);
/* Recomputes the speed limit; the tree or the list of memtables changed. */
void pace_update_locked(struct lsm_db *db) REQUIRES(db->mutex);
/* The same for the fill of the active memtable, when it is the last. */
void pace_update_mem(struct lsm_db *db, bool last, uint64_t bytes);

/* ---- prefetch.c ---- */

void prefetch_init(struct lsm_db *db);
/* The pool has been stopped. */
void prefetch_release(struct lsm_db *db);

/* ---- wal_sync.c ---- */

/* Everything up to seq, which was appended before the call, becomes durable.
 * Shares one sync among all who wait. */
int wal_sync_to(struct lsm_db *db, uint64_t seq);
/* The same for somebody who asked for it. */
int wal_sync_asked(struct lsm_db *db, uint64_t seq);
/* Everything up to seq is durable without the log. */
void wal_synced_by_flush(struct lsm_db *db, uint64_t seq);
/* Tells the timer that something was appended; cheap when it knows. */
void wal_mark_dirty(struct lsm_db *db);
void *wal_timer_main(void *db);

/* ---- background.c ---- */

int background_start(struct lsm_db *db);
void background_stop(struct lsm_db *db);
/* Called with every change that gives background threads something to do. */
void background_wake_locked(struct lsm_db *db) REQUIRES(db->mutex);
/* version_set_apply(), and the manifest's error becomes the store's. */
int db_apply(struct lsm_db *db, const struct version_edit *edit,
	     void (*installed)(void *arg), void *arg);
/* Waits until the logs below number are flushed. 0 or what kept it from it. */
int background_wait_flush(struct lsm_db *db, uint64_t number);
/* Runs a picked compaction and installs the result; db->mutex is released
 * meanwhile. The inputs are unmarked and c is freed. */
int background_compact_locked(struct lsm_db *db, struct compaction *c)
	REQUIRES(db->mutex);

/* ---- reclaim.c ---- */

/* Any writer: these deletions are in the memtable. */
void reclaim_note(struct lsm_db *db, const struct lsm_batch *batch);
void reclaim_note_deletes(struct lsm_db *db, uint32_t count);
/* When the flush thread should call reclaim_run(), which closes the memtable if
 * what is deleted in it is worth that. UINT64_MAX: not at all. */
uint64_t reclaim_due(struct lsm_db *db);
void reclaim_run(struct lsm_db *db);
/* A compaction thread, when reclaim.estimate_due was set. */
void reclaim_estimate(struct lsm_db *db);
void reclaim_snapshot_gone_locked(struct lsm_db *db) REQUIRES(db->mutex);
/* A named one at seq: what was overwritten since then can go, too. */
void reclaim_name_gone(struct lsm_db *db, uint64_t seq);

/* ---- event.c ---- */

/* Starts the thread that tells the user; nothing when nobody listens. */
int events_start(struct lsm_db *db);
/* Tells what is left and ends the thread. */
void events_stop(struct lsm_db *db);
/* Any thread, under any lock. Fills in the time; at END events duration_ns is
 * when it began, or 0. */
void event_tell(struct lsm_db *db, struct lsm_event e);
/* Writers are held back, or are no more. Cheap when nothing changed. */
void event_stall(struct lsm_db *db, bool on);

/* ---- verify_blob.c ---- */

/* Checks the blob files of sv's version and what its tables refer to in them;
 * and what entries of its memtables, up to seq, point to. done is told of the
 * bytes read. 0 or the first error; all are reported. */
int verify_blobs(struct lsm_db *db, struct superversion *sv, uint64_t seq,
		 void (*done)(void *arg, uint64_t bytes), void *arg);

/* ---- dump_direct.c ---- */

/* As blob_dump(), for a file that is not sealed: the values that logs in dir
 * point to. LSM_END: none does. */
int dump_direct(struct env_dir *dir, const char *name, uint64_t number,
		int (*fn)(void *arg, const char *line), void *arg);

/* ---- recover.c ---- */

/* Replays the logs into tables (read-only: into the memtable) and sets
 * db->last_seq and db->visible. Creates the first log. */
int recover(struct lsm_db *db);

/* ---- snapshot.c ---- */

/* Sequence numbers of live and named snapshots, ascending, malloc'ed. */
int snapshots_collect_locked(struct lsm_db *db, uint64_t **out, size_t *count)
	REQUIRES(db->mutex);
/* Keeps vs->oldest_snapshot true after one has gone. */
void snapshots_note_oldest_locked(struct lsm_db *db) REQUIRES(db->mutex);
/* A snapshot at seq; NULL: no memory. */
struct lsm_snapshot *snapshot_new_locked(struct lsm_db *db, uint64_t seq)
	REQUIRES(db->mutex);
void snapshot_free_locked(struct lsm_db *db, struct lsm_snapshot *s)
	REQUIRES(db->mutex);

/* ---- read.c ---- */

void db_count_gets(struct lsm_db *db, uint64_t hits, uint64_t misses);

static inline bool db_stopping(const struct lsm_db *db)
{
	return atomic_load_explicit(&db->stop, memory_order_relaxed);
}

static inline int db_error(const struct lsm_db *db)
{
	return atomic_load_explicit(&db->bg_err, memory_order_relaxed);
}

/* What a read needs: the superversion, good as long as the caller is pinned,
 * and the sequence to read at. */
static inline struct superversion *
sv_load(struct lsm_db *db, const struct lsm_snapshot *snapshot, uint64_t *seq)
{
	struct superversion *sv, *now;

	/* acquire: pairs with the release in sv_install_locked(). */
	now = atomic_load_explicit(&db->sv, memory_order_acquire);
	if (snapshot) {
		*seq = snapshot->seq;
		return now;
	}
	do {
		sv = now;
		/* acquire: pairs with the store in publish(): what is visible
		 * has been inserted, and its writer's superversion is seen by
		 * the next load. */
		*seq = atomic_load_explicit(&db->visible, memory_order_acquire);
		now = atomic_load_explicit(&db->sv, memory_order_acquire);
	} while (now != sv);
	return sv;
}

#endif
