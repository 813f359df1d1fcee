/* SPDX-License-Identifier: MIT */
/* test_attr.c - attributes, privileges, extended attributes, ACLs. */
#include <sys/xattr.h>

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

START_TEST(setattr_sets_and_says_ctime)
{
	uint64_t f = must_file(t.fs, 1, "f");
	struct fs_attr in = {0}, a, b;

	b = must_stat(t.fs, f);
	in.st.st_mode = 0601;
	in.st.st_uid = 5;
	in.st.st_gid = 6;
	in.st.st_atim = (struct timespec){-1000, 5};
	in.st.st_mtim = (struct timespec){1ll << 40, 999999999};
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in,
				    FS_SET_MODE | FS_SET_UID | FS_SET_GID |
					    FS_SET_ATIME | FS_SET_MTIME,
				    &a),
			 0);
	ck_assert(a.st.st_ctim.tv_sec != b.st.st_ctim.tv_sec ||
		  a.st.st_ctim.tv_nsec != b.st.st_ctim.tv_nsec);
	test_reopen(&t);
	b = must_stat(t.fs, f);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_uint_eq(b.st.st_mode, S_IFREG | 0601);
	ck_assert_int_eq(b.st.st_atim.tv_sec, -1000);
	ck_assert_int_eq(b.st.st_mtim.tv_sec, 1ll << 40);
	in.st.st_ctim = (struct timespec){77, 78};
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_CTIME, &a),
			 0);
	ck_assert_int_eq(a.st.st_ctim.tv_nsec, 78);
	in.st.st_mtim.tv_nsec = 1000000000;
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_MTIME, &a),
			 -EINVAL);
}
END_TEST

static bool same_times(const struct fs_attr *a, const struct fs_attr *b)
{
	return !memcmp(&a->st.st_mtim, &b->st.st_mtim, sizeof(a->st.st_mtim)) &&
	       !memcmp(&a->st.st_ctim, &b->st.st_ctim, sizeof(a->st.st_ctim));
}

START_TEST(times_change_with_the_size_and_not_otherwise)
{
	uint64_t f = must_file(t.fs, 1, "f");
	struct fs_attr in = {.st.st_size = 100}, a, b;

	b = must_stat(t.fs, f);
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_SIZE, &a),
			 0);
	ck_assert(!same_times(&a, &b));
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_SIZE, &b),
			 0);
	ck_assert(same_times(&a, &b));
	/* The kernel keeps them. */
	ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 5000, FS_WRITE_NO_TIMES),
			 0);
	b = must_stat(t.fs, f);
	ck_assert(same_times(&a, &b));
	ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 6000, 0), 0);
	b = must_stat(t.fs, f);
	ck_assert(!same_times(&a, &b));
	test_reopen(&t);
	a = must_stat(t.fs, f);
	ck_assert(same_times(&a, &b));
}
END_TEST

START_TEST(times_of_an_unlinked_file_change_without_a_write)
{
	struct fs_attr in = {.st.st_mtim = {5, 6}}, a;
	struct lsm_stats before, after;
	uint64_t f = must_file(t.fs, 1, "f");

	ck_assert_int_eq(fs_lookup(t.fs, 1, "f", &a), 0); /* as if open */
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	lsm_get_stats(fs_db(t.fs), &before);
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_MTIME, &a),
			 0);
	lsm_get_stats(fs_db(t.fs), &after);
	ck_assert_uint_eq(after.batches, before.batches);
	ck_assert_int_eq(a.st.st_mtim.tv_sec, 5);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_mtim.tv_nsec, 6);
	fs_forget(t.fs, f, 1);
}
END_TEST

