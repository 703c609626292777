/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq run puts one end of a SEQPACKET pair in the place of a netlink socket. It believes that
 *  - an end of a pair can be bound to an abstract name of ten bytes after the pair was made, and the
 *    other then reads addresses of 12 bytes whose bytes 4 to 7, nl_pid, are 0;
 *  - a netlink address as destination of sendto and sendmsg is ignored;
 *  - more messages may wait than net.unix.max_dgram_qlen says, as each end is the other's only peer;
 *  - an empty message is read as 0 bytes, with an address; the end of the file has none;
 *  - after shutdown(SHUT_WR) of one end, the other reads what waits, then the end of the file, and can
 *    still send.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/netlink.h>
#include "believe.h"

#define MESSAGES 200

static int receive_one(int fd, int flags)
{
	struct sockaddr_storage from;
	struct sockaddr_nl nl;
	struct iovec piece;
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &piece, .msg_iovlen = 1
	};
	socklen_t len = sizeof(from);
	char byte;

	piece = (struct iovec){ &byte, 1 };
	BELIEVE(recvfrom(fd, &byte, 1, flags | MSG_PEEK, (void *)&from, &len) == 1 && len == sizeof(nl));
	memcpy(&nl, &from, sizeof(nl));
	BELIEVE(nl.nl_pid == 0);
	BELIEVE(recvmsg(fd, &msg, flags) == 1 && msg.msg_namelen == sizeof(nl));
	return 0;
}

int main(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct iovec piece = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &kernel, .msg_namelen = sizeof(kernel), .msg_iov = &piece, .msg_iovlen = 1
	};
	int pair[2], serial = (int)getpid();
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char byte;

	BELIEVE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	memcpy(name.sun_path + 6, &serial, sizeof(serial));
	BELIEVE(bind(pair[0], (void *)&name, sizeof(kernel)) == 0);

	for (int i = 0; i < MESSAGES; i++)
		BELIEVE(send(pair[0], "x", 1, MSG_DONTWAIT) == 1);
	for (int i = 1; i < MESSAGES; i++)
		if (receive_one(pair[1], 0) != 0)
			return 1;
	BELIEVE(sendto(pair[1], "x", 1, 0, (void *)&kernel, sizeof(kernel)) == 1);
	BELIEVE(sendmsg(pair[1], &msg, 0) == 1);

	BELIEVE(send(pair[0], "", 0, MSG_DONTWAIT) == 0);
	BELIEVE(shutdown(pair[0], SHUT_WR) == 0);
	if (receive_one(pair[1], MSG_DONTWAIT) != 0)
		return 1;
	BELIEVE(recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, (void *)&from, &len) == 0 && len == sizeof(kernel));
	BELIEVE(recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, (void *)&from, &len) == 0 && len == 0);
	BELIEVE(send(pair[1], "y", 1, MSG_DONTWAIT) == 1);
	for (int i = 0; i < 3; i++)
		BELIEVE(recv(pair[0], &byte, 1, MSG_DONTWAIT) == 1);
	BELIEVE(byte == 'y');
	return 0;
}
