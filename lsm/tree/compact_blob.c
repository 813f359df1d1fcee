/* SPDX-License-Identifier: MIT */
/*
 * compact_blob.c - the part of the sink that deals with blob files.
 *
 * A flush puts large values into a blob file and their handles into the table.
 * A compaction passes handles on, but values in files that are to be emptied
 * (compact_collect.c) are read and written into a new blob file, so that in the
 * end the old one can go. Each of them lies in its file in the order of keys,
 * mostly, so merging in that order reads each file from front to back: as the
 * last block of each is held, no block is read twice.
 *
 * A value that several keys share is moved once, as long as compact_moved.h
 * remembers where to.
 *
 * A handle is known only when its block is cut. Until then the entries from the
 * first value of that block on wait, in order: their keys and small values are
 * few, as a block is; when many small entries come between large values the
 * block is cut early.
 *
 * One thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/tree/compact_sink.h"

/* Bytes of keys and small values that may wait for a block. */
#define PENDING_BYTES (256u << 10)
/* Bytes written between two looks at the rate and the stop flag. */
#define PACE_BYTES (256u << 10)
/* Of values larger than that only one block is held. */
#define VIEW_VALUE_MAX (64u << 10)

/* ---- writing ------------------------------------------------------------ */

static int open_blob(struct compact_sink *s)
{
	struct version_set *vs = s->env->vs;
	char name[FILE_NAME_MAX];
	int err;

	s->blob_number = version_set_new_file(vs);
	s->blob_paced = 0;
	file_name(name, FILE_BLOB, s->blob_number);
	err = blob_writer_open(vs->dir, name, s->blob_number,
			       s->env->options->sst.lz4, &s->blob);
	if (err)
		s->blob = NULL;
	return err;
}

/* A flush is never held up: its memory is waited for. */
static void pay(struct compact_sink *s, uint64_t bytes)
{
	if (!s->blob_version)
		return;
	rate_limiter_take(s->env->collect_limiter, bytes - s->blob_paced,
			  s->env->stop);
	s->blob_paced = bytes;
}

static int finish_blob(struct compact_sink *s)
{
	struct edit_blob e = {.what = EDIT_BLOB_ADD};
	struct blob_writer *w = s->blob;
	int err = sink_note_made(s, FILE_BLOB, s->blob_number);

	if (err)
		return err;
	s->blob = NULL;
	err = blob_writer_finish(w, &e.meta);
	if (err)
		return err;
	pay(s, e.meta.file_bytes);
	s->env->written_bytes += e.meta.file_bytes;
	s->env->blob_bytes += e.meta.file_bytes;
	/* Every value in it got its handle into a table of this edit; what
	 * shared ones have more of the set finds out. */
	e.live_bytes = e.meta.value_bytes;
	return version_edit_blob(s->edit, &e);
}

static int emit_pending(struct compact_sink *s, struct sink_pending *p,
			struct blob_handle place)
{
	struct lsm_slice value =
		lsm_slice(s->bytes.data + p->value, p->value_len);
	uint8_t handle[BLOB_HANDLE_MAX];

	if (p->moved)
		moved_placed(&s->moved_values, p->moved, &place);
	if (p->blob) {
		place.shared = p->shared;
		place.index = p->index;
		place.len = p->len;
		value = lsm_slice(handle, blob_handle_encode(&place, handle));
	}
	return sink_emit(s, lsm_slice(s->bytes.data + p->key, p->key_len),
			 p->tag, value, p->first);
}

static int pace(struct compact_sink *s)
{
	uint64_t bytes = blob_writer_bytes(s->blob);

	if (bytes - s->blob_paced < PACE_BYTES)
		return 0;
	pay(s, bytes);
	/* Relaxed: nothing is read on the strength of it. */
	return s->env->stop && atomic_load_explicit(s->env->stop,
						    memory_order_relaxed)
		       ? -ECANCELED
		       : 0;
}

/* Cuts the open block and lets go what waits for it. */
static int flush_pending(struct compact_sink *s)
{
	struct blob_handle place = {0};
	int err = 0;

	if (s->blob_open)
		err = blob_writer_cut(s->blob, &place);
	s->blob_open = 0;
	for (size_t i = 0; i < s->pending_count && !err; i++)
		err = emit_pending(s, &s->pending[i], place);
	s->pending_count = 0;
	moved_next_block(&s->moved_values);
	buf_clear(&s->bytes);
	if (!err && s->blob)
		err = pace(s);
	if (!err && s->blob && s->env->options->blob_file_bytes &&
	    blob_writer_bytes(s->blob) >= s->env->options->blob_file_bytes)
		err = finish_blob(s);
	return err;
}

static int push_pending(struct compact_sink *s, struct sink_pending p,
			struct lsm_slice key, struct lsm_slice value)
{
	int err;

	if (s->pending_count == s->pending_cap) {
		size_t cap = s->pending_cap ? 2 * s->pending_cap : 64;
		void *a = reallocarray(s->pending, cap, sizeof(*s->pending));

		if (!a)
			return -ENOMEM;
		s->pending = a;
		s->pending_cap = cap;
	}
	p.key = s->bytes.len;
	p.key_len = key.len;
	p.value = p.key + key.len;
	p.value_len = value.len;
	err = buf_append(&s->bytes, key.data, key.len);
	if (!err)
		err = buf_append(&s->bytes, value.data, value.len);
	if (!err)
		s->pending[s->pending_count++] = p;
	return err;
}

