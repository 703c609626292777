/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <ipq_edit.h>
#include "util/bytes.h"
#include "watch/partial.h"

static uint32_t sum_words(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
	return sum;
}

bool is_checksum_partial(const struct ipq_packet *packet)
{
	struct ipq_edit e;
	uint32_t sum;

	if ((packet->present & IPQ_HAS_PAYLOAD) == 0 ||
	    ipq_edit_begin(&e, packet->payload, packet->payload_len, packet->payload_len, 0) < 0 ||
	    e.transport_error < 0 || e.checksum == 0 ||
	    (e.protocol != IPPROTO_TCP && e.protocol != IPPROTO_UDP))
		return false;
	sum = sum_words(e.data + (e.version == 4 ? 12 : 8), e.version == 4 ? 8 : 32) + e.protocol +
	      e.transport_len;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return get16(e.data + e.checksum) == sum;
}
