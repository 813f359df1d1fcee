/* SPDX-License-Identifier: MIT */
/* test_block.c - blocks against a sorted array, without a table around. */
#include "lsm/table/block.h"
#include "lsm/table/sst_index.h"
#include "tests/lsm/table/table_util.h"

static void build(struct block_builder *b, const struct model *m,
		  struct block *block)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		ck_assert_int_eq(block_builder_add(b, m->e[i].key, m->e[i].tag,
						   m->e[i].value),
				 0);
	ck_assert_int_eq(block_builder_finish(b), 0);
	ck_assert(block_init(block, b->buf.data, b->buf.len));
}

static void check_cursor(const struct block_cursor *c, int r,
			 const struct model *m, size_t at)
{
	if (at >= m->count) {
		ck_assert_int_eq(r, 0);
		return;
	}
	ck_assert_int_eq(r, 1);
	ck_assert(slice_eq(block_cursor_key(c), m->e[at].key));
	ck_assert_uint_eq(c->tag, m->e[at].tag);
	ck_assert(slice_eq(c->value, m->e[at].value));
}

START_TEST(cursor_moves_as_in_the_sorted_array)
{
	static const uint32_t intervals[] = {1, 2, 3, 16, 1000};
	struct rng rng = rng_make(test_seed(20 + (unsigned)_i));
	struct block_builder b = {.restart_interval = intervals[_i]};
	struct block_cursor *c = calloc(1, sizeof(*c));
	struct model m = {0};
	struct block block;
	size_t at, round;
	int r;

	ck_assert_ptr_nonnull(c);
	model_fill(&m, &rng, 300, 30);
	build(&b, &m, &block);
	block_cursor_set(c, &block);
	r = block_cursor_first(c);
	for (at = 0; at <= m.count; at++) {
		check_cursor(c, r, &m, at);
		if (r)
			r = block_cursor_next(c);
	}
	r = block_cursor_last(c);
	for (at = m.count; at-- > 0;) {
		check_cursor(c, r, &m, at);
		r = block_cursor_prev(c);
	}
	ck_assert_int_eq(r, 0);
	/* so that seeking has to find room for keys as well */
	block_cursor_release(c);
	memset(c, 0, sizeof(*c));
	block_cursor_set(c, &block);
	for (round = 0; round < 3000; round++) {
		uint8_t key[400];
		struct lsm_slice k = random_key(&rng, key);
		uint64_t tag = tag_seek(rng_below(&rng, 1001));
		int steps = (int)rng_below(&rng, 30);

		if (!rng_below(&rng, 3))
			k = m.e[rng_below(&rng, m.count)].key;
		at = model_seek(&m, k, tag);
		r = block_cursor_seek(c, k, tag);
		check_cursor(c, r, &m, at);
		while (r && steps--) {
			if (rng_below(&rng, 3)) {
				r = block_cursor_prev(c);
				at--;
			} else {
				r = block_cursor_next(c);
				at++;
			}
			check_cursor(c, r, &m, at);
		}
	}
	block_cursor_release(c);
	free(c);
	block_builder_release(&b);
	model_free(&m);
}
END_TEST

START_TEST(lookup_finds_the_newest_version_not_newer_than_asked)
{
	static const uint32_t intervals[] = {1, 2, 3, 16, 1000};
	struct rng rng = rng_make(test_seed(30 + (unsigned)_i));
	struct block_builder b = {.restart_interval = intervals[_i]};
	struct model m = {0};
	struct block block;
	size_t round;

	model_fill(&m, &rng, 300, 30);
	build(&b, &m, &block);
	for (round = 0; round < 20000; round++) {
		uint8_t key[400];
		struct lsm_slice k = random_key(&rng, key), value;
		uint64_t tag = tag_seek(rng_below(&rng, 1001)), found;
		size_t at;
		int r;

		if (rng_below(&rng, 2))
			k = m.e[rng_below(&rng, m.count)].key;
		at = model_seek(&m, k, tag);
		r = block_lookup(&block, k, tag, &found, &value);
		if (at == m.count || !slice_eq(m.e[at].key, k)) {
			ck_assert_int_eq(r, 0);
			continue;
		}
		ck_assert_int_eq(r, 1);
		ck_assert_uint_eq(found, m.e[at].tag);
		ck_assert(slice_eq(value, m.e[at].value));
	}
	block_builder_release(&b);
	model_free(&m);
}
END_TEST

