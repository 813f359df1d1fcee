/* SPDX-License-Identifier: MIT */
/*
 * table_util.h - what the tests of lsm/table/ share: random numbers, a sorted
 * array of entries as the model of a table, and making a table out of it.
 */
#ifndef TESTS_TABLE_UTIL_H
#define TESTS_TABLE_UTIL_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lsm/base/file_name.h"
#include "lsm/base/hash.h"
#include "lsm/env/env_fault.h"
#include "lsm/table/blob_format.h"
#include "lsm/table/sst.h"
#include "tests/check_main.h"

struct rng {
	uint64_t s;
};

static inline uint64_t rng_next(struct rng *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * 0x2545f4914f6cdd1dull;
}

/* In [0, n). */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (rng_next(r) >> 16) % n;
}

static inline struct rng rng_make(uint64_t seed)
{
	struct rng r = {(seed + 1) * 0x9e3779b97f4a7c15ull};

	return r;
}

struct model_entry {
	struct lsm_slice key;
	uint64_t tag;
	struct lsm_slice value;
};

/* Sorted, without equal (key, tag). */
struct model {
	struct model_entry *e;
	size_t count, cap;
};

static inline struct lsm_slice model_copy(const void *data, size_t len)
{
	void *p = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(p);
	if (len)
		memcpy(p, data, len);
	return lsm_slice(p, len);
}

static inline void model_add(struct model *m, struct lsm_slice key,
			     uint64_t tag, struct lsm_slice value)
{
	if (m->count == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->e = realloc(m->e, m->cap * sizeof(*m->e));
		ck_assert_ptr_nonnull(m->e);
	}
	m->e[m->count].key = model_copy(key.data, key.len);
	m->e[m->count].tag = tag;
	m->e[m->count].value = model_copy(value.data, value.len);
	m->count++;
}

static inline int model_cmp(const void *a, const void *b)
{
	const struct model_entry *x = a, *y = b;

	return entry_cmp(x->key, x->tag, y->key, y->tag);
}

static inline void model_entry_free(struct model_entry *e)
{
	free((void *)e->key.data);
	free((void *)e->value.data);
}

/* Sorts and drops entries that equal their predecessor. */
static inline void model_sort(struct model *m)
{
	size_t i, n = 0;

	qsort(m->e, m->count, sizeof(*m->e), model_cmp);
	for (i = 0; i < m->count; i++) {
		if (n && !model_cmp(&m->e[n - 1], &m->e[i]))
			model_entry_free(&m->e[i]);
		else
			m->e[n++] = m->e[i];
	}
	m->count = n;
}

static inline void model_free(struct model *m)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		model_entry_free(&m->e[i]);
	free(m->e);
	memset(m, 0, sizeof(*m));
}

