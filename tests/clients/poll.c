/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls poll with a second descriptor, level-triggered. Reads one message when h->fd is readable. The descriptor
 * must stay readable while messages are left.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdio.h>

int main(void)
{
	static unsigned char buf[70000];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct pollfd p[2];
	int ends[2];

	if (!h || pipe(ends) < 0 || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("poll");
		return 1;
	}
	p[0].fd = ends[0];
	p[1].fd = h->fd;
	p[0].events = p[1].events = POLLIN;
	while (poll(p, 2, -1) > 0) {
		ipq_packet_msg_t *m;

		if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
			return 1;
		if (!(p[1].revents & POLLIN))
			continue;
		if (ipq_read(h, buf, sizeof(buf), -1) <= 0) {
			fprintf(stderr, "readable, but nothing to read: %s\n", ipq_errstr());
			return 1;
		}
		m = ipq_get_packet(buf);
		ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL);
	}
	return 1;
}
