/* SPDX-License-Identifier: MIT */
/*
 * skiplist.c - the concurrent sorted list: see skiplist.h.
 *
 * A node is one allocation; the tower grows down from the node's address, so
 * that the lowest link, the prefix, the tag and the lengths share a cache
 * line whatever the height:
 *
 *   link[h-1] ... link[1] | link[0] prefix tag key_len value_len key value
 *                         ^ struct skiplist_node
 *
 * A search of a list larger than the processor's caches is a chain of waits for
 * memory, one for each node it looks at, and more than half of them it looks at
 * only to learn that they lie behind what it wants. So a link holds, beside the
 * pointer, a bound: no prefix behind the link is smaller. Where the bound lies
 * behind the wanted prefix, the node is not touched. An inserter first lowers
 * the bound of the link to its prefix and then links its node. So whoever loads
 * the pointer and after that the bound has one that is true of the pointer's
 * node: bounds only fall, and the node's inserter had lowered it before. An
 * inserter that then fails to link leaves a bound lower than need be, which
 * costs a look and no more. With looking that cheap, more levels are better:
 * a level has half the nodes of the one below, and a search moves over half a
 * node a level.
 *
 * A node is linked from the lowest level up, each time by a compare-exchange
 * of its predecessor's link; when that fails someone inserted there, and the
 * search goes on from the same predecessor. Nothing is ever removed, so a
 * predecessor stays one: insertion cannot be thrown back to the start.
 *
 * A thread keeps, for the lists it inserted into last, the predecessors of its
 * last insertion (a finger). The next search climbs from the lowest level to
 * the first one where the finger brackets the new key, and descends from
 * there: ascending keys cost one comparison, near ones the logarithm of the
 * distance. A finger belongs to a list by the list's number, which is never
 * used twice; the address may be.
 *
 * Links are stored with release and loaded with acquire, partners of each
 * other: who sees a node sees its contents.
 */
#include "lsm/mem/skiplist.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

#define HEIGHT_MAX 20 /* 2^20 entries before searches get longer */
#define FINGERS    4  /* lists a thread remembers */
#define COUNTERS   8
/* So large a part of the keys at either end need not begin as the others. */
#define OUTLIERS_PART 16

struct link {
	_Atomic(struct skiplist_node *) next;
	_Atomic uint64_t bound; /* of the prefixes behind it */
};

struct skiplist_node {
	struct link link0;
	uint64_t prefix;
	uint64_t tag;
	uint32_t key_len, value_len;
	uint8_t bytes[]; /* key, value */
};

/* Counting in one place would make the inserters share a cache line. */
struct counter {
	_Alignas(64) atomic_size_t n;
};

struct skiplist {
	struct arena *arena;
	uint64_t number;            /* unlike every other list's, ever */
	struct lsm_slice common;    /* prefixes are taken behind these bytes */
	struct skiplist_node *head; /* before every key, HEIGHT_MAX high */
	atomic_int height;          /* of the highest node */
	struct counter *count;      /* COUNTERS of them */
};

struct finger {
	uint64_t number; /* of the list; 0: none */
	/* Ascending level, descending key: each is before or at the one
	 * below it. */
	struct skiplist_node *prev[HEIGHT_MAX];
};

static _Atomic uint64_t last_number;
static atomic_uint last_thread;
static __thread struct finger fingers[FINGERS];
static __thread uint64_t thread_random;
static __thread unsigned thread_slot;

/* What is searched for. */
struct target {
	struct lsm_slice key;
	uint64_t prefix, tag;
	size_t from; /* where keys of the same prefix may first differ */
};

static inline struct link *link_of(const struct skiplist_node *n, int level)
{
	return (struct link *)((uintptr_t)n -
			       (uintptr_t)level * sizeof(struct link));
}

static inline struct skiplist_node *next_of(const struct skiplist_node *n,
					    int level)
{
	/* acquire: partner is the exchange in node_link(). */
	return atomic_load_explicit(&link_of(n, level)->next,
				    memory_order_acquire);
}

/* True when n sorts before t (strictly: entries are distinct). */
static inline bool node_before(const struct skiplist_node *n,
			       const struct target *t)
{
	size_t len;
	int c;

	if (n->prefix != t->prefix)
		return n->prefix < t->prefix;
	len = n->key_len < t->key.len ? n->key_len : t->key.len;
	if (len > t->from) {
		c = memcmp(n->bytes + t->from,
			   (const uint8_t *)t->key.data + t->from,
			   len - t->from);
		if (c)
			return c < 0;
	}
	if (n->key_len != t->key.len)
		return n->key_len < t->key.len;
	return n->tag > t->tag;
}

