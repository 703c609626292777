// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Editing SCTP: the adjusted CRC-32C must equal one that is computed bit by bit, and chunks must keep their
 * lengths.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "edit_random.h"

enum { DATA = 0, INIT_ACK = 2, COOKIE_ECHO = 10, AUTH = 15, TEXT = 12 + 16 };

static uint32_t reference_crc(const uint8_t *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len * 8; i++)
		crc = (crc ^ (p[i / 8] >> i % 8 & 1)) & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	return ~crc;
}

/* Computes the checksum that the packet should have, most significant byte last. */
static uint32_t expected(size_t transport, size_t len)
{
	uint8_t bytes[2000];

	memcpy(bytes, packet + transport, len - transport);
	memset(bytes + 8, 0, 4);
	return reference_crc(bytes, len - transport);
}

static uint32_t present(size_t transport)
{
	const uint8_t *p = packet + transport + 8;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void set_checksum(size_t transport, uint32_t crc)
{
	for (int i = 0; i < 4; i++)
		packet[transport + 8 + (size_t)i] = (uint8_t)(crc >> 8 * i);
}

/* Builds a packet with one chunk of this type and text. */
static struct built sctp_packet(int version, unsigned type, const char *text)
{
	size_t len = strlen(text), padded = (len + 3) / 4 * 4;
	struct built b = build(packet, (struct shape){ version, IPPROTO_UDP, 0 }, 4 + 16 + padded);
	uint8_t *chunk = packet + b.transport + 12;

	packet[version == 4 ? 9 : 6] = IPPROTO_SCTP;
	chunk[0] = (uint8_t)type;
	set_be16(chunk + 2, 16 + len);
	memset(chunk + 16, 0, padded);
	for (size_t i = 0; i < len; i++)
		chunk[16 + i] = (uint8_t)text[i];
	set_checksum(b.transport, expected(b.transport, b.len));
	if (version == 4) {
		set_be16(packet + 10, 0);
		set_be16(packet + 10, 0xffff - reference_network_residue(&b, packet));
	}
	memcpy(copy, packet, b.len);
	return b;
}

static void published_crc_has_its_value(void **state)
{
	(void)state;
	assert_int_equal(reference_crc((const uint8_t *)"123456789", 9), 0xe3069283);
}

static void checksum_of_sctp_is_adjusted(void **state)
{
	static const uint8_t address[16] = { 0xfd, 1, 2 };

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		struct built b = sctp_packet(version, DATA, "some text, and more text");
		struct ipq_edit e;

		assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(e.transport_error, 0);
		assert_int_equal(ipq_edit_set_source(&e, address, version == 4 ? 4 : 16), 0);
		assert_int_equal(present(b.transport), expected(b.transport, b.len));
		assert_int_equal(ipq_edit_set_source_port(&e, 5060), 0);
		assert_int_equal(ipq_edit_set_destination_port(&e, 5061), 0);
		assert_int_equal(be16(packet + b.transport), 5060);
		assert_int_equal(be16(packet + b.transport + 2), 5061);
		assert_int_equal(present(b.transport), expected(b.transport, b.len));
		assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEST", 4), 2);
		assert_int_equal(ipq_edit_replace(&e, 16, 4, "SOME", 4), 0);
		assert_memory_equal(packet + b.transport + TEXT, "SOME TEST, and more TEST", 24);
		assert_int_equal(present(b.transport), expected(b.transport, b.len));
		assert_int_equal(ipq_checksum_verify(packet, b.len), 0);
	}
}

static void wrong_or_absent_checksum_of_sctp_stays_so(void **state)
{
	struct built b = sctp_packet(4, DATA, "text");
	struct ipq_edit e;

	(void)state;
	set_checksum(b.transport, present(b.transport) ^ 0x1234);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), 1);
	assert_int_equal(present(b.transport), expected(b.transport, b.len) ^ 0x1234);
	assert_int_equal(ipq_checksum_verify(packet, b.len), IPQ_CHECKSUM_TRANSPORT_WRONG);
	set_checksum(b.transport, 0);
	assert_int_equal(ipq_edit_substitute(&e, "TEXT", 4, "text", 4), 1);
	assert_int_equal(present(b.transport), 0);
	assert_int_equal(ipq_edit_begin(&e, packet, b.len, b.len, IPQ_EDIT_CHECKSUM_NOT_READY), 0);
	set_checksum(b.transport, 7);
	assert_int_equal(ipq_edit_set_source_port(&e, 9), 0);
	assert_int_equal(present(b.transport), 7);
	assert_int_equal(ipq_checksum_complete(packet, b.len), 0);
	assert_int_equal(present(b.transport), expected(b.transport, b.len));
}

static void assert_refused(unsigned type, const char *new, unsigned reason, int err)
{
	struct built b = sctp_packet(4, type, "text");
	struct ipq_edit e;

	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_substitute(&e, "text", 4, new, strlen(new)), err);
	assert_int_equal(e.reason, reason);
	assert_memory_equal(packet, copy, b.len);
	assert_int_equal(ipq_edit_set_source_port(&e, 9), 0); /* port numbers are not signed */
	assert_int_equal(present(b.transport), expected(b.transport, b.len));
}

