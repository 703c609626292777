/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the IP packet lies in a frame of each link type, and which frames hold none. */
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
#define MACS 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9

/* From memory of exactly this size, so that a sanitizer sees one byte too many. */
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

static void ip_is_found_after_each_link_header(void **state)
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
}

static void vlan_tags_are_skipped_and_outer_one_reported(void **state)
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

static void source_hardware_address_is_read(void **state)
{
	static const uint8_t ethernet[] = { MACS, 8, 0, IP4 };
	static const uint8_t cooked[] = { 0, 4, 0, 1, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0, IP4 };
	static const uint8_t sender[] = { 2, 0, 0, 0, 0, 9 }, eight[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_ETHERNET, ethernet, &f));
	assert_int_equal(f.hw_addr_len, 6);
	assert_memory_equal(f.hw_addr, sender, 6);
	assert_true(PARSE(LINKTYPE_LINUX_SLL, cooked, &f));
	assert_int_equal(f.hw_addr_len, 8); /* whatever the file says */
	assert_memory_equal(f.hw_addr, eight, 8);
}

static void frame_padding_is_not_payload(void **state)
{
	static const uint8_t padded[] = { MACS, 8, 0, IP4, 0, 0, 0, 0, 0, 0, 0,
					  0,	0, 0, 0,   0, 0, 0, 0, 0, 0, 0 };
	struct frame f;

	(void)state;
	assert_true(PARSE(LINKTYPE_ETHERNET, padded, &f));
	assert_int_equal(f.payload_len, 24);
	assert_int_equal(f.full_len, 24);
}

static void truncated_frame_keeps_full_length(void **state)
{
	static const uint8_t frame[] = { MACS, 8, 0, IP4 };
	struct frame f;

	(void)state;
	assert_true(parse(LINKTYPE_ETHERNET, frame, 14 + 22, sizeof(frame) + 10, &f));
	assert_int_equal(f.payload_len, 22);
	assert_int_equal(f.full_len, 24); /* by its header: the rest was padding */
}

static void wrong_ip_length_is_replaced_by_captured_length(void **state)
{
	uint8_t frame[] = { MACS, 8, 0, IP4 };
	struct frame f;

	(void)state;
	frame[14 + 2] = 0xff; /* longer than the frame */
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.payload_len, 24);
	assert_int_equal(f.full_len, 24);
	frame[14 + 2] = 0;
	frame[14 + 3] = 7; /* shorter than its own header */
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.payload_len, 24);
	frame[14 + 3] = 0; /* a GSO packet has none */
	assert_true(PARSE(LINKTYPE_ETHERNET, frame, &f));
	assert_int_equal(f.payload_len, 24);
	assert_true(
		parse(LINKTYPE_ETHERNET, frame, sizeof(frame), 3, &f)); /* a record longer than its frame */
	assert_int_equal(f.full_len, 24);
}

static void frames_without_valid_ip_are_rejected(void **state)
{
	static const uint8_t arp[] = { MACS, 8, 6, IP4 };
	static const uint8_t wrong_version[] = { MACS, 0x86, 0xdd, IP4, ZERO16 };
	static const uint8_t short_header[] = { MACS, 8, 0, 0x44, 0, 0, 20, ZERO16 };
	static const uint8_t tags[] = { MACS, 0x81, 0, 0, 1, 0x81, 0, 0, 1, 0x81, 0, 0,
					1,    0x81, 0, 0, 1, 0x81, 0, 0, 1, 8,	  0, IP4 };
	static const uint8_t appletalk[] = { 16, 0, 0, 0, IP4 };
	struct frame f;

	(void)state;
	assert_false(PARSE(LINKTYPE_ETHERNET, arp, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, wrong_version, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, short_header, &f));
	assert_false(PARSE(LINKTYPE_ETHERNET, tags, &f));
	assert_false(PARSE(LINKTYPE_NULL, appletalk, &f));
	assert_null(frame_link_find(105));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_is_found_after_each_link_header),
		cmocka_unit_test(vlan_tags_are_skipped_and_outer_one_reported),
		cmocka_unit_test(source_hardware_address_is_read),
		cmocka_unit_test(frame_padding_is_not_payload),
		cmocka_unit_test(truncated_frame_keeps_full_length),
		cmocka_unit_test(wrong_ip_length_is_replaced_by_captured_length),
		cmocka_unit_test(frames_without_valid_ip_are_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
