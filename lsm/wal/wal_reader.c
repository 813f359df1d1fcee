/* SPDX-License-Identifier: MIT */
/*
 * wal_reader.c - reading a log from the front: see wal.h, and wal_format.h for
 * the bytes.
 *
 * The reader takes every byte for a guess until a checksum confirms it. A
 * length is bounded by the file's size; a long record is checksummed piece by
 * piece before memory is taken for it.
 *
 * Where the records end (at bytes that fail, at zeros, at leftovers of the
 * file's earlier life) the rest of the file is searched for a record that
 * proves that the bytes here had been durable. Candidates are few, because the
 * mark and the bounds of durable must fit; the checksums of candidates are
 * limited to a few times the file's size all the same, so that no crafted file
 * makes the search quadratic.
 *
 * One thread at a time.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lsm/wal/wal_format.h"

#define READ_BYTES  ((size_t)1 << 20)
#define BIG_RECORD  ((size_t)4 << 20) /* checksummed before it is loaded */
#define PIECE_BYTES ((size_t)256 << 10)
#define SCAN_EFFORT 4 /* times the file's size */

struct wal_reader {
	struct env_object *object;
	const struct logger *log;
	char *name;
	uint64_t number;
	uint64_t bytes;   /* of the file */
	uint64_t offset;  /* of the next record */
	uint64_t durable; /* of the last record */
	int result;       /* 0, or what every further call returns */
	bool torn;
	/* The file from base on. */
	uint64_t base;
	uint8_t *data;
	size_t len, cap;
};

/* Makes [at, at + n) of the file available, which must be within it. */
static int load(struct wal_reader *r, uint64_t at, size_t n,
		const uint8_t **out)
{
	size_t want = n > READ_BYTES ? n : READ_BYTES, keep = 0;
	uint8_t *p;
	int err;

	if (at >= r->base && at + n <= r->base + r->len) {
		*out = r->data + (at - r->base);
		return 0;
	}
	if (want > r->bytes - at)
		want = r->bytes - at;
	if (at >= r->base && at < r->base + r->len) {
		keep = r->base + r->len - at;
		memmove(r->data, r->data + (at - r->base), keep);
	}
	r->base = at;
	r->len = keep;
	if (want > r->cap) {
		p = realloc(r->data, want);
		if (!p)
			return -ENOMEM;
		r->data = p;
		r->cap = want;
	}
	err = env_object_read(r->object, at + keep, r->data + keep,
			      want - keep);
	if (err)
		return err;
	r->len = want;
	*out = r->data;
	return 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return !n || (!*p && !memcmp(p, p + 1, n - 1));
}

/* Checksums the payload at [at, at + n) without loading it as a whole. */
static int payload_crc(struct wal_reader *r, uint64_t at, uint64_t n,
		       uint32_t *crc)
{
	size_t piece = n < PIECE_BYTES ? n : PIECE_BYTES;
	uint8_t *p = malloc(piece);
	int err = 0;

	if (!p)
		return -ENOMEM;
	*crc = 0;
	while (n && !err) {
		if (piece > n)
			piece = n;
		err = env_object_read(r->object, at, p, piece);
		if (!err)
			*crc = crc32c(*crc, p, piece);
		at += piece;
		n -= piece;
	}
	free(p);
	return err;
}

/* *proof becomes true when a valid record behind bad says that bad had been
 * durable; with any, when there is a valid record at all. */
static int search_proof(struct wal_reader *r, uint64_t bad, bool any,
			bool *proof)
{
	uint64_t effort = r->bytes * SCAN_EFFORT, at = bad + 1;
	uint16_t mark = wal_mark(r->number);
	uint8_t header[WAL_RECORD_BYTES];
	struct wal_record_header h;
	const uint8_t *p;
	size_t n, i;
	uint32_t crc;
	int err;

	*proof = false;
	if (at < WAL_HEADER_BYTES)
		at = WAL_HEADER_BYTES;
	for (; at + WAL_RECORD_BYTES < r->bytes;
	     at += n - WAL_RECORD_BYTES + 1) {
		n = r->bytes - at < READ_BYTES ? r->bytes - at : READ_BYTES;
		err = load(r, at, n, &p);
		if (err)
			return err;
		for (i = 0; i + WAL_RECORD_BYTES <= n; i++) {
			if (get_le16(p + i + 14) != mark)
				continue;
			h = wal_record_get(p + i);
			if ((!any && h.durable <= bad) || h.durable > at + i ||
			    !h.length || h.length > effort ||
			    h.length > r->bytes - at - i - WAL_RECORD_BYTES)
				continue;
			effort -= h.length;
			memcpy(header, p + i, sizeof(header));
			err = payload_crc(r, at + i + WAL_RECORD_BYTES,
					  h.length, &crc);
			if (err)
				return err;
			if (wal_record_crc(crc, header, r->number, at + i) ==
			    h.crc) {
				*proof = true;
				return 0;
			}
		}
	}
	return 0;
}

/* The records end at r->offset. LSM_END, or -EUCLEAN when they should not. */
static int end_here(struct wal_reader *r)
{
	bool proof;
	int err;

	err = search_proof(r, r->offset, false, &proof);
	if (err)
		return err;
	if (proof)
		return log_corrupt(r->log, r->name, r->offset,
				   "record fails its check, and a later one "
				   "says it was durable");
	return LSM_END;
}

/*
 * The header is not whole. Before a record is appended the header was written
 * without an error, so with a record behind it, it is damaged. Without one it
 * is what a failed write left of it when the log was created.
 */
