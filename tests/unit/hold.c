/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "filter/hold.h"
#include "util/bytes.h"

static uint8_t buffer[65535];
static struct ipq_packet packet;
static struct hold hold;

/* Makes a segment with this text, from this port. */
static void make(uint16_t port, uint32_t sequence, unsigned flags, const char *text, size_t len)
{
	uint8_t *t = buffer + 20;

	memset(buffer, 0, 40);
	buffer[0] = 0x45;
	put16(buffer + 2, (unsigned)(40 + len));
	buffer[9] = 6;
	memcpy(buffer + 12, "\12\0\0\1\12\0\0\2", 8);
	put16(t, port);
	put16(t + 2, 80);
	put32(t + 4, sequence);
	t[12] = 5 << 4;
	t[13] = (uint8_t)flags;
	memcpy(t + 20, text, len);
	packet = (struct ipq_packet){ .present = IPQ_HAS_PAYLOAD,
				      .payload = buffer,
				      .payload_len = (uint32_t)(40 + len),
				      .full_len = (uint32_t)(40 + len) };
}

static int add(uint16_t port, uint32_t sequence, const char *text)
{
	struct segment s;

	make(port, sequence, IPQ_TCP_ACK, text, strlen(text));
	assert_true(segment_read(&s, &packet));
	return hold_add(&hold, &packet, &s, 0);
}

static struct direction direction_of(uint16_t port)
{
	struct segment s;

	make(port, 0, IPQ_TCP_ACK, "", 0);
	assert_true(segment_read(&s, &packet));
	return s.direction;
}

static void number_and_bytes_of_packets_are_bounded(void **state)
{
	static char large[60000];
	struct segment s;
	unsigned n = 0;

	(void)state;
	for (uint16_t port = 1; add(port, 1, "x") == 0; port++)
		n++;
	assert_int_equal(n, HOLD_PACKETS);
	hold_free(&hold);
	assert_int_equal(hold.count, 0);
	assert_int_equal(hold.bytes, 0);
	make(1, 1, IPQ_TCP_ACK, large, sizeof(large));
	assert_true(segment_read(&s, &packet));
	for (n = 0; hold_add(&hold, &packet, &s, 0) == 0; n++)
		;
	assert_int_equal(n, HOLD_BYTES / packet.payload_len);
	assert_true(hold.bytes <= HOLD_BYTES);
	hold_free(&hold);
}

static void text_that_follows_is_found_in_any_order(void **state)
{
	struct direction d = direction_of(1), other = direction_of(3);
	struct following next;
	int first;

	(void)state;
	assert_int_equal(add(1, 0x00000001, "il"), 0); /* the sequence numbers wrap */
	assert_int_equal(add(2, 0xfffffffe, "no"), 0);
	assert_int_equal(add(1, 0xfffffffe, "eve"), 0);
	assert_int_equal(add(1, 0x00000002, "l and more"), 0);
	first = hold_find(&hold, &d);
	assert_int_equal(first, 2);
	assert_int_equal(hold_find(&hold, &other), -1);
	memset(buffer, 0, sizeof(buffer)); /* the held packet is a copy */
	hold_following(&hold, (unsigned)first, &next);
	assert_int_equal(next.count, 2);
	assert_int_equal(next.part[0].len, 2);
	assert_memory_equal(next.part[0].bytes, "il", 2);
	assert_int_equal(next.part[1].len, 9);
	assert_memory_equal(next.part[1].bytes, " and more", 9);
	assert_false(next.ended);
	ipq_packet_free(hold_take(&hold, 0));
	first = hold_find(&hold, &d);
	hold_following(&hold, (unsigned)first, &next);
	assert_int_equal(next.count, 0); /* there is a gap before the second segment */
	hold_free(&hold);
}

static void fragments_and_cut_packets_are_no_segments(void **state)
{
	struct segment s;

	(void)state;
	make(1, 1, IPQ_TCP_ACK, "evil", 4);
	assert_true(segment_read(&s, &packet));
	packet.full_len++;
	assert_false(segment_read(&s, &packet));
	packet.full_len--;
	buffer[6] = 0x20; /* the flag "more fragments" */
	assert_false(segment_read(&s, &packet));
	buffer[6] = 0;
	make(1, 24 << 16, IPQ_TCP_ACK, "evil", 4);
	buffer[9] = 17; /* a UDP packet: its length field is the first half of the sequence number */
	assert_false(segment_read(&s, &packet));
}

/* A loopback packet passes several hooks, and must be held at each of them separately. */
static void direction_has_its_hook_and_version(void **state)
{
	struct segment at_output, at_input, six;

	(void)state;
	make(1, 1, IPQ_TCP_ACK, "evil", 4);
	packet.hook = 3;
	assert_true(segment_read(&at_output, &packet));
	packet.hook = 1;
	assert_true(segment_read(&at_input, &packet));
	assert_int_equal(hold_add(&hold, &packet, &at_input, 0), 0);
	assert_int_equal(hold_find(&hold, &at_input.direction), 0);
	assert_int_equal(hold_find(&hold, &at_output.direction), -1);
	/* an IPv6 packet whose addresses begin with those of the IPv4 packet and end with zeros */
	memmove(buffer + 40, buffer + 20, 24);
	memset(buffer, 0, 40);
	buffer[0] = 0x60;
	put16(buffer + 4, 24);
	buffer[6] = 6;
	memcpy(buffer + 8, "\12\0\0\1\12\0\0\2", 8);
	packet.payload_len = packet.full_len = 64;
	assert_true(segment_read(&six, &packet));
	assert_int_equal(hold_find(&hold, &six.direction), -1);
	hold_free(&hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(number_and_bytes_of_packets_are_bounded),
		cmocka_unit_test(text_that_follows_is_found_in_any_order),
		cmocka_unit_test(fragments_and_cut_packets_are_no_segments),
		cmocka_unit_test(direction_has_its_hook_and_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
