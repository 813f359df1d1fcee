/* SPDX-License-Identifier: MIT */
/*
 * cmd_fsck.c - tinylsm fsck: checks a store that is not mounted, and mends it.
 *
 * Exit status and summary line follow e2fsck, so that scripts and people who
 * know that one know this one. Without -y or -p nothing is ever changed: the
 * store is opened read-only.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "lsm/base/sync.h"
#include "tools/cli.h"
#include "tools/store.h"

/* As e2fsck; they are bits. */
enum {
	FSCK_CLEAN = 0,
	FSCK_CORRECTED = 1,
	FSCK_UNCORRECTED = 4,
	FSCK_FAILED = 8,
	FSCK_USAGE = 16,
};

static const char help[] =
	"usage: tinylsm fsck STORE [OPTIONS]\n\n"
	"Checks every record of the filesystem in a store that is not mounted, "
	"and that\n"
	"all of them fit together. Each finding is one line. A store without "
	"a\n"
	"filesystem has every block read and its checksum verified.\n\n"
	"  -n         change nothing, report only (the default)\n"
	"  -y         mend what can be mended\n"
	"  -p, -a     the same, for boot scripts: prints findings and the "
	"summary\n"
	"      --data verify the checksum of every block of file data too\n"
	"  -v         details at the end\n"
	"      --help this text\n\n"
	"examples:\n"
	"  tinylsm fsck /srv/store\n"
	"  tinylsm fsck -y --data /srv/store\n\n"
	"Exit status: 0 clean, 1 errors corrected, 4 errors left "
	"uncorrected,\n"
	"8 operational error, 16 wrong usage.\n";

static const struct option long_options[] = {
	{"data", no_argument, NULL, 'D'},
	{NULL, 0, NULL, 0},
};

struct fsck {
	const char *path;
	bool repair, data, verbose, progress;
	uint64_t last_ns; /* of the progress line */
	bool bar_shown;
};

static void clear_bar(struct fsck *f)
{
	if (!f->bar_shown)
		return;
	fprintf(stderr, "\r\033[K");
	f->bar_shown = false;
}

static void on_report(void *arg, const char *line)
{
	struct fsck *f = arg;

	clear_bar(f);
	printf("%s\n", line);
	fflush(stdout);
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	static const char full[] = "========================================";
	struct fsck *f = arg;
	uint64_t now = clock_ns();
	double part;

	if (now - f->last_ns < 100000000 || !total)
		return;
	f->last_ns = now;
	part = done < total ? (double)done / (double)total : 1;
	fprintf(stderr, "\r%s: |%-40.*s| %5.1f%%", f->path, (int)(part * 40),
		full, part * 100);
	fflush(stderr);
	f->bar_shown = true;
}

static void print_details(const struct fs_check_result *r,
			  const struct lsm_stats *s)
{
	printf("%12llu inodes used\n", (unsigned long long)r->inodes);
	printf("%12llu directories\n", (unsigned long long)r->directories);
	printf("%12llu regular files\n", (unsigned long long)r->files);
	printf("%12llu symbolic links\n", (unsigned long long)r->symlinks);
	printf("%12llu others\n", (unsigned long long)r->others);
	printf("%12llu directory entries\n", (unsigned long long)r->entries);
	printf("%12llu extended attributes\n", (unsigned long long)r->xattrs);
	printf("%12llu blocks used\n", (unsigned long long)r->blocks);
	printf("%12u blob files\n", s->blob_files);
	printf("%12llu bytes of values in them\n",
	       (unsigned long long)s->blob_value_bytes);
	printf("%12llu bytes of these are referred to\n",
	       (unsigned long long)s->blob_live_bytes);
	printf("%12llu orphans waiting for reclaim\n",
	       (unsigned long long)r->orphans);
	printf("%12llu errors found\n", (unsigned long long)r->found);
	printf("%12llu errors corrected\n", (unsigned long long)r->fixed);
}

static void print_summary(const struct fsck *f, const struct fs_check_result *r,
			  const struct fs_statfs *v)
{
	const char *state = "clean, ";

	if (r->found)
		state = "";
	printf("%s: %s%llu/%llu files, %llu/%llu blocks\n", f->path, state,
	       (unsigned long long)r->inodes, (unsigned long long)v->inodes,
	       (unsigned long long)r->blocks, (unsigned long long)v->blocks);
	if (r->found && f->repair && r->fixed >= r->found)
		printf("%s: ***** %llu errors corrected *****\n", f->path,
		       (unsigned long long)r->fixed);
	else if (r->found)
		printf("%s: ********** %llu errors left **********\n", f->path,
		       (unsigned long long)(r->found - r->fixed));
}

