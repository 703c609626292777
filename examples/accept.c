/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * accept [SOURCE]: accepts every packet and prints counters at the end (SIGINT, SIGTERM). The smallest complete
 * program: error messages, an orderly end, counters.
 *
 *	iptables -A INPUT -p icmp -j NFQUEUE --queue-num 0
 */
#include <errno.h>
#include <inttypes.h>
#include <ipq.h>
#include <signal.h>
#include <stdio.h>

static struct ipq_queue *queue;

static void end(int signal)
{
	(void)signal;
	ipq_queue_wake(queue); /* the only call that is allowed in a signal handler */
}

static void report(void)
{
	struct ipq_stats s = { .size = sizeof(s) };

	if (ipq_queue_stats(queue, &s) == 0)
		printf("%" PRIu64 " received, %" PRIu64 " accepted, %" PRIu64 " lost\n", s.received,
		       s.accepted, s.lost + s.queue_dropped);
}

int main(int argc, char **argv)
{
	char error[320];
	struct ipq_options options = {
		.size = sizeof(options), .flags = IPQ_O_META_ONLY, .error = error, .error_size = sizeof(error)
	};
	struct ipq_packet packet[64];
	int n, err;

	if (ipq_queue_open(&queue, argc > 1 ? argv[1] : NULL, &options) < 0) {
		fprintf(stderr, "accept: %s\n", error);
		return 1;
	}
	signal(SIGINT, end);
	signal(SIGTERM, end);
	while ((n = ipq_queue_recv(queue, packet, 64, IPQ_FOREVER)) >= 0)
		for (int i = 0; i < n; i++)
			ipq_accept(queue, &packet[i]);
	err = n;
	if (err != -ECANCELED && err != -ENODATA)
		fprintf(stderr, "accept: %s\n", ipq_queue_error(queue));
	ipq_queue_flush(queue);
	report();
	ipq_queue_close(queue);
	return err != -ECANCELED && err != -ENODATA;
}
