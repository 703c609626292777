/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A message as nfnetlink_queue would send it, or as it never would. It is read in one piece and in two, cut
 * where the input says, and handed on as ip_queue's message in both ways. Whatever the bytes: every view lies
 * within what was received, both ways see the same packet, and a program that reads the classic message finds
 * the payload that the new API has.
 *
 * Input: where the memory is split, how long the classic reader's buffer is (two bytes each), the message.
 */
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include "classic/classic.h"
#include "nfqueue/messages.h"
#include "ipqueue/messages.h"
#include "main.h"
#include "packet_message.h"

#define HEADERS (NLMSG_HDRLEN + 4) /* of netlink and nfnetlink */
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

static void parse(struct source_slot *slot, size_t len, struct ipq_packet *p, struct nfq_reply *r)
{
	memset(p, 0xa5, sizeof(*p));
	nfq_parse(slot, len, p, r);
	if (r->kind != NFQ_PACKET)
		return;
	require(r->has_id && slot->payload_split <= p->payload_len);
	look_at_packet(p, slot->head, slot->head_room);
	look(p->payload, slot->payload_split, slot->head, slot->head_room);
	if (slot->tail == NULL)
		require(slot->payload_split == p->payload_len);
	else
		look(slot->tail, p->payload_len - slot->payload_split, slot->tail, slot->tail_room);
}

/* The classic message of p, in a buffer of room bytes; compared with the payload that was received. */
static void deliver(const struct source_slot *slot, const struct ipq_packet *p, unsigned char *buf,
		    size_t room, const unsigned char *payload)
{
	static const struct source_ops ops = { .name = "none", .interface = no_name };
	static struct source source = { .ops = &ops };
	static struct classic c = { .source = &source };
	struct wire_packet w;
	const void *data;
	size_t data_len;
	ssize_t n = classic_deliver(&c, slot, p, buf, room);

	if (room < HEAD) {
		require(n < 0);
		return;
	}
	require(n >= (ssize_t)HEAD && (size_t)n <= room);
	require(get_packet(WIRE_NATIVE, buf, (size_t)n, &w, &data, &data_len));
	require(w.packet_id == p->id && w.hook == p->hook && w.hw_protocol == p->hw_protocol);
	require(data_len == (p->payload_len < room - HEAD ? p->payload_len : room - HEAD));
	require(data_len == 0 || memcmp(data, payload, data_len) == 0);
}

static void in_one_piece(const uint8_t *message, size_t len, size_t room, struct ipq_packet *p,
			 struct nfq_reply *r)
{
	unsigned char *head = exact_copy(message, len), *buf = malloc(room + 1);
	struct source_slot slot = { .head = head, .head_room = len };

	require(buf != NULL);
	parse(&slot, len, p, r);
	if (r->kind == NFQ_PACKET)
		deliver(&slot, p, buf, room, p->payload);
	free(buf);
	free(head);
}

/* The kernel's order, which reading in two pieces builds upon: the payload comes once, and nothing behind it.
 */
static bool payload_is_last(const uint8_t *message, size_t len)
{
	uint32_t claimed;
	size_t at = HEADERS;
	struct nlattr a;

	memcpy(&claimed, message, sizeof(claimed));
	if (claimed < len)
		len = claimed;
	for (; at + NLA_HDRLEN <= len; at += NLA_ALIGN(a.nla_len)) {
		memcpy(&a, message + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN || (a.nla_type & NLA_TYPE_MASK) == NFQA_PAYLOAD)
			return a.nla_len >= NLA_HDRLEN && at + NLA_ALIGN(a.nla_len) + NLA_HDRLEN > len;
	}
	return true;
}

/* As a second reader of a handle receives: the tail is where the classic message will be. */
static void in_two_pieces(const uint8_t *message, size_t len, size_t split, size_t room,
			  const struct ipq_packet *whole, const struct nfq_reply *answer)
{
	size_t rest = len - split < room ? len - split : room;
	unsigned char *head = exact_copy(message, split), *buf = calloc(1, room + 1), *payload = NULL;
	struct source_slot slot = { .head = head, .head_room = split, .tail = buf, .tail_room = room };
	struct ipq_packet p;
	struct nfq_reply r;

	require(buf != NULL);
	memcpy(buf, message + split, rest);
	parse(&slot, split + rest, &p, &r);
	if (r.kind == NFQ_PACKET && rest == len - split && payload_is_last(message, len))
		require(answer->kind == NFQ_PACKET && p.id == whole->id && p.hook == whole->hook &&
			p.payload_len == whole->payload_len && p.full_len == whole->full_len);
	if (r.kind == NFQ_PACKET) {
		payload = malloc(p.payload_len + 1);
		require(payload != NULL);
		if (slot.payload_split > 0)
			memcpy(payload, p.payload, slot.payload_split);
		if (slot.payload_split < p.payload_len)
			memcpy(payload + slot.payload_split, buf, p.payload_len - slot.payload_split);
		deliver(&slot, &p, buf, room, payload);
	}
	free(payload);
	free(buf);
	free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipq_packet p;
	struct nfq_reply r;
	size_t split, room;

	if (size < 4 + HEADERS)
		return 0;
	split = (size_t)(data[0] << 8 | data[1]);
	room = (size_t)(data[2] << 8 | data[3]);
	data += 4;
	size -= 4;
	in_one_piece(data, size, room, &p, &r);
	/* Every caller's first piece takes the headers and much more: SOURCE_HEAD_MIN. */
	split = HEADERS + split % (size - HEADERS + 1);
	in_two_pieces(data, size, split, room, &p, &r);
	return 0;
}
