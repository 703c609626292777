// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Invariant: between calls the packet is complete: every length field, the IPv4 header checksum and the
 * transport checksum are as right as they were when the packet arrived. A call first checks that it can keep
 * this, then changes bytes; it never fails after the first change.
 *
 * A checksum HC is the complement of a sum. So if a word m becomes m', the checksum becomes ~(~HC + ~m + m')
 * (RFC 1624). This needs no other bytes of the packet. It works in a first fragment without the others, and preserves
 * an error in HC. A change of length moves the rest of the packet. If the rest moves by an even number of bytes, its
 * sum stays the same. If it moves by an odd number of bytes, its sum is byte-swapped, so the rest is summed before
 * and after the move.
 *
 * The CRC of SCTP is linear, too: the difference of two CRCs is the CRC of the difference. So a change needs only
 * two CRCs that begin with 0, over the bytes from the change to the end: one of the old bytes, one of the new
 * bytes.
 *
 * With IPQ_EDIT_CHECKSUM_NOT_READY the field has the sum of the pseudo-header, not complemented. Only changes of
 * addresses and lengths affect it.
 */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"

enum {
	IPV4_LENGTH = 2,
	IPV4_CHECKSUM = 10,
	IPV6_LENGTH = 4,
	TCP_URGENT = 18,
	SUBSTITUTE_MAX = 1 << 30,
};

static bool is_udp(const struct ipq_edit *e)
{
	return e->protocol == IPPROTO_UDP || e->protocol == IPPROTO_UDPLITE;
}

/* Protocols whose checksum covers the addresses. */
static bool is_checksummed(const struct ipq_edit *e)
{
	return e->protocol == IPPROTO_TCP || is_udp(e) || (e->protocol == IPPROTO_ICMPV6 && e->version == 6);
}

/*
 * Whether the transport checksum must be adjusted to changed bytes. In UDP and SCTP (RFC 9653), 0 means that there
 * is no checksum.
 */
static bool checksum_follows(const struct ipq_edit *e)
{
	if (!e->checksum || e->flags & IPQ_EDIT_CHECKSUM_NOT_READY)
		return false;
	return e->protocol == IPPROTO_SCTP ? get32(e->data + e->checksum)
					   : !is_udp(e) || get16(e->data + e->checksum);
}

/* Adds `change` to the sum of a checksum. zero: the value that is written for a checksum of zero. */
static void checksum_adjust(uint8_t *field, uint16_t change, uint16_t zero)
{
	uint16_t check;

	memcpy(&check, field, sizeof(check));
	check = (uint16_t)~sum_fold((uint64_t)(uint16_t)~check + change);
	/* 0 and 0xffff are equal in the arithmetic, but receivers distinguish them. */
	if (!check || check == UINT16_MAX)
		check = zero;
	memcpy(field, &check, sizeof(check));
}

static void transport_adjust(struct ipq_edit *e, uint16_t change)
{
	uint8_t *field = e->data + e->checksum;

	if (!checksum_follows(e))
		return;
	checksum_adjust(field, change, is_udp(e) ? UINT16_MAX : 0);
	/*
	 * RFC 1624 assumes that not all bytes are zero. An echo reply has no pseudo-header and may be all zeros:
	 * then its checksum is 0xffff, not 0.
	 */
	if (!edit_has_pseudo_header(e) && !get16(field) &&
	    !sum_bytes(e->data + e->transport, e->covered, false))
		put16(field, UINT16_MAX);
}

/* Adjusts the checksum to a change in the pseudo-header. */
static void pseudo_adjust(struct ipq_edit *e, uint16_t change)
{
	uint16_t sum;

	if (!e->checksum || !edit_has_pseudo_header(e))
		return;
	if (!(e->flags & IPQ_EDIT_CHECKSUM_NOT_READY)) {
		transport_adjust(e, change);
		return;
	}
	memcpy(&sum, e->data + e->checksum, sizeof(sum));
	sum = sum_fold((uint64_t)sum + change);
	memcpy(e->data + e->checksum, &sum, sizeof(sum));
}

