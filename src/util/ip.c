/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>

#include "util/bytes.h"
#include "util/ip.h"

enum {
	IPV4_HEADER = 20,
	IPV4_FRAGMENT_OFFSET = 0x1fff,
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV6_HEADER = 40,
	IPV6_FRAGMENT_OFFSET = 0xfff8,
	IPV6_MORE_FRAGMENTS = 1,
};

void ip_begin(struct ip_headers *h, const uint8_t *packet, size_t len)
{
	*h = (struct ip_headers){ 0 };
	if (len >= IPV4_HEADER && packet[0] >> 4 == 4) {
		unsigned fragment = get16(packet + 6);

		h->version = 4;
		h->protocol = packet[9];
		h->later_fragment = fragment & IPV4_FRAGMENT_OFFSET;
		h->fragment = fragment & (IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS);
		h->transport = (packet[0] & 15) * 4u;
		h->address = 12;
		h->address_len = 4;
	} else if (len >= IPV6_HEADER && packet[0] >> 4 == 6) {
		h->version = 6;
		h->protocol = packet[6];
		h->transport = IPV6_HEADER;
		h->address = 8;
		h->address_len = 16;
	}
}

/* The length of the extension header; 0: the header is not an extension header. */
static uint32_t extension_len(const struct ip_headers *h, const uint8_t *p)
{
	switch (h->protocol) {
	case IPPROTO_AH:
		return (p[1] + 2u) * 4;
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
	case IPPROTO_ROUTING:
		return h->version == 6 ? (p[1] + 1u) * 8 : 0;
	case IPPROTO_FRAGMENT:
		return h->version == 6 ? 8 : 0;
	default:
		return 0;
	}
}

uint32_t ip_skip(struct ip_headers *h, const uint8_t *packet, size_t len)
{
	static const uint8_t shortest[8];
	const uint8_t *p;
	size_t here;
	uint32_t n;

	/* A later fragment has no further header: the first fragment has it. */
	if (!h->version || h->later_fragment || h->transport > len ||
	    (h->version == 4 && h->transport < IPV4_HEADER))
		return 0;
	p = packet + h->transport;
	here = len - h->transport;
	n = extension_len(h, here < 8 ? shortest : p);
	h->cut = n > here;
	if (!n || h->cut)
		return 0;
	if (h->protocol == IPPROTO_AH)
		h->authenticated = true;
	if (h->protocol == IPPROTO_FRAGMENT) { /* offset 0 and no more fragments: complete (RFC 6946) */
		h->fragment_header = true;
		h->later_fragment = get16(p + 2) & IPV6_FRAGMENT_OFFSET;
		h->fragment = get16(p + 2) & (IPV6_FRAGMENT_OFFSET | IPV6_MORE_FRAGMENTS);
	}
	h->protocol = p[0];
	h->transport += n;
	return n;
}
