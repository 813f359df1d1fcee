/* SPDX-License-Identifier: MIT */
/*
 * batch.c - building and reading batches: see batch.h for the encoding, and
 * lsm.h for the public half.
 *
 * A batch is built in the form in which it goes into the log and into the
 * memtable. The count in the header is always right; the sequence is set when
 * the batch is written. A failed append leaves the bytes as they were.
 */
#include "lsm/mem/batch.h"

#include <errno.h>
#include <stdlib.h>

#include "lsm/base/coding.h"

/* A shorter value is copied sooner than noted. */
#define REF_BYTES 256

struct lsm_batch *lsm_batch_new(void)
{
	struct lsm_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	if (buf_reserve(&b->rep, 256)) {
		free(b);
		return NULL;
	}
	lsm_batch_clear(b);
	return b;
}

static void drop_pins(struct lsm_batch *b)
{
	if (b->pins)
		b->unpin(b->pins);
	b->pins = NULL;
}

static void drop_prepared(struct lsm_batch *b)
{
	if (b->prepared)
		b->discard(b->prepared);
	b->prepared = NULL;
}

void lsm_batch_free(struct lsm_batch *batch)
{
	if (!batch)
		return;
	drop_prepared(batch);
	drop_pins(batch);
	buf_release(&batch->rep);
	free(batch->refs);
	free(batch);
}

void lsm_batch_clear(struct lsm_batch *batch)
{
	drop_prepared(batch);
	drop_pins(batch);
	memset(batch->rep.data, 0, BATCH_HEADER_BYTES);
	batch->rep.len = BATCH_HEADER_BYTES;
	batch->count = 0;
	batch->err = 0;
	batch->data_bytes = 0;
	batch->deletes = batch->ranges = 0;
	batch->ref_count = 0;
	batch->ref_bytes = 0;
}

int batch_fail(struct lsm_batch *b, int err)
{
	if (!b->err)
		b->err = err;
	return err;
}

static bool key_ok(struct lsm_slice key)
{
	return key.len > 0 && key.len <= LSM_KEY_MAX;
}

static uint8_t *put_bytes(uint8_t *p, struct lsm_slice s)
{
	if (s.len)
		memcpy(p, s.data, s.len);
	return p + s.len;
}

/* One operation; parts is NULL when the kind has no value. Parts may be fewer
 * than the value: the rest is a ref then. */
static int append(struct lsm_batch *b, enum entry_kind kind,
		  struct lsm_slice key, const struct lsm_slice *parts,
		  size_t part_count, size_t value_len)
{
	size_t room = 1 + 2 * VARINT32_MAX + key.len + value_len, i;
	uint8_t *p;

	if (b->count == UINT32_MAX ||
	    room > BATCH_BYTES_MAX - b->rep.len - b->ref_bytes)
		return batch_fail(b, -EINVAL);
	if (!part_count)
		room -= value_len;
	if (buf_reserve(&b->rep, room))
		return batch_fail(b, -ENOMEM);
	p = b->rep.data + b->rep.len;
	*p++ = (uint8_t)kind;
	p = put_varint32(p, (uint32_t)key.len);
	p = put_bytes(p, key);
	if (parts) {
		p = put_varint32(p, (uint32_t)value_len);
		for (i = 0; i < part_count; i++)
			p = put_bytes(p, parts[i]);
	}
	b->rep.len = (size_t)(p - b->rep.data);
	b->count++;
	b->data_bytes += key.len + value_len;
	put_le32(b->rep.data + 8, b->count);
	return 0;
}

int lsm_batch_putv(struct lsm_batch *batch, struct lsm_slice key,
		   const struct lsm_slice *parts, size_t count)
{
	static const struct lsm_slice nothing;
	size_t len = 0, i;

	if (!key_ok(key))
		return batch_fail(batch, -EINVAL);
	for (i = 0; i < count; i++) {
		if (parts[i].len > LSM_VALUE_MAX - len)
			return batch_fail(batch, -EINVAL);
		len += parts[i].len;
	}
	return append(batch, KIND_PUT, key, count ? parts : &nothing, count,
		      len);
}

int lsm_batch_put(struct lsm_batch *batch, struct lsm_slice key,
		  struct lsm_slice value)
{
	return lsm_batch_putv(batch, key, &value, 1);
}

