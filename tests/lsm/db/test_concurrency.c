/* SPDX-License-Identifier: MIT */
/*
 * test_concurrency.c - many threads on one store: what each must always see,
 * whatever the others do. Made for the thread sanitizer too.
 *
 * A writer owns a group of keys and always writes all of them in one batch,
 * with the same number. So whoever reads the group, by iterator, snapshot or
 * multi_get, must find one number in all of it; and numbers never go back.
 */
#include <stdatomic.h>

#include "tests/lsm/db/db_check.h"

#define WRITERS    3
#define GROUP_KEYS 6
#define ROUNDS     600
#define SYNC_EACH  60

struct shared {
	struct lsm_db *db;
	_Atomic bool stop;
	_Atomic uint32_t done[WRITERS]; /* the last number acknowledged */
	_Atomic int failures;
};

struct thread {
	pthread_t id;
	struct shared *shared;
	unsigned index;
	uint64_t seed;
};

/* Checks in threads: Check's own assertions are for its thread. */
#define must(t, cond)                                                        \
	do {                                                                 \
		if (!(cond)) {                                               \
			fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, \
				#cond);                                      \
			atomic_fetch_add(&(t)->shared->failures, 1);         \
			atomic_store(&(t)->shared->stop, true);              \
		}                                                            \
	} while (0)

static struct lsm_slice group_key(char buf[24], unsigned group, unsigned i)
{
	return lsm_slice(buf,
			 (size_t)snprintf(buf, 24, "g%02u-%04u", group, i));
}

static void write_group(struct thread *t, struct lsm_batch *b, uint32_t number,
			bool sync)
{
	struct lsm_write_options wo = {.sync = sync};
	char key[24], end[24], value[200] = {0};

	lsm_batch_clear(b);
	memcpy(value, &number, sizeof(number));
	if (number % 16 == 0)
		must(t, !lsm_batch_delete_range(
				b, group_key(key, t->index, 0),
				group_key(end, t->index, GROUP_KEYS)));
	for (unsigned i = 0; i < GROUP_KEYS; i++)
		must(t, !lsm_batch_put(b, group_key(key, t->index, i),
				       lsm_slice(value, 50 + number % 150)));
	must(t, !lsm_write(t->shared->db, b, &wo));
	atomic_store(&t->shared->done[t->index], number);
}

static void *writer_main(void *arg)
{
	struct thread *t = arg;
	struct lsm_batch *b = lsm_batch_new();

	for (uint32_t n = 1; n <= ROUNDS && !atomic_load(&t->shared->stop); n++)
		write_group(t, b, n, n % SYNC_EACH == 0);
	lsm_batch_free(b);
	return NULL;
}

static uint32_t number_of(struct lsm_slice value)
{
	uint32_t n = 0;

	if (value.len >= sizeof(n))
		memcpy(&n, value.data, sizeof(n));
	return n;
}

/* The number of a group in one view, which must be whole. */
static uint32_t scan_group(struct thread *t, unsigned group,
			   const struct lsm_snapshot *snapshot, bool back)
{
	char lower[24], upper[24];
	struct lsm_iter_options o = {
		.snapshot = snapshot,
		.lower = group_key(lower, group, 0),
		.upper = group_key(upper, group, GROUP_KEYS),
	};
	struct lsm_iter *it;
	uint32_t first = 0;
	unsigned count = 0;
	int r;

	must(t, !lsm_iter_new(t->shared->db, &o, &it));
	for (r = back ? lsm_iter_last(it) : lsm_iter_first(it); !r;
	     r = back ? lsm_iter_prev(it) : lsm_iter_next(it)) {
		uint32_t n = number_of(lsm_iter_value(it));

		if (!count++)
			first = n;
		must(t, n == first);
	}
	must(t, r == LSM_END);
	must(t, count == 0 || count == GROUP_KEYS);
	lsm_iter_free(it);
	return first;
}

static uint32_t multi_group(struct thread *t, unsigned group)
{
	struct lsm_pin pins[GROUP_KEYS] = {0};
	struct lsm_slice keys[GROUP_KEYS];
	char names[GROUP_KEYS][24];
	int results[GROUP_KEYS];
	uint32_t first = 0;

	for (unsigned i = 0; i < GROUP_KEYS; i++)
		keys[i] = group_key(names[i], group, i);
	must(t, !lsm_multi_get(t->shared->db, NULL, GROUP_KEYS, keys, pins,
			       results));
	for (unsigned i = 0; i < GROUP_KEYS; i++) {
		uint32_t n = number_of(lsm_slice(pins[i].data, pins[i].len));

		if (!i)
			first = n;
		must(t, n == first && results[i] == results[0]);
		lsm_unpin(&pins[i]);
	}
	return first;
}

