// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Runs the engine between the kernel's queue 0 and an old-style program, which has a socket for each family and uses
 * ip_queue's protocol. The program decides datagrams to UDP port 7000 by their first letter: d is dropped, x is
 * accepted as y, h gets no verdict until the next packet, others are accepted. It prints the packets.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "core/core.h"
#include "ipqueue/engine.h"
#include "packet_message.h"
#include <linux/netfilter.h>
#include <linux/netlink.h>

static uint64_t kept[2]; /* ids of the packets without a verdict, one for each family */

static void *serve(void *engine)
{
	int ret;

	do
		ret = engine_step(engine, -1);
	while (ret == 0);
	fprintf(stderr, "engine: %s\n", engine_error(engine));
	exit(1);
}

static void verdict(int fd, uint32_t value, uint64_t id, const unsigned char *payload, size_t len)
{
	unsigned char buf[2048];
	size_t whole = wire_put_verdict(WIRE_NATIVE, buf, 7, value, id, len);

	if (len > 0)
		memcpy(buf + whole - len, payload, len);
	if (send(fd, buf, whole, 0) < 0)
		abort();
}

static void decide(int fd, unsigned family, const struct wire_packet *p, unsigned char *payload, size_t len)
{
	size_t data = family == 0 ? 28 : 48;
	bool asked = len > data && payload[data - 6] == 7000 >> 8 && payload[data - 5] == (7000 & 255);
	char letter = asked ? (char)payload[data] : 0;

	if (kept[family] != 0)
		verdict(fd, NF_ACCEPT, kept[family], NULL, 0);
	kept[family] = 0;
	switch (letter) {
	case 'd':
		verdict(fd, NF_DROP, p->packet_id, NULL, 0);
		break;
	case 'h':
		kept[family] = p->packet_id;
		break;
	case 'x':
		payload[data] = 'y';
		memset(payload + data - 2, 0, 2); /* UDP over IPv4 may have no checksum */
		verdict(fd, NF_ACCEPT, p->packet_id, payload, len);
		break;
	default:
		verdict(fd, NF_ACCEPT, p->packet_id, NULL, 0);
	}
}

static void read_one(int fd, unsigned family)
{
	static unsigned char buf[70000];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	struct wire_packet p;
	const void *payload;
	size_t len;
	int error;

	if (n <= 0)
		exit(1);
	if (get_packet(WIRE_NATIVE, buf, (size_t)n, &p, &payload, &len)) {
		printf("IPv%u hook=%u in=%s out=%s protocol=%04x type=%u address=%u stamped=%u mark=%llx "
		       "length=%zu\n",
		       family == 0 ? 4 : 6, p.hook, p.indev, p.outdev, p.hw_protocol, p.hw_type, p.hw_addrlen,
		       p.timestamp_sec != 0, (unsigned long long)p.mark, len);
		decide(fd, family, &p, buf + ((const unsigned char *)payload - buf), len);
	} else {
		memcpy(&error, buf + WIRE_NLHDR, sizeof(error));
		printf("IPv%u error=%s\n", family == 0 ? 4 : 6, strerror(-error));
	}
	fflush(stdout);
}

int main(void)
{
	struct ipq_error e = { "" };
	struct engine *engine;
	struct source *source;
	struct pollfd p[2];
	pthread_t thread;
	unsigned i;

	if (source_open(&source, "nfqueue:0", &e) < 0 || engine_open(&engine, source, NULL, &e) < 0 ||
	    pthread_create(&thread, NULL, serve, engine) != 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	for (i = 0; i < 2; i++) {
		unsigned char request[64];
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 ||
		    engine_add(engine, pair[1], i == 0 ? AF_INET : AF_INET6, WIRE_NATIVE, 7, true) < 0 ||
		    send(pair[0], request, wire_put_mode(WIRE_NATIVE, request, 7, COPY_PACKET, 0), 0) < 0)
			return 1;
		p[i] = (struct pollfd){ .fd = pair[0], .events = POLLIN };
	}
	while (poll(p, 2, -1) > 0)
		for (i = 0; i < 2; i++)
			if (p[i].revents != 0)
				read_one(p[i].fd, i);
	return 1;
}
