/* SPDX-License-Identifier: MIT */
/*
 * test_check.c - every kind of damage that fsck knows is done to the store
 * behind the filesystem's back; it is found, repaired, and then gone.
 */
#include <dirent.h>

#include "fs/schema.h"
#include "fs/super.h"
#include "tests/fs/fs_test.h"

static struct test_fs t;
static uint64_t dir, sub, file, dense, link_target;
static char lines[16][512];
static unsigned line_count;

/* /dir/{file,dense,sub/inner,link}, /dir/second is file again. */
static void setup(void)
{
	struct fs_attr a;
	char buf[10000];

	test_setup(&t);
	dir = must_dir(t.fs, 1, "dir");
	file = must_file(t.fs, dir, "file");
	dense = must_file(t.fs, dir, "dense");
	sub = must_dir(t.fs, dir, "sub");
	must_file(t.fs, sub, "inner");
	memset(buf, 'd', sizeof(buf));
	must_write(t.fs, dense, buf, sizeof(buf), 0);
	must_write(t.fs, file, "data", 4, 20000);
	ck_assert_int_eq(
		fs_setxattr(t.fs, &root_cred, file, "user.x", "v", 1, 0), 0);
	ck_assert_int_eq(fs_link(t.fs, file, dir, "second", &a), 0);
	fs_forget(t.fs, file, 1);
	ck_assert_int_eq(fs_symlink(t.fs, &root_cred, dir, "link", "to", &a),
			 0);
	link_target = a.st.st_ino;
	fs_forget(t.fs, link_target, 1);
	ck_assert_uint_eq(test_fsck(t.fs, false, NULL), 0);
}

static void teardown(void)
{
	test_teardown(&t);
}

static void keep_line(void *arg, const char *line)
{
	if (line_count < 16)
		strcpy(lines[line_count++], line);
}

static uint64_t check(bool repair, struct fs_check_result *res)
{
	struct fs_check_options o = {.repair = repair, .report = keep_line};

	line_count = 0;
	ck_assert_int_eq(fs_check(t.fs, &o, res), 0);
	return res->found;
}

static bool said(const char *what)
{
	for (unsigned i = 0; i < line_count; i++)
		if (strstr(lines[i], what))
			return true;
	for (unsigned i = 0; i < line_count; i++)
		printf("# said: %s\n", lines[i]);
	return false;
}

/* The damage is found in these words, without being touched; then repaired;
 * then there is none. */
static void found_and_repaired(const char *words)
{
	struct fs_check_result res;

	test_reopen(&t);
	ck_assert_uint_gt(check(false, &res), 0);
	ck_assert_uint_eq(res.fixed, 0);
	ck_assert_msg(said(words), "nothing was said about '%s'", words);
	ck_assert_uint_gt(check(false, &res), 0);
	ck_assert_uint_gt(check(true, &res), 0);
	ck_assert_uint_eq(res.fixed, res.found);
	ck_assert_msg(said(words), "nothing was said about '%s'", words);
	ck_assert_msg(said("(repaired)"), "no line says it was repaired");
	if (check(false, &res))
		ck_abort_msg("still damaged: %s", lines[0]);
	test_reopen(&t);
	if (check(false, &res))
		ck_abort_msg("damaged after reopening: %s", lines[0]);
}

static void put(struct lsm_slice key, const void *v, size_t len)
{
	ck_assert_int_eq(lsm_put(fs_db(t.fs), key, lsm_slice(v, len)), 0);
}

static void delete (struct lsm_slice key)
{
	ck_assert_int_eq(lsm_delete(fs_db(t.fs), key), 0);
}

static struct inode_rec get_rec(uint64_t ino)
{
	struct lsm_pin pin = {0};
	struct inode_rec r;
	struct key k;

