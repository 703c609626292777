// SPDX-License-Identifier: LGPL-2.1-or-later
/* The contents of a recording and of a line, byte by byte: directions, lengths, checksums, flags, addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h> */
#include <linux/netfilter.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "output/pcapng.h"
#include "output/print.h"

/* A packet: IPv4, TCP from port 80 with PSH and ACK, "hello". */
static const uint8_t tcp4[45] = { 0x45, 0,  0,	  45,	0, 0, 0,  0, 64, 6, 0,	 0,   10,  0,	0,
				  1,	10, 0,	  0,	2, 0, 80, 1, 0,	 0, 0,	 0,   1,   0,	0,
				  0,	2,  0x50, 0x18, 1, 0, 0,  0, 0,	 0, 'h', 'e', 'l', 'l', 'o' };
static uint8_t udp6[48] = { 0x60,	 0,	   0,	     0, 0, 8, 17, 64, [8] = 0x20, [23] = 1,
			    [24] = 0x20, [39] = 2, [40] = 0, 7, 0, 9, 0,  8,  0,	  0 };

/* ---- recordings --------------------------------------------------------------------------------- */

static uint8_t file[8192];

/* Records this packet in a new file and returns its block. */
static const uint8_t *block_of(struct ipq_packet *p, const char *indev, const char *outdev, uint32_t *names)
{
	struct pcapng_record r = { .packet = p, .time = (5LL << 32) + 7, .comment = "drop: drop tcp" };
	int fd = memfd_create("recording", 0);
	struct ipq_error error;
	struct pcapng *f;
	uint32_t type, len;
	char path[64];
	size_t at = 0;

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(r.indev, sizeof(r.indev), "%s", indev);
	snprintf(r.outdev, sizeof(r.outdev), "%s", outdev);
	assert_int_equal(pcapng_open(&f, path, &error), 0);
	assert_int_equal(pcapng_write(f, &r), 0);
	assert_int_equal(pcapng_close(f), 0);
	memset(file, 0, sizeof(file));
	assert_true(pread(fd, file, sizeof(file), 0) > 0);
	close(fd);
	for (*names = 0;; at += len) {
		memcpy(&type, file + at, 4);
		memcpy(&len, file + at + 4, 4);
		assert_true(len >= 12 && at + len < sizeof(file));
		if (type == 6)
			return file + at;
		*names += type == 1;
	}
}

static uint32_t word(const uint8_t *block, size_t at)
{
	uint32_t v;

	memcpy(&v, block + at, 4);
	return v;
}

static void direction_and_interface_follow_the_hook(void **state)
{
	static const uint32_t directions[] = { 1, 1, 0, 2, 2 };
	/* packet types: to this host, to another host, from this host */
	static const uint8_t kinds[] = { 0, 0, 3, 4, 4 };

	(void)state;
	for (uint8_t hook = 0; hook < 5; hook++) {
		uint8_t bytes[45];
		struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_MARK,
					.hook = hook,
					.mark = 0x1234,
					.payload = bytes,
					.payload_len = 45,
					.full_len = 45 };
		const uint8_t *b;
		uint32_t names;

		memcpy(bytes, tcp4, 45);
		b = block_of(&p, hook < 3 ? "in0" : "", hook > 1 ? "out0" : "", &names);
		/* the name of an interface without a name, and that of the packet's interface */
		assert_int_equal(names, 2);
		assert_int_equal(word(b, 8), 1);
		assert_int_equal(word(b, 12), 5); /* the high word of the time is first */
		assert_int_equal(word(b, 16), 7);
		assert_int_equal(b[28 + 1], kinds[hook]);
		assert_memory_equal(b + 28 + 14, "\x08\x00", 2);
		assert_memory_equal(b + 28 + 16, tcp4, 45);
		/* The first option, after the frame and its padding, is the direction. */
		assert_memory_equal(b + 28 + 64, ((uint16_t[]){ 2, 4 }), 4);
		assert_int_equal(word(b, 28 + 68), directions[hook]);
		assert_non_null(memmem(b, word(b, 4), " mark=0x1234", 12));
		assert_non_null(memmem(b, word(b, 4), " verdict=drop\0", 14));
		assert_int_equal(memmem(b, word(b, 4), " indev=in0", 10) != NULL, hook < 3);
		assert_int_equal(memmem(b, word(b, 4), " outdev=out0", 12) != NULL, hook > 1);
	}
}

static void lengths_of_a_cut_packet_differ(void **state)
{
	uint8_t bytes[48];
	struct ipq_packet p = {
		.present = IPQ_HAS_PAYLOAD, .hook = 1, .payload = bytes, .payload_len = 44, .full_len = 1000
	};
	const uint8_t *b;
	uint32_t names;

	(void)state;
	memcpy(bytes, udp6, 48);
	b = block_of(&p, "in0", "", &names);
	assert_int_equal(word(b, 20), 16 + 44);
	assert_int_equal(word(b, 24), 16 + 1000);
	assert_memory_equal(b + 28 + 14, "\x86\xdd", 2);
	p.present = 0; /* a packet without payload */
	b = block_of(&p, "in0", "", &names);
	assert_int_equal(word(b, 20), 16);
}

static void partial_checksum_is_completed_in_the_recording(void **state)
{
	uint8_t bytes[45];
	struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD,
				.hook = 1,
				.payload = bytes,
				.payload_len = 45,
				.full_len = 45,
				.flags = IPQ_PACKET_CHECKSUM_NOT_READY };
	const uint8_t *b;
	uint32_t names;

	(void)state;
	memcpy(bytes, tcp4, 45);
	b = block_of(&p, "in0", "", &names);
	assert_true(b[28 + 16 + 36] != 0 || b[28 + 16 + 37] != 0);
	assert_memory_equal(bytes, tcp4, 45);
}

