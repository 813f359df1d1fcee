/* SPDX-License-Identifier: MIT */
/* test_sst.c - tables against a sorted array, in all shapes. */
#include <unistd.h>

#include "lsm/base/epoch.h"
#include "tests/lsm/table/table_util.h"

static const struct sst_writer_options shapes[] = {
	{.block_bytes = 4096,
	 .restart_interval = 16,
	 .bloom_bits = 10,
	 .lz4 = true},
	{.block_bytes = 4096, .restart_interval = 16, .bloom_bits = 10},
	{.block_bytes = 64, .restart_interval = 1, .lz4 = true},
	{.block_bytes = 1, .restart_interval = 3, .bloom_bits = 1},
	{.block_bytes = 300,
	 .restart_interval = 4,
	 .bloom_bits = 20,
	 .lz4 = true},
	{.block_bytes = UINT32_MAX, .restart_interval = UINT32_MAX},
};
#define SHAPES ((int)(sizeof(shapes) / sizeof(*shapes)))

/* What a lookup at snapshot seq must say. */
static int model_lookup(const struct model *m, struct lsm_slice key,
			uint64_t seq, size_t *at)
{
	*at = model_seek(m, key, tag_seek(seq));
	if (*at == m->count || !slice_eq(m->e[*at].key, key))
		return LOOKUP_MISS;
	return tag_kind(m->e[*at].tag) == KIND_DELETE ? LOOKUP_DELETED
						      : LOOKUP_FOUND;
}

static void check_lookup(struct sst_reader *r, struct cache *c,
			 const struct model *m, struct lsm_slice key,
			 uint64_t seq)
{
	uint64_t hash = hash64(key.data, key.len);
	struct sst_pin pin = {0};
	enum entry_kind kind;
	size_t at;
	int want = model_lookup(m, key, seq, &at);
	int got = sst_reader_lookup(r, key, hash, seq, 0, &kind, &pin);

	ck_assert_int_eq(got, want);
	if (want == LOOKUP_FOUND) {
		ck_assert(slice_eq(pin.data, m->e[at].value));
		ck_assert_int_eq(kind, tag_kind(m->e[at].tag));
		ck_assert(pin.entry || pin.reader);
	}
	sst_pin_release(&pin, c);
	/* now its block is in memory */
	epoch_pin();
	got = sst_reader_lookup(r, key, hash, seq, SST_LOOKUP_CACHED, &kind,
				&pin);
	ck_assert_int_eq(got, want);
	if (want == LOOKUP_FOUND)
		ck_assert(slice_eq(pin.data, m->e[at].value));
	ck_assert(!pin.entry && !pin.reader);
	epoch_unpin();
}

static void check_table(struct sst_reader *r, struct cache *c,
			const struct model *m, struct rng *rng, size_t moves)
{
	uint8_t key[400];
	size_t i;
	unsigned mode;

	for (i = 0; i < m->count; i++) {
		uint64_t seq = tag_seq(m->e[i].tag);

		check_lookup(r, c, m, m->e[i].key, seq);
		check_lookup(r, c, m, m->e[i].key, seq - 1);
		check_lookup(r, c, m, m->e[i].key, SEQ_MAX);
	}
	for (i = 0; i < 500; i++) {
		struct lsm_slice k = random_key(rng, key);

		check_lookup(r, c, m, k, rng_below(rng, 1001));
	}
	for (mode = 0; mode < 8; mode++) {
		struct sst_iter_options o = {.fill_cache = mode & 1,
					     .readahead = mode & 2,
					     .verify = mode & 4};
		struct iter *it = sst_reader_iter(r, &o);

		ck_assert_ptr_nonnull(it);
		ck_assert(!it->valid);
		i = 0;
		for (iter_first(it); it->valid; iter_next(it))
			check_at(it, m, i++);
		ck_assert_uint_eq(i, m->count);
		for (iter_last(it); it->valid; iter_prev(it))
			check_at(it, m, --i);
		ck_assert_uint_eq(i, 0);
		check_random_walk(it, m, rng, moves);
		iter_free(it);
	}
	ck_assert_int_eq(sst_reader_verify(r, NULL, NULL), 0);
}

