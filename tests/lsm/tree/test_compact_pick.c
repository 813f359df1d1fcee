/* SPDX-License-Identifier: MIT */
/* test_compact_pick.c - the policy, on versions made by hand; no table is ever
 * opened. */
#include "tree_test.h"

#define KB 1024ull

static struct tree t;
static struct version_edit edit;
static uint64_t number;

static void setup(void)
{
	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	number = 100;
}

static void teardown(void)
{
	version_edit_release(&edit);
	tree_close(&t);
	tree_release(&t);
}

static struct sst_meta *add(unsigned level, const char *a, const char *b,
			    uint64_t seq, uint64_t bytes)
{
	struct sst_meta m = fake_meta(++number, a, b, seq, bytes);

	OK(version_edit_add(&edit, level, &m));
	return &edit.added[edit.added_count - 1].meta;
}

static void apply(void)
{
	OK(version_set_apply(&t.vs, &edit, NULL, NULL));
	version_edit_release(&edit);
}

static struct compaction *pick(void)
{
	struct compaction *c;

	mutex_lock(&t.mutex);
	c = compact_pick(&t.vs, &t.options);
	mutex_unlock(&t.mutex);
	return c;
}

static void done(struct compaction *c)
{
	mutex_lock(&t.mutex);
	compaction_free(c);
	mutex_unlock(&t.mutex);
}

static void finish(struct compaction *c)
{
	struct compact_env env = tree_env(&t);

	ck_assert(c->trivial_move);
	OK(compaction_run(&env, c, &edit));
	apply();
	done(c);
}

START_TEST(empty_tree_needs_nothing)
{
	ck_assert_ptr_null(pick());
	ck_assert_uint_eq(pending_compaction_bytes(t.vs.current, &t.options),
			  0);
}
END_TEST

START_TEST(targets_grow_from_the_last_level_up)
{
	uint64_t target[LSM_LEVELS];
	unsigned base;

	level_targets(t.vs.current, &t.options, target, &base);
	ck_assert_uint_eq(base, 6);
	ck_assert_uint_eq(target[6], t.options.level_base_bytes);
	add(6, "a", "z", 1, 1600 * KB);
	apply();
	level_targets(t.vs.current, &t.options, target, &base);
	ck_assert_uint_eq(target[6], 1600 * KB);
	ck_assert_uint_eq(target[5], 400 * KB);
	ck_assert_uint_eq(target[4], 100 * KB);
	ck_assert_uint_eq(base, 4);
}
END_TEST

START_TEST(level_no_longer_needed_stays_base_until_empty)
{
	uint64_t target[LSM_LEVELS];
	struct compaction *c;
	unsigned base;

	add(4, "a", "b", 2, 1 * KB);
	add(6, "k", "z", 1, 10 * KB);
	apply();
	level_targets(t.vs.current, &t.options, target, &base);
	ck_assert_uint_eq(base, 4);
	ck_assert_uint_eq(target[4], 0);
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 4);
	ck_assert_uint_eq(c->output_level, 5);
	finish(c);
	finish(pick());
	ck_assert_ptr_null(pick());
	level_targets(t.vs.current, &t.options, target, &base);
	ck_assert_uint_eq(base, 6);
}
END_TEST

START_TEST(level0_waits_for_its_trigger)
{
	struct compaction *c;

	add(0, "a", "m", 1, 4 * KB);
	add(0, "b", "n", 2, 4 * KB);
	add(0, "c", "o", 3, 4 * KB);
	apply();
	ck_assert_ptr_null(pick());
	add(0, "d", "p", 4, 4 * KB);
	add(6, "h", "i", 0, 4 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 0);
	ck_assert_uint_eq(c->output_level, 6);
	ck_assert_uint_eq(c->input_count[0], 4);
	ck_assert_uint_eq(c->input_count[1], 1);
	ck_assert(!c->trivial_move);
	ck_assert(c->bottommost);
	/* its inputs are taken */
	ck_assert_ptr_null(pick());
	done(c);
	c = pick();
	ck_assert_ptr_nonnull(c);
	done(c);
}
END_TEST

