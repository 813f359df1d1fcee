/* SPDX-License-Identifier: MIT */
/*
 * test_compact.c - flush and compaction against a model: random writes, with
 * snapshots held, must look the same at every snapshot before and after, and
 * what nobody can see must be gone.
 */
#include <pthread.h>

#include "tree_test.h"

#define KEYS      400
#define SNAPSHOTS 5

static struct tree t;
static uint64_t rng;

/* ---- the model: every version of every key --------------------------------
 */

struct op {
	uint64_t seq;
	int value; /* -1: deleted */
};
static struct op *history[KEYS];
static size_t history_count[KEYS];
static uint64_t seq;
static uint64_t snapshots[SNAPSHOTS];
static size_t snapshot_count;

static void model_add(int key, int value)
{
	size_t n = history_count[key]++;

	history[key] = reallocarray(history[key], n + 1, sizeof(struct op));
	ck_assert_ptr_nonnull(history[key]);
	history[key][n].seq = seq;
	history[key][n].value = value;
}

static int model_get(int key, uint64_t at)
{
	size_t i = history_count[key];

	while (i && history[key][i - 1].seq > at)
		i--;
	return i ? history[key][i - 1].value : -1;
}

static struct lsm_slice key_of(int i, char out[16])
{
	return lsm_slice(out, (size_t)snprintf(out, 16, "key%05d", i));
}

/* The other way round; nothing ends the bytes of a key. */
static int number_of(struct lsm_slice key)
{
	char text[16] = {0};

	ck_assert_uint_eq(key.len, 8);
	memcpy(text, key.data, key.len);
	return atoi(text + 3);
}

static struct lsm_slice value_of(int i, char out[128])
{
	int n = snprintf(out, 128, "value %d ", i);

	/* hard to compress */
	for (; n < 60; n++)
		out[n] = (char)(((unsigned)i * 2654435761u) >> (n % 24));
	return lsm_slice(out, (size_t)n);
}

/* ---- writing --------------------------------------------------------------
 */

static void put(struct memtable *m, int key)
{
	char k[16], v[128];

	seq++;
	model_add(key, (int)seq);
	OK(memtable_put(m, key_of(key, k), tag_make(seq, KIND_PUT),
			value_of((int)seq, v)));
}

static void delete (struct memtable *m, int key)
{
	char k[16];

	seq++;
	model_add(key, -1);
	OK(memtable_put(m, key_of(key, k), tag_make(seq, KIND_DELETE),
			lsm_slice(NULL, 0)));
}

static void delete_range(struct memtable *m, int from, int to)
{
	char a[16], b[16];
	int i;

	seq++;
	for (i = from; i < to; i++)
		model_add(i, -1);
	OK(memtable_delete_range(m, key_of(from, a), key_of(to, b), seq));
}

static struct compact_env env_with_snapshots(void)
{
	struct compact_env e = tree_env(&t);

	e.snapshots = snapshots;
	e.snapshot_count = snapshot_count;
	return e;
}

static void flush(struct memtable **mems, size_t count)
{
	struct compact_env e = env_with_snapshots();
	struct version_edit edit = {0};
	size_t i;

	OK(flush_memtables(&e, mems, count, &edit));
	ck_assert_uint_le(edit.added_count, 1);
	OK(version_set_apply(&t.vs, &edit, NULL, NULL));
	version_edit_release(&edit);
	for (i = 0; i < count; i++)
		memtable_put_ref(mems[i]);
}

static void random_writes(int count)
{
	struct memtable *m[2];
	int i, k;

	for (k = 0; k < 2; k++) {
		m[k] = memtable_new(1);
		ck_assert_ptr_nonnull(m[k]);
		for (i = 0; i < count / 2; i++) {
			int key = (int)(rnd(&rng) % KEYS);
			int end = key + 1 + (int)(rnd(&rng) % 40);

			switch (rnd(&rng) % 16) {
			case 0:
			case 1:
			case 2:
				delete (m[k], key);
				break;
			case 3:
				delete_range(m[k], key,
					     end < KEYS ? end : KEYS);
				break;
			default:
				put(m[k], key);
			}
		}
	}
	flush(m, 2);
}

