/* SPDX-License-Identifier: MIT */
/*
 * test_power_loss.c - the power goes at every call that changes the disk, and
 * the disk keeps nothing, everything or any part of what was not synced.
 *
 * Whatever it keeps, the store must open again, hold a prefix of its history
 * and in it every write whose durability was acknowledged, and go on working.
 *
 * DB_POWER_STEP=n tries every n-th call only, for slow sanitizers;
 * DB_POWER_FIRST=m begins with call m.
 */
#include "tests/lsm/db/script.h"

struct fate {
	enum env_fault_keep keep;
	bool torn;
	const char *name;
};

static const struct fate fates[] = {
	{ENV_KEEP_NONE, false, "nothing kept"},
	{ENV_KEEP_ALL, true, "all kept, torn"},
	{ENV_KEEP_RANDOM, false, "a part kept"},
	{ENV_KEEP_RANDOM, true, "a part kept, torn"},
	{ENV_KEEP_SHUFFLED, true, "a part kept, names shuffled"},
};

#define FATES ((int)(sizeof(fates) / sizeof(fates[0])))

static unsigned env_number(const char *name, unsigned otherwise)
{
	const char *s = getenv(name);

	return s ? (unsigned)strtoul(s, NULL, 0) : otherwise;
}

static void check_name(struct script *s)
{
	const struct lsm_snapshot *snapshot;
	int r = lsm_snapshot_open(s->db, "name", &snapshot);

	if (r == LSM_NOTFOUND) {
		ck_assert(!s->name_at || s->name_unsure);
		return;
	}
	ck_ok(r);
	ck_assert(s->name_at || s->name_unsure);
	script_check_state(s, s->db, snapshot, s->name_tried_at);
	lsm_snapshot_release(s->db, snapshot);
}

/* The store after the crash: what it holds, and that it still works. */
static void check_after(struct script *s, const char *fate, uint64_t call)
{
	struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();
	uint32_t mark;
	int r = lsm_open(SCRIPT_PATH, &s->options, &s->db);

	ck_assert_msg(r == 0, "call %llu, %s: open gives %d",
		      (unsigned long long)call, fate, r);
	mark = script_mark(s->db, NULL);
	ck_assert_msg(mark >= s->synced && mark <= s->tried,
		      "call %llu, %s: history ends at %u, synced %u, tried %u",
		      (unsigned long long)call, fate, mark, s->synced,
		      s->tried);
	script_check_state(s, s->db, NULL, mark);
	check_name(s);
	ck_ok(lsm_verify(s->db, NULL, NULL));
	/* and on: a write, made durable, found by the next open */
	ck_assert_ptr_nonnull(b);
	ck_ok(lsm_batch_put(b, slice_of("zz"), slice_of("after")));
	ck_ok(lsm_write(s->db, b, &wo));
	lsm_batch_free(b);
	ck_ok(lsm_close(s->db));
}

static void check_again(struct script *s)
{
	struct lsm_pin pin = {0};

	ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
	ck_ok(lsm_get(s->db, NULL, slice_of("zz"), &pin));
	ck_assert_uint_eq(pin.len, 5);
	lsm_unpin(&pin);
	ck_ok(lsm_close(s->db));
}

/* A fresh disk each time: the script with the power going at call. False when
 * the script ended before. */
static bool lose_power_at(uint64_t seed, uint64_t call, const struct fate *fate,
			  struct script *s)
{
	bool off;
	int r;

	script_init(s, seed, SCRIPT_STEPS);
	env_fault_power_off_at(s->env, call);
	r = script_run(s);
	off = env_fault_is_off(s->env);
	ck_assert_msg(off || r == 0, "result %d without power loss", r);
	if (s->db)
		lsm_close(s->db); /* fails, the power is off */
	env_fault_restart(s->env, fate->keep, fate->torn, seed + call);
	check_after(s, fate->name, call);
	if (call % 5 == 0) {
		env_fault_restart(s->env, ENV_KEEP_NONE, false, call);
		check_again(s);
	}
	script_release(s);
	return off;
}

