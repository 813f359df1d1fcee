/* SPDX-License-Identifier: MIT */
/* option_words.h - the words that may follow -o, and whose they are. */
#ifndef FS_FUSE_OPTION_WORDS_H
#define FS_FUSE_OPTION_WORDS_H

enum option_id {
	OPT_IGNORE, /* fstab's and mount(8)'s own words */
	OPT_KERNEL, /* passed on as it stands */
	OPT_FLAG,   /* a flag of mount(2), passed on too */
	OPT_RO,
	OPT_RW,
	OPT_SYNC,
	OPT_DIRSYNC,
	OPT_NOATIME,
	OPT_ATIME,
	OPT_STRICTATIME,
	OPT_NOCREATE,
	OPT_COMMIT,
	OPT_MEMORY,
	OPT_COMPRESSION,
	OPT_LABEL,
	OPT_BLOCK_SIZE,
	OPT_SIZE,
	OPT_REMOUNT,
	OPT_ALLOW_OTHER,
	OPT_ALLOW_ROOT,
	OPT_NO_WRITEBACK,
	OPT_PARALLEL_DIRECT,
	OPT_IO_URING,
	OPT_IO_URING_DEPTH,
	OPT_KEEP_AWAKE,
	OPT_NO_KEEP_AWAKE,
	OPT_CLONE_FD,
	OPT_NO_CLONE_FD,
	OPT_MAX_THREADS,
	OPT_MAX_IDLE,
	OPT_DEBUG,
	OPT_HELP,
	OPT_VERSION,
};

enum option_value { NO_VALUE, WANTS_VALUE, MAY_VALUE };

struct option_word {
	const char *name;
	enum option_value value;
	enum option_id id;
	unsigned long set, clear; /* MS_* for a remount */
};

/* The word of that name, or NULL. */
const struct option_word *option_word_find(const char *name);

#endif
