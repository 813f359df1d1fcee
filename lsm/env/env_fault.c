/* SPDX-License-Identifier: MIT */
/*
 * env_fault.c - the controls of the disk in memory: calls are counted here,
 * made to fail, and the power is cut. See env_fault_impl.h for the parts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env/env_fault_impl.h"

static struct fault_env *fault_of(struct lsm_env *env)
{
	return (struct fault_env *)env;
}

struct lsm_env *env_fault_new(void)
{
	struct fault_env *env = calloc(1, sizeof(*env));

	if (!env)
		return NULL;
	env->base.ops = &fault_ops;
	mutex_init(&env->mutex);
	return &env->base;
}

void env_fault_free(struct lsm_env *base)
{
	struct fault_env *env = fault_of(base);
	struct fault_dir *d;

	if (!env)
		return;
	while ((d = env->dirs)) {
		env->dirs = d->next;
		fault_dir_free(d);
	}
	mutex_destroy(&env->mutex);
	free(env);
}

int fault_call(struct fault_env *env, uint64_t life, bool is_read, bool *dead)
{
	uint64_t n;

	if (dead)
		*dead = true;
	if (env->off || life != env->life)
		return -EIO;
	if (dead)
		*dead = false;
	if (is_read && !env->count_reads)
		return 0;
	n = env->calls++;
	if (env->power_armed && n >= env->power_at) {
		env->off = true;
		if (dead)
			*dead = true;
		return -EIO;
	}
	if (env->fail_armed &&
	    (n == env->fail_at || (env->fail_sticky && n > env->fail_at)))
		return env->fail_error;
	return 0;
}

uint64_t fault_space_used(struct fault_env *env)
{
	struct fault_file *f;
	uint64_t used = 0;

	for (f = env->files; f; f = f->next)
		if (f->names || f->handles)
			used += f->bytes;
	return used;
}

uint64_t fault_space_left(struct fault_env *env)
{
	uint64_t used;

	if (!env->capacity)
		return UINT64_MAX;
	used = fault_space_used(env);
	return used < env->capacity ? env->capacity - used : 0;
}

uint64_t env_fault_calls(struct lsm_env *base)
{
	struct fault_env *env = fault_of(base);
	uint64_t n;

	mutex_lock(&env->mutex);
	n = env->calls;
	mutex_unlock(&env->mutex);
	return n;
}

void env_fault_count_reads(struct lsm_env *base, bool on)
{
	struct fault_env *env = fault_of(base);

	mutex_lock(&env->mutex);
	env->count_reads = on;
	mutex_unlock(&env->mutex);
}

void env_fault_fail_at(struct lsm_env *base, uint64_t nth, int error,
		       bool sticky)
{
	struct fault_env *env = fault_of(base);

	mutex_lock(&env->mutex);
	env->fail_armed = true;
	env->fail_at = nth;
	env->fail_error = error < 0 ? error : -error;
	env->fail_sticky = sticky;
	mutex_unlock(&env->mutex);
}

void env_fault_lose_failed_syncs(struct lsm_env *base)
{
	struct fault_env *env = fault_of(base);

	mutex_lock(&env->mutex);
	env->lose = true;
	mutex_unlock(&env->mutex);
}

void env_fault_set_capacity(struct lsm_env *base, uint64_t bytes)
{
	struct fault_env *env = fault_of(base);

	mutex_lock(&env->mutex);
	env->capacity = bytes;
	mutex_unlock(&env->mutex);
}

void env_fault_clear(struct lsm_env *base)
{
	struct fault_env *env = fault_of(base);

	mutex_lock(&env->mutex);
	env->fail_armed = false;
	env->power_armed = false;
	env->capacity = 0;
	mutex_unlock(&env->mutex);
}

void env_fault_power_off_at(struct lsm_env *base, uint64_t nth)
{
	struct fault_env *env = fault_of(base);

	mutex_lock(&env->mutex);
	env->power_armed = true;
	env->power_at = nth;
	mutex_unlock(&env->mutex);
}

bool env_fault_is_off(struct lsm_env *base)
{
	struct fault_env *env = fault_of(base);
	bool off;

	mutex_lock(&env->mutex);
	off = env->off;
	mutex_unlock(&env->mutex);
	return off;
}

/* The file at "/dir/name", or NULL. */
static struct fault_file *file_at(struct fault_env *env, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct fault_dir *d;

	if (!slash)
		return NULL;
	d = fault_dir_find(env, path, (size_t)(slash - path));
	return d ? fault_name_find(d, slash + 1) : NULL;
}

int env_fault_corrupt(struct lsm_env *base, const char *path,
		      uint64_t byte_offset, uint8_t xor_mask)
{
	struct fault_env *env = fault_of(base);
	struct fault_file *f;
	struct fault_buf *b;
	uint8_t *old;
	int err = -ENOENT;

	mutex_lock(&env->mutex);
	f = file_at(env, path);
	if (!f || byte_offset >= f->bytes)
		goto out;
	/* The medium itself: there is nothing power loss would put back. */
	old = fault_file_undo(f, (size_t)(byte_offset / FAULT_SECTOR));
	if (old)
		old[byte_offset % FAULT_SECTOR] ^= xor_mask;
	/* Reserved and never written has no buffer yet. */
	b = fault_file_pin(f);
	if (!b) {
		err = -ENOMEM;
		goto out;
	}
	b->data[byte_offset] ^= xor_mask;
	fault_buf_put(b);
	if (byte_offset >= f->written)
		f->written = (size_t)byte_offset + 1;
	err = 0;
out:
	mutex_unlock(&env->mutex);
	return err;
}

int env_fault_truncate(struct lsm_env *base, const char *path, uint64_t bytes)
{
	struct fault_env *env = fault_of(base);
	struct fault_file *f;

	mutex_lock(&env->mutex);
	f = file_at(env, path);
	if (f && bytes < f->bytes)
		f->bytes = bytes;
	if (f && bytes < f->durable_bytes)
		f->durable_bytes = bytes;
	if (f) {
		fault_file_own(f);
		fault_file_cut_tail(f);
	}
	mutex_unlock(&env->mutex);
	return f ? 0 : -ENOENT;
}
