/* SPDX-License-Identifier: MIT */
/*
 * frags.c - cutting range tombstones into disjoint fragments: see frags.h.
 *
 * The builder sweeps over all starts and ends in key order and keeps the
 * sequence numbers that are open, newest first. Between two borders with
 * something open lies a fragment. Neighbours with the same numbers are one
 * fragment, so tombstones that arrive already cut (from a memtable or another
 * table) do not stay cut. The idea of answering from fragments is RocksDB's.
 *
 * Everything of the result lies in one block: the fragments, the sequence
 * numbers, the keys. Neighbours whose numbers begin or end alike share them, so
 * that n tombstones that all begin or all end at one key (a file cut shorter
 * again and again) take n numbers and not n * n.
 */
#include "lsm/base/frags.h"

#include <errno.h>
#include <stdlib.h>

#include "lsm/base/buf.h"

/* Keys are offsets into the builder's buffer while that still grows. */
struct span {
	size_t start, end; /* offsets */
	uint32_t start_len, end_len;
	uint64_t seq;
};

/* A border of a span, for sorting. */
struct border {
	uint64_t prefix;
	struct lsm_slice key;
	uint64_t seq;
};

struct open_seq {
	uint64_t seq;
	size_t times; /* pieces with this number that are open */
};

struct frags_builder {
	struct buf keys;
	struct span *span;
	size_t count, cap;
};

/* A fragment while the arrays still grow. */
struct piece {
	struct lsm_slice start, end;
	size_t seq_at;
	uint32_t seq_count;
	bool back; /* in the array back */
};

struct seq_array {
	uint64_t *seq;
	size_t count, cap;
};

struct sweep {
	struct open_seq *open; /* descending */
	size_t open_count, open_cap;
	struct piece *piece;
	size_t piece_count, piece_cap;
	/* Newest first, so that older ones can be added to the last list; and
	 * oldest first, where newer ones can. The latter is turned round in
	 * the end. */
	struct seq_array seqs, back;
};

struct frags_builder *frags_builder_new(void)
{
	return calloc(1, sizeof(struct frags_builder));
}

void frags_builder_free(struct frags_builder *b)
{
	if (!b)
		return;
	buf_release(&b->keys);
	free(b->span);
	free(b);
}

/* Makes room for want elements in *array of *cap. */
static int grow(void *array, size_t *cap, size_t want, size_t element)
{
	void **a = array, *p;
	size_t n = *cap ? *cap : 8;

	if (want <= *cap)
		return 0;
	while (n < want)
		n *= 2;
	p = reallocarray(*a, n, element);
	if (!p)
		return -ENOMEM;
	*a = p;
	*cap = n;
	return 0;
}

int frags_builder_add(struct frags_builder *b, struct lsm_slice start,
		      struct lsm_slice end, uint64_t seq)
{
	struct span *s;
	int err;

	if (slice_cmp(start, end) >= 0 || end.len > UINT32_MAX ||
	    start.len > UINT32_MAX)
		return -EINVAL;
	err = grow(&b->span, &b->cap, b->count + 1, sizeof(*b->span));
	if (!err)
		err = buf_reserve(&b->keys, start.len + end.len);
	if (err)
		return err;
	s = &b->span[b->count++];
	s->start_len = (uint32_t)start.len;
	s->end_len = (uint32_t)end.len;
	s->seq = seq;
	s->start = b->keys.len;
	if (start.len)
		buf_append(&b->keys, start.data, start.len);
	s->end = b->keys.len;
	buf_append(&b->keys, end.data, end.len);
	return 0;
}

size_t frags_builder_count(const struct frags_builder *b)
{
	return b->count;
}

static int border_cmp(const void *x, const void *y)
{
	const struct border *a = x, *b = y;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return slice_cmp(a->key, b->key);
}

/* The usual source hands them over in order. */
static void borders_sort(struct border *a, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		if (border_cmp(&a[i - 1], &a[i]) > 0)
			break;
	if (i < n)
		qsort(a, n, sizeof(*a), border_cmp);
}

