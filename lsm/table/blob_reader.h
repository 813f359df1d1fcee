/* SPDX-License-Identifier: MIT */
/*
 * blob_reader.h - reading blob files (blob_format.h): open files, at most so
 * many at once, and their blocks in the block cache.
 *
 * Blocks are cached decompressed under the blob file's number and the block's
 * offset, so a value that is in memory is found without the file, and a value
 * handed out lies in the cache's entry: no copy is made.
 *
 * Any thread.
 */
#ifndef LSM_TABLE_BLOB_READER_H
#define LSM_TABLE_BLOB_READER_H

#include "lsm/base/sync.h"
#include "lsm/env/env.h"
#include "lsm/table/blob_writer.h"
#include "lsm/table/cache.h"

struct ahead_source;
struct blob_reader;

/* -EUCLEAN, -ENOENT, -EPROTONOSUPPORT: reported, but for -ENOENT. */
int blob_reader_open(struct env_dir *dir, const char *name, uint64_t number,
		     struct cache *cache, const struct logger *log,
		     struct blob_reader **out);
/* One that has no index and no footer yet: blocks can be read by their handles,
 * also those that are written after this; blob_reader_each() cannot be used. */
int blob_reader_open_unsealed(struct env_dir *dir, const char *name,
			      uint64_t number, struct cache *cache,
			      const struct logger *log,
			      struct blob_reader **out);
void blob_reader_ref(struct blob_reader *r);
void blob_reader_put(struct blob_reader *r);
void blob_reader_meta(const struct blob_reader *r, struct blob_meta *out);

/*
 * The block that holds the value, with a reference for cache_put(). fill: it
 * enters the cache. h->file is the reader's. -EUCLEAN: reported.
 */
int blob_reader_block(struct blob_reader *r, const struct blob_handle *h,
		      bool fill, struct cache_entry **out);
/* Checks the block and says what is in it; around the cache. -EUCLEAN:
 * reported, unless the reader has no logger. */
int blob_reader_count(struct blob_reader *r, const struct blob_handle *h,
		      uint32_t *values, uint64_t *value_bytes);
/* For reading blocks ahead; takes the caller's reference. */
void blob_reader_source(struct blob_reader *r, struct ahead_source *out);
/* Where the value lies in its block. -EUCLEAN: the handle does not fit. */
int blob_value(const struct blob_handle *h, struct cache_entry *block,
	       struct lsm_slice *value);
/* Whose value it is. -EUCLEAN: the handle does not fit. */
int blob_owner(const struct blob_handle *h, struct cache_entry *block,
	       struct lsm_slice *key, uint64_t *seq);
/* The value if its block is in memory, else -EAGAIN. The caller is pinned
 * (epoch_pin()), and the value is good as long as it is. */
int blob_cached(struct cache *cache, const struct blob_handle *h,
		struct lsm_slice *value);

/* Reads and checks everything, and calls fn, may be NULL, for each value until
 * it returns non-zero, which is returned. Only the place and the length in *h
 * are those of the value. Around the cache. */
int blob_reader_each(struct blob_reader *r,
		     int (*fn)(void *arg, const struct blob_handle *h,
			       struct lsm_slice key, uint64_t seq,
			       struct lsm_slice value),
		     void *arg);

/* In words, for dump. */
int blob_dump(struct env_dir *dir, const char *name,
	      int (*fn)(void *arg, const char *line), void *arg);

/* ---- open files --------------------------------------------------------- */

/* Embedded in what the manifest's owner knows of a blob file. Zeroed, with its
 * number, before first use; the rest is protected by the cache's mutex. */
struct blob_slot {
	uint64_t number;
	struct blob_reader *reader; /* NULL: not open */
	struct blob_slot *newer, *older;
};

struct blob_files {
	struct env_dir *dir;
	struct cache *cache;
	const struct logger *log;
	unsigned max_open;
	struct mutex mutex;
	struct blob_slot *newest, *oldest; /* protected by mutex */
	unsigned open_count;               /* protected by mutex */
};

void blob_files_init(struct blob_files *b, struct env_dir *dir,
		     struct cache *cache, const struct logger *log,
		     unsigned max_open);
/* Every slot has been evicted. */
void blob_files_release(struct blob_files *b);
/* *out carries a reference. */
int blob_files_get(struct blob_files *b, struct blob_slot *s,
		   struct blob_reader **out);
/* Closes the file, and forgets its blocks. The slot must not be in use. */
void blob_files_evict(struct blob_files *b, struct blob_slot *s);

#endif
