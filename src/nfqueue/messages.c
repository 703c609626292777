/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include "nfqueue/messages.h"
#include "util/bytes.h"
#include "util/compiler.h"

/* Defined in <linux/netfilter/nfnetlink_queue.h> of Linux 6.15; the headers of some distributions are older. */
#define IPQ_NFQA_PRIORITY 21
#define IPQ_NFQA_CGROUP_CLASSID 22

#define PACKET_TYPE ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET)
#define ATTRIBUTES (NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg)))

#define ERRNO_MAX 4095 /* the maximum errno in the kernel */

const struct nfq_flag nfq_flags[] = {
	{ IPQ_O_FAIL_OPEN, NFQA_CFG_F_FAIL_OPEN, "fail-open (NFQA_CFG_F_FAIL_OPEN, Linux 3.6)" },
	{ IPQ_O_CONNTRACK, NFQA_CFG_F_CONNTRACK,
	  "conntrack (NFQA_CFG_F_CONNTRACK, module nf_conntrack_netlink)" },
	{ IPQ_O_OWNER, NFQA_CFG_F_UID_GID, "the owner's uid and gid (NFQA_CFG_F_UID_GID, Linux 3.14)" },
	{ IPQ_O_SECURITY_CONTEXT, NFQA_CFG_F_SECCTX,
	  "security contexts (NFQA_CFG_F_SECCTX, CONFIG_NETWORK_SECMARK)" },
	{ 0, 0, NULL },
};

static void get_vlan(struct ipq_packet *p, const unsigned char *at, size_t len)
{
	while (len >= NLA_HDRLEN) {
		struct nlattr a;

		memcpy(&a, at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN || a.nla_len > len)
			return;
		if (a.nla_len >= NLA_HDRLEN + 2 && (a.nla_type & NLA_TYPE_MASK) == NFQA_VLAN_PROTO)
			p->vlan_proto = get16(at + NLA_HDRLEN);
		if (a.nla_len >= NLA_HDRLEN + 2 && (a.nla_type & NLA_TYPE_MASK) == NFQA_VLAN_TCI) {
			p->vlan_tci = get16(at + NLA_HDRLEN);
			p->present |= IPQ_HAS_VLAN;
		}
		if ((size_t)NLA_ALIGN(a.nla_len) >= len)
			return;
		at += NLA_ALIGN(a.nla_len);
		len -= NLA_ALIGN(a.nla_len);
	}
}

/* Minimum length of each attribute's value. An attribute with a shorter value is skipped like an unknown one. */
static const uint8_t min_len[] = {
	[NFQA_PACKET_HDR] = sizeof(struct nfqnl_msg_packet_hdr),
	[NFQA_MARK] = 4,
	[NFQA_TIMESTAMP] = 16,
	[NFQA_IFINDEX_INDEV] = 4,
	[NFQA_IFINDEX_OUTDEV] = 4,
	[NFQA_IFINDEX_PHYSINDEV] = 4,
	[NFQA_IFINDEX_PHYSOUTDEV] = 4,
	[NFQA_HWADDR] = sizeof(struct nfqnl_msg_packet_hw),
	[NFQA_CT_INFO] = 4,
	[NFQA_CAP_LEN] = 4,
	[NFQA_SKB_INFO] = 4,
	[NFQA_UID] = 4,
	[NFQA_GID] = 4,
	[IPQ_NFQA_PRIORITY] = 4,
	[IPQ_NFQA_CGROUP_CLASSID] = 4,
};

static inline void get_hwaddr(struct ipq_packet *p, const unsigned char *v)
{
	unsigned len = get16(v);
	uint64_t address, keep;

	/* The kernel writes only the address: the bytes after it are undefined. */
	keep = len < sizeof(keep) ? ~(UINT64_MAX >> (8 * len)) : UINT64_MAX;
	memcpy(&address, v + 4, sizeof(address));
	address &= htobe64(keep);
	memcpy(p->hw_addr, &address, sizeof(address));
	p->hw_addr_len = (uint8_t)(len < sizeof(p->hw_addr) ? len : sizeof(p->hw_addr));
}

