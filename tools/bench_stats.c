/* SPDX-License-Identifier: MIT */
/* bench_stats.c - the benchmark "stats": lsm_get_stats() in words. */
#include <stdio.h>

#include "tools/bench.h"
#include "tools/cli.h"

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static void print_tree(const struct lsm_stats *s)
{
	char a[HUMAN_MAX], b[HUMAN_MAX];
	unsigned i;

	for (i = 0; i < LSM_LEVELS; i++)
		if (s->level_tables[i])
			printf("  level %u: %u table%s, %s\n", i,
			       s->level_tables[i],
			       s->level_tables[i] == 1 ? "" : "s",
			       human_size(a, s->level_bytes[i]));
	printf("  tables: %s on disk for %s of keys and values, %llu entries, "
	       "%llu tombstones, %llu range tombstones\n",
	       human_size(a, s->table_bytes), human_size(b, s->raw_bytes),
	       (unsigned long long)s->entries, (unsigned long long)s->deletions,
	       (unsigned long long)s->range_deletions);
	printf("  not flushed: %s of log; compaction due: %s\n",
	       human_size(a, s->wal_bytes),
	       human_size(b, s->pending_compaction_bytes));
}

static void print_writes(const struct lsm_stats *s)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX];
	uint64_t tables = s->flush_written_bytes + s->compact_written_bytes;

	printf("  written: %llu operations in %llu batches, %s; log %s, "
	       "%llu syncs\n",
	       (unsigned long long)s->writes, (unsigned long long)s->batches,
	       human_size(a, s->write_bytes),
	       human_size(b, s->wal_written_bytes),
	       (unsigned long long)s->wal_syncs);
	printf("  flushes: %llu, %s written\n", (unsigned long long)s->flushes,
	       human_size(a, s->flush_written_bytes));
	printf("  compactions: %llu and %llu moves, %s read, %s written\n",
	       (unsigned long long)s->compactions,
	       (unsigned long long)s->trivial_moves,
	       human_size(a, s->compact_read_bytes),
	       human_size(b, s->compact_written_bytes));
	if (s->blob_files || s->blob_written_bytes)
		printf("  blob files: %u, %s; values %s, live %.0f %%; "
		       "%s written\n",
		       s->blob_files, human_size(a, s->blob_file_bytes),
		       human_size(b, s->blob_value_bytes),
		       100 * ratio(s->blob_live_bytes, s->blob_value_bytes),
		       human_size(c, s->blob_written_bytes));
	printf("  write amplification: %.2f of tables, %.2f with the log\n",
	       ratio(tables, s->write_bytes),
	       ratio(tables + s->wal_written_bytes, s->write_bytes));
	printf("  writers waited %s for the tree\n",
	       human_time(c, s->stall_ns));
}

static void print_reads(const struct lsm_stats *s)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX], d[HUMAN_MAX];

	printf("  gets: %llu, %llu found; cache %.1f%% of %llu looks hit; "
	       "filters spared %.1f%% of %llu\n",
	       (unsigned long long)s->gets, (unsigned long long)s->get_hits,
	       100 * ratio(s->cache_hits, s->cache_hits + s->cache_misses),
	       (unsigned long long)(s->cache_hits + s->cache_misses),
	       100 * ratio(s->bloom_useful, s->bloom_checked),
	       (unsigned long long)s->bloom_checked);
	printf("  memory: %s in use; memtables %s, cache %s, pinned %s\n",
	       human_size(a, s->memory_bytes), human_size(b, s->memtable_bytes),
	       human_size(c, s->cache_bytes), human_size(d, s->pinned_bytes));
}

void bench_print_stats(struct lsm_db *db)
{
	struct lsm_stats s;

	lsm_get_stats(db, &s);
	puts("stats, since the store was opened:");
	print_tree(&s);
	print_writes(&s);
	print_reads(&s);
	if (s.background_error)
		printf("  background error: %s\n",
		       lsm_strerror(s.background_error));
	fflush(stdout);
}
