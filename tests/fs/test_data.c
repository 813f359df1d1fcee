/* SPDX-License-Identifier: MIT */
/* test_data.c - file data: reading, writing, holes, truncation, times. */
#include <linux/falloc.h>
#include <unistd.h>

#include "tests/fs/fs_test.h"

static struct test_fs t;
static char data[30 * 4096 + 100];

static void setup(void)
{
	test_setup(&t);
}

static void teardown(void)
{
	test_teardown(&t);
}

START_TEST(data_reads_back_with_zeros_in_holes)
{
	uint64_t f = must_file(t.fs, 1, "f");
	char buf[40000], want[40000] = {0};

	must_write(t.fs, f, "hello", 5, 3);
	must_write(t.fs, f, "world", 5, 20000);
	must_write(t.fs, f, "end", 3, 39997);
	memcpy(want + 3, "hello", 5);
	memcpy(want + 20000, "world", 5);
	memcpy(want + 39997, "end", 3);
	ck_assert_int_eq(fs_read(t.fs, f, buf, sizeof(buf), 0), 40000);
	ck_assert_mem_eq(buf, want, 40000);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 3 * 8);
	ck_assert_int_eq(fs_read(t.fs, f, buf, 10, 39999), 1);
	ck_assert_int_eq(fs_read(t.fs, f, buf, 10, 40000), 0);
	ck_assert_int_eq(fs_read(t.fs, f, buf, 10, 1ull << 40), 0);
	ck_assert_int_eq(fs_read(t.fs, 1, buf, 10, 0), -EISDIR);
	ck_assert_int_eq(fs_write(t.fs, 1, buf, 10, 0, 0), -EISDIR);
	ck_assert_int_eq(fs_write(t.fs, f, buf, 10, FS_FILE_BYTES_MAX - 5, 0),
			 -EFBIG);
	ck_assert_int_eq(fs_write(t.fs, f, "+", 1, 7, FS_WRITE_APPEND), 1);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 40001);
}
END_TEST

START_TEST(pieces_are_what_a_read_copies_and_stay_until_released)
{
	static char want[600000], buf[600000];
	uint64_t f = must_file(t.fs, 1, "f"), size = sizeof(want) - 100;
	struct fs_pieces p, none;
	size_t at = 0;

	/* Data, a hole over several pages of zeros, short blocks, an odd end.
	 */
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (char)(i * 7 + i / 4096 * 11);
	memset(want + 81920, 0, 300000);
	must_write(t.fs, f, want, 81920, 0);
	must_write(t.fs, f, want + 381920, size - 381920, 381920);
	for (int flushed = 0; flushed < 2; flushed++) {
		for (size_t from = 0; from < size; from += 30011) {
			ssize_t n = read_pieces(t.fs, f, buf, 200000, from);

			ck_assert_int_eq(n, from + 200000 < size
						    ? 200000
						    : (ssize_t)(size - from));
			ck_assert_mem_eq(buf, want + from, (size_t)n);
		}
		ck_assert_int_eq(lsm_flush(fs_db(t.fs)), 0);
	}
	ck_assert_int_eq(fs_read_pieces(t.fs, f, 1 << 20, 5, false, &p),
			 size - 5);
	/* Neighbours lie side by side. */
	ck_assert_uint_lt(p.count, (size - 300000) / 4096 / 3 + 10);
	/* The file goes, and with it all that held its data but the pieces. */
	must_truncate(t.fs, f, 100);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	fs_forget(t.fs, f, 1);
	ck_assert_int_eq(lsm_compact_range(fs_db(t.fs), lsm_slice(NULL, 0),
					   lsm_slice(NULL, 0)),
			 0);
	for (unsigned i = 0; i < p.count; i++) {
		ck_assert_mem_eq(p.iov[i].iov_base, want + 5 + at,
				 p.iov[i].iov_len);
		at += p.iov[i].iov_len;
	}
	ck_assert_uint_eq(at, size - 5);
	fs_pieces_release(&p);

	f = must_file(t.fs, 1, "g");
	ck_assert_int_eq(fs_read_pieces(t.fs, f, 4096, 0, false, &none), 0);
	ck_assert_uint_eq(none.count, 0);
	fs_pieces_release(&none);
	ck_assert_int_eq(fs_read_pieces(t.fs, 1, 4096, 0, false, &none),
			 -EISDIR);
	fs_pieces_release(&none);
	ck_assert_int_eq(
		fs_read_pieces(t.fs, f, (1 << 20) + 1, 0, false, &none),
		-EINVAL);
	fs_pieces_release(&none);
	ck_assert_int_eq(fs_read_pieces(t.fs, 12345, 4096, 0, false, &none),
			 -ESTALE);
	fs_pieces_release(&none);
}
END_TEST

