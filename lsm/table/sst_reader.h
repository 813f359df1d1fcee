/* SPDX-License-Identifier: MIT */
/*
 * sst_reader.h - an open table and how its blocks are brought into memory.
 * Private to lsm/table/.
 *
 * A data block is used in one of two places:
 *   - in the cache, decompressed (or read, when raw);
 *   - where it lies in the map of the file, when raw and maps are wanted. Such
 *     a block has a bit in `checked`, set when it was checked. A set bit also
 *     says that its pages were touched a short while ago and most likely are
 *     in memory, so that readers who must not wait for the disk may use it.
 */
#ifndef LSM_TABLE_SST_READER_H
#define LSM_TABLE_SST_READER_H

#include <stdatomic.h>

#include "lsm/table/block.h"
#include "lsm/table/cache.h"
#include "lsm/table/filter.h"
#include "lsm/table/sst.h"
#include "lsm/table/sst_format.h"
#include "lsm/table/sst_index.h"

struct sst_properties {
	struct sst_meta meta;
	uint64_t data_bytes, data_blocks, raw_blocks, created;
	uint64_t prefix_bytes;
};

struct sst_reader {
	_Atomic uint32_t refs;
	bool verify;
	uint64_t number, file_bytes;
	struct env_object *object;
	struct cache *cache;
	struct sst_counters *counters;
	struct sst_maps *maps;
	struct ahead *ahead;        /* NULL: not done */
	struct read_around *around; /* NULL: not done */
	_Atomic uint8_t *regions;   /* for it */
	const uint8_t *map;         /* NULL: not used */
	struct filter filter;
	struct sst_index index;
	struct cache_slot *slots; /* one a block */
	struct frags frags;
	_Atomic uint64_t *checked;      /* a bit a block; NULL without a map */
	_Atomic uint64_t touched_bytes; /* of the map, since it was dropped */
	struct sst_properties props;
	void *filter_memory;
	size_t memory_bytes;
	/* The end of the file, while the table is opened. */
	uint8_t *tail;
	uint64_t tail_offset;
	const struct logger *log;
	char *name;
};

/* A data block in memory. */
struct sst_view {
	struct block block;
	struct cache_entry *entry; /* NULL: in the map */
};

/* Without waiting for the disk; the caller is pinned and gets no reference.
 * 0, -EAGAIN or -EUCLEAN. */
int sst_view_cached(struct sst_reader *r, uint32_t i, struct sst_view *v);
/* From wherever it is; given back with sst_view_put(). from_disk, when not
 * NULL, says whether the disk was asked. verify: verify in any case. */
int sst_view_get(struct sst_reader *r, uint32_t i, bool verify,
		 struct sst_view *v, bool *from_disk);
void sst_view_put(struct sst_reader *r, struct sst_view *v);
/* Of an entry that holds block i; takes the reference, also when it fails. */
int sst_view_entry(struct sst_reader *r, uint32_t i, struct cache_entry *e,
		   struct sst_view *v);

/* Pages of the map are gone: -EIO when so, to be asked after using mapped
 * bytes and before believing them. */
static inline int sst_view_lost(struct sst_reader *r, const struct sst_view *v)
{
	return !v->entry && env_object_map_lost(r->object) ? -EIO : 0;
}

/* Block i came from disk for one that jumps about: reads around it if that is
 * worth it. */
void sst_view_missed(struct sst_reader *r, uint32_t i);

/* Checks the trailer behind the stored bytes of a block. 0 or -EUCLEAN. */
int sst_block_check(struct sst_reader *r, const struct sst_handle *h,
		    const uint8_t *stored, bool verify);
/* Expands what is stored into out of plain_bytes. 0 or -EUCLEAN. */
int sst_block_expand(struct sst_reader *r, const struct sst_handle *h,
		     const uint8_t *lz4, const uint8_t *end, void *out,
		     uint32_t plain_bytes);
/* Reads a block that is no data block into malloc'ed memory, always verified.
 */
int sst_block_read_meta(struct sst_reader *r, const struct sst_handle *h,
			uint8_t **data, size_t *len);
int sst_block_corrupt(struct sst_reader *r, uint64_t offset, const char *why);

/* Makes the file's end, from offset at the latest, be read at once instead of
 * piece by piece; only more quickly: without it the pieces are read. */
int sst_tail_read(struct sst_reader *r, uint64_t offset);
void sst_tail_drop(struct sst_reader *r);

/* The parts read from the metaindex; each 0 or an error that was reported. */
int sst_properties_read(struct sst_reader *r, const struct sst_handle *h);
int sst_ranges_read(struct sst_reader *r, const struct sst_handle *h);
/* Handle of the part called name: 1, 0 when there is none, or an error. */
int sst_metaindex_find(struct sst_reader *r, const struct sst_footer *f,
		       const char *name, struct sst_handle *h);
int sst_footer_read(struct sst_reader *r, struct sst_footer *f);
/* Where the first of the parts behind the data begins. 0 or an error. */
int sst_meta_offset(struct sst_reader *r, const struct sst_footer *f,
		    uint64_t *offset);

#endif
