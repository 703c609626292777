/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: refused, repeated and partly sent verdicts, copies, forks, interrupted writes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h> /* must precede <linux/netfilter.h> */
#include <linux/netfilter.h>
#include <cmocka.h>
#include <sys/wait.h>
#include "capture_file.h"
#include "capture/capture.h"
#include "capture/state.h"

#define SLOTS 64

static struct capture_file in, out;
static struct source *source;
static struct ipq_error error;
static struct iovec slot[SLOTS];
static struct ipq_packet packet[SLOTS];
static unsigned refusals;
static int refused_with;

/* ---- writes that fail ---------------------------------------------------------------------------- */

static int write_errno;	     /* errno of the next write; 0: none */
static unsigned writes_left; /* number of writes before the error; 0: no limit */

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	if (len < 16) /* a write to an eventfd */
		return __real_write(fd, bytes, len);
	errno = writes_left == 1 ? ENOSPC : write_errno;
	write_errno = 0;
	writes_left -= writes_left > 1;
	return errno != 0 ? -1 : __real_write(fd, bytes, len > 1000 ? len / 2 : len);
}

/* ------------------------------------------------------------------------------------------------- */

static int make_slots(void **state)
{
	static uint8_t memory[SLOTS][SOURCE_SLOT_SIZE];

	(void)state;
	for (int i = 0; i < SLOTS; i++)
		slot[i] = (struct iovec){ memory[i], SOURCE_SLOT_SIZE };
	return 0;
}

static bool count_refusal(void *context, const struct source_refusal *r)
{
	(void)context;
	refusals++;
	refused_with = r->error;
	return true;
}

static void begin_with(const char *input, const char *output, const char *options)
{
	struct source_config config = { .mode = COPY_PACKET, .beyond_slot = true };
	char arg[128];

	refusals = 0;
	snprintf(arg, sizeof(arg), "%s,%s%s", input, output, options);
	assert_int_equal(source_pcap.open(&source, arg, &error), 0);
	assert_true(source_pcap.configure(source, &config, &error) >= 0);
}

static void begin(void)
{
	out.len = 0;
	begin_with(place(&in), place(&out), "");
}

static int receive(int timeout_ms)
{
	return source_pcap.recv(source, slot, packet, SLOTS, timeout_ms, count_refusal, NULL);
}

static int decide(struct source_verdict v)
{
	return source_pcap.send(source, &v, 1);
}

static void accept_id(uint32_t id)
{
	assert_int_equal(decide((struct source_verdict){ .id = id, .code = NF_ACCEPT }), 1);
}

static void finish(void)
{
	source_pcap.close(source);
	fetch(&out);
}

static void numbered(uint8_t n)
{
	put_header(&in, false, false, 1);
	for (uint8_t i = 1; i <= n; i++)
		put_frame(&in, i, i, 100, i);
}

static struct pcap_summary summary(void)
{
	struct pcap_summary s;

