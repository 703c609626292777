/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "filter/active_rules.h"
#include "filter/ruleset.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void parse_all(struct ruleset *set, const char *const *text, size_t n)
{
	struct rule_error e;

	memset(set, 0, sizeof(*set));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ruleset_add(set, text[i], &e), 0);
	assert_int_equal(ruleset_finish(set), 0);
}

static void test_values_of_each_action_are_read(void **state)
{
	static const char *const text[] = { "mark 0x1f udp",
					    "delay 50ms icmp",
					    "delay 2s",
					    "delay 7us",
					    "rate 100/s udp port 53",
					    "rate 6/m burst 3",
					    "repeat 9 tcp",
					    "queue 65535",
					    "rewrite /e\\x76il\\n/g\\/d\\\\/g tcp port 80",
					    "rewrite |a||",
					    "  drop   tcp  ",
					    "accept" };
	struct ruleset set;

	(void)state;
	parse_all(&set, text, COUNT(text));
	assert_int_equal(set.rule[0].number, 0x1f);
	assert_string_equal(set.rule[0].filter, "udp");
	assert_true(set.rule[1].interval == 50000000);
	assert_true(set.rule[2].interval == 2000000000);
	assert_true(set.rule[3].interval == 7000);
	assert_true(set.rule[4].interval == 10000000);
	assert_true(set.rule[5].interval == 10000000000 && set.rule[5].burst == 20000000000);
	assert_int_equal(set.rule[6].number, 9);
	assert_int_equal(set.rule[7].number, 65535);
	assert_int_equal(set.rule[8].rewrite.from_len, 5);
	assert_memory_equal(set.rule[8].rewrite.from, "evil\n", 5);
	assert_int_equal(set.rule[8].rewrite.to_len, 4);
	assert_memory_equal(set.rule[8].rewrite.to, "g/d\\", 4);
	assert_true(set.rule[8].rewrite.all);
	assert_int_equal(set.rule[9].rewrite.to_len, 0);
	assert_false(set.rule[9].rewrite.all);
	assert_int_equal(set.rule[10].action, ACTION_DROP);
	assert_string_equal(set.rule[11].filter, "");
	ruleset_free(&set);
}

static void test_the_caret_stands_under_the_mistake(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
	} wrong[] = {
		{ "", 0 },
		{ "dorp tcp", 0 },
		{ "  dorp", 2 },
		{ "mark", 4 },
		{ "mark x", 5 },
		{ "mark 4294967296", 5 },
		{ "mark 7x udp", 6 },
		{ "queue 65536", 6 },
		{ "delay 50 icmp", 8 },
		{ "delay 50mss icmp", 8 },
		{ "delay 4000s", 10 },
		{ "rate 100 udp", 8 },
		{ "rate 100/d udp", 8 },
		{ "rate 0/s", 5 },
		{ "rate 5/s burst x", 15 },
		{ "rewrite", 7 },
		{ "rewrite evil good", 8 },
		{ "rewrite /evil", 13 },
		{ "rewrite /evil/good", 18 },
		{ "rewrite //good/", 9 },
		{ "rewrite /a\\xg/b/", 10 },
		{ "rewrite /a/b/i tcp", 13 },
		{ "drop tcp prot 23", 9 },
		{ "drop tcp port htttp", 14 },
		{ "drop udp and (port 5 and xyzzy)", 25 },
		{ "drop tcp or or udp", 9 },
	};
	struct ruleset set = { .rule = NULL };
	struct rule_error e;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(ruleset_add(&set, wrong[i].text, &e), -EINVAL);
		if (e.offset != wrong[i].offset)
			fail_msg("\"%s\": caret at %zu, not %zu (%s)", wrong[i].text, e.offset,
				 wrong[i].offset, e.text);
		assert_true(strlen(e.text) > 0);
	}
	assert_int_equal(set.count, 0);
	ruleset_free(&set);
}

/* IPv4 or IPv6 with TCP, UDP or ICMP and few ports, so that rules match often. */
static size_t random_packet(uint8_t *p)
{
	size_t header = random() % 2 ? 20 : 40;
	static const uint8_t protocols[] = { 6, 17, 1, 58, 132 };
	uint8_t protocol = protocols[random() % 5];

	for (size_t i = 0; i < 100; i++)
		p[i] = (uint8_t)random();
	p[0] = header == 20 ? 0x45 : 0x60;
	p[header == 20 ? 9 : 6] = protocol;
	p[6] = header == 20 ? 0 : p[6];
	p[7] = header == 20 ? 0 : p[7];
	p[header] = p[header + 2] = 0;
	p[header + 1] = (uint8_t)(random() % 4 + 20);
	p[header + 3] = (uint8_t)(random() % 4 + 20);
	return random() % 8 ? 100 : (size_t)(random() % 100);
}

