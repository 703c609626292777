/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <string.h>
#include "nflog/messages.h"
#include "util/bytes.h"

#define PACKET_TYPE ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)
#define CONFIG_TYPE ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG)

/*
 * The minimum length of each attribute's value. An attribute with a shorter value is skipped like an unknown one.
 */
static const uint8_t min_len[] = {
	[NFULA_PACKET_HDR] = sizeof(struct nfulnl_msg_packet_hdr),
	[NFULA_MARK] = 4,
	[NFULA_TIMESTAMP] = sizeof(struct nfulnl_msg_packet_timestamp),
	[NFULA_IFINDEX_INDEV] = 4,
	[NFULA_IFINDEX_OUTDEV] = 4,
	[NFULA_IFINDEX_PHYSINDEV] = 4,
	[NFULA_IFINDEX_PHYSOUTDEV] = 4,
	[NFULA_HWADDR] = sizeof(struct nfulnl_msg_packet_hw),
	[NFULA_UID] = 4,
	[NFULA_GID] = 4,
	[NFULA_SEQ] = 4,
	[NFULA_CT_INFO] = 4,
};

/* Returns the attribute at `at`; NULL if no complete attribute is left. */
static const struct nlattr *attribute_at(const void *at, const void *end)
{
	ptrdiff_t left = (const uint8_t *)end - (const uint8_t *)at;

	return left > 0 && mnl_attr_ok(at, (int)left) ? at : NULL;
}

static void get_hwaddr(struct ipq_packet *p, const struct nfulnl_msg_packet_hw *hw)
{
	uint16_t len = ntohs(hw->hw_addrlen);

	/* The kernel fills in only the address: the bytes after it are undefined. */
	p->hw_addr_len = (uint8_t)(len < sizeof(p->hw_addr) ? len : sizeof(p->hw_addr));
	memset(p->hw_addr, 0, sizeof(p->hw_addr));
	memcpy(p->hw_addr, hw->hw_addr, p->hw_addr_len);
	p->present |= IPQ_HAS_HWADDR;
}

static void get_vlan(struct ipq_packet *p, const struct nlattr *nested)
{
	const uint8_t *first = mnl_attr_get_payload(nested), *end = first + mnl_attr_get_payload_len(nested);
	const struct nlattr *a;

	for (a = attribute_at(first, end); a != NULL; a = attribute_at(mnl_attr_next(a), end)) {
		if (mnl_attr_get_payload_len(a) < 2)
			continue;
		if (mnl_attr_get_type(a) == NFULA_VLAN_PROTO)
			p->vlan_proto = get16(mnl_attr_get_payload(a));
		if (mnl_attr_get_type(a) == NFULA_VLAN_TCI) {
			p->vlan_tci = get16(mnl_attr_get_payload(a));
			p->present |= IPQ_HAS_VLAN;
		}
	}
}

static void get_timestamp(struct ipq_packet *p, const uint8_t *v)
{
	/* unsigned arithmetic: an invalid time wraps */
	p->timestamp = (int64_t)(get64(v) * 1000000000 + get64(v + 8) * 1000);
	p->present |= IPQ_HAS_TIMESTAMP;
}

/* Attributes with one number each: the field that stores the number, and the bit of `present`. */
static const struct {
	uint16_t offset;
	uint32_t present;
} numbers[] = {
	[NFULA_MARK] = { offsetof(struct ipq_packet, mark), IPQ_HAS_MARK },
	[NFULA_IFINDEX_INDEV] = { offsetof(struct ipq_packet, indev), IPQ_HAS_INDEV },
	[NFULA_IFINDEX_OUTDEV] = { offsetof(struct ipq_packet, outdev), IPQ_HAS_OUTDEV },
	[NFULA_IFINDEX_PHYSINDEV] = { offsetof(struct ipq_packet, physindev), IPQ_HAS_PHYSINDEV },
	[NFULA_IFINDEX_PHYSOUTDEV] = { offsetof(struct ipq_packet, physoutdev), IPQ_HAS_PHYSOUTDEV },
	[NFULA_UID] = { offsetof(struct ipq_packet, uid), IPQ_HAS_UID },
	[NFULA_GID] = { offsetof(struct ipq_packet, gid), IPQ_HAS_GID },
	[NFULA_CT_INFO] = { offsetof(struct ipq_packet, conntrack_info), IPQ_HAS_CONNTRACK_INFO },
};

static bool get_number(struct ipq_packet *p, uint16_t type, const void *v)
{
	uint32_t value;

	if (type >= sizeof(numbers) / sizeof(numbers[0]) || numbers[type].present == 0)
		return false;
	value = get32(v);
	memcpy((unsigned char *)p + numbers[type].offset, &value, sizeof(value));
	p->present |= numbers[type].present;
	return true;
}

