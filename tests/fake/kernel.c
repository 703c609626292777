// SPDX-License-Identifier: LGPL-2.1-or-later
#include <arpa/inet.h>
#include <fcntl.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "kernel.h"
#include "nfqueue/messages.h"
#include "util/bytes.h"

#define CONFIG_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG)
#define PACKET_TYPE (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)
#define ATTRIBUTES (NLMSG_HDRLEN + sizeof(struct nfgenmsg))
#define SYNC 0x434e5953

void kernel_send(const struct kernel *k, const void *message, size_t len)
{
	/* EPIPE or ECONNRESET: the test has closed its end. ECONNRESET: it has not read all messages. */
	if (send(k->fd, message, len, MSG_NOSIGNAL) != (ssize_t)len && errno != EPIPE && errno != ECONNRESET)
		abort();
}

static void acknowledge(const struct kernel *k, const struct nlmsghdr *request, int error)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr e;
	} message = { .nlh = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR },
		      .e = { .error = -error, .msg = *request } };

	kernel_send(k, &message, sizeof(message));
}

static void take_setting(struct kernel_request *r, unsigned type, const unsigned char *v)
{
	if (type == NFQA_CFG_CMD)
		r->command = v[0], r->family = get16(v + 2);
	if (type == NFQA_CFG_PARAMS)
		r->range = get32(v), r->mode = (uint8_t)(v[4] + 1);
	if (type == NFQA_CFG_MASK)
		r->mask = get32(v);
	if (type == NFQA_CFG_FLAGS)
		r->flags = get32(v), r->has_flags = true;
	if (type == NFQA_CFG_QUEUE_MAXLEN)
		r->length = get32(v), r->has_length = true;
}

static void take_attribute(struct kernel_verdict *r, unsigned type, const unsigned char *v, size_t len)
{
	if (type == NFQA_VERDICT_HDR)
		r->code = get32(v), r->id = get32(v + 4);
	if (type == NFQA_MARK)
		r->mark = get32(v), r->has_mark = true;
	if (type == NFQA_PAYLOAD) {
		r->has_payload = true;
		r->payload_len = (uint32_t)len;
		r->first = v[0];
		r->last = v[len - 1];
	}
	for (size_t i = len; i < NLA_ALIGN(len); i++)
		r->clean &= v[i] == 0;
}

/* Handles one message of len bytes. */
static void handle(struct kernel *k, const unsigned char *m, size_t len)
{
	struct kernel_request request = { .queue = get16(m + NLMSG_HDRLEN + 2) };
	struct kernel_verdict verdict = { .queue = request.queue, .clean = true };
	struct nlmsghdr nlh;
	struct nlattr a;
	size_t at;
	int error;

	memcpy(&nlh, m, sizeof(nlh));
	verdict.type = nlh.nlmsg_type;
	verdict.flags = nlh.nlmsg_flags;
	verdict.tag = nlh.nlmsg_seq;
	for (at = ATTRIBUTES; at + NLA_HDRLEN <= len; at += NLA_ALIGN(a.nla_len)) {
		memcpy(&a, m + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN || at + a.nla_len > len)
			abort();
		if (nlh.nlmsg_type == CONFIG_TYPE)
			take_setting(&request, a.nla_type, m + at + NLA_HDRLEN);
		else
			take_attribute(&verdict, a.nla_type & NLA_TYPE_MASK, m + at + NLA_HDRLEN,
				       a.nla_len - (size_t)NLA_HDRLEN);
	}
	verdict.clean &= at == len;
	if (nlh.nlmsg_type != CONFIG_TYPE) {
		k->verdict[k->verdicts % 256] = verdict;
		atomic_fetch_add(&k->verdicts, 1);
		return;
	}
	k->request[k->requests % 64] = request;
	atomic_fetch_add(&k->requests, 1);
	error = k->answer != NULL ? k->answer(k, &request) : 0;
	if (k->before_len > 0)
		kernel_send(k, k->before, k->before_len);
	k->before_len = 0;
	/* As in the kernel: an error is always reported, a success only on request. */
	if (error > 0 || (error == 0 && (nlh.nlmsg_flags & NLM_F_ACK)))
		acknowledge(k, &nlh, error);
}

