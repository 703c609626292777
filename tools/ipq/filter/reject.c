/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <ipq_edit.h>
#include "filter/reject.h"
#include "util/bytes.h"

enum {
	IPV4_HEADER = 20,
	IPV6_HEADER = 40,
	TCP_HEADER = 20,
	ICMP_HEADER = 8,
	IPV4_ANSWER_MAX = 576, /* maximum length of an ICMP error: RFC 1812, section 4.3.2.3 */
	HOPS = 64,
	RST = IPQ_TCP_RST,
	SYN = IPQ_TCP_SYN,
	FIN = IPQ_TCP_FIN,
	ACK = IPQ_TCP_ACK
};

static bool is_all(const uint8_t *p, size_t n, uint8_t value)
{
	while (n > 0 && *p == value) {
		p++;
		n--;
	}
	return n == 0;
}

/* Whether both addresses belong to single hosts. */
static bool has_two_ends(const struct decoded *d)
{
	if (d->version == 4)
		return (d->destination[0] & 0xf0) != 0xe0 && !is_all(d->destination, 4, 0xff) &&
		       (d->source[0] & 0xf0) != 0xe0 && !is_all(d->source, 4, 0xff) &&
		       !is_all(d->source, 4, 0);
	return d->destination[0] != 0xff && d->source[0] != 0xff && !is_all(d->source, 16, 0);
}

static bool may_answer(const struct decoded *d)
{
	if (d->version == 0 || d->fragment || d->cut || !has_two_ends(d))
		return false;
	switch (d->protocol) {
	case IPPROTO_TCP:
		return d->tcp && (d->tcp_flags & RST) == 0;
	case IPPROTO_ICMP:
		return d->icmp && (d->icmp_type == ICMP_ECHO || d->icmp_type == ICMP_TIMESTAMP);
	case IPPROTO_ICMPV6:
		return d->icmp && d->icmp_type == ICMP6_ECHO_REQUEST;
	default:
		return true;
	}
}

bool reject_is_icmp(const struct decoded *d)
{
	return d->protocol != IPPROTO_TCP;
}

/* Writes the network header of an answer to the packet's sender. Returns its length. */
static size_t network_header(uint8_t *answer, const struct decoded *d, const uint8_t *source,
			     uint8_t protocol, size_t payload)
{
	if (d->version == 4) {
		memset(answer, 0, IPV4_HEADER);
		answer[0] = 0x45;
		put16(answer + 2, (unsigned)(IPV4_HEADER + payload));
		answer[6] = 0x40; /* the flag "do not fragment" */
		answer[8] = HOPS;
		answer[9] = protocol;
		memcpy(answer + 12, source, 4);
		memcpy(answer + 16, d->source, 4);
		return IPV4_HEADER;
	}
	memset(answer, 0, IPV6_HEADER);
	answer[0] = 0x60;
	put16(answer + 4, (unsigned)payload);
	answer[6] = protocol;
	answer[7] = HOPS;
	memcpy(answer + 8, source, 16);
	memcpy(answer + 24, d->source, 16);
	return IPV6_HEADER;
}

/* Writes a TCP reset (RFC 9293, section 3.10.7.1). */
static size_t reset(uint8_t *answer, const struct decoded *d, const uint8_t *p, uint32_t full_len)
{
	size_t header = network_header(answer, d, d->destination, IPPROTO_TCP, TCP_HEADER);
	uint32_t tcp_header = (p[d->transport + 12] >> 4) * 4U, after = full_len - d->transport;
	uint32_t text = after > tcp_header ? after - tcp_header : 0;
	uint8_t *tcp = answer + header;

	memset(tcp, 0, TCP_HEADER);
	put16(tcp, d->destination_port);
	put16(tcp + 2, d->source_port);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = RST;
	if ((d->tcp_flags & ACK) != 0) {
		put32(tcp + 4, d->acknowledgement);
	} else {
		tcp[13] |= ACK;
		put32(tcp + 8,
		      d->sequence + text + ((d->tcp_flags & SYN) != 0) + ((d->tcp_flags & FIN) != 0));
	}
	return header + TCP_HEADER;
}

static size_t unreachable(uint8_t *answer, const struct decoded *d, const uint8_t *p, uint32_t len,
			  const uint8_t *source)
{
	size_t max = d->version == 4 ? IPV4_ANSWER_MAX - IPV4_HEADER : REJECT_MAX - IPV6_HEADER;
	size_t quoted = len < max - ICMP_HEADER ? len : max - ICMP_HEADER;
	size_t header = network_header(answer, d, source, d->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				       ICMP_HEADER + quoted);
	uint8_t *icmp = answer + header;

	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = d->version == 4 ? ICMP_UNREACH : ICMP6_DST_UNREACH;
	icmp[1] = d->version == 4 ? ICMP_UNREACH_PORT : ICMP6_DST_UNREACH_NOPORT;
	memcpy(icmp + ICMP_HEADER, p, quoted);
	return header + ICMP_HEADER + quoted;
}

size_t reject_answer(uint8_t answer[REJECT_MAX], const struct decoded *d, const uint8_t *p, uint32_t len,
		     uint32_t full_len, const uint8_t *source)
{
	size_t n;

	if (!may_answer(d))
		return 0;
	n = reject_is_icmp(d) ? unreachable(answer, d, p, len, source != NULL ? source : d->destination)
			      : reset(answer, d, p, full_len);
	return ipq_checksum_complete(answer, n) == 0 ? n : 0;
}
