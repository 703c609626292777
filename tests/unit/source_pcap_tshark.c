/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A second opinion: tshark reads the output of the source, with packets accepted, dropped, shortened, lengthened and
 * truncated, for each link type. Skipped without tshark.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include "core/core.h"
#include "capture_file.h"
#include "capture/capture.h"

enum { SKIPPED = 77 };

static struct capture_file in, out;
static unsigned char memory[8][SOURCE_SLOT_SIZE];
static struct iovec slot[8];
static struct ipq_packet packet[8];

static int failed(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return 1;
}

/* Makes five packets, each after link_header. The last packet is truncated. */
static void make(uint32_t link_type, bool nanoseconds, const char *link_header, uint32_t link_len)
{
	uint8_t frame[200];

	put_header(&in, false, nanoseconds, link_type);
	for (uint32_t i = 0; i < 5; i++) {
		make_frame(frame + 32, 114, 0, 0);
		memcpy(frame + 46 - link_len, link_header, link_len);
		/* UDP with 80 bytes and no checksum */
		memcpy(frame + 46 + 20, "\x30\x39\x30\x3a\0\x50\0\0", 8);
		/* the TTL distinguishes the packets */
		frame[46 + 8] = (uint8_t)(60 + i);
		put_record(&in, 1000 + i, 123, frame + 46 - link_len, link_len + (i == 4 ? 50 : 100),
			   link_len + 100);
	}
}

/*
 * Accepts packet 1 unchanged, drops 2, shortens 3 by 10 bytes, lengthens 4 by 500, accepts 5 unchanged: in the
 * order 5 1 3 4.
 */
static int decide(struct source *s)
{
	static uint8_t shorter[90], longer[600];
	struct source_verdict v[] = {
		{ .id = 2, .code = NF_DROP },
		{ .id = 5, .code = NF_ACCEPT },
		{ .id = 1, .code = NF_ACCEPT },
		{ .id = 3,
		  .code = NF_ACCEPT,
		  .present = IPQ_SET_PAYLOAD,
		  .payload = shorter,
		  .payload_len = 90 },
		{ .id = 4,
		  .code = NF_ACCEPT,
		  .present = IPQ_SET_PAYLOAD,
		  .payload = longer,
		  .payload_len = 600 },
	};

	if (s->ops->recv(s, slot, packet, 8, 0, NULL, NULL) != 5 || packet[2].payload_len != 100)
		return -EBADMSG;
	memcpy(shorter, packet[2].payload, sizeof(shorter));
	shorter[3] = 90;
	shorter[25] = 70;
	memcpy(longer, packet[3].payload, 100);
	longer[2] = 600 >> 8;
	longer[3] = 600 & 0xff;
	longer[24] = 580 >> 8;
	longer[25] = 580 & 0xff;
	return s->ops->send(s, v, 5) == 5 ? 0 : -EBADMSG;
}

static int pass(void)
{
	struct source_config config = { .mode = COPY_PACKET };
	struct ipq_error e = { "" };
	struct source *s;
	char name[96];
	int err;

	out.len = 0;
	snprintf(name, sizeof(name), "pcap:%s,%s", place(&in), place(&out));
	err = source_open(&s, name, &e);
	if (err < 0)
		return failed(name, e.text);
	err = s->ops->configure(s, &config, &e);
	if (err >= 0)
		err = decide(s);
	s->ops->close(s);
	return err < 0 ? failed(name, strerror(-err)) : 0;
}

static int ask_tshark(uint32_t link_len, bool nanoseconds)
{
	const unsigned fraction = nanoseconds ? 123 : 123000;
	char command[256], said[1000], want[1000];
	FILE *f;
	size_t n;

	snprintf(command, sizeof(command),
		 "tshark -n -r /proc/%d/fd/%d -T fields -E separator=, -e frame.time_epoch -e frame.cap_len "
		 "-e frame.len -e ip.ttl -e ip.len -e udp.length -e _ws.malformed 2>/dev/null",
		 (int)getpid(), out.fd);
	f = popen(command, "r");
	if (f == NULL)
		return failed(command, strerror(errno));
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	if (pclose(f) != 0)
		return failed(command, "tshark does not like the file");
	snprintf(want, sizeof(want),
		 "1004.%09u,%u,%u,64,100,80,\n1000.%09u,%u,%u,60,100,80,\n"
		 "1002.%09u,%u,%u,62,90,70,\n1003.%09u,%u,%u,63,600,580,\n",
		 fraction, link_len + 50, link_len + 100, fraction, link_len + 100, link_len + 100, fraction,
		 link_len + 90, link_len + 90, fraction, link_len + 600, link_len + 600);
	if (strcmp(said, want) == 0)
		return 0;
	fprintf(stderr, "expected\n%sand tshark printed\n%s", want, said);
	return 1;
}

int main(void)
{
	static const struct {
		uint32_t type, len;
		const char *header;
	} links[] = {
		{ 1, 14, "\2\0\0\0\0\1\2\0\0\0\0\x09\x08\0" },
		{ 1, 18, "\2\0\0\0\0\1\2\0\0\0\0\x09\x81\0\0\x2a\x08\0" },
		{ 101, 0, "" },
		{ 228, 0, "" },
		{ 113, 16, "\0\0\0\1\0\6\2\0\0\0\0\x09\0\0\x08\0" },
		{ 276, 20, "\x08\0\0\0\0\0\0\7\0\1\0\6\2\0\0\0\0\x09\0\0" },
		{ 0, 4, "\2\0\0\0" },
		{ 108, 4, "\0\0\0\2" },
	};
	int bad = 0;

	if (system("tshark --version >/dev/null 2>&1") != 0) {
		puts("no tshark here");
		return SKIPPED;
	}
	for (int i = 0; i < 8; i++)
		slot[i] = (struct iovec){ memory[i], sizeof(memory[i]) };
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		make(links[i].type, i % 2, links[i].header, links[i].len);
		if (pass() != 0 || ask_tshark(links[i].len, i % 2) != 0) {
			fprintf(stderr, "with link type %u\n", links[i].type);
			bad++;
		}
	}
	return bad != 0;
}
