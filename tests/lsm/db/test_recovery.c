/* SPDX-License-Identifier: MIT */
/*
 * test_recovery.c - stores whose files were damaged from outside: what may be
 * forgiven (a torn end of the last log) and what must be refused with a line
 * that names the file and the place.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"

#include "tests/lsm/db/db_check.h"

#define PUTS 200

static char path[64];
static struct lsm_options options;
static struct log_text said;
static struct lsm_db *db;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){
		.block_bytes = 512,
		.write_buffer_bytes = 262144,
		.no_background_compaction = true,
		.wal_sync_interval_ms = UINT32_MAX,
	};
	log_text_use(&said, &options);
}

static void teardown(void)
{
	test_dir_remove(path);
}

static void open_store(void)
{
	ck_ok(lsm_open(path, &options, &db));
}

static void put_some(unsigned from, unsigned to)
{
	char key[16], value[8192];

	for (unsigned i = from; i < to; i++)
		ck_ok(lsm_put(db, model_key(key, i),
			      model_value(value, i + 1)));
}

/* Keys from..to-1 are there; more: the one after is not. */
static void check_some(unsigned from, unsigned to)
{
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned i = from; i < to; i++) {
		ck_ok(lsm_get(db, NULL, model_key(key, i), &pin));
		ck_assert_uint_eq(model_number(lsm_slice(pin.data, pin.len)),
				  i + 1);
	}
	ck_assert_int_eq(lsm_get(db, NULL, model_key(key, to), &pin),
			 LSM_NOTFOUND);
	lsm_unpin(&pin);
}

static void must_find(const char *suffix, char out[512])
{
	ck_assert_msg(test_dir_find(path, suffix, out), "no %s in %s", suffix,
		      path);
}

static off_t file_bytes(const char *file)
{
	struct stat st;

	ck_assert_int_eq(stat(file, &st), 0);
	return st.st_size;
}

static void flip(const char *file, off_t at)
{
	int fd = open(file, O_RDWR);
	uint8_t b;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &b, 1, at), 1);
	b ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

/* Leaves the directory as the end of the process would: the child never closes
 * its store. */
static void in_dying_child(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		fn();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void write_and_die(void)
{
	if (lsm_open(path, &options, &db))
		_exit(1);
	put_some(0, PUTS);
}

static void write_synced_and_die(void)
{
	if (lsm_open(path, &options, &db))
		_exit(1);
	put_some(0, PUTS / 2);
	if (lsm_sync(db))
		_exit(1);
	put_some(PUTS / 2, PUTS);
}

START_TEST(unsynced_writes_survive_the_end_of_the_process)
{
	in_dying_child(write_and_die);
	open_store();
	check_some(0, PUTS);
	ck_ok(lsm_close(db));
}
END_TEST

START_TEST(torn_end_of_the_last_log_is_cut_off)
{
	char wal[512];
	unsigned n = 0;
	struct lsm_pin pin = {0};
	char key[16];

	in_dying_child(write_and_die);
	must_find(".wal", wal);
	/* somewhere in the last records; the file is preallocated, so look
	 * for its last byte that is not zero */
	{
		int fd = open(wal, O_RDWR);
		off_t end = file_bytes(wal);
		uint8_t b = 0;

		while (end > 0 && !b)
			ck_assert_int_eq(pread(fd, &b, 1, --end), 1);
		ck_assert_int_eq(ftruncate(fd, end - 7), 0);
		close(fd);
	}
	open_store();
	while (!lsm_get(db, NULL, model_key(key, n), &pin))
		n++;
	lsm_unpin(&pin);
	ck_assert_uint_lt(n, PUTS);
	ck_assert_uint_ge(n, PUTS - 3);
	check_some(0, n);
	ck_ok(lsm_close(db));
}
END_TEST

START_TEST(damage_inside_a_synced_log_is_refused)
{
	char wal[512];

	in_dying_child(write_synced_and_die);
	must_find(".wal", wal);
	flip(wal, 2000);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_assert(log_text_has(&said, ".wal: "));
	ck_assert(log_text_has(&said, "offset"));
}
END_TEST

START_TEST(recycled_logs_do_not_bring_old_records_back)
{
	options.write_buffer_bytes = 32768;
	options.write_buffer_count = 2;
	for (unsigned round = 0; round < 5; round++) {
		in_dying_child(write_and_die);
		open_store();
		check_some(0, PUTS);
		for (unsigned i = 0; i < 20; i++) {
			put_some(0, PUTS);
			ck_ok(lsm_flush(db));
		}
		ck_ok(lsm_delete(db, slice_of("k00000")));
		ck_ok(lsm_close(db));
		open_store();
		check_some(1, PUTS);
		ck_ok(lsm_close(db));
	}
}
END_TEST

static void make_tables(void)
{
	open_store();
	put_some(0, PUTS);
	ck_ok(lsm_flush(db));
	ck_ok(lsm_close(db));
}

START_TEST(missing_table_is_refused_by_name)
{
	char sst[512];

	make_tables();
	must_find(".sst", sst);
	ck_assert_int_eq(unlink(sst), 0);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_assert(log_text_has(&said, strrchr(sst, '/') + 1));
}
END_TEST

START_TEST(truncated_table_is_refused_by_name)
{
	char sst[512];

	make_tables();
	must_find(".sst", sst);
	ck_assert_int_eq(truncate(sst, file_bytes(sst) - 1), 0);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_assert(log_text_has(&said, strrchr(sst, '/') + 1));
}
END_TEST

/* Every byte counts: wherever one is flipped, a scan or lsm_verify() says so
 * with the table's name, and nothing wrong is ever returned. */
START_TEST(flipped_byte_in_a_table_is_found)
{
	char sst[512];
	off_t bytes;

	make_tables();
	must_find(".sst", sst);
	bytes = file_bytes(sst);
	for (off_t at = 3; at < bytes; at += 1 + bytes / 60) {
		int r, opened;

		memset(said.text, 0, sizeof(said.text));
		flip(sst, at);
		opened = lsm_open(path, &options, &db);
		r = opened ? opened : lsm_verify(db, NULL, NULL);
		ck_assert_msg(r == -EUCLEAN || r == -EPROTONOSUPPORT,
			      "byte %lld of %lld: %d", (long long)at,
			      (long long)bytes, r);
		ck_assert(log_text_has(&said, strrchr(sst, '/') + 1));
		if (r == -EUCLEAN)
			ck_assert(log_text_has(&said, "offset"));
		if (!opened)
			lsm_close(db);
		flip(sst, at);
	}
	open_store();
	ck_ok(lsm_verify(db, NULL, NULL));
	check_some(0, PUTS);
	ck_ok(lsm_close(db));
}
END_TEST

START_TEST(corrupt_block_fails_reads_of_it_alone)
{
	struct lsm_iter *it;
	struct lsm_pin pin = {0};
	char sst[512], key[16];
	unsigned good = 0, bad = 0;
	int r;

	make_tables();
	must_find(".sst", sst);
	flip(sst, 1000);
	open_store();
	for (unsigned i = 0; i < PUTS; i++) {
		r = lsm_get(db, NULL, model_key(key, i), &pin);
		ck_assert(r == 0 || r == -EUCLEAN);
		if (r)
			bad++;
		else
			good++;
	}
	lsm_unpin(&pin);
	ck_assert_uint_gt(good, PUTS / 2);
	ck_assert_uint_gt(bad, 0);
	ck_ok(lsm_iter_new(db, NULL, &it));
	for (r = lsm_iter_first(it); !r; r = lsm_iter_next(it))
		;
	ck_assert_int_eq(r, -EUCLEAN);
	ck_assert(!lsm_iter_valid(it));
	lsm_iter_free(it);
	ck_ok(lsm_close(db));
}
END_TEST

START_TEST(damaged_manifest_is_refused)
{
	char name[512], manifest[512] = "";
	DIR *d;
	struct dirent *e;

	make_tables();
	d = opendir(path);
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "MANIFEST-", 9))
			snprintf(manifest, sizeof(manifest), "%s/%s", path,
				 e->d_name);
	closedir(d);
	ck_assert(manifest[0]);
	flip(manifest, 60);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_assert(log_text_has(&said, "MANIFEST-"));
	flip(manifest, 60);
	/* and a CURRENT that names nothing */
	snprintf(name, sizeof(name), "%s/CURRENT", path);
	ck_assert_int_eq(truncate(name, 3), 0);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
}
END_TEST

