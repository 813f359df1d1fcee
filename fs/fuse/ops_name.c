/* SPDX-License-Identifier: MIT */
/*
 * ops_name.c - operations on names: lookup, create, link, rename, unlink.
 *
 * The kernel has checked permissions and the types of what it knows; the
 * length of a name it has not, it allows 1,024 bytes.
 */
#include <errno.h>
#include <string.h>

#include "fs/fuse/ops.h"

static int check_name(const char *name)
{
	size_t len = strlen(name);

	if (len > FS_NAME_MAX)
		return -ENAMETOOLONG;
	return len ? 0 : -EINVAL;
}

/* The end of an operation that made an entry: with -o dirsync it becomes
 * durable, or the entry is not counted. */
static int settle(fuse_req_t req, fuse_ino_t parent, int ret,
		  const struct fs_attr *attr)
{
	int sync;

	if (ret)
		return ret;
	sync = reply_dirsync(req, parent, 0);
	if (sync)
		fs_forget(daemon_of(req)->fs, attr->st.st_ino, 1);
	return sync;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_attr attr;
	int ret = check_name(name);

	if (!ret)
		ret = fs_lookup(fs, parent, name, &attr);
	if (ret == -ENOENT) {
		/* An entry without an inode: the kernel may keep that too. */
		struct fuse_entry_param none = {
			.entry_timeout = REPLY_FOREVER,
		};

		fuse_reply_entry(req, &none);
		return;
	}
	reply_entry(req, ret, &attr);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t rdev)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_cred cred = ops_cred(req);
	struct fs_attr attr;
	int ret = check_name(name);

	if (!ret)
		ret = fs_mknod(fs, &cred, parent, name, mode, rdev, &attr);
	ret = settle(req, parent, ret, &attr);
	reply_entry(req, ret, &attr);
}

/*
 * The kernel sends CREATE only for a name it knows to be missing, and holds
 * the directory's lock. A name that is there all the same is opened, as open(2)
 * says.
 */
static int open_existing(fuse_req_t req, fuse_ino_t parent, const char *name,
			 int flags, struct fs_attr *attr)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_cred cred = ops_cred(req);
	struct fs_attr size = {0};
	unsigned set = FS_SET_SIZE;
	int ret;

	if (flags & O_EXCL)
		return -EEXIST;
	ret = fs_lookup(fs, parent, name, attr);
	if (ret || !(flags & O_TRUNC))
		return ret;
	if (!S_ISREG(attr->st.st_mode)) {
		ret = S_ISDIR(attr->st.st_mode) ? -EISDIR : -ESTALE;
	} else {
		if (killpriv_of_request() == KILLPRIV_YES ||
		    (killpriv_of_request() == KILLPRIV_UNKNOWN && cred.uid))
			set |= FS_SET_KILL_PRIV;
		ret = fs_setattr(fs, &cred, attr->st.st_ino, &size, set, attr);
	}
	if (ret)
		fs_forget(fs, attr->st.st_ino, 1);
	return ret;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_cred cred = ops_cred(req);
	struct fs_attr attr;
	int ret = check_name(name);

	if (!ret)
		ret = fs_mknod(fs, &cred, parent, name,
			       S_IFREG | (mode & ~(mode_t)S_IFMT), 0, &attr);
	if (ret == -EEXIST)
		ret = open_existing(req, parent, name, fi->flags, &attr);
	ret = settle(req, parent, ret, &attr);
	ops_fill_open(req, fi);
	reply_create(req, ret, &attr, fi);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_cred cred = ops_cred(req);
	struct fs_attr attr;
	int ret = check_name(name);

	if (!ret)
		ret = fs_mkdir(fs, &cred, parent, name, mode, &attr);
	ret = settle(req, parent, ret, &attr);
	reply_entry(req, ret, &attr);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_cred cred = ops_cred(req);
	struct fs_attr attr;
	int ret = check_name(name);

	if (!ret && strlen(target) > FS_SYMLINK_MAX)
		ret = -ENAMETOOLONG;
	if (!ret)
		ret = fs_symlink(fs, &cred, parent, name, target, &attr);
	ret = settle(req, parent, ret, &attr);
	reply_entry(req, ret, &attr);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
		    const char *name)
{
	struct fs *fs = daemon_of(req)->fs;
	struct fs_attr attr;
	int ret = check_name(name);

	if (!ret)
		ret = fs_link(fs, ino, parent, name, &attr);
	ret = settle(req, parent, ret, &attr);
	reply_entry(req, ret, &attr);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int ret = check_name(name);

	if (!ret)
		ret = fs_unlink(daemon_of(req)->fs, parent, name);
	reply_result(req, reply_dirsync(req, parent, ret));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int ret = check_name(name);

	if (!ret)
		ret = fs_rmdir(daemon_of(req)->fs, parent, name);
	reply_result(req, reply_dirsync(req, parent, ret));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name,
		      unsigned flags)
{
	struct fs_cred cred = ops_cred(req);
	int ret = check_name(name);

	if (!ret)
		ret = check_name(new_name);
	if (!ret)
		ret = fs_rename(daemon_of(req)->fs, &cred, parent, name,
				new_parent, new_name, flags);
	reply_result(req, reply_dirsync(req, new_parent, ret));
}

void ops_add_name(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->mknod = op_mknod;
	ops->create = op_create;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
