/* SPDX-License-Identifier: MIT */
/*
 * blob_direct.c - see blob_direct.h.
 *
 * A sync that failed may have thrown away what it could not write, and the next
 * one would not tell (the kernel reports such a loss once). So the error stays,
 * and the file is never sealed: its values have to move while they can be read.
 * Of two syncs at once only one is told, so they go one after the other.
 */
#include "lsm/table/blob_direct.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "lsm/table/sst_format.h"

static int open_both(struct env_dir *dir, const char *name, uint64_t number,
		     const struct logger *log, bool create, bool read_only,
		     struct blob_direct *d)
{
	int err = 0;

	if (!read_only)
		err = env_direct_open(dir, name, create, &d->file);
	if (err)
		return err;
	err = blob_reader_open_unsealed(dir, name, number, d->cache, log,
					&d->reader);
	if (err && create) {
		env_direct_close(d->file);
		d->file = NULL;
		/* If it stays, the next open of the store removes it. */
		(void)env_dir_delete(dir, name);
	}
	return err;
}

static int direct_new(struct env_dir *dir, const char *name, uint64_t number,
		      struct cache *cache, const struct logger *log,
		      bool create, bool read_only, struct blob_direct **out)
{
	struct blob_direct *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->number = number;
	d->cache = cache;
	mutex_init(&d->sync_mutex);
	atomic_init(&d->err, 0);
	err = open_both(dir, name, number, log, create, read_only, d);
	if (err) {
		blob_direct_close(d);
		return err;
	}
	if (d->file)
		d->reserved = env_direct_bytes(d->file);
	*out = d;
	return 0;
}

int blob_direct_create(struct env_dir *dir, const char *name, uint64_t number,
		       struct cache *cache, const struct logger *log,
		       struct blob_direct **out)
{
	return direct_new(dir, name, number, cache, log, true, false, out);
}

int blob_direct_open(struct env_dir *dir, const char *name, uint64_t number,
		     struct cache *cache, const struct logger *log,
		     bool read_only, struct blob_direct **out)
{
	return direct_new(dir, name, number, cache, log, false, read_only, out);
}

void blob_direct_settle(struct blob_direct *d)
{
	if (d->file)
		env_direct_settle(d->file);
}

void blob_direct_close(struct blob_direct *d)
{
	if (d->reader)
		blob_reader_put(d->reader);
	env_direct_close(d->file);
	blob_map_release(&d->map);
	mutex_destroy(&d->sync_mutex);
	free(d);
}

/* ---- filling ------------------------------------------------------------ */

uint64_t blob_direct_reserve(struct blob_direct *d, uint64_t bytes)
{
	uint64_t at = d->reserved;

	d->reserved += bytes;
	return at;
}

int blob_direct_write(struct blob_direct *d, struct blob_pack *p,
		      uint64_t offset)
{
	int err = blob_pack_place(p, d->number, offset);

	return err ? err
		   : env_direct_write(d->file, offset, p->iov, p->iov_count);
}

void blob_direct_discard(struct blob_direct *d, uint64_t offset, uint64_t bytes)
{
	env_direct_discard(d->file, offset, bytes);
}

void blob_direct_commit(struct blob_direct *d, const struct blob_block *b)
{
	int err = blob_map_add(&d->map, b);

	assert(!err); /* reserved places are disjoint, and there is room */
	(void)err;
}

int blob_direct_sync(struct blob_direct *d)
{
	int err;

	mutex_lock(&d->sync_mutex);
	err = blob_direct_error(d);
	if (!err) {
		err = env_direct_sync(d->file);
		atomic_store_explicit(&d->err, err, memory_order_relaxed);
	}
	mutex_unlock(&d->sync_mutex);
	return err;
}

int blob_direct_error(const struct blob_direct *d)
{
	return atomic_load_explicit(&d->err, memory_order_relaxed);
}

/* ---- sealing ------------------------------------------------------------ */

static int add_gap(struct buf *index, uint64_t bytes, struct blob_footer *f)
{
	int err = 0;

	while (bytes && !err) {
		uint64_t n = bytes < BLOB_GAP_MAX ? bytes : BLOB_GAP_MAX;

		err = buf_append_varint(index, n);
		if (!err)
			err = buf_append_u8(index, BLOB_INDEX_GAP);
		bytes -= n;
		f->incompat |= BLOB_INCOMPAT_GAPS;
	}
	return err;
}

static int make_index(struct blob_direct *d, struct buf *index,
		      struct blob_footer *f)
{
	uint64_t at = 0;
	int err = 0;

	for (size_t i = 0; i < d->map.count && !err; i++) {
		const struct blob_block *b = &d->map.block[i];

		err = add_gap(index, b->offset - at, f);
		if (!err)
			err = buf_append_varint(index, b->bytes);
		if (!err)
			err = buf_append_u8(index, b->type);
		at = b->offset + b->bytes + SST_TRAILER_BYTES;
		f->values += b->values;
		f->value_bytes += b->value_bytes;
	}
	if (!err)
		err = add_gap(index, d->reserved - at, f);
	if (!err && (index->len > SST_BLOCK_MAX || d->map.count > UINT32_MAX))
		err = -EFBIG;
	return err;
}

static int write_tail(struct blob_direct *d, struct blob_footer *f,
		      struct buf *index)
{
	uint8_t tail[SST_TRAILER_BYTES + BLOB_FOOTER_BYTES];
	struct iovec iov[2] = {{index->data, index->len}, {tail, sizeof(tail)}};

	f->index_offset = d->reserved;
	f->index_bytes = (uint32_t)index->len;
	f->blocks = (uint32_t)d->map.count;
	tail[0] = SST_BLOCK_RAW;
	put_le32(tail + 1, sst_block_crc(index->data, index->len, tail[0],
					 d->number, f->index_offset));
	blob_footer_encode(f, tail + SST_TRAILER_BYTES);
	d->meta = (struct blob_meta){
		.number = d->number,
		.file_bytes = f->index_offset + index->len + sizeof(tail),
		.values = f->values,
		.value_bytes = f->value_bytes};
	return env_direct_write(d->file, f->index_offset, iov, 2);
}

int blob_direct_seal(struct blob_direct *d, struct blob_meta *meta)
{
	struct blob_footer f = {.number = d->number, .format = BLOB_FORMAT};
	struct buf index = {0};
	uint64_t end = blob_map_end(&d->map);
	int err = 0;

	if (!d->sealed) {
		if (d->reserved < end)
			d->reserved = end;
		err = make_index(d, &index, &f);
		if (!err)
			err = write_tail(d, &f, &index);
		if (!err)
			err = blob_direct_sync(d);
		d->sealed = !err;
	}
	buf_release(&index);
	*meta = d->meta;
	return err;
}
