/* SPDX-License-Identifier: MIT */
/* ops_xattr.c - extended attributes, ACLs among them. */
#include <errno.h>
#include <string.h>

#include "fs/fuse/ops.h"

/* Linux's own limit for a list of names. */
#define LIST_BYTES_MAX 65536

static bool is_acl(const char *name)
{
	return !strcmp(name, "system.posix_acl_access");
}

static ssize_t get_written(struct fs *fs, void *buf, size_t size)
{
	char text[FS_WRITTEN_TEXT];
	struct fs_written w;
	size_t len;

	fs_get_written(fs, &w);
	len = (size_t)fs_written_to_text(&w, text);
	if (size && len > size)
		return -ERANGE;
	if (size)
		memcpy(buf, text, len);
	return (ssize_t)len;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			size_t size)
{
	void *buf = NULL;
	ssize_t n;

	if (size > FS_XATTR_SIZE_MAX)
		size = FS_XATTR_SIZE_MAX;
	if (size)
		buf = reply_buffer(size);
	if (size && !buf)
		n = -ENOMEM;
	else if (ino == FS_ROOT_INO && !strcmp(name, FS_XATTR_WRITTEN))
		n = get_written(daemon_of(req)->fs, buf, size);
	else
		n = fs_getxattr(daemon_of(req)->fs, ino, name, buf, size);
	reply_xattr(req, n, buf, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	void *buf = NULL;
	ssize_t n;

	if (size > LIST_BYTES_MAX)
		size = LIST_BYTES_MAX;
	if (size)
		buf = reply_buffer(size);
	if (size && !buf)
		n = -ENOMEM;
	else
		n = fs_listxattr(daemon_of(req)->fs, ino, buf, size);
	reply_xattr(req, n, buf, size);
}

/* An access ACL set by someone outside the file's group clears setgid; the
 * kernel knows the groups and marks it. */
static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	struct fs_cred cred = ops_cred(req);
	int ret;

	if (is_acl(name) && killpriv_of_request() != KILLPRIV_UNKNOWN)
		cred.fsetid = killpriv_of_request() == KILLPRIV_NO;
	if (strlen(name) > FS_XATTR_NAME_MAX)
		ret = -ERANGE;
	else if (size > FS_XATTR_SIZE_MAX)
		ret = -E2BIG;
	else
		ret = fs_setxattr(daemon_of(req)->fs, &cred, ino, name, value,
				  size, flags);
	reply_result(req, ret);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fs_cred cred = ops_cred(req);

	reply_result(req, fs_removexattr(daemon_of(req)->fs, &cred, ino, name));
}

void ops_add_xattr(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
