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

struct version_change {
	struct version *next;      /* one reference */
	struct table_file **fresh; /* new with this edit; one reference each */
	size_t fresh_count;
	/* In base, not in next. Borrowed from base. */
	struct table_file **gone;
	size_t gone_count;
};

/*
 * What edit makes of base. -EINVAL: it deletes what is not there, or its tables
 * overlap others (logged). After an error next is NULL, and fresh is what was
 * made so far. End with version_change_release() either way.
 */
int version_change_init(struct version_change *c, struct version *base,
			const struct version_edit *edit);
void version_change_release(struct version_change *c);

#endif
