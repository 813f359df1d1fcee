/* SPDX-License-Identifier: MIT */
/*
 * env_fault_ops.h - the directory handle of the disk in memory, and what its
 * objects and logs share. env->mutex is held unless it is said otherwise.
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

/* env_fault_object.c; they take env->mutex. */
int fault_writer_create(struct env_dir *dir, const char *name,
			struct env_writer **out);
int fault_writer_append(struct env_writer *w, const void *data, size_t len);
int fault_writer_finish(struct env_writer *w);
void fault_writer_abort(struct env_writer *w);
int fault_object_open(struct env_dir *dir, const char *name,
		      struct env_object **out);
void fault_object_close(struct env_object *o);
uint64_t fault_object_bytes(struct env_object *o);
int fault_object_read(struct env_object *o, uint64_t offset, void *buf,
		      size_t len);
int fault_object_map(struct env_object *o, const void **base);
bool fault_object_map_lost(struct env_object *o);
void fault_object_prefetch(struct env_object *o, uint64_t offset, size_t len);
void fault_object_drop(struct env_object *o);

/* env_fault_direct.c; they take env->mutex. */
int fault_direct_open(struct env_dir *dir, const char *name, bool create,
		      struct env_direct **out);
uint64_t fault_direct_bytes(struct env_direct *d);
int fault_direct_write(struct env_direct *d, uint64_t offset,
		       const struct iovec *iov, size_t count);
void fault_direct_discard(struct env_direct *d, uint64_t offset, uint64_t len);
int fault_direct_sync(struct env_direct *d);
void fault_direct_settle(struct env_direct *d);
void fault_direct_close(struct env_direct *d);

/* env_fault_log.c; they take env->mutex. */
int fault_log_create(struct env_dir *dir, const char *name, const char *recycle,
		     uint64_t prealloc_bytes, struct env_log **out);
int fault_log_append(struct env_log *log, const void *data, size_t len);
int fault_log_sync(struct env_log *log);
int fault_log_close(struct env_log *log, bool trim);

#endif
