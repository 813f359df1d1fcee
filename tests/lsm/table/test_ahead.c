/* SPDX-License-Identifier: MIT */
/* test_ahead.c - walks that have their blocks read beside them. */
#include <unistd.h>

#include "lsm/table/ahead.h"
#include "lsm/table/sst_reader.h"
#include "tests/lsm/table/table_util.h"

static const struct sst_writer_options lz4 = {
	.block_bytes = 512, .restart_interval = 16, .lz4 = true};
static const struct sst_writer_options raw = {.block_bytes = 512,
					      .restart_interval = 4};

static struct table_env t;
static struct ahead ahead;
static struct sst_reader *reader;
static struct model model;
static struct sst_meta meta;
static _Atomic unsigned reports;

static void report(void *arg, enum lsm_log_level level, const char *msg)
{
	reports++;
}

static struct logger logger = {.fn = report, .level = LSM_LOG_ERROR};

static void open_reader(uint64_t seed, const struct sst_writer_options *o,
			uint64_t cache_bytes)
{
	struct rng rng = rng_make(test_seed(seed));
	struct sst_reader_options ro = {
		.ahead = &ahead, .verify_checksums = true, .log = &logger};
	char name[FILE_NAME_MAX];

	table_env_open(&t, cache_bytes);
	model_fill(&model, &rng, 6000, 300);
	write_table(t.dir, 7, o, &model, &meta);
	ahead_init(&ahead, t.cache);
	file_name(name, FILE_SST, 7);
	ro.cache = t.cache;
	ck_assert_int_eq(sst_reader_open(t.dir, name, 7, &ro, &reader), 0);
	reports = 0;
}

/* Nothing is left of what was ordered. */
static void close_reader(void)
{
	struct cache_stats s;

	ahead_stop(&ahead);
	ck_assert_uint_eq(ahead.ordered, 0);
	ahead_release(&ahead);
	cache_get_stats(t.cache, &s);
	ck_assert_uint_eq(s.charged, sst_reader_memory(reader));
	sst_reader_put(reader);
	sst_meta_release(&meta);
	model_free(&model);
	table_env_close(&t);
}

static struct iter *walk(bool fill)
{
	struct sst_iter_options o = {.fill_cache = fill, .ahead = true};
	struct iter *it = sst_reader_iter(reader, &o);

	ck_assert_ptr_nonnull(it);
	return it;
}

START_TEST(walk_either_way_sees_what_is_there)
{
	struct rng rng = rng_make(test_seed(50));
	struct iter *it;
	size_t i;

	open_reader(51, _i & 2 ? &raw : &lz4, 16 << 20);
	it = walk(_i & 1);
	i = 0;
	for (iter_first(it); it->valid; iter_next(it))
		check_at(it, &model, i++);
	ck_assert_uint_eq(i, model.count);
	ck_assert_int_eq(it->err, 0);
	for (iter_last(it); it->valid; iter_prev(it))
		check_at(it, &model, --i);
	ck_assert_uint_eq(i, 0);
	check_random_walk(it, &model, &rng, 3000);
	iter_free(it);
	/* there are blocks that it can only have had from beside */
	ck_assert_uint_gt(ahead.workers.started, 0);
	close_reader();
}
END_TEST

START_TEST(several_walks_at_once_share_the_threads)
{
	struct iter *it[6];
	size_t i;

	open_reader(52, &lz4, 16 << 20);
	for (i = 0; i < 6; i++) {
		it[i] = walk(i & 1);
		iter_first(it[i]);
	}
	for (size_t n = 0; n < model.count; n++)
		for (i = 0; i < 6; i++) {
			check_at(it[i], &model, n);
			iter_next(it[i]);
		}
	for (i = 0; i < 6; i++) {
		ck_assert(!it[i]->valid && !it[i]->err);
		iter_free(it[i]);
	}
	close_reader();
}
END_TEST

START_TEST(changed_byte_shows_when_its_block_is_reached_and_is_told_once)
{
	bool backward = _i & 1, fill = _i & 2;
	struct iter *it;
	uint32_t bad;
	size_t n = 0;

	open_reader(53, &lz4, 16 << 20);
	bad = reader->index.count / 2;
	ck_assert_int_eq(
		env_fault_corrupt(t.env, "/t/000007.sst",
				  reader->index.entry[bad].offset + 9, 0x10),
		0);
	it = walk(fill);
	if (backward)
		iter_last(it);
	else
		iter_first(it);
	while (it->valid) {
		check_at(it, &model, backward ? model.count - 1 - n : n);
		ck_assert_uint_eq(reports, 0);
		n++;
		if (backward)
			iter_prev(it);
		else
			iter_next(it);
	}
	ck_assert_int_eq(it->err, -EUCLEAN);
	ck_assert_uint_eq(reports, 1);
	/* every entry up to that block was shown, and the others still are */
	ck_assert_uint_gt(n, 0);
	n = backward ? model.count - 1 - n : n;
	ck_assert_uint_eq(
		sst_index_seek(&reader->index, model.e[n].key, model.e[n].tag),
		bad);
	iter_first(it);
	check_at(it, &model, 0);
	iter_last(it);
	check_at(it, &model, model.count - 1);
	iter_free(it);
	close_reader();
}
END_TEST

