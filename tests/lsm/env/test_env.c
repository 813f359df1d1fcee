/* SPDX-License-Identifier: MIT */
/*
 * test_env.c - the contract of env.h, held by every implementation: each test
 * runs on the operating system's env and on the disk in memory.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/lsm/env/env_test.h"

enum { POSIX, FAULT, ENV_COUNT };

static struct lsm_env *env;
static struct env_dir *dir;
static char root[256], path[300];

static void begin(int which)
{
	if (which == POSIX) {
		env = lsm_env_posix();
		temp_dir_make(root);
	} else {
		env = env_fault_new();
		ck_assert_ptr_nonnull(env);
		snprintf(root, sizeof(root), "/mem");
	}
	snprintf(path, sizeof(path), "%s/db", root);
	ck_ok(env_dir_open(env, path, ENV_DIR_CREATE, &dir));
}

static void end(int which)
{
	env_dir_close(dir);
	if (which == POSIX)
		temp_dir_remove(root);
	else
		env_fault_free(env);
}

START_TEST(missing_directory_is_enoent_unless_asked_to_make_it)
{
	struct env_dir *d;
	char other[400];

	begin(_i);
	snprintf(other, sizeof(other), "%s-other", path);
	ck_assert_int_eq(env_dir_open(env, other, 0, &d), -ENOENT);
	ck_assert_int_eq(env_dir_open(env, "", ENV_DIR_CREATE, &d), -ENOENT);
	ck_assert_int_eq(env_dir_open(env, other,
				      ENV_DIR_CREATE | ENV_DIR_READ_ONLY, &d),
			 -ENOENT);
	ck_ok(env_dir_open(env, other, ENV_DIR_CREATE, &d));
	env_dir_close(d);
	ck_ok(env_dir_open(env, other, 0, &d));
	env_dir_close(d);
	end(_i);
}
END_TEST

START_TEST(names_that_are_not_one_component_are_refused)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/a"};
	struct env_writer *w;
	struct env_object *o;
	struct env_log *log;
	size_t i;

	begin(_i);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(env_writer_create(dir, bad[i], &w), -EINVAL);
		ck_assert_int_eq(env_object_open(dir, bad[i], &o), -EINVAL);
		ck_assert_int_eq(env_log_create(dir, bad[i], NULL, 0, &log),
				 -EINVAL);
		ck_assert_int_eq(env_dir_delete(dir, bad[i]), -EINVAL);
		ck_assert_int_eq(env_dir_rename(dir, "x", bad[i]), -EINVAL);
		ck_assert_int_eq(env_put_file(dir, bad[i], "", 0), -EINVAL);
	}
	end(_i);
}
END_TEST

START_TEST(object_reads_back_what_was_written_in_any_pieces)
{
	static const size_t sizes[] = {0,      1,      511,    4096,
				       262143, 262144, 262145, 1500000};
	unsigned char *data = malloc(1500000), *buf = malloc(1500000);
	struct env_object *o;
	struct env_writer *w;
	unsigned long long rnd = test_seed(1);
	size_t i, at, n;

	begin(_i);
	fill_pattern(data, 1500000, 1);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_ok(env_writer_create(dir, "o", &w));
		for (at = 0; at < sizes[i]; at += n) {
			rnd = rnd * 6364136223846793005u + 1442695040888963407u;
			n = (rnd >> 33) % (i % 2 ? 400000 : 700) + 1;
			if (n > sizes[i] - at)
				n = sizes[i] - at;
			ck_ok(env_writer_append(w, data + at, n));
		}
		ck_ok(env_writer_append(w, data, 0));
		ck_ok(env_writer_finish(w));
		ck_ok(env_object_open(dir, "o", &o));
		ck_assert_uint_eq(env_object_bytes(o), sizes[i]);
		ck_ok(env_object_read(o, 0, buf, sizes[i]));
		ck_assert_int_eq(memcmp(buf, data, sizes[i]), 0);
		env_object_close(o);
		ck_ok(env_dir_delete(dir, "o"));
	}
	end(_i);
	free(data);
	free(buf);
}
END_TEST

START_TEST(read_beyond_the_end_is_corruption_not_a_short_read)
{
	struct env_object *o;
	char buf[200];

	begin(_i);
	write_object(dir, "o", "0123456789", 10);
	ck_ok(env_object_open(dir, "o", &o));
	ck_ok(env_object_read(o, 4, buf, 6));
	ck_assert_int_eq(memcmp(buf, "456789", 6), 0);
	ck_ok(env_object_read(o, 10, buf, 0));
	ck_assert_int_eq(env_object_read(o, 4, buf, 7), -EUCLEAN);
	ck_assert_int_eq(env_object_read(o, 11, buf, 1), -EUCLEAN);
	ck_assert_int_eq(env_object_read(o, UINT64_MAX - 3, buf, 8), -EUCLEAN);
	ck_assert_int_eq(env_object_read(o, INT64_MAX, buf, 1), -EUCLEAN);
	env_object_prefetch(o, 0, 10);
	env_object_prefetch(o, UINT64_MAX, 10);
	env_object_close(o);
	ck_assert_int_eq(env_object_open(dir, "none", &o), -ENOENT);
	ck_assert_ptr_null(o);
	end(_i);
}
END_TEST

START_TEST(map_shows_the_object_until_it_is_closed)
{
	const void *base, *again;
	struct env_object *o;
	char data[10000];

	begin(_i);
	fill_pattern(data, sizeof(data), 7);
	write_object(dir, "o", data, sizeof(data));
	write_object(dir, "empty", data, 0);
	ck_ok(env_object_open(dir, "empty", &o));
	ck_assert_int_eq(env_object_map(o, &base), -ENODATA);
	ck_assert(!env_object_map_lost(o));
	env_object_close(o);
	ck_ok(env_object_open(dir, "o", &o));
	ck_assert(!env_object_map_lost(o));
	ck_ok(env_object_map(o, &base));
	ck_ok(env_object_map(o, &again));
	ck_assert_ptr_eq(base, again);
	ck_ok(env_dir_delete(dir, "o"));
	env_object_drop(o);
	ck_assert_int_eq(memcmp(base, data, sizeof(data)), 0);
	ck_assert(!env_object_map_lost(o));
	env_object_close(o);
	end(_i);
}
END_TEST

START_TEST(writer_refuses_a_name_that_is_taken_and_abort_leaves_nothing)
{
	struct env_writer *w;

	begin(_i);
	write_object(dir, "o", "x", 1);
	ck_assert_int_eq(env_writer_create(dir, "o", &w), -EEXIST);
	ck_assert_ptr_null(w);
	ck_ok(env_writer_create(dir, "p", &w));
	ck_ok(env_writer_append(w, "y", 1));
	env_writer_abort(w);
	ck_assert(!exists(dir, "p"));
	expect_object(dir, "o", "x", 1);
	end(_i);
}
END_TEST

START_TEST(rename_replaces_and_delete_removes)
{
	begin(_i);
	write_object(dir, "a", "aa", 2);
	write_object(dir, "b", "b", 1);
	ck_ok(env_dir_rename(dir, "a", "b"));
	ck_assert(!exists(dir, "a"));
	expect_object(dir, "b", "aa", 2);
	ck_assert_int_eq(env_dir_rename(dir, "a", "c"), -ENOENT);
	ck_assert_int_eq(env_dir_delete(dir, "a"), -ENOENT);
	ck_ok(env_dir_rename(dir, "b", "b"));
	ck_ok(env_dir_delete(dir, "b"));
	ck_assert(!exists(dir, "b"));
	ck_ok(env_dir_sync(dir));
	end(_i);
}
END_TEST

struct seen {
	unsigned count;
	uint64_t bytes;
	int stop_with;
};

static int see(void *arg, const char *name, uint64_t bytes)
{
	struct seen *s = arg;

	ck_assert(!strcmp(name, "a") || !strcmp(name, "b"));
	s->count++;
	s->bytes += bytes;
	return s->stop_with;
}

START_TEST(list_names_every_file_once_and_stops_when_told)
{
	struct seen s = {0};

	begin(_i);
	write_object(dir, "a", "123", 3);
	write_object(dir, "b", "4567", 4);
	write_object(dir, "c", "", 0);
	ck_ok(env_dir_delete(dir, "c"));
	ck_ok(env_dir_list(dir, see, &s));
	ck_assert_uint_eq(s.count, 2);
	ck_assert_uint_eq(s.bytes, 7);
	s.count = 0;
	s.stop_with = 42;
	ck_assert_int_eq(env_dir_list(dir, see, &s), 42);
	ck_assert_uint_eq(s.count, 1);
	end(_i);
}
END_TEST

START_TEST(link_gives_another_directory_the_same_object)
{
	struct env_dir *to;
	char other[400];

	begin(_i);
	snprintf(other, sizeof(other), "%s-other", path);
	ck_ok(env_dir_open(env, other, ENV_DIR_CREATE, &to));
	write_object(dir, "o", "abc", 3);
	ck_ok(env_dir_link(dir, "o", to));
	ck_assert_int_eq(env_dir_link(dir, "o", to), -EEXIST);
	ck_assert_int_eq(env_dir_link(dir, "none", to), -ENOENT);
	ck_ok(env_dir_delete(dir, "o"));
	expect_object(to, "o", "abc", 3);
	env_dir_close(to);
	end(_i);
}
END_TEST

START_TEST(read_only_directory_refuses_every_change)
{
	struct env_dir *ro;
	struct env_writer *w;
	struct env_log *log;
	pid_t holder;

	begin(_i);
	write_object(dir, "o", "abc", 3);
	ck_ok(env_dir_open(env, path, ENV_DIR_READ_ONLY, &ro));
	expect_object(ro, "o", "abc", 3);
	ck_assert_int_eq(env_writer_create(ro, "p", &w), -EROFS);
	ck_assert_int_eq(env_log_create(ro, "p", NULL, 0, &log), -EROFS);
	ck_assert_int_eq(env_dir_delete(ro, "o"), -EROFS);
	ck_assert_int_eq(env_dir_rename(ro, "o", "p"), -EROFS);
	ck_assert_int_eq(env_dir_link(dir, "o", ro), -EROFS);
	ck_assert_int_eq(env_dir_sync(ro), -EROFS);
	ck_assert_int_eq(env_dir_lock(ro, 0, &holder), -EROFS);
	ck_assert_int_eq(env_put_file(ro, "o", "x", 1), -EROFS);
	expect_object(ro, "o", "abc", 3);
	env_dir_close(ro);
	end(_i);
}
END_TEST

START_TEST(lock_excludes_a_second_opener_until_close)
{
	struct env_dir *second;
	pid_t holder = 7;
	uint64_t t;

	begin(_i);
	ck_ok(env_dir_lock(dir, 0, &holder));
	ck_assert_int_eq(holder, 0);
	ck_assert_int_eq(env_dir_lock(dir, 0, NULL), -EBUSY);
	ck_ok(env_dir_open(env, path, 0, &second));
	ck_assert_int_eq(env_dir_lock(second, 0, &holder), -EBUSY);
	ck_assert_int_eq(holder, getpid());
	t = (uint64_t)time(NULL);
	ck_assert_int_eq(env_dir_lock(second, 60, &holder), -EBUSY);
	ck_assert_uint_le((uint64_t)time(NULL) - t, 5);
	env_dir_close(dir);
	ck_ok(env_dir_lock(second, 0, &holder));
	dir = second;
	end(_i);
}
END_TEST

static void *close_soon(void *arg)
{
	usleep(60000);
	env_dir_close(arg);
	return NULL;
}

START_TEST(lock_waits_for_the_holder_to_close)
{
	struct env_dir *second;
	pthread_t t;

	begin(_i);
	ck_ok(env_dir_lock(dir, 0, NULL));
	ck_ok(env_dir_open(env, path, 0, &second));
	ck_ok(pthread_create(&t, NULL, close_soon, dir));
	ck_ok(env_dir_lock(second, 10000, NULL));
	ck_ok(pthread_join(t, NULL));
	dir = second;
	end(_i);
}
END_TEST

START_TEST(put_file_replaces_whole_and_get_file_bounds_it)
{
	size_t len;
	void *data;

	begin(_i);
	ck_assert_int_eq(env_get_file(dir, "CURRENT", 100, &data, &len),
			 -ENOENT);
	ck_assert_ptr_null(data);
	/* Left over from a crash. */
	write_object(dir, "CURRENT.tmp", "old old old", 11);
	ck_ok(env_put_file(dir, "CURRENT", "one", 3));
	ck_ok(env_put_file(dir, "CURRENT", "second", 6));
	ck_assert(!exists(dir, "CURRENT.tmp"));
	ck_ok(env_get_file(dir, "CURRENT", 6, &data, &len));
	ck_assert_uint_eq(len, 6);
	ck_assert_str_eq(data, "second");
	free(data);
	ck_assert_int_eq(env_get_file(dir, "CURRENT", 5, &data, &len), -EFBIG);
	ck_assert_ptr_null(data);
	ck_ok(env_put_file(dir, "CURRENT", NULL, 0));
	ck_ok(env_get_file(dir, "CURRENT", 0, &data, &len));
	ck_assert_uint_eq(len, 0);
	free(data);
	end(_i);
}
END_TEST

