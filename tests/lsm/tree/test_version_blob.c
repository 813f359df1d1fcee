/* SPDX-License-Identifier: MIT */
/*
 * test_version_blob.c - live bytes of blob files follow from the tables, in
 * memory and in the manifest, and what does not add up is refused.
 */
#include "tests/lsm/tree/tree_test.h"

static void put_blob_bytes(struct tree *t, uint64_t number, size_t bytes)
{
	char name[FILE_NAME_MAX];
	struct env_writer *w;
	void *p = calloc(1, bytes);

	file_name(name, FILE_BLOB, number);
	OK(env_writer_create(t->dir, name, &w));
	OK(env_writer_append(w, p, bytes));
	OK(env_writer_finish(w));
	OK(env_dir_sync(t->dir));
	free(p);
}

static bool blob_exists(struct tree *t, uint64_t number)
{
	char name[FILE_NAME_MAX];
	struct env_object *o;

	file_name(name, FILE_BLOB, number);
	if (env_object_open(t->dir, name, &o))
		return false;
	env_object_close(o);
	return true;
}

/* A table of level 1 for keys from a to b that refers to blob files. */
static int add_table(struct version_edit *e, struct tree *t, uint64_t number,
		     const char *a, const char *b, uint64_t blob,
		     uint64_t bytes)
{
	struct sst_meta m = fake_meta(number, a, b, number, 100);

	put_bytes(t->dir, number, 100);
	OK(sst_meta_add_blob(&m, blob, bytes));
	return version_edit_add(e, 1, &m);
}

static void add_blob(struct version_edit *e, struct tree *t, uint64_t number,
		     uint64_t value_bytes, uint64_t live)
{
	struct edit_blob b = {
		.what = EDIT_BLOB_ADD,
		.meta = {.number = number,
			 .file_bytes = 500,
			 .values = 3,
			 .value_bytes = value_bytes},
		.live_bytes = live,
	};

	put_blob_bytes(t, number, 500);
	OK(version_edit_blob(e, &b));
}

static int apply(struct tree *t, struct version_edit *e)
{
	int err = version_set_apply(&t->vs, e, NULL, NULL);

	version_edit_release(e);
	version_set_delete_obsolete(&t->vs);
	return err;
}

static uint64_t live(struct tree *t, uint64_t number)
{
	struct version_blob *b = version_find_blob(t->vs.current, number);

	return b ? b->live : 0;
}

/* Tables 100 and 101 with 300 and 200 bytes in blob file 200 of 600. */
static void make_tree(struct tree *t)
{
	struct version_edit e = {0};

	tree_init(t);
	OK(tree_try_open(t, true, false));
	version_set_use_file(&t->vs, 1000);
	add_blob(&e, t, 200, 600, 600);
	OK(add_table(&e, t, 100, "a", "c", 200, 300));
	OK(add_table(&e, t, 101, "e", "g", 200, 200));
	OK(apply(t, &e));
	ck_assert_uint_eq(live(t, 200), 500);
}

static void reopen(struct tree *t)
{
	tree_close(t);
	OK(tree_try_open(t, false, false));
}

