/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a message of nfnetlink_queue. The complete message and a truncated one are parsed, and delivered as
 * ip_queue's message. Every pointer stays within the received bytes, and a program that reads the classic message
 * finds the same payload as with the new API.
 *
 * Input: the length of the truncated message and the length of the classic reader's buffer (two bytes each), then
 * the message.
 */
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include "classic/classic.h"
#include "nfqueue/messages.h"
#include "ipqueue/messages.h"
#include "main.h"
#include "packet_message.h"

#define HEADERS (NLMSG_HDRLEN + 4) /* bytes of the headers of netlink and nfnetlink */
#define HEAD (sizeof(ipq_packet_msg_t) + NLMSG_HDRLEN)

static int no_name(const struct source *s, uint32_t index, char name[16], uint16_t *type)
{
	(void)s;
	memset(name, 0, 16);
	*type = (uint16_t)index;
	return 0;
}

static volatile uint8_t sink;

static void look(const void *view, size_t len, const unsigned char *start, size_t size)
{
	const unsigned char *v = view;

	require(len == 0 || (v >= start && v + len <= start + size));
	for (size_t i = 0; i < len; i++)
		sink ^= v[i];
}

static void look_at_packet(const struct ipq_packet *p, const unsigned char *start, size_t size)
{
	if (p->present & IPQ_HAS_SECURITY_CONTEXT)
		look(p->security_context, p->security_context_len, start, size);
	if (p->present & IPQ_HAS_LINK_HEADER)
		look(p->link_header, p->link_header_len, start, size);
	if (p->present & IPQ_HAS_CONNTRACK)
		look(p->conntrack, p->conntrack_len, start, size);
	if (p->present & IPQ_HAS_EXPECTATION)
		look(p->expectation, p->expectation_len, start, size);
	require(!(p->present & IPQ_HAS_HWADDR) || p->hw_addr_len <= sizeof(p->hw_addr));
	require(!(p->present & IPQ_HAS_PAYLOAD) || p->full_len <= p->payload_len ||
		(p->flags & IPQ_PACKET_TRUNCATED));
}

/*
 * Delivers p as a classic message into a buffer of `room` bytes. Compares the message's payload with the received
 * one.
 */
static void deliver(const struct ipq_packet *p, unsigned char *buf, size_t room)
{
	static const struct source_ops ops = { .name = "none", .interface = no_name };
	static struct source source = { .ops = &ops };
	static struct classic c = { .source = &source };
	struct wire_packet w;
	const void *data;
	size_t data_len;
	ssize_t n = classic_deliver(&c, p, NULL, buf, room);

	if (room < HEAD) {
		require(n < 0);
		return;
	}
	require(n >= (ssize_t)HEAD && (size_t)n <= room);
	require(get_packet(WIRE_NATIVE, buf, (size_t)n, &w, &data, &data_len));
	require(w.packet_id == p->id && w.hook == p->hook && w.hw_protocol == p->hw_protocol);
	require(data_len == (p->payload_len < room - HEAD ? p->payload_len : room - HEAD));
	require(data_len == 0 || memcmp(data, p->payload, data_len) == 0);
}

static void receive(const uint8_t *message, size_t len, size_t room)
{
	unsigned char *received = exact_copy(message, len), *buf = malloc(room + 1);
	struct ipq_packet p;
	struct nfq_reply r;

	require(buf != NULL);
	memset(&p, 0xa5, sizeof(p));
	nfq_parse(received, len, &p, &r);
	if (r.kind == NFQ_PACKET) {
		require(r.has_id);
		look_at_packet(&p, received, len);
		look(p.payload, p.payload_len, received, len);
		deliver(&p, buf, room);
	}
	free(buf);
	free(received);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut, room;

	if (size < 4 + HEADERS)
		return 0;
	cut = (size_t)(data[0] << 8 | data[1]);
	room = (size_t)(data[2] << 8 | data[3]);
	data += 4;
	size -= 4;
	receive(data, size, room);
	receive(data, HEADERS + cut % (size - HEADERS + 1), room);
	return 0;
}
