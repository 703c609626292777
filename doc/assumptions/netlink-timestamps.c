/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue enabled timestamps for incoming packets while it had an owner. The library sets SO_TIMESTAMP on the queue's
 * netlink socket instead, and assumes that
 *  - the kernel accepts the option on a netlink socket, as on any socket except Unix sockets;
 *  - the option does not change the messages that are read from the socket.
 * tests/clients (accept) shows with real packets that they then have timestamps.
 */
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "assume.h"

int main(void)
{
	struct nlmsghdr ask = { .nlmsg_len = sizeof(ask),
				.nlmsg_type = NLMSG_NOOP,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	char buf[256], control[256];
	struct iovec piece = { buf, sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), on = 1;
	socklen_t len = sizeof(on);

	ASSUME(fd >= 0 && bind(fd, (void *)&kernel, sizeof(kernel)) == 0);
	ASSUME(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) == 0);
	on = 0;
	ASSUME(getsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, &len) == 0 && on == 1);
	ASSUME(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	ASSUME(recvmsg(fd, &msg, MSG_DONTWAIT) > 0);
	ASSUME(msg.msg_controllen == 0);
	return 0;
}
