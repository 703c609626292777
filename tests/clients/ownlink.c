/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ip_queue's protocol without libipq: an unbound, non-blocking socket of type SOCK_DGRAM; a mode message of 48 bytes,
 * longer than necessary; verdicts in three pieces, with the payload that was read; readv() into a header and the rest.
 * It executes itself again with the open socket, as daemons do to reload their code.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static void on_alarm(int sig)
{
	(void)sig;
}

static int put(int fd, int type, const ipq_peer_msg_t *body, const void *payload, size_t len, size_t more)
{
	static const char zeros[16];
	struct sockaddr_nl kernel;
	struct nlmsghdr header;
	struct iovec iov[3];
	struct msghdr msg;

	memset(&kernel, 0, sizeof(kernel));
	kernel.nl_family = AF_NETLINK;
	memset(&header, 0, sizeof(header));
	header.nlmsg_len = sizeof(header) + sizeof(*body) + len + more;
	header.nlmsg_type = type;
	header.nlmsg_flags = NLM_F_REQUEST;
	header.nlmsg_pid = getpid();
	iov[0].iov_base = &header;
	iov[0].iov_len = sizeof(header);
	iov[1].iov_base = (void *)body;
	iov[1].iov_len = sizeof(*body);
	iov[2].iov_base = (void *)(more ? zeros : payload);
	iov[2].iov_len = len + more;
	memset(&msg, 0, sizeof(msg));
	msg.msg_name = &kernel;
	msg.msg_namelen = sizeof(kernel);
	msg.msg_iov = iov;
	msg.msg_iovlen = 3;
	return sendmsg(fd, &msg, 0);
}

int main(int argc, char **argv)
{
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	static unsigned char rest[70000];
	struct nlmsghdr header;
	ipq_packet_msg_t *m = (ipq_packet_msg_t *)rest;
	struct sigaction sa;
	ipq_peer_msg_t body;
	char number[16];
	int fd, n, packets = 0;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_alarm;
	sigaction(SIGALRM, &sa, NULL);
	if (argc > 1) {
		fd = atoi(argv[1]);
	} else {
		fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_FIREWALL);
		memset(&body, 0, sizeof(body));
		body.msg.mode.value = IPQ_COPY_PACKET;
		if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
		    put(fd, IPQM_MODE, &body, NULL, 0, 8) < 0) {
			perror("ownlink");
			return 1;
		}
	}
	setitimer(ITIMER_REAL, &every, NULL);
	for (;;) {
		struct iovec iov[2] = { { &header, sizeof(header) }, { rest, sizeof(rest) } };
		struct pollfd p = { fd, POLLIN, 0 };

		if (poll(&p, 1, 100) <= 0)
			continue;
		n = readv(fd, iov, 2);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < (int)sizeof(header)) {
			perror("ownlink: readv");
			return 1;
		}
		if (header.nlmsg_type != IPQM_PACKET) {
			fprintf(stderr, "ownlink: message of type %d, error %d\n", header.nlmsg_type,
				*(int *)rest);
			continue;
		}
		memset(&body, 0x55, sizeof(body)); /* bytes that are not used contain garbage */
		body.msg.verdict.value = NF_ACCEPT;
		body.msg.verdict.id = m->packet_id;
		body.msg.verdict.data_len = m->data_len;
		while (put(fd, IPQM_VERDICT, &body, m->payload, m->data_len, 0) < 0)
			if (errno != EAGAIN && errno != EINTR) {
				perror("ownlink: sendmsg");
				return 1;
			}
		if (++packets == 50) {
			/* this stops the timer whose signal would end the program */
			setitimer(ITIMER_REAL, &never, NULL);
			sprintf(number, "%d", fd);
			execl(argv[0], argv[0], number, (char *)NULL);
			perror("exec");
			return 1;
		}
	}
}
