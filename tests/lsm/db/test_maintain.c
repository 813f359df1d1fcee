/* SPDX-License-Identifier: MIT */
/*
 * test_maintain.c - maintenance keeps its figures: how fast compactions may
 * write, how large a range is said to be, what a compaction of a range does and
 * leaves alone, what verify sees.
 */
#include <time.h>

#include "tests/lsm/db/db_check.h"

static char path[64];
static struct lsm_options options;
static struct lsm_db *db;
static const struct lsm_slice none;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 20,
				       .table_bytes = 1 << 18,
				       .compression = LSM_COMPRESSION_NONE,
				       .no_background_compaction = true,
				       .level0_slowdown = 1000,
				       .level0_stop = 2000};
}

static void teardown(void)
{
	if (db)
		ck_ok(lsm_close(db));
	test_dir_remove(path);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Keys from to to, in an order that is none. */
static void fill(unsigned from, unsigned to, unsigned value_bytes)
{
	char key[16], *value = malloc(value_bytes);
	uint64_t seed = from;
	unsigned count = to - from;

	ck_assert_ptr_nonnull(value);
	for (unsigned i = 0; i < value_bytes; i++)
		value[i] = (char)rnd(&seed);
	for (unsigned i = 0; i < count; i++)
		ck_ok(lsm_put(db, model_key(key, from + i * 7919 % count),
			      lsm_slice(value, value_bytes)));
	free(value);
}

/* Two seconds of compaction at 2 MB/s write 4 MB, whether entries are large or
 * small and though each table is small. */
START_TEST(compaction_writes_as_fast_as_it_may_and_no_faster)
{
	const uint64_t rate = 2000000;
	unsigned value_bytes = _i ? 4000 : 100;
	unsigned count = 4400000 / (value_bytes + 20);
	struct lsm_stats before, after;
	double seconds, speed;
	uint64_t start;

	/* no stride of fill() may divide it */
	while (count % 7919 == 0)
		count++;
	options.rate_limit_bytes = rate;
	ck_ok(lsm_open(path, &options, &db));
	fill(0, count, value_bytes);
	ck_ok(lsm_flush(db));
	lsm_get_stats(db, &before);
	start = now_ns();
	ck_ok(lsm_compact_range(db, none, none));
	seconds = (double)(now_ns() - start) / 1e9;
	lsm_get_stats(db, &after);
	speed = (double)(after.compact_written_bytes -
			 before.compact_written_bytes) /
		seconds;
	printf("# %.2f s, %.0f bytes a second\n", seconds, speed);
	ck_assert_double_gt(seconds, 1.4);
	ck_assert_double_le(speed, (double)rate * 1.3);
	ck_assert_double_ge(speed, (double)rate * 0.7);
}
END_TEST

/* Uncompressed values of one size: what a range takes is known beforehand. */
START_TEST(approximate_size_is_within_a_fifth)
{
	static const struct {
		unsigned from, to;
	} ranges[] = {{0, 20000},     {0, 10000},   {5000, 6000},
		      {19000, 20000}, {100, 19900}, {12345, 12845}};
	char start[16], end[16];
	uint64_t bytes, all;
	struct lsm_stats st;

	ck_ok(lsm_open(path, &options, &db));
	fill(0, 20000, 200);
	ck_ok(lsm_compact_range(db, none, none));
	lsm_get_stats(db, &st);
	ck_ok(lsm_approximate_size(db, none, none, &all));
	ck_assert_uint_eq(all, st.table_bytes);
	for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		double want =
			(double)all / 20000 * (ranges[i].to - ranges[i].from);

		ck_ok(lsm_approximate_size(db, model_key(start, ranges[i].from),
					   model_key(end, ranges[i].to),
					   &bytes));
		printf("# %u to %u: %llu, true %.0f\n", ranges[i].from,
		       ranges[i].to, (unsigned long long)bytes, want);
		ck_assert_double_ge((double)bytes, want * 0.8);
		ck_assert_double_le((double)bytes, want * 1.2);
	}
}
END_TEST

