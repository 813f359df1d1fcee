/* SPDX-License-Identifier: MIT */
/* histogram.c - log-linear buckets: power of two, then 16 equal parts. */
#include "lsm/base/histogram.h"

#include <string.h>

#define PARTS 16

static unsigned bucket_of(uint64_t v)
{
	unsigned top;

	if (v < PARTS)
		return (unsigned)v;
	top = 63 - (unsigned)__builtin_clzll(v);
	return (top - 3) * PARTS + (unsigned)(v >> (top - 4) & (PARTS - 1));
}

/* The smallest value of bucket b. */
static uint64_t bucket_floor(unsigned b)
{
	unsigned top;

	if (b < PARTS)
		return b;
	top = b / PARTS + 3;
	return (uint64_t)(PARTS + b % PARTS) << (top - 4);
}

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->bucket[bucket_of(value)]++;
	h->count++;
	h->sum += value;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	into->count += from->count;
	into->sum += from->sum;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *h, double p)
{
	uint64_t want = (uint64_t)((double)h->count * p), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t floor = bucket_floor(i);

		seen += h->bucket[i];
		if (seen > want)
			return floor < h->min ? h->min : floor;
	}
	return h->count ? h->max : 0;
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
