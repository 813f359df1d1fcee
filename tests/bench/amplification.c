/* SPDX-License-Identifier: MIT */
/*
 * amplification.c - what a store costs beyond the data it holds, through the
 * public interface, as figures and in TAP:
 *
 *   amplification DIR [NAME...]    all, or the named ones:
 *     blobs     4 KiB values in blob files, half of each compresses away
 *     random    the same with values that do not compress
 *     plain     100-byte values in the tree
 *     delete    seconds until a deleted range has left the directory
 *
 * For plain space is judged when the store has come to rest: under full load
 * level 0 and the logs are most of what a small set takes.
 *
 * Space amplification: bytes that the directory takes on disk, over the bytes
 * of the live data as they are stored (compressed), and over what was put in.
 * Sampled all along the second half of the overwrites: the mean and the worst.
 * Write amplification: all bytes written, log, blob files, tables, over the
 * bytes given, of the overwrites alone.
 *
 * AMP_SET_MB: bytes of values in the set (default 256, plain 64). AMP_TIMES:
 * how often it is overwritten, at random (10). AMP_BUFFER_MB: the memtable's
 * size. With less than 2 GiB all sizes of the tree shrink in proportion, so
 * that its shape stays that of a set of 2 GiB with the defaults.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/base/sync.h"
#include "lsm/lsm.h"

#define MIB       ((uint64_t)1 << 20)
#define FULL_SET  (2048 * MIB)
#define KEY_BYTES 17
#define BATCH_MAX 16
#define SAMPLES   200

static const char *work;
static unsigned test_number;
static bool failed;

static void must(const char *what, int err)
{
	if (!err)
		return;
	printf("Bail out! %s: %s\n", what, lsm_strerror(err));
	exit(1);
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

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Keys as the filesystem's: a kind, an inode, a block number, big-endian. */
static struct lsm_slice make_key(uint8_t buf[KEY_BYTES], uint64_t n)
{
	memset(buf, 0, KEY_BYTES);
	buf[0] = 'd';
	buf[8] = 7;
	for (unsigned i = KEY_BYTES; i-- > 9; n >>= 8)
		buf[i] = (uint8_t)n;
	return lsm_slice(buf, KEY_BYTES);
}

static uint64_t directory_bytes(void)
{
	DIR *d = opendir(work);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    !fstatat(dirfd(d), e->d_name, &st, 0))
			sum += (uint64_t)st.st_blocks * 512;
	if (d)
		closedir(d);
	return sum;
}

static void remove_store(void)
{
	char cmd[4200];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", work);
	if (system(cmd))
		must("removing a store", -EIO);
}

/* ---- a run ---------------------------------------------------------------
 */

struct run {
	struct lsm_db *db;
	struct lsm_batch *batch;
	uint64_t keys, value_bytes, random_bytes, set_bytes, seed;
	uint8_t *value;
	/* of the samples */
	double space_sum, space_worst, stored_sum, stored_worst;
	unsigned samples;
};

static struct lsm_options options_for(uint64_t set_bytes, bool blobs)
{
	struct lsm_options o = {0};
	uint64_t scale = set_bytes < FULL_SET ? set_bytes : FULL_SET;
	uint64_t buffer = env_number("AMP_BUFFER_MB", 64) * MIB;

	o.blob_bytes = blobs ? 1024 : 0;
	o.write_buffer_bytes = buffer * (scale / MIB) / 2048;
	o.blob_file_bytes = 256 * MIB * (scale / MIB) / 2048;
	o.level_base_bytes = 256 * MIB * (scale / MIB) / 2048;
	o.table_bytes = 64 * MIB * (scale / MIB) / 2048;
	return o;
}

