/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue switched the stamping of arriving packets on while it had an owner. We do it with SO_TIMESTAMP on
 * the queue's netlink socket and believe that
 *  - the kernel takes the option there, as on any socket that is not a Unix one;
 *  - it changes nothing of what the socket hands out.
 * That packets are then stamped is shown by tests/clients (accept) on real packets.
 */
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "believe.h"

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

	BELIEVE(fd >= 0 && bind(fd, (void *)&kernel, sizeof(kernel)) == 0);
	BELIEVE(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)) == 0);
	on = 0;
	BELIEVE(getsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, &len) == 0 && on == 1);
	BELIEVE(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	BELIEVE(recvmsg(fd, &msg, MSG_DONTWAIT) > 0);
	BELIEVE(msg.msg_controllen == 0);
	return 0;
}