static void signed_chunks_and_new_lengths_are_rejected(void **state)
{
	(void)state;
	assert_refused(DATA, "longer", IPQ_EDIT_REASON_CHUNK, -EOPNOTSUPP);
	assert_refused(AUTH, "TEXT", IPQ_EDIT_REASON_SIGNED, -EOPNOTSUPP);
	assert_refused(INIT_ACK, "TEXT", IPQ_EDIT_REASON_SIGNED, -EOPNOTSUPP);
	assert_refused(COOKIE_ECHO, "TEXT", IPQ_EDIT_REASON_SIGNED, -EOPNOTSUPP);
}

/* A chunk of 5 bytes is padded to 8 bytes. */
static void chunk_after_padding_is_found(void **state)
{
	struct built b = sctp_packet(4, DATA, "texttext");
	uint8_t *chunk = packet + b.transport + 12;
	struct ipq_edit e;

	(void)state;
	set_be16(chunk + 2, 5);
	memset(chunk + 4, 0, 20);
	chunk[8] = AUTH;
	set_be16(chunk + 10, 16);
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_replace(&e, 4, 1, "x", 1), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_SIGNED);
	chunk[8] = DATA;
	assert_int_equal(ipq_edit_replace(&e, 4, 1, "x", 1), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_CHUNK); /* the chunk is too short for user data */
}

/* A header, or the boundary of two chunks, may contain the text by chance. */
static void only_user_data_of_one_chunk_is_changed(void **state)
{
	static const char text[] =
		"01234567--------------------cdef0123456789AB"; /* chunks of 24 and 36 bytes */
	struct built b = sctp_packet(4, DATA, text);
	uint8_t *chunk = packet + b.transport + 12;
	struct ipq_edit e;

	(void)state;
	set_be16(chunk + 2, 24);
	chunk[24] = 64; /* I-DATA, with a header of 20 bytes */
	set_be16(chunk + 26, 36);
	assert_int_equal(begin(&e, b.len), 0);
	for (size_t at = 0; at <= 60; at++)
		for (size_t len = 0; len <= 60 - at; len++) {
			bool first = at >= 16 && at + len <= 24, second = at >= 44 && at + len <= 60;
			/* the position is at the beginning of the next chunk */
			bool boundary = len == 0 && (at == 24 || at == 60);

			assert_int_equal(ipq_edit_replace(&e, at, len, packet + e.payload + at, len),
					 (first || second) && !boundary ? 0 : -EOPNOTSUPP);
		}
	assert_int_equal(ipq_edit_substitute(&e, "0123", 4, "abcd", 4), 2);
	set_be16(chunk + 4, 0x3837); /* a transmission sequence number that equals the text */
	assert_int_equal(ipq_edit_substitute(&e, "7", 1, "8", 1), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_CHUNK);
	chunk[0] = 4; /* HEARTBEAT */
	assert_int_equal(ipq_edit_replace(&e, 16, 4, "text", 4), -EOPNOTSUPP);
	assert_int_equal(ipq_edit_substitute(&e, "cdef", 4, "CDEF", 4), 1);
}

static void malformed_chunks_and_fragments_are_rejected(void **state)
{
	struct built b = sctp_packet(4, DATA, "text");
	struct ipq_edit e;

	(void)state;
	for (unsigned len = 0; len < 30; len = len == 3 ? 21 : len + 1) {
		set_be16(packet + b.transport + 14, len);
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(ipq_edit_substitute(&e, "text", 4, "TEXT", 4), -EBADMSG);
		assert_int_equal(e.reason, IPQ_EDIT_REASON_MALFORMED);
	}
	packet[6] = 0x20; /* the flag "more fragments" */
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(ipq_edit_set_source_port(&e, 9), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_FRAGMENT);
	set_be16(packet + 2, b.transport + 11);
	packet[6] = 0;
	assert_int_equal(begin(&e, b.len), 0);
	assert_int_equal(e.transport_error, -EBADMSG);
}

/* The checksum of SCTP does not cover the addresses, so it can be computed. */
static void checksum_on_an_unknown_route_is_verified(void **state)
{
	struct built b = sctp_packet(6, DATA, "text");

	(void)state;
	memmove(packet + 48, packet + 40, b.len - 40);
	packet[6] = IPPROTO_ROUTING;
	memcpy(packet + 40, "\x84\0\x63\1\0\0\0", 8); /* a type that does not exist, one segment left */
	set_be16(packet + 4, b.len - 40 + 8);
	assert_int_equal(ipq_checksum_verify(packet, b.len + 8), 0);
	packet[b.len + 7] ^= 1;
	assert_int_equal(ipq_checksum_verify(packet, b.len + 8), IPQ_CHECKSUM_TRANSPORT_WRONG);
	assert_int_equal(ipq_checksum_complete(packet, b.len + 8), 0);
	assert_int_equal(ipq_checksum_verify(packet, b.len + 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_crc_has_its_value),
		cmocka_unit_test(checksum_of_sctp_is_adjusted),
		cmocka_unit_test(wrong_or_absent_checksum_of_sctp_stays_so),
		cmocka_unit_test(signed_chunks_and_new_lengths_are_rejected),
		cmocka_unit_test(chunk_after_padding_is_found),
		cmocka_unit_test(only_user_data_of_one_chunk_is_changed),
		cmocka_unit_test(malformed_chunks_and_fragments_are_rejected),
		cmocka_unit_test(checksum_on_an_unknown_route_is_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
