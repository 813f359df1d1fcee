/* SPDX-License-Identifier: MIT */
/* mountpoint.h - the two paths, and what is mounted. See mountpoint.c. */
#ifndef FS_FUSE_MOUNTPOINT_H
#define FS_FUSE_MOUNTPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct options;

/*
 * Makes store and mount point absolute, and refuses what cannot be mounted:
 * one line on stderr and an exit code. A mount point whose daemon has died is
 * freed first. 0 on success.
 */
int mountpoint_prepare(struct options *o);
/* mount -o remount: the flags of the mount change, the daemon stays. An exit
 * code; one line on stderr when it is not 0. */
int mountpoint_remount(struct options *o);

struct mountpoint_info {
	unsigned major, minor; /* of st_dev of the files in it */
	char type[64];
	char source[4096];
};
/* What is mounted on the absolute path, the topmost. Does not touch the mount.
 * 0, -ENOENT when nothing is, or -errno. */
int mountpoint_lookup(const char *path, struct mountpoint_info *out);

/* Where this store is mounted, by the name of its source. 0 or -ENOENT. */
int mountpoint_find_source(const char *store, char *path, size_t size);

/* 0, -EBUSY (not with lazy), or -errno. Returns when the kernel has written
 * its cached data to the daemon, which therefore must be serving. */
int mountpoint_unmount(const char *path, bool lazy);

#endif
