/* SPDX-License-Identifier: MIT */
/*
 * script.h - a fixed history of a store on a disk in memory, for tests that
 * break the disk at every point of it.
 *
 * Every write is one batch that also puts its own number under MARK_KEY, so
 * that a store found after a crash says itself up to where its history goes.
 * history[n] is the state after write n; history[0] the empty store.
 */
#ifndef TESTS_LSM_DB_SCRIPT_H
#define TESTS_LSM_DB_SCRIPT_H

#include "tests/lsm/db/db_check.h"

#define SCRIPT_STEPS 320
#define SCRIPT_KEYS  48
#define SCRIPT_PATH  "/store"
#define MARK_KEY     "mark"

enum step_kind {
	STEP_WRITE,
	STEP_WRITE_SYNC,
	STEP_SYNC,
	STEP_FLUSH,
	STEP_COMPACT,
	STEP_NAME,
	STEP_UNNAME,
	STEP_REOPEN,
};

struct script {
	struct lsm_env *env;
	struct lsm_options options;
	struct lsm_db *db;
	unsigned steps; /* of SCRIPT_STEPS, to be run */
	enum step_kind kind[SCRIPT_STEPS];
	uint64_t step_seed[SCRIPT_STEPS];
	uint32_t writes; /* writes in the whole script */
	struct model history[SCRIPT_STEPS + 1];
	/* How far a run came. */
	uint32_t tried;  /* the last write begun */
	uint32_t acked;  /* the last write that returned 0 */
	uint32_t synced; /* the last write known to be durable */
	/* The named snapshot: what is known and what may be. 0: none. */
	uint32_t name_at, name_tried_at;
	bool name_unsure;
};

/* Keys from i on are given to keys from j on, as they were before the write. */
static inline int script_share(const struct script *s, uint32_t number,
			       unsigned i, unsigned j, unsigned count,
			       struct lsm_batch *b, struct model *m)
{
	const struct model *was = &s->history[number - 1];
	struct lsm_iter *it = NULL;
	char key[16];
	int r = b ? lsm_iter_new(s->db, NULL, &it) : 0;

	for (; count && i < m->keys && j < m->keys && !r; i++, j++, count--) {
		if (!was->value[i])
			continue;
		m->value[j] = was->value[i];
		if (!b)
			continue;
		r = lsm_iter_seek(it, model_key(key, i));
		if (!r)
			r = lsm_batch_put_shared(b, model_key(key, j), it);
	}
	lsm_iter_free(it);
	return r;
}

/* Fills b, may be NULL, and applies the write to m. 0, or what reading the disk
 * for it met. */
static inline int script_fill(const struct script *s, unsigned step,
			      uint32_t number, struct lsm_batch *b,
			      struct model *m)
{
	uint64_t seed = s->step_seed[step];
	char key[16], end[16], value[8192];

	for (unsigned n = 1 + rnd_below(&seed, 4); n; n--) {
		unsigned i = rnd_below(&seed, SCRIPT_KEYS);
		unsigned what = rnd_below(&seed, 13);
		unsigned j = i + 1 + rnd_below(&seed, 10);
		uint32_t v = number * 8 + n;

		if (what < 7) {
			m->value[i] = v;
			if (b)
				ck_ok(lsm_batch_put(b, model_key(key, i),
						    model_value(value, v)));
		} else if (what < 9) {
			m->value[i] = 0;
			if (b)
				ck_ok(lsm_batch_delete(b, model_key(key, i)));
		} else if (what < 12) {
			int r = script_share(s, number, i,
					     rnd_below(&seed, SCRIPT_KEYS),
					     1 + rnd_below(&seed, 6), b, m);

			if (r)
				return r;
		} else {
			if (b)
				ck_ok(lsm_batch_delete_range(
					b, model_key(key, i),
					model_key(end, j)));
			for (; i < j && i < m->keys; i++)
				m->value[i] = 0;
		}
	}
	if (b)
		ck_ok(lsm_batch_put(b, slice_of(MARK_KEY),
				    lsm_slice(&number, sizeof(number))));
	return 0;
}

static inline enum step_kind script_pick(uint64_t *seed)
{
	unsigned what = rnd_below(seed, 100);

	return what < 70   ? STEP_WRITE
	       : what < 78 ? STEP_WRITE_SYNC
	       : what < 84 ? STEP_SYNC
	       : what < 89 ? STEP_FLUSH
	       : what < 92 ? STEP_COMPACT
	       : what < 95 ? STEP_NAME
	       : what < 97 ? STEP_UNNAME
			   : STEP_REOPEN;
}

static inline void script_print(void *arg, enum lsm_log_level level,
				const char *msg)
{
	fprintf(stderr, "# %s\n", msg);
}

/* DB_LOG=1 shows what the store says. With an odd seed values go into blob
 * files; if it is one more than a multiple of four, most batches write them
 * there themselves. */
