/* SPDX-License-Identifier: MIT */
/*
 * bench_work.c - what one thread does in each workload.
 *
 * The workloads are those of the db_bench programs: which keys are touched, in
 * what order and how often, follows RocksDB's, so that the figures mean the
 * same. Every thread runs the full number of operations. A thread that fails
 * keeps its error and ends; the others are not disturbed.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/bench.h"

/* How long a loop goes on: for a number of operations, or for --duration. */
struct span {
	uint64_t left;     /* operations */
	uint64_t until_ns; /* 0: by left */
	unsigned until_look;
};

#define SPAN_LOOK 256 /* operations between two looks at the clock */

static struct span span_start(const struct bench_thread *t, uint64_t ops)
{
	struct span s = {.left = ops, .until_look = SPAN_LOOK};

	if (t->run->flags->duration)
		s.until_ns =
			t->start_ns + t->run->flags->duration * 1000000000ull;
	return s;
}

static inline bool span_next(struct span *s, uint64_t ops)
{
	if (!s->until_ns) {
		if (!s->left)
			return false;
		s->left -= s->left < ops ? s->left : ops;
		return true;
	}
	if (--s->until_look)
		return true;
	s->until_look = SPAN_LOOK;
	return clock_ns() < s->until_ns;
}

static void fail(struct bench_thread *t, const char *call, int err)
{
	t->err = err;
	t->failed = call;
}

/* Walks through the prepared values, so that neighbours differ. */
struct values {
	const uint8_t *data;
	size_t at, size, end;
};

static struct values values_start(const struct bench_thread *t)
{
	struct values v = {
		.data = t->run->values,
		.size = t->run->flags->value_size,
		.end = t->run->values_bytes,
	};

	return v;
}

static inline struct lsm_slice values_next(struct values *v)
{
	if (v->at + v->size > v->end)
		v->at = 0;
	v->at += v->size;
	return lsm_slice(v->data + v->at - v->size, v->size);
}

enum write_what {
	PUT,
	DELETE,
};

/* Puts or deletes num keys, in order or at random, run->batch at a time. */
static void write_keys(struct bench_thread *t, enum write_what what,
		       bool sequential)
{
	const struct bench_run *run = t->run;
	const struct bench_flags *f = run->flags;
	struct lsm_write_options wo = {.sync = run->sync};
	struct lsm_batch *batch = lsm_batch_new();
	struct values values = values_start(t);
	struct span span = span_start(t, f->num);
	uint64_t batch_ops = run->batch, i, v, next = 0;
	uint8_t key[BENCH_KEY_BUF];
	struct lsm_slice ks = lsm_slice(key, f->key_size);
	int err = 0;

	if (!batch) {
		fail(t, "lsm_batch_new", -ENOMEM);
		return;
	}
	memset(key, '0', sizeof(key));
	if (sequential)
		span.until_ns = 0;
	if (batch_ops > f->num)
		batch_ops = f->num;
	while (!err && span_next(&span, batch_ops)) {
		lsm_batch_clear(batch);
		for (i = 0; i < batch_ops; i++) {
			v = sequential ? next++ : bench_below(&t->rng, f->num);
			bench_key(f, key, v);
			if (what == DELETE)
				lsm_batch_delete(batch, ks);
			else if (run->workload->bits & BENCH_BULK)
				lsm_batch_put_ref(batch, ks,
						  values_next(&values));
			else
				lsm_batch_put(batch, ks, values_next(&values));
		}
		/* An error of the batch is remembered and comes out here. */
		err = lsm_write(run->db, batch, &wo);
		if (what == PUT)
			t->bytes += batch_ops * (f->key_size + f->value_size);
		bench_done(t, batch_ops);
	}
	if (err)
		fail(t, "lsm_write", err);
	lsm_batch_free(batch);
}

static void fill_seq(struct bench_thread *t)
{
	write_keys(t, PUT, true);
}

static void fill_random(struct bench_thread *t)
{
	write_keys(t, PUT, false);
}

static void delete_seq(struct bench_thread *t)
{
	write_keys(t, DELETE, true);
}

static void delete_random(struct bench_thread *t)
{
	write_keys(t, DELETE, false);
}

/* Random gets of keys of key_len bytes; with one byte more than the keys that
 * were written they lie among them and do not exist. */
