// SPDX-License-Identifier: LGPL-2.1-or-later
/* Editing: after any edit of any shape of packet, lengths and checksums are what a sender would have made. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "edit_packets.h"
#include "ipq_edit.h"

static uint8_t packet[70000], copy[70000];

static int begin(struct ipq_edit *e, size_t len)
{
	return ipq_edit_begin(e, packet, len, sizeof(packet), 0);
}

/* One edit of any kind with random values. */
static int random_edit(struct ipq_edit *e)
{
	uint8_t bytes[64];
	size_t at = random_below(e->payload_len + 1), len = random_below(e->payload_len - (uint32_t)at + 1);
	size_t address = e->version == 4 ? 4 : 16;

	random_fill(bytes, sizeof(bytes));
	switch (random_below(18)) {
	case 0:
		return ipq_edit_set_source(e, bytes, address);
	case 1:
		return ipq_edit_set_destination(e, bytes, address);
	case 2:
		return ipq_edit_set_ttl(e, bytes[0]);
	case 3:
		return ipq_edit_set_dscp(e, bytes[0] & 63);
	case 4:
		return ipq_edit_set_ecn(e, bytes[0] & 3);
	case 5:
		return ipq_edit_set_source_port(e, (uint16_t)be16(bytes));
	case 6:
		return ipq_edit_set_destination_port(e, (uint16_t)be16(bytes));
	case 7:
		return ipq_edit_set_icmp(e, bytes[0], bytes[1]);
	case 8:
		return ipq_edit_set_icmp_id(e, (uint16_t)be16(bytes));
	case 9:
		return ipq_edit_set_tcp_flags(e, be16(bytes) & 0x1ff, be16(bytes + 2) & 0x1ff);
	case 10:
		return ipq_edit_set_tcp_sequence(e, random32());
	case 11:
		return ipq_edit_set_tcp_acknowledgement(e, random32());
	case 12:
		return ipq_edit_set_tcp_window(e, (uint16_t)be16(bytes));
	case 13:
		return ipq_edit_set_tcp_option(e, (uint8_t)(2 + bytes[0] % 8), bytes, random_below(12));
	case 14:
		return ipq_edit_clear_tcp_option(e, (uint8_t)(2 + bytes[0] % 8));
	case 15: /* what occurs often, so that there are several */
		return ipq_edit_substitute(e, bytes, 1, bytes + 1, random_below(4));
	default:
		return ipq_edit_replace(e, at, len, bytes, random_below(sizeof(bytes)));
	}
}

static void every_edit_of_every_shape_leaves_lengths_and_checksums_right(void **state)
{
	unsigned done = 0;

	(void)state;
	for (unsigned round = 0; round < 400; round++)
		for (size_t i = 0; i < SHAPES; i++) {
			struct built b = build(packet, shapes[i].shape, random_below(200));
			struct ipq_edit e;

			assert_int_equal(begin(&e, b.len), 0);
			assert_int_equal(e.transport, b.transport);
			assert_int_equal(e.payload, b.transport + b.header);
			for (unsigned k = 0; k < 6; k++) {
				memcpy(copy, packet, e.len);
				if (random_edit(&e) < 0) {
					assert_memory_equal(copy, packet, e.len);
					continue;
				}
				done++;
				if (reference_residue(&b, packet) != 0xffff ||
				    reference_network_residue(&b, packet) != 0xffff)
					fail_msg("%s: checksum wrong after edit", shapes[i].name);
				assert_int_equal(e.len, b.shape.version == 4 ? be16(packet + 2)
									     : be16(packet + 4) + 40);
				assert_int_equal(e.payload + e.payload_len, e.len);
			}
			/* What the edit believes is what a fresh look finds. */
			assert_int_equal(ipq_checksum_verify(packet, e.len), 0);
			struct ipq_edit fresh;
			assert_int_equal(begin(&fresh, e.len), 0);
			assert_memory_equal(&fresh, &e, sizeof(e));
		}
	assert_true(done > 400 * SHAPES);
}

static void wrong_checksum_stays_equally_wrong(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++)
		for (size_t i = 0; i < SHAPES; i++) {
			struct built b = build(packet, shapes[i].shape, 1 + random_below(100));
			unsigned network, transport;
			struct ipq_edit e;

			packet[b.len - 1] ^= 0x55;
			if (b.shape.version == 4)
				packet[4] ^= 0x55;
			network = reference_network_residue(&b, packet);
			transport = reference_residue(&b, packet);
			assert_int_not_equal(transport, 0xffff);
			assert_int_equal(begin(&e, b.len), 0);
			for (unsigned k = 0; k < 4; k++)
				random_edit(&e);
			assert_int_equal(reference_network_residue(&b, packet), network);
			assert_int_equal(reference_residue(&b, packet), transport);
		}
}

