/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets of every kind that ipq_edit.h supports, made according to the RFCs, with checksums that are summed byte by
 * byte. This shares no code with the library, so that both cannot have the same defect.
 */
#ifndef EDIT_PACKETS_H
#define EDIT_PACKETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum shape_parts {
	WITH_OPTIONS = 1 << 0, /* IPv4: router alert; TCP: MSS, NOP, window scale, timestamps */
	/* a source route that is not completed (IPv4: LSRR, IPv6: routing header type 0) */
	WITH_SOURCE_ROUTE = 1 << 1,
	WITH_DONE_ROUTE = 1 << 2,      /* a source route that is completed */
	WITH_SEGMENT_ROUTE = 1 << 3,   /* IPv6: segment routing header, not completed */
	WITH_HOP_BY_HOP = 1 << 4,      /* IPv6 hop-by-hop options */
	WITH_HOME_ADDRESS = 1 << 5,    /* IPv6 destination options with a home address */
	WITH_ATOMIC_FRAGMENT = 1 << 6, /* IPv6: a fragment header in a complete packet */
};

struct shape {
	int version, protocol;
	unsigned parts;
};

/* The flags above, each with a name for failure messages. */
static const struct {
	const char *name;
	struct shape shape;
} shapes[] = {
	{ "IPv4 TCP", { 4, IPPROTO_TCP, 0 } },
	{ "IPv4 TCP with options", { 4, IPPROTO_TCP, WITH_OPTIONS } },
	{ "IPv4 TCP under way by LSRR", { 4, IPPROTO_TCP, WITH_SOURCE_ROUTE } },
	{ "IPv4 TCP arrived by LSRR", { 4, IPPROTO_TCP, WITH_DONE_ROUTE } },
	{ "IPv4 UDP", { 4, IPPROTO_UDP, 0 } },
	{ "IPv4 UDP with options", { 4, IPPROTO_UDP, WITH_OPTIONS } },
	{ "IPv4 UDP-Lite", { 4, IPPROTO_UDPLITE, 0 } },
	{ "ICMP", { 4, IPPROTO_ICMP, 0 } },
	{ "IPv6 TCP", { 6, IPPROTO_TCP, 0 } },
	{ "IPv6 TCP, options, hop by hop", { 6, IPPROTO_TCP, WITH_OPTIONS | WITH_HOP_BY_HOP } },
	{ "IPv6 TCP under way, type 0", { 6, IPPROTO_TCP, WITH_SOURCE_ROUTE } },
	{ "IPv6 TCP arrived, type 0", { 6, IPPROTO_TCP, WITH_DONE_ROUTE } },
	{ "IPv6 TCP under way, segments", { 6, IPPROTO_TCP, WITH_SEGMENT_ROUTE | WITH_HOP_BY_HOP } },
	{ "IPv6 TCP from a home address", { 6, IPPROTO_TCP, WITH_HOME_ADDRESS } },
	{ "IPv6 UDP", { 6, IPPROTO_UDP, 0 } },
	{ "IPv6 UDP, atomic fragment", { 6, IPPROTO_UDP, WITH_ATOMIC_FRAGMENT } },
	{ "IPv6 UDP, all extensions",
	  { 6, IPPROTO_UDP,
	    WITH_HOP_BY_HOP | WITH_SOURCE_ROUTE | WITH_HOME_ADDRESS | WITH_ATOMIC_FRAGMENT } },
	{ "IPv6 UDP-Lite", { 6, IPPROTO_UDPLITE, 0 } },
	{ "ICMPv6", { 6, IPPROTO_ICMPV6, 0 } },
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* The properties of a packet that was built. The addresses are the offsets of those in the pseudo-header. */
struct built {
	struct shape shape;
	size_t len, transport, header, source, destination;
};

static uint64_t random_state = 1;

static inline uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 32);
}

/* A random number from 0 to limit - 1. */
static inline uint32_t random_below(uint32_t limit)
{
	return random32() % limit;
}

