/* SPDX-License-Identifier: MIT */
/*
 * db_iter.c - what a user's iterator does: out of all versions of all keys in
 * all sources, the newest visible one of each key, unless a tombstone hides it.
 *
 * The sources are the memtables and what the version adds, newest first, merged
 * by merge_iter. The iterator holds a counted superversion, so nothing it looks
 * at goes away, and no epoch, so it may live as long as it likes.
 *
 * Forward the entry shown is the merged iterator's own, and no byte of a value
 * is copied; the user key is remembered on the step away from it, to skip its
 * older versions, unless the source tells these by itself (iter.h). Backward
 * the versions of a key come oldest first, so key and value are copied while
 * the newest visible one is looked for, unless the source says that there is
 * but one: that is shown where it lies.
 *
 * Range tombstones: each source says how far its answer holds (struct
 * range_cover), so it is asked again only when the key leaves that range. A
 * tombstone of a newer source hides everything older sources hold in its range:
 * those sources jump to its end, or going backward before its start, instead of
 * being walked.
 *
 * A value in a blob file is fetched when it is asked for; its block is held, as
 * the next value mostly lies in it too.
 *
 * One thread at a time, as the user was told.
 */
#include <assert.h>
#include <errno.h>

#include "lsm/db/db_iter.h"

/* Steps over versions of one key, or over entries that are hidden, before a
 * seek is taken to be cheaper. */
#define SKIP_STEPS 8
/* Covered entries in a row before their source jumps. */
#define JUMP_STEPS 2

/* ---- tombstones ---- */

static bool holds_for(const struct source_cover *c, struct lsm_slice key)
{
	const struct range_cover *a = &c->answer;

	return c->asked && (!a->start.len || slice_cmp(key, a->start) >= 0) &&
	       (!a->end.len || slice_cmp(key, a->end) < 0);
}

/* *newest: the newest visible tombstone over key in any source; 0: none. */
static int cover_at(struct lsm_iter *it, struct lsm_slice key, uint64_t *newest)
{
	*newest = 0;
	for (size_t i = 0; i < it->source_count; i++) {
		struct source_cover *c = &it->covers[i];
		int err;

		if (!c->from.cover)
			continue;
		if (!holds_for(c, key)) {
			c->asked = false;
			err = c->from.cover(c->from.arg, key, it->seq,
					    &c->answer);
			if (err)
				return err;
			c->asked = true;
		}
		if (c->answer.seq > *newest)
			*newest = c->answer.seq;
	}
	return 0;
}

/* Is the visible entry that merged is on hidden by a range tombstone? 1, 0 or
 * an error. */
static int is_covered(struct lsm_iter *it)
{
	uint64_t newest;
	int err;

	if (!it->covers)
		return 0;
	err = cover_at(it, it->merged->key, &newest);
	return err ? err : newest > tag_seq(it->merged->tag);
}

/*
 * The entry that merged is on is covered. If a newer source's tombstone does
 * it, everything in the entry's source up to the tombstone's end, and down to
 * its start, is older: jump there, or before that. False: nothing to jump over,
 * step.
 */
static bool jump_covered(struct lsm_iter *it, bool back)
{
	size_t source =
		it->source_count > 1 ? merge_iter_source(it->merged) : 0;
	struct lsm_slice to = {0};

	for (size_t i = 0; i < source; i++) {
		const struct source_cover *c = &it->covers[i];
		struct lsm_slice s = back ? c->answer.start : c->answer.end;
		int order = to.len ? slice_cmp(s, to) : 0;

		if (c->from.cover && c->answer.seq && s.len &&
		    (!to.len || (back ? order < 0 : order > 0)))
			to = s;
	}
	if (!to.len)
		return false;
	/* before all versions of the key */
	merge_iter_skip_child(it->merged, source, to, UINT64_MAX);
	return true;
}

/* ---- forward ---- */

static int unpositioned(struct lsm_iter *it, int result)
{
	it->valid = false;
	return result;
}