static inline void script_init(struct script *s, uint64_t seed, unsigned steps)
{
	memset(s, 0, sizeof(*s));
	s->steps = steps;
	s->env = env_fault_new();
	ck_assert_ptr_nonnull(s->env);
	/* Nothing in the background but the flushes that writes ask for, so
	 * that one run is much like the next. */
	s->options = (struct lsm_options){
		.env = s->env,
		.write_buffer_bytes = 8192,
		.memory_bytes = 1 << 20,
		.block_bytes = 512,
		.table_bytes = 4096,
		.level_base_bytes = 8192,
		.level_multiplier = 2,
		.level0_compact_trigger = 2,
		.no_background_compaction = true,
		.wal_sync_interval_ms = UINT32_MAX,
		/* most values are of 4 to 43 bytes */
		.blob_bytes = seed % 2 ? 20 : 0,
		.blob_file_bytes = 4096,
		.blob_direct_bytes = seed % 4 == 1 ? 30 : UINT32_MAX,
	};
	if (getenv("DB_LOG")) {
		s->options.log = script_print;
		s->options.log_level = LSM_LOG_DEBUG;
	}
	s->history[0].keys = SCRIPT_KEYS;
	for (unsigned i = 0; i < steps; i++) {
		s->kind[i] = script_pick(&seed);
		s->step_seed[i] = rnd(&seed);
		if (s->kind[i] > STEP_WRITE_SYNC)
			continue;
		s->history[s->writes + 1] = s->history[s->writes];
		s->writes++;
		ck_ok(script_fill(s, i, s->writes, NULL,
				  &s->history[s->writes]));
	}
}

static inline void script_release(struct script *s)
{
	env_fault_free(s->env);
}

/* The number under MARK_KEY; 0 when there is none. */
static inline uint32_t script_mark(struct lsm_db *db,
				   const struct lsm_snapshot *snapshot)
{
	struct lsm_pin pin = {0};
	uint32_t mark = 0;
	int r = lsm_get(db, snapshot, slice_of(MARK_KEY), &pin);

	if (r == 0) {
		ck_assert_uint_eq(pin.len, sizeof(mark));
		memcpy(&mark, pin.data, sizeof(mark));
	} else {
		ck_assert_int_eq(r, LSM_NOTFOUND);
	}
	lsm_unpin(&pin);
	return mark;
}

/* All keys but the mark are exactly those of history[n]. */
static inline void script_check_state(struct script *s, struct lsm_db *db,
				      const struct lsm_snapshot *snapshot,
				      uint32_t n)
{
	const struct model *m = &s->history[n];
	struct lsm_iter_options o = {.snapshot = snapshot,
				     .upper = slice_of("l")};
	struct lsm_iter *it;
	int i, r;

	ck_assert_uint_eq(script_mark(db, snapshot), n);
	ck_ok(lsm_iter_new(db, &o, &it));
	r = lsm_iter_first(it);
	for (i = model_next(m, 0); i >= 0; i = model_next(m, i + 1)) {
		model_check_at(m, it, r, i);
		r = lsm_iter_next(it);
	}
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
}

static inline void script_durable(struct script *s)
{
	s->synced = s->acked;
}

/* One step; what it returned. */
static inline int script_step(struct script *s, unsigned i)
{
	struct lsm_write_options wo = {.sync = s->kind[i] == STEP_WRITE_SYNC};
	struct model ignored = {.keys = SCRIPT_KEYS};
	struct lsm_batch *b;
	int r;

	switch (s->kind[i]) {
	case STEP_WRITE:
	case STEP_WRITE_SYNC:
		b = lsm_batch_new();
		ck_assert_ptr_nonnull(b);
		s->tried++;
		r = script_fill(s, i, s->tried, b, &ignored);
		if (!r)
			r = lsm_write(s->db, b, &wo);
		lsm_batch_free(b);
		if (!r)
			s->acked = s->tried;
		if (!r && wo.sync)
			script_durable(s);
		return r;
	case STEP_SYNC:
		r = lsm_sync(s->db);
		if (!r)
			script_durable(s);
		return r;
	case STEP_FLUSH:
		r = lsm_flush(s->db);
		if (!r)
			script_durable(s);
		return r;
	case STEP_COMPACT:
		r = lsm_compact_range(s->db, lsm_slice(NULL, 0),
				      lsm_slice(NULL, 0));
		if (!r)
			script_durable(s);
		return r;
	case STEP_NAME:
		if (s->name_at)
			return 0;
		s->name_tried_at = s->acked;
		s->name_unsure = true;
		r = lsm_snapshot_create(s->db, "name");
		if (r)
			return r;
		s->name_unsure = false;
		s->name_at = s->acked;
		script_durable(s);
		return 0;
	case STEP_UNNAME:
		if (!s->name_at)
			return 0;
		s->name_tried_at = s->name_at;
		s->name_unsure = true;
		r = lsm_snapshot_delete(s->db, "name");
		if (r)
			return r;
		s->name_unsure = false;
		s->name_at = 0;
		return 0;
	case STEP_REOPEN:
		r = lsm_close(s->db);
		s->db = NULL;
		if (r)
			return r;
		script_durable(s);
		return lsm_open(SCRIPT_PATH, &s->options, &s->db);
	}
	return -EINVAL;
}

/* Runs until the first step that fails; its result. The store stays open, or
 * s->db is NULL. */
static inline int script_run(struct script *s)
{
	int r = lsm_open(SCRIPT_PATH, &s->options, &s->db);

	for (unsigned i = 0; i < s->steps && !r; i++)
		r = script_step(s, i);
	return r;
}

#endif
