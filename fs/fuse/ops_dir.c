/* SPDX-License-Identifier: MIT */
/*
 * ops_dir.c - reading directories.
 *
 * The offset the kernel gives is the cookie of the last entry it has, 0 at the
 * start. There are no open directories, as there are no open files.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

#include "fs/fuse/ops.h"

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct daemon *d = daemon_of(req);

	(void)ino;
	if (d->no_opendir) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->keep_cache = 1;
	fi->cache_readdir = 1;
	fuse_reply_open(req, fi);
}

struct listing {
	fuse_req_t req;
	char *buf;
	size_t size, used;
};

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int fill_plain(void *arg, const char *name, uint64_t ino, mode_t type,
		      uint64_t cookie, const struct fs_attr *attr)
{
	struct listing *l = arg;
	struct stat st = {.st_ino = ino, .st_mode = type};
	size_t n;

	(void)attr;
	n = fuse_add_direntry(l->req, l->buf + l->used, l->size - l->used, name,
			      &st, (off_t)cookie);
	if (n > l->size - l->used)
		return 1;
	l->used += n;
	return 0;
}

/* "." and ".." are not counted, so the kernel must not take them as found: an
 * entry without a node is only listed. */
static int fill_plus(void *arg, const char *name, uint64_t ino, mode_t type,
		     uint64_t cookie, const struct fs_attr *attr)
{
	struct listing *l = arg;
	struct fuse_entry_param e;
	size_t n;

	if (attr && !is_dot(name)) {
		reply_fill_entry(attr, &e);
	} else {
		memset(&e, 0, sizeof(e));
		e.attr.st_ino = ino;
		e.attr.st_mode = type;
	}
	n = fuse_add_direntry_plus(l->req, l->buf + l->used, l->size - l->used,
				   name, &e, (off_t)cookie);
	if (n > l->size - l->used)
		return 1;
	l->used += n;
	return 0;
}

/* The kernel did not take the listing: neither did it count. */
static void forget_listing(struct fs *fs, const struct listing *l)
{
	size_t at = 0;

	while (at + FUSE_NAME_OFFSET_DIRENTPLUS < l->used) {
		const struct fuse_direntplus *d = (const void *)(l->buf + at);

		if (d->entry_out.nodeid)
			fs_forget(fs, d->entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(d);
	}
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 bool plus)
{
	struct fs *fs = daemon_of(req)->fs;
	struct listing l = {
		.req = req, .buf = reply_buffer(size), .size = size};
	int ret = -ENOMEM;

	if (l.buf)
		ret = fs_readdir(fs, ino, (uint64_t)offset, plus,
				 plus ? fill_plus : fill_plain, &l);
	/* What was found before an error is delivered; the next call meets
	 * the error again. */
	if (ret && !l.used)
		reply_result(req, ret);
	else if (fuse_reply_buf(req, l.buf, l.used) && plus)
		forget_listing(fs, &l);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	(void)fi;
	(void)datasync; /* a directory's entries are its data */
	reply_result(req, fs_fsync(daemon_of(req)->fs, ino, false));
}

void ops_add_dir(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
