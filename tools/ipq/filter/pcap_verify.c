/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The optimizer of libpcap (seen in 1.10.3) compiles some expressions wrongly, for example
 *
 *	((tcp dst port 22 or (port 21 or 22)) and icmp) or ((ip or port 22) or port 21)
 *
 * where an IPv6 packet from port 21 does not match. So the optimized program is compared with the program before
 * optimization, on packets whose fields have values that the program compares them with.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "filter/pcap_verify.h"

enum { PACKETS_PER_FIELD = 60, PACKETS_MAX = 2000, PACKET_LEN = 120, FIELDS_MAX = 512, IPV4_HEADER = 20 };

/* A field of the packet, and a value with which the program compares it. */
struct field {
	uint32_t transport; /* 1: the offset counts from the end of the IPv4 header */
	uint32_t offset, size, value;
};

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

static size_t find_fields(const struct bpf_program *program, struct field field[FIELDS_MAX])
{
	struct field load = { .size = 0 };
	size_t n = 0;

	for (unsigned i = 0; i < program->bf_len && n < FIELDS_MAX; i++) {
		const struct bpf_insn *in = &program->bf_insns[i];
		unsigned class = BPF_CLASS(in->code), mode = BPF_MODE(in->code), size = BPF_SIZE(in->code);

		if (class == BPF_LD && (mode == BPF_ABS || mode == BPF_IND)) {
			load.size = size == BPF_B ? 1 : size == BPF_H ? 2 : 4;
			load.offset = in->k;
			load.transport = mode == BPF_IND;
		} else if (class == BPF_JMP && BPF_OP(in->code) != BPF_JA && load.size > 0) {
			load.value = in->k;
			field[n++] = load;
			if (BPF_OP(in->code) == BPF_JGT || BPF_OP(in->code) == BPF_JGE) {
				load.value++;
				if (n < FIELDS_MAX)
					field[n++] = load;
			}
		}
	}
	return n;
}

static int compare_fields(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct field));
}

/* Sorts by position and value, and removes duplicates. Returns the number that is left. */
static size_t sort_fields(struct field *field, size_t n)
{
	size_t kept = 0;

	qsort(field, n, sizeof(*field), compare_fields);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || compare_fields(&field[i], &field[kept - 1]) != 0)
			field[kept++] = field[i];
	return kept;
}

static bool same_place(const struct field *a, const struct field *b)
{
	return a->transport == b->transport && a->offset == b->offset && a->size == b->size;
}

static void set_field(uint8_t *packet, const struct field *f)
{
	uint32_t at = f->offset + (f->transport ? IPV4_HEADER : 0);

	if (at + f->size > PACKET_LEN)
		return;
	for (unsigned i = 0; i < f->size; i++)
		packet[at + i] = (uint8_t)(f->value >> 8 * (f->size - 1U - i));
}

/* Makes a packet in which a few or most of the fields have a value that the program compares with them. */
static void make_packet(uint8_t *packet, const struct field *field, size_t n, uint64_t *state)
{
	static const uint8_t protocols[] = { 6, 17, 1, 58, 132 };
	bool most = next_random(state) % 4 != 0;
	bool ipv4 = next_random(state) % 2;

	memset(packet, 0, PACKET_LEN);
	for (unsigned i = 0; i < 8; i++)
		packet[next_random(state) % PACKET_LEN] = (uint8_t)next_random(state);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && same_place(&field[i], &field[end]);)
			end++;
		if (next_random(state) % 8 < (most ? 7 : 1))
			set_field(packet, &field[i + next_random(state) % (end - i)]);
	}
	packet[0] = ipv4 ? 0x45 : 0x60;
	if (ipv4 && next_random(state) % 8 != 0)
		packet[6] = packet[7] = 0;
	if (next_random(state) % 4 != 0)
		packet[ipv4 ? 9 : 6] = protocols[next_random(state) % 5];
}

bool pcap_programs_agree(const struct bpf_program *plain, const struct bpf_program *optimized)
{
	struct field field[FIELDS_MAX] = { 0 };
	size_t n = sort_fields(field, find_fields(plain, field));
	size_t packets = n * PACKETS_PER_FIELD < PACKETS_MAX ? n * PACKETS_PER_FIELD : PACKETS_MAX;
	uint8_t packet[PACKET_LEN];
	uint64_t state = 1;

	for (size_t i = 0; i < packets; i++) {
		make_packet(packet, field, n, &state);
		if ((bpf_filter(plain->bf_insns, packet, PACKET_LEN, PACKET_LEN) != 0) !=
		    (bpf_filter(optimized->bf_insns, packet, PACKET_LEN, PACKET_LEN) != 0))
			return false;
	}
	return true;
}