static void test_one_pass_finds_what_libpcap_finds_rule_by_rule(void **state)
{
	static const char *const text[] = { "drop tcp port 23",
					    "mark 1 udp dst port 22 or tcp src port 21",
					    "count ip6 and not tcp",
					    "accept icmp",
					    "drop tcp[tcpflags] & tcp-syn != 0",
					    "drop udp[4:2] > 30000",
					    "accept ip host 10.0.0.1",
					    "drop greater 90",
					    "log sctp",
					    "mark 3 tcp portrange 20-22" };
	unsigned found[COUNT(text) + 1] = { 0 };
	struct ruleset set;
	uint8_t p[128];

	(void)state;
	parse_all(&set, text, COUNT(text));
	srandom(1);
	for (int n = 0; n < 20000; n++) {
		size_t len = random_packet(p);
		unsigned from = (unsigned)random() % (COUNT(text) + 2), expected;
		struct pcap_pkthdr h = { .caplen = (bpf_u_int32)len, .len = (bpf_u_int32)len };

		for (expected = from; expected < COUNT(text); expected++)
			if (pcap_offline_filter(&set.rule[expected].program, &h, p) != 0)
				break;
		expected = expected > COUNT(text) ? (unsigned)COUNT(text) : expected;
		assert_int_equal(ruleset_match(&set, from, p, (uint32_t)len, (uint32_t)len), expected);
		found[expected]++;
	}
	for (size_t i = 0; i < COUNT(found); i++)
		assert_true(found[i] > 0 || i == 6); /* nobody is 10.0.0.1 by chance */
	ruleset_free(&set);
}

static void test_a_rate_passes_its_burst_and_then_its_rate(void **state)
{
	static const char *const text[] = { "rate 10/s burst 5" };
	unsigned passed = 0;
	struct ruleset set;

	(void)state;
	parse_all(&set, text, 1);
	for (int i = 0; i < 20; i++)
		passed += rule_rate_pass(&set.rule[0], 1000000000);
	assert_int_equal(passed, 5);
	/* A packet each ms for ten seconds. */
	for (int64_t ms = 1; ms <= 10000; ms++)
		passed += rule_rate_pass(&set.rule[0], 1000000000 + ms * 1000000);
	assert_in_range(passed, 104, 106);
	ruleset_free(&set);
}

static struct active_rules *load(const char *const *text, unsigned n)
{
	struct active_rules_source from = { .text = (char *const *)text, .count = n };
	struct active_rules *active_rules;

	assert_int_equal(active_rules_load(&active_rules, &from, 1), 0);
	return active_rules;
}

static void test_only_as_much_is_copied_as_the_filters_look_at(void **state)
{
	static const char *const header[] = { "drop tcp port 23", "accept" };
	static const char *const far[] = { "drop udp[300:2] = 7" };
	static const char *const computed[] = { "drop tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420" };
	static const char *const edits[] = { "rewrite /a/b/ udp" };
	struct active_rules *p = load(header, 2);

	(void)state;
	assert_int_equal(active_rules_copy_range(p), 128);
	active_rules_free(p);
	p = load(far, 1);
	assert_true(active_rules_copy_range(p) >= 300 + 60 + 2);
	active_rules_free(p);
	p = load(computed, 1);
	assert_int_equal(active_rules_copy_range(p), 0);
	active_rules_free(p);
	p = load(edits, 1);
	assert_int_equal(active_rules_copy_range(p), 0);
	active_rules_free(p);
}

static void test_the_kernel_sends_all_that_a_rule_may_decide(void **state)
{
	static const char *const some[] = { "drop tcp port 23", "mark 7 udp", "accept" };
	static const char *const all[] = { "accept tcp port 22", "drop" };
	static const char *const resized[] = { "rewrite /evil/better/ tcp port 80" };
	static const char *const same[] = { "rewrite /evil/good/ tcp port 80", "rewrite /a/bb/ udp" };
	struct bpf_program filters[3];
	struct active_rules *p = load(some, 3);

	(void)state;
	assert_int_equal(active_rules_filters(p, filters), 2);
	active_rules_free(p);
	p = load(all, 2);
	assert_int_equal(active_rules_filters(p, filters), 0);
	active_rules_free(p);
	p = load(resized, 1);
	assert_non_null(active_rules_resize_tcp(p));
	assert_int_equal(active_rules_filters(p, filters), 0);
	active_rules_free(p);
	p = load(same, 2);
	assert_null(active_rules_resize_tcp(p));
	assert_int_equal(active_rules_filters(p, filters), 2);
	active_rules_free(p);
}

static void test_a_reload_keeps_the_counters_of_rules_that_stay(void **state)
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
		cmocka_unit_test(test_values_of_each_action_are_read),
		cmocka_unit_test(test_the_caret_stands_under_the_mistake),
		cmocka_unit_test(test_one_pass_finds_what_libpcap_finds_rule_by_rule),
		cmocka_unit_test(test_a_rate_passes_its_burst_and_then_its_rate),
		cmocka_unit_test(test_only_as_much_is_copied_as_the_filters_look_at),
		cmocka_unit_test(test_the_kernel_sends_all_that_a_rule_may_decide),
		cmocka_unit_test(test_a_reload_keeps_the_counters_of_rules_that_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
