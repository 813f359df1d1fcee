/* SPDX-License-Identifier: MIT */
/*
 * test_repair.c - the promises of lsm_repair(): what can be read is there
 * again, the newest of it; nothing is touched that is sound, locked or not
 * ours; and a repair that is cut short can be done again.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "lsm/env/env.h"
#include "tests/lsm/db/script.h"

static char path[64];
static struct lsm_options options;
static struct log_text reported;
static const struct lsm_slice none;

static void setup(void)
{
	test_dir_make(path);
	options = (struct lsm_options){.write_buffer_bytes = 1 << 16,
				       .table_bytes = 1 << 15,
				       .level_base_bytes = 1 << 16,
				       .level_multiplier = 4,
				       .block_bytes = 1024,
				       .level0_compact_trigger = 3};
	memset(&reported, 0, sizeof(reported));
	pthread_mutex_init(&reported.mutex, NULL);
}

static void teardown(void)
{
	test_dir_remove(path);
}

static void report(void *arg, const char *line)
{
	log_text_add(arg, LSM_LOG_INFO, line);
}

static int repair(void)
{
	reported.text[0] = 0;
	return lsm_repair(path, &options, report, &reported);
}

/* A history with everything in it: overwrites, deletes, range deletes, a named
 * snapshot. db NULL: only the model is led through it. */
static void live(struct lsm_db *db, struct model *m, struct model *then,
		 uint64_t seed)
{
	char key[16], end[16], value[8192];
	struct lsm_batch *b = lsm_batch_new();

	m->keys = MODEL_KEYS_MAX;
	for (uint32_t v = 1; v <= 12000; v++) {
		unsigned i = rnd_below(&seed, m->keys);
		unsigned j = i + 1 + rnd_below(&seed, 40);
		unsigned what = rnd_below(&seed, 100);

		lsm_batch_clear(b);
		if (what < 80) {
			ck_ok(lsm_batch_put(b, model_key(key, i),
					    model_value(value, v)));
			m->value[i] = v;
		} else if (what < 98) {
			ck_ok(lsm_batch_delete(b, model_key(key, i)));
			m->value[i] = 0;
		} else {
			ck_ok(lsm_batch_delete_range(b, model_key(key, i),
						     model_key(end, j)));
			for (; i < j && i < m->keys; i++)
				m->value[i] = 0;
		}
		if (db)
			ck_ok(lsm_write(db, b, NULL));
		if (v == 5000 && then) {
			if (db)
				ck_ok(lsm_snapshot_create(db, "then"));
			*then = *m;
		}
	}
	lsm_batch_free(b);
}

/* The process ends without a close, so that the logs hold something. */
static void make_store(struct model *m, struct model *then, uint64_t seed)
{
	pid_t pid = fork();
	struct lsm_db *db;
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (lsm_open(path, &options, &db))
			_exit(1);
		live(db, m, then, seed);
		_exit(lsm_wait_idle(db) || lsm_sync(db));
	}
	live(NULL, m, then, seed);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void check_store(const struct model *m, const struct model *then)
{
	const struct lsm_snapshot *s;
	struct lsm_db *db;

	ck_ok(lsm_open(path, &options, &db));
	model_check_scan(db, NULL, m);
	model_check_gets(db, NULL, m);
	ck_ok(lsm_verify(db, NULL, NULL));
	if (then) {
		ck_ok(lsm_snapshot_open(db, "then", &s));
		model_check_scan(db, s, then);
		lsm_snapshot_release(db, s);
	}
	ck_ok(lsm_put(db, slice_of("z"), slice_of("after")));
	ck_ok(lsm_close(db));
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_delete(db, slice_of("z")));
	ck_ok(lsm_close(db));
}

static void file_of(const char *suffix, char out[512])
{
	ck_assert_msg(test_dir_find(path, suffix, out), "no %s", suffix);
}

/* The manifest's name has its number at the end. */
static void manifest_name(char out[512])
{
	DIR *d = opendir(path);
	struct dirent *e;

	out[0] = 0;
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "MANIFEST-", 9))
			snprintf(out, 512, "%s/%s", path, e->d_name);
	closedir(d);
	ck_assert(out[0]);
}

