/* SPDX-License-Identifier: MIT */
/*
 * store.h - a store as the commands see it: opened without changing it, with
 * or without a filesystem inside, or merely looked at from outside while
 * another process has it open.
 */
#ifndef TOOLS_STORE_H
#define TOOLS_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/fs.h"
#include "lsm/lsm.h"

/* Clears *options and lets the engine speak on stderr, warnings and errors. */
void store_engine_options(struct lsm_options *options);

/* One line on stderr for what opening the store at path answered; for -EBUSY
 * it says who has it open. */
void store_error(const char *path, int err);
/* Ends a cli_log_hold() around an open that returned err: prints what the
 * engine said unless store_error() tells all of it. */
void store_release_log(int err);

enum store_flags {
	/* A filesystem whose superblock is damaged opens as a plain store,
	 * after a line that says so. */
	STORE_PLAIN_IF_DAMAGED = 1,
	/* Failing is to be expected: the engine is not heard. */
	STORE_QUIET = 2,
};

struct store {
	struct fs *fs; /* NULL: a store of the engine alone */
	struct lsm_db *db;
};

/*
 * Opens what is at path for reading; nothing is changed. A store that is open
 * elsewhere may be opened too, but files can go away under the reader. 0 or the
 * engine's error, which is left to store_error(). End with store_close().
 */
int store_open(const char *path, unsigned flags, struct store *out);
int store_close(struct store *store);

/* Opens the filesystem at path once and prints what it is. 0 or an error,
 * which was said. */
int store_print_made(const char *path);

/* Whether a process has the store open for writing; *pid is its number, or 0
 * when it cannot be told. pid may be NULL. */
bool store_is_open(const char *path, pid_t *pid);
/* Where the store is mounted. False: nowhere that can be seen. */
bool store_mountpoint(const char *path, char out[PATH_MAX]);

/* The files of a store by kind, without opening it. */
struct store_files {
	bool is_store;    /* there is a file that only a store has */
	unsigned foreign; /* names that no store has */
	char foreign_name[NAME_MAX + 1]; /* one of them */
	unsigned tables, logs, blobs, files;
	uint64_t table_bytes, log_bytes, blob_bytes;
	uint64_t disk_bytes; /* allocated, all files */
	uint64_t manifest;   /* the highest number; 0: none */
};
int store_list_files(const char *path, struct store_files *out);

const char *compression_name(enum lsm_compression c);

#endif