START_TEST(builder_refuses_what_is_not_after_the_last_entry)
{
	struct block_builder b = {.restart_interval = 2};
	struct lsm_slice v = slice_str("v");

	ck_assert_int_eq(block_builder_add(&b, slice_str("ab"), 9, v), 0);
	ck_assert_int_eq(block_builder_add(&b, slice_str("ab"), 9, v), -EINVAL);
	ck_assert_int_eq(block_builder_add(&b, slice_str("ab"), 10, v),
			 -EINVAL);
	ck_assert_int_eq(block_builder_add(&b, slice_str("a"), 1, v), -EINVAL);
	ck_assert_int_eq(block_builder_add(&b, slice_str("aa"), 1, v), -EINVAL);
	ck_assert_int_eq(block_builder_add(&b, slice_str("ab"), 8, v), 0);
	/* also from one block to the next */
	block_builder_clear(&b);
	ck_assert_int_eq(block_builder_add(&b, slice_str("ab"), 8, v), -EINVAL);
	ck_assert_int_eq(block_builder_add(&b, slice_str("abc"), 90, v), 0);
	block_builder_release(&b);
}
END_TEST

START_TEST(impossible_heads_are_refused)
{
	static const uint8_t no_restarts[20] = {0};
	static const uint8_t too_many[20] = {3, 0, 0, 0};
	static const uint8_t no_entries[20] = {2, 0, 0, 0};
	static const uint8_t feature[24] = {1, 0, 0, 1};
	static const uint8_t good[24] = {1, 0, 0, 0};
	static const uint8_t empty[12] = {0};
	struct block b;

	ck_assert(!block_init(&b, no_restarts, sizeof(no_restarts)));
	ck_assert(!block_init(&b, too_many, sizeof(too_many)));
	ck_assert(!block_init(&b, no_entries, sizeof(no_entries)));
	ck_assert(!block_init(&b, feature, sizeof(feature)));
	ck_assert(block_init(&b, good, sizeof(good)));
	ck_assert(!block_init(&b, empty, 11));
	ck_assert(block_init(&b, empty, 12));
	ck_assert_uint_eq(b.restart_count, 0);
}
END_TEST

/* Keys that begin alike for a while, keys that are their neighbours'
 * prefixes, and tags that decide. */
START_TEST(index_search_finds_the_first_not_smaller_key)
{
	struct rng rng = rng_make(test_seed(40 + (unsigned)_i));
	struct block_builder b = {.restart_interval = 16};
	struct sst_index ix;
	struct model m = {0};
	struct block block;
	uint64_t at = 0;
	const char *why;
	size_t i;

	for (i = 0; i < 400; i++) {
		uint8_t key[420] = "common";
		struct lsm_slice k = random_key(&rng, key + 6 * (_i & 1));
		uint64_t tag = _i & 2 ? rng_below(&rng, 3) : 0;

		model_add(&m, lsm_slice(key, k.len + 6 * (_i & 1)), tag,
			  slice_str(""));
	}
	model_sort(&m);
	for (i = 0; i < m.count; i++) {
		struct sst_handle h = {at, 10 + (uint32_t)i, i % 2};
		struct buf v = {0};

		ck_assert_int_eq(sst_handle_append(&v, &h), 0);
		ck_assert_int_eq(block_builder_add(&b, m.e[i].key, m.e[i].tag,
						   buf_slice(&v)),
				 0);
		buf_release(&v);
		at += h.bytes + SST_TRAILER_BYTES;
	}
	ck_assert_int_eq(block_builder_finish(&b), 0);
	ck_assert(block_init(&block, b.buf.data, b.buf.len));
	ck_assert_int_eq(sst_index_build(&ix, &block, at + 1, &why), -EUCLEAN);
	ck_assert_int_eq(sst_index_build(&ix, &block, at - 1, &why), -EUCLEAN);
	ck_assert_int_eq(sst_index_build(&ix, &block, at, &why), 0);
	ck_assert_uint_eq(ix.count, m.count);
	for (i = 0; i < 20000; i++) {
		uint8_t key[420] = "common";
		struct lsm_slice k = random_key(&rng, key + 6 * (i & 1));
		uint64_t tag = rng_below(&rng, 4);

		k = lsm_slice(key, k.len);
		if (rng_below(&rng, 3) == 0)
			k = m.e[rng_below(&rng, m.count)].key;
		ck_assert_uint_eq(sst_index_seek(&ix, k, tag),
				  model_seek(&m, k, tag));
	}
	for (i = 0; i < m.count; i++) {
		ck_assert_int_eq(
			sst_index_cmp(&ix, (uint32_t)i, m.e[i].key, m.e[i].tag),
			0);
		ck_assert_uint_eq(sst_index_handle(&ix, (uint32_t)i).bytes,
				  10 + i);
		ck_assert_uint_eq(sst_index_handle(&ix, (uint32_t)i).type,
				  i % 2);
	}
	sst_index_release(&ix);
	block_builder_release(&b);
	model_free(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("block");
	TCase *tc = tcase_create("block");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, cursor_moves_as_in_the_sorted_array, 0, 5);
	tcase_add_loop_test(
		tc, lookup_finds_the_newest_version_not_newer_than_asked, 0, 5);
	tcase_add_test(tc, builder_refuses_what_is_not_after_the_last_entry);
	tcase_add_test(tc, impossible_heads_are_refused);
	tcase_add_loop_test(tc, index_search_finds_the_first_not_smaller_key, 0,
			    4);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
