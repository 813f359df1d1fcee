/* SPDX-License-Identifier: MIT */
/*
 * options.c - reads the command line.
 *
 * Three parties write it: a person, /etc/fstab by way of mount(8) and
 * mount.fuse3, and systemd. So options may stand before or behind the two
 * paths, what fstab alone understands is passed over, and what the kernel or
 * libfuse understands is passed on. Anything else is refused by name: a
 * misspelt "nocreate" that was silently dropped would make a store.
 *
 * option_words.c says for each option whose it is. Later options win.
 */
#include "fs/fuse/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/fuse/daemonize.h"
#include "fs/fuse/log.h"
#include "fs/fuse/option_words.h"

static int no_memory(void)
{
	log_user("no memory");
	return EXIT_SYSTEM;
}

/* Digits with an optional K, M, G or T (powers of 1024), nothing else. */
static bool parse_bytes(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long v;
	const char *unit;
	unsigned shift;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return false;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit || end[1])
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
		if (v > UINT64_MAX >> shift)
			return false;
		v <<= shift;
	}
	*out = v;
	return true;
}

static int bad_value(const char *name, const char *value, const char *wanted)
{
	log_user("option %s: '%s' is not %s", name, value, wanted);
	return EXIT_USAGE;
}

static int set_count(const char *name, const char *value, unsigned min,
		     unsigned max, unsigned *out)
{
	char wanted[64];
	uint64_t v;

	if (parse_bytes(value, &v) && v >= min && v <= max) {
		*out = (unsigned)v;
		return 0;
	}
	snprintf(wanted, sizeof(wanted), "a number from %u to %u", min, max);
	return bad_value(name, value, wanted);
}

static int set_string(char **out, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return no_memory();
	free(*out);
	*out = copy;
	return 0;
}

/* Adds word[=value] to what libfuse gets; commas in it are escaped. */
static int pass_on(struct options *o, const char *word, const char *value)
{
	size_t have = o->kernel ? strlen(o->kernel) : 0;
	size_t more = strlen(word) + 2 * (value ? strlen(value) : 0) + 3;
	char *text = realloc(o->kernel, have + more);
	char *p;

	if (!text)
		return no_memory();
	o->kernel = text;
	p = text + have;
	if (have)
		*p++ = ',';
	p = stpcpy(p, word);
	if (value) {
		*p++ = '=';
		for (; *value; value++) {
			if (*value == ',' || *value == '\\')
				*p++ = '\\';
			*p++ = *value;
		}
	}
	*p = '\0';
	return 0;
}

static int set_memory(struct options *o, const char *value)
{
	if (!parse_bytes(value, &o->memory_bytes) ||
	    o->memory_bytes < (uint64_t)8 << 20)
		return bad_value("memory", value,
				 "a size of at least 8M, such as 256M or 1G");
	return 0;
}

static int set_compression(struct options *o, const char *value)
{
	o->made |= OPTIONS_MADE_COMPRESSION;
	if (!strcmp(value, "none"))
		o->compression = LSM_COMPRESSION_NONE;
	else if (!strcmp(value, "lz4"))
		o->compression = LSM_COMPRESSION_LZ4;
	else
		return bad_value("compression", value, "one of: none, lz4");
	return 0;
}

static int set_label(struct options *o, const char *value)
{
	if (strlen(value) > FS_LABEL_MAX)
		return bad_value("label", value, "at most 63 bytes long");
	o->made |= OPTIONS_MADE_LABEL;
	return set_string(&o->label, value);
}

static int set_block_size(struct options *o, const char *value)
{
	uint64_t v;

	if (!parse_bytes(value, &v) || v < FS_BLOCK_BYTES_DEFAULT ||
	    v > FS_BLOCK_BYTES_MAX || (v & (v - 1)))
		return bad_value("block_size", value,
				 "a power of two from 4K to 64K");
	o->made |= OPTIONS_MADE_BLOCK;
	o->block_bytes = (uint32_t)v;
	return 0;
}

static int set_size(struct options *o, const char *value)
{
	if (!parse_bytes(value, &o->size_limit) ||
	    o->size_limit < (uint64_t)1 << 20)
		return bad_value("size", value,
				 "a size of at least 1M, such as 10G");
	o->made |= OPTIONS_MADE_SIZE;
	return 0;
}

static int set_atime(struct options *o, bool noatime, bool strict)
{
	o->noatime = noatime;
	o->strictatime = strict;
	return noatime ? pass_on(o, "noatime", NULL) : 0;
}

