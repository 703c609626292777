/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ten decisions of bench/filter.c, programmed on <ipq.h> as an alternative to "ipq filter". Like "ipq filter",
 * the program copies only the bytes that the decisions need.
 */
#include <arpa/inet.h>
#include <ipq.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BATCH 64

struct headers {
	/* ports: the packet is not a later fragment, and is long enough for the fields that the rules read */
	bool v4, ports;
	uint8_t protocol, tcp_flags;
	uint32_t source, destination; /* if v4 */
	uint16_t source_port, destination_port;
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void read_headers(struct headers *h, const uint8_t *p, uint32_t len)
{
	uint32_t at = 40;

	memset(h, 0, sizeof(*h));
	if (len >= 20 && p[0] >> 4 == 4) {
		h->v4 = true;
		h->protocol = p[9];
		h->source = be32(p + 12);
		h->destination = be32(p + 16);
		at = (p[0] & 15u) * 4;
		if ((be16(p + 6) & 0x1fff) != 0)
			return;
	} else if (len >= 40 && p[0] >> 4 == 6) {
		h->protocol = p[6];
	} else {
		return;
	}
	if (h->protocol == IPPROTO_UDP ? len < at + 4 : h->protocol != IPPROTO_TCP || len < at + 14)
		return;
	h->ports = true;
	h->source_port = be16(p + at);
	h->destination_port = be16(p + at + 2);
	h->tcp_flags = h->protocol == IPPROTO_TCP ? p[at + 13] : 0;
}

enum decision { DROP, ACCEPT, MARK };

static enum decision decide(const struct ipq_packet *packet)
{
	struct headers h;
	bool tcp, udp;

	read_headers(&h, packet->payload, packet->payload_len);
	tcp = h.ports && h.protocol == IPPROTO_TCP;
	udp = h.ports && h.protocol == IPPROTO_UDP;
	if (tcp && h.destination_port == 23)
		return DROP;
	if (udp && h.destination_port == 9010)
		return DROP;
	if (h.v4 && h.protocol == IPPROTO_ICMP)
		return DROP;
	if (h.v4 && h.source >> 8 == 0xc00002) /* network 192.0.2.0/24 */
		return DROP;
	if (tcp && h.destination_port == 25 && !(h.v4 && h.source >> 24 == 10))
		return DROP;
	if (udp && h.source_port == 53 && packet->full_len >= 1000)
		return DROP;
	if (tcp && h.v4 && (h.tcp_flags & 2) != 0 && h.destination_port == 8080)
		return DROP;
	if (udp && h.destination_port == 9011)
		return MARK;
	if (h.v4 && h.destination == 0xcb007109) /* address 203.0.113.9 */
		return DROP;
	return ACCEPT;
}

static int give(struct ipq_queue *q, const struct ipq_packet *packet)
{
	static const struct ipq_verdict mark = {
		.size = sizeof(mark), .present = IPQ_SET_MARK, .code = IPQ_ACCEPT, .mark = 7
	};

	switch (decide(packet)) {
	case DROP:
		return ipq_drop(q, packet);
	case MARK:
		return ipq_decide(q, packet, &mark);
	default:
		return ipq_accept(q, packet);
	}
}

int main(void)
{
	char error[320] = "";
	struct ipq_options options = {
		.size = sizeof(options), .copy_range = 128, .error = error, .error_size = sizeof(error)
	};
	struct ipq_packet packet[BATCH];
	struct ipq_queue *q;
	int n, err = 0;

	if (ipq_queue_open(&q, "nfqueue:0", &options) < 0) {
		fprintf(stderr, "consume-filter: %s\n", error);
		return 1;
	}
	while (err >= 0 && (n = ipq_queue_recv(q, packet, BATCH, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n && err >= 0; i++)
			err = give(q, &packet[i]);
	fprintf(stderr, "consume-filter: %s\n", ipq_queue_error(q));
	ipq_queue_close(q);
	return 1;
}
