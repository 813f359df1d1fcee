/* SPDX-License-Identifier: MIT */
/*
 * test_concurrency.c - threads that work in the same directories and files at
 * once: nothing deadlocks, every name is there once, fsck finds nothing. To be
 * run under ThreadSanitizer too.
 */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/fs/fs_test.h"

#define THREADS 6

static struct test_fs t;
static uint64_t dirs[8];
static atomic_int errors;

static void setup(void)
{
	test_setup(&t);
}

static void teardown(void)
{
	test_teardown(&t);
}

struct worker {
	pthread_t thread;
	unsigned id;
	uint64_t rnd;
	void (*fn)(struct worker *w);
	unsigned created;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	w->fn(w);
	return NULL;
}

static unsigned run_threads(void (*fn)(struct worker *w), unsigned count)
{
	struct worker w[THREADS];
	unsigned created = 0;

	for (unsigned i = 0; i < count; i++) {
		w[i] = (struct worker){
			.id = i, .rnd = rnd_seed(i + 1), .fn = fn};
		ck_assert_int_eq(
			pthread_create(&w[i].thread, NULL, worker_main, &w[i]),
			0);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(w[i].thread, NULL);
		created += w[i].created;
	}
	ck_assert_int_eq(atomic_load(&errors), 0);
	return created;
}

/* What may come out when others change the same names. */
static void expect(int r, const char *what)
{
	if (r >= 0 || r == -ENOENT || r == -EEXIST || r == -ENOTEMPTY ||
	    r == -ENOTDIR || r == -EISDIR || r == -EINVAL || r == -ESTALE ||
	    r == -EPERM || r == -ENODATA)
		return;
	printf("# %s: %s\n", what, lsm_strerror(r));
	atomic_fetch_add(&errors, 1);
}

/* ---- creations ---- */

static void create_shared(struct worker *w)
{
	char name[32];
	struct fs_attr a;

	for (unsigned i = 0; i < 300; i++) {
		int r;

		sprintf(name, "n%u", i);
		r = fs_mknod(t.fs, &root_cred, 1, name, S_IFREG | 0644, 0, &a);
		if (r == 0) {
			w->created++;
			fs_forget(t.fs, a.st.st_ino, 1);
		} else if (r != -EEXIST) {
			expect(-EIO, "mknod");
		}
	}
}

START_TEST(each_name_is_created_once)
{
	ck_assert_uint_eq(run_threads(create_shared, THREADS), 300);
	ck_assert_uint_eq(used_inodes(t.fs), 301);
}
END_TEST

/* ---- everything at once ---- */

static void copy_between(struct worker *w, uint64_t src, uint64_t dst)
{
	uint64_t from = rnd(&w->rnd) % 20000, to = rnd(&w->rnd) % 20000;
	ssize_t n;

	if (rnd(&w->rnd) % 2)
		to = (to & ~(uint64_t)4095) | (from & 4095);
	n = fs_copy_file_range(t.fs, src, from, dst, to,
			       1 + rnd(&w->rnd) % 20000, 0);
	/* Directories; ranges that overlap. */
	if (n != -EISDIR && n != -EINVAL)
		expect((int)n, "copy_file_range");
}

static int count_fill(void *arg, const char *name, uint64_t ino, mode_t type,
		      uint64_t cookie, const struct fs_attr *attr)
{
	if (attr && strcmp(name, ".") && strcmp(name, ".."))
		fs_forget(t.fs, ino, 1);
	return 0;
}

