/* SPDX-License-Identifier: MIT */
/*
 * env.c - the calls of env.h, passed on to the implementation.
 *
 * Names are checked here, once for all implementations: a store is flat, so a
 * name is one path component. Small whole files are written and read here too,
 * out of the same calls that everybody has. Any thread may call anything.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env/env.h"
#include "lsm/env/env_impl.h"

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MAX && !strchr(name, '/') &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int env_dir_open(struct lsm_env *env, const char *path, unsigned flags,
		 struct env_dir **out)
{
	int err;

	*out = NULL;
	if (!path[0])
		return -ENOENT;
	err = env->ops->dir_open(env, path, flags, out);
	assert(err || (*out)->ops == env->ops);
	return err;
}

void env_dir_close(struct env_dir *dir)
{
	if (dir)
		dir->ops->dir_close(dir);
}

int env_dir_lock(struct env_dir *dir, unsigned wait_ms, pid_t *holder)
{
	pid_t ignored;

	if (!holder)
		holder = &ignored;
	*holder = 0;
	return dir->ops->dir_lock(dir, wait_ms, holder);
}

int env_dir_list(struct env_dir *dir,
		 int (*fn)(void *arg, const char *name, uint64_t bytes),
		 void *arg)
{
	return dir->ops->dir_list(dir, fn, arg);
}

int env_dir_delete(struct env_dir *dir, const char *name)
{
	return name_ok(name) ? dir->ops->dir_delete(dir, name) : -EINVAL;
}

int env_dir_rename(struct env_dir *dir, const char *from, const char *to)
{
	if (!name_ok(from) || !name_ok(to))
		return -EINVAL;
	return dir->ops->dir_rename(dir, from, to);
}

int env_dir_link(struct env_dir *dir, const char *name, struct env_dir *to)
{
	if (dir->ops != to->ops)
		return -EXDEV;
	return name_ok(name) ? dir->ops->dir_link(dir, name, to) : -EINVAL;
}

int env_dir_sync(struct env_dir *dir)
{
	return dir->ops->dir_sync(dir);
}

int env_dir_space(struct env_dir *dir, uint64_t *free_bytes,
		  uint64_t *total_bytes)
{
	return dir->ops->dir_space(dir, free_bytes, total_bytes);
}

int env_writer_create(struct env_dir *dir, const char *name,
		      struct env_writer **out)
{
	*out = NULL;
	return name_ok(name) ? dir->ops->writer_create(dir, name, out)
			     : -EINVAL;
}

int env_writer_append(struct env_writer *w, const void *data, size_t len)
{
	return w->ops->writer_append(w, data, len);
}

int env_writer_finish(struct env_writer *w)
{
	return w->ops->writer_finish(w);
}

void env_writer_abort(struct env_writer *w)
{
	if (w)
		w->ops->writer_abort(w);
}

int env_direct_open(struct env_dir *dir, const char *name, bool create,
		    struct env_direct **out)
{
	*out = NULL;
	return name_ok(name) ? dir->ops->direct_open(dir, name, create, out)
			     : -EINVAL;
}

uint64_t env_direct_bytes(struct env_direct *d)
{
	return d->ops->direct_bytes(d);
}

int env_direct_write(struct env_direct *d, uint64_t offset,
		     const struct iovec *iov, size_t count)
{
	uint64_t left = INT64_MAX;

	for (size_t i = 0; i < count; i++) {
		if (iov[i].iov_len > left)
			return -EFBIG;
		left -= iov[i].iov_len;
	}
	return offset > left ? -EFBIG
			     : d->ops->direct_write(d, offset, iov, count);
}

void env_direct_discard(struct env_direct *d, uint64_t offset, uint64_t len)
{
	if (len && len <= INT64_MAX && offset <= INT64_MAX - len)
		d->ops->direct_discard(d, offset, len);
}

int env_direct_sync(struct env_direct *d)
{
	return d->ops->direct_sync(d);
}

void env_direct_settle(struct env_direct *d)
{
	d->ops->direct_settle(d);
}

void env_direct_close(struct env_direct *d)
{
	if (d)
		d->ops->direct_close(d);
}

int env_object_open(struct env_dir *dir, const char *name,
		    struct env_object **out)
{
	*out = NULL;
	return name_ok(name) ? dir->ops->object_open(dir, name, out) : -EINVAL;
}

void env_object_close(struct env_object *o)
{
	if (o)
		o->ops->object_close(o);
}

uint64_t env_object_bytes(struct env_object *o)
{
	return o->ops->object_bytes(o);
}

int env_object_read(struct env_object *o, uint64_t offset, void *buf,
		    size_t len)
{
	/* An offset comes from disk as often as not; off_t is signed. */
	if (len > INT64_MAX || offset > INT64_MAX - len)
		return -EUCLEAN;
	return o->ops->object_read(o, offset, buf, len);
}