/* Overwrites bytes of the network header and returns the change of its sum. n and offset are even. */
static uint16_t write_network(struct ipq_edit *e, size_t offset, const void *bytes, size_t n)
{
	uint16_t change = sum_change(sum_bytes(e->data + offset, n, false), sum_bytes(bytes, n, false));

	memmove(e->data + offset, bytes, n);
	if (e->version == 4)
		checksum_adjust(e->data + IPV4_CHECKSUM, change, 0);
	return change;
}

/* Sum of the covered bytes in [begin, end) of the packet. For SCTP: CRC of all bytes from `begin` on. */
static uint32_t covered_sum(const struct ipq_edit *e, size_t begin, size_t end)
{
	size_t covered_end = e->transport + e->covered;

	if (e->protocol == IPPROTO_SCTP)
		return edit_crc32c(0, e->data + begin, covered_end - begin);
	if (end > covered_end)
		end = covered_end;
	return begin < end ? sum_bytes(e->data + begin, end - begin, begin & 1) : 0;
}

/* Adjusts the checksum after the sum of covered bytes has changed. */
static void covered_adjust(struct ipq_edit *e, uint32_t before, uint32_t after)
{
	uint8_t *field = e->data + e->checksum;

	if (e->protocol == IPPROTO_SCTP)
		put_little32(field, get_little32(field) ^ before ^ after);
	else
		transport_adjust(e, sum_change((uint16_t)before, (uint16_t)after));
}

void edit_write(struct ipq_edit *e, size_t offset, const void *bytes, size_t n)
{
	bool follows = checksum_follows(e);
	uint32_t before = follows ? covered_sum(e, offset, offset + n) : 0;

	if (n)
		memmove(e->data + offset, bytes, n);
	if (follows)
		covered_adjust(e, before, covered_sum(e, offset, offset + n));
}

/* ---- changes of length ---- */

/* A part of the packet that will be rewritten, at or after the transport header. */
struct run {
	size_t begin, old_len, new_len;
	uint32_t before; /* sum of the bytes that will change */
};

static size_t run_end(const struct ipq_edit *e, const struct run *s, size_t len)
{
	/* The sum of the rest changes if the rest moves by an odd number of bytes. */
	return (s->old_len ^ s->new_len) & 1 ? e->len : s->begin + len;
}

static int length_can_become(struct ipq_edit *e, size_t len)
{
	size_t header = e->version == 6 ? IPV6_HEADER : 0;

	if (len == e->len)
		return 0;
	if (edit_missing(e))
		return edit_fail(e, IPQ_EDIT_REASON_CUT, -ENODATA);
	if (e->flags & IPQ_EDIT_FRAGMENT)
		return edit_fail(e, IPQ_EDIT_REASON_FRAGMENT, -EOPNOTSUPP);
	/* With partial coverage, only the sender knows what should be covered after a change of length. */
	if (e->protocol == IPPROTO_UDPLITE && e->covered != e->transport_len)
		return edit_fail(e, IPQ_EDIT_REASON_COVERAGE, -EOPNOTSUPP);
	/* A jumbogram has more than 65535 bytes; other packets have at most 65535. */
	if (e->flags & IPQ_EDIT_JUMBO ? len - header <= UINT16_MAX
				      : !(e->flags & IPQ_EDIT_NO_LENGTH) && len - header > UINT16_MAX)
		return edit_fail(e, IPQ_EDIT_REASON_SIZE, -EMSGSIZE);
	return len > e->room ? edit_fail(e, IPQ_EDIT_REASON_ROOM, -ENOSPC) : 0;
}