START_TEST(live_bytes_follow_the_tables_and_survive_reopening)
{
	struct version_edit e = {0};
	struct tree t;

	make_tree(&t);
	reopen(&t);
	ck_assert_uint_eq(live(&t, 200), 500);
	/* dropped unread, in an edit that says nothing of blob files */
	OK(version_edit_delete(&e, 1, 100));
	OK(apply(&t, &e));
	ck_assert_uint_eq(live(&t, 200), 200);
	ck_assert_uint_eq(t.vs.current->blob_live_bytes, 200);
	ck_assert(blob_exists(&t, 200));
	reopen(&t);
	ck_assert_uint_eq(live(&t, 200), 200);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(file_without_live_bytes_goes_with_its_last_version)
{
	struct version_edit e = {0};
	struct version *held;
	struct tree t;

	make_tree(&t);
	held = t.vs.current;
	version_ref(held);
	OK(version_edit_delete(&e, 1, 100));
	OK(version_edit_delete(&e, 1, 101));
	OK(apply(&t, &e));
	ck_assert_uint_eq(t.vs.current->blob_count, 0);
	ck_assert(blob_exists(&t, 200));
	version_put(held);
	version_set_delete_obsolete(&t.vs);
	ck_assert(!blob_exists(&t, 200));
	reopen(&t);
	ck_assert_uint_eq(t.vs.current->blob_count, 0);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(moved_table_changes_nothing)
{
	struct version_edit e = {0};
	struct sst_meta m = {0};
	struct tree t;

	make_tree(&t);
	OK(sst_meta_copy(&m, &t.vs.current->level[1][0]->meta));
	OK(version_edit_delete(&e, 1, 100));
	OK(version_edit_add(&e, 2, &m));
	OK(apply(&t, &e));
	ck_assert_uint_eq(live(&t, 200), 500);
	reopen(&t);
	ck_assert_uint_eq(live(&t, 200), 500);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(references_that_do_not_fit_are_refused)
{
	struct version_edit e = {0};
	struct tree t;

	make_tree(&t);
	/* to a file that is not there */
	OK(add_table(&e, &t, 102, "i", "k", 201, 10));
	ck_assert_int_eq(apply(&t, &e), -EINVAL);
	/* to more than can be counted */
	OK(add_table(&e, &t, 103, "i", "k", 200, UINT64_MAX - 499));
	ck_assert_int_eq(apply(&t, &e), -EINVAL);
	/* a file that is there already */
	add_blob(&e, &t, 201, 10, 10);
	e.blobs[0].meta.number = 200;
	ck_assert_int_eq(apply(&t, &e), -EINVAL);
	ck_assert_uint_eq(live(&t, 200), 500);
	/* and none of it is in the manifest */
	reopen(&t);
	ck_assert_uint_eq(live(&t, 200), 500);
	OK(version_set_delete_strays(&t.vs));
	ck_assert(blob_exists(&t, 200));
	ck_assert(!blob_exists(&t, 201));
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(shared_values_count_for_each_table)
{
	struct version_edit e = {0};
	struct tree t;

	make_tree(&t);
	OK(add_table(&e, &t, 102, "i", "k", 200, 300));
	OK(apply(&t, &e));
	ck_assert_uint_eq(live(&t, 200), 800);
	ck_assert_uint_eq(t.vs.current->blob_live_bytes, 600);
	reopen(&t);
	ck_assert_uint_eq(live(&t, 200), 800);
	OK(version_edit_delete(&e, 1, 100));
	OK(version_edit_delete(&e, 1, 101));
	OK(apply(&t, &e));
	ck_assert_uint_eq(live(&t, 200), 300);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

static int pin(struct tree *t, struct blob_pins *p, uint64_t file)
{
	int err;

	mutex_lock(t->vs.mutex);
	err = blob_pins_add(p, file);
	mutex_unlock(t->vs.mutex);
	return err;
}

static void unpin(struct tree *t, struct blob_pins *p)
{
	mutex_lock(t->vs.mutex);
	blob_pins_release(p);
	mutex_unlock(t->vs.mutex);
}

static void delete_tables(struct tree *t)
{
	struct version_edit e = {0};

	OK(version_edit_delete(&e, 1, 100));
	OK(version_edit_delete(&e, 1, 101));
	OK(apply(t, &e));
}

START_TEST(pinned_file_stays_without_live_bytes)
{
	struct version_edit e = {0};
	struct tree t;
	struct blob_pins p = {.vs = &t.vs}, q = {.vs = &t.vs};

	make_tree(&t);
	OK(pin(&t, &p, 200));
	OK(pin(&t, &p, 200)); /* once is enough */
	ck_assert_uint_eq(blob_pin_count(&t.vs, 200), 1);
	ck_assert_int_eq(pin(&t, &p, 201), LSM_NOTFOUND);
	mutex_lock(t.vs.mutex);
	OK(blob_pins_join(&q, &p));
	mutex_unlock(t.vs.mutex);
	delete_tables(&t);
	ck_assert_uint_eq(t.vs.current->blob_count, 1);
	ck_assert_uint_eq(live(&t, 200), 0);
	unpin(&t, &p);
	ck_assert(!t.vs.dead_blobs);
	OK(apply(&t, &e));
	ck_assert_uint_eq(t.vs.current->blob_count, 1);
	unpin(&t, &q);
	ck_assert(t.vs.dead_blobs);
	/* the next edit, whatever it is about */
	OK(apply(&t, &e));
	ck_assert_uint_eq(t.vs.current->blob_count, 0);
	ck_assert(!blob_exists(&t, 200));
	ck_assert_int_eq(pin(&t, &p, 200), LSM_NOTFOUND);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

/* Where the process ends the pins do; what they kept is in the manifest. */
START_TEST(file_that_was_pinned_is_there_after_reopening)
{
	struct version_edit e = {0};
	struct tree t;
	struct blob_pins p = {.vs = &t.vs};

	make_tree(&t);
	OK(pin(&t, &p, 200));
	delete_tables(&t);
	free(p.files);
	reopen(&t);
	ck_assert_uint_eq(t.vs.current->blob_count, 1);
	OK(add_table(&e, &t, 103, "a", "b", 200, 10));
	OK(apply(&t, &e));
	ck_assert_uint_eq(live(&t, 200), 10);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

/* The edit that takes the file out may be in the manifest or not. */
START_TEST(file_of_an_edit_in_doubt_cannot_be_pinned)
{
	struct version_edit e = {0};
	struct tree t;
	struct blob_pins p = {.vs = &t.vs};

	make_tree(&t);
	env_fault_fail_at(t.env, env_fault_calls(t.env) + (unsigned)_i, -EIO,
			  false);
	OK(version_edit_delete(&e, 1, 100));
	OK(version_edit_delete(&e, 1, 101));
	ck_assert_int_eq(apply(&t, &e), -EIO);
	env_fault_clear(t.env);
	ck_assert_int_eq(pin(&t, &p, 200), LSM_NOTFOUND);
	OK(version_set_resume(&t.vs));
	OK(pin(&t, &p, 200));
	delete_tables(&t);
	ck_assert_uint_eq(t.vs.current->blob_count, 1);
	unpin(&t, &p);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(missing_or_cut_blob_file_is_noticed_at_open)
{
	char name[FILE_NAME_MAX];
	struct tree t;

	make_tree(&t);
	tree_close(&t);
	OK(env_dir_open(t.env, "/db", 0, &t.dir));
	file_name(name, FILE_BLOB, 200);
	OK(env_dir_delete(t.dir, name));
	if (_i)
		put_blob_bytes(&t, 200, 499);
	env_dir_close(t.dir);
	ck_assert_int_eq(tree_try_open(&t, false, false), -EUCLEAN);
	tree_release(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("version blob");
	TCase *t = tcase_create("all");

	tcase_add_test(t, live_bytes_follow_the_tables_and_survive_reopening);
	tcase_add_test(t, file_without_live_bytes_goes_with_its_last_version);
	tcase_add_test(t, moved_table_changes_nothing);
	tcase_add_test(t, references_that_do_not_fit_are_refused);
	tcase_add_test(t, shared_values_count_for_each_table);
	tcase_add_test(t, pinned_file_stays_without_live_bytes);
	tcase_add_test(t, file_that_was_pinned_is_there_after_reopening);
	tcase_add_loop_test(t, file_of_an_edit_in_doubt_cannot_be_pinned, 0, 2);
	tcase_add_loop_test(t, missing_or_cut_blob_file_is_noticed_at_open, 0,
			    2);
	suite_add_tcase(s, t);
	return run_suite(s);
}
