/* SPDX-License-Identifier: MIT */
/*
 * sst_reader.c - opening a table, and looking keys up in it.
 *
 * What is read at open stays in memory and is immutable: index, filter, range
 * tombstones, properties. A lookup asks them first and then one block. With
 * SST_LOOKUP_CACHED it allocates nothing, takes no lock, and counts no
 * reference.
 */
#include "lsm/table/sst_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "lsm/base/epoch.h"
#include "lsm/base/hash.h"
#include "lsm/base/sync.h"
#include "lsm/table/read_around.h"

/* Read first, in the hope that it holds all but index, filter and tombstones.
 */
#define TAIL_FIRST 4096

/* ---- open and close -------------------------------------------------------
 */

static void slots_free(struct sst_reader *r)
{
	for (uint32_t i = 0; r->slots && i < r->index.count; i++)
		cache_slot_clear(r->cache, &r->slots[i], r->number,
				 r->index.entry[i].offset);
	free(r->slots);
}

static void reader_free(struct sst_reader *r)
{
	slots_free(r);
	if (r->memory_bytes)
		cache_charge(r->cache, -(int64_t)r->memory_bytes);
	if (r->object)
		env_object_close(r->object);
	sst_index_release(&r->index);
	frags_release(&r->frags);
	sst_meta_release(&r->props.meta);
	free(r->filter_memory);
	if (r->map) {
		atomic_fetch_sub_explicit(
			&r->maps->touched,
			atomic_load_explicit(&r->touched_bytes,
					     memory_order_relaxed),
			memory_order_relaxed);
		atomic_fetch_sub_explicit(&r->maps->tables, 1,
					  memory_order_relaxed);
	}
	free(r->checked);
	free(r->regions);
	sst_tail_drop(r);
	free(r->name);
	free(r);
}

static int read_index(struct sst_reader *r, const struct sst_footer *f)
{
	struct sst_handle h = {.offset = f->index_offset,
			       .bytes = f->index_bytes};
	const char *why = "index block has an impossible head";
	struct block b;
	uint8_t *data;
	size_t len;
	int err = sst_block_read_meta(r, &h, &data, &len);

	if (err)
		return err;
	err = -EUCLEAN;
	if (block_init(&b, data, len))
		err = sst_index_build(&r->index, &b, r->props.data_bytes, &why);
	if (!err && r->index.count != r->props.data_blocks) {
		why = "index and properties disagree";
		err = -EUCLEAN;
	}
	free(data);
	return err == -EUCLEAN ? sst_block_corrupt(r, h.offset, why) : err;
}

static int read_filter(struct sst_reader *r, const struct sst_handle *h)
{
	uint8_t *data;
	size_t len, bytes;
	int err = sst_block_read_meta(r, h, &data, &len);

	if (err)
		return err;
	if (!filter_header(&r->filter, data, len)) {
		err = sst_block_corrupt(r, h->offset, "filter is wrong");
		goto out;
	}
	bytes = len - FILTER_HEADER_BYTES;
	r->filter_memory = aligned_alloc(FILTER_LINE_BYTES, bytes);
	if (!r->filter_memory) {
		err = -ENOMEM;
		goto out;
	}
	memcpy(r->filter_memory, data + FILTER_HEADER_BYTES, bytes);
	r->filter.lines = r->filter_memory;
out:
	free(data);
	if (err)
		r->filter.line_count = 0;
	return err;
}

/* A map is a help, not a need: without one, blocks are read. */
static int map_file(struct sst_reader *r)
{
	const void *base;

	if (env_object_map(r->object, &base))
		return 0;
	r->checked = calloc((r->index.count + 63) / 64, sizeof(*r->checked));
	if (!r->checked)
		return -ENOMEM;
	r->map = base;
	atomic_fetch_add_explicit(&r->maps->tables, 1, memory_order_relaxed);
	return 0;
}

