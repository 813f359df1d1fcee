/* SPDX-License-Identifier: MIT */
/*
 * test_blob_store.c - a store whose large values lie in blob files: they read
 * as any others, live bytes are exact, dead files go, and space comes back.
 */
#include <fcntl.h>

#include "tests/lsm/db/db_check.h"

#define KEYS      800
#define VALUE_MAX 5000

static char path[64];
static struct lsm_options options;
static struct lsm_db *db;
static const struct lsm_slice none;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 256 << 10,
				       .memory_bytes = 8 << 20,
				       .table_bytes = 32 << 10,
				       .level_base_bytes = 64 << 10,
				       .blob_bytes = 1000,
				       .blob_file_bytes = 1 << 20};
	ck_ok(lsm_open(path, &options, &db));
}

static void reopen(void)
{
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	test_dir_remove(path);
}

/* Value v of key i; half of them large, every eighth beyond what is copied. */
static struct lsm_slice value_of(unsigned i, unsigned v, char *buf)
{
	size_t len = i % 8 == 0 ? 4500 + i % 500 : i % 2 ? 1000 + i : 20;

	for (size_t k = 0; k < len; k++)
		buf[k] = (char)(i * 7 + v * 131 + k / 9);
	return lsm_slice(buf, len);
}

static void put_all(unsigned v, unsigned step)
{
	char key[16], buf[VALUE_MAX];

	for (unsigned i = 0; i < KEYS; i += step)
		ck_ok(lsm_put(db, model_key(key, i), value_of(i, v, buf)));
}

static bool same(struct lsm_slice a, struct lsm_slice b)
{
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static void check_gets(const struct lsm_snapshot *snapshot, unsigned v)
{
	struct lsm_pin pin = {0};
	char key[16], buf[VALUE_MAX];

	for (unsigned i = 0; i < KEYS; i++) {
		ck_ok(lsm_get(db, snapshot, model_key(key, i), &pin));
		ck_assert(same(lsm_slice(pin.data, pin.len),
			       value_of(i, v, buf)));
	}
	lsm_unpin(&pin);
}

static void check_multi(unsigned v)
{
	char key[64][16], buf[VALUE_MAX];
	struct lsm_slice keys[64];
	struct lsm_pin pins[64] = {0};
	int results[64];

	for (unsigned i = 0; i < 64; i++)
		keys[i] = model_key(key[i], (i * 37) % KEYS);
	ck_ok(lsm_multi_get(db, NULL, 64, keys, pins, results));
	for (unsigned i = 0; i < 64; i++) {
		ck_ok(results[i]);
		ck_assert(same(lsm_slice(pins[i].data, pins[i].len),
			       value_of((i * 37) % KEYS, v, buf)));
		lsm_unpin(&pins[i]);
	}
}

static void check_scan(const struct lsm_snapshot *snapshot, unsigned v,
		       bool no_fill)
{
	struct lsm_iter_options o = {.snapshot = snapshot,
				     .no_fill_cache = no_fill};
	char buf[VALUE_MAX];
	struct lsm_iter *it;
	unsigned i;

	ck_ok(lsm_iter_new(db, &o, &it));
	ck_ok(lsm_iter_first(it));
	for (i = 0; i < KEYS; i++) {
		/* the length before the value, and behind it */
		ck_assert_uint_eq(lsm_iter_value_len(it),
				  value_of(i, v, buf).len);
		/* asked twice: the answer is the same */
		if (i % 3) {
			ck_assert(
				same(lsm_iter_value(it), value_of(i, v, buf)));
			ck_assert(
				same(lsm_iter_value(it), value_of(i, v, buf)));
			ck_assert_uint_eq(lsm_iter_value_len(it),
					  value_of(i, v, buf).len);
			ck_assert_int_eq(lsm_iter_error(it), 0);
		}
		ck_assert_int_eq(lsm_iter_next(it), i + 1 < KEYS ? 0 : LSM_END);
	}
	ck_ok(lsm_iter_last(it));
	for (i = KEYS; i--;) {
		if (i % 3)
			ck_assert(
				same(lsm_iter_value(it), value_of(i, v, buf)));
		if (i % 5 == 1 && i + 1 < KEYS) { /* there and back */
			ck_ok(lsm_iter_next(it));
			ck_assert(same(lsm_iter_value(it),
				       value_of(i + 1, v, buf)));
			ck_ok(lsm_iter_prev(it));
		}
		ck_assert_int_eq(lsm_iter_prev(it), i ? 0 : LSM_END);
	}
	lsm_iter_free(it);
}

static void check_all(const struct lsm_snapshot *snapshot, unsigned v)
{
	check_gets(snapshot, v);
	check_scan(snapshot, v, false);
	check_scan(snapshot, v, true);
}

static struct lsm_stats stats(void)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	return s;
}

