/* SPDX-License-Identifier: MIT */
/* workers.c - threads for small jobs; see workers.h. */
#include "lsm/base/workers.h"

#include <string.h>

void workers_init(struct workers *w, unsigned max, const char *name)
{
	memset(w, 0, sizeof(*w));
	mutex_init(&w->mutex);
	cond_init(&w->cond);
	w->max = max < WORKERS_MAX ? max : WORKERS_MAX;
	w->name = name;
}

static void unlink_locked(struct workers *w, struct worker_job *job)
	REQUIRES(w->mutex)
{
	*(job->prev ? &job->prev->next : &w->first) = job->next;
	*(job->next ? &job->next->prev : &w->last) = job->prev;
	job->next = job->prev = NULL;
	job->queued = false;
	w->waiting--;
}

static void push_locked(struct workers *w, struct worker_job *job)
	REQUIRES(w->mutex)
{
	job->next = NULL;
	job->prev = w->last;
	*(w->last ? &w->last->next : &w->first) = job;
	w->last = job;
	job->queued = true;
	w->waiting++;
}

static void *worker_main(void *arg)
{
	struct workers *w = arg;

	mutex_lock(&w->mutex);
	while (!workers_stopping(w)) {
		struct worker_job *job = w->first;

		if (!job) {
			w->idle++;
			cond_wait(&w->cond, &w->mutex);
			w->idle--;
			continue;
		}
		unlink_locked(w, job);
		mutex_unlock(&w->mutex);
		job->run(job);
		mutex_lock(&w->mutex);
	}
	mutex_unlock(&w->mutex);
	return NULL;
}

bool workers_give(struct workers *w, struct worker_job *job)
{
	bool taken = false, wake;

	mutex_lock(&w->mutex);
	if (!workers_stopping(w)) {
		if (w->waiting >= w->idle && w->started < w->max &&
		    !thread_start(&w->thread[w->started], w->name, worker_main,
				  w))
			w->started++;
		taken = w->started > 0;
	}
	if (taken)
		push_locked(w, job);
	wake = taken && w->idle;
	mutex_unlock(&w->mutex);
	/* without the mutex, which the woken thread wants first */
	if (wake)
		cond_signal(&w->cond);
	return taken;
}

bool workers_take_back(struct workers *w, struct worker_job *job)
{
	bool ours;

	mutex_lock(&w->mutex);
	ours = job->queued;
	if (ours)
		unlink_locked(w, job);
	mutex_unlock(&w->mutex);
	return ours;
}

void workers_stop(struct workers *w)
{
	struct worker_job *job;
	unsigned n;

	mutex_lock(&w->mutex);
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
	while ((job = w->first)) {
		unlink_locked(w, job);
		mutex_unlock(&w->mutex);
		job->drop(job);
		mutex_lock(&w->mutex);
	}
	/* From here on none is started. */
	n = w->started;
	w->started = 0;
	mutex_unlock(&w->mutex);
	cond_broadcast(&w->cond);
	for (unsigned i = 0; i < n; i++)
		pthread_join(w->thread[i], NULL);
}

void workers_destroy(struct workers *w)
{
	cond_destroy(&w->cond);
	mutex_destroy(&w->mutex);
}