int env_object_map(struct env_object *o, const void **base)
{
	*base = NULL;
	return o->ops->object_map(o, base);
}

bool env_object_map_lost(struct env_object *o)
{
	return o->ops->object_map_lost(o);
}

void env_object_prefetch(struct env_object *o, uint64_t offset, size_t len)
{
	if (len > INT64_MAX || offset > INT64_MAX - len)
		return;
	o->ops->object_prefetch(o, offset, len);
}

void env_object_drop(struct env_object *o)
{
	o->ops->object_drop(o);
}

int env_log_create(struct env_dir *dir, const char *name, const char *recycle,
		   uint64_t prealloc_bytes, struct env_log **out)
{
	*out = NULL;
	if (!name_ok(name) || (recycle && !name_ok(recycle)) ||
	    prealloc_bytes > INT64_MAX)
		return -EINVAL;
	return dir->ops->log_create(dir, name, recycle, prealloc_bytes, out);
}

int env_log_append(struct env_log *log, const void *data, size_t len)
{
	return log->ops->log_append(log, data, len);
}

int env_log_sync(struct env_log *log)
{
	return log->ops->log_sync(log);
}

int env_log_close(struct env_log *log, bool trim)
{
	return log ? log->ops->log_close(log, trim) : 0;
}

/* Writes the object tmp whole. Leaves none behind when it fails. */
static int write_whole(struct env_dir *dir, const char *tmp, const void *data,
		       size_t len)
{
	struct env_writer *w;
	int err;

	/* Left over from a process that ended half-way. */
	err = env_dir_delete(dir, tmp);
	if (err && err != -ENOENT)
		return err;
	err = env_writer_create(dir, tmp, &w);
	if (err)
		return err;
	err = env_writer_append(w, data, len);
	if (err) {
		env_writer_abort(w);
		return err;
	}
	return env_writer_finish(w);
}

int env_put_file(struct env_dir *dir, const char *name, const void *data,
		 size_t len)
{
	char tmp[NAME_MAX + 1];
	int n = snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	int err;

	if (!name_ok(name) || n < 0 || (size_t)n >= sizeof(tmp))
		return -EINVAL;
	err = write_whole(dir, tmp, data, len);
	if (err)
		return err;
	err = env_dir_rename(dir, tmp, name);
	if (err) {
		/* The first error is the one to tell; a file that stays is
		 * swept up at the next open by its name. */
		env_dir_delete(dir, tmp);
		return err;
	}
	return env_dir_sync(dir);
}

int env_get_file(struct env_dir *dir, const char *name, size_t max, void **data,
		 size_t *len)
{
	struct env_object *o;
	uint64_t bytes;
	char *p;
	int err;

	*data = NULL;
	*len = 0;
	err = env_object_open(dir, name, &o);
	if (err)
		return err;
	bytes = env_object_bytes(o);
	if (bytes > max) {
		err = -EFBIG;
		goto out;
	}
	p = malloc((size_t)bytes + 1);
	if (!p) {
		err = -ENOMEM;
		goto out;
	}
	err = env_object_read(o, 0, p, (size_t)bytes);
	if (err) {
		free(p);
		goto out;
	}
	p[bytes] = '\0';
	*data = p;
	*len = (size_t)bytes;
out:
	env_object_close(o);
	return err;
}
