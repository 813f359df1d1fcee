/* SPDX-License-Identifier: MIT */
/*
 * test_env_fault.c - the disk in memory loses exactly what it may: what power
 * loss does to bytes and names, and that calls fail when they are told to.
 */
#include <errno.h>
#include <pthread.h>

#include "tests/lsm/env/env_test.h"

#define SECTOR 512

static struct lsm_env *env;
static struct env_dir *dir;
/* Of lives gone by: a directory is closed after what was opened through it,
 * which the tests do in the next life. */
static struct env_dir *dead_dirs[512];
static size_t dead_count;

static void setup(void)
{
	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	ck_ok(env_dir_open(env, "/db", ENV_DIR_CREATE, &dir));
}

static void teardown(void)
{
	while (dead_count > 0)
		env_dir_close(dead_dirs[--dead_count]);
	env_dir_close(dir);
	env_fault_free(env);
}

/* Power off now, and back. */
static void crash(enum env_fault_keep keep, bool torn, uint64_t seed)
{
	env_fault_power_off_at(env, env_fault_calls(env));
	ck_assert_int_eq(env_dir_sync(dir), -EIO);
	ck_assert(env_fault_is_off(env));
	env_fault_restart(env, keep, torn, seed);
	ck_assert(!env_fault_is_off(env));
	ck_assert_uint_lt(dead_count, 512);
	dead_dirs[dead_count++] = dir;
	ck_ok(env_dir_open(env, "/db", 0, &dir));
}

static size_t read_all(const char *name, unsigned char *buf, size_t cap)
{
	struct env_object *o;
	size_t len;

	ck_ok(env_object_open(dir, name, &o));
	len = (size_t)env_object_bytes(o);
	ck_assert_uint_le(len, cap);
	ck_ok(env_object_read(o, 0, buf, len));
	env_object_close(o);
	return len;
}

START_TEST(synced_bytes_survive_and_unsynced_are_lost)
{
	struct env_log *log;
	char data[3000];

	fill_pattern(data, sizeof(data), 1);
	ck_ok(env_log_create(dir, "log", NULL, 0, &log));
	ck_ok(env_dir_sync(dir));
	ck_ok(env_log_append(log, data, 1000));
	ck_ok(env_log_sync(log));
	ck_ok(env_log_append(log, data + 1000, 2000));
	expect_object(dir, "log", data, 3000);
	crash(ENV_KEEP_NONE, false, 1);
	ck_assert_int_eq(env_log_append(log, data, 1), -EIO);
	ck_ok(env_log_close(log, false));
	expect_object(dir, "log", data, 1000);
	/* What is left is durable: a second loss takes nothing more. */
	crash(ENV_KEEP_NONE, true, 2);
	expect_object(dir, "log", data, 1000);
}
END_TEST

START_TEST(keep_all_loses_nothing)
{
	struct env_log *log;
	char data[3000];

	fill_pattern(data, sizeof(data), 1);
	write_object(dir, "gone", "x", 1);
	ck_ok(env_dir_sync(dir));
	ck_ok(env_log_create(dir, "log", NULL, 0, &log));
	ck_ok(env_log_append(log, data, 3000));
	ck_ok(env_dir_delete(dir, "gone"));
	crash(ENV_KEEP_ALL, false, 1);
	ck_ok(env_log_close(log, false));
	expect_object(dir, "log", data, 3000);
	ck_assert(!exists(dir, "gone"));
	crash(ENV_KEEP_NONE, false, 1);
	expect_object(dir, "log", data, 3000);
	ck_assert(!exists(dir, "gone"));
}
END_TEST

START_TEST(finished_object_without_dir_sync_is_gone)
{
	write_object(dir, "a", "aaa", 3);
	ck_ok(env_dir_sync(dir));
	write_object(dir, "b", "bbb", 3);
	crash(ENV_KEEP_NONE, false, 1);
	expect_object(dir, "a", "aaa", 3);
	ck_assert(!exists(dir, "b"));
}
END_TEST

START_TEST(name_with_dir_sync_but_unfinished_data_is_empty)
{
	struct env_writer *w;

	ck_ok(env_writer_create(dir, "a", &w));
	ck_ok(env_writer_append(w, "abc", 3));
	ck_ok(env_dir_sync(dir));
	crash(ENV_KEEP_NONE, false, 1);
	/* Closing a dead handle must not touch the disk of the new life. */
	env_writer_abort(w);
	expect_object(dir, "a", "", 0);
}
END_TEST

