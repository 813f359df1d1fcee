/* SPDX-License-Identifier: MIT */
/* killpriv.h - what libfuse does not relay. See killpriv.c. */
#ifndef FS_FUSE_KILLPRIV_H
#define FS_FUSE_KILLPRIV_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_session;

/* Between the mount and the loop. 0 or -errno. */
int killpriv_install(struct fuse_session *se);

/* What the kernel says about the request that this thread is serving. */
enum killpriv {
	KILLPRIV_UNKNOWN, /* the requests do not come through our hooks */
	KILLPRIV_NO,
	KILLPRIV_YES, /* clear setuid, setgid and security.capability */
};
enum killpriv killpriv_of_request(void);

/* The reply to the OPEN or CREATE that this thread is serving also says that
 * direct writes may run in parallel. */
void killpriv_parallel_writes(void);

#endif