/* Pieces of [offset, offset + size) after the hole at their end was dropped. */
static void check_drop(uint64_t f, size_t size, uint64_t offset,
		       size_t want_left)
{
	struct fs_pieces p;
	ssize_t n = fs_read_pieces(t.fs, f, size, offset, true, &p);
	size_t left = 0;

	ck_assert_int_eq(n, (ssize_t)size);
	n -= (ssize_t)fs_pieces_drop_hole(&p);
	for (unsigned i = 0; i < p.count; i++)
		left += p.iov[i].iov_len;
	ck_assert_uint_eq(left, want_left);
	ck_assert_int_eq(n, (ssize_t)left);
	fs_pieces_release(&p);
}

START_TEST(hole_at_the_end_of_pieces_can_be_dropped)
{
	uint64_t f = must_file(t.fs, 1, "f");

	/* Holes at 0, 8192 and from 16384 on. */
	must_write(t.fs, f, "data", 4, 4096);
	must_write(t.fs, f, "data", 4, 12288);
	must_truncate(t.fs, f, 1 << 20);
	check_drop(f, 1 << 20, 0, 12292);
	check_drop(f, 16384, 0, 12292);
	check_drop(f, 12288, 0, 4100);
	check_drop(f, 12289, 0, 12289);
	check_drop(f, 4096, 0, 0);
	check_drop(f, 4096, 4096, 4);
	check_drop(f, 2, 4097, 2);
	check_drop(f, 500000, 300000, 0);
	check_drop(f, 1, (1 << 20) - 1, 0);
}
END_TEST

START_TEST(truncate_cuts_and_extension_reveals_zeros)
{
	uint64_t f = must_file(t.fs, 1, "f"), blocks = used_blocks(t.fs);
	char buf[3 * 4096], zero[3 * 4096] = {0};
	struct fs_attr a = {0};

	memset(buf, 'a', sizeof(buf));
	must_write(t.fs, f, buf, sizeof(buf), 0);
	must_truncate(t.fs, f, 5000);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 16);
	must_truncate(t.fs, f, 12288);
	ck_assert_int_eq(fs_read(t.fs, f, buf, sizeof(buf), 0), 12288);
	ck_assert_mem_eq(buf + 5000, zero, 7288);
	ck_assert_int_eq(buf[4999], 'a');
	must_truncate(t.fs, f, 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 0);
	ck_assert_uint_eq(used_blocks(t.fs), blocks);
	a.st.st_size = (off_t)(FS_FILE_BYTES_MAX + 1);
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &a, FS_SET_SIZE, &a),
			 -EFBIG);
	a.st.st_size = 0;
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, 1, &a, FS_SET_SIZE, &a),
			 -EISDIR);
}
END_TEST

START_TEST(large_files_shrink_by_one_range)
{
	uint64_t f = must_file(t.fs, 1, "f");
	char *buf = malloc(1 << 20);

	memset(buf, 'b', 1 << 20);
	for (unsigned i = 0; i < 4; i++)
		must_write(t.fs, f, buf, 1 << 20, (uint64_t)i << 20);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 8192);
	must_truncate(t.fs, f, 100);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 8);
	must_write(t.fs, f, buf, 4096, 2 << 20);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 16);
	must_truncate(t.fs, f, 1 << 20);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 8);
	/* More than one batch. */
	ck_assert_int_eq(fs_write(t.fs, f, buf, 1 << 20, 77, 0), 1 << 20);
	free(buf);
	buf = malloc(3 << 20);
	memset(buf, 'c', 3 << 20);
	ck_assert_int_eq(fs_write(t.fs, f, buf, 3 << 20, 55, 0), 3 << 20);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 55 + (3 << 20));
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 769 * 8);
	free(buf);
}
END_TEST

