/* SPDX-License-Identifier: MIT */
/* test_version_set.c - the manifest and what survives of it; files of tables
 * that are never read. */
#include <pthread.h>
#include <unistd.h>

#include "tree_test.h"

static struct tree t;

/* ---- a script of edits, and what the state is after each ------------------
 */

#define STEPS   9
#define BYTES   10
#define NUMBERS 200 /* larger than any file number of the script */

struct state {
	unsigned level[NUMBERS]; /* 0: not there, else level + 1 */
	uint64_t log_number, last_seq;
	bool snapshot;
};

static int try_put_bytes(uint64_t number)
{
	char name[FILE_NAME_MAX], data[BYTES] = {0};
	struct env_writer *w;
	int err;

	file_name(name, FILE_SST, number);
	err = env_writer_create(t.dir, name, &w);
	if (err)
		return err;
	err = env_writer_append(w, data, sizeof(data));
	if (err) {
		env_writer_abort(w);
		return err;
	}
	err = env_writer_finish(w);
	return err ? err : env_dir_sync(t.dir);
}

static void add(struct version_edit *e, struct state *s, uint64_t number,
		unsigned level, uint64_t seq)
{
	char key[16];
	struct sst_meta m;

	snprintf(key, sizeof(key), "k%04d", (int)number);
	m = fake_meta(number, key, key, seq, BYTES);
	ck_assert_uint_lt(number, NUMBERS);
	OK(version_edit_add(e, level, &m));
	s->level[number] = level + 1;
	if (s->last_seq < seq)
		s->last_seq = seq;
}

static void drop(struct version_edit *e, struct state *s, uint64_t number)
{
	OK(version_edit_delete(e, s->level[number] - 1, number));
	s->level[number] = 0;
}

static uint64_t any(const struct state *s)
{
	uint64_t i;

	for (i = 1; i < NUMBERS; i++)
		if (s->level[i])
			return i;
	return 0;
}

/* Step i: 0, or the error of the first call that failed. *after: the state if
 * it is applied. */
static int step(int i, struct state *after)
{
	struct version_edit e = {0};
	uint64_t number = version_set_new_file(&t.vs), old;
	int err;

	err = try_put_bytes(number);
	if (err)
		return err;
	old = any(after);
	if (i % 2 && old) {
		drop(&e, after, old);
		if (i % 4 == 1) /* moved down */
			add(&e, after, old, 5, after->last_seq);
	}
	add(&e, after, number, (unsigned)i % 3, (uint64_t)i + 1);
	if (i % 3 == 0) {
		after->snapshot = !after->snapshot;
		OK(version_edit_snapshot(&e, after->snapshot, "named",
					 after->last_seq));
	}
	e.has_log_number = e.has_last_seq = true;
	e.log_number = after->log_number = (uint64_t)i;
	e.last_seq = after->last_seq;
	err = version_set_apply(&t.vs, &e, NULL, NULL);
	version_edit_release(&e);
	version_set_delete_obsolete(&t.vs);
	return err;
}

static struct state seen(void)
{
	const struct version *v = t.vs.current;
	struct state s = {0};
	unsigned level;
	size_t i;

	for (level = 0; level < LSM_LEVELS; level++)
		for (i = 0; i < v->count[level]; i++)
			s.level[v->level[level][i]->meta.number] = level + 1;
	s.log_number = t.vs.log_number;
	s.last_seq = t.vs.last_seq;
	s.snapshot = t.vs.named_count;
	return s;
}

static bool same(const struct state *a, const struct state *b)
{
	return !memcmp(a->level, b->level, sizeof(a->level)) &&
	       a->log_number == b->log_number && a->last_seq == b->last_seq &&
	       a->snapshot == b->snapshot;
}

/* Runs the script; the states after each step go to state[1..]. Returns how
 * many steps were acknowledged; *tried also counts one that failed. */
static int script(struct state *state, int *tried)
{
	int i;

	*tried = 0;
	for (i = 0; i < STEPS; i++) {
		state[i + 1] = state[i];
		*tried = i + 1;
		if (step(i, &state[i + 1]))
			return i;
	}
	return i;
}

