/* SPDX-License-Identifier: MIT */
/*
 * test_power_blobs.c - values in blob files while the power goes, or the disk
 * refuses, at every call of what moves or copies them: collection, checkpoints,
 * named snapshots, repair.
 *
 * Each scene makes the same durable store on a fresh disk, arms the fault at
 * the n-th call of one piece of work, and judges what is found: the state of
 * before, all of it, sound, writable, and the named snapshot's too. The work
 * is done again afterwards and must then succeed.
 *
 * Every third call is tried, with TEST_LONG=1 each, with DB_POWER_STEP=n every
 * n-th.
 */
#include "lsm/env/env.h"
#include "tests/lsm/db/db_check.h"

#define PATH   "/store"
#define COPY   "/copy"
#define KEYS   160
#define VALUE  400
#define ROUNDS 4 /* of overwriting a fifth */

struct scene {
	struct lsm_env *env;
	struct lsm_options options;
	struct lsm_db *db;
	unsigned now[KEYS];  /* version of each key; 0: absent */
	unsigned then[KEYS]; /* under the name "then" */
	bool named, named_unsure;
};

static const struct lsm_slice none;

/* ---- the store ---- */

static void print_log(void *arg, enum lsm_log_level level, const char *msg)
{
	fprintf(stderr, "# %s\n", msg);
}

static struct lsm_slice value_of(unsigned i, unsigned v, char buf[VALUE])
{
	uint64_t seed = i * 1000 + v;

	/* Every other one compresses. */
	for (unsigned k = 0; k < VALUE; k += 8) {
		uint64_t x = i % 2 && k ? seed : rnd(&seed);

		memcpy(buf + k, &x, 8);
	}
	return lsm_slice(buf, i % 5 == 4 ? 20 : VALUE - i);
}

static void put(struct scene *s, unsigned i, unsigned v)
{
	char key[16], buf[VALUE];

	if (v)
		ck_ok(lsm_put(s->db, model_key(key, i), value_of(i, v, buf)));
	else
		ck_ok(lsm_delete(s->db, model_key(key, i)));
	s->now[i] = v;
}

/* Straight into a blob file that only the log knows of. */
static void put_bulk(struct scene *s, unsigned v, unsigned from)
{
	struct lsm_batch *b = lsm_batch_new();
	char key[16], buf[VALUE];

	ck_assert_ptr_nonnull(b);
	for (unsigned i = from; i < from + 50; i++) {
		ck_ok(lsm_batch_put(b, model_key(key, i), value_of(i, v, buf)));
		s->now[i] = v;
	}
	ck_ok(lsm_write(s->db, b, NULL));
	lsm_batch_free(b);
}

static void scene_open(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->env = env_fault_new();
	ck_assert_ptr_nonnull(s->env);
	s->options = (struct lsm_options){
		.env = s->env,
		.write_buffer_bytes = 32 << 10,
		.memory_bytes = 2 << 20,
		.block_bytes = 512,
		.table_bytes = 2048,
		.level_base_bytes = 4096,
		.level_multiplier = 2,
		.level0_compact_trigger = 2,
		.no_background_compaction = true,
		.wal_sync_interval_ms = UINT32_MAX,
		.blob_bytes = 100,
		.blob_file_bytes = 8192,
		.blob_direct_bytes = 4096,
	};
	if (getenv("DB_LOG")) {
		s->options.log = print_log;
		s->options.log_level = LSM_LOG_DEBUG;
	}
	ck_ok(lsm_open(PATH, &s->options, &s->db));
	for (unsigned i = 0; i < KEYS; i++)
		put(s, i, 1);
	ck_ok(lsm_compact_range(s->db, none, none));
	ck_ok(lsm_snapshot_create(s->db, "then"));
	memcpy(s->then, s->now, sizeof(s->now));
	s->named = true;
	for (unsigned v = 2; v < 2 + ROUNDS; v++) {
		for (unsigned i = v % 5; i < KEYS; i += 5)
			put(s, i, i % 7 == 6 ? 0 : v);
		ck_ok(lsm_flush(s->db));
	}
	put_bulk(s, 8, 60);
	ck_ok(lsm_sync(s->db));
}

