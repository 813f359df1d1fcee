/* SPDX-License-Identifier: MIT */
/*
 * kill9_load.c - load for kill9.sh, and the judge of what is left of it.
 *
 *   kill9_load load DIRECTORY JOURNAL SEED THREADS
 *   kill9_load verify DIRECTORY JOURNAL SEED
 *
 * load works in DIRECTORY until an operation fails because the filesystem is
 * gone, and writes into JOURNAL, which lies outside of it, what it is about to
 * do and what has returned. verify reads the journal and looks at the files.
 *
 * What must hold when the daemon was killed: an operation that returned is
 * there whole; the one under way in each thread is there whole or not at all.
 * Contents come from a generator of (seed, key, version, offset), so that every
 * byte can be judged without a copy.
 *
 * Each thread has keys of its own. A file of key K is called f.K, after an odd
 * number of renames g.K, and lies in its thread's directory.
 *
 *   W  write a new version into t.K, fsync or close it, rename it to the name
 *   D  unlink
 *   R  rename f.K to g.K or back: never both names, never none
 *   A  append, fsync
 *
 * Journal: "<i|c> <op> <key> <version> <size>", i before and c after. One
 * write(2) a line, so that lines of threads do not mix.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS         40 /* of a thread */
#define THREADS_MAX  16
#define FILE_BYTES   200000
#define APPEND_BYTES 20000

struct file_state {
	bool exists;
	bool other_name;
	unsigned version;
	unsigned size;
};

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t random;
	struct file_state files[KEYS];
};

static const char *directory;
static int journal = -1;
static uint64_t seed;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

static uint8_t content(unsigned key, unsigned version, size_t offset)
{
	uint64_t word = mix(seed ^ mix((uint64_t)key << 32 | version) ^
			    mix(offset / 8));

	return (uint8_t)(word >> (offset % 8 * 8));
}

static unsigned next(struct worker *w, unsigned below)
{
	w->random = mix(w->random + 0x9e3779b97f4a7c15u);
	return (unsigned)(w->random % below);
}

static void path_of(char *path, size_t size, char kind, unsigned key)
{
	snprintf(path, size, "%s/%u/%c.%u", directory, key / KEYS, kind, key);
}

static char name_kind(const struct file_state *f)
{
	return f->other_name ? 'g' : 'f';
}

/* False ends the thread: without a journal nothing can be judged. */
static bool note(char when, char op, unsigned key, const struct file_state *f)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "%c %c %u %u %u\n", when, op, key,
			 f->version, f->size);

	return write(journal, line, (size_t)n) == n;
}

static bool write_range(int fd, unsigned key, unsigned version, size_t from,
			size_t to)
{
	uint8_t buf[4096];

	while (from < to) {
		size_t n = to - from < sizeof(buf) ? to - from : sizeof(buf);
		size_t i;

		for (i = 0; i < n; i++)
			buf[i] = content(key, version, from + i);
		if (write(fd, buf, n) != (ssize_t)n)
			return false;
		from += n;
	}
	return true;
}

static bool do_write(struct worker *w, unsigned key, struct file_state *f)
{
	struct file_state new = *f;
	char temp[512], path[512];
	bool sync = next(w, 3) == 0;
	int fd;
	bool ok;

	new.exists = true;
	new.version++;
	new.size = next(w, 8) ? next(w, 9000) : next(w, FILE_BYTES);
	path_of(temp, sizeof(temp), 't', key);
	path_of(path, sizeof(path), name_kind(f), key);
	if (!note('i', 'W', key, &new))
		return false;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return false;
	ok = write_range(fd, key, new.version, 0, new.size);
	if (ok && sync && fsync(fd))
		ok = false;
	if (close(fd))
		ok = false;
	if (!ok || rename(temp, path))
		return false;
	*f = new;
	return note('c', 'W', key, f);
}

static bool do_delete(unsigned key, struct file_state *f)
{
	char path[512];

	path_of(path, sizeof(path), name_kind(f), key);
	if (!note('i', 'D', key, f) || unlink(path))
		return false;
	f->exists = false;
	return note('c', 'D', key, f);
}

static bool do_rename(unsigned key, struct file_state *f)
{
	char from[512], to[512];

	path_of(from, sizeof(from), name_kind(f), key);
	f->other_name = !f->other_name;
	path_of(to, sizeof(to), name_kind(f), key);
	if (!note('i', 'R', key, f) || rename(from, to))
		return false;
	return note('c', 'R', key, f);
}

static bool do_append(struct worker *w, unsigned key, struct file_state *f)
{
	struct file_state new = *f;
	char path[512];
	bool ok;
	int fd;

	new.size += next(w, APPEND_BYTES);
	path_of(path, sizeof(path), name_kind(f), key);
	if (!note('i', 'A', key, &new))
		return false;
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0)
		return false;
	ok = write_range(fd, key, f->version, f->size, new.size) && !fsync(fd);
	if (close(fd) || !ok)
		return false;
	*f = new;
	return note('c', 'A', key, f);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	bool ok = true;

	while (ok) {
		unsigned i = next(w, KEYS), key = w->number * KEYS + i;
		struct file_state *f = &w->files[i];
		unsigned choice = next(w, 10);

		if (!f->exists || choice < 5)
			ok = do_write(w, key, f);
		else if (choice < 6)
			ok = do_delete(key, f);
		else if (choice < 8)
			ok = do_rename(key, f);
		else
			ok = do_append(w, key, f);
	}
	if (errno != ENOTCONN && errno != ECONNABORTED && errno != EIO)
		fprintf(stderr, "thread %u stopped: %s\n", w->number,
			strerror(errno));
	return NULL;
}

