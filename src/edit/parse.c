// SPDX-License-Identifier: LGPL-2.1-or-later
/* Finds the headers of a packet: ipq_edit_begin(). Every offset that it stores is within the packet. */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"
#include "util/ip.h"

enum {
	IPV4_HEADER = 20,
	IPV4_OPTION_END = 0,
	IPV4_OPTION_NOP = 1,
	IPV4_OPTION_LSRR = 131,
	IPV4_OPTION_SSRR = 137,
	IPV6_OPTION_HOME_ADDRESS = 0xc9, /* Home Address option: RFC 6275, section 6.3 */
	ROUTING_SOURCE = 0,		 /* source route: RFC 2460, section 4.4 */
	ROUTING_MOBILE = 2,		 /* Mobile IPv6: RFC 6275, section 6.4 */
	ROUTING_SEGMENT = 4,		 /* segment routing: RFC 8754 */
	/* RFC 8200 allows each extension header once, destination options twice. */
	MAX_EXTENSIONS = 16,
	PACKET_TRUNCATED = 1 << 3, /* the same bit as IPQ_PACKET_TRUNCATED in ipq.h */
};

/*
 * Until a source route is completed, the checksum covers the last address of the route (RFC 1122, section 3.2.1.8).
 */
static int parse_ipv4_options(struct ipq_edit *e, size_t end)
{
	size_t at = IPV4_HEADER, len;

	while (at < end && e->data[at] != IPV4_OPTION_END) {
		if (e->data[at] == IPV4_OPTION_NOP) {
			at++;
			continue;
		}
		if (end - at < 2)
			return -EBADMSG;
		len = e->data[at + 1];
		if (len < 2 || len > end - at)
			return -EBADMSG;
		if (e->data[at] == IPV4_OPTION_LSRR || e->data[at] == IPV4_OPTION_SSRR) {
			/* The pointer counts from 1. If it is beyond the option, the route is completed. */
			if (len < 3 || (len - 3) % 4)
				return -EBADMSG;
			if (len > 3 && e->data[at + 2] <= len)
				e->final_destination = (uint32_t)(at + len - 4);
		}
		at += len;
	}
	return 0;
}

/*
 * Uses the caller's len as the length of the packet. With segmentation offload, the length field may be 0, as in
 * packets over 64 KiB (BIG TCP).
 */
static int length_of_caller(struct ipq_edit *e, size_t len, uint32_t flags)
{
	if (flags & PACKET_TRUNCATED)
		return -ENODATA;
	if (len > INT32_MAX)
		return -EBADMSG;
	e->flags |= IPQ_EDIT_NO_LENGTH;
	e->len = (uint32_t)len;
	return 0;
}

/* Accepts a packet of which only the first len bytes are present, if the caller allows it. */
static int first_bytes(struct ipq_edit *e, size_t len, size_t full_len, uint32_t flags)
{
	if (!(flags & IPQ_EDIT_CUT))
		return -ENODATA;
	e->flags |= IPQ_EDIT_CUT;
	e->len = (uint32_t)len;
	e->reserved2[0] = (uint32_t)(full_len - len);
	return 0;
}

static int parse_ipv4(struct ipq_edit *e, size_t header, size_t len, uint32_t flags)
{
	unsigned total = get16(e->data + 2);
	int err;

	if (header < IPV4_HEADER || (total ? total < header : header > len))
		return -EBADMSG;
	if (header > len)
		return -ENODATA;
	e->len = total;
	if (total > len)
		err = first_bytes(e, len, total, flags);
	else
		err = total ? 0 : length_of_caller(e, len, flags);
	if (err)
		return err;
	return parse_ipv4_options(e, header);
}

/* Reads the length of a jumbogram from the option at `at`: the length in the IPv6 header is 0. */
static int parse_jumbo(struct ipq_edit *e, size_t at)
{
	size_t len = get32(e->data + at);

	if (!(e->flags & IPQ_EDIT_NO_LENGTH) || len <= UINT16_MAX || e->transport != IPV6_HEADER)
		return -EBADMSG;
	if (len > e->len - IPV6_HEADER)
		return -ENODATA;
	e->len = (uint32_t)len + IPV6_HEADER;
	e->flags ^= IPQ_EDIT_NO_LENGTH | IPQ_EDIT_JUMBO;
	return 0;
}

