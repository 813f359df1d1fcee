/* SPDX-License-Identifier: MIT */
/*
 * workers.h - a few threads that do small jobs beside the callers.
 *
 * Threads are started when the first jobs come, and stay. Jobs are run in the
 * order they came, each once, or are dropped when the workers are stopped. Who
 * gave a job may take it back as long as no thread has begun it. A job must not
 * wait for another one that may still be queued.
 *
 * Any thread.
 */
#ifndef LSM_BASE_WORKERS_H
#define LSM_BASE_WORKERS_H

#include <stdatomic.h>

#include "lsm/base/sync.h"

#define WORKERS_MAX 4

/* Embedded in what is to be done; zeroed before first use. */
struct worker_job {
	void (*run)(struct worker_job *w);
	/* Instead of run, when the workers are stopped; no lock is held. */
	void (*drop)(struct worker_job *w);
	struct worker_job *next, *prev; /* protected by workers->mutex */
	bool queued;                    /* the same */
};

struct workers {
	struct mutex mutex;
	struct cond cond;
	struct worker_job *first, *last; /* protected by mutex */
	unsigned max, started;           /* the same */
	unsigned idle, waiting;          /* the same: threads, jobs */
	_Atomic bool stop;               /* set under mutex */
	const char *name;
	pthread_t thread[WORKERS_MAX];
};

/* max threads, called name (15 characters); starts none. */
void workers_init(struct workers *w, unsigned max, const char *name);
/* Every job was run or dropped, and no thread is left, when it returns. May be
 * called again. */
void workers_stop(struct workers *w);
void workers_destroy(struct workers *w);
/* False: nobody will do it, for the workers were stopped or there is no thread
 * to be had. The job is as it was. */
bool workers_give(struct workers *w, struct worker_job *job);
/* True: the job is the caller's again and will not be run. */
bool workers_take_back(struct workers *w, struct worker_job *job);
/* For jobs that take long: time to give up? */
static inline bool workers_stopping(const struct workers *w)
{
	return atomic_load_explicit(&w->stop, memory_order_relaxed);
}

#endif