static inline void get_skb_info(struct ipq_packet *p, const unsigned char *v)
{
	_Static_assert(IPQ_PACKET_CHECKSUM_NOT_READY == NFQA_SKB_CSUMNOTREADY,
		       "the bits must have the kernel's values");
	_Static_assert(IPQ_PACKET_GSO == NFQA_SKB_GSO, "the bits must have the kernel's values");
	_Static_assert(IPQ_PACKET_CHECKSUM_NOT_VERIFIED == NFQA_SKB_CSUM_NOTVERIFIED,
		       "the bits must have the kernel's values");
	p->flags |= get32(v) & (NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO | NFQA_SKB_CSUM_NOTVERIFIED);
}

/* Reads any attribute other than the payload. v has len bytes, at least min_len[type]. */
static inline void get_attribute(struct ipq_packet *p, unsigned type, const unsigned char *v, size_t len)
{
	switch (type) {
	case NFQA_PACKET_HDR:
		p->id = get32(v);
		p->hw_protocol = get16(v + 4);
		p->hook = v[6];
		break;
	case NFQA_MARK:
		p->mark = get32(v);
		p->present |= IPQ_HAS_MARK;
		break;
	case NFQA_TIMESTAMP:
		/* unsigned arithmetic: an invalid time wraps */
		p->timestamp = (int64_t)(get64(v) * 1000000000 + get64(v + 8) * 1000);
		p->present |= IPQ_HAS_TIMESTAMP;
		break;
	case NFQA_IFINDEX_INDEV:
		p->indev = get32(v);
		p->present |= IPQ_HAS_INDEV;
		break;
	case NFQA_IFINDEX_OUTDEV:
		p->outdev = get32(v);
		p->present |= IPQ_HAS_OUTDEV;
		break;
	case NFQA_IFINDEX_PHYSINDEV:
		p->physindev = get32(v);
		p->present |= IPQ_HAS_PHYSINDEV;
		break;
	case NFQA_IFINDEX_PHYSOUTDEV:
		p->physoutdev = get32(v);
		p->present |= IPQ_HAS_PHYSOUTDEV;
		break;
	case NFQA_HWADDR:
		get_hwaddr(p, v);
		p->present |= IPQ_HAS_HWADDR;
		break;
	case NFQA_CAP_LEN:
		p->full_len = get32(v);
		break;
	case NFQA_SKB_INFO:
		get_skb_info(p, v);
		break;
	case NFQA_UID:
		p->uid = get32(v);
		p->present |= IPQ_HAS_UID;
		break;
	case NFQA_GID:
		p->gid = get32(v);
		p->present |= IPQ_HAS_GID;
		break;
	case IPQ_NFQA_PRIORITY:
		p->priority = get32(v);
		p->present |= IPQ_HAS_PRIORITY;
		break;
	case IPQ_NFQA_CGROUP_CLASSID:
		p->cgroup = get32(v);
		p->present |= IPQ_HAS_CGROUP;
		break;
	case NFQA_SECCTX:
		p->security_context = (const char *)v;
		p->security_context_len = (uint16_t)len;
		p->present |= IPQ_HAS_SECURITY_CONTEXT;
		break;
	case NFQA_VLAN:
		get_vlan(p, v, len);
		break;
	case NFQA_L2HDR:
		p->link_header = v;
		p->link_header_len = (uint16_t)len;
		p->present |= IPQ_HAS_LINK_HEADER;
		break;
	case NFQA_CT:
		p->conntrack = v;
		p->conntrack_len = (uint16_t)len;
		p->present |= IPQ_HAS_CONNTRACK;
		break;
	case NFQA_CT_INFO:
		p->conntrack_info = get32(v);
		p->present |= IPQ_HAS_CONNTRACK_INFO;
		break;
	case NFQA_EXP:
		p->expectation = v;
		p->expectation_len = (uint16_t)len;
		p->present |= IPQ_HAS_EXPECTATION;
		break;
	default: /* an attribute of a newer kernel */
		break;
	}
}

/*
 * Clears the fields that may be read without checking a bit of `present`. The other fields are written when their
 * bit is set.
 */
static inline void clear_packet(struct ipq_packet *p)
{
	p->present = p->flags = 0;
	p->payload = NULL;
	p->payload_len = p->full_len = 0;
	p->mark = p->indev = p->outdev = 0;
	p->link_header_len = 0;
	p->security_context_len = p->conntrack_len = p->expectation_len = 0;
}

