/* SPDX-License-Identifier: MIT */
/* test_merge_iter.c - merging against one sorted array. */
#include "lsm/table/merge_iter.h"
#include "tests/lsm/table/table_util.h"

/* An iterator over some entries of a model. */
struct part {
	struct iter base;
	struct model m; /* entries borrowed */
	size_t at;
	int fail_after; /* moves until -EIO; negative: never */
	size_t *moves;  /* counted when not NULL */
};

static void part_show(struct part *p)
{
	p->base.valid = false;
	if (p->moves)
		++*p->moves;
	if (p->fail_after >= 0 && p->fail_after-- == 0) {
		p->base.err = -EIO;
		return;
	}
	if (p->at >= p->m.count)
		return;
	p->base.valid = true;
	p->base.key = p->m.e[p->at].key;
	p->base.tag = p->m.e[p->at].tag;
	p->base.value = p->m.e[p->at].value;
}

static void part_seek(struct iter *it, struct lsm_slice key, uint64_t tag)
{
	struct part *p = (struct part *)it;

	it->err = 0;
	p->at = model_seek(&p->m, key, tag);
	part_show(p);
}

static void part_seek_for_prev(struct iter *it, struct lsm_slice key,
			       uint64_t tag)
{
	struct part *p = (struct part *)it;

	it->err = 0;
	p->at = model_seek(&p->m, key, tag);
	if (p->at == p->m.count ||
	    entry_cmp(p->m.e[p->at].key, p->m.e[p->at].tag, key, tag))
		p->at--;
	part_show(p);
}

static void part_first(struct iter *it)
{
	it->err = 0;
	((struct part *)it)->at = 0;
	part_show((struct part *)it);
}

static void part_last(struct iter *it)
{
	it->err = 0;
	((struct part *)it)->at = ((struct part *)it)->m.count - 1;
	part_show((struct part *)it);
}

static void part_next(struct iter *it)
{
	ck_assert(it->valid);
	((struct part *)it)->at++;
	part_show((struct part *)it);
}

static void part_prev(struct iter *it)
{
	ck_assert(it->valid);
	((struct part *)it)->at--;
	part_show((struct part *)it);
}

static void part_free(struct iter *it)
{
	free(((struct part *)it)->m.e);
	free(it);
}

static const struct iter_ops part_ops = {
	part_seek, part_seek_for_prev, part_first, part_last,
	part_next, part_prev,          part_free,
};

static struct part *part_new(void)
{
	struct part *p = calloc(1, sizeof(*p));

	ck_assert_ptr_nonnull(p);
	p->base.ops = &part_ops;
	p->fail_after = -1;
	return p;
}

static void part_add(struct part *p, const struct model_entry *e)
{
	p->m.e = realloc(p->m.e, (p->m.count + 1) * sizeof(*e));
	ck_assert_ptr_nonnull(p->m.e);
	p->m.e[p->m.count++] = *e;
}

#define PARTS_MAX 9

/* Deals the model out; duplicates of some entries go to a second child. The
 * model then has them twice. */
static size_t deal(struct model *m, struct rng *r, bool duplicates,
		   struct iter **out)
{
	struct part *p[PARTS_MAX];
	size_t n = 2 + rng_below(r, PARTS_MAX - 1), i, count = m->count;

	for (i = 0; i < n; i++)
		p[i] = part_new();
	for (i = 0; i < count; i++) {
		size_t a = rng_below(r, n), b = rng_below(r, n);

		part_add(p[a], &m->e[i]);
		if (!duplicates || a == b || rng_below(r, 3))
			continue;
		part_add(p[b], &m->e[i]);
		model_add(m, m->e[i].key, m->e[i].tag, m->e[i].value);
	}
	qsort(m->e, m->count, sizeof(*m->e), model_cmp);
	for (i = 0; i < n; i++)
		out[i] = &p[i]->base;
	return n;
}

START_TEST(merge_is_the_sorted_array_whichever_way_it_turns)
{
	struct rng rng = rng_make(test_seed(50 + (unsigned)_i));
	struct iter *parts[PARTS_MAX], *it;
	struct model m = {0};
	size_t n, i;

	model_fill(&m, &rng, 400, 10);
	n = deal(&m, &rng, false, parts);
	it = merge_iter_new(parts, n);
	ck_assert_ptr_nonnull(it);
	ck_assert(!it->valid);
	i = 0;
	for (iter_first(it); it->valid; iter_next(it)) {
		struct part *p = (struct part *)parts[merge_iter_source(it)];

		check_at(it, &m, i++);
		ck_assert_ptr_eq(p->base.key.data, it->key.data);
	}
	ck_assert_uint_eq(i, m.count);
	for (iter_last(it); it->valid; iter_prev(it))
		check_at(it, &m, --i);
	ck_assert_uint_eq(i, 0);
	check_random_walk(it, &m, &rng, 2000);
	iter_free(it);
	model_free(&m);
}
END_TEST

