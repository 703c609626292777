/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program of 2001 under ipq run: it implements ip_queue's protocol itself, with one receive and one send per
 * packet, like the library that such programs were linked with. It is the benchmark program, which executes itself
 * again with OLD_PROGRAM. It keeps its tally in the file that it inherits.
 */
#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"

static uint32_t port; /* the port id, which the libipq of 2001 kept in its handle */

static int request(int fd, uint16_t type, const ipq_peer_msg_t *body, const void *payload, size_t len)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr header = { .nlmsg_len = (uint32_t)(sizeof(header) + sizeof(*body) + len),
				   .nlmsg_type = type,
				   .nlmsg_flags = NLM_F_REQUEST,
				   .nlmsg_pid = port };
	struct iovec iov[3] = { { &header, sizeof(header) },
				{ (void *)(uintptr_t)body, sizeof(*body) },
				{ (void *)(uintptr_t)payload, len } };
	struct msghdr msg = { .msg_name = &kernel,
			      .msg_namelen = sizeof(kernel),
			      .msg_iov = iov,
			      .msg_iovlen = len > 0 ? 3 : 2 };

	return sendmsg(fd, &msg, 0) < 0 ? -1 : 0;
}

static int decide(int fd, const struct job *job, const ipq_packet_msg_t *m)
{
	unsigned verdict = job_verdict(job, (uint32_t)m->packet_id, (uint32_t)m->mark);
	ipq_peer_msg_t body = { .msg.verdict = { .value = verdict, .id = m->packet_id } };
	size_t len = job->verdict == SEND_BACK ? m->data_len : 0;

	body.msg.verdict.data_len = len;
	tally_add(&job->tally->received, 1);
	if (request(fd, IPQM_VERDICT, &body, m->payload, len) < 0)
		return -1;
	tally_verdict(job->tally, verdict);
	return 0;
}

static int read_packets(int fd, const struct job *job)
{
	static unsigned char buf[65536 + 256] __attribute__((aligned(8)));
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);

	for (;;) {
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
		const struct nlmsghdr *header = (const void *)buf;

		if (n == 0) /* the relay has ended */
			return 0;
		if (n < 0 || len != sizeof(from))
			return -1;
		if (header->nlmsg_type == IPQM_PACKET && decide(fd, job, (const void *)(header + 1)) < 0)
			return -1;
		if (header->nlmsg_type == NLMSG_ERROR)
			return -1;
	}
}

static int ip_queue_socket(void)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK, .nl_pid = port };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_FIREWALL);

	return fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof(me)) < 0 ? -1 : fd;
}

/* Arguments: OLD_PROGRAM TALLY VERDICT META [SOCKET]. Returns only on failure. */
int old_program(char **argument)
{
	struct job job = { .verdict = (enum bench_verdict)atoi(argument[1]), .meta = atoi(argument[2]) != 0 };
	ipq_peer_msg_t body = { .msg.mode = { .value = job.meta ? IPQ_COPY_META : IPQ_COPY_PACKET } };
	int fd;

	port = (uint32_t)getpid();
	fd = argument[3] != NULL ? atoi(argument[3]) : ip_queue_socket();
	job.tally = mmap(NULL, sizeof(*job.tally), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argument[0]), 0);
	if (job.tally == MAP_FAILED || fd < 0 || request(fd, IPQM_MODE, &body, NULL, 0) < 0)
		return 1;
	usleep(50000); /* the mode is not acknowledged; a refusal arrives within this time */
	atomic_store(&job.tally->ready, 1);
	if (read_packets(fd, &job) == 0)
		return 0;
	perror("old program");
	return 1;
}

int consume_run(const struct job *job, unsigned queue, struct tally *tally)
{
	char self[PATH_MAX], file[16], verdict[16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)queue;
	(void)tally;
	if (n <= 0)
		return -1;
	self[n] = '\0';
	if (access(BENCH_IPQ, X_OK) < 0) {
		fprintf(stderr, "bench: run: %s: %s\n", BENCH_IPQ, strerror(errno));
		return UNAVAILABLE;
	}
	snprintf(file, sizeof(file), "%d", job->tally_file);
	snprintf(verdict, sizeof(verdict), "%d", (int)job->verdict);
	execl(BENCH_IPQ, BENCH_IPQ, "run", "--source", "nfqueue:0", "--", self, OLD_PROGRAM, file, verdict,
	      job->meta ? "1" : "0", (char *)NULL);
	return -1;
}
