// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Theory of operation
 *
 * Invariant: between calls the packet is whole: every length field, the IPv4 header checksum and the
 * transport checksum are as right as they were when the packet came. A call first finds out whether it can
 * keep that, then changes bytes; it never fails after the first change.
 *
 * A checksum is the complement of a sum, so a change from m to m' is HC' = ~(~HC + ~m + m') (RFC 1624). It
 * needs no other byte of the packet, works in a first fragment whose other fragments are elsewhere, and keeps
 * an error in HC. A change of length moves the tail: by an even number of bytes its sum stays; by an odd
 * number the sum of the tail is swapped, and then the tail is summed before and after.
 *
 * IPQ_EDIT_CHECKSUM_NOT_READY: the field holds the sum of the pseudo-header, not complemented. Only changes
 * of addresses and of length touch it.
 */
#include <errno.h>
#include <netinet/in.h>

#include "edit/edit.h"

enum {
	IPV4_LENGTH = 2,
	IPV4_CHECKSUM = 10,
	IPV6_LENGTH = 4,
	IPV6_HEADER = 40,
};

static bool is_udp(const struct ipq_edit *e)
{
	return e->protocol == IPPROTO_UDP || e->protocol == IPPROTO_UDPLITE;
}

/* Is there a transport checksum that follows the bytes it covers? Zero in UDP says that there is none. */
static bool checksum_follows(const struct ipq_edit *e)
{
	return e->checksum && !(e->flags & IPQ_EDIT_CHECKSUM_NOT_READY) &&
	       !(is_udp(e) && !get16(e->data + e->checksum));
}

/* change: what the sum gains. zero: how the checksum of a sum of zero is written. */
static void checksum_adjust(uint8_t *field, uint16_t change, uint16_t zero)
{
	uint16_t check;

	memcpy(&check, field, sizeof(check));
	check = (uint16_t)~sum_fold((uint64_t)(uint16_t)~check + change);
	/* Both zeros are the same to the arithmetic, but not to receivers. */
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
	/* RFC 1624 takes for granted that something is not zero. An echo reply without a pseudo-header may be
	 * zeros throughout: then the complement of its sum is the other zero. */
	if (!edit_has_pseudo_header(e) && !get16(field) &&
	    !sum_bytes(e->data + e->transport, e->covered, false))
		put16(field, UINT16_MAX);
}

/* The same for a change in the pseudo-header. */
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

/* Overwrites bytes of the network header and returns what its sum gained. n and offset are even. */
static uint16_t write_network(struct ipq_edit *e, size_t offset, const void *bytes, size_t n)
{
	uint16_t change = sum_change(sum_bytes(e->data + offset, n, false), sum_bytes(bytes, n, false));

	memmove(e->data + offset, bytes, n);
	if (e->version == 4)
		checksum_adjust(e->data + IPV4_CHECKSUM, change, 0);
	return change;
}

/* Sum of what the checksum covers in [begin, end) of the packet. */
static uint16_t covered_sum(const struct ipq_edit *e, size_t begin, size_t end)
{
	size_t covered_end = e->transport + e->covered;

	if (end > covered_end)
		end = covered_end;
	return begin < end ? sum_bytes(e->data + begin, end - begin, begin & 1) : 0;
}

void edit_write(struct ipq_edit *e, size_t offset, const void *bytes, size_t n)
{
	bool follows = checksum_follows(e);
	uint16_t before = follows ? covered_sum(e, offset, offset + n) : 0;

	if (n)
		memmove(e->data + offset, bytes, n);
	if (follows)
		transport_adjust(e, sum_change(before, covered_sum(e, offset, offset + n)));
}

int edit_transport(const struct ipq_edit *e, int protocol)
{
	if (e->transport_error)
		return e->transport_error;
	if (e->flags & IPQ_EDIT_AUTHENTICATED)
		return -EOPNOTSUPP;
	return protocol && protocol != e->protocol ? -EPROTONOSUPPORT : 0;
}

/* ---- changes of length ---- */

/* A stretch of the packet, in the transport header or behind, before it is rewritten. */
struct run {
	size_t begin, old_len, new_len;
	uint16_t before; /* sum of what the rewriting changes */
};

static size_t run_end(const struct ipq_edit *e, const struct run *s, size_t len)
{
	/* The tail counts when it moves by an odd number of bytes. */
	return (s->old_len ^ s->new_len) & 1 ? e->len : s->begin + len;
}

static int length_can_become(const struct ipq_edit *e, size_t len)
{
	if (len == e->len)
		return 0;
	if (e->flags & IPQ_EDIT_FRAGMENT)
		return -EOPNOTSUPP;
	/* What of a longer or shorter packet a partial coverage is meant to cover, only the sender knows. */
	if (e->protocol == IPPROTO_UDPLITE && e->covered != e->transport_len)
		return -EOPNOTSUPP;
	if (len > UINT16_MAX + (e->version == 6 ? IPV6_HEADER : 0u))
		return -EMSGSIZE;
	return len > e->room ? -ENOSPC : 0;
}

/* Can old_len bytes at begin become new_len? If so notes what stretch_close() needs. */
static int run_open(const struct ipq_edit *e, struct run *s, size_t begin, size_t old_len, size_t new_len)
{
	int err;

	if (new_len > UINT16_MAX)
		return -EMSGSIZE;
	err = length_can_become(e, e->len - old_len + new_len);
	if (err)
		return err;
	*s = (struct run){ .begin = begin, .old_len = old_len, .new_len = new_len };
	if (checksum_follows(e))
		s->before = covered_sum(e, begin, run_end(e, s, old_len));
	return 0;
}

/* Writes a 16-bit length field and returns what a sum over it gains. */
static uint16_t write_length(uint8_t *field, size_t len)
{
	uint16_t before, after = htons((uint16_t)len);

	memcpy(&before, field, sizeof(before));
	memcpy(field, &after, sizeof(after));
	return sum_change(before, after);
}

/* The bytes have been rewritten: lengths and the checksum follow. */
static void run_close(struct ipq_edit *e, const struct run *s)
{
	uint32_t grown = (uint32_t)(s->new_len - s->old_len); /* modulo 2^32: may be negative */
	uint16_t before = htons((uint16_t)e->transport_len), change;

	if (grown) {
		e->len += grown;
		e->transport_len += grown;
		e->covered += grown;
		change = write_length(e->data + (e->version == 4 ? IPV4_LENGTH : IPV6_LENGTH),
				      e->version == 4 ? e->len : e->len - IPV6_HEADER);
		if (e->version == 4)
			checksum_adjust(e->data + IPV4_CHECKSUM, change, 0);
		/* UDP's own length; UDP-Lite's coverage unless it is 0, all. */
		if (is_udp(e) && get16(e->data + e->transport + 4))
			transport_adjust(e, write_length(e->data + e->transport + 4, e->transport_len));
		pseudo_adjust(e, sum_change(before, htons((uint16_t)e->transport_len)));
	}
	if (checksum_follows(e))
		transport_adjust(e,
				 sum_change(s->before, covered_sum(e, s->begin, run_end(e, s, s->new_len))));
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

/* Can the checksum behind this network header follow a change of address? */
static int addresses_can_change(const struct ipq_edit *e)
{
	if (e->flags & IPQ_EDIT_AUTHENTICATED)
		return -EOPNOTSUPP;
	switch (e->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		break;
	case IPPROTO_ICMPV6:
		if (e->version != 6)
			return -EPROTONOSUPPORT;
		break;
	case IPPROTO_ICMP:
		return e->version == 4 ? 0 : -EPROTONOSUPPORT;
	case IPPROTO_IGMP:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case IPPROTO_GRE:
	case IPPROTO_SCTP:
	case IPPROTO_NONE:
		return 0; /* no pseudo-header */
	case IPPROTO_ESP:
		return -EOPNOTSUPP;
	default:
		return -EPROTONOSUPPORT;
	}
	/* The first fragment takes care of it. */
	return e->flags & IPQ_EDIT_LATER_FRAGMENT ? 0 : e->transport_error;
}

static int set_address(struct ipq_edit *e, size_t offset, bool final, const void *address, size_t len)
{
	uint16_t change;
	int err;

	if (len != (e->version == 4 ? 4 : 16))
		return -EAFNOSUPPORT;
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

	if (!e->final_destination)
		return -EOPNOTSUPP;
	return set_address(e, offset, e->final_destination == offset, address, len);
}

int ipq_edit_set_ttl(struct ipq_edit *e, uint8_t ttl)
{
	if (e->version == 4)
		write_network(e, 8, (uint8_t[]){ ttl, e->data[9] }, 2);
	else
		e->data[7] = ttl;
	return 0;
}

/* The traffic class byte lies across two bytes in IPv6. */
static void set_traffic_class(struct ipq_edit *e, unsigned value, unsigned mask)
{
	unsigned word = get16(e->data), shift = e->version == 4 ? 0 : 4;
	uint8_t bytes[2];

	put16(bytes, (word & ~(mask << shift)) | value << shift);
	write_network(e, 0, bytes, sizeof(bytes));
}

int ipq_edit_set_dscp(struct ipq_edit *e, unsigned dscp)
{
	if (dscp > 63)
		return -EINVAL;
	set_traffic_class(e, dscp << 2, 0xfc);
	return 0;
}

int ipq_edit_set_ecn(struct ipq_edit *e, unsigned ecn)
{
	if (ecn > 3)
		return -EINVAL;
	set_traffic_class(e, ecn, 3);
	return 0;
}

/* ---- ports and ICMP ---- */

static int set_port(struct ipq_edit *e, size_t offset, uint16_t port)
{
	uint8_t bytes[2];
	int err = edit_transport(e, 0);

	if (err)
		return err;
	if (e->protocol != IPPROTO_TCP && !is_udp(e))
		return -EPROTONOSUPPORT;
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
	/* Echo reply and request (RFC 792; RFC 4443, 4). */
	if (e->version == 4 ? type != 0 && type != 8 : type != 128 && type != 129)
		return -EPROTONOSUPPORT;
	return set_icmp_field(e, 4, id);
}

/* ---- payload ---- */

int ipq_edit_replace(struct ipq_edit *e, size_t offset, size_t old_len, const void *bytes, size_t new_len)
{
	int err = edit_transport(e, 0);

	if (err)
		return err;
	if (offset > e->payload_len || old_len > e->payload_len - offset)
		return -EINVAL;
	err = edit_splice(e, e->payload + offset, old_len, bytes, new_len);
	if (!err)
		e->payload_len += (uint32_t)(new_len - old_len);
	return err;
}

int ipq_edit_find(const struct ipq_edit *e, size_t from, const void *bytes, size_t len)
{
	const uint8_t *payload = e->data + e->payload, *found;

	if (!len || from > e->payload_len)
		return -EINVAL;
	found = memmem(payload + from, e->payload_len - from, bytes, len);
	return found ? (int)(found - payload) : -ENOENT;
}

/* How many there are, and where the first begins and the last ends. */
static unsigned count_matches(const struct ipq_edit *e, const void *bytes, size_t len, size_t *begin,
			      size_t *end)
{
	unsigned n = 0;
	int at;

	*begin = *end = 0;
	for (; (at = ipq_edit_find(e, *end, bytes, len)) >= 0; n++) {
		if (!n)
			*begin = (size_t)at;
		*end = (size_t)at + len;
	}
	return n;
}

/* Copies from source to target, which may overlap in front of it, with n matches replaced on the way. */
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
	size_t begin, end, before, after, source;
	struct run s;
	unsigned n;
	int err = edit_transport(e, 0);

	if (err)
		return err;
	if (!old_len)
		return -EINVAL;
	if (new_len > UINT16_MAX)
		return -EMSGSIZE;
	n = count_matches(e, old_bytes, old_len, &begin, &end);
	if (!n)
		return 0;
	before = end - begin;
	after = before - n * old_len + n * new_len;
	begin += e->payload;
	err = run_open(e, &s, begin, before, after);
	if (err)
		return err;
	/* Growing, the old bytes first move back against the tail, so that copying never overtakes reading.
	 */
	source = after > before ? begin + after - before : begin;
	if (after > before)
		move_tail(e, begin, source);
	copy_substituted(e->data + begin, e->data + source, before, n, old_bytes, old_len, new_bytes,
			 new_len);
	if (after < before)
		move_tail(e, begin + before, begin + after);
	run_close(e, &s);
	e->payload_len += (uint32_t)(after - before);
	return (int)n;
}
