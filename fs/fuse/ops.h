/* SPDX-License-Identifier: MIT */
/*
 * ops.h - the FUSE operations, by file: what has names (ops_name.c), inodes
 * (ops_inode.c), data (ops_data.c), directories (ops_dir.c), extended
 * attributes (ops_xattr.c). Each is one request, translated into a call of
 * fs.h and answered; any worker thread.
 */
#ifndef FS_FUSE_OPS_H
#define FS_FUSE_OPS_H

#include "fs/fuse/killpriv.h"
#include "fs/fuse/reply.h"

void ops_add_name(struct fuse_lowlevel_ops *ops);
void ops_add_inode(struct fuse_lowlevel_ops *ops);
void ops_add_data(struct fuse_lowlevel_ops *ops);
void ops_add_dir(struct fuse_lowlevel_ops *ops);
void ops_add_xattr(struct fuse_lowlevel_ops *ops);

/* Who asks. CAP_FSETID is taken as root's; where the kernel says more, the
 * operations ask killpriv_of_request(). */
static inline struct fs_cred ops_cred(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct fs_cred cred = {
		.uid = ctx->uid,
		.gid = ctx->gid,
		.umask = ctx->umask,
		.fsetid = ctx->uid == 0,
	};

	return cred;
}

/* How the kernel is to treat a file that it opens. */
void ops_fill_open(fuse_req_t req, struct fuse_file_info *fi);

#endif