static unsigned count_files(const char *suffix, uint64_t *bytes)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;
	unsigned n = 0;

	*bytes = 0;
	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name), m = strlen(suffix);

		if (len < m || strcmp(e->d_name + len - m, suffix) ||
		    fstatat(dirfd(d), e->d_name, &st, 0))
			continue;
		n++;
		*bytes += (uint64_t)st.st_size;
	}
	closedir(d);
	return n;
}

START_TEST(values_read_the_same_wherever_they_are)
{
	const struct lsm_snapshot *old;

	put_all(1, 1);
	check_all(NULL, 1);
	ck_ok(lsm_flush(db));
	ck_assert_uint_gt(stats().blob_files, 0);
	check_all(NULL, 1);
	check_multi(1);
	old = lsm_snapshot_take(db);
	put_all(2, 1);
	ck_ok(lsm_compact_range(db, none, none));
	check_all(NULL, 2);
	check_multi(2);
	check_all(old, 1);
	lsm_snapshot_release(db, old);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	check_all(NULL, 2);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(small_values_stay_in_the_tree)
{
	options.blob_bytes = 6000;
	reopen();
	put_all(1, 1);
	ck_ok(lsm_flush(db));
	ck_assert_uint_eq(stats().blob_files, 0);
	/* and values may lie in both ways side by side */
	options.blob_bytes = 1000;
	reopen();
	put_all(2, 2);
	put_all(2, 1);
	ck_ok(lsm_compact_range(db, none, none));
	options.blob_bytes = 0;
	reopen();
	check_all(NULL, 2);
	put_all(3, 1);
	check_all(NULL, 3);
	ck_ok(lsm_compact_range(db, none, none));
	check_all(NULL, 3);
	ck_assert_uint_eq(stats().blob_files, 0);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(overwritten_and_deleted_values_are_not_live)
{
	uint64_t want = 0, bytes;
	char key[16], buf[VALUE_MAX];
	struct lsm_batch *b = lsm_batch_new();

	put_all(1, 1);
	ck_ok(lsm_flush(db));
	for (unsigned i = 0; i < KEYS; i++) {
		size_t len = value_of(i, 1, buf).len;

		want += len >= 1000 ? len : 0;
	}
	ck_assert_uint_eq(stats().blob_live_bytes, want);
	for (unsigned i = 0; i < KEYS; i += 4) {
		size_t len = value_of(i, 1, buf).len;

		ck_ok(lsm_delete(db, model_key(key, i)));
		want -= len >= 1000 ? len : 0;
	}
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_wait_idle(db));
	ck_assert_uint_eq(stats().blob_live_bytes, want);
	ck_ok(lsm_verify(db, NULL, NULL));
	/* dropped without being read: exact all the same */
	ck_ok(lsm_batch_delete_range(b, slice_of("k"), slice_of("l")));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_wait_idle(db));
	ck_assert_uint_eq(stats().blob_live_bytes, 0);
	ck_assert_uint_eq(stats().blob_files, 0);
	ck_assert_uint_eq(count_files(".blob", &bytes), 0);
	reopen();
	ck_assert_uint_eq(stats().blob_files, 0);
}
END_TEST

START_TEST(readers_keep_what_they_hold)
{
	struct lsm_pin pin = {0};
	char key[16], buf[VALUE_MAX];
	struct lsm_iter *it;
	uint64_t bytes;

	put_all(1, 1);
	ck_ok(lsm_flush(db));
	reopen();
	ck_ok(lsm_iter_new(db, NULL, &it));
	ck_ok(lsm_iter_first(it));
	ck_ok(lsm_get(db, NULL, model_key(key, 8), &pin));
	ck_assert_ptr_nonnull(pin.owner); /* held where it lies, no copy */
	put_all(2, 1);
	ck_ok(lsm_compact_range(db, none, none));
	put_all(3, 1);
	ck_ok(lsm_compact_range(db, none, none));
	ck_assert(same(lsm_slice(pin.data, pin.len), value_of(8, 1, buf)));
	for (unsigned i = 0; i < KEYS; i++) {
		ck_assert(same(lsm_iter_value(it), value_of(i, 1, buf)));
		ck_assert_int_eq(lsm_iter_next(it), i + 1 < KEYS ? 0 : LSM_END);
	}
	lsm_iter_free(it);
	lsm_unpin(&pin);
	ck_ok(lsm_wait_idle(db));
	ck_assert_uint_eq(count_files(".blob", &bytes), stats().blob_files);
	ck_assert_uint_eq(bytes, stats().blob_file_bytes);
}
END_TEST

