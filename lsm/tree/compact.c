/* SPDX-License-Identifier: MIT */
/*
 * compact.c - the work of one compaction: merge the inputs, newest first, and
 * pour them into a sink that writes the outputs.
 *
 * What a newer range tombstone hides from everyone is not even read: a table
 * that lies under one as a whole is left out, and inside a table a run under
 * one is jumped over. That makes deleting a large directory cheap to clean up.
 *
 * One background thread a compaction; its inputs are marked, so that no other
 * takes them. No lock is held.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/tree/compact_sink.h"
#include "lsm/tree/level_iter.h"

/* Inputs are read around the cache, ahead, and always checked. */
static const struct sst_iter_options input_options = {
	.fill_cache = false,
	.readahead = true,
	.verify = true,
};

struct work {
	struct compact_env *env;
	struct compaction *c;
	struct frags frags;
	struct table_file **files[2]; /* inputs that have to be read */
	size_t file_count[2];
	struct iter **its;
	uint64_t *max_seq; /* of each child's tables */
	size_t count;
	struct iter *merged;
};

/* ---- range tombstones --------------------------------------------------- */

static int add_ranges(struct work *w, struct table_file *f,
		      struct frags_builder *b)
{
	const struct frags *frags;
	struct sst_reader *r;
	size_t i;
	uint32_t k;
	int err;

	if (!f->meta.range_deletions)
		return 0;
	err = table_cache_get(w->env->vs->tables, &f->slot, &r);
	if (err)
		return err;
	frags = sst_reader_frags(r);
	for (i = 0; !err && i < frags->count; i++)
		for (k = 0; !err && k < frags->frag[i].seq_count; k++)
			err = frags_builder_add(b, frags->frag[i].start,
						frags->frag[i].end,
						frags->frag[i].seqs[k]);
	sst_reader_put(r);
	return err;
}

static int collect_ranges(struct work *w)
{
	struct frags_builder *b = frags_builder_new();
	size_t i;
	int n, err = b ? 0 : -ENOMEM;

	for (n = 0; n < 2; n++)
		for (i = 0; !err && i < w->c->input_count[n]; i++)
			err = add_ranges(w, w->c->inputs[n][i], b);
	if (!err && frags_builder_count(b))
		err = frags_builder_finish(b, &w->frags);
	if (b)
		frags_builder_free(b);
	return err;
}

/* Is there a tombstone newer than all of the table, and no snapshot that sees
 * some of it but not the tombstone? */
static bool hides(const struct compact_env *env, const struct frag *f,
		  const struct sst_meta *m)
{
	size_t stripe = snapshot_stripe(env, m->min_seq);
	uint32_t i;

	for (i = 0; i < f->seq_count && f->seqs[i] > m->max_seq; i++)
		if (snapshot_stripe(env, f->seqs[i]) == stripe)
			return true;
	return false;
}

