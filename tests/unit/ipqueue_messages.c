// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ipqueue/messages.c against bytes that Linux 3.0.8's ip_queue and the original library put on a netlink
 * socket, on x86_64 (LP64) and i686 (ILP32). The recordings are little-endian.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/netfilter_ipv4/ip_queue.h>
#include "ipqueue/messages.h"
#include "packet_message.h"

/* Recorded messages: Ethernet, LOCAL_IN, META and PACKET. */
static const char *const packet_meta_lp64 =
	"700000001300000000000000000000006040830e0088ffff0000000000000000eee9036b000000001ab60500000000000100"
	"00007461703000000000000000000000000000000000000000000000000000000000080001000602aabbccddee0000000000"
	"000000000000000000000000";
static const char *const packet_lp64 =
	"a00000001300000000000000000000006040830e0088ffff0000000000000000eee9036b0000000098840600000000000100"
	"00007461703000000000000000000000000000000000000000000000000000000000080001000602aabbccddee0000000000"
	"00000000300000000000000045000030123400004011547e0a0100090a01000115b31e61001c8f646162636465666768696a"
	"6b6c6d6e6f7071727374";
/* A recorded message: a packet of this host, LOCAL_OUT, META. */
static const char *const packet_meta_ilp32 =
	"580000001300000000000000000000008071f4cf000000000000000000000000030000000000000000000000000000000000"
	"00006c6f00000000000000000000000000000000000000000000000000000000000000000000";
static const char *const verdict_lp64 =
	"5800000012000100000000008901000001000000000000006046830e0088ffff300000000000000045000030123400004011"
	"6a877f0000017f00000115b31e61001caafe53414d4553414d4553414d4553414d4553414d45";
static const char *const verdict_ilp32 =
	"4c00000012000100000000008a01000001000000809adfcf30000000450000301234000040116a877f0000017f00000115b3"
	"1e61001caafe53414d4553414d4553414d4553414d4553414d45";
/* The mode message of the original library, which counted the header twice: it has 16 bytes too many. */
static const char *const mode_lp64 =
	"380000001100010000000000a900000009000000000000004000000000000000000000000000000039f5eb2e000000000000"
	"000000000000";
static const char *const mode_ilp32 =
	"2c0000001100010000000000aa0000000900000040000000000000000000000026240508f42f100804a70408";
static const char *const error_lp64 =
	"4c0000000200000000000000a9000000eaffffff380000001100010000000000a90000000900000000000000400000000000"
	"0000000000000000000039f5eb2e000000000000000000000000";
static const char *const error_ilp32 =
	"400000000200000000000000aa000000eaffffff2c0000001100010000000000aa0000000900000040000000000000000000"
	"000026240508f42f100804a70408";
static const char *const ack_lp64 =
	"240000000200000092100000d002000000000000280000001100050092100000d0020000";

/* Converts text to bytes in buf. Returns the length. Skips the test on machines with the other byte order. */
static size_t bytes(unsigned char *buf, size_t room, const char *text)
{
	static const uint16_t one = 1;
	size_t i, n = strlen(text) / 2;

	if (*(const unsigned char *)&one != 1)
		skip();
	assert_true(n <= room);
	for (i = 0; i < n; i++) {
		char two[3] = { text[2 * i], text[2 * i + 1], 0 };

		buf[i] = (unsigned char)strtoul(two, NULL, 16);
	}
	return n;
}

static void recorded_packet_is_decoded(void **state)
{
	unsigned char buf[512];
	size_t n, payload_len;
	const void *payload;
	struct wire_packet p;

	(void)state;
	n = bytes(buf, sizeof(buf), packet_lp64);
	assert_true(get_packet(WIRE_LP64, buf, n, &p, &payload, &payload_len));
	assert_true(p.packet_id == 0xffff88000e834060);
	assert_true(p.mark == 0);
	assert_true(p.timestamp_sec == 1795418606 && p.timestamp_usec == 427160);
	assert_int_equal(p.hook, 1);
	assert_string_equal(p.indev, "tap0");
	assert_string_equal(p.outdev, "");
	assert_int_equal(p.hw_protocol, 0x0800);
	assert_int_equal(p.hw_type, 1);
	assert_int_equal(p.hw_addrlen, 6);
	assert_memory_equal(p.hw_addr, "\x02\xaa\xbb\xcc\xdd\xee\0\0", 8);
	assert_int_equal(payload_len, 48);
	assert_ptr_equal(payload, buf + 112);

	n = bytes(buf, sizeof(buf), packet_meta_ilp32);
	assert_true(get_packet(WIRE_ILP32, buf, n, &p, &payload, &payload_len));
	assert_true(p.packet_id == 0xcff47180);
	assert_int_equal(p.hook, 3);
	assert_string_equal(p.indev, "");
	assert_string_equal(p.outdev, "lo");
	assert_int_equal(payload_len, 0);
}

