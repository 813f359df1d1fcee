/* SPDX-License-Identifier: MIT */
/*
 * test_blob_direct.c - blob files that several writers fill: blocks are read by
 * their handles from the moment they are written, the sealed file is one as any
 * other, gaps are walked over, and blocks never overlap.
 */
#include <errno.h>
#include <pthread.h>

#include "lsm/base/epoch.h"
#include "lsm/base/slice.h"
#include "lsm/env/env_fault.h"
#include "lsm/table/blob_direct.h"
#include "lsm/table/sst_format.h"
#include "tests/check_main.h"

#define NAME   "000009.blob"
#define NUMBER 9
#define VALUES 64
#define MAX    5000

#define OK(call) ck_assert_int_eq(call, 0)

static struct lsm_env *env;
static struct env_dir *dir;
static struct cache *cache;
static struct blob_direct *direct;

static void setup(void)
{
	env = env_fault_new();
	ck_assert_ptr_nonnull(env);
	OK(env_dir_open(env, "/b", ENV_DIR_CREATE, &dir));
	cache = cache_new(4 << 20);
	ck_assert_ptr_nonnull(cache);
	OK(blob_direct_create(dir, NAME, NUMBER, cache, NULL, &direct));
}

static void teardown(void)
{
	blob_direct_close(direct);
	epoch_barrier();
	cache_free(cache);
	env_dir_close(dir);
	env_fault_free(env);
}

/* Value i of a writer; every other one compresses, some are tiny. */
static struct lsm_slice value_of(unsigned writer, unsigned i, uint8_t *buf)
{
	uint64_t x = writer * 1000 + i + 1;
	size_t len = i % 5 == 0 ? 30 + i : 1000 + i * 60;

	for (size_t k = 0; k < len; k++) {
		if (i % 2)
			x = x * 0x5851f42d4c957f2dull + 1;
		buf[k] = (uint8_t)(i % 2 ? x >> 56 : x + k / 50);
	}
	return lsm_slice(buf, len);
}

static struct lsm_slice key_of(unsigned i, char *buf)
{
	return lsm_slice(buf, (size_t)sprintf(buf, "key%05u", i));
}

/* bufs: VALUES * MAX bytes, which the pack points into. */
static void fill(struct blob_pack *p, unsigned writer, uint8_t *bufs)
{
	char key[16];

	for (unsigned i = 0; i < VALUES; i++) {
		struct lsm_slice v =
			value_of(writer, i, bufs + (size_t)i * MAX);

		if (blob_pack_full(p, v))
			OK(blob_pack_cut(p));
		OK(blob_pack_add(p, key_of(i, key), v));
	}
	OK(blob_pack_cut(p));
	ck_assert_uint_gt(p->block_count, 2);
}

static void check_values(struct blob_reader *r, unsigned writer,
			 const struct blob_pack *p, uint64_t at)
{
	static uint8_t buf[MAX];
	unsigned n = 0;

	for (size_t b = 0; b < p->block_count; b++) {
		struct blob_handle h = {.file = NUMBER,
					.offset = at + p->block[b].offset,
					.bytes = p->block[b].bytes,
					.type = p->block[b].type};

		for (h.index = 0; h.index < p->block[b].values; h.index++) {
			struct lsm_slice want = value_of(writer, n++, buf), got;
			struct cache_entry *e;

			h.len = (uint32_t)want.len;
			OK(blob_reader_block(r, &h, true, &e));
			OK(blob_value(&h, e, &got));
			ck_assert(slice_eq(want, got));
			cache_put(cache, e);
		}
	}
	ck_assert_uint_eq(n, VALUES);
}

static void commit(const struct blob_pack *p, uint64_t at)
{
	OK(blob_map_reserve(&direct->map, p->block_count));
	for (size_t b = 0; b < p->block_count; b++) {
		struct blob_block block = p->block[b];

		block.offset += at;
		blob_direct_commit(direct, &block);
	}
}

static int count_value(void *arg, const struct blob_handle *h,
		       struct lsm_slice key, uint64_t seq,
		       struct lsm_slice value)
{
	ck_assert_uint_eq(seq, BLOB_SEQ_UNKNOWN);
	++*(unsigned *)arg;
	return 0;
}

/* Three places: the first and the last are used, in the other order. */
static void write_three(bool lz4, struct blob_pack p[3], uint64_t at[3],
			uint8_t *bufs)
{
	for (unsigned i = 0; i < 3; i++) {
		p[i] = (struct blob_pack){.lz4 = lz4};
		fill(&p[i], i, bufs + (size_t)i * VALUES * MAX);
		at[i] = blob_direct_reserve(direct, p[i].bytes);
	}
	OK(blob_direct_write(direct, &p[2], at[2]));
	OK(blob_direct_write(direct, &p[0], at[0]));
	blob_direct_discard(direct, at[1], p[1].bytes);
	commit(&p[2], at[2]);
	commit(&p[0], at[0]);
}

