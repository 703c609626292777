/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of ipq_tcp.h, packet by packet. tcp_model.c tests complete connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tcp/across.h"
#include "tcp/tcp.h"
#include "rounds.h"
#include "tcp_packet.h"

#define A_ISN 100
#define B_ISN 500

static struct ipq_edit e;

static void begin_packet(const struct packet *p)
{
	size_t len = write_packet(p);

	assert_int_equal(ipq_checksum_verify(buffer, len), 0);
	assert_int_equal(ipq_edit_begin(&e, buffer, len, 65531, 0), 0);
}

/* Passes a packet, and replaces `old` by `new` in it. */
static enum ipq_tcp_result pass(struct ipq_tcp *t, const struct packet *p, const char *old, const char *new)
{
	int result;

	begin_packet(p);
	result = ipq_tcp_substitute(t, &e, 0, old, strlen(old), new, strlen(new));
	assert_true(result >= 0);
	assert_int_equal(ipq_checksum_verify(buffer, e.len), 0);
	return (enum ipq_tcp_result)result;
}

static uint32_t sequence(void)
{
	return get32(buffer + e.transport + 4);
}

static uint32_t acknowledgement(void)
{
	return get32(buffer + e.transport + 8);
}

static void assert_text(const char *text)
{
	assert_int_equal(e.payload_len, strlen(text));
	assert_memory_equal(buffer + e.payload, text, e.payload_len);
}

/* Opens a table that has room for so many connections; 0: the default. */
static struct ipq_tcp *open_limited(uint32_t max_connections, uint32_t flags)
{
	struct ipq_tcp_options options = { .size = sizeof(options),
					   .max_connections = max_connections,
					   .flags = flags };
	struct ipq_tcp *t;

	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	return t;
}

static struct ipq_tcp *open_table(uint32_t flags)
{
	return open_limited(0, flags);
}

static struct ipq_tcp_stats stats_of(struct ipq_tcp *t)
{
	struct ipq_tcp_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ipq_tcp_stats(t, &stats), 0);
	return stats;
}

/* Passes SYN, SYN-ACK and ACK of a connection. The next sequence numbers are A_ISN + 1 and B_ISN + 1. */
static void shake_hands(struct ipq_tcp *t, unsigned port)
{
	pass(t, &(struct packet){ .port = port, .flags = IPQ_TCP_SYN, .sequence = A_ISN }, "-", "+");
	pass(t,
	     &(struct packet){ .port = port,
			       .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = B_ISN,
			       .acknowledgement = A_ISN + 1 },
	     "-", "+");
	pass(t,
	     &(struct packet){ .port = port,
			       .flags = IPQ_TCP_ACK,
			       .sequence = A_ISN + 1,
			       .acknowledgement = B_ISN + 1 },
	     "-", "+");
}

static struct ipq_tcp *open_connection(uint32_t flags)
{
	struct ipq_tcp *t = open_table(flags);

	shake_hands(t, 0);
	return t;
}

#define TEXT(...) (&(struct packet){ .flags = IPQ_TCP_ACK, .acknowledgement = B_ISN + 1, __VA_ARGS__ })
#define ANSWER(n)          \
	(&(struct packet){ \
		.side = 1, .flags = IPQ_TCP_ACK, .sequence = B_ISN + 1, .acknowledgement = A_ISN + (n) })

/* The window limits the bytes that a side sends, not the bytes after a replacement. */
static void acknowledgement_of_text_that_grew_beyond_the_window_is_in_it(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	static char text[1400], longer[701];
	struct packet answer = *ANSWER(1);

	(void)state;
	memset(text, '.', sizeof(text));
	memset(longer, '+', sizeof(longer) - 1);
	text[0] = '-';
	for (uint32_t i = 0; i < 46; i++) {
		pass(t, TEXT(.sequence = A_ISN + 1 + i * 1400, .text = text, .text_len = sizeof(text)), "-",
		     longer);
		assert_int_equal(e.payload_len, 1400 - 1 + 700);
	}
	answer.text = "evil";
	pass(t, &answer, "evil", "goodness");
	assert_text("goodness");
	assert_int_equal(acknowledgement(), A_ISN + 1);
	ipq_tcp_close(t);
}

/* Writes an ICMP error about the packet in `buffer`. Returns its length. */
static size_t quote(uint8_t *error, size_t quoted)
{
	memset(error, 0, 28);
	error[0] = 0x45;
	put16(error + 2, (unsigned)(28 + quoted));
	error[8] = 64;
	error[9] = IPPROTO_ICMP;
	memcpy(error + 12, "\12\0\0\11\12\0\0\1", 8);
	error[20] = 3;
	error[21] = 4;
	memcpy(error + 28, buffer, quoted);
	assert_int_equal(ipq_checksum_complete(error, 28 + quoted), 0);
	return 28 + quoted;
}

static void icmp_error_quotes_the_numbers_of_the_sender(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	uint8_t error[200];
	struct ipq_tcp_segment s;

	(void)state;
	pass(t, TEXT(.sequence = A_ISN + 1, .text = "evil"), "evil", "goodness");
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_ACK,
			       .sequence = B_ISN + 1,
			       .acknowledgement = A_ISN + 9,
			       .text = "evil" },
	     "evil", "good gods!");
	pass(t,
	     &(struct packet){ .flags = IPQ_TCP_ACK,
			       .sequence = A_ISN + 5,
			       .acknowledgement = B_ISN + 11,
			       .text = "more" },
	     "evil", "goodness");
	assert_int_equal(sequence(), A_ISN + 9);
	assert_int_equal(acknowledgement(), B_ISN + 5);
	for (size_t quoted = 28; quoted <= 40; quoted += 4) {
		size_t len = quote(error, quoted);

		memset(error + len, 0xee, 12);
		assert_int_equal(ipq_edit_begin(&e, error, len, len, 0), 0);
		assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, IPQ_TCP_KNOWN_ONLY), 0);
		assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
		assert_int_equal(ipq_checksum_verify(error, len), 0);
		assert_int_equal(get32(error + 52), A_ISN + 5);
		if (quoted >= 32)
			assert_int_equal(get32(error + 56), B_ISN + 11);
		for (size_t i = len; i < len + 12; i++)
			assert_int_equal(error[i], 0xee);
	}
	for (unsigned type = 0; type < 20; type++) {
		bool is_error = type == 3 || type == 4 || type == 11 || type == 12;
		size_t len = quote(error, 40);

		error[20] = (uint8_t)type;
		assert_int_equal(ipq_edit_begin(&e, error, len, len, 0), 0);
		assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
		assert_int_equal(ipq_tcp_end(&s), is_error ? IPQ_TCP_CHANGED : IPQ_TCP_UNCHANGED);
	}
	/* An error that is a fragment, and a quoted fragment without a TCP header. */
	for (unsigned i = 0; i < 2; i++) {
		size_t len = quote(error, 40);

		error[i == 0 ? 6 : 28 + 6] = i == 0 ? 0x20 : 1;
		assert_int_equal(ipq_edit_begin(&e, error, len, len, 0), 0);
		assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
		assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_UNCHANGED);
	}
	/*
	 * A quote without the sequence number, a quote of another connection, and a message that is not an error.
	 */
	for (unsigned i = 0; i < 3; i++) {
		size_t len = quote(error, i == 0 ? 27 : 40);

		error[20] = i == 2 ? 8 : 3;
		error[49] ^= i == 1;
		assert_int_equal(ipq_edit_begin(&e, error, len, len, 0), 0);
		assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
		assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_UNCHANGED);
	}
	ipq_tcp_close(t);
}

static size_t write_six(uint8_t *packet, uint8_t protocol, const void *body, size_t len)
{
	memset(packet, 0, 40);
	packet[0] = 0x60;
	put16(packet + 4, (unsigned)len);
	packet[6] = protocol;
	packet[7] = 64;
	packet[8] = packet[24] = 0xfd;
	packet[39] = 1;
	memcpy(packet + 40, body, len);
	assert_int_equal(ipq_checksum_complete(packet, 40 + len), 0);
	return 40 + len;
}

/* Whether the numbers are changed in an ICMPv6 message of this type that quotes the packet. */
static bool moves_quote_in(struct ipq_tcp *t, unsigned type, const uint8_t *packet, size_t packet_len)
{
	uint8_t body[200] = { (uint8_t)type }, message[300];
	struct ipq_tcp_segment s;
	size_t len;

	memcpy(body + 8, packet, packet_len);
	len = write_six(message, IPPROTO_ICMPV6, body, 8 + packet_len);
	assert_int_equal(ipq_edit_begin(&e, message, len, len, 0), 0);
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	if (ipq_tcp_end(&s) != IPQ_TCP_CHANGED)
		return false;
	assert_int_equal(get32(message + 40 + 8 + 40 + 4), 8); /* in a recording, numbers move forward */
	return true;
}

static void icmpv6_errors_quote_and_other_messages_do_not(void **state)
{
	struct ipq_tcp *t = open_table(IPQ_TCP_RECORDED);
	uint8_t tcp[24] = { [12] = 0x50, [13] = IPQ_TCP_ACK }, packet[100], later[100];
	size_t len;

	(void)state;
	memcpy(tcp + 20, "evil", 4);
	len = write_six(packet, IPPROTO_TCP, tcp, sizeof(tcp));
	assert_int_equal(ipq_edit_begin(&e, packet, len, sizeof(packet), 0), 0);
	assert_int_equal(ipq_tcp_substitute(t, &e, 0, "evil", 4, "goodness", 8), IPQ_TCP_CHANGED);
	tcp[7] = 4; /* the next sequence number */
	len = write_six(later, IPPROTO_TCP, tcp, sizeof(tcp));
	assert_true(moves_quote_in(t, 2, later, len)); /* too big */
	assert_true(moves_quote_in(t, 127, later, len));
	assert_false(moves_quote_in(t, 128, later, len)); /* an echo may contain any data */
	assert_false(moves_quote_in(t, 200, later, len));
	ipq_tcp_close(t);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static void recorded_acknowledgement_moves_forward(void **state)
{
	struct ipq_tcp *t = open_table(IPQ_TCP_RECORDED);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "a evil b"), "evil", "goodness"),
			 IPQ_TCP_CHANGED);
	assert_text("a goodness b");
	assert_int_equal(pass(t, ANSWER(9), "evil", "goodness"), IPQ_TCP_CHANGED);
	assert_int_equal(acknowledgement(), 113);
	/* a retransmission, and another one in a different form */
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "a evil b"), "evil", "x"), IPQ_TCP_CHANGED);
	assert_text("a goodness b");
	assert_int_equal(pass(t, TEXT(.sequence = 109, .text = "end"), "evil", "x"), IPQ_TCP_CHANGED);
	assert_int_equal(sequence(), 113);
	ipq_tcp_close(t);
}

