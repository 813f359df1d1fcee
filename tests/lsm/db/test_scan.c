/* SPDX-License-Identifier: MIT */
/*
 * test_scan.c - scans of which the coming blocks are read beside them: of
 * tables, and of blob files that the tables point into.
 */
#include "tests/lsm/db/db_check.h"

#define KEYS        3000
#define VALUE_BYTES 3000

static struct lsm_env *env;
static struct lsm_options options;
static struct log_text said;
static struct lsm_db *db;

static struct lsm_slice value_of(unsigned i, unsigned round, uint64_t *out)
{
	uint64_t seed = i * 10 + round;

	for (unsigned j = 0; j < VALUE_BYTES / 8; j++)
		out[j] = j % 3 ? rnd(&seed) : 0;
	return lsm_slice(out, VALUE_BYTES - i % 50);
}

/* The last round that writes key i. */
static unsigned round_of(unsigned i)
{
	return i % 7 ? (i % 3 ? 0 : 1) : 2;
}

static void open_store(void)
{
	ck_ok(lsm_open("/s", &options, &db));
}

/* Three rounds, so that values of neighbouring keys lie in several files. */
static void make_store(bool blobs, bool compacted)
{
	uint64_t value[VALUE_BYTES / 8];
	char key[16];

	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	options = (struct lsm_options){.env = env,
				       .memory_bytes = 64 << 20,
				       .write_buffer_bytes = 16 << 20,
				       .mmap = LSM_MMAP_OFF,
				       .blob_bytes = blobs ? 1000 : 0,
				       .no_background_compaction = true};
	log_text_use(&said, &options);
	open_store();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < KEYS; i++)
			if (round_of(i) >= round &&
			    (!round || round_of(i) == round))
				ck_ok(lsm_put(db, model_key(key, i),
					      value_of(i, round, value)));
		ck_ok(lsm_flush(db));
	}
	if (compacted)
		ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0),
					lsm_slice(NULL, 0)));
	ck_ok(lsm_close(db));
	open_store();
}

static void remove_store(void)
{
	ck_ok(lsm_close(db));
	env_fault_free(env);
}

static void check_value(struct lsm_iter *it, unsigned i)
{
	uint64_t value[VALUE_BYTES / 8];
	struct lsm_slice want = value_of(i, round_of(i), value);
	struct lsm_slice k = lsm_iter_key(it), v = lsm_iter_value(it);
	char key[16];

	ck_assert(k.len == model_key(key, i).len &&
		  !memcmp(k.data, key, k.len));
	ck_ok(lsm_iter_error(it));
	ck_assert_uint_eq(v.len, want.len);
	ck_assert(!memcmp(v.data, want.data, v.len));
}

static struct lsm_iter *make_iter(bool no_fill)
{
	struct lsm_iter_options o = {.no_fill_cache = no_fill};
	struct lsm_iter *it;

	ck_ok(lsm_iter_new(db, &o, &it));
	return it;
}

START_TEST(scan_either_way_shows_all_with_few_reads)
{
	bool blobs = _i & 1, no_fill = _i & 2, compacted = _i & 4;

	for (unsigned back = 0; back < 2; back++) {
		uint64_t before;
		struct lsm_iter *it;
		unsigned n = 0;
		int r;

		make_store(blobs, compacted);
		env_fault_count_reads(env, true);
		it = make_iter(no_fill);
		before = env_fault_calls(env);
		for (r = back ? lsm_iter_last(it) : lsm_iter_first(it); !r;
		     r = back ? lsm_iter_prev(it) : lsm_iter_next(it)) {
			check_value(it, back ? KEYS - 1 - n : n);
			n++;
		}
		ck_assert_int_eq(r, LSM_END);
		ck_assert_uint_eq(n, KEYS);
		lsm_iter_free(it);
		/* block by block it would be one for each value in a table,
		 * and for every ten in blob files */
		ck_assert_uint_lt(env_fault_calls(env) - before,
				  blobs ? KEYS / 10 : KEYS / 20);
		remove_store();
	}
}
END_TEST

START_TEST(moves_of_every_sort_show_what_is_there)
{
	uint64_t seed = test_seed(70);
	struct lsm_iter *it;
	unsigned at = 0;

	make_store(true, _i & 1);
	it = make_iter(_i & 2);
	for (unsigned move = 0; move < 60; move++) {
		char key[16];
		unsigned steps = rnd_below(&seed, 200);
		bool back = rnd_below(&seed, 2);

		at = rnd_below(&seed, KEYS);
		ck_ok(rnd_below(&seed, 2)
			      ? lsm_iter_seek(it, model_key(key, at))
			      : lsm_iter_seek_for_prev(it, model_key(key, at)));
		while (steps--) {
			int r;

			if (rnd_below(&seed, 4))
				check_value(it, at);
			if (rnd_below(&seed, 50) == 0)
				back = !back;
			r = back ? lsm_iter_prev(it) : lsm_iter_next(it);
			if (at == (back ? 0 : KEYS - 1)) {
				ck_assert_int_eq(r, LSM_END);
				break;
			}
			ck_ok(r);
			at += back ? -1u : 1;
		}
	}
	lsm_iter_free(it);
	remove_store();
}
END_TEST