START_TEST(delete_rename_and_link_are_undone_without_dir_sync)
{
	struct env_dir *other;

	ck_ok(env_dir_open(env, "/other/", ENV_DIR_CREATE, &other));
	write_object(dir, "a", "aaa", 3);
	write_object(dir, "b", "bbb", 3);
	write_object(dir, "c", "ccc", 3);
	ck_ok(env_dir_sync(dir));
	ck_ok(env_dir_delete(dir, "a"));
	ck_ok(env_dir_rename(dir, "b", "c"));
	ck_ok(env_dir_link(dir, "c", other));
	crash(ENV_KEEP_NONE, false, 1);
	expect_object(dir, "a", "aaa", 3);
	expect_object(dir, "b", "bbb", 3);
	expect_object(dir, "c", "ccc", 3);
	env_dir_close(other);
	ck_ok(env_dir_open(env, "/other", 0, &other));
	ck_assert(!exists(other, "c"));
	ck_ok(env_dir_link(dir, "c", other));
	ck_ok(env_dir_sync(other));
	ck_ok(env_dir_delete(dir, "c"));
	ck_ok(env_dir_sync(dir));
	env_dir_close(other);
	crash(ENV_KEEP_NONE, false, 1);
	ck_assert(!exists(dir, "c"));
	ck_ok(env_dir_open(env, "/other", 0, &other));
	expect_object(other, "c", "ccc", 3);
	env_dir_close(other);
}
END_TEST

START_TEST(put_file_is_durable_and_never_half)
{
	uint64_t calls, n, seed;
	size_t len;
	void *got;

	ck_ok(env_put_file(dir, "CURRENT", "old", 3));
	calls = env_fault_calls(env);
	ck_ok(env_put_file(dir, "CURRENT", "new value", 9));
	calls = env_fault_calls(env) - calls;
	ck_assert_uint_ge(calls, 5);
	crash(ENV_KEEP_NONE, false, 1);
	expect_object(dir, "CURRENT", "new value", 9);
	for (n = 0; n < calls; n++) {
		for (seed = 0; seed < 40; seed++) {
			ck_ok(env_put_file(dir, "CURRENT", "old", 3));
			env_fault_power_off_at(env, env_fault_calls(env) + n);
			ck_assert_int_eq(
				env_put_file(dir, "CURRENT", "new value", 9),
				-EIO);
			crash(ENV_KEEP_RANDOM, seed & 1, seed);
			ck_ok(env_get_file(dir, "CURRENT", 100, &got, &len));
			ck_assert((len == 3 && !memcmp(got, "old", 3)) ||
				  (len == 9 && !memcmp(got, "new value", 9)));
			free(got);
		}
	}
}
END_TEST

START_TEST(recycled_log_may_show_its_old_bytes_after_power_loss)
{
	unsigned char old[4096], new[4096], got[8192];
	unsigned long long seed = test_seed(5);
	unsigned mixed = 0, i, s;
	struct env_log *log;

	fill_pattern(old, sizeof(old), 1);
	fill_pattern(new, sizeof(new), 2);
	for (i = 0; i < 30; i++) {
		unsigned olds = 0, news = 0;

		ck_ok(env_log_create(dir, "1", NULL, 8192, &log));
		ck_ok(env_log_append(log, old, 4096));
		ck_ok(env_log_sync(log));
		ck_ok(env_log_close(log, false));
		ck_ok(env_log_create(dir, "2", "1", 8192, &log));
		ck_ok(env_dir_sync(dir));
		ck_ok(env_log_append(log, new, 100));
		ck_ok(env_log_sync(log));
		ck_ok(env_log_append(log, new + 100, 3996));
		crash(ENV_KEEP_RANDOM, false, seed + i);
		ck_ok(env_log_close(log, false));
		ck_assert_uint_eq(read_all("2", got, sizeof(got)), 8192);
		ck_assert_int_eq(memcmp(got, new, 100), 0);
		ck_assert(!memcmp(got + 100, new + 100, 412) ||
			  !memcmp(got + 100, old + 100, 412));
		for (s = 1; s < 8; s++) {
			bool is_new = !memcmp(got + s * SECTOR, new + s *SECTOR,
					      SECTOR);

			ck_assert(is_new || !memcmp(got + s * SECTOR,
						    old + s * SECTOR, SECTOR));
			news += is_new;
			olds += !is_new;
		}
		mixed += news && olds;
		ck_ok(env_dir_delete(dir, "2"));
	}
	/* Each sector has its own coin. */
	ck_assert_uint_gt(mixed, 15);
}
END_TEST

