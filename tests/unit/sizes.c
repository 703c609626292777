/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program and a library of different versions: each struct that begins with its size, shorter and longer than the one
 * that this library knows. A capture file replaces the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ipq.h>
#include "capture_file.h"

#define LINK_RAW 101

static struct capture_file in;
static char source[64], words[320];

static const char *capture(void)
{
	uint8_t frame[64];

	put_header(&in, false, false, LINK_RAW);
	make_frame(frame, sizeof(frame), 0, 1);
	for (int i = 0; i < 3; i++)
		put_record(&in, 1, 0, frame + 14, sizeof(frame) - 14, sizeof(frame) - 14);
	snprintf(source, sizeof(source), "pcap:%s", place(&in));
	return source;
}

/* The struct of a program that was compiled with a later ipq.h. */
struct newer_options {
	struct ipq_options known;
	uint64_t later;
};

static void options_of_newer_program_are_rejected_if_unknown_member_is_set(void **state)
{
	struct newer_options o = { .known = {
					   .size = sizeof(o), .error = words, .error_size = sizeof(words) } };
	struct ipq_queue *q = (struct ipq_queue *)&o;

	(void)state;
	assert_int_equal(ipq_queue_open(&q, capture(), &o.known), 0);
	ipq_queue_close(q);
	o.later = 1;
	assert_int_equal(ipq_queue_open(&q, capture(), &o.known), -EINVAL);
	assert_null(q);
	assert_non_null(strstr(words, "newer libipq"));
}

static void options_of_older_program_get_defaults(void **state)
{
	unsigned char old[offsetof(struct ipq_options, copy_range)];
	const struct ipq_options o = { .size = sizeof(old), .flags = IPQ_O_META_ONLY };
	/* memory of exactly this size, so that a sanitizer finds reads after its end */
	unsigned char *memory = malloc(sizeof(old));
	struct ipq_queue *q;
	struct ipq_packet p;

	(void)state;
	assert_non_null(memory);
	memcpy(memory, &o, sizeof(old));
	assert_int_equal(ipq_queue_open(&q, capture(), (const struct ipq_options *)(const void *)memory), 0);
	assert_int_equal(ipq_queue_flags(q) & IPQ_O_META_ONLY, IPQ_O_META_ONLY);
	assert_int_equal(ipq_queue_recv(q, &p, 1, 0), 1);
	assert_int_equal(p.present & IPQ_HAS_PAYLOAD, 0);
	ipq_queue_close(q);
	free(memory);
}

static void wrong_size_or_reserved_member_is_rejected(void **state)
{
	struct ipq_options o = {
		.size = sizeof(o), .reserved = 1, .error = words, .error_size = sizeof(words)
	};
	struct ipq_stats stats = { .size = 0 };
	struct ipq_queue *q;

	(void)state;
	assert_int_equal(ipq_queue_open(&q, capture(), &o), -EINVAL);
	assert_non_null(strstr(words, "reserved"));
	o = (struct ipq_options){ .size = 0 };
	assert_int_equal(ipq_queue_open(&q, capture(), &o), -EINVAL);
	assert_int_equal(ipq_queue_open(&q, capture(), NULL), 0);
	assert_int_equal(ipq_queue_stats(q, &stats), -EINVAL);
	assert_non_null(strstr(ipq_queue_error(q), "sizeof(struct ipq_stats)"));
	stats.size = SIZE_MAX;
	assert_int_equal(ipq_queue_stats(q, &stats), -EINVAL);
	ipq_queue_close(q);
}

