/* SPDX-License-Identifier: MIT */
/*
 * bench_db.c - the store that a bench measures.
 *
 * A bench that fills starts from nothing, so it deletes what is there. It does
 * so only with the files of a store of the engine, and never with a filesystem:
 * a mistyped --db must not cost anybody their data.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/base/file_name.h"
#include "tools/bench.h"
#include "tools/cli.h"
#include "tools/store.h"

int bench_db_open(const struct bench_flags *f, bool create, struct lsm_db **out)
{
	struct lsm_options o;
	int err;

	store_engine_options(&o);
	o.no_create = !create;
	o.memory_bytes = f->cache_size + 2 * f->write_buffer_size;
	o.write_buffer_bytes = f->write_buffer_size;
	o.write_buffer_count = (unsigned)f->max_write_buffer_number;
	o.level_base_bytes = f->max_bytes_for_level_base;
	o.table_bytes = f->target_file_size_base;
	o.level0_compact_trigger =
		(unsigned)f->level0_file_num_compaction_trigger;
	o.block_bytes = (uint32_t)f->block_size;
	o.blob_bytes = (uint32_t)f->blob_bytes;
	o.blob_direct_bytes = (uint32_t)f->blob_direct_bytes;
	o.bloom_bits = f->bloom_bits ? (uint32_t)f->bloom_bits : UINT32_MAX;
	o.compression = f->compression;
	o.compaction_threads = (unsigned)f->compaction_threads;
	o.wal_sync_interval_ms = (uint32_t)f->wal_sync_interval_ms;
	o.no_background_compaction = f->disable_auto_compactions;
	o.event_fn = f->events ? bench_print_event : NULL;
	cli_log_hold();
	err = lsm_open(f->db, &o, out);
	store_release_log(err);
	if (err == -ENOENT && create)
		cli_error("%s: the directory it is to be in is missing", f->db);
	else if (err)
		store_error(f->db, err);
	return err;
}

/* Opens the store to see whether it is in use or is a filesystem. */
static int refuse_others(const char *path)
{
	struct store s;
	bool fs;
	int err = store_is_open(path, NULL) ? -EBUSY : 0;

	if (!err)
		err = store_open(path, 0, &s);
	if (err) {
		store_error(path, err);
		cli_error("%s: not destroyed; delete it or name another --db",
			  path);
		return err;
	}
	fs = s.fs != NULL;
	err = store_close(&s);
	if (fs) {
		cli_error("%s: holds a filesystem, which bench does not "
			  "destroy",
			  path);
		return -EEXIST;
	}
	return err;
}

static int unlink_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	uint64_t number;
	int err = 0;

	if (!dir)
		return -errno;
	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (file_name_parse(e->d_name, &number) == FILE_UNKNOWN)
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0)) {
			err = -errno;
			break;
		}
	}
	if (!err)
		err = -errno;
	closedir(dir);
	return err;
}

int bench_db_destroy(const char *path, bool ours)
{
	struct store_files files;
	int err = store_list_files(path, &files);

	if (err == -ENOENT)
		return 0;
	if (!err && (files.foreign || (files.files && !files.is_store))) {
		if (files.foreign)
			cli_error("%s: is not a store (there is '%s'): left "
				  "alone",
				  path, files.foreign_name);
		else
			cli_error("%s: is not a store: left alone", path);
		return -ENOTEMPTY;
	}
	if (!err && !files.files)
		return 0;
	if (!err && !ours) {
		err = refuse_others(path);
		if (err)
			return err;
	}
	if (!err)
		err = unlink_all(path);
	if (err)
		cli_error("%s: cannot be emptied: %s", path, lsm_strerror(err));
	return err;
}
