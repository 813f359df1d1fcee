/* SPDX-License-Identifier: MIT */
/*
 * test_mixed.c - everything at once, at random: small and bulk batches, shared
 * values, deletes, range deletes, snapshots with and without names, iterators
 * that stay open, checkpoints, flushes, compactions, collection and read-ahead
 * in the background, reopening with other options; on a disk in memory also
 * power loss, full disks and refused calls. Two more threads read meanwhile.
 *
 * The model is the state after each write. Every write puts its own number
 * under MARK, so a store found after power loss says which state it claims to
 * be; that must be no older than the last acknowledged sync.
 *
 * MIXED_SECONDS (3) for each seed; TEST_SEED repeats one.
 */
#include <stdatomic.h>
#include <time.h>

#include "lsm/env/env.h"
#include "tests/lsm/db/db_check.h"

#define KEYS         400
#define HISTORY      4096 /* states kept; power loss goes back less far */
#define MARK         "mark"
#define STORE        "/store"
#define COPY         "/copy"
#define LEN_MAX      70000
#define BORROWED_MAX 128

struct state {
	uint32_t number;  /* of the write */
	uint32_t v[KEYS]; /* what a value is made of; 0: absent */
};

struct snap {
	const struct lsm_snapshot *snapshot;
	struct lsm_iter *it; /* instead */
	struct state *state;
};

struct named {
	char name[16];
	struct state *state; /* NULL: there is none */
};

struct mixed {
	uint64_t seed;
	struct lsm_env *env; /* NULL: the operating system's */
	char path[64], copy[80];
	struct lsm_options options;
	struct lsm_db *db;
	struct state now;
	struct state *history; /* ring by number */
	uint32_t synced;       /* number of the last write known durable */
	uint32_t next_value;
	bool failing; /* a fault is armed: errors are allowed */
	uint8_t *borrow[BORROWED_MAX]; /* by the batch that is being made */
	unsigned borrowed;
	struct snap snaps[4];
	struct named named[4];
	/* Readers run while the lock is theirs to take; the store may be
	 * closed while it is not. */
	pthread_rwlock_t open;
	_Atomic bool stop;
};

static const struct lsm_slice none;
static bool trace;

#define say(...)                                           \
	do {                                               \
		if (trace) {                               \
			fprintf(stderr, "# " __VA_ARGS__); \
			fputc('\n', stderr);               \
		}                                          \
	} while (0)

static void log_line(void *arg, enum lsm_log_level level, const char *msg)
{
	fprintf(stderr, "# %s\n", msg);
}

/* ---- values ---- */

/* All of a value follows from its number. */
static struct lsm_slice value_of(uint32_t v, uint8_t *buf)
{
	uint64_t seed = v;
	unsigned kind = rnd_below(&seed, 100);
	size_t len = kind < 25   ? 4 + rnd_below(&seed, 60)
		     : kind < 40 ? 200 + rnd_below(&seed, 800)
		     : kind < 95 ? 4096
		     : kind < 99 ? 1000 + rnd_below(&seed, 9000)
				 : 20000 + rnd_below(&seed, 50000);
	uint64_t noise = rnd(&seed);
	bool hard = kind % 2;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t x = hard ? rnd(&seed) : noise + i / 64;

		memcpy(buf + i, &x, len - i < 8 ? len - i : 8);
	}
	memcpy(buf, &v, 4);
	return lsm_slice(buf, len);
}

static uint32_t number_of(struct lsm_slice got, uint8_t *buf)
{
	struct lsm_slice want;
	uint32_t v;

	ck_assert_uint_ge(got.len, 4);
	memcpy(&v, got.data, 4);
	want = value_of(v, buf);
	ck_assert_uint_eq(got.len, want.len);
	ck_assert(!memcmp(got.data, want.data, want.len));
	return v;
}

/* ---- the model ---- */

static struct state *state_at(struct mixed *m, uint32_t number)
{
	return &m->history[number % HISTORY];
}

