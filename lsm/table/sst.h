/* SPDX-License-Identifier: MIT */
/*
 * sst.h - sorted string tables: writing one, reading one.
 *
 *   data blocks | filter | range tombstones | index | properties |
 *   metaindex | footer                      (byte by byte: doc/FORMAT.md)
 *
 * A block is entries with delta-encoded keys and restart points. Each block is
 * followed by a trailer: its type (raw, LZ4) and a CRC-32C over the stored
 * bytes, the type, the table's number and the block's offset, so that a block
 * that was written to the wrong place is noticed.
 *
 * Writer: one thread. Reader: any number of threads.
 */
#ifndef LSM_TABLE_SST_H
#define LSM_TABLE_SST_H

#include "lsm/base/buf.h"
#include "lsm/base/frags.h"
#include "lsm/base/iter.h"
#include "lsm/base/logger.h"
#include "lsm/base/lookup.h"
#include "lsm/env/env.h"
#include "lsm/table/cache.h"

#define SST_FORMAT 1

/* Bytes of values, plain, that a table refers to in a blob file. */
struct sst_blob_ref {
	uint64_t file, bytes;
};

/* What a table's owner (the manifest) must know of it. Keys are owned. */
struct sst_meta {
	uint64_t number;
	uint64_t file_bytes;
	/* Range tombstones count: smallest is the first key or tombstone
	 * start; largest the last key, or the greatest tombstone end, and then
	 * largest_exclusive is set. */
	struct buf smallest, largest;
	bool largest_exclusive;
	uint64_t min_seq, max_seq;
	uint64_t entries;           /* points, tombstones among them */
	uint64_t deletions;         /* point tombstones */
	uint64_t range_deletions;   /* range tombstones, as fragments x seqs */
	uint64_t raw_bytes;         /* keys and values before compression */
	struct sst_blob_ref *blobs; /* owned; by file ascending */
	size_t blob_count, blob_cap;
};

void sst_meta_release(struct sst_meta *m);
int sst_meta_copy(struct sst_meta *to, const struct sst_meta *from);
/* Counts bytes of a value in a blob file. 0 or -ENOMEM. */
int sst_meta_add_blob(struct sst_meta *m, uint64_t file, uint64_t bytes);
/* All references of values in blob files together. */
uint64_t sst_meta_blob_bytes(const struct sst_meta *m);
bool sst_meta_blobs_equal(const struct sst_meta *a, const struct sst_meta *b);
/* The references as bytes: for each varint file, varint bytes. Reading adds to
 * m, which has none; -EUCLEAN: not what encoding makes. */
int sst_meta_encode_blobs(const struct sst_meta *m, struct buf *out);
int sst_meta_decode_blobs(struct sst_meta *m, struct lsm_slice v);

/* Longest prefix a filter holds beside whole keys. */
#define SST_PREFIX_MAX 64

struct sst_writer_options {
	uint32_t block_bytes;      /* > 0 */
	uint32_t restart_interval; /* > 0 */
	uint32_t bloom_bits;       /* 0: no filter */
	uint32_t prefix_bytes;     /* <= SST_PREFIX_MAX; 0: no prefixes */
	bool lz4;
	const struct logger *log; /* may be NULL */
	struct cache *cache; /* charged with what is gathered; may be NULL */
};

struct sst_writer;

/* Creates the object name in dir. */
int sst_writer_open(struct env_dir *dir, const char *name, uint64_t number,
		    const struct sst_writer_options *o,
		    struct sst_writer **out);
/* Entries in internal order. */
int sst_writer_add(struct sst_writer *w, struct lsm_slice key, uint64_t tag,
		   struct lsm_slice value);
/* Tombstone fragments: by start ascending, disjoint; seqs descending. May be
 * interleaved with entries in any way. */
int sst_writer_add_range(struct sst_writer *w, const struct frag *f);
/* Bytes the file would have if finished now, estimated. Entries so far. */
uint64_t sst_writer_bytes(const struct sst_writer *w);
uint64_t sst_writer_entries(const struct sst_writer *w);
/* Writes everything, makes it durable (not its name: env_dir_sync()) and frees
 * w, also on error. *meta is to be released by the caller. */
int sst_writer_finish(struct sst_writer *w, struct sst_meta *meta);
/* Frees w and deletes the file. */
void sst_writer_abort(struct sst_writer *w);

struct ahead;
struct read_around;

/* How much of their maps the tables of a store have touched. */
struct sst_maps {
	_Atomic uint64_t touched; /* bytes */
	_Atomic uint64_t tables;  /* with a map */
};

struct sst_reader_options {
	struct cache *cache;
	struct read_around *around;    /* shared by tables; NULL: not done */
	struct ahead *ahead;           /* the same; NULL: not done */
	struct sst_counters *counters; /* the same; NULL: nothing is counted */
	struct sst_maps *maps;         /* the same; NULL: nothing is mapped */
	bool map_raw;                  /* raw blocks are used where they lie */
	bool verify_checksums;         /* of data blocks, when they are read */
	const struct logger *log;
};

