// SPDX-License-Identifier: LGPL-2.1-or-later
/* The output of `ipq doctor` about a queue, with counters that only root of a machine can read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "doctor/doctor.h"

static struct queue_row row;
static struct queue_rule rule = { .kind = FIREWALL_IPTABLES_LEGACY,
				  .first = 7,
				  .last = 7,
				  .family = "ip",
				  .table = "filter",
				  .chain = "INPUT" };
static struct snapshot s;
static struct doctor d;
static char said[4096];

/* Makes a snapshot of a queue with an owner that gets packets by one rule. */
static void begin(void)
{
	row = (struct queue_row){ .line = { .number = 7, .port_id = 70, .copy_mode = 2, .last_id = 75 },
				  .owned = true,
				  .counted = true,
				  .pid = 4711,
				  .command = "firewall",
				  .rules = 1,
				  .reached = 1,
				  .ipv4 = true };
	s = (struct snapshot){ .row = &row, .count = 1, .firewall = { .rule = &rule, .count = 1 } };
	for (enum firewall_kind k = 0; k < FIREWALL_KINDS; k++)
		s.firewall.state[k] = FIREWALL_READ;
	d = (struct doctor){ .queue = 7, .json = true };
}

/* Runs a check. Its output is then in said[]. */
static void check(void (*what)(struct doctor *d, const struct snapshot *s))
{
	int before = dup(STDOUT_FILENO), pipe_fd[2];
	ssize_t n;

	d.said = d.warnings = d.failures = 0;
	fflush(stdout);
	assert_int_equal(pipe(pipe_fd), 0);
	dup2(pipe_fd[1], STDOUT_FILENO);
	close(pipe_fd[1]);
	what(&d, &s);
	fflush(stdout);
	dup2(before, STDOUT_FILENO);
	close(before);
	n = read(pipe_fd[0], said, sizeof(said) - 1);
	close(pipe_fd[0]);
	said[n > 0 ? n : 0] = '\0';
}

static void contains(const char *text)
{
	if (strstr(said, text) == NULL)
		fail_msg("no «%s» in: %s", text, said);
}

static void losses_of_each_kind_are_a_warning(void **state)
{
	(void)state;
	begin();
	check(doctor_queues);
	contains("queue 7 is owned by process 4711 (firewall) and fed by 1 rule, IPv4 only; another");
	assert_int_equal(d.warnings + d.failures, 0);
	for (unsigned i = 0; i < 2; i++) {
		begin();
		*(i == 0 ? &row.line.queue_dropped : &row.line.user_dropped) = 3;
		check(doctor_queues);
		contains(i == 0 ? "queue 7 lost 3 packets because the queue was full, and 0 because"
				: "queue 7 lost 0 packets because the queue was full, and 3 because");
		assert_int_equal(d.warnings, 1);
	}
}

static void packets_that_have_matched_are_counted(void **state)
{
	(void)state;
	begin();
	row.rules_counted = row.ipv6 = true;
	check(doctor_queues);
	contains("fed by 1 rule; no packet has matched it so far; another program gets EBUSY");
	row.rule_packets = 99;
	row.rules = 2;
	check(doctor_queues);
	contains("fed by 2 rules; 99 packets have matched it;");
}

static void queue_without_owner_or_rule_is_named(void **state)
{
	(void)state;
	begin();
	d.queue = 8;
	d.method = "iptables-legacy";
	check(doctor_queues);
	contains("no process owns queue 8, and no rule feeds it");
	contains("sudo iptables-legacy -A INPUT -p icmp -j NFQUEUE --queue-num 8");
	d.method = "nft";
	s.firewall.state[FIREWALL_NFT] = FIREWALL_REFUSED;
	check(doctor_queues);
	contains("and no visible rule feeds it");
	contains("queue num 8");
	row.owned = row.counted = false;
	row.pid = 0;
	d.queue = 7;
	check(doctor_queues);
	assert_int_equal(d.failures, 1);
	contains("\"type\":\"start the program\"");
	row.bypass = true;
	check(doctor_queues);
	assert_int_equal(d.failures, 0);
	assert_int_equal(d.warnings, 1);
	row.bypass = false;
	s.blind = true;
	check(doctor_queues);
	contains("the owner of queue 7 is unknown");
	assert_int_equal(d.warnings, 1);
}

