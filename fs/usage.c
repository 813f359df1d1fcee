/* SPDX-License-Identifier: MIT */
/*
 * usage.c - usage counters and the size limit; see usage.h.
 */
#include "fs/usage.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "fs/fs_impl.h"
#include "fs/recount.h"

#define UNIT_BYTES 512
/* What statfs shows of a disk that nobody can ask (tests in memory). */
#define UNKNOWN_DISK_BYTES ((uint64_t)1 << 40)
#define RESERVE_MIN        ((uint64_t)4 << 20)
#define RESERVE_MAX        ((uint64_t)256 << 20)
#define CREDIT_MAX         ((uint64_t)64 << 20)

void usage_init(struct usage *u)
{
	for (unsigned i = 0; i < USAGE_SHARDS; i++)
		mutex_init(&u->shards[i].mutex);
}

void usage_set_limit(struct usage *u, uint64_t limit_bytes)
{
	u->limit_units = limit_bytes / UNIT_BYTES;
	if (limit_bytes && u->limit_units == 0)
		u->limit_units = 1;
}

void usage_release(struct usage *u)
{
	for (unsigned i = 0; i < USAGE_SHARDS; i++)
		mutex_destroy(&u->shards[i].mutex);
}

int usage_load(struct fs *fs)
{
	struct lsm_slice keys[USAGE_SHARDS];
	struct lsm_pin pins[USAGE_SHARDS] = {0};
	struct key storage[USAGE_SHARDS];
	int results[USAGE_SHARDS];
	uint64_t units = 0, inodes = 0;
	int r = 0;

	for (unsigned i = 0; i < USAGE_SHARDS; i++)
		keys[i] = key_usage(&storage[i], i);
	(void)lsm_multi_get(fs->db, NULL, USAGE_SHARDS, keys, pins, results);
	for (unsigned i = 0; i < USAGE_SHARDS; i++) {
		struct usage_rec rec = {0, 0};
		int e = results[i];

		if (e == 0)
			e = usage_rec_decode(
				lsm_slice(pins[i].data, pins[i].len), &rec);
		if (e == -EUCLEAN) {
			/* Wrong totals harm nobody: fs_check() counts anew. */
			fs_log(fs, LSM_LOG_ERROR,
			       "usage shard %u: bad record, taken as zero", i);
			e = 0;
		}
		if (e < 0 && r == 0)
			r = e;
		lsm_unpin(&pins[i]);
		fs->usage.shards[i].rec = rec;
		units += rec.blocks;
		inodes += rec.inodes;
	}
	atomic_store_explicit(&fs->usage.units, units, memory_order_relaxed);
	atomic_store_explicit(&fs->usage.inodes, inodes, memory_order_relaxed);
	atomic_store_explicit(&fs->usage.taken_units, units + inodes,
			      memory_order_relaxed);
	return r;
}

static int reserve(struct usage *u, uint64_t units)
{
	uint64_t before = atomic_fetch_add_explicit(&u->taken_units, units,
						    memory_order_relaxed);

	if (u->limit_units && before + units > u->limit_units) {
		atomic_fetch_sub_explicit(&u->taken_units, units,
					  memory_order_relaxed);
		return -ENOSPC;
	}
	return 0;
}

bool usage_fits(const struct fs *fs, uint64_t units)
{
	const struct usage *u = &fs->usage;

	return !u->limit_units ||
	       atomic_load_explicit(&u->taken_units, memory_order_relaxed) +
			       units <=
		       u->limit_units;
}

/* Damaged totals must not wrap: what goes below zero stays at zero. */
static uint64_t add_clamped(uint64_t a, int64_t delta)
{
	if (delta < 0 && a < (uint64_t)-delta)
		return 0;
	return a + (uint64_t)delta;
}

static void put_shard(struct txn *t, unsigned shard,
		      const struct usage_rec *rec)
{
	uint8_t v[RECORD_MAX];
	struct key k;

	txn_put(t, key_usage(&k, shard),
		lsm_slice(v, usage_rec_encode(rec, v)));
}

/* Writes t with the new counts of n shards, whose mutexes are held. both: what
 * it adds to the sum of all. */
static int commit_locked(struct fs *fs, struct txn *t, const unsigned *shard,
			 unsigned n, int64_t both)
{
	struct usage *u = &fs->usage;
	struct usage_rec rec[2];
	int r;

	for (unsigned j = 0; j < n; j++) {
		rec[j] = u->shards[shard[j]].rec;
		for (unsigned i = 0; i < t->usages; i++) {
			if (t->usage[i].ino % USAGE_SHARDS != shard[j])
				continue;
			rec[j].blocks =
				add_clamped(rec[j].blocks, t->usage[i].units);
			rec[j].inodes =
				add_clamped(rec[j].inodes, t->usage[i].inodes);
		}
		put_shard(t, shard[j], &rec[j]);
	}
	r = lsm_write(fs->db, t->batch, NULL);
	for (unsigned j = 0; r == 0 && j < n; j++) {
		struct usage_rec *have = &u->shards[shard[j]].rec;
		/* Unsigned arithmetic, so that a difference below zero
		 * subtracts. */
		uint64_t blocks = rec[j].blocks - have->blocks;
		uint64_t inodes = rec[j].inodes - have->inodes;

		atomic_fetch_add_explicit(&u->units, blocks,
					  memory_order_relaxed);
		atomic_fetch_add_explicit(&u->inodes, inodes,
					  memory_order_relaxed);
		if (both < 0)
			atomic_fetch_add_explicit(&u->taken_units,
						  blocks + inodes,
						  memory_order_relaxed);
		*have = rec[j];
	}
	return r;
}

