/* SPDX-License-Identifier: MIT */
/*
 * merge_all.c - tables of which nobody knows any more how they lay in the tree
 * become one level.
 *
 * The order of tables need not be known: an entry's tag says how new it is, and
 * a range tombstone's sequence does. So all of it is merged at once, and of
 * equal keys the newest wins, wherever it came from. The same entry may come
 * twice, from a compaction's input and from its output: one is dropped.
 *
 * To keep few tables open, tables that do not overlap are read one after the
 * other: sorted by their first key, each goes to the first run whose last table
 * ends before it. There are then as many runs as tables lie over one key.
 *
 * One thread; nothing is installed.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/tree/compact_sink.h"
#include "lsm/tree/level_iter.h"

static const struct sst_iter_options input_options = {
	.fill_cache = false,
	.readahead = true,
	.verify = true,
};

struct run {
	struct table_file **files;
	size_t count;
};

static int cmp_smallest(const void *a, const void *b)
{
	const struct table_file *x = *(struct table_file *const *)a;
	const struct table_file *y = *(struct table_file *const *)b;

	return slice_cmp(buf_slice(&x->meta.smallest),
			 buf_slice(&y->meta.smallest));
}

static bool ends_before(const struct table_file *a, const struct table_file *b)
{
	int c = slice_cmp(buf_slice(&a->meta.largest),
			  buf_slice(&b->meta.smallest));

	return c < 0 || (!c && a->meta.largest_exclusive);
}

static void runs_free(struct run *runs, size_t count)
{
	while (count)
		free(runs[--count].files);
	free(runs);
}

/* files is sorted. */
static int make_runs(struct table_file **files, size_t count, struct run **out,
		     size_t *out_count)
{
	struct run *runs = calloc(count ? count : 1, sizeof(*runs));
	size_t i, k, n = 0;
	void *p;

	if (!runs)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		for (k = 0; k < n; k++)
			if (ends_before(runs[k].files[runs[k].count - 1],
					files[i]))
				break;
		p = reallocarray(runs[k].files, runs[k].count + 1,
				 sizeof(*runs[k].files));
		if (!p) {
			runs_free(runs, n);
			return -ENOMEM;
		}
		runs[k].files = p;
		runs[k].files[runs[k].count++] = files[i];
		n += k == n;
	}
	*out = runs;
	*out_count = n;
	return 0;
}

static int add_ranges(struct table_cache *tc, struct table_file *f,
		      struct frags_builder *b)
{
	const struct frags *frags;
	struct sst_reader *r;
	size_t i;
	uint32_t k;
	int err;

	if (!f->meta.range_deletions)
		return 0;
	err = table_cache_get(tc, &f->slot, &r);
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

static int collect_ranges(struct table_cache *tc, struct table_file **files,
			  size_t count, struct frags *out)
{
	struct frags_builder *b = frags_builder_new();
	int err = b ? 0 : -ENOMEM;
	size_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; !err && i < count; i++)
		err = add_ranges(tc, files[i], b);
	if (!err && frags_builder_count(b))
		err = frags_builder_finish(b, out);
	if (b)
		frags_builder_free(b);
	return err;
}

/* NULL: no memory. */
static struct iter *open_runs(struct table_cache *tc, const struct run *runs,
			      size_t count)
{
	struct iter **its = calloc(count, sizeof(*its)), *it = NULL;
	size_t i;

	if (!its)
		return NULL;
	for (i = 0; i < count; i++) {
		its[i] = level_iter_new(tc, runs[i].files, runs[i].count,
					&input_options);
		if (!its[i])
			break;
	}
	if (i == count)
		it = merge_iter_new(its, count);
	else
		while (i)
			iter_free(its[--i]);
	free(its);
	return it;
}

static int pour(struct compact_env *env, struct iter *it,
		const struct frags *frags, unsigned level,
		struct version_edit *edit)
{
	struct compact_sink sink = {.level = level, .bottommost = true};
	struct lsm_slice skip;
	uint64_t skip_seq;
	int err = compact_sink_init(&sink, env, edit, frags);

	if (err)
		return err;
	for (iter_first(it); !err && it->valid; iter_next(it))
		err = compact_sink_add(&sink, it, &skip, &skip_seq);
	if (!err)
		err = it->err;
	if (!err)
		return compact_sink_finish(&sink);
	compact_sink_abort(&sink);
	return err;
}

int merge_all_tables(struct compact_env *env, struct table_file **files,
		     size_t count, unsigned level, struct version_edit *edit)
{
	struct table_cache *tc = env->vs->tables;
	struct run *runs = NULL;
	struct iter *it = NULL;
	struct frags frags;
	size_t n = 0;
	int err;

	if (!count)
		return 0;
	qsort(files, count, sizeof(*files), cmp_smallest);
	err = collect_ranges(tc, files, count, &frags);
	if (!err)
		err = make_runs(files, count, &runs, &n);
	if (!err) {
		it = open_runs(tc, runs, n);
		err = it ? pour(env, it, &frags, level, edit) : -ENOMEM;
	}
	iter_free(it);
	runs_free(runs, n);
	frags_release(&frags);
	return err;
}