/* Taken and given back. */
static void picks_level0(size_t tables)
{
	struct compaction *c = pick();

	ck_assert_ptr_nonnull(c);
	ck_assert(!t.vs.level0_waits);
	ck_assert_uint_eq(c->level, 0);
	ck_assert_uint_eq(c->input_count[0], tables);
	done(c);
}

static void add_to_level0(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		add(0, "a", "p", i + 1, 1 * KB);
	apply();
}

START_TEST(level0_waits_for_company_while_it_grows)
{
	t.vs.level0_grows = true;
	add(6, "a", "z", 0, 40 * KB);
	add_to_level0(11);
	ck_assert_ptr_null(pick());
	ck_assert(t.vs.level0_waits);
	/* it has stopped growing */
	t.vs.level0_grows = false;
	picks_level0(11);
	t.vs.level0_grows = true;
	add_to_level0(1);
	picks_level0(12);
}
END_TEST

START_TEST(level0_does_not_wait_below_its_trigger)
{
	t.vs.level0_grows = true;
	add(6, "a", "z", 0, 40 * KB);
	add_to_level0(3);
	ck_assert_ptr_null(pick());
	ck_assert(!t.vs.level0_waits);
}
END_TEST

START_TEST(level0_does_not_wait_for_a_small_base)
{
	t.vs.level0_grows = true;
	add(6, "a", "z", 0, 1 * KB);
	add_to_level0(4);
	picks_level0(4);
}
END_TEST

START_TEST(level0_takes_all_that_overlap_and_no_other)
{
	struct compaction *c;
	size_t i;

	add(0, "a", "f", 1, 4 * KB); /* oldest */
	add(0, "e", "k", 2, 4 * KB);
	add(0, "j", "m", 3, 4 * KB);
	add(0, "p", "s", 4, 4 * KB);
	add(0, "q", "z", 5, 4 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->input_count[0], 3);
	for (i = 0; i < 3; i++)
		ck_assert_uint_le(c->inputs[0][i]->meta.max_seq, 3);
	done(c);
}
END_TEST

START_TEST(sequential_load_is_moved)
{
	struct compaction *c;

	add(0, "a", "b", 1, 4 * KB);
	add(0, "c", "d", 2, 4 * KB);
	add(0, "e", "f", 3, 4 * KB);
	add(0, "g", "h", 4, 4 * KB);
	add(6, "A", "B", 0, 4 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->input_count[0], 4);
	ck_assert_uint_eq(c->input_count[1], 0);
	finish(c);
	ck_assert_uint_eq(t.vs.current->count[0], 0);
	ck_assert_uint_eq(t.vs.current->count[6], 5);
	ck_assert_ptr_null(pick());
}
END_TEST

