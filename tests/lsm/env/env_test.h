/* SPDX-License-Identifier: MIT */
/* env_test.h - a directory to test in, and the few things every test of an
 * env says over and over. */
#ifndef TESTS_LSM_ENV_ENV_TEST_H
#define TESTS_LSM_ENV_ENV_TEST_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsm/env/env.h"
#include "lsm/env/env_fault.h"
#include "tests/check_main.h"

#define ck_ok(expr) ck_assert_int_eq((expr), 0)

/* An empty directory in $TMPDIR, else /var/tmp: a real filesystem, as /tmp
 * often is not. */
static inline void temp_dir_make(char path[256])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, 256, "%s/tinylsm-env-XXXXXX", tmp ? tmp : "/var/tmp");
	ck_assert_ptr_nonnull(mkdtemp(path));
}

/* With its files, and the directories one level below it. */
static inline void temp_dir_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char *name;

	if (!d)
		return;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (asprintf(&name, "%s/%s", path, e->d_name) < 0)
			break;
		if (unlink(name))
			temp_dir_remove(name);
		free(name);
	}
	closedir(d);
	rmdir(path);
}

/* len bytes that differ from seed to seed and place to place. */
static inline void fill_pattern(void *buf, size_t len, unsigned seed)
{
	unsigned char *p = buf;
	uint32_t x = seed * 2654435761u + 1;
	size_t i;

	for (i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (unsigned char)(x >> 24) | 1;
	}
}

static inline void write_object(struct env_dir *dir, const char *name,
				const void *data, size_t len)
{
	struct env_writer *w;

	ck_ok(env_writer_create(dir, name, &w));
	ck_ok(env_writer_append(w, data, len));
	ck_ok(env_writer_finish(w));
}

/* The file holds exactly these bytes. */
static inline void expect_object(struct env_dir *dir, const char *name,
				 const void *data, size_t len)
{
	size_t got_len;
	void *got;

	ck_ok(env_get_file(dir, name, (size_t)1 << 30, &got, &got_len));
	ck_assert_uint_eq(got_len, len);
	ck_assert_int_eq(memcmp(got, data, len), 0);
	free(got);
}

static inline bool exists(struct env_dir *dir, const char *name)
{
	struct env_object *o;
	int err = env_object_open(dir, name, &o);

	if (err)
		ck_assert_int_eq(err, -ENOENT);
	env_object_close(o);
	return !err;
}

#endif
