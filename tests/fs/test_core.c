/* SPDX-License-Identifier: MIT */
/* test_core.c - names, links, rename and the filesystem as a whole. */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <unistd.h>

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

/* ---- creating, looking up ---- */

START_TEST(new_file_has_owner_mode_and_times)
{
	struct fs_attr a, b;
	struct timespec before, after;

	clock_gettime(CLOCK_REALTIME, &before);
	ck_assert_int_eq(
		fs_mknod(t.fs, &user_cred, 1, "f", S_IFREG | 0666, 0, &a), 0);
	clock_gettime(CLOCK_REALTIME, &after);
	ck_assert_uint_eq(a.st.st_mode, S_IFREG | 0644);
	ck_assert_uint_eq(a.st.st_uid, 1000);
	ck_assert_uint_eq(a.st.st_gid, 1000);
	ck_assert_uint_eq(a.st.st_nlink, 1);
	ck_assert_int_eq(a.st.st_size, 0);
	ck_assert_int_eq(a.st.st_blocks, 0);
	ck_assert_int_ge(a.st.st_mtim.tv_sec, before.tv_sec);
	ck_assert_int_le(a.btime.tv_sec, after.tv_sec);
	ck_assert_int_eq(fs_lookup(t.fs, 1, "f", &b), 0);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	b = must_stat(t.fs, 1);
	ck_assert_int_eq(b.st.st_mtim.tv_nsec, a.btime.tv_nsec);
	fs_forget(t.fs, a.st.st_ino, 2);
	test_reopen(&t);
	b = must_stat(t.fs, a.st.st_ino);
	ck_assert_mem_eq(&a, &b, sizeof(a));
}
END_TEST

START_TEST(names_are_checked)
{
	char name[300];
	struct fs_attr a;

	memset(name, 'x', sizeof(name));
	name[255] = 0;
	must_file(t.fs, 1, name);
	ck_assert_uint_ne(find(t.fs, 1, name), 0);
	name[255] = 'x';
	name[256] = 0;
	ck_assert_int_eq(fs_lookup(t.fs, 1, name, &a), -ENAMETOOLONG);
	ck_assert_int_eq(fs_mknod(t.fs, &root_cred, 1, name, S_IFREG, 0, &a),
			 -ENAMETOOLONG);
	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, "a/b", 0755, &a),
			 -EINVAL);
	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, "", 0755, &a), -EINVAL);
	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, ".", 0755, &a), -EEXIST);
	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, "..", 0755, &a),
			 -EEXIST);
	ck_assert_int_eq(fs_unlink(t.fs, 1, name), -ENAMETOOLONG);
	ck_assert_int_eq(fs_rmdir(t.fs, 1, "."), -EINVAL);
	ck_assert_int_eq(fs_rmdir(t.fs, 1, ".."), -ENOTEMPTY);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "x", 1, name, 0),
			 -ENAMETOOLONG);
}
END_TEST

START_TEST(second_creation_of_a_name_is_eexist)
{
	struct fs_attr a;
	uint64_t f = must_file(t.fs, 1, "f");

	ck_assert_int_eq(fs_mknod(t.fs, &root_cred, 1, "f", S_IFREG, 0, &a),
			 -EEXIST);
	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, "f", 0755, &a), -EEXIST);
	ck_assert_int_eq(fs_symlink(t.fs, &root_cred, 1, "f", "x", &a),
			 -EEXIST);
	ck_assert_int_eq(fs_link(t.fs, f, 1, "f", &a), -EEXIST);
	ck_assert_int_eq(fs_mknod(t.fs, &root_cred, f, "g", S_IFREG, 0, &a),
			 -ENOTDIR);
	ck_assert_int_eq(fs_lookup(t.fs, f, "g", &a), -ENOTDIR);
	ck_assert_int_eq(fs_mknod(t.fs, &root_cred, 1, "d", S_IFDIR, 0, &a),
			 -EINVAL);
	ck_assert_int_eq(fs_getattr(t.fs, 999999, &a), -ESTALE);
	ck_assert_uint_eq(used_inodes(t.fs), 2);
}
END_TEST

