/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A packet in the form that is passed to packet filters. libpcap's code for "tcp port 23" does not skip the
 * extension headers of IPv6, nor an Authentication Header, and its code for "tcp[13]" handles IPv4 only. So the
 * code runs on a copy of the packet that has none of these headers, or an IPv4 header in their place.
 */
#ifndef IPQ_FILTER_VIEW_H
#define IPQ_FILTER_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include "output/decode.h"

enum view_header {
	VIEW_NONE,
	VIEW_PLAIN, /* the network header without extension headers */
	VIEW_IPV4   /* an IPv4 header in place of the network header */
};

#define VIEW_HEADER_MAX 60

/* The data of a packet in this form. It belongs to one thread. */
struct view {
	const uint8_t *data; /* the original packet */
	uint32_t len, full_len;
	bool extensions; /* something is between the network header and the transport header */
	bool decoded, copied;
	struct decoded d;
	enum view_header header; /* the kind of header that is now in `bytes` */
	uint32_t header_len, transport_len;
	/* the header, and from VIEW_HEADER_MAX on the transport header */
	uint8_t bytes[VIEW_HEADER_MAX + 65536];
};

/* Whether the packet has extension headers, or the like, between network header and transport header. */
static inline bool view_has_extensions(const uint8_t *data, uint32_t len)
{
	if (len < 20)
		return false;
	if (data[0] >> 4 == 4)
		return data[9] == IPPROTO_AH;
	return data[0] >> 4 == 6 &&
	       (data[6] == IPPROTO_HOPOPTS || data[6] == IPPROTO_ROUTING || data[6] == IPPROTO_FRAGMENT ||
		data[6] == IPPROTO_DSTOPTS || data[6] == IPPROTO_AH);
}

/* Sets another packet. full_len: its length before it was truncated. */
static inline void view_set(struct view *v, const uint8_t *data, uint32_t len, uint32_t full_len)
{
	v->data = data;
	v->len = len;
	v->full_len = full_len;
	v->extensions = view_has_extensions(data, len);
	v->decoded = v->copied = false;
}

/* Decodes the headers: their offsets and fields. */
const struct decoded *view_decode(struct view *v);

/* Whether the program matches the original packet. */
bool view_match_packet(const struct view *v, const struct bpf_program *program);
/* Whether the program matches the packet with a network header of this kind. */
bool view_match(struct view *v, const struct bpf_program *program, enum view_header header);
/*
 * Whether the program would match if this were the protocol, and the bytes after the network header were unknown.
 */
bool view_match_protocol(struct view *v, const struct bpf_program *program, uint8_t protocol);

#endif