/*
 * Sets the packet's lengths. Called after the last attribute, because NFQA_CAP_LEN may come before or after the
 * payload, or be truncated.
 */
static void compare_lengths(struct ipq_packet *p, size_t claimed, bool cut)
{
	if (p->full_len == 0)
		p->full_len = (uint32_t)claimed;
	if (cut || ((p->present & IPQ_HAS_PAYLOAD) && p->full_len > p->payload_len))
		p->flags |= IPQ_PACKET_TRUNCATED;
}

/* The current position in the attributes of a message. */
struct reading {
	unsigned char *at;
	size_t left;	/* bytes received */
	size_t claimed; /* length of the payload according to its attribute */
	bool has_id;
};

static inline void step(struct reading *m, size_t len)
{
	if (NLA_ALIGN(len) >= m->left) {
		m->left = 0;
		return;
	}
	m->at += NLA_ALIGN(len);
	m->left -= NLA_ALIGN(len);
}

/* Reads the next attribute if it has this type and this length. */
static inline bool read_expected(struct reading *m, struct ipq_packet *p, uint16_t type, uint16_t len)
{
	const struct nlattr expected = { .nla_len = NLA_HDRLEN + len, .nla_type = type };

	if (m->left < NLA_HDRLEN + (size_t)len || memcmp(m->at, &expected, sizeof(expected)) != 0)
		return false;
	get_attribute(p, type, m->at + NLA_HDRLEN, len);
	step(m, NLA_HDRLEN + len);
	return true;
}

/* Reads the payload attribute, which may have any length and may be truncated. */
static inline void read_payload(struct reading *m, struct ipq_packet *p, const struct nlattr *a)
{
	size_t have = m->left - NLA_HDRLEN;

	m->claimed = (size_t)a->nla_len - NLA_HDRLEN;
	p->payload = m->at + NLA_HDRLEN;
	p->payload_len = (uint32_t)(have < m->claimed ? have : m->claimed);
	p->present |= IPQ_HAS_PAYLOAD;
	step(m, a->nla_len);
}

/* Parses any attributes in any order. False when they are malformed. */
__noinline static bool parse_generic(struct reading *m, struct ipq_packet *p)
{
	while (m->left >= NLA_HDRLEN) {
		struct nlattr a;
		size_t value;
		unsigned type;

		memcpy(&a, m->at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN)
			return false;
		type = a.nla_type & NLA_TYPE_MASK;
		value = (size_t)a.nla_len - NLA_HDRLEN;
		if (type == NFQA_PAYLOAD) {
			read_payload(m, p, &a);
			continue;
		}
		if (a.nla_len > m->left)
			return false;
		if (type >= sizeof(min_len) || value >= min_len[type]) {
			get_attribute(p, type, m->at + NLA_HDRLEN, value);
			m->has_id |= type == NFQA_PACKET_HDR;
		}
		step(m, a.nla_len);
	}
	return true;
}

/*
 * Parses the attributes of most packets, in the order in which Linux writes them: this takes one comparison each,
 * while a general loop takes several branches. parse_generic() parses the rest.
 */
static inline void parse_fast(struct reading *m, struct ipq_packet *p)
{
	struct nlattr a;

	m->has_id = read_expected(m, p, NFQA_PACKET_HDR, sizeof(struct nfqnl_msg_packet_hdr));
	read_expected(m, p, NFQA_IFINDEX_INDEV, 4);
	read_expected(m, p, NFQA_IFINDEX_OUTDEV, 4);
	read_expected(m, p, NFQA_MARK, 4);
	read_expected(m, p, NFQA_HWADDR, sizeof(struct nfqnl_msg_packet_hw));
	read_expected(m, p, NFQA_TIMESTAMP, sizeof(struct nfqnl_msg_packet_timestamp));
	read_expected(m, p, NFQA_SKB_INFO, 4);
	if (m->left < NLA_HDRLEN)
		return;
	memcpy(&a, m->at, sizeof(a));
	if (likely(a.nla_type == NFQA_PAYLOAD && a.nla_len >= NLA_HDRLEN))
		read_payload(m, p, &a);
}