static void snapshot(void)
{
	ck_assert_uint_lt(snapshot_count, SNAPSHOTS);
	snapshots[snapshot_count++] = seq;
	t.vs.oldest_snapshot = snapshots[0];
}

static void release_snapshots(size_t keep)
{
	snapshot_count = keep;
	t.vs.oldest_snapshot = keep ? snapshots[0] : SEQ_MAX;
}

/* ---- compacting ------------------------------------------------------------
 */

static void run(struct compaction *c)
{
	struct compact_env e = env_with_snapshots();
	struct version_edit edit = {0};

	OK(compaction_run(&e, c, &edit));
	OK(version_set_apply(&t.vs, &edit, NULL, NULL));
	version_edit_release(&edit);
	mutex_lock(&t.mutex);
	compaction_free(c);
	mutex_unlock(&t.mutex);
	version_set_delete_obsolete(&t.vs);
}

static int compact_all(void)
{
	int n = 0;

	for (;; n++) {
		struct compaction *c;

		mutex_lock(&t.mutex);
		c = compact_pick(&t.vs, &t.options);
		mutex_unlock(&t.mutex);
		if (!c)
			return n;
		ck_assert_int_lt(n, 10000);
		run(c);
	}
}

static void compact_by_hand(void)
{
	struct lsm_slice all = {NULL, 0};
	unsigned level;
	bool busy;
	int n;

	for (level = 0; level < LSM_LEVELS; level++) {
		for (n = 0;; n++) {
			struct compaction *c;

			mutex_lock(&t.mutex);
			c = compact_pick_range(&t.vs, &t.options, level, all,
					       all, &busy);
			mutex_unlock(&t.mutex);
			ck_assert(!busy);
			ck_assert_int_lt(n, 1000);
			if (!c)
				break;
			run(c);
		}
	}
}

/* ---- reading ---------------------------------------------------------------
 */

static void assert_get(int key, uint64_t at, unsigned flags)
{
	struct sst_pin pin = {0};
	enum entry_kind kind;
	char k[16], v[128];
	int want = model_get(key, at), res;

	if (flags)
		epoch_pin();
	res = version_lookup(t.vs.current, key_of(key, k), at, flags, &kind,
			     &pin);
	if (flags && res == -EAGAIN) {
		epoch_unpin();
		return;
	}
	if (want < 0) {
		ck_assert_msg(res == LOOKUP_MISS || res == LOOKUP_DELETED,
			      "key %d at %d: %d", key, (int)at, res);
	} else {
		ck_assert_msg(res == LOOKUP_FOUND, "key %d at %d: %d, not %d",
			      key, (int)at, res, want);
		ck_assert(slice_eq(pin.data, value_of(want, v)));
	}
	sst_pin_release(&pin, t.cache);
	if (flags)
		epoch_unpin();
}

/* The newest visible entry of each key, range tombstones applied, in the
 * direction asked for; key n is -1 or the sequence that wrote it. */
