/* SPDX-License-Identifier: MIT */
/*
 * test_events.c - what the listener of a store is told: pairs in order, with
 * figures that agree with lsm_get_stats(), and a listener may call the store.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/lsm/db/db_check.h"

static char path[64];
static struct lsm_options options;
static const struct lsm_slice none;

#define HEARD_MAX 4096
/* The queue holds as many. */
#define EVENTS_KEPT 256

static struct heard {
	pthread_mutex_t mutex;
	struct lsm_event event[HEARD_MAX];
	unsigned count, lost;
	struct lsm_db *_Atomic db; /* to be called from the listener */
	_Atomic unsigned slow_us;
} heard;

static void hear(void *arg, const struct lsm_event *e)
{
	struct heard *h = arg;
	struct lsm_db *db = atomic_load(&h->db);
	struct lsm_stats st;

	pthread_mutex_lock(&h->mutex);
	if (h->count < HEARD_MAX)
		h->event[h->count++] = *e;
	h->lost += e->lost;
	pthread_mutex_unlock(&h->mutex);
	usleep(atomic_load(&h->slow_us));
	if (db) {
		/* no lock of the store is held here */
		lsm_get_stats(db, &st);
		ck_ok(lsm_put(db, slice_of("from the listener"),
			      slice_of("x")));
	}
}

static void setup(void)
{
	test_dir_make(path);
	memset(&heard, 0, sizeof(heard));
	pthread_mutex_init(&heard.mutex, NULL);
	options = (struct lsm_options){
		.write_buffer_bytes = 1 << 16,
		.table_bytes = 1 << 16,
		.level_base_bytes = 1 << 17,
		.event_fn = hear,
		.event_arg = &heard,
	};
}

static void teardown(void)
{
	test_dir_remove(path);
}

static void fill(struct lsm_db *db, unsigned count)
{
	char key[16], value[8192];

	for (unsigned i = 0; i < count; i++)
		ck_ok(lsm_put(db, model_key(key, i * 7919 % 5000),
			      model_value(value, i + 1)));
}

static unsigned count_kind(enum lsm_event_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < heard.count; i++)
		n += heard.event[i].kind == kind;
	return n;
}

START_TEST(flushes_and_compactions_are_told_in_pairs_with_true_figures)
{
	uint64_t flushed = 0, written = 0, read = 0, last = 0;
	unsigned moved = 0, merged = 0;
	struct lsm_stats st;
	struct lsm_db *db;
	int open = 0;

	ck_ok(lsm_open(path, &options, &db));
	fill(db, 20000);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_wait_idle(db));
	lsm_get_stats(db, &st);
	ck_ok(lsm_close(db));

	/* after lsm_close() nothing is told any more: no lock needed */
	ck_assert_uint_eq(heard.lost, 0);
	for (unsigned i = 0; i < heard.count; i++) {
		const struct lsm_event *e = &heard.event[i];

		ck_assert_uint_ge(e->time_ns, last);
		last = e->time_ns;
		if (e->kind == LSM_EVENT_FLUSH_BEGIN) {
			ck_assert_int_eq(open++, 0);
			ck_assert_uint_ge(e->tables_in, 1);
			ck_assert_uint_gt(e->bytes_in, 0);
		} else if (e->kind == LSM_EVENT_FLUSH_END) {
			ck_assert_int_eq(--open, 0);
			ck_assert_int_eq(e->error, 0);
			ck_assert_uint_eq(e->tables_out, 1);
			ck_assert_uint_gt(e->duration_ns, 0);
			flushed += e->bytes_out;
		} else if (e->kind == LSM_EVENT_COMPACTION_BEGIN) {
			ck_assert_uint_lt(e->level, LSM_LEVELS);
			ck_assert_uint_lt(e->output_level, LSM_LEVELS);
			ck_assert_uint_ge(e->tables_in, 1);
		} else if (e->kind == LSM_EVENT_COMPACTION_END) {
			ck_assert_int_eq(e->error, 0);
			ck_assert_uint_gt(e->duration_ns, 0);
			moved += !e->bytes_out;
			merged += e->bytes_out != 0;
			read += e->bytes_out ? e->bytes_in : 0;
			written += e->bytes_out;
		}
	}
	ck_assert_int_eq(open, 0);
	ck_assert_uint_eq(count_kind(LSM_EVENT_FLUSH_END), st.flushes);
	ck_assert_uint_eq(flushed, st.flush_written_bytes);
	ck_assert_uint_eq(moved, st.trivial_moves);
	ck_assert_uint_eq(merged, st.compactions);
	ck_assert_uint_eq(written, st.compact_written_bytes);
	ck_assert_uint_eq(read, st.compact_read_bytes);
	ck_assert_uint_eq(count_kind(LSM_EVENT_COMPACTION_BEGIN),
			  moved + merged);
	ck_assert_uint_gt(merged, 0);
}
END_TEST

