/* SPDX-License-Identifier: MIT */
/*
 * fsops.c - metadata operations on a mounted filesystem, counted and timed.
 *
 *   fsops PHASE DIR FILES PER_DIR [BYTES]
 *
 * prints one line a phase: its name, operations a second, and the latency of
 * one operation in microseconds, mean, p50 and p99:
 *
 *   create 35123.4 28.1 24.5 61.2
 *
 * Phases, on FILES files spread over directories of PER_DIR each (PER_DIR 0:
 * all in one):
 *   create   make the files, BYTES long (default 0); timed until sync(2) ends
 *   stat     stat every file, in an order that is not that of creation
 *   list     what ls -l does: read each directory, stat each name
 *   read     open, read to the end, close
 *   rename   give every file another name in its directory (and back, when
 *            run again)
 *   unlink   remove the files and the directories; timed until sync(2) ends
 *   getattr  one file, past the kernel's attribute cache (latency)
 *   missing  names that do not exist, never the same (latency)
 *
 * It is one thread and does not check what it reads: tests do that.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *top;
static uint64_t files, per_dir;
static size_t file_bytes;
static char *content;

static uint32_t *latency; /* tens of nanoseconds, one an operation */
static uint64_t operations, started, last;

static void die(const char *what)
{
	fprintf(stderr, "fsops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void operation_done(void)
{
	uint64_t t = now(), tens = (t - last) / 10;

	latency[operations++] = tens > UINT32_MAX ? UINT32_MAX : (uint32_t)tens;
	last = t;
}

static void dir_path(char *out, size_t size, uint64_t dir)
{
	if ((size_t)snprintf(out, size, "%s/dir%llu", top,
			     (unsigned long long)dir) >= size) {
		errno = ENAMETOOLONG;
		die(top);
	}
}

static void file_path(char *out, size_t size, uint64_t file, char first)
{
	if ((size_t)snprintf(out, size, "%s/dir%llu/%c%llu.data", top,
			     (unsigned long long)(file / per_dir), first,
			     (unsigned long long)file) >= size) {
		errno = ENAMETOOLONG;
		die(top);
	}
}

static uint64_t dirs(void)
{
	return (files + per_dir - 1) / per_dir;
}

/* A walk over all numbers below files that jumps: multiplication by a number
 * that has no factor in common with files. */
static uint64_t shuffled(uint64_t i)
{
	static uint64_t step;
	uint64_t a, b, t;

	if (!step) {
		step = (uint64_t)((double)files * 0.618) | 1;
		for (;; step++) {
			for (a = step, b = files; b; a = t) {
				t = b;
				b = a % b;
			}
			if (a == 1)
				break;
		}
	}
	return (uint64_t)((unsigned __int128)i * step % files);
}

static void create(void)
{
	char path[4096];
	uint64_t i;
	int fd;

	for (i = 0; i < files; i++) {
		if (i % per_dir == 0) {
			dir_path(path, sizeof(path), i / per_dir);
			if (mkdir(path, 0755))
				die(path);
		}
		file_path(path, sizeof(path), i, 'a');
		fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		if (fd < 0)
			die(path);
		if (file_bytes &&
		    write(fd, content, file_bytes) != (ssize_t)file_bytes)
			die(path);
		if (close(fd))
			die(path);
		operation_done();
	}
	sync();
}

static void stat_all(void)
{
	char path[4096];
	struct stat st;
	uint64_t i;

	for (i = 0; i < files; i++) {
		file_path(path, sizeof(path), shuffled(i), 'a');
		if (lstat(path, &st))
			die(path);
		operation_done();
	}
}

static void list(void)
{
	char path[4096];
	struct dirent *e;
	struct stat st;
	uint64_t d;
	DIR *dir;

	for (d = 0; d < dirs(); d++) {
		dir_path(path, sizeof(path), d);
		dir = opendir(path);
		if (!dir)
			die(path);
		while (errno = 0, (e = readdir(dir)) != NULL) {
			if (e->d_name[0] == '.')
				continue;
			if (fstatat(dirfd(dir), e->d_name, &st,
				    AT_SYMLINK_NOFOLLOW))
				die(e->d_name);
			if (operations == files) {
				errno = EEXIST;
				die("more names than files");
			}
			operation_done();
		}
		if (errno)
			die(path);
		closedir(dir);
	}
	if (operations != files) {
		errno = ENOENT;
		die("fewer names than files");
	}
}

static void read_all(void)
{
	char path[4096];
	uint64_t i;
	ssize_t n;
	int fd;

	for (i = 0; i < files; i++) {
		file_path(path, sizeof(path), shuffled(i), 'a');
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die(path);
		while ((n = read(fd, content, file_bytes + 1)) > 0)
			;
		if (n < 0)
			die(path);
		close(fd);
		operation_done();
	}
}

static void rename_all(void)
{
	char from[4096], to[4096];
	struct stat st;
	uint64_t i;
	char a = 'a', b = 'b';

	file_path(from, sizeof(from), 0, 'b');
	if (!lstat(from, &st)) {
		a = 'b';
		b = 'a';
	}
	started = last = now();
	for (i = 0; i < files; i++) {
		file_path(from, sizeof(from), i, a);
		file_path(to, sizeof(to), i, b);
		if (rename(from, to))
			die(from);
		operation_done();
	}
}

static void unlink_all(void)
{
	char path[4096];
	uint64_t i;

	for (i = 0; i < files; i++) {
		file_path(path, sizeof(path), i, 'a');
		if (unlink(path))
			die(path);
		operation_done();
	}
	for (i = 0; i < dirs(); i++) {
		dir_path(path, sizeof(path), i);
		if (rmdir(path))
			die(path);
	}
	sync();
}

static void getattr(void)
{
	char path[4096];
	struct statx st;
	uint64_t i;

	file_path(path, sizeof(path), 0, 'a');
	for (i = 0; i < files; i++) {
		if (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC,
			  STATX_BASIC_STATS, &st))
			die(path);
		operation_done();
	}
}

static void missing(void)
{
	char path[4096];
	struct stat st;
	uint64_t i;

	for (i = 0; i < files; i++) {
		file_path(path, sizeof(path), i, 'x');
		if (!lstat(path, &st)) {
			errno = EEXIST;
			die(path);
		}
		if (errno != ENOENT)
			die(path);
		operation_done();
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} phases[] = {
	{"create", create},   {"stat", stat_all},     {"list", list},
	{"read", read_all},   {"rename", rename_all}, {"unlink", unlink_all},
	{"getattr", getattr}, {"missing", missing},
};

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *name, double seconds)
{
	double sum = 0;
	uint64_t i;

	for (i = 0; i < operations; i++)
		sum += latency[i] / 100.0;
	qsort(latency, operations, sizeof(*latency), cmp_u32);
	printf("%s %.1f %.2f %.2f %.2f\n", name, (double)operations / seconds,
	       sum / (double)operations, latency[operations / 2] / 100.0,
	       latency[operations - 1 - operations / 100] / 100.0);
}

static int usage(void)
{
	fputs("usage: fsops PHASE DIR FILES PER_DIR [BYTES]\n", stderr);
	return 2;
}

/* Half noise, half zeros: compresses to about half. */
static void make_content(void)
{
	uint64_t x = 88172645463325252u;
	size_t i;

	content = calloc(1, file_bytes + 1);
	if (!content)
		die("content");
	for (i = 0; i < file_bytes; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (i % 128 < 64)
			content[i] = (char)x;
	}
}

int main(int argc, char **argv)
{
	double seconds;
	size_t i;

	if (argc < 5 || argc > 6)
		return usage();
	top = argv[2];
	files = strtoull(argv[3], NULL, 10);
	per_dir = strtoull(argv[4], NULL, 10);
	file_bytes = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
	if (!files)
		return usage();
	if (!per_dir)
		per_dir = files;
	make_content();
	latency = calloc(files, sizeof(*latency));
	if (!latency)
		die("latency");
	for (i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
		if (strcmp(phases[i].name, argv[1]) != 0)
			continue;
		started = last = now();
		phases[i].run();
		seconds = (double)(now() - started) / 1e9;
		report(argv[1], seconds > 0 ? seconds : 1e-9);
		free(latency);
		free(content);
		return 0;
	}
	return usage();
}
