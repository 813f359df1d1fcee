/* SPDX-License-Identifier: MIT */
/*
 * test_io_errors.c - a call to the disk fails, once or from then on. Nothing
 * crashes, what an operation reports as done is there, and after reopening on
 * a sound disk fsck finds nothing. TEST_LONG=1 tries every call.
 */
#include <unistd.h>

#include "tests/fs/model.h"

#define STEPS   250
#define SAMPLES 60

/* What the tree looks like after so many operations. */
static uint64_t hash_after(uint64_t seed, unsigned steps)
{
	struct model *m = model_new(seed);
	uint64_t hash;

	for (unsigned i = 0; i < steps; i++)
		model_step(m, NULL);
	hash = model_hash(m);
	model_free(m);
	return hash;
}

/* Operations until the first that fails. It left no trace in memory; on disk
 * it may be there or not, and everything before it is. */
static void run_with_error(uint64_t seed, uint64_t nth, int error, bool sticky)
{
	struct model *m = model_new(seed);
	unsigned done = 0;
	struct test_fs t;
	uint64_t hash;
	int r;

	test_setup(&t);
	env_fault_count_reads(t.env, true);
	env_fault_fail_at(t.env, nth, error, sticky);
	for (; done < STEPS; done++) {
		struct step s = model_step(m, t.fs);

		if (s.got != s.expect) {
			ck_assert_msg(s.got < 0, "%s gave %d", s.what, s.got);
			break;
		}
	}
	env_fault_clear(t.env);
	env_fault_count_reads(t.env, false);
	ck_assert_msg(fs_hash(t.fs) == hash_after(seed, done),
		      "seed %llu, call %llu gives %d: step %u failed but left "
		      "something behind",
		      (unsigned long long)seed, (unsigned long long)nth, error,
		      done);
	r = fs_close(t.fs);
	test_open(&t);
	ck_assert_msg(test_fsck(t.fs, false, NULL) == 0,
		      "seed %llu, call %llu gives %d", (unsigned long long)seed,
		      (unsigned long long)nth, error);
	hash = fs_hash(t.fs);
	ck_assert_msg(hash == hash_after(seed, done) ||
			      (r && done < STEPS &&
			       hash == hash_after(seed, done + 1)),
		      "seed %llu, call %llu gives %d: what was done is not "
		      "there",
		      (unsigned long long)seed, (unsigned long long)nth, error);
	must_file(t.fs, FS_ROOT_INO, "after");
	test_teardown(&t);
	model_free(m);
}

START_TEST(disk_errors_lose_nothing_that_was_reported_done)
{
	uint64_t seed = test_seed(7 + (uint64_t)_i), first, calls, step = 1;
	struct model *m = model_new(seed);
	struct test_fs t;

	test_setup(&t);
	first = env_fault_calls(t.env);
	env_fault_count_reads(t.env, true);
	for (unsigned i = 0; i < STEPS; i++)
		model_step(m, t.fs);
	test_close(&t);
	calls = env_fault_calls(t.env);
	env_fault_free(t.env);
	model_free(m);
	if (getenv("TEST_SANITIZED") && calls - first > SAMPLES)
		step = (calls - first) / SAMPLES;
	for (uint64_t n = first + (uint64_t)_i % step; n < calls; n += step)
		run_with_error(seed, n, _i & 1 ? -ENOSPC : -EIO, _i & 2);
}
END_TEST

START_TEST(full_disk_recovers_when_there_is_room)
{
	static uint8_t buf[1 << 16];
	struct test_fs t;
	uint64_t f, r = 99, g;
	ssize_t n = 0;
	int again;

	test_setup(&t);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)rnd(&r);
	f = must_file(t.fs, 1, "f");
	env_fault_set_capacity(t.env, 4 << 20);
	for (unsigned i = 0; i < 400 && n >= 0; i++)
		n = fs_write(t.fs, f, buf, sizeof(buf), 0, FS_WRITE_APPEND);
	ck_assert_int_eq(n, -ENOSPC);
	ck_assert_int_eq(fs_read(t.fs, f, buf, 4096, 0), 4096);
	env_fault_set_capacity(t.env, 0);
	/* The writeback thread notices within a second or two. */
	for (again = 0; again < 100; again++) {
		n = fs_write(t.fs, f, buf, 100, 0, 0);
		if (n >= 0)
			break;
		usleep(100000);
	}
	ck_assert_int_eq(n, 100);
	g = must_file(t.fs, 1, "g");
	ck_assert_uint_gt(g, f);
	test_reopen(&t);
	ck_assert_uint_eq(find(t.fs, 1, "g"), g);
	test_teardown(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/io_errors");
	TCase *c = tcase_create("io_errors");

	tcase_set_timeout(c, 600);
	tcase_add_loop_test(c, disk_errors_lose_nothing_that_was_reported_done,
			    0, 4);
	tcase_add_test(c, full_disk_recovers_when_there_is_room);
	suite_add_tcase(s, c);
	return run_suite(s);
}
