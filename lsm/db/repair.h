/* SPDX-License-Identifier: MIT */
/*
 * repair.h - inside lsm/db: the parts of lsm_repair().
 *
 *   repair.c         what is wrong, which way to go, the new manifest
 *   repair_tables.c  tables: whole, salvaged or set aside
 *   repair_logs.c    logs: what they hold becomes tables
 *   repair_blobs.c   blob files: handles that lead nowhere are dropped
 *
 * One thread. Nothing that was there is changed before the new CURRENT is
 * durable; what was made until then is removed when something fails.
 */
#ifndef LSM_DB_REPAIR_H
#define LSM_DB_REPAIR_H

#include "lsm/db/db_impl.h"
#include "lsm/tree/manifest.h"
#include "lsm/tree/version_build.h"

struct repair_file {
	enum file_kind kind;
	uint64_t number;
	bool bad; /* to be renamed, not deleted */
};

/* A blob file that handles lead into. */
struct repair_blob {
	struct blob_slot slot;
	struct blob_meta meta;
	uint64_t live; /* bytes of values in the new state */
	/* Without index and footer, as a bulk write leaves it until its log is
	 * no longer needed: blocks are read by their handles. Or NULL. */
	struct blob_reader *unsealed;
	bool bad;  /* something in it cannot be read */
	bool lost; /* nothing in it can */
};

struct repair {
	const char *path;
	struct lsm_options opt; /* without zeros */
	struct lsm_options check_opt;
	struct tree_options tree_opt;
	struct logger log;
	void (*report)(void *arg, const char *line);
	void *report_arg;

	struct env_dir *dir;
	struct cache *cache;
	struct table_cache *tables;
	struct mutex mutex; /* vs wants one */
	struct version_set vs;
	bool vs_open;

	struct repair_file *files; /* by kind and number */
	size_t file_count, file_cap;
	bool has_current;
	uint64_t first_made; /* files from this number on are ours */

	/* What the manifest says, when it can be read. */
	bool known;
	struct manifest_state state;

	/* Tables to be merged; one reference each. */
	struct table_file **inputs;
	size_t input_count, input_cap;
	uint64_t *snapshots; /* of the names, ascending */
	size_t snapshot_count;
	uint64_t last_seq;
	struct repair_blob **blobs; /* by number */
	size_t blob_count;
	struct cache_entry *block; /* of the value last handed out */
	uint64_t lost_values;
	uint64_t blob_number_max; /* of the files in the directory */
	bool damaged;             /* something a table held is lost */
};

/* A line for the user. */
void repair_say(struct repair *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Is it the file that is bad, rather than our luck? */
bool repair_is_damage(int err);
/* The file, or NULL. */
struct repair_file *repair_find(struct repair *r, enum file_kind kind,
				uint64_t number);
void repair_env(struct repair *r, struct compact_env *env);
/* Takes the table into the merge; meta is as new afterwards. */
int repair_add_input(struct repair *r, struct sst_meta *meta);

/* Finds the inputs: whole tables, and what was saved of others. */
int repair_tables(struct repair *r);
/* Adds tables made of what the logs hold. */
int repair_logs(struct repair *r);
/* For compact_env.keep_handle; arg is the repair. */
/* Opens the blob files that a table refers to: is one damaged or missing, so is
 * the table, and the logs are needed. */
int repair_look_at_blobs(struct repair *r, const struct sst_meta *m);
int repair_keep_handle(void *arg, struct lsm_slice handle,
		       struct lsm_slice *value);
/* Can the batch of a log be used: are the values of bulk writes there that it
 * points to? 1, 0 or -errno. */
int repair_check_values(struct repair *r, struct lsm_slice rep);
/* Adds the blob files that edit's tables refer to. */
int repair_add_blobs(struct repair *r, struct version_edit *edit);
/* Renames bad ones of which nothing is used any more. */
void repair_set_blobs_aside(struct repair *r);
void repair_blobs_release(struct repair *r);

#endif
