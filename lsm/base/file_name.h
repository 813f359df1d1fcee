/* SPDX-License-Identifier: MIT */
/*
 * file_name.h - the names of a store's files, in one place for all layers:
 * 000012.sst, 000013.wal, 000014.blob, MANIFEST-000015, CURRENT, LOCK.
 * One counter numbers all of them.
 */
#ifndef LSM_BASE_FILE_NAME_H
#define LSM_BASE_FILE_NAME_H

#include <stdint.h>

#define FILE_NAME_MAX 32

enum file_kind {
	FILE_UNKNOWN,
	FILE_SST,
	FILE_WAL,
	FILE_BLOB,
	FILE_MANIFEST,
	FILE_CURRENT,
	FILE_LOCK,
	FILE_TEMP, /* anything ending in .tmp: left over from a crash */
};

/* Writes the name of a kind that has one; number is ignored where the kind
 * has none. */
void file_name(char out[FILE_NAME_MAX], enum file_kind kind, uint64_t number);
/* *number is 0 for kinds without one. */
enum file_kind file_name_parse(const char *name, uint64_t *number);

#endif
