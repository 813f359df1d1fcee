/* SPDX-License-Identifier: MIT */
/* test_arena.c - pieces of an arena: aligned, apart from each other, counted.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/arena.h"
#include "tests/check_main.h"

#define PIECES 20000

struct piece {
	uint8_t *p;
	size_t len;
	uint8_t mark;
};

struct job {
	struct arena *arena;
	unsigned seed;
	struct piece *piece;
	size_t bytes;
};

/* Mostly small, a few beyond every chunk size. */
static size_t some_size(unsigned *seed, int i)
{
	unsigned r = (unsigned)rand_r(seed);

	if (i % 4000 == 7)
		return 300000 + r % 3000000;
	return i % 100 == 0 ? r % 40000 : r % 200;
}

static void *take(void *arg)
{
	struct job *j = arg;
	struct piece *p;
	int i;

	for (i = 0; i < PIECES; i++) {
		p = &j->piece[i];
		p->len = some_size(&j->seed, i);
		p->mark = (uint8_t)rand_r(&j->seed);
		p->p = arena_alloc(j->arena, p->len);
		if (!p->p || (uintptr_t)p->p % 8)
			return NULL;
		memset(p->p, p->mark, p->len);
		j->bytes += p->len;
	}
	return j;
}

static void note_charge(void *arg, int64_t delta)
{
	*(int64_t *)arg += delta;
}

static struct arena *used_arena(struct arena_pool *pool, size_t bytes)
{
	struct arena *a = arena_new(pool);

	ck_assert_ptr_nonnull(a);
	for (size_t got = 0; got < bytes; got += 1000)
		ck_assert_ptr_nonnull(arena_alloc(a, 1000));
	return a;
}

/* What an arena leaves is used by the next, is charged while nobody uses it,
 * and is no more than was allowed. */
START_TEST(pool_keeps_and_charges_what_it_may)
{
	const int64_t chunk = 2 << 20, may = 3 * chunk;
	int64_t charged = 0;
	struct arena_pool *pool =
		arena_pool_new((size_t)may + 1000, note_charge, &charged);
	struct arena *a, *b;

	ck_assert_ptr_nonnull(pool);
	a = used_arena(pool, 5 << 20);
	ck_assert_int_eq(charged, 0);
	b = used_arena(pool, 40 << 20);
	arena_free(b);
	ck_assert_int_eq(charged, may);
	b = used_arena(pool, 5 << 20);
	ck_assert_int_lt(charged, may);
	arena_free(a);
	arena_free(b);
	ck_assert_int_gt(charged, 0);
	ck_assert_int_le(charged, may);
	arena_pool_free(pool);
	ck_assert_int_eq(charged, 0);
}
END_TEST

START_TEST(pieces_of_four_threads_do_not_overlap)
{
	unsigned seed = (unsigned)test_seed(5);
	struct job job[4] = {0};
	struct arena *a = arena_new(NULL);
	size_t bytes = 0, k;
	pthread_t t[4];
	void *ok;
	int i, n;

	ck_assert_ptr_nonnull(a);
	for (i = 0; i < 4; i++) {
		job[i].arena = a;
		job[i].seed = seed + (unsigned)i;
		job[i].piece = calloc(PIECES, sizeof(struct piece));
		ck_assert_int_eq(pthread_create(&t[i], NULL, take, &job[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &ok);
		ck_assert_ptr_eq(ok, &job[i]);
		bytes += job[i].bytes;
	}
	ck_assert_uint_ge(arena_bytes(a), bytes);
	ck_assert_uint_le(arena_bytes(a), bytes + bytes / 4 + (8u << 20));
	for (i = 0; i < 4; i++) {
		for (n = 0; n < PIECES; n++) {
			struct piece *p = &job[i].piece[n];

			for (k = 0; k < p->len; k++)
				if (p->p[k] != p->mark)
					ck_abort_msg("overwritten");
		}
		free(job[i].piece);
	}
	arena_free(a);
}
END_TEST

static void *watch(void *arg)
{
	struct arena *a = arg;
	size_t last = 0, now;
	int i;

	for (i = 0; i < 100000; i++) {
		now = arena_bytes(a);
		if (now < last)
			return NULL;
		last = now;
	}
	return a;
}

START_TEST(bytes_only_grow)
{
	struct arena *a = arena_new(NULL);
	pthread_t t;
	void *ok;
	int i;

	ck_assert_int_eq(pthread_create(&t, NULL, watch, a), 0);
	for (i = 0; i < 100000; i++)
		ck_assert_ptr_nonnull(arena_alloc(a, (size_t)(i % 300)));
	pthread_join(t, &ok);
	ck_assert_ptr_eq(ok, a);
	arena_free(a);
}
END_TEST

START_TEST(empty_arena_is_small)
{
	struct arena *a = arena_new(NULL);

	ck_assert_uint_eq(arena_bytes(a), 0);
	ck_assert_ptr_nonnull(arena_alloc(a, 100));
	ck_assert_uint_le(arena_bytes(a), 1024);
	arena_free(a);
	arena_free(NULL);
}
END_TEST

START_TEST(impossible_size_is_refused)
{
	struct arena *a = arena_new(NULL);

	ck_assert_ptr_null(arena_alloc(a, SIZE_MAX - 3));
	ck_assert_ptr_nonnull(arena_alloc(a, 0));
	arena_free(a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, pieces_of_four_threads_do_not_overlap);
	tcase_add_test(t, bytes_only_grow);
	tcase_add_test(t, pool_keeps_and_charges_what_it_may);
	tcase_add_test(t, empty_arena_is_small);
	tcase_add_test(t, impossible_size_is_refused);
	suite_add_tcase(s, t);
	return run_suite(s);
}
