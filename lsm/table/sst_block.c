/* SPDX-License-Identifier: MIT */
/*
 * sst_block.c - bringing blocks of a table into memory; see sst_reader.h.
 *
 * Any thread. Nothing here holds an epoch pin over I/O.
 */
#include "lsm/table/sst_reader.h"

#include <stdlib.h>

#include "lsm/base/compress.h"
#include "lsm/base/epoch.h"
#include "lsm/table/read_around.h"
#include "lsm/table/stored.h"

/* Compressed blocks up to this size are read onto the stack. */
#define STACK_BYTES 8192
/* The end of a file is read from a multiple of this on, and not when it is
 * larger than that. */
#define TAIL_ALIGN 4096
#define TAIL_MAX   (64u << 20)

int sst_block_corrupt(struct sst_reader *r, uint64_t offset, const char *why)
{
	return log_corrupt(r->log, r->name, offset, "%s", why);
}

int sst_block_check(struct sst_reader *r, const struct sst_handle *h,
		    const uint8_t *stored, bool verify)
{
	const char *why = stored_check(h, stored, r->number, verify);

	return why ? sst_block_corrupt(r, h->offset, why) : 0;
}

int sst_block_expand(struct sst_reader *r, const struct sst_handle *h,
		     const uint8_t *lz4, const uint8_t *end, void *out,
		     uint32_t plain_bytes)
{
	if (lz4_decompress(lz4, (size_t)(end - lz4), out, plain_bytes))
		return sst_block_corrupt(r, h->offset,
					 "block cannot be decompressed");
	return 0;
}

int sst_tail_read(struct sst_reader *r, uint64_t offset)
{
	uint64_t end = r->tail ? r->tail_offset : r->file_bytes, have;
	uint8_t *tail;
	int err;

	offset &= ~(uint64_t)(TAIL_ALIGN - 1);
	if (offset >= end || r->file_bytes - offset > TAIL_MAX)
		return 0;
	have = r->file_bytes - end;
	tail = malloc((size_t)(r->file_bytes - offset));
	if (!tail)
		return -ENOMEM;
	err = env_object_read(r->object, offset, tail, (size_t)(end - offset));
	if (err) {
		free(tail);
		return err == -EUCLEAN
			       ? sst_block_corrupt(r, offset, "file ends early")
			       : err;
	}
	if (have)
		memcpy(tail + (end - offset), r->tail, (size_t)have);
	free(r->tail);
	r->tail = tail;
	r->tail_offset = offset;
	return 0;
}

void sst_tail_drop(struct sst_reader *r)
{
	free(r->tail);
	r->tail = NULL;
}

static int read_stored(struct sst_reader *r, const struct sst_handle *h,
		       uint8_t *to)
{
	size_t bytes = (size_t)h->bytes + SST_TRAILER_BYTES;
	int err;

	/* handles were checked to lie within the file */
	if (r->tail && h->offset >= r->tail_offset) {
		memcpy(to, r->tail + (h->offset - r->tail_offset), bytes);
		return 0;
	}
	err = env_object_read(r->object, h->offset, to, bytes);
	if (err == -EUCLEAN)
		return sst_block_corrupt(r, h->offset,
					 "file ends inside a block");
	return err;
}

/* A raw block goes straight into the cache entry, its trailer behind it. */
static int fetch_raw(struct sst_reader *r, const struct sst_handle *h,
		     bool verify, struct cache_entry **out)
{
	struct cache_entry *e =
		cache_alloc(r->cache, (size_t)h->bytes + SST_TRAILER_BYTES, 0);
	int err;

	if (!e)
		return -ENOMEM;
	err = read_stored(r, h, cache_data(e));
	if (!err)
		err = sst_block_check(r, h, cache_data(e), verify);
	if (err) {
		cache_drop(r->cache, e);
		return err;
	}
	*out = e;
	return 0;
}

static int fetch_lz4(struct sst_reader *r, const struct sst_handle *h,
		     bool verify, struct cache_entry **out)
{
	uint8_t stack[STACK_BYTES], *stored = stack;
	size_t bytes = (size_t)h->bytes + SST_TRAILER_BYTES;
	const char *why;
	int err;

	if (bytes > sizeof(stack)) {
		stored = malloc(bytes);
		if (!stored)
			return -ENOMEM;
	}
	err = read_stored(r, h, stored);
	if (!err)
		err = sst_block_check(r, h, stored, verify);
	if (err)
		goto out;
	err = stored_expand(r->cache, h, stored, out, &why);
	if (err == -EUCLEAN)
		err = sst_block_corrupt(r, h->offset, why);
out:
	if (stored != stack)
		free(stored);
	return err;
}