	ck_assert_int_eq(
		lsm_get(fs_db(t.fs), NULL, key_ino(&k, ino, KEY_INODE), &pin),
		0);
	ck_assert_int_eq(inode_rec_decode(lsm_slice(pin.data, pin.len), &r), 0);
	lsm_unpin(&pin);
	return r;
}

static void put_rec(uint64_t ino, const struct inode_rec *r)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	put(key_ino(&k, ino, KEY_INODE), v, inode_rec_encode(r, v));
}

static struct lsm_slice name_key(struct key *k, uint64_t d, const char *name)
{
	return key_name(k, d, KEY_ENTRY_NAME, lsm_slice(name, strlen(name)));
}

static struct entry_rec get_entry(uint64_t d, const char *name)
{
	struct lsm_pin pin = {0};
	struct entry_rec e;
	struct key k;

	ck_assert_int_eq(
		lsm_get(fs_db(t.fs), NULL, name_key(&k, d, name), &pin), 0);
	ck_assert_int_eq(entry_name_decode(lsm_slice(pin.data, pin.len), &e),
			 0);
	lsm_unpin(&pin);
	return e;
}

static void put_entry(uint64_t d, const char *name, uint64_t ino, uint8_t type,
		      uint64_t cookie)
{
	struct entry_rec e = {.ino = ino,
			      .type = type,
			      .cookie = cookie,
			      .name = lsm_slice(name, strlen(name))};
	uint8_t v[RECORD_MAX];
	struct key k;

	put(name_key(&k, d, name), v, entry_name_encode(&e, v));
	put(key_cookie(&k, d, cookie), v, entry_cookie_encode(&e, v));
}

static void delete_entry(uint64_t d, const char *name)
{
	struct entry_rec e = get_entry(d, name);
	struct key k;

	delete (name_key(&k, d, name));
	delete (key_cookie(&k, d, e.cookie));
}

/* ---- counts ---- */

START_TEST(wrong_link_count)
{
	struct inode_rec r = get_rec(file);

	r.nlink = 7;
	put_rec(file, &r);
	found_and_repaired("link count is 7, should be 2");
	ck_assert_uint_eq(must_stat(t.fs, file).st.st_nlink, 2);
}
END_TEST

START_TEST(wrong_link_count_of_directory)
{
	struct inode_rec r = get_rec(dir);

	r.nlink = 2;
	put_rec(dir, &r);
	found_and_repaired("link count is 2, should be 3");
}
END_TEST

START_TEST(wrong_block_count)
{
	struct inode_rec r = get_rec(dense);

	r.blocks = 2;
	put_rec(dense, &r);
	found_and_repaired("2 blocks are counted, there are 3");
	ck_assert_int_eq(must_stat(t.fs, dense).st.st_blocks, 24);
}
END_TEST

START_TEST(an_uncounted_inode_is_right_and_counted_by_the_next_mount)
{
	struct inode_rec r = get_rec(dense);
	uint64_t used = used_blocks(t.fs);
	struct lsm_pin pin = {0};
	uint8_t v[RECORD_MAX];
	struct usage_rec u;
	struct key k;

	r.blocks += 2;
	put_rec(dense, &r);
	ck_assert_int_eq(lsm_get(fs_db(t.fs), NULL,
				 key_usage(&k, dense % USAGE_SHARDS), &pin),
			 0);
	ck_assert_int_eq(usage_rec_decode(lsm_slice(pin.data, pin.len), &u), 0);
	lsm_unpin(&pin);
	u.blocks += 16;
	put(key_usage(&k, dense % USAGE_SHARDS), v, usage_rec_encode(&u, v));
	put(key_uncounted(&k, dense), v, uncounted_encode(v));
	/* One of an inode that is gone: nothing. */
	put(key_uncounted(&k, 4711), v, uncounted_encode(v));
	test_close(&t);
	t.options.read_only = true;
	test_open(&t);
	ck_assert_uint_eq(test_fsck(t.fs, false, NULL), 0);
	test_close(&t);
	t.options.read_only = false;
	test_open(&t);
	ck_assert_int_eq(must_stat(t.fs, dense).st.st_blocks, 24);
	ck_assert_uint_eq(used_blocks(t.fs), used);
	ck_assert_int_eq(
		lsm_get(fs_db(t.fs), NULL, key_uncounted(&k, dense), &pin),
		LSM_NOTFOUND);
	ck_assert_int_eq(
		lsm_get(fs_db(t.fs), NULL, key_uncounted(&k, 4711), &pin),
		LSM_NOTFOUND);
	ck_assert_uint_eq(test_fsck(t.fs, false, NULL), 0);
}
END_TEST

