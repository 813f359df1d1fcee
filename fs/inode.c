/* SPDX-License-Identifier: MIT */
/*
 * inode.c - attributes: getattr, setattr, forget, access times, and numbers
 * for new inodes. Any thread.
 */
#include <errno.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/data.h"
#include "fs/fs_impl.h"
#include "fs/recount.h"

/* st_size of a directory: something that grows with it. */
#define DIRECTORY_ENTRY_BYTES 32
#define INO_RESERVE           4096
#define RELATIME_SECONDS      86400

void inode_fill_attr(struct fs *fs, const struct inode *inode,
		     struct fs_attr *out)
{
	const struct inode_rec *r = &inode->rec;
	const struct uncounted *u = inode->uncounted;
	uint64_t blocks = r->blocks;

	if (u && u->known)
		blocks -= u->gone < blocks ? u->gone : blocks;
	memset(out, 0, sizeof(*out));
	out->st.st_ino = inode->ino;
	out->st.st_mode = r->mode;
	out->st.st_nlink = r->nlink;
	out->st.st_uid = r->uid;
	out->st.st_gid = r->gid;
	out->st.st_rdev = r->rdev;
	out->st.st_size =
		(off_t)(S_ISDIR(r->mode) ? r->entries * DIRECTORY_ENTRY_BYTES
					 : r->size);
	out->st.st_blksize = fs->block_bytes;
	out->st.st_blocks = (blkcnt_t)(blocks * fs->units_per_block);
	out->st.st_atim = r->atime;
	out->st.st_mtim = r->mtime;
	out->st.st_ctim = r->ctime;
	out->blocks_to_come = u && !u->known;
	out->btime = r->btime;
	out->generation = r->generation;
}

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out)
{
	struct inode *inode;
	int r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	r = inode_rdlock(inode);
	if (r == 0) {
		inode_fill_attr(fs, inode, out);
		inode_rdunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}

void fs_forget(struct fs *fs, uint64_t ino, uint64_t count)
{
	struct inode *inode;

	if (ino == FS_ROOT_INO || count == 0)
		return;
	inode = inode_find(fs, ino);
	if (!inode)
		return;
	inode_lookup_sub(fs, inode, count);
	inode_put(fs, inode);
}

/* ---- setattr ---- */

#define SET_TIMES                                                        \
	(FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME | FS_SET_ATIME_NOW | \
	 FS_SET_MTIME_NOW)

static bool time_valid(struct timespec t)
{
	return t.tv_nsec >= 0 && t.tv_nsec < 1000000000;
}

static int setattr_check(const struct inode_rec *rec, const struct fs_attr *in,
			 unsigned set)
{
	if (set & FS_SET_SIZE) {
		if (S_ISDIR(rec->mode))
			return -EISDIR;
		if (!S_ISREG(rec->mode) || in->st.st_size < 0)
			return -EINVAL;
		if ((uint64_t)in->st.st_size > FS_FILE_BYTES_MAX)
			return -EFBIG;
	}
	if (((set & FS_SET_ATIME) && !time_valid(in->st.st_atim)) ||
	    ((set & FS_SET_MTIME) && !time_valid(in->st.st_mtim)) ||
	    ((set & FS_SET_CTIME) && !time_valid(in->st.st_ctim)))
		return -EINVAL;
	return 0;
}

void inode_kill_priv(struct txn *t, uint64_t ino, struct inode_rec *rec)
{
	struct key k;

	if (S_ISDIR(rec->mode))
		return;
	rec->mode &= ~(uint32_t)S_ISUID;
	/* Without group execution the bit once meant mandatory locking. */
	if (rec->mode & S_IXGRP)
		rec->mode &= ~(uint32_t)S_ISGID;
	if (rec->flags & INODE_CAPABILITY) {
		txn_delete(t, key_name(&k, ino, KEY_XATTR,
				       lsm_slice("security.capability", 19)));
		rec->flags &= ~(uint32_t)INODE_CAPABILITY;
	}
}

/* n is as old, but for the times. A truncation to the size that the file has
 * changes none, as POSIX says; the kernel, which keeps the times, does the
 * same. */
static void setattr_times(const struct inode_rec *old, struct inode_rec *n,
			  const struct fs_attr *in, unsigned set)
{
	struct timespec now = time_now();
	bool resized = set & FS_SET_SIZE && n->size != old->size;
	bool nothing = !(set & ~(unsigned)(FS_SET_SIZE | FS_SET_KILL_PRIV)) &&
		       !resized && n->mode == old->mode;

	if (set & FS_SET_ATIME)
		n->atime = in->st.st_atim;
	if (set & FS_SET_ATIME_NOW)
		n->atime = now;
	if (resized)
		n->mtime = now;
	if (set & FS_SET_MTIME)
		n->mtime = in->st.st_mtim;
	if (set & FS_SET_MTIME_NOW)
		n->mtime = now;
	if (set & FS_SET_CTIME)
		n->ctime = in->st.st_ctim;
	else if (!nothing)
		n->ctime = now;
}

static int setattr_locked(struct fs *fs, struct inode *inode,
			  const struct fs_attr *in, unsigned set)
{
	struct inode_rec n = inode->rec;
	uint64_t alloc_end = inode->alloc_end;
	struct block_range later = {0};
	struct txn t;
	int r = setattr_check(&n, in, set);

	if (r == 0)
		r = txn_begin(&t, fs);
	if (r)
		return r;
	/* The kernel sends the times of what it has just unlinked; without a
	 * name there is nothing to survive a restart. */
	if (n.nlink == 0 && !(set & ~(unsigned)SET_TIMES)) {
		setattr_times(&n, &inode->rec, in, set);
		return 0;
	}
	if (set & FS_SET_UID)
		n.uid = in->st.st_uid;
	if (set & FS_SET_GID)
		n.gid = in->st.st_gid;
	if (set & (FS_SET_UID | FS_SET_GID | FS_SET_KILL_PRIV))
		inode_kill_priv(&t, inode->ino, &n);
	if (set & FS_SET_MODE) {
		n.mode = (n.mode & S_IFMT) | (in->st.st_mode & 07777);
		r = txn_acl_chmod(&t, inode->ino, &n);
		if (r)
			return r;
	}
	if (set & FS_SET_SIZE) {
		r = txn_truncate(&t, inode, &n, (uint64_t)in->st.st_size,
				 &alloc_end, &later);
		if (r)
			return r;
	}
	setattr_times(&inode->rec, &n, in, set);
	txn_put_inode(&t, inode->ino, &n);
	r = recount_commit(&t, inode, later.from, later.to);
	if (r)
		return r;
	inode->rec = n;
	inode->alloc_end = alloc_end;
	inode->dirty = false;
	return 0;
}

int fs_setattr(struct fs *fs, const struct fs_cred *cred, uint64_t ino,
	       const struct fs_attr *in, unsigned set, struct fs_attr *out)
{
	struct inode *inode;
	int r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	/* The kernel sets the times within punching holes. */
	r = set & FS_SET_SIZE ? inode_wrlock(inode)
			      : inode_wrlock_uncounted(inode);
	if (r == 0) {
		if (set)
			r = setattr_locked(fs, inode, in, set);
		if (r == 0 && out)
			inode_fill_attr(fs, inode, out);
		inode_wrunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}

/* ---- access times ---- */

static bool time_after(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec
				    : a.tv_nsec > b.tv_nsec;
}

static bool atime_is_due(struct fs *fs, const struct inode_rec *rec,
			 struct timespec now)
{
	if (fs->strictatime)
		return true;
	return !time_after(rec->atime, rec->mtime) ||
	       !time_after(rec->atime, rec->ctime) ||
	       now.tv_sec - rec->atime.tv_sec >= RELATIME_SECONDS;
}

void inode_touch_atime(struct fs *fs, struct inode *inode)
{
	struct timespec now;
	bool due;

	if (fs->noatime || fs->read_only || inode_rdlock(inode))
		return;
	now = time_now();
	due = atime_is_due(fs, &inode->rec, now);
	inode_rdunlock(inode);
	if (!due || inode_wrlock(inode))
		return;
	if (time_after(now, inode->rec.atime)) {
		inode->rec.atime = now;
		inode_mark_dirty(fs, inode);
	}
	inode_wrunlock(inode);
}

/* ---- numbers ---- */

int ino_alloc(struct fs *fs, uint64_t *ino)
{
	int r = 0;

	mutex_lock(&fs->ino_mutex);
	if (fs->ino_next == fs->ino_limit) {
		uint64_t limit = fs->ino_next + INO_RESERVE;
		uint8_t v[RECORD_MAX];
		struct key k;

		if (fs->read_only)
			r = -EROFS;
		else if (limit > INO_MAX)
			r = -ENOSPC;
		else
			r = lsm_put(fs->db,
				    key_global(&k, KEY_GLOBAL_WATERMARK),
				    lsm_slice(v, watermark_encode(limit, v)));
		if (r == 0)
			fs->ino_limit = limit;
	}
	if (r == 0)
		*ino = fs->ino_next++;
	mutex_unlock(&fs->ino_mutex);
	return r;
}