static struct state *copy_state(const struct state *s)
{
	struct state *c = malloc(sizeof(*c));

	ck_assert_ptr_nonnull(c);
	*c = *s;
	return c;
}

/* ---- judging ---- */

static void check_scan(struct mixed *m, struct lsm_db *db,
		       const struct lsm_snapshot *snapshot,
		       const struct state *want, bool back)
{
	struct lsm_iter_options o = {.snapshot = snapshot,
				     .upper = slice_of("l"),
				     .no_fill_cache = back};
	uint8_t *buf = malloc(LEN_MAX + 8);
	struct lsm_iter *it;
	int r;

	ck_ok(lsm_iter_new(db, &o, &it));
	r = back ? lsm_iter_last(it) : lsm_iter_first(it);
	for (unsigned n = 0; n < KEYS; n++) {
		unsigned i = back ? KEYS - 1 - n : n;
		uint32_t v;

		if (!want->v[i])
			continue;
		ck_assert_msg(!r, "state %u: key %u (value %u): %d",
			      want->number, i, want->v[i], r);
		ck_assert_uint_eq(model_index(lsm_iter_key(it)), i);
		ck_assert_msg(lsm_iter_value(it).data, "key %u: %d", i,
			      lsm_iter_error(it));
		v = number_of(lsm_iter_value(it), buf);
		ck_assert_msg(v == want->v[i], "state %u: key %u is %u, not %u",
			      want->number, i, v, want->v[i]);
		ck_assert_uint_eq(lsm_iter_value_len(it),
				  lsm_iter_value(it).len);
		r = back ? lsm_iter_prev(it) : lsm_iter_next(it);
	}
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
	free(buf);
}

static uint32_t mark_of(struct lsm_db *db, const struct lsm_snapshot *snapshot)
{
	struct lsm_pin pin = {0};
	uint32_t mark = 0;
	int r = lsm_get(db, snapshot, slice_of(MARK), &pin);

	if (!r)
		memcpy(&mark, pin.data, sizeof(mark));
	else
		ck_assert_int_eq(r, LSM_NOTFOUND);
	lsm_unpin(&pin);
	return mark;
}

static void check_gets(struct mixed *m)
{
	uint8_t *buf = malloc(LEN_MAX + 8);
	struct lsm_slice keys[16];
	struct lsm_pin pins[16] = {{0}};
	char names[16][16];
	unsigned at[16];
	int results[16];

	for (unsigned k = 0; k < 16; k++) {
		at[k] = rnd_below(&m->seed, KEYS);
		keys[k] = model_key(names[k], at[k]);
	}
	if (rnd_below(&m->seed, 2)) {
		(void)lsm_multi_get(m->db, NULL, 16, keys, pins, results);
	} else {
		for (unsigned k = 0; k < 16; k++)
			results[k] = lsm_get(m->db, NULL, keys[k], &pins[k]);
	}
	for (unsigned k = 0; k < 16; k++) {
		uint32_t want = m->now.v[at[k]];

		ck_assert_msg(results[k] == (want ? 0 : LSM_NOTFOUND),
			      "key %u (value %u): %d", at[k], want, results[k]);
		if (want)
			ck_assert_uint_eq(
				number_of(lsm_slice(pins[k].data, pins[k].len),
					  buf),
				want);
		lsm_unpin(&pins[k]);
	}
	free(buf);
}

static void check_names(struct mixed *m, struct lsm_db *db)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct lsm_snapshot *s;
		int r = lsm_snapshot_open(db, m->named[i].name, &s);

		if (!m->named[i].state) {
			ck_assert_int_eq(r, LSM_NOTFOUND);
			continue;
		}
		ck_ok(r);
		check_scan(m, db, s, m->named[i].state, i % 2);
		lsm_snapshot_release(db, s);
	}
}

/* ---- the readers ---- */