static void check_state(struct lsm_db *db, const struct lsm_snapshot *snapshot,
			const unsigned *want)
{
	struct lsm_iter_options o = {.snapshot = snapshot,
				     .upper = slice_of("l")};
	struct lsm_iter *it;
	int r;

	ck_ok(lsm_iter_new(db, &o, &it));
	r = lsm_iter_first(it);
	for (unsigned i = 0; i < KEYS; i++) {
		struct lsm_slice value, expect;
		char buf[VALUE];

		if (!want[i])
			continue;
		ck_ok(r);
		ck_assert_uint_eq(model_index(lsm_iter_key(it)), i);
		value = lsm_iter_value(it);
		ck_ok(lsm_iter_error(it));
		expect = value_of(i, want[i], buf);
		ck_assert_msg(
			value.len == expect.len &&
				!memcmp(value.data, expect.data, value.len),
			"key %u has not version %u", i, want[i]);
		r = lsm_iter_next(it);
	}
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
}

static void check_names(struct scene *s, struct lsm_db *db)
{
	const struct lsm_snapshot *snapshot;
	int r = lsm_snapshot_open(db, "then", &snapshot);

	if (r == LSM_NOTFOUND) {
		ck_assert(!s->named || s->named_unsure);
		return;
	}
	ck_ok(r);
	ck_assert(s->named || s->named_unsure);
	check_state(db, snapshot, s->then);
	lsm_snapshot_release(db, snapshot);
}

static void check_all(struct scene *s, struct lsm_db *db)
{
	check_state(db, NULL, s->now);
	check_names(s, db);
	ck_ok(lsm_verify(db, NULL, NULL));
}

static int count_blob(void *arg, const char *name, uint64_t bytes)
{
	size_t len = strlen(name);

	if (len > 5 && !strcmp(name + len - 5, ".blob"))
		++*(unsigned *)arg;
	return 0;
}

/* No file stays behind that the store does not know of. */
static void check_no_strays(struct scene *s, const char *path,
			    struct lsm_db *db)
{
	struct lsm_stats stats;
	struct env_dir *dir;
	unsigned n = 0;

	ck_ok(lsm_wait_idle(db));
	lsm_get_stats(db, &stats);
	ck_ok(env_dir_open(s->env, path, 0, &dir));
	ck_ok(env_dir_list(dir, count_blob, &n));
	env_dir_close(dir);
	ck_assert_uint_eq(n, stats.blob_files);
}

/* ---- the work ---- */

static int do_compact(struct scene *s)
{
	return lsm_compact_range(s->db, none, none);
}

/* Every fifth key is put as it is, so that there is something to merge. */
static int touch(struct scene *s)
{
	char key[16], buf[VALUE];
	int r = 0;

	for (unsigned i = 2; i < KEYS && !r; i += 5)
		if (s->now[i])
			r = lsm_put(s->db, model_key(key, i),
				    value_of(i, s->now[i], buf));
	return r ? r : lsm_flush(s->db);
}

/* The snapshot goes, so nearly every file is mostly dead: the first compaction
 * finds that out, the second meets what is left in them and empties them. */
static int do_collect(struct scene *s)
{
	int r;

	s->named_unsure = s->named;
	r = lsm_snapshot_delete(s->db, "then");
	if (r && r != LSM_NOTFOUND)
		return r;
	s->named = s->named_unsure = false;
	r = lsm_compact_range(s->db, none, none);
	if (!r)
		r = touch(s);
	return r ? r : lsm_compact_range(s->db, none, none);
}

static int do_name(struct scene *s)
{
	int r = do_collect(s);

	if (r)
		return r;
	memcpy(s->then, s->now, sizeof(s->now));
	s->named_unsure = true;
	r = lsm_snapshot_create(s->db, "then");
	if (r && r != -EEXIST)
		return r;
	s->named = true;
	s->named_unsure = false;
	return lsm_compact_range(s->db, none, none);
}

static int do_checkpoint(struct scene *s)
{
	return lsm_checkpoint(s->db, COPY);
}

/* Everything goes: files are dropped without being read. */
static int do_delete_all(struct scene *s)
{
	struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();
	int r;

	ck_assert_ptr_nonnull(b);
	ck_ok(lsm_batch_delete_range(b, slice_of("x"), slice_of("y")));
	r = lsm_write(s->db, b, &wo);
	lsm_batch_free(b);
	return r ? r : do_collect(s);
}

static int do_reopen(struct scene *s)
{
	int r = lsm_close(s->db);

	s->db = NULL;
	return r ? r : lsm_open(PATH, &s->options, &s->db);
}