static void stats_fill_exactly_the_given_size(void **state)
{
	struct {
		struct ipq_stats known;
		uint64_t later[2];
	} s;
	struct ipq_packet p;
	struct ipq_queue *q;

	(void)state;
	assert_int_equal(ipq_queue_open(&q, capture(), NULL), 0);
	assert_int_equal(ipq_queue_recv(q, &p, 1, 0), 1);
	memset(&s, 0x5a, sizeof(s));
	s.known.size = offsetof(struct ipq_stats, accepted);
	assert_int_equal(ipq_queue_stats(q, &s.known), 0);
	assert_int_equal(s.known.received, 1);
	assert_int_equal(s.known.accepted, 0x5a5a5a5a5a5a5a5a);
	/* Counters that this library does not have become 0. */
	s.known.size = sizeof(s.known) + sizeof(s.later[0]);
	assert_int_equal(ipq_queue_stats(q, &s.known), 0);
	assert_int_equal(s.known.size, sizeof(s.known) + sizeof(s.later[0]));
	assert_int_equal(s.known.waiting, 1);
	assert_int_equal(s.later[0], 0);
	assert_int_equal(s.later[1], 0x5a5a5a5a5a5a5a5a);
	ipq_queue_close(q);
}

static void verdicts_of_older_and_newer_programs_are_accepted(void **state)
{
	struct {
		struct ipq_verdict known;
		uint64_t later;
	} v = { .known = { .size = sizeof(v), .code = IPQ_ACCEPT } };
	struct ipq_packet p[3];
	struct ipq_queue *q;

	(void)state;
	assert_int_equal(ipq_queue_open(&q, capture(), NULL), 0);
	assert_int_equal(ipq_queue_recv(q, p, 3, 0), 3);
	assert_int_equal(ipq_decide(q, &p[0], &v.known), 0);
	v.later = 1;
	assert_int_equal(ipq_decide(q, &p[1], &v.known), -EINVAL);
	assert_non_null(strstr(ipq_queue_error(q), "newer libipq"));
	v.known.size = offsetof(struct ipq_verdict, queue);
	assert_int_equal(ipq_decide(q, &p[1], &v.known), 0);
	v.known.size--;
	assert_int_equal(ipq_decide(q, &p[2], &v.known), -EINVAL);
	ipq_queue_close(q);
}

static void conntrack_fills_exactly_the_given_size(void **state)
{
	struct {
		struct ipq_conntrack known;
		uint64_t later;
	} ct;
	const struct ipq_packet p = { .present = IPQ_HAS_CONNTRACK, .conntrack = "", .conntrack_len = 0 };

	(void)state;
	memset(&ct, 0x5a, sizeof(ct));
	ct.known.size = sizeof(ct);
	assert_int_equal(ipq_packet_conntrack(&p, &ct.known), 0);
	assert_int_equal(ct.known.present, 0);
	assert_int_equal(ct.later, 0);
	memset(&ct, 0x5a, sizeof(ct));
	ct.known.size = offsetof(struct ipq_conntrack, zone);
	assert_int_equal(ipq_packet_conntrack(&p, &ct.known), 0);
	assert_int_equal(ct.known.zone, 0x5a5a);
	ct.known.size = 0;
	assert_int_equal(ipq_packet_conntrack(&p, &ct.known), -EINVAL);
}

static int never_called(struct ipq_queue *q, struct ipq_packet *packet, unsigned n, void *context)
{
	(void)q, (void)packet, (void)n, (void)context;
	return -EIO;
}

static void group_options_of_newer_program_are_rejected(void **state)
{
	struct {
		struct ipq_group_options known;
		uint64_t later;
	} o = { .known = { .size = sizeof(o), .error = words, .error_size = sizeof(words) }, .later = 1 };
	struct ipq_group *g = (struct ipq_group *)&o;

	(void)state;
	words[0] = '\0';
	assert_int_equal(ipq_group_start(&g, &o.known, never_called, NULL), -EINVAL);
	assert_null(g);
	assert_non_null(strstr(words, "newer libipq"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_of_newer_program_are_rejected_if_unknown_member_is_set),
		cmocka_unit_test(options_of_older_program_get_defaults),
		cmocka_unit_test(wrong_size_or_reserved_member_is_rejected),
		cmocka_unit_test(stats_fill_exactly_the_given_size),
		cmocka_unit_test(verdicts_of_older_and_newer_programs_are_accepted),
		cmocka_unit_test(conntrack_fills_exactly_the_given_size),
		cmocka_unit_test(group_options_of_newer_program_are_rejected),
	};

	in.fd = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
