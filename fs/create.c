/* SPDX-License-Identifier: MIT */
/*
 * create.c - new files of every type. One batch: the inode, the two records
 * of its entry, the directory, the usage. Any thread.
 */
#include <errno.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/dir.h"
#include "fs/fs_impl.h"

struct creation {
	const struct fs_cred *cred;
	struct lsm_slice name;
	mode_t mode;
	dev_t rdev;
	struct lsm_slice target; /* of a symbolic link */
};

static int create_check(struct fs *fs, const struct inode *dir,
			struct lsm_slice name)
{
	struct entry_rec entry;
	int r;

	if (!S_ISDIR(dir->rec.mode))
		return -ENOTDIR;
	if (name_is_dot(name))
		return -EEXIST;
	if (dir->rec.nlink == 0)
		return -ENOENT; /* removed, but still somebody's cwd */
	r = dir_find(fs, dir->ino, name, &entry);
	if (r == 0)
		return -EEXIST;
	return r == LSM_NOTFOUND ? 0 : r;
}

static void inode_rec_init(struct inode_rec *rec, const struct inode *dir,
			   const struct creation *c)
{
	memset(rec, 0, sizeof(*rec));
	rec->mode = c->mode;
	rec->uid = c->cred->uid;
	rec->gid = c->cred->gid;
	rec->nlink = S_ISDIR(c->mode) ? 2 : 1;
	rec->rdev = S_ISCHR(c->mode) || S_ISBLK(c->mode) ? c->rdev : 0;
	rec->size = c->target.len;
	rec->btime = time_now();
	rec->atime = rec->mtime = rec->ctime = rec->btime;
	/* Numbers are never used twice, so any generation will do; NFS handles
	 * have room for 32 bits. */
	rec->generation = (uint32_t)rec->btime.tv_sec;
	if (S_ISDIR(c->mode)) {
		rec->next_cookie = COOKIE_FIRST;
		rec->parent = dir->ino;
	}
	if (dir->rec.mode & S_ISGID) {
		rec->gid = dir->rec.gid;
		if (S_ISDIR(c->mode))
			rec->mode |= S_ISGID;
	}
}

static int create_locked(struct fs *fs, struct inode *dir,
			 const struct creation *c, struct inode **out)
{
	struct inode_rec rec, d = dir->rec;
	struct entry_rec entry = {0};
	struct inode *inode;
	struct txn t;
	struct key k;
	uint64_t ino;
	int r = create_check(fs, dir, c->name);

	if (r)
		return r;
	if (d.next_cookie >= COOKIE_MAX)
		return -ENOSPC;
	if (S_ISDIR(c->mode) && d.nlink >= FS_LINK_MAX)
		return -EMLINK;
	r = ino_alloc(fs, &ino);
	if (r == 0)
		r = txn_begin(&t, fs);
	if (r)
		return r;
	inode_rec_init(&rec, dir, c);
	r = txn_acl_inherit(&t, dir, ino, c->cred->umask, &rec);
	if (r)
		return r;
	entry.ino = ino;
	entry.type = mode_to_dt(rec.mode);
	entry.cookie = d.next_cookie++;
	d.entries++;
	d.mtime = d.ctime = rec.btime;
	if (S_ISDIR(rec.mode))
		d.nlink++;
	txn_put_inode(&t, ino, &rec);
	if (S_ISLNK(rec.mode))
		txn_put(&t, key_ino(&k, ino, KEY_SYMLINK), c->target);
	txn_put_entry(&t, dir->ino, c->name, &entry);
	txn_put_inode(&t, dir->ino, &d);
	txn_usage(&t, ino, 0, 1);
	inode = inode_new(fs, ino, &rec);
	if (!inode)
		return -ENOMEM;
	r = txn_commit(&t);
	if (r) {
		inode_kill(inode, -ESTALE);
		inode_put(fs, inode);
		return r;
	}
	dir->rec = d;
	dir->dirty = false;
	inode_lookup_add(fs, inode, 1);
	inode_wrunlock(inode);
	*out = inode;
	return 0;
}

static int create(struct fs *fs, uint64_t parent, const char *name,
		  struct creation *c, struct fs_attr *out)
{
	struct inode *dir, *inode;
	int r = name_check(name, &c->name);

	if (r == 0)
		r = inode_get(fs, parent, &dir);
	if (r)
		return r;
	r = fs->read_only ? -EROFS : inode_wrlock(dir);
	if (r == 0) {
		r = create_locked(fs, dir, c, &inode);
		inode_wrunlock(dir);
	}
	inode_put(fs, dir);
	if (r)
		return r;
	r = inode_rdlock(inode);
	if (r == 0) {
		inode_fill_attr(fs, inode, out);
		inode_rdunlock(inode);
	} else {
		inode_lookup_sub(fs, inode, 1);
	}
	inode_put(fs, inode);
	return r;
}

int fs_mknod(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	     const char *name, mode_t mode, dev_t rdev, struct fs_attr *out)
{
	struct creation c = {
		.cred = cred, .mode = mode & (S_IFMT | 07777), .rdev = rdev};

	if (!(mode & S_IFMT))
		c.mode |= S_IFREG;
	if (!mode_to_dt(c.mode) || S_ISDIR(c.mode) || S_ISLNK(c.mode))
		return -EINVAL;
	return create(fs, parent, name, &c, out);
}

int fs_mkdir(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	     const char *name, mode_t mode, struct fs_attr *out)
{
	struct creation c = {.cred = cred, .mode = (mode & 07777) | S_IFDIR};

	return create(fs, parent, name, &c, out);
}

int fs_symlink(struct fs *fs, const struct fs_cred *cred, uint64_t parent,
	       const char *name, const char *target, struct fs_attr *out)
{
	struct creation c = {.cred = cred, .mode = S_IFLNK | 0777};
	size_t len = strnlen(target, FS_SYMLINK_MAX + 1);

	if (len == 0)
		return -ENOENT;
	if (len > FS_SYMLINK_MAX)
		return -ENAMETOOLONG;
	c.target = lsm_slice(target, len);
	return create(fs, parent, name, &c, out);
}

int fs_readlink(struct fs *fs, uint64_t ino, char *buf, size_t size)
{
	struct lsm_pin pin = {0};
	struct inode *inode;
	bool symlink;
	struct key k;
	int r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	r = inode_rdlock(inode);
	if (r)
		goto out;
	symlink = S_ISLNK(inode->rec.mode);
	inode_rdunlock(inode);
	if (!symlink) {
		r = -EINVAL;
		goto out;
	}
	r = lsm_get(fs->db, NULL, key_ino(&k, ino, KEY_SYMLINK), &pin);
	if (r == LSM_NOTFOUND ||
	    (r == 0 && (pin.len == 0 || pin.len > FS_SYMLINK_MAX ||
			memchr(pin.data, 0, pin.len)))) {
		fs_log(fs, LSM_LOG_ERROR,
		       "inode %llu: the symbolic link's target is missing or "
		       "damaged",
		       (unsigned long long)ino);
		r = -EUCLEAN;
	}
	if (r == 0 && pin.len >= size)
		r = -ENAMETOOLONG;
	if (r == 0) {
		memcpy(buf, pin.data, pin.len);
		buf[pin.len] = '\0';
	}
	lsm_unpin(&pin);
	if (r == 0)
		inode_touch_atime(fs, inode);
out:
	inode_put(fs, inode);
	return r;
}