/* What they find is some value that was made for the test, whole. */
static void *reader_main(void *arg)
{
	struct mixed *m = arg;
	uint8_t *buf = malloc(LEN_MAX + 8);
	uint64_t seed = (uint64_t)(uintptr_t)buf;
	struct lsm_pin pin = {0};

	while (!atomic_load(&m->stop)) {
		struct lsm_iter *it;
		char key[16];
		int r;

		pthread_rwlock_rdlock(&m->open);
		if (!m->db) {
			pthread_rwlock_unlock(&m->open);
			usleep(500);
			continue;
		}
		for (unsigned i = 0; i < 30; i++) {
			r = lsm_get(m->db, NULL,
				    model_key(key, rnd_below(&seed, KEYS)),
				    &pin);
			if (!r)
				number_of(lsm_slice(pin.data, pin.len), buf);
			else if (r != LSM_NOTFOUND)
				ck_assert(m->env);
		}
		lsm_unpin(&pin);
		if (rnd_below(&seed, 4) == 0)
			(void)lsm_prefetch(
				m->db, model_key(key, rnd_below(&seed, KEYS)),
				none);
		r = lsm_iter_new(m->db, NULL, &it);
		if (!r) {
			r = lsm_iter_seek(
				it, model_key(key, rnd_below(&seed, KEYS)));
			for (unsigned i = 0; i < 60 && !r; i++) {
				struct lsm_slice v = lsm_iter_value(it);

				if (v.data && lsm_iter_key(it).len == 6)
					number_of(v, buf);
				r = i % 20 == 19 ? lsm_iter_prev(it)
						 : lsm_iter_next(it);
			}
			lsm_iter_free(it);
		}
		pthread_rwlock_unlock(&m->open);
		usleep(200);
	}
	lsm_unpin(&pin);
	free(buf);
	return NULL;
}

/* ---- writing ---- */

static void put(struct mixed *m, struct lsm_batch *b, struct state *s,
		unsigned i)
{
	uint8_t *buf = malloc(LEN_MAX + 8);
	char key[16];

	s->v[i] = ++m->next_value;
	if (m->borrowed < BORROWED_MAX && rnd_below(&m->seed, 2)) {
		m->borrow[m->borrowed++] = buf;
		ck_ok(lsm_batch_put_ref(b, model_key(key, i),
					value_of(s->v[i], buf)));
		return;
	}
	ck_ok(lsm_batch_put(b, model_key(key, i), value_of(s->v[i], buf)));
	free(buf);
}

static void delete_range(struct mixed *m, struct lsm_batch *b, struct state *s)
{
	unsigned i = rnd_below(&m->seed, KEYS);
	unsigned j =
		i + 1 + rnd_below(&m->seed, rnd_below(&m->seed, 8) ? 12 : KEYS);
	char from[16], to[16];

	ck_ok(lsm_batch_delete_range(b, model_key(from, i), model_key(to, j)));
	for (; i < j && i < KEYS; i++)
		s->v[i] = 0;
}

/* Copies a stretch of keys somewhere else, by sharing. */
static int share(struct mixed *m, struct lsm_batch *b, struct state *s)
{
	unsigned from = rnd_below(&m->seed, KEYS);
	unsigned n = 1 + rnd_below(&m->seed, 60);
	unsigned to = rnd_below(&m->seed, KEYS);
	struct lsm_iter *it;
	char key[16];
	int r = lsm_iter_new(m->db, NULL, &it);

	if (r)
		return r;
	r = lsm_iter_seek(it, model_key(key, from));
	while (!r) {
		unsigned i;

		if (lsm_iter_key(it).len != 6)
			break;
		i = model_index(lsm_iter_key(it));
		if (i >= from + n || to + i - from >= KEYS)
			break;
		r = lsm_batch_put_shared(b, model_key(key, to + i - from), it);
		if (r)
			break;
		/* The iterator sees the state before this batch. */
		s->v[to + i - from] = m->now.v[i];
		r = lsm_iter_next(it);
	}
	lsm_iter_free(it);
	return r == LSM_END ? 0 : r;
}

