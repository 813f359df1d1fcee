/* SPDX-License-Identifier: MIT */
/*
 * env_fault_log.c - logs of the disk in memory.
 *
 * As on a real disk the file is as long as what was reserved, and a recycled
 * one keeps its old bytes behind the last append: a sector that was
 * overwritten and not synced may hold the old ones again after power loss.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env/env_fault_ops.h"

#define STEP_MIN 4096

struct fault_log {
	struct env_log base;
	struct fault_dir_handle *h;
	struct fault_file *file;
	uint64_t position;
	uint64_t step; /* the file grows by this; 0: by what is appended */
	int error;     /* the first one; protected by env->mutex */
};

/* The file a log is to be written to, opened, and reserved. */
static int take_file(struct fault_dir_handle *h, const char *name,
		     const char *recycle, uint64_t prealloc_bytes,
		     struct fault_file **out)
{
	struct fault_file *f = NULL;
	uint64_t have = 0;
	int err;

	if (recycle) {
		f = fault_name_find(h->dir, recycle);
		if (!f)
			return -ENOENT;
		have = f->bytes;
	}
	if (fault_name_find(h->dir, name))
		return -EEXIST;
	if (prealloc_bytes > have &&
	    prealloc_bytes - have > fault_space_left(h->env))
		return -ENOSPC;
	if (!recycle) {
		err = fault_create_file(h, name, &f);
		if (err)
			return err;
	} else {
		err = fault_name_rename(h->dir, recycle, name);
		if (err)
			return err;
		fault_file_get(f);
		f->handles++;
	}
	err = fault_file_grow(f, prealloc_bytes);
	if (err)
		fault_close_file(f);
	*out = f;
	return err;
}

int fault_log_create(struct env_dir *dir, const char *name, const char *recycle,
		     uint64_t prealloc_bytes, struct env_log **out)
{
	struct fault_dir_handle *h = (struct fault_dir_handle *)dir;
	struct fault_log *log = calloc(1, sizeof(*log));
	int err;

	if (!log)
		return -ENOMEM;
	log->base.ops = dir->ops;
	log->h = h;
	log->step = prealloc_bytes / 8;
	if (prealloc_bytes > 0 && log->step < STEP_MIN)
		log->step = STEP_MIN;
	mutex_lock(&h->env->mutex);
	err = fault_begin(h, false, NULL);
	if (!err)
		err = take_file(h, name, recycle, prealloc_bytes, &log->file);
	mutex_unlock(&h->env->mutex);
	if (err) {
		free(log);
		return err;
	}
	*out = &log->base;
	return 0;
}

/* Grows a preallocated log ahead of an append, if the disk has the room. */
static int reserve(struct fault_log *log, uint64_t end)
{
	uint64_t to;

	if (!log->step || end <= log->file->bytes)
		return 0;
	to = (end + log->step - 1) / log->step * log->step;
	if (to - log->file->bytes > fault_space_left(log->h->env))
		return 0;
	return fault_file_grow(log->file, to);
}

int fault_log_append(struct env_log *base, const void *data, size_t len)
{
	struct fault_log *log = (struct fault_log *)base;
	struct fault_env *env = log->h->env;
	int err;

	mutex_lock(&env->mutex);
	err = log->error;
	if (!err && len > 0) {
		if (!env->off && log->h->life == env->life)
			err = reserve(log, log->position + len);
		if (!err)
			err = fault_append(log->h, log->file, log->position,
					   data, len);
		log->error = err;
		if (!err)
			log->position += len;
	}
	mutex_unlock(&env->mutex);
	return err;
}

int fault_log_sync(struct env_log *base)
{
	struct fault_log *log = (struct fault_log *)base;
	struct fault_env *env = log->h->env;
	int err;

	mutex_lock(&env->mutex);
	err = log->error;
	if (!err) {
		err = fault_begin(log->h, false, NULL);
		log->error = err;
		if (!err)
			fault_file_sync(log->file);
	}
	mutex_unlock(&env->mutex);
	return err;
}

int fault_log_close(struct env_log *base, bool trim)
{
	struct fault_log *log = (struct fault_log *)base;
	struct fault_env *env = log->h->env;
	int err = 0;

	mutex_lock(&env->mutex);
	if (trim)
		err = fault_begin(log->h, false, NULL);
	if (trim && !err && log->position < log->file->bytes)
		log->file->bytes = log->position;
	fault_close_file(log->file);
	mutex_unlock(&env->mutex);
	free(log);
	return err;
}
