/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sender, a receiver and a network that loses, repeats, re-cuts and reorders segments on both sides of
 * us. Both ends check what TCP promises: no byte that was sent on ever changes, everything arrives.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "filter/tcp_seq.h"

#define STREAM 6000
#define STEPS 400000

struct simulation {
	struct flows *flows;
	struct rewrite rewrite;
	uint32_t sender_isn, receiver_isn;
	uint8_t stream[STREAM];
	uint32_t acknowledged, next; /* of the sender, offsets in the stream */
	uint8_t received[STREAM * 4];
	bool have[STREAM * 4];
	uint32_t prefix; /* of the receiver: bytes without a hole */
	unsigned places, out_of_order;
};

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static size_t segment(uint8_t *p, bool from_sender, uint32_t sequence, uint32_t acknowledgement,
		      uint8_t flags, const uint8_t *text, size_t len)
{
	size_t total = 40 + len;

	memset(p, 0, 40);
	p[0] = 0x45;
	p[2] = (uint8_t)(total >> 8);
	p[3] = (uint8_t)total;
	p[8] = 64;
	p[9] = 6;
	memcpy(p + 12, from_sender ? "\x0a\0\0\1\x0a\0\0\2" : "\x0a\0\0\2\x0a\0\0\1", 8);
	memcpy(p + 20, from_sender ? "\x9c\x40\0\x50" : "\0\x50\x9c\x40", 4);
	put32(p + 24, sequence);
	put32(p + 28, acknowledgement);
	p[32] = 5 << 4;
	p[33] = flags;
	p[34] = 0xff;
	if (len > 0)
		memcpy(p + 40, text, len);
	assert_int_equal(ipq_checksum_complete(p, total), 0);
	return total;
}

static bool chance(int percent)
{
	return random() % 100 < percent;
}

/* A segment through us and, if it is not lost, to the receiver. */
static void send_text(struct simulation *s, uint32_t from, uint32_t to, int loss)
{
	uint8_t p[8192];
	struct ipq_edit e;
	size_t len = segment(p, true, s->sender_isn + 1 + from, s->receiver_isn + 1, IPQ_TCP_ACK,
			     s->stream + from, to - from);
	uint32_t at;
	int done;

	assert_int_equal(ipq_edit_begin(&e, p, len, sizeof(p), 0), 0);
	done = flow_pass(s->flows, 0, &e, &s->rewrite, 0);
	s->out_of_order += done == FLOW_DROP;
	if (done == FLOW_DROP)
		return;
	assert_true(done >= 0);
	assert_int_equal(ipq_checksum_verify(p, e.len), 0);
	s->places += (unsigned)done;
	if (chance(loss))
		return;
	at = get32(p + 24) - s->sender_isn - 1;
	for (uint32_t i = 0; i < e.payload_len; i++) {
		if ((int32_t)(at + i - s->prefix) < 0)
			continue; /* it has this, and looks no more */
		assert_true(at + i < sizeof(s->received));
		if (s->have[at + i] && s->received[at + i] != p[e.payload + i])
			fail_msg("byte %u was %02x, came again as %02x", at + i, s->received[at + i],
				 p[e.payload + i]);
		s->have[at + i] = true;
		s->received[at + i] = p[e.payload + i];
	}
	while (s->prefix < sizeof(s->have) && s->have[s->prefix])
		s->prefix++;
}

/* The receiver acknowledges what it has without a hole. */
static void send_acknowledgement(struct simulation *s, int loss)
{
	uint8_t p[128];
	struct ipq_edit e;
	size_t len =
		segment(p, false, s->receiver_isn + 1, s->sender_isn + 1 + s->prefix, IPQ_TCP_ACK, NULL, 0);
	uint32_t old;

	assert_int_equal(ipq_edit_begin(&e, p, len, sizeof(p), 0), 0);
	assert_true(flow_pass(s->flows, 0, &e, NULL, 0) >= 0);
	assert_int_equal(ipq_checksum_verify(p, e.len), 0);
	if (chance(loss))
		return;
	old = get32(p + 28) - s->sender_isn - 1;
	assert_in_range(old, 0, s->next);
	if (old > s->acknowledged)
		s->acknowledged = old;
}

