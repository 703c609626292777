/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of packets that stay valid after the next receive. */
#include <stdlib.h>
#include <string.h>
#include <ipq.h>

/* Copies len bytes to at and points *view to them. Returns the end of the copy. */
static uint8_t *append(uint8_t *at, const void *from, size_t len, const void **view)
{
	memcpy(at, from, len);
	*view = at;
	return at + len;
}

struct ipq_packet *ipq_packet_keep(const struct ipq_packet *packet)
{
	const struct ipq_packet *p = packet;
	size_t payload = p->present & IPQ_HAS_PAYLOAD ? p->payload_len : 0;
	struct ipq_packet *kept = malloc(sizeof(*kept) + payload + p->link_header_len +
					 p->security_context_len + p->conntrack_len + p->expectation_len + 8);
	const void *view;
	uint8_t *at;

	if (kept == NULL)
		return NULL;
	*kept = *p;
	at = (uint8_t *)(kept + 1);
	/* Attributes first: they are read as numbers, so they stay aligned to 4 bytes. */
	if (p->conntrack_len > 0)
		at = append(at, p->conntrack, p->conntrack_len, &kept->conntrack);
	at = (uint8_t *)(((uintptr_t)at + 3) & ~(uintptr_t)3);
	if (p->expectation_len > 0)
		at = append(at, p->expectation, p->expectation_len, &kept->expectation);
	if (p->link_header_len > 0) {
		at = append(at, p->link_header, p->link_header_len, &view);
		kept->link_header = view;
	}
	if (p->security_context_len > 0) {
		at = append(at, p->security_context, p->security_context_len, &view);
		kept->security_context = view;
	}
	kept->payload = at;
	if (payload > 0)
		memcpy(at, p->payload, payload);
	return kept;
}

void ipq_packet_free(struct ipq_packet *kept)
{
	free(kept);
}