static void get_keys(struct bench_thread *t, size_t key_len)
{
	const struct bench_flags *f = t->run->flags;
	struct lsm_db *db = t->run->db;
	struct span span = span_start(t, f->reads);
	struct lsm_pin pin = {0};
	uint8_t key[BENCH_KEY_BUF];
	int err;

	memset(key, '0', sizeof(key));
	while (span_next(&span, 1)) {
		bench_key(f, key, bench_below(&t->rng, f->num));
		err = lsm_get(db, NULL, lsm_slice(key, key_len), &pin);
		if (!err) {
			t->found++;
			t->bytes += key_len + pin.len;
		} else if (err < 0) {
			fail(t, "lsm_get", err);
			break;
		}
		bench_done(t, 1);
	}
	lsm_unpin(&pin);
}

static void read_random(struct bench_thread *t)
{
	get_keys(t, t->run->flags->key_size);
}

static void read_missing(struct bench_thread *t)
{
	get_keys(t, t->run->flags->key_size + 1);
}

static void write_beside(struct bench_thread *t);

static void read_while_writing(struct bench_thread *t)
{
	if (t->excluded)
		write_beside(t);
	else
		read_random(t);
}

/* Overwrites at random, as fast as it goes, until the readers are done. */
static void write_beside(struct bench_thread *t)
{
	struct bench_run *run = t->run;
	const struct bench_flags *f = run->flags;
	struct lsm_write_options wo = {.sync = run->sync};
	struct lsm_batch *batch = lsm_batch_new();
	struct values values = values_start(t);
	uint8_t key[BENCH_KEY_BUF];
	int err = 0;

	if (!batch) {
		fail(t, "lsm_batch_new", -ENOMEM);
		return;
	}
	memset(key, '0', sizeof(key));
	while (!err && atomic_load_explicit(&run->busy, memory_order_relaxed)) {
		bench_key(f, key, bench_below(&t->rng, f->num));
		lsm_batch_clear(batch);
		lsm_batch_put(batch, lsm_slice(key, f->key_size),
			      values_next(&values));
		err = lsm_write(run->db, batch, &wo);
		t->ops++;
	}
	if (err)
		fail(t, "lsm_write", err);
	lsm_batch_free(batch);
}

static void walk(struct bench_thread *t, int (*first)(struct lsm_iter *),
		 int (*next)(struct lsm_iter *))
{
	uint64_t left = t->run->flags->reads;
	struct lsm_iter *it;
	int err = lsm_iter_new(t->run->db, NULL, &it);

	if (err) {
		fail(t, "lsm_iter_new", err);
		return;
	}
	for (err = first(it); !err && left; err = next(it)) {
		t->bytes += lsm_iter_key(it).len + lsm_iter_value(it).len;
		err = lsm_iter_error(it);
		if (err)
			break;
		left--;
		bench_done(t, 1);
	}
	if (err < 0)
		fail(t, "iterating", err);
	lsm_iter_free(it);
}

static void read_seq(struct bench_thread *t)
{
	walk(t, lsm_iter_first, lsm_iter_next);
}

static void read_reverse(struct bench_thread *t)
{
	walk(t, lsm_iter_last, lsm_iter_prev);
}

static void seek_random(struct bench_thread *t)
{
	const struct bench_flags *f = t->run->flags;
	struct span span = span_start(t, f->reads);
	uint8_t key[BENCH_KEY_BUF];
	struct lsm_slice ks = lsm_slice(key, f->key_size);
	struct lsm_iter *it;
	int err;

	memset(key, '0', sizeof(key));
	while (span_next(&span, 1)) {
		bench_key(f, key, bench_below(&t->rng, f->num));
		err = lsm_iter_new(t->run->db, NULL, &it);
		if (err) {
			fail(t, "lsm_iter_new", err);
			return;
		}
		err = lsm_iter_seek(it, ks);
		if (!err && lsm_iter_key(it).len == ks.len &&
		    !memcmp(lsm_iter_key(it).data, key, ks.len))
			t->found++;
		lsm_iter_free(it);
		if (err < 0) {
			fail(t, "lsm_iter_seek", err);
			return;
		}
		bench_done(t, 1);
	}
}

/* ---- several keys at once ---------------------------------------------------
 */

struct multi {
	size_t count, key_len;
	uint64_t *numbers;
	uint8_t *keys;
	struct lsm_slice *slices;
	struct lsm_pin *pins;
	int *results;
};

