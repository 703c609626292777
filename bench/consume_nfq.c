/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnetfilter_queue as most programs use it: recv, nfq_handle_packet, and in the callback nfq_set_verdict. All
 * ratios are relative to this consumer. Its socket has the same receive buffer, and NETLINK_NO_ENOBUFS, like the
 * sockets of the other consumers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

struct nfq_consumer {
	struct nfq_q_handle *queue;
	const struct job *job;
	struct tally *tally;
	struct hold hold;
	int err;
};

static int decide(void *context, uint32_t id, unsigned verdict)
{
	struct nfq_consumer *c = context;

	return nfq_set_verdict(c->queue, id, verdict, 0, NULL);
}

static int handle(struct nfq_q_handle *qh, struct nfgenmsg *nfmsg, struct nfq_data *nfa, void *data)
{
	struct nfq_consumer *c = data;
	struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(nfa);
	unsigned char *payload;
	int len = nfq_get_payload(nfa, &payload);

	(void)nfmsg;
	if (header == NULL)
		return 0;
	if (c->job->verdict != SEND_BACK) {
		c->err = hold_packet(&c->hold, ntohl(header->packet_id), nfq_get_nfmark(nfa));
		return c->err;
	}
	tally_add(&c->tally->received, 1);
	c->err = nfq_set_verdict(qh, ntohl(header->packet_id), NF_ACCEPT, (uint32_t)(len > 0 ? len : 0),
				 payload);
	tally_add(&c->tally->accepted, 1);
	return c->err;
}

static int open_queue(struct nfq_handle *h, struct nfq_consumer *c, unsigned queue)
{
	int one = 1;

	c->queue = nfq_create_queue(h, (uint16_t)queue, handle, c);
	if (c->queue == NULL)
		return -1;
	socket_enlarge(nfq_fd(h));
	setsockopt(nfq_fd(h), SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	if (nfq_set_queue_maxlen(c->queue, c->job->queue_length) < 0)
		return -1;
	return nfq_set_mode(c->queue, c->job->meta ? NFQNL_COPY_META : NFQNL_COPY_PACKET, 0xffff);
}

int consume_nfq(const struct job *job, unsigned queue, struct tally *tally)
{
	static _Thread_local _Alignas(8) char buf[65536 + 4096];
	struct nfq_consumer c = { .job = job, .tally = tally };
	struct nfq_handle *h = nfq_open();

	if (h == NULL || hold_init(&c.hold, job, tally, decide, &c) < 0 || open_queue(h, &c, queue) < 0) {
		fprintf(stderr, "nfq: open: %s\n", strerror(errno));
		return -1;
	}
	atomic_store(&tally->ready, 1);
	while (c.err >= 0) {
		ssize_t n = recv(nfq_fd(h), buf, sizeof(buf), 0);

		if (n < 0)
			break;
		nfq_handle_packet(h, buf, (int)n);
	}
	fprintf(stderr, "nfq: %s\n", strerror(errno));
	return -1;
}