static int fill(struct mixed *m, struct lsm_batch *b, struct state *s)
{
	unsigned what = rnd_below(&m->seed, 100), n, i;
	char key[16];

	if (what < 15) { /* in bulk: neighbours */
		n = 10 + rnd_below(&m->seed, 80);
		i = rnd_below(&m->seed, KEYS);
		for (; n && i < KEYS; n--)
			put(m, b, s, i++);
		return 0;
	}
	if (what < 35)
		return share(m, b, s);
	for (n = 1 + rnd_below(&m->seed, 6); n; n--) {
		i = rnd_below(&m->seed, KEYS);
		what = rnd_below(&m->seed, 20);
		if (what < 14) {
			put(m, b, s, i);
		} else if (what < 18) {
			ck_ok(lsm_batch_delete(b, model_key(key, i)));
			s->v[i] = 0;
		} else {
			delete_range(m, b, s);
		}
	}
	return 0;
}

static int do_write(struct mixed *m)
{
	struct lsm_write_options wo = {.sync = rnd_below(&m->seed, 8) == 0};
	struct state *next = copy_state(&m->now);
	struct lsm_batch *b = lsm_batch_new();
	int r;

	ck_assert_ptr_nonnull(b);
	next->number++;
	r = fill(m, b, next);
	if (!r) {
		ck_ok(lsm_batch_put(b, slice_of(MARK),
				    lsm_slice(&next->number, 4)));
		*state_at(m, next->number) = *next;
		r = lsm_write(m->db, b, &wo);
	}
	/* Applied, but not made durable; without power nothing can be read. */
	if (!r || (wo.sync && !(m->env && env_fault_is_off(m->env)) &&
		   mark_of(m->db, NULL) == next->number))
		m->now = *next;
	if (!r && wo.sync)
		m->synced = next->number;
	lsm_batch_free(b);
	while (m->borrowed)
		free(m->borrow[--m->borrowed]);
	free(next);
	return r;
}

/* ---- everything else ---- */

static void drop_snap(struct mixed *m, struct snap *s)
{
	if (s->snapshot)
		lsm_snapshot_release(m->db, s->snapshot);
	if (s->it)
		lsm_iter_free(s->it);
	free(s->state);
	memset(s, 0, sizeof(*s));
}

static void check_open_iter(struct mixed *m, struct snap *s)
{
	uint8_t *buf = malloc(LEN_MAX + 8);
	unsigned i = rnd_below(&m->seed, KEYS);
	char key[16];
	int r = lsm_iter_seek(s->it, model_key(key, i));

	for (unsigned n = 0; n < 50; n++) {
		while (i < KEYS && !s->state->v[i])
			i++;
		if (i == KEYS)
			break;
		ck_ok(r);
		ck_assert_uint_eq(model_index(lsm_iter_key(s->it)), i);
		ck_assert_uint_eq(number_of(lsm_iter_value(s->it), buf),
				  s->state->v[i]);
		r = lsm_iter_next(s->it);
		i++;
	}
	free(buf);
}

static int do_snap(struct mixed *m)
{
	struct snap *s = &m->snaps[rnd_below(&m->seed, 4)];
	int r = 0;

	if (s->snapshot)
		check_scan(m, m->db, s->snapshot, s->state,
			   rnd_below(&m->seed, 2));
	if (s->it)
		check_open_iter(m, s);
	if ((s->snapshot || s->it) && rnd_below(&m->seed, 2))
		return 0;
	drop_snap(m, s);
	if (rnd_below(&m->seed, 2))
		s->snapshot = lsm_snapshot_take(m->db);
	else
		r = lsm_iter_new(m->db, NULL, &s->it);
	if (!r)
		s->state = copy_state(&m->now);
	return r;
}

