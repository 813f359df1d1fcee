/* SPDX-License-Identifier: MIT */
/*
 * sst_dump.c - a table in words, one line an object.
 *
 * One thread; opens the table for itself, with a cache of its own.
 */
#include <stdlib.h>

#include "lsm/base/file_name.h"
#include "lsm/table/blob_format.h"
#include "lsm/table/sst_reader.h"

/* Values are shown up to here. */
#define VALUE_SHOWN 64

struct dump {
	int (*fn)(void *arg, const char *line);
	void *arg;
	struct buf line;
};

static int say(struct dump *d)
{
	int r = buf_append_u8(&d->line, 0);

	if (!r)
		r = d->fn(d->arg, (const char *)d->line.data);
	buf_clear(&d->line);
	return r;
}

static const char *kind_name(enum entry_kind kind)
{
	switch (kind) {
	case KIND_DELETE:
		return "delete";
	case KIND_PUT:
		return "put";
	case KIND_BLOB:
		return "blob";
	case KIND_RANGE_DELETE:
		return "delete_range";
	}
	return "unknown";
}

static int dump_number(struct dump *d, const char *name, uint64_t v)
{
	int err = buf_printf(&d->line, "%s %llu", name, (unsigned long long)v);

	return err ? err : say(d);
}

static int dump_key(struct dump *d, const char *name, const struct buf *key,
		    const char *after)
{
	int err = buf_printf(&d->line, "%s ", name);

	if (!err)
		err = buf_append_escaped(&d->line, buf_slice(key));
	if (!err)
		err = buf_printf(&d->line, "%s", after);
	return err ? err : say(d);
}

static int dump_blob_refs(struct dump *d, const struct sst_meta *m)
{
	int err = 0;

	for (size_t i = 0; i < m->blob_count && !err; i++) {
		err = buf_printf(&d->line, "blob_ref %llu.blob %llu bytes",
				 (unsigned long long)m->blobs[i].file,
				 (unsigned long long)m->blobs[i].bytes);
		if (!err)
			err = say(d);
	}
	return err;
}

static int dump_properties(struct dump *d, struct sst_reader *r)
{
	const struct sst_properties *p = &r->props;
	const struct sst_meta *m = &p->meta;
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{"table", m->number},
		{"format", SST_FORMAT},
		{"file_bytes", m->file_bytes},
		{SST_PROP_CREATED, p->created},
		{SST_PROP_ENTRIES, m->entries},
		{SST_PROP_DELETIONS, m->deletions},
		{SST_PROP_RANGE_DELETIONS, m->range_deletions},
		{SST_PROP_RAW_BYTES, m->raw_bytes},
		{SST_PROP_DATA_BYTES, p->data_bytes},
		{SST_PROP_DATA_BLOCKS, p->data_blocks},
		{SST_PROP_RAW_BLOCKS, p->raw_blocks},
		{SST_PROP_MIN_SEQ, m->min_seq},
		{SST_PROP_MAX_SEQ, m->max_seq},
		{"index_memory_bytes", r->index.memory_bytes},
		{"filter_bytes",
		 (uint64_t)r->filter.line_count * FILTER_LINE_BYTES},
		{"filter_probes", r->filter.probes},
		{SST_PROP_PREFIX_BYTES, p->prefix_bytes},
	};
	size_t i;
	int err = 0;

	for (i = 0; i < sizeof(numbers) / sizeof(*numbers) && !err; i++)
		err = dump_number(d, numbers[i].name, numbers[i].value);
	if (!err)
		err = dump_key(d, SST_PROP_SMALLEST, &m->smallest, "");
	if (!err)
		err = dump_key(d, SST_PROP_LARGEST, &m->largest,
			       m->largest_exclusive ? " (exclusive)" : "");
	return err ? err : dump_blob_refs(d, m);
}

static int dump_ranges(struct dump *d, struct sst_reader *r)
{
	size_t i;
	uint32_t k;
	int err = 0;

	for (i = 0; i < r->frags.count && !err; i++) {
		const struct frag *f = &r->frags.frag[i];

		err = buf_printf(&d->line, "%s ", kind_name(KIND_RANGE_DELETE));
		if (!err)
			err = buf_append_escaped(&d->line, f->start);
		if (!err)
			err = buf_printf(&d->line, " .. ");
		if (!err)
			err = buf_append_escaped(&d->line, f->end);
		for (k = 0; k < f->seq_count && !err; k++)
			err = buf_printf(&d->line, "%s%llu", k ? "," : " @",
					 (unsigned long long)f->seqs[k]);
		if (!err)
			err = say(d);
	}
	return err;
}

static int dump_handle(struct dump *d, struct lsm_slice value)
{
	struct blob_handle h;

	if (!blob_handle_decode(&h, value))
		return buf_printf(&d->line, " malformed");
	return buf_printf(&d->line, " %u bytes in %llu.blob at %llu+%u#%u %s%s",
			  h.len, (unsigned long long)h.file,
			  (unsigned long long)h.offset, h.bytes, h.index,
			  h.type ? "lz4" : "raw", h.shared ? " shared" : "");
}

static int dump_entry(struct dump *d, const struct iter *it)
{
	struct lsm_slice shown = it->value;
	int err = buf_append_escaped(&d->line, it->key);

	if (shown.len > VALUE_SHOWN)
		shown.len = VALUE_SHOWN;
	if (!err)
		err = buf_printf(&d->line, " @%llu %s",
				 (unsigned long long)tag_seq(it->tag),
				 kind_name(tag_kind(it->tag)));
	if (!err && tag_kind(it->tag) == KIND_BLOB) {
		err = dump_handle(d, it->value);
	} else if (!err && it->value.len) {
		err = buf_printf(&d->line, " %zu bytes: ", it->value.len);
		if (!err)
			err = buf_append_escaped(&d->line, shown);
		if (!err && shown.len < it->value.len)
			err = buf_printf(&d->line, "...");
	}
	return err ? err : say(d);
}

static int dump_entries(struct dump *d, struct sst_reader *r)
{
	struct sst_iter_options o = {.readahead = true, .verify = true};
	struct iter *it = sst_reader_iter(r, &o);
	int err = 0;

	if (!it)
		return -ENOMEM;
	for (iter_first(it); it->valid && !err; iter_next(it))
		err = dump_entry(d, it);
	if (!err)
		err = it->err;
	iter_free(it);
	return err;
}

int sst_dump(struct env_dir *dir, const char *name, bool entries,
	     int (*fn)(void *arg, const char *line), void *arg)
{
	struct sst_reader_options o = {.verify_checksums = true};
	struct dump d = {.fn = fn, .arg = arg};
	struct sst_reader *r;
	uint64_t number;
	int err;

	if (file_name_parse(name, &number) != FILE_SST)
		return -EINVAL;
	o.cache = cache_new(1 << 20);
	if (!o.cache)
		return -ENOMEM;
	err = sst_reader_open(dir, name, number, &o, &r);
	if (!err) {
		err = dump_properties(&d, r);
		if (!err)
			err = dump_ranges(&d, r);
		if (!err && entries)
			err = dump_entries(&d, r);
		sst_reader_put(r);
	}
	cache_free(o.cache);
	buf_release(&d.line);
	return err;
}
