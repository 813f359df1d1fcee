/* SPDX-License-Identifier: MIT */
/*
 * mem_filter.h - which keys a memtable does not have, answered by one word.
 * Private to lsm/mem/.
 *
 * A Bloom filter whose bits for a key all lie in one word of 64: adding a key
 * is one atomic or, asking for one a single load, so any threads may do both at
 * once and a question costs one cache line. That takes more bits a key than
 * bits anywhere would: with 20 a key that is not there is taken for one that is
 * once in some 300 questions, with 10 once in 50. Source: F. Putze, P. Sanders,
 * J. Singler, Cache-, Hash- and Space-Efficient Bloom Filters, 2007, with a
 * block of one word.
 *
 * Nothing is ever taken out. Whoever makes an entry visible after having added
 * its key makes the bits visible too, so they need no order of their own.
 */
#ifndef LSM_MEM_MEM_FILTER_H
#define LSM_MEM_MEM_FILTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct mem_filter {
	uint64_t mask; /* words - 1; a power of two of them */
	_Atomic uint64_t words[];
};

static inline size_t mem_filter_bytes(const struct mem_filter *f)
{
	return sizeof(*f) + sizeof(f->words[0]) * (size_t)(f->mask + 1);
}

/* At most bytes, but for a word; freed with free(). NULL: no memory. */
static inline struct mem_filter *mem_filter_new(size_t bytes)
{
	uint64_t words = 1;
	struct mem_filter *f;

	while (words <= bytes / sizeof(f->words[0]) / 2)
		words *= 2;
	f = calloc(1, sizeof(*f) + sizeof(f->words[0]) * (size_t)words);
	if (f)
		f->mask = words - 1;
	return f;
}

static inline _Atomic uint64_t *mem_filter_word(struct mem_filter *f,
						uint64_t hash)
{
	return &f->words[hash & f->mask];
}

/* Four bits, by the hash's upper ones. */
static inline uint64_t mem_filter_bits(uint64_t hash)
{
	return 1ull << (hash >> 58) | 1ull << (hash >> 52 & 63) |
	       1ull << (hash >> 46 & 63) | 1ull << (hash >> 40 & 63);
}

static inline void mem_filter_add(struct mem_filter *f, uint64_t hash)
{
	atomic_fetch_or_explicit(mem_filter_word(f, hash),
				 mem_filter_bits(hash), memory_order_relaxed);
}

/* False: no key with this hash was added. */
static inline bool mem_filter_may_contain(struct mem_filter *f, uint64_t hash)
{
	uint64_t bits = mem_filter_bits(hash);

	return (atomic_load_explicit(mem_filter_word(f, hash),
				     memory_order_relaxed) &
		bits) == bits;
}

#endif
