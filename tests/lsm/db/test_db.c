/* SPDX-License-Identifier: MIT */
/*
 * test_db.c - the promises of lsm.h, one by one: opening, writing, reading,
 * iterators, snapshots, maintenance, looking into files.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "tests/lsm/db/db_check.h"

static char path[64];
static struct lsm_options options;
static struct log_text said;
static struct lsm_db *db;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 18};
	log_text_use(&said, &options);
	ck_ok(lsm_open(path, &options, &db));
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	test_dir_remove(path);
}

static void reopen(void)
{
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
}

static void put(const char *key, const char *value)
{
	ck_ok(lsm_put(db, slice_of(key), slice_of(value)));
}

static void delete_range(const char *start, const char *end)
{
	struct lsm_batch *b = lsm_batch_new();

	ck_ok(lsm_batch_delete_range(b, slice_of(start), slice_of(end)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

/* want NULL: not found. */
static void check(const struct lsm_snapshot *s, const char *key,
		  const char *want)
{
	struct lsm_pin pin = {0};
	int r = lsm_get(db, s, slice_of(key), &pin);

	ck_assert_int_eq(r, want ? 0 : LSM_NOTFOUND);
	if (want) {
		ck_assert_uint_eq(pin.len, strlen(want));
		ck_assert(!memcmp(pin.data, want, pin.len));
	}
	lsm_unpin(&pin);
}

/* All keys of a view, forward or backward, one after the other. */
static void check_keys(const struct lsm_iter_options *o, bool back,
		       const char *want)
{
	struct lsm_iter *it;
	char all[256] = "";
	int r;

	ck_ok(lsm_iter_new(db, o, &it));
	for (r = back ? lsm_iter_last(it) : lsm_iter_first(it); !r;
	     r = back ? lsm_iter_prev(it) : lsm_iter_next(it)) {
		struct lsm_slice k = lsm_iter_key(it);

		ck_assert_uint_lt(strlen(all) + k.len, sizeof(all));
		strncat(all, k.data, k.len);
	}
	ck_assert_int_eq(r, LSM_END);
	ck_assert(!lsm_iter_valid(it));
	ck_assert_str_eq(all, want);
	lsm_iter_free(it);
}

/* ---- open ---- */

START_TEST(what_was_put_is_there_after_reopen)
{
	put("a", "1");
	put("b", "");
	reopen();
	check(NULL, "a", "1");
	check(NULL, "b", "");
	ck_ok(lsm_flush(db));
	reopen();
	check(NULL, "a", "1");
	check(NULL, "b", "");
	check(NULL, "c", NULL);
}
END_TEST

START_TEST(store_is_opened_once)
{
	struct lsm_db *second;

	ck_assert_int_eq(lsm_open(path, &options, &second), -EBUSY);
	ck_assert_ptr_null(second);
	ck_assert(log_text_has(&said, "in use by process"));
}
END_TEST

START_TEST(open_modes_are_obeyed)
{
	struct lsm_options o = options;
	char missing[80];
	struct lsm_db *other;

	snprintf(missing, sizeof(missing), "%s-none", path);
	o.no_create = true;
	ck_assert_int_eq(lsm_open(missing, &o, &other), -ENOENT);
	ck_assert_int_ne(access(missing, F_OK), 0);
	ck_assert_int_eq(mkdir(missing, 0700), 0);
	ck_assert_int_eq(lsm_open(missing, &o, &other), -ENOENT);
	test_dir_remove(missing);
	ck_assert_int_eq(lsm_open("", &o, &other), -EINVAL);

	ck_ok(lsm_close(db));
	o.no_create = false;
	o.error_if_exists = true;
	ck_assert_int_eq(lsm_open(path, &o, &other), -EEXIST);
	ck_ok(lsm_open(path, &options, &db));
}
END_TEST