START_TEST(what_is_written_is_read_and_gaps_are_walked_over)
{
	uint8_t *bufs = malloc((size_t)3 * VALUES * MAX);
	struct blob_pack p[3];
	struct blob_meta meta, again, found;
	struct blob_reader *r;
	unsigned count = 0;
	uint64_t at[3];

	ck_assert_ptr_nonnull(bufs);
	write_three(_i, p, at, bufs);
	check_values(direct->reader, 0, &p[0], at[0]);
	check_values(direct->reader, 2, &p[2], at[2]);
	OK(blob_direct_seal(direct, &meta));
	OK(blob_direct_seal(direct, &again)); /* nothing more happens */
	ck_assert(!memcmp(&meta, &again, sizeof(meta)));
	ck_assert_uint_eq(meta.values, 2 * VALUES);
	/* durable as it is */
	OK(env_dir_sync(dir));
	OK(blob_reader_open(dir, NAME, NUMBER, cache, NULL, &r));
	blob_reader_meta(r, &found);
	ck_assert(!memcmp(&meta, &found, sizeof(meta)));
	OK(blob_reader_each(r, count_value, &count));
	ck_assert_uint_eq(count, 2 * VALUES);
	check_values(r, 0, &p[0], at[0]);
	check_values(r, 2, &p[2], at[2]);
	blob_reader_put(r);
	for (unsigned i = 0; i < 3; i++)
		blob_pack_release(&p[i]);
	free(bufs);
}
END_TEST

/* A file of an earlier life, sealed in vain: the new index goes behind. */
START_TEST(file_of_an_earlier_life_is_sealed_again)
{
	uint8_t *bufs = malloc((size_t)3 * VALUES * MAX);
	struct blob_pack p[3];
	struct blob_meta first, meta;
	struct blob_direct *was = direct;
	struct blob_reader *r;
	unsigned count = 0;
	uint64_t at[3];

	ck_assert_ptr_nonnull(bufs);
	write_three(true, p, at, bufs);
	OK(blob_direct_seal(direct, &first));
	OK(blob_direct_open(dir, NAME, NUMBER, cache, NULL, false, &direct));
	blob_direct_close(was);
	commit(&p[2], at[2]);
	OK(blob_direct_seal(direct, &meta));
	ck_assert_uint_gt(meta.file_bytes, first.file_bytes);
	ck_assert_uint_eq(meta.values, VALUES);
	OK(blob_reader_open(dir, NAME, NUMBER, cache, NULL, &r));
	OK(blob_reader_each(r, count_value, &count));
	ck_assert_uint_eq(count, VALUES);
	blob_reader_put(r);
	for (unsigned i = 0; i < 3; i++)
		blob_pack_release(&p[i]);
	free(bufs);
}
END_TEST

START_TEST(failed_sync_is_not_forgotten)
{
	uint8_t *bufs = malloc((size_t)3 * VALUES * MAX);
	struct blob_pack p[3];
	struct blob_meta meta;
	uint64_t at[3];

	ck_assert_ptr_nonnull(bufs);
	write_three(true, p, at, bufs);
	env_fault_fail_at(env, env_fault_calls(env), -EIO, false);
	ck_assert_int_eq(blob_direct_sync(direct), -EIO);
	env_fault_clear(env);
	ck_assert_int_eq(blob_direct_sync(direct), -EIO);
	ck_assert_int_eq(blob_direct_error(direct), -EIO);
	ck_assert_int_eq(blob_direct_seal(direct, &meta), -EIO);
	check_values(direct->reader, 0, &p[0], at[0]); /* still to be moved */
	for (unsigned i = 0; i < 3; i++)
		blob_pack_release(&p[i]);
	free(bufs);
}
END_TEST

START_TEST(blocks_never_overlap)
{
	struct blob_map m = {0};
	struct blob_block b = {.bytes = 95};

	for (unsigned i = 0; i < 300; i++) {
		b.offset = (i * 7 % 300) * 100;
		OK(blob_map_add(&m, &b));
	}
	ck_assert_uint_eq(m.count, 300);
	ck_assert_uint_eq(blob_map_end(&m), 30000);
	for (unsigned i = 0; i < 300; i++) {
		ck_assert_uint_eq(m.block[i].offset, i * 100);
		ck_assert_ptr_eq(blob_map_find(&m, i * 100), &m.block[i]);
		ck_assert_ptr_null(blob_map_find(&m, i * 100 + 1));
	}
	for (unsigned i = 0; i < 30000; i += 37) {
		b.offset = i;
		ck_assert_int_eq(blob_map_add(&m, &b), -EUCLEAN);
	}
	b.offset = 30000;
	OK(blob_map_add(&m, &b));
	blob_map_release(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blob direct");
	TCase *t = tcase_create("direct");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_written_is_read_and_gaps_are_walked_over,
			    0, 2);
	tcase_add_test(t, file_of_an_earlier_life_is_sealed_again);
	tcase_add_test(t, failed_sync_is_not_forgotten);
	tcase_add_test(t, blocks_never_overlap);
	suite_add_tcase(s, t);
	return run_suite(s);
}
