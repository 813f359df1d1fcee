/* SPDX-License-Identifier: MIT */
/*
 * bench_flags.c - the flags of tinylsm bench, as db_bench takes them:
 * --name=value, --name value; for booleans also --name and --noname. One
 * table says it all; an unknown flag is an error, as a benchmark that ran
 * with other settings than were asked for is worse than none.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "tools/bench.h"
#include "tools/cli.h"

enum flag_type {
	FLAG_U64,
	FLAG_SIZE,
	FLAG_BOOL,
	FLAG_TEXT,
	FLAG_RATIO,
	FLAG_COMPRESSION,
	FLAG_KEY_FORMAT,
};

struct flag {
	const char *name;
	enum flag_type type;
	size_t offset;
	uint64_t min, max;
};

#define FLAG(t, field, lo, hi)                                              \
	{                                                                   \
		.name = #field, .type = (t),                                \
		.offset = offsetof(struct bench_flags, field), .min = (lo), \
		.max = (hi)                                                 \
	}

static const struct flag table[] = {
	FLAG(FLAG_TEXT, db, 0, 0),
	FLAG(FLAG_TEXT, benchmarks, 0, 0),
	FLAG(FLAG_U64, num, 1, 1ull << 56),
	FLAG(FLAG_U64, reads, 1, 1ull << 56),
	FLAG(FLAG_SIZE, value_size, 0, 64 << 20),
	FLAG(FLAG_U64, key_size, BENCH_KEY_MIN, BENCH_KEY_MAX),
	FLAG(FLAG_U64, threads, 1, 1024),
	FLAG(FLAG_BOOL, use_existing_db, 0, 0),
	FLAG(FLAG_SIZE, cache_size, 0, 1ull << 50),
	FLAG(FLAG_SIZE, write_buffer_size, 64 << 10, 1ull << 40),
	FLAG(FLAG_U64, max_write_buffer_number, 2, 64),
	FLAG(FLAG_SIZE, max_bytes_for_level_base, 0, 1ull << 50),
	FLAG(FLAG_SIZE, target_file_size_base, 0, 1ull << 40),
	FLAG(FLAG_U64, level0_file_num_compaction_trigger, 0, 1 << 16),
	FLAG(FLAG_U64, bloom_bits, 0, 64),
	FLAG(FLAG_COMPRESSION, compression, 0, 0),
	FLAG(FLAG_RATIO, compression_ratio, 0, 0),
	FLAG(FLAG_BOOL, sync, 0, 0),
	FLAG(FLAG_U64, seed, 0, UINT64_MAX),
	FLAG(FLAG_U64, batch_size, 1, BENCH_BATCH_MAX),
	FLAG(FLAG_SIZE, block_size, 256, 1 << 24),
	FLAG(FLAG_SIZE, blob_bytes, 0, 1 << 30),
	FLAG(FLAG_SIZE, blob_direct_bytes, 0, UINT32_MAX),
	FLAG(FLAG_BOOL, histogram, 0, 0),
	FLAG(FLAG_U64, duration, 0, 1 << 30),
	FLAG(FLAG_U64, compaction_threads, 0, 64),
	FLAG(FLAG_U64, wal_sync_interval_ms, 0, UINT32_MAX),
	FLAG(FLAG_BOOL, disable_auto_compactions, 0, 0),
	FLAG(FLAG_BOOL, events, 0, 0),
	{.name = "key_format", .type = FLAG_KEY_FORMAT},
};

static const struct flag *find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strlen(table[i].name) == len &&
		    !memcmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

static int parse_bool(const char *v, bool *out)
{
	*out = !strcmp(v, "1") || !strcmp(v, "true") || !strcmp(v, "yes");
	if (*out || !strcmp(v, "0") || !strcmp(v, "false") || !strcmp(v, "no"))
		return 0;
	return -EINVAL;
}

static int parse_ratio(const char *v, double *out)
{
	char *end;

	*out = strtod(v, &end);
	return end == v || *end || !(*out > 0 && *out <= 1) ? -EINVAL : 0;
}

static int set_number(const struct flag *f, const char *v, uint64_t *out)
{
	int err = f->type == FLAG_SIZE ? parse_size(v, out) : parse_u64(v, out);

	return err || *out < f->min || *out > f->max ? -EINVAL : 0;
}

static int set(const struct flag *f, const char *v, struct bench_flags *flags)
{
	void *field = (char *)flags + f->offset;

	switch (f->type) {
	case FLAG_U64:
	case FLAG_SIZE:
		return set_number(f, v, field);
	case FLAG_BOOL:
		return parse_bool(v, field);
	case FLAG_TEXT:
		*(const char **)field = v;
		return *v ? 0 : -EINVAL;
	case FLAG_RATIO:
		return parse_ratio(v, field);
	case FLAG_COMPRESSION:
		if (!strcmp(v, "lz4"))
			flags->compression = LSM_COMPRESSION_LZ4;
		else if (!strcmp(v, "none"))
			flags->compression = LSM_COMPRESSION_NONE;
		else
			return -EINVAL;
		return 0;
	case FLAG_KEY_FORMAT:
		flags->decimal_keys = !strcmp(v, "decimal");
		return flags->decimal_keys || !strcmp(v, "binary") ? 0
								   : -EINVAL;
	}
	return -EINVAL;
}

/* The flag in argv[*i]; moves *i on when its value is the next argument. */
static int take(int argc, char **argv, int *i, struct bench_flags *flags)
{
	const char *arg = argv[*i], *name, *eq, *value;
	const struct flag *f;
	size_t len;

	if (arg[0] != '-' || !arg[1]) {
		cli_usage(&cmd_bench, "'%s' is not a flag", arg);
		return CLI_USAGE;
	}
	name = arg + (arg[1] == '-' ? 2 : 1);
	eq = strchr(name, '=');
	len = eq ? (size_t)(eq - name) : strlen(name);
	f = find(name, len);
	if (f && eq)
		value = eq + 1;
	else if (f && f->type == FLAG_BOOL)
		value = "1";
	else if (f)
		value = ++*i < argc ? argv[*i] : NULL;
	else if (!eq && !strncmp(name, "no", 2) &&
		 (f = find(name + 2, len - 2)) && f->type == FLAG_BOOL)
		value = "0";
	else {
		cli_usage(&cmd_bench, "unknown flag '%s'", arg);
		return CLI_USAGE;
	}
	if (value && !set(f, value, flags))
		return 0;
	if (value)
		cli_usage(&cmd_bench, "--%s cannot be '%s'", f->name, value);
	else
		cli_usage(&cmd_bench, "--%s wants a value", f->name);
	return CLI_USAGE;
}

int bench_parse_flags(int argc, char **argv, struct bench_flags *flags)
{
	int i, err;

	*flags = (struct bench_flags){
		.benchmarks = "fillseq,fillrandom,overwrite,readrandom,"
			      "readmissing,readseq,readreverse,seekrandom,"
			      "compact,readrandom,readseq,stats",
		.num = 1000000,
		.reads = UINT64_MAX,
		.value_size = 100,
		.key_size = 16,
		.threads = 1,
		.cache_size = 32 << 20,
		.write_buffer_size = 64 << 20,
		.max_write_buffer_number = 2,
		.bloom_bits = 10,
		.compression = LSM_COMPRESSION_LZ4,
		.compression_ratio = 0.5,
		.seed = 1000,
		.batch_size = 1,
		.block_size = 4096,
	};
	for (i = 1; i < argc; i++) {
		err = take(argc, argv, &i, flags);
		if (err)
			return err;
	}
	if (flags->reads == UINT64_MAX)
		flags->reads = flags->num;
	return 0;
}