static void one_of_all(struct worker *w, uint64_t dir, uint64_t other,
		       const char *name, const char *new_name)
{
	struct fs_attr a = {0};
	uint64_t ino;
	char buf[6000];
	int r;

	switch (rnd(&w->rnd) % 12) {
	case 0:
	case 1:
		r = fs_mknod(t.fs, &root_cred, dir, name, S_IFREG | 0644, 0,
			     &a);
		break;
	case 2:
		r = fs_mkdir(t.fs, &root_cred, dir, name, 0755, &a);
		break;
	case 3:
		expect(fs_unlink(t.fs, dir, name), "unlink");
		return;
	case 4:
		expect(fs_rmdir(t.fs, dir, name), "rmdir");
		return;
	case 5:
	case 6:
		expect(fs_rename(t.fs, &root_cred, dir, name, other, new_name,
				 rnd(&w->rnd) % 3 ? 0 : RENAME_EXCHANGE),
		       "rename");
		return;
	case 7:
		expect(fs_readdir(t.fs, dir, 0, rnd(&w->rnd) % 2, count_fill,
				  NULL),
		       "readdir");
		return;
	default:
		r = fs_lookup(t.fs, dir, name, &a);
		break;
	}
	expect(r, "create or lookup");
	if (r)
		return;
	ino = a.st.st_ino;
	memset(buf, (int)w->id, sizeof(buf));
	switch (rnd(&w->rnd) % 8) {
	case 0:
		expect((int)fs_write(t.fs, ino, buf, 1 + rnd(&w->rnd) % 6000,
				     rnd(&w->rnd) % 20000, 0),
		       "write");
		break;
	case 1:
		expect((int)fs_read(t.fs, ino, buf, sizeof(buf),
				    rnd(&w->rnd) % 20000),
		       "read");
		break;
	case 2:
		a.st.st_size = (off_t)(rnd(&w->rnd) % 20000);
		if (S_ISREG(a.st.st_mode))
			expect(fs_setattr(t.fs, &root_cred, ino, &a,
					  FS_SET_SIZE, &a),
			       "truncate");
		break;
	case 3:
		if (fs_link(t.fs, ino, other, new_name, &a) == 0)
			fs_forget(t.fs, ino, 1);
		break;
	case 4:
		expect(fs_setxattr(t.fs, &root_cred, ino, "user.a", buf, 10, 0),
		       "setxattr");
		break;
	case 5:
		expect(fs_getattr(t.fs, ino, &a), "getattr");
		break;
	case 6:
		if (fs_lookup(t.fs, other, new_name, &a) == 0) {
			copy_between(w, ino, a.st.st_ino);
			fs_forget(t.fs, a.st.st_ino, 1);
		}
		break;
	case 7:
		if (S_ISREG(a.st.st_mode))
			expect(fs_fallocate(t.fs, ino, FALLOC_FL_ZERO_RANGE,
					    rnd(&w->rnd) % 20000,
					    1 + rnd(&w->rnd) % 20000, 0),
			       "fallocate");
		break;
	}
	fs_forget(t.fs, ino, 1);
}

static void everything(struct worker *w)
{
	char name[32], new_name[32];

	for (unsigned i = 0; i < 1500; i++) {
		uint64_t dir = dirs[rnd(&w->rnd) % 8];
		uint64_t other = dirs[rnd(&w->rnd) % 8];

		sprintf(name, "n%u", (unsigned)(rnd(&w->rnd) % 6));
		sprintf(new_name, "n%u", (unsigned)(rnd(&w->rnd) % 6));
		one_of_all(w, dir, other, name, new_name);
		if (i % 500 == 250)
			expect(fs_sync(t.fs), "sync");
	}
}

START_TEST(mixed_operations_keep_the_filesystem_sound)
{
	struct fs_attr a;

	/* A lookup is kept on each, so that the numbers stay good whatever
	 * happens to their names. */
	dirs[0] = 1;
	for (unsigned i = 1; i < 8; i++) {
		char name[8];

		sprintf(name, "n%u", i % 6);
		ck_assert_int_eq(
			fs_mkdir(t.fs, &root_cred, dirs[i / 2], name, 0755, &a),
			0);
		dirs[i] = a.st.st_ino;
	}
	run_threads(everything, THREADS);
	for (unsigned i = 1; i < 8; i++)
		fs_forget(t.fs, dirs[i], 1);
}
END_TEST

/* ---- one file ---- */

static void append_lines(struct worker *w)
{
	char line[33];

	for (unsigned i = 0; i < 200; i++) {
		sprintf(line, "%15u %15u\n", w->id, i);
		if (fs_write(t.fs, dirs[0], line, 32, 0, FS_WRITE_APPEND) != 32)
			expect(-EIO, "append");
	}
}