static inline void random_fill(uint8_t *p, size_t n)
{
	while (n--)
		*p++ = (uint8_t)random32();
}

static inline unsigned be16(const uint8_t *p)
{
	return p[0] * 256u + p[1];
}

static inline void set_be16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value / 256);
	p[1] = (uint8_t)value;
}

/* Computes the sum as RFC 1071 defines it: 16-bit words, most significant byte first, carries added. */
static inline unsigned reference_sum(unsigned sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? p[i] : p[i] * 256u;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static inline unsigned reference_pseudo(const struct built *b, const uint8_t *p)
{
	size_t address = b->shape.version == 4 ? 4 : 16,
	       ip = b->shape.version == 4 ? be16(p + 2) : be16(p + 4) + 40;
	uint8_t tail[4] = { 0, (uint8_t)b->shape.protocol };

	if (b->shape.protocol == IPPROTO_ICMP)
		return 0;
	set_be16(tail + 2, b->shape.protocol == IPPROTO_UDP ? be16(p + b->transport + 4) : ip - b->transport);
	return reference_sum(
		reference_sum(reference_sum(0, p + b->source, address), p + b->destination, address), tail,
		sizeof(tail));
}

/* The number of bytes that the transport checksum covers. */
static inline size_t reference_covered(const struct built *b, const uint8_t *p)
{
	size_t ip = b->shape.version == 4 ? be16(p + 2) : be16(p + 4) + 40;

	if ((b->shape.protocol == IPPROTO_UDP || b->shape.protocol == IPPROTO_UDPLITE) &&
	    be16(p + b->transport + 4))
		return be16(p + b->transport + 4);
	return ip - b->transport;
}

/* Sums the packet: 0xffff if the checksum is correct; otherwise the difference. */
static inline unsigned reference_residue(const struct built *b, const uint8_t *p)
{
	return reference_sum(reference_pseudo(b, p), p + b->transport, reference_covered(b, p));
}

static inline unsigned reference_network_residue(const struct built *b, const uint8_t *p)
{
	return b->shape.version == 4 ? reference_sum(0, p, (p[0] & 15) * 4u) : 0xffff;
}

static inline uint8_t *checksum_field(const struct built *b, uint8_t *p)
{
	return p + b->transport +
	       (b->shape.protocol == IPPROTO_TCP					   ? 16
		: b->shape.protocol == IPPROTO_UDP || b->shape.protocol == IPPROTO_UDPLITE ? 6
											   : 2);
}

static inline void reference_complete(const struct built *b, uint8_t *p)
{
	unsigned sum;

	if (b->shape.version == 4) {
		set_be16(p + 10, 0);
		set_be16(p + 10, 0xffff - reference_network_residue(b, p));
	}
	set_be16(checksum_field(b, p), 0);
	sum = 0xffff - reference_residue(b, p);
	if (!sum && (b->shape.protocol == IPPROTO_UDP || b->shape.protocol == IPPROTO_UDPLITE))
		sum = 0xffff;
	set_be16(checksum_field(b, p), sum);
}

static inline size_t build_ipv4(struct built *b, uint8_t *p)
{
	size_t n = 20;

	p[8] = 64;
	p[9] = (uint8_t)b->shape.protocol;
	b->source = 12;
	b->destination = 16;
	if (b->shape.parts & WITH_OPTIONS) {
		memcpy(p + n, "\x94\x04\0\0", 4);
		n += 4;
	}
	if (b->shape.parts & (WITH_SOURCE_ROUTE | WITH_DONE_ROUTE)) {
		p[n] = 1;
		p[n + 1] = 131;
		p[n + 2] = 11;
		p[n + 3] = b->shape.parts & WITH_DONE_ROUTE ? 12 : 8;
		if (b->shape.parts & WITH_SOURCE_ROUTE)
			b->destination = n + 8;
		n += 12;
	}
	p[0] = (uint8_t)(0x40 | n / 4);
	return n;
}

/* Starts an extension header and sets the next-header field before it. */
static inline uint8_t *extension(uint8_t *p, size_t *next, size_t *n, int kind, size_t len)
{
	uint8_t *x = p + *n;

	p[*next] = (uint8_t)kind;
	*next = *n;
	*n += len;
	memset(x, 0, len < 8 ? len : 8);
	x[1] = (uint8_t)(len / 8 - 1);
	return x;
}

static inline size_t build_ipv6(struct built *b, uint8_t *p)
{
	size_t n = 40, next = 6;
	uint8_t *x;

	p[0] = 0x60 | (p[0] & 15);
	p[7] = 64;
	b->source = 8;
	b->destination = 24;
	if (b->shape.parts & WITH_HOP_BY_HOP) {
		x = extension(p, &next, &n, IPPROTO_HOPOPTS, 8);
		memcpy(x + 2, "\x05\x02\0\0\x01\0", 6); /* options: router alert, PadN */
	}
	if (b->shape.parts & (WITH_SOURCE_ROUTE | WITH_DONE_ROUTE)) {
		x = extension(p, &next, &n, IPPROTO_ROUTING, 40);
		x[3] = b->shape.parts & WITH_DONE_ROUTE ? 0 : 2;
		if (b->shape.parts & WITH_SOURCE_ROUTE)
			b->destination = (size_t)(x - p) + 24;
	}
	if (b->shape.parts & WITH_SEGMENT_ROUTE) {
		x = extension(p, &next, &n, IPPROTO_ROUTING, 40);
		x[2] = 4;
		x[3] = x[4] = 1;
		b->destination = (size_t)(x - p) + 8;
	}
	if (b->shape.parts & WITH_ATOMIC_FRAGMENT) {
		x = extension(p, &next, &n, IPPROTO_FRAGMENT, 8);
		x[1] = 0;
	}
	if (b->shape.parts & WITH_HOME_ADDRESS) {
		x = extension(p, &next, &n, IPPROTO_DSTOPTS, 24);
		memcpy(x + 2, "\x01\x02\0\0\xc9\x10", 6);
		b->source = (size_t)(x - p) + 8;
	}
	p[next] = (uint8_t)b->shape.protocol;
	return n;
}

/* Builds the transport header; returns its length. */
static inline size_t build_transport(const struct built *b, uint8_t *t, size_t payload_len)
{
	switch (b->shape.protocol) {
	case IPPROTO_TCP:
		t[12] = 0x50;
		t[13] = 0x10;
		if (!(b->shape.parts & WITH_OPTIONS))
			return 20;
		t[12] = 0xa0;
		memcpy(t + 20, "\x02\x04\x05\xb4\x01\x03\x03\x07\x01\x01\x08\x0a\0\0\0\1\0\0\0\2", 20);
		return 40;
	case IPPROTO_UDP:
		set_be16(t + 4, 8 + payload_len);
		return 8;
	case IPPROTO_UDPLITE: /* full coverage; the field can express it in two ways */
		set_be16(t + 4, payload_len % 2 ? 8 + payload_len : 0);
		return 8;
	default:
		t[0] = b->shape.protocol == IPPROTO_ICMP ? 8 : 128;
		t[1] = 0;
		return 8;
	}
}

/* Builds a packet of this shape with random contents; all lengths and checksums are right. */
static inline struct built build(uint8_t *p, struct shape shape, size_t payload_len)
{
	struct built b = { .shape = shape };

	random_fill(p, 200 + payload_len);
	memset(p + 4, 0, 4);
	b.transport = shape.version == 4 ? build_ipv4(&b, p) : build_ipv6(&b, p);
	b.header = build_transport(&b, p + b.transport, payload_len);
	b.len = b.transport + b.header + payload_len;
	if (shape.version == 4)
		set_be16(p + 2, b.len);
	else
		set_be16(p + 4, b.len - 40);
	reference_complete(&b, p);
	return b;
}

#endif
