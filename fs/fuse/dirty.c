/* SPDX-License-Identifier: MIT */
/*
 * dirty.c - how many dirty pages the kernel gathers before it writes them
 * back.
 *
 * A program that writes a large file in sequence is served best when the kernel
 * begins at once: then the daemon compresses and writes while the program goes
 * on, and the fsync at the end has little left to do. A program that writes
 * here and there is served best when the kernel waits as long as it may: pages
 * are changed again before they are sent, and neighbours meet in one request.
 * The kernel has one limit for both, a share of the pages that may be dirty at
 * all: it begins at half of it, and from there on slows writers down.
 *
 * Which it is shows in the requests: pages in sequence come in the largest
 * there are, scattered ones and small files one or few at a time. So the limit
 * is low until small requests come, and low again after large ones. Lowering it
 * puts writers to sleep while more is dirty than it allows, so that waits for a
 * sync, behind which little is.
 */
#include "fs/fuse/dirty.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse/log.h"
#include "lsm/base/sync.h"

/* Percent of the pages that may be dirty at all. */
#define GATHER_PERCENT 40
/* Less than 80 MiB, and a program that writes as fast as it can is put to sleep
 * too often; more than twice that gains nothing. */
#define STREAM_BYTES (128ull << 20)

#define SMALL_BYTES ((size_t)32 << 10)
#define LARGE_BYTES ((size_t)128 << 10)
#define SCORE_MAX   64 /* so many more of one kind than of the other */

static struct {
	int fd; /* -1: the limit stays as it is */
	struct mutex mutex;
	/* Hints, each by itself: relaxed. */
	atomic_bool gathers; /* changed under the mutex */
	atomic_int score;    /* 0 to SCORE_MAX: how small requests are */
} dirty = {.fd = -1};

/* How many pages may be dirty at all, or 0. */
static uint64_t dirty_pages_max(void)
{
	FILE *f = fopen("/proc/vmstat", "re");
	unsigned long long pages = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "nr_dirty_threshold %llu", &pages) == 1)
			break;
	fclose(f);
	return pages;
}

static unsigned stream_percent(void)
{
	uint64_t max = dirty_pages_max() * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t percent;

	if (!max)
		return GATHER_PERCENT;
	percent = (STREAM_BYTES * 100 + max - 1) / max;
	return percent < GATHER_PERCENT ? (unsigned)percent : GATHER_PERCENT;
}

static void set_limit(bool to_gather)
{
	unsigned percent = to_gather ? GATHER_PERCENT : stream_percent();
	char text[16];
	int len = snprintf(text, sizeof(text), "%u\n", percent);

	if (pwrite(dirty.fd, text, (size_t)len, 0) != len)
		log_printf(LSM_LOG_DEBUG, "cannot set max_ratio to %u: %s",
			   percent, strerror(errno));
}

void dirty_start(int max_ratio_fd)
{
	dirty.fd = max_ratio_fd;
	if (max_ratio_fd < 0)
		return;
	mutex_init(&dirty.mutex);
	set_limit(false);
}

void dirty_stop(void)
{
	if (dirty.fd < 0)
		return;
	close(dirty.fd);
	dirty.fd = -1;
	mutex_destroy(&dirty.mutex);
}

static bool gathers(void)
{
	return atomic_load_explicit(&dirty.gathers, memory_order_relaxed);
}

static void change(bool to_gather)
{
	mutex_lock(&dirty.mutex);
	if (gathers() != to_gather) {
		set_limit(to_gather);
		atomic_store_explicit(&dirty.gathers, to_gather,
				      memory_order_relaxed);
	}
	mutex_unlock(&dirty.mutex);
}

void dirty_wrote(size_t bytes)
{
	int score;

	if (dirty.fd < 0)
		return;
	score = atomic_load_explicit(&dirty.score, memory_order_relaxed);
	if (bytes < SMALL_BYTES && score < SCORE_MAX)
		score++;
	else if (bytes >= LARGE_BYTES && score > 0)
		score--;
	else
		return;
	/* What another thread counts meanwhile may be lost. */
	atomic_store_explicit(&dirty.score, score, memory_order_relaxed);
	if (score == SCORE_MAX && !gathers())
		change(true);
}

void dirty_synced(void)
{
	if (dirty.fd >= 0 && gathers() &&
	    atomic_load_explicit(&dirty.score, memory_order_relaxed) == 0)
		change(false);
}
