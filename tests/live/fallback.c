// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program that names no source, on a kernel without nfnetlink_queue but with ip_queue: a seccomp filter disables
 * nfnetlink_queue, and ipq run provides ip_queue. The program accepts the packets of its two handles until both
 * have ended.
 *
 *	fallback together|apart     both handles are created before the first mode is set, or not
 */
#include <libipq.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static void forbid_nfnetlink(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		exit(77);
}

static void die(const char *what)
{
	ipq_perror(what);
	exit(1);
}

static struct ipq_handle *open_handle(uint32_t family)
{
	struct ipq_handle *h = ipq_create_handle(0, family);

	if (h == NULL)
		die("create");
	return h;
}

static void set_mode(struct ipq_handle *h)
{
	int fd = h->fd;

	if (ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0)
		die("fallback");
	if (h->fd != fd) {
		puts("h->fd has another number");
		exit(1);
	}
}

/* Reads one message of a handle that is readable. False: the end. */
static int one(struct ipq_handle *h, unsigned *packets)
{
	static unsigned char buf[65536 + 256];
	ssize_t n = ipq_read(h, buf, sizeof(buf), 0);

	if (n < 0 && strcmp(ipq_errstr(), "Received EOF on netlink socket") == 0)
		return 0;
	if (n <= 0 || ipq_message_type(buf) != IPQM_PACKET)
		die("read");
	if (ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0)
		die("verdict");
	++*packets;
	return 1;
}

/* Returns the index of a readable handle. */
static int readable(struct ipq_handle *const h[2])
{
	struct pollfd p[2] = { { .fd = h[0] != NULL ? h[0]->fd : -1, .events = POLLIN },
			       { .fd = h[1] != NULL ? h[1]->fd : -1, .events = POLLIN } };

	if (poll(p, 2, 10000) <= 0)
		die("poll");
	return p[0].revents == 0;
}

static int classic(int together)
{
	struct ipq_handle *h[2];
	unsigned packets[2] = { 0, 0 };
	int i;

	for (i = 0; i < 2; i++) {
		h[i] = open_handle(i == 0 ? PF_INET : PF_INET6);
		if (!together)
			set_mode(h[i]);
	}
	for (i = 0; i < 2 && together; i++)
		set_mode(h[i]);
	while (h[0] != NULL || h[1] != NULL) {
		i = readable(h);
		if (!one(h[i], &packets[i])) {
			ipq_destroy_handle(h[i]);
			h[i] = NULL;
		}
	}
	printf("%u and %u packets\n", packets[0], packets[1]);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	forbid_nfnetlink();
	return classic(strcmp(what, "together") == 0);
}
