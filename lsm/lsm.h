/* SPDX-License-Identifier: MIT */
/*
 * lsm.h - the public interface of the TinyLSM storage engine.
 *
 * An embeddable, ordered, crash-safe key-value store: a log-structured
 * merge-tree in one directory. Keys and values are byte strings; keys are
 * ordered as memcmp orders them, a shorter key before its extensions.
 *
 * Results. Functions that can fail return an int: 0 is success, a value above
 * zero is a named outcome that is no failure (LSM_NOTFOUND, LSM_END), a value
 * below zero is a negative errno. The ones to expect anywhere:
 *
 *   -EUCLEAN  stored bytes are corrupt; the log callback got one line with
 *             the file, the offset and the reason
 *   -EIO      the disk refused
 *   -ENOSPC   the disk is full; writes may be resumed, see lsm_resume()
 *   -EROFS    the store was opened read-only
 *   -EINVAL   the caller broke a rule stated here
 *   -ENOMEM   no memory
 *
 * Threads. A struct lsm_db may be used by any number of threads at once. A
 * batch or an iterator belongs to one thread at a time.
 *
 * This header includes nothing of the engine and is the only one a user of
 * the engine includes.
 */
#ifndef LSM_LSM_H
#define LSM_LSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LSM_PUBLIC __attribute__((visibility("default")))
#else
#define LSM_PUBLIC
#endif

struct lsm_db;
struct lsm_env;
struct lsm_batch;
struct lsm_iter;
struct lsm_snapshot;

/* Named outcomes; never negative, so that -ENOENT is always a missing file. */
enum {
	LSM_OK = 0,
	LSM_NOTFOUND = 1, /* there is no such key, snapshot or property */
	LSM_END = 2,      /* there is nothing further in this direction */
};

/* Keys are at most this long, and not empty. */
#define LSM_KEY_MAX 4096
/* Values are at most this long. */
#define LSM_VALUE_MAX (1u << 30)

/* A borrowed run of bytes. Who owns them is said where one is handed over. */
struct lsm_slice {
	const void *data;
	size_t len;
};

static inline struct lsm_slice lsm_slice(const void *data, size_t len)
{
	struct lsm_slice s = {data, len};

	return s;
}

/* ---- options ---------------------------------------------------------- */

enum lsm_compression {
	LSM_COMPRESSION_DEFAULT = 0, /* LZ4 */
	LSM_COMPRESSION_NONE = 1,
	LSM_COMPRESSION_LZ4 = 2,
};

enum lsm_mmap {
	LSM_MMAP_DEFAULT = 0, /* LSM_MMAP_RAW */
	LSM_MMAP_OFF = 1,     /* always read into the block cache */
	LSM_MMAP_RAW = 2,     /* uncompressed blocks are used where they lie */
};

enum lsm_log_level {
	LSM_LOG_ERROR = 0,
	LSM_LOG_WARN = 1,
	LSM_LOG_INFO = 2,
	LSM_LOG_DEBUG = 3,
};

/* Called from any thread, also from background threads. msg has no newline. */
typedef void (*lsm_log_fn)(void *arg, enum lsm_log_level level,
			   const char *msg);

enum lsm_event_kind {
	LSM_EVENT_FLUSH_BEGIN,
	LSM_EVENT_FLUSH_END,
	LSM_EVENT_COMPACTION_BEGIN,
	LSM_EVENT_COMPACTION_END,
	LSM_EVENT_STALL_BEGIN, /* writers are slowed down, or wait */
	LSM_EVENT_STALL_END,   /* they run freely again */
	/* The store takes no more writes; error says why. */
	LSM_EVENT_BACKGROUND_ERROR,
	LSM_EVENT_RESUME, /* it does again: lsm_resume() succeeded */
};

