/* SPDX-License-Identifier: MIT */
/*
 * test_sparse.c - files with holes: random writes, truncations, fallocate() in
 * all modes and copies, done on the core and on plain files of the operating
 * system side by side. Contents and sizes must agree; where data and holes are
 * must agree with the blocks that the store really has, and what the plain
 * files have as data and is not zero must not be called a hole.
 */
#include <linux/falloc.h>
#include <unistd.h>

#include "tests/fs/fs_test.h"

#define SEEDS          20
#define STEPS          150
#define FILES          3
#define SPAN           (600 << 10) /* offsets are below */
#define SIZE_MAX_BYTES (3 * SPAN)

static struct test_fs t;
static uint64_t rng;
static unsigned block_bytes;
static unsigned char buf[SIZE_MAX_BYTES], want[SIZE_MAX_BYTES];

static struct both {
	uint64_t ino;
	int fd;
} files[FILES];

static uint64_t pick(uint64_t n)
{
	return rnd(&rng) % n;
}

/* An offset: often at a border of blocks or next to one. */
static uint64_t pick_offset(void)
{
	uint64_t at = pick(SPAN);

	switch (pick(4)) {
	case 0:
		return at;
	case 1:
		return (at & ~(uint64_t)(block_bytes - 1)) + pick(3);
	default:
		return at & ~(uint64_t)(block_bytes - 1);
	}
}

static uint64_t pick_length(void)
{
	switch (pick(4)) {
	case 0:
		return 1 + pick(300);
	case 1:
		return 1 + pick(SPAN / 2);
	default:
		return (1 + pick(40)) * block_bytes;
	}
}

/* Random bytes with runs of zeros in them, some as long as blocks. */
static void fill(size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t run = 1 + pick(pick(2) ? 3 * block_bytes : 5000);
		int zero = pick(3) == 0;

		for (; run > 0 && at < len; run--)
			buf[at++] = zero ? 0 : (unsigned char)rnd(&rng);
	}
}

static void step_write(struct both *f)
{
	uint64_t at = pick_offset(), len = pick_length();

	fill(len);
	ck_assert_int_eq(pwrite(f->fd, buf, len, (off_t)at), (ssize_t)len);
	must_write(t.fs, f->ino, buf, len, at);
}

static void step_truncate(struct both *f)
{
	uint64_t size = pick(6) ? pick_offset() : 0;

	ck_assert_int_eq(ftruncate(f->fd, (off_t)size), 0);
	must_truncate(t.fs, f->ino, size);
}

static void step_fallocate(struct both *f)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[pick(6)];
	uint64_t at = pick_offset(), len = pick_length();
	int r = fallocate(f->fd, mode, (off_t)at, (off_t)len);

	/* Done by hand where the system's filesystem cannot. */
	if (r && (errno == EOPNOTSUPP || errno == ENOSYS)) {
		off_t size = lseek(f->fd, 0, SEEK_END), end;

		end = (off_t)(at + len);
		if (!(mode & FALLOC_FL_KEEP_SIZE) && end > size) {
			ck_assert_int_eq(ftruncate(f->fd, end), 0);
			size = end;
		}
		if (end > size)
			end = size;
		if ((mode & ~FALLOC_FL_KEEP_SIZE) && (off_t)at < end) {
			memset(buf, 0, len);
			ck_assert_int_eq(
				pwrite(f->fd, buf, (size_t)(end - (off_t)at),
				       (off_t)at),
				end - (off_t)at);
		}
		r = 0;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(fs_fallocate(t.fs, f->ino, mode, at, len, 0), 0);
}

static void step_copy(struct both *src, struct both *dst)
{
	uint64_t from = pick_offset(), to = pick_offset(), len = pick_length();
	off_t end = lseek(src->fd, 0, SEEK_END);
	ssize_t n;

	if (pick(2)) /* equally far into a block */
		to = (to & ~(uint64_t)(block_bytes - 1)) |
		     (from & (block_bytes - 1));
	n = fs_copy_file_range(t.fs, src->ino, from, dst->ino, to, len, 0);
	if (from >= (uint64_t)end)
		len = 0;
	else if (len > (uint64_t)end - from)
		len = (uint64_t)end - from;
	if (src == dst && from < to + len && to < from + len) {
		ck_assert_int_eq(n, -EINVAL);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)len);
	ck_assert_int_eq(pread(src->fd, buf, len, (off_t)from), (ssize_t)len);
	ck_assert_int_eq(pwrite(dst->fd, buf, len, (off_t)to), (ssize_t)len);
}