/* The same of n, which is the node behind prev and was loaded from there, and
 * is looked at only when the bound leaves it open. */
static inline bool next_before(const struct skiplist_node *prev, int level,
			       const struct skiplist_node *n,
			       const struct target *t)
{
	/* relaxed: loaded after n, see the top of the file. */
	return atomic_load_explicit(&link_of(prev, level)->bound,
				    memory_order_relaxed) <= t->prefix &&
	       node_before(n, t);
}

/*
 * The 8 bytes behind the common ones as a number. Keys without the common
 * bytes get the least or the greatest number, which is in order too and, as
 * every equality of numbers, decides nothing.
 */
static struct target target_behind(const struct skiplist *s,
				   struct lsm_slice key, uint64_t tag)
{
	size_t skip = s->common.len;
	size_t n = key.len < skip ? key.len : skip;
	struct target t = {key, 0, tag, 0};
	int c = n ? memcmp(key.data, s->common.data, n) : 0;

	if (c > 0)
		t.prefix = UINT64_MAX;
	if (c || key.len < skip)
		return t;
	t.prefix = slice_prefix(
		lsm_slice((const uint8_t *)key.data + skip, key.len - skip));
	if (t.prefix && t.prefix != UINT64_MAX)
		t.from = skip + sizeof(t.prefix);
	return t;
}

static inline struct target target_make(const struct skiplist *s,
					struct lsm_slice key, uint64_t tag)
{
	struct target t = {key, 0, tag, sizeof(t.prefix)};

	if (s->common.len)
		return target_behind(s, key, tag);
	if (key.len)
		t.prefix = slice_prefix(key);
	return t;
}

static struct skiplist_node *node_new(struct arena *arena, int height,
				      const struct target *t,
				      struct lsm_slice value)
{
	struct lsm_slice key = t->key;
	size_t tower = (size_t)(height - 1) * sizeof(struct link);
	struct skiplist_node *n;
	uint8_t *p;

	if (key.len > UINT32_MAX || value.len > UINT32_MAX)
		return NULL;
	p = arena_alloc(arena, tower + sizeof(*n) + key.len + value.len);
	if (!p)
		return NULL;
	n = (struct skiplist_node *)(p + tower);
	n->prefix = t->prefix;
	n->tag = t->tag;
	n->key_len = (uint32_t)key.len;
	n->value_len = (uint32_t)value.len;
	if (key.len)
		memcpy(n->bytes, key.data, key.len);
	if (value.len)
		memcpy(n->bytes + key.len, value.data, value.len);
	return n;
}

struct skiplist *skiplist_new(struct arena *arena, struct lsm_slice common)
{
	const struct target first = {0};
	struct skiplist *s = arena_alloc(arena, sizeof(*s));
	void *counters =
		arena_alloc(arena, sizeof(struct counter) * (COUNTERS + 1));
	int i;

	if (!s || !counters)
		return NULL;
	s->arena = arena;
	s->number = 1 + atomic_fetch_add_explicit(&last_number, 1,
						  memory_order_relaxed);
	s->common = common;
	s->head = node_new(arena, HEIGHT_MAX, &first, lsm_slice(NULL, 0));
	if (!s->head)
		return NULL;
	if (common.len) {
		s->common.data = arena_alloc(arena, common.len);
		if (!s->common.data)
			return NULL;
		memcpy((void *)s->common.data, common.data, common.len);
	}
	for (i = 0; i < HEIGHT_MAX; i++) {
		atomic_init(&link_of(s->head, i)->next, NULL);
		atomic_init(&link_of(s->head, i)->bound, UINT64_MAX);
	}
	atomic_init(&s->height, 1);
	s->count =
		(struct counter *)(((uintptr_t)counters + 63) & ~(uintptr_t)63);
	for (i = 0; i < COUNTERS; i++)
		atomic_init(&s->count[i].n, 0);
	return s;
}

/* ---- inserting ---------------------------------------------------------- */

static void thread_init(void)
{
	thread_slot = atomic_fetch_add_explicit(&last_thread, 1,
						memory_order_relaxed);
	thread_random = (thread_slot + 1) * 0x9e3779b97f4a7c15ull;
}

/* Each level holds half of the one below. */
static int random_height(void)
{
	uint64_t x = thread_random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	thread_random = x;
	return 1 + __builtin_ctzll(x >> 20 | 1ull << (HEIGHT_MAX - 1));
}

