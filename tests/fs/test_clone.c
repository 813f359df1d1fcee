/* SPDX-License-Identifier: MIT */
/*
 * test_clone.c - files copied by copy_file_range(): the copy shares its blocks
 * with the source until either is changed, takes no room, and outlives it. That
 * power loss at any call leaves a prefix of the history is tested with the
 * model (model.h), which copies too.
 */
#include <limits.h>
#include <linux/falloc.h>

#include "tests/fs/fs_test.h"

#define BLOCK  4096
#define BLOCKS 512

static struct test_fs t;
static uint8_t buf[BLOCKS * BLOCK + BLOCK], got[BLOCKS * BLOCK + BLOCK];

static void setup(void)
{
	test_setup(&t);
}

static void teardown(void)
{
	test_teardown(&t);
}

static struct lsm_stats stats(void)
{
	struct lsm_stats s;

	lsm_get_stats(fs_db(t.fs), &s);
	return s;
}

/* What does not compress, different in each version. */
static void fill(uint8_t *p, size_t len, uint64_t version)
{
	uint64_t r = rnd_seed(version);

	for (size_t i = 0; i < len; i += 8) {
		uint64_t x = rnd(&r);

		memcpy(p + i, &x, len - i < 8 ? len - i : 8);
	}
}

static void write_version(uint64_t ino, uint64_t version, size_t len)
{
	fill(buf, len, version);
	must_write(t.fs, ino, buf, len, 0);
}

static void check_version(uint64_t ino, uint64_t version, size_t len)
{
	fill(buf, len, version);
	ck_assert_int_eq(fs_read(t.fs, ino, got, sizeof(got), 0), (ssize_t)len);
	ck_assert_int_eq(memcmp(buf, got, len), 0);
}

static void clone_file(uint64_t src, uint64_t dst, size_t len)
{
	ck_assert_int_eq(
		fs_copy_file_range(t.fs, src, 0, dst, 0, SSIZE_MAX / 2, 0),
		(ssize_t)len);
	ck_assert_int_eq(must_stat(t.fs, dst).st.st_size, (off_t)len);
	ck_assert_int_eq(must_stat(t.fs, dst).st.st_blocks,
			 must_stat(t.fs, src).st.st_blocks);
}

/* All data in blob files. */
static void flush(void)
{
	ck_assert_int_eq(lsm_flush(fs_db(t.fs)), 0);
}

static void collect(void)
{
	struct lsm_slice none = {0};

	ck_assert_int_eq(lsm_compact_range(fs_db(t.fs), none, none), 0);
	ck_assert_int_eq(lsm_wait_idle(fs_db(t.fs)), 0);
	ck_assert_int_eq(lsm_verify(fs_db(t.fs), NULL, NULL), 0);
}

START_TEST(clone_takes_no_room_and_reads_nothing)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a");
	uint64_t b = must_file(t.fs, FS_ROOT_INO, "b");
	size_t len = sizeof(buf) - BLOCK / 2; /* a short tail */
	struct lsm_stats before, after;

	write_version(a, 1, len);
	flush();
	before = stats();
	clone_file(a, b, len);
	check_version(b, 1, len); /* out of the memtable */
	flush();
	after = stats();
	/* Of the data only the last block, which is no whole one. */
	ck_assert_uint_le(after.blob_value_bytes - before.blob_value_bytes,
			  BLOCK);
	ck_assert_uint_lt(after.wal_written_bytes - before.wal_written_bytes,
			  BLOCKS * 100 + 2 * BLOCK);
	check_version(b, 1, len);
	test_reopen(&t);
	check_version(a, 1, len);
	check_version(b, 1, len);
	collect();
}
END_TEST

/* Large writes put their data where it can be shared at once. */
START_TEST(what_was_just_written_is_shared)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a");
	uint64_t b = must_file(t.fs, FS_ROOT_INO, "b");
	size_t len = BLOCKS * BLOCK;
	uint64_t before;

	write_version(a, 1, len);
	before = stats().wal_written_bytes;
	clone_file(a, b, len);
	ck_assert_uint_lt(stats().wal_written_bytes - before, BLOCKS * 100);
	must_truncate(t.fs, a, 0);
	check_version(b, 1, len);
	flush();
	collect();
	ck_assert_uint_le(stats().blob_value_bytes, 2 * len);
	check_version(b, 1, len);
}
END_TEST

