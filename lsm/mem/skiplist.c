/* SPDX-License-Identifier: MIT */
/*
 * skiplist.c - the concurrent sorted list: see skiplist.h.
 *
 * A node is one allocation; the tower grows down from the node's address, so
 * that the lowest link, the prefix, the tag and the lengths share a cache
 * line whatever the height:
 *
 *   next[h-1] ... next[1] | next[0] prefix tag key_len value_len key value
 *                         ^ struct skiplist_node
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

#define HEIGHT_MAX 14 /* 4^14 entries before searches get longer */
#define FINGERS    4  /* lists a thread remembers */
#define COUNTERS   8

struct skiplist_node {
	_Atomic(struct skiplist_node *) next0;
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
};

static inline _Atomic(struct skiplist_node *) *
link_of(const struct skiplist_node *n, int level)
{
	return (_Atomic(struct skiplist_node *) *)((uintptr_t)n -
						   (uintptr_t)level *
							   sizeof(void *));
}

static inline struct skiplist_node *next_of(const struct skiplist_node *n,
					    int level)
{
	/* acquire: partner is the exchange in node_link(). */
	return atomic_load_explicit(link_of(n, level), memory_order_acquire);
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
	if (len > 8) {
		c = memcmp(n->bytes + 8, (const uint8_t *)t->key.data + 8,
			   len - 8);
		if (c)
			return c < 0;
	}
	if (n->key_len != t->key.len)
		return n->key_len < t->key.len;
	return n->tag > t->tag;
}

static inline struct target target_make(struct lsm_slice key, uint64_t tag)
{
	struct target t = {key, key.len ? slice_prefix(key) : 0, tag};

	return t;
}

static struct skiplist_node *node_new(struct arena *arena, int height,
				      struct lsm_slice key, uint64_t tag,
				      struct lsm_slice value)
{
	size_t tower = (size_t)(height - 1) * sizeof(void *);
	struct skiplist_node *n;
	uint8_t *p;

	if (key.len > UINT32_MAX || value.len > UINT32_MAX)
		return NULL;
	p = arena_alloc(arena, tower + sizeof(*n) + key.len + value.len);
	if (!p)
		return NULL;
	n = (struct skiplist_node *)(p + tower);
	n->prefix = key.len ? slice_prefix(key) : 0;
	n->tag = tag;
	n->key_len = (uint32_t)key.len;
	n->value_len = (uint32_t)value.len;
	if (key.len)
		memcpy(n->bytes, key.data, key.len);
	if (value.len)
		memcpy(n->bytes + key.len, value.data, value.len);
	return n;
}

struct skiplist *skiplist_new(struct arena *arena)
{
	struct skiplist *s = arena_alloc(arena, sizeof(*s));
	void *counters =
		arena_alloc(arena, sizeof(struct counter) * (COUNTERS + 1));
	int i;

	if (!s || !counters)
		return NULL;
	s->arena = arena;
	s->number = 1 + atomic_fetch_add_explicit(&last_number, 1,
						  memory_order_relaxed);
	s->head = node_new(arena, HEIGHT_MAX, lsm_slice(NULL, 0), 0,
			   lsm_slice(NULL, 0));
	if (!s->head)
		return NULL;
	for (i = 0; i < HEIGHT_MAX; i++)
		atomic_init(link_of(s->head, i), NULL);
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

/* Each level holds a quarter of the one below. */
static int random_height(void)
{
	uint64_t x = thread_random;
	int height = 1;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	thread_random = x;
	for (x >>= 20; height < HEIGHT_MAX && !(x & 3); x >>= 2)
		height++;
	return height;
}

/* Walks from prev, which is before t, to the last node of the level that is. */
static inline struct skiplist_node *walk(struct skiplist_node *prev, int level,
					 const struct target *t,
					 struct skiplist_node **next)
{
	struct skiplist_node *n;

	for (;;) {
		n = next_of(prev, level);
		if (!n || !node_before(n, t))
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
	struct skiplist_node *n, *large = NULL, *ahead;

	for (; level >= 0; level--) {
		for (;;) {
			n = next_of(prev, level);
			if (!n || n == large)
				break;
			ahead = next_of(n, level);
			__builtin_prefetch(ahead);
			if (level)
				__builtin_prefetch(next_of(prev, level - 1));
			if (!node_before(n, t))
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
		if (!n || n == beyond || !node_before(n, t)) {
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

static void node_link(struct skiplist_node *n, int level,
		      struct skiplist_node *prev, struct skiplist_node *next,
		      const struct target *t)
{
	for (;;) {
		atomic_store_explicit(link_of(n, level), next,
				      memory_order_relaxed);
		/* release: partner is next_of(). */
		if (atomic_compare_exchange_strong_explicit(
			    link_of(prev, level), &next, n,
			    memory_order_release, memory_order_relaxed))
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
	struct target t = target_make(key, tag);
	int height, old, i;
	struct finger *f;

	if (!thread_random)
		thread_init();
	height = random_height();
	n = node_new(s->arena, height, key, tag, value);
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
			if (!n || n == large)
				break;
			__builtin_prefetch(next_of(n, level));
			if (level)
				__builtin_prefetch(next_of(prev, level - 1));
			if (!node_before(n, t))
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
	struct target t = target_make(key, tag);

	search(p->list, &t, &p->node);
}

void skiplist_seek_for_prev(struct skiplist_pos *p, struct lsm_slice key,
			    uint64_t tag)
{
	struct target t = target_make(key, tag);
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
	t = target_make(skiplist_key(p), p->node->tag);
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
