/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recordings (option -w): libpcap must read them, and a source that reads them must have the metadata of the
 * packets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <pcap/pcap.h>
#include <cmocka.h>
#include "capture/capture.h"
#include "capture_file.h"
#include "output/pcapng.h"

enum { PACKETS = 4, LARGE = 150000 };

static struct ipq_error error;
static uint8_t large[LARGE];

static const struct expected {
	uint8_t hook;
	const char *indev, *outdev;
	uint32_t mark; /* mark of the packets; 0: none */
	int64_t time;
	uint32_t len;
} packets[PACKETS] = {
	{ NF_INET_LOCAL_IN, "eth0", "", 0, 1700000000123456789, 60 },
	{ NF_INET_FORWARD, "eth0", "wan", 0x10, 1700000001000000001, 60 },
	{ NF_INET_LOCAL_OUT, "", "wan", 7, 1700000002000000000, LARGE },
	{ NF_INET_POST_ROUTING, "", "lo", 0, -8500000000, 60 },
};

/* Records the packets. Returns a path, valid until the next call. */
static const char *record(void)
{
	static char path[64];
	int fd = memfd_create("recording", 0);
	struct pcapng *f;

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(pcapng_open(&f, path, &error), 0);
	for (int i = 0; i < PACKETS; i++) {
		const struct expected *x = &packets[i];
		uint8_t frame[14 + 60], *bytes = x->len == LARGE ? large : frame + 14;
		struct ipq_packet p = { .present = IPQ_HAS_PAYLOAD | (x->mark != 0 ? IPQ_HAS_MARK : 0),
					.hook = x->hook,
					.mark = x->mark,
					.payload = bytes,
					.payload_len = x->len,
					.full_len = x->len };
		struct pcapng_record r = { .packet = &p, .time = x->time, .comment = "drop: drop udp" };

		make_frame(frame, sizeof(frame), 0, (uint8_t)i);
		if (x->len == LARGE) {
			memcpy(large, frame + 14, 60);
			large[2] = large[3] = 0; /* length 0, as with segmentation offload */
		}
		snprintf(r.indev, sizeof(r.indev), "%s", x->indev);
		snprintf(r.outdev, sizeof(r.outdev), "%s", x->outdev);
		assert_int_equal(pcapng_write(f, &r), 0);
	}
	assert_int_equal(pcapng_close(f), 0);
	return path;
}

static void libpcap_reads_a_recording_with_several_interfaces(void **state)
{
	char message[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline_with_tstamp_precision(record(), PCAP_TSTAMP_PRECISION_NANO, message);
	struct pcap_pkthdr *header;
	const u_char *data;

	(void)state;
	assert_non_null(p);
	assert_int_equal(pcap_datalink(p), DLT_LINUX_SLL);
	for (int i = 0; i < PACKETS; i++) {
		assert_int_equal(pcap_next_ex(p, &header, &data), 1);
		assert_int_equal(header->len, 16 + packets[i].len);
		assert_int_equal(header->caplen, 16 + packets[i].len);
		assert_int_equal(data[16], 0x45);
		if (packets[i].time > 0)
			assert_int_equal((int64_t)header->ts.tv_sec * 1000000000 + header->ts.tv_usec,
					 packets[i].time);
	}
	assert_int_equal(pcap_next_ex(p, &header, &data), PCAP_ERROR_BREAK);
	pcap_close(p);
}

static void check_interface(struct source *s, uint32_t present, uint32_t index, const char *want)
{
	char name[16];
	uint16_t type;

	assert_int_equal(present != 0, *want != '\0');
	if (present == 0)
		return;
	assert_int_equal(source_pcap.interface(s, index, name, &type), 0);
	assert_string_equal(name, want);
}

static void recording_as_a_source_has_interfaces_hook_and_mark(void **state)
{
	static uint8_t memory[PACKETS][SOURCE_SLOT_SIZE];
	struct source_config config = { .mode = COPY_PACKET, .beyond_slot = true };
	struct iovec slot[PACKETS];
	struct ipq_packet p[PACKETS];
	struct source *s;

	(void)state;
	for (int i = 0; i < PACKETS; i++)
		slot[i] = (struct iovec){ memory[i], SOURCE_SLOT_SIZE };
	assert_int_equal(source_pcap.open(&s, record(), &error), 0);
	assert_true(source_pcap.configure(s, &config, &error) >= 0);
	assert_int_equal(source_pcap.recv(s, slot, p, PACKETS, 0, NULL, NULL), PACKETS);
	for (int i = 0; i < PACKETS; i++) {
		const struct expected *x = &packets[i];

		assert_int_equal(p[i].hook, x->hook);
		check_interface(s, p[i].present & IPQ_HAS_INDEV, p[i].indev, x->indev);
		check_interface(s, p[i].present & IPQ_HAS_OUTDEV, p[i].outdev, x->outdev);
		assert_int_equal((p[i].present & IPQ_HAS_MARK) != 0, x->mark != 0);
		if (x->mark != 0)
			assert_int_equal(p[i].mark, x->mark);
		assert_int_equal(p[i].timestamp, x->time);
		assert_int_equal(p[i].payload_len, x->len);
		assert_string_equal(source_pcap.verdict(s, p[i].id), "drop");
	}
	source_pcap.close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libpcap_reads_a_recording_with_several_interfaces),
		cmocka_unit_test(recording_as_a_source_has_interfaces_hook_and_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