	source_pcap_summary(source, &s);
	return s;
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static void wrong_batches_are_refused(void **state)
{
	struct source_verdict v = { .code = NF_ACCEPT, .batch = 1 };

	(void)state;
	numbered(3);
	begin();
	assert_int_equal(receive(0), 3);
	v.id = packet[0].id - 1; /* an id before those of all waiting packets */
	assert_int_equal(decide(v), 1);
	assert_int_equal(receive(0), 0);
	assert_int_equal(refused_with, ENOENT);
	v.id = packet[2].id;
	v.present = IPQ_SET_PAYLOAD; /* a replacement for several packets is invalid */
	v.payload = in.bytes;
	v.payload_len = 40;
	assert_int_equal(decide(v), 1);
	assert_int_equal(receive(0), 0);
	assert_int_equal(refused_with, EINVAL);
	assert_int_equal(refusals, 2);
	assert_int_equal(summary().waiting, 3);
	assert_int_equal(summary().refused, 2);
	finish();
}

static void refusals_are_reported_each_once_up_to_a_limit(void **state)
{
	static struct source_verdict v[REFUSALS_MAX + 100];

	(void)state;
	numbered(1);
	begin();
	assert_int_equal(receive(0), 1);
	for (unsigned i = 0; i < 100; i++)
		v[i] = (struct source_verdict){ .id = 1000 + i, .code = NF_ACCEPT };
	assert_int_equal(source_pcap.send(source, v, 100), 100);
	assert_int_equal(receive(0), 0);
	assert_int_equal(refusals, 100);
	for (unsigned i = 0; i < REFUSALS_MAX + 100; i++)
		v[i] = v[0];
	assert_int_equal(source_pcap.send(source, v, REFUSALS_MAX + 100), REFUSALS_MAX + 100);
	while (receive(0) == 0)
		;
	assert_int_equal(refusals, 100 + REFUSALS_MAX);
	assert_int_equal(summary().refused, 200 + REFUSALS_MAX);
	finish();
}

/* The disk becomes full: verdicts that were carried out are not sent again; the other packets still wait. */
static void verdicts_before_a_failed_write_are_reported(void **state)
{
	static uint8_t large[60000] = { 0x45 };
	struct source_verdict v[10];
	int n;

	(void)state;
	numbered(10);
	begin();
	assert_int_equal(receive(0), 10);
	for (unsigned i = 0; i < 10; i++)
		v[i] = (struct source_verdict){ .id = packet[i].id,
						.code = NF_ACCEPT,
						.present = IPQ_SET_PAYLOAD,
						.payload = large,
						.payload_len = sizeof(large) };
	writes_left = 1;
	n = source_pcap.send(source, v, 10);
	assert_in_range(n, 3, 5);
	assert_int_equal(summary().accepted, n);
	assert_int_equal(summary().waiting, 10 - n);
	assert_int_equal(source_pcap.send(source, v + n, 1), -ENOSPC);
	assert_int_equal(summary().waiting, 10 - n);
	assert_non_null(strstr(source_pcap.error(source), "No space left"));
	writes_left = 0;
	finish();
}

/* ---- order and repetition ----------------------------------------------------------------------- */

/* Frames after the last packet. When they are read, the packet still waits. */
static void frames_after_the_last_packet_pass_with_its_verdict(void **state)
{
	(void)state;
	numbered(1);
	put_arp(&in, 1);
	begin();
	assert_int_equal(receive(0), 1);
	while (receive(0) == 0)
		;
	assert_int_equal(summary().passed, 0);
	assert_int_equal(decide((struct source_verdict){ .id = packet[0].id, .code = NF_DROP }), 1);
	assert_int_equal(summary().passed, 1);
	finish();
}

static void repeated_packet_is_the_changed_one(void **state)
{
	static const uint8_t shorter[40] = { 0x45, 0, 0,  40, 0, 0, 0,	0, 64, 253,
					     0,	   0, 10, 0,  0, 1, 10, 0, 0,  2 };
	struct pollfd fd;
	uint32_t id;

	(void)state;
	numbered(1);
	begin();
	assert_int_equal(receive(0), 1);
	id = packet[0].id;
	assert_int_equal(receive(0), -ENODATA);
	assert_int_equal(decide((struct source_verdict){ .id = id,
							 .code = NF_REPEAT,
							 .present = IPQ_SET_PAYLOAD | IPQ_SET_MARK,
							 .mark = 9,
							 .payload = shorter,
							 .payload_len = sizeof(shorter) }),
			 1);
	fd = (struct pollfd){ .fd = source_pcap.fd(source), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 0), 1);
	assert_int_equal(receive(0), 1);
	assert_int_not_equal(packet[0].id, id);
	assert_int_equal(packet[0].payload_len, sizeof(shorter));
	assert_int_equal(packet[0].full_len, sizeof(shorter));
	assert_memory_equal(packet[0].payload, shorter, sizeof(shorter));
	assert_int_equal(packet[0].mark, 9);
	accept_id(packet[0].id);
	assert_int_equal(summary().repeated, 1);
	finish();
	assert_int_equal(out.len, 24 + 16 + 14 + sizeof(shorter));
}

