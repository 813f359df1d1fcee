/* SPDX-License-Identifier: MIT */
/*
 * dir.c - entries and lookup. Any thread.
 */
#include "fs/dir.h"

#include <errno.h>

#include "fs/fs_impl.h"

int dir_find(struct fs *fs, uint64_t dir, struct lsm_slice name,
	     struct entry_rec *out)
{
	struct lsm_pin pin = {0};
	struct key k;
	int r = lsm_get(fs->db, NULL, key_name(&k, dir, KEY_ENTRY_NAME, name),
			&pin);

	if (r == 0) {
		r = entry_name_decode(lsm_slice(pin.data, pin.len), out);
		if (r)
			fs_log(fs, LSM_LOG_ERROR,
			       "directory %llu: bad record of entry '%.*s'",
			       (unsigned long long)dir, (int)name.len,
			       (const char *)name.data);
	}
	lsm_unpin(&pin);
	return r;
}

void txn_put_entry(struct txn *t, uint64_t dir, struct lsm_slice name,
		   const struct entry_rec *entry)
{
	struct entry_rec e = *entry;
	uint8_t v[RECORD_MAX];
	struct key k;

	e.name = name;
	txn_put(t, key_name(&k, dir, KEY_ENTRY_NAME, name),
		lsm_slice(v, entry_name_encode(&e, v)));
	txn_put(t, key_cookie(&k, dir, e.cookie),
		lsm_slice(v, entry_cookie_encode(&e, v)));
}

void txn_delete_entry(struct txn *t, uint64_t dir, struct lsm_slice name,
		      uint64_t cookie)
{
	struct key k;

	txn_delete(t, key_name(&k, dir, KEY_ENTRY_NAME, name));
	txn_delete(t, key_cookie(&k, dir, cookie));
}

int entry_inode(struct fs *fs, uint64_t dir, const struct entry_rec *entry,
		struct inode **out)
{
	int r = inode_get(fs, entry->ino, out);

	if (r == -ESTALE) {
		fs_log(fs, LSM_LOG_ERROR,
		       "directory %llu: an entry names inode %llu, which does "
		       "not exist",
		       (unsigned long long)dir, (unsigned long long)entry->ino);
		r = -EUCLEAN;
	}
	return r;
}

/* The inode that name means, referenced and with one lookup more. */
static int lookup_locked(struct fs *fs, struct inode *dir,
			 struct lsm_slice name, struct inode **out)
{
	struct entry_rec entry;
	int r;

	if (!S_ISDIR(dir->rec.mode))
		return -ENOTDIR;
	if (name_is_dot(name)) {
		entry.ino = name.len == 1 ? dir->ino : dir->rec.parent;
	} else {
		r = dir_find(fs, dir->ino, name, &entry);
		if (r)
			return r == LSM_NOTFOUND ? -ENOENT : r;
	}
	r = entry_inode(fs, dir->ino, &entry, out);
	if (r == 0)
		/* Under the directory's lock, so that an unlink from now on
		 * knows that the inode is known. */
		inode_lookup_add(fs, *out, 1);
	return r;
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name,
	      struct fs_attr *out)
{
	struct inode *dir, *inode = NULL;
	struct lsm_slice n;
	int r = name_check(name, &n);

	if (r)
		return r == -EINVAL ? -ENOENT : r;
	r = inode_get(fs, parent, &dir);
	if (r)
		return r;
	r = inode_rdlock(dir);
	if (r == 0) {
		r = lookup_locked(fs, dir, n, &inode);
		inode_rdunlock(dir);
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
