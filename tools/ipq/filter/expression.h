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

struct expression; /* opaque; any number of threads may read it */

/* A packet as rules test it. An action changes this data for the next rules. */
struct subject {
	const struct ipq_packet *packet;
	struct ipq_queue *queue; /* queue that reports the names of interfaces; NULL: no names are known */
	uint32_t mark;
	uint16_t queue_number;
	struct view *view; /* the packet's bytes */
};

/* Parses the text from c to its end. An empty text matches every packet. 0, -EINVAL with *c->e, -ENOMEM. */
int expression_parse(struct expression **out, struct cursor *c);
void expression_free(struct expression *x);

bool expression_match(const struct expression *x, struct subject *s);

/* Whether the expression has no predicate, so that every packet matches. */
bool expression_is_empty(const struct expression *x);
/* Whether the expression tests metadata, which a packet filter cannot do. */
bool expression_has_metadata(const struct expression *x);
/* IPQ_O_ flags that the predicates need. */
uint32_t expression_flags(const struct expression *x);
/* Whether the expression may match a TCP packet; whether a packet may match both expressions. */
bool expression_may_match_tcp(const struct expression *x);
bool expression_may_overlap(const struct expression *a, const struct expression *b);
/* Whether one packet may match a, and another packet of the same flow, in either direction, may match b. */
bool expression_may_share_flow(const struct expression *a, const struct expression *b);

/* The parts of a packet that are read by the packet filters of a set of expressions. */
struct expression_reach {
	bool transport;	 /* a packet with extension headers needs expression_match() */
	bool ipv4_only;	 /* an IPv6 packet needs expression_match() */
	bool everywhere; /* the filters read at computed offsets */
	bool unbounded;	 /* the programs are not exact, however many bytes the packet has */
	uint32_t bytes;	 /* bytes of a packet that are read, assuming the longest IPv4 header */
	uint32_t ipv4_transport,
		ipv6; /* bytes read from the IPv4 transport header on, and of an IPv6 packet */
};

/* Adds the parts that this expression reads. */
void expression_add_reach(const struct expression *x, struct expression_reach *reach);

/*
 * Compiles a program with three results. 1: the packet does not match. 0: the program would read past the end of
 * the packet. 2: the packet matches, if the expression has no metadata and the packet is plain (see
 * expression_is_plain). segmented: the kernel applies the program before packets are split, so their lengths may
 * differ. 0 or -ENOMEM.
 */
int expression_candidates(const struct expression *x, bool segmented, struct bpf_program *program);

/* Whether the programs of expression_candidates() are exact for this packet. */
static inline bool expression_is_plain(const struct expression_reach *reach, const struct view *v)
{
	return !reach->transport ||
	       (!v->extensions && (!reach->ipv4_only || v->len == 0 || v->data[0] >> 4 != 6));
}

/*
 * Compiles a program that matches the packets for which the programs of expression_candidates() are not exact, and
 * packets that are too short. 0 or -ENOMEM.
 */
int expression_doubtful(const struct expression_reach *reach, struct bpf_program *program);

#endif
