/* SPDX-License-Identifier: MIT */
/*
 * dump.c - lsm_dump_file(): what a file of a store holds, in words.
 *
 * Works on a directory without opening the store, so that a damaged one can be
 * looked into. Nothing is written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/db/db_impl.h"

#define CURRENT_BYTES_MAX 4096

typedef int (*line_fn)(void *arg, const char *line);
typedef int (*to_text_fn)(struct lsm_slice record, struct buf *out);

static int edit_to_text(struct lsm_slice record, struct buf *out)
{
	struct version_edit edit = {0};
	int err = version_edit_decode(&edit, record);

	if (!err)
		err = version_edit_to_text(&edit, out);
	version_edit_release(&edit);
	return err;
}

/* Calls fn for each line of text, without its newline. */
static int emit(struct buf *text, line_fn fn, void *arg)
{
	char *line, *end;
	int err = buf_append_u8(text, '\0');

	if (err)
		return err;
	for (line = (char *)text->data; *line && !err; line = end) {
		end = strchrnul(line, '\n');
		if (*end)
			*end++ = '\0';
		err = fn(arg, line);
	}
	return err;
}

static int dump_records(struct wal_reader *r, to_text_fn to_text, line_fn fn,
			void *arg)
{
	struct buf text = {0};
	struct lsm_slice record;
	int err;

	for (;;) {
		uint64_t offset = wal_reader_offset(r);

		err = wal_reader_next(r, &record);
		if (err)
			break;
		buf_clear(&text);
		err = buf_printf(&text, "%" PRIu64 ": ", offset);
		if (!err)
			err = to_text(record, &text);
		if (!err)
			err = emit(&text, fn, arg);
		if (err)
			break;
	}
	if (err == LSM_END) {
		buf_clear(&text);
		err = buf_printf(
			&text, "%" PRIu64 ": end%s", wal_reader_offset(r),
			wal_reader_torn(r) ? ", in an incomplete record" : "");
		if (!err)
			err = emit(&text, fn, arg);
	}
	buf_release(&text);
	return err;
}

static int dump_log(struct env_dir *dir, const char *name, uint64_t number,
		    to_text_fn to_text, line_fn fn, void *arg)
{
	struct wal_reader *r;
	int err = wal_reader_open(dir, name, number, NULL, &r);

	if (err == LSM_END)
		return fn(arg, "0: end, in an incomplete header");
	if (err)
		return err;
	err = dump_records(r, to_text, fn, arg);
	wal_reader_close(r);
	return err;
}

static int dump_current(struct env_dir *dir, line_fn fn, void *arg)
{
	struct buf text = {0};
	void *data;
	size_t len;
	int err = env_get_file(dir, "CURRENT", CURRENT_BYTES_MAX, &data, &len);

	if (err)
		return err;
	while (len && ((char *)data)[len - 1] == '\n')
		len--;
	err = buf_append_escaped(&text, lsm_slice(data, len));
	if (!err)
		err = emit(&text, fn, arg);
	free(data);
	buf_release(&text);
	return err;
}

static int dump_blob(struct env_dir *dir, const char *name, uint64_t number,
		     line_fn fn, void *arg)
{
	int direct, err = blob_dump(dir, name, fn, arg);

	if (err != -EUCLEAN)
		return err;
	/* damaged, unless logs know more of it */
	direct = dump_direct(dir, name, number, fn, arg);
	return direct == LSM_END ? err : direct;
}

int lsm_dump_file(struct lsm_env *env, const char *dir, const char *name,
		  int (*fn)(void *arg, const char *line), void *arg)
{
	enum file_kind kind;
	struct env_dir *d;
	uint64_t number;
	int err;

	if (!env)
		env = lsm_env_posix();
	err = env_dir_open(env, dir, ENV_DIR_READ_ONLY, &d);
	if (err)
		return err;
	kind = file_name_parse(name, &number);
	if (kind == FILE_SST)
		err = sst_dump(d, name, true, fn, arg);
	else if (kind == FILE_BLOB)
		err = dump_blob(d, name, number, fn, arg);
	else if (kind == FILE_WAL)
		err = dump_log(d, name, number, batch_to_text, fn, arg);
	else if (kind == FILE_MANIFEST)
		err = dump_log(d, name, number, edit_to_text, fn, arg);
	else if (kind == FILE_CURRENT)
		err = dump_current(d, fn, arg);
	else
		err = -EINVAL;
	env_dir_close(d);
	return err;
}
