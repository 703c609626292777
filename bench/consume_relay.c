/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lower bound for ipq run: the least cost of a second process between the queue and a program. The program of
 * consume_run.c is at one end of a socket pair. The process at the other end makes the fewest system calls that deliver
 * packets and return verdicts; it checks, counts and stores nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ipqueue/engine.h" /* used only for the socket pair: no code of the engine is measured */
#include "raw.h"

#define FRONT 128 /* at least the bytes before the payload in ip_queue's message */
#define PLACE (FRONT + SLOT)
#define BUSY 16 /* after a round with this many packets and verdicts, sleep: more arrive in the meantime */

struct relay {
	struct raw raw;
	int fd; /* socket to the program */
	unsigned char *packets, *requests;
	struct mmsghdr in[BATCH], out[BATCH], asked[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH], asked_iov[BATCH];
};

static int complain(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	return -1;
}

static void start_program(const struct job *job, int fd)
{
	char file[16], verdict[16], socket[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(file, sizeof(file), "%d", job->tally_file);
	snprintf(verdict, sizeof(verdict), "%d", (int)job->verdict);
	snprintf(socket, sizeof(socket), "%d", fd);
	execl("/proc/self/exe", "bench", OLD_PROGRAM, file, verdict, job->meta ? "1" : "0", socket,
	      (char *)NULL);
	_exit(1);
}

static int pair_up(const struct job *job)
{
	pid_t program;
	int pair[2];

	if (engine_socketpair(pair, 0) < 0 || fcntl(pair[1], F_SETFD, 0) < 0)
		return complain("pair of sockets");
	for (int i = 0; i < 2; i++)
		engine_enlarge(pair[i], RECEIVE_BUFFER);
	program = fork();
	if (program == 0)
		start_program(job, pair[1]);
	close(pair[1]);
	return program < 0 ? complain("fork") : pair[0];
}

static void message_set(struct mmsghdr *m, struct iovec *iov, void *data, size_t len)
{
	*iov = (struct iovec){ data, len };
	m->msg_hdr = (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1 };
}

/* Passes packets from the queue to the program. Returns the number of packets, or -1. */
static int bring_packets(struct relay *r)
{
	int sent = 0, n = recvmmsg(r->raw.fd, r->in, BATCH, MSG_DONTWAIT, NULL), count = 0;
	struct raw_packet p;

	if (n < 0)
		return errno == EAGAIN ? 0 : complain("recvmmsg");
	for (int i = 0; i < n; i++) {
		if (!raw_parse(r->in_iov[i].iov_base, r->in[i].msg_len, &p))
			continue;
		unsigned char *payload =
			p.payload != NULL ? p.payload : (unsigned char *)r->in_iov[i].iov_base + FRONT;
		ipq_packet_msg_t m = { .packet_id = p.id, .mark = p.mark, .hook = 1, .data_len = p.len };
		struct nlmsghdr nlh = { .nlmsg_len = (uint32_t)NLMSG_ALIGN(sizeof(nlh) + sizeof(m) + p.len),
					.nlmsg_type = IPQM_PACKET };

		memcpy(payload - sizeof(m), &m, sizeof(m));
		memcpy(payload - sizeof(m) - sizeof(nlh), &nlh, sizeof(nlh));
		message_set(&r->out[count], &r->out_iov[count], payload - sizeof(m) - sizeof(nlh),
			    nlh.nlmsg_len);
		count++;
	}
	while (sent < count) {
		int k = sendmmsg(r->fd, r->out + sent, (unsigned)(count - sent), 0);

		if (k < 0)
			return complain("sendmmsg");
		sent += k;
	}
	return count;
}

/* Passes verdicts from the program to the queue. Returns the number of verdicts, or -1. */
static int bring_verdicts(struct relay *r)
{
	int n = recvmmsg(r->fd, r->asked, BATCH, MSG_DONTWAIT, NULL);

	if (n < 0)
		return errno == EAGAIN ? 0 : complain("program");
	for (int i = 0; i < n; i++) {
		const struct nlmsghdr *nlh = r->asked_iov[i].iov_base;
		const ipq_verdict_msg_t *v = (const void *)(nlh + 1);
		struct raw_packet p = { .id = (uint32_t)v->id,
					.payload = (unsigned char *)(uintptr_t)(v + 1),
					.len = v->data_len };

		if (r->asked[i].msg_len == 0)
			return -1;
		if (nlh->nlmsg_type != IPQM_VERDICT)
			continue;
		if ((v->data_len > 0 ? raw_replace(&r->raw, &p) : raw_verdict(&r->raw, p.id, v->value)) < 0)
			return -1;
	}
	return raw_flush(&r->raw) < 0 ? -1 : n;
}

static int relay(struct relay *r)
{
	static const struct timespec nap = { .tv_nsec = 20000 };
	int packets, verdicts;

	for (;;) {
		struct pollfd p[2] = { { .fd = r->raw.fd, .events = POLLIN },
				       { .fd = r->fd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0)
			return complain("poll");
		packets = bring_packets(r);
		verdicts = bring_verdicts(r);
		if (packets < 0 || verdicts < 0)
			return -1;
		if (packets + verdicts >= BUSY && packets < (int)BATCH && verdicts < (int)BATCH)
			nanosleep(&nap, NULL);
	}
}

int consume_relay(const struct job *job, unsigned queue, struct tally *tally)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (r == NULL || (r->packets = malloc((size_t)BATCH * PLACE)) == NULL ||
	    (r->requests = malloc((size_t)BATCH * PLACE)) == NULL ||
	    raw_open(&r->raw, job, queue, tally, false) < 0)
		return -1;
	r->raw.coalesce = job->verdict == ALWAYS_ACCEPT || job->verdict == ALWAYS_DROP;
	r->raw.limit = BATCH;
	for (unsigned i = 0; i < BATCH; i++) {
		message_set(&r->in[i], &r->in_iov[i], r->packets + (size_t)i * PLACE + FRONT, SLOT);
		message_set(&r->asked[i], &r->asked_iov[i], r->requests + (size_t)i * PLACE, SLOT);
	}
	r->fd = pair_up(job); /* the program reports that it is ready */
	return r->fd < 0 ? -1 : relay(r);
}
