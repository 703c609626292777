// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A second opinion: tshark verifies the checksums of edited packets. Every CONTROL-th packet is damaged after its edit;
 * tshark must report that, to show that it verifies. Skipped without tshark.
 */
#include <stdio.h>
#include <unistd.h>

#include "edit_packets.h"
#include "ipq_edit.h"

enum { ROUNDS = 12, CONTROL = 5, SKIPPED = 77, LINKTYPE_RAW = 101, BAD = '0', GOOD = '1' };

#define TSHARK                                                                                             \
	"tshark -n -r %s -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE " \
	"-o udplite.check_checksum:TRUE -T fields -E separator=, -E occurrence=f "                         \
	"-e ip.checksum.status -e tcp.checksum.status -e udp.checksum.status -e icmp.checksum.status "     \
	"-e icmpv6.checksum.status 2>/dev/null"

static uint8_t packet[70000];

static int write_file_header(FILE *f)
{
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snap, link;
	} header = { 0xa1b2c3d4, 2, 4, 0, 0, 262144, LINKTYPE_RAW };

	return fwrite(&header, sizeof(header), 1, f) == 1;
}

static int write_packet(FILE *f, uint32_t len)
{
	const uint32_t record[4] = { 0, 0, len, len };

	return fwrite(record, sizeof(record), 1, f) == 1 && fwrite(packet, len, 1, f) == 1;
}

/*
 * Makes edits of every kind that this shape permits, with payload of odd and even length, longer and shorter than
 * before.
 */
static int edit(struct ipq_edit *e, size_t len, unsigned round)
{
	uint8_t bytes[40];
	size_t address;

	random_fill(bytes, sizeof(bytes));
	if (ipq_edit_begin(e, packet, len, sizeof(packet), 0) < 0)
		return -1;
	address = e->version == 4 ? 4 : 16;
	bytes[0] = e->version == 4 ? 10 : 0xfd; /* not a multicast address */
	if (ipq_edit_set_source(e, bytes, address) < 0 || ipq_edit_set_destination(e, bytes, address) < 0 ||
	    ipq_edit_set_ttl(e, (uint8_t)(1 + round)) < 0 || ipq_edit_set_dscp(e, round) < 0 ||
	    ipq_edit_replace(e, round % 7, round, bytes, 3 * round % 17) < 0)
		return -1;
	if (e->protocol == IPPROTO_ICMP || e->protocol == IPPROTO_ICMPV6)
		return ipq_edit_set_icmp_id(e, (uint16_t)random32());
	if (ipq_edit_set_source_port(e, (uint16_t)(50000 + random_below(9999))) < 0 ||
	    ipq_edit_set_destination_port(e, (uint16_t)(50000 + random_below(9999))) < 0)
		return -1;
	if (e->protocol != IPPROTO_TCP)
		return 0;
	if (ipq_edit_set_tcp_flags(e, IPQ_TCP_PSH, 0x1ff) < 0 || ipq_edit_set_tcp_window(e, 77) < 0)
		return -1;
	return ipq_edit_set_tcp_option(e, 34, bytes, round);
}

/* Returns the number of packets written, 0 on failure. */
static unsigned write_capture(const char *path)
{
	FILE *f = fopen(path, "wb");
	unsigned n = 0;

	if (!f || !write_file_header(f))
		return 0;
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < SHAPES; i++) {
			struct built b = build(packet, shapes[i].shape, 20 + random_below(40));
			struct ipq_edit e;

			if (edit(&e, b.len, round) < 0) {
				fprintf(stderr, "%s: an edit was refused\n", shapes[i].name);
				return 0;
			}
			if (++n % CONTROL == 0)
				packet[e.len - 1] ^= 0x40;
			if (!write_packet(f, e.len))
				return 0;
		}
	return fclose(f) ? 0 : n;
}

/* Compares one line of tshark's output with the expected results. */
static int judge(const char *line, unsigned n)
{
	const struct shape *shape = &shapes[(n - 1) % SHAPES].shape;
	const char *column[5] = { line }, *p = line;
	char network, transport;

	for (int i = 1; i < 5; i++) {
		p = strchr(p, ',');
		if (!p)
			return -1;
		column[i] = ++p;
	}
	network = column[0][0];
	transport = shape->protocol == IPPROTO_TCP	? column[1][0]
		    : shape->protocol == IPPROTO_ICMP	? column[3][0]
		    : shape->protocol == IPPROTO_ICMPV6 ? column[4][0]
							: column[2][0];
	if (shape->version == 4 && network != GOOD)
		return -1;
	return transport == (n % CONTROL ? GOOD : BAD) ? 0 : -1;
}

int main(void)
{
	char directory[] = "/tmp/ipq-edit-XXXXXX", path[64], command[1024], line[256];
	unsigned written, judged = 0, wrong = 0;
	FILE *tshark;

	if (system("tshark --version >/dev/null 2>&1")) {
		puts("skipped: no tshark");
		return SKIPPED;
	}
	if (!mkdtemp(directory))
		return 1;
	snprintf(path, sizeof(path), "%s/edited.pcap", directory);
	written = write_capture(path);
	snprintf(command, sizeof(command), TSHARK, path);
	tshark = written ? popen(command, "r") : NULL;
	while (tshark && fgets(line, sizeof(line), tshark)) {
		judged++;
		if (judge(line, judged) < 0) {
			printf("packet %u (%s): %s", judged, shapes[(judged - 1) % SHAPES].name, line);
			wrong++;
		}
	}
	if (tshark)
		pclose(tshark);
	unlink(path);
	rmdir(directory);
	printf("%u packets written, %u judged by tshark, %u not as expected\n", written, judged, wrong);
	return !written || judged != written || wrong;
}