START_TEST(unsynced_growth_is_kept_as_zeros_or_cut)
{
	unsigned long long seed = test_seed(6);
	unsigned char data[4096], got[4096], zero[SECTOR] = {0};
	unsigned shorter = 0, holes = 0, whole = 0, i, s;
	struct env_log *log;

	fill_pattern(data, sizeof(data), 1);
	for (i = 0; i < 200; i++) {
		size_t len;

		ck_ok(env_log_create(dir, "l", NULL, 0, &log));
		ck_ok(env_dir_sync(dir));
		ck_ok(env_log_append(log, data, 512));
		ck_ok(env_log_sync(log));
		ck_ok(env_log_append(log, data + 512, 3584));
		crash(ENV_KEEP_RANDOM, false, seed + i);
		ck_ok(env_log_close(log, false));
		len = read_all("l", got, sizeof(got));
		ck_assert_uint_ge(len, 512);
		ck_assert_int_eq(memcmp(got, data, 512), 0);
		shorter += len < 4096;
		whole += len == 4096;
		for (s = 1; (s + 1) * SECTOR <= len; s++) {
			bool hole = !memcmp(got + s * SECTOR, zero, SECTOR);

			ck_assert(hole || !memcmp(got + s * SECTOR,
						  data + s * SECTOR, SECTOR));
			holes += hole;
		}
		ck_ok(env_dir_delete(dir, "l"));
	}
	ck_assert_uint_gt(shorter, 50);
	ck_assert_uint_gt(whole, 50);
	ck_assert_uint_gt(holes, 50);
}
END_TEST

START_TEST(torn_append_ends_at_a_sector_border)
{
	unsigned long long seed = test_seed(7);
	unsigned char data[4096], got[4096];
	unsigned torn = 0, whole = 0, i;
	struct env_log *log;

	fill_pattern(data, sizeof(data), 1);
	for (i = 0; i < 100; i++) {
		size_t len;

		ck_ok(env_log_create(dir, "l", NULL, 0, &log));
		ck_ok(env_dir_sync(dir));
		ck_ok(env_log_append(log, data, 700));
		ck_ok(env_log_append(log, data + 700, 2800));
		crash(ENV_KEEP_ALL, true, seed + i);
		ck_ok(env_log_close(log, false));
		len = read_all("l", got, sizeof(got));
		/* The first append is not torn, only the last. */
		ck_assert_uint_ge(len, 700);
		ck_assert(len == 3500 || len % SECTOR == 0);
		ck_assert_int_eq(memcmp(got, data, len), 0);
		torn += len < 3500;
		whole += len == 3500;
		ck_ok(env_dir_delete(dir, "l"));
	}
	ck_assert_uint_gt(torn, 30);
	ck_assert_uint_gt(whole, 3);
}
END_TEST

START_TEST(rename_never_loses_both_names_and_changes_of_a_name_keep_order)
{
	unsigned long long seed = test_seed(8);
	unsigned moved = 0, stayed = 0, i;

	for (i = 0; i < 200; i++) {
		bool a, b;

		write_object(dir, "a", "aaa", 3);
		ck_ok(env_dir_sync(dir));
		ck_ok(env_dir_rename(dir, "a", "b"));
		/* Takes the name that the rename left: only after it. */
		write_object(dir, "a", "new", 3);
		crash(ENV_KEEP_RANDOM, false, seed + i);
		a = exists(dir, "a");
		b = exists(dir, "b");
		ck_assert(a || b);
		if (b) {
			expect_object(dir, "b", "aaa", 3);
			if (a)
				expect_object(dir, "a", "new", 3);
			ck_ok(env_dir_delete(dir, "b"));
			moved++;
		} else {
			expect_object(dir, "a", "aaa", 3);
			stayed++;
		}
		if (a)
			ck_ok(env_dir_delete(dir, "a"));
	}
	ck_assert_uint_gt(moved, 50);
	ck_assert_uint_gt(stayed, 50);
}
END_TEST

