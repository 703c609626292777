// SPDX-License-Identifier: LGPL-2.1-or-later
/* Packets that ipq filter sends and that its own rules queue: each must be recognised every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "filter/inject.h"

static struct injector in;

/* Makes an IPv4 packet with this number. */
static uint8_t *packet(unsigned number)
{
	static uint8_t bytes[40];

	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 0x45;
	bytes[30] = (uint8_t)(number >> 8);
	bytes[31] = (uint8_t)number;
	return bytes;
}

static bool is_own(unsigned number)
{
	const struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD,
				      .payload = packet(number),
				      .payload_len = 40 };

	return inject_is_own(&in, &p);
}

static int begin(void **state)
{
	(void)state;
	memset(&in, 0, sizeof(in));
	inject_init(&in); /* no sockets are open, so packets that it sends are lost */
	return 0;
}

/*
 * Tests a defect that was corrected: if one packet was forgotten because of another one, each copy was copied again,
 * endlessly.
 */
static void many_packets_are_on_their_way(void **state)
{
	(void)state;
	for (uint64_t key = 0; key < 20; key++) {
		begin(NULL);
		in.key = key * UINT64_C(0x9e3779b97f4a7c15);
		for (unsigned i = 0; i < 500; i++)
			inject_send(&in, packet(i), 40, 0, 1);
		for (unsigned i = 0; i < 500; i++)
			assert_true(is_own(i));
		for (unsigned i = 0; i < 600; i++)
			assert_false(is_own(i));
	}
}

/* More packets than can be stored: the oldest ones are replaced by new ones. */
static void oldest_packets_are_forgotten(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 12000; i++)
		inject_send(&in, packet(i), 40, 0, i < 6000 ? 2 : 1);
	for (unsigned i = 11500; i < 12000; i++) {
		assert_true(is_own(i));
		assert_false(is_own(i));
	}
	assert_false(is_own(1));
}

static void packet_is_recognised_as_often_as_it_comes(void **state)
{
	(void)state;
	assert_false(is_own(1));
	inject_send(&in, packet(1), 40, 0, 2);
	inject_send(&in, packet(1), 40, 0, 1);
	inject_send(&in, packet(2), 40, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(is_own(1));
	assert_false(is_own(1));
	assert_false(is_own(2));
	assert_int_equal(in.failed, 3);
}

/* An application sends the same packet again in the same second. */
static void same_packet_is_sent_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_false(is_own(1));
		inject_send(&in, packet(1), 40, 0, 1);
		assert_true(is_own(1));
	}
}

/* The kernel sets some fields of a packet, and routers change one of them. */
static void packet_may_change_on_its_way(void **state)
{
	static const size_t may[] = { 2, 3, 4, 5, 8, 10, 11 };
	struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD, .payload_len = 40 };

	(void)state;
	for (size_t at = 0; at < 40; at++) {
		bool varies = false;

		for (size_t i = 0; i < sizeof(may) / sizeof(may[0]); i++)
			varies |= may[i] == at;
		inject_send(&in, packet(5), 40, 0, 1);
		p.payload = packet(5);
		p.payload[at] ^= 1;
		assert_int_equal(inject_is_own(&in, &p), varies);
		if (!varies)
			assert_true(is_own(5));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(many_packets_are_on_their_way, begin),
		cmocka_unit_test_setup(oldest_packets_are_forgotten, begin),
		cmocka_unit_test_setup(packet_is_recognised_as_often_as_it_comes, begin),
		cmocka_unit_test_setup(same_packet_is_sent_again, begin),
		cmocka_unit_test_setup(packet_may_change_on_its_way, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
