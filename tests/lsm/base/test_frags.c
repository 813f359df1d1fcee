/* SPDX-License-Identifier: MIT */
/* test_frags.c - fragments against a list of tombstones searched naively. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lsm/base/frags.h"
#include "tests/check_main.h"

#define KEYS 60

static struct lsm_slice number_key(char *buf, int i)
{
	/* Short and long, sharing more than a prefix of 8 bytes. */
	return lsm_slice(buf, (size_t)sprintf(buf,
					      i % 3 ? "common-prefix-%03d"
						    : "common-prefix-"
						      "%03d-and-more",
					      i));
}

static void add(struct frags_builder *b, const char *start, const char *end,
		uint64_t seq)
{
	ck_assert_int_eq(
		frags_builder_add(b, slice_str(start), slice_str(end), seq), 0);
}

static void expect(const struct frags *f, const char *key, uint64_t seq,
		   uint64_t want, const char *start, const char *end)
{
	struct range_cover c;

	frags_cover(f, slice_str(key), seq, &c);
	ck_assert_uint_eq(c.seq, want);
	ck_assert(slice_eq(c.start, slice_str(start)));
	ck_assert(slice_eq(c.end, slice_str(end)));
}

START_TEST(nested_tombstones_are_cut)
{
	struct frags_builder *b = frags_builder_new();
	struct frags f;

	add(b, "b", "y", 10);
	add(b, "d", "f", 20);
	ck_assert_uint_eq(frags_builder_count(b), 2);
	ck_assert_int_eq(frags_builder_finish(b, &f), 0);
	ck_assert_uint_eq(frags_builder_count(b), 0);
	ck_assert_uint_eq(f.count, 3);
	expect(&f, "a", SEQ_MAX, 0, "", "b");
	expect(&f, "b", SEQ_MAX, 10, "b", "d");
	expect(&f, "d", SEQ_MAX, 20, "d", "f");
	expect(&f, "d", 19, 10, "d", "f");
	expect(&f, "e", 9, 0, "d", "f");
	expect(&f, "f", SEQ_MAX, 10, "f", "y");
	expect(&f, "y", SEQ_MAX, 0, "y", "");
	frags_release(&f);
	ck_assert_uint_eq(f.count, 0);
	frags_builder_free(b);
}
END_TEST

START_TEST(no_tombstones_cover_nothing)
{
	struct frags_builder *b = frags_builder_new();
	struct frags f;

	ck_assert_int_eq(frags_builder_finish(b, &f), 0);
	ck_assert_uint_eq(f.count, 0);
	expect(&f, "k", SEQ_MAX, 0, "", "");
	frags_release(&f);
	frags_builder_free(b);
	frags_builder_free(NULL);
}
END_TEST

START_TEST(pieces_of_one_tombstone_grow_together_again)
{
	struct frags_builder *b = frags_builder_new();
	struct frags f;

	add(b, "c", "d", 5);
	add(b, "a", "c", 5);
	add(b, "d", "e", 5);
	add(b, "a", "d", 5);
	add(b, "f", "g", 5);
	ck_assert_int_eq(frags_builder_finish(b, &f), 0);
	ck_assert_uint_eq(f.count, 2);
	expect(&f, "b", SEQ_MAX, 5, "a", "e");
	expect(&f, "e", SEQ_MAX, 0, "e", "f");
	frags_release(&f);
	frags_builder_free(b);
}
END_TEST

START_TEST(empty_and_inverted_ranges_are_refused)
{
	struct frags_builder *b = frags_builder_new();

	ck_assert_int_eq(
		frags_builder_add(b, slice_str("b"), slice_str("b"), 1),
		-EINVAL);
	ck_assert_int_eq(
		frags_builder_add(b, slice_str("b"), slice_str("a"), 1),
		-EINVAL);
	ck_assert_uint_eq(frags_builder_count(b), 0);
	frags_builder_free(b);
}
END_TEST

struct tomb {
	int start, end;
	uint64_t seq;
};

static uint64_t naive(const struct tomb *t, int n, int key, uint64_t seq)
{
	uint64_t best = 0;
	int i;

	for (i = 0; i < n; i++)
		if (t[i].start <= key && key < t[i].end && t[i].seq <= seq &&
		    t[i].seq > best)
			best = t[i].seq;
	return best;
}

