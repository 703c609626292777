// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Any bytes as a packet, any edits of it. Besides staying within its memory, editing must keep three
 * promises: a packet whose checksums were right still has right ones, ipq_edit_begin() finds the same headers when it
 * parses the packet again, and a call that fails changes nothing.
 *
 * Input: flags, spare room, number of packet bytes (two), the packet, then a program of edits. With FROM_SHAPE in the
 * flags a well-formed packet is made instead: one byte chooses its shape, two its contents.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/edit_packets.h"
#include "ipq_edit.h"

enum { COMPLETE = 1 << 1, FROM_SHAPE = 1 << 2, CUT = 1 << 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

/* The next n bytes; zeros after the end. */
static const uint8_t *take(struct input *in, size_t n)
{
	static const uint8_t zeros[64];
	const uint8_t *taken = in->at;

	if (n > in->left)
		return zeros;
	in->at += n;
	in->left -= n;
	return taken;
}

static unsigned take16(struct input *in)
{
	const uint8_t *p = take(in, 2);

	return p[0] * 256u + p[1];
}

static int change_header(struct ipq_edit *e, unsigned what, struct input *in)
{
	size_t address = e->version == 4 ? 4 : 16;
	unsigned value;

	switch (what) {
	case 0:
		return ipq_edit_set_source(e, take(in, 16), address);
	case 1:
		return ipq_edit_set_destination(e, take(in, 16), address);
	case 2:
		return ipq_edit_set_ttl(e, *take(in, 1));
	case 3:
		return ipq_edit_set_dscp(e, *take(in, 1));
	case 4:
		return ipq_edit_set_ecn(e, *take(in, 1));
	case 5:
		return ipq_edit_set_source_port(e, (uint16_t)take16(in));
	case 6:
		return ipq_edit_set_destination_port(e, (uint16_t)take16(in));
	case 7:
		value = take16(in);
		return ipq_edit_set_icmp(e, (uint8_t)(value >> 8), (uint8_t)value);
	default:
		return ipq_edit_set_icmp_id(e, (uint16_t)take16(in));
	}
}

static int change_tcp(struct ipq_edit *e, unsigned what, struct input *in)
{
	const uint8_t *p;

	switch (what) {
	case 0:
		return ipq_edit_set_tcp_flags(e, take16(in), take16(in));
	case 1:
		return ipq_edit_set_tcp_sequence(e, take16(in) << 16 | 1);
	case 2:
		return ipq_edit_set_tcp_acknowledgement(e, take16(in) << 16 | 1);
	case 3:
		return ipq_edit_set_tcp_window(e, (uint16_t)take16(in));
	case 4:
		p = take(in, 42);
		return ipq_edit_set_tcp_option(e, p[0], p + 2, p[1] % 41);
	case 5:
		return ipq_edit_clear_tcp_option(e, *take(in, 1));
	default:
		return ipq_edit_clamp_mss(e, (uint16_t)take16(in));
	}
}

static int change_payload(struct ipq_edit *e, bool all, struct input *in)
{
	const uint8_t *p = take(in, 40);

	if (all)
		return ipq_edit_substitute(e, p + 2, p[0] % 4, p + 8, p[1] % 30);
	return ipq_edit_replace(e, p[0] * 4u + p[1] % 4u, p[2], p + 4, p[3] % 36);
}

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void edit(struct ipq_edit *e, struct input *in)
{
	bool right = ipq_checksum_verify(e->data, e->len) == 0;
	uint8_t *before = malloc(e->len);

	require(before);
	for (unsigned n = 0; n < 32 && in->left; n++) {
		unsigned what = *take(in, 1) % 18;
		struct ipq_edit old = *e, fresh;
		int err;

		memcpy(before, e->data, e->len);
		err = what < 9	  ? change_header(e, what, in)
		      : what < 16 ? change_tcp(e, what - 9, in)
				  : change_payload(e, what == 16, in);
		old.reason = e->reason;
		if (err < 0) {
			require(e->reason != IPQ_EDIT_REASON_NONE && e->reason < IPQ_EDIT_REASON_COUNT);
			require(!memcmp(&old, e, sizeof(old)) && !memcmp(before, e->data, e->len));
			continue;
		}
		require(e->len <= e->room && e->payload + e->payload_len <= e->len);
		require(!ipq_edit_begin(&fresh, e->data, e->len, e->room, e->flags));
		fresh.reason = e->reason;
		require(!memcmp(&fresh, e, sizeof(fresh)));
		if (right && !(e->flags & IPQ_EDIT_CHECKSUM_NOT_READY))
			require(!ipq_checksum_verify(e->data, e->len));
		before = realloc(before, e->len);
		require(before);
	}
	free(before);
}

/* The packet that the input describes, in memory that ends after its room. */
static uint8_t *make_packet(struct input *in, unsigned flags, size_t spare, size_t *len)
{
	static uint8_t made[1200];
	uint8_t *packet;

	if (flags & FROM_SHAPE) {
		const struct shape *shape = &shapes[*take(in, 1) % SHAPES].shape;

		random_state = take16(in);
		*len = build(made, *shape, *len % 1000).len;
	} else if (*len > in->left) {
		*len = in->left;
	}
	packet = malloc(*len + spare ? *len + spare : 1);
	require(packet);
	if (flags & FROM_SHAPE)
		return memcpy(packet, made, *len);
	if (*len)
		memcpy(packet, in->at, *len);
	take(in, *len);
	return packet;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned flags = *take(&in, 1), spare = *take(&in, 1);
	size_t len = take16(&in);
	uint8_t *packet = make_packet(&in, flags, spare, &len);
	struct ipq_edit e;

	/* A mutated input hardly ever has a right checksum by chance, so compute it. */
	if (flags & COMPLETE)
		ipq_checksum_complete(packet, len);
	if (flags & CUT)
		len -= len < spare ? len : spare;
	if (!ipq_edit_begin(&e, packet, len, len + spare, flags & CUT ? flags | IPQ_EDIT_CUT : flags))
		edit(&e, &in);
	free(packet);
	return 0;
}

#ifndef FUZZING
static int run_file(const char *name)
{
	static uint8_t bytes[65536];
	FILE *f = fopen(name, "rb");
	size_t size;

	if (!f) {
		perror(name);
		return 1;
	}
	size = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	return LLVMFuzzerTestOneInput(bytes, size);
}

/*
 * Runs the inputs in the given files, then random inputs, which are the same every time and mostly describe
 * well-formed packets.
 */
int main(int argc, char **argv)
{
	uint8_t bytes[600];
	uint64_t sequence = 1;

	for (int i = 1; i < argc; i++)
		if (run_file(argv[i]))
			return 1;
	for (unsigned n = 0; n < 20000; n++, sequence++) {
		random_state = sequence;
		random_fill(bytes, sizeof(bytes));
		LLVMFuzzerTestOneInput(bytes, random32() % sizeof(bytes));
	}
	return 0;
}
#endif
