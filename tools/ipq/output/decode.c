/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <string.h>
#include "output/decode.h"
#include "util/bytes.h"
#include "util/ip.h"

static void decode_transport(struct decoded *d, const uint8_t *p, uint32_t len)
{
	if (d->fragment || d->cut || d->transport > len)
		return;
	p += d->transport;
	len -= d->transport;
	switch (d->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		d->ports = len >= 4;
		if (d->ports) {
			d->source_port = get16(p);
			d->destination_port = get16(p + 2);
		}
		d->tcp = d->protocol == IPPROTO_TCP && len >= 14;
		if (d->tcp) {
			d->sequence = get32(p + 4);
			d->acknowledgement = get32(p + 8);
			d->tcp_flags = p[13];
		}
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		d->icmp = len >= 2;
		if (d->icmp) {
			d->icmp_type = p[0];
			d->icmp_code = p[1];
		}
		break;
	default:
		break;
	}
}

void decode(struct decoded *d, const uint8_t *p, uint32_t len)
{
	struct ip_headers h;

	memset(d, 0, sizeof(*d));
	ip_begin(&h, p, len);
	if (h.version == 0)
		return;
	ip_skip_all(&h, p, len);
	d->version = h.version;
	d->protocol = h.protocol;
	d->fragment = h.later_fragment;
	d->fragmented = h.fragment_header;
	d->authenticated = h.authenticated;
	d->cut = h.cut;
	d->transport = h.transport;
	d->source = p + h.address;
	d->destination = d->source + h.address_len;
	if (h.version == 6 || h.transport >= 20)
		decode_transport(d, p, len);
}

const char *decode_protocol(const struct decoded *d)
{
	static const struct {
		uint8_t number;
		const char *name;
	} names[] = {
		{ IPPROTO_TCP, "tcp" },		{ IPPROTO_UDP, "udp" },	  { IPPROTO_ICMP, "icmp" },
		{ IPPROTO_ICMPV6, "icmp6" },	{ IPPROTO_SCTP, "sctp" }, { IPPROTO_DCCP, "dccp" },
		{ IPPROTO_UDPLITE, "udplite" }, { IPPROTO_GRE, "gre" },	  { IPPROTO_ESP, "esp" },
		{ IPPROTO_AH, "ah" },		{ IPPROTO_IGMP, "igmp" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == d->protocol)
			return names[i].name;
	return NULL;
}
