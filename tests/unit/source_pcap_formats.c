/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files of every format as a source: accepted packets are written byte for byte as they were, changed packets
 * in the same format, and metadata of pcapng is delivered with the packets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <libipq.h>
#include <linux/netfilter.h>
#include <cmocka.h>
#include "capture_file.h"
#include "capture/capture.h"
#include "capture/file.h"

#define SLOTS 8

/* The same capture file with two packets, in three forms; the gzip file has two members. */
static const uint8_t plain[] = { 0xd4, 0xc3, 0xb2, 0xa1, 0x02, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
				 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x65, 0x00, 0x00, 0x00, 0x01, 0x00,
				 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x1c, 0x00, 0x00,
				 0x00, 0x45, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x00, 0x40, 0x11, 0x00, 0x00,
				 0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
				 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1c, 0x00,
				 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x45, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00,
				 0x00, 0x40, 0x11, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02,
				 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02 };
static const uint8_t gzipped[] = {
	0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xbb, 0x72, 0x78, 0xd3, 0x42, 0x26, 0x06,
	0x16, 0x06, 0x18, 0xf8, 0xff, 0x9f, 0x81, 0x21, 0x15, 0x48, 0x33, 0x42, 0xf9, 0x32, 0x50, 0xec, 0x0a,
	0xa1, 0x18, 0x1c, 0x04, 0x19, 0x18, 0xb8, 0x80, 0xd2, 0x40, 0xcc, 0x04, 0x00, 0x32, 0x1a, 0x25, 0x56,
	0x3c, 0x00, 0x00, 0x00, 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0x63, 0x60, 0x00,
	0x03, 0x46, 0x26, 0x08, 0xcd, 0x20, 0x03, 0xc5, 0xae, 0x10, 0x8a, 0xc1, 0x41, 0x90, 0x81, 0x81, 0x0b,
	0x28, 0x0f, 0xc4, 0x30, 0x25, 0x4c, 0x00, 0x67, 0xf5, 0x95, 0x0a, 0x34, 0x00, 0x00, 0x00
};
static const uint8_t zstandard[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0xdd, 0x01, 0x00, 0x54, 0x02, 0xd4,
				     0xc3, 0xb2, 0xa1, 0x02, 0x00, 0x04, 0x00, 0xff, 0xff, 0x00, 0x00, 0x65,
				     0x00, 0x00, 0x00, 0x01, 0x00, 0x1c, 0x45, 0x00, 0x40, 0x11, 0x00, 0x00,
				     0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02, 0x00, 0x00, 0x01, 0x02,
				     0x08, 0x00, 0x4f, 0x35, 0x80, 0x00, 0x58, 0x68, 0x20, 0xea, 0xbe, 0xca,
				     0x60, 0xbb, 0x2c, 0xc0, 0x40, 0x04, 0xe0, 0x02, 0xf5, 0x03, 0x02, 0x2f };

static struct capture_file in, out;
static struct source *source;
static struct ipq_error error;
static struct iovec slot[SLOTS];
static struct ipq_packet packet[SLOTS];

static int make_slots(void **state)
{
	static uint8_t memory[SLOTS][SOURCE_SLOT_SIZE];

	(void)state;
	for (int i = 0; i < SLOTS; i++)
		slot[i] = (struct iovec){ memory[i], SOURCE_SLOT_SIZE };
	return 0;
}

static void begin(const char *options)
{
	struct source_config config = { .mode = COPY_PACKET, .beyond_slot = true };
	char arg[128];

	out.len = 0;
	snprintf(arg, sizeof(arg), "%s,%s%s", place(&in), place(&out), options);
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_true(source_pcap.configure(source, &config, &error) >= 0);
}

static int receive(void)
{
	return source_pcap.recv(source, slot, packet, SLOTS, 0, NULL, NULL);
}

static void give_verdict(struct source_verdict v)
{
	assert_int_equal(source_pcap.send(source, &v, 1), 1);
}

static void finish(void)
{
	source_pcap.close(source);
	fetch(&out);
}

/* Accepts all packets. Returns their number. */
static unsigned accept_all(const char *options)
{
	unsigned packets = 0;
	int n;

	begin(options);
	while ((n = receive()) > 0) {
		packets += (unsigned)n;
		give_verdict(
			(struct source_verdict){ .id = packet[n - 1].id, .code = NF_ACCEPT, .batch = 1 });
	}
	assert_int_equal(n, -ENODATA);
	finish();
	return packets;
}

static void assert_same(void)
{
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.bytes, in.bytes, in.len);
}

/* Replaces the payload of the first packet by len bytes and accepts the others. Returns the first record of the output.
 * */
static struct capture_record replace_first(uint32_t len, uint8_t *frame)
{
	static uint8_t payload[300];
	struct capture_reader *r;
	struct capture_record first, record;
	const uint8_t *data;
	unsigned records = 1;
	int n;

	begin("");
	n = receive();
	assert_true(n > 0);
	memcpy(payload, packet[0].payload, packet[0].payload_len);
	give_verdict((struct source_verdict){ .id = packet[0].id,
					      .code = NF_ACCEPT,
					      .present = IPQ_SET_PAYLOAD | SOURCE_SET_TIMESTAMP,
					      .payload = payload,
					      .payload_len = len,
					      .timestamp = 1800000000123456000 });
	for (int i = 1; i < n; i++)
		give_verdict((struct source_verdict){ .id = packet[i].id, .code = NF_ACCEPT });
	assert_int_equal(receive(), -ENODATA);
	finish();
	assert_int_equal(capture_reader_open(&r, place(&out), &error), 0);
	assert_int_equal(capture_read(r, &first, &data, &error), 1);
	memcpy(frame, data, first.caplen);
	while ((n = capture_read(r, &record, &data, &error)) == 1)
		records++;
	assert_int_equal(n, -ENODATA);
	assert_int_equal(records, 2);
	capture_reader_close(r);
	return first;
}

/* ---- pcap ---- */

static void put_old_header(bool swapped, uint32_t magic, uint16_t minor)
{
	in.len = 0;
	in.swapped = swapped;
	put32(&in, magic);
	put16(&in, 2);
	put16(&in, minor);
	put32(&in, 0);
	put32(&in, 0);
	put32(&in, 65535);
	put32(&in, 1);
}