static void repeated_packet_with_another_mark_keeps_its_payload(void **state)
{
	uint8_t payload[86];

	(void)state;
	numbered(1);
	begin();
	assert_int_equal(receive(0), 1);
	memcpy(payload, packet[0].payload, sizeof(payload));
	assert_int_equal(decide((struct source_verdict){
				 .id = packet[0].id, .code = NF_REPEAT, .present = IPQ_SET_MARK, .mark = 9 }),
			 1);
	assert_int_equal(receive(0), 1);
	assert_int_equal(packet[0].mark, 9);
	assert_int_equal(packet[0].payload_len, sizeof(payload));
	assert_memory_equal(packet[0].payload, payload, sizeof(payload));
	accept_id(packet[0].id);
	finish();
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.bytes, in.bytes, in.len);
}

/* A packet of pcap, where no padding follows a frame. */
static void repeated_packet_of_any_length_is_the_changed_one(void **state)
{
	static uint8_t other[60] = { 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 253 };

	(void)state;
	for (size_t len = 40; len < 44; len++) {
		put_header(&in, false, false, 1);
		put_frame(&in, 1, 1, 97 + len % 4, 1);
		begin();
		assert_int_equal(receive(0), 1);
		for (size_t times = 0; times < 2; times++) { /* longer, and shorter */
			other[3] = (uint8_t)(len + 10 - 10 * times);
			assert_int_equal(decide((struct source_verdict){ .id = packet[0].id,
									 .code = NF_REPEAT,
									 .present = IPQ_SET_PAYLOAD,
									 .payload = other,
									 .payload_len = other[3] }),
					 1);
			assert_int_equal(receive(0), 1);
			assert_int_equal(packet[0].payload_len, other[3]);
			assert_memory_equal(packet[0].payload, other, other[3]);
		}
		accept_id(packet[0].id);
		finish();
		assert_int_equal(out.len, 24 + 16 + 14 + len);
		assert_memory_equal(out.bytes + 24 + 16 + 14, other, len);
	}
}

/* A reader that sleeps because the queue is full is woken by the repeated packet. */
static void repeated_packet_makes_a_full_queue_readable(void **state)
{
	struct source_config config = { .mode = COPY_PACKET, .queue_length = 1 };
	struct pollfd fd;

	(void)state;
	numbered(3);
	begin();
	assert_true(source_pcap.configure(source, &config, &error) >= 0);
	assert_int_equal(receive(0), 1);
	fd = (struct pollfd){ .fd = source_pcap.fd(source), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_int_equal(decide((struct source_verdict){ .id = packet[0].id, .code = NF_QUEUE_NR(5) }), 1);
	assert_int_equal(poll(&fd, 1, 0), 1);
	assert_int_equal(receive(0), 1);
	assert_int_equal(packet[0].payload[packet[0].payload_len - 1], 1);
	finish();
}

static void replaced_packets_are_counted(void **state)
{
	static const uint8_t bytes[40] = { 0x45, 0, 0, 40 };

	(void)state;
	numbered(2);
	begin();
	assert_int_equal(receive(0), 2);
	accept_id(packet[0].id);
	assert_int_equal(summary().replaced, 0);
	assert_int_equal(decide((struct source_verdict){ .id = packet[1].id,
							 .code = NF_ACCEPT,
							 .present = IPQ_SET_PAYLOAD,
							 .payload = bytes,
							 .payload_len = sizeof(bytes) }),
			 1);
	assert_int_equal(summary().replaced, 1);
	assert_int_equal(summary().accepted, 2);
	finish();
}

/* `ipq` shows these numbers while a large file is read. */
static void summary_shows_how_much_was_read_and_written(void **state)
{
	(void)state;
	numbered(3);
	begin();
	assert_int_equal(summary().bytes_size, 24 + 3 * 116);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(source_pcap.recv(source, slot, packet, 1, 0, count_refusal, NULL), 1);
		assert_int_equal(summary().bytes_read, 24 + i * 116);
		assert_int_equal(summary().bytes_written, 24 + (i - 1) * 116);
		accept_id(packet[0].id);
		assert_int_equal(summary().bytes_written, 24 + i * 116);
	}
	finish();
}

