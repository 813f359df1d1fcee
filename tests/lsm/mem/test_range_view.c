/* SPDX-License-Identifier: MIT */
/* test_range_view.c - the sorted array of fragments. */
#include "lsm/mem/range_view.h"

#include <stdlib.h>

#include "tests/check_main.h"

#define KEY_MAX 12
#define KEYS    60

struct key {
	uint8_t bytes[KEY_MAX];
	size_t len;
};

static struct lsm_slice slice_of(const struct key *k)
{
	return lsm_slice(k->bytes, k->len);
}

static int compare_keys(const void *a, const void *b)
{
	return slice_cmp(slice_of(a), slice_of(b));
}

/* Few different bytes, the extreme ones among them, so that keys are often
 * beginnings of each other and differ only where padding would. */
static void random_key(struct key *k, size_t common, unsigned *seed)
{
	static const uint8_t alphabet[] = {0x00, 0xff, 'a'};
	size_t i;

	k->len = 1 + (size_t)rand_r(seed) % (KEY_MAX - 1);
	if (k->len < common && rand_r(seed) % 4)
		k->len = common;
	for (i = 0; i < k->len; i++)
		k->bytes[i] = i < common && rand_r(seed) % 64
				      ? 'a'
				      : alphabet[rand_r(seed) % 3];
}

static struct range_view *view_of(const struct key *key, uint32_t n,
				  const struct range_cell *cells)
{
	struct range_view *v = range_view_new(n);

	ck_assert_ptr_nonnull(v);
	for (uint32_t i = 0; i < n; i++) {
		v->border[i].key = slice_of(&key[i]);
		v->border[i].cells = &cells[i];
	}
	range_view_finish(v);
	return v;
}

START_TEST(every_key_is_found_in_its_fragment)
{
	unsigned seed = (unsigned)test_seed(7);
	struct range_cell cells[KEYS];
	struct key key[KEYS], probe;

	for (int round = 0; round < 400; round++) {
		size_t common = (size_t)round % 10;
		struct range_view *v;
		uint32_t n = 0, all;

		for (int i = 0; i < 1 + round % KEYS; i++)
			random_key(&key[n++], common, &seed);
		qsort(key, n, sizeof(*key), compare_keys);
		all = n;
		n = 1;
		for (uint32_t i = 1; i < all; i++)
			if (compare_keys(&key[n - 1], &key[i]))
				key[n++] = key[i];
		v = view_of(key, n, cells);
		for (int i = 0; i < 200; i++) {
			const struct range_cell *want = NULL;

			random_key(&probe, common, &seed);
			if (i < (int)n)
				probe = key[i];
			for (uint32_t j = 0; j < n; j++)
				if (compare_keys(&key[j], &probe) <= 0)
					want = &cells[j];
			ck_assert_ptr_eq(range_view_find(v, slice_of(&probe)),
					 want);
		}
		free(v);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("range_view");
	TCase *tc = tcase_create("range_view");

	tcase_add_test(tc, every_key_is_found_in_its_fragment);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
