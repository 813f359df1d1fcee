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
	struct named_snapshot *named;
	size_t named_count;
	uint64_t next_file, log_number, last_seq;
	uint8_t uuid[UUID_BYTES];
};

/* Reads manifest number. On error *out is empty. */
int manifest_read(struct version_set *vs, uint64_t number,
		  struct manifest_state *out);
void manifest_state_release(struct manifest_state *s);

/*
 * Writes a manifest with a new number that holds the state of vs, makes it the
 * current one, and goes on with it; the one before is deleted. Called with
 * apply_mutex, or by open. After an error vs->manifest is NULL, and either
 * manifest may be the current one.
 */
int manifest_roll(struct version_set *vs);

#endif
