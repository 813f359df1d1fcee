/* SPDX-License-Identifier: MIT */
/* test_batch.c - batches: built, read back, limited, and damaged. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/coding.h"
#include "lsm/mem/batch.h"
#include "tests/check_main.h"

static struct lsm_batch *b;

static void setup(void)
{
	b = lsm_batch_new();
	ck_assert_ptr_nonnull(b);
}

static void teardown(void)
{
	lsm_batch_free(b);
}

static void expect_op(struct batch_reader *r, uint64_t seq,
		      enum entry_kind kind, const char *key, const char *value)
{
	struct batch_op op;

	ck_assert_int_eq(batch_reader_next(r, &op), 0);
	ck_assert_uint_eq(op.seq, seq);
	ck_assert_int_eq((int)op.kind, (int)kind);
	ck_assert(slice_eq(op.key, slice_str(key)));
	ck_assert(slice_eq(op.value, slice_str(value)));
}

static void fill(void)
{
	const struct lsm_slice parts[] = {slice_str("one"), slice_str(""),
					  slice_str("two")};

	ck_assert_int_eq(lsm_batch_put(b, slice_str("a"), slice_str("1")), 0);
	ck_assert_int_eq(lsm_batch_delete(b, slice_str("bb")), 0);
	ck_assert_int_eq(
		lsm_batch_delete_range(b, slice_str("c"), slice_str("d")), 0);
	ck_assert_int_eq(lsm_batch_putv(b, slice_str("e"), parts, 3), 0);
	ck_assert_int_eq(lsm_batch_putv(b, slice_str("f"), NULL, 0), 0);
	batch_set_sequence(b, 100);
}

START_TEST(operations_are_read_in_order_with_their_sequence)
{
	struct batch_reader r;
	struct batch_op op;

	fill();
	ck_assert_uint_eq(lsm_batch_count(b), 5);
	ck_assert_uint_eq(lsm_batch_size(b), b->rep.len);
	ck_assert_uint_eq(b->data_bytes, 2 + 2 + 2 + 7 + 1);
	ck_assert_int_eq(batch_reader_init(&r, buf_slice(&b->rep)), 0);
	expect_op(&r, 100, KIND_PUT, "a", "1");
	expect_op(&r, 101, KIND_DELETE, "bb", "");
	expect_op(&r, 102, KIND_RANGE_DELETE, "c", "d");
	expect_op(&r, 103, KIND_PUT, "e", "onetwo");
	expect_op(&r, 104, KIND_PUT, "f", "");
	ck_assert_int_eq(batch_reader_next(&r, &op), LSM_END);
	ck_assert_int_eq(batch_reader_next(&r, &op), LSM_END);
}
END_TEST

START_TEST(cleared_batch_is_empty_and_usable)
{
	struct batch_reader r;
	struct batch_op op;

	fill();
	ck_assert_int_eq(lsm_batch_delete(b, slice_str("")), -EINVAL);
	lsm_batch_clear(b);
	ck_assert_uint_eq(lsm_batch_count(b), 0);
	ck_assert_int_eq(b->err, 0);
	ck_assert_uint_eq(b->data_bytes, 0);
	ck_assert_int_eq(batch_reader_init(&r, buf_slice(&b->rep)), 0);
	ck_assert_int_eq(batch_reader_next(&r, &op), LSM_END);
	ck_assert_int_eq(lsm_batch_put(b, slice_str("k"), slice_str("v")), 0);
	ck_assert_uint_eq(lsm_batch_count(b), 1);
}
END_TEST

START_TEST(limits_are_kept_and_the_first_error_is_remembered)
{
	static uint8_t big[LSM_KEY_MAX + 1];
	struct lsm_slice parts[2] = {{big, LSM_VALUE_MAX}, {big, 1}};
	size_t before = lsm_batch_size(b);

	ck_assert_int_eq(lsm_batch_put(b, lsm_slice(big, LSM_KEY_MAX),
				       lsm_slice(NULL, 0)),
			 0);
	lsm_batch_clear(b);
	ck_assert_int_eq(lsm_batch_put(b, lsm_slice(big, LSM_KEY_MAX + 1),
				       lsm_slice(NULL, 0)),
			 -EINVAL);
	ck_assert_int_eq(lsm_batch_put(b, slice_str(""), slice_str("v")),
			 -EINVAL);
	ck_assert_int_eq(lsm_batch_putv(b, slice_str("k"), parts, 2), -EINVAL);
	ck_assert_int_eq(lsm_batch_delete(b, slice_str("")), -EINVAL);
	ck_assert_int_eq(
		lsm_batch_delete_range(b, slice_str("b"), slice_str("b")),
		-EINVAL);
	ck_assert_int_eq(
		lsm_batch_delete_range(b, slice_str("b"), slice_str("a")),
		-EINVAL);
	ck_assert_int_eq(
		lsm_batch_delete_range(b, slice_str(""), slice_str("a")),
		-EINVAL);
	ck_assert_uint_eq(lsm_batch_size(b), before);
	ck_assert_uint_eq(lsm_batch_count(b), 0);
	ck_assert_int_eq(b->err, -EINVAL);
	/* A good append does not forget it. */
	ck_assert_int_eq(lsm_batch_put(b, slice_str("k"), slice_str("v")), 0);
	ck_assert_int_eq(b->err, -EINVAL);
}
END_TEST

