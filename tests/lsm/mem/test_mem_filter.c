/* SPDX-License-Identifier: MIT */
/* test_mem_filter.c - what was added is there, and little else seems to be. */
#include "lsm/base/hash.h"
#include "lsm/mem/mem_filter.h"
#include "tests/check_main.h"

static uint64_t hash_of(uint64_t seed, uint64_t key)
{
	return hash64_seed(&key, sizeof(key), seed);
}

/* Bits a key; one question in so many may be wrong. */
static const struct {
	size_t bits, least;
} cases[] = {{10, 30}, {20, 200}, {64, 3000}};

START_TEST(added_keys_are_there_and_few_others)
{
	/* mem_filter_new() rounds down to a power of two. */
	const size_t words = 4096, keys = words * 64 / cases[_i].bits;
	uint64_t seed = (uint64_t)test_seed(3), i, asked = 100000;
	uint64_t before = 0, found = 0, wrong = 0;
	struct mem_filter *f = mem_filter_new(words * 8);

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(mem_filter_bytes(f), sizeof(*f) + words * 8);
	for (i = 0; i < asked; i++)
		before += mem_filter_may_contain(f, hash_of(seed, i));
	ck_assert_uint_eq(before, 0);
	for (i = 0; i < keys; i++)
		mem_filter_add(f, hash_of(seed, i));
	for (i = 0; i < keys; i++)
		found += mem_filter_may_contain(f, hash_of(seed, i));
	ck_assert_uint_eq(found, keys);
	for (i = keys; i < keys + asked; i++)
		wrong += mem_filter_may_contain(f, hash_of(seed, i));
	ck_assert_uint_lt(wrong, asked / cases[_i].least);
	free(f);
}
END_TEST

START_TEST(any_size_is_taken)
{
	for (size_t bytes = 0; bytes < 200; bytes++) {
		struct mem_filter *f = mem_filter_new(bytes);

		ck_assert_ptr_nonnull(f);
		ck_assert_uint_le(mem_filter_bytes(f),
				  sizeof(*f) + (bytes < 8 ? 8 : bytes));
		for (uint64_t i = 0; i < 50; i++) {
			mem_filter_add(f, hash_of(1, i));
			ck_assert(mem_filter_may_contain(f, hash_of(1, i)));
		}
		free(f);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mem_filter");
	TCase *tc = tcase_create("mem_filter");

	tcase_add_loop_test(tc, added_keys_are_there_and_few_others, 0, 3);
	tcase_add_test(tc, any_size_is_taken);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
