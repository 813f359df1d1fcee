/* SPDX-License-Identifier: MIT */
/* test_coding.c - integers as bytes, and never reading past the end. */
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "tests/check_main.h"

START_TEST(fixed_numbers_come_back)
{
	uint8_t b[8];

	put_le16(b, 0x1234);
	ck_assert_uint_eq(b[0], 0x34);
	ck_assert_uint_eq(get_le16(b), 0x1234);
	put_le32(b, 0xdeadbeef);
	ck_assert_uint_eq(b[0], 0xef);
	ck_assert_uint_eq(get_le32(b), 0xdeadbeef);
	put_le64(b, 0x0123456789abcdefull);
	ck_assert_uint_eq(get_le64(b), 0x0123456789abcdefull);
	put_be64(b, 0x0123456789abcdefull);
	ck_assert_uint_eq(b[0], 0x01);
	ck_assert_uint_eq(get_be64(b), 0x0123456789abcdefull);
}
END_TEST

START_TEST(varints_of_every_length_come_back)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int d = -1; d <= 1; d++) {
			uint64_t v = (1ull << bit) + (uint64_t)(int64_t)d, got;
			uint8_t b[VARINT64_MAX];
			uint8_t *e = put_varint64(b, v);

			ck_assert_uint_eq((size_t)(e - b), varint_len(v));
			ck_assert_ptr_eq(get_varint64(b, e, &got), e);
			ck_assert_uint_eq(got, v);
		}
	}
}
END_TEST

START_TEST(truncated_varint_is_refused)
{
	uint8_t b[VARINT64_MAX];
	uint8_t *e = put_varint64(b, UINT64_MAX);
	uint64_t got;

	for (uint8_t *cut = b; cut < e; cut++) {
		/* A copy of exactly that size, for the address sanitizer. */
		size_t n = (size_t)(cut - b);
		uint8_t *copy = malloc(n + 1);

		memcpy(copy, b, n);
		ck_assert_ptr_null(get_varint64(copy, copy + n, &got));
		free(copy);
	}
}
END_TEST

START_TEST(overlong_varint_is_refused)
{
	uint8_t b[11];
	uint64_t got;
	uint32_t got32;

	memset(b, 0xff, sizeof(b));
	ck_assert_ptr_null(get_varint64(b, b + sizeof(b), &got));
	b[9] = 0x02; /* the 65th bit */
	ck_assert_ptr_null(get_varint64(b, b + sizeof(b), &got));
	b[9] = 0x01;
	ck_assert_ptr_nonnull(get_varint64(b, b + sizeof(b), &got));
	ck_assert_uint_eq(got, UINT64_MAX);
	ck_assert_ptr_null(get_varint32(b, b + sizeof(b), &got32));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("coding");
	TCase *t = tcase_create("coding");

	tcase_add_test(t, fixed_numbers_come_back);
	tcase_add_test(t, varints_of_every_length_come_back);
	tcase_add_test(t, truncated_varint_is_refused);
	tcase_add_test(t, overlong_varint_is_refused);
	suite_add_tcase(s, t);
	return run_suite(s);
}