START_TEST(wrong_entry_count)
{
	struct inode_rec r = get_rec(dir);

	r.entries = 0;
	put_rec(dir, &r);
	found_and_repaired("0 entries are counted, there are 5");
	ck_assert_int_eq(fs_rmdir(t.fs, 1, "dir"), -ENOTEMPTY);
}
END_TEST

START_TEST(wrong_usage)
{
	struct usage_rec u = {.blocks = 1000, .inodes = 3};
	uint64_t blocks = used_blocks(t.fs);
	uint8_t v[RECORD_MAX];
	struct key k;

	put(key_usage(&k, 17), v, usage_rec_encode(&u, v));
	found_and_repaired("usage shard 17");
	ck_assert_uint_eq(used_blocks(t.fs), blocks);
	put(key_usage(&k, 1), "junk", 4);
	found_and_repaired("usage shard 1");
	ck_assert_uint_eq(used_blocks(t.fs), blocks);
}
END_TEST

START_TEST(watermark_too_low)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	put(key_global(&k, KEY_GLOBAL_WATERMARK), v, watermark_encode(3, v));
	found_and_repaired("given out twice");
	ck_assert_uint_gt(must_file(t.fs, 1, "new"), link_target);
}
END_TEST

START_TEST(missing_watermark)
{
	struct key k;

	delete (key_global(&k, KEY_GLOBAL_WATERMARK));
	found_and_repaired("given out twice");
	ck_assert_uint_gt(must_file(t.fs, 1, "new"), link_target);
}
END_TEST

START_TEST(next_cookie_too_low)
{
	struct inode_rec r = get_rec(dir);

	r.next_cookie = 4;
	put_rec(dir, &r);
	found_and_repaired("places in the order would be given out twice");
}
END_TEST

START_TEST(attribute_flags)
{
	struct inode_rec r = get_rec(file);

	r.flags = 0;
	put_rec(file, &r);
	found_and_repaired("attributes and their flags");
	ck_assert_int_eq(fs_getxattr(t.fs, file, "user.x", NULL, 0), 1);
}
END_TEST

/* ---- entries ---- */

START_TEST(entry_of_missing_inode)
{
	put_entry(dir, "ghost", 4000, DT_REG, 900);
	found_and_repaired("entry 'ghost' names inode 4000, which does not");
	ck_assert_uint_eq(find(t.fs, dir, "ghost"), 0);
}
END_TEST

START_TEST(entry_by_name_alone)
{
	struct entry_rec e = get_entry(dir, "dense");
	struct key k;

	delete (key_cookie(&k, dir, e.cookie));
	found_and_repaired("entry 'dense' has no place in the order");
	ck_assert_uint_eq(find(t.fs, dir, "dense"), dense);
}
END_TEST

START_TEST(entry_by_cookie_alone)
{
	struct key k;

	delete (name_key(&k, dir, "dense"));
	found_and_repaired("entry 'dense' cannot be looked up");
	ck_assert_uint_eq(find(t.fs, dir, "dense"), dense);
}
END_TEST

START_TEST(entry_record_by_name_damaged)
{
	struct key k;

	put(name_key(&k, dir, "dense"), "junk", 4);
	found_and_repaired("entry 'dense' is damaged");
	ck_assert_uint_eq(find(t.fs, dir, "dense"), dense);
}
END_TEST

