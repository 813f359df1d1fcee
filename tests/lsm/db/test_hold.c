/* SPDX-License-Identifier: MIT */
/*
 * test_hold.c - values held where they lie: they are what a get copies, stay
 * until released whatever happens to their keys, and an error is told for the
 * key it belongs to.
 */
#include "tests/lsm/db/db_check.h"

#define KEYS    600
#define AT_ONCE 70

static struct lsm_env *env;
static char path[64];
static struct lsm_options options;
static struct lsm_db *db;

/* Values in blob files; in tables; in tables that are mapped. */
static void setup(unsigned mode)
{
	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	snprintf(path, sizeof(path), "/store");
	options = (struct lsm_options){
		.env = env,
		.write_buffer_bytes = 256 << 10,
		.memory_bytes = 2 << 20,
		.wal_sync_interval_ms = UINT32_MAX,
		.mmap = mode == 2 ? LSM_MMAP_RAW : LSM_MMAP_OFF,
		.compression =
			mode == 2 ? LSM_COMPRESSION_NONE : LSM_COMPRESSION_LZ4,
		.blob_bytes = mode ? 0 : 1000,
		.blob_file_bytes = 256 << 10};
	ck_ok(lsm_open(path, &options, &db));
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	env_fault_free(env);
}

static struct lsm_slice key_of(char buf[16], unsigned i)
{
	return lsm_slice(buf, (size_t)snprintf(buf, 16, "k%05u", i));
}

/* Short and long ones, half of each compressible. */
static void put_some(struct lsm_batch *b, unsigned i, uint64_t *seed)
{
	static char value[9000];
	size_t len = rnd_below(seed, 3) ? 3000 + rnd_below(seed, 6000)
					: 1 + rnd_below(seed, 200);
	char key[16];

	for (size_t k = 0; k < len; k++)
		value[k] = k < len / 2 ? (char)rnd(seed) : (char)i;
	ck_ok(lsm_batch_put(b, key_of(key, i), lsm_slice(value, len)));
}

