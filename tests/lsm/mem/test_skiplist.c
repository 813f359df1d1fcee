/* SPDX-License-Identifier: MIT */
/* test_skiplist.c - the sorted list, alone and with four inserters at once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/coding.h"
#include "lsm/base/hash.h"
#include "lsm/mem/skiplist.h"
#include "tests/check_main.h"

#define ENTRIES 5000

struct entry {
	uint8_t key[24];
	size_t len;
	uint64_t tag;
	uint32_t value;
};

static struct arena *arena;
static struct skiplist *list;

static void setup(void)
{
	arena = arena_new(NULL);
	list = skiplist_new(arena, lsm_slice(NULL, 0));
	ck_assert_ptr_nonnull(list);
}

static void teardown(void)
{
	arena_free(arena);
}

static struct lsm_slice key_of(const struct entry *e)
{
	return lsm_slice(e->key, e->len);
}

static int cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return entry_cmp(key_of(x), x->tag, key_of(y), y->tag);
}

static void insert(const struct entry *e)
{
	ck_assert_int_eq(
		skiplist_insert(list, key_of(e), e->tag,
				lsm_slice(&e->value, sizeof(e->value))),
		0);
}

/* Keys of 1 to 20 bytes from a small alphabet with zeros in it, so that many
 * are prefixes of each other; tags are distinct. */
static void make_entries(struct entry *e, unsigned seed)
{
	size_t k;
	int i;

	for (i = 0; i < ENTRIES; i++) {
		e[i].len = 1 + (size_t)rand_r(&seed) % 20;
		for (k = 0; k < e[i].len; k++)
			e[i].key[k] = (uint8_t)(rand_r(&seed) % 3 * 127);
		e[i].tag = (uint64_t)(i * 7 % ENTRIES) << 8 | 1;
		e[i].value = (uint32_t)i;
	}
}

static void expect_at(const struct skiplist_pos *p, const struct entry *e)
{
	uint32_t v;

	if (!e) {
		ck_assert_ptr_null(p->node);
		return;
	}
	ck_assert_ptr_nonnull(p->node);
	ck_assert(slice_eq(skiplist_key(p), key_of(e)));
	ck_assert_uint_eq(skiplist_tag(p), e->tag);
	ck_assert_uint_eq(skiplist_value(p).len, sizeof(v));
	memcpy(&v, skiplist_value(p).data, sizeof(v));
	ck_assert_uint_eq(v, e->value);
}

START_TEST(entries_come_back_sorted_both_ways)
{
	static struct entry e[ENTRIES];
	struct skiplist_pos p = {list, NULL};
	int i;

	make_entries(e, (unsigned)test_seed(1));
	for (i = 0; i < ENTRIES; i++)
		insert(&e[i]);
	ck_assert_uint_eq(skiplist_count(list), ENTRIES);
	qsort(e, ENTRIES, sizeof(*e), cmp);
	for (i = 0, skiplist_first(&p); i < ENTRIES; i++, skiplist_next(&p))
		expect_at(&p, &e[i]);
	expect_at(&p, NULL);
	for (i = ENTRIES - 1, skiplist_last(&p); i >= 0; i--, skiplist_prev(&p))
		expect_at(&p, &e[i]);
	expect_at(&p, NULL);
}
END_TEST

START_TEST(seeks_agree_with_a_sorted_array)
{
	static struct entry e[ENTRIES], probe[ENTRIES];
	struct skiplist_pos p = {list, NULL};
	unsigned seed = (unsigned)test_seed(2);
	int i, k, lo, hi;

	make_entries(e, seed);
	for (i = 0; i < ENTRIES; i++)
		insert(&e[i]);
	qsort(e, ENTRIES, sizeof(*e), cmp);
	make_entries(probe, seed + 1);
	for (i = 0; i < ENTRIES; i++) {
		if (i % 3 == 0)
			probe[i] = e[i]; /* present */
		for (lo = 0, hi = ENTRIES; lo < hi;) {
			k = (lo + hi) / 2;
			if (cmp(&e[k], &probe[i]) < 0)
				lo = k + 1;
			else
				hi = k;
		}
		skiplist_seek(&p, key_of(&probe[i]), probe[i].tag);
		expect_at(&p, lo < ENTRIES ? &e[lo] : NULL);
		if (lo == ENTRIES || cmp(&e[lo], &probe[i]))
			lo--;
		skiplist_seek_for_prev(&p, key_of(&probe[i]), probe[i].tag);
		expect_at(&p, lo >= 0 ? &e[lo] : NULL);
	}
}
END_TEST

START_TEST(empty_list_has_no_positions)
{
	struct skiplist_pos p = {list, NULL};

	skiplist_first(&p);
	ck_assert_ptr_null(p.node);
	skiplist_last(&p);
	ck_assert_ptr_null(p.node);
	skiplist_seek(&p, slice_str("k"), 0);
	ck_assert_ptr_null(p.node);
	skiplist_seek_for_prev(&p, slice_str("k"), 0);
	ck_assert_ptr_null(p.node);
	ck_assert_uint_eq(skiplist_count(list), 0);
}
END_TEST

/* What a thread remembers of one list must not be used for another, also
 * when that lies at the same address. */