/* Positions by index only: seeks may land on either of two equal ones. */
START_TEST(equal_entries_of_two_children_both_come_each_time)
{
	struct rng rng = rng_make(test_seed(60 + (unsigned)_i));
	struct iter *parts[PARTS_MAX], *it;
	struct model m = {0};
	size_t n, at, round;

	model_fill(&m, &rng, 300, 10);
	n = deal(&m, &rng, true, parts);
	it = merge_iter_new(parts, n);
	for (round = 0; round < 30; round++) {
		size_t steps = 1 + rng_below(&rng, 400);

		iter_first(it);
		at = 0;
		while (steps--) {
			check_at(it, &m, at);
			if (at && rng_below(&rng, 3) == 0) {
				iter_prev(it);
				at--;
			} else if (at + 1 < m.count) {
				iter_next(it);
				at++;
			}
		}
		check_at(it, &m, at);
	}
	iter_free(it);
	model_free(&m);
}
END_TEST

START_TEST(error_of_any_child_stops_the_merge)
{
	struct rng rng = rng_make(test_seed(70));
	int after;

	for (after = 0; after < 60; after++) {
		struct iter *parts[PARTS_MAX], *it;
		struct model m = {0};
		size_t n, i = 0, bad;

		model_fill(&m, &rng, 200, 10);
		n = deal(&m, &rng, false, parts);
		bad = rng_below(&rng, n);
		((struct part *)parts[bad])->fail_after = after;
		it = merge_iter_new(parts, n);
		if (after % 2) {
			for (iter_first(it); it->valid; iter_next(it))
				check_at(it, &m, i++);
		} else {
			for (iter_last(it); it->valid; iter_prev(it))
				check_at(it, &m, m.count - 1 - i++);
		}
		if (((struct part *)parts[bad])->base.err)
			ck_assert_int_eq(it->err, -EIO);
		else
			ck_assert_uint_eq(i, m.count);
		/* the error is over when the cause is */
		((struct part *)parts[bad])->fail_after = -1;
		iter_first(it);
		check_at(it, &m, 0);
		iter_free(it);
		model_free(&m);
	}
}
END_TEST

START_TEST(skipping_a_child_jumps_over_its_entries_only)
{
	struct rng rng = rng_make(test_seed(80 + (unsigned)_i));
	struct iter *parts[PARTS_MAX], *it;
	struct model m = {0};
	size_t n, round;

	model_fill(&m, &rng, 400, 10);
	n = deal(&m, &rng, false, parts);
	it = merge_iter_new(parts, n);
	for (round = 0; round < 200; round++) {
		size_t skip = rng_below(&rng, n);
		bool back = round & 1;
		size_t from = rng_below(&rng, m.count);
		size_t to = back ? rng_below(&rng, from + 1)
				 : from + rng_below(&rng, m.count - from);
		struct part *p = (struct part *)parts[skip];
		struct model_entry *target = &m.e[to];
		size_t i, k;

		if (back)
			iter_seek_for_prev(it, m.e[from].key, m.e[from].tag);
		else
			iter_seek(it, m.e[from].key, m.e[from].tag);
		merge_iter_skip_child(it, skip, target->key, target->tag);
		/* what must come: all but the skipped child's in between */
		for (i = from; i < m.count; i += back ? (size_t)-1 : 1) {
			bool of_skipped = false;

			for (k = 0; k < p->m.count; k++)
				of_skipped |=
					p->m.e[k].key.data == m.e[i].key.data &&
					p->m.e[k].tag == m.e[i].tag;
			if (of_skipped && (back ? i > to : i < to))
				continue;
			check_entry(it, &m.e[i]);
			if (back)
				iter_prev(it);
			else
				iter_next(it);
		}
		ck_assert(!it->valid && !it->err);
	}
	iter_free(it);
	model_free(&m);
}
END_TEST

START_TEST(one_child_is_returned_as_it_is_and_none_is_empty)
{
	struct iter *one = &part_new()->base, *it;

	it = merge_iter_new(&one, 1);
	ck_assert_ptr_eq(it, one);
	iter_free(it);
	it = merge_iter_new(NULL, 0);
	ck_assert_ptr_nonnull(it);
	iter_first(it);
	ck_assert(!it->valid && !it->err);
	iter_seek_for_prev(it, slice_str("a"), 0);
	ck_assert(!it->valid && !it->err);
	iter_free(it);
}
END_TEST

START_TEST(children_are_not_touched_before_the_first_positioning)
{
	struct part *p[3];
	struct iter *parts[3], *it;
	size_t moves = 0, i;

	for (i = 0; i < 3; i++) {
		p[i] = part_new();
		p[i]->moves = &moves;
		parts[i] = &p[i]->base;
	}
	it = merge_iter_new(parts, 3);
	ck_assert_uint_eq(moves, 0);
	iter_first(it);
	ck_assert_uint_eq(moves, 3);
	iter_free(it);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("merge_iter");
	TCase *tc = tcase_create("merge_iter");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
		tc, merge_is_the_sorted_array_whichever_way_it_turns, 0, 6);
	tcase_add_loop_test(
		tc, equal_entries_of_two_children_both_come_each_time, 0, 6);
	tcase_add_test(tc, error_of_any_child_stops_the_merge);
	tcase_add_loop_test(tc, skipping_a_child_jumps_over_its_entries_only, 0,
			    4);
	tcase_add_test(tc, one_child_is_returned_as_it_is_and_none_is_empty);
	tcase_add_test(tc,
		       children_are_not_touched_before_the_first_positioning);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
