// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Old-style programs with a handle for each family, in the order given by ORDER (46 or 64). They accept N packets of
 * each family and exit without closing their handles, as many programs did.
 *
 *	families select ORDER N     one thread, select on both
 *	families epoll ORDER N      one thread, epoll on both
 *	families threads ORDER N    a thread for each, which opens its handle itself
 *	families late ORDER N       the second is opened while the first is under load and has undecided packets
 *	families reopen ORDER N     the second is closed again while the first reads, and opened once more
 *	families daemon ORDER N     select, after going into the background with both handles
 *	families peek ORDER N       checks the result of recvfrom(h->fd) before each ipq_read
 */
#include <libipq.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#define DEBTS 20

static int family[2];
static unsigned long wanted;
static _Atomic unsigned long seen[2];
static int peeks;

static void die(const char *what)
{
	ipq_perror(what);
	exit(1);
}

static struct ipq_handle *open_handle(int i)
{
	struct ipq_handle *h = ipq_create_handle(0, (uint32_t)family[i]);

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0)
		die("open");
	return h;
}

/* Checks what programs rely on if they read the descriptor themselves. */
static void peek(const struct ipq_handle *h)
{
	struct {
		struct nlmsghdr nlh;
		ipq_packet_msg_t packet;
	} m;
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(h->fd, &m, sizeof(m), MSG_PEEK, (struct sockaddr *)&from, &len);

	if (n != (ssize_t)sizeof(m) || len != sizeof(from) || from.nl_pid != 0 ||
	    m.nlh.nlmsg_type != IPQM_PACKET) {
		printf("%zd bytes of type %d from an address of %u bytes, nl_pid %u\n", n, m.nlh.nlmsg_type,
		       (unsigned)len, from.nl_pid);
		exit(1);
	}
}

/* Reads one message and returns the packet's id. */
static unsigned long read_one(const struct ipq_handle *h, int i)
{
	static _Thread_local unsigned char buf[65536 + 256];
	const ipq_packet_msg_t *m;

	if (peeks)
		peek(h);
	if (ipq_read(h, buf, sizeof(buf), 0) <= 0)
		die("read");
	if (ipq_message_type(buf) != IPQM_PACKET) {
		printf("error %d\n", ipq_get_msgerr(buf));
		exit(1);
	}
	m = ipq_get_packet(buf);
	if (m->data_len == 0 || m->payload[0] >> 4 != (family[i] == PF_INET ? 4 : 6)) {
		puts("a packet of the other family");
		exit(1);
	}
	seen[i]++;
	return m->packet_id;
}

static void accept_id(const struct ipq_handle *h, unsigned long id)
{
	if (ipq_set_verdict(h, id, NF_ACCEPT, 0, NULL) < 0)
		die("verdict");
}

static void accept_one(const struct ipq_handle *h, int i)
{
	accept_id(h, read_one(h, i));
}

static int done(void)
{
	return seen[0] >= wanted && seen[1] >= wanted;
}

static void by_select(struct ipq_handle *const h[2])
{
	while (!done()) {
		fd_set set;
		int i;

		FD_ZERO(&set);
		FD_SET(h[0]->fd, &set);
		FD_SET(h[1]->fd, &set);
		if (select((h[0]->fd > h[1]->fd ? h[0]->fd : h[1]->fd) + 1, &set, NULL, NULL, NULL) < 0)
			die("select");
		for (i = 0; i < 2; i++)
			if (FD_ISSET(h[i]->fd, &set))
				accept_one(h[i], i);
	}
}

static void by_epoll(struct ipq_handle *const h[2])
{
	struct epoll_event event[2] = { { .events = EPOLLIN, .data.u32 = 0 },
					{ .events = EPOLLIN, .data.u32 = 1 } };
	int set = epoll_create1(0), i, n;

	for (i = 0; i < 2; i++)
		if (epoll_ctl(set, EPOLL_CTL_ADD, h[i]->fd, &event[i]) < 0)
			die("epoll_ctl");
	while (!done()) {
		n = epoll_wait(set, event, 2, -1);
		for (i = 0; i < n; i++)
			accept_one(h[event[i].data.u32], (int)event[i].data.u32);
	}
}

static void *one_thread(void *arg)
{
	int i = *(int *)arg;
	struct ipq_handle *h = open_handle(i);

	while (seen[i] < wanted)
		accept_one(h, i);
	return NULL;
}

static void in_threads(void)
{
	static int number[2] = { 0, 1 };
	pthread_t t[2];
	int i;

	for (i = 0; i < 2; i++) {
		pthread_create(&t[i], NULL, one_thread, &number[i]);
		usleep(20000); /* the delay ensures the requested order */
	}
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void late(void)
{
	struct ipq_handle *h[2] = { open_handle(0), NULL };
	unsigned long owed[DEBTS];
	int i;

	while (seen[0] < wanted / 4)
		accept_one(h[0], 0);
	for (i = 0; i < DEBTS; i++)
		owed[i] = read_one(h[0], 0);
	h[1] = open_handle(1);
	puts("both are open");
	fflush(stdout);
	while (i-- > 0)
		accept_id(h[0], owed[i]);
	by_select(h);
}

/* The handle that stays open is read all the time, in a separate thread. */
static void reopen(void)
{
	static int first;
	struct ipq_handle *h;
	pthread_t t;

	pthread_create(&t, NULL, one_thread, &first);
	while (seen[0] < wanted / 4)
		usleep(1000);
	ipq_destroy_handle(open_handle(1));
	while (seen[0] < wanted / 2)
		usleep(1000);
	h = open_handle(1);
	puts("both are open");
	fflush(stdout);
	while (seen[1] < wanted)
		accept_one(h, 1);
	pthread_join(t, NULL);
}

static void in_one_thread(const char *what)
{
	struct ipq_handle *h[2] = { open_handle(0), NULL };

	h[1] = open_handle(1);
	if (strcmp(what, "daemon") == 0 && daemon(1, 1) < 0)
		die("daemon");
	puts("both are open");
	fflush(stdout);
	if (strcmp(what, "epoll") == 0)
		by_epoll(h);
	else
		by_select(h);
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";
	int six_first = argc > 3 && strcmp(argv[2], "64") == 0;

	family[six_first] = PF_INET;
	family[!six_first] = PF_INET6;
	wanted = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
	peeks = strcmp(what, "peek") == 0;
	if (strcmp(what, "threads") == 0)
		in_threads();
	else if (strcmp(what, "late") == 0)
		late();
	else if (strcmp(what, "reopen") == 0)
		reopen();
	else
		in_one_thread(what);
	printf("%lu IPv4 and %lu IPv6 packets\n", seen[six_first], seen[!six_first]);
	return 0;
}
