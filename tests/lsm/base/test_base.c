/* SPDX-License-Identifier: MIT */
/* test_base.c - the small helpers under everything: buffers, checksums,
 * compression, file names, histograms, key order. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lsm/base/buf.h"
#include "lsm/base/checksum.h"
#include "lsm/base/compress.h"
#include "lsm/base/file_name.h"
#include "lsm/base/histogram.h"
#include "lsm/base/slice.h"
#include "tests/check_main.h"

START_TEST(buffer_keeps_what_was_appended)
{
	struct buf b = {0};
	struct lsm_slice s;
	const uint8_t *p;

	ck_assert_int_eq(buf_append_slice(&b, slice_str("key")), 0);
	ck_assert_int_eq(buf_append_le32(&b, 7), 0);
	p = get_slice(b.data, b.data + b.len, &s);
	ck_assert_ptr_nonnull(p);
	ck_assert(slice_eq(s, slice_str("key")));
	ck_assert_uint_eq((size_t)(b.data + b.len - p), 4);
	/* A length that points beyond the end is refused. */
	ck_assert_ptr_null(get_slice(b.data, b.data + 3, &s));
	buf_clear(&b);
	ck_assert_int_eq(buf_printf(&b, "%d-%s", 5, "x"), 0);
	ck_assert_str_eq((char *)b.data, "5-x");
	ck_assert_int_eq(buf_append_escaped(&b, lsm_slice("\x01z\\", 3)), 0);
	ck_assert_str_eq((char *)b.data, "5-x\\x01z\\x5c");
	buf_release(&b);
}
END_TEST

START_TEST(checksum_is_crc32c_and_chains)
{
	/* The check value of the Castagnoli polynomial, RFC 3720. */
	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u);
	ck_assert_uint_eq(crc32c(crc32c(0, "1234", 4), "56789", 5),
			  0xe3069283u);
	ck_assert_uint_eq(crc32c(0, "", 0), 0);
}
END_TEST

START_TEST(lz4_comes_back_and_refuses_damage)
{
	char in[4096], out[8192], back[4096];
	size_t n;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char)(i % 61);
	n = lz4_compress(in, sizeof(in), out, sizeof(out));
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_lt(n, sizeof(in) / 2);
	ck_assert_int_eq(lz4_decompress(out, n, back, sizeof(back)), 0);
	ck_assert_int_eq(memcmp(in, back, sizeof(in)), 0);
	ck_assert_int_eq(lz4_decompress(out, n - 1, back, sizeof(back)),
			 -EUCLEAN);
	ck_assert_int_eq(lz4_decompress(out, n, back, sizeof(back) - 1),
			 -EUCLEAN);
	ck_assert_uint_eq(lz4_compress(in, sizeof(in), out, 8), 0);
}
END_TEST

START_TEST(file_names_come_back)
{
	const enum file_kind kinds[] = {FILE_SST, FILE_WAL, FILE_BLOB,
					FILE_MANIFEST};
	char name[FILE_NAME_MAX];
	uint64_t n;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		file_name(name, kinds[i], 12);
		ck_assert_int_eq(file_name_parse(name, &n), kinds[i]);
		ck_assert_uint_eq(n, 12);
		file_name(name, kinds[i], UINT64_MAX);
		ck_assert_int_eq(file_name_parse(name, &n), kinds[i]);
		ck_assert_uint_eq(n, UINT64_MAX);
	}
	ck_assert_int_eq(file_name_parse("CURRENT", &n), FILE_CURRENT);
	ck_assert_int_eq(file_name_parse("LOCK", &n), FILE_LOCK);
	ck_assert_int_eq(file_name_parse("CURRENT.tmp", &n), FILE_TEMP);
	ck_assert_int_eq(file_name_parse("notes.txt", &n), FILE_UNKNOWN);
	ck_assert_int_eq(file_name_parse("12.sst2", &n), FILE_UNKNOWN);
	ck_assert_int_eq(file_name_parse("99999999999999999999999.sst", &n),
			 FILE_UNKNOWN);
}
END_TEST

START_TEST(percentiles_are_within_a_sixteenth)
{
	static struct histogram h, all;

	histogram_init(&h);
	histogram_init(&all);
	ck_assert_uint_eq(histogram_percentile(&h, .5), 0);
	for (uint64_t i = 1; i <= 100000; i++)
		histogram_add(&h, i);
	histogram_merge(&all, &h);
	ck_assert_uint_eq(all.count, 100000);
	ck_assert_uint_eq(all.min, 1);
	ck_assert_uint_eq(all.max, 100000);
	for (double p = .1; p < 1; p += .1) {
		double want = p * 100000;
		double got = (double)histogram_percentile(&all, p);

		ck_assert_double_le(got, want * 1.001);
		ck_assert_double_ge(got, want * (15. / 16) * .999);
	}
}
END_TEST

START_TEST(order_is_key_ascending_then_newest_first)
{
	struct lsm_slice a = slice_str("a"), aa = slice_str("aa"),
			 b = slice_str("b");

	ck_assert_int_lt(slice_cmp(a, aa), 0);
	ck_assert_int_lt(slice_cmp(aa, b), 0);
	ck_assert_int_lt(
		entry_cmp(a, tag_make(2, KIND_PUT), a, tag_make(1, KIND_PUT)),
		0);
	ck_assert_int_lt(entry_cmp(a, tag_seek(1), a, tag_make(1, KIND_MAX)),
			 0);
	ck_assert_int_gt(entry_cmp(a, tag_seek(1), a, tag_make(2, KIND_DELETE)),
			 0);
	/* Prefixes never contradict the order. */
	ck_assert_uint_lt(slice_prefix(a), slice_prefix(b));
	ck_assert_uint_lt(slice_prefix(a), slice_prefix(aa));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base");
	TCase *t = tcase_create("base");

	tcase_add_test(t, buffer_keeps_what_was_appended);
	tcase_add_test(t, checksum_is_crc32c_and_chains);
	tcase_add_test(t, lz4_comes_back_and_refuses_damage);
	tcase_add_test(t, file_names_come_back);
	tcase_add_test(t, percentiles_are_within_a_sixteenth);
	tcase_add_test(t, order_is_key_ascending_then_newest_first);
	suite_add_tcase(s, t);
	return run_suite(s);
}
