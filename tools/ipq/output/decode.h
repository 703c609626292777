/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values that a line about a packet shows, read from its bytes. */
#ifndef IPQ_OUTPUT_DECODE_H
#define IPQ_OUTPUT_DECODE_H

#include <stdbool.h>
#include <stdint.h>

struct decoded {
	uint8_t version;		/* 4 or 6; 0: not an IP packet, nothing below is valid */
	uint8_t protocol;		/* IPPROTO_ of the header after the extension headers */
	bool ports;			/* source_port and destination_port are valid */
	bool tcp;			/* tcp_flags, sequence, acknowledgement are valid, too */
	bool icmp;			/* type and code are valid */
	bool fragment;			/* a later fragment: protocol is known; its header is in the first */
	bool fragmented, authenticated; /* there is a Fragment header of IPv6, an Authentication Header */
	bool cut;			/* the transport header is beyond len */
	uint32_t transport;		/* its offset; with fragment, of the data */
	const uint8_t *source, *destination; /* 4 or 16 bytes, inside the packet */
	uint16_t source_port, destination_port;
	uint8_t tcp_flags, icmp_type, icmp_code;
	uint32_t sequence, acknowledgement;
};

/* Decodes a packet. Never reads beyond len; fields of headers that are cut off are not set. */
void decode(struct decoded *d, const uint8_t *p, uint32_t len);

/* The name of the protocol: "tcp", "udp", ...; NULL: none is known. */
const char *decode_protocol(const struct decoded *d);

#endif