/* First entry >= (key, tag); count when none. */
static inline size_t model_seek(const struct model *m, struct lsm_slice key,
				uint64_t tag)
{
	size_t lo = 0, hi = m->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (entry_cmp(m->e[mid].key, m->e[mid].tag, key, tag) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Short keys over few letters, so that prefixes, equal keys and neighbours are
 * common; sometimes a long one. */
static inline struct lsm_slice random_key(struct rng *r, uint8_t *out)
{
	static const uint8_t letters[] = {0, 1, 'a', 'b', 0xfe, 0xff};
	size_t len = 1 + rng_below(r, rng_below(r, 50) ? 7 : 300), i;

	for (i = 0; i < len; i++)
		out[i] = letters[rng_below(r, sizeof(letters))];
	return lsm_slice(out, len);
}

static inline void model_fill(struct model *m, struct rng *r, size_t count,
			      size_t value_max)
{
	uint8_t key[400], handle[BLOB_HANDLE_MAX];
	uint8_t *value = malloc(value_max + BLOB_HANDLE_MAX);
	size_t i;

	ck_assert_ptr_nonnull(value);
	for (i = 0; i < count; i++) {
		struct lsm_slice k = random_key(r, key);
		uint64_t kind = rng_below(r, 3);
		size_t len = kind == KIND_DELETE ? 0 : rng_below(r, value_max);
		uint8_t fill = (uint8_t)rng_next(r);
		size_t j;

		for (j = 0; j < len; j++)
			value[j] = (uint8_t)(fill + j / 16);
		if (kind == KIND_BLOB) {
			struct blob_handle h = {.file = 1 + rng_below(r, 9),
						.offset = rng_below(r, 1 << 30),
						.bytes = fill,
						.index = (uint32_t)i,
						.len = 1 + fill};

			len = blob_handle_encode(&h, handle);
			memcpy(value, handle, len);
		}
		model_add(
			m, k,
			tag_make(1 + rng_below(r, 1000), (enum entry_kind)kind),
			lsm_slice(value, len));
	}
	free(value);
	model_sort(m);
	/* one entry a (key, sequence), as the engine makes them */
	for (i = 1; i < m->count;) {
		if (slice_eq(m->e[i].key, m->e[i - 1].key) &&
		    tag_seq(m->e[i].tag) == tag_seq(m->e[i - 1].tag)) {
			model_entry_free(&m->e[i]);
			memmove(&m->e[i], &m->e[i + 1],
				(m->count - i - 1) * sizeof(*m->e));
			m->count--;
		} else {
			i++;
		}
	}
}

static inline void check_entry(const struct iter *it,
			       const struct model_entry *e)
{
	ck_assert(it->valid);
	ck_assert(slice_eq(it->key, e->key));
	ck_assert_uint_eq(it->tag, e->tag);
	ck_assert(slice_eq(it->value, e->value));
}

/* Where the iterator should be: i, or off the end when i is out of range. */
static inline void check_at(const struct iter *it, const struct model *m,
			    size_t i)
{
	ck_assert_int_eq(it->err, 0);
	if (i < m->count)
		check_entry(it, &m->e[i]);
	else
		ck_assert(!it->valid);
}

/* Random moves of every sort, compared with the model after each. */
static inline void check_random_walk(struct iter *it, const struct model *m,
				     struct rng *r, size_t moves)
{
	size_t at = m->count; /* count: nowhere */
	uint8_t key[400];

	while (moves--) {
		struct lsm_slice k = random_key(r, key);
		uint64_t tag = rng_below(r, 4) ? rng_below(r, 1001) << 8 | 0xff
					       : UINT64_MAX;
		uint64_t what = rng_below(r, 20);

		if (m->count && rng_below(r, 2)) {
			struct model_entry *e = &m->e[rng_below(r, m->count)];

			k = e->key;
			if (rng_below(r, 2))
				tag = e->tag;
		}
		if (what == 0) {
			iter_first(it);
			at = 0;
		} else if (what == 1) {
			iter_last(it);
			at = m->count - 1;
		} else if (what == 2) {
			iter_seek(it, k, tag);
			at = model_seek(m, k, tag);
		} else if (what == 3) {
			iter_seek_for_prev(it, k, tag);
			at = model_seek(m, k, tag);
			if (at == m->count || m->e[at].tag != tag ||
			    !slice_eq(m->e[at].key, k))
				at--;
		} else if (at < m->count) {
			uint64_t steps = 1 + rng_below(r, 40);

			while (steps-- && at < m->count) {
				if (what < 12) {
					iter_next(it);
					at++;
				} else {
					iter_prev(it);
					at--;
				}
				check_at(it, m, at);
			}
		}
		if (at > m->count)
			at = m->count;
		check_at(it, m, at);
	}
}

struct table_env {
	struct lsm_env *env;
	struct env_dir *dir;
	struct cache *cache;
};

static inline void table_env_open(struct table_env *t, uint64_t cache_bytes)
{
	t->env = env_fault_new();
	ck_assert_ptr_nonnull(t->env);
	ck_assert_int_eq(env_dir_open(t->env, "/t", ENV_DIR_CREATE, &t->dir),
			 0);
	t->cache = cache_new(cache_bytes);
	ck_assert_ptr_nonnull(t->cache);
}

static inline void table_env_close(struct table_env *t)
{
	cache_free(t->cache);
	env_dir_close(t->dir);
	env_fault_free(t->env);
}

static inline void write_table(struct env_dir *dir, uint64_t number,
			       const struct sst_writer_options *o,
			       const struct model *m, struct sst_meta *meta)
{
	char name[FILE_NAME_MAX];
	struct sst_writer *w;
	size_t i;

	file_name(name, FILE_SST, number);
	ck_assert_int_eq(sst_writer_open(dir, name, number, o, &w), 0);
	for (i = 0; i < m->count; i++)
		ck_assert_int_eq(sst_writer_add(w, m->e[i].key, m->e[i].tag,
						m->e[i].value),
				 0);
	ck_assert_uint_eq(sst_writer_entries(w), m->count);
	ck_assert_int_eq(sst_writer_finish(w, meta), 0);
}

static inline int open_table(struct env_dir *dir, struct cache *cache,
			     uint64_t number, struct sst_reader **r)
{
	struct sst_reader_options o = {.cache = cache,
				       .verify_checksums = true};
	char name[FILE_NAME_MAX];

	file_name(name, FILE_SST, number);
	return sst_reader_open(dir, name, number, &o, r);
}

#endif
