/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <string.h>
#include "output/decode.h"
#include "util/bytes.h"

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

/* Steps over one extension header. Its length, or 0: this is none, or it is cut. */
static uint32_t extension(struct decoded *d, const uint8_t *p, uint32_t len)
{
	uint32_t size;

	switch (d->protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_FRAGMENT:
		if (d->version != 6)
			return 0;
		break;
	case IPPROTO_AH:
		break;
	default:
		return 0;
	}
	d->cut = len < 8;
	if (d->cut)
		return 0;
	size = d->protocol == IPPROTO_AH	 ? (p[1] + 2U) * 4
	       : d->protocol == IPPROTO_FRAGMENT ? 8
						 : (p[1] + 1U) * 8;
	d->cut = size > len;
	if (d->cut)
		return 0;
	d->authenticated |= d->protocol == IPPROTO_AH;
	if (d->protocol == IPPROTO_FRAGMENT) {
		d->fragmented = true;
		d->fragment = (get16(p + 2) & 0xfff8) != 0;
	}
	d->protocol = p[0];
	return size;
}

/* A later fragment continues what the first one began: it has no further header. */
static void skip_extensions(struct decoded *d, const uint8_t *p, uint32_t len)
{
	uint32_t step;

	while (!d->fragment && d->transport <= len &&
	       (step = extension(d, p + d->transport, len - d->transport)) != 0)
		d->transport += step;
}

static void decode_ipv4(struct decoded *d, const uint8_t *p, uint32_t len)
{
	uint32_t header;

	if (len < 20)
		return;
	header = (p[0] & 15U) * 4;
	d->version = 4;
	d->protocol = p[9];
	d->source = p + 12;
	d->destination = p + 16;
	d->fragment = (get16(p + 6) & 0x1fff) != 0;
	d->transport = header;
	if (header < 20)
		return;
	if (d->protocol == IPPROTO_AH && !d->fragment)
		skip_extensions(d, p, len);
	decode_transport(d, p, len);
}

static void decode_ipv6(struct decoded *d, const uint8_t *p, uint32_t len)
{
	if (len < 40)
		return;
	d->version = 6;
	d->protocol = p[6];
	d->source = p + 8;
	d->destination = p + 24;
	d->transport = 40;
	skip_extensions(d, p, len);
	decode_transport(d, p, len);
}

void decode(struct decoded *d, const uint8_t *p, uint32_t len)
{
	memset(d, 0, sizeof(*d));
	if (len == 0)
		return;
	if (p[0] >> 4 == 4)
		decode_ipv4(d, p, len);
	else if (p[0] >> 4 == 6)
		decode_ipv6(d, p, len);
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