/* DB_BLOB_MB: size of the data set. */
START_TEST(space_comes_back_while_values_are_overwritten)
{
	const char *mb = getenv("DB_BLOB_MB");
	unsigned n = (mb ? (unsigned)strtoul(mb, NULL, 0) : 8) * 256;
	uint64_t seed = test_seed(12 + (unsigned)_i), blobs, tables;
	char key[16], *value = malloc(4096);
	struct lsm_stats s;

	options.write_buffer_bytes = n * 4096ull / 16;
	options.blob_file_bytes = 0;
	options.compression = LSM_COMPRESSION_NONE;
	reopen();
	for (unsigned i = 0; i < 6 * n; i++) {
		/* once all of them; then in order, or at random */
		unsigned k = i < n || !_i ? i % n : rnd_below(&seed, n);

		for (unsigned p = 0; p < 4096; p += 8)
			memcpy(value + p, &(uint64_t){rnd(&seed)}, 8);
		memcpy(value, &k, 4);
		ck_ok(lsm_put(db, model_key(key, k), lsm_slice(value, 4096)));
	}
	ck_ok(lsm_flush(db));
	ck_ok(lsm_wait_idle(db));
	s = stats();
	count_files(".blob", &blobs);
	count_files(".sst", &tables);
	printf("# %u KiB: blobs %llu KiB in %u files, live %llu, tables %llu; "
	       "written %llu, blobs %llu, collected %llu\n",
	       n * 4, (unsigned long long)blobs >> 10, s.blob_files,
	       (unsigned long long)s.blob_live_bytes >> 10,
	       (unsigned long long)tables >> 10,
	       (unsigned long long)(s.flush_written_bytes +
				    s.compact_written_bytes) >>
		       10,
	       (unsigned long long)s.blob_written_bytes >> 10,
	       (unsigned long long)s.blob_collected_bytes >> 10);
	ck_assert_uint_lt(blobs + tables, n * 4096ull * 3 / 2);
	if (_i)
		ck_assert_uint_gt(s.blob_collected_bytes, 0);
	ck_ok(lsm_verify(db, NULL, NULL));
	free(value);
}
END_TEST

static void flip(const char *name, off_t at)
{
	int fd = open(name, O_RDWR);
	char byte;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

START_TEST(damaged_value_is_an_error_and_stops_nothing_else)
{
	char name[512], key[16], buf[VALUE_MAX];
	struct lsm_pin pin = {0};
	struct lsm_iter *it;
	unsigned bad = 0, r;

	/* one flush, one file */
	options.blob_file_bytes = 16 << 20;
	options.write_buffer_bytes = 8 << 20;
	options.memory_bytes = 64 << 20;
	reopen();
	put_all(1, 1);
	ck_ok(lsm_flush(db));
	ck_ok(lsm_close(db));
	ck_assert(test_dir_find(path, ".blob", name));
	flip(name, 100);
	ck_ok(lsm_open(path, &options, &db));
	/* whoever only asks whether it is there does not read it */
	for (unsigned i = 0; i < KEYS; i++)
		ck_ok(lsm_exists(db, NULL, model_key(key, i)));
	for (unsigned i = 0; i < KEYS; i++) {
		int got = lsm_get(db, NULL, model_key(key, i), &pin);

		ck_assert(got == 0 || got == -EUCLEAN);
		bad += got != 0;
		if (!got)
			ck_assert(same(lsm_slice(pin.data, pin.len),
				       value_of(i, 1, buf)));
	}
	lsm_unpin(&pin);
	ck_assert_uint_gt(bad, 0);
	ck_assert_uint_lt(bad, KEYS / 4);
	ck_ok(lsm_iter_new(db, NULL, &it));
	ck_ok(lsm_iter_first(it));
	while (lsm_iter_value(it).data)
		ck_ok(lsm_iter_next(it));
	ck_assert_int_eq(lsm_iter_error(it), -EUCLEAN);
	ck_assert_int_eq(lsm_iter_next(it), -EUCLEAN);
	lsm_iter_free(it);
	ck_assert_int_eq(lsm_verify(db, NULL, NULL), -EUCLEAN);
	/* the file is mostly dead soon, and its values to be moved */
	for (r = 2; r < 4; r++) {
		for (unsigned i = KEYS / 4; i < KEYS; i++)
			ck_ok(lsm_put(db, model_key(key, i),
				      value_of(i, r, buf)));
		ck_ok(lsm_compact_range(db, none, none));
	}
	ck_ok(lsm_wait_idle(db));
	for (unsigned i = KEYS / 4; i < KEYS; i++) {
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
		ck_assert(same(lsm_slice(pin.data, pin.len),
			       value_of(i, r - 1, buf)));
	}
	lsm_unpin(&pin);
	/* and repair gives up the lost values only */
	ck_ok(lsm_close(db));
	ck_ok(lsm_repair(path, &options, NULL, NULL));
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_verify(db, NULL, NULL));
	for (unsigned i = 0; i < KEYS; i++) {
		int got = lsm_get(db, NULL, model_key(key, i), &pin);

		ck_assert(got == 0 || (got == LSM_NOTFOUND && i < KEYS / 4));
		bad -= got != 0;
	}
	lsm_unpin(&pin);
	ck_assert_uint_eq(bad, 0);
}
END_TEST

