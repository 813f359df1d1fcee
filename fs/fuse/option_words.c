/* SPDX-License-Identifier: MIT */
/*
 * option_words.c - the table of the words that may follow -o: for each one
 * whose it is, whether it has a value, and what it means for a remount.
 */
#include "fs/fuse/option_words.h"

#include <stddef.h>
#include <string.h>
#include <sys/mount.h>

static const struct option_word words[] = {
	{"ro", NO_VALUE, OPT_RO, MS_RDONLY, 0},
	{"rw", NO_VALUE, OPT_RW, 0, MS_RDONLY},
	{"suid", NO_VALUE, OPT_FLAG, 0, MS_NOSUID},
	{"nosuid", NO_VALUE, OPT_FLAG, MS_NOSUID, 0},
	{"dev", NO_VALUE, OPT_FLAG, 0, MS_NODEV},
	{"nodev", NO_VALUE, OPT_FLAG, MS_NODEV, 0},
	{"exec", NO_VALUE, OPT_FLAG, 0, MS_NOEXEC},
	{"noexec", NO_VALUE, OPT_FLAG, MS_NOEXEC, 0},
	{"async", NO_VALUE, OPT_FLAG, 0, MS_SYNCHRONOUS},
	{"sync", NO_VALUE, OPT_SYNC, MS_SYNCHRONOUS, 0},
	{"dirsync", NO_VALUE, OPT_DIRSYNC, MS_DIRSYNC, 0},
	{"atime", NO_VALUE, OPT_ATIME, 0, MS_NOATIME},
	{"noatime", NO_VALUE, OPT_NOATIME, MS_NOATIME, 0},
	{"relatime", NO_VALUE, OPT_ATIME, MS_RELATIME, MS_NOATIME},
	{"norelatime", NO_VALUE, OPT_IGNORE, 0, 0},
	{"strictatime", NO_VALUE, OPT_STRICTATIME, MS_STRICTATIME, MS_NOATIME},
	{"nostrictatime", NO_VALUE, OPT_ATIME, 0, 0},
	{"diratime", NO_VALUE, OPT_IGNORE, 0, 0},
	{"nodiratime", NO_VALUE, OPT_IGNORE, 0, 0},
	{"lazytime", NO_VALUE, OPT_IGNORE, 0, 0},
	{"nolazytime", NO_VALUE, OPT_IGNORE, 0, 0},

	{"nocreate", NO_VALUE, OPT_NOCREATE, 0, 0},
	{"commit", WANTS_VALUE, OPT_COMMIT, 0, 0},
	{"memory", WANTS_VALUE, OPT_MEMORY, 0, 0},
	{"compression", WANTS_VALUE, OPT_COMPRESSION, 0, 0},
	{"label", WANTS_VALUE, OPT_LABEL, 0, 0},
	{"block_size", WANTS_VALUE, OPT_BLOCK_SIZE, 0, 0},
	{"size", WANTS_VALUE, OPT_SIZE, 0, 0},

	{"remount", NO_VALUE, OPT_REMOUNT, 0, 0},
	{"allow_other", NO_VALUE, OPT_ALLOW_OTHER, 0, 0},
	{"allow_root", NO_VALUE, OPT_ALLOW_ROOT, 0, 0},
	{"default_permissions", NO_VALUE, OPT_IGNORE, 0, 0}, /* always on */
	{"auto_unmount", NO_VALUE, OPT_KERNEL, 0, 0},
	{"context", WANTS_VALUE, OPT_KERNEL, 0, 0},
	{"fscontext", WANTS_VALUE, OPT_KERNEL, 0, 0},
	{"defcontext", WANTS_VALUE, OPT_KERNEL, 0, 0},
	{"rootcontext", WANTS_VALUE, OPT_KERNEL, 0, 0},
	{"fsname", WANTS_VALUE, OPT_KERNEL, 0, 0},
	{"subtype", WANTS_VALUE, OPT_IGNORE, 0, 0}, /* always tinylsmfs */
	{"no_writeback_cache", NO_VALUE, OPT_NO_WRITEBACK, 0, 0},
	{"parallel_direct_writes", NO_VALUE, OPT_PARALLEL_DIRECT, 0, 0},
	{"io_uring", NO_VALUE, OPT_IO_URING, 0, 0},
	{"io_uring_q_depth", WANTS_VALUE, OPT_IO_URING_DEPTH, 0, 0},
	{"keep_awake", NO_VALUE, OPT_KEEP_AWAKE, 0, 0},
	{"no_keep_awake", NO_VALUE, OPT_NO_KEEP_AWAKE, 0, 0},
	{"clone_fd", NO_VALUE, OPT_CLONE_FD, 0, 0},
	{"noclone_fd", NO_VALUE, OPT_NO_CLONE_FD, 0, 0},
	{"max_threads", WANTS_VALUE, OPT_MAX_THREADS, 0, 0},
	{"max_idle_threads", WANTS_VALUE, OPT_MAX_IDLE, 0, 0},
	{"debug", NO_VALUE, OPT_DEBUG, 0, 0},
	{"help", NO_VALUE, OPT_HELP, 0, 0},
	{"version", NO_VALUE, OPT_VERSION, 0, 0},

	{"defaults", NO_VALUE, OPT_IGNORE, 0, 0},
	{"auto", NO_VALUE, OPT_IGNORE, 0, 0},
	{"noauto", NO_VALUE, OPT_IGNORE, 0, 0},
	{"user", MAY_VALUE, OPT_IGNORE, 0, 0},
	{"nouser", NO_VALUE, OPT_IGNORE, 0, 0},
	{"users", NO_VALUE, OPT_IGNORE, 0, 0},
	{"nousers", NO_VALUE, OPT_IGNORE, 0, 0},
	{"owner", NO_VALUE, OPT_IGNORE, 0, 0},
	{"group", NO_VALUE, OPT_IGNORE, 0, 0},
	{"_netdev", NO_VALUE, OPT_IGNORE, 0, 0},
	{"nofail", NO_VALUE, OPT_IGNORE, 0, 0},
	{"comment", WANTS_VALUE, OPT_IGNORE, 0, 0},
	{"uhelper", WANTS_VALUE, OPT_IGNORE, 0, 0},
	{"helper", WANTS_VALUE, OPT_IGNORE, 0, 0},
	{"silent", NO_VALUE, OPT_IGNORE, 0, 0},
	{"loud", NO_VALUE, OPT_IGNORE, 0, 0},
	{"iversion", NO_VALUE, OPT_IGNORE, 0, 0},
	{"noiversion", NO_VALUE, OPT_IGNORE, 0, 0},
	{"mand", NO_VALUE, OPT_IGNORE, 0, 0},
	{"nomand", NO_VALUE, OPT_IGNORE, 0, 0},
};

const struct option_word *option_word_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(words[i].name, name))
			return &words[i];
	return NULL;
}
