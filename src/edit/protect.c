// SPDX-License-Identifier: LGPL-2.1-or-later
/* Refuses edits of bytes that are covered or counted by a field which cannot be adjusted. */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"

enum {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MD5 = 19,   /* RFC 2385 */
	TCP_OPTION_AO = 29,    /* RFC 5925 */
	TCP_OPTION_MPTCP = 30, /* RFC 8684 */
	MPTCP_CAPABLE = 0,
	MPTCP_DSS = 2,
};

const char *ipq_edit_reason_text(unsigned reason)
{
	static const char *const texts[IPQ_EDIT_REASON_COUNT] = {
		[IPQ_EDIT_REASON_NONE] = "edited",
		[IPQ_EDIT_REASON_ARGUMENT] = "not applicable",
		[IPQ_EDIT_REASON_MALFORMED] = "malformed",
		[IPQ_EDIT_REASON_CUT] = "cut when it was captured",
		[IPQ_EDIT_REASON_FRAGMENT] = "fragment",
		[IPQ_EDIT_REASON_PROTOCOL] = "unknown protocol",
		[IPQ_EDIT_REASON_ENCRYPTED] = "encrypted (ESP)",
		[IPQ_EDIT_REASON_AUTHENTICATED] = "authenticated (AH)",
		[IPQ_EDIT_REASON_SIGNED] = "signed (TCP-MD5, TCP-AO or SCTP)",
		[IPQ_EDIT_REASON_MPTCP] = "Multipath TCP",
		[IPQ_EDIT_REASON_TUNNEL] = "tunnel",
		[IPQ_EDIT_REASON_ICMP] = "ICMP with a quoted packet or options",
		[IPQ_EDIT_REASON_COVERAGE] = "UDP-Lite with partial coverage",
		[IPQ_EDIT_REASON_ROUTE] = "unknown routing header",
		[IPQ_EDIT_REASON_SIZE] = "too long",
		[IPQ_EDIT_REASON_ROOM] = "no room in the buffer",
		[IPQ_EDIT_REASON_LATE] = "later data of the connection was already sent",
		[IPQ_EDIT_REASON_MEMORY] = "memory for connections used up",
		[IPQ_EDIT_REASON_WINDOW] = "outside the TCP window",
		[IPQ_EDIT_REASON_CHUNK] = "SCTP chunk: new length, or no user data",
	};

	return reason < IPQ_EDIT_REASON_COUNT ? texts[reason] : "unknown reason";
}

/* ---- TCP options ---- */

int edit_option_len(const uint8_t *data, size_t at, size_t end)
{
	unsigned len;

	if (data[at] == TCP_OPTION_NOP || data[at] == TCP_OPTION_END)
		return 1;
	if (end - at < 2)
		return -EBADMSG;
	len = data[at + 1];
	return len < 2 || len > end - at ? -EBADMSG : (int)len;
}

int edit_find_option(const struct ipq_edit *e, size_t from, uint8_t kind)
{
	int len;

	for (size_t at = from; at < e->payload && e->data[at] != TCP_OPTION_END; at += (size_t)len) {
		len = edit_option_len(e->data, at, e->payload);
		if (len < 0)
			return len;
		if (e->data[at] == kind)
			return (int)at;
	}
	return -ENOENT;
}

uint8_t edit_signature(const struct ipq_edit *e)
{
	size_t first = e->transport + TCP_HEADER;

	if (e->protocol != IPPROTO_TCP || e->transport_error)
		return 0;
	if (edit_find_option(e, first, TCP_OPTION_MD5) >= 0)
		return TCP_OPTION_MD5;
	return edit_find_option(e, first, TCP_OPTION_AO) >= 0 ? TCP_OPTION_AO : 0;
}

/* Whether this option of len bytes has a checksum over the payload. */
static bool mptcp_has_checksum(const uint8_t *option, size_t len)
{
	unsigned flags = len > 3 ? option[3] : 0;
	size_t mapping = (flags & 8 ? 8 : 4) + 6; /* data sequence number, subflow sequence number, length */

	if (len < 4)
		return false;
	if (option[2] >> 4 == MPTCP_CAPABLE)
		return len == 24;
	if (option[2] >> 4 != MPTCP_DSS || !(flags & 4))
		return false;
	return len != 4 + (flags & 1 ? (flags & 2 ? 8u : 4u) : 0) + mapping;
}

