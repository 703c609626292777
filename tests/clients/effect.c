/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request has taken effect when the call returns. The program sends UDP datagrams to port 7000 of this machine,
 * which a rule queues.
 *
 *	effect mode|range|refusal|exit [both]      both: with a handle for IPv6 too
 *	effect hand                                the program sends its mode requests on the descriptor
 *	effect peek                                the program reads the descriptor as a netlink socket
 *	effect ignored                             the queue has an owner; ipq_set_mode is not checked
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/netfilter.h>
#include <libipq.h>

#define TIMES 30
#define UDP 28 /* IPv4 and UDP header */

static unsigned char buf[4096];
static int both;

static struct ipq_handle *open_handle(unsigned family)
{
	struct ipq_handle *h = ipq_create_handle(0, family);
	struct sockaddr_nl own;
	socklen_t len = sizeof(own);

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("effect");
		exit(1);
	}
	if (getsockname(h->fd, (struct sockaddr *)&own, &len) < 0 || len != sizeof(own) ||
	    own.nl_pid != h->local.nl_pid) {
		printf("own address: %u bytes, pid %u\n", (unsigned)len, own.nl_pid);
		exit(1);
	}
	return h;
}

static void send_packet(int size)
{
	static int s = -1;
	struct sockaddr_in to;
	char text[100] = { 0 };

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons(7000);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (s < 0)
		s = socket(AF_INET, SOCK_DGRAM, 0);
	if (sendto(s, text, size, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		perror("sendto");
}

/* Accepts the next packet. Returns 1 if it has this number of payload bytes, 0 if not or if none arrives in time. */
static int packet(struct ipq_handle *h, size_t data_len)
{
	if (ipq_read(h, buf, sizeof(buf), 2000000) <= 0 || ipq_message_type(buf) != IPQM_PACKET) {
		puts("no packet");
		return 0;
	}
	ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	if (ipq_get_packet(buf)->data_len == data_len)
		return 1;
	printf("%lu bytes, not %lu\n", (unsigned long)ipq_get_packet(buf)->data_len, (unsigned long)data_len);
	return 0;
}

/* Sends a packet immediately after ipq_set_mode: the packet must be queued and read. */
static int mode(void)
{
	int i, good = 1;

	for (i = 0; i < TIMES && good; i++) {
		struct ipq_handle *six = both ? open_handle(PF_INET6) : NULL, *h = open_handle(PF_INET);

		send_packet(1);
		good = packet(h, UDP + 1);
		ipq_destroy_handle(h);
		ipq_destroy_handle(six);
	}
	return good;
}

/* Sends a packet immediately after ipq_set_mode: the packet must have the new range. */
static int range(void)
{
	struct ipq_handle *h = open_handle(PF_INET);
	int i, good = 1;

	for (i = 0; i < TIMES && good; i++) {
		size_t bytes = 20 + (i % 2 == 0 ? i : TIMES - i);

		good = ipq_set_mode(h, IPQ_COPY_PACKET, bytes) > 0;
		send_packet(50);
		good = good && packet(h, bytes);
	}
	return good;
}

static int ask_by_hand(struct ipq_handle *h, unsigned char mode, size_t bytes)
{
	struct {
		struct nlmsghdr nlh;
		ipq_peer_msg_t body;
	} m;

	memset(&m, 0, sizeof(m));
	m.nlh.nlmsg_len = sizeof(m);
	m.nlh.nlmsg_type = IPQM_MODE;
	m.nlh.nlmsg_flags = NLM_F_REQUEST;
	m.nlh.nlmsg_pid = getpid();
	m.body.msg.mode.value = mode;
	m.body.msg.mode.range = bytes;
	return write(h->fd, &m, sizeof(m)) == sizeof(m);
}

/* Sends a packet immediately after a request on the descriptor: the packet must have the new mode. */
static int hand(void)
{
	int i, good = 1;

	for (i = 0; i < TIMES && good; i++) {
		struct ipq_handle *h = ipq_create_handle(0, PF_INET);

		good = h != NULL && ask_by_hand(h, IPQ_COPY_PACKET, 0);
		send_packet(1);
		good = good && packet(h, UDP + 1) && ask_by_hand(h, IPQ_COPY_PACKET, 20 + i);
		send_packet(50);
		good = good && packet(h, 20 + i) && ask_by_hand(h, IPQ_COPY_META, 0);
		send_packet(50);
		good = good && packet(h, 0);
		ipq_destroy_handle(h);
	}
	return good;
}

static int refused(struct ipq_handle *h, int error)
{
	if (ipq_read(h, buf, sizeof(buf), -1) > 0 && ipq_message_type(buf) == NLMSG_ERROR &&
	    ipq_get_msgerr(buf) == error)
		return 1;
	puts("no refusal");
	return 0;
}

/* A read that does not wait finds the refusal. */
static int refusal(void)
{
	struct ipq_handle *h = open_handle(PF_INET);
	int i, good = 1;

	for (i = 0; i < TIMES && good; i++) {
		ipq_set_verdict(h, 12345, NF_ACCEPT, 0, NULL);
		good = refused(h, 2 /* 2: ENOENT */);
		ipq_set_mode(h, 9, 0);
		good = good && refused(h, 22 /* 22: EINVAL */);
	}
	return good;
}

/* ipq_set_mode has failed: the next read finds a message that quotes the request. */
static int ignored(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	/* the 20 bytes of an NLMSG_ERROR, and the quoted request */
	size_t length = 4 * sizeof(struct nlmsghdr) - 12 + sizeof(ipq_peer_msg_t);
	ssize_t n;

	ipq_set_mode(h, IPQ_COPY_PACKET, 2048);
	n = ipq_read(h, buf, sizeof(buf), 2000000);
	if (n == (ssize_t)length && ipq_message_type(buf) == NLMSG_ERROR &&
	    ipq_get_msgerr(buf) == 16 /* 16: EBUSY */)
		return 1;
	printf("%ld bytes, not %lu\n", (long)n, (unsigned long)length);
	return 0;
}

static int from_kernel(const struct sockaddr_nl *from, socklen_t len)
{
	if (len == sizeof(*from) && from->nl_family == AF_NETLINK && from->nl_pid == 0 &&
	    from->nl_groups == 0)
		return 1;
	printf("%d bytes, family %d, pid %u, groups %u\n", (int)len, from->nl_family, from->nl_pid,
	       from->nl_groups);
	return 0;
}

/* Reads first the header, then the message; both come from the kernel. */
static int peek(void)
{
	struct ipq_handle *h = open_handle(PF_INET);
	struct pollfd p = { h->fd, POLLIN, 0 };
	struct sockaddr_nl from;
	struct nlmsghdr nlh;
	int i, good = 1;

	for (i = 0; i < TIMES && good; i++) {
		socklen_t len = sizeof(from);

		send_packet(i);
		good = poll(&p, 1, 2000) == 1 &&
		       recvfrom(h->fd, &nlh, sizeof(nlh), MSG_PEEK, (struct sockaddr *)&from, &len) ==
			       sizeof(nlh) &&
		       from_kernel(&from, len);
		memset(&from, 0x55, sizeof(from));
		good = good && recvfrom(h->fd, buf, nlh.nlmsg_len, MSG_WAITALL, (struct sockaddr *)&from,
					&len) == (ssize_t)nlh.nlmsg_len;
		good = good && from_kernel(&from, len) && ipq_message_type(buf) == IPQM_PACKET &&
		       ipq_get_packet(buf)->data_len == (size_t)(UDP + i);
		if (good)
			ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	}
	return good;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int good;

	both = argc > 2;
	if (both && strcmp(what, "mode") != 0)
		open_handle(PF_INET6);
	good = strcmp(what, "mode") == 0 ? mode() : strcmp(what, "range") == 0 ? range() : 0;
	if (strcmp(what, "refusal") == 0)
		good = refusal();
	if (strcmp(what, "hand") == 0)
		good = hand();
	if (strcmp(what, "peek") == 0)
		good = peek();
	if (strcmp(what, "ignored") == 0)
		good = ignored();
	if (strcmp(what, "exit") == 0) {
		struct ipq_handle *h = open_handle(PF_INET);

		puts("ready");
		fflush(stdout);
		_exit(ipq_read(h, buf, sizeof(buf), 0) <= 0 ||
		      ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0);
	}
	return !good;
}
