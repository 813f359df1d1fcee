/* SPDX-License-Identifier: MIT */
/*
 * test_reclaim.c - what was deleted leaves the disk by itself: nobody flushes,
 * nobody compacts, nothing more is written.
 */
#include "tests/lsm/db/db_check.h"

#define KEYS       2000
#define VALUE_LEN  4096
#define WAIT_TENTH 300 /* half a minute, in tenths of a second */

static char path[64];
static struct lsm_options options;
static struct lsm_db *db;
static const struct lsm_slice none;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 20,
				       .memory_bytes = 16 << 20,
				       .table_bytes = 64 << 10,
				       .level_base_bytes = 128 << 10,
				       .blob_bytes = 1000,
				       .blob_file_bytes = 1 << 20,
				       .reclaim_interval_ms = 100,
				       .compression = LSM_COMPRESSION_NONE};
	ck_ok(lsm_open(path, &options, &db));
}

static void reopen(void)
{
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	test_dir_remove(path);
}

static struct lsm_stats stats(void)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	return s;
}

static uint64_t directory_bytes(void)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	while (d && (e = readdir(d))) {
		const char *dot = strrchr(e->d_name, '.');

		if (dot && (!strcmp(dot, ".sst") || !strcmp(dot, ".blob")) &&
		    !fstatat(dirfd(d), e->d_name, &st, 0))
			sum += (uint64_t)st.st_size;
	}
	closedir(d);
	return sum;
}

static void put_range(unsigned from, unsigned to, uint64_t seed)
{
	char key[16], value[VALUE_LEN];

	for (unsigned i = from; i < to; i++) {
		for (unsigned p = 0; p < VALUE_LEN; p += 8)
			memcpy(value + p, &(uint64_t){rnd(&seed)}, 8);
		ck_ok(lsm_put(db, model_key(key, i),
			      lsm_slice(value, VALUE_LEN)));
	}
}

