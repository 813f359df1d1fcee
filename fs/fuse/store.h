/* SPDX-License-Identifier: MIT */
/* store.h - opening the store for a mount. See store.c. */
#ifndef FS_FUSE_STORE_H
#define FS_FUSE_STORE_H

struct fs;
struct options;

/* Opens, or makes, the filesystem. 0, or an exit code after one line on
 * stderr. */
int store_open(const struct options *o, struct fs **out);

#endif