START_TEST(foreign_directory_is_left_alone)
{
	char dir[80], file[120];
	struct lsm_db *other;
	int fd;

	snprintf(dir, sizeof(dir), "%s-foreign", path);
	snprintf(file, sizeof(file), "%s/letters.txt", dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(lsm_open(dir, &options, &other), -ENOTEMPTY);
	ck_assert(log_text_has(&said, "letters.txt"));
	ck_assert_int_eq(unlink(file), 0);
	/* not even a lock was left */
	ck_assert_int_eq(rmdir(dir), 0);

	ck_assert_int_eq(lsm_open("/dev/null", &options, &other), -ENOTDIR);
	/* an empty filesystem's own directory is no reason to refuse */
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	snprintf(file, sizeof(file), "%s/lost+found", dir);
	ck_assert_int_eq(mkdir(file, 0700), 0);
	ck_ok(lsm_open(dir, &options, &other));
	ck_ok(lsm_close(other));
	rmdir(file);
	test_dir_remove(dir);
}
END_TEST

static int add_name(void *arg, const char *name, uint64_t bytes)
{
	uint64_t *sum = arg;

	for (; *name; name++)
		*sum = *sum * 31 + (uint64_t)*name;
	*sum = *sum * 31 + bytes;
	return 0;
}

static uint64_t directory_sum(void)
{
	struct env_dir *dir;
	uint64_t sum = 0;

	ck_ok(env_dir_open(lsm_env_posix(), path, ENV_DIR_READ_ONLY, &dir));
	ck_ok(env_dir_list(dir, add_name, &sum));
	env_dir_close(dir);
	return sum;
}

START_TEST(read_only_changes_no_file_and_sees_all)
{
	struct lsm_options ro = options;
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_db *writer = db;
	uint64_t before;

	ro.read_only = true;
	put("a", "in a table");
	ck_ok(lsm_flush(db));
	/* The writer stays open: closing would empty the log. */
	put("b", "in the log");
	delete_range("c", "d");
	ck_ok(lsm_sync(db));
	before = directory_sum();

	ck_ok(lsm_open(path, &ro, &db));
	check(NULL, "a", "in a table");
	check(NULL, "b", "in the log");
	check_keys(NULL, true, "ba");
	ck_assert_int_eq(lsm_put(db, slice_of("a"), slice_of("x")), -EROFS);
	ck_assert_int_eq(lsm_write(db, b, NULL), -EROFS);
	ck_assert_int_eq(lsm_flush(db), -EROFS);
	ck_assert_int_eq(lsm_snapshot_create(db, "n"), -EROFS);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	ck_assert_uint_eq(directory_sum(), before);
	lsm_batch_free(b);
	db = writer;
}
END_TEST

START_TEST(closing_leaves_nothing_in_the_log)
{
	struct lsm_stats stats;

	put("a", "1");
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
	lsm_get_stats(db, &stats);
	ck_assert_uint_eq(stats.level_tables[0], 1);
	ck_assert_uint_eq(stats.flushes, 0);
	check(NULL, "a", "1");
}
END_TEST

/* ---- write and read ---- */

START_TEST(broken_rules_are_refused)
{
	static char big[LSM_KEY_MAX + 1];
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_pin pin = {0};
	struct lsm_slice empty = {0};

	ck_assert_int_eq(lsm_put(db, empty, slice_of("v")), -EINVAL);
	ck_assert_int_eq(lsm_put(db, lsm_slice(big, sizeof(big)), empty),
			 -EINVAL);
	ck_ok(lsm_put(db, lsm_slice(big, LSM_KEY_MAX), empty));
	ck_assert_int_eq(lsm_delete(db, empty), -EINVAL);
	ck_assert_int_eq(lsm_get(db, NULL, empty, &pin), -EINVAL);
	ck_assert_int_eq(lsm_batch_put(b, empty, empty), -EINVAL);
	ck_assert_int_eq(lsm_write(db, b, NULL), -EINVAL);
	lsm_batch_clear(b);
	ck_ok(lsm_write(db, b, NULL));
	ck_assert_int_eq(lsm_compact_range(db, slice_of("b"), slice_of("a")),
			 -EINVAL);
	ck_assert_int_eq(lsm_snapshot_create(db, ""), -EINVAL);
	lsm_batch_free(b);
}
END_TEST

START_TEST(later_operations_of_a_batch_win)
{
	struct lsm_batch *b = lsm_batch_new();

	put("x", "old");
	ck_ok(lsm_batch_put(b, slice_of("a"), slice_of("1")));
	ck_ok(lsm_batch_put(b, slice_of("a"), slice_of("2")));
	ck_ok(lsm_batch_delete_range(b, slice_of("x"), slice_of("z")));
	ck_ok(lsm_batch_put(b, slice_of("y"), slice_of("after")));
	ck_ok(lsm_batch_put(b, slice_of("b"), slice_of("1")));
	ck_ok(lsm_batch_delete(b, slice_of("b")));
	ck_ok(lsm_write(db, b, NULL));
	/* the same batch again is the same again */
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	for (unsigned i = 0; i < 3; i++) {
		check(NULL, "a", "2");
		check(NULL, "b", NULL);
		check(NULL, "x", NULL);
		check(NULL, "y", "after");
		if (i == 0)
			ck_ok(lsm_flush(db));
		if (i == 1)
			reopen();
	}
}
END_TEST

START_TEST(deleted_key_stays_deleted_after_compaction)
{
	struct lsm_slice none = {0};
	struct lsm_stats s;

	for (unsigned i = 0; i < 3; i++) {
		put("gone", "value");
		put("kept", "value");
		ck_ok(lsm_flush(db));
		ck_ok(lsm_delete(db, slice_of("gone")));
		ck_ok(lsm_flush(db));
		check(NULL, "gone", NULL);
	}
	ck_ok(lsm_compact_range(db, none, none));
	check(NULL, "gone", NULL);
	check(NULL, "kept", "value");
	lsm_get_stats(db, &s);
	ck_assert_uint_eq(s.deletions, 0);
	ck_assert_uint_eq(s.entries, 1);
}
END_TEST

static void check_exists_as_get(const struct lsm_snapshot *snapshot)
{
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned i = 0; i < 600; i++) {
		struct lsm_slice k = model_key(key, i);

		ck_assert_int_eq(lsm_exists(db, snapshot, k),
				 lsm_get(db, snapshot, k, &pin));
	}
	lsm_unpin(&pin);
	ck_assert_int_eq(lsm_exists(db, snapshot, lsm_slice(key, 0)), -EINVAL);
}

