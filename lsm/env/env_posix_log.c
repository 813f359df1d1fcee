/* SPDX-License-Identifier: MIT */
/*
 * env_posix_log.c - appending to a log without a system call an append.
 *
 *      0            window_at          position      window end    reserved
 *      |  appended      |   appended      |    free      |           |
 *      +----------------+=================+==============+-----------+
 *                       ^ mapped shared, readable and writable
 *
 * A small append is a memcpy into a shared mapping of the file: it is in the
 * page cache at once, so it survives the end of the process as a write(2)
 * would, at a tenth of the price. A large one is a pwrite, which the kernel
 * keeps coherent with the mapping and which costs no page fault. Measured on
 * ext4, ns an append, fresh file / recycled file:
 *
 *      bytes   memcpy into the map   pwrite
 *        150        75 /   59       600 /  580
 *       1024       284 /  160      1000 /  720
 *       4096      1010 /  590      2330 /  980
 *       8192      2150 /  980      2900 / 1300
 *      16384      3770 / 2040      3650 / 1890
 *
 * A log that is synced after few appends is another matter. A sync
 * write-protects the pages, so the append after it faults, and presumably a
 * fault dirties more of the page cache than the blocks that a pwrite writes.
 * And a sync that must record that blocks are now written waits for the
 * filesystem's journal. So such a log is written by pwrite alone, and zeros are
 * written ahead of the position where its blocks never were; what a sync has to
 * write of them it writes once in FILL_BYTES. Measured on ext4, us for one
 * append of 4150 bytes and a sync, of a fresh file / of one that had been
 * written whole in pieces of 1 MiB (the fill itself is not in it):
 *
 *      through the map 160 / 315      pwrite 155 / 98
 *      direct I/O, tail blocks written again and again 146 / 92
 *
 * Where the last sync was for one append, the next one is written to the disk
 * as it is appended, without waiting: who asks for a sync in a call of its own,
 * as the filesystem does for a program's write and fsync, asks some 10 us
 * later, and by then the disk has done a third of its work (a pwrite of 4 KiB,
 * 14 us of anything, fdatasync: 64 instead of 80 us). Appends shorter than a
 * page are not worth the call.
 *
 * Space is allocated (fallocate, without KEEP_SIZE) before it is mapped or
 * written, so a full disk is -ENOSPC from an append and never a SIGBUS; what
 * raises one all the same (a disk that fails, a file cut short by somebody)
 * is caught by the guard and fails the log with -EIO. A log without
 * preallocation, or on a filesystem that has no fallocate or shared mapping,
 * is written by pwrite alone and grows with what is appended.
 *
 * Always holds: position <= reserved where the log is reserved at all; written
 * <= reserved; pages of the window are allocated; an error is sticky, because
 * after a failed fdatasync the kernel may have dropped the pages and a later
 * success would mean nothing.
 *
 * One thread appends at a time. log_sync may run beside it: it uses only the
 * descriptor, the guard (which lives as long as the log), the count of syncs
 * and the error.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/env/env_posix.h"
#include "lsm/env/env_sigbus.h"

#define MAP_APPEND_MAX ((size_t)8 << 10) /* see the figures above */
#define WINDOW_BYTES   ((uint64_t)16 << 20)
#define STEP_MIN       ((uint64_t)256 << 10)
#define STEP_MAX       ((uint64_t)16 << 20)
#define RESERVE_ALIGN  ((uint64_t)64 << 10) /* a multiple of any page */
#define OFTEN_APPENDS  64 /* or fewer between two syncs: synced often */
#define FILL_BYTES     ((uint64_t)512 << 10)

struct posix_log {
	struct env_log base;
	int fd;
	atomic_int error; /* the first one; 0 or -errno */
	bool reserve;     /* space is allocated ahead and may be mapped */
	bool map;         /* small appends go through the window */
	uint64_t position;
	uint64_t reserved; /* allocated, and the file's length */
	uint64_t step;
	unsigned char *window; /* NULL: none yet */
	uint64_t window_at;
	size_t window_len;
	uint64_t page_bytes;
	struct sigbus_guard *guard; /* NULL when !map */
	_Atomic uint64_t syncs;     /* begun */
	uint64_t syncs_seen;        /* by the last append */
	unsigned unsynced;          /* appends since that changed */
	bool often;                 /* synced after few appends */
	bool alone;                 /* synced after one, the last time */
	uint64_t written;           /* up to here a sync finds written blocks */
};

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

