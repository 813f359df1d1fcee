/* SPDX-License-Identifier: MIT */
/*
 * space_ops.c - for space.sh: makes large files, and takes their space away in
 * one system call, timed alone.
 *
 *   space_ops dense FILE MIB SEED          incompressible data from end to end
 *   space_ops sparse FILE MIB STEP_KIB     4 KiB of it every STEP_KIB
 *   space_ops truncate FILE MIB
 *   space_ops punch FILE FROM_MIB TO_MIB
 *   space_ops unlink FILE
 *
 * The last three print how many microseconds the call took.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB   ((uint64_t)1 << 20)
#define PIECE ((size_t)1 << 20)
#define BLOCK ((size_t)4096)

static void die(const char *what)
{
	fprintf(stderr, "space_ops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);

	if (*end || end == text) {
		errno = EINVAL;
		die(text);
	}
	return v;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		die(path);
	return fd;
}

static void close_file(int fd, const char *path)
{
	/* Without the pages in the kernel's cache: to drop those of a deleted
	 * file takes any filesystem its time. */
	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ||
	    close(fd))
		die(path);
}

/* xorshift64*, Vigna 2016 */
static void fill(uint64_t *buf, size_t bytes, uint64_t *state)
{
	for (size_t i = 0; i < bytes / 8; i++) {
		*state ^= *state >> 12;
		*state ^= *state << 25;
		*state ^= *state >> 27;
		buf[i] = *state * 2685821657736338717ull;
	}
}

static void write_all(int fd, const void *buf, size_t bytes, uint64_t offset)
{
	if (pwrite(fd, buf, bytes, (off_t)offset) != (ssize_t)bytes)
		die("write");
}

static void dense(const char *path, uint64_t mib, uint64_t seed)
{
	static uint64_t buf[PIECE / 8];
	uint64_t state = seed * 0x9e3779b97f4a7c15ull | 1;
	int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);

	for (uint64_t at = 0; at < mib * MIB; at += PIECE) {
		fill(buf, sizeof(buf), &state);
		write_all(fd, buf, sizeof(buf), at);
	}
	close_file(fd, path);
}

static void sparse(const char *path, uint64_t mib, uint64_t step)
{
	static uint64_t buf[BLOCK / 8];
	uint64_t state = 88172645463325252ull;
	int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);

	if (step == 0) {
		errno = EINVAL;
		die("step");
	}
	for (uint64_t at = 0; at < mib * MIB; at += step << 10) {
		fill(buf, sizeof(buf), &state);
		write_all(fd, buf, sizeof(buf), at);
	}
	if (ftruncate(fd, (off_t)(mib * MIB)))
		die(path);
	close_file(fd, path);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void took(uint64_t started, int result, const char *what)
{
	if (result)
		die(what);
	printf("%llu\n", (unsigned long long)((now() - started) / 1000));
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "",
		   *path = argv[argc > 2 ? 2 : 0];
	uint64_t a = argc > 3 ? number(argv[3]) : 0;
	uint64_t b = argc > 4 ? number(argv[4]) : 0;
	uint64_t started;
	int fd;

	if (!strcmp(what, "dense") && argc == 5) {
		dense(path, a, b);
	} else if (!strcmp(what, "sparse") && argc == 5) {
		sparse(path, a, b);
	} else if (!strcmp(what, "unlink") && argc == 3) {
		started = now();
		took(started, unlink(path), path);
	} else if (!strcmp(what, "truncate") && argc == 4) {
		fd = open_file(path, O_RDWR);
		started = now();
		took(started, ftruncate(fd, (off_t)(a * MIB)), path);
	} else if (!strcmp(what, "punch") && argc == 5) {
		fd = open_file(path, O_RDWR);
		started = now();
		took(started,
		     fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)(a * MIB), (off_t)((b - a) * MIB)),
		     path);
	} else {
		fprintf(stderr, "space_ops: see space_ops.c\n");
		return 2;
	}
	return 0;
}
