/* SPDX-License-Identifier: MIT */
/*
 * test_model.c - random operations on a store and on a sorted array must give
 * the same answers.
 *
 * Memtables and tables are tiny, so a few thousand operations fill several
 * levels, and flushes and compactions run all the time beside them.
 */
#include "tests/lsm/db/db_check.h"

#define SEEDS     20
#define STEPS     1500
#define LIVE      4
#define NAMED     3
#define BATCH_OPS 6

struct named_model {
	bool used;
	struct model model;
};

struct live_model {
	const struct lsm_snapshot *snapshot;
	struct model model;
};

struct world {
	uint64_t seed;
	struct lsm_env *env; /* NULL: the operating system's */
	char path[64];
	struct lsm_options options;
	struct lsm_db *db;
	struct model now;
	uint32_t next_value;
	struct live_model live[LIVE];
	struct named_model named[NAMED];
};

static void world_open(struct world *w)
{
	ck_ok(lsm_open(w->path, &w->options, &w->db));
}

static void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->now.keys = 300;
	w->next_value = 1;
	if (seed % 2) {
		w->env = env_fault_new();
		ck_assert_ptr_nonnull(w->env);
		snprintf(w->path, sizeof(w->path), "/store");
	} else {
		test_dir_make(w->path);
	}
	w->options = (struct lsm_options){
		.env = w->env,
		.write_buffer_bytes = 16384 << rnd_below(&w->seed, 3),
		.write_buffer_count = 2 + rnd_below(&w->seed, 3),
		.memory_bytes = 1 << 20,
		.block_bytes = 256 << rnd_below(&w->seed, 4),
		.restart_interval = 1 + rnd_below(&w->seed, 16),
		.compression = 1 + rnd_below(&w->seed, 2),
		.mmap = 1 + rnd_below(&w->seed, 2),
		.table_bytes = 4096 << rnd_below(&w->seed, 3),
		.level_base_bytes = 16384,
		.level_multiplier = 3,
		.compaction_threads = 1 + rnd_below(&w->seed, 2),
		.level0_compact_trigger = 1 + rnd_below(&w->seed, 4),
		.max_open_tables = 8,
		.wal_sync_interval_ms = 20,
		.prefix_bytes = rnd_below(&w->seed, 8),
		/* sizes of values: 4 to 43, 300, 6000 */
		.blob_bytes = seed % 4 < 2 ? 0 : 20 << rnd_below(&w->seed, 5),
		.blob_file_bytes = 8192 << rnd_below(&w->seed, 3),
	};
	world_open(w);
}

static void release_live(struct world *w, unsigned i)
{
	lsm_snapshot_release(w->db, w->live[i].snapshot);
	w->live[i].snapshot = NULL;
}

static void world_end(struct world *w)
{
	for (unsigned i = 0; i < LIVE; i++)
		release_live(w, i);
	/* also recounts the live bytes of blob files */
	ck_ok(lsm_verify(w->db, NULL, NULL));
	if (w->options.blob_bytes) {
		struct lsm_stats stats;

		lsm_get_stats(w->db, &stats);
		ck_assert_uint_gt(stats.blob_files, 0);
		printf("# %u blob files, %llu of %llu bytes live\n",
		       stats.blob_files,
		       (unsigned long long)stats.blob_live_bytes,
		       (unsigned long long)stats.blob_value_bytes);
	}
	ck_ok(lsm_close(w->db));
	if (w->env)
		env_fault_free(w->env);
	else
		test_dir_remove(w->path);
}

static void step_reopen(struct world *w)
{
	for (unsigned i = 0; i < LIVE; i++)
		release_live(w, i);
	ck_ok(lsm_close(w->db));
	/* tables with and without, and with other ones, stand side by side */
	w->options.prefix_bytes = rnd_below(&w->seed, 8);
	if (w->options.blob_bytes)
		w->options.blob_bytes = 20 << rnd_below(&w->seed, 5);
	world_open(w);
}

static void add_random(struct world *w, struct lsm_batch *b)
{
	unsigned i = rnd_below(&w->seed, w->now.keys);
	unsigned what = rnd_below(&w->seed, 20);
	char key[16], end[16], value[8192];

	if (what < 13) {
		w->now.value[i] = w->next_value++;
		ck_ok(lsm_batch_put(b, model_key(key, i),
				    model_value(value, w->now.value[i])));
	} else if (what < 18) {
		w->now.value[i] = 0;
		ck_ok(lsm_batch_delete(b, model_key(key, i)));
	} else {
		unsigned j = i + 1 + rnd_below(&w->seed, what == 18 ? 8 : 100);

		ck_ok(lsm_batch_delete_range(b, model_key(key, i),
					     model_key(end, j)));
		for (; i < j && i < w->now.keys; i++)
			w->now.value[i] = 0;
	}
}

