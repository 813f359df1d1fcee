/* SPDX-License-Identifier: MIT */
/*
 * info_print.c - struct info in words and as JSON.
 */
#include <stdio.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/info.h"

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

/* Values that nothing refers to, in files that are not collected yet. Live
 * counts every reference, so where values are shared it may be the larger. */
static uint64_t blob_dead_bytes(const struct lsm_stats *s)
{
	return s->blob_value_bytes > s->blob_live_bytes
		       ? s->blob_value_bytes - s->blob_live_bytes
		       : 0;
}

static double write_amplification(const struct fs_written *w)
{
	return ratio(w->log + w->direct + w->flush + w->compact, w->given);
}

static void format_time(char out[32], uint64_t ns)
{
	time_t t = (time_t)(ns / 1000000000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, 32, "?");
}

static void text_fs(const struct info *in)
{
	char uuid[UUID_TEXT], when[32], size[HUMAN_MAX];

	uuid_format(uuid, in->fs.uuid);
	format_time(when, in->fs.created_ns);
	printf("label            %s\n", in->fs.label[0] ? in->fs.label : "-");
	printf("uuid             %s\n", uuid);
	printf("created          %s\n", when);
	printf("format           %u\n", in->fs.format);
	printf("features         compatible 0x%llx, incompatible 0x%llx\n",
	       (unsigned long long)in->fs.features_compat,
	       (unsigned long long)in->fs.features_incompat);
	printf("block size       %u\n", in->fs.block_bytes);
	printf("compression      %s\n", compression_name(in->fs.compression));
	printf("size limit       %s\n",
	       in->fs.size_limit ? human_size(size, in->fs.size_limit)
				 : "none but the disk");
}

static void text_usage(const struct info *in)
{
	char a[HUMAN_MAX];

	printf("inodes used      %llu\n", (unsigned long long)in->used_inodes);
	printf("blocks used      %llu of %u bytes, %s\n",
	       (unsigned long long)in->used_blocks, in->statfs.block_bytes,
	       human_size(a, in->used_blocks * in->statfs.block_bytes));
}

static void text_tree(const struct info *in)
{
	const struct lsm_stats *s = &in->stats;
	char a[HUMAN_MAX], b[HUMAN_MAX];
	unsigned i, tables = 0;
	size_t n;

	for (i = 0; i < LSM_LEVELS; i++)
		tables += s->level_tables[i];
	printf("tables           %u, %s, holding %s of keys and values\n",
	       tables, human_size(a, s->table_bytes),
	       human_size(b, s->raw_bytes));
	for (i = 0; i < LSM_LEVELS; i++)
		if (s->level_tables[i])
			printf("  level %u        %u, %s\n", i,
			       s->level_tables[i],
			       human_size(a, s->level_bytes[i]));
	printf("entries          %llu in tables, %llu of them tombstones\n",
	       (unsigned long long)s->entries,
	       (unsigned long long)s->deletions);
	printf("range tombstones %llu\n",
	       (unsigned long long)s->range_deletions);
	if (s->blob_files)
		printf("blob files       %u, %s, holding %s of values\n",
		       s->blob_files, human_size(a, s->blob_file_bytes),
		       human_size(b, s->blob_value_bytes));
	if (s->blob_value_bytes)
		printf("  live           %s, %.1f %%; dead %s\n",
		       human_size(a, s->blob_live_bytes),
		       100 * ratio(s->blob_live_bytes, s->blob_value_bytes),
		       human_size(b, blob_dead_bytes(s)));
	printf("write-ahead log  %s\n", human_size(a, s->wal_bytes));
	printf("compaction due   %s\n",
	       human_size(a, s->pending_compaction_bytes));
	if (s->background_error)
		printf("background error %s\n",
		       lsm_strerror(s->background_error));
	printf("snapshots        %zu\n", in->snapshots);
	for (n = 0; n < in->snapshots; n++)
		printf("  %s at sequence %llu\n", in->snapshot[n].name,
		       (unsigned long long)in->snapshot[n].sequence);
}

void info_print_text(const struct info *in)
{
	char a[HUMAN_MAX], b[HUMAN_MAX];

	printf("store            %s\n", in->path);
	if (in->mounted)
		printf("state            mounted on %s by process %d\n",
		       in->mountpoint, (int)in->holder);
	else if (in->busy)
		printf("state            open in process %d\n",
		       (int)in->holder);
	if (!in->opened) {
		printf("                 (seen from outside: unmount it for "
		       "more)\n");
		if (in->has_usage)
			text_usage(in);
		printf("tables           %u, %s\n", in->files.tables,
		       human_size(a, in->files.table_bytes));
		if (in->files.blobs)
			printf("blob files       %u, %s\n", in->files.blobs,
			       human_size(a, in->files.blob_bytes));
		printf("write-ahead log  %u files, %s with what is reserved\n",
		       in->files.logs, human_size(a, in->files.log_bytes));
	} else {
		if (in->has_fs)
			text_fs(in);
		else
			printf("filesystem       none, a store of the engine "
			       "alone\n");
		if (in->has_fs)
			text_usage(in);
		text_tree(in);
	}
	printf("on disk          %s in %u files\n",
	       human_size(a, in->files.disk_bytes), in->files.files);
	if (in->scanned)
		printf("live             %llu keys, %s\n",
		       (unsigned long long)in->live_entries,
		       human_size(b, in->live_bytes));
	if (in->live_bytes)
		printf("space amplific.  %.2f (bytes on disk / live bytes)\n",
		       ratio(in->files.disk_bytes, in->live_bytes));
	if (in->has_written && in->written.given)
		printf("write amplific.  %.2f (bytes written / %s given since "
		       "it was mounted)\n",
		       write_amplification(&in->written),
		       human_size(a, in->written.given));
}

