/* SPDX-License-Identifier: MIT */
/*
 * event.c - telling the user what the background does.
 *
 * Events come up under all kinds of locks, and the user's function may do what
 * it likes, calls into the store included. So they are queued, and a thread of
 * their own tells them, one after the other and in order. The queue is bounded:
 * a function that does not keep up loses events, which the next one it gets
 * says. Without a function there is no queue and no thread.
 *
 * Any thread may tell; events.mutex is taken under all other locks.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

static void *events_main(void *arg)
{
	struct lsm_db *db = arg;
	struct event_queue *q = &db->events;
	struct lsm_event e;

	mutex_lock(&q->mutex);
	for (;;) {
		if (!q->count && q->stop)
			break;
		if (!q->count) {
			cond_wait(&q->cond, &q->mutex);
			continue;
		}
		e = q->ring[q->first];
		q->first = (q->first + 1) % EVENTS_MAX;
		q->count--;
		mutex_unlock(&q->mutex);
		db->opt.event_fn(db->opt.event_arg, &e);
		mutex_lock(&q->mutex);
	}
	mutex_unlock(&q->mutex);
	return NULL;
}

int events_start(struct lsm_db *db)
{
	struct event_queue *q = &db->events;
	int err;

	if (!db->opt.event_fn)
		return 0;
	q->ring = calloc(EVENTS_MAX, sizeof(*q->ring));
	if (!q->ring)
		return -ENOMEM;
	err = thread_start(&q->thread, "lsm-events", events_main, db);
	q->started = !err;
	return err;
}

void events_stop(struct lsm_db *db)
{
	struct event_queue *q = &db->events;

	mutex_lock(&q->mutex);
	q->stop = true;
	cond_broadcast(&q->cond);
	mutex_unlock(&q->mutex);
	if (q->started)
		pthread_join(q->thread, NULL);
	q->started = false;
	free(q->ring);
	q->ring = NULL;
}

static void push_locked(struct event_queue *q, struct lsm_event *e)
	REQUIRES(q->mutex)
{
	e->time_ns = clock_ns();
	if (e->duration_ns)
		e->duration_ns = e->time_ns - e->duration_ns;
	if (!q->ring || q->count == EVENTS_MAX) {
		q->lost++;
		return;
	}
	e->lost = q->lost;
	q->lost = 0;
	q->ring[(q->first + q->count++) % EVENTS_MAX] = *e;
	cond_signal(&q->cond);
}

void event_tell(struct lsm_db *db, struct lsm_event e)
{
	if (!db->opt.event_fn)
		return;
	mutex_lock(&db->events.mutex);
	push_locked(&db->events, &e);
	mutex_unlock(&db->events.mutex);
}

void event_stall(struct lsm_db *db, bool on)
{
	struct lsm_event e = {.kind = on ? LSM_EVENT_STALL_BEGIN
					 : LSM_EVENT_STALL_END};
	struct event_queue *q = &db->events;

	if (!db->opt.event_fn ||
	    atomic_load_explicit(&db->stalled, memory_order_relaxed) == on)
		return;
	mutex_lock(&q->mutex);
	if (atomic_load_explicit(&db->stalled, memory_order_relaxed) != on) {
		atomic_store_explicit(&db->stalled, on, memory_order_relaxed);
		if (!on)
			e.duration_ns = q->stall_ns;
		push_locked(q, &e);
		q->stall_ns = e.time_ns;
	}
	mutex_unlock(&q->mutex);
}