static int open_parts(struct sst_reader *r, bool map_raw)
{
	struct sst_handle h;
	struct sst_footer f;
	uint64_t offset;
	int err = sst_tail_read(
		r, r->file_bytes > TAIL_FIRST ? r->file_bytes - TAIL_FIRST : 0);

	if (!err)
		err = sst_footer_read(r, &f);
	if (!err)
		err = sst_meta_offset(r, &f, &offset);
	if (!err)
		err = sst_tail_read(r, offset);
	if (err)
		return err;
	err = sst_metaindex_find(r, &f, SST_META_PROPERTIES, &h);
	if (err == 0)
		return sst_block_corrupt(r, f.metaindex_offset,
					 "there are no properties");
	if (err < 0)
		return err;
	err = sst_properties_read(r, &h);
	if (err)
		return err;
	err = read_index(r, &f);
	if (err)
		return err;
	err = sst_metaindex_find(r, &f, SST_META_FILTER, &h);
	if (err > 0)
		err = read_filter(r, &h);
	if (err)
		return err;
	err = sst_metaindex_find(r, &f, SST_META_RANGES, &h);
	if (err > 0)
		err = sst_ranges_read(r, &h);
	if (err)
		return err;
	sst_tail_drop(r);
	/* one more, as there may be no block */
	r->slots = calloc((size_t)r->index.count + 1, sizeof(*r->slots));
	if (!r->slots)
		return -ENOMEM;
	if (r->around) {
		r->regions = calloc(read_around_bytes(r->file_bytes),
				    sizeof(*r->regions));
		if (!r->regions)
			return -ENOMEM;
	}
	return map_raw && r->props.raw_blocks ? map_file(r) : 0;
}

int sst_reader_open(struct env_dir *dir, const char *name, uint64_t number,
		    const struct sst_reader_options *o, struct sst_reader **out)
{
	struct sst_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	atomic_init(&r->refs, 1);
	r->number = number;
	r->cache = o->cache;
	r->counters = o->counters;
	r->around = o->around;
	r->ahead = o->ahead;
	r->maps = o->maps;
	r->verify = o->verify_checksums;
	r->log = o->log;
	r->name = strdup(name);
	err = r->name ? env_object_open(dir, name, &r->object) : -ENOMEM;
	if (!err) {
		r->file_bytes = env_object_bytes(r->object);
		err = open_parts(r, o->map_raw && o->maps);
	}
	if (err) {
		reader_free(r);
		return err;
	}
	r->memory_bytes = sizeof(*r) + r->index.memory_bytes +
			  (size_t)r->index.count * sizeof(*r->slots) +
			  (r->around ? read_around_bytes(r->file_bytes) : 0) +
			  (size_t)r->filter.line_count * FILTER_LINE_BYTES +
			  r->frags.memory_bytes;
	cache_charge(r->cache, (int64_t)r->memory_bytes);
	*out = r;
	return 0;
}

void sst_reader_ref(struct sst_reader *r)
{
	/* relaxed: the caller has a reference, or a pin that keeps one */
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
}

void sst_reader_put(struct sst_reader *r)
{
	/* acq_rel: every use comes before the end; pairs with itself */
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		reader_free(r);
}

void sst_pin_release(struct sst_pin *p, struct cache *c)
{
	if (p->entry)
		cache_put(c, p->entry);
	if (p->reader)
		sst_reader_put(p->reader);
	memset(p, 0, sizeof(*p));
}

const struct frags *sst_reader_frags(const struct sst_reader *r)
{
	return &r->frags;
}

size_t sst_reader_memory(const struct sst_reader *r)
{
	return r->memory_bytes;
}

int sst_reader_meta(struct sst_reader *r, struct sst_meta *out)
{
	return sst_meta_copy(out, &r->props.meta);
}

uint64_t sst_reader_offset(struct sst_reader *r, struct lsm_slice key)
{
	/* the entry after the last holds the end of the data */
	return r->index.entry[sst_index_seek(&r->index, key, UINT64_MAX)]
		.offset;
}

/* ---- lookup ---------------------------------------------------------------
 */

static inline void count_bloom(const struct sst_reader *r, bool maybe)
{
	unsigned i = thread_line(SST_COUNTER_LINES);

	if (r->counters)
		line_add(maybe ? &r->counters->line[i].bloom_maybe
			       : &r->counters->line[i].bloom_no,
			 1, i, SST_COUNTER_LINES);
}

