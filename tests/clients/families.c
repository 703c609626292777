/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Both families and a terminal in one select(): the modes are set one after the other, in another order than the
 * handles were opened, and packets are decided out of order, in groups. With SECOND_SOCKET the program has another
 * netlink socket, for another purpose, whose port is the process ID.
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/time.h>

#define GROUP 5

static struct ipq_handle *handle[2];
static ipq_id_t held[2][GROUP];
static int count[2];

static void decide(int i)
{
	while (count[i] > 0)
		if (ipq_set_verdict(handle[i], held[i][--count[i]], NF_ACCEPT, 0, NULL) < 0)
			ipq_perror("verdict");
}

static void die(const char *what)
{
	ipq_perror(what);
	exit(1);
}

int main(void)
{
	static unsigned char buf[65536 + 128];
	int i, max;

#ifdef SECOND_SOCKET
	struct sockaddr_nl own = { AF_NETLINK, 0, getpid(), 0 };

	if (bind(socket(AF_NETLINK, SOCK_RAW, 12 /* 12: NETLINK_NETFILTER */), (struct sockaddr *)&own,
		 sizeof(own)) < 0)
		perror("bind");
#endif
	handle[0] = ipq_create_handle(0, PF_INET);
	handle[1] = ipq_create_handle(0, PF_INET6);
	if (!handle[0] || !handle[1])
		die("create");
	if (ipq_set_mode(handle[1], IPQ_COPY_META, 0) < 0 ||
	    ipq_set_mode(handle[0], IPQ_COPY_PACKET, 200) < 0)
		die("mode");
	puts("ready");
	fflush(stdout);
	max = handle[0]->fd > handle[1]->fd ? handle[0]->fd : handle[1]->fd;
	for (;;) {
		struct timeval limit = { 0, 2000 };
		fd_set set;
		int n;

		FD_ZERO(&set);
		FD_SET(handle[0]->fd, &set);
		FD_SET(handle[1]->fd, &set);
		n = select(max + 1, &set, NULL, NULL, &limit);
		if (n < 0)
			die("select");
		for (i = 0; i < 2; i++) {
			if (n == 0)
				decide(i);
			if (n == 0 || !FD_ISSET(handle[i]->fd, &set))
				continue;
			if (ipq_read(handle[i], buf, sizeof(buf), 0) <= 0)
				die("read");
			if (ipq_message_type(buf) != IPQM_PACKET) {
				fprintf(stderr, "error %d\n", ipq_get_msgerr(buf));
				continue;
			}
			held[i][count[i]++] = ipq_get_packet(buf)->packet_id;
			if (count[i] == GROUP)
				decide(i);
		}
	}
}
