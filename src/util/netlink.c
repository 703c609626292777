/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <unistd.h>
#include "util/netlink.h"

/*
 * Binds to a port that the kernel chooses. Connects the socket to the kernel, so that it refuses messages from
 * processes (doc/assumptions/netlink-connect.c).
 */
static int bind_to_kernel(int fd)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

int netlink_open(bool *absent)
{
	const int on = 1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), err = 0;

	*absent = fd < 0 && errno == EPROTONOSUPPORT;
	if (*absent)
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) < 0)
		err = -errno;
	if (err == 0)
		err = bind_to_kernel(fd);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

int netlink_send_noop(int fd, uint32_t seq)
{
	struct nlmsghdr nlh = {
		.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = NLMSG_NOOP,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		.nlmsg_seq = seq,
	};

	while (send(fd, &nlh, sizeof(nlh), 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

void netlink_set_receive_buffer(int fd, uint32_t bytes)
{
	int half = (int)(bytes / 2); /* half of the size, because the kernel doubles it */

	if (bytes == 0)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof(half)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof(half));
}

int64_t netlink_backlog(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return -1; /* not supported before Linux 4.12 */
	return info[SK_MEMINFO_RMEM_ALLOC];
}
