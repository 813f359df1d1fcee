/* SPDX-License-Identifier: MIT */
/*
 * block_builder.c - making blocks; the format is in block.h.
 *
 * One thread. Memory is kept from block to block, so that a table costs a few
 * allocations, not one for each entry.
 */
#include "lsm/table/block.h"

void block_builder_release(struct block_builder *b)
{
	buf_release(&b->buf);
	buf_release(&b->restart);
	buf_release(&b->last_key);
}

void block_builder_clear(struct block_builder *b)
{
	buf_clear(&b->buf);
	buf_clear(&b->restart);
	b->count = 0;
	b->since_restart = 0;
}

int block_builder_add(struct block_builder *b, struct lsm_slice key,
		      uint64_t tag, struct lsm_slice value)
{
	size_t last_len = b->last_key.len;
	size_t n = last_len < key.len ? last_len : key.len;
	size_t shared = bytes_common(b->last_key.data, key.data, n);
	bool restart = !b->count || b->since_restart >= b->restart_interval;
	uint8_t *p;
	int err;

	if (b->has_last) {
		if (shared == n && last_len == key.len) {
			if (tag >= b->last_tag)
				return -EINVAL;
		} else if (shared == n) {
			if (last_len > key.len)
				return -EINVAL;
		} else if (b->last_key.data[shared] >
			   ((const uint8_t *)key.data)[shared]) {
			return -EINVAL;
		}
	}
	err = buf_reserve(&b->buf, 3 * VARINT32_MAX + key.len + 8 + value.len);
	if (!err && key.len > last_len)
		err = buf_reserve(&b->last_key, key.len - last_len);
	if (!err && restart)
		err = buf_append_le32(&b->restart, (uint32_t)b->buf.len);
	if (err)
		return err;
	if (key.len > shared)
		memcpy(b->last_key.data + shared,
		       (const uint8_t *)key.data + shared, key.len - shared);
	b->last_key.len = key.len;
	b->last_tag = tag;
	b->has_last = true;
	if (restart) {
		shared = 0;
		b->since_restart = 0;
	}
	p = b->buf.data + b->buf.len;
	p = put_varint32(p, (uint32_t)shared);
	p = put_varint32(p, (uint32_t)(key.len - shared));
	p = put_varint32(p, (uint32_t)value.len);
	if (key.len > shared)
		memcpy(p, (const uint8_t *)key.data + shared, key.len - shared);
	p += key.len - shared;
	put_le64(p, tag);
	p += 8;
	if (value.len)
		memcpy(p, value.data, value.len);
	p += value.len;
	b->buf.len = (size_t)(p - b->buf.data);
	b->since_restart++;
	b->count++;
	return 0;
}

int block_builder_finish(struct block_builder *b)
{
	size_t front = 4 + b->restart.len;
	uint32_t n = (uint32_t)(b->restart.len / 4);
	int err = buf_reserve(&b->buf, b->restart.len + BLOCK_OVERHEAD);

	if (err)
		return err;
	memmove(b->buf.data + front, b->buf.data, b->buf.len);
	put_le32(b->buf.data, n);
	if (n)
		memcpy(b->buf.data + 4, b->restart.data, b->restart.len);
	b->buf.len += front;
	put_le64(b->buf.data + b->buf.len, 0);
	b->buf.len += 8;
	return 0;
}