START_TEST(key_exists_when_it_can_be_read)
{
	const struct lsm_snapshot *snapshot;
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_slice none = {0};
	char key[16], key2[16];

	ck_assert_ptr_nonnull(b);
	for (unsigned i = 0; i < 500; i++)
		ck_ok(lsm_put(db, model_key(key, i), lsm_slice("v", 1)));
	check_exists_as_get(NULL);
	snapshot = lsm_snapshot_take(db);
	ck_assert_ptr_nonnull(snapshot);
	for (unsigned i = 0; i < 500; i += 3)
		ck_ok(lsm_delete(db, model_key(key, i)));
	ck_ok(lsm_batch_delete_range(b, model_key(key, 200),
				     model_key(key2, 300)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	for (int round = 0; round < 3; round++) {
		check_exists_as_get(NULL);
		check_exists_as_get(snapshot);
		ck_assert_int_eq(lsm_exists(db, NULL, model_key(key, 3)),
				 LSM_NOTFOUND);
		ck_assert_int_eq(lsm_exists(db, snapshot, model_key(key, 3)),
				 0);
		ck_assert_int_eq(lsm_exists(db, NULL, model_key(key, 250)),
				 LSM_NOTFOUND);
		if (round == 0)
			ck_ok(lsm_flush(db));
		else
			ck_ok(lsm_compact_range(db, none, none));
	}
	lsm_snapshot_release(db, snapshot);
}
END_TEST

START_TEST(large_values_stay_valid_while_pinned)
{
	const size_t len = 100000;
	char *big = malloc(len);
	struct lsm_pin in_memory = {0}, in_table = {0};

	memset(big, 'x', len);
	ck_ok(lsm_put(db, slice_of("big"), lsm_slice(big, len)));
	ck_ok(lsm_get(db, NULL, slice_of("big"), &in_memory));
	ck_ok(lsm_flush(db));
	ck_ok(lsm_get(db, NULL, slice_of("big"), &in_table));
	memset(big, 'y', len);
	ck_ok(lsm_put(db, slice_of("big"), lsm_slice(big, len)));
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	memset(big, 'x', len);
	ck_assert_uint_eq(in_memory.len, len);
	ck_assert(!memcmp(in_memory.data, big, len));
	ck_assert_uint_eq(in_table.len, len);
	ck_assert(!memcmp(in_table.data, big, len));
	/* the next get into it lets go of the old value */
	ck_assert_int_eq(lsm_get(db, NULL, slice_of("no"), &in_table),
			 LSM_NOTFOUND);
	ck_assert_ptr_null(in_table.data);
	lsm_unpin(&in_memory);
	lsm_unpin(&in_table);
	free(big);
}
END_TEST

/* ---- iterators ---- */

START_TEST(iterator_sees_the_store_as_it_was)
{
	struct lsm_iter *it;

	put("a", "1");
	put("b", "1");
	ck_ok(lsm_iter_new(db, NULL, &it));
	put("c", "1");
	ck_ok(lsm_delete(db, slice_of("a")));
	delete_range("b", "c");
	ck_ok(lsm_flush(db));
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	ck_ok(lsm_iter_first(it));
	ck_assert(!memcmp(lsm_iter_key(it).data, "a", 1));
	ck_ok(lsm_iter_next(it));
	ck_assert(!memcmp(lsm_iter_key(it).data, "b", 1));
	ck_assert_int_eq(lsm_iter_next(it), LSM_END);
	ck_assert_int_eq(lsm_iter_next(it), -EINVAL);
	lsm_iter_free(it);
	check_keys(NULL, false, "c");
}
END_TEST

START_TEST(bounds_hold_in_both_directions)
{
	struct lsm_iter_options o = {.lower = slice_of("b"),
				     .upper = slice_of("e")};
	struct lsm_iter *it;

	for (const char *k = "abcdef"; *k; k++)
		ck_ok(lsm_put(db, lsm_slice(k, 1), slice_of("v")));
	for (unsigned i = 0; i < 2; i++) {
		check_keys(&o, false, "bcd");
		check_keys(&o, true, "dcb");
		ck_ok(lsm_iter_new(db, &o, &it));
		ck_ok(lsm_iter_seek(it, slice_of("a")));
		ck_assert(!memcmp(lsm_iter_key(it).data, "b", 1));
		ck_assert_int_eq(lsm_iter_prev(it), LSM_END);
		ck_ok(lsm_iter_seek_for_prev(it, slice_of("z")));
		ck_assert(!memcmp(lsm_iter_key(it).data, "d", 1));
		ck_assert_int_eq(lsm_iter_next(it), LSM_END);
		ck_assert_int_eq(lsm_iter_seek(it, slice_of("e")), LSM_END);
		ck_assert_int_eq(lsm_iter_seek_for_prev(it, slice_of("a")),
				 LSM_END);
		lsm_iter_free(it);
		ck_ok(lsm_flush(db));
	}
	check_keys(NULL, true, "fedcba");
}
END_TEST

/* Of six tables of level 0 and one of a deeper one, only the oldest two have
 * the prefix; another one deletes a part of it. */
START_TEST(scan_of_one_prefix_leaves_out_tables_without_it)
{
	struct lsm_iter_options o = {.lower = slice_of("pp:1"),
				     .upper = slice_of("pp;")};
	struct lsm_iter_options wide = {.lower = slice_of("pp:1"),
					.upper = slice_of("pp<")};
	struct lsm_stats before, after;

	options.prefix_bytes = 3;
	options.no_background_compaction = true;
	reopen();
	put("pa:", "v");
	put("pp:1", "v");
	put("pp:4", "v");
	put("pz:", "v");
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	put("pp:2", "v");
	put("pp:3", "v");
	put("p", "shorter than a prefix");
	ck_ok(lsm_flush(db));
	for (unsigned i = 0; i < 5; i++) {
		put("pa:1", "v");
		put("pz:1", "v");
		if (i == 2)
			delete_range("pp:3", "pp:9");
		ck_ok(lsm_flush(db));
	}
	lsm_get_stats(db, &before);
	for (unsigned i = 0; i < 100; i++) {
		check_keys(&o, false, "pp:1pp:2");
		check_keys(&o, true, "pp:2pp:1");
	}
	lsm_get_stats(db, &after);
	/* five of seven, both ways */
	ck_assert_uint_ge(after.bloom_useful - before.bloom_useful, 1000);
	lsm_get_stats(db, &before);
	for (unsigned i = 0; i < 100; i++)
		check_keys(&wide, false, "pp:1pp:2");
	lsm_get_stats(db, &after);
	ck_assert_uint_eq(after.bloom_useful, before.bloom_useful);
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	check_keys(&o, true, "pp:2pp:1");
	check_keys(NULL, false, "ppa:pa:1pp:1pp:2pz:pz:1");
}
END_TEST

/* A scan over what one tombstone covers costs about nothing, wherever the
 * covered entries lie. */
START_TEST(covered_run_is_jumped_over)
{
	const unsigned n = 200000;
	const bool back = _i;
	struct lsm_iter *it;
	char key[16];
	struct timespec a, b;
	double seconds;

	for (unsigned i = 0; i < n; i++)
		ck_ok(lsm_put(db, model_key(key, i), slice_of("value")));
	put("a", "first");
	put("z", "last");
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	delete_range("k", "l");
	ck_ok(lsm_iter_new(db, NULL, &it));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < 100; i++) {
		ck_ok(back ? lsm_iter_last(it) : lsm_iter_first(it));
		ck_ok(back ? lsm_iter_prev(it) : lsm_iter_next(it));
		ck_assert_uint_eq(lsm_iter_key(it).len, 1);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	seconds = (double)(b.tv_sec - a.tv_sec) +
		  (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	/* 100 walks of 200,000 entries would take a second at the least */
	ck_assert_msg(seconds < 0.5, "%f s", seconds);
	lsm_iter_free(it);
	check_keys(NULL, true, "za");
	check_keys(NULL, false, "az");
}
END_TEST

/* ---- snapshots ---- */

START_TEST(snapshots_keep_what_they_saw)
{
	const struct lsm_snapshot *s, *first, *n;
	struct lsm_iter_options o = {0};
	struct lsm_slice none = {0};

	first = lsm_snapshot_take(db);
	put("a", "1");
	put("b", "1");
	ck_ok(lsm_snapshot_create(db, "one"));
	put("a", "2");
	s = lsm_snapshot_take(db);
	delete_range("a", "z");
	put("c", "3");
	for (unsigned i = 0; i < 3; i++) {
		check(first, "a", NULL);
		check(s, "a", "2");
		check(NULL, "a", NULL);
		check(NULL, "c", "3");
		o.snapshot = s;
		check_keys(&o, false, "ab");
		ck_ok(lsm_snapshot_open(db, "one", &n));
		check(n, "a", "1");
		check(n, "c", NULL);
		o.snapshot = n;
		check_keys(&o, true, "ba");
		lsm_snapshot_release(db, n);
		ck_ok(lsm_flush(db));
		if (i)
			ck_ok(lsm_compact_range(db, none, none));
	}
	lsm_snapshot_release(db, s);
	lsm_snapshot_release(db, first);
	reopen();
	ck_ok(lsm_snapshot_open(db, "one", &n));
	check(n, "a", "1");
	lsm_snapshot_release(db, n);
	ck_ok(lsm_snapshot_delete(db, "one"));
	ck_assert_int_eq(lsm_snapshot_open(db, "one", &n), LSM_NOTFOUND);
	reopen();
	ck_assert_int_eq(lsm_snapshot_open(db, "one", &n), LSM_NOTFOUND);
}
END_TEST

static int list_name(void *arg, const char *name, uint64_t sequence)
{
	strcat(arg, name);
	return sequence ? 0 : -EINVAL;
}

static int stop_at_once(void *arg, const char *name, uint64_t sequence)
{
	return 42;
}

START_TEST(names_are_listed_in_order_of_creation)
{
	char names[64] = "";

	put("a", "1");
	ck_ok(lsm_snapshot_create(db, "z"));
	ck_ok(lsm_snapshot_create(db, "y"));
	ck_ok(lsm_snapshot_create(db, "x"));
	ck_ok(lsm_snapshot_delete(db, "y"));
	reopen();
	ck_ok(lsm_snapshot_list(db, list_name, names));
	ck_assert_str_eq(names, "zx");
	ck_assert_int_eq(lsm_snapshot_list(db, stop_at_once, NULL), 42);
	ck_ok(lsm_snapshot_delete(db, "z"));
	ck_ok(lsm_snapshot_delete(db, "x"));
}
END_TEST

START_TEST(space_of_a_dropped_snapshot_comes_back)
{
	const struct lsm_snapshot *s;
	struct lsm_slice none = {0};
	struct lsm_stats stats;
	char key[16], value[1000] = {0};

	for (unsigned i = 0; i < 500; i++)
		ck_ok(lsm_put(db, model_key(key, i),
			      lsm_slice(value, sizeof(value))));
	s = lsm_snapshot_take(db);
	delete_range("k", "l");
	ck_ok(lsm_compact_range(db, none, none));
	lsm_get_stats(db, &stats);
	ck_assert_uint_ge(stats.entries, 500);
	ck_assert_uint_eq(stats.snapshots, 1);
	ck_assert_uint_gt(stats.oldest_snapshot, 0);
	lsm_snapshot_release(db, s);
	put("k1", "v");
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_wait_idle(db));
	ck_ok(lsm_compact_range(db, none, none));
	lsm_get_stats(db, &stats);
	ck_assert_uint_le(stats.entries, 1);
	ck_assert_uint_eq(stats.snapshots, 0);
	ck_assert_uint_eq(stats.oldest_snapshot, 0);
}
END_TEST

/* ---- maintenance ---- */

static void progress(void *arg, uint64_t done, uint64_t total)
{
	uint64_t *last = arg;

	ck_assert_uint_ge(done, *last);
	ck_assert_uint_le(done, total);
	*last = done;
}

START_TEST(verify_reports_its_progress)
{
	uint64_t last = 0;
	struct lsm_stats s;
	char key[16];

	for (unsigned i = 0; i < 20000; i++)
		ck_ok(lsm_put(db, model_key(key, i), slice_of("value")));
	ck_ok(lsm_flush(db));
	ck_ok(lsm_wait_idle(db));
	ck_ok(lsm_verify(db, progress, &last));
	lsm_get_stats(db, &s);
	ck_assert_uint_eq(last, s.table_bytes);
}
END_TEST

START_TEST(approximate_size_follows_the_range)
{
	char key[16], value[100];
	uint64_t all, half, none;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t seed = i;

		for (unsigned j = 0; j < sizeof(value); j++)
			value[j] = (char)rnd(&seed);
		ck_ok(lsm_put(db, model_key(key, i),
			      lsm_slice(value, sizeof(value))));
	}
	ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
	ck_ok(lsm_approximate_size(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0),
				   &all));
	ck_ok(lsm_approximate_size(db, slice_of("k05000"), slice_of("k15000"),
				   &half));
	ck_ok(lsm_approximate_size(db, slice_of("x"), slice_of("y"), &none));
	ck_assert_uint_gt(all, 2000000);
	ck_assert_uint_gt(half, all / 100 * 40);
	ck_assert_uint_lt(half, all / 100 * 60);
	ck_assert_uint_eq(none, 0);
}
END_TEST