/* Where seq is or belongs among the open ones. */
static size_t open_find(const struct sweep *s, uint64_t seq)
{
	size_t lo = 0, hi = s->open_count, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (s->open[mid].seq > seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int open_add(struct sweep *s, uint64_t seq)
{
	size_t i = open_find(s, seq);
	int err;

	if (i < s->open_count && s->open[i].seq == seq) {
		s->open[i].times++;
		return 0;
	}
	err = grow(&s->open, &s->open_cap, s->open_count + 1, sizeof(*s->open));
	if (err)
		return err;
	memmove(&s->open[i + 1], &s->open[i],
		(s->open_count - i) * sizeof(*s->open));
	s->open[i].seq = seq;
	s->open[i].times = 1;
	s->open_count++;
	return 0;
}

static void open_remove(struct sweep *s, uint64_t seq)
{
	size_t i = open_find(s, seq);

	if (--s->open[i].times)
		return;
	s->open_count--;
	memmove(&s->open[i], &s->open[i + 1],
		(s->open_count - i) * sizeof(*s->open));
}

/* Number i of a piece, newest first. */
static uint64_t piece_seq(const struct sweep *s, const struct piece *p,
			  size_t i)
{
	return p->back ? s->back.seq[p->seq_at + p->seq_count - 1 - i]
		       : s->seqs.seq[p->seq_at + i];
}

/* True when n numbers of p from i on are the open ones from k on. */
static bool same_seqs(const struct sweep *s, const struct piece *p, size_t i,
		      size_t k, size_t n)
{
	for (; n; i++, k++, n--)
		if (piece_seq(s, p, i) != s->open[k].seq)
			return false;
	return true;
}

/* The open ones from k on, in the order of the array. */
static void place(struct sweep *s, bool back, size_t k, size_t n)
{
	struct seq_array *a = back ? &s->back : &s->seqs;
	size_t i;

	for (i = 0; i < n; i++)
		a->seq[a->count++] = s->open[back ? k + n - 1 - i : k + i].seq;
}

/* Finds room for the open numbers, in those of the last piece if they can
 * share it. p->seq_count is set. */
static int seqs_place(struct sweep *s, struct piece *p,
		      const struct piece *last)
{
	size_t n = p->seq_count, have = last ? last->seq_count : 0;
	struct seq_array *a;
	bool older, newer;
	int err;

	p->back = last && last->back;
	p->seq_at = last ? last->seq_at : 0;
	if (have >= n) {
		/* Tombstones ended: the newest or the oldest ones. */
		newer = same_seqs(s, last, have - n, 0, n);
		older = !newer && same_seqs(s, last, 0, 0, n);
		if (newer ? !p->back : older && p->back)
			p->seq_at += have - n;
		if (newer || older)
			return 0;
	}
	/* Older ones began, or newer ones. */
	older = have && have < n && same_seqs(s, last, 0, 0, have);
	newer = !older && have && have < n &&
		same_seqs(s, last, 0, n - have, have);
	p->back = newer;
	a = p->back ? &s->back : &s->seqs;
	err = grow(&a->seq, &a->cap, a->count + n, sizeof(*a->seq));
	if (err)
		return err;
	if ((older || newer) && last->back == p->back &&
	    last->seq_at + have == a->count) {
		place(s, p->back, newer ? 0 : have, n - have);
		return 0;
	}
	p->seq_at = a->count;
	place(s, p->back, 0, n);
	return 0;
}

static int emit(struct sweep *s, struct lsm_slice start, struct lsm_slice end)
{
	struct piece *last, *p;
	int err;

	if (s->open_count > UINT32_MAX)
		return -ENOMEM;
	err = grow(&s->piece, &s->piece_cap, s->piece_count + 1,
		   sizeof(*s->piece));
	if (err)
		return err;
	p = &s->piece[s->piece_count];
	last = s->piece_count ? p - 1 : NULL;
	p->seq_count = (uint32_t)s->open_count;
	err = seqs_place(s, p, last);
	if (err)
		return err;
	if (last && last->seq_count == p->seq_count && last->back == p->back &&
	    last->seq_at == p->seq_at && slice_eq(last->end, start)) {
		last->end = end;
		return 0;
	}
	p->start = start;
	p->end = end;
	s->piece_count++;
	return 0;
}

static int sweep_run(struct sweep *s, const struct border *starts,
		     const struct border *ends, size_t n)
{
	struct lsm_slice at = {0}, next;
	size_t i = 0, j = 0;
	int err;

	while (j < n) {
		/* Every start precedes its end, so ends run out last. */
		if (i < n && border_cmp(&starts[i], &ends[j]) < 0)
			next = starts[i].key;
		else
			next = ends[j].key;
		if (s->open_count) {
			err = emit(s, at, next);
			if (err)
				return err;
		}
		for (; j < n && slice_eq(ends[j].key, next); j++)
			open_remove(s, ends[j].seq);
		for (; i < n && slice_eq(starts[i].key, next); i++) {
			err = open_add(s, starts[i].seq);
			if (err)
				return err;
		}
		at = next;
	}
	return 0;
}

size_t frags_number_bytes(size_t count)
{
	return 2 * count * sizeof(uint64_t) + key_numbers_part_bytes(count);
}

void frags_number(struct frags *f, uint64_t *number)
{
	uint32_t common_len;
	size_t i;

	if (!f->count)
		return;
	/* with their ends, all of which lie between these two */
	common_len =
		key_numbers_common(f->frag[0].start, f->frag[f->count - 1].end);
	for (i = 0; i < f->count; i++) {
		number[i] = key_number(f->frag[i].start, common_len);
		number[f->count + i] = key_number(f->frag[i].end, common_len);
	}
	f->starts = (struct key_numbers){.number = number,
					 .common = f->frag[0].start.data,
					 .count = (uint32_t)f->count,
					 .common_len = common_len};
	key_numbers_divide(&f->starts, (uint32_t *)(number + 2 * f->count));
}

/* Copies the result of the sweep into one block. */
static int pack(const struct sweep *s, struct frags *out)
{
	size_t bytes, key_bytes = 0, seq_count, i;
	const struct piece *p;
	uint64_t *seqs, *number;
	uint8_t *k;
	struct frag *f;

	if (s->piece_count > UINT32_MAX)
		return -ENOMEM;
	for (i = 0; i < s->piece_count; i++)
		key_bytes += s->piece[i].start.len + s->piece[i].end.len;
	seq_count = s->seqs.count + s->back.count;
	bytes = s->piece_count * sizeof(*f) +
		frags_number_bytes(s->piece_count) + seq_count * sizeof(*seqs) +
		key_bytes;
	f = malloc(bytes);
	if (!f)
		return -ENOMEM;
	number = (uint64_t *)(f + s->piece_count);
	seqs = number + frags_number_bytes(s->piece_count) / sizeof(*number);
	k = (uint8_t *)(seqs + seq_count);
	for (i = 0; i < s->seqs.count; i++)
		seqs[i] = s->seqs.seq[i];
	for (i = 0; i < s->back.count; i++)
		seqs[seq_count - 1 - i] = s->back.seq[i];
	for (i = 0; i < s->piece_count; i++) {
		p = &s->piece[i];
		f[i].start = lsm_slice(k, p->start.len);
		if (i && slice_eq(f[i - 1].end, p->start)) {
			f[i].start = f[i - 1].end;
		} else if (p->start.len) {
			memcpy(k, p->start.data, p->start.len);
			k += p->start.len;
		}
		f[i].end = lsm_slice(k, p->end.len);
		memcpy(k, p->end.data, p->end.len);
		k += p->end.len;
		f[i].seqs =
			p->back ? seqs + seq_count - p->seq_at - p->seq_count
				: seqs + p->seq_at;
		f[i].seq_count = p->seq_count;
	}
	out->frag = f;
	out->count = s->piece_count;
	out->memory = f;
	out->memory_bytes = bytes;
	frags_number(out, number);
	return 0;
}

static struct border border_make(const struct frags_builder *b, size_t at,
				 size_t len, uint64_t seq)
{
	struct border r;

	r.key = lsm_slice(b->keys.data + at, len);
	r.prefix = slice_prefix(r.key);
	r.seq = seq;
	return r;
}

int frags_builder_finish(struct frags_builder *b, struct frags *out)
{
	size_t n = b->count, i;
	struct border *starts, *ends;
	struct sweep s = {0};
	int err = -ENOMEM;

	*out = (struct frags){0};
	if (!n)
		return 0;
	starts = reallocarray(NULL, n, 2 * sizeof(*starts));
	if (!starts)
		return -ENOMEM;
	ends = starts + n;
	for (i = 0; i < n; i++) {
		const struct span *p = &b->span[i];

		starts[i] = border_make(b, p->start, p->start_len, p->seq);
		ends[i] = border_make(b, p->end, p->end_len, p->seq);
	}
	borders_sort(starts, n);
	borders_sort(ends, n);
	err = sweep_run(&s, starts, ends, n);
	if (!err)
		err = pack(&s, out);
	if (!err) {
		b->count = 0;
		buf_clear(&b->keys);
	}
	free(s.open);
	free(s.piece);
	free(s.seqs.seq);
	free(s.back.seq);
	free(starts);
	return err;
}

/* The first fragment that starts behind key. */
static uint32_t first_behind(const struct frags *f, struct lsm_slice key)
{
	uint32_t lo, hi, mid;

	key_numbers_find(&f->starts, key, &lo, &hi);
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (slice_cmp(f->frag[mid].start, key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The newest tombstone of the fragment that seq sees; 0: none. */
static uint64_t newest_of(const struct frag *p, uint64_t seq)
{
	uint32_t a, z, m;

	for (a = 0, z = p->seq_count; a < z;) {
		m = a + (z - a) / 2;
		if (p->seqs[m] > seq)
			a = m + 1;
		else
			z = m;
	}
	return a < p->seq_count ? p->seqs[a] : 0;
}

uint64_t frags_newest(const struct frags *f, struct lsm_slice key, uint64_t seq)
{
	const struct key_numbers *k = &f->starts;
	uint32_t i = first_behind(f, key);
	const struct frag *p;

	if (!i--)
		return 0;
	/* Mostly a number tells that key lies behind the fragment. */
	if (key.len >= k->common_len &&
	    key_number(key, k->common_len) > k->number[k->count + i])
		return 0;
	p = &f->frag[i];
	return slice_cmp(key, p->end) < 0 ? newest_of(p, seq) : 0;
}

void frags_cover(const struct frags *f, struct lsm_slice key, uint64_t seq,
		 struct range_cover *out)
{
	uint32_t i = first_behind(f, key);
	const struct frag *p;

	out->seq = 0;
	out->start = lsm_slice(NULL, 0);
	out->end = lsm_slice(NULL, 0);
	if (i < f->count)
		out->end = f->frag[i].start;
	if (!i)
		return;
	p = &f->frag[i - 1];
	if (slice_cmp(key, p->end) >= 0) {
		out->start = p->end;
		return;
	}
	out->start = p->start;
	out->end = p->end;
	out->seq = newest_of(p, seq);
}

void frags_release(struct frags *f)
{
	free(f->memory);
	*f = (struct frags){0};
}
