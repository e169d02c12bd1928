/* SPDX-License-Identifier: MIT */
/*
 * A check of what lies in memory files, by which damage is noticed; it keeps off nobody who means to deceive. Its
 * values stand in the state, so the computation is a part of the layouts.
 */
#ifndef DAEMON_CHECKSUM_H
#define DAEMON_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Goes on from h with len bytes, a multiple of 8. */
static inline uint64_t checksum_add(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t word;

	for (size_t i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	return h;
}

#endif
