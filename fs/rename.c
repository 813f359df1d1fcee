/* SPDX-License-Identifier: MIT */
/*
 * rename.c - rename with all its flags, one batch. Any thread.
 *
 * Up to four inodes are locked: two directories and what the two names mean.
 * The names are looked up first, then everything is locked in ascending order,
 * then the names are looked up again; when they mean something else by then,
 * it starts over. A rename across directories holds fs->rename_mutex, so the
 * parents of directories stand still while the way from the new place up to
 * the root is checked for the directory that is being moved.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>

#include "fs/dir.h"
#include "fs/fs_impl.h"

struct renaming {
	struct fs *fs;
	const struct fs_cred *cred;
	unsigned flags;
	struct lsm_slice name, new_name;
	struct inode *dir, *new_dir; /* may be the same */
	struct inode *src, *dst;     /* dst: NULL when new_name is free */
	struct entry_rec from, to;
	struct inode *held[4]; /* locked */
	unsigned held_count;
};

static int look_up(struct renaming *r, struct inode *dir, struct lsm_slice name,
		   struct entry_rec *out)
{
	int e = dir_find(r->fs, dir->ino, name, out);

	return e == 0 && out->ino == dir->ino ? -EUCLEAN : e;
}

/* Takes and releases the directory's lock. 0, LSM_NOTFOUND, or an error. */
static int peek(struct renaming *r, struct inode *dir, struct lsm_slice name,
		struct entry_rec *entry, struct inode **out)
{
	int e = inode_rdlock(dir);

	if (e)
		return e;
	e = S_ISDIR(dir->rec.mode) ? look_up(r, dir, name, entry) : -ENOTDIR;
	if (e == 0)
		e = entry_inode(r->fs, dir->ino, entry, out);
	inode_rdunlock(dir);
	return e;
}

/* 0 unless dir is top or lies somewhere below it: then error. The rename mutex
 * is held. */
static int check_not_below(struct fs *fs, uint64_t dir, uint64_t top, int error)
{
	/* A damaged tree may have a ring; no path is longer than all inodes. */
	uint64_t left =
		atomic_load_explicit(&fs->usage.inodes, memory_order_relaxed) +
		1;

	while (dir != top) {
		struct inode *inode;
		int r;

		if (dir == FS_ROOT_INO)
			return 0;
		if (left-- == 0)
			return -EUCLEAN;
		r = inode_get(fs, dir, &inode);
		if (r)
			return r == -ESTALE ? -ENOENT : r;
		r = inode_rdlock(inode);
		if (r == 0) {
			/* A removed directory has no way up any more. */
			if (inode->rec.nlink == 0)
				r = -ENOENT;
			dir = inode->rec.parent;
			inode_rdunlock(inode);
		}
		inode_put(fs, inode);
		if (r)
			return r == -ESTALE ? -ENOENT : r;
	}
	return error;
}

static int check_ancestors(struct renaming *r)
{
	int e = 0;

	if (r->dir == r->new_dir)
		return 0;
	if (r->from.type == DT_DIR)
		e = check_not_below(r->fs, r->new_dir->ino, r->src->ino,
				    -EINVAL);
	if (e == 0 && r->dst && r->to.type == DT_DIR)
		e = check_not_below(
			r->fs, r->dir->ino, r->dst->ino,
			r->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY);
	return e;
}

static void put_names(struct renaming *r)
{
	if (r->src)
		inode_put(r->fs, r->src);
	if (r->dst)
		inode_put(r->fs, r->dst);
	r->src = r->dst = NULL;
}

static void unlock(struct renaming *r)
{
	inode_wrunlock_all(r->held, r->held_count);
	r->held_count = 0;
}

/* Whether name in dir still means what peek() said. Locked. */
static int still(struct renaming *r, struct inode *dir, struct lsm_slice name,
		 const struct entry_rec *entry, bool exists)
{
	struct entry_rec now;
	int e = look_up(r, dir, name, &now);

	if (e < 0)
		return e;
	return (e == 0) == exists && (!exists || (now.ino == entry->ino &&
						  now.cookie == entry->cookie));
}

/* Everything locked and looked up: 0, or an error with nothing held. */
static int rename_lock(struct renaming *r)
{
	for (;;) {
		int e = peek(r, r->dir, r->name, &r->from, &r->src);

		if (e)
			return e == LSM_NOTFOUND ? -ENOENT : e;
		e = peek(r, r->new_dir, r->new_name, &r->to, &r->dst);
		if (e == LSM_NOTFOUND)
			e = 0;
		if (e == 0)
			e = check_ancestors(r);
		if (e) {
			put_names(r);
			return e;
		}
		r->held[0] = r->dir;
		r->held[1] = r->new_dir;
		r->held[2] = r->src;
		r->held[3] = r->dst;
		e = inode_wrlock_all(r->held, 4);
		if (e < 0 && e != -ESTALE) {
			put_names(r);
			return e;
		}
		if (e > 0) {
			r->held_count = (unsigned)e;
			e = still(r, r->dir, r->name, &r->from, true);
			if (e == 1)
				e = still(r, r->new_dir, r->new_name, &r->to,
					  r->dst != NULL);
			if (e == 1)
				return 0;
			unlock(r);
		}
		put_names(r);
		if (e < 0 && e != -ESTALE)
			return e;
	}
}