/* The words that belong to the mount or to the loop. */
static int apply_mount_word(struct options *o, const struct option_word *w,
			    const char *value)
{
	unsigned depth;
	int ret;

	switch (w->id) {
	case OPT_KERNEL:
	case OPT_FLAG:
		return pass_on(o, w->name, value);
	case OPT_RO:
	case OPT_RW:
		o->read_only = w->id == OPT_RO;
		return pass_on(o, w->name, NULL);
	case OPT_SYNC:
	case OPT_DIRSYNC:
		o->dirsync = true;
		return pass_on(o, w->name, NULL);
	case OPT_REMOUNT:
		o->remount = true;
		return 0;
	case OPT_ALLOW_OTHER:
		o->allow_other = true;
		return 0;
	case OPT_ALLOW_ROOT:
		o->allow_root = true;
		return 0;
	case OPT_NO_WRITEBACK:
		o->writeback = false;
		return 0;
	case OPT_PARALLEL_DIRECT:
		o->parallel_direct = true;
		return 0;
	case OPT_IO_URING:
		o->io_uring = true;
		return pass_on(o, w->name, NULL);
	case OPT_IO_URING_DEPTH:
		ret = set_count(w->name, value, 1, 4096, &depth);
		return ret ? ret : pass_on(o, w->name, value);
	case OPT_KEEP_AWAKE:
		o->awake = OPTIONS_AWAKE_YES;
		return 0;
	case OPT_NO_KEEP_AWAKE:
		o->awake = OPTIONS_AWAKE_NEVER;
		return 0;
	case OPT_CLONE_FD:
	case OPT_NO_CLONE_FD:
		o->clone_fd = w->id == OPT_CLONE_FD;
		return 0;
	case OPT_MAX_THREADS:
		return set_count(w->name, value, 1, 1024, &o->max_threads);
	case OPT_MAX_IDLE:
		return set_count(w->name, value, 1, 1024, &o->max_idle);
	case OPT_DEBUG:
		o->debug = true;
		o->foreground = true;
		return 0;
	case OPT_HELP:
		o->help = true;
		return 0;
	case OPT_VERSION:
		o->version = true;
		return 0;
	default:
		return 0;
	}
}

static int apply_word(struct options *o, const struct option_word *w,
		      const char *value)
{
	o->remount_flags &= ~w->clear;
	o->remount_flags |= w->set;
	switch (w->id) {
	case OPT_ATIME:
		return set_atime(o, false, false);
	case OPT_NOATIME:
		return set_atime(o, true, false);
	case OPT_STRICTATIME:
		return set_atime(o, false, true);
	case OPT_NOCREATE:
		o->no_create = true;
		return 0;
	case OPT_COMMIT:
		return set_count(w->name, value, 1, 3600, &o->commit_seconds);
	case OPT_MEMORY:
		return set_memory(o, value);
	case OPT_COMPRESSION:
		return set_compression(o, value);
	case OPT_LABEL:
		return set_label(o, value);
	case OPT_BLOCK_SIZE:
		return set_block_size(o, value);
	case OPT_SIZE:
		return set_size(o, value);
	default:
		return apply_mount_word(o, w, value);
	}
}

static int apply_option(struct options *o, char *word)
{
	const struct option_word *w;
	char *value = strchr(word, '=');

	if (!*word || !strncmp(word, "x-", 2) || !strncmp(word, "X-", 2))
		return 0;
	if (value)
		*value++ = '\0';
	w = option_word_find(word);
	if (!w) {
		log_user("unknown option '%s'; see tinylsmfs --help", word);
		return EXIT_USAGE;
	}
	if (w->value == WANTS_VALUE && (!value || !*value)) {
		log_user("option %s needs a value: -o %s=...", word, word);
		return EXIT_USAGE;
	}
	if (w->value == NO_VALUE && value) {
		log_user("option %s takes no value", word);
		return EXIT_USAGE;
	}
	return apply_word(o, w, value);
}

/* "a,b=c\,d": a comma behind a backslash belongs to the word. */
static int apply_list(struct options *o, const char *list)
{
	char *word = malloc(strlen(list) + 1);
	char *p = word;
	int ret = 0;

	if (!word)
		return no_memory();
	while (!ret) {
		if (*list == '\\' && (list[1] == ',' || list[1] == '\\')) {
			*p++ = list[1];
			list += 2;
		} else if (*list == ',' || !*list) {
			*p = '\0';
			ret = apply_option(o, word);
			p = word;
			if (!*list++)
				break;
		} else {
			*p++ = *list++;
		}
	}
	free(word);
	return ret;
}

static int apply_path(struct options *o, const char *arg)
{
	if (!*arg) {
		log_user("an empty path; usage: tinylsmfs STORE MOUNTPOINT "
			 "[options]");
		return EXIT_USAGE;
	}
	if (!o->store)
		return set_string(&o->store, arg);
	if (!o->mountpoint)
		return set_string(&o->mountpoint, arg);
	log_user("'%s' is one argument too many; usage: tinylsmfs STORE "
		 "MOUNTPOINT [options]",
		 arg);
	return EXIT_USAGE;
}

