/* SPDX-License-Identifier: MIT */
/*
 * store.c - opening a store to look at it, and looking at it from outside.
 *
 * Opening is always read-only, so that a tool that shows never changes what
 * it shows: logs are replayed in memory alone.
 */
#include "tools/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsm/base/file_name.h"
#include "tools/cli.h"

void store_engine_options(struct lsm_options *options)
{
	memset(options, 0, sizeof(*options));
	options->log = cli_log;
	options->log_level = LSM_LOG_WARN;
}

void store_release_log(int err)
{
	switch (err) {
	case -EBUSY:
	case -EEXIST:
	case -ENOENT:
	case -ENOTDIR:
	case -ENOTEMPTY:
	case -EMEDIUMTYPE:
	case -EPROTONOSUPPORT:
		cli_log_release(false);
		break;
	default:
		cli_log_release(true);
	}
}

void store_error(const char *path, int err)
{
	char mnt[PATH_MAX];
	pid_t pid;

	switch (err) {
	case -EBUSY:
		store_is_open(path, &pid);
		if (store_mountpoint(path, mnt))
			cli_error("%s: is mounted on %s by process %d", path,
				  mnt, (int)pid);
		else if (pid)
			cli_error("%s: is open in process %d", path, (int)pid);
		else
			cli_error("%s: is open in another process", path);
		break;
	case -ENOENT:
		cli_error("%s: there is no store", path);
		break;
	case -ENOTEMPTY:
		cli_error("%s: the directory is not a store", path);
		break;
	case -EMEDIUMTYPE:
		cli_error("%s: the store holds no filesystem", path);
		break;
	case -EUCLEAN:
		cli_error("%s: the store is damaged; tinylsm fsck says more",
			  path);
		break;
	case -EPROTONOSUPPORT:
		cli_error("%s: was written by a newer version than %s", path,
			  lsm_version());
		break;
	default:
		cli_error("%s: %s", path, lsm_strerror(err));
	}
}

int store_open(const char *path, unsigned flags, struct store *out)
{
	struct fs_options fo = {.read_only = true, .no_create = true};
	int err;

	memset(out, 0, sizeof(*out));
	store_engine_options(&fo.engine);
	fo.engine.read_only = true;
	fo.engine.no_create = true;
	cli_log_hold();
	err = fs_open(path, &fo, &out->fs);
	if (flags & STORE_QUIET)
		cli_log_release(false);
	else
		store_release_log(err);
	if (!err) {
		out->db = fs_db(out->fs);
		return 0;
	}
	out->fs = NULL;
	if (err != -EMEDIUMTYPE &&
	    !(err == -EUCLEAN && flags & STORE_PLAIN_IF_DAMAGED))
		return err;
	if (lsm_open(path, &fo.engine, &out->db)) {
		out->db = NULL;
		return err;
	}
	if (err == -EUCLEAN)
		cli_error("%s: the filesystem cannot be opened: shown as a "
			  "plain store",
			  path);
	return 0;
}

int store_close(struct store *store)
{
	if (store->fs)
		return fs_close(store->fs);
	return store->db ? lsm_close(store->db) : 0;
}

const char *compression_name(enum lsm_compression c)
{
	switch (c) {
	case LSM_COMPRESSION_NONE:
		return "none";
	case LSM_COMPRESSION_DEFAULT:
	case LSM_COMPRESSION_LZ4:
		return "lz4";
	}
	return "unknown";
}

int store_print_made(const char *path)
{
	struct store s;
	struct fs_info info;
	char uuid[UUID_TEXT], size[HUMAN_MAX];
	int err = store_open(path, 0, &s);

	if (!err && !s.fs) {
		store_close(&s);
		err = -EMEDIUMTYPE;
	}
	if (err) {
		store_error(path, err);
		return err;
	}
	fs_get_info(s.fs, &info);
	uuid_format(uuid, info.uuid);
	printf("%s: filesystem made\n", path);
	printf("  uuid         %s\n", uuid);
	if (info.label[0])
		printf("  label        %s\n", info.label);
	printf("  block size   %u\n", info.block_bytes);
	printf("  compression  %s\n", compression_name(info.compression));
	printf("  size limit   %s\n",
	       info.size_limit ? human_size(size, info.size_limit)
			       : "none but the disk");
	err = store_close(&s);
	if (err)
		store_error(path, err);
	return err;
}

/* The engine locks LOCK while it has the store open for writing, and keeps its
 * pid there as text. The lock itself, not the text, says whether anybody does;
 * it belongs to the open file, so the kernel names no process. */
bool store_is_open(const char *path, pid_t *pid)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char name[PATH_MAX], text[32] = "";
	bool locked;
	int fd, n;

	if (pid)
		*pid = 0;
	n = snprintf(name, sizeof(name), "%s/LOCK", path);
	if (n < 0 || (size_t)n >= sizeof(name))
		return false;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	locked = !fcntl(fd, F_OFD_GETLK, &fl) && fl.l_type != F_UNLCK;
	if (locked && pid && read(fd, text, sizeof(text) - 1) > 0)
		*pid = (pid_t)strtol(text, NULL, 10);
	close(fd);
	return locked;
}

bool store_mountpoint(const char *path, char out[PATH_MAX])
{
	char real[PATH_MAX], line[3 * PATH_MAX];
	struct mntent m;
	FILE *f;
	bool found = false;

	if (!realpath(path, real))
		return false;
	f = setmntent("/proc/self/mounts", "r");
	if (!f)
		return false;
	while (getmntent_r(f, &m, line, sizeof(line))) {
		if (strncmp(m.mnt_type, "fuse.tinylsm", 12) != 0 ||
		    strcmp(m.mnt_fsname, real) != 0 ||
		    strlen(m.mnt_dir) >= PATH_MAX)
			continue;
		strcpy(out, m.mnt_dir);
		found = true;
	}
	endmntent(f);
	return found;
}

static void count_file(struct store_files *out, enum file_kind kind,
		       uint64_t number, const struct stat *st)
{
	uint64_t bytes = (uint64_t)st->st_size;

	out->files++;
	out->disk_bytes += (uint64_t)st->st_blocks * 512;
	switch (kind) {
	case FILE_SST:
		out->tables++;
		out->table_bytes += bytes;
		break;
	case FILE_WAL:
		out->logs++;
		out->log_bytes += bytes;
		break;
	case FILE_BLOB:
		out->blobs++;
		out->blob_bytes += bytes;
		break;
	case FILE_MANIFEST:
		if (number > out->manifest)
			out->manifest = number;
		out->is_store = true;
		break;
	case FILE_CURRENT:
		out->is_store = true;
		break;
	default:
		break;
	}
}

int store_list_files(const char *path, struct store_files *out)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	struct stat st;
	enum file_kind kind;
	uint64_t number;
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (!dir)
		return -errno;
	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			if (errno == ENOENT) /* a live store deletes files */
				continue;
			err = -errno;
			goto out;
		}
		kind = file_name_parse(e->d_name, &number);
		if (kind == FILE_UNKNOWN || !S_ISREG(st.st_mode)) {
			out->foreign++;
			strcpy(out->foreign_name, e->d_name);
			continue;
		}
		count_file(out, kind, number, &st);
	}
	err = -errno;
out:
	closedir(dir);
	return err;
}
