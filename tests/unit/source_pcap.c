/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: reading, writing, and damaged files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/netfilter.h>
#include <cmocka.h>
#include "capture_file.h"
#include "capture/capture.h"
#include "util/clock.h"

#define SLOTS 64

static struct capture_file in, out;
static struct source *source;
static struct ipq_error error;
static struct iovec slot[SLOTS];
static struct ipq_packet packet[SLOTS];
static struct source_refusal refusal[8];
static unsigned refusals;

static bool note_refusal(void *context, const struct source_refusal *r)
{
	(void)context;
	if (refusals < 8)
		refusal[refusals] = *r;
	refusals++;
	return true;
}

static int open_with(const char *options, const struct source_config *config)
{
	char arg[128];
	int err;

	snprintf(arg, sizeof(arg), "%s,%s%s", place(&in), place(&out), options);
	err = source_pcap.open(&source, arg, &error);
	return err < 0 ? err : source_pcap.configure(source, config, &error);
}

/* Opens `in`, and `out`, which is emptied. */
static void begin_with(const char *options, uint32_t queue_length)
{
	struct source_config config = { .mode = COPY_PACKET, .queue_length = queue_length };

	out.len = 0;
	refusals = 0;
	assert_int_equal(open_with(options, &config), 0);
}

static void begin(void)
{
	begin_with("", 0);
}

/* Closes the source and reads the output into `out`. */
static void finish(void)
{
	source_pcap.close(source);
	source = NULL;
	fetch(&out);
}

static int receive(unsigned max, int timeout_ms)
{
	return source_pcap.recv(source, slot, packet, max, timeout_ms, note_refusal, NULL);
}

static int decide(uint32_t id, uint32_t code)
{
	struct source_verdict v = { .id = id, .code = code, .tag = id + 1000 };

	return source_pcap.send(source, &v, 1);
}

static bool readable(void)
{
	struct pollfd fd = { .fd = source_pcap.fd(source), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static uint8_t last_byte(const struct ipq_packet *p)
{
	return p->payload[p->payload_len - 1];
}

/* Makes a file of n packets whose last bytes are 1, 2, ... */
static void numbered(uint8_t n)
{
	put_header(&in, false, false, 1);
	for (uint8_t i = 1; i <= n; i++)
		put_frame(&in, i, i, 100, i);
}

/* Checks that `out` has these packets of a file from numbered(), in this order. */
static void assert_out(const char *numbers)
{
	static struct capture_file want;

	put_header(&want, false, false, 1);
	for (; *numbers != '\0'; numbers++)
		put_frame(&want, (uint32_t)(*numbers - '0'), (uint32_t)(*numbers - '0'), 100,
			  (uint8_t)(*numbers - '0'));
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.bytes, want.bytes, want.len);
}

static void accept_everything(void)
{
	struct source_verdict v = { .code = NF_ACCEPT, .batch = 1 };
	int n;

	while ((n = receive(7, 0)) > 0) {
		v.id = packet[n - 1].id;
		assert_int_equal(source_pcap.send(source, &v, 1), 1);
	}
	assert_int_equal(n, -ENODATA);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static void accepting_all_packets_copies_the_file(void **state)
{
	uint8_t padded[60], frame[9000];

	(void)state;
	for (int nanoseconds = 0; nanoseconds < 2; nanoseconds++) {
		put_header(&in, false, nanoseconds, 1);
		put_arp(&in, 1);
		make_frame(padded, sizeof(padded), 10, 7);
		make_frame(frame, sizeof(frame), 0, 8);
		for (uint8_t i = 0; i < 9; i++) {
			put_record(&in, 1000 + i, 999999, padded, sizeof(padded), sizeof(padded));
			put_arp(&in, i);
			put_record(&in, UINT32_MAX, i, frame, 2000, 9000); /* truncated by the snaplen */
			/* the part after the second may be more than a second */
			put_record(&in, i, 2000000, frame, 9000, 9000);
			put_arp(&in, i);
		}
		begin();
		accept_everything();
		finish();
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.bytes, in.bytes, in.len);
	}
}

static void timestamps_are_correct_in_every_kind_of_file(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		put_header(&in, kind & 1, kind & 2, 1);
		put_frame(&in, 1700000000, 123456, 60, 1);
		begin();
		assert_int_equal(receive(SLOTS, 0), 1);
		assert_true(packet[0].present & IPQ_HAS_TIMESTAMP);
		assert_int_equal(packet[0].timestamp,
				 1700000000000000000LL + (kind & 2 ? 123456 : 123456000));
		assert_int_equal(decide(1, NF_ACCEPT), 1);
		finish();
		assert_memory_equal(out.bytes, in.bytes, in.len);
		assert_int_equal(out.len, in.len);
	}
}