static void hardware_address_is_limited_and_recorded(void **state)
{
	uint8_t bytes[45];
	struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_HWADDR,
				.hook = 1,
				.payload = bytes,
				.payload_len = 45,
				.full_len = 45,
				.hw_addr_len = 6,
				.hw_addr = { 1, 2, 3, 4, 5, 6 } };
	const uint8_t *b;
	uint32_t names;

	(void)state;
	memcpy(bytes, tcp4, 45);
	b = block_of(&p, "in0", "", &names);
	assert_memory_equal(b + 28 + 2, "\0\1\0\6\1\2\3\4\5\6\0\0", 12);
	p.hw_addr_len = 20;
	b = block_of(&p, "in0", "", &names);
	assert_memory_equal(b + 28 + 14, "\x08\x00", 2);
	assert_memory_equal(b + 28 + 16, tcp4, 45);
}

static void failed_writes_are_reported(void **state)
{
	static uint8_t large[200000];
	struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD,
				.hook = 1,
				.payload = large,
				.payload_len = sizeof(large),
				.full_len = sizeof(large) };
	struct pcapng_record r = { .packet = &p };
	struct ipq_error error;
	struct pcapng *f;
	int err = 0, pair[2];
	char path[64];

	(void)state;
	assert_true(pcapng_open(&f, "/dev/full", &error) < 0);
	assert_int_equal(pipe(pair), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair[1]);
	assert_int_equal(pcapng_open(&f, path, &error), 0);
	close(pair[0]);
	for (unsigned i = 0; i < 3; i++)
		err = pcapng_write(f, &r);
	assert_int_equal(err, -EPIPE);
	assert_int_equal(pcapng_flush(f), -EPIPE);
	assert_int_equal(pcapng_close(f), -EPIPE);
	close(pair[1]);
}

/* ---- lines -------------------------------------------------------------------------------------- */

static char *line_of(const struct print_style *style, const uint8_t *bytes, uint32_t len, uint32_t mark)
{
	uint8_t *exact = malloc(len); /* memory of exactly this size, so that a sanitizer finds an overread */
	struct ipq_packet packet = { .present = IPQ_HAS_PAYLOAD | IPQ_HAS_MARK,
				     .hook = 1,
				     .mark = mark,
				     .payload = exact,
				     .payload_len = len,
				     .full_len = len };
	struct print_packet p = { .packet = &packet, .indev = "eth0" };
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(exact);
	memcpy(exact, bytes, len);
	print_packet(f, style, &p);
	fclose(f);
	free(exact);
	return text;
}

static void flags_have_their_letters(void **state)
{
	static const char letters[] = "FSRP.UEW";
	uint8_t bytes[45];

	(void)state;
	memcpy(bytes, tcp4, 45);
	for (unsigned i = 0; i < 8; i++) {
		char want[8], *text;

		snprintf(want, sizeof(want), " [%c] ", letters[i]);
		bytes[33] = (uint8_t)(1U << i);
		text = line_of(&(struct print_style){ .colour = false }, bytes, 45, 0);
		assert_non_null(strstr(text, want));
		assert_null(strstr(text, "mark"));
		free(text);
	}
}

static void addresses_of_ipv6_are_in_brackets(void **state)
{
	char *text = line_of(&(struct print_style){ .colour = false }, udp6, 48, 3);

	(void)state;
	assert_non_null(strstr(text, " [2000::1]:7 > [2000::2]:9 len 48"));
	assert_non_null(strstr(text, " mark 0x3"));
	free(text);
}

static void payload_begins_after_the_transport_header(void **state)
{
	uint8_t options[49];
	char *text = line_of(&(struct print_style){ .text = true }, tcp4, 45, 0);

	(void)state;
	assert_non_null(strstr(text, "\nhello\n"));
	free(text);
	memcpy(options, tcp4, 40);
	options[32] = 0x60; /* 4 bytes of options */
	memset(options + 40, 1, 4);
	memcpy(options + 44, "hello", 5);
	text = line_of(&(struct print_style){ .text = true }, options, 49, 0);
	assert_non_null(strstr(text, "\nhello\n"));
	free(text);
}

static void bytes_end_with_the_packet(void **state)
{
	(void)state;
	for (uint32_t len = 20; len < 45; len++) {
		char want[8], *text = line_of(&(struct print_style){ .bytes = true, .verbose = true }, tcp4,
					      len, 0);
		const char *last = strrchr(text, '\t');
		unsigned digits = 0;

		assert_non_null(last);
		snprintf(want, sizeof(want), "0x%04x:", (len - 1) / 16 * 16);
		assert_int_equal(strncmp(last + 1, want, 7), 0);
		for (const char *c = last + 8; *c != '\0' && strncmp(c, "   ", 3) != 0 && c < last + 8 + 41;
		     c++)
			digits += *c != ' ';
		assert_int_equal(digits, ((len - 1) % 16 + 1) * 2);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(direction_and_interface_follow_the_hook),
		cmocka_unit_test(lengths_of_a_cut_packet_differ),
		cmocka_unit_test(partial_checksum_is_completed_in_the_recording),
		cmocka_unit_test(hardware_address_is_limited_and_recorded),
		cmocka_unit_test(failed_writes_are_reported),
		cmocka_unit_test(flags_have_their_letters),
		cmocka_unit_test(addresses_of_ipv6_are_in_brackets),
		cmocka_unit_test(payload_begins_after_the_transport_header),
		cmocka_unit_test(bytes_end_with_the_packet),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
