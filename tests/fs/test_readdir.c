/* SPDX-License-Identifier: MIT */
/* test_readdir.c - walks through directories: order, resuming, changes. */
#include "tests/fs/fs_test.h"

static struct test_fs t;

static void setup(void)
{
	test_setup(&t);
}

static void teardown(void)
{
	test_teardown(&t);
}

struct listing {
	char names[4096][32];
	uint64_t cookies[4096];
	unsigned count, limit;
	bool attributes;
	struct fs *fs;
};

static int list_fill(void *arg, const char *name, uint64_t ino, mode_t type,
		     uint64_t cookie, const struct fs_attr *attr)
{
	struct listing *l = arg;

	if (l->count == l->limit)
		return 1;
	ck_assert((attr != NULL) == l->attributes);
	if (attr) {
		ck_assert_uint_eq(attr->st.st_ino, ino);
		ck_assert_uint_eq(attr->st.st_mode & S_IFMT, type);
		if (strcmp(name, ".") && strcmp(name, ".."))
			fs_forget(l->fs, ino, 1);
	}
	strcpy(l->names[l->count], name);
	l->cookies[l->count++] = cookie;
	return 0;
}

static void list(struct listing *l, uint64_t dir, uint64_t cookie,
		 unsigned limit, bool attributes)
{
	l->count = 0;
	l->limit = limit;
	l->attributes = attributes;
	l->fs = t.fs;
	ck_assert_int_eq(
		fs_readdir(t.fs, dir, cookie, attributes, list_fill, l), 0);
}

START_TEST(readdir_is_in_order_of_creation_and_resumes)
{
	static struct listing l;
	uint64_t d = must_dir(t.fs, 1, "d"), cookie = 0;
	unsigned seen = 0;
	char name[32];

	for (unsigned i = 0; i < 500; i++) {
		sprintf(name, "f%u", i);
		must_file(t.fs, d, name);
	}
	for (unsigned step = 1; step < 200; step += 37) {
		bool attributes = step % 2;

		cookie = 0;
		seen = 0;
		for (;;) {
			list(&l, d, cookie, step, attributes);
			if (l.count == 0)
				break;
			for (unsigned i = 0; i < l.count; i++, seen++) {
				if (seen == 0)
					strcpy(name, ".");
				else if (seen == 1)
					strcpy(name, "..");
				else
					sprintf(name, "f%u", seen - 2);
				ck_assert_str_eq(l.names[i], name);
			}
			cookie = l.cookies[l.count - 1];
		}
		ck_assert_uint_eq(seen, 502);
	}
	ck_assert_int_eq(
		fs_readdir(t.fs, find(t.fs, d, "f1"), 0, false, list_fill, &l),
		-ENOTDIR);
}
END_TEST

START_TEST(readdir_goes_on_behind_a_deleted_entry)
{
	static struct listing l;
	uint64_t d = must_dir(t.fs, 1, "d"), cookie;
	char name[32];

	for (unsigned i = 0; i < 10; i++) {
		sprintf(name, "f%u", i);
		must_file(t.fs, d, name);
	}
	list(&l, d, 0, 5, false);
	cookie = l.cookies[4];
	ck_assert_str_eq(l.names[4], "f2");
	ck_assert_int_eq(fs_unlink(t.fs, d, "f2"), 0);
	ck_assert_int_eq(fs_unlink(t.fs, d, "f3"), 0);
	test_reopen(&t);
	list(&l, d, cookie, 100, true);
	ck_assert_uint_eq(l.count, 6);
	ck_assert_str_eq(l.names[0], "f4");
}
END_TEST

START_TEST(a_scan_that_renames_meets_each_entry_once)
{
	static struct listing l;
	uint64_t d = must_dir(t.fs, 1, "d"), cookie = 2;
	unsigned seen = 0;
	char name[64];

	for (unsigned i = 0; i < 20; i++) {
		sprintf(name, "f%u", i);
		must_file(t.fs, d, name);
	}
	for (;;) {
		list(&l, d, cookie, 1, false);
		if (!l.count)
			break;
		seen++;
		cookie = l.cookies[0];
		if (seen % 2) {
			sprintf(name, "%s.new", l.names[0]);
			ck_assert_int_eq(fs_rename(t.fs, NULL, d, l.names[0], d,
						   name, 0),
					 0);
		} else {
			/* As sed -i does it. */
			uint64_t e = must_dir(t.fs, 1, "tmp");

			must_file(t.fs, e, "tmp");
			ck_assert_int_eq(fs_rename(t.fs, NULL, e, "tmp", d,
						   l.names[0], 0),
					 0);
			ck_assert_int_eq(fs_rmdir(t.fs, 1, "tmp"), 0);
		}
		ck_assert_uint_le(seen, 20);
	}
	ck_assert_uint_eq(seen, 20);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/readdir");
	TCase *c = tcase_create("readdir");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, readdir_is_in_order_of_creation_and_resumes);
	tcase_add_test(c, readdir_goes_on_behind_a_deleted_entry);
	tcase_add_test(c, a_scan_that_renames_meets_each_entry_once);
	suite_add_tcase(s, c);
	return run_suite(s);
}
