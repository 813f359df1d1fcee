/* SPDX-License-Identifier: MIT */
/*
 * env_fault_ops.c - the disk in memory as an env: the table of functions, and
 * directories. Objects are in env_fault_object.c, logs in env_fault_log.c.
 *
 * Each function takes env->mutex, asks fault_call() what is to happen to this
 * call, and does it. A handle remembers the life of the disk it was opened in
 * and is of no use after a restart. Any thread may call anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lsm/env/env_fault_ops.h"

/* What dir_space() says of a disk without a limit. */
#define NO_LIMIT_BYTES ((uint64_t)1 << 40)

static struct fault_dir_handle *dir_of(struct env_dir *dir)
{
	return (struct fault_dir_handle *)dir;
}

int fault_begin(struct fault_dir_handle *h, bool is_read, bool *dead)
{
	if (!is_read && h->read_only)
		return -EROFS;
	return fault_call(h->env, h->life, is_read, dead);
}

static int dir_open(struct lsm_env *base, const char *path, unsigned flags,
		    struct env_dir **out)
{
	bool create = (flags & ENV_DIR_CREATE) && !(flags & ENV_DIR_READ_ONLY);
	struct fault_env *env = (struct fault_env *)base;
	struct fault_dir_handle *h = calloc(1, sizeof(*h));
	size_t len = strlen(path);
	int err;

	if (!h)
		return -ENOMEM;
	while (len > 1 && path[len - 1] == '/')
		len--;
	mutex_lock(&env->mutex);
	err = fault_call(env, env->life, !create, NULL);
	if (err)
		goto out;
	h->dir = fault_dir_find(env, path, len);
	if (!h->dir && create) {
		h->dir = fault_dir_new(env, path, len);
		err = h->dir ? 0 : -ENOMEM;
	} else if (!h->dir) {
		err = -ENOENT;
	}
	h->base.ops = base->ops;
	h->env = env;
	h->life = env->life;
	h->read_only = flags & ENV_DIR_READ_ONLY;
out:
	mutex_unlock(&env->mutex);
	if (err) {
		free(h);
		return err;
	}
	*out = &h->base;
	return 0;
}

static void dir_close(struct env_dir *dir)
{
	struct fault_dir_handle *h = dir_of(dir);

	mutex_lock(&h->env->mutex);
	if (h->dir->lock_holder == h)
		h->dir->lock_holder = NULL;
	mutex_unlock(&h->env->mutex);
	free(h);
}

static int dir_lock(struct env_dir *dir, unsigned wait_ms, pid_t *holder)
{
	const struct timespec poll = {.tv_nsec = 1000000};
	struct fault_dir_handle *h = dir_of(dir);
	unsigned waited_ms = 0;
	int err;

	if (h->read_only)
		return -EROFS;
	for (;;) {
		mutex_lock(&h->env->mutex);
		if (h->env->off || h->life != h->env->life) {
			err = -EIO;
		} else if (h->dir->lock_holder) {
			err = -EBUSY;
			*holder = getpid();
		} else {
			err = 0;
			*holder = 0;
			h->dir->lock_holder = h;
		}
		mutex_unlock(&h->env->mutex);
		if (err != -EBUSY || waited_ms >= wait_ms)
			return err;
		nanosleep(&poll, NULL);
		waited_ms++;
	}
}

struct listed {
	char *name;
	uint64_t bytes;
};

/* A copy of the names, so that fn is called without the mutex. */
static int list_names(struct fault_dir *d, struct listed **out, size_t *count)
{
	struct fault_entry *e;
	struct listed *list;
	size_t n = 0;

	for (e = d->entries; e; e = e->next)
		n++;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	*out = list;
	*count = 0;
	for (e = d->entries; e; e = e->next) {
		if (!e->now)
			continue;
		list[*count].bytes = e->now->bytes;
		list[*count].name = strdup(e->name);
		if (!list[*count].name)
			return -ENOMEM;
		++*count;
	}
	return 0;
}

