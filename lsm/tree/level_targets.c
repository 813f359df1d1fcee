/* SPDX-License-Identifier: MIT */
/*
 * level_targets.c - how large each level should be, and how far from it the
 * tree is.
 *
 * Sizes are set from the last level up: the largest level is as large as the
 * data, each one above it a multiplier smaller, and the first level in use (the
 * base, which level 0 is compacted into) is the one whose target comes near
 * level_base_bytes. So the levels above the last hold about a tenth of the
 * data whatever its size, and space amplification stays near 1.1. The idea is
 * RocksDB's level_compaction_dynamic_level_bytes (S. Dong et al., Optimizing
 * space amplification in RocksDB, CIDR 2017).
 *
 * A level more is opened only when the base's target exceeds BASE_SLACK times
 * level_base_bytes: until then, merging level 0 straight into a level of that
 * size costs less than passing through one more.
 *
 * Pure functions of a version; no lock beyond what keeps the version alive.
 */
#include "lsm/tree/compact.h"

#define BASE_SLACK 3
#define LAST       (LSM_LEVELS - 1)

void level_targets(const struct version *v, const struct tree_options *o,
		   uint64_t target[LSM_LEVELS], unsigned *base)
{
	uint64_t size = o->level_base_bytes;
	unsigned level, first = LAST, natural = LAST;

	for (level = LAST; level >= 1; level--) {
		if (v->count[level])
			first = level;
		if (v->bytes[level] > size)
			size = v->bytes[level];
		target[level] = 0;
	}
	target[0] = o->level_base_bytes;
	target[LAST] = size;
	while (natural > 1 && size / BASE_SLACK > o->level_base_bytes) {
		size /= o->level_multiplier;
		target[--natural] = size;
	}
	/* Level 0 must not pass over older data: a level that is no longer
	 * needed stays the base, with target 0, until it has run empty. */
	*base = first < natural ? first : natural;
}

uint64_t pending_compaction_bytes(const struct version *v,
				  const struct tree_options *o)
{
	uint64_t target[LSM_LEVELS], carry = 0, sum = 0;
	unsigned base, level;

	level_targets(v, o, target, &base);
	if (v->count[0] > o->level0_trigger) {
		carry = v->bytes[0];
		sum = carry;
	}
	/* What comes down from above adds to what is too much here. */
	for (level = base; level < LAST; level++) {
		uint64_t bytes = v->bytes[level] + carry;

		carry = bytes > target[level] ? bytes - target[level] : 0;
		sum += carry;
	}
	return sum;
}