static void checksum_not_ready_keeps_the_sum_of_the_pseudo_header(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++)
		for (size_t i = 0; i < SHAPES; i++) {
			struct built b = build(packet, shapes[i].shape, random_below(100));
			struct ipq_edit e;

			if (b.shape.protocol == IPPROTO_ICMP)
				continue;
			set_be16(checksum_field(&b, packet), reference_pseudo(&b, packet));
			/* All of the flags that a queue may give: only this one means something here. */
			assert_int_equal(ipq_edit_begin(&e, packet, b.len, sizeof(packet), 0xffffffff), 0);
			for (unsigned k = 0; k < 4; k++)
				random_edit(&e);
			assert_int_equal(be16(checksum_field(&b, packet)), reference_pseudo(&b, packet));
			assert_int_equal(reference_network_residue(&b, packet), 0xffff);
			assert_int_equal(ipq_checksum_complete(packet, e.len), 0);
			assert_int_equal(reference_residue(&b, packet), 0xffff);
		}
}

/* RFC 1624, section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000, where RFC 1141 gave 0xffff. */
static void example_of_rfc1624(void **state)
{
	static const uint8_t source[4] = { 0x32, 0x85, 0, 0 };
	struct built b = build(packet, (struct shape){ 4, IPPROTO_ICMP, 0 }, 0);
	struct ipq_edit e;

	(void)state;
	set_be16(packet + 10, 0xdd2f);
	memcpy(packet + 12, "\x55\x55\0\0", 4);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_source(&e, source, 4), 0);
	assert_int_equal(be16(packet + 10), 0);
}

static void udp_without_checksum_stays_without(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 20);
	struct ipq_edit e;

	(void)state;
	set_be16(checksum_field(&b, packet), 0);
	assert_int_equal(begin(&e, b.len), 0);
	for (unsigned k = 0; k < 200; k++)
		random_edit(&e);
	assert_int_equal(be16(checksum_field(&b, packet)), 0);
}

/* Of 65,536 values for two bytes one makes the sum zero; no checksum may then become «none». */
static void checksum_that_comes_to_zero_is_written_as_the_protocol_wants(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct built b = build(packet, shapes[i].shape, 2);
		bool udp = b.shape.protocol == IPPROTO_UDP || b.shape.protocol == IPPROTO_UDPLITE;
		unsigned seen = 0;
		struct ipq_edit e;
		uint8_t word[2];

		assert_int_equal(begin(&e, b.len), 0);
		for (unsigned value = 0; value <= 0xffff; value++) {
			set_be16(word, value);
			assert_int_equal(ipq_edit_replace(&e, 0, 2, word, 2), 0);
			assert_int_not_equal(be16(checksum_field(&b, packet)), udp ? 0 : 0xffff);
			seen += be16(checksum_field(&b, packet)) == (udp ? 0xffff : 0);
		}
		assert_in_range(seen, 1, 2); /* 0 and 0xffff are the same to a sum */
	}
}

/* Here even RFC 1624 errs: of zeros alone the sum is the other zero. */
static void echo_reply_that_becomes_all_zeros_keeps_a_right_checksum(void **state)
{
	static const uint8_t zeros[8];
	struct built b = build(packet, (struct shape){ 4, IPPROTO_ICMP, 0 }, 8);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	memset(packet + 26, 0, 2); /* the sequence number */
	reference_complete(&b, packet);
	assert_int_equal(ipq_edit_replace(&e, 0, 8, zeros, 8), 0);
	assert_int_equal(ipq_edit_set_icmp_id(&e, 0), 0);
	assert_int_equal(ipq_edit_set_icmp(&e, 0, 0), 0);
	assert_int_equal(be16(checksum_field(&b, packet)), 0xffff);
	assert_int_equal(ipq_edit_set_icmp_id(&e, 7), 0);
	assert_int_equal(be16(checksum_field(&b, packet)), 0xffff - 7);
}

