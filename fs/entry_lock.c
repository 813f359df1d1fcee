/* SPDX-License-Identifier: MIT */
/*
 * entry_lock.c - locking a directory together with what one of its entries
 * names, in ascending order of inode numbers. The number is known only once
 * the directory is locked; when it lies below, everything is locked anew in
 * order and the entry read again. Any thread.
 */
#include <errno.h>

#include "fs/dir.h"
#include "fs/fs_impl.h"

int inode_wrlock_two(struct inode *a, struct inode *b)
{
	struct inode *both[2] = {a, b};
	int n = inode_wrlock_all(both, 2);

	return n < 0 ? n : 0;
}

void inode_wrunlock_two(struct inode *a, struct inode *b)
{
	inode_wrunlock(a);
	if (b != a)
		inode_wrunlock(b);
}

static int find_entry(struct fs *fs, struct inode *dir, struct lsm_slice name,
		      struct entry_rec *out)
{
	int r;

	if (!S_ISDIR(dir->rec.mode))
		return -ENOTDIR;
	r = dir_find(fs, dir->ino, name, out);
	if (r == 0 && out->ino == dir->ino) {
		fs_log(fs, LSM_LOG_ERROR, "directory %llu holds itself",
		       (unsigned long long)dir->ino);
		return -EUCLEAN;
	}
	return r == LSM_NOTFOUND ? -ENOENT : r;
}

int entry_lock(struct fs *fs, uint64_t ino, struct lsm_slice name,
	       struct entry_lock *lock)
{
	struct inode *dir, *child;
	struct entry_rec again;
	int r = inode_get(fs, ino, &dir);

	if (r)
		return r;
	for (;;) {
		r = inode_wrlock(dir);
		if (r)
			break;
		r = find_entry(fs, dir, name, &lock->entry);
		if (r == 0)
			r = entry_inode(fs, ino, &lock->entry, &child);
		if (r) {
			inode_wrunlock(dir);
			break;
		}
		if (child->ino > dir->ino) {
			r = inode_wrlock(child);
			if (r)
				inode_wrunlock(dir);
		} else {
			inode_wrunlock(dir);
			r = inode_wrlock_two(dir, child);
			if (r == 0) {
				r = find_entry(fs, dir, name, &again);
				if (r == 0 && again.ino != child->ino)
					r = LSM_NOTFOUND; /* try again */
				lock->entry = again;
				if (r)
					inode_wrunlock_two(dir, child);
			} else if (r == -ESTALE) {
				/* Deleted while nothing was locked, or the
				 * directory is, which the next turn sees. */
				r = LSM_NOTFOUND;
			}
		}
		if (r == 0) {
			lock->dir = dir;
			lock->child = child;
			return 0;
		}
		inode_put(fs, child);
		if (r < 0)
			break;
	}
	inode_put(fs, dir);
	return r;
}

void entry_unlock(struct fs *fs, struct entry_lock *lock)
{
	inode_wrunlock(lock->dir);
	/* A deleted child was unlocked when it was killed. */
	if (lock->child)
		inode_wrunlock(lock->child);
	inode_put(fs, lock->dir);
	if (lock->child)
		inode_put(fs, lock->child);
}
