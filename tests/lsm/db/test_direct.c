/* SPDX-License-Identifier: MIT */
/*
 * test_direct.c - bulk writes: large batches put their values into blob files
 * themselves. Such values read as any others from the moment they are visible,
 * survive the process and the power as the log does, are written once, and a
 * disk that refuses them refuses that batch alone.
 *
 * Power loss and refused calls at every call: test_power_loss, test_io_errors.
 * Beside other threads: test_concurrency.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "tests/lsm/db/db_check.h"

#define KEYS  256
#define VALUE 4096

static char path[64];
static struct lsm_options options;
static struct log_text said;
static struct lsm_db *db;
static const struct lsm_slice none;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 20,
				       .memory_bytes = 16 << 20,
				       .blob_bytes = 1000,
				       .blob_file_bytes = 3 << 20,
				       .wal_sync_interval_ms = UINT32_MAX};
	log_text_use(&said, &options);
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

/* Value v of key i: most are large, half of these compress. */
static struct lsm_slice value_of(unsigned i, unsigned v, char *buf)
{
	size_t len = i % 16 == 3 ? 40 : i % 16 == 5 ? 1500 : VALUE;
	uint64_t seed = i * 1000 + v;

	for (size_t k = 0; k < len; k += 8) {
		uint64_t x = i % 2 && k ? seed : rnd(&seed);

		memcpy(buf + k, &x, len - k < 8 ? len - k : 8);
	}
	return lsm_slice(buf, len);
}

/* Adds version v of keys from..to-1; every third by copy, others from bufs. */
static void add_bulk(struct lsm_batch *b, unsigned from, unsigned to,
		     unsigned v, char *bufs)
{
	char key[16];

	for (unsigned i = from; i < to; i++) {
		struct lsm_slice value =
			value_of(i, v, bufs + (size_t)(i - from) * VALUE);

		if (i % 3)
			ck_ok(lsm_batch_put_ref(b, model_key(key, i), value));
		else
			ck_ok(lsm_batch_put(b, model_key(key, i), value));
	}
}

/* Puts version v of keys from..to-1 in one batch. */
static int put_bulk(unsigned from, unsigned to, unsigned v, bool sync)
{
	struct lsm_write_options wo = {.sync = sync};
	char *bufs = malloc((size_t)(to - from) * VALUE);
	struct lsm_batch *b = lsm_batch_new();
	int r;

	ck_assert(b && bufs);
	add_bulk(b, from, to, v, bufs);
	r = lsm_write(db, b, &wo);
	lsm_batch_free(b);
	free(bufs);
	return r;
}

static bool same(struct lsm_slice a, struct lsm_slice b)
{
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static void check_range(unsigned from, unsigned to, unsigned v)
{
	struct lsm_pin pin = {0};
	char key[16], buf[VALUE];

	for (unsigned i = from; i < to; i++) {
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
		ck_assert(same(lsm_slice(pin.data, pin.len),
			       value_of(i, v, buf)));
	}
	lsm_unpin(&pin);
}

static void check_iter(struct lsm_iter *it, unsigned v)
{
	char buf[VALUE];
	unsigned i;

	ck_ok(lsm_iter_first(it));
	for (i = 0; i < KEYS; i++) {
		ck_assert(same(lsm_iter_value(it), value_of(i, v, buf)));
		ck_assert_int_eq(lsm_iter_next(it), i + 1 < KEYS ? 0 : LSM_END);
	}
	ck_ok(lsm_iter_last(it));
	for (i = KEYS; i--;) {
		ck_assert(same(lsm_iter_value(it), value_of(i, v, buf)));
		ck_assert_int_eq(lsm_iter_prev(it), i ? 0 : LSM_END);
	}
}

static void check_all(unsigned v)
{
	static const struct lsm_iter_options no_fill = {.no_fill_cache = true};
	struct lsm_slice keys[KEYS];
	struct lsm_pin pins[KEYS] = {0};
	char key[KEYS][16], buf[VALUE];
	int results[KEYS];
	struct lsm_iter *it;

	check_range(0, KEYS, v);
	for (unsigned i = 0; i < KEYS; i++)
		keys[i] = model_key(key[i], (i * 37) % KEYS);
	ck_ok(lsm_multi_get(db, NULL, KEYS, keys, pins, results));
	for (unsigned i = 0; i < KEYS; i++) {
		ck_assert(same(lsm_slice(pins[i].data, pins[i].len),
			       value_of((i * 37) % KEYS, v, buf)));
		lsm_unpin(&pins[i]);
	}
	ck_ok(lsm_iter_new(db, NULL, &it));
	check_iter(it, v);
	lsm_iter_free(it);
	ck_ok(lsm_iter_new(db, &no_fill, &it));
	check_iter(it, v);
	lsm_iter_free(it);
}

static struct lsm_stats stats(void)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	return s;
}