static void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void json_number(const char *name, uint64_t v)
{
	printf(",\n  \"%s\": %llu", name, (unsigned long long)v);
}

static void json_text(const char *name, const char *v)
{
	printf(",\n  \"%s\": ", name);
	json_string(v);
}

static void json_fs(const struct info *in)
{
	char uuid[UUID_TEXT], when[32];

	uuid_format(uuid, in->fs.uuid);
	format_time(when, in->fs.created_ns);
	json_text("label", in->fs.label);
	json_text("uuid", uuid);
	json_text("created", when);
	json_number("format", in->fs.format);
	json_number("features_compat", in->fs.features_compat);
	json_number("features_incompat", in->fs.features_incompat);
	json_number("block_bytes", in->fs.block_bytes);
	json_text("compression", compression_name(in->fs.compression));
	json_number("size_limit_bytes", in->fs.size_limit);
}

static void json_tree(const struct info *in)
{
	const struct lsm_stats *s = &in->stats;
	size_t i;

	printf(",\n  \"levels\": [");
	for (i = 0; i < LSM_LEVELS; i++)
		printf("%s\n    {\"tables\": %u, \"bytes\": %llu}",
		       i ? "," : "", s->level_tables[i],
		       (unsigned long long)s->level_bytes[i]);
	printf("\n  ]");
	json_number("table_bytes", s->table_bytes);
	json_number("raw_bytes", s->raw_bytes);
	json_number("blob_file_bytes", s->blob_file_bytes);
	json_number("blob_value_bytes", s->blob_value_bytes);
	json_number("blob_live_bytes", s->blob_live_bytes);
	json_number("blob_dead_bytes", blob_dead_bytes(s));
	json_number("entries", s->entries);
	json_number("tombstones", s->deletions);
	json_number("range_tombstones", s->range_deletions);
	json_number("wal_bytes", s->wal_bytes);
	json_number("sequence", s->sequence);
	json_number("pending_compaction_bytes", s->pending_compaction_bytes);
	printf(",\n  \"snapshots\": [");
	for (i = 0; i < in->snapshots; i++) {
		printf("%s\n    {\"name\": ", i ? "," : "");
		json_string(in->snapshot[i].name);
		printf(", \"sequence\": %llu}",
		       (unsigned long long)in->snapshot[i].sequence);
	}
	printf("%s]", in->snapshots ? "\n  " : "");
}

void info_print_json(const struct info *in)
{
	printf("{\n  \"store\": ");
	json_string(in->path);
	printf(",\n  \"open\": %s", in->busy ? "true" : "false");
	if (in->busy)
		json_number("pid", (uint64_t)in->holder);
	if (in->mounted)
		json_text("mountpoint", in->mountpoint);
	if (in->opened) {
		printf(",\n  \"filesystem\": %s",
		       in->has_fs ? "true" : "false");
		json_tree(in);
	}
	if (in->has_fs)
		json_fs(in);
	if (in->has_fs || in->has_usage) {
		json_number("inodes_used", in->used_inodes);
		json_number("blocks_used", in->used_blocks);
	}
	json_number("files", in->files.files);
	json_number("table_files", in->files.tables);
	json_number("blob_files", in->files.blobs);
	json_number("wal_files", in->files.logs);
	json_number("wal_file_bytes", in->files.log_bytes);
	json_number("disk_bytes", in->files.disk_bytes);
	if (in->scanned)
		json_number("live_entries", in->live_entries);
	if (in->live_bytes) {
		json_number("live_bytes", in->live_bytes);
		printf(",\n  \"space_amplification\": %.3f",
		       ratio(in->files.disk_bytes, in->live_bytes));
	}
	if (in->has_written) {
		json_number("given_bytes", in->written.given);
		json_number("log_written_bytes", in->written.log);
		json_number("direct_written_bytes", in->written.direct);
		json_number("flush_written_bytes", in->written.flush);
		json_number("compaction_written_bytes", in->written.compact);
		printf(",\n  \"write_amplification\": %.3f",
		       write_amplification(&in->written));
	}
	printf("\n}\n");
}