static int multi_init(struct multi *m, const struct bench_run *run)
{
	size_t i;

	m->count = run->batch;
	m->key_len = run->flags->key_size;
	m->numbers = calloc(m->count, sizeof(*m->numbers));
	m->keys = malloc(m->count * m->key_len);
	m->slices = calloc(m->count, sizeof(*m->slices));
	m->pins = calloc(m->count, sizeof(*m->pins));
	m->results = calloc(m->count, sizeof(*m->results));
	if (!m->numbers || !m->keys || !m->slices || !m->pins || !m->results)
		return -ENOMEM;
	memset(m->keys, '0', m->count * m->key_len);
	for (i = 0; i < m->count; i++)
		m->slices[i] = lsm_slice(m->keys + i * m->key_len, m->key_len);
	return 0;
}

static void multi_release(struct multi *m)
{
	size_t i;

	for (i = 0; m->pins && i < m->count; i++)
		lsm_unpin(&m->pins[i]);
	free(m->numbers);
	free(m->keys);
	free(m->slices);
	free(m->pins);
	free(m->results);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Sorting is the caller's duty towards lsm_multi_get(), so it is timed. */
static int multi_get(struct bench_thread *t, struct multi *m)
{
	const struct bench_flags *f = t->run->flags;
	size_t i;
	int err;

	for (i = 0; i < m->count; i++)
		m->numbers[i] = bench_below(&t->rng, f->num);
	qsort(m->numbers, m->count, sizeof(*m->numbers), cmp_u64);
	for (i = 0; i < m->count; i++)
		bench_key(f, m->keys + i * m->key_len, m->numbers[i]);
	err = lsm_multi_get(t->run->db, NULL, m->count, m->slices, m->pins,
			    m->results);
	for (i = 0; i < m->count; i++) {
		if (m->results[i] < 0)
			return m->results[i];
		if (m->results[i])
			continue;
		t->found++;
		t->bytes += m->key_len + m->pins[i].len;
	}
	return err < 0 ? err : 0;
}

static void multi_read_random(struct bench_thread *t)
{
	struct span span = span_start(t, t->run->flags->reads);
	struct multi m = {0};
	int err = multi_init(&m, t->run);

	while (!err && span_next(&span, m.count)) {
		err = multi_get(t, &m);
		bench_done(t, m.count);
	}
	if (err)
		fail(t, "lsm_multi_get", err);
	multi_release(&m);
}

/* ---- the whole store --------------------------------------------------------
 */

static void once(struct bench_thread *t, const char *call, int err)
{
	if (err)
		fail(t, call, err);
	bench_done(t, 1);
}

static void flush(struct bench_thread *t)
{
	once(t, "lsm_flush", lsm_flush(t->run->db));
}

static void compact(struct bench_thread *t)
{
	struct lsm_slice none = {0};

	once(t, "lsm_compact_range", lsm_compact_range(t->run->db, none, none));
}

static void wait_for_compaction(struct bench_thread *t)
{
	once(t, "lsm_wait_idle", lsm_wait_idle(t->run->db));
}

static const struct bench_workload workloads[] = {
	{"fillseq", fill_seq, BENCH_FRESH},
	{"fillrandom", fill_random, BENCH_FRESH},
	{"fillsync", fill_random, BENCH_FRESH | BENCH_SYNC},
	{"fillbatch", fill_seq, BENCH_FRESH | BENCH_THOUSAND},
	{"fillbulk", fill_seq, BENCH_FRESH | BENCH_BULK},
	{"overwrite", fill_random, 0},
	{"readrandom", read_random, BENCH_READS},
	{"readmissing", read_missing, BENCH_READS},
	{"readseq", read_seq, 0},
	{"readreverse", read_reverse, 0},
	{"seekrandom", seek_random, BENCH_READS},
	{"multireadrandom", multi_read_random, BENCH_READS},
	{"readwhilewriting", read_while_writing, BENCH_READS | BENCH_WRITER},
	{"deleterandom", delete_random, 0},
	{"deleteseq", delete_seq, 0},
	{"compact", compact, BENCH_ONCE},
	{"flush", flush, BENCH_ONCE},
	{"waitforcompaction", wait_for_compaction, BENCH_ONCE},
	{"stats", NULL, 0},
};

const struct bench_workload *bench_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(workloads) / sizeof(*workloads); i++)
		if (strlen(workloads[i].name) == len &&
		    !memcmp(workloads[i].name, name, len))
			return &workloads[i];
	return NULL;
}
