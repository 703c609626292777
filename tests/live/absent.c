// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The manual page's example, on a kernel that has no queue handler. Such a kernel is made with a seccomp
 * filter: netlink sockets of netfilter cannot be had.
 */
#include <libipq.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void forbid(unsigned call, unsigned argument, unsigned value, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * argument),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		exit(77);
}

int main(void)
{
	struct ipq_handle *h;

	forbid(SYS_socket, 2, NETLINK_NETFILTER, EPROTONOSUPPORT);
	h = ipq_create_handle(0, PF_INET);
	if (!h) {
		ipq_perror("create");
		return 1;
	}
	if (ipq_set_mode(h, IPQ_COPY_PACKET, 2048) >= 0)
		return 1;
	ipq_perror("myapp");
	return ipq_destroy_handle(h);
}
