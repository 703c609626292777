/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hash that an attacker without the key cannot fill with collisions: SipHash-1-3 (Aumasson and Bernstein, 2012). */
#ifndef UTIL_KEYED_HASH_H
#define UTIL_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t rotate_left(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate_left(v[1], 13) ^ v[0];
	v[3] = rotate_left(v[3], 16) ^ v[2];
	v[0] = rotate_left(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate_left(v[1], 17) ^ v[2];
	v[3] = rotate_left(v[3], 21) ^ v[0];
	v[2] = rotate_left(v[2], 32);
}

/* Hashes n words. The key comes from getrandom(). */
static inline uint64_t keyed_hash(const uint64_t key[2], const uint64_t *word, size_t words)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			  key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };

	for (size_t i = 0; i <= words; i++) {
		uint64_t w = i < words ? word[i] : (uint64_t)(words * 8) << 56;

		v[3] ^= w;
		sip_round(v);
		v[0] ^= w;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
