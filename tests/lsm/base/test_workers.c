/* SPDX-License-Identifier: MIT */
/* test_workers.c - jobs are run once, taken back, or dropped. */
#include <stdlib.h>

#include "lsm/base/workers.h"
#include "tests/check_main.h"

#define JOBS 2000

struct job {
	struct worker_job work;
	_Atomic unsigned run, dropped;
	unsigned taken;
};

static struct job jobs[JOBS];
static struct workers workers;
static struct mutex gate;

static void run(struct worker_job *w)
{
	((struct job *)w)->run++;
}

static void drop(struct worker_job *w)
{
	((struct job *)w)->dropped++;
}

static void run_behind_gate(struct worker_job *w)
{
	mutex_lock(&gate);
	mutex_unlock(&gate);
	run(w);
}

static void setup(void)
{
	memset(jobs, 0, sizeof(jobs));
	for (size_t i = 0; i < JOBS; i++) {
		jobs[i].work.run = run;
		jobs[i].work.drop = drop;
	}
	mutex_init(&gate);
	workers_init(&workers, 3, "test");
}

START_TEST(every_job_is_run_taken_back_or_dropped_once)
{
	unsigned ran = 0, taken = 0, dropped = 0;

	setup();
	ck_assert_uint_eq(workers.started, 0);
	for (size_t i = 0; i < JOBS; i++) {
		ck_assert(workers_give(&workers, &jobs[i].work));
		if (i % 3 == 0)
			jobs[i].taken =
				workers_take_back(&workers, &jobs[i].work);
	}
	workers_stop(&workers);
	for (size_t i = 0; i < JOBS; i++) {
		ck_assert_uint_eq(jobs[i].run + jobs[i].dropped + jobs[i].taken,
				  1);
		ran += jobs[i].run;
		taken += jobs[i].taken;
		dropped += jobs[i].dropped;
	}
	ck_assert_uint_eq(ran + taken + dropped, JOBS);
	ck_assert(!workers_give(&workers, &jobs[0].work));
	workers_stop(&workers);
	workers_destroy(&workers);
}
END_TEST

START_TEST(what_is_queued_can_be_taken_back_and_what_runs_cannot)
{
	setup();
	for (size_t i = 0; i < 10; i++)
		jobs[i].work.run = run_behind_gate;
	mutex_lock(&gate);
	for (size_t i = 0; i < 10; i++)
		ck_assert(workers_give(&workers, &jobs[i].work));
	ck_assert_uint_eq(workers.started, 3);
	/* seven wait, or more if the threads have not come yet */
	ck_assert(workers_take_back(&workers, &jobs[9].work));
	ck_assert(!workers_take_back(&workers, &jobs[9].work));
	mutex_unlock(&gate);
	workers_stop(&workers);
	ck_assert_uint_eq(jobs[9].run + jobs[9].dropped, 0);
	for (size_t i = 0; i < 9; i++)
		ck_assert_uint_eq(jobs[i].run + jobs[i].dropped, 1);
	workers_destroy(&workers);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("workers");
	TCase *tc = tcase_create("jobs");

	tcase_add_test(tc, every_job_is_run_taken_back_or_dropped_once);
	tcase_add_test(tc,
		       what_is_queued_can_be_taken_back_and_what_runs_cannot);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
