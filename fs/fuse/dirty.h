/* SPDX-License-Identifier: MIT */
/* dirty.h - how many dirty pages the kernel gathers before it writes them
 * back. See dirty.c. Any thread. */
#ifndef FS_FUSE_DIRTY_H
#define FS_FUSE_DIRTY_H

#include <stddef.h>

/* max_ratio_fd: the file of sysfs that holds the limit of the mount; closed by
 * dirty_stop(). -1: it cannot be set, and stays as it is. Before the first
 * request. */
void dirty_start(int max_ratio_fd);
/* After the last request. */
void dirty_stop(void);

/* The kernel has sent so many bytes of dirty pages in one request. */
void dirty_wrote(size_t bytes);
/* A file was synced: few pages are dirty for a moment. */
void dirty_synced(void);

#endif
