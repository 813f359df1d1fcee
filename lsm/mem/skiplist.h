/* SPDX-License-Identifier: MIT */
/*
 * skiplist.h - a concurrent sorted list: any number of inserters and readers
 * at once, no lock, nothing is ever removed.
 *
 * Entries are (key, tag, value) in internal order (slice.h). A node holds 8
 * bytes of its key as a number, its prefix, so that most comparisons touch one
 * cache line, or none when the link that leads to it already decides; the list
 * lives in an arena and ends with it. Source: W. Pugh, Skip lists, 1990;
 * insertion by CAS from the lowest level up, as in M. Herlihy et al., The Art
 * of Multiprocessor Programming, chapter 14.
 */
#ifndef LSM_MEM_SKIPLIST_H
#define LSM_MEM_SKIPLIST_H

#include "lsm/base/arena.h"
#include "lsm/base/iter.h"

struct skiplist;

/* Lives in arena; NULL: no memory. common: what most keys are expected to begin
 * with (copied; often nothing); the prefixes are taken behind it. Other keys
 * are as right, and slower. */
struct skiplist *skiplist_new(struct arena *arena, struct lsm_slice common);
/* For a list of more such keys: what nearly all keys begin with, as far as it
 * leaves a prefix. Walks all; borrowed from the list. */
struct lsm_slice skiplist_common(const struct skiplist *s);
/* Copies key and value. No two entries may have the same key and tag. 0 or
 * -ENOMEM. Any thread. Remembers per thread where it last inserted, so that
 * ascending inserts cost O(1). */
int skiplist_insert(struct skiplist *s, struct lsm_slice key, uint64_t tag,
		    struct lsm_slice value);
size_t skiplist_count(const struct skiplist *s);

/* A position; plain struct, no allocation, no cleanup. */
struct skiplist_node;
struct skiplist_pos {
	const struct skiplist *list;
	const struct skiplist_node *node; /* NULL: nowhere */
};

void skiplist_seek(struct skiplist_pos *p, struct lsm_slice key, uint64_t tag);
void skiplist_seek_for_prev(struct skiplist_pos *p, struct lsm_slice key,
			    uint64_t tag);
void skiplist_first(struct skiplist_pos *p);
void skiplist_last(struct skiplist_pos *p);
void skiplist_next(struct skiplist_pos *p);
void skiplist_prev(struct skiplist_pos *p); /* O(log n) */
struct lsm_slice skiplist_key(const struct skiplist_pos *p);
uint64_t skiplist_tag(const struct skiplist_pos *p);
struct lsm_slice skiplist_value(const struct skiplist_pos *p);

#endif