/* Fields that a kind does not name are 0. */
struct lsm_event {
	enum lsm_event_kind kind;
	unsigned level;        /* compactions: from; flushes: 0 */
	unsigned output_level; /* compactions: into; flushes: 0 */
	/* Flushes, compactions: memtables or tables read, tables made, at END
	 * only; bytes_out is 0 when tables were moved as they are. */
	unsigned tables_in, tables_out;
	uint64_t bytes_in, bytes_out;
	uint64_t time_ns;     /* CLOCK_MONOTONIC, when it happened */
	uint64_t duration_ns; /* END: since its BEGIN */
	/* END, BACKGROUND_ERROR: what it met, 0 or -errno. -ECANCELED: the
	 * store was closed meanwhile. */
	int error;
	/* Events before this one that are not told, because the function was
	 * slower than they came. */
	unsigned lost;
};

/*
 * Called for one event after the other, in the order they happened, by one
 * thread that does nothing else, with no lock held: it may take its time, and
 * call any function of the store but lsm_close(). The last call is over when
 * lsm_close() returns.
 */
typedef void (*lsm_event_fn)(void *arg, const struct lsm_event *event);

/*
 * Zero in any field means the default that its comment names, so a struct
 * lsm_options that was cleared with memset() or = {0} is a good start.
 */
struct lsm_options {
	/* Where the files live; NULL: the operating system's. Not owned. */
	struct lsm_env *env;

	/* Open modes. */
	bool no_create;       /* -ENOENT when there is no store at the path */
	bool error_if_exists; /* -EEXIST when there is one */
	bool read_only;       /* no file is changed; writes return -EROFS */
	/* How long to wait for another process to close the store, in ms.
	 * 0: do not wait. After it: -EBUSY and one log line naming the pid. */
	unsigned lock_wait_ms;

	/*
	 * ONE budget for all memory that grows with the data: memtables,
	 * cached blocks, filters, indexes. 0: 256 MiB. What glibc keeps of the
	 * freed buffers of background work comes on top, 15 to 35 MiB; a
	 * program with a bound to keep sets mallopt(M_TRIM_THRESHOLD, 131072),
	 * and stays within 15 % (see doc/BENCHMARKS.md).
	 */
	uint64_t memory_bytes;
	/* Size at which a memtable is closed and written out. 0: a quarter of
	 * memory_bytes, at most 64 MiB. */
	uint64_t write_buffer_bytes;
	/* Memtables that may exist at once, the active one included.
	 * 0: as many as fit in half of memory_bytes, at least 2, at most 4. */
	unsigned write_buffer_count;

	/* Tables. */
	uint32_t block_bytes;      /* 0: 4096, before compression */
	uint32_t restart_interval; /* 0: 16 entries */
	/* Bits a key of the tables' filters. 0: 10; UINT32_MAX: none, and
	 * memtables have no filter either. */
	uint32_t bloom_bits;
	/*
	 * Filters also hold the first so many bytes of each key that has them,
	 * once a prefix. An iterator whose bounds admit only keys with one such
	 * prefix (lower begins with it, upper is not past the first key
	 * without it) then leaves out tables that have none, which is what a
	 * scan of few keys mostly waits for. 0: no prefixes; at most 64. May
	 * differ from one opening to the next: each table knows its own.
	 */
	uint32_t prefix_bytes;
	enum lsm_compression compression;
	enum lsm_mmap mmap;
	uint32_t max_open_tables; /* 0: 1000 */

