/* SPDX-License-Identifier: MIT */
/*
 * test_failed_sync.c - a blob file of bulk writes could not be made durable.
 * The kernel tells one caller, reads the values back from memory for a while,
 * and does not have them. Whoever comes next, the flush or another life of the
 * store, must not believe in the file.
 */
#include "tests/lsm/db/db_check.h"

#define PATH  "/store"
#define KEYS  200
#define VALUE 4096

static struct lsm_env *env;
static struct lsm_options options;
static struct lsm_db *db;

static void setup(void)
{
	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	env_fault_lose_failed_syncs(env);
	options = (struct lsm_options){.env = env,
				       .write_buffer_bytes = 4 << 20,
				       .memory_bytes = 16 << 20,
				       .blob_bytes = 1000,
				       .blob_file_bytes = 64 << 20,
				       .wal_sync_interval_ms = UINT32_MAX};
	ck_ok(lsm_open(PATH, &options, &db));
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	env_fault_free(env);
}

static struct lsm_slice value_of(unsigned i, unsigned v, char buf[VALUE])
{
	uint64_t seed = i * 1000ull + v;

	for (unsigned k = 0; k < VALUE; k += 8)
		memcpy(buf + k, &(uint64_t){rnd(&seed)}, 8);
	return lsm_slice(buf, VALUE);
}

/* Version v of all keys, as one bulk write. */
static void put_all(unsigned v)
{
	struct lsm_batch *b = lsm_batch_new();
	char key[16], buf[VALUE];

	for (unsigned i = 0; i < KEYS; i++)
		ck_ok(lsm_batch_put(b, model_key(key, i), value_of(i, v, buf)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static void check_all(unsigned v)
{
	struct lsm_pin pin = {0};
	char key[16], buf[VALUE];

	for (unsigned i = 0; i < KEYS; i++) {
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
		ck_assert_uint_eq(pin.len, VALUE);
		value_of(i, v, buf);
		ck_assert_msg(!memcmp(pin.data, buf, VALUE), "key %u", i);
	}
	lsm_unpin(&pin);
}

static void fail_next_call(void)
{
	env_fault_fail_at(env, env_fault_calls(env), -EIO, false);
}

/* Memory forgets what the disk does not have. */
static void power_off_and_reopen(void)
{
	env_fault_power_off_at(env, env_fault_calls(env));
	lsm_close(db); /* fails */
	env_fault_restart(env, ENV_KEEP_NONE, false, 1);
	ck_ok(lsm_open(PATH, &options, &db));
	ck_ok(lsm_verify(db, NULL, NULL));
}

static void *sync_main(void *arg)
{
	*(int *)arg = lsm_sync(db);
	return NULL;
}

/* 0: it comes after the sync; 1: beside it, which takes its time to fail. */
START_TEST(flush_does_not_seal_what_another_failed_to_sync)
{
	struct lsm_stats stats;
	uint64_t calls;
	pthread_t id;
	int told = 0;

	put_all(1);
	calls = env_fault_calls(env);
	fail_next_call();
	ck_assert_int_eq(pthread_create(&id, NULL, sync_main, &told), 0);
	while (env_fault_calls(env) == calls)
		usleep(100);
	if (!_i)
		ck_assert_int_eq(pthread_join(id, NULL), 0);
	lsm_flush(db); /* may come before the error is known to all */
	if (_i)
		ck_assert_int_eq(pthread_join(id, NULL), 0);
	ck_assert_int_eq(told, -EIO);
	ck_ok(lsm_resume(db));
	check_all(1);
	ck_ok(lsm_sync(db));
	lsm_get_stats(db, &stats);
	ck_assert_uint_ge(stats.flushes, 1);
	power_off_and_reopen();
	check_all(1);
}
END_TEST

/* 0: the process ends; 1: and the power goes once all is said to be well. */
START_TEST(next_life_reads_what_the_disk_has)
{
	struct lsm_pin pin = {0};
	char key[16];

	put_all(1);
	ck_ok(lsm_sync(db));
	put_all(2);
	fail_next_call();
	ck_assert_int_eq(lsm_sync(db), -EIO);
	ck_assert_int_eq(lsm_close(db), -EIO);
	ck_ok(lsm_open(PATH, &options, &db));
	ck_ok(lsm_verify(db, NULL, NULL));
	check_all(1); /* the second version was never durable */
	ck_ok(lsm_put(db, slice_of("k"), slice_of("v")));
	ck_ok(lsm_sync(db));
	if (_i)
		power_off_and_reopen();
	check_all(1);
	ck_ok(lsm_get(db, NULL, slice_of("k"), &pin));
	ck_assert_int_eq(lsm_get(db, NULL, model_key(key, KEYS), &pin),
			 LSM_NOTFOUND);
	lsm_unpin(&pin);
}
END_TEST

static unsigned damage_blob_files(uint64_t at)
{
	char name[32];
	unsigned n = 0;

	for (unsigned i = 1; i < 40; i++) {
		snprintf(name, sizeof(name), PATH "/%06u.blob", i);
		n += !env_fault_corrupt(env, name, at, 0x40);
	}
	return n;
}

START_TEST(overwritten_value_that_cannot_be_read_does_not_stop_resume)
{
	put_all(1);
	put_all(2);
	fail_next_call();
	ck_assert_int_eq(lsm_sync(db), -EIO);
	ck_assert_uint_eq(damage_blob_files(1000), 1);
	check_all(2);
	ck_ok(lsm_resume(db));
	ck_ok(lsm_put(db, slice_of("k"), slice_of("v")));
	ck_ok(lsm_sync(db));
	check_all(2);
	power_off_and_reopen();
	check_all(2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db failed sync");
	TCase *t = tcase_create("failed sync");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, flush_does_not_seal_what_another_failed_to_sync,
			    0, 2);
	tcase_add_loop_test(t, next_life_reads_what_the_disk_has, 0, 2);
	tcase_add_test(
		t, overwritten_value_that_cannot_be_read_does_not_stop_resume);
	suite_add_tcase(s, t);
	return run_suite(s);
}
