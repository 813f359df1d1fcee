/* SPDX-License-Identifier: MIT */
/*
 * test_late_sync.c - a sync of the log that is still under way when the log
 * fails and lsm_resume() is called: it ends while the memtables are flushed, or
 * when the store takes writes again, and it fails, or not.
 *
 * Whatever it says, and whenever: who waited for it must not be told of more
 * than is on the disk, a failure must not be lost, and one more lsm_resume() at
 * most must bring the store back with everything that was acknowledged.
 */
#include "tests/lsm/db/slow_disk.h"

#define WRITES 20 /* before the failure, and after it */

enum when { DURING_THE_FLUSH, AFTER_THE_RESUME, WHENS };

static struct caller late;    /* its sync of the log is late */
static struct gate late_gate; /* where it waits */
static int late_result;
static bool ends_in_flush;

static int late_log_sync(struct env_log *log)
{
	int result = is_slow ? late_result : 0;

	/* The disk has done what it can, and the caller is told late. */
	if (!result)
		result = disk.wrapped->log_sync(log);
	if (is_slow)
		gate_pass(&late_gate);
	return result;
}

/* A table is begun: the late sync ends first, if it is to. */
static int late_writer_create(struct env_dir *dir, const char *name,
			      struct env_writer **out)
{
	if (ends_in_flush && is_table(name)) {
		gate_open(&late_gate);
		wait_for(&late.over);
	}
	return disk.wrapped->writer_create(dir, name, out);
}

static void make_late_disk(enum when when, int result)
{
	disk_make();
	disk.ops.log_sync = late_log_sync;
	disk.ops.writer_create = late_writer_create;
	gate_close(&late_gate);
	late_result = result;
	ends_in_flush = when == DURING_THE_FLUSH;
}

static void open_store(struct lsm_db **db)
{
	const struct lsm_options o = {
		.env = disk.env,
		.wal_sync_interval_ms = UINT32_MAX,
		.no_background_compaction = true,
	};

	ck_ok(lsm_open(DISK_PATH, &o, db));
}

static void write_some(struct lsm_db *db, unsigned from)
{
	char key[16], value[8192];

	for (unsigned i = from; i < from + WRITES; i++)
		ck_ok(lsm_put(db, model_key(key, i),
			      model_value(value, i + 1)));
}

static int put_refused(struct lsm_db *db)
{
	return lsm_put(db, slice_of("refused"), slice_of("x"));
}

static void check_all(struct lsm_db *db, unsigned count)
{
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned i = 0; i < count; i++) {
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
		ck_assert_uint_eq(model_number(lsm_slice(pin.data, pin.len)),
				  i + 1);
	}
	ck_assert_int_eq(lsm_get(db, NULL, slice_of("refused"), &pin),
			 LSM_NOTFOUND);
	lsm_unpin(&pin);
}

/* An append fails while a sync of the same log is under way. */
static void fail_the_log(struct lsm_db *db)
{
	caller_start(&late, db, lsm_sync, true);
	ck_assert(wait_for(&late_gate.reached));
	disk_fail_next();
	ck_assert_int_eq(put_refused(db), -EIO);
	ck_assert_int_eq(lsm_background_error(db), -EIO);
}

/* The store takes writes again, and then the sync of the old log ends. */
static void end_after_resume(struct lsm_db *db)
{
	struct caller other;

	write_some(db, WRITES);
	caller_start(&other, db, lsm_sync, false);
	ck_assert(!atomic_load(&late.over));
	gate_open(&late_gate);
	ck_assert_int_eq(caller_end(&late), late_result);
	/* It asked before the failure or after it. */
	ck_assert_int_eq(caller_end(&other), late_result);
	ck_assert_int_eq(lsm_background_error(db), late_result);
	if (!late_result)
		return;
	ck_assert_int_eq(put_refused(db), late_result);
	ck_ok(lsm_resume(db));
}

static void end_during_flush(struct lsm_db *db, unsigned logs)
{
	ck_assert(atomic_load(&late.over));
	ck_assert_int_eq(caller_end(&late), late_result);
	/* A failure that comes so late costs one log more. */
	ck_assert_uint_eq(disk_logs(), logs + (late_result ? 2 : 1));
	write_some(db, WRITES);
}

START_TEST(sync_may_end_late)
{
	enum when when = (enum when)(_i % WHENS);
	struct lsm_db *db;
	unsigned logs;

	make_late_disk(when, _i / WHENS ? -EIO : 0);
	open_store(&db);
	write_some(db, 0);
	fail_the_log(db);
	logs = disk_logs();
	ck_ok(lsm_resume(db));
	ck_assert_int_eq(lsm_background_error(db), 0);
	if (when == DURING_THE_FLUSH)
		end_during_flush(db, logs);
	else
		end_after_resume(db);

	ck_assert_int_eq(lsm_background_error(db), 0);
	ck_ok(lsm_sync(db));
	check_all(db, 2 * WRITES);
	disk_power_off();
	ck_assert_int_ne(put_refused(db), 0);
	lsm_close(db);
	disk_restart();
	open_store(&db);
	check_all(db, 2 * WRITES);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	disk_free();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db late sync");
	TCase *t = tcase_create("late");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, sync_may_end_late, 0, 2 * WHENS);
	suite_add_tcase(s, t);
	return run_suite(s);
}