/* Checks whether old_len bytes at begin can become new_len bytes. If so, prepares for run_close(). */
static int run_open(struct ipq_edit *e, struct run *s, size_t begin, size_t old_len, size_t new_len)
{
	int err;

	if (new_len > SUBSTITUTE_MAX)
		return edit_fail(e, IPQ_EDIT_REASON_SIZE, -EMSGSIZE);
	err = length_can_become(e, e->len - old_len + new_len);
	if (err)
		return err;
	*s = (struct run){ .begin = begin, .old_len = old_len, .new_len = new_len };
	if (checksum_follows(e))
		s->before = covered_sum(e, begin, run_end(e, s, old_len));
	return 0;
}

/* Writes a 16-bit length field and returns the change of a sum over it. */
static uint16_t write_length(uint8_t *field, size_t len)
{
	uint16_t before, after = htons((uint16_t)len);

	memcpy(&before, field, sizeof(before));
	memcpy(field, &after, sizeof(after));
	return sum_change(before, after);
}

/*
 * Offset of the length field in the jumbo payload option. ipq_edit_begin() has checked the header with this option.
 */
static size_t jumbo_length(const struct ipq_edit *e)
{
	size_t at = IPV6_HEADER + 2;

	while (e->data[at] != IPV6_OPTION_JUMBO)
		at += e->data[at] == IPV6_OPTION_PAD1 ? 1u : 2u + e->data[at + 1];
	return at + 2;
}

/* Writes the length in the network header. */
static void write_network_length(struct ipq_edit *e)
{
	if (e->flags & IPQ_EDIT_JUMBO)
		put32(e->data + jumbo_length(e), e->len - IPV6_HEADER);
	else if (e->flags & IPQ_EDIT_NO_LENGTH)
		return;
	else if (e->version == 6)
		put16(e->data + IPV6_LENGTH, e->len - IPV6_HEADER);
	else
		checksum_adjust(e->data + IPV4_CHECKSUM, write_length(e->data + IPV4_LENGTH, e->len), 0);
}

/* Call it when the bytes have been rewritten: adjusts lengths and the checksum. */
static void run_close(struct ipq_edit *e, const struct run *s)
{
	/* modulo 2^32, because the difference may be negative */
	uint32_t grown = (uint32_t)(s->new_len - s->old_len);
	uint16_t before = sum_length(e->transport_len);

	if (grown) {
		e->len += grown;
		e->transport_len += grown;
		e->covered += grown;
		write_network_length(e);
		/*
		 * The length field of UDP, and the coverage field of UDP-Lite; in both, 0 means the whole datagram.
		 */
		if (is_udp(e) && get16(e->data + e->transport + 4))
			transport_adjust(e, write_length(e->data + e->transport + 4, e->transport_len));
		pseudo_adjust(e, sum_change(before, sum_length(e->transport_len)));
	}
	if (checksum_follows(e))
		covered_adjust(e, s->before, covered_sum(e, s->begin, run_end(e, s, s->new_len)));
}

static void move_tail(struct ipq_edit *e, size_t from, size_t to)
{
	if (from != to)
		memmove(e->data + to, e->data + from, e->len - from);
}

int edit_splice(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len)
{
	struct run s;
	int err = run_open(e, &s, offset, old_len, new_len);

	if (err)
		return err;
	move_tail(e, offset + old_len, offset + new_len);
	if (new_len)
		memcpy(e->data + offset, bytes, new_len);
	run_close(e, &s);
	return 0;
}

/* ---- network header ---- */

/* After ipq_edit_begin() has failed, e has no packet. */
static int check_packet(struct ipq_edit *e)
{
	return e->version ? 0 : edit_fail(e, edit_transport_reason(e), e->transport_error);
}