/* Appends records of random sizes to log and to the copy; returns its end. */
static size_t append_random(struct env_log *log, unsigned char *copy, size_t at,
			    size_t cap, unsigned long long rnd)
{
	static const size_t most[] = {200, 200, 200, 5000, 40000, 300000};

	for (;;) {
		size_t n;

		rnd = rnd * 6364136223846793005u + 1442695040888963407u;
		n = (rnd >> 33) % most[(rnd >> 20) % 6] + 1;
		if (n > cap - at)
			return at;
		fill_pattern(copy + at, n, (unsigned)(rnd >> 32));
		ck_ok(env_log_append(log, copy + at, n));
		at += n;
		if ((rnd >> 50) % 16 == 0)
			ck_ok(env_log_sync(log));
	}
}

static void expect_prefix(const char *name, const void *data, size_t len)
{
	unsigned char *buf = malloc(len + 1);
	struct env_object *o;

	ck_ok(env_object_open(dir, name, &o));
	ck_assert_uint_ge(env_object_bytes(o), len);
	ck_ok(env_object_read(o, 0, buf, len));
	ck_assert_int_eq(memcmp(buf, data, len), 0);
	env_object_close(o);
	free(buf);
}

START_TEST(log_holds_every_append_whatever_was_reserved)
{
	static const uint64_t prealloc[] = {0, 1, 100000, 1 << 20, 8 << 20};
	unsigned long long seed = test_seed(3);
	unsigned char *copy = malloc(5 << 20);
	struct env_log *log;
	size_t i, len;

	begin(_i);
	for (i = 0; i < sizeof(prealloc) / sizeof(prealloc[0]); i++) {
		ck_ok(env_log_create(dir, "log", NULL, prealloc[i], &log));
		len = append_random(log, copy, 0, 5 << 20, seed + i);
		/* Seen by readers while it is open, with no sync. */
		expect_prefix("log", copy, len);
		ck_ok(env_log_close(log, true));
		expect_object(dir, "log", copy, len);
		ck_ok(env_dir_delete(dir, "log"));
	}
	end(_i);
	free(copy);
}
END_TEST