START_TEST(special_files_keep_type_and_device)
{
	mode_t types[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};

	for (unsigned i = 0; i < 4; i++) {
		struct fs_attr a;
		char name[8];

		sprintf(name, "n%u", i);
		ck_assert_int_eq(fs_mknod(t.fs, &root_cred, 1, name,
					  types[i] | 0600, 0x1234, &a),
				 0);
		ck_assert_uint_eq(a.st.st_mode & S_IFMT, types[i]);
		ck_assert_uint_eq(a.st.st_rdev, i < 2 ? 0x1234 : 0);
		ck_assert_int_eq(fs_write(t.fs, a.st.st_ino, "x", 1, 0, 0),
				 -EINVAL);
		fs_forget(t.fs, a.st.st_ino, 1);
	}
}
END_TEST

START_TEST(setgid_directory_hands_its_group_down)
{
	struct fs_attr a, in = {0};
	uint64_t d = must_dir(t.fs, 1, "d");

	in.st.st_mode = 02775;
	in.st.st_gid = 77;
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, d, &in,
				    FS_SET_MODE | FS_SET_GID, &a),
			 0);
	ck_assert_int_eq(
		fs_mknod(t.fs, &user_cred, d, "f", S_IFREG | 0644, 0, &a), 0);
	ck_assert_uint_eq(a.st.st_gid, 77);
	ck_assert_uint_eq(a.st.st_mode & 07777, 0644);
	fs_forget(t.fs, a.st.st_ino, 1);
	ck_assert_int_eq(fs_mkdir(t.fs, &user_cred, d, "s", 0755, &a), 0);
	ck_assert_uint_eq(a.st.st_gid, 77);
	ck_assert_uint_eq(a.st.st_mode & 07777, 02755);
	fs_forget(t.fs, a.st.st_ino, 1);
}
END_TEST

START_TEST(symlink_target_is_kept)
{
	char target[FS_SYMLINK_MAX + 2], buf[FS_SYMLINK_MAX + 1];
	struct fs_attr a;

	memset(target, 't', sizeof(target));
	target[FS_SYMLINK_MAX + 1] = 0;
	ck_assert_int_eq(fs_symlink(t.fs, &root_cred, 1, "s", target, &a),
			 -ENAMETOOLONG);
	target[FS_SYMLINK_MAX] = 0;
	ck_assert_int_eq(fs_symlink(t.fs, &root_cred, 1, "s", target, &a), 0);
	ck_assert_uint_eq(a.st.st_mode, S_IFLNK | 0777);
	ck_assert_int_eq(a.st.st_size, FS_SYMLINK_MAX);
	fs_forget(t.fs, a.st.st_ino, 1);
	test_reopen(&t);
	ck_assert_int_eq(fs_readlink(t.fs, a.st.st_ino, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, target);
	ck_assert_int_eq(fs_readlink(t.fs, 1, buf, sizeof(buf)), -EINVAL);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "s"), 0);
	ck_assert_int_eq(fs_symlink(t.fs, &root_cred, 1, "s", "", &a), -ENOENT);
}
END_TEST

START_TEST(directory_links_count_subdirectories)
{
	uint64_t d = must_dir(t.fs, 1, "d"), s;

	ck_assert_uint_eq(must_stat(t.fs, 1).st.st_nlink, 3);
	s = must_dir(t.fs, d, "s");
	must_file(t.fs, d, "f");
	ck_assert_uint_eq(must_stat(t.fs, d).st.st_nlink, 3);
	ck_assert_uint_eq(find(t.fs, s, ".."), d);
	ck_assert_uint_eq(find(t.fs, s, "."), s);
	ck_assert_uint_eq(find(t.fs, 1, ".."), 1);
	ck_assert_int_eq(fs_rmdir(t.fs, 1, "d"), -ENOTEMPTY);
	ck_assert_int_eq(fs_rmdir(t.fs, d, "f"), -ENOTDIR);
	ck_assert_int_eq(fs_unlink(t.fs, d, "s"), -EISDIR);
	ck_assert_int_eq(fs_rmdir(t.fs, d, "s"), 0);
	ck_assert_uint_eq(must_stat(t.fs, d).st.st_nlink, 2);
	ck_assert_int_eq(fs_unlink(t.fs, d, "f"), 0);
	ck_assert_int_eq(must_stat(t.fs, d).st.st_size, 0);
	ck_assert_int_eq(fs_rmdir(t.fs, 1, "d"), 0);
	ck_assert_uint_eq(must_stat(t.fs, 1).st.st_nlink, 2);
	ck_assert_int_eq(fs_rmdir(t.fs, 1, "d"), -ENOENT);
	ck_assert_uint_eq(used_inodes(t.fs), 1);
}
END_TEST