int usage_commit(struct fs *fs, struct txn *t)
{
	struct usage *u = &fs->usage;
	unsigned shard[2], n = 0;
	int64_t units = 0, inodes = 0, both;
	int r;

	for (unsigned i = 0; i < t->usages; i++) {
		shard[n++] = t->usage[i].ino % USAGE_SHARDS;
		units += t->usage[i].units;
		inodes += t->usage[i].inodes;
	}
	both = units + inodes;
	if (both > 0) {
		r = usage_disk_room(fs, lsm_batch_size(t->batch));
		if (r)
			return r;
		r = reserve(u, (uint64_t)both);
		if (r)
			return r;
	}
	if (n == 2 && shard[0] > shard[1]) {
		unsigned s = shard[0];

		shard[0] = shard[1];
		shard[1] = s;
	} else if (n == 2 && shard[0] == shard[1]) {
		n = 1;
	}
	if (n) {
		struct mutex *first = &u->shards[shard[0]].mutex;
		struct mutex *second = &u->shards[shard[n - 1]].mutex;

		mutex_lock(first);
		if (n == 2) {
			mutex_lock(second);
			r = commit_locked(fs, t, shard, n, both);
			mutex_unlock(second);
		} else {
			r = commit_locked(fs, t, shard, n, both);
		}
		mutex_unlock(first);
	} else {
		r = lsm_write(fs->db, t->batch, NULL);
	}
	if (r && both > 0)
		atomic_fetch_sub_explicit(&u->taken_units, (uint64_t)both,
					  memory_order_relaxed);
	return r;
}

/* The engine's defaults; see lsm.h. */
#define MEMORY_BYTES_DEFAULT ((uint64_t)256 << 20)
#define WRITE_BUFFER_MAX     ((uint64_t)64 << 20)

void usage_set_engine(struct usage *u, const struct lsm_options *engine)
{
	uint64_t memory = engine->memory_bytes;

	u->write_buffer_bytes = engine->write_buffer_bytes;
	if (u->write_buffer_bytes)
		return;
	if (!memory)
		memory = MEMORY_BYTES_DEFAULT;
	u->write_buffer_bytes =
		memory / 4 < WRITE_BUFFER_MAX ? memory / 4 : WRITE_BUFFER_MAX;
}

/*
 * What is kept free: the next segment of the log is as large as a write buffer,
 * and a compaction writes its output before it deletes its input. On a small
 * disk a quarter of it has to do.
 */
static uint64_t disk_reserve(const struct fs *fs, uint64_t total)
{
	uint64_t reserve = total / 20;

	if (reserve < RESERVE_MIN)
		reserve = RESERVE_MIN;
	if (reserve > RESERVE_MAX)
		reserve = RESERVE_MAX;
	reserve += fs->usage.write_buffer_bytes;
	return reserve < total / 4 ? reserve : total / 4;
}

/* Free bytes of the disk but for the reserve. */
static uint64_t disk_free_bytes(struct fs *fs, uint64_t used)
{
	struct statvfs v;
	uint64_t avail, reserve;

	if (!fs->os_disk || statvfs(fs->path, &v))
		return used < UNKNOWN_DISK_BYTES ? UNKNOWN_DISK_BYTES - used
						 : 0;
	avail = (uint64_t)v.f_bavail * v.f_frsize;
	reserve = disk_reserve(fs, (uint64_t)v.f_blocks * v.f_frsize);
	return avail > reserve ? avail - reserve : 0;
}

int usage_disk_room(struct fs *fs, uint64_t bytes)
{
	struct usage *u = &fs->usage;
	struct lsm_stats stats;
	uint64_t avail;

	if (!fs->os_disk ||
	    atomic_fetch_sub_explicit(&u->disk_credit, (int64_t)bytes,
				      memory_order_relaxed) >= (int64_t)bytes)
		return 0;
	/* What lies in memtables will need its place in tables too. */
	lsm_get_stats(fs->db, &stats);
	avail = disk_free_bytes(fs, 0);
	avail = avail > stats.memtable_bytes ? avail - stats.memtable_bytes : 0;
	if (avail / 2 < bytes) {
		atomic_store_explicit(&u->disk_credit, 0, memory_order_relaxed);
		return -ENOSPC;
	}
	/* Written twice, to the log and to a table, and by several threads
	 * before one of them is back here. */
	avail = avail / 4 < CREDIT_MAX ? avail / 4 : CREDIT_MAX;
	atomic_store_explicit(&u->disk_credit, (int64_t)avail,
			      memory_order_relaxed);
	return 0;
}

int usage_statfs(struct fs *fs, struct fs_statfs *out)
{
	struct usage *u = &fs->usage;
	uint64_t units = atomic_load_explicit(&u->units, memory_order_relaxed);
	uint64_t inodes =
		atomic_load_explicit(&u->inodes, memory_order_relaxed);
	uint64_t used = (units + inodes) * UNIT_BYTES;
	uint64_t avail = disk_free_bytes(fs, used);

	if (u->limit_units) {
		uint64_t limit = u->limit_units * UNIT_BYTES;
		uint64_t left = used < limit ? limit - used : 0;

		if (left < avail)
			avail = left;
		out->blocks = limit / fs->block_bytes;
	} else {
		out->blocks = (used + avail) / fs->block_bytes;
	}
	out->block_bytes = fs->block_bytes;
	out->blocks_free = avail / fs->block_bytes;
	out->inodes = inodes + avail / UNIT_BYTES;
	out->inodes_free = avail / UNIT_BYTES;
	return 0;
}

int fs_statfs(struct fs *fs, struct fs_statfs *out)
{
	recount_all(fs);
	return usage_statfs(fs, out);
}
