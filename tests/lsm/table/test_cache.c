/* SPDX-License-Identifier: MIT */
/* test_cache.c - the block cache: what it finds, what it keeps, its budget,
 * and threads. */
#include <pthread.h>
#include <stdatomic.h>

#include "lsm/base/epoch.h"
#include "tests/lsm/table/table_util.h"

#define BLOCK 1000

/* Each word of a block says where it belongs. */
static void fill(struct cache_entry *e, uint64_t file, uint64_t offset)
{
	uint64_t *p = cache_data(e);
	size_t i;

	for (i = 0; i < cache_bytes(e) / 8; i++)
		p[i] = hash_mix(file, offset) + i;
}

static bool is_filled(struct cache_entry *e, uint64_t file, uint64_t offset)
{
	const uint64_t *p = cache_data(e);
	size_t i;

	for (i = 0; i < cache_bytes(e) / 8; i++)
		if (p[i] != hash_mix(file, offset) + i)
			return false;
	return true;
}

static struct cache_entry *put_block(struct cache *c, uint64_t file,
				     uint64_t offset, size_t bytes)
{
	/* the lead of a third of them, where that matters */
	struct cache_entry *e =
		cache_alloc(c, bytes, offset % 3 ? 0 : offset % 50 * 8);

	ck_assert_ptr_nonnull(e);
	fill(e, file, offset);
	return cache_insert(c, e, file, offset, true);
}

/* As a reader does: from the cache, else from the disk. True: was there. */
static bool read_block(struct cache *c, uint64_t file, uint64_t offset)
{
	struct cache_entry *e = cache_get(c, file, offset);
	bool hit = e;

	if (!e)
		e = put_block(c, file, offset, BLOCK);
	ck_assert(is_filled(e, file, offset));
	cache_put(c, e);
	return hit;
}

static struct cache_stats stats(struct cache *c)
{
	struct cache_stats s;

	cache_get_stats(c, &s);
	return s;
}

START_TEST(inserted_block_is_found_and_another_is_not)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_entry *e = put_block(c, 1, 4096, BLOCK), *f;

	ck_assert_uint_eq(cache_bytes(e), BLOCK);
	ck_assert_uint_eq((uintptr_t)cache_data(e) % 64, 0);
	epoch_pin();
	f = cache_find(c, 1, 4096);
	ck_assert_ptr_eq(f, e);
	ck_assert_ptr_null(cache_find(c, 1, 4097));
	ck_assert_ptr_null(cache_find(c, 2, 4096));
	ck_assert(cache_ref(f));
	epoch_unpin();
	cache_put(c, f);
	cache_put(c, e);
	/* without references it stays */
	ck_assert(read_block(c, 1, 4096));
	ck_assert_uint_eq(stats(c).entries, 1);
	cache_free(c);
}
END_TEST

START_TEST(what_follows_the_lead_of_a_large_block_begins_on_a_page)
{
	static const size_t bytes[] = {25000, 32964, 33000, 65900, 100000};
	struct cache *c = cache_new(256 << 20);
	struct cache_entry *e[5 * 40];
	size_t i;

	for (i = 0; i < 5 * 40; i++) {
		size_t lead = 8 + i / 5 * 8;

		e[i] = cache_alloc(c, bytes[i % 5], lead);
		ck_assert_ptr_nonnull(e[i]);
		ck_assert_uint_eq(((uintptr_t)cache_data(e[i]) + lead) % 4096,
				  0);
		fill(e[i], 1, i);
		e[i] = cache_insert(c, e[i], 1, i, true);
	}
	for (i = 0; i < 5 * 40; i++) {
		ck_assert(is_filled(e[i], 1, i));
		cache_put(c, e[i]);
	}
	ck_assert_uint_lt(stats(c).used, 20 << 20); /* 12.4 MiB, and slabs */
	cache_free(c);
}
END_TEST

START_TEST(second_insert_returns_the_first_block)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_entry *a = put_block(c, 1, 0, BLOCK);
	uint64_t used = stats(c).used;
	struct cache_entry *b = put_block(c, 1, 0, BLOCK);

	ck_assert_ptr_eq(a, b);
	ck_assert_uint_eq(stats(c).used, used);
	cache_put(c, a);
	cache_put(c, b);
	cache_free(c);
}
END_TEST

