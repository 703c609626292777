/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of each link type: the IP packet must be found, and frames without one must be recognised. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "capture/link_layer.h"

#define IP4 0x45, 0, 0, 24, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 'd', 'a', 't', 'a'
#define IP6_PART 0x60, 0, 0, 0, 0, 4, 17, 64
#define ZERO16 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define IP6 IP6_PART, ZERO16, ZERO16, 'd', 'a', 't', 'a'
#define TAG 0x81, 0, 0, 1
#define SNAP 0xaa, 0xaa, 3, 0, 0, 0
#define WIRELESS(control0, control1) control0, control1, 0, 0, MACS, 2, 0, 0, 0, 0, 3, 0, 0
#define MACS 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9

/* Parses memory of exactly this size, so that a sanitizer finds an overread of one byte. */
static bool parse(uint32_t type, const uint8_t *bytes, size_t len, size_t full_len, struct frame *f)
{
	uint8_t *exact = malloc(len != 0 ? len : 1);
	bool is_ip;

	assert_non_null(exact);
	memcpy(exact, bytes, len);
	is_ip = frame_parse(frame_link_find(type), exact, len, full_len, f);
	free(exact);
	assert_int_equal(is_ip, f->family != 0);
	return is_ip;
}
#define PARSE(type, bytes, f) parse(type, bytes, sizeof(bytes), sizeof(bytes), f)

static void check(uint32_t type, const uint8_t *bytes, size_t len, uint8_t family, size_t link_len)
{
	struct frame f;

	assert_true(parse(type, bytes, len, len, &f));
	assert_int_equal(f.family, family);
	assert_int_equal(f.protocol, family == AF_INET ? 0x0800 : 0x86dd);
	assert_int_equal(f.link_len, link_len);
	assert_int_equal(f.payload_len, len - link_len);
	assert_int_equal(f.full_len, len - link_len);
	for (size_t cut = 0; cut < link_len + (family == AF_INET ? 20 : 40); cut++)
		assert_false(parse(type, bytes, cut, len, &f));
}
#define CHECK(type, family, link_len, ...)                           \
	do {                                                         \
		static const uint8_t bytes[] = { __VA_ARGS__ };      \
		check(type, bytes, sizeof(bytes), family, link_len); \
	} while (0)