	/* The tree. */
	/* Tables of level 0 that are merged; 0: 4. While writes keep coming
	 * merging waits for up to three times as many (or level0_slowdown),
	 * which saves rewriting the level below. */
	unsigned level0_compact_trigger;
	unsigned level0_slowdown;  /* tables; 0: 12 */
	unsigned level0_stop;      /* tables; 0: 36 */
	uint64_t level_base_bytes; /* size of level 1; 0: 256 MiB */
	unsigned level_multiplier; /* 0: 10 */
	uint64_t table_bytes;      /* target of one table; 0: 64 MiB */
	/*
	 * Values of at least so many bytes leave the tree when a memtable is
	 * written out: they go into blob files, 32 KiB and more to a block, and
	 * the tree keeps a handle of some 20 bytes, so that compaction moves
	 * handles and not data. What is overwritten or deleted is dead weight
	 * in its blob file. When that comes to an eighth or a sixth of what is
	 * live, the files with most of it are emptied in the background: what
	 * is live in them moves into a new one. Worth it from 1 KiB or so. 0:
	 * all values stay in the tree. May differ from one opening to the next;
	 * values that are in blob files stay there, and those in the tree too.
	 */
	uint32_t blob_bytes;
	uint64_t blob_file_bytes; /* a blob file ends there; 0: 256 MiB */
	/* Values are moved out of such files at most this fast, bytes/s, apart
	 * from rate_limit_bytes. When dead values come to a fifth of the
	 * live ones all the same, writers are slowed down. 0: 64 MiB/s while
	 * there is little to be won, faster the more there is, and no limit
	 * before writers would have to wait. */
	uint64_t blob_gc_rate_bytes;
	/* So long after a deletion, if what it deletes is worth it, the
	 * memtable is written out although it is not full, so that the space
	 * comes back while the store is idle. 0: 5000 ms; UINT32_MAX: never. */
	uint32_t reclaim_interval_ms;
	/*
	 * A batch with at least so many bytes of values that are to leave the
	 * tree writes them into a blob file itself, beside other writers, and
	 * only their handles go through the log: they are written once. A disk
	 * that is full then fails that batch alone. 0: 64 KiB; UINT32_MAX:
	 * never.
	 */
	uint32_t blob_direct_bytes;
	/* Once so many bytes were written since somebody asked for a sync, and
	 * values lately did not compress, 4 KiB of such values are enough for
	 * that. 0: 1 MiB; UINT64_MAX: never. */
	uint64_t blob_direct_unsynced_bytes;
	unsigned compaction_threads; /* beside the flush thread; 0: 1 */
	/* Compactions write at most this fast together, bytes/s. Flushes are
	 * not held up: memory waits for them. 0: no limit. */
	uint64_t rate_limit_bytes;
	bool no_background_compaction; /* only lsm_compact_range compacts */

	/* Log. A write with sync unset is durable after at most this time.
	 * 0: 1000 ms; UINT32_MAX: only when a sync or a flush says so. */
	uint32_t wal_sync_interval_ms;

	/* Do not verify block checksums on reads (they are always verified by
	 * compaction, lsm_verify and when a table is opened). */
	bool no_verify_checksums;

	/* What the engine has to say; NULL: nothing is said. */
	lsm_log_fn log;
	void *log_arg;
	enum lsm_log_level log_level; /* 0 means LSM_LOG_ERROR only */

	/* What the background does, see struct lsm_event; NULL: not told. */
	lsm_event_fn event_fn;
	void *event_arg;
};

/* ---- open and close ----------------------------------------------------- */

/*
 * Opens the store in the directory path, creates it unless forbidden, and
 * replays the write-ahead logs. options may be NULL. On success *out is to be
 * closed with lsm_close(). Expected: -ENOENT, -EEXIST, -EBUSY (another process
 * has it open), -EUCLEAN, -EPROTONOSUPPORT (written by a newer format),
 * -ENOTDIR, -ENOTEMPTY (the directory holds something that is not a store),
 * -EACCES, -ENOSPC.
 */
LSM_PUBLIC int lsm_open(const char *path, const struct lsm_options *options,
			struct lsm_db **out);

/*
 * Makes every acknowledged write durable, waits for background work and frees
 * db, whatever it returns. Iterators, snapshots and pins must be gone. Returns
 * 0, or the first error that kept a write from becoming durable.
 */
LSM_PUBLIC int lsm_close(struct lsm_db *db);

/* ---- writing ------------------------------------------------------------ */

/*
 * A batch is applied whole or not at all, also across a crash, and later
 * operations in it win over earlier ones. Keys and values are copied in.
 */
LSM_PUBLIC struct lsm_batch *lsm_batch_new(void); /* NULL: no memory */
LSM_PUBLIC void lsm_batch_free(struct lsm_batch *batch);
/* Empties the batch and keeps its memory. */
LSM_PUBLIC void lsm_batch_clear(struct lsm_batch *batch);
/*
 * 0, -EINVAL (key empty or too long, value too long, end <= start) or -ENOMEM.
 * An error is remembered: lsm_write() of such a batch returns it.
 */
LSM_PUBLIC int lsm_batch_put(struct lsm_batch *batch, struct lsm_slice key,
			     struct lsm_slice value);
