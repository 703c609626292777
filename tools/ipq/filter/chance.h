/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random numbers for "drop 10%" and similar actions, from a seed, so that a run can be repeated. */
#ifndef IPQ_FILTER_CHANCE_H
#define IPQ_FILTER_CHANCE_H

#include <stdbool.h>
#include <stdint.h>
#include "filter/actions.h"

struct chance {
	uint64_t state;
};

/* The next random number by splitmix64, which hashes a counter. */
static inline uint64_t chance_next(struct chance *c)
{
	uint64_t z = c->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline bool chance_hits(struct chance *c, uint32_t probability)
{
	return probability == ALWAYS || (uint32_t)(chance_next(c) >> 32) < probability;
}

/* A random number from -range to range. */
static inline int64_t chance_around(struct chance *c, int64_t range)
{
	return range == 0 ? 0 : (int64_t)(chance_next(c) % (2 * (uint64_t)range + 1)) - range;
}

#endif