static void pcapng_is_read(void **state)
{
	static const uint32_t blocks[] = {
		0x0a0d0d0a,
		28,
		0x1a2b3c4d,
		HALVES(1, 0),
		0xffffffff,
		0xffffffff,
		28, /* section header */
		1,
		20,
		HALVES(101, 0),
		262144,
		20, /* offset of the interface: raw IP */
		6,
		60,
		0,
		0x5f5e1,
		0x00bc614e,
		28,
		28 /* offset of the packet's frame, after times and lengths */
	};
	uint8_t frame[42];

	(void)state;
	in.len = 0;
	in.swapped = false;
	put(&in, blocks, sizeof(blocks));
	make_frame(frame, sizeof(frame), 0, 9);
	put(&in, frame + 14, 28);
	put32(&in, 60);
	begin();
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(packet[0].payload_len, 28);
	assert_memory_equal(packet[0].payload, frame + 14, 28);
	assert_int_equal(packet[0].timestamp, ((0x5f5e1LL << 32) + 0xbc614e) * 1000);
	assert_int_equal(packet[0].present & IPQ_HAS_LINK_HEADER, 0);
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	assert_int_equal(receive(SLOTS, 0), -ENODATA);
	finish();
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.bytes, in.bytes, in.len);
}

static void packet_has_fields_from_the_link_layer(void **state)
{
	static const uint8_t sender[] = { 2, 0, 0, 0, 0, 9 };
	uint8_t frame[64], tagged[68];
	char name[16];
	uint16_t type;

	(void)state;
	make_frame(frame, sizeof(frame), 0, 1);
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, "\x81\x00\x60\x2a", 4);
	memcpy(tagged + 16, frame + 12, 52);
	put_header(&in, false, false, 1);
	put_record(&in, 1, 0, tagged, sizeof(tagged), sizeof(tagged));
	begin_with(",indev=eth7", 0);
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(packet[0].present, IPQ_HAS_TIMESTAMP | IPQ_HAS_INDEV | IPQ_HAS_HWADDR |
						    IPQ_HAS_PAYLOAD | IPQ_HAS_VLAN | IPQ_HAS_LINK_HEADER);
	assert_int_equal(packet[0].id, 1);
	assert_int_equal(packet[0].hook, NF_INET_LOCAL_IN);
	assert_int_equal(packet[0].hw_protocol, 0x0800);
	assert_int_equal(packet[0].vlan_proto, 0x8100);
	assert_int_equal(packet[0].vlan_tci, 0x602a);
	assert_int_equal(packet[0].hw_addr_len, 6);
	assert_memory_equal(packet[0].hw_addr, sender, 6);
	assert_int_equal(packet[0].link_header_len, 18);
	assert_memory_equal(packet[0].link_header, tagged, 18);
	assert_int_equal(packet[0].payload_len, 50);
	assert_memory_equal(packet[0].payload, frame + 14, 50);
	assert_int_equal((uintptr_t)packet[0].payload % 4, 0);
	assert_int_equal(source_pcap.interface(source, packet[0].indev, name, &type), 0);
	assert_string_equal(name, "eth7");
	assert_int_equal(type, 1);
	assert_int_equal(source_pcap.interface(source, 3, name, &type), -ENODEV);
	finish();
}

static void packet_of_outgoing_hook_has_no_link_layer_fields(void **state)
{
	(void)state;
	numbered(1);
	begin_with(",hook=OUTPUT,outdev=eth1", 0);
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(packet[0].present, IPQ_HAS_TIMESTAMP | IPQ_HAS_OUTDEV | IPQ_HAS_PAYLOAD);
	assert_int_equal(packet[0].hook, NF_INET_LOCAL_OUT);
	assert_int_equal(packet[0].hw_protocol, 0);
	finish();
}