START_TEST(listener_may_call_the_store)
{
	struct lsm_pin pin = {0};
	struct lsm_db *db;

	ck_ok(lsm_open(path, &options, &db));
	atomic_store(&heard.db, db);
	fill(db, 5000);
	ck_ok(lsm_flush(db));
	for (int i = 0; i < 2000; i++) {
		if (!lsm_get(db, NULL, slice_of("from the listener"), &pin))
			break;
		usleep(1000);
	}
	ck_assert_uint_eq(pin.len, 1);
	lsm_unpin(&pin);
	atomic_store(&heard.db, NULL);
	ck_ok(lsm_close(db));
}
END_TEST

static unsigned heard_so_far(void)
{
	unsigned n;

	pthread_mutex_lock(&heard.mutex);
	n = heard.count;
	pthread_mutex_unlock(&heard.mutex);
	return n;
}

/* More than the queue holds; how many are missing is said. */
START_TEST(slow_listener_delays_nobody_and_is_told_what_it_missed)
{
	struct lsm_stats st;
	struct lsm_db *db;
	char key[16];

	heard.slow_us = 20000;
	options.no_background_compaction = true;
	options.level0_slowdown = options.level0_stop = 1 << 16;
	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < 300; i++) {
		ck_ok(lsm_put(db, model_key(key, i), slice_of("v")));
		ck_ok(lsm_flush(db));
	}
	/* the listener cannot have heard them all by now: nobody waited */
	heard.slow_us = 0;
	ck_ok(lsm_put(db, slice_of("k"), slice_of("v")));
	while (heard_so_far() < EVENTS_KEPT)
		usleep(1000);
	ck_ok(lsm_flush(db));
	lsm_get_stats(db, &st);
	ck_ok(lsm_close(db));
	ck_assert_uint_eq(heard.count + heard.lost, 2 * st.flushes);
	ck_assert_uint_gt(heard.lost, 0);
}
END_TEST

START_TEST(stalls_begin_and_end_in_turn)
{
	unsigned stalls;
	struct lsm_db *db;
	bool on = false;

	options.level0_compact_trigger = 2;
	options.level0_slowdown = 2;
	options.level0_stop = 4;
	options.rate_limit_bytes = 1 << 20; /* compaction falls behind */
	ck_ok(lsm_open(path, &options, &db));
	fill(db, 30000);
	ck_ok(lsm_wait_idle(db));
	/* what ends it is the last compaction, or the next write */
	fill(db, 100);
	ck_ok(lsm_wait_idle(db));
	ck_ok(lsm_close(db));
	for (unsigned i = 0; i < heard.count; i++) {
		const struct lsm_event *e = &heard.event[i];

		if (e->kind == LSM_EVENT_STALL_BEGIN) {
			ck_assert(!on);
			on = true;
		} else if (e->kind == LSM_EVENT_STALL_END) {
			ck_assert(on);
			ck_assert_uint_gt(e->duration_ns, 0);
			on = false;
		}
	}
	stalls = count_kind(LSM_EVENT_STALL_BEGIN);
	ck_assert_uint_gt(stalls, 0);
	ck_assert(!on);
}
END_TEST

START_TEST(full_disk_and_resume_are_told)
{
	struct lsm_env *env = env_fault_new();
	struct lsm_db *db;
	char key[16];
	int r = 0;

	options.env = env;
	ck_ok(lsm_open("/store", &options, &db));
	env_fault_fail_at(env, env_fault_calls(env), -ENOSPC, true);
	for (unsigned i = 0; i < 1000 && !r; i++)
		r = lsm_put(db, model_key(key, i), slice_of("value"));
	if (!r)
		r = lsm_sync(db);
	ck_assert_int_eq(r, -ENOSPC);
	env_fault_clear(env);
	ck_ok(lsm_resume(db));
	ck_ok(lsm_put(db, slice_of("k"), slice_of("v")));
	ck_ok(lsm_close(db));
	env_fault_free(env);
	ck_assert_uint_eq(count_kind(LSM_EVENT_BACKGROUND_ERROR), 1);
	ck_assert_uint_eq(count_kind(LSM_EVENT_RESUME), 1);
	for (unsigned i = 0; i < heard.count; i++)
		if (heard.event[i].kind == LSM_EVENT_BACKGROUND_ERROR)
			ck_assert_int_eq(heard.event[i].error, -ENOSPC);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(
		t, flushes_and_compactions_are_told_in_pairs_with_true_figures);
	tcase_add_test(t, listener_may_call_the_store);
	tcase_add_test(t,
		       slow_listener_delays_nobody_and_is_told_what_it_missed);
	tcase_add_test(t, stalls_begin_and_end_in_turn);
	tcase_add_test(t, full_disk_and_resume_are_told);
	suite_add_tcase(s, t);
	return run_suite(s);
}
