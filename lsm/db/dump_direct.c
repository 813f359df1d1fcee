/* SPDX-License-Identifier: MIT */
/*
 * dump_direct.c - a blob file that bulk writes were filling, in words. It has
 * no index yet; what is in it is said by the logs beside it. One thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "lsm/db/db_impl.h"

/* Values are shown up to here. */
#define VALUE_SHOWN 64

struct dump {
	struct env_dir *dir;
	struct blob_reader *reader;
	struct cache *cache;
	uint64_t number;
	uint64_t *logs;
	size_t log_count, log_cap;
	uint64_t values;
	struct buf line;
	int (*fn)(void *arg, const char *line);
	void *arg;
};

static int say(struct dump *d)
{
	int err = buf_append_u8(&d->line, 0);

	if (!err)
		err = d->fn(d->arg, (const char *)d->line.data);
	buf_clear(&d->line);
	return err;
}

static int note_log(void *arg, const char *name, uint64_t bytes)
{
	struct dump *d = arg;
	uint64_t number;

	if (file_name_parse(name, &number) != FILE_WAL)
		return 0;
	if (d->log_count == d->log_cap) {
		size_t cap = d->log_cap ? 2 * d->log_cap : 16;
		uint64_t *p = reallocarray(d->logs, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->logs = p;
		d->log_cap = cap;
	}
	d->logs[d->log_count++] = number;
	return 0;
}

static int dump_value(struct dump *d, const struct blob_handle *h)
{
	struct cache_entry *e;
	struct lsm_slice value;
	int err = blob_reader_block(d->reader, h, true, &e);

	if (err == -EUCLEAN)
		return buf_printf(&d->line, "cannot be read");
	if (err)
		return err;
	err = blob_value(h, e, &value);
	if (!err && value.len > VALUE_SHOWN)
		value.len = VALUE_SHOWN;
	if (!err)
		err = buf_append_escaped(&d->line, value);
	cache_put(d->cache, e);
	if (!err && h->len > VALUE_SHOWN)
		err = buf_printf(&d->line, "...");
	return err;
}

static int dump_op(struct dump *d, const struct batch_op *op,
		   const struct blob_handle *h)
{
	int err = 0;

	if (!d->values++) {
		err = buf_printf(&d->line,
				 "blob %" PRIu64 " not sealed; values that "
				 "logs point to:",
				 d->number);
		if (!err)
			err = say(d);
	}
	if (!err)
		err = buf_printf(&d->line, "%" PRIu64 "+%u#%u %s ", h->offset,
				 h->bytes, h->index, h->type ? "lz4" : "raw");
	if (!err)
		err = buf_append_escaped(&d->line, op->key);
	if (!err)
		err = buf_printf(&d->line, " @%" PRIu64 " %u bytes: ", op->seq,
				 h->len);
	if (!err)
		err = dump_value(d, h);
	return err ? err : say(d);
}

static int dump_batch(struct dump *d, struct lsm_slice rep)
{
	struct batch_reader b;
	struct blob_handle h;
	struct batch_op op;
	int err = batch_reader_init(&b, rep);

	while (!err) {
		err = batch_reader_next(&b, &op);
		if (!err && op.kind == KIND_BLOB &&
		    blob_handle_decode(&h, op.value) && h.file == d->number)
			err = dump_op(d, &op, &h);
	}
	return err == LSM_END ? 0 : err;
}

/* A log that cannot be read is shown by dumping it. */
static int dump_log(struct dump *d, uint64_t number)
{
	struct wal_reader *w;
	struct lsm_slice rep;
	char name[FILE_NAME_MAX];
	int err, said = 0;

	file_name(name, FILE_WAL, number);
	err = wal_reader_open(d->dir, name, number, NULL, &w);
	if (err)
		return err == LSM_END || err == -EUCLEAN ? 0 : err;
	while (!said && !(err = wal_reader_next(w, &rep)))
		said = dump_batch(d, rep);
	wal_reader_close(w);
	if (said)
		return said == -EUCLEAN ? 0 : said;
	return err == LSM_END || err == -EUCLEAN ? 0 : err;
}

int dump_direct(struct env_dir *dir, const char *name, uint64_t number,
		int (*fn)(void *arg, const char *line), void *arg)
{
	struct dump d = {.dir = dir, .number = number, .fn = fn, .arg = arg};
	int err = env_dir_list(dir, note_log, &d);

	d.cache = cache_new(1 << 20);
	if (!err)
		err = d.cache ? blob_reader_open_unsealed(dir, name, number,
							  d.cache, NULL,
							  &d.reader)
			      : -ENOMEM;
	for (size_t i = 0; i < d.log_count && !err; i++)
		err = dump_log(&d, d.logs[i]);
	if (!err && !d.values)
		err = LSM_END;
	if (d.reader)
		blob_reader_put(d.reader);
	if (d.cache)
		cache_free(d.cache);
	buf_release(&d.line);
	free(d.logs);
	return err;
}
