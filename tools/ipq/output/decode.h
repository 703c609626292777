/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values that a line about a packet shows, read from its bytes. */
#ifndef IPQ_OUTPUT_DECODE_H
#define IPQ_OUTPUT_DECODE_H

#include <stdbool.h>
#include <stdint.h>

struct decoded {
	uint8_t version;  /* 4 or 6; 0: not an IP packet, and the other members are not valid */
	uint8_t protocol; /* IPPROTO_ of the header after the extension headers */
	bool ports;	  /* source_port and destination_port are valid */
	bool tcp;	  /* tcp_flags, sequence, acknowledgement are valid, too */
	bool icmp;	  /* type and code are valid */
	/* a later fragment: protocol is known, but its header is in the first fragment */
	bool fragment;
	/* the packet has an IPv6 Fragment header; it has an Authentication Header */
	bool fragmented, authenticated;
	bool cut; /* the transport header is beyond len */
	/* offset of the transport header or, with fragment, of the fragment's data */
	uint32_t transport;
	const uint8_t *source, *destination; /* addresses of 4 or 16 bytes, inside the packet */
	uint16_t source_port, destination_port;
	uint8_t tcp_flags, icmp_type, icmp_code;
	uint32_t sequence, acknowledgement;
};

/* Decodes a packet. Never reads beyond len. Fields of headers that are truncated are not set. */
void decode(struct decoded *d, const uint8_t *p, uint32_t len);

/* The name of the protocol, such as "tcp"; NULL: no name is known. */
const char *decode_protocol(const struct decoded *d);

#endif