static void delete_range(unsigned from, unsigned to)
{
	struct lsm_batch *b = lsm_batch_new();
	char start[16], end[16];

	ck_assert_ptr_nonnull(b);
	ck_ok(lsm_batch_delete_range(b, model_key(start, from),
				     model_key(end, to)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static void settle(void)
{
	ck_ok(lsm_flush(db));
	ck_ok(lsm_wait_idle(db));
}

/* Waits until the directory takes no more than that. */
static void wait_shrunk(uint64_t bytes)
{
	for (unsigned i = 0; i < WAIT_TENTH && directory_bytes() > bytes; i++)
		usleep(100000);
	ck_assert_uint_le(directory_bytes(), bytes);
}

static unsigned count_keys(const struct lsm_snapshot *snapshot)
{
	struct lsm_iter_options o = {.snapshot = snapshot};
	struct lsm_iter *it;
	unsigned n = 0;
	int r;

	ck_ok(lsm_iter_new(db, &o, &it));
	for (r = lsm_iter_first(it); !r; r = lsm_iter_next(it))
		n++;
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
	return n;
}

START_TEST(deleted_range_leaves_the_disk_by_itself)
{
	uint64_t full;

	options.blob_bytes = _i ? 1000 : 0;
	reopen();
	put_range(0, KEYS, 1);
	settle();
	full = directory_bytes();
	ck_assert_uint_gt(full, KEYS * 4000);
	delete_range(100, KEYS);
	wait_shrunk(full / 8);
	ck_assert_uint_eq(count_keys(NULL), 100);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

/* Written in bulk, so that the values are on the disk before any flush. */
START_TEST(deleted_bulk_write_leaves_the_disk_by_itself)
{
	static char value[VALUE_LEN];
	struct lsm_batch *b = lsm_batch_new();
	char key[16];
	uint64_t full, seed = 12;

	options.write_buffer_bytes = 8 << 20;
	reopen();
	ck_assert_ptr_nonnull(b);
	for (unsigned i = 0; i < 500; i++) {
		for (unsigned p = 0; p < VALUE_LEN; p += 8)
			memcpy(value + p, &(uint64_t){rnd(&seed)}, 8);
		ck_ok(lsm_batch_put(b, model_key(key, i),
				    lsm_slice(value, VALUE_LEN)));
	}
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	full = directory_bytes();
	ck_assert_uint_ge(full, 500 * VALUE_LEN);
	ck_assert_uint_eq(stats().flushes, 0);
	delete_range(10, 500);
	wait_shrunk(full / 8);
	ck_assert_uint_eq(count_keys(NULL), 10);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(deleted_keys_leave_the_disk_by_themselves)
{
	uint64_t full;
	char key[16];

	put_range(0, KEYS, 2);
	settle();
	full = directory_bytes();
	for (unsigned i = 100; i < KEYS; i++)
		ck_ok(lsm_delete(db, model_key(key, i)));
	wait_shrunk(full / 8);
	ck_assert_uint_eq(count_keys(NULL), 100);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

/* The tombstone is in a table already when the store is opened. */
START_TEST(deletion_before_a_restart_frees_its_space_after_it)
{
	uint64_t full;

	put_range(0, KEYS, 3);
	settle();
	full = directory_bytes();
	delete_range(100, KEYS);
	reopen();
	wait_shrunk(full / 8);
	ck_assert_uint_eq(count_keys(NULL), 100);
}
END_TEST

START_TEST(named_snapshot_keeps_what_was_deleted_until_it_goes)
{
	const struct lsm_snapshot *s;
	uint64_t full;

	put_range(0, KEYS, 4);
	settle();
	full = directory_bytes();
	ck_ok(lsm_snapshot_create(db, "keep"));
	delete_range(0, KEYS);
	usleep(500000);
	settle();
	/* Tables that were merged meanwhile are a little smaller. */
	ck_assert_uint_ge(directory_bytes(), full - full / 8);
	ck_assert_uint_eq(count_keys(NULL), 0);
	ck_ok(lsm_snapshot_open(db, "keep", &s));
	ck_assert_uint_eq(count_keys(s), KEYS);
	lsm_snapshot_release(db, s);
	ck_ok(lsm_snapshot_delete(db, "keep"));
	wait_shrunk(full / 8);
	ck_assert_uint_eq(stats().blob_files, 0);
}
END_TEST

START_TEST(named_snapshot_keeps_what_was_overwritten_until_it_goes)
{
	const struct lsm_snapshot *s;
	uint64_t full;

	put_range(0, KEYS, 14);
	settle();
	full = directory_bytes();
	ck_ok(lsm_snapshot_create(db, "keep"));
	put_range(0, KEYS, 15);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_wait_idle(db));
	ck_assert_uint_ge(directory_bytes(), 2 * full - full / 8);
	ck_ok(lsm_snapshot_open(db, "keep", &s));
	ck_assert_uint_eq(count_keys(s), KEYS);
	lsm_snapshot_release(db, s);
	ck_ok(lsm_snapshot_delete(db, "keep"));
	wait_shrunk(full + full / 4);
	ck_assert_uint_eq(count_keys(NULL), KEYS);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(snapshot_does_not_keep_what_came_and_went_after_it)
{
	const struct lsm_snapshot *s;
	uint64_t before;

	put_range(0, 100, 5);
	settle();
	before = directory_bytes();
	ck_ok(lsm_snapshot_create(db, "old"));
	put_range(100, KEYS, 6);
	settle();
	ck_assert_uint_gt(directory_bytes(), 8 * before);
	delete_range(100, KEYS);
	wait_shrunk(2 * before);
	ck_ok(lsm_snapshot_open(db, "old", &s));
	ck_assert_uint_eq(count_keys(s), 100);
	lsm_snapshot_release(db, s);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(deletion_that_frees_little_costs_no_flush)
{
	uint64_t flushes;
	char key[16];

	put_range(0, KEYS, 7);
	settle();
	flushes = stats().flushes;
	delete_range(5, 7);
	ck_ok(lsm_delete(db, model_key(key, 9)));
	usleep(600000);
	ck_assert_uint_eq(stats().flushes, flushes);
	/* but many of them are worth one together */
	for (unsigned i = 10; i + 10 < KEYS; i += 10) {
		delete_range(i, i + 9);
		if (i % 100 == 0)
			usleep(10000);
	}
	for (unsigned i = 0; i < WAIT_TENTH && stats().flushes == flushes; i++)
		usleep(100000);
	ck_assert_uint_gt(stats().flushes, flushes);
}
END_TEST

START_TEST(nothing_is_flushed_when_it_is_forbidden)
{
	uint64_t flushes;

	options.reclaim_interval_ms = UINT32_MAX;
	reopen();
	put_range(0, KEYS, 8);
	settle();
	flushes = stats().flushes;
	delete_range(0, KEYS);
	usleep(500000);
	ck_assert_uint_eq(stats().flushes, flushes);
	ck_ok(lsm_compact_range(db, none, none));
	ck_assert_uint_eq(stats().blob_files, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db reclaim");
	TCase *t = tcase_create("reclaim");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, deleted_range_leaves_the_disk_by_itself, 0, 2);
	tcase_add_test(t, deleted_bulk_write_leaves_the_disk_by_itself);
	tcase_add_test(t, deleted_keys_leave_the_disk_by_themselves);
	tcase_add_test(t, deletion_before_a_restart_frees_its_space_after_it);
	tcase_add_test(t, named_snapshot_keeps_what_was_deleted_until_it_goes);
	tcase_add_test(t,
		       named_snapshot_keeps_what_was_overwritten_until_it_goes);
	tcase_add_test(t, snapshot_does_not_keep_what_came_and_went_after_it);
	tcase_add_test(t, deletion_that_frees_little_costs_no_flush);
	tcase_add_test(t, nothing_is_flushed_when_it_is_forbidden);
	suite_add_tcase(s, t);
	return run_suite(s);
}
