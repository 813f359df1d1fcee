/* SPDX-License-Identifier: MIT */
/*
 * compact_collect.c - which blob files to empty, and by rewriting which tables:
 * pure policy, no I/O.
 *
 * Random overwrites leave a file's live values spread over all tables, so that
 * emptying one file means rewriting every table. Tables of handles are small
 * (some 25 bytes a value), so the cure is to condemn several files at once, the
 * worst first, and to rewrite each table once for all of them. The set stays
 * what it is until no table refers to any of its files, however many
 * compactions that takes; every compaction that meets a handle into it moves
 * the value. Choosing the files with the smallest share of live bytes moves the
 * fewest (the greedy policy of M. Rosenblum and J. Ousterhout, The Design and
 * Implementation of a Log-Structured File System, TOCS 1992).
 *
 * What bounds it. With dead bytes D and live bytes L:
 *   - a pass of its own begins at D > L * 7 / 40; one that comes for free,
 *     because level 0 is merged into the last level anyway, at D > L / 8, to
 *     which either brings it down;
 *   - a set moves at most a twentieth of L, since until its files go what was
 *     moved takes space twice; after the disk was full, the least there is;
 *   - beyond D = L / 5 writers are slowed down (pace.c).
 *
 * Called with vs->mutex.
 */
#include <stdlib.h>

#include "lsm/tree/compact_build.h"

/* D / L as said above, in parts of 40. */
#define KEEP_DEAD  5
#define ALONE_DEAD 7
#define PARTS      40
/* A set moves at most L / MOVE_PART, and one file always. */
#define MOVE_PART 20
/* Files with more live bytes than that, in tenths, are not worth it. */
#define SHARE_MAX 9

/* More references from a table than its blob file holds are shared values. */
static uint64_t live_bytes(const struct version_blob *b)
{
	uint64_t all = b->file->meta.value_bytes;

	return b->live < all ? b->live : all;
}

static bool is_damaged(const struct version_blob *b)
{
	/* Relaxed: a late answer costs a look at a table. */
	return atomic_load_explicit(&b->file->damaged, memory_order_relaxed);
}

uint64_t collectable_bytes(const struct version *v)
{
	uint64_t dead = 0;

	for (size_t i = 0; i < v->blob_count; i++)
		/* One without live bytes goes by itself, or is pinned. */
		if (v->blobs[i].live && !is_damaged(&v->blobs[i]))
			dead += v->blobs[i].file->meta.value_bytes -
				live_bytes(&v->blobs[i]);
	return dead;
}

static double hidden_bytes(const struct version_set *vs)
{
	const struct version *v = vs->current;
	double values = 0;

	for (size_t i = 0; i < v->count[0]; i++)
		values += (double)sst_meta_blob_bytes(&v->level[0][i]->meta);
	return values * vs->hidden_share;
}

struct garbage garbage_now(const struct version_set *vs,
			   const struct tree_options *o)
{
	double live = (double)vs->current->blob_live_bytes;
	double least = (double)o->garbage_least;
	struct garbage g = {.dead = (double)collectable_bytes(vs->current),
			    .hidden = hidden_bytes(vs)};

	live = g.hidden < live ? live - g.hidden : 0;
	g.bearable = live / 5 + least;
	g.too_much = 0.45 * live + 2 * least;
	return g;
}

void collect_note_hidden(struct version_set *vs, const struct compaction *c,
			 const struct version_edit *edit)
{
	uint64_t before = 0, after = 0, level0 = 0;
	double share;

	if (c->level || c->trivial_move)
		return;
	for (size_t i = 0; i < c->input_count[0]; i++)
		level0 += sst_meta_blob_bytes(&c->inputs[0][i]->meta);
	for (size_t i = 0; i < c->input_count[1]; i++)
		before += sst_meta_blob_bytes(&c->inputs[1][i]->meta);
	for (size_t i = 0; i < edit->added_count; i++)
		after += sst_meta_blob_bytes(&edit->added[i].meta);
	before += level0;
	if (!level0)
		return;
	share = after < before ? (double)(before - after) / (double)level0 : 0;
	vs->hidden_share = (vs->hidden_share + (share < 1 ? share : 1)) / 2;
}

/* ---- the set ------------------------------------------------------------ */

bool collect_contains(const uint64_t *files, unsigned count, uint64_t file)
{
	for (unsigned i = 0; i < count; i++)
		if (files[i] == file)
			return true;
	return false;
}

/* Bytes of values in condemned files that the table refers to. */
static uint64_t refers_bytes(const struct version_set *vs,
			     const struct table_file *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->meta.blob_count; i++)
		if (collect_contains(vs->condemned, vs->condemned_count,
				     f->meta.blobs[i].file))
			sum += f->meta.blobs[i].bytes;
	return sum;
}