START_TEST(every_acknowledged_sync_survives_power_loss_at_any_call)
{
	const struct fate *fate = &fates[_i % FATES];
	/* once more with bulk writes, see script_init() */
	uint64_t seed = test_seed(_i < FATES ? 78 + (unsigned)_i
					     : 81 + 4 * (unsigned)_i),
		 call;
	unsigned every = env_number("DB_POWER_STEP", 1);
	struct script *s = malloc(sizeof(*s));

	ck_assert_ptr_nonnull(s);
	for (call = env_number("DB_POWER_FIRST", 0);
	     lose_power_at(seed, call, fate, s); call += every)
		;
	printf("# %s: power lost at %llu calls, every %u\n", fate->name,
	       (unsigned long long)call, every);
	ck_assert_uint_gt(call, 300);
	free(s);
}
END_TEST

/*
 * The same while the background merges, collects and brings deletions down by
 * itself. No run is quite like another, so there are many: each must end in a
 * state that every acknowledged sync allows.
 */
START_TEST(power_loss_while_the_background_works_loses_nothing)
{
	const struct fate *fate = &fates[_i];
	/* odd: with blob files, see script_init() */
	uint64_t seed = test_seed(301 + 2 * (unsigned)_i) | 1, call = 0,
		 moved = 0;
	struct script *s = malloc(sizeof(*s));
	bool off = true;

	ck_assert_ptr_nonnull(s);
	for (; off; call += 13) {
		struct lsm_stats stats = {0};
		int r;

		script_init(s, seed, SCRIPT_STEPS);
		s->options.no_background_compaction = false;
		s->options.reclaim_interval_ms = 1;
		env_fault_power_off_at(s->env, call);
		r = script_run(s);
		off = env_fault_is_off(s->env);
		ck_assert_msg(off || r == 0, "result %d without power loss", r);
		if (s->db) {
			lsm_get_stats(s->db, &stats);
			lsm_close(s->db);
		}
		moved += stats.blob_moved_bytes;
		env_fault_restart(s->env, fate->keep, fate->torn, seed + call);
		check_after(s, fate->name, call);
		script_release(s);
	}
	printf("# %s: power lost at %llu calls; %llu bytes of values moved\n",
	       fate->name, (unsigned long long)call / 13,
	       (unsigned long long)moved);
	ck_assert_uint_gt(call, 300);
	ck_assert_uint_gt(moved, 0);
	free(s);
}
END_TEST

/* The power goes again while the store recovers. */
START_TEST(power_loss_during_recovery_loses_nothing)
{
	uint64_t seed = test_seed(_i ? 101 : 99), call;
	struct script *s = malloc(sizeof(*s));

	ck_assert_ptr_nonnull(s);
	for (call = 7; call < 900; call += 29) {
		for (uint64_t second = 0;; second++) {
			uint64_t now;
			bool off;
			int r;

			script_init(s, seed, SCRIPT_STEPS);
			env_fault_power_off_at(s->env, call);
			script_run(s);
			if (s->db)
				lsm_close(s->db);
			env_fault_restart(s->env, ENV_KEEP_SHUFFLED, true,
					  seed + call);
			now = env_fault_calls(s->env);
			env_fault_power_off_at(s->env, now + second);
			r = lsm_open(SCRIPT_PATH, &s->options, &s->db);
			off = env_fault_is_off(s->env);
			ck_assert(off || r == 0);
			if (!r)
				lsm_close(s->db);
			env_fault_restart(s->env, ENV_KEEP_RANDOM, true,
					  seed + second);
			check_after(s, "twice", call);
			script_release(s);
			if (!off)
				break;
			second += second / 4;
		}
	}
	free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db power loss");
	TCase *t = tcase_create("every call");

	tcase_set_timeout(t, 600);
	tcase_add_loop_test(
		t, every_acknowledged_sync_survives_power_loss_at_any_call, 0,
		2 * FATES);
	tcase_add_loop_test(t, power_loss_during_recovery_loses_nothing, 0, 2);
	suite_add_tcase(s, t);
	t = tcase_create("background");
	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t,
			    power_loss_while_the_background_works_loses_nothing,
			    0, FATES);
	suite_add_tcase(s, t);
	return run_suite(s);
}
