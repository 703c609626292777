/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ip_queue's messages in the program's buffer: reads messages, and writes those with packets and refusals. */
#include <endian.h>
#include <string.h>
#include "classic/classic.h"
#include "ipqueue/messages.h"
#include "util/bytes.h"
#include "util/clock.h"
#include "util/compiler.h"

#define TICK_NS 4000000 /* at least the resolution of the coarse clock */

__hot int ipq_message_type(const unsigned char *buf)
{
	struct nlmsghdr nlh;

	if (buf == NULL)
		return 0;
	memcpy(&nlh, buf, sizeof(nlh));
	return nlh.nlmsg_type;
}

__hot ipq_packet_msg_t *ipq_get_packet(const unsigned char *buf)
{
	return buf != NULL ? (ipq_packet_msg_t *)(uintptr_t)(buf + NLMSG_HDRLEN) : NULL;
}

int ipq_get_msgerr(const unsigned char *buf)
{
	int error;

	if (buf == NULL)
		return EINVAL;
	memcpy(&error, buf + NLMSG_HDRLEN, sizeof(error));
	return -error;
}

/* Copies as many bytes as fit, as recvfrom did. The program can still read the packet's id. */
__cold static ssize_t deliver_short(unsigned char *buf, size_t len, const void *message, size_t message_len)
{
	memcpy(buf, message, len < message_len ? len : message_len);
	return classic_fail(IPQ_ERR_RTRUNC, 0);
}

/* The time of a packet on any clock: the times are only compared with each other. */
static int64_t packet_time(const struct ipq_packet *p)
{
	return p->present & IPQ_HAS_TIMESTAMP ? p->timestamp : now_coarse_ns();
}

/* Writes the name and type of an interface. known: the interface of the last packet, or NULL. */
static void describe_interface(struct classic *c, uint32_t index, const struct ipq_packet *p,
			       struct known_interface *known, char name[IFNAMSIZ], uint16_t *type)
{
	int64_t time;

	if (known == NULL) {
		source_interface(c->source, index, name, type);
		return;
	}
	time = packet_time(p);
	if (known->index != index || (uint64_t)time - (uint64_t)known->time >= TICK_NS) {
		source_interface(c->source, index, known->name, &known->type);
		known->index = index;
		known->time = time;
	}
	memcpy(name, known->name, IFNAMSIZ);
	*type = known->type;
}

/* A packet message without its payload, in this process's word size, at any address. */
struct message {
	struct nlmsghdr nlh;
	ipq_packet_msg_t packet;
};
typedef struct message __attribute__((aligned(1))) message_anywhere;

static void describe(struct classic *c, const struct ipq_packet *p, struct known_interface *known,
		     message_anywhere *m)
{
	uint16_t type;

	m->nlh = (struct nlmsghdr){ .nlmsg_type = IPQM_PACKET };
	memset(&m->packet, 0, sizeof(m->packet));
	m->packet.packet_id = p->id;
	m->packet.mark = p->mark;
	m->packet.hook = p->hook;
	m->packet.hw_protocol = htobe16(p->hw_protocol);
	if (p->present & IPQ_HAS_TIMESTAMP) {
		m->packet.timestamp_sec = (long)(p->timestamp / 1000000000);
		m->packet.timestamp_usec = (long)(p->timestamp % 1000000000 / 1000);
	}
	if (p->present & IPQ_HAS_HWADDR) {
		m->packet.hw_addrlen = p->hw_addr_len;
		memcpy(m->packet.hw_addr, p->hw_addr, sizeof(p->hw_addr));
	}
	if (p->present & IPQ_HAS_INDEV) {
		describe_interface(c, p->indev, p, known, m->packet.indev_name, &type);
		m->packet.hw_type = type;
	}
	if (p->present & IPQ_HAS_OUTDEV)
		describe_interface(c, p->outdev, p, known != NULL ? known + 1 : NULL, m->packet.outdev_name,
				   &type);
}