struct sst_reader;

/* Opens a table: footer, properties, index and filter are read and checked;
 * they stay in memory, charged to the cache's budget. -EUCLEAN, -ENOENT,
 * -EPROTONOSUPPORT. name is for messages too. */
int sst_reader_open(struct env_dir *dir, const char *name, uint64_t number,
		    const struct sst_reader_options *o,
		    struct sst_reader **out);
/* Counted references; the last put closes. */
void sst_reader_ref(struct sst_reader *r);
void sst_reader_put(struct sst_reader *r);

/* A value found in a table, or held for whoever asked. Zeroed to begin with;
 * sst_pin_release() ends it; data points into a cache entry or the map. */
struct sst_pin {
	struct lsm_slice data;
	struct cache_entry *entry; /* reference held when not NULL */
	struct sst_reader *reader; /* reference held when not NULL */
	/* With SST_LOOKUP_CACHED: the entry, not referenced; NULL: the map. */
	struct cache_entry *lies_in;
};
void sst_pin_release(struct sst_pin *p, struct cache *c);

enum sst_lookup_flags {
	/* Do not touch the disk: -EAGAIN when a block is not in memory. The
	 * caller is pinned, and pin->data and pin->lies_in are only good under
	 * that pin: no reference is taken. */
	SST_LOOKUP_CACHED = 1,
	/* The filter was asked before, and did not deny the key. */
	SST_LOOKUP_ASKED = 2,
};

/* enum lookup_result or -errno; hash is hash64() of the key. Range tombstones
 * of this table are taken into account. */
int sst_reader_lookup(struct sst_reader *r, struct lsm_slice key, uint64_t hash,
		      uint64_t seq, unsigned flags, enum entry_kind *kind,
		      struct sst_pin *pin);

/*
 * False: the table has no point entry k with lower <= k < upper, for all such
 * keys have one prefix, and the filter has not. Its range tombstones may reach
 * there all the same. len 0: no bound.
 */
bool sst_reader_may_hold(const struct sst_reader *r, struct lsm_slice lower,
			 struct lsm_slice upper);

struct sst_iter_options {
	/* No entry outside [lower, upper) is wanted; whether one is shown is
	 * left open. len 0: no bound. Borrowed as long as the iterator lives.
	 */
	struct lsm_slice lower, upper;
	bool fill_cache;
	bool readahead; /* expect a forward scan: read large pieces */
	bool verify;    /* verify checksums whatever the reader was told */
	/* Once blocks are read one after the other, either way, the coming
	 * ones are read beside (ahead.h). */
	bool ahead;
	/* What sst_iter_window() said of the walk that this one goes on. */
	uint32_t ahead_window;
};
/* Point entries. Holds a reference on r. NULL: no memory. */
struct iter *sst_reader_iter(struct sst_reader *r,
			     const struct sst_iter_options *o);
/* How far an iterator made by sst_reader_iter() reads ahead, to be handed to
 * the next one of the same walk; 0: it does not. */
uint32_t sst_iter_window(const struct iter *it);
/* Range tombstones; lives as long as r. Never NULL; count 0 when none. */
const struct frags *sst_reader_frags(const struct sst_reader *r);
/* Offset in the file where key would lie. */
uint64_t sst_reader_offset(struct sst_reader *r, struct lsm_slice key);
/* Reads and checks every block and the order of all entries. done is called
 * with the bytes read, may be NULL. 0 or the first error. */
int sst_reader_verify(struct sst_reader *r,
		      void (*done)(void *arg, uint64_t bytes), void *arg);
/* Rebuilds the owner's view from the table alone (dump, repair). */
int sst_reader_meta(struct sst_reader *r, struct sst_meta *out);
/* Gives w every entry of the blocks that can be read, and the range tombstones.
 * *lost: blocks that cannot. For a table that sst_reader_verify() found fault
 * with. 0 or an error that is not of the table's making. */
int sst_salvage(struct sst_reader *r, struct sst_writer *w, uint32_t *lost);
/* Memory charged for index, filter and tombstones. */
size_t sst_reader_memory(const struct sst_reader *r);

/* In words, for dump: properties, then every entry when entries is set. */
int sst_dump(struct env_dir *dir, const char *name, bool entries,
	     int (*fn)(void *arg, const char *line), void *arg);

/* Counters shared by the tables of a store, each thread in its own line. */
#define SST_COUNTER_LINES 16
struct sst_counters {
	struct {
		/* Filters asked that denied the key, or could not. */
		_Alignas(64) _Atomic uint64_t bloom_no, bloom_maybe;
	} line[SST_COUNTER_LINES];
};

#endif