START_TEST(appends_never_overlap)
{
	unsigned next[THREADS] = {0}, id, i;
	char line[33] = {0};

	dirs[0] = must_file(t.fs, 1, "log");
	run_threads(append_lines, THREADS);
	for (unsigned n = 0; n < THREADS * 200; n++) {
		ck_assert_int_eq(fs_read(t.fs, dirs[0], line, 32, n * 32), 32);
		ck_assert_int_eq(sscanf(line, "%u %u", &id, &i), 2);
		ck_assert_uint_lt(id, THREADS);
		ck_assert_uint_eq(i, next[id]++);
	}
}
END_TEST

/* Written blocks are all of one byte. */
static void write_blocks(struct worker *w)
{
	char buf[8192];

	for (unsigned i = 0; i < 200; i++) {
		memset(buf, (int)(w->id + 1), sizeof(buf));
		if (w->id % 2) {
			expect((int)fs_write(t.fs, dirs[0], buf, 8192, 100, 0),
			       "write");
			continue;
		}
		if ((i % 2 ? fs_read : read_pieces)(t.fs, dirs[0], buf, 8192,
						    100) != 8192) {
			expect(-EIO, "read");
			continue;
		}
		for (unsigned j = 1; j < 8192; j++)
			if (buf[j] != buf[0])
				expect(-EIO, "a torn write was read");
	}
}

START_TEST(reads_see_whole_writes)
{
	char buf[8192] = {0};

	dirs[0] = must_file(t.fs, 1, "f");
	must_write(t.fs, dirs[0], buf, sizeof(buf), 100);
	run_threads(write_blocks, THREADS);
}
END_TEST

/* ---- large writes of one file ---- */

#define LARGE_BYTES  (300u << 10)
#define LARGE_PLACES 4

/* At odd places, so that neighbours share a block. */
static uint64_t large_place(unsigned i)
{
	return 1000 + (uint64_t)i * LARGE_BYTES;
}

/* Of one byte each; half of the threads also cut, punch and read. */
static void write_large(struct worker *w)
{
	char *buf = malloc(LARGE_BYTES);

	for (unsigned i = 0; i < 40; i++) {
		uint64_t at = large_place(rnd(&w->rnd) % LARGE_PLACES);

		memset(buf, (int)(1 + rnd(&w->rnd) % 250), LARGE_BYTES);
		/* Some whole blocks are zeros, and become holes. */
		if (i % 5 == 0)
			memset(buf, 0, LARGE_BYTES);
		expect((int)fs_write(t.fs, dirs[0], buf, LARGE_BYTES, at, 0),
		       "write");
		if (w->id % 2 == 0)
			continue;
		if (i % 8 == 7)
			expect(fs_fallocate(t.fs, dirs[0],
					    FALLOC_FL_PUNCH_HOLE |
						    FALLOC_FL_KEEP_SIZE,
					    at, LARGE_BYTES, 0),
			       "punch");
		if (fs_read(t.fs, dirs[0], buf, LARGE_BYTES, at) != LARGE_BYTES)
			expect(-EIO, "read");
		for (unsigned j = 1; j < LARGE_BYTES; j++) {
			if (buf[j] == buf[0])
				continue;
			expect(-EIO, "a torn write was read");
			break;
		}
	}
	free(buf);
}

START_TEST(large_writes_of_one_file_are_whole)
{
	static char zero[LARGE_BYTES];

	dirs[0] = must_file(t.fs, 1, "f");
	for (unsigned i = 0; i < LARGE_PLACES; i++)
		must_write(t.fs, dirs[0], zero, sizeof(zero), large_place(i));
	run_threads(write_large, THREADS);
	ck_assert_uint_eq(test_fsck(t.fs, false, NULL), 0);
	test_reopen(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/concurrency");
	TCase *c = tcase_create("concurrency");

	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, each_name_is_created_once);
	tcase_add_test(c, mixed_operations_keep_the_filesystem_sound);
	tcase_add_test(c, appends_never_overlap);
	tcase_add_test(c, reads_see_whole_writes);
	tcase_add_test(c, large_writes_of_one_file_are_whole);
	suite_add_tcase(s, c);
	return run_suite(s);
}