/* The sequence number of the acknowledgement is already written, so the length of text before it cannot change. */
static void recorded_number_of_an_early_acknowledgement_stays_right(void **state)
{
	struct ipq_tcp *t = open_connection(IPQ_TCP_RECORDED);

	(void)state;
	pass(t, TEXT(.sequence = A_ISN + 9, .text = ""), "evil", "goodness");
	assert_int_equal(sequence(), A_ISN + 9);
	pass(t, TEXT(.sequence = A_ISN + 1, .text = "evil"), "evil", "goodness");
	assert_text("evil");
	pass(t, TEXT(.sequence = A_ISN + 5, .text = "evil"), "evil", "good");
	assert_text("good");
	pass(t, TEXT(.sequence = A_ISN + 9, .text = "evil"), "evil", "goodness");
	assert_int_equal(sequence(), A_ISN + 9);
	assert_text("goodness");
	/* a number far beyond the window */
	pass(t, TEXT(.sequence = A_ISN + (1 << 28), .text = ""), "evil", "goodness");
	pass(t, TEXT(.sequence = A_ISN + 13, .text = "evil"), "evil", "goodness");
	assert_int_equal(sequence(), A_ISN + 17);
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* Only the first bytes of the text were captured. It is not replaced, and all of it counts for the numbers. */
static void numbers_of_recorded_packets_that_are_cut_follow(void **state)
{
	struct ipq_tcp *t = open_connection(IPQ_TCP_RECORDED);
	static uint8_t cut[50];
	size_t len;

	(void)state;
	pass(t, TEXT(.sequence = A_ISN + 1, .text = "evil"), "evil", "goodness");
	len = write_packet(TEXT(.sequence = A_ISN + 5, .text = "an evil text"));
	memcpy(cut, buffer, sizeof(cut));
	assert_int_equal(ipq_edit_begin(&e, cut, sizeof(cut), sizeof(cut), IPQ_EDIT_CUT), 0);
	assert_int_equal(ipq_tcp_substitute(t, &e, 0, "evil", 4, "good", 4), IPQ_TCP_CHANGED);
	assert_int_equal(e.len, sizeof(cut));
	assert_int_equal(e.reason, IPQ_EDIT_REASON_CUT);
	assert_int_equal(get32(cut + 24), A_ISN + 9);
	assert_memory_equal(cut + 40, "an evil te", 10);
	memcpy(buffer, cut, sizeof(cut));
	assert_int_equal(ipq_checksum_verify(buffer, len), 0);
	pass(t, ANSWER(17), "evil", "goodness");
	assert_int_equal(acknowledgement(), A_ISN + 21);
	pass(t, TEXT(.sequence = A_ISN + 17, .text = "evil"), "evil", "goodness");
	assert_int_equal(sequence(), A_ISN + 21);
	assert_text("goodness");
	ipq_tcp_close(t);
}

/*
 * Text that was captured later is replaced by the same number of bytes, even across the number of an
 * acknowledgement.
 */
static void recorded_text_across_an_early_acknowledgement_is_replaced(void **state)
{
	struct ipq_tcp *t = open_connection(IPQ_TCP_RECORDED);

	(void)state;
	pass(t, TEXT(.sequence = A_ISN + 3, .text = ""), "evil", "good");
	pass(t, TEXT(.sequence = A_ISN + 5, .text = "more"), "evil", "good");
	pass(t, TEXT(.sequence = A_ISN + 1, .text = "evil"), "evil", "good");
	assert_text("good");
	ipq_tcp_close(t);
}

/* The number of a keepalive is one less than the next number, even inside a replaced text. */
static void recorded_keepalive_stays_a_keepalive(void **state)
{
	static const char *const texts[] = { "", "", "x" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ipq_tcp *t = open_connection(IPQ_TCP_RECORDED);
		const char *new = i == 0 ? "no" : "goodness";

		pass(t, TEXT(.sequence = A_ISN + 1, .text = "an evil"), "evil", new);
		assert_int_equal(e.payload_len, 3 + strlen(new));
		pass(t, ANSWER(8), "evil", new);
		assert_int_equal(acknowledgement(), A_ISN + 1 + 3 + strlen(new));
		pass(t, TEXT(.sequence = A_ISN + 7, .text = texts[i]), "evil", new);
		assert_int_equal(sequence(), A_ISN + 1 + 3 + strlen(new) - 1);
		assert_text("");
		ipq_tcp_close(t);
	}
}

static void numbers_inside_text_of_the_same_length_stay(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags <= IPQ_TCP_RECORDED; flags++) {
		struct ipq_tcp *t = open_connection(flags);

		pass(t, TEXT(.sequence = 101, .text = "an evil"), "evil", "good");
		assert_text("an good");
		pass(t, ANSWER(6), "evil", "good");
		assert_int_equal(acknowledgement(), 106);
		for (unsigned i = 0; i < 2; i++) {
			pass(t, TEXT(.sequence = 106, .text = i == 0 ? "il" : "i"), "evil", "good");
			assert_text(i == 0 ? "od" : "o");
			assert_int_equal(sequence(), 106);
		}
		ipq_tcp_close(t);
	}
}

static void segments_after_a_gap_are_sent(void **state)
{
	for (uint32_t flags = 0; flags <= IPQ_TCP_RECORDED; flags++) {
		struct ipq_tcp *t = open_table(flags);

		(void)state;
		assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "one "), "evil", "goodness"), 0);
		assert_int_equal(pass(t, TEXT(.sequence = 110, .text = "three "), "evil", "goodness"), 0);
		assert_int_equal(pass(t, TEXT(.sequence = 116, .text = "four "), "evil", "goodness"), 0);
		ipq_tcp_close(t);
	}
}

static void segment_after_a_gap_is_dropped_in_order_only(void **state)
{
	struct ipq_tcp *t = open_connection(IPQ_TCP_IN_ORDER);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 106, .text = "evil"), "evil", "goodness"), IPQ_TCP_DROP);
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil "), "evil", "goodness"),
			 IPQ_TCP_CHANGED);
	assert_int_equal(pass(t, TEXT(.sequence = 106, .text = "evil"), "evil", "goodness"), IPQ_TCP_CHANGED);
	assert_int_equal(sequence(), 110);
	assert_text("goodness");
	assert_int_equal(stats_of(t).dropped, 1);
	assert_int_equal(stats_of(t).replaced, 2);
	ipq_tcp_close(t);
}

static void text_in_a_gap_keeps_its_length(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 106, .text = "later"), "evil", "goodness"), 0);
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil "), "evil", "goodness"), 0);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_LATE);
	assert_int_equal(stats_of(t).late, 1);
	ipq_tcp_close(t);
	t = open_connection(0);
	assert_int_equal(pass(t, TEXT(.sequence = 106, .text = "later"), "evil", "good"), 0);
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil "), "evil", "good"), IPQ_TCP_CHANGED);
	assert_text("good ");
	ipq_tcp_close(t);
}

/* Only the newest gaps are stored. Text in older gaps passes unchanged. */
static void gaps_are_remembered_up_to_a_number(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	const uint32_t first = 101, last = 101 + 20 * (TCP_GAPS + 7);

	(void)state;
	for (uint32_t at = first; at <= last; at += 20)
		pass(t, TEXT(.sequence = at + 10, .text = "0123456789"), "-", "+");
	pass(t, TEXT(.sequence = first, .text = "evil"), "evil", "good");
	assert_text("evil");
	/* If a gap is split and there are too many, the oldest gap is removed. */
	pass(t, TEXT(.sequence = last - 20 * 10 + 4, .text = "ab"), "-", "+");
	pass(t, TEXT(.sequence = last - 20 * (TCP_GAPS - 1), .text = "evil"), "evil", "good");
	assert_text("evil");
	pass(t, TEXT(.sequence = last, .text = "evil"), "evil", "good");
	assert_text("good");
	pass(t, TEXT(.sequence = last - 20 * 10 + 6, .text = "evil"), "evil", "good");
	assert_text("good");
	pass(t, TEXT(.sequence = last - 20 * (TCP_GAPS - 2), .text = "evil"), "evil", "good");
	assert_text("good");
	ipq_tcp_close(t);
}

static void retransmission_is_sent_as_first_under_other_rules(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "say evil now"), "evil", "goodness");
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "say evil now"), "now", "never"),
			 IPQ_TCP_CHANGED);
	assert_text("say goodness now");
	/* the segments are cut inside the text: the one with its first byte has the complete replacement */
	pass(t, TEXT(.sequence = 101, .text = "say ev"), "-", "+");
	assert_text("say goodness");
	pass(t, TEXT(.sequence = 107, .text = "il now"), "-", "+");
	assert_text(" now");
	assert_int_equal(sequence(), 113);
	ipq_tcp_close(t);
}

static void text_of_the_same_length_is_sent_as_first(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "good");
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil"), "-", "+"), IPQ_TCP_CHANGED);
	assert_text("good");
	ipq_tcp_close(t);
}

static void unchanged_text_is_never_changed_later(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "-", "+");
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil evil"), "evil", "x"), IPQ_TCP_CHANGED);
	assert_text("evil x");
	ipq_tcp_close(t);
}

static void first_segment_of_an_unknown_connection_keeps_its_length(void **state)
{
	struct ipq_tcp *t = open_table(0);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "x"), IPQ_TCP_UNCHANGED);
	assert_int_equal(pass(t, TEXT(.sequence = 105, .text = "evil"), "evil", "x"), IPQ_TCP_CHANGED);
	assert_text("x");
	ipq_tcp_close(t);
}

static void emptied_segment_is_acknowledged(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", ""), IPQ_TCP_CHANGED);
	assert_text("");
	assert_int_equal(sequence(), 100); /* the number is before the window, as in a keepalive */
	pass(t, ANSWER(1), "-", "+");
	assert_int_equal(acknowledgement(), 105);
	ipq_tcp_close(t);
}

static void partly_received_text_is_not_acknowledged(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "a evil b"), "evil", "goodness");
	pass(t, ANSWER(6), "-", "+");
	assert_int_equal(acknowledgement(), 103);
	pass(t, ANSWER(12), "-", "+");
	assert_int_equal(acknowledgement(), 108);
	ipq_tcp_close(t);
}

static void sack_blocks_cover_whole_texts(void **state)
{
	static const uint8_t options[] = {
		1, 1, 5, 18, 0, 0, 0, 106, 0, 0, 0, 113, 0, 0, 0, 104, 0, 0, 0, 106
	};
	struct ipq_tcp *t = open_connection(0);
	struct packet answer = *ANSWER(1);
	size_t len;
	int at;

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "a evil b"), "evil", "goodness");
	answer.options = options;
	answer.options_len = sizeof(options);
	assert_int_equal(pass(t, &answer, "-", "+"), IPQ_TCP_CHANGED);
	at = ipq_edit_find_tcp_option(&e, 5, &len);
	assert_true(at > 0);
	assert_int_equal(len, 8); /* the second SACK block was removed, because it is inside a text */
	assert_int_equal(get32(buffer + at), 107);
	assert_int_equal(get32(buffer + at + 4), 109);
	ipq_tcp_close(t);
}

static void urgent_pointer_follows(void **state)
{
	struct ipq_tcp *t = open_table(IPQ_TCP_RECORDED);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "kill SECRET now!", .urgent = 16, .more_flags = IPQ_TCP_URG),
	     "SECRET", "x");
	assert_int_equal(get16(buffer + e.transport + 18), 11);
	ipq_tcp_close(t);
}

/* The window must not change: a smaller one once made senders wait for their persist timer. */
static void window_stays(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct packet answer = *ANSWER(1);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "a evil b"), "evil", "goodness");
	answer.window = 100;
	pass(t, &answer, "-", "+");
	assert_int_equal(get16(buffer + e.transport + 14), 100);
	ipq_tcp_close(t);
}