static unsigned count_blobs(uint64_t *bytes)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;
	unsigned n = 0;

	*bytes = 0;
	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 5, ".blob") ||
		    fstatat(dirfd(d), e->d_name, &st, 0))
			continue;
		n++;
		*bytes += (uint64_t)st.st_size;
	}
	closedir(d);
	return n;
}

START_TEST(bulk_values_are_written_once_and_read_from_the_start)
{
	struct lsm_stats s;
	uint64_t bytes;

	ck_ok(put_bulk(0, KEYS, 1, _i));
	s = stats();
	ck_assert_uint_lt(s.wal_written_bytes, KEYS * 100);
	ck_assert_uint_gt(s.blob_direct_bytes, KEYS * VALUE / 3);
	ck_assert_uint_lt(s.blob_direct_bytes, KEYS * VALUE);
	ck_assert_uint_eq(count_blobs(&bytes), 1);
	ck_assert_uint_eq(stats().blob_files, 0); /* of the tree */
	check_all(1);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_flush(db));
	s = stats();
	ck_assert_uint_eq(s.blob_files, 1);
	ck_assert_uint_lt(s.flush_written_bytes, KEYS * 100);
	ck_assert_uint_eq(s.blob_live_bytes, s.blob_value_bytes);
	check_all(1);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	check_all(1);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_assert_uint_eq(count_blobs(&bytes), 1);
	ck_assert_uint_eq(bytes, stats().blob_file_bytes);
}
END_TEST

START_TEST(small_batches_go_through_the_log)
{
	ck_ok(put_bulk(0, 8, 1, false));
	ck_assert_uint_eq(stats().blob_direct_bytes, 0);
	check_range(0, 8, 1);
	options.blob_direct_bytes = UINT32_MAX;
	reopen();
	ck_ok(put_bulk(0, KEYS, 2, false));
	ck_assert_uint_eq(stats().blob_direct_bytes, 0);
	check_all(2);
	options.blob_bytes = 0;
	options.blob_direct_bytes = 0;
	reopen();
	ck_ok(put_bulk(0, KEYS, 3, false));
	ck_assert_uint_eq(stats().blob_direct_bytes, 0);
	check_all(3);
}
END_TEST

/* Puts every second key from the given one on, one by one; returns how much of
 * it was written directly. Even ones do not compress. */
static uint64_t put_singly(unsigned from, unsigned v)
{
	uint64_t before = stats().blob_direct_bytes;
	char key[16], buf[VALUE];

	for (unsigned i = from; i < KEYS; i += 2)
		ck_ok(lsm_put(db, model_key(key, i), value_of(i, v, buf)));
	return stats().blob_direct_bytes - before;
}

static void check_singly(unsigned from, unsigned v)
{
	for (unsigned i = from; i < KEYS; i += 2)
		check_range(i, i + 1, v);
}