static void scan(uint64_t at, bool backward, int from, int to, int out[KEYS])
{
	const struct sst_iter_options o = {.fill_cache = true};
	struct version_iters its;
	char a[16], b[16];
	struct lsm_slice lower = key_of(from, a), upper = key_of(to, b);
	uint64_t best[KEYS] = {0};
	size_t i;

	for (i = 0; i < KEYS; i++)
		out[i] = -1;
	version_iters_init(&its);
	OK(version_add_iters(t.vs.current, &o, lower, upper, &its));
	for (i = 0; i < its.count; i++) {
		struct iter *it = its.iters[i];
		struct lsm_slice last = {NULL, 0};
		uint64_t last_tag = 0;
		char copy[16];
		int k;

		/* tombstones of this source, asked key by key */
		for (k = from; its.covers[i].cover && k < to; k++) {
			struct range_cover cover;
			char key[16];
			int at_key = backward ? from + to - 1 - k : k;

			OK(its.covers[i].cover(its.covers[i].arg,
					       key_of(at_key, key), at,
					       &cover));
			ck_assert_uint_le(cover.seq, at);
			ck_assert(!cover.start.len ||
				  slice_cmp(cover.start, key_of(at_key, key)) <=
					  0);
			ck_assert(!cover.end.len ||
				  slice_cmp(cover.end, key_of(at_key, key)) >
					  0);
			if (cover.seq > best[at_key]) {
				best[at_key] = cover.seq;
				out[at_key] = -1;
			}
		}
		if (backward)
			iter_seek_for_prev(it, upper, UINT64_MAX);
		else
			iter_seek(it, lower, UINT64_MAX);
		while (it->valid) {
			int n = number_of(it->key);

			ck_assert(!last.len ||
				  (entry_cmp(it->key, it->tag, last, last_tag) <
				   0) == backward);
			memcpy(copy, it->key.data, 8);
			last = lsm_slice(copy, 8);
			last_tag = it->tag;
			if (n >= to || n < from)
				break;
			if (tag_seq(it->tag) <= at &&
			    tag_seq(it->tag) > best[n]) {
				best[n] = tag_seq(it->tag);
				out[n] = tag_kind(it->tag) == KIND_PUT
						 ? (int)best[n]
						 : -1;
			}
			if (backward)
				iter_prev(it);
			else
				iter_next(it);
		}
		OK(it->err);
		iter_free(it);
	}
	version_iters_release(&its);
}

static void assert_view(uint64_t at)
{
	int got[KEYS], i, from, to;

	for (i = 0; i < KEYS; i++) {
		assert_get(i, at, 0);
		assert_get(i, at, SST_LOOKUP_CACHED);
	}
	from = (int)(rnd(&rng) % KEYS);
	to = from + 1 + (int)(rnd(&rng) % (uint64_t)(KEYS - from));
	scan(at, rnd(&rng) & 1, from, to, got);
	for (i = from; i < to; i++)
		ck_assert_int_eq(got[i], model_get(i, at));
	scan(at, rnd(&rng) & 1, 0, KEYS, got);
	for (i = 0; i < KEYS; i++)
		ck_assert_int_eq(got[i], model_get(i, at));
}

static void assert_all_views(void)
{
	size_t i;

	for (i = 0; i < snapshot_count; i++)
		assert_view(snapshots[i]);
	assert_view(seq);
}

static uint64_t count_entries(uint64_t *deletions)
{
	const struct version *v = t.vs.current;
	uint64_t n = 0;
	unsigned level;
	size_t i;

	*deletions = 0;
	for (level = 0; level < LSM_LEVELS; level++) {
		for (i = 0; i < v->count[level]; i++) {
			const struct sst_meta *m = &v->level[level][i]->meta;

			n += m->entries;
			*deletions += m->deletions + m->range_deletions;
		}
	}
	return n;
}

static uint64_t model_live(uint64_t at)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < KEYS; i++)
		n += model_get(i, at) >= 0;
	return n;
}

/* ---- tests ------------------------------------------------------------------
 */

static void setup(void)
{
	tree_init(&t);
	OK(tree_try_open(&t, true, false));
	rng = test_seed(20) | 1;
	/* small, so that there are several levels and many tables */
	t.options.level_base_bytes = 3 << 10;
	t.options.level_multiplier = 3;
	t.options.table_bytes = 2 << 10;
	t.options.sst.block_bytes = 256;
	t.options.sst.lz4 = rng & 2;
}

static void teardown(void)
{
	int i;

	tree_close(&t);
	tree_release(&t);
	for (i = 0; i < KEYS; i++)
		free(history[i]);
}