static void inserted_text_goes_with_its_neighbour(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "middle"));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_replace(&s, 0, 0, "<", 1), 1);
	assert_int_equal(ipq_tcp_replace(&s, 6, 0, ">", 1), 1);
	assert_int_equal(ipq_tcp_replace(&s, 3, 0, "", 0), -EINVAL);
	assert_int_equal(ipq_tcp_replace(&s, 7, 0, "!", 1), -EINVAL);
	assert_int_equal(ipq_tcp_replace(&s, 0, 2, "!", 1), -EEXIST);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_text("<middle>");
	pass(t, TEXT(.sequence = 106, .text = "e next"), "-", "+");
	assert_text("e> next");
	ipq_tcp_close(t);
}

static void replayed_text_that_does_not_fit_is_cut(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;
	struct packet both = *TEXT(.sequence = 101, .text = "evil evil", .more_flags = IPQ_TCP_FIN);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil "), "evil", "goodness");
	pass(t, TEXT(.sequence = 106, .text = "evil"), "evil", "goodness");
	begin_packet(&both);
	e.room = 40 + 12;
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_text("goodness ");
	assert_int_equal(buffer[e.transport + 13], IPQ_TCP_ACK);
	assert_int_equal(stats_of(t).cut, 1);
	/* Not even the first text fits. */
	begin_packet(&both);
	e.room = 40 + 7;
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_DROP);
	assert_int_equal(stats_of(t).cut, 2);
	ipq_tcp_close(t);
}

/* ---- refusals --------------------------------------------------------------------------------- */

static void protected_segment_is_refused(void **state)
{
	static const uint8_t md5[20] = { 19, 18, [18] = 1, 1 }, ao[20] = { 29, 16, [16] = 1, 1, 1, 1 };
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pass(t,
				      TEXT(.sequence = 101, .text = "evil", .options = i ? ao : md5,
					   .options_len = 20),
				      "evil", i ? "good" : "x"),
				 IPQ_TCP_UNCHANGED);
	assert_int_equal(stats_of(t).protection, 2);
	for (unsigned i = 0; i < 2; i++) { /* ESP, and AH before a TCP header */
		static const char text[44] = {
			[16] = 0x50
		}; /* the header length of the TCP header after AH */
		struct ipq_tcp_segment s;

		begin_packet(TEXT(.sequence = 101, .text = text, .text_len = sizeof(text)));
		buffer[9] = i ? 51 : 50;
		if (i)
			memcpy(buffer + 20, "\6\4", 2);
		assert_int_equal(ipq_edit_begin(&e, buffer, e.len, sizeof(buffer), 0), 0);
		assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
		assert_int_equal(ipq_tcp_replace(&s, 0, 1, "x", 1), -EOPNOTSUPP);
		assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_UNCHANGED);
		assert_int_equal(stats_of(t).protection, 3 + i);
	}
	ipq_tcp_close(t);
}

static void offer_of_multipath_is_removed(void **state)
{
	static const uint8_t options[] = { 2, 4, 5, 0xb4, 30, 4, 0, 0 }, dss[] = { 30, 4, 0x20, 0 };
	struct ipq_tcp *t = open_table(0);
	int at;

	(void)state;
	assert_int_equal(pass(t,
			      &(struct packet){ .flags = IPQ_TCP_SYN,
						.sequence = A_ISN,
						.options = options,
						.options_len = sizeof(options) },
			      "evil", "goodness"),
			 IPQ_TCP_CHANGED);
	assert_int_equal(ipq_edit_find_tcp_option(&e, 30, NULL), -ENOENT);
	at = ipq_edit_find_tcp_option(&e, 2, NULL);
	assert_int_equal(get16(buffer + at), 730); /* a segment full of matches still fits */
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "x");
	assert_text("x");
	assert_int_equal(
		pass(t, TEXT(.sequence = 105, .text = "evil", .options = dss, .options_len = sizeof(dss)),
		     "evil", "y"),
		IPQ_TCP_CHANGED);
	assert_text("evil");
	assert_int_equal(e.reason, IPQ_EDIT_REASON_MPTCP);
	assert_int_equal(stats_of(t).multipath, 1);
	ipq_tcp_close(t);
}

static void other_packets_are_refused(void **state)
{
	struct ipq_tcp *t = open_table(0);
	struct ipq_tcp_segment s;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "evil"));
	buffer[9] = 17;
	assert_int_equal(ipq_edit_begin(&e, buffer, e.len, sizeof(buffer), 0), 0);
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 2), -EINVAL);
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_true(ipq_tcp_replace(&s, 0, 1, "x", 1) < 0);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_UNCHANGED);
	ipq_tcp_close(t);
}

static void second_packet_before_the_end_of_the_first_is_an_error(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s, second;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "evil"));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_begin(t, &second, &e, 0, 0), -EDEADLK);
	assert_int_equal(ipq_tcp_replace(&second, 0, 4, "good", 4), -EINVAL);
	assert_int_equal(ipq_tcp_end(&second), IPQ_TCP_UNCHANGED);
	ipq_tcp_end(&s);
	ipq_tcp_close(t);
}

static void calls_after_the_end_of_a_packet_change_nothing(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "evil"));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_replace(&s, 0, 4, "good", 4), 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_int_equal(ipq_tcp_replace(&s, 0, 4, "best", 4), -EINVAL);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_ARGUMENT);
	ipq_tcp_expect(&s, 1, 2, 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_UNCHANGED);
	assert_text("good");
	assert_int_equal(stats_of(t).replaced, 1);
	begin_packet(TEXT(.sequence = 101, .text = "evil"));
	/* A packet whose connection is not in the table. */
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 9, IPQ_TCP_KNOWN_ONLY), 0);
	assert_int_equal(ipq_tcp_replace(&s, 0, 4, "good", 4), 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_int_equal(ipq_tcp_replace(&s, 0, 4, "best", 4), -EINVAL);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_UNCHANGED);
	assert_int_equal(stats_of(t).replaced, 2);
	ipq_tcp_close(t);
}

static void options_that_are_unknown_are_refused(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .flags = 1U << 31 };
	struct ipq_tcp_stats stats = { .size = 0 };
	struct ipq_tcp *t;

	(void)state;
	assert_int_equal(ipq_tcp_open(&t, &options), -EINVAL);
	options = (struct ipq_tcp_options){ .size = 0 };
	assert_int_equal(ipq_tcp_open(&t, &options), -EINVAL);
	assert_int_equal(ipq_tcp_open(&t, NULL), 0);
	assert_int_equal(ipq_tcp_stats(t, &stats), -EINVAL);
	ipq_tcp_close(t);
	ipq_tcp_close(NULL);
}

/* ---- attacks ---------------------------------------------------------------------------------- */

static void forged_syn_and_rst_change_no_connection(void **state)
{
	static const unsigned flags[] = { IPQ_TCP_SYN, IPQ_TCP_RST, IPQ_TCP_SYN | IPQ_TCP_ACK, IPQ_TCP_ACK };
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	for (uint32_t i = 0; i < 4000; i++) {
		struct packet forged = { .flags = flags[i % 4],
					 .side = i / 4 % 2,
					 .sequence = 0x40000000 + i * 1000003,
					 .acknowledgement = i,
					 .text = i % 4 == 1 ? "" : "evil" };

		pass(t, &forged, "evil", "forgery");
	}
	pass(t, TEXT(.sequence = 105, .text = "more"), "evil", "goodness");
	assert_int_equal(sequence(), 109);
	pass(t, ANSWER(13), "evil", "goodness");
	assert_int_equal(acknowledgement(), 109);
	assert_true(stats_of(t).connections <= 4);
	ipq_tcp_close(t);
}

static void new_connection_on_old_ports_begins_anew(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = 7000000 }, "evil", "goodness");
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = 9000000,
			       .acknowledgement = 7000001 },
	     "-", "+");
	assert_int_equal(acknowledgement(), 7000001);
	pass(t,
	     &(struct packet){
		     .flags = IPQ_TCP_ACK, .sequence = 7000001, .acknowledgement = 9000001, .text = "evil" },
	     "evil", "goodness");
	assert_int_equal(sequence(), 7000001);
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* The answer to a SYN acknowledges the number after it. */
static void answer_to_the_number_of_a_syn_is_forged(void **state)
{
	struct ipq_tcp *t = open_table(0);
	struct packet answer = { .side = 1, .flags = IPQ_TCP_SYN | IPQ_TCP_ACK, .sequence = B_ISN };

	(void)state;
	pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = A_ISN }, "-", "+");
	answer.acknowledgement = A_ISN;
	pass(t, &answer, "-", "+");
	assert_int_equal(stats_of(t).connections, 2); /* the segment belongs to another connection */
	answer.acknowledgement = A_ISN + 1;
	pass(t, &answer, "-", "+");
	assert_int_equal(stats_of(t).connections, 2);
	ipq_tcp_close(t);
	t = open_table(0);
	pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = A_ISN }, "-", "+");
	answer.acknowledgement = A_ISN + 2; /* more than was sent */
	pass(t, &answer, "-", "+");
	assert_int_equal(stats_of(t).connections, 2);
	ipq_tcp_close(t);
}

static void reset_makes_no_connection(void **state)
{
	struct ipq_tcp *t = open_table(0);

	(void)state;
	pass(t, &(struct packet){ .flags = IPQ_TCP_RST, .sequence = A_ISN }, "-", "+");
	pass(t, &(struct packet){ .flags = IPQ_TCP_RST | IPQ_TCP_ACK, .sequence = 7 }, "-", "+");
	pass(t, TEXT(.sequence = 101, .text = "evil", .more_flags = IPQ_TCP_RST), "evil", "goodness");
	assert_text("evil");
	assert_int_equal(e.reason, IPQ_EDIT_REASON_WINDOW);
	assert_int_equal(stats_of(t).connections, 0);
	ipq_tcp_close(t);
}

/*
 * Whether text that is this far ahead is in the window of B. offers: bit 0: A offers a window scale, bit 1: B does.
 */
static bool fits_ahead(unsigned offers, uint8_t shift, bool answered, uint32_t ahead)
{
	const uint8_t scale[4] = { 1, 3, 3, shift }, other_scale[4] = { 1, 3, 3, 2 };
	struct ipq_tcp *t = open_table(0);

	pass(t,
	     &(struct packet){ .flags = IPQ_TCP_SYN,
			       .sequence = A_ISN,
			       .options = other_scale,
			       .options_len = offers & 1 ? 4 : 0 },
	     "-", "+");
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = B_ISN,
			       .acknowledgement = A_ISN + 1,
			       .options = scale,
			       .options_len = offers & 2 ? 4 : 0 },
	     "-", "+");
	pass(t, TEXT(.sequence = A_ISN + 1), "-", "+");
	if (answered)
		pass(t, ANSWER(1), "-", "+");
	pass(t, TEXT(.sequence = A_ISN + 1 + ahead, .text = "evil"), "evil", "goodness");
	ipq_tcp_close(t);
	return e.payload_len == 8;
}