/* Decoding and encoding again must give the kernel's bytes, and write nothing after them. */
static void packet_is_encoded_as_recorded(void **state)
{
	static const struct {
		enum wire_layout layout;
		const char *const *text;
	} all[] = { { WIRE_LP64, &packet_meta_lp64 },
		    { WIRE_LP64, &packet_lp64 },
		    { WIRE_ILP32, &packet_meta_ilp32 } };
	unsigned char buf[512], out[512];
	size_t i, n, payload_len;
	const void *payload;
	struct wire_packet p;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		n = bytes(buf, sizeof(buf), *all[i].text);
		assert_true(get_packet(all[i].layout, buf, n, &p, &payload, &payload_len));
		memset(out, 0x5a, sizeof(out));
		assert_int_equal(wire_put_packet(all[i].layout, out, &p, payload_len), n);
		assert_int_equal(out[wire_packet_head(all[i].layout)], 0x5a);
		assert_memory_equal(out, buf, wire_packet_head(all[i].layout));
	}
}

static void offsets_match_the_structs_of_this_program(void **state)
{
	unsigned char buf[256] = { 0 };
	struct wire_packet p = { .packet_id = 0x11223344,
				 .mark = 0xdeadbeef,
				 .timestamp_sec = 5,
				 .timestamp_usec = 7,
				 .hook = 4,
				 .indev = "in0",
				 .outdev = "fifteenletters.",
				 .hw_protocol = 0x86dd,
				 .hw_type = 772,
				 .hw_addrlen = 6,
				 .hw_addr = { 1, 2, 3, 4, 5, 6, 7, 8 } };
	ipq_packet_msg_t m;

	(void)state;
	assert_int_equal(wire_packet_head(WIRE_NATIVE), 16 + sizeof(m));
	assert_int_equal(wire_request_head(WIRE_NATIVE), 16 + sizeof(ipq_peer_msg_t));
	wire_put_packet(WIRE_NATIVE, buf, &p, 33);
	memcpy(&m, buf + 16, sizeof(m));
	assert_true(m.packet_id == 0x11223344 && m.mark == 0xdeadbeef);
	assert_true(m.timestamp_sec == 5 && m.timestamp_usec == 7 && m.hook == 4);
	assert_string_equal(m.indev_name, "in0");
	assert_string_equal(m.outdev_name, "fifteenletters.");
	assert_memory_equal(&m.hw_protocol, "\x86\xdd", 2);
	assert_int_equal(m.hw_type, 772);
	assert_int_equal(m.hw_addrlen, 6);
	assert_memory_equal(m.hw_addr, p.hw_addr, 8);
	assert_int_equal(m.data_len, 33);
}

static void nlmsg_len_is_rounded_up_to_four(void **state)
{
	unsigned char buf[256];
	struct wire_packet p = { 0 };
	struct nlmsghdr h;

	(void)state;
	assert_int_equal(wire_put_packet(WIRE_LP64, buf, &p, 21), 133);
	memcpy(&h, buf, sizeof(h));
	assert_int_equal(h.nlmsg_len, 136);
	assert_int_equal(h.nlmsg_type, IPQM_PACKET);
	assert_int_equal(h.nlmsg_flags | h.nlmsg_seq | h.nlmsg_pid, 0);
	assert_int_equal(wire_put_packet(WIRE_ILP32, buf, &p, 65535), 65623);
	memcpy(&h, buf, sizeof(h));
	assert_int_equal(h.nlmsg_len, 65624);
}

static void recorded_requests_are_decoded(void **state)
{
	unsigned char buf[256];
	struct wire_request r;
	size_t n;

	(void)state;
	n = bytes(buf, sizeof(buf), mode_lp64);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, n, &r), 0);
	assert_int_equal(r.len, 56);
	assert_int_equal(r.type, IPQM_MODE);
	assert_int_equal(r.flags, NLM_F_REQUEST);
	assert_int_equal(r.pid, 0xa9);
	assert_true(r.mode.value == 9 && r.mode.range == 64);
	n = bytes(buf, sizeof(buf), mode_ilp32);
	assert_int_equal(wire_get_request(WIRE_ILP32, buf, n, &r), 0);
	assert_true(r.len == 44 && r.mode.value == 9 && r.mode.range == 64);

	n = bytes(buf, sizeof(buf), verdict_lp64);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, n, &r), 0);
	assert_true(r.verdict.value == 1 && r.verdict.id == 0xffff88000e834660);
	assert_true(r.verdict.data_len == 48 && r.verdict.payload_len == 48 && r.verdict.payload == buf + 40);
	n = bytes(buf, sizeof(buf), verdict_ilp32);
	assert_int_equal(wire_get_request(WIRE_ILP32, buf, n, &r), 0);
	assert_true(r.verdict.value == 1 && r.verdict.id == 0xcfdf9a80);
	assert_true(r.verdict.data_len == 48 && r.verdict.payload_len == 48 && r.verdict.payload == buf + 28);
}