static void replaced_payload_is_what_was_asked_for(void **state)
{
	static uint8_t model[70000];
	struct built b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_OPTIONS }, 500);
	size_t len = 500;
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	memcpy(model, packet + e.payload, len);
	for (unsigned k = 0; k < 3000; k++) {
		size_t at = random_below((uint32_t)len + 1), gone = random_below((uint32_t)(len - at) + 1), n;
		uint8_t bytes[300];

		gone %= 300;
		n = random_below(300);
		random_fill(bytes, n);
		if (len - gone + n > 65000)
			continue;
		assert_int_equal(ipq_edit_replace(&e, at, gone, bytes, n), 0);
		memmove(model + at + n, model + at + gone, len - at - gone);
		memcpy(model + at, bytes, n);
		len += n - gone;
		assert_int_equal(e.payload_len, len);
		assert_memory_equal(packet + e.payload, model, len);
		assert_int_equal(reference_residue(&b, packet), 0xffff);
	}
}

static void lengths_outside_the_payload_are_refused(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, 0 }, 20);
	struct ipq_edit e;

	(void)state;
	memcpy(copy, packet, sizeof(packet));
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 21, 0, "", 0), -EINVAL);
	assert_int_equal(ipq_edit_replace(&e, 20, 1, "", 0), -EINVAL);
	assert_int_equal(ipq_edit_replace(&e, 1, SIZE_MAX, "", 0), -EINVAL);
	assert_int_equal(ipq_edit_replace(&e, SIZE_MAX, 2, "", 0), -EINVAL);
	assert_int_equal(ipq_edit_replace(&e, 0, 1, "", SIZE_MAX), -EMSGSIZE);
	assert_int_equal(ipq_edit_substitute(&e, packet + 40, 1, "", SIZE_MAX), -EMSGSIZE);
	assert_int_equal(ipq_edit_find(&e, 21, "x", 1), -EINVAL);
	assert_int_equal(ipq_edit_find(&e, 20, "x", 1), -ENOENT);
	assert_int_equal(ipq_edit_find(&e, 0, "", 0), -EINVAL);
	assert_memory_equal(packet, copy, sizeof(packet));
}

static void substitute_replaces_all_matches_in_linear_time(void **state)
{
	static const struct {
		const char *text, *from, *to, *result;
	} cases[] = {
		{ "abcabcab", "ab", "x", "xcxcx" },  { "abcabcab", "ab", "xyz", "xyzcxyzcxyz" },
		{ "abcabcab", "c", "", "ababab" },   { "aaaaa", "aa", "b", "bba" },
		{ "aaaaa", "aa", "bbb", "bbbbbba" }, { "--a--b", "a", "12345678", "--12345678--b" },
		{ "same", "s", "t", "tame" },	     { "xax", "a", "a", "xax" },
		{ "abab", "abab", "", "" },
	};
	struct built b;
	struct ipq_edit e;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].result);

		b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, strlen(cases[i].text));
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_replace(&e, 0, e.payload_len, cases[i].text, strlen(cases[i].text)),
				 0);
		assert_true(ipq_edit_substitute(&e, cases[i].from, strlen(cases[i].from), cases[i].to,
						strlen(cases[i].to)) > 0);
		assert_int_equal(e.payload_len, n);
		assert_memory_equal(packet + e.payload, cases[i].result, n);
		assert_int_equal(ipq_checksum_verify(packet, e.len), 0);
	}
	/* 30,000 matches that all move: a quadratic way would copy a gigabyte and time out. */
	for (unsigned k = 0; k < 20; k++) {
		b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 30000);
		memset(packet + 28, 'a', 30000);
		reference_complete(&b, packet);
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_substitute(&e, "a", 1, "bc", 2), 30000);
		assert_int_equal(e.payload_len, 60000);
		assert_int_equal(ipq_edit_substitute(&e, "bc", 2, "d", 1), 30000);
		assert_int_equal(ipq_checksum_verify(packet, e.len), 0);
	}
	assert_int_equal(ipq_edit_substitute(&e, "absent", 6, "", 0), 0);
	assert_int_equal(ipq_edit_substitute(&e, "", 0, "x", 1), -EINVAL);
}