static void rules_are_counted_by_tool(void **state)
{
	struct queue_rule rules[3] = { rule, rule, rule };

	(void)state;
	begin();
	s.firewall.rule = rules;
	s.firewall.count = 3;
	rules[2].kind = FIREWALL_NFT;
	rules[2].bypass = true;
	check(doctor_rules);
	contains("2 rules of iptables");
	contains("1 rule of nft queue packets");
	contains("a packet may be queued twice");
	contains("1 of 3 rules let packets pass while no process owns the queue; the others");
	s.firewall.state[FIREWALL_IP6TABLES_NFT] = FIREWALL_REFUSED;
	rules[0].bypass = rules[1].bypass = true;
	check(doctor_rules);
	contains("the rules of ip6tables-nft could not be read");
	contains("3 of 3 rules let packets pass while no process owns the queue\"");
	s.firewall.count = 0;
	s.firewall.state[FIREWALL_IP6TABLES_NFT] = FIREWALL_READ;
	check(doctor_rules);
	contains("no rule here queues packets");
}

/* ---- limits of the kernel, and libraries ---------------------------------------------------------- */

static const char *connections, *most;

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	const char *number = strstr(path, "nf_conntrack_count") != NULL ? connections
			     : strstr(path, "nf_conntrack_max") != NULL ? most
									: NULL;

	if (number == NULL)
		return __real_fopen(path, mode);
	return fmemopen((char *)(uintptr_t)number, strlen(number), "r");
}

FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	return __wrap_fopen(path, mode);
}

static void limits(struct doctor *doctor, const struct snapshot *unused)
{
	(void)unused;
	doctor_limits(doctor);
}

static void full_table_of_connections_is_a_failure(void **state)
{
	static const struct {
		const char *count, *text;
	} all[] = { { "900", "has 900 of 1000" },
		    { "901", "nearly full: 901 of 1000" },
		    { "999", "nearly full: 999 of 1000" },
		    { "1000", "table is full (1000)" },
		    { "1001", "table is full (1000)" } };

	(void)state;
	begin();
	most = "1000";
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		connections = all[i].count;
		check(limits);
		contains(all[i].text);
	}
	contains("nf_conntrack_max=2000");
}

static void cached_libraries_are_found_one_by_one(void **state)
{
	static const char cache[] = "2 libs found in cache\n"
				    "\tlibipq.so.0 (libc6,x86-64) => /usr/lib/libipq.so.0\n"
				    "\tlibipq.so.0 (libc6)\n"
				    "\tlibipq.so.0 (libc6) => /usr/lib32/libipq.so.0\n";
	char path[64];

	(void)state;
	assert_true(doctor_cached_library(cache, 0, path, sizeof(path)));
	assert_string_equal(path, "/usr/lib/libipq.so.0");
	assert_true(doctor_cached_library(cache, 1, path, sizeof(path)));
	assert_string_equal(path, "/usr/lib32/libipq.so.0");
	assert_false(doctor_cached_library(cache, 2, path, sizeof(path)));
	assert_false(doctor_cached_library(NULL, 0, path, sizeof(path)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_of_each_kind_are_a_warning),
		cmocka_unit_test(packets_that_have_matched_are_counted),
		cmocka_unit_test(queue_without_owner_or_rule_is_named),
		cmocka_unit_test(rules_are_counted_by_tool),
		cmocka_unit_test(full_table_of_connections_is_a_failure),
		cmocka_unit_test(cached_libraries_are_found_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
