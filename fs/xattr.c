/* SPDX-License-Identifier: MIT */
/*
 * xattr.c - extended attributes, one key each. The namespaces are those of
 * xattr(7); who may do what in which is the kernel's decision. Any thread.
 *
 * INODE_XATTRS in the inode says that there may be some: an inode without it
 * answers without a lookup, and most have none.
 */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/acl.h"
#include "fs/fs_impl.h"

static bool has_prefix(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 && name[n] != '\0';
}

static int xattr_name(const char *name, struct lsm_slice *out)
{
	size_t len = strnlen(name, FS_XATTR_NAME_MAX + 1);

	if (len == 0 || len > FS_XATTR_NAME_MAX)
		return -ERANGE;
	*out = lsm_slice(name, len);
	if (has_prefix(name, "user.") || has_prefix(name, "trusted.") ||
	    has_prefix(name, "security.") ||
	    strcmp(name, ACL_ACCESS_NAME) == 0 ||
	    strcmp(name, ACL_DEFAULT_NAME) == 0)
		return 0;
	return -EOPNOTSUPP;
}

/* The flag of the attributes that have one of their own. */
static uint32_t xattr_flag(const char *name)
{
	if (strcmp(name, ACL_ACCESS_NAME) == 0)
		return INODE_ACL_ACCESS;
	if (strcmp(name, ACL_DEFAULT_NAME) == 0)
		return INODE_ACL_DEFAULT;
	if (strcmp(name, "security.capability") == 0)
		return INODE_CAPABILITY;
	return 0;
}

/* Whether the record alone says that there is no such attribute. */
static bool surely_absent(const struct inode_rec *rec, const char *name)
{
	uint32_t flag = xattr_flag(name);

	return !(rec->flags & INODE_XATTRS) || (flag && !(rec->flags & flag));
}

static ssize_t getxattr_locked(struct fs *fs, const struct inode *inode,
			       const char *name, struct lsm_slice n, void *buf,
			       size_t size)
{
	struct lsm_pin pin = {0};
	struct key k;
	ssize_t r;

	if (surely_absent(&inode->rec, name))
		return -ENODATA;
	r = lsm_get(fs->db, NULL, key_name(&k, inode->ino, KEY_XATTR, n), &pin);
	if (r == LSM_NOTFOUND) {
		r = -ENODATA;
	} else if (r == 0) {
		r = (ssize_t)pin.len;
		if (size > 0 && pin.len > size)
			r = -ERANGE;
		else if (size > 0 && pin.len > 0)
			memcpy(buf, pin.data, pin.len);
	}
	lsm_unpin(&pin);
	return r;
}

