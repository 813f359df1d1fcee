/* SPDX-License-Identifier: MIT */
/*
 * flush.c - closed memtables become one table of level 0.
 *
 * One table, however large: the tables of level 0 are ordered by their
 * sequences, and two out of one flush would need an order among them that
 * sequences do not give. Nothing is known of the levels below, so tombstones
 * stay; versions that no snapshot sees go.
 *
 * Called by the thread that flushes; one at a time for a store.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/tree/compact_sink.h"

static int collect_ranges(struct memtable *const *mems, size_t count,
			  struct frags *frags)
{
	struct frags_builder *b = NULL;
	size_t i;
	int err = 0;

	memset(frags, 0, sizeof(*frags));
	for (i = 0; !err && i < count; i++) {
		if (!memtable_has_ranges(mems[i]))
			continue;
		if (!b)
			b = frags_builder_new();
		err = b ? memtable_collect_ranges(mems[i], b) : -ENOMEM;
	}
	if (!err && b)
		err = frags_builder_finish(b, frags);
	if (b)
		frags_builder_free(b);
	return err;
}

static struct iter *merge(struct memtable *const *mems, size_t count)
{
	struct iter **its = calloc(count, sizeof(*its));
	struct iter *it = NULL;
	size_t i;

	if (!its)
		return NULL;
	for (i = 0; i < count; i++) {
		its[i] = memtable_iter(mems[i]);
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

int flush_memtables(struct compact_env *env, struct memtable *const *mems,
		    size_t count, struct version_edit *edit)
{
	struct compact_sink sink = {
		.level = 0, .one_table = true, .separate = true};
	struct lsm_slice skip;
	struct frags frags;
	struct iter *it;
	uint64_t skip_seq;
	int err;

	if (!count)
		return 0;
	err = collect_ranges(mems, count, &frags);
	if (err)
		return err;
	it = merge(mems, count);
	if (!it) {
		err = -ENOMEM;
		goto out;
	}
	err = compact_sink_init(&sink, env, edit, &frags);
	if (err)
		goto out;
	for (iter_first(it); !err && it->valid; iter_next(it))
		err = compact_sink_add(&sink, it, &skip, &skip_seq);
	if (!err)
		err = it->err;
	if (err)
		compact_sink_abort(&sink);
	else
		err = compact_sink_finish(&sink);
out:
	iter_free(it);
	frags_release(&frags);
	return err;
}
