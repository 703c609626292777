// SPDX-License-Identifier: LGPL-2.1-or-later
/* One's complement sums (RFC 1071). */
#include "edit/edit.h"

/*
 * Sums 32 bytes per iteration: each 64-bit word is added as two 32-bit halves to an accumulator of 64 bits. The
 * accumulators cannot overflow before 2^29 iterations, so no carry needs to be checked. Four chains of additions
 * are independent of each other. The position of a 16-bit word in the accumulator does not matter: folding adds all
 * of them.
 */
static inline uint64_t sum_unfolded(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, w[4];
	uint32_t word;
	uint16_t half = 0;

	for (; len >= sizeof(w); len -= sizeof(w), p += sizeof(w)) {
		memcpy(w, p, sizeof(w));
		a += (w[0] & UINT32_MAX) + (w[0] >> 32);
		b += (w[1] & UINT32_MAX) + (w[1] >> 32);
		c += (w[2] & UINT32_MAX) + (w[2] >> 32);
		d += (w[3] & UINT32_MAX) + (w[3] >> 32);
	}
	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		a += word;
	}
	if (len & 2) {
		memcpy(&half, p, 2);
		b += half;
		p += 2;
	}
	if (len & 1) {
		half = 0;
		memcpy(&half, p, 1);
		c += half;
	}
	return a + b + c + d;
}

uint16_t sum_bytes(const void *bytes, size_t len, bool odd)
{
	uint16_t sum = sum_fold(sum_unfolded(bytes, len));

	return (uint16_t)(odd ? sum << 8 | sum >> 8 : sum);
}
