// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Any segments of a few connections, any edits of them, in a table with little memory. Besides staying within its
 * memory, the code must keep these promises: a packet whose checksums were right still has right ones; a packet is
 * never dropped in a recording; text is replaced in the same way when it is retransmitted at once; a connection does
 * not exceed its memory limit.
 *
 * Input: one byte of options, then for each packet: kind, flags, numbers, length of the payload, number of edits, and
 * for each of them offset, old length and new length. With QUOTE in the kind the packet is an ICMP error about that
 * segment, with RAW it is any bytes.
 */
#include <stdbool.h>

#include "ipq_tcp.h"
#include "main.h"
#include "util/bytes.h"

enum {
	PACKETS = 200,
	EDITS = 8,
	CONNECTION_BYTES = 1280,
	CONNECTIONS = 8,
	RAW = 0x80,
	QUOTE = 0x40,
	PACKET_MAX = 1200
};

struct input {
	const uint8_t *at;
	size_t left;
};

static unsigned take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static uint32_t take_number(struct input *in, uint32_t base)
{
	unsigned how = take(in);

	/* mostly a number near those of the connection */
	return how < 0xf0 ? base + how : base + take(in) * 0x01010101U;
}

static const uint8_t *options_of(unsigned kind, size_t *len)
{
	static const uint8_t mss[] = { 2, 4, 5, 0xb4, 3, 3, 7, 1 }, mptcp[] = { 30, 4, 0, 0 };
	static const uint8_t sack[] = { 1, 1, 5, 10, 0, 0, 0, 20, 0, 0, 0, 40 }, md5[20] = { 19, 18 };
	static const struct {
		const uint8_t *bytes;
		size_t len;
	} options[] = {
		{ mss, sizeof(mss) }, { mptcp, sizeof(mptcp) }, { sack, sizeof(sack) }, { md5, sizeof(md5) }
	};

	*len = 0;
	if (kind & 4)
		return NULL;
	*len = options[kind & 3].len;
	return options[kind & 3].bytes;
}

/* Makes a well-formed segment. */
static size_t make_segment(struct input *in, unsigned kind, uint8_t *p)
{
	size_t text_len, options_len;
	const uint8_t *options = options_of(kind, &options_len);
	unsigned side = kind >> 3 & 1, port = kind >> 4 & 1;
	uint8_t *t = p + 20;

	memset(p, 0, 40);
	memcpy(p, "\x45\0\0\0\0\0\x40\0\x40\6", 10);
	memcpy(p + 12, side ? "\12\0\0\2\12\0\0\1" : "\12\0\0\1\12\0\0\2", 8);
	t[side ? 3 : 1] = (uint8_t)(1 + port);
	t[side ? 1 : 3] = 80;
	t[13] = (uint8_t)take(in);
	put32(t + 4, take_number(in, side ? 0xffffffe0 : 0));
	put32(t + 8, take_number(in, side ? 0 : 0xffffffe0));
	t[12] = (uint8_t)((20 + options_len) / 4 << 4);
	put16(t + 14, take(in) * 16);
	t[19] = (uint8_t)take(in);
	if (options_len)
		memcpy(t + 20, options, options_len);
	text_len = take(in);
	for (size_t i = 0; i < text_len; i++)
		t[20 + options_len + i] = (uint8_t)('a' + i % 7);
	put16(p + 2, (unsigned)(40 + options_len + text_len));
	ipq_checksum_complete(p, 40 + options_len + text_len);
	return 40 + options_len + text_len;
}

/* Makes an ICMP error that quotes a segment. */
static size_t make_quote(struct input *in, unsigned kind, uint8_t *p)
{
	size_t len = make_segment(in, kind, p + 28), cut = take(in);

	len = 28 + (cut < len ? cut : len);
	memset(p, 0, 28);
	memcpy(p, "\x45\0\0\0\0\0\0\0\x40\1", 10);
	p[20] = 3;
	put16(p + 2, (unsigned)len);
	ipq_checksum_complete(p, len);
	return len;
}

static size_t make_packet(struct input *in, uint8_t *p)
{
	unsigned kind = take(in);
	size_t len;

	if (!(kind & RAW))
		return kind & QUOTE ? make_quote(in, kind, p) : make_segment(in, kind, p);
	len = take(in);
	if (len > in->left)
		len = in->left;
	if (len)
		memcpy(p, in->at, len);
	in->at += len;
	in->left -= len;
	return len;
}

static enum ipq_tcp_result pass(struct ipq_tcp *t, struct ipq_edit *e, struct input *in)
{
	static const uint8_t new_text[255] = "replacement";
	struct ipq_tcp_segment s;
	unsigned edits = in ? take(in) % EDITS : 0;

	require(ipq_tcp_begin(t, &s, e, 0, edits & 1 ? 0 : in && take(in) & 1) == 0);
	if (edits & 2)
		ipq_tcp_expect(&s, take(in), take(in), take(in) & 1);
	for (unsigned i = 0; i < edits; i++) {
		size_t offset = take(in), old_len = take(in) % 16;
		int result = ipq_tcp_replace(&s, offset, old_len, new_text, take(in));

		require(result <= 1);
	}
	return ipq_tcp_end(&s);
}

static bool is_alone(struct ipq_tcp *t)
{
	struct ipq_tcp_stats stats = { .size = sizeof(stats) };

	require(ipq_tcp_stats(t, &stats) == 0);
	return stats.connections == 1 && !stats.no_memory && !stats.evicted;
}

static void check_packet(struct ipq_tcp *t, struct input *in, bool recorded)
{
	uint8_t made[PACKET_MAX], *packet, *again;
	size_t len = make_packet(in, made), room = len + take(in) * 2;
	struct ipq_edit e, repeated;
	struct input edits = *in;
	bool right = ipq_checksum_verify(made, len) == 0;
	enum ipq_tcp_result result;

	packet = malloc(room ? room : 1);
	again = malloc(room ? room : 1);
	require(packet && again);
	memcpy(packet, made, len);
	memcpy(again, made, len);
	if (ipq_edit_begin(&e, packet, len, room, 0) == 0) {
		result = pass(t, &e, in);
		require(!recorded || result != IPQ_TCP_DROP);
		require(!right || ipq_checksum_verify(packet, e.len) == 0);
		if (result == IPQ_TCP_UNCHANGED)
			require(e.len <= len && !memcmp(packet, made, e.len));
		/*
		 * There are two reasons for a different result. If there are two connections with the same
		 * addresses, a segment may belong to either. A full log does not store text of the same length, so
		 * such text is replaced again.
		 */
		ipq_edit_begin(&repeated, again, len, room, 0);
		if (pass(t, &repeated, &edits) == result && result == IPQ_TCP_CHANGED && is_alone(t))
			require(repeated.payload_len == e.payload_len &&
				!memcmp(again + repeated.payload, packet + e.payload, e.payload_len));
	}
	free(packet);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connections = CONNECTIONS };
	struct ipq_tcp_stats stats = { .size = sizeof(stats) };
	struct ipq_tcp *t;

	options.flags = take(&in) % 3;
	options.max_connection_bytes = CONNECTION_BYTES;
	require(ipq_tcp_open(&t, &options) == 0);
	for (unsigned i = 0; i < PACKETS && in.left; i++) {
		check_packet(t, &in, options.flags == IPQ_TCP_RECORDED);
		require(ipq_tcp_stats(t, &stats) == 0);
		require(stats.connections <= CONNECTIONS && stats.bytes <= CONNECTIONS * CONNECTION_BYTES);
	}
	ipq_tcp_close(t);
	return 0;
}