static void power_loss_everywhere(enum env_fault_keep keep, bool torn)
{
	struct state state[STEPS + 1];
	uint64_t nth;

	for (nth = 0;; nth++) {
		int acked = 0, tried = 0, k, err;
		bool off, opened;

		memset(state, 0, sizeof(state));
		tree_init(&t);
		env_fault_power_off_at(t.env, nth);
		err = tree_try_open(&t, true, false);
		opened = !err;
		if (opened) {
			acked = script(state, &tried);
			tree_close(&t);
		}
		off = env_fault_is_off(t.env);
		env_fault_restart(t.env, keep, torn, nth + 1);
		err = tree_try_open(&t, true, false);
		ck_assert_msg(!err, "call %d: open gives %d", (int)nth, err);
		for (k = tried; k >= acked; k--) {
			struct state now = seen();

			if (same(&now, &state[k]))
				break;
		}
		ck_assert_msg(k >= acked,
			      "call %d: not a state of step %d to %d", (int)nth,
			      acked, tried);
		/* and it goes on from there */
		OK(version_set_delete_strays(&t.vs));
		state[0] = state[k];
		OK(step(2, &state[0]));
		tree_close(&t);
		tree_release(&t);
		if (!off)
			break;
	}
	ck_assert_uint_gt(nth, 50);
}

START_TEST(power_loss_that_keeps_nothing_unsynced_loses_no_acknowledged_edit)
{
	power_loss_everywhere(ENV_KEEP_NONE, false);
}
END_TEST

START_TEST(power_loss_that_keeps_all_loses_no_acknowledged_edit)
{
	power_loss_everywhere(ENV_KEEP_ALL, true);
}
END_TEST

START_TEST(power_loss_that_keeps_some_loses_no_acknowledged_edit)
{
	power_loss_everywhere(ENV_KEEP_RANDOM, true);
	power_loss_everywhere(ENV_KEEP_SHUFFLED, true);
}
END_TEST

/* ---- errors ---------------------------------------------------------------
 */

static int count_tables(void *arg, const char *name, uint64_t bytes)
{
	uint64_t number;

	if (file_name_parse(name, &number) == FILE_SST)
		(*(size_t *)arg)++;
	return 0;
}

static void assert_no_table_too_many(const struct state *s)
{
	size_t n = 0, live = 0, i;

	for (i = 0; i < NUMBERS; i++)
		live += s->level[i] != 0;
	OK(env_dir_list(t.dir, count_tables, &n));
	ck_assert_uint_eq(n, live);
}

START_TEST(after_an_error_and_resume_nothing_acknowledged_is_missing)
{
	uint64_t nth, start;

	for (nth = 0;; nth++) {
		struct state now, good = {0}, next;
		bool failed = false;
		int i, err;

		tree_init(&t);
		OK(tree_try_open(&t, true, false));
		start = env_fault_calls(t.env);
		env_fault_fail_at(t.env, start + nth, nth & 1 ? -ENOSPC : -EIO,
				  true);
		for (i = 0; i < STEPS; i++) {
			next = good;
			err = step(i, &next);
			if (!err) {
				good = next;
				continue;
			}
			failed = true;
			ck_assert(err == -EIO || err == -ENOSPC);
			now = seen();
			ck_assert(same(&now, &good));
			err = t.vs.manifest_err;
			if (err) {
				/* it stays so until the cause is gone */
				ck_assert_int_ne(version_set_resume(&t.vs), 0);
				ck_assert_int_ne(step(i, &next), 0);
			}
			env_fault_clear(t.env);
			OK(version_set_resume(&t.vs));
			version_set_delete_obsolete(&t.vs);
		}
		env_fault_clear(t.env);
		tree_close(&t);
		OK(tree_try_open(&t, false, false));
		now = seen();
		ck_assert_msg(same(&now, &good), "call %d", (int)nth);
		OK(version_set_delete_strays(&t.vs));
		assert_no_table_too_many(&good);
		tree_close(&t);
		tree_release(&t);
		if (!failed && nth > 50)
			break;
	}
}
END_TEST

