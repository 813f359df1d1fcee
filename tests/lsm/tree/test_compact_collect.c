/* SPDX-License-Identifier: MIT */
/*
 * test_compact_collect.c - which blob files are emptied, and which tables are
 * brought down for what they hide: the policy, on versions made by hand.
 */
#include "tests/lsm/tree/tree_test.h"

#define KB    1024ull
#define FILES 10

static struct tree t;
static struct version_edit edit;
static const char *const bounds[] = {"a", "b", "c", "d", "e", "f"};

static void setup(void)
{
	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	version_set_use_file(&t.vs, 10000);
	t.options.blob_file_bytes = 1024 * KB;
}

static void teardown(void)
{
	version_edit_release(&edit);
	tree_close(&t);
	tree_release(&t);
}

static void apply(void)
{
	OK(version_set_apply(&t.vs, &edit, NULL, NULL));
	version_edit_release(&edit);
}

/* Blob file 100 + i of 1000 KiB. */
static void add_blob(unsigned i, uint64_t live)
{
	struct edit_blob b = {.what = EDIT_BLOB_ADD,
			      .meta = {.number = 100 + i,
				       .file_bytes = 1000 * KB,
				       .values = 100,
				       .value_bytes = 1000 * KB},
			      .live_bytes = live};

	OK(version_edit_blob(&edit, &b));
}

/* Table i of level refers to so much of each of the files. */
static void add_table(unsigned level, unsigned i, const uint64_t bytes[FILES])
{
	char a[8], b[8];
	struct sst_meta m;

	snprintf(a, sizeof(a), "%s0", bounds[i]);
	snprintf(b, sizeof(b), "%s9", bounds[i]);
	m = fake_meta(1000 + level * 10 + i, a, b, 1 + (level ? 0 : 10 + i),
		      4 * KB);
	for (unsigned f = 0; f < FILES; f++)
		if (bytes[f])
			OK(sst_meta_add_blob(&m, 100 + f, bytes[f]));
	OK(version_edit_add(&edit, level, &m));
}

/* Four tables of the last level share the live bytes of every file. */
static void make(const unsigned live[FILES])
{
	uint64_t bytes[FILES];

	for (unsigned f = 0; f < FILES; f++) {
		bytes[f] = live[f] * KB / 4;
		if (bytes[f])
			add_blob(f, 4 * bytes[f]);
	}
	for (unsigned i = 0; i < 4; i++)
		add_table(6, i, bytes);
	apply();
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

static bool collects(const struct compaction *c, unsigned file)
{
	return collect_contains(c->collect, c->collect_count, 100 + file);
}

START_TEST(little_that_is_dead_is_left_alone)
{
	static const unsigned live[FILES] = {990, 980, 995, 990, 600,
					     990, 990, 990, 990, 990};

	make(live);
	ck_assert_ptr_null(pick());
}
END_TEST

START_TEST(level0_full_of_handles_does_not_wait_for_company)
{
	static const unsigned live[FILES] = {1000, 1000, 1000, 1000, 1000,
					     1000, 1000, 1000, 1000, 1000};
	static const uint64_t none[FILES], some[FILES] = {100 * KB};
	struct compaction *c;

	t.vs.level0_grows = true;
	make(live);
	for (unsigned i = 0; i < 3; i++)
		add_table(0, i, none);
	add_table(0, 3, some);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 0);
	ck_assert(!t.vs.level0_waits);
	done(c);
}
END_TEST

START_TEST(worst_files_are_emptied_together)
{
	static const unsigned live[FILES] = {1000, 950, 140, 900, 850,
					     900,  70,  900, 120, 900};
	struct compaction *c;
	unsigned n;

	make(live);
	/* 3270 of 6730 are dead; 140 + 70 + 120 may be moved, no more */
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 6);
	ck_assert_uint_eq(c->output_level, 6);
	ck_assert_uint_eq(c->collect_count, 3);
	ck_assert(collects(c, 2) && collects(c, 6) && collects(c, 8));
	/* small neighbours are rewritten together */
	n = (unsigned)c->input_count[0];
	ck_assert_uint_ge(n, 2);
	done(c);
}
END_TEST

