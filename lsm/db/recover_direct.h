/* SPDX-License-Identifier: MIT */
/*
 * recover_direct.h - the part of recovery that follows handles in logs.
 *
 * Bulk writes put values into blob files that no manifest names yet, and only
 * handles into the log (direct.c). Their data is made durable before the log
 * is, so of a record that is known to have been durable the blocks are there,
 * or something is damaged. Behind that, in the tail of the log that power loss
 * may have kept though nobody had synced it, every block has to be looked at:
 * the first that is not there, or fails its checksum, ends the history just as
 * a torn record does.
 *
 * What was durable is said by later records of the log, or of later logs, so
 * all are read once more before the first handle is believed; a store without
 * bulk writes is not.
 *
 * One thread.
 */
#ifndef LSM_DB_RECOVER_DIRECT_H
#define LSM_DB_RECOVER_DIRECT_H

#include "lsm/db/db_impl.h"

struct direct_found {
	struct db_direct *file;
	struct blob_reader *probe; /* says nothing about damage; or NULL */
};

struct direct_log {
	uint64_t number;
	uint64_t durable; /* so many bytes are known to be */
};

/* Start with = {0} and db set. */
struct direct_replay {
	struct lsm_db *db;
	/* Blob files in the directory before recovery made any; ascending. */
	uint64_t *number;
	size_t count, cap;
	struct direct_found *found; /* those met; few */
	size_t found_count;
	struct direct_log *log; /* ascending; NULL: not looked at yet */
	size_t log_count;
};

/* A blob file in the directory, in any order, before anything is replayed. */
int direct_replay_note(struct direct_replay *r, uint64_t number);
/*
 * Looks at what the batch points to; the record that holds it ends at end in
 * the log called name. logs: all that are replayed, ascending. 0; LSM_END:
 * something is missing, and history ends before it; -EUCLEAN: the same in what
 * was durable, reported; or another error.
 */
int direct_replay_batch(struct direct_replay *r, const uint64_t *logs,
			size_t log_count, uint64_t log, const char *name,
			uint64_t end, struct lsm_slice rep);
/* The files that batches point to become m's. */
void direct_replay_give(struct direct_replay *r, struct db_mem *m);
void direct_replay_release(struct direct_replay *r);

#endif
