/* SPDX-License-Identifier: MIT */
/*
 * env_fault_ops.c - the disk in memory as an env: directories and objects.
 * Logs are in env_fault_log.c.
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

/* ---- writing objects ---- */

struct fault_writer {
	struct env_writer base;
	struct fault_dir_handle *h;
	struct fault_file *file;
	char *name;
	int error; /* the first one */
};

int fault_create_file(struct fault_dir_handle *h, const char *name,
		      struct fault_file **out)
{
	struct fault_file *f = fault_file_new(h->env);
	int err;

	if (!f)
		return -ENOMEM;
	err = fault_name_add(h->dir, name, f);
	if (err) {
		fault_file_put(f);
		return err;
	}
	f->handles++;
	*out = f;
	return 0;
}

void fault_close_file(struct fault_file *f)
{
	f->handles--;
	fault_file_put(f);
}

static int writer_create(struct env_dir *dir, const char *name,
			 struct env_writer **out)
{
	struct fault_dir_handle *h = dir_of(dir);
	struct fault_writer *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	if (!w)
		return err;
	w->base.ops = dir->ops;
	w->h = h;
	w->name = strdup(name);
	mutex_lock(&h->env->mutex);
	if (w->name)
		err = fault_begin(h, false, NULL);
	if (!err)
		err = fault_create_file(h, name, &w->file);
	mutex_unlock(&h->env->mutex);
	if (err) {
		free(w->name);
		free(w);
		return err;
	}
	*out = &w->base;
	return 0;
}

int fault_append(struct fault_dir_handle *h, struct fault_file *f,
		 uint64_t offset, const void *data, size_t len)
{
	uint64_t left, grows = 0;
	bool dead;
	int err, write_err;

	err = fault_begin(h, false, &dead);
	if (err) {
		/* Any part, and the same one each time the test is run. */
		len = dead ? 0 : (size_t)(h->env->calls * 2654435761u % len);
	}
	left = fault_space_left(h->env);
	if (offset + len > f->bytes)
		grows = offset + len - f->bytes;
	if (grows > left) {
		len -= (size_t)(grows - left);
		err = err ? err : -ENOSPC;
	}
	write_err = fault_file_write(f, offset, data, len);
	return err ? err : write_err;
}

static int writer_append(struct env_writer *writer, const void *data,
			 size_t len)
{
	struct fault_writer *w = (struct fault_writer *)writer;

	if (len == 0 || w->error)
		return w->error;
	mutex_lock(&w->h->env->mutex);
	w->error = fault_append(w->h, w->file, w->file->bytes, data, len);
	mutex_unlock(&w->h->env->mutex);
	return w->error;
}

/* Gives the file up; the power is on. */
static void unlink_file(struct fault_writer *w)
{
	/* No memory to note it: the file stays, as after a crash. */
	if (fault_name_find(w->h->dir, w->name) == w->file)
		fault_name_delete(w->h->dir, w->name);
}

static void writer_free(struct fault_writer *w)
{
	fault_close_file(w->file);
	free(w->name);
	free(w);
}

static int writer_finish(struct env_writer *writer)
{
	struct fault_writer *w = (struct fault_writer *)writer;
	struct fault_env *env = w->h->env;
	int err;

	mutex_lock(&env->mutex);
	err = fault_begin(w->h, false, NULL);
	if (w->error)
		err = w->error;
	if (!err)
		fault_file_sync(w->file);
	else if (!env->off && w->h->life == env->life)
		unlink_file(w);
	writer_free(w);
	mutex_unlock(&env->mutex);
	return err;
}

static void writer_abort(struct env_writer *writer)
{
	struct fault_writer *w = (struct fault_writer *)writer;
	struct fault_env *env = w->h->env;

	mutex_lock(&env->mutex);
	if (!env->off && w->h->life == env->life)
		unlink_file(w);
	writer_free(w);
	mutex_unlock(&env->mutex);
}

/* ---- reading objects ---- */

struct fault_object {
	struct env_object base;
	struct fault_env *env;
	uint64_t life;
	struct fault_file *file;
	uint64_t bytes;        /* at open */
	struct fault_buf *map; /* NULL: not mapped yet; by env->mutex */
};

static struct fault_object *object_of(struct env_object *o)
{
	return (struct fault_object *)o;
}

static int object_open(struct env_dir *dir, const char *name,
		       struct env_object **out)
{
	struct fault_dir_handle *h = dir_of(dir);
	struct fault_object *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->base.ops = dir->ops;
	o->env = h->env;
	o->life = h->life;
	mutex_lock(&h->env->mutex);
	err = fault_begin(h, true, NULL);
	if (!err) {
		o->file = fault_name_find(h->dir, name);
		err = o->file ? 0 : -ENOENT;
	}
	if (!err) {
		fault_file_get(o->file);
		o->file->handles++;
		o->bytes = o->file->bytes;
	}
	mutex_unlock(&h->env->mutex);
	if (err) {
		free(o);
		return err;
	}
	*out = &o->base;
	return 0;
}

static void object_close(struct env_object *object)
{
	struct fault_object *o = object_of(object);

	mutex_lock(&o->env->mutex);
	fault_buf_put(o->map);
	fault_close_file(o->file);
	mutex_unlock(&o->env->mutex);
	free(o);
}

static uint64_t object_bytes(struct env_object *o)
{
	return object_of(o)->bytes;
}

static int object_read(struct env_object *object, uint64_t offset, void *buf,
		       size_t len)
{
	struct fault_object *o = object_of(object);
	int err;

	mutex_lock(&o->env->mutex);
	err = fault_call(o->env, o->life, true, NULL);
	if (!err && len > 0 && fault_file_read(o->file, offset, buf, len) < len)
		err = -EUCLEAN;
	mutex_unlock(&o->env->mutex);
	return err;
}

static int object_map(struct env_object *object, const void **base)
{
	struct fault_object *o = object_of(object);
	int err;

	mutex_lock(&o->env->mutex);
	err = fault_call(o->env, o->life, true, NULL);
	if (!err && o->bytes == 0)
		err = -ENODATA;
	/* Shorter by now than at open: a page would be missing. */
	if (!err && !o->map && o->file->bytes < o->bytes)
		err = -EIO;
	if (!err && !o->map) {
		o->map = fault_file_pin(o->file);
		err = o->map ? 0 : -ENOMEM;
	}
	if (!err)
		*base = o->map->data;
	mutex_unlock(&o->env->mutex);
	return err;
}

static bool object_map_lost(struct env_object *object)
{
	struct fault_object *o = object_of(object);
	bool lost;

	mutex_lock(&o->env->mutex);
	lost = o->map && (o->env->off || o->life != o->env->life ||
			  o->file->bytes < o->bytes);
	mutex_unlock(&o->env->mutex);
	return lost;
}

static void object_prefetch(struct env_object *o, uint64_t offset, size_t len)
{
	/* Memory is as near as it gets. */
}

static void object_drop(struct env_object *o)
{
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
	.writer_create = writer_create,
	.writer_append = writer_append,
	.writer_finish = writer_finish,
	.writer_abort = writer_abort,
	.object_open = object_open,
	.object_close = object_close,
	.object_bytes = object_bytes,
	.object_read = object_read,
	.object_map = object_map,
	.object_map_lost = object_map_lost,
	.object_prefetch = object_prefetch,
	.object_drop = object_drop,
	.log_create = fault_log_create,
	.log_append = fault_log_append,
	.log_sync = fault_log_sync,
	.log_close = fault_log_close,
};