static void ip_is_found_after_every_link_header(void **state)
{
	(void)state;
	CHECK(LINKTYPE_ETHERNET, AF_INET, 14, MACS, 8, 0, IP4);
	CHECK(LINKTYPE_ETHERNET, AF_INET6, 14, MACS, 0x86, 0xdd, IP6);
	CHECK(LINKTYPE_RAW, AF_INET, 0, IP4);
	CHECK(LINKTYPE_RAW, AF_INET6, 0, IP6);
	CHECK(LINKTYPE_IPV4, AF_INET, 0, IP4);
	CHECK(LINKTYPE_IPV6, AF_INET6, 0, IP6);
	CHECK(LINKTYPE_LINUX_SLL, AF_INET, 16, 0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 8, 0, IP4);
	CHECK(LINKTYPE_LINUX_SLL2, AF_INET6, 20, 0x86, 0xdd, 0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9,
	      0, 0, IP6);
	CHECK(LINKTYPE_NULL, AF_INET, 4, 2, 0, 0, 0, IP4);
	CHECK(LINKTYPE_NULL, AF_INET, 4, 0, 0, 0, 2, IP4);
	CHECK(LINKTYPE_NULL, AF_INET6, 4, 30, 0, 0, 0, IP6);
	CHECK(LINKTYPE_LOOP, AF_INET6, 4, 0, 0, 0, 24, IP6);
	CHECK(LINKTYPE_PPP, AF_INET, 4, 0xff, 3, 0, 0x21, IP4);
	CHECK(LINKTYPE_PPP, AF_INET6, 2, 0, 0x57, IP6);
	CHECK(LINKTYPE_PPP, AF_INET, 1, 0x21, IP4); /* a compressed protocol field: one byte */
	CHECK(LINKTYPE_PPP_HDLC, AF_INET, 4, 0xff, 3, 0, 0x21, IP4);
	CHECK(LINKTYPE_PPP_HDLC, AF_INET, 4, 0x0f, 0, 8, 0, IP4);
	CHECK(LINKTYPE_C_HDLC, AF_INET6, 4, 0x8f, 0, 0x86, 0xdd, IP6);
	CHECK(LINKTYPE_PPP_PPPD, AF_INET, 4, 1, 3, 0, 0x21, IP4);
	CHECK(LINKTYPE_PPP_WITH_DIR, AF_INET, 5, 0, 0xff, 3, 0, 0x21, IP4);
	CHECK(LINKTYPE_PPP_ETHER, AF_INET, 8, 0x11, 0, 0, 7, 0, 26, 0, 0x21, IP4);
	CHECK(LINKTYPE_ETHERNET, AF_INET, 22, MACS, 0x88, 0x64, 0x11, 0, 0, 7, 0, 26, 0, 0x21, IP4);
	CHECK(LINKTYPE_ETHERNET, AF_INET, 26, MACS, TAG, 0x88, 0x64, 0x11, 0, 0, 7, 0, 26, 0, 0x21, IP4);
	/* an MPLS label */
	CHECK(LINKTYPE_ETHERNET, AF_INET6, 22, MACS, 0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64, IP6);
	CHECK(LINKTYPE_ETHERNET, AF_INET, 22, MACS, 0, 32, SNAP, 8, 0, IP4);
	/* 1500 is the greatest value that means a length */
	CHECK(LINKTYPE_ETHERNET, AF_INET, 22, MACS, 0x05, 0xdc, SNAP, 8, 0, IP4);
	/* LLC after a VLAN tag */
	CHECK(LINKTYPE_ETHERNET, AF_INET, 26, MACS, 0x81, 0, 0, 7, 0, 32, SNAP, 8, 0, IP4);
	CHECK(LINKTYPE_MPLS, AF_INET, 8, 0, 1, 0, 64, 0, 2, 1, 64, IP4);
	CHECK(LINKTYPE_MPLS, AF_INET6, 4, 0, 1, 1, 64, IP6);
	CHECK(LINKTYPE_IEEE802_11, AF_INET, 32, WIRELESS(0x08, 0x01), SNAP, 8, 0, IP4);
	CHECK(LINKTYPE_IEEE802_11, AF_INET, 34, WIRELESS(0x88, 0x02), 0, 0, SNAP, 8, 0, IP4);
	CHECK(LINKTYPE_IEEE802_11, AF_INET, 38, WIRELESS(0x88, 0x82), 0, 0, 0, 0, 0, 0, SNAP, 8, 0, IP4);
	CHECK(LINKTYPE_IEEE802_11, AF_INET6, 38, WIRELESS(0x08, 0x03), 2, 0, 0, 0, 0, 4, SNAP, 0x86, 0xdd,
	      IP6);
	CHECK(LINKTYPE_IEEE802_11_RADIOTAP, AF_INET, 40, 0, 0, 8, 0, 0, 0, 0, 0, WIRELESS(0x08, 0x01), SNAP,
	      8, 0, IP4);
	/* Two words of presence bits, a timestamp, flags. The 802.11 header is padded. */
	CHECK(LINKTYPE_IEEE802_11_RADIOTAP, AF_INET, 64, 0, 0, 28, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0,
	      0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, WIRELESS(0x88, 0x02), 0, 0, 0, 0, SNAP, 8, 0, IP4);
	CHECK(LINKTYPE_NFLOG, AF_INET, 32, 2, 0, 0, 7, 8, 0, 1, 0, 8, 0, 3, 0, 8, 0, 2, 0, 0, 0, 0, 42, 8, 0,
	      4, 0, 0, 0, 0, 1, 28, 0, 9, 0, IP4);
	CHECK(LINKTYPE_NFLOG, AF_INET6, 8, 10, 0, 0, 7, 0, 48, 0, 9, IP6);
}