static void *run(void *arg)
{
	static unsigned char bytes[256 * 1024];
	struct kernel *k = arg;
	struct nlmsghdr nlh;
	ssize_t n;

	while ((n = recv(k->fd, bytes, sizeof(bytes), 0)) > 0) {
		size_t at, len = (size_t)n;
		uint32_t word;

		memcpy(&word, bytes, sizeof(word));
		if (len == 4 && word == SYNC) {
			atomic_fetch_add(&k->synced, 1);
			continue;
		}
		atomic_fetch_add(&k->datagrams, 1);
		for (at = 0; at + NLMSG_HDRLEN <= len; at += NLMSG_ALIGN(nlh.nlmsg_len)) {
			memcpy(&nlh, bytes + at, sizeof(nlh));
			if (nlh.nlmsg_len < NLMSG_HDRLEN || at + nlh.nlmsg_len > len)
				abort();
			if (nlh.nlmsg_type == NLMSG_NOOP) {
				acknowledge(k, &nlh, 0);
				atomic_fetch_add(&k->noops, 1);
			} else {
				handle(k, bytes + at, nlh.nlmsg_len);
			}
		}
	}
	return NULL;
}

int kernel_open(struct kernel *k)
{
	const int size = 4 << 20;
	int pair[2];

	memset(k, 0, sizeof(*k));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	k->fd = pair[1];
	if (pthread_create(&k->thread, NULL, run, k) != 0)
		abort();
	return pair[0];
}

void kernel_close(struct kernel *k)
{
	shutdown(k->fd, SHUT_RDWR);
	pthread_join(k->thread, NULL);
	close(k->fd);
}

struct source *kernel_start(struct kernel *k, const char *number)
{
	struct ipq_error e;
	struct source *s;
	int fd;

	if (source_nfqueue.open(&s, number, &e) < 0)
		return NULL;
	fd = kernel_open(k);
	if (fd < 0 || dup3(fd, nfqueue(s)->fd, O_CLOEXEC) < 0)
		abort();
	close(fd);
	nfqueue(s)->absent = false;
	return s;
}

void kernel_stop(struct kernel *k, struct source *s)
{
	kernel_close(k);
	s->ops->close(s);
}

void kernel_settle(struct kernel *k, int fd)
{
	const uint32_t word = SYNC;
	unsigned before = atomic_load(&k->synced);

	if (send(fd, &word, sizeof(word), 0) < 0)
		abort();
	while (atomic_load(&k->synced) == before)
		usleep(100);
}

static unsigned char *put_attribute(unsigned char *at, uint16_t type, const void *value, size_t len)
{
	const struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };

	memcpy(at, &a, sizeof(a));
	if (len > 0)
		memcpy(at + NLA_HDRLEN, value, len);
	return at + NLA_HDRLEN + NLA_ALIGN(len);
}

size_t kernel_packet(unsigned char *message, uint32_t id, const void *payload, size_t len)
{
	const struct nfqnl_msg_packet_hdr hdr = { .packet_id = htonl(id),
						  .hw_protocol = htons(0x800),
						  .hook = 1 };
	const struct nfgenmsg gen = { .nfgen_family = AF_INET };
	struct nlmsghdr nlh = { .nlmsg_type = PACKET_TYPE };
	unsigned char *at = message + ATTRIBUTES;

	memset(message, 0, ATTRIBUTES);
	at = put_attribute(at, NFQA_PACKET_HDR, &hdr, sizeof(hdr));
	if (payload != NULL)
		at = put_attribute(at, NFQA_PAYLOAD, payload, len);
	nlh.nlmsg_len = (uint32_t)(at - message);
	memcpy(message, &nlh, sizeof(nlh));
	memcpy(message + NLMSG_HDRLEN, &gen, sizeof(gen));
	return nlh.nlmsg_len;
}

size_t kernel_add(unsigned char *message, uint16_t type, const void *value, size_t len)
{
	struct nlmsghdr nlh;

	memcpy(&nlh, message, sizeof(nlh));
	nlh.nlmsg_len = (uint32_t)(put_attribute(message + nlh.nlmsg_len, type, value, len) - message);
	memcpy(message, &nlh, sizeof(nlh));
	return nlh.nlmsg_len;
}