START_TEST(lost_blob_file_is_noticed_at_open_and_repaired)
{
	char name[512], other[512];

	put_all(1, 1);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_close(db));
	ck_assert(test_dir_find(path, ".blob", name));
	snprintf(other, sizeof(other), "%.500s.bad", name);
	ck_assert_int_eq(rename(name, other), 0);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_ok(lsm_repair(path, &options, NULL, NULL));
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(store_without_manifest_finds_its_values_again)
{
	char name[512];

	put_all(1, 1);
	put_all(2, 3);
	put_all(2, 1);
	ck_ok(lsm_compact_range(db, none, none));
	put_all(3, 1);
	ck_ok(lsm_close(db));
	snprintf(name, sizeof(name), "rm %s/CURRENT %s/MANIFEST-*", path, path);
	ck_assert_int_eq(system(name), 0);
	ck_ok(lsm_repair(path, &options, NULL, NULL));
	ck_ok(lsm_open(path, &options, &db));
	check_all(NULL, 3);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(checkpoint_holds_the_values)
{
	char copy[128];
	struct lsm_db *was = db;

	put_all(1, 1);
	snprintf(copy, sizeof(copy), "%s.copy", path);
	ck_ok(lsm_checkpoint(db, copy));
	put_all(2, 1);
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_open(copy, &options, &db));
	check_all(NULL, 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	db = was;
	check_all(NULL, 2);
	test_dir_remove(copy);
}
END_TEST

static int count_line(void *arg, const char *line)
{
	++*(unsigned *)arg;
	return 0;
}

START_TEST(dump_shows_every_value_and_strays_are_deleted)
{
	char name[512], stray[600];
	uint64_t bytes;
	unsigned lines = 0, before;
	int fd;

	put_all(1, 1);
	ck_ok(lsm_compact_range(db, none, none));
	ck_assert(test_dir_find(path, ".blob", name));
	ck_ok(lsm_dump_file(NULL, path, strrchr(name, '/') + 1, count_line,
			    &lines));
	ck_assert_uint_ge(lines, 2);
	ck_ok(lsm_wait_idle(db));
	before = count_files(".blob", &bytes);
	snprintf(stray, sizeof(stray), "%s/777777.blob", path);
	fd = open(stray, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	reopen();
	ck_assert_uint_eq(count_files(".blob", &bytes), before);
	check_all(NULL, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db blob");
	TCase *t = tcase_create("blob");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, values_read_the_same_wherever_they_are);
	tcase_add_test(t, small_values_stay_in_the_tree);
	tcase_add_test(t, overwritten_and_deleted_values_are_not_live);
	tcase_add_test(t, readers_keep_what_they_hold);
	tcase_add_loop_test(t, space_comes_back_while_values_are_overwritten, 0,
			    2);
	tcase_add_test(t, damaged_value_is_an_error_and_stops_nothing_else);
	tcase_add_test(t, lost_blob_file_is_noticed_at_open_and_repaired);
	tcase_add_test(t, store_without_manifest_finds_its_values_again);
	tcase_add_test(t, checkpoint_holds_the_values);
	tcase_add_test(t, dump_shows_every_value_and_strays_are_deleted);
	suite_add_tcase(s, t);
	return run_suite(s);
}