/* The value as the concatenation of count parts; saves the caller a copy. */
LSM_PUBLIC int lsm_batch_putv(struct lsm_batch *batch, struct lsm_slice key,
			      const struct lsm_slice *parts, size_t count);
/*
 * Puts under key the value of the key that it, an iterator of the store that
 * the batch will be written to, stands on. A value in a blob file (see
 * lsm_options.blob_bytes) is shared: it is neither read nor copied, and stays
 * as long as any key has it. Other values are copied in; that may need to read
 * them: also the errors of reading. Collecting garbage may end sharing.
 *
 * Until such a batch is cleared or freed it keeps blob files from being
 * deleted, and that must be before lsm_close().
 */
LSM_PUBLIC int lsm_batch_put_shared(struct lsm_batch *batch,
				    struct lsm_slice key,
				    const struct lsm_iter *it);
/* The value is not copied: its bytes must stay as they are until the batch is
 * cleared or freed. Saves all copies of it when the batch is written directly
 * (lsm_options.blob_direct_bytes). */
LSM_PUBLIC int lsm_batch_put_ref(struct lsm_batch *batch, struct lsm_slice key,
				 struct lsm_slice value);
LSM_PUBLIC int lsm_batch_delete(struct lsm_batch *batch, struct lsm_slice key);
/* Deletes every key k with start <= k < end, at a cost that does not depend
 * on how many there are. */
LSM_PUBLIC int lsm_batch_delete_range(struct lsm_batch *batch,
				      struct lsm_slice start,
				      struct lsm_slice end);
/*
 * Does now, under whatever locks the caller has not taken yet, what is dear
 * about writing the large values that the batch has so far: if they are enough
 * to be written directly (lsm_options.blob_direct_bytes) they are compressed
 * and go into a blob file, and lsm_write() only has to say where they are.
 * Nothing of them is visible before that. More may be added to the batch
 * afterwards, small things preferably. 0 also when there was nothing to do;
 * -ENOSPC and other errors of the disk: the batch is as it was. To be written,
 * cleared or freed before lsm_close(); values put by reference are needed until
 * then.
 */
LSM_PUBLIC int lsm_batch_prepare(struct lsm_db *db, struct lsm_batch *batch);
LSM_PUBLIC uint32_t lsm_batch_count(const struct lsm_batch *batch);
/* Bytes, values that are not copied included. */
LSM_PUBLIC size_t lsm_batch_size(const struct lsm_batch *batch);

struct lsm_write_options {
	/* Return only when the batch, and so everything before it, survives
	 * power loss. Without it the batch survives the end of the process. */
	bool sync;
};

/* Applies the batch. options may be NULL. The batch is unchanged and may be
 * used again. An empty batch is fine. After an error nothing of it is visible,
 * unless the error is that of the disk's sync: then the batch is applied, and
 * durable only after lsm_resume(). */
LSM_PUBLIC int lsm_write(struct lsm_db *db, struct lsm_batch *batch,
			 const struct lsm_write_options *options);
/* One-operation shorthands. */
LSM_PUBLIC int lsm_put(struct lsm_db *db, struct lsm_slice key,
		       struct lsm_slice value);
LSM_PUBLIC int lsm_delete(struct lsm_db *db, struct lsm_slice key);
/* Every write acknowledged before the call becomes durable. */
LSM_PUBLIC int lsm_sync(struct lsm_db *db);

/*
 * A failed write of the log or the manifest stops all writing: reads go on,
 * writes return the error. lsm_background_error() returns that error or 0;
 * lsm_resume() tries again once its cause (a full disk) is gone: 0, or the
 * error that still holds.
 */
LSM_PUBLIC int lsm_background_error(struct lsm_db *db);
LSM_PUBLIC int lsm_resume(struct lsm_db *db);

/* ---- reading ------------------------------------------------------------ */

/*
 * A value held by the reader. Start with = {0}; the same pin can serve many
 * gets (each get releases what it held). data stays valid until lsm_unpin()
 * or the next get into it, and must be released before lsm_close().
 */
struct lsm_pin {
	const void *data;
	size_t len;
	/* private */
	void *owner;
	void (*release)(void *owner);
	void *buffer;
	size_t buffer_bytes;
};

