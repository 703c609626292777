/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * leave_flows NAME [SOURCE]: drops connections whose first 8 packets contain NAME, for example in HTTP's Host header or
 * the server name of TLS. Later packets of other connections are not inspected, and with these rules the kernel does
 * not queue them.
 *
 *	ipq rules --flows --on FORWARD -- -p tcp | iptables-restore -n
 */
#include <errno.h>
#include <inttypes.h>
#include <ipq.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct ipq_queue *queue;

static void end(int signal)
{
	(void)signal;
	ipq_queue_wake(queue);
}

static int has_text(const struct ipq_packet *packet, const char *text)
{
	size_t len = strlen(text);

	for (size_t at = 0; at + len <= packet->payload_len; at++)
		if (memcmp(packet->payload + at, text, len) == 0)
			return 1;
	return 0;
}

static void report(void)
{
	struct ipq_flow_stats s = { .size = sizeof(s) };

	if (ipq_flow_stats(queue, &s) == 0)
		printf("%" PRIu64 " flows decided, kept by %s (%s)\n", s.decided,
		       s.keeper == IPQ_FLOWS_LIBRARY ? "the library" : "the kernel", s.why);
}

int main(int argc, char **argv)
{
	const struct ipq_flow_verdict leave = { .size = sizeof(leave), .code = IPQ_ACCEPT, .after = 8 };
	char error[320];
	struct ipq_options options = { .size = sizeof(options), .error = error, .error_size = sizeof(error) };
	struct ipq_packet packet[64];
	int n;

	if (argc < 2) {
		fputs("Usage: leave_flows NAME [SOURCE]\n", stderr);
		return 2;
	}
	if (ipq_queue_open(&queue, argc > 2 ? argv[2] : NULL, &options) < 0) {
		fprintf(stderr, "leave_flows: %s\n", error);
		return 1;
	}
	signal(SIGINT, end);
	signal(SIGTERM, end);
	while ((n = ipq_queue_recv(queue, packet, 64, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n; i++)
			if (has_text(&packet[i], argv[1]))
				ipq_drop_flow(queue, &packet[i]);
			else
				ipq_decide_flow(queue, &packet[i], &leave);
	if (n != -ECANCELED && n != -ENODATA)
		fprintf(stderr, "leave_flows: %s\n", ipq_queue_error(queue));
	ipq_queue_flush(queue);
	report();
	ipq_queue_close(queue);
	return n != -ECANCELED && n != -ENODATA;
}