START_TEST(lists_taking_turns_do_not_mix)
{
	struct skiplist *l[9];
	struct arena *a[9];
	struct skiplist_pos p;
	uint8_t k[8];
	int round, i, n;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 9; i++) {
			a[i] = arena_new(NULL);
			l[i] = skiplist_new(a[i], lsm_slice(NULL, 0));
		}
		for (n = 0; n < 900; n++) {
			put_be64(k, (uint64_t)n);
			ck_assert_int_eq(
				skiplist_insert(l[n % 9], lsm_slice(k, 8), 1,
						lsm_slice(NULL, 0)),
				0);
		}
		for (i = 0; i < 9; i++) {
			p.list = l[i];
			skiplist_first(&p);
			for (n = i; n < 900; n += 9, skiplist_next(&p))
				ck_assert_uint_eq(
					get_be64(skiplist_key(&p).data),
					(uint64_t)n);
			ck_assert_ptr_null(p.node);
			arena_free(a[i]);
		}
	}
}
END_TEST

/* ---- threads ------------------------------------------------------------- */

#define THREADS  4
#define A_THREAD 20000

enum order { RANDOM, ASCENDING, INTERLEAVED, DESCENDING, STREAMS };

struct inserter {
	enum order order;
	unsigned number;
};

static atomic_bool stop;

/* Distinct numbers for every thread and i. */
static uint64_t number_of(const struct inserter *in, uint64_t i)
{
	uint64_t n = in->number;

	switch (in->order) {
	case RANDOM:
		return hash_mix(i * THREADS + n, 5) << 20 | (i * THREADS + n);
	case ASCENDING:
		return n << 32 | i;
	case INTERLEAVED:
		return i * THREADS + n;
	case DESCENDING:
		return 1u << 30 | (A_THREAD - i) * THREADS | n;
	case STREAMS:
		return i % 16 << 32 | (i / 16 * THREADS + n);
	}
	return 0;
}

static void *insert_many(void *arg)
{
	struct inserter *in = arg;
	uint8_t k[16] = {0};
	uint64_t i;

	for (i = 0; i < A_THREAD; i++) {
		put_be64(k, number_of(in, i));
		memcpy(k + 8, k, 8);
		if (skiplist_insert(list, lsm_slice(k, 16), i << 8 | 1,
				    lsm_slice(k, 8)))
			return NULL;
	}
	return in;
}

/* Everything seen is in order and whole, however much is there. */
static void *read_many(void *arg)
{
	struct skiplist_pos p = {list, NULL};
	struct lsm_slice last;
	bool done;

	do {
		done = atomic_load(&stop);
		last = lsm_slice(NULL, 0);
		for (skiplist_first(&p); p.node; skiplist_next(&p)) {
			if (slice_cmp(last, skiplist_key(&p)) >= 0)
				return NULL;
			last = skiplist_key(&p);
			if (last.len != 16 ||
			    memcmp(last.data, skiplist_value(&p).data, 8))
				return NULL;
		}
	} while (!done);
	return arg;
}

START_TEST(four_inserters_lose_nothing_and_readers_see_order)
{
	struct inserter in[THREADS];
	struct skiplist_pos p = {list, NULL};
	pthread_t t[THREADS], r;
	uint8_t k[16];
	void *ok;
	int i, n;

	atomic_store(&stop, false);
	for (i = 0; i < THREADS; i++) {
		in[i].order = (enum order)_i;
		in[i].number = (unsigned)i;
		ck_assert_int_eq(
			pthread_create(&t[i], NULL, insert_many, &in[i]), 0);
	}
	ck_assert_int_eq(pthread_create(&r, NULL, read_many, list), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(t[i], &ok);
		ck_assert_ptr_eq(ok, &in[i]);
	}
	atomic_store(&stop, true);
	pthread_join(r, &ok);
	ck_assert_ptr_eq(ok, list);
	ck_assert_uint_eq(skiplist_count(list), THREADS * A_THREAD);
	for (n = 0, skiplist_first(&p); p.node; skiplist_next(&p))
		n++;
	ck_assert_int_eq(n, THREADS * A_THREAD);
	/* And every one is found by searching. */
	for (i = 0; i < THREADS; i++)
		for (n = 0; n < A_THREAD; n++) {
			put_be64(k, number_of(&in[i], (uint64_t)n));
			memcpy(k + 8, k, 8);
			skiplist_seek(&p, lsm_slice(k, 16),
				      (uint64_t)n << 8 | 1);
			if (!p.node ||
			    !slice_eq(skiplist_key(&p), lsm_slice(k, 16)))
				ck_abort_msg("lost");
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("skiplist");
	TCase *t = tcase_create("skiplist");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, entries_come_back_sorted_both_ways);
	tcase_add_test(t, seeks_agree_with_a_sorted_array);
	tcase_add_test(t, empty_list_has_no_positions);
	tcase_add_test(t, lists_taking_turns_do_not_mix);
	tcase_add_loop_test(t,
			    four_inserters_lose_nothing_and_readers_see_order,
			    RANDOM, STREAMS + 1);
	suite_add_tcase(s, t);
	return run_suite(s);
}
