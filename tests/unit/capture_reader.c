/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pcapng: blocks of every kind, clocks of every resolution, and damage. Pcap is tested with source_pcap. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <cmocka.h>
#include <unistd.h>
#include "capture/file.h"
#include "capture/unpack.h"
#include "capture_file.h"

static struct capture_file in;
static struct capture_reader *reader;
static struct capture_record record;
static const uint8_t *data;
static struct ipq_error error;

static void put_block(uint32_t type, const void *head, uint32_t head_len, const void *body, uint32_t body_len)
{
	static const uint8_t zeros[4];
	uint32_t padding = -(head_len + body_len) & 3, len = 12 + head_len + body_len + padding;

	put32(&in, type);
	put32(&in, len);
	put(&in, head, head_len);
	put(&in, body, body_len);
	put(&in, zeros, padding);
	put32(&in, len);
}

/* Writes the description of an interface. options: a multiple of 4 bytes, in the file's byte order. */
static void put_interface(uint16_t link_type, uint32_t snaplen, const void *options, uint32_t len)
{
	put32(&in, 1);
	put32(&in, 20 + len);
	put16(&in, link_type);
	put16(&in, 0);
	put32(&in, snaplen);
	put(&in, options, len);
	put32(&in, 20 + len);
}

static void put_packet(uint32_t interface, uint64_t stamp, uint32_t caplen, uint32_t len)
{
	uint8_t bytes[100];
	uint32_t whole = 32 + ((caplen + 3) & ~3U);

	memset(bytes, 0x77, sizeof(bytes));
	put32(&in, 6);
	put32(&in, whole);
	put32(&in, interface);
	put32(&in, (uint32_t)(stamp >> 32));
	put32(&in, (uint32_t)stamp);
	put32(&in, caplen);
	put32(&in, len);
	put(&in, bytes, (caplen + 3) & ~3U);
	put32(&in, whole);
}

static int begin(void)
{
	return capture_reader_open(&reader, place(&in), &error);
}

static int next(void)
{
	return capture_read(reader, &record, &data, &error);
}