START_TEST(stats_count_what_was_done)
{
	struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_stats s;

	ck_ok(lsm_batch_put(b, slice_of("a"), slice_of("12345")));
	ck_ok(lsm_batch_delete(b, slice_of("b")));
	ck_ok(lsm_batch_delete_range(b, slice_of("c"), slice_of("d")));
	ck_ok(lsm_write(db, b, &wo));
	lsm_batch_free(b);
	check(NULL, "a", "12345");
	check(NULL, "b", NULL);
	lsm_get_stats(db, &s);
	ck_assert_uint_eq(s.batches, 1);
	ck_assert_uint_eq(s.writes, 3);
	ck_assert_uint_eq(s.write_bytes, 9);
	ck_assert_uint_eq(s.sequence, 3);
	ck_assert_uint_eq(s.wal_syncs, 1);
	ck_assert_uint_gt(s.wal_bytes, 9);
	ck_assert_uint_eq(s.gets, 2);
	ck_assert_uint_eq(s.get_hits, 1);
	ck_assert_int_eq(s.background_error, 0);
	ck_ok(lsm_flush(db));
	lsm_get_stats(db, &s);
	ck_assert_uint_eq(s.flushes, 1);
	ck_assert_uint_eq(s.entries, 2);
	ck_assert_uint_eq(s.range_deletions, 1);
	ck_assert_uint_eq(s.level_tables[0] + s.level_tables[LSM_LEVELS - 1],
			  1);
}
END_TEST

