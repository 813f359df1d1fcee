/* SPDX-License-Identifier: MIT */
/*
 * store.c - opens the store for a mount, and says in one line why it cannot.
 *
 * umount(8) returns before the daemon has written its last; a mount that
 * follows at once finds the store locked. So a locked store that nobody has
 * mounted is waited for, and one that is mounted is not.
 *
 * The engine reads a store without locking it, which is fine for a look. A
 * read-only mount lives longer, and a writer would delete files under it: so it
 * holds the lock shared, which works on a disk that cannot be written, too.
 */
#include "fs/fuse/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/fuse/daemonize.h"
#include "fs/fuse/log.h"
#include "fs/fuse/mountpoint.h"
#include "fs/fuse/options.h"

#define MEMORY_DEFAULT ((uint64_t)256 << 20)
#define REQUEST_BYTES  ((uint64_t)1 << 20)
#define SILENT_WAIT_MS 1000
#define WAIT_MS        30000
#define POLL_MS        20

/* What the budget leaves for the engine: each worker has a buffer for the
 * largest request, whose memory stays with it. */
static uint64_t engine_memory(const struct options *o)
{
	uint64_t all = o->memory_bytes ? o->memory_bytes : MEMORY_DEFAULT;
	uint64_t buffers = (uint64_t)options_threads(o) * REQUEST_BYTES;

	return all - (buffers < all / 8 ? buffers : all / 8);
}

static void fill_options(const struct options *o, struct fs_options *fo)
{
	memset(fo, 0, sizeof(*fo));
	fo->read_only = o->read_only;
	fo->no_create = o->no_create;
	fo->noatime = o->noatime;
	fo->strictatime = o->strictatime;
	fo->commit_seconds = o->commit_seconds;
	fo->engine.memory_bytes = engine_memory(o);
	fo->engine.compression = o->compression;
	fo->engine.log = log_engine;
	fo->engine.log_level = o->debug ? LSM_LOG_DEBUG : LSM_LOG_INFO;
}

/* What was asked for when making, on a filesystem that exists already. */
static void warn_existing(const struct options *o, struct fs *fs)
{
	struct fs_info info;

	fs_get_info(fs, &info);
	if ((o->made & OPTIONS_MADE_BLOCK) &&
	    o->block_bytes != info.block_bytes)
		log_printf(LSM_LOG_WARN,
			   "block_size=%u is ignored: the filesystem exists "
			   "and has %u",
			   o->block_bytes, info.block_bytes);
	if ((o->made & OPTIONS_MADE_LABEL) && strcmp(o->label, info.label))
		log_printf(LSM_LOG_WARN,
			   "label=%s is ignored: the filesystem exists and is "
			   "called '%s'",
			   o->label, info.label);
	if ((o->made & OPTIONS_MADE_SIZE) && o->size_limit != info.size_limit)
		log_printf(LSM_LOG_WARN,
			   "size= is ignored: the filesystem exists");
}

/* Shares the lock on the store's LOCK until the process ends. 0 also where
 * there is no such file, or no right to open it: then nobody writes. */
static int lock_shared(const char *store, unsigned wait_ms)
{
	const struct timespec poll = {.tv_nsec = POLL_MS * 1000000L};
	struct flock fl = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	static int fd = -1;
	char path[PATH_MAX];
	unsigned waited_ms;

	if (fd < 0) {
		if (snprintf(path, sizeof(path), "%s/LOCK", store) >=
		    (int)sizeof(path))
			return -ENAMETOOLONG;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return 0;
	for (waited_ms = 0; fcntl(fd, F_OFD_SETLK, &fl); waited_ms += POLL_MS) {
		/* A filesystem without locks keeps no writer away either. */
		if (errno != EAGAIN && errno != EACCES)
			return 0;
		if (waited_ms >= wait_ms)
			return -EBUSY;
		nanosleep(&poll, NULL);
	}
	return 0;
}

static int open_once(const struct options *o, struct fs_options *fo,
		     struct fs **out)
{
	struct fs_mkfs_options mo = {
		.label = o->label,
		.block_bytes = o->block_bytes,
		.size_limit = o->size_limit,
		.compression = o->compression,
		.root_uid = geteuid(),
		.root_gid = getegid(),
	};
	int ret;

	/* With the compression alone fs_open() makes one as well. */
	if ((o->made & ~(unsigned)OPTIONS_MADE_COMPRESSION) && !o->no_create &&
	    !o->read_only) {
		ret = fs_mkfs(o->store, &fo->engine, &mo);
		if (ret && ret != -EEXIST)
			return ret;
	}
	ret = o->read_only ? lock_shared(o->store, fo->engine.lock_wait_ms) : 0;
	if (!ret)
		ret = fs_open(o->store, fo, out);
	if (!ret)
		warn_existing(o, *out);
	return ret;
}

static bool is_mounted(const char *store)
{
	char path[4096];

	return mountpoint_find_source(store, path, sizeof(path)) == 0;
}

static void report(const struct options *o, int ret)
{
	const char *s = o->store;
	const char *why = log_first_error();

	switch (ret) {
	case -EBUSY:
		log_user("the store %s is in use by another process%s%s; "
			 "unmount it there or wait for it to end",
			 s, *why ? ": " : "", why);
		break;
	case -ENOENT:
		log_user("there is no filesystem in %s%s", s,
			 o->no_create ? ", and -o nocreate forbids to make one"
			 : o->read_only
				 ? ", and a read-only mount does not make one"
				 : "");
		break;
	case -ENOTDIR:
		log_user("the store %s is not a directory", s);
		break;
	case -ENOTEMPTY:
	case -EMEDIUMTYPE:
		log_user("the directory %s holds something that is not a "
			 "TinyLSM filesystem; choose an empty or a new one",
			 s);
		break;
	case -EPROTONOSUPPORT:
		log_user("the store %s was made by a newer version of TinyLSM; "
			 "use that version",
			 s);
		break;
	case -EACCES:
	case -EPERM:
		log_user("no permission for the store %s", s);
		break;
	case -EROFS:
		log_user("the store %s cannot be written%s%s; mount it with "
			 "-o ro",
			 s, *why ? ": " : "", why);
		break;
	case -ENOSPC:
	case -EDQUOT:
		log_user("the disk of the store %s is full; make room there, "
			 "or mount it with -o ro",
			 s);
		break;
	case -EUCLEAN:
		log_user("the store %s is damaged%s%s; see tinylsm fsck", s,
			 *why ? ": " : "", why);
		break;
	default:
		log_user("cannot open the store %s: %s%s%s", s,
			 lsm_strerror(ret), *why ? ": " : "", why);
	}
}

int store_open(const struct options *o, struct fs **out)
{
	struct fs_options fo;
	int ret;

	fill_options(o, &fo);
	if (!is_mounted(o->store))
		fo.engine.lock_wait_ms = SILENT_WAIT_MS;
	ret = open_once(o, &fo, out);
	if (ret == -EBUSY && !is_mounted(o->store)) {
		log_user("the store %s is being used by another process; "
			 "waiting up to %d s for it to be closed",
			 o->store, WAIT_MS / 1000);
		fo.engine.lock_wait_ms = WAIT_MS - SILENT_WAIT_MS;
		ret = open_once(o, &fo, out);
	}
	if (!ret)
		return 0;
	report(o, ret);
	return ret == -ENOMEM ? EXIT_SYSTEM : EXIT_MOUNT;
}
