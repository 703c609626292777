/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pcap/pcap.h>
#include "filter/active_rules.h"
#include "filter/ruleset.h"
#include "rounds.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void parse_all(struct ruleset *set, const char *const *text, size_t n)
{
	struct rule_error e;

	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ruleset_add(set, text[i], &e), 0);
	assert_int_equal(ruleset_finish(set), 0);
}

static void values_of_each_action_are_parsed(void **state)
{
	static const char *const largest[] = { "delay 5ms jitter 5ms", "delay 1000ms",
					       "delay 3600s",	       "rate 125GB/h",
					       "strip tcp option 255", "set dscp 63",
					       "set ttl 255",	       "drop 100%" };
	static const char *const text[] = { "mark 0x1f udp",
					    "delay 50ms icmp",
					    "delay 2s",
					    "delay 7us jitter 5us",
					    "rate 100/s udp port 53",
					    "rate 6/m burst 3",
					    "repeat 9 tcp",
					    "queue 65535",
					    "rewrite /e\\x76il\\x0A/g\\/d\\\\/g tcp port 80",
					    "rewrite |a||",
					    "  drop   tcp  ",
					    "accept",
					    "mark 0x10/0xf0, rate 8Mbit/s if udp",
					    "drop 25% icmp",
					    "set dst 10.1.2.3",
					    "set src port 99 if tcp",
					    "strip tcp option sack",
					    "reorder 50% 10ms",
					    "accept flow after 8 tcp port 443",
					    "drop flow",
					    "mark 7 flow after 2 udp",
					    "mark 1, accept flow udp" };
	struct ruleset set;

	(void)state;
	parse_all(&set, text, COUNT(text));
	assert_int_equal(set.rule[0].action->number, 0x1f);
	assert_int_equal(set.rule[0].action->mask, UINT32_MAX);
	assert_string_equal(set.rule[0].condition, "udp");
	assert_true(set.rule[1].action->delay == 50000000);
	assert_true(set.rule[2].action->delay == 2000000000);
	assert_true(set.rule[3].action->delay == 7000 && set.rule[3].action->jitter == 5000);
	assert_true(set.rule[4].action->rate.units == 100 && set.rule[4].action->rate.period == 1000000000);
	assert_true(set.rule[5].action->rate.burst == 20000000000);
	assert_int_equal(set.rule[6].action->number, 9);
	assert_int_equal(set.rule[7].action->number, 65535);
	assert_int_equal(set.rule[8].action->rewrite.from_len, 5);
	assert_memory_equal(set.rule[8].action->rewrite.from, "evil\n", 5);
	assert_int_equal(set.rule[8].action->rewrite.to_len, 4);
	assert_memory_equal(set.rule[8].action->rewrite.to, "g/d\\", 4);
	assert_true(set.rule[8].action->rewrite.all);
	assert_int_equal(set.rule[9].action->rewrite.to_len, 0);
	assert_false(set.rule[9].action->rewrite.all);
	assert_int_equal(set.rule[10].action->type, ACTION_DROP);
	assert_true(set.rule[10].ends && set.rule[11].ends && !set.rule[9].ends && !set.rule[13].ends);
	assert_string_equal(set.rule[11].condition, "");
	assert_int_equal(set.rule[12].actions, 2);
	assert_int_equal(set.rule[12].action[0].mask, 0xf0);
	assert_true(set.rule[12].action[1].rate.bits && set.rule[12].action[1].rate.units == 8000000);
	assert_string_equal(set.rule[12].condition, "udp");
	assert_int_equal(set.rule[13].action->probability, 0x40000000);
	assert_memory_equal(set.rule[14].action->address, "\12\1\2\3", 4);
	assert_int_equal(set.rule[15].action->number, 99);
	assert_int_equal(set.rule[16].action->number, 5);
	assert_true(set.rule[17].action->delay == 10000000 && set.rule[17].action->probability == 0x80000000);
	assert_true(rule_flow(&set.rule[18])->after == 8 && set.rule[18].ends);
	assert_string_equal(set.rule[18].condition, "tcp port 443");
	assert_true(rule_flow(&set.rule[19])->after == 0 && set.rule[19].ends);
	assert_true(rule_flow(&set.rule[20])->after == 2 && rule_flow(&set.rule[20])->number == 7);
	assert_ptr_equal(rule_flow(&set.rule[21]), &set.rule[21].action[1]);
	assert_null(rule_flow(&set.rule[11]));
	ruleset_free(&set);
	set = (struct ruleset){ .count = 0 };
	for (unsigned i = 0; i < sizeof(largest) / sizeof(largest[0]); i++) {
		struct rule_error e;

		assert_int_equal(ruleset_add(&set, largest[i], &e), 0);
	}
	ruleset_free(&set);
}