static void payload_longer_than_the_slot_is_truncated(void **state)
{
	const struct iovec small = { slot[0].iov_base, 40 };
	uint8_t frame[100];

	(void)state;
	make_frame(frame, sizeof(frame), 0, 1);
	numbered(1);
	begin();
	assert_int_equal(source_pcap.recv(source, &small, packet, 1, 0, NULL, NULL), 1);
	assert_int_equal(packet[0].payload_len, 24); /* 14 bytes of Ethernet, and 2 to align the packet */
	assert_int_equal(packet[0].full_len, 86);
	assert_int_equal(packet[0].flags, IPQ_PACKET_TRUNCATED);
	assert_memory_equal(packet[0].payload, frame + 14, 24);
	finish();
}

static void copy_mode_limits_the_copied_bytes(void **state)
{
	struct source_config config = { .mode = COPY_NONE };

	(void)state;
	numbered(2);
	out.len = 0;
	assert_int_equal(open_with("", &config), 0);
	assert_false(readable());
	assert_int_equal(receive(1, 0), 0);
	config.mode = COPY_META;
	assert_int_equal(source_pcap.configure(source, &config, &error), 0);
	assert_true(readable());
	assert_int_equal(receive(1, 0), 1);
	assert_int_equal(packet[0].present & IPQ_HAS_PAYLOAD, 0);
	assert_int_equal(packet[0].full_len, 86);
	config.mode = COPY_PACKET;
	config.range = 50;
	assert_int_equal(source_pcap.configure(source, &config, &error), 0);
	assert_int_equal(receive(1, 0), 1);
	assert_int_equal(packet[0].payload_len, 50);
	assert_int_equal(packet[0].flags, IPQ_PACKET_TRUNCATED);
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	assert_int_equal(decide(2, NF_ACCEPT), 1);
	finish();
	assert_out("12"); /* complete packets, although few bytes were copied */
}

/* ---- damaged files ------------------------------------------------------------------------------ */

static void truncated_file_returns_earlier_packets_and_the_offset(void **state)
{
	size_t second, whole;
	char place_text[128];

	(void)state;
	put_header(&in, false, false, 1);
	put_frame(&in, 1, 1, 100, 1);
	second = in.len;
	put_frame(&in, 2, 2, 100, 2);
	whole = in.len;
	for (in.len = second; in.len <= whole; in.len++) {
		bool is_cut = in.len > second && in.len < whole;

		begin();
		assert_int_equal(receive(SLOTS, 0), in.len == whole ? 2 : 1);
		assert_int_equal(decide(1, NF_ACCEPT), 1);
		assert_int_equal(receive(SLOTS, 0), is_cut ? -EBADMSG : -ENODATA);
		assert_int_equal(receive(SLOTS, IPQ_FOREVER), is_cut ? -EBADMSG : -ENODATA);
		assert_true(readable());
		if (is_cut) {
			snprintf(place_text, sizeof(place_text),
				 "cut: packet 2 begins at byte %zu, the file ends at byte %zu", second,
				 in.len);
			assert_non_null(strstr(source_pcap.error(source), place_text));
		}
		finish();
		assert_out("1");
	}
}

static void file_truncated_in_header_is_rejected(void **state)
{
	(void)state;
	put_header(&in, false, false, 1);
	for (in.len = 0; in.len < 24; in.len++) {
		assert_int_equal(source_pcap.open(&source, place(&in), &error), -EINVAL);
		assert_null(source);
		assert_non_null(strstr(error.text, in.path));
	}
}

static void record_length_beyond_limit_is_rejected(void **state)
{
	static const uint32_t lengths[] = { 262145, 0x7fffffff, 0x80000000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		numbered(1);
		put_frame(&in, 2, 2, 100, 2);
		memcpy(in.bytes + 24 + 116 + 8, &lengths[i], 4);
		begin();
		assert_int_equal(receive(SLOTS, 0), 1);
		assert_int_equal(receive(SLOTS, 0), -EBADMSG);
		assert_non_null(
			strstr(source_pcap.error(source), "damaged: packet 2, which begins at byte 140"));
		finish();
	}
}

static void unsupported_link_type_is_rejected_by_name(void **state)
{
	(void)state;
	put_header(&in, false, false, 249);
	assert_int_equal(source_pcap.open(&source, place(&in), &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.text, "249 USBPCAP"));
	assert_null(source);
}