static void requests_are_encoded_as_recorded(void **state)
{
	unsigned char buf[256], out[256];
	size_t n;

	(void)state;
	n = bytes(buf, sizeof(buf), verdict_lp64);
	assert_int_equal(wire_put_verdict(WIRE_LP64, out, 0x189, 1, 0xffff88000e834660, 48), n);
	assert_memory_equal(out, buf, 40);
	n = bytes(buf, sizeof(buf), verdict_ilp32);
	assert_int_equal(wire_put_verdict(WIRE_ILP32, out, 0x18a, 1, 0xcfdf9a80, 48), n);
	assert_memory_equal(out, buf, 28);

	/* A mode message without the surplus bytes of the original library. */
	bytes(buf, sizeof(buf), mode_lp64);
	assert_int_equal(wire_put_mode(WIRE_LP64, out, 0xa9, 9, 64), 40);
	assert_int_equal(out[0], 40);
	assert_memory_equal(out + 4, buf + 4, 36);
	bytes(buf, sizeof(buf), mode_ilp32);
	assert_int_equal(wire_put_mode(WIRE_ILP32, out, 0xaa, 9, 64), 28);
	assert_int_equal(out[0], 28);
	assert_memory_equal(out + 4, buf + 4, 24);
}

static void wrong_length_and_short_request_give_different_errors(void **state)
{
	unsigned char buf[256] = { 0 };
	struct wire_request r;
	uint32_t len;

	(void)state;
	wire_put_mode(WIRE_LP64, buf, 7, 1, 0);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 15, &r), -EBADMSG);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 39, &r),
			 -EBADMSG); /* nlmsg_len exceeds the datagram */
	len = 15;
	memcpy(buf, &len, 4);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 40, &r), -EBADMSG);
	len = UINT32_MAX;
	memcpy(buf, &len, 4);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 40, &r), -EBADMSG);
	len = 32;
	memcpy(buf, &len, 4);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 40, &r), -EINVAL);
	assert_int_equal(r.pid, 7); /* the header is decoded even so, for the answer */
	assert_int_equal(wire_get_request(WIRE_ILP32, buf, 40, &r), 0);
}

/* data_len in a verdict is set by the program; payload_len is the number of bytes within nlmsg_len. */
static void payload_of_verdict_ends_with_nlmsg_len(void **state)
{
	unsigned char buf[256] = { 0 };
	struct wire_request r;
	uint32_t len = 40 + 40;

	(void)state;
	wire_put_verdict(WIRE_LP64, buf, 7, 1, 1, 48);
	memcpy(buf, &len, 4);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 88, &r), 0);
	assert_true(r.verdict.data_len == 48 && r.verdict.payload_len == 40);
	len = 40;
	memcpy(buf, &len, 4);
	assert_int_equal(wire_get_request(WIRE_LP64, buf, 88, &r), 0);
	assert_true(r.verdict.data_len == 48 && r.verdict.payload_len == 0);
	assert_null(r.verdict.payload);
}

static void errors_quote_the_request_as_recorded(void **state)
{
	unsigned char request[256], expected[256], out[256];
	size_t n, q;

	(void)state;
	q = bytes(request, sizeof(request), mode_lp64);
	n = bytes(expected, sizeof(expected), error_lp64);
	assert_int_equal(wire_put_error(out, EINVAL, 0xa9, request, q), n);
	assert_memory_equal(out, expected, n);
	q = bytes(request, sizeof(request), mode_ilp32);
	n = bytes(expected, sizeof(expected), error_ilp32);
	assert_int_equal(wire_put_error(out, EINVAL, 0xaa, request, q), n);
	assert_memory_equal(out, expected, n);
	/* An acknowledgement quotes only the header. The recorded one ends with the header of its request. */
	n = bytes(expected, sizeof(expected), ack_lp64);
	memcpy(request, expected + 20, 16);
	assert_int_equal(wire_put_error(out, 0, 0x2d0, request, 16), n);
	assert_memory_equal(out, expected, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_packet_is_decoded),
		cmocka_unit_test(packet_is_encoded_as_recorded),
		cmocka_unit_test(offsets_match_the_structs_of_this_program),
		cmocka_unit_test(nlmsg_len_is_rounded_up_to_four),
		cmocka_unit_test(recorded_requests_are_decoded),
		cmocka_unit_test(requests_are_encoded_as_recorded),
		cmocka_unit_test(wrong_length_and_short_request_give_different_errors),
		cmocka_unit_test(payload_of_verdict_ends_with_nlmsg_len),
		cmocka_unit_test(errors_quote_the_request_as_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
