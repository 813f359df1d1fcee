/* SPDX-License-Identifier: MIT */
/*
 * test_checkpoint.c - the promises of lsm_checkpoint(): complete, a prefix of
 * the history while writers run, independent of the store it came from, and
 * all or nothing when the disk fails or the power goes.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/lsm/db/script.h"

static char path[64], copy[80];
static struct lsm_options options;
static struct log_text said;

static void setup(void)
{
	test_dir_make(path);
	snprintf(copy, sizeof(copy), "%s-copy", path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 16,
				       .table_bytes = 1 << 16,
				       .level_base_bytes = 1 << 17};
	log_text_use(&said, &options);
}

static void teardown(void)
{
	test_dir_remove(path);
	test_dir_remove(copy);
}

static void put(struct lsm_db *db, unsigned i, uint32_t v)
{
	char key[16], value[8192];

	ck_ok(lsm_put(db, model_key(key, i), model_value(value, v)));
}

static struct lsm_db *open_copy(void)
{
	struct lsm_options o = options;
	struct lsm_db *db;

	o.no_create = true;
	ck_ok(lsm_open(copy, &o, &db));
	return db;
}

START_TEST(checkpoint_is_a_store_of_its_own)
{
	const struct lsm_snapshot *named;
	struct model m = {.keys = 300}, old;
	struct lsm_db *db, *other;

	ck_ok(lsm_open(path, &options, &db));
	for (uint32_t v = 1; v <= 3000; v++) {
		put(db, v * 7 % 300, v);
		m.value[v * 7 % 300] = v;
		if (v == 1000) {
			ck_ok(lsm_snapshot_create(db, "then"));
			old = m;
		}
	}
	ck_ok(lsm_checkpoint(db, copy));
	/* the two go their own ways */
	for (unsigned i = 0; i < 300; i++)
		put(db, i, 77777);
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	other = open_copy();
	model_check_scan(other, NULL, &m);
	model_check_gets(other, NULL, &m);
	ck_ok(lsm_snapshot_open(other, "then", &named));
	model_check_scan(other, named, &old);
	lsm_snapshot_release(other, named);
	ck_ok(lsm_verify(other, NULL, NULL));
	put(other, 5, 123);
	m.value[5] = 123;
	ck_ok(lsm_snapshot_delete(other, "then"));
	ck_ok(lsm_compact_range(other, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	model_check_scan(other, NULL, &m);
	ck_ok(lsm_close(other));
	/* what the copy did is nothing to the original */
	for (unsigned i = 0; i < 300; i++)
		m.value[i] = 77777;
	model_check_scan(db, NULL, &m);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
}
END_TEST

START_TEST(directory_that_is_not_empty_is_refused_and_left_alone)
{
	struct lsm_options read_only = options;
	char name[128], found[512];
	struct lsm_db *db;
	FILE *f;

	ck_ok(lsm_open(path, &options, &db));
	put(db, 1, 1);
	ck_assert_int_eq(lsm_checkpoint(db, path), -EEXIST);
	ck_assert_int_eq(lsm_checkpoint(db, ""), -EINVAL);
	ck_assert_int_eq(lsm_checkpoint(db, "/nonexistent/deep/er"), -ENOENT);
	ck_assert_int_eq(mkdir(copy, 0700), 0);
	snprintf(name, sizeof(name), "%s/letter", copy);
	f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert_int_eq(lsm_checkpoint(db, copy), -ENOTEMPTY);
	ck_assert(log_text_has(&said, "no checkpoint was made"));
	ck_assert(!test_dir_find(copy, ".sst", found));
	ck_assert(!test_dir_find(copy, "LOCK", found));
	unlink(name);
	/* now it is empty */
	ck_ok(lsm_checkpoint(db, copy));
	ck_assert_int_eq(lsm_checkpoint(db, copy), -EEXIST);
	ck_ok(lsm_close(db));
	read_only.read_only = true;
	ck_ok(lsm_open(path, &read_only, &db));
	ck_assert_int_eq(lsm_checkpoint(db, "/tmp/never"), -EROFS);
	ck_ok(lsm_close(db));
}
END_TEST

START_TEST(empty_store_has_an_empty_checkpoint)
{
	struct model m = {.keys = 10};
	struct lsm_db *db, *other;

	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_checkpoint(db, copy));
	ck_ok(lsm_close(db));
	other = open_copy();
	model_check_scan(other, NULL, &m);
	ck_ok(lsm_close(other));
}
END_TEST

