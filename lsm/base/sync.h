/* SPDX-License-Identifier: MIT */
/*
 * sync.h - mutex, condition variable and reader-writer lock, with clang's
 * thread-safety annotations so that `clang -Wthread-safety` checks what the
 * comments promise. The pthread calls cannot fail as they are used here;
 * a failure is a broken invariant of ours and aborts.
 */
#ifndef LSM_BASE_SYNC_H
#define LSM_BASE_SYNC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define CAPABILITY(n)       TSA(capability(n))
#define GUARDED_BY(m)       TSA(guarded_by(m))
#define REQUIRES(...)       TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...)       TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...)        TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...)        TSA(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...)    TSA(try_acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) TSA(release_shared_capability(__VA_ARGS__))
#define NO_TSA              TSA(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
};

struct cond {
	pthread_cond_t c; /* on CLOCK_MONOTONIC */
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t l;
};

void mutex_init(struct mutex *m);
void mutex_destroy(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRE(m);
/* True: it is locked now; false: someone else has it. */
bool mutex_trylock(struct mutex *m) TRY_ACQUIRE(true, m);
void mutex_unlock(struct mutex *m) RELEASE(m);

void cond_init(struct cond *c);
void cond_destroy(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m);
/* False when timeout_ns passed first. */
bool cond_timedwait(struct cond *c, struct mutex *m, uint64_t timeout_ns)
	REQUIRES(m);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

void rwlock_init(struct rwlock *l);
void rwlock_destroy(struct rwlock *l);
void rwlock_rdlock(struct rwlock *l) ACQUIRE_SHARED(l);
void rwlock_rdunlock(struct rwlock *l) RELEASE_SHARED(l);
void rwlock_wrlock(struct rwlock *l) ACQUIRE(l);
void rwlock_wrunlock(struct rwlock *l) RELEASE(l);

/* A word to wait on without a lock (futex(2)). Sleeps unless *word is no longer
 * `seen`, until someone wakes it; may also return for no reason. */
void word_wait(_Atomic uint32_t *word, uint32_t seen);
void word_wake_all(_Atomic uint32_t *word);

/* In a loop that waits for another thread for less than a sleep costs. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Counters of which each thread has its own, in an array of lines: the first
 * threads of the process own a line each, the others share the last one. So
 * most counting needs no locked instruction, which would keep the processor
 * from looking ahead, and the sum over the lines is exact.
 */
unsigned thread_line(unsigned lines); /* the calling thread's */
static inline void line_add(_Atomic uint64_t *counter, uint64_t n,
			    unsigned line, unsigned lines)
{
	if (line + 1 < lines)
		atomic_store_explicit(
			counter,
			atomic_load_explicit(counter, memory_order_relaxed) + n,
			memory_order_relaxed);
	else
		atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Starts a joinable thread named name (15 characters at most) with all
 * signals blocked: they belong to the program. 0 or -errno. */
int thread_start(pthread_t *t, const char *name, void *(*fn)(void *),
		 void *arg);

/* Monotonic nanoseconds. */
uint64_t clock_ns(void);

#endif