START_TEST(shuffled_names_know_nothing_of_each_other)
{
	unsigned long long seed = test_seed(9);
	unsigned found[8] = {0}, i;

	for (i = 0; i < 300; i++) {
		bool a, b, c;

		write_object(dir, "a", "aaa", 3);
		write_object(dir, "c", "ccc", 3);
		ck_ok(env_dir_sync(dir));
		ck_ok(env_dir_rename(dir, "a", "b"));
		write_object(dir, "a", "new", 3);
		ck_ok(env_dir_delete(dir, "c"));
		crash(ENV_KEEP_SHUFFLED, false, seed + i);
		a = exists(dir, "a");
		b = exists(dir, "b");
		c = exists(dir, "c");
		found[a + 2 * b + 4 * c]++;
		if (b)
			expect_object(dir, "b", "aaa", 3);
		if (c)
			expect_object(dir, "c", "ccc", 3);
		if (a)
			ck_ok(env_dir_delete(dir, "a"));
		if (b)
			ck_ok(env_dir_delete(dir, "b"));
		if (c)
			ck_ok(env_dir_delete(dir, "c"));
	}
	for (i = 0; i < 8; i++)
		ck_assert_uint_gt(found[i], 5);
}
END_TEST

START_TEST(lost_trim_brings_the_reserved_length_back)
{
	unsigned char got[8192];
	struct env_log *log;

	ck_ok(env_log_create(dir, "l", NULL, 8192, &log));
	ck_ok(env_dir_sync(dir));
	ck_ok(env_log_append(log, "abc", 3));
	ck_ok(env_log_sync(log));
	ck_ok(env_log_close(log, true));
	expect_object(dir, "l", "abc", 3);
	crash(ENV_KEEP_NONE, false, 1);
	ck_assert_uint_eq(read_all("l", got, sizeof(got)), 8192);
	ck_assert_int_eq(memcmp(got, "abc\0\0", 5), 0);
}
END_TEST

START_TEST(trimmed_bytes_read_as_zeros_when_the_log_is_recycled)
{
	unsigned char data[2000], got[8192], zero[8192] = {0};
	struct env_log *log;

	fill_pattern(data, sizeof(data), 1);
	ck_ok(env_log_create(dir, "1", NULL, 4096, &log));
	ck_ok(env_log_append(log, data, 2000));
	ck_ok(env_log_sync(log));
	ck_ok(env_log_close(log, false));
	ck_ok(env_log_create(dir, "2", "1", 0, &log));
	ck_ok(env_log_append(log, "abc", 3));
	ck_ok(env_log_close(log, true));
	ck_ok(env_log_create(dir, "3", "2", 8192, &log));
	ck_ok(env_log_sync(log));
	ck_ok(env_log_close(log, false));
	ck_ok(env_dir_sync(dir));
	crash(ENV_KEEP_NONE, false, 1);
	ck_assert_uint_eq(read_all("3", got, sizeof(got)), 8192);
	ck_assert_int_eq(memcmp(got, "abc", 3), 0);
	ck_assert_int_eq(memcmp(got + 3, zero, 8189), 0);
}
END_TEST

START_TEST(nth_call_fails_once_or_from_then_on)
{
	uint64_t n;

	n = env_fault_calls(env);
	env_fault_fail_at(env, n + 1, -ENOSPC, false);
	ck_ok(env_dir_sync(dir));
	ck_assert_int_eq(env_dir_sync(dir), -ENOSPC);
	ck_ok(env_dir_sync(dir));
	ck_assert_uint_eq(env_fault_calls(env), n + 3);
	env_fault_fail_at(env, n + 3, -EIO, true);
	ck_assert_int_eq(env_dir_sync(dir), -EIO);
	ck_assert_int_eq(env_dir_sync(dir), -EIO);
	/* Reads are not counted and so do not fail. */
	ck_assert(!exists(dir, "a"));
	env_fault_clear(env);
	ck_ok(env_dir_sync(dir));
}
END_TEST

