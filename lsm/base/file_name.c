/* SPDX-License-Identifier: MIT */
/* file_name.c - making and reading the names of a store's files. */
#include "lsm/base/file_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum file_kind kind;
	const char *suffix;
} numbered[] = {
	{FILE_SST, ".sst"},
	{FILE_WAL, ".wal"},
	{FILE_BLOB, ".blob"},
};

#define NUMBERED_COUNT (sizeof(numbered) / sizeof(numbered[0]))

void file_name(char out[FILE_NAME_MAX], enum file_kind kind, uint64_t number)
{
	out[0] = '\0';
	for (unsigned i = 0; i < NUMBERED_COUNT; i++)
		if (numbered[i].kind == kind)
			snprintf(out, FILE_NAME_MAX, "%06" PRIu64 "%s", number,
				 numbered[i].suffix);
	if (kind == FILE_MANIFEST)
		snprintf(out, FILE_NAME_MAX, "MANIFEST-%06" PRIu64, number);
	else if (kind == FILE_CURRENT)
		snprintf(out, FILE_NAME_MAX, "CURRENT");
	else if (kind == FILE_LOCK)
		snprintf(out, FILE_NAME_MAX, "LOCK");
}

/* Digits at p, at least one, without overflow; the rest in *rest. */
static int parse_number(const char *p, uint64_t *number, const char **rest)
{
	uint64_t v = 0;
	const char *start = p;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return 0;
	*number = v;
	*rest = p;
	return p > start;
}

enum file_kind file_name_parse(const char *name, uint64_t *number)
{
	size_t len = strlen(name);
	const char *rest;

	*number = 0;
	if (!strcmp(name, "CURRENT"))
		return FILE_CURRENT;
	if (!strcmp(name, "LOCK"))
		return FILE_LOCK;
	if (len > 4 && !strcmp(name + len - 4, ".tmp"))
		return FILE_TEMP;
	if (!strncmp(name, "MANIFEST-", 9)) {
		if (parse_number(name + 9, number, &rest) && !*rest)
			return FILE_MANIFEST;
	} else if (parse_number(name, number, &rest)) {
		for (unsigned i = 0; i < NUMBERED_COUNT; i++)
			if (!strcmp(rest, numbered[i].suffix))
				return numbered[i].kind;
	}
	*number = 0;
	return FILE_UNKNOWN;
}