START_TEST(single_values_are_bulk_while_nobody_syncs_and_none_compresses)
{
	const uint64_t all = KEYS / 2 * VALUE, gap = 16 * VALUE;
	uint64_t direct;

	options.write_buffer_bytes = 8 << 20;
	options.blob_direct_unsynced_bytes = gap;
	reopen();
	ck_assert_uint_eq(put_singly(0, 1), 0); /* nothing is known of them */
	ck_ok(lsm_flush(db));
	ck_ok(lsm_sync(db));
	ck_assert_uint_ge(put_singly(0, 2), all - gap);
	ck_assert_uint_ge(put_singly(0, 3), all);
	check_singly(0, 3);
	ck_ok(lsm_sync(db));
	direct = stats().blob_direct_bytes;
	for (unsigned i = 0; i < 40; i++) {
		ck_ok(put_bulk(10, 11, 3, true));
		ck_ok(put_bulk(12, 13, 3, false));
	}
	ck_assert_uint_eq(stats().blob_direct_bytes, direct);
	ck_assert_uint_lt(put_singly(0, 4), all - gap + 2 * VALUE);
	/* short ones and such that compress are packed by the flush */
	ck_ok(lsm_flush(db));
	put_singly(1, 5);
	put_singly(1, 6);
	ck_ok(lsm_flush(db));
	ck_assert_uint_eq(put_singly(1, 7), 0);
	check_singly(0, 4);
	check_singly(1, 7);
	options.compression = LSM_COMPRESSION_NONE;
	reopen();
	ck_assert_uint_ge(put_singly(0, 8), all - gap);
	options.blob_direct_unsynced_bytes = UINT64_MAX;
	reopen();
	ck_assert_uint_eq(put_singly(0, 9), 0);
	check_singly(0, 9);
	check_singly(1, 7);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_wait_idle(db));
	reopen();
	check_singly(0, 9);
	check_singly(1, 7);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(one_batch_holds_all_kinds_of_operations)
{
	struct lsm_batch *b = lsm_batch_new();
	char key[16], buf[2][VALUE];
	char *huge = malloc(5 << 20);
	struct lsm_pin pin = {0};

	ck_ok(put_bulk(0, KEYS, 1, false));
	memset(huge, 'h', 5 << 20);
	for (size_t i = 0; i < 5 << 20; i += 3)
		huge[i] = (char)(i >> 7);
	ck_ok(lsm_batch_put_ref(b, model_key(key, 1), value_of(1, 2, buf[0])));
	ck_ok(lsm_batch_delete(b, model_key(key, 2)));
	ck_ok(lsm_batch_put(b, model_key(key, 3), value_of(3, 2, buf[1])));
	/* later ones win */
	ck_ok(lsm_batch_put_ref(b, model_key(key, 1), value_of(17, 3, buf[1])));
	ck_ok(lsm_batch_put_ref(b, slice_of("huge"), lsm_slice(huge, 5 << 20)));
	ck_ok(lsm_batch_put_ref(b, slice_of("tiny"), lsm_slice(huge, 300)));
	ck_ok(lsm_batch_put_ref(b, slice_of("empty"), lsm_slice(huge, 0)));
	ck_assert_uint_gt(lsm_batch_size(b), 5 << 20);
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_clear(b);
	ck_assert_uint_lt(lsm_batch_size(b), 100);
	for (int round = 0; round < 3; round++) {
		ck_ok(lsm_get(db, NULL, model_key(key, 1), &pin));
		ck_assert(same(lsm_slice(pin.data, pin.len),
			       value_of(17, 3, buf[0])));
		ck_assert_int_eq(lsm_get(db, NULL, model_key(key, 2), &pin),
				 LSM_NOTFOUND);
		ck_ok(lsm_get(db, NULL, slice_of("huge"), &pin));
		ck_assert(same(lsm_slice(pin.data, pin.len),
			       lsm_slice(huge, 5 << 20)));
		ck_ok(lsm_get(db, NULL, slice_of("tiny"), &pin));
		ck_assert(same(lsm_slice(pin.data, pin.len),
			       lsm_slice(huge, 300)));
		ck_ok(lsm_get(db, NULL, slice_of("empty"), &pin));
		ck_assert_uint_eq(pin.len, 0);
		if (round)
			lsm_unpin(&pin);
		if (!round)
			ck_ok(lsm_flush(db));
		else
			reopen();
	}
	/* a put of one value that is a bulk by itself */
	ck_ok(lsm_put(db, slice_of("huge"), lsm_slice(huge + 1, 2 << 20)));
	ck_assert_uint_gt(stats().blob_direct_bytes, 1 << 12);
	ck_ok(lsm_get(db, NULL, slice_of("huge"), &pin));
	ck_assert(same(lsm_slice(pin.data, pin.len),
		       lsm_slice(huge + 1, 2 << 20)));
	lsm_unpin(&pin);
	ck_ok(lsm_verify(db, NULL, NULL));
	lsm_batch_free(b);
	free(huge);
}
END_TEST

