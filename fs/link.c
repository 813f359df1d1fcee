/* SPDX-License-Identifier: MIT */
/*
 * link.c - names for inodes that have one: link, and taking names away:
 * unlink, rmdir. One batch each. Any thread.
 */
#include <errno.h>

#include "fs/dir.h"
#include "fs/fs_impl.h"

static int link_locked(struct fs *fs, struct inode *inode, struct inode *dir,
		       struct lsm_slice name)
{
	struct inode_rec n = inode->rec, d = dir->rec;
	struct entry_rec entry = {0};
	struct txn t;
	int r;

	if (!S_ISDIR(d.mode))
		return -ENOTDIR;
	if (S_ISDIR(n.mode))
		return -EPERM;
	if (name_is_dot(name))
		return -EEXIST;
	if (n.nlink == 0 || d.nlink == 0)
		return -ENOENT;
	if (n.nlink >= FS_LINK_MAX)
		return -EMLINK;
	if (d.next_cookie >= COOKIE_MAX)
		return -ENOSPC;
	r = dir_find(fs, dir->ino, name, &entry);
	if (r == 0)
		return -EEXIST;
	if (r == LSM_NOTFOUND)
		r = txn_begin(&t, fs);
	if (r)
		return r;
	entry.ino = inode->ino;
	entry.type = mode_to_dt(n.mode);
	entry.cookie = d.next_cookie++;
	n.nlink++;
	d.entries++;
	n.ctime = d.mtime = d.ctime = time_now();
	txn_put_inode(&t, inode->ino, &n);
	txn_put_entry(&t, dir->ino, name, &entry);
	txn_put_inode(&t, dir->ino, &d);
	r = txn_commit(&t);
	if (r)
		return r;
	inode->rec = n;
	dir->rec = d;
	inode->dirty = dir->dirty = false;
	inode_lookup_add(fs, inode, 1);
	return 0;
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name,
	    struct fs_attr *out)
{
	struct inode *inode, *dir;
	struct lsm_slice n;
	int r = name_check(name, &n);

	if (r == 0)
		r = inode_get(fs, ino, &inode);
	if (r)
		return r;
	r = inode_get(fs, parent, &dir);
	if (r == 0) {
		r = inode_wrlock_two(inode, dir);
		if (r == 0) {
			r = link_locked(fs, inode, dir, n);
			if (r == 0)
				inode_fill_attr(fs, inode, out);
			inode_wrunlock_two(inode, dir);
		}
		inode_put(fs, dir);
	}
	inode_put(fs, inode);
	return r;
}

void txn_drop_name(struct txn *t, struct inode *inode, struct inode_rec *rec,
		   struct timespec now, bool *gone)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	*gone = false;
	rec->ctime = now;
	if (S_ISDIR(rec->mode) || rec->nlink <= 1)
		rec->nlink = 0;
	else
		rec->nlink--;
	if (rec->nlink > 0) {
		txn_put_inode(t, inode->ino, rec);
		return;
	}
	txn_usage(t, inode->ino,
		  -(int64_t)(rec->blocks * t->fs->units_per_block), -1);
	if (inode_lookups(t->fs, inode) == 0) {
		/* Nobody can come to know it any more: its names are locked. */
		txn_delete_inode(t, inode->ino, rec);
		*gone = true;
		return;
	}
	txn_put_inode(t, inode->ino, rec);
	txn_put(t, key_orphan(&k, inode->ino), lsm_slice(v, orphan_encode(v)));
}

static int unlink_locked(struct fs *fs, struct entry_lock *lock,
			 struct lsm_slice name, bool directory)
{
	struct inode *dir = lock->dir, *child = lock->child;
	struct inode_rec d = dir->rec, n = child->rec;
	struct txn t;
	bool gone;
	int r;

	if (directory != !!S_ISDIR(n.mode))
		return directory ? -ENOTDIR : -EISDIR;
	if (directory && n.entries > 0)
		return -ENOTEMPTY;
	r = txn_begin(&t, fs);
	if (r)
		return r;
	d.mtime = d.ctime = time_now();
	if (d.entries)
		d.entries--;
	if (directory && d.nlink > 2)
		d.nlink--;
	txn_delete_entry(&t, dir->ino, name, lock->entry.cookie);
	txn_drop_name(&t, child, &n, d.mtime, &gone);
	txn_put_inode(&t, dir->ino, &d);
	r = txn_commit(&t);
	if (r)
		return r;
	dir->rec = d;
	child->rec = n;
	dir->dirty = child->dirty = false;
	if (gone) {
		inode_kill(child, -ESTALE);
		inode_put(fs, child);
		lock->child = NULL;
	}
	return 0;
}

static int unlink_name(struct fs *fs, uint64_t parent, const char *name,
		       bool directory)
{
	struct entry_lock lock;
	struct lsm_slice n;
	int r = name_check(name, &n);

	if (r)
		return r == -EINVAL ? -ENOENT : r;
	if (name_is_dot(n)) {
		if (!directory)
			return -EISDIR;
		return n.len == 1 ? -EINVAL : -ENOTEMPTY;
	}
	if (fs->read_only)
		return -EROFS;
	r = entry_lock(fs, parent, n, &lock);
	if (r)
		return r;
	r = unlink_locked(fs, &lock, n, directory);
	entry_unlock(fs, &lock);
	return r;
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
	return unlink_name(fs, parent, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
	return unlink_name(fs, parent, name, true);
}
