/* SPDX-License-Identifier: MIT */
/*
 * env_fault_object.c - objects of the disk in memory: writing and reading.
 *
 * A writer does not buffer, so that every append is a call that can fail and
 * a state in which the power can go. Any thread may call anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env/env_fault_ops.h"

static struct fault_dir_handle *dir_of(struct env_dir *dir)
{
	return (struct fault_dir_handle *)dir;
}

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

int fault_writer_create(struct env_dir *dir, const char *name,
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
		/* more than all of it, when it lies behind a hole */
		len -= grows - left < len ? (size_t)(grows - left) : len;
		err = err ? err : -ENOSPC;
	}
	write_err = fault_file_write(f, offset, data, len);
	return err ? err : write_err;
}

int fault_writer_append(struct env_writer *writer, const void *data, size_t len)
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

int fault_writer_finish(struct env_writer *writer)
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

void fault_writer_abort(struct env_writer *writer)
{
	struct fault_writer *w = (struct fault_writer *)writer;
	struct fault_env *env = w->h->env;

	mutex_lock(&env->mutex);
	if (!env->off && w->h->life == env->life)
		unlink_file(w);
	writer_free(w);
	mutex_unlock(&env->mutex);
}

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

int fault_object_open(struct env_dir *dir, const char *name,
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

void fault_object_close(struct env_object *object)
{
	struct fault_object *o = object_of(object);

	mutex_lock(&o->env->mutex);
	fault_buf_put(o->map);
	fault_close_file(o->file);
	mutex_unlock(&o->env->mutex);
	free(o);
}

uint64_t fault_object_bytes(struct env_object *o)
{
	return object_of(o)->bytes;
}

int fault_object_read(struct env_object *object, uint64_t offset, void *buf,
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

int fault_object_map(struct env_object *object, const void **base)
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

bool fault_object_map_lost(struct env_object *object)
{
	struct fault_object *o = object_of(object);
	bool lost;

	mutex_lock(&o->env->mutex);
	lost = o->map && (o->env->off || o->life != o->env->life ||
			  o->file->bytes < o->bytes);
	mutex_unlock(&o->env->mutex);
	return lost;
}

void fault_object_prefetch(struct env_object *o, uint64_t offset, size_t len)
{
	/* Memory is as near as it gets. */
}

void fault_object_drop(struct env_object *o)
{
}
