// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the main thread of ipq filter does at signals and ticks, without a session: counters, and rules that were
 * replaced. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "filter/control.h"

static struct filter f;
static struct worker worker[2];
static char printed[4096];

bool __wrap_output_text(struct output *o, const char *text, size_t len);
bool __wrap_output_text(struct output *o, const char *text, size_t len)
{
	(void)o;
	snprintf(printed, sizeof(printed), "%.*s", (int)len, text);
	return true;
}

static struct active_rules *load(const char *text)
{
	struct active_rules_source from = { .text = (char *[]){ (char *)(uintptr_t)text }, .count = 1 };
	struct active_rules *rules;

	assert_int_equal(active_rules_load(&rules, &from, 2), 0);
	return rules;
}

static void begin(void)
{
	memset(&f, 0, sizeof(f));
	memset(worker, 0, sizeof(worker));
	f.common.active_rules = load("accept flow udp");
	f.common.style.json = true;
	f.session.context = &f.common;
	f.session.hooks = 1;
	f.session.workers = 2;
	f.session.worker = worker;
	for (unsigned i = 0; i < 2; i++) {
		worker[i].session = &f.session;
		worker[i].context = filter_worker_new(&f.common, 7);
		assert_non_null(worker[i].context);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < 2; i++)
		filter_worker_free(worker[i].context);
	active_rules_free(f.common.active_rules);
}

static struct filter_worker *decider(unsigned i)
{
	return worker[i].context;
}

/* Adds n to each counter of flows, with another factor for each. */
static void count(uint64_t n)
{
	for (unsigned i = 0; i < 2; i++) {
		decider(i)->flows += n;
		decider(i)->flow_packets += 10 * n;
		decider(i)->flow_bytes += 1000 * n;
	}
	f.session.passed += 50 * n;
	f.session.passed_bytes += 7000 * n;
}

static void expect(uint64_t n)
{
	char text[200];

	snprintf(text, sizeof(text),
		 "\"flows\":{\"decided\":%llu,\"packets\":%llu,\"bytes\":%llu,\"kernel_packets\":%llu,"
		 "\"kernel_bytes\":%llu}",
		 2ULL * n, 20ULL * n, 2000ULL * n, 50ULL * n, 7000ULL * n);
	control_signal(&f.session, SIGUSR1);
	assert_non_null(strstr(printed, text));
}

static void counters_of_flows_begin_again_after_sigusr2(void **state)
{
	(void)state;
	begin();
	expect(0);
	for (uint64_t n = 3; n > 0; n--) { /* also a second and a third time */
		count(n);
		expect(n);
		control_signal(&f.session, SIGUSR2);
		expect(0);
	}
	end();
}

static void counters_of_edits_begin_again_after_sigusr2(void **state)
{
	(void)state;
	begin();
	f.common.edits.not_edited[IPQ_EDIT_REASON_ROOM] = 4;
	f.common.edits.not_edited[IPQ_EDIT_REASON_COUNT - 1] = 5;
	f.common.edits.beyond_mtu = 6;
	control_signal(&f.session, SIGUSR2);
	assert_non_null(strstr(printed, ":4,"));
	assert_non_null(strstr(printed, ":5},\"beyond_mtu\":6}"));
	control_signal(&f.session, SIGUSR1);
	assert_non_null(strstr(printed, "\"not_edited_by_reason\":{},\"beyond_mtu\":0}"));
	end();
}

static void rules_that_a_worker_uses_are_kept(void **state)
{
	struct active_rules *old;

	(void)state;
	begin();
	old = f.common.active_rules;
	counters_add(&active_rules_counters(old, 1, 0)->packets, 3);
	f.common.active_rules = load("accept flow udp");
	f.old = old;
	for (unsigned i = 0; i < 2; i++) {
		control_tick(&f.session);
		assert_ptr_equal(f.old, old);
		decider(1 - i)->active_rules = f.common.active_rules;
	}
	control_tick(&f.session);
	assert_null(f.old);
	control_signal(&f.session, SIGUSR1);
	assert_non_null(strstr(printed, "\"packets\":3,"));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_of_flows_begin_again_after_sigusr2),
		cmocka_unit_test(counters_of_edits_begin_again_after_sigusr2),
		cmocka_unit_test(rules_that_a_worker_uses_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