START_TEST(changing_one_side_leaves_the_other)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a");
	uint64_t b = must_file(t.fs, FS_ROOT_INO, "b");
	size_t len = BLOCKS * BLOCK;

	write_version(a, 1, len);
	flush();
	clone_file(a, b, len);
	write_version(a, 2, len / 2);
	must_truncate(t.fs, a, len / 2);
	check_version(b, 1, len);
	check_version(a, 2, len / 2);
	flush();
	collect();
	check_version(b, 1, len);
	/* A few bytes in the copy; the source of this one has not changed. */
	clone_file(b, a, len);
	must_write(t.fs, b, "x", 1, 5 * BLOCK + 77);
	check_version(a, 1, len);
	fill(buf, len, 1);
	buf[5 * BLOCK + 77] = 'x';
	ck_assert_int_eq(fs_read(t.fs, b, got, len, 0), (ssize_t)len);
	ck_assert_int_eq(memcmp(buf, got, len), 0);
}
END_TEST

START_TEST(clone_of_a_clone_outlives_both)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a");
	uint64_t b = must_file(t.fs, FS_ROOT_INO, "b");
	uint64_t c = must_file(t.fs, FS_ROOT_INO, "c");
	size_t len = BLOCKS * BLOCK;
	uint64_t used;

	write_version(a, 1, len);
	flush();
	clone_file(a, b, len);
	clone_file(b, c, len); /* handles out of the memtable */
	used = used_blocks(t.fs);
	ck_assert_int_eq(fs_unlink(t.fs, FS_ROOT_INO, "a"), 0);
	ck_assert_int_eq(fs_unlink(t.fs, FS_ROOT_INO, "b"), 0);
	ck_assert_uint_eq(used - used_blocks(t.fs), 2 * BLOCKS);
	test_reopen(&t);
	collect();
	check_version(c, 1, len);
	ck_assert_uint_le(stats().blob_value_bytes, 2 * len);
	ck_assert_int_eq(fs_unlink(t.fs, FS_ROOT_INO, "c"), 0);
	test_reopen(&t);
	collect();
	ck_assert_uint_eq(stats().blob_value_bytes, 0);
}
END_TEST

/* The last of the source goes before the handles are in a table. */
START_TEST(source_deleted_and_collected_while_the_clone_is_in_the_log)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a");
	uint64_t b = must_file(t.fs, FS_ROOT_INO, "b");
	size_t len = BLOCKS * BLOCK;

	write_version(a, 1, len);
	flush();
	clone_file(a, b, len);
	must_truncate(t.fs, a, 0);
	ck_assert_int_eq(fs_sync(t.fs), 0);
	env_fault_power_off_at(t.env, env_fault_calls(t.env));
	(void)fs_close(t.fs);
	env_fault_restart(t.env, ENV_KEEP_NONE, false, 1);
	test_open(&t);
	check_version(b, 1, len);
	collect();
	check_version(b, 1, len);
}
END_TEST

