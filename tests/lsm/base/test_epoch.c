/* SPDX-License-Identifier: MIT */
/* test_epoch.c - nothing is reclaimed under a reader, everything in the end. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lsm/base/epoch.h"
#include "tests/check_main.h"

static atomic_int reclaimed;

static void count(void *arg)
{
	atomic_fetch_add(&reclaimed, 1);
}

static void count_unpinned(void *arg)
{
	ck_assert(!epoch_is_pinned());
	atomic_fetch_add(&reclaimed, 1);
}

START_TEST(pins_nest)
{
	ck_assert(!epoch_is_pinned());
	epoch_pin();
	epoch_pin();
	epoch_unpin();
	ck_assert(epoch_is_pinned());
	epoch_unpin();
	ck_assert(!epoch_is_pinned());
}
END_TEST

START_TEST(nothing_is_reclaimed_under_the_callers_pin)
{
	int i;

	epoch_pin();
	for (i = 0; i < 1000; i++)
		epoch_retire(count_unpinned, NULL);
	epoch_pin();
	epoch_unpin();
	ck_assert_int_eq(atomic_load(&reclaimed), 0);
	epoch_unpin();
	epoch_barrier();
	ck_assert_int_eq(atomic_load(&reclaimed), 1000);
}
END_TEST

struct gate {
	atomic_int state; /* 1: pinned; 2: may unpin; 3: has */
};

static void *pinned_until_told(void *arg)
{
	struct gate *g = arg;

	epoch_pin();
	atomic_store(&g->state, 1);
	while (atomic_load(&g->state) != 2)
		sched_yield();
	epoch_unpin();
	return NULL;
}

START_TEST(another_threads_pin_holds_back_what_is_retired_after_it)
{
	struct gate g = {0};
	pthread_t t;
	int i;

	ck_assert_int_eq(pthread_create(&t, NULL, pinned_until_told, &g), 0);
	while (atomic_load(&g.state) != 1)
		sched_yield();
	for (i = 0; i < 2000; i++) {
		epoch_retire(count, NULL);
		epoch_pin();
		epoch_unpin();
	}
	ck_assert_int_eq(atomic_load(&reclaimed), 0);
	atomic_store(&g.state, 2);
	pthread_join(t, NULL);
	epoch_barrier();
	ck_assert_int_eq(atomic_load(&reclaimed), 2000);
}
END_TEST

static void *retire_and_end(void *arg)
{
	epoch_pin();
	epoch_retire(count, NULL);
	epoch_unpin();
	return NULL;
}

START_TEST(garbage_of_ended_threads_is_reclaimed)
{
	pthread_t t;
	int i;

	/* More threads than there are at once: records are used again. */
	for (i = 0; i < 300; i++) {
		ck_assert_int_eq(pthread_create(&t, NULL, retire_and_end, NULL),
				 0);
		pthread_join(t, NULL);
	}
	epoch_barrier();
	ck_assert_int_eq(atomic_load(&reclaimed), 300);
}
END_TEST

static void retire_again(void *arg)
{
	intptr_t left = (intptr_t)arg;

	atomic_fetch_add(&reclaimed, 1);
	epoch_pin();
	if (left)
		epoch_retire(retire_again, (void *)(left - 1));
	epoch_unpin();
}

START_TEST(callback_may_retire)
{
	epoch_retire(retire_again, (void *)(intptr_t)100);
	epoch_barrier();
	ck_assert_int_eq(atomic_load(&reclaimed), 101);
}
END_TEST

START_TEST(garbage_is_bounded_without_a_barrier)
{
	int i;

	for (i = 0; i < 100000; i++) {
		epoch_pin();
		epoch_retire(count, NULL);
		epoch_unpin();
		ck_assert_int_lt(i - atomic_load(&reclaimed), 1000);
	}
	epoch_barrier();
	ck_assert_int_eq(atomic_load(&reclaimed), 100000);
}
END_TEST

static void *wait_in_sleep(void *arg)
{
	struct gate *g = arg;

	/* Retired under a pin, and then this thread does nothing any more. */
	epoch_pin();
	epoch_retire(count, NULL);
	epoch_unpin();
	atomic_store(&g->state, 1);
	while (atomic_load(&g->state) != 2)
		usleep(1000);
	return NULL;
}

START_TEST(readers_reclaim_for_a_thread_that_sleeps)
{
	struct gate g = {0};
	pthread_t t;
	int i;

	ck_assert_int_eq(pthread_create(&t, NULL, wait_in_sleep, &g), 0);
	while (atomic_load(&g.state) != 1)
		sched_yield();
	for (i = 0; i < 2000; i++) {
		epoch_pin();
		epoch_unpin();
	}
	ck_assert_int_eq(atomic_load(&reclaimed), 1);
	atomic_store(&g.state, 2);
	pthread_join(t, NULL);
}
END_TEST

/* A shared object replaced all the time; readers check that it lives. */
#define ALIVE 0x5a5a5a5au

struct object {
	unsigned magic;
};

static _Atomic(struct object *) shared;
static atomic_bool stop, failed;
static atomic_int objects;

static void object_free(void *arg)
{
	struct object *o = arg;

	o->magic = 0;
	free(o);
	atomic_fetch_sub(&objects, 1);
}

static void *reader(void *arg)
{
	struct object *o;
	int i;

	while (!atomic_load(&stop)) {
		epoch_pin();
		o = atomic_load_explicit(&shared, memory_order_acquire);
		for (i = 0; i < 20; i++)
			if (*(volatile unsigned *)&o->magic != ALIVE)
				atomic_store(&failed, true);
		epoch_unpin();
	}
	return NULL;
}

static void *replacer(void *arg)
{
	struct object *o;
	int i;

	for (i = 0; i < 20000; i++) {
		o = malloc(sizeof(*o));
		o->magic = ALIVE;
		atomic_fetch_add(&objects, 1);
		o = atomic_exchange_explicit(&shared, o, memory_order_acq_rel);
		epoch_retire(object_free, o);
	}
	return NULL;
}

START_TEST(readers_never_meet_a_freed_object)
{
	pthread_t r[2], w[2];
	struct object *o = malloc(sizeof(*o));
	int i;

	o->magic = ALIVE;
	atomic_store(&objects, 1);
	atomic_store(&shared, o);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&r[i], NULL, reader, NULL), 0);
		ck_assert_int_eq(pthread_create(&w[i], NULL, replacer, NULL),
				 0);
	}
	for (i = 0; i < 2; i++)
		pthread_join(w[i], NULL);
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++)
		pthread_join(r[i], NULL);
	ck_assert(!atomic_load(&failed));
	epoch_barrier();
	ck_assert_int_eq(atomic_load(&objects), 1);
	free(atomic_load(&shared));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("epoch");
	TCase *t = tcase_create("epoch");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, pins_nest);
	tcase_add_test(t, nothing_is_reclaimed_under_the_callers_pin);
	tcase_add_test(t,
		       another_threads_pin_holds_back_what_is_retired_after_it);
	tcase_add_test(t, garbage_of_ended_threads_is_reclaimed);
	tcase_add_test(t, callback_may_retire);
	tcase_add_test(t, garbage_is_bounded_without_a_barrier);
	tcase_add_test(t, readers_reclaim_for_a_thread_that_sleeps);
	tcase_add_test(t, readers_never_meet_a_freed_object);
	suite_add_tcase(s, t);
	return run_suite(s);
}
