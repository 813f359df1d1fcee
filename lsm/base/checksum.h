/* SPDX-License-Identifier: MIT */
/*
 * checksum.h - CRC-32C (Castagnoli), computed by isa-l.
 *
 * crc32c(0, d, n) starts; crc32c(c, d2, n2) continues a finished value c, so
 * that crc32c(crc32c(0, a), b) is the checksum of a followed by b.
 */
#ifndef LSM_BASE_CHECKSUM_H
#define LSM_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
