/* SPDX-License-Identifier: MIT */
/*
 * promises.c - measures what the engine promises in figures, through the
 * public interface, and says in TAP whether each holds:
 *
 *   promises DIR [NAME...]      all, or the named ones
 *
 * PROMISES_FILL_MB: the size of the sustained fill (default 512; the long tier
 * takes 10240). Every ratio compares two measurements taken in turns, medians
 * of five, because a machine's speed drifts.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsm/base/histogram.h"
#include "lsm/base/sync.h"
#include "lsm/lsm.h"

#define ROUNDS 5
#define MIB    (1024.0 * 1024)

static const char *work;
static unsigned test_number;
static bool failed;

static void die(const char *what, int err)
{
	printf("Bail out! %s: %s\n", what, lsm_strerror(err));
	exit(1);
}

static void must(const char *what, int err)
{
	if (err)
		die(what, err);
}

static void verdict(bool ok, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void verdict(bool ok, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %u - ", ok ? "" : "not ", ++test_number);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	failed |= !ok;
}

static double seconds_since(uint64_t start)
{
	return (double)(clock_ns() - start) / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double v[ROUNDS])
{
	qsort(v, ROUNDS, sizeof(*v), compare_doubles);
	return v[ROUNDS / 2];
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---- stores ---------------------------------------------------------------
 */

static void store_path(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", work, name);
}

static struct lsm_db *store_open(const char *name, struct lsm_options o)
{
	char path[4096];
	struct lsm_db *db;

	store_path(path, sizeof(path), name);
	must(path, lsm_open(path, &o, &db));
	return db;
}

static void store_remove(const char *name)
{
	char cmd[4200];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s/%s'", work, name);
	if (system(cmd))
		die("removing a store", -EIO);
}

#define KEY_BYTES   16
#define VALUE_BYTES 100

static struct lsm_slice make_key(char *buf, uint64_t n)
{
	for (unsigned i = KEY_BYTES; i-- > 0; n /= 10)
		buf[i] = (char)('0' + n % 10);
	return lsm_slice(buf, KEY_BYTES);
}

/* Half of it compresses away, as in the benchmarks. */
static struct lsm_slice make_value(char *buf, uint64_t n, size_t bytes)
{
	uint64_t state = n * 2 + 0x9e3779b97f4a7c15ull;

	memset(buf, 'v', bytes);
	for (size_t i = 0; i + 8 <= bytes / 2; i += 8) {
		uint64_t r = random_next(&state);

		memcpy(buf + i, &r, 8);
	}
	return lsm_slice(buf, bytes);
}

static void put_range(struct lsm_db *db, uint64_t from, uint64_t to)
{
	char k[KEY_BYTES], v[VALUE_BYTES];

	for (uint64_t i = from; i < to; i++)
		must("put",
		     lsm_put(db, make_key(k, i), make_value(v, i, sizeof(v))));
}

static void compact_all(struct lsm_db *db)
{
	must("compact",
	     lsm_compact_range(db, lsm_slice(NULL, 0), lsm_slice(NULL, 0)));
}

/* Gets a second; keys are multiples of step below space. */
static double read_rate(struct lsm_db *db, uint64_t space, uint64_t step,
			unsigned count, uint64_t seed)
{
	struct lsm_pin pin = {0};
	char k[KEY_BYTES];
	uint64_t start = clock_ns(), state = seed;

	for (unsigned i = 0; i < count; i++)
		must("get", lsm_get(db, NULL,
				    make_key(k, random_next(&state) %
							(space / step) * step),
				    &pin));
	lsm_unpin(&pin);
	return count / seconds_since(start);
}

/* ---- range deletes
 * ----------------------------------------------------------- */

