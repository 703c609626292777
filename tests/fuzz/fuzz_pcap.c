/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unchecked capture files. Every packet is within its bytes and is counted once, the reader never passes the end of
 * the file, and accepted packets are in the output, which is a valid file.
 *
 * Input: two bytes that control the reader (how many packets it receives, how it decides them; how much memory it has,
 * where the packets come from), then the file.
 */
#include <errno.h>
#include <unistd.h>
#include <linux/netfilter.h>
#include <sys/mman.h>
#include "capture/file.h"
#include "capture/capture.h"
#include "main.h"

#define SLOTS 4
#define SLOT_SIZE 4096

static struct iovec slot[SLOTS];
static struct ipq_packet packet[SLOTS];
static volatile uint8_t sink;

/* Reads every byte that a packet should have, and checks its lengths. */
static void look(const struct ipq_packet *p)
{
	uint8_t sum = 0;

	require(p->payload_len <= p->full_len && p->link_header_len <= SLOT_SIZE && p->hw_addr_len <= 8);
	for (uint32_t i = 0; (p->present & IPQ_HAS_PAYLOAD) && i < p->payload_len; i++)
		sum ^= p->payload[i];
	for (uint16_t i = 0; (p->present & IPQ_HAS_LINK_HEADER) && i < p->link_header_len; i++)
		sum ^= p->link_header[i];
	sink = sum;
}

static void run(struct source *s, uint8_t seed)
{
	unsigned repeats = 0;
	int n;

	while ((n = source_pcap.recv(s, slot, packet, 1 + seed % SLOTS, 0, NULL, NULL)) > 0) {
		for (int i = 0; i < n; i++) {
			struct source_verdict v = { .id = packet[i].id,
						    .code = (uint32_t)(seed + packet[i].id) % 7,
						    .present = seed & 0x20 ? IPQ_SET_MARK : 0,
						    .mark = seed };

			if (seed & 0x10) {
				v.present |= SOURCE_SET_TIMESTAMP;
				v.timestamp = (int64_t)((uint64_t)packet[i].timestamp + 1500000000);
			}

			look(&packet[i]);
			if ((v.code == NF_REPEAT || v.code == NF_QUEUE) && ++repeats > 100)
				v.code = NF_DROP;
			if (seed & 0x40 && packet[i].id % 3 == 0 && packet[i].present & IPQ_HAS_PAYLOAD) {
				v.present |= IPQ_SET_PAYLOAD;
				v.payload = slot[i].iov_base;
				v.payload_len = slot[i].iov_len / 2;
			}
			v.batch = seed & 0x80 && packet[i].id % 5 == 0;
			source_pcap.send(s, &v, 1);
		}
	}
	if (n == 0 && !(seed & 0x80)) /* the queue is full of undecided packets */
		source_pcap.send(s, &(struct source_verdict){ .id = UINT32_MAX / 2, .batch = 1 }, 1);
	require(source_pcap.error(s) != NULL);
}

/*
 * Checks that the counters of packets add up. Returns the minimum number of records in OUT: frames without IP after
 * a packet that still waits are written when the source is closed.
 */
static uint64_t finish(struct source *s, size_t size, bool *exact)
{
	struct pcap_summary sum;

	source_pcap_summary(s, &sum);
	require(sum.bytes_size == 0 ||
		(sum.bytes_size == size && sum.bytes_read <= size)); /* size 0: the file is compressed */
	require(sum.delivered == sum.accepted + sum.dropped + sum.repeated + sum.waiting);
	require(sum.replaced <= sum.accepted);
	*exact = sum.waiting == 0;
	source_pcap.close(s);
	return sum.accepted + sum.passed;
}

/* Reads a file that the source has written, to its end. Returns the number of records. */
static uint64_t read_back(int fd)
{
	struct capture_reader *r;
	struct capture_record record;
	struct ipq_error e;
	const uint8_t *data;
	uint64_t records = 0;
	char path[40];
	int n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	require(capture_reader_open(&r, path, &e) == 0);
	while ((n = capture_read(r, &record, &data, &e)) == 1)
		records++;
	require(n == -ENODATA && capture_reader_position(r) == capture_reader_size(r));
	capture_reader_close(r);
	return records;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const options[] = { "", ",hook=FORWARD", ",hook=OUTPUT,outdev=out", ",indev=in" };
	static uint8_t memory[SLOTS][SLOT_SIZE];
	struct source_config config = { .mode = COPY_PACKET, .queue_length = 16 };
	struct ipq_error e;
	struct source *s;
	uint64_t least, records;
	char arg[120];
	bool exact;
	int in, out;

	if (size < 2)
		return 0;
	in = memfd_create("in", MFD_CLOEXEC);
	out = memfd_create("out", MFD_CLOEXEC);
	require(in >= 0 && out >= 0 && write(in, data + 2, size - 2) == (ssize_t)(size - 2));
	for (int i = 0; i < SLOTS; i++)
		slot[i] = (struct iovec){ memory[i], data[1] & 1 ? SLOT_SIZE : SLOT_SIZE / 2 };
	config.range = data[1] & 2 ? 60 : 0;
	config.beyond_slot = data[1] & 16;
	snprintf(arg, sizeof(arg), "/proc/self/fd/%d,/proc/self/fd/%d%s", in, out, options[data[1] >> 2 & 3]);
	if (source_pcap.open(&s, arg, &e) == 0) {
		require(source_pcap.configure(s, &config, &e) >= 0);
		run(s, data[0]);
		least = finish(s, size - 2, &exact);
		records = read_back(out);
		require(records >= least && (records == least || !exact));
	}
	close(out);
	close(in);
	return 0;
}