START_TEST(entry_record_by_cookie_damaged)
{
	struct entry_rec e = get_entry(dir, "dense");
	struct key k;

	put(key_cookie(&k, dir, e.cookie), "junk", 4);
	found_and_repaired("entry 'dense' has no place in the order");
}
END_TEST

START_TEST(stray_record_of_the_order)
{
	struct key k;

	put(key_cookie(&k, dir, 800), "junk", 4);
	found_and_repaired("record 800 of the order is damaged");
}
END_TEST

START_TEST(entry_twice_in_the_order)
{
	struct entry_rec e = get_entry(dir, "dense");
	uint8_t v[RECORD_MAX];
	struct key k;

	e.name = lsm_slice("dense", 5);
	put(key_cookie(&k, dir, 700), v, entry_cookie_encode(&e, v));
	found_and_repaired("'dense' stands in the order twice");
}
END_TEST

START_TEST(two_names_with_one_cookie)
{
	struct entry_rec e = get_entry(dir, "dense");
	uint8_t v[RECORD_MAX];
	struct key k;

	e.ino = file;
	put(name_key(&k, dir, "another"), v, entry_name_encode(&e, v));
	found_and_repaired("entry 'another' has another entry's place");
	ck_assert_uint_eq(find(t.fs, dir, "another"), file);
	ck_assert_uint_eq(find(t.fs, dir, "dense"), dense);
}
END_TEST

START_TEST(entry_with_wrong_type)
{
	struct entry_rec e = get_entry(dir, "dense");

	put_entry(dir, "dense", dense, DT_DIR, e.cookie);
	found_and_repaired("is called a directory but is a file");
}
END_TEST

START_TEST(directory_with_two_names)
{
	put_entry(1, "again", sub, DT_DIR, 900);
	found_and_repaired("a directory that has a name elsewhere");
}
END_TEST

START_TEST(root_directory_with_a_name)
{
	put_entry(dir, "root", 1, DT_DIR, 900);
	found_and_repaired("the root directory");
}
END_TEST

START_TEST(entries_of_a_file)
{
	put_entry(dense, "x", file, DT_REG, 3);
	found_and_repaired("is a file but has directory entries");
}
END_TEST

/* ---- the tree ---- */

START_TEST(lost_file_goes_to_lost_and_found)
{
	char name[32], buf[4];
	uint64_t lf;

	delete_entry(dir, "dense");
	found_and_repaired("has no name");
	lf = find(t.fs, 1, "lost+found");
	ck_assert_uint_ne(lf, 0);
	sprintf(name, "#%llu", (unsigned long long)dense);
	ck_assert_uint_eq(find(t.fs, lf, name), dense);
	ck_assert_int_eq(fs_read(t.fs, dense, buf, 4, 0), 4);
	ck_assert_mem_eq(buf, "dddd", 4);
	ck_assert_uint_eq(must_stat(t.fs, dense).st.st_nlink, 1);
}
END_TEST

START_TEST(lost_directory_keeps_what_it_holds)
{
	char name[32];
	uint64_t lf;

	delete_entry(dir, "sub");
	found_and_repaired("has no name");
	lf = find(t.fs, 1, "lost+found");
	sprintf(name, "#%llu", (unsigned long long)sub);
	ck_assert_uint_eq(find(t.fs, lf, name), sub);
	ck_assert_uint_eq(find(t.fs, sub, ".."), lf);
	ck_assert_uint_ne(find(t.fs, sub, "inner"), 0);
}
END_TEST

START_TEST(wrong_parent)
{
	struct inode_rec r = get_rec(sub);

	r.parent = 1;
	put_rec(sub, &r);
	found_and_repaired("its parent is");
	ck_assert_uint_eq(find(t.fs, sub, ".."), dir);
}
END_TEST

