/* SPDX-License-Identifier: MIT */
/*
 * compress.h - LZ4 blocks.
 *
 * Neither function is told how the bytes got there: decompression is safe on
 * hostile input.
 */
#ifndef LSM_BASE_COMPRESS_H
#define LSM_BASE_COMPRESS_H

#include <stddef.h>

/* The room lz4_compress() needs in the worst case. */
size_t lz4_bound(size_t len);
/* Bytes written to out, or 0 when the result does not fit into cap. */
size_t lz4_compress(const void *in, size_t len, void *out, size_t cap);
/* The same, looking for repetitions less thoroughly the larger acceleration is;
 * 1: as above. */
size_t lz4_compress_fast(const void *in, size_t len, void *out, size_t cap,
			 int acceleration);
/* 0 when in expands to exactly out_len bytes, else -EUCLEAN. */
int lz4_decompress(const void *in, size_t len, void *out, size_t out_len);

#endif