static void *reader_main(void *arg)
{
	struct thread *t = arg;
	uint32_t last[WRITERS] = {0};
	struct lsm_pin pin = {0};
	char key[24];

	while (!atomic_load(&t->shared->stop)) {
		unsigned g = rnd_below(&t->seed, WRITERS);
		uint32_t done = atomic_load(&t->shared->done[g]), n;

		switch (rnd_below(&t->seed, 3)) {
		case 0:
			n = scan_group(t, g, NULL, rnd_below(&t->seed, 2));
			break;
		case 1:
			n = multi_group(t, g);
			break;
		default:
			n = 0;
			if (!lsm_get(t->shared->db, NULL,
				     group_key(key, g,
					       rnd_below(&t->seed, GROUP_KEYS)),
				     &pin))
				n = number_of(lsm_slice(pin.data, pin.len));
		}
		/* what was acknowledged is seen; nothing goes back */
		must(t, n >= done);
		must(t, n >= last[g]);
		last[g] = n;
	}
	lsm_unpin(&pin);
	return NULL;
}

static void *snapshot_main(void *arg)
{
	struct thread *t = arg;

	while (!atomic_load(&t->shared->stop)) {
		const struct lsm_snapshot *s = lsm_snapshot_take(t->shared->db);
		uint32_t before[WRITERS];

		must(t, s != NULL);
		for (unsigned g = 0; g < WRITERS; g++)
			before[g] = scan_group(t, g, s, false);
		for (unsigned round = 0; round < 3; round++)
			for (unsigned g = 0; g < WRITERS; g++)
				must(t, scan_group(t, g, s, round & 1) ==
						before[g]);
		lsm_snapshot_release(t->shared->db, s);
	}
	return NULL;
}

static void *maintenance_main(void *arg)
{
	struct thread *t = arg;
	const struct timespec pause = {.tv_nsec = 3000000};
	struct lsm_slice none = {0};
	struct lsm_stats stats;
	unsigned i = 0;

	while (!atomic_load(&t->shared->stop)) {
		must(t, !lsm_flush(t->shared->db));
		if (i % 4 == 1)
			must(t, !lsm_compact_range(t->shared->db, none, none));
		if (i % 4 == 2)
			must(t, !lsm_snapshot_create(t->shared->db, "n"));
		if (i % 4 == 3)
			must(t, !lsm_snapshot_delete(t->shared->db, "n"));
		if (i % 8 == 5)
			must(t, !lsm_verify(t->shared->db, NULL, NULL));
		lsm_get_stats(t->shared->db, &stats);
		must(t, !stats.background_error);
		nanosleep(&pause, NULL);
		i++;
	}
	return NULL;
}

static void start(struct thread *t, struct shared *shared, unsigned index,
		  void *(*fn)(void *))
{
	t->shared = shared;
	t->index = index;
	t->seed = index * 7919 + 1;
	ck_assert_int_eq(pthread_create(&t->id, NULL, fn, t), 0);
}

static struct lsm_options small_options(struct lsm_env *env,
					uint32_t blob_bytes)
{
	return (struct lsm_options){
		.env = env,
		.write_buffer_bytes = 32768,
		.memory_bytes = 1 << 20,
		.block_bytes = 1024,
		.table_bytes = 8192,
		.level_base_bytes = 32768,
		.level_multiplier = 3,
		.compaction_threads = 2,
		.wal_sync_interval_ms = 5,
		.blob_bytes = blob_bytes,
		.blob_file_bytes = 8192,
	};
}

START_TEST(batches_stay_whole_whatever_runs_beside)
{
	struct lsm_env *env = env_fault_new();
	/* In the tree, in blob files, and written there by the writers. */
	struct lsm_options o = small_options(env, _i ? 100 - 20 * _i : 0);
	struct thread writers[WRITERS], readers[2], snapshots, maintenance;
	struct shared shared = {0};
	struct thread check = {.shared = &shared};

	if (_i == 2)
		o.blob_direct_bytes = 500;
	ck_ok(lsm_open("/store", &o, &shared.db));
	for (unsigned i = 0; i < WRITERS; i++)
		start(&writers[i], &shared, i, writer_main);
	for (unsigned i = 0; i < 2; i++)
		start(&readers[i], &shared, 10 + i, reader_main);
	start(&snapshots, &shared, 20, snapshot_main);
	start(&maintenance, &shared, 30, maintenance_main);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].id, NULL);
	atomic_store(&shared.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(readers[i].id, NULL);
	pthread_join(snapshots.id, NULL);
	pthread_join(maintenance.id, NULL);
	ck_assert_int_eq(atomic_load(&shared.failures), 0);
	ck_ok(lsm_close(shared.db));
	ck_ok(lsm_open("/store", &o, &shared.db));
	for (unsigned g = 0; g < WRITERS; g++)
		ck_assert_uint_eq(scan_group(&check, g, NULL, false), ROUNDS);
	ck_ok(lsm_close(shared.db));
	env_fault_free(env);
}
END_TEST