/* ---- beside writers ---- */

#define WRITERS      2
#define BATCH_KEYS   8
#define RUNNING_KEYS 256

struct writer {
	struct lsm_db *db;
	pthread_t thread;
	char letter;
	_Atomic uint32_t acked;
	_Atomic bool *stop;
};

static struct lsm_slice writer_key(char buf[16], char letter, unsigned i)
{
	return lsm_slice(buf, (size_t)snprintf(buf, 16, "%c%03u", letter, i));
}

/* Batch n puts n under BATCH_KEYS keys of the writer that n chooses, and under
 * its mark: the store tells by itself up to where the writer's history goes. */
static void *writer_main(void *arg)
{
	struct writer *w = arg;
	char key[16], mark[2] = {w->letter, 0}, value[8192];
	struct lsm_batch *b = lsm_batch_new();

	for (uint32_t n = 1; !atomic_load(w->stop); n++) {
		lsm_batch_clear(b);
		for (unsigned i = 0; i < BATCH_KEYS; i++)
			ck_ok(lsm_batch_put(
				b,
				writer_key(key, w->letter,
					   (n * BATCH_KEYS + i) % RUNNING_KEYS),
				model_value(value, n)));
		ck_ok(lsm_batch_put(b, slice_of(mark), lsm_slice(&n, 4)));
		ck_ok(lsm_write(w->db, b, NULL));
		atomic_store(&w->acked, n);
	}
	lsm_batch_free(b);
	return NULL;
}

/* All batches up to the mark are there, and nothing of a later one. */
static void check_writer(struct lsm_db *db, char letter, uint32_t at_least)
{
	char mark[2] = {letter, 0}, key[16];
	struct lsm_pin pin = {0};
	uint32_t last;

	ck_ok(lsm_get(db, NULL, slice_of(mark), &pin));
	memcpy(&last, pin.data, 4);
	ck_assert_uint_ge(last, at_least);
	for (uint32_t n = last; n && last - n < RUNNING_KEYS / BATCH_KEYS; n--)
		for (unsigned i = 0; i < BATCH_KEYS; i++) {
			ck_ok(lsm_get(
				db, NULL,
				writer_key(key, letter,
					   (n * BATCH_KEYS + i) % RUNNING_KEYS),
				&pin));
			ck_assert_uint_eq(
				model_number(lsm_slice(pin.data, pin.len)), n);
		}
	lsm_unpin(&pin);
}

START_TEST(checkpoint_beside_writers_holds_a_prefix_with_whole_batches)
{
	struct writer w[WRITERS] = {0};
	_Atomic bool stop = false;
	uint32_t before[WRITERS];
	struct lsm_db *db, *other;

	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){
			.db = db, .letter = (char)('a' + i), .stop = &stop};
		ck_assert_int_eq(
			pthread_create(&w[i].thread, NULL, writer_main, &w[i]),
			0);
	}
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < WRITERS; i++)
			while (atomic_load(&w[i].acked) < 200 * (round + 1))
				usleep(1000);
		for (unsigned i = 0; i < WRITERS; i++)
			before[i] = atomic_load(&w[i].acked);
		ck_ok(lsm_checkpoint(db, copy));
		other = open_copy();
		for (unsigned i = 0; i < WRITERS; i++)
			check_writer(other, w[i].letter, before[i]);
		ck_ok(lsm_verify(other, NULL, NULL));
		ck_ok(lsm_close(other));
		test_dir_remove(copy);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
}
END_TEST

/* ---- the disk fails ---- */

#define COPY_PATH "/copy"