static void copies_are_of_waiting_packets_only(void **state)
{
	struct source_verdict v;

	(void)state;
	numbered(1);
	begin();
	assert_int_equal(receive(0), 1);
	v = (struct source_verdict){ .id = packet[0].id, .code = NF_ACCEPT };
	assert_int_equal(source_pcap.copy(source, &v), 0);
	assert_int_equal(summary().waiting, 1);
	accept_id(v.id);
	assert_int_equal(source_pcap.copy(source, &v), -ENOENT);
	finish();
	assert_int_equal(out.len, 24 + 2 * 116);
}

/* ---- the output --------------------------------------------------------------------------------- */

static void packets_are_in_the_file_before_the_reader_sleeps(void **state)
{
	int pair[2];
	char path[32];

	(void)state;
	numbered(2);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(write(pair[1], in.bytes, in.len), in.len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair[0]);
	out.len = 0;
	begin_with(path, place(&out), "");
	assert_int_equal(source_pcap.recv(source, slot, packet, 1, 0, count_refusal, NULL), 1);
	accept_id(packet[0].id);
	assert_int_equal(receive(0), 1); /* this packet is not decided */
	assert_int_equal(receive(0), 0); /* the pipe has no data yet */
	fetch(&out);
	assert_int_equal(out.len, 24 + 116);
	close(pair[1]);
	close(pair[0]);
	finish();
}

static void old_content_of_the_output_is_removed(void **state)
{
	char path[] = "/tmp/ipq-old-XXXXXX";
	int fd = mkstemp(path);
	static uint8_t old[5000];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, old, sizeof(old), 0), sizeof(old));
	numbered(1);
	begin_with(place(&in), path, "");
	assert_int_equal(receive(0), 1);
	accept_id(packet[0].id);
	source_pcap.close(source);
	assert_int_equal(lseek(fd, 0, SEEK_END), in.len);
	close(fd);
	unlink(path);
}

static void forked_child_writes_nothing(void **state)
{
	int status;
	pid_t child;

	(void)state;
	numbered(2);
	begin();
	assert_int_equal(source_pcap.recv(source, slot, packet, 1, 0, count_refusal, NULL), 1);
	accept_id(packet[0].id); /* the packet is buffered */
	child = fork();
	if (child == 0) {
		source_pcap.close_after_fork(source);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(receive(0), 1);
	accept_id(packet[0].id);
	finish();
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.bytes, in.bytes, in.len);
}

static void interrupted_write_is_continued(void **state)
{
	(void)state;
	put_header(&in, false, false, 1);
	for (uint8_t i = 0; i < 10; i++)
		put_frame(&in, i, i, 9000, i);
	begin();
	assert_int_equal(receive(0), 10);
	for (int i = 0; i < 9; i++)
		accept_id(packet[i].id);
	write_errno = EINTR;
	accept_id(packet[9].id);
	finish();
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.bytes, in.bytes, in.len);
}

/* ---- the parts of a record besides its frame -------------------------------------------------------- */

static void more_link_types_than_fit_are_counted_together(void **state)
{
	(void)state;
	put_section(&in, false);
	for (uint32_t i = 0; i < 12; i++) {
		put32(&in, 1);
		put32(&in, 20);
		put16(&in, (uint16_t)(30000 + i % 10));
		put16(&in, 0);
		put32(&in, 0);
		put32(&in, 20);
		put32(&in, 6);
		put32(&in, 36);
		put32(&in, i);
		put32(&in, 0);
		put32(&in, 0);
		put32(&in, 4);
		put32(&in, 4);
		put32(&in, 0x45454545);
		put32(&in, 36);
	}
	begin();
	assert_int_equal(receive(0), -ENODATA);
	assert_non_null(strstr(source_pcap.error(source), " 2 of link type 30000"));
	assert_non_null(strstr(source_pcap.error(source), " 2 of link type 30001"));
	assert_non_null(strstr(source_pcap.error(source), " 1 of link type 30002"));
	assert_int_equal(summary().unread, 12);
	finish();
}

