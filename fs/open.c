/* SPDX-License-Identifier: MIT */
/*
 * open.c - opening and closing a filesystem. Not for two threads at once on
 * the same filesystem.
 */
#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/fs_impl.h"
#include "fs/recount.h"
#include "fs/writeback.h"

/* Half a millisecond, mostly. */
#define COUNT_MAX_DEFAULT 8192

#define COMMIT_SECONDS_DEFAULT 5
#define COMMIT_SECONDS_MAX     86400

/*
 * File data from this many bytes on is kept outside of the tree, so compactions
 * do not move it. Records are smaller, but for long targets of symbolic links
 * and large extended attributes, so what listing, looking up and checking read
 * stays dense; so do short files and tails, which cost little more in the tree
 * than their handles would.
 */
#define BLOB_BYTES_DEFAULT 1024
#define BLOB_FILE_MIN      ((uint64_t)8 << 20)
#define BLOB_FILE_MAX      ((uint64_t)256 << 20) /* the engine's default */

void fs_log(struct fs *fs, enum lsm_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!fs->log || level > fs->log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fs->log(fs->log_arg, level, line);
}

/* A store without a superblock: a filesystem is made in it when it is wholly
 * empty (also what an interrupted mkfs leaves). */
static int make_in_empty(struct fs *fs, const struct fs_options *options)
{
	struct fs_mkfs_options defaults = {
		.root_uid = geteuid(),
		.root_gid = getegid(),
		.compression = options->engine.compression,
	};
	int r = super_store_empty(fs->db);

	if (r < 0)
		return r;
	if (r == 0 || options->no_create || options->read_only) {
		fs_log(fs, LSM_LOG_ERROR,
		       "%s: a store, but without a filesystem in it", fs->path);
		return -EMEDIUMTYPE;
	}
	r = super_from_options(&defaults, &fs->sb);
	if (r)
		return r;
	fs_log(fs, LSM_LOG_INFO, "%s: making a new filesystem", fs->path);
	return super_make(fs->db, &fs->sb, defaults.root_uid, defaults.root_gid,
			  false);
}

/*
 * A blob file that is mostly dead is emptied before it is deleted, which takes
 * room for what lives in it: on a small disk, which may be nearly full, files
 * are small. 0: the engine's default.
 */
static uint64_t blob_file_bytes(const struct fs *fs)
{
	char *parent = NULL;
	struct statvfs v;
	uint64_t bytes = 0;
	int r = fs->os_disk ? statvfs(fs->path, &v) : -1;

	/* A store that is made now. */
	if (r && fs->os_disk && errno == ENOENT) {
		parent = strdup(fs->path);
		r = parent ? statvfs(dirname(parent), &v) : -1;
	}
	if (r == 0)
		bytes = (uint64_t)v.f_blocks * v.f_frsize / 64;
	free(parent);
	if (r || bytes >= BLOB_FILE_MAX)
		return 0;
	return bytes < BLOB_FILE_MIN ? BLOB_FILE_MIN : bytes;
}

static int open_store(struct fs *fs, const struct fs_options *options)
{
	struct lsm_options o = options->engine;
	unsigned seconds = options->commit_seconds;
	int r;

	if (seconds == 0)
		seconds = COMMIT_SECONDS_DEFAULT;
	if (seconds > COMMIT_SECONDS_MAX)
		seconds = COMMIT_SECONDS_MAX;
	o.wal_sync_interval_ms = seconds * 1000;
	o.read_only = options->read_only;
	o.no_create = options->no_create || options->read_only;
	o.error_if_exists = false;
	/* Listing a directory or the attributes of one inode asks only tables
	 * that hold some. */
	o.prefix_bytes = KEY_PREFIX;
	if (o.blob_bytes == 0)
		o.blob_bytes = BLOB_BYTES_DEFAULT;
	else if (o.blob_bytes == FS_BLOB_NONE)
		o.blob_bytes = 0;
	if (o.blob_file_bytes == 0)
		o.blob_file_bytes = blob_file_bytes(fs);
	/* Mapped pages count as the daemon's memory, and whoever mounts set
	 * its limit. */
	if (o.mmap == LSM_MMAP_DEFAULT)
		o.mmap = LSM_MMAP_OFF;
	r = lsm_open(fs->path, &o, &fs->db);
	if (r)
		return r;
	r = super_read(fs->db, &fs->sb);
	if (r == LSM_NOTFOUND)
		return make_in_empty(fs, options);
	if (r == -EPROTONOSUPPORT)
		fs_log(fs, LSM_LOG_ERROR,
		       "%s: made by a newer program (format or features "
		       "unknown here)",
		       fs->path);
	else if (r == -EUCLEAN)
		fs_log(fs, LSM_LOG_ERROR, "%s: the superblock is damaged",
		       fs->path);
	if (r)
		return r;
	if ((fs->sb.ro_compat & ~(uint64_t)SUPER_RO_KNOWN) &&
	    !options->read_only) {
		fs_log(fs, LSM_LOG_ERROR,
		       "%s: can only be mounted read-only by this program",
		       fs->path);
		return -EROFS;
	}
	if (options->engine.compression == LSM_COMPRESSION_DEFAULT &&
	    fs->sb.compression == LSM_COMPRESSION_NONE) {
		/* Known only now. Most stores have the engine's default. */
		o.compression = LSM_COMPRESSION_NONE;
		r = lsm_close(fs->db);
		fs->db = NULL;
		if (r)
			return r;
		return lsm_open(fs->path, &o, &fs->db);
	}
	return 0;
}