static void mistake_is_reported_with_position_and_message(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
		const char *message;
	} wrong[] = {
		{ "", 0, "an action is expected here" },
		{ "dorp tcp", 0, "did you mean \"drop\"?" },
		{ "  dorp", 2, "did you mean \"drop\"?" },
		{ "mark", 4, "a mark must follow" },
		{ "mark x", 5, "a mark must follow" },
		{ "mark 4294967296", 5, "too large" },
		{ "mark 7x udp", 6, "a mark must follow" },
		{ "mark 7/ udp", 8, "a mask must follow" },
		{ "mark 0x17/0xf udp", 13, "outside of the mask" },
		{ "queue 65536", 6, "too large" },
		{ "delay 50 icmp", 8, "a time must follow" },
		{ "delay 50mss icmp", 8, "a time must follow" },
		{ "delay 4000s", 10, "an hour at most" },
		{ "delay 5ms jitter 6ms", 19, "larger than the delay" },
		{ "rate 100 udp", 8, "a rate must follow" },
		{ "rate 100/d udp", 8, "a rate must follow" },
		{ "rate 0/s", 5, "must be positive" },
		{ "rate 5/s burst x", 15, "a size must follow" },
		{ "rate 1000GB/s", 11, "this rate is too high" },
		{ "rewrite", 7, "the text to rewrite must follow" },
		{ "rewrite evil good", 8, "the text to rewrite must follow" },
		{ "rewrite /evil", 13, "delimiter is missing" },
		{ "rewrite /evil/good", 18, "delimiter is missing" },
		{ "rewrite //good/", 9, "is empty" },
		{ "rewrite /a\\xg/b/", 10, "hexadecimal" },
		{ "rewrite /a/b/i tcp", 13, "only g" },
		{ "repeat 0 udp", 7, "repeated for ever" },
		{ "drop 10% flow udp", 14, "no percentage" },
		{ "accept flow after udp", 18, "a number of packets must follow" },
		{ "accept flow after 0", 18, "positive" },
		{ "accept flow, drop", 11, "no action can follow" },
		{ "mark 7 flow, drop", 11, "no action can follow" },
		{ "mark 7/15 flow", 14, "no mask" },
		{ "drop 101% udp", 5, "at most 100" },
		{ "reorder 5ms", 8, "a percentage must follow" },
		{ "set colour 5", 4, "the field to set must follow" },
		{ "set dst nowhere", 8, "an address or a port must follow" },
		{ "strip tcp option 1", 17, "only fill" },
		{ "accept, drop", 6, "no action can follow" },
		{ "drop if", 7, "a condition must follow" },
		{ "drop tcp prot 23", 9, "did you mean \"port\"?" },
		{ "drop tcp port htttp", 14, "unknown port 'htttp'" },
		{ "drop udp and (port 5 and xyzzy)", 25, "unknown port 'xyzzy'" },
		{ "drop tcp or or udp", 12, "a filter is expected here" },
		{ "drop udp port 53 and and", 21, "a filter is expected here" },
		{ "drop udp port 53 and", 20, "not complete" },
		{ "drop udp port 53 and not", 24, "not complete" },
		{ "drop port", 9, "not complete" },
		{ "drop (udp", 5, "not closed" },
		{ "drop udp)", 8, "not opened" },
		{ "drop tcp and udp", 5, "no packet can match" },
		{ "drop udp and vlan 7", 13, "\"vlan\" never matches" },
		{ "drop ifindex 1", 5, "in NAME" },
		{ "drop ether host 1:2:3:4:5:6", 5, "in eth0" },
		{ "drop in", 7, "the name of an interface must follow" },
		{ "drop in eth0 tcp", 13, "\"and\", \"or\"" },
		{ "drop tcp in eth0", 9, "\"and\" or \"or\"" },
		{ "drop in an-interface-name-that-is-long", 8, "15 characters" },
		{ "drop state open", 11, "a state must follow" },
		{ "drop hook INPTU", 10, "a hook must follow" },
		{ "drop mark 0x11/0x10", 19, "never matches" },
		{ "drop length 200-100", 12, "ends before it begins" },
		{ "drop uid no-such-user", 9, "there is no user" },
		{ "drop lenght 100-200", 5, "did you mean \"length\"?" },
	};
	struct ruleset set = { .rule = NULL };
	struct rule_error e;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(ruleset_add(&set, wrong[i].text, &e), -EINVAL);
		if (e.offset != wrong[i].offset || strstr(e.text, wrong[i].message) == NULL)
			fail_msg("\"%s\": caret at %zu, not %zu (%s)", wrong[i].text, e.offset,
				 wrong[i].offset, e.text);
	}
	assert_int_equal(set.count, 0);
	ruleset_free(&set);
}

