/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets without a verdict that wait for the next TCP segments, which show whether the packets' last bytes begin a
 * rule's text.
 */
#ifndef IPQ_FILTER_HOLD_H
#define IPQ_FILTER_HOLD_H

#include <ipq.h>
#include <ipq_edit.h>
#include "filter/across.h"

#define HOLD_PACKETS 256
#define HOLD_BYTES (4U << 20)

/* One direction of a connection, at one hook. */
struct direction {
	uint32_t sum; /* a sum of the members below, for a quick comparison */
	uint16_t version, hook;
	uint8_t ports[4], addresses[32];
};

/* A complete TCP segment. */
struct segment {
	struct direction direction;
	const uint8_t *payload;
	uint32_t payload_len, sequence, end;
	uint16_t flags;
};

/* The held packets. Each arriving packet is compared with all of them, so they are parsed only once. */
struct hold {
	unsigned count;
	size_t bytes;
	struct held {
		struct ipq_packet *packet; /* the packet, copied by ipq_packet_keep() */
		int64_t since;		   /* time in ns of the worker's clock */
		bool parsed;
		struct segment segment; /* valid if the packet was parsed */
	} held[HOLD_PACKETS];		/* held packets in the order of arrival */
};

/* Serial number arithmetic (RFC 1982). */
static inline bool tcp_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* Parses a TCP segment. False: the packet is not TCP, a fragment, not complete, or protected. */
bool segment_read(struct segment *s, const struct ipq_packet *packet);
/* Whether the segment has payload, SYN, FIN or RST. False for a pure acknowledgement. */
bool segment_delivers(const struct segment *s);

/*
 * Appends a copy of the packet. s: the result of segment_read(); NULL: segment_read() returned false. 0, -ENOMEM,
 * -ENOBUFS: no room.
 */
int hold_add(struct hold *h, const struct ipq_packet *packet, const struct segment *s, int64_t now);
/* Removes packet i. The caller frees it. */
struct ipq_packet *hold_take(struct hold *h, unsigned i);
/* The index of the held packet of this direction with the lowest sequence number, or -1. */
int hold_find(const struct hold *h, const struct direction *d);
/* The held text after packet i, which must have been parsed. */
void hold_following(const struct hold *h, unsigned i, struct following *next);
void hold_free(struct hold *h);

#endif
