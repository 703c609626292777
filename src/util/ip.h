/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The headers of an IP packet before the transport header, also of a packet that is cut or malformed. */
#ifndef UTIL_IP_H
#define UTIL_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ip_headers {
	uint8_t version;      /* 4 or 6; 0: not an IP packet, and the other members are not valid */
	uint8_t protocol;     /* IPPROTO_ number of the header at `transport` */
	bool fragment;	      /* a first or a later fragment */
	bool later_fragment;  /* a later fragment: `transport` is the offset of its data */
	bool fragment_header; /* IPv6 with a fragment header */
	bool authenticated;   /* an Authentication Header was skipped */
	bool cut;	      /* an extension header ends beyond the packet */
	/* offset of the transport header; may be beyond the packet, or less than 20 in IPv4 */
	uint32_t transport;
	uint32_t address; /* offset of the source address; the destination address follows */
	uint32_t address_len;
};

/* Reads the network header. len: the bytes that are present. */
void ip_begin(struct ip_headers *h, const uint8_t *packet, size_t len);

/* Skips one extension header. Returns its length; 0: there is none, or it is truncated. */
uint32_t ip_skip(struct ip_headers *h, const uint8_t *packet, size_t len);

static inline void ip_skip_all(struct ip_headers *h, const uint8_t *packet, size_t len)
{
	while (ip_skip(h, packet, len))
		;
}

#endif
