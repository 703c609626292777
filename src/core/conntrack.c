/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parses a conntrack entry, a list of nfnetlink attributes that linux/netfilter/nfnetlink_conntrack.h defines.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include "source/source.h"

typedef int (*attribute_reader)(const struct nlattr *attr, void *context);

/* A wrong length makes the whole entry malformed; mnl_attr_parse_payload() would only skip the attribute. */
static int read_all(const void *attributes, size_t len, attribute_reader read, void *context)
{
	const struct nlattr *attr = attributes;

	while (len > 0) {
		size_t step;

		if (len < sizeof(*attr) || attr->nla_len < sizeof(*attr) || attr->nla_len > len)
			return MNL_CB_ERROR;
		if (read(attr, context) == MNL_CB_ERROR)
			return MNL_CB_ERROR;
		step = MNL_ALIGN(attr->nla_len);
		if (step >= len) /* the padding of the last attribute may be missing */
			break;
		len -= step;
		attr = mnl_attr_next(attr);
	}
	return MNL_CB_OK;
}

static int read_nested(const struct nlattr *nest, attribute_reader read, void *context)
{
	return read_all(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), read, context);
}

/* An attribute that is too short for its number makes the whole entry malformed. */
static int number(const struct nlattr *attr, void *to, size_t size)
{
	if (mnl_attr_get_payload_len(attr) < size)
		return MNL_CB_ERROR;
	memcpy(to, mnl_attr_get_payload(attr), size);
	return MNL_CB_OK;
}

static int number32(const struct nlattr *attr, uint32_t *to, uint32_t *present, uint32_t bit)
{
	if (number(attr, to, sizeof(*to)) != MNL_CB_OK)
		return MNL_CB_ERROR;
	*to = ntohl(*to);
	*present |= bit;
	return MNL_CB_OK;
}

static int number16(const struct nlattr *attr, uint16_t *to)
{
	if (number(attr, to, sizeof(*to)) != MNL_CB_OK)
		return MNL_CB_ERROR;
	*to = ntohs(*to);
	return MNL_CB_OK;
}

static int read_addresses(const struct nlattr *attr, void *context)
{
	struct ipq_tuple *t = context;

	switch (mnl_attr_get_type(attr)) {
	case CTA_IP_V4_SRC:
		t->family = AF_INET;
		return number(attr, t->source, 4);
	case CTA_IP_V4_DST:
		return number(attr, t->destination, 4);
	case CTA_IP_V6_SRC:
		t->family = AF_INET6;
		return number(attr, t->source, 16);
	case CTA_IP_V6_DST:
		return number(attr, t->destination, 16);
	default:
		return MNL_CB_OK;
	}
}

static int read_ports(const struct nlattr *attr, void *context)
{
	struct ipq_tuple *t = context;

	switch (mnl_attr_get_type(attr)) {
	case CTA_PROTO_NUM:
		return number(attr, &t->protocol, 1);
	case CTA_PROTO_SRC_PORT:
	case CTA_PROTO_ICMP_ID:
	case CTA_PROTO_ICMPV6_ID:
		return number16(attr, &t->source_port);
	case CTA_PROTO_DST_PORT:
		return number16(attr, &t->destination_port);
	case CTA_PROTO_ICMP_TYPE:
	case CTA_PROTO_ICMPV6_TYPE:
		return number(attr, &t->icmp_type, 1);
	case CTA_PROTO_ICMP_CODE:
	case CTA_PROTO_ICMPV6_CODE:
		return number(attr, &t->icmp_code, 1);
	default:
		return MNL_CB_OK;
	}
}

static int read_tuple(const struct nlattr *attr, void *tuple)
{
	switch (mnl_attr_get_type(attr)) {
	case CTA_TUPLE_IP:
		return read_nested(attr, read_addresses, tuple);
	case CTA_TUPLE_PROTO:
		return read_nested(attr, read_ports, tuple);
	default:
		return MNL_CB_OK;
	}
}

static int read_tcp(const struct nlattr *attr, void *context)
{
	struct ipq_conntrack *ct = context;

	if (mnl_attr_get_type(attr) != CTA_PROTOINFO_TCP_STATE)
		return MNL_CB_OK;
	ct->present |= IPQ_CT_HAS_TCP_STATE;
	return number(attr, &ct->tcp_state, 1);
}

static int read_protoinfo(const struct nlattr *attr, void *ct)
{
	return mnl_attr_get_type(attr) == CTA_PROTOINFO_TCP ? read_nested(attr, read_tcp, ct) : MNL_CB_OK;
}

static int read_labels(const struct nlattr *attr, struct ipq_conntrack *ct)
{
	size_t len = mnl_attr_get_payload_len(attr);

	memcpy(ct->labels, mnl_attr_get_payload(attr), len < sizeof(ct->labels) ? len : sizeof(ct->labels));
	ct->present |= IPQ_CT_HAS_LABELS;
	return MNL_CB_OK;
}

static int read_entry(const struct nlattr *attr, void *context)
{
	struct ipq_conntrack *ct = context;

	switch (mnl_attr_get_type(attr)) {
	case CTA_ID:
		return number32(attr, &ct->id, &ct->present, IPQ_CT_HAS_ID);
	case CTA_STATUS:
		return number32(attr, &ct->status, &ct->present, IPQ_CT_HAS_STATUS);
	case CTA_MARK:
		return number32(attr, &ct->mark, &ct->present, IPQ_CT_HAS_MARK);
	case CTA_TIMEOUT:
		return number32(attr, &ct->timeout, &ct->present, IPQ_CT_HAS_TIMEOUT);
	case CTA_ZONE:
		ct->present |= IPQ_CT_HAS_ZONE;
		return number16(attr, &ct->zone);
	case CTA_TUPLE_ORIG:
		ct->present |= IPQ_CT_HAS_ORIGINAL;
		return read_nested(attr, read_tuple, &ct->original);
	case CTA_TUPLE_REPLY:
		ct->present |= IPQ_CT_HAS_REPLY;
		return read_nested(attr, read_tuple, &ct->reply);
	case CTA_PROTOINFO:
		return read_nested(attr, read_protoinfo, ct);
	case CTA_LABELS:
		return read_labels(attr, ct);
	default:
		return MNL_CB_OK;
	}
}

int ipq_packet_conntrack(const struct ipq_packet *packet, struct ipq_conntrack *ct)
{
	struct ipq_conntrack all = { 0 };

	if (!(packet->present & IPQ_HAS_CONNTRACK))
		return -ENODATA;
	if (read_all(packet->conntrack, packet->conntrack_len, read_entry, &all) == MNL_CB_ERROR)
		return -EBADMSG;
	return copy_struct_out(ct, &all, sizeof(all), offsetof(struct ipq_conntrack, id));
}