static int load_globals(struct fs *fs)
{
	struct lsm_pin pin = {0};
	struct key k;
	int r;

	r = lsm_get(fs->db, NULL, key_global(&k, KEY_GLOBAL_WATERMARK), &pin);
	if (r == 0)
		r = watermark_decode(lsm_slice(pin.data, pin.len),
				     &fs->ino_next);
	lsm_unpin(&pin);
	if (r == LSM_NOTFOUND || r == -EUCLEAN) {
		/* Without it a number could be given out twice: so numbers
		 * from here on are behind all that exist. */
		struct lsm_iter *it;

		fs_log(fs, LSM_LOG_ERROR, "the inode watermark is damaged");
		r = lsm_iter_new(fs->db, NULL, &it);
		if (r)
			return r;
		r = lsm_iter_last(it);
		if (r == 0) {
			struct key_parts p;

			fs->ino_next = FS_ROOT_INO + 1;
			if (key_decode(lsm_iter_key(it), &p) == 0 &&
			    p.ino >= fs->ino_next)
				fs->ino_next = p.ino + 1;
		}
		lsm_iter_free(it);
		if (r == LSM_END)
			r = -EUCLEAN;
	}
	if (r)
		return r;
	fs->ino_limit = fs->ino_next;
	return usage_load(fs);
}

static void fs_init(struct fs *fs, const struct fs_options *options)
{
	fs->read_only = options->read_only;
	fs->noatime = options->noatime;
	fs->strictatime = options->strictatime;
	fs->os_disk = options->engine.env == NULL ||
		      options->engine.env == lsm_env_posix();
	fs->log = options->engine.log;
	fs->log_arg = options->engine.log_arg;
	fs->log_level = options->engine.log_level;
	fs->count_max = options->count_max_blocks ? options->count_max_blocks
						  : COUNT_MAX_DEFAULT;
	mutex_init(&fs->rename_mutex);
	rwlock_init(&fs->check_lock);
	mutex_init(&fs->ino_mutex);
	mutex_init(&fs->flush_mutex);
	mutex_init(&fs->dirty_mutex);
	mutex_init(&fs->thread_mutex);
	cond_init(&fs->thread_cond);
}

static void fs_free(struct fs *fs)
{
	inode_cache_release(&fs->cache);
	usage_release(&fs->usage);
	cond_destroy(&fs->thread_cond);
	mutex_destroy(&fs->thread_mutex);
	mutex_destroy(&fs->dirty_mutex);
	mutex_destroy(&fs->flush_mutex);
	mutex_destroy(&fs->ino_mutex);
	rwlock_destroy(&fs->check_lock);
	mutex_destroy(&fs->rename_mutex);
	free(fs->path);
	free(fs);
}

int fs_open(const char *path, const struct fs_options *options, struct fs **out)
{
	static const struct fs_options defaults;
	struct fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	if (!options)
		options = &defaults;
	fs_init(fs, options);
	usage_init(&fs->usage);
	usage_set_engine(&fs->usage, &options->engine);
	r = inode_cache_init(&fs->cache);
	fs->path = strdup(path);
	if (r || !fs->path) {
		fs_free(fs);
		return -ENOMEM;
	}
	r = open_store(fs, options);
	if (r)
		goto fail;
	fs->block_bytes = fs->sb.block_bytes;
	fs->block_shift = (unsigned)__builtin_ctz(fs->block_bytes);
	fs->units_per_block = fs->block_bytes / 512;
	usage_set_limit(&fs->usage, fs->sb.size_limit);
	r = load_globals(fs);
	if (r)
		goto fail;
	r = inode_get(fs, FS_ROOT_INO, &fs->root);
	if (r == 0 && !S_ISDIR(fs->root->rec.mode))
		r = -EUCLEAN;
	if (r) {
		fs_log(fs, LSM_LOG_ERROR, "%s: no root directory: %s", path,
		       lsm_strerror(r));
		r = r == -ESTALE ? -EUCLEAN : r;
		goto fail;
	}
	if (!fs->read_only) {
		r = recount_leftovers(fs);
		if (r == 0)
			r = writeback_start(fs);
		if (r == 0)
			r = orphan_start(fs);
		if (r)
			goto fail;
	}
	*out = fs;
	return 0;
fail:
	writeback_stop(fs);
	orphan_stop(fs);
	if (fs->db)
		lsm_close(fs->db);
	fs_free(fs);
	return r;
}

int fs_close(struct fs *fs)
{
	int r = 0, r2;

	writeback_stop(fs);
	orphan_stop(fs);
	if (!fs->read_only) {
		recount_all(fs);
		recount_give_up(fs);
		r = inode_flush_all(fs);
		r2 = inode_cache_forget(fs);
		r = r ? r : r2;
	}
	r2 = lsm_close(fs->db);
	fs_free(fs);
	return r ? r : r2;
}

struct lsm_db *fs_db(struct fs *fs)
{
	return fs->db;
}

void fs_get_info(struct fs *fs, struct fs_info *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->uuid, fs->sb.uuid, sizeof(out->uuid));
	memcpy(out->label, fs->sb.label, sizeof(out->label));
	out->format = fs->sb.format;
	out->block_bytes = fs->sb.block_bytes;
	out->features_compat = fs->sb.compat;
	out->features_incompat = fs->sb.incompat;
	out->size_limit = fs->sb.size_limit;
	out->compression = fs->sb.compression;
	out->created_ns = fs->sb.created_ns;
}