static void window_is_as_large_as_it_was_offered(void **state)
{
	(void)state;
	for (unsigned offers = 0; offers < 4; offers++) { /* both must offer a scale */
		assert_true(fits_ahead(offers, 7, true, 60000));
		assert_int_equal(fits_ahead(offers, 7, true, 1000000), offers == 3);
	}
	assert_true(fits_ahead(3, 7, true, 65535 << 7));
	assert_false(fits_ahead(3, 7, true, (65535 << 7) + 1));
	assert_false(fits_ahead(3, 0, true, 65535 * 2));  /* A's scale is that of A's own window */
	assert_false(fits_ahead(3, 7, false, 1000000));	  /* the window of a SYN is not scaled */
	assert_true(fits_ahead(3, 255, true, 100000000)); /* values above 14 mean 14 */
}

static void error_is_about_the_nearer_connection(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;
	uint8_t error[200];

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = 7000000 }, "-", "+");
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = 9000000,
			       .acknowledgement = 7000001 },
	     "-", "+");
	for (unsigned i = 0; i < 2; i++)
		pass(t,
		     &(struct packet){ .flags = IPQ_TCP_ACK,
				       .sequence = 7000001 + 4 * i,
				       .acknowledgement = 9000001,
				       .text = "evil" },
		     "evil", "goodness");
	for (unsigned i = 0; i < 2; i++) {
		size_t len;

		if (i == 0)
			pass(t, TEXT(.sequence = 105, .text = "more"), "-", "+");
		else
			pass(t,
			     &(struct packet){ .flags = IPQ_TCP_ACK,
					       .sequence = 7000009,
					       .acknowledgement = 9000001,
					       .text = "more" },
			     "-", "+");
		assert_int_equal(sequence(), i == 0 ? 109 : 7000017);
		len = quote(error, 40);
		assert_int_equal(ipq_edit_begin(&e, error, len, len, 0), 0);
		assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
		assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
		assert_int_equal(get32(error + 52), i == 0 ? 105 : 7000009);
	}
	ipq_tcp_close(t);
}

static void flood_of_syns_evicts_no_edited_connection(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	uint32_t n = 100000 + rounds(200000);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	for (uint32_t i = 0; i < n; i++) {
		struct packet forged = { .flags = IPQ_TCP_SYN,
					 .port = 1 + i % 65535,
					 .address = (uint8_t)(1 + i / 65535),
					 .sequence = i };

		pass(t, &forged, "evil", "forgery");
	}
	assert_true(stats_of(t).connections <= 65536);
	assert_true(stats_of(t).evicted > n - 100000);
	pass(t, TEXT(.sequence = 105, .text = "more"), "-", "+");
	assert_int_equal(sequence(), 109);
	ipq_tcp_close(t);
}

static int64_t fake_ms;

static int64_t fake_clock(void)
{
	return fake_ms;
}

static void connections_that_made_way_use_no_memory(void **state)
{
	struct ipq_tcp *t = open_limited(1, 0);
	uint64_t bytes = 0;

	(void)state;
	for (unsigned port = 1; port < 50; port++) {
		shake_hands(t, port);
		if (port == 1)
			bytes = stats_of(t).bytes;
		assert_int_equal(stats_of(t).bytes, bytes);
		assert_int_equal(stats_of(t).connections, 1);
	}
	ipq_tcp_close(t);
}

static void full_table_refuses_new_connections_until_old_ones_are_idle(void **state)
{
	struct ipq_tcp *t = open_limited(2, 0);

	(void)state;
	t->clock = fake_clock;
	for (unsigned port = 1; port <= 3; port++) {
		shake_hands(t, port);
		pass(t, TEXT(.port = port, .sequence = 101, .text = "evil"), "evil", "goodness");
		assert_int_equal(e.payload_len, port <= 2 ? 8 : 4);
	}
	assert_int_equal(stats_of(t).no_memory, 1);
	/* replacing text of the same length needs no memory */
	pass(t, TEXT(.port = 3, .sequence = 105, .text = "evil"), "evil", "good");
	assert_text("good");
	fake_ms += 3 * 3600 * 1000;
	shake_hands(t, 4);
	pass(t, TEXT(.port = 4, .sequence = 101, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* Whether the table has room for another connection besides an edited one. */
static bool makes_way(struct ipq_tcp *t, unsigned port)
{
	shake_hands(t, port);
	pass(t, TEXT(.port = port, .sequence = 101, .text = "evil"), "evil", "goodness");
	return e.payload_len == 8;
}

static void connection_makes_way_when_both_sides_have_closed_it(void **state)
{
	struct ipq_tcp *t = open_limited(1, 0);

	(void)state;
	t->clock = fake_clock;
	shake_hands(t, 1);
	pass(t, TEXT(.port = 1, .sequence = 101, .text = "evil"), "evil", "goodness");
	assert_false(makes_way(t, 2));
	/* The RST was forged: the connection continues. */
	pass(t, TEXT(.port = 1, .sequence = 105, .more_flags = IPQ_TCP_RST), "-", "+");
	pass(t, TEXT(.port = 1, .sequence = 101, .text = "evil"), "-", "+");
	assert_false(makes_way(t, 7));
	pass(t, TEXT(.port = 1, .sequence = 105, .more_flags = IPQ_TCP_FIN), "-", "+");
	assert_false(makes_way(t, 3));
	pass(t,
	     &(struct packet){
		     .port = 1, .side = 1, .flags = IPQ_TCP_ACK, .sequence = 501, .acknowledgement = 110 },
	     "-", "+");
	assert_int_equal(acknowledgement(), 106);
	assert_false(makes_way(t, 4));
	pass(t,
	     &(struct packet){ .port = 1,
			       .side = 1,
			       .flags = IPQ_TCP_ACK | IPQ_TCP_FIN,
			       .sequence = 501,
			       .acknowledgement = 110 },
	     "-", "+");
	assert_false(makes_way(t, 5)); /* this FIN may have to be retransmitted */
	pass(t, &(struct packet){ .port = 1, .flags = IPQ_TCP_ACK, .sequence = 106, .acknowledgement = 502 },
	     "-", "+");
	/* a late segment, which was sent before the end */
	pass(t,
	     &(struct packet){
		     .port = 1, .side = 1, .flags = IPQ_TCP_ACK, .sequence = 501, .acknowledgement = 101 },
	     "-", "+");
	assert_true(makes_way(t, 6));
	ipq_tcp_close(t);
}

static void connection_makes_way_after_a_reset_in_its_window(void **state)
{
	(void)state;
	for (unsigned with_ack = 0; with_ack < 2; with_ack++) {
		struct packet reset = { .port = 1,
					.side = 1,
					.flags = IPQ_TCP_RST | (with_ack ? IPQ_TCP_ACK : 0),
					.sequence = 0x40000000,
					.acknowledgement = with_ack ? 109 : 0x50000000 };
		struct ipq_tcp *t = open_limited(1, 0);

		shake_hands(t, 1);
		pass(t, TEXT(.port = 1, .sequence = 101, .text = "evil"), "evil", "goodness");
		pass(t, &reset, "-", "+");
		assert_false(makes_way(t, 2));
		reset.sequence = 501;
		pass(t, &reset, "-", "+");
		assert_true(makes_way(t, 3));
		ipq_tcp_close(t);
	}
}

/* The time of idleness begins with the last segment. */
static void connection_that_is_used_makes_no_way(void **state)
{
	struct ipq_tcp *t = open_limited(1, 0);

	(void)state;
	t->clock = fake_clock;
	shake_hands(t, 1);
	pass(t, TEXT(.port = 1, .sequence = 101, .text = "evil"), "evil", "goodness");
	for (unsigned i = 0; i < 3; i++) {
		fake_ms += 2 * 3600 * 1000;
		pass(t, TEXT(.port = 1, .sequence = 105), "-", "+");
	}
	assert_false(makes_way(t, 2));
	fake_ms += (2 * 60 + 4) * 60 * 1000 - 1;
	assert_false(makes_way(t, 3));
	fake_ms += 1;
	assert_true(makes_way(t, 4));
	ipq_tcp_close(t);
	/* A recording has no such time: the oldest connection makes way. */
	t = open_limited(1, IPQ_TCP_RECORDED);
	t->clock = fake_clock;
	assert_true(makes_way(t, 1));
	assert_true(makes_way(t, 2));
	ipq_tcp_close(t);
}

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* 400 segments full of matches, without an acknowledgement; then all of them again, divided into other pieces. */
static void segments_full_of_matches_cost_little(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	static char text[1400];
	int64_t begin, worst = 0;

	(void)state;
	memset(text, 'a', sizeof(text));
	for (uint32_t i = 0; i < 800; i++) {
		uint32_t sequence_number = A_ISN + 1 + i % 400 * 1400 - (i < 400 ? 0 : 700);

		begin = cpu_ns();
		pass(t, TEXT(.sequence = sequence_number, .text = text, .text_len = sizeof(text)), "a", "bb");
		if (cpu_ns() - begin > worst)
			worst = cpu_ns() - begin;
		assert_true(stats_of(t).bytes <= 65536);
	}
	/* Before the list had a limit, linear scans took 20 s in total. */
	assert_true(worst < 20000000);
	assert_true(stats_of(t).no_memory > 0);
	ipq_tcp_close(t);
}

/* A gap is filled: each match in it comes before all matches that were already forwarded. */
static void gap_full_of_matches_costs_little(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	static char text[1400];
	int64_t begin;

	(void)state;
	memset(text, 'a', sizeof(text));
	for (uint32_t i = 1; i < 8; i++)
		pass(t, TEXT(.sequence = A_ISN + 1 + i * 1400, .text = text, .text_len = sizeof(text)), "a",
		     "b");
	for (unsigned again = 0; again < 2; again++) {
		begin = cpu_ns();
		pass(t, TEXT(.sequence = A_ISN + 1, .text = text, .text_len = sizeof(text)), "a", "b");
		assert_true(cpu_ns() - begin < 12000000);
		assert_null(memchr(buffer + e.payload, 'a', e.payload_len));
	}
	ipq_tcp_close(t);
}

static uint32_t random_below(uint32_t n)
{
	static uint32_t state = 12345;

	state = state * 1103515245 + 12345;
	return (state >> 16) % n;
}

/* Replaces each text with a separate call, for comparison. */
static void pass_one_by_one(struct ipq_tcp *t, const char *old, const char *new)
{
	size_t old_len = strlen(old);
	struct ipq_tcp_segment s;
	int at = 0, err;

	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	ipq_tcp_expect(&s, old_len, strlen(new), true);
	while ((at = ipq_edit_find(&e, (size_t)at, old, old_len)) >= 0) {
		err = ipq_tcp_replace(&s, (size_t)at, old_len, new, strlen(new));
		if (err < 0 && err != -ESTALE && err != -EEXIST)
			break;
		at += err == 1 ? (int)old_len : 1;
	}
	ipq_tcp_end(&s);
}

/* Random segments of a stream: gaps, retransmissions, acknowledgements, logs that are full. */
static void texts_together_are_replaced_as_one_by_one(void **state)
{
	static const char *const rules[][2] = { { "a", "bb" }, { "a", "x" }, { "aa", "" }, { "ab", "yy" } };
	static uint8_t together[65536];
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connection_bytes = 1500 };
	struct ipq_tcp *t[2];
	static char stream[6000];

	(void)state;
	for (unsigned round = 0; round < rounds(300); round++) {
		const char *const *rule = rules[round % 4];
		uint32_t sent = 0;

		for (size_t i = 0; i < sizeof(stream); i++)
			stream[i] = round % 8 < 4 || random_below(3) ? 'a' : 'b';
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(ipq_tcp_open(&t[i], &options), 0);
			shake_hands(t[i], 0);
		}
		for (unsigned n = 0; n < 60; n++) {
			uint32_t len = 1 + random_below(300),
				 at = random_below(4) ? sent : random_below(sent + 600);
			struct packet p = { .flags = IPQ_TCP_ACK, .text_len = len };
			uint32_t packet_len;

			if (at + len > sizeof(stream))
				continue;
			p.text = stream + at;
			p.sequence = A_ISN + 1 + at;
			p.acknowledgement = B_ISN + 1;
			if (sent < at + len)
				sent = at + len;
			begin_packet(&p);
			ipq_tcp_substitute(t[0], &e, 0, rule[0], strlen(rule[0]), rule[1], strlen(rule[1]));
			packet_len = e.len;
			memcpy(together, buffer, packet_len);
			begin_packet(&p);
			pass_one_by_one(t[1], rule[0], rule[1]);
			assert_int_equal(e.len, packet_len);
			assert_memory_equal(buffer, together, packet_len);
			assert_int_equal(ipq_checksum_verify(buffer, packet_len), 0);
			if (random_below(5))
				continue;
			p = (struct packet){ .side = 1, .flags = IPQ_TCP_ACK, .sequence = B_ISN + 1 };
			p.acknowledgement = A_ISN + 1 + random_below(2 * sent);
			for (unsigned i = 0; i < 2; i++)
				pass(t[i], &p, "-", "+");
		}
		assert_int_equal(stats_of(t[0]).replaced, stats_of(t[1]).replaced);
		assert_int_equal(stats_of(t[0]).late, stats_of(t[1]).late);
		for (unsigned i = 0; i < 2; i++)
			ipq_tcp_close(t[i]);
	}
}

static void full_log_of_the_same_length_replaces_all(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	static char text[1400];

	(void)state;
	memset(text, 'a', sizeof(text));
	for (uint32_t i = 0; i < 100; i++) {
		pass(t, TEXT(.sequence = A_ISN + 1 + i * 1400, .text = text, .text_len = sizeof(text)), "a",
		     "b");
		assert_null(memchr(buffer + e.payload, 'a', e.payload_len));
	}
	pass(t, TEXT(.sequence = A_ISN + 1, .text = text, .text_len = sizeof(text)), "-", "+");
	assert_null(memchr(buffer + e.payload, 'a', e.payload_len));
	assert_true(stats_of(t).bytes <= 65536);
	ipq_tcp_close(t);
}

/* ---- limits ------------------------------------------------------------------------------------- */

/*
 * Replaces the first bytes of a segment of this length, in a buffer of `room` bytes. Returns the result of
 * ipq_tcp_replace().
 */
static int replace_in(int version, size_t len, size_t room, size_t old_len, size_t new_len)
{
	struct ipq_tcp *t = open_table(IPQ_TCP_RECORDED);
	size_t header = version == 4 ? 40 : 60;
	uint8_t *big = calloc(1, room), text[64] = { 0 };
	struct ipq_tcp_segment s;
	int result;

	big[0] = (uint8_t)(version << 4 | (version == 4 ? 5 : 0));
	put16(big + (version == 4 ? 2 : 4), (unsigned)(version == 4 ? len : len - 40));
	big[version == 4 ? 9 : 6] = IPPROTO_TCP;
	big[header - 8] = 0x50;
	big[header - 7] = IPQ_TCP_ACK;
	assert_int_equal(ipq_checksum_complete(big, len), 0);
	assert_int_equal(ipq_edit_begin(&e, big, len, room, 0), 0);
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	result = ipq_tcp_replace(&s, 0, old_len, text, new_len);
	ipq_tcp_end(&s);
	assert_int_equal(e.len, result == 1 ? len - old_len + new_len : len);
	assert_int_equal(ipq_checksum_verify(big, e.len), 0);
	ipq_tcp_close(t);
	free(big);
	return result;
}

static void packets_have_no_more_bytes_than_their_length_field_and_memory(void **state)
{
	(void)state;
	assert_int_equal(replace_in(4, 65530, 70000, 4, 9), 1);
	assert_int_equal(replace_in(4, 65530, 70000, 4, 10), -EMSGSIZE);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_SIZE);
	assert_int_equal(replace_in(6, 65570, 70000, 4, 9), 1); /* the IPv6 header does not count */
	assert_int_equal(replace_in(6, 65570, 70000, 4, 10), -EMSGSIZE);
	assert_int_equal(replace_in(4, 1000, 1003, 4, 7), 1);
	assert_int_equal(replace_in(4, 1000, 1003, 4, 8), -ENOSPC);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_ROOM);
}

