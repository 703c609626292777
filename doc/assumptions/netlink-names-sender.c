/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Explains why ipq run does not give the program a real netlink socket.
 * Netlink between programs (NETLINK_USERSOCK, which needs no privilege)
 *  - always names the sender by a port id other than 0, and libipq takes only messages of port id 0, the kernel's;
 *  - has no way to send to port id 0 from the program, where libipq sends its requests.
 */
#include <errno.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include "assume.h"

int main(void)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK }, name[2] = { { 0 } }, from = { 0 };
	socklen_t len = sizeof(name[0]);
	int fd[2], i;
	char byte = 0;

	for (i = 0; i < 2; i++) {
		fd[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
		ASSUME(fd[i] >= 0 && bind(fd[i], (void *)&kernel, sizeof(kernel)) == 0); /* wants port id 0 */
		ASSUME(getsockname(fd[i], (void *)&name[i], &len) == 0 && name[i].nl_pid != 0);
	}
	ASSUME(sendto(fd[0], "x", 1, 0, (void *)&name[1], sizeof(name[1])) == 1);
	ASSUME(recvfrom(fd[1], &byte, 1, 0, (void *)&from, &len) == 1 && len == sizeof(from));
	ASSUME(from.nl_family == AF_NETLINK && from.nl_pid == name[0].nl_pid);
	ASSUME(sendto(fd[1], "x", 1, 0, (void *)&kernel, sizeof(kernel)) < 0 && errno == ECONNREFUSED);
	return 0;
}
