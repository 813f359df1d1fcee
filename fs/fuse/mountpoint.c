/* SPDX-License-Identifier: MIT */
/*
 * mountpoint.c - the two paths of the command line, and what is mounted.
 *
 * What is found wrong here is found before anything is opened or made, so
 * that a slip in the command line never leaves a new store behind.
 *
 * Paths are made absolute because the daemon leaves the directory it was
 * started in. /proc/self/mountinfo is asked instead of the file system where
 * the answer may come from a FUSE mount: from our own, which is not served
 * yet, or from one whose daemon is dead.
 */
#include "fs/fuse/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fuse/daemonize.h"
#include "fs/fuse/log.h"
#include "fs/fuse/options.h"

#define MOUNT_TYPE "fuse.tinylsmfs"

/* mountinfo writes blanks and backslashes as \ooo. In place. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
					(s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* "36 35 98:0 /root /mnt rw - type source options". *path points into line. */
static bool parse_line(char *line, char **path, struct mountpoint_info *out)
{
	char *fields[5], *save = NULL, *tail, *type, *source;
	unsigned i, major, minor;

	tail = strstr(line, " - ");
	if (!tail)
		return false;
	*tail = '\0';
	tail += 3;
	for (i = 0; i < 5; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return false;
	}
	unescape(fields[4]);
	*path = fields[4];
	if (sscanf(fields[2], "%u:%u", &major, &minor) != 2)
		return false;
	type = strtok_r(tail, " \n", &save);
	source = strtok_r(NULL, " \n", &save);
	if (!type || !source)
		return false;
	unescape(source);
	out->major = major;
	out->minor = minor;
	snprintf(out->type, sizeof(out->type), "%s", type);
	snprintf(out->source, sizeof(out->source), "%s", source);
	return true;
}

/* The last mount, the one on top, for which match() is true. */
static int find_mount(bool (*match)(const void *arg, const char *path,
				    const struct mountpoint_info *info),
		      const void *arg, struct mountpoint_info *out, char *where,
		      size_t where_size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct mountpoint_info info;
	char *line = NULL, *path;
	size_t size = 0;
	int ret = -ENOENT;

	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		if (!parse_line(line, &path, &info) || !match(arg, path, &info))
			continue;
		*out = info;
		if (where)
			snprintf(where, where_size, "%s", path);
		ret = 0;
	}
	free(line);
	fclose(f);
	return ret;
}

static bool match_path(const void *arg, const char *path,
		       const struct mountpoint_info *info)
{
	(void)info;
	return !strcmp(path, arg);
}

static bool match_source(const void *arg, const char *path,
			 const struct mountpoint_info *info)
{
	(void)path;
	return !strcmp(info->type, MOUNT_TYPE) && !strcmp(info->source, arg);
}

int mountpoint_lookup(const char *path, struct mountpoint_info *out)
{
	return find_mount(match_path, path, out, NULL, 0);
}

int mountpoint_find_source(const char *store, char *path, size_t size)
{
	struct mountpoint_info info;

	return find_mount(match_source, store, &info, path, size);
}

static int run(char *const argv[])
{
	extern char **environ;
	posix_spawn_file_actions_t actions;
	int ret, status;
	pid_t pid;

	ret = posix_spawn_file_actions_init(&actions);
	if (ret)
		return -ret;
	/* It has nothing to say that its exit status does not. */
	ret = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO,
					       "/dev/null", O_WRONLY, 0);
	if (!ret)
		ret = posix_spawnp(&pid, argv[0], &actions, NULL, argv,
				   environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret)
		return -ret;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EBUSY;
}