static void remove_current(void)
{
	char name[512];

	snprintf(name, sizeof(name), "%s/CURRENT", path);
	ck_assert_int_eq(unlink(name), 0);
}

static void flip_byte(const char *name, long offset)
{
	int fd = open(name, O_RDWR);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static long file_bytes(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(name, &st), 0);
	return (long)st.st_size;
}

START_TEST(sound_store_is_not_changed)
{
	struct model m = {0}, then;
	char name[512], again[512];

	make_store(&m, &then, 1);
	manifest_name(name);
	ck_ok(repair());
	ck_assert(log_text_has(&reported, "sound"));
	manifest_name(again);
	ck_assert_str_eq(name, again);
	check_store(&m, &then);
}
END_TEST

START_TEST(lost_current_is_written_again)
{
	struct model m = {0}, then;
	struct lsm_db *db;

	make_store(&m, &then, 2);
	remove_current();
	ck_assert_int_eq(lsm_open(path, &options, &db), -ENOTEMPTY);
	ck_ok(repair());
	ck_assert(log_text_has(&reported, "CURRENT names MANIFEST-"));
	check_store(&m, &then);
}
END_TEST

START_TEST(damaged_current_is_written_again)
{
	struct model m = {0}, then;
	struct lsm_db *db;
	char name[512];

	make_store(&m, &then, 3);
	snprintf(name, sizeof(name), "%s/CURRENT", path);
	flip_byte(name, 12);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_ok(repair());
	check_store(&m, &then);
}
END_TEST

/* Tables of all levels, tombstones over tables, unflushed logs: without the
 * manifest all of it comes together by sequence alone. */
START_TEST(store_without_manifest_has_the_newest_of_every_key)
{
	struct model m = {0};
	char name[512];

	make_store(&m, NULL, test_seed(40 + (unsigned)_i));
	manifest_name(name);
	ck_assert_int_eq(unlink(name), 0);
	if (_i % 2)
		remove_current();
	ck_ok(repair());
	ck_assert(log_text_has(&reported, "merged into"));
	check_store(&m, NULL);
}
END_TEST

START_TEST(damaged_manifest_is_kept_aside)
{
	struct model m = {0};
	char name[512], kept[520];

	make_store(&m, NULL, 5);
	manifest_name(name);
	flip_byte(name, 40);
	ck_ok(repair());
	snprintf(kept, sizeof(kept), "%s.bad", name);
	ck_assert_int_eq(access(kept, F_OK), 0);
	check_store(&m, NULL);
	ck_assert_int_eq(access(kept, F_OK), 0);
}
END_TEST

/* Few keys to a block: what is lost is what was in the damaged ones. */
START_TEST(blocks_that_can_be_read_are_saved)
{
	char name[512], key[16], value[8192];
	unsigned lost = 0, kept = 0;
	struct lsm_pin pin = {0};
	struct lsm_db *db;

	options.table_bytes = 1 << 20;
	options.write_buffer_bytes = 1 << 20;
	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < 5000; i++)
		ck_ok(lsm_put(db, model_key(key, i),
			      model_value(value, i + 1)));
	ck_ok(lsm_compact_range(db, none, none));
	ck_ok(lsm_close(db));
	file_of(".sst", name);
	flip_byte(name, 2000);
	flip_byte(name, 30000);
	ck_ok(repair());
	ck_assert(log_text_has(&reported, "2 blocks are lost"));
	ck_assert(log_text_has(&reported, ".sst.bad"));
	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < 5000; i++) {
		int r = lsm_get(db, NULL, model_key(key, i), &pin);

		ck_assert(r == 0 || r == LSM_NOTFOUND);
		if (r) {
			lost++;
			continue;
		}
		kept++;
		ck_assert_uint_eq(model_number(lsm_slice(pin.data, pin.len)),
				  i + 1);
	}
	lsm_unpin(&pin);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_lt(lost, 200);
	ck_assert_uint_gt(kept, 4800);
}
END_TEST

