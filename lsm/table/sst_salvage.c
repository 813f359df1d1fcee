/* SPDX-License-Identifier: MIT */
/*
 * sst_salvage.c - what can still be read of a damaged table.
 *
 * A table whose footer, index and properties are whole but which has blocks
 * that are not. Each block is checked by itself, so the others are as good as
 * ever. One thread.
 */
#include "lsm/table/sst_reader.h"

static bool is_damage(int err)
{
	return err == -EUCLEAN || err == -EIO;
}

/* Copies the entries of one block; -EUCLEAN when one is not in order. */
static int copy_block(struct block_cursor *c, struct buf *last,
		      uint64_t *last_tag, struct sst_writer *w)
{
	struct lsm_slice key;
	int r, err;

	for (r = block_cursor_first(c); r > 0; r = block_cursor_next(c)) {
		key = block_cursor_key(c);
		if (!key.len || tag_kind(c->tag) > KIND_BLOB ||
		    (last->len &&
		     entry_cmp(buf_slice(last), *last_tag, key, c->tag) >= 0))
			return -EUCLEAN;
		err = sst_writer_add(w, key, c->tag, c->value);
		if (err)
			return err;
		buf_clear(last);
		err = buf_append(last, key.data, key.len);
		if (err)
			return err;
		*last_tag = c->tag;
	}
	return r;
}

int sst_salvage(struct sst_reader *r, struct sst_writer *w, uint32_t *lost)
{
	struct block_cursor c = {0};
	struct buf last = {0};
	struct sst_view v;
	uint64_t last_tag = 0;
	uint32_t i;
	size_t k;
	int err = 0;

	*lost = 0;
	for (i = 0; i < r->index.count && !err; i++) {
		err = sst_view_get(r, i, true, &v, NULL);
		if (!err) {
			block_cursor_set(&c, &v.block);
			err = copy_block(&c, &last, &last_tag, w);
			sst_view_put(r, &v);
		}
		if (is_damage(err)) {
			(*lost)++;
			err = 0;
		}
	}
	for (k = 0; k < r->frags.count && !err; k++)
		err = sst_writer_add_range(w, &r->frags.frag[k]);
	block_cursor_release(&c);
	buf_release(&last);
	return err;
}
