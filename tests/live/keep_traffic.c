/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keep_traffic RATE SECONDS FLOWS PORT [FILE]: sends numbered datagrams at this rate over the loopback device, on so
 * many flows, and compares what arrives. A flow is sent by one thread. Prints how many were sent, arrived, arrived
 * twice, or arrived out of the order of their flow, and the longest delay of a datagram. Exits 0 if all arrived once.
 * FILE: each time without arrivals of GAP_MS or more, as two numbers: its begin (since 1970) and its length in
 * milliseconds. These are the kernel's times, so that a slow receiver does not change them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 16
#define WAIT_MS 20000 /* for the last ones */
#define GAP_MS 2
#define BATCH 64
#define PAUSE_NS 50000

struct datagram {
	uint32_t flow, number;
	int64_t sent_ns;
};

static struct flow {
	pthread_t thread;
	uint32_t index, count, next;
	uint64_t rate;
	int fd;
	unsigned char *seen;
} flows[FLOWS_MAX];

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Those that are due, in one call: the sender must not need the time of the program that is tested. */
static void *send_flow(void *arg)
{
	struct flow *f = arg;
	struct datagram d[BATCH];
	struct iovec piece[BATCH];
	struct mmsghdr message[BATCH] = { 0 };
	int64_t began = now_ns();
	uint32_t i = 0, n;

	while (i < f->count) {
		int64_t now = now_ns(), due = began + (int64_t)(i * UINT64_C(1000000000) / f->rate), passed;
		int sent;

		if (due > now) {
			struct timespec pause = { .tv_nsec = due - now < PAUSE_NS ? (long)(due - now)
										  : PAUSE_NS };

			nanosleep(&pause, NULL);
			continue;
		}
		passed = (int64_t)((uint64_t)(now - began) * f->rate / 1000000000) + 1;
		for (n = 0; n < BATCH && i + n < f->count && i + n < passed; n++) {
			d[n] = (struct datagram){ .flow = f->index, .number = i + n, .sent_ns = now };
			piece[n] = (struct iovec){ &d[n], sizeof(d[n]) };
			message[n].msg_hdr = (struct msghdr){ .msg_iov = &piece[n], .msg_iovlen = 1 };
		}
		sent = sendmmsg(f->fd, message, n, 0);
		if (sent < 0 && errno == EAGAIN)
			return NULL; /* nothing accepts what is queued */
		i += sent > 0 ? (uint32_t)sent : 0;
	}
	return NULL;
}

/* With a large buffer, so that packets that wait in the queue do not slow down the sender. */
static int udp_socket(int option)
{
	const int size = 128 << 20;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size));
	return fd;
}

static int receiver(uint16_t port, struct sockaddr_in *to)
{
	const struct timeval wait = { .tv_usec = 100000 };
	int fd = udp_socket(SO_RCVBUFFORCE), on = 1;

	*to = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)to, sizeof(*to)) < 0) {
		perror("bind");
		exit(2);
	}
	return fd;
}

struct received {
	struct datagram d;
	int64_t arrived; /* the kernel's time */
};

/* Returns how many datagrams came; 0 on timeout. */
static unsigned receive(int fd, struct received *r)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
	} control[BATCH];
	struct iovec piece[BATCH];
	struct mmsghdr message[BATCH];
	unsigned i, count = 0;
	int n;

	for (i = 0; i < BATCH; i++) {
		piece[i] = (struct iovec){ &r[i].d, sizeof(r[i].d) };
		message[i].msg_hdr = (struct msghdr){ .msg_iov = &piece[i],
						      .msg_iovlen = 1,
						      .msg_control = &control[i],
						      .msg_controllen = sizeof(control[i]) };
	}
	n = recvmmsg(fd, message, BATCH, MSG_WAITFORONE, NULL);
	for (i = 0; (int)i < n; i++) {
		const struct cmsghdr *c = CMSG_FIRSTHDR(&message[i].msg_hdr);
		struct timespec t;

		if (message[i].msg_len != sizeof(r[i].d) || c == NULL || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		r[count].d = r[i].d;
		r[count++].arrived = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
	}
	return count;
}

/* What the flows have in common. */
static struct {
	uint64_t sent, arrived, twice, order;
	int64_t last, slowest;
	FILE *gaps;
} all;

static void account(const struct received *r, unsigned flow_count)
{
	struct flow *f = &flows[r->d.flow < flow_count ? r->d.flow : 0];

	if (r->d.flow >= flow_count || r->d.number >= f->count)
		return;
	if (all.gaps != NULL && r->arrived - all.last >= GAP_MS * 1000000)
		fprintf(all.gaps, "%.3f %.3f\n", (double)all.last / 1e6,
			(double)(r->arrived - all.last) / 1e6);
	all.last = r->arrived;
	if (r->arrived - r->d.sent_ns > all.slowest)
		all.slowest = r->arrived - r->d.sent_ns;
	all.twice += f->seen[r->d.number];
	all.arrived += !f->seen[r->d.number];
	f->seen[r->d.number] = 1;
	if (r->d.number < f->next)
		all.order++;
	else
		f->next = r->d.number + 1;
}

int main(int argc, char **argv)
{
	uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
	unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0, i, n;
	const struct timeval patience = { .tv_sec = 10 };
	struct received r[BATCH];
	struct sockaddr_in to;
	int64_t end;
	int fd;

	if (argc < 5 || argc > 6 || rate == 0 || count == 0 || count > FLOWS_MAX) {
		fputs("usage: keep_traffic RATE SECONDS FLOWS PORT [FILE]\n", stderr);
		return 2;
	}
	if (argc > 5 && (all.gaps = fopen(argv[5], "we")) == NULL) {
		perror(argv[5]);
		return 2;
	}
	fd = receiver((uint16_t)strtoul(argv[4], NULL, 10), &to);
	for (i = 0; i < count; i++) {
		struct flow *f = &flows[i];

		f->index = i;
		f->rate = rate / count;
		f->count = (uint32_t)((double)f->rate * seconds);
		f->seen = calloc(f->count + 1, 1);
		f->fd = udp_socket(SO_SNDBUFFORCE);
		setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (f->seen == NULL || connect(f->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		    pthread_create(&f->thread, NULL, send_flow, f) != 0) {
			perror("keep_traffic");
			return 2;
		}
		all.sent += f->count;
	}
	all.last = now_ns();
	end = all.last + (int64_t)(seconds * 1e9);
	while (all.arrived < all.sent &&
	       now_ns() < (all.last > end ? all.last : end) + WAIT_MS * INT64_C(1000000))
		for (i = 0, n = receive(fd, r); i < n; i++)
			account(&r[i], count);
	if (all.gaps != NULL)
		fclose(all.gaps);
	for (i = 0; i < count; i++)
		pthread_join(flows[i].thread, NULL);
	printf("sent %llu arrived %llu twice %llu order %llu slowest %.1f ms\n", (unsigned long long)all.sent,
	       (unsigned long long)all.arrived, (unsigned long long)all.twice, (unsigned long long)all.order,
	       (double)all.slowest / 1e6);
	return all.arrived == all.sent && all.twice == 0 ? 0 : 1;
}
