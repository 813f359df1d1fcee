/* SPDX-License-Identifier: MIT */
/*
 * test_power_loss.c - the power goes off at some call to the disk in the
 * middle of a history of operations. After it the filesystem is one of the
 * history's prefixes, at least as long as the last sync that succeeded, and
 * fsck finds nothing wrong with it. The unsynced rest is kept wholly, not at
 * all, or by chance, whole or torn.
 *
 * TEST_LONG=1 tries every call instead of a sample.
 */
#include "tests/fs/model.h"

#define STEPS   400
#define SAMPLES 40

struct history {
	uint64_t seed;
	uint64_t hashes[STEPS + 1]; /* after so many operations */
};

static void history_make(struct history *h, uint64_t seed)
{
	struct model *m = model_new(seed);

	h->seed = seed;
	h->hashes[0] = model_hash(m);
	for (unsigned i = 0; i < STEPS; i++) {
		model_step(m, NULL);
		h->hashes[i + 1] = model_hash(m);
	}
	model_free(m);
}

/* Calls to the disk of a run that nothing happens to. */
static uint64_t calls_of(const struct history *h, uint64_t *first)
{
	struct model *m = model_new(h->seed);
	struct test_fs t;
	uint64_t n;

	test_setup(&t);
	*first = env_fault_calls(t.env);
	for (unsigned i = 0; i < STEPS; i++) {
		struct step s = model_step(m, t.fs);

		ck_assert_int_eq(s.got, s.expect);
	}
	ck_assert_uint_eq(fs_hash(t.fs), h->hashes[STEPS]);
	test_close(&t);
	n = env_fault_calls(t.env);
	env_fault_free(t.env);
	model_free(m);
	return n;
}

/* Runs until the power is off. Returns the number of operations that were
 * acknowledged, and those before the last sync in *synced. */
static unsigned run_history(struct test_fs *t, const struct history *h,
			    unsigned *synced)
{
	struct model *m = model_new(h->seed);
	unsigned i;

	*synced = 0;
	for (i = 0; i < STEPS; i++) {
		struct step s = model_step(m, t->fs);

		if (s.got != s.expect) {
			ck_assert_msg(env_fault_is_off(t->env) && s.got < 0,
				      "step %u: %s gave %d", i, s.what, s.got);
			break;
		}
		if (s.synced)
			*synced = i + 1;
	}
	model_free(m);
	return i;
}

static void power_off_at(const struct history *h, uint64_t nth,
			 enum env_fault_keep keep, bool torn)
{
	struct test_fs t;
	unsigned done, synced, k;
	uint64_t hash;
	bool off;

	test_setup(&t);
	env_fault_power_off_at(t.env, nth);
	done = run_history(&t, h, &synced);
	off = env_fault_is_off(t.env);
	(void)fs_close(t.fs); /* cannot succeed without power */
	/* Without the power going off before, closing made all durable. */
	if (!off && !env_fault_is_off(t.env))
		synced = done;
	env_fault_restart(t.env, keep, torn, nth);
	test_open(&t);
	hash = fs_hash(t.fs);
	/* The operation under way may have happened or not. */
	for (k = done + (done < STEPS); k > synced && h->hashes[k] != hash;)
		k--;
	ck_assert_msg(h->hashes[k] == hash,
		      "seed %llu, power off at call %llu, keep %d torn %d: "
		      "not a prefix between %u and %u operations",
		      (unsigned long long)h->seed, (unsigned long long)nth,
		      (int)keep, torn, synced, done);
	ck_assert_msg(test_fsck(t.fs, false, NULL) == 0,
		      "seed %llu, power off at call %llu, keep %d torn %d",
		      (unsigned long long)h->seed, (unsigned long long)nth,
		      (int)keep, torn);
	/* And it goes on working. */
	must_file(t.fs, FS_ROOT_INO, "after");
	test_teardown(&t);
}

START_TEST(after_power_loss_there_is_a_prefix_with_all_that_was_synced)
{
	static struct history h;
	uint64_t seed = test_seed(100 + (uint64_t)_i), first, calls, step = 1;
	uint64_t r = rnd_seed(seed);

	history_make(&h, seed);
	calls = calls_of(&h, &first);
	if (getenv("TEST_SANITIZED") && calls - first > SAMPLES)
		step = (calls - first) / SAMPLES;
	for (uint64_t n = first + rnd(&r) % step; n < calls; n += step)
		power_off_at(&h, n, (enum env_fault_keep)(_i % 4), _i % 2 != 0);
}
END_TEST

START_TEST(power_loss_while_making_leaves_nothing_or_a_filesystem)
{
	struct test_fs t;
	uint64_t calls;

	test_setup(&t);
	calls = env_fault_calls(t.env);
	test_teardown(&t);
	for (uint64_t n = 0; n < calls; n++) {
		for (int keep = 0; keep < 4; keep++) {
			memset(&t, 0, sizeof(t));
			t.env = env_fault_new();
			ck_assert_ptr_nonnull(t.env);
			test_options(&t);
			env_fault_power_off_at(t.env, n);
			if (fs_open(STORE, &t.options, &t.fs) == 0)
				(void)fs_close(t.fs);
			env_fault_restart(t.env, (enum env_fault_keep)keep,
					  true, n);
			test_open(&t);
			must_file(t.fs, FS_ROOT_INO, "f");
			test_teardown(&t);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/power_loss");
	TCase *c = tcase_create("power_loss");

	tcase_set_timeout(c, 600);
	tcase_add_loop_test(
		c, after_power_loss_there_is_a_prefix_with_all_that_was_synced,
		0, 8);
	tcase_add_test(c,
		       power_loss_while_making_leaves_nothing_or_a_filesystem);
	suite_add_tcase(s, c);
	return run_suite(s);
}