static void vlan_tags_are_skipped_and_the_outer_one_is_reported(void **state)
{
	static const uint8_t one[] = { MACS, 0x81, 0, 0x60, 42, 8, 0, IP4 };
	static const uint8_t two[] = { MACS, 0x88, 0xa8, 0, 7, 0x81, 0, 0, 42, 8, 0, IP4 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_ETHERNET, one, &f));
	assert_int_equal(f.vlan_proto, 0x8100);
	assert_int_equal(f.vlan_tci, 0x602a);
	assert_int_equal(f.link_len, 18);
	assert_true(PARSE(LINKTYPE_ETHERNET, two, &f));
	assert_int_equal(f.vlan_proto, 0x88a8);
	assert_int_equal(f.vlan_tci, 7);
	assert_int_equal(f.link_len, 22);
	assert_false(parse(LINKTYPE_ETHERNET, two, 20, sizeof(two), &f));
}

static void hardware_address_is_that_of_the_sender(void **state)
{
	static const uint8_t ethernet[] = { MACS, 8, 0, IP4 };
	static const uint8_t cooked[] = { 0, 4, 0, 1, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0, IP4 };
	static const uint8_t cooked2[] = { 8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 4, 6, 2, 0, 0, 0, 0, 9, 0, 0, IP4 };
	static const uint8_t sender[] = { 2, 0, 0, 0, 0, 9 }, eight[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_ETHERNET, ethernet, &f));
	assert_int_equal(f.hw_addr_len, 6);
	assert_memory_equal(f.hw_addr, sender, 6);
	assert_true(PARSE(LINKTYPE_LINUX_SLL, cooked, &f));
	assert_int_equal(f.hw_addr_len, 8); /* at most 8, whatever length the file has */
	assert_memory_equal(f.hw_addr, eight, 8);
	assert_true(PARSE(LINKTYPE_LINUX_SLL2, cooked2, &f));
	assert_int_equal(f.hw_addr_len, 6);
	assert_memory_equal(f.hw_addr, sender, 6);
}

static void padding_is_not_payload(void **state)
{
	/* a packet that has only a header */
	static const uint8_t header[] = {
		MACS, 8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, ZERO16, ZERO16
	};
	static const uint8_t padded[] = { MACS, 8, 0, IP4, 0, 0, 0, 0, 0, 0, 0,
					  0,	0, 0, 0,   0, 0, 0, 0, 0, 0, 0 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_ETHERNET, padded, &f));
	assert_int_equal(f.payload_len, 24);
	assert_int_equal(f.full_len, 24);
	assert_true(PARSE(LINKTYPE_ETHERNET, header, &f));
	assert_int_equal(f.full_len, 20);
}

static void cut_packet_has_the_length_of_its_header(void **state)
{
	static const uint8_t frame[] = { MACS, 8, 0, IP4 };
	struct frame f;

	(void)state;
	assert_true(parse(LINKTYPE_ETHERNET, frame, 14 + 22, sizeof(frame) + 10, &f));
	assert_int_equal(f.payload_len, 22);
	assert_int_equal(f.full_len, 24); /* the length of the IP header: the other bytes were padding */
}

static void impossible_length_is_replaced_by_that_of_the_frame(void **state)
{
	uint8_t frame[] = { MACS, 8, 0, IP4 };
	struct frame f;

	(void)state;
	frame[14 + 2] = 0xff; /* the length field exceeds the frame */
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.payload_len, 24);
	assert_int_equal(f.full_len, 24);
	frame[14 + 2] = 0;
	frame[14 + 3] = 7; /* the length field is less than the header */
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.payload_len, 24);
	frame[14 + 3] = 0; /* a GSO packet has no length */
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.payload_len, 24);
	/* a record that is shorter than its frame */
	assert_true(parse(LINKTYPE_ETHERNET, frame, sizeof(frame), 3, &f));
	assert_int_equal(f.full_len, 24);
}

static void frames_without_ip_have_no_packet(void **state)
{
	static const uint8_t arp[] = { MACS, 8, 6, IP4 };
	static const uint8_t wrong_version[] = { MACS, 0x86, 0xdd, IP4, ZERO16 };
	static const uint8_t short_header[] = { MACS, 8, 0, 0x44, 0, 0, 20, ZERO16 };
	static const uint8_t tags[] = { MACS, TAG, TAG, TAG, TAG, TAG, TAG, TAG, TAG, TAG, 8, 0, IP4 };
	static const uint8_t appletalk[] = { 16, 0, 0, 0, IP4 };
	struct frame f;

	(void)state;
	assert_false(PARSE(LINKTYPE_ETHERNET, arp, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, wrong_version, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, short_header, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, tags, &f));
	assert_false(PARSE(LINKTYPE_NULL, appletalk, &f));
	assert_null(frame_link_find(249));
}

