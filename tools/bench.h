/* SPDX-License-Identifier: MIT */
/*
 * bench.h - tinylsm bench: measures the engine with the workloads, flags and
 * result line of the db_bench programs of LevelDB and RocksDB, so that
 * figures can be put side by side.
 *
 *   cmd_bench.c    help, the list of benchmarks, one after the other
 *   bench_flags.c  the command line
 *   bench_db.c     making, opening and destroying the store
 *   bench_run.c    threads, timing, the result line
 *   bench_work.c   what one thread does in each workload
 *   bench_stats.c  the benchmark "stats"
 *
 * What is measured is the engine: keys, values and random numbers cost a few
 * nanoseconds an operation, and no clock is read inside a loop unless a
 * histogram is asked for.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lsm/base/histogram.h"
#include "lsm/base/sync.h"
#include "lsm/lsm.h"

#define BENCH_KEY_MIN 8
#define BENCH_KEY_MAX 1024
/* readmissing asks for keys one byte longer than those there are. */
#define BENCH_KEY_BUF   (BENCH_KEY_MAX + 1)
#define BENCH_BATCH_MAX 65536

struct bench_flags {
	const char *db; /* NULL: a temporary directory */
	const char *benchmarks;
	uint64_t num;
	uint64_t reads; /* UINT64_MAX: num */
	uint64_t value_size;
	uint64_t key_size;
	bool decimal_keys; /* as LevelDB's; else as RocksDB's */
	uint64_t threads;
	bool use_existing_db;
	uint64_t cache_size;
	uint64_t write_buffer_size;
	uint64_t max_write_buffer_number;
	/* 0: the engine's defaults */
	uint64_t max_bytes_for_level_base, target_file_size_base;
	uint64_t level0_file_num_compaction_trigger;
	uint64_t bloom_bits;
	enum lsm_compression compression;
	double compression_ratio;
	bool sync;
	uint64_t seed;
	uint64_t batch_size;
	uint64_t blob_bytes, blob_direct_bytes; /* 0: the engine's defaults */
	uint64_t block_size;
	bool histogram;
	uint64_t duration; /* seconds; 0: count operations */
	uint64_t compaction_threads;
	uint64_t wal_sync_interval_ms;
	bool disable_auto_compactions;
	bool events; /* print what the background does */
};

/* 0, or CLI_USAGE after one line on stderr. */
int bench_parse_flags(int argc, char **argv, struct bench_flags *flags);

/* lsm_options.event_fn: a line on stderr. */
void bench_print_event(void *arg, const struct lsm_event *e);

/* One run of one benchmark, shared by its threads; const while they run. */
struct bench_run {
	const struct bench_flags *flags;
	const struct bench_workload *workload;
	struct lsm_db *db;
	const uint8_t *values; /* what values are cut from */
	size_t values_bytes;
	bool sync;
	uint64_t batch;
	pthread_barrier_t start;
	_Atomic(unsigned) busy; /* threads that are still measuring */
};

struct bench_thread {
	struct bench_run *run;
	pthread_t thread;
	unsigned index;
	uint64_t rng;
	/* results, read after the thread was joined */
	uint64_t ops, bytes, found;
	uint64_t start_ns, end_ns;
	uint64_t last_ns; /* end of the operation before, for the histogram */
	struct histogram *latency; /* NULL: no histogram */
	bool excluded; /* a background writer: not part of the figures */
	int err;
	const char *failed; /* the call that err came from */
};

enum bench_flag_bits {
	BENCH_FRESH = 1,     /* starts from an empty store */
	BENCH_READS = 2,     /* says how many keys were found */
	BENCH_WRITER = 4,    /* one more thread that writes beside */
	BENCH_SYNC = 8,      /* every write is synced */
	BENCH_ONCE = 16,     /* one thread, one operation */
	BENCH_THOUSAND = 32, /* a thousand keys a batch */
	BENCH_BULK = 64,     /* a MiB of values a batch, not copied into it */
};

struct bench_workload {
	const char *name;
	void (*work)(struct bench_thread *t); /* NULL: prints statistics */
	unsigned bits;
};

/* NULL: there is none of that name. */
const struct bench_workload *bench_find(const char *name, size_t len);

/* Runs it in flags->threads threads and prints the result. thread_count
 * counts threads over all benchmarks, which makes their seeds differ but
 * repeatable. 0 or an error, which was said. */
int bench_run(const struct bench_flags *flags, const struct bench_workload *w,
	      struct lsm_db *db, const uint8_t *values, size_t values_bytes,
	      uint64_t *thread_count);
void bench_print_stats(struct lsm_db *db);

/* The store of a bench. */
int bench_db_open(const struct bench_flags *flags, bool create,
		  struct lsm_db **out);
/* Removes the store's files from the directory; a missing or empty directory
 * is fine. With ours unset, -ENOTEMPTY when it holds anything that no store
 * of the engine has, -EEXIST when it is a filesystem, and errors of opening
 * it: what cannot be recognized is not deleted. All said on stderr. */
int bench_db_destroy(const char *path, bool ours);

/* Values: pieces of 100 bytes that compress to ratio. Freed by the caller;
 * NULL: no memory. */
uint8_t *bench_make_values(double ratio, uint64_t seed, size_t bytes);

/* ---- inside the loops ------------------------------------------------------
 */

/* xorshift64*: Marsaglia 2003, Vigna 2014. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* Below n; Lemire's multiplication instead of a division. */
static inline uint64_t bench_below(uint64_t *state, uint64_t n)
{
	return (uint64_t)((unsigned __int128)bench_random(state) * n >> 64);
}

/*
 * Key number v. RocksDB's form: eight big-endian bytes, then '0' up to the
 * key size. LevelDB's form: decimal, with leading zeros. buf was filled with
 * '0' once, and always gets keys of the same form.
 */
static inline void bench_key(const struct bench_flags *f, uint8_t *buf,
			     uint64_t v)
{
	size_t i;

	if (!f->decimal_keys) {
		v = __builtin_bswap64(v);
		memcpy(buf, &v, 8);
		return;
	}
	memset(buf, '0', f->key_size);
	for (i = f->key_size; v && i > 0; v /= 10)
		buf[--i] = (uint8_t)('0' + v % 10);
}

static inline void bench_done(struct bench_thread *t, uint64_t ops)
{
	uint64_t now;

	t->ops += ops;
	if (!t->latency)
		return;
	now = clock_ns();
	histogram_add(t->latency, now - t->last_ns);
	t->last_ns = now;
}

#endif
