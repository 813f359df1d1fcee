/* SPDX-License-Identifier: MIT */
/*
 * histogram.h - counts of durations in log-linear buckets (16 to a power of
 * two, so a percentile is exact within 6.25%). Not thread-safe: one a thread,
 * then merge.
 */
#ifndef LSM_BASE_HISTOGRAM_H
#define LSM_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (64 * 16)

struct histogram {
	uint64_t count, sum, min, max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value below which fraction p (0 to 1) of the values lie; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double p);
double histogram_mean(const struct histogram *h);

#endif
