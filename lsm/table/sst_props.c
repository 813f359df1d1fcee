/* SPDX-License-Identifier: MIT */
/*
 * sst_props.c - reading the small parts of a table: footer, metaindex,
 * properties, range tombstones.
 *
 * Called while a table is opened or verified; one thread. Everything read is
 * checked and, when wrong, reported once.
 */
#include "lsm/table/sst_reader.h"

#include <stdlib.h>

int sst_footer_read(struct sst_reader *r, struct sst_footer *f)
{
	uint8_t footer[SST_FOOTER_BYTES];
	uint64_t at;
	int err = 0;

	if (r->file_bytes < SST_FOOTER_BYTES)
		return sst_block_corrupt(r, 0, "file is too short");
	at = r->file_bytes - SST_FOOTER_BYTES;
	if (r->tail)
		memcpy(footer, r->tail + (at - r->tail_offset), sizeof(footer));
	else
		err = env_object_read(r->object, at, footer, sizeof(footer));
	if (err == -EUCLEAN)
		return sst_block_corrupt(r, at, "file ends early");
	if (err)
		return err;
	return sst_footer_decode(f, footer, at, r->number, r->log, r->name);
}

/* Calls fn for each entry of a small block until it returns non-zero. When
 * that is -EUCLEAN, it is reported as what. */
static int
each_entry(struct sst_reader *r, const struct sst_handle *h, const char *what,
	   int (*fn)(void *arg, struct lsm_slice key, struct lsm_slice value),
	   void *arg)
{
	struct block_cursor c = {0};
	struct block b;
	uint8_t *data = NULL;
	size_t len;
	int err = sst_block_read_meta(r, h, &data, &len), at;

	if (err)
		return err;
	if (!block_init(&b, data, len)) {
		err = sst_block_corrupt(r, h->offset,
					"block has an impossible head");
		goto out;
	}
	block_cursor_set(&c, &b);
	for (at = block_cursor_first(&c); at > 0; at = block_cursor_next(&c)) {
		err = fn(arg, block_cursor_key(&c), c.value);
		if (err == -EUCLEAN)
			err = sst_block_corrupt(r, h->offset, what);
		if (err)
			goto out;
	}
	if (at == -EUCLEAN)
		err = sst_block_corrupt(r, h->offset,
					"entry cannot be decoded");
	else if (at < 0)
		err = at;
out:
	block_cursor_release(&c);
	free(data);
	return err;
}

/* ---- metaindex ------------------------------------------------------------
 */

struct find_part {
	struct lsm_slice name;
	uint64_t limit;
	struct sst_handle *out;
};

static int match_part(void *arg, struct lsm_slice key, struct lsm_slice value)
{
	struct find_part *f = arg;

	if (!slice_eq(key, f->name))
		return 0;
	return sst_handle_decode(f->out, value, f->limit) ? 1 : -EUCLEAN;
}

int sst_metaindex_find(struct sst_reader *r, const struct sst_footer *f,
		       const char *name, struct sst_handle *h)
{
	struct sst_handle meta = {.offset = f->metaindex_offset,
				  .bytes = f->metaindex_bytes};
	struct find_part arg = {slice_str(name),
				r->file_bytes - SST_FOOTER_BYTES, h};

	return each_entry(r, &meta, "metaindex is wrong", match_part, &arg);
}

static int least_offset(void *arg, struct lsm_slice key, struct lsm_slice value)
{
	struct find_part *f = arg;
	struct sst_handle h;

	/* what it is when it is no handle, its user will say */
	if (sst_handle_decode(&h, value, f->limit) && h.offset < f->out->offset)
		f->out->offset = h.offset;
	return 0;
}

int sst_meta_offset(struct sst_reader *r, const struct sst_footer *f,
		    uint64_t *offset)
{
	struct sst_handle meta = {.offset = f->metaindex_offset,
				  .bytes = f->metaindex_bytes};
	struct sst_handle least = {.offset = f->index_offset};
	struct find_part arg = {.limit = r->file_bytes - SST_FOOTER_BYTES,
				.out = &least};
	int err =
		each_entry(r, &meta, "metaindex is wrong", least_offset, &arg);

	*offset = least.offset;
	return err;
}

/* ---- properties -----------------------------------------------------------
 */

struct want {
	const char *name;
	uint64_t *number; /* one of the two */
	struct buf *bytes;
	bool seen; /* or not needed */
};

struct wants {
	struct want *want;
	size_t count;
	struct sst_meta *meta; /* takes the references to blob files */
};

static int take_property(void *arg, struct lsm_slice key,
			 struct lsm_slice value)
{
	struct wants *w = arg;
	const uint8_t *p = value.data, *end = p + value.len;
	size_t i;

	if (slice_eq(key, slice_str(SST_PROP_BLOB_REFS)))
		return w->meta->blob_count
			       ? -EUCLEAN
			       : sst_meta_decode_blobs(w->meta, value);
	for (i = 0; i < w->count; i++) {
		struct want *x = &w->want[i];

		if (!slice_eq(key, slice_str(x->name)))
			continue;
		x->seen = true;
		if (x->number)
			return get_varint64(p, end, x->number) == end
				       ? 0
				       : -EUCLEAN;
		if (value.len > LSM_KEY_MAX)
			return -EUCLEAN;
		buf_clear(x->bytes);
		return buf_append(x->bytes, value.data, value.len);
	}
	return 0; /* of a later version */
}