static int rename_check(struct renaming *r)
{
	bool src_dir = S_ISDIR(r->src->rec.mode), dst_dir;

	if (r->new_dir->rec.nlink == 0 || r->dir->rec.nlink == 0)
		return -ENOENT;
	if (!r->dst) {
		if (r->flags & RENAME_EXCHANGE)
			return -ENOENT;
	} else {
		if (r->flags & RENAME_NOREPLACE)
			return -EEXIST;
		dst_dir = S_ISDIR(r->dst->rec.mode);
		if (r->src == r->dst || (r->flags & RENAME_EXCHANGE))
			return 0;
		if (src_dir && !dst_dir)
			return -ENOTDIR;
		if (!src_dir && dst_dir)
			return -EISDIR;
		if (dst_dir && r->dst->rec.entries > 0)
			return -ENOTEMPTY;
	}
	if (src_dir && r->dir != r->new_dir && !r->dst &&
	    r->new_dir->rec.nlink >= FS_LINK_MAX)
		return -EMLINK;
	if (r->new_dir->rec.next_cookie >= COOKIE_MAX - 1 ||
	    r->dir->rec.next_cookie >= COOKIE_MAX - 1)
		return -ENOSPC;
	return 0;
}

/* The records as they will be; d and nd are the same one for one directory. */
struct renamed {
	struct inode_rec dir, new_dir, src, dst;
	struct inode_rec *d, *nd;
};

static void renamed_init(struct renamed *n, const struct renaming *r)
{
	n->dir = r->dir->rec;
	n->new_dir = r->new_dir->rec;
	n->src = r->src->rec;
	if (r->dst)
		n->dst = r->dst->rec;
	n->d = &n->dir;
	n->nd = r->dir == r->new_dir ? &n->dir : &n->new_dir;
	n->src.ctime = time_now();
	n->d->mtime = n->d->ctime = n->src.ctime;
	n->nd->mtime = n->nd->ctime = n->src.ctime;
}

static void renamed_apply(struct renaming *r, const struct renamed *n)
{
	r->dir->rec = n->dir;
	r->dir->dirty = false;
	if (r->new_dir != r->dir) {
		r->new_dir->rec = n->new_dir;
		r->new_dir->dirty = false;
	}
	r->src->rec = n->src;
	r->src->dirty = false;
	if (r->dst) {
		r->dst->rec = n->dst;
		r->dst->dirty = false;
	}
}

static void put_directories(struct txn *t, const struct renaming *r,
			    const struct renamed *n)
{
	txn_put_inode(t, r->dir->ino, &n->dir);
	if (r->new_dir != r->dir)
		txn_put_inode(t, r->new_dir->ino, &n->new_dir);
}

/* Damaged counts must not wrap. */
static void fewer_links(struct inode_rec *dir)
{
	if (dir->nlink > 2)
		dir->nlink--;
}

static void fewer_entries(struct inode_rec *dir)
{
	if (dir->entries)
		dir->entries--;
}

static int exchange(struct renaming *r)
{
	struct entry_rec a = r->from, b = r->to;
	struct renamed n;
	struct txn t;
	int e;

	e = txn_begin(&t, r->fs);
	if (e)
		return e;
	renamed_init(&n, r);
	n.dst.ctime = n.src.ctime;
	if (S_ISDIR(n.src.mode)) {
		fewer_links(n.d);
		n.nd->nlink++;
		n.src.parent = r->new_dir->ino;
	}
	if (S_ISDIR(n.dst.mode)) {
		fewer_links(n.nd);
		n.d->nlink++;
		n.dst.parent = r->dir->ino;
	}
	/* Each name keeps its cookie. */
	a.cookie = r->to.cookie;
	b.cookie = r->from.cookie;
	txn_put_entry(&t, r->dir->ino, r->name, &b);
	txn_put_entry(&t, r->new_dir->ino, r->new_name, &a);
	put_directories(&t, r, &n);
	txn_put_inode(&t, r->src->ino, &n.src);
	txn_put_inode(&t, r->dst->ino, &n.dst);
	e = txn_commit(&t);
	if (e == 0)
		renamed_apply(r, &n);
	return e;
}