static void growth_stops_at_the_room_and_at_65535(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 100);
	struct ipq_edit e;

	(void)state;
	memcpy(copy, packet, b.len);
	assert_int_equal(ipq_edit_begin(&e, packet, b.len, b.len + 3, 0), 0);
	assert_int_equal(ipq_edit_replace(&e, 50, 0, "1234", 4), -ENOSPC);
	assert_int_equal(ipq_edit_substitute(&e, packet + 28, 1, "12345", 5), -ENOSPC);
	assert_memory_equal(packet, copy, b.len);
	assert_int_equal(ipq_edit_replace(&e, 50, 0, "123", 3), 0);
	assert_int_equal(e.len, b.len + 3);

	b = build(packet, (struct shape){ 4, IPPROTO_TCP, 0 }, 65535 - 40);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 7, 0, "1", 1), -EMSGSIZE);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 2, "\x05\xb4", 2), -EMSGSIZE);
	assert_int_equal(ipq_edit_replace(&e, 7, 1, "1", 1), 0);
	b = build(packet, (struct shape){ 6, IPPROTO_UDP, 0 }, 65535 - 8);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 7, 0, "1", 1), -EMSGSIZE);
	assert_int_equal(ipq_edit_replace(&e, 7, 2, "1", 1), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
}

/* A checksum over a whole datagram, followed through its first fragment alone. */
static void first_fragment_follows_what_keeps_the_length(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 100);
	static const uint8_t address[4] = { 192, 0, 2, 77 };
	uint8_t tail[52];
	struct ipq_edit e;

	(void)state;
	memcpy(tail, packet + 20 + 56, sizeof(tail));
	packet[6] = 0x20;
	set_be16(packet + 2, 20 + 56);
	assert_int_equal(begin(&e, 20 + 56), 0);
	assert_int_equal(e.flags, IPQ_EDIT_FRAGMENT);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), 0);
	assert_int_equal(ipq_edit_set_source_port(&e, 4321), 0);
	assert_int_equal(ipq_edit_replace(&e, 3, 5, "hello", 5), 0);
	assert_int_equal(ipq_edit_replace(&e, 3, 5, "hell", 4), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_substitute(&e, "hello", 5, "hi", 2), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_substitute(&e, "hello", 5, "HELLO", 5), 1);
	/* Put together again: */
	assert_memory_equal(packet + 20 + 56, tail, sizeof(tail));
	packet[6] = 0;
	set_be16(packet + 2, b.len);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
}

static void later_fragment_gives_addresses_but_no_contents(void **state)
{
	static const uint8_t address[16] = { 0x20, 0x01, 0x0d, 0xb8, 1 };
	struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, 0 }, 100);
	struct ipq_edit e;

	(void)state;
	packet[7] = 3;
	reference_complete(&b, packet);
	memcpy(copy, packet, b.len);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.flags, IPQ_EDIT_FRAGMENT | IPQ_EDIT_LATER_FRAGMENT);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), 0);
	assert_int_equal(ipq_edit_set_ttl(&e, 3), 0);
	assert_int_equal(reference_network_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_edit_replace(&e, 0, 1, "x", 1), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_set_source_port(&e, 1), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_set_tcp_flags(&e, 1, 1), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1), -EOPNOTSUPP);
	/* What looks like a transport header is not touched. */
	assert_memory_equal(packet + 20, copy + 20, b.len - 20);
	assert_int_equal(ipq_edit_find(&e, 0, packet + 60, 8), 40);

	b = build(packet, (struct shape){ 6, IPPROTO_UDP, WITH_ATOMIC_FRAGMENT }, 100);
	memcpy(copy, packet, b.len);
	packet[42] = 1;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_destination(&e, address, 16), 0);
	assert_int_equal(ipq_edit_replace(&e, 0, 1, "x", 1), -EOPNOTSUPP);
	assert_memory_equal(packet + 48, copy + 48, b.len - 48);
}

static void fragment_without_the_whole_transport_header_is_refused(void **state)
{
	static const uint8_t address[4] = { 192, 0, 2, 77 };
	struct ipq_edit e;

	(void)state;
	build(packet, (struct shape){ 4, IPPROTO_TCP, WITH_OPTIONS }, 100);
	packet[6] = 0x20;
	for (size_t len = 24; len < 24 + 40; len += 8) {
		set_be16(packet + 2, len);
		assert_int_equal(begin(&e, len), 0);
		assert_int_equal(e.transport_error, -EOPNOTSUPP);
		assert_int_equal(ipq_edit_set_source(&e, address, 4), -EOPNOTSUPP);
	}
}