/* Gets that must read from the disk ask each filter once, in level 0 and below,
 * alone and in a group; and another store in the process counts its own. */
START_TEST(filters_are_counted_once_a_get_and_for_their_store)
{
	struct lsm_stats before, after, there;
	struct lsm_slice keys[20];
	struct lsm_pin pins[20] = {0};
	char text[20][16], other[64];
	struct lsm_db *second;
	int results[20];

	options.no_background_compaction = true;
	options.level0_slowdown = options.level0_stop = 100;
	reopen();
	for (int table = 0; table < 4; table++) {
		for (int i = 0; i < 20; i++) {
			snprintf(text[i], sizeof(text[i]), "k%02d", i);
			keys[i] = slice_of(text[i]);
			/* all tables span all keys; k05 is in the oldest */
			if (table == 0 || i == 0 || i == 19)
				put(text[i], "v");
		}
		ck_ok(lsm_flush(db));
		if (!table)
			ck_ok(lsm_compact_range(db, lsm_slice(NULL, 0),
						lsm_slice(NULL, 0)));
	}
	test_dir_make(other);
	ck_ok(lsm_open(other, &options, &second));
	for (int group = 0; group < 2; group++) {
		reopen();
		lsm_get_stats(db, &before);
		ck_assert_uint_eq(before.bloom_checked, 0);
		if (group)
			ck_ok(lsm_multi_get(db, NULL, 1, keys + 5, pins,
					    results));
		else
			check(NULL, "k05", "v");
		lsm_get_stats(db, &after);
		ck_assert_uint_eq(after.bloom_checked, 4);
		ck_assert_uint_ge(after.bloom_useful, 2);
		ck_assert_uint_le(after.bloom_useful, 3);
	}
	ck_ok(lsm_multi_get(db, NULL, 20, keys, pins, results));
	for (int i = 0; i < 20; i++)
		lsm_unpin(&pins[i]);
	lsm_get_stats(second, &there);
	ck_assert_uint_eq(there.bloom_checked, 0);
	ck_ok(lsm_close(second));
	test_dir_remove(other);
}
END_TEST

