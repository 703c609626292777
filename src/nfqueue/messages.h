/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parses and builds nfnetlink_queue's messages. No I/O. Every packet takes this path, so attributes are parsed in
 * one pass without libmnl. The length of each attribute is checked before its content is read; unknown attributes
 * are skipped.
 */
#ifndef NFQUEUE_MESSAGES_H
#define NFQUEUE_MESSAGES_H

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <sys/uio.h>
#include "source/source.h"

/* The kind of a message. */
enum nfq_kind {
	NFQ_PACKET,
	NFQ_ACK,     /* acknowledgement: the request's type and seq; the result is in refusal.error */
	NFQ_REFUSED, /* a verdict that failed */
	NFQ_OTHER    /* unknown or malformed */
};

struct nfq_reply {
	enum nfq_kind kind;
	uint16_t type; /* netlink type of the request */
	uint32_t seq;
	struct source_refusal refusal;
	bool has_id; /* NFQ_OTHER: the message is a malformed packet whose id is known */
};

/* Reads a message of which len bytes were received. The packet's pointers in *p refer to the message. */
void nfq_parse(unsigned char *message, size_t len, struct ipq_packet *p, struct nfq_reply *r);

#define NFQ_VERDICT_TYPE ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_VERDICT)
#define NFQ_BATCH_TYPE ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_VERDICT_BATCH)

/* The message of a verdict without extras. Most verdicts have none. */
struct nfq_bare {
	struct nlmsghdr nlh;
	struct nfgenmsg gen;
	struct nlattr attribute;
	struct nfqnl_msg_verdict_hdr hdr;
};

static inline struct nfq_bare nfq_bare(uint16_t queue, const struct source_verdict *v)
{
	return (struct nfq_bare){
		.nlh = { .nlmsg_len = sizeof(struct nfq_bare),
			 .nlmsg_type = v->batch ? NFQ_BATCH_TYPE : NFQ_VERDICT_TYPE,
			 .nlmsg_flags = NLM_F_REQUEST,
			 .nlmsg_seq = v->tag },
		.gen = { .version = NFNETLINK_V0, .res_id = htons(queue) },
		.attribute = { .nla_len = NLA_HDRLEN + sizeof(struct nfqnl_msg_verdict_hdr),
			       .nla_type = NFQA_VERDICT_HDR },
		.hdr = { .verdict = htonl(v->code), .id = htonl(v->id) },
	};
}

/* A setting of a queue, which the kernel changes on request. Most add an attribute to packets. */
struct nfq_flag {
	uint32_t flag;	  /* IPQ_O_* flag */
	uint32_t kernel;  /* NFQA_CFG_F_* flag */
	const char *name; /* name for error messages */
};

extern const struct nfq_flag nfq_flags[]; /* the last entry has flag 0 */

/* A configuration request, with room for two attributes. */
struct nfq_config {
	struct nlmsghdr nlh;
	struct nfgenmsg gen;
	unsigned char attributes[16];
};

struct nfq_config nfq_config(uint16_t queue);
/* Appends an attribute with a value of at most 8 bytes. */
void nfq_config_put(struct nfq_config *m, uint16_t type, const void *value, size_t len);
void nfq_config_put_flags(struct nfq_config *m, uint32_t mask, uint32_t flags);

/* Maximum length of a verdict message without the payload. */
#define NFQ_VERDICT_MAX 192

/*
 * Writes the message of a verdict to buf (NFQ_VERDICT_MAX bytes). The payload is not copied: the caller sends
 * it after these bytes, followed by *pad zeros. Returns the bytes written; nlmsg_len includes payload and
 * padding.
 */
size_t nfq_put_verdict(void *buf, uint16_t queue, const struct source_verdict *v, size_t *pad);

#endif