static void frames_with_parts_of_packets_have_no_packet(void **state)
{
	static const uint8_t encrypted[] = { WIRELESS(0x08, 0x41), SNAP, 8, 0, IP4 };
	static const uint8_t fragment[] = { WIRELESS(0x08, 0x05), SNAP, 8, 0, IP4 };
	static const uint8_t several[] = { WIRELESS(0x88, 0x02), 0x80, 0, SNAP, 8, 0, IP4 };
	static const uint8_t beacon[] = { WIRELESS(0x80, 0), SNAP, 8, 0, IP4 };
	static const uint8_t discovery[] = { 0x11, 9, 0, 0, 0, 26, 0, 0x21, IP4 };
	static const uint8_t control_word[] = { MACS, 0x88, 0x47, 0, 1, 1, 64, 0, 0, 0, 0, MACS, 8, 0, IP4 };
	struct frame f;

	(void)state;
	assert_false(PARSE(LINKTYPE_IEEE802_11, encrypted, &f));
	assert_false(PARSE(LINKTYPE_IEEE802_11, fragment, &f));
	assert_false(PARSE(LINKTYPE_IEEE802_11, several, &f));
	assert_false(PARSE(LINKTYPE_IEEE802_11, beacon, &f));
	assert_false(PARSE(LINKTYPE_PPP_ETHER, discovery, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, control_word, &f));
}

static void lengths_beyond_the_frame_are_rejected(void **state)
{
	static const uint8_t radiotap[] = { 0, 0, 200, 0, 2, 0, 0, 0 };
	static const uint8_t beyond[] = { 2, 0, 0, 7, 29, 0, 9, 0, IP4 };
	static const uint8_t nothing[] = { 2, 0, 0, 7, 0, 0, 9, 0, IP4 };
	static const uint8_t packet[] = {
		IP4
	}; /* without a payload attribute, though it begins like a packet */
	static const uint8_t too_short[] = { 2, 0, 0, 7, 3, 0, 9, 0, IP4 };
	struct frame f;

	(void)state;
	assert_false(PARSE(LINKTYPE_IEEE802_11_RADIOTAP, radiotap, &f));
	assert_false(PARSE(LINKTYPE_NFLOG, beyond, &f));
	assert_false(PARSE(LINKTYPE_NFLOG, nothing, &f));
	assert_false(PARSE(LINKTYPE_NFLOG, too_short, &f));
	assert_false(PARSE(LINKTYPE_NFLOG, packet, &f));
}

static void ipv6_packet_without_next_header_ends_with_its_header(void **state)
{
	static const uint8_t frame[] = { MACS, 0x86, 0xdd,   0x60,   0, 0, 0, 0, 0,
					 59,   64,   ZERO16, ZERO16, 1, 2, 3, 4 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.full_len, 40);
	assert_int_equal(f.payload_len, 40);
}

static void nflog_has_hook_and_mark(void **state)
{
	static const uint8_t frame[] = { 2, 0, 0, 7, 8, 0, 1,  0,  8, 0, 3, 0,	8,
					 0, 2, 0, 0, 0, 1, 42, 28, 0, 9, 0, IP4 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_NFLOG, frame, &f));
	assert_true(f.has_hook && f.has_mark);
	assert_int_equal(f.hook, 3);
	assert_int_equal(f.mark, 0x12a);
}

/* The attribute after an empty payload begins like a packet: its length is 0x45. */
static void nflog_with_empty_payload_has_no_packet(void **state)
{
	uint8_t frame[8 + 0x48] = { 2, 0, 0, 7, 4, 0, 9, 0, 0x45, 0, 10, 0 };
	struct frame f;

	(void)state;
	assert_false(PARSE(LINKTYPE_NFLOG, frame, &f));
}

