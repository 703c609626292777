/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <net/if_arp.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include <ipq_edit.h>
#include "filter/copies.h"
#include "filter/reject.h"

static bool queues(const struct worker *w, const struct ipq_packet *packet, unsigned hook)
{
	return w->session->hooks != 0 ? (w->session->hooks & 1U << hook) != 0 : packet->hook == hook;
}

/* Whether the answer stays on this machine. */
static bool is_local(struct worker *w, const struct ipq_packet *packet)
{
	uint16_t type = 0;

	if (packet->hook == NF_INET_LOCAL_OUT)
		return true;
	if ((packet->present & IPQ_HAS_INDEV) != 0)
		ipq_queue_interface(w->queue, packet->indev, &type);
	return type == ARPHRD_LOOPBACK;
}

/* The number of our hooks through which the answer passes. */
static int turns_of_answer(struct worker *w, const struct ipq_packet *packet)
{
	int turns = queues(w, packet, NF_INET_LOCAL_OUT) + queues(w, packet, NF_INET_POST_ROUTING);

	if (is_local(w, packet))
		turns += queues(w, packet, NF_INET_PRE_ROUTING) + queues(w, packet, NF_INET_LOCAL_IN);
	return turns;
}

/*
 * The source address of the answer. NULL: the address that the packet was sent to. A router answers from its own
 * address, and so does this machine if it has sent the packet itself.
 */
static const uint8_t *source_of_answer(const struct ipq_packet *packet, const struct decoded *d,
				       uint8_t own[16])
{
	if (!reject_is_icmp(d) || packet->hook == NF_INET_LOCAL_IN)
		return NULL;
	if (packet->hook == NF_INET_LOCAL_OUT)
		return d->source;
	return inject_own_address(d->source, d->version == 4 ? 4 : 16, own) ? own : NULL;
}

void send_answer(struct injector *in, struct worker *w, const struct ipq_packet *packet, struct view *view)
{
	const struct decoded *d = view_decode(view);
	uint8_t answer[REJECT_MAX], own[16];
	size_t n;

	if (in->ipv4 < 0 || d->version == 0)
		return;
	n = reject_answer(answer, d, view->data, view->len, view->full_len, source_of_answer(packet, d, own));
	if (n > 0)
		inject_send(in, answer, n,
			    (packet->present & IPQ_HAS_INDEV) != 0 ? packet->indev : packet->outdev,
			    turns_of_answer(w, packet));
}

bool send_copy(struct injector *in, struct worker *w, const struct ipq_packet *packet, const void *bytes,
	       size_t len)
{
	/*
	 * No rules are applied to the copy in OUTPUT, because the original packet has passed OUTPUT or, if it was
	 * forwarded, FORWARD. The same is true for POSTROUTING if the original packet is there now.
	 */
	int turns = queues(w, packet, NF_INET_LOCAL_OUT) + (packet->hook == NF_INET_POST_ROUTING);
	bool sent = false;
	uint8_t *copy;

	if (in->ipv4 < 0 || (packet->flags & IPQ_PACKET_TRUNCATED) != 0 || len < 20)
		return false;
	copy = malloc(len);
	if (copy == NULL)
		return false;
	memcpy(copy, bytes, len);
	if ((packet->flags & IPQ_PACKET_CHECKSUM_NOT_READY) == 0 || ipq_checksum_complete(copy, len) == 0)
		sent = inject_send(in, copy, len,
				   (packet->present & IPQ_HAS_OUTDEV) != 0 ? packet->outdev : 0, turns);
	free(copy);
	return sent;
}