/* Writes a record. extra: bytes of the record header after the two lengths. */
static void put_old_frame(uint32_t caplen, uint32_t len, bool exchanged, uint32_t extra)
{
	static const uint8_t more[8] = { 1, 0, 0, 0, 8, 0, 4, 0 };
	uint8_t frame[200];

	make_frame(frame, len, 0, 7);
	put32(&in, 1700000000);
	put32(&in, 123456);
	put32(&in, exchanged ? len : caplen);
	put32(&in, exchanged ? caplen : len);
	put(&in, more, extra);
	put(&in, frame, caplen);
}

static void variants_of_pcap_are_kept_and_changed(void **state)
{
	static const struct {
		uint32_t magic;
		uint16_t minor;
		bool exchanged;
		uint32_t extra;
	} variants[] = {
		{ 0xa1b2c3d4, 4, false, 0 }, { 0xa1b23c4d, 4, false, 0 }, { 0xa1b2cd34, 4, false, 8 },
		{ 0xa1b2c3d4, 3, true, 0 },  { 0xa1b2c3d4, 3, false, 0 }, { 0xa1b2c3d4, 2, true, 0 },
	};
	struct capture_record record;
	uint8_t frame[400];

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(variants) / sizeof(variants[0]); i++) {
		put_old_header(i & 1, variants[i / 2].magic, variants[i / 2].minor);
		put_old_frame(60, 60, variants[i / 2].exchanged, variants[i / 2].extra);
		put_old_frame(60, 100, variants[i / 2].exchanged, variants[i / 2].extra);
		assert_int_equal(accept_all(""), 2);
		assert_same();
		record = replace_first(80, frame);
		assert_int_equal(record.caplen, 14 + 80);
		assert_int_equal(record.len, 14 + 80);
		assert_int_equal(record.sec, 1800000000);
		assert_int_equal(record.nsec, 123456000);
		assert_int_equal(frame[14], 0x45);
		/* The file header stays. */
		assert_memory_equal(out.bytes, in.bytes, 24);
	}
}

static void compressed_files_are_read(void **state)
{
	(void)state;
	in.len = 0;
	put(&in, gzipped, sizeof(gzipped));
	if (source_pcap.open(&source, place(&in), &error) == -EOPNOTSUPP)
		skip(); /* this build has no zlib */
	source_pcap.close(source);
	assert_int_equal(accept_all(""), 2);
	assert_int_equal(out.len, sizeof(plain));
	assert_memory_equal(out.bytes, plain, sizeof(plain));
	put(&in, (uint8_t[512]){ 0 }, 512); /* padding after the members, as on tapes */
	assert_int_equal(accept_all(""), 2);
	assert_int_equal(out.len, sizeof(plain));
	in.len -= 512;
	in.bytes[in.len - 8] ^= 1; /* the checksum after the last packet */
	begin("");
	assert_int_equal(receive(), 2);
	assert_int_equal(receive(), -EBADMSG);
	finish();
	in.len -= 9; /* the second member is truncated */
	begin("");
	while (receive() > 0)
		;
	assert_int_equal(receive(), -EBADMSG);
	assert_non_null(strstr(source_pcap.error(source), "compressed file is damaged or cut"));
	finish();
}

static void zstandard_files_are_read(void **state)
{
	(void)state;
	in.len = 0;
	put(&in, zstandard, sizeof(zstandard));
	if (source_pcap.open(&source, place(&in), &error) == -EOPNOTSUPP)
		skip(); /* this build has no libzstd */
	source_pcap.close(source);
	in.len = 0;
	put(&in, "\x5f\x2a\x4d\x18\4\0\0\0skip", 12); /* a skippable frame, with which pzstd begins a file */
	put(&in, zstandard, sizeof(zstandard));
	assert_int_equal(accept_all(""), 2);
	assert_int_equal(out.len, sizeof(plain));
	assert_memory_equal(out.bytes, plain, sizeof(plain));
}