START_TEST(moves_do_not_step_over_older_tables)
{
	struct compaction *c;
	size_t i;

	/* the last overlaps the first, which is older */
	add(0, "a", "b", 1, 4 * KB);
	add(0, "c", "d", 2, 4 * KB);
	add(0, "e", "f", 3, 4 * KB);
	add(0, "b", "bb", 4, 4 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert(c->trivial_move);
	ck_assert_uint_eq(c->input_count[0], 2);
	for (i = 0; i < 2; i++)
		ck_assert_uint_ne(c->inputs[0][i]->meta.max_seq, 4);
	done(c);
}
END_TEST

START_TEST(exclusive_end_touches_without_overlap)
{
	struct compaction *c;

	/* the tombstone of the first ends where the next one starts */
	add(0, "a", "c", 1, 70 * KB)->largest_exclusive = true;
	add(6, "c", "d", 0, 4 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert(c->trivial_move);
	finish(c);
	ck_assert_uint_eq(t.vs.current->count[6], 2);
}
END_TEST

START_TEST(inclusive_end_overlaps)
{
	struct compaction *c;

	add(0, "a", "c", 1, 70 * KB);
	add(6, "c", "d", 0, 4 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert(!c->trivial_move);
	ck_assert_uint_eq(c->input_count[1], 1);
	done(c);
}
END_TEST

START_TEST(full_level_gives_its_cheapest_table)
{
	struct compaction *c;

	add(6, "a", "l", 0, 800 * KB);
	add(6, "m", "n", 0, 8 * KB);
	add(6, "o", "z", 0, 800 * KB);
	add(5, "b", "c", 1, 250 * KB);
	add(5, "m", "m", 1, 250 * KB);
	add(5, "q", "r", 1, 250 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 5);
	ck_assert_uint_eq(c->input_count[0], 1);
	ck_assert_uint_eq(c->input_count[1], 1);
	ck_assert_uint_eq(c->inputs[0][0]->meta.file_bytes, 250 * KB);
	ck_assert(slice_eq(buf_slice(&c->inputs[0][0]->meta.smallest),
			   slice_str("m")));
	done(c);
}
END_TEST

START_TEST(two_compactions_share_no_table_and_no_range)
{
	struct compaction *c[8];
	size_t n = 0, i, k, a, b;

	add(6, "a", "f", 0, 400 * KB);
	add(6, "g", "l", 0, 400 * KB);
	add(6, "m", "z", 0, 400 * KB);
	add(5, "b", "c", 1, 350 * KB);
	add(5, "e", "h", 1, 350 * KB); /* overlaps the first two below */
	add(5, "p", "q", 1, 350 * KB);
	add(0, "a", "z", 5, 80 * KB);
	apply();
	while (n < 8 && (c[n] = pick()))
		n++;
	ck_assert_uint_ge(n, 2);
	ck_assert_uint_lt(n, 8);
	for (i = 0; i < n; i++)
		for (k = i + 1; k < n; k++)
			for (a = 0;
			     a < c[i]->input_count[0] + c[i]->input_count[1];
			     a++)
				for (b = 0; b < c[k]->input_count[0] +
							c[k]->input_count[1];
				     b++)
					ck_assert_ptr_ne(c[i]->inputs[0][a],
							 c[k]->inputs[0][b]);
	while (n)
		done(c[--n]);
	ck_assert_ptr_null(t.vs.running);
}
END_TEST

START_TEST(
	tombstones_in_the_last_level_are_rewritten_when_no_snapshot_holds_them)
{
	struct compaction *c;
	struct sst_meta *m = add(6, "a", "b", 50, 4 * KB);

	m->deletions = 60;
	apply();
	t.vs.oldest_snapshot = 49;
	ck_assert_ptr_null(pick());
	t.vs.oldest_snapshot = 50;
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 6);
	ck_assert_uint_eq(c->output_level, 6);
	ck_assert_uint_eq(c->input_count[0], 1);
	ck_assert_uint_eq(c->input_count[1], 0);
	ck_assert(c->bottommost && !c->trivial_move);
	ck_assert_ptr_null(pick());
	done(c);
	t.vs.oldest_snapshot = SEQ_MAX;
	c = pick();
	ck_assert_ptr_nonnull(c);
	done(c);
}
END_TEST

START_TEST(table_of_tombstones_comes_down_without_being_asked_by_size)
{
	struct compaction *c;

	add(5, "a", "b", 50, 4 * KB)->range_deletions = 200;
	add(5, "c", "d", 50, 4 * KB);
	add(6, "a", "h", 10, 300 * KB);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 5);
	ck_assert_uint_eq(c->output_level, 6);
	ck_assert(c->bottommost);
	ck_assert(slice_eq(buf_slice(&c->inputs[0][0]->meta.smallest),
			   slice_str("a")));
	done(c);
}
END_TEST

START_TEST(compaction_by_hand_reaches_the_last_level_and_ends)
{
	struct lsm_slice all = {NULL, 0};
	unsigned level;
	bool busy;
	int n = 0;

	add(0, "a", "c", 9, 4 * KB);
	add(4, "a", "b", 5, 4 * KB);
	add(5, "k", "m", 4, 4 * KB);
	apply();
	for (level = 0; level < LSM_LEVELS; level++) {
		for (;;) {
			struct compact_env env = tree_env(&t);
			struct compaction *c;
			size_t i;

			mutex_lock(&t.mutex);
			c = compact_pick_range(&t.vs, &t.options, level, all,
					       all, &busy);
			mutex_unlock(&t.mutex);
			ck_assert(!busy);
			if (!c)
				break;
			n++;
			if (!c->trivial_move) {
				/* stand in for the merge: keep the newer */
				for (i = 0; i < c->input_count[1]; i++)
					OK(version_edit_delete(
						&edit, c->output_level,
						c->inputs[1][i]->meta.number));
				c->input_count[1] = 0;
				c->trivial_move = true;
				OK(compaction_run(&env, c, &edit));
				apply();
				mutex_lock(&t.mutex);
				compaction_free(c);
				mutex_unlock(&t.mutex);
				continue;
			}
			finish(c);
		}
	}
	ck_assert_int_gt(n, 2);
	for (level = 0; level < LSM_LEVELS - 1; level++)
		ck_assert_uint_eq(t.vs.current->count[level], 0);
	ck_assert_uint_eq(t.vs.current->count[6], 2);
}
END_TEST

START_TEST(compaction_by_hand_tells_busy_from_nothing_to_do)
{
	struct compaction *a, *b;
	bool busy;

	add(5, "a", "b", 1, 4 * KB);
	add(5, "k", "m", 1, 4 * KB);
	apply();
	mutex_lock(&t.mutex);
	a = compact_pick_range(&t.vs, &t.options, 5, slice_str("a"),
			       slice_str("c"), &busy);
	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(a->input_count[0], 1);
	b = compact_pick_range(&t.vs, &t.options, 5, slice_str("a"),
			       slice_str("c"), &busy);
	ck_assert_ptr_null(b);
	ck_assert(busy);
	b = compact_pick_range(&t.vs, &t.options, 5, slice_str("c"),
			       slice_str("k"), &busy);
	ck_assert_ptr_null(b);
	ck_assert(!busy);
	compaction_free(a);
	mutex_unlock(&t.mutex);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compact_pick");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, empty_tree_needs_nothing);
	tcase_add_test(tc, targets_grow_from_the_last_level_up);
	tcase_add_test(tc, level_no_longer_needed_stays_base_until_empty);
	tcase_add_test(tc, level0_waits_for_its_trigger);
	tcase_add_test(tc, level0_waits_for_company_while_it_grows);
	tcase_add_test(tc, level0_does_not_wait_below_its_trigger);
	tcase_add_test(tc, level0_does_not_wait_for_a_small_base);
	tcase_add_test(tc, level0_takes_all_that_overlap_and_no_other);
	tcase_add_test(tc, sequential_load_is_moved);
	tcase_add_test(tc, moves_do_not_step_over_older_tables);
	tcase_add_test(tc, exclusive_end_touches_without_overlap);
	tcase_add_test(tc, inclusive_end_overlaps);
	tcase_add_test(tc, full_level_gives_its_cheapest_table);
	tcase_add_test(tc, two_compactions_share_no_table_and_no_range);
	tcase_add_test(
		tc,
		tombstones_in_the_last_level_are_rewritten_when_no_snapshot_holds_them);
	tcase_add_test(
		tc, table_of_tombstones_comes_down_without_being_asked_by_size);
	tcase_add_test(tc, compaction_by_hand_reaches_the_last_level_and_ends);
	tcase_add_test(tc, compaction_by_hand_tells_busy_from_nothing_to_do);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
