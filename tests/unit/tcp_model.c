/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A model of TCP connections whose payload is changed in transit. ipq_tcp.h is compared with it.
 *
 *	A  <-- queues that lose, repeat and reorder -->  ipq_tcp  <-- the same -->  B
 *
 * Both ends send a random stream in random segments. Retransmissions are cut in another way, with and without SACK.
 * When a byte of a stream passes for the first time, the model records its replacement. From these records alone it
 * computes, byte by byte, each later packet. There are also reloads (from then on, other text is replaced), forged
 * segments of all kinds, and new connections on old ports.
 *
 * At the end each receiver must have the rewritten stream and the sender's FIN, and each sender must know that. Usage:
 * tcp_model [COUNT [FIRST]]: this many connections, from this number on. A failure prints the number.
 *
 * In one of eight connections, ipq_tcp gets only a recording of the packets between A and B, of which some are missing.
 * Then all packets of the recording must be consistent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipq_tcp.h"
#include "rounds.h"

enum {
	STREAM_MAX = 600,
	RECEIVED_MAX = STREAM_MAX * 50,
	SEGMENT_MAX = 70,
	NEW_MAX = 40,
	QUEUE = 24,
	STEPS_MAX = 60000,
	PACKET_MAX = 8192,
	SACK_BLOCKS = 3,
};

/* ---- chance ----------------------------------------------------------------------------------- */

static uint64_t chance_state;
static uint64_t connection_number;

static uint32_t chance(void)
{
	chance_state ^= chance_state >> 12;
	chance_state ^= chance_state << 25;
	chance_state ^= chance_state >> 27;
	return (uint32_t)(chance_state * 0x2545f4914f6cdd1dULL >> 32);
}

static void chance_seed(uint64_t n)
{
	n = (n + 1) * 0x9e3779b97f4a7c15ULL;
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9ULL;
	chance_state = (n ^ n >> 27) | 1;
	for (int i = 0; i < 4; i++)
		chance();
}

static uint32_t below(uint32_t n)
{
	return n ? (uint32_t)((uint64_t)chance() * n >> 32) : 0;
}

static bool percent(unsigned p)
{
	return below(100) < p;
}

static _Noreturn void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "connection %llu: ", (unsigned long long)connection_number);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

#define check(condition, ...)              \
	do {                               \
		if (!(condition))          \
			fail(__VA_ARGS__); \
	} while (0)

/* ---- the ends --------------------------------------------------------------------------------- */

/* What has become of one byte of the stream, recorded when the byte passed. */
struct fate {
	bool passed;	  /* the byte was forwarded */
	uint16_t old_len; /* > 0: a text of this length that was replaced begins here */
	uint16_t new_len;
	bool inside; /* the byte belongs to such a text and is not its first byte */
	uint8_t text[NEW_MAX];
};

struct segment {
	int32_t from, to; /* range of offsets in the sender's stream, or in the rewritten one */
	int32_t acknowledged;
	int32_t sack[SACK_BLOCKS * 2];
	unsigned blocks, flags;
	uint16_t window;
	uint8_t text[PACKET_MAX];
};

struct queue {
	struct segment segment[QUEUE];
	unsigned count;
};

struct end {
	/* the end as a sender: the members below are offsets in its stream */
	uint8_t stream[STREAM_MAX];
	struct fate fate[STREAM_MAX];
	int32_t len, una, sent, window_end;
	int32_t frontier; /* the end of the text that has passed so far */
	int32_t next;	  /* the same, including the FIN, and without text before the first segment */
	bool seen;	  /* a segment of this end has passed */
	int32_t floor;	  /* text before this offset was acknowledged by a packet that has passed */
	bool sacked[STREAM_MAX];
	bool opened, uses_sack;
	uint32_t isn;
	/* the end as a receiver: the members below are offsets in the other end's rewritten stream */
	uint8_t received[RECEIVED_MAX];
	bool have[RECEIVED_MAX];
	int32_t prefix, fin_at, window, scale, highest;
	bool heard;	      /* the SYN of the other end has arrived here */
	struct queue out, in; /* packets before and after ipq_tcp */
};

