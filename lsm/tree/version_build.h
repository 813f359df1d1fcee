/* SPDX-License-Identifier: MIT */
/*
 * version_build.h - inside lsm/tree: making the next version out of one
 * version and an edit, and of a list of tables.
 */
#ifndef LSM_TREE_VERSION_BUILD_H
#define LSM_TREE_VERSION_BUILD_H

#include "lsm/tree/version.h"

/* One reference; takes the contents of *meta. NULL: no memory. */
struct table_file *table_file_new(struct version_set *vs,
				  struct sst_meta *meta);
void table_file_ref(struct table_file *f);
/* Queues the table as obsolete with its last reference; any thread. */
void table_file_put(struct table_file *f);
/* Frees the memory of a table that nobody refers to. */
void table_file_free(struct table_file *f);

struct blob_file *blob_file_new(struct version_set *vs,
				const struct blob_meta *meta);
void blob_file_ref(struct blob_file *f);
void blob_file_put(struct blob_file *f);
void blob_file_free(struct blob_file *f);
int cmp_version_blob(const void *a, const void *b);

/* Frees every table that nobody refers to any more, at close. */
void version_set_free_obsolete(struct version_set *vs);
void named_snapshots_free(struct named_snapshot *named, size_t count);

/*
 * A version with one reference, which takes references on all tables. The
 * tables of a level come in any order and are sorted. -EUCLEAN (logged) when
 * tables of a level >= 1 overlap.
 */
int version_new(struct version_set *vs, struct table_file **level[LSM_LEVELS],
		const size_t count[LSM_LEVELS], struct version **out);

/*
 * The same for a tree with blob files, each with the live bytes it is said to
 * have. -EUCLEAN (logged) when the tables refer to more, to less, or to a file
 * that is not among them.
 */
int version_new_blobs(struct version_set *vs,
		      struct table_file **level[LSM_LEVELS],
		      const size_t count[LSM_LEVELS],
		      const struct version_blob *blobs, size_t blob_count,
		      struct version **out);

/* Counts the live bytes of v's blob files from its tables; said, of v's files
 * in any order, is what they are to be. As version_new_blobs(). */
int version_count_blobs(struct version *v, const struct version_blob *said);

struct version_change {
	struct version *next;      /* one reference */
	struct table_file **fresh; /* new with this edit; one reference each */
	size_t fresh_count;
	/* In base, not in next. Borrowed from base. */
	struct table_file **gone;
	size_t gone_count;
	/* The same of blob files. A new one without live bytes is in both. */
	struct blob_file **fresh_blobs, **gone_blobs;
	size_t fresh_blob_count, gone_blob_count;
	/* How the live bytes change, and which files are deleted: to be written
	 * with the edit. */
	struct version_edit blob_edit;
};

/* Files that an edit was to take out stay, since it failed. */
void version_keep_blobs(struct version_set *vs, struct blob_file **files,
			size_t count);
/* Fills in c->next's blob files, once its tables and c->gone are final. */
int version_change_blobs(struct version_change *c, const struct version *base,
			 const struct version_edit *edit);

/*
 * What edit makes of base. -EINVAL: it deletes what is not there, or its tables
 * overlap others (logged). After an error next is NULL, and fresh is what was
 * made so far. End with version_change_release() either way.
 */
int version_change_init(struct version_change *c, struct version *base,
			const struct version_edit *edit);
void version_change_release(struct version_change *c);

#endif