static void run_open(struct run *r, uint64_t value_bytes, uint64_t random_bytes,
		     bool blobs)
{
	struct lsm_options o;

	memset(r, 0, sizeof(*r));
	r->set_bytes = env_number("AMP_SET_MB", blobs ? 256 : 64) * MIB;
	r->value_bytes = value_bytes;
	r->random_bytes = random_bytes;
	r->keys = r->set_bytes / value_bytes;
	r->set_bytes = r->keys * (value_bytes + KEY_BYTES);
	r->seed = 88172645463325252ull;
	r->value = malloc(value_bytes);
	r->batch = lsm_batch_new();
	if (!r->value || !r->batch)
		must("memory", -ENOMEM);
	memset(r->value, 'v', value_bytes);
	o = options_for(r->set_bytes, blobs);
	remove_store();
	must(work, lsm_open(work, &o, &r->db));
}

static void run_close(struct run *r)
{
	must("close", lsm_close(r->db));
	lsm_batch_free(r->batch);
	free(r->value);
	remove_store();
}

static void put(struct run *r, uint64_t n)
{
	uint8_t key[KEY_BYTES];

	for (uint64_t i = 0; i + 8 <= r->random_bytes; i += 8) {
		uint64_t x = random_next(&r->seed);

		memcpy(r->value + i, &x, 8);
	}
	must("put", lsm_batch_put(r->batch, make_key(key, n),
				  lsm_slice(r->value, r->value_bytes)));
}

static void write_out(struct run *r)
{
	must("write", lsm_write(r->db, r->batch, NULL));
	lsm_batch_clear(r->batch);
}

static void fill(struct run *r)
{
	for (uint64_t i = 0; i < r->keys; i++) {
		put(r, i);
		if (i % BATCH_MAX == BATCH_MAX - 1)
			write_out(r);
	}
	write_out(r);
	must("flush", lsm_flush(r->db));
	must("wait", lsm_wait_idle(r->db));
}

/* How many bytes on disk a byte of data takes. */
static double stored_share(const struct run *r, const struct lsm_stats *s)
{
	if (s->blob_value_bytes)
		return (double)s->blob_file_bytes / (double)s->blob_value_bytes;
	return s->raw_bytes ? (double)s->table_bytes / (double)s->raw_bytes : 1;
}

static void sample(struct run *r)
{
	struct lsm_stats s;
	double space, stored;

	lsm_get_stats(r->db, &s);
	space = (double)directory_bytes() / (double)r->set_bytes;
	stored = space / stored_share(r, &s);
	r->space_sum += space;
	r->stored_sum += stored;
	if (space > r->space_worst)
		r->space_worst = space;
	if (stored > r->stored_worst)
		r->stored_worst = stored;
	r->samples++;
	if (getenv("AMP_TRACE"))
		printf("# stored %.3f blobs %.3f live %.3f tables %.3f wal "
		       "%.3f L0 %u moved %" PRIu64 " MiB stall %.2f\n",
		       stored,
		       (double)s.blob_file_bytes / stored_share(r, &s) /
			       (double)r->set_bytes,
		       (double)s.blob_live_bytes / (double)r->set_bytes,
		       (double)s.table_bytes / stored_share(r, &s) /
			       (double)r->set_bytes,
		       (double)s.wal_bytes / stored_share(r, &s) /
			       (double)r->set_bytes,
		       s.level_tables[0], s.blob_moved_bytes / MIB,
		       (double)s.stall_ns / 1e9);
}

static void overwrite(struct run *r)
{
	uint64_t n = r->keys * env_number("AMP_TIMES", 10), i = 0;
	uint64_t next = n / 2;

	while (i < n) {
		unsigned ops =
			1 + (unsigned)(random_next(&r->seed) % BATCH_MAX);

		for (; ops && i < n; ops--, i++)
			put(r, random_next(&r->seed) % r->keys);
		write_out(r);
		if (i < next)
			continue;
		sample(r);
		next += n / 2 / SAMPLES + 1;
	}
}

struct split {
	double wal, flush, collect, tables, all;
};