static int view_entry(struct sst_reader *r, const struct sst_handle *h,
		      struct cache_entry *e, struct sst_view *v)
{
	v->entry = e;
	if (!block_init(&v->block, cache_data(e), stored_plain_len(e, h->type)))
		return sst_block_corrupt(r, h->offset,
					 "block has an impossible head");
	return 0;
}

int sst_view_entry(struct sst_reader *r, uint32_t i, struct cache_entry *e,
		   struct sst_view *v)
{
	struct sst_handle h = sst_index_handle(&r->index, i);
	int err = view_entry(r, &h, e, v);

	if (err)
		cache_put(r->cache, e);
	return err;
}

static bool is_checked(struct sst_reader *r, uint32_t i)
{
	/* acquire: pairs with set_checked(); a use of the block comes after
	 * its check */
	return atomic_load_explicit(&r->checked[i / 64],
				    memory_order_acquire) >>
		       (i % 64) &
	       1;
}

static void drop_map(struct sst_reader *r)
{
	uint32_t i, words = (r->index.count + 63) / 64;

	/* Bits that others set meanwhile may be lost, or survive although
	 * their pages go: a second check, or one fault, and no harm. */
	for (i = 0; i < words; i++)
		atomic_store_explicit(&r->checked[i], 0, memory_order_relaxed);
	env_object_drop(r->object);
}

/*
 * Pages of maps count as our resident memory. When all tables together have
 * touched more than the budget has room for, one that has touched half of an
 * even share, and goes on touching, gives its pages back to the kernel, which
 * still has them in its page cache; the next touches cost a soft fault and a
 * checksum a block. So the sum is at most half as much again as the room, and
 * tables that fit are left in peace however they are read.
 */
static bool is_large_share(struct sst_reader *r, uint64_t mine)
{
	uint64_t tables =
		atomic_load_explicit(&r->maps->tables, memory_order_relaxed);

	return mine >= cache_room(r->cache) / 2 / (tables ? tables : 1);
}

static void set_checked(struct sst_reader *r, uint32_t i, uint32_t bytes)
{
	uint64_t bit = 1ull << (i % 64), mine, all;

	/* release: pairs with is_checked() */
	if (atomic_fetch_or_explicit(&r->checked[i / 64], bit,
				     memory_order_release) &
	    bit)
		return;
	mine = atomic_fetch_add_explicit(&r->touched_bytes, bytes,
					 memory_order_relaxed) +
	       bytes;
	all = atomic_fetch_add_explicit(&r->maps->touched, bytes,
					memory_order_relaxed) +
	      bytes;
	if (__builtin_expect(all > cache_room(r->cache), 0) &&
	    is_large_share(r, mine)) {
		/* the one who takes the sum away drops */
		mine = atomic_exchange_explicit(&r->touched_bytes, 0,
						memory_order_relaxed);
		atomic_fetch_sub_explicit(&r->maps->touched, mine,
					  memory_order_relaxed);
		if (mine)
			drop_map(r);
	}
}

static int view_map(struct sst_reader *r, const struct sst_handle *h,
		    struct sst_view *v)
{
	v->entry = NULL;
	if (block_init(&v->block, r->map + h->offset, h->bytes))
		return 0;
	if (env_object_map_lost(r->object))
		return -EIO;
	return sst_block_corrupt(r, h->offset, "block has an impossible head");
}

static int check_mapped(struct sst_reader *r, const struct sst_handle *h,
			uint32_t i, bool verify)
{
	const uint8_t *stored = r->map + h->offset;
	const uint8_t *trailer = stored + h->bytes;
	bool good = trailer[0] == h->type &&
		    (!verify || get_le32(trailer + 1) ==
					sst_block_crc(stored, h->bytes, h->type,
						      r->number, h->offset));

	if (env_object_map_lost(r->object))
		return -EIO;
	if (!good)
		return sst_block_corrupt(r, h->offset,
					 "block checksum mismatch");
	set_checked(r, i, h->bytes + SST_TRAILER_BYTES);
	return 0;
}

/* Block i if it is in the cache; good until the caller unpins. */
static struct cache_entry *find_cached(struct sst_reader *r, uint32_t i,
				       const struct sst_handle *h)
{
	struct cache_entry *e = cache_slot_find(r->cache, &r->slots[i]);

	if (e)
		return e;
	e = cache_find(r->cache, r->number, h->offset);
	if (e)
		cache_slot_fill(r->cache, e, &r->slots[i]);
	return e;
}