START_TEST(tables_of_a_failed_edit_are_deleted_only_after_resume)
{
	struct version_edit e = {0};
	struct state s = {0};
	uint64_t old, number;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	OK(step(0, &s));
	old = any(&s);
	number = version_set_new_file(&t.vs);
	put_bytes(t.dir, number, BYTES);
	env_fault_fail_at(t.env, env_fault_calls(t.env) + 1, -EIO, true);
	add(&e, &s, number, 2, 7);
	OK(version_edit_delete(&e, 0, old));
	ck_assert_int_ne(version_set_apply(&t.vs, &e, NULL, NULL), 0);
	env_fault_clear(t.env);
	version_set_delete_obsolete(&t.vs);
	ck_assert(file_exists(t.dir, old) && file_exists(t.dir, number));
	OK(version_set_resume(&t.vs));
	version_set_delete_obsolete(&t.vs);
	ck_assert(file_exists(t.dir, old) && !file_exists(t.dir, number));
	version_edit_release(&e);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(deleted_table_lives_as_long_as_a_version_that_holds_it)
{
	struct version_edit e = {0};
	struct state s = {0};
	struct version *v;
	uint64_t number;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	OK(step(0, &s));
	number = any(&s);
	v = t.vs.current;
	version_ref(v);
	drop(&e, &s, number);
	OK(version_set_apply(&t.vs, &e, NULL, NULL));
	version_set_delete_obsolete(&t.vs);
	ck_assert(file_exists(t.dir, number));
	version_put(v);
	version_set_delete_obsolete(&t.vs);
	ck_assert(!file_exists(t.dir, number));
	version_edit_release(&e);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(edit_that_does_not_fit_changes_nothing)
{
	struct version_edit e = {0};
	struct state s = {0}, before;
	struct sst_meta m;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	OK(step(1, &s));
	before = seen();
	OK(version_edit_delete(&e, 3, 77));
	ck_assert_int_eq(version_set_apply(&t.vs, &e, NULL, NULL), -EINVAL);
	version_edit_release(&e);
	m = fake_meta(150, "a", "m", 1, BYTES);
	OK(version_edit_add(&e, 2, &m));
	m = fake_meta(151, "m", "z", 1, BYTES);
	OK(version_edit_add(&e, 2, &m));
	ck_assert_int_eq(version_set_apply(&t.vs, &e, NULL, NULL), -EINVAL);
	version_edit_release(&e);
	OK(version_edit_snapshot(&e, false, "nobody", 0));
	ck_assert_int_eq(version_set_apply(&t.vs, &e, NULL, NULL), -EINVAL);
	version_edit_release(&e);
	s = seen();
	ck_assert(same(&s, &before));
	ck_assert_int_eq(t.vs.manifest_err, 0);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

/* ---- opening --------------------------------------------------------------
 */

START_TEST(store_that_is_not_there_is_not_made_unasked)
{
	tree_init(&t);
	OK(env_dir_open(t.env, "/db", ENV_DIR_CREATE, &t.dir));
	env_dir_close(t.dir);
	ck_assert_int_eq(tree_try_open(&t, false, false), -ENOENT);
	ck_assert_int_eq(tree_try_open(&t, false, true), -ENOENT);
	tree_release(&t);
}
END_TEST

START_TEST(lost_current_is_damage_and_no_new_store)
{
	struct state s = {0};

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	OK(step(0, &s));
	OK(env_dir_delete(t.dir, "CURRENT"));
	tree_close(&t);
	ck_assert_int_eq(tree_try_open(&t, true, false), -EUCLEAN);
	tree_release(&t);
}
END_TEST

START_TEST(missing_or_short_table_is_noticed_at_open)
{
	struct state s = {0};
	char name[FILE_NAME_MAX], path[64];

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	OK(step(0, &s));
	file_name(name, FILE_SST, any(&s));
	snprintf(path, sizeof(path), "/db/%s", name);
	OK(env_fault_truncate(t.env, path, BYTES - 1));
	tree_close(&t);
	ck_assert_int_eq(tree_try_open(&t, true, false), -EUCLEAN);
	OK(env_dir_open(t.env, "/db", 0, &t.dir));
	OK(env_dir_delete(t.dir, name));
	env_dir_close(t.dir);
	ck_assert_int_eq(tree_try_open(&t, true, false), -EUCLEAN);
	tree_release(&t);
}
END_TEST

static int add_up(void *arg, const char *name, uint64_t bytes)
{
	uint64_t *sum = arg;

	*sum = *sum * 31 + strlen(name) + bytes;
	return 0;
}

START_TEST(opening_read_only_changes_no_file)
{
	struct state s = {0}, now;
	uint64_t before = 0, after = 0;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	OK(step(0, &s));
	OK(step(1, &s));
	OK(env_dir_list(t.dir, add_up, &before));
	tree_close(&t);
	OK(tree_try_open(&t, false, true));
	now = seen();
	ck_assert(same(&now, &s));
	OK(env_dir_list(t.dir, add_up, &after));
	ck_assert_uint_eq(before, after);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(store_keeps_its_uuid_and_reuses_no_number)
{
	uint8_t uuid[UUID_BYTES];
	uint64_t number;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	memcpy(uuid, t.vs.uuid, UUID_BYTES);
	number = version_set_new_file(&t.vs) + 1000;
	put_bytes(t.dir, number, 3); /* a stray */
	tree_close(&t);
	OK(tree_try_open(&t, true, false));
	ck_assert(!memcmp(uuid, t.vs.uuid, UUID_BYTES));
	ck_assert_uint_gt(version_set_new_file(&t.vs), number);
	OK(version_set_delete_strays(&t.vs));
	ck_assert(!file_exists(t.dir, number));
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(damaged_manifest_is_refused_or_gives_an_earlier_state)
{
	struct state state[STEPS + 1];
	uint64_t bytes, at, refused = 0;
	char name[FILE_NAME_MAX], path[64];
	int tried;

	memset(state, 0, sizeof(state));
	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	ck_assert_int_eq(script(state, &tried), STEPS);
	bytes = wal_writer_bytes(t.vs.manifest);
	file_name(name, FILE_MANIFEST, t.vs.manifest_number);
	snprintf(path, sizeof(path), "/db/%s", name);
	tree_close(&t);
	for (at = 0; at < bytes; at++) {
		int err, k = 0;

		OK(env_fault_corrupt(t.env, path, at, 0x10));
		err = tree_try_open(&t, false, true);
		if (!err) {
			struct state now = seen();

			for (k = STEPS; k >= 0; k--)
				if (same(&now, &state[k]))
					break;
			tree_close(&t);
			ck_assert_int_ge(k, 0);
		} else {
			ck_assert(err == -EUCLEAN || err == -EPROTONOSUPPORT);
			refused++;
		}
		OK(env_fault_corrupt(t.env, path, at, 0x10));
	}
	/* only the last record can be taken for a torn one */
	ck_assert_uint_gt(refused, bytes / 2);
	OK(tree_try_open(&t, false, true));
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(damaged_current_is_refused)
{
	int i;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	tree_close(&t);
	for (i = 0; i < 16; i++) {
		OK(env_fault_corrupt(t.env, "/db/CURRENT", (uint64_t)i, 1));
		ck_assert_int_eq(tree_try_open(&t, true, false), -EUCLEAN);
		OK(env_fault_corrupt(t.env, "/db/CURRENT", (uint64_t)i, 1));
	}
	OK(tree_try_open(&t, true, false));
	tree_close(&t);
	tree_release(&t);
}
END_TEST

START_TEST(manifest_is_written_afresh_when_it_has_grown)
{
	char key[4000];
	uint64_t first, number = 0;
	int i;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	first = t.vs.manifest_number;
	memset(key, 'k', sizeof(key));
	for (i = 0; i < 700; i++) {
		struct version_edit e = {0};
		struct sst_meta m = {.file_bytes = BYTES, .entries = 1};

		if (number)
			OK(version_edit_delete(&e, 6, number));
		m.number = number = version_set_new_file(&t.vs);
		OK(buf_append(&m.smallest, key, sizeof(key)));
		OK(buf_append(&m.largest, key, sizeof(key)));
		if (i == 0 || i == 699)
			put_bytes(t.dir, number, BYTES);
		OK(version_edit_add(&e, 6, &m));
		OK(version_set_apply(&t.vs, &e, NULL, NULL));
		version_edit_release(&e);
	}
	ck_assert_uint_ne(t.vs.manifest_number, first);
	ck_assert_uint_lt(wal_writer_bytes(t.vs.manifest), 5u << 20);
	tree_close(&t);
	OK(tree_try_open(&t, false, false));
	ck_assert_uint_eq(t.vs.current->count[6], 1);
	ck_assert_uint_eq(t.vs.current->level[6][0]->meta.number, number);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

/* ---- threads --------------------------------------------------------------
 */

static _Atomic bool stop;

static void *holder(void *arg)
{
	uint64_t s = (uint64_t)(uintptr_t)&arg | 1, sum = 0;

	while (!atomic_load(&stop)) {
		struct version *v;
		unsigned level;
		size_t i;

		mutex_lock(&t.mutex);
		v = t.vs.current;
		version_ref(v);
		mutex_unlock(&t.mutex);
		for (level = 0; level < LSM_LEVELS; level++)
			for (i = 0; i < v->count[level]; i++)
				sum += v->level[level][i]->meta.number;
		if (rnd(&s) % 4 == 0)
			usleep(100);
		version_put(v);
		version_set_delete_obsolete(&t.vs);
	}
	return (void *)(uintptr_t)(sum & 1);
}

static void *applier(void *arg)
{
	unsigned level = (unsigned)(uintptr_t)arg;
	uint64_t number = 0;
	int i;

	for (i = 0; i < 200; i++) {
		struct version_edit e = {0};
		struct sst_meta m;

		if (number)
			OK(version_edit_delete(&e, level, number));
		number = version_set_new_file(&t.vs);
		OK(try_put_bytes(number));
		m = fake_meta(number, "a", "z", (uint64_t)i, BYTES);
		OK(version_edit_add(&e, level, &m));
		OK(version_set_apply(&t.vs, &e, NULL, NULL));
		version_edit_release(&e);
	}
	return NULL;
}

START_TEST(versions_come_and_go_under_many_threads)
{
	pthread_t a[2], h[2];
	size_t tables = 0, i;

	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	for (i = 0; i < 2; i++) {
		OK(pthread_create(&a[i], NULL, applier, (void *)(i + 1)));
		OK(pthread_create(&h[i], NULL, holder, NULL));
	}
	for (i = 0; i < 2; i++)
		OK(pthread_join(a[i], NULL));
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++)
		OK(pthread_join(h[i], NULL));
	version_set_delete_obsolete(&t.vs);
	OK(env_dir_list(t.dir, count_tables, &tables));
	ck_assert_uint_eq(tables, 2);
	tree_close(&t);
	tree_release(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("version_set");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 60);
	tcase_add_test(
		c,
		power_loss_that_keeps_nothing_unsynced_loses_no_acknowledged_edit);
	tcase_add_test(c, power_loss_that_keeps_all_loses_no_acknowledged_edit);
	tcase_add_test(c,
		       power_loss_that_keeps_some_loses_no_acknowledged_edit);
	tcase_add_test(
		c, after_an_error_and_resume_nothing_acknowledged_is_missing);
	tcase_add_test(c,
		       tables_of_a_failed_edit_are_deleted_only_after_resume);
	tcase_add_test(c,
		       deleted_table_lives_as_long_as_a_version_that_holds_it);
	tcase_add_test(c, edit_that_does_not_fit_changes_nothing);
	tcase_add_test(c, store_that_is_not_there_is_not_made_unasked);
	tcase_add_test(c, lost_current_is_damage_and_no_new_store);
	tcase_add_test(c, missing_or_short_table_is_noticed_at_open);
	tcase_add_test(c, opening_read_only_changes_no_file);
	tcase_add_test(c, store_keeps_its_uuid_and_reuses_no_number);
	tcase_add_test(c,
		       damaged_manifest_is_refused_or_gives_an_earlier_state);
	tcase_add_test(c, damaged_current_is_refused);
	tcase_add_test(c, manifest_is_written_afresh_when_it_has_grown);
	tcase_add_test(c, versions_come_and_go_under_many_threads);
	suite_add_tcase(s, c);
	return run_suite(s);
}