static int load(unsigned threads)
{
	static struct worker workers[THREADS_MAX];
	char path[512];
	unsigned i;

	for (i = 0; i < threads; i++) {
		snprintf(path, sizeof(path), "%s/%u", directory, i);
		if (mkdir(path, 0755)) {
			perror(path);
			return 1;
		}
	}
	for (i = 0; i < threads; i++) {
		workers[i].number = i;
		workers[i].random = seed + i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 1;
	}
	for (i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	return 0;
}

/* What the journal says of one key. */
struct record {
	struct file_state done;
	char pending; /* 0: nothing is under way */
	struct file_state wanted;
};

static struct record records[THREADS_MAX * KEYS];
static unsigned errors;

#define COMPLAIN(key, ...)                                                 \
	(fprintf(stderr, "key %u: ", (key)), fprintf(stderr, __VA_ARGS__), \
	 fputc('\n', stderr), errors++)

static bool read_journal(const char *path)
{
	unsigned key, version, size;
	FILE *f = fopen(path, "r");
	char when, op, line[128];
	unsigned long lines = 0;

	if (!f) {
		perror(path);
		return false;
	}
	while (fgets(line, sizeof(line), f)) {
		struct file_state *s;
		struct record *r;

		if (sscanf(line, "%c %c %u %u %u", &when, &op, &key, &version,
			   &size) != 5 ||
		    key >= THREADS_MAX * KEYS) {
			fprintf(stderr, "journal: %s", line);
			fclose(f);
			return false;
		}
		r = &records[key];
		if (when == 'i') {
			r->wanted = r->done;
			r->pending = op;
		}
		s = when == 'i' ? &r->wanted : &r->done;
		if (when == 'c')
			r->pending = 0;
		s->version = version;
		s->size = size;
		if (op == 'R')
			s->other_name = !s->other_name;
		s->exists = op != 'D';
		lines++;
	}
	fclose(f);
	printf("%lu lines in the journal\n", lines);
	return true;
}

/*
 * The file at path has the content of key and version: exact bytes up to
 * size_done; behind that, up to size_most, the content or a hole.
 */
static bool matches(const char *path, unsigned key, unsigned version,
		    size_t size_done, size_t size_most)
{
	static uint8_t buf[65536];
	int fd = open(path, O_RDONLY);
	size_t at = 0;
	bool ok = true;
	ssize_t n = 0, i;

	if (fd < 0)
		return false;
	while (ok && (n = read(fd, buf, sizeof(buf))) > 0) {
		for (i = 0; i < n && ok; i++, at++)
			ok = at < size_most &&
			     (buf[i] == content(key, version, at) ||
			      (at >= size_done && !buf[i]));
	}
	close(fd);
	return ok && n == 0 && at >= size_done;
}

static bool has_state(unsigned key, const struct file_state *s)
{
	char path[512], other[512];

	path_of(path, sizeof(path), name_kind(s), key);
	path_of(other, sizeof(other), s->other_name ? 'f' : 'g', key);
	if (!access(other, F_OK))
		return false;
	if (!s->exists)
		return access(path, F_OK) && errno == ENOENT;
	return matches(path, key, s->version, s->size, s->size);
}

static void verify_key(unsigned key, const struct record *r)
{
	char path[512];

	if (has_state(key, &r->done))
		return;
	if (!r->pending) {
		COMPLAIN(key,
			 "not as the last completed operation left it "
			 "(version %u, %u bytes, %s)",
			 r->done.version, r->done.size,
			 r->done.exists ? "exists" : "deleted");
		return;
	}
	if (has_state(key, &r->wanted))
		return;
	path_of(path, sizeof(path), name_kind(&r->done), key);
	if (r->pending == 'A' &&
	    matches(path, key, r->done.version, r->done.size, r->wanted.size))
		return;
	COMPLAIN(key,
		 "neither before nor after %c (versions %u and %u, "
		 "%u and %u bytes)",
		 r->pending, r->done.version, r->wanted.version, r->done.size,
		 r->wanted.size);
}

static int verify(const char *path)
{
	unsigned key;

	if (!read_journal(path))
		return 1;
	for (key = 0; key < THREADS_MAX * KEYS; key++)
		verify_key(key, &records[key]);
	return errors ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned threads;

	if (argc < 5) {
		fprintf(stderr, "usage: kill9_load load|verify DIRECTORY "
				"JOURNAL SEED [THREADS]\n");
		return 2;
	}
	directory = argv[2];
	seed = strtoull(argv[4], NULL, 0);
	if (!strcmp(argv[1], "verify"))
		return verify(argv[3]);
	threads = argc > 5 ? (unsigned)atoi(argv[5]) : 4;
	if (threads < 1 || threads > THREADS_MAX)
		return 2;
	journal = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
	if (journal < 0) {
		perror(argv[3]);
		return 1;
	}
	return load(threads);
}