int sst_properties_read(struct sst_reader *r, const struct sst_handle *h)
{
	struct sst_properties *p = &r->props;
	struct sst_meta *m = &p->meta;
	uint64_t exclusive = 0;
	struct want want[] = {
		{SST_PROP_CREATED, &p->created, NULL, false},
		{SST_PROP_DATA_BLOCKS, &p->data_blocks, NULL, false},
		{SST_PROP_DATA_BYTES, &p->data_bytes, NULL, false},
		{SST_PROP_DELETIONS, &m->deletions, NULL, false},
		{SST_PROP_ENTRIES, &m->entries, NULL, false},
		{SST_PROP_LARGEST, NULL, &m->largest, false},
		{SST_PROP_LARGEST_EXCLUSIVE, &exclusive, NULL, false},
		{SST_PROP_MAX_SEQ, &m->max_seq, NULL, false},
		{SST_PROP_MIN_SEQ, &m->min_seq, NULL, false},
		{SST_PROP_PREFIX_BYTES, &p->prefix_bytes, NULL, true},
		{SST_PROP_RANGE_DELETIONS, &m->range_deletions, NULL, false},
		{SST_PROP_RAW_BLOCKS, &p->raw_blocks, NULL, false},
		{SST_PROP_RAW_BYTES, &m->raw_bytes, NULL, false},
		{SST_PROP_SMALLEST, NULL, &m->smallest, false},
	};
	struct wants wants = {want, sizeof(want) / sizeof(*want), m};
	int err =
		each_entry(r, h, "properties are wrong", take_property, &wants);
	size_t i;

	if (err)
		return err;
	for (i = 0; i < wants.count; i++)
		if (!want[i].seen)
			return sst_block_corrupt(r, h->offset,
						 "a property is missing");
	if (p->data_bytes > r->file_bytes || m->max_seq > SEQ_MAX ||
	    m->min_seq > m->max_seq || p->prefix_bytes > SST_PREFIX_MAX)
		return sst_block_corrupt(r, h->offset,
					 "properties are impossible");
	m->largest_exclusive = exclusive != 0;
	m->number = r->number;
	m->file_bytes = r->file_bytes;
	return 0;
}

/* ---- range tombstones -----------------------------------------------------
 */

struct range_sizes {
	size_t frags, seqs, key_bytes;
	struct frag *frag; /* second pass: what comes next */
	uint64_t *seq;
	uint8_t *key;
	struct lsm_slice last_end;
};

/* Of one tombstone fragment; the seqs are where they lie, 8 bytes each. */
static bool decode_range(struct lsm_slice value, struct lsm_slice *end,
			 uint32_t *count, const uint8_t **seqs)
{
	const uint8_t *p = value.data, *limit = p + value.len;

	p = get_slice(p, limit, end);
	if (p)
		p = get_varint32(p, limit, count);
	if (!p || !*count || (uint64_t)*count * 8 != (uint64_t)(limit - p))
		return false;
	*seqs = p;
	return end->len <= LSM_KEY_MAX;
}

static int measure_range(void *arg, struct lsm_slice key,
			 struct lsm_slice value)
{
	struct range_sizes *s = arg;
	struct lsm_slice end;
	const uint8_t *seqs;
	uint32_t count;

	if (!decode_range(value, &end, &count, &seqs))
		return -EUCLEAN;
	s->frags++;
	s->seqs += count;
	s->key_bytes += key.len + end.len;
	return 0;
}

static struct lsm_slice copy_key(struct range_sizes *s, struct lsm_slice k)
{
	struct lsm_slice copy = lsm_slice(s->key, k.len);

	if (k.len)
		memcpy(s->key, k.data, k.len);
	s->key += k.len;
	return copy;
}

static int take_range(void *arg, struct lsm_slice key, struct lsm_slice value)
{
	struct range_sizes *s = arg;
	struct frag *f = s->frag++;
	struct lsm_slice end;
	const uint8_t *seqs;
	uint32_t i;

	if (!decode_range(value, &end, &f->seq_count, &seqs) || !key.len ||
	    slice_cmp(key, end) >= 0 || slice_cmp(key, s->last_end) < 0)
		return -EUCLEAN;
	f->start = copy_key(s, key);
	f->end = s->last_end = copy_key(s, end);
	f->seqs = s->seq;
	for (i = 0; i < f->seq_count; i++) {
		*s->seq = get_le64(seqs + 8 * (size_t)i);
		if (*s->seq > SEQ_MAX || (i && *s->seq >= s->seq[-1]))
			return -EUCLEAN;
		s->seq++;
	}
	return 0;
}

int sst_ranges_read(struct sst_reader *r, const struct sst_handle *h)
{
	static const char wrong[] = "range tombstones are wrong";
	struct range_sizes s = {.last_end = {"", 0}};
	struct frags *f = &r->frags;
	uint64_t *number;
	int err = each_entry(r, h, wrong, measure_range, &s);

	if (err)
		return err;
	if (s.frags > UINT32_MAX)
		return sst_block_corrupt(r, h->offset, wrong);
	f->memory_bytes = s.frags * sizeof(*f->frag) +
			  frags_number_bytes(s.frags) +
			  s.seqs * sizeof(uint64_t) + s.key_bytes;
	f->memory = malloc(f->memory_bytes ? f->memory_bytes : 1);
	if (!f->memory)
		return -ENOMEM;
	f->frag = f->memory;
	f->count = s.frags;
	s.frag = f->frag;
	number = (uint64_t *)(f->frag + s.frags);
	s.seq = number + frags_number_bytes(s.frags) / sizeof(*number);
	s.key = (uint8_t *)(s.seq + s.seqs);
	err = each_entry(r, h, wrong, take_range, &s);
	if (!err)
		frags_number(f, number);
	return err;
}