START_TEST(reads_are_counted_and_fail_when_asked)
{
	struct env_object *o;
	const void *base;
	uint64_t n;
	char c;

	write_object(dir, "a", "abc", 3);
	n = env_fault_calls(env);
	ck_ok(env_object_open(dir, "a", &o));
	ck_ok(env_object_read(o, 0, &c, 1));
	ck_assert_uint_eq(env_fault_calls(env), n);
	env_fault_count_reads(env, true);
	ck_ok(env_object_read(o, 0, &c, 1));
	ck_assert_uint_eq(env_fault_calls(env), n + 1);
	env_fault_fail_at(env, n + 1, -EIO, false);
	ck_assert_int_eq(env_object_read(o, 0, &c, 1), -EIO);
	env_fault_fail_at(env, n + 2, -EIO, false);
	ck_assert_int_eq(env_object_map(o, &base), -EIO);
	ck_ok(env_object_map(o, &base));
	env_object_close(o);
	env_fault_fail_at(env, env_fault_calls(env), -EIO, false);
	ck_assert_int_eq(env_object_open(dir, "a", &o), -EIO);
}
END_TEST

START_TEST(every_kind_of_change_is_counted_and_can_fail)
{
	struct env_dir *d = NULL;
	struct env_writer *w;
	struct env_log *log;
	uint64_t n;

#define FAILS(expr)                                             \
	do {                                                    \
		n = env_fault_calls(env);                       \
		env_fault_fail_at(env, n, -EIO, false);         \
		ck_assert_int_eq((expr), -EIO);                 \
		ck_assert_uint_eq(env_fault_calls(env), n + 1); \
	} while (0)
	FAILS(env_dir_open(env, "/new", ENV_DIR_CREATE, &d));
	ck_assert_int_eq(env_dir_open(env, "/new", 0, &d), -ENOENT);
	write_object(dir, "a", "abc", 3);
	FAILS(env_dir_delete(dir, "a"));
	FAILS(env_dir_rename(dir, "a", "b"));
	expect_object(dir, "a", "abc", 3);
	FAILS(env_dir_link(dir, "a", dir));
	FAILS(env_dir_sync(dir));
	FAILS(env_writer_create(dir, "w", &w));
	ck_assert(!exists(dir, "w"));
	ck_ok(env_writer_create(dir, "w", &w));
	FAILS(env_writer_append(w, "x", 1));
	ck_assert_int_eq(env_writer_append(w, "x", 1), -EIO);
	ck_assert_int_eq(env_writer_finish(w), -EIO);
	ck_assert(!exists(dir, "w"));
	ck_ok(env_writer_create(dir, "w", &w));
	FAILS(env_writer_finish(w));
	ck_assert(!exists(dir, "w"));
	FAILS(env_log_create(dir, "l", NULL, 0, &log));
	ck_assert(!exists(dir, "l"));
	FAILS(env_log_create(dir, "l", "a", 0, &log));
	expect_object(dir, "a", "abc", 3);
	ck_ok(env_log_create(dir, "l", NULL, 4096, &log));
	FAILS(env_log_append(log, "x", 1));
	/* A log that failed has failed. */
	ck_assert_int_eq(env_log_append(log, "x", 1), -EIO);
	ck_assert_int_eq(env_log_sync(log), -EIO);
	FAILS(env_log_close(log, true));
	ck_ok(env_log_create(dir, "m", NULL, 4096, &log));
	FAILS(env_log_sync(log));
	ck_assert_int_eq(env_log_append(log, "x", 1), -EIO);
	ck_ok(env_log_close(log, false));
#undef FAILS
}
END_TEST

START_TEST(failed_sync_makes_nothing_durable)
{
	struct env_log *log;

	ck_ok(env_log_create(dir, "l", NULL, 0, &log));
	ck_ok(env_dir_sync(dir));
	ck_ok(env_log_append(log, "abc", 3));
	env_fault_fail_at(env, env_fault_calls(env), -EIO, false);
	ck_assert_int_eq(env_log_sync(log), -EIO);
	ck_ok(env_log_close(log, false));
	crash(ENV_KEEP_NONE, false, 1);
	expect_object(dir, "l", "", 0);
}
END_TEST