struct work {
	const char *name;
	int (*run)(struct scene *s);
	unsigned calls; /* at least */
};

static const struct work works[] = {
	{"compaction", do_compact, 20},   {"collection", do_collect, 20},
	{"named snapshots", do_name, 20}, {"a checkpoint", do_checkpoint, 15},
	{"deletion", do_delete_all, 20},  {"reopening", do_reopen, 5},
};
#define WORKS ((int)(sizeof(works) / sizeof(works[0])))

static unsigned every(void)
{
	const char *s = getenv("DB_POWER_STEP");

	return s ? (unsigned)strtoul(s, NULL, 0) : getenv("TEST_LONG") ? 1 : 3;
}

static void check_copy(struct scene *s, bool must)
{
	struct lsm_options o = s->options;
	struct lsm_db *db;
	int r;

	o.no_create = true;
	r = lsm_open(COPY, &o, &db);
	if (r) {
		ck_assert(!must);
		ck_assert_msg(r == -ENOENT || r == -ENOTEMPTY, "%d", r);
		return;
	}
	check_all(s, db);
	check_no_strays(s, COPY, db);
	ck_ok(lsm_close(db));
}

/* ---- the power goes ---- */

static bool lose_power(const struct work *w, uint64_t nth,
		       enum env_fault_keep keep)
{
	struct scene s;
	bool off;
	int r;

	scene_open(&s);
	env_fault_power_off_at(s.env, env_fault_calls(s.env) + nth);
	r = w->run(&s);
	off = env_fault_is_off(s.env);
	ck_assert(off || !r);
	if (s.db)
		lsm_close(s.db); /* fails, the power is off */
	env_fault_restart(s.env, keep, true, nth);
	r = lsm_open(PATH, &s.options, &s.db);
	ck_assert_msg(!r, "%s, call %llu, keep %d: open gives %d", w->name,
		      (unsigned long long)nth, (int)keep, r);
	check_all(&s, s.db);
	check_no_strays(&s, PATH, s.db);
	if (w->run == do_checkpoint)
		check_copy(&s, !off);
	/* and on */
	s.named_unsure = s.named;
	if (w->run != do_checkpoint)
		ck_ok(w->run(&s));
	put(&s, 3, 99);
	ck_ok(lsm_flush(s.db));
	check_all(&s, s.db);
	ck_ok(lsm_close(s.db));
	env_fault_free(s.env);
	return off;
}

START_TEST(power_loss_at_any_call_loses_nothing)
{
	const struct work *w = &works[_i / 4];
	uint64_t nth = (unsigned)_i % every();

	while (lose_power(w, nth, (enum env_fault_keep)(_i % 4)))
		nth += every();
	printf("# %s, keep %d: %llu calls\n", w->name, _i % 4,
	       (unsigned long long)nth);
	ck_assert_uint_ge(nth, w->calls);
}
END_TEST

/* ---- the disk refuses ---- */

static bool refuse(const struct work *w, uint64_t nth, int error, bool sticky,
		   bool reads)
{
	struct scene s;
	bool reached;
	uint64_t at;
	int r;

	scene_open(&s);
	env_fault_count_reads(s.env, reads);
	at = env_fault_calls(s.env) + nth;
	env_fault_fail_at(s.env, at, error, sticky);
	r = w->run(&s);
	reached = env_fault_calls(s.env) > at;
	if (r)
		ck_assert_msg(r == error, "%s, call %llu: %d", w->name,
			      (unsigned long long)nth, r);
	ck_assert(reached || !r);
	env_fault_clear(s.env);
	env_fault_count_reads(s.env, false);
	if (s.db)
		ck_ok(lsm_resume(s.db));
	else
		ck_ok(lsm_open(PATH, &s.options, &s.db));
	check_all(&s, s.db);
	if (w->run == do_checkpoint) {
		check_copy(&s, !r);
	} else {
		/* again, and now it must succeed */
		ck_ok(w->run(&s));
	}
	put(&s, 3, 99);
	ck_ok(lsm_flush(s.db));
	check_all(&s, s.db);
	ck_ok(lsm_close(s.db));
	env_fault_restart(s.env, ENV_KEEP_NONE, false, nth);
	ck_ok(lsm_open(PATH, &s.options, &s.db));
	check_all(&s, s.db);
	check_no_strays(&s, PATH, s.db);
	ck_ok(lsm_close(s.db));
	env_fault_free(s.env);
	return reached;
}

