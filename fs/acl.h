/* SPDX-License-Identifier: MIT */
/*
 * acl.h - POSIX access control lists as the kernel hands them over: a header
 * with version 2, then entries { tag16 perm16 id32 }, little-endian, in the
 * order owner, users, group, groups, mask, other. They are stored as extended
 * attributes in just these bytes. The semantics are those of POSIX 1003.1e
 * draft 17 and acl(5).
 */
#ifndef FS_ACL_H
#define FS_ACL_H

#include "fs/inode_cache.h"
#include "fs/txn.h"

#define ACL_ACCESS_NAME  "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"
#define ACL_BYTES_MAX    (4 + 8 * 1024)

/* A list that can be stored: 0, -EINVAL, or -EOPNOTSUPP (another version). */
int acl_check(const void *acl, size_t size);
/* The nine permission bits that a valid list means, in *mode's place; returns
 * whether the list says nothing beyond them. */
bool acl_to_mode(const void *acl, size_t size, uint32_t *mode);
/* Changes a valid access list so that it fits mode (chmod). */
void acl_set_mode(void *acl, size_t size, uint32_t mode);
/* Changes a copy of a default list into the access list of a new file that
 * asked for *mode, and *mode into what results. Returns whether the list says
 * nothing beyond the mode. */
bool acl_inherit(void *acl, size_t size, uint32_t *mode);

/* rec's mode was changed by chmod: its access list follows. */
int txn_acl_chmod(struct txn *t, uint64_t ino, const struct inode_rec *rec);
/* What a new inode gets from dir's default list, or else the umask. */
int txn_acl_inherit(struct txn *t, const struct inode *dir, uint64_t ino,
		    mode_t umask, struct inode_rec *rec);

#endif