START_TEST(set_stays_until_no_table_refers_to_it)
{
	static const unsigned live[FILES] = {1000, 950, 200, 900, 850,
					     900,  900, 900, 900, 400};
	static const uint64_t nothing[FILES];
	struct compaction *c;

	make(live);
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert(collects(c, 2));
	ck_assert_uint_le(c->collect_count, 2);
	done(c);
	/* now file 9 is worse, but what was begun comes first */
	OK(version_edit_delete(&edit, 6, 1060));
	OK(version_edit_delete(&edit, 6, 1061));
	add_table(6, 4, nothing);
	apply();
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert(collects(c, 2));
	ck_assert_uint_gt(c->inputs[0][0]->meta.number, 1061);
	done(c);
}
END_TEST

START_TEST(full_disk_makes_it_one_file_at_a_time)
{
	static const unsigned live[FILES] = {1000, 950, 200, 900, 850,
					     900,  100, 900, 250, 900};
	struct compaction *c;

	make(live);
	mutex_lock(&t.mutex);
	collect_give_up(&t.vs);
	mutex_unlock(&t.mutex);
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->collect_count, 1);
	ck_assert(collects(c, 6));
	done(c);
}
END_TEST

START_TEST(damaged_file_is_left_alone)
{
	static const unsigned live[FILES] = {1000, 1000, 100, 1000, 1000,
					     1000, 1000, 300, 1000, 1000};
	struct compaction *c;

	make(live);
	atomic_store(&version_find_blob(t.vs.current, 102)->file->damaged,
		     true);
	ck_assert_uint_eq(collectable_bytes(t.vs.current), 700 * KB);
	t.vs.condemned[0] = 102;
	t.vs.condemned_count = 1;
	c = pick();
	/* 700 of 8400 is too little to begin with */
	ck_assert_ptr_null(c);
	ck_assert_uint_eq(t.vs.condemned_count, 0);
}
END_TEST

START_TEST(by_hand_files_are_emptied_that_existed_before)
{
	static const unsigned live[FILES] = {1000, 950, 800, 995, 850,
					     1000, 890, 990, 990, 300};
	struct compaction *c;
	bool busy;

	make(live);
	mutex_lock(&t.mutex);
	/* file 9 is too new */
	c = compact_pick_collect(&t.vs, &t.options, 109, &busy);
	mutex_unlock(&t.mutex);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->collect_count, 1);
	ck_assert(collects(c, 2));
	mutex_lock(&t.mutex);
	compaction_free(c);
	mutex_unlock(&t.mutex);
}
END_TEST

START_TEST(hidden_bytes_bring_a_table_down_when_they_are_worth_it)
{
	static const uint64_t nothing[FILES];
	struct compaction *c;

	add_table(5, 1, nothing);
	edit.added[0].meta.range_deletions = 1;
	add_table(6, 1, nothing);
	add_table(6, 2, nothing);
	/* so much that level 5 is in use by right */
	edit.added[1].meta.file_bytes = edit.added[2].meta.file_bytes =
		150 * KB;
	apply();
	t.vs.current->level[5][0]->hides_level = 5;
	t.vs.current->level[5][0]->hides = 1 * KB;
	ck_assert_ptr_null(pick());
	t.vs.current->level[5][0]->hides = 100 * KB;
	/* an estimate of another level is none */
	t.vs.current->level[5][0]->hides_level = 4;
	ck_assert_ptr_null(pick());
	t.vs.current->level[5][0]->hides_level = 5;
	c = pick();
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->level, 5);
	ck_assert_uint_eq(c->output_level, 6);
	done(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compact_collect");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, little_that_is_dead_is_left_alone);
	tcase_add_test(tc, level0_full_of_handles_does_not_wait_for_company);
	tcase_add_test(tc, worst_files_are_emptied_together);
	tcase_add_test(tc, set_stays_until_no_table_refers_to_it);
	tcase_add_test(tc, full_disk_makes_it_one_file_at_a_time);
	tcase_add_test(tc, damaged_file_is_left_alone);
	tcase_add_test(tc, by_hand_files_are_emptied_that_existed_before);
	tcase_add_test(tc,
		       hidden_bytes_bring_a_table_down_when_they_are_worth_it);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
