/* SPDX-License-Identifier: MIT */
/*
 * test_fsck.c - tinylsm fsck on filesystems that were spoiled by hand.
 *
 * Records that do not belong are put into the store, or needed ones taken out,
 * through the engine; then the program (TINYLSM, default ./tinylsm) is to find
 * it, to change nothing without being told, to mend it, and to find nothing
 * afterwards: the exit statuses of e2fsck.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsm/base/coding.h"
#include "lsm/lsm.h"
#include "tests/check_main.h"

static char work[] = "/tmp/tinylsm-fsck-XXXXXX";
static char dir[64]; /* the store in it */

/* Runs a command line in which the program is $T and the store is $S. */
static int status_of(const char *command)
{
	int r = system(command);

	ck_assert(WIFEXITED(r));
	return WEXITSTATUS(r);
}

/* These two run outside of the tests' processes: also after a failure. */
static void make_work(void)
{
	const char *program = getenv("TINYLSM");

	ck_assert_ptr_nonnull(mkdtemp(work));
	snprintf(dir, sizeof(dir), "%s/store", work);
	setenv("T", program ? program : "./tinylsm", 1);
	setenv("W", work, 1);
	setenv("S", dir, 1);
}

static void remove_work(void)
{
	ck_assert_int_eq(status_of("rm -rf \"$W\""), 0);
}

static void setup(void)
{
	ck_assert_int_eq(status_of("rm -rf \"$S\""), 0);
	ck_assert_int_eq(status_of("\"$T\" mkfs \"$S\" >/dev/null"), 0);
	ck_assert_int_eq(status_of("\"$T\" fsck \"$S\" >/dev/null"), 0);
}

static struct lsm_db *open_store(void)
{
	struct lsm_options o = {.no_create = true};
	struct lsm_db *db;

	ck_assert_int_eq(lsm_open(dir, &o, &db), 0);
	return db;
}

/* The key of an inode's record of this type, with what follows the type. */
static struct lsm_slice key_of(uint8_t *buf, uint64_t ino, uint8_t type,
			       const void *rest, size_t len)
{
	put_be64(buf, ino);
	buf[8] = type;
	memcpy(buf + 9, rest, len);
	return lsm_slice(buf, 9 + len);
}

static void found_mended_and_clean(void)
{
	ck_assert_int_eq(status_of("\"$T\" fsck -n \"$S\" >\"$S.out\" 2>&1"),
			 4);
	ck_assert_int_eq(status_of("grep -q 'errors left' \"$S.out\""), 0);
	ck_assert_int_eq(status_of("! grep -q clean \"$S.out\""), 0);
	/* Nothing was changed by looking. */
	ck_assert_int_eq(status_of("\"$T\" fsck \"$S\" >/dev/null 2>&1"), 4);
	ck_assert_int_eq(status_of("\"$T\" fsck -y \"$S\" >\"$S.out\" 2>&1"),
			 1);
	ck_assert_int_eq(status_of("grep -q 'errors corrected' \"$S.out\""), 0);
	ck_assert_int_eq(status_of("\"$T\" fsck \"$S\" >\"$S.out\" 2>&1"), 0);
	ck_assert_int_eq(status_of("grep -q clean \"$S.out\""), 0);
}

START_TEST(data_of_no_inode_is_found_and_removed)
{
	struct lsm_db *db = open_store();
	uint8_t key[32], block[8] = {0}, data[4096];

	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(lsm_put(db, key_of(key, 4711, 0x40, block, 8),
				 lsm_slice(data, sizeof(data))),
			 0);
	ck_assert_int_eq(lsm_close(db), 0);
	found_mended_and_clean();
}
END_TEST

START_TEST(an_attribute_of_no_inode_is_found_and_removed)
{
	struct lsm_db *db = open_store();
	uint8_t key[32];

	ck_assert_int_eq(lsm_put(db, key_of(key, 4711, 0x10, "user.x", 6),
				 lsm_slice("v", 1)),
			 0);
	ck_assert_int_eq(lsm_close(db), 0);
	found_mended_and_clean();
}
END_TEST

START_TEST(an_entry_that_cannot_be_read_is_found_and_removed)
{
	struct lsm_db *db = open_store();
	uint8_t key[32];

	ck_assert_int_eq(
		lsm_put(db, key_of(key, 1, 0x20, "name", 4), lsm_slice("?", 1)),
		0);
	ck_assert_int_eq(lsm_close(db), 0);
	found_mended_and_clean();
}
END_TEST

START_TEST(a_lost_root_is_found)
{
	struct lsm_db *db = open_store();
	uint8_t key[32];
	int r;

	ck_assert_int_eq(lsm_delete(db, key_of(key, 1, 0x00, "", 0)), 0);
	ck_assert_int_eq(lsm_close(db), 0);
	r = status_of("\"$T\" fsck -n \"$S\" >/dev/null 2>&1");
	ck_assert_int_eq(r, 4);
	r = status_of("\"$T\" fsck -y \"$S\" >/dev/null 2>&1");
	ck_assert(r == 1 || r == 4);
	ck_assert_int_eq(status_of("\"$T\" fsck \"$S\" >/dev/null 2>&1"),
			 r == 1 ? 0 : 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fsck");
	TCase *t = tcase_create("spoiled");

	tcase_add_unchecked_fixture(t, make_work, remove_work);
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, data_of_no_inode_is_found_and_removed);
	tcase_add_test(t, an_attribute_of_no_inode_is_found_and_removed);
	tcase_add_test(t, an_entry_that_cannot_be_read_is_found_and_removed);
	tcase_add_test(t, a_lost_root_is_found);
	suite_add_tcase(s, t);
	return run_suite(s);
}