static void put_interface(const char *name)
{
	uint32_t len = (uint32_t)strlen(name), whole = 20 + 4 + ((len + 3) & ~3U);

	put32(&in, 1);
	put32(&in, whole);
	put16(&in, 1);
	put16(&in, 0);
	put32(&in, 0);
	put16(&in, 2);
	put16(&in, (uint16_t)len);
	put(&in, name, len);
	put(&in, "\0\0\0", -len & 3);
	put32(&in, whole);
}

/* Writes a packet of this interface with an option. */
static void put_block(uint32_t interface, uint16_t code, uint32_t enterprise, const char *text)
{
	uint32_t len = (uint32_t)strlen(text) + (code == 2988 ? 4 : 0), padded = (len + 3) & ~3U;
	uint32_t whole = 32 + 100 + 4 + padded;
	uint8_t frame[100];

	make_frame(frame, sizeof(frame), 0, 1);
	put32(&in, 6);
	put32(&in, whole);
	put32(&in, interface);
	put32(&in, 0);
	put32(&in, 0);
	put32(&in, 100);
	put32(&in, 100);
	put(&in, frame, 100);
	put16(&in, code);
	put16(&in, (uint16_t)len);
	if (code == 2988)
		put32(&in, enterprise);
	put(&in, text, strlen(text));
	put(&in, "\0\0\0", padded - len);
	put32(&in, whole);
}

static void end_of_the_file_is_described(void **state)
{
	char text[100];

	(void)state;
	for (unsigned unread = 0; unread < 2; unread++) {
		put_section(&in, false);
		put_interface("eth0");
		put_block(0, 1, 0, "");
		if (unread) /* the link type of the interface */
			memcpy(in.bytes + 28 + 8, &(uint16_t){ 30000 }, 2);
		begin();
		assert_int_equal(receive(0), unread ? -ENODATA : 1);
		assert_int_equal(receive(0), -ENODATA);
		snprintf(text, sizeof(text), "%s ends after 1 packets%s", in.path,
			 unread ? "; 1 of link type 30000 were not read" : "");
		assert_string_equal(source_pcap.error(source), text);
		finish();
	}
}

static void options_of_others_are_no_metadata(void **state)
{
	char text[1000] = "ipq mark=0x7 hook=OUTPUT ";

	(void)state;
	put_section(&in, false);
	put_interface("eth0");
	put_block(0, 2988, 21373, "ipq mark=0x7 hook=OUTPUT");
	put_block(0, 2988, 21374, "ipq mark=0x7 hook=OUTPUT");
	put_block(0, 2988, 21373, "xyz mark=0x7 hook=OUTPUT");
	memset(text + 25, 'x', 400); /* longer than any text that ipq writes */
	put_block(0, 2988, 21373, text);
	begin();
	assert_int_equal(receive(0), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(packet[i].mark, i == 0 ? 7 : 0);
		assert_int_equal(packet[i].hook, i == 0 ? NF_INET_LOCAL_OUT : NF_INET_LOCAL_IN);
	}
	finish();
}

static void names_of_interfaces_are_limited(void **state)
{
	unsigned n = 0;
	int got;

	(void)state;
	put_section(&in, false);
	for (uint32_t i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "eth%u", i);
		put_interface(name);
		put_block(i, 1, 0, "");
	}
	begin();
	while ((got = receive(0)) > 0)
		for (int i = 0; i < got; i++, n++) {
			char name[16];
			uint16_t type;

			assert_int_equal(packet[i].indev, n < 256 ? n + 1 : 1);
			assert_int_equal(source_pcap.interface(source, packet[i].indev, name, &type), 0);
			accept_id(packet[i].id);
		}
	assert_int_equal(n, 300);
	finish();
}

