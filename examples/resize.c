/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * resize OLD NEW [SOURCE]: replaces OLD by NEW in TCP payload. The lengths may differ; sequence numbers of the
 * connections follow. Works on a queue and on a capture file (SOURCE is then pcap:IN,OUT).
 *
 *	iptables -A FORWARD -p tcp -j NFQUEUE --queue-num 0
 *
 * Both directions must pass, each packet once: on the machine that has the connections, use INPUT and OUTPUT instead
 * of FORWARD, and for loopback OUTPUT only.
 */
#include <errno.h>
#include <ipq.h>
#include <ipq_tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct ipq_queue *queue;
static struct ipq_tcp *tcp;

static void end(int signal)
{
	(void)signal;
	ipq_queue_wake(queue);
}

/* Replaces `before` by `after` in the TCP payload, also if this changes its length. */
static int resize(const struct ipq_packet *packet, const char *before, const char *after)
{
	static uint8_t buffer[65531]; /* the most that a verdict can carry */
	int result = IPQ_TCP_UNCHANGED;
	struct ipq_edit e;

	if (packet->payload_len <= sizeof(buffer)) {
		memcpy(buffer, packet->payload, packet->payload_len);
		if (ipq_edit_begin(&e, buffer, packet->payload_len, sizeof(buffer), packet->flags) == 0)
			result = ipq_tcp_substitute(tcp, &e, 0, before, strlen(before), after, strlen(after));
	}
	if (result == IPQ_TCP_CHANGED)
		return ipq_replace(queue, packet, e.data, e.len);
	return result == IPQ_TCP_DROP ? ipq_drop(queue, packet) : ipq_accept(queue, packet);
}

int main(int argc, char **argv)
{
	char error[320];
	/* IPQ_O_SEGMENT: a packet is one segment, as it is on the wire. */
	struct ipq_options options = {
		.size = sizeof(options), .flags = IPQ_O_SEGMENT, .error = error, .error_size = sizeof(error)
	};
	struct ipq_tcp_options tcp_options = { .size = sizeof(tcp_options) };
	struct ipq_packet packet[64];
	int n;

	if (argc < 3 || *argv[1] == '\0') {
		fputs("usage: resize OLD NEW [SOURCE]\n", stderr);
		return 2;
	}
	if (ipq_queue_open(&queue, argc > 3 ? argv[3] : NULL, &options) < 0) {
		fprintf(stderr, "resize: %s\n", error);
		return 1;
	}
	if (argc > 3 && strncmp(argv[3], "pcap:", 5) == 0)
		tcp_options.flags = IPQ_TCP_RECORDED;
	if (ipq_tcp_open(&tcp, &tcp_options) < 0)
		return 1;
	signal(SIGINT, end);
	signal(SIGTERM, end);
	while ((n = ipq_queue_recv(queue, packet, 64, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n; i++)
			if (resize(&packet[i], argv[1], argv[2]) < 0)
				fprintf(stderr, "resize: %s\n", ipq_queue_error(queue));
	ipq_queue_close(queue);
	ipq_tcp_close(tcp);
	return n != -ECANCELED && n != -ENODATA;
}