START_TEST(ring_of_directories)
{
	struct inode_rec r = get_rec(dir);
	uint64_t lf;

	/* dir moves into its own subdirectory. */
	delete_entry(1, "dir");
	put_entry(sub, "dir", dir, DT_DIR, 900);
	r.parent = sub;
	put_rec(dir, &r);
	found_and_repaired("lies inside itself");
	lf = find(t.fs, 1, "lost+found");
	ck_assert_uint_ne(lf, 0);
	ck_assert_uint_eq(must_stat(t.fs, lf).st.st_nlink, 3);
}
END_TEST

START_TEST(orphan_key_of_nothing)
{
	uint8_t v[RECORD_MAX];
	struct fs_check_result res;
	struct key k;

	/* Not reopened: mounting would clear it away. */
	put(key_orphan(&k, 5000), v, orphan_encode(v));
	ck_assert_uint_eq(check(false, &res), 1);
	ck_assert(said("orphan 5000 does not exist"));
	ck_assert_uint_eq(check(true, &res), 1);
	ck_assert_uint_eq(check(false, &res), 0);
}
END_TEST

START_TEST(orphan_key_of_a_named_file)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	put(key_orphan(&k, dense), v, orphan_encode(v));
	found_and_repaired("has a name but is called an orphan");
	ck_assert_uint_eq(find(t.fs, dir, "dense"), dense);
}
END_TEST

START_TEST(deleted_inode_that_is_no_orphan)
{
	struct inode_rec r = get_rec(dense);
	struct fs_attr a;

	delete_entry(dir, "dense");
	r.nlink = 0;
	put_rec(dense, &r);
	found_and_repaired("was deleted but its space not given back");
	ck_assert_int_eq(fs_getattr(t.fs, dense, &a), -ESTALE);
}
END_TEST

/* ---- inodes and data ---- */

START_TEST(records_without_an_inode)
{
	struct key k;

	put(key_block(&k, 7000, 3), "stray", 5);
	put(key_block(&k, 7000, 4), "stray", 5);
	found_and_repaired("inode 7000 does not exist but has records");
}
END_TEST

START_TEST(unreadable_inode_is_rebuilt)
{
	struct key k;
	char c;

	put(key_ino(&k, dense, KEY_INODE), "junk", 4);
	found_and_repaired("bad inode record");
	ck_assert_uint_eq(find(t.fs, dir, "dense"), dense);
	ck_assert_int_eq(must_stat(t.fs, dense).st.st_size, 10000);
	ck_assert_int_eq(fs_read(t.fs, dense, &c, 1, 9999), 1);
	ck_assert_int_eq(c, 'd');
	put(key_ino(&k, sub, KEY_INODE), "junk", 4);
	found_and_repaired("bad inode record");
	ck_assert_uint_ne(find(t.fs, sub, "inner"), 0);
}
END_TEST

START_TEST(block_behind_the_end)
{
	struct key k;

	put(key_block(&k, dense, 9), "stray", 5);
	found_and_repaired("block 9 lies behind the end");
}
END_TEST

START_TEST(last_block_too_long)
{
	char buf[4096] = {1};
	struct key k;

	put(key_block(&k, dense, 2), buf, sizeof(buf));
	found_and_repaired("the last block reaches beyond the end");
}
END_TEST

START_TEST(block_of_impossible_size)
{
	char buf[5000] = {1}, c;
	struct key k;

	put(key_block(&k, dense, 1), buf, sizeof(buf));
	ck_assert_int_eq(fs_read(t.fs, dense, &c, 1, 4096), -EUCLEAN);
	found_and_repaired("block 1 has 5000 bytes");
	ck_assert_int_eq(fs_read(t.fs, dense, &c, 1, 4096), 1);
}
END_TEST

START_TEST(data_of_a_directory)
{
	struct key k;

	put(key_block(&k, dir, 0), "x", 1);
	found_and_repaired("is a directory but has file data");
}
END_TEST

