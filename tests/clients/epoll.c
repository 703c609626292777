/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event loop of around 2010: epoll, O_NONBLOCK set with fcntl, reads until no message is left. */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <sys/epoll.h>

static int drain(struct ipq_handle *h)
{
	static unsigned char buf[66000];

	for (;;) {
		ssize_t n = ipq_read(h, buf, sizeof(buf), 0);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0) {
			ipq_perror("epoll");
			return -1;
		}
		if (n > 0 && ipq_message_type(buf) == IPQM_PACKET &&
		    ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0)
			return -1;
	}
}

int main(void)
{
	struct epoll_event ev = { .events = EPOLLIN }, got;
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int ep = epoll_create(1);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 0xffff) < 0) {
		ipq_perror("epoll");
		return 1;
	}
	fcntl(h->fd, F_SETFL, fcntl(h->fd, F_GETFL) | O_NONBLOCK);
	epoll_ctl(ep, EPOLL_CTL_ADD, h->fd, &ev);
	while (epoll_wait(ep, &got, 1, -1) == 1)
		if (drain(h) < 0)
			return 1;
	return 1;
}
