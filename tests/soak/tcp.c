// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Two connections per era, of IPv4 and IPv6, at full speed. The era ends when they end: every byte must have arrived,
 * in order.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "soak.h"

#define PORT 7002
#define CHUNK 65536
#define END_MS 120000 /* maximum time until TCP retransmits on a busy machine */
#define SEGMENT 1448  /* small, so that large packets have many segments */

static uint8_t chunk[CHUNK], expected[CHUNK];

static int tcp_socket(unsigned flow, bool receives)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
				    .sin6_addr = in6addr_loopback,
				    .sin6_port = htons(PORT) };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				    .sin_port = htons(PORT) };
	const struct sockaddr *a = flow == 0 ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
	socklen_t len = flow == 0 ? sizeof(four) : sizeof(six);
	int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1,
	    segment = SEGMENT;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	if (receives ? bind(fd, a, len) < 0 || listen(fd, 4) < 0
		     : connect(fd, a, len) < 0 && errno != EINPROGRESS) {
		perror("soak: socket");
		exit(1);
	}
	return fd;
}

/* ---- sending --------------------------------------------------------------------------------------- */

/* Sends as many bytes as the socket accepts now. */
static bool send_chunk(int fd, unsigned flow)
{
	size_t len = 1 + scramble(S->bytes_sent) % CHUNK;
	ssize_t n;

	stream_make(chunk, len, flow, S->flow[flow].sent, false);
	n = send(fd, chunk, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
		violation("flow %u after %llu bytes: send: %s", flow, (unsigned long long)S->flow[flow].sent,
			  strerror(errno));
	if (n > 0) {
		S->flow[flow].sent += (uint64_t)n;
		S->bytes_sent += (uint64_t)n;
	}
	return n > 0;
}

static void stalled(int fd, unsigned flow)
{
	struct tcp_info info = { 0 };
	struct queue_line line;
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	queue_line(S->settings.queue, &line);
	violation("flow %u does not end: state %u, %u segments on their way, %u lost, backoff %u, next try "
		  "after %u ms, "
		  "%llu bytes sent, %llu arrived, %llu packets wait in the kernel",
		  flow, info.tcpi_state, info.tcpi_unacked, info.tcpi_lost, info.tcpi_backoff,
		  info.tcpi_rto / 1000, (unsigned long long)S->flow[flow].sent,
		  (unsigned long long)S->flow[flow].arrived, (unsigned long long)line.waiting);
}

/*
 * Waits until the other end has received everything, so that the queue has no packets of the connection. In a very
 * short era the connection may not be established yet; then some bytes are sent nevertheless.
 */
static void finish(int fd, unsigned flow)
{
	char byte;
	struct pollfd connected = { .fd = fd, .events = POLLOUT }, ended = { .fd = fd, .events = POLLIN };
	bool sent = poll(&connected, 1, END_MS) == 1 && (S->flow[flow].sent > 0 || send_chunk(fd, flow));

	if (!sent || shutdown(fd, SHUT_WR) < 0 || poll(&ended, 1, END_MS) != 1 || recv(fd, &byte, 1, 0) != 0)
		stalled(fd, flow);
	close(fd);
}

void tcp_send(void)
{
	int fd[2] = { -1, -1 };

	while (!S->ending) {
		uint32_t gate = S->gate;
		bool sent = false;

		for (unsigned i = 0; i < 2; i++) {
			bool wanted = gate & (1u << i);

			if (wanted && fd[i] < 0)
				fd[i] = tcp_socket(i, false);
			if (!wanted && fd[i] >= 0) {
				finish(fd[i], i);
				fd[i] = -1;
			}
			if (wanted && send_chunk(fd[i], i))
				sent = true;
		}
		S->gate_seen = gate;
		if (!sent)
			usleep(200);
	}
}

/* ---- receiving ------------------------------------------------------------------------------------- */

/* Receives some bytes. False at the end of the connection. */
static bool receive_chunk(int fd, unsigned flow)
{
	struct flow *f = &S->flow[flow];
	ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

	if (n < 0 && errno != EAGAIN)
		violation("flow %u after %llu bytes: recv: %s", flow, (unsigned long long)f->arrived,
			  strerror(errno));
	if (n < 0)
		return errno == EAGAIN;
	stream_make(expected, (size_t)n, flow, f->arrived, S->kind != FILTER);
	for (ssize_t i = 0; memcmp(chunk, expected, (size_t)n) != 0 && i < n; i++) {
		if (chunk[i] == expected[i])
			continue;
		violation("flow %u, byte %llu of the stream: 0x%02x in place of 0x%02x", flow,
			  (unsigned long long)f->arrived + (unsigned long long)i, chunk[i], expected[i]);
		break;
	}
	f->arrived += (uint64_t)n;
	S->bytes_arrived += (uint64_t)n;
	return n > 0;
}

void tcp_receive(void)
{
	struct pollfd p[4];

	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct pollfd){ .fd = tcp_socket(i, true), .events = POLLIN };
		p[2 + i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	}
	S->connections = 2;
	while (!S->ending) {
		if (poll(p, 4, 10) == 0)
			S->idle_ticks++;
		for (unsigned i = 0; i < 2; i++) {
			struct pollfd *c = &p[2 + i];

			if (c->fd < 0 &&
			    (c->fd = accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0)
				continue;
			if (c->revents && !receive_chunk(c->fd, i)) {
				close(c->fd);
				c->fd = -1;
			}
			c->revents = 0;
		}
	}
}