/* Per byte given, since the statistics in was. */
static struct split split_of(const struct lsm_stats *was,
			     const struct lsm_stats *is)
{
	double given = (double)(is->write_bytes - was->write_bytes);
	double moved = (double)(is->blob_moved_bytes - was->blob_moved_bytes);
	struct split w;

	w.wal = (double)(is->wal_written_bytes - was->wal_written_bytes) /
		given;
	w.flush = (double)(is->flush_written_bytes + is->blob_direct_bytes -
			   was->flush_written_bytes - was->blob_direct_bytes) /
		  given;
	w.collect = moved / given;
	w.tables = ((double)(is->compact_written_bytes -
			     was->compact_written_bytes) -
		    moved) /
		   given;
	w.all = w.wal + w.flush + w.collect + w.tables;
	return w;
}

static void measure(const char *what, uint64_t value_bytes,
		    uint64_t random_bytes, bool blobs, double space_max,
		    double write_max)
{
	struct lsm_stats was, is;
	struct split w;
	struct run r;
	uint64_t start, settled;
	double space;

	run_open(&r, value_bytes, random_bytes, blobs);
	fill(&r);
	lsm_get_stats(r.db, &was);
	start = clock_ns();
	overwrite(&r);
	lsm_get_stats(r.db, &is);
	printf("# %s: %" PRIu64 " keys, overwritten in %.1f s, %.1f s of it "
	       "held back\n",
	       what, r.keys, (double)(clock_ns() - start) / 1e9,
	       (double)(is.stall_ns - was.stall_ns) / 1e9);
	must("flush", lsm_flush(r.db));
	must("wait", lsm_wait_idle(r.db));
	lsm_get_stats(r.db, &is);
	w = split_of(&was, &is);
	settled = directory_bytes();
	space = (double)settled / (double)r.set_bytes / stored_share(&r, &is);
	printf("# %s: directory at rest %" PRIu64 " MiB, %.2f of the data as "
	       "stored\n",
	       what, settled / MIB, space);
	if (blobs)
		space = r.stored_sum / r.samples;
	verdict(space < space_max,
		"%s: space amplification %.2f (worst %.2f) of the data as "
		"stored, %.2f (worst %.2f) of the data",
		what, r.stored_sum / r.samples, r.stored_worst,
		r.space_sum / r.samples, r.space_worst);
	verdict(w.all < write_max,
		"%s: write amplification %.2f: log %.2f, flushes %.2f, "
		"collection %.2f, tables %.2f",
		what, w.all, w.wal, w.flush, w.collect, w.tables);
	run_close(&r);
}

/* ---- deleting ------------------------------------------------------------
 */

#define BACK_SECONDS 30

static void measure_delete(void)
{
	uint8_t from[KEY_BYTES], to[KEY_BYTES];
	uint64_t full, small, start, now;
	struct run r;

	run_open(&r, 4096, 2048, true);
	fill(&r);
	full = directory_bytes();
	must("delete",
	     lsm_batch_delete_range(r.batch, make_key(from, r.keys / 64),
				    make_key(to, r.keys)));
	start = clock_ns();
	write_out(&r);
	do {
		usleep(100000);
		small = directory_bytes();
		now = clock_ns();
	} while (small > full / 4 && now - start < 120ull * 1000000000);
	verdict((double)(now - start) / 1e9 < BACK_SECONDS,
		"delete: %" PRIu64 " MiB became %" PRIu64
		" by themselves in %.1f s",
		full / MIB, small / MIB, (double)(now - start) / 1e9);
	run_close(&r);
}

/* ---- main ----------------------------------------------------------------
 */

static bool wanted(int argc, char **argv, const char *name)
{
	if (argc == 2)
		return true;
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: amplification DIR [NAME...]\n");
		return 2;
	}
	work = argv[1];
	if (wanted(argc, argv, "blobs"))
		measure("blobs", 4096, 2048, true, 1.5, 3);
	if (wanted(argc, argv, "random"))
		measure("random", 4096, 4096, true, 1.5, 3);
	if (wanted(argc, argv, "plain"))
		measure("plain", 100, 50, false, 1.4, 5);
	if (wanted(argc, argv, "delete"))
		measure_delete();
	printf("1..%u\n", test_number);
	return failed;
}
