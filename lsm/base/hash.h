/* SPDX-License-Identifier: MIT */
/* hash.h - 64-bit hashes of keys: XXH3, computed by xxHash. */
#ifndef LSM_BASE_HASH_H
#define LSM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t len);
uint64_t hash64_seed(const void *data, size_t len, uint64_t seed);

/* A cheap mix of two numbers, for hash tables over (file, offset). */
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;

	h ^= b + (h >> 31);
	h *= 0x94d049bb133111ebull;
	return h ^ h >> 29;
}

#endif
