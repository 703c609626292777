/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a datagram of nfnetlink_log. Each message is parsed, and every pointer stays within the datagram. Then
 * the source reads the same datagram: it returns a packet for each one that the parser found, and its pointers stay
 * within the slot, which may be too small.
 *
 * Input: the size of the slot (two bytes), the datagram.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "nflog/messages.h"
#include "nflog/nflog.h"
#include "main.h"

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
	if (p->present & IPQ_HAS_PAYLOAD)
		look(p->payload, p->payload_len, start, size);
	if (p->present & IPQ_HAS_LINK_HEADER)
		look(p->link_header, p->link_header_len, start, size);
	if (p->present & IPQ_HAS_CONNTRACK)
		look(p->conntrack, p->conntrack_len, start, size);
	require(!(p->present & IPQ_HAS_HWADDR) || p->hw_addr_len <= sizeof(p->hw_addr));
	require(p->full_len == p->payload_len || (p->flags & IPQ_PACKET_TRUNCATED));
}

/* Parses all messages. Returns the number of packets. */
static unsigned parse_all(const uint8_t *data, size_t size)
{
	unsigned char *datagram = exact_copy(data, size);
	unsigned packets = 0;
	size_t at = 0;

	while (at < size) {
		struct nflog_message m;
		struct ipq_packet p;

		nflog_parse(datagram + at, size - at, &p, &m);
		require(m.len > 0 && m.len <= size - at);
		if (m.kind == NFLOG_PACKET) {
			look_at_packet(&p, datagram + at, m.len);
			packets++;
		}
		at += m.len;
	}
	free(datagram);
	return packets;
}

/* Opens the source. The other end of its socket, in this process, simulates the kernel. */
static struct source *open_source(int *kernel)
{
	struct ipq_error e;
	struct source *s;
	int pair[2];

	if (source_nflog.open(&s, "0", &e) < 0)
		return NULL;
	require(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	require(dup2(pair[0], source_nflog.fd(s)) >= 0);
	close(pair[0]);
	*kernel = pair[1];
	return s;
}

static void receive_all(const uint8_t *data, size_t size, size_t room, unsigned expected)
{
	static struct source *s;
	static int kernel;
	unsigned char *head = malloc(room);
	const struct iovec slot = { head, room };
	unsigned char noop[64];
	struct ipq_packet p;
	unsigned packets = 0;
	int n;

	if (s == NULL)
		s = open_source(&kernel);
	if (s == NULL || send(kernel, data, size, MSG_DONTWAIT) < 0) {
		free(head);
		return; /* this machine has no netlink, or the input is longer than a socket accepts */
	}
	while ((n = source_nflog.recv(s, &slot, &p, 1, 0, NULL, NULL)) != 0) {
		require(n == 1 || n == -ECANCELED);
		if (n < 0)
			continue; /* the source got the acknowledgement of a wake */
		look_at_packet(&p, head, room);
		packets++;
	}
	require(packets == expected);
	while (recv(kernel, noop, sizeof(noop), MSG_DONTWAIT) > 0)
		; /* read the source's NOOPs, which the simulated kernel does not answer */
	free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room;

	if (size < 3)
		return 0;
	room = (size_t)(data[0] << 8 | data[1]) + 1024;
	receive_all(data + 2, size - 2, room, parse_all(data + 2, size - 2));
	return 0;
}