static void segment_full_of_matches_fills_its_memory(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	char text[1000];

	(void)state;
	memset(text, 'a', sizeof(text));
	begin_packet(TEXT(.sequence = 101, .text = text, .text_len = sizeof(text)));
	assert_int_equal(ipq_edit_begin(&e, buffer, 1040, 1051, 0), 0);
	memset(buffer + 1051, 0xee, 100);
	assert_int_equal(ipq_tcp_substitute(t, &e, 0, "a", 1, "bbb", 3), IPQ_TCP_CHANGED);
	assert_int_equal(e.len, 1050); /* five replacements, each two bytes longer */
	assert_int_equal(ipq_checksum_verify(buffer, e.len), 0);
	assert_memory_equal(buffer + e.payload, "bbbbbbbbbbbbbbba", 16);
	assert_int_equal(buffer[1051], 0xee);
	ipq_tcp_close(t);
}

static void memory_of_all_connections_is_limited(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .max_bytes = 30000 };
	struct ipq_tcp *t;
	char text[600];

	(void)state;
	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? 'a' : '-';
	for (unsigned port = 1; port <= 40; port++) {
		shake_hands(t, port);
		for (uint32_t i = 0; i < 5; i++)
			pass(t, TEXT(.port = port, .sequence = 101 + i * 600, .text = text, .text_len = 600),
			     "a", "bb");
		assert_true(stats_of(t).bytes <= 30000);
	}
	assert_true(stats_of(t).no_memory > 0);
	ipq_tcp_close(t);
}

static void recording_forgets_its_oldest_texts(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options),
					   .flags = IPQ_TCP_RECORDED,
					   .max_connection_bytes = 8000 };
	struct ipq_tcp *t;

	(void)state;
	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		char new[8];

		sprintf(new, "%u", i + 10000);
		pass(t, TEXT(.sequence = 101 + 4 * i, .text = "evil"), "evil", new);
		assert_text(new);
		assert_int_equal(sequence(), 101 + 5 * i);
	}
	ipq_tcp_close(t);
}

static void text_before_another_one_is_replaced_when_it_is_sent_again(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connection_bytes = 1280 };
	struct ipq_tcp_segment s;
	struct ipq_tcp *t;
	char text[401];

	(void)state;
	memset(text, 'a', 400);
	text[400] = '\0';
	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	shake_hands(t, 0);
	begin_packet(TEXT(.sequence = 101, .text = text));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	for (unsigned i = 400; i-- > 0;) /* backwards, so that the last replacements are not logged */
		assert_int_equal(ipq_tcp_replace(&s, i, 1, "b", 1), 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	pass(t, TEXT(.sequence = 101, .text = text), "a", "b");
	assert_null(memchr(buffer + e.payload, 'a', 400));
	ipq_tcp_close(t);
}

static void places_beside_an_earlier_text_are_replaced(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;
	int refused;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "xaxaxabxaxa"));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(tcp_replace_text(&s, "ab", 2, "Q", 1, true, &refused), 1);
	assert_int_equal(tcp_replace_text(&s, "xa", 2, "YY!", 3, true, &refused), 4);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_text("YY!YY!xQYY!YY!");
	ipq_tcp_close(t);
}

/* ---- packets that are not changed -------------------------------------------------------------------- */

static void resets_and_fragments_keep_their_text(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil", .more_flags = IPQ_TCP_RST), "evil", "goodness");
	assert_text("evil");
	begin_packet(TEXT(.sequence = 101, .text = "evil"));
	buffer[6] = 0x20; /* the flag "more fragments" */
	assert_int_equal(ipq_edit_begin(&e, buffer, 44, 65531, 0), 0);
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_replace(&s, 0, 4, "goodness", 8), -EOPNOTSUPP);
	assert_int_equal(e.reason, IPQ_EDIT_REASON_FRAGMENT);
	assert_int_equal(ipq_tcp_replace(&s, 0, 4, "good", 4), 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	ipq_tcp_close(t);
}

/* The maximum segment size is lowered if text grows, and only while it can still be negotiated. */
static void size_of_segments_is_changed_only_if_text_grows(void **state)
{
	static const uint8_t options[] = { 2, 4, 0xff, 0xd7, 30, 4, 0, 0 }; /* 65,495, as on loopback */

	(void)state;
	for (unsigned recorded = 0; recorded < 2; recorded++) {
		struct ipq_tcp *t = open_table(recorded ? IPQ_TCP_RECORDED : 0);

		pass(t,
		     &(struct packet){
			     .flags = IPQ_TCP_SYN, .sequence = A_ISN, .options = options, .options_len = 8 },
		     "evil", recorded ? "goodness" : "good");
		assert_memory_equal(buffer + 40, options, 8);
		ipq_tcp_close(t);
	}
}

static void shorter_text_leaves_the_size_of_segments(void **state)
{
	static const uint8_t options[] = { 2, 4, 5, 0xb4 }; /* 1,460 */

	(void)state;
	begin_packet(&(struct packet){ .flags = IPQ_TCP_SYN, .options = options, .options_len = 4 });
	assert_false(tcp_lower_mss(&e, 5, 4, false));
	assert_false(tcp_lower_mss(&e, 5, 4, true));
	assert_true(tcp_lower_mss(&e, 4, 5, false));
	assert_int_equal(get16(buffer + 42), 1459);
	assert_true(tcp_lower_mss(&e, 0, 9, true)); /* text is inserted */
	assert_int_equal(get16(buffer + 42), 1450);
}

static void size_of_segments_has_a_minimum(void **state)
{
	static const uint8_t options[] = { 2, 4, 1, 44 }; /* 300 */
	struct ipq_tcp *t = open_table(0);
	char longer[101];

	(void)state;
	memset(longer, '+', 100);
	longer[100] = '\0';
	assert_int_equal(
		pass(t,
		     &(struct packet){
			     .flags = IPQ_TCP_SYN, .sequence = A_ISN, .options = options, .options_len = 4 },
		     "evil", longer),
		IPQ_TCP_CHANGED);
	assert_int_equal(get16(buffer + 42), 256);
	ipq_tcp_close(t);
}

/* A subflow cannot be refused by removing its option, so the option stays. */
static void subflow_of_multipath_stays(void **state)
{
	static const uint8_t join[12] = { 30, 12, 0x10, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct ipq_tcp *t = open_table(0);

	(void)state;
	pass(t,
	     &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = A_ISN, .options = join, .options_len = 12 },
	     "evil", "goodness");
	assert_memory_equal(buffer + 40, join, 12);
	ipq_tcp_close(t);
}