/* value: what the table gets in its place, as it is. */
static int keep_as(struct compact_sink *s, const struct iter *it,
		   struct lsm_slice value, bool first)
{
	struct sink_pending p = {.tag = it->tag, .first = first};
	int err;

	if (!s->pending_count)
		return sink_emit(s, it->key, it->tag, value, first);
	err = push_pending(s, p, it->key, value);
	if (!err && s->bytes.len > PENDING_BYTES)
		err = flush_pending(s);
	return err;
}

static int keep_plain(struct compact_sink *s, const struct iter *it, bool first)
{
	return keep_as(s, it, it->value, first);
}

static int keep_value(struct compact_sink *s, const struct iter *it,
		      struct lsm_slice value, bool first)
{
	struct sink_pending p = {
		.tag = tag_make(tag_seq(it->tag), KIND_BLOB),
		.first = first,
		.len = (uint32_t)value.len,
		.blob = true,
	};
	int err = 0;

	if (s->blob && blob_writer_full(s->blob, it->key, value))
		err = flush_pending(s);
	if (!err && !s->blob)
		err = open_blob(s);
	if (!err)
		err = blob_writer_add(s->blob, it->key, tag_seq(it->tag), value,
				      &p.index);
	if (err)
		return err;
	s->blob_open++;
	return push_pending(s, p, it->key, lsm_slice(NULL, 0));
}

/* ---- collecting --------------------------------------------------------- */

/* The view to read the handle's value through, when its file is one to be
 * emptied; else NULL. */
static struct blob_view *to_collect(struct compact_sink *s,
				    struct lsm_slice handle,
				    struct blob_handle *h,
				    struct version_blob **b)
{
	if (!s->collect_count || !blob_handle_decode(h, handle))
		return NULL;
	for (unsigned i = 0; i < s->collect_count; i++) {
		if (s->collect[i] != h->file)
			continue;
		*b = version_find_blob(s->blob_version, h->file);
		if (!*b || atomic_load_explicit(&(*b)->file->damaged,
						memory_order_relaxed))
			return NULL;
		return h->len > VIEW_VALUE_MAX ? &s->large : &s->views[i];
	}
	return NULL;
}

/* The value has been moved for another key. */
static int keep_moved(struct compact_sink *s, const struct iter *it,
		      const struct moved_value *v, bool first)
{
	struct sink_pending p = {.tag = it->tag,
				 .first = first,
				 .index = v->to.index,
				 .len = v->to.len,
				 .blob = true,
				 .shared = true};
	uint8_t handle[BLOB_HANDLE_MAX];
	int err;

	if (v->block != s->moved_values.block)
		return keep_as(
			s, it,
			lsm_slice(handle, blob_handle_encode(&v->to, handle)),
			first);
	/* It waits in the open block. */
	err = push_pending(s, p, it->key, lsm_slice(NULL, 0));
	if (!err && s->bytes.len > PENDING_BYTES)
		err = flush_pending(s);
	return err;
}

static int keep_handle(struct compact_sink *s, const struct iter *it,
		       bool first)
{
	struct version_blob *b;
	struct blob_handle h;
	struct blob_view *view = to_collect(s, it->value, &h, &b);
	const struct moved_value *moved;
	struct sink_pending *p;
	struct lsm_slice value;
	int err;

	if (!view)
		return keep_plain(s, it, first);
	moved = moved_find(&s->moved_values, &h);
	if (moved)
		return keep_moved(s, it, moved, first);
	err = version_blob_value(s->blob_version, it->value, false, view,
				 &value);
	if (err == -EUCLEAN || err == -EIO) {
		/* It was reported. The handle stays, so nothing more is lost
		 * than is, and merging goes on. */
		atomic_store_explicit(&b->file->damaged, true,
				      memory_order_relaxed);
		return keep_plain(s, it, first);
	}
	if (err)
		return err;
	s->env->read_bytes += value.len;
	s->env->collected_bytes += value.len;
	err = keep_value(s, it, value, first);
	if (err)
		return err;
	p = &s->pending[s->pending_count - 1];
	p->moved = moved_add(&s->moved_values, &h, p->index);
	return 0;
}

int sink_keep(struct compact_sink *s, const struct iter *it, bool first)
{
	uint32_t least = s->env->options->blob_bytes;

	if (tag_kind(it->tag) == KIND_BLOB && s->moved)
		return keep_value(s, it, s->moved_value, first);
	if (tag_kind(it->tag) == KIND_BLOB)
		return keep_handle(s, it, first);
	if (s->separate && least && tag_kind(it->tag) == KIND_PUT &&
	    it->value.len >= least)
		return keep_value(s, it, it->value, first);
	return keep_plain(s, it, first);
}

/* ---- end ---------------------------------------------------------------- */

int sink_finish_blobs(struct compact_sink *s)
{
	int err = flush_pending(s);

	return err || !s->blob ? err : finish_blob(s);
}

void sink_release_blobs(struct compact_sink *s)
{
	if (s->blob)
		blob_writer_abort(s->blob);
	s->blob = NULL;
	for (unsigned i = 0; s->views && i < s->collect_count; i++)
		blob_view_release(s->env->vs, &s->views[i]);
	blob_view_release(s->env->vs, &s->large);
	free(s->views);
	s->views = NULL;
	moved_release(&s->moved_values);
	buf_release(&s->bytes);
	free(s->pending);
	s->pending = NULL;
}
