/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The condition of a rule: predicates about a packet's metadata ("in eth0", "mark 7") and packet filters in the
 * language of pcap-filter(7), combined by and, or, not and parentheses.
 */
#ifndef IPQ_FILTER_EXPRESSION_H
#define IPQ_FILTER_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <ipq.h>
#include <pcap/pcap.h>
#include "filter/cursor.h"
#include "filter/view.h"

struct expression; /* opaque; read by any number of threads */

/* A packet as rules see it. An action changes it for the next rules. */
struct subject {
	const struct ipq_packet *packet;
	struct ipq_queue *queue; /* for the names of interfaces; NULL: none are known */
	uint32_t mark;
	uint16_t queue_number;
	struct view *view; /* its bytes */
};

/* Reads c up to the end of the text. An empty text matches every packet. 0, -EINVAL with *c->e, -ENOMEM. */
int expression_parse(struct expression **out, struct cursor *c);
void expression_free(struct expression *x);

bool expression_match(const struct expression *x, struct subject *s);

/* Has it no predicate, so that every packet matches? */
bool expression_is_empty(const struct expression *x);
/* Does it test metadata, which a packet filter cannot? */
bool expression_has_metadata(const struct expression *x);
/* IPQ_O_ flags that the predicates need. */
uint32_t expression_flags(const struct expression *x);
/* May it match a TCP packet? May a packet match both? */
bool expression_may_match_tcp(const struct expression *x);
bool expression_may_overlap(const struct expression *a, const struct expression *b);
/* May a packet match a, and another one of its flow, in either direction, match b? */
bool expression_may_share_flow(const struct expression *a, const struct expression *b);

/* The parts of a packet that the packet filters in a set of expressions read. */
struct expression_reach {
	bool transport;	 /* a packet with extension headers needs expression_match() */
	bool ipv4_only;	 /* an IPv6 packet needs expression_match() */
	bool everywhere; /* the filters read at computed offsets */
	bool unbounded;	 /* no length is enough for the programs to be exact */
	uint32_t bytes;	 /* bytes of a packet that are read, assuming the longest IPv4 header */
	uint32_t ipv4_transport,
		ipv6; /* bytes that are read from the IPv4 transport header on, and of an IPv6 packet */
};

/* Adds the parts that this expression reads. */
void expression_add_reach(const struct expression *x, struct expression_reach *reach);

/*
 * A program that returns 1 for packets that do not match, 0 if it would read past the end of the packet, and 2 for the
 * others: these match if the expression has no metadata and the packet is plain (see expression_is_plain). segmented:
 * the kernel sees packets before they are split, so that lengths may be different. 0 or -ENOMEM.
 */
int expression_candidates(const struct expression *x, bool segmented, struct bpf_program *program);

/* Are the programs of expression_candidates() exact for this packet? */
static inline bool expression_is_plain(const struct expression_reach *reach, const struct view *v)
{
	return !reach->transport ||
	       (!v->extensions && (!reach->ipv4_only || v->len == 0 || v->data[0] >> 4 != 6));
}

/*
 * A program that matches the packets for which those programs are not exact, and packets that are too short. 0 or
 * -ENOMEM.
 */
int expression_doubtful(const struct expression_reach *reach, struct bpf_program *program);

#endif