static struct view view;

static void subject_of(struct subject *s, const struct ipq_packet *packet, const uint8_t *p, size_t len)
{
	*s = (struct subject){ .packet = packet, .mark = packet->mark, .view = &view };
	view_set(&view, p, (uint32_t)len, (uint32_t)len);
}

/*
 * Builds a random IPv4 or IPv6 packet, with options, extension headers and fragments. There are few different
 * ports, so rules match often.
 */
static size_t random_packet(uint8_t *p)
{
	static const uint8_t protocols[] = { 6, 17, 1, 58, 132, 50 }, extensions[] = { 0, 43, 60, 44, 51 };
	bool ipv4 = random() % 2;
	size_t header = ipv4 ? 20 + (size_t)(random() % 4) * 4 : 40, size;
	uint8_t *next = &p[ipv4 ? 9 : 6];

	for (size_t i = 0; i < 200; i++)
		p[i] = (uint8_t)random();
	p[0] = ipv4 ? (uint8_t)(0x40 | header / 4) : 0x60;
	if (ipv4 && random() % 4)
		p[6] = p[7] = 0;
	for (int n = (int)(random() % 6) - 3; n > 0; n--) {
		*next = ipv4 ? 51 : extensions[random() % 5];
		size = *next == 51 ? 16 : 8;
		p[header + 1] = *next == 51 ? 2 : 0;
		if (*next == 44 && random() % 2)
			p[header + 2] = p[header + 3] = 0;
		next = &p[header];
		header += size;
	}
	*next = protocols[random() % 6];
	p[header] = p[header + 2] = 0;
	p[header + 1] = (uint8_t)(random() % 4 + 20);
	p[header + 3] = (uint8_t)(random() % 4 + 20);
	return random() % 4 ? 160 : (ipv4 ? (p[0] & 15U) * 4 : 40) + (size_t)(random() % 60);
}

static const char *const mixture[] = { "drop tcp port 23",
				       "mark 1 udp dst port 22 or tcp src port 21",
				       "count ip6 and not tcp",
				       "accept icmp",
				       "drop tcp[tcpflags] & tcp-syn != 0 or udp[4:2] > 60000",
				       "drop not port 20 and not port 21",
				       "accept ip host 10.0.0.1",
				       "drop greater 90 and not proto 44",
				       "log sctp and mark 7",
				       "count if (udp or mark 7) and not (length 0-60 or dst port 22)",
				       "mark 3 tcp portrange 20-22" };