/* What a failed call means for the exit status, said in one line. */
static int failed(struct fsck *f, int err)
{
	clear_bar(f);
	if (err == -EUCLEAN) {
		cli_error("%s: stored data is corrupt: not checked further",
			  f->path);
		return FSCK_UNCORRECTED;
	}
	store_error(f->path, err);
	return FSCK_FAILED;
}

static int check_fs(struct fsck *f, struct fs *fs)
{
	struct fs_check_options co = {
		.repair = f->repair,
		.data = f->data,
		.report = on_report,
		.progress = f->progress ? on_progress : NULL,
		.arg = f,
	};
	struct fs_check_result r = {0};
	struct fs_statfs v = {0};
	struct lsm_stats st;
	int err = fs_check(fs, &co, &r);

	clear_bar(f);
	if (!err)
		err = fs_statfs(fs, &v);
	if (err)
		return failed(f, err);
	if (f->verbose) {
		lsm_get_stats(fs_db(fs), &st);
		print_details(&r, &st);
	}
	print_summary(f, &r, &v);
	if (!r.found)
		return FSCK_CLEAN;
	return r.fixed >= r.found ? FSCK_CORRECTED : FSCK_UNCORRECTED;
}

static int check_plain(struct fsck *f, const struct lsm_options *engine)
{
	struct lsm_options lo = *engine;
	struct lsm_stats st;
	struct lsm_db *db;
	int err, status = FSCK_CLEAN;

	lo.read_only = true;
	lo.no_create = true;
	err = lsm_open(f->path, &lo, &db);
	if (err)
		return failed(f, err);
	err = lsm_verify(db, f->progress ? on_progress : NULL, f);
	clear_bar(f);
	lsm_get_stats(db, &st);
	if (err)
		status = failed(f, err);
	else
		printf("%s: clean, no filesystem, %llu entries, %llu bytes in "
		       "tables, %llu in blob files\n",
		       f->path, (unsigned long long)st.entries,
		       (unsigned long long)st.table_bytes,
		       (unsigned long long)st.blob_file_bytes);
	err = lsm_close(db);
	return err ? status | failed(f, err) : status;
}

static int check(struct fsck *f)
{
	struct fs_options fo = {.no_create = true, .read_only = !f->repair};
	struct fs *fs;
	int err, status;

	store_engine_options(&fo.engine);
	fo.engine.read_only = fo.read_only;
	fo.engine.no_create = true;
	/* Read-only takes no lock, and a moving target looks damaged. */
	if (store_is_open(f->path, NULL))
		return failed(f, -EBUSY);
	cli_log_hold();
	err = fs_open(f->path, &fo, &fs);
	store_release_log(err);
	if (err == -EMEDIUMTYPE)
		return check_plain(f, &fo.engine);
	if (err)
		return failed(f, err);
	status = check_fs(f, fs);
	err = fs_close(fs);
	return err ? status | failed(f, err) : status;
}

static int run(int argc, char **argv)
{
	struct fsck f = {.progress = isatty(STDERR_FILENO)};
	bool no = false, yes = false;
	int c, status;

	while ((c = getopt_long(argc, argv, "nypavf", long_options, NULL)) !=
	       -1) {
		switch (c) {
		case 'n':
			no = true;
			break;
		case 'y':
		case 'p':
		case 'a':
			yes = true;
			break;
		case 'D':
			f.data = true;
			break;
		case 'v':
			f.verbose = true;
			break;
		case 'f': /* every check is a full one; for e2fsck's sake */
			break;
		default:
			return FSCK_USAGE;
		}
	}
	if (no && yes) {
		cli_usage(&cmd_fsck, "-n does not go with -y, -p or -a");
		return FSCK_USAGE;
	}
	if (argc - optind != 1) {
		cli_usage(&cmd_fsck, argc == optind ? "which STORE?"
						    : "one STORE at a time");
		return FSCK_USAGE;
	}
	f.path = argv[optind];
	f.repair = yes;
	status = check(&f);
	return cli_flush() ? status : status | FSCK_FAILED;
}

const struct command cmd_fsck = {
	.name = "fsck",
	.summary = "check a store, and mend it",
	.help = help,
	.run = run,
};