/* Whether the transport checksum can be adjusted to a changed address. 0 or -errno. */
static int addresses_can_change(struct ipq_edit *e)
{
	if (e->flags & IPQ_EDIT_AUTHENTICATED)
		return edit_fail(e, IPQ_EDIT_REASON_AUTHENTICATED, -EOPNOTSUPP);
	switch (e->protocol) {
	case IPPROTO_IGMP:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case IPPROTO_GRE:
	case IPPROTO_SCTP:
	case IPPROTO_NONE:
		return 0; /* the checksum has no pseudo-header */
	case IPPROTO_ICMP:
		if (e->version == 4)
			return 0;
		break;
	case IPPROTO_ESP:
		return edit_fail(e, IPQ_EDIT_REASON_ENCRYPTED, -EOPNOTSUPP);
	default:
		break;
	}
	if (e->transport_error == -EPROTONOSUPPORT || !is_checksummed(e))
		return edit_fail(e, IPQ_EDIT_REASON_PROTOCOL, -EPROTONOSUPPORT);
	/* A later fragment has no checksum: the first fragment has it. */
	if (e->flags & IPQ_EDIT_LATER_FRAGMENT)
		return 0;
	return edit_transport(e, 0);
}

static int set_address(struct ipq_edit *e, size_t offset, bool final, const void *address, size_t len)
{
	uint16_t change;
	int err = check_packet(e);

	if (err)
		return err;
	if (len != (e->version == 4 ? 4 : 16))
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EAFNOSUPPORT);
	err = addresses_can_change(e);
	if (err)
		return err;
	change = write_network(e, offset, address, len);
	if (final)
		pseudo_adjust(e, change);
	return 0;
}

int ipq_edit_set_source(struct ipq_edit *e, const void *address, size_t len)
{
	size_t offset = e->version == 4 ? 12 : 8;

	return set_address(e, offset, e->final_source == offset, address, len);
}

int ipq_edit_set_destination(struct ipq_edit *e, const void *address, size_t len)
{
	size_t offset = e->version == 4 ? 16 : 24;

	if (e->version && !e->final_destination)
		return edit_fail(e, IPQ_EDIT_REASON_ROUTE, -EOPNOTSUPP);
	return set_address(e, offset, e->final_destination == offset, address, len);
}

int ipq_edit_set_ttl(struct ipq_edit *e, uint8_t ttl)
{
	int err = check_packet(e);

	if (err)
		return err;
	if (e->version == 4)
		write_network(e, 8, (uint8_t[]){ ttl, e->data[9] }, 2);
	else
		e->data[7] = ttl;
	return 0;
}

/* In IPv6, the eight bits of the traffic class lie in the middle of the first two bytes. */
static int set_traffic_class(struct ipq_edit *e, unsigned value, unsigned mask)
{
	int err = check_packet(e);
	unsigned shift = e->version == 4 ? 0 : 4;
	uint8_t bytes[2];

	if (err)
		return err;
	put16(bytes, (get16(e->data) & ~(mask << shift)) | value << shift);
	write_network(e, 0, bytes, sizeof(bytes));
	return 0;
}

int ipq_edit_set_dscp(struct ipq_edit *e, unsigned dscp)
{
	if (dscp > 63)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	return set_traffic_class(e, dscp << 2, 0xfc);
}

int ipq_edit_set_ecn(struct ipq_edit *e, unsigned ecn)
{
	if (ecn > 3)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	return set_traffic_class(e, ecn, 3);
}

/* ---- ports and ICMP ---- */

static int set_port(struct ipq_edit *e, size_t offset, uint16_t port)
{
	uint8_t bytes[2];
	int err = edit_transport(e, 0);

	if (err)
		return err;
	if (e->protocol != IPPROTO_TCP && e->protocol != IPPROTO_SCTP && !is_udp(e))
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EPROTONOSUPPORT);
	put16(bytes, port);
	edit_write(e, e->transport + offset, bytes, sizeof(bytes));
	return 0;
}

int ipq_edit_set_source_port(struct ipq_edit *e, uint16_t port)
{
	return set_port(e, 0, port);
}

int ipq_edit_set_destination_port(struct ipq_edit *e, uint16_t port)
{
	return set_port(e, 2, port);
}

