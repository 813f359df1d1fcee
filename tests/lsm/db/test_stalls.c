/* SPDX-License-Identifier: MIT */
/*
 * test_stalls.c - what slows writers down must go away by itself, and nothing
 * may slow them down that cannot: values that level 0 hides, dead files that
 * somebody pins, a rate that lsm_close() would wait for. And what is not to be
 * slowed keeps to its bounds.
 *
 * Times are compared with limits that a defect exceeds tenfold.
 */
#include <time.h>

#include "tests/lsm/db/db_check.h"

#define VALUE   4096
#define KEYS    2048 /* 8 MiB of values */
#define AT_ONCE 64

static char path[64];
static struct lsm_options options;
static struct lsm_db *db;
static const struct lsm_slice none;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 20,
				       .memory_bytes = 16 << 20,
				       .compression = LSM_COMPRESSION_NONE,
				       .blob_bytes = 1000,
				       .blob_file_bytes = 3 << 20,
				       .wal_sync_interval_ms = UINT32_MAX};
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

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void random_bytes(char *p, size_t len, uint64_t seed)
{
	for (size_t k = 0; k + 8 <= len; k += 8)
		memcpy(p + k, &(uint64_t){rnd(&seed)}, 8);
}

static struct lsm_slice key_of(char buf[24], const char *prefix, unsigned i)
{
	return lsm_slice(buf, (size_t)snprintf(buf, 24, "%s%08u", prefix, i));
}

/* Writes version v of all large values. False: it took longer than limit_s. */
static bool put_large(unsigned v, double limit_s)
{
	double end = now_s() + limit_s;
	char buf[VALUE], key[24];

	for (unsigned from = 0; from < KEYS; from += AT_ONCE) {
		struct lsm_batch *b = lsm_batch_new();

		for (unsigned i = from; i < from + AT_ONCE; i++) {
			random_bytes(buf, VALUE, v * 100000ull + i);
			ck_ok(lsm_batch_put(b, key_of(key, "large", i),
					    lsm_slice(buf, VALUE)));
		}
		ck_ok(lsm_write(db, b, NULL));
		lsm_batch_free(b);
		if (now_s() > end)
			return false;
	}
	return true;
}

static uint64_t blob_bytes_on_disk(void)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		if (strstr(e->d_name, ".blob") &&
		    !fstatat(dirfd(d), e->d_name, &st, 0))
			sum += (uint64_t)st.st_size;
	closedir(d);
	return sum;
}

/* Their records are short, but they take room. */
START_TEST(one_large_value_written_again_and_again_keeps_to_a_bound)
{
	size_t len = 1 << 20;
	char *value = malloc(len);
	uint64_t most = 0;

	ck_assert_ptr_nonnull(value);
	for (unsigned v = 0; v < 100; v++) {
		uint64_t bytes;

		random_bytes(value, len, v);
		ck_ok(lsm_put(db, slice_of("key"), lsm_slice(value, len)));
		bytes = blob_bytes_on_disk();
		most = bytes > most ? bytes : most;
	}
	free(value);
	printf("# at most %llu KiB for one value of 1024\n",
	       (unsigned long long)most >> 10);
	ck_assert_uint_le(most, 8 * options.blob_file_bytes);
}
END_TEST

/* A base of many small entries is dear to merge, and level 0 must come down
 * all the same when writers wait for what it hides. */
START_TEST(values_hidden_by_level_0_do_not_hold_writers_for_good)
{
	char key[24], value[96];

	for (unsigned i = 0; i < 100000; i++) {
		random_bytes(value, sizeof(value), i);
		ck_ok(lsm_put(db, key_of(key, "a", i),
			      lsm_slice(value, sizeof(value))));
	}
	ck_ok(lsm_compact_range(db, none, none));
	for (unsigned v = 1; v <= 16; v++) {
		ck_assert_msg(put_large(v, 3), "stuck in round %u", v);
		if (_i)
			continue; /* flushed when it wants to */
		ck_ok(lsm_flush(db));
		ck_ok(lsm_wait_idle(db));
	}
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

/* Nobody can collect them. 0: a batch has them; 1: the memtable as well. */
START_TEST(pinned_dead_files_do_not_hold_writers)
{
	struct lsm_batch *shared = lsm_batch_new(), *gone = lsm_batch_new();
	struct lsm_iter *it;
	struct lsm_stats stats;
	char key[24];

	options.blob_file_bytes = 2 << 20;
	reopen();
	ck_assert(put_large(1, 60));
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_iter_new(db, NULL, &it));
	for (unsigned i = 0; i < KEYS; i += 16) {
		ck_ok(lsm_iter_seek(it, key_of(key, "large", i)));
		ck_ok(lsm_batch_put_shared(shared, key_of(key, "share", i),
					   it));
	}
	lsm_iter_free(it);
	ck_ok(lsm_batch_delete_range(gone, slice_of("large"),
				     slice_of("larger")));
	ck_ok(lsm_write(db, gone, NULL));
	lsm_batch_free(gone);
	ck_ok(lsm_compact_range(db, none, none));
	if (_i)
		ck_ok(lsm_write(db, shared, NULL));
	lsm_get_stats(db, &stats);
	ck_assert_uint_eq(stats.blob_live_bytes, 0);
	ck_assert_uint_ge(stats.blob_value_bytes, KEYS * VALUE);
	ck_assert(put_large(2, 20));
	lsm_batch_free(shared);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(close_does_not_wait_for_a_rate)
{
	char key[24];
	double start;

	options.blob_file_bytes = 1 << 20;
	options.blob_gc_rate_bytes = 8192;
	reopen();
	ck_assert(put_large(1, 60));
	ck_ok(lsm_compact_range(db, none, none));
	for (unsigned i = 0; i < KEYS; i += 3)
		ck_ok(lsm_delete(db, key_of(key, "large", i)));
	ck_ok(lsm_flush(db));
	sleep(1); /* collection begins, and would take ten minutes */
	start = now_s();
	reopen();
	ck_assert(now_s() - start < 5);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db stalls");
	TCase *t = tcase_create("stalls");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(
		t, one_large_value_written_again_and_again_keeps_to_a_bound);
	tcase_add_loop_test(
		t, values_hidden_by_level_0_do_not_hold_writers_for_good, 0, 2);
	tcase_add_loop_test(t, pinned_dead_files_do_not_hold_writers, 0, 2);
	tcase_add_test(t, close_does_not_wait_for_a_rate);
	suite_add_tcase(s, t);
	return run_suite(s);
}