/* Parses a packet message of which len bytes were received. cut: the message is longer. */
static bool parse_packet(unsigned char *message, size_t len, bool cut, struct ipq_packet *p,
			 struct nfq_reply *r)
{
	struct reading m = { .at = message + ATTRIBUTES };
	bool whole = true;

	clear_packet(p);
	if (len < ATTRIBUTES)
		return false;
	p->family = message[NLMSG_HDRLEN];
	m.left = len - ATTRIBUTES;
	parse_fast(&m, p);
	if (unlikely(m.left > 0))
		whole = parse_generic(&m, p);
	r->has_id = m.has_id;
	compare_lengths(p, m.claimed, cut);
	return whole && m.has_id;
}

/* Reads the refused verdict. An NLMSG_ERROR quotes its message, or the beginning of the message. */
static void get_refused(const unsigned char *quoted, size_t len, struct source_refusal *f)
{
	size_t at = ATTRIBUTES;

	while (at + NLA_HDRLEN <= len) {
		struct nlattr a;

		memcpy(&a, quoted + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN)
			return;
		if (a.nla_type == NFQA_VERDICT_HDR && a.nla_len >= NLA_HDRLEN + 8 && at + a.nla_len <= len) {
			f->code = get32(quoted + at + NLA_HDRLEN);
			f->id = get32(quoted + at + NLA_HDRLEN + 4);
		} else if (a.nla_type == NFQA_PAYLOAD) {
			f->payload_len = (uint32_t)a.nla_len - NLA_HDRLEN;
		}
		at += NLA_ALIGN(a.nla_len);
	}
}

__noinline static void parse_error(const unsigned char *msg, size_t len, struct nfq_reply *r)
{
	struct nlmsgerr e;

	if (len < NLMSG_HDRLEN + sizeof(e))
		return;
	memcpy(&e, msg + NLMSG_HDRLEN, sizeof(e));
	if (e.error > 0 || e.error < -ERRNO_MAX)
		return;
	memset(&r->refusal, 0, sizeof(r->refusal));
	r->type = e.msg.nlmsg_type;
	r->seq = e.msg.nlmsg_seq;
	r->refusal.error = -e.error;
	r->refusal.tag = e.msg.nlmsg_seq;
	if (r->type != NFQ_VERDICT_TYPE && r->type != NFQ_BATCH_TYPE) {
		r->kind = NFQ_ACK;
		return;
	}
	if (e.error == 0)
		return;
	r->kind = NFQ_REFUSED;
	get_refused(msg + NLMSG_HDRLEN + 4, len - NLMSG_HDRLEN - 4, &r->refusal);
}

__flatten __noinline void nfq_parse(unsigned char *message, size_t len, struct ipq_packet *p,
				    struct nfq_reply *r)
{
	struct nlmsghdr nlh;

	r->kind = NFQ_OTHER;
	r->has_id = false;
	if (len < NLMSG_HDRLEN)
		return;
	memcpy(&nlh, message, sizeof(nlh));
	if (nlh.nlmsg_len < NLMSG_HDRLEN)
		return;
	if (len > nlh.nlmsg_len)
		len = nlh.nlmsg_len;
	if (likely(nlh.nlmsg_type == PACKET_TYPE)) {
		if (likely(parse_packet(message, len, nlh.nlmsg_len > len, p, r)))
			r->kind = NFQ_PACKET;
	} else if (nlh.nlmsg_type == NLMSG_ERROR) {
		parse_error(message, len, r);
	}
}

static unsigned char *put(unsigned char *at, uint16_t type, const void *value, size_t len)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };

	memcpy(at, &a, sizeof(a));
	memcpy(at + NLA_HDRLEN, value, len);
	memset(at + NLA_HDRLEN + len, 0, NLA_ALIGN(len) - len);
	return at + NLA_HDRLEN + NLA_ALIGN(len);
}

static unsigned char *put_attribute32(unsigned char *at, uint16_t type, uint32_t value)
{
	value = htonl(value);
	return put(at, type, &value, sizeof(value));
}