/* Compares the result of the linked programs with that of the rules' expressions, evaluated one by one. */
static void linked_programs_match_like_the_expressions(void **state)
{
	unsigned found[COUNT(mixture) + 1] = { 0 };
	struct ruleset set;
	uint8_t p[256];

	(void)state;
	parse_all(&set, mixture, COUNT(mixture));
	srandom(1);
	for (int n = 0; n < (int)rounds(40000); n++) {
		size_t len = random_packet(p);
		unsigned from = (unsigned)random() % (COUNT(mixture) + 2), expected;
		struct ipq_packet packet = { .mark = random() % 2 ? 7 : 0 };
		struct subject s;

		subject_of(&s, &packet, p, len);
		for (expected = from; expected < COUNT(mixture); expected++)
			if (expression_match(set.rule[expected].expression, &s))
				break;
		expected = expected > COUNT(mixture) ? (unsigned)COUNT(mixture) : expected;
		assert_int_equal(ruleset_match(&set, from, &s), expected);
		found[expected]++;
	}
	for (size_t i = 0; i < COUNT(found); i++)
		assert_true(found[i] > 0 || i == 6); /* no random packet is from 10.0.0.1 */
	ruleset_free(&set);
}

static struct active_rules *load(const char *const *text, unsigned n);

/* The queued packets must include all packets that the rules match: with pairs of rules, and with single rules. */
static void kernel_filters_pass_each_packet_that_a_rule_matches(void **state)
{
	unsigned matched = 0, filtered = 0, queued = 0;
	uint8_t p[256];

	(void)state;
	srandom(3);
	for (unsigned i = 0; i < COUNT(mixture) * COUNT(mixture); i++) {
		const char *text[] = { mixture[i % COUNT(mixture)], mixture[i / COUNT(mixture)] };
		struct active_rules *rules = load(text, 2);

		for (int n = 0; n < 1000 && rules->filters > 0; n++) {
			size_t len = random_packet(p), f;
			struct ipq_packet packet = { .mark = random() % 2 ? 7 : 0 };
			struct subject s;

			subject_of(&s, &packet, p, len);
			for (f = 0; f < rules->filters; f++)
				if (bpf_filter(rules->filter[f].bf_insns, p, (uint32_t)len, (uint32_t)len) !=
				    0)
					break;
			filtered++;
			queued += f < rules->filters;
			if (ruleset_match(&rules->set, 0, &s) == 2)
				continue;
			matched++;
			if (f == rules->filters)
				fail_msg("\"%s\", \"%s\": a packet that matches is not queued", text[0],
					 text[1]);
		}
		active_rules_free(rules);
	}
	assert_true(matched > 10000 && queued < filtered * 9 / 10);
}

/* A telnet packet after each kind of header that may precede TCP. */
static void ports_are_found_after_extension_headers(void **state)
{
	static const uint8_t extensions[] = { 0, 43, 44, 51, 60 };
	static const char *const text[] = { "drop tcp dst port 23", "drop not tcp", "drop tcp[13] & 2 = 0",
					    "drop udp" };
	uint8_t p[100] = { 0x60, 0, 0, 0, 0, 60, 0, 64 };
	struct ipq_packet packet = { .present = 0 };
	struct ruleset set;
	struct subject s;

	(void)state;
	parse_all(&set, text, COUNT(text));
	for (size_t i = 0; i < sizeof(extensions); i++) {
		size_t len = extensions[i] == 51 ? 24 : 8, tcp = 40 + len;

		memset(p + 40, 0, 60);
		p[6] = extensions[i];
		p[40] = 6;
		p[41] = extensions[i] == 51 ? 4 : 0;
		p[43] = extensions[i] == 44 ? 1 : 0; /* a first fragment: more will follow */
		p[tcp + 3] = 23;
		p[tcp + 13] = 2;
		subject_of(&s, &packet, p, sizeof(p));
		assert_int_equal(ruleset_match(&set, 0, &s), 0);
		assert_int_equal(ruleset_match(&set, 1, &s), 4);
		if (extensions[i] != 44)
			continue;
		p[43] = 8; /* a later fragment: TCP, but no ports */
		subject_of(&s, &packet, p, sizeof(p));
		assert_int_equal(ruleset_match(&set, 0, &s), 4);
	}
	ruleset_free(&set);
}