START_TEST(files_without_live_values_go_with_their_memtable)
{
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_iter *it;
	uint64_t bytes;
	char *bufs[13];

	options.no_background_compaction = true; /* nothing is collected */
	reopen();
	ck_ok(put_bulk(0, KEYS, 1, false));
	ck_ok(lsm_iter_new(db, NULL, &it));
	/* Several files' worth in one memtable. */
	for (unsigned v = 2; v <= 12; v++) {
		bufs[v] = malloc((size_t)KEYS * VALUE);
		ck_assert_ptr_nonnull(bufs[v]);
		add_bulk(b, 0, KEYS, v, bufs[v]);
	}
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	for (unsigned v = 2; v <= 12; v++)
		free(bufs[v]);
	ck_assert_uint_ge(count_blobs(&bytes), 2);
	ck_ok(lsm_flush(db));
	check_iter(it, 1); /* files that it needs are kept for it */
	lsm_iter_free(it);
	ck_assert_uint_eq(count_blobs(&bytes), 1);
	check_all(12);
	ck_assert_uint_eq(stats().blob_files, 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	check_all(12);
}
END_TEST

/* Leaves the directory as the end of the process would. */
static void in_dying_child(void (*fn)(void))
{
	pid_t pid;
	int status;

	ck_ok(lsm_close(db));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		ck_ok(lsm_open(path, &options, &db));
		fn();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void write_and_die(void)
{
	for (unsigned v = 1; v <= 5; v++) {
		ck_ok(put_bulk(0, KEYS, v, v == 2));
		ck_ok(put_bulk(3, 4, v, v == 2)); /* a small one */
	}
}

static int count_line(void *arg, const char *line)
{
	++*(unsigned *)arg;
	return 0;
}

START_TEST(values_survive_the_end_of_the_process)
{
	char name[512];
	unsigned lines = 0;
	uint64_t before, after;

	in_dying_child(write_and_die);
	ck_assert(test_dir_find(path, ".blob", name));
	ck_ok(lsm_dump_file(NULL, path, strrchr(name, '/') + 1, count_line,
			    &lines));
	ck_assert_uint_gt(lines, 0);
	count_blobs(&before);
	options.read_only = true;
	ck_ok(lsm_open(path, &options, &db));
	check_all(5);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	options.read_only = false;
	count_blobs(&after);
	ck_assert_uint_eq(before, after);
	ck_ok(lsm_open(path, &options, &db));
	check_all(5);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(put_bulk(0, KEYS, 6, true));
	reopen();
	check_all(6);
	ck_ok(lsm_verify(db, NULL, NULL));
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

static void write_unsynced_and_die(void)
{
	ck_ok(put_bulk(0, KEYS, 1, true));
	ck_ok(put_bulk(0, KEYS, 2, false));
	ck_ok(put_bulk(0, KEYS, 3, false));
}

/* Damage in the last block of the file, which only the last batch uses. */
START_TEST(history_ends_where_values_of_the_tail_are_missing)
{
	struct stat st;
	char name[512];

	options.blob_file_bytes = 64 << 20; /* one file */
	in_dying_child(write_unsynced_and_die);
	ck_assert(test_dir_find(path, ".blob", name));
	ck_assert_int_eq(stat(name, &st), 0);
	if (_i)
		ck_assert_int_eq(truncate(name, st.st_size - 7), 0);
	else
		flip(name, st.st_size - 100);
	ck_ok(lsm_open(path, &options, &db));
	ck_assert(log_text_has(&said, "did not reach the disk"));
	check_all(2);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(put_bulk(0, KEYS, 9, true));
	reopen();
	check_all(9);
}
END_TEST

static void write_synced_and_die(void)
{
	ck_ok(put_bulk(0, KEYS / 2, 1, true));
	ck_ok(put_bulk(KEYS / 2, KEYS, 1, true));
	/* says that the ones before were durable */
	ck_ok(put_bulk(3, 4, 1, true));
}

START_TEST(missing_values_of_a_durable_record_are_damage)
{
	char name[512], key[16], buf[VALUE];
	struct lsm_pin pin = {0};
	struct stat st;
	unsigned there = 0;

	options.blob_file_bytes = 64 << 20;
	in_dying_child(write_synced_and_die);
	ck_assert(test_dir_find(path, ".blob", name));
	ck_assert_int_eq(stat(name, &st), 0);
	if (_i)
		ck_assert_int_eq(truncate(name, st.st_size - 7), 0);
	else
		ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_assert(log_text_has(&said, "which was durable"));
	/* repair leaves out the batches that lost a value, and no others */
	ck_ok(lsm_repair(path, &options, NULL, NULL));
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_verify(db, NULL, NULL));
	for (unsigned i = 0; i < KEYS; i++) {
		int r = lsm_get(db, NULL, model_key(key, i), &pin);

		ck_assert(r == 0 || r == LSM_NOTFOUND);
		there += r == 0;
		ck_assert(r || same(lsm_slice(pin.data, pin.len),
				    value_of(i, 1, buf)));
	}
	lsm_unpin(&pin);
	ck_assert_uint_eq(there, _i ? KEYS / 2 : 1);
}
END_TEST

START_TEST(damage_in_a_durable_value_is_reported_when_it_is_read)
{
	char name[512], key[16];
	struct lsm_pin pin = {0};
	unsigned bad = 0;

	options.blob_file_bytes = 64 << 20;
	in_dying_child(write_synced_and_die);
	ck_assert(test_dir_find(path, ".blob", name));
	flip(name, 1000);
	options.read_only = _i;
	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < KEYS; i++) {
		int r = lsm_get(db, NULL, model_key(key, i), &pin);

		ck_assert(r == 0 || r == -EUCLEAN);
		bad += r != 0;
	}
	lsm_unpin(&pin);
	ck_assert_uint_gt(bad, 0);
	ck_assert_uint_le(bad, 32);
	ck_assert_int_eq(lsm_verify(db, NULL, NULL), -EUCLEAN);
	options.read_only = false;
}
END_TEST

START_TEST(repair_without_manifest_keeps_bulk_values)
{
	char cmd[512];

	in_dying_child(write_and_die);
	snprintf(cmd, sizeof(cmd), "rm %s/CURRENT %s/MANIFEST-*", path, path);
	ck_assert_int_eq(system(cmd), 0);
	ck_ok(lsm_repair(path, &options, NULL, NULL));
	ck_ok(lsm_open(path, &options, &db));
	check_all(5);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	check_all(5);
}
END_TEST

START_TEST(checkpoint_holds_bulk_values)
{
	char copy[128];
	struct lsm_db *was = db;

	ck_ok(put_bulk(0, KEYS, 1, false));
	snprintf(copy, sizeof(copy), "%s.copy", path);
	ck_ok(lsm_checkpoint(db, copy));
	ck_ok(put_bulk(0, KEYS, 2, false));
	ck_ok(lsm_open(copy, &options, &db));
	check_all(1);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	db = was;
	check_all(2);
	test_dir_remove(copy);
}
END_TEST

START_TEST(full_disk_fails_the_batch_and_nothing_else)
{
	struct lsm_db *was = db;
	struct lsm_options o = options;
	struct lsm_stats s;
	unsigned n;
	int r = 0;

	o.env = env_fault_new();
	o.write_buffer_bytes = 256 << 10;
	/* No flush meanwhile: it may be the one that finds the disk full. */
	o.blob_file_bytes = 16 << 20;
	ck_ok(lsm_open("/store", &o, &db));
	ck_ok(put_bulk(0, KEYS, 1, true));
	env_fault_set_capacity(o.env, 5 << 20);
	for (n = 2; n < 20 && !r; n++)
		r = put_bulk(0, KEYS, n, false);
	ck_assert_int_eq(r, -ENOSPC);
	n -= 2; /* the last that was written */
	ck_assert_uint_gt(n, 1);
	ck_assert_int_eq(lsm_background_error(db), 0);
	check_all(n);
	/* what fits in the log goes on being written */
	ck_ok(put_bulk(3, 4, 99, true));
	check_range(3, 4, 99);
	ck_ok(put_bulk(3, 4, n, true));
	env_fault_set_capacity(o.env, 0);
	ck_ok(put_bulk(0, KEYS / 2, n + 1, false));
	ck_ok(put_bulk(KEYS / 2, KEYS, n + 1, false));
	check_all(n + 1);
	ck_ok(lsm_flush(db));
	check_all(n + 1);
	s = stats();
	ck_assert_uint_gt(s.blob_files, 0);
	ck_ok(lsm_verify(db, NULL, NULL)); /* gaps are walked over */
	ck_ok(lsm_close(db));
	env_fault_restart(o.env, ENV_KEEP_NONE, false, 1);
	ck_ok(lsm_open("/store", &o, &db));
	check_all(n + 1);
	ck_ok(lsm_compact_range(db, none, none));
	check_all(n + 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	env_fault_free(o.env);
	db = was;
}
END_TEST

/* Two thousand batches on small memtables: most meet a switch now and then. */
struct bulk_writer {
	pthread_t id;
	unsigned from, to, last;
};

static void *bulk_main(void *arg)
{
	struct bulk_writer *w = arg;

	for (unsigned v = 1; v <= 60; v++) {
		if (put_bulk(w->from, w->to, v, v % 20 == 0))
			break;
		w->last = v;
	}
	return NULL;
}

START_TEST(writers_beside_each_other_and_flushes_lose_nothing)
{
	struct bulk_writer w[4];
	unsigned i;

	options.write_buffer_bytes = 16 << 10;
	options.blob_file_bytes = 400 << 10;
	reopen();
	for (i = 0; i < 4; i++) {
		w[i] = (struct bulk_writer){.from = i * KEYS / 4,
					    .to = (i + 1) * KEYS / 4};
		ck_assert_int_eq(
			pthread_create(&w[i].id, NULL, bulk_main, &w[i]), 0);
	}
	for (i = 0; i < 20; i++)
		ck_ok(lsm_flush(db));
	for (i = 0; i < 4; i++) {
		pthread_join(w[i].id, NULL);
		ck_assert_uint_eq(w[i].last, 60);
	}
	check_all(60);
	ck_ok(lsm_wait_idle(db));
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	check_all(60);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db direct");
	TCase *t = tcase_create("direct");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
		t, bulk_values_are_written_once_and_read_from_the_start, 0, 2);
	tcase_add_test(t, small_batches_go_through_the_log);
	tcase_add_test(
		t,
		single_values_are_bulk_while_nobody_syncs_and_none_compresses);
	tcase_add_test(t, one_batch_holds_all_kinds_of_operations);
	tcase_add_test(t, files_without_live_values_go_with_their_memtable);
	tcase_add_test(t, values_survive_the_end_of_the_process);
	tcase_add_loop_test(
		t, history_ends_where_values_of_the_tail_are_missing, 0, 2);
	tcase_add_loop_test(t, missing_values_of_a_durable_record_are_damage, 0,
			    2);
	tcase_add_loop_test(
		t, damage_in_a_durable_value_is_reported_when_it_is_read, 0, 2);
	tcase_add_test(t, repair_without_manifest_keeps_bulk_values);
	tcase_add_test(t, checkpoint_holds_bulk_values);
	tcase_add_test(t, full_disk_fails_the_batch_and_nothing_else);
	tcase_add_test(t, writers_beside_each_other_and_flushes_lose_nothing);
	suite_add_tcase(s, t);
	return run_suite(s);
}