static void urgent_pointer_has_a_flag_and_a_limit(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil", .urgent = 20), "evil", "goodness");
	assert_int_equal(get16(buffer + 38), 20);
	pass(t, TEXT(.sequence = 105, .text = "evil", .urgent = 20, .more_flags = IPQ_TCP_URG), "evil",
	     "goodness");
	assert_int_equal(get16(buffer + 38), 24);
	pass(t, TEXT(.sequence = 105, .text = "evil", .urgent = 40000, .more_flags = IPQ_TCP_URG), "evil",
	     "goodness");
	assert_int_equal(get16(buffer + 38), 40004);
	pass(t, TEXT(.sequence = 109, .text = "evil", .urgent = 65534, .more_flags = IPQ_TCP_URG), "evil",
	     "goodness");
	assert_int_equal(get16(buffer + 38), 65535);
	ipq_tcp_close(t);
}

static void replaced_texts_and_changed_segments_are_counted(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_stats stats;

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil evil"), "evil", "goodness");
	pass(t, TEXT(.sequence = 110, .text = "more"), "evil", "goodness"); /* another sequence number */
	pass(t, TEXT(.sequence = 101, .text = "evil evil"), "evil", "goodness");
	stats = stats_of(t);
	assert_int_equal(stats.segments, 6);
	assert_int_equal(stats.changed, 3);
	assert_int_equal(stats.replaced, 2);
	ipq_tcp_close(t);
}

static void statistics_of_an_older_program_are_filled_in(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_stats stats;

	(void)state;
	memset(&stats, 0xee, sizeof(stats));
	stats.size = offsetof(struct ipq_tcp_stats, changed);
	assert_int_equal(ipq_tcp_stats(t, &stats), 0);
	assert_int_equal(stats.segments, 3);
	for (size_t i = offsetof(struct ipq_tcp_stats, changed); i < sizeof(stats); i++)
		assert_int_equal(((uint8_t *)&stats)[i], 0xee);
	stats.size = sizeof(stats.size) - 1;
	assert_int_equal(ipq_tcp_stats(t, &stats), -EINVAL);
	ipq_tcp_close(t);
}

static void end_that_comes_too_early_waits(void **state)
{
	struct ipq_tcp *t = open_connection(IPQ_TCP_IN_ORDER);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 150, .more_flags = IPQ_TCP_FIN), "-", "+"), IPQ_TCP_DROP);
	assert_int_equal(pass(t, TEXT(.sequence = 150), "-", "+"), IPQ_TCP_UNCHANGED);
	assert_int_equal(pass(t, TEXT(.sequence = 101, .more_flags = IPQ_TCP_FIN), "-", "+"),
			 IPQ_TCP_UNCHANGED);
	ipq_tcp_close(t);
}

static void emptied_end_keeps_its_number(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil", .more_flags = IPQ_TCP_FIN), "evil", "");
	assert_text("");
	assert_int_equal(sequence(), 101);
	ipq_tcp_close(t);
}

/* A forged packet acknowledges text that is within the window but was not sent yet. */
static void forged_acknowledgement_forgets_nothing(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	pass(t, ANSWER(5000), "-", "+");
	pass(t, TEXT(.sequence = 101, .text = "evil"), "-", "+");
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* Passes a packet whose last `first` bytes begin a text. `second` more bytes of the text follow later. */
static int pass_across(struct ipq_tcp *t, const struct packet *p, uint32_t first, uint32_t second,
		       const void *new, size_t new_len)
{
	struct tcp_across text = { .parts = 2,
				   .offset = (uint32_t)strlen(p->text) - first,
				   .part = { first, second } };
	struct ipq_tcp_segment s;
	int result;

	begin_packet(p);
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	result = tcp_replace_across(&s, &text, new, new_len);
	ipq_tcp_end(&s);
	assert_int_equal(ipq_checksum_verify(buffer, e.len), 0);
	return result;
}

static void text_across_segments_is_replaced_in_each(void **state)
{
	static const struct {
		const char *new, *first, *second, *again;
	} cases[] = { { "good", "an go", "od!", "good!" },
		      { "#", "an #", "!", "#!" },
		      { "", "an ", "!", "!" },
		      { "WONDERFUL", "an WO", "NDERFUL!", "WONDERFUL!" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ipq_tcp *t = open_connection(0);
		size_t len = strlen(cases[i].new);

		assert_int_equal(
			pass_across(t, TEXT(.sequence = 101, .text = "an ev"), 2, 2, cases[i].new, len), 1);
		assert_text(cases[i].first);
		pass(t, TEXT(.sequence = 106, .text = "il!"), "-", "+");
		assert_text(cases[i].second);
		assert_int_equal(sequence(), 101 + strlen(cases[i].first));
		/* The text is retransmitted, divided in another way. */
		pass(t, TEXT(.sequence = 104, .text = "evil!"), "-", "+");
		assert_text(cases[i].again);
		assert_int_equal(pass_across(t, TEXT(.sequence = 101, .text = "an ev"), 2, 2, "bad", 3), 0);
		assert_text(cases[i].first);
		ipq_tcp_close(t);
	}
}

static void text_across_segments_is_replaced_as_a_whole_or_not(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connection_bytes = 1280 };
	static uint8_t large[1200];
	struct ipq_tcp *t;

	(void)state;
	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	shake_hands(t, 0);
	assert_int_equal(pass_across(t, TEXT(.sequence = 101, .text = "an ev"), 2, 2, large, sizeof(large)),
			 -ENOBUFS);
	assert_text("an ev");
	assert_int_equal(e.reason, IPQ_EDIT_REASON_MEMORY);
	assert_int_equal(stats_of(t).no_memory, 1);
	assert_int_equal(pass(t, TEXT(.sequence = 106, .text = "il!"), "-", "+"), IPQ_TCP_UNCHANGED);
	ipq_tcp_close(t);
}

/* The key must be the same for both directions, and differ for any other connection. */
static void key_is_that_of_a_connection(void **state)
{
	static const uint8_t there[8] = { 10, 0, 0, 1, 10, 0, 0, 2 }, back[8] = { 10, 0, 0, 2, 10, 0, 0, 1 };
	static const uint8_t self[8] = { 10, 0, 0, 1, 10, 0, 0, 1 };
	static const uint8_t ports[4] = { 1, 2, 0, 80 }, answer[4] = { 0, 80, 1, 2 },
			     near[6] = { 9, 1, 9, 2, 9, 1 };
	struct tcp_key key[2];

	(void)state;
	assert_int_not_equal(tcp_make_key(&key[0], 4, there, ports, 0),
			     tcp_make_key(&key[1], 4, back, answer, 0));
	assert_memory_equal(&key[0], &key[1], sizeof(key[0]));
	tcp_make_key(&key[1], 4, there, answer, 0);
	assert_memory_not_equal(&key[0], &key[1], sizeof(key[0]));
	tcp_make_key(&key[1], 4, there, ports, 7);
	assert_memory_not_equal(&key[0], &key[1], sizeof(key[0]));
	assert_int_not_equal(tcp_make_key(&key[0], 4, self, ports, 0),
			     tcp_make_key(&key[1], 4, self, answer, 0));
	assert_memory_equal(&key[0], &key[1], sizeof(key[0]));
	/* the key also differs if only the low bytes of the ports differ */
	assert_int_not_equal(tcp_make_key(&key[0], 4, self, near, 0),
			     tcp_make_key(&key[1], 4, self, near + 2, 0));
	assert_memory_equal(&key[0], &key[1], sizeof(key[0]));
}

static void hash_is_that_of_the_paper(void **state)
{
	/* SipHash-1-3 of 48 bytes 0, 1, 2... with the key 0, 1, 2..., computed by an independent implementation */
	struct ipq_tcp t = { .hash_key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	struct tcp_key key, other;

	(void)state;
	for (unsigned i = 0; i < sizeof(key); i++)
		((uint8_t *)&key)[i] = (uint8_t)i;
	other = key;
	other.zone++;
	if (htons(1) != 1)
		assert_true(tcp_hash(&t, &key) == UINT64_C(0x9f3143f8df074c46));
	assert_true(tcp_hash(&t, &key) != tcp_hash(&t, &other));
}

/* ---- which state a segment belongs to, and what is forgotten ------------------------------------- */

/* A path on which this program does not see all segments: B may acknowledge text that only B has seen. */
static void acknowledgement_ahead_of_the_text_is_in_the_window(void **state)
{
	static const uint32_t ahead[] = { 1000, 65537, 65538 };

	(void)state;
	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		struct ipq_tcp *t = open_table(0);
		struct packet answer = *ANSWER(ahead[i]);

		pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = A_ISN }, "-", "+");
		pass(t,
		     &(struct packet){ .side = 1,
				       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
				       .sequence = B_ISN,
				       .acknowledgement = A_ISN + 1 },
		     "-", "+");
		answer.text = "evil";
		pass(t, &answer, "evil", "goodness");
		assert_text(ahead[i] <= 65537 ? "goodness" : "evil");
		ipq_tcp_close(t);
	}
}

/* Passes SYN, SYN-ACK and ACK. A begins with 7,000,000 and B with 9,000,000. */
static void begin_anew(struct ipq_tcp *t)
{
	pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = 7000000 }, "-", "+");
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = 9000000,
			       .acknowledgement = 7000001 },
	     "-", "+");
	pass(t, &(struct packet){ .flags = IPQ_TCP_ACK, .sequence = 7000001, .acknowledgement = 9000001 },
	     "-", "+");
}

/* A number in no window is shifted as in the edited connection that was used last. */
static void number_in_no_window_is_shifted_as_in_the_last_edited_connection(void **state)
{
	struct packet outside = { .flags = IPQ_TCP_ACK,
				  .sequence = 0x40000000,
				  .acknowledgement = 0x50000000 };
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	begin_anew(t);
	pass(t, &outside, "-", "+");
	assert_int_equal(sequence(), 0x40000000 + 4); /* only the first connection was edited */
	pass(t,
	     &(struct packet){
		     .flags = IPQ_TCP_ACK, .sequence = 7000001, .acknowledgement = 9000001, .text = "evil" },
	     "evil", "evildoer!");
	pass(t, &outside, "-", "+");
	assert_int_equal(sequence(), 0x40000000 + 5);
	pass(t, TEXT(.sequence = 105), "-", "+");
	pass(t, &outside, "-", "+");
	assert_int_equal(sequence(), 0x40000000 + 4);
	ipq_tcp_close(t);
}

/* Passes the end of both sides. next, back: the next sequence numbers of A and B. */
static void close_both(struct ipq_tcp *t, uint32_t next, uint32_t back)
{
	pass(t,
	     &(struct packet){
		     .flags = IPQ_TCP_ACK | IPQ_TCP_FIN, .sequence = next, .acknowledgement = back },
	     "-", "+");
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_ACK | IPQ_TCP_FIN,
			       .sequence = back,
			       .acknowledgement = sequence() + 1 },
	     "-", "+");
	pass(t, &(struct packet){ .flags = IPQ_TCP_ACK, .sequence = next + 1, .acknowledgement = back + 1 },
	     "-", "+");
}

