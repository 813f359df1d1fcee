/* SPDX-License-Identifier: MIT */
/*
 * stats.c - lsm_get_stats(): adds up what the parts count.
 *
 * Each number is right by itself; they are not of one moment.
 */
#include <string.h>

#include "lsm/db/db_impl.h"

static void add_tables(struct version *v, struct lsm_stats *s)
{
	for (unsigned level = 0; level < LSM_LEVELS; level++) {
		s->level_tables[level] = (unsigned)v->count[level];
		s->level_bytes[level] = v->bytes[level];
		s->table_bytes += v->bytes[level];
		for (size_t i = 0; i < v->count[level]; i++) {
			const struct sst_meta *m = &v->level[level][i]->meta;

			s->raw_bytes += m->raw_bytes;
			s->entries += m->entries;
			s->deletions += m->deletions;
			s->range_deletions += m->range_deletions;
		}
	}
}

static void add_blobs(struct version *v, struct lsm_stats *s)
{
	s->blob_files = (unsigned)v->blob_count;
	s->blob_file_bytes = v->blob_file_bytes;
	s->blob_value_bytes = v->blob_value_bytes;
	s->blob_live_bytes = v->blob_live_bytes;
}

static void add_writers(struct lsm_db *db, struct lsm_stats *s)
{
	uint64_t live = 0;

	mutex_lock(&db->write_mutex);
	s->writes = db->writes;
	s->batches = db->batches;
	s->write_bytes = db->write_bytes;
	for (struct db_wal *w = db->oldest_wal; w; w = w->next)
		live += wal_writer_bytes(w->writer);
	s->blob_direct_bytes = db->direct_written;
	s->wal_bytes = live;
	s->wal_written_bytes = db->wal_closed_bytes + live;
	mutex_unlock(&db->write_mutex);
}

static void add_background(struct lsm_db *db, struct lsm_stats *s)
{
	mutex_lock(&db->mutex);
	s->oldest_snapshot =
		db->vs.oldest_snapshot == SEQ_MAX ? 0 : db->vs.oldest_snapshot;
	s->snapshots = db->snapshot_count + (unsigned)db->vs.named_count;
	s->pending_compaction_bytes =
		pending_compaction_bytes(db->vs.current, &db->tree_opt);
	s->flushes = db->flushes;
	s->flush_written_bytes = db->flush_written;
	s->compactions = db->compactions;
	s->compact_read_bytes = db->compact_read;
	s->compact_written_bytes = db->compact_written;
	s->trivial_moves = db->trivial_moves;
	s->blob_written_bytes = db->blob_written + s->blob_direct_bytes;
	s->blob_collected_bytes = db->blob_collected;
	s->blob_moved_bytes = db->blob_moved;
	mutex_unlock(&db->mutex);
}

static void add_memory(struct lsm_db *db, struct superversion *sv,
		       struct lsm_stats *s)
{
	struct cache_stats c;

	cache_get_stats(db->cache, &c);
	s->memory_bytes = c.used + c.charged;
	for (unsigned i = 0; i < sv->mem_count; i++)
		s->memtable_bytes += memtable_bytes(sv->mems[i]->table);
	s->cache_bytes = c.used;
	s->pinned_bytes = c.charged;
	s->cache_hits = c.hits;
	s->cache_misses = c.misses;
}

void lsm_get_stats(struct lsm_db *db, struct lsm_stats *stats)
{
	struct superversion *sv = sv_get(db);
	struct lsm_stats s = {0};

	add_tables(sv->version, &s);
	add_blobs(sv->version, &s);
	add_writers(db, &s);
	add_background(db, &s);
	add_memory(db, sv, &s);
	sv_put_user(sv);
	for (unsigned i = 0; i < DB_STRIPES; i++) {
		uint64_t hits = atomic_load_explicit(&db->stripes[i].hits,
						     memory_order_relaxed);

		s.get_hits += hits;
		s.gets += hits + atomic_load_explicit(&db->stripes[i].misses,
						      memory_order_relaxed);
	}
	s.sequence = atomic_load_explicit(&db->visible, memory_order_relaxed);
	s.wal_syncs =
		atomic_load_explicit(&db->wal_syncs, memory_order_relaxed);
	s.stall_ns = atomic_load_explicit(&db->stall_ns, memory_order_relaxed);
	table_cache_bloom(db->tables, &s.bloom_checked, &s.bloom_useful);
	s.background_error = lsm_background_error(db);
	*stats = s;
}
