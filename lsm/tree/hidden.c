/* SPDX-License-Identifier: MIT */
/*
 * hidden.c - how much a table's range tombstones hide: bytes of tables below,
 * and of blob files that those refer to, that would go if the tombstones came
 * down there. The picker, which does no I/O, brings down first what hides most.
 *
 * An estimate: a table that is covered in part counts in proportion to its
 * blocks, and of very many fragments only some are looked at. What a snapshot
 * keeps does not count. RocksDB knows a like figure as the compensated size of
 * a table's range deletions.
 *
 * One background thread, which holds the version; tables may be opened.
 */
#include "lsm/tree/compact_build.h"

/* Fragments looked at in one table. */
#define FRAGS_MAX 2048
/* What is always worth bringing tombstones down; of a small store less, its
 * SMALL_PART-th; and at least a HIDES_WORTH-th of what that would rewrite. */
#define WORTH_BYTES ((uint64_t)8 << 20)
#define WORTH_LEAST ((uint64_t)64 << 10)
#define SMALL_PART  32
#define HIDES_WORTH 4

struct estimate {
	struct version *v;
	const uint64_t *snapshots;
	size_t snapshot_count;
	uint64_t bytes;
	bool held; /* a snapshot keeps something that is covered */
	int err;
};

/* Is there a snapshot that sees what was written up to seq, and not the
 * tombstone? */
static bool kept(const struct estimate *e, uint64_t seq, uint64_t tombstone)
{
	for (size_t i = 0; i < e->snapshot_count; i++)
		if (e->snapshots[i] >= seq && e->snapshots[i] < tombstone)
			return true;
	return false;
}

/* The share of a table's data that lies in the fragment. */
static double share_inside(struct estimate *e, struct table_file *f,
			   const struct frag *g)
{
	struct sst_reader *r;
	uint64_t from = 0, to = f->meta.file_bytes;
	int end = table_file_cmp_key(f, g->end);
	bool start = slice_cmp(g->start, buf_slice(&f->meta.smallest)) > 0;

	if (!start && end > 0)
		return 1;
	e->err = table_cache_get(e->v->vs->tables, &f->slot, &r);
	if (e->err)
		return 0;
	if (start)
		from = sst_reader_offset(r, g->start);
	if (!end)
		to = sst_reader_offset(r, g->end);
	sst_reader_put(r);
	return to > from ? (double)(to - from) / (double)f->meta.file_bytes : 0;
}

static void add_table(struct estimate *e, struct table_file *f,
		      const struct frag *g)
{
	uint64_t all = f->meta.file_bytes + sst_meta_blob_bytes(&f->meta);

	if (f->meta.min_seq > g->seqs[0])
		return;
	if (kept(e,
		 f->meta.max_seq < g->seqs[0] ? f->meta.max_seq
					      : f->meta.min_seq,
		 g->seqs[0])) {
		e->held = true;
		return;
	}
	e->bytes += (uint64_t)((double)all * share_inside(e, f, g));
}

static void add_frag(struct estimate *e, unsigned level,
		     const struct table_file *f, const struct frag *g)
{
	struct bounds b = {g->start, g->end, true};

	for (size_t i = 0; !level && i < e->v->count[0] && !e->err; i++) {
		struct table_file *other = e->v->level[0][i];
		struct bounds ob = table_bounds(other);

		if (other != f && other->meta.max_seq < f->meta.max_seq &&
		    bounds_overlap(&b, &ob))
			add_table(e, other, g);
	}
	/* In the last level, what a snapshot kept beside the tombstone. */
	for (unsigned l = level < LAST ? level + 1 : LAST;
	     l < LSM_LEVELS && !e->err; l++) {
		struct span s = level_overlap(e->v, l, &b);

		for (; s.first < s.end && !e->err; s.first++)
			add_table(e, e->v->level[l][s.first], g);
	}
}

static int estimate_table(struct estimate *e, unsigned level,
			  struct table_file *f)
{
	const struct frags *frags;
	struct sst_reader *r;
	size_t step;

	e->bytes = 0;
	e->err = table_cache_get(e->v->vs->tables, &f->slot, &r);
	if (e->err)
		return e->err;
	frags = sst_reader_frags(r);
	step = frags->count / FRAGS_MAX + 1;
	for (size_t i = 0; i < frags->count && !e->err; i += step)
		add_frag(e, level, f, &frags->frag[i]);
	e->bytes *= step;
	sst_reader_put(r);
	return e->err;
}