static void delete_all(void)
{
	struct lsm_batch *b = lsm_batch_new();
	char k1[16], k2[16];

	ck_ok(lsm_batch_delete_range(b, key_of(k1, 0), key_of(k2, KEYS)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static void write_some(uint64_t *seed)
{
	struct lsm_batch *b = lsm_batch_new();
	unsigned from = rnd_below(seed, KEYS), n = 1 + rnd_below(seed, 40);
	char k1[16], k2[16];

	switch (rnd_below(seed, 6)) {
	case 0:
		ck_ok(lsm_batch_delete_range(b, key_of(k1, from),
					     key_of(k2, from + n)));
		break;
	case 1:
		for (unsigned i = 0; i < n; i++)
			ck_ok(lsm_batch_delete(
				b, key_of(k1, rnd_below(seed, KEYS))));
		break;
	default:
		for (unsigned i = 0; i < n; i++)
			put_some(b, (from + i) % KEYS, seed);
	}
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

struct group {
	char text[AT_ONCE][16];
	struct lsm_slice keys[AT_ONCE], values[AT_ONCE];
	int results[AT_ONCE];
	struct lsm_hold *hold;
};

static int hold_with(struct group *g, const struct lsm_hold_options *o,
		     unsigned from)
{
	for (unsigned i = 0; i < AT_ONCE; i++)
		g->keys[i] = key_of(g->text[i], from + i);
	g->hold = NULL;
	return lsm_hold_get(db, o, AT_ONCE, g->keys, g->values, g->results,
			    &g->hold);
}

/* Every other time the cache is left alone. */
static int hold_from(struct group *g, const struct lsm_snapshot *s,
		     unsigned from)
{
	static unsigned calls;
	const struct lsm_hold_options o = {.snapshot = s,
					   .no_fill_cache = ++calls % 2};

	return hold_with(g, &o, from);
}

static void check_group(struct group *g, const struct lsm_snapshot *s)
{
	struct lsm_pin pin = {0};

	for (unsigned i = 0; i < AT_ONCE; i++) {
		ck_assert_int_eq(lsm_get(db, s, g->keys[i], &pin),
				 g->results[i]);
		ck_assert_uint_eq(pin.len, g->values[i].len);
		ck_assert(!g->values[i].data == (g->results[i] != 0));
		if (pin.len)
			ck_assert_mem_eq(pin.data, g->values[i].data, pin.len);
	}
	lsm_unpin(&pin);
}

START_TEST(held_values_are_what_gets_copy)
{
	uint64_t seed = test_seed(310 + (uint64_t)_i);
	const struct lsm_snapshot *s = NULL;
	struct group g;

	setup((unsigned)_i);
	for (unsigned step = 0; step < 400; step++) {
		write_some(&seed);
		if (step % 50 == 20) {
			lsm_snapshot_release(db, s);
			s = lsm_snapshot_take(db);
		}
		if (step % 70 == 30)
			ck_ok(lsm_flush(db));
		if (step % 130 == 100) {
			lsm_snapshot_release(db, s);
			s = NULL;
			ck_ok(lsm_close(db));
			ck_ok(lsm_open(path, &options, &db));
		}
		ck_ok(hold_from(&g, NULL, rnd_below(&seed, KEYS)));
		check_group(&g, NULL);
		lsm_hold_release(g.hold);
		if (!s)
			continue;
		ck_ok(hold_from(&g, s, rnd_below(&seed, KEYS)));
		check_group(&g, s);
		lsm_hold_release(g.hold);
	}
	lsm_snapshot_release(db, s);
	teardown();
}
END_TEST

START_TEST(held_values_stay_whatever_happens_to_their_keys)
{
	uint64_t seed = test_seed(320 + (uint64_t)_i);
	const struct lsm_snapshot *s;
	struct group held[8];

	setup((unsigned)_i);
	for (unsigned step = 0; step < 60; step++)
		write_some(&seed);
	for (unsigned i = 0; i < 8; i++) {
		if (i == 4)
			ck_ok(lsm_flush(db));
		ck_ok(hold_from(&held[i], NULL, i * AT_ONCE));
	}
	s = lsm_snapshot_take(db); /* to compare with */
	delete_all();
	for (unsigned step = 0; step < 200; step++)
		write_some(&seed);
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	for (unsigned i = 0; i < 8; i++)
		check_group(&held[i], s);
	lsm_snapshot_release(db, s);
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	for (unsigned i = 0; i < 8; i++) {
		uint64_t sum = 0;

		/* for the sanitizer: every byte is still ours */
		for (unsigned k = 0; k < AT_ONCE; k++)
			for (size_t j = 0; j < held[i].values[k].len; j++)
				sum += ((const uint8_t *)held[i]
						.values[k]
						.data)[j];
		ck_assert_uint_gt(sum, 0);
		lsm_hold_release(held[i].hold);
	}
	teardown();
}
END_TEST

START_TEST(error_is_told_for_the_key_it_belongs_to)
{
	uint64_t seed = test_seed(330), calls;
	unsigned failed = 0, n;
	struct group g, want;

	setup(0);
	for (unsigned step = 0; step < 60; step++)
		write_some(&seed);
	ck_ok(lsm_flush(db));
	for (n = 0; n < 40; n++) {
		int r;

		/* nothing in memory */
		ck_ok(lsm_close(db));
		ck_ok(lsm_open(path, &options, &db));
		env_fault_count_reads(env, true);
		calls = env_fault_calls(env);
		env_fault_fail_at(env, calls + n, -EIO, false);
		r = hold_from(&g, NULL, 100);
		env_fault_clear(env);
		ck_assert_ptr_nonnull(g.hold);
		ck_ok(hold_from(&want, NULL, 100));
		for (unsigned i = 0; i < AT_ONCE; i++) {
			if (g.results[i] < 0) {
				ck_assert_int_eq(g.results[i], -EIO);
				ck_assert_int_eq(r, -EIO);
				ck_assert_ptr_null(g.values[i].data);
				failed++;
				continue;
			}
			ck_assert_int_eq(g.results[i], want.results[i]);
			ck_assert_uint_eq(g.values[i].len, want.values[i].len);
			if (g.values[i].len)
				ck_assert_mem_eq(g.values[i].data,
						 want.values[i].data,
						 g.values[i].len);
		}
		lsm_hold_release(g.hold);
		lsm_hold_release(want.hold);
	}
	ck_assert_uint_gt(failed, 0);
	ck_assert_int_eq(lsm_hold_get(db, NULL, 1, &(struct lsm_slice){0},
				      g.values, g.results, &g.hold),
			 -EINVAL);
	lsm_hold_release(g.hold);
	lsm_hold_release(NULL);
	teardown();
}
END_TEST

/* How often it reads. */
static uint64_t reads_of(struct group *g, bool no_fill, unsigned from)
{
	const struct lsm_hold_options o = {.no_fill_cache = no_fill};
	uint64_t calls = env_fault_calls(env);

	ck_ok(hold_with(g, &o, from));
	calls = env_fault_calls(env) - calls;
	check_group(g, NULL);
	lsm_hold_release(g->hold);
	return calls;
}

static void reopen(void)
{
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
}

START_TEST(blocks_stay_out_of_the_cache_where_that_is_asked_for)
{
	const struct lsm_hold_options o = {.no_fill_cache = true};
	uint64_t seed = test_seed(340), first, again, calls;
	struct lsm_batch *b = lsm_batch_new();
	struct group g;

	setup(0);
	for (unsigned i = 0; i < KEYS; i++)
		put_some(b, i, &seed);
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	reopen();
	ck_ok(lsm_wait_idle(db));
	env_fault_count_reads(env, true);

	/* What is read first besides, of tables and footers, is read once. */
	ck_ok(hold_with(&g, &o, 100));
	lsm_hold_release(g.hold);
	calls = env_fault_calls(env);
	ck_ok(hold_with(&g, &o, 100));
	lsm_hold_release(g.hold);
	first = env_fault_calls(env) - calls;
	ck_assert_uint_gt(first, 3);

	/* The last block is there, where the next call goes on. */
	calls = env_fault_calls(env);
	ck_ok(lsm_hold_get(db, &o, 1, &g.keys[AT_ONCE - 1], g.values, g.results,
			   &g.hold));
	lsm_hold_release(g.hold);
	ck_assert_uint_eq(env_fault_calls(env), calls);

	again = reads_of(&g, false, 100);
	ck_assert_uint_eq(again, first);
	ck_assert_uint_eq(reads_of(&g, false, 100), 0);
	ck_assert_uint_eq(reads_of(&g, true, 100), 0);
	teardown();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hold");
	TCase *tc = tcase_create("hold");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, held_values_are_what_gets_copy, 0, 3);
	tcase_add_loop_test(tc, held_values_stay_whatever_happens_to_their_keys,
			    0, 3);
	tcase_add_test(tc, error_is_told_for_the_key_it_belongs_to);
	tcase_add_test(tc,
		       blocks_stay_out_of_the_cache_where_that_is_asked_for);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
