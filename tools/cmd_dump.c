/* SPDX-License-Identifier: MIT */
/*
 * cmd_dump.c - tinylsm dump: what a store holds, in words, one object a line.
 *
 * Keys are read through the engine, as a reader would see them; tables, blob
 * files, logs and manifests are read as files, without opening the store, so
 * that they can be looked at also when the store is damaged or mounted. Files
 * of a mounted store may change while they are read.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/buf.h"
#include "lsm/base/coding.h"
#include "lsm/base/file_name.h"
#include "tools/cli.h"
#include "tools/store.h"

static const char help[] =
	"usage: tinylsm dump STORE [keys] [--prefix HEX] [--ino N] [--raw]\n"
	"       tinylsm dump STORE table FILE\n"
	"       tinylsm dump STORE blob FILE\n"
	"       tinylsm dump STORE wal FILE\n"
	"       tinylsm dump STORE manifest [FILE]\n"
	"       tinylsm dump STORE all\n\n"
	"Prints what a store holds, one object a line.\n\n"
	"  keys          every key that can be read, with its value in words\n"
	"  table FILE    a table, as 000012.sst\n"
	"  blob FILE     values kept outside of tables, as 000014.blob\n"
	"  wal FILE      a write-ahead log, as 000013.wal\n"
	"  manifest      the current manifest, or FILE\n"
	"  all           the manifest, then every table, blob file and log\n\n"
	"  -p, --prefix HEX   only keys that begin with these bytes\n"
	"  -i, --ino N        only keys of this inode\n"
	"  -r, --raw          keys and values in hex (values cut at 64 "
	"bytes)\n"
	"      --help         this text\n\n"
	"examples:\n"
	"  tinylsm dump /srv/store keys --ino 1\n"
	"  tinylsm dump /srv/store manifest\n\n"
	"Exit status: 0 printed, 1 cannot be read, 2 wrong usage.\n";

static const struct option long_options[] = {
	{"prefix", required_argument, NULL, 'p'},
	{"ino", required_argument, NULL, 'i'},
	{"raw", no_argument, NULL, 'r'},
	{NULL, 0, NULL, 0},
};

#define RAW_VALUE_MAX 64

struct dump {
	const char *path;
	bool raw;
	uint8_t prefix[LSM_KEY_MAX];
	size_t prefix_len;
};

/* Returned by print_line() to end a dump: nobody reads what is printed. */
#define STOP 1

static int print_line(void *arg, const char *line)
{
	return puts(line) < 0 ? STOP : 0;
}

static int parse_hex(const char *text, struct dump *d)
{
	unsigned byte;

	d->prefix_len = 0;
	while (*text) {
		if (strspn(text, "0123456789abcdefABCDEF") < 2 ||
		    d->prefix_len == sizeof(d->prefix) ||
		    sscanf(text, "%2x", &byte) != 1)
			return -EINVAL;
		d->prefix[d->prefix_len++] = (uint8_t)byte;
		text += 2;
	}
	return d->prefix_len ? 0 : -EINVAL;
}

static void print_hex(struct lsm_slice s, size_t max)
{
	const uint8_t *p = s.data;
	size_t i;

	for (i = 0; i < s.len && i < max; i++)
		printf("%02x", p[i]);
	if (s.len > max)
		printf("... (%zu bytes)", s.len);
}

static int print_words(bool fs, struct lsm_slice key, struct lsm_slice value)
{
	struct buf b = {0};
	char *text;
	int err;

	if (fs) {
		err = fs_key_to_text(key, value, &text);
		if (err)
			return err;
		puts(text);
		free(text);
		return 0;
	}
	err = buf_append_escaped(&b, key);
	if (!err)
		err = buf_printf(&b, " = ");
	if (!err && value.len > RAW_VALUE_MAX) {
		err = buf_append_escaped(&b,
					 lsm_slice(value.data, RAW_VALUE_MAX));
		if (!err)
			err = buf_printf(&b, "... (%zu bytes)", value.len);
	} else if (!err) {
		err = buf_append_escaped(&b, value);
	}
	if (!err)
		printf("%.*s\n", (int)b.len, (const char *)b.data);
	buf_release(&b);
	return err;
}

