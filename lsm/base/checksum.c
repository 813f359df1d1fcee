/* SPDX-License-Identifier: MIT */
/* checksum.c - CRC-32C by isa-l, which picks the fastest code for this CPU. */
#include "lsm/base/checksum.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	/* isa-l takes an int length and does no inversion of its own; it
	 * declares the buffer non-const but only reads it. */
	unsigned char *p = (unsigned char *)(uintptr_t)data;

	crc = ~crc;
	while (len > (1u << 30)) {
		crc = crc32_iscsi(p, 1 << 30, crc);
		p += 1u << 30;
		len -= 1u << 30;
	}
	return ~crc32_iscsi(p, (int)len, crc);
}