START_TEST(inode_numbers_are_never_used_twice)
{
	uint64_t last = must_file(t.fs, 1, "a"), next;

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(fs_unlink(t.fs, 1, "a"), 0);
		test_reopen(&t);
		next = must_file(t.fs, 1, "a");
		ck_assert_uint_gt(next, last);
		last = next;
	}
}
END_TEST

/* ---- links, orphans ---- */

START_TEST(hard_links_share_the_inode)
{
	struct fs_attr a, b;
	uint64_t f = must_file(t.fs, 1, "f"), d = must_dir(t.fs, 1, "d");
	char c;

	a = must_stat(t.fs, f);
	ck_assert_int_eq(fs_link(t.fs, f, d, "g", &b), 0);
	fs_forget(t.fs, f, 1);
	ck_assert_uint_eq(b.st.st_nlink, 2);
	ck_assert(a.st.st_ctim.tv_sec != b.st.st_ctim.tv_sec ||
		  a.st.st_ctim.tv_nsec != b.st.st_ctim.tv_nsec);
	must_write(t.fs, f, "x", 1, 0);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	ck_assert_uint_eq(find(t.fs, d, "g"), f);
	ck_assert_int_eq(fs_read(t.fs, f, &c, 1, 0), 1);
	ck_assert_int_eq(c, 'x');
	ck_assert_uint_eq(must_stat(t.fs, f).st.st_nlink, 1);
	ck_assert_int_eq(fs_link(t.fs, d, 1, "dd", &b), -EPERM);
}
END_TEST

START_TEST(unlinked_file_lives_until_forgotten)
{
	struct fs_attr a;
	char c = 0;
	uint64_t blocks = used_blocks(t.fs);

	ck_assert_int_eq(
		fs_mknod(t.fs, &root_cred, 1, "f", S_IFREG | 0600, 0, &a), 0);
	must_write(t.fs, a.st.st_ino, "y", 1, 1 << 20);
	ck_assert_uint_gt(used_blocks(t.fs), blocks);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	/* df sees it gone at once. */
	ck_assert_uint_eq(used_blocks(t.fs), blocks);
	ck_assert_uint_eq(used_inodes(t.fs), 1);
	ck_assert_int_eq(fs_read(t.fs, a.st.st_ino, &c, 1, 1 << 20), 1);
	ck_assert_int_eq(c, 'y');
	must_write(t.fs, a.st.st_ino, "z", 1, 0);
	ck_assert_uint_eq(used_blocks(t.fs), blocks);
	ck_assert_uint_eq(must_stat(t.fs, a.st.st_ino).st.st_nlink, 0);
	ck_assert_int_eq(fs_link(t.fs, a.st.st_ino, 1, "back", &a), -ENOENT);
	fs_forget(t.fs, a.st.st_ino, 1);
	ck_assert_int_eq(fs_getattr(t.fs, a.st.st_ino, &a), -ESTALE);
}
END_TEST

START_TEST(orphans_of_the_last_run_are_reclaimed)
{
	struct fs_check_result res;
	struct fs_attr a;
	char block[4096] = {1};

	ck_assert_int_eq(
		fs_mknod(t.fs, &root_cred, 1, "f", S_IFREG | 0600, 0, &a), 0);
	for (int i = 0; i < 100; i++)
		must_write(t.fs, a.st.st_ino, block, 4096, 4096u * (unsigned)i);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	/* A crash before the forget. */
	env_fault_power_off_at(t.env, env_fault_calls(t.env));
	ck_assert_int_lt(fs_close(t.fs), 0);
	env_fault_restart(t.env, ENV_KEEP_ALL, false, 1);
	test_open(&t);
	for (int i = 0; i < 500; i++) {
		ck_assert_uint_eq(test_fsck(t.fs, false, &res), 0);
		if (res.inodes == 1)
			break;
		usleep(10000);
	}
	ck_assert_uint_eq(res.orphans, 0);
	ck_assert_uint_eq(res.blocks, 0);
	ck_assert_uint_eq(res.inodes, 1);
}
END_TEST

