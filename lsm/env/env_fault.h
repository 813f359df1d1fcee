/* SPDX-License-Identifier: MIT */
/*
 * env_fault.h - a disk in memory that knows what was synced, for tests.
 *
 * Every call that would change or read the disk is counted. A test can make
 * the n-th call fail, once or from then on, and can cut the power at any call:
 * after it every call fails with -EIO until env_fault_restart(), which keeps
 * of the unsynced writes what the test asks for. Unsynced are: data appended
 * since the last sync of its file, and names created, renamed, linked or
 * deleted since the last sync of the directory.
 */
#ifndef LSM_ENV_ENV_FAULT_H
#define LSM_ENV_ENV_FAULT_H

#include "lsm/env/env.h"

/* NULL: no memory. Thread-safe like every env. */
struct lsm_env *env_fault_new(void);
/* All handles must have been closed. */
void env_fault_free(struct lsm_env *env);

/* Calls counted so far (reads included when count_reads was set). */
uint64_t env_fault_calls(struct lsm_env *env);
void env_fault_count_reads(struct lsm_env *env, bool on);

/* The call with number nth (counted from env_fault_calls() == 0) fails with
 * error (-EIO, -ENOSPC); sticky: all later ones too, until
 * env_fault_clear(). A failed append may have written a part. */
void env_fault_fail_at(struct lsm_env *env, uint64_t nth, int error,
		       bool sticky);
/* From now on a sync of an object that is filled at several places (env_direct)
 * that is made to fail does what Linux does: it takes a while, and what it was
 * about counts as written. Later syncs say nothing, readers find it, but the
 * disk does not have it. */
void env_fault_lose_failed_syncs(struct lsm_env *env);
/* A disk of this many bytes; appends beyond give -ENOSPC. 0: no limit. */
void env_fault_set_capacity(struct lsm_env *env, uint64_t bytes);
/* No fault is armed any more and there is no limit; the power stays as it is
 * (env_fault_restart() brings it back). */
void env_fault_clear(struct lsm_env *env);

/* From call nth on nothing reaches the disk and every call returns -EIO. */
void env_fault_power_off_at(struct lsm_env *env, uint64_t nth);
bool env_fault_is_off(struct lsm_env *env);

enum env_fault_keep {
	ENV_KEEP_NONE,   /* every unsynced write is lost */
	ENV_KEEP_ALL,    /* nothing is lost but what came after power off */
	ENV_KEEP_RANDOM, /* each unsynced 512-byte sector or name by a coin */
	/* The same of the bytes; but every name by itself ends as any of the
	 * files that it named since the last sync of the directory, so that a
	 * later change of it may be there without an earlier one of another,
	 * and a rename may leave both names or none. */
	ENV_KEEP_SHUFFLED,
};
/* torn: the last unsynced append of every file may end at any 512-byte
 * border instead of being kept whole. All open handles become invalid (they
 * must be closed, which is always allowed, before or after). Clears the armed
 * faults, not the capacity. */
void env_fault_restart(struct lsm_env *env, enum env_fault_keep keep, bool torn,
		       uint64_t seed);

/* Flips bits of one byte / cuts the file, durably, for corruption tests. 0,
 * -ENOENT (no such file or byte) or -ENOMEM. */
int env_fault_corrupt(struct lsm_env *env, const char *path,
		      uint64_t byte_offset, uint8_t xor_mask);
int env_fault_truncate(struct lsm_env *env, const char *path, uint64_t bytes);

#endif