static void comment_of_a_repeated_packet_is_kept(void **state)
{
	static uint8_t other[3000] = { 0x45, 0, 0, 200, 0, 0, 0, 0, 64, 253 };
	static const uint32_t lengths[] = { 40, 41, 42, 43, 86, 87, 88, 89, 2100, 2999 };

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct capture_record record;
		struct capture_reader *reader;
		const uint8_t *data, *value;
		size_t at = 0, size;

		put_section(&in, false);
		put_interface("eth0");
		put_block(0, 1, 0, "a comment");
		begin();
		assert_int_equal(receive(0), 1);
		assert_int_equal(decide((struct source_verdict){ .id = packet[0].id,
								 .code = NF_REPEAT,
								 .present = IPQ_SET_PAYLOAD,
								 .payload = other,
								 .payload_len = lengths[i] }),
				 1);
		assert_int_equal(receive(0), 1);
		assert_int_equal(packet[0].payload_len, lengths[i]);
		accept_id(packet[0].id);
		finish();
		assert_int_equal(capture_reader_open(&reader, place(&out), &error), 0);
		assert_int_equal(capture_read(reader, &record, &data, &error), 1);
		assert_int_equal(record.caplen, 14 + lengths[i]);
		value = capture_option(&record, data + record.caplen, 1, &at, &size);
		assert_non_null(value);
		assert_int_equal(size, 9);
		assert_memory_equal(value, "a comment", 9);
		assert_int_equal(capture_read(reader, &record, &data, &error), -ENODATA);
		capture_reader_close(reader);
	}
}

static void link_header_larger_than_the_slot_is_left_out(void **state)
{
	uint8_t memory[64];
	const struct iovec small = { memory, 8 };

	(void)state;
	memset(memory, 0xee, sizeof(memory));
	numbered(1);
	begin();
	assert_int_equal(source_pcap.recv(source, &small, packet, 1, 0, count_refusal, NULL), 1);
	assert_int_equal(packet[0].present & IPQ_HAS_LINK_HEADER, 0);
	for (unsigned i = 8; i < sizeof(memory); i++)
		assert_int_equal(memory[i], 0xee);
	finish();
}

/* NFLOG records with unknown hooks. */
static void hook_that_does_not_exist_is_replaced(void **state)
{
	static uint8_t frame[] = { 2, 0,  0, 7, 8, 0, 1,  0,  8, 0, 9,	0, 24, 0, 9,  0, 0x45, 0,
				   0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0,  1, 10, 0, 0,    2 };

	(void)state;
	for (unsigned hook = 3; hook < 7; hook++) {
		frame[10] = (uint8_t)hook;
		put_header(&in, false, false, 239);
		put_record(&in, 1, 0, frame, sizeof(frame), sizeof(frame));
		begin();
		assert_int_equal(receive(0), 1);
		assert_int_equal(packet[0].hook, hook <= NF_INET_POST_ROUTING ? hook : NF_INET_LOCAL_IN);
		finish();
	}
}

/* ---- changed times -------------------------------------------------------------------------------- */

/* Gives another time to the first packet of `in`. Returns its record in the output. */
static struct capture_record with_time(int64_t time)
{
	struct capture_record record;
	struct capture_reader *reader;
	const uint8_t *data;

	begin();
	assert_true(receive(0) > 0);
	assert_int_equal(decide((struct source_verdict){ .id = packet[0].id,
							 .code = NF_ACCEPT,
							 .present = SOURCE_SET_TIMESTAMP,
							 .timestamp = time }),
			 1);
	finish();
	assert_int_equal(capture_reader_open(&reader, place(&out), &error), 0);
	assert_int_equal(capture_read(reader, &record, &data, &error), 1);
	capture_reader_close(reader);
	return record;
}

static void cut_packet_of_an_old_file_keeps_its_lengths(void **state)
{
	struct capture_record record;
	uint8_t frame[100];

	(void)state;
	put_header(&in, false, false, 1);
	memcpy(in.bytes + 6, &(uint16_t){ 2 }, 2); /* version 2.2: the two lengths are exchanged */
	make_frame(frame, sizeof(frame), 0, 1);
	put32(&in, 1);
	put32(&in, 1);
	put32(&in, 100);
	put32(&in, 60);
	put(&in, frame, 60);
	record = with_time(77000000000);
	assert_int_equal(record.sec, 77);
	assert_int_equal(record.caplen, 60);
	assert_int_equal(record.len, 100);
}