/* Multipath TCP counts the payload bytes in its mappings; the options of data segments may also have a checksum. */
static bool mptcp_refuses(const struct ipq_edit *e, bool resize)
{
	int at = (int)(e->transport + TCP_HEADER);

	while ((at = edit_find_option(e, (size_t)at, TCP_OPTION_MPTCP)) >= 0) {
		if (resize || mptcp_has_checksum(e->data + at, e->data[at + 1]))
			return true;
		at += e->data[at + 1];
	}
	return false;
}

/* ---- payload with its own lengths and checksums ---- */

/*
 * Whether the payload begins with an IPv6 header, or with a header that may precede it (RFC 4380, section 5.1.1).
 */
static bool is_teredo(const uint8_t *p, size_t len)
{
	return len >= 20 && (p[0] >> 4 == 6 || (p[0] == 0 && p[1] <= 1));
}

static bool is_vxlan(const uint8_t *p, size_t len) /* VXLAN, and its extension GPE */
{
	return len >= 8 && (p[0] & 8) && !p[7];
}

static bool is_geneve(const uint8_t *p, size_t len) /* Geneve: version 0, followed by an EtherType */
{
	return len >= 8 && p[0] >> 6 == 0 && get16(p + 2) >= 0x0600;
}

static bool is_gtp(const uint8_t *p, size_t len) /* GTP: version 1, a user packet (3GPP TS 29.281) */
{
	return len >= 8 && p[0] >> 5 == 1 && p[1] == 255;
}

static bool is_l2tp_data(const uint8_t *p, size_t len) /* L2TP data: version 2 or 3 */
{
	return len >= 6 && !(p[0] & 0x80) && ((p[1] & 15) == 2 || (p[1] & 15) == 3);
}

static bool is_capwap(const uint8_t *p, size_t len) /* CAPWAP: version 0, without DTLS (RFC 5415) */
{
	return len >= 8 && p[0] == 0;
}

static bool is_amt(const uint8_t *p, size_t len) /* AMT: a query, an answer to a query, or data (RFC 7450) */
{
	return len >= 20 && p[0] >= 4 && p[0] <= 6;
}

static bool is_tzsp(const uint8_t *p, size_t len) /* TZSP: version 1, a packet */
{
	return len >= 5 && p[0] == 1 && p[1] <= 1;
}

static bool is_anything(const uint8_t *p, size_t len)
{
	(void)p;
	return len > 0;
}

/* ESP in UDP (RFC 3948): IKE messages begin with four zeros instead */
static bool is_esp(const uint8_t *p, size_t len)
{
	return len >= 8 && get32(p) != 0;
}

/* Finds protocols over UDP whose payload is a packet with its own lengths and checksums. */
static unsigned udp_reason(const struct ipq_edit *e)
{
	static const struct {
		uint16_t port;
		uint16_t reason;
		bool either; /* the port may be source or destination; if false, it must be the destination */
		bool (*matches)(const uint8_t *payload, size_t len);
	} known[] = {
		{ 4789, IPQ_EDIT_REASON_TUNNEL, false, is_vxlan },
		{ 4790, IPQ_EDIT_REASON_TUNNEL, false, is_vxlan },
		/* the port of VXLAN in Linux before one was assigned */
		{ 8472, IPQ_EDIT_REASON_TUNNEL, false, is_vxlan },
		{ 6081, IPQ_EDIT_REASON_TUNNEL, false, is_geneve },
		{ 2152, IPQ_EDIT_REASON_TUNNEL, true, is_gtp },
		{ 1701, IPQ_EDIT_REASON_TUNNEL, true, is_l2tp_data },
		{ 3544, IPQ_EDIT_REASON_TUNNEL, true, is_teredo },
		{ 6080, IPQ_EDIT_REASON_TUNNEL, false, is_anything }, /* GUE, generic UDP encapsulation */
		{ 6635, IPQ_EDIT_REASON_TUNNEL, false, is_anything }, /* MPLS in UDP */
		{ 9899, IPQ_EDIT_REASON_TUNNEL, true, is_anything },  /* SCTP in UDP (RFC 6951) */
		{ 4341, IPQ_EDIT_REASON_TUNNEL, false, is_anything }, /* LISP */
		/* RoCE: InfiniBand packets, which have a CRC */
		{ 4791, IPQ_EDIT_REASON_TUNNEL, false, is_anything },
		{ 5247, IPQ_EDIT_REASON_TUNNEL, true, is_capwap },
		{ 2268, IPQ_EDIT_REASON_TUNNEL, true, is_amt },
		{ 37008, IPQ_EDIT_REASON_TUNNEL, false, is_tzsp },
		{ 4500, IPQ_EDIT_REASON_ENCRYPTED, true, is_esp },
	};
	const uint8_t *header = e->data + e->transport, *payload = e->data + e->payload;
	unsigned from = get16(header), to = get16(header + 2);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if ((to == known[i].port || (known[i].either && from == known[i].port)) &&
		    known[i].matches(payload, e->payload_len))
			return known[i].reason;
	return IPQ_EDIT_REASON_NONE;
}

