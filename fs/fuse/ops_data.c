/* SPDX-License-Identifier: MIT */
/*
 * ops_data.c - file contents.
 *
 * There are no open files here: the kernel keeps them, and asks by inode. That
 * is why a read never fails for a file opened for writing only; under the
 * writeback cache the kernel has to read the rest of a page that is written in
 * part. O_APPEND needs nothing either: the kernel, being the only client, knows
 * the size.
 *
 * FLUSH is not implemented: the kernel writes its dirty pages on close without
 * it, and locks are its own business.
 */
#include <errno.h>
#include <string.h>

#include "fs/fuse/ops.h"

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);

	(void)ino;
	if (d->no_open) {
		fuse_reply_err(req, ENOSYS); /* and never ask again */
		return;
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	void *buf = reply_buffer(size);
	ssize_t n = -ENOMEM;

	(void)fi;
	if (buf)
		n = fs_read(daemon_of(req)->fs, ino, buf, size,
			    (uint64_t)offset);
	reply_data(req, n, buf);
}

/*
 * Pages that the kernel writes back were cleared of setuid when they were
 * dirtied, and their writer is unknown by now; who asks is meaningful for a
 * direct write only.
 */
static bool kills_priv(fuse_req_t req, const struct fuse_file_info *fi)
{
	switch (killpriv_of_request()) {
	case KILLPRIV_YES:
		return true;
	case KILLPRIV_NO:
		return false;
	default:
		return !fi->writepage && fuse_req_ctx(req)->uid != 0;
	}
}

/* True when the file has bits that a write by others clears. The kernel marks
 * any direct write of a caller without CAP_FSETID. */
static bool has_priv(struct fs *fs, fuse_ino_t ino)
{
	struct fs_attr attr;

	return !fs_getattr(fs, ino, &attr) &&
	       (attr.st.st_mode & (S_ISUID | S_ISGID));
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);
	bool clears = false;
	unsigned flags = 0;
	ssize_t n;

	if (kills_priv(req, fi)) {
		flags |= FS_WRITE_KILL_PRIV;
		clears = has_priv(d->fs, ino);
	}
	/* The kernel sends the times itself, by SETATTR, when it keeps them. */
	if (d->writeback)
		flags |= FS_WRITE_NO_TIMES;
	n = fs_write(d->fs, ino, buf, size, (uint64_t)offset, flags);
	/* The kernel would go on with the mode it has: the reply to a write has
	 * no attributes. It drops them before the writer goes on. */
	if (clears && n >= 0)
		fuse_lowlevel_notify_inval_inode(d->session, ino, -1, 0);
	reply_written(req, n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	(void)fi;
	reply_result(req, fs_fsync(daemon_of(req)->fs, ino, datasync));
}

void ops_add_data(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
}