static void check_meta(const struct sst_meta *meta, const struct model *m)
{
	uint64_t min = UINT64_MAX, max = 0, deletions = 0, raw = 0;
	size_t i;

	for (i = 0; i < m->count; i++) {
		uint64_t seq = tag_seq(m->e[i].tag);

		min = seq < min ? seq : min;
		max = seq > max ? seq : max;
		deletions += tag_kind(m->e[i].tag) == KIND_DELETE;
		raw += m->e[i].key.len + m->e[i].value.len;
	}
	ck_assert(slice_eq(buf_slice(&meta->smallest), m->e[0].key));
	ck_assert(slice_eq(buf_slice(&meta->largest), m->e[m->count - 1].key));
	ck_assert(!meta->largest_exclusive);
	ck_assert_uint_eq(meta->min_seq, min);
	ck_assert_uint_eq(meta->max_seq, max);
	ck_assert_uint_eq(meta->entries, m->count);
	ck_assert_uint_eq(meta->deletions, deletions);
	ck_assert_uint_eq(meta->raw_bytes, raw);
}

START_TEST(table_answers_as_the_sorted_array_it_was_made_of)
{
	struct rng rng = rng_make(test_seed(1000 + (unsigned)_i));
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta, again;
	struct sst_reader *r;

	table_env_open(&t, 64 << 20);
	model_fill(&m, &rng, 1500, 120);
	write_table(t.dir, 7, &shapes[_i], &m, &meta);
	check_meta(&meta, &m);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	check_table(r, t.cache, &m, &rng, 150);
	ck_assert_int_eq(sst_reader_meta(r, &again), 0);
	check_meta(&again, &m);
	ck_assert_uint_eq(again.file_bytes, meta.file_bytes);
	sst_meta_release(&again);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(table_answers_when_the_cache_holds_nothing)
{
	struct rng rng = rng_make(test_seed(77));
	struct sst_iter_options o = {.fill_cache = true};
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	struct iter *it;

	table_env_open(&t, 0);
	model_fill(&m, &rng, 1500, 120);
	write_table(t.dir, 7, &shapes[4], &m, &meta);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	it = sst_reader_iter(r, &o);
	check_random_walk(it, &m, &rng, 300);
	iter_free(it);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(versions_of_one_key_may_fill_many_blocks)
{
	struct rng rng = rng_make(test_seed(5));
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	uint64_t seq;

	table_env_open(&t, 64 << 20);
	for (seq = 1; seq <= 900; seq++) {
		model_add(&m, slice_str("b"),
			  tag_make(seq, seq % 5 ? KIND_PUT : KIND_DELETE),
			  lsm_slice(&seq, seq % 5 ? 8 : 0));
		if (seq % 100 == 0) {
			model_add(&m, slice_str("a"), tag_make(seq, KIND_PUT),
				  lsm_slice(&seq, 8));
			model_add(&m, slice_str("ba"), tag_make(seq, KIND_PUT),
				  lsm_slice(&seq, 8));
		}
	}
	model_sort(&m);
	write_table(t.dir, 7, &shapes[_i], &m, &meta);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	check_table(r, t.cache, &m, &rng, 100);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(keys_of_4096_bytes_and_values_of_1_MiB_fit)
{
	struct rng rng = rng_make(test_seed(6));
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	uint8_t *big = malloc(1 << 20), key[LSM_KEY_MAX];
	size_t i;

	ck_assert_ptr_nonnull(big);
	for (i = 0; i < 1 << 20; i++)
		big[i] = _i % 2 ? (uint8_t)rng_next(&rng) : (uint8_t)(i >> 8);
	table_env_open(&t, 64 << 20);
	memset(key, 0xff, sizeof(key));
	for (i = 0; i < 40; i++) {
		key[LSM_KEY_MAX - 1 - i % 7] = (uint8_t)i;
		model_add(&m, lsm_slice(key, LSM_KEY_MAX - i / 20),
			  tag_make(i + 1, KIND_PUT),
			  lsm_slice(big, i % 8 ? i : 1 << 20));
	}
	model_sort(&m);
	write_table(t.dir, 7, &shapes[_i], &m, &meta);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	check_table(r, t.cache, &m, &rng, 20);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	table_env_close(&t);
	free(big);
}
END_TEST

START_TEST(mapped_raw_table_answers_like_a_read_one)
{
	struct rng rng = rng_make(test_seed(8));
	char path[] = "/tmp/test_sst.XXXXXX", name[FILE_NAME_MAX];
	struct sst_writer_options wo = shapes[1];
	struct cache *c = cache_new(1 << 20);
	struct sst_maps maps = {0};
	struct sst_reader_options o = {.cache = c,
				       .map_raw = true,
				       .maps = &maps,
				       .verify_checksums = true};
	struct model m = {0};
	struct cache_stats stats;
	struct env_dir *dir;
	struct sst_meta meta;
	struct sst_reader *r;

	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(env_dir_open(lsm_env_posix(), path, 0, &dir), 0);
	model_fill(&m, &rng, 3000, 200);
	/* with LZ4 only some blocks stay raw; both kinds in one table */
	wo.lz4 = _i;
	write_table(dir, 7, &wo, &m, &meta);
	file_name(name, FILE_SST, 7);
	ck_assert_int_eq(sst_reader_open(dir, name, 7, &o, &r), 0);
	check_table(r, c, &m, &rng, 100);
	cache_get_stats(c, &stats);
	if (!wo.lz4)
		ck_assert_uint_eq(stats.entries, 0);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	ck_assert_int_eq(env_dir_delete(dir, name), 0);
	env_dir_close(dir);
	cache_free(c);
	remove(path);
}
END_TEST

/* A table larger than the budget, and one that fits. */
START_TEST(mapped_table_stays_right_and_within_the_budget)
{
	char path[] = "/tmp/test_sst.XXXXXX", name[FILE_NAME_MAX];
	/* a small and a large one */
	struct cache *c = cache_new(_i ? 256 << 20 : 1 << 20);
	struct sst_maps maps = {0};
	struct sst_reader_options o = {
		.cache = c, .map_raw = true, .maps = &maps};
	struct sst_iter_options io = {.fill_cache = true};
	struct sst_writer *w;
	struct env_dir *dir;
	struct sst_meta meta;
	struct sst_reader *r;
	struct iter *it;
	static uint8_t value[60000];
	uint32_t i, n = 1200;
	int pass;

	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(env_dir_open(lsm_env_posix(), path, 0, &dir), 0);
	file_name(name, FILE_SST, 7);
	ck_assert_int_eq(sst_writer_open(dir, name, 7, &shapes[1], &w), 0);
	for (i = 0; i < n; i++) {
		uint8_t key[4] = {0, 0, (uint8_t)(i >> 8), (uint8_t)i};

		memset(value, (int)i, sizeof(value));
		ck_assert_int_eq(
			sst_writer_add(w, lsm_slice(key, 4),
				       tag_make(i, KIND_PUT),
				       lsm_slice(value, sizeof(value))),
			0);
	}
	ck_assert_int_eq(sst_writer_finish(w, &meta), 0);
	ck_assert_int_eq(sst_reader_open(dir, name, 7, &o, &r), 0);
	it = sst_reader_iter(r, &io);
	for (pass = 0; pass < 2; pass++) {
		i = 0;
		for (iter_first(it); it->valid; iter_next(it)) {
			const uint8_t *v = it->value.data;

			ck_assert_uint_eq(it->value.len, sizeof(value));
			ck_assert_uint_eq(v[0], (uint8_t)i);
			ck_assert_uint_eq(v[sizeof(value) - 1], (uint8_t)i);
			if (!_i)
				ck_assert_uint_le(maps.touched, 3 << 19);
			i++;
		}
		ck_assert_int_eq(it->err, 0);
		ck_assert_uint_eq(i, n);
		if (_i) /* nothing was given back */
			ck_assert_uint_ge(maps.touched, n * sizeof(value));
	}
	iter_free(it);
	sst_meta_release(&meta);
	sst_reader_put(r);
	ck_assert_uint_eq(maps.touched, 0);
	ck_assert_uint_eq(maps.tables, 0);
	ck_assert_int_eq(env_dir_delete(dir, name), 0);
	env_dir_close(dir);
	cache_free(c);
	remove(path);
}
END_TEST

START_TEST(mapped_table_cut_short_under_us_is_an_error_and_no_crash)
{
	struct rng rng = rng_make(test_seed(18));
	char path[] = "/tmp/test_sst.XXXXXX", name[FILE_NAME_MAX], full[64];
	struct cache *c = cache_new(1 << 20);
	struct sst_maps maps = {0};
	struct sst_reader_options o = {.cache = c,
				       .map_raw = true,
				       .maps = &maps,
				       .verify_checksums = true};
	struct sst_iter_options io = {.fill_cache = true};
	struct sst_pin pin = {0};
	struct model m = {0};
	struct env_dir *dir;
	struct sst_meta meta;
	struct sst_reader *r;
	enum entry_kind kind;
	struct lsm_slice k;
	struct iter *it;

	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(env_dir_open(lsm_env_posix(), path, 0, &dir), 0);
	model_fill(&m, &rng, 3000, 200);
	write_table(dir, 7, &shapes[1], &m, &meta);
	file_name(name, FILE_SST, 7);
	ck_assert_int_eq(sst_reader_open(dir, name, 7, &o, &r), 0);
	snprintf(full, sizeof(full), "%s/%s", path, name);
	ck_assert_int_eq(truncate(full, 8192), 0);
	k = m.e[m.count - 1].key;
	ck_assert_int_eq(sst_reader_lookup(r, k, hash64(k.data, k.len), SEQ_MAX,
					   0, &kind, &pin),
			 -EIO);
	it = sst_reader_iter(r, &io);
	iter_last(it);
	ck_assert(!it->valid);
	ck_assert_int_eq(it->err, -EIO);
	iter_free(it);
	ck_assert_int_lt(sst_reader_verify(r, NULL, NULL), 0);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	ck_assert_int_eq(env_dir_delete(dir, name), 0);
	env_dir_close(dir);
	cache_free(c);
	remove(path);
}
END_TEST

static void add_range(struct sst_writer *w, const char *start, const char *end,
		      const uint64_t *seqs, uint32_t count)
{
	struct frag f = {slice_str(start), slice_str(end), seqs, count};

	ck_assert_int_eq(sst_writer_add_range(w, &f), 0);
}

START_TEST(range_tombstones_delete_older_entries_and_count_in_the_bounds)
{
	static const uint64_t one[] = {50}, two[] = {80, 20};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	struct sst_writer *w;
	struct sst_pin pin = {0};
	enum entry_kind kind;
	size_t i;
	static const struct {
		const char *key;
		uint64_t seq;
		int want;
	} ask[] = {
		{"b", 100, LOOKUP_DELETED},  {"b", 45, LOOKUP_FOUND},
		{"b", 39, LOOKUP_MISS},      {"c", 100, LOOKUP_FOUND},
		{"c", 59, LOOKUP_DELETED},   {"d", 100, LOOKUP_FOUND},
		{"bb", 100, LOOKUP_DELETED}, {"bb", 49, LOOKUP_MISS},
		{"y", 100, LOOKUP_DELETED},  {"y", 79, LOOKUP_DELETED},
		{"y", 19, LOOKUP_MISS},      {"z", 100, LOOKUP_MISS},
	};

	table_env_open(&t, 1 << 20);
	ck_assert_int_eq(
		sst_writer_open(t.dir, "000007.sst", 7, &shapes[_i], &w), 0);
	add_range(w, "a", "d", one, 1);
	ck_assert_int_eq(sst_writer_add(w, slice_str("b"),
					tag_make(40, KIND_PUT), slice_str("B")),
			 0);
	ck_assert_int_eq(sst_writer_add(w, slice_str("c"),
					tag_make(60, KIND_PUT), slice_str("C")),
			 0);
	add_range(w, "x", "z", two, 2);
	ck_assert_int_eq(sst_writer_add(w, slice_str("d"),
					tag_make(30, KIND_PUT), slice_str("D")),
			 0);
	ck_assert_int_eq(sst_writer_finish(w, &meta), 0);
	ck_assert(slice_eq(buf_slice(&meta.smallest), slice_str("a")));
	ck_assert(slice_eq(buf_slice(&meta.largest), slice_str("z")));
	ck_assert(meta.largest_exclusive);
	ck_assert_uint_eq(meta.min_seq, 20);
	ck_assert_uint_eq(meta.max_seq, 80);
	ck_assert_uint_eq(meta.range_deletions, 3);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	ck_assert_uint_eq(sst_reader_frags(r)->count, 2);
	for (i = 0; i < sizeof(ask) / sizeof(*ask); i++) {
		struct lsm_slice k = slice_str(ask[i].key);

		ck_assert_int_eq(sst_reader_lookup(r, k, hash64(k.data, k.len),
						   ask[i].seq, 0, &kind, &pin),
				 ask[i].want);
		sst_pin_release(&pin, t.cache);
	}
	ck_assert_int_eq(sst_reader_verify(r, NULL, NULL), 0);
	sst_meta_release(&meta);
	sst_reader_put(r);
	table_env_close(&t);
}
END_TEST

START_TEST(table_of_tombstones_alone_or_of_nothing_opens)
{
	static const uint64_t seqs[] = {9};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	struct sst_writer *w;
	struct sst_iter_options o = {0};
	struct iter *it;

	table_env_open(&t, 1 << 20);
	ck_assert_int_eq(
		sst_writer_open(t.dir, "000007.sst", 7, &shapes[0], &w), 0);
	if (_i)
		add_range(w, "k", "m", seqs, 1);
	ck_assert_int_eq(sst_writer_finish(w, &meta), 0);
	ck_assert_int_eq(meta.largest_exclusive, _i);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	it = sst_reader_iter(r, &o);
	iter_first(it);
	ck_assert(!it->valid && !it->err);
	iter_last(it);
	ck_assert(!it->valid && !it->err);
	iter_seek(it, slice_str("l"), UINT64_MAX);
	ck_assert(!it->valid && !it->err);
	iter_free(it);
	ck_assert_uint_eq(sst_reader_offset(r, slice_str("l")), 0);
	ck_assert_int_eq(sst_reader_verify(r, NULL, NULL), 0);
	sst_meta_release(&meta);
	sst_reader_put(r);
	table_env_close(&t);
}
END_TEST

START_TEST(writer_refuses_entries_out_of_order)
{
	struct table_env t;
	struct sst_writer *w;
	struct sst_meta meta;
	struct env_object *o;
	struct lsm_slice v = slice_str("v");

	table_env_open(&t, 1 << 20);
	ck_assert_int_eq(
		sst_writer_open(t.dir, "000007.sst", 7, &shapes[_i], &w), 0);
	ck_assert_int_eq(
		sst_writer_add(w, slice_str("b"), tag_make(5, KIND_PUT), v), 0);
	ck_assert_int_eq(
		sst_writer_add(w, slice_str("b"), tag_make(5, KIND_PUT), v),
		-EINVAL);
	/* and stays refusing, and leaves no table behind */
	ck_assert_int_eq(
		sst_writer_add(w, slice_str("c"), tag_make(5, KIND_PUT), v),
		-EINVAL);
	ck_assert_int_eq(sst_writer_finish(w, &meta), -EINVAL);
	ck_assert_int_eq(env_object_open(t.dir, "000007.sst", &o), -ENOENT);
	ck_assert_int_eq(
		sst_writer_open(t.dir, "000007.sst", 7, &shapes[_i], &w), 0);
	ck_assert_int_eq(
		sst_writer_add(w, slice_str("b"), tag_make(5, KIND_PUT), v), 0);
	ck_assert_int_eq(
		sst_writer_add(w, slice_str("a"), tag_make(6, KIND_PUT), v),
		-EINVAL);
	sst_writer_abort(w);
	ck_assert_int_eq(env_object_open(t.dir, "000007.sst", &o), -ENOENT);
	table_env_close(&t);
}
END_TEST

START_TEST(failing_disk_fails_the_writer_and_leaks_nothing)
{
	struct rng rng = rng_make(test_seed(4));
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	uint64_t nth, before;
	int err = 1;

	table_env_open(&t, 1 << 20);
	model_fill(&m, &rng, 300, 100);
	for (nth = 0; err; nth++) {
		struct sst_writer *w;
		size_t i;

		before = env_fault_calls(t.env);
		env_fault_fail_at(t.env, before + nth, -ENOSPC, true);
		err = sst_writer_open(t.dir, "000007.sst", 7, &shapes[4], &w);
		if (!err) {
			for (i = 0; i < m.count && !err; i++)
				err = sst_writer_add(w, m.e[i].key, m.e[i].tag,
						     m.e[i].value);
			if (err)
				sst_writer_abort(w);
			else
				err = sst_writer_finish(w, &meta);
		}
		env_fault_clear(t.env);
		ck_assert(err == 0 || err == -ENOSPC);
		env_dir_delete(t.dir, "000007.sst");
	}
	ck_assert_uint_gt(nth, 1);
	sst_meta_release(&meta);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(failing_reads_are_errors_and_end_with_the_cause)
{
	struct rng rng = rng_make(test_seed(14));
	struct sst_iter_options o = {.fill_cache = _i & 1, .readahead = _i & 2};
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	struct iter *it;
	size_t n = 0;

	table_env_open(&t, 0);
	model_fill(&m, &rng, 3000, 100);
	write_table(t.dir, 7, &shapes[4], &m, &meta);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	env_fault_count_reads(t.env, true);
	it = sst_reader_iter(r, &o);
	iter_first(it);
	ck_assert(it->valid);
	env_fault_fail_at(t.env, env_fault_calls(t.env), -EIO, true);
	while (it->valid) {
		check_at(it, &m, n++);
		iter_next(it);
	}
	if (n < m.count)
		ck_assert_int_eq(it->err, -EIO);
	else
		ck_assert_int_eq(o.readahead, true); /* one chunk had it all */
	env_fault_clear(t.env);
	iter_seek(it, m.e[n - 1].key, m.e[n - 1].tag);
	check_at(it, &m, n - 1);
	iter_free(it);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(offsets_grow_with_keys)
{
	struct rng rng = rng_make(test_seed(15));
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;
	uint64_t last = 0;
	size_t i;

	table_env_open(&t, 1 << 20);
	model_fill(&m, &rng, 2000, 100);
	write_table(t.dir, 7, &shapes[0], &m, &meta);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	for (i = 0; i < m.count; i++) {
		uint64_t at = sst_reader_offset(r, m.e[i].key);

		ck_assert_uint_ge(at, last);
		ck_assert_uint_lt(at, meta.file_bytes);
		last = at;
	}
	ck_assert_uint_gt(last, meta.file_bytes / 2);
	sst_meta_release(&meta);
	sst_reader_put(r);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

static int count_line(void *arg, const char *line)
{
	size_t *n = arg;

	ck_assert_uint_gt(strlen(line), 0);
	ck_assert_ptr_null(strchr(line, '\n'));
	++*n;
	return 0;
}

static int stop_at_once(void *arg, const char *line)
{
	return 17;
}

START_TEST(dump_prints_a_line_for_each_entry)
{
	struct rng rng = rng_make(test_seed(16));
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	size_t without = 0, with = 0;

	table_env_open(&t, 1 << 20);
	model_fill(&m, &rng, 200, 100);
	write_table(t.dir, 7, &shapes[0], &m, &meta);
	ck_assert_int_eq(
		sst_dump(t.dir, "000007.sst", false, count_line, &without), 0);
	ck_assert_int_eq(sst_dump(t.dir, "000007.sst", true, count_line, &with),
			 0);
	ck_assert_uint_gt(without, 5);
	ck_assert_uint_eq(with - without, m.count);
	ck_assert_int_eq(
		sst_dump(t.dir, "000007.sst", true, stop_at_once, NULL), 17);
	ck_assert_int_eq(sst_dump(t.dir, "000008.sst", true, count_line, &with),
			 -ENOENT);
	sst_meta_release(&meta);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(memory_of_open_tables_is_charged_and_given_back)
{
	struct rng rng = rng_make(test_seed(17));
	struct model m = {0};
	struct cache_stats s;
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;

	table_env_open(&t, 1 << 20);
	model_fill(&m, &rng, 2000, 100);
	write_table(t.dir, 7, &shapes[0], &m, &meta);
	ck_assert_int_eq(open_table(t.dir, t.cache, 7, &r), 0);
	cache_get_stats(t.cache, &s);
	ck_assert_uint_eq(s.charged, sst_reader_memory(r));
	ck_assert_uint_gt(s.charged, m.count); /* 10 bits a key and more */
	sst_reader_put(r);
	cache_get_stats(t.cache, &s);
	ck_assert_uint_eq(s.charged, 0);
	sst_meta_release(&meta);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sst");
	TCase *tc = tcase_create("sst");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc,
			    table_answers_as_the_sorted_array_it_was_made_of, 0,
			    SHAPES);
	tcase_add_test(tc, table_answers_when_the_cache_holds_nothing);
	tcase_add_loop_test(tc, versions_of_one_key_may_fill_many_blocks, 0,
			    SHAPES);
	tcase_add_loop_test(tc, keys_of_4096_bytes_and_values_of_1_MiB_fit, 0,
			    4);
	tcase_add_loop_test(tc, mapped_raw_table_answers_like_a_read_one, 0, 2);
	tcase_add_loop_test(tc, mapped_table_stays_right_and_within_the_budget,
			    0, 2);
	tcase_add_test(
		tc, mapped_table_cut_short_under_us_is_an_error_and_no_crash);
	tcase_add_loop_test(
		tc,
		range_tombstones_delete_older_entries_and_count_in_the_bounds,
		0, SHAPES);
	tcase_add_loop_test(tc, table_of_tombstones_alone_or_of_nothing_opens,
			    0, 2);
	tcase_add_loop_test(tc, writer_refuses_entries_out_of_order, 0, SHAPES);
	tcase_add_test(tc, failing_disk_fails_the_writer_and_leaks_nothing);
	tcase_add_loop_test(tc, failing_reads_are_errors_and_end_with_the_cause,
			    0, 4);
	tcase_add_test(tc, offsets_grow_with_keys);
	tcase_add_test(tc, dump_prints_a_line_for_each_entry);
	tcase_add_test(tc, memory_of_open_tables_is_charged_and_given_back);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