/* How many lines of the log speak of damage. */
static unsigned count_said(const char *part)
{
	unsigned n = 0;

	pthread_mutex_lock(&said.mutex);
	for (const char *p = said.text; (p = strstr(p, part)); p++)
		n++;
	pthread_mutex_unlock(&said.mutex);
	return n;
}

static void find_blob(char name[64])
{
	/* the largest of the files, which has most of the values */
	for (unsigned n = 1; n < 40; n++) {
		snprintf(name, 64, "/s/%06u.blob", n);
		if (!env_fault_corrupt(env, name, 1 << 20, 0))
			return;
	}
	ck_abort_msg("no blob file");
}

START_TEST(damaged_value_shows_when_it_is_reached_and_not_before)
{
	bool back = _i & 1;
	struct lsm_pin pin = {0};
	struct lsm_iter *it;
	char name[64], key[16];
	unsigned first = KEYS, n = 0;
	int r;

	make_store(true, false);
	find_blob(name);
	ck_ok(env_fault_corrupt(env, name, 1 << 20, 0x20));
	/* who is damaged, one by one */
	for (unsigned i = 0; i < KEYS && first == KEYS; i++)
		if (lsm_get(db, NULL, model_key(key, back ? KEYS - 1 - i : i),
			    &pin))
			first = i;
	lsm_unpin(&pin);
	ck_assert_uint_gt(first, 20);
	ck_assert_uint_lt(first, KEYS - 20);
	ck_ok(lsm_close(db));
	open_store();
	said.text[0] = 0;
	it = make_iter(_i & 2);
	for (r = back ? lsm_iter_last(it) : lsm_iter_first(it); !r;
	     r = back ? lsm_iter_prev(it) : lsm_iter_next(it)) {
		if (n == first)
			break;
		check_value(it, back ? KEYS - 1 - n : n);
		n++;
		ck_assert_uint_eq(count_said("checksum"), 0);
	}
	ck_ok(r);
	ck_assert_uint_eq(lsm_iter_value(it).len, 0);
	ck_assert_int_eq(lsm_iter_error(it), -EUCLEAN);
	ck_assert_int_eq(back ? lsm_iter_prev(it) : lsm_iter_next(it),
			 -EUCLEAN);
	ck_assert_uint_eq(count_said("checksum"), 1);
	lsm_iter_free(it);
	remove_store();
}
END_TEST

START_TEST(refused_reads_end_a_scan_or_change_nothing)
{
	unsigned failed = 0, completed = 0;

	make_store(true, false);
	env_fault_count_reads(env, true);
	for (unsigned nth = 0; nth < 30; nth++) {
		struct lsm_iter *it = make_iter(true);
		unsigned n = 0;
		int r;

		env_fault_fail_at(env, env_fault_calls(env) + nth, -EIO, _i);
		for (r = lsm_iter_first(it); !r; r = lsm_iter_next(it)) {
			if (!lsm_iter_value(it).data)
				ck_assert_int_eq(lsm_iter_error(it), -EIO);
			else
				check_value(it, n++);
		}
		env_fault_clear(env);
		ck_assert(r == LSM_END || r == -EIO);
		if (r == LSM_END) {
			ck_assert_uint_eq(n, KEYS);
			completed++;
		} else {
			failed++;
		}
		lsm_iter_free(it);
	}
	ck_assert_uint_gt(failed, 0);
	if (!_i) /* a read beside the scan is done again by it */
		ck_assert_uint_gt(completed, 10);
	remove_store();
}
END_TEST

START_TEST(scans_given_up_and_stores_closed_leave_nothing_behind)
{
	make_store(true, false);
	for (unsigned i = 0; i < 40; i++) {
		struct lsm_iter *it = make_iter(i & 1);
		struct lsm_stats s;

		ck_ok(i & 2 ? lsm_iter_last(it) : lsm_iter_first(it));
		for (unsigned n = 0; n < i * 8; n++) {
			check_value(it, i & 2 ? KEYS - 1 - n : n);
			ck_ok(i & 2 ? lsm_iter_prev(it) : lsm_iter_next(it));
		}
		lsm_iter_free(it);
		lsm_get_stats(db, &s);
		ck_assert_uint_le(s.memory_bytes, options.memory_bytes);
		if (i % 5 == 0) {
			ck_ok(lsm_close(db));
			open_store();
		}
	}
	remove_store();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("scan");
	TCase *t = tcase_create("scan");

	tcase_set_timeout(t, 180);
	tcase_add_loop_test(t, scan_either_way_shows_all_with_few_reads, 0, 8);
	tcase_add_loop_test(t, moves_of_every_sort_show_what_is_there, 0, 4);
	tcase_add_loop_test(
		t, damaged_value_shows_when_it_is_reached_and_not_before, 0, 4);
	tcase_add_loop_test(t, refused_reads_end_a_scan_or_change_nothing, 0,
			    2);
	tcase_add_test(t,
		       scans_given_up_and_stores_closed_leave_nothing_behind);
	suite_add_tcase(s, t);
	return run_suite(s);
}