static void check_model(const struct tomb *t, int n)
{
	struct frags_builder *b = frags_builder_new();
	char s[64], e[64];
	struct range_cover c;
	struct frags f;
	uint64_t seq;
	int i, k;
	size_t x;

	for (i = 0; i < n; i++)
		ck_assert_int_eq(
			frags_builder_add(b, number_key(s, t[i].start),
					  number_key(e, t[i].end), t[i].seq),
			0);
	ck_assert_int_eq(frags_builder_finish(b, &f), 0);
	for (x = 0; x < f.count; x++) {
		ck_assert_int_lt(slice_cmp(f.frag[x].start, f.frag[x].end), 0);
		ck_assert_uint_gt(f.frag[x].seq_count, 0);
		if (x)
			ck_assert_int_le(
				slice_cmp(f.frag[x - 1].end, f.frag[x].start),
				0);
	}
	for (k = 0; k < KEYS; k++) {
		struct lsm_slice key = number_key(s, k);

		for (seq = 0; seq < 42; seq += 1 + seq % 3) {
			frags_cover(&f, key, seq, &c);
			ck_assert_uint_eq(c.seq, naive(t, n, k, seq));
			ck_assert_int_le(slice_cmp(c.start, key), 0);
			ck_assert(!c.end.len || slice_cmp(key, c.end) < 0);
			/* The answer holds wherever it says. */
			for (i = 0; i < KEYS; i++) {
				struct lsm_slice o = number_key(e, i);

				if (slice_cmp(o, c.start) >= 0 &&
				    (!c.end.len || slice_cmp(o, c.end) < 0) &&
				    naive(t, n, i, seq) != c.seq)
					ck_abort_msg("answer does not hold");
			}
		}
	}
	frags_release(&f);
	frags_builder_free(b);
}

START_TEST(random_tombstones_answer_as_the_naive_list)
{
	unsigned seed = (unsigned)test_seed(11);
	struct tomb t[40];
	int round, n, i;

	for (round = 0; round < 25; round++) {
		n = rand_r(&seed) % 40;
		for (i = 0; i < n; i++) {
			t[i].start = rand_r(&seed) % (KEYS - 1);
			t[i].end = t[i].start + 1 +
				   rand_r(&seed) % (KEYS - 1 - t[i].start);
			t[i].seq = 1 + (uint64_t)rand_r(&seed) % 40;
		}
		check_model(t, n);
	}
}
END_TEST

/* A file cut shorter again and again; from the front; both at once. */
START_TEST(staircases_take_little_memory)
{
	struct frags_builder *b;
	struct range_cover c;
	char s[32], e[32];
	struct frags f;
	int way, i, n = 2000;

	for (way = 0; way < 4; way++) {
		b = frags_builder_new();
		for (i = 0; i < n; i++) {
			int k = way & 1 ? i : n - 1 - i;

			sprintf(s, "%08d", way & 2 ? 0 : k + 1);
			sprintf(e, "%08d", way & 2 ? k + 1 : n + 1);
			add(b, s, e, (uint64_t)i + 1);
		}
		ck_assert_int_eq(frags_builder_finish(b, &f), 0);
		ck_assert_uint_eq(f.count, (size_t)n);
		ck_assert_uint_lt(f.memory_bytes, (size_t)n * 200);
		/* One fragment lies under all of them. */
		sprintf(s, "%08d", way & 2 ? 0 : n);
		for (i = 0; i <= n; i++) {
			frags_cover(&f, slice_str(s), (uint64_t)i, &c);
			ck_assert_uint_eq(c.seq, (uint64_t)i);
		}
		frags_release(&f);
		frags_builder_free(b);
	}
}
END_TEST

START_TEST(many_disjoint_tombstones_are_quick)
{
	struct frags_builder *b = frags_builder_new();
	struct range_cover c;
	char s[32], e[32];
	struct frags f;
	int i, n = 50000, k;

	for (i = 0; i < n; i++) {
		k = (int)((unsigned)i * 7919u % (unsigned)n); /* any order */
		sprintf(s, "%08d", k * 2);
		sprintf(e, "%08d", k * 2 + 1);
		add(b, s, e, (uint64_t)k + 1);
	}
	ck_assert_int_eq(frags_builder_finish(b, &f), 0);
	ck_assert_uint_eq(f.count, (size_t)n);
	for (i = 0; i < 2 * n; i++) {
		sprintf(s, "%08d", i);
		frags_cover(&f, slice_str(s), SEQ_MAX, &c);
		ck_assert_uint_eq(c.seq, i % 2 ? 0 : (uint64_t)i / 2 + 1);
	}
	frags_release(&f);
	frags_builder_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frags");
	TCase *t = tcase_create("frags");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, nested_tombstones_are_cut);
	tcase_add_test(t, no_tombstones_cover_nothing);
	tcase_add_test(t, pieces_of_one_tombstone_grow_together_again);
	tcase_add_test(t, empty_and_inverted_ranges_are_refused);
	tcase_add_test(t, random_tombstones_answer_as_the_naive_list);
	tcase_add_test(t, staircases_take_little_memory);
	tcase_add_test(t, many_disjoint_tombstones_are_quick);
	suite_add_tcase(s, t);
	return run_suite(s);
}