START_TEST(every_snapshot_sees_the_same_before_and_after)
{
	unsigned level, used = 0;
	int round;

	for (round = 0; round < 30; round++) {
		random_writes(300);
		if (round % 6 == 2)
			snapshot();
		assert_all_views();
		if (round % 3 == 0) {
			compact_all();
			assert_all_views();
			for (level = 1; level < LSM_LEVELS; level++)
				used |= t.vs.current->count[level] ? 1u << level
								   : 0;
		}
	}
	/* or this says little about compaction between levels */
	ck_assert_uint_gt(used, 1u << 6);
	compact_by_hand();
	assert_all_views();
}
END_TEST

START_TEST(without_snapshots_only_the_newest_values_are_left)
{
	uint64_t deletions;
	int round;

	for (round = 0; round < 12; round++) {
		random_writes(300);
		if (round == 3 || round == 7)
			snapshot();
		compact_all();
	}
	assert_all_views();
	release_snapshots(0);
	compact_by_hand();
	assert_all_views();
	/* what was kept for the snapshots may still be there, until it is
	 * compacted again; tombstones may not */
	count_entries(&deletions);
	ck_assert_uint_eq(deletions, 0);
	random_writes(300);
	random_writes(300);
	{
		struct memtable *m = memtable_new(1);

		delete_range(m, 0, KEYS);
		flush(&m, 1);
	}
	random_writes(200);
	compact_by_hand();
	assert_all_views();
	ck_assert_uint_eq(count_entries(&deletions), model_live(seq));
	ck_assert_uint_eq(deletions, 0);
}
END_TEST

START_TEST(deleting_everything_leaves_no_table)
{
	struct memtable *m = memtable_new(1);
	unsigned level;
	int i;

	for (i = 0; i < 8; i++)
		random_writes(400);
	compact_all();
	delete_range(m, 0, KEYS);
	flush(&m, 1);
	compact_by_hand();
	for (level = 0; level < LSM_LEVELS; level++)
		ck_assert_uint_eq(t.vs.current->count[level], 0);
	assert_all_views();
}
END_TEST

START_TEST(hidden_tables_are_dropped_without_being_read)
{
	struct lsm_slice all = {NULL, 0};
	struct compact_env e;
	struct version_edit edit = {0};
	struct memtable *m = NULL;
	struct compaction *c;
	bool busy;
	int i;

	t.options.level_base_bytes = 1 << 20; /* one level */
	for (i = 0; i < 2 * KEYS; i++) {
		if (i % KEYS == 0)
			m = memtable_new(1);
		put(m, i % KEYS);
		if (i % KEYS == KEYS - 1)
			flush(&m, 1);
	}
	compact_by_hand();
	ck_assert_uint_gt(t.vs.current->count[6], 1);
	m = memtable_new(1);
	delete_range(m, 0, KEYS);
	flush(&m, 1);
	mutex_lock(&t.mutex);
	c = compact_pick_range(&t.vs, &t.options, 0, all, all, &busy);
	mutex_unlock(&t.mutex);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_gt(c->input_count[1], 1);
	e = env_with_snapshots();
	OK(compaction_run(&e, c, &edit));
	/* the table that holds the tombstone is looked through, no other */
	ck_assert_uint_le(e.read_bytes, c->inputs[0][0]->meta.file_bytes);
	ck_assert_uint_eq(edit.added_count, 0);
	OK(version_set_apply(&t.vs, &edit, NULL, NULL));
	version_edit_release(&edit);
	mutex_lock(&t.mutex);
	compaction_free(c);
	mutex_unlock(&t.mutex);
	assert_all_views();
}
END_TEST

START_TEST(tombstones_of_a_snapshot_stay_until_it_is_gone)
{
	struct memtable *m = memtable_new(1);
	uint64_t deletions;
	int i;

	for (i = 0; i < KEYS; i++)
		put(m, i);
	flush(&m, 1);
	snapshot();
	m = memtable_new(1);
	delete_range(m, 10, KEYS - 10);
	flush(&m, 1);
	compact_by_hand();
	count_entries(&deletions);
	ck_assert_uint_gt(deletions, 0);
	assert_all_views();
	release_snapshots(0);
	compact_by_hand();
	compact_all();
	ck_assert_uint_eq(count_entries(&deletions), 20);
	ck_assert_uint_eq(deletions, 0);
	assert_all_views();
}
END_TEST