LSM_PUBLIC void lsm_unpin(struct lsm_pin *pin); /* frees; pin is as new */

/*
 * Looks key up in snapshot (NULL: the present). 0, LSM_NOTFOUND, or an error.
 * Takes no lock when what it needs is in memory.
 */
LSM_PUBLIC int lsm_get(struct lsm_db *db, const struct lsm_snapshot *snapshot,
		       struct lsm_slice key, struct lsm_pin *value);

/*
 * Is there such a key? As lsm_get(), but the value is not read: one that lies
 * in a blob file costs no I/O.
 */
LSM_PUBLIC int lsm_exists(struct lsm_db *db,
			  const struct lsm_snapshot *snapshot,
			  struct lsm_slice key);

/*
 * Looks up count keys, best in ascending order. results[i] is what lsm_get()
 * would have returned for keys[i]; all see the same state. Returns 0 or the
 * first error among the results.
 */
LSM_PUBLIC int lsm_multi_get(struct lsm_db *db,
			     const struct lsm_snapshot *snapshot, size_t count,
			     const struct lsm_slice *keys,
			     struct lsm_pin *values, int *results);

/*
 * The same without a copy: values[i] points to where the value lies (data is
 * NULL where there is none), and *hold, which is made also when an error other
 * than -ENOMEM is returned, keeps it there until lsm_hold_release(). For values
 * that are handed on at once, as memory that is held cannot be used again.
 * Values that lie side by side in one block do so here. Before lsm_close().
 * options may be NULL.
 */
struct lsm_hold_options {
	const struct lsm_snapshot *snapshot; /* NULL: the present */
	/* Blocks of values outside the tree that have to be read do not enter
	 * the cache, but for the last key's, as the next call may go on there.
	 */
	bool no_fill_cache;
};
struct lsm_hold;
LSM_PUBLIC int lsm_hold_get(struct lsm_db *db,
			    const struct lsm_hold_options *options,
			    size_t count, const struct lsm_slice *keys,
			    struct lsm_slice *values, int *results,
			    struct lsm_hold **hold);
LSM_PUBLIC void lsm_hold_release(struct lsm_hold *hold); /* may be NULL */

struct lsm_iter_options {
	const struct lsm_snapshot *snapshot; /* NULL: the present */
	struct lsm_slice lower; /* first key to see; len 0: no bound */
	struct lsm_slice upper; /* first key not to see; len 0: no bound */
	/* Blocks read by this iterator do not enter the cache. */
	bool no_fill_cache;
};

/*
 * An iterator sees the store as it was when it was made. It starts
 * unpositioned. The bounds are copied. options may be NULL. Positioning calls
 * return 0 (on a key), LSM_END (no such key) or an error; after anything but 0
 * the iterator is unpositioned and key and value must not be asked for.
 */
LSM_PUBLIC int lsm_iter_new(struct lsm_db *db,
			    const struct lsm_iter_options *options,
			    struct lsm_iter **out);
LSM_PUBLIC void lsm_iter_free(struct lsm_iter *it);
LSM_PUBLIC int lsm_iter_first(struct lsm_iter *it);
LSM_PUBLIC int lsm_iter_last(struct lsm_iter *it);
/* The first key >= key. */
LSM_PUBLIC int lsm_iter_seek(struct lsm_iter *it, struct lsm_slice key);
/* The last key <= key. */
LSM_PUBLIC int lsm_iter_seek_for_prev(struct lsm_iter *it,
				      struct lsm_slice key);
LSM_PUBLIC int lsm_iter_next(struct lsm_iter *it);
LSM_PUBLIC int lsm_iter_prev(struct lsm_iter *it);
LSM_PUBLIC bool lsm_iter_valid(const struct lsm_iter *it);
/* Borrowed until the iterator moves or is freed. */
LSM_PUBLIC struct lsm_slice lsm_iter_key(const struct lsm_iter *it);
/*
 * A value that lies in a blob file (see lsm_options.blob_bytes) is read when it
 * is asked for. If that fails data is NULL, lsm_iter_error() says why, and so
 * does the next lsm_iter_next() or lsm_iter_prev().
 */
