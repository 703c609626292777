/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/core.h"
#include "keep/queue.h"
#include "nfqueue/diagnose.h"
#include "nfqueue/messages.h"
#include "util/netlink.h"

#define BYTES_EACH 4096
#define BUFFER_MAX (512U << 20)
#define LINES_MAX 2048
#define UPDATE_TRIES 5

static int open_spare(struct kept_queue *q, uint32_t receive_buffer, int min_fd, struct ipq_error *e)
{
	bool absent;
	int fd = netlink_open(&absent);

	if (fd >= 0) {
		q->spare_fd = fcntl(fd, F_DUPFD_CLOEXEC, min_fd);
		close(fd);
	}
	if (fd < 0 || q->spare_fd < 0)
		return ipq_fail(e, errno, "cannot open a netlink socket");
	netlink_set_receive_buffer(q->spare_fd, receive_buffer);
	return 0;
}

int kept_open(struct kept_queue *q, uint16_t number, uint32_t length, int min_fd, struct ipq_error *e)
{
	uint64_t bytes = (uint64_t)length * BYTES_EACH;
	struct source_config config = {
		.mode = COPY_PACKET,
		.queue_length = length,
		.receive_buffer = bytes > BUFFER_MAX ? BUFFER_MAX : (uint32_t)bytes,
		.flags = IPQ_O_SEGMENT,
	};
	struct source *source;
	char name[32];
	int err;

	snprintf(name, sizeof(name), "nfqueue:%u", number);
	err = source_open(&source, name, e);
	if (err < 0)
		return err;
	err = source->ops->configure(source, &config, e);
	if (err >= 0) {
		q->number = number;
		q->fd = fcntl(source->ops->fd(source), F_DUPFD_CLOEXEC, min_fd);
		err = q->fd < 0 ? ipq_fail(e, errno, "cannot duplicate a descriptor") : 0;
	}
	source->ops->close(source); /* this process's duplicate of the socket keeps the queue alive */
	return err < 0 ? err : open_spare(q, config.receive_buffer, min_fd, e);
}

/* Decides all packets that wait in this queue. A batch verdict covers the given id and the 2^31 ids before it. */
static void decide_all(int fd, uint16_t number, uint32_t verdict)
{
	static const uint32_t last[] = { INT32_MAX, UINT32_MAX, INT32_MAX };

	for (unsigned i = 0; i < 3; i++) {
		const struct source_verdict all = { .batch = 1, .id = last[i], .code = verdict };
		const struct nfq_bare message = nfq_bare(number, &all);

		send(fd, &message, sizeof(message), 0);
	}
}

/* Sends the requests for the policy, without NLM_F_ACK because no process would read the acknowledgements. */
void kept_apply_policy(struct kept_queue *q, bool open)
{
	const struct nfqnl_msg_config_params nothing = { .copy_mode = NFQNL_COPY_NONE };
	const uint32_t length = 0, verdict = open ? NF_ACCEPT : NF_DROP;
	struct nfq_config m = nfq_config(q->number);

	q->policy = true;
	q->configured = false; /* the socket still contains messages of decided packets */
	if (open) {	       /* make the kernel accept packets that find the queue full */
		nfq_config_put_flags(&m, NFQA_CFG_F_FAIL_OPEN, NFQA_CFG_F_FAIL_OPEN);
		send(q->fd, &m, m.nlh.nlmsg_len, 0);
		m = nfq_config(q->number);
		nfq_config_put(&m, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof(length));
	} else { /* make the kernel drop packets that find the queue full */
		nfq_config_put(&m, NFQA_CFG_PARAMS, &nothing, sizeof(nothing));
	}
	send(q->fd, &m, m.nlh.nlmsg_len, 0);
	/* The packets in the spare queues are older, so decide them first. */
	decide_all(q->spare_fd, nfqueue_spare(q->number, 1), verdict);
	decide_all(q->spare_fd, nfqueue_spare(q->number, 0), verdict);
	decide_all(q->fd, q->number, verdict);
}

static bool is_of(const struct kept_queue *q, uint32_t number)
{
	return number == q->number || number == nfqueue_spare(q->number, 0) ||
	       number == nfqueue_spare(q->number, 1);
}

/* Counts decided packets. Every packet has arrived in the main queue, and may now wait in a spare queue. */
static void count(const struct kept_queue *q, const struct queue_line *line, int n, uint32_t *decided,
		  uint32_t *waiting)
{
	*decided = *waiting = 0;
	for (int i = 0; i < n; i++) {
		if (!is_of(q, line[i].number))
			continue;
		if (line[i].number == q->number)
			*decided += line[i].last_id - line[i].user_dropped;
		*decided -= line[i].waiting;
		*waiting += line[i].waiting;
	}
}

int kept_update(struct kept_queue *q, unsigned count_of_queues, int64_t now)
{
	static struct queue_line line[LINES_MAX];
	uint32_t decided, waiting;
	int n = 0, tries;

	for (unsigned i = 0; i < count_of_queues; i++) {
		/*
		 * The kernel gives a packet its id before it counts the packet. In between, one packet too many
		 * seems to be decided.
		 */
		for (tries = 0; tries < UPDATE_TRIES; tries++) {
			if (i == 0 || tries > 0)
				n = queue_lines(line, LINES_MAX);
			if (n <= 0)
				return n < 0 ? n : -EACCES;
			count(&q[i], line, n, &decided, &waiting);
			if (decided != q[i].decided + 1)
				break;
		}
		if (decided != q[i].decided || waiting == 0)
			q[i].decided_last = now;
		q[i].decided = decided;
		q[i].waiting = waiting;
	}
	return 0;
}