static int parse_ipv6_option(struct ipq_edit *e, size_t at, size_t len)
{
	/*
	 * With a Home Address option, the checksum covers that address as the source address (RFC 6275, section
	 * 6.3).
	 */
	if (e->data[at] == IPV6_OPTION_HOME_ADDRESS && e->protocol == IPPROTO_DSTOPTS) {
		e->final_source = (uint32_t)at + 2;
		return len == 16 ? 0 : -EBADMSG;
	}
	if (e->data[at] == IPV6_OPTION_JUMBO && e->protocol == IPPROTO_HOPOPTS)
		return len == 4 ? parse_jumbo(e, at + 2) : -EBADMSG;
	return 0;
}

/* Parses the options of a hop-by-hop or destination options header. */
static int parse_ipv6_options(struct ipq_edit *e, size_t at, size_t end)
{
	size_t len;
	int err = 0;

	while (at < end && !err) {
		if (e->data[at] == IPV6_OPTION_PAD1) {
			at++;
			continue;
		}
		if (end - at < 2)
			return -EBADMSG;
		len = e->data[at + 1];
		if (len > end - at - 2)
			return -EBADMSG;
		err = parse_ipv6_option(e, at, len);
		at += 2 + len;
	}
	return err;
}

/* As long as segments are left, the checksum covers the last address of the route (RFC 8200, section 8.1). */
static int parse_routing(struct ipq_edit *e, size_t at, size_t len)
{
	const uint8_t *p = e->data + at;

	if (!p[3])
		return 0;
	switch (p[2]) {
	case ROUTING_SOURCE:
	case ROUTING_MOBILE:
		if (len < 24 || (len - 8) % 16)
			return -EBADMSG;
		e->final_destination = (uint32_t)(at + len - 16);
		return 0;
	case ROUTING_SEGMENT: /* this list of addresses is in reverse order */
		if (len < 24)
			return -EBADMSG;
		e->final_destination = (uint32_t)at + 8;
		return 0;
	default:
		e->final_destination = 0;
		return 0;
	}
}

/* Parses the extension header at e->transport. */
static int parse_extension(struct ipq_edit *e, size_t len)
{
	switch (e->protocol) {
	case IPPROTO_ROUTING:
		return parse_routing(e, e->transport, len);
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
		return parse_ipv6_options(e, e->transport + 2, e->transport + len);
	default:
		return 0;
	}
}

static int parse_extensions(struct ipq_edit *e, struct ip_headers *h)
{
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		size_t len = ip_skip(h, e->data, e->len);
		int err = len ? parse_extension(e, len) : 0;

		if (!len)
			return !h->cut ? 0 : edit_missing(e) ? -ENODATA : -EBADMSG;
		if (err)
			return err;
		e->protocol = h->protocol;
		e->transport = h->transport;
	}
	return -EBADMSG;
}

static int parse_ipv6(struct ipq_edit *e, size_t len, uint32_t flags)
{
	unsigned payload = get16(e->data + 4);

	if (payload > len - IPV6_HEADER)
		return first_bytes(e, len, payload + IPV6_HEADER, flags);
	e->len = payload + IPV6_HEADER;
	if (!payload && e->data[6] != IPPROTO_NONE && len > IPV6_HEADER)
		return length_of_caller(e, len, flags);
	return 0;
}

static int parse_network(struct ipq_edit *e, size_t len, uint32_t flags)
{
	struct ip_headers h;
	int err;

	ip_begin(&h, e->data, len);
	if (!h.version)
		return -EBADMSG;
	e->version = h.version;
	e->protocol = h.protocol;
	e->transport = h.transport;
	e->final_source = h.address;
	e->final_destination = h.address + h.address_len;
	err = h.version == 4 ? parse_ipv4(e, h.transport, len, flags) : parse_ipv6(e, len, flags);
	if (!err)
		err = parse_extensions(e, &h);
	if (h.fragment)
		e->flags |= IPQ_EDIT_FRAGMENT;
	if (h.later_fragment)
		e->flags |= IPQ_EDIT_LATER_FRAGMENT;
	if (h.authenticated || (h.later_fragment && h.protocol == IPPROTO_AH))
		e->flags |= IPQ_EDIT_AUTHENTICATED;
	return err;
}

/*
 * Returns the error for a transport header that is not complete in this packet. -EOPNOTSUPP: another fragment has the
 * rest.
 */
static int header_error(const struct ipq_edit *e)
{
	if (edit_missing(e))
		return -ENODATA;
	return e->flags & IPQ_EDIT_FRAGMENT ? -EOPNOTSUPP : -EBADMSG;
}