/* Reads all of an encoding that may be anything. */
static int drain(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len + !len); /* exact, for the sanitizer */
	struct batch_reader r;
	struct batch_op op;
	uint8_t sum = 0;
	size_t i;
	int err;

	memcpy(copy, p, len);
	err = batch_reader_init(&r, lsm_slice(copy, len));
	while (!err) {
		err = batch_reader_next(&r, &op);
		if (err)
			break;
		for (i = 0; i < op.key.len; i++)
			sum ^= ((const uint8_t *)op.key.data)[i];
		for (i = 0; i < op.value.len; i++)
			sum ^= ((const uint8_t *)op.value.data)[i];
	}
	*(volatile uint8_t *)copy = sum;
	free(copy);
	return err;
}

START_TEST(every_cut_batch_is_corrupt)
{
	size_t i;

	fill();
	for (i = 0; i < b->rep.len; i++)
		ck_assert_int_eq(drain(b->rep.data, i), -EUCLEAN);
	ck_assert_int_eq(drain(b->rep.data, b->rep.len), LSM_END);
	ck_assert_int_eq(buf_append_u8(&b->rep, 0), 0);
	ck_assert_int_eq(drain(b->rep.data, b->rep.len), -EUCLEAN);
}
END_TEST

START_TEST(wrong_contents_are_corrupt)
{
	/* sequence 1, count 1, then an operation */
#define HEAD "\1\0\0\0\0\0\0\0\1\0\0\0"
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{HEAD "\4\1k\1v", 17},                  /* kind */
		{HEAD "\1\0\1v", 16},                   /* empty key */
		{HEAD "\1\377\377\377\377\377\1k", 20}, /* overlong varint */
		{HEAD "\1\1k\2v", 17}, /* value beyond the end */
		{HEAD "\3\1b\1a", 17}, /* inverted range */
		{HEAD "\3\1b\1b", 17}, /* empty range */
		{HEAD "\0\1b\1", 16},  /* bytes behind */
		{"\1\0\0\0\0\0\0\1\1\0\0\0\0\1b", 15}, /* sequence */
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(
			drain((const uint8_t *)bad[i].bytes, bad[i].len),
			-EUCLEAN);
	ck_assert_int_eq(drain((const uint8_t *)HEAD "\1\1k\1v", 17), LSM_END);
}
END_TEST

START_TEST(random_bytes_are_survived)
{
	unsigned seed = (unsigned)test_seed(3), round;
	uint8_t raw[200];
	size_t i, len;
	int err;

	fill();
	for (round = 0; round < 50000; round++) {
		if (round % 2) {
			len = b->rep.len;
			memcpy(raw, b->rep.data, len);
			raw[(size_t)rand_r(&seed) % len] =
				(uint8_t)rand_r(&seed);
		} else {
			len = (size_t)rand_r(&seed) % sizeof(raw);
			for (i = 0; i < len; i++)
				raw[i] = (uint8_t)(i < 12 ? i == 8
							  : rand_r(&seed) % 8);
		}
		err = drain(raw, len);
		ck_assert(err == -EUCLEAN || err == LSM_END);
	}
}
END_TEST

START_TEST(text_names_every_operation)
{
	struct buf out = {0};

	fill();
	ck_assert_int_eq(batch_to_text(buf_slice(&b->rep), &out), 0);
	ck_assert_int_eq(buf_append_u8(&out, 0), 0);
	ck_assert_str_eq((char *)out.data,
			 "seq 100 count 5; put a (1 bytes); delete bb; "
			 "delete-range c to d; put e (6 bytes); "
			 "put f (0 bytes)");
	ck_assert_int_eq(batch_to_text(slice_str("short"), &out), -EUCLEAN);
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("batch");
	TCase *t = tcase_create("batch");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, operations_are_read_in_order_with_their_sequence);
	tcase_add_test(t, cleared_batch_is_empty_and_usable);
	tcase_add_test(t, limits_are_kept_and_the_first_error_is_remembered);
	tcase_add_test(t, every_cut_batch_is_corrupt);
	tcase_add_test(t, wrong_contents_are_corrupt);
	tcase_add_test(t, random_bytes_are_survived);
	tcase_add_test(t, text_names_every_operation);
	suite_add_tcase(s, t);
	return run_suite(s);
}