START_TEST(compacting_a_range_frees_its_space_and_leaves_the_rest)
{
	uint64_t before, after, beside, beside_after;
	char start[16], end[16];
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_stats st;

	ck_ok(lsm_open(path, &options, &db));
	fill(0, 10000, 200);
	fill(50000, 60000, 200);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_approximate_size(db, model_key(start, 0),
				   model_key(end, 10000), &before));
	ck_ok(lsm_approximate_size(db, model_key(start, 50000), none, &beside));
	ck_ok(lsm_batch_delete_range(b, model_key(start, 0),
				     model_key(end, 10000)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	ck_ok(lsm_compact_range(db, model_key(start, 0),
				model_key(end, 20000)));
	ck_ok(lsm_approximate_size(db, model_key(start, 0),
				   model_key(end, 10000), &after));
	ck_ok(lsm_approximate_size(db, model_key(start, 50000), none,
				   &beside_after));
	lsm_get_stats(db, &st);
	ck_assert_uint_gt(before, 2000000);
	ck_assert_uint_lt(after, before / 20);
	ck_assert_uint_eq(st.range_deletions, 0);
	ck_assert_uint_ge(beside_after, beside / 10 * 9);
	/* nothing but the last level is left of what was compacted */
	ck_assert_uint_eq(st.level_tables[0], 0);
	ck_assert_int_eq(lsm_compact_range(db, slice_of("b"), slice_of("a")),
			 -EINVAL);
}
END_TEST

/* Every byte of data of a table is looked at: whichever changes is noticed. */
static uint64_t log_bytes(void)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		if (strstr(e->d_name, ".wal") &&
		    !fstatat(dirfd(d), e->d_name, &st, 0))
			sum += (uint64_t)st.st_blocks * 512;
	closedir(d);
	return sum;
}

START_TEST(log_that_a_huge_batch_has_blown_up_is_not_used_again)
{
	struct lsm_batch *b = lsm_batch_new();
	size_t len = 16 << 20;
	char *value = calloc(1, len);

	ck_assert_ptr_nonnull(value);
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_batch_put(b, slice_of("key"), lsm_slice(value, len)));
	ck_ok(lsm_write(db, b, NULL));
	ck_assert_uint_ge(log_bytes(), len);
	lsm_batch_free(b);
	free(value);
	for (unsigned i = 0; i < 4; i++) {
		ck_ok(lsm_put(db, slice_of("key"), slice_of("value")));
		ck_ok(lsm_flush(db));
	}
	ck_assert_uint_le(log_bytes(), 4 * options.write_buffer_bytes);
}
END_TEST

START_TEST(verify_sees_a_changed_byte_anywhere_in_a_table)
{
	uint64_t seed = test_seed(3);
	char name[512];
	struct stat st;
	FILE *f;

	for (unsigned round = 0; round < 20; round++) {
		long at;
		int byte;

		ck_ok(lsm_open(path, &options, &db));
		if (!round) {
			fill(0, 2000, 100);
			ck_ok(lsm_compact_range(db, none, none));
			ck_ok(lsm_verify(db, NULL, NULL));
			ck_ok(lsm_close(db));
			ck_ok(lsm_open(path, &options, &db));
		}
		ck_assert(test_dir_find(path, ".sst", name));
		ck_assert_int_eq(stat(name, &st), 0);
		at = (long)(rnd(&seed) % (uint64_t)st.st_size);
		f = fopen(name, "r+");
		ck_assert_ptr_nonnull(f);
		fseek(f, at, SEEK_SET);
		byte = fgetc(f);
		fseek(f, at, SEEK_SET);
		fputc(byte ^ 0x10, f);
		fflush(f);
		ck_assert_msg(lsm_verify(db, NULL, NULL) == -EUCLEAN,
			      "byte %ld of %ld", at, (long)st.st_size);
		fseek(f, at, SEEK_SET);
		fputc(byte, f);
		fclose(f);
		ck_ok(lsm_close(db));
		db = NULL;
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("maintain");
	TCase *t = tcase_create("maintain");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
		t, compaction_writes_as_fast_as_it_may_and_no_faster, 0, 2);
	tcase_add_test(t, approximate_size_is_within_a_fifth);
	tcase_add_test(t,
		       compacting_a_range_frees_its_space_and_leaves_the_rest);
	tcase_add_test(t, verify_sees_a_changed_byte_anywhere_in_a_table);
	tcase_add_test(t, log_that_a_huge_batch_has_blown_up_is_not_used_again);
	suite_add_tcase(s, t);
	return run_suite(s);
}