/* The same with a reference. */
static struct cache_entry *get_cached(struct sst_reader *r, uint32_t i,
				      const struct sst_handle *h)
{
	struct cache_entry *e;

	epoch_pin();
	e = find_cached(r, i, h);
	if (e && !cache_ref(e))
		e = NULL;
	epoch_unpin();
	return e;
}

int sst_view_cached(struct sst_reader *r, uint32_t i, struct sst_view *v)
{
	struct sst_handle h = sst_index_handle(&r->index, i);
	struct cache_entry *e;

	if (r->map && h.type == SST_BLOCK_RAW) {
		if (!is_checked(r, i))
			return -EAGAIN;
		return view_map(r, &h, v);
	}
	e = find_cached(r, i, &h);
	return e ? view_entry(r, &h, e, v) : -EAGAIN;
}

int sst_view_get(struct sst_reader *r, uint32_t i, bool verify,
		 struct sst_view *v, bool *from_disk)
{
	struct sst_handle h = sst_index_handle(&r->index, i);
	struct cache_entry *e;
	int err;

	if (from_disk)
		*from_disk = false;
	if (r->map && h.type == SST_BLOCK_RAW) {
		if (verify || !is_checked(r, i)) {
			if (from_disk)
				*from_disk = true;
			err = check_mapped(r, &h, i, verify || r->verify);
			if (err)
				return err;
		}
		return view_map(r, &h, v);
	}
	e = get_cached(r, i, &h);
	if (e) {
		err = view_entry(r, &h, e, v);
		if (err)
			cache_put(r->cache, e);
		return err;
	}
	if (from_disk)
		*from_disk = true;
	err = (h.type == SST_BLOCK_RAW ? fetch_raw : fetch_lz4)(
		r, &h, verify || r->verify, &e);
	if (err)
		return err;
	err = view_entry(r, &h, e, v);
	if (err) {
		cache_drop(r->cache, e);
		return err;
	}
	v->entry = cache_insert(r->cache, e, r->number, h.offset, true);
	/* another thread may have been faster: its copy, then */
	if (v->entry == e)
		return 0;
	err = view_entry(r, &h, v->entry, v);
	if (err)
		cache_put(r->cache, v->entry);
	return err;
}

void sst_view_missed(struct sst_reader *r, uint32_t i)
{
	const uint64_t region = 1ull << READ_AROUND_REGION_BITS;
	struct sst_handle h = sst_index_handle(&r->index, i);
	uint64_t end;

	if (!r->around || (r->map && h.type == SST_BLOCK_RAW) ||
	    !read_around_missed(r->around, r->regions, h.offset))
		return;
	h.offset &= ~(region - 1);
	end = r->props.data_bytes - h.offset;
	env_object_prefetch(r->object, h.offset, end < region ? end : region);
}

void sst_view_put(struct sst_reader *r, struct sst_view *v)
{
	if (v->entry)
		cache_put(r->cache, v->entry);
	v->entry = NULL;
	v->block.data = NULL;
}

int sst_block_read_meta(struct sst_reader *r, const struct sst_handle *h,
			uint8_t **data, size_t *len)
{
	uint8_t *stored = malloc((size_t)h->bytes + SST_TRAILER_BYTES);
	uint8_t *plain;
	const uint8_t *lz4;
	uint32_t plain_bytes;
	int err;

	if (!stored)
		return -ENOMEM;
	err = read_stored(r, h, stored);
	if (!err)
		err = sst_block_check(r, h, stored, true);
	if (err)
		goto fail;
	if (h->type == SST_BLOCK_RAW) {
		*data = stored;
		*len = h->bytes;
		return 0;
	}
	lz4 = sst_lz4_header(stored, h->bytes, &plain_bytes);
	if (!lz4) {
		err = sst_block_corrupt(r, h->offset,
					"block has an impossible length");
		goto fail;
	}
	plain = malloc(plain_bytes ? plain_bytes : 1);
	if (!plain) {
		err = -ENOMEM;
		goto fail;
	}
	err = sst_block_expand(r, h, lz4, stored + h->bytes, plain,
			       plain_bytes);
	if (err) {
		free(plain);
		goto fail;
	}
	free(stored);
	*data = plain;
	*len = plain_bytes;
	return 0;
fail:
	free(stored);
	return err;
}
