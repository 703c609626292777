/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A packet to edit, and random edits. */
#ifndef EDIT_RANDOM_H
#define EDIT_RANDOM_H

#include "edit_packets.h"
#include "ipq_edit.h"

static uint8_t packet[70000], copy[70000];

static int begin(struct ipq_edit *e, size_t len)
{
	return ipq_edit_begin(e, packet, len, sizeof(packet), 0);
}

/* Makes one edit of any kind with random values. */
static inline int random_edit(struct ipq_edit *e)
{
	uint8_t bytes[64];
	size_t at = random_below(e->payload_len + 1), len = random_below(e->payload_len - (uint32_t)at + 1);
	size_t address = e->version == 4 ? 4 : 16;

	random_fill(bytes, sizeof(bytes));
	switch (random_below(18)) {
	case 0:
		return ipq_edit_set_source(e, bytes, address);
	case 1:
		return ipq_edit_set_destination(e, bytes, address);
	case 2:
		return ipq_edit_set_ttl(e, bytes[0]);
	case 3:
		return ipq_edit_set_dscp(e, bytes[0] & 63);
	case 4:
		return ipq_edit_set_ecn(e, bytes[0] & 3);
	case 5:
		return ipq_edit_set_source_port(e, (uint16_t)be16(bytes));
	case 6:
		return ipq_edit_set_destination_port(e, (uint16_t)be16(bytes));
	case 7:
		return ipq_edit_set_icmp(e, bytes[0], bytes[1]);
	case 8:
		return ipq_edit_set_icmp_id(e, (uint16_t)be16(bytes));
	case 9:
		return ipq_edit_set_tcp_flags(e, be16(bytes) & 0x1ff, be16(bytes + 2) & 0x1ff);
	case 10:
		return ipq_edit_set_tcp_sequence(e, random32());
	case 11:
		return ipq_edit_set_tcp_acknowledgement(e, random32());
	case 12:
		return ipq_edit_set_tcp_window(e, (uint16_t)be16(bytes));
	case 13:
		return ipq_edit_set_tcp_option(e, (uint8_t)(2 + bytes[0] % 8), bytes, random_below(12));
	case 14:
		return ipq_edit_clear_tcp_option(e, (uint8_t)(2 + bytes[0] % 8));
	case 15: /* a frequent byte, so that it occurs several times in the payload */
		return ipq_edit_substitute(e, bytes, 1, bytes + 1, random_below(4));
	default:
		return ipq_edit_replace(e, at, len, bytes, random_below(sizeof(bytes)));
	}
}

#endif
