/* SPDX-License-Identifier: MIT */
/* read_around.c - which regions are read around a miss; see read_around.h. */
#include "lsm/table/read_around.h"

#include <unistd.h>

enum region {
	REGION_NEW = 0,
	REGION_MISSED, /* once */
	REGION_READ,
};

void read_around_init(struct read_around *a)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
	uint64_t memory = 0;

	if (pages > 0 && bytes > 0)
		memory = (uint64_t)pages * (uint64_t)bytes;
	a->max = (memory / READ_AROUND_PARTS) >> READ_AROUND_REGION_BITS;
	atomic_init(&a->spent, 0);
	atomic_init(&a->earned, 0);
}

/* Takes the price of one region; false: it cannot be paid. */
static bool pay(struct read_around *a)
{
	uint64_t spent = atomic_load_explicit(&a->spent, memory_order_relaxed);
	uint64_t earned =
		atomic_load_explicit(&a->earned, memory_order_relaxed);

	/* A thread that comes between makes it one region too many or few. */
	if (spent >= a->max ||
	    spent >= READ_AROUND_FREE + earned / READ_AROUND_PRICE)
		return false;
	atomic_fetch_add_explicit(&a->spent, 1, memory_order_relaxed);
	return true;
}

bool read_around_missed(struct read_around *a, _Atomic uint8_t *regions,
			uint64_t offset)
{
	_Atomic uint8_t *r = &regions[offset >> READ_AROUND_REGION_BITS];
	uint8_t was = atomic_load_explicit(r, memory_order_relaxed);

	if (was == REGION_READ) {
		atomic_fetch_add_explicit(&a->earned, 1, memory_order_relaxed);
		return false;
	}
	if (was == REGION_NEW) {
		atomic_store_explicit(r, REGION_MISSED, memory_order_relaxed);
		return false;
	}
	if (!pay(a))
		return false;
	/* of two threads one reads */
	return atomic_exchange_explicit(r, REGION_READ, memory_order_relaxed) !=
	       REGION_READ;
}
