/* SPDX-License-Identifier: MIT */
/*
 * check.h - the check of a whole filesystem (fsck), in passes:
 *
 *   scan   check_scan.c   every key once, in order: what can be judged inside
 *                         one inode (records, entries' two halves, blocks,
 *                         attributes); fills the table of inodes
 *   tree   check_tree.c   every entry against the table: who names whom
 *   links  check_links.c  the table: link counts, parents, rings, orphans,
 *                         usage, watermark
 *   lost   check_lost.c   what has no name gets one in /lost+found
 *
 * Memory: one struct check_node an inode, nothing else grows with the
 * filesystem. Repairs are put into a batch on the way; each pass starts with
 * what the one before it has repaired.
 */
#ifndef FS_CHECK_H
#define FS_CHECK_H

#include "fs/fs_impl.h"

enum check_flags {
	NODE_RECORD = 1,   /* there is an inode record */
	NODE_ORPHAN = 2,   /* there is an orphan key */
	NODE_WALKED = 4,   /* the way up was followed: it ends well */
	NODE_ON_WAY = 8,   /* being followed now */
	NODE_LOST = 16,    /* to be put into lost+found */
	NODE_DROPPED = 32, /* to be reclaimed: an orphan key was made */
	/* The record may count too many blocks; the next mount counts. */
	NODE_UNCOUNTED = 64,
};

struct check_node {
	uint64_t ino;      /* 0: a free slot */
	uint64_t blocks;   /* stored */
	uint64_t parent;   /* directories: what the record says */
	uint64_t named_by; /* directories: where its entry is */
	uint32_t mode, nlink;
	uint32_t links; /* names found; directories: 2 + subdirectories */
	uint8_t flags;
};

struct check {
	struct fs *fs;
	const struct fs_check_options *options;
	struct fs_check_result *result;
	struct lsm_batch *batch; /* repairs */
	/* open addressing, a power of two of slots, at most 3/4 full */
	struct check_node *nodes;
	size_t slots, used;
	uint64_t max_ino; /* with a record */
	uint64_t watermark;
	bool watermark_ok;
	struct usage_rec usage[USAGE_SHARDS];
	uint64_t done_inodes, total_inodes;
};

/* The node of ino, or NULL. */
struct check_node *check_find(struct check *c, uint64_t ino);
/* The same, made when it is missing. NULL: no memory. Invalidates pointers
 * from before. */
struct check_node *check_node(struct check *c, uint64_t ino);

/* One finding. Returns whether it is to be repaired now. */
bool check_found(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same for what nothing can be done about. */
void check_found_only(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Repairs, into the batch. */
void check_put(struct check *c, struct lsm_slice key, struct lsm_slice value);
void check_delete(struct check *c, struct lsm_slice key);
void check_put_inode(struct check *c, uint64_t ino,
		     const struct inode_rec *rec);
void check_put_entry_name(struct check *c, uint64_t dir, struct lsm_slice name,
			  const struct entry_rec *e);
void check_put_entry_cookie(struct check *c, uint64_t dir,
			    struct lsm_slice name, const struct entry_rec *e);
/* Writes the batch when it has become large, or anyway. */
int check_flush(struct check *c, bool anyway);

/* A record as it is now. 0, LSM_NOTFOUND, or an error. */
int check_get_inode(struct check *c, uint64_t ino, struct inode_rec *rec);
int check_get_cookie(struct check *c, uint64_t dir, uint64_t cookie,
		     struct entry_rec *e, struct lsm_pin *pin);

int check_scan(struct check *c);
int check_tree(struct check *c);
int check_links(struct check *c);
int check_lost(struct check *c);

#endif
