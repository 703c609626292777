// SPDX-License-Identifier: LGPL-2.1-or-later
/* Edits that would make a packet wrong, and edits of malformed packets, are refused and change nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "edit_random.h"
#include "ipq.h"

static void ranges_outside_payload_are_rejected(void **state)
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

/* Checks that every call fails, as for a program that ignores the result of ipq_edit_begin(). data may be NULL. */
static void assert_no_packet(void *data, size_t len, size_t room, uint32_t flags, int err)
{
	static const uint8_t address[16];
	struct ipq_edit e;

	assert_int_equal(ipq_edit_begin(&e, data, len, room, flags), err);
	assert_int_equal(ipq_edit_set_ttl(&e, 1), err);
	assert_int_equal(ipq_edit_set_dscp(&e, 1), err);
	assert_int_equal(ipq_edit_set_ecn(&e, 1), err);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), err);
	assert_int_equal(ipq_edit_set_destination(&e, address, 16), err);
	assert_int_equal(ipq_edit_set_source_port(&e, 1), err);
	assert_int_equal(ipq_edit_set_icmp(&e, 8, 0), err);
	assert_int_equal(ipq_edit_set_tcp_flags(&e, 1, 1), err);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 2, "\5\264", 2), err);
	assert_int_equal(ipq_edit_clear_tcp_option(&e, 2), err);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 2, NULL), err);
	assert_int_equal(ipq_edit_clamp_mss(&e, 1), err);
	assert_int_equal(ipq_edit_replace(&e, 0, 0, "xx", 2), err);
	assert_int_equal(e.reason, err == -ENODATA  ? IPQ_EDIT_REASON_CUT
				   : err == -EINVAL ? IPQ_EDIT_REASON_ARGUMENT
						    : IPQ_EDIT_REASON_MALFORMED);
	assert_int_equal(ipq_edit_find(&e, 0, "x", 1), -ENOENT);
	assert_int_equal(ipq_edit_find(&e, 0, "xx", 2), -ENOENT);
	assert_int_equal(ipq_edit_substitute(&e, "x", 1, "yy", 2), 0);
	assert_int_equal(e.len, 0);
}

static void calls_after_begin_has_failed_change_nothing(void **state)
{
	struct built b = build(packet, (struct shape){ 6, IPPROTO_UDP, WITH_ATOMIC_FRAGMENT }, 100);

	(void)state;
	packet[40] = IPPROTO_HOPOPTS; /* an extension header that ends beyond the packet */
	packet[49] = 255;
	memcpy(copy, packet, b.len);
	assert_no_packet(packet, b.len, b.len, 0, -EBADMSG);
	assert_no_packet(packet, 39, b.len, 0, -EBADMSG);
	assert_no_packet(packet, 50, b.len, IPQ_PACKET_TRUNCATED, -ENODATA);
	assert_no_packet(packet, b.len, b.len - 1, 0, -EINVAL);
	assert_no_packet(NULL, 0, 0, 0, -EBADMSG);
	assert_memory_equal(packet, copy, b.len);
}

static void growth_beyond_buffer_or_65535_is_rejected(void **state)
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

/* The checksum of a whole datagram is adjusted in its first fragment alone. */
static void first_fragment_is_edited_if_length_is_kept(void **state)
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
	/* Reassemble the datagram and check it. */
	assert_memory_equal(packet + 20 + 56, tail, sizeof(tail));
	packet[6] = 0;
	set_be16(packet + 2, b.len);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
}

static void later_fragment_allows_addresses_but_not_payload(void **state)
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
	/* Bytes of a later fragment that look like a transport header must not change. */
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

static void fragment_with_partial_transport_header_is_rejected(void **state)
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

static void authenticated_packet_allows_mutable_fields_only(void **state)
{
	static const uint8_t address[16];

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		struct built b = build(packet, (struct shape){ version, IPPROTO_UDP, 0 }, 60);
		size_t at = b.transport;
		struct ipq_edit e;

		/* Inserts an Authentication Header of 24 bytes before the UDP header. */
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

/* Checks the same for a protocol without a pseudo-header. */
static void addresses_of_an_authenticated_echo_are_kept(void **state)
{
	static const uint8_t address[4] = { 192, 0, 2, 77 };
	struct built b = build(packet, (struct shape){ 4, IPPROTO_ICMP, 0 }, 60);
	struct ipq_edit e;

	(void)state;
	memmove(packet + 20 + 24, packet + 20, b.len - 20);
	packet[9] = IPPROTO_AH;
	packet[20] = IPPROTO_ICMP;
	packet[21] = 4;
	set_be16(packet + 2, b.len + 24);
	memcpy(copy, packet, b.len + 24);
	assert_int_equal(begin(&e, b.len + 24), 0);
	assert_int_equal(ipq_edit_set_source(&e, address, 4), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_AUTHENTICATED);
	assert_memory_equal(packet, copy, b.len + 24);
}

/* The route has an unknown type, so it is unknown which address the checksum covers. */
static void destination_on_an_unknown_route_is_kept(void **state)
{
	static const uint8_t address[16] = { 0x20, 0x01, 0x0d, 0xb8, 1 };
	struct built b = build(packet, (struct shape){ 6, IPPROTO_UDP, WITH_SOURCE_ROUTE }, 20);
	struct ipq_edit e;

	(void)state;
	packet[42] = 99;
	memcpy(copy, packet, b.len);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_destination(&e, address, 16), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_ROUTE);
	assert_memory_equal(packet, copy, b.len);
	assert_int_equal(ipq_edit_set_source(&e, address, 16), 0);
}