ssize_t fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *buf,
		    size_t size)
{
	struct inode *inode;
	struct lsm_slice n;
	ssize_t r = xattr_name(name, &n);

	if (r == 0)
		r = inode_get(fs, ino, &inode);
	if (r)
		return r;
	r = inode_rdlock(inode);
	if (r == 0) {
		r = getxattr_locked(fs, inode, name, n, buf, size);
		inode_rdunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}

/* 1 or 0, or an error. */
static int xattr_exists(struct fs *fs, const struct inode *inode,
			const char *name, struct lsm_slice n)
{
	ssize_t r = getxattr_locked(fs, inode, name, n, NULL, 0);

	return r == -ENODATA ? 0 : r < 0 ? (int)r : 1;
}

/* An access list sets the mode; one that says no more than the mode is not
 * kept (*keep). */
static int setxattr_acl(const struct fs_cred *cred, struct inode_rec *rec,
			const char *name, const void *value, size_t size,
			bool *keep)
{
	int r = acl_check(value, size);

	if (r)
		return r;
	if (S_ISLNK(rec->mode))
		return -EOPNOTSUPP;
	if (strcmp(name, ACL_DEFAULT_NAME) == 0)
		return S_ISDIR(rec->mode) ? 0 : -EACCES;
	*keep = !acl_to_mode(value, size, &rec->mode);
	/* As chmod by somebody outside the group. */
	if (cred && !cred->fsetid && cred->gid != rec->gid)
		rec->mode &= ~(uint32_t)S_ISGID;
	return 0;
}

static int setxattr_locked(struct fs *fs, const struct fs_cred *cred,
			   struct inode *inode, const char *name,
			   struct lsm_slice n, const void *value, size_t size,
			   int flags)
{
	struct inode_rec rec = inode->rec;
	uint32_t flag = xattr_flag(name);
	bool keep = true;
	struct txn t;
	struct key k;
	int r;

	if (flags) {
		r = xattr_exists(fs, inode, name, n);
		if (r < 0)
			return r;
		if (r && (flags & XATTR_CREATE))
			return -EEXIST;
		if (!r && (flags & XATTR_REPLACE))
			return -ENODATA;
	}
	if (flag & (INODE_ACL_ACCESS | INODE_ACL_DEFAULT)) {
		r = setxattr_acl(cred, &rec, name, value, size, &keep);
		if (r)
			return r;
	}
	r = txn_begin(&t, fs);
	if (r)
		return r;
	if (keep) {
		txn_put(&t, key_name(&k, inode->ino, KEY_XATTR, n),
			lsm_slice(value, size));
		rec.flags |= INODE_XATTRS | flag;
	} else {
		txn_delete(&t, key_name(&k, inode->ino, KEY_XATTR, n));
		rec.flags &= ~flag;
	}
	rec.ctime = time_now();
	txn_put_inode(&t, inode->ino, &rec);
	r = txn_commit(&t);
	if (r == 0) {
		inode->rec = rec;
		inode->dirty = false;
	}
	return r;
}

int fs_setxattr(struct fs *fs, const struct fs_cred *cred, uint64_t ino,
		const char *name, const void *value, size_t size, int flags)
{
	struct inode *inode;
	struct lsm_slice n;
	int r = xattr_name(name, &n);

	if (r)
		return r;
	if (size > FS_XATTR_SIZE_MAX)
		return -E2BIG;
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	r = inode_get(fs, ino, &inode);
	if (r)
		return r;
	r = usage_disk_room(fs, size);
	if (r == 0)
		r = inode_wrlock(inode);
	if (r == 0) {
		r = setxattr_locked(fs, cred, inode, name, n, value, size,
				    flags);
		inode_wrunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}

static int removexattr_locked(struct fs *fs, struct inode *inode,
			      const char *name, struct lsm_slice n)
{
	struct inode_rec rec = inode->rec;
	struct txn t;
	struct key k;
	int r = xattr_exists(fs, inode, name, n);

	if (r < 0)
		return r;
	/* To have no ACL is what was asked for. */
	if (r == 0)
		return xattr_flag(name) & (INODE_ACL_ACCESS | INODE_ACL_DEFAULT)
			       ? 0
			       : -ENODATA;
	r = txn_begin(&t, fs);
	if (r)
		return r;
	txn_delete(&t, key_name(&k, inode->ino, KEY_XATTR, n));
	rec.flags &= ~xattr_flag(name);
	rec.ctime = time_now();
	txn_put_inode(&t, inode->ino, &rec);
	r = txn_commit(&t);
	if (r == 0) {
		inode->rec = rec;
		inode->dirty = false;
	}
	return r;
}

int fs_removexattr(struct fs *fs, const struct fs_cred *cred, uint64_t ino,
		   const char *name)
{
	struct inode *inode;
	struct lsm_slice n;
	int r = xattr_name(name, &n);

	if (r == 0)
		r = inode_get(fs, ino, &inode);
	if (r)
		return r;
	r = inode_wrlock(inode);
	if (r == 0) {
		r = removexattr_locked(fs, inode, name, n);
		inode_wrunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}

static ssize_t listxattr_locked(struct fs *fs, const struct inode *inode,
				char *buf, size_t size)
{
	struct lsm_iter_options o = {0};
	struct lsm_iter *it;
	struct key k, k2;
	size_t len = 0;
	int r;

	if (!(inode->rec.flags & INODE_XATTRS))
		return 0;
	o.lower = key_ino(&k, inode->ino, KEY_XATTR);
	o.upper = key_ino(&k2, inode->ino, KEY_XATTR + 1);
	r = lsm_iter_new(fs->db, &o, &it);
	if (r)
		return r;
	for (r = lsm_iter_first(it); r == 0; r = lsm_iter_next(it)) {
		struct key_parts key;

		r = key_decode(lsm_iter_key(it), &key);
		if (r)
			break;
		if (size > 0) {
			if (key.rest.len + 1 > size - len) {
				r = -ERANGE;
				break;
			}
			memcpy(buf + len, key.rest.data, key.rest.len);
			buf[len + key.rest.len] = '\0';
		}
		len += key.rest.len + 1;
	}
	lsm_iter_free(it);
	return r == LSM_END ? (ssize_t)len : r;
}

ssize_t fs_listxattr(struct fs *fs, uint64_t ino, char *buf, size_t size)
{
	struct inode *inode;
	ssize_t r = inode_get(fs, ino, &inode);

	if (r)
		return r;
	r = inode_rdlock(inode);
	if (r == 0) {
		r = listxattr_locked(fs, inode, buf, size);
		inode_rdunlock(inode);
	}
	inode_put(fs, inode);
	return r;
}
