/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flows_order ROUNDS COUNT [ADDRESS]: in each round, four new UDP flows to port 7000 of ADDRESS (127.0.0.1) send COUNT
 * numbered datagrams each, as fast as a window allows. Prints how many were lost, arrived twice, or arrived late (after
 * a later datagram of the flow). Exits 0 if none was lost or arrived twice, and if none was late in more than half of
 * the rounds: one may be overtaken while the kernel applies the verdict, or more if the processor is taken away then.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOWS 4
#define WINDOW 2000 /* datagrams in flight: fewer than the queue and the receive buffer can hold */
#define PORT 7000
#define IDLE_MS 2000

struct datagram {
	uint32_t flow, number;
};

static unsigned count;
static atomic_uint sent, received;
static int from[FLOWS], to;
static struct sockaddr_storage address;
static socklen_t address_len;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void take_address(const char *text)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(PORT);
		address_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(PORT);
		address_len = sizeof(*v6);
	} else {
		die(text);
	}
}

static void *send_all(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < count * FLOWS; i++) {
		struct datagram d = { i % FLOWS, i / FLOWS };

		while (i - atomic_load(&received) >= WINDOW)
			sched_yield();
		if (send(from[d.flow], &d, sizeof(d), 0) != sizeof(d))
			die("send");
		atomic_store(&sent, i + 1);
	}
	return NULL;
}

struct result {
	unsigned lost, twice, late;
};

static struct result receive_all(void)
{
	uint8_t *seen = calloc(FLOWS, count);
	struct pollfd fd = { .fd = to, .events = POLLIN };
	struct result r = { .lost = count * FLOWS };
	uint32_t next[FLOWS] = { 0 };
	struct datagram d;

	if (seen == NULL)
		die("calloc");
	while (r.lost > 0 && poll(&fd, 1, IDLE_MS) == 1) {
		uint8_t *mark;

		if (recv(to, &d, sizeof(d), 0) != sizeof(d) || d.flow >= FLOWS || d.number >= count)
			die("receive");
		mark = &seen[d.flow * count + d.number];
		r.twice += *mark;
		r.lost -= !*mark;
		*mark = 1;
		r.late += d.number < next[d.flow];
		if (d.number >= next[d.flow])
			next[d.flow] = d.number + 1;
		atomic_fetch_add(&received, 1);
	}
	free(seen);
	return r;
}

static struct result one_round(void)
{
	int room = 64 << 20;
	struct result r;
	pthread_t sender;

	sent = received = 0;
	to = socket(address.ss_family, SOCK_DGRAM, 0);
	setsockopt(to, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(to, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(to, (struct sockaddr *)&address, address_len) < 0)
		die("bind");
	for (int i = 0; i < FLOWS; i++) {
		from[i] = socket(address.ss_family, SOCK_DGRAM, 0);
		if (connect(from[i], (struct sockaddr *)&address, address_len) < 0)
			die("connect");
	}
	if (pthread_create(&sender, NULL, send_all, NULL) != 0)
		die("pthread_create");
	r = receive_all();
	if (r.lost > 0) { /* the sender may wait for lost packets for ever */
		printf("lost %u twice %u late %u of %u\n", r.lost, r.twice, r.late, count * FLOWS);
		exit(1);
	}
	pthread_join(sender, NULL);
	for (int i = 0; i < FLOWS; i++)
		close(from[i]);
	close(to);
	return r;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[1]) : 0, in_order = 0, twice = 0;

	count = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	if (count == 0)
		return 2;
	take_address(argc > 3 ? argv[3] : "127.0.0.1");
	for (unsigned i = 0; i < rounds; i++) {
		struct result r = one_round();

		printf("lost %u twice %u late %u of %u\n", r.lost, r.twice, r.late, count * FLOWS);
		in_order += r.late == 0;
		twice += r.twice;
	}
	return twice == 0 && in_order > rounds / 2 ? 0 : 1;
}
