/* SPDX-License-Identifier: MIT */
/* test_table_cache.c - which tables are open, and for how long. */
#include <pthread.h>
#include <stdatomic.h>

#include "lsm/base/epoch.h"
#include "lsm/table/table_cache.h"
#include "tests/lsm/table/table_util.h"

#define TABLES 12

struct fixture {
	struct table_env t;
	struct table_cache *tc;
	struct table_slot slot[TABLES];
};

static const struct sst_writer_options shape = {
	.block_bytes = 512, .restart_interval = 8, .bloom_bits = 10};

/* Table n holds one key, which names it. */
static void setup(struct fixture *f, uint32_t max_open)
{
	struct sst_reader_options o = {.verify_checksums = true};
	uint64_t n;

	table_env_open(&f->t, 1 << 20);
	o.cache = f->t.cache;
	f->tc = table_cache_new(f->t.dir, max_open, &o);
	ck_assert_ptr_nonnull(f->tc);
	for (n = 0; n < TABLES; n++) {
		struct model m = {0};
		struct sst_meta meta;

		model_add(&m, lsm_slice(&n, 8), tag_make(1, KIND_PUT),
			  lsm_slice(&n, 8));
		write_table(f->t.dir, n + 1, &shape, &m, &meta);
		sst_meta_release(&meta);
		model_free(&m);
		table_slot_init(&f->slot[n], n + 1);
	}
}

static void teardown(struct fixture *f)
{
	table_cache_free(f->tc);
	table_env_close(&f->t);
}

static bool holds(struct sst_reader *r, struct cache *c, uint64_t n)
{
	struct sst_pin pin = {0};
	enum entry_kind kind;
	bool found = sst_reader_lookup(r, lsm_slice(&n, 8), hash64(&n, 8),
				       SEQ_MAX, 0, &kind, &pin) == LOOKUP_FOUND;

	found = found && pin.data.len == 8 && !memcmp(pin.data.data, &n, 8);
	sst_pin_release(&pin, c);
	return found;
}

static size_t count_open(struct fixture *f)
{
	size_t i, n = 0;

	epoch_pin();
	for (i = 0; i < TABLES; i++)
		n += !!atomic_load(&f->slot[i].reader);
	epoch_unpin();
	return n;
}

START_TEST(table_is_opened_once_and_then_found)
{
	struct fixture f;
	struct sst_reader *r, *again;

	setup(&f, 100);
	epoch_pin();
	ck_assert_ptr_null(table_cache_find(f.tc, &f.slot[3]));
	epoch_unpin();
	ck_assert_int_eq(table_cache_get(f.tc, &f.slot[3], &r), 0);
	ck_assert(holds(r, f.t.cache, 3));
	ck_assert_int_eq(table_cache_get(f.tc, &f.slot[3], &again), 0);
	ck_assert_ptr_eq(r, again);
	epoch_pin();
	ck_assert_ptr_eq(table_cache_find(f.tc, &f.slot[3]), r);
	epoch_unpin();
	sst_reader_put(r);
	sst_reader_put(again);
	ck_assert_ptr_eq(table_cache_blocks(f.tc), f.t.cache);
	teardown(&f);
}
END_TEST

START_TEST(no_more_tables_stay_open_than_allowed)
{
	struct fixture f;
	struct sst_reader *held, *r;
	uint64_t i, round;

	setup(&f, 4);
	ck_assert_int_eq(table_cache_get(f.tc, &f.slot[0], &held), 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < TABLES; i++) {
			ck_assert_int_eq(table_cache_get(f.tc, &f.slot[i], &r),
					 0);
			ck_assert(holds(r, f.t.cache, i));
			sst_reader_put(r);
			ck_assert_uint_le(count_open(&f), 4);
		}
	}
	/* closed for the cache, not for whoever holds it */
	ck_assert(holds(held, f.t.cache, 0));
	sst_reader_put(held);
	teardown(&f);
}
END_TEST

START_TEST(used_table_stays_open_rather_than_an_idle_one)
{
	struct fixture f;
	struct sst_reader *r;
	size_t i;

	setup(&f, 4);
	for (i = 0; i < TABLES; i++) {
		ck_assert_int_eq(table_cache_get(f.tc, &f.slot[i], &r), 0);
		sst_reader_put(r);
		epoch_pin();
		ck_assert_ptr_nonnull(table_cache_find(f.tc, &f.slot[0]));
		epoch_unpin();
	}
	teardown(&f);
}
END_TEST

