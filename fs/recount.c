/* SPDX-License-Identifier: MIT */
/* recount.c - see recount.h. Any thread. */
#include "fs/recount.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/data.h"
#include "fs/fs_impl.h"

/* Writes the inode with blocks fewer, and that they are counted. In a batch of
 * its own: who locks the inode may have begun a transaction. */
static int put_count(struct inode *inode, struct fs *fs, uint64_t fewer)
{
	struct txn t = {.fs = fs, .batch = lsm_batch_new()};
	struct inode_rec n = inode->rec;
	struct key k;
	int r;

	if (!t.batch)
		return -ENOMEM;
	if (fewer > n.blocks) /* the record is wrong */
		fewer = n.blocks;
	n.blocks -= fewer;
	if (n.nlink > 0)
		txn_usage(&t, inode->ino,
			  -(int64_t)(fewer * fs->units_per_block), 0);
	txn_delete(&t, key_uncounted(&k, inode->ino));
	txn_put_inode(&t, inode->ino, &n);
	r = txn_commit(&t);
	lsm_batch_free(t.batch);
	if (r)
		return r;
	inode->rec = n;
	inode->dirty = false;
	if (n.blocks == 0)
		inode->alloc_end = 0;
	return 0;
}

void recount_now(struct inode *inode)
{
	struct uncounted *u = inode->uncounted;
	struct block_set s = {.ino = inode->ino,
			      .blocks = u->blocks,
			      .end = u->end,
			      .at = u->before};
	int r = u->known ? 0
			 : block_set_count(u->fs, &s, u->from, u->to, &u->gone);

	if (r == 0) {
		u->known = true;
		r = put_count(inode, u->fs, u->gone);
	}
	if (r == 0) {
		inode->uncounted = NULL;
		lsm_snapshot_release(u->fs->db, u->before);
		u->before = NULL;
	} else if (!u->failed) {
		u->failed = true;
		fs_log(u->fs, LSM_LOG_ERROR,
		       "inode %llu: counting its blocks: %s; tried again later",
		       (unsigned long long)inode->ino, lsm_strerror(r));
	}
}

static struct uncounted *take_list(struct fs *fs)
{
	struct uncounted *list;

	mutex_lock(&fs->dirty_mutex);
	list = fs->uncounted_list;
	fs->uncounted_list = NULL;
	mutex_unlock(&fs->dirty_mutex);
	return list;
}

static void push_list(struct fs *fs, struct uncounted *u)
{
	mutex_lock(&fs->dirty_mutex);
	u->next = fs->uncounted_list;
	fs->uncounted_list = u;
	mutex_unlock(&fs->dirty_mutex);
}

int recount_commit(struct txn *t, struct inode *inode, uint64_t from,
		   uint64_t to)
{
	struct fs *fs = t->fs;
	struct uncounted *u;
	int r;

	if (!to)
		return txn_commit(t);
	u = calloc(1, sizeof(*u));
	if (u)
		u->before = lsm_snapshot_take(fs->db);
	if (!u || !u->before) {
		free(u);
		return -ENOMEM;
	}
	u->fs = fs;
	u->from = from;
	u->to = to;
	u->blocks = inode->rec.blocks;
	u->end = inode->alloc_end;
	r = txn_commit(t);
	if (r) {
		lsm_snapshot_release(fs->db, u->before);
		free(u);
		return r;
	}
	inode->uncounted = u;
	/* The list's reference; the inode is in the table as it is in use. */
	u->inode = inode_find(fs, inode->ino);
	atomic_fetch_add_explicit(&fs->uncounted_count, 1,
				  memory_order_relaxed);
	push_list(fs, u);
	return 0;
}

static void drop(struct fs *fs, struct uncounted *u)
{
	/* Not counted: the inode is gone, or we give up. */
	if (u->before)
		lsm_snapshot_release(fs->db, u->before);
	inode_put(fs, u->inode);
	free(u);
	atomic_fetch_sub_explicit(&fs->uncounted_count, 1,
				  memory_order_relaxed);
}

void recount_all(struct fs *fs)
{
	struct uncounted *list, *u;

	/* relaxed: who deleted a range and wants to see what that gave has
	 * returned from it, and this comes after that. */
	if (!atomic_load_explicit(&fs->uncounted_count, memory_order_relaxed))
		return;
	/* A second caller waits for what the first one took. */
	mutex_lock(&fs->flush_mutex);
	list = take_list(fs);
	while ((u = list)) {
		bool again = false;

		list = u->next;
		/* Locking it makes the count. */
		if (inode_wrlock(u->inode) == 0) {
			again = u->inode->uncounted == u;
			inode_wrunlock(u->inode);
		}
		if (again)
			push_list(fs, u);
		else
			drop(fs, u);
	}
	mutex_unlock(&fs->flush_mutex);
}

void recount_give_up(struct fs *fs)
{
	struct uncounted *list = take_list(fs), *u;

	while ((u = list)) {
		list = u->next;
		/* Nobody else uses the filesystem any more. */
		u->inode->uncounted = NULL;
		drop(fs, u);
	}
}

/* ---- after a crash ---- */

static int count_anew(struct fs *fs, struct inode *inode)
{
	struct block_set s = {.ino = inode->ino,
			      .blocks = BLOCKS_UNKNOWN,
			      .end = inode->alloc_end};
	uint64_t have;
	int r = block_set_walk(fs, &s, 0, inode->alloc_end, &have);

	if (r)
		return r;
	return put_count(
		inode, fs,
		have < inode->rec.blocks ? inode->rec.blocks - have : 0);
}

static int recount_leftover(struct fs *fs, uint64_t ino)
{
	struct inode *inode;
	struct key k;
	int r = inode_get(fs, ino, &inode);

	/* It has been deleted since, or fsck has to see to it. */
	if (r == -ESTALE || r == -EUCLEAN)
		return lsm_delete(fs->db, key_uncounted(&k, ino));
	if (r)
		return r;
	r = inode_wrlock(inode);
	if (r == 0) {
		r = count_anew(fs, inode);
		inode_wrunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}

int recount_leftovers(struct fs *fs)
{
	struct lsm_iter_options o = {0};
	struct lsm_iter *it;
	struct key k, k2;
	int r;

	o.lower = key_global(&k, KEY_GLOBAL_UNCOUNTED);
	o.upper = key_global(&k2, KEY_GLOBAL_UNCOUNTED + 1);
	r = lsm_iter_new(fs->db, &o, &it);
	if (r)
		return r;
	/* The iterator sees nothing of what is written meanwhile. */
	for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it)) {
		struct key_parts key;

		if (key_decode(lsm_iter_key(it), &key))
			continue; /* fsck's */
		r = recount_leftover(fs, key.number);
		if (r)
			break;
	}
	lsm_iter_free(it);
	return r == LSM_END ? 0 : r;
}