START_TEST(refused_call_loses_nothing_and_the_work_can_be_done_again)
{
	const struct work *w = &works[_i / 6];
	int error = _i % 3 == 1 ? -ENOSPC : -EIO;
	uint64_t nth = (unsigned)_i % every();

	/* once or for good; or at every read, too */
	while (refuse(w, nth, error, _i % 6 < 3, _i % 3 == 2))
		nth += every();
	printf("# %s, error %d: %llu calls\n", w->name, error,
	       (unsigned long long)nth);
	ck_assert_uint_ge(nth, w->calls);
}
END_TEST

/* The disk is so small that collecting cannot finish. */
START_TEST(full_disk_during_collection_loses_nothing)
{
	struct lsm_stats before, after;
	struct scene s;
	uint64_t used, total, room;
	struct env_dir *dir;
	unsigned failed = 0;

	for (room = 0;; room += 512) {
		int r;

		scene_open(&s);
		ck_ok(env_dir_open(s.env, PATH, 0, &dir));
		ck_ok(env_dir_space(dir, &used, &total));
		used = total - used;
		env_dir_close(dir);
		env_fault_set_capacity(s.env, used + room);
		lsm_get_stats(s.db, &before);
		r = do_collect(&s);
		ck_assert_msg(!r || r == -ENOSPC, "%d", r);
		check_state(s.db, NULL, s.now);
		failed += r != 0;
		/* there is room again */
		env_fault_clear(s.env);
		ck_ok(lsm_resume(s.db));
		check_all(&s, s.db);
		ck_ok(do_collect(&s));
		ck_ok(lsm_wait_idle(s.db));
		lsm_get_stats(s.db, &after);
		ck_assert_uint_gt(after.blob_collected_bytes, 0);
		ck_assert_uint_lt(after.blob_file_bytes,
				  before.blob_file_bytes);
		check_all(&s, s.db);
		check_no_strays(&s, PATH, s.db);
		ck_ok(lsm_close(s.db));
		env_fault_free(s.env);
		if (!r)
			break;
	}
	printf("# %u sizes of a disk\n", failed);
	ck_assert_uint_gt(failed, 4);
}
END_TEST

/* ---- repair ---- */

enum damage {
	NO_CURRENT,
	NO_MANIFEST,
	BAD_BLOB,
	DAMAGES,
};

static int last_name(void *arg, const char *name, uint64_t bytes)
{
	char **out = arg;

	if (strstr(name, out[0]) && strcmp(name, out[1]) > 0)
		strcpy(out[1], name);
	return 0;
}

static void find_last(struct scene *s, const char *part, char name[64])
{
	char words[64];
	char *arg[2] = {words, name};
	struct env_dir *dir;

	snprintf(words, sizeof(words), "%s", part);
	name[0] = 0;
	ck_ok(env_dir_open(s->env, PATH, 0, &dir));
	ck_ok(env_dir_list(dir, last_name, arg));
	env_dir_close(dir);
	ck_assert(name[0]);
}

static void lose(struct scene *s, const char *part)
{
	struct env_dir *dir;
	char name[64];

	find_last(s, part, name);
	ck_ok(env_dir_open(s->env, PATH, 0, &dir));
	ck_ok(env_dir_delete(dir, name));
	ck_ok(env_dir_sync(dir));
	env_dir_close(dir);
}

/* A store with damage, its writes partly only in the log. */
static void scene_damage(struct scene *s, enum damage what)
{
	char name[64], path[128];

	scene_open(s);
	ck_ok(lsm_compact_range(s->db, none, none));
	for (unsigned i = 0; i < KEYS; i += 4)
		put(s, i, 50);
	put_bulk(s, 51, 90);
	ck_ok(lsm_sync(s->db));
	put(s, 0, 52); /* says that what is before it is durable */
	env_fault_power_off_at(s->env, env_fault_calls(s->env));
	lsm_close(s->db);
	s->db = NULL;
	env_fault_restart(s->env, ENV_KEEP_ALL, false, 0);
	if (what == BAD_BLOB) {
		find_last(s, ".blob", name);
		snprintf(path, sizeof(path), "%s/%s", PATH, name);
		ck_ok(env_fault_corrupt(s->env, path, 30, 0x10));
		return;
	}
	lose(s, "CURRENT");
	if (what == NO_MANIFEST) {
		lose(s, "MANIFEST");
		s->named_unsure = true;
	}
}

