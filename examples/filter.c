/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filter PORT [SOURCE]: drops TCP and UDP packets to PORT, IPv4 and IPv6, and accepts all others, including packets
 * without a visible port (later fragments, encrypted packets).
 *
 *	iptables -A INPUT -j NFQUEUE --queue-num 0; ip6tables -A INPUT -j NFQUEUE --queue-num 0
 */
#include <errno.h>
#include <ipq.h>
#include <ipq_edit.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static struct ipq_queue *queue;

static void end(int signal)
{
	(void)signal;
	ipq_queue_wake(queue);
}

/* ipq_edit_begin() finds the transport header after options and extension headers. */
static bool goes_to(const struct ipq_packet *packet, unsigned port)
{
	struct ipq_edit e;
	const uint8_t *transport;

	/* Fails for a truncated packet. */
	if (!(packet->present & IPQ_HAS_PAYLOAD) ||
	    ipq_edit_begin(&e, packet->payload, packet->payload_len, packet->payload_len, packet->flags) <
		    0 ||
	    e.transport_error < 0)
		return false;
	if (e.protocol != IPPROTO_TCP && e.protocol != IPPROTO_UDP)
		return false;
	transport = e.data + e.transport;
	return (transport[2] << 8 | transport[3]) == (int)port;
}

int main(int argc, char **argv)
{
	unsigned port = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	char error[320];
	struct ipq_options options = { .size = sizeof(options), .error = error, .error_size = sizeof(error) };
	struct ipq_packet packet[64];
	int n;

	if (port == 0 || port > 65535) {
		fputs("usage: filter PORT [SOURCE]\n", stderr);
		return 2;
	}
	if (ipq_queue_open(&queue, argc > 2 ? argv[2] : NULL, &options) < 0) {
		fprintf(stderr, "filter: %s\n", error);
		return 1;
	}
	signal(SIGINT, end);
	signal(SIGTERM, end);
	while ((n = ipq_queue_recv(queue, packet, 64, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n; i++)
			(goes_to(&packet[i], port) ? ipq_drop : ipq_accept)(queue, &packet[i]);
	if (n != -ECANCELED && n != -ENODATA)
		fprintf(stderr, "filter: %s\n", ipq_queue_error(queue));
	ipq_queue_close(queue);
	return n != -ECANCELED && n != -ENODATA;
}