/*
 * Stores the transport header. header: bytes before the payload; checksum: offset of the checksum in the header;
 * len, covered: the values in the header. They may exceed the bytes that are present and, in a first fragment, also
 * this packet.
 */
static void set_transport(struct ipq_edit *e, size_t header, size_t checksum, size_t len, size_t covered)
{
	size_t here = e->len - e->transport;
	bool fragment = e->flags & IPQ_EDIT_FRAGMENT;

	if (header > len || covered < header ||
	    (!fragment && (len > here + edit_missing(e) || covered > len))) {
		e->transport_error = -EBADMSG;
		return;
	}
	if (len > here)
		len = here;
	if (header > len) {
		e->transport_error = header_error(e);
		return;
	}
	e->transport_len = (uint32_t)len;
	e->payload = e->transport + (uint32_t)header;
	e->payload_len = (uint32_t)(len - header);
	e->checksum = e->transport + (uint32_t)checksum;
	e->covered = (uint32_t)(covered < len ? covered : len);
}

static void parse_transport(struct ipq_edit *e)
{
	const uint8_t *p = e->data + e->transport;
	size_t here = e->len - e->transport, header = e->protocol == IPPROTO_TCP    ? 20
						      : e->protocol == IPPROTO_SCTP ? 12
										    : 8;
	size_t whole = e->flags & IPQ_EDIT_FRAGMENT ? UINT16_MAX : here + edit_missing(e);
	unsigned n;

	e->payload = e->transport;
	e->payload_len = e->transport_len = (uint32_t)here;
	/* The checksum of SCTP can be adjusted only with all bytes of the datagram. */
	if (e->flags & IPQ_EDIT_LATER_FRAGMENT || e->protocol == IPPROTO_ESP ||
	    (e->protocol == IPPROTO_SCTP && e->flags & IPQ_EDIT_FRAGMENT)) {
		e->transport_error = -EOPNOTSUPP;
		return;
	}
	if (e->protocol != IPPROTO_TCP && e->protocol != IPPROTO_UDP && e->protocol != IPPROTO_UDPLITE &&
	    e->protocol != IPPROTO_SCTP && e->protocol != (e->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		e->transport_error = -EPROTONOSUPPORT;
		return;
	}
	if (here < header || (e->protocol == IPPROTO_SCTP && edit_missing(e))) {
		e->transport_error = header_error(e);
		return;
	}
	switch (e->protocol) {
	case IPPROTO_TCP:
		n = (p[12] >> 4) * 4u;
		if (n < header)
			e->transport_error = -EBADMSG;
		else
			set_transport(e, n, 16, whole, whole);
		break;
	case IPPROTO_UDP:
		n = get16(p + 4);
		/* UDP length 0 in a jumbogram: RFC 2675, section 4 */
		if (!n && (e->flags & (IPQ_EDIT_JUMBO | IPQ_EDIT_NO_LENGTH)))
			set_transport(e, header, 6, whole, whole);
		else
			set_transport(e, header, 6, n, n);
		break;
	case IPPROTO_UDPLITE: /* this field is the coverage; 0 means all bytes (RFC 3828) */
		n = get16(p + 4);
		set_transport(e, header, 6, whole, n ? n : whole);
		break;
	case IPPROTO_SCTP:
		set_transport(e, header, 8, whole, whole);
		break;
	default: /* ICMP and ICMPv6 */
		set_transport(e, header, 2, whole, whole);
		break;
	}
}

/* Marks the edit as one without a packet: later calls fail, too. */
static int begin_failed(struct ipq_edit *e, unsigned reason, int err)
{
	*e = (struct ipq_edit){ .transport_error = err };
	return edit_fail(e, reason, err);
}

int ipq_edit_begin(struct ipq_edit *e, void *data, size_t len, size_t room, uint32_t flags)
{
	int err;

	memset(e, 0, sizeof(*e));
	if (room < len)
		return begin_failed(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	if (!len)
		return begin_failed(e, IPQ_EDIT_REASON_MALFORMED, -EBADMSG);
	e->data = data;
	e->room = room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
	e->flags = flags & IPQ_EDIT_CHECKSUM_NOT_READY;
	err = parse_network(e, len, flags);
	if (err)
		return begin_failed(e, err == -ENODATA ? IPQ_EDIT_REASON_CUT : IPQ_EDIT_REASON_MALFORMED,
				    err);
	parse_transport(e);
	return 0;
}
