/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The newer API of libnetfilter_queue, on libmnl: mnl_cb_run, nfq_nlmsg_parse, nfq_nlmsg_verdict_put. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

struct mnl_consumer {
	struct mnl_socket *nl;
	unsigned queue;
	const struct job *job;
	struct tally *tally;
	struct hold hold;
	char *buf; /* buffer for a verdict with payload */
};

static int decide(void *context, uint32_t id, unsigned verdict)
{
	struct mnl_consumer *c = context;
	char buf[MNL_NLMSG_HDRLEN + 128];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, c->queue);

	nfq_nlmsg_verdict_put(nlh, (int)id, (int)verdict);
	return mnl_socket_sendto(c->nl, nlh, nlh->nlmsg_len) < 0 ? -1 : 0;
}

static int send_back(struct mnl_consumer *c, uint32_t id, const struct nlattr *payload)
{
	struct nlmsghdr *nlh = nfq_nlmsg_put(c->buf, NFQNL_MSG_VERDICT, c->queue);

	tally_add(&c->tally->received, 1);
	nfq_nlmsg_verdict_put(nlh, (int)id, NF_ACCEPT);
	if (payload != NULL)
		nfq_nlmsg_verdict_put_pkt(nlh, mnl_attr_get_payload(payload),
					  mnl_attr_get_payload_len(payload));
	tally_add(&c->tally->accepted, 1);
	return mnl_socket_sendto(c->nl, nlh, nlh->nlmsg_len) < 0 ? -1 : 0;
}

static int handle(const struct nlmsghdr *nlh, void *data)
{
	struct nlattr *attr[NFQA_MAX + 1] = { NULL };
	struct mnl_consumer *c = data;
	struct nfqnl_msg_packet_hdr *header;
	uint32_t id, mark;
	int err;

	if (nfq_nlmsg_parse(nlh, attr) < 0 || attr[NFQA_PACKET_HDR] == NULL)
		return MNL_CB_ERROR;
	header = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	id = ntohl(header->packet_id);
	mark = attr[NFQA_MARK] != NULL ? ntohl(mnl_attr_get_u32(attr[NFQA_MARK])) : 0;
	if (c->job->verdict == SEND_BACK)
		err = send_back(c, id, attr[NFQA_PAYLOAD]);
	else
		err = hold_packet(&c->hold, id, mark);
	return err < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int configure(struct mnl_consumer *c)
{
	char buf[512];
	struct nlmsghdr *nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, c->queue);

	nfq_nlmsg_cfg_put_cmd(nlh, AF_INET, NFQNL_CFG_CMD_BIND);
	nfq_nlmsg_cfg_put_params(nlh, c->job->meta ? NFQNL_COPY_META : NFQNL_COPY_PACKET, 0xffff);
	nfq_nlmsg_cfg_put_qmaxlen(nlh, c->job->queue_length);
	nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(c->nl, nlh, nlh->nlmsg_len) < 0)
		return -1;
	ssize_t n = mnl_socket_recvfrom(c->nl, buf, sizeof(buf));

	return n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, 0, 0, NULL, NULL);
}

int consume_mnl(const struct job *job, unsigned queue, struct tally *tally)
{
	size_t size = 65536 + 4096;
	struct mnl_consumer c = { .job = job, .tally = tally, .queue = queue, .buf = malloc(size) };
	char *buf = malloc(size);
	ssize_t n;
	int one = 1;

	c.nl = mnl_socket_open(NETLINK_NETFILTER);
	if (c.nl == NULL || c.buf == NULL || buf == NULL ||
	    mnl_socket_bind(c.nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    hold_init(&c.hold, job, tally, decide, &c) < 0 || configure(&c) < 0) {
		fprintf(stderr, "mnl: open: %s\n", strerror(errno));
		return -1;
	}
	socket_enlarge(mnl_socket_get_fd(c.nl));
	mnl_socket_setsockopt(c.nl, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	atomic_store(&tally->ready, 1);
	do {
		n = mnl_socket_recvfrom(c.nl, buf, size);
	} while (n >= 0 && mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(c.nl), handle, &c) >= 0);
	fprintf(stderr, "mnl: %s\n", strerror(errno));
	return -1;
}