START_TEST(recovered_tree_answers_the_same)
{
	int i;

	for (i = 0; i < 10; i++) {
		random_writes(300);
		compact_all();
	}
	snapshot();
	random_writes(300);
	tree_close(&t);
	OK(tree_try_open(&t, false, false));
	assert_all_views();
	ck_assert_uint_eq(t.vs.last_seq, seq);
}
END_TEST

START_TEST(empty_memtable_makes_no_table)
{
	struct memtable *m = memtable_new(1);

	flush(&m, 1);
	ck_assert_uint_eq(t.vs.current->count[0], 0);
}
END_TEST

static int count_tables(void *arg, const char *name, uint64_t bytes)
{
	uint64_t number;

	if (file_name_parse(name, &number) == FILE_SST)
		(*(size_t *)arg)++;
	return 0;
}

START_TEST(failed_compaction_leaves_nothing_behind_and_nothing_changed)
{
	uint64_t nth;
	size_t before = 0, after;
	int i;

	for (i = 0; i < 4; i++)
		random_writes(400);
	OK(env_dir_list(t.dir, count_tables, &before));
	for (nth = 0;; nth++) {
		struct compact_env e = env_with_snapshots();
		struct version_edit edit = {0};
		struct compaction *c;
		int err;

		mutex_lock(&t.mutex);
		c = compact_pick(&t.vs, &t.options);
		mutex_unlock(&t.mutex);
		ck_assert_ptr_nonnull(c);
		/* one call fails; cleaning up may do its work */
		env_fault_fail_at(t.env, env_fault_calls(t.env) + nth, -ENOSPC,
				  false);
		err = compaction_run(&e, c, &edit);
		env_fault_clear(t.env);
		if (!err) {
			ck_assert_uint_gt(nth, 5);
			OK(version_set_apply(&t.vs, &edit, NULL, NULL));
		}
		version_edit_release(&edit);
		mutex_lock(&t.mutex);
		compaction_free(c);
		mutex_unlock(&t.mutex);
		if (!err)
			break;
		ck_assert_int_eq(err, -ENOSPC);
		after = 0;
		OK(env_dir_list(t.dir, count_tables, &after));
		ck_assert_uint_eq(before, after);
	}
	assert_all_views();
}
END_TEST

START_TEST(stopped_compaction_gives_up)
{
	_Atomic bool stop = true;
	struct compact_env e;
	struct version_edit edit = {0};
	struct compaction *c;
	int i;

	for (i = 0; i < 8; i++)
		random_writes(600);
	mutex_lock(&t.mutex);
	c = compact_pick(&t.vs, &t.options);
	mutex_unlock(&t.mutex);
	ck_assert_ptr_nonnull(c);
	e = env_with_snapshots();
	e.stop = &stop;
	ck_assert_int_eq(compaction_run(&e, c, &edit), -ECANCELED);
	version_edit_release(&edit);
	mutex_lock(&t.mutex);
	compaction_free(c);
	mutex_unlock(&t.mutex);
}
END_TEST

START_TEST(tables_are_cut_to_size_and_stay_disjoint)
{
	const struct version *v;
	size_t i;
	int k;

	for (k = 0; k < 20; k++) {
		random_writes(400);
		compact_all();
	}
	compact_by_hand();
	v = t.vs.current;
	ck_assert_uint_gt(v->count[6], 2);
	for (i = 0; i < v->count[6]; i++)
		ck_assert_uint_lt(v->level[6][i]->meta.file_bytes,
				  2 * t.options.table_bytes);
}
END_TEST

