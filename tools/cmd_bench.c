/* SPDX-License-Identifier: MIT */
/*
 * cmd_bench.c - tinylsm bench: one benchmark after the other on one store.
 *
 * As db_bench has it: a benchmark that fills destroys the store first and is
 * skipped with --use_existing_db; the others go on with what is there.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench.h"
#include "tools/cli.h"

static const char help[] =
	"usage: tinylsm bench [--FLAG=VALUE]...\n\n"
	"Measures the engine with the workloads, flags and result line of "
	"db_bench, the\n"
	"tool of LevelDB and RocksDB.\n\n"
	"  --benchmarks=LIST  separated by commas, run in this order:\n"
	"      fillseq fillrandom fillbatch fillbulk fillsync   into an empty "
	"store\n"
	"      overwrite deleteseq deleterandom\n"
	"      readrandom readmissing multireadrandom readwhilewriting\n"
	"      readseq readreverse seekrandom\n"
	"      flush compact waitforcompaction\n"
	"      stats              what the engine counted\n"
	"  --db=DIR               the store (default: a new directory in "
	"TMPDIR, removed\n"
	"                         at the end). Without --use_existing_db a "
	"store in DIR\n"
	"                         is destroyed; a filesystem or anything else "
	"is not\n"
	"  --use_existing_db=0|1  go on with the store in DIR; filling is "
	"skipped\n"
	"  --num=N                keys, and operations a thread (1000000)\n"
	"  --reads=N              reads a thread (num)\n"
	"  --threads=N            (1)\n"
	"  --duration=SECONDS     random workloads run this long instead\n"
	"  --key_size=BYTES       8 to 1024 (16)\n"
	"  --key_format=binary|decimal   keys as RocksDB's or LevelDB's "
	"db_bench makes\n"
	"                         them (binary)\n"
	"  --value_size=BYTES     (100)\n"
	"  --compression_ratio=R  what values shrink to (0.5)\n"
	"  --batch_size=N         operations a batch, keys a multi-get (1)\n"
	"  --sync=0|1             sync every write (0)\n"
	"  --seed=N               (1000)\n"
	"  --histogram=0|1        latency percentiles; reads the clock for "
	"every call\n"
	"  --cache_size=BYTES     (32M); the memory budget is this plus two "
	"write buffers\n"
	"  --write_buffer_size=BYTES     (64M)\n"
	"  --max_write_buffer_number=N   (2)\n"
	"  --max_bytes_for_level_base=BYTES, --target_file_size_base=BYTES\n"
	"                         of a level and of a table (the engine's "
	"defaults)\n"
	"  --level0_file_num_compaction_trigger=N   (the engine's default)\n"
	"  --block_size=BYTES     (4K)\n"
	"  --blob_bytes=BYTES     values of that size leave the tree, 0: none "
	"(0)\n"
	"  --blob_direct_bytes=BYTES     of such values make a bulk write "
	"(64K)\n"
	"  --bloom_bits=N         bits a key, 0: no filters (10)\n"
	"  --compression=lz4|none        (lz4)\n"
	"  --compaction_threads=N        (the engine's default)\n"
	"  --wal_sync_interval_ms=N      (the engine's default)\n"
	"  --disable_auto_compactions=0|1\n"
	"  --events=0|1           print flushes, compactions and stalls as "
	"they happen\n\n"
	"Result: name : microseconds an operation in its thread, operations a "
	"second of\n"
	"all threads, seconds, operations; megabytes a second.\n\n"
	"examples:\n"
	"  tinylsm bench --db=/data/b --benchmarks=fillrandom,readrandom,"
	"stats\n"
	"  tinylsm bench --db=/data/b --use_existing_db=1 --threads=4 \\\n"
	"      --benchmarks=readrandom --histogram\n\n"
	"Exit status: 0 all ran, 1 failed, 2 wrong usage.\n";

/* Values are cut from this much, or from three of them when they are large:
 * far more than the compressor's window, and small enough for the caches. */
#define VALUES_BYTES (1u << 20)

struct bench {
	struct bench_flags flags;
	struct lsm_db *db;
	uint8_t *values;
	size_t values_bytes;
	uint64_t thread_count;
	bool ours; /* what is in the directory was made by this bench */
	bool temporary;
	char dir[PATH_MAX];
};

/* All names are looked up before anything runs: a typing error at the end of
 * the list must not cost an hour. */