/*
 * Do all keys in [lower, upper) begin with the first n bytes of lower? They do
 * when upper is not past the least string above all that begin so: these bytes
 * counted up by one, whatever follows cut off.
 */
static bool one_prefix(struct lsm_slice lower, struct lsm_slice upper, size_t n)
{
	uint8_t next[SST_PREFIX_MAX];

	if (lower.len < n)
		return false;
	memcpy(next, lower.data, n);
	while (n && next[n - 1] == 0xff)
		n--;
	if (!n)
		return true; /* nothing sorts above these */
	next[n - 1]++;
	return upper.len && slice_cmp(upper, lsm_slice(next, n)) <= 0;
}

bool sst_reader_may_hold(const struct sst_reader *r, struct lsm_slice lower,
			 struct lsm_slice upper)
{
	size_t n = r->props.prefix_bytes;
	bool maybe;

	if (!n || !r->filter.line_count || !one_prefix(lower, upper, n))
		return true;
	maybe = filter_may_contain(&r->filter, hash64(lower.data, n));
	count_bloom(r, maybe);
	return maybe;
}

/* Asks the block; a result as sst_reader_lookup(), cover being the sequence
 * of the newest range tombstone over the key. */
static int lookup_in(struct sst_reader *r, const struct sst_view *v,
		     uint64_t offset, struct lsm_slice key, uint64_t seq,
		     uint64_t cover, enum entry_kind *kind,
		     struct lsm_slice *value)
{
	uint64_t tag;
	int found = block_lookup(&v->block, key, tag_seek(seq), &tag, value);

	if (sst_view_lost(r, v))
		return -EIO; /* neither a find nor an absence counts then */
	if (found > 0 && tag_kind(tag) > KIND_BLOB)
		found = -EUCLEAN;
	if (found < 0)
		return sst_block_corrupt(r, offset, "entry cannot be decoded");
	if (!found)
		return cover ? LOOKUP_DELETED : LOOKUP_MISS;
	if (tag_kind(tag) == KIND_DELETE || tag_seq(tag) < cover)
		return LOOKUP_DELETED;
	*kind = tag_kind(tag);
	return LOOKUP_FOUND;
}

int sst_reader_lookup(struct sst_reader *r, struct lsm_slice key, uint64_t hash,
		      uint64_t seq, unsigned flags, enum entry_kind *kind,
		      struct sst_pin *pin)
{
	struct sst_view v;
	uint64_t cover = 0;
	bool from_disk;
	uint32_t i;
	int result;

	if (r->frags.count)
		cover = frags_newest(&r->frags, key, seq);
	if (r->filter.line_count && !(flags & SST_LOOKUP_ASKED)) {
		bool maybe = filter_may_contain(&r->filter, hash);

		count_bloom(r, maybe);
		if (!maybe)
			return cover ? LOOKUP_DELETED : LOOKUP_MISS;
	}
	i = sst_index_seek(&r->index, key, tag_seek(seq));
	if (i == r->index.count)
		return cover ? LOOKUP_DELETED : LOOKUP_MISS;
	if (flags & SST_LOOKUP_CACHED) {
		assert(epoch_is_pinned());
		result = sst_view_cached(r, i, &v);
		if (result)
			return result;
		pin->lies_in = v.entry;
		return lookup_in(r, &v, r->index.entry[i].offset, key, seq,
				 cover, kind, &pin->data);
	}
	result = sst_view_get(r, i, false, &v, &from_disk);
	if (result)
		return result;
	if (from_disk)
		sst_view_missed(r, i);
	result = lookup_in(r, &v, r->index.entry[i].offset, key, seq, cover,
			   kind, &pin->data);
	if (result != LOOKUP_FOUND) {
		sst_view_put(r, &v);
	} else if (v.entry) {
		pin->entry = v.entry; /* our reference is the pin's now */
	} else {
		sst_reader_ref(r);
		pin->reader = r;
	}
	return result;
}