/* A few keys get the values that others have now, or had. */
static void add_shared(struct world *w, const struct model *before,
		       struct lsm_batch *b)
{
	const struct live_model *l = &w->live[rnd_below(&w->seed, LIVE)];
	const struct model *from = l->snapshot ? &l->model : before;
	struct lsm_iter_options o = {.snapshot = l->snapshot};
	unsigned i = rnd_below(&w->seed, from->keys);
	unsigned j = rnd_below(&w->seed, from->keys);
	unsigned n = 1 + rnd_below(&w->seed, 20);
	bool back = rnd_below(&w->seed, 2);
	struct lsm_iter *it;
	char key[16];

	ck_ok(lsm_iter_new(w->db, &o, &it));
	for (; n && i < from->keys && j < from->keys; n--, i++, j++) {
		if (!from->value[i])
			continue;
		if (back)
			ck_ok(lsm_iter_seek_for_prev(it, model_key(key, i)));
		else
			ck_ok(lsm_iter_seek(it, model_key(key, i)));
		if (n % 3 == 0)
			ck_assert_uint_eq(model_number(lsm_iter_value(it)),
					  from->value[i]);
		ck_ok(lsm_batch_put_shared(b, model_key(key, j), it));
		w->now.value[j] = from->value[i];
	}
	lsm_iter_free(it);
}

static void step_batch(struct world *w)
{
	struct model before = w->now;
	struct lsm_write_options wo = {.sync = !rnd_below(&w->seed, 30)};
	struct lsm_batch *b = lsm_batch_new();

	ck_assert_ptr_nonnull(b);
	for (unsigned n = 1 + rnd_below(&w->seed, BATCH_OPS); n; n--) {
		if (rnd_below(&w->seed, 6))
			add_random(w, b);
		else
			add_shared(w, &before, b);
	}
	ck_ok(lsm_write(w->db, b, &wo));
	lsm_batch_free(b);
}

static void step_put(struct world *w)
{
	unsigned i = rnd_below(&w->seed, w->now.keys);
	char key[16], value[8192];

	w->now.value[i] = w->next_value++;
	ck_ok(lsm_put(w->db, model_key(key, i),
		      model_value(value, w->now.value[i])));
}

static void step_delete(struct world *w)
{
	unsigned i = rnd_below(&w->seed, w->now.keys);
	char key[16];

	w->now.value[i] = 0;
	ck_ok(lsm_delete(w->db, model_key(key, i)));
}

static void check_seeks(struct world *w, const struct lsm_snapshot *s,
			const struct model *m)
{
	unsigned a = rnd_below(&w->seed, m->keys);
	unsigned b = rnd_below(&w->seed, m->keys);
	unsigned low = a < b ? a : b, high = (a < b ? b : a) + 1;
	char lower[16], upper[16], key[16];
	struct lsm_iter_options o = {.snapshot = s};
	struct lsm_iter *it;
	int at, r, end = (int)m->keys, begin = 0;

	if (rnd_below(&w->seed, 2)) {
		o.lower = model_key(lower, low);
		begin = (int)low;
	}
	if (rnd_below(&w->seed, 2)) {
		o.upper = model_key(upper, high);
		end = (int)high;
	}
	if (!rnd_below(&w->seed, 3)) {
		/* few keys, most often of one prefix */
		unsigned few = 1 + rnd_below(&w->seed, 10);

		begin = (int)low;
		end = (int)(low - low % few + few);
		o.lower = model_key(lower, low);
		o.upper = model_key(upper, (unsigned)end);
		if (end > (int)m->keys)
			end = (int)m->keys;
	}
	o.no_fill_cache = rnd_below(&w->seed, 2);
	ck_ok(lsm_iter_new(w->db, &o, &it));
	for (unsigned tries = 0; tries < 4; tries++) {
		int i = (int)rnd_below(&w->seed, m->keys);
		bool back = rnd_below(&w->seed, 2);
		unsigned turn = 1 + rnd_below(&w->seed, 12);

		if (back) {
			r = lsm_iter_seek_for_prev(it,
						   model_key(key, (unsigned)i));
			at = model_prev(m, i < end ? i : end - 1);
			at = at < begin ? -1 : at;
		} else {
			r = lsm_iter_seek(it, model_key(key, (unsigned)i));
			at = model_next(m, i > begin ? i : begin);
			at = at >= end ? -1 : at;
		}
		model_check_at(m, it, r, at);
		/* walk, and turn round now and then */
		for (unsigned n = 0; at >= 0 && n < 40; n++) {
			if (n % turn == turn - 1)
				back = !back;
			r = back ? lsm_iter_prev(it) : lsm_iter_next(it);
			at = back ? model_prev(m, at - 1)
				  : model_next(m, at + 1);
			if (at < begin || at >= end)
				at = -1;
			model_check_at(m, it, r, at);
		}
	}
	lsm_iter_free(it);
}

