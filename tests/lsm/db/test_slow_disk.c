/* SPDX-License-Identifier: MIT */
/*
 * test_slow_disk.c - what is promised of syncs, flushes and lsm_resume() holds
 * however long a call of the disk takes, and whatever comes meanwhile.
 */
#include "tests/lsm/db/slow_disk.h"

#define WRITE_BUFFERS 32 /* the most there can be */
#define INTERVAL_MS   50 /* of the timer that syncs */
#define AT_ONCE       8

static struct lsm_options options;
static struct lsm_db *db;
static struct gate table_gate;  /* a table is begun */
static struct gate delete_gate; /* a blob file is deleted */
static struct gate append_gate; /* a slow thread appends to a log */
static struct gate sync_gate;   /* a slow thread syncs a log */
static _Atomic(struct env_log *) newest_log;
static atomic_bool newest_synced;  /* since this was set to false */
static atomic_bool close_is_armed; /* see log_close_that_fails_compaction() */
static atomic_bool compaction_fails;
static struct caller compactor;

static void setup(void)
{
	disk_make();
	options = (struct lsm_options){.env = disk.env,
				       .no_background_compaction = true,
				       .wal_sync_interval_ms = UINT32_MAX};
	gate_close(&table_gate);
	gate_close(&delete_gate);
	gate_close(&append_gate);
	gate_close(&sync_gate);
	atomic_store(&newest_synced, false);
	atomic_store(&close_is_armed, false);
	atomic_store(&compaction_fails, false);
}

static void teardown(void)
{
	ck_ok(lsm_close(db));
	disk_free();
}

static void open_store(void)
{
	ck_ok(lsm_open(DISK_PATH, &options, &db));
}

/* After disk_power_off(). */
static void restart(void)
{
	lsm_close(db); /* fails */
	disk_restart();
	open_store();
}

static int put(const char *key, const char *value)
{
	return lsm_put(db, slice_of(key), slice_of(value));
}

static void check_value(const char *key, const char *want)
{
	struct lsm_pin pin = {0};

	ck_ok(lsm_get(db, NULL, slice_of(key), &pin));
	ck_assert_uint_eq(pin.len, strlen(want));
	ck_assert(!memcmp(pin.data, want, pin.len));
	lsm_unpin(&pin);
}

/* ---- many logs ---- */

static int gated_writer_create(struct env_dir *dir, const char *name,
			       struct env_writer **out)
{
	if (is_table(name))
		gate_pass(&table_gate);
	return disk.wrapped->writer_create(dir, name, out);
}

static int gated_dir_delete(struct env_dir *dir, const char *name)
{
	if (strstr(name, ".blob"))
		gate_pass(&delete_gate);
	return disk.wrapped->dir_delete(dir, name);
}

/* Writes until so many memtables are full. There must be room for them. */
static void fill_memtables(unsigned count)
{
	unsigned until = disk_logs() + count;
	static const char value[900];

	while (disk_logs() < until)
		ck_ok(lsm_put(db, slice_of("filler"),
			      lsm_slice(value, sizeof(value))));
}

/* Values that go to a blob file, which nobody needs when they are flushed. */
static void write_dead_values(void)
{
	struct lsm_batch *b = lsm_batch_new();
	static const char value[5000];
	char key[16];

	ck_assert_ptr_nonnull(b);
	for (unsigned i = 0; i < 20; i++)
		ck_ok(lsm_batch_put(b, model_key(key, i),
				    lsm_slice(value, sizeof(value))));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_clear(b);
	for (unsigned i = 0; i < 20; i++)
		ck_ok(lsm_batch_delete(b, model_key(key, i)));
	ck_ok(lsm_write(db, b, NULL));
	lsm_batch_free(b);
}

static void put_synced(const char *key, const char *value)
{
	const struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();

	ck_assert_ptr_nonnull(b);
	ck_ok(lsm_batch_put(b, slice_of(key), slice_of(value)));
	ck_ok(lsm_write(db, b, &wo));
	lsm_batch_free(b);
}

/* A flush has emptied the list of memtables, but not dropped their logs, and
 * the list is full again. */
