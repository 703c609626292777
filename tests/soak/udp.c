// SPDX-License-Identifier: LGPL-2.1-or-later
/* Datagrams: the sender, at the highest rate that does not overflow the receiver, and the receiver. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "soak.h"

#ifndef SO_RCVMARK
#define SO_RCVMARK 75 /* defined since Linux 5.19 */
#endif
#define SO_MEMINFO_DROPS 8 /* the value of SK_MEMINFO_DROPS in <linux/sock_diag.h> */
#define PORT 7000
#define BURST 64
#define LAG 512		 /* maximum number of datagrams that the receiver may lag behind, except in bursts */
#define STUCK_NS 5000000 /* after this time the expected packet may have been dropped: send one more */
#define BUFFER (4 << 20) /* half of the maximum, because the kernel doubles the value */

static int udp_socket(unsigned flow, bool receives)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool ipv4 = (1u << flow) & IPV4_FLOWS;
	const struct sockaddr *a = ipv4 ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
	socklen_t len = ipv4 ? sizeof(four) : sizeof(six);
	int fd = socket(a->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = BUFFER, on = 1;

	four.sin_port = six.sin6_port = htons((uint16_t)(PORT + flow / 2));
	if (fd < 0 || (receives ? bind(fd, a, len) : connect(fd, a, len)) < 0) {
		perror("soak: socket");
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, receives ? SO_RCVBUF : SO_SNDBUF, &size, sizeof(size));
	if (receives)
		setsockopt(fd, SOL_SOCKET, SO_RCVMARK, &on, sizeof(on));
	return fd;
}

/* ---- sending -------------------------------------------------------------------------------------- */

/* Binds the thread to one processor, so that numbers of one flow reach the queue in order. */
static void pin(void)
{
	cpu_set_t may, one;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(may), &may) < 0)
		return;
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &may))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static unsigned may_send(unsigned flow, uint64_t random, uint64_t last_ns)
{
	struct flow *f = &S->flow[flow];
	uint64_t sent = f->sent, lag = sent - f->arrived, n = 1 + random % BURST;

	if (n > ERA_PACKETS - sent)
		n = ERA_PACKETS - sent;
	if (S->burst || n == 0)
		return (unsigned)n;
	if (lag >= LAG)
		return now_ns() - last_ns > STUCK_NS;
	return (unsigned)(n > LAG - lag ? LAG - lag : n);
}

static unsigned send_some(int fd, unsigned flow, unsigned n)
{
	static struct header head[BURST];
	static struct iovec iov[BURST][2];
	static struct mmsghdr message[BURST];
	struct flow *f = &S->flow[flow];
	uint64_t first = f->sent;
	int done;

	for (unsigned i = 0; i < n; i++) {
		header_make(&head[i], flow, first + i);
		iov[i][0] = (struct iovec){ &head[i], sizeof(head[i]) };
		iov[i][1] = (struct iovec){ (void *)(uintptr_t)body_of(&head[i]),
					    head[i].size - sizeof(head[i]) };
		message[i].msg_hdr = (struct msghdr){ .msg_iov = iov[i], .msg_iovlen = 2 };
	}
	f->claimed = first + n;
	done = sendmmsg(fd, message, n, MSG_DONTWAIT);
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		violation("flow %u number %llu: send: %s", flow, (unsigned long long)first, strerror(errno));
	if (done > 0) {
		f->sent = first + (unsigned)done;
		for (int i = 0; i < done; i++)
			S->bytes_sent += head[i].size;
	}
	f->claimed = f->sent;
	return done > 0 ? (unsigned)done : 0;
}

void udp_send(void)
{
	uint64_t random = S->seed, last_ns[FLOWS] = { 0 };
	int fd[FLOWS];

	pin();
	for (unsigned i = 0; i < FLOWS; i++)
		fd[i] = udp_socket(i, false);
	while (!S->ending) {
		uint32_t gate = S->gate;
		bool sent = false;

		S->gate_seen = gate;
		for (unsigned i = 0; i < FLOWS; i++) {
			unsigned n =
				gate & (1u << i) ? may_send(i, random = scramble(random), last_ns[i]) : 0;

			if (n > 0 && send_some(fd[i], i, n) > 0) {
				last_ns[i] = now_ns();
				sent = true;
			}
		}
		if (!sent)
			usleep(200);
	}
}

