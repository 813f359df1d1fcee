/* SPDX-License-Identifier: MIT */
/*
 * check_lost.c - last pass of fs_check(): inodes without a name get one,
 * "#" and their number, in /lost+found. The rest of the filesystem is in order
 * by then, so this goes through the ordinary operations. One thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/check.h"
#include "fs/dir.h"

static int lost_and_found(struct fs *fs, uint64_t *ino)
{
	struct fs_cred cred = {.fsetid = true};
	struct fs_attr attr;
	int r = fs_lookup(fs, FS_ROOT_INO, "lost+found", &attr);

	if (r == -ENOENT)
		r = fs_mkdir(fs, &cred, FS_ROOT_INO, "lost+found", 0700, &attr);
	if (r == 0 && !S_ISDIR(attr.st.st_mode)) {
		fs_forget(fs, attr.st.st_ino, 1);
		r = -ENOTDIR;
	}
	*ino = attr.st.st_ino;
	return r;
}

static int attach_locked(struct fs *fs, struct inode *dir, struct inode *inode,
			 uint32_t links)
{
	struct inode_rec d = dir->rec, n = inode->rec;
	struct entry_rec e = {.ino = inode->ino, .type = mode_to_dt(n.mode)};
	struct lsm_slice name;
	struct entry_rec other;
	char text[32];
	struct txn t;
	int r, len;

	len = snprintf(text, sizeof(text), "#%" PRIu64, inode->ino);
	name = lsm_slice(text, (size_t)len);
	r = dir_find(fs, dir->ino, name, &other);
	if (r <= 0)
		return r ? r : -EEXIST;
	r = txn_begin(&t, fs);
	if (r)
		return r;
	e.cookie = d.next_cookie++;
	d.entries++;
	if (S_ISDIR(n.mode)) {
		d.nlink++;
		n.parent = dir->ino;
		n.nlink = links;
	} else {
		n.nlink = 1;
	}
	n.ctime = d.mtime = d.ctime = time_now();
	txn_put_entry(&t, dir->ino, name, &e);
	txn_put_inode(&t, dir->ino, &d);
	txn_put_inode(&t, inode->ino, &n);
	r = txn_commit(&t);
	if (r == 0) {
		dir->rec = d;
		inode->rec = n;
		dir->dirty = inode->dirty = false;
	}
	return r;
}

static int attach(struct fs *fs, uint64_t lost, const struct check_node *n)
{
	struct inode *dir, *inode;
	int r = inode_get(fs, lost, &dir);

	if (r)
		return r;
	r = inode_get(fs, n->ino, &inode);
	if (r == 0) {
		r = inode_wrlock_two(dir, inode);
		if (r == 0) {
			r = attach_locked(fs, dir, inode, n->links);
			inode_wrunlock_two(dir, inode);
		}
		inode_put(fs, inode);
	}
	inode_put(fs, dir);
	return r;
}

int check_lost(struct check *c)
{
	struct fs *fs = c->fs;
	uint64_t dir = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->slots; i++) {
		const struct check_node *n = &c->nodes[i];
		struct inode_rec rec;

		if (!n->ino)
			continue;
		if (n->flags & NODE_DROPPED) {
			r = check_get_inode(c, n->ino, &rec);
			if (r == 0)
				r = orphan_reclaim(fs, n->ino, &rec);
		}
		if (!(n->flags & NODE_LOST))
			continue;
		if (!dir)
			r = lost_and_found(fs, &dir);
		if (r == 0)
			r = attach(fs, dir, n);
	}
	if (dir)
		fs_forget(fs, dir, 1);
	return r;
}
