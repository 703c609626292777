/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nfqueue source connects its socket to the kernel and assumes that
 *  - a message from another socket, which has the capability to send to it, is then refused and never arrives;
 *  - the kernel's answers still arrive;
 *  - the kernel acknowledges a NOOP before the send returns, also for a process without capabilities (with EPERM,
 *    which also wakes the reader).
 * Runs in a private user and network namespace.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "assume.h"

static int open_bound(struct sockaddr_nl *name)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(*name);
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);

	if (fd < 0 || bind(fd, (void *)&any, sizeof(any)) < 0 || getsockname(fd, (void *)name, &len) < 0)
		return -1;
	return fd;
}

/* The error in the answer to a NOOP, which arrives at once; 1 if it does not. */
static int noop(int fd)
{
	struct nlmsghdr ask = { .nlmsg_len = sizeof(ask),
				.nlmsg_type = NLMSG_NOOP,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr error;
	} answer;

	if (send(fd, &ask, sizeof(ask), 0) != sizeof(ask) ||
	    recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) < (ssize_t)sizeof(answer) ||
	    answer.nlh.nlmsg_type != NLMSG_ERROR)
		return 1;
	return answer.error.error;
}

int main(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK }, ours, theirs;
	struct nlmsghdr forged = { .nlmsg_len = sizeof(forged), .nlmsg_type = NLMSG_DONE };
	int fd, other;
	char byte;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		printf("skipped: no namespace of our own: %s\n", strerror(errno));
		return 77;
	}
	fd = open_bound(&ours);
	other = open_bound(&theirs);
	ASSUME(fd >= 0 && other >= 0);

	/* Without connect(): a process with CAP_NET_ADMIN can send to any port. */
	ASSUME(sendto(other, &forged, sizeof(forged), 0, (void *)&ours, sizeof(ours)) == sizeof(forged));
	ASSUME(recv(fd, &byte, 1, MSG_DONTWAIT) == 1);

	ASSUME(connect(fd, (void *)&kernel, sizeof(kernel)) == 0);
	ASSUME(sendto(other, &forged, sizeof(forged), 0, (void *)&ours, sizeof(ours)) < 0 &&
	       errno == ECONNREFUSED);
	ASSUME(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	ASSUME(noop(fd) == 0);

	ASSUME(syscall(SYS_capset, &header, none) == 0);
	ASSUME(noop(fd) == -EPERM);
	return 0;
}
