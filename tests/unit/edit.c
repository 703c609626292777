// SPDX-License-Identifier: LGPL-2.1-or-later
/* Editing: after any edit of any kind of packet, lengths and checksums are as a sender would have computed them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "edit/edit.h"
#include "edit_random.h"
#include "rounds.h"

static void lengths_and_checksums_are_correct_after_every_edit(void **state)
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
			/* ipq_edit_begin() must find the same headers again. */
			assert_int_equal(ipq_checksum_verify(packet, e.len), 0);
			struct ipq_edit fresh;
			assert_int_equal(begin(&fresh, e.len), 0);
			fresh.reason = e.reason;
			assert_memory_equal(&fresh, &e, sizeof(e));
		}
	assert_true(done > 400 * SHAPES);
}

static void wrong_checksum_stays_wrong_by_the_same_amount(void **state)
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

static void partial_checksum_stays_the_pseudo_header_sum(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++)
		for (size_t i = 0; i < SHAPES; i++) {
			struct built b = build(packet, shapes[i].shape, random_below(100));
			struct ipq_edit e;

			if (b.shape.protocol == IPPROTO_ICMP)
				continue;
			set_be16(checksum_field(&b, packet), reference_pseudo(&b, packet));
			/* All flags that a queue may set. Only this one has an effect here. */
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
static void rfc1624_example_has_its_checksum(void **state)
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

static void udp_without_checksum_gets_none(void **state)
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

/*
 * Two bytes have 65,536 values, one of which makes the sum zero. The checksum must not become 0 then, because 0
 * means "none".
 */
static void checksum_of_zero_is_written_as_the_protocol_requires(void **state)
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
		assert_in_range(seen, 1, 2); /* a sum may have both values, because 0 and 0xffff are equal */
	}
}

/* In this case even RFC 1624 is wrong: the complement of a sum of zeros is 0xffff. */
static void echo_reply_of_zeros_has_a_correct_checksum(void **state)
{
	static const uint8_t zeros[8];
	struct built b = build(packet, (struct shape){ 4, IPPROTO_ICMP, 0 }, 8);
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	memset(packet + 26, 0, 2); /* the ICMP sequence number */
	reference_complete(&b, packet);
	assert_int_equal(ipq_edit_replace(&e, 0, 8, zeros, 8), 0);
	assert_int_equal(ipq_edit_set_icmp_id(&e, 0), 0);
	assert_int_equal(ipq_edit_set_icmp(&e, 0, 0), 0);
	assert_int_equal(be16(checksum_field(&b, packet)), 0xffff);
	assert_int_equal(ipq_edit_set_icmp_id(&e, 7), 0);
	assert_int_equal(be16(checksum_field(&b, packet)), 0xffff - 7);
}

static void random_replacements_match_a_model(void **state)
{
	static uint8_t model[70000];
	struct built b = build(packet, (struct shape){ 6, IPPROTO_TCP, WITH_OPTIONS }, 500);
	size_t len = 500;
	struct ipq_edit e;

	(void)state;
	assert_int_equal(begin(&e, b.len), 0);
	memcpy(model, packet + e.payload, len);
	for (unsigned k = 0; k < rounds(3000); k++) {
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
	/*
	 * 30,000 matches, all of which move. An algorithm with quadratic time would copy a gigabyte and time out.
	 */
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

static void mss_is_lowered_in_syns_only_and_never_raised(void **state)
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

/* The urgent pointer is the end of urgent data: bytes that are inserted there are not urgent. */
static void urgent_pointer_stays_at_the_end_of_urgent_data(void **state)
{
	static const struct {
		size_t at, old_len, new_len;
		unsigned urgent;
	} edits[] = { { 5, 0, 2, 5 }, { 6, 1, 9, 5 }, { 4, 1, 3, 7 }, { 0, 2, 0, 5 }, { 3, 4, 1, 4 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		struct built b = build(packet, (struct shape){ 4, IPPROTO_TCP, 0 }, 10);
		unsigned pointer = i < 4 ? 5 : 6;
		struct ipq_edit e;

		packet[b.transport + 13] |= IPQ_TCP_URG;
		packet[b.transport + 18] = 0;
		packet[b.transport + 19] = (uint8_t)(i == 3 ? 7 : pointer);
		assert_int_equal(begin(&e, b.len), 0);
		assert_int_equal(
			ipq_edit_replace(&e, edits[i].at, edits[i].old_len, "123456789", edits[i].new_len),
			0);
		assert_int_equal(be16(packet + b.transport + 18), edits[i].urgent);
	}
}

static void tcp_options_grow_up_to_40_bytes(void **state)
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
	/* The other options take 20 bytes with their three NOPs, or 17 bytes without them. */
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 13), 0);
	assert_int_equal(e.payload, t + 20 + 36);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 18), 0);
	assert_int_equal(e.payload, t + 60);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 3, NULL), t + 20 + 4 + 1 + 2);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 21), 0);
	assert_int_equal(e.payload, t + 60);
	/* the NOP before it was removed */
	assert_int_equal(ipq_edit_find_tcp_option(&e, 3, NULL), t + 20 + 4 + 2);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 22), -EMSGSIZE);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 5, fill, 38), -EMSGSIZE);
	assert_int_equal(ipq_edit_set_tcp_option(&e, 1, fill, 0), -EINVAL);
	assert_memory_equal(packet + e.payload, payload, 10);
	assert_int_equal(reference_residue(&b, packet), 0xffff);
	packet[t + 21] = 0; /* an option of length 0 */
	assert_int_equal(ipq_edit_set_tcp_option(&e, 34, fill, 2), -EBADMSG);
	assert_int_equal(ipq_edit_clear_tcp_option(&e, 34), -EBADMSG);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 34, NULL), -EBADMSG);
}