START_TEST(damaged_acl)
{
	struct key k;

	put(key_name(&k, file, KEY_XATTR,
		     lsm_slice("system.posix_acl_access", 23)),
	    "junk", 4);
	found_and_repaired("attribute 'system.posix_acl_access' is damaged");
}
END_TEST

START_TEST(unknown_key)
{
	struct key k;

	put(key_ino(&k, dense, 0x77), "x", 1);
	put(lsm_slice("abc", 3), "x", 1);
	found_and_repaired("unknown key");
}
END_TEST

START_TEST(missing_link_target_is_said)
{
	struct fs_check_result res;
	struct key k;
	char buf[10];

	delete (key_ino(&k, link_target, KEY_SYMLINK));
	ck_assert_uint_eq(check(true, &res), 1);
	ck_assert_uint_eq(res.fixed, 0);
	ck_assert(said("has no target"));
	ck_assert_int_eq(fs_readlink(t.fs, link_target, buf, 10), -EUCLEAN);
	ck_assert_int_eq(fs_unlink(t.fs, dir, "link"), 0);
}
END_TEST

START_TEST(counts_of_a_sound_filesystem)
{
	struct fs_check_result res;

	ck_assert_uint_eq(check(false, &res), 0);
	ck_assert_uint_eq(res.inodes, 7);
	ck_assert_uint_eq(res.directories, 3);
	ck_assert_uint_eq(res.files, 3);
	ck_assert_uint_eq(res.symlinks, 1);
	ck_assert_uint_eq(res.entries, 7);
	ck_assert_uint_eq(res.xattrs, 1);
	ck_assert_uint_eq(res.blocks, 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/check");
	TCase *c = tcase_create("check");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, wrong_link_count);
	tcase_add_test(c, wrong_link_count_of_directory);
	tcase_add_test(c, wrong_block_count);
	tcase_add_test(c, wrong_entry_count);
	tcase_add_test(
		c, an_uncounted_inode_is_right_and_counted_by_the_next_mount);
	tcase_add_test(c, wrong_usage);
	tcase_add_test(c, watermark_too_low);
	tcase_add_test(c, missing_watermark);
	tcase_add_test(c, next_cookie_too_low);
	tcase_add_test(c, attribute_flags);
	tcase_add_test(c, entry_of_missing_inode);
	tcase_add_test(c, entry_by_name_alone);
	tcase_add_test(c, entry_by_cookie_alone);
	tcase_add_test(c, entry_record_by_name_damaged);
	tcase_add_test(c, entry_record_by_cookie_damaged);
	tcase_add_test(c, stray_record_of_the_order);
	tcase_add_test(c, entry_twice_in_the_order);
	tcase_add_test(c, two_names_with_one_cookie);
	tcase_add_test(c, entry_with_wrong_type);
	tcase_add_test(c, directory_with_two_names);
	tcase_add_test(c, root_directory_with_a_name);
	tcase_add_test(c, entries_of_a_file);
	tcase_add_test(c, lost_file_goes_to_lost_and_found);
	tcase_add_test(c, lost_directory_keeps_what_it_holds);
	tcase_add_test(c, wrong_parent);
	tcase_add_test(c, ring_of_directories);
	tcase_add_test(c, orphan_key_of_nothing);
	tcase_add_test(c, orphan_key_of_a_named_file);
	tcase_add_test(c, deleted_inode_that_is_no_orphan);
	tcase_add_test(c, records_without_an_inode);
	tcase_add_test(c, unreadable_inode_is_rebuilt);
	tcase_add_test(c, block_behind_the_end);
	tcase_add_test(c, last_block_too_long);
	tcase_add_test(c, block_of_impossible_size);
	tcase_add_test(c, data_of_a_directory);
	tcase_add_test(c, damaged_acl);
	tcase_add_test(c, unknown_key);
	tcase_add_test(c, missing_link_target_is_said);
	tcase_add_test(c, counts_of_a_sound_filesystem);
	suite_add_tcase(s, c);
	return run_suite(s);
}