/* Each sector of what was not synced stays or goes by itself. */
START_TEST(unsynced_places_are_kept_in_part)
{
	unsigned char data[8 * SECTOR], got[8 * SECTOR];
	unsigned kept = 0, lost = 0;
	struct env_direct *d;
	size_t len, s;

	fill_pattern(data, sizeof(data), 5);
	for (unsigned seed = 0; seed < 40; seed++) {
		struct iovec first = {data, 4 * SECTOR};
		struct iovec second = {data + 4 * SECTOR, 4 * SECTOR};

		ck_ok(env_direct_open(dir, "d", true, &d));
		ck_ok(env_direct_write(d, 0, &first, 1));
		ck_ok(env_direct_sync(d));
		ck_ok(env_dir_sync(dir));
		ck_ok(env_direct_write(d, 4 * SECTOR, &second, 1));
		crash(ENV_KEEP_RANDOM, seed % 2, seed);
		ck_assert_int_eq(env_direct_write(d, 0, &first, 1), -EIO);
		env_direct_close(d);
		len = read_all("d", got, sizeof(got));
		ck_assert_uint_ge(len, 4 * SECTOR);
		ck_assert(!memcmp(got, data, 4 * SECTOR));
		for (s = 4; (s + 1) * SECTOR <= len; s++) {
			bool same = !memcmp(got + s * SECTOR, data + s * SECTOR,
					    SECTOR);

			kept += same;
			lost += !same;
		}
		ck_ok(env_dir_delete(dir, "d"));
		ck_ok(env_dir_sync(dir));
	}
	ck_assert_uint_gt(kept, 20);
	ck_assert_uint_gt(lost, 20);
}
END_TEST

START_TEST(failed_append_may_leave_a_part)
{
	unsigned char data[1000], got[1000];
	unsigned parts = 0, i;
	struct env_log *log;
	size_t len;

	fill_pattern(data, sizeof(data), 1);
	for (i = 0; i < 20; i++) {
		ck_ok(env_log_create(dir, "l", NULL, 0, &log));
		env_fault_fail_at(env, env_fault_calls(env), -EIO, false);
		ck_assert_int_eq(env_log_append(log, data, 1000), -EIO);
		ck_ok(env_log_close(log, false));
		len = read_all("l", got, sizeof(got));
		ck_assert_uint_lt(len, 1000);
		ck_assert_int_eq(memcmp(got, data, len), 0);
		parts += len > 0;
		ck_ok(env_dir_delete(dir, "l"));
	}
	ck_assert_uint_gt(parts, 10);
}
END_TEST

START_TEST(full_disk_refuses_and_recovers)
{
	uint64_t free_bytes, total_bytes;
	unsigned char got[100000], data[100000];
	struct env_writer *w;
	struct env_log *log;

	fill_pattern(data, sizeof(data), 1);
	env_fault_set_capacity(env, 100000);
	ck_ok(env_dir_space(dir, &free_bytes, &total_bytes));
	ck_assert_uint_eq(total_bytes, 100000);
	ck_assert_uint_eq(free_bytes, 100000);
	write_object(dir, "a", data, 60000);
	ck_ok(env_dir_space(dir, &free_bytes, &total_bytes));
	ck_assert_uint_eq(free_bytes, 40000);
	ck_assert_int_eq(env_log_create(dir, "l", NULL, 50000, &log), -ENOSPC);
	ck_assert(!exists(dir, "l"));
	ck_ok(env_log_create(dir, "l", NULL, 30000, &log));
	/* Reserved is reserved. */
	ck_ok(env_writer_create(dir, "b", &w));
	ck_assert_int_eq(env_writer_append(w, data, 20000), -ENOSPC);
	ck_assert_uint_eq(read_all("b", got, sizeof(got)), 10000);
	ck_ok(env_log_append(log, data, 30000));
	ck_assert_int_eq(env_log_append(log, data, 1), -ENOSPC);
	ck_assert_int_eq(env_writer_finish(w), -ENOSPC);
	ck_assert(!exists(dir, "b"));
	ck_ok(env_log_close(log, true));
	ck_assert_int_eq(env_put_file(dir, "c", data, 20000), -ENOSPC);
	ck_assert(!exists(dir, "c.tmp"));
	ck_ok(env_dir_delete(dir, "a"));
	write_object(dir, "b", data, 20000);
	expect_object(dir, "b", data, 20000);
	expect_object(dir, "l", data, 30000);
}
END_TEST

