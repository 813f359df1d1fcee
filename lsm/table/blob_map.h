/* SPDX-License-Identifier: MIT */
/*
 * blob_map.h - where the blocks of a blob file lie that was not written from
 * front to back: what its index is made of in the end.
 *
 * Blocks come in any order, mostly ascending. The caller serializes.
 */
#ifndef LSM_TABLE_BLOB_MAP_H
#define LSM_TABLE_BLOB_MAP_H

#include <stddef.h>
#include <stdint.h>

struct blob_block {
	uint64_t offset, value_bytes;
	uint32_t bytes;  /* stored, without the trailer */
	uint32_t values; /* in it, or so many of them as are known */
	uint8_t type;
};

/* Start with = {0}. Ascending and disjoint. */
struct blob_map {
	struct blob_block *block;
	size_t count, cap;
};

void blob_map_release(struct blob_map *m);
/* Room for so many more, so that adding cannot fail for want of memory. */
int blob_map_reserve(struct blob_map *m, size_t more);
/* The block that begins there, or NULL. */
struct blob_block *blob_map_find(struct blob_map *m, uint64_t offset);
/* 0, -ENOMEM, or -EUCLEAN: another block lies there. */
int blob_map_add(struct blob_map *m, const struct blob_block *b);
/* Behind the last block; 0: there is none. */
uint64_t blob_map_end(const struct blob_map *m);

#endif
