/* SPDX-License-Identifier: MIT */
/*
 * lookup.h - what one source (a memtable, a table) says of one key.
 *
 * Sources are asked from the newest to the oldest; the first that does not
 * answer LOOKUP_MISS decides, because whatever an older source holds of the
 * key has smaller sequence numbers.
 */
#ifndef LSM_BASE_LOOKUP_H
#define LSM_BASE_LOOKUP_H

#include "lsm/base/slice.h"

enum lookup_result {
	LOOKUP_MISS = 0,    /* nothing visible here: ask the next source */
	LOOKUP_FOUND = 1,   /* *value is the answer */
	LOOKUP_DELETED = 2, /* a tombstone, of the key or of a range, decides */
			    /* below zero: -errno */
};

#endif