__cold static ssize_t deliver_without_payload(struct classic *c, const struct ipq_packet *p,
					      unsigned char *buf, size_t len)
{
	message_anywhere m;

	describe(c, p, NULL, &m);
	m.nlh.nlmsg_len = sizeof(m);
	return deliver_short(buf, len, &m, sizeof(m));
}

ssize_t classic_deliver(struct classic *c, const struct ipq_packet *p, struct known_interface *known,
			unsigned char *buf, size_t len)
{
	size_t data_len = p->payload_len, whole, rounded;
	message_anywhere *m = (message_anywhere *)buf;

	count(&c->packets);
	if (unlikely(len < sizeof(*m)))
		return deliver_without_payload(c, p, buf, len);
	if (data_len > len - sizeof(*m))
		data_len = len - sizeof(*m);
	if (data_len > 0)
		memcpy(buf + sizeof(*m), p->payload, data_len);
	describe(c, p, known, m);
	m->packet.data_len = data_len;
	whole = sizeof(*m) + data_len;
	rounded = NLMSG_ALIGN(whole);
	if (unlikely(rounded > len)) /* the buffer has no room for the padding */
		rounded = whole;
	else if (rounded > whole)
		memset(buf + whole, 0, rounded - whole);
	m->nlh.nlmsg_len = (uint32_t)rounded;
	return (ssize_t)rounded;
}

void classic_put_mode(const struct classic *c, unsigned char request[CLASSIC_MODE_REQUEST], uint8_t mode,
		      size_t range)
{
	const uint32_t len = CLASSIC_MODE_REQUEST;

	memset(request, 0, CLASSIC_MODE_REQUEST);
	wire_put_mode(WIRE_NATIVE, request, c->public.local.nl_pid, mode, range);
	memcpy(request, &len, sizeof(len)); /* the field nlmsg_len */
}

/*
 * Writes ip_queue's NLMSG_ERROR, which quotes the request. It is as long as ip_queue's, but quotes a replacement
 * payload as zeros, because the payload was not stored.
 */
__cold ssize_t classic_deliver_refusal(struct classic *c, const struct source_refusal *r, unsigned char *buf,
				       size_t len)
{
	unsigned char request[CLASSIC_MODE_REQUEST], message[sizeof(request) + NLMSG_HDRLEN + 4];
	/*
	 * ENODEV: no queue is owned yet, so there is no such packet. EPERM: another program has taken the queue.
	 */
	int error = r->error == ENODEV ? ENOENT : r->error == EPERM && c->busy ? EBUSY : r->error;
	size_t n, quote = CLASSIC_MODE_REQUEST, zeros = r->mode ? 0 : r->payload_len;

	atomic_fetch_add(&c->refused, 1);
	if (r->mode)
		classic_put_mode(c, request, (uint8_t)r->code, (size_t)r->id);
	else
		quote = wire_put_verdict(WIRE_NATIVE, request, c->public.local.nl_pid, r->tag, r->id, zeros) -
			zeros;
	n = wire_put_error(message, error, c->public.local.nl_pid, request, quote);
	put_native32(message, (uint32_t)(n + zeros)); /* the field nlmsg_len */
	if (n > len)
		return deliver_short(buf, len, message, n);
	memcpy(buf, message, n);
	if (zeros > len - n)
		return classic_fail(IPQ_ERR_RTRUNC, 0);
	memset(buf + n, 0, zeros);
	return (ssize_t)(n + zeros);
}

__cold ssize_t classic_deliver_nothing(struct classic *c, unsigned char *buf, size_t len)
{
	unsigned char request[CLASSIC_MODE_REQUEST], message[NLMSG_HDRLEN + sizeof(struct nlmsgerr)];
	size_t n;

	classic_put_mode(c, request, c->mode, c->range);
	n = wire_put_error(message, 0, c->public.local.nl_pid, request, NLMSG_HDRLEN);
	if (n > len)
		return deliver_short(buf, len, message, n);
	memcpy(buf, message, n);
	return (ssize_t)n;
}