START_TEST(refused_read_is_an_error_or_nothing_is_missing)
{
	size_t completed = 0, failed = 0;

	open_reader(54, &lz4, 16 << 20);
	env_fault_count_reads(t.env, true);
	for (unsigned nth = 0; nth < 24; nth++) {
		struct iter *it;
		size_t n = 0;

		cache_erase_file(t.cache, 7);
		it = walk(nth & 1);
		env_fault_fail_at(t.env, env_fault_calls(t.env) + nth, -EIO,
				  _i);
		for (iter_first(it); it->valid; iter_next(it))
			check_at(it, &model, n++);
		if (it->err) {
			ck_assert_int_eq(it->err, -EIO);
			failed++;
		} else {
			ck_assert_uint_eq(n, model.count);
			completed++;
		}
		env_fault_clear(t.env);
		iter_free(it);
	}
	/* the first read has nobody to do it again */
	ck_assert_uint_gt(failed, 0);
	if (!_i)
		ck_assert_uint_gt(completed, 12);
	close_reader();
}
END_TEST

START_TEST(walk_given_up_early_leaves_nothing_behind)
{
	open_reader(55, &lz4, 16 << 20);
	for (size_t i = 0; i < 300; i++) {
		struct iter *it = walk(i & 1);
		size_t n;

		if (i % 7 == 0)
			cache_erase_file(t.cache, 7);
		iter_first(it);
		for (n = 0; n < i; n++)
			iter_next(it);
		check_at(it, &model, n);
		iter_free(it);
	}
	close_reader();
}
END_TEST

START_TEST(jumping_about_reads_only_what_is_asked_for)
{
	struct rng rng = rng_make(test_seed(56));
	struct cache_stats s;
	struct iter *it;
	unsigned seeks = 100;

	open_reader(57, &lz4, 16 << 20);
	it = walk(true);
	for (unsigned i = 0; i < seeks; i++) {
		/* never the neighbour */
		size_t half = model.count / 2,
		       at = rng_below(&rng, half / 2) + (i & 1 ? half : 0);

		iter_seek(it, model.e[at].key, model.e[at].tag);
		check_at(it, &model, at);
	}
	iter_free(it);
	ck_assert_uint_eq(ahead.workers.started, 0);
	cache_get_stats(t.cache, &s);
	ck_assert_uint_le(s.misses, seeks);
	close_reader();
}
END_TEST

START_TEST(what_is_ordered_stays_within_its_part_of_the_budget)
{
	const uint64_t budget = _i ? 1 << 20 : 64 << 10;
	struct iter *it[4];
	uint64_t most = 0;
	size_t i;

	open_reader(58, &lz4, budget);
	for (i = 0; i < 4; i++) {
		it[i] = walk(false);
		iter_first(it[i]);
	}
	for (size_t n = 0; n < model.count; n++)
		for (i = 0; i < 4; i++) {
			check_at(it[i], &model, n);
			iter_next(it[i]);
			if (ahead.ordered > most)
				most = ahead.ordered;
		}
	for (i = 0; i < 4; i++)
		iter_free(it[i]);
	/* the last run may be larger than what was left by less than itself */
	ck_assert_uint_le(most, budget / AHEAD_PARTS + AHEAD_MIN);
	if (_i)
		ck_assert_uint_gt(most, 0);
	close_reader();
}
END_TEST

START_TEST(walk_goes_on_by_itself_when_the_threads_are_gone)
{
	struct iter *it;
	size_t n = 0;

	open_reader(59, &lz4, 16 << 20);
	it = walk(_i);
	for (iter_first(it); it->valid; iter_next(it)) {
		if (n == model.count / 4)
			ahead_stop(&ahead);
		check_at(it, &model, n++);
	}
	ck_assert_int_eq(it->err, 0);
	ck_assert_uint_eq(n, model.count);
	iter_free(it);
	close_reader();
}
END_TEST

START_TEST(bounds_end_what_is_ordered)
{
	struct sst_iter_options o = {.fill_cache = true, .ahead = true};
	struct cache_stats s;
	struct iter *it;
	uint32_t blocks;
	size_t n = 0, end;

	open_reader(60, &lz4, 16 << 20);
	end = model.count / 8;
	o.upper = model.e[end].key;
	blocks = sst_index_seek(&reader->index, o.upper, UINT64_MAX) + 1;
	it = sst_reader_iter(reader, &o);
	for (iter_first(it); it->valid && slice_cmp(it->key, o.upper) < 0;
	     iter_next(it))
		check_at(it, &model, n++);
	iter_free(it);
	ahead_stop(&ahead);
	cache_get_stats(t.cache, &s);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_gt(ahead_room(&ahead), 4 * AHEAD_MIN);
	ck_assert_uint_le(s.misses, blocks);
	close_reader();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ahead");
	TCase *tc = tcase_create("ahead");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, walk_either_way_sees_what_is_there, 0, 4);
	tcase_add_test(tc, several_walks_at_once_share_the_threads);
	tcase_add_loop_test(
		tc,
		changed_byte_shows_when_its_block_is_reached_and_is_told_once,
		0, 4);
	tcase_add_loop_test(tc, refused_read_is_an_error_or_nothing_is_missing,
			    0, 2);
	tcase_add_test(tc, walk_given_up_early_leaves_nothing_behind);
	tcase_add_test(tc, jumping_about_reads_only_what_is_asked_for);
	tcase_add_loop_test(
		tc, what_is_ordered_stays_within_its_part_of_the_budget, 0, 2);
	tcase_add_loop_test(
		tc, walk_goes_on_by_itself_when_the_threads_are_gone, 0, 2);
	tcase_add_test(tc, bounds_end_what_is_ordered);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