static int log_error(struct posix_log *log)
{
	/* Only a number: relaxed is enough. */
	return atomic_load_explicit(&log->error, memory_order_relaxed);
}

/* Returns the error that counts, the first. */
static int log_fail(struct posix_log *log, int err)
{
	int none = 0;

	if (atomic_compare_exchange_strong_explicit(&log->error, &none, err,
						    memory_order_relaxed,
						    memory_order_relaxed))
		return err;
	return none;
}

static int allocate(int fd, uint64_t from, uint64_t to)
{
	int ret;

	do {
		ret = fallocate(fd, 0, (off_t)from, (off_t)(to - from));
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

/* Makes reserved >= end. */
static int reserve(struct posix_log *log, uint64_t end)
{
	uint64_t to = round_up(end, log->step);
	int err;

	if (end > INT64_MAX - log->step)
		return -EFBIG;
	err = allocate(log->fd, log->reserved, to);
	if (err == -ENOSPC) {
		/* A nearly full disk may still hold what is needed now. */
		to = round_up(end, RESERVE_ALIGN);
		err = allocate(log->fd, log->reserved, to);
	}
	if (!err)
		log->reserved = to;
	return err;
}

static void drop_window(struct posix_log *log)
{
	if (!log->window)
		return;
	sigbus_guard_set(log->guard, NULL, 0, PROT_NONE);
	munmap(log->window, log->window_len);
	log->window = NULL;
}

/* Moves the window so that it begins at the page of the position; or the log
 * is not mapped any more. */
static bool slide_window(struct posix_log *log)
{
	uint64_t at = log->position & ~(log->page_bytes - 1);
	uint64_t len = log->reserved - at;
	void *p;

	if (len > WINDOW_BYTES)
		len = WINDOW_BYTES;
	drop_window(log);
	p = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd,
		 (off_t)at);
	if (p == MAP_FAILED) {
		/* pwrite does the same, only slower. */
		log->map = false;
		return false;
	}
	log->window = p;
	log->window_at = at;
	log->window_len = (size_t)len;
	sigbus_guard_set(log->guard, p, (size_t)len, PROT_READ | PROT_WRITE);
	return true;
}

static bool in_window(const struct posix_log *log, uint64_t end)
{
	return log->window && end <= log->window_at + log->window_len;
}

/* Notes an append and decides how it is done. */
static void note_append(struct posix_log *log)
{
	/* Only a count: relaxed is enough. */
	uint64_t syncs =
		atomic_load_explicit(&log->syncs, memory_order_relaxed);

	if (syncs != log->syncs_seen) {
		log->often = log->unsynced <= OFTEN_APPENDS;
		log->alone = log->unsynced == 1;
		log->syncs_seen = syncs;
		log->unsynced = 0;
	} else if (log->unsynced > OFTEN_APPENDS) {
		log->often = false;
	}
	log->unsynced++;
	if (log->often)
		drop_window(log);
}

/* What is appended up to end, and some more, will lie in blocks that are
 * written. The space is reserved. */
static int fill_ahead(struct posix_log *log, uint64_t end)
{
	static const unsigned char zeros[64 << 10];
	uint64_t at = round_up(end, log->page_bytes);
	uint64_t to = end + FILL_BYTES;

	if (to > log->reserved)
		to = log->reserved;
	while (at < to) {
		size_t n = to - at < sizeof(zeros) ? (size_t)(to - at)
						   : sizeof(zeros);
		int err = posix_write_all(log->fd, zeros, n, at);

		if (err)
			return err;
		at += n;
	}
	log->written = to;
	return 0;
}

/* Lets the disk begin with what was just written at the position. */
static void begin_write(struct posix_log *log, size_t len)
{
	/* An error is the sync's to tell, and some filesystems do not know the
	 * call. */
	(void)sync_file_range(log->fd, (off_t)log->position, (off_t)len,
			      SYNC_FILE_RANGE_WRITE);
}

int posix_log_append(struct env_log *base, const void *data, size_t len)
{
	struct posix_log *log = (struct posix_log *)base;
	uint64_t end = log->position + len;
	int err = log_error(log);
	bool map;

	if (err || len == 0)
		return err;
	if (end > INT64_MAX || end < len)
		return log_fail(log, -EFBIG);
	if (log->reserve && end > log->reserved) {
		err = reserve(log, end);
		if (err)
			return log_fail(log, err);
	}
	note_append(log);
	map = log->map && !log->often && len <= MAP_APPEND_MAX;
	if (map && !in_window(log, end))
		map = slide_window(log);
	if (map) {
		assert(in_window(log, end));
		memcpy(log->window + (log->position - log->window_at), data,
		       len);
		if (sigbus_lost(log->guard))
			return log_fail(log, -EIO);
	} else {
		if (log->often && log->reserve && end > log->written)
			err = fill_ahead(log, end);
		if (!err)
			err = posix_write_all(log->fd, data, len,
					      log->position);
		if (err)
			return log_fail(log, err);
		if (log->alone && log->unsynced == 1 && len >= log->page_bytes)
			begin_write(log, len);
	}
	log->position = end;
	return 0;
}

int posix_log_sync(struct env_log *base)
{
	struct posix_log *log = (struct posix_log *)base;
	int err = log_error(log);

	if (err)
		return err;
	atomic_fetch_add_explicit(&log->syncs, 1, memory_order_relaxed);
	/* Writes what was stored through the mapping as well: the kernel
	 * write-protects mapped pages as it cleans them and so knows them. */
	err = posix_fdatasync(log->fd);
	if (!err && log->guard && sigbus_lost(log->guard))
		err = -EIO;
	return err ? log_fail(log, err) : 0;
}

int posix_log_close(struct env_log *base, bool trim)
{
	struct posix_log *log = (struct posix_log *)base;
	int err = 0, close_err;

	drop_window(log);
	sigbus_guard_put(log->guard);
	if (trim) {
		while (ftruncate(log->fd, (off_t)log->position)) {
			if (errno == EINTR)
				continue;
			err = -errno;
			break;
		}
	}
	close_err = posix_close(log->fd);
	free(log);
	return err ? err : close_err;
}

/* Allocates what was asked for, over the whole file: what is recycled may be
 * shorter, or have holes. Leaves reserve unset where that is not to be had. */
static int prepare_space(struct posix_log *log, uint64_t prealloc_bytes)
{
	struct stat st;
	uint64_t want;
	off_t hole;
	int err;

	if (fstat(log->fd, &st))
		return -errno;
	want = (uint64_t)st.st_size > prealloc_bytes ? (uint64_t)st.st_size
						     : prealloc_bytes;
	if (want == 0 || prealloc_bytes == 0)
		return 0;
	if (want > INT64_MAX - RESERVE_ALIGN)
		return -EFBIG;
	want = round_up(want, RESERVE_ALIGN);
	err = allocate(log->fd, 0, want);
	if (err == -EOPNOTSUPP || err == -ENOSYS)
		return 0;
	if (err)
		return err;
	log->reserve = true;
	log->reserved = want;
	/* Blocks that are allocated and not written count as a hole; where
	 * nothing is known of holes (-1) none counts as written. */
	hole = lseek(log->fd, 0, SEEK_HOLE);
	log->written = hole < 0 ? 0 : (uint64_t)hole;
	log->step = prealloc_bytes / 8;
	if (log->step < STEP_MIN)
		log->step = STEP_MIN;
	if (log->step > STEP_MAX)
		log->step = STEP_MAX;
	log->step = round_up(log->step, RESERVE_ALIGN);
	err = sigbus_guard_get(&log->guard);
	log->map = !err;
	return err == -ENOMEM ? err : 0;
}

/* The recycled file gets its new name when all else has succeeded: who is
 * refused the log still has the old file. */
static int take_name(int dirfd, const char *recycle, const char *name)
{
	if (!renameat2(dirfd, recycle, dirfd, name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* This filesystem does not know the flag. */
	if (!faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	return renameat(dirfd, recycle, dirfd, name) ? -errno : 0;
}

int posix_log_create(struct env_dir *dir, const char *name, const char *recycle,
		     uint64_t prealloc_bytes, struct env_log **out)
{
	struct posix_dir *d = posix_dir_of(dir);
	struct posix_log *log;
	int err;

	if (d->read_only)
		return -EROFS;
	log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->base.ops = dir->ops;
	log->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	err = recycle ? posix_open_at(d->fd, recycle, O_RDWR, &log->fd)
		      : posix_open_at(d->fd, name, O_RDWR | O_CREAT | O_EXCL,
				      &log->fd);
	if (err) {
		free(log);
		return err;
	}
	err = prepare_space(log, prealloc_bytes);
	if (!err && recycle)
		err = take_name(d->fd, recycle, name);
	if (err) {
		sigbus_guard_put(log->guard);
		posix_close(log->fd);
		if (!recycle)
			unlinkat(d->fd, name, 0);
		free(log);
		return err;
	}
	*out = &log->base;
	return 0;
}