static int at_end(struct lsm_iter *it)
{
	return unpositioned(it, it->merged->err ? it->merged->err : LSM_END);
}

static int save_key(struct lsm_iter *it, struct lsm_slice key)
{
	it->saved_key.len = 0;
	return buf_append(&it->saved_key, key.data, key.len);
}

static int show(struct lsm_iter *it)
{
	struct iter *m = it->merged;

	it->is_handle = tag_kind(m->tag) == KIND_BLOB;
	if (__builtin_expect(tag_kind(m->tag) != KIND_PUT && !it->is_handle, 0))
		return unpositioned(
			it, log_corrupt(&it->db->log, "store", 0,
					"an entry of a kind that this version "
					"does not know"));
	it->resolved = false;
	it->value_err = 0;
	slice_copy(&it->key, &m->key);
	slice_copy(&it->value, &m->value);
	it->direction = FORWARD;
	it->valid = true;
	return 0;
}

static bool past_upper(const struct lsm_iter *it, struct lsm_slice key)
{
	return it->upper.len && slice_cmp(key, buf_slice(&it->upper)) >= 0;
}

/* merged is about to leave the key, of which the versions that follow are not
 * wanted: remembers it, if that is needed to tell them. */
static int save_passed(struct lsm_iter *it, struct lsm_slice key)
{
	return it->merged->tells ? 0 : save_key(it, key);
}

/* After a step: is it another version of the key that was left? */
static bool is_passed(const struct lsm_iter *it)
{
	const struct iter *m = it->merged;

	return m->tells ? !m->newest
			: slice_eq(m->key, buf_slice(&it->saved_key));
}

/*
 * From the entry that merged is on forward to the first one to be shown. With
 * skip_saved merged has moved one step from an entry of which the other
 * versions are passed over; save_passed() was told of its key.
 */
static int find_forward(struct lsm_iter *it, bool skip_saved)
{
	struct iter *m = it->merged;
	unsigned skipped = 0, covered = 0;
	int err;

	for (; m->valid; iter_next(m)) {
	again:
		if (past_upper(it, m->key))
			return unpositioned(it, LSM_END);
		if (skip_saved && is_passed(it)) {
			if (++skipped < SKIP_STEPS)
				continue;
			skipped = 0;
			err = m->tells ? save_key(it, m->key) : 0;
			if (err)
				return unpositioned(it, err);
			iter_seek(m, buf_slice(&it->saved_key), 0);
			skip_saved = false;
			if (m->valid)
				goto again;
			break;
		}
		skip_saved = false;
		if (tag_seq(m->tag) > it->seq) {
			if (++skipped < SKIP_STEPS)
				continue;
			skipped = 0;
			err = save_key(it, m->key);
			if (err)
				return unpositioned(it, err);
			iter_seek(m, buf_slice(&it->saved_key),
				  tag_seek(it->seq));
			if (m->valid)
				goto again;
			break;
		}
		skipped = 0;
		if (tag_kind(m->tag) == KIND_DELETE) {
			covered = 0;
		} else {
			err = is_covered(it);
			if (err < 0)
				return unpositioned(it, err);
			if (!err)
				return show(it);
			if (++covered > JUMP_STEPS && jump_covered(it, false)) {
				if (m->valid)
					goto again;
				break;
			}
		}
		err = save_passed(it, m->key);
		if (err)
			return unpositioned(it, err);
		skip_saved = true;
	}
	return at_end(it);
}

/* ---- backward ---- */

/* Remembers what the entry that merged is on says of its key. */
static int take_version(struct lsm_iter *it, bool *found)
{
	struct iter *m = it->merged;
	int covered;

	*found = false;
	if (tag_kind(m->tag) == KIND_DELETE)
		return 0;
	covered = is_covered(it);
	if (covered)
		return covered < 0 ? covered : 0;
	it->saved_is_handle = tag_kind(m->tag) == KIND_BLOB;
	if (tag_kind(m->tag) != KIND_PUT && !it->saved_is_handle)
		return log_corrupt(&it->db->log, "store", 0,
				   "an entry of a kind that this version does "
				   "not know");
	it->saved_value.len = 0;
	*found = true;
	return buf_append(&it->saved_value, m->value.data, m->value.len);
}

