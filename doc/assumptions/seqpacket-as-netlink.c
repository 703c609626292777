/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ipq run gives the program one end of a SEQPACKET pair instead of a netlink socket. It assumes that
 *  - an accepted socket inherits its listener's abstract name of ten zeros, also when the listener is closed; the
 *    other end then reads addresses of 12 bytes that are 0 after the family, so nl_pid and nl_groups are 0;
 *  - a netlink address as destination of sendto and sendmsg is ignored;
 *  - more messages than net.unix.max_dgram_qlen may wait, because each end is the only peer of the other;
 *  - an empty message is read as 0 bytes with an address; the end of file has no address;
 *  - after shutdown(SHUT_WR) of one end, the other reads the waiting messages, then the end of file, and can still
 *    send.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/netlink.h>
#include "assume.h"

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
	ASSUME(recvfrom(fd, &byte, 1, flags | MSG_PEEK, (void *)&from, &len) == 1 && len == sizeof(nl));
	memcpy(&nl, &from, sizeof(nl));
	ASSUME(nl.nl_pid == 0 && nl.nl_groups == 0);
	ASSUME(recvmsg(fd, &msg, flags) == 1 && msg.msg_namelen == sizeof(nl));
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
	int pair[2], listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char byte;

	ASSUME(bind(listener, (void *)&name, sizeof(kernel)) == 0 && listen(listener, 1) == 0);
	pair[1] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ASSUME(connect(pair[1], (void *)&name, sizeof(kernel)) == 0);
	pair[0] = accept(listener, NULL, NULL);
	ASSUME(pair[0] >= 0 && close(listener) == 0);

	for (int i = 0; i < MESSAGES; i++)
		ASSUME(send(pair[0], "x", 1, MSG_DONTWAIT) == 1);
	for (int i = 1; i < MESSAGES; i++)
		if (receive_one(pair[1], 0) != 0)
			return 1;
	ASSUME(sendto(pair[1], "x", 1, 0, (void *)&kernel, sizeof(kernel)) == 1);
	ASSUME(sendmsg(pair[1], &msg, 0) == 1);

	ASSUME(send(pair[0], "", 0, MSG_DONTWAIT) == 0);
	ASSUME(shutdown(pair[0], SHUT_WR) == 0);
	if (receive_one(pair[1], MSG_DONTWAIT) != 0)
		return 1;
	ASSUME(recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, (void *)&from, &len) == 0 && len == sizeof(kernel));
	ASSUME(recvfrom(pair[1], &byte, 1, MSG_DONTWAIT, (void *)&from, &len) == 0 && len == 0);
	ASSUME(send(pair[1], "y", 1, MSG_DONTWAIT) == 1);
	for (int i = 0; i < 3; i++)
		ASSUME(recv(pair[0], &byte, 1, MSG_DONTWAIT) == 1);
	ASSUME(byte == 'y');
	return 0;
}
