/* SPDX-License-Identifier: MIT */
/*
 * env_posix_object.c - reading an object, by pread or through a mapping.
 *
 * The mapping is made by the first who asks and lives as long as the object.
 * It has the size the file had when it was opened, and is guarded against the
 * file being shorter than that by now (env_sigbus.h). Any thread may call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/base/sync.h"
#include "lsm/env/env_posix.h"
#include "lsm/env/env_sigbus.h"

struct posix_object {
	struct env_object base;
	int fd;
	uint64_t bytes;         /* at open */
	struct mutex map_mutex; /* held to make the mapping, once */
	_Atomic(void *) map;
	struct sigbus_guard *guard; /* valid when map is not NULL */
};

static struct posix_object *object_of(struct env_object *o)
{
	return (struct posix_object *)o;
}

/* The mapping, or NULL. Acquire pairs with the release in make_map(): who sees
 * the mapping sees its guard. */
static void *object_mapping(struct posix_object *o)
{
	return atomic_load_explicit(&o->map, memory_order_acquire);
}

int posix_object_open(struct env_dir *dir, const char *name,
		      struct env_object **out)
{
	struct posix_object *o = calloc(1, sizeof(*o));
	struct stat st;
	int err;

	if (!o)
		return -ENOMEM;
	o->base.ops = dir->ops;
	err = posix_open_at(posix_dir_of(dir)->fd, name, O_RDONLY, &o->fd);
	if (err) {
		free(o);
		return err;
	}
	if (fstat(o->fd, &st))
		err = -errno;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	if (err) {
		posix_close(o->fd);
		free(o);
		return err;
	}
	o->bytes = (uint64_t)st.st_size;
	mutex_init(&o->map_mutex);
	*out = &o->base;
	return 0;
}

void posix_object_close(struct env_object *object)
{
	struct posix_object *o = object_of(object);
	void *map = object_mapping(o);

	if (map) {
		sigbus_guard_put(o->guard);
		munmap(map, (size_t)o->bytes);
	}
	posix_close(o->fd);
	mutex_destroy(&o->map_mutex);
	free(o);
}

uint64_t posix_object_bytes(struct env_object *o)
{
	return object_of(o)->bytes;
}

int posix_object_read(struct env_object *o, uint64_t offset, void *buf,
		      size_t len)
{
	return posix_read_all(object_of(o)->fd, buf, len, offset);
}

static int make_map(struct posix_object *o)
{
	struct sigbus_guard *guard;
	void *map;
	int err;

	if (o->bytes == 0)
		return -ENODATA;
	if (o->bytes > SIZE_MAX / 2)
		return -ENOTSUP;
	err = sigbus_guard_get(&guard);
	if (err)
		return err;
	map = mmap(NULL, (size_t)o->bytes, PROT_READ, MAP_SHARED, o->fd, 0);
	if (map == MAP_FAILED) {
		err = errno == ENODEV ? -ENOTSUP : -errno;
		sigbus_guard_put(guard);
		return err;
	}
	sigbus_guard_set(guard, map, (size_t)o->bytes, PROT_READ);
	o->guard = guard;
	/* Release pairs with object_mapping(). */
	atomic_store_explicit(&o->map, map, memory_order_release);
	return 0;
}

int posix_object_map(struct env_object *object, const void **base)
{
	struct posix_object *o = object_of(object);
	int err = 0;

	*base = object_mapping(o);
	if (*base)
		return 0;
	mutex_lock(&o->map_mutex);
	if (!object_mapping(o))
		err = make_map(o);
	*base = object_mapping(o);
	mutex_unlock(&o->map_mutex);
	return err;
}

bool posix_object_map_lost(struct env_object *object)
{
	struct posix_object *o = object_of(object);

	return object_mapping(o) && sigbus_lost(o->guard);
}

void posix_object_prefetch(struct env_object *o, uint64_t offset, size_t len)
{
	posix_fadvise(object_of(o)->fd, (off_t)offset, (off_t)len,
		      POSIX_FADV_WILLNEED);
}

void posix_object_drop(struct env_object *object)
{
	struct posix_object *o = object_of(object);
	void *map = object_mapping(o);

	if (map)
		madvise(map, (size_t)o->bytes, MADV_DONTNEED);
}