/* Walks from prev, which is before t, to the last node of the level that is. */
static inline struct skiplist_node *walk(struct skiplist_node *prev, int level,
					 const struct target *t,
					 struct skiplist_node **next)
{
	struct skiplist_node *n;

	for (;;) {
		n = next_of(prev, level);
		if (!n || !next_before(prev, level, n, t))
			break;
		prev = n;
	}
	*next = n;
	return prev;
}

/*
 * As walk(), from the given level down to the lowest, noting each level's
 * predecessor and successor. A node that was found too large on one level is
 * not compared again on the next.
 */
static void descend(struct skiplist_node *prev, int level,
		    const struct target *t, struct skiplist_node **prevs,
		    struct skiplist_node **nexts)
{
	struct skiplist_node *n, *large = NULL;

	for (; level >= 0; level--) {
		for (;;) {
			n = next_of(prev, level);
			if (!n || n == large || !next_before(prev, level, n, t))
				break;
			prev = n;
		}
		large = n;
		prevs[level] = prev;
		nexts[level] = n;
	}
}

static bool is_before(const struct skiplist *s, const struct skiplist_node *n,
		      const struct target *t)
{
	return n == s->head || node_before(n, t);
}

/* Fills f->prev and nexts for the levels below height. */
static void finger_seek(const struct skiplist *s, struct finger *f, int height,
			const struct target *t, struct skiplist_node **nexts)
{
	int top, level, i;
	struct skiplist_node *n, *beyond = NULL;

	top = atomic_load_explicit(&s->height, memory_order_relaxed);
	for (level = 0; level < top; level++) {
		if (f->prev[level] == beyond)
			continue;
		if (!is_before(s, f->prev[level], t)) {
			beyond = f->prev[level];
			continue;
		}
		n = next_of(f->prev[level], level);
		if (!n || n == beyond ||
		    !next_before(f->prev[level], level, n, t)) {
			f->prev[level] =
				walk(f->prev[level], level, t, &nexts[level]);
			break;
		}
	}
	if (level == top) {
		/* Far away: from the start. */
		for (i = top; i < HEIGHT_MAX; i++)
			f->prev[i] = s->head;
		level = top - 1;
		descend(s->head, level, t, f->prev, nexts);
	} else if (level) {
		descend(f->prev[level], level - 1, t, f->prev, nexts);
	}
	for (i = level + 1; i < height; i++)
		f->prev[i] = walk(f->prev[i], i, t, &nexts[i]);
}

static void bound_lower(_Atomic uint64_t *bound, uint64_t to)
{
	uint64_t old = atomic_load_explicit(bound, memory_order_relaxed);

	/* relaxed: the linking that follows publishes it. */
	while (to < old && !atomic_compare_exchange_weak_explicit(
				   bound, &old, to, memory_order_relaxed,
				   memory_order_relaxed))
		;
}

static void node_link(struct skiplist_node *n, int level,
		      struct skiplist_node *prev, struct skiplist_node *next,
		      const struct target *t)
{
	struct link *mine = link_of(n, level), *link;

	for (;;) {
		link = link_of(prev, level);
		/* Not next's own prefix: it would have to be waited for. next
		 * was loaded from this link, so the bound is true of it. */
		atomic_store_explicit(
			&mine->bound,
			atomic_load_explicit(&link->bound,
					     memory_order_relaxed),
			memory_order_relaxed);
		atomic_store_explicit(&mine->next, next, memory_order_relaxed);
		bound_lower(&link->bound, n->prefix);
		/* release: partner is next_of(). */
		if (atomic_compare_exchange_strong_explicit(
			    &link->next, &next, n, memory_order_release,
			    memory_order_relaxed))
			return;
		prev = walk(prev, level, t, &next);
	}
}

static struct finger *finger_of(const struct skiplist *s)
{
	struct finger *f = &fingers[s->number % FINGERS];
	int i;

	if (f->number != s->number) {
		f->number = s->number;
		for (i = 0; i < HEIGHT_MAX; i++)
			f->prev[i] = s->head;
	}
	return f;
}

int skiplist_insert(struct skiplist *s, struct lsm_slice key, uint64_t tag,
		    struct lsm_slice value)
{
	struct skiplist_node *nexts[HEIGHT_MAX], *n;
	struct target t = target_make(s, key, tag);
	int height, old, i;
	struct finger *f;

