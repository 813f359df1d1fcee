/* SPDX-License-Identifier: MIT */
/*
 * writeback.c - times that changed in memory alone (an overwrite in place, a
 * read) reach the store within a second, on fsync, and with every batch that
 * writes the inode. Everything else is never dirty.
 *
 * The thread also lets the engine go on after a full disk, and counts blocks
 * that were deleted uncounted.
 */
#include "fs/writeback.h"

#include <errno.h>

#include "fs/fs_impl.h"
#include "fs/recount.h"

#define WRITEBACK_NS ((uint64_t)1000000000)

void inode_mark_dirty(struct fs *fs, struct inode *inode)
{
	struct inode *held = NULL;

	/* Without a name there is nothing to survive a restart. */
	if (fs->read_only || inode->rec.nlink == 0)
		return;
	if (inode->dirty)
		return;
	inode->dirty = true;
	/* The list's reference; the inode is in the table as it is in use. */
	held = inode_find(fs, inode->ino);
	mutex_lock(&fs->dirty_mutex);
	if (!inode->on_dirty_list) {
		inode->on_dirty_list = true;
		inode->dirty_next = fs->dirty_list;
		fs->dirty_list = inode;
		held = NULL;
	}
	mutex_unlock(&fs->dirty_mutex);
	if (held)
		inode_ref_drop(fs, held);
}

int inode_flush(struct fs *fs, struct inode *inode)
{
	struct txn t;
	int r;

	if (!inode->dirty || inode->rec.nlink == 0)
		return 0;
	r = txn_begin(&t, fs);
	if (r)
		return r;
	txn_put_inode(&t, inode->ino, &inode->rec);
	r = txn_commit(&t);
	if (r == 0)
		inode->dirty = false;
	return r;
}

int inode_flush_all(struct fs *fs)
{
	struct inode *list, *inode;
	int r = 0;

	/* A second caller must not return while the first is still busy with
	 * the list it took. */
	mutex_lock(&fs->flush_mutex);
	mutex_lock(&fs->dirty_mutex);
	list = fs->dirty_list;
	fs->dirty_list = NULL;
	mutex_unlock(&fs->dirty_mutex);
	while ((inode = list)) {
		int e;

		/* Off the list first: a change from now on puts it back. */
		mutex_lock(&fs->dirty_mutex);
		list = inode->dirty_next;
		inode->on_dirty_list = false;
		mutex_unlock(&fs->dirty_mutex);
		if (inode_wrlock(inode) == 0) {
			e = inode_flush(fs, inode);
			if (e) {
				inode->dirty = false;
				inode_mark_dirty(fs, inode);
				r = r ? r : e;
			}
			inode_wrunlock(inode);
		}
		inode_put(fs, inode);
	}
	mutex_unlock(&fs->flush_mutex);
	return r;
}

static void *writeback_thread(void *arg)
{
	struct fs *fs = arg;
	int said = 0;

	for (;;) {
		bool stop;
		int r;

		mutex_lock(&fs->thread_mutex);
		if (!fs->stopping)
			cond_timedwait(&fs->thread_cond, &fs->thread_mutex,
				       WRITEBACK_NS);
		stop = fs->stopping;
		mutex_unlock(&fs->thread_mutex);
		if (stop)
			return NULL;
		if (lsm_background_error(fs->db) == -ENOSPC &&
		    lsm_resume(fs->db) == 0)
			fs_log(fs, LSM_LOG_INFO,
			       "there is room on the disk again");
		recount_all(fs);
		r = inode_flush_all(fs);
		if (r && r != said)
			fs_log(fs, LSM_LOG_ERROR,
			       "writing inode times back: %s", lsm_strerror(r));
		said = r;
	}
}

int writeback_start(struct fs *fs)
{
	int r = thread_start(&fs->writeback_thread, "fs-writeback",
			     writeback_thread, fs);

	fs->writeback_running = r == 0;
	return r;
}

void writeback_stop(struct fs *fs)
{
	mutex_lock(&fs->thread_mutex);
	fs->stopping = true;
	cond_broadcast(&fs->thread_cond);
	mutex_unlock(&fs->thread_mutex);
	if (fs->writeback_running)
		pthread_join(fs->writeback_thread, NULL);
	fs->writeback_running = false;
}

int fs_fsync(struct fs *fs, uint64_t ino, bool datasync)
{
	struct inode *inode;
	int r;

	if (fs->read_only)
		return 0;
	if (!datasync) {
		r = inode_get(fs, ino, &inode);
		if (r == 0) {
			r = inode_wrlock(inode);
			if (r == 0) {
				r = inode_flush(fs, inode);
				inode_wrunlock(inode);
			}
			inode_put(fs, inode);
		}
		if (r && r != -ESTALE)
			return r;
	}
	return lsm_sync(fs->db);
}

int fs_sync(struct fs *fs)
{
	int r, r2;

	if (fs->read_only)
		return 0;
	r = inode_flush_all(fs);
	r2 = lsm_sync(fs->db);
	return r ? r : r2;
}
