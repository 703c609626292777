/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <string.h>
#include "output/decode.h"
#include "util/bytes.h"

static void decode_transport(struct decoded *d, const uint8_t *p, uint32_t len)
{
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
	if (!d->fragment && header >= 20 && header <= len)
		decode_transport(d, p + header, len - header);
}

/* Steps over one extension header. Its length, or 0: none, or cut off. */
static uint32_t extension(struct decoded *d, const uint8_t *p, uint32_t len)
{
	uint32_t size;

	if (len < 8)
		return 0;
	switch (d->protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		size = (p[1] + 1U) * 8;
		break;
	case IPPROTO_AH:
		size = (p[1] + 2U) * 4;
		break;
	case IPPROTO_FRAGMENT:
		size = 8;
		d->fragment = (get16(p + 2) & 0xfff8) != 0;
		break;
	default:
		return 0;
	}
	if (size > len)
		return 0;
	d->protocol = p[0];
	return size;
}

static void decode_ipv6(struct decoded *d, const uint8_t *p, uint32_t len)
{
	uint32_t at = 40, step;

	if (len < 40)
		return;
	d->version = 6;
	d->protocol = p[6];
	d->source = p + 8;
	d->destination = p + 24;
	while (!d->fragment && (step = extension(d, p + at, len - at)) != 0)
		at += step;
	if (!d->fragment)
		decode_transport(d, p + at, len - at);
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