START_TEST(log_reserves_space_and_trim_gives_it_back)
{
	struct env_log *log;
	struct env_object *o;
	unsigned char *buf = calloc(1, 1 << 20), *zero = calloc(1, 1 << 20);

	begin(_i);
	ck_ok(env_log_create(dir, "log", NULL, 1 << 20, &log));
	ck_ok(env_log_append(log, NULL, 0));
	ck_ok(env_log_append(log, "abc", 3));
	ck_ok(env_log_append(log, "", 0));
	ck_ok(env_log_close(log, false));
	ck_ok(env_object_open(dir, "log", &o));
	ck_assert_uint_eq(env_object_bytes(o), 1 << 20);
	ck_ok(env_object_read(o, 0, buf, 1 << 20));
	ck_assert_int_eq(memcmp(buf, "abc", 3), 0);
	ck_assert_int_eq(memcmp(buf + 3, zero, (1 << 20) - 3), 0);
	env_object_close(o);
	ck_ok(env_log_create(dir, "log2", NULL, 1 << 20, &log));
	ck_ok(env_log_append(log, "abc", 3));
	ck_ok(env_log_close(log, true));
	expect_object(dir, "log2", "abc", 3);
	end(_i);
	free(buf);
	free(zero);
}
END_TEST

START_TEST(recycled_log_overwrites_the_old_bytes_from_the_front)
{
	unsigned char *old = malloc(300000), *new = malloc(300000);
	struct env_log *log;
	struct env_object *o;

	begin(_i);
	fill_pattern(old, 300000, 1);
	fill_pattern(new, 300000, 2);
	ck_ok(env_log_create(dir, "1.wal", NULL, 1 << 20, &log));
	ck_ok(env_log_append(log, old, 300000));
	ck_ok(env_log_sync(log));
	ck_ok(env_log_close(log, true));
	ck_ok(env_log_create(dir, "2.wal", "1.wal", 1 << 20, &log));
	ck_assert(!exists(dir, "1.wal"));
	ck_ok(env_log_append(log, new, 1000));
	ck_ok(env_log_append(log, new + 1000, 99000));
	ck_ok(env_log_sync(log));
	expect_prefix("2.wal", new, 100000);
	ck_ok(env_object_open(dir, "2.wal", &o));
	ck_assert_uint_ge(env_object_bytes(o), 1 << 20);
	ck_ok(env_object_read(o, 100000, new + 100000, 200000));
	ck_assert_int_eq(memcmp(new + 100000, old + 100000, 200000), 0);
	env_object_close(o);
	ck_ok(env_log_close(log, true));
	expect_object(dir, "2.wal", new, 100000);
	end(_i);
	free(old);
	free(new);
}
END_TEST

