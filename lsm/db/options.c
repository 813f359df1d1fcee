/* SPDX-License-Identifier: MIT */
/*
 * options.c - defaults and bounds of struct lsm_options, and the texts of
 * lsm_strerror() and lsm_version().
 *
 * Values out of bounds are brought to the nearest bound instead of refused: an
 * odd size is no reason not to open a store.
 */
#include <errno.h>
#include <string.h>

#include "lsm/db/db_impl.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

static uint64_t bound(uint64_t v, uint64_t otherwise, uint64_t min,
		      uint64_t max)
{
	if (!v)
		v = otherwise;
	return v < min ? min : v > max ? max : v;
}

static void complete_memory(struct lsm_options *o)
{
	uint64_t count;

	o->memory_bytes =
		bound(o->memory_bytes, 256 * MIB, 64 * KIB, UINT64_MAX / 4);
	if (!o->write_buffer_bytes) {
		o->write_buffer_bytes = o->memory_bytes / 4;
		if (o->write_buffer_bytes > 64 * MIB)
			o->write_buffer_bytes = 64 * MIB;
	}
	o->write_buffer_bytes =
		bound(o->write_buffer_bytes, 0, 4 * KIB, UINT64_MAX / 4);
	count = o->memory_bytes / 2 / o->write_buffer_bytes;
	if (!o->write_buffer_count)
		o->write_buffer_count = (unsigned)bound(count, 2, 2, 4);
	o->write_buffer_count = (unsigned)bound(o->write_buffer_count, 2, 2,
						DB_WRITE_BUFFERS_MAX);
}

void options_complete(struct lsm_options *o)
{
	if (!o->env)
		o->env = lsm_env_posix();
	complete_memory(o);

	o->block_bytes = (uint32_t)bound(o->block_bytes, 4096, 64, MIB);
	o->restart_interval = (uint32_t)bound(o->restart_interval, 16, 1, 1024);
	if (o->bloom_bits != UINT32_MAX)
		o->bloom_bits = (uint32_t)bound(o->bloom_bits, 10, 1, 64);
	if (o->prefix_bytes > SST_PREFIX_MAX)
		o->prefix_bytes = SST_PREFIX_MAX;
	if (o->compression == LSM_COMPRESSION_DEFAULT)
		o->compression = LSM_COMPRESSION_LZ4;
	if (o->mmap == LSM_MMAP_DEFAULT)
		o->mmap = LSM_MMAP_RAW;
	o->max_open_tables =
		(uint32_t)bound(o->max_open_tables, 1000, 8, 1u << 20);

	o->level0_compact_trigger =
		(unsigned)bound(o->level0_compact_trigger, 4, 1, 1u << 16);
	o->level0_slowdown = (unsigned)bound(
		o->level0_slowdown, 12, o->level0_compact_trigger, 1u << 17);
	o->level0_stop = (unsigned)bound(o->level0_stop, 36,
					 o->level0_slowdown + 1, 1u << 18);
	o->level_base_bytes =
		bound(o->level_base_bytes, 256 * MIB, 4 * KIB, UINT64_MAX / 4);
	o->level_multiplier = (unsigned)bound(o->level_multiplier, 10, 2, 1000);
	o->table_bytes =
		bound(o->table_bytes, 64 * MIB, 4 * KIB, UINT64_MAX / 4);
	o->compaction_threads =
		(unsigned)bound(o->compaction_threads, 1, 1, 64);
	o->blob_file_bytes =
		bound(o->blob_file_bytes, 256 * MIB, 4 * KIB, UINT64_MAX / 4);
	if (!o->reclaim_interval_ms)
		o->reclaim_interval_ms = 5000;
	if (!o->blob_direct_bytes)
		o->blob_direct_bytes = 64 << 10;
	if (!o->blob_direct_unsynced_bytes)
		o->blob_direct_unsynced_bytes = MIB;
	if (!o->wal_sync_interval_ms)
		o->wal_sync_interval_ms = 1000;
}

/* Three times what is merged at rest, but writers are not to be slowed down. */
static unsigned level0_enough(const struct lsm_options *o)
{
	unsigned many = 3 * o->level0_compact_trigger;

	return many < o->level0_slowdown ? many : o->level0_slowdown;
}

void options_for_tree(const struct lsm_options *o, const struct logger *log,
		      struct tree_options *out)
{
	*out = (struct tree_options){
		.level0_trigger = o->level0_compact_trigger,
		.level0_enough = level0_enough(o),
		.level_base_bytes = o->level_base_bytes,
		.level_multiplier = o->level_multiplier,
		.table_bytes = o->table_bytes,
		.rate_limit_bytes = o->rate_limit_bytes,
		.blob_bytes = o->blob_bytes,
		.blob_file_bytes = o->blob_file_bytes,
		/* some memtables' worth */
		.garbage_least = 2 * o->write_buffer_bytes,
		.sst =
			{
				.block_bytes = o->block_bytes,
				.restart_interval = o->restart_interval,
				.bloom_bits = o->bloom_bits == UINT32_MAX
						      ? 0
						      : o->bloom_bits,
				.prefix_bytes = o->prefix_bytes,
				.lz4 = o->compression == LSM_COMPRESSION_LZ4,
				.log = log,
			},
	};
}

const char *lsm_version(void)
{
	return "0.1.0";
}

const char *lsm_strerror(int result)
{
	const char *text;

	switch (result) {
	case LSM_OK:
		return "success";
	case LSM_NOTFOUND:
		return "not found";
	case LSM_END:
		return "end reached";
	case -EUCLEAN:
		return "stored data is corrupt";
	case -EPROTONOSUPPORT:
		return "written by a newer version of the format";
	case -EBUSY:
		return "the store is in use by another process";
	case -ENOTEMPTY:
		return "the directory holds something that is not a store";
	case -EROFS:
		return "the store is open read-only";
	}
	text = result < 0 ? strerrordesc_np(-result) : NULL;
	return text ? text : "unknown result";
}