/* With too many states of the same addresses, the older of two closed connections is removed, not a new SYN. */
static void closed_connection_makes_way_before_a_syn(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	close_both(t, 105, 501);
	begin_anew(t);
	pass(t,
	     &(struct packet){
		     .flags = IPQ_TCP_ACK, .sequence = 7000001, .acknowledgement = 9000001, .text = "evil" },
	     "evil", "evildoer!");
	close_both(t, 7000005, 9000001);
	for (uint32_t i = 0; i < 3; i++)
		pass(t, &(struct packet){ .flags = IPQ_TCP_SYN, .sequence = 0x20000000 + (i << 24) }, "-",
		     "+");
	assert_int_equal(stats_of(t).connections, 4);
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = B_ISN,
			       .acknowledgement = 0x20000001 },
	     "-", "+");
	pass(t, &(struct packet){ .flags = IPQ_TCP_ACK, .sequence = 7000006, .acknowledgement = 9000002 },
	     "-", "+");
	assert_int_equal(sequence(), 7000006 + 5); /* the newer one is still known */
	/* The text of an unknown connection would keep its length. */
	pass(t, TEXT(.sequence = 0x20000001, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* A connection is established when both sides have acknowledged what the other one has sent. */
static void connection_without_the_last_ack_makes_way_first(void **state)
{
	struct ipq_tcp *t = open_limited(2, 0);

	(void)state;
	shake_hands(t, 1);
	pass(t, &(struct packet){ .port = 2, .flags = IPQ_TCP_SYN, .sequence = A_ISN }, "-", "+");
	pass(t,
	     &(struct packet){ .port = 2,
			       .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = B_ISN,
			       .acknowledgement = A_ISN + 1 },
	     "-", "+");
	pass(t, &(struct packet){ .port = 3, .flags = IPQ_TCP_SYN, .sequence = A_ISN }, "-", "+");
	assert_int_equal(stats_of(t).evicted, 1);
	pass(t, TEXT(.port = 1, .sequence = 101, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

static void acknowledgement_field_without_its_flag_stays(void **state)
{
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	assert_int_equal(
		pass(t,
		     &(struct packet){
			     .side = 1, .flags = IPQ_TCP_RST, .sequence = 501, .acknowledgement = 109 },
		     "-", "+"),
		IPQ_TCP_UNCHANGED);
	assert_int_equal(acknowledgement(), 109);
	ipq_tcp_close(t);
}

/* The most SACK blocks that fit into a TCP header. */
static void four_sack_blocks_move(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	uint8_t options[36] = { 1, 1, 5, 34 };
	struct packet answer = *ANSWER(1);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil one and two and three"), "evil", "goodness");
	for (uint32_t i = 0; i < 4; i++) {
		put32(options + 4 + 8 * i, 110 + 5 * i);
		put32(options + 8 + 8 * i, 112 + 5 * i);
	}
	answer.options = options;
	answer.options_len = sizeof(options);
	assert_int_equal(pass(t, &answer, "-", "+"), IPQ_TCP_CHANGED);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(get32(buffer + 44 + 8 * i), 106 + 5 * i);
		assert_int_equal(get32(buffer + 48 + 8 * i), 108 + 5 * i);
	}
	ipq_tcp_close(t);
}

/* The result reports whether the SYN was changed. */
static void syn_is_changed_only_by_a_change_of_its_options(void **state)
{
	static const uint8_t multipath[] = { 30, 4, 0, 0 };
	struct packet syn = { .flags = IPQ_TCP_SYN, .sequence = A_ISN };
	struct ipq_tcp *t = open_table(0);

	(void)state;
	assert_int_equal(pass(t, &syn, "evil", "goodness"), IPQ_TCP_UNCHANGED); /* no option */
	ipq_tcp_close(t);
	t = open_table(0);
	syn.options = multipath;
	syn.options_len = sizeof(multipath);
	assert_int_equal(pass(t, &syn, "evil", "x"), IPQ_TCP_CHANGED); /* no maximum segment size */
	assert_int_equal(ipq_edit_find_tcp_option(&e, 30, NULL), -ENOENT);
	ipq_tcp_close(t);
}

/* Replaces each of ten bytes by two, with room for ten more bytes. */
static void repeated_replacements_fill_the_memory_exactly(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "aaaaaaaaaaa"));
	e.room = 40 + 21;
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	for (size_t i = 0; i < 11; i++)
		assert_int_equal(ipq_tcp_replace(&s, i, 1, "bb", 2), i < 10 ? 1 : -ENOSPC);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_text("bbbbbbbbbbbbbbbbbbbba");
	ipq_tcp_close(t);
}

/* The segment begins inside a replaced text, which is not sent again and needs no room. */
static void rest_of_an_earlier_text_needs_no_room(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	begin_packet(TEXT(.sequence = 103, .text = "il evil"));
	e.room = 40 + 9;
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_replace(&s, 3, 4, "goodness", 8), 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_text(" goodness");
	ipq_tcp_close(t);
}

/* Passes 400 bytes "a", and replaces them from the end on. The log has no room for the first ones. */
static void overfill(struct ipq_tcp *t, uint32_t at, const char *text)
{
	struct ipq_tcp_segment s;

	begin_packet(TEXT(.sequence = at, .text = text));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	for (unsigned i = 400; i-- > 0;)
		assert_int_equal(ipq_tcp_replace(&s, i, 1, "b", 1), 1);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
}

static void text_without_a_log_entry_is_forgotten_when_it_is_acknowledged(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connection_bytes = 1280 };
	struct ipq_tcp_segment s;
	struct ipq_tcp *t;
	char text[401];

	(void)state;
	memset(text, 'a', 400);
	text[400] = '\0';
	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	shake_hands(t, 0);
	overfill(t, 101, text);
	/* An acknowledgement of a part: the rest is still replaced when it is retransmitted. */
	pass(t, ANSWER(1 + 10), "-", "+");
	pass(t, TEXT(.sequence = 111, .text = text + 10), "a", "b");
	assert_null(memchr(buffer + e.payload, 'a', 390));
	/* Text that was sent with another length before keeps its first form. */
	begin_packet(TEXT(.sequence = 111, .text = text + 10));
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	assert_int_equal(ipq_tcp_replace(&s, 0, 1, "cc", 2), 0);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED); /* of the text that is in the log */
	assert_int_equal(e.payload_len, 390);
	assert_int_equal(buffer[e.payload], 'a');
	/* An acknowledgement of everything: text between the old and the new replacements stays. */
	pass(t, ANSWER(1 + 400), "-", "+");
	pass(t, TEXT(.sequence = 501, .text = "aaaa"), "-", "+");
	overfill(t, 505, text);
	pass(t, TEXT(.sequence = 501, .text = "aaaa"), "a", "b");
	assert_text("aaaa");
	ipq_tcp_close(t);
}

/* Gaps in both directions need memory, which is reserved while the log grows. */
static void gaps_in_both_directions_are_within_the_limit(void **state)
{
	struct packet answer = *ANSWER(1);
	char text[1001];

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		text[i] = i % 2 ? 'a' : '-';
	text[1000] = '\0';
	answer.sequence += 10;
	answer.text = "later";
	for (uint32_t limit = 2000; limit < 2100; limit += 20) {
		struct ipq_tcp_options options = { .size = sizeof(options), .max_connection_bytes = limit };
		struct ipq_tcp *t;

		assert_int_equal(ipq_tcp_open(&t, &options), 0);
		shake_hands(t, 0);
		pass(t, TEXT(.sequence = 101, .text = text), "a", "b");
		pass(t, TEXT(.sequence = 1111, .text = "later"), "-", "+");
		pass(t, &answer, "-", "+");
		assert_true(stats_of(t).bytes <= limit);
		assert_true(stats_of(t).bytes > limit - 200);
		ipq_tcp_close(t);
	}
}