static void other_compressions_and_formats_are_refused_by_name(void **state)
{
	static const struct {
		const char *begin, *word;
	} files[] = {
		{ "\xfd"
		  "7zXZ\0\0\4",
		  "xz" },
		{ "BZh91AY&", "bzip2" },
		{ "\4\x22\x4d\x18....", "lz4" },
		{ "snoop\0\0\0", "snoop" },
		{ "GMBU\0\2\1\0", "Network Monitor" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		in.len = 0;
		put(&in, files[i].begin, 8);
		assert_true(source_pcap.open(&source, place(&in), &error) < 0);
		assert_non_null(strstr(error.text, files[i].word));
	}
}

/* ---- pcapng ---- */

static void put_section_with_options(bool swapped, uint32_t option_len)
{
	uint8_t option[64] = { 0 };

	in.swapped = swapped;
	put32(&in, 0x0a0d0d0a);
	put32(&in, 28 + option_len);
	put32(&in, 0x1a2b3c4d);
	put16(&in, 1);
	put16(&in, 0);
	put32(&in, UINT32_MAX);
	put32(&in, UINT32_MAX);
	if (option_len > 0) {
		put16(&in, 4);
		put16(&in, (uint16_t)(option_len - 4));
		put(&in, option, option_len - 4);
	}
	put32(&in, 28 + option_len);
}

static void put_interface(uint16_t link_type, const char *name)
{
	uint32_t len = (uint32_t)strlen(name), whole = 20 + 4 + ((len + 3) & ~3U) + 8 + 4;

	put32(&in, 1);
	put32(&in, whole);
	put16(&in, link_type);
	put16(&in, 0);
	put32(&in, 0);
	put16(&in, 2);
	put16(&in, (uint16_t)len);
	put(&in, name, len);
	put(&in, "\0\0\0", -len & 3);
	put16(&in, 9); /* the resolution: nanoseconds */
	put16(&in, 1);
	put(&in, "\11\0\0\0", 4);
	put32(&in, 0); /* end of options */
	put32(&in, whole);
}

/* comment: "", a comment, or the text of a recording, which begins with "ipq ". */
static void put_packet(uint32_t interface, uint64_t time, const void *frame, uint32_t len,
		       const char *comment)
{
	bool recording = strncmp(comment, "ipq ", 4) == 0;
	uint32_t text = (uint32_t)strlen(comment), value = text + (recording ? 4 : 0),
		 padded = (len + 3) & ~3U, options = text > 0 ? 4 + ((value + 3) & ~3U) + 4 : 0,
		 whole = 32 + padded + options;

	put32(&in, 6);
	put32(&in, whole);
	put32(&in, interface);
	put32(&in, (uint32_t)(time >> 32));
	put32(&in, (uint32_t)time);
	put32(&in, len);
	put32(&in, len);
	put(&in, frame, len);
	put(&in, "\0\0\0", padded - len);
	if (options > 0) {
		put16(&in, recording ? 2988 : 1);
		put16(&in, (uint16_t)value);
		if (recording)
			put32(&in, 21373);
		put(&in, comment, text);
		put(&in, "\0\0\0", -value & 3);
		put32(&in, 0);
	}
	put32(&in, whole);
}

static void put_other_block(uint32_t type, uint32_t len)
{
	static const uint8_t bytes[20000];

	put32(&in, type);
	put32(&in, len + 12);
	put(&in, bytes, len);
	put32(&in, len + 12);
}

/* Sections in both byte orders, interfaces of several types, secrets, names, statistics, comments. */
static void make_mixed(void)
{
	uint8_t frame[100], usb[20] = { 0 }, cooked[16 + 46] = { [15] = 0 };

	make_frame(frame, sizeof(frame), 0, 1);
	memcpy(cooked + 14, frame + 12, sizeof(cooked) - 14);
	cooked[14 + 2 + 2] = 0;
	cooked[14 + 2 + 3] = 46;
	in.len = 0;
	for (int swapped = 0; swapped < 2; swapped++) {
		put_section_with_options(swapped, swapped ? 16 : 0);
		put_other_block(10, 16000); /* decryption secrets */
		put_interface(249, "usb");
		put_interface(1, "eth0");
		put_packet(0, 1, usb, sizeof(usb), "");
		put_packet(1, 1700000000123456789, frame, 100, "a comment");
		put_other_block(4, 20);
		put_interface(113, "any");
		put_packet(2, 1700000001000000000, cooked, sizeof(cooked), "");
		put_packet(1, 1700000002000000000, frame, 61, "cut");
		put_other_block(5, 12);
	}
}

static void pcapng_is_kept_byte_for_byte_and_unread_types_are_named(void **state)
{
	struct pcap_summary sum;

	(void)state;
	make_mixed();
	assert_int_equal(accept_all(""), 6);
	assert_same();
	begin("");
	while (receive() > 0)
		;
	assert_non_null(strstr(source_pcap.error(source), "2 of link type 249 USBPCAP were not read"));
	source_pcap_summary(source, &sum);
	assert_int_equal(sum.unread, 2);
	assert_int_equal(sum.passed, 1); /* the other block waits for packets before it */
	finish();
}

static void dropped_packets_leave_the_rest_of_pcapng_as_it_was(void **state)
{
	static struct capture_file want;
	size_t begin_of_packet, len;

	(void)state;
	in.len = 0;
	put_section_with_options(false, 0);
	put_interface(1, "eth0");
	begin_of_packet = in.len;
	put_packet(0, 1, out.bytes, 0, ""); /* a record without a frame is passed through */
	{
		uint8_t frame[100];

		make_frame(frame, sizeof(frame), 0, 1);
		len = in.len;
		put_packet(0, 2, frame, 100, "x");
	}
	want = in;
	(void)begin_of_packet;
	want.len = len;
	put_other_block(5, 12);
	memcpy(want.bytes + want.len, in.bytes + in.len - 24, 24);
	want.len += 24;
	begin("");
	assert_int_equal(receive(), 1);
	give_verdict((struct source_verdict){ .id = packet[0].id, .code = NF_DROP });
	assert_int_equal(receive(), -ENODATA);
	finish();
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.bytes, want.bytes, want.len);
}

static void changed_packet_keeps_comment_and_interface(void **state)
{
	struct capture_record record;
	uint8_t frame[400];

	(void)state;
	for (int swapped = 0; swapped < 2; swapped++) {
		make_frame(frame, 100, 0, 1);
		in.len = 0;
		put_section_with_options(swapped, 0);
		put_interface(1, "eth0");
		put_packet(0, 1700000000123456789, frame, 100, "a comment");
		put_packet(0, 1700000000123456789, frame, 100, "");
		record = replace_first(101, frame);
		assert_int_equal(record.caplen, 14 + 101);
		assert_string_equal(record.interface, "eth0");
		assert_int_equal(record.sec, 1800000000);
		assert_int_equal(record.nsec, 123456000);
		assert_non_null(memmem(out.bytes, out.len, "a comment", 9));
	}
}

static void put_simple_packets(uint32_t snaplen)
{
	uint8_t frame[100];

	make_frame(frame, 100, 0, 1);
	in.len = 0;
	put_section_with_options(false, 0);
	put32(&in, 1);
	put32(&in, 20);
	put32(&in, LINKTYPE_ETHERNET);
	put32(&in, snaplen);
	put32(&in, 20);
	for (int i = 0; i < 2; i++) {
		put32(&in, 3);
		put32(&in, 16 + 100);
		put32(&in, 100);
		put(&in, frame, 100);
		put32(&in, 16 + 100);
	}
}

static void simple_packet_block_becomes_an_enhanced_one_if_longer_than_snaplen(void **state)
{
	struct capture_record record;
	uint8_t frame[400];

	(void)state;
	put_simple_packets(213);
	assert_int_equal(accept_all(""), 2);
	assert_same();
	record = replace_first(200, frame);
	assert_int_equal(record.kind, CAPTURE_ENHANCED);
	assert_int_equal(record.caplen, 214);
	for (uint32_t snaplen = 0; snaplen <= 214; snaplen += 214) {
		put_simple_packets(snaplen);
		record = replace_first(200, frame);
		assert_int_equal(record.kind, CAPTURE_SIMPLE);
		assert_int_equal(record.caplen, 214);
		assert_int_equal(record.len, 214);
	}
}

static uint32_t out32(bool swapped, size_t at)
{
	uint32_t v;

	memcpy(&v, out.bytes + at, sizeof(v));
	return swapped ? __builtin_bswap32(v) : v;
}

