/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Delayed packets, in a binary heap with the next packet on top. One heap belongs to one thread. */
#ifndef IPQ_FILTER_DELAY_H
#define IPQ_FILTER_DELAY_H

#include <stddef.h>
#include <stdint.h>
#include <ipq.h>

struct delayed {
	int64_t due;		   /* time in ns, of the owner's clock */
	uint64_t order;		   /* packets that are due at the same time leave in this order */
	struct ipq_packet *packet; /* the packet, copied by ipq_packet_keep() */
	struct ipq_verdict verdict;
	void *payload; /* memory from malloc() to which the verdict refers; or NULL */
};

struct delays {
	struct delayed *heap;
	size_t count, room;
	uint64_t order;
};

/* Adds a packet. The heap owns packet and payload from then on. 0 or -ENOMEM. */
int delays_add(struct delays *d, int64_t due, struct ipq_packet *packet, const struct ipq_verdict *verdict,
	       void *payload);
/*
 * Removes the next delayed packet if it is due. 1, or 0: none is due. The caller then owns the packet and its
 * payload.
 */
int delays_take(struct delays *d, int64_t now, struct delayed *out);
/* Puts back the packet that was taken last. */
void delays_put_back(struct delays *d, const struct delayed *last);
/* The time until `due` in ms, rounded up; 0: `due` has passed. */
int ms_until(int64_t due, int64_t now);
/* The time until the next packet is due, in ms, rounded up; -1: no packet is delayed. */
int delays_timeout(const struct delays *d, int64_t now);
void delays_free(struct delays *d);

#endif
