/* SPDX-License-Identifier: MIT */
/*
 * slow_disk.h - a disk that is slow where a test wants it to be, and threads
 * that call the engine meanwhile.
 *
 * The disk in memory makes no call wait, so its functions can be wrapped: a
 * test puts its own into disk.ops before it opens a store; they call those of
 * disk.wrapped.
 *
 * Nothing here waits for ever. Who waits in vain in a wrapped function goes on;
 * the test itself asserts.
 */
#ifndef TESTS_LSM_DB_SLOW_DISK_H
#define TESTS_LSM_DB_SLOW_DISK_H

#include <stdatomic.h>
#include <time.h>

#include "tests/lsm/db/db_check.h"

#define DISK_PATH    "/store"
#define DISK_WAIT_MS 10000

static struct slow_disk {
	struct lsm_env *env;
	struct env_ops ops;            /* what the environment is given */
	const struct env_ops *wrapped; /* what it came with */
	atomic_uint logs;              /* see disk_logs() */
} disk;

static inline void sleep_ms(unsigned ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000,
				       .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

/* False: it took too long. */
static inline bool wait_for(atomic_bool *flag)
{
	for (unsigned i = 0; i < DISK_WAIT_MS && !atomic_load(flag); i++)
		sleep_ms(1);
	return atomic_load(flag);
}

static inline bool is_log(const char *name)
{
	return strstr(name, ".wal");
}

static inline bool is_table(const char *name)
{
	return strstr(name, ".sst");
}

static inline int counted_log_create(struct env_dir *dir, const char *name,
				     const char *recycle,
				     uint64_t prealloc_bytes,
				     struct env_log **out)
{
	int err = disk.wrapped->log_create(dir, name, recycle, prealloc_bytes,
					   out);

	if (!err && is_log(name))
		atomic_fetch_add(&disk.logs, 1);
	return err;
}

/* So many logs of writes were created. */
static inline unsigned disk_logs(void)
{
	return atomic_load(&disk.logs);
}

static inline void disk_make(void)
{
	disk.env = env_fault_new();
	ck_assert_ptr_nonnull(disk.env);
	disk.wrapped = disk.env->ops;
	disk.ops = *disk.wrapped;
	disk.ops.log_create = counted_log_create;
	disk.env->ops = &disk.ops;
	atomic_store(&disk.logs, 0);
}

static inline void disk_free(void)
{
	disk.env->ops = disk.wrapped;
	env_fault_free(disk.env);
}

/* The next call fails. */
static inline void disk_fail_next(void)
{
	env_fault_fail_at(disk.env, env_fault_calls(disk.env), -EIO, false);
}

static inline void disk_power_off(void)
{
	env_fault_power_off_at(disk.env, env_fault_calls(disk.env));
}

/* Only what was synced is there. */
static inline void disk_restart(void)
{
	env_fault_restart(disk.env, ENV_KEEP_NONE, false, 1);
}

/* ---- gates ---- */

/* Where a wrapped function waits. */
struct gate {
	atomic_bool reached, open;
};

static inline void gate_close(struct gate *g)
{
	atomic_store(&g->reached, false);
	atomic_store(&g->open, false);
}

static inline void gate_open(struct gate *g)
{
	atomic_store(&g->open, true);
}

static inline void gate_pass(struct gate *g)
{
	atomic_store(&g->reached, true);
	wait_for(&g->open);
}

/* ---- callers ---- */

/* A thread that makes one call. */
struct caller {
	pthread_t id;
	struct lsm_db *db;
	int (*call)(struct lsm_db *db);
	bool slow;
	int result;
	atomic_bool over;
};

/* In a wrapped function: the thread was started to be a slow one. */
static __thread bool is_slow;

static inline void *caller_main(void *arg)
{
	struct caller *c = arg;

	is_slow = c->slow;
	c->result = c->call(c->db);
	atomic_store(&c->over, true);
	return NULL;
}

static inline void caller_start(struct caller *c, struct lsm_db *db,
				int (*call)(struct lsm_db *db), bool slow)
{
	c->db = db;
	c->call = call;
	c->slow = slow;
	atomic_store(&c->over, false);
	ck_assert_int_eq(pthread_create(&c->id, NULL, caller_main, c), 0);
}

/* What the call returned. */
static inline int caller_end(struct caller *c)
{
	ck_assert(wait_for(&c->over));
	ck_assert_int_eq(pthread_join(c->id, NULL), 0);
	return c->result;
}

#endif
