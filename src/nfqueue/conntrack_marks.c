// SPDX-License-Identifier: LGPL-2.1-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include "nfqueue/conntrack_marks.h"
#include "util/bytes.h"

#define ROOM 16384

static struct nlmsghdr *begin(char *buf, unsigned type, unsigned flags, uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = 1;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	*g = (struct nfgenmsg){ .nfgen_family = family, .version = NFNETLINK_V0 };
	return h;
}

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

	if (s != NULL && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(s);
		s = NULL;
	}
	return s;
}

/* Sends a request and passes the answers to cb. 0 or -errno. */
static int talk(struct mnl_socket *s, struct nlmsghdr *h, mnl_cb_t cb, void *data)
{
	static const unsigned seq = 1;
	char buf[ROOM];
	ssize_t n;
	int more = 1;

	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	while (more > 0) {
		do
			n = mnl_socket_recvfrom(s, buf, sizeof(buf));
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), cb, data);
	}
	return more < 0 ? -errno : 0;
}

static void put_tuple(struct nlmsghdr *h, const struct ipq_tuple *t)
{
	bool v4 = t->family == AF_INET;
	struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG),
		      *part = mnl_attr_nest_start(h, CTA_TUPLE_IP);

	mnl_attr_put(h, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, v4 ? 4 : 16, t->source);
	mnl_attr_put(h, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, v4 ? 4 : 16, t->destination);
	mnl_attr_nest_end(h, part);
	part = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(h, CTA_PROTO_NUM, t->protocol);
	if (t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6) {
		bool v6 = t->protocol == IPPROTO_ICMPV6;

		mnl_attr_put_u16(h, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, htons(t->source_port));
		mnl_attr_put_u8(h, v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, t->icmp_type);
		mnl_attr_put_u8(h, v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, t->icmp_code);
	} else {
		mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(t->source_port));
		mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(t->destination_port));
	}
	mnl_attr_nest_end(h, part);
	mnl_attr_nest_end(h, tuple);
}

int conntrack_clear_mark(const struct ipq_tuple *tuple, uint32_t mask)
{
	struct mnl_socket *s = open_socket();
	char buf[ROOM];
	struct nlmsghdr *h = begin(buf, IPCTNL_MSG_CT_NEW, NLM_F_ACK, tuple->family);
	int err;

	if (s == NULL)
		return -errno;
	put_tuple(h, tuple);
	mnl_attr_put_u32(h, CTA_MARK, 0);
	mnl_attr_put_u32(h, CTA_MARK_MASK, htonl(mask));
	err = talk(s, h, NULL, NULL);
	mnl_socket_close(s);
	return err;
}

/* ---- every connection with a mark -------------------------------------------------------------- */

struct clearing {
	struct mnl_socket *updates;
	uint32_t value, mask;
	int err;
};

/* Stores a pointer to each attribute, indexed by its type. */
static int collect(const struct nlattr *a, void *data)
{
	const struct nlattr **table = data;

	if (mnl_attr_get_type(a) <= CTA_MAX)
		table[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static int clear_one(const struct nlmsghdr *dumped, void *data)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(dumped);
	const struct nlattr *a[CTA_MAX + 1] = { NULL };
	struct clearing *c = data;
	char buf[ROOM];
	struct nlmsghdr *h = begin(buf, IPCTNL_MSG_CT_NEW, NLM_F_ACK, g->nfgen_family);
	int err;

	mnl_attr_parse(dumped, sizeof(*g), collect, a);
	/* A kernel that does not support the filter of the dump sends every connection. */
	if (a[CTA_TUPLE_ORIG] == NULL || a[CTA_MARK] == NULL ||
	    (get32(mnl_attr_get_payload(a[CTA_MARK])) & c->mask) != c->value)
		return MNL_CB_OK;
	mnl_attr_put(h, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(a[CTA_TUPLE_ORIG]),
		     mnl_attr_get_payload(a[CTA_TUPLE_ORIG]));
	/* The zone is part of the identity of a connection. */
	if (a[CTA_ZONE] != NULL)
		mnl_attr_put(h, CTA_ZONE, mnl_attr_get_payload_len(a[CTA_ZONE]),
			     mnl_attr_get_payload(a[CTA_ZONE]));
	mnl_attr_put_u32(h, CTA_MARK, 0);
	mnl_attr_put_u32(h, CTA_MARK_MASK, htonl(c->mask));
	err = talk(c->updates, h, NULL, NULL);
	if (err < 0 && err != -ENOENT && c->err == 0) /* ENOENT: the connection has ended in the meantime */
		c->err = err;
	return MNL_CB_OK;
}

static int clear_once(uint32_t value, uint32_t mask)
{
	struct clearing c = { .updates = open_socket(), .value = value, .mask = mask };
	struct mnl_socket *dump = open_socket();
	char buf[ROOM];
	struct nlmsghdr *h = begin(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	int err = -errno;

	if (c.updates != NULL && dump != NULL) {
		mnl_attr_put_u32(h, CTA_MARK, htonl(value));
		mnl_attr_put_u32(h, CTA_MARK_MASK, htonl(mask));
		err = talk(dump, h, clear_one, &c);
	}
	if (dump != NULL)
		mnl_socket_close(dump);
	if (c.updates != NULL)
		mnl_socket_close(c.updates);
	return err < 0 ? err : c.err;
}

int conntrack_clear_marks(uint32_t value, uint32_t mask)
{
	int err, tries = 10;

	/* -EINTR: the kernel resized its table during the dump, so the dump may have missed connections. */
	do
		err = clear_once(value, mask);
	while (err == -EINTR && --tries > 0);
	return err;
}

/* ---- counters ----------------------------------------------------------------------------------- */

struct counting {
	uint64_t packets, bytes;
	bool found;
};

static void count_direction(struct counting *c, const struct nlattr *counters)
{
	const struct nlattr *a[CTA_MAX + 1] = { NULL };

	if (counters == NULL || mnl_attr_parse_nested(counters, collect, a) < 0)
		return;
	if (a[CTA_COUNTERS_PACKETS] == NULL || a[CTA_COUNTERS_BYTES] == NULL)
		return;
	c->found = true;
	c->packets += get64(mnl_attr_get_payload(a[CTA_COUNTERS_PACKETS]));
	c->bytes += get64(mnl_attr_get_payload(a[CTA_COUNTERS_BYTES]));
}

static int count_one(const struct nlmsghdr *h, void *data)
{
	const struct nlattr *a[CTA_MAX + 1] = { NULL };

	mnl_attr_parse(h, sizeof(struct nfgenmsg), collect, a);
	count_direction(data, a[CTA_COUNTERS_ORIG]);
	count_direction(data, a[CTA_COUNTERS_REPLY]);
	return MNL_CB_STOP;
}

int conntrack_counters(const struct ipq_tuple *tuple, uint64_t *packets, uint64_t *bytes)
{
	struct mnl_socket *s = open_socket();
	struct counting c = { .found = false };
	char buf[ROOM];
	struct nlmsghdr *h = begin(buf, IPCTNL_MSG_CT_GET, 0, tuple->family);
	int err;

	if (s == NULL)
		return -errno;
	put_tuple(h, tuple);
	err = talk(s, h, count_one, &c);
	mnl_socket_close(s);
	if (err < 0)
		return err;
	*packets = c.packets;
	*bytes = c.bytes;
	return c.found ? 0 : -ENODATA;
}