static int print_pair(const struct dump *d, bool fs, struct lsm_slice key,
		      struct lsm_slice value)
{
	if (!d->raw)
		return print_words(fs, key, value);
	print_hex(key, SIZE_MAX);
	printf(" = ");
	print_hex(value, RAW_VALUE_MAX);
	putchar('\n');
	return 0;
}

static bool in_prefix(const struct dump *d, struct lsm_slice key)
{
	return key.len >= d->prefix_len &&
	       (!d->prefix_len || !memcmp(key.data, d->prefix, d->prefix_len));
}

static int walk_keys(const struct dump *d, struct store *s)
{
	struct lsm_iter_options io = {
		.lower = lsm_slice(d->prefix, d->prefix_len),
		.no_fill_cache = true,
	};
	struct lsm_iter *it;
	int err = lsm_iter_new(s->db, &io, &it);

	if (err)
		return err;
	err = lsm_iter_first(it);
	while (!err && in_prefix(d, lsm_iter_key(it))) {
		struct lsm_slice value = lsm_iter_value(it);

		err = lsm_iter_error(it);
		if (!err)
			err = print_pair(d, s->fs != NULL, lsm_iter_key(it),
					 value);
		if (ferror(stdout))
			break;
		if (!err)
			err = lsm_iter_next(it);
	}
	lsm_iter_free(it);
	return err == LSM_END ? 0 : err;
}

static int dump_keys(const struct dump *d)
{
	struct store s;
	int err, closed;

	if (store_is_open(d->path, NULL))
		cli_error("%s: warning: open in another process: what is shown "
			  "may be incomplete",
			  d->path);
	err = store_open(d->path, STORE_PLAIN_IF_DAMAGED, &s);
	if (!err) {
		err = walk_keys(d, &s);
		closed = store_close(&s);
		if (!err)
			err = closed;
	}
	if (err)
		store_error(d->path, err);
	return err;
}

static int dump_file(const struct dump *d, const char *name)
{
	const char *base = strrchr(name, '/');
	int err;

	base = base ? base + 1 : name;
	err = lsm_dump_file(lsm_env_posix(), d->path, base, print_line, NULL);
	if (err < 0)
		cli_error("%s/%s: %s", d->path, base, lsm_strerror(err));
	return err < 0 ? err : 0;
}

/* The manifest that CURRENT names; without a CURRENT that can be read, the
 * one with the highest number, which is the best guess there is. */
static int current_manifest(const struct dump *d, char out[FILE_NAME_MAX])
{
	struct store_files files;
	char path[PATH_MAX], line[FILE_NAME_MAX] = "";
	uint64_t number;
	FILE *f;
	int err, n;

	n = snprintf(path, sizeof(path), "%s/CURRENT", d->path);
	f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "re") : NULL;
	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
		line[strcspn(line, "\n")] = '\0';
		if (file_name_parse(line, &number) == FILE_MANIFEST) {
			strcpy(out, line);
			return 0;
		}
	}
	err = store_list_files(d->path, &files);
	if (err) {
		store_error(d->path, err);
		return err;
	}
	if (!files.manifest) {
		cli_error("%s: there is no manifest", d->path);
		return -ENOENT;
	}
	file_name(out, FILE_MANIFEST, files.manifest);
	cli_error("%s: CURRENT names no manifest: %s is the newest", d->path,
		  out);
	return 0;
}

static int dump_manifest(const struct dump *d, const char *name)
{
	char current[FILE_NAME_MAX];
	int err;

	if (name)
		return dump_file(d, name);
	err = current_manifest(d, current);
	return err ? err : dump_file(d, current);
}

static int only_data_files(const struct dirent *e)
{
	uint64_t number;
	enum file_kind kind = file_name_parse(e->d_name, &number);

	return kind == FILE_SST || kind == FILE_BLOB || kind == FILE_WAL;
}

