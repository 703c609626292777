/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Detects packets that are queued again and again, because of "repeat" or "queue" in our rules and another rule
 * elsewhere. They are recognised by their bytes.
 */
#ifndef IPQ_FILTER_LOOPS_H
#define IPQ_FILTER_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

#define LOOP_SLOTS 1024
#define LOOP_LIMIT 1000	     /* how often a packet may be queued again */
#define LOOP_PAUSE 100000000 /* a pause in ns: after it, the same bytes count as another packet */

/* State for one thread. All zeros at first. */
struct loops {
	struct loop_slot {
		uint64_t hash;
		int64_t last;
		uint32_t count;
	} slot[LOOP_SLOTS];
};

/* Counts a packet that is about to be queued again. True: it was queued again too often. */
bool loops_found(struct loops *l, const uint8_t *data, uint32_t len, int64_t now);

#endif