/* Writes an interface with this offset in seconds, and a clock in nanoseconds. */
static void put_clock(int64_t offset)
{
	put32(&in, 1);
	put32(&in, 20 + 12 + 8);
	put16(&in, 1);
	put16(&in, 0);
	put32(&in, 0);
	put16(&in, 14);
	put16(&in, 8);
	put(&in, &offset, 8);
	put16(&in, 9);
	put16(&in, 1);
	put(&in, "\11\0\0\0", 4);
	put32(&in, 20 + 12 + 8);
}

static void new_time_is_counted_from_the_offset_of_the_clock(void **state)
{
	struct capture_record record;

	(void)state;
	for (int64_t offset = -1000; offset <= 1000; offset += 2000) {
		put_section(&in, false);
		put_clock(offset);
		put_block(0, 1, 0, "a comment");
		record = with_time(5000000000 + 1000000000 * offset + 500000000);
		assert_int_equal(record.sec, offset + 5);
		assert_int_equal(record.nsec, 500000000);
	}
	put_section(&in, false);
	put_clock(-1000);
	put_block(0, 1, 0, "a comment");
	record = with_time(-1500000000);
	assert_int_equal(record.sec, -2);
	assert_int_equal(record.nsec, 500000000);
}

static void hash_of_the_old_frame_is_left_out(void **state)
{
	(void)state;
	for (unsigned changed = 0; changed < 2; changed++) {
		static const uint8_t bytes[86] = { 0x45, 0, 0, 86 };

		put_section(&in, false);
		put_interface("eth0");
		put_block(0, 3, 0, "a hash");
		begin();
		assert_int_equal(receive(0), 1);
		assert_int_equal(decide((struct source_verdict){ .id = packet[0].id,
								 .code = NF_ACCEPT,
								 .present = changed ? IPQ_SET_PAYLOAD : 0,
								 .payload = bytes,
								 .payload_len = sizeof(bytes) }),
				 1);
		finish();
		assert_int_equal(memmem(out.bytes, out.len, "a hash", 6) == NULL, changed);
	}
}

/* ---- events that make the descriptor readable -------------------------------------------------------- */

static bool readable(void)
{
	return poll(&(struct pollfd){ .fd = source_pcap.fd(source), .events = POLLIN }, 1, 0) == 1;
}

static void limit_packets(uint32_t n)
{
	struct source_config config = { .mode = COPY_PACKET, .queue_length = n };

	assert_true(source_pcap.configure(source, &config, &error) >= 0);
}

/*
 * The next packet is due, but the queue is full. The descriptor must not be readable, because the reader would
 * busy-wait.
 */
static void full_queue_is_not_readable_when_the_next_packet_is_due(void **state)
{
	(void)state;
	put_header(&in, false, false, 1);
	for (uint8_t i = 0; i < 3; i++)
		put_frame(&in, 1, i == 0 ? 0 : 400000U + i * 10000U, 100, i);
	out.len = 0;
	begin_with(place(&in), place(&out), ",pace=file");
	limit_packets(2);
	assert_int_equal(receive(0), 1);
	assert_false(readable());
	assert_int_equal(receive(5000), 1);
	usleep(30000);
	assert_false(readable());
	accept_id(packet[0].id);
	assert_true(readable());
	finish();
}

static void full_queue_is_not_readable_when_its_pipe_is(void **state)
{
	size_t first = 24 + 116;
	char path[32];
	int pair[2];

	(void)state;
	numbered(4);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(__real_write(pair[1], in.bytes, first), first);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair[0]);
	out.len = 0;
	begin_with(path, place(&out), "");
	limit_packets(2);
	assert_int_equal(receive(0), 1);
	assert_false(readable());
	assert_int_equal(__real_write(pair[1], in.bytes + first, 116), 116);
	assert_true(readable());
	assert_int_equal(receive(0), 1);
	assert_int_equal(__real_write(pair[1], in.bytes + first + 116, 2 * 116), 2 * 116);
	assert_false(readable());
	accept_id(packet[0].id);
	assert_true(readable());
	close(pair[0]);
	close(pair[1]);
	finish();
}

static void long_packets_fill_the_queue_earlier(void **state)
{
	size_t *bytes;

	(void)state;
	numbered(2);
	begin();
	bytes = &pcap_of(source)->store.longer_bytes;
	*bytes += HELD_LONG_MAX;
	assert_int_equal(receive(0), 0);
	*bytes -= HELD_LONG_MAX;
	assert_int_equal(receive(0), 2);
	finish();
}

