/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compares the cost of the classic calls with the same loop on a plain netlink socket.
 *
 *	classic-cost [PAIRS]
 *
 * One process on one processor queues 50 packets, measures how long one of the two loops takes to accept them, and
 * then does the same with the other loop. The two loops are measured so soon after each other that a change of the
 * machine's speed affects both. The addresses of code and data still change the ratio by 1 %: run it more than
 * once.
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "bench.h"
#include "raw.h"

#define PACKETS 50
#define PORT 4000
#define MAX_PAIRS 10000

enum { CLASSIC, BY_HAND, WAYS }; /* the loops; the values are also the queue numbers */

static struct ipq_handle *h;
static struct raw raw;
static int sink[WAYS]; /* a UDP socket connected to itself, whose packets go to this queue */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void accept_by_classic_calls(void)
{
	static unsigned char buf[65536 + 256];

	for (int i = 0; i < PACKETS; i++)
		if (ipq_read(h, buf, sizeof(buf), 0) <= 0 || ipq_message_type(buf) != IPQM_PACKET ||
		    ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL) < 0) {
			ipq_perror("classic-cost");
			exit(1);
		}
}

static void accept_by_hand(void)
{
	static unsigned char buf[SLOT];
	struct raw_packet packet;

	for (int i = 0; i < PACKETS; i++) {
		ssize_t n = recv(raw.fd, buf, sizeof(buf), 0);

		if (n < 0 || !raw_parse(buf, (size_t)n, &packet) ||
		    raw_verdict(&raw, packet.id, NF_ACCEPT) < 0)
			fail("classic-cost: by hand");
	}
}

static double time_one(int way, size_t size)
{
	char packet[2048] = "";
	uint64_t start, took;

	for (int i = 0; i < PACKETS; i++)
		if (send(sink[way], packet, size, 0) < 0)
			fail("classic-cost: send");
	start = now_ns();
	if (way == CLASSIC)
		accept_by_classic_calls();
	else
		accept_by_hand();
	took = now_ns() - start;
	for (int i = 0; i < PACKETS; i++)
		if (recv(sink[way], packet, sizeof(packet), MSG_DONTWAIT) != (ssize_t)size)
			fail("classic-cost: an accepted packet did not arrive");
	return (double)took / PACKETS;
}

static void compare(size_t size, unsigned pairs)
{
	static double hand[MAX_PAIRS], ratio[MAX_PAIRS];

	for (unsigned i = 0; i < pairs; i++) {
		double took[WAYS];

		took[i % 2] = time_one(i % 2, size);
		took[!(i % 2)] = time_one(!(i % 2), size);
		hand[i] = took[BY_HAND];
		ratio[i] = took[CLASSIC] / took[BY_HAND];
	}
	printf("%5zu bytes: by hand %.0f ns a packet, classic calls %.3f of that", size, median(hand, pairs),
	       median(ratio, pairs));
	printf(" (%.3f to %.3f)\n", ratio[pairs / 4], ratio[3 * pairs / 4]); /* the ratios are sorted now */
}

static int connected_to_itself(unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("classic-cost: socket");
	return fd;
}

int main(int argc, char **argv)
{
	const struct job job = { .queues = WAYS, .queue_length = 1024 };
	static struct tally tally;
	int pairs = argc > 1 ? atoi(argv[1]) : 1000;
	const char *tool;

	if (argc > 2 || pairs < 1 || pairs > MAX_PAIRS)
		return fprintf(stderr, "usage: classic-cost [PAIRS], at most %d\n", MAX_PAIRS), 2;
	if (ground_enter() < 0 || (tool = ground_iptables()) == NULL)
		return 77;
	pin_to(0);
	for (int way = 0; way < WAYS; way++) {
		sink[way] = connected_to_itself(PORT + (unsigned)way);
		if (ground_command("%s -A INPUT -p udp --dport %d -j NFQUEUE --queue-num %d", tool,
				   PORT + way, way) < 0)
			return 1;
	}
	h = ipq_create_handle(0, PF_INET);
	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("classic-cost");
		return 1;
	}
	if (raw_open(&raw, &job, BY_HAND, &tally, false) < 0)
		return 1;
	raw.limit = 1;
	compare(64, (unsigned)pairs);
	compare(1400, (unsigned)pairs);
	return ipq_destroy_handle(h);
}
