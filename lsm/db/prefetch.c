/* SPDX-License-Identifier: MIT */
/*
 * prefetch.c - lsm_prefetch(): bringing a range of keys into the cache before
 * it is read.
 *
 * The ranges asked for form a short ring. One thread of the pool that reads
 * ahead walks through one after the other with an iterator like any user's,
 * which leaves the blocks in the cache; the other threads stay free for the
 * scans. The walk ends early when it has passed what the budget allows, or the
 * store is being closed.
 */
#include <errno.h>
#include <string.h>

#include "lsm/db/db_impl.h"

/* Of keys and values, for one range. */
#define RANGE_BYTES_MAX (8u << 20)

static struct lsm_db *db_of(struct worker_job *w)
{
	return (struct lsm_db *)((char *)w -
				 offsetof(struct lsm_db, prefetch.work));
}

/* The next range, to be released by the caller. False: there is none, and no
 * work any more. */
static bool take(struct lsm_db *db, struct prefetch_range *out)
{
	struct prefetch *p = &db->prefetch;
	bool any;

	mutex_lock(&p->mutex);
	any = p->count > 0;
	if (any) {
		*out = p->range[p->first];
		memset(&p->range[p->first], 0, sizeof(*out));
		p->first = (p->first + 1) % PREFETCH_MAX;
		p->count--;
	} else {
		p->running = false;
	}
	mutex_unlock(&p->mutex);
	return any;
}

static void release_range(struct prefetch_range *r)
{
	buf_release(&r->start);
	buf_release(&r->end);
}

static void walk(struct lsm_db *db, const struct prefetch_range *r)
{
	struct lsm_iter_options o = {.lower = buf_slice(&r->start),
				     .upper = buf_slice(&r->end)};
	uint64_t left = cache_room(db->cache) / AHEAD_PARTS, bytes;
	struct lsm_iter *it;
	int err = lsm_iter_new(db, &o, &it);

	if (err)
		return;
	if (left > RANGE_BYTES_MAX)
		left = RANGE_BYTES_MAX;
	/* An error ends it: who reads will meet it. */
	for (err = lsm_iter_first(it); !err; err = lsm_iter_next(it)) {
		bytes = lsm_iter_key(it).len + lsm_iter_value(it).len;
		if (bytes >= left || workers_stopping(&db->ahead.workers))
			break;
		left -= bytes;
	}
	lsm_iter_free(it);
}

static void run(struct worker_job *w)
{
	struct lsm_db *db = db_of(w);
	struct prefetch_range r;

	while (take(db, &r)) {
		if (!workers_stopping(&db->ahead.workers))
			walk(db, &r);
		release_range(&r);
	}
}

static void drop(struct worker_job *w)
{
	struct lsm_db *db = db_of(w);
	struct prefetch_range r;

	while (take(db, &r))
		release_range(&r);
}

void prefetch_init(struct lsm_db *db)
{
	mutex_init(&db->prefetch.mutex);
	db->prefetch.work.run = run;
	db->prefetch.work.drop = drop;
}

void prefetch_release(struct lsm_db *db)
{
	drop(&db->prefetch.work);
	mutex_destroy(&db->prefetch.mutex);
}

/* *give: nobody is at work yet, and the caller is to see to it. */
static int push(struct prefetch *p, struct prefetch_range *r, bool *give)
{
	mutex_lock(&p->mutex);
	*give = false;
	if (p->count == PREFETCH_MAX) {
		mutex_unlock(&p->mutex);
		return -EAGAIN;
	}
	p->range[(p->first + p->count++) % PREFETCH_MAX] = *r;
	if (!p->running)
		*give = p->running = true;
	mutex_unlock(&p->mutex);
	return 0;
}

static int copy(struct buf *to, struct lsm_slice key)
{
	return key.len ? buf_append(to, key.data, key.len) : 0;
}

int lsm_prefetch(struct lsm_db *db, struct lsm_slice start,
		 struct lsm_slice end)
{
	struct prefetch_range r = {0};
	bool give;
	int err;

	if (start.len > LSM_KEY_MAX || end.len > LSM_KEY_MAX ||
	    (end.len && slice_cmp(end, start) <= 0))
		return -EINVAL;
	err = copy(&r.start, start);
	if (!err)
		err = copy(&r.end, end);
	if (!err)
		err = push(&db->prefetch, &r, &give);
	if (err) {
		release_range(&r);
		return err;
	}
	if (give && !workers_give(&db->ahead.workers, &db->prefetch.work)) {
		drop(&db->prefetch.work);
		return -EAGAIN;
	}
	return 0;
}
