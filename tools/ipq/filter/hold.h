/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets that wait undecided, until the next TCP segments show whether their last bytes begin a rule's text. */
#ifndef IPQ_FILTER_HOLD_H
#define IPQ_FILTER_HOLD_H

#include <ipq.h>
#include <ipq_edit.h>
#include "filter/across.h"

#define HOLD_PACKETS 256
#define HOLD_BYTES (4U << 20)

/* One direction of a connection, at one hook. */
struct direction {
	uint32_t sum; /* a sum of the members below, to compare quickly */
	uint16_t version, hook;
	uint8_t ports[4], addresses[32];
};

/* A whole TCP segment. */
struct segment {
	struct direction direction;
	const uint8_t *payload;
	uint32_t payload_len, sequence, end;
	uint16_t flags;
};

/* Each arriving packet is compared with all waiting ones, so these are parsed once. */
struct hold {
	unsigned count;
	size_t bytes;
	struct held {
		struct ipq_packet *packet; /* from ipq_packet_keep() */
		int64_t since;		   /* ns, of the worker's clock */
		bool parsed;
		struct segment segment; /* only if it is parsed */
	} held[HOLD_PACKETS];		/* in the order in which they came */
};

/* Serial number arithmetic (RFC 1982). */
static inline bool tcp_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* Reads a TCP segment. false: it is not TCP, a fragment, not complete, or protected. */
bool segment_read(struct segment *s, const struct ipq_packet *packet);
/* Does it have payload, SYN, FIN or RST? False for a mere acknowledgement. */
bool segment_delivers(const struct segment *s);

/*
 * Copies the packet to the end. s: the result of segment_read(); NULL: it returned false. 0, -ENOMEM, -ENOBUFS: no
 * room.
 */
int hold_add(struct hold *h, const struct ipq_packet *packet, const struct segment *s, int64_t now);
/* Takes out packet i. The caller frees it. */
struct ipq_packet *hold_take(struct hold *h, unsigned i);
/* The held packet of this direction with the lowest sequence number, or -1. */
int hold_find(const struct hold *h, const struct direction *d);
/* The held text that follows packet i, which is parsed. */
void hold_following(const struct hold *h, unsigned i, struct following *next);
void hold_free(struct hold *h);

#endif
