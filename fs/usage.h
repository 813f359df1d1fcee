/* SPDX-License-Identifier: MIT */
/*
 * usage.h - how many blocks and inodes there are, exact after any crash.
 *
 * The counters lie in the store, in USAGE_SHARDS keys, each for the inodes
 * whose number falls into it. An operation that changes them puts the shard's
 * new totals into its own batch and holds the shard's mutex until the batch is
 * written, so the totals in the store always match the batches before them.
 * Blocks count in units of 512 bytes; each inode counts one unit too, so that
 * a size limit also bounds the number of inodes.
 *
 * Inodes without a name do not count: what unlink frees is free at once.
 */
#ifndef FS_USAGE_H
#define FS_USAGE_H

#include <stdatomic.h>

#include "fs/schema.h"
#include "lsm/base/sync.h"

struct txn;

struct usage_shard {
	struct mutex mutex;
	struct usage_rec rec; /* protected by mutex */
};

struct usage {
	struct usage_shard shards[USAGE_SHARDS];
	_Atomic uint64_t units; /* sums over the shards */
	_Atomic uint64_t inodes;
	/* units + inodes, and what operations in flight have reserved; never
	 * above limit_units because of a reservation */
	_Atomic uint64_t taken_units;
	uint64_t limit_units; /* 0: none */
	/* Bytes that may be written before the disk is asked again. */
	_Atomic int64_t disk_credit;
	uint64_t write_buffer_bytes; /* of the engine, about */
};

void usage_init(struct usage *u);
/* 0: none */
void usage_set_limit(struct usage *u, uint64_t limit_bytes);
void usage_set_engine(struct usage *u, const struct lsm_options *engine);
void usage_release(struct usage *u);
/* Reads all shards from the store. */
int usage_load(struct fs *fs);
/* Writes t's batch with the usage changes in it; txn_commit() calls it. */
int usage_commit(struct fs *fs, struct txn *t);
/*
 * Before an operation that makes the store larger by about so many bytes: 0, or
 * -ENOSPC while the disk is nearly full. Deleting does not ask: the log and the
 * compactions that give the space back need some too, and that is what is kept
 * for them. Costs a system call now and then only.
 */
int usage_disk_room(struct fs *fs, uint64_t bytes);
/* fs_statfs() of what is counted; locks may be held. */
int usage_statfs(struct fs *fs, struct fs_statfs *out);
/* Whether so many units more would be within the size limit now. */
bool usage_fits(const struct fs *fs, uint64_t units);

#endif
