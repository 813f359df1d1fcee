/* SPDX-License-Identifier: MIT */
/*
 * ops_inode.c - operations on inodes: attributes, symbolic links, forgetting,
 * and the filesystem as a whole.
 */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/fuse/conn.h"
#include "fs/fuse/ops.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct daemon *d = userdata;

	conn_init(d, conn);
	d->ready(d);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	fs_forget(daemon_of(req)->fs, ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	struct fs *fs = daemon_of(req)->fs;
	size_t i;

	for (i = 0; i < count; i++)
		fs_forget(fs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct fs_attr attr;
	int ret;

	(void)fi;
	ret = fs_getattr(daemon_of(req)->fs, ino, &attr);
	reply_attr(req, ret, &attr);
}

/*
 * Linux clears setuid and setgid on every chown, whoever asks, and on a
 * truncate by callers without CAP_FSETID; the kernel marks the latter. A mode
 * given in the same call is the caller's wish and stays.
 */
static bool kills_priv(const struct fs_cred *cred, int to_set)
{
	if (to_set & FUSE_SET_ATTR_MODE)
		return false;
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		return true;
	switch (killpriv_of_request()) {
	case KILLPRIV_YES:
		return true;
	case KILLPRIV_NO:
		return false;
	default:
		return (to_set & FUSE_SET_ATTR_SIZE) && !cred->fsetid;
	}
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st,
		       int to_set, struct fuse_file_info *fi)
{
	static const struct {
		int fuse;
		unsigned fs;
	} map[] = {
		{FUSE_SET_ATTR_MODE, FS_SET_MODE},
		{FUSE_SET_ATTR_UID, FS_SET_UID},
		{FUSE_SET_ATTR_GID, FS_SET_GID},
		{FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
		{FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
		{FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
		{FUSE_SET_ATTR_CTIME, FS_SET_CTIME},
		{FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
		{FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
	};
	struct fs_cred cred = ops_cred(req);
	struct fs_attr in = {0}, out;
	unsigned set = 0;
	size_t i;
	int ret;

	(void)fi;
	for (i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (to_set & map[i].fuse)
			set |= map[i].fs;
	if (kills_priv(&cred, to_set))
		set |= FS_SET_KILL_PRIV;
	in.st = *st;
	ret = fs_setattr(daemon_of(req)->fs, &cred, ino, &in, set, &out);
	reply_attr(req, ret, &out);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[FS_SYMLINK_MAX + 1];
	int ret = fs_readlink(daemon_of(req)->fs, ino, target, sizeof(target));

	if (ret)
		reply_result(req, ret);
	else
		fuse_reply_readlink(req, target);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs_statfs s;
	struct statvfs st = {0};
	int ret = fs_statfs(daemon_of(req)->fs, &s);

	(void)ino;
	if (ret) {
		reply_result(req, ret);
		return;
	}
	st.f_bsize = s.block_bytes;
	st.f_frsize = s.block_bytes;
	st.f_blocks = s.blocks;
	st.f_bfree = s.blocks_free;
	st.f_bavail = s.blocks_free;
	st.f_files = s.inodes;
	st.f_ffree = s.inodes_free;
	st.f_favail = s.inodes_free;
	st.f_namemax = FS_NAME_MAX;
	fuse_reply_statfs(req, &st);
}

void ops_add_inode(struct fuse_lowlevel_ops *ops)
{
	ops->init = op_init;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->statfs = op_statfs;
}