static void range_tombstones_cost_nothing(void)
{
	struct lsm_options o = {0};
	struct lsm_db *plain = store_open("plain", o);
	struct lsm_db *cut = store_open("cut", o);
	struct lsm_batch *b = lsm_batch_new();
	const uint64_t keys = 200000;
	double ratio[ROUNDS], middle;
	char k1[KEY_BYTES], k2[KEY_BYTES];

	put_range(plain, 0, keys);
	put_range(cut, 0, keys);
	compact_all(plain);
	compact_all(cut);
	/* A thousand holes that no key read below lies in, and in both stores
	 * a thousand puts, so that both have the same tables to look into. */
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t at = i * (keys / 1000);

		put_range(plain, at, at + 1);
		put_range(cut, at, at + 1);
		must("delete_range",
		     lsm_batch_delete_range(b, make_key(k1, at + 1),
					    make_key(k2, at + 5)));
	}
	must("write", lsm_write(cut, b, NULL));
	lsm_batch_free(b);
	for (int flushed = 0; flushed < 2; flushed++) {
		if (flushed) {
			must("flush", lsm_flush(plain));
			must("flush", lsm_flush(cut));
		}
		read_rate(plain, keys, 10, 100000, 7);
		read_rate(cut, keys, 10, 100000, 7);
		for (unsigned i = 0; i < ROUNDS; i++) {
			double a = read_rate(plain, keys, 10, 200000, i + 1);

			ratio[i] = read_rate(cut, keys, 10, 200000, i + 1) / a;
		}
		middle = median(ratio);
		verdict(middle >= .9,
			"1,000 live range tombstones %s leave random reads at "
			"%.0f%% (promised: 90%%)",
			flushed ? "in a table" : "in the memtable",
			middle * 100);
	}
	must("close", lsm_close(plain));
	must("close", lsm_close(cut));
	store_remove("plain");
	store_remove("cut");
}

/* Milliseconds to find the first key from the start on. */
static double first_key_ms(struct lsm_db *db)
{
	struct lsm_iter *it;
	uint64_t start;
	double ms;

	must("iter", lsm_iter_new(db, NULL, &it));
	start = clock_ns();
	must("first", lsm_iter_first(it));
	ms = seconds_since(start) * 1000;
	lsm_iter_free(it);
	return ms;
}

static void scan_of_deleted_keys(bool range)
{
	struct lsm_options o = {0};
	struct lsm_db *db = store_open("deleted", o);
	const uint64_t keys = 1000000;
	char k[KEY_BYTES], k2[KEY_BYTES];
	double ms[ROUNDS], middle;

	put_range(db, 0, keys + 1);
	compact_all(db);
	if (range) {
		struct lsm_batch *b = lsm_batch_new();

		must("delete_range",
		     lsm_batch_delete_range(b, make_key(k, 0),
					    make_key(k2, keys)));
		must("write", lsm_write(db, b, NULL));
		lsm_batch_free(b);
	} else {
		for (uint64_t i = 0; i < keys; i++)
			must("delete", lsm_delete(db, make_key(k, i)));
	}
	for (unsigned i = 0; i < ROUNDS; i++)
		ms[i] = first_key_ms(db);
	middle = median(ms);
	verdict(middle < 100,
		"scan over 1,000,000 keys just deleted%s: %.2f ms (promised: "
		"100)",
		range ? " by a range" : " one by one", middle);
	must("flush", lsm_flush(db));
	must("wait", lsm_wait_idle(db));
	for (unsigned i = 0; i < ROUNDS; i++)
		ms[i] = first_key_ms(db);
	middle = median(ms);
	verdict(middle < 5,
		"and once compaction had its turn: %.2f ms (promised: 5)",
		middle);
	must("close", lsm_close(db));
	store_remove("deleted");
}

static void range_deletes(void)
{
	range_tombstones_cost_nothing();
	scan_of_deleted_keys(false);
	scan_of_deleted_keys(true);
}

/* ---- memory
 * ------------------------------------------------------------------- */

static double status_mib(const char *field)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	if (!f)
		die("/proc/self/status", -errno);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			kib = strtod(line + strlen(field), NULL);
	fclose(f);
	return kib / 1024;
}

/* In a child: the peak must be of this work alone. */
static void memory_in_child(void)
{
	struct lsm_options o = {.memory_bytes = 128ull << 20};
	const uint64_t keys = 3000000;
	double before, peak;
	struct lsm_db *db;
	uint64_t state = 5;
	char k[KEY_BYTES], v[VALUE_BYTES];

	/* as lsm_options.memory_bytes advises */
	mallopt(M_TRIM_THRESHOLD, 131072);
	before = status_mib("VmRSS:");
	db = store_open("memory", o);
	for (uint64_t i = 0; i < keys; i++) {
		uint64_t n = random_next(&state) % keys;

		must("put",
		     lsm_put(db, make_key(k, n), make_value(v, n, sizeof(v))));
	}
	for (int pass = 0; pass < 2; pass++) {
		struct lsm_iter *it;
		int err;

		must("iter", lsm_iter_new(db, NULL, &it));
		for (err = lsm_iter_first(it); !err; err = lsm_iter_next(it))
			;
		lsm_iter_free(it);
	}
	for (unsigned i = 0; i < 300000; i++) {
		struct lsm_pin pin = {0};
		int err =
			lsm_get(db, NULL,
				make_key(k, random_next(&state) % keys), &pin);

		if (err < 0)
			die("get", err);
		lsm_unpin(&pin);
	}
	must("close", lsm_close(db));
	peak = status_mib("VmHWM:") - before;
	verdict(peak <= 128 * 1.15,
		"fill, scans and reads with a budget of 128 MiB: peak %.1f MiB "
		"(promised: 147.2)",
		peak);
}