/* Ends a nested attribute that began at start. */
static void close_nest(unsigned char *start, const unsigned char *end, uint16_t type)
{
	struct nlattr a = { .nla_len = (uint16_t)(end - start), .nla_type = (uint16_t)(type | NLA_F_NESTED) };

	memcpy(start, &a, sizeof(a));
}

static unsigned char *put_extras(unsigned char *at, const struct source_verdict *v)
{
	unsigned char *nest;
	uint32_t mask;

	if (v->present & IPQ_SET_MARK)
		at = put_attribute32(at, NFQA_MARK, v->mark);
	if (v->present & IPQ_SET_PRIORITY)
		at = put_attribute32(at, IPQ_NFQA_PRIORITY, v->priority);
	if (v->present & IPQ_SET_VLAN) {
		uint16_t proto = htons(v->vlan_proto), tci = htons(v->vlan_tci);

		nest = at;
		at = put(at + NLA_HDRLEN, NFQA_VLAN_PROTO, &proto, sizeof(proto));
		at = put(at, NFQA_VLAN_TCI, &tci, sizeof(tci));
		close_nest(nest, at, NFQA_VLAN);
	}
	if (v->present & (IPQ_SET_CONNTRACK_MARK | IPQ_SET_CONNTRACK_LABELS)) {
		nest = at;
		at += NLA_HDRLEN;
		if (v->present & IPQ_SET_CONNTRACK_MARK) {
			/* The kernel xors bits outside the mask (ctnetlink_change_mark), so clear these bits. */
			mask = v->conntrack_mark_mask != 0 ? v->conntrack_mark_mask : UINT32_MAX;
			at = put_attribute32(at, CTA_MARK, v->conntrack_mark & mask);
			if (mask != UINT32_MAX)
				at = put_attribute32(at, CTA_MARK_MASK, mask);
		}
		if (v->present & IPQ_SET_CONNTRACK_LABELS)
			at = put(at, CTA_LABELS, v->conntrack_labels, 16);
		close_nest(nest, at, NFQA_CT);
	}
	return at;
}

__hot size_t nfq_put_verdict(void *buf, uint16_t queue, const struct source_verdict *v, size_t *pad)
{
	struct nfq_bare bare = nfq_bare(queue, v);
	unsigned char *at = (unsigned char *)buf + sizeof(bare);
	size_t written;

	*pad = 0;
	if (v->present & ~(uint32_t)IPQ_SET_PAYLOAD)
		at = put_extras(at, v);
	if (v->present & IPQ_SET_PAYLOAD) {
		struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + v->payload_len),
				    .nla_type = NFQA_PAYLOAD };

		memcpy(at, &a, sizeof(a));
		at += NLA_HDRLEN;
		*pad = NLA_ALIGN(v->payload_len) - v->payload_len;
	}
	written = (size_t)(at - (unsigned char *)buf);
	bare.nlh.nlmsg_len = (uint32_t)written;
	if (v->present & IPQ_SET_PAYLOAD)
		bare.nlh.nlmsg_len += (uint32_t)(v->payload_len + *pad);
	memcpy(buf, &bare, sizeof(bare));
	return written;
}

struct nfq_config nfq_config(uint16_t queue)
{
	return (struct nfq_config){
		.nlh = { .nlmsg_len = offsetof(struct nfq_config, attributes),
			 .nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_CONFIG,
			 .nlmsg_flags = NLM_F_REQUEST },
		.gen = { .version = NFNETLINK_V0, .res_id = htons(queue) },
	};
}

void nfq_config_put(struct nfq_config *m, uint16_t type, const void *value, size_t len)
{
	const struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };
	unsigned char *at = (unsigned char *)m + m->nlh.nlmsg_len;

	memcpy(at, &a, sizeof(a));
	memcpy(at + NLA_HDRLEN, value, len);
	m->nlh.nlmsg_len += (uint32_t)NLA_ALIGN(a.nla_len);
}

void nfq_config_put_flags(struct nfq_config *m, uint32_t mask, uint32_t flags)
{
	mask = htonl(mask);
	flags = htonl(flags);
	nfq_config_put(m, NFQA_CFG_MASK, &mask, sizeof(mask));
	nfq_config_put(m, NFQA_CFG_FLAGS, &flags, sizeof(flags));
}
