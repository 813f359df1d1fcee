/* SPDX-License-Identifier: MIT */
/* stored.c - checking and expanding stored blocks; see stored.h. */
#include "lsm/table/stored.h"

#include <errno.h>
#include <string.h>

#include "lsm/base/coding.h"
#include "lsm/base/compress.h"

/* What a key takes in a block of a blob file; for a guess. */
#define KEY_LEAST 8
#define KEY_MOST  64

const char *stored_check(const struct sst_handle *h, const uint8_t *stored,
			 uint64_t file, bool crc)
{
	const uint8_t *trailer = stored + h->bytes;

	if (trailer[0] != h->type)
		return "block is of another type than its handle says";
	if (crc &&
	    get_le32(trailer + 1) !=
		    sst_block_crc(stored, h->bytes, h->type, file, h->offset))
		return "block checksum mismatch";
	return NULL;
}

size_t stored_lead(size_t plain)
{
	for (size_t len = 4096; len <= 65536 && len < plain; len *= 2) {
		/* blob_format.h: a count, the ends, the values, the keys */
		size_t values = (plain - 4) / (len + 4);
		size_t keys = (plain - 4) % (len + 4);

		if (values && keys >= values * KEY_LEAST &&
		    keys <= values * KEY_MOST)
			return 4 + 4 * values;
	}
	return 0;
}

int stored_expand(struct cache *c, const struct sst_handle *h,
		  const uint8_t *stored, struct cache_entry **out,
		  const char **why)
{
	uint32_t plain;
	const uint8_t *lz4 = sst_lz4_header(stored, h->bytes, &plain);
	struct cache_entry *e;

	*why = "block has an impossible length";
	if (!lz4)
		return -EUCLEAN;
	e = cache_alloc(c, plain, stored_lead(plain));
	if (!e)
		return -ENOMEM;
	if (lz4_decompress(lz4, (size_t)(stored + h->bytes - lz4),
			   cache_data(e), plain)) {
		cache_drop(c, e);
		*why = "block cannot be decompressed";
		return -EUCLEAN;
	}
	*out = e;
	return 0;
}

int stored_entry(struct cache *c, const struct sst_handle *h,
		 const uint8_t *stored, struct cache_entry **out,
		 const char **why)
{
	size_t bytes = (size_t)h->bytes + SST_TRAILER_BYTES;
	struct cache_entry *e;

	if (h->type == SST_BLOCK_LZ4)
		return stored_expand(c, h, stored, out, why);
	e = cache_alloc(c, bytes, stored_lead(h->bytes));
	if (!e)
		return -ENOMEM;
	memcpy(cache_data(e), stored, bytes);
	*out = e;
	return 0;
}
