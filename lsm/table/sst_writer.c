/* SPDX-License-Identifier: MIT */
/*
 * sst_writer.c - writing a table from front to back; formats in sst_format.h,
 * block.h and filter.h.
 *
 * Kept in memory while the table grows: the block being built, the index, the
 * range tombstones and 8 bytes of hash a key. A block is cut when the next
 * entry would make it larger than asked for, because only then the key after
 * it is known and its index key can be shortened between the two.
 *
 * The index key of a block sorts at or after its last entry and before the
 * first entry of the next block, in internal order. Where both belong to one
 * user key it is the last entry itself, tag included; else it is a short key
 * in between, with tag 0, which sorts behind every version of that key.
 *
 * An error sticks: later calls return it again, and finish deletes the file.
 * One thread.
 */
#include "lsm/table/sst_writer.h"

#include <stdlib.h>
#include <string.h>

#include "lsm/base/checksum.h"
#include "lsm/base/coding.h"
#include "lsm/base/compress.h"
#include "lsm/base/hash.h"
#include "lsm/table/blob_format.h"
#include "lsm/table/filter.h"

/* Backward walks decode whole intervals into memory. */
#define RESTART_INTERVAL_MAX 1024

int sst_writer_open(struct env_dir *dir, const char *name, uint64_t number,
		    const struct sst_writer_options *o, struct sst_writer **out)
{
	struct sst_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->name = strdup(name);
	if (!w->name) {
		free(w);
		return -ENOMEM;
	}
	w->log = o->log;
	w->cache = o->cache;
	w->block_bytes = o->block_bytes < SST_BLOCK_BYTES_MAX
				 ? o->block_bytes
				 : SST_BLOCK_BYTES_MAX;
	w->bloom_bits = o->bloom_bits;
	w->prefix_bytes = o->bloom_bits ? o->prefix_bytes : 0;
	w->lz4 = o->lz4;
	w->data.restart_interval = o->restart_interval < RESTART_INTERVAL_MAX
					   ? o->restart_interval
					   : RESTART_INTERVAL_MAX;
	w->index.restart_interval = META_RESTART_INTERVAL;
	w->ranges.restart_interval = META_RESTART_INTERVAL;
	w->meta.number = number;
	w->meta.min_seq = UINT64_MAX;
	err = env_writer_create(dir, name, &w->out);
	if (err) {
		free(w->name);
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

static void charge_hashes(struct sst_writer *w, int64_t count)
{
	if (w->cache && count)
		cache_charge(w->cache, count * (int64_t)sizeof(*w->hashes));
}

static void writer_free(struct sst_writer *w)
{
	block_builder_release(&w->data);
	block_builder_release(&w->index);
	block_builder_release(&w->ranges);
	buf_release(&w->handle);
	buf_release(&w->stored);
	buf_release(&w->sep);
	buf_release(&w->range_value);
	buf_release(&w->range_end);
	sst_meta_release(&w->meta);
	charge_hashes(w, -(int64_t)w->hash_cap);
	free(w->hashes);
	free(w->name);
	free(w);
}

void sst_writer_abort(struct sst_writer *w)
{
	env_writer_abort(w->out);
	writer_free(w);
}

/* After so many blocks in a row that did not compress, one in so many is tried
 * until one does: photos and archives come in runs. Half of the time a file of
 * random bytes took to write was spent trying. */
#define MISSES_ENOUGH 8
#define MISSES_TRY    8

/* Compresses plain into w->stored; false when it does not save an eighth. */
static bool compress(struct sst_writer *w, struct lsm_slice plain)
{
	size_t bound = plain.len - plain.len / 8, head, n;

	w->stored.len = 0;
	if (w->misses >= MISSES_ENOUGH && w->misses++ % MISSES_TRY)
		return false;
	if (plain.len < 64 || buf_reserve(&w->stored, bound + VARINT32_MAX))
		return false;
	head = (size_t)(put_varint32(w->stored.data, (uint32_t)plain.len) -
			w->stored.data);
	if (bound <= head)
		return false;
	n = lz4_compress(plain.data, plain.len, w->stored.data + head,
			 bound - head);
	w->stored.len = head + n;
	w->misses = n ? 0 : w->misses + 1;
	return n > 0;
}

int sst_writer_block(struct sst_writer *w, struct lsm_slice plain, bool lz4,
		     struct sst_handle *h)
{
	struct lsm_slice stored = plain;
	uint8_t trailer[SST_TRAILER_BYTES];
	int err;

	if (plain.len > SST_BLOCK_MAX)
		return -EINVAL;
	h->type = SST_BLOCK_RAW;
	if (lz4 && compress(w, plain)) {
		h->type = SST_BLOCK_LZ4;
		stored = buf_slice(&w->stored);
	}
	h->offset = w->offset;
	h->bytes = (uint32_t)stored.len;
	trailer[0] = h->type;
	put_le32(trailer + 1, sst_block_crc(stored.data, stored.len, h->type,
					    w->meta.number, w->offset));
	err = env_writer_append(w->out, stored.data, stored.len);
	if (!err)
		err = env_writer_append(w->out, trailer, sizeof(trailer));
	w->offset += stored.len + sizeof(trailer);
	return err;
}

/* The shortest key we find with a <= it < b, given a < b, into w->sep. */
static int separate(struct sst_writer *w, struct lsm_slice a,
		    struct lsm_slice b)
{
	const uint8_t *pa = a.data, *pb = b.data;
	size_t n = a.len < b.len ? a.len : b.len;
	size_t s = bytes_common(pa, pb, n), i;
	int err;

	buf_clear(&w->sep);
	if (s == a.len || a.len <= s + 1)
		return buf_append(&w->sep, a.data, a.len);
	if (b.len > s + 1)
		return buf_append(&w->sep, pb, s + 1);
	/* b ends right there: shorten a instead, by raising the first byte
	 * that can be raised without reaching b */
	for (i = s; i < a.len; i++) {
		if (pa[i] == 0xff || (i == s && pa[i] + 1 >= pb[i]))
			continue;
		err = buf_append(&w->sep, pa, i + 1);
		if (!err)
			w->sep.data[i]++;
		return err;
	}
	return buf_append(&w->sep, a.data, a.len);
}

/* Ends the data block; next is the key after it, or NULL at the end. */
static int cut_block(struct sst_writer *w, const struct lsm_slice *next)
{
	struct lsm_slice last = buf_slice(&w->data.last_key);
	struct sst_handle h;
	uint64_t tag = 0;
	int err = block_builder_finish(&w->data);

	if (err)
		return err;
	err = sst_writer_block(w, buf_slice(&w->data.buf), w->lz4, &h);
	if (err)
		return err;
	block_builder_clear(&w->data);
	w->data_blocks++;
	w->raw_blocks += h.type == SST_BLOCK_RAW;
	w->data_bytes = w->offset;
	if (next && slice_eq(last, *next)) {
		tag = w->data.last_tag;
		buf_clear(&w->sep);
		err = buf_append(&w->sep, last.data, last.len);
	} else if (next) {
		err = separate(w, last, *next);
	} else {
		buf_clear(&w->sep);
		err = buf_append(&w->sep, last.data, last.len);
	}
	buf_clear(&w->handle);
	if (!err)
		err = sst_handle_append(&w->handle, &h);
	if (!err)
		err = block_builder_add(&w->index, buf_slice(&w->sep), tag,
					buf_slice(&w->handle));
	return err;
}

static int add_hash(struct sst_writer *w, const void *data, size_t len)
{
	if (w->hash_count == w->hash_cap) {
		size_t cap = w->hash_cap + w->hash_cap / 8 + 4096;
		uint64_t *h = realloc(w->hashes, cap * sizeof(*h));

		if (!h)
			return -ENOMEM;
		charge_hashes(w, (int64_t)(cap - w->hash_cap));
		w->hashes = h;
		w->hash_cap = cap;
	}
	w->hashes[w->hash_count++] = hash64(data, len);
	return 0;
}

/* What the filter is to know of a key that follows the last one. */
static int add_to_filter(struct sst_writer *w, struct lsm_slice key)
{
	struct lsm_slice last = buf_slice(&w->data.last_key);
	size_t n = w->prefix_bytes;
	int err;

	if (w->meta.entries && slice_eq(key, last))
		return 0;
	err = add_hash(w, key.data, key.len);
	if (err || !n || key.len <= n ||
	    (w->meta.entries && last.len >= n &&
	     !memcmp(key.data, last.data, n)))
		return err;
	return add_hash(w, key.data, n);
}

static void note_seq(struct sst_writer *w, uint64_t seq)
{
	if (seq < w->meta.min_seq)
		w->meta.min_seq = seq;
	if (seq > w->meta.max_seq)
		w->meta.max_seq = seq;
}

/* Counts what a handle refers to. */
static int note_handle(struct sst_writer *w, struct lsm_slice value)
{
	struct blob_handle h;

	if (!blob_handle_decode(&h, value))
		return -EINVAL;
	return sst_meta_add_blob(&w->meta, h.file, h.len);
}

static int add(struct sst_writer *w, struct lsm_slice key, uint64_t tag,
	       struct lsm_slice value)
{
	size_t bytes = key.len + value.len + 8 + 3 * VARINT32_MAX;
	int err;

	if (!key.len || key.len > LSM_KEY_MAX || value.len > LSM_VALUE_MAX ||
	    tag_kind(tag) > KIND_BLOB)
		return -EINVAL;
	if (w->data.count &&
	    block_builder_bytes(&w->data) + bytes > w->block_bytes) {
		/* out of order keys must not get as far as separate() */
		if (entry_cmp(buf_slice(&w->data.last_key), w->data.last_tag,
			      key, tag) >= 0)
			return -EINVAL;
		err = cut_block(w, &key);
		if (err)
			return err;
	}
	if (w->bloom_bits) {
		err = add_to_filter(w, key);
		if (err)
			return err;
	}
	if (!w->meta.entries) {
		err = buf_append(&w->meta.smallest, key.data, key.len);
		if (err)
			return err;
	}
	err = block_builder_add(&w->data, key, tag, value);
	if (!err && tag_kind(tag) == KIND_BLOB)
		err = note_handle(w, value);
	if (err)
		return err;
	w->meta.entries++;
	w->meta.deletions += tag_kind(tag) == KIND_DELETE;
	w->meta.raw_bytes += key.len + value.len;
	note_seq(w, tag_seq(tag));
	return 0;
}

static int failed(struct sst_writer *w, int err)
{
	if (err == -EINVAL)
		logger_printf(
			w->log, LSM_LOG_ERROR,
			"%s: entry %llu is out of order, too large, or no "
			"handle",
			w->name, (unsigned long long)w->meta.entries);
	w->err = err;
	return err;
}

int sst_writer_add(struct sst_writer *w, struct lsm_slice key, uint64_t tag,
		   struct lsm_slice value)
{
	int err = w->err;

	if (err)
		return err;
	err = add(w, key, tag, value);
	return err ? failed(w, err) : 0;
}

/* value: varint length of end, end, varint count, seqs as they are (u64) */
static int add_range(struct sst_writer *w, const struct frag *f)
{
	struct buf *v = &w->range_value;
	uint32_t i;
	int err;

	if (!f->seq_count || !f->start.len || f->start.len > LSM_KEY_MAX ||
	    f->end.len > LSM_KEY_MAX || slice_cmp(f->start, f->end) >= 0 ||
	    (w->has_range && slice_cmp(f->start, buf_slice(&w->range_end)) < 0))
		return -EINVAL;
	buf_clear(v);
	err = buf_append_slice(v, f->end);
	if (!err)
		err = buf_append_varint(v, f->seq_count);
	for (i = 0; i < f->seq_count && !err; i++) {
		if (i && f->seqs[i] >= f->seqs[i - 1])
			return -EINVAL;
		note_seq(w, f->seqs[i]);
		err = buf_append_le64(v, f->seqs[i]);
	}
	if (!err)
		err = block_builder_add(&w->ranges, f->start, 0, buf_slice(v));
	buf_clear(&w->range_end);
	if (!err)
		err = buf_append(&w->range_end, f->end.data, f->end.len);
	if (err)
		return err;
	w->has_range = true;
	w->meta.range_deletions += f->seq_count;
	w->meta.raw_bytes += f->start.len + f->end.len;
	return 0;
}

int sst_writer_add_range(struct sst_writer *w, const struct frag *f)
{
	int err = w->err;

	if (err)
		return err;
	err = add_range(w, f);
	return err ? failed(w, err) : 0;
}

uint64_t sst_writer_bytes(const struct sst_writer *w)
{
	uint64_t block = block_builder_bytes(&w->data);
	uint64_t plain = w->meta.raw_bytes + 11 * w->meta.entries;

	/* the open block as compressible as those before it */
	if (w->data_bytes && plain > w->data_bytes)
		block = block * w->data_bytes / plain;
	return w->data_bytes + block + block_builder_bytes(&w->index) +
	       block_builder_bytes(&w->ranges) +
	       (w->bloom_bits ? filter_bytes(w->hash_count, w->bloom_bits)
			      : 0) +
	       SST_FOOTER_BYTES;
}

uint64_t sst_writer_entries(const struct sst_writer *w)
{
	return w->meta.entries;
}

int sst_writer_finish(struct sst_writer *w, struct sst_meta *meta)
{
	int err = w->err;

	memset(meta, 0, sizeof(*meta));
	if (!err && w->data.count)
		err = cut_block(w, NULL);
	if (!err)
		err = sst_writer_bounds(w);
	if (!err)
		err = sst_writer_tail(w);
	if (err) {
		sst_writer_abort(w);
		return err;
	}
	err = env_writer_finish(w->out);
	if (!err) {
		w->meta.file_bytes = w->offset;
		*meta = w->meta; /* its buffers move with it */
		memset(&w->meta, 0, sizeof(w->meta));
	}
	writer_free(w);
	return err;
}
