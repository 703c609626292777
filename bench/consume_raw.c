/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lower bound: loops written by hand on a plain netlink socket, which visit every attribute of every message. Four
 * variants: one recv and one send per packet; the same without ever sleeping; recvmmsg and the verdict messages packed
 * into one send; recvmmsg and NFQNL_MSG_VERDICT_BATCH for each run of equal verdicts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "raw.h"

#ifndef NETLINK_CAP_ACK
#define NETLINK_CAP_ACK 10
#endif

static int complain(const char *what)
{
	fprintf(stderr, "raw: %s: %s\n", what, strerror(errno));
	return -1;
}

static void *put(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (struct nlattr *)((char *)nlh + NLMSG_ALIGN(nlh->nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = (uint16_t)(NLA_HDRLEN + len);
	memcpy(attr + 1, data, len);
	nlh->nlmsg_len = NLMSG_ALIGN(nlh->nlmsg_len) + NLA_ALIGN(attr->nla_len);
	return attr;
}

static int configure(const struct raw *raw, uint32_t flags)
{
	_Alignas(8) char buf[256] = { 0 };
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
	struct nfgenmsg *gen = NLMSG_DATA(nlh);
	struct nfqnl_msg_config_cmd cmd = { .command = NFQNL_CFG_CMD_BIND };
	struct nfqnl_msg_config_params params = {
		.copy_mode = raw->job->meta ? NFQNL_COPY_META : NFQNL_COPY_PACKET,
	};
	uint32_t length = htonl(raw->job->queue_length), mask = htonl(NFQA_CFG_F_GSO), value = htonl(flags);

	*nlh = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(sizeof(*gen)),
				  .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	*gen = (struct nfgenmsg){ .version = NFNETLINK_V0, .res_id = htons(raw->queue) };
	put(nlh, NFQA_CFG_CMD, &cmd, sizeof(cmd));
	put(nlh, NFQA_CFG_PARAMS, &params, sizeof(params));
	put(nlh, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof(length));
	put(nlh, NFQA_CFG_FLAGS, &value, sizeof(value));
	put(nlh, NFQA_CFG_MASK, &mask, sizeof(mask));
	if (send(raw->fd, buf, nlh->nlmsg_len, 0) < 0 || recv(raw->fd, buf, sizeof(buf), 0) < 0)
		return complain("configure");
	if (nlh->nlmsg_type == NLMSG_ERROR && ((struct nlmsgerr *)NLMSG_DATA(nlh))->error != 0) {
		errno = -((struct nlmsgerr *)NLMSG_DATA(nlh))->error;
		return complain("bind");
	}
	return 0;
}

int raw_open(struct raw *raw, const struct job *job, unsigned queue, struct tally *tally, bool gso)
{
	int one = 1;

	memset(raw, 0, sizeof(*raw));
	raw->queue = (uint16_t)queue;
	raw->job = job;
	raw->tally = tally;
	raw->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (raw->fd < 0)
		return complain("socket");
	socket_enlarge(raw->fd);
	setsockopt(raw->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	setsockopt(raw->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return configure(raw, gso && !job->split ? NFQA_CFG_F_GSO : 0);
}

static uint32_t attr_u32(const struct nlattr *attr)
{
	uint32_t value = 0;

	if (attr != NULL && attr->nla_len >= NLA_HDRLEN + sizeof(value))
		memcpy(&value, attr + 1, sizeof(value));
	return ntohl(value);
}

bool raw_parse(unsigned char *buf, size_t len, struct raw_packet *packet)
{
	struct nlattr *found[NFQA_MAX + 1] = { NULL };
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;
	size_t at = NLMSG_LENGTH(sizeof(struct nfgenmsg));

	if (len < at || nlh->nlmsg_len > len ||
	    nlh->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return false;
	while (at + NLA_HDRLEN <= nlh->nlmsg_len) {
		struct nlattr *attr = (struct nlattr *)(buf + at);

		if (attr->nla_len < NLA_HDRLEN || at + attr->nla_len > nlh->nlmsg_len)
			return false;
		if ((attr->nla_type & NLA_TYPE_MASK) <= NFQA_MAX)
			found[attr->nla_type & NLA_TYPE_MASK] = attr;
		at += NLA_ALIGN(attr->nla_len);
	}
	if (found[NFQA_PACKET_HDR] == NULL)
		return false;
	packet->id = attr_u32(found[NFQA_PACKET_HDR]);
	packet->mark = attr_u32(found[NFQA_MARK]);
	packet->info = attr_u32(found[NFQA_SKB_INFO]);
	packet->payload = found[NFQA_PAYLOAD] != NULL ? (unsigned char *)(found[NFQA_PAYLOAD] + 1) : NULL;
	packet->len = packet->payload != NULL ? found[NFQA_PAYLOAD]->nla_len - NLA_HDRLEN : 0;
	return true;
}

/* The field already holds the sum of the pseudo-header: add all bytes from the transport header on. */
static void complete_checksum(unsigned char *ip, size_t len)
{
	size_t head = (size_t)(ip[0] & 15) * 4, field = head + (ip[9] == IPPROTO_TCP ? 16 : 6);
	uint64_t sum = 0;
	uint32_t word;
	uint16_t folded;

	if (ip[0] >> 4 != 4 || field + 2 > len)
		return;
	unsigned char *p = ip + head, *end = ip + len;

	for (; p + 4 <= end; p += 4) {
		memcpy(&word, p, 4);
		sum += word;
	}
	word = 0;
	memcpy(&word, p, (size_t)(end - p));
	sum += word;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	if (folded == 0 && ip[9] == IPPROTO_UDP)
		folded = 0xffff;
	memcpy(ip + field, &folded, 2);
}

static struct payload_header *message_add(struct raw *raw, uint16_t type, uint32_t id, unsigned verdict)
{
	struct payload_header *m = &raw->message[raw->n++];

	m->message = (struct verdict_message){
		.nlh = { .nlmsg_len = sizeof(m->message),
			 .nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type),
			 .nlmsg_flags = NLM_F_REQUEST },
		.gen = { .version = NFNETLINK_V0, .res_id = htons(raw->queue) },
		.attr = { .nla_len = NLA_HDRLEN + sizeof(struct nfqnl_msg_verdict_hdr),
			  .nla_type = NFQA_VERDICT_HDR },
		.verdict = { .verdict = htonl(verdict), .id = htonl(id) },
	};
	raw->iov[raw->pieces++] = (struct iovec){ m, sizeof(m->message) };
	raw->bytes += sizeof(m->message);
	return m;
}

static void message_payload(struct raw *raw, struct payload_header *m, const struct raw_packet *packet)
{
	static const char padding[4];
	size_t pad = NLA_ALIGN(packet->len) - packet->len;

	if (packet->info & NFQA_SKB_CSUMNOTREADY)
		complete_checksum(packet->payload, packet->len);
	m->attr =
		(struct nlattr){ .nla_len = (uint16_t)(NLA_HDRLEN + packet->len), .nla_type = NFQA_PAYLOAD };
	m->message.nlh.nlmsg_len = (uint32_t)(sizeof(*m) + packet->len + pad);
	raw->iov[raw->pieces - 1].iov_len = sizeof(*m);
	raw->iov[raw->pieces++] = (struct iovec){ packet->payload, packet->len };
	if (pad)
		raw->iov[raw->pieces++] = (struct iovec){ (void *)padding, pad };
	raw->bytes += sizeof(m->attr) + packet->len + pad;
}

static int message_send(struct raw *raw)
{
	struct msghdr msg = { .msg_iov = raw->iov, .msg_iovlen = raw->pieces };
	ssize_t sent = 0;

	if (raw->n > 0 && raw->pieces == 1)
		sent = send(raw->fd, raw->iov[0].iov_base, raw->iov[0].iov_len, 0);
	else if (raw->n > 0)
		sent = sendmsg(raw->fd, &msg, 0);
	raw->n = raw->pieces = 0;
	raw->bytes = 0;
	return sent < 0 ? complain("send") : 0;
}

static int run_end(struct raw *raw)
{
	if (!raw->run)
		return 0;
	raw->run = false;
	message_add(raw, NFQNL_MSG_VERDICT_BATCH, raw->run_id, raw->run_verdict);
	return raw->n == raw->limit ? message_send(raw) : 0;
}

int raw_verdict(void *context, uint32_t id, unsigned verdict)
{
	struct raw *raw = context;

	if (!raw->coalesce) {
		message_add(raw, NFQNL_MSG_VERDICT, id, verdict);
		return raw->n == raw->limit ? message_send(raw) : 0;
	}
	if (raw->run && raw->run_verdict != verdict && run_end(raw) < 0)
		return -1;
	raw->run = true;
	raw->run_id = id;
	raw->run_verdict = verdict;
	return 0;
}

int raw_flush(struct raw *raw)
{
	return run_end(raw) < 0 ? -1 : message_send(raw);
}

int raw_replace(struct raw *raw, const struct raw_packet *packet)
{
	if (raw->bytes + packet->len > SEND_BYTES && message_send(raw) < 0)
		return -1;
	message_payload(raw, message_add(raw, NFQNL_MSG_VERDICT, packet->id, NF_ACCEPT), packet);
	return raw->n == raw->limit ? message_send(raw) : 0;
}

static int packet_decide(struct raw *raw, struct hold *hold, const struct raw_packet *packet)
{
	if (raw->job->verdict != SEND_BACK)
		return hold_packet(hold, packet->id, packet->mark);
	tally_add(&raw->tally->received, 1);
	tally_add(&raw->tally->accepted, 1);
	return raw_replace(raw, packet);
}

/* Polls until a packet arrives. Yields, because the sender may need this processor. */
static ssize_t recv_spinning(int fd, unsigned char *buf, size_t size)
{
	ssize_t n;

	for (unsigned looks = 1; (n = recv(fd, buf, size, MSG_DONTWAIT)) < 0 && errno == EAGAIN; looks++)
		if (looks % 4 == 0)
			sched_yield();
	return n;
}

static int consume_singly(const struct job *job, unsigned queue, struct tally *tally, bool spin)
{
	static _Thread_local unsigned char buf[SLOT];
	struct raw_packet packet;
	struct raw *raw = malloc(sizeof(*raw));
	struct hold hold;

	if (raw == NULL || raw_open(raw, job, queue, tally, false) < 0 ||
	    hold_init(&hold, job, tally, raw_verdict, raw) < 0)
		return -1;
	atomic_store(&tally->ready, 1);
	raw->limit = 1;
	for (;;) {
		ssize_t n =
			spin ? recv_spinning(raw->fd, buf, sizeof(buf)) : recv(raw->fd, buf, sizeof(buf), 0);

		if (n < 0)
			return complain("recv");
		if (!raw_parse(buf, (size_t)n, &packet))
			continue;
		if (packet_decide(raw, &hold, &packet) < 0)
			return -1;
	}
}

int consume_raw_one(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume_singly(job, queue, tally, false);
}

int consume_raw_spin(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume_singly(job, queue, tally, true);
}

static int consume_batches(const struct job *job, unsigned queue, struct tally *tally, bool coalesce)
{
	unsigned char *slots = malloc((size_t)BATCH * SLOT);
	struct mmsghdr msg[BATCH] = { 0 };
	struct iovec iov[BATCH];
	struct raw_packet packet;
	struct raw *raw = malloc(sizeof(*raw));
	struct hold hold;

	if (slots == NULL || raw == NULL || raw_open(raw, job, queue, tally, true) < 0 ||
	    hold_init(&hold, job, tally, raw_verdict, raw) < 0)
		return -1;
	atomic_store(&tally->ready, 1);
	raw->coalesce = coalesce;
	raw->limit = BATCH;
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ slots + (size_t)i * SLOT, SLOT };
		msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	for (;;) {
		int n = recvmmsg(raw->fd, msg, BATCH, MSG_WAITFORONE, NULL);

		if (n < 0)
			return complain("recvmmsg");
		for (int i = 0; i < n; i++)
			if (raw_parse(iov[i].iov_base, msg[i].msg_len, &packet) &&
			    packet_decide(raw, &hold, &packet) < 0)
				return -1;
		if (raw_flush(raw) < 0)
			return -1;
	}
}

int consume_raw_packed(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume_batches(job, queue, tally, false);
}

int consume_raw_batch(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume_batches(job, queue, tally, true);
}