START_TEST(punched_holes_take_no_space)
{
	uint64_t f = must_file(t.fs, 1, "f"), at;
	char buf[10 * 4096], want[10 * 4096];
	int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	memset(want, 'p', sizeof(want));
	must_write(t.fs, f, want, sizeof(want), 0);
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 5000, 20000, 0), 0);
	memset(want + 5000, 0, 20000);
	ck_assert_int_eq(fs_read(t.fs, f, buf, sizeof(buf), 0), 40960);
	ck_assert_mem_eq(buf, want, sizeof(buf));
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 6 * 8);
	ck_assert_int_eq(fs_seek(t.fs, f, 0, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, 8192);
	ck_assert_int_eq(fs_seek(t.fs, f, 8192, SEEK_DATA, &at), 0);
	ck_assert_uint_eq(at, 24576);
	ck_assert_int_eq(fs_seek(t.fs, f, 30000, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, 40960);
	ck_assert_int_eq(fs_seek(t.fs, f, 40960, SEEK_DATA, &at), -ENXIO);
	ck_assert_int_eq(
		fs_fallocate(t.fs, f, FALLOC_FL_ZERO_RANGE, 40000, 10000, 0),
		0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 50000);
	ck_assert_int_eq(
		fs_fallocate(t.fs, f, FALLOC_FL_KEEP_SIZE, 0, 1 << 20, 0), 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 50000);
	ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 60000, 0), 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 60000);
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 0, 1 << 20, 0), 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 0);
	ck_assert_int_eq(
		fs_fallocate(t.fs, f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, 0),
		-EOPNOTSUPP);
	ck_assert_int_eq(fs_seek(t.fs, f, 0, SEEK_DATA, &at), -ENXIO);
	ck_assert_int_eq(fs_seek(t.fs, f, 9, SEEK_HOLE, &at), 0);
	ck_assert_uint_eq(at, 9);
}
END_TEST

START_TEST(overwrites_change_times_also_across_reopen)
{
	uint64_t f = must_file(t.fs, 1, "f");
	struct fs_attr a, b;

	must_write(t.fs, f, "abcdef", 6, 0);
	a = must_stat(t.fs, f);
	must_write(t.fs, f, "ABC", 3, 0);
	b = must_stat(t.fs, f);
	ck_assert(a.st.st_mtim.tv_nsec != b.st.st_mtim.tv_nsec);
	test_reopen(&t);
	a = must_stat(t.fs, f);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_int_eq(fs_write(t.fs, f, "x", 1, 0, FS_WRITE_NO_TIMES), 1);
	a = must_stat(t.fs, f);
	ck_assert_mem_eq(&a, &b, sizeof(a));
}
END_TEST

START_TEST(relatime_updates_once)
{
	uint64_t f = must_file(t.fs, 1, "f");
	struct fs_attr a, b;
	char c;

	must_write(t.fs, f, "a", 1, 0);
	a = must_stat(t.fs, f);
	ck_assert_int_eq(fs_read(t.fs, f, &c, 1, 0), 1);
	b = must_stat(t.fs, f);
	ck_assert(a.st.st_atim.tv_nsec != b.st.st_atim.tv_nsec);
	ck_assert_int_eq(fs_read(t.fs, f, &c, 1, 0), 1);
	a = must_stat(t.fs, f);
	ck_assert_mem_eq(&a, &b, sizeof(a));
}
END_TEST

static struct lsm_stats flushed_stats(void)
{
	struct lsm_stats s;

	ck_assert_int_eq(lsm_flush(fs_db(t.fs)), 0);
	lsm_get_stats(fs_db(t.fs), &s);
	return s;
}

START_TEST(file_data_lies_outside_of_the_tree_and_records_in_it)
{
	uint64_t f, dir = must_dir(t.fs, 1, "dir");
	char name[FS_NAME_MAX + 1];

	/* The longest names there are, an attribute and a short file each. */
	memset(name, 'n', FS_NAME_MAX);
	name[FS_NAME_MAX] = '\0';
	for (unsigned i = 0; i < 100; i++) {
		name[i] = 'x';
		f = must_file(t.fs, dir, name);
		must_write(t.fs, f, name, 200, 0);
		ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "user.a",
					     name, 250, 0),
				 0);
	}
	ck_assert_uint_eq(flushed_stats().blob_files, 0);
	f = must_file(t.fs, 1, "f");
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (char)(i / 7 + i % 13);
	must_write(t.fs, f, data, sizeof(data), 0);
	/* The last block is a short one, of 100 bytes. */
	ck_assert_uint_eq(flushed_stats().blob_live_bytes, sizeof(data) - 100);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
}
END_TEST

/* Bytes on disk that data of one byte over and over takes, per cent. */
static unsigned stored_percent(const char *name)
{
	struct lsm_stats before = flushed_stats(), after;
	uint64_t f = must_file(t.fs, 1, name);

	memset(data, name[0], sizeof(data));
	must_write(t.fs, f, data, sizeof(data), 0);
	after = flushed_stats();
	return (unsigned)((after.blob_file_bytes - before.blob_file_bytes) *
			  100 / sizeof(data));
}

static void must_hold(const char *name)
{
	static char want[sizeof(data)];

	memset(want, name[0], sizeof(want));
	ck_assert_int_eq(
		fs_read(t.fs, find(t.fs, 1, name), data, sizeof(data), 0),
		sizeof(data));
	ck_assert_mem_eq(data, want, sizeof(data));
}