static int do_name(struct mixed *m)
{
	struct named *n = &m->named[rnd_below(&m->seed, 4)];
	int r;

	if (m->failing)
		return 0; /* else what is named is not known */
	if (n->state) {
		r = lsm_snapshot_delete(m->db, n->name);
		if (!r) {
			free(n->state);
			n->state = NULL;
		}
		return r;
	}
	r = lsm_snapshot_create(m->db, n->name);
	if (!r) {
		n->state = copy_state(&m->now);
		m->synced = m->now.number;
	}
	return r;
}

static int remove_file(void *arg, const char *name, uint64_t bytes)
{
	char(*names)[40] = arg;
	unsigned i = 0;

	while (names[i][0])
		i++;
	snprintf(names[i], 40, "%s", name);
	return i > 4000;
}

static void remove_copy(struct mixed *m)
{
	char(*names)[40] = calloc(4100, 40);
	struct env_dir *dir;

	if (!m->env) {
		test_dir_remove(m->copy);
		free(names);
		return;
	}
	if (!env_dir_open(m->env, m->copy, 0, &dir)) {
		ck_ok(env_dir_list(dir, remove_file, names));
		for (unsigned i = 0; names[i][0]; i++)
			(void)env_dir_delete(dir, names[i]);
		(void)env_dir_sync(dir);
		env_dir_close(dir);
	}
	free(names);
}

static int do_checkpoint(struct mixed *m)
{
	struct lsm_db *copy;
	int r;

	if (m->failing)
		return 0;
	r = lsm_checkpoint(m->db, m->copy);
	if (r)
		return r;
	m->synced = m->now.number;
	if (rnd_below(&m->seed, 2)) {
		/* The store goes on, and deletes what it has replaced. */
		for (unsigned i = 0; i < 10 && !r; i++)
			r = do_write(m);
		ck_ok(r);
		ck_ok(lsm_compact_range(m->db, none, none));
	}
	ck_ok(lsm_open(m->copy, &m->options, &copy));
	check_scan(m, copy, NULL, state_at(m, mark_of(copy, NULL)), false);
	check_names(m, copy);
	ck_ok(lsm_verify(copy, NULL, NULL));
	ck_ok(lsm_close(copy));
	remove_copy(m);
	return 0;
}

static int do_compact(struct mixed *m)
{
	char from[16], to[16];
	unsigned i = rnd_below(&m->seed, KEYS);

	if (rnd_below(&m->seed, 3))
		return lsm_compact_range(m->db, model_key(from, i),
					 model_key(to, i + 50));
	return lsm_compact_range(m->db, none, none);
}

static void choose_options(struct mixed *m)
{
	struct lsm_options *o = &m->options;
	uint64_t *s = &m->seed;

	*o = (struct lsm_options){
		.env = m->env,
		.write_buffer_bytes = (uint64_t)64 << 10 << rnd_below(s, 5),
		.memory_bytes = (uint64_t)2 << 20 << rnd_below(s, 4),
		.block_bytes = rnd_below(s, 2) ? 512 : 0,
		.table_bytes = (uint64_t)4 << 10 << rnd_below(s, 5),
		.level_base_bytes = 32 << 10,
		.level_multiplier = 2 + rnd_below(s, 4),
		.level0_compact_trigger = 2 + rnd_below(s, 3),
		.compression = (enum lsm_compression)rnd_below(s, 3),
		.mmap = (enum lsm_mmap)rnd_below(s, 3),
		.compaction_threads = 1 + rnd_below(s, 2),
		.wal_sync_interval_ms = rnd_below(s, 2) ? UINT32_MAX : 5,
		.blob_bytes = rnd_below(s, 6) ? 200 + rnd_below(s, 2) * 824 : 0,
		.blob_file_bytes = (uint64_t)64 << 10 << rnd_below(s, 5),
		.blob_direct_bytes = rnd_below(s, 4) ? 4096u << rnd_below(s, 6)
				     : rnd_below(s, 2) ? 0
						       : UINT32_MAX,
		.blob_gc_rate_bytes = rnd_below(s, 3) ? 0 : 1 << 20,
	};
	if (getenv("DB_LOG")) {
		o->log = log_line;
		o->log_level = LSM_LOG_DEBUG;
	}
}