START_TEST(table_that_does_not_open_is_set_aside)
{
	struct model m = {0}, old;
	struct lsm_pin pin = {0};
	char name[512], key[16];
	struct lsm_db *db;

	make_store(&m, &old, 6);
	file_of(".sst", name);
	flip_byte(name, file_bytes(name) - 20); /* the footer */
	ck_ok(repair());
	ck_assert(log_text_has(&reported, "set aside"));
	ck_ok(lsm_open(path, &options, &db));
	for (unsigned i = 0; i < m.keys; i++) {
		int r = lsm_get(db, NULL, model_key(key, i), &pin);

		/* an older value may show, but one that was written */
		ck_assert(r == 0 || r == LSM_NOTFOUND);
		if (!r)
			model_number(lsm_slice(pin.data, pin.len));
	}
	lsm_unpin(&pin);
	ck_ok(lsm_verify(db, NULL, NULL));
	ck_ok(lsm_close(db));
	ck_assert(test_dir_find(path, ".sst.bad", name));
}
END_TEST

static void write_synced_and_die(void)
{
	char key[16], value[8192];
	struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();
	struct lsm_db *db;

	if (lsm_open(path, &options, &db))
		_exit(1);
	for (unsigned i = 0; i < 200; i++) {
		lsm_batch_clear(b);
		if (lsm_batch_put(b, model_key(key, i),
				  model_value(value, 2)) ||
		    lsm_write(db, b, &wo))
			_exit(1);
	}
	_exit(0);
}

START_TEST(log_is_used_up_to_its_damage)
{
	char name[512], key[16];
	struct lsm_pin pin = {0};
	struct lsm_db *db;
	unsigned n = 0;
	pid_t pid = fork();
	int status;

	if (!pid)
		write_synced_and_die();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	file_of(".wal", name);
	flip_byte(name, 4000);
	ck_assert_int_eq(lsm_open(path, &options, &db), -EUCLEAN);
	ck_ok(repair());
	ck_assert(log_text_has(&reported, "damaged at offset"));
	ck_ok(lsm_open(path, &options, &db));
	while (!lsm_get(db, NULL, model_key(key, n), &pin))
		n++;
	ck_assert_uint_gt(n, 80);
	ck_assert_uint_lt(n, 110);
	for (unsigned i = n; i < 200; i++)
		ck_assert_int_eq(lsm_get(db, NULL, model_key(key, i), &pin),
				 LSM_NOTFOUND);
	lsm_unpin(&pin);
	ck_ok(lsm_close(db));
	ck_assert(test_dir_find(path, ".wal.bad", name));
}
END_TEST

