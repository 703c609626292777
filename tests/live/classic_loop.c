// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * classic_loop libipq|byhand: the shortest program that accepts the packets of queue 0, with the classic calls or on a
 * plain netlink socket, for tests that compare the cost of the two. Ends at the first packet whose payload is the text
 * "the end".
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libipq.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END "the end"

static _Alignas(8) unsigned char buf[65536 + 4096];

static bool is_end(const unsigned char *packet, size_t len)
{
	return len == 28 + sizeof(END) - 1 && memcmp(packet + 28, END, sizeof(END) - 1) == 0;
}

static int libipq(void)
{
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	bool end = false;

	if (h == NULL || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0)
		goto out;
	while (!end && ipq_read(h, buf, sizeof(buf), 0) > 0) {
		ipq_packet_msg_t *m = ipq_get_packet(buf);

		if (ipq_message_type(buf) != IPQM_PACKET)
			break;
		end = is_end(m->payload, m->data_len);
		if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0)
			break;
	}
out:
	if (!end)
		ipq_perror("classic_loop");
	ipq_destroy_handle(h);
	return end ? 0 : 1;
}

/* ---- on a plain netlink socket ------------------------------------------------------------------- */

struct message {
	struct nlmsghdr nlh;
	struct nfgenmsg gen;
	unsigned char attrs[128];
};

static void message_init(struct message *m, uint16_t type)
{
	memset(m, 0, sizeof(*m));
	m->nlh.nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	m->nlh.nlmsg_flags = NLM_F_REQUEST;
	m->nlh.nlmsg_len = NLMSG_LENGTH(sizeof(m->gen));
}

static void put(struct message *m, uint16_t type, const void *data, uint16_t len)
{
	struct nlattr attr = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };
	unsigned char *at = (unsigned char *)m + m->nlh.nlmsg_len;

	memcpy(at, &attr, sizeof(attr));
	memcpy(at + NLA_HDRLEN, data, len);
	m->nlh.nlmsg_len += NLA_ALIGN(attr.nla_len);
}

static int take_queue(int fd)
{
	struct nfqnl_msg_config_cmd cmd = { .command = NFQNL_CFG_CMD_BIND };
	struct nfqnl_msg_config_params params = { .copy_mode = NFQNL_COPY_PACKET };
	struct message m;
	int error = -1;

	message_init(&m, NFQNL_MSG_CONFIG);
	m.nlh.nlmsg_flags |= NLM_F_ACK;
	put(&m, NFQA_CFG_CMD, &cmd, sizeof(cmd));
	put(&m, NFQA_CFG_PARAMS, &params, sizeof(params));
	if (send(fd, &m, m.nlh.nlmsg_len, 0) < 0 || recv(fd, &m, sizeof(m), 0) < 0)
		return -1;
	if (m.nlh.nlmsg_type == NLMSG_ERROR)
		memcpy(&error, NLMSG_DATA(&m.nlh), sizeof(error));
	return error == 0 ? 0 : -1;
}

static void find(const unsigned char *message, size_t len, const struct nlattr *found[NFQA_MAX + 1])
{
	size_t at = NLMSG_LENGTH(sizeof(struct nfgenmsg));

	memset(found, 0, sizeof(found[0]) * (NFQA_MAX + 1));
	while (at + NLA_HDRLEN <= len) {
		const struct nlattr *attr = (const void *)(message + at);

		if (attr->nla_len < NLA_HDRLEN || at + attr->nla_len > len)
			return;
		if (attr->nla_type <= NFQA_MAX)
			found[attr->nla_type] = attr;
		at += NLA_ALIGN(attr->nla_len);
	}
}

static int byhand(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	const struct nlattr *found[NFQA_MAX + 1], *payload;
	struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_ACCEPT) };
	struct message m;
	bool end = false;
	ssize_t n;

	if (fd < 0 || take_queue(fd) < 0) {
		perror("classic_loop");
		return 1;
	}
	while (!end && (n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		find(buf, (size_t)n, found);
		if (found[NFQA_PACKET_HDR] == NULL)
			continue;
		payload = found[NFQA_PAYLOAD];
		end = payload != NULL && is_end((const void *)(payload + 1), payload->nla_len - NLA_HDRLEN);
		memcpy(&verdict.id, found[NFQA_PACKET_HDR] + 1, sizeof(verdict.id));
		message_init(&m, NFQNL_MSG_VERDICT);
		put(&m, NFQA_VERDICT_HDR, &verdict, sizeof(verdict));
		if (send(fd, &m, m.nlh.nlmsg_len, 0) < 0)
			break;
	}
	return end ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "libipq") == 0)
		return libipq();
	if (argc == 2 && strcmp(argv[1], "byhand") == 0)
		return byhand();
	fprintf(stderr, "usage: %s libipq|byhand\n", argv[0]);
	return 2;
}
