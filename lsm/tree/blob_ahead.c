/* SPDX-License-Identifier: MIT */
/*
 * blob_ahead.c - which blocks of blob files are ordered; see blob_ahead.h.
 *
 * The ring holds, oldest first, blocks that were taken, then blocks that are
 * ordered. Several blocks hold one run. While handles are added there is one
 * open run a file, to which neighbours are added, whatever comes between.
 */
#include "lsm/tree/blob_ahead.h"

#include <string.h>

/* Neighbours may lie so far apart; what is between them is read for nothing. */
#define GAP_MAX (16u << 10)
/* One run of a window, so that several threads work at it. */
#define WINDOW_RUNS 4
/* Taken blocks that are kept. */
#define KEEP 8
/* Blocks in a row that were in memory anyway, or not ordered, before it ends.
 */
#define USELESS_MAX 16

static struct blob_ahead_block *block_at(struct blob_ahead *a, unsigned i)
{
	return &a->block[(a->first + i) % BLOB_AHEAD_BLOCKS];
}

void blob_ahead_start(struct blob_ahead *a, struct version *v,
		      struct ahead *pool, bool fill)
{
	a->v = v;
	a->pool = pool;
	a->fill = fill;
	a->window = AHEAD_MIN;
	a->ordered = 0;
	a->first = a->at = a->count = 0;
	a->cached = a->missed = 0;
}

static void close_run(struct blob_ahead_open *o)
{
	if (!o->run)
		return;
	ahead_run_start(o->run);
	ahead_run_drop(o->run);
	o->run = NULL;
}

void blob_ahead_flush(struct blob_ahead *a)
{
	for (unsigned i = 0; i < BLOB_AHEAD_OPEN; i++)
		close_run(&a->open[i]);
}

/* Drops the oldest block. */
static void pop(struct blob_ahead *a)
{
	struct blob_ahead_block *b = block_at(a, 0);

	if (b->entry)
		cache_put(a->pool->cache, b->entry);
	if (!b->taken)
		a->ordered -= b->bytes;
	ahead_run_drop(b->run);
	a->first = (a->first + 1) % BLOB_AHEAD_BLOCKS;
	a->count--;
	if (a->at)
		a->at--;
}

void blob_ahead_end(struct blob_ahead *a)
{
	if (!a->v)
		return;
	for (unsigned i = 0; i < BLOB_AHEAD_OPEN; i++) {
		ahead_run_drop(a->open[i].run);
		a->open[i].run = NULL;
	}
	while (a->count)
		pop(a);
	a->v = NULL;
}

bool blob_ahead_wants(const struct blob_ahead *a)
{
	uint64_t window = a->window;
	uint64_t room = a->ordered + ahead_room(a->pool);

	if (window > room)
		window = room;
	if (window < AHEAD_MIN)
		return false;
	for (unsigned i = 0; i < BLOB_AHEAD_OPEN; i++)
		if (a->open[i].run)
			return a->count < BLOB_AHEAD_BLOCKS &&
			       a->ordered < window;
	return a->count < BLOB_AHEAD_BLOCKS / 2 &&
	       a->ordered + window / WINDOW_RUNS <= window;
}

/* ---- ordering ----------------------------------------------------------- */

static bool is_known(struct blob_ahead *a, const struct blob_handle *h)
{
	for (unsigned i = a->count; i-- > 0;) {
		const struct blob_ahead_block *b = block_at(a, i);

		if (b->offset == h->offset && b->file == h->file)
			return true;
	}
	return false;
}

/* Adds the block to the open run of its file, if it lies close enough. */
static bool add_to(struct blob_ahead *a, struct blob_ahead_open *o,
		   const struct sst_handle *h)
{
	uint64_t end = h->offset + h->bytes + SST_TRAILER_BYTES;

	if (ahead_run_bytes(o->run) >= a->window / WINDOW_RUNS ||
	    !((h->offset >= o->to && h->offset - o->to <= GAP_MAX) ||
	      (end <= o->from && o->from - end <= GAP_MAX)) ||
	    !ahead_run_add(o->run, h, a->fill))
		return false;
	if (h->offset < o->from)
		o->from = h->offset;
	if (end > o->to)
		o->to = end;
	return true;
}