START_TEST(log_of_a_newer_format_is_refused)
{
	char wal[512];
	uint8_t header[24];
	uint32_t crc;
	int fd;

	in_dying_child(write_and_die);
	must_find(".wal", wal);
	fd = open(wal, O_RDWR);
	ck_assert_int_eq(pread(fd, header, sizeof(header), 0), 24);
	put_le32(header + 8, get_le32(header + 8) + 1);
	crc = crc32c(0, header, 20);
	put_le32(header + 20, crc);
	ck_assert_int_eq(pwrite(fd, header, sizeof(header), 0), 24);
	close(fd);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EPROTONOSUPPORT);
	ck_assert(log_text_has(&said, ".wal"));
}
END_TEST

START_TEST(store_that_lost_its_current_is_left_alone)
{
	char name[512], sst[512];

	make_tables();
	snprintf(name, sizeof(name), "%s/CURRENT", path);
	ck_assert_int_eq(unlink(name), 0);
	ck_assert_int_eq(lsm_open(path, &options, &db), -ENOTEMPTY);
	must_find(".sst", sst);
}
END_TEST

START_TEST(leftovers_of_a_crash_are_removed)
{
	char name[512];
	int fd;

	make_tables();
	snprintf(name, sizeof(name), "%s/000999.sst", path);
	fd = open(name, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	open_store();
	ck_assert_int_ne(access(name, F_OK), 0);
	check_some(0, PUTS);
	ck_ok(lsm_close(db));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db recovery");
	TCase *t = tcase_create("damage");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, unsynced_writes_survive_the_end_of_the_process);
	tcase_add_test(t, torn_end_of_the_last_log_is_cut_off);
	tcase_add_test(t, damage_inside_a_synced_log_is_refused);
	tcase_add_test(t, recycled_logs_do_not_bring_old_records_back);
	tcase_add_test(t, missing_table_is_refused_by_name);
	tcase_add_test(t, truncated_table_is_refused_by_name);
	tcase_add_test(t, flipped_byte_in_a_table_is_found);
	tcase_add_test(t, corrupt_block_fails_reads_of_it_alone);
	tcase_add_test(t, damaged_manifest_is_refused);
	tcase_add_test(t, log_of_a_newer_format_is_refused);
	tcase_add_test(t, store_that_lost_its_current_is_left_alone);
	tcase_add_test(t, leftovers_of_a_crash_are_removed);
	suite_add_tcase(s, t);
	return run_suite(s);
}
