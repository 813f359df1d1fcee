/* SPDX-License-Identifier: MIT */
/* test_prefetch.c - ranges that are brought into memory before they are read.
 */
#include "tests/lsm/db/db_check.h"

#define KEYS        4000
#define VALUE_BYTES 500
#define BLOCK       4096
#define BLOB_BLOCK  (32u << 10)

static char path[64];
static struct lsm_options options;
static struct log_text said;
static struct lsm_db *db;

static struct lsm_slice value_of(unsigned i, uint64_t out[VALUE_BYTES / 8 + 1])
{
	uint64_t seed = i;

	for (unsigned j = 0; j <= VALUE_BYTES / 8; j++)
		out[j] = rnd(&seed);
	return lsm_slice(out, VALUE_BYTES);
}

/* KEYS keys in tables, with values in blob files if wanted, nothing in memory.
 */
static void make_store(bool blobs)
{
	uint64_t value[VALUE_BYTES / 8 + 1];
	char key[16];

	test_dir_make(path);
	options = (struct lsm_options){.memory_bytes = 64 << 20,
				       .mmap = LSM_MMAP_OFF,
				       .blob_bytes = blobs ? 100 : 0};
	log_text_use(&said, &options);
	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < KEYS; i++)
		ck_ok(lsm_put(db, model_key(key, i), value_of(i, value)));
	ck_ok(lsm_flush(db));
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
}

static void remove_store(void)
{
	ck_ok(lsm_close(db));
	test_dir_remove(path);
}

/* How many blocks came from disk so far, whoever asked for them. */
static uint64_t blocks_read(void)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	return s.cache_misses;
}

/* Waits until so many did; false: they do not. */
static bool wait_blocks(uint64_t blocks)
{
	for (unsigned i = 0; i < 1000 && blocks_read() < blocks; i++)
		usleep(10000);
	return blocks_read() >= blocks;
}

START_TEST(range_asked_for_is_in_memory_when_it_is_read)
{
	/* half of the data, at least; blocks of 4 or of 32 KiB */
	uint64_t blocks =
		KEYS / 2 * VALUE_BYTES / (_i ? BLOB_BLOCK : BLOCK) * 9 / 10;
	uint64_t value[VALUE_BYTES / 8 + 1], before;
	char start[16], end[16], key[16];
	struct lsm_pin pin = {0};

	make_store(_i);
	before = blocks_read();
	ck_ok(lsm_prefetch(db, model_key(start, KEYS / 4),
			   model_key(end, 3 * KEYS / 4)));
	ck_assert(wait_blocks(before + blocks));
	before = blocks_read();
	for (unsigned i = KEYS / 4; i < 3 * KEYS / 4; i++) {
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
		ck_assert_uint_eq(pin.len, VALUE_BYTES);
		ck_assert(!memcmp(pin.data, value_of(i, value).data, pin.len));
	}
	lsm_unpin(&pin);
	/* the last ones may have been under way yet */
	ck_assert_uint_le(blocks_read() - before, blocks / 3 + 8);
	remove_store();
}
END_TEST

START_TEST(no_more_is_read_than_an_eighth_of_the_free_budget)
{
	const uint64_t all = (uint64_t)KEYS * VALUE_BYTES / BLOCK;
	uint64_t value[VALUE_BYTES / 8 + 1], last, now;
	char key[16];

	make_store(false);
	ck_ok(lsm_close(db));
	options.memory_bytes = 2 << 20;
	options.write_buffer_bytes = 256 << 10;
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_prefetch(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	ck_assert(wait_blocks(16));
	now = blocks_read();
	do {
		last = now;
		usleep(200000);
		now = blocks_read();
	} while (now != last);
	/* what was walked, and what was ordered beyond it */
	ck_assert_uint_le(now, 2 * options.memory_bytes / 8 / BLOCK + 32);
	ck_assert_uint_lt(2 * options.memory_bytes / 8 / BLOCK + 32, all / 2);
	ck_ok(lsm_put(db, model_key(key, 0), value_of(0, value)));
	remove_store();
}
END_TEST

START_TEST(store_is_closed_whatever_is_asked_for)
{
	char start[16], end[16];

	make_store(_i);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 40; i++) {
			int r = lsm_prefetch(db, model_key(start, i * 10),
					     model_key(end, i * 10 + 2000));

			ck_assert(r == 0 || r == -EAGAIN);
		}
		ck_ok(lsm_close(db));
		ck_ok(lsm_open(path, &options, &db));
	}
	remove_store();
}
END_TEST

START_TEST(impossible_ranges_are_refused)
{
	static const char long_key[LSM_KEY_MAX + 1];

	make_store(false);
	ck_assert_int_eq(lsm_prefetch(db, slice_of("b"), slice_of("a")),
			 -EINVAL);
	ck_assert_int_eq(lsm_prefetch(db, slice_of("b"), slice_of("b")),
			 -EINVAL);
	ck_assert_int_eq(lsm_prefetch(db, lsm_slice(long_key, sizeof(long_key)),
				      lsm_slice(NULL, 0)),
			 -EINVAL);
	remove_store();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prefetch");
	TCase *t = tcase_create("prefetch");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, range_asked_for_is_in_memory_when_it_is_read, 0,
			    2);
	tcase_add_test(t, no_more_is_read_than_an_eighth_of_the_free_budget);
	tcase_add_loop_test(t, store_is_closed_whatever_is_asked_for, 0, 2);
	tcase_add_test(t, impossible_ranges_are_refused);
	suite_add_tcase(s, t);
	return run_suite(s);
}