/* Changes the packet of a frame, and compares the new frame. Returns its length. bytes: at most 200. */
static size_t change(uint32_t type, const uint8_t *bytes, size_t len, size_t payload_len, uint8_t *changed)
{
	uint8_t payload[100] = { 0x45 }, end[200];
	struct frame f;
	size_t n;

	assert_true(parse(type, bytes, len, len, &f));
	memcpy(changed, bytes, f.link_len);
	n = frame_change(&f, changed, bytes, len, payload, payload_len, end);
	memcpy(changed + f.link_len, payload, payload_len);
	memcpy(changed + f.link_len + payload_len, end, n);
	return f.link_len + payload_len + n;
}

static void length_before_the_packet_follows(void **state)
{
	static const uint8_t pppoe[] = { MACS, 0x88, 0x64, 0x11, 0, 0, 7, 0, 26, 0, 0x21, IP4 };
	static const uint8_t wrong[] = { MACS, 0x88, 0x64, 0x11, 0, 0, 7, 0, 99, 0, 0x21, IP4 };
	static const uint8_t snap[] = { MACS, 0, 32, SNAP, 8, 0, IP4 };
	static const uint8_t nflog[] = { 2, 0, 0, 7, 28, 0, 9, 0, IP4, 5, 0, 10, 0, 'x', 0, 0, 0 };
	uint8_t changed[200];

	(void)state;
	assert_int_equal(change(LINKTYPE_ETHERNET, pppoe, sizeof(pppoe), 31, changed), 22 + 31);
	assert_int_equal(changed[19], 33);
	change(LINKTYPE_ETHERNET, wrong, sizeof(wrong), 31, changed);
	assert_int_equal(changed[19], 99);
	assert_int_equal(change(LINKTYPE_ETHERNET, snap, sizeof(snap), 31, changed), 22 + 31);
	assert_int_equal(changed[13], 39);
	/* The attribute after the packet must stay aligned. */
	assert_int_equal(change(LINKTYPE_NFLOG, nflog, sizeof(nflog), 31, changed), 8 + 32 + 8);
	assert_int_equal(changed[4], 35);
	assert_int_equal(changed[8 + 32], 5);
	assert_int_equal(changed[8 + 32 + 4], 'x');
}

static void frame_check_sequence_is_recomputed(void **state)
{
	/* radiotap with the flag for a check sequence. The check sequence is wrong at first */
	static const uint8_t bytes[] = { 0,    0, 9, 0,	  2, 0, 0, 0, 0x10, WIRELESS(0x08, 0x01),
					 SNAP, 8, 0, IP4, 1, 2, 3, 4 };
	uint8_t changed[200];
	uint32_t crc = UINT32_MAX;
	size_t len = change(LINKTYPE_IEEE802_11_RADIOTAP, bytes, sizeof(bytes), 30, changed);

	(void)state;
	assert_int_equal(len, sizeof(bytes) + 6);
	/* The CRC over the frame and its check sequence is a constant. */
	for (size_t i = 9; i < len; i++)
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc ^ changed[i] >> bit) & 1 ? 0xedb88320 : 0);
	assert_int_equal(crc, 0xdebb20e3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_is_found_after_every_link_header),
		cmocka_unit_test(vlan_tags_are_skipped_and_the_outer_one_is_reported),
		cmocka_unit_test(hardware_address_is_that_of_the_sender),
		cmocka_unit_test(padding_is_not_payload),
		cmocka_unit_test(cut_packet_has_the_length_of_its_header),
		cmocka_unit_test(impossible_length_is_replaced_by_that_of_the_frame),
		cmocka_unit_test(frames_without_ip_have_no_packet),
		cmocka_unit_test(frames_with_parts_of_packets_have_no_packet),
		cmocka_unit_test(lengths_beyond_the_frame_are_rejected),
		cmocka_unit_test(ipv6_packet_without_next_header_ends_with_its_header),
		cmocka_unit_test(nflog_has_hook_and_mark),
		cmocka_unit_test(nflog_with_empty_payload_has_no_packet),
		cmocka_unit_test(length_before_the_packet_follows),
		cmocka_unit_test(frame_check_sequence_is_recomputed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
