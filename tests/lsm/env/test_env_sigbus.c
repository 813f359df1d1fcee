/* SPDX-License-Identifier: MIT */
/* test_env_sigbus.c - whose fault it was: the registry of guarded mappings,
 * and the handler that was there before ours. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lsm/env/env_sigbus.h"
#include "tests/lsm/env/env_test.h"

#define MANY 600 /* more than two chunks of the registry */

static size_t page; /* bytes; set by main() */

/* A page mapped from a file that has none. */
static volatile char *bad_page(void)
{
	FILE *f = tmpfile();
	void *p;

	ck_assert_ptr_nonnull(f);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	fclose(f);
	return p;
}

START_TEST(every_guard_hears_of_its_own_fault_only)
{
	static struct sigbus_guard *g[MANY];
	static volatile char *p[MANY];
	int i;

	for (i = 0; i < MANY; i++) {
		p[i] = bad_page();
		ck_ok(sigbus_guard_get(&g[i]));
		sigbus_guard_set(g[i], (void *)p[i], page,
				 PROT_READ | PROT_WRITE);
	}
	for (i = 0; i < MANY; i += 3)
		ck_assert_int_eq(*p[i], 0);
	for (i = 0; i < MANY; i++)
		ck_assert_int_eq(sigbus_lost(g[i]), i % 3 == 0);
	/* What stands in for a writable page can be written. */
	for (i = 1; i < MANY; i += 3) {
		p[i][5] = 7;
		ck_assert_int_eq(p[i][5], 7);
		ck_assert(sigbus_lost(g[i]));
	}
	for (i = 0; i < MANY; i++) {
		sigbus_guard_put(g[i]);
		munmap((void *)p[i], page);
	}
	ck_ok(sigbus_guard_get(&g[0]));
	ck_assert(!sigbus_lost(g[0]));
	sigbus_guard_put(g[0]);
}
END_TEST

static atomic_bool stop;

static void *register_all_the_time(void *arg)
{
	while (!atomic_load(&stop)) {
		struct sigbus_guard *g;
		void *p = mmap(NULL, page, PROT_READ,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ck_assert_ptr_ne(p, MAP_FAILED);
		ck_ok(sigbus_guard_get(&g));
		sigbus_guard_set(g, p, page, PROT_READ);
		ck_assert(!sigbus_lost(g));
		sigbus_guard_put(g);
		munmap(p, page);
	}
	return NULL;
}

START_TEST(faults_are_handled_while_others_come_and_go)
{
	pthread_t t[2];
	int i;

	for (i = 0; i < 2; i++)
		ck_ok(pthread_create(&t[i], NULL, register_all_the_time, NULL));
	for (i = 0; i < 500; i++) {
		volatile char *p = bad_page();
		struct sigbus_guard *g;

		ck_ok(sigbus_guard_get(&g));
		sigbus_guard_set(g, (void *)p, page, PROT_READ);
		ck_assert_int_eq(*p, 0);
		ck_assert(sigbus_lost(g));
		sigbus_guard_put(g);
		munmap((void *)p, page);
	}
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++)
		ck_ok(pthread_join(t[i], NULL));
}
END_TEST

static sigjmp_buf escape;
static void *fault_addr;

static void own_handler(int sig, siginfo_t *info, void *ctx)
{
	fault_addr = info->si_addr;
	siglongjmp(escape, 1);
}

START_TEST(fault_of_others_reaches_the_handler_that_was_there_before)
{
	struct sigaction sa = {.sa_sigaction = own_handler,
			       .sa_flags = SA_SIGINFO};
	volatile char *ours = bad_page(), *theirs = bad_page();
	struct sigbus_guard *g;
	volatile int times = 0;

	ck_ok(sigaction(SIGBUS, &sa, NULL));
	ck_ok(sigbus_guard_get(&g));
	sigbus_guard_set(g, (void *)ours, page, PROT_READ);
	while (times < 2) {
		fault_addr = NULL;
		if (!sigsetjmp(escape, 1)) {
			times++;
			(void)*theirs;
			ck_abort_msg("the fault was swallowed");
		}
		ck_assert_ptr_eq(fault_addr, (void *)theirs);
	}
	ck_assert(!sigbus_lost(g));
	ck_assert_int_eq(*ours, 0);
	ck_assert(sigbus_lost(g));
	sigbus_guard_put(g);
}
END_TEST

START_TEST(fault_of_others_without_a_handler_ends_the_process)
{
	volatile char *theirs = bad_page();
	struct sigbus_guard *g;
	int status, sent;

	for (sent = 0; sent < 2; sent++) {
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			signal(SIGBUS, SIG_DFL);
			if (sigbus_guard_get(&g))
				_exit(1);
			if (sent)
				kill(getpid(), SIGBUS);
			else
				(void)*theirs;
			_exit(2);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status));
		ck_assert_int_eq(WTERMSIG(status), SIGBUS);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("env_sigbus");
	TCase *tc = tcase_create("sigbus");

	page = (size_t)sysconf(_SC_PAGESIZE);
	tcase_add_test(tc, every_guard_hears_of_its_own_fault_only);
	tcase_add_test(tc, faults_are_handled_while_others_come_and_go);
	tcase_add_test(
		tc, fault_of_others_reaches_the_handler_that_was_there_before);
	tcase_add_test(tc, fault_of_others_without_a_handler_ends_the_process);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
