/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * many_cores FIRST COUNT: one queue and one thread per processor; they share nothing while they handle packets. The
 * mark of each packet is set to the number of its queue. SIGINT or SIGTERM ends the program.
 *
 *	iptables -A INPUT -p udp -j NFQUEUE --queue-balance 0:3
 *	./many_cores 0 4
 */
#include <inttypes.h>
#include <ipq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct worker {
	uint32_t number;
	uint64_t packets, bytes;
} __attribute__((aligned(64))); /* each in its own cache line */

/* Runs on the thread of the queue and uses only data of this worker. */
static int mark(struct ipq_queue *q, struct ipq_packet *packet, unsigned n, void *context)
{
	struct worker *w = context;
	struct ipq_verdict v = {
		.size = sizeof(v), .present = IPQ_SET_MARK, .code = IPQ_ACCEPT, .mark = w->number
	};

	for (unsigned i = 0; i < n; i++) {
		w->packets++;
		w->bytes += packet[i].full_len;
		if (ipq_decide(q, &packet[i], &v) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct worker worker[256];
	static void *context[256];
	char error[320] = "";
	struct ipq_options options = { .size = sizeof(options), .copy_range = 1 };
	struct ipq_group_options group_options = { .size = sizeof(group_options),
						   .pin = 1,
						   .queue = &options,
						   .error = error,
						   .error_size = sizeof(error) };
	struct ipq_group *group;
	sigset_t ends;
	int signal, err;

	group_options.first = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	group_options.count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
	if (group_options.count < 1 || group_options.count > 256)
		return 2;
	for (uint32_t i = 0; i < group_options.count; i++) {
		worker[i].number = group_options.first + i;
		context[i] = &worker[i];
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL); /* the threads inherit this: only sigwait() gets the signals */
	if (ipq_group_start(&group, &group_options, mark, context) < 0) {
		fprintf(stderr, "many_cores: %s\n", error);
		return 1;
	}
	sigwait(&ends, &signal);
	err = ipq_group_stop(group);
	for (uint32_t i = 0; i < group_options.count; i++)
		printf("queue %" PRIu32 ": %" PRIu64 " packets, %" PRIu64 " bytes\n", worker[i].number,
		       worker[i].packets, worker[i].bytes);
	return err < 0;
}