static void authenticated_packet_gives_only_what_may_change_on_the_way(void **state)
{
	static const uint8_t address[16];

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		struct built b = build(packet, (struct shape){ version, IPPROTO_UDP, 0 }, 60);
		size_t at = b.transport;
		struct ipq_edit e;

		/* An Authentication Header of 24 bytes in front of the UDP header. */
		memmove(packet + at + 24, packet + at, b.len - at);
		packet[version == 4 ? 9 : 6] = IPPROTO_AH;
		packet[at] = IPPROTO_UDP;
		packet[at + 1] = 4;
		set_be16(packet + (version == 4 ? 2 : 4), version == 4 ? b.len + 24 : b.len + 24 - 40);
		if (version == 4) {
			set_be16(packet + 10, 0);
			set_be16(packet + 10, 0xffff - reference_network_residue(&b, packet));
		}
		memcpy(copy, packet, b.len + 24);
		assert_int_equal(begin(&e, b.len + 24), 0);
		assert_int_equal(e.flags, IPQ_EDIT_AUTHENTICATED);
		assert_int_equal(e.protocol, IPPROTO_UDP);
		assert_int_equal(e.transport_error, 0);
		assert_int_equal(ipq_edit_set_source(&e, address, version == 4 ? 4 : 16), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_set_destination(&e, address, version == 4 ? 4 : 16), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_set_source_port(&e, 1), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_replace(&e, 0, 1, "x", 1), -EOPNOTSUPP);
		assert_int_equal(ipq_edit_substitute(&e, packet + e.payload, 1, "x", 1), -EOPNOTSUPP);
		assert_memory_equal(packet, copy, e.len);
		assert_int_equal(ipq_checksum_verify(packet, e.len), 0);
		packet[e.len - 1] ^= 1;
		assert_int_equal(ipq_checksum_complete(packet, e.len), -EOPNOTSUPP);
		packet[e.len - 1] ^= 1;
		assert_memory_equal(packet, copy, e.len);
		assert_int_equal(ipq_edit_set_ttl(&e, 9), 0);
		assert_int_equal(ipq_edit_set_dscp(&e, 9), 0);
		assert_int_equal(reference_network_residue(&b, packet), 0xffff);
	}
}

static void encrypted_packet_is_refused(void **state)
{
	static const uint8_t address[4];
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 60);
	struct ipq_edit e;

	(void)state;
	packet[9] = IPPROTO_ESP;
	memcpy(copy, packet, b.len);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_set_destination_port(&e, 1), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_replace(&e, 0, 0, "x", 1), -EOPNOTSUPP);
	assert_memory_equal(packet, copy, b.len);
	assert_int_equal(ipq_edit_set_ttl(&e, 1), 0);
}

static void unknown_protocol_keeps_addresses_that_a_checksum_might_cover(void **state)
{
	static const uint8_t address[4];
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 60);
	struct ipq_edit e;

	(void)state;
	packet[9] = IPPROTO_DCCP;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), -EPROTONOSUPPORT);
	packet[9] = IPPROTO_GRE;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), 0);
	assert_int_equal(ipq_edit_set_source(&e, address, 16), -EAFNOSUPPORT);
	assert_int_equal(ipq_edit_replace(&e, 0, 0, "x", 1), -EPROTONOSUPPORT);
}

static void udplite_covered_in_part_keeps_its_length(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDPLITE, 0 }, 60);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0); /* 0 says all: also of more */
	assert_int_equal(ipq_edit_replace(&e, 40, 4, "longer", 6), 0);
	assert_int_equal(be16(packet + b.transport + 4), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	b = build(packet, (struct shape){ 4, IPPROTO_UDPLITE, 0 }, 60);
	set_be16(packet + b.transport + 4, 19); /* ends at an odd byte */
	reference_complete(&b, packet);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 5, 20, "from here to there..", 20), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_edit_replace(&e, 40, 4, "past", 4), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_edit_replace(&e, 40, 4, "longer", 6), -EOPNOTSUPP);
}

static void mss_is_clamped_in_syns_only_and_never_raised(void **state)
{
	struct built b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_OPTIONS }, 0);
	struct ipq_edit e;
	size_t len;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1200), 0);
	assert_int_equal(ipq_edit_set_tcp_flags(&e, IPQ_TCP_SYN, IPQ_TCP_SYN | IPQ_TCP_ACK), 0);
	assert_int_equal(packet[b.transport + 13], IPQ_TCP_SYN);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1460), 0);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1200), 1);
	assert_int_equal(be16(packet + ipq_edit_find_tcp_option(&e, 2, &len)), 1200);
	assert_int_equal(len, 2);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1300), 0);
	assert_int_equal(ipq_edit_clear_tcp_option(&e, 2), 0);
	assert_int_equal(ipq_edit_clear_tcp_option(&e, 2), -ENOENT);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1000), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
}

