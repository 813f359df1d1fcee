/* SPDX-License-Identifier: MIT */
/* options.h - the command line of tinylsmfs. See options.c. */
#ifndef FS_FUSE_OPTIONS_H
#define FS_FUSE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/lsm.h"

/* The option that creates a store says which; more than one may be set. */
enum options_made {
	OPTIONS_MADE_LABEL = 1,
	OPTIONS_MADE_BLOCK = 2,
	OPTIONS_MADE_SIZE = 4,
	OPTIONS_MADE_COMPRESSION = 8,
};

/* Whether idle cores are kept from sleeping while requests come, awake.c. */
enum options_awake {
	OPTIONS_AWAKE_AUTO,
	OPTIONS_AWAKE_YES,
	OPTIONS_AWAKE_NEVER,
};

struct options {
	char *store;      /* as given; made absolute by mount_paths() */
	char *mountpoint; /* the same */

	bool help, version;
	bool foreground, debug, single_thread;

	/* The filesystem. */
	bool read_only;
	bool no_create;
	bool noatime, strictatime;
	unsigned commit_seconds; /* 0: the default */
	uint64_t memory_bytes;   /* 0: the default */

	/* For a store that is made by this mount; made says which were given
	 * (enum options_made). */
	unsigned made;
	char *label;
	uint32_t block_bytes;
	uint64_t size_limit;
	/* Also of what this mount writes to a store that exists. */
	enum lsm_compression compression;

	/* The mount. */
	bool remount;
	unsigned long remount_flags; /* MS_* */
	bool dirsync; /* every change of a directory is durable on return */
	bool allow_other, allow_root;
	bool writeback;
	bool parallel_direct; /* O_DIRECT writers of one file in parallel */
	bool io_uring;
	enum options_awake awake;
	char *kernel; /* for libfuse: "a,b=c", escaped; NULL: nothing */

	/* The loop. */
	bool clone_fd;
	unsigned max_threads; /* 0: the default */
	unsigned max_idle;    /* UINT32_MAX: the default */
};

/* 0, or EXIT_USAGE or EXIT_SYSTEM after one line on stderr. */
int options_parse(struct options *o, int argc, char **argv);
void options_release(struct options *o);
void options_print_help(void);

/* How many workers there may be. Most of them are parked most of the time, see
 * turns.c. */
static inline unsigned options_threads(const struct options *o)
{
	return o->max_threads ? o->max_threads : 16;
}

#endif