/* A's SYN was not seen: whether B's window is scaled is not known, so it may be as large as possible. */
static void window_may_be_scaled_if_a_syn_was_not_seen(void **state)
{
	static const uint8_t scale[4] = { 1, 3, 3, 7 };
	struct ipq_tcp *t = open_table(0);

	(void)state;
	pass(t,
	     &(struct packet){ .side = 1,
			       .flags = IPQ_TCP_SYN | IPQ_TCP_ACK,
			       .sequence = B_ISN,
			       .acknowledgement = A_ISN + 1,
			       .options = scale,
			       .options_len = 4 },
	     "-", "+");
	pass(t, TEXT(.sequence = A_ISN + 1), "-", "+");
	pass(t, ANSWER(1), "-", "+");
	pass(t, TEXT(.sequence = A_ISN + 1000000, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* Text that was sent before the window became smaller may still arrive. */
static void smaller_window_narrows_nothing(void **state)
{
	struct ipq_tcp *t = open_connection(0);
	struct packet answer = *ANSWER(1);
	static const uint8_t scale[4] = { 1, 3, 3, 7 };

	(void)state;
	ipq_tcp_close(t);
	t = open_table(0);
	for (unsigned side = 0; side < 2; side++)
		pass(t,
		     &(struct packet){ .side = side,
				       .flags = IPQ_TCP_SYN | (side ? IPQ_TCP_ACK : 0),
				       .sequence = side ? B_ISN : A_ISN,
				       .acknowledgement = side ? A_ISN + 1 : 0,
				       .options = scale,
				       .options_len = 4 },
		     "-", "+");
	pass(t, TEXT(.sequence = A_ISN + 1), "-", "+");
	pass(t, &answer, "-", "+");
	answer.window = 1;
	pass(t, &answer, "-", "+");
	pass(t, TEXT(.sequence = A_ISN + 1000000, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* Only one direction is seen, and not from its beginning: any window may have been offered. */
static void unheard_window_is_large_without_a_syn(void **state)
{
	struct ipq_tcp *t = open_table(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "some"), "-", "+");
	pass(t, TEXT(.sequence = 10000000, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	assert_int_equal(stats_of(t).connections, 1);
	ipq_tcp_close(t);
}

/* TCP Fast Open: a SYN with data. If it also offers Multipath TCP, the offer is removed and the data is replaced. */
static void text_in_a_syn_is_replaced(void **state)
{
	static const uint8_t multipath[] = { 30, 4, 0, 0 };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct ipq_tcp *t = open_table(0);

		pass(t,
		     &(struct packet){ .flags = IPQ_TCP_SYN,
				       .sequence = A_ISN,
				       .text = "evil",
				       .options = multipath,
				       .options_len = i ? 4 : 0 },
		     "evil", "goodness");
		assert_text("goodness");
		assert_int_equal(sequence(), A_ISN);
		assert_int_equal(ipq_edit_find_tcp_option(&e, 30, NULL), -ENOENT);
		pass(t, TEXT(.sequence = A_ISN + 5, .text = "more"), "-", "+");
		assert_int_equal(sequence(), A_ISN + 9);
		ipq_tcp_close(t);
	}
}

static void forged_option_of_multipath_is_ignored(void **state)
{
	static const uint8_t dss[] = { 30, 4, 0x20, 0 };
	struct ipq_tcp *t = open_connection(0);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	pass(t, TEXT(.sequence = 0x40000000, .text = "evil", .options = dss, .options_len = 4), "evil",
	     "goodness");
	pass(t, TEXT(.sequence = 105, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

static void recording_drops_no_segment(void **state)
{
	struct ipq_tcp *t = open_connection(IPQ_TCP_RECORDED | IPQ_TCP_IN_ORDER);

	(void)state;
	assert_int_equal(pass(t, TEXT(.sequence = 106, .text = "more"), "evil", "goodness"),
			 IPQ_TCP_UNCHANGED);
	ipq_tcp_close(t);
}

static void memory_of_a_connection_has_a_minimum(void **state)
{
	struct ipq_tcp_options options = { .size = sizeof(options), .max_connection_bytes = 1 };
	struct ipq_tcp *t;

	(void)state;
	assert_int_equal(ipq_tcp_open(&t, &options), 0);
	shake_hands(t, 0);
	pass(t, TEXT(.sequence = 101, .text = "evil"), "evil", "goodness");
	assert_text("goodness");
	ipq_tcp_close(t);
}

/* A block that ends inside a text covers only what comes before it. Malformed blocks stay. */
static void end_of_a_sack_block_moves_down(void **state)
{
	uint8_t options[16] = { 1, 1, 5, 10, 0, 0, 0, 101, 0, 0, 0, 105 };
	struct ipq_tcp *t = open_connection(0);
	struct packet answer = *ANSWER(1);

	(void)state;
	pass(t, TEXT(.sequence = 101, .text = "a evil b"), "evil", "goodness");
	answer.options = options;
	answer.options_len = 12;
	assert_int_equal(pass(t, &answer, "-", "+"), IPQ_TCP_CHANGED);
	assert_int_equal(get32(buffer + 44), 101);
	assert_int_equal(get32(buffer + 48), 103);
	options[3] = 14;
	options[11] = 113;
	answer.options_len = 16;
	assert_int_equal(pass(t, &answer, "-", "+"), IPQ_TCP_UNCHANGED);
	assert_memory_equal(buffer + 40, options, 16);
	ipq_tcp_close(t);
}

static void text_that_is_taken_back_is_not_replaced(void **state)
{
	struct tcp_across text = { .parts = 2, .offset = 3, .part = { 2, 2 } };
	struct ipq_tcp *t = open_connection(0);
	struct ipq_tcp_segment s;

	(void)state;
	begin_packet(TEXT(.sequence = 101, .text = "an ev"));
	e.room = e.len + 1;
	assert_int_equal(ipq_tcp_begin(t, &s, &e, 0, 0), 0);
	text.parts = 1;
	assert_int_equal(tcp_replace_across(&s, &text, "EV!", 3), 1);
	tcp_take_back_across(&s, &text, 3);
	assert_int_equal(ipq_tcp_replace(&s, 0, 2, "the", 3), 1); /* the room is free again */
	assert_int_equal(ipq_tcp_replace(&s, 3, 1, "ee", 2), -ENOSPC);
	assert_int_equal(ipq_tcp_end(&s), IPQ_TCP_CHANGED);
	assert_text("the ev");
	assert_int_equal(stats_of(t).replaced, 1);
	ipq_tcp_close(t);
}

/* ---- threads ---------------------------------------------------------------------------------- */

struct side {
	struct ipq_tcp *table;
	unsigned side;
	uint64_t passed;
};

/* Passes one direction of many connections. */
static void *pass_direction(void *context)
{
	struct side *side = context;
	uint8_t packet[64];

	for (uint32_t i = 0; i < 20000; i++) {
		struct ipq_edit edit;

		memset(packet, 0, sizeof(packet));
		memcpy(packet, "\x45\0\0\x2c\0\0\0\0\x40\6", 10);
		memcpy(packet + 12, side->side ? "\12\0\0\2\12\0\0\1" : "\12\0\0\1\12\0\0\2", 8);
		packet[20] = packet[22] = 1;
		packet[21 + 2 * side->side] = (uint8_t)(i % 100);
		put32(packet + 24, 1 + i / 100 * 4);
		put32(packet + 28, 1 + i / 100 * 4);
		packet[32] = 0x50;
		packet[33] = IPQ_TCP_ACK;
		memcpy(packet + 40, "evil", 4);
		if (ipq_checksum_complete(packet, 44) == 0 &&
		    ipq_edit_begin(&edit, packet, 44, sizeof(packet), 0) == 0 &&
		    ipq_tcp_substitute(side->table, &edit, 0, "evil", 4, "good!", 5) >= 0)
			side->passed++;
	}
	return NULL;
}

static void two_threads_share_a_connection(void **state)
{
	struct ipq_tcp *t = open_table(0);
	struct side side[2] = { { t, 0, 0 }, { t, 1, 0 } };
	pthread_t thread[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, pass_direction, &side[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(side[i].passed, 20000);
	}
	assert_int_equal(stats_of(t).segments, 40000);
	ipq_tcp_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(icmp_error_quotes_the_numbers_of_the_sender),
		cmocka_unit_test(icmpv6_errors_quote_and_other_messages_do_not),
		cmocka_unit_test(acknowledgement_of_text_that_grew_beyond_the_window_is_in_it),
		cmocka_unit_test(recorded_acknowledgement_moves_forward),
		cmocka_unit_test(answer_to_the_number_of_a_syn_is_forged),
		cmocka_unit_test(reset_makes_no_connection),
		cmocka_unit_test(window_is_as_large_as_it_was_offered),
		cmocka_unit_test(error_is_about_the_nearer_connection),
		cmocka_unit_test(connection_makes_way_when_both_sides_have_closed_it),
		cmocka_unit_test(recorded_number_of_an_early_acknowledgement_stays_right),
		cmocka_unit_test(numbers_of_recorded_packets_that_are_cut_follow),
		cmocka_unit_test(recorded_text_across_an_early_acknowledgement_is_replaced),
		cmocka_unit_test(recorded_keepalive_stays_a_keepalive),
		cmocka_unit_test(numbers_inside_text_of_the_same_length_stay),
		cmocka_unit_test(segments_after_a_gap_are_sent),
		cmocka_unit_test(segment_after_a_gap_is_dropped_in_order_only),
		cmocka_unit_test(text_in_a_gap_keeps_its_length),
		cmocka_unit_test(gaps_are_remembered_up_to_a_number),
		cmocka_unit_test(retransmission_is_sent_as_first_under_other_rules),
		cmocka_unit_test(text_of_the_same_length_is_sent_as_first),
		cmocka_unit_test(unchanged_text_is_never_changed_later),
		cmocka_unit_test(first_segment_of_an_unknown_connection_keeps_its_length),
		cmocka_unit_test(emptied_segment_is_acknowledged),
		cmocka_unit_test(partly_received_text_is_not_acknowledged),
		cmocka_unit_test(sack_blocks_cover_whole_texts),
		cmocka_unit_test(urgent_pointer_follows),
		cmocka_unit_test(window_stays),
		cmocka_unit_test(inserted_text_goes_with_its_neighbour),
		cmocka_unit_test(replayed_text_that_does_not_fit_is_cut),
		cmocka_unit_test(protected_segment_is_refused),
		cmocka_unit_test(offer_of_multipath_is_removed),
		cmocka_unit_test(other_packets_are_refused),
		cmocka_unit_test(second_packet_before_the_end_of_the_first_is_an_error),
		cmocka_unit_test(calls_after_the_end_of_a_packet_change_nothing),
		cmocka_unit_test(options_that_are_unknown_are_refused),
		cmocka_unit_test(forged_syn_and_rst_change_no_connection),
		cmocka_unit_test(new_connection_on_old_ports_begins_anew),
		cmocka_unit_test(flood_of_syns_evicts_no_edited_connection),
		cmocka_unit_test(connections_that_made_way_use_no_memory),
		cmocka_unit_test(full_table_refuses_new_connections_until_old_ones_are_idle),
		cmocka_unit_test(segments_full_of_matches_cost_little),
		cmocka_unit_test(gap_full_of_matches_costs_little),
		cmocka_unit_test(texts_together_are_replaced_as_one_by_one),
		cmocka_unit_test(full_log_of_the_same_length_replaces_all),
		cmocka_unit_test(packets_have_no_more_bytes_than_their_length_field_and_memory),
		cmocka_unit_test(segment_full_of_matches_fills_its_memory),
		cmocka_unit_test(memory_of_all_connections_is_limited),
		cmocka_unit_test(recording_forgets_its_oldest_texts),
		cmocka_unit_test(text_before_another_one_is_replaced_when_it_is_sent_again),
		cmocka_unit_test(places_beside_an_earlier_text_are_replaced),
		cmocka_unit_test(resets_and_fragments_keep_their_text),
		cmocka_unit_test(size_of_segments_is_changed_only_if_text_grows),
		cmocka_unit_test(shorter_text_leaves_the_size_of_segments),
		cmocka_unit_test(size_of_segments_has_a_minimum),
		cmocka_unit_test(subflow_of_multipath_stays),
		cmocka_unit_test(urgent_pointer_has_a_flag_and_a_limit),
		cmocka_unit_test(replaced_texts_and_changed_segments_are_counted),
		cmocka_unit_test(statistics_of_an_older_program_are_filled_in),
		cmocka_unit_test(end_that_comes_too_early_waits),
		cmocka_unit_test(emptied_end_keeps_its_number),
		cmocka_unit_test(forged_acknowledgement_forgets_nothing),
		cmocka_unit_test(text_across_segments_is_replaced_in_each),
		cmocka_unit_test(text_across_segments_is_replaced_as_a_whole_or_not),
		cmocka_unit_test(key_is_that_of_a_connection),
		cmocka_unit_test(hash_is_that_of_the_paper),
		cmocka_unit_test(acknowledgement_ahead_of_the_text_is_in_the_window),
		cmocka_unit_test(number_in_no_window_is_shifted_as_in_the_last_edited_connection),
		cmocka_unit_test(closed_connection_makes_way_before_a_syn),
		cmocka_unit_test(connection_without_the_last_ack_makes_way_first),
		cmocka_unit_test(acknowledgement_field_without_its_flag_stays),
		cmocka_unit_test(four_sack_blocks_move),
		cmocka_unit_test(syn_is_changed_only_by_a_change_of_its_options),
		cmocka_unit_test(repeated_replacements_fill_the_memory_exactly),
		cmocka_unit_test(rest_of_an_earlier_text_needs_no_room),
		cmocka_unit_test(text_without_a_log_entry_is_forgotten_when_it_is_acknowledged),
		cmocka_unit_test(gaps_in_both_directions_are_within_the_limit),
		cmocka_unit_test(window_may_be_scaled_if_a_syn_was_not_seen),
		cmocka_unit_test(smaller_window_narrows_nothing),
		cmocka_unit_test(unheard_window_is_large_without_a_syn),
		cmocka_unit_test(text_in_a_syn_is_replaced),
		cmocka_unit_test(forged_option_of_multipath_is_ignored),
		cmocka_unit_test(recording_drops_no_segment),
		cmocka_unit_test(memory_of_a_connection_has_a_minimum),
		cmocka_unit_test(end_of_a_sack_block_moves_down),
		cmocka_unit_test(text_that_is_taken_back_is_not_replaced),
		cmocka_unit_test(connection_makes_way_after_a_reset_in_its_window),
		cmocka_unit_test(connection_that_is_used_makes_no_way),
		cmocka_unit_test(two_threads_share_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