START_TEST(nothing_reaches_the_disk_after_power_off)
{
	struct env_writer *w;
	struct env_object *o;
	struct env_dir *d;
	struct env_log *log;
	const void *base;
	pid_t holder;
	char c;

	write_object(dir, "a", "abc", 3);
	ck_ok(env_dir_sync(dir));
	ck_ok(env_dir_lock(dir, 0, NULL));
	ck_ok(env_object_open(dir, "a", &o));
	ck_ok(env_object_map(o, &base));
	ck_ok(env_writer_create(dir, "w", &w));
	ck_ok(env_log_create(dir, "l", NULL, 4096, &log));
	env_fault_power_off_at(env, 0);
	ck_assert(!env_fault_is_off(env));
	ck_assert_int_eq(env_writer_append(w, "x", 1), -EIO);
	ck_assert(env_fault_is_off(env));
	ck_assert_int_eq(env_log_append(log, "x", 1), -EIO);
	ck_assert_int_eq(env_dir_delete(dir, "a"), -EIO);
	ck_assert_int_eq(env_object_read(o, 0, &c, 1), -EIO);
	ck_assert_int_eq(env_dir_open(env, "/db", 0, &d), -EIO);
	ck_assert_int_eq(env_writer_finish(w), -EIO);
	ck_assert_int_eq(env_log_close(log, true), -EIO);
	env_fault_clear(env);
	ck_assert_int_eq(env_dir_open(env, "/db", 0, &d), -EIO);
	env_fault_restart(env, ENV_KEEP_ALL, false, 1);
	ck_ok(env_dir_open(env, "/db", 0, &d));
	/* The old handle's lock died with it; its closing takes no other's. */
	ck_ok(env_dir_lock(d, 0, &holder));
	ck_assert_int_eq(env_object_read(o, 0, &c, 1), -EIO);
	ck_assert_int_eq(memcmp(base, "abc", 3), 0);
	env_object_close(o);
	env_dir_close(dir);
	ck_ok(env_dir_open(env, "/db", 0, &dir));
	ck_assert_int_eq(env_dir_lock(dir, 0, &holder), -EBUSY);
	env_dir_close(d);
	expect_object(dir, "a", "abc", 3);
	/* Created before, and nothing of it deleted after. */
	expect_object(dir, "w", "", 0);
}
END_TEST

START_TEST(mapping_keeps_its_address_while_the_file_grows)
{
	struct env_object *o;
	struct env_log *log;
	const void *base;
	char data[5000];
	int i;

	fill_pattern(data, sizeof(data), 1);
	ck_ok(env_log_create(dir, "l", NULL, 0, &log));
	ck_ok(env_log_append(log, data, 5000));
	ck_ok(env_object_open(dir, "l", &o));
	ck_ok(env_object_map(o, &base));
	for (i = 0; i < 100; i++)
		ck_ok(env_log_append(log, data, 5000));
	ck_assert_int_eq(memcmp(base, data, 5000), 0);
	env_fault_restart(env, ENV_KEEP_NONE, false, 1);
	ck_assert_int_eq(memcmp(base, data, 5000), 0);
	env_object_close(o);
	ck_ok(env_log_close(log, false));
}
END_TEST

START_TEST(corruption_and_cuts_are_durable)
{
	struct env_object *o;
	struct env_log *log;
	const void *base;
	char data[2000];

	fill_pattern(data, sizeof(data), 1);
	write_object(dir, "a", data, 2000);
	ck_ok(env_dir_sync(dir));
	ck_ok(env_fault_corrupt(env, "/db/a", 700, 0x10));
	data[700] ^= 0x10;
	expect_object(dir, "a", data, 2000);
	crash(ENV_KEEP_NONE, false, 1);
	expect_object(dir, "a", data, 2000);
	ck_assert_int_eq(env_fault_corrupt(env, "/db/a", 2000, 1), -ENOENT);
	ck_assert_int_eq(env_fault_corrupt(env, "/db/b", 0, 1), -ENOENT);
	ck_assert_int_eq(env_fault_corrupt(env, "/dc/a", 0, 1), -ENOENT);
	ck_assert_int_eq(env_fault_truncate(env, "a", 0), -ENOENT);
	ck_ok(env_object_open(dir, "a", &o));
	ck_ok(env_object_map(o, &base));
	ck_assert(!env_object_map_lost(o));
	ck_ok(env_fault_truncate(env, "/db/a", 1000));
	ck_assert(env_object_map_lost(o));
	env_object_close(o);
	expect_object(dir, "a", data, 1000);
	crash(ENV_KEEP_RANDOM, false, 1);
	expect_object(dir, "a", data, 1000);
	/* Reserved space has bits too. */
	ck_ok(env_log_create(dir, "l", NULL, 4096, &log));
	ck_ok(env_log_close(log, false));
	ck_ok(env_fault_corrupt(env, "/db/l", 4000, 3));
	ck_ok(env_object_open(dir, "l", &o));
	ck_ok(env_object_read(o, 4000, data, 1));
	ck_assert_int_eq(data[0], 3);
	env_object_close(o);
}
END_TEST

