/* SPDX-License-Identifier: MIT */
/*
 * test_share.c - values in blob files that several keys share: they take no
 * room, outlive the key they came from, and what they lie in stays as long as
 * anything leads there, be it a table, a log or only a batch.
 */
#include "tests/lsm/db/db_check.h"

#define KEYS        256
#define VALUE_BYTES 4096

static struct lsm_env *env; /* NULL: the operating system's */
static char path[64];
static struct lsm_options options;
static struct lsm_db *db;
static const struct lsm_slice none;

static void set_options(void)
{
	options = (struct lsm_options){.env = env,
				       .write_buffer_bytes = 4 << 20,
				       .memory_bytes = 16 << 20,
				       .compression = LSM_COMPRESSION_NONE,
				       .wal_sync_interval_ms = UINT32_MAX,
				       .blob_bytes = 1000,
				       .blob_file_bytes = 256 << 10};
}

static void setup(void)
{
	env = NULL;
	test_dir_make(path);
	set_options();
	ck_ok(lsm_open(path, &options, &db));
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	test_dir_remove(path);
}

/* A disk that can lose its power. */
static void setup_fault(void)
{
	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	snprintf(path, sizeof(path), "/store");
	set_options();
	ck_ok(lsm_open(path, &options, &db));
}

static void teardown_fault(void)
{
	ck_ok(lsm_close(db));
	env_fault_free(env);
}

/* The process ends here, and what it wrote is there. */
static void kill_and_reopen(void)
{
	env_fault_power_off_at(env, env_fault_calls(env));
	lsm_close(db); /* fails */
	env_fault_restart(env, ENV_KEEP_ALL, false, 1);
	ck_ok(lsm_open(path, &options, &db));
}

static void reopen(void)
{
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
}

static struct lsm_slice key_of(char buf[16], char prefix, unsigned i)
{
	return lsm_slice(buf, (size_t)snprintf(buf, 16, "%c%05u", prefix, i));
}

static struct lsm_slice value_of(unsigned i, unsigned v, char *buf)
{
	uint64_t seed = i * 1000003ull + v;

	for (size_t k = 0; k < VALUE_BYTES; k += 8)
		memcpy(buf + k, &(uint64_t){rnd(&seed)}, 8);
	return lsm_slice(buf, VALUE_BYTES);
}

static void put_all(char prefix, unsigned v)
{
	char key[16], buf[VALUE_BYTES];

	for (unsigned i = 0; i < KEYS; i++)
		ck_ok(lsm_put(db, key_of(key, prefix, i), value_of(i, v, buf)));
}

/* Fails the call that is n calls away, and flushes or resumes. */
static int with_error(unsigned n, int (*work)(struct lsm_db *))
{
	int r;

	env_fault_fail_at(env, env_fault_calls(env) + n, -EIO, false);
	r = work(db);
	env_fault_clear(env);
	return r;
}