bool version_estimate_hidden(struct version *v, const uint64_t *snapshots,
			     size_t snapshot_count, uint64_t epoch)
{
	struct estimate e = {.v = v,
			     .snapshots = snapshots,
			     .snapshot_count = snapshot_count};

	for (unsigned level = 0; level < LSM_LEVELS; level++) {
		for (size_t i = 0; i < v->count[level]; i++) {
			struct table_file *f = v->level[level][i];
			bool known;

			if (!f->meta.range_deletions)
				continue;
			mutex_lock(v->vs->mutex);
			known = f->hides_epoch == epoch &&
				f->hides_level == level;
			mutex_unlock(v->vs->mutex);
			if (known)
				continue;
			/* What cannot be read was reported, and is not asked
			 * again before something changes. */
			if (estimate_table(&e, level, f))
				e.bytes = 0;
			mutex_lock(v->vs->mutex);
			f->hides = e.bytes;
			f->hides_epoch = epoch;
			f->hides_level = level;
			mutex_unlock(v->vs->mutex);
		}
	}
	return e.held;
}

uint64_t worth_reclaiming(const struct version *v)
{
	uint64_t all = v->blob_file_bytes;

	for (unsigned level = 0; level < LSM_LEVELS; level++)
		all += v->bytes[level];
	all /= SMALL_PART;
	return all < WORTH_LEAST   ? WORTH_LEAST
	       : all < WORTH_BYTES ? all
				   : WORTH_BYTES;
}

double mean_entry_bytes(const struct version *v)
{
	uint64_t entries = 0, all = v->blob_live_bytes;

	for (unsigned level = 0; level < LSM_LEVELS; level++) {
		all += v->bytes[level];
		for (size_t i = 0; i < v->count[level]; i++)
			entries += v->level[level][i]->meta.entries;
	}
	return entries ? (double)all / (double)entries : 0;
}

uint64_t most_hidden(const struct version *v)
{
	uint64_t most = 0;

	for (unsigned level = 0; v->has_ranges && level < LSM_LEVELS; level++)
		for (size_t i = 0; i < v->count[level]; i++)
			if (v->level[level][i]->hides > most)
				most = v->level[level][i]->hides;
	return most;
}

/* Keeping the data itself is cheap to do again when only handles are copied. */
#define STALE_WORTH 16

bool version_mark_stale(struct version *v, uint64_t seq)
{
	bool any = false;

	for (size_t i = 0; i < v->count[LAST]; i++) {
		struct table_file *f = v->level[LAST][i];

		if (f->meta.min_seq > seq || f->meta.max_seq <= seq ||
		    sst_meta_blob_bytes(&f->meta) / STALE_WORTH <
			    f->meta.file_bytes)
			continue;
		any = f->stale = true;
	}
	return any;
}

struct compaction *pick_stale(struct version_set *vs,
			      const struct tree_options *o)
{
	struct table_file **f = vs->current->level[LAST];
	struct compaction *c = NULL;

	for (size_t i = 0; i < vs->current->count[LAST] && !c; i++)
		if (f[i]->stale && !f[i]->compacting)
			c = compaction_build(vs, o, LAST, LAST, f + i, 1);
	return c;
}

struct compaction *pick_hiding(struct version_set *vs,
			       const struct tree_options *o, bool *level0)
{
	struct version *v = vs->current;
	unsigned best_level = 0;
	size_t best = 0;
	uint64_t most = 0, least = worth_reclaiming(v);

	*level0 = false;
	for (unsigned level = 0; v->has_ranges && level < LSM_LEVELS; level++) {
		for (size_t i = 0; i < v->count[level]; i++) {
			const struct table_file *f = v->level[level][i];
			struct bounds b = table_bounds(f);
			uint64_t cost = f->meta.file_bytes;

			if (!f->hides || f->compacting || f->hides < least ||
			    f->hides <= most || f->hides_level != level)
				continue;
			/* In the last level they must be gone afterwards: the
			 * table would come back else. */
			if (level == LAST && !tombstones_droppable(vs, f))
				continue;
			if (level && level < LAST)
				cost += span_bytes(
					v, level + 1,
					level_overlap(v, level + 1, &b));
			else if (!level)
				cost = v->bytes[0];
			if (f->hides * HIDES_WORTH < cost)
				continue;
			most = f->hides;
			best_level = level;
			best = i;
		}
	}
	if (!most)
		return NULL;
	if (!best_level) {
		*level0 = true;
		return NULL;
	}
	if (best_level == LAST)
		return compaction_build(vs, o, LAST, LAST,
					v->level[LAST] + best, 1);
	return compaction_build_span(vs, o, best_level,
				     (struct span){best, best + 1});
}