START_TEST(what_is_no_store_or_is_open_is_refused)
{
	char name[512];
	struct lsm_db *db;
	int fd;

	ck_assert_int_eq(repair(), -ENOENT);
	snprintf(name, sizeof(name), "%s/letter", path);
	fd = open(name, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(repair(), -ENOENT);
	ck_assert(!test_dir_find(path, "LOCK", name));
	ck_assert_int_eq(lsm_repair("/nonexistent/store", NULL, NULL, NULL),
			 -ENOENT);
	ck_assert_int_eq(lsm_repair(NULL, NULL, NULL, NULL), -EINVAL);
	snprintf(name, sizeof(name), "%s/letter", path);
	unlink(name);
	ck_ok(lsm_open(path, &options, &db));
	ck_ok(lsm_put(db, slice_of("k"), slice_of("v")));
	ck_assert_int_eq(repair(), -EBUSY);
	ck_ok(lsm_close(db));
	ck_ok(repair());
}
END_TEST

/* ---- power loss ---- */

/* Everything written is durable, but much of it only in the logs. */
static void end_without_close(struct script *s)
{
	ck_ok(lsm_sync(s->db));
	env_fault_power_off_at(s->env, env_fault_calls(s->env));
	lsm_close(s->db); /* fails, the power is off */
	env_fault_restart(s->env, ENV_KEEP_ALL, false, 0);
}

static void lose_current(struct script *s)
{
	struct env_dir *dir;

	ck_ok(env_dir_open(s->env, SCRIPT_PATH, 0, &dir));
	ck_ok(env_dir_delete(dir, "CURRENT"));
	ck_ok(env_dir_sync(dir));
	env_dir_close(dir);
}

static int find_manifest(void *arg, const char *name, uint64_t bytes)
{
	if (!strncmp(name, "MANIFEST-", 9))
		strcpy(arg, name);
	return 0;
}

static void lose_manifest(struct script *s)
{
	struct env_dir *dir;
	char name[64] = "";

	ck_ok(env_dir_open(s->env, SCRIPT_PATH, 0, &dir));
	ck_ok(env_dir_list(dir, find_manifest, name));
	ck_ok(env_dir_delete(dir, name));
	ck_ok(env_dir_sync(dir));
	env_dir_close(dir);
}

START_TEST(repair_cut_short_by_power_loss_can_be_done_again)
{
	struct script *s = malloc(sizeof(*s));
	uint64_t nth, now;
	bool off = true;
	int r;

	ck_assert_ptr_nonnull(s);
	for (nth = 0; off; nth++) {
		script_init(s, 31 + (unsigned)_i, 100);
		ck_ok(script_run(s));
		end_without_close(s);
		lose_current(s);
		if (_i)
			lose_manifest(s);
		now = env_fault_calls(s->env);
		env_fault_power_off_at(s->env, now + nth);
		r = lsm_repair(SCRIPT_PATH, &s->options, NULL, NULL);
		off = env_fault_is_off(s->env);
		if (!off)
			ck_ok(r);
		env_fault_restart(s->env,
				  nth % 2 ? ENV_KEEP_RANDOM : ENV_KEEP_NONE,
				  true, nth);
		r = lsm_repair(SCRIPT_PATH, &s->options, NULL, NULL);
		ck_assert_msg(r == 0, "call %llu: %d", (unsigned long long)nth,
			      r);
		ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
		script_check_state(s, s->db, NULL, s->acked);
		ck_ok(lsm_verify(s->db, NULL, NULL));
		ck_ok(lsm_close(s->db));
		script_release(s);
	}
	ck_assert_uint_gt(nth, _i ? 15 : 3);
	free(s);
}
END_TEST

START_TEST(refused_call_fails_the_repair_and_the_next_try_succeeds)
{
	struct script *s = malloc(sizeof(*s));
	uint64_t nth, now;
	bool reached = true;

	ck_assert_ptr_nonnull(s);
	for (nth = 0; reached; nth++) {
		script_init(s, 57, 100);
		ck_ok(script_run(s));
		end_without_close(s);
		lose_manifest(s);
		now = env_fault_calls(s->env);
		env_fault_fail_at(s->env, now + nth, -ENOSPC, false);
		lsm_repair(SCRIPT_PATH, &s->options, NULL, NULL);
		reached = env_fault_calls(s->env) > now + nth;
		env_fault_clear(s->env);
		ck_ok(lsm_repair(SCRIPT_PATH, &s->options, NULL, NULL));
		ck_ok(lsm_open(SCRIPT_PATH, &s->options, &s->db));
		script_check_state(s, s->db, NULL, s->acked);
		ck_ok(lsm_close(s->db));
		script_release(s);
	}
	ck_assert_uint_gt(nth, 15);
	free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repair");
	TCase *t = tcase_create("repair");

	tcase_set_timeout(t, 300);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, sound_store_is_not_changed);
	tcase_add_test(t, lost_current_is_written_again);
	tcase_add_test(t, damaged_current_is_written_again);
	tcase_add_loop_test(
		t, store_without_manifest_has_the_newest_of_every_key, 0, 4);
	tcase_add_test(t, damaged_manifest_is_kept_aside);
	tcase_add_test(t, blocks_that_can_be_read_are_saved);
	tcase_add_test(t, table_that_does_not_open_is_set_aside);
	tcase_add_test(t, log_is_used_up_to_its_damage);
	tcase_add_test(t, what_is_no_store_or_is_open_is_refused);
	tcase_add_loop_test(t, repair_cut_short_by_power_loss_can_be_done_again,
			    0, 2);
	tcase_add_test(t,
		       refused_call_fails_the_repair_and_the_next_try_succeeds);
	suite_add_tcase(s, t);
	return run_suite(s);
}