START_TEST(same_seed_keeps_the_same)
{
	unsigned char first[8192], got[8192], data[8192];
	size_t first_len = 0, len;
	struct env_log *log;
	int i;

	fill_pattern(data, sizeof(data), 1);
	for (i = 0; i < 2; i++) {
		ck_ok(env_log_create(dir, "l", NULL, 0, &log));
		ck_ok(env_dir_sync(dir));
		ck_ok(env_log_append(log, data, 8192));
		crash(ENV_KEEP_RANDOM, true, 77);
		ck_ok(env_log_close(log, false));
		len = read_all("l", got, sizeof(got));
		if (i == 0) {
			first_len = len;
			memcpy(first, got, len);
		}
		ck_assert_uint_eq(len, first_len);
		ck_assert_int_eq(memcmp(got, first, len), 0);
		ck_ok(env_dir_delete(dir, "l"));
		ck_ok(env_dir_sync(dir));
	}
}
END_TEST

static void *work(void *arg)
{
	const char *name = arg;
	char tmp[40];
	int i;

	snprintf(tmp, sizeof(tmp), "%s-log", name);
	for (i = 0; i < 200; i++) {
		struct env_log *log;

		ck_ok(env_put_file(dir, name, name, strlen(name)));
		expect_object(dir, name, name, strlen(name));
		ck_ok(env_log_create(dir, tmp, NULL, 4096, &log));
		ck_ok(env_log_append(log, name, strlen(name)));
		ck_ok(env_log_sync(log));
		ck_ok(env_log_close(log, true));
		expect_object(dir, tmp, name, strlen(name));
		ck_ok(env_dir_delete(dir, tmp));
	}
	return NULL;
}

START_TEST(threads_share_the_disk)
{
	static char names[4][8] = {"one", "two", "three", "four"};
	pthread_t t[4];
	int i;

	for (i = 0; i < 4; i++)
		ck_ok(pthread_create(&t[i], NULL, work, names[i]));
	for (i = 0; i < 4; i++)
		ck_ok(pthread_join(t[i], NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("env_fault");
	TCase *tc = tcase_create("fault");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, synced_bytes_survive_and_unsynced_are_lost);
	tcase_add_test(tc, keep_all_loses_nothing);
	tcase_add_test(tc, finished_object_without_dir_sync_is_gone);
	tcase_add_test(tc, name_with_dir_sync_but_unfinished_data_is_empty);
	tcase_add_test(tc, delete_rename_and_link_are_undone_without_dir_sync);
	tcase_add_test(tc, put_file_is_durable_and_never_half);
	tcase_add_test(tc,
		       recycled_log_may_show_its_old_bytes_after_power_loss);
	tcase_add_test(tc, unsynced_growth_is_kept_as_zeros_or_cut);
	tcase_add_test(tc, torn_append_ends_at_a_sector_border);
	tcase_add_test(
		tc,
		rename_never_loses_both_names_and_changes_of_a_name_keep_order);
	tcase_add_test(tc, shuffled_names_know_nothing_of_each_other);
	tcase_add_test(tc, lost_trim_brings_the_reserved_length_back);
	tcase_add_test(tc,
		       trimmed_bytes_read_as_zeros_when_the_log_is_recycled);
	tcase_add_test(tc, nth_call_fails_once_or_from_then_on);
	tcase_add_test(tc, reads_are_counted_and_fail_when_asked);
	tcase_add_test(tc, every_kind_of_change_is_counted_and_can_fail);
	tcase_add_test(tc, failed_sync_makes_nothing_durable);
	tcase_add_test(tc, unsynced_places_are_kept_in_part);
	tcase_add_test(tc, failed_append_may_leave_a_part);
	tcase_add_test(tc, full_disk_refuses_and_recovers);
	tcase_add_test(tc, nothing_reaches_the_disk_after_power_off);
	tcase_add_test(tc, mapping_keeps_its_address_while_the_file_grows);
	tcase_add_test(tc, corruption_and_cuts_are_durable);
	tcase_add_test(tc, same_seed_keeps_the_same);
	tcase_add_test(tc, threads_share_the_disk);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
