/* SPDX-License-Identifier: MIT */
/*
 * compact_sink.c - which versions live on, and where one table ends.
 *
 * Snapshots cut the line of sequence numbers into stripes: stripe i holds what
 * snapshot i can see and snapshot i-1 cannot; the last one, what only the
 * present can see. A version goes when something newer in its own stripe hides
 * it: a version of the same key, or a range tombstone over it. In the lowest
 * level that has the key, what stripe 0 holds of tombstones, points and ranges
 * alike, hides nothing that is not being dropped right here, and goes too.
 *
 * Of several range tombstones over one place only the newest of each stripe is
 * written. They are clipped to their table: table i covers [cut i, cut i+1),
 * the first from the very start, the last to the very end; so tables of a level
 * stay disjoint, tombstones included. A cut is made only before a new user key.
 *
 * A table ends when it is large enough; when it overlaps so much of the level
 * below that compacting it would cost too much; and, once an eighth full, where
 * a table of the level below ends, so that the next compaction's inputs line
 * up.
 *
 * What becomes of values in blob files is in compact_blob.c.
 *
 * One thread; no lock is held.
 */
#include <errno.h>
#include <stdlib.h>

#include "lsm/tree/compact_sink.h"

/* A table may overlap this many times its target size one level down. */
#define GRANDPARENT_TABLES 10
/* A table that has this part of its target size may end where one below does:
 * then there are many to choose from when one has to go down, and the densest
 * costs least. */
#define ALIGNED_PART 8
/* Entries between two looks at the stop flag and the rate. */
#define CHECK_ENTRIES 2048