#define SYNC_WRITERS 4
#define SYNC_ROUNDS  100

static void *sync_writer_main(void *arg)
{
	struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();
	struct thread *t = arg;
	char key[24];

	for (unsigned i = 0; i < SYNC_ROUNDS; i++) {
		lsm_batch_clear(b);
		must(t, !lsm_batch_put(b, group_key(key, t->index, i),
				       slice_of("durable")));
		must(t, !lsm_write(t->shared->db, b, &wo));
	}
	lsm_batch_free(b);
	return NULL;
}

/* On a real disk, whose syncs take time. */
START_TEST(writers_that_wait_for_the_disk_share_its_syncs)
{
	struct lsm_options o = {.wal_sync_interval_ms = UINT32_MAX};
	struct thread writers[SYNC_WRITERS];
	struct shared shared = {0};
	struct lsm_stats stats;
	char path[64] = "/var/tmp/lsm-db-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_ok(lsm_open(path, &o, &shared.db));
	for (unsigned i = 0; i < SYNC_WRITERS; i++)
		start(&writers[i], &shared, i, sync_writer_main);
	for (unsigned i = 0; i < SYNC_WRITERS; i++)
		pthread_join(writers[i].id, NULL);
	ck_assert_int_eq(atomic_load(&shared.failures), 0);
	lsm_get_stats(shared.db, &stats);
	printf("# %llu writes shared %llu syncs\n",
	       (unsigned long long)stats.writes,
	       (unsigned long long)stats.wal_syncs);
	ck_assert_uint_eq(stats.writes, SYNC_WRITERS * SYNC_ROUNDS);
	ck_assert_uint_lt(stats.wal_syncs, stats.writes);
	ck_ok(lsm_close(shared.db));
	test_dir_remove(path);
}
END_TEST

static void *filler_main(void *arg)
{
	struct thread *t = arg;
	char key[24], value[1000] = {0};

	for (unsigned i = 0; i < 3000; i++)
		must(t,
		     !lsm_put(t->shared->db, group_key(key, t->index, i % 1000),
			      lsm_slice(value, sizeof(value))));
	return NULL;
}

/* Far more is written than fits into memory: writers wait, and the wait ends
 * by itself. */
START_TEST(stalled_writers_go_on_when_the_tree_has_caught_up)
{
	struct lsm_env *env = env_fault_new();
	struct lsm_options o = small_options(env, _i ? 100 : 0);
	struct thread fillers[2];
	struct shared shared = {0};
	struct lsm_stats stats;

	o.write_buffer_count = 2;
	o.level0_compact_trigger = 2;
	o.level0_slowdown = 3;
	o.level0_stop = 5;
	ck_ok(lsm_open("/store", &o, &shared.db));
	for (unsigned i = 0; i < 2; i++)
		start(&fillers[i], &shared, i, filler_main);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(fillers[i].id, NULL);
	ck_assert_int_eq(atomic_load(&shared.failures), 0);
	ck_ok(lsm_wait_idle(shared.db));
	lsm_get_stats(shared.db, &stats);
	ck_assert_uint_lt(stats.level_tables[0], 5);
	ck_assert_uint_gt(stats.compactions + stats.trivial_moves, 0);
	ck_assert_uint_gt(stats.stall_ns, 0);
	ck_ok(lsm_close(shared.db));
	env_fault_free(env);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db concurrency");
	TCase *t = tcase_create("threads");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, batches_stay_whole_whatever_runs_beside, 0, 3);
	tcase_add_test(t, writers_that_wait_for_the_disk_share_its_syncs);
	tcase_add_loop_test(
		t, stalled_writers_go_on_when_the_tree_has_caught_up, 0, 2);
	suite_add_tcase(s, t);
	return run_suite(s);
}