static void metadata_predicates_match_the_packet(void **state)
{
	static const struct {
		const char *text;
		bool matches;
	} cases[] = {
		{ "drop mark 0x12", true },
		{ "drop mark 0x10/0xf0", true },
		{ "drop mark 2", false },
		{ "drop uid 1000-1999 and gid 5", true },
		{ "drop uid 0", false },
		{ "drop state related", true },
		{ "drop state new,established", false },
		{ "drop not state invalid", true },
		{ "drop hook INPUT", true },
		{ "drop hook output,forward", false },
		{ "drop length 40-60", true },
		{ "drop length 0-39", false },
		{ "drop length < 40", false },
		{ "drop length >= 40", true },
		{ "drop queue 0", true },
		{ "drop inbound", true },
		{ "drop outbound", false },
		{ "drop in *", false }, /* there is no queue, so names of interfaces are unknown */
		{ "drop (mark 1 or udp) and not in lo", true },
		/* "and" and "or" associate from left to right, as in pcap-filter(7) */
		{ "drop udp or mark 1 and mark 2", false },
		{ "drop port 23 or 24 or mark 0x12", true },
	};
	uint8_t p[40] = { 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17 };
	struct ipq_packet packet = { .present = IPQ_HAS_MARK | IPQ_HAS_UID | IPQ_HAS_GID | IPQ_HAS_INDEV |
						IPQ_HAS_CONNTRACK_INFO,
				     .mark = 0x12,
				     .uid = 1000,
				     .gid = 5,
				     .indev = 1,
				     .conntrack_info = 4, /* state "related", reply direction */
				     .hook = 1 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ruleset set;
		struct subject s;

		parse_all(&set, &cases[i].text, 1);
		subject_of(&s, &packet, p, sizeof(p));
		if ((ruleset_match(&set, 0, &s) == 0) != cases[i].matches)
			fail_msg("%s", cases[i].text);
		ruleset_free(&set);
	}
}

/* libpcap 1.10.3 optimizes this into a program that a packet from port 21 does not match. */
static void programs_that_libpcap_optimizes_wrongly_are_not_used(void **state)
{
	static const char *const text[] = {
		"drop ((tcp dst port 22 or (port 21 or 22)) and icmp) or ((ip or port 22) or port 21)"
	};
	uint8_t p[100] = { 0x60, 0, 0, 0, 0, 60, 6, 64 };
	struct ipq_packet packet = { .present = 0 };
	struct ruleset set;
	struct subject s;

	(void)state;
	parse_all(&set, text, 1);
	p[41] = 21;
	p[43] = 20;
	subject_of(&s, &packet, p, sizeof(p));
	assert_int_equal(ruleset_match(&set, 0, &s), 0);
	ruleset_free(&set);
}

static void rate_passes_its_burst_then_its_rate(void **state)
{
	static const char *const text[] = { "rate 10/s burst 5" };
	unsigned passed = 0;
	struct ruleset set;

	(void)state;
	parse_all(&set, text, 1);
	for (int i = 0; i < 20; i++)
		passed += rate_pass(&set.rule[0].action->rate, 100, 1000000000);
	assert_int_equal(passed, 5);
	/* A packet of 1000 bytes each ms for ten seconds. */
	for (int64_t ms = 1; ms <= 10000; ms++)
		passed += rate_pass(&set.rule[0].action->rate, 100, 1000000000 + ms * 1000000);
	assert_in_range(passed, 104, 106);
	ruleset_free(&set);
}

static void rate_in_bits_counts_bytes(void **state)
{
	static const char *const text[] = { "rate 1Mbit/s burst 10kB" };
	uint64_t passed = 0;
	struct ruleset set;

	(void)state;
	parse_all(&set, text, 1);
	/* 1000 bytes each ms for ten seconds: 10 MB, of which 1.25 MB and the burst pass. */
	for (int64_t ms = 1; ms <= 10000; ms++)
		passed += rate_pass(&set.rule[0].action->rate, 1000, ms * 1000000) ? 1000 : 0;
	assert_in_range(passed, 1250000, 1270000);
	ruleset_free(&set);
}