START_TEST(ranges_of_one_file_are_copied_over_each_other)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a"), r = rnd_seed(7);
	uint64_t blocks = BLOCKS;

	write_version(a, 1, BLOCKS * BLOCK);
	flush();
	for (unsigned i = 0; i < 300; i++) {
		uint64_t len = 1 + rnd(&r) % 60, from = rnd(&r) % BLOCKS;
		uint64_t to = rnd(&r) % BLOCKS;

		if (from + len > BLOCKS || to + len > BLOCKS ||
		    (from < to + len && to < from + len))
			continue;
		if (i % 7 == 0) {
			memset(buf + from * BLOCK, 0, len * BLOCK);
			ck_assert_int_eq(
				fs_fallocate(t.fs, a,
					     FALLOC_FL_PUNCH_HOLE |
						     FALLOC_FL_KEEP_SIZE,
					     from * BLOCK, len * BLOCK, 0),
				0);
			continue;
		}
		ck_assert_int_eq(fs_copy_file_range(t.fs, a, from * BLOCK, a,
						    to * BLOCK, len * BLOCK, 0),
				 (ssize_t)(len * BLOCK));
		memmove(buf + to * BLOCK, buf + from * BLOCK, len * BLOCK);
		if (i % 50 == 0)
			flush();
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks -= !buf[i * BLOCK] &&
			  !memcmp(buf + i * BLOCK, buf + i * BLOCK + 1,
				  BLOCK - 1);
	ck_assert_uint_eq((uint64_t)must_stat(t.fs, a).st.st_blocks,
			  blocks * 8);
	collect();
	ck_assert_int_eq(fs_read(t.fs, a, got, BLOCKS * BLOCK, 0),
			 BLOCKS * BLOCK);
	ck_assert_int_eq(memcmp(buf, got, BLOCKS * BLOCK), 0);
}
END_TEST

/* More than fits into one batch, holes included, over what was there. */
START_TEST(long_sparse_clone_replaces_what_was_there)
{
	uint64_t a = must_file(t.fs, FS_ROOT_INO, "a");
	uint64_t b = must_file(t.fs, FS_ROOT_INO, "b");
	uint64_t size = (uint64_t)200 << 20, at;
	int64_t blocks = 0;

	fill(buf, 3 * BLOCK, 1);
	for (at = 0; at < size; at += (uint64_t)1 << 20) {
		must_write(t.fs, a, buf, 3 * BLOCK, at + (at >> 20) % 7);
		must_write(t.fs, b, buf, 2 * BLOCK, at + (512 << 10));
	}
	must_truncate(t.fs, a, size);
	flush();
	clone_file(a, b, size);
	for (at = 0; at < size; at += sizeof(buf)) {
		ssize_t n = fs_read(t.fs, a, buf, sizeof(buf), at);

		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(fs_read(t.fs, b, got, sizeof(got), at), n);
		ck_assert_int_eq(memcmp(buf, got, (size_t)n), 0);
	}
	blocks = must_stat(t.fs, b).st.st_blocks;
	ck_assert_int_ge(blocks, 200 * 3 * 8);
	ck_assert_int_le(blocks, 200 * 4 * 8);
}
END_TEST

START_TEST(clone_beyond_the_size_limit_fails_and_leaves_nothing)
{
	struct fs_mkfs_options o = {.size_limit = 3 * BLOCKS * BLOCK / 2,
				    .force = true};
	size_t len = BLOCKS * BLOCK;
	uint64_t a, b, used;

	test_close(&t);
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &o), 0);
	test_open(&t);
	a = must_file(t.fs, FS_ROOT_INO, "a");
	b = must_file(t.fs, FS_ROOT_INO, "b");
	write_version(a, 1, len);
	used = used_blocks(t.fs);
	ck_assert_int_eq(fs_copy_file_range(t.fs, a, 0, b, 0, len, 0), -ENOSPC);
	ck_assert_uint_eq(used_blocks(t.fs), used);
	ck_assert_int_eq(must_stat(t.fs, b).st.st_size, 0);
	ck_assert_int_eq(fs_copy_file_range(t.fs, a, 0, b, 0, len / 4, 0),
			 (ssize_t)len / 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/clone");
	TCase *c = tcase_create("clone");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, clone_takes_no_room_and_reads_nothing);
	tcase_add_test(c, what_was_just_written_is_shared);
	tcase_add_test(c, changing_one_side_leaves_the_other);
	tcase_add_test(c, clone_of_a_clone_outlives_both);
	tcase_add_test(
		c, source_deleted_and_collected_while_the_clone_is_in_the_log);
	tcase_add_test(c, ranges_of_one_file_are_copied_over_each_other);
	tcase_add_test(c, long_sparse_clone_replaces_what_was_there);
	tcase_add_test(c, clone_beyond_the_size_limit_fails_and_leaves_nothing);
	suite_add_tcase(s, c);
	return run_suite(s);
}
