// SPDX-License-Identifier: LGPL-2.1-or-later
/* Checksums that are computed from all bytes, compared with published values and with a sum made byte by byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "edit/edit.h"
#include "edit_packets.h"

static uint8_t packet[70000];

static void rfc1071_example_has_its_sum(void **state)
{
	static const uint8_t example[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	uint16_t sum = sum_bytes(example, sizeof(example), false);

	(void)state;
	assert_int_equal(ntohs(sum), 0xddf2);
}

static void sum_is_correct_for_any_length_and_alignment(void **state)
{
	(void)state;
	random_fill(packet, sizeof(packet));
	for (size_t at = 0; at < 9; at++)
		for (size_t len = 0; len < 300; len++) {
			assert_int_equal(ntohs(sum_bytes(packet + at, len, false)) % 0xffff,
					 reference_sum(0, packet + at, len) % 0xffff);
			/* Sums at an odd offset are like those with a zero byte before the first byte. */
			packet[at] = 0;
			assert_int_equal(ntohs(sum_bytes(packet + at + 1, len, true)) % 0xffff,
					 reference_sum(0, packet + at, len + 1) % 0xffff);
		}
	memset(packet, 0xff, sizeof(packet)); /* the largest possible number of carries */
	assert_int_equal(sum_bytes(packet, sizeof(packet), false), 0xffff);
	assert_int_equal(sum_bytes(packet, sizeof(packet) - 1, false),
			 sum_fold(0xffffu + (uint64_t)htons(0xff00)));
}

/* The header of a widely copied worked example (192.168.0.1 to 192.168.0.199, UDP, 115 bytes): b861. */
static void published_ipv4_header_has_its_checksum(void **state)
{
	static const uint8_t header[] = { 0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
					  0x12, 0x34, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7 };

	(void)state;
	memset(packet, 0, 0x73);
	memcpy(packet, header, sizeof(header));
	set_be16(packet + 24, 0x73 - 20);
	assert_int_equal(ipq_checksum_complete(packet, 0x73), 0);
	assert_int_equal(be16(packet + 10), 0xb861);
}

static void complete_is_correct_for_every_packet_shape(void **state)
{
	static uint8_t expected[70000];

	(void)state;
	for (size_t i = 0; i < SHAPES; i++)
		for (size_t payload = 0; payload < 70; payload++) {
			struct built b = build(packet, shapes[i].shape, payload);

			memcpy(expected, packet, b.len);
			assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
			random_fill(checksum_field(&b, packet), 2);
			if (b.shape.version == 4)
				random_fill(packet + 10, 2);
			assert_int_equal(ipq_checksum_complete(packet, b.len), 0);
			if (memcmp(packet, expected, b.len))
				fail_msg("%s with %zu bytes", shapes[i].name, payload);
		}
}

static void complete_is_correct_for_64_kilobytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct built b = build(packet, shapes[i].shape, 65535 - 200);

		random_fill(checksum_field(&b, packet), 2);
		assert_int_equal(ipq_checksum_complete(packet, b.len), 0);
		assert_int_equal(reference_residue(&b, packet), 0xffff);
	}
}

static void verify_detects_every_single_bit_error(void **state)
{
	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct built b = build(packet, shapes[i].shape, 33);

		for (size_t bit = (b.transport + b.header) * 8; bit < b.len * 8; bit++) {
			packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(ipq_checksum_verify(packet, b.len), IPQ_CHECKSUM_TRANSPORT_WRONG);
			packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		if (b.shape.version != 4)
			continue;
		packet[8] ^= 1;
		assert_int_equal(ipq_checksum_verify(packet, b.len), IPQ_CHECKSUM_NETWORK_WRONG);
		packet[b.len - 1] ^= 1;
		assert_int_equal(ipq_checksum_verify(packet, b.len),
				 IPQ_CHECKSUM_NETWORK_WRONG | IPQ_CHECKSUM_TRANSPORT_WRONG);
	}
}

static void udp_without_checksum_is_valid_in_ipv4_only(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 20);

	(void)state;
	set_be16(checksum_field(&b, packet), 0);
	assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
	b = build(packet, (struct shape){ 6, IPPROTO_UDP, 0 }, 20);
	set_be16(checksum_field(&b, packet), 0);
	assert_int_equal(ipq_checksum_verify(packet, b.len), IPQ_CHECKSUM_TRANSPORT_WRONG);
}