static size_t first_frag_after(const struct frags *f, struct lsm_slice key)
{
	size_t low = 0, high = f->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(f->frag[mid].end, key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Does all of the table lie under such tombstones? Its own range tombstones
 * are then hidden as well: those above reach as far and are newer. */
static bool wholly_hidden(const struct work *w, const struct table_file *f)
{
	const struct sst_meta *m = &f->meta;
	struct lsm_slice at = buf_slice(&m->smallest);
	size_t i;

	for (i = first_frag_after(&w->frags, at); i < w->frags.count; i++) {
		const struct frag *g = &w->frags.frag[i];
		int c;

		if (slice_cmp(g->start, at) > 0 || !hides(w->env, g, m))
			return false;
		at = g->end;
		c = slice_cmp(at, buf_slice(&m->largest));
		if (c > 0 || (!c && m->largest_exclusive))
			return true;
	}
	return false;
}

/* ---- inputs ------------------------------------------------------------- */

static int choose_files(struct work *w)
{
	size_t i;
	int n;

	for (n = 0; n < 2; n++) {
		size_t count = w->c->input_count[n];

		w->files[n] = calloc(count ? count : 1, sizeof(*w->files[n]));
		if (!w->files[n])
			return -ENOMEM;
		for (i = 0; i < count; i++)
			if (!wholly_hidden(w, w->c->inputs[n][i]))
				w->files[n][w->file_count[n]++] =
					w->c->inputs[n][i];
	}
	return 0;
}

static int add_child(struct work *w, struct iter *it, struct table_file **files,
		     size_t count)
{
	uint64_t max = 0;
	size_t i;

	if (!it)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		if (files[i]->meta.max_seq > max)
			max = files[i]->meta.max_seq;
		w->env->read_bytes += files[i]->meta.file_bytes;
	}
	w->max_seq[w->count] = max;
	w->its[w->count++] = it;
	return 0;
}

/* Tables of level 0 one by one, others by level. */
static int open_inputs(struct work *w)
{
	struct table_cache *tc = w->env->vs->tables;
	size_t i, single = w->c->level ? 0 : w->file_count[0];
	int n, err = 0;

	w->its = calloc(single + 2, sizeof(*w->its));
	w->max_seq = calloc(single + 2, sizeof(*w->max_seq));
	if (!w->its || !w->max_seq)
		return -ENOMEM;
	for (i = 0; !err && i < single; i++) {
		struct table_file **f = &w->files[0][i];

		err = add_child(w, level_iter_new(tc, f, 1, &input_options), f,
				1);
	}
	for (n = single ? 1 : 0; !err && n < 2; n++)
		if (w->file_count[n])
			err = add_child(w,
					level_iter_new(tc, w->files[n],
						       w->file_count[n],
						       &input_options),
					w->files[n], w->file_count[n]);
	if (err || !w->count)
		return err;
	w->merged = merge_iter_new(w->its, w->count);
	if (!w->merged) {
		w->count = 0; /* freed with it */
		return -ENOMEM;
	}
	return 0;
}

static void work_release(struct work *w)
{
	if (w->merged)
		iter_free(w->merged);
	else
		while (w->count)
			iter_free(w->its[--w->count]);
	free(w->its);
	free(w->max_seq);
	free(w->files[0]);
	free(w->files[1]);
	frags_release(&w->frags);
}

/* ---- the merge ---------------------------------------------------------- */

/* To the next entry; past the run that a tombstone hides when the child that
 * stands on it holds nothing newer. */
static void advance(struct work *w, struct lsm_slice skip, uint64_t skip_seq)
{
	size_t i;

	if (!skip.len) {
		iter_next(w->merged);
		return;
	}
	i = w->count > 1 ? merge_iter_source(w->merged) : 0;
	if (w->max_seq[i] >= skip_seq)
		iter_next(w->merged);
	else if (w->count > 1)
		merge_iter_skip_child(w->merged, i, skip, UINT64_MAX);
	else
		iter_seek(w->merged, skip, UINT64_MAX);
}

static int merge(struct work *w, struct version_edit *edit)
{
	struct compact_sink sink = {
		.level = w->c->output_level,
		.one_table = !w->c->output_level,
		.blob_version = w->c->version,
		.collect = w->c->collect,
		.collect_count = w->c->collect_count,
		.bottommost = w->c->bottommost,
		.grandparents = w->c->grandparents,
		.grandparent_count = w->c->grandparent_count,
	};
	struct lsm_slice skip = {NULL, 0};
	uint64_t skip_seq = 0;
	int err;

	err = compact_sink_init(&sink, w->env, edit, &w->frags);
	if (err)
		return err;
	if (w->merged) {
		iter_first(w->merged);
		while (!err && w->merged->valid) {
			err = compact_sink_add(&sink, w->merged, &skip,
					       &skip_seq);
			if (!err)
				advance(w, skip, skip_seq);
		}
		if (!err)
			err = w->merged->err;
	}
	if (!err)
		return compact_sink_finish(&sink);
	compact_sink_abort(&sink);
	return err;
}

/* ---- the result --------------------------------------------------------- */

static int delete_inputs(struct compaction *c, struct version_edit *edit)
{
	const unsigned level[2] = {c->level, c->output_level};
	size_t i;
	int n, err = 0;

	for (n = 0; n < 2; n++)
		for (i = 0; !err && i < c->input_count[n]; i++)
			err = version_edit_delete(edit, level[n],
						  c->inputs[n][i]->meta.number);
	return err;
}

static int move_inputs(struct compaction *c, struct version_edit *edit)
{
	struct sst_meta meta = {0};
	size_t i;
	int err = delete_inputs(c, edit);

	for (i = 0; !err && i < c->input_count[0]; i++) {
		err = sst_meta_copy(&meta, &c->inputs[0][i]->meta);
		if (!err)
			err = version_edit_add(edit, c->output_level, &meta);
		sst_meta_release(&meta);
	}
	return err;
}

int compaction_run(struct compact_env *env, struct compaction *c,
		   struct version_edit *edit)
{
	struct work w = {.env = env, .c = c};
	int err;

	if (c->trivial_move)
		return move_inputs(c, edit);
	err = collect_ranges(&w);
	if (!err)
		err = choose_files(&w);
	if (!err)
		err = open_inputs(&w);
	/* Before the outputs are made: after that nothing may fail that would
	 * leave them behind. */
	if (!err)
		err = delete_inputs(c, edit);
	if (!err)
		err = merge(&w, edit);
	work_release(&w);
	return err;
}
