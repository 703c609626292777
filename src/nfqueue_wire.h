/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nfnetlink_queue's messages, to and from values. Pure functions: no I/O. This is the path that every
 * packet takes, so attributes are walked by hand, once, each bounded before it is believed; unknown ones
 * are skipped.
 */
#ifndef NFQUEUE_WIRE_H
#define NFQUEUE_WIRE_H

#include <stdbool.h>
#include <sys/uio.h>
#include "source.h"

/* What one datagram was. */
enum nfq_kind {
	NFQ_PACKET,
	NFQ_ACK,     /* answer to a request that asked for one: r->error 0 or not, r->type its type */
	NFQ_REFUSED, /* a verdict that failed */
	NFQ_OTHER    /* not understood: skipped */
};

struct nfq_reply {
	enum nfq_kind kind;
	uint16_t type;               /* netlink type of the request answered */
	uint32_t seq;
	struct source_refusal refusal;
	bool has_id;                 /* NFQ_OTHER: a packet message too short or malformed, with a known id */
};

/*
 * Reads a message of len bytes of which the slot's pieces hold what fits. Packets are filled into p with
 * pointers into the slot.
 */
void nfq_parse(struct source_slot *slot, size_t len, struct ipq_packet *p, struct nfq_reply *r);

/* The longest verdict without payload. */
#define NFQ_VERDICT_MAX 192

/*
 * Writes a verdict for queue number queue into buf (NFQ_VERDICT_MAX bytes). The payload is not copied:
 * it goes behind, followed by *pad zeros. Returns the bytes written; nlmsg_len counts everything.
 */
size_t nfq_put_verdict(void *buf, uint16_t queue, const struct source_verdict *v, size_t *pad);

#define NFQ_PAYLOAD_MAX 65531 /* an attribute's length has 16 bits and counts its own 4-byte header */

#endif
