/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keep_traffic RATE SECONDS FLOWS PORT [FILE]: sends numbered datagrams at this rate over the loopback device, in FLOWS
 * flows, and checks the arriving ones. One thread sends a flow. Prints how many were sent, arrived, arrived twice, or
 * arrived out of the order of their flow, and the longest delay of a datagram. Exits 0 if all arrived once. FILE: each
 * time without arrivals of GAP_MS or more, as two numbers: its start (since 1970) and its length in milliseconds. These
 * are the kernel's times, so that a slow receiver does not change them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX 16
#define WAIT_MS 20000 /* time to wait for the last datagrams */
#define GAP_MS 2

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

static void *send_flow(void *arg)
{
	struct flow *f = arg;
	int64_t began = now_ns();
	uint32_t i;

	for (i = 0; i < f->count; i++) {
		struct datagram d = { .flow = f->index, .number = i };
		int64_t due = began + (int64_t)(i * UINT64_C(1000000000) / f->rate), left;

		while ((left = due - now_ns()) > 0) {
			struct timespec pause = { .tv_nsec = left < 50000 ? (long)left : 50000 };

			nanosleep(&pause, NULL);
		}
		d.sent_ns = now_ns();
		while (send(f->fd, &d, sizeof(d), 0) < 0)
			if (errno == EAGAIN)
				return NULL; /* no program accepts the queued packets */
	}
	return NULL;
}

/* Opens a UDP socket with a large buffer, so that packets that wait in the queue do not slow down the sender. */
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

/* Receives a datagram. *arrived is the kernel's time of its arrival. */
static bool receive(int fd, struct datagram *d, int64_t *arrived)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct iovec piece = { d, sizeof(*d) };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	const struct cmsghdr *c;
	struct timespec t;

	if (recvmsg(fd, &message, 0) != sizeof(*d))
		return false;
	c = CMSG_FIRSTHDR(&message);
	if (c == NULL || c->cmsg_type != SCM_TIMESTAMPNS)
		return false;
	memcpy(&t, CMSG_DATA(c), sizeof(t));
	*arrived = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
	return true;
}

int main(int argc, char **argv)
{
	uint64_t rate = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, sent = 0, arrived = 0, twice = 0,
		 order = 0;
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
	unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0, i;
	const struct timeval patience = { .tv_sec = 10 };
	int64_t last, slowest = 0, end;
	struct sockaddr_in to;
	FILE *gaps = NULL;
	int fd;

	if (argc < 5 || argc > 6 || rate == 0 || count == 0 || count > FLOWS_MAX) {
		fputs("usage: keep_traffic RATE SECONDS FLOWS PORT [FILE]\n", stderr);
		return 2;
	}
	if (argc > 5 && (gaps = fopen(argv[5], "we")) == NULL) {
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
		sent += f->count;
	}
	last = now_ns();
	end = last + (int64_t)(seconds * 1e9);
	while (arrived < sent && now_ns() < (last > end ? last : end) + WAIT_MS * INT64_C(1000000)) {
		struct datagram d;
		struct flow *f;
		int64_t now;

		if (!receive(fd, &d, &now) || d.flow >= count || d.number >= flows[d.flow].count)
			continue;
		f = &flows[d.flow];
		if (gaps != NULL && now - last >= GAP_MS * 1000000)
			fprintf(gaps, "%.3f %.3f\n", (double)last / 1e6, (double)(now - last) / 1e6);
		last = now;
		if (now - d.sent_ns > slowest)
			slowest = now - d.sent_ns;
		twice += f->seen[d.number];
		arrived += !f->seen[d.number];
		f->seen[d.number] = 1;
		if (d.number < f->next)
			order++;
		else
			f->next = d.number + 1;
	}
	if (gaps != NULL)
		fclose(gaps);
	for (i = 0; i < count; i++)
		pthread_join(flows[i].thread, NULL);
	printf("sent %llu arrived %llu twice %llu order %llu slowest %.1f ms\n", (unsigned long long)sent,
	       (unsigned long long)arrived, (unsigned long long)twice, (unsigned long long)order,
	       (double)slowest / 1e6);
	return arrived == sent && twice == 0 ? 0 : 1;
}