static void get_attribute(struct ipq_packet *p, struct nflog_message *m, const struct nlattr *a)
{
	uint8_t *v = mnl_attr_get_payload(a);
	uint16_t len = mnl_attr_get_payload_len(a), type = mnl_attr_get_type(a);

	if ((type < sizeof(min_len) && len < min_len[type]) || get_number(p, type, v))
		return;
	switch (type) {
	case NFULA_PACKET_HDR:
		p->hw_protocol = get16(v);
		p->hook = v[2];
		m->kind = NFLOG_PACKET;
		break;
	case NFULA_TIMESTAMP:
		get_timestamp(p, v);
		break;
	case NFULA_HWADDR:
		get_hwaddr(p, (const void *)v);
		break;
	case NFULA_PAYLOAD:
		p->payload = v;
		p->payload_len = len;
		p->present |= IPQ_HAS_PAYLOAD;
		break;
	case NFULA_SEQ:
		m->seq = get32(v);
		m->numbered = true;
		break;
	case NFULA_CT:
		p->conntrack = v;
		p->conntrack_len = len;
		p->present |= IPQ_HAS_CONNTRACK;
		break;
	case NFULA_VLAN:
		get_vlan(p, a);
		break;
	case NFULA_L2HDR:
		p->link_header = v;
		p->link_header_len = len;
		p->present |= IPQ_HAS_LINK_HEADER;
		break;
	default: /* NFULA_PREFIX, which is not used, or an attribute of a newer kernel */
		break;
	}
}

/*
 * Reads the length of a packet from its IP header: if nfnetlink_log has truncated a packet, it does not report the
 * length.
 */
static uint32_t full_length(const struct ipq_packet *p)
{
	uint32_t len = p->payload_len, claimed = 0;

	if (len >= NFLOG_LENGTH_RANGE && p->payload[0] >> 4 == 4)
		claimed = get16(p->payload + 2);
	else if (len >= NFLOG_LENGTH_RANGE && p->payload[0] >> 4 == 6 && get16(p->payload + 4) != 0)
		claimed = 40U + get16(p->payload + 4);
	return claimed > len ? claimed : len;
}

static void parse_packet(const struct nlmsghdr *nlh, struct ipq_packet *p, struct nflog_message *m)
{
	const struct nfgenmsg *gen = mnl_nlmsg_get_payload(nlh);
	/* mnl_nlmsg_get_payload_tail() is not used: it rounds up, to bytes that may lie beyond the buffer. */
	const void *end = (const uint8_t *)nlh + nlh->nlmsg_len;
	const struct nlattr *a;

	memset(p, 0, sizeof(*p));
	m->kind = NFLOG_MALFORMED; /* changed when NFULA_PACKET_HDR is found */
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*gen))
		return;
	p->family = gen->nfgen_family;
	for (a = attribute_at(mnl_nlmsg_get_payload_offset(nlh, sizeof(*gen)), end); a != NULL;
	     a = attribute_at(mnl_attr_next(a), end))
		get_attribute(p, m, a);
	p->full_len = full_length(p);
	if (p->full_len > p->payload_len)
		p->flags |= IPQ_PACKET_TRUNCATED;
}

static void parse_answer(const struct nlmsghdr *nlh, struct nflog_message *m)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);

	m->kind = NFLOG_MALFORMED;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*answer) || answer->error > 0 || answer->error < -4095)
		return;
	m->kind = NFLOG_ACK;
	m->seq = answer->msg.nlmsg_seq;
	m->type = answer->msg.nlmsg_type;
	m->error = -answer->error;
}

void nflog_parse(unsigned char *bytes, size_t len, struct ipq_packet *p, struct nflog_message *m)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)bytes;

	*m = (struct nflog_message){ .kind = NFLOG_MALFORMED, .len = len };
	/* mnl_nlmsg_ok() is not used: it treats a length of 2^31 or more as a negative number. */
	if (len < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > len)
		return;
	if (MNL_ALIGN(nlh->nlmsg_len) < len)
		m->len = MNL_ALIGN(nlh->nlmsg_len);
	if (nlh->nlmsg_type == PACKET_TYPE)
		parse_packet(nlh, p, m);
	else if (nlh->nlmsg_type == NLMSG_ERROR)
		parse_answer(nlh, m);
	else
		m->kind = NFLOG_OTHER;
}

static void put_settings(struct nlmsghdr *nlh, const struct nflog_config *c)
{
	struct nfulnl_msg_config_mode mode = { .copy_range = htonl(c->range),
					       .copy_mode = NFULNL_COPY_PACKET };
	uint16_t flags = NFULNL_CFG_F_SEQ;

	if (c->conntrack)
		flags |= NFULNL_CFG_F_CONNTRACK;
	mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u32(nlh, NFULA_CFG_NLBUFSIZ, htonl(c->buffer));
	mnl_attr_put_u32(nlh, NFULA_CFG_TIMEOUT, htonl(c->timeout));
	mnl_attr_put_u32(nlh, NFULA_CFG_QTHRESH, htonl(c->threshold));
	mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(flags));
}

struct nlmsghdr *nflog_request(void *buf, uint32_t seq, const struct nflog_config *c)
{
	struct nfulnl_msg_config_cmd command = { .command = c->command };
	struct nlmsghdr *nlh;
	struct nfgenmsg *gen;

	memset(buf, 0, NFLOG_REQUEST_MAX); /* libmnl does not set the padding bytes of short attributes */
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = CONFIG_TYPE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = seq;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->nfgen_family = c->family;
	gen->version = NFNETLINK_V0;
	gen->res_id = htons(c->group);
	if (c->command != NFULNL_CFG_CMD_NONE)
		mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(command), &command);
	if (c->settings)
		put_settings(nlh, c);
	return nlh;
}