static void check_multi(struct world *w, const struct lsm_snapshot *s,
			const struct model *m)
{
	struct lsm_pin pins[20] = {0};
	struct lsm_slice keys[20];
	unsigned index[20];
	char names[20][16];
	int results[20];

	for (unsigned i = 0; i < 20; i++) {
		index[i] = rnd_below(&w->seed, m->keys);
		keys[i] = model_key(names[i], index[i]);
	}
	ck_ok(lsm_multi_get(w->db, s, 20, keys, pins, results));
	for (unsigned i = 0; i < 20; i++) {
		model_check_pin(m, index[i], results[i], &pins[i]);
		lsm_unpin(&pins[i]);
	}
}

static void check_view(struct world *w, const struct lsm_snapshot *s,
		       const struct model *m)
{
	switch (rnd_below(&w->seed, 4)) {
	case 0:
		model_check_scan(w->db, s, m);
		break;
	case 1:
		model_check_gets(w->db, s, m);
		break;
	case 2:
		check_multi(w, s, m);
		break;
	case 3:
		check_seeks(w, s, m);
		break;
	}
}

static void step_live(struct world *w)
{
	struct live_model *l = &w->live[rnd_below(&w->seed, LIVE)];

	if (l->snapshot && rnd_below(&w->seed, 3)) {
		check_view(w, l->snapshot, &l->model);
		return;
	}
	lsm_snapshot_release(w->db, l->snapshot);
	l->snapshot = lsm_snapshot_take(w->db);
	ck_assert_ptr_nonnull(l->snapshot);
	l->model = w->now;
}

static void step_named(struct world *w)
{
	unsigned i = rnd_below(&w->seed, NAMED);
	struct named_model *n = &w->named[i];
	const struct lsm_snapshot *s;
	char name[16];

	snprintf(name, sizeof(name), "name %u", i);
	if (!n->used) {
		ck_assert_int_eq(lsm_snapshot_open(w->db, name, &s),
				 LSM_NOTFOUND);
		ck_ok(lsm_snapshot_create(w->db, name));
		n->model = w->now;
		n->used = true;
		return;
	}
	ck_assert_int_eq(lsm_snapshot_create(w->db, name), -EEXIST);
	ck_ok(lsm_snapshot_open(w->db, name, &s));
	if (!rnd_below(&w->seed, 3)) {
		ck_ok(lsm_snapshot_delete(w->db, name));
		ck_assert_int_eq(lsm_snapshot_delete(w->db, name),
				 LSM_NOTFOUND);
		n->used = false;
	}
	/* An open one stays readable after its name has gone. */
	check_view(w, s, &n->model);
	lsm_snapshot_release(w->db, s);
}

static void step_compact(struct world *w)
{
	unsigned a = rnd_below(&w->seed, w->now.keys);
	unsigned b = a + 1 + rnd_below(&w->seed, 100);
	char start[16], end[16];
	uint64_t bytes;

	if (rnd_below(&w->seed, 2)) {
		ck_ok(lsm_compact_range(w->db, model_key(start, a),
					model_key(end, b)));
		ck_ok(lsm_approximate_size(w->db, model_key(start, a),
					   model_key(end, b), &bytes));
	} else {
		ck_ok(lsm_compact_range(w->db, lsm_slice(NULL, 0),
					lsm_slice(NULL, 0)));
	}
}

static void step(struct world *w)
{
	unsigned what = rnd_below(&w->seed, 1000);

	if (what < 450)
		step_batch(w);
	else if (what < 600)
		step_put(w);
	else if (what < 650)
		step_delete(w);
	else if (what < 880)
		check_view(w, NULL, &w->now);
	else if (what < 940)
		step_live(w);
	else if (what < 970)
		step_named(w);
	else if (what < 985)
		ck_ok(lsm_flush(w->db));
	else if (what < 990)
		step_compact(w);
	else if (what < 994)
		ck_ok(lsm_wait_idle(w->db));
	else
		step_reopen(w);
}

START_TEST(store_answers_as_a_sorted_array_does)
{
	struct world w;

	world_init(&w, test_seed(1000 + (unsigned)_i));
	for (unsigned i = 0; i < STEPS; i++)
		step(&w);
	model_check_scan(w.db, NULL, &w.now);
	model_check_gets(w.db, NULL, &w.now);
	world_end(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db model");
	TCase *t = tcase_create("random");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, store_answers_as_a_sorted_array_does, 0, SEEDS);
	suite_add_tcase(s, t);
	return run_suite(s);
}
