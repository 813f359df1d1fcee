/* SPDX-License-Identifier: MIT */
/*
 * test_collect.c - blob files are emptied while a store is overwritten without
 * end: on a disk that is nearly full, at a rate, and with writers held back.
 */
#include "lsm/env/env.h"
#include "tests/lsm/db/db_check.h"

#define PATH   "/store"
#define KEYS   400
#define VALUE  1000
#define ROUNDS 12 /* of overwriting as many keys as there are */

struct store {
	struct lsm_env *env;
	struct lsm_options options;
	struct lsm_db *db;
	unsigned version[KEYS];
	uint64_t seed;
};

static struct lsm_slice value_of(unsigned i, unsigned v, char buf[VALUE])
{
	uint64_t seed = i * 100000ull + v;

	for (unsigned k = 0; k < VALUE; k += 8)
		memcpy(buf + k, &(uint64_t){rnd(&seed)}, 8);
	return lsm_slice(buf, VALUE);
}

static void store_open(struct store *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->env = env_fault_new();
	ck_assert_ptr_nonnull(s->env);
	s->options = (struct lsm_options){.env = s->env,
					  .memory_bytes = 1 << 20,
					  .write_buffer_bytes = 32 << 10,
					  .table_bytes = 8 << 10,
					  .level_base_bytes = 32 << 10,
					  .blob_bytes = 100,
					  .blob_file_bytes = 64 << 10,
					  .wal_sync_interval_ms = UINT32_MAX,
					  .reclaim_interval_ms = 20};
	ck_ok(lsm_open(PATH, &s->options, &s->db));
}

static void store_close(struct store *s)
{
	ck_ok(lsm_close(s->db));
	env_fault_free(s->env);
}

static int put(struct store *s, unsigned i)
{
	char key[16], buf[VALUE];
	int r = lsm_put(s->db, model_key(key, i),
			value_of(i, s->version[i] + 1, buf));

	if (!r)
		s->version[i]++;
	return r;
}

static void fill(struct store *s)
{
	for (unsigned i = 0; i < KEYS; i++)
		ck_ok(put(s, i));
	ck_ok(lsm_flush(s->db));
	ck_ok(lsm_wait_idle(s->db));
}

static void check(struct store *s)
{
	struct lsm_pin pin = {0};
	char key[16], buf[VALUE];

	for (unsigned i = 0; i < KEYS; i++) {
		ck_ok(lsm_get(s->db, NULL, model_key(key, i), &pin));
		value_of(i, s->version[i], buf);
		ck_assert_uint_eq(pin.len, VALUE);
		ck_assert_msg(!memcmp(pin.data, buf, VALUE), "key %u", i);
	}
	lsm_unpin(&pin);
}

static uint64_t used_bytes(struct store *s)
{
	uint64_t left, total;
	struct env_dir *dir;

	ck_ok(env_dir_open(s->env, PATH, 0, &dir));
	ck_ok(env_dir_space(dir, &left, &total));
	env_dir_close(dir);
	return total - left;
}

/* One overwrite, tried again while the disk is full. False: it stays full. */
static bool overwrite(struct store *s, unsigned *refused)
{
	unsigned i = rnd_below(&s->seed, KEYS);

	for (unsigned tries = 0; tries < 40; tries++) {
		int r = put(s, i);

		if (!r)
			return true;
		ck_assert_int_eq(r, -ENOSPC);
		++*refused;
		usleep(2000);
		lsm_resume(s->db); /* it may still be full */
	}
	return false;
}

/*
 * From a disk on which nothing can be moved to one with room enough: whatever
 * was acknowledged is there, all the time, and with room again all goes on.
 */
