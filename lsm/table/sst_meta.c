/* SPDX-License-Identifier: MIT */
/* sst_meta.c - the life of struct sst_meta. Plain values; any thread. */
#include "lsm/table/sst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/base/coding.h"

void sst_meta_release(struct sst_meta *m)
{
	buf_release(&m->smallest);
	buf_release(&m->largest);
	free(m->blobs);
	memset(m, 0, sizeof(*m));
}

static int copy_blobs(struct sst_meta *to, const struct sst_meta *from)
{
	if (!from->blob_count)
		return 0;
	to->blobs = calloc(from->blob_count, sizeof(*to->blobs));
	if (!to->blobs)
		return -ENOMEM;
	memcpy(to->blobs, from->blobs, from->blob_count * sizeof(*to->blobs));
	to->blob_count = to->blob_cap = from->blob_count;
	return 0;
}

int sst_meta_copy(struct sst_meta *to, const struct sst_meta *from)
{
	int err;

	*to = *from;
	memset(&to->smallest, 0, sizeof(to->smallest));
	memset(&to->largest, 0, sizeof(to->largest));
	to->blobs = NULL;
	to->blob_count = to->blob_cap = 0;
	err = buf_append(&to->smallest, from->smallest.data,
			 from->smallest.len);
	if (!err)
		err = buf_append(&to->largest, from->largest.data,
				 from->largest.len);
	if (!err)
		err = copy_blobs(to, from);
	if (err)
		sst_meta_release(to);
	return err;
}

/* ---- references to blob files ------------------------------------------- */

/* The first at or after file. */
static size_t find_blob(const struct sst_meta *m, uint64_t file)
{
	size_t low = 0, high = m->blob_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->blobs[mid].file < file)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int sst_meta_add_blob(struct sst_meta *m, uint64_t file, uint64_t bytes)
{
	size_t i = find_blob(m, file);

	if (i < m->blob_count && m->blobs[i].file == file) {
		m->blobs[i].bytes += bytes;
		return 0;
	}
	if (m->blob_count == m->blob_cap) {
		size_t cap = m->blob_cap ? 2 * m->blob_cap : 4;
		void *p = reallocarray(m->blobs, cap, sizeof(*m->blobs));

		if (!p)
			return -ENOMEM;
		m->blobs = p;
		m->blob_cap = cap;
	}
	memmove(&m->blobs[i + 1], &m->blobs[i],
		(m->blob_count - i) * sizeof(*m->blobs));
	m->blobs[i] = (struct sst_blob_ref){file, bytes};
	m->blob_count++;
	return 0;
}

uint64_t sst_meta_blob_bytes(const struct sst_meta *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->blob_count; i++)
		sum += m->blobs[i].bytes;
	return sum;
}

bool sst_meta_blobs_equal(const struct sst_meta *a, const struct sst_meta *b)
{
	if (a->blob_count != b->blob_count)
		return false;
	for (size_t i = 0; i < a->blob_count; i++)
		if (a->blobs[i].file != b->blobs[i].file ||
		    a->blobs[i].bytes != b->blobs[i].bytes)
			return false;
	return true;
}

int sst_meta_encode_blobs(const struct sst_meta *m, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; i < m->blob_count && !err; i++) {
		err = buf_append_varint(out, m->blobs[i].file);
		if (!err)
			err = buf_append_varint(out, m->blobs[i].bytes);
	}
	return err;
}

int sst_meta_decode_blobs(struct sst_meta *m, struct lsm_slice v)
{
	const uint8_t *p = v.data, *end = p + v.len;
	uint64_t file, bytes, last = 0;
	int err;

	while (p < end) {
		p = get_varint64(p, end, &file);
		if (p)
			p = get_varint64(p, end, &bytes);
		if (!p || file <= last || !bytes || bytes > INT64_MAX)
			return -EUCLEAN;
		err = sst_meta_add_blob(m, file, bytes);
		if (err)
			return err;
		last = file;
	}
	return 0;
}