	if (!thread_random)
		thread_init();
	height = random_height();
	n = node_new(s->arena, height, &t, value);
	if (!n)
		return -ENOMEM;
	old = atomic_load_explicit(&s->height, memory_order_relaxed);
	/* relaxed: a search that starts too low or too high still ends right,
	 * the head has every level. */
	while (old < height &&
	       !atomic_compare_exchange_weak_explicit(&s->height, &old, height,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
	f = finger_of(s);
	finger_seek(s, f, height, &t, nexts);
	for (i = 0; i < height; i++) {
		node_link(n, i, f->prev[i], nexts[i], &t);
		f->prev[i] = n;
	}
	atomic_fetch_add_explicit(&s->count[thread_slot % COUNTERS].n, 1,
				  memory_order_relaxed);
	return 0;
}

size_t skiplist_count(const struct skiplist *s)
{
	size_t n = 0;
	int i;

	for (i = 0; i < COUNTERS; i++)
		n += atomic_load_explicit(&s->count[i].n, memory_order_relaxed);
	return n;
}

struct lsm_slice skiplist_common(const struct skiplist *s)
{
	size_t n = skiplist_count(s), at = 0, least = SIZE_MAX, len = 0;
	struct lsm_slice first = {0}, last = {0};
	struct skiplist_pos p = {s, NULL};

	for (skiplist_first(&p); p.node; skiplist_next(&p), at++) {
		if (at < n / OUTLIERS_PART || at >= n - n / OUTLIERS_PART)
			continue;
		last = skiplist_key(&p);
		if (!first.data)
			first = last;
		if (last.len < least)
			least = last.len;
	}
	if (!first.data || least <= sizeof(uint64_t))
		return lsm_slice(NULL, 0);
	least -= sizeof(uint64_t);
	while (len < least && ((const uint8_t *)first.data)[len] ==
				      ((const uint8_t *)last.data)[len])
		len++;
	return lsm_slice(first.data, len);
}

/* ---- positions ---------------------------------------------------------- */

/* The last node before t (the head when there is none), and its successor. */
static const struct skiplist_node *search(const struct skiplist *s,
					  const struct target *t,
					  const struct skiplist_node **next)
{
	const struct skiplist_node *prev = s->head, *n = NULL, *large = NULL;
	int level;

	level = atomic_load_explicit(&s->height, memory_order_relaxed) - 1;
	for (; level >= 0; level--) {
		for (;;) {
			n = next_of(prev, level);
			if (!n || n == large || !next_before(prev, level, n, t))
				break;
			prev = n;
		}
		large = n;
	}
	*next = n;
	return prev;
}

void skiplist_seek(struct skiplist_pos *p, struct lsm_slice key, uint64_t tag)
{
	struct target t = target_make(p->list, key, tag);

	search(p->list, &t, &p->node);
}

void skiplist_seek_for_prev(struct skiplist_pos *p, struct lsm_slice key,
			    uint64_t tag)
{
	struct target t = target_make(p->list, key, tag);
	const struct skiplist_node *prev, *next;

	prev = search(p->list, &t, &next);
	if (next && next->tag == tag &&
	    slice_eq(lsm_slice(next->bytes, next->key_len), key))
		p->node = next;
	else
		p->node = prev == p->list->head ? NULL : prev;
}

void skiplist_first(struct skiplist_pos *p)
{
	p->node = next_of(p->list->head, 0);
}

void skiplist_last(struct skiplist_pos *p)
{
	const struct skiplist *s = p->list;
	const struct skiplist_node *prev = s->head, *n;
	int level;

	level = atomic_load_explicit(&s->height, memory_order_relaxed) - 1;
	for (; level >= 0; level--)
		while ((n = next_of(prev, level)))
			prev = n;
	p->node = prev == s->head ? NULL : prev;
}

void skiplist_next(struct skiplist_pos *p)
{
	const struct skiplist_node *n;

	assert(p->node);
	n = next_of(p->node, 0);
	if (n)
		__builtin_prefetch(next_of(n, 0));
	p->node = n;
}

void skiplist_prev(struct skiplist_pos *p)
{
	const struct skiplist_node *prev, *next;
	struct target t;

	assert(p->node);
	t = target_make(p->list, skiplist_key(p), p->node->tag);
	prev = search(p->list, &t, &next);
	p->node = prev == p->list->head ? NULL : prev;
}

struct lsm_slice skiplist_key(const struct skiplist_pos *p)
{
	return lsm_slice(p->node->bytes, p->node->key_len);
}

uint64_t skiplist_tag(const struct skiplist_pos *p)
{
	return p->node->tag;
}

struct lsm_slice skiplist_value(const struct skiplist_pos *p)
{
	return lsm_slice(p->node->bytes + p->node->key_len, p->node->value_len);
}