static void limit_of_pcap_is_raised_if_a_packet_outgrows_it(void **state)
{
	uint8_t frame[400];

	(void)state;
	make_frame(frame, 100, 0, 1);
	for (int swapped = 0; swapped < 2; swapped++) {
		put_header(&in, swapped, false, LINKTYPE_ETHERNET);
		in.len = 16;
		put32(&in, 114);
		put32(&in, LINKTYPE_ETHERNET);
		for (int i = 0; i < 2; i++)
			put_record(&in, 1, 0, frame, 100, 100);
		replace_first(100, frame);
		assert_int_equal(out32(swapped, 16), 114);
		assert_int_equal(replace_first(101, frame).caplen, 115);
		assert_int_equal(out32(swapped, 16), 262144);
	}
}

/* Standard output may be a file that has other bytes before the capture. */
static void limit_is_raised_where_the_capture_begins(void **state)
{
	struct source_config config = { .mode = COPY_PACKET, .beyond_slot = true };
	int terminal = dup(STDOUT_FILENO), file;
	uint8_t frame[100], longer[101];
	char arg[64];

	(void)state;
	make_frame(frame, 100, 0, 1);
	make_frame(longer, 101, 0, 1);
	put_header(&in, false, false, LINKTYPE_ETHERNET);
	in.len = 16;
	put32(&in, 114);
	put32(&in, LINKTYPE_ETHERNET);
	put_record(&in, 1, 0, frame, 100, 100);
	out.len = 0;
	file = open(place(&out), O_RDWR | O_CLOEXEC);
	assert_int_equal(lseek(file, 1000, SEEK_SET), 1000);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	snprintf(arg, sizeof(arg), "%s,-", place(&in));
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_true(source_pcap.configure(source, &config, &error) >= 0);
	dup2(terminal, STDOUT_FILENO);
	assert_int_equal(receive(), 1);
	give_verdict((struct source_verdict){ .id = packet[0].id,
					      .code = NF_ACCEPT,
					      .present = IPQ_SET_PAYLOAD,
					      .payload = longer,
					      .payload_len = 101 });
	finish();
	close(terminal);
	close(file);
	assert_int_equal(out.len, 1000 + 24 + 16 + 115);
	assert_int_equal(out32(false, 1000 + 16), 262144);
	assert_int_equal(out32(false, 16), 0);
}

static void put_limited_interface(uint32_t snaplen)
{
	put32(&in, 1);
	put32(&in, 20);
	put16(&in, LINKTYPE_ETHERNET);
	put16(&in, 0);
	put32(&in, snaplen);
	put32(&in, 20);
}

/* Only the limit of the packet's own interface is removed. */
static void limit_of_an_interface_is_removed_if_a_packet_outgrows_it(void **state)
{
	uint8_t frame[400];
	size_t interfaces;

	(void)state;
	make_frame(frame, 100, 0, 1);
	for (int swapped = 0; swapped < 2; swapped++) {
		in.len = 0;
		put_section_with_options(swapped, 0);
		interfaces = in.len;
		put_limited_interface(113);
		put_limited_interface(114);
		put_packet(1, 1, frame, 100, "");
		put_packet(0, 1, frame, 100, "");
		replace_first(100, frame);
		assert_int_equal(out32(swapped, interfaces + 20 + 12), 114);
		assert_int_equal(replace_first(101, frame).caplen, 115);
		assert_int_equal(out.len, in.len + 16); /* nothing but the packet has grown */
		assert_int_equal(out32(swapped, interfaces + 12), 113);
		assert_int_equal(out32(swapped, interfaces + 20 + 12), 0);
	}
}

/*
 * The first packet grows while the output is in the second section. The first section is opened again, without the
 * limit.
 */
static void limit_is_removed_from_a_section_that_is_opened_again(void **state)
{
	static uint8_t longer[101];
	uint8_t frame[100];
	size_t again;

	(void)state;
	make_frame(frame, 100, 0, 1);
	in.len = 0;
	for (int section = 0; section < 2; section++) {
		put_section_with_options(false, 0);
		put_limited_interface(100);
		put_packet(0, 1, frame, 100, "");
	}
	again = in.len - 132; /* the block of a packet */
	begin("");
	assert_int_equal(receive(), 2);
	memcpy(longer, packet[0].payload, packet[0].payload_len);
	give_verdict((struct source_verdict){ .id = packet[1].id, .code = NF_ACCEPT });
	give_verdict((struct source_verdict){ .id = packet[0].id,
					      .code = NF_ACCEPT,
					      .present = IPQ_SET_PAYLOAD,
					      .payload = longer,
					      .payload_len = sizeof(longer) });
	finish();
	assert_int_equal(out32(false, again), 0x0a0d0d0a);
	assert_int_equal(out32(false, again + 28), 1);
	assert_int_equal(out32(false, again + 28 + 12), 0);
}

/* Bytes that were written to a pipe cannot change, so the section is opened again without the limit, once. */
static void limit_is_removed_in_a_pipe(void **state)
{
	struct source_config config = { .mode = COPY_PACKET, .beyond_slot = true };
	static uint8_t longer[101];
	uint8_t frame[100];
	size_t first, packets = 2;
	char arg[128];
	int fd[2];

	(void)state;
	make_frame(frame, 100, 0, 1);
	in.len = 0;
	put_section_with_options(false, 0);
	put_limited_interface(100);
	first = in.len;
	for (size_t i = 0; i < packets; i++)
		put_packet(0, 1, frame, 100, "");
	assert_int_equal(pipe(fd), 0);
	snprintf(arg, sizeof(arg), "%s,/proc/self/fd/%d", place(&in), fd[1]);
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_true(source_pcap.configure(source, &config, &error) >= 0);
	assert_int_equal(receive(), packets);
	memcpy(longer, packet[0].payload, packet[0].payload_len);
	for (size_t i = 0; i < packets; i++)
		give_verdict((struct source_verdict){ .id = packet[i].id,
						      .code = NF_ACCEPT,
						      .present = IPQ_SET_PAYLOAD,
						      .payload = longer,
						      .payload_len = sizeof(longer) });
	source_pcap.close(source);
	close(fd[1]);
	out.len = (size_t)read(fd[0], out.bytes, sizeof(out.bytes));
	close(fd[0]);
	assert_int_equal(out.len, first + 48 + packets * (in.len - first + 2 * 16) / 2);
	assert_memory_equal(out.bytes, in.bytes, first);
	assert_int_equal(out32(false, first), 0x0a0d0d0a);
	assert_int_equal(out32(false, first + 28), 1);
	assert_int_equal(out32(false, first + 28 + 12), 0);
}