/* Looks saved_key's newest visible version up directly and moves before all
 * of its versions. */
static int seek_version(struct lsm_iter *it, bool *found)
{
	struct iter *m = it->merged;
	struct lsm_slice key = buf_slice(&it->saved_key);
	int err = 0;

	*found = false;
	iter_seek(m, key, tag_seek(it->seq));
	if (m->valid && slice_eq(m->key, key))
		err = take_version(it, found);
	if (!m->valid && m->err)
		err = m->err;
	if (!err)
		iter_seek_for_prev(m, key, UINT64_MAX);
	return err;
}

/* The newest visible version of the key that merged is on, whose versions come
 * oldest first; moves before all of them. */
static int walk_versions(struct lsm_iter *it, bool *found)
{
	struct iter *m = it->merged;
	unsigned steps = 0;
	int err = save_key(it, m->key);

	*found = false;
	while (!err && m->valid &&
	       slice_eq(m->key, buf_slice(&it->saved_key))) {
		if (++steps > SKIP_STEPS)
			return seek_version(it, found);
		if (tag_seq(m->tag) <= it->seq)
			err = take_version(it, found);
		if (!err)
			iter_prev(m);
	}
	/* What could not be read may be a newer version. */
	if (!err && !m->valid)
		err = m->err;
	return err;
}

/* Is the entry that merged is on to be seen? 1, 0 or an error. */
static int is_shown(struct lsm_iter *it)
{
	const struct iter *m = it->merged;
	int covered;

	if (tag_seq(m->tag) > it->seq || tag_kind(m->tag) == KIND_DELETE)
		return 0;
	covered = is_covered(it);
	return covered < 0 ? covered : !covered;
}

/* From the entry that merged is on, the last version of its key, backward to
 * the first key to be shown. */
static int find_backward(struct lsm_iter *it)
{
	struct iter *m = it->merged;
	unsigned hidden = 0;
	bool found;
	int err;

	for (; m->valid; hidden++) {
		if (it->lower.len &&
		    slice_cmp(m->key, buf_slice(&it->lower)) < 0)
			return unpositioned(it, LSM_END);
		if (m->newest) {
			/* Older versions would have come before it. */
			err = is_shown(it);
			if (err)
				return err < 0 ? unpositioned(it, err)
					       : show(it);
			iter_prev(m);
			continue;
		}
		if (it->covers && hidden > JUMP_STEPS &&
		    tag_seq(m->tag) <= it->seq) {
			err = is_covered(it);
			if (err < 0)
				return unpositioned(it, err);
			if (err && jump_covered(it, true))
				continue;
		}
		err = walk_versions(it, &found);
		if (err)
			return unpositioned(it, err);
		if (found) {
			it->key = buf_slice(&it->saved_key);
			it->value = buf_slice(&it->saved_value);
			it->is_handle = it->saved_is_handle;
			it->resolved = false;
			it->value_err = 0;
			it->direction = BACKWARD;
			it->valid = true;
			return 0;
		}
	}
	return at_end(it);
}

/* ---- the interface ---- */

static void turn(struct lsm_iter *it, bool back)
{
	db_iter_end_ahead(it);
	it->moved_back = back;
}

int lsm_iter_first(struct lsm_iter *it)
{
	if (!it->merged)
		return LSM_END;
	turn(it, false);
	if (it->lower.len)
		iter_seek(it->merged, buf_slice(&it->lower), tag_seek(it->seq));
	else
		iter_first(it->merged);
	return find_forward(it, false);
}

