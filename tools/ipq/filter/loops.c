/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "filter/loops.h"

#define HASHED 256 /* number of bytes of a packet that are hashed */

static uint64_t hash(const uint8_t *data, uint32_t len)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ len;

	for (uint32_t i = 0; i < len && i < HASHED; i++)
		h = (h ^ data[i]) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

bool loops_found(struct loops *l, const uint8_t *data, uint32_t len, int64_t now)
{
	uint64_t h = hash(data, len);
	struct loop_slot *s = &l->slot[h % LOOP_SLOTS];

	if (s->hash != h || now - s->last > LOOP_PAUSE)
		s->count = 0;
	s->hash = h;
	s->last = now;
	if (++s->count <= LOOP_LIMIT)
		return false;
	s->count = 0;
	return true;
}
