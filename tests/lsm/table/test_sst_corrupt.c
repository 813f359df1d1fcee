/* SPDX-License-Identifier: MIT */
/*
 * test_sst_corrupt.c - damaged tables: every damage is noticed or harmless,
 * none crashes. Run under sanitizers this also proves that no byte from disk
 * leads outside a block.
 */
#include "lsm/base/coding.h"
#include "lsm/table/block.h"
#include "lsm/table/sst_format.h"
#include "tests/lsm/table/table_util.h"

#define NAME "000007.sst"
#define PATH "/t/000007.sst"

/* Everything there is to ask; 0 or the first error. Answers must be right. */
static int ask_everything(struct table_env *t, const struct model *m)
{
	struct sst_reader *r;
	unsigned mode;
	size_t i;
	int err = open_table(t->dir, t->cache, 7, &r);

	if (err)
		return err;
	cache_erase_file(t->cache, 7);
	for (i = 0; i < m->count && !err; i++) {
		struct lsm_slice k = m->e[i].key;
		struct sst_pin pin = {0};
		enum entry_kind kind;
		int got =
			sst_reader_lookup(r, k, hash64(k.data, k.len),
					  tag_seq(m->e[i].tag), 0, &kind, &pin);

		if (got < 0)
			err = got;
		else if (tag_kind(m->e[i].tag) == KIND_DELETE)
			ck_assert_int_eq(got, LOOKUP_DELETED);
		else
			ck_assert(got == LOOKUP_FOUND &&
				  slice_eq(pin.data, m->e[i].value));
		sst_pin_release(&pin, t->cache);
	}
	for (mode = 0; mode < 4 && !err; mode++) {
		struct sst_iter_options o = {.fill_cache = mode & 1,
					     .readahead = mode & 2};
		struct iter *it = sst_reader_iter(r, &o);

		i = 0;
		for (iter_first(it); it->valid; iter_next(it))
			check_entry(it, &m->e[i++]);
		err = it->err;
		if (!err)
			ck_assert_uint_eq(i, m->count);
		for (iter_last(it); it->valid && !err; iter_prev(it))
			check_entry(it, &m->e[--i]);
		if (!err)
			err = it->err;
		iter_free(it);
	}
	if (!err)
		err = sst_reader_verify(r, NULL, NULL);
	sst_reader_put(r);
	return err;
}

static void make_table(struct table_env *t, struct model *m, bool lz4,
		       struct sst_meta *meta)
{
	static const uint64_t seqs[] = {7, 3};
	struct sst_writer_options o = {.block_bytes = 256,
				       .restart_interval = 4,
				       .bloom_bits = 10,
				       .lz4 = lz4};
	struct frag f = {slice_str("zz"), slice_str("zzz"), seqs, 2};
	struct rng rng = rng_make(42);
	struct sst_writer *w;
	size_t i;

	table_env_open(t, 1 << 20);
	model_fill(m, &rng, 40, 60);
	ck_assert_int_eq(sst_writer_open(t->dir, NAME, 7, &o, &w), 0);
	for (i = 0; i < m->count; i++)
		ck_assert_int_eq(sst_writer_add(w, m->e[i].key, m->e[i].tag,
						m->e[i].value),
				 0);
	ck_assert_int_eq(sst_writer_add_range(w, &f), 0);
	ck_assert_int_eq(sst_writer_finish(w, meta), 0);
	ck_assert_int_eq(ask_everything(t, m), 0);
}

