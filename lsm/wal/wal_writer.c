/* SPDX-License-Identifier: MIT */
/*
 * wal_writer.c - appending records to a log: see wal.h, and wal_format.h for
 * the bytes.
 *
 * A small record is put together in the writer's scratch space, so that it
 * costs one write; of a large one the body is written from where it lies. A
 * crash between two writes leaves a torn tail as a crash within one does.
 *
 * After a failed append or sync it is not known what is on disk, so nothing
 * may be appended behind it: the first error stays.
 *
 * One thread at a time appends, one syncs, both at once; the rest may be asked
 * from any thread.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lsm/wal/wal_format.h"

#define SCRATCH_BYTES 16384

struct wal_writer {
	struct env_log *log;
	uint64_t number;
	_Atomic uint64_t bytes;         /* appended */
	_Atomic uint64_t durable;       /* of them, known to be on disk */
	atomic_int err;                 /* the first; 0: none */
	uint8_t scratch[SCRATCH_BYTES]; /* who appends */
};

static int writer_fail(struct wal_writer *w, int err)
{
	int none = 0;

	atomic_compare_exchange_strong_explicit(&w->err, &none, err,
						memory_order_relaxed,
						memory_order_relaxed);
	return err;
}

int wal_writer_open(struct env_dir *dir, const char *name, uint64_t number,
		    const char *recycle, uint64_t prealloc_bytes,
		    struct wal_writer **out)
{
	uint8_t header[WAL_HEADER_BYTES];
	struct wal_writer *w;
	int err;

	*out = NULL;
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->number = number;
	atomic_init(&w->bytes, WAL_HEADER_BYTES);
	atomic_init(&w->durable, 0);
	atomic_init(&w->err, 0);
	err = env_log_create(dir, name, recycle, prealloc_bytes, &w->log);
	if (err) {
		free(w);
		return err;
	}
	wal_header_put(header, number);
	err = env_log_append(w->log, header, sizeof(header));
	if (err) {
		/* The append's error is the one that tells. */
		(void)env_log_close(w->log, false);
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

/* Appends the record header and both parts, in as few writes as is cheap. */
static int append_parts(struct wal_writer *w, const uint8_t *header,
			struct lsm_slice head, struct lsm_slice body)
{
	size_t n = WAL_RECORD_BYTES;
	int err;

	memcpy(w->scratch, header, n);
	if (head.len && head.len <= SCRATCH_BYTES - n) {
		memcpy(w->scratch + n, head.data, head.len);
		n += head.len;
		head.len = 0;
	}
	if (!head.len && body.len && body.len <= SCRATCH_BYTES - n) {
		memcpy(w->scratch + n, body.data, body.len);
		n += body.len;
		body.len = 0;
	}
	err = env_log_append(w->log, w->scratch, n);
	if (!err && head.len)
		err = env_log_append(w->log, head.data, head.len);
	if (!err && body.len)
		err = env_log_append(w->log, body.data, body.len);
	return err;
}

int wal_writer_append(struct wal_writer *w, struct lsm_slice head,
		      struct lsm_slice body, uint64_t *end)
{
	uint8_t header[WAL_RECORD_BYTES];
	uint64_t at, length, durable;
	uint32_t crc = 0;
	int err;

	err = atomic_load_explicit(&w->err, memory_order_relaxed);
	if (err)
		return err;
	if (head.len > WAL_RECORD_MAX || body.len > WAL_RECORD_MAX)
		return -EINVAL;
	length = (uint64_t)head.len + body.len;
	at = atomic_load_explicit(&w->bytes, memory_order_relaxed);
	if (!length || length > WAL_RECORD_MAX ||
	    at + WAL_RECORD_BYTES + length > WAL_DURABLE_MAX)
		return -EINVAL;
	if (head.len)
		crc = crc32c(crc, head.data, head.len);
	if (body.len)
		crc = crc32c(crc, body.data, body.len);
	/* acquire: partner is the store in wal_writer_sync(). */
	durable = atomic_load_explicit(&w->durable, memory_order_acquire);
	wal_record_put(header, crc, (uint32_t)length, durable, w->number, at);
	err = append_parts(w, header, head, body);
	if (err)
		return writer_fail(w, err);
	at += WAL_RECORD_BYTES + length;
	/* release: partner is the load in wal_writer_sync(), which must not
	 * count bytes before they are appended. */
	atomic_store_explicit(&w->bytes, at, memory_order_release);
	*end = at;
	return 0;
}

int wal_writer_sync(struct wal_writer *w)
{
	/* Before the sync: what comes during it may miss it. acquire: partner
	 * is the store in wal_writer_append(). */
	return wal_writer_sync_to(
		w, atomic_load_explicit(&w->bytes, memory_order_acquire));
}

int wal_writer_sync_to(struct wal_writer *w, uint64_t bytes)
{
	int err = atomic_load_explicit(&w->err, memory_order_relaxed);

	if (err)
		return err;
	err = env_log_sync(w->log);
	if (err)
		return writer_fail(w, err);
	/* release: partners are wal_writer_durable_bytes() and the load in
	 * wal_writer_append(). */
	atomic_store_explicit(&w->durable, bytes, memory_order_release);
	return 0;
}

uint64_t wal_writer_bytes(const struct wal_writer *w)
{
	return atomic_load_explicit(&w->bytes, memory_order_acquire);
}

uint64_t wal_writer_durable_bytes(const struct wal_writer *w)
{
	return atomic_load_explicit(&w->durable, memory_order_acquire);
}

int wal_writer_close(struct wal_writer *w, bool trim)
{
	int err = env_log_close(w->log, trim);

	free(w);
	return err;
}