START_TEST(memory_stays_within_the_budget)
{
	struct lsm_options o = options;
	struct lsm_stats s;
	struct lsm_pin pin = {0};
	uint64_t value[63], seed = 5;
	char key[16];

	ck_ok(lsm_close(db));
	o.memory_bytes = 4 << 20;
	o.write_buffer_bytes = 512 << 10;
	o.write_buffer_count = 2;
	ck_ok(lsm_open(path, &o, &db));
	for (unsigned i = 0; i < 40000; i++) {
		for (unsigned j = 0; j < 63; j++)
			value[j] = rnd(&seed);
		ck_ok(lsm_put(db, model_key(key, i),
			      lsm_slice(value, sizeof(value))));
		if (i % 1000)
			continue;
		lsm_get_stats(db, &s);
		ck_assert_uint_le(s.memory_bytes, (4 << 20) + (1 << 20));
	}
	ck_ok(lsm_wait_idle(db));
	for (unsigned i = 0; i < 40000; i++)
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
	lsm_unpin(&pin);
	lsm_get_stats(db, &s);
	ck_assert_uint_le(s.memory_bytes, (4 << 20) + (1 << 20));
	ck_assert_uint_gt(s.table_bytes, 16 << 20);
}
END_TEST

/* ---- looking into files ---- */

