/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Access to numbers at any address: in network byte order, in little-endian order, and (native) in the byte order
 * of this machine.
 */
#ifndef UTIL_BYTES_H
#define UTIL_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_native16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t get_native32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t get_native64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void put_native16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void put_native32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t get16(const void *p)
{
	return be16toh(get_native16(p));
}

static inline uint32_t get32(const void *p)
{
	return be32toh(get_native32(p));
}

static inline uint64_t get64(const void *p)
{
	return be64toh(get_native64(p));
}

/* Writes the low 16 bits of v. */
static inline void put16(void *p, unsigned v)
{
	put_native16(p, htobe16((uint16_t)v));
}

static inline void put32(void *p, uint32_t v)
{
	put_native32(p, htobe32(v));
}

/* Reads a number whose least significant byte comes first. */
static inline uint32_t get_little32(const void *p)
{
	return le32toh(get_native32(p));
}

static inline void put_little32(void *p, uint32_t v)
{
	put_native32(p, htole32(v));
}

#endif
