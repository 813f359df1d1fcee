/* SPDX-License-Identifier: MIT */
/*
 * tree_test.h - a version set on a disk in memory, and hand-made tables for
 * it.
 */
#ifndef TESTS_TREE_TEST_H
#define TESTS_TREE_TEST_H

#include <errno.h>

#include "lsm/base/epoch.h"
#include "lsm/env/env_fault.h"
#include "lsm/tree/compact.h"
#include "tests/check_main.h"

#define OK(call) ck_assert_int_eq(call, 0)

/* xorshift64*; never 0. */
static inline uint64_t rnd(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dull;
}

struct tree {
	struct lsm_env *env;
	struct env_dir *dir;
	struct cache *cache;
	struct table_cache *tables;
	struct mutex mutex;
	struct version_set vs;
	struct tree_options options;
};

static inline struct tree_options small_options(void)
{
	struct tree_options o = {
		.level0_trigger = 4,
		.level0_enough = 12,
		.level_base_bytes = 64 << 10,
		.level_multiplier = 4,
		.table_bytes = 8 << 10,
		.sst = {.block_bytes = 512,
			.restart_interval = 4,
			.bloom_bits = 10,
			.lz4 = true},
	};

	return o;
}

static inline void tree_init(struct tree *t)
{
	memset(t, 0, sizeof(*t));
	t->env = env_fault_new();
	ck_assert_ptr_nonnull(t->env);
	t->cache = cache_new(4 << 20);
	ck_assert_ptr_nonnull(t->cache);
	mutex_init(&t->mutex);
	t->options = small_options();
}

/* The result of version_set_open(); on an error all is closed again. */
static inline int tree_try_open(struct tree *t, bool create, bool read_only)
{
	struct sst_reader_options o = {.cache = t->cache,
				       .verify_checksums = true};
	int err;

	err = env_dir_open(t->env, "/db", create ? ENV_DIR_CREATE : 0, &t->dir);
	if (err)
		return err;
	t->tables = table_cache_new(t->dir, 100, &o);
	ck_assert_ptr_nonnull(t->tables);
	err = version_set_open(&t->vs, &t->mutex, t->dir, t->tables, NULL,
			       create, read_only);
	if (err) {
		table_cache_free(t->tables);
		env_dir_close(t->dir);
	}
	return err;
}

static inline void tree_close(struct tree *t)
{
	epoch_barrier();
	version_set_close(&t->vs);
	epoch_barrier();
	table_cache_free(t->tables);
	epoch_barrier();
	env_dir_close(t->dir);
}

static inline void tree_release(struct tree *t)
{
	cache_free(t->cache);
	mutex_destroy(&t->mutex);
	env_fault_free(t->env);
}

static inline struct compact_env tree_env(struct tree *t)
{
	struct compact_env e = {.vs = &t->vs, .options = &t->options};

	return e;
}

/* Bounds and numbers for a table that need not exist. */
static inline struct sst_meta fake_meta(uint64_t number, const char *smallest,
					const char *largest, uint64_t seq,
					uint64_t bytes)
{
	struct sst_meta m = {.number = number,
			     .file_bytes = bytes,
			     .min_seq = seq,
			     .max_seq = seq,
			     .entries = 100,
			     .raw_bytes = bytes};

	OK(buf_append(&m.smallest, smallest, strlen(smallest)));
	OK(buf_append(&m.largest, largest, strlen(largest)));
	return m;
}

/* A file of that many bytes, for tables that are never opened. */
static inline void put_bytes(struct env_dir *dir, uint64_t number, size_t bytes)
{
	char name[FILE_NAME_MAX];
	struct env_writer *w;
	void *p = calloc(1, bytes);

	file_name(name, FILE_SST, number);
	OK(env_writer_create(dir, name, &w));
	OK(env_writer_append(w, p, bytes));
	OK(env_writer_finish(w));
	OK(env_dir_sync(dir));
	free(p);
}

static inline bool file_exists(struct env_dir *dir, uint64_t number)
{
	char name[FILE_NAME_MAX];
	struct env_object *o;

	file_name(name, FILE_SST, number);
	if (env_object_open(dir, name, &o))
		return false;
	env_object_close(o);
	return true;
}

#endif