static void output_to_the_input_file_is_rejected(void **state)
{
	struct source_config config = { .mode = COPY_PACKET };
	static struct capture_file before;
	char arg[80];

	(void)state;
	numbered(3);
	before = in;
	snprintf(arg, sizeof(arg), "%s,%s", place(&in), in.path);
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_int_equal(source_pcap.configure(source, &config, &error), -EINVAL);
	assert_non_null(strstr(error.text, "is also the input file"));
	source_pcap.close(source);
	fetch(&in);
	assert_int_equal(in.len, before.len);
	assert_memory_equal(in.bytes, before.bytes, before.len);
}

static void unsupported_flags_are_rejected_or_dropped(void **state)
{
	struct source_config config = { .mode = COPY_PACKET, .flags = IPQ_O_OWNER | IPQ_O_TIMESTAMP };

	(void)state;
	numbered(1);
	assert_int_equal(open_with("", &config), -EOPNOTSUPP);
	config.flags |= IPQ_O_BEST_EFFORT | 1U << 31; /* and a flag of a later version */
	assert_int_equal(source_pcap.configure(source, &config, &error), IPQ_O_TIMESTAMP | IPQ_O_BEST_EFFORT);
	finish();
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

static void accepted_packets_are_written_in_verdict_order(void **state)
{
	struct pcap_summary summary;

	(void)state;
	numbered(6);
	begin();
	assert_int_equal(receive(SLOTS, 0), 6);
	assert_int_equal(decide(5, NF_ACCEPT), 1);
	assert_int_equal(decide(1, NF_STOP), 1);
	assert_int_equal(decide(2, NF_DROP), 1);
	assert_int_equal(decide(3, NF_STOLEN), 1);
	assert_int_equal(decide(4, NF_ACCEPT), 1);
	source_pcap_summary(source, &summary);
	assert_int_equal(summary.delivered, 6);
	assert_int_equal(summary.accepted, 3);
	assert_int_equal(summary.dropped, 2);
	assert_int_equal(summary.waiting, 1);
	assert_int_equal(summary.replaced + summary.passed + summary.refused + summary.ignored, 0);
	finish();
	assert_out("514");
}

static void batch_verdict_decides_all_packets_up_to_its_id(void **state)
{
	struct source_verdict v[] = {
		{ .id = 3, .code = NF_DROP },
		{ .id = 4, .code = NF_ACCEPT, .batch = 1 },
		{ .id = 6, .code = NF_DROP, .batch = 1 },
	};

	(void)state;
	numbered(7);
	begin();
	assert_int_equal(receive(SLOTS, 0), 7);
	assert_int_equal(source_pcap.send(source, v, 3), 3);
	assert_int_equal(decide(7, NF_ACCEPT), 1);
	finish();
	assert_out("1247");
}

static void replaced_payload_keeps_link_header_and_sets_lengths(void **state)
{
	uint8_t bytes[3000], frame[100];
	struct source_verdict v = { .code = NF_ACCEPT, .present = IPQ_SET_PAYLOAD, .payload = bytes };
	static const uint32_t lengths[] = { 20, 86, 3000 };
	size_t at = 24;

	(void)state;
	memset(bytes, 0xab, sizeof(bytes));
	make_frame(frame, sizeof(frame), 0, 1);
	numbered(3);
	begin();
	assert_int_equal(receive(SLOTS, 0), 3);
	for (v.id = 1; v.id <= 3; v.id++) {
		v.payload_len = lengths[v.id - 1];
		assert_int_equal(source_pcap.send(source, &v, 1), 1);
	}
	finish();
	for (uint32_t i = 0; i < 3; i++) {
		const uint32_t header[] = { i + 1, i + 1, 14 + lengths[i], 14 + lengths[i] };

		assert_memory_equal(out.bytes + at, header, 16);
		assert_memory_equal(out.bytes + at + 16, frame, 14);
		assert_memory_equal(out.bytes + at + 30, bytes, lengths[i]);
		at += 30 + lengths[i];
	}
	assert_int_equal(out.len, at);
}

static void payload_over_65535_drops_the_packet(void **state)
{
	static uint8_t bytes[262145];
	struct source_verdict v = { .id = 1,
				    .code = NF_ACCEPT,
				    .present = IPQ_SET_PAYLOAD,
				    .payload = bytes,
				    .payload_len = sizeof(bytes) };

	(void)state;
	numbered(1);
	begin();
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(source_pcap.send(source, &v, 1), 1);
	finish();
	assert_out("");
}

static void repeated_packet_returns_with_new_id_mark_and_payload(void **state)
{
	uint8_t bytes[5000];
	struct source_verdict v = { .id = 1,
				    .code = NF_REPEAT,
				    .present = IPQ_SET_PAYLOAD | IPQ_SET_MARK,
				    .mark = 42,
				    .payload = bytes,
				    .payload_len = sizeof(bytes) };

	(void)state;
	memset(bytes, 0xcd, sizeof(bytes));
	numbered(3);
	begin();
	assert_int_equal(receive(2, 0), 2);
	assert_int_equal(source_pcap.send(source, &v, 1), 1);
	assert_int_equal(decide(2, NF_QUEUE | 7 << 16), 1);
	assert_int_equal(receive(SLOTS, 0), 3);
	assert_int_equal(packet[0].id, 3);
	assert_true(packet[0].present & IPQ_HAS_MARK);
	assert_int_equal(packet[0].mark, 42);
	assert_int_equal(packet[0].payload_len, 5000);
	assert_memory_equal(packet[0].payload, bytes, 5000);
	assert_int_equal(packet[1].id, 4);
	assert_int_equal(last_byte(&packet[1]), 2);
	assert_int_equal(packet[1].present & IPQ_HAS_MARK, 0);
	assert_int_equal(last_byte(&packet[2]), 3);
	/* this id is no longer valid, because the packet was repeated */
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	assert_int_equal(decide(5, NF_REPEAT), 1); /* repeated after the end of the file, too */
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(packet[0].id, 6);
	assert_int_equal(refusals, 1);
	assert_int_equal(decide(6, NF_ACCEPT), 1);
	assert_int_equal(decide(4, NF_ACCEPT), 1);
	assert_int_equal(receive(SLOTS, 0), -ENODATA);
	finish();
	assert_out("32");
}

static void wrong_verdict_is_refused_at_next_receive(void **state)
{
	(void)state;
	numbered(1);
	begin();
	assert_int_equal(decide(1, NF_ACCEPT), 1); /* the packet is not delivered yet */
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(decide(77, NF_DROP), 1);
	assert_int_equal(decide(1, 6), 1);
	assert_true(readable());
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), 0); /* only refusals were reported */
	assert_int_equal(refusals, 3);
	assert_int_equal(refusal[0].error, ENOENT);
	assert_int_equal(refusal[0].id, 1);
	assert_int_equal(refusal[1].error, ENOENT);
	assert_int_equal(refusal[1].id, 77);
	assert_int_equal(refusal[1].tag, 1077);
	assert_int_equal(refusal[2].error, EINVAL);
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	assert_int_equal(receive(SLOTS, 0), -ENODATA);
	assert_int_equal(refusals, 3);
	finish();
	assert_out("1");
}