/* Takes out the files that are done with. */
static void forget_emptied(struct version_set *vs)
{
	unsigned n = 0;

	for (unsigned i = 0; i < vs->condemned_count; i++) {
		const struct version_blob *b =
			version_find_blob(vs->current, vs->condemned[i]);

		if (b && b->live && !is_damaged(b))
			vs->condemned[n++] = vs->condemned[i];
	}
	vs->condemned_count = n;
}

static double live_share(const struct version_blob *b)
{
	return (double)live_bytes(b) / (double)b->file->meta.value_bytes;
}

static int cmp_share(const void *a, const void *b)
{
	double x = live_share(*(const struct version_blob *const *)a);
	double y = live_share(*(const struct version_blob *const *)b);

	return x < y ? -1 : x > y;
}

/* The worst files with numbers below end, until no more than keep is dead. */
static void condemn(struct version_set *vs, uint64_t dead, uint64_t keep,
		    uint64_t end)
{
	const struct version *v = vs->current;
	uint64_t move_max = v->blob_live_bytes / MOVE_PART, moved = 0;
	const struct version_blob **order =
		calloc(v->blob_count + 1, sizeof(const struct version_blob *));
	size_t n = 0;

	if (!order)
		return; /* next time */
	for (size_t i = 0; i < v->blob_count; i++)
		if (v->blobs[i].live && !is_damaged(&v->blobs[i]) &&
		    v->blobs[i].file->meta.number < end &&
		    live_share(&v->blobs[i]) * 10 < SHARE_MAX)
			order[n++] = &v->blobs[i];
	if (n)
		qsort(order, n, sizeof(order[0]), cmp_share);
	if (vs->collect_little)
		move_max = 0;
	for (size_t i = 0; i < n && dead > keep; i++) {
		uint64_t live = live_bytes(order[i]);

		if (vs->condemned_count == COLLECT_FILES_MAX ||
		    (vs->condemned_count && moved + live > move_max))
			break;
		vs->condemned[vs->condemned_count++] =
			order[i]->file->meta.number;
		moved += live;
		dead -= order[i]->file->meta.value_bytes - live;
	}
	free(order);
}

void collect_choose(struct version_set *vs, bool free_pass)
{
	const struct version *v = vs->current;
	uint64_t dead, part = v->blob_live_bytes / PARTS;

	forget_emptied(vs);
	if (vs->condemned_count || !v->blob_count)
		return;
	dead = collectable_bytes(v);
	if (dead > part * (free_pass ? KEEP_DEAD : ALONE_DEAD))
		condemn(vs, dead, part * KEEP_DEAD, UINT64_MAX);
}

void collect_give_up(struct version_set *vs)
{
	vs->condemned_count = 0;
	vs->collect_little = true;
}

/* ---- tables ------------------------------------------------------------- */

/* Neighbours that refer to the set go into one compaction, so that small tables
 * do not make small blob files. */
static struct compaction *rewrite_from(struct version_set *vs,
				       const struct tree_options *o,
				       unsigned level, size_t first)
{
	const struct version *v = vs->current;
	struct table_file **f = v->level[level] + first;
	uint64_t bytes = 0, moved = 0;
	size_t n = 0;

	while (first + n < v->count[level] && bytes < o->table_bytes &&
	       moved < o->blob_file_bytes) {
		uint64_t refers = refers_bytes(vs, f[n]);

		if (!refers || f[n]->compacting)
			break;
		bytes += f[n]->meta.file_bytes;
		moved += refers;
		n++;
	}
	return n ? compaction_build(vs, o, level, level, f, n) : NULL;
}

/* The first that can be done. */
static struct compaction *rewrite_any(struct version_set *vs,
				      const struct tree_options *o)
{
	const struct version *v = vs->current;
	struct compaction *c = NULL;

	for (unsigned level = 1; level < LSM_LEVELS && !c; level++)
		for (size_t i = 0; i < v->count[level] && !c; i++)
			c = rewrite_from(vs, o, level, i);
	return c;
}

static bool level_refers(const struct version_set *vs, unsigned level)
{
	const struct version *v = vs->current;

	for (size_t i = 0; i < v->count[level]; i++)
		if (refers_bytes(vs, v->level[level][i]))
			return true;
	return false;
}

struct compaction *pick_collect(struct version_set *vs,
				const struct tree_options *o, bool *level0)
{
	*level0 = false;
	collect_choose(vs, false);
	if (!vs->condemned_count)
		return NULL;
	*level0 = level_refers(vs, 0);
	return rewrite_any(vs, o);
}

struct compaction *compact_pick_collect(struct version_set *vs,
					const struct tree_options *o,
					uint64_t end, bool *busy)
{
	struct compaction *c;

	*busy = false;
	forget_emptied(vs);
	if (!vs->condemned_count)
		condemn(vs, collectable_bytes(vs->current), 0, end);
	c = vs->condemned_count ? rewrite_any(vs, o) : NULL;
	if (c)
		c->by_hand = true;
	for (unsigned level = 1; level < LSM_LEVELS && !c && !*busy; level++)
		*busy = vs->condemned_count && level_refers(vs, level);
	return c;
}
