/* SPDX-License-Identifier: MIT */
/*
 * ops_data.c - file contents.
 *
 * There are no open files here, also where OPEN is answered: the kernel keeps
 * them, and asks by inode. That
 * is why a read never fails for a file opened for writing only; under the
 * writeback cache the kernel has to read the rest of a page that is written in
 * part. O_APPEND needs nothing either: the kernel, being the only client, knows
 * the size.
 *
 * FLUSH has no handler on purpose: libfuse answers ENOSYS once, and the kernel
 * never asks again. It writes its dirty pages on close without that, and locks
 * are its own business.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/fuse/dirty.h"
#include "fs/fuse/ops.h"
#include "fs/fuse/seek.h"
#include "lsm/base/sync.h"

/* A request that copies looks after so much whether it was interrupted, and
 * ends when it has taken so long. */
#define COPY_STEP_BYTES ((size_t)64 << 20)
#define COPY_NS_MAX     ((uint64_t)500000000)

/* Pages of the file that others have cached are written back before a direct
 * write and dropped behind it, as without the flags. */
void ops_fill_open(fuse_req_t req, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	if (!daemon_of(req)->options->parallel_direct ||
	    !(fi->flags & O_DIRECT))
		return;
	fi->direct_io = 1;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
	fi->parallel_direct_writes = 1;
#else
	killpriv_parallel_writes();
#endif
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);

	(void)ino;
	if (d->no_open) {
		fuse_reply_err(req, ENOSYS); /* and never ask again */
		return;
	}
	ops_fill_open(req, fi);
	fuse_reply_open(req, fi);
}

/* What no version of the kernel asks for so far. */
static void read_copying(fuse_req_t req, fuse_ino_t ino, size_t size,
			 off_t offset)
{
	void *buf = reply_buffer(size);
	ssize_t n = -ENOMEM;

	if (buf)
		n = fs_read(daemon_of(req)->fs, ino, buf, size,
			    (uint64_t)offset);
	reply_data(req, n, buf);
}

/*
 * Whether the kernel reads pages for its cache. Those it clears where a reply
 * is short, and takes that for a hole, and not for the end of the file, under
 * the writeback cache. To a direct read a short reply is a short read; such a
 * one names its owner, also where it is the kernel's own (a target of SCSI) and
 * the file was opened without O_DIRECT.
 */
static bool fills_pages(const struct daemon *d, const struct fuse_file_info *fi)
{
	return d->writeback && !(fi->flags & O_DIRECT) && !fi->lock_owner;
}

/* The kernel copies straight from the engine's memory into its pages, which it
 * keeps but for O_DIRECT. */
static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);
	bool kept = !(fi->flags & O_DIRECT);
	struct fs_pieces pieces;
	ssize_t n;

	if (size > FS_PIECES_BYTES_MAX) {
		read_copying(req, ino, size, offset);
		return;
	}
	n = fs_read_pieces(d->fs, ino, size, (uint64_t)offset, kept, &pieces);
	if (n > 0 && fills_pages(d, fi))
		n -= (ssize_t)fs_pieces_drop_hole(&pieces);
	reply_pieces(req, n, &pieces);
	fs_pieces_release(&pieces);
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
	if (fi->writepage)
		dirty_wrote(size);
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
	dirty_synced();
	reply_result(req, fs_fsync(daemon_of(req)->fs, ino, datasync));
}

/* A request that changes data and carries no mark: Linux clears the bits unless
 * the caller has CAP_FSETID, which is taken as root's. */
static unsigned unmarked_flags(fuse_req_t req, fuse_ino_t ino, bool *clears)
{
	*clears = false;
	if (fuse_req_ctx(req)->uid == 0)
		return 0;
	*clears = has_priv(daemon_of(req)->fs, ino);
	return FS_WRITE_KILL_PRIV;
}

/* Around it the kernel writes back what is dirty in the range of a hole, and
 * drops the pages and the attributes. */
static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);
	bool clears;
	unsigned flags = unmarked_flags(req, ino, &clears);
	int r;

	(void)fi;
	if (d->writeback)
		flags |= FS_WRITE_NO_TIMES;
	r = fs_fallocate(d->fs, ino, mode, (uint64_t)offset, (uint64_t)length,
			 flags);
	if (clears && r == 0)
		fuse_lowlevel_notify_inval_inode(d->session, ino, -1, 0);
	reply_result(req, r);
}

/* A long copy is cut, so that it can be interrupted; the callers of
 * copy_file_range(2) go on by themselves. */
static ssize_t copy_range(fuse_req_t req, uint64_t src, uint64_t src_offset,
			  uint64_t dst, uint64_t dst_offset, size_t size,
			  unsigned flags)
{
	struct fs *fs = daemon_of(req)->fs;
	uint64_t end = clock_ns() + COPY_NS_MAX;
	size_t done = 0;

	for (;;) {
		size_t step = size - done;
		ssize_t n;

		if (step > COPY_STEP_BYTES)
			step = COPY_STEP_BYTES;
		n = fs_copy_file_range(fs, src, src_offset + done, dst,
				       dst_offset + done, step, flags);
		if (n <= 0)
			return done ? (ssize_t)done : n;
		done += (size_t)n;
		if (done == size || fuse_req_interrupted(req) ||
		    clock_ns() > end)
			return (ssize_t)done;
	}
}

/* Before it the kernel writes back what is dirty in both ranges, after it drops
 * the pages of the copy. */
static void op_copy(fuse_req_t req, fuse_ino_t src, off_t src_offset,
		    struct fuse_file_info *src_fi, fuse_ino_t dst,
		    off_t dst_offset, struct fuse_file_info *dst_fi,
		    size_t size, int flags)
{
	struct daemon *d = daemon_of(req);
	bool clears;
	unsigned write_flags = unmarked_flags(req, dst, &clears);
	ssize_t n = -EINVAL;

	(void)src_fi;
	(void)dst_fi;
	/* The kernel keeps the times, as for a write. */
	if (d->writeback)
		write_flags |= FS_WRITE_NO_TIMES;
	if (!flags)
		n = copy_range(req, src, (uint64_t)src_offset, dst,
			       (uint64_t)dst_offset, size, write_flags);
	if (clears && n >= 0)
		fuse_lowlevel_notify_inval_inode(d->session, dst, -1, 0);
	reply_written(req, n);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	(void)fi;
	seek_request(req, ino, (uint64_t)offset, whence);
}

void ops_add_data(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->copy_file_range = op_copy;
	ops->lseek = op_lseek;
}
