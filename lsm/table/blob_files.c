/* SPDX-License-Identifier: MIT */
/*
 * blob_files.c - which blob files are open; see blob_reader.h.
 *
 * Whoever comes here is about to read from disk, so a mutex and a list are
 * quick enough. Opening is done outside the mutex; when two threads open the
 * same file, the second uses what the first put into the slot.
 */
#include "lsm/table/blob_reader.h"

#include <errno.h>
#include <string.h>

#include "lsm/base/file_name.h"

void blob_files_init(struct blob_files *b, struct env_dir *dir,
		     struct cache *cache, const struct logger *log,
		     unsigned max_open)
{
	memset(b, 0, sizeof(*b));
	b->dir = dir;
	b->cache = cache;
	b->log = log;
	b->max_open = max_open;
	mutex_init(&b->mutex);
}

void blob_files_release(struct blob_files *b)
{
	mutex_destroy(&b->mutex);
}

static void unlink_locked(struct blob_files *b, struct blob_slot *s)
	REQUIRES(b->mutex)
{
	*(s->newer ? &s->newer->older : &b->newest) = s->older;
	*(s->older ? &s->older->newer : &b->oldest) = s->newer;
	s->newer = s->older = NULL;
	b->open_count--;
}

static void push_locked(struct blob_files *b, struct blob_slot *s)
	REQUIRES(b->mutex)
{
	s->newer = NULL;
	s->older = b->newest;
	*(b->newest ? &b->newest->newer : &b->oldest) = s;
	b->newest = s;
	b->open_count++;
}

/* The open reader with a reference, or NULL. */
static struct blob_reader *find_locked(struct blob_files *b,
				       struct blob_slot *s) REQUIRES(b->mutex)
{
	if (!s->reader)
		return NULL;
	if (b->newest != s) {
		unlink_locked(b, s);
		push_locked(b, s);
	}
	blob_reader_ref(s->reader);
	return s->reader;
}

static struct blob_reader *close_locked(struct blob_files *b,
					struct blob_slot *s) REQUIRES(b->mutex)
{
	struct blob_reader *r = s->reader;

	unlink_locked(b, s);
	s->reader = NULL;
	return r;
}

int blob_files_get(struct blob_files *b, struct blob_slot *s,
		   struct blob_reader **out)
{
	struct blob_reader *mine, *spare = NULL;
	char name[FILE_NAME_MAX];
	int err;

	mutex_lock(&b->mutex);
	*out = find_locked(b, s);
	mutex_unlock(&b->mutex);
	if (*out)
		return 0;
	file_name(name, FILE_BLOB, s->number);
	err = blob_reader_open(b->dir, name, s->number, b->cache, b->log,
			       &mine);
	/* The version that asks for it keeps it from being deleted. */
	if (err == -ENOENT)
		err = log_corrupt(b->log, name, 0, "missing");
	if (err)
		return err;
	mutex_lock(&b->mutex);
	*out = find_locked(b, s);
	if (*out) {
		spare = mine;
	} else {
		s->reader = mine;
		push_locked(b, s);
		blob_reader_ref(mine);
		*out = mine;
		if (b->open_count > b->max_open)
			spare = close_locked(b, b->oldest);
	}
	mutex_unlock(&b->mutex);
	if (spare)
		blob_reader_put(spare);
	return 0;
}

void blob_files_evict(struct blob_files *b, struct blob_slot *s)
{
	struct blob_reader *r = NULL;

	mutex_lock(&b->mutex);
	if (s->reader)
		r = close_locked(b, s);
	mutex_unlock(&b->mutex);
	if (r)
		blob_reader_put(r);
	cache_erase_file(b->cache, s->number);
}