static int dir_list(struct env_dir *dir,
		    int (*fn)(void *arg, const char *name, uint64_t bytes),
		    void *arg)
{
	struct fault_dir_handle *h = dir_of(dir);
	struct listed *list = NULL;
	size_t count = 0, i;
	int ret;

	mutex_lock(&h->env->mutex);
	ret = fault_begin(h, true, NULL);
	if (!ret)
		ret = list_names(h->dir, &list, &count);
	mutex_unlock(&h->env->mutex);
	for (i = 0; i < count; i++) {
		if (!ret)
			ret = fn(arg, list[i].name, list[i].bytes);
		free(list[i].name);
	}
	free(list);
	return ret;
}

static int dir_delete(struct env_dir *dir, const char *name)
{
	struct fault_dir_handle *h = dir_of(dir);
	int err;

	mutex_lock(&h->env->mutex);
	err = fault_begin(h, false, NULL);
	if (!err)
		err = fault_name_delete(h->dir, name);
	mutex_unlock(&h->env->mutex);
	return err;
}

static int dir_rename(struct env_dir *dir, const char *from, const char *to)
{
	struct fault_dir_handle *h = dir_of(dir);
	int err;

	mutex_lock(&h->env->mutex);
	err = fault_begin(h, false, NULL);
	if (!err)
		err = fault_name_rename(h->dir, from, to);
	mutex_unlock(&h->env->mutex);
	return err;
}

static int dir_link(struct env_dir *dir, const char *name, struct env_dir *to)
{
	struct fault_dir_handle *h = dir_of(dir), *t = dir_of(to);
	struct fault_file *f;
	int err;

	if (h->env != t->env)
		return -EXDEV;
	mutex_lock(&h->env->mutex);
	err = fault_begin(t, false, NULL);
	if (err)
		goto out;
	f = fault_name_find(h->dir, name);
	err = f ? fault_name_add(t->dir, name, f) : -ENOENT;
out:
	mutex_unlock(&h->env->mutex);
	return err;
}

static int dir_sync(struct env_dir *dir)
{
	struct fault_dir_handle *h = dir_of(dir);
	int err;

	mutex_lock(&h->env->mutex);
	err = fault_begin(h, false, NULL);
	if (!err)
		fault_names_sync(h->dir);
	mutex_unlock(&h->env->mutex);
	return err;
}

static int dir_space(struct env_dir *dir, uint64_t *free_bytes,
		     uint64_t *total_bytes)
{
	struct fault_dir_handle *h = dir_of(dir);
	uint64_t used;
	int err;

	mutex_lock(&h->env->mutex);
	err = fault_begin(h, true, NULL);
	if (!err) {
		used = fault_space_used(h->env);
		*total_bytes =
			h->env->capacity ? h->env->capacity : NO_LIMIT_BYTES;
		*free_bytes = used < *total_bytes ? *total_bytes - used : 0;
	}
	mutex_unlock(&h->env->mutex);
	return err;
}

const struct env_ops fault_ops = {
	.dir_open = dir_open,
	.dir_close = dir_close,
	.dir_lock = dir_lock,
	.dir_list = dir_list,
	.dir_delete = dir_delete,
	.dir_rename = dir_rename,
	.dir_link = dir_link,
	.dir_sync = dir_sync,
	.dir_space = dir_space,
	.writer_create = fault_writer_create,
	.writer_append = fault_writer_append,
	.writer_finish = fault_writer_finish,
	.writer_abort = fault_writer_abort,
	.direct_open = fault_direct_open,
	.direct_bytes = fault_direct_bytes,
	.direct_write = fault_direct_write,
	.direct_discard = fault_direct_discard,
	.direct_sync = fault_direct_sync,
	.direct_settle = fault_direct_settle,
	.direct_close = fault_direct_close,
	.object_open = fault_object_open,
	.object_close = fault_object_close,
	.object_bytes = fault_object_bytes,
	.object_read = fault_object_read,
	.object_map = fault_object_map,
	.object_map_lost = fault_object_map_lost,
	.object_prefetch = fault_object_prefetch,
	.object_drop = fault_object_drop,
	.log_create = fault_log_create,
	.log_append = fault_log_append,
	.log_sync = fault_log_sync,
	.log_close = fault_log_close,
};