int lsm_iter_last(struct lsm_iter *it)
{
	if (!it->merged)
		return LSM_END;
	turn(it, true);
	if (it->upper.len)
		iter_seek_for_prev(it->merged, buf_slice(&it->upper),
				   UINT64_MAX);
	else
		iter_last(it->merged);
	return find_backward(it);
}

int lsm_iter_seek(struct lsm_iter *it, struct lsm_slice key)
{
	if (!it->merged)
		return LSM_END;
	if (!key.len ||
	    (it->lower.len && slice_cmp(key, buf_slice(&it->lower)) < 0))
		return lsm_iter_first(it);
	turn(it, false);
	iter_seek(it->merged, key, tag_seek(it->seq));
	return find_forward(it, false);
}

int lsm_iter_seek_for_prev(struct lsm_iter *it, struct lsm_slice key)
{
	if (!it->merged)
		return LSM_END;
	if (!key.len)
		return unpositioned(it, LSM_END);
	if (past_upper(it, key))
		return lsm_iter_last(it);
	turn(it, true);
	iter_seek_for_prev(it->merged, key, 0);
	return find_backward(it);
}

int lsm_iter_next(struct lsm_iter *it)
{
	int err;

	if (!it->valid)
		return -EINVAL;
	if (it->value_err)
		return unpositioned(it, it->value_err);
	if (it->moved_back)
		turn(it, false);
	if (it->direction == BACKWARD) {
		iter_seek(it->merged, buf_slice(&it->saved_key), 0);
		return find_forward(it, false);
	}
	err = save_passed(it, it->key);
	if (err)
		return unpositioned(it, err);
	iter_next(it->merged);
	return find_forward(it, true);
}

int lsm_iter_prev(struct lsm_iter *it)
{
	int err;

	if (!it->valid)
		return -EINVAL;
	if (it->value_err)
		return unpositioned(it, it->value_err);
	if (!it->moved_back)
		turn(it, true);
	if (it->direction == FORWARD && it->merged->newest) {
		iter_prev(it->merged);
	} else if (it->direction == FORWARD) {
		err = save_key(it, it->key);
		if (err)
			return unpositioned(it, err);
		iter_seek_for_prev(it->merged, buf_slice(&it->saved_key),
				   UINT64_MAX);
	}
	return find_backward(it);
}

bool lsm_iter_valid(const struct lsm_iter *it)
{
	return it->valid;
}

struct lsm_slice lsm_iter_key(const struct lsm_iter *it)
{
	assert(it->valid);
	return it->key;
}

/* Puts what the handle stands for in its place. */
static void resolve(struct lsm_iter *it)
{
	struct blob_handle h;
	struct lsm_slice value;
	bool other;
	int err;

	other = blob_handle_decode(&h, it->value) &&
		(!it->blob.entry || it->blob.offset != h.offset ||
		 it->blob.file != h.file);
	if (other && db_iter_take_ahead(it, &h))
		other = false;
	err = sv_blob_value(it->sv, it->value, !it->no_fill_cache, &it->blob,
			    &value);
	if (!err && other && it->blob.from_disk)
		db_iter_missed(it);

	it->handle = it->value;
	it->resolved = true;
	it->value_err = err;
	it->value = err ? lsm_slice(NULL, 0) : value;
}

struct lsm_slice lsm_iter_value(const struct lsm_iter *it)
{
	assert(it->valid);
	/* The user sees a value and not when it was fetched, hence the const;
	 * every iterator is our own memory and may be written. */
	if (it->is_handle && !it->resolved)
		resolve((struct lsm_iter *)it);
	return it->value;
}

size_t lsm_iter_value_len(const struct lsm_iter *it)
{
	struct blob_handle h;

	assert(it->valid);
	if (!it->is_handle || it->resolved)
		return it->value.len;
	/* Of a handle that is none nobody knows it; reading it says so. */
	return blob_handle_decode(&h, it->value) ? h.len : 0;
}

int lsm_iter_error(const struct lsm_iter *it)
{
	return it->value_err;
}
