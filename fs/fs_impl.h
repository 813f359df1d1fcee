/* SPDX-License-Identifier: MIT */
/*
 * fs_impl.h - what the files of the core share: the open filesystem, and small
 * functions too widely used to belong to one of them. The lock order is in
 * inode_cache.h.
 */
#ifndef FS_FS_IMPL_H
#define FS_FS_IMPL_H

#include <stdatomic.h>

#include "fs/fs.h"
#include "fs/inode_cache.h"
#include "fs/orphan.h"
#include "fs/schema.h"
#include "fs/super.h"
#include "fs/txn.h"
#include "fs/usage.h"
#include "lsm/base/sync.h"

struct fs {
	/* constant while open */
	struct lsm_db *db;
	struct superblock sb;
	uint32_t block_bytes;
	unsigned block_shift;
	unsigned units_per_block; /* of 512 bytes */
	bool read_only, noatime, strictatime;
	char *path;
	uint64_t count_max; /* blocks that are counted while somebody waits */
	bool os_disk;       /* path is on a disk that statvfs() knows */
	lsm_log_fn log;
	void *log_arg;
	enum lsm_log_level log_level;

	struct inode_cache cache;
	struct inode *root; /* always referenced */
	struct usage usage;
	struct mutex rename_mutex;
	struct rwlock check_lock;

	struct mutex ino_mutex;
	uint64_t ino_next;  /* protected by ino_mutex */
	uint64_t ino_limit; /* first not reserved; protected by ino_mutex */

	struct mutex flush_mutex;
	struct mutex dirty_mutex;
	struct inode *dirty_list;         /* protected by dirty_mutex */
	struct uncounted *uncounted_list; /* the same */
	_Atomic unsigned uncounted_count; /* on it, or just taken off */

	struct mutex thread_mutex;
	struct cond thread_cond;
	bool stopping; /* protected by thread_mutex */
	bool writeback_running, orphans_running;
	pthread_t writeback_thread, orphan_thread;
	struct lsm_iter *orphan_iter; /* the orphan thread's */
};

void fs_log(struct fs *fs, enum lsm_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Blocks that a file of size bytes reaches over. */
static inline uint64_t fs_blocks(const struct fs *fs, uint64_t size)
{
	return (size >> fs->block_shift) +
	       ((size & (fs->block_bytes - 1)) != 0);
}

static inline struct timespec time_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

/* A number for a new inode, never given out before; the watermark is in the
 * store first. -ENOSPC when all are used. */
int ino_alloc(struct fs *fs, uint64_t *ino);

/* Update of the access time as the mount options ask for it. Without locks;
 * the inode is referenced. */
void inode_touch_atime(struct fs *fs, struct inode *inode);

#endif