static void second_tcp_option_of_a_kind_is_not_set(void **state)
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

static void fields_have_the_value_that_was_set(void **state)
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
		assert_int_equal(ipq_edit_set_dscp(&e, 10), 0); /* the ECN bits do not change */
		assert_int_equal(version == 4 ? p[1] : (be16(p) >> 4 & 0xff), 10 << 2 | 1);
		assert_int_equal(p[0] >> 4, version);
		if (version == 6) /* the flow label does not change */
			assert_int_equal(p[1] & 15, copy[1] & 15);
		assert_int_equal(ipq_edit_set_dscp(&e, 63), 0);
		assert_int_equal(ipq_edit_set_ecn(&e, 3), 0);
		assert_int_equal(version == 4 ? p[1] : (be16(p) >> 4 & 0xff), 0xff);
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
		assert_int_equal(ipq_edit_set_tcp_flags(&e, 0x1ff, IPQ_TCP_FIN),
				 0); /* no bits outside the mask change */
		assert_int_equal(be16(p + 12), 0x5105);
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

static void new_destination_of_source_route_keeps_final_destination(void **state)
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

/* Changes header fields of a truncated packet, and the same fields of the complete packet. */
static void edit_both(struct ipq_edit *cut, struct ipq_edit *whole)
{
	static const uint8_t address[16] = { 32, 1, 13, 184, 9 };
	size_t len = cut->version == 4 ? 4 : 16;

	assert_int_equal(ipq_edit_set_ttl(cut, 9), ipq_edit_set_ttl(whole, 9));
	if (ipq_edit_set_source(cut, address, len) == 0)
		assert_int_equal(ipq_edit_set_source(whole, address, len), 0);
	if (ipq_edit_set_source_port(cut, 4321) == 0)
		assert_int_equal(ipq_edit_set_source_port(whole, 4321), 0);
	if (ipq_edit_set_tcp_sequence(cut, 0x12345678) == 0)
		assert_int_equal(ipq_edit_set_tcp_sequence(whole, 0x12345678), 0);
	if (ipq_edit_clear_tcp_option(cut, 2) == 0)
		assert_int_equal(ipq_edit_clear_tcp_option(whole, 2), 0);
}

static void headers_of_the_first_bytes_of_a_packet_are_edited(void **state)
{
	static uint8_t whole[500];

	(void)state;
	for (size_t i = 0; i < SHAPES; i++) {
		struct built b = build(packet, shapes[i].shape, 50);

		for (size_t len = 1; len < b.len; len++) {
			/* memory of exactly this size: no byte after it may be read */
			uint8_t *exact = malloc(len);
			struct ipq_edit e, all;
			int err;

			memcpy(exact, packet, len);
			memcpy(whole, packet, b.len);
			err = ipq_edit_begin(&e, exact, len, len, IPQ_EDIT_CUT);
			if (err == 0) {
				assert_int_equal(edit_missing(&e), b.len - len);
				assert_true(e.flags & IPQ_EDIT_CUT);
				assert_int_equal(e.transport_error,
						 len < b.transport + b.header ? -ENODATA : 0);
				assert_int_equal(ipq_edit_begin(&all, whole, b.len, b.len, IPQ_EDIT_CUT), 0);
				assert_false(all.flags & IPQ_EDIT_CUT);
				edit_both(&e, &all);
				assert_memory_equal(exact, whole, len);
				assert_true(ipq_edit_replace(&e, 0, 0, "x", 1) < 0);
				assert_int_equal(e.reason, IPQ_EDIT_REASON_CUT);
				assert_true(ipq_edit_set_tcp_option(&e, 34, "four", 4) < 0);
				assert_memory_equal(exact, whole, len);
			} else {
				assert_int_equal(err, len < (b.shape.version == 4 ? 20 : 40) ? -EBADMSG
											     : -ENODATA);
				assert_true(len < b.transport);
			}
			free(exact);
		}
	}
}

static void frame_padding_is_removed(void **state)
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
		cmocka_unit_test(lengths_and_checksums_are_correct_after_every_edit),
		cmocka_unit_test(wrong_checksum_stays_wrong_by_the_same_amount),
		cmocka_unit_test(partial_checksum_stays_the_pseudo_header_sum),
		cmocka_unit_test(rfc1624_example_has_its_checksum),
		cmocka_unit_test(udp_without_checksum_gets_none),
		cmocka_unit_test(checksum_of_zero_is_written_as_the_protocol_requires),
		cmocka_unit_test(echo_reply_of_zeros_has_a_correct_checksum),
		cmocka_unit_test(random_replacements_match_a_model),
		cmocka_unit_test(substitute_replaces_all_matches_in_linear_time),
		cmocka_unit_test(mss_is_lowered_in_syns_only_and_never_raised),
		cmocka_unit_test(urgent_pointer_stays_at_the_end_of_urgent_data),
		cmocka_unit_test(tcp_options_grow_up_to_40_bytes),
		cmocka_unit_test(second_tcp_option_of_a_kind_is_not_set),
		cmocka_unit_test(fields_have_the_value_that_was_set),
		cmocka_unit_test(new_destination_of_source_route_keeps_final_destination),
		cmocka_unit_test(headers_of_the_first_bytes_of_a_packet_are_edited),
		cmocka_unit_test(frame_padding_is_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
