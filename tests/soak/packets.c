// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The contents of datagrams and streams, and the fates of packets. They are computed from seed, era, flow and
 * number.
 */
#include <string.h>
#include "soak.h"

/* Splitmix64, a fast generator: every seed gives another stream. */
uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

uint64_t number_of(unsigned flow, uint64_t seq)
{
	return scramble(S->seed ^
			scramble((uint64_t)atomic_load(&S->era) << 48 | (uint64_t)flow << 40 | seq));
}

enum class class_of(unsigned flow, uint64_t seq) {
	static const uint8_t class[16] = { ACCEPT, ACCEPT, ACCEPT, ACCEPT, ACCEPT, DROP, DROP, MARK, MARK,
					   REPEAT, REPEAT, REPLACE, REPLACE, REPLACE, HOLD, HOLD };

	return class[number_of(flow, seq) & 15];
}

/* Chooses a size: many packets are small, some fill an Ethernet frame, a few have up to 64 KiB. */
static uint32_t size_of(unsigned flow, uint64_t seq)
{
	/* The limit of 65535 bytes includes the header of IPv4, not that of IPv6; but the kernel copies about 65531
	 * bytes. */
	const uint32_t most = S->kind == FILTER ? 65400 : (1u << flow) & IPV4_FLOWS ? 65507 : 65487;
	uint64_t r = number_of(flow, seq) >> 4, pick = r % 100;
	uint32_t max = pick < 70 ? 200 : pick < 92 ? 1472 : pick < 98 ? 9000 : most;

	r >>= 8;
	if (max == most && r % 8 == 0)
		return most;
	return (uint32_t)DATAGRAM_MIN + (uint32_t)((r >> 8) % (max - DATAGRAM_MIN + 1));
}

static uint32_t check_of(const struct header *h)
{
	return (uint32_t)scramble(number_of(h->flow, h->seq) ^ (uint64_t)h->sent_ns ^
				  (uint64_t)h->size << 32 ^ (uint64_t)h->class << 24 ^ h->era);
}

void header_make(struct header *h, unsigned flow, uint64_t seq)
{
	memcpy(h->magic, MAGIC, sizeof(h->magic));
	h->class = (uint8_t)class_of(flow, seq);
	h->flow = (uint8_t)flow;
	h->era = (uint16_t)atomic_load(&S->era);
	h->size = size_of(flow, seq);
	h->seq = seq;
	h->sent_ns = (int64_t)now_ns();
	h->check = check_of(h);
}

bool header_check(const struct header *h)
{
	return memcmp(h->magic, MAGIC, sizeof(h->magic)) == 0 && h->flow < FLOWS && h->seq < ERA_PACKETS &&
	       h->era == (uint16_t)atomic_load(&S->era) && h->check == check_of(h);
}

const uint8_t *body_of(const struct header *h)
{
	return S->table + (number_of(h->flow, h->seq) >> 40) % (TABLE - 65536);
}

void replacement_of(const struct header *h, size_t *cut, size_t *add, const uint8_t **bytes)
{
	uint64_t r = scramble(number_of(h->flow, h->seq));
	size_t body = h->size - sizeof(*h), most = KERNEL_COPIES - 48 - sizeof(*h);

	*cut = (r & 0xffff) % ((body < 512 ? body : 512) + 1);
	*add = r >> 62 == 0 ? *cut : (r >> 16 & 0xffff) % 512;
	if (body - *cut + *add > most)
		*add = *cut;
	*bytes = S->table + (r >> 32) % (TABLE - 512);
}

static const char *check_replaced(const uint8_t *payload, size_t len, const struct header *h)
{
	const uint8_t *bytes;
	size_t cut, add, rest;

	replacement_of(h, &cut, &add, &bytes);
	rest = h->size - sizeof(*h) - cut;
	if (len != sizeof(*h) + add + rest)
		return "the length of the replacement is wrong";
	if (memcmp(payload + sizeof(*h), bytes, add) != 0)
		return "the replacement did not arrive";
	if (memcmp(payload + sizeof(*h) + add, body_of(h) + cut, rest) != 0)
		return "what follows the replacement is damaged";
	return NULL;
}

const char *payload_check(const uint8_t *payload, size_t len, enum fate fate, struct header *h)
{
	bool rewritten = false;

	if (S->kind == FILTER && len > strlen(REWRITTEN) &&
	    memcmp(payload, REWRITTEN, strlen(REWRITTEN)) == 0) {
		rewritten = true;
		payload += strlen(REWRITTEN) - strlen(MAGIC);
		len -= strlen(REWRITTEN) - strlen(MAGIC);
	}
	if (len < sizeof(*h))
		return "shorter than anything that was sent";
	memcpy(h, payload, sizeof(*h));
	if (rewritten)
		memcpy(h->magic, MAGIC, sizeof(h->magic));
	if (!header_check(h))
		return "the header is damaged, or of another era";
	if (S->kind == FILTER && rewritten != (h->class == REPLACE))
		return rewritten ? "rewritten, and should not be" : "not rewritten, and should be";
	if (fate == REPLACED)
		return check_replaced(payload, len, h);
	if (len != h->size)
		return "the length is wrong";
	return memcmp(payload + sizeof(*h), body_of(h), len - sizeof(*h)) != 0 ? "the body is damaged" : NULL;
}

/* Makes the bytes of a stream, starting at this offset: either as they are sent, or as the reader changes them. */
void stream_make(uint8_t *to, size_t len, unsigned flow, uint64_t offset, bool changed)
{
	while (len > 0) {
		size_t at = (size_t)((offset + scramble(S->seed + flow + S->era)) % TABLE);
		size_t part = TABLE - at < len ? TABLE - at : len;

		memcpy(to, S->table + at, part);
		if (changed)
			for (size_t i = (XOR_EVERY + XOR_AT - offset % XOR_EVERY) % XOR_EVERY; i < part;
			     i += XOR_EVERY)
				to[i] ^= 0x55;
		to += part;
		offset += part;
		len -= part;
	}
}