START_TEST(privileges_are_dropped_on_chown_write_and_truncate)
{
	uint64_t f = must_file(t.fs, 1, "f");
	struct fs_attr in = {0}, a;
	unsigned how;

	for (how = 0; how < 3; how++) {
		in.st.st_mode = 06755;
		ck_assert_int_eq(
			fs_setattr(t.fs, &root_cred, f, &in, FS_SET_MODE, &a),
			0);
		ck_assert_int_eq(
			fs_setxattr(t.fs, &root_cred, f, "security.capability",
				    "cap", 3, 0),
			0);
		if (how == 0) {
			in.st.st_uid = 3;
			ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in,
						    FS_SET_UID, &a),
					 0);
		} else if (how == 1) {
			ck_assert_int_eq(fs_write(t.fs, f, "x", 1, 0,
						  FS_WRITE_KILL_PRIV),
					 1);
		} else {
			ck_assert_int_eq(
				fs_setattr(t.fs, &user_cred, f, &in,
					   FS_SET_SIZE | FS_SET_KILL_PRIV, &a),
				0);
		}
		ck_assert_uint_eq(must_stat(t.fs, f).st.st_mode & 07777, 0755);
		ck_assert_int_eq(
			fs_getxattr(t.fs, f, "security.capability", NULL, 0),
			-ENODATA);
	}
	/* Plain writes keep them: the kernel says when they must go. */
	in.st.st_mode = 06745;
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_MODE, &a),
			 0);
	must_write(t.fs, f, "y", 1, 0);
	ck_assert_uint_eq(must_stat(t.fs, f).st.st_mode & 07777, 06745);
	/* setgid without group execution stays. */
	ck_assert_int_eq(fs_write(t.fs, f, "x", 1, 0, FS_WRITE_KILL_PRIV), 1);
	ck_assert_uint_eq(must_stat(t.fs, f).st.st_mode & 07777, 02745);
}
END_TEST

START_TEST(xattrs_are_kept_listed_and_removed)
{
	uint64_t f = must_file(t.fs, 1, "f");
	char buf[128], *big = calloc(1, FS_XATTR_SIZE_MAX + 1);

	ck_assert_int_eq(fs_getxattr(t.fs, f, "user.a", buf, 10), -ENODATA);
	ck_assert_int_eq(fs_listxattr(t.fs, f, buf, 0), 0);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "user.a", "v", 1,
				     XATTR_REPLACE),
			 -ENODATA);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "user.a", "value", 5,
				     XATTR_CREATE),
			 0);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "user.a", "v", 1,
				     XATTR_CREATE),
			 -EEXIST);
	ck_assert_int_eq(
		fs_setxattr(t.fs, &root_cred, f, "user.empty", "", 0, 0), 0);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "trusted.b", big,
				     FS_XATTR_SIZE_MAX, 0),
			 0);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "user.c", big,
				     FS_XATTR_SIZE_MAX + 1, 0),
			 -E2BIG);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "wrong", "", 0, 0),
			 -EOPNOTSUPP);
	test_reopen(&t);
	ck_assert_int_eq(fs_getxattr(t.fs, f, "user.a", NULL, 0), 5);
	ck_assert_int_eq(fs_getxattr(t.fs, f, "user.a", buf, 4), -ERANGE);
	ck_assert_int_eq(fs_getxattr(t.fs, f, "user.a", buf, 10), 5);
	ck_assert_mem_eq(buf, "value", 5);
	ck_assert_int_eq(fs_getxattr(t.fs, f, "user.empty", buf, 10), 0);
	ck_assert_int_eq(fs_listxattr(t.fs, f, buf, 5), -ERANGE);
	ck_assert_int_eq(fs_listxattr(t.fs, f, buf, sizeof(buf)), 28);
	ck_assert_mem_eq(buf, "trusted.b\0user.a\0user.empty\0", 28);
	ck_assert_int_eq(fs_removexattr(t.fs, &root_cred, f, "user.a"), 0);
	ck_assert_int_eq(fs_removexattr(t.fs, &root_cred, f, "user.a"),
			 -ENODATA);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	free(big);
}
END_TEST

static size_t acl_build(uint8_t *out, unsigned user, unsigned named,
			unsigned group, unsigned mask, unsigned other)
{
	unsigned v[][3] = {{1, user, ~0u},
			   {2, named, 500},
			   {4, group, ~0u},
			   {16, mask, ~0u},
			   {32, other, ~0u}};
	size_t n = 4;

	memcpy(out, "\2\0\0\0", 4);
	for (unsigned i = 0; i < 5; i++) {
		if (v[i][1] > 7)
			continue;
		out[n] = (uint8_t)v[i][0];
		out[n + 1] = 0;
		out[n + 2] = (uint8_t)v[i][1];
		out[n + 3] = 0;
		memcpy(out + n + 4, &v[i][2], 4);
		n += 8;
	}
	return n;
}