int mountpoint_unmount(const char *path, bool lazy)
{
	char *argv[7];
	int n = 0;

	if (!umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	if (errno != EPERM)
		return -errno;
	/* Who may not unmount may ask fusermount3, which knows the owner. */
	argv[n++] = (char *)"fusermount3";
	argv[n++] = (char *)"-u";
	if (lazy)
		argv[n++] = (char *)"-z";
	argv[n++] = (char *)"--";
	argv[n++] = (char *)path;
	argv[n] = NULL;
	return run(argv);
}

/*
 * realpath() of what may not be reachable itself: a missing store, or a mount
 * point whose daemon is dead. Its directory has to exist.
 */
static char *resolve_through_parent(const char *path)
{
	char *copy = strdup(path), *copy2 = strdup(path);
	char *dir = NULL, *out = NULL, *base;

	if (!copy || !copy2)
		goto out;
	base = basename(copy2);
	dir = realpath(dirname(copy), NULL);
	if (!dir)
		goto out;
	if (!strcmp(base, "/") || !strcmp(base, ".") || !strcmp(base, "..")) {
		errno = ENOENT;
		goto out;
	}
	if (asprintf(&out, "%s/%s", strcmp(dir, "/") ? dir : "", base) < 0)
		out = NULL;
out:
	free(dir);
	free(copy);
	free(copy2);
	return out;
}

/* True when inner is outer or lies in it. Both are absolute and resolved. */
static bool contains(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	if (!strcmp(outer, "/"))
		return true;
	return !strncmp(outer, inner, n) &&
	       (inner[n] == '/' || inner[n] == '\0');
}

static bool is_dead(int err)
{
	return err == ENOTCONN || err == ECONNABORTED;
}

/*
 * A mount whose daemon has died answers an error to everything that the kernel
 * has to ask for; the attributes of its root may still be cached. statvfs() is
 * always asked for.
 */
static int free_dead_mount(const char *path)
{
	struct mountpoint_info info;
	struct statvfs st;
	int ret;

	if (mountpoint_lookup(path, &info) || strncmp(info.type, "fuse", 4))
		return 0;
	if (strcmp(info.type, MOUNT_TYPE)) {
		if (!statvfs(path, &st) || !is_dead(errno))
			return 0;
		log_user("on %s is a mount (%s) without a daemon; unmount it "
			 "first: umount -l %s",
			 path, info.type, path);
		return EXIT_MOUNT;
	}
	if (!statvfs(path, &st) || !is_dead(errno)) {
		log_user("%s is mounted on %s already; unmount it first: "
			 "umount %s",
			 info.source, path, path);
		return EXIT_MOUNT;
	}
	ret = mountpoint_unmount(path, true);
	if (ret) {
		log_user("the daemon of the mount on %s has died, and it "
			 "cannot be unmounted: %s",
			 path, strerror(-ret));
		return EXIT_MOUNT;
	}
	log_printf(LSM_LOG_WARN,
		   "the daemon of the mount on %s had died; mounting anew",
		   path);
	return 0;
}

static int prepare_mountpoint(struct options *o)
{
	char *path = realpath(o->mountpoint, NULL);
	struct stat st;
	int ret;

	if (!path && is_dead(errno))
		path = resolve_through_parent(o->mountpoint);
	if (!path) {
		if (errno == ENOENT)
			log_user("the mount point %s does not exist; make it "
				 "with mkdir",
				 o->mountpoint);
		else
			log_user("cannot reach the mount point %s: %s",
				 o->mountpoint, strerror(errno));
		return EXIT_MOUNT;
	}
	free(o->mountpoint);
	o->mountpoint = path;
	ret = free_dead_mount(path);
	if (ret)
		return ret;
	if (stat(path, &st)) {
		log_user("cannot reach the mount point %s: %s", path,
			 strerror(errno));
		return EXIT_MOUNT;
	}
	if (!S_ISDIR(st.st_mode)) {
		log_user("the mount point %s is not a directory", path);
		return EXIT_MOUNT;
	}
	return 0;
}

static int prepare_store(struct options *o)
{
	char *path = realpath(o->store, NULL);

	if (!path && errno == ENOENT)
		path = resolve_through_parent(o->store);
	if (!path) {
		if (errno == ENOENT)
			log_user("the directory that should hold the store %s "
				 "does not exist",
				 o->store);
		else
			log_user("cannot reach the store %s: %s", o->store,
				 strerror(errno));
		return EXIT_MOUNT;
	}
	free(o->store);
	o->store = path;
	return 0;
}

int mountpoint_prepare(struct options *o)
{
	int ret = prepare_mountpoint(o);

	if (!ret)
		ret = prepare_store(o);
	if (ret)
		return ret;
	if (contains(o->store, o->mountpoint)) {
		log_user("the mount point %s lies in the store %s; choose "
			 "another place for one of them",
			 o->mountpoint, o->store);
		return EXIT_MOUNT;
	}
	if (contains(o->mountpoint, o->store)) {
		log_user("the store %s lies in the mount point %s, which would "
			 "hide it; choose another place for one of them",
			 o->store, o->mountpoint);
		return EXIT_MOUNT;
	}
	return 0;
}

int mountpoint_remount(struct options *o)
{
	struct mountpoint_info info;
	char *path = realpath(o->mountpoint, NULL);
	int ret = EXIT_MOUNT;

	if (!path) {
		log_user("cannot reach the mount point %s: %s", o->mountpoint,
			 strerror(errno));
		return EXIT_MOUNT;
	}
	if (mountpoint_lookup(path, &info) || strcmp(info.type, MOUNT_TYPE))
		log_user("no TinyLSM filesystem is mounted on %s", path);
	else if (mount(NULL, path, NULL, MS_REMOUNT | o->remount_flags, NULL))
		log_user("cannot remount %s: %s", path, strerror(errno));
	else
		ret = 0;
	free(path);
	return ret;
}