START_TEST(sync_takes_all_logs_that_a_slow_flush_left)
{
	disk.ops.writer_create = gated_writer_create;
	disk.ops.dir_delete = gated_dir_delete;
	options.memory_bytes = 64 << 20;
	options.write_buffer_bytes = 8 << 10;
	options.write_buffer_count = WRITE_BUFFERS;
	options.blob_bytes = 1000;
	open_store();
	fill_memtables(1);
	ck_assert(wait_for(&table_gate.reached));
	/* while the first one is flushed */
	write_dead_values();
	fill_memtables(WRITE_BUFFERS - 4);
	gate_open(&table_gate);
	ck_assert(wait_for(&delete_gate.reached));
	fill_memtables(WRITE_BUFFERS - 3);

	put_synced("synced", "yes");
	disk_power_off();
	gate_open(&delete_gate);
	restart();
	check_value("synced", "yes");
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

/* ---- flushes at once ---- */

static int gated_log_append(struct env_log *log, const void *data, size_t len)
{
	if (is_slow)
		gate_pass(&append_gate);
	return disk.wrapped->log_append(log, data, len);
}

static int put_one(struct lsm_db *store)
{
	return lsm_put(store, slice_of("key"), slice_of("value"));
}

/* All of them find room for one memtable more, and wait for a writer. */
START_TEST(flushes_at_once_keep_to_write_buffer_count)
{
	struct caller writer, putters[AT_ONCE], flushers[AT_ONCE];
	unsigned logs;

	disk.ops.writer_create = gated_writer_create;
	disk.ops.log_append = gated_log_append;
	options.write_buffer_count = 2;
	open_store();
	logs = disk_logs();
	caller_start(&writer, db, put_one, true);
	ck_assert(wait_for(&append_gate.reached));
	for (unsigned i = 0; i < AT_ONCE; i++) {
		caller_start(&flushers[i], db, lsm_flush, false);
		sleep_ms(5);
		caller_start(&putters[i], db, put_one, false);
		sleep_ms(5);
	}
	gate_open(&append_gate);
	ck_ok(caller_end(&writer));
	for (unsigned i = 0; i < AT_ONCE; i++)
		ck_ok(caller_end(&putters[i]));
	ck_assert(wait_for(&table_gate.reached));
	sleep_ms(50);
	ck_assert_uint_eq(disk_logs(), logs + 1);

	gate_open(&table_gate);
	for (unsigned i = 0; i < AT_ONCE; i++)
		ck_ok(caller_end(&flushers[i]));
	disk_power_off();
	restart();
	check_value("key", "value");
}
END_TEST

/* ---- what lsm_resume() leaves ---- */

static int watched_log_create(struct env_dir *dir, const char *name,
			      const char *recycle, uint64_t prealloc_bytes,
			      struct env_log **out)
{
	int err = counted_log_create(dir, name, recycle, prealloc_bytes, out);

	if (!err && is_log(name))
		atomic_store(&newest_log, *out);
	return err;
}

/* Fails in the slow thread. */
static int watched_log_sync(struct env_log *log)
{
	int err;

	if (is_slow) {
		gate_pass(&sync_gate);
		return -EIO;
	}
	err = disk.wrapped->log_sync(log);
	if (!err && log == atomic_load(&newest_log))
		atomic_store(&newest_synced, true);
	return err;
}

static int name_snapshot(struct lsm_db *store)
{
	return lsm_snapshot_create(store, "name");
}

/* The manifest fails, the log does not, but the timer does not sync it then. */
START_TEST(timer_syncs_after_resume_what_it_gave_up_on)
{
	struct caller namer;

	disk.ops.log_create = watched_log_create;
	disk.ops.log_sync = watched_log_sync;
	options.wal_sync_interval_ms = INTERVAL_MS;
	open_store();
	caller_start(&namer, db, name_snapshot, true);
	ck_assert(wait_for(&sync_gate.reached));
	ck_assert(!atomic_load(&newest_synced));
	ck_ok(put("key", "value"));
	gate_open(&sync_gate);
	ck_assert_int_eq(caller_end(&namer), -EIO);
	ck_assert_int_eq(lsm_background_error(db), -EIO);
	sleep_ms(5 * INTERVAL_MS);
	ck_ok(lsm_resume(db));
	ck_assert_int_eq(lsm_background_error(db), 0);
	ck_assert(wait_for(&newest_synced));
	disk_power_off();
	restart();
	check_value("key", "value");
}
END_TEST

/* The compaction waits. */
static int slow_writer_create(struct env_dir *dir, const char *name,
			      struct env_writer **out)
{
	if (is_slow && is_table(name))
		gate_pass(&table_gate);
	return disk.wrapped->writer_create(dir, name, out);
}

static int failing_log_sync(struct env_log *log)
{
	if (is_slow && atomic_load(&compaction_fails))
		return -EIO;
	return disk.wrapped->log_sync(log);
}

/* The flush is done but for its log: the compaction fails before it ends. */
static int log_close_that_fails_compaction(struct env_log *log, bool trim)
{
	if (!is_slow && atomic_exchange(&close_is_armed, false)) {
		atomic_store(&compaction_fails, true);
		gate_open(&table_gate);
		wait_for(&compactor.over);
	}
	return disk.wrapped->log_close(log, trim);
}

static int compact_all(struct lsm_db *store)
{
	const struct lsm_slice none = {0};

	return lsm_compact_range(store, none, none);
}

START_TEST(manifest_that_fails_while_resume_flushes_is_seen)
{
	disk.ops.writer_create = slow_writer_create;
	disk.ops.log_sync = failing_log_sync;
	disk.ops.log_close = log_close_that_fails_compaction;
	open_store();
	ck_ok(put("a", "1"));
	ck_ok(lsm_flush(db));
	ck_ok(put("a", "2"));
	caller_start(&compactor, db, compact_all, true);
	ck_assert(wait_for(&table_gate.reached));
	ck_ok(put("b", "3"));
	disk_fail_next();
	ck_assert_int_eq(put("refused", "x"), -EIO);
	atomic_store(&close_is_armed, true);
	ck_ok(lsm_resume(db));
	ck_assert(!atomic_load(&close_is_armed));
	ck_assert_int_eq(caller_end(&compactor), -EIO);
	ck_assert_int_eq(lsm_background_error(db), 0);
	ck_ok(put("c", "4"));
	ck_ok(lsm_flush(db));
	disk_power_off();
	restart();
	check_value("a", "2");
	check_value("b", "3");
	check_value("c", "4");
	ck_ok(lsm_verify(db, NULL, NULL));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db slow disk");
	TCase *t = tcase_create("slow disk");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, sync_takes_all_logs_that_a_slow_flush_left);
	tcase_add_test(t, flushes_at_once_keep_to_write_buffer_count);
	tcase_add_test(t, timer_syncs_after_resume_what_it_gave_up_on);
	tcase_add_test(t, manifest_that_fails_while_resume_flushes_is_seen);
	suite_add_tcase(s, t);
	return run_suite(s);
}
