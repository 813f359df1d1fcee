/* SPDX-License-Identifier: MIT */
/*
 * signals.c - SIGTERM, SIGINT, SIGHUP unmount; SIGUSR1 writes statistics to
 * the log.
 *
 * Under the writeback cache the kernel holds data that the daemon has not
 * seen. So the order is: unmount while the loop still serves, and the kernel
 * writes everything back before umount2() returns; the connection is gone
 * then and the loop ends by itself. That needs a thread beside the loop, which
 * is what sigwait() makes of signals anyway.
 *
 * When the mount is busy it is detached: the name goes at once, cached data is
 * flushed, and the loop is told to end; open files get errors from then on.
 */
#include "fs/fuse/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/fuse/log.h"
#include "fs/fuse/mountpoint.h"
#include "fs/fuse/reply.h"
#include "lsm/base/sync.h"

/* How long the loop may take to notice that the mount is gone. */
#define LINGER_MS 3000
/* How long flushing a busy mount may take. */
#define FLUSH_MS 10000
#define STEP_MS  20

static pthread_t signal_thread;
static pthread_t loop_thread;

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static void fill_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

static void on_wakeup(int signal)
{
	(void)signal;
}

void signals_block(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction wakeup = {.sa_handler = on_wakeup};
	sigset_t set;

	fill_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	/* Without SA_RESTART: it interrupts what the loop waits in. */
	sigaction(SIGUSR2, &wakeup, NULL);
}

static bool loop_ended(struct daemon *d)
{
	return atomic_load_explicit(&d->loop_ended, memory_order_relaxed);
}

static bool wait_for_loop(struct daemon *d, unsigned ms)
{
	for (; ms && !loop_ended(d); ms -= STEP_MS)
		sleep_ms(STEP_MS);
	return loop_ended(d);
}

/* The loop looks at the exit flag whenever it wakes. It is woken again and
 * again because a signal can come just before it goes to sleep. */
static void end_loop(struct daemon *d)
{
	while (!loop_ended(d)) {
		fuse_session_exit(d->session);
		pthread_kill(loop_thread, SIGUSR2);
		sleep_ms(STEP_MS);
	}
}

/* Cached data of a busy mount; then the requests that came of it. */
static void flush_busy(struct daemon *d, int fd)
{
	struct pollfd pending = {.fd = fuse_session_fd(d->session),
				 .events = POLLIN};
	unsigned quiet = 0, ms;

	if (syncfs(fd))
		log_printf(LSM_LOG_ERROR, "cannot flush the busy mount: %s",
			   strerror(errno));
	for (ms = 0; quiet < 3 && ms < FLUSH_MS; ms += STEP_MS) {
		quiet = poll(&pending, 1, 0) > 0 ? 0 : quiet + 1;
		sleep_ms(STEP_MS);
	}
}

static void unmount(struct daemon *d)
{
	const char *path = d->options->mountpoint;
	int fd, ret;

	ret = mountpoint_unmount(path, false);
	if (!ret || ret == -EINVAL || ret == -ENOENT) {
		/* Unmounted, or somebody else has done it. The connection
		 * lives on only where the mount was bound elsewhere too. */
		if (!wait_for_loop(d, LINGER_MS)) {
			d->unmounted = true;
			end_loop(d);
		}
		return;
	}
	log_printf(LSM_LOG_WARN, "%s is in use (%s): detaching it", path,
		   strerror(-ret));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = mountpoint_unmount(path, true);
	if (ret)
		log_printf(LSM_LOG_ERROR, "cannot detach %s: %s", path,
			   strerror(-ret));
	else
		d->unmounted = true;
	if (fd >= 0) {
		flush_busy(d, fd);
		close(fd);
	}
	end_loop(d);
}

static void log_statistics(struct daemon *d)
{
	struct lsm_stats s;

	lsm_get_stats(fs_db(d->fs), &s);
	log_printf(LSM_LOG_INFO,
		   "statistics: %" PRIu64 " bytes in tables, %" PRIu64
		   " in the log, memory %" PRIu64 " (memtables %" PRIu64
		   ", cache %" PRIu64 "), %" PRIu64 " batches, %" PRIu64
		   " syncs, %" PRIu64 " flushes, %" PRIu64
		   " compactions, cache hits %" PRIu64 " misses %" PRIu64
		   ", stalled %" PRIu64 " ms",
		   s.table_bytes, s.wal_bytes, s.memory_bytes, s.memtable_bytes,
		   s.cache_bytes, s.batches, s.wal_syncs, s.flushes,
		   s.compactions, s.cache_hits, s.cache_misses,
		   s.stall_ns / 1000000);
}

static void *signal_main(void *arg)
{
	struct daemon *d = arg;
	sigset_t set;
	int number;

	fill_set(&set);
	for (;;) {
		if (sigwait(&set, &number))
			continue;
		if (loop_ended(d))
			return NULL;
		if (number == SIGUSR1) {
			log_statistics(d);
			continue;
		}
		log_printf(LSM_LOG_INFO, "%s: unmounting %s", strsignal(number),
			   d->options->mountpoint);
		unmount(d);
		return NULL;
	}
}

int signals_start(struct daemon *d)
{
	loop_thread = pthread_self();
	return thread_start(&signal_thread, "signals", signal_main, d);
}

void signals_stop(void)
{
	pthread_kill(signal_thread, SIGUSR1);
	pthread_join(signal_thread, NULL);
}
