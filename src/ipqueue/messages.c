// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ip_queue's messages in bytes. Numbers are in native byte order, so every access is a memcpy of
 * the right width; only offsets and the width of long and size_t depend on the program's word size.
 * The buffers need no alignment.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/messages.h"

/* Offsets that count from the end of the netlink header. */
struct shape {
	size_t word; /* sizeof(long) and sizeof(size_t) of the program */
	size_t mark, sec, usec, hook, indev, outdev, hw_protocol, hw_type, hw_addrlen, hw_addr, data_len;
	size_t packet;		/* size of struct ipq_packet_msg */
	size_t mode_range;	/* offset in struct ipq_mode_msg */
	size_t id, id_data_len; /* offsets in struct ipq_verdict_msg */
	size_t peer;		/* size of struct ipq_peer_msg */
};

static const struct shape shapes[] = {
	[WIRE_LP64] = { .word = 8,
			.mark = 8,
			.sec = 16,
			.usec = 24,
			.hook = 32,
			.indev = 36,
			.outdev = 52,
			.hw_protocol = 68,
			.hw_type = 70,
			.hw_addrlen = 72,
			.hw_addr = 73,
			.data_len = 88,
			.packet = 96,
			.mode_range = 8,
			.id = 8,
			.id_data_len = 16,
			.peer = 24 },
	[WIRE_ILP32] = { .word = 4,
			 .mark = 4,
			 .sec = 8,
			 .usec = 12,
			 .hook = 16,
			 .indev = 20,
			 .outdev = 36,
			 .hw_protocol = 52,
			 .hw_type = 54,
			 .hw_addrlen = 56,
			 .hw_addr = 57,
			 .data_len = 68,
			 .packet = 72,
			 .mode_range = 4,
			 .id = 4,
			 .id_data_len = 8,
			 .peer = 12 },
};

static void put16(unsigned char *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put32(unsigned char *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Writes a long or size_t of the program. A 32-bit program gets the low half, as in a C conversion. */
static void put_word(const struct shape *s, unsigned char *p, uint64_t v)
{
	if (s->word == 8)
		memcpy(p, &v, sizeof(v));
	else
		put32(p, (uint32_t)v);
}

static uint64_t get_word(const struct shape *s, const unsigned char *p)
{
	uint64_t v;

	if (s->word != 8)
		return get32(p);
	memcpy(&v, p, sizeof(v));
	return v;
}

static void put_header(unsigned char *p, size_t len, uint16_t type, uint16_t flags, uint32_t seq,
		       uint32_t pid)
{
	put32(p, (uint32_t)len);
	put16(p + 4, type);
	put16(p + 6, flags);
	put32(p + 8, seq);
	put32(p + 12, pid);
}

size_t wire_packet_head(enum wire_layout layout)
{
	return WIRE_NLHDR + shapes[layout].packet;
}

size_t wire_request_head(enum wire_layout layout)
{
	return WIRE_NLHDR + shapes[layout].peer;
}

size_t wire_put_packet(enum wire_layout layout, void *buf, const struct wire_packet *p, size_t payload_len)
{
	const struct shape *s = &shapes[layout];
	unsigned char *m = (unsigned char *)buf + WIRE_NLHDR;
	size_t len = WIRE_NLHDR + s->packet + payload_len;

	memset(m, 0, s->packet);
	put_header(buf, NLMSG_ALIGN(len), IPQM_PACKET, 0, 0, 0);
	put_word(s, m, p->packet_id);
	put_word(s, m + s->mark, p->mark);
	put_word(s, m + s->sec, (uint64_t)p->timestamp_sec);
	put_word(s, m + s->usec, (uint64_t)p->timestamp_usec);
	put32(m + s->hook, p->hook);
	memcpy(m + s->indev, p->indev, IFNAMSIZ);
	memcpy(m + s->outdev, p->outdev, IFNAMSIZ);
	put16(m + s->hw_protocol, htons(p->hw_protocol));
	put16(m + s->hw_type, p->hw_type);
	m[s->hw_addrlen] = p->hw_addrlen;
	memcpy(m + s->hw_addr, p->hw_addr, sizeof(p->hw_addr));
	put_word(s, m + s->data_len, payload_len);
	return len;
}

int wire_get_request(enum wire_layout layout, const void *buf, size_t len, struct wire_request *r)
{
	const struct shape *s = &shapes[layout];
	const unsigned char *h = buf, *m = h + WIRE_NLHDR;

	memset(r, 0, sizeof(*r));
	if (len < WIRE_NLHDR)
		return -EBADMSG;
	r->len = get32(h);
	r->type = get16(h + 4);
	r->flags = get16(h + 6);
	r->seq = get32(h + 8);
	r->pid = get32(h + 12);
	if (r->len < WIRE_NLHDR || r->len > len)
		return -EBADMSG;
	if (r->len < WIRE_NLHDR + s->peer)
		return -EINVAL;
	if (r->type == IPQM_MODE) {
		r->mode.value = m[0];
		r->mode.range = get_word(s, m + s->mode_range);
	} else if (r->type == IPQM_VERDICT) {
		r->verdict.value = get32(m);
		r->verdict.id = get_word(s, m + s->id);
		r->verdict.data_len = get_word(s, m + s->id_data_len);
		r->verdict.payload_len = r->len - WIRE_NLHDR - s->peer;
		if (r->verdict.payload_len > 0)
			r->verdict.payload = m + s->peer;
	}
	return 0;
}

size_t wire_put_mode(enum wire_layout layout, void *buf, uint32_t pid, uint8_t mode, uint64_t range)
{
	const struct shape *s = &shapes[layout];
	unsigned char *m = (unsigned char *)buf + WIRE_NLHDR;
	size_t len = WIRE_NLHDR + s->peer;

	memset(m, 0, s->peer);
	put_header(buf, len, IPQM_MODE, NLM_F_REQUEST, 0, pid);
	m[0] = mode;
	put_word(s, m + s->mode_range, range);
	return len;
}

size_t wire_put_verdict(enum wire_layout layout, void *buf, uint32_t pid, uint32_t value, uint64_t id,
			size_t payload_len)
{
	const struct shape *s = &shapes[layout];
	unsigned char *m = (unsigned char *)buf + WIRE_NLHDR;
	size_t len = WIRE_NLHDR + s->peer + payload_len;

	memset(m, 0, s->peer);
	put_header(buf, len, IPQM_VERDICT, NLM_F_REQUEST, 0, pid);
	put32(m, value);
	put_word(s, m + s->id, id);
	put_word(s, m + s->id_data_len, payload_len);
	return len;
}

size_t wire_put_error(void *buf, int error, uint32_t pid, const void *request, size_t quote)
{
	unsigned char *h = buf;
	size_t len = WIRE_NLHDR + sizeof(uint32_t) + quote;
	uint32_t seq = get32((const unsigned char *)request + 8);

	put_header(h, len, NLMSG_ERROR, 0, seq, pid);
	put32(h + WIRE_NLHDR, (uint32_t)-error);
	memcpy(h + WIRE_NLHDR + sizeof(uint32_t), request, quote);
	return len;
}
