/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads with a timeout in microseconds and has an alarm clock. Before it accepts packets, three reads must behave
 * as documented: a read that times out after the right time, a read that the alarm interrupts, and a read that does
 * not wait. So if traffic arrives, all three have passed.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static unsigned char buf[4096];

static void on_alarm(int sig)
{
	(void)sig;
}

static double now(void)
{
	struct timeval tv;

	gettimeofday(&tv, NULL);
	return tv.tv_sec + tv.tv_usec / 1e6;
}

/* Checks the timeouts. Called before there is any traffic. */
static int clock_works(struct ipq_handle *h)
{
	struct itimerval soon = { { 0, 0 }, { 0, 100000 } };
	double start = now(), took;
	ssize_t n = ipq_read(h, buf, sizeof(buf), 250000);

	took = now() - start;
	if (n != 0 || took < 0.24 || took > 2 || strcmp(ipq_errstr(), "Timeout") != 0) {
		fprintf(stderr, "timeout: %zd after %.3f s, %s\n", n, took, ipq_errstr());
		return 0;
	}
	setitimer(ITIMER_REAL, &soon, NULL);
	errno = 0;
	start = now();
	n = ipq_read(h, buf, sizeof(buf), 5000000);
	took = now() - start;
	if (n != 0 || errno != EINTR || took > 3) {
		fprintf(stderr, "alarm: %zd after %.3f s, errno %d\n", n, took, errno);
		return 0;
	}
	start = now();
	n = ipq_read(h, buf, sizeof(buf), -1);
	took = now() - start;
	if (n > 0 || took > 0.2) {
		fprintf(stderr, "no wait: %zd after %.3f s\n", n, took);
		return 0;
	}
	return 1;
}

int main(void)
{
	struct sigaction sa;
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_alarm;
	sigaction(SIGALRM, &sa, NULL);
	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 100) < 0) {
		ipq_perror("timeout");
		return 1;
	}
	if (!clock_works(h))
		return 1;
	puts("the clock works");
	fflush(stdout);
	for (;;) {
		ssize_t n = ipq_read(h, buf, sizeof(buf), 50000);

		if (n < 0)
			return 1;
		if (n > 0 && ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	}
}
