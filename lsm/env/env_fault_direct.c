/* SPDX-License-Identifier: MIT */
/*
 * env_fault_direct.c - an object of the disk in memory that is filled at
 * several places at once. A write is one call, however many parts it has: it
 * can fail after any part of its bytes, and the power can go in it. Until a
 * sync each of its sectors is kept or lost by itself (env_fault_crash.c). Any
 * thread may call anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsm/env/env_fault_ops.h"

/* A disk that fails has tried for some time. */
#define LOSING_US 50000

struct fault_direct {
	struct env_direct base;
	struct fault_dir_handle *h;
	struct fault_file *file;
	uint64_t bytes; /* at open */
};

static struct fault_direct *direct_of(struct env_direct *d)
{
	return (struct fault_direct *)d;
}

int fault_direct_open(struct env_dir *dir, const char *name, bool create,
		      struct env_direct **out)
{
	struct fault_dir_handle *h = (struct fault_dir_handle *)dir;
	struct fault_direct *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->base.ops = dir->ops;
	d->h = h;
	mutex_lock(&h->env->mutex);
	err = fault_begin(h, false, NULL);
	if (!err && create) {
		err = fault_create_file(h, name, &d->file);
	} else if (!err) {
		d->file = fault_name_find(h->dir, name);
		err = d->file ? 0 : -ENOENT;
		if (!err) {
			fault_file_get(d->file);
			d->file->handles++;
			d->bytes = d->file->bytes;
		}
	}
	mutex_unlock(&h->env->mutex);
	if (err) {
		free(d);
		return err;
	}
	*out = &d->base;
	return 0;
}

uint64_t fault_direct_bytes(struct env_direct *d)
{
	return direct_of(d)->bytes;
}

int fault_direct_write(struct env_direct *direct, uint64_t offset,
		       const struct iovec *iov, size_t count)
{
	struct fault_direct *d = direct_of(direct);
	size_t len = 0, at = 0, i;
	uint8_t *whole;
	int err;

	for (i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (!len)
		return 0;
	whole = malloc(len);
	if (!whole)
		return -ENOMEM;
	for (i = 0; i < count; at += iov[i++].iov_len)
		if (iov[i].iov_len)
			memcpy(whole + at, iov[i].iov_base, iov[i].iov_len);
	mutex_lock(&d->h->env->mutex);
	err = fault_append(d->h, d->file, offset, whole, len);
	mutex_unlock(&d->h->env->mutex);
	free(whole);
	return err;
}

void fault_direct_discard(struct env_direct *d, uint64_t offset, uint64_t len)
{
	/* The bytes may stay; that is the worse case for who reads them. */
}

int fault_direct_sync(struct env_direct *direct)
{
	struct fault_direct *d = direct_of(direct);
	bool lost;
	int err;

	mutex_lock(&d->h->env->mutex);
	err = fault_begin(d->h, false, NULL);
	lost = err && d->h->env->lose;
	if (!err)
		fault_file_sync(d->file);
	else if (lost)
		fault_file_lose(d->file);
	mutex_unlock(&d->h->env->mutex);
	if (lost)
		usleep(LOSING_US);
	return err;
}

void fault_direct_settle(struct env_direct *direct)
{
	struct fault_direct *d = direct_of(direct);

	mutex_lock(&d->h->env->mutex);
	if (!fault_begin(d->h, false, NULL)) {
		fault_file_sync(d->file);
		fault_file_reread(d->file);
	}
	mutex_unlock(&d->h->env->mutex);
}

void fault_direct_close(struct env_direct *direct)
{
	struct fault_direct *d = direct_of(direct);

	mutex_lock(&d->h->env->mutex);
	fault_close_file(d->file);
	mutex_unlock(&d->h->env->mutex);
	free(d);
}