START_TEST(closing_leaves_no_orphans)
{
	struct fs_check_result res;
	struct fs_attr a;

	ck_assert_int_eq(
		fs_mknod(t.fs, &root_cred, 1, "f", S_IFREG | 0600, 0, &a), 0);
	must_write(t.fs, a.st.st_ino, "x", 1, 1 << 20);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	test_close(&t);
	t.options.read_only = true; /* nothing is reclaimed on opening */
	test_open(&t);
	ck_assert_uint_eq(test_fsck(t.fs, false, &res), 0);
	ck_assert_uint_eq(res.inodes, 1);
	ck_assert_uint_eq(res.orphans, 0);
	ck_assert_uint_eq(res.blocks, 0);
}
END_TEST

START_TEST(removed_directory_takes_no_new_entries)
{
	struct fs_attr a, b;

	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, "d", 0755, &a), 0);
	ck_assert_int_eq(fs_rmdir(t.fs, 1, "d"), 0);
	ck_assert_int_eq(
		fs_mknod(t.fs, &root_cred, a.st.st_ino, "f", S_IFREG, 0, &b),
		-ENOENT);
	must_file(t.fs, 1, "g");
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "g", a.st.st_ino, "g", 0),
			 -ENOENT);
	fs_forget(t.fs, a.st.st_ino, 1);
}
END_TEST

/* ---- rename ---- */

START_TEST(rename_moves_and_replaces)
{
	uint64_t d = must_dir(t.fs, 1, "d"), f = must_file(t.fs, 1, "f");
	uint64_t g = must_file(t.fs, d, "g");
	struct fs_attr a;

	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "f", d, "f", 0), 0);
	ck_assert_uint_eq(find(t.fs, 1, "f"), 0);
	ck_assert_uint_eq(find(t.fs, d, "f"), f);
	ck_assert_int_eq(
		fs_rename(t.fs, NULL, d, "f", d, "g", RENAME_NOREPLACE),
		-EEXIST);
	ck_assert_int_eq(fs_rename(t.fs, NULL, d, "f", d, "g", 0), 0);
	ck_assert_uint_eq(find(t.fs, d, "g"), f);
	ck_assert_int_eq(fs_getattr(t.fs, g, &a), -ESTALE);
	ck_assert_int_eq(fs_rename(t.fs, NULL, d, "none", d, "g", 0), -ENOENT);
	/* Over its own directory: as Linux has it. */
	ck_assert_int_eq(fs_rename(t.fs, NULL, d, "g", 1, "d", 0), -ENOTEMPTY);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "d", d, "g", 0), -EINVAL);
	must_file(t.fs, 1, "h");
	must_dir(t.fs, 1, "e");
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "d", 1, "h", 0), -ENOTDIR);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "h", 1, "e", 0), -EISDIR);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "h", 1, "h", 0), 0);
	ck_assert_int_eq(fs_link(t.fs, f, 1, "l", &a), 0);
	fs_forget(t.fs, f, 1);
	/* Two names of one file: nothing happens. */
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "l", d, "g", 0), 0);
	ck_assert_uint_eq(find(t.fs, 1, "l"), f);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "l", 1, "m", 1u << 20),
			 -EINVAL);
}
END_TEST

START_TEST(rename_of_directories_keeps_the_tree)
{
	uint64_t a = must_dir(t.fs, 1, "a"), b = must_dir(t.fs, a, "b");
	uint64_t c = must_dir(t.fs, b, "c"), e = must_dir(t.fs, 1, "e");

	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "a", c, "x", 0), -EINVAL);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "a", a, "x", 0), -EINVAL);
	ck_assert_int_eq(fs_rename(t.fs, NULL, b, "c", 1, "a", 0), -ENOTEMPTY);
	ck_assert_int_eq(fs_rename(t.fs, NULL, b, "c", 1, "e", 0), 0);
	ck_assert_uint_eq(find(t.fs, 1, "e"), c);
	ck_assert_uint_eq(find(t.fs, c, ".."), 1);
	ck_assert_uint_eq(must_stat(t.fs, b).st.st_nlink, 2);
	ck_assert_uint_eq(must_stat(t.fs, 1).st.st_nlink, 4);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "a", 1, "e", RENAME_EXCHANGE),
			 0);
	ck_assert_uint_eq(find(t.fs, 1, "e"), a);
	ck_assert_int_eq(fs_rename(t.fs, NULL, a, "b", 1, "a", 0), 0);
	ck_assert_uint_eq(find(t.fs, b, ".."), 1);
	(void)e;
}
END_TEST

