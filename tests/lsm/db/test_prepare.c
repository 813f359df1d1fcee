/* SPDX-License-Identifier: MIT */
/*
 * test_prepare.c - lsm_batch_prepare(): values that are written before their
 * batch is. Nobody sees them before, nothing is left of them when the batch is
 * given up, and a memtable that was closed in between does no harm.
 */
#include "tests/lsm/db/db_check.h"

#define VALUES 100
#define BYTES  4096

static char path[64];
static struct lsm_options options;
static struct lsm_db *db;
static const struct lsm_slice none;
static char values[VALUES][BYTES];

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 20,
				       .memory_bytes = 8 << 20,
				       .blob_bytes = 1000};
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

static struct lsm_slice key_of(char buf[16], unsigned i)
{
	return lsm_slice(buf, (size_t)sprintf(buf, "key%05u", i));
}

static void fill(unsigned seed)
{
	uint64_t state = seed;

	for (unsigned i = 0; i < VALUES; i++)
		for (unsigned k = 0; k < BYTES; k += 2)
			values[i][k] = (char)rnd(&state);
}

/* VALUES large values by reference, from key first on. */
static struct lsm_batch *large_batch(unsigned first)
{
	struct lsm_batch *b = lsm_batch_new();
	char key[16];

	ck_assert_ptr_nonnull(b);
	for (unsigned i = 0; i < VALUES; i++)
		ck_ok(lsm_batch_put_ref(b, key_of(key, first + i),
					lsm_slice(values[i], BYTES)));
	return b;
}

static void must_hold(unsigned first)
{
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned i = 0; i < VALUES; i++) {
		ck_ok(lsm_get(db, NULL, key_of(key, first + i), &pin));
		ck_assert_uint_eq(pin.len, BYTES);
		ck_assert_mem_eq(pin.data, values[i], BYTES);
	}
	lsm_unpin(&pin);
}

static int get(const char *key)
{
	struct lsm_pin pin = {0};
	int r = lsm_get(db, NULL, slice_of(key), &pin);

	lsm_unpin(&pin);
	return r;
}

static struct lsm_stats stats(void)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	return s;
}

START_TEST(prepared_values_are_seen_when_their_batch_is_written)
{
	struct lsm_batch *b = large_batch(0);
	char big[3000] = "big";

	fill(1);
	ck_ok(lsm_batch_prepare(db, b));
	ck_ok(lsm_batch_prepare(db, b)); /* once is enough */
	ck_assert_int_eq(get("key00000"), LSM_NOTFOUND);
	/* What comes later is written with them, and wins over them. */
	ck_ok(lsm_batch_put(b, slice_of("small"), slice_of("x")));
	ck_ok(lsm_batch_put(b, slice_of("large"), lsm_slice(big, sizeof(big))));
	ck_ok(lsm_batch_put(b, slice_of("key00099"), slice_of("later")));
	ck_ok(lsm_batch_delete(b, slice_of("key00098")));
	ck_ok(lsm_write(db, b, NULL));
	ck_ok(get("small"));
	ck_ok(get("large"));
	ck_ok(get("key00099"));
	ck_ok(get("key00097"));
	ck_assert_int_eq(get("key00098"), LSM_NOTFOUND);
	/* Written again it is an ordinary batch. */
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	for (unsigned i = 0; i < 2; i++) {
		b = large_batch(1000);
		if (i == 0)
			ck_ok(lsm_batch_prepare(db, b));
		ck_ok(lsm_write(db, b, NULL));
		lsm_batch_free(b);
		must_hold(1000);
	}
	reopen();
	must_hold(1000);
	ck_assert_int_eq(get("key00098"), LSM_NOTFOUND);
	ck_ok(lsm_flush(db));
	ck_ok(lsm_verify(db, NULL, NULL));
	must_hold(1000);
}
END_TEST

START_TEST(given_up_values_leave_nothing_behind)
{
	struct lsm_batch *b;

	fill(2);
	for (unsigned i = 0; i < 3; i++) {
		b = large_batch(0);
		ck_ok(lsm_batch_prepare(db, b));
		if (i)
			lsm_batch_clear(b);
		lsm_batch_free(b);
	}
	ck_ok(lsm_put(db, slice_of("a"), slice_of("b")));
	ck_ok(lsm_flush(db));
	ck_assert_uint_eq(stats().blob_live_bytes, 0);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	ck_assert_int_eq(get("key00000"), LSM_NOTFOUND);
	ck_assert_uint_eq(stats().blob_files, 0);
	ck_ok(get("a"));
}
END_TEST

START_TEST(memtable_closed_in_between_does_no_harm)
{
	struct lsm_batch *b = large_batch(0), *c = large_batch(500);

	fill(3);
	ck_ok(lsm_put(db, slice_of("a"), slice_of("b")));
	ck_ok(lsm_batch_prepare(db, b));
	ck_ok(lsm_batch_prepare(db, c));
	ck_ok(lsm_flush(db));
	ck_ok(lsm_write(db, b, NULL));
	must_hold(0);
	ck_ok(lsm_write(db, c, NULL));
	must_hold(500);
	lsm_batch_free(b);
	lsm_batch_free(c);
	reopen();
	must_hold(0);
	must_hold(500);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_verify(db, NULL, NULL));
	must_hold(500);
}
END_TEST

START_TEST(small_batches_are_left_as_they_are)
{
	struct lsm_batch *b = lsm_batch_new();
	uint64_t written = stats().blob_written_bytes;

	fill(4);
	ck_ok(lsm_batch_put_ref(b, slice_of("one"),
				lsm_slice(values[0], BYTES)));
	ck_ok(lsm_batch_prepare(db, b));
	ck_assert_uint_eq(stats().blob_written_bytes, written);
	ck_ok(lsm_write(db, b, NULL));
	ck_ok(get("one"));
	lsm_batch_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prepare");
	TCase *c = tcase_create("prepare");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, prepared_values_are_seen_when_their_batch_is_written);
	tcase_add_test(c, given_up_values_leave_nothing_behind);
	tcase_add_test(c, memtable_closed_in_between_does_no_harm);
	tcase_add_test(c, small_batches_are_left_as_they_are);
	suite_add_tcase(s, c);
	return run_suite(s);
}