static void clocks_of_every_resolution_are_read_in_nanoseconds(void **state)
{
	static const struct {
		uint8_t resolution;
		uint64_t stamp;
		int64_t sec;
		uint64_t nsec;
	} clocks[] = {
		{ 0, 77, 77, 0 },
		{ 3, 77001, 77, 1000000 },
		{ 6, 77000001, 77, 1000 },
		{ 9, 77000000001, 77, 1 },
		{ 12, 77000000001999, 77, 1 },
		{ 19, 10000000990000000000U, 1, 99 },
		{ 0x80, 77, 77, 0 },
		{ 0x80 | 1, 155, 77, 500000000 },
		{ 0x80 | 32, (77ULL << 32) + (1U << 31), 77, 500000000 },
		{ 0x80 | 40, (77ULL << 40) + (1ULL << 38), 77, 250000000 },
		{ 0x80 | 63, (1ULL << 63) + (1ULL << 62), 1, 500000000 },
		/* These clocks cannot count a second. */
		{ 20, 12300000000000000000U, 0, 123000000 },
		{ 127, UINT64_MAX, 0, 0 },
		{ 0x80 | 64, 1ULL << 63, 0, 500000000 },
		{ 0x80 | 127, UINT64_MAX, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(clocks) / sizeof(clocks[0]); i++) {
		const uint8_t r = clocks[i / 2].resolution;
		const uint8_t little[] = { 9, 0, 1, 0, r, 0, 0, 0, 0, 0, 0, 0 },
			      big[] = { 0, 9, 0, 1, r, 0, 0, 0 };

		put_section(&in,
			    i % 2 != HOST_IS_BIG); /* first a little-endian file, then a big-endian one */
		put_interface(1, 0, i % 2 ? big : little, i % 2 ? sizeof(big) : sizeof(little));
		put_packet(0, clocks[i / 2].stamp, 60, 1500);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_int_equal(record.sec, clocks[i / 2].sec);
		assert_int_equal(record.nsec, clocks[i / 2].nsec);
		assert_int_equal(record.caplen, 60);
		assert_int_equal(record.len, 1500);
		assert_int_equal(data[59], 0x77);
		assert_int_equal(next(), -ENODATA);
		capture_reader_close(reader);
	}
}

static void clock_offset_is_added(void **state)
{
	static const uint8_t little[] = { 2, 0, 3, 0, 'e', 't', 'h', 0, 14, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0 };
	static const uint8_t big[] = { 0, 14, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0 };

	(void)state;
	for (int is_big = 0; is_big < 2; is_big++) {
		put_section(&in, is_big != HOST_IS_BIG);
		put_interface(1, 0, is_big ? big : little, is_big ? sizeof(big) : sizeof(little));
		put_packet(0, 5000000, 60, 60);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_int_equal(record.sec, (1LL << 32) + 5);
		capture_reader_close(reader);
	}
}

static void unknown_blocks_are_skipped_and_all_packet_blocks_read(void **state)
{
	static const uint8_t big_block[100000];
	uint32_t simple = 30, old[] = { 0, 0, 9000000, 20, 40 };

	(void)state;
	put_section(&in, false);
	put_interface(1, 25, NULL, 0);
	put_block(0xbad, big_block, sizeof(big_block), NULL, 0);
	put_block(3, &simple, 4, big_block, 25); /* truncated to the interface's snaplen */
	put_block(5, big_block, 12, NULL, 0);
	put_block(2, old, sizeof(old), big_block, 20);
	assert_int_equal(begin(), 0);
	assert_int_equal(next(), 1);
	assert_int_equal(record.caplen, 25);
	assert_int_equal(record.len, 30);
	assert_int_equal(next(), 1);
	assert_int_equal(record.sec, 9);
	assert_int_equal(record.caplen, 20);
	assert_int_equal(record.len, 40);
	assert_int_equal(next(), -ENODATA);
	assert_int_equal(capture_reader_position(reader), in.len);
	capture_reader_close(reader);
}

static void second_section_has_its_own_byte_order_and_interfaces(void **state)
{
	static struct capture_file first;

	(void)state;
	put_section(&in, false);
	put_interface(1, 0, NULL, 0);
	put_packet(0, 1000000, 60, 60);
	first = in;
	put_section(&in, true);
	put_interface(1, 0, NULL, 0);
	put_packet(0, 2000000, 61, 61);
	put_packet(1, 3000000, 61, 61);
	put(&first, in.bytes, in.len);
	in = first;
	assert_int_equal(begin(), 0);
	assert_int_equal(next(), 1);
	assert_int_equal(next(), 1);
	assert_int_equal(record.sec, 2);
	assert_int_equal(record.caplen, 61);
	assert_int_equal(next(), -EBADMSG);
	assert_non_null(strstr(error.text, "packet 3"));
	assert_non_null(strstr(error.text, "interface that the file does not describe"));
	capture_reader_close(reader);
}

static void cut_file_is_reported_with_the_position(void **state)
{
	size_t second, whole;
	char text[128];

	(void)state;
	put_section(&in, false);
	put_interface(1, 0, NULL, 0);
	put_packet(0, 1, 60, 60);
	second = in.len;
	put_packet(0, 2, 60, 60);
	whole = in.len;
	for (in.len = second + 1; in.len < whole; in.len++) {
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_int_equal(next(), -EBADMSG);
		snprintf(text, sizeof(text), "cut: packet 2 begins at byte %zu, the file ends at byte %zu",
			 second, in.len);
		assert_non_null(strstr(error.text, text));
		capture_reader_close(reader);
	}
	for (in.len = 1; in.len < 28; in.len++)
		assert_int_equal(begin(), -EINVAL);
	for (in.len = 29; in.len < 28 + 20; in.len++) {
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), -EBADMSG);
		capture_reader_close(reader);
	}
}

static void damaged_blocks_are_refused(void **state)
{
	static const struct {
		size_t offset; /* offset from the beginning of the packet's block */
		uint32_t value;
		const char *word;
	} damages[] = {
		{ 4, 0, "impossible length" },
		{ 4, 8, "impossible length" },
		{ 4, 93, "impossible length" },
		{ 4, 28, "impossible length" },
		{ 4, 0xfffffffc, "impossible length" },
		{ 4, 88, "two lengths" },
		{ 8, 1, "does not describe" },
		{ 20, 61, "longer than its block" },
		{ 20, UINT32_MAX, "longer than its block" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		put_section(&in, false);
		put_interface(1, 0, NULL, 0);
		put_packet(0, 1, 60, 60);
		memcpy(in.bytes + 48 + damages[i].offset, &damages[i].value, 4);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), -EBADMSG);
		assert_non_null(strstr(error.text, damages[i].word));
		assert_non_null(strstr(error.text, "packet 1, which begins at byte 48"));
		capture_reader_close(reader);
	}
}

static void packets_have_the_link_type_of_their_interface(void **state)
{
	(void)state;
	put_section(&in, false);
	put_interface(249, 0, NULL, 0);
	put_interface(1, 0, NULL, 0);
	put_packet(1, 1, 60, 60);
	put_packet(0, 1, 60, 60);
	assert_int_equal(begin(), 0);
	assert_int_equal(next(), 1);
	assert_int_equal(record.link_type, 1);
	assert_int_equal(next(), 1);
	assert_int_equal(record.link_type, 249);
	assert_int_equal(next(), -ENODATA);
	capture_reader_close(reader);
}