static int set_icmp_field(struct ipq_edit *e, size_t offset, unsigned value)
{
	uint8_t bytes[2];
	int err = edit_transport(e, e->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	if (err)
		return err;
	put16(bytes, value);
	edit_write(e, e->transport + offset, bytes, sizeof(bytes));
	return 0;
}

int ipq_edit_set_icmp(struct ipq_edit *e, uint8_t type, uint8_t code)
{
	return set_icmp_field(e, 0, (unsigned)type << 8 | code);
}

int ipq_edit_set_icmp_id(struct ipq_edit *e, uint16_t id)
{
	int err = edit_transport(e, e->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	uint8_t type;

	if (err)
		return err;
	type = e->data[e->transport];
	/* Echo reply and request (RFC 792 and RFC 4443). */
	if (e->version == 4 ? type != 0 && type != 8 : type != 128 && type != 129)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EPROTONOSUPPORT);
	return set_icmp_field(e, 4, id);
}

/* ---- payload ---- */

/* The new position of a byte of the payload when old_len bytes at offset are replaced by new_len bytes. */
static size_t moved(size_t position, size_t offset, size_t old_len, size_t new_len)
{
	if (position <= offset)
		return position;
	if (position >= offset + old_len)
		return position - old_len + new_len;
	return offset + (position - offset < new_len ? position - offset : new_len);
}

/* The end of urgent data as an offset in the payload, which may be beyond it; 0: no urgent data. */
static size_t urgent_end(const struct ipq_edit *e)
{
	const uint8_t *tcp;
	unsigned syn; /* the SYN flag counts as one byte */

	if (e->protocol != IPPROTO_TCP || e->transport_error)
		return 0;
	tcp = e->data + e->transport;
	if (!(tcp[13] & IPQ_TCP_URG))
		return 0;
	syn = tcp[13] & IPQ_TCP_SYN ? 1 : 0;
	return get16(tcp + TCP_URGENT) > syn ? get16(tcp + TCP_URGENT) - syn : 0;
}

/* Whether the urgent pointer can have this value. 0 or -EMSGSIZE. */
static int check_urgent_end(struct ipq_edit *e, size_t end)
{
	return end < UINT16_MAX ? 0 : edit_fail(e, IPQ_EDIT_REASON_SIZE, -EMSGSIZE);
}

static void set_urgent_end(struct ipq_edit *e, size_t end)
{
	size_t before = urgent_end(e);
	uint8_t bytes[2];

	if (!before || before == end)
		return;
	put16(bytes, (unsigned)(get16(e->data + e->transport + TCP_URGENT) - before + end));
	edit_write(e, e->transport + TCP_URGENT, bytes, sizeof(bytes));
}

/*
 * The header of an SCTP chunk contains numbers of the association, which must not change. Only DATA chunks have
 * user data.
 */
static int check_chunk(struct ipq_edit *e, size_t *chunk, size_t offset, size_t len)
{
	size_t begin = e->payload + offset;

	return edit_sctp_is_data(e, chunk, begin, begin + len)
		       ? 0
		       : edit_fail(e, IPQ_EDIT_REASON_CHUNK, -EOPNOTSUPP);
}

int ipq_edit_replace(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len)
{
	int err = edit_payload(e, old_len != new_len);
	size_t urgent, chunk = e->payload;

	if (err)
		return err;
	if (offset > e->payload_len || old_len > e->payload_len - offset)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	if (new_len > SUBSTITUTE_MAX)
		return edit_fail(e, IPQ_EDIT_REASON_SIZE, -EMSGSIZE);
	urgent = moved(urgent_end(e), offset, old_len, new_len);
	err = e->protocol == IPPROTO_SCTP ? check_chunk(e, &chunk, offset, old_len)
					  : check_urgent_end(e, urgent);
	if (!err)
		err = edit_splice(e, e->payload + offset, old_len, bytes, new_len);
	if (err)
		return err;
	e->payload_len += (uint32_t)(new_len - old_len);
	set_urgent_end(e, urgent);
	return 0;
}

int ipq_edit_find(const struct ipq_edit *e, size_t from, const void *bytes, size_t len)
{
	const uint8_t *payload, *found;

	if (!len || from > e->payload_len)
		return -EINVAL;
	if (len > e->payload_len - from)
		return -ENOENT;
	payload = e->data + e->payload;
	found = len == 1 ? memchr(payload + from, *(const uint8_t *)bytes, e->payload_len - from)
			 : memmem(payload + from, e->payload_len - from, bytes, len);
	return found ? (int)(found - payload) : -ENOENT;
}

/* All occurrences of a text in the payload. */
struct matches {
	unsigned count;
	size_t begin, end; /* begin of the first occurrence, end of the last one */
	size_t urgent;	   /* the end of urgent data after the edit */
};

static struct matches find_matches(const struct ipq_edit *e, const void *bytes, size_t len, size_t new_len)
{
	struct matches m = { .urgent = urgent_end(e) };
	int at;

	for (; (at = ipq_edit_find(e, m.end, bytes, len)) >= 0; m.count++) {
		if (!m.count)
			m.begin = (size_t)at;
		m.end = (size_t)at + len;
		/*
		 * m.urgent is an offset in the new payload, so the position of this match must be converted to one,
		 * too.
		 */
		m.urgent = moved(m.urgent, (size_t)at - m.count * len + m.count * new_len, len, new_len);
	}
	return m;
}

static int check_chunks(struct ipq_edit *e, const void *bytes, size_t len)
{
	size_t chunk = e->payload, from = 0;
	int at, err = 0;

	while (!err && (at = ipq_edit_find(e, from, bytes, len)) >= 0) {
		err = check_chunk(e, &chunk, (size_t)at, len);
		from = (size_t)at + len;
	}
	return err;
}

/* Copies from source to target and replaces n matches. The two may overlap if target begins before source. */
static void copy_substituted(uint8_t *target, const uint8_t *source, size_t source_len, unsigned n,
			     const void *old_bytes, size_t old_len, const void *new_bytes, size_t new_len)
{
	const uint8_t *end = source + source_len, *match;

	for (; n; n--) {
		match = memmem(source, (size_t)(end - source), old_bytes, old_len);
		memmove(target, source, (size_t)(match - source));
		target += match - source;
		source = match + old_len;
		if (new_len)
			memcpy(target, new_bytes, new_len);
		target += new_len;
	}
}

int ipq_edit_substitute(struct ipq_edit *e, const void *old_bytes, size_t old_len, const void *new_bytes,
			size_t new_len)
{
	size_t begin, before, after, source;
	struct matches m;
	struct run s;
	int err;

	if (!old_len)
		return edit_fail(e, IPQ_EDIT_REASON_ARGUMENT, -EINVAL);
	if (new_len > UINT16_MAX)
		return edit_fail(e, IPQ_EDIT_REASON_SIZE, -EMSGSIZE);
	m = find_matches(e, old_bytes, old_len, new_len);
	if (!m.count)
		return 0;
	before = m.end - m.begin;
	after = before - m.count * old_len + m.count * new_len;
	begin = e->payload + m.begin;
	err = edit_payload(e, old_len != new_len);
	if (!err)
		err = e->protocol == IPPROTO_SCTP ? check_chunks(e, old_bytes, old_len)
						  : check_urgent_end(e, m.urgent);
	if (!err)
		err = run_open(e, &s, begin, before, after);
	if (err)
		return err;
	/* If the packet grows, the old bytes are first moved to the end of the new ones, so that copying
	 * never overwrites bytes that are still to be read. */
	source = after > before ? begin + after - before : begin;
	if (after > before)
		move_tail(e, begin, source);
	copy_substituted(e->data + begin, e->data + source, before, m.count, old_bytes, old_len, new_bytes,
			 new_len);
	if (after < before)
		move_tail(e, begin + before, begin + after);
	run_close(e, &s);
	e->payload_len += (uint32_t)(after - before);
	set_urgent_end(e, m.urgent);
	return (int)m.count;
}