struct lines {
	unsigned count;
	bool has_key;
};

static int count_line(void *arg, const char *line)
{
	struct lines *l = arg;

	l->count++;
	ck_assert_ptr_null(strchr(line, '\n'));
	l->has_key |= strstr(line, "needle") != NULL;
	return 0;
}

static void check_dump(const char *suffix, bool key)
{
	struct lines l = {0};
	DIR *d = opendir(path);
	struct dirent *e;

	while ((e = readdir(d)))
		if (strstr(e->d_name, suffix))
			ck_ok(lsm_dump_file(NULL, path, e->d_name, count_line,
					    &l));
	closedir(d);
	ck_assert_uint_gt(l.count, 0);
	ck_assert(l.has_key == key);
}

START_TEST(every_kind_of_file_can_be_looked_into)
{
	put("needle", "1");
	check_dump(".wal", true);
	ck_ok(lsm_flush(db));
	ck_ok(lsm_snapshot_create(db, "needle"));
	check_dump(".sst", true);
	check_dump("MANIFEST-", true);
	check_dump("CURRENT", false);
	ck_assert_int_eq(lsm_dump_file(NULL, path, "LOCK", count_line, NULL),
			 -EINVAL);
	ck_assert_int_eq(
		lsm_dump_file(NULL, path, "000777.sst", count_line, NULL),
		-ENOENT);
	ck_ok(lsm_snapshot_delete(db, "needle"));
}
END_TEST

