/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP packets over IPv4, for tests of ipq_tcp.h. */
#ifndef TESTS_TCP_PACKET_H
#define TESTS_TCP_PACKET_H

#include <string.h>
#include <ipq_edit.h>
#include "util/bytes.h"

/* A packet from A (side 0, port 4000) or from B (port 80). options: complete words. */
struct packet {
	unsigned side, flags, more_flags, urgent, port;
	uint32_t sequence, acknowledgement;
	const char *text;
	const void *options;
	size_t options_len, text_len; /* text_len 0: the text is a NUL-terminated string */
	uint16_t window;	      /* window; 0 means 65535 */
	uint8_t address;	      /* second byte of A's address */
};

static uint8_t buffer[65536];

/* Writes the packet to buffer. Returns its length. */
static inline size_t write_packet(const struct packet *p)
{
	size_t text_len = p->text_len ? p->text_len : p->text ? strlen(p->text) : 0;
	size_t len = 40 + p->options_len + text_len;
	uint8_t *t = buffer + 20;

	memset(buffer, 0, 40);
	buffer[0] = 0x45;
	put16(buffer + 2, (unsigned)len);
	buffer[8] = 64;
	buffer[9] = 6;
	memcpy(buffer + 12, p->side ? "\12\0\0\2\12\0\0\1" : "\12\0\0\1\12\0\0\2", 8);
	buffer[p->side ? 18 : 14] = p->address;
	put16(t + (p->side ? 2 : 0), p->port ? p->port : 4000);
	put16(t + (p->side ? 0 : 2), 80);
	put32(t + 4, p->sequence);
	put32(t + 8, p->acknowledgement);
	t[12] = (uint8_t)((5 + p->options_len / 4) << 4);
	t[13] = (uint8_t)(p->flags | p->more_flags);
	put16(t + 14, p->window ? p->window : 0xffff);
	put16(t + 18, p->urgent);
	if (p->options_len)
		memcpy(t + 20, p->options, p->options_len);
	if (text_len)
		memcpy(t + 20 + p->options_len, p->text, text_len);
	ipq_checksum_complete(buffer, len);
	return len;
}

#endif
