/* SPDX-License-Identifier: MIT */
/*
 * test_model.c - random operations on the filesystem and on a model of it, with
 * reopening: both always look the same, and fsck finds nothing. TEST_SEED runs
 * one seed alone.
 */
#include "tests/fs/model.h"

#define SEEDS 20
#define STEPS 1200

static void run_seed(uint64_t seed)
{
	struct model *m = model_new(seed);
	uint64_t rest = rnd_seed(seed ^ 0x5eed);
	struct test_fs t;
	unsigned applied = 0;

	printf("# seed %llu\n", (unsigned long long)seed);
	test_setup(&t);
	for (unsigned i = 0; i < STEPS; i++) {
		struct step s = model_step(m, t.fs);

		ck_assert_msg(s.got == s.expect,
			      "seed %llu step %u: %s gave %d, expected %d",
			      (unsigned long long)seed, i, s.what, s.got,
			      s.expect);
		applied += s.expect == 0;
		if (rnd(&rest) % 150 == 0)
			test_reopen(&t);
		if (rnd(&rest) % 100 == 0)
			ck_assert_int_eq(lsm_flush(fs_db(t.fs)), 0);
		if (rnd(&rest) % 40 == 0)
			ck_assert_msg(fs_hash(t.fs) == model_hash(m),
				      "seed %llu: trees differ after step %u "
				      "(%s)",
				      (unsigned long long)seed, i, s.what);
	}
	ck_assert_uint_gt(applied, STEPS / 2);
	ck_assert_uint_eq(fs_hash(t.fs), model_hash(m));
	ck_assert_uint_eq(test_fsck(t.fs, false, NULL), 0);
	test_reopen(&t);
	ck_assert_uint_eq(fs_hash(t.fs), model_hash(m));
	test_teardown(&t);
	model_free(m);
}

START_TEST(filesystem_always_looks_like_the_model)
{
	const char *one = getenv("TEST_SEED");

	run_seed(one ? strtoull(one, NULL, 0) : (uint64_t)_i + 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/model");
	TCase *c = tcase_create("model");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, filesystem_always_looks_like_the_model, 0,
			    getenv("TEST_SEED") ? 1 : SEEDS);
	suite_add_tcase(s, c);
	return run_suite(s);
}
