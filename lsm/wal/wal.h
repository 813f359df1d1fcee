/* SPDX-License-Identifier: MIT */
/*
 * wal.h - the record log under the write-ahead log and the manifest.
 *
 * A log file is a header and records, each checksummed together with the log's
 * own number, so that bytes left from a recycled file's earlier life are never
 * taken for records. Layout: doc/FORMAT.md, log.
 *
 *   header  magic u64 | format u32 | number u64 | crc u32 ... padded to 32
 *   record  crc u32 | length u32 | durable u48 | mark u16 | payload
 *
 * durable is how many bytes of this log were known to be on disk when the
 * record was written. It tells a torn tail from corruption: bytes that fail
 * their check are a tail that power loss tore, unless some later record of the
 * same log says that they had been durable. mark is the low 16 bits of the
 * log's number: it tells a torn record from leftovers of a recycled file.
 */
#ifndef LSM_WAL_WAL_H
#define LSM_WAL_WAL_H

#include "lsm/base/buf.h"
#include "lsm/base/logger.h"
#include "lsm/env/env.h"

/* Bumped when an old reader could not read a new log. */
#define WAL_FORMAT     1
#define WAL_RECORD_MAX (1u << 31)

struct wal_writer;

/*
 * Creates the log called name with the given number; recycle and
 * prealloc_bytes as in env_log_create(). The header is written, not synced.
 */
int wal_writer_open(struct env_dir *dir, const char *name, uint64_t number,
		    const char *recycle, uint64_t prealloc_bytes,
		    struct wal_writer **out);
/* Appends one record: the payload is head followed by body (one may be empty;
 * two, so that a caller can prepend a header without a copy). Callers
 * serialize. *end is the log's length after it. After an error of the disk
 * every later append returns the same error; -EINVAL (nothing in it, or more
 * than WAL_RECORD_MAX) leaves the log as it was. */
int wal_writer_append(struct wal_writer *w, struct lsm_slice head,
		      struct lsm_slice body, uint64_t *end);
/* Everything appended before the call becomes durable. May run beside
 * appends; calls do not overlap. An error is sticky: later syncs and appends
 * return it. */
int wal_writer_sync(struct wal_writer *w);
/* The same, but only of the first bytes of the log it will be said that they
 * are durable: what they refer to is, what later ones do perhaps is not. */
int wal_writer_sync_to(struct wal_writer *w, uint64_t bytes);
uint64_t wal_writer_bytes(const struct wal_writer *w);
uint64_t wal_writer_durable_bytes(const struct wal_writer *w);
/* Frees w. Does not sync. trim as in env_log_close(). */
int wal_writer_close(struct wal_writer *w, bool trim);

struct wal_reader;

/*
 * Opens a log for reading from the front. number must be the number in the
 * header. *out is NULL and the result LSM_END for a log whose header never
 * was written whole (the power went, or the disk was full, when the log was
 * created): no valid record is behind it. -EUCLEAN: there is one, or this is
 * not a log; -EPROTONOSUPPORT: a newer format. log may be NULL.
 */
int wal_reader_open(struct env_dir *dir, const char *name, uint64_t number,
		    const struct logger *log, struct wal_reader **out);
/* 0 and the payload (borrowed until the next call), LSM_END, or -EUCLEAN
 * (corruption before the tail; logged). */
int wal_reader_next(struct wal_reader *r, struct lsm_slice *payload);
/* After LSM_END: true when the log ended in bytes that failed their check, as
 * opposed to ending at its length or in zeros or stale bytes. Offset of the
 * first byte not read. */
bool wal_reader_torn(const struct wal_reader *r);
uint64_t wal_reader_offset(const struct wal_reader *r);
/* What the last record read said was durable of this log when it was written,
 * in bytes; 0: nothing was, or no record was read. */
uint64_t wal_reader_durable(const struct wal_reader *r);
void wal_reader_close(struct wal_reader *r);

#endif