/* Makes the same store on a fresh disk, open. */
static void make_store(struct script *s)
{
	script_init(s, 4711, 60);
	ck_ok(script_run(s));
	ck_assert_ptr_nonnull(s->db);
}

/* What lies at COPY_PATH: nothing that opens, or everything. */
static bool check_copy(struct script *s, uint64_t call)
{
	struct lsm_options o = s->options;
	struct lsm_db *db;
	int r;

	o.no_create = true;
	r = lsm_open(COPY_PATH, &o, &db);
	if (r) {
		ck_assert_msg(r == -ENOENT || r == -ENOTEMPTY,
			      "call %llu: the copy's open gives %d",
			      (unsigned long long)call, r);
		return false;
	}
	script_check_state(s, db, NULL, s->acked);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	return true;
}

START_TEST(power_loss_leaves_a_whole_checkpoint_or_none)
{
	static const enum env_fault_keep keep[] = {ENV_KEEP_NONE, ENV_KEEP_ALL,
						   ENV_KEEP_RANDOM,
						   ENV_KEEP_SHUFFLED};
	struct script *s = malloc(sizeof(*s));
	unsigned whole = 0, none = 0;
	uint64_t nth, now;
	bool off = true;
	int r;

	ck_assert_ptr_nonnull(s);
	for (nth = 0; off; nth++) {
		make_store(s);
		now = env_fault_calls(s->env);
		env_fault_power_off_at(s->env, now + nth);
		r = lsm_checkpoint(s->db, COPY_PATH);
		off = env_fault_is_off(s->env);
		if (!off)
			ck_ok(r);
		lsm_close(s->db); /* fails when the power is off */
		env_fault_restart(s->env, keep[_i], _i >= 2, nth);
		if (check_copy(s, nth))
			whole++;
		else
			none++;
		/* 0 promises that it is durable */
		if (!r)
			ck_assert(check_copy(s, nth));
		ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
		script_check_state(s, s->db, NULL, script_mark(s->db, NULL));
		ck_ok(lsm_close(s->db));
		script_release(s);
	}
	ck_assert_uint_gt(none, 5);
	ck_assert_uint_gt(whole, 0);
	free(s);
}
END_TEST

START_TEST(refused_call_leaves_no_store_and_the_next_try_succeeds)
{
	struct script *s = malloc(sizeof(*s));
	uint64_t nth, now;
	unsigned refused = 0;
	bool reached = true;
	int r;

	ck_assert_ptr_nonnull(s);
	for (nth = 0; reached; nth++) {
		make_store(s);
		now = env_fault_calls(s->env);
		env_fault_fail_at(s->env, now + nth, -ENOSPC, false);
		r = lsm_checkpoint(s->db, COPY_PATH);
		reached = env_fault_calls(s->env) > now + nth;
		env_fault_clear(s->env);
		if (r) {
			refused++;
			ck_assert(!check_copy(s, nth));
			if (lsm_background_error(s->db))
				ck_ok(lsm_resume(s->db));
			ck_ok(lsm_checkpoint(s->db, COPY_PATH));
		}
		ck_assert(check_copy(s, nth));
		ck_ok(lsm_close(s->db));
		script_release(s);
	}
	ck_assert_uint_gt(refused, 8);
	free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("checkpoint");
	TCase *t = tcase_create("posix"), *f = tcase_create("fault");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, checkpoint_is_a_store_of_its_own);
	tcase_add_test(t,
		       directory_that_is_not_empty_is_refused_and_left_alone);
	tcase_add_test(t, empty_store_has_an_empty_checkpoint);
	tcase_add_test(
		t, checkpoint_beside_writers_holds_a_prefix_with_whole_batches);
	suite_add_tcase(s, t);
	tcase_set_timeout(f, 300);
	tcase_add_loop_test(f, power_loss_leaves_a_whole_checkpoint_or_none, 0,
			    4);
	tcase_add_test(f,
		       refused_call_leaves_no_store_and_the_next_try_succeeds);
	suite_add_tcase(s, f);
	return run_suite(s);
}