START_TEST(log_refuses_a_taken_name_and_a_missing_recycle_file)
{
	struct env_log *log;

	begin(_i);
	write_object(dir, "o", "abc", 3);
	write_object(dir, "r", "def", 3);
	ck_assert_int_eq(env_log_create(dir, "o", NULL, 0, &log), -EEXIST);
	ck_assert_int_eq(env_log_create(dir, "o", "r", 0, &log), -EEXIST);
	ck_assert_int_eq(env_log_create(dir, "p", "none", 0, &log), -ENOENT);
	ck_assert_ptr_null(log);
	ck_assert(!exists(dir, "p"));
	expect_object(dir, "o", "abc", 3);
	expect_object(dir, "r", "def", 3);
	end(_i);
}
END_TEST

static atomic_bool stop_syncing;

static void *sync_all_the_time(void *arg)
{
	while (!atomic_load(&stop_syncing))
		ck_ok(env_log_sync(arg));
	return NULL;
}

START_TEST(log_may_be_synced_while_it_is_appended_to)
{
	const size_t count = 40000, len = 150;
	unsigned char *copy = malloc(count * len);
	struct env_log *log;
	pthread_t t;
	size_t i;

	begin(_i);
	fill_pattern(copy, count * len, 9);
	/* Small, so that it is grown on the way. */
	ck_ok(env_log_create(dir, "log", NULL, 100000, &log));
	ck_ok(pthread_create(&t, NULL, sync_all_the_time, log));
	for (i = 0; i < count; i++)
		ck_ok(env_log_append(log, copy + i * len, len));
	atomic_store(&stop_syncing, true);
	ck_ok(pthread_join(t, NULL));
	ck_ok(env_log_close(log, true));
	expect_object(dir, "log", copy, count * len);
	end(_i);
	free(copy);
}
END_TEST

