/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the IP packet lies in a captured frame, for the link types that a capture of IP traffic has.
 * Pure functions over bytes that nobody has checked before.
 */
#ifndef CAPTURE_LINK_LAYER_H
#define CAPTURE_LINK_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;

/* As they stand in files. */
enum frame_link_type {
	LINKTYPE_NULL = 0,
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_RAW = 101,
	LINKTYPE_LOOP = 108,
	LINKTYPE_LINUX_SLL = 113,
	LINKTYPE_IPV4 = 228,
	LINKTYPE_IPV6 = 229,
	LINKTYPE_LINUX_SLL2 = 276
};

struct frame_link {
	uint32_t type;
	uint16_t arphrd; /* ARPHRD_ type of the interface */
	bool (*parse)(const uint8_t *data, size_t len, struct frame *f);
};

struct frame {
	uint8_t family;		       /* AF_INET, AF_INET6; 0: no IP packet */
	uint16_t protocol;	       /* EtherType behind all tags */
	uint16_t link_len;	       /* bytes before the IP header */
	uint16_t vlan_proto, vlan_tci; /* the outermost tag; vlan_proto 0: none */
	uint8_t hw_addr_len;
	uint8_t hw_addr[8];
	uint32_t payload_len; /* bytes of the IP packet that were captured, without what pads the frame */
	uint32_t full_len;    /* bytes that the IP packet had */
};

/* NULL when the link type is not one of ours. */
const struct frame_link *frame_link_find(uint32_t type);
/* What others are called, for messages: " (NAME)" or "". */
const char *frame_link_name(uint32_t type);

/*
 * Reads the headers of a frame of which len bytes of full_len were captured. False, with family 0, when
 * it holds no IP packet that a kernel would show its firewall: another protocol, or less than the fixed
 * part of an IP header of the right version.
 */
bool frame_parse(const struct frame_link *link, const uint8_t *data, size_t len, size_t full_len,
		 struct frame *f);

#endif
