/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads h->fd itself, by recvmsg in two pieces, and uses libipq for the rest. Checks the sender as netlink programs do.
 * With ENGINE it accepts a sender of any address family, as an engine in the library has.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

static unsigned char buf[8192];

static int receive(struct ipq_handle *h)
{
	struct sockaddr_nl from;
	struct iovec iov[2];
	struct msghdr msg;
	int n;

	memset(&msg, 0, sizeof(msg));
	iov[0].iov_base = buf;
	iov[0].iov_len = sizeof(struct nlmsghdr);
	iov[1].iov_base = buf + sizeof(struct nlmsghdr);
	iov[1].iov_len = sizeof(buf) - sizeof(struct nlmsghdr);
	msg.msg_name = &from;
	msg.msg_namelen = sizeof(from);
	msg.msg_iov = iov;
	msg.msg_iovlen = 2;
	n = recvmsg(h->fd, &msg, 0);
	if (n < 0) {
		perror("recvmsg");
		return -1;
	}
	if (msg.msg_namelen != sizeof(from) || from.nl_pid != 0 || (msg.msg_flags & MSG_TRUNC)) {
		fprintf(stderr, "ownmsg: not from the kernel\n");
		return -1;
	}
#ifndef ENGINE
	if (from.nl_family != AF_NETLINK || from.nl_groups != 0) {
		fprintf(stderr, "ownmsg: family %d\n", from.nl_family);
		return -1;
	}
#endif
	return n;
}

int main(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("ownmsg");
		return 1;
	}
	ipq_set_verdict(h, 4711, NF_ACCEPT, 0, NULL); /* no packet has this id */
	if (receive(h) <= 0 || ipq_message_type(buf) != NLMSG_ERROR || ipq_get_msgerr(buf) != ENOENT) {
		fprintf(stderr, "ownmsg: no error\n");
		return 1;
	}
	while (receive(h) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	return 1;
}