/* Not by an assertion each: those cost a system call. */
static bool all_zero(const unsigned char *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Walks the answers of SEEK_DATA and SEEK_HOLE; the blocks in data. */
static uint64_t walk(const struct both *f, uint64_t size)
{
	uint64_t at = 0, data, hole, blocks = 0;

	while (at < size) {
		int r = fs_seek(t.fs, f->ino, at, SEEK_DATA, &data);

		if (r == -ENXIO)
			data = size;
		else
			ck_assert_int_eq(r, 0);
		ck_assert_uint_ge(data, at);
		ck_assert_msg(all_zero(want + at, data - at),
			      "data in a hole behind %llu",
			      (unsigned long long)at);
		if (data == size)
			return blocks;
		ck_assert_uint_eq(data % block_bytes, 0);
		ck_assert_int_eq(fs_seek(t.fs, f->ino, data, SEEK_HOLE, &hole),
				 0);
		ck_assert_uint_gt(hole, data);
		ck_assert_uint_le(hole, size);
		ck_assert(hole == size || hole % block_bytes == 0);
		blocks += (hole - data + block_bytes - 1) / block_bytes;
		/* Inside, both know where they are. */
		at = data + pick(hole - data);
		ck_assert_int_eq(fs_seek(t.fs, f->ino, at, SEEK_DATA, &data),
				 0);
		ck_assert_uint_eq(data, at);
		ck_assert_int_eq(fs_seek(t.fs, f->ino, at, SEEK_HOLE, &data),
				 0);
		ck_assert_uint_eq(data, hole);
		at = hole;
	}
	ck_assert_int_eq(fs_seek(t.fs, f->ino, size, SEEK_HOLE, &at), -ENXIO);
	ck_assert_int_eq(fs_seek(t.fs, f->ino, size, SEEK_DATA, &at), -ENXIO);
	return blocks;
}

static void compare(const struct both *f)
{
	struct stat st = must_stat(t.fs, f->ino).st;
	off_t size = lseek(f->fd, 0, SEEK_END);

	ck_assert_int_eq(st.st_size, size);
	ck_assert_int_eq(pread(f->fd, want, sizeof(want), 0), size);
	ck_assert_int_eq(fs_read(t.fs, f->ino, buf, sizeof(buf), 0), size);
	ck_assert_mem_eq(buf, want, (size_t)size);
	ck_assert_uint_eq((uint64_t)st.st_blocks,
			  walk(f, (uint64_t)size) * (block_bytes / 512));
	if (size > 0) {
		uint64_t at = pick((uint64_t)size);
		size_t len = 1 + pick(20000), left = (size_t)size - at;

		if (len > left)
			len = left;
		ck_assert_int_eq(fs_read(t.fs, f->ino, buf, len, at),
				 (ssize_t)len);
		ck_assert_mem_eq(buf, want + at, len);
		memset(buf, 1, len);
		ck_assert_int_eq(read_pieces(t.fs, f->ino, buf, len, at),
				 (ssize_t)len);
		ck_assert_mem_eq(buf, want + at, len);
	}
}

static void step_reopen(void)
{
	static const uint32_t sizes[] = {0, 0, FS_BLOB_NONE, 512, 3000};

	t.options.engine.blob_bytes = sizes[pick(5)];
	test_reopen(&t);
}

static void make_files(void)
{
	for (unsigned i = 0; i < FILES; i++) {
		char name[] = "/tmp/tinylsm-sparse.XXXXXX", in_fs[8];

		sprintf(in_fs, "f%u", i);
		files[i].ino = must_file(t.fs, 1, in_fs);
		files[i].fd = mkstemp(name);
		ck_assert_int_ge(files[i].fd, 0);
		ck_assert_int_eq(unlink(name), 0);
	}
}

START_TEST(sparse_files_behave_like_those_of_the_system)
{
	static const unsigned sizes[] = {4096, 4096, 512, 16384};
	const char *env = getenv("TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)_i + 1;
	struct fs_mkfs_options mo = {.root_uid = 0};

	printf("# seed %llu\n", (unsigned long long)seed);
	rng = rnd_seed(seed);
	block_bytes = sizes[pick(4)];
	memset(&t, 0, sizeof(t));
	t.env = env_fault_new();
	ck_assert_ptr_nonnull(t.env);
	test_options(&t);
	/* In the tree, or outside of it; step_reopen() mixes them. */
	if (pick(3) == 0)
		t.options.engine.blob_bytes = FS_BLOB_NONE;
	mo.block_bytes = block_bytes;
	ck_assert_int_eq(fs_mkfs(STORE, &t.options.engine, &mo), 0);
	test_open(&t);
	make_files();
	for (unsigned i = 0; i < STEPS; i++) {
		struct both *f = &files[pick(FILES)];
		uint64_t what = pick(20);

		if (what < 8)
			step_write(f);
		else if (what < 10)
			step_truncate(f);
		else if (what < 14)
			step_fallocate(f);
		else if (what < 19)
			step_copy(&files[pick(FILES)], f);
		else
			step_reopen();
		compare(f);
	}
	for (unsigned i = 0; i < FILES; i++) {
		compare(&files[i]);
		ck_assert_int_eq(close(files[i].fd), 0);
	}
	test_teardown(&t);
}
END_TEST

START_TEST(blocks_of_zeros_are_not_stored)
{
	uint64_t f, used;

	test_setup(&t);
	f = must_file(t.fs, 1, "f");
	used = used_blocks(t.fs);
	memset(buf, 0, 1 << 20);
	must_write(t.fs, f, buf, 1 << 20, 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_size, 1 << 20);
	memset(buf, 'x', 1 << 20);
	must_write(t.fs, f, buf, 1 << 20, 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 2048);
	/* Its first word alone is not enough. */
	memset(buf, 0, 8192);
	buf[4095] = 1;
	must_write(t.fs, f, buf, 8192, 8192);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 2040);
	memset(buf, 0, 1 << 20);
	must_write(t.fs, f, buf, 1 << 20, 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 0);
	ck_assert_uint_eq(used_blocks(t.fs), used);
	test_teardown(&t);
}
END_TEST

START_TEST(copies_refuse_what_copy_file_range_refuses)
{
	uint64_t f, d;

	test_setup(&t);
	f = must_file(t.fs, 1, "f");
	d = must_dir(t.fs, 1, "d");
	memset(buf, 'x', 65536);
	must_write(t.fs, f, buf, 65536, 0);
	ck_assert_int_eq(fs_copy_file_range(t.fs, f, 0, f, 100, 200, 0),
			 -EINVAL);
	ck_assert_int_eq(fs_copy_file_range(t.fs, f, 0, f, 4096, 4096, 0),
			 4096);
	ck_assert_int_eq(fs_copy_file_range(t.fs, f, 65536, f, 0, 10, 0), 0);
	ck_assert_int_eq(fs_copy_file_range(t.fs, f, 65000, f, 0, 1000, 0),
			 536);
	ck_assert_int_eq(fs_copy_file_range(t.fs, d, 0, f, 0, 10, 0), -EISDIR);
	ck_assert_int_eq(fs_copy_file_range(t.fs, f, 0, d, 0, 10, 0), -EISDIR);
	ck_assert_int_eq(fs_copy_file_range(t.fs, f, 0, 999, 0, 10, 0),
			 -ESTALE);
	ck_assert_int_eq(
		fs_copy_file_range(t.fs, f, 0, f, FS_FILE_BYTES_MAX, 10, 0),
		-EFBIG);
	test_teardown(&t);
}
END_TEST

START_TEST(fallocate_and_copies_clear_setuid_when_told)
{
	struct fs_attr a = {.st.st_mode = S_IFREG | 06755};
	uint64_t f, g;

	test_setup(&t);
	f = must_file(t.fs, 1, "f");
	g = must_file(t.fs, 1, "g");
	must_write(t.fs, g, "data", 4, 0);
	for (int i = 0; i < 4; i++) {
		unsigned flags = i & 1 ? FS_WRITE_KILL_PRIV : 0;

		a.st.st_mode = S_IFREG | 06755;
		ck_assert_int_eq(
			fs_setattr(t.fs, &root_cred, f, &a, FS_SET_MODE, &a),
			0);
		if (i < 2)
			ck_assert_int_eq(fs_fallocate(t.fs, f, 0, 0, 10, flags),
					 0);
		else
			ck_assert_int_eq(
				fs_copy_file_range(t.fs, g, 0, f, 0, 4, flags),
				4);
		ck_assert_int_eq(must_stat(t.fs, f).st.st_mode & 07777,
				 i & 1 ? 0755 : 06755);
	}
	test_teardown(&t);
}
END_TEST

/* Blocks of the file that there are, by walking over it. */
static uint64_t stored_blocks(uint64_t f)
{
	uint64_t size = (uint64_t)must_stat(t.fs, f).st.st_size;
	uint64_t at = 0, hole, blocks = 0;

	while (fs_seek(t.fs, f, at, SEEK_DATA, &at) == 0) {
		ck_assert_int_eq(fs_seek(t.fs, f, at, SEEK_HOLE, &hole), 0);
		blocks += ((hole < size ? hole : size) - at + 4095) / 4096;
		at = hole;
		if (at >= size)
			break;
	}
	return blocks;
}

/* Every other one of 400 blocks. */
static uint64_t striped_file(void)
{
	uint64_t f = must_file(t.fs, 1, "striped");

	memset(buf, 'x', 4096);
	for (unsigned i = 0; i < 200; i++)
		must_write(t.fs, f, buf, 4096, 8192 * i);
	return f;
}

START_TEST(what_was_cut_off_is_counted_before_anybody_sees_it)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct fs_attr a = {.st.st_size = 8192 * 50};
	uint64_t f, used;

	test_setup(&t);
	used = used_blocks(t.fs);
	f = striped_file();
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 1600);
	ck_assert_int_eq(fs_setattr(t.fs, &root_cred, f, &a, FS_SET_SIZE, &a),
			 0);
	ck_assert(a.blocks_to_come);
	ck_assert_uint_eq(used_blocks(t.fs), used + 50);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 400);
	ck_assert(!must_stat(t.fs, f).blocks_to_come);
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 8192 * 10, 8192 * 20, 0),
			 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 240);
	/* One after the other, and a write into what is gone. */
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 0, 8192 * 5, 0), 0);
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 8192 * 40, 8192 * 5, 0),
			 0);
	must_write(t.fs, f, buf, 4096, 0);
	ck_assert_int_eq(must_stat(t.fs, f).st.st_blocks, 168);
	ck_assert_uint_eq(stored_blocks(f), 21);
	ck_assert_uint_eq(used_blocks(t.fs), used + 21);
	ck_assert_uint_eq(test_fsck(t.fs, false, NULL), 0);
	/* Gone altogether before anybody counts, by name or by handle. */
	ck_assert_int_eq(fs_fallocate(t.fs, f, punch, 0, 8192 * 20, 0), 0);
	ck_assert_int_eq(fs_unlink(t.fs, 1, "striped"), 0);
	ck_assert_uint_eq(used_blocks(t.fs), used);
	test_teardown(&t);
}
END_TEST