/* The CRC of Ethernet, bit by bit. */
static uint32_t crc32(const uint8_t *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len * 8; i++) {
		bool odd = (crc ^ p[i / 8] >> i % 8) & 1;

		crc = crc >> 1 ^ (odd ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void assert_new_check_sequence(uint32_t header)
{
	static const uint32_t len[] = { 86, 80, 101 };
	uint8_t frame[400];

	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		struct capture_record record = replace_first(len[i], frame);
		uint32_t crc = crc32(frame, header + len[i]);

		assert_int_equal(record.caplen, header + len[i] + 4);
		assert_memory_equal(frame + header + len[i], &crc, 4); /* least significant byte first */
	}
}

/* A packet block whose flags report that the frame ends with a check sequence. */
static void check_sequence_in_the_flags_of_a_packet_is_updated(void **state)
{
	uint8_t frame[104];

	(void)state;
	make_frame(frame, 100, 0, 1);
	for (int old = 0; old < 2; old++) {
		in.len = 0;
		put_section_with_options(false, 0);
		put_interface(LINKTYPE_ETHERNET, "eth0");
		for (int i = 0; i < 2; i++) {
			put32(&in, old ? 2 : 6);
			put32(&in, 32 + 104 + 12);
			put(&in, "\0\0\0\0\0\0\0\0\1\0\0", 12);
			put32(&in, 104);
			put32(&in, 104);
			put(&in, frame, 104);
			put16(&in, 2);
			put16(&in, 4);
			put32(&in, 1 | 4 << 5);
			put32(&in, 0);
			put32(&in, 32 + 104 + 12);
		}
		assert_new_check_sequence(14);
	}
}

static void check_sequence_of_80211_named_by_the_file_is_updated(void **state)
{
	uint8_t ethernet[100], frame[24 + 8 + 86 + 4] = { 8 };

	(void)state;
	make_frame(ethernet, 100, 0, 1);
	memcpy(frame + 24, "\xaa\xaa\3\0\0\0\x08\0", 8);
	memcpy(frame + 32, ethernet + 14, 86);
	put_header(&in, false, false, LINKTYPE_IEEE802_11 | 0x04000000 | 2U << 28);
	for (int i = 0; i < 2; i++)
		put_record(&in, 1, 0, frame, sizeof(frame), sizeof(frame));
	assert_new_check_sequence(32);
}

/* Only a file that reports a check sequence has one. */
static void padding_of_a_frame_is_no_check_sequence(void **state)
{
	uint8_t frame[400], padding[10];

	(void)state;
	memset(padding, 0x55, sizeof(padding));
	make_frame(frame, 100, sizeof(padding), 1);
	put_header(&in, false, false, LINKTYPE_ETHERNET);
	for (int i = 0; i < 2; i++)
		put_record(&in, 1, 0, frame, 100, 100);
	assert_int_equal(replace_first(76, frame).caplen, 100);
	assert_memory_equal(frame + 90, padding, sizeof(padding));
}

static void length_before_capture_is_kept_if_the_packet_keeps_its_length(void **state)
{
	uint8_t frame[400];
	struct capture_record record;

	(void)state;
	make_frame(frame, 100, 0, 1);
	put_header(&in, false, false, LINKTYPE_ETHERNET);
	for (int i = 0; i < 2; i++)
		put_record(&in, 1, 0, frame, 100, 104);
	record = replace_first(86, frame);
	assert_int_equal(record.caplen, 100);
	assert_int_equal(record.len, 104);
	record = replace_first(87, frame);
	assert_int_equal(record.caplen, 101);
	assert_int_equal(record.len, 101);
}

static void check_packet(const struct ipq_packet *p, unsigned hook, const char *in_name, const char *out_name)
{
	char name[16];
	uint16_t type;

	assert_int_equal(p->hook, hook);
	assert_int_equal(!(p->present & IPQ_HAS_INDEV), in_name == NULL);
	assert_int_equal(!(p->present & IPQ_HAS_OUTDEV), out_name == NULL);
	if (in_name != NULL) {
		assert_int_equal(source_pcap.interface(source, p->indev, name, &type), 0);
		assert_string_equal(name, in_name);
	}
	if (out_name != NULL) {
		assert_int_equal(source_pcap.interface(source, p->outdev, name, &type), 0);
		assert_string_equal(name, out_name);
	}
}

static void metadata_of_recordings_is_delivered(void **state)
{
	uint8_t frame[100];

	(void)state;
	make_frame(frame, sizeof(frame), 0, 1);
	in.len = 0;
	put_section_with_options(false, 0);
	put_interface(1, "eth0");
	put_interface(1, "\\Device\\NPF_{1}");
	put_packet(0, 1, frame, 100, "");
	put_packet(0, 1, frame, 100, "ipq hook=FORWARD indev=eth0 outdev=wan mark=0x10 verdict=drop");
	put_packet(0, 1, frame, 100, "ipq hook=OUTPUT outdev=wan");
	put_packet(1, 1, frame, 100, "ipq hook=NONE mark=x indev=a_name_that_is_too_long");
	put_packet(0, 1, frame, 100, "ipq size=7 verdict=accept"); /* a word of a later version */
	begin("");
	assert_int_equal(receive(), 5);
	check_packet(&packet[0], NF_INET_LOCAL_IN, "eth0", NULL);
	assert_int_equal(packet[0].present & IPQ_HAS_MARK, 0);
	check_packet(&packet[1], NF_INET_FORWARD, "eth0", "wan");
	assert_true(packet[1].present & IPQ_HAS_MARK);
	assert_int_equal(packet[1].mark, 0x10);
	check_packet(&packet[2], NF_INET_LOCAL_OUT, NULL, "wan");
	check_packet(&packet[3], NF_INET_LOCAL_IN, "pcap0", NULL);
	assert_int_equal(packet[3].present & IPQ_HAS_MARK, 0);
	assert_int_equal(packet[4].present & IPQ_HAS_MARK, 0);
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(source_pcap.verdict(source, packet[i].id), i == 1	? "drop"
									       : i == 4 ? "accept"
											: "");
	assert_string_equal(source_pcap.verdict(source, packet[4].id + 1), "");
	finish();
	/* Options override the metadata of the packets. */
	begin(",hook=FORWARD,outdev=given");
	assert_int_equal(receive(), 5);
	check_packet(&packet[0], NF_INET_FORWARD, "eth0", "given");
	check_packet(&packet[1], NF_INET_FORWARD, "eth0", "given");
	check_packet(&packet[2], NF_INET_FORWARD, "eth0", "given");
	finish();
}

/* A capture with segmentation offload: 100,000 bytes in one packet. */
static void packet_over_64_kib_is_delivered_whole(void **state)
{
	static uint8_t frame[14 + 100000];

	(void)state;
	make_frame(frame, 100, 0, 1);
	frame[16] = frame[17] = 0;
	frame[sizeof(frame) - 1] = 77;
	put_header(&in, false, false, 1);
	put_record(&in, 1, 2, frame, sizeof(frame), sizeof(frame));
	begin("");
	assert_int_equal(receive(), 1);
	assert_int_equal(packet[0].payload_len, 100000);
	assert_int_equal(packet[0].payload[99999], 77);
	assert_int_equal(packet[0].flags & IPQ_PACKET_TRUNCATED, 0);
	packet[0].payload[99999] = 78;
	give_verdict((struct source_verdict){ .id = packet[0].id,
					      .code = NF_ACCEPT,
					      .present = IPQ_SET_PAYLOAD,
					      .payload = packet[0].payload,
					      .payload_len = packet[0].payload_len });
	finish();
	in.bytes[in.len - 1] = 78;
	assert_same();
}

/* The field has the sum of the pseudo-header: 10.0.0.1, 10.0.0.2, UDP, with or without the length. */
static void partial_checksum_is_reported(void **state)
{
	const unsigned pseudo = 0x0a00 + 1 + 0x0a00 + 2 + 17, len = 80 - 20;
	const unsigned checks[] = { pseudo + len, pseudo, pseudo + len + 1, 0 };
	uint8_t frame[94];

	(void)state;
	put_header(&in, false, false, 1);
	for (int i = 0; i < 4; i++) {
		make_frame(frame, sizeof(frame), 0, 1);
		frame[14 + 20 + 6] = (uint8_t)(checks[i] >> 8);
		frame[14 + 20 + 7] = (uint8_t)checks[i];
		put_record(&in, 1, 2, frame, sizeof(frame), sizeof(frame));
	}
	frame[14 + 6] = 0x20; /* a fragment */
	put_record(&in, 1, 2, frame, sizeof(frame), sizeof(frame));
	begin("");
	assert_int_equal(receive(), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(packet[i].flags, i < 2 ? IPQ_PACKET_CHECKSUM_NOT_READY : 0);
	finish();
}

/* Checks the time of a packet whose timestamp is in units of this resolution, also after a delay of a second. */
static void check_clock(uint8_t resolution, uint64_t stamp, int64_t time, uint64_t later)
{
	const bool swaps[] = { false, true };
	const size_t at = 28 + 28 + 12; /* offset of the upper half of the timestamp */
	uint8_t frame[80];

	make_frame(frame, sizeof(frame), 0, 1);
	for (int i = 0; i < 2; i++) {
		in.len = 0;
		put_section_with_options(swaps[i], 0);
		put32(&in, 1);
		put32(&in, 28);
		put16(&in, 1);
		put16(&in, 0);
		put32(&in, 0);
		put16(&in, 9);
		put16(&in, 1);
		put(&in, &resolution, 1);
		put(&in, "\0\0\0", 3);
		put32(&in, 28);
		put_packet(0, stamp, frame, sizeof(frame), "");
		assert_int_equal(accept_all(""), 1);
		assert_same();
		begin("");
		assert_int_equal(receive(), 1);
		assert_true(packet[0].present & IPQ_HAS_TIMESTAMP);
		assert_int_equal(packet[0].timestamp, time);
		give_verdict((struct source_verdict){ .id = packet[0].id,
						      .code = NF_ACCEPT,
						      .present = SOURCE_SET_TIMESTAMP,
						      .timestamp = time + 1000000000 });
		finish();
		in.len = at;
		put32(&in, (uint32_t)(later >> 32));
		put32(&in, (uint32_t)later);
		in.len = out.len;
		assert_same();
	}
}

static void new_time_is_written_in_the_units_of_the_file(void **state)
{
	(void)state;
	check_clock(0, 5, 5000000000, 6);
	check_clock(12, 5123456789012, 5123456789, 6123456789000);
	check_clock(19, 5000000000000000000, 500000000, 15000000000000000000U);
	check_clock(0x80, 5, 5000000000, 6);
	check_clock(0x80 + 32, 5ULL << 32 | 1U << 31, 5500000000, 6ULL << 32 | 1U << 31);
	check_clock(0x80 + 63, 1ULL << 62, 500000000, 3ULL << 62);
	/* These clocks cannot count seconds. The time does not change. */
	check_clock(20, 12300000000000000000U, 123000000, 12300000000000000000U);
	check_clock(0xff, UINT64_MAX, 0, UINT64_MAX);
}

/* ---- sections ---- */

#define SECTIONS 3
#define PER_SECTION 4

/*
 * Makes sections, in turn in our own and in the other byte order. In each, the interface of the packets has another
 * number, link type, name and clock. The last byte of a packet is its number in the file.
 */
static void put_sections(void)
{
	uint8_t frame[80];

	in.len = 0;
	for (unsigned s = 0; s < SECTIONS; s++) {
		put_section_with_options(s % 2 == 1, s == 0 ? 12 : 0);
		if (s == 1)
			put_interface(249, "usb");
		put_interface(s == 1 ? 1 : 101, s == 1 ? "ethernet" : "raw");
		put_other_block(s % 2 == 1 ? 4 : 10, 24);
		for (unsigned i = 0; i < PER_SECTION; i++) {
			make_frame(frame, sizeof(frame), 0, (uint8_t)(s * PER_SECTION + i));
			put_packet(s == 1, 1000000000ULL * s + i, frame + (s == 1 ? 0 : 14), s == 1 ? 80 : 66,
				   i == 1 ? "a comment" : "");
		}
		put_other_block(5, 20);
	}
}

/*
 * Checks that each packet of the output has the properties of its section in the input. Counts packets by number.
 */
static void check_sections(unsigned *count)
{
	struct capture_record record;
	struct capture_reader *r;
	const uint8_t *data;
	int n;

	memset(count, 0, SECTIONS * PER_SECTION * sizeof(*count));
	assert_int_equal(capture_reader_open(&r, place(&out), &error), 0);
	while ((n = capture_read(r, &record, &data, &error)) == 1) {
		uint8_t number = data[record.caplen - 1];
		unsigned section = number / PER_SECTION;

		assert_true(number < SECTIONS * PER_SECTION);
		count[number]++;
		assert_int_equal(record.swapped, section == 1);
		assert_int_equal(record.link_type, section == 1 ? 1 : 101);
		assert_string_equal(record.interface, section == 1 ? "ethernet" : "raw");
		assert_int_equal(record.sec, section);
		assert_int_equal(record.nsec, number % PER_SECTION);
	}
	assert_int_equal(n, -ENODATA);
	capture_reader_close(r);
}

static void assert_each_once(void)
{
	unsigned count[SECTIONS * PER_SECTION];

	check_sections(count);
	for (unsigned i = 0; i < SECTIONS * PER_SECTION; i++)
		assert_int_equal(count[i], 1);
}

/*
 * Decides packets late. max: packets per receive. hold: if more packets than this wait, they are decided, the
 * newest first.
 */
static void decide_later(unsigned max, uint32_t hold)
{
	uint32_t first = 1, next = 1;
	int n;

	put_sections();
	begin("");
	do {
		n = source_pcap.recv(source, slot, packet, max, 0, NULL, NULL);
		next += n > 0 ? (uint32_t)n : 0;
		if (n > 0 && next - first <= hold)
			continue;
		for (uint32_t id = next; id > first; id--)
			give_verdict((struct source_verdict){ .id = id - 1, .code = NF_ACCEPT });
		first = next;
	} while (n > 0);
	assert_int_equal(n, -ENODATA);
	assert_int_equal(next - 1, SECTIONS * PER_SECTION);
	finish();
}

static void packet_decided_in_a_later_section_is_written_into_its_own(void **state)
{
	(void)state;
	for (unsigned max = 1; max <= SLOTS; max++)
		for (unsigned hold = 0; hold <= SECTIONS * PER_SECTION; hold++) {
			decide_later(max, hold);
			assert_each_once();
		}
	decide_later(1, 0);
	assert_same();
}

/* As with a delay, packets of both sections are written in turn, with a new time. */
static void packets_of_sections_in_turn_keep_clock_and_interface(void **state)
{
	static const uint8_t order[] = { 5, 1, 9, 2, 6, 3, 10, 7, 4, 8, 11, 12 };
	struct source_verdict v = { .code = NF_ACCEPT, .present = SOURCE_SET_TIMESTAMP };

	(void)state;
	put_sections();
	begin("");
	while (receive() > 0)
		;
	for (unsigned i = 0; i < sizeof(order); i++) {
		v.id = order[i];
		v.timestamp = 1000000000LL * ((order[i] - 1) / PER_SECTION) + (order[i] - 1) % PER_SECTION;
		give_verdict(v);
	}
	finish();
	assert_each_once();
}

/*
 * Repeated packets are delivered again after the next section has begun. Some are copied, or get another payload.
 */
static void repeated_packet_is_written_into_its_own_section(void **state)
{
	uint8_t payload[66];
	unsigned count[SECTIONS * PER_SECTION], seen = 0;
	int n;

	(void)state;
	put_sections();
	begin("");
	while ((n = source_pcap.recv(source, slot, packet, 3, 0, NULL, NULL)) > 0)
		for (int i = 0; i < n; i++) {
			struct source_verdict v = { .id = packet[i].id, .code = NF_ACCEPT };

			memcpy(payload, packet[i].payload, sizeof(payload));
			seen++;
			v.code = seen % 3 != 0 ? NF_REPEAT : NF_ACCEPT;
			if (seen % 4 == 1) {
				v.present = IPQ_SET_PAYLOAD;
				v.payload = payload;
				v.payload_len = sizeof(payload);
			}
			if (seen % 5 == 0)
				assert_int_equal(source_pcap.copy(source, &v), 0);
			give_verdict(v);
		}
	assert_int_equal(n, -ENODATA);
	finish();
	check_sections(count);
	for (unsigned i = 0; i < SECTIONS * PER_SECTION; i++)
		assert_true(count[i] >= 1);
}

static void write_zeros(int fd, size_t len)
{
	static const uint8_t zeros[4096];

	for (size_t n; len > 0; len -= n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		assert_int_equal(write(fd, zeros, n), n);
	}
}

/* A block that is longer than the reader's buffer is read in pieces. */
static void repeated_packet_is_not_written_into_a_block(void **state)
{
	struct source_config config = { .mode = COPY_PACKET };
	/* number of bytes that the reader reads at once */
	const uint32_t len = 800000, first_part = 512 * 1024 - 8;
	struct capture_record record;
	struct capture_reader *r;
	const uint8_t *data;
	char arg[128];
	int pipe_fd[2];

	(void)state;
	put_sections();
	in.len -= 32; /* the last block is missing */
	assert_int_equal(pipe(pipe_fd), 0);
	assert_true(fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
	snprintf(arg, sizeof(arg), "/proc/self/fd/%d,%s", pipe_fd[0], place(&out));
	in.swapped = false;
	put32(&in, 5);
	put32(&in, len);
	assert_int_equal(write(pipe_fd[1], in.bytes, in.len), in.len);
	write_zeros(pipe_fd[1], first_part);
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_true(source_pcap.configure(source, &config, &error) >= 0);
	assert_int_equal(receive(), SLOTS);
	give_verdict((struct source_verdict){ .id = SLOTS, .code = NF_ACCEPT, .batch = 1 });
	assert_int_equal(receive(), SECTIONS * PER_SECTION - SLOTS);
	give_verdict(
		(struct source_verdict){ .id = SECTIONS * PER_SECTION - 1, .code = NF_ACCEPT, .batch = 1 });
	give_verdict((struct source_verdict){ .id = SECTIONS * PER_SECTION, .code = NF_REPEAT });
	assert_int_equal(receive(), 0);
	write_zeros(pipe_fd[1], len - first_part - 12);
	assert_int_equal(write(pipe_fd[1], &len, 4), 4);
	close(pipe_fd[1]);
	assert_int_equal(receive(), 1);
	give_verdict((struct source_verdict){ .id = packet[0].id, .code = NF_ACCEPT });
	assert_int_equal(receive(), -ENODATA);
	source_pcap.close(source);
	close(pipe_fd[0]);
	assert_int_equal(capture_reader_open(&r, out.path, &error), 0);
	for (unsigned i = 0; i < SECTIONS * PER_SECTION; i++)
		assert_int_equal(capture_read(r, &record, &data, &error), 1);
	assert_int_equal(capture_read(r, &record, &data, &error), -ENODATA);
	capture_reader_close(r);
}

/* The pipe is empty, but not all bytes that came out of it are unpacked: eight packets fill the reader's buffer. */
static void packets_that_are_not_unpacked_yet_do_not_wait_for_input(void **state)
{
	static uint8_t frame[65533 - 16];
	const uint32_t head[] = { 1, 1, sizeof(frame), sizeof(frame) };
	struct source_config config = { .mode = COPY_PACKET };
	char arg[128];
	int pipe_fd[2], n, all = 0;
	FILE *gzip;

	(void)state;
	put_header(&in, false, false, 1);
	make_frame(frame, sizeof(frame), 0, 1);
	assert_int_equal(pipe(pipe_fd), 0);
	snprintf(arg, sizeof(arg), "gzip -c >&%d", pipe_fd[1]);
	gzip = popen(arg, "w");
	assert_non_null(gzip);
	assert_int_equal(fwrite(in.bytes, 1, in.len, gzip), in.len);
	for (int i = 0; i < 9; i++) {
		fwrite(head, sizeof(head), 1, gzip);
		fwrite(frame, sizeof(frame), 1, gzip);
	}
	if (pclose(gzip) != 0)
		skip();
	snprintf(arg, sizeof(arg), "/proc/self/fd/%d,%s", pipe_fd[0], place(&out));
	if (source_pcap.open(&source, arg, &error) == -EOPNOTSUPP)
		skip(); /* built without zlib */
	assert_int_equal(source_pcap.configure(source, &config, &error), 0);
	for (int i = 0; i < 9 && (n = receive()) > 0; i++) {
		all += n;
		give_verdict((struct source_verdict){ .id = (uint32_t)all, .code = NF_ACCEPT, .batch = 1 });
	}
	assert_int_equal(all, 9);
	finish();
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

/* Uses the classic calls on the file that the environment names: see main(). */
static void held_by_classic_calls(void **state)
{
	static unsigned char message[4096];
	uint32_t held[PER_SECTION + 1];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct capture_file file = { .fd = OUT_FD };
	unsigned n = 0;

	(void)state;
	assert_non_null(h);
	assert_true(ipq_set_mode(h, IPQ_COPY_PACKET, 0) >= 0);
	for (unsigned i = 0; i < SECTIONS * PER_SECTION; i++) {
		assert_true(ipq_read(h, message, sizeof(message), 5000000) > 0);
		assert_int_equal(ipq_message_type(message), IPQM_PACKET);
		held[n++] = (uint32_t)ipq_get_packet(message)->packet_id;
		if (n <= PER_SECTION && i + 1 < SECTIONS * PER_SECTION)
			continue;
		while (n > 0)
			assert_true(ipq_set_verdict(h, held[--n], NF_ACCEPT, 0, NULL) > 0);
	}
	assert_int_equal(ipq_destroy_handle(h), 0);
	fetch(&file);
	out.len = 0;
	put(&out, file.bytes, file.len);
	assert_each_once();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variants_of_pcap_are_kept_and_changed),
		cmocka_unit_test(compressed_files_are_read),
		cmocka_unit_test(zstandard_files_are_read),
		cmocka_unit_test(other_compressions_and_formats_are_refused_by_name),
		cmocka_unit_test(pcapng_is_kept_byte_for_byte_and_unread_types_are_named),
		cmocka_unit_test(dropped_packets_leave_the_rest_of_pcapng_as_it_was),
		cmocka_unit_test(changed_packet_keeps_comment_and_interface),
		cmocka_unit_test(simple_packet_block_becomes_an_enhanced_one_if_longer_than_snaplen),
		cmocka_unit_test(limit_of_pcap_is_raised_if_a_packet_outgrows_it),
		cmocka_unit_test(limit_is_raised_where_the_capture_begins),
		cmocka_unit_test(limit_of_an_interface_is_removed_if_a_packet_outgrows_it),
		cmocka_unit_test(limit_is_removed_from_a_section_that_is_opened_again),
		cmocka_unit_test(limit_is_removed_in_a_pipe),
		cmocka_unit_test(check_sequence_in_the_flags_of_a_packet_is_updated),
		cmocka_unit_test(check_sequence_of_80211_named_by_the_file_is_updated),
		cmocka_unit_test(padding_of_a_frame_is_no_check_sequence),
		cmocka_unit_test(length_before_capture_is_kept_if_the_packet_keeps_its_length),
		cmocka_unit_test(metadata_of_recordings_is_delivered),
		cmocka_unit_test(packet_over_64_kib_is_delivered_whole),
		cmocka_unit_test(partial_checksum_is_reported),
		cmocka_unit_test(new_time_is_written_in_the_units_of_the_file),
		cmocka_unit_test(packet_decided_in_a_later_section_is_written_into_its_own),
		cmocka_unit_test(packets_of_sections_in_turn_keep_clock_and_interface),
		cmocka_unit_test(repeated_packet_is_written_into_its_own_section),
		cmocka_unit_test(repeated_packet_is_not_written_into_a_block),
		cmocka_unit_test(packets_that_are_not_unpacked_yet_do_not_wait_for_input),
		cmocka_unit_test(held_by_classic_calls),
	};

	(void)argc;
	if (getenv("IPQ_SOURCE") == NULL) {
		put_sections();
		start_again(argv, &in, &out);
	}
	return cmocka_run_group_tests(tests, make_slots, NULL);
}
