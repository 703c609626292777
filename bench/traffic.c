/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UDP over loopback, sent and received by one thread.
 *
 * For bursts, packets are sent as UDP GSO (UDP_SEGMENT), 32 per send, and the kernel splits them when it queues them.
 * Packets that a network card has merged arrive in the same way. This costs the sender a third of the time of single
 * sends. A single send over loopback takes longer than a reader needs for the packet, so no reader would ever find two
 * packets.
 *
 * Accepted packets wait in one of two sockets. The last packets of each group, the markers, one for each flow, go to
 * the second socket. A queue keeps the order of a flow, so the arrival of the markers shows that the whole group has
 * been decided. The driver sleeps until a marker arrives, so it is woken once per group. It reads the first socket
 * while the clock is stopped (bursts), or many packets at a time (otherwise).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <inttypes.h>
#include <math.h>
#include "bench.h"

#define LARGEST_GROUP 1024
#define FLOWS 16   /* number of flows for more than one queue: --queue-balance hashes the addresses */
#define STAMPED 32 /* PACED: maximum number of packets that one call receives */
#define BITE 64	   /* FLOOD, HOLDING: number of packets between two checks */
#define WINDOW_PACKETS 200
#define LARGEST_SEND 60000
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define UNREAD_MOST 2048 /* HOLDING: maximum number of packets that wait in the consumer's socket */

struct traffic {
	const struct scenario *s;
	int send_fd, marked_fd, packets_fd, markers_fd;
	unsigned flows;
	uint64_t sent, arrived, markers_due, sink_errors;
	unsigned unread;	      /* number of packets sent since the packets' socket was last emptied */
	uint64_t paused_ns, quiet_ns; /* time to subtract: reading between bursts, and the final wait */
	double *latency;
	unsigned samples;
	unsigned next_flow;
	unsigned char payload[LARGEST_SEND];
	struct iovec out[LARGEST_GROUP], in;
	struct sockaddr_in to[2][FLOWS];
	struct mmsghdr send[LARGEST_GROUP], sink[LARGEST_GROUP], stamped[STAMPED];
};

