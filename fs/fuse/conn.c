/* SPDX-License-Identifier: MIT */
/*
 * conn.c - the connection to the kernel: capabilities, sizes, tuning.
 *
 * The rule behind the choices: this process is the only writer of the store,
 * so whatever the kernel knows it may keep. Round trips are what costs.
 *
 *   writeback cache    small writes are gathered in the page cache; the kernel
 *                      keeps size and times of regular files meanwhile
 *   no open, opendir   ENOSYS answers them once for all; RELEASE goes too. The
 *                      kernel's default for such files is to keep their pages
 *                      (and a directory's entries) over open. What it excludes
 *                      is FOPEN_PARALLEL_DIRECT_WRITES: without it the kernel
 *                      lets one O_DIRECT writer of a file run at a time. Few
 *                      programs have several; for them there is an option that
 *                      keeps OPEN, and answers it with that flag where O_DIRECT
 *                      is asked for.
 *   no ATOMIC_O_TRUNC  goes with it: O_TRUNC arrives as a SETATTR
 *   readdirplus auto   ls -l takes names and attributes in one walk
 *   explicit inval     the kernel never drops pages because an mtime moved
 *   POSIX ACL          with DONT_MASK, because a default ACL replaces the
 *                      umask and only the core knows whether there is one
 *   no splice          a write has to reach memory for the log anyway, and a
 *                      pipe costs more system calls than the copy
 */
#define FUSE_USE_VERSION 312
#include "fs/fuse/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse/daemon.h"
#include "fs/fuse/dirty.h"
#include "fs/fuse/log.h"
#include "fs/fuse/mountpoint.h"

#define MAX_WRITE_BYTES (1u << 20)
#define MAX_BACKGROUND  64

/* libfuse 3.17 has 64 capabilities and functions to set them. */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
static bool offers(const struct fuse_conn_info *conn, uint64_t cap)
{
	return conn->capable_ext & cap;
}

static void want(struct fuse_conn_info *conn, uint64_t cap)
{
	(void)fuse_set_feature_flag(conn, cap); /* false: not offered */
}

static void refuse(struct fuse_conn_info *conn, uint64_t cap)
{
	fuse_unset_feature_flag(conn, cap);
}
#else
static bool offers(const struct fuse_conn_info *conn, unsigned cap)
{
	return conn->capable & cap;
}

static void want(struct fuse_conn_info *conn, unsigned cap)
{
	conn->want |= conn->capable & cap;
}

static void refuse(struct fuse_conn_info *conn, unsigned cap)
{
	conn->want &= ~cap;
}
#endif

void conn_init(struct daemon *d, struct fuse_conn_info *conn)
{
	/* Under the writeback cache the kernel alone keeps the times of files,
	 * and forgets them when it writes to one that is FOPEN_DIRECT_IO. */
	if (d->options->writeback && !d->options->parallel_direct) {
		d->writeback = offers(conn, FUSE_CAP_WRITEBACK_CACHE);
		want(conn, FUSE_CAP_WRITEBACK_CACHE);
	}
	want(conn, FUSE_CAP_ASYNC_READ);
	want(conn, FUSE_CAP_ASYNC_DIO);
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_READDIRPLUS);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO);
	want(conn, FUSE_CAP_POSIX_ACL);
	want(conn, FUSE_CAP_DONT_MASK);
	want(conn, FUSE_CAP_CACHE_SYMLINKS);
	want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA);
	refuse(conn, FUSE_CAP_AUTO_INVAL_DATA);
	refuse(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	refuse(conn, FUSE_CAP_HANDLE_KILLPRIV);
	refuse(conn, FUSE_CAP_SPLICE_READ);
	refuse(conn, FUSE_CAP_SPLICE_WRITE);
	refuse(conn, FUSE_CAP_SPLICE_MOVE);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif
#ifdef FUSE_CAP_SETXATTR_EXT
	want(conn, FUSE_CAP_SETXATTR_EXT);
#endif
#ifdef FUSE_CAP_OVER_IO_URING
	if (d->options->io_uring)
		want(conn, FUSE_CAP_OVER_IO_URING);
#endif
	d->no_open = offers(conn, FUSE_CAP_NO_OPEN_SUPPORT) &&
		     !d->options->parallel_direct;
	d->no_opendir = offers(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
	conn->max_write = MAX_WRITE_BYTES;
	conn->max_readahead = CONN_READAHEAD_BYTES;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->time_gran = 1;
}

/* The file of a setting of the mount, or -1. */
static int open_bdi(const struct mountpoint_info *info, const char *what)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/%s", info->major,
		 info->minor, what);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		log_printf(LSM_LOG_DEBUG, "cannot open %s: %s", path,
			   strerror(errno));
	return fd;
}

/* The default, 128 KiB, is one small request at a time. */
static void tune_readahead(const struct mountpoint_info *info)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u\n",
			   CONN_READAHEAD_BYTES >> 10);
	int fd = open_bdi(info, "read_ahead_kb");

	if (fd < 0)
		return;
	if (write(fd, text, (size_t)len) != len)
		log_printf(LSM_LOG_DEBUG, "cannot set read_ahead_kb: %s",
			   strerror(errno));
	close(fd);
}

void conn_tune(const struct daemon *d)
{
	struct mountpoint_info info;

	if (mountpoint_lookup(d->options->mountpoint, &info))
		return;
	tune_readahead(&info);
	dirty_start(open_bdi(&info, "max_ratio"));
}
