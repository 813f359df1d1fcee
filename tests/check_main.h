/* SPDX-License-Identifier: MIT */
/* check_main.h - runs one Check suite and prints TAP, for automake's driver. */
#ifndef TESTS_CHECK_MAIN_H
#define TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

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