static void tcp_options_are_set_grown_and_bounded(void **state)
{
	static const uint8_t grown[] = "\x02\x04\x05\xb4\x01\x03\x03\x07\x01\x01\x08\x0a\0\0\0\1\0\0\0\2"
				       "\x22\x08"
				       "cookie\0\0";
	struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, WITH_OPTIONS }, 10);
	uint8_t payload[10], fill[40] = { 0 };
	struct ipq_edit e;
	size_t t;

	(void)state;
	t = b.transport;
	memcpy(payload, packet + t + 40, 10);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, "cookie", 6), 0);
	assert_int_equal(e.payload, t + 20 + 28);
	assert_memory_equal(packet + t + 20, grown, 28);
	assert_memory_equal(packet + e.payload, payload, 10);
	assert_int_equal(packet[t + 12] >> 4, 12);
	/* The others take 20 bytes with their three NOPs, 17 without. */
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 13), 0);
	assert_int_equal(e.payload, t + 20 + 36);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 18), 0);
	assert_int_equal(e.payload, t + 60);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 3, NULL), t + 20 + 4 + 1 + 2);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 21), 0);
	assert_int_equal(e.payload, t + 60);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 3, NULL), t + 20 + 4 + 2); /* the NOP in front went */
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 22), -EMSGSIZE);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 5, fill, 38), -EMSGSIZE);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 1, fill, 0), -EINVAL);
	assert_memory_equal(packet + e.payload, payload, 10);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	packet[t + 21] = 0; /* an option of no length */
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 2), -EBADMSG);
	assert_int_equal(ipq_edit_clear_tcp_option(&e, 34), -EBADMSG);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 34, NULL), -EBADMSG);
}

static void second_tcp_option_of_a_kind_is_left_alone(void **state)
{
	static const uint8_t twice[20] = "\xfd\x03\x11\xfd\x03\x22\x01\x01";
	struct built b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_OPTIONS }, 0);
	struct ipq_edit e;

	(void)state;
	memcpy(packet + b.transport + 20, twice, 20);
	reference_complete(&b, packet);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 0xfd, "\x33\x34", 2), 0);
	assert_memory_equal(packet + b.transport + 20, "\xfd\x04\x33\x34\xfd\x03\x22\x01\x01\0\0\0", 12);
	assert_int_equal(e.len, b.transport + 32);
	assert_int_equal(ipq_edit_clear_tcp_option(&e, 0xfd), 0);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 0xfd, NULL), -ENOENT);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
}

/* Memory ends where the packet does. */
static void tcp_option_that_runs_past_the_header_is_refused(void **state)
{
	struct built b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_OPTIONS }, 0);
	static const struct {
		unsigned at;
		uint8_t kind, len;
	} bad[] = { { 39, 9, 0 }, { 38, 9, 3 }, { 20, 9, 21 }, { 20, 9, 255 }, { 20, 9, 1 } };
	uint8_t *exact = malloc(b.len);
	struct ipq_edit e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(exact, packet, b.len);
		memset(exact + b.transport + 20, 1, 20);
		exact[b.transport + bad[i].at] = bad[i].kind;
		if (bad[i].at < 39)
			exact[b.transport + bad[i].at + 1] = bad[i].len;
		exact[b.transport + 13] = IPQ_TCP_SYN;
		assert_int_equal(ipq_edit_begin(&e, exact, b.len, b.len, 0), 0);
		assert_int_equal(ipq_edit_find_tcp_option(&e, 34, NULL), -EBADMSG);
		assert_int_equal(ipq_edit_set_tcp_option(&e, 34, "", 0), -EBADMSG);
		assert_int_equal(ipq_edit_clear_tcp_option(&e, 34), -EBADMSG);
		assert_int_equal(ipq_edit_clamp_mss(&e, 1), -EBADMSG);
	}
	free(exact);
}

