/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite OLD NEW [SOURCE]: replaces OLD by NEW in the payload of UDP packets. The lengths may differ; the library
 * adjusts UDP and IP lengths and checksums. Packets that cannot be changed correctly (fragments, encrypted packets)
 * are dropped, so that OLD never passes.
 *
 *	iptables -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0
 */
#include <errno.h>
#include <ipq.h>
#include <ipq_edit.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct ipq_queue *queue;

static void end(int signal)
{
	(void)signal;
	ipq_queue_wake(queue);
}

static int rewrite(const struct ipq_packet *packet, const char *before, const char *after)
{
	static uint8_t buffer[65536];
	struct ipq_edit e;
	int n;

	if (packet->payload_len > sizeof(buffer))
		return ipq_drop(queue, packet);
	memcpy(buffer, packet->payload, packet->payload_len);
	if (ipq_edit_begin(&e, buffer, packet->payload_len, sizeof(buffer), packet->flags) < 0)
		return ipq_drop(queue, packet);
	if (e.protocol != IPPROTO_UDP)
		return ipq_accept(queue, packet);
	n = ipq_edit_substitute(&e, before, strlen(before), after, strlen(after));
	if (n == 0)
		return ipq_accept(queue, packet);
	if (n < 0)
		return ipq_drop(queue, packet);
	return ipq_replace(queue, packet, e.data,
			   e.len); /* copies the bytes, so the buffer can be used again */
}

int main(int argc, char **argv)
{
	char error[320];
	/* With IPQ_O_SEGMENT no packet is longer than a device's MTU, so that a verdict can always contain it. */
	struct ipq_options options = {
		.size = sizeof(options), .flags = IPQ_O_SEGMENT, .error = error, .error_size = sizeof(error)
	};
	struct ipq_packet packet[64];
	int n;

	if (argc < 3 || *argv[1] == '\0') {
		fputs("usage: rewrite OLD NEW [SOURCE]\n", stderr);
		return 2;
	}
	if (ipq_queue_open(&queue, argc > 3 ? argv[3] : NULL, &options) < 0) {
		fprintf(stderr, "rewrite: %s\n", error);
		return 1;
	}
	signal(SIGINT, end);
	signal(SIGTERM, end);
	while ((n = ipq_queue_recv(queue, packet, 64, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n; i++)
			if (rewrite(&packet[i], argv[1], argv[2]) < 0)
				fprintf(stderr, "rewrite: %s\n", ipq_queue_error(queue));
	if (n != -ECANCELED && n != -ENODATA)
		fprintf(stderr, "rewrite: %s\n", ipq_queue_error(queue));
	ipq_queue_close(queue);
	return n != -ECANCELED && n != -ENODATA;
}
