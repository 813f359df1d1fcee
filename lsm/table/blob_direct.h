/* SPDX-License-Identifier: MIT */
/*
 * blob_direct.h - a blob file that is filled by several threads at once and is
 * read meanwhile: what bulk writes put their values into.
 *
 * A writer reserves a place, writes its blocks there, and when its batch is in
 * the log commits them. What was reserved and never committed is a gap. In the
 * end the file is sealed: an index of the committed blocks and a footer go
 * behind all that was reserved, and from then on it is a blob file as any
 * other.
 *
 * Who may call: blob_direct_reserve(), blob_direct_commit() and what asks for
 * the map, one at a time (the caller's lock); the rest, any thread. Nothing but
 * reading goes on when it is sealed.
 */
#ifndef LSM_TABLE_BLOB_DIRECT_H
#define LSM_TABLE_BLOB_DIRECT_H

#include <stdatomic.h>

#include "lsm/base/sync.h"
#include "lsm/table/blob_map.h"
#include "lsm/table/blob_pack.h"
#include "lsm/table/blob_reader.h"

struct blob_direct {
	uint64_t number;
	struct env_direct *file; /* NULL: open for reading only */
	struct blob_reader *reader;
	struct cache *cache;
	uint64_t reserved;   /* the caller's lock */
	struct blob_map map; /* the caller's lock; committed blocks */
	/* One sync at a time: the kernel tells one of two that it failed. */
	struct mutex sync_mutex;
	/* A sync failed: what it holds may be lost, though it reads well. Set
	 * with sync_mutex held. */
	_Atomic int err;
	bool sealed; /* who seals */
	struct blob_meta meta;
};

/* -EEXIST and errors of the disk. */
int blob_direct_create(struct env_dir *dir, const char *name, uint64_t number,
		       struct cache *cache, const struct logger *log,
		       struct blob_direct **out);
/* One of an earlier life of the store, that is not sealed or was in vain; its
 * blocks are the caller's to tell. -ENOENT and errors of the disk. */
int blob_direct_open(struct env_dir *dir, const char *name, uint64_t number,
		     struct cache *cache, const struct logger *log,
		     bool read_only, struct blob_direct **out);
/* For one of an earlier life, before its blocks are read: memory may hold what
 * a failed sync lost. */
void blob_direct_settle(struct blob_direct *d);
/* Closes it. The file stays. */
void blob_direct_close(struct blob_direct *d);

/* A place for so many bytes. */
uint64_t blob_direct_reserve(struct blob_direct *d, uint64_t bytes);
/* Writes what was packed at a reserved place. After an error that place is to
 * be given up. */
int blob_direct_write(struct blob_direct *d, struct blob_pack *p,
		      uint64_t offset);
/* Nothing reserved there will be used. */
void blob_direct_discard(struct blob_direct *d, uint64_t offset,
			 uint64_t bytes);
/* The block, by its offset in the file, belongs to it; blob_map_reserve() made
 * room for it. */
void blob_direct_commit(struct blob_direct *d, const struct blob_block *b);
/* Makes durable what was written before the call; not the name. An error
 * sticks. */
int blob_direct_sync(struct blob_direct *d);
int blob_direct_error(const struct blob_direct *d);
/* Writes index and footer and makes all of it durable, but for the name. May be
 * tried again after an error, unless blob_direct_error(), and again when it is
 * done. */
int blob_direct_seal(struct blob_direct *d, struct blob_meta *meta);

#endif