static void udp_checksum_of_zero_is_written_as_ffff(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 20);
	uint8_t *word = packet + b.len - 2;

	(void)state;
	/* Adds the difference to the payload, so that the checksum becomes zero. */
	set_be16(word, reference_sum(be16(word), checksum_field(&b, packet), 2));
	assert_int_equal(ipq_checksum_complete(packet, b.len), 0);
	assert_int_equal(be16(checksum_field(&b, packet)), 0xffff);
	assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
}

static void bytes_after_udp_length_are_not_summed(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 20);

	(void)state;
	/* Add six bytes after the datagram, inside the IP packet; then padding. */
	set_be16(packet + 2, b.len + 6);
	assert_int_equal(ipq_checksum_complete(packet, b.len + 26), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	assert_int_equal(ipq_checksum_verify(packet, b.len + 26), 0);
}

static void bytes_outside_udplite_coverage_are_not_summed(void **state)
{
	struct built b = build(packet, (struct shape){ 6, IPPROTO_UDPLITE, 0 }, 20);

	(void)state;
	set_be16(packet + b.transport + 4, 12);
	assert_int_equal(ipq_checksum_complete(packet, b.len), 0);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	packet[b.len - 1] ^= 1;
	assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
	packet[b.transport + 11] ^= 1;
	assert_int_equal(ipq_checksum_verify(packet, b.len), IPQ_CHECKSUM_TRANSPORT_WRONG);
}

static void fragment_gets_only_its_header_checksum(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 40);
	unsigned before = be16(checksum_field(&b, packet));

	(void)state;
	packet[6] = 0x20;
	assert_int_equal(ipq_checksum_verify(packet, b.len), IPQ_CHECKSUM_NETWORK_WRONG);
	assert_int_equal(ipq_checksum_complete(packet, b.len), -EOPNOTSUPP);
	assert_int_equal(reference_network_residue(&b, packet), 0xffff);
	assert_int_equal(be16(checksum_field(&b, packet)), before);
	assert_int_equal(ipq_checksum_verify(packet, b.len), -EOPNOTSUPP);
}

static void complete_rejects_unknown_protocol(void **state)
{
	struct built b = build(packet, (struct shape){ 4, IPPROTO_UDP, 0 }, 40);

	(void)state;
	packet[9] = IPPROTO_DCCP;
	assert_int_equal(ipq_checksum_complete(packet, b.len), -EPROTONOSUPPORT);
	packet[9] = IPPROTO_ESP;
	assert_int_equal(ipq_checksum_complete(packet, b.len), -EOPNOTSUPP);
}

static void complete_rejects_unknown_routing_header_with_segments_left(void **state)
{
	struct built b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_SOURCE_ROUTE }, 40);

	(void)state;
	packet[42] = 3; /* RFC 6554: compressed addresses */
	assert_int_equal(ipq_checksum_complete(packet, b.len), -EOPNOTSUPP);
	packet[43] = 0; /* if the route is completed, its type does not matter */
	assert_int_equal(ipq_checksum_complete(packet, b.len), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc1071_example_has_its_sum),
		cmocka_unit_test(sum_is_correct_for_any_length_and_alignment),
		cmocka_unit_test(published_ipv4_header_has_its_checksum),
		cmocka_unit_test(complete_is_correct_for_every_packet_shape),
		cmocka_unit_test(complete_is_correct_for_64_kilobytes),
		cmocka_unit_test(verify_detects_every_single_bit_error),
		cmocka_unit_test(udp_without_checksum_is_valid_in_ipv4_only),
		cmocka_unit_test(udp_checksum_of_zero_is_written_as_ffff),
		cmocka_unit_test(bytes_after_udp_length_are_not_summed),
		cmocka_unit_test(bytes_outside_udplite_coverage_are_not_summed),
		cmocka_unit_test(fragment_gets_only_its_header_checksum),
		cmocka_unit_test(complete_rejects_unknown_protocol),
		cmocka_unit_test(complete_rejects_unknown_routing_header_with_segments_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
