/* SPDX-License-Identifier: MIT */
/* sync.c - pthread locks that abort where only our own bug makes them fail. */
#include "lsm/base/sync.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void check(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "tinylsm: %s failed: error %d\n", what, err);
		abort();
	}
}

void mutex_init(struct mutex *m)
{
	check(pthread_mutex_init(&m->m, NULL), "mutex_init");
}

void mutex_destroy(struct mutex *m)
{
	check(pthread_mutex_destroy(&m->m), "mutex_destroy");
}

NO_TSA void mutex_lock(struct mutex *m)
{
	check(pthread_mutex_lock(&m->m), "mutex_lock");
}

NO_TSA bool mutex_trylock(struct mutex *m)
{
	int err = pthread_mutex_trylock(&m->m);

	if (err != EBUSY)
		check(err, "mutex_trylock");
	return !err;
}

NO_TSA void mutex_unlock(struct mutex *m)
{
	check(pthread_mutex_unlock(&m->m), "mutex_unlock");
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	check(pthread_condattr_init(&attr), "condattr_init");
	check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC),
	      "condattr_setclock");
	check(pthread_cond_init(&c->c, &attr), "cond_init");
	pthread_condattr_destroy(&attr);
}

void cond_destroy(struct cond *c)
{
	check(pthread_cond_destroy(&c->c), "cond_destroy");
}

void cond_wait(struct cond *c, struct mutex *m)
{
	check(pthread_cond_wait(&c->c, &m->m), "cond_wait");
}

bool cond_timedwait(struct cond *c, struct mutex *m, uint64_t timeout_ns)
{
	uint64_t at = clock_ns() + timeout_ns;
	struct timespec ts = {.tv_sec = (time_t)(at / 1000000000),
			      .tv_nsec = (long)(at % 1000000000)};
	int err = pthread_cond_timedwait(&c->c, &m->m, &ts);

	if (err == ETIMEDOUT)
		return false;
	check(err, "cond_timedwait");
	return true;
}

void cond_signal(struct cond *c)
{
	check(pthread_cond_signal(&c->c), "cond_signal");
}

void cond_broadcast(struct cond *c)
{
	check(pthread_cond_broadcast(&c->c), "cond_broadcast");
}

void rwlock_init(struct rwlock *l)
{
	check(pthread_rwlock_init(&l->l, NULL), "rwlock_init");
}

void rwlock_destroy(struct rwlock *l)
{
	check(pthread_rwlock_destroy(&l->l), "rwlock_destroy");
}

NO_TSA void rwlock_rdlock(struct rwlock *l)
{
	check(pthread_rwlock_rdlock(&l->l), "rwlock_rdlock");
}

NO_TSA void rwlock_rdunlock(struct rwlock *l)
{
	check(pthread_rwlock_unlock(&l->l), "rwlock_unlock");
}

NO_TSA void rwlock_wrlock(struct rwlock *l)
{
	check(pthread_rwlock_wrlock(&l->l), "rwlock_wrlock");
}

NO_TSA void rwlock_wrunlock(struct rwlock *l)
{
	check(pthread_rwlock_unlock(&l->l), "rwlock_unlock");
}

void word_wait(_Atomic uint32_t *word, uint32_t seen)
{
	long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL,
			 0);

	if (r < 0 && errno != EAGAIN && errno != EINTR)
		check(errno, "futex wait");
}

void word_wake_all(_Atomic uint32_t *word)
{
	if (syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL,
		    0) < 0)
		check(errno, "futex wake");
}

unsigned thread_line(unsigned lines)
{
	static _Atomic unsigned next;
	static __thread unsigned mine
		__attribute__((tls_model("initial-exec")));

	if (!mine)
		mine = 1 + atomic_fetch_add_explicit(&next, 1,
						     memory_order_relaxed);
	return mine < lines ? mine - 1 : lines - 1;
}

int thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int err;

	/* SIGBUS stays open: the guard of mapped files handles it in the
	 * thread that faulted (env.h, env_object_map). */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(t, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_setname_np(*t, name);
	return 0;
}

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
