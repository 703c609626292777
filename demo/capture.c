/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * capture FILE: writes a capture of 5 datagrams to port 7000, 5 to port 7001 and 3 to port 7002 with the text "we
 * attack at dawn". The link type is raw IP, without link-layer headers.
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ipq_edit.h>

static int put_packet(FILE *f, uint32_t second, uint16_t port, const char *text)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char text[64];
	} packet = { .ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP } };
	size_t len = sizeof(packet.ip) + sizeof(packet.udp) + strlen(text);
	uint32_t record[4] = { 1700000000 + second, 0, (uint32_t)len, (uint32_t)len };

	packet.ip.tot_len = htons((uint16_t)len);
	packet.ip.saddr = htonl(0x0a4d0001); /* 10.77.0.1 */
	packet.ip.daddr = htonl(0x0a4d0002);
	packet.udp.source = htons(40000);
	packet.udp.dest = htons(port);
	packet.udp.len = htons((uint16_t)(len - sizeof(packet.ip)));
	memcpy(packet.text, text, strlen(text));
	ipq_checksum_complete(&packet, len);
	return fwrite(record, sizeof(record), 1, f) == 1 && fwrite(&packet, len, 1, f) == 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
	static const struct {
		uint16_t port;
		int times;
		const char *text;
	} flow[] = { { 7000, 5, "good morning" },
		     { 7001, 5, "let me in" },
		     { 7002, 3, "we attack at dawn" } };
	/* Magic, version 2.4, time zone and accuracy, longest packet, LINKTYPE_RAW. */
	const uint32_t head[] = { 0xa1b2c3d4, 0, 0, 65535, 101 };
	const uint16_t version[2] = { 2, 4 };
	uint32_t second = 0;
	FILE *f = argc == 2 ? fopen(argv[1], "wb") : NULL;
	int err = f == NULL || fwrite(head, 4, 1, f) != 1 || fwrite(version, sizeof(version), 1, f) != 1 ||
		  fwrite(head + 1, 4, 4, f) != 4;
	size_t i;
	int n;

	for (i = 0; !err && i < sizeof(flow) / sizeof(flow[0]); i++)
		for (n = 0; !err && n < flow[i].times; n++)
			err = put_packet(f, second++, flow[i].port, flow[i].text);
	if (err || fclose(f) != 0) {
		perror(argc == 2 ? argv[1] : "usage: capture FILE");
		return 1;
	}
	return 0;
}
