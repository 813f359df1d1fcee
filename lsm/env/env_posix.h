/* SPDX-License-Identifier: MIT */
/*
 * env_posix.h - what the files of the operating system's env share.
 *
 * Every name is resolved against a descriptor of its directory (openat and
 * friends), so a store keeps working when its directory is moved, and a path
 * component swapped under us cannot lead elsewhere. All descriptors close on
 * exec. Files are 0600 and directories 0700: a store holds what users of a
 * filesystem wrote, and its own files must not open what their modes close.
 */
#ifndef LSM_ENV_ENV_POSIX_H
#define LSM_ENV_ENV_POSIX_H

#include "lsm/env/env_impl.h"

struct posix_lock;

struct posix_dir {
	struct env_dir base;
	int fd;
	bool read_only;
	struct posix_lock *lock; /* NULL: not taken through this handle */
};

extern const struct env_ops posix_ops;

static inline struct posix_dir *posix_dir_of(struct env_dir *dir)
{
	return (struct posix_dir *)dir;
}

/* Helpers over system calls: EINTR and short counts handled, 0 or -errno. */
int posix_open_at(int dirfd, const char *name, int flags, int *fd);
int posix_write_all(int fd, const void *data, size_t len, uint64_t offset);
/* iov is used up. */
int posix_writev_all(int fd, struct iovec *iov, size_t count, uint64_t offset);
/* -EUCLEAN when the file ends before offset + len. */
int posix_read_all(int fd, void *buf, size_t len, uint64_t offset);
int posix_fdatasync(int fd);
int posix_close(int fd);

int posix_dir_open(struct lsm_env *env, const char *path, unsigned flags,
		   struct env_dir **out);
void posix_dir_close(struct env_dir *dir);
int posix_dir_list(struct env_dir *dir,
		   int (*fn)(void *arg, const char *name, uint64_t bytes),
		   void *arg);
int posix_dir_delete(struct env_dir *dir, const char *name);
int posix_dir_rename(struct env_dir *dir, const char *from, const char *to);
int posix_dir_link(struct env_dir *dir, const char *name, struct env_dir *to);
int posix_dir_sync(struct env_dir *dir);
int posix_dir_space(struct env_dir *dir, uint64_t *free_bytes,
		    uint64_t *total_bytes);

int posix_dir_lock(struct env_dir *dir, unsigned wait_ms, pid_t *holder);
/* NULL is allowed. */
void posix_lock_release(struct posix_lock *lock);

int posix_writer_create(struct env_dir *dir, const char *name,
			struct env_writer **out);
int posix_writer_append(struct env_writer *w, const void *data, size_t len);
int posix_writer_finish(struct env_writer *w);
void posix_writer_abort(struct env_writer *w);

int posix_direct_open(struct env_dir *dir, const char *name, bool create,
		      struct env_direct **out);
uint64_t posix_direct_bytes(struct env_direct *d);
int posix_direct_write(struct env_direct *d, uint64_t offset,
		       const struct iovec *iov, size_t count);
void posix_direct_discard(struct env_direct *d, uint64_t offset, uint64_t len);
int posix_direct_sync(struct env_direct *d);
void posix_direct_settle(struct env_direct *d);
void posix_direct_close(struct env_direct *d);

int posix_object_open(struct env_dir *dir, const char *name,
		      struct env_object **out);
void posix_object_close(struct env_object *o);
uint64_t posix_object_bytes(struct env_object *o);
int posix_object_read(struct env_object *o, uint64_t offset, void *buf,
		      size_t len);
int posix_object_map(struct env_object *o, const void **base);
bool posix_object_map_lost(struct env_object *o);
void posix_object_prefetch(struct env_object *o, uint64_t offset, size_t len);
void posix_object_drop(struct env_object *o);

int posix_log_create(struct env_dir *dir, const char *name, const char *recycle,
		     uint64_t prealloc_bytes, struct env_log **out);
int posix_log_append(struct env_log *log, const void *data, size_t len);
int posix_log_sync(struct env_log *log);
int posix_log_close(struct env_log *log, bool trim);

#endif
