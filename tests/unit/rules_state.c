// SPDX-License-Identifier: LGPL-2.1-or-later
/* Units of rates, chances, and the state of rules that continues after a reload: counters and used rates. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "filter/active_rules.h"
#include "filter/chance.h"
#include "filter/loops.h"

#define SECOND INT64_C(1000000000)

static struct active_rules *load(const char *const *text, unsigned n, unsigned workers)
{
	struct active_rules_source from = { .text = (char *const *)text, .count = n };
	struct active_rules *rules;

	assert_int_equal(active_rules_load(&rules, &from, workers), 0);
	return rules;
}

static void rates_have_their_units(void **state)
{
	static const struct {
		const char *text;
		bool bits;
		int64_t units, period, burst;
	} all[] = {
		{ "rate 6/s", false, 6, SECOND, 0 },
		{ "rate 6/m", false, 6, 60 * SECOND, 0 },
		{ "rate 6/h", false, 6, 3600 * SECOND, 0 },
		{ "rate 100/s", false, 100, SECOND,
		  9 * SECOND / 100 }, /* the burst is a tenth of a second, including the first packet */
		{ "rate 100/s burst 5", false, 100, SECOND, 4 * SECOND / 100 },
		{ "rate 8bit/s", true, 8, SECOND, SECOND / 8 },
		{ "rate 8kbit/s", true, 8000, SECOND, SECOND / 10 },
		{ "rate 8Mbit/s", true, 8000000, SECOND, SECOND / 10 },
		{ "rate 8Gbit/s", true, 8000000000, SECOND, SECOND / 10 },
		{ "rate 8B/s", true, 64, SECOND, SECOND / 10 },
		{ "rate 8kB/m", true, 64000, 60 * SECOND, 6 * SECOND },
		{ "rate 8MB/h burst 4MB", true, 64000000, 3600 * SECOND, 1800 * SECOND },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct active_rules *p = load(&all[i].text, 1, 1);
		const struct rate *r = &p->set.rule[0].action->rate;

		assert_int_equal(r->bits, all[i].bits);
		assert_true(r->units == all[i].units);
		assert_true(r->period == all[i].period);
		assert_in_range(r->burst, all[i].burst * 9 / 10, all[i].burst * 11 / 10);
		active_rules_free(p);
	}
}

static void code_points_have_their_numbers(void **state)
{
	static const struct {
		const char *text;
		uint32_t number;
	} all[] = { { "set dscp ef", 46 },	    { "set dscp be", 0 },    { "set dscp cs1", 8 },
		    { "set dscp cs7", 56 },	    { "set dscp af11", 10 }, { "set dscp af42", 36 },
		    { "set dscp af43", 38 },	    { "set dscp 63", 63 },   { "set ttl 255", 255 },
		    { "set src port 65535", 65535 } };
	static const char *const options[] = { "mss",	    "wscale", "sackok", "sack",
					       "timestamp", "md5",    "mptcp",	"fastopen" };
	static const uint32_t kinds[] = { 2, 3, 4, 5, 8, 19, 30, 34 };

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct active_rules *p = load(&all[i].text, 1, 1);

		assert_int_equal(p->set.rule[0].action->number, all[i].number);
		active_rules_free(p);
	}
	for (unsigned i = 0; i < 8; i++) {
		char text[64];
		const char *const one = text;
		struct active_rules *p;

		snprintf(text, sizeof(text), "strip tcp option %s", options[i]);
		p = load(&one, 1, 1);
		assert_int_equal(p->set.rule[0].action->number, kinds[i]);
		active_rules_free(p);
	}
}

/* Each word must select its own field. */
static void source_and_destination_are_told_apart(void **state)
{
	static const char *const text[] = { "set src 10.0.0.1", "set dst 10.0.0.1",    "set src port 1",
					    "set dst port 1",	"set dst 2001:db8::1", "set ttl 9" };
	static const enum set_field fields[] = { SET_SOURCE,	       SET_DESTINATION, SET_SOURCE_PORT,
						 SET_DESTINATION_PORT, SET_DESTINATION, SET_TTL };
	struct active_rules *p = load(text, 6, 1);

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(p->set.rule[i].action->field, fields[i]);
	assert_int_equal(p->set.rule[0].action->address_len, 4);
	assert_int_equal(p->set.rule[4].action->address_len, 16);
	active_rules_free(p);
}

static void values_beyond_their_range_are_refused(void **state)
{
	static const char *const wrong[] = {
		"rate 1000GB/s",
		"rate 5/s burst 0",
		"set src port 65536",
		"set ttl 256",
		"set dscp 64",
		"set dscp af44",
		"set dscp cs8",
		"strip tcp option 1",
		"strip tcp option 256",
		"drop 0%",
		"drop 100.1%",
		"drop 0.00000000001%",
		"delay 3601s",
		"mark 0x10/0x0f",
		"queue 65536",
		"accept, drop",
		"drop if",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ruleset set = { .count = 0 };
		struct rule_error e;

		assert_int_equal(ruleset_add(&set, wrong[i], &e), -EINVAL);
		ruleset_free(&set);
	}
}