/* Of a damaged blob file a block is lost, and with it at most so many keys;
 * the others are as they were. */
static void check_repaired(struct scene *s, enum damage what)
{
	char key[16], buf[VALUE];
	struct lsm_pin pin = {0};
	unsigned lost = 0;

	ck_ok(lsm_open(PATH, &s->options, &s->db));
	ck_ok(lsm_verify(s->db, NULL, NULL));
	if (what != BAD_BLOB) {
		check_all(s, s->db);
	} else {
		for (unsigned i = 0; i < KEYS; i++) {
			struct lsm_slice want = value_of(i, s->now[i], buf);
			int r = lsm_get(s->db, NULL, model_key(key, i), &pin);

			if (r == 0 && s->now[i] && pin.len == want.len &&
			    !memcmp(pin.data, want.data, want.len))
				continue;
			ck_assert(r == 0 || r == LSM_NOTFOUND);
			if (r == LSM_NOTFOUND && !s->now[i])
				continue;
			lost++;
			s->now[i] = 0;
		}
		lsm_unpin(&pin);
		/* a block of a flush, or one of a bulk batch and with it the
		 * batch */
		ck_assert_uint_le(lost, 50);
	}
	check_no_strays(s, PATH, s->db);
	put(s, 3, 99);
	ck_ok(lsm_close(s->db));
}

START_TEST(repair_cut_short_can_be_done_again)
{
	enum damage what = (enum damage)(_i / 4);
	enum env_fault_keep keep = (enum env_fault_keep)(_i % 4);
	uint64_t nth = (unsigned)_i % every();
	bool off = true;
	struct scene s;

	for (; off; nth += every()) {
		int r;

		scene_damage(&s, what);
		env_fault_power_off_at(s.env, env_fault_calls(s.env) + nth);
		r = lsm_repair(PATH, &s.options, NULL, NULL);
		off = env_fault_is_off(s.env);
		ck_assert(off || !r);
		env_fault_restart(s.env, keep, true, nth);
		r = lsm_repair(PATH, &s.options, NULL, NULL);
		ck_assert_msg(!r, "damage %d, call %llu, keep %d: %d",
			      (int)what, (unsigned long long)nth, (int)keep, r);
		check_repaired(&s, what);
		env_fault_free(s.env);
	}
	printf("# damage %d, keep %d: %llu calls\n", (int)what, (int)keep,
	       (unsigned long long)nth);
	ck_assert_uint_gt(nth, what == NO_CURRENT ? 3 : 15);
}
END_TEST

/* A disk that refuses once has not lost anything: nor may the repair. */
START_TEST(refused_call_of_a_repair_loses_nothing)
{
	enum damage what = (enum damage)(_i / 3);
	int error = _i % 3 ? -ENOSPC : -EIO;
	bool reached = true;
	uint64_t nth = (unsigned)_i % every(), at;
	struct scene s;

	for (; reached; nth += every()) {
		scene_damage(&s, what);
		at = env_fault_calls(s.env) + nth;
		env_fault_fail_at(s.env, at, error, _i % 3 == 2);
		lsm_repair(PATH, &s.options, NULL, NULL);
		reached = env_fault_calls(s.env) > at;
		env_fault_clear(s.env);
		ck_ok(lsm_repair(PATH, &s.options, NULL, NULL));
		check_repaired(&s, what);
		env_fault_free(s.env);
	}
	ck_assert_uint_gt(nth, what == NO_CURRENT ? 3 : 15);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db power blobs");
	TCase *t = tcase_create("blobs");

	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, power_loss_at_any_call_loses_nothing, 0,
			    4 * WORKS);
	tcase_add_loop_test(
		t, refused_call_loses_nothing_and_the_work_can_be_done_again, 0,
		6 * WORKS);
	tcase_add_test(t, full_disk_during_collection_loses_nothing);
	tcase_add_loop_test(t, repair_cut_short_can_be_done_again, 0,
			    4 * DAMAGES);
	tcase_add_loop_test(t, refused_call_of_a_repair_loses_nothing, 0,
			    3 * DAMAGES);
	suite_add_tcase(s, t);
	return run_suite(s);
}