START_TEST(results_have_words)
{
	ck_assert_str_eq(lsm_strerror(0), "success");
	ck_assert_str_eq(lsm_strerror(LSM_NOTFOUND), "not found");
	ck_assert_str_eq(lsm_strerror(-EUCLEAN), "stored data is corrupt");
	ck_assert_str_eq(lsm_strerror(-ENOSPC), "No space left on device");
	ck_assert_str_eq(lsm_strerror(-100000), "unknown result");
	ck_assert_uint_gt(strlen(lsm_version()), 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db");
	TCase *t = tcase_create("promises");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_was_put_is_there_after_reopen);
	tcase_add_test(t, store_is_opened_once);
	tcase_add_test(t, open_modes_are_obeyed);
	tcase_add_test(t, foreign_directory_is_left_alone);
	tcase_add_test(t, read_only_changes_no_file_and_sees_all);
	tcase_add_test(t, closing_leaves_nothing_in_the_log);
	tcase_add_test(t, broken_rules_are_refused);
	tcase_add_test(t, later_operations_of_a_batch_win);
	tcase_add_test(t, deleted_key_stays_deleted_after_compaction);
	tcase_add_test(t, key_exists_when_it_can_be_read);
	tcase_add_test(t, large_values_stay_valid_while_pinned);
	tcase_add_test(t, iterator_sees_the_store_as_it_was);
	tcase_add_test(t, bounds_hold_in_both_directions);
	tcase_add_test(t, scan_of_one_prefix_leaves_out_tables_without_it);
	tcase_add_loop_test(t, covered_run_is_jumped_over, 0, 2);
	tcase_add_test(t, snapshots_keep_what_they_saw);
	tcase_add_test(t, names_are_listed_in_order_of_creation);
	tcase_add_test(t, space_of_a_dropped_snapshot_comes_back);
	tcase_add_test(t, verify_reports_its_progress);
	tcase_add_test(t, approximate_size_follows_the_range);
	tcase_add_test(t, stats_count_what_was_done);
	tcase_add_test(t, filters_are_counted_once_a_get_and_for_their_store);
	tcase_add_test(t, memory_stays_within_the_budget);
	tcase_add_test(t, every_kind_of_file_can_be_looked_into);
	tcase_add_test(t, results_have_words);
	suite_add_tcase(s, t);
	return run_suite(s);
}