static void fields_hold_what_was_set(void **state)
{
	static const uint8_t a[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	uint8_t *p = packet;
	struct built b;
	struct ipq_edit e;

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		size_t n = version == 4 ? 4 : 16, source = version == 4 ? 12 : 8;

		b = build(packet, (struct shape){ version, IPPROTO_TCP, 0 }, 3);
		memcpy(copy, packet, b.len);
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_set_source(&e, a, n), 0);
		assert_int_equal(ipq_edit_set_destination(&e, a, n), 0);
		assert_memory_equal(p + source, a, n);
		assert_memory_equal(p + source + n, a, n);
		ipq_edit_set_ttl(&e, 77);
		assert_int_equal(p[version == 4 ? 8 : 7], 77);
		assert_int_equal(p[version == 4 ? 9 : 6], IPPROTO_TCP);
		assert_int_equal(ipq_edit_set_dscp(&e, 46), 0);
		assert_int_equal(ipq_edit_set_ecn(&e, 1), 0);
		assert_int_equal(version == 4 ? p[1] : (be16(p) >> 4 & 0xff), 46 << 2 | 1);
		assert_int_equal(p[0] >> 4, version);
		if (version == 6) /* the flow label stays */
			assert_int_equal(p[1] & 15, copy[1] & 15);
		assert_int_equal(ipq_edit_set_dscp(&e, 64), -EINVAL);
		assert_int_equal(ipq_edit_set_ecn(&e, 4), -EINVAL);
		p = packet + e.transport;
		assert_int_equal(ipq_edit_set_source_port(&e, 0x1234), 0);
		assert_int_equal(ipq_edit_set_destination_port(&e, 0x5678), 0);
		assert_int_equal(ipq_edit_set_tcp_sequence(&e, 0x01020304), 0);
		assert_int_equal(ipq_edit_set_tcp_acknowledgement(&e, 0x05060708), 0);
		assert_int_equal(ipq_edit_set_tcp_window(&e, 0x0a0b), 0);
		assert_int_equal(ipq_edit_set_tcp_flags(&e, IPQ_TCP_AE | IPQ_TCP_RST, 0x1ff), 0);
		assert_memory_equal(p, "\x12\x34\x56\x78\1\2\3\4\5\6\7\x08\x51\x04\x0a\x0b", 16);
		assert_int_equal(ipq_edit_set_tcp_flags(&e, 0x200, 0x200), -EINVAL);
		assert_int_equal(ipq_edit_set_icmp(&e, 1, 1), -EPROTONOSUPPORT);
		p = packet;
	}
	b = build(packet, (struct shape){ 4, IPPROTO_ICMP, 0 }, 3);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_icmp_id(&e, 0xabcd), 0);
	assert_int_equal(be16(p + 24), 0xabcd);
	assert_int_equal(ipq_edit_set_icmp(&e, 3, 1), 0);
	assert_int_equal(be16(p + 20), 0x0301);
	assert_int_equal(ipq_edit_set_icmp_id(&e, 1), -EPROTONOSUPPORT);
	assert_int_equal(ipq_edit_set_source_port(&e, 1), -EPROTONOSUPPORT);
}

static void packet_on_a_source_route_keeps_its_final_destination(void **state)
{
	static const uint8_t address[16] = { 9, 9, 9, 9 };
	struct ipq_edit e;

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct built b = build(packet, shapes[i].shape, 9);
		unsigned before = be16(checksum_field(&b, packet));

		if (!(b.shape.parts & (WITH_SOURCE_ROUTE | WITH_SEGMENT_ROUTE)))
			continue;
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_set_destination(&e, address, b.shape.version == 4 ? 4 : 16), 0);
		assert_int_equal(be16(checksum_field(&b, packet)), before);
		assert_int_equal(reference_residue(&b, packet), 0xffff);
	}
}

/* Every packet cut anywhere, in memory that ends there: nothing behind it is read, and it is told apart. */
static void cut_packet_is_refused_without_reading_past_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct built b = build(packet, shapes[i].shape, 5);

		for (size_t len = 0; len < b.len; len++) {
			uint8_t *exact = malloc(len ? len : 1);
			struct ipq_edit e;
			int err;

			memcpy(exact, packet, len);
			err = ipq_edit_begin(&e, exact, len, len, 0);
			assert_int_equal(err, len < (b.shape.version == 4 ? 20 : 40) ? -EBADMSG : -ENODATA);
			/* The same with a length field that says so. */
			if (len >= 40) {
				if (b.shape.version == 4)
					set_be16(exact + 2, len);
				else
					set_be16(exact + 4, len - 40);
				err = ipq_edit_begin(&e, exact, len, len, 0);
				assert_true(err == 0 || err == -EBADMSG);
				for (unsigned k = 0; !err && k < 10; k++)
					random_edit(&e);
			}
			free(exact);
		}
	}
}