START_TEST(block_kept_out_of_the_table_lives_as_long_as_its_reference)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_entry *e = cache_alloc(c, BLOCK, 0);

	fill(e, 1, 0);
	e = cache_insert(c, e, 1, 0, false);
	epoch_pin();
	ck_assert_ptr_null(cache_find(c, 1, 0));
	epoch_unpin();
	ck_assert_uint_gt(stats(c).used, BLOCK);
	cache_put(c, e);
	ck_assert_uint_eq(stats(c).used, 0);
	e = cache_alloc(c, BLOCK, 0);
	cache_drop(c, e);
	ck_assert_uint_eq(stats(c).used, 0);
	cache_free(c);
}
END_TEST

START_TEST(budget_holds_whatever_is_inserted)
{
	struct rng rng = rng_make(test_seed(90));
	uint64_t capacity = _i ? 40 << 20 : 1 << 20, i;
	struct cache *c = cache_new(capacity);

	for (i = 0; i < 20000; i++) {
		size_t bytes = rng_below(&rng, 100) ? 1 + rng_below(&rng, 20000)
						    : capacity / 4;

		cache_put(c, put_block(c, rng_below(&rng, 5), i, bytes));
		ck_assert_uint_le(stats(c).used, capacity);
	}
	ck_assert_uint_gt(stats(c).used, capacity / 2);
	ck_assert_uint_gt(stats(c).evictions, 0);
	cache_free(c);
}
END_TEST

START_TEST(odd_sizes_do_not_open_slabs)
{
	struct cache *c = cache_new(64 << 20);
	uint64_t used, i;

	cache_put(c, put_block(c, 1, 0, 4000));
	used = stats(c).used;
	for (i = 1; i < 9; i++)
		cache_put(c, put_block(c, 1, i, 400 * i));
	ck_assert_uint_eq(stats(c).entries, 9);
	ck_assert_uint_eq(stats(c).used, used);
	cache_free(c);
}
END_TEST

/* Somebody holds an entry of every slab: none can be emptied, and trying must
 * not cost the others. */
START_TEST(held_slabs_keep_their_other_blocks)
{
	struct cache_entry *held[200];
	struct cache *c = cache_new(4 << 20);

	for (uint64_t i = 0; i < 1000; i++) {
		struct cache_entry *e = put_block(c, 1, i, 4000);

		if (i % 5)
			cache_put(c, e);
		else
			held[i / 5] = e;
	}
	cache_charge(c, 1 << 20);
	ck_assert_uint_ge(stats(c).entries, 600);
	ck_assert_uint_le(stats(c).entries, 800);
	for (unsigned i = 0; i < 200; i++)
		cache_put(c, held[i]);
	cache_charge(c, 4096);
	ck_assert_uint_le(stats(c).used + stats(c).charged, 4 << 20);
	cache_charge(c, -(1 << 20) - 4096);
	cache_free(c);
}
END_TEST

START_TEST(charged_memory_pushes_blocks_out_down_to_nothing)
{
	struct cache *c = cache_new(4 << 20);
	uint64_t i;

	for (i = 0; i < 3000; i++)
		read_block(c, 1, i);
	for (i = 0; i < 3000; i++)
		read_block(c, 1, i); /* all used: all to be passed over once */
	ck_assert_uint_eq(stats(c).entries, 3000);
	cache_charge(c, 3 << 20);
	ck_assert_uint_le(stats(c).used + stats(c).charged, 4 << 20);
	cache_charge(c, 10 << 20);
	ck_assert_uint_eq(stats(c).entries, 0);
	ck_assert_uint_eq(stats(c).used, 0);
	cache_charge(c, -(13 << 20));
	ck_assert_uint_eq(stats(c).charged, 0);
	ck_assert(!read_block(c, 1, 7));
	ck_assert(read_block(c, 1, 7));
	cache_free(c);
}
END_TEST

START_TEST(referenced_block_survives_eviction_and_erasure)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_entry *e = put_block(c, 1, 0, BLOCK);
	uint64_t i;

	for (i = 1; i < 5000; i++)
		read_block(c, 2, i);
	ck_assert(is_filled(e, 1, 0));
	ck_assert(read_block(c, 1, 0));
	cache_erase_file(c, 1);
	ck_assert(is_filled(e, 1, 0));
	ck_assert(!read_block(c, 1, 0)); /* a new one now */
	cache_put(c, e);
	epoch_barrier();
	cache_free(c);
}
END_TEST