/* ---- receiving ------------------------------------------------------------------------------------ */

static struct {
	uint8_t bytes[DATAGRAM_MIN + 65536];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint32_t))];
	struct iovec iov;
} slot[BURST];
static struct mmsghdr message[BURST];

/* Reads the mark of a message. False if the kernel does not report marks (SO_RCVMARK). */
static bool mark_of(struct msghdr *m, uint32_t *mark)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_MARK)
			continue;
		memcpy(mark, CMSG_DATA(c), sizeof(*mark));
		return true;
	}
	return false;
}

static uint32_t mark_expected(const struct header *h, enum fate fate)
{
	if (S->kind == FILTER)
		return h->class == MARK ? FILTER_MARK : h->class == REPEAT ? REPEAT_MARK : 0;
	return fate == MARKED ? MARK_OF(h->seq) : fate == AGAIN && S->kind == NEW ? REPEAT_MARK : 0;
}

static const char *fate_check(const struct header *h, enum fate fate)
{
	static const char *const wrong[] = {
		[UNSEEN] = "not read by the reader",
		[DROPPED] = "it was dropped",
		[HELD] = "it is held",
		[REPEATED] = "it has to come again",
		[ABANDONED] = "it was held when its queue was closed",
		[RELEASED] = NULL,
	};

	if (S->kind == FILTER)
		return h->class == DROP ? "a rule drops it" : NULL;
	return wrong[fate];
}

static void take(unsigned flow, struct mmsghdr *m, uint64_t now)
{
	const uint8_t *payload = m->msg_hdr.msg_iov->iov_base;
	enum fate fate = UNSEEN;
	struct header h = { .seq = ERA_PACKETS };
	uint32_t mark = 0;
	const char *what;

	if (m->msg_len >= sizeof(h))
		memcpy(&h, payload, sizeof(h));
	if (h.seq < ERA_PACKETS && S->kind != FILTER)
		fate = S->fate[flow][h.seq];
	what = payload_check(payload, m->msg_len, fate, &h);
	if (what == NULL && h.flow != flow)
		what = "it is another flow's";
	if (what == NULL)
		what = fate_check(&h, fate);
	if (what == NULL && S->arrived[flow][h.seq]++ > 0)
		what = "it arrived before";
	if (what == NULL && mark_of(&m->msg_hdr, &mark) && mark != mark_expected(&h, fate))
		what = "its mark is wrong";
	if (what != NULL) {
		violation("flow %u number %llu, %u bytes, mark %u, fate %u, arrived: %s", flow,
			  (unsigned long long)h.seq, m->msg_len, mark, fate, what);
		return;
	}
	if (h.seq >= S->flow[flow].arrived)
		S->flow[flow].arrived = h.seq + 1;
	histogram_add(h.class == HOLD ? &S->held : &S->prompt, now - (uint64_t)h.sent_ns);
}

static void receive_some(int fd, unsigned flow)
{
	uint64_t now;
	int n;

	for (unsigned i = 0; i < BURST; i++) {
		slot[i].iov = (struct iovec){ slot[i].bytes, sizeof(slot[i].bytes) };
		message[i].msg_hdr = (struct msghdr){ .msg_iov = &slot[i].iov,
						      .msg_iovlen = 1,
						      .msg_control = slot[i].control,
						      .msg_controllen = sizeof(slot[i].control) };
	}
	n = recvmmsg(fd, message, BURST, MSG_DONTWAIT, NULL);
	now = now_ns();
	for (int i = 0; i < n; i++)
		take(flow, &message[i], now);
}

static uint64_t drops_of(int fd)
{
	uint32_t info[SO_MEMINFO_DROPS + 1] = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len);
	return info[SO_MEMINFO_DROPS];
}

void udp_receive(void)
{
	struct pollfd p[FLOWS];

	for (unsigned i = 0; i < FLOWS; i++)
		p[i] = (struct pollfd){ .fd = udp_socket(i, true), .events = POLLIN };
	S->connections = FLOWS;
	while (!S->ending) {
		int n = poll(p, FLOWS, 10);

		for (unsigned i = 0; i < FLOWS; i++) {
			if (p[i].revents & POLLIN)
				receive_some(p[i].fd, i);
			S->flow[i].socket_drops = drops_of(p[i].fd);
		}
		if (n == 0)
			S->idle_ticks++;
	}
}
