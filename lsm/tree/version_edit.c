/* SPDX-License-Identifier: MIT */
/*
 * version_edit.c - one change of the tree as bytes: a record of the manifest.
 *
 *   record    = fields, to its end
 *   field     = varint tag | varint length | payload of that length
 *
 *   tag  name           payload
 *     2  header         u32 format | u64 compat | u64 incompat | 16 bytes uuid
 *     4  next file      varint: file numbers at or above it were never used
 *     6  log number     varint: older logs are not needed
 *     8  last sequence  varint
 *    10  delete table   varint level | varint number
 *    12  add table      table, below
 *    14  add snapshot   varint sequence | name
 *    16  del snapshot   name
 *    18  add blob       varint number | varint file bytes | varint values |
 *                       varint value bytes | varint live bytes
 *    20  blob live      varint number | varint bytes that were live and are no
 *                       more | varint bytes that are live and were not
 *    22  del blob       varint number: without live bytes
 *
 *   table     = varint level | varint number | varint file bytes |
 *               varint flags (1: the largest bound is exclusive) |
 *               varint length, smallest | varint length, largest |
 *               varint min sequence | varint max sequence | varint entries |
 *               varint deletions | varint range deletions | varint raw bytes |
 *               fields, to the end of the payload
 *   table field 2  blob references: for each file, ascending, varint number |
 *                  varint bytes of values
 *
 * A reader that does not know a tag skips the field when the tag is odd and
 * refuses the record (-EPROTONOSUPPORT) when it is even: so a new odd tag is
 * one that an old program may lose. A change that no single field shows sets
 * an incompat bit in the header. The first record of a manifest, and only it,
 * has a header. The order of fields does not matter, save that tables deleted
 * go before tables added when both name one table: that is a move; and blob
 * files are added before their live bytes change, and deleted after.
 *
 * Plain functions over the caller's memory; any thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/base/coding.h"
#include "lsm/tree/version.h"

enum edit_tag {
	TAG_HEADER = 2,
	TAG_NEXT_FILE = 4,
	TAG_LOG_NUMBER = 6,
	TAG_LAST_SEQ = 8,
	TAG_DELETE_TABLE = 10,
	TAG_ADD_TABLE = 12,
	TAG_ADD_SNAPSHOT = 14,
	TAG_DELETE_SNAPSHOT = 16,
	TAG_ADD_BLOB = 18,
	TAG_BLOB_LIVE = 20,
	TAG_DELETE_BLOB = 22,
};

#define TABLE_FIELD_BLOBS 2

#define TABLE_FLAG_EXCLUSIVE 1u
#define HEADER_BYTES         (4 + 8 + 8 + UUID_BYTES)
#define SNAPSHOT_NAME_MAX    255

static bool tag_skippable(uint64_t tag)
{
	return tag & 1;
}

void version_edit_release(struct version_edit *e)
{
	size_t i;

	for (i = 0; i < e->added_count; i++)
		sst_meta_release(&e->added[i].meta);
	for (i = 0; i < e->snapshot_count; i++)
		buf_release(&e->snapshots[i].name);
	free(e->added);
	free(e->deleted);
	free(e->snapshots);
	free(e->blobs);
	memset(e, 0, sizeof(*e));
}

/* Room for one more element of size bytes. */
static int grow(void **array, size_t count, size_t *cap, size_t size)
{
	size_t n = *cap ? *cap * 2 : 8;
	void *p;

	if (count < *cap)
		return 0;
	p = reallocarray(*array, n, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = n;
	return 0;
}

int version_edit_add(struct version_edit *e, unsigned level,
		     struct sst_meta *meta)
{
	int err = grow((void **)&e->added, e->added_count, &e->added_cap,
		       sizeof(*e->added));

	if (err)
		return err;
	e->added[e->added_count].level = level;
	e->added[e->added_count].meta = *meta;
	e->added_count++;
	memset(meta, 0, sizeof(*meta));
	return 0;
}

int version_edit_delete(struct version_edit *e, unsigned level, uint64_t number)
{
	int err = grow((void **)&e->deleted, e->deleted_count, &e->deleted_cap,
		       sizeof(*e->deleted));

	if (err)
		return err;
	e->deleted[e->deleted_count].level = level;
	e->deleted[e->deleted_count].number = number;
	e->deleted_count++;
	return 0;
}

static int edit_snapshot(struct version_edit *e, bool add,
			 struct lsm_slice name, uint64_t seq)
{
	struct edit_snapshot *s;
	int err;

	err = grow((void **)&e->snapshots, e->snapshot_count, &e->snapshot_cap,
		   sizeof(*e->snapshots));
	if (err)
		return err;
	s = &e->snapshots[e->snapshot_count];
	memset(s, 0, sizeof(*s));
	s->add = add;
	s->seq = seq;
	err = buf_append(&s->name, name.data, name.len);
	if (err) {
		buf_release(&s->name);
		return err;
	}
	e->snapshot_count++;
	return 0;
}

int version_edit_snapshot(struct version_edit *e, bool add, const char *name,
			  uint64_t seq)
{
	size_t len = strlen(name);

	if (!len || len > SNAPSHOT_NAME_MAX)
		return -EINVAL;
	return edit_snapshot(e, add, lsm_slice(name, len), add ? seq : 0);
}

int version_edit_blob(struct version_edit *e, const struct edit_blob *b)
{
	int err = grow((void **)&e->blobs, e->blob_count, &e->blob_cap,
		       sizeof(*e->blobs));

	if (!err)
		e->blobs[e->blob_count++] = *b;
	return err;
}

/* ---- writing ------------------------------------------------------------ */

static int put_field(struct buf *out, enum edit_tag tag, struct lsm_slice v)
{
	int err = buf_append_varint(out, tag);

	return err ? err : buf_append_slice(out, v);
}

static int put_number(struct buf *out, enum edit_tag tag, uint64_t n)
{
	uint8_t p[VARINT64_MAX];

	return put_field(out, tag, lsm_slice(p, put_varint64(p, n) - p));
}

static int put_header(struct buf *out, const struct edit_header *h)
{
	uint8_t p[HEADER_BYTES];

	put_le32(p, h->format);
	put_le64(p + 4, h->compat);
	put_le64(p + 12, h->incompat);
	memcpy(p + 20, h->uuid, UUID_BYTES);
	return put_field(out, TAG_HEADER, lsm_slice(p, sizeof(p)));
}

static int put_blob_refs(struct buf *out, const struct sst_meta *m)
{
	struct buf refs = {0};
	int err = sst_meta_encode_blobs(m, &refs);

	if (!err)
		err = buf_append_varint(out, TABLE_FIELD_BLOBS);
	if (!err)
		err = buf_append_slice(out, buf_slice(&refs));
	buf_release(&refs);
	return err;
}

static int put_table(struct buf *out, struct buf *tmp,
		     const struct edit_table *t)
{
	const struct sst_meta *m = &t->meta;
	const uint64_t before[] = {
		t->level, m->number, m->file_bytes,
		m->largest_exclusive ? TABLE_FLAG_EXCLUSIVE : 0};
	const uint64_t after[] = {m->min_seq,         m->max_seq,
				  m->entries,         m->deletions,
				  m->range_deletions, m->raw_bytes};
	size_t i;
	int err = 0;

	buf_clear(tmp);
	for (i = 0; !err && i < sizeof(before) / sizeof(*before); i++)
		err = buf_append_varint(tmp, before[i]);
	if (!err)
		err = buf_append_slice(tmp, buf_slice(&m->smallest));
	if (!err)
		err = buf_append_slice(tmp, buf_slice(&m->largest));
	for (i = 0; !err && i < sizeof(after) / sizeof(*after); i++)
		err = buf_append_varint(tmp, after[i]);
	if (!err && m->blob_count)
		err = put_blob_refs(tmp, m);
	return err ? err : put_field(out, TAG_ADD_TABLE, buf_slice(tmp));
}

static int put_blob(struct buf *out, const struct edit_blob *b)
{
	uint8_t buf[5 * VARINT64_MAX], *p = put_varint64(buf, b->meta.number);
	enum edit_tag tag = TAG_DELETE_BLOB;

	if (b->what == EDIT_BLOB_ADD) {
		tag = TAG_ADD_BLOB;
		p = put_varint64(p, b->meta.file_bytes);
		p = put_varint64(p, b->meta.values);
		p = put_varint64(p, b->meta.value_bytes);
		p = put_varint64(p, b->live_bytes);
	} else if (b->what == EDIT_BLOB_LIVE) {
		tag = TAG_BLOB_LIVE;
		p = put_varint64(p, b->less);
		p = put_varint64(p, b->more);
	}
	return put_field(out, tag, lsm_slice(buf, p - buf));
}

static int put_deleted(struct buf *out, const struct edit_ref *d)
{
	uint8_t p[2 * VARINT64_MAX];
	uint8_t *end = put_varint64(put_varint64(p, d->level), d->number);

	return put_field(out, TAG_DELETE_TABLE, lsm_slice(p, end - p));
}

static int put_snapshot(struct buf *out, struct buf *tmp,
			const struct edit_snapshot *s)
{
	int err;

	if (!s->add)
		return put_field(out, TAG_DELETE_SNAPSHOT, buf_slice(&s->name));
	buf_clear(tmp);
	err = buf_append_varint(tmp, s->seq);
	if (!err)
		err = buf_append(tmp, s->name.data, s->name.len);
	return err ? err : put_field(out, TAG_ADD_SNAPSHOT, buf_slice(tmp));
}

int version_edit_encode(const struct version_edit *e, struct buf *out)
{
	struct buf tmp = {0};
	size_t i;
	int err = 0;

	if (e->has_header)
		err = put_header(out, &e->header);
	if (!err && e->has_next_file)
		err = put_number(out, TAG_NEXT_FILE, e->next_file);
	if (!err && e->has_log_number)
		err = put_number(out, TAG_LOG_NUMBER, e->log_number);
	if (!err && e->has_last_seq)
		err = put_number(out, TAG_LAST_SEQ, e->last_seq);
	for (i = 0; !err && i < e->deleted_count; i++)
		err = put_deleted(out, &e->deleted[i]);
	for (i = 0; !err && i < e->added_count; i++)
		err = put_table(out, &tmp, &e->added[i]);
	for (i = 0; !err && i < e->snapshot_count; i++)
		err = put_snapshot(out, &tmp, &e->snapshots[i]);
	for (i = 0; !err && i < e->blob_count; i++)
		err = put_blob(out, &e->blobs[i]);
	buf_release(&tmp);
	return err;
}

/* ---- reading ------------------------------------------------------------ */

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

static uint64_t take_varint(struct cursor *c)
{
	uint64_t v = 0;
	const uint8_t *p = c->bad ? NULL : get_varint64(c->p, c->end, &v);

	if (!p) {
		c->bad = true;
		return 0;
	}
	c->p = p;
	return v;
}

static struct lsm_slice take_slice(struct cursor *c)
{
	struct lsm_slice s = {NULL, 0};
	const uint8_t *p = c->bad ? NULL : get_slice(c->p, c->end, &s);

	if (!p) {
		c->bad = true;
		return lsm_slice(NULL, 0);
	}
	c->p = p;
	return s;
}

static struct cursor cursor_of(struct lsm_slice s)
{
	struct cursor c = {s.data, (const uint8_t *)s.data + s.len, false};

	if (!s.len)
		c.end = c.p;
	return c;
}

static int take_key(struct cursor *c, struct buf *out)
{
	struct lsm_slice s = take_slice(c);

	if (c->bad || !s.len || s.len > LSM_KEY_MAX)
		return -EUCLEAN;
	return buf_append(out, s.data, s.len);
}

/* What a writer of ours never writes, and what would break those who use it. */
static bool table_sane(const struct edit_table *t)
{
	const struct sst_meta *m = &t->meta;
	int c = slice_cmp(buf_slice(&m->smallest), buf_slice(&m->largest));

	return t->level < LSM_LEVELS && m->number && c <= 0 &&
	       (c < 0 || !m->largest_exclusive) && m->min_seq <= m->max_seq &&
	       m->max_seq <= SEQ_MAX && m->deletions <= m->entries;
}

static int read_table_fields(struct cursor *c, struct sst_meta *m)
{
	while (!c->bad && c->p < c->end) {
		uint64_t tag = take_varint(c);
		struct lsm_slice v = take_slice(c);
		int err;

		if (c->bad)
			break;
		if (tag == TABLE_FIELD_BLOBS) {
			err = m->blob_count ? -EUCLEAN
					    : sst_meta_decode_blobs(m, v);
			if (err)
				return err;
		} else if (!tag_skippable(tag)) {
			return -EPROTONOSUPPORT;
		}
	}
	return c->bad ? -EUCLEAN : 0;
}

static int read_table(struct version_edit *e, struct cursor *c)
{
	struct edit_table t = {0};
	struct sst_meta *m = &t.meta;
	uint64_t level = take_varint(c), flags;
	int err;

	t.level = level < LSM_LEVELS ? (unsigned)level : LSM_LEVELS;
	m->number = take_varint(c);
	m->file_bytes = take_varint(c);
	flags = take_varint(c);
	m->largest_exclusive = flags & TABLE_FLAG_EXCLUSIVE;
	err = take_key(c, &m->smallest);
	if (!err)
		err = take_key(c, &m->largest);
	if (err)
		goto out;
	m->min_seq = take_varint(c);
	m->max_seq = take_varint(c);
	m->entries = take_varint(c);
	m->deletions = take_varint(c);
	m->range_deletions = take_varint(c);
	m->raw_bytes = take_varint(c);
	err = -EUCLEAN;
	if (c->bad || !table_sane(&t))
		goto out;
	err = -EPROTONOSUPPORT;
	if (flags & ~(uint64_t)TABLE_FLAG_EXCLUSIVE)
		goto out;
	err = read_table_fields(c, m);
	if (!err)
		err = version_edit_add(e, t.level, m);
out:
	sst_meta_release(m);
	return err;
}

static int read_deleted(struct version_edit *e, struct cursor *c)
{
	uint64_t level = take_varint(c), number = take_varint(c);

	if (c->bad || c->p != c->end || level >= LSM_LEVELS)
		return -EUCLEAN;
	return version_edit_delete(e, (unsigned)level, number);
}

static int read_header(struct version_edit *e, struct lsm_slice v)
{
	const uint8_t *p = v.data;

	if (v.len < 4)
		return -EUCLEAN;
	e->header.format = get_le32(p);
	if (e->header.format > MANIFEST_FORMAT)
		return -EPROTONOSUPPORT;
	if (v.len != HEADER_BYTES || !e->header.format)
		return -EUCLEAN;
	e->header.compat = get_le64(p + 4);
	e->header.incompat = get_le64(p + 12);
	memcpy(e->header.uuid, p + 20, UUID_BYTES);
	e->has_header = true;
	return 0;
}

static int read_snapshot(struct version_edit *e, bool add, struct cursor *c)
{
	uint64_t seq = add ? take_varint(c) : 0;
	struct lsm_slice name = lsm_slice(c->p, c->end - c->p);

	if (c->bad || !name.len || name.len > SNAPSHOT_NAME_MAX ||
	    seq > SEQ_MAX || memchr(name.data, 0, name.len))
		return -EUCLEAN;
	return edit_snapshot(e, add, name, seq);
}

static int read_number(struct cursor *c, bool *has, uint64_t *out)
{
	uint64_t v = take_varint(c);

	if (c->bad || c->p != c->end)
		return -EUCLEAN;
	*has = true;
	*out = v;
	return 0;
}

static int read_blob(struct version_edit *e, enum edit_blob_what what,
		     struct cursor *c)
{
	struct edit_blob b = {.what = what};

	b.meta.number = take_varint(c);
	if (what == EDIT_BLOB_ADD) {
		b.meta.file_bytes = take_varint(c);
		b.meta.values = take_varint(c);
		b.meta.value_bytes = take_varint(c);
		b.live_bytes = take_varint(c);
	} else if (what == EDIT_BLOB_LIVE) {
		b.less = take_varint(c);
		b.more = take_varint(c);
	}
	if (c->bad || c->p != c->end || !b.meta.number ||
	    b.meta.value_bytes > INT64_MAX || b.more > INT64_MAX ||
	    b.live_bytes > INT64_MAX)
		return -EUCLEAN;
	return version_edit_blob(e, &b);
}

static int read_field(struct version_edit *e, uint64_t tag, struct lsm_slice v)
{
	struct cursor c = cursor_of(v);
	int err;

	switch (tag) {
	case TAG_HEADER:
		return read_header(e, v);
	case TAG_NEXT_FILE:
		return read_number(&c, &e->has_next_file, &e->next_file);
	case TAG_LOG_NUMBER:
		return read_number(&c, &e->has_log_number, &e->log_number);
	case TAG_LAST_SEQ:
		err = read_number(&c, &e->has_last_seq, &e->last_seq);
		return !err && e->last_seq > SEQ_MAX ? -EUCLEAN : err;
	case TAG_DELETE_TABLE:
		return read_deleted(e, &c);
	case TAG_ADD_TABLE:
		return read_table(e, &c);
	case TAG_ADD_SNAPSHOT:
		return read_snapshot(e, true, &c);
	case TAG_DELETE_SNAPSHOT:
		return read_snapshot(e, false, &c);
	case TAG_ADD_BLOB:
		return read_blob(e, EDIT_BLOB_ADD, &c);
	case TAG_BLOB_LIVE:
		return read_blob(e, EDIT_BLOB_LIVE, &c);
	case TAG_DELETE_BLOB:
		return read_blob(e, EDIT_BLOB_DELETE, &c);
	default:
		return tag_skippable(tag) ? 0 : -EPROTONOSUPPORT;
	}
}

int version_edit_decode(struct version_edit *e, struct lsm_slice record)
{
	struct cursor c = cursor_of(record);
	int err = 0;

	while (!err && c.p < c.end) {
		uint64_t tag = take_varint(&c);
		struct lsm_slice v = take_slice(&c);

		err = c.bad ? -EUCLEAN : read_field(e, tag, v);
	}
	return err;
}