static void frames_without_ip_are_copied_in_order(void **state)
{
	static struct capture_file want;

	(void)state;
	put_header(&in, false, false, 1);
	put_arp(&in, 0);
	put_frame(&in, 1, 1, 100, 1);
	put_arp(&in, 1);
	put_frame(&in, 2, 2, 100, 2);
	put_arp(&in, 2);
	put_frame(&in, 3, 3, 100, 3);
	begin();
	assert_int_equal(receive(SLOTS, 0), 3);
	assert_int_equal(decide(2, NF_DROP), 1);
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	finish(); /* packet 3 was never decided */
	put_header(&want, false, false, 1);
	put_arp(&want, 0);
	put_arp(&want, 1);
	put_frame(&want, 1, 1, 100, 1);
	put_arp(&want, 2);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.bytes, want.bytes, want.len);
}

/* A program may decide a packet only after it has received the next one. */
static void very_many_frames_without_ip_do_not_stall(void **state)
{
	(void)state;
	put_header(&in, false, false, 1);
	put_frame(&in, 1, 1, 100, 1);
	for (int i = 0; i < 8193; i++)
		put_record(&in, 1, 1, NULL, 0, 0);
	put_frame(&in, 2, 2, 100, 2);
	begin_with("", 2);
	assert_int_equal(receive(SLOTS, 0), 2);
	assert_int_equal(last_byte(packet + 1), 2);
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	assert_int_equal(decide(2, NF_ACCEPT), 1);
	finish();
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.bytes + in.len - 116, in.bytes + in.len - 116, 116);
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static void full_queue_pauses_reading_without_loss(void **state)
{
	int64_t start;

	(void)state;
	numbered(5);
	begin_with("", 2);
	assert_int_equal(receive(SLOTS, 0), 2);
	assert_false(readable());
	start = now_ms();
	assert_int_equal(receive(SLOTS, 30), 0);
	assert_true(now_ms() - start >= 29);
	assert_int_equal(decide(2, NF_ACCEPT), 1);
	assert_true(readable());
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), 1);
	assert_int_equal(last_byte(packet), 3);
	finish();
}