/* ---- partial checksums ---------------------------------------------------------------------------- */

/* Makes an IPv4 UDP packet from 10.0.0.1 to 10.0.0.2 whose checksum is the sum of its pseudo-header. */
static struct held partial(uint8_t bytes[32])
{
	static const uint8_t udp[32] = { 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0,	 0,  10,  0,   0,   1,
					 10,   0, 0, 2,	 0, 7, 0, 9, 0,	 12, 20, 32, 'a', 'b', 'c', 'd' };

	memcpy(bytes, udp, 32);
	return (struct held){ .data = bytes,
			      .frame = { .family = AF_INET, .payload_len = 32, .full_len = 32 } };
}

static void checksum_is_partial_only_of_whole_packets(void **state)
{
	uint8_t bytes[32];
	struct held h = partial(bytes);

	(void)state;
	assert_true(source_pcap_checksum_partial(&h));
	bytes[6] = 0x20; /* the first fragment */
	assert_false(source_pcap_checksum_partial(&h));
	bytes[6] = 0x40; /* only the flag "don't fragment" */
	assert_true(source_pcap_checksum_partial(&h));
	bytes[26] = 0x14, bytes[27] = 0x14; /* the sum without the length */
	assert_true(source_pcap_checksum_partial(&h));
	h.frame.full_len = 100; /* cut */
	assert_false(source_pcap_checksum_partial(&h));
	h = partial(bytes);
	bytes[26] = bytes[27] = 0; /* no checksum */
	memset(bytes + 12, 0, 8);
	bytes[9] = 17;
	assert_false(source_pcap_checksum_partial(&h));
	h = partial(bytes);
	bytes[27]++;
	assert_false(source_pcap_checksum_partial(&h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_batches_are_refused),
		cmocka_unit_test(refusals_are_reported_each_once_up_to_a_limit),
		cmocka_unit_test(verdicts_before_a_failed_write_are_reported),
		cmocka_unit_test(frames_after_the_last_packet_pass_with_its_verdict),
		cmocka_unit_test(repeated_packet_is_the_changed_one),
		cmocka_unit_test(repeated_packet_makes_a_full_queue_readable),
		cmocka_unit_test(repeated_packet_with_another_mark_keeps_its_payload),
		cmocka_unit_test(repeated_packet_of_any_length_is_the_changed_one),
		cmocka_unit_test(summary_shows_how_much_was_read_and_written),
		cmocka_unit_test(end_of_the_file_is_described),
		cmocka_unit_test(replaced_packets_are_counted),
		cmocka_unit_test(copies_are_of_waiting_packets_only),
		cmocka_unit_test(packets_are_in_the_file_before_the_reader_sleeps),
		cmocka_unit_test(old_content_of_the_output_is_removed),
		cmocka_unit_test(forked_child_writes_nothing),
		cmocka_unit_test(interrupted_write_is_continued),
		cmocka_unit_test(options_of_others_are_no_metadata),
		cmocka_unit_test(names_of_interfaces_are_limited),
		cmocka_unit_test(comment_of_a_repeated_packet_is_kept),
		cmocka_unit_test(link_header_larger_than_the_slot_is_left_out),
		cmocka_unit_test(more_link_types_than_fit_are_counted_together),
		cmocka_unit_test(hook_that_does_not_exist_is_replaced),
		cmocka_unit_test(cut_packet_of_an_old_file_keeps_its_lengths),
		cmocka_unit_test(new_time_is_counted_from_the_offset_of_the_clock),
		cmocka_unit_test(hash_of_the_old_frame_is_left_out),
		cmocka_unit_test(full_queue_is_not_readable_when_the_next_packet_is_due),
		cmocka_unit_test(full_queue_is_not_readable_when_its_pipe_is),
		cmocka_unit_test(long_packets_fill_the_queue_earlier),
		cmocka_unit_test(checksum_is_partial_only_of_whole_packets),
	};

	return cmocka_run_group_tests(tests, make_slots, NULL);
}