int batch_put_blob(struct lsm_batch *b, struct lsm_slice key,
		   struct lsm_slice handle)
{
	if (!key_ok(key))
		return batch_fail(b, -EINVAL);
	return append(b, KIND_BLOB, key, &handle, 1, handle.len);
}

static int grow_refs(struct lsm_batch *b)
{
	size_t cap = b->ref_cap ? 2 * b->ref_cap : 64;
	void *p;

	if (b->ref_count < b->ref_cap)
		return 0;
	p = reallocarray(b->refs, cap, sizeof(*b->refs));
	if (!p)
		return -ENOMEM;
	b->refs = p;
	b->ref_cap = cap;
	return 0;
}

int lsm_batch_put_ref(struct lsm_batch *batch, struct lsm_slice key,
		      struct lsm_slice value)
{
	int err;

	if (value.len < REF_BYTES)
		return lsm_batch_put(batch, key, value);
	if (!key_ok(key) || value.len > LSM_VALUE_MAX)
		return batch_fail(batch, -EINVAL);
	if (grow_refs(batch))
		return batch_fail(batch, -ENOMEM);
	err = append(batch, KIND_PUT, key, &value, 0, value.len);
	if (err)
		return err;
	batch->refs[batch->ref_count++] = (struct batch_ref){
		.at = batch->rep.len, .data = value.data, .len = value.len};
	batch->ref_bytes += value.len;
	return 0;
}

int lsm_batch_delete(struct lsm_batch *batch, struct lsm_slice key)
{
	if (!key_ok(key))
		return batch_fail(batch, -EINVAL);
	batch->deletes++;
	return append(batch, KIND_DELETE, key, NULL, 0, 0);
}

int lsm_batch_delete_range(struct lsm_batch *batch, struct lsm_slice start,
			   struct lsm_slice end)
{
	size_t at;
	int err;

	if (!key_ok(start) || !key_ok(end) || slice_cmp(start, end) >= 0)
		return batch_fail(batch, -EINVAL);
	at = batch->rep.len;
	err = append(batch, KIND_RANGE_DELETE, start, &end, 1, end.len);
	if (!err && batch->ranges < BATCH_RANGES)
		batch->range_at[batch->ranges] = at;
	batch->ranges += !err;
	return err;
}

uint32_t lsm_batch_count(const struct lsm_batch *batch)
{
	return batch->count;
}

size_t lsm_batch_size(const struct lsm_batch *batch)
{
	return batch->rep.len + (size_t)batch->ref_bytes;
}

void batch_set_sequence(struct lsm_batch *b, uint64_t seq)
{
	put_le64(b->rep.data, seq);
}

int batch_encode(const struct lsm_batch *b, struct buf *out)
{
	size_t at = 0, i;
	int err;

	if (lsm_batch_size(b) > BATCH_BYTES_MAX)
		return -EINVAL;
	err = buf_reserve(out, lsm_batch_size(b));
	for (i = 0; i < b->ref_count && !err; i++) {
		const struct batch_ref *r = &b->refs[i];

		err = buf_append(out, b->rep.data + at, r->at - at);
		if (!err)
			err = buf_append(out, r->data, r->len);
		at = r->at;
	}
	return err ? err : buf_append(out, b->rep.data + at, b->rep.len - at);
}

/* ---- reading ------------------------------------------------------------ */

int batch_reader_init(struct batch_reader *r, struct lsm_slice rep)
{
	if (rep.len < BATCH_HEADER_BYTES)
		return -EUCLEAN;
	r->p = rep.data;
	r->end = r->p + rep.len;
	r->seq = get_le64(r->p);
	r->left = get_le32(r->p + 8);
	r->p += BATCH_HEADER_BYTES;
	if (r->seq > SEQ_MAX || r->left > SEQ_MAX - r->seq)
		return -EUCLEAN;
	return 0;
}

/* A length and its bytes, or NULL. As get_slice(), and inlined: this is the
 * way of every write into the memtable. */
static inline const uint8_t *read_slice(const uint8_t *p, const uint8_t *end,
					size_t max, struct lsm_slice *s)
{
	uint32_t len;

	p = get_varint32(p, end, &len);
	if (!p || len > max || len > (size_t)(end - p))
		return NULL;
	*s = lsm_slice(p, len);
	return p + len;
}

