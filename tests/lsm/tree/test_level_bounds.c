/* SPDX-License-Identifier: MIT */
/* test_level_bounds.c - finding the table of a level by numbers, against
 * comparing whole keys. */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/tree/level_bounds.h"
#include "lsm/tree/version.h"
#include "tests/lsm/tree/tree_test.h"

#define TABLES_MAX 12
#define KEY_MAX    40

struct level {
	size_t count;
	struct table_file *tables[TABLES_MAX];
	struct level_bounds bounds;
};

/* Keys of a small alphabet, so that many begin alike, behind a common head. */
static struct lsm_slice random_key(uint64_t *s, char *key, size_t head)
{
	size_t n = head + rnd(s) % (KEY_MAX - head), i;

	memset(key, 'h', head);
	for (i = head; i < n; i++)
		key[i] = "\0\001a\377"[rnd(s) % 4];
	if (!n)
		key[n++] = 'a';
	return lsm_slice(key, n);
}

static int cmp_slices(const void *a, const void *b)
{
	return slice_cmp(*(const struct lsm_slice *)a,
			 *(const struct lsm_slice *)b);
}

/* Tables between random keys; some end where the next one begins. */
static void level_make(struct level *l, uint64_t *s, size_t head)
{
	static char keys[2 * TABLES_MAX][KEY_MAX];
	struct lsm_slice k[2 * TABLES_MAX];
	size_t i, n = 2 + rnd(s) % (2 * TABLES_MAX - 1);

	memset(l, 0, sizeof(*l));
	for (i = 0; i < n; i++)
		k[i] = random_key(s, keys[i], head);
	qsort(k, n, sizeof(*k), cmp_slices);
	for (i = 0; i + 1 < n && l->count < TABLES_MAX;) {
		struct table_file *f;

		if (slice_eq(k[i], k[i + 1])) {
			i++;
			continue;
		}
		f = calloc(1, sizeof(*f));
		ck_assert_ptr_nonnull(f);
		OK(buf_append(&f->meta.smallest, k[i].data, k[i].len));
		OK(buf_append(&f->meta.largest, k[i + 1].data, k[i + 1].len));
		f->meta.largest_exclusive = rnd(s) % 2;
		l->tables[l->count++] = f;
		i += f->meta.largest_exclusive ? 1 : 2;
	}
	OK(level_bounds_make(&l->bounds, l->tables, l->count));
}

static void level_free(struct level *l)
{
	for (size_t i = 0; i < l->count; i++) {
		buf_release(&l->tables[i]->meta.smallest);
		buf_release(&l->tables[i]->meta.largest);
		free(l->tables[i]);
	}
	level_bounds_release(&l->bounds);
}

static void expect_like_whole_keys(struct level *l, struct lsm_slice key)
{
	size_t i = 0;

	while (i < l->count && table_file_cmp_key(l->tables[i], key) > 0)
		i++;
	ck_assert_uint_eq(level_bounds_find(&l->bounds, key), i);
	if (i < l->count)
		ck_assert_int_eq(level_bounds_before(&l->bounds, i, key),
				 table_file_cmp_key(l->tables[i], key) < 0);
}

START_TEST(table_found_by_numbers_is_that_found_by_keys)
{
	uint64_t s = test_seed(311);
	char key[KEY_MAX];
	int round, i;

	for (round = 0; round < 3000; round++) {
		size_t head = rnd(&s) % 3 * (rnd(&s) % 12);
		struct level l;

		level_make(&l, &s, head);
		for (i = 0; i < 30; i++)
			expect_like_whole_keys(
				&l,
				random_key(&s, key,
					   rnd(&s) % 4 ? head : rnd(&s) % 20));
		for (i = 0; i < (int)l.count; i++) {
			expect_like_whole_keys(
				&l, buf_slice(&l.tables[i]->meta.smallest));
			expect_like_whole_keys(
				&l, buf_slice(&l.tables[i]->meta.largest));
		}
		level_free(&l);
	}
}
END_TEST

START_TEST(level_without_tables_has_none_to_find)
{
	struct level_bounds b;

	OK(level_bounds_make(&b, NULL, 0));
	ck_assert_uint_eq(level_bounds_find(&b, lsm_slice("k", 1)), 0);
	level_bounds_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("level_bounds");
	TCase *tc = tcase_create("level_bounds");

	tcase_add_test(tc, table_found_by_numbers_is_that_found_by_keys);
	tcase_add_test(tc, level_without_tables_has_none_to_find);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