static void close_readers(struct mixed *m)
{
	for (unsigned i = 0; i < 4; i++)
		drop_snap(m, &m->snaps[i]);
	pthread_rwlock_wrlock(&m->open);
}

static void open_again(struct mixed *m)
{
	choose_options(m);
	ck_ok(lsm_open(m->path, &m->options, &m->db));
	pthread_rwlock_unlock(&m->open);
}

static void check_everything(struct mixed *m)
{
	check_scan(m, m->db, NULL, &m->now, false);
	check_scan(m, m->db, NULL, &m->now, true);
	check_names(m, m->db);
	ck_ok(lsm_verify(m->db, NULL, NULL));
}

static void do_reopen(struct mixed *m)
{
	close_readers(m);
	ck_ok(lsm_close(m->db));
	m->db = NULL;
	m->synced = m->now.number;
	open_again(m);
	ck_assert_uint_eq(mark_of(m->db, NULL), m->now.number);
	check_everything(m);
}

/* ---- the disk ---- */

static void do_power(struct mixed *m)
{
	enum env_fault_keep keep = (enum env_fault_keep)rnd_below(&m->seed, 4);
	uint32_t tried, mark;

	env_fault_power_off_at(
		m->env, env_fault_calls(m->env) + rnd_below(&m->seed, 120));
	m->failing = true;
	for (unsigned i = 0; i < 60 && !env_fault_is_off(m->env); i++) {
		unsigned what = rnd_below(&m->seed, 20);
		int r = what < 16    ? do_write(m)
			: what == 16 ? lsm_flush(m->db)
			: what == 17 ? do_compact(m)
			: what == 18 ? lsm_sync(m->db)
				     : do_compact(m);

		if (!r && (what == 16 || what == 18))
			m->synced = m->now.number;
	}
	tried = m->now.number + 1;
	m->failing = false;
	close_readers(m);
	(void)lsm_close(m->db);
	m->db = NULL;
	env_fault_restart(m->env, keep, true, rnd(&m->seed));
	open_again(m);
	mark = mark_of(m->db, NULL);
	ck_assert_msg(mark >= m->synced && mark <= tried,
		      "found state %u; synced %u, tried %u", mark, m->synced,
		      tried);
	say("power lost, keep %d: state %u of %u, synced %u", (int)keep, mark,
	    m->now.number, m->synced);
	m->now = *state_at(m, mark);
	m->synced = mark;
	check_everything(m);
}

static void do_refusals(struct mixed *m)
{
	uint64_t used, total;
	struct env_dir *dir;
	int error = rnd_below(&m->seed, 2) ? -EIO : -ENOSPC, r = 0;

	m->failing = true;
	if (rnd_below(&m->seed, 3)) {
		env_fault_fail_at(
			m->env,
			env_fault_calls(m->env) + rnd_below(&m->seed, 60),
			error, rnd_below(&m->seed, 2));
	} else {
		error = -ENOSPC;
		ck_ok(env_dir_open(m->env, m->path, 0, &dir));
		ck_ok(env_dir_space(dir, &used, &total));
		env_dir_close(dir);
		env_fault_set_capacity(
			m->env, total - used + rnd_below(&m->seed, 1 << 20));
	}
	for (unsigned i = 0; i < 60 && !r; i++) {
		unsigned what = rnd_below(&m->seed, 12);

		r = what < 9     ? do_write(m)
		    : what == 9  ? lsm_flush(m->db)
		    : what == 10 ? do_compact(m)
				 : do_snap(m);
	}
	ck_assert_msg(!r || r == error, "%d instead of %d", r, error);
	ck_assert_uint_eq(mark_of(m->db, NULL), m->now.number);
	check_scan(m, m->db, NULL, &m->now, false);
	env_fault_clear(m->env);
	m->failing = false;
	ck_ok(lsm_resume(m->db));
	say("error %d, resumed at state %u", r, m->now.number);
	check_everything(m);
}

