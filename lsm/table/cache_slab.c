/* SPDX-License-Identifier: MIT */
/*
 * cache_slab.c - slabs: mapping them, and putting them into use and out of it.
 * See cache_slab.h.
 */
#include "lsm/table/cache_slab.h"

#include <string.h>
#include <sys/mman.h>

void cache_mem_unmap(void *p, size_t bytes)
{
	/* The addresses may be another's next. */
	UNPOISON(p, bytes);
	munmap(p, bytes);
}

/* More is mapped than needed, and cut so that it is aligned. */
struct slab *slab_map(const struct cache_mem *m)
{
	size_t bytes = m->slab_bytes;
	uint8_t *p = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *q;

	if (p == MAP_FAILED)
		return NULL;
	q = (uint8_t *)(((uintptr_t)p + bytes - 1) & ~(uintptr_t)(bytes - 1));
	if (q != p)
		munmap(p, (size_t)(q - p));
	munmap(q + bytes, (size_t)(p + bytes - q));
	/* Only a wish, and one for the largest. */
	if (bytes == CACHE_SLAB_MAX)
		(void)madvise(q, bytes, MADV_HUGEPAGE);
	return (struct slab *)q;
}

void slab_partial_push(struct size_class *c, struct slab *s, bool first)
{
	s->is_partial = true;
	s->partial_next = first ? c->partial : NULL;
	s->partial_prev = first ? NULL : c->partial_last;
	if (s->partial_next)
		s->partial_next->partial_prev = s;
	else
		c->partial_last = s;
	if (s->partial_prev)
		s->partial_prev->partial_next = s;
	else
		c->partial = s;
}

void slab_partial_remove(struct size_class *c, struct slab *s)
{
	if (!s->is_partial)
		return;
	s->is_partial = false;
	if (s->partial_next)
		s->partial_next->partial_prev = s->partial_prev;
	else
		c->partial_last = s->partial_prev;
	if (s->partial_prev)
		s->partial_prev->partial_next = s->partial_next;
	else
		c->partial = s->partial_next;
}

void slab_start(struct cache_mem *m, struct slab *s, uint16_t class)
{
	struct size_class *c = &m->classes[class];

	memset(s, 0, slab_head_bytes(c->pieces));
	s->class = class;
	s->pieces = c->pieces;
	if (m->hand) {
		/* behind the hand: it is looked at last */
		s->next = m->hand;
		s->prev = m->hand->prev;
		s->prev->next = s;
		s->next->prev = s;
	} else {
		s->next = s->prev = m->hand = s;
	}
	POISON((uint8_t *)s + c->first, m->slab_bytes - c->first);
	slab_partial_push(c, s, true);
}

struct slab *slab_stop(struct cache_mem *m, struct slab *s)
{
	slab_partial_remove(&m->classes[s->class], s);
	if (m->hand == s)
		m->hand = s->next == s ? NULL : s->next;
	s->next->prev = s->prev;
	s->prev->next = s->next;
	UNPOISON(s, m->slab_bytes);
	if (m->idle_count >= m->idle_max)
		return s;
	m->idle_count++;
	s->next = m->idle;
	m->idle = s;
	return NULL;
}