/* More parts than one system call takes, some of them empty. */
START_TEST(direct_object_holds_what_was_written_at_each_place)
{
	enum { PARTS = 3000, PART = 40 };
	unsigned char *copy = malloc(2 * PARTS * PART);
	unsigned char *got = malloc(PARTS * PART);
	struct iovec *iov = calloc(PARTS, sizeof(*iov));
	struct env_direct *d;
	struct env_object *o;
	size_t half = 0, i;

	begin(_i);
	fill_pattern(copy, 2 * PARTS * PART, 11);
	ck_assert_int_eq(env_direct_open(dir, "d", false, &d), -ENOENT);
	ck_ok(env_direct_open(dir, "d", true, &d));
	ck_assert_uint_eq(env_direct_bytes(d), 0);
	for (i = 0; i < PARTS; i++) {
		iov[i].iov_base = copy + half;
		iov[i].iov_len = i % (PART + 1);
		half += iov[i].iov_len;
	}
	/* the second half first */
	ck_ok(env_direct_write(d, half, &(struct iovec){copy + half, half}, 1));
	ck_ok(env_object_open(dir, "d", &o));
	ck_ok(env_direct_write(d, 0, iov, PARTS));
	ck_ok(env_direct_write(d, 0, iov, 0));
	/* an object opened before reads what came after */
	ck_ok(env_object_read(o, 0, got, half));
	ck_assert(!memcmp(got, copy, half));
	env_object_close(o);
	expect_object(dir, "d", copy, 2 * half);
	ck_assert_int_eq(env_direct_write(d, INT64_MAX, iov + 1, 1), -EFBIG);
	ck_ok(env_direct_sync(d));
	env_direct_close(d);
	ck_assert_int_eq(env_direct_open(dir, "d", true, &d), -EEXIST);
	ck_ok(env_direct_open(dir, "d", false, &d));
	ck_assert_uint_eq(env_direct_bytes(d), 2 * half);
	env_direct_discard(d, 0, half); /* the rest stays */
	ck_ok(env_direct_write(d, 0, &(struct iovec){copy, half}, 1));
	env_direct_close(d);
	expect_object(dir, "d", copy, 2 * half);
	end(_i);
	free(copy);
	free(got);
	free(iov);
}
END_TEST

