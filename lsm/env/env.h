/* SPDX-License-Identifier: MIT */
/*
 * env.h - all file I/O of the engine, behind a table of functions.
 *
 * A store is one directory (struct env_dir) of flat names. It holds
 *   - objects: written once from front to back, then immutable (tables, blob
 *     files, CURRENT); they could live in an object store;
 *     One that several threads fill at once, each at a place of its own, is
 *     written as a struct env_direct until then;
 *   - logs: appended to and synced while they grow (WAL, manifest).
 *
 * Implementations: env_posix.c (lsm_env_posix(), the operating system) and
 * env_fault.c (a disk in memory for tests, see env_fault.h).
 *
 * Names become durable only with env_dir_sync(): create, rename, link and
 * delete may be undone by power loss before it. Data becomes durable with
 * env_writer_finish() and env_log_sync(). All functions return 0 or -errno
 * unless they say otherwise. All handles may be used by several threads at
 * once, except that appends to one writer or log are the caller's to
 * serialize; env_log_sync() may run beside env_log_append().
 */
#ifndef LSM_ENV_ENV_H
#define LSM_ENV_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "lsm/lsm.h"

struct env_dir;
struct env_object;
struct env_writer;
struct env_log;
struct env_direct;

enum env_dir_flags {
	ENV_DIR_CREATE = 1, /* make the directory (and only it) if missing */
	ENV_DIR_READ_ONLY = 2,
};

struct env_ops {
	int (*dir_open)(struct lsm_env *env, const char *path, unsigned flags,
			struct env_dir **out);
	void (*dir_close)(struct env_dir *dir);
	int (*dir_lock)(struct env_dir *dir, unsigned wait_ms, pid_t *holder);
	int (*dir_list)(struct env_dir *dir,
			int (*fn)(void *arg, const char *name, uint64_t bytes),
			void *arg);
	int (*dir_delete)(struct env_dir *dir, const char *name);
	int (*dir_rename)(struct env_dir *dir, const char *from,
			  const char *to);
	int (*dir_link)(struct env_dir *dir, const char *name,
			struct env_dir *to);
	int (*dir_sync)(struct env_dir *dir);
	int (*dir_space)(struct env_dir *dir, uint64_t *free_bytes,
			 uint64_t *total_bytes);

	int (*writer_create)(struct env_dir *dir, const char *name,
			     struct env_writer **out);
	int (*writer_append)(struct env_writer *w, const void *data,
			     size_t len);
	int (*writer_finish)(struct env_writer *w);
	void (*writer_abort)(struct env_writer *w);

	int (*direct_open)(struct env_dir *dir, const char *name, bool create,
			   struct env_direct **out);
	uint64_t (*direct_bytes)(struct env_direct *d);
	int (*direct_write)(struct env_direct *d, uint64_t offset,
			    const struct iovec *iov, size_t count);
	void (*direct_discard)(struct env_direct *d, uint64_t offset,
			       uint64_t len);
	int (*direct_sync)(struct env_direct *d);
	void (*direct_settle)(struct env_direct *d);
	void (*direct_close)(struct env_direct *d);

	int (*object_open)(struct env_dir *dir, const char *name,
			   struct env_object **out);
	void (*object_close)(struct env_object *o);
	uint64_t (*object_bytes)(struct env_object *o);
	int (*object_read)(struct env_object *o, uint64_t offset, void *buf,
			   size_t len);
	int (*object_map)(struct env_object *o, const void **base);
	bool (*object_map_lost)(struct env_object *o);
	void (*object_prefetch)(struct env_object *o, uint64_t offset,
				size_t len);
	void (*object_drop)(struct env_object *o);

	int (*log_create)(struct env_dir *dir, const char *name,
			  const char *recycle, uint64_t prealloc_bytes,
			  struct env_log **out);
	int (*log_append)(struct env_log *log, const void *data, size_t len);
	int (*log_sync)(struct env_log *log);
	int (*log_close)(struct env_log *log, bool trim);
};

/* Implementations embed this as their first member. */
struct lsm_env {
	const struct env_ops *ops;
};

/*
 * Directories. -ENOENT, -ENOTDIR, -EACCES, -EROFS as open(2) has them. The
 * handle is closed with env_dir_close() after everything opened through it.
 */
int env_dir_open(struct lsm_env *env, const char *path, unsigned flags,
		 struct env_dir **out);
void env_dir_close(struct env_dir *dir);
/*
 * Takes the exclusive lock of the directory (file LOCK, which then holds our
 * pid as text) until env_dir_close(). Waits up to wait_ms, then -EBUSY with
 * *holder the other process's pid, or 0 when unknown. Also excludes a second
 * opener inside the same process.
 */
int env_dir_lock(struct env_dir *dir, unsigned wait_ms, pid_t *holder);
/* Calls fn for every name; stops and returns its value when that is not 0. fn
 * must not change the directory. */
int env_dir_list(struct env_dir *dir,
		 int (*fn)(void *arg, const char *name, uint64_t bytes),
		 void *arg);