START_TEST(exchange_swaps_a_file_and_a_directory)
{
	uint64_t d = must_dir(t.fs, 1, "d"), s = must_dir(t.fs, d, "s");
	uint64_t f = must_file(t.fs, 1, "f");

	ck_assert_int_eq(
		fs_rename(t.fs, NULL, 1, "f", d, "none", RENAME_EXCHANGE),
		-ENOENT);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "f", d, "s", RENAME_EXCHANGE),
			 0);
	ck_assert_uint_eq(find(t.fs, 1, "f"), s);
	ck_assert_uint_eq(find(t.fs, d, "s"), f);
	ck_assert_uint_eq(find(t.fs, s, ".."), 1);
	ck_assert_uint_eq(must_stat(t.fs, d).st.st_nlink, 2);
	ck_assert_uint_eq(must_stat(t.fs, 1).st.st_nlink, 4);
	/* A directory cannot be swapped with what it holds. */
	ck_assert_int_eq(fs_rename(t.fs, NULL, d, "s", 1, "d", RENAME_EXCHANGE),
			 -EINVAL);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "d", d, "s", RENAME_EXCHANGE),
			 -EINVAL);
}
END_TEST

START_TEST(whiteout_is_left_behind)
{
	uint64_t f = must_file(t.fs, 1, "f"), d = must_dir(t.fs, 1, "d"), w;
	struct fs_attr a;

	must_file(t.fs, d, "g");
	ck_assert_int_eq(
		fs_rename(t.fs, &root_cred, 1, "f", d, "g", RENAME_WHITEOUT),
		0);
	w = find(t.fs, 1, "f");
	ck_assert_uint_ne(w, f);
	a = must_stat(t.fs, w);
	ck_assert_uint_eq(a.st.st_mode, S_IFCHR);
	ck_assert_uint_eq(a.st.st_rdev, 0);
	ck_assert_uint_eq(find(t.fs, d, "g"), f);
	ck_assert_int_eq(
		fs_rename(t.fs, &root_cred, d, "g", d, "h", RENAME_WHITEOUT),
		0);
	ck_assert_uint_eq(find(t.fs, d, "h"), f);
	ck_assert_uint_ne(find(t.fs, d, "g"), 0);
	ck_assert_uint_eq(used_inodes(t.fs), 5);
}
END_TEST

/* ---- the whole ---- */

START_TEST(size_limit_is_kept_and_given_back)
{
	struct fs_mkfs_options o = {
		.size_limit = 1 << 20, .force = true, .label = "small"};
	char *buf = malloc(1 << 20);
	struct fs_statfs s;
	struct fs_info info;
	uint64_t f;
	ssize_t n = 0;
	int r;

	memset(buf, 'l', 1 << 20);
	test_close(&t);
	o.force = false;
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &o), -EEXIST);
	o.force = true;
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &o), 0);
	test_open(&t);
	fs_get_info(t.fs, &info);
	ck_assert_str_eq(info.label, "small");
	fs_statfs(t.fs, &s);
	ck_assert_uint_eq(s.blocks, 256);
	f = must_file(t.fs, 1, "f");
	ck_assert_int_eq(fs_write(t.fs, f, buf, 1 << 20, 0, 0), -ENOSPC);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 0);
	ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 1 << 20, 0), -ENOSPC);
	while (n >= 0)
		n = fs_write(t.fs, f, buf, 4096, 0, FS_WRITE_APPEND);
	ck_assert_int_eq(n, -ENOSPC);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 255 * 4096);
	/* Overwriting and reading still work. */
	must_write(t.fs, f, buf, 4096, 0);
	for (r = 0; r == 0;) {
		char name[32];
		struct fs_attr a;
		static int i;

		sprintf(name, "e%d", i++);
		r = fs_mknod(t.fs, &root_cred, 1, name, S_IFREG, 0, &a);
		if (r == 0)
			fs_forget(t.fs, a.st.st_ino, 1);
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), 0);
	fs_statfs(t.fs, &s);
	ck_assert_uint_ge(s.blocks_free, 254);
	f = must_file(t.fs, 1, "f");
	must_write(t.fs, f, buf, 500 << 10, 0);
	free(buf);
}
END_TEST

