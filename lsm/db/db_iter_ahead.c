/* SPDX-License-Identifier: MIT */
/*
 * db_iter_ahead.c - reading blocks of blob files ahead of an iterator.
 *
 * What values are coming is known to nobody but an iterator: so there is a
 * second one, the scout, which sees the same, runs before the user's in the
 * user's own thread, and reads no value. The blocks that its handles point to
 * are read by the threads of the pool (blob_ahead.h). A step of it costs some
 * tens of nanoseconds, beside a value that is too large for the tree.
 *
 * It starts when a few blocks in a row had to be read from disk, and ends when
 * the iterator is positioned anew or turns round, or when it was of no use.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/db/db_iter.h"

/* Blocks from disk before that is taken for a scan. */
#define START_BLOCKS 2
/* Steps at a time, should there be few handles. */
#define STEPS_MAX 2000

void db_iter_end_ahead(struct lsm_iter *it)
{
	struct blob_scout *s = it->scout;

	it->blob_row = 0;
	if (!s)
		return;
	blob_ahead_end(&s->ahead);
	lsm_iter_free(s->it);
	free(s);
	it->scout = NULL;
}

static int step(struct blob_scout *s)
{
	return s->backward ? lsm_iter_prev(s->it) : lsm_iter_next(s->it);
}

/* Runs on as far as blocks are wanted. */
static void run(struct blob_scout *s)
{
	struct blob_handle h;

	for (unsigned n = 0; n < STEPS_MAX && lsm_iter_valid(s->it) &&
			     blob_ahead_wants(&s->ahead);
	     n++) {
		if (s->it->is_handle && blob_handle_decode(&h, s->it->value) &&
		    (h.file != s->file || h.offset != s->offset)) {
			s->file = h.file;
			s->offset = h.offset;
			blob_ahead_add(&s->ahead, &h);
		}
		/* An error ends it; the user's own meets it. */
		if (step(s))
			break;
	}
	blob_ahead_flush(&s->ahead);
}

static int start(struct lsm_iter *it)
{
	struct blob_scout *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = db_iter_clone(it, &s->it);
	if (err) {
		free(s);
		return err;
	}
	it->scout = s;
	s->backward = it->moved_back;
	s->file = it->blob.file;
	s->offset = it->blob.offset;
	blob_ahead_start(&s->ahead, it->sv->version, &it->db->ahead,
			 !it->no_fill_cache);
	err = s->backward ? lsm_iter_seek_for_prev(s->it, it->key)
			  : lsm_iter_seek(s->it, it->key);
	if (!err)
		run(s);
	return 0;
}

void db_iter_missed(struct lsm_iter *it)
{
	if (it->scout || ++it->blob_row < START_BLOCKS)
		return;
	/* Without memory it goes on as before. */
	if (start(it))
		it->blob_row = 0;
}

bool db_iter_take_ahead(struct lsm_iter *it, const struct blob_handle *h)
{
	struct blob_scout *s = it->scout;
	struct cache_entry *e;

	if (!s)
		return false;
	e = blob_ahead_take(&s->ahead, h);
	if (!blob_ahead_is_on(&s->ahead))
		db_iter_end_ahead(it);
	else
		run(s);
	if (!e)
		return false;
	blob_view_release(&it->db->vs, &it->blob);
	it->blob.entry = e;
	it->blob.file = h->file;
	it->blob.offset = h->offset;
	return true;
}
