/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds the IP packet in a captured frame. Pure functions over bytes that have not been checked before.
 * https://www.tcpdump.org/linktypes.html describes the layouts.
 */
#ifndef CAPTURE_LINK_LAYER_H
#define CAPTURE_LINK_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;

/* The values of link types in capture files. */
enum frame_link_type {
	LINKTYPE_NULL = 0,
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_PPP = 9,
	LINKTYPE_PPP_HDLC = 50,
	LINKTYPE_PPP_ETHER = 51,
	LINKTYPE_RAW = 101,
	LINKTYPE_C_HDLC = 104,
	LINKTYPE_IEEE802_11 = 105,
	LINKTYPE_LOOP = 108,
	LINKTYPE_LINUX_SLL = 113,
	LINKTYPE_IEEE802_11_RADIOTAP = 127,
	LINKTYPE_PPP_PPPD = 166,
	LINKTYPE_PPP_WITH_DIR = 204,
	LINKTYPE_MPLS = 219,
	LINKTYPE_IPV4 = 228,
	LINKTYPE_IPV6 = 229,
	LINKTYPE_NFLOG = 239,
	LINKTYPE_LINUX_SLL2 = 276
};

struct frame_link {
	uint32_t type;
	uint16_t arphrd; /* ARPHRD_ type of the interface */
	bool (*parse)(const uint8_t *data, size_t len, struct frame *f);
};

struct frame {
	uint8_t family;		       /* AF_INET, AF_INET6; 0: no IP packet */
	uint16_t protocol;	       /* EtherType of the packet, after all tags and labels */
	uint16_t link_len;	       /* bytes before the IP header */
	uint16_t vlan_proto, vlan_tci; /* the outermost VLAN tag; vlan_proto 0: no tag */
	uint8_t hw_addr_len;
	uint8_t hw_addr[8];
	uint32_t payload_len; /* captured bytes of the IP packet, without padding of the frame */
	uint32_t full_len;    /* bytes of the IP packet */

	/*
	 * A 16-bit length field before the packet. It counts the bytes from offset length_base on. length_at 0:
	 * there is none.
	 */
	uint16_t length_at, length_base;
	bool length_is_little; /* the length field is little-endian; else big-endian */
	bool attributes;       /* NFLOG: attributes follow the packet, aligned to 4 bytes */
	uint8_t fcs_len;       /* bytes of frame check sequence at the end: 0 or 4 */
	uint16_t fcs_from;     /* offset of the first byte that the frame check sequence covers */
	/* maximum number of bytes of the packet in this frame; 0: up to the end of the frame */
	uint32_t limit;

	bool has_hook, has_mark; /* NFLOG: hook or mark are present */
	uint8_t hook;
	uint32_t mark;
};

/* Finds a link type. NULL: it is not supported. */
const struct frame_link *frame_link_find(uint32_t type);
/* Names of unsupported link types, for messages; "" if not known. */
const char *frame_link_name(uint32_t type);

/*
 * Parses a frame of which len bytes of full_len were captured. Returns false, with family 0, when it has no
 * IP packet that a firewall would see: another protocol, or less than the fixed part of an IP header.
 */
bool frame_parse(const struct frame_link *link, const uint8_t *data, size_t len, size_t full_len,
		 struct frame *f);

/* Whether this payload is a truncated packet with as many bytes as the truncated packet in the frame has. */
bool frame_is_cut(const struct frame *f, const uint8_t *payload, size_t len);

/*
 * Adapts a frame (len bytes at data) to another packet (payload). link: a copy of the link_len bytes before the
 * packet; a length field is adjusted. end: room for FRAME_END_MAX + len bytes; set to the bytes after the packet,
 * with a new frame check sequence. Returns their number.
 */
#define FRAME_END_MAX 8
size_t frame_change(const struct frame *f, uint8_t *link, const uint8_t *data, size_t len,
		    const uint8_t *payload, size_t payload_len, uint8_t *end);

#endif