START_TEST(compression_may_change_from_one_opening_to_the_next)
{
	static const char *const names[] = {"lz4", "none", "again", "asked"};
	struct fs_info info;

	/* The filesystem's own is the default, LZ4. */
	ck_assert_uint_lt(stored_percent("lz4"), 10);
	t.options.engine.compression = LSM_COMPRESSION_NONE;
	test_reopen(&t);
	ck_assert_uint_gt(stored_percent("none"), 99);
	fs_get_info(t.fs, &info);
	ck_assert_int_ne(info.compression, LSM_COMPRESSION_NONE);
	t.options.engine.compression = LSM_COMPRESSION_DEFAULT;
	test_reopen(&t);
	ck_assert_uint_lt(stored_percent("again"), 10);
	t.options.engine.compression = LSM_COMPRESSION_LZ4;
	test_reopen(&t);
	ck_assert_uint_lt(stored_percent("asked"), 10);
	for (unsigned i = 0; i < 4; i++)
		must_hold(names[i]);
}
END_TEST

START_TEST(compression_of_a_filesystem_is_kept)
{
	struct fs_mkfs_options mo = {.compression = LSM_COMPRESSION_NONE,
				     .force = true};
	struct fs_info info;

	test_close(&t);
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &mo), 0);
	test_open(&t);
	ck_assert_uint_gt(stored_percent("none"), 99);
	t.options.engine.compression = LSM_COMPRESSION_LZ4;
	test_reopen(&t);
	ck_assert_uint_lt(stored_percent("lz4"), 10);
	fs_get_info(t.fs, &info);
	ck_assert_int_eq(info.compression, LSM_COMPRESSION_NONE);
	must_hold("none");
	must_hold("lz4");
}
END_TEST

START_TEST(damaged_data_harms_only_who_reads_it)
{
	struct lsm_slice none = {NULL, 0};
	struct fs_check_options o = {.data = true};
	struct fs_check_result res;
	uint64_t f = must_file(t.fs, 1, "f"), other = must_file(t.fs, 1, "g");
	unsigned hit = 0;
	char path[64];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (char)(i / 7 + i % 13);
	must_write(t.fs, f, data, sizeof(data), 0);
	flushed_stats();
	test_close(&t);
	for (unsigned i = 1; i < 100; i++) {
		snprintf(path, sizeof(path), STORE "/%06u.blob", i);
		hit += env_fault_corrupt(t.env, path, 100, 1) == 0;
	}
	ck_assert_uint_eq(hit, 1);
	test_open(&t);
	ck_assert_int_eq(fs_read(t.fs, f, data, sizeof(data), 0), -EUCLEAN);
	/* All that needs no data does not notice. */
	ck_assert_uint_eq(find(t.fs, 1, "f"), f);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, sizeof(data));
	must_write(t.fs, other, "x", 1, 0);
	ck_assert_uint_eq(test_fsck(t.fs, false, &res), 0);
	ck_assert_uint_eq(res.blocks, sizeof(data) / 4096 + 2);
	ck_assert_int_eq(fs_check(t.fs, &o, &res), 0);
	ck_assert_uint_eq(res.found, 1);
	/* It is overwritten and deleted as any other. */
	memset(data, 'n', sizeof(data));
	must_write(t.fs, f, data, sizeof(data), 0);
	ck_assert_int_eq(fs_read(t.fs, f, data, sizeof(data), 0), sizeof(data));
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	ck_assert_int_eq(lsm_compact_range(fs_db(t.fs), none, none), 0);
	ck_assert_int_eq(fs_check(t.fs, &o, &res), 0);
	ck_assert_uint_eq(res.found, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/data");
	TCase *c = tcase_create("data");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, data_reads_back_with_zeros_in_holes);
	tcase_add_test(c,
		       pieces_are_what_a_read_copies_and_stay_until_released);
	tcase_add_test(c, hole_at_the_end_of_pieces_can_be_dropped);
	tcase_add_test(c, truncate_cuts_and_extension_reveals_zeros);
	tcase_add_test(c, large_files_shrink_by_one_range);
	tcase_add_test(c, punched_holes_take_no_space);
	tcase_add_test(c, overwrites_change_times_also_across_reopen);
	tcase_add_test(c, relatime_updates_once);
	tcase_add_test(c, file_data_lies_outside_of_the_tree_and_records_in_it);
	tcase_add_test(c, compression_may_change_from_one_opening_to_the_next);
	tcase_add_test(c, compression_of_a_filesystem_is_kept);
	tcase_add_test(c, damaged_data_harms_only_who_reads_it);
	suite_add_tcase(s, c);
	return run_suite(s);
}
