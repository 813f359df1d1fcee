/* SPDX-License-Identifier: MIT */
/*
 * bench_run.c - runs one workload in its threads and prints db_bench's line:
 *
 *   fillrandom   :       2.119 micros/op 471920 ops/sec 2.1 seconds ...
 *
 * micros/op is the mean time of an operation in its thread: the sum of the
 * threads' times over all operations; ops/sec counts all threads against the
 * time from the first start to the last end. Both as RocksDB's db_bench.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench.h"

/* Values in a batch of a bulk workload. */
#define BULK_BYTES ((uint64_t)1 << 20)
#include "tools/cli.h"

#define PIECE 100

uint8_t *bench_make_values(double ratio, uint64_t seed, size_t bytes)
{
	uint8_t *out = malloc(bytes);
	size_t random_bytes = (size_t)(PIECE * ratio), at, i, n;
	uint64_t rng = seed | 1;

	if (!out)
		return NULL;
	if (!random_bytes)
		random_bytes = 1;
	/* Each piece is printable noise, repeated until it is full. */
	for (at = 0; at < bytes; at += n) {
		n = bytes - at < PIECE ? bytes - at : PIECE;
		for (i = 0; i < n; i++)
			out[at + i] =
				i < random_bytes
					? (uint8_t)(' ' + bench_below(&rng, 95))
					: out[at + i - random_bytes];
	}
	return out;
}

static void *thread_main(void *arg)
{
	struct bench_thread *t = arg;
	struct bench_run *run = t->run;

	pthread_barrier_wait(&run->start);
	t->start_ns = t->last_ns = clock_ns();
	run->workload->work(t);
	t->end_ns = clock_ns();
	/* Nothing is published: the writer beside only looks for zero. */
	if (!t->excluded)
		atomic_fetch_sub_explicit(&run->busy, 1, memory_order_relaxed);
	return NULL;
}

static void print_latency(const struct histogram *h)
{
	static const double parts[] = {0.5, 0.95, 0.99, 0.999};
	static const char *const names[] = {"p50", "p95", "p99", "p99.9"};
	size_t i;

	printf("Microseconds per call: count %llu  mean %.3f  min %.3f",
	       (unsigned long long)h->count, histogram_mean(h) / 1e3,
	       (double)h->min / 1e3);
	for (i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		printf("  %s %.3f", names[i],
		       (double)histogram_percentile(h, parts[i]) / 1e3);
	printf("  max %.3f\n", (double)h->max / 1e3);
}

static void print_result(const struct bench_run *run,
			 const struct bench_thread *threads, unsigned count,
			 struct histogram *latency)
{
	uint64_t ops = 0, bytes = 0, found = 0, sum = 0;
	uint64_t first = UINT64_MAX, last = 0, shown;
	double elapsed;
	unsigned i;

	for (i = 0; i < count; i++) {
		if (threads[i].excluded)
			continue;
		ops += threads[i].ops;
		bytes += threads[i].bytes;
		found += threads[i].found;
		sum += threads[i].end_ns - threads[i].start_ns;
		if (threads[i].start_ns < first)
			first = threads[i].start_ns;
		if (threads[i].end_ns > last)
			last = threads[i].end_ns;
		if (latency)
			histogram_merge(latency, threads[i].latency);
	}
	shown = ops ? ops : 1;
	elapsed = last > first ? (double)(last - first) / 1e9 : 1e-9;
	printf("%-12s : %11.3f micros/op %llu ops/sec %.3f seconds %llu "
	       "operations;",
	       run->workload->name, (double)sum / 1e3 / (double)shown,
	       (unsigned long long)((double)shown / elapsed), elapsed,
	       (unsigned long long)ops);
	if (bytes)
		printf(" %6.1f MB/s", (double)bytes / 1048576.0 / elapsed);
	if (run->workload->bits & BENCH_READS)
		printf(" (%llu of %llu found)", (unsigned long long)found,
		       (unsigned long long)ops);
	putchar('\n');
	if (latency)
		print_latency(latency);
	fflush(stdout);
}

/* What an excluded thread failed at counts too. */
static int first_error(const struct bench_run *run,
		       const struct bench_thread *threads, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (!threads[i].err)
			continue;
		cli_error("%s: %s: %s", run->workload->name, threads[i].failed,
			  lsm_strerror(threads[i].err));
		return threads[i].err;
	}
	return 0;
}

static int start_threads(struct bench_run *run, struct bench_thread *threads,
			 unsigned count, uint64_t *thread_count)
{
	const struct bench_flags *f = run->flags;
	unsigned i;

	for (i = 0; i < count; i++) {
		struct bench_thread *t = &threads[i];

		t->run = run;
		t->index = i;
		/* Spread over the state, so that neighbours do not start with
		 * correlated numbers; never zero. */
		t->rng = (f->seed + ++*thread_count) * 0x9e3779b97f4a7c15ull;
		t->rng |= 1;
		t->excluded = (run->workload->bits & BENCH_WRITER) && !i;
		if (f->histogram) {
			t->latency = malloc(sizeof(*t->latency));
			if (!t->latency)
				return -ENOMEM;
			histogram_init(t->latency);
		}
	}
	for (i = 0; i < count; i++) {
		if (!pthread_create(&threads[i].thread, NULL, thread_main,
				    &threads[i]))
			continue;
		/* The others wait at the barrier for this one for good. */
		cli_error("%s: cannot start %u threads", run->workload->name,
			  count);
		exit(CLI_FAILED);
	}
	return 0;
}

static uint64_t batch_ops(const struct bench_flags *f,
			  const struct bench_workload *w)
{
	if (w->bits & BENCH_THOUSAND)
		return 1000;
	if (!(w->bits & BENCH_BULK) || f->batch_size > 1)
		return f->batch_size;
	return f->value_size && f->value_size < BULK_BYTES
		       ? BULK_BYTES / f->value_size
		       : 1;
}

int bench_run(const struct bench_flags *flags, const struct bench_workload *w,
	      struct lsm_db *db, const uint8_t *values, size_t values_bytes,
	      uint64_t *thread_count)
{
	struct bench_run run = {
		.flags = flags,
		.workload = w,
		.db = db,
		.values = values,
		.values_bytes = values_bytes,
		.sync = flags->sync || (w->bits & BENCH_SYNC),
		.batch = batch_ops(flags, w),
	};
	unsigned count = w->bits & BENCH_ONCE ? 1 : (unsigned)flags->threads, i;
	struct bench_thread *threads;
	struct histogram *latency = NULL;
	int err;

	atomic_init(&run.busy, count);
	if (w->bits & BENCH_WRITER)
		count++;
	threads = calloc(count, sizeof(*threads));
	if (flags->histogram)
		latency = malloc(sizeof(*latency));
	if (!threads || (flags->histogram && !latency)) {
		err = -ENOMEM;
		goto out;
	}
	if (latency)
		histogram_init(latency);
	pthread_barrier_init(&run.start, NULL, count);
	err = start_threads(&run, threads, count, thread_count);
	for (i = 0; !err && i < count; i++)
		pthread_join(threads[i].thread, NULL);
	pthread_barrier_destroy(&run.start);
	if (!err)
		err = first_error(&run, threads, count);
	else
		cli_error("%s: %s", w->name, lsm_strerror(err));
	if (!err)
		print_result(&run, threads, count, latency);
	for (i = 0; i < count; i++)
		free(threads[i].latency);
out:
	free(threads);
	free(latency);
	return err;
}
