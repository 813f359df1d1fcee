/* SPDX-License-Identifier: MIT */
/*
 * fs_test.h - what the tests of the filesystem core share: a filesystem on a
 * disk in memory, short forms of the operations that must succeed, and the
 * check that nothing is wrong with it.
 */
#ifndef TESTS_FS_FS_TEST_H
#define TESTS_FS_FS_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "lsm/env/env_fault.h"
#include "tests/check_main.h"

#define STORE "/store"

struct test_fs {
	struct lsm_env *env;
	struct fs *fs;
	struct fs_options options;
};

static const struct fs_cred __attribute__((unused))
root_cred = {.uid = 0, .gid = 0, .umask = 022, .fsetid = true};
static const struct fs_cred __attribute__((unused))
user_cred = {.uid = 1000, .gid = 1000, .umask = 022, .fsetid = false};

static inline void test_log(void *arg, enum lsm_log_level level,
			    const char *msg)
{
	if (getenv("TEST_VERBOSE"))
		printf("# log %d: %s\n", (int)level, msg);
}

/* Small buffers, so that short tests also flush and compact. */
static inline void test_options(struct test_fs *t)
{
	t->options.engine.env = t->env;
	t->options.engine.memory_bytes = 8 << 20;
	t->options.engine.write_buffer_bytes = 256 << 10;
	t->options.engine.table_bytes = 256 << 10;
	t->options.engine.blob_file_bytes = 512 << 10;
	t->options.engine.log = test_log;
	t->options.engine.log_level = LSM_LOG_WARN;
	t->options.strictatime = false;
	/* Also small files take the way of large ones. */
	t->options.count_max_blocks = 3;
}

static inline void test_open(struct test_fs *t)
{
	int r = fs_open(STORE, &t->options, &t->fs);

	ck_assert_msg(r == 0, "fs_open: %s", lsm_strerror(r));
}

static inline void test_close(struct test_fs *t)
{
	int r = fs_close(t->fs);

	t->fs = NULL;
	ck_assert_msg(r == 0, "fs_close: %s", lsm_strerror(r));
}

/* As fs_read(), by way of pieces. */
static inline ssize_t read_pieces(struct fs *fs, uint64_t ino, void *buf,
				  size_t size, uint64_t offset)
{
	struct fs_pieces p;
	/* whether it enters the cache makes no difference */
	bool kept = offset / 4096 % 2;
	ssize_t n = fs_read_pieces(fs, ino, size, offset, kept, &p);
	size_t at = 0, dropped = 0;

	if (n > 0 && kept) {
		dropped = fs_pieces_drop_hole(&p);
		ck_assert_uint_le(dropped, (size_t)n);
	}
	for (unsigned i = 0; n >= 0 && i < p.count; i++) {
		ck_assert_uint_gt(p.iov[i].iov_len, 0);
		ck_assert_uint_le(at + p.iov[i].iov_len, (size_t)n);
		memcpy((char *)buf + at, p.iov[i].iov_base, p.iov[i].iov_len);
		at += p.iov[i].iov_len;
	}
	fs_pieces_release(&p);
	if (n >= 0)
		ck_assert_uint_eq(at + dropped, (size_t)n);
	if (dropped)
		memset((char *)buf + at, 0, dropped);
	return n;
}

static inline void test_setup(struct test_fs *t)
{
	memset(t, 0, sizeof(*t));
	t->env = env_fault_new();
	ck_assert_ptr_nonnull(t->env);
	test_options(t);
	test_open(t);
}

static inline void test_report(void *arg, const char *line)
{
	int *quiet = arg;

	if (!quiet || !*quiet)
		printf("# fsck: %s\n", line);
}

/* Number of findings. */
static inline uint64_t test_fsck(struct fs *fs, bool repair,
				 struct fs_check_result *out)
{
	struct fs_check_options o = {.repair = repair, .report = test_report};
	struct fs_check_result res;
	int r = fs_check(fs, &o, &res);

	ck_assert_msg(r == 0, "fs_check: %s", lsm_strerror(r));
	if (out)
		*out = res;
	return res.found;
}

static inline void test_teardown(struct test_fs *t)
{
	if (t->fs) {
		ck_assert_uint_eq(test_fsck(t->fs, false, NULL), 0);
		test_close(t);
	}
	env_fault_free(t->env);
}

static inline void test_reopen(struct test_fs *t)
{
	test_close(t);
	test_open(t);
}

/* ---- operations that must succeed; each forgets what it counted ---- */

static inline uint64_t must_file(struct fs *fs, uint64_t dir, const char *name)
{
	struct fs_attr a;
	int r = fs_mknod(fs, &root_cred, dir, name, S_IFREG | 0644, 0, &a);

	ck_assert_msg(r == 0, "mknod %s: %s", name, lsm_strerror(r));
	fs_forget(fs, a.st.st_ino, 1);
	return a.st.st_ino;
}

static inline uint64_t must_dir(struct fs *fs, uint64_t dir, const char *name)
{
	struct fs_attr a;
	int r = fs_mkdir(fs, &root_cred, dir, name, 0755, &a);

	ck_assert_msg(r == 0, "mkdir %s: %s", name, lsm_strerror(r));
	fs_forget(fs, a.st.st_ino, 1);
	return a.st.st_ino;
}

static inline struct fs_attr must_stat(struct fs *fs, uint64_t ino)
{
	struct fs_attr a;
	int r = fs_getattr(fs, ino, &a);

	ck_assert_msg(r == 0, "getattr %llu: %s", (unsigned long long)ino,
		      lsm_strerror(r));
	return a;
}

/* The inode, or 0 when there is no such name. */
static inline uint64_t find(struct fs *fs, uint64_t dir, const char *name)
{
	struct fs_attr a;
	int r = fs_lookup(fs, dir, name, &a);

	if (r == -ENOENT)
		return 0;
	ck_assert_msg(r == 0, "lookup %s: %s", name, lsm_strerror(r));
	fs_forget(fs, a.st.st_ino, 1);
	return a.st.st_ino;
}

static inline void must_write(struct fs *fs, uint64_t ino, const void *buf,
			      size_t size, uint64_t offset)
{
	ssize_t n = fs_write(fs, ino, buf, size, offset, 0);

	ck_assert_msg(n == (ssize_t)size, "write: %s", lsm_strerror((int)n));
}

static inline void must_truncate(struct fs *fs, uint64_t ino, uint64_t size)
{
	struct fs_attr a = {0};
	int r;

	a.st.st_size = (off_t)size;
	r = fs_setattr(fs, &root_cred, ino, &a, FS_SET_SIZE, &a);
	ck_assert_msg(r == 0, "truncate: %s", lsm_strerror(r));
	ck_assert_int_eq(a.st.st_size, (off_t)size);
}

static inline uint64_t used_blocks(struct fs *fs)
{
	struct fs_statfs s;

	ck_assert_int_eq(fs_statfs(fs, &s), 0);
	return s.blocks - s.blocks_free;
}

static inline uint64_t used_inodes(struct fs *fs)
{
	struct fs_statfs s;

	ck_assert_int_eq(fs_statfs(fs, &s), 0);
	return s.inodes - s.inodes_free;
}

/* xorshift64*, Vigna 2016 */
static inline uint64_t rnd(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 2685821657736338717ull;
}

static inline uint64_t rnd_seed(uint64_t seed)
{
	return seed * 0x9e3779b97f4a7c15ull | 1;
}

#endif
