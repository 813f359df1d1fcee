/* SPDX-License-Identifier: MIT */
/*
 * db_check.h - what the tests of the database share: a directory of their own,
 * the log's text, and a model: a sorted array of keys whose values are numbers.
 */
#ifndef TESTS_LSM_DB_DB_CHECK_H
#define TESTS_LSM_DB_DB_CHECK_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/env/env_fault.h"
#include "lsm/lsm.h"
#include "tests/check_main.h"

#define ck_ok(expr)                                                      \
	do {                                                             \
		int ck_ok_result = (expr);                               \
		ck_assert_msg(ck_ok_result == 0, "%s: %d (%s)", #expr,   \
			      ck_ok_result, lsm_strerror(ck_ok_result)); \
	} while (0)

static inline struct lsm_slice slice_of(const char *s)
{
	return lsm_slice(s, strlen(s));
}

/* ---- random ---- */

static inline uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline unsigned rnd_below(uint64_t *state, unsigned n)
{
	return (unsigned)(rnd(state) % n);
}

/* ---- a directory ---- */

static inline void test_dir_make(char path[64])
{
	/* In memory where that is to be had: fsync is not what is tested. */
	snprintf(path, 64, "%s/lsm-db-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	ck_assert_ptr_nonnull(mkdtemp(path));
}

static inline void test_dir_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char name[512];

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		unlink(name);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

/* The first file in path whose name ends so; false when there is none. */
static inline bool test_dir_find(const char *path, const char *suffix,
				 char out[512])
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		size_t n = strlen(e->d_name), m = strlen(suffix);

		if (n < m || strcmp(e->d_name + n - m, suffix))
			continue;
		snprintf(out, 512, "%s/%s", path, e->d_name);
		found = true;
	}
	if (d)
		closedir(d);
	return found;
}

/* ---- the log ---- */

struct log_text {
	pthread_mutex_t mutex;
	char text[16384];
};

static inline void log_text_add(void *arg, enum lsm_log_level level,
				const char *msg)
{
	struct log_text *l = arg;
	size_t n;

	pthread_mutex_lock(&l->mutex);
	n = strlen(l->text);
	snprintf(l->text + n, sizeof(l->text) - n, "%s\n", msg);
	pthread_mutex_unlock(&l->mutex);
}

static inline bool log_text_has(struct log_text *l, const char *part)
{
	bool has;

	pthread_mutex_lock(&l->mutex);
	has = strstr(l->text, part) != NULL;
	pthread_mutex_unlock(&l->mutex);
	return has;
}

static inline void log_text_use(struct log_text *l, struct lsm_options *o)
{
	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->mutex, NULL);
	o->log = log_text_add;
	o->log_arg = l;
	o->log_level = LSM_LOG_INFO;
}

/* ---- the model ---- */

#define MODEL_KEYS_MAX 512

/* value[i] is what key i holds; 0: it is absent. */
struct model {
	unsigned keys;
	uint32_t value[MODEL_KEYS_MAX];
};

static inline struct lsm_slice model_key(char buf[16], unsigned i)
{
	return lsm_slice(buf, (size_t)snprintf(buf, 16, "k%05u", i));
}

/* A value is its number, then bytes that follow from it; the longest are
 * beyond what a get copies. */
static inline struct lsm_slice model_value(char buf[8192], uint32_t v)
{
	size_t len = v % 97 == 0 ? 6000 : v % 7 == 0 ? 300 : 4 + v % 40;

	memcpy(buf, &v, 4);
	for (size_t i = 4; i < len; i++)
		buf[i] = (char)(v * 31 + i);
	return lsm_slice(buf, len);
}

static inline uint32_t model_number(struct lsm_slice value)
{
	char buf[8192];
	struct lsm_slice want;
	uint32_t v;

	ck_assert_uint_ge(value.len, 4);
	memcpy(&v, value.data, 4);
	want = model_value(buf, v);
	ck_assert_uint_eq(want.len, value.len);
	ck_assert(!memcmp(want.data, value.data, want.len));
	return v;
}

static inline unsigned model_index(struct lsm_slice key)
{
	char buf[16] = {0};

	ck_assert_uint_eq(key.len, 6);
	memcpy(buf, key.data, key.len);
	return (unsigned)strtoul(buf + 1, NULL, 10);
}

/* The first present index >= i (towards keys) or <= i (towards 0); -1: none. */
static inline int model_next(const struct model *m, int i)
{
	for (; i >= 0 && i < (int)m->keys; i++)
		if (m->value[i])
			return i;
	return -1;
}

static inline int model_prev(const struct model *m, int i)
{
	for (; i >= 0; i--)
		if (m->value[i])
			return i;
	return -1;
}

static inline void model_check_at(const struct model *m, struct lsm_iter *it,
				  int r, int want)
{
	if (want < 0) {
		ck_assert_int_eq(r, LSM_END);
		return;
	}
	ck_ok(r);
	ck_assert_int_eq((int)model_index(lsm_iter_key(it)), want);
	ck_assert_uint_eq(model_number(lsm_iter_value(it)), m->value[want]);
}

/* The whole state, both ways. */
static inline void model_check_scan(struct lsm_db *db,
				    const struct lsm_snapshot *snapshot,
				    const struct model *m)
{
	struct lsm_iter_options o = {.snapshot = snapshot};
	struct lsm_iter *it;
	int i, r;

	ck_ok(lsm_iter_new(db, &o, &it));
	r = lsm_iter_first(it);
	for (i = model_next(m, 0); i >= 0; i = model_next(m, i + 1)) {
		model_check_at(m, it, r, i);
		r = lsm_iter_next(it);
	}
	ck_assert_int_eq(r, LSM_END);
	r = lsm_iter_last(it);
	for (i = model_prev(m, (int)m->keys - 1); i >= 0;
	     i = model_prev(m, i - 1)) {
		model_check_at(m, it, r, i);
		r = lsm_iter_prev(it);
	}
	ck_assert_int_eq(r, LSM_END);
	lsm_iter_free(it);
}

static inline void model_check_pin(const struct model *m, unsigned i, int r,
				   const struct lsm_pin *pin)
{
	if (!m->value[i]) {
		ck_assert_int_eq(r, LSM_NOTFOUND);
		return;
	}
	ck_ok(r);
	ck_assert_uint_eq(model_number(lsm_slice(pin->data, pin->len)),
			  m->value[i]);
}

static inline void model_check_gets(struct lsm_db *db,
				    const struct lsm_snapshot *snapshot,
				    const struct model *m)
{
	struct lsm_pin pin = {0};
	char key[16];

	for (unsigned i = 0; i < m->keys; i++)
		model_check_pin(m, i,
				lsm_get(db, snapshot, model_key(key, i), &pin),
				&pin);
	lsm_unpin(&pin);
}

#endif