int env_dir_delete(struct env_dir *dir, const char *name);
/* Replaces to when it exists, atomically. */
int env_dir_rename(struct env_dir *dir, const char *from, const char *to);
/* A hard link of the same name in another directory of the same disk; a copy
 * where links are not to be had. */
int env_dir_link(struct env_dir *dir, const char *name, struct env_dir *to);
int env_dir_sync(struct env_dir *dir);
int env_dir_space(struct env_dir *dir, uint64_t *free_bytes,
		  uint64_t *total_bytes);

/*
 * Writing an object. A writer buffers; append may fail late. finish writes
 * what is left, makes the data (not the name) durable and frees the writer,
 * also on error, when it deletes the file as abort does: no half object stays.
 */
int env_writer_create(struct env_dir *dir, const char *name,
		      struct env_writer **out); /* -EEXIST */
int env_writer_append(struct env_writer *w, const void *data, size_t len);
int env_writer_finish(struct env_writer *w);
void env_writer_abort(struct env_writer *w);

/*
 * An object that is filled at several places at once, by any number of threads;
 * nothing is buffered here, so an object opened on the same name reads what was
 * written. create: -EEXIST; else the file must be there. After a failed write
 * or a discard the bytes of that place are anything. A sync makes durable what
 * was written before it began; when one failed, what was written before it may
 * be lost though a later one succeeds. close does not sync.
 */
int env_direct_open(struct env_dir *dir, const char *name, bool create,
		    struct env_direct **out);
/* The length when it was opened. */
uint64_t env_direct_bytes(struct env_direct *d);
/* The parts lie one behind the other from offset on. */
int env_direct_write(struct env_direct *d, uint64_t offset,
		     const struct iovec *iov, size_t count);
/* A hint: the bytes of this place are not wanted, their space may be. */
void env_direct_discard(struct env_direct *d, uint64_t offset, uint64_t len);
int env_direct_sync(struct env_direct *d);
/* For an object of an earlier life, of which a sync may have failed: what can
 * be written is, and what memory holds of it is forgotten, so that readers see
 * what the disk has. As far as the system does that. */
void env_direct_settle(struct env_direct *d);
void env_direct_close(struct env_direct *d);

/* Reading an object. */
int env_object_open(struct env_dir *dir, const char *name,
		    struct env_object **out); /* -ENOENT */
void env_object_close(struct env_object *o);
uint64_t env_object_bytes(struct env_object *o);
/* Reads exactly len bytes; -EUCLEAN when the file ends before that. */
int env_object_read(struct env_object *o, uint64_t offset, void *buf,
		    size_t len);
/*
 * The whole object as memory, read-only, until env_object_close(); mapped on
 * the first call. -ENOTSUP where that is not to be had, -ENODATA for an empty
 * object. A page that cannot be
 * read (disk error, file cut short by someone else) does not kill the process:
 * it reads as zeros and env_object_map_lost() becomes true for good. So: use
 * the bytes, then ask, then believe them. A thread that reads the bytes must
 * not block SIGBUS (thread_start() leaves it open). A system call that is
 * given such a page as its buffer fails with EFAULT instead.
 */
int env_object_map(struct env_object *o, const void **base);
bool env_object_map_lost(struct env_object *o);
/* Hints: this range is wanted soon / no page of the map is wanted at present:
 * they stop being ours, the kernel may keep their bytes. */
void env_object_prefetch(struct env_object *o, uint64_t offset, size_t len);
void env_object_drop(struct env_object *o);

/*
 * Logs. create makes an empty log called name with prealloc_bytes reserved on
 * disk; when recycle is not NULL that file is renamed to name and its old
 * bytes (which the caller's checksums must tell from new ones) are overwritten
 * in place, which saves the filesystem's allocation work. Appended bytes
 * survive the end of the process at once and power loss after a sync. After a
 * failed append the log is to be given up: the failed bytes may be there or
 * not. close with trim cuts preallocated space behind the last byte. -EEXIST:
 * there is a file called name; -ENOENT: none called recycle. When create fails
 * the recycled file still has its old name. Without preallocation every append
 * is a system call. A thread that appends must not block SIGBUS.
 */
int env_log_create(struct env_dir *dir, const char *name, const char *recycle,
		   uint64_t prealloc_bytes, struct env_log **out);
int env_log_append(struct env_log *log, const void *data, size_t len);
int env_log_sync(struct env_log *log);
int env_log_close(struct env_log *log, bool trim);

/* A small object replaced as a whole: temporary, sync, rename, sync of the
 * directory. Used for CURRENT. */
int env_put_file(struct env_dir *dir, const char *name, const void *data,
		 size_t len);
/* Reads an object of at most max bytes (-EFBIG: it is larger); *data is
 * malloc'ed, *len its size, and a zero byte follows that is not counted. */
int env_get_file(struct env_dir *dir, const char *name, size_t max, void **data,
		 size_t *len);

#endif