static void undecided_packet_does_not_stall_others(void **state)
{
	(void)state;
	put_header(&in, false, false, 1);
	for (int i = 0; i < 500; i++)
		put_frame(&in, 1, 1, 60, (uint8_t)i);
	begin_with("", 2);
	assert_int_equal(receive(1, 0), 1);
	for (uint32_t id = 2; id <= 500; id++) {
		assert_int_equal(receive(SLOTS, 0), 1);
		assert_int_equal(packet[0].id, id);
		assert_int_equal(decide(id, NF_ACCEPT), 1);
	}
	finish();
	assert_int_equal(out.len, 24 + 499 * 76);
}

static void *decide_later(void *context)
{
	usleep(20000);
	assert_int_equal(decide(*(const uint32_t *)context, NF_ACCEPT), 1);
	return NULL;
}

static void verdict_of_another_thread_ends_a_blocked_receive(void **state)
{
	uint32_t id = 1;
	pthread_t thread;

	(void)state;
	numbered(2);
	begin_with("", 1);
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(pthread_create(&thread, NULL, decide_later, &id), 0);
	assert_int_equal(receive(SLOTS, 5000), 1);
	assert_int_equal(last_byte(packet), 2);
	pthread_join(thread, NULL);
	finish();
	assert_out("1");
}

static void wake_ends_one_receive(void **state)
{
	(void)state;
	numbered(2);
	begin_with("", 1);
	assert_int_equal(receive(SLOTS, 0), 1);
	assert_int_equal(source_pcap.wake(source), 0);
	assert_true(readable());
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), -ECANCELED);
	assert_false(readable());
	assert_int_equal(receive(SLOTS, 0), 0);
	finish();
}

/*
 * Runs the test with packets that are `gap` ms apart. False: the process was not scheduled for too long, so the
 * result is not significant.
 */
static bool the_files_clock_paces(uint32_t gap)
{
	struct pollfd fd = { .events = POLLIN };
	int64_t start = now_ms();
	bool readable_early, readable_between;
	int early, second;

	put_header(&in, false, false, 1);
	put_frame(&in, 100, 0, 60, 1);
	put_frame(&in, 100 + gap / 1000, gap % 1000 * 1000, 60, 2);
	put_frame(&in, 99, 0, 60, 3); /* the packet's time is in the past, so it is due now */
	put_frame(&in, 100 + 2 * gap / 1000, 2 * gap % 1000 * 1000, 60, 4);
	begin_with(",pace=file", 0);
	assert_true(receive(1, 0) == 1);
	readable_early = readable();
	early = receive(1, 0);
	if (now_ms() - start >= gap)
		goto too_late;
	assert_false(readable_early);
	assert_int_equal(early, 0);
	fd.fd = source_pcap.fd(source);
	assert_int_equal(poll(&fd, 1, 60000), 1);
	assert_true(now_ms() - start >= gap - 1);
	second = receive(SLOTS, 0);
	readable_between = readable();
	if (now_ms() - start >= 2 * gap)
		goto too_late;
	assert_int_equal(second, 2);
	assert_int_equal(last_byte(&packet[1]), 3);
	assert_false(readable_between);
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), 1);
	assert_true(now_ms() - start >= 2 * gap - 1);
	assert_true(readable()); /* readable because of the end */
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), -ENODATA);
	finish();
	return true;

too_late:
	finish();
	return false;
}