static void begin(struct simulation *s, const char *from, const char *to)
{
	static const char *const words[] = { "evil", "ev", "il", "good ", "x", "evilevil", "levi" };
	uint8_t p[64];
	struct ipq_edit e;

	s->flows = flows_new();
	s->rewrite = (struct rewrite){ (unsigned char *)strdup(from), (unsigned char *)strdup(to),
				       strlen(from), strlen(to), true };
	for (size_t n = 0; n < STREAM;) {
		const char *w = words[random() % 7];

		for (size_t i = 0; w[i] != '\0' && n < STREAM; i++)
			s->stream[n++] = (uint8_t)w[i];
	}
	s->sender_isn = 0xfffff000; /* wraps on the way */
	s->receiver_isn = 77;
	assert_int_equal(
		ipq_edit_begin(&e, p, segment(p, true, s->sender_isn, 0, IPQ_TCP_SYN, NULL, 0), sizeof(p), 0),
		0);
	assert_true(flow_pass(s->flows, 0, &e, &s->rewrite, 0) >= 0);
}

static void end(struct simulation *s)
{
	flows_free(s->flows);
	free(s->rewrite.from);
	free(s->rewrite.to);
}

static void transfer(struct simulation *s, int loss)
{
	for (int step = 0; step < STEPS && s->acknowledged < STREAM; step++) {
		uint32_t from = s->next, to, limit = s->acknowledged + 1000;

		limit = limit < STREAM ? limit : STREAM;
		if (chance(30) || from >= limit) /* again, cut in another way */
			from = s->acknowledged + (uint32_t)random() % (s->next - s->acknowledged + 1);
		if (from == s->next && chance(loss) && from + 100 < limit)
			from += (uint32_t)random() % 100; /* what is between was lost before us */
		if (chance(20))
			from = s->acknowledged; /* the sender's timer */
		to = from + 1 + (uint32_t)random() % 120;
		to = to < limit ? to : limit;
		if (from < to) {
			send_text(s, from, to, loss);
			s->next = to > s->next ? to : s->next;
		}
		if (chance(40))
			send_acknowledgement(s, loss);
	}
	assert_int_equal(s->acknowledged, STREAM);
}

/* The received stream with the new text turned back is the sent one, byte for byte. */
static void compare(const struct simulation *s)
{
	uint32_t from = 0, at = 0;

	while (at < s->prefix) {
		if (s->rewrite.to_len > 0 && at + s->rewrite.to_len <= s->prefix &&
		    memcmp(s->received + at, s->rewrite.to, s->rewrite.to_len) == 0) {
			assert_memory_equal(s->stream + from, s->rewrite.from, s->rewrite.from_len);
			at += (uint32_t)s->rewrite.to_len;
			from += (uint32_t)s->rewrite.from_len;
		} else {
			assert_int_equal(s->received[at++], s->stream[from++]);
		}
	}
	assert_int_equal(from, STREAM);
}

static void run(const char *to, int loss)
{
	struct simulation *s = calloc(1, sizeof(*s));

	begin(s, "evil", to);
	transfer(s, loss);
	compare(s);
	assert_true(s->places > 20);
	assert_true(loss == 0 || s->out_of_order > 0);
	end(s);
	free(s);
}

static void test_longer_text_leaves_a_stream_whole(void **state)
{
	(void)state;
	srandom(4);
	run("<WONDERFUL>", 0);
}

static void test_shorter_text_leaves_a_stream_whole(void **state)
{
	(void)state;
	srandom(5);
	run("#", 0);
}

static void test_no_loss_and_no_new_cut_of_segments_tears_a_stream(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 40; seed++) {
		srandom(100 + seed);
		run(seed % 2 ? "<WONDERFUL>" : "#", 5 + (int)seed);
	}
}

static void test_a_connection_without_a_rule_is_not_touched(void **state)
{
	struct flows *flows = flows_new();
	uint8_t p[128], before[128];
	struct ipq_edit e;
	size_t len = segment(p, true, 1000, 2000, IPQ_TCP_ACK, (const uint8_t *)"evil", 4);

	(void)state;
	memcpy(before, p, len);
	assert_int_equal(ipq_edit_begin(&e, p, len, sizeof(p), 0), 0);
	assert_int_equal(flow_pass(flows, 0, &e, NULL, 0), FLOW_SAME);
	assert_memory_equal(p, before, len);
	assert_int_equal(flows_count(flows), 0);
	flows_free(flows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longer_text_leaves_a_stream_whole),
		cmocka_unit_test(test_shorter_text_leaves_a_stream_whole),
		cmocka_unit_test(test_no_loss_and_no_new_cut_of_segments_tears_a_stream),
		cmocka_unit_test(test_a_connection_without_a_rule_is_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