START_TEST(read_only_refuses_every_change)
{
	uint64_t f = must_file(t.fs, 1, "f");
	struct fs_attr a = {0};

	must_write(t.fs, f, "abc", 3, 0);
	test_close(&t);
	t.options.read_only = true;
	test_open(&t);
	ck_assert_int_eq(fs_write(t.fs, f, "x", 1, 0, 0), -EROFS);
	ck_assert_int_eq(fs_mkdir(t.fs, &root_cred, 1, "d", 0755, &a), -EROFS);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "f"), -EROFS);
	ck_assert_int_eq(fs_rename(t.fs, NULL, 1, "f", 1, "g", 0), -EROFS);
	ck_assert_int_eq(fs_link(t.fs, f, 1, "g", &a), -EROFS);
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &a, FS_SET_MODE, &a),
			 -EROFS);
	ck_assert_int_eq(fs_setxattr(t.fs, &root_cred, f, "user.a", "", 0, 0),
			 -EROFS);
	ck_assert_int_eq(fs_read(t.fs, f, &a, 3, 0), 3);
	ck_assert_int_eq(fs_fsync(t.fs, f, false), 0);
}
END_TEST

START_TEST(a_store_without_a_filesystem_is_refused)
{
	struct lsm_options o = t.options.engine;
	struct lsm_db *db;
	struct fs *fs;

	test_close(&t);
	ck_assert_int_eq(lsm_open("/other", &o, &db), 0);
	ck_assert_int_eq(lsm_put(db, lsm_slice("k", 1), lsm_slice("v", 1)), 0);
	ck_assert_int_eq(lsm_close(db), 0);
	ck_assert_int_eq(fs_open("/other", &t.options, &fs), -EMEDIUMTYPE);
	ck_assert_int_eq(fs_mkfs("/other", &o, NULL), -ENOTEMPTY);
	t.options.no_create = true;
	ck_assert_int_eq(fs_open("/none", &t.options, &fs), -ENOENT);
	test_open(&t);
}
END_TEST

START_TEST(block_size_is_of_the_superblock)
{
	struct fs_mkfs_options o = {.block_bytes = 65536,
				    .force = true,
				    .compression = LSM_COMPRESSION_NONE};
	struct fs_info info;
	uint64_t f;
	char c;

	test_close(&t);
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &o), 0);
	test_open(&t);
	fs_get_info(t.fs, &info);
	ck_assert_uint_eq(info.block_bytes, 65536);
	ck_assert_int_eq(info.compression, LSM_COMPRESSION_NONE);
	f = must_file(t.fs, 1, "f");
	must_write(t.fs, f, "a", 1, 100000);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 128);
	ck_assert_int_eq(fs_read(t.fs, f, &c, 1, 100000), 1);
	o.block_bytes = 1000;
	test_close(&t);
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &o), -EINVAL);
	test_open(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/core");
	TCase *c = tcase_create("core");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, new_file_has_owner_mode_and_times);
	tcase_add_test(c, names_are_checked);
	tcase_add_test(c, second_creation_of_a_name_is_eexist);
	tcase_add_test(c, special_files_keep_type_and_device);
	tcase_add_test(c, setgid_directory_hands_its_group_down);
	tcase_add_test(c, symlink_target_is_kept);
	tcase_add_test(c, directory_links_count_subdirectories);
	tcase_add_test(c, inode_numbers_are_never_used_twice);
	tcase_add_test(c, hard_links_share_the_inode);
	tcase_add_test(c, unlinked_file_lives_until_forgotten);
	tcase_add_test(c, orphans_of_the_last_run_are_reclaimed);
	tcase_add_test(c, closing_leaves_no_orphans);
	tcase_add_test(c, removed_directory_takes_no_new_entries);
	tcase_add_test(c, rename_moves_and_replaces);
	tcase_add_test(c, rename_of_directories_keeps_the_tree);
	tcase_add_test(c, exchange_swaps_a_file_and_a_directory);
	tcase_add_test(c, whiteout_is_left_behind);
	tcase_add_test(c, size_limit_is_kept_and_given_back);
	tcase_add_test(c, read_only_refuses_every_change);
	tcase_add_test(c, a_store_without_a_filesystem_is_refused);
	tcase_add_test(c, block_size_is_of_the_superblock);
	suite_add_tcase(s, c);
	return run_suite(s);
}
