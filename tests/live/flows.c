/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flows ACTION [OPTION...]: decides the flow of each packet of queue 0 until it is interrupted, then prints one line
 * with its counters.
 *
 *	accept | drop | mark    the verdict for each flow
 *	after=N                 only after N packets of the flow
 *	timeout=N               seconds
 *	conntrack               open with IPQ_O_CONNTRACK; exits with 77 if the kernel does not support it
 *	new                     end the decisions of an earlier run at once
 *	forget=N                forget all flows after N packets
 *	fork                    after each receive a child closes the queue and ends
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ipq.h>

static struct ipq_queue *q;

static void stop(int signo)
{
	(void)signo;
	ipq_queue_wake(q);
}

static unsigned long option(int argc, char **argv, const char *name)
{
	size_t len = strlen(name);

	for (int i = 2; i < argc; i++)
		if (strncmp(argv[i], name, len) == 0)
			return argv[i][len] == '=' ? strtoul(argv[i] + len + 1, NULL, 0) : 1;
	return 0;
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "flows: %s: %s (%s)\n", what, q != NULL ? ipq_queue_error(q) : "", strerror(-err));
	return 1;
}

static void fork_and_close(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		ipq_queue_close(q);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	char error[320] = "";
	struct ipq_options options = { .size = sizeof(options), .error = error, .error_size = sizeof(error) };
	struct ipq_flow_verdict v = { .size = sizeof(v), .code = IPQ_ACCEPT };
	struct ipq_flow_stats stats = { .size = sizeof(stats) };
	struct ipq_packet packet[64];
	unsigned long forget, seen = 0;
	int n, err = 0;

	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "drop") == 0)
		v.code = IPQ_DROP;
	if (strcmp(argv[1], "mark") == 0) {
		v.present = IPQ_SET_MARK;
		v.mark = 7;
	}
	v.after = (uint32_t)option(argc, argv, "after");
	v.timeout = (uint32_t)option(argc, argv, "timeout");
	forget = option(argc, argv, "forget");
	if (option(argc, argv, "conntrack"))
		options.flags |= IPQ_O_CONNTRACK;
	if (option(argc, argv, "new"))
		options.flags |= IPQ_O_FLOWS;
	n = ipq_queue_open(&q, "nfqueue:0", &options);
	if (n == -EOPNOTSUPP) {
		printf("skipped: %s\n", error);
		return 77;
	}
	if (n < 0)
		return fail(error, n);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	while ((n = ipq_queue_recv(q, packet, 64, IPQ_FOREVER)) >= 0) {
		for (int i = 0; i < n && err == 0; i++)
			err = ipq_decide_flow(q, &packet[i], &v);
		if (option(argc, argv, "fork"))
			fork_and_close();
		seen += (unsigned)n;
		if (forget > 0 && seen >= forget) {
			err = ipq_forget_flows(q);
			forget = 0;
		}
		if (err < 0)
			return fail("verdict", err);
	}
	if (n != -ECANCELED && n != -EINTR)
		return fail("receive", n);
	if (ipq_flow_stats(q, &stats) < 0)
		return fail("statistics", 0);
	printf("seen %lu keeper %" PRIu32 " flows %" PRIu64 " packets %" PRIu64 " came back %" PRIu64
	       ": %s\n",
	       seen, stats.keeper, stats.flows, stats.packets, stats.came_back, stats.why);
	ipq_queue_close(q);
	return 0;
}