static struct active_rules *load(const char *const *text, unsigned n)
{
	struct active_rules_source from = { .text = (char *const *)text, .count = n };
	struct active_rules *active_rules;

	assert_int_equal(active_rules_load(&active_rules, &from, 1), 0);
	return active_rules;
}

static void copy_range_covers_what_filters_and_edits_read(void **state)
{
	static const char *const header[] = { "drop tcp port 23", "accept" };
	static const char *const network[] = { "drop src net 10.0.0.0/8", "accept" };
	static const char *const far[] = { "drop udp[300:2] = 7" }, *const farther[] = {
		"drop udp[1300:2] = 7"
	};
	static const char *const network_far[] = { "drop ip[300:2] = 7" };
	static const char *const computed[] = { "drop tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420" };
	static const char *const edits[] = { "rewrite /a/b/ udp" };
	struct active_rules *p = load(header, 2);

	(void)state;
	assert_int_equal(active_rules_copy_range(p), 1280); /* bytes that may contain extension headers */
	active_rules_free(p);
	p = load(network, 2);
	assert_int_equal(active_rules_copy_range(p), 128);
	active_rules_free(p);
	p = load(far, 1);
	assert_true(active_rules_copy_range(p) >= 300 + 60 + 2);
	active_rules_free(p);
	p = load(farther, 1);
	assert_in_range(active_rules_copy_range(p), 1300 + 60 + 2, 1400 + 60);
	active_rules_free(p);
	p = load(network_far, 1);
	assert_in_range(active_rules_copy_range(p), 302, 400); /* no transport header is needed */
	active_rules_free(p);
	p = load(computed, 1);
	assert_int_equal(active_rules_copy_range(p), 0);
	active_rules_free(p);
	p = load(edits, 1);
	assert_int_equal(active_rules_copy_range(p), 0);
	active_rules_free(p);
}

static void kernel_queues_every_packet_that_a_rule_may_decide(void **state)
{
	static const char *const some[] = { "drop tcp port 23", "mark 7 udp", "accept" };
	static const char *const all[] = { "accept tcp port 22", "drop" };
	static const char *const resized[] = { "rewrite /evil/better/ tcp port 80" };
	static const char *const same[] = { "rewrite /evil/good/ tcp port 80", "rewrite /a/bb/ udp" };
	struct active_rules *p = load(some, 3);

	(void)state;
	assert_int_equal(p->filters, 2);
	active_rules_free(p);
	p = load(all, 2);
	assert_int_equal(p->filters, 0);
	active_rules_free(p);
	p = load(resized, 1);
	assert_non_null(active_rules_resize_tcp(p));
	assert_int_equal(p->filters, 0);
	active_rules_free(p);
	p = load(same, 2);
	assert_null(active_rules_resize_tcp(p));
	assert_int_equal(p->filters, 2);
	active_rules_free(p);
}

static void flow_rules_need_the_packets_of_both_directions(void **state)
{
	static const char *const accepted[] = { "accept flow tcp dst port 443", "drop udp" };
	static const char *const rest[] = { "drop udp", "accept flow" };
	static const char *const dropped[] = { "drop flow udp dst port 53" };
	static const char *const marked[] = { "mark 7 flow udp dst port 53" };
	struct active_rules *p = load(accepted, 2);

	(void)state;
	assert_true(p->flows && p->filters == 2);
	active_rules_free(p);
	p = load(rest, 2);
	assert_true(p->flows && p->filters == 0);
	active_rules_free(p);
	p = load(dropped, 1);
	assert_true(p->flows && p->filters == 0);
	active_rules_free(p);
	p = load(marked, 1);
	assert_true(p->flows && p->filters == 0);
	active_rules_free(p);
}

