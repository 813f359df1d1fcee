/* SPDX-License-Identifier: MIT */
/*
 * inode_cache.h - inodes in memory: locks, lookup counts, dirty times.
 *
 * An inode is in memory while somebody holds a reference (an operation in
 * flight, the list of dirty inodes) or the kernel holds a lookup count. The
 * last one to let go frees it, and reclaims its space when it has no name any
 * more. The number of inodes is therefore bounded by the caller's lookups.
 *
 * LOCK ORDER of fs/, outermost first; a thread may only take what stands
 * further down than what it holds:
 *
 *   1  fs->check_lock           shared: orphan thread; exclusive: fs_check()
 *      fs->flush_mutex          one flush of all dirty inodes at a time
 *   2  fs->rename_mutex         renames across directories, which alone change
 *                               the parent of a directory
 *   3  inode->lock              in ascending order of inode numbers
 *   4  usage shard mutexes      in ascending order of shards
 *   5  fs->ino_mutex            numbers of new inodes; held over a put of the
 *                               watermark
 *   6  cache shard mutex, fs->dirty_mutex, fs->thread_mutex: never two at once
 *
 * An inode whose number was read out of an entry can be below one that is
 * locked already: then everything is unlocked, locked in order and the entry
 * read again (entry_lock.c).
 *
 * Loading. A missing inode is inserted empty with its lock held by the loader,
 * who reads the store without any other lock being waited for; everyone else
 * finds it in the table and waits for its lock. So there is never a second
 * copy, and no copy older than a change.
 */
#ifndef FS_INODE_CACHE_H
#define FS_INODE_CACHE_H

#include "fs/fs.h"
#include "fs/schema.h"
#include "lsm/base/sync.h"

#define CACHE_SHARDS 64

struct uncounted;

struct inode {
	uint64_t ino; /* constant */

	/* protected by the cache shard's mutex */
	struct inode *next; /* in the hash chain */
	uint64_t nlookup;
	uint32_t refs;

	struct rwlock lock;
	/* protected by lock */
	int error;  /* 0: usable; -ESTALE: deleted; else why loading failed */
	bool dirty; /* rec has times that the store does not have */
	struct inode_rec rec;
	uint64_t alloc_end; /* no block is stored at or behind this one */
	/* Blocks that are gone and that rec.blocks still counts (recount.h);
	 * NULL: none, as after locking unless counting failed. */
	struct uncounted *uncounted;

	/* protected by fs->dirty_mutex */
	bool on_dirty_list; /* the list holds a reference */
	struct inode *dirty_next;
};

struct cache_shard {
	struct mutex mutex;
	struct inode **buckets;
	size_t bucket_count; /* a power of two */
	size_t count;
};

struct inode_cache {
	struct cache_shard shards[CACHE_SHARDS];
};

int inode_cache_init(struct inode_cache *c);
/* Frees every inode. Nobody uses the cache any more. */
void inode_cache_release(struct inode_cache *c);

/*
 * A reference to ino, to be given back with inode_put(). -ESTALE: there is no
 * such inode; -EUCLEAN, -EIO, -ENOMEM. The inode may have become unusable
 * after that: the lock functions say so.
 */
int inode_get(struct fs *fs, uint64_t ino, struct inode **out);
/*
 * The same for count numbers at once, with one read of the store for those not
 * in memory: out[i] is NULL where there is no such inode or it cannot be read.
 * -ENOMEM, then out is all NULL. count is at most INODE_GROUP.
 */
#define INODE_GROUP 32
int inode_get_group(struct fs *fs, const uint64_t *inos, size_t count,
		    struct inode **out);
/* The inode must not be locked by the caller; *inode is not to be used after
 * it. May write to the store: the last put reclaims a deleted inode. */
void inode_put(struct fs *fs, struct inode *inode);

/* Gives back a reference that is surely not the last one; the inode may be
 * locked. */
void inode_ref_drop(struct fs *fs, struct inode *inode);

/* 0 with the lock held, or the inode's error without it. May have to count
 * blocks first (recount.h). */
int inode_rdlock(struct inode *inode);
int inode_wrlock(struct inode *inode);
/* Without counting: for who leaves blocks alone. */
int inode_wrlock_uncounted(struct inode *inode);
void inode_rdunlock(struct inode *inode);
void inode_wrunlock(struct inode *inode);
/* Sorts the count inodes by number, drops NULLs and repetitions, and locks
 * all for writing. Returns their number, or an error with none locked. */
int inode_wrlock_all(struct inode **inodes, unsigned count);
void inode_wrunlock_all(struct inode **inodes, unsigned count);

/* A new inode for a number that was never used: referenced, write-locked and
 * already in the table, so that nobody loads it. NULL: no memory. */
struct inode *inode_new(struct fs *fs, uint64_t ino,
			const struct inode_rec *rec);
/* Takes an inode that is write-locked out of use: later lockers get error.
 * Its lock is released; the reference stays the caller's. */
void inode_kill(struct inode *inode, int error);

void inode_lookup_add(struct fs *fs, struct inode *inode, uint64_t count);
void inode_lookup_sub(struct fs *fs, struct inode *inode, uint64_t count);
uint64_t inode_lookups(struct fs *fs, struct inode *inode);
/* A reference to ino if it is in memory, else NULL. */
struct inode *inode_find(struct fs *fs, uint64_t ino);

/* Called with the inode write-locked: its record must reach the store within
 * a second. */
void inode_mark_dirty(struct fs *fs, struct inode *inode);
/* Writes the record if it is dirty. Called with the inode write-locked. */
int inode_flush(struct fs *fs, struct inode *inode);
/* Flushes every dirty inode; the first error. Those that failed stay dirty. */
int inode_flush_all(struct fs *fs);
/* Forgets all lookups, before closing: deleted inodes give their space back. */
int inode_cache_forget(struct fs *fs);
/* Reads every inode in memory again, after fs_check() changed the store. */
int inode_cache_reload(struct fs *fs);

/* alloc_end of a record fresh from the store. */
uint64_t inode_rec_alloc_end(struct fs *fs, const struct inode_rec *rec);
/* The record as fs_getattr() shows it. */
void inode_fill_attr(struct fs *fs, const struct inode *inode,
		     struct fs_attr *out);

#endif