static void memory_bound(void)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork", -errno);
	if (!pid) {
		memory_in_child();
		fflush(stdout);
		_exit(failed);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("the child", -ECHILD);
	test_number++;
	failed |= WEXITSTATUS(status) != 0;
	store_remove("memory");
}

static double hot_hit_rate(struct lsm_db *db, uint64_t hot)
{
	struct lsm_stats a, b;

	lsm_get_stats(db, &a);
	read_rate(db, hot, 1, 50000, 3);
	lsm_get_stats(db, &b);
	return (double)(b.cache_hits - a.cache_hits) /
	       (double)(b.cache_hits - a.cache_hits + b.cache_misses -
			a.cache_misses);
}

static void scan_resistance(void)
{
	struct lsm_options o = {.memory_bytes = 24ull << 20};
	struct lsm_db *db = store_open("scan", o);
	const uint64_t keys = 600000, hot = 50000;
	struct lsm_iter *it;
	double before, after;
	int err;

	put_range(db, 0, keys);
	compact_all(db);
	hot_hit_rate(db, hot);
	hot_hit_rate(db, hot);
	before = hot_hit_rate(db, hot);
	must("iter", lsm_iter_new(db, NULL, &it));
	for (err = lsm_iter_first(it); !err; err = lsm_iter_next(it))
		;
	lsm_iter_free(it);
	after = hot_hit_rate(db, hot);
	verdict(after >= before - .02 && before > .9,
		"hit rate of a hot set before a scan of the whole store %.1f%%, "
		"after it %.1f%%",
		before * 100, after * 100);
	must("close", lsm_close(db));
	store_remove("scan");
}

/* ---- opening
 * --------------------------------------------------------------------- */

static void open_many_tables(void)
{
	struct lsm_options o = {.table_bytes = 32 << 10,
				.write_buffer_bytes = 1 << 20};
	struct lsm_db *db = store_open("many", o);
	const uint64_t keys = 600000;
	struct lsm_stats stats;
	unsigned tables = 0;
	double ms[ROUNDS], middle;

	/* Not in order: what is flushed in order is moved, not cut. */
	for (uint64_t i = 0; i < keys; i++)
		put_range(db, i * 7919 % keys, i * 7919 % keys + 1);
	compact_all(db);
	lsm_get_stats(db, &stats);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		tables += stats.level_tables[i];
	must("close", lsm_close(db));
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t start = clock_ns();

		db = store_open("many", o);
		ms[i] = seconds_since(start) * 1000;
		must("close", lsm_close(db));
	}
	middle = median(ms);
	verdict(middle < 200 && tables >= 1000,
		"opening a store of %u tables: %.1f ms (promised: 200 for "
		"1,000)",
		tables, middle);
	store_remove("many");
}

