/* SPDX-License-Identifier: MIT */
/* compress.c - LZ4 blocks. */
#include "lsm/base/compress.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>

size_t lz4_bound(size_t len)
{
	if (len > LZ4_MAX_INPUT_SIZE)
		return 0;
	return (size_t)LZ4_compressBound((int)len);
}

size_t lz4_compress(const void *in, size_t len, void *out, size_t cap)
{
	return lz4_compress_fast(in, len, out, cap, 1);
}

size_t lz4_compress_fast(const void *in, size_t len, void *out, size_t cap,
			 int acceleration)
{
	int n;

	if (len > LZ4_MAX_INPUT_SIZE)
		return 0;
	if (cap > INT_MAX)
		cap = INT_MAX;
	n = LZ4_compress_fast(in, out, (int)len, (int)cap, acceleration);
	return n > 0 ? (size_t)n : 0;
}

int lz4_decompress(const void *in, size_t len, void *out, size_t out_len)
{
	int n;

	if (len > INT_MAX || out_len > INT_MAX)
		return -EUCLEAN;
	n = LZ4_decompress_safe(in, out, (int)len, (int)out_len);
	return n >= 0 && (size_t)n == out_len ? 0 : -EUCLEAN;
}
