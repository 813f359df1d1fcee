/* SPDX-License-Identifier: MIT */
/*
 * test_io_errors.c - the disk refuses at every call that changes it, once or
 * from then on, with EIO or ENOSPC.
 *
 * Whoever asked must get the error; a write that failed must not be seen; reads
 * must go on. When the cause is gone lsm_resume() must bring the store back in
 * place, and the history must go on as if nothing had happened, also for
 * whoever opens the store later.
 *
 * DB_IO_STEP=n tries every n-th call only, for slow sanitizers.
 */
#include <time.h>

#include "tests/lsm/db/script.h"

/* Enough for every kind of step; each run plays all of them. */
#define IO_STEPS 120

struct fault {
	int error;
	bool sticky;
};

static const struct fault faults[] = {
	{-EIO, false},
	{-EIO, true},
	{-ENOSPC, false},
	{-ENOSPC, true},
};

#define FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

/* What must hold right after a step failed, the fault still there. */
static void check_refusal(struct script *s, unsigned i, const struct fault *f,
			  int r)
{
	uint32_t mark;

	ck_assert_msg(r == f->error, "step %u of kind %d gives %d, not %d", i,
		      (int)s->kind[i], r, f->error);
	if (!s->db)
		return;
	mark = script_mark(s->db, NULL);
	if (s->kind[i] == STEP_WRITE_SYNC && mark == s->tried)
		return; /* applied, but not made durable */
	ck_assert_uint_eq(mark, s->acked);
	script_check_state(s, s->db, NULL, s->acked);
}

static void sticky_refuses(struct script *s, const struct fault *f)
{
	if (!f->sticky || !s->db || lsm_background_error(s->db) != f->error)
		return;
	ck_assert_int_eq(lsm_resume(s->db), f->error);
}

/* The cause is gone; the step is to be done again. */
static void recover_from(struct script *s)
{
	uint32_t mark;

	env_fault_clear(s->env);
	if (s->db) {
		ck_ok(lsm_resume(s->db));
		ck_assert_int_eq(lsm_background_error(s->db), 0);
		return;
	}
	/* Closing or opening failed. The process did not end and the power
	 * did not go, so everything acknowledged is there. */
	ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
	mark = script_mark(s->db, NULL);
	ck_assert_uint_eq(mark, s->acked);
}

static void run_through(struct script *s, const struct fault *f)
{
	int r = lsm_open(SCRIPT_PATH, &s->options, &s->db);

	if (r) {
		ck_assert_int_eq(r, f->error);
		recover_from(s);
	}
	for (unsigned i = 0; i < s->steps; i++) {
		r = script_step(s, i);
		if (!r)
			continue;
		check_refusal(s, i, f, r);
		sticky_refuses(s, f);
		recover_from(s);
		if (s->kind[i] <= STEP_WRITE_SYNC)
			s->tried--;
		if (s->kind[i] != STEP_REOPEN)
			ck_ok(script_step(s, i));
	}
}

START_TEST(refused_calls_are_reported_and_the_store_resumes)
{
	const struct fault *f = &faults[_i % FAULTS];
	/* once more with bulk writes, see script_init() */
	uint64_t seed = test_seed(_i < FAULTS ? 502 + (unsigned)_i
					      : 501 + 4 * (unsigned)_i),
		 call, calls;
	const char *every = getenv("DB_IO_STEP");
	struct script *s = malloc(sizeof(*s));

	ck_assert_ptr_nonnull(s);
	for (call = 0;; call += every ? strtoul(every, NULL, 0) : 1) {
		script_init(s, seed, IO_STEPS);
		env_fault_fail_at(s->env, call, f->error, f->sticky);
		run_through(s, f);
		calls = env_fault_calls(s->env);
		env_fault_clear(s->env);
		lsm_resume(s->db); /* a deletion may have failed last */
		script_check_state(s, s->db, NULL, s->writes);
		ck_ok(lsm_verify(s->db, NULL, NULL));
		ck_ok(lsm_close(s->db));
		env_fault_restart(s->env, ENV_KEEP_NONE, false, 1);
		ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
		script_check_state(s, s->db, NULL, s->writes);
		ck_ok(lsm_verify(s->db, NULL, NULL));
		ck_ok(lsm_close(s->db));
		script_release(s);
		if (call > calls)
			break;
	}
	printf("# %llu calls failed, error %d%s\n", (unsigned long long)call,
	       f->error, f->sticky ? ", sticky" : "");
	ck_assert_uint_gt(call, 300);
	free(s);
}
END_TEST

/* Fills the disk; the number of writes that were acknowledged. */
static unsigned fill_disk(struct lsm_db *db)
{
	char key[16], value[1000] = {1};
	unsigned n;
	int r = 0;

	for (n = 0; n < 100000 && !r; n++)
		r = lsm_put(db, model_key(key, n),
			    lsm_slice(value, sizeof(value)));
	ck_assert_int_eq(r, -ENOSPC);
	return n - 1;
}

static void check_filled(struct lsm_db *db, unsigned n)
{
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned i = 0; i < n; i++)
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
	ck_assert_int_eq(lsm_get(db, NULL, model_key(key, n), &pin),
			 LSM_NOTFOUND);
	lsm_unpin(&pin);
}

static void open_small_disk(struct script *s, uint64_t seed)
{
	script_init(s, seed, 0);
	s->options.write_buffer_bytes = 32768;
	s->options.no_background_compaction = false;
	ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
	env_fault_set_capacity(s->env, 1 << 20);
}

START_TEST(full_disk_refuses_writes_and_resumes_when_told)
{
	struct script *s = malloc(sizeof(*s));
	unsigned n;

	ck_assert_ptr_nonnull(s);
	open_small_disk(s, (uint64_t)_i);
	n = fill_disk(s->db);
	check_filled(s->db, n);
	env_fault_set_capacity(s->env, 0);
	ck_ok(lsm_resume(s->db));
	check_filled(s->db, n);
	ck_ok(lsm_put(s->db, slice_of("more"), slice_of("room")));
	ck_ok(lsm_wait_idle(s->db));
	ck_ok(lsm_close(s->db));
	ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
	check_filled(s->db, n);
	ck_ok(lsm_close(s->db));
	script_release(s);
	free(s);
}
END_TEST

START_TEST(full_disk_resumes_by_itself_when_space_comes_back)
{
	const struct timespec pause = {.tv_nsec = 50000000};
	struct script *s = malloc(sizeof(*s));
	int r = -ENOSPC;
	unsigned n;

	ck_assert_ptr_nonnull(s);
	open_small_disk(s, (uint64_t)_i);
	n = fill_disk(s->db);
	env_fault_set_capacity(s->env, 0);
	for (unsigned i = 0; i < 200 && r; i++) {
		r = lsm_put(s->db, slice_of("more"), slice_of("room"));
		nanosleep(&pause, NULL);
	}
	ck_ok(r);
	check_filled(s->db, n);
	ck_ok(lsm_close(s->db));
	script_release(s);
	free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db io errors");
	TCase *t = tcase_create("faults");

	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, refused_calls_are_reported_and_the_store_resumes,
			    0, 2 * FAULTS);
	tcase_add_loop_test(t, full_disk_refuses_writes_and_resumes_when_told,
			    0, 2);
	tcase_add_loop_test(
		t, full_disk_resumes_by_itself_when_space_comes_back, 0, 2);
	suite_add_tcase(s, t);
	return run_suite(s);
}