START_TEST(erasing_a_file_forgets_its_blocks_only)
{
	struct cache *c = cache_new(64 << 20);
	uint64_t i;

	for (i = 0; i < 2000; i++)
		read_block(c, i % 3, i);
	cache_erase_file(c, 1);
	ck_assert_uint_eq(stats(c).entries, 2000 - 667);
	for (i = 0; i < 2000; i++) {
		struct cache_entry *e = cache_get(c, i % 3, i);

		ck_assert(!e == (i % 3 == 1));
		if (e)
			cache_put(c, e);
	}
	cache_free(c);
}
END_TEST

/* MiB of memory this process holds. */
static double resident_mib(void)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS:", 6))
			kib = strtod(line + 6, NULL);
	fclose(f);
	return kib / 1024;
}

START_TEST(memory_held_stays_within_the_budget_when_sizes_shift)
{
	static const size_t sizes[] = {4200, 33000, 1000, 70000, 200000, 4300};
	struct rng rng = rng_make(test_seed(94));
	double before = resident_mib(), more, most = 0;
	struct cache *c = cache_new(64 << 20);
	uint64_t i, n = 0;
	unsigned k;

	for (k = 0; k < 6; k++) {
		/* Twice the budget of one size, a few of another among them,
		 * and some of all used again: what goes is spread. */
		for (i = 0; i < (128u << 20) / sizes[k]; i++) {
			size_t bytes =
				sizes[rng_below(&rng, 10) ? k : (k + 1) % 6];
			struct cache_entry *e;

			cache_put(c, put_block(c, k, n++, bytes));
			ck_assert_uint_le(stats(c).used, 64 << 20);
			e = cache_get(c, k, rng_below(&rng, n));
			if (e)
				cache_put(c, e);
		}
		ck_assert_uint_gt(stats(c).used, 56 << 20);
		epoch_barrier();
		more = resident_mib() - before;
		if (more > most)
			most = more;
	}
	printf("# a cache of 64 MiB holds at most %.1f MiB\n", most);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	ck_assert(most < 64 * 1.05);
#endif
	cache_free(c);
}
END_TEST

START_TEST(used_blocks_move_when_their_slab_is_wanted_for_another_size)
{
	struct cache *c = cache_new(16 << 20);
	uint64_t i, n = 0, hits = 0, kept = 0;

	/* Fill, use each eighth, and shift the sizes: their neighbours go. */
	for (i = 0; i < 4000; i++)
		cache_put(c, put_block(c, 1, i, 4200));
	for (i = 0; i < 4000; i += 8) {
		struct cache_entry *e = cache_get(c, 1, i);

		kept += e != NULL;
		if (e)
			cache_put(c, e);
	}
	for (i = 0; i < 12 * 8; i++)
		cache_put(c, put_block(c, 2, n++, 120000));
	for (i = 0; i < 4000; i += 8) {
		struct cache_entry *e = cache_get(c, 1, i);

		hits += e != NULL;
		if (!e)
			continue;
		ck_assert(is_filled(e, 1, i));
		cache_put(c, e);
	}
	printf("# %llu used blocks, %llu are still there\n",
	       (unsigned long long)kept, (unsigned long long)hits);
	ck_assert_uint_gt(kept, 400);
	ck_assert_uint_gt(hits, kept * 9 / 10);
	cache_free(c);
}
END_TEST

START_TEST(slot_holds_a_block_until_it_goes)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_slot slot = {NULL}, other = {NULL};
	struct cache_entry *e;

	for (int round = 0; round < 2; round++) {
		cache_put(c, put_block(c, 1, 4096, BLOCK));
		epoch_pin();
		ck_assert_ptr_null(cache_slot_find(c, &slot));
		e = cache_find(c, 1, 4096);
		ck_assert_ptr_nonnull(e);
		cache_slot_fill(c, e, &slot);
		cache_slot_fill(c, e, &other);
		ck_assert_ptr_eq(cache_slot_find(c, &slot), e);
		ck_assert_ptr_null(cache_slot_find(c, &other));
		if (round == 0) {
			cache_erase_file(c, 1);
		} else {
			cache_charge(c, 1 << 20);
			cache_charge(c, -(1 << 20));
		}
		ck_assert_ptr_null(cache_slot_find(c, &slot));
		/* what has gone is not put into a slot any more */
		cache_slot_fill(c, e, &slot);
		ck_assert_ptr_null(cache_slot_find(c, &slot));
		ck_assert(is_filled(e, 1, 4096));
		epoch_unpin();
	}
	cache_free(c);
}
END_TEST