static int header_fails(struct wal_reader *r, bool magic)
{
	const uint8_t *p;
	size_t n = r->bytes < READ_BYTES ? (size_t)r->bytes : READ_BYTES;
	bool proof;
	int err = search_proof(r, 0, true, &proof);

	if (err)
		return err;
	if (proof)
		return log_corrupt(r->log, r->name, 0,
				   "log header checksum mismatch");
	err = load(r, 0, n, &p);
	if (err)
		return err;
	/* A recycled file keeps its magic; a fresh one is zero behind. */
	if (!magic && !all_zero(p + WAL_HEADER_BYTES, n - WAL_HEADER_BYTES))
		return log_corrupt(r->log, r->name, 0, "not a log: bad magic");
	return LSM_END;
}

static int read_header(struct wal_reader *r)
{
	const uint8_t *p;
	uint64_t number;
	uint32_t format;
	int err;

	if (r->bytes < WAL_HEADER_BYTES)
		return LSM_END;
	err = load(r, 0, WAL_HEADER_BYTES, &p);
	if (err)
		return err;
	if (all_zero(p, WAL_HEADER_BYTES))
		return end_here(r);
	if (get_le64(p) != WAL_MAGIC)
		return header_fails(r, false);
	if (get_le32(p + 20) != crc32c(0, p, 20))
		return header_fails(r, true);
	format = get_le32(p + 8);
	number = get_le64(p + 12);
	if (format > WAL_FORMAT) {
		logger_printf(r->log, LSM_LOG_ERROR,
			      "%s: log format %u, this program knows %u",
			      r->name, format, WAL_FORMAT);
		return -EPROTONOSUPPORT;
	}
	/* A recycled file whose new header did not reach the disk. */
	if (number < r->number)
		return end_here(r);
	if (number > r->number)
		return log_corrupt(r->log, r->name, 12,
				   "header has number %llu, not %llu",
				   (unsigned long long)number,
				   (unsigned long long)r->number);
	r->offset = WAL_HEADER_BYTES;
	return 0;
}

int wal_reader_open(struct env_dir *dir, const char *name, uint64_t number,
		    const struct logger *log, struct wal_reader **out)
{
	struct wal_reader *r;
	int err = -ENOMEM;

	*out = NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->log = log;
	r->number = number;
	r->name = strdup(name);
	if (!r->name)
		goto out;
	err = env_object_open(dir, name, &r->object);
	if (err)
		goto out;
	r->bytes = env_object_bytes(r->object);
	err = read_header(r);
out:
	if (err)
		wal_reader_close(r);
	else
		*out = r;
	return err;
}

/* True when the bytes at the offset, which are no record, once were to be
 * one of this log. */
static bool looks_torn(const struct wal_reader *r, const uint8_t *p, size_t n)
{
	if (all_zero(p, n))
		return false;
	return n < WAL_RECORD_BYTES ||
	       wal_record_get(p).mark == wal_mark(r->number);
}

/* 0 and the payload, LSM_END when there is no valid record, or an error. */
static int read_record(struct wal_reader *r, struct lsm_slice *payload)
{
	uint64_t left = r->bytes - r->offset;
	struct wal_record_header h;
	const uint8_t *p;
	uint8_t header[WAL_RECORD_BYTES];
	uint32_t crc;
	size_t n;
	int err;

	n = left < WAL_RECORD_BYTES ? left : WAL_RECORD_BYTES;
	if (!n)
		return LSM_END;
	err = load(r, r->offset, n, &p);
	if (err)
		return err;
	r->torn = looks_torn(r, p, n);
	if (n < WAL_RECORD_BYTES)
		return LSM_END;
	h = wal_record_get(p);
	if (h.mark != wal_mark(r->number) || !h.length ||
	    h.length > left - WAL_RECORD_BYTES || h.length > WAL_RECORD_MAX ||
	    h.durable > r->offset)
		return LSM_END;
	n = WAL_RECORD_BYTES + (size_t)h.length;
	if (n > BIG_RECORD) {
		memcpy(header, p, sizeof(header));
		err = payload_crc(r, r->offset + WAL_RECORD_BYTES, h.length,
				  &crc);
		if (err)
			return err;
		if (wal_record_crc(crc, header, r->number, r->offset) != h.crc)
			return LSM_END;
	}
	err = load(r, r->offset, n, &p);
	if (err)
		return err;
	crc = crc32c(0, p + WAL_RECORD_BYTES, h.length);
	if (wal_record_crc(crc, p, r->number, r->offset) != h.crc)
		return LSM_END;
	r->torn = false;
	r->offset += n;
	r->durable = h.durable;
	*payload = lsm_slice(p + WAL_RECORD_BYTES, h.length);
	return 0;
}

int wal_reader_next(struct wal_reader *r, struct lsm_slice *payload)
{
	if (r->result)
		return r->result;
	r->result = read_record(r, payload);
	if (r->result == LSM_END)
		r->result = end_here(r);
	return r->result;
}

bool wal_reader_torn(const struct wal_reader *r)
{
	return r->torn;
}

uint64_t wal_reader_offset(const struct wal_reader *r)
{
	return r->offset;
}

uint64_t wal_reader_durable(const struct wal_reader *r)
{
	return r->durable;
}

void wal_reader_close(struct wal_reader *r)
{
	if (!r)
		return;
	if (r->object)
		env_object_close(r->object);
	free(r->data);
	free(r->name);
	free(r);
}