/* arg starts with '-' and is not "-" alone. *used counts arguments taken. */
static int apply_dash(struct options *o, const char *arg, const char *next,
		      int *used)
{
	if (!strncmp(arg, "-o", 2)) {
		if (arg[2])
			return apply_list(o, arg + 2);
		if (!next) {
			log_user("-o needs an argument");
			return EXIT_USAGE;
		}
		(*used)++;
		return apply_list(o, next);
	}
	if (!strcmp(arg, "-f") || !strcmp(arg, "--foreground"))
		o->foreground = true;
	else if (!strcmp(arg, "-d") || !strcmp(arg, "--debug"))
		o->debug = o->foreground = true;
	else if (!strcmp(arg, "-s"))
		o->single_thread = true;
	else if (!strcmp(arg, "-h") || !strcmp(arg, "--help"))
		o->help = true;
	else if (!strcmp(arg, "-V") || !strcmp(arg, "--version"))
		o->version = true;
	else if (!strcmp(arg, "-r"))
		return apply_list(o, "ro");
	else if (!strcmp(arg, "-w"))
		return apply_list(o, "rw");
	else if (strcmp(arg, "-n") && strcmp(arg, "-v")) {
		/* -n and -v are mount(8)'s, without a meaning here. */
		log_user("unknown option '%s'; see tinylsmfs --help", arg);
		return EXIT_USAGE;
	}
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	bool only_paths = false;
	int i, ret = 0;

	memset(o, 0, sizeof(*o));
	o->writeback = true;
	o->max_idle = UINT32_MAX;
	for (i = 1; i < argc && !ret; i++) {
		if (!only_paths && !strcmp(argv[i], "--"))
			only_paths = true;
		else if (!only_paths && argv[i][0] == '-' && argv[i][1])
			ret = apply_dash(o, argv[i], argv[i + 1], &i);
		else
			ret = apply_path(o, argv[i]);
	}
	if (ret || o->help || o->version)
		return ret;
	if (!o->store || !o->mountpoint) {
		log_user("%s is missing; usage: tinylsmfs STORE MOUNTPOINT "
			 "[options], see tinylsmfs --help",
			 o->store ? "the mount point" : "the store");
		return EXIT_USAGE;
	}
	return 0;
}

void options_release(struct options *o)
{
	free(o->store);
	free(o->mountpoint);
	free(o->label);
	free(o->kernel);
	memset(o, 0, sizeof(*o));
}

void options_print_help(void)
{
	fputs("usage: tinylsmfs STORE MOUNTPOINT [-f] [-d] [-s] [-o OPTION,...]\n"
	      "       mount -t fuse.tinylsmfs STORE MOUNTPOINT [-o OPTION,...]\n"
	      "\n"
	      "Mounts the TinyLSM filesystem kept in the directory STORE. A STORE that is\n"
	      "missing or empty becomes a new filesystem. Unmount with umount MOUNTPOINT.\n"
	      "\n"
	      "  -f                    stay in the foreground, log to stderr\n"
	      "  -d                    the same, and show every request\n"
	      "  -s                    one thread only\n"
	      "  -h, --help            this text\n"
	      "  -V, --version         versions of tinylsmfs and of libfuse\n"
	      "\n"
	      "Options of the filesystem:\n"
	      "  ro                    read-only: no file of the store is changed\n"
	      "  nocreate              do not make a new filesystem\n"
	      "  commit=SECONDS        power loss takes at most this much time (5)\n"
	      "  memory=SIZE           for caches and write buffers (256M)\n"
	      "  compression=lz4|none  of what this mount writes (the filesystem's)\n"
	      "  noatime, relatime, strictatime\n"
	      "                        when to update access times (relatime)\n"
	      "  sync, dirsync         durable when the call returns; directories only\n"
	      "\n"
	      "Options for a filesystem that this mount makes:\n"
	      "  label=NAME            at most 63 bytes\n"
	      "  block_size=SIZE       4K to 64K (4K)\n"
	      "  size=SIZE             what df shows as the total (the disk)\n"
	      "  compression=lz4|none  of this and all later mounts (lz4)\n"
	      "\n"
	      "Options of the mount:\n"
	      "  dev, suid, exec, nodev, nosuid, noexec, allow_other, allow_root,\n"
	      "  fsname=, context=, remount and the words of fstab(5)\n"
	      "  no_writeback_cache    every write goes to the daemon at once\n"
	      "  parallel_direct_writes\n"
	      "                        O_DIRECT writers of a file do not wait for each\n"
	      "                        other; implies no_writeback_cache\n"
	      "  keep_awake, no_keep_awake\n"
	      "                        keep idle cores from sleeping while many requests\n"
	      "                        come (where it is cheap and permitted)\n"
	      "  max_threads=N, max_idle_threads=N, clone_fd, noclone_fd\n"
	      "  io_uring, io_uring_q_depth=N\n"
	      "                        requests over io_uring (needs libfuse 3.18)\n",
	      stdout);
}