START_TEST(cleared_slot_is_not_written_again)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_slot *slot = calloc(1, sizeof(*slot)), next = {NULL};
	struct cache_entry *e;

	ck_assert_ptr_nonnull(slot);
	cache_put(c, put_block(c, 1, 0, BLOCK));
	epoch_pin();
	e = cache_find(c, 1, 0);
	cache_slot_fill(c, e, slot);
	cache_slot_clear(c, slot, 1, 0);
	free(slot);
	/* the block is free for another reader's slot */
	cache_slot_fill(c, e, &next);
	ck_assert_ptr_eq(cache_slot_find(c, &next), e);
	epoch_unpin();
	cache_erase_file(c, 1);
	epoch_pin();
	ck_assert_ptr_null(cache_slot_find(c, &next));
	epoch_unpin();
	cache_free(c);
}
END_TEST

#define SLOTS 4000

START_TEST(slot_follows_a_block_that_moves)
{
	static struct cache_slot slots[SLOTS];
	static struct cache_entry *was[SLOTS];
	struct cache *c = cache_new(16 << 20);
	uint64_t i, n = 0, moved = 0;

	memset(slots, 0, sizeof(slots));
	for (i = 0; i < SLOTS; i++)
		cache_put(c, put_block(c, 1, i, 4200));
	epoch_pin();
	for (i = 0; i < SLOTS; i++) {
		was[i] = cache_find(c, 1, i);
		if (was[i])
			cache_slot_fill(c, was[i], &slots[i]);
	}
	epoch_unpin();
	for (i = 0; i < SLOTS; i += 8)
		read_block(c, 1, i);
	for (i = 0; i < 12 * 8; i++)
		cache_put(c, put_block(c, 2, n++, 120000));
	epoch_pin();
	for (i = 0; i < SLOTS; i++) {
		struct cache_entry *e = cache_slot_find(c, &slots[i]);

		if (was[i])
			ck_assert_ptr_eq(e, cache_find(c, 1, i));
		if (!e)
			continue;
		ck_assert(is_filled(e, 1, i));
		moved += e != was[i];
	}
	epoch_unpin();
	printf("# %llu blocks moved\n", (unsigned long long)moved);
	ck_assert_uint_gt(moved, 0);
	cache_free(c);
}
END_TEST

START_TEST(scan_of_cold_blocks_does_not_push_out_the_hot_ones)
{
	struct cache *c = cache_new(8 << 20); /* about 7700 blocks */
	struct rng rng = rng_make(test_seed(91));
	const uint64_t hot = 3000;
	uint64_t i, hits = 0;

	for (i = 0; i < 20 * hot; i++)
		read_block(c, 1, rng_below(&rng, hot));
	for (i = 0; i < 100000; i++) /* 13 times the cache */
		ck_assert(!read_block(c, 2, i));
	for (i = 0; i < hot; i++)
		hits += read_block(c, 1, i);
	printf("# hot blocks left after a scan: %.1f%%\n",
	       100.0 * (double)hits / (double)hot);
	ck_assert_uint_gt(hits, hot * 95 / 100);
	cache_free(c);
}
END_TEST

START_TEST(blocks_no_longer_hot_make_room_for_new_hot_ones)
{
	struct cache *c = cache_new(8 << 20);
	struct rng rng = rng_make(test_seed(92));
	uint64_t i, hits = 0, n = 5000;

	for (i = 0; i < 20 * n; i++)
		read_block(c, 1, rng_below(&rng, n));
	for (i = 0; i < 40 * n; i++)
		read_block(c, 2, rng_below(&rng, n));
	for (i = 0; i < n; i++)
		hits += read_block(c, 2, i);
	printf("# new hot set cached: %.1f%%\n",
	       100.0 * (double)hits / (double)n);
	ck_assert_uint_gt(hits, n * 9 / 10);
	cache_free(c);
}
END_TEST

START_TEST(hits_and_misses_are_counted)
{
	struct cache *c = cache_new(1 << 20);
	int i;

	for (i = 0; i < 10; i++)
		read_block(c, 1, (uint64_t)i % 2);
	ck_assert_uint_eq(stats(c).misses, 2);
	ck_assert_uint_eq(stats(c).hits, 8);
	cache_free(c);
}
END_TEST

#define STORM_BLOCKS 3000

struct storm {
	struct cache *c;
	struct cache_slot slots[4][STORM_BLOCKS];
	uint64_t seed;
	_Atomic bool stop;
	_Atomic uint64_t wrong;
};

