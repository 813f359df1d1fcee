/* SPDX-License-Identifier: MIT */
/* awake.h - keeps idle cores from sleeping while requests come. See awake.c. */
#ifndef FS_FUSE_AWAKE_H
#define FS_FUSE_AWAKE_H

#include <stdint.h>

#include "fs/fuse/options.h"

/* How often awake_tick() is to be called while there are requests. */
#define AWAKE_TICK_NS 5000000

/* Before the first tick. What is missing for it (a privilege, a kernel that
 * has it) is no error: then the cores sleep as they like. */
void awake_start(enum options_awake when);
/* After the last tick. */
void awake_stop(void);

/* So many requests since the last tick. One thread at a time; four ticks
 * without a request let the cores sleep again. */
void awake_tick(uint64_t requests);

#endif