/* The queue must be asked for the metadata that the rules read. */
static void flags_of_the_queue_are_those_that_rules_need(void **state)
{
	static const struct {
		const char *text[2];
		uint32_t flags;
	} cases[] = {
		{ { "drop udp", "log mark 7" }, 0 },
		{ { "drop uid 5", "log udp" }, IPQ_O_OWNER },
		{ { "drop udp", "log gid 5" }, IPQ_O_OWNER },
		{ { "log state new", "drop udp" }, IPQ_O_CONNTRACK },
		{ { "log state new", "drop uid 5" }, IPQ_O_CONNTRACK | IPQ_O_OWNER },
		{ { "ctmark 1 udp", "drop udp" }, IPQ_O_CONNTRACK },
		{ { "drop tcp", "rewrite /a/b/ udp" }, IPQ_O_SEGMENT },
		{ { "rate 5/s udp", "drop tcp" }, IPQ_O_SEGMENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct active_rules *p = load(cases[i].text, 2);

		assert_int_equal(p->flags, cases[i].flags);
		active_rules_free(p);
	}
}

static void rules_on_one_flow_are_found_in_either_direction(void **state)
{
	static const struct {
		const char *text[2];
		bool share;
	} cases[] = {
		{ { "log udp dst port 53", "accept flow udp src port 53" }, true },
		{ { "log src or dst port 53", "accept flow udp src and dst port 53" }, true },
		{ { "log not src host 10.0.0.1", "accept flow host 10.0.0.1" }, true },
		{ { "log length 100-200", "accept flow tcp" }, true },
		{ { "log tcp[13] & 2 != 0", "accept flow tcp" }, true },
		{ { "log ip multicast", "accept flow" }, true },
		{ { "log ip multicast", "accept flow tcp" }, true },
		{ { "log", "accept flow tcp" }, true },
		{ { "log mark 7", "accept flow not mark 7" }, true },
		{ { "log udp dst port 53", "accept flow tcp" }, false },
		{ { "log tcp and not port 443", "accept flow tcp dst port 443" }, false },
		{ { "log ip6", "accept flow ip src host 10.0.0.1" }, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ruleset set;

		parse_all(&set, cases[i].text, 2);
		if (expression_may_share_flow(set.rule[0].expression, set.rule[1].expression) !=
		    cases[i].share)
			fail_msg("\"%s\" and \"%s\"", cases[i].text[0], cases[i].text[1]);
		ruleset_free(&set);
	}
}

static void reload_keeps_counters_of_unchanged_rules(void **state)
{
	static const char *const before[] = { "drop tcp", "drop udp" };
	static const char *const after[] = { "accept icmp", "drop udp" };
	struct active_rules *old = load(before, 2), *new = load(after, 2);
	struct counters sum;

	(void)state;
	active_rules_counters(old, 0, 1)->packets = 5;
	active_rules_counters(old, 0, 2)->packets = 7;
	active_rules_restore(new, old);
	active_rules_free(old);
	active_rules_counters(new, 0, 1)->packets = 2;
	active_rules_sum(new, 0, &sum);
	assert_int_equal(sum.packets, 0);
	active_rules_sum(new, 1, &sum);
	assert_int_equal(sum.packets, 7);
	active_rules_sum(new, 2, &sum);
	assert_int_equal(sum.packets, 7);
	active_rules_free(new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_each_action_are_parsed),
		cmocka_unit_test(mistake_is_reported_with_position_and_message),
		cmocka_unit_test(linked_programs_match_like_the_expressions),
		cmocka_unit_test(kernel_filters_pass_each_packet_that_a_rule_matches),
		cmocka_unit_test(ports_are_found_after_extension_headers),
		cmocka_unit_test(metadata_predicates_match_the_packet),
		cmocka_unit_test(programs_that_libpcap_optimizes_wrongly_are_not_used),
		cmocka_unit_test(rate_passes_its_burst_then_its_rate),
		cmocka_unit_test(rate_in_bits_counts_bytes),
		cmocka_unit_test(copy_range_covers_what_filters_and_edits_read),
		cmocka_unit_test(kernel_queues_every_packet_that_a_rule_may_decide),
		cmocka_unit_test(flow_rules_need_the_packets_of_both_directions),
		cmocka_unit_test(flags_of_the_queue_are_those_that_rules_need),
		cmocka_unit_test(rules_on_one_flow_are_found_in_either_direction),
		cmocka_unit_test(reload_keeps_counters_of_unchanged_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