size_t snapshot_stripe(const struct compact_env *env, uint64_t seq)
{
	size_t low = 0, high = env->snapshot_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (env->snapshots[mid] < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* ---- range tombstones --------------------------------------------------- */

/* The newest of each stripe; returns how many. */
static uint32_t thin_out(const struct compact_sink *s, const struct frag *f,
			 uint64_t *seqs)
{
	size_t last = SIZE_MAX;
	uint32_t i, n = 0;

	for (i = 0; i < f->seq_count; i++) {
		size_t stripe = snapshot_stripe(s->env, f->seqs[i]);

		if (stripe == last || (!stripe && s->bottommost))
			continue;
		last = stripe;
		seqs[n++] = f->seqs[i];
	}
	return n;
}

/* Does b go on where a ends, with the same sequences? */
static bool continues(const struct frag *a, const struct frag *b)
{
	return slice_eq(a->end, b->start) && a->seq_count == b->seq_count &&
	       !memcmp(a->seqs, b->seqs, a->seq_count * sizeof(*a->seqs));
}

static int init_keep(struct compact_sink *s)
{
	const struct frags *in = s->frags;
	size_t i, total = 0;
	uint64_t *seqs;

	if (!in->count)
		return 0;
	for (i = 0; i < in->count; i++)
		total += in->frag[i].seq_count;
	s->keep = calloc(in->count, sizeof(*s->keep));
	s->keep_seqs = seqs = calloc(total ? total : 1, sizeof(*seqs));
	if (!s->keep || !seqs)
		return -ENOMEM;
	for (i = 0; i < in->count; i++) {
		struct frag f = in->frag[i];

		f.seqs = seqs;
		f.seq_count = thin_out(s, &in->frag[i], seqs);
		if (!f.seq_count)
			continue;
		if (s->keep_count &&
		    continues(&s->keep[s->keep_count - 1], &f)) {
			s->keep[s->keep_count - 1].end = f.end;
			continue;
		}
		seqs += f.seq_count;
		s->keep[s->keep_count++] = f;
	}
	return 0;
}

/* The sequence of the oldest tombstone over key that is newer than seq, 0 when
 * there is none. *in is the fragment. */
static uint64_t tombstone_after(struct compact_sink *s, struct lsm_slice key,
				uint64_t seq, const struct frag **in)
{
	const struct frags *f = s->frags;
	const struct frag *at;
	uint32_t low = 0, high;

	while (s->frag_at < f->count &&
	       slice_cmp(f->frag[s->frag_at].end, key) <= 0)
		s->frag_at++;
	if (s->frag_at == f->count)
		return 0;
	at = &f->frag[s->frag_at];
	if (slice_cmp(at->start, key) > 0)
		return 0;
	/* seqs descend: the last one above seq */
	high = at->seq_count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (at->seqs[mid] > seq)
			low = mid + 1;
		else
			high = mid;
	}
	*in = at;
	return low ? at->seqs[low - 1] : 0;
}

/* ---- tables ------------------------------------------------------------- */

static int open_writer(struct compact_sink *s)
{
	char name[FILE_NAME_MAX];
	int err;

	s->number = version_set_new_file(s->env->vs);
	s->paced_bytes = 0;
	file_name(name, FILE_SST, s->number);
	err = sst_writer_open(s->env->vs->dir, name, s->number,
			      &s->env->options->sst, &s->writer);
	if (err)
		s->writer = NULL;
	return err;
}

/* Writes a tombstone, without what lies before the present table. */
static int write_range(struct compact_sink *s, struct frag f)
{
	struct lsm_slice low = buf_slice(&s->low);
	int err = 0;

	if (s->has_low && slice_cmp(f.start, low) < 0)
		f.start = low;
	if (!s->writer)
		err = open_writer(s);
	return err ? err : sst_writer_add_range(s->writer, &f);
}

int sink_note_made(struct compact_sink *s, enum file_kind kind, uint64_t number)
{
	if (s->made_count == s->made_cap) {
		size_t cap = s->made_cap ? s->made_cap * 2 : 16;
		void *p = reallocarray(s->made, cap, sizeof(*s->made));

		if (!p)
			return -ENOMEM;
		s->made = p;
		s->made_cap = cap;
	}
	s->made[s->made_count++] = (struct sink_file){kind, number};
	return 0;
}

/* Ends the present table before *cut, or at the very end. All tombstones that
 * end at or before the cut have been written. */
static int end_table(struct compact_sink *s, const struct lsm_slice *cut)
{
	struct sst_meta meta = {0};
	struct sst_writer *w;
	int err = 0;

	if (cut && s->keep_at < s->keep_count) {
		struct frag f = s->keep[s->keep_at];

		/* What remains of it is for the next table. */
		f.end = *cut;
		if (slice_cmp(f.start, *cut) < 0)
			err = write_range(s, f);
	}
	if (!err && s->writer)
		err = sink_note_made(s, FILE_SST, s->number);
	if (!err && s->writer) {
		w = s->writer;
		s->writer = NULL;
		err = sst_writer_finish(w, &meta);
		if (!err) {
			s->env->written_bytes += meta.file_bytes;
			if (meta.file_bytes > s->paced_bytes)
				rate_limiter_take(
					s->env->limiter,
					meta.file_bytes - s->paced_bytes,
					s->env->stop);
			err = version_edit_add(s->edit, s->level, &meta);
		}
		sst_meta_release(&meta);
	}
	if (!err && cut) {
		buf_clear(&s->low);
		err = buf_append(&s->low, cut->data, cut->len);
		s->has_low = true;
	}
	s->grandparent_bytes = 0;
	s->crossed = false;
	return err;
}

/* Writes the tombstones that end at or before *key, or all that are left. They
 * end after every point written so far, so a table may end where they do. */
static int write_ranges(struct compact_sink *s, const struct lsm_slice *key)
{
	uint64_t target = s->env->options->table_bytes;
	int err = 0;

	while (!err && s->keep_at < s->keep_count) {
		const struct frag *f = &s->keep[s->keep_at];

		if (key && slice_cmp(f->end, *key) > 0)
			break;
		err = write_range(s, *f);
		s->keep_at++;
		if (!err && !s->one_table &&
		    sst_writer_bytes(s->writer) >= target)
			err = end_table(s, &f->end);
	}
	return err;
}

/* Moves on to the grandparent that key lies in or before. */
static void pass_grandparents(struct compact_sink *s, struct lsm_slice key)
{
	while (s->grandparent_at < s->grandparent_count) {
		const struct table_file *g = s->grandparents[s->grandparent_at];

		if (table_file_cmp_key(g, key) <= 0)
			break;
		if (s->writer) {
			s->grandparent_bytes += g->meta.file_bytes;
			s->crossed = true;
		}
		s->grandparent_at++;
	}
}

static bool table_full(struct compact_sink *s)
{
	uint64_t target = s->env->options->table_bytes;
	uint64_t bytes;

	if (s->one_table || !s->writer)
		return false;
	bytes = sst_writer_bytes(s->writer);
	return bytes >= target ||
	       (s->crossed && bytes >= target / ALIGNED_PART) ||
	       s->grandparent_bytes > GRANDPARENT_TABLES * target;
}

/* ---- entries ------------------------------------------------------------ */

static int check(struct compact_sink *s)
{
	uint64_t bytes;

	if (++s->entries < CHECK_ENTRIES)
		return 0;
	s->entries = 0;
	/* Relaxed: nothing is read on the strength of it. */
	if (s->env->stop &&
	    atomic_load_explicit(s->env->stop, memory_order_relaxed))
		return -ECANCELED;
	if (s->env->limiter && s->writer) {
		bytes = sst_writer_bytes(s->writer);
		if (bytes > s->paced_bytes) {
			rate_limiter_take(s->env->limiter,
					  bytes - s->paced_bytes, s->env->stop);
			s->paced_bytes = bytes;
		}
	}
	return 0;
}

static int bad_entry(struct compact_sink *s, const char *why)
{
	return log_corrupt(s->env->vs->log, "compaction", 0, "%s", why);
}

/* Hidden by a newer version or a range tombstone, or not needed? same: the key
 * is that of the entry before. */
static bool dropped(struct compact_sink *s, const struct iter *it, bool same,
		    struct lsm_slice *skip, uint64_t *skip_seq)
{
	uint64_t seq = tag_seq(it->tag), over;
	size_t stripe = snapshot_stripe(s->env, seq);
	bool hidden = same && stripe == s->stripe;
	const struct frag *in;

	s->stripe = stripe;
	if (s->frags->count) {
		over = tombstone_after(s, it->key, seq, &in);
		if (over && snapshot_stripe(s->env, over) == stripe) {
			/* Stripe 0 has no lower end: all older go alike. */
			if (!stripe) {
				*skip = in->end;
				*skip_seq = snapshot_stripe(s->env, in->seqs[0])
						    ? over
						    : in->seqs[0];
			}
			return true;
		}
	}
	return hidden ||
	       (s->bottommost && !stripe && tag_kind(it->tag) == KIND_DELETE);
}

int compact_sink_add(struct compact_sink *s, const struct iter *it,
		     struct lsm_slice *skip, uint64_t *skip_seq)
{
	bool same = false;
	int c, err = check(s);

	skip->len = 0;
	if (err)
		return err;
	if (s->has_key) {
		c = slice_cmp(it->key, buf_slice(&s->key));
		if (c < 0)
			return bad_entry(s, "keys out of order");
		same = !c;
	}
	if (tag_kind(it->tag) >= KIND_RANGE_DELETE)
		return bad_entry(s, "unknown kind of entry");
	if (tag_kind(it->tag) == KIND_BLOB && s->env->keep_handle) {
		c = s->env->keep_handle(s->env->keep_arg, it->value,
					&s->moved_value);
		if (c <= 0)
			return c;
		s->moved = c == 2;
	}
	if (!same) {
		buf_clear(&s->key);
		err = buf_append(&s->key, it->key.data, it->key.len);
		s->has_key = true;
		s->wrote_key = false;
		if (err)
			return err;
	}
	if (dropped(s, it, same, skip, skip_seq))
		return 0;
	if (tag_kind(it->tag) == KIND_BLOB && s->env->move_handle) {
		c = s->env->move_handle(s->env->keep_arg, it->value,
					&s->moved_value);
		if (c < 0)
			return c;
		s->moved = c == 2;
	}
	err = sink_keep(s, it, !s->wrote_key);
	s->wrote_key = true;
	return err;
}

int sink_emit(struct compact_sink *s, struct lsm_slice key, uint64_t tag,
	      struct lsm_slice value, bool first)
{
	int err = 0;

	if (first) {
		if (s->keep_at < s->keep_count)
			err = write_ranges(s, &key);
		pass_grandparents(s, key);
		if (!err && table_full(s))
			err = end_table(s, &key);
	}
	if (!err && !s->writer)
		err = open_writer(s);
	return err ? err : sst_writer_add(s->writer, key, tag, value);
}

/* ---- end ---------------------------------------------------------------- */

int compact_sink_init(struct compact_sink *s, struct compact_env *env,
		      struct version_edit *edit, const struct frags *frags)
{
	int err;

	s->env = env;
	s->edit = edit;
	s->frags = frags;
	s->entries = CHECK_ENTRIES - 1; /* look at once */
	err = init_keep(s);
	if (!err && s->collect_count) {
		s->views = calloc(s->collect_count, sizeof(*s->views));
		err = s->views ? 0 : -ENOMEM;
	}
	if (err)
		compact_sink_abort(s);
	return err;
}

static void release(struct compact_sink *s)
{
	free(s->keep);
	free(s->keep_seqs);
	free(s->made);
	sink_release_blobs(s);
	buf_release(&s->low);
	buf_release(&s->key);
	memset(s, 0, sizeof(*s));
}

int compact_sink_finish(struct compact_sink *s)
{
	int err = sink_finish_blobs(s);

	if (!err)
		err = write_ranges(s, NULL);
	if (!err)
		err = end_table(s, NULL);
	if (!err && s->made_count)
		err = env_dir_sync(s->env->vs->dir);
	if (err)
		compact_sink_abort(s);
	else
		release(s);
	return err;
}

void compact_sink_abort(struct compact_sink *s)
{
	char name[FILE_NAME_MAX];
	size_t i;
	int err;

	if (s->writer)
		sst_writer_abort(s->writer);
	for (i = 0; i < s->made_count; i++) {
		file_name(name, s->made[i].kind, s->made[i].number);
		err = env_dir_delete(s->env->vs->dir, name);
		if (err && err != -ENOENT)
			logger_printf(s->env->vs->log, LSM_LOG_WARN,
				      "%s: cannot delete: error %d", name, err);
	}
	release(s);
}