/* Goes on behind a damaged file: the others may be why one looks. */
static int dump_all(const struct dump *d)
{
	struct dirent **names;
	char manifest[FILE_NAME_MAX];
	int i, n, err, first;

	first = current_manifest(d, manifest);
	if (!first) {
		printf("== %s\n", manifest);
		first = dump_file(d, manifest);
	}
	n = scandir(d->path, &names, only_data_files, alphasort);
	if (n < 0) {
		err = -errno;
		store_error(d->path, err);
		return err;
	}
	for (i = 0; i < n; i++) {
		if (!ferror(stdout)) {
			printf("== %s\n", names[i]->d_name);
			err = dump_file(d, names[i]->d_name);
			if (err && !first)
				first = err;
		}
		free(names[i]);
	}
	free(names);
	return first;
}

/* A file to be dumped must be of the kind that was asked for: the words of a
 * log said of a table would puzzle. */
static int check_kind(const char *what, const char *name)
{
	const char *base = strrchr(name, '/');
	enum file_kind want = FILE_MANIFEST;
	uint64_t number;

	if (!strcmp(what, "table"))
		want = FILE_SST;
	else if (!strcmp(what, "blob"))
		want = FILE_BLOB;
	else if (!strcmp(what, "wal"))
		want = FILE_WAL;
	if (file_name_parse(base ? base + 1 : name, &number) == want)
		return 0;
	cli_usage(&cmd_dump, "'%s' is not the name of a %s", name, what);
	return -EINVAL;
}

static int dispatch(const struct dump *d, const char *what, const char *file)
{
	int err;

	if (!strcmp(what, "keys") || !strcmp(what, "all")) {
		if (file) {
			cli_usage(&cmd_dump, "'%s' takes no FILE", what);
			return CLI_USAGE;
		}
		err = *what == 'k' ? dump_keys(d) : dump_all(d);
	} else if (!strcmp(what, "manifest")) {
		if (file && check_kind(what, file))
			return CLI_USAGE;
		err = dump_manifest(d, file);
	} else if (!strcmp(what, "table") || !strcmp(what, "blob") ||
		   !strcmp(what, "wal")) {
		if (!file)
			cli_usage(&cmd_dump, "which FILE?");
		if (!file || check_kind(what, file))
			return CLI_USAGE;
		err = dump_file(d, file);
	} else {
		cli_usage(&cmd_dump, "'%s' is nothing to dump", what);
		return CLI_USAGE;
	}
	return err || !cli_flush() ? CLI_FAILED : CLI_OK;
}

static int run(int argc, char **argv)
{
	struct dump d = {0};
	uint64_t ino;
	int c, n;

	while ((c = getopt_long(argc, argv, "p:i:r", long_options, NULL)) !=
	       -1) {
		switch (c) {
		case 'p':
			if (!parse_hex(optarg, &d))
				break;
			cli_usage(&cmd_dump, "'%s' is not hex", optarg);
			return CLI_USAGE;
		case 'i':
			if (parse_u64(optarg, &ino)) {
				cli_usage(&cmd_dump, "'%s' is no inode number",
					  optarg);
				return CLI_USAGE;
			}
			put_be64(d.prefix, ino);
			d.prefix_len = 8;
			break;
		case 'r':
			d.raw = true;
			break;
		default:
			return CLI_USAGE;
		}
	}
	n = argc - optind;
	if (n < 1 || n > 3) {
		cli_usage(&cmd_dump,
			  n < 1 ? "which STORE?" : "too many arguments");
		return CLI_USAGE;
	}
	d.path = argv[optind];
	return dispatch(&d, n > 1 ? argv[optind + 1] : "keys",
			n > 2 ? argv[optind + 2] : NULL);
}

const struct command cmd_dump = {
	.name = "dump",
	.summary = "print keys, tables, logs and manifests in words",
	.help = help,
	.run = run,
};