static int check_names(const char *list)
{
	const char *p = list;
	size_t n;

	for (;;) {
		n = strcspn(p, ",");
		if (!bench_find(p, n)) {
			cli_usage(&cmd_bench, "unknown benchmark '%.*s'",
				  (int)n, p);
			return CLI_USAGE;
		}
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

static int choose_dir(struct bench *b)
{
	const char *tmp = getenv("TMPDIR");
	int n;

	if (b->flags.db)
		return 0;
	if (b->flags.use_existing_db) {
		cli_usage(&cmd_bench, "--use_existing_db wants --db");
		return CLI_USAGE;
	}
	n = snprintf(b->dir, sizeof(b->dir), "%s/tinylsm-bench-XXXXXX",
		     tmp && *tmp ? tmp : "/tmp");
	if (n < 0 || (size_t)n >= sizeof(b->dir) || !mkdtemp(b->dir)) {
		cli_error("%s: cannot make a directory: %s", b->dir,
			  strerror(errno));
		return CLI_FAILED;
	}
	b->temporary = true;
	b->flags.db = b->dir;
	cli_error("warning: no --db: using %s, removed at the end", b->dir);
	return 0;
}

static void print_header(const struct bench_flags *f)
{
	double mib = (double)(f->key_size + f->value_size) * (double)f->num /
		     1048576.0;

	printf("TinyLSM:    version %s\n", lsm_version());
	printf("Keys:       %llu bytes each, %s\n",
	       (unsigned long long)f->key_size,
	       f->decimal_keys ? "decimal" : "binary");
	printf("Values:     %llu bytes each (%.0f bytes after compression)\n",
	       (unsigned long long)f->value_size,
	       (double)f->value_size * f->compression_ratio);
	printf("Entries:    %llu, %.1f MiB of keys and values\n",
	       (unsigned long long)f->num, mib);
	printf("------------------------------------------------\n");
	fflush(stdout);
}

static int close_db(struct bench *b)
{
	int err = b->db ? lsm_close(b->db) : 0;

	b->db = NULL;
	if (err)
		cli_error("%s: closing: %s", b->flags.db, lsm_strerror(err));
	return err;
}

static int start_fresh(struct bench *b)
{
	int err = close_db(b);

	if (!err)
		err = bench_db_destroy(b->flags.db, b->ours);
	if (err)
		return err;
	b->ours = true;
	return bench_db_open(&b->flags, true, &b->db);
}

static int run_one(struct bench *b, const struct bench_workload *w)
{
	int err;

	if (w->bits & BENCH_FRESH) {
		if (b->flags.use_existing_db) {
			printf("%-12s : skipped (--use_existing_db is true)\n",
			       w->name);
			return 0;
		}
		err = start_fresh(b);
		if (err)
			return err;
	}
	if (!w->work) {
		bench_print_stats(b->db);
		return 0;
	}
	return bench_run(&b->flags, w, b->db, b->values, b->values_bytes,
			 &b->thread_count);
}

static int run_all(struct bench *b)
{
	const char *p = b->flags.benchmarks;
	int err;
	size_t n;

	err = b->flags.use_existing_db ? bench_db_open(&b->flags, false, &b->db)
				       : start_fresh(b);
	while (!err) {
		n = strcspn(p, ",");
		err = run_one(b, bench_find(p, n));
		if (!p[n])
			break;
		p += n + 1;
	}
	return err;
}

static int run(int argc, char **argv)
{
	struct bench b = {0};
	int status = bench_parse_flags(argc, argv, &b.flags), err;

	if (!status)
		status = check_names(b.flags.benchmarks);
	if (!status)
		status = choose_dir(&b);
	if (status)
		return status;
	b.values_bytes = 3 * b.flags.value_size;
	if (b.values_bytes < VALUES_BYTES)
		b.values_bytes = VALUES_BYTES;
	b.values = bench_make_values(b.flags.compression_ratio, b.flags.seed,
				     b.values_bytes);
	if (b.values) {
		print_header(&b.flags);
		err = run_all(&b);
	} else {
		err = -ENOMEM;
		cli_error("no memory for values");
	}
	if (close_db(&b))
		err = -EIO;
	if (b.temporary) {
		if (!bench_db_destroy(b.dir, true) && rmdir(b.dir))
			cli_error("%s: %s", b.dir, strerror(errno));
	}
	free(b.values);
	return err || !cli_flush() ? CLI_FAILED : CLI_OK;
}

const struct command cmd_bench = {
	.name = "bench",
	.summary = "measure the engine, as db_bench does",
	.help = help,
	.run = run,
};