/*
 * Errors and redirects quote a packet. The object of an extended echo has its own checksum (RFC 8335). Echo
 * messages have only data; other messages have options with lengths.
 */
static bool icmp_refuses(const struct ipq_edit *e, bool resize)
{
	unsigned type = e->data[e->transport];

	if (e->version == 4)
		return type == 3 || type == 4 || type == 5 || type == 11 || type == 12 || type == 42 ||
		       type == 43 || (resize && type != 0 && type != 8);
	return type < 128 || type == 137 || type == 160 || type == 161 ||
	       (resize && type != 128 && type != 129);
}

/* ---- refusals ---- */

unsigned edit_transport_reason(const struct ipq_edit *e)
{
	switch (e->transport_error) {
	case 0:
		return IPQ_EDIT_REASON_NONE;
	case -EBADMSG:
		return IPQ_EDIT_REASON_MALFORMED;
	case -ENODATA:
		return IPQ_EDIT_REASON_CUT;
	case -EINVAL: /* an error of ipq_edit_begin() */
		return IPQ_EDIT_REASON_ARGUMENT;
	case -EPROTONOSUPPORT:
		return e->protocol == IPPROTO_IPIP || e->protocol == IPPROTO_IPV6 ||
				       e->protocol == IPPROTO_GRE
			       ? IPQ_EDIT_REASON_TUNNEL
			       : IPQ_EDIT_REASON_PROTOCOL;
	default:
		return e->flags & IPQ_EDIT_FRAGMENT ? IPQ_EDIT_REASON_FRAGMENT : IPQ_EDIT_REASON_ENCRYPTED;
	}
}

int edit_transport(struct ipq_edit *e, int protocol)
{
	if (e->transport_error)
		return edit_fail(e, edit_transport_reason(e), e->transport_error);
	if (e->flags & IPQ_EDIT_AUTHENTICATED)
		return edit_fail(e, IPQ_EDIT_REASON_AUTHENTICATED, -EOPNOTSUPP);
	if (protocol && protocol != e->protocol)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EPROTONOSUPPORT);
	return edit_signature(e) ? edit_fail(e, IPQ_EDIT_REASON_SIGNED, -EOPNOTSUPP) : 0;
}

int edit_payload(struct ipq_edit *e, bool resize)
{
	unsigned reason = IPQ_EDIT_REASON_NONE;
	int err = edit_transport(e, 0);

	if (err)
		return err;
	if (edit_missing(e))
		return edit_fail(e, IPQ_EDIT_REASON_CUT, -ENODATA);
	switch (e->protocol) {
	case IPPROTO_TCP:
		if (mptcp_refuses(e, resize))
			reason = IPQ_EDIT_REASON_MPTCP;
		break;
	case IPPROTO_UDP:
		reason = udp_reason(e);
		break;
	case IPPROTO_UDPLITE:
		break;
	case IPPROTO_SCTP:
		reason = resize ? IPQ_EDIT_REASON_CHUNK : edit_sctp_reason(e);
		break;
	default:
		if (icmp_refuses(e, resize))
			reason = IPQ_EDIT_REASON_ICMP;
		break;
	}
	if (reason)
		return edit_fail(e, reason, reason == IPQ_EDIT_REASON_MALFORMED ? -EBADMSG : -EOPNOTSUPP);
	return 0;
}