static void chances_are_as_large_as_they_say(void **state)
{
	static const char *const text[] = { "drop 10% udp", "drop 100% udp" };
	struct active_rules *p = load(text, 2, 1);
	struct chance c = { .state = 7 };
	int64_t least = 0, most = 0;
	unsigned hits = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		hits += chance_hits(&c, p->set.rule[0].action->probability);
	assert_in_range(hits, 850, 1150);
	assert_int_equal(p->set.rule[1].action->probability, ALWAYS);
	for (unsigned i = 0; i < 1000; i++) {
		int64_t n = chance_around(&c, 50);

		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	assert_true(least >= -50 && least < -40 && most <= 50 && most > 40);
	active_rules_free(p);
}

static void loop_is_found_after_its_limit_and_forgotten_after_a_pause(void **state)
{
	static struct loops l;
	static const uint8_t one[20] = { 1 }, other[20] = { 2 };

	(void)state;
	for (unsigned i = 0; i < LOOP_LIMIT; i++) {
		assert_false(loops_found(&l, one, sizeof(one), SECOND + i));
		assert_false(loops_found(&l, other, 20 - i % 2, SECOND + i));
	}
	assert_true(loops_found(&l, one, sizeof(one), SECOND + LOOP_LIMIT));
	for (unsigned i = 0; i < LOOP_LIMIT; i++)
		assert_false(loops_found(&l, one, sizeof(one), 2 * SECOND + i));
	assert_false(loops_found(&l, one, sizeof(one), 2 * SECOND + LOOP_LIMIT + LOOP_PAUSE + 1));
}

/* ---- after a reload ------------------------------------------------------------------------------ */

static void used_rates_continue_after_a_reload(void **state)
{
	static const char *const before[] = { "rate 10/s burst 5 udp", "rate 10/s burst 5 tcp" };
	static const char *const after[] = { "drop icmp", "rate 10/s burst 5 tcp", "rate 11/s burst 5 udp" };
	struct active_rules *old = load(before, 2, 1), *new = load(after, 3, 1);
	unsigned passed = 0, fresh = 0;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_true(rate_pass(&old->set.rule[0].action->rate, 100, SECOND));
		assert_true(rate_pass(&old->set.rule[1].action->rate, 100, SECOND));
	}
	active_rules_restore_rates(new, old);
	for (unsigned i = 0; i < 5; i++) {
		passed += rate_pass(&new->set.rule[1].action->rate, 100, SECOND);
		fresh += rate_pass(&new->set.rule[2].action->rate, 100, SECOND);
	}
	assert_int_equal(passed, 0);
	assert_int_equal(fresh, 5); /* its text has changed, so it is a new rule */
	active_rules_free(old);
	active_rules_free(new);
}

static void count(struct active_rules *p, unsigned worker, unsigned rule, uint64_t n)
{
	struct counters *c = active_rules_counters(p, worker, rule);

	counters_add(&c->packets, n);
	counters_add(&c->bytes, 10 * n);
	counters_add(&c->dropped, 2 * n);
	counters_add(&c->places, 3 * n);
	counters_add(&c->not_edited, 4 * n);
}

static void expect(const struct active_rules *p, unsigned rule, uint64_t n)
{
	struct counters sum;

	active_rules_sum(p, rule, &sum);
	assert_int_equal(sum.packets, n);
	assert_int_equal(sum.bytes, 10 * n);
	assert_int_equal(sum.dropped, 2 * n);
	assert_int_equal(sum.places, 3 * n);
	assert_int_equal(sum.not_edited, 4 * n);
}

static void counters_of_the_same_rules_continue_after_a_reload(void **state)
{
	static const char *const before[] = { "drop udp", "drop tcp" };
	static const char *const after[] = { "drop tcp", "drop icmp" };
	struct active_rules *old = load(before, 2, 3), *new = load(after, 2, 3);

	(void)state;
	count(old, 0, 0, 100);
	for (unsigned worker = 0; worker < 3; worker++) {
		count(old, worker, 1, 1 + worker);
		count(old, worker, 2, 7);
	}
	expect(old, 1, 6);
	active_rules_restore(new, old);
	expect(new, 0, 6);
	expect(new, 1, 0);
	expect(new, 2, 21); /* the counters of "no rule" */
	count(new, 2, 0, 5);
	expect(new, 0, 11);
	active_rules_reset(new);
	for (unsigned rule = 0; rule <= 2; rule++)
		expect(new, rule, 0);
	count(new, 1, 0, 1);
	expect(new, 0, 1);
	active_rules_free(old);
	active_rules_free(new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_have_their_units),
		cmocka_unit_test(code_points_have_their_numbers),
		cmocka_unit_test(source_and_destination_are_told_apart),
		cmocka_unit_test(values_beyond_their_range_are_refused),
		cmocka_unit_test(chances_are_as_large_as_they_say),
		cmocka_unit_test(loop_is_found_after_its_limit_and_forgotten_after_a_pause),
		cmocka_unit_test(used_rates_continue_after_a_reload),
		cmocka_unit_test(counters_of_the_same_rules_continue_after_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