START_TEST(after_power_loss_what_was_cut_off_is_counted_anew)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	bool before = false, after = false;

	for (uint64_t n = 0; n < 12; n++) {
		uint64_t f, blocks;
		struct stat st;

		test_setup(&t);
		f = striped_file();
		ck_assert_int_eq(fs_sync(t.fs), 0);
		env_fault_power_off_at(t.env, env_fault_calls(t.env) + n);
		(void)fs_fallocate(t.fs, f, punch, 8192 * 50, 8192 * 100, 0);
		(void)fs_close(t.fs);
		env_fault_restart(t.env, (enum env_fault_keep)(n % 4), false,
				  n);
		test_open(&t);
		st = must_stat(t.fs, f).st;
		blocks = stored_blocks(f);
		ck_assert_uint_eq((uint64_t)st.st_blocks, 8 * blocks);
		ck_assert(blocks == 200 || blocks == 100);
		before |= blocks == 200;
		after |= blocks == 100;
		test_teardown(&t); /* with fsck */
	}
	ck_assert(before && after);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fs/sparse");
	TCase *c = tcase_create("sparse");
	int seeds = getenv("TEST_SEED") ? 1 : SEEDS;

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, sparse_files_behave_like_those_of_the_system, 0,
			    seeds);
	tcase_add_test(c, blocks_of_zeros_are_not_stored);
	tcase_add_test(c, what_was_cut_off_is_counted_before_anybody_sees_it);
	tcase_add_test(c, after_power_loss_what_was_cut_off_is_counted_anew);
	tcase_add_test(c, copies_refuse_what_copy_file_range_refuses);
	tcase_add_test(c, fallocate_and_copies_clear_setuid_when_told);
	suite_add_tcase(s, c);
	return run_suite(s);
}