START_TEST(space_is_told)
{
	uint64_t free_bytes = 0, total_bytes = 0;

	begin(_i);
	ck_ok(env_dir_space(dir, &free_bytes, &total_bytes));
	ck_assert_uint_gt(total_bytes, 0);
	ck_assert_uint_le(free_bytes, total_bytes);
	end(_i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("env");
	TCase *tc = tcase_create("contract");

#define ADD(test) tcase_add_loop_test(tc, test, 0, ENV_COUNT)
	ADD(missing_directory_is_enoent_unless_asked_to_make_it);
	ADD(names_that_are_not_one_component_are_refused);
	ADD(object_reads_back_what_was_written_in_any_pieces);
	ADD(read_beyond_the_end_is_corruption_not_a_short_read);
	ADD(map_shows_the_object_until_it_is_closed);
	ADD(writer_refuses_a_name_that_is_taken_and_abort_leaves_nothing);
	ADD(rename_replaces_and_delete_removes);
	ADD(list_names_every_file_once_and_stops_when_told);
	ADD(link_gives_another_directory_the_same_object);
	ADD(read_only_directory_refuses_every_change);
	ADD(lock_excludes_a_second_opener_until_close);
	ADD(lock_waits_for_the_holder_to_close);
	ADD(put_file_replaces_whole_and_get_file_bounds_it);
	ADD(log_holds_every_append_whatever_was_reserved);
	ADD(log_reserves_space_and_trim_gives_it_back);
	ADD(recycled_log_overwrites_the_old_bytes_from_the_front);
	ADD(log_refuses_a_taken_name_and_a_missing_recycle_file);
	ADD(log_may_be_synced_while_it_is_appended_to);
	ADD(direct_object_holds_what_was_written_at_each_place);
	ADD(space_is_told);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
