/* SPDX-License-Identifier: MIT */
/* test_filter.c - the Bloom filter denies nothing it holds, and little else. */
#include "lsm/table/filter.h"
#include "tests/lsm/table/table_util.h"

static double false_positive_rate(size_t count, uint32_t bits, uint64_t seed)
{
	uint64_t *hashes = malloc(count * sizeof(*hashes)), i, key;
	const size_t asked = 200000;
	struct buf b = {0};
	struct filter f;
	uint8_t *lines;
	size_t wrong = 0;

	for (i = 0; i < count; i++) {
		key = seed + i;
		hashes[i] = hash64(&key, sizeof(key));
	}
	ck_assert_int_eq(filter_build(hashes, count, bits, &b), 0);
	ck_assert_uint_eq(b.len, filter_bytes(count, bits));
	ck_assert(filter_header(&f, b.data, b.len));
	lines = aligned_alloc(FILTER_LINE_BYTES, b.len - FILTER_HEADER_BYTES);
	memcpy(lines, b.data + FILTER_HEADER_BYTES,
	       b.len - FILTER_HEADER_BYTES);
	f.lines = lines;
	for (i = 0; i < count; i++)
		ck_assert(filter_may_contain(&f, hashes[i]));
	for (i = 0; i < asked; i++) {
		key = seed + count + i;
		wrong += filter_may_contain(&f, hash64(&key, sizeof(key)));
	}
	free(lines);
	free(hashes);
	buf_release(&b);
	return (double)wrong / (double)asked;
}

START_TEST(ten_bits_a_key_give_less_than_two_percent_false_positives)
{
	double rate = false_positive_rate(100000, 10, test_seed(1) << 32);

	printf("# false positives at 10 bits: %.3f%%\n", rate * 100);
	ck_assert(rate < 0.02);
	ck_assert(rate > 0); /* or the test asks nothing */
}
END_TEST

START_TEST(more_bits_give_fewer_false_positives)
{
	static const uint32_t bits[] = {2, 5, 10, 15, 22};
	double last = 1;
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
		double rate = false_positive_rate(30000, bits[i], 5);

		ck_assert(rate < last);
		last = rate;
	}
	ck_assert(last < 0.002);
}
END_TEST

START_TEST(small_filters_deny_nothing_they_hold)
{
	size_t n;

	for (n = 1; n < 100; n++)
		false_positive_rate(n, (uint32_t)(1 + n % 30), n);
}
END_TEST

START_TEST(damaged_headers_are_refused)
{
	uint64_t hashes[] = {1, 2, 3};
	struct buf b = {0};
	struct filter f;

	ck_assert_int_eq(filter_build(hashes, 3, 10, &b), 0);
	ck_assert(filter_header(&f, b.data, b.len));
	ck_assert(!filter_header(&f, b.data, b.len - 1));
	ck_assert(!filter_header(&f, b.data, FILTER_HEADER_BYTES));
	ck_assert(!filter_header(&f, b.data, 3));
	b.data[1] = 0; /* no probes */
	ck_assert(!filter_header(&f, b.data, b.len));
	b.data[1] = 255;
	ck_assert(!filter_header(&f, b.data, b.len));
	b.data[1] = 6;
	b.data[4]++; /* more lines than there are */
	ck_assert(!filter_header(&f, b.data, b.len));
	b.data[4]--;
	b.data[0] = 9; /* another kind */
	ck_assert(!filter_header(&f, b.data, b.len));
	buf_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter");
	TCase *tc = tcase_create("filter");

	tcase_set_timeout(tc, 60);
	tcase_add_test(
		tc, ten_bits_a_key_give_less_than_two_percent_false_positives);
	tcase_add_test(tc, more_bits_give_fewer_false_positives);
	tcase_add_test(tc, small_filters_deny_nothing_they_hold);
	tcase_add_test(tc, damaged_headers_are_refused);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
