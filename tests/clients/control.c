/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A firewall of one rule whose policy changes while it runs. It calls select on two descriptors, the queue's and
 * standard input, which gets a line "accept" or "drop". It reads with a timeout below 0 until no message is left.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>

static unsigned int policy = NF_DROP;

static int packets(struct ipq_handle *h)
{
	static unsigned char buf[4096];
	int n;

	while ((n = ipq_read(h, buf, sizeof(buf), -1)) > 0)
		if (ipq_message_type(buf) == NLMSG_ERROR)
			fprintf(stderr, "control: error %d\n", ipq_get_msgerr(buf));
		else
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, policy, 0, NULL);
	return n;
}

static int command(void)
{
	char line[16];
	ssize_t n = read(0, line, sizeof(line) - 1);

	if (n <= 0)
		return -1;
	line[n] = 0;
	policy = strncmp(line, "accept", 6) == 0 ? NF_ACCEPT : NF_DROP;
	printf("policy %u\n", policy);
	fflush(stdout);
	return 0;
}

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	fd_set fds;

	if (!h || ipq_set_mode(h, IPQ_COPY_META, 0) < 0) {
		ipq_perror("control");
		return 1;
	}
	for (;;) {
		FD_ZERO(&fds);
		FD_SET(0, &fds);
		FD_SET(h->fd, &fds);
		if (select(h->fd + 1, &fds, NULL, NULL, NULL) < 0)
			break;
		if (FD_ISSET(h->fd, &fds) && packets(h) < 0)
			break;
		if (FD_ISSET(0, &fds) && command() < 0)
			break;
	}
	ipq_destroy_handle(h);
	return 0;
}