static void malformed_network_headers_are_refused(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, WITH_OPTIONS }, 5);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(ipq_edit_begin(&e, packet, b.len, b.len - 1, 0), -EINVAL);
	packet[21] = 1; /* an option shorter than itself */
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[21] = 5; /* longer than the header */
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[0] = 0x44;
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[0] = 0x56;
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	set_be16(packet + 2, 0);
	packet[0] = 0x45;
	assert_int_equal(begin(&e, 65536), -EMSGSIZE);
	b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_HOP_BY_HOP }, 5);
	packet[41] = 200;
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	set_be16(packet + 4, 0);
	assert_int_equal(begin(&e, b.len), -EMSGSIZE);
	/* A chain of extension headers without end. */
	memset(packet + 40, 0, 1000);
	set_be16(packet + 4, 1000);
	assert_int_equal(begin(&e, 1040), -EBADMSG);
	/* Nor one that ends, but only after twenty. */
	packet[40 + 19 * 8] = IPPROTO_NONE;
	assert_int_equal(begin(&e, 1040), -EBADMSG);
	packet[40 + 9 * 8] = IPPROTO_NONE;
	assert_int_equal(begin(&e, 1040), 0);
}

static void malformed_transport_header_leaves_the_network_header_editable(void **state)
{
	static const uint8_t address[16];
	struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, 0 }, 5);
	struct ipq_edit e;

	(void)state;
	packet[32] = 0x40; /* a header of 16 bytes */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	assert_int_equal(ipq_edit_set_ttl(&e, 1), 0);
	assert_int_equal(reference_network_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), -EBADMSG);
	assert_int_equal(ipq_edit_set_tcp_window(&e, 4), -EBADMSG);
	packet[32] = 0xf0; /* longer than the packet */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	b = build(packet, (struct shape){ 6, IPPROTO_UDP, 0 }, 5);
	set_be16(packet + 44, 14); /* one more than there is */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	set_be16(packet + 44, 7);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	packet[6] = IPPROTO_UDPLITE; /* covers less than its header */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
}

static void padding_of_the_frame_is_cut_off(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 3);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len + 15), 0);
	assert_int_equal(e.len, b.len);
	assert_int_equal(ipq_edit_replace(&e, 3, 0, "more", 4), 0);
	assert_int_equal(e.len, b.len + 4);
	assert_memory_equal(packet + b.len, "more", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_edit_of_every_shape_leaves_lengths_and_checksums_right),
		cmocka_unit_test(wrong_checksum_stays_equally_wrong),
		cmocka_unit_test(checksum_not_ready_keeps_the_sum_of_the_pseudo_header),
		cmocka_unit_test(example_of_rfc1624),
		cmocka_unit_test(udp_without_checksum_stays_without),
		cmocka_unit_test(checksum_that_comes_to_zero_is_written_as_the_protocol_wants),
		cmocka_unit_test(echo_reply_that_becomes_all_zeros_keeps_a_right_checksum),
		cmocka_unit_test(replaced_payload_is_what_was_asked_for),
		cmocka_unit_test(lengths_outside_the_payload_are_refused),
		cmocka_unit_test(substitute_replaces_all_matches_in_linear_time),
		cmocka_unit_test(growth_stops_at_the_room_and_at_65535),
		cmocka_unit_test(first_fragment_follows_what_keeps_the_length),
		cmocka_unit_test(later_fragment_gives_addresses_but_no_contents),
		cmocka_unit_test(fragment_without_the_whole_transport_header_is_refused),
		cmocka_unit_test(authenticated_packet_gives_only_what_may_change_on_the_way),
		cmocka_unit_test(encrypted_packet_is_refused),
		cmocka_unit_test(unknown_protocol_keeps_addresses_that_a_checksum_might_cover),
		cmocka_unit_test(udplite_covered_in_part_keeps_its_length),
		cmocka_unit_test(mss_is_clamped_in_syns_only_and_never_raised),
		cmocka_unit_test(tcp_options_are_set_grown_and_bounded),
		cmocka_unit_test(second_tcp_option_of_a_kind_is_left_alone),
		cmocka_unit_test(tcp_option_that_runs_past_the_header_is_refused),
		cmocka_unit_test(fields_hold_what_was_set),
		cmocka_unit_test(packet_on_a_source_route_keeps_its_final_destination),
		cmocka_unit_test(cut_packet_is_refused_without_reading_past_it),
		cmocka_unit_test(malformed_network_headers_are_refused),
		cmocka_unit_test(malformed_transport_header_leaves_the_network_header_editable),
		cmocka_unit_test(padding_of_the_frame_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
