/* SPDX-License-Identifier: MIT */
/*
 * awake.c - keeps idle cores from sleeping while requests come.
 *
 * A program that waits for a reply leaves its core idle, and an idle core goes
 * to sleep at once. To wake it takes longer than to serve the request: in a
 * virtual machine, where sleep and the interrupt that ends it both go through
 * the hypervisor, 10 to 40 microseconds of a round trip that takes 6 without.
 *
 * Linux has an interface for that, the latency a program can bear, held by an
 * open file (Documentation/power/pm_qos_interface.rst). It is for all cores,
 * so it is held only while many requests come: then these cores are not idle
 * for long in any case. A file that is closed, however the daemon ends, takes
 * its wish with it.
 *
 * How little is asked for depends on what the cores do when idle. Under a
 * hypervisor (cpuidle's driver "haltpoll") there is one kind of sleep, and all
 * that avoids it is none: idle cores poll. That costs the host as much as work
 * does, so it is not done by default where there are many cores. On hardware
 * the first kind of sleep is cheap to leave, and is allowed.
 *
 * One thread, that of turns.c which ticks.
 */
#include "fs/fuse/awake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse/log.h"

#define DEVICE  "/dev/cpu_dma_latency"
#define CPUIDLE "/sys/devices/system/cpu/cpuidle/current_driver"
#define STATE_1 "/sys/devices/system/cpu/cpu0/cpuidle/state1/latency"

#define POLLING_CORES_MAX 8  /* by default */
#define LATENCY_US_MAX    20 /* a first sleep deeper than this is not it */
#define NO_WISH           -1

/* Per tick. From MANY on the cores are kept awake, until there were FEW for
 * QUIET_TICKS. 2,000 requests a second are as many as four busy programs make
 * that each wait for a slow disk. */
#define MANY        10
#define FEW         4
#define QUIET_TICKS 4

static struct {
	int fd; /* of the device; -1: cores sleep as they like */
	int32_t latency_us;
	bool holds;
	unsigned quiet;
} awake = {.fd = -1};

/* The first line of a file of sysfs. */
static bool read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, line, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* What to ask for, or NO_WISH. */
static int32_t choose_latency(enum options_awake when)
{
	char line[64];
	char *end;
	long v;

	if (!read_line(CPUIDLE, line, sizeof(line)))
		return NO_WISH;
	if (!strcmp(line, "haltpoll")) {
		if (when == OPTIONS_AWAKE_AUTO &&
		    sysconf(_SC_NPROCESSORS_ONLN) > POLLING_CORES_MAX)
			return NO_WISH;
		return 0;
	}
	if (!read_line(STATE_1, line, sizeof(line)))
		return NO_WISH;
	v = strtol(line, &end, 10);
	return end == line || *end || v < 0 || v > LATENCY_US_MAX ? NO_WISH
								  : (int32_t)v;
}

static void give_up(const char *what, int err)
{
	log_printf(LSM_LOG_DEBUG, "cores are not kept awake: %s %s: %s", what,
		   DEVICE, strerror(err));
	if (awake.fd >= 0)
		close(awake.fd);
	awake.fd = -1;
}

void awake_start(enum options_awake when)
{
	if (when == OPTIONS_AWAKE_NEVER)
		return;
	awake.latency_us = choose_latency(when);
	if (awake.latency_us == NO_WISH)
		return;
	/* Open, it asks for nothing yet. */
	awake.fd = open(DEVICE, O_WRONLY | O_CLOEXEC);
	if (awake.fd < 0)
		give_up("opening", errno);
}

static void hold(bool on)
{
	int32_t wish = on ? awake.latency_us : NO_WISH;

	if (write(awake.fd, &wish, sizeof(wish)) != sizeof(wish))
		give_up("writing", errno);
	awake.holds = on;
	awake.quiet = 0;
}

void awake_tick(uint64_t requests)
{
	if (awake.fd < 0)
		return;
	if (!awake.holds) {
		if (requests >= MANY)
			hold(true);
		return;
	}
	if (requests > FEW)
		awake.quiet = 0;
	else if (++awake.quiet >= QUIET_TICKS)
		hold(false);
}

void awake_stop(void)
{
	if (awake.fd >= 0)
		close(awake.fd);
	awake.fd = -1;
	awake.holds = false;
}