static void pace_file_delays_packets_and_readability(void **state)
{
	(void)state;
	for (uint32_t gap = 200; !the_files_clock_paces(gap); gap *= 2)
		assert_true(gap < 10000);
}

/* Opens a pipe as the source. The pipe contains the file header. Returns the write end. */
static int begin_on_pipe(void)
{
	struct source_config config = { .mode = COPY_PACKET };
	char arg[128];
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	put_header(&in, false, false, 1);
	assert_int_equal(write(fd[1], in.bytes, in.len), in.len);
	snprintf(arg, sizeof(arg), "/proc/self/fd/%d,%s", fd[0], place(&out));
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_int_equal(source_pcap.configure(source, &config, &error), 0);
	close(fd[0]);
	in.len = 0;
	put_frame(&in, 1, 1, 100, 1);
	return fd[1];
}

static void receive_from_empty_pipe_respects_timeout(void **state)
{
	int fd;

	(void)state;
	out.len = 0;
	fd = begin_on_pipe();
	assert_int_equal(receive(SLOTS, 0), 0);
	assert_false(readable());
	assert_int_equal(receive(SLOTS, 10), 0);
	assert_int_equal(write(fd, in.bytes, in.len), in.len);
	assert_true(readable());
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), 1);
	assert_false(readable());
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	fetch(&out);
	assert_out("1"); /* the output was also flushed */
	close(fd);
	assert_true(readable());
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), -ENODATA);
	finish();
}

/* A program that writes into a pipe through a buffer stops inside a record. */
static void receive_from_pipe_with_half_a_packet_respects_timeout_and_wake(void **state)
{
	(void)state;
	for (size_t n = 1; n < 40; n += 9) {
		int fd = begin_on_pipe();

		assert_int_equal(write(fd, in.bytes, n), n);
		assert_int_equal(receive(SLOTS, 0), 0);
		assert_false(readable());
		assert_int_equal(receive(SLOTS, 10), 0);
		assert_int_equal(source_pcap.wake(source), 0);
		assert_int_equal(receive(SLOTS, IPQ_FOREVER), -ECANCELED);
		assert_int_equal(write(fd, in.bytes + n, in.len - n), in.len - n);
		assert_true(readable());
		assert_int_equal(receive(SLOTS, IPQ_FOREVER), 1);
		assert_int_equal(packet[0].payload_len, 86);
		assert_int_equal(decide(1, NF_ACCEPT), 1);
		close(fd);
		assert_int_equal(receive(SLOTS, IPQ_FOREVER), -ENODATA);
		finish();
	}
}

/* Another process has made the standard input non-blocking. */
static void nonblocking_standard_input_is_waited_for(void **state)
{
	struct source_config config = { .mode = COPY_PACKET };
	int fd[2], saved = dup(STDIN_FILENO);
	char arg[128];
	pid_t writer;

	(void)state;
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	assert_int_equal(dup2(fd[0], STDIN_FILENO), STDIN_FILENO);
	put_header(&in, false, false, 1);
	put_frame(&in, 1, 1, 100, 1);
	writer = fork();
	if (writer == 0) {
		usleep(50000);
		_exit(write(fd[1], in.bytes, in.len) != (ssize_t)in.len);
	}
	close(fd[1]);
	snprintf(arg, sizeof(arg), "-,%s", place(&out));
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_int_equal(source_pcap.configure(source, &config, &error), 0);
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), 1);
	assert_int_equal(decide(1, NF_ACCEPT), 1);
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), -ENODATA);
	finish();
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(fd[0]);
}

static void pipe_truncated_in_packet_is_an_error_with_offset(void **state)
{
	int fd;

	(void)state;
	out.len = 0;
	fd = begin_on_pipe();
	assert_int_equal(write(fd, in.bytes, in.len - 1), in.len - 1);
	close(fd);
	assert_int_equal(receive(SLOTS, IPQ_FOREVER), -EBADMSG);
	assert_non_null(
		strstr(source_pcap.error(source), "packet 1 begins at byte 24, the file ends at byte 139"));
	finish();
}

/* ---- writing that fails ------------------------------------------------------------------------- */

static void full_disk_is_an_error_of_configure(void **state)
{
	struct source_config config = { .mode = COPY_PACKET };
	char arg[64];

	(void)state;
	numbered(1);
	snprintf(arg, sizeof(arg), "%s,/dev/full", place(&in));
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_int_equal(source_pcap.configure(source, &config, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "/dev/full"));
	source_pcap.close(source);
}