int batch_reader_next(struct batch_reader *r, struct batch_op *op)
{
	const uint8_t *p = r->p;
	uint8_t kind;

	if (!r->left)
		return p == r->end ? LSM_END : -EUCLEAN;
	if (p == r->end)
		return -EUCLEAN;
	kind = *p++;
	if (kind > KIND_MAX)
		return -EUCLEAN;
	p = read_slice(p, r->end, LSM_KEY_MAX, &op->key);
	if (!p || !op->key.len)
		return -EUCLEAN;
	op->value = lsm_slice(NULL, 0);
	if (kind != KIND_DELETE) {
		p = read_slice(
			p, r->end,
			kind == KIND_RANGE_DELETE ? LSM_KEY_MAX : LSM_VALUE_MAX,
			&op->value);
		if (!p)
			return -EUCLEAN;
		if (kind == KIND_RANGE_DELETE &&
		    slice_cmp(op->key, op->value) >= 0)
			return -EUCLEAN;
	}
	op->kind = (enum entry_kind)kind;
	op->seq = r->seq++;
	r->left--;
	r->p = p;
	return 0;
}

void batch_walk_init(struct batch_walk *w, const struct lsm_batch *b)
{
	*w = (struct batch_walk){
		.batch = b,
		.reader = {.p = b->rep.data + BATCH_HEADER_BYTES,
			   .end = b->rep.data + b->rep.len,
			   .left = b->count},
	};
}

/* The operation's value is the next ref when that belongs right behind its
 * length; the bytes there are those of the next operation. */
static bool take_ref(struct batch_walk *w, struct batch_op *op)
{
	struct batch_reader *r = &w->reader;
	const struct batch_ref *ref = &w->batch->refs[w->ref];
	const uint8_t *base = w->batch->rep.data, *p = r->p;
	uint32_t len;

	if (w->ref == w->batch->ref_count || *p != KIND_PUT)
		return false;
	p = read_slice(p + 1, r->end, LSM_KEY_MAX, &op->key);
	if (p)
		p = get_varint32(p, r->end, &len);
	if (p != base + ref->at)
		return false;
	op->kind = KIND_PUT;
	op->value = lsm_slice(ref->data, ref->len);
	r->p = p;
	r->left--;
	w->head = (size_t)(p - base) - w->from;
	w->ref++;
	return true;
}

int batch_walk_next(struct batch_walk *w, struct batch_op *op)
{
	struct batch_reader *r = &w->reader;
	int err;

	if (!r->left)
		return LSM_END;
	w->from = (size_t)(r->p - w->batch->rep.data);
	if (take_ref(w, op))
		return 0;
	err = batch_reader_next(r, op);
	w->head = (size_t)(r->p - w->batch->rep.data) - w->from;
	if (!err && op->kind == KIND_PUT)
		w->head -= op->value.len;
	return err;
}

static int op_to_text(const struct batch_op *op, struct buf *out)
{
	static const char *const verbs[] = {
		[KIND_DELETE] = "delete",
		[KIND_PUT] = "put",
		[KIND_BLOB] = "blob",
		[KIND_RANGE_DELETE] = "delete-range",
	};
	int err;

	err = buf_printf(out, "; %s ", verbs[op->kind]);
	if (!err)
		err = buf_append_escaped(out, op->key);
	if (err || op->kind == KIND_DELETE)
		return err;
	if (op->kind != KIND_RANGE_DELETE)
		return buf_printf(out, " (%zu bytes)", op->value.len);
	err = buf_printf(out, " to ");
	if (!err)
		err = buf_append_escaped(out, op->value);
	return err;
}

int batch_to_text(struct lsm_slice rep, struct buf *out)
{
	struct batch_reader r;
	struct batch_op op;
	int err;

	err = batch_reader_init(&r, rep);
	if (err)
		return err;
	err = buf_printf(out, "seq %llu count %u", (unsigned long long)r.seq,
			 r.left);
	while (!err) {
		err = batch_reader_next(&r, &op);
		if (!err)
			err = op_to_text(&op, out);
	}
	return err == LSM_END ? 0 : err;
}
