/* SPDX-License-Identifier: MIT */
/*
 * env_fault_ops.h - the directory handle of the disk in memory, and what its
 * objects and logs share. All but the log functions: env->mutex is held.
 */
#ifndef LSM_ENV_ENV_FAULT_OPS_H
#define LSM_ENV_ENV_FAULT_OPS_H

#include "lsm/env/env_fault_impl.h"

struct fault_dir_handle {
	struct env_dir base;
	struct fault_env *env;
	struct fault_dir *dir; /* lives as long as env */
	uint64_t life;
	bool read_only;
};

/* fault_call(), and -EROFS for a change through a read-only directory. */
int fault_begin(struct fault_dir_handle *h, bool is_read, bool *dead);
/* A new file under a new name, opened: close it with fault_close_file(). */
int fault_create_file(struct fault_dir_handle *h, const char *name,
		      struct fault_file **out);
void fault_close_file(struct fault_file *f);
/* One counted append of len > 0 bytes at offset. When it fails, or when the
 * disk is full, a part of the bytes may have been written. */
int fault_append(struct fault_dir_handle *h, struct fault_file *f,
		 uint64_t offset, const void *data, size_t len);

/* env_fault_log.c; they take env->mutex. */
int fault_log_create(struct env_dir *dir, const char *name, const char *recycle,
		     uint64_t prealloc_bytes, struct env_log **out);
int fault_log_append(struct env_log *log, const void *data, size_t len);
int fault_log_sync(struct env_log *log);
int fault_log_close(struct env_log *log, bool trim);

#endif