START_TEST(every_flipped_byte_is_noticed)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	uint64_t at;
	size_t k;

	make_table(&t, &m, _i, &meta);
	for (at = 0; at < meta.file_bytes; at++) {
		for (k = 0; k < sizeof(masks); k++) {
			int err;

			ck_assert_int_eq(
				env_fault_corrupt(t.env, PATH, at, masks[k]),
				0);
			err = ask_everything(&t, &m);
			/* every byte is under some checksum */
			ck_assert_msg(err == -EUCLEAN, "byte %llu ^ %#x: %d",
				      (unsigned long long)at, masks[k], err);
			ck_assert_int_eq(
				env_fault_corrupt(t.env, PATH, at, masks[k]),
				0);
		}
	}
	ck_assert_int_eq(ask_everything(&t, &m), 0);
	sst_meta_release(&meta);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(every_truncation_is_noticed)
{
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	uint64_t bytes;

	make_table(&t, &m, _i, &meta);
	for (bytes = meta.file_bytes; bytes-- > 0;) {
		ck_assert_int_eq(env_fault_truncate(t.env, PATH, bytes), 0);
		ck_assert_int_eq(ask_everything(&t, &m), -EUCLEAN);
	}
	sst_meta_release(&meta);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(table_under_another_number_is_noticed)
{
	struct sst_reader_options o = {.verify_checksums = true};
	struct model m = {0};
	struct table_env t;
	struct sst_meta meta;
	struct sst_reader *r;

	make_table(&t, &m, true, &meta);
	o.cache = t.cache;
	ck_assert_int_eq(sst_reader_open(t.dir, NAME, 8, &o, &r), -EUCLEAN);
	sst_meta_release(&meta);
	model_free(&m);
	table_env_close(&t);
}
END_TEST

START_TEST(newer_formats_are_refused_as_such)
{
	struct sst_footer f = {.number = 7, .format = SST_FORMAT}, g;
	uint8_t bytes[SST_FOOTER_BYTES];

	sst_footer_encode(&f, bytes);
	ck_assert_int_eq(sst_footer_decode(&g, bytes, 1000, 7, NULL, "x"), 0);
	f.compat = 0xffffffff; /* whatever it means, we may read it */
	sst_footer_encode(&f, bytes);
	ck_assert_int_eq(sst_footer_decode(&g, bytes, 1000, 7, NULL, "x"), 0);
	f.incompat = 0x100;
	sst_footer_encode(&f, bytes);
	ck_assert_int_eq(sst_footer_decode(&g, bytes, 1000, 7, NULL, "x"),
			 -EPROTONOSUPPORT);
	f.incompat = 0;
	f.format = SST_FORMAT + 1;
	sst_footer_encode(&f, bytes);
	ck_assert_int_eq(sst_footer_decode(&g, bytes, 1000, 7, NULL, "x"),
			 -EPROTONOSUPPORT);
	f.format = SST_FORMAT;
	f.index_offset = 995; /* with its trailer it would end beyond 1000 */
	f.index_bytes = 1;
	sst_footer_encode(&f, bytes);
	ck_assert_int_eq(sst_footer_decode(&g, bytes, 1000, 7, NULL, "x"),
			 -EUCLEAN);
	f.index_offset = UINT64_MAX - 3;
	sst_footer_encode(&f, bytes);
	ck_assert_int_eq(sst_footer_decode(&g, bytes, 1000, 7, NULL, "x"),
			 -EUCLEAN);
}
END_TEST

/* Behind the checksum: whatever a block says, walking it ends, inside. The
 * block is in memory of just its size, for the address sanitizer to watch. */
START_TEST(random_bytes_in_a_block_lead_nowhere_outside)
{
	struct rng rng = rng_make(test_seed(43 + (unsigned)_i));
	struct block_cursor *c = calloc(1, sizeof(*c));
	struct block_builder b = {.restart_interval = 3};
	struct model m = {0};
	size_t i, round;

	ck_assert_ptr_nonnull(c);
	model_fill(&m, &rng, 30, 20);
	for (i = 0; i < m.count; i++)
		ck_assert_int_eq(block_builder_add(&b, m.e[i].key, m.e[i].tag,
						   m.e[i].value),
				 0);
	ck_assert_int_eq(block_builder_finish(&b), 0);
	for (round = 0; round < 3000; round++) {
		size_t len = rng_below(&rng, 4) ? b.buf.len
						: rng_below(&rng, b.buf.len);
		uint8_t *data = malloc(len + 1);
		struct lsm_slice value, key;
		struct block block;
		uint64_t tag, steps = 0;
		uint8_t k[400];
		size_t n = 1 + rng_below(&rng, 4);

		memcpy(data, b.buf.data, len);
		data = realloc(data, len ? len : 1);
		while (n-- && len)
			data[rng_below(&rng, len)] = (uint8_t)rng_next(&rng);
		if (block_init(&block, data, len)) {
			int r;

			key = random_key(&rng, k);
			tag = rng_below(&rng, 1000) << 8;
			block_lookup(&block, key, tag, &tag, &value);
			block_cursor_set(c, &block);
			for (r = block_cursor_first(c); r > 0;
			     r = block_cursor_next(c))
				ck_assert_uint_le(++steps, len);
			for (r = block_cursor_last(c); r > 0;
			     r = block_cursor_prev(c))
				ck_assert_uint_le(++steps, 3 * len + 3);
			r = block_cursor_seek(c, key, tag);
			if (r > 0)
				block_cursor_prev(c);
		}
		free(data);
	}
	block_cursor_release(c);
	free(c);
	block_builder_release(&b);
	model_free(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sst_corrupt");
	TCase *tc = tcase_create("sst_corrupt");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, every_flipped_byte_is_noticed, 0, 2);
	tcase_add_loop_test(tc, every_truncation_is_noticed, 0, 2);
	tcase_add_test(tc, table_under_another_number_is_noticed);
	tcase_add_test(tc, newer_formats_are_refused_as_such);
	tcase_add_loop_test(tc, random_bytes_in_a_block_lead_nowhere_outside, 0,
			    4);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