struct connection {
	struct ipq_tcp *tcp;
	struct end end[2];
	bool ipv6, in_order, little_memory, recorded;
	unsigned loss, port;
	char old[8], new[NEW_MAX + 1];
	size_t old_len, new_len;
	unsigned replaced, late, refused, forged;
};

/*
 * Maps an offset of the stream to the rewritten stream. Inside a replaced text, maps to its end (up) or its
 * beginning.
 */
static int32_t fate_map_to(const struct end *e, int32_t offset, bool up)
{
	int32_t mapped = 0, at = 0;

	while (at < offset) {
		bool text = at < e->len && e->fate[at].old_len;

		if (text && !up && at + e->fate[at].old_len > offset)
			break;
		mapped += text ? e->fate[at].new_len : 1;
		at += text ? e->fate[at].old_len : 1;
	}
	return mapped;
}

static int32_t fate_map(const struct end *e, int32_t offset)
{
	return fate_map_to(e, offset, true);
}

/*
 * Returns how much of the stream is complete if `mapped` bytes were received. up: includes text that became empty.
 */
static int32_t fate_unmap(const struct end *e, int32_t mapped, bool up)
{
	int32_t at = 0, n = 0;

	while (at <= e->len) {
		bool text = at < e->len && e->fate[at].old_len;
		int32_t size = text ? e->fate[at].new_len : 1, old = text ? e->fate[at].old_len : 1;

		if (n + size > mapped)
			return up && mapped > n ? at + old : at;
		n += size;
		at += old;
	}
	return at;
}

/* Writes the text that replaces [from, to) of the stream. */
static size_t fate_text(const struct end *e, int32_t from, int32_t to, uint8_t *text)
{
	size_t n = 0;

	for (int32_t at = from; at < to; at++) {
		const struct fate *f = &e->fate[at];

		if (f->old_len)
			for (unsigned i = 0; i < f->new_len; i++)
				text[n++] = f->text[i];
		else if (!f->inside)
			text[n++] = e->stream[at];
	}
	return n;
}

/* ---- packets ---------------------------------------------------------------------------------- */