static void step(struct mixed *m)
{
	unsigned what = rnd_below(&m->seed, 1000);
	int r = 0;

	if (what < 780) {
		r = do_write(m);
	} else if (what < 860) {
		check_gets(m);
	} else if (what < 900) {
		r = do_snap(m);
	} else if (what < 920) {
		r = do_name(m);
	} else if (what < 935) {
		r = lsm_flush(m->db);
		if (!r)
			m->synced = m->now.number;
	} else if (what < 950) {
		r = do_compact(m);
	} else if (what < 960) {
		r = lsm_sync(m->db);
		if (!r)
			m->synced = m->now.number;
	} else if (what < 966) {
		r = do_checkpoint(m);
	} else if (what < 970) {
		ck_ok(lsm_wait_idle(m->db));
		check_everything(m);
	} else if (what < 978) {
		do_reopen(m);
	} else if (what < 984 && m->env) {
		do_power(m);
	} else if (what < 990 && m->env) {
		do_refusals(m);
	} else {
		char a[16], b[16];
		unsigned i = rnd_below(&m->seed, KEYS);

		(void)lsm_prefetch(m->db, model_key(a, i),
				   model_key(b, i + 90));
	}
	ck_assert_msg(!r, "operation %u gives %d", what, r);
}

static unsigned seconds(void)
{
	const char *s = getenv("MIXED_SECONDS");

	return s                     ? (unsigned)strtoul(s, NULL, 0)
	       : getenv("TEST_LONG") ? 120
				     : 3;
}

START_TEST(store_is_its_model_whatever_is_mixed)
{
	struct mixed *m = calloc(1, sizeof(*m));
	time_t end = time(NULL) + seconds();
	pthread_t readers[2];
	unsigned steps = 0;

	trace = getenv("DB_TRACE") != NULL;
	m->seed = test_seed(1000 + (uint64_t)_i +
			    (uint64_t)getpid() * (seconds() > 3));
	m->history = calloc(HISTORY, sizeof(*m->history));
	pthread_rwlock_init(&m->open, NULL);
	if (_i % 3) {
		m->env = env_fault_new();
		snprintf(m->path, sizeof(m->path), STORE);
		snprintf(m->copy, sizeof(m->copy), COPY);
	} else {
		test_dir_make(m->path);
		snprintf(m->copy, sizeof(m->copy), "%s.copy", m->path);
	}
	for (unsigned i = 0; i < 4; i++)
		snprintf(m->named[i].name, 16, "n%u", i);
	choose_options(m);
	ck_ok(lsm_open(m->path, &m->options, &m->db));
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(
			pthread_create(&readers[i], NULL, reader_main, m), 0);
	while (time(NULL) < end) {
		step(m);
		steps++;
	}
	do_reopen(m);
	atomic_store(&m->stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	close_readers(m);
	ck_ok(lsm_wait_idle(m->db));
	ck_ok(lsm_close(m->db));
	printf("# %u steps, %u writes\n", steps, m->now.number);
	for (unsigned i = 0; i < 4; i++)
		free(m->named[i].state);
	if (m->env)
		env_fault_free(m->env);
	else
		test_dir_remove(m->path);
	pthread_rwlock_unlock(&m->open);
	free(m->history);
	free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("db mixed");
	TCase *t = tcase_create("mixed");

	tcase_set_timeout(t, 1200);
	tcase_add_loop_test(t, store_is_its_model_whatever_is_mixed, 0, 6);
	suite_add_tcase(s, t);
	return run_suite(s);
}
