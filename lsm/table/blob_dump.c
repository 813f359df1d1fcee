/* SPDX-License-Identifier: MIT */
/*
 * blob_dump.c - a blob file in words: what it says of itself, then a line for
 * each value. One thread; a cache of its own.
 */
#include <errno.h>
#include <inttypes.h>

#include "lsm/base/file_name.h"
#include "lsm/table/blob_reader.h"

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

static int dump_value(void *arg, const struct blob_handle *h,
		      struct lsm_slice key, uint64_t seq,
		      struct lsm_slice value)
{
	struct lsm_slice shown = value;
	struct dump *d = arg;
	int err = buf_printf(&d->line, "%" PRIu64 "+%u#%u %s ", h->offset,
			     h->bytes, h->index, h->type ? "lz4" : "raw");

	if (shown.len > VALUE_SHOWN)
		shown.len = VALUE_SHOWN;
	if (!err)
		err = buf_append_escaped(&d->line, key);
	if (!err)
		err = buf_printf(&d->line, " @%" PRIu64 " %zu bytes: ", seq,
				 value.len);
	if (!err)
		err = buf_append_escaped(&d->line, shown);
	if (!err && shown.len < value.len)
		err = buf_printf(&d->line, "...");
	return err ? err : say(d);
}

static int dump_meta(struct dump *d, const struct blob_reader *r)
{
	struct blob_meta m;
	int err;

	blob_reader_meta(r, &m);
	err = buf_printf(&d->line,
			 "blob %" PRIu64 " format %u file_bytes %" PRIu64
			 " values %" PRIu64 " value_bytes %" PRIu64,
			 m.number, BLOB_FORMAT, m.file_bytes, m.values,
			 m.value_bytes);
	return err ? err : say(d);
}

int blob_dump(struct env_dir *dir, const char *name,
	      int (*fn)(void *arg, const char *line), void *arg)
{
	struct dump d = {.fn = fn, .arg = arg};
	struct cache *cache;
	struct blob_reader *r;
	uint64_t number;
	int err;

	if (file_name_parse(name, &number) != FILE_BLOB)
		return -EINVAL;
	cache = cache_new(1 << 20);
	if (!cache)
		return -ENOMEM;
	err = blob_reader_open(dir, name, number, cache, NULL, &r);
	if (!err) {
		err = dump_meta(&d, r);
		if (!err)
			err = blob_reader_each(r, dump_value, &d);
		blob_reader_put(r);
	}
	cache_free(cache);
	buf_release(&d.line);
	return err;
}
