/* SPDX-License-Identifier: MIT */
/*
 * orphan.c - see orphan.h. The thread reclaims what was there when the
 * filesystem was opened: its iterator sees nothing later, so it never meets an
 * inode that lost its name since.
 */
#include "fs/orphan.h"

#include <errno.h>

#include "fs/fs_impl.h"

/* Up to this many blocks are deleted one by one: a range tombstone costs every
 * later read near it a little, point tombstones only their own space. */
#define POINT_DELETES_MAX 32

void txn_delete_inode(struct txn *t, uint64_t ino, const struct inode_rec *rec)
{
	uint64_t blocks = rec->blocks ? fs_blocks(t->fs, rec->size) : 0;
	struct key k, k2;

	if ((rec->flags & INODE_XATTRS) || blocks > POINT_DELETES_MAX ||
	    (S_ISDIR(rec->mode) && rec->entries)) {
		(void)lsm_batch_delete_range(t->batch, key_ino_start(&k, ino),
					     key_ino_start(&k2, ino + 1));
		return;
	}
	txn_delete(t, key_ino(&k, ino, KEY_INODE));
	if (S_ISLNK(rec->mode))
		txn_delete(t, key_ino(&k, ino, KEY_SYMLINK));
	for (uint64_t b = 0; b < blocks; b++)
		txn_delete(t, key_block(&k, ino, b));
}

int orphan_reclaim(struct fs *fs, uint64_t ino, const struct inode_rec *rec)
{
	struct txn t;
	struct key k;
	int r = txn_begin(&t, fs);

	if (r)
		return r;
	txn_delete_inode(&t, ino, rec);
	txn_delete(&t, key_orphan(&k, ino));
	return txn_commit(&t);
}

/* One orphan of an earlier run. Nobody can reach it: it has no name. */
static int reclaim_leftover(struct fs *fs, uint64_t ino)
{
	struct lsm_pin pin = {0};
	struct inode_rec rec;
	struct txn t;
	struct key k;
	int r = lsm_get(fs->db, NULL, key_ino(&k, ino, KEY_INODE), &pin);

	if (r == 0) {
		r = inode_rec_decode(lsm_slice(pin.data, pin.len), &rec);
		if (r == 0 && rec.nlink > 0)
			r = -EUCLEAN;
		if (r)
			fs_log(fs, LSM_LOG_ERROR,
			       "orphan %llu: not an unlinked inode, left to "
			       "fsck",
			       (unsigned long long)ino);
		else
			r = orphan_reclaim(fs, ino, &rec);
	} else if (r == LSM_NOTFOUND) {
		r = txn_begin(&t, fs);
		if (r == 0) {
			txn_delete(&t, key_orphan(&k, ino));
			r = txn_commit(&t);
		}
	}
	lsm_unpin(&pin);
	return r;
}

static bool stopping(struct fs *fs)
{
	bool stop;

	mutex_lock(&fs->thread_mutex);
	stop = fs->stopping;
	mutex_unlock(&fs->thread_mutex);
	return stop;
}

static void *orphan_thread(void *arg)
{
	struct fs *fs = arg;
	struct lsm_iter *it = fs->orphan_iter;
	uint64_t done = 0;
	int r;

	/* fs_check() waits until no reclaim runs. */
	rwlock_rdlock(&fs->check_lock);
	for (r = lsm_iter_first(it); r == 0 && !stopping(fs);
	     r = lsm_iter_next(it)) {
		struct key_parts key;
		int e = key_decode(lsm_iter_key(it), &key);

		if (e == 0)
			e = reclaim_leftover(fs, key.number);
		if (e == 0) {
			done++;
		} else if (e != -EUCLEAN) {
			r = e;
			break;
		}
	}
	if (r < 0)
		fs_log(fs, LSM_LOG_ERROR, "reclaiming orphans stopped: %s",
		       lsm_strerror(r));
	if (done)
		fs_log(fs, LSM_LOG_INFO, "reclaimed %llu orphans",
		       (unsigned long long)done);
	lsm_iter_free(it);
	rwlock_rdunlock(&fs->check_lock);
	return NULL;
}

int orphan_start(struct fs *fs)
{
	struct lsm_iter_options o = {0};
	struct key k, k2;
	int r;

	o.lower = key_global(&k, KEY_GLOBAL_ORPHAN);
	o.upper = key_global(&k2, KEY_GLOBAL_ORPHAN + 1);
	r = lsm_iter_new(fs->db, &o, &fs->orphan_iter);
	if (r)
		return r;
	r = lsm_iter_first(fs->orphan_iter);
	if (r == 0)
		r = thread_start(&fs->orphan_thread, "fs-orphans",
				 orphan_thread, fs);
	if (r) {
		lsm_iter_free(fs->orphan_iter);
		return r == LSM_END ? 0 : r;
	}
	fs->orphans_running = true;
	return 0;
}

void orphan_stop(struct fs *fs)
{
	if (fs->orphans_running)
		pthread_join(fs->orphan_thread, NULL);
	fs->orphans_running = false;
}