static int udp_socket(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval patience = { .tv_sec = 2 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	socket_enlarge(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (port != 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void prepare(struct traffic *t)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		t->to[0][i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT_PACKETS) };
		t->to[0][i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
		t->to[1][i] = t->to[0][i];
		t->to[1][i].sin_port = htons(PORT_MARKERS);
	}
	t->in = (struct iovec){ t->payload, 4 }; /* receive only the first 4 bytes */
	for (unsigned i = 0; i < LARGEST_GROUP; i++) {
		t->out[i].iov_base = t->payload;
		t->send[i].msg_hdr = (struct msghdr){ .msg_namelen = sizeof(t->to[0][0]),
						      .msg_iov = &t->out[i],
						      .msg_iovlen = 1 };
		t->sink[i].msg_hdr = (struct msghdr){ .msg_iov = &t->in, .msg_iovlen = 1 };
	}
}

int traffic_open(struct traffic **out, const struct scenario *s)
{
	struct traffic *t = calloc(1, sizeof(*t));
	uint32_t mark = MARKER;
	int size = (int)s->size;

	*out = t;
	if (t == NULL || s->size * s->segments > LARGEST_SEND)
		return -1;
	t->s = s;
	t->flows = s->queues > 1 ? FLOWS : 1;
	t->sink_errors = ground_sink_errors();
	t->send_fd = udp_socket(0);
	t->marked_fd = udp_socket(0);
	t->packets_fd = udp_socket(PORT_PACKETS);
	t->markers_fd = udp_socket(PORT_MARKERS);
	prepare(t);
	if (t->send_fd < 0 || t->marked_fd < 0 || t->packets_fd < 0 || t->markers_fd < 0 ||
	    setsockopt(t->marked_fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    (s->segments > 1 && setsockopt(t->send_fd, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)) {
		fprintf(stderr, "bench: UDP sockets: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}

void traffic_close(struct traffic *t)
{
	if (t == NULL)
		return;
	close(t->send_fd);
	close(t->marked_fd);
	close(t->packets_fd);
	close(t->markers_fd);
	free(t->latency);
	free(t);
}

uint64_t traffic_sent(const struct traffic *t)
{
	return t->sent;
}

/* One message per flow for the markers; otherwise the scenario's number of packets per message. */
static unsigned messages_make(struct traffic *t, bool markers, unsigned packets)
{
	unsigned most = markers || t->s->segments == 0 ? 1 : t->s->segments, n;

	for (n = 0; packets > 0; n++) {
		unsigned k = packets < most ? packets : most;

		t->out[n].iov_len = (size_t)k * t->s->size;
		t->send[n].msg_hdr.msg_name =
			&t->to[markers][(markers && t->s->pattern != PACED ? n : t->next_flow++) % t->flows];
		packets -= k;
	}
	return n;
}

static int send_some(struct traffic *t, bool markers, unsigned packets)
{
	unsigned n = messages_make(t, markers, packets), bite = t->s->one_by_one ? 1 : LARGEST_GROUP;

	for (unsigned done = 0; done < n;) {
		int k = sendmmsg(markers ? t->marked_fd : t->send_fd, t->send + done,
				 n - done < bite ? n - done : bite, 0);

		if (k <= 0) {
			fprintf(stderr, "bench: sendmmsg: %s\n", strerror(errno));
			return -1;
		}
		done += (unsigned)k;
	}
	t->sent += packets;
	return 0;
}

/* Sends a group: packets, then a marker for each flow. */
static int send_group(struct traffic *t)
{
	unsigned plain = t->s->group - t->flows;

	if (plain > 0 && send_some(t, false, plain) < 0)
		return -1;
	t->unread += plain;
	t->markers_due += t->flows;
	return send_some(t, true, t->flows);
}

/*
 * Receives waiting packets. Returns their number, or -1 if none arrived in time (with MSG_DONTWAIT: if none waits).
 */
static int sink(struct traffic *t, int fd, unsigned most, int flags)
{
	int n = recvmmsg(fd, t->sink, most < LARGEST_GROUP ? most : LARGEST_GROUP, flags, NULL);

	if (n > 0)
		t->arrived += (unsigned)n;
	return n > 0 ? n : -1;
}

static void sink_all(struct traffic *t, int fd)
{
	while (sink(t, fd, LARGEST_GROUP, MSG_DONTWAIT) > 0)
		;
}

#define MISSING_NS 2000000000u

/*
 * Waits until at most `due` markers are in flight. Sleeps, or polls if the cost of waking the driver must not be
 * part of the consumers' figures.
 */
static int wait_markers(struct traffic *t, uint64_t due)
{
	uint64_t limit = t->s->awake ? now_ns() + MISSING_NS : 0;

	while (t->markers_due > due) {
		int n = sink(t, t->markers_fd, LARGEST_GROUP, t->s->awake ? MSG_DONTWAIT : MSG_WAITFORONE);

		if (n < 0 && t->s->awake && errno == EAGAIN && now_ns() < limit)
			continue;
		if (n < 0) {
			fprintf(stderr, "bench: %s: packets are missing\n", t->s->name);
			return -1;
		}
		t->markers_due -= (unsigned)n;
	}
	return 0;
}

static int run_window(struct traffic *t, unsigned packets)
{
	const struct scenario *s = t->s;
	uint64_t most = (uint64_t)(s->window - s->group) / s->group * t->flows;
	bool burst = s->window == s->group;

	for (unsigned i = 0; i < packets; i += s->group) {
		if (wait_markers(t, most) < 0)
			return -1;
		if (t->unread >= 2 * LARGEST_GROUP || (burst && t->unread > 0)) {
			uint64_t start = now_ns();

			sink_all(t, t->packets_fd);
			t->unread = 0;
			t->paused_ns += burst ? now_ns() - start : 0;
		}
		if (send_group(t) < 0)
			return -1;
	}
	return wait_markers(t, 0);
}

static int run_latency(struct traffic *t, unsigned packets)
{
	double *grown = realloc(t->latency, (t->samples + packets) * sizeof(*grown));

	if (grown == NULL)
		return -1;
	t->latency = grown;
	for (unsigned i = 0; i < packets; i++) {
		uint64_t start = now_ns();

		t->markers_due++;
		if (send_some(t, true, 1) < 0 || wait_markers(t, 0) < 0)
			return -1;
		t->latency[t->samples++] = (double)(now_ns() - start) / 1000;
	}
	return 0;
}

/* Stores the latencies of the packets that have arrived. */
static void sink_stamped(struct traffic *t, unsigned char (*stamp)[8])
{
	int n = recvmmsg(t->markers_fd, t->stamped, STAMPED, MSG_DONTWAIT, NULL);
	uint64_t now = now_ns(), sent;

	for (int i = 0; i < n; i++) {
		memcpy(&sent, stamp[i], sizeof(sent));
		t->latency[t->samples++] = (double)(now - sent) / 1000;
	}
	t->arrived += n > 0 ? (unsigned)n : 0;
}

/* One thread sends at the due times and polls for arrivals in between; it never sleeps. */
static int run_paced(struct traffic *t, unsigned packets)
{
	double *grown = realloc(t->latency, (t->samples + packets) * sizeof(*grown));
	uint64_t begin = now_ns(), last = begin, wanted = t->samples + packets;
	unsigned char stamp[STAMPED][8];
	struct iovec part[STAMPED];

	if (grown == NULL)
		return -1;
	t->latency = grown;
	for (unsigned i = 0; i < STAMPED; i++) {
		part[i] = (struct iovec){ stamp[i], sizeof(stamp[i]) };
		t->stamped[i].msg_hdr = (struct msghdr){ .msg_iov = &part[i], .msg_iovlen = 1 };
	}
	for (unsigned sent = 0; t->samples < wanted;) {
		uint64_t now = now_ns();

		if (sent < packets && now - begin >= sent * UINT64_C(1000000000) / t->s->rate) {
			memcpy(t->payload, &now, sizeof(now));
			if (send_some(t, true, 1) < 0)
				return -1;
			sent++;
			last = now;
		}
		sink_stamped(t, stamp);
		if (now - last > MISSING_NS) {
			fprintf(stderr, "bench: %s: packets are missing\n", t->s->name);
			return -1;
		}
	}
	return 0;
}

static uint64_t read_by(const struct job *job, bool decided)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < job->queues; i++)
		n += decided ? job->tally[i].accepted + job->tally[i].dropped : job->tally[i].received;
	return n;
}

static void doze(long us)
{
	struct timespec t = { .tv_nsec = us * 1000 };

	nanosleep(&t, NULL);
}

/*
 * Waits until no packet waits in the kernel. If the kernel does not report that, waits until the consumer has
 * decided no packet for 20 ms.
 */
static bool all_decided(const struct job *job, uint64_t *decided, uint64_t *since)
{
	struct queue_counts counts = ground_queues();
	uint64_t now = read_by(job, true);

	if (counts.known)
		return counts.waiting == 0;
	if (now != *decided)
		*since = now_ns();
	*decided = now;
	return now_ns() - *since > 20000000u;
}

static int wait_decided(struct traffic *t, const struct job *job)
{
	uint64_t since = now_ns(), limit = since + 5000000000u, decided = 0;

	while (!all_decided(job, &decided, &since)) {
		sink_all(t, t->packets_fd);
		sink_all(t, t->markers_fd);
		doze(100);
		if (now_ns() > limit) {
			fprintf(stderr, "bench: %s: packets were never decided\n", t->s->name);
			return -1;
		}
	}
	t->quiet_ns = ground_queues().known ? 0 : now_ns() - since;
	return 0;
}

static int run_flood(struct traffic *t, const struct job *job, unsigned packets)
{
	for (unsigned i = 0; i < packets; i += BITE) {
		if (send_some(t, false, BITE) < 0)
			return -1;
		if (i % (8 * BITE) == 0)
			sink_all(t, t->packets_fd);
	}
	return wait_decided(t, job);
}

/* Waits until at most UNREAD_MOST packets wait in the consumer's socket. */
static int wait_read(struct traffic *t, const struct job *job)
{
	uint64_t limit = now_ns() + 5000000000u;

	while (t->sent - read_by(job, false) > UNREAD_MOST) {
		sink_all(t, t->packets_fd);
		doze(50);
		if (now_ns() > limit) {
			fprintf(stderr, "bench: %s: the consumer reads no more\n", t->s->name);
			return -1;
		}
	}
	return 0;
}

static int run_holding(struct traffic *t, const struct job *job, unsigned packets)
{
	for (unsigned i = 0; i < packets; i += BITE) {
		unsigned n = packets - i < BITE ? packets - i : BITE;

		if (wait_read(t, job) < 0)
			return -1;
		if (send_some(t, false, n) < 0)
			return -1;
	}
	return wait_decided(t, job);
}

/*
 * Waits until the consumer's counters are complete. The consumer counts a packet after it has sent the verdict. It
 * never counts packets that overflowed, so this wait is limited to a moment.
 */
static void wait_tally(const struct job *job, uint64_t expected)
{
	uint64_t limit = now_ns() + 1000000u;

	while (read_by(job, true) < expected && now_ns() < limit)
		doze(20);
}

int traffic_run(struct traffic *t, const struct job *job, unsigned packets, struct result *r)
{
	uint64_t sent = t->sent, decided = read_by(job, true), start = now_ns();
	int err;

	t->paused_ns = t->quiet_ns = 0;
	if (t->s->pattern == WINDOW)
		err = run_window(t, packets);
	else if (t->s->pattern == LATENCY)
		err = run_latency(t, packets);
	else if (t->s->pattern == PACED)
		err = run_paced(t, packets);
	else if (t->s->pattern == FLOOD)
		err = run_flood(t, job, packets);
	else
		err = run_holding(t, job, packets);
	if (err < 0)
		return err;
	r->seconds += (double)(now_ns() - start - t->paused_ns - t->quiet_ns) / 1e9;
	wait_tally(job, decided + (t->sent - sent));
	r->sent += t->sent - sent;
	r->handled += read_by(job, true) - decided;
	r->rate = (double)r->handled / r->seconds;
	return 0;
}

/* The median of the p99 of each WINDOW_PACKETS. A processor that the machine takes away for milliseconds spoils the
 * windows in which it happens, and not this figure. Sorts each window. */
static double p99_window(double *latency, unsigned n)
{
	unsigned windows = n / WINDOW_PACKETS;
	double *p99 = malloc((windows + 1) * sizeof(*p99)), middle;

	if (p99 == NULL)
		return NAN;
	for (unsigned i = 0; i < windows; i++) {
		median(latency + i * WINDOW_PACKETS, WINDOW_PACKETS);
		p99[i] = latency[i * WINDOW_PACKETS + WINDOW_PACKETS * 99 / 100];
	}
	middle = median(p99, windows);
	free(p99);
	return middle;
}

void traffic_latency(struct traffic *t, struct result *r)
{
	if (t->samples == 0)
		return;
	r->p99_window = p99_window(t->latency, t->samples);
	r->p50 = median(t->latency, t->samples);
	r->p99 = t->latency[(uint64_t)t->samples * 99 / 100];
	r->p999 = t->latency[(uint64_t)t->samples * 999 / 1000];
}

int traffic_warm_up(struct traffic *t, const struct job *job, unsigned packets)
{
	struct result ignored = { 0 };
	unsigned samples = t->samples;
	int err = traffic_run(t, job, packets, &ignored);

	t->samples = samples;
	return err;
}

uint64_t traffic_arrived(struct traffic *t, uint64_t expected)
{
	uint64_t limit = now_ns() + 1000000000u, errors;

	for (;;) {
		sink_all(t, t->packets_fd);
		sink_all(t, t->markers_fd);
		errors = ground_sink_errors() - t->sink_errors;
		if (t->arrived + errors >= expected || now_ns() > limit)
			return t->arrived + errors;
		doze(1000);
	}
}
