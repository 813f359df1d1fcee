/* SPDX-License-Identifier: MIT */
/*
 * acl.c - see acl.h. Pure functions on the bytes of a list, and the two places
 * where lists and modes meet. Any thread.
 */
#include "fs/acl.h"

#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

#include "fs/fs_impl.h"
#include "lsm/base/coding.h"

#define ACL_HEADER 4
#define ACL_ENTRY  8

static size_t acl_count(size_t size)
{
	return (size - ACL_HEADER) / ACL_ENTRY;
}

static uint8_t *acl_entry(void *acl, size_t i)
{
	return (uint8_t *)acl + ACL_HEADER + i * ACL_ENTRY;
}

static unsigned entry_tag(const uint8_t *e)
{
	return get_le16(e);
}

static uint32_t entry_perm(const uint8_t *e)
{
	return get_le16(e + 2);
}

static uint32_t entry_id(const uint8_t *e)
{
	return get_le32(e + 4);
}

/* The entry with that tag, or NULL. */
static uint8_t *acl_find(void *acl, size_t size, unsigned tag)
{
	for (size_t i = 0; i < acl_count(size); i++)
		if (entry_tag(acl_entry(acl, i)) == tag)
			return acl_entry(acl, i);
	return NULL;
}

int acl_check(const void *acl, size_t size)
{
	static const unsigned order[] = {ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ,
					 ACL_GROUP,    ACL_MASK, ACL_OTHER};
	unsigned seen[6] = {0}, at = 0;
	uint32_t last_id = 0;

	if (size < ACL_HEADER)
		return -EINVAL;
	if (get_le32(acl) != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	if (size > ACL_BYTES_MAX || (size - ACL_HEADER) % ACL_ENTRY)
		return -EINVAL;
	for (size_t i = 0; i < acl_count(size); i++) {
		const uint8_t *e =
			(const uint8_t *)acl + ACL_HEADER + i * ACL_ENTRY;
		unsigned kind = 0;

		while (kind < 6 && order[kind] != entry_tag(e))
			kind++;
		if (kind == 6 || kind < at || entry_perm(e) > 7)
			return -EINVAL;
		if (order[kind] == ACL_USER || order[kind] == ACL_GROUP) {
			if (entry_id(e) == (uint32_t)ACL_UNDEFINED_ID ||
			    (seen[kind] && entry_id(e) <= last_id))
				return -EINVAL;
			last_id = entry_id(e);
		} else if (seen[kind]) {
			return -EINVAL;
		}
		seen[kind]++;
		at = kind;
	}
	if (!seen[0] || !seen[2] || !seen[5] ||
	    ((seen[1] || seen[3]) && !seen[4]))
		return -EINVAL;
	return 0;
}

bool acl_to_mode(const void *acl, size_t size, uint32_t *mode)
{
	void *a = (void *)(uintptr_t)acl; /* only read here */
	const uint8_t *mask = acl_find(a, size, ACL_MASK);
	uint32_t bits = 0;

	for (size_t i = 0; i < acl_count(size); i++) {
		const uint8_t *e = acl_entry(a, i);

		switch (entry_tag(e)) {
		case ACL_USER_OBJ:
			bits |= entry_perm(e) << 6;
			break;
		case ACL_GROUP_OBJ:
			bits |= (mask ? entry_perm(mask) : entry_perm(e)) << 3;
			break;
		case ACL_OTHER:
			bits |= entry_perm(e);
			break;
		}
	}
	*mode = (*mode & ~(uint32_t)0777) | bits;
	return acl_count(size) == 3;
}

void acl_set_mode(void *acl, size_t size, uint32_t mode)
{
	uint8_t *group = acl_find(acl, size, ACL_MASK);

	/* With a mask the group bits of the mode are the mask. */
	if (!group)
		group = acl_find(acl, size, ACL_GROUP_OBJ);
	put_le16(acl_find(acl, size, ACL_USER_OBJ) + 2, mode >> 6 & 7);
	put_le16(group + 2, mode >> 3 & 7);
	put_le16(acl_find(acl, size, ACL_OTHER) + 2, mode & 7);
}

bool acl_inherit(void *acl, size_t size, uint32_t *mode)
{
	uint8_t *owner = acl_find(acl, size, ACL_USER_OBJ);
	uint8_t *group = acl_find(acl, size, ACL_MASK);
	uint8_t *other = acl_find(acl, size, ACL_OTHER);

	if (!group)
		group = acl_find(acl, size, ACL_GROUP_OBJ);
	/* Both may only take away: the list, and what the creator asked. */
	put_le16(owner + 2, entry_perm(owner) & (*mode >> 6 & 7));
	put_le16(group + 2, entry_perm(group) & (*mode >> 3 & 7));
	put_le16(other + 2, entry_perm(other) & (*mode & 7));
	return acl_to_mode(acl, size, mode);
}

/* Copies a stored list into buf of ACL_BYTES_MAX bytes; its size, or an
 * error. */
static ssize_t acl_read(struct fs *fs, uint64_t ino, const char *name,
			void *buf)
{
	struct lsm_pin pin = {0};
	struct key k;
	ssize_t n;
	int r = lsm_get(
		fs->db, NULL,
		key_name(&k, ino, KEY_XATTR, lsm_slice(name, strlen(name))),
		&pin);

	n = r;
	if (r == 0 && acl_check(pin.data, pin.len) == 0) {
		memcpy(buf, pin.data, pin.len);
		n = (ssize_t)pin.len;
	} else if (r == 0 || r == LSM_NOTFOUND) {
		fs_log(fs, LSM_LOG_ERROR, "inode %llu: %s is %s",
		       (unsigned long long)ino, name,
		       r == 0 ? "damaged" : "missing");
		n = -EUCLEAN;
	}
	lsm_unpin(&pin);
	return n;
}

static void txn_put_acl(struct txn *t, uint64_t ino, const char *name,
			const void *acl, size_t size)
{
	struct key k;

	txn_put(t, key_name(&k, ino, KEY_XATTR, lsm_slice(name, strlen(name))),
		lsm_slice(acl, size));
}

int txn_acl_chmod(struct txn *t, uint64_t ino, const struct inode_rec *rec)
{
	uint8_t acl[ACL_BYTES_MAX];
	ssize_t n;

	if (!(rec->flags & INODE_ACL_ACCESS))
		return 0;
	n = acl_read(t->fs, ino, ACL_ACCESS_NAME, acl);
	if (n < 0)
		return (int)n;
	acl_set_mode(acl, (size_t)n, rec->mode);
	txn_put_acl(t, ino, ACL_ACCESS_NAME, acl, (size_t)n);
	return 0;
}

int txn_acl_inherit(struct txn *t, const struct inode *dir, uint64_t ino,
		    mode_t umask, struct inode_rec *rec)
{
	uint8_t acl[ACL_BYTES_MAX];
	ssize_t n;

	if (S_ISLNK(rec->mode))
		return 0;
	if (!(dir->rec.flags & INODE_ACL_DEFAULT)) {
		rec->mode &= ~(uint32_t)(umask & 0777);
		return 0;
	}
	n = acl_read(t->fs, dir->ino, ACL_DEFAULT_NAME, acl);
	if (n < 0)
		return (int)n;
	if (S_ISDIR(rec->mode)) {
		txn_put_acl(t, ino, ACL_DEFAULT_NAME, acl, (size_t)n);
		rec->flags |= INODE_XATTRS | INODE_ACL_DEFAULT;
	}
	if (!acl_inherit(acl, (size_t)n, &rec->mode)) {
		txn_put_acl(t, ino, ACL_ACCESS_NAME, acl, (size_t)n);
		rec->flags |= INODE_XATTRS | INODE_ACL_ACCESS;
	}
	return 0;
}