START_TEST(sustained_overwrites_on_a_nearly_full_disk_lose_nothing)
{
	uint64_t seed = test_seed(31), room;
	unsigned refused = 0, stuck = 0, through = 0;
	struct lsm_stats stats;
	struct store s;

	for (room = 64 << 10; !through || stuck < 2; room += room / 4) {
		unsigned n;

		ck_assert_uint_lt(room, 1 << 24);
		store_open(&s, seed + room);
		fill(&s);
		env_fault_set_capacity(s.env, used_bytes(&s) + room);
		for (n = 0; n < ROUNDS * KEYS; n++)
			if (!overwrite(&s, &refused))
				break;
		check(&s);
		stuck += n < ROUNDS * KEYS;
		through += n == ROUNDS * KEYS;
		env_fault_clear(s.env);
		ck_ok(lsm_resume(s.db));
		for (n = 0; n < 3 * KEYS; n++)
			ck_ok(put(&s, rnd_below(&s.seed, KEYS)));
		ck_ok(lsm_flush(s.db));
		ck_ok(lsm_wait_idle(s.db));
		check(&s);
		ck_ok(lsm_verify(s.db, NULL, NULL));
		lsm_get_stats(s.db, &stats);
		ck_assert_uint_gt(stats.blob_collected_bytes, 0);
		ck_assert_uint_le(stats.blob_file_bytes, KEYS * VALUE * 2);
		ck_ok(lsm_close(s.db));
		env_fault_restart(s.env, ENV_KEEP_NONE, false, 1);
		ck_ok(lsm_open(PATH, &s.options, &s.db));
		check(&s);
		store_close(&s);
		if (through && stuck < 2)
			break;
	}
	printf("# %u sizes too small, %u writes refused; %llu KiB suffice\n",
	       stuck, refused, (unsigned long long)room >> 10);
	ck_assert_uint_gt(refused, 0);
	ck_assert_uint_gt(through, 0);
}
END_TEST

/*
 * However slow collection is, dead values stay bounded: writers wait. Without
 * that the store takes 1,440 KiB, most of it beneath a level 0 that is kept
 * short here, so that it does not hold the writers back itself.
 */
START_TEST(slow_collection_holds_writers_back_instead_of_filling_the_disk)
{
	struct lsm_stats stats;
	uint64_t worst = 0;
	struct store s;

	store_open(&s, test_seed(32));
	fill(&s);
	ck_ok(lsm_close(s.db));
	s.options.blob_gc_rate_bytes = 1 << 18;
	s.options.level0_slowdown = 4;
	s.options.level0_stop = 8;
	ck_ok(lsm_open(PATH, &s.options, &s.db));
	for (unsigned n = 0; n < ROUNDS * KEYS; n++) {
		ck_ok(put(&s, rnd_below(&s.seed, KEYS)));
		if (n % 16)
			continue;
		lsm_get_stats(s.db, &stats);
		if (stats.blob_file_bytes > worst)
			worst = stats.blob_file_bytes;
	}
	lsm_get_stats(s.db, &stats);
	printf("# at most %llu KiB for %u; writers waited %llu ms\n",
	       (unsigned long long)worst >> 10, KEYS * VALUE >> 10,
	       (unsigned long long)stats.stall_ns / 1000000);
	ck_assert_uint_gt(stats.stall_ns, 0);
	ck_assert_uint_lt(worst, 3 * KEYS * VALUE);
	check(&s);
	store_close(&s);
}
END_TEST

START_TEST(compaction_by_hand_leaves_hardly_a_dead_value)
{
	struct lsm_stats stats;
	struct store s;

	store_open(&s, test_seed(33));
	fill(&s);
	ck_ok(lsm_close(s.db));
	s.options.no_background_compaction = true;
	ck_ok(lsm_open(PATH, &s.options, &s.db));
	for (unsigned n = 0; n < 2 * KEYS; n++)
		ck_ok(put(&s, rnd_below(&s.seed, KEYS)));
	ck_ok(lsm_compact_range(s.db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	lsm_get_stats(s.db, &stats);
	ck_assert_uint_eq(stats.blob_live_bytes, KEYS * VALUE);
	ck_assert_uint_lt(stats.blob_value_bytes, KEYS * VALUE * 10 / 9);
	check(&s);
	store_close(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db collect");
	TCase *t = tcase_create("collect");

	tcase_set_timeout(t, 300);
	tcase_add_test(t,
		       sustained_overwrites_on_a_nearly_full_disk_lose_nothing);
	tcase_add_test(
		t,
		slow_collection_holds_writers_back_instead_of_filling_the_disk);
	tcase_add_test(t, compaction_by_hand_leaves_hardly_a_dead_value);
	suite_add_tcase(s, t);
	return run_suite(s);
}