static void encrypted_packet_allows_ttl_only(void **state)
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
	assert_int_equal(ipq_edit_begin(&e, packet, b.len, sizeof(packet), IPQ_EDIT_CHECKSUM_NOT_READY), 0);
	assert_int_equal(ipq_edit_replace(&e, 0, 0, "x", 1), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_ENCRYPTED);
}

static void unknown_protocol_with_possible_pseudo_header_keeps_addresses(void **state)
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

static void partially_covered_udplite_keeps_its_length(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDPLITE, 0 }, 60);
	struct ipq_edit e;

	(void)state;
	/* coverage 0 means all bytes, even after the packet has grown */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 40, 4, "longer", 6), 0);
	assert_int_equal(be16(packet + b.transport + 4), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	b = build(packet, (struct shape){ 4, IPPROTO_UDPLITE, 0 }, 60);
	set_be16(packet + b.transport + 4, 19); /* the coverage ends at an odd byte */
	reference_complete(&b, packet);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 5, 20, "from here to there..", 20), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_edit_replace(&e, 40, 4, "past", 4), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_edit_replace(&e, 40, 4, "longer", 6), -EOPNOTSUPP);
}

/* The memory ends at the end of the packet, so that an overread is found. */
static void tcp_option_beyond_header_is_rejected(void **state)
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

/*
 * Packets truncated at every byte, in memory that ends there: no byte after it may be read, and each error must be
 * the expected one.
 */
static void truncated_packet_is_rejected_without_overread(void **state)
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
			assert_int_equal(
				ipq_edit_begin(&e, exact, len, len, ~(unsigned)(IPQ_EDIT_CUT | 1 << 3)), err);
			/* Checks the same with a matching length field. */
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

static void malformed_network_headers_are_rejected(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, WITH_OPTIONS }, 5);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(ipq_edit_begin(&e, packet, b.len, b.len - 1, 0), -EINVAL);
	packet[21] = 1; /* an option whose length is too short for itself */
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[21] = 2; /* an option without a value */
	assert_int_equal(begin(&e, b.len), 0);
	packet[21] = 5; /* an option longer than the header */
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[0] = 0x44;
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[0] = 0x56;
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	packet[0] = 0x4f; /* length 0, and a header longer than the packet */
	set_be16(packet + 2, 0);
	assert_int_equal(begin(&e, 59), -EBADMSG);
	b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_HOP_BY_HOP }, 5);
	packet[41] = 200;
	assert_int_equal(begin(&e, b.len), -EBADMSG);
	/* A chain of extension headers without an end. */
	memset(packet + 40, 0, 1000);
	set_be16(packet + 4, 1000);
	assert_int_equal(begin(&e, 1040), -EBADMSG);
	/* A chain of extension headers that ends, but only after twenty headers. */
	packet[40 + 19 * 8] = IPPROTO_NONE;
	assert_int_equal(begin(&e, 1040), -EBADMSG);
	packet[40 + 15 * 8] = IPPROTO_NONE;
	assert_int_equal(begin(&e, 1040), -EBADMSG);
	packet[40 + 14 * 8] = IPPROTO_NONE; /* fifteen headers */
	assert_int_equal(begin(&e, 1040), 0);
}

static void malformed_transport_header_allows_network_edits(void **state)
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
	set_be16(packet + 44, 14); /* the length field exceeds the packet by one byte */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	set_be16(packet + 44, 7);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
	packet[6] = IPPROTO_UDPLITE; /* the coverage is less than the header */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_outside_payload_are_rejected),
		cmocka_unit_test(calls_after_begin_has_failed_change_nothing),
		cmocka_unit_test(growth_beyond_buffer_or_65535_is_rejected),
		cmocka_unit_test(first_fragment_is_edited_if_length_is_kept),
		cmocka_unit_test(later_fragment_allows_addresses_but_not_payload),
		cmocka_unit_test(fragment_with_partial_transport_header_is_rejected),
		cmocka_unit_test(authenticated_packet_allows_mutable_fields_only),
		cmocka_unit_test(addresses_of_an_authenticated_echo_are_kept),
		cmocka_unit_test(destination_on_an_unknown_route_is_kept),
		cmocka_unit_test(encrypted_packet_allows_ttl_only),
		cmocka_unit_test(unknown_protocol_with_possible_pseudo_header_keeps_addresses),
		cmocka_unit_test(partially_covered_udplite_keeps_its_length),
		cmocka_unit_test(tcp_option_beyond_header_is_rejected),
		cmocka_unit_test(truncated_packet_is_rejected_without_overread),
		cmocka_unit_test(malformed_network_headers_are_rejected),
		cmocka_unit_test(malformed_transport_header_allows_network_edits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