static void *storm_thread(void *arg)
{
	struct storm *s = arg;
	struct rng rng = rng_make(s->seed + (uint64_t)(uintptr_t)&rng);
	int i;

	for (i = 0; i < 30000; i++) {
		uint64_t file = rng_below(&rng, 4);
		uint64_t offset = rng_below(&rng, STORM_BLOCKS);
		struct cache_entry *e;
		bool good = true;

		switch (rng_below(&rng, 8)) {
		case 0:
			epoch_pin();
			e = cache_find(s->c, file, offset);
			if (e)
				good = is_filled(e, file, offset);
			epoch_unpin();
			break;
		case 1:
		case 2:
			epoch_pin();
			e = cache_slot_find(s->c, &s->slots[file][offset]);
			if (!e) {
				e = cache_find(s->c, file, offset);
				if (e)
					cache_slot_fill(
						s->c, e,
						&s->slots[file][offset]);
			}
			if (e)
				good = is_filled(e, file, offset);
			epoch_unpin();
			if (i % 7 == 0)
				cache_slot_clear(s->c, &s->slots[file][offset],
						 file, offset);
			break;
		case 3:
			epoch_pin();
			e = cache_find(s->c, file, offset);
			if (e && !cache_ref(e))
				e = NULL;
			epoch_unpin();
			if (e) {
				good = is_filled(e, file, offset);
				cache_put(s->c, e);
			}
			break;
		default:
			e = cache_get(s->c, file, offset);
			if (!e) {
				/* sizes of several slabs */
				e = cache_alloc(s->c, 200 + offset % 7 * 900,
						0);
				fill(e, file, offset);
				e = cache_insert(s->c, e, file, offset,
						 rng_below(&rng, 10));
			}
			good = is_filled(e, file, offset);
			cache_put(s->c, e);
		}
		if (i % 5000 == 0)
			cache_erase_file(s->c, rng_below(&rng, 4));
		if (i % 1000 == 0) {
			cache_charge(s->c, 100000);
			cache_charge(s->c, -100000);
		}
		if (!good)
			atomic_fetch_add(&s->wrong, 1);
	}
	return NULL;
}

START_TEST(threads_never_see_a_wrong_or_freed_block)
{
	static struct storm s;
	pthread_t t[4];
	size_t i;

	memset(&s, 0, sizeof(s));
	s.seed = test_seed(93);
	s.c = cache_new(1 << 20);
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, storm_thread, &s),
				 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(s.wrong, 0);
	ck_assert_uint_le(stats(s.c).used, 1 << 20);
	ck_assert_uint_gt(stats(s.c).evictions, 0);
	/* whatever was not in use is still accounted for, block by block */
	for (i = 0; i < 4; i++)
		cache_erase_file(s.c, i);
	ck_assert_uint_eq(stats(s.c).entries, 0);
	ck_assert_uint_eq(stats(s.c).used, 0);
	epoch_barrier();
	cache_free(s.c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cache");
	TCase *tc = tcase_create("cache");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, inserted_block_is_found_and_another_is_not);
	tcase_add_test(tc,
		       what_follows_the_lead_of_a_large_block_begins_on_a_page);
	tcase_add_test(tc, second_insert_returns_the_first_block);
	tcase_add_test(
		tc, block_kept_out_of_the_table_lives_as_long_as_its_reference);
	tcase_add_loop_test(tc, budget_holds_whatever_is_inserted, 0, 2);
	tcase_add_test(tc, odd_sizes_do_not_open_slabs);
	tcase_add_test(tc, held_slabs_keep_their_other_blocks);
	tcase_add_test(tc, charged_memory_pushes_blocks_out_down_to_nothing);
	tcase_add_test(tc,
		       memory_held_stays_within_the_budget_when_sizes_shift);
	tcase_add_test(
		tc,
		used_blocks_move_when_their_slab_is_wanted_for_another_size);
	tcase_add_test(tc, slot_holds_a_block_until_it_goes);
	tcase_add_test(tc, cleared_slot_is_not_written_again);
	tcase_add_test(tc, slot_follows_a_block_that_moves);
	tcase_add_test(tc, referenced_block_survives_eviction_and_erasure);
	tcase_add_test(tc, erasing_a_file_forgets_its_blocks_only);
	tcase_add_test(tc, scan_of_cold_blocks_does_not_push_out_the_hot_ones);
	tcase_add_test(tc, blocks_no_longer_hot_make_room_for_new_hot_ones);
	tcase_add_test(tc, hits_and_misses_are_counted);
	tcase_add_test(tc, threads_never_see_a_wrong_or_freed_block);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