LSM_PUBLIC struct lsm_slice lsm_iter_value(const struct lsm_iter *it);
/* 0, or why the value of the present key could not be read. */
LSM_PUBLIC int lsm_iter_error(const struct lsm_iter *it);
/* Its length, for which no value is read. */
LSM_PUBLIC size_t lsm_iter_value_len(const struct lsm_iter *it);

/*
 * Says that [start, end) (len 0: no bound) is going to be read soon, in this
 * order. What of it is not in memory is read into the cache by another thread,
 * values in blob files included, as far as an eighth of the free memory budget
 * and 8 MiB, the rest is left alone. Nobody waits and no error is told: who
 * then reads meets it. 0; -EAGAIN: so much was asked for before that this was
 * dropped; -EINVAL, -ENOMEM. Scans do the like by themselves.
 */
LSM_PUBLIC int lsm_prefetch(struct lsm_db *db, struct lsm_slice start,
			    struct lsm_slice end);

/* ---- snapshots ------------------------------------------------------------
 */

/* In memory, ends with the process at the latest. NULL: no memory. */
LSM_PUBLIC const struct lsm_snapshot *lsm_snapshot_take(struct lsm_db *db);
/* Also for what lsm_snapshot_open() returned. */
LSM_PUBLIC void lsm_snapshot_release(struct lsm_db *db,
				     const struct lsm_snapshot *snapshot);

/*
 * By name: kept in the manifest, cost nothing to take, survive a restart.
 * Names are 1 to 255 bytes. create: -EEXIST; delete and open: LSM_NOTFOUND.
 */
LSM_PUBLIC int lsm_snapshot_create(struct lsm_db *db, const char *name);
LSM_PUBLIC int lsm_snapshot_delete(struct lsm_db *db, const char *name);
LSM_PUBLIC int lsm_snapshot_open(struct lsm_db *db, const char *name,
				 const struct lsm_snapshot **out);
/* Calls fn for every name in order of creation until it returns non-zero,
 * which is then returned. */
LSM_PUBLIC int lsm_snapshot_list(struct lsm_db *db,
				 int (*fn)(void *arg, const char *name,
					   uint64_t sequence),
				 void *arg);

/* ---- maintenance ----------------------------------------------------------
 */

/* Writes the memtables out and waits for it. */
LSM_PUBLIC int lsm_flush(struct lsm_db *db);
/* Compacts [start, end) to the last level and waits; len 0: unbounded. Without
 * any bound blob files are emptied too that hold a tenth of dead values. */
LSM_PUBLIC int lsm_compact_range(struct lsm_db *db, struct lsm_slice start,
				 struct lsm_slice end);
/* Waits until no flush and no compaction is due. */
LSM_PUBLIC int lsm_wait_idle(struct lsm_db *db);
/* Reads every block of every table and checks every reference. progress may
 * be NULL. 0, or the first error; each is logged. */
LSM_PUBLIC int lsm_verify(struct lsm_db *db,
			  void (*progress)(void *arg, uint64_t done_bytes,
					   uint64_t total_bytes),
			  void *arg);
/*
 * A copy of the store in the directory dir, which is made if missing and must
 * be empty: -EEXIST, there is a store; -ENOTEMPTY, something else. Its files
 * are hard links where dir is on the same disk, copies elsewhere, so it is
 * quick and takes little space until the two stores diverge.
 *
 * The copy holds every write acknowledged before the call, perhaps some made
 * during it, and no write without all before it; and the named snapshots that
 * existed before the call. Writers and compactions go on meanwhile. When 0 is
 * returned it is durable. After an error, or power loss during the call, dir is
 * either complete or no store (it may hold files, to be deleted).
 */
LSM_PUBLIC int lsm_checkpoint(struct lsm_db *db, const char *dir);
/* Bytes on disk that [start, end) takes, estimated without reading data; values
 * in blob files count as if they were not compressed. */
LSM_PUBLIC int lsm_approximate_size(struct lsm_db *db, struct lsm_slice start,
				    struct lsm_slice end, uint64_t *bytes);