/* A pipe whose reader closes after the header acts like a full disk. */
static void failed_write_is_an_error_of_send_and_of_the_end(void **state)
{
	struct source_config config = { .mode = COPY_PACKET };
	struct pcap_summary summary;
	char arg[64];
	int fd[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	numbered(3);
	assert_int_equal(pipe(fd), 0);
	snprintf(arg, sizeof(arg), "%s,/proc/self/fd/%d", place(&in), fd[1]);
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_int_equal(source_pcap.configure(source, &config, &error), 0);
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(receive(2, 0), 2);
	assert_int_equal(decide(1, NF_ACCEPT), 1); /* buffered */
	assert_int_equal(source_pcap.send(source, NULL, 0), -EPIPE);
	assert_int_equal(decide(2, NF_ACCEPT), -EPIPE);
	assert_non_null(strstr(source_pcap.error(source), "Broken pipe"));
	source_pcap_summary(source, &summary);
	assert_int_equal(summary.waiting, 1);
	assert_int_equal(decide(2, NF_DROP), 1);
	assert_int_equal(receive(SLOTS, 0), 1);
	/* the failed write is reported, not the end of the file */
	assert_int_equal(receive(SLOTS, 0), -EPIPE);
	source_pcap.close(source);
}

static int make_slots(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SLOTS; i++) {
		slot[i].iov_len = SOURCE_SLOT_SIZE;
		slot[i].iov_base = malloc(SOURCE_SLOT_SIZE);
		if (slot[i].iov_base == NULL)
			return -1;
	}
	return 0;
}

static int free_slots(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SLOTS; i++)
		free(slot[i].iov_base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepting_all_packets_copies_the_file),
		cmocka_unit_test(timestamps_are_correct_in_every_kind_of_file),
		cmocka_unit_test(pcapng_is_read),
		cmocka_unit_test(packet_has_fields_from_the_link_layer),
		cmocka_unit_test(packet_of_outgoing_hook_has_no_link_layer_fields),
		cmocka_unit_test(payload_longer_than_the_slot_is_truncated),
		cmocka_unit_test(copy_mode_limits_the_copied_bytes),
		cmocka_unit_test(truncated_file_returns_earlier_packets_and_the_offset),
		cmocka_unit_test(file_truncated_in_header_is_rejected),
		cmocka_unit_test(record_length_beyond_limit_is_rejected),
		cmocka_unit_test(unsupported_link_type_is_rejected_by_name),
		cmocka_unit_test(output_to_the_input_file_is_rejected),
		cmocka_unit_test(unsupported_flags_are_rejected_or_dropped),
		cmocka_unit_test(accepted_packets_are_written_in_verdict_order),
		cmocka_unit_test(batch_verdict_decides_all_packets_up_to_its_id),
		cmocka_unit_test(replaced_payload_keeps_link_header_and_sets_lengths),
		cmocka_unit_test(payload_over_65535_drops_the_packet),
		cmocka_unit_test(repeated_packet_returns_with_new_id_mark_and_payload),
		cmocka_unit_test(wrong_verdict_is_refused_at_next_receive),
		cmocka_unit_test(frames_without_ip_are_copied_in_order),
		cmocka_unit_test(very_many_frames_without_ip_do_not_stall),
		cmocka_unit_test(full_queue_pauses_reading_without_loss),
		cmocka_unit_test(undecided_packet_does_not_stall_others),
		cmocka_unit_test(verdict_of_another_thread_ends_a_blocked_receive),
		cmocka_unit_test(wake_ends_one_receive),
		cmocka_unit_test(pace_file_delays_packets_and_readability),
		cmocka_unit_test(receive_from_empty_pipe_respects_timeout),
		cmocka_unit_test(receive_from_pipe_with_half_a_packet_respects_timeout_and_wake),
		cmocka_unit_test(nonblocking_standard_input_is_waited_for),
		cmocka_unit_test(pipe_truncated_in_packet_is_an_error_with_offset),
		cmocka_unit_test(full_disk_is_an_error_of_configure),
		cmocka_unit_test(failed_write_is_an_error_of_send_and_of_the_end),
	};

	return cmocka_run_group_tests(tests, make_slots, free_slots);
}
