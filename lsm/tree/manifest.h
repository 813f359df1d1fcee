/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - inside lsm/tree: CURRENT and the manifest's files.
 *
 * The manifest is a log (lsm/wal/wal.h) of edits (version_edit.c) whose log
 * number is the number in its name. Its first record is a snapshot: the header
 * and the whole state. CURRENT names it:
 *
 *   MANIFEST-000007\n
 *   crc32c 1a2b3c4d\n       of the first line, its newline included
 */
#ifndef LSM_TREE_MANIFEST_H
#define LSM_TREE_MANIFEST_H

#include "lsm/tree/version.h"

/* -ENOENT: there is none. -EUCLEAN: it is not one (logged). */
int manifest_current(struct env_dir *dir, const struct logger *log,
		     uint64_t *number);

/* What a manifest adds up to. Tables are sorted into levels. */
struct manifest_state {
	struct table_file **level[LSM_LEVELS];
	size_t count[LSM_LEVELS];
	struct version_blob *blobs; /* one reference each; as they came */
	size_t blob_count;
	struct named_snapshot *named;
	size_t named_count;
	uint64_t next_file, log_number, last_seq;
	uint8_t uuid[UUID_BYTES];
};

/* Reads manifest number. On error *out is empty. */
int manifest_read(struct version_set *vs, uint64_t number,
		  struct manifest_state *out);
void manifest_state_release(struct manifest_state *s);

/* CURRENT names manifest number from now on, durably. */
int manifest_set_current(struct env_dir *dir, uint64_t number);

/* The whole of a state as one edit: tables, names, the manifest's header. The
 * counters are the caller's. On error *e is to be released all the same. */
int manifest_state_edit(const struct version *v,
			const struct named_snapshot *named, size_t named_count,
			const uint8_t uuid[UUID_BYTES], struct version_edit *e);

/* Writes manifest number with that one record and makes it the current one.
 * Everything in dir is durable afterwards. On error *out is NULL, and CURRENT
 * may name the new one. */
int manifest_create(struct env_dir *dir, const struct logger *log,
		    uint64_t number, const struct version_edit *state,
		    struct wal_writer **out);

/*
 * Writes a manifest with a new number that holds the state of vs, makes it the
 * current one, and goes on with it; the one before is deleted. Called with
 * apply_mutex, or by open. After an error vs->manifest is NULL, and either
 * manifest may be the current one.
 */
int manifest_roll(struct version_set *vs);

#endif
