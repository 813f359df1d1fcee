/* SPDX-License-Identifier: MIT */
/* check_main.h - runs one Check suite and prints TAP, for automake's driver. */
#ifndef TESTS_CHECK_MAIN_H
#define TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Check writes down each assertion that holds, so that it can say where a test
 * crashed, and the parent reads all of them when the test has ended: with
 * millions of them, from tests that go on for minutes, it then spins for as
 * long again. So each is written down the first time only.
 */
#define _mark_point(file, line)                                           \
	__extension__({                                                   \
		static atomic_bool been;                                  \
                                                                          \
		if (!atomic_load_explicit(&been, memory_order_relaxed)) { \
			atomic_store_explicit(&been, true,                \
					      memory_order_relaxed);      \
			(_mark_point)(file, line);                        \
		}                                                         \
	})

/* The program's exit status. */
static inline int run_suite(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	srunner_set_tap(sr, "-");
	srunner_run_all(sr, CK_SILENT);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The seed of a random test: TEST_SEED, else the given one; printed. */
static inline unsigned long long test_seed(unsigned long long otherwise)
{
	const char *s = getenv("TEST_SEED");
	unsigned long long seed = s ? strtoull(s, NULL, 0) : otherwise;

	printf("# seed %llu\n", seed);
	return seed;
}

#endif