static struct ahead_run *new_run(struct blob_ahead *a, uint64_t file)
{
	struct version_blob *b = version_find_blob(a->v, file);
	struct ahead_source s;
	struct blob_reader *r;
	struct ahead_run *run;

	/* What is wrong shows when the value is asked for. */
	if (!b || blob_files_get(&a->v->vs->blobs, &b->file->slot, &r))
		return NULL;
	blob_reader_source(r, &s);
	run = ahead_run_new(a->pool, &s);
	if (!run)
		blob_reader_put(r);
	return run;
}

/* The open run of the file, or the place for one. */
static struct blob_ahead_open *find_open(struct blob_ahead *a, uint64_t file)
{
	for (unsigned i = 0; i < BLOB_AHEAD_OPEN; i++)
		if (a->open[i].run && a->open[i].file == file)
			return &a->open[i];
	return &a->open[a->open_next++ % BLOB_AHEAD_OPEN];
}

/* A run that begins with the block. */
static bool open_run(struct blob_ahead *a, struct blob_ahead_open *o,
		     uint64_t file, const struct sst_handle *h)
{
	struct ahead_run *run = new_run(a, file);

	if (!run)
		return false;
	if (!ahead_run_add(run, h, a->fill)) {
		ahead_run_drop(run);
		return false;
	}
	close_run(o);
	o->run = run;
	o->file = file;
	o->from = h->offset;
	o->to = h->offset + h->bytes + SST_TRAILER_BYTES;
	return true;
}

void blob_ahead_add(struct blob_ahead *a, const struct blob_handle *h)
{
	struct sst_handle sh = {
		.offset = h->offset, .bytes = h->bytes, .type = h->type};
	struct blob_ahead_open *o;

	if (h->bytes > AHEAD_RUN_BYTES / 2 || h->type > SST_BLOCK_LZ4 ||
	    h->offset > INT64_MAX || a->count == BLOB_AHEAD_BLOCKS ||
	    is_known(a, h))
		return;
	o = find_open(a, h->file);
	if (!(o->run && o->file == h->file && add_to(a, o, &sh)) &&
	    !open_run(a, o, h->file, &sh))
		return;
	ahead_run_hold(o->run);
	*block_at(a, a->count++) = (struct blob_ahead_block){
		.file = h->file,
		.offset = h->offset,
		.run = o->run,
		.index = ahead_run_count(o->run) - 1,
		.bytes = h->bytes,
	};
	a->ordered += h->bytes;
}

/* ---- taking ------------------------------------------------------------- */

static void take(struct blob_ahead *a, struct blob_ahead_block *b)
{
	/* it may be in one that is still open */
	blob_ahead_flush(a);
	b->entry = ahead_run_take(b->run, b->index);
	b->taken = true;
	a->ordered -= b->bytes;
	if (!b->index && a->window < AHEAD_MAX)
		a->window *= 2;
	if (b->index + 1 == ahead_run_count(b->run))
		a->cached = ahead_run_was_cached(b->run)
				    ? a->cached + ahead_run_count(b->run)
				    : 0;
}

struct cache_entry *blob_ahead_take(struct blob_ahead *a,
				    const struct blob_handle *h)
{
	struct blob_ahead_block *b = NULL;
	struct cache_entry *e = NULL;
	unsigned i;

	for (i = 0; i < a->count && !b; i++) {
		b = block_at(a, i);
		if (b->offset != h->offset || b->file != h->file)
			b = NULL;
	}
	if (b) {
		if (!b->taken)
			take(a, b);
		/* what is held can be held twice */
		if (b->entry && cache_ref(b->entry))
			e = b->entry;
		if (i > a->at)
			a->at = i;
		while (a->at > KEEP)
			pop(a);
		a->missed = 0;
	} else {
		a->missed++;
	}
	if (a->cached > USELESS_MAX || a->missed > USELESS_MAX)
		blob_ahead_end(a);
	return e;
}