START_TEST(rate_limit_is_kept)
{
	struct rate_limiter *r = rate_limiter_new(1000000);
	uint64_t start = clock_ns(), ns;
	int i;

	ck_assert_ptr_nonnull(r);
	for (i = 0; i < 30; i++)
		rate_limiter_take(r, 10000, NULL);
	ns = clock_ns() - start;
	/* 300 KB at 1 MB/s, less what was saved up */
	ck_assert_uint_ge(ns, 190000000);
	rate_limiter_free(r);
	rate_limiter_take(NULL, 1, NULL);
	ck_assert_ptr_null(rate_limiter_new(0));
}
END_TEST

/* ---- readers beside compactions
 * ---------------------------------------------- */

static _Atomic bool readers_stop;
static _Atomic(struct version *) shared;

static void put_version(void *arg)
{
	version_put(arg);
}

/* As the database does it: the readers' version holds a reference of its own,
 * which goes when every pinned reader has left. */
static void publish(void)
{
	struct version *old;

	version_ref(t.vs.current);
	/* pairs with the acquire in reader() */
	old = atomic_exchange_explicit(&shared, t.vs.current,
				       memory_order_acq_rel);
	if (old)
		epoch_retire(put_version, old);
}

static void *reader(void *arg)
{
	uint64_t s = (uint64_t)(uintptr_t)arg, cached = 0, to_disk = 0;

	while (!atomic_load_explicit(&readers_stop, memory_order_relaxed)) {
		struct sst_pin pin = {0};
		enum entry_kind kind;
		struct version *v;
		char k[16];
		int res;

		epoch_pin();
		/* pairs with the exchange in publish() */
		v = atomic_load_explicit(&shared, memory_order_acquire);
		res = version_lookup(v, key_of((int)(rnd(&s) % KEYS), k),
				     SEQ_MAX, SST_LOOKUP_CACHED, &kind, &pin);
		if (res == -EAGAIN)
			version_ref(v);
		epoch_unpin();
		if (res != -EAGAIN) {
			cached++;
			continue;
		}
		res = version_lookup(v, key_of((int)(rnd(&s) % KEYS), k),
				     SEQ_MAX, 0, &kind, &pin);
		ck_assert_int_ge(res, 0);
		sst_pin_release(&pin, t.cache);
		version_put(v);
		to_disk++;
	}
	ck_assert_uint_gt(cached + to_disk, 0);
	return NULL;
}

START_TEST(readers_go_on_while_tables_come_and_go)
{
	pthread_t r[2];
	size_t i;
	int k;

	random_writes(300);
	publish();
	for (i = 0; i < 2; i++)
		OK(pthread_create(&r[i], NULL, reader, (void *)(i + 7)));
	for (k = 0; k < 25; k++) {
		random_writes(200);
		publish();
		compact_all();
		publish();
		version_set_delete_obsolete(&t.vs);
	}
	atomic_store_explicit(&readers_stop, true, memory_order_relaxed);
	for (i = 0; i < 2; i++)
		OK(pthread_join(r[i], NULL));
	version_put(atomic_load_explicit(&shared, memory_order_relaxed));
	epoch_barrier();
	assert_all_views();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("compact");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, every_snapshot_sees_the_same_before_and_after);
	tcase_add_test(c, without_snapshots_only_the_newest_values_are_left);
	tcase_add_test(c, deleting_everything_leaves_no_table);
	tcase_add_test(c, hidden_tables_are_dropped_without_being_read);
	tcase_add_test(c, tombstones_of_a_snapshot_stay_until_it_is_gone);
	tcase_add_test(c, recovered_tree_answers_the_same);
	tcase_add_test(c, empty_memtable_makes_no_table);
	tcase_add_test(
		c, failed_compaction_leaves_nothing_behind_and_nothing_changed);
	tcase_add_test(c, stopped_compaction_gives_up);
	tcase_add_test(c, tables_are_cut_to_size_and_stay_disjoint);
	tcase_add_test(c, rate_limit_is_kept);
	tcase_add_test(c, readers_go_on_while_tables_come_and_go);
	suite_add_tcase(s, c);
	return run_suite(s);
}