/* A whiteout is what overlayfs takes for "nothing is here". */
static int put_whiteout(struct txn *t, struct renaming *r, struct renamed *n,
			uint64_t cookie)
{
	struct entry_rec entry = {.type = DT_CHR, .cookie = cookie};
	struct inode_rec rec = {.mode = S_IFCHR, .nlink = 1};
	int e = ino_alloc(r->fs, &entry.ino);

	if (e)
		return e;
	rec.uid = r->cred ? r->cred->uid : 0;
	rec.gid = r->cred ? r->cred->gid : 0;
	if (n->dir.mode & S_ISGID)
		rec.gid = n->dir.gid;
	rec.atime = rec.mtime = rec.ctime = rec.btime = n->src.ctime;
	rec.generation = (uint32_t)rec.btime.tv_sec;
	txn_put_inode(t, entry.ino, &rec);
	txn_put_entry(t, r->dir->ino, r->name, &entry);
	txn_usage(t, entry.ino, 0, 1);
	n->d->entries++;
	return 0;
}

static int move(struct renaming *r)
{
	bool same_dir = r->dir == r->new_dir, gone = false;
	struct entry_rec entry = r->from;
	struct renamed n;
	struct txn t;
	int e;

	e = txn_begin(&t, r->fs);
	if (e)
		return e;
	renamed_init(&n, r);
	if (S_ISDIR(n.src.mode)) {
		fewer_links(n.d);
		n.nd->nlink++;
		n.src.parent = r->new_dir->ino;
	}
	fewer_entries(n.d);
	n.nd->entries++;
	txn_delete_entry(&t, r->dir->ino, r->name, r->from.cookie);
	if (r->dst) {
		entry.cookie = r->to.cookie;
		fewer_entries(n.nd);
		if (S_ISDIR(n.dst.mode))
			fewer_links(n.nd);
		txn_drop_name(&t, r->dst, &n.dst, n.src.ctime, &gone);
	} else if (!same_dir) {
		entry.cookie = n.nd->next_cookie++;
	}
	txn_put_entry(&t, r->new_dir->ino, r->new_name, &entry);
	if (r->flags & RENAME_WHITEOUT) {
		uint64_t cookie = r->from.cookie;

		if (same_dir && !r->dst)
			cookie = n.d->next_cookie++;
		e = put_whiteout(&t, r, &n, cookie);
		if (e)
			return e;
	}
	put_directories(&t, r, &n);
	txn_put_inode(&t, r->src->ino, &n.src);
	e = txn_commit(&t);
	if (e)
		return e;
	renamed_apply(r, &n);
	if (gone) {
		unsigned kept = 0;

		for (unsigned i = 0; i < r->held_count; i++)
			if (r->held[i] != r->dst)
				r->held[kept++] = r->held[i];
		r->held_count = kept;
		inode_kill(r->dst, -ESTALE);
	}
	return 0;
}

static int rename_args(struct renaming *r, const char *name,
		       const char *new_name)
{
	unsigned known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
	int e;

	if ((r->flags & ~known) ||
	    ((r->flags & RENAME_EXCHANGE) &&
	     (r->flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))))
		return -EINVAL;
	e = name_check(name, &r->name);
	if (e == 0)
		e = name_check(new_name, &r->new_name);
	if (e)
		return e == -EINVAL ? -ENOENT : e;
	if (name_is_dot(r->name) || name_is_dot(r->new_name))
		return -EBUSY;
	return r->fs->read_only ? -EROFS : 0;
}

/* With the rename mutex held, if the directories differ. */
static int rename_held(struct renaming *r)
{
	int e = rename_lock(r);

	if (e)
		return e;
	e = rename_check(r);
	if (e == 0 && r->src != r->dst) {
		if (r->flags & RENAME_EXCHANGE)
			e = exchange(r);
		else
			e = move(r);
	}
	unlock(r);
	return e;
}

int fs_rename(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	      const char *name, uint64_t new_parent, const char *new_name,
	      unsigned flags)
{
	struct renaming r = {.fs = fs, .cred = cred, .flags = flags};
	int e = rename_args(&r, name, new_name);

	if (e)
		return e;
	e = inode_get(fs, parent, &r.dir);
	if (e)
		return e;
	e = inode_get(fs, new_parent, &r.new_dir);
	if (e) {
		inode_put(fs, r.dir);
		return e;
	}
	if (parent != new_parent) {
		mutex_lock(&fs->rename_mutex);
		e = rename_held(&r);
		mutex_unlock(&fs->rename_mutex);
	} else {
		e = rename_held(&r);
	}
	put_names(&r);
	inode_put(fs, r.dir);
	inode_put(fs, r.new_dir);
	return e;
}
