/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Capture files that nobody has checked. The first two bytes steer the reader (how much it takes, how it
 * decides), the rest is the file. Built with libFuzzer by clang; otherwise a program that runs the files
 * it is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/netfilter.h>
#include <sys/mman.h>
#include "source_pcap.h"

#define SLOTS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct source_slot slot[SLOTS];
static struct ipq_packet packet[SLOTS];
static volatile uint8_t sink;

/* Looks at every byte that a packet claims to have, and at the claims. */
static void look(const struct ipq_packet *p, const struct source_slot *s)
{
	uint8_t sum = 0;

	if (p->payload_len > p->full_len || p->link_header_len > SOURCE_HEAD_MIN || p->hw_addr_len > 8)
		abort();
	for (uint32_t i = 0; (p->present & IPQ_HAS_PAYLOAD) && i < p->payload_len; i++)
		sum ^= i < s->payload_split ? p->payload[i] : s->tail[i - s->payload_split];
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
						    .code = (uint32_t)(seed + packet[i].id) % 7 };

			look(&packet[i], &slot[i]);
			if ((v.code == NF_REPEAT || v.code == NF_QUEUE) && ++repeats > 100)
				v.code = NF_DROP;
			if (seed & 0x40 && packet[i].id % 3 == 0 && packet[i].present & IPQ_HAS_PAYLOAD) {
				v.present = IPQ_SET_PAYLOAD;
				v.payload = slot[i].head;
				v.payload_len = slot[i].head_room / 2;
			}
			v.batch = seed & 0x80 && packet[i].id % 5 == 0;
			source_pcap.send(s, &v, 1);
		}
	}
	if (n == 0 && !(seed & 0x80)) /* full: some were left undecided */
		source_pcap.send(s, &(struct source_verdict){ .id = UINT32_MAX / 2, .batch = 1 }, 1);
	if (source_pcap.error(s) == NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t head[SLOTS][2048], tail[SLOTS][1500];
	struct source_config config = { .mode = COPY_PACKET, .queue_length = 16 };
	struct ipq_error e;
	struct source *s;
	char arg[80];
	int fd, out;

	if (size < 2)
		return 0;
	fd = memfd_create("in", MFD_CLOEXEC);
	out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || out < 0 || write(fd, data + 2, size - 2) != (ssize_t)(size - 2))
		abort();
	for (int i = 0; i < SLOTS; i++)
		slot[i] = (struct source_slot){ .head = head[i],
						.head_room = sizeof(head[i]),
						.tail = data[1] & 1 ? tail[i] : NULL,
						.tail_room = sizeof(tail[i]) };
	config.range = data[1] & 2 ? 60 : 0;
	snprintf(arg, sizeof(arg), "/proc/self/fd/%d,/proc/self/fd/%d", fd, out);
	if (source_pcap.open(&s, arg, &e) == 0) {
		if (source_pcap.configure(s, &config, &e) < 0)
			abort();
		run(s, data[0]);
		source_pcap.close(s);
	}
	close(out);
	close(fd);
	return 0;
}

#ifndef FUZZING
int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, data, sizeof(data)) : -1;

		if (n < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return 1;
		}
		close(fd);
		LLVMFuzzerTestOneInput(data, (size_t)n);
	}
	return 0;
}
#endif
