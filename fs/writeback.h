/* SPDX-License-Identifier: MIT */
/* writeback.h - the thread that writes dirty inodes; see writeback.c. */
#ifndef FS_WRITEBACK_H
#define FS_WRITEBACK_H

#include "fs/fs.h"

int writeback_start(struct fs *fs);
/* Tells all background threads to stop and waits for this one. */
void writeback_stop(struct fs *fs);

#endif