/* Every byte of the file is in its header or in a record, including the bytes of blocks longer than the buffer. */
static void kept_blocks_and_packets_are_the_whole_file(void **state)
{
	static uint8_t large[100000], copy[1 << 17];
	size_t len, blocks = 0;
	const void *header;

	(void)state;
	put_section(&in, false);
	put_block(0xbad, large, sizeof(large), NULL, 0);
	put_interface(1, 0, NULL, 0);
	put_packet(0, 1, 61, 61);
	put_block(5, large, 12, NULL, 0);
	assert_int_equal(begin(), 0);
	capture_reader_keep_blocks(reader);
	header = capture_reader_header(reader, &len);
	memcpy(copy, header, len);
	while (next() == 1) {
		memcpy(copy + len, data - record.head, capture_record_size(&record));
		len += capture_record_size(&record);
		blocks += record.kind == CAPTURE_BLOCK;
	}
	assert_int_equal(blocks, 3);
	assert_int_equal(len, in.len);
	assert_memory_equal(copy, in.bytes, len);
	capture_reader_close(reader);
}

/* 8.5 seconds before 1970: the seconds are rounded down, and the nanoseconds count from there. */
static void times_before_1970_are_read(void **state)
{
	static const uint8_t little[] = { 14, 0, 8, 0, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
			     big[] = { 0, 14, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf6 };

	(void)state;
	for (int is_big = 0; is_big < 2; is_big++) {
		put_section(&in, is_big != HOST_IS_BIG);
		put_interface(1, 0, is_big ? big : little, 12);
		put_packet(0, 1500000, 60, 60);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_int_equal(record.sec, -9);
		assert_int_equal(record.nsec, 500000000);
		capture_reader_close(reader);
	}
}

static void other_version_of_pcapng_is_refused(void **state)
{
	(void)state;
	put_section(&in, HOST_IS_BIG);
	in.bytes[12] = 2;
	assert_int_equal(begin(), -EINVAL);
	assert_non_null(strstr(error.text, "version"));
}

/* Checks that the message contains this text, so that another error is noticed. */
static void expect_damage(const char *text)
{
	int n = begin() == 0 ? next() : -EBADMSG;

	assert_int_equal(n, -EBADMSG);
	assert_non_null(strstr(error.text, text));
	capture_reader_close(reader);
}

static void numbers_beyond_their_limits_are_damage(void **state)
{
	uint8_t options[40] = { 0 };

	(void)state;
	put_header(&in, false, false, 1);
	put32(&in, 0);
	put32(&in, 0);
	put32(&in, 262145);
	put32(&in, 262145);
	expect_damage("it is longer than a packet can be");
	put_section(&in, false);
	put_interface(1, 0, options, 0);
	in.bytes[28 + 4] = in.bytes[28 + 16] = 22; /* the length is not a multiple of 4 */
	expect_damage("impossible length");
}

/* More interfaces than fit into the files of the other tests. */
static void too_many_interfaces_are_damage(void **state)
{
	static uint8_t blocks[64 * 20];
	char path[32];
	int fd = memfd_create("interfaces", MFD_CLOEXEC), n;

	(void)state;
	assert_true(fd >= 0);
	put_section(&in, false);
	assert_int_equal(write(fd, in.bytes, in.len), in.len);
	in.len = 0;
	put_interface(1, 0, blocks, 0);
	for (unsigned i = 0; i < 64; i++)
		memcpy(blocks + i * (size_t)20, in.bytes, 20);
	for (unsigned i = 0; i <= 65536 / 64; i++)
		assert_int_equal(write(fd, blocks, sizeof(blocks)), sizeof(blocks));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = capture_reader_open(&reader, path, &error) == 0 ? next() : 0;
	assert_int_equal(n, -EBADMSG);
	assert_non_null(strstr(error.text, "too many interfaces"));
	capture_reader_close(reader);
	close(fd);
}

static void name_of_interface_that_is_too_long_is_not_used(void **state)
{
	(void)state;
	for (uint16_t len = 14; len < 24; len++) {
		uint8_t options[32] = { 0 };

		put_section(&in, false);
		memcpy(options, &(uint16_t){ 2 }, 2);
		memcpy(options + 2, &len, 2);
		memset(options + 4, 'n', len);
		put_interface(1, 0, options, 4 + ((len + 3U) & ~3U) + 4);
		put_packet(0, 0, 4, 4);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_int_equal(strnlen(record.interface, sizeof(record.interface)), len < 16 ? len : 0);
		capture_reader_close(reader);
	}
}

static void other_text_of_an_interface_is_no_name(void **state)
{
	uint8_t options[12] = { 0 };

	(void)state;
	for (uint16_t code = 2; code < 13; code++) {
		if (code == 9) /* the resolution of its clock */
			continue;
		put_section(&in, false);
		memcpy(options, &code, 2);
		memcpy(options + 2, &(uint16_t){ 4 }, 2);
		memcpy(options + 4, "text", 4);
		put_interface(1, 0, options, sizeof(options));
		put_packet(0, 0, 4, 4);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_string_equal(record.interface, code == 2 ? "text" : "");
		capture_reader_close(reader);
	}
}

/* Opens a file that ends with the head in `in`, len zeros and `end`. */
static void open_with_zeros(uint32_t len, const void *end, size_t end_len)
{
	char path[32];
	int fd = memfd_create("large", MFD_CLOEXEC);

	assert_int_equal(write(fd, in.bytes, in.len), in.len);
	assert_int_equal(pwrite(fd, end, end_len, (off_t)(in.len + len)), end_len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(capture_reader_open(&reader, path, &error), 0);
	close(fd);
}

static void packet_may_have_256_kib(void **state)
{
	(void)state;
	for (uint32_t len = 262144; len <= 262144 + 4; len += 4) {
		const uint32_t whole = 32 + len;
		int expected = len == 262144 ? 1 : -EBADMSG;

		put_section(&in, false);
		put_interface(1, 0, NULL, 0);
		put32(&in, 6);
		put32(&in, whole);
		put32(&in, 0);
		put32(&in, 0);
		put32(&in, 0);
		put32(&in, len);
		put32(&in, len);
		open_with_zeros(len, &whole, 4);
		assert_int_equal(next(), expected);
		capture_reader_close(reader);
		put_header(&in, false, false, 1);
		put_record(&in, 0, 0, NULL, 0, len);
		memcpy(in.bytes + 24 + 8, &len, 4);
		open_with_zeros(len - 1, "", 1);
		assert_int_equal(next(), expected);
		capture_reader_close(reader);
	}
}

static void option_beyond_its_block_is_ignored(void **state)
{
	uint8_t options[12] = { 0 };

	(void)state;
	for (uint16_t len = 1; len < 3000; len += 7) {
		put_section(&in, false);
		memcpy(options, &(uint16_t){ 2 }, 2);
		memcpy(options + 2, &len, 2);
		memset(options + 4, 'n', 4);
		put_interface(1, 0, options, sizeof(options));
		put_packet(0, 0, 4, 4);
		assert_int_equal(begin(), 0);
		assert_int_equal(next(), 1);
		assert_int_equal(record.interface[0], len <= 8 ? 'n' : 0);
		capture_reader_close(reader);
	}
}

static void time_that_no_number_holds_is_0(void **state)
{
	const int64_t offset = INT64_MAX;
	uint8_t options[16] = { 0 };

	(void)state;
	put_section(&in, false);
	memcpy(options, &(uint16_t){ 14 }, 2);
	memcpy(options + 2, &(uint16_t){ 8 }, 2);
	memcpy(options + 4, &offset, 8);
	put_interface(1, 0, options, sizeof(options));
	put_packet(0, 77000000, 4, 4);
	assert_int_equal(begin(), 0);
	assert_int_equal(next(), 1);
	assert_int_equal(record.sec, 0);
	capture_reader_close(reader);
}

static void pcap_says_how_long_its_check_sequences_are(void **state)
{
	(void)state;
	put_header(&in, false, false, 1 | 0x04000000 | 2U << 28);
	put_frame(&in, 1, 1, 100, 1);
	assert_int_equal(begin(), 0);
	assert_int_equal(next(), 1);
	assert_int_equal(record.fcs_len, 4);
	assert_int_equal(record.link_type, 1);
	capture_reader_close(reader);
	put_header(&in, false, false, 1);
	memcpy(in.bytes + 4, &(uint16_t){ 1 }, 2); /* version 1.4, which does not exist */
	assert_int_equal(begin(), -EINVAL);
}

/*
 * Unpacks n bytes with this much room in each read, and without further input. Returns the number of unpacked
 * bytes.
 */
static size_t unpacked(const uint8_t *packed, size_t n, size_t room)
{
	struct unpack *u;
	const char *format;
	uint8_t bytes[1000];
	size_t sum = 0;
	ssize_t got;
	int none[2];

	assert_int_equal(pipe2(none, O_NONBLOCK), 0);
	assert_int_equal(unpack_open(&u, packed, n, &format), 0);
	while (unpack_ready(u) && (got = unpack_read(u, none[0], bytes, room)) > 0)
		sum += (size_t)got;
	unpack_close(u);
	close(none[0]);
	close(none[1]);
	return sum;
}

/* The next bytes of a pipe may come much later. */
static void unpacked_bytes_do_not_wait_for_more_input(void **state)
{
	static const uint8_t zeros_1000[] = { 0x1f, 0x8b, 8,	0,    0, 0,    0,    0,	   2,
					      3,    0x62, 0x60, 0x18, 5, 0xa3, 0x60, 0x14, 0x0c,
					      0x77, 0,	  0,	0,    0, 0xff, 0xff };
	struct unpack *u;
	const char *format;

	(void)state;
	if (unpack_open(&u, zeros_1000, sizeof(zeros_1000), &format) == -EOPNOTSUPP)
		skip();
	unpack_close(u);
	assert_int_equal(unpacked(zeros_1000, sizeof(zeros_1000), 1000), 1000);
	for (size_t n = 10; n <= sizeof(zeros_1000); n++)
		for (size_t room = 1; room < 1000; room += 37)
			assert_int_equal(unpacked(zeros_1000, n, room), unpacked(zeros_1000, n, 1000));
}

/* Several times as long as the buffer for packed bytes. The blocks of deflate are stored: they are not packed. */
static void long_packed_file_is_read_to_its_end(void **state)
{
	enum { LEN = 60000, PACKETS = 30 };
	static uint8_t block[5 + 16 + LEN];
	char path[32];
	int fd = memfd_create("packed", MFD_CLOEXEC), err;

	(void)state;
	assert_int_equal(write(fd, "\x1f\x8b\x08\0\0\0\0\0\0\x03\0\x18\0\xe7\xff", 15), 15);
	put_header(&in, false, false, 1);
	assert_int_equal(write(fd, in.bytes, in.len), in.len);
	for (unsigned i = 0; i < PACKETS; i++) {
		const uint16_t size = LEN + 16, complement = (uint16_t)~size;

		in.len = 0;
		put_record(&in, i, 0, block, LEN, LEN);
		memset(in.bytes + 16, (int)i, LEN);
		block[0] = i + 1 == PACKETS; /* the last block */
		for (unsigned j = 0; j < 2; j++) {
			block[1 + j] = (uint8_t)(size >> 8 * j);
			block[3 + j] = (uint8_t)(complement >> 8 * j);
		}
		memcpy(block + 5, in.bytes, in.len);
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = capture_reader_open(&reader, path, &error);
	close(fd);
	if (err == -EOPNOTSUPP)
		skip(); /* this build has no zlib */
	for (unsigned i = 0; i < PACKETS; i++) {
		assert_int_equal(next(), 1);
		assert_int_equal(record.sec, i);
		assert_int_equal(record.caplen, LEN);
		assert_int_equal(data[0], i);
		assert_int_equal(data[LEN - 1], i);
	}
	assert_int_equal(next(), -EBADMSG); /* the check sequence is missing */
	capture_reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_of_every_resolution_are_read_in_nanoseconds),
		cmocka_unit_test(clock_offset_is_added),
		cmocka_unit_test(unknown_blocks_are_skipped_and_all_packet_blocks_read),
		cmocka_unit_test(second_section_has_its_own_byte_order_and_interfaces),
		cmocka_unit_test(cut_file_is_reported_with_the_position),
		cmocka_unit_test(damaged_blocks_are_refused),
		cmocka_unit_test(packets_have_the_link_type_of_their_interface),
		cmocka_unit_test(kept_blocks_and_packets_are_the_whole_file),
		cmocka_unit_test(times_before_1970_are_read),
		cmocka_unit_test(other_version_of_pcapng_is_refused),
		cmocka_unit_test(numbers_beyond_their_limits_are_damage),
		cmocka_unit_test(too_many_interfaces_are_damage),
		cmocka_unit_test(name_of_interface_that_is_too_long_is_not_used),
		cmocka_unit_test(other_text_of_an_interface_is_no_name),
		cmocka_unit_test(packet_may_have_256_kib),
		cmocka_unit_test(long_packed_file_is_read_to_its_end),
		cmocka_unit_test(option_beyond_its_block_is_ignored),
		cmocka_unit_test(time_that_no_number_holds_is_0),
		cmocka_unit_test(unpacked_bytes_do_not_wait_for_more_input),
		cmocka_unit_test(pcap_says_how_long_its_check_sequences_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