START_TEST(evicted_table_gives_back_its_memory_and_its_blocks)
{
	struct fixture f;
	struct cache_stats s;
	struct sst_reader *r;

	setup(&f, 100);
	ck_assert_int_eq(table_cache_get(f.tc, &f.slot[0], &r), 0);
	ck_assert(holds(r, f.t.cache, 0));
	sst_reader_put(r);
	cache_get_stats(f.t.cache, &s);
	ck_assert_uint_eq(s.entries, 1);
	ck_assert_uint_gt(s.charged, 0);
	table_cache_evict(f.tc, &f.slot[0]);
	epoch_barrier();
	cache_get_stats(f.t.cache, &s);
	ck_assert_uint_eq(s.entries, 0);
	ck_assert_uint_eq(s.charged, 0);
	ck_assert_uint_eq(count_open(&f), 0);
	/* a slot that is not open may be evicted too */
	table_cache_evict(f.tc, &f.slot[0]);
	teardown(&f);
}
END_TEST

START_TEST(missing_table_is_an_error_and_leaves_the_slot_closed)
{
	struct fixture f;
	struct table_slot s;
	struct sst_reader *r;

	setup(&f, 4);
	table_slot_init(&s, 999);
	ck_assert_int_eq(table_cache_get(f.tc, &s, &r), -ENOENT);
	epoch_pin();
	ck_assert_ptr_null(table_cache_find(f.tc, &s));
	epoch_unpin();
	teardown(&f);
}
END_TEST

struct storm {
	struct fixture *f;
	_Atomic uint64_t wrong, cached;
	uint64_t seed;
};

static void *storm_thread(void *arg)
{
	struct storm *s = arg;
	struct rng rng = rng_make(s->seed + (uint64_t)(uintptr_t)&rng);
	int i;

	for (i = 0; i < 4000; i++) {
		uint64_t n = rng_below(&rng, TABLES);
		struct table_slot *slot = &s->f->slot[n];
		struct sst_pin pin = {0};
		enum entry_kind kind;
		struct sst_reader *r;
		int result = -EAGAIN;

		epoch_pin();
		r = table_cache_find(s->f->tc, slot);
		if (r)
			result = sst_reader_lookup(
				r, lsm_slice(&n, 8), hash64(&n, 8), SEQ_MAX,
				SST_LOOKUP_CACHED, &kind, &pin);
		if (result == LOOKUP_FOUND) {
			atomic_fetch_add(&s->cached, 1);
			if (memcmp(pin.data.data, &n, 8))
				atomic_fetch_add(&s->wrong, 1);
		} else if (result != -EAGAIN) {
			atomic_fetch_add(&s->wrong, 1);
		}
		epoch_unpin();
		if (result != -EAGAIN)
			continue;
		if (table_cache_get(s->f->tc, slot, &r)) {
			atomic_fetch_add(&s->wrong, 1);
			continue;
		}
		if (!holds(r, s->f->t.cache, n))
			atomic_fetch_add(&s->wrong, 1);
		sst_reader_put(r);
	}
	return NULL;
}

START_TEST(threads_read_tables_while_they_are_opened_and_closed)
{
	struct fixture f;
	struct storm s = {.f = &f, .seed = test_seed(95)};
	pthread_t t[4];
	size_t i;

	setup(&f, 6);
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, storm_thread, &s),
				 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(s.wrong, 0);
	ck_assert_uint_gt(s.cached, 0);
	ck_assert_uint_le(count_open(&f), 6);
	teardown(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("table_cache");
	TCase *tc = tcase_create("table_cache");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, table_is_opened_once_and_then_found);
	tcase_add_test(tc, no_more_tables_stay_open_than_allowed);
	tcase_add_test(tc, used_table_stays_open_rather_than_an_idle_one);
	tcase_add_test(tc, evicted_table_gives_back_its_memory_and_its_blocks);
	tcase_add_test(tc,
		       missing_table_is_an_error_and_leaves_the_slot_closed);
	tcase_add_test(tc,
		       threads_read_tables_while_they_are_opened_and_closed);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