/*
 * Makes a store that does not open open again: its CURRENT or manifest is lost
 * or damaged, or tables or logs are. The store must not be open (-EBUSY).
 * options may be NULL; the open modes in it are ignored. report, may be NULL,
 * gets a line for everything found and done. A store that is sound is not
 * changed.
 *
 * All that can be read is merged into new tables, which takes room for a
 * second copy. Of a damaged table the blocks that can be read are used. Nothing
 * is deleted before the new state is durable; damaged files are kept, renamed
 * to NAME.bad.
 *
 * What may be lost: what was in damaged blocks and records, in which case an
 * older value of such a key may show. Without a manifest that can be read also
 * the named snapshots; and keys deleted before may be back, if tables or logs
 * that were obsolete still lay in the directory.
 *
 * 0: the store opens; -ENOENT: there is nothing of a store at path;
 * -EPROTONOSUPPORT: a newer format, left alone. After any error the store is
 * as it was, but for files that nothing names.
 */
LSM_PUBLIC int lsm_repair(const char *path, const struct lsm_options *options,
			  void (*report)(void *arg, const char *line),
			  void *arg);

#define LSM_LEVELS 7

struct lsm_stats {
	/* The tree now. */
	unsigned level_tables[LSM_LEVELS];
	uint64_t level_bytes[LSM_LEVELS];
	uint64_t table_bytes; /* all tables, on disk */
	uint64_t raw_bytes;   /* keys and values in them, uncompressed */
	unsigned blob_files;
	uint64_t blob_file_bytes;  /* on disk */
	uint64_t blob_value_bytes; /* values in them, uncompressed */
	/* Of these, what is still referred to; a shared value counts for each
	 * key, so this is an upper bound once there are some. */
	uint64_t blob_live_bytes;
	uint64_t wal_bytes;       /* logs not yet flushed */
	uint64_t entries;         /* in tables, tombstones included */
	uint64_t deletions;       /* point tombstones among them */
	uint64_t range_deletions; /* range tombstones in tables */
	uint64_t sequence;        /* of the last visible write */
	uint64_t oldest_snapshot; /* its sequence; 0: none */
	unsigned snapshots;
	uint64_t pending_compaction_bytes;
	/* Memory now, against memory_bytes. */
	uint64_t memory_bytes, memtable_bytes, cache_bytes, pinned_bytes;
	/* Since open. */
	uint64_t writes, batches, write_bytes; /* bytes: keys and values */
	uint64_t wal_written_bytes, wal_syncs;
	uint64_t flushes, flush_written_bytes;
	uint64_t compactions, compact_read_bytes, compact_written_bytes;
	uint64_t trivial_moves;
	/* In blob files; and values that compactions moved from one blob file
	 * to another. */
	uint64_t blob_written_bytes, blob_collected_bytes;
	/* Of blob_written_bytes, what those moves wrote. */
	uint64_t blob_moved_bytes;
	/* Blob bytes that bulk writes wrote themselves; also in
	 * blob_written_bytes, but not in what flushes and compactions wrote. */
	uint64_t blob_direct_bytes;
	uint64_t gets, get_hits;
	uint64_t cache_hits, cache_misses, bloom_useful, bloom_checked;
	uint64_t stall_ns; /* time writers spent waiting for the tree */
	int background_error;
};

LSM_PUBLIC void lsm_get_stats(struct lsm_db *db, struct lsm_stats *stats);

/* ---- looking into files -----------------------------------------------------
 */

/*
 * Prints what a file of a store holds, one line an object, in words: a table
 * (.sst), a blob file (.blob), a log (.wal), a manifest (MANIFEST-n). Returns
 * 0, an error of reading, or what fn returned when that was not 0. The line has
 * no newline.
 */
LSM_PUBLIC int lsm_dump_file(struct lsm_env *env, const char *dir,
			     const char *name,
			     int (*fn)(void *arg, const char *line), void *arg);

/* The operating system's files. Static, never freed. */
LSM_PUBLIC struct lsm_env *lsm_env_posix(void);

/* The engine's version, as "0.1.0". Static. */
LSM_PUBLIC const char *lsm_version(void);
/* A line for a result of any function here, as strerror() gives one; static. */
LSM_PUBLIC const char *lsm_strerror(int result);

#ifdef __cplusplus
}
#endif
#endif