START_TEST(acl_and_mode_agree)
{
	const char *acc = "system.posix_acl_access";
	uint64_t f = must_file(t.fs, 1, "f");
	uint8_t acl[64], got[64];
	struct fs_attr in = {0}, a;
	size_t n = acl_build(acl, 6, 7, 5, 4, 1);

	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, acc, acl, n, 0), 0);
	/* The group bits are the mask. */
	ck_assert_uint_eq(must_stat(t.fs, f).st.st_mode & 07777, 0641);
	in.st.st_mode = 0770;
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &in, FS_SET_MODE, &a),
			 0);
	ck_assert_int_eq(fs_getxattr(t.fs, f, acc, got, sizeof(got)),
			 (ssize_t)n);
	acl_build(acl, 7, 7, 5, 7, 0);
	ck_assert_mem_eq(got, acl, n);
	/* A list that is no more than a mode is not kept. */
	n = acl_build(acl, 6, 8, 4, 8, 0);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, acc, acl, n, 0), 0);
	ck_assert_uint_eq(must_stat(t.fs, f).st.st_mode & 07777, 0640);
	ck_assert_int_eq(fs_getxattr(t.fs, f, acc, got, sizeof(got)), -ENODATA);
	n = acl_build(acl, 6, 7, 4, 8, 0); /* named user without a mask */
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, acc, acl, n, 0),
			 -EINVAL);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f,
				     "system.posix_acl_default", acl, n, 0),
			 -EINVAL);
}
END_TEST

START_TEST(default_acl_is_inherited_instead_of_the_umask)
{
	const char *dflt = "system.posix_acl_default";
	const char *acc = "system.posix_acl_access";
	uint64_t d = must_dir(t.fs, 1, "d");
	uint8_t acl[64], want[64], got[64];
	size_t n = acl_build(acl, 7, 6, 7, 7, 5);
	struct fs_attr a;

	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, d, dflt, acl, n, 0), 0);
	ck_assert_int_eq(
		fs_mknod(t.fs, &user_cred, d, "f", S_IFREG | 0666, 0, &a), 0);
	ck_assert_uint_eq(a.st.st_mode & 07777, 0664);
	ck_assert_int_eq(fs_getxattr(t.fs, a.st.st_ino, acc, got, 64),
			 (ssize_t)n);
	acl_build(want, 6, 6, 7, 6, 4);
	ck_assert_mem_eq(got, want, n);
	ck_assert_int_eq(fs_getxattr(t.fs, a.st.st_ino, dflt, got, 64),
			 -ENODATA);
	fs_forget(t.fs, a.st.st_ino, 1);
	ck_assert_int_eq(fs_mkdir(t.fs, &user_cred, d, "s", 0777, &a), 0);
	ck_assert_uint_eq(a.st.st_mode & 07777, 0775);
	ck_assert_int_eq(fs_getxattr(t.fs, a.st.st_ino, dflt, got, 64),
			 (ssize_t)n);
	ck_assert_mem_eq(got, acl, n);
	fs_forget(t.fs, a.st.st_ino, 1);
	ck_assert_int_eq(fs_removexattr(t.fs, &root_cred, d, dflt), 0);
	ck_assert_int_eq(fs_removexattr(t.fs, &root_cred, d, dflt), 0);
	ck_assert_int_eq(
		fs_mknod(t.fs, &user_cred, d, "g", S_IFREG | 0666, 0, &a), 0);
	ck_assert_uint_eq(a.st.st_mode & 07777, 0644);
	fs_forget(t.fs, a.st.st_ino, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/attr");
	TCase *c = tcase_create("attr");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, setattr_sets_and_says_ctime);
	tcase_add_test(c, times_change_with_the_size_and_not_otherwise);
	tcase_add_test(c, times_of_an_unlinked_file_change_without_a_write);
	tcase_add_test(c, privileges_are_dropped_on_chown_write_and_truncate);
	tcase_add_test(c, xattrs_are_kept_listed_and_removed);
	tcase_add_test(c, acl_and_mode_agree);
	tcase_add_test(c, default_acl_is_inherited_instead_of_the_umask);
	suite_add_tcase(s, c);
	return run_suite(s);
}
