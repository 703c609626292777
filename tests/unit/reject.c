// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which packets are answered when they are rejected, and with what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <ipq_edit.h>
#include "filter/reject.h"
#include "util/bytes.h"

static uint8_t packet[1500], answer[REJECT_MAX];

/* Builds an IPv4 packet of this length. data: the first bytes of its transport header. */
static void build(size_t len, uint8_t protocol, const void *data, size_t n)
{
	static const uint8_t addresses[] = { 10, 0, 0, 1, 10, 0, 0, 2 };

	memset(packet, 0, sizeof(packet));
	packet[0] = 0x45;
	put16(packet + 2, (unsigned)len);
	packet[8] = 9;
	packet[9] = protocol;
	memcpy(packet + 12, addresses, sizeof(addresses));
	memcpy(packet + 20, data, n);
}

static size_t reject(size_t len)
{
	struct decoded d;

	decode(&d, packet, (uint32_t)len);
	return reject_answer(answer, &d, packet, (uint32_t)len, (uint32_t)len, NULL);
}

/* Rejects a TCP packet with these flags and `text` bytes of payload. Returns the length of the answer. */
static size_t reject_tcp(uint8_t flags, size_t text)
{
	const uint8_t tcp[20] = { 0, 7, 0, 80, 0, 0, 1, 0, 0, 0, 2, 0, 0x50, flags };

	build(40 + text, 6, tcp, sizeof(tcp));
	return reject(40 + text);
}

static void tcp_is_reset_with_the_numbers_that_its_sender_accepts(void **state)
{
	static const struct {
		uint8_t flags;
		size_t text;
		uint32_t acknowledges;
	} all[] = { { IPQ_TCP_SYN, 0, 0x101 },
		    { IPQ_TCP_FIN, 0, 0x101 },
		    { 0, 5, 0x105 },
		    { IPQ_TCP_SYN | IPQ_TCP_FIN, 5, 0x107 } };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(reject_tcp(all[i].flags, all[i].text), 40);
		assert_int_equal(answer[33], IPQ_TCP_RST | IPQ_TCP_ACK);
		assert_int_equal(get32(answer + 28), all[i].acknowledges);
		assert_int_equal(get32(answer + 24), 0);
		assert_int_equal(get16(answer + 20), 80);
		assert_int_equal(get16(answer + 22), 7);
		assert_memory_equal(answer + 12, packet + 16, 4);
		assert_memory_equal(answer + 16, packet + 12, 4);
		assert_int_equal(ipq_checksum_verify(answer, 40), 0);
	}
	assert_int_equal(reject_tcp(IPQ_TCP_ACK, 5), 40);
	assert_int_equal(answer[33], IPQ_TCP_RST);
	assert_int_equal(get32(answer + 24), 0x200);
	assert_int_equal(get32(answer + 28), 0);
	assert_int_equal(reject_tcp(IPQ_TCP_RST, 0), 0);
	assert_int_equal(reject_tcp(IPQ_TCP_RST | IPQ_TCP_ACK, 0), 0);
}

static void packets_of_many_or_no_hosts_are_not_answered(void **state)
{
	static const struct {
		unsigned at;
		uint8_t address[4];
		bool answered;
	} all[] = { { 16, { 224, 0, 0, 1 }, false },	   { 16, { 239, 255, 0, 1 }, false },
		    { 16, { 255, 255, 255, 255 }, false }, { 12, { 224, 0, 0, 1 }, false },
		    { 12, { 0, 0, 0, 0 }, false },	   { 12, { 255, 255, 255, 255 }, false },
		    { 16, { 223, 255, 255, 255 }, true },  { 12, { 0, 0, 0, 1 }, true } };
	const uint8_t udp[8] = { 0, 7, 0, 80, 0, 8 };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		build(28, 17, udp, sizeof(udp));
		memcpy(packet + all[i].at, all[i].address, 4);
		assert_int_equal(reject(28) > 0, all[i].answered);
	}
}

static void errors_and_later_fragments_are_not_answered(void **state)
{
	static const struct {
		uint8_t type;
		bool answered;
	} all[] = { { 8, true }, { 13, true }, { 0, false }, { 3, false }, { 5, false }, { 11, false } };
	const uint8_t udp[8] = { 0, 7, 0, 80, 0, 8 };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		build(28, 1, &all[i].type, 1);
		assert_int_equal(reject(28) > 0, all[i].answered);
	}
	build(28, 17, udp, sizeof(udp));
	packet[7] = 1; /* a later fragment */
	assert_int_equal(reject(28), 0);
	packet[7] = 0;
	packet[6] = 0x20; /* the first fragment */
	assert_true(reject(28) > 0);
}

static void error_quotes_as_much_as_fits(void **state)
{
	const uint8_t udp[8] = { 0, 7, 0, 80, 0x05, 0xc8 };

	(void)state;
	build(1500, 17, udp, sizeof(udp));
	assert_int_equal(reject(1500), 576); /* RFC 1812 */
	assert_int_equal(answer[20], 3);
	assert_int_equal(answer[21], 3);
	assert_memory_equal(answer + 28, packet, 576 - 28);
	assert_int_equal(ipq_checksum_verify(answer, 576), 0);
	assert_int_equal(reject(100), 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_is_reset_with_the_numbers_that_its_sender_accepts),
		cmocka_unit_test(packets_of_many_or_no_hosts_are_not_answered),
		cmocka_unit_test(errors_and_later_fragments_are_not_answered),
		cmocka_unit_test(error_quotes_as_much_as_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
