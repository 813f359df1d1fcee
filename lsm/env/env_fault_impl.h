/* SPDX-License-Identifier: MIT */
/*
 * env_fault_impl.h - the parts of the disk in memory.
 *
 *   fault_env --- fault_dir ("/db") --- fault_entry (name) --> fault_file
 *                     \-- fault_op: name changes since the last dir sync
 *
 * A file holds its bytes as a reader sees them, and what power loss would put
 * back: an undo image of each 512-byte sector written since the last sync, and
 * the durable length. A name holds the file a reader finds and the file that
 * would be found after power loss.
 *
 * Everything is protected by env->mutex; functions of these files are called
 * with it held, unless they say otherwise. Files are counted references, held
 * by names, by name changes and by open handles.
 */
#ifndef LSM_ENV_ENV_FAULT_IMPL_H
#define LSM_ENV_ENV_FAULT_IMPL_H

#include "lsm/base/sync.h"
#include "lsm/env/env_fault.h"
#include "lsm/env/env_impl.h"

#define FAULT_SECTOR 512

/* Bytes of a file. Shared with the mappings made of it, which keep their
 * address when the file gets a larger buffer. */
struct fault_buf {
	size_t refs;
	size_t cap;
	uint8_t data[];
};

enum fault_sector {
	SECTOR_CLEAN = 0,
	SECTOR_WAS_ZERO, /* written since the last sync, durably zeros */
	SECTOR_WAS_DATA, /* the same, and there is an undo image */
	/* With one of those two: no sync makes it durable any more. */
	SECTOR_LOST = 4,
};

struct fault_undo {
	size_t sector;
	uint8_t old[FAULT_SECTOR];
};

struct fault_file {
	struct fault_env *env;
	struct fault_file *next, **link; /* env->files */
	size_t refs;
	size_t names;   /* that readers find */
	size_t handles; /* open on it; with names: it takes space */
	uint64_t bytes, durable_bytes; /* length */
	struct fault_buf *buf;         /* NULL: no byte written */
	/* Bytes of buf at and behind this are zeros; may be less than the
	 * length (the rest reads as zeros), or more after a trim that is not
	 * durable. */
	size_t written;
	uint8_t *sectors; /* enum fault_sector each */
	size_t sector_count;
	struct fault_undo *undo;
	size_t undo_count, undo_cap;
	uint64_t last_from, last_to; /* the last unsynced append; empty: none */
};

struct fault_entry {
	struct fault_entry *next;
	char *name;
	struct fault_file *now;     /* NULL: there is no such name */
	struct fault_file *durable; /* the same after power loss */
	bool cut; /* while restarting: later changes are lost too */
};

enum fault_op_kind {
	OP_ADD, /* create, link */
	OP_DELETE,
	OP_RENAME,
};

struct fault_op {
	struct fault_op *next;
	enum fault_op_kind kind;
	struct fault_entry *from; /* the only name, but for a rename */
	struct fault_entry *to;
	struct fault_file *file;
};

struct fault_dir {
	struct fault_dir *next;
	char *path;
	struct fault_entry *entries;
	struct fault_op *ops, **ops_end; /* oldest first */
	const void *lock_holder;         /* the handle that locked it */
};

struct fault_env {
	struct lsm_env base;
	struct mutex mutex; /* protects all below and all they point to */
	struct fault_dir *dirs;
	struct fault_file *files;
	uint64_t capacity; /* 0: no limit */
	uint64_t calls;
	uint64_t life; /* of handles: one more at each restart */
	bool count_reads;
	bool lose; /* failed syncs lose data */
	bool fail_armed, fail_sticky;
	uint64_t fail_at;
	int fail_error;
	bool power_armed, off;
	uint64_t power_at;
};

extern const struct env_ops fault_ops;

/*
 * Counts a call made through a handle of the given life. Returns what the
 * test asked for: 0, or the error the call is to fail with. *dead (may be
 * NULL): no power, so not even a part of the call may reach the disk.
 */
int fault_call(struct fault_env *env, uint64_t life, bool is_read, bool *dead);
/* Bytes that may still be written; UINT64_MAX without a limit. */
uint64_t fault_space_left(struct fault_env *env);
uint64_t fault_space_used(struct fault_env *env);

/* env_fault_file.c. NULL: no memory. New files have one reference. */
struct fault_file *fault_file_new(struct fault_env *env);
void fault_file_get(struct fault_file *f);
void fault_file_put(struct fault_file *f);
/* Writes at offset, growing the length; a gap reads as zeros. 0 or -ENOMEM. */
int fault_file_write(struct fault_file *f, uint64_t offset, const void *data,
		     size_t len);
/* The length becomes bytes; what is new reads as zeros. 0 or -ENOMEM. */
int fault_file_grow(struct fault_file *f, uint64_t bytes);
/* Bytes that are there. */
size_t fault_file_read(struct fault_file *f, uint64_t offset, void *buf,
		       size_t len);
void fault_file_sync(struct fault_file *f);
/* What is not synced never will be, until it is written again; readers go on
 * finding it. */
void fault_file_lose(struct fault_file *f);
/* They find what the disk has. */
void fault_file_reread(struct fault_file *f);
/* The sector is as old, or zeros. */
void fault_file_put_back(struct fault_file *f, size_t sector,
			 const uint8_t *old);
/* A buffer that covers the length, counted; put it with fault_buf_put(). */
struct fault_buf *fault_file_pin(struct fault_file *f);
void fault_buf_put(struct fault_buf *b);
/* Changes made from now on are not seen through mappings made before. */
void fault_file_own(struct fault_file *f);
/* Bytes at and behind the length become zeros for good. */
void fault_file_cut_tail(struct fault_file *f);
/* What the bytes of a sector were at the last sync, or NULL: zeros. */
uint8_t *fault_file_undo(struct fault_file *f, size_t sector);

/* env_fault_names.c */
struct fault_dir *fault_dir_find(struct fault_env *env, const char *path,
				 size_t path_len);
struct fault_dir *fault_dir_new(struct fault_env *env, const char *path,
				size_t path_len);
void fault_dir_free(struct fault_dir *d);
/* The file of that name, borrowed, or NULL. */
struct fault_file *fault_name_find(struct fault_dir *d, const char *name);
/* All: 0 or -errno, and nothing changed on error. */
int fault_name_add(struct fault_dir *d, const char *name, struct fault_file *f);
int fault_name_delete(struct fault_dir *d, const char *name);
int fault_name_rename(struct fault_dir *d, const char *from, const char *to);
void fault_names_sync(struct fault_dir *d);
/* What is durable is what there is, from now on. */
void fault_names_revert(struct fault_dir *d);
/* Makes one pending change durable, the others left as they are. */
void fault_op_keep(const struct fault_op *op);
/* The file that e, a name of op, stands for after it, or NULL; borrowed. */
struct fault_file *fault_op_file(const struct fault_op *op,
				 const struct fault_entry *e);
/* e durably stands for f, may be NULL; pending changes are left as they are. */
void fault_entry_keep(struct fault_entry *e, struct fault_file *f);

#endif
