/* SPDX-License-Identifier: MIT */
/* test_core.c - what each operation of the core promises, errors included. */
#include <dirent.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>
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

/* ---- creating, looking up
 * ---------------------------------------------------------- */

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

/* ---- links, orphans
 * ---------------------------------------------------------------------- */

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

/* ---- rename
 * ----------------------------------------------------------------------------
 */

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

/* ---- readdir
 * ------------------------------------------------------------------------------
 */

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

/* ---- data
 * -----------------------------------------------------------------------------------
 */

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
	buf = calloc(1, 3 << 20);
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
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 5000, 20000), 0);
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
		fs_fallocate(t.fs, f, FALLOC_FL_ZERO_RANGE, 40000, 10000), 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 50000);
	ck_assert_int_eq(fs_fallocate(t.fs, f, FALLOC_FL_KEEP_SIZE, 0, 1 << 20),
			 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 50000);
	ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 60000), 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 60000);
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 0, 1 << 20), 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 0);
	ck_assert_int_eq(
		fs_fallocate(t.fs, f, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
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

/* ---- attributes
 * -------------------------------------------------------------------------- */

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
	ck_assert_int_eq(
		fs_mknod(t.fs, &user_cred, d, "g", S_IFREG | 0666, 0, &a), 0);
	ck_assert_uint_eq(a.st.st_mode & 07777, 0644);
	fs_forget(t.fs, a.st.st_ino, 1);
}
END_TEST

/* ---- the whole
 * ------------------------------------------------------------------------------
 */

START_TEST(size_limit_is_kept_and_given_back)
{
	struct fs_mkfs_options o = {
		.size_limit = 1 << 20, .force = true, .label = "small"};
	char *buf = calloc(1, 1 << 20);
	struct fs_statfs s;
	struct fs_info info;
	uint64_t f;
	ssize_t n = 0;
	int r;

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
	ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 1 << 20), -ENOSPC);
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
	tcase_add_test(c, readdir_is_in_order_of_creation_and_resumes);
	tcase_add_test(c, readdir_goes_on_behind_a_deleted_entry);
	tcase_add_test(c, a_scan_that_renames_meets_each_entry_once);
	tcase_add_test(c, data_reads_back_with_zeros_in_holes);
	tcase_add_test(c, truncate_cuts_and_extension_reveals_zeros);
	tcase_add_test(c, large_files_shrink_by_one_range);
	tcase_add_test(c, punched_holes_take_no_space);
	tcase_add_test(c, overwrites_change_times_also_across_reopen);
	tcase_add_test(c, relatime_updates_once);
	tcase_add_test(c, setattr_sets_and_says_ctime);
	tcase_add_test(c, privileges_are_dropped_on_chown_write_and_truncate);
	tcase_add_test(c, xattrs_are_kept_listed_and_removed);
	tcase_add_test(c, acl_and_mode_agree);
	tcase_add_test(c, default_acl_is_inherited_instead_of_the_umask);
	tcase_add_test(c, size_limit_is_kept_and_given_back);
	tcase_add_test(c, read_only_refuses_every_change);
	tcase_add_test(c, a_store_without_a_filesystem_is_refused);
	tcase_add_test(c, block_size_is_of_the_superblock);
	suite_add_tcase(s, c);
	return run_suite(s);
}