/* In one batch, which goes to a blob file by itself. */
static void put_bulk(char prefix, unsigned v)
{
	struct lsm_batch *b = lsm_batch_new();
	char key[16], buf[VALUE_BYTES];

	for (unsigned i = 0; i < KEYS; i++)
		ck_ok(lsm_batch_put(b, key_of(key, prefix, i),
				    value_of(i, v, buf)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static void check_all(char prefix, unsigned v)
{
	struct lsm_iter_options o = {
		.lower = lsm_slice(&prefix, 1),
		.upper = lsm_slice((char[]){prefix + 1}, 1)};
	char key[16], buf[VALUE_BYTES];
	struct lsm_pin pin = {0};
	struct lsm_iter *it;
	int r;

	ck_ok(lsm_iter_new(db, &o, &it));
	r = lsm_iter_first(it);
	for (unsigned i = 0; i < KEYS; i++) {
		struct lsm_slice want = value_of(i, v, buf), got;

		ck_ok(lsm_get(db, NULL, key_of(key, prefix, i), &pin));
		ck_assert_uint_eq(pin.len, want.len);
		ck_assert(!memcmp(pin.data, want.data, want.len));
		ck_ok(r);
		got = lsm_iter_value(it);
		ck_ok(lsm_iter_error(it));
		ck_assert_uint_eq(got.len, want.len);
		ck_assert(!memcmp(got.data, want.data, want.len));
		r = lsm_iter_next(it);
	}
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
	lsm_unpin(&pin);
}

/* Into b: each value of from under the same number of to. */
static void add_clone(struct lsm_batch *b, char from, char to)
{
	struct lsm_iter_options o = {.lower = lsm_slice(&from, 1),
				     .upper = lsm_slice((char[]){from + 1}, 1)};
	struct lsm_iter *it;
	char key[16];
	unsigned i = 0;
	int r;

	ck_ok(lsm_iter_new(db, &o, &it));
	for (r = lsm_iter_first(it); !r; r = lsm_iter_next(it))
		ck_ok(lsm_batch_put_shared(b, key_of(key, to, i++), it));
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
	ck_assert_uint_eq(i, KEYS);
}

static void clone_all(char from, char to)
{
	struct lsm_batch *b = lsm_batch_new();

	ck_assert_ptr_nonnull(b);
	add_clone(b, from, to);
	ck_assert_uint_lt(lsm_batch_size(b), KEYS * 64);
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static void delete_all(char prefix)
{
	struct lsm_batch *b = lsm_batch_new();

	ck_ok(lsm_batch_delete_range(b, lsm_slice(&prefix, 1),
				     lsm_slice((char[]){prefix + 1}, 1)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static unsigned count_blobs(uint64_t *bytes)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;
	unsigned n = 0;

	*bytes = 0;
	while (d && (e = readdir(d))) {
		const char *end = strstr(e->d_name, ".blob");

		if (!end || fstatat(dirfd(d), e->d_name, &st, 0))
			continue;
		n++;
		*bytes += (uint64_t)st.st_size;
	}
	closedir(d);
	return n;
}

static struct lsm_stats stats(void)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	return s;
}

/* Everything merged, everything collected. */
static void settle(void)
{
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_wait_idle(db));
}

START_TEST(shared_values_take_no_room)
{
	uint64_t values, written;

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	values = stats().blob_value_bytes;
	written = stats().blob_written_bytes;
	ck_assert_uint_eq(values, KEYS * VALUE_BYTES);
	clone_all('a', 'b');
	check_all('b', 1);   /* out of the memtable */
	clone_all('b', 'c'); /* of what is in the memtable */
	ck_ok(lsm_flush(db));
	check_all('a', 1);
	check_all('b', 1);
	check_all('c', 1);
	ck_assert_uint_eq(stats().blob_value_bytes, values);
	ck_assert_uint_eq(stats().blob_written_bytes, written);
	ck_assert_uint_eq(stats().blob_live_bytes, values);
	settle();
	reopen();
	check_all('c', 1);
	ck_assert_uint_eq(stats().blob_value_bytes, values);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(shared_values_outlive_the_key_they_came_from)
{
	put_all('a', 1);
	ck_ok(lsm_flush(db));
	clone_all('a', 'b');
	delete_all('a');
	settle();
	check_all('b', 1);
	ck_assert_uint_eq(stats().blob_live_bytes, KEYS * VALUE_BYTES);
	clone_all('b', 'c');
	put_all('b', 2);
	settle();
	check_all('b', 2);
	check_all('c', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	check_all('c', 1);
	delete_all('b');
	delete_all('c');
	settle();
	ck_assert_uint_eq(stats().blob_files, 0);
}
END_TEST

/* Nothing but the batch leads into the files any more. */
START_TEST(batch_keeps_what_its_handles_lead_to)
{
	struct lsm_batch *b = lsm_batch_new();
	unsigned files;

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	files = stats().blob_files;
	add_clone(b, 'a', 'b');
	delete_all('a');
	settle();
	ck_assert_uint_eq(stats().blob_files, files);
	ck_assert_uint_eq(stats().blob_live_bytes, 0);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_write(db, b, NULL));
	/* and may be written again, after it was flushed */
	ck_ok(lsm_flush(db));
	delete_all('b');
	settle();
	ck_assert_uint_eq(stats().blob_files, files);
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	settle();
	check_all('b', 1);
	ck_assert_uint_eq(stats().blob_live_bytes, KEYS * VALUE_BYTES);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(files_go_when_the_last_batch_lets_go)
{
	struct lsm_batch *b = lsm_batch_new();

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	add_clone(b, 'a', 'b');
	delete_all('a');
	settle();
	ck_assert_uint_gt(stats().blob_files, 0);
	lsm_batch_clear(b); /* by itself: nothing else is written */
	ck_ok(lsm_wait_idle(db));
	ck_assert_uint_eq(stats().blob_files, 0);
	/* the same for a memtable whose handles are hidden when it is flushed
	 */
	put_all('a', 1);
	ck_ok(lsm_flush(db));
	add_clone(b, 'a', 'b');
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	delete_all('a');
	ck_ok(lsm_compact_range(db, none, none));
	clone_all('b', 'c');
	delete_all('b');
	delete_all('c');
	settle();
	ck_assert_uint_eq(stats().blob_files, 0);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(value_of_a_file_that_is_gone_is_copied)
{
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_iter_options o = {.lower = slice_of("a"),
				     .upper = slice_of("b")};
	struct lsm_iter *it;
	char key[16];
	unsigned i = 0;

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	ck_ok(lsm_iter_new(db, &o, &it));
	delete_all('a');
	settle();
	ck_assert_uint_eq(stats().blob_files, 0);
	for (int r = lsm_iter_first(it); !r; r = lsm_iter_next(it))
		ck_ok(lsm_batch_put_shared(b, key_of(key, 'b', i++), it));
	lsm_iter_free(it);
	ck_assert_uint_gt(lsm_batch_size(b), KEYS * VALUE_BYTES);
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	check_all('b', 1);
	settle();
	check_all('b', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

START_TEST(small_values_and_wrong_use)
{
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_pin pin = {0};
	struct lsm_db *other;
	struct lsm_iter *it;
	char copy[128];

	ck_ok(lsm_put(db, slice_of("small"), slice_of("value")));
	ck_ok(lsm_iter_new(db, NULL, &it));
	/* it stands nowhere */
	ck_assert_int_eq(lsm_batch_put_shared(b, slice_of("k"), it), -EINVAL);
	ck_assert_int_eq(lsm_write(db, b, NULL), -EINVAL);
	lsm_batch_clear(b);
	ck_ok(lsm_iter_first(it));
	ck_ok(lsm_batch_put_shared(b, slice_of("k"), it));
	ck_assert_int_eq(lsm_batch_put_shared(b, none, it), -EINVAL);
	lsm_batch_clear(b);
	ck_ok(lsm_batch_put_shared(b, slice_of("k"), it));
	lsm_iter_free(it);
	ck_ok(lsm_write(db, b, NULL));
	ck_ok(lsm_get(db, NULL, slice_of("k"), &pin));
	ck_assert_uint_eq(pin.len, 5);
	lsm_unpin(&pin);
	lsm_batch_clear(b);
	/* a handle means nothing to another store */
	put_all('a', 1);
	ck_ok(lsm_flush(db));
	snprintf(copy, sizeof(copy), "%s.other", path);
	ck_ok(lsm_open(copy, &options, &other));
	add_clone(b, 'a', 'b');
	ck_assert_int_eq(lsm_write(other, b, NULL), -EINVAL);
	lsm_batch_free(b);
	ck_ok(lsm_close(other));
	test_dir_remove(copy);
}
END_TEST

START_TEST(snapshots_share_and_are_shared)
{
	const struct lsm_snapshot *old;
	struct lsm_iter_options o = {.lower = slice_of("a"),
				     .upper = slice_of("b")};
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_iter *it;
	char key[16];
	unsigned i = 0;

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	old = lsm_snapshot_take(db);
	put_all('a', 2);
	settle();
	o.snapshot = old;
	ck_ok(lsm_iter_new(db, &o, &it));
	for (int r = lsm_iter_last(it); !r; r = lsm_iter_prev(it), i++)
		ck_ok(lsm_batch_put_shared(b, key_of(key, 'b', KEYS - 1 - i),
					   it));
	lsm_iter_free(it);
	ck_assert_uint_lt(lsm_batch_size(b), KEYS * 64);
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	lsm_snapshot_release(db, old);
	settle();
	check_all('a', 2);
	check_all('b', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

/* All but every fourth. */
static void delete_most(char prefix)
{
	char key[16];

	for (unsigned i = 0; i < KEYS; i++)
		if (i % 4)
			ck_ok(lsm_delete(db, key_of(key, prefix, i)));
}

/* Values moved out of mostly dead files, for three keys each. */
START_TEST(collected_values_stay_shared)
{
	struct lsm_pin pin = {0};
	char key[16], buf[VALUE_BYTES];

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	clone_all('a', 'b');
	/* and neighbours, whose values wait in one block */
	for (unsigned i = 0; i < KEYS; i += 4) {
		struct lsm_iter *it;
		struct lsm_batch *b = lsm_batch_new();

		ck_ok(lsm_iter_new(db, NULL, &it));
		ck_ok(lsm_iter_seek(it, key_of(key, 'a', i)));
		memcpy(key + 6, "+", 2);
		ck_ok(lsm_batch_put_shared(b, lsm_slice(key, 7), it));
		ck_ok(lsm_write(db, b, NULL));
		lsm_iter_free(it);
		lsm_batch_free(b);
	}
	settle();
	delete_most('a');
	delete_most('b');
	settle();
	ck_assert_uint_gt(stats().blob_collected_bytes, 0);
	ck_assert_uint_le(stats().blob_value_bytes, KEYS * VALUE_BYTES * 3 / 8);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	for (unsigned i = 0; i < KEYS; i += 4) {
		struct lsm_slice want = value_of(i, 1, buf);

		for (char p = 'a'; p <= 'c'; p++) {
			struct lsm_slice k = key_of(key, p == 'c' ? 'a' : p, i);

			if (p == 'c')
				key[k.len++] = '+';
			ck_ok(lsm_get(db, NULL, k, &pin));
			ck_assert_uint_eq(pin.len, want.len);
			ck_assert(!memcmp(pin.data, want.data, want.len));
		}
	}
	lsm_unpin(&pin);
}
END_TEST

START_TEST(checkpoint_and_repair_keep_shared_values)
{
	char copy[128], command[512];
	struct lsm_db *was = db;

	put_all('a', 1);
	ck_ok(lsm_flush(db));
	clone_all('a', 'b');
	delete_all('a');
	snprintf(copy, sizeof(copy), "%s.copy", path);
	ck_ok(lsm_checkpoint(db, copy));
	delete_all('b');
	settle();
	ck_ok(lsm_open(copy, &options, &db));
	check_all('b', 1);
	clone_all('b', 'c');
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	/* without a manifest, all there is are tables and blob files */
	snprintf(command, sizeof(command), "rm %s/CURRENT %s/MANIFEST-*", copy,
		 copy);
	ck_assert_int_eq(system(command), 0);
	ck_ok(lsm_repair(copy, &options, NULL, NULL));
	ck_ok(lsm_open(copy, &options, &db));
	check_all('b', 1);
	check_all('c', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	db = was;
	test_dir_remove(copy);
}
END_TEST

/* What leads into the files is the log alone. */
START_TEST(log_keeps_what_its_handles_lead_to)
{
	put_all('a', 1);
	ck_ok(lsm_flush(db));
	clone_all('a', 'b');
	delete_all('a');
	/* what moves the tables is no flush of the clone */
	kill_and_reopen();
	check_all('b', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	clone_all('b', 'c');
	delete_all('b');
	ck_ok(lsm_sync(db));
	env_fault_power_off_at(env, env_fault_calls(env));
	lsm_close(db);
	env_fault_restart(env, ENV_KEEP_NONE, false, 1);
	/* read-only the handles stay in the memtable */
	options.read_only = true;
	ck_ok(lsm_open(path, &options, &db));
	check_all('c', 1);
	ck_ok(lsm_close(db));
	options.read_only = false;
	ck_ok(lsm_repair(path, &options, NULL, NULL));
	ck_ok(lsm_open(path, &options, &db));
	check_all('c', 1);
	settle();
	check_all('c', 1);
	ck_assert_uint_eq(stats().blob_live_bytes, KEYS * VALUE_BYTES);
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

/* The tables let go of the files while the log has a clone. */
START_TEST(compaction_beside_an_unflushed_clone_keeps_the_files)
{
	struct lsm_batch *b = lsm_batch_new();

	for (unsigned sync = 0; sync < 2; sync++) {
		struct lsm_write_options wo = {.sync = sync};

		put_all('a', 1 + sync);
		ck_ok(lsm_flush(db));
		add_clone(b, 'a', 'b');
		delete_all('a');
		settle(); /* only the batch leads there */
		ck_ok(lsm_write(db, b, &wo));
		lsm_batch_clear(b);
		ck_ok(lsm_wait_idle(db));
		check_all('b', 1 + sync);
		kill_and_reopen();
		check_all('b', 1 + sync);
		ck_ok(lsm_verify(db, NULL, NULL));
	}
	lsm_batch_free(b);
}
END_TEST

/* ---- what a bulk write put into a file that no version has yet ---- */

START_TEST(values_of_unflushed_bulk_writes_are_shared)
{
	put_bulk('a', 1);
	clone_all('a', 'b'); /* looks that the batch is small */
	check_all('b', 1);
	clone_all('b', 'c');
	check_all('c', 1);
	ck_ok(lsm_flush(db));
	check_all('a', 1);
	check_all('c', 1);
	ck_assert_uint_eq(stats().blob_value_bytes, KEYS * VALUE_BYTES);
	ck_ok(lsm_verify(db, NULL, NULL));
	delete_all('a');
	delete_all('b');
	settle();
	reopen();
	check_all('c', 1);
	delete_all('c');
	settle();
	ck_assert_uint_eq(stats().blob_files, 0);
}
END_TEST

/* The flush finds that no table refers to the file. */
START_TEST(flush_adds_a_file_that_only_a_batch_leads_to)
{
	struct lsm_batch *b = lsm_batch_new();
	uint64_t bytes;

	put_bulk('a', 1);
	add_clone(b, 'a', 'b');
	ck_assert_uint_lt(lsm_batch_size(b), KEYS * 64);
	delete_all('a');
	ck_ok(lsm_flush(db));
	settle();
	ck_assert_uint_eq(stats().blob_files, 1);
	ck_assert_uint_eq(stats().blob_live_bytes, 0);
	ck_ok(lsm_write(db, b, NULL));
	check_all('b', 1);
	lsm_batch_clear(b);
	settle();
	check_all('b', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	/* let go of while it is flushed, or before */
	put_bulk('c', 1);
	add_clone(b, 'c', 'd');
	delete_all('c');
	lsm_batch_free(b);
	delete_all('b');
	settle();
	ck_assert_uint_eq(stats().blob_files, 0);
	ck_assert_uint_eq(count_blobs(&bytes), 0);
}
END_TEST

START_TEST(clone_of_an_unflushed_bulk_write_survives_power_loss)
{
	for (unsigned i = 0; i < 2; i++) {
		put_bulk('a', 1 + i);
		clone_all('a', 'b');
		delete_all('a');
		if (!i)
			ck_ok(lsm_sync(db));
		env_fault_power_off_at(env, env_fault_calls(env));
		lsm_close(db);
		env_fault_restart(env, i ? ENV_KEEP_ALL : ENV_KEEP_NONE, false,
				  1);
		if (i)
			ck_ok(lsm_repair(path, &options, NULL, NULL));
		ck_ok(lsm_open(path, &options, &db));
		check_all('b', 1 + i);
		ck_ok(lsm_verify(db, NULL, NULL));
	}
}
END_TEST

/* A memtable could not be flushed, for two errors in a row; meanwhile the next
 * one got handles into its file. Once the disk works both are. */
START_TEST(clone_in_the_memtable_behind_does_not_block_the_flush)
{
	struct lsm_batch *b;
	unsigned n;

	options.no_background_compaction = true; /* the errors are not for it */
	reopen();
	for (n = 0; n < 3 * 4; n++) {
		put_bulk('a', n);
		(void)with_error(1 + n / 4, lsm_flush);
		b = lsm_batch_new();
		add_clone(b, 'a', 'b');
		ck_ok(lsm_write(db, b, NULL));
		lsm_batch_free(b);
		(void)with_error(n % 4, lsm_resume);
		ck_ok(lsm_resume(db));
		check_all('a', n);
		check_all('b', n);
		settle();
	}
	ck_ok(lsm_verify(db, NULL, NULL));
	kill_and_reopen();
	check_all('a', n - 1);
	check_all('b', n - 1);
}
END_TEST

/* What the file holds may be lost: its values are moved when they are flushed,
 * which has to wait for the batch that leads there. */
START_TEST(file_whose_sync_failed_waits_for_the_batch)
{
	struct lsm_batch *b = lsm_batch_new();

	put_bulk('a', 1);
	add_clone(b, 'a', 'b');
	env_fault_fail_at(env, env_fault_calls(env), -EIO, true);
	ck_assert_int_eq(lsm_sync(db), -EIO);
	env_fault_clear(env);
	ck_assert_int_lt(lsm_resume(db), 0);
	check_all('a', 1);
	ck_assert_int_lt(lsm_write(db, b, NULL), 0);
	lsm_batch_clear(b);
	ck_ok(lsm_resume(db));
	check_all('a', 1);
	add_clone(b, 'a', 'b');
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
	settle();
	check_all('b', 1);
	ck_ok(lsm_verify(db, NULL, NULL));
	kill_and_reopen();
	check_all('a', 1);
	check_all('b', 1);
}
END_TEST

/* ---- threads ---- */

struct racer {
	pthread_t thread;
	uint64_t seed;
	unsigned rounds;
};

static unsigned checksum(struct lsm_slice v)
{
	unsigned sum = 1;

	for (size_t i = 4; i < v.len; i++)
		sum = sum * 31 + ((const unsigned char *)v.data)[i];
	return sum;
}

/* Values say themselves whether they are whole. */
static void *overwrite(void *arg)
{
	struct racer *r = arg;
	char key[16], buf[VALUE_BYTES];
	unsigned sum;

	for (unsigned n = 0; n < r->rounds * 4; n++) {
		unsigned i = rnd_below(&r->seed, KEYS);
		struct lsm_slice v = value_of(i, n, buf);

		sum = checksum(v);
		memcpy(buf, &sum, 4);
		ck_ok(lsm_put(db, key_of(key, (char)('a' + n % 4), i), v));
	}
	return NULL;
}

static void *write_bulk(void *arg)
{
	struct racer *r = arg;
	struct lsm_batch *b = lsm_batch_new();
	char key[16], buf[VALUE_BYTES];
	unsigned sum;

	for (unsigned n = 0; n < r->rounds / 10; n++) {
		unsigned i = rnd_below(&r->seed, KEYS);

		lsm_batch_clear(b);
		for (unsigned k = 0; k < 20; k++) {
			struct lsm_slice v = value_of(i, n + k, buf);

			sum = checksum(v);
			memcpy(buf, &sum, 4);
			ck_ok(lsm_batch_put(b,
					    key_of(key, (char)('a' + n % 4),
						   (i + k) % KEYS),
					    v));
		}
		ck_ok(lsm_write(db, b, NULL));
	}
	lsm_batch_free(b);
	return NULL;
}

static void *share(void *arg)
{
	struct racer *r = arg;
	struct lsm_batch *b = lsm_batch_new();
	char key[16];

	for (unsigned n = 0; n < r->rounds; n++) {
		unsigned i = rnd_below(&r->seed, KEYS);
		unsigned j = rnd_below(&r->seed, KEYS);
		struct lsm_iter *it;

		ck_ok(lsm_iter_new(db, NULL, &it));
		lsm_batch_clear(b);
		for (int e = lsm_iter_seek(
			     it, key_of(key, 'a' + rnd_below(&r->seed, 4), i));
		     !e && lsm_batch_count(b) < 20; e = lsm_iter_next(it))
			ck_ok(lsm_batch_put_shared(
				b,
				key_of(key, 'a' + rnd_below(&r->seed, 4),
				       j++ % KEYS),
				it));
		lsm_iter_free(it);
		ck_ok(lsm_write(db, b, NULL));
	}
	lsm_batch_free(b);
	return NULL;
}

static void *read_back(void *arg)
{
	struct racer *r = arg;
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned n = 0; n < r->rounds * 4; n++) {
		unsigned i = rnd_below(&r->seed, KEYS), sum;
		int e = lsm_get(db, NULL, key_of(key, 'a' + n % 4, i), &pin);

		ck_assert(e == 0 || e == LSM_NOTFOUND);
		if (e)
			continue;
		memcpy(&sum, pin.data, 4);
		ck_assert_uint_eq(sum, checksum(lsm_slice(pin.data, pin.len)));
	}
	lsm_unpin(&pin);
	return NULL;
}

START_TEST(sharing_races_with_collecting)
{
	void *(*const mains[])(void *) = {overwrite, write_bulk, share, share,
					  read_back};
	uint64_t seed = test_seed(5);
	struct racer racers[5];

	options.write_buffer_bytes = 256 << 10;
	options.blob_file_bytes = 64 << 10;
	options.table_bytes = 8 << 10;
	options.level_base_bytes = 16 << 10;
	reopen();
	for (unsigned i = 0; i < 5; i++) {
		racers[i].seed = rnd(&seed);
		racers[i].rounds = 1500;
		ck_assert_int_eq(pthread_create(&racers[i].thread, NULL,
						mains[i], &racers[i]),
				 0);
	}
	for (unsigned i = 0; i < 5; i++)
		pthread_join(racers[i].thread, NULL);
	ck_ok(lsm_flush(db));
	ck_ok(lsm_wait_idle(db));
	ck_assert_uint_gt(stats().compactions, 0);
	ck_ok(lsm_verify(db, NULL, NULL));
	reopen();
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db share");
	TCase *t = tcase_create("share"), *f = tcase_create("share, killed");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, shared_values_take_no_room);
	tcase_add_test(t, shared_values_outlive_the_key_they_came_from);
	tcase_add_test(t, batch_keeps_what_its_handles_lead_to);
	tcase_add_test(t, files_go_when_the_last_batch_lets_go);
	tcase_add_test(t, value_of_a_file_that_is_gone_is_copied);
	tcase_add_test(t, small_values_and_wrong_use);
	tcase_add_test(t, snapshots_share_and_are_shared);
	tcase_add_test(t, collected_values_stay_shared);
	tcase_add_test(t, checkpoint_and_repair_keep_shared_values);
	tcase_add_test(t, values_of_unflushed_bulk_writes_are_shared);
	tcase_add_test(t, flush_adds_a_file_that_only_a_batch_leads_to);
	tcase_add_test(t, sharing_races_with_collecting);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(f, setup_fault, teardown_fault);
	tcase_add_test(f, log_keeps_what_its_handles_lead_to);
	tcase_add_test(f, compaction_beside_an_unflushed_clone_keeps_the_files);
	tcase_add_test(f, clone_of_an_unflushed_bulk_write_survives_power_loss);
	tcase_add_test(f, file_whose_sync_failed_waits_for_the_batch);
	tcase_add_test(f,
		       clone_in_the_memtable_behind_does_not_block_the_flush);
	suite_add_tcase(s, f);
	return run_suite(s);
}
