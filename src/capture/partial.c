/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partial checksums. A capture on the sending host has TCP and UDP packets before the network card completes their
 * checksums: the field has the sum of the pseudo-header only, in some drivers without the length.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include "capture/state.h"
#include "util/bytes.h"

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The offset of the transport header, assuming that IPv6 has no extension headers; 0: a fragment of IPv4. */
static size_t transport_of(const struct frame *f, const uint8_t *ip)
{
	if (f->family == AF_INET6)
		return 40;
	return (get16(ip + 6) & 0x3fff) == 0 ? (ip[0] & 15U) * 4 : 0;
}

bool source_pcap_checksum_partial(const struct held *h)
{
	const struct frame *f = &h->frame;
	const uint8_t *ip = held_frame(h) + f->link_len, *address = ip + (f->family == AF_INET ? 12 : 8);
	uint8_t protocol = ip[f->family == AF_INET ? 9 : 6];
	size_t at = transport_of(f, ip), field = at + (protocol == IPPROTO_TCP ? 16 : 6);
	uint32_t sum = protocol, check, len = f->full_len - (uint32_t)at;

	if (at == 0 || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || f->payload_len < f->full_len ||
	    f->payload_len < field + 2)
		return false;
	for (size_t i = 0; i < (f->family == AF_INET ? 8 : 32); i += 2)
		sum += get16(address + i);
	check = get16(ip + field);
	return check != 0 && (check == fold(sum) || check == fold(sum + (len >> 16) + (len & 0xffff)));
}