static void recovery_rate(void)
{
	struct lsm_options o = {.memory_bytes = 1ull << 30,
				.write_buffer_bytes = 400ull << 20};
	const uint64_t keys = 2000000;
	struct lsm_stats stats;
	struct lsm_db *db;
	uint64_t start;
	double s, mib;
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork", -errno);
	if (!pid) {
		/* Ends without closing, as kill -9 would end it. */
		db = store_open("log", o);
		put_range(db, 0, keys);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("the child", -ECHILD);
	o.read_only = true; /* the replay alone, no table is written */
	start = clock_ns();
	db = store_open("log", o);
	s = seconds_since(start);
	lsm_get_stats(db, &stats);
	mib = (double)keys * (KEY_BYTES + VALUE_BYTES) / MIB;
	if (stats.sequence < keys)
		die("records are missing", -EUCLEAN);
	must("close", lsm_close(db));
	verdict(mib / s >= 200,
		"replaying a log of small records: %.0f MiB/s (promised: 200)",
		mib / s);
	store_remove("log");
}

/* ---- threads
 * ----------------------------------------------------------------------- */

struct worker {
	struct lsm_db *db;
	uint64_t seed;
	unsigned count;
	bool sync;
	pthread_t thread;
};

static void *get_worker(void *arg)
{
	struct worker *w = arg;

	read_rate(w->db, 200000, 1, w->count, w->seed);
	return NULL;
}

static void *sync_worker(void *arg)
{
	struct worker *w = arg;
	struct lsm_write_options wo = {.sync = true};
	struct lsm_batch *b = lsm_batch_new();
	char k[KEY_BYTES], v[VALUE_BYTES];

	for (unsigned i = 0; i < w->count; i++) {
		uint64_t n = w->seed * 1000000 + i;

		lsm_batch_clear(b);
		must("put", lsm_batch_put(b, make_key(k, n),
					  make_value(v, n, sizeof(v))));
		must("write", lsm_write(w->db, b, &wo));
	}
	lsm_batch_free(b);
	return NULL;
}

/* Operations a second of n threads together. */
static double threads_rate(struct lsm_db *db, unsigned n, unsigned count,
			   void *(*fn)(void *))
{
	struct worker w[8];
	uint64_t start = clock_ns();

	for (unsigned i = 0; i < n; i++) {
		w[i] = (struct worker){.db = db, .seed = i + 1, .count = count};
		must("thread", thread_start(&w[i].thread, "worker", fn, &w[i]));
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	return n * count / seconds_since(start);
}

static void threads(void)
{
	struct lsm_options o = {0};
	struct lsm_db *db = store_open("threads", o);
	double ratio[ROUNDS], middle;

	put_range(db, 0, 200000);
	compact_all(db);
	threads_rate(db, 2, 200000, get_worker);
	for (unsigned i = 0; i < ROUNDS; i++) {
		double one = threads_rate(db, 1, 200000, get_worker);

		ratio[i] = threads_rate(db, 2, 200000, get_worker) / one;
	}
	middle = median(ratio);
	if (sysconf(_SC_NPROCESSORS_ONLN) >= 2)
		verdict(middle >= 1.6,
			"two threads read %.2f times as fast as one", middle);
	for (unsigned i = 0; i < ROUNDS; i++) {
		double one = threads_rate(db, 1, 500, sync_worker);

		ratio[i] = threads_rate(db, 4, 500, sync_worker) / one;
	}
	middle = median(ratio);
	verdict(middle >= 2.5,
		"four threads sync %.2f times as many writes as one "
		"(promised: 2.5)",
		middle);
	must("close", lsm_close(db));
	store_remove("threads");
}

/* ---- sustained writing
 * ------------------------------------------------------------ */

static void no_stall(void)
{
	const char *env = getenv("PROMISES_FILL_MB");
	uint64_t mb = env ? strtoull(env, NULL, 10) : 512;
	uint64_t keys = (mb << 20) / (KEY_BYTES + VALUE_BYTES);
	struct lsm_options o = {.memory_bytes = 256ull << 20};
	struct lsm_db *db = store_open("fill", o);
	struct histogram *h = malloc(sizeof(*h));
	uint64_t state = 11, last, start;
	char k[KEY_BYTES], v[VALUE_BYTES];
	double worst, p999, rate;

	if (!h)
		die("histogram", -ENOMEM);
	histogram_init(h);
	start = last = clock_ns();
	for (uint64_t i = 0; i < keys; i++) {
		uint64_t n = random_next(&state) % keys, now;

		must("put",
		     lsm_put(db, make_key(k, n), make_value(v, n, sizeof(v))));
		now = clock_ns();
		histogram_add(h, now - last);
		last = now;
	}
	rate = (double)keys / seconds_since(start);
	worst = (double)h->max / 1e6;
	p999 = (double)histogram_percentile(h, .999) / 1e3;
	verdict(worst < 1000,
		"random fill of %" PRIu64 " MiB: %.0f puts/s, p99.9 %.0f us, "
		"longest pause %.0f ms (promised: under 1,000)",
		mb, rate, p999, worst);
	free(h);
	must("close", lsm_close(db));
	store_remove("fill");
}

/* ---- main
 * -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*fn)(void);
} promises[] = {
	{"range-deletes", range_deletes},
	{"memory", memory_bound},
	{"scan-resistance", scan_resistance},
	{"open", open_many_tables},
	{"recovery", recovery_rate},
	{"threads", threads},
	{"no-stall", no_stall},
};

#define PROMISES (sizeof(promises) / sizeof(promises[0]))

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc <= 2;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: promises DIR [NAME...]\n");
		return 2;
	}
	work = argv[1];
	if (mkdir(work, 0777) && errno != EEXIST) {
		fprintf(stderr, "%s: %s\n", work, strerror(errno));
		return 1;
	}
	for (unsigned i = 0; i < PROMISES; i++)
		if (wanted(promises[i].name, argc, argv))
			promises[i].fn();
	printf("1..%u\n", test_number);
	return failed;
}
