/* SPDX-License-Identifier: MIT */
/* test_read_around.c - reading around misses goes on only where it pays. */
#include "lsm/table/read_around.h"

#include "tests/lsm/table/table_util.h"

#define REGION (1ull << READ_AROUND_REGION_BITS)

/* How many regions are read in misses random ones. */
static uint64_t misses(struct read_around *a, size_t regions, unsigned count)
{
	_Atomic uint8_t *state = calloc(regions, sizeof(*state));
	struct rng r = rng_make(1);
	uint64_t read = 0;

	ck_assert_ptr_nonnull(state);
	while (count--)
		read += read_around_missed(a, state,
					   rng_below(&r, regions) * REGION +
						   rng_below(&r, REGION));
	free((void *)state);
	return read;
}

START_TEST(small_store_is_read_whole)
{
	struct read_around a;

	read_around_init(&a);
	a.max = 1000;
	ck_assert_uint_eq(misses(&a, 300, 5000), 300);
}
END_TEST

START_TEST(spread_misses_stop_it)
{
	struct read_around a;

	/* Half of the misses are a second one in their region or more. */
	read_around_init(&a);
	a.max = UINT64_MAX;
	ck_assert_uint_le(misses(&a, 100000, 100000), 3 * READ_AROUND_FREE);
}
END_TEST

START_TEST(no_more_is_read_than_memory_allows)
{
	struct read_around a;

	read_around_init(&a);
	a.max = 100;
	ck_assert_uint_eq(misses(&a, 300, 5000), 100);
	ck_assert_uint_eq(misses(&a, 300, 5000), 0);
}
END_TEST

START_TEST(one_miss_reads_nothing)
{
	_Atomic uint8_t state[2] = {0};
	struct read_around a;

	read_around_init(&a);
	a.max = 10;
	ck_assert(!read_around_missed(&a, state, 0));
	ck_assert(!read_around_missed(&a, state, REGION));
	ck_assert(read_around_missed(&a, state, REGION - 1));
	ck_assert(!read_around_missed(&a, state, REGION - 1));
	ck_assert_uint_eq(read_around_bytes(2 * REGION - 1), 2);
	ck_assert_uint_eq(read_around_bytes(2 * REGION), 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("read around");
	TCase *t = tcase_create("rule");

	tcase_add_test(t, small_store_is_read_whole);
	tcase_add_test(t, spread_misses_stop_it);
	tcase_add_test(t, no_more_is_read_than_memory_allows);
	tcase_add_test(t, one_miss_reads_nothing);
	suite_add_tcase(s, t);
	return run_suite(s);
}