static void put32be(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static uint32_t get32be(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static size_t add_options(const struct connection *c, unsigned side, const struct segment *s, uint8_t *p)
{
	const struct end *other = &c->end[!side];
	size_t n = 0;

	if (s->flags & IPQ_TCP_SYN) {
		memcpy(p, "\2\4\5\xb4\3\3\0\1", 8);
		p[6] = (uint8_t)c->end[side].scale;
		return 8;
	}
	if (!s->blocks)
		return 0;
	p[0] = p[1] = 1;
	p[2] = 5;
	p[3] = (uint8_t)(2 + 8 * s->blocks);
	for (n = 0; n < s->blocks * 2; n++)
		put32be(p + 4 + 4 * n, other->isn + 1 + (uint32_t)s->sack[n]);
	return 4 + 8 * s->blocks;
}

/* Writes the segment as a packet. Returns its length. */
static size_t write_packet(const struct connection *c, unsigned side, const struct segment *s, uint8_t *p)
{
	size_t ip = c->ipv6 ? 40 : 20, options, len = (size_t)(s->to - s->from);
	uint32_t sequence = c->end[side].isn + 1 + (uint32_t)s->from;
	uint8_t *t = p + ip;

	memset(p, 0, ip + 20);
	options = add_options(c, side, s, t + 20);
	len += 20 + options;
	p[0] = c->ipv6 ? 0x60 : 0x45;
	p[c->ipv6 ? 4 : 2] = (uint8_t)((len + (c->ipv6 ? 0 : ip)) >> 8);
	p[c->ipv6 ? 5 : 3] = (uint8_t)(len + (c->ipv6 ? 0 : ip));
	p[c->ipv6 ? 7 : 8] = 64;
	p[c->ipv6 ? 6 : 9] = 6;
	p[c->ipv6 ? 22 : 14] = p[c->ipv6 ? 38 : 18] = (uint8_t)(c->port / 50000);
	p[c->ipv6 ? 23 : 15] = side ? 2 : 1; /* the last byte of each address depends on the side */
	p[c->ipv6 ? 39 : 19] = side ? 1 : 2;
	t[side ? 2 : 0] = (uint8_t)((1024 + c->port % 50000) >> 8);
	t[side ? 3 : 1] = (uint8_t)(1024 + c->port % 50000);
	t[side ? 1 : 3] = 80;
	put32be(t + 4, s->flags & IPQ_TCP_SYN ? sequence - 1 : sequence);
	put32be(t + 8, s->flags & IPQ_TCP_ACK ? c->end[!side].isn + 1 + (uint32_t)s->acknowledged : 0);
	t[12] = (uint8_t)((20 + options) / 4 << 4);
	t[13] = (uint8_t)s->flags;
	t[14] = (uint8_t)(s->window >> 8);
	t[15] = (uint8_t)s->window;
	memcpy(t + 20 + options, s->text, (size_t)(s->to - s->from));
	check(ipq_checksum_complete(p, ip + len) == 0, "the model's packet is wrong");
	return ip + len;
}

static void read_packet(const struct connection *c, unsigned side, const struct ipq_edit *e,
			struct segment *s)
{
	const uint8_t *t = e->data + e->transport;
	size_t len;
	int at;

	memset(s, 0, offsetof(struct segment, text));
	s->flags = t[13];
	s->from = (int32_t)(get32be(t + 4) - c->end[side].isn - !(s->flags & IPQ_TCP_SYN));
	s->to = s->from + (int32_t)e->payload_len;
	s->acknowledged = (int32_t)(get32be(t + 8) - c->end[!side].isn - 1);
	s->window = (uint16_t)(t[14] << 8 | t[15]);
	memcpy(s->text, e->data + e->payload, e->payload_len);
	at = ipq_edit_find_tcp_option(e, 5, &len);
	if (at < 0)
		return;
	s->blocks = (unsigned)(len / 8);
	check(s->blocks <= SACK_BLOCKS, "too many SACK blocks");
	for (unsigned i = 0; i < s->blocks * 2; i++)
		s->sack[i] = (int32_t)(get32be(e->data + at + 4 * i) - c->end[!side].isn - 1);
}

/* ---- ipq_tcp, and the results that the model expects ----------------------------------------------- */

/* Returns the result that ipq_tcp_replace() must have for the text that begins at this offset. */
static int expected_result(const struct connection *c, const struct end *e, int32_t begin)
{
	int32_t end = begin + (int32_t)c->old_len;
	bool passed = false;

	if (begin >= e->frontier)
		return 1;
	for (int32_t i = begin; i < end; i++)
		passed |= e->fate[i].passed;
	if (passed || end > e->frontier)
		return 0;
	return c->old_len == c->new_len ? 1 : -ESTALE;
}

static void note_fate(const struct connection *c, struct end *e, int32_t begin)
{
	struct fate *f = &e->fate[begin];

	/* If the text keeps its length, each byte is replaced by the byte at its position. */
	for (size_t i = 0; c->old_len == c->new_len && i < c->old_len; i++) {
		f[i].old_len = f[i].new_len = 1;
		f[i].text[0] = (uint8_t)c->new[i];
	}
	if (c->old_len == c->new_len)
		return;
	f->old_len = (uint16_t)c->old_len;
	f->new_len = (uint16_t)c->new_len;
	memcpy(f->text, c->new, c->new_len);
	for (size_t i = 1; i < c->old_len; i++)
		f[i].inside = true;
}

static void edit(struct connection *c, unsigned side, struct ipq_tcp_segment *t, const struct segment *s)
{
	struct end *e = &c->end[side];
	int32_t len = s->to - s->from;

	for (int32_t at = 0; c->old_len && at + (int32_t)c->old_len <= len;) {
		int32_t begin = s->from + at;
		int result, expected;

		if (memcmp(s->text + at, c->old, c->old_len)) {
			at++;
			continue;
		}
		expected = expected_result(c, e, begin);
		result = ipq_tcp_replace(t, (size_t)at, c->old_len, c->new, c->new_len);
		if (result == -ENOBUFS && c->little_memory)
			c->refused++;
		else if (c->in_order && s->from > e->frontier)
			check(result == 0, "text in a segment after a gap: %d", result);
		else
			check(result == expected, "replacing at %d returns %d instead of %d, frontier %d",
			      begin, result, expected, e->frontier);
		if (result == 1)
			note_fate(c, e, begin);
		c->replaced += result == 1;
		c->late += result == -ESTALE;
		at += result == 1 ? (int32_t)c->old_len : 1;
	}
}

/* Text that was acknowledged before is complete, so any number up to its end is right. */
static void check_acknowledgement(struct connection *c, unsigned side, const struct segment *before,
				  const struct segment *after)
{
	struct end *sender = &c->end[!side];
	const struct end *receiver = &c->end[side];
	int32_t expected = fate_unmap(sender, before->acknowledged, false);

	if (expected < sender->floor) {
		check(after->acknowledged <= sender->floor, "an old acknowledgement becomes %d, floor %d",
		      after->acknowledged, sender->floor);
		return;
	}
	check(after->acknowledged == expected, "%d is acknowledged as %d instead of %d", before->acknowledged,
	      after->acknowledged, expected);
	sender->floor = expected < sender->frontier ? expected : sender->frontier;
	for (unsigned i = 0; i < after->blocks; i++) {
		int32_t from = after->sack[2 * i], to = after->sack[2 * i + 1];

		check(from < to && from >= 0 && to <= sender->len + 1, "SACK of [%d, %d)", from, to);
		for (int32_t n = fate_map(sender, from); n < fate_map(sender, to); n++)
			check(n == receiver->fin_at || receiver->have[n], "SACK of %d, which is missing", n);
	}
	for (unsigned i = 0, n = 0; i < before->blocks; i++) {
		int32_t from = fate_unmap(sender, before->sack[2 * i], true);
		int32_t to = fate_unmap(sender, before->sack[2 * i + 1], false);

		if (from >= to)
			continue;
		check(n < after->blocks && after->sack[2 * n] == from && after->sack[2 * n + 1] == to,
		      "SACK block %u is not [%d, %d)", n, from, to);
		n++;
	}
}

/* In a recording, the receiver has received the sender's original bytes. */
static void check_recorded_acknowledgement(const struct connection *c, unsigned side,
					   const struct segment *before, const struct segment *after)
{
	const struct end *sender = &c->end[!side];

	if (before->acknowledged > sender->frontier)
		return; /* the packet acknowledges text that was not recorded */
	check(after->acknowledged == fate_map_to(sender, before->acknowledged, false),
	      "recorded %d is acknowledged as %d", before->acknowledged, after->acknowledged);
	for (unsigned i = 0, n = 0; i < before->blocks; i++) {
		int32_t from = fate_map_to(sender, before->sack[2 * i], true);
		int32_t to = fate_map_to(sender, before->sack[2 * i + 1], false);

		if (before->sack[2 * i + 1] > sender->frontier)
			return;
		if (from >= to)
			continue;
		check(n < after->blocks && after->sack[2 * n] == from && after->sack[2 * n + 1] == to,
		      "recorded SACK block %u is not [%d, %d)", n, from, to);
		n++;
	}
}

/* Whether this is a keepalive. In a recording, its number must stay the one before the next number. */
static bool is_keepalive(const struct connection *c, const struct end *e, const struct segment *s)
{
	return c->recorded && s->from + 1 == e->next && s->to - s->from <= 1 &&
	       !(s->flags & (IPQ_TCP_SYN | IPQ_TCP_FIN | IPQ_TCP_RST));
}

/* The receiver ignores text before the floor. */
static void check_text(const struct connection *c, const struct end *e, const struct segment *before,
		       const struct segment *after, bool keepalive)
{
	int32_t known = before->to < e->floor ? before->to : e->floor;
	int32_t old = before->from < known ? known - before->from : 0;
	uint8_t text[PACKET_MAX];
	size_t len = fate_text(e, before->from + old, before->to, text);
	int32_t from = before->from < e->floor ? fate_map(e, e->floor) - (e->floor - before->from)
					       : fate_map(e, before->from);

	if (!c->recorded && !old && !len && before->from < before->to &&
	    !(before->flags & (IPQ_TCP_SYN | IPQ_TCP_FIN)))
		from--; /* include one more byte, so that it is acknowledged */
	if (keepalive && !len)
		from = fate_map(e, before->from + 1) - 1;
	check(after->from == from, "[%d, %d) is sent as %d instead of %d, floor %d", before->from, before->to,
	      after->from, from, e->floor);
	check((size_t)(after->to - after->from) == len + (size_t)old && !memcmp(text, after->text + old, len),
	      "[%d, %d) has other text", before->from, before->to);
}

/* Passes a segment. False: it was dropped. */
static bool pass(struct connection *c, unsigned side, struct segment *s)
{
	struct end *e = &c->end[side];
	uint8_t packet[PACKET_MAX];
	struct ipq_tcp_segment t;
	struct ipq_edit edited;
	struct segment after;
	bool gap = s->from > e->frontier && (s->to > s->from || s->flags & IPQ_TCP_FIN);
	bool keepalive = is_keepalive(c, e, s), fin = s->flags & IPQ_TCP_FIN;
	size_t len = write_packet(c, side, s, packet);
	enum ipq_tcp_result result;

	check(ipq_edit_begin(&edited, packet, len, sizeof(packet), 0) == 0, "begin");
	check(ipq_tcp_begin(c->tcp, &t, &edited, c->ipv6, 0) == 0, "tcp begin");
	ipq_tcp_expect(&t, 1, 1, 1);
	edit(c, side, &t, s);
	result = ipq_tcp_end(&t);
	check((result == IPQ_TCP_DROP) == (c->in_order && gap), "[%d, %d) is %s, frontier %d", s->from, s->to,
	      result == IPQ_TCP_DROP ? "dropped" : "sent", e->frontier);
	if (result == IPQ_TCP_DROP)
		return false;
	check(ipq_checksum_verify(packet, edited.len) == 0, "checksum");
	for (int32_t i = s->from; i < s->to; i++)
		e->fate[i].passed = true;
	if (s->from < s->to && e->frontier < s->to)
		e->frontier = s->to;
	if (!e->seen || ((s->from < s->to || fin) && e->next < s->to + fin))
		e->next = s->to + fin;
	/* The number of a recorded acknowledgement must stay right: see keep_number(). */
	if (c->recorded && e->frontier < s->from)
		e->frontier = s->from;
	if (c->recorded && e->next < s->from)
		e->next = s->from;
	e->seen = true;
	read_packet(c, side, &edited, &after);
	check(after.flags == s->flags, "flags");
	check_text(c, e, s, &after, keepalive);
	if (c->recorded && s->flags & IPQ_TCP_ACK)
		check_recorded_acknowledgement(c, side, s, &after);
	else if (s->flags & IPQ_TCP_ACK)
		check_acknowledgement(c, side, s, &after);
	if (!c->recorded)
		*s = after;
	return true;
}

/* ---- the actions of the ends --------------------------------------------------------------------- */

static void enqueue(struct queue *q, const struct segment *s)
{
	if (q->count < QUEUE)
		memcpy(&q->segment[q->count++], s,
		       offsetof(struct segment, text) + (size_t)(s->to - s->from));
}

static void fill_in_sack(const struct end *e, struct segment *s)
{
	int32_t at = e->prefix, begin;

	while (s->blocks < SACK_BLOCKS && at < e->highest) {
		while (at < e->highest && !e->have[at])
			at++;
		begin = at;
		while (at < e->highest && e->have[at])
			at++;
		if (begin < at) {
			s->sack[2 * s->blocks] = begin;
			s->sack[2 * s->blocks++ + 1] = at;
		}
	}
}

/* Sets the acknowledgement of a segment. */
static void fill_in_acknowledgement(const struct end *e, struct segment *s)
{
	if (!e->heard)
		return;
	s->flags |= IPQ_TCP_ACK;
	s->acknowledged = e->prefix + (e->prefix == e->fin_at);
	s->window = (uint16_t)(e->window >> (s->flags & IPQ_TCP_SYN ? 0 : e->scale));
	if (e->uses_sack && !(s->flags & IPQ_TCP_SYN))
		fill_in_sack(e, s);
}

static void send_segment(struct end *e, struct segment *s)
{
	fill_in_acknowledgement(e, s);
	memcpy(s->text, e->stream + s->from, (size_t)(s->to - s->from));
	if (e->sent < s->to + ((s->flags & IPQ_TCP_FIN) != 0))
		e->sent = s->to + ((s->flags & IPQ_TCP_FIN) != 0);
	enqueue(&e->out, s);
}

static void send_syn(struct end *e)
{
	struct segment s = { .flags = IPQ_TCP_SYN, .window = (uint16_t)e->window };

	if (!e->heard && percent(20)) /* TCP Fast Open */
		s.to = (int32_t)below((uint32_t)(e->len < 40 ? e->len : 40) + 1);
	send_segment(e, &s);
}

static void send_text(struct end *e)
{
	struct segment s = { .flags = 0 };
	int32_t limit = e->window_end < e->len ? e->window_end : e->len;

	if (limit < e->una + 1)
		limit = e->una + 1; /* a window probe */
	if (limit > e->len)
		limit = e->len;
	s.from = e->sent < limit ? e->sent : limit;
	if (percent(25) || s.from == limit)
		s.from = e->una;
	else if (percent(30))
		s.from = e->una + (int32_t)below((uint32_t)(s.from - e->una) + 1);
	if (s.from > e->len)
		return;
	s.to = s.from + 1 + (int32_t)below(percent(10) ? 3 : SEGMENT_MAX);
	if (s.to > limit)
		s.to = limit > s.from ? limit : s.from;
	for (int32_t i = s.from; i < s.to && e->uses_sack; i++)
		if (e->sacked[i])
			s.to = i;
	if (s.to == e->len && percent(50))
		s.flags |= IPQ_TCP_FIN;
	send_segment(e, &s);
}

static void receive_text(struct connection *c, unsigned side, const struct segment *s)
{
	struct end *e = &c->end[side];
	int32_t limit = e->prefix + e->window;

	for (int32_t i = s->from < e->prefix ? e->prefix : s->from; i < s->to && i < limit; i++) {
		check(i < RECEIVED_MAX, "too much");
		check(!e->have[i] || e->received[i] == s->text[i - s->from], "byte %d changes", i);
		check(e->fin_at < 0 || i < e->fin_at, "text after the FIN");
		e->have[i] = true;
		e->received[i] = s->text[i - s->from];
		if (e->highest < i + 1)
			e->highest = i + 1;
	}
	while (e->have[e->prefix])
		e->prefix++;
	if (s->flags & IPQ_TCP_FIN && s->to <= limit) {
		check(e->fin_at < 0 || e->fin_at == s->to, "FIN at %d and %d", e->fin_at, s->to);
		e->fin_at = s->to;
	}
}

static void receive_acknowledgement(struct connection *c, unsigned side, const struct segment *s)
{
	struct end *e = &c->end[side];
	unsigned scale = s->flags & IPQ_TCP_SYN ? 0 : (unsigned)c->end[!side].scale;

	check(s->acknowledged <= e->sent, "%d is acknowledged, %d was sent", s->acknowledged, e->sent);
	e->opened = true;
	if (s->acknowledged < e->una)
		return;
	e->una = s->acknowledged;
	e->window_end = e->una + (int32_t)(s->window << scale);
	for (unsigned i = 0; i < s->blocks; i++)
		for (int32_t n = s->sack[2 * i]; n < s->sack[2 * i + 1] && n < e->len; n++)
			e->sacked[n] = true;
}

static void receive(struct connection *c, unsigned side, const struct segment *s)
{
	struct end *e = &c->end[side];
	struct segment answer = { .from = e->sent <= e->len ? e->sent : e->len };
	bool text = s->to > s->from || s->flags & IPQ_TCP_FIN;

	if (s->flags & IPQ_TCP_SYN)
		e->heard = true;
	if (!e->heard)
		return;
	if (s->flags & IPQ_TCP_ACK)
		receive_acknowledgement(c, side, s);
	if (!(s->flags & IPQ_TCP_SYN) || side == 0 || percent(50))
		receive_text(c, side, s);
	if (s->flags & IPQ_TCP_SYN && side == 1)
		send_syn(e);
	else if (text || s->from < e->prefix || s->flags & IPQ_TCP_SYN) {
		answer.to = answer.from;
		send_segment(e, &answer);
	}
}

/* ---- a connection ------------------------------------------------------------------------------ */

static void choose_rule(struct connection *c)
{
	static const char *const old[] = { "a", "b", "ab", "aba", "abca", "cc", "bcabc" };
	static const size_t lengths[] = { 0, 1, 2, 3, 4, 5, 7, 11, NEW_MAX };

	strcpy(c->old, old[below(sizeof(old) / sizeof(*old))]);
	c->old_len = percent(10) ? 0 : strlen(c->old);
	c->new_len = percent(20) ? c->old_len : lengths[below(sizeof(lengths) / sizeof(*lengths))];
	if (c->little_memory && c->new_len == c->old_len)
		c->new_len++;
	for (size_t i = 0; i < c->new_len; i++)
		c->new[i] = (char)("ABCxyz"[below(6)]);
}

/* Sends segments of an attacker, whose numbers are far from the connection's. */
static void forge(struct connection *c)
{
	static const unsigned flags[] = { IPQ_TCP_SYN, IPQ_TCP_SYN | IPQ_TCP_ACK, IPQ_TCP_RST,
					  IPQ_TCP_ACK, IPQ_TCP_RST | IPQ_TCP_ACK, IPQ_TCP_FIN | IPQ_TCP_ACK };
	unsigned side = below(2);
	struct segment s = { .flags = flags[below(6)], .window = (uint16_t)below(65536) };
	int32_t far = (int32_t)(1U << 22) + (int32_t)below(1U << 30);
	uint8_t packet[PACKET_MAX];
	struct ipq_edit e;
	size_t len;

	s.from = percent(50) ? far : -far;
	s.to = s.from + (s.flags & IPQ_TCP_RST ? 0 : (int32_t)below(SEGMENT_MAX));
	/*
	 * An attacker who guesses the number of a SYN can answer it; then there is no connection. So these segments
	 * do not acknowledge it.
	 */
	s.acknowledged = c->end[side].opened && percent(50) ? c->end[side].prefix : -far;
	memset(s.text, 'a', (size_t)(s.to - s.from));
	if (s.flags == IPQ_TCP_SYN && percent(30))
		s.from = s.to = (int32_t)below(1000) + 1; /* a SYN is forged if it has another number */
	len = write_packet(c, side, &s, packet);
	check(ipq_edit_begin(&e, packet, len, sizeof(packet), 0) == 0, "begin of a forged segment");
	check(ipq_tcp_substitute(c->tcp, &e, c->ipv6, "a", 1, "forged", 6) >= 0, "a forged segment");
}

/* Moves a packet out of this queue: it is lost, arrives, or is duplicated. */
static void move(struct connection *c, unsigned side, bool before)
{
	struct end *e = &c->end[side];
	struct queue *q = before ? &e->out : &c->end[!side].in;
	unsigned i = percent(70) ? 0 : below(q->count < 5 ? q->count : 5);
	struct segment s;

	if (!q->count)
		return;
	memcpy(&s, &q->segment[i],
	       offsetof(struct segment, text) + (size_t)(q->segment[i].to - q->segment[i].from));
	if (percent(97) || q->count > QUEUE / 2)
		memmove(&q->segment[i], &q->segment[i + 1], (--q->count - i) * sizeof(s));
	if (percent(c->loss))
		return;
	if (!before)
		receive(c, !side, &s);
	else if ((c->recorded && !(s.flags & IPQ_TCP_SYN) && percent(10)) || pass(c, side, &s))
		enqueue(&c->end[!side].in, &s);
}

static bool is_over(const struct connection *c)
{
	return c->end[0].una > c->end[0].len && c->end[1].una > c->end[1].len;
}

static bool is_open(const struct connection *c)
{
	return c->end[0].opened && c->end[1].opened && c->end[0].fin_at < 0 && c->end[1].fin_at < 0;
}

static void start(struct connection *c, struct ipq_tcp *tcp)
{
	/* A new connection may have the ports of the previous one, but not its sequence numbers. */
	bool again = percent(10);
	static unsigned port;

	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &c->end[i];

		uint32_t isn = e->isn;

		memset(e, 0, offsetof(struct end, out));
		e->out.count = e->in.count = 0;
		e->len = (int32_t)below(percent(5) ? STREAM_MAX : 160);
		for (int32_t n = 0; n < e->len; n++)
			e->stream[n] = (uint8_t) "aabbcd"[below(6)];
		e->isn = again	       ? isn + (1U << 22) + below(1U << 31)
			 : percent(30) ? 0U - below(300)
				       : chance();
		e->fin_at = -1;
		e->scale = (int32_t)below(4);
		e->window = 20 + (int32_t)below(percent(50) ? 100 : 4000);
		e->uses_sack = percent(60);
	}
	port += !again;
	c->port = port;
	c->ipv6 = percent(30);
	c->tcp = tcp;
	c->loss = percent(30) ? 0 : below(20);
	choose_rule(c);
}

static void run(struct connection *c)
{
	unsigned steps;

	for (steps = 0; steps < STEPS_MAX && !is_over(c); steps++) {
		unsigned side = below(2);
		struct end *e = &c->end[side];

		move(c, below(2), percent(50));
		move(c, below(2), percent(50));
		if (percent(70))
			continue;
		if (side == 0 && !e->heard)
			send_syn(e);
		else if (e->opened && e->heard && e->una <= e->len)
			send_text(e);
		if (percent(3))
			choose_rule(c);
		/* While a connection opens and closes, it is protected from one attack, but not from several. */
		if (percent(c->recorded ? 0 : 5) && (is_open(c) || !c->forged++))
			forge(c);
	}
	check(is_over(c), "does not end: %d of %d and %d of %d acknowledged", c->end[0].una, c->end[0].len,
	      c->end[1].una, c->end[1].len);
}

static void check_streams(const struct connection *c)
{
	uint8_t text[RECEIVED_MAX];

	for (unsigned side = 0; side < 2; side++) {
		const struct end *sender = &c->end[side], *receiver = &c->end[!side];
		size_t len = c->recorded ? (size_t)sender->len : fate_text(sender, 0, sender->len, text);

		if (c->recorded)
			memcpy(text, sender->stream, len);
		check(receiver->prefix == (int32_t)len && receiver->fin_at == receiver->prefix,
		      "%d bytes and FIN at %d instead of %zu", receiver->prefix, receiver->fin_at, len);
		check(!memcmp(receiver->received, text, len), "another stream");
	}
}

int main(int argc, char **argv)
{
	uint64_t count = rounds(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000);
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, replaced = 0, late = 0, refused = 0;
	const struct ipq_tcp_options options[] = {
		{
			.size = sizeof(*options),
		},
		{ .size = sizeof(*options), .flags = IPQ_TCP_IN_ORDER },
		{ .size = sizeof(*options), .max_connection_bytes = 1280 },
		{ .size = sizeof(*options), .flags = IPQ_TCP_RECORDED },
	};
	struct ipq_tcp *tcp[4];
	struct connection *c = calloc(1, sizeof(*c));

	for (unsigned i = 0; i < 4; i++)
		check(ipq_tcp_open(&tcp[i], &options[i]) == 0 && c, "open");
	for (connection_number = first; connection_number < first + count; connection_number++) {
		unsigned kind;

		chance_seed(connection_number);
		kind = percent(60) ? 0 : 1 + below(3);
		c->in_order = kind == 1;
		c->little_memory = kind == 2;
		c->recorded = kind == 3;
		c->replaced = c->late = c->refused = c->forged = 0;
		start(c, tcp[kind]);
		run(c);
		check_streams(c);
		replaced += c->replaced;
		late += c->late;
		refused += c->refused;
	}
	printf("%llu connections, %llu texts replaced, %llu late, %llu refused for memory\n",
	       (unsigned long long)count, (unsigned long long)replaced, (unsigned long long)late,
	       (unsigned long long)refused);
	for (unsigned i = 0; i < 4; i++)
		ipq_tcp_close(tcp[i]);
	free(c);
	return replaced && (count < 1000 || (late && refused)) ? 0 : 1;
}
