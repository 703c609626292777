// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The output of `ipq status` for a snapshot, and the problems that it reports, with counters that only root can read.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "status/status.h"

static struct queue_rule rule[4];
static struct queue_row row[2];
static struct kept_flows flow = { .kind = FIREWALL_NFT, .queue = 7, .left = 11, .packets = 12, .bytes = 13 };
static struct snapshot s;
static char *text, remedy[640], problem[400];

/* Makes a queue with an owner and a rule, and another queue. */
static void begin(void)
{
	rule[0] = (struct queue_rule){ .kind = FIREWALL_IPTABLES_LEGACY,
				       .first = 7,
				       .last = 8,
				       .family = "ip",
				       .table = "filter",
				       .chain = "INPUT",
				       .counted = true,
				       .packets = 99,
				       .text = "-A INPUT -j NFQUEUE --queue-balance 7:8" };
	row[0] = (struct queue_row){ .line = { 7, 70, 71, 2, 72, 73, 74, 75 },
				     .owned = true,
				     .counted = true,
				     .pid = 4711,
				     .command = "a\"b",
				     .rules = 1,
				     .reached = 1 };
	row[1] = (struct queue_row){ .line = { .number = 9 }, .bypass = true };
	s = (struct snapshot){
		.time = 10000000000, .row = row, .count = 2, .firewall = { .rule = rule, .count = 1 }
	};
}

static int end(void **state)
{
	(void)state;
	free(text);
	text = NULL;
	return 0;
}

static const char *print(void (*what)(const struct snapshot *s, FILE *out))
{
	size_t size;
	FILE *f;

	free(text);
	f = open_memstream(&text, &size);
	what(&s, f);
	fclose(f);
	return text;
}

static const struct snapshot *before;
static unsigned columns;

static void print_table(const struct snapshot *now, FILE *out)
{
	status_print(&(struct status_view){ .now = now, .before = before, .columns = columns }, out);
}

static void contains(const char *expected)
{
	if (strstr(text, expected) == NULL)
		fail_msg("no «%s» in: %s", expected, text);
}

static void json_has_each_counter_by_its_name(void **state)
{
	(void)state;
	begin();
	print(status_print_json);
	contains("{\"queue\":7,\"owned\":true,\"pid\":4711,\"command\":\"a\\\"b\",\"port_id\":70,\"waiting\":"
		 "71,"
		 "\"copy_mode\":\"packet\",\"copy_range\":72,\"packets\":75,\"dropped_queue_full\":73,"
		 "\"dropped_socket_full\":74,\"rules\":1,\"bypass\":false,\"problem\":null}");
	contains("{\"queue\":9,\"owned\":false,\"rules\":0,\"bypass\":false,\"problem\":null}");
	contains("{\"firewall\":\"iptables-legacy\",\"family\":\"ip\",\"table\":\"filter\",\"chain\":"
		 "\"INPUT\","
		 "\"first\":7,\"last\":8,\"bypass\":false,\"reached\":true,\"packets\":99,\"rule\":");
	contains("\"counters_readable\":true,\"owners_known\":true}");
	s.table = -EACCES;
	s.blind = true;
	s.firewall.flow = &flow;
	s.firewall.flows = 1;
	rule[0].computed = rule[0].unreached = true;
	s.suspect[0] = (struct queue_suspect){ 815, "program" };
	s.suspects = 1;
	print(status_print_json);
	contains("{\"queue\":7,\"owned\":true,");
	contains("{\"queue\":9,\"owned\":null,");
	contains("\"chain\":\"INPUT\",\"bypass\":false,\"reached\":false,");
	contains("\"flows\":[{\"queue\":7,\"firewall\":\"nft\",\"left\":11,\"packets\":12,\"bytes\":13}]");
	contains("\"suspects\":[{\"pid\":815,\"command\":\"program\"}],\"counters_readable\":false,"
		 "\"owners_known\":false}");
}

static void metrics_have_each_counter_by_its_name(void **state)
{
	(void)state;
	begin();
	row[1].rules = 1;
	row[1].bypass = false;
	s.firewall.flow = &flow;
	s.firewall.flows = 1;
	print(status_print_openmetrics);
	contains("ipq_queue_owner{queue=\"7\",pid=\"4711\",command=\"a\\\"b\"} 1\n");
	contains("ipq_queue_owned{queue=\"7\"} 1\nipq_queue_owned{queue=\"9\"} 0\n");
	contains("ipq_queue_rules{queue=\"7\"} 1\n");
	contains("ipq_queue_orphaned{queue=\"7\"} 0\nipq_queue_orphaned{queue=\"9\"} 1\n");
	contains("ipq_queue_idle{queue=\"7\"} 0\n");
	/* the counters of the other queue are unknown */
	contains("ipq_queue_waiting_packets{queue=\"7\"} 71\n# TYPE");
	contains("ipq_queue_copy_range_bytes{queue=\"7\"} 72\n");
	contains("ipq_queue_handed_packets_total{queue=\"7\"} 75\n");
	contains("ipq_queue_full_dropped_packets_total{queue=\"7\"} 73\n");
	contains("ipq_queue_socket_dropped_packets_total{queue=\"7\"} 74\n");
	contains("ipq_queue_left_flows_total{queue=\"7\",firewall=\"nft\"} 11\n");
	contains("ipq_queue_passed_packets_total{queue=\"7\",firewall=\"nft\"} 12\n");
	contains("ipq_queue_passed_bytes_total{queue=\"7\",firewall=\"nft\"} 13\n");
	contains("ipq_counters_readable 1\n# EOF\n");
	row[0].line.copy_mode = 1;
	print(status_print_openmetrics);
	contains("ipq_queue_copy_range_bytes{queue=\"7\"} 0\n");
}

static void table_has_totals_and_rates(void **state)
{
	struct queue_row earlier = { .line = { 7, 70, 0, 2, 72, 63, 4294967280U, 55 }, .counted = true };
	struct snapshot old = { .time = 8000000000, .row = &earlier, .count = 1 };

	(void)state;
	begin();
	before = NULL;
	columns = 0;
	print(print_table);
	contains("    7 4711 a\"b                  71 packet 72            75          73          74     "
		 "1\n");
	contains(
		"    9 none                       - -                     -           -           -     0\n");
	contains("        7-8  iptables-legacy, ip filter: -A INPUT");
	before = &old;
	columns = 80;
	print(print_table);
	contains("PACKETS/S Q-FULL/S S-FULL/S");
	/* rates over two seconds; one counter has wrapped */
	contains(" 71 packet 72           10        5       45     1\n");
	earlier.line.port_id = 69; /* the rule is in the queue of another program */
	print(print_table);
	contains(" 71 packet 72            -        -        -     1\n");
	row[0].line.copy_mode = 3;
	row[0].pid = 0;
	s.blind = true;
	columns = 0;
	print(print_table);
	contains(" hidden ");
	contains(" ? ");
	contains(" mode 3 ");
}

/* Makes a snapshot with a line of each kind, read by a process that may read little. */
static void begin_with_all_kinds(void)
{
	begin();
	row[0].line.copy_mode = 1;
	row[1].owned = row[1].counted = true;
	row[1].pid = 5;
	strcpy(row[1].command, "\033[1m");
	rule[1] = (struct queue_rule){ .kind = FIREWALL_NFT,
				       .first = 65535,
				       .last = 65535,
				       .family = "inet",
				       .table = "t",
				       .chain = "c",
				       .text = "queue num 65535" };
	rule[2] = rule[1];
	rule[2].computed = true;
	s.firewall.count = 3;
	s.firewall.flow = &flow;
	s.firewall.flows = 1;
	s.firewall.state[FIREWALL_IPTABLES_LEGACY] = FIREWALL_REFUSED;
	s.suspect[0] = (struct queue_suspect){ 815, "program" };
	s.suspect[1] = (struct queue_suspect){ 816, "other" };
	s.suspects = 2;
	s.table = -EIO;
	s.blind = true;
}

static void json_and_metrics_are_printed_in_full(void **state)
{
	(void)state;
	begin_with_all_kinds();
	s.firewall.state[FIREWALL_NFT] = FIREWALL_NO_TOOL;
	print(status_print_json);
	assert_string_equal(
		text,
		"{\"queues\":[{\"queue\":7,\"owned\":true,\"pid\":4711,\"command\":\"a\\\"b\",\"port_id\":70,"
		"\"waiting\":71,"
		"\"copy_mode\":\"meta\",\"copy_range\":72,\"packets\":75,"
		"\"dropped_queue_full\":73,"
		"\"dropped_socket_full\":74,\"rules\":1,\"bypass\":false,"
		"\"problem\":null},"
		"{\"queue\":9,\"owned\":true,\"pid\":5,\"command\":\"\\u001b[1m\",\"port_id\":0,\"waiting\":"
		"0,"
		"\"copy_mode\":\"none\",\"copy_range\":0,\"packets\":0,"
		"\"dropped_queue_full\":0,"
		"\"dropped_socket_full\":0,\"rules\":0,\"bypass\":false,"
		"\"problem\":\"its owner has not set a copy mode: it receives nothing\"}],"
		"\"rules\":[{\"firewall\":\"iptables-legacy\",\"family\":\"ip\",\"table\":\"filter\","
		"\"chain\":\"INPUT\",\"first\":7,\"last\":8,\"bypass\":false,\"reached\":true,\"packets\":99,"
		"\"rule\":\"-A INPUT -j NFQUEUE --queue-balance 7:8\"},"
		"{\"firewall\":\"nft\",\"family\":\"inet\",\"table\":\"t\","
		"\"chain\":\"c\",\"first\":65535,\"last\":65535,\"bypass\":false,\"reached\":true,"
		"\"rule\":\"queue num 65535\"},"
		"{\"firewall\":\"nft\",\"family\":\"inet\",\"table\":\"t\","
		"\"chain\":\"c\",\"bypass\":false,\"reached\":true,"
		"\"rule\":\"queue num 65535\"}],"
		"\"flows\":[{\"queue\":7,\"firewall\":\"nft\",\"left\":11,\"packets\":12,\"bytes\":13}],"
		"\"firewalls\":{\"iptables-legacy\":\"refused\",\"ip6tables-legacy\":\"read\",\"iptables-"
		"nft\":\"read\",\"ip6tables-nft\":\"read\",\"nft\":\"no tool\"},"
		"\"suspects\":[{\"pid\":815,\"command\":\"program\"},"
		"{\"pid\":816,\"command\":\"other\"}],"
		"\"counters_readable\":false,\"owners_known\":false}\n");
	row[0].pid = 0;
	print(status_print_openmetrics);
	assert_string_equal(
		text,
		"# TYPE ipq_queue_owner gauge\n"
		"# HELP ipq_queue_owner The process that owns the queue; the value is always 1.\n"
		"ipq_queue_owner{queue=\"9\",pid=\"5\",command=\"\\\\x1b[1m\"} 1\n"
		"# TYPE ipq_queue_owned gauge\n"
		"# HELP ipq_queue_owned Whether a program owns the queue.\n"
		"ipq_queue_owned{queue=\"7\"} 1\n"
		"ipq_queue_owned{queue=\"9\"} 1\n"
		"# TYPE ipq_queue_rules gauge\n"
		"# HELP ipq_queue_rules Firewall rules that feed the queue.\n"
		"ipq_queue_rules{queue=\"7\"} 1\n"
		"ipq_queue_rules{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_orphaned gauge\n"
		"# HELP ipq_queue_orphaned Whether packets are dropped because the queue has no owner.\n"
		"ipq_queue_orphaned{queue=\"7\"} 0\n"
		"ipq_queue_orphaned{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_idle gauge\n"
		"# HELP ipq_queue_idle Whether the queue has an owner and no rule.\n"
		"ipq_queue_idle{queue=\"7\"} 0\n"
		"ipq_queue_idle{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_waiting_packets gauge\n"
		"# UNIT ipq_queue_waiting_packets packets\n"
		"# HELP ipq_queue_waiting_packets Packets without a verdict.\n"
		"ipq_queue_waiting_packets{queue=\"7\"} 71\n"
		"ipq_queue_waiting_packets{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_copy_range_bytes gauge\n"
		"# UNIT ipq_queue_copy_range_bytes bytes\n"
		"# HELP ipq_queue_copy_range_bytes Maximum payload copied of each packet.\n"
		"ipq_queue_copy_range_bytes{queue=\"7\"} 0\n"
		"ipq_queue_copy_range_bytes{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_handed_packets counter\n"
		"# UNIT ipq_queue_handed_packets packets\n"
		"# HELP ipq_queue_handed_packets Packets sent to the owner, including those lost at its "
		"socket.\n"
		"ipq_queue_handed_packets_total{queue=\"7\"} 75\n"
		"ipq_queue_handed_packets_total{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_full_dropped_packets counter\n"
		"# UNIT ipq_queue_full_dropped_packets packets\n"
		"# HELP ipq_queue_full_dropped_packets Packets dropped because too many waited.\n"
		"ipq_queue_full_dropped_packets_total{queue=\"7\"} 73\n"
		"ipq_queue_full_dropped_packets_total{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_socket_dropped_packets counter\n"
		"# UNIT ipq_queue_socket_dropped_packets packets\n"
		"# HELP ipq_queue_socket_dropped_packets Packets dropped because the owner's receive buffer "
		"was full.\n"
		"ipq_queue_socket_dropped_packets_total{queue=\"7\"} 74\n"
		"ipq_queue_socket_dropped_packets_total{queue=\"9\"} 0\n"
		"# TYPE ipq_queue_left_flows counter\n"
		"# UNIT ipq_queue_left_flows flows\n"
		"# HELP ipq_queue_left_flows How often a decided flow was left to the kernel.\n"
		"ipq_queue_left_flows_total{queue=\"7\",firewall=\"nft\"} 11\n"
		"# TYPE ipq_queue_passed_packets counter\n"
		"# UNIT ipq_queue_passed_packets packets\n"
		"# HELP ipq_queue_passed_packets Packets of accepted flows that the kernel let pass.\n"
		"ipq_queue_passed_packets_total{queue=\"7\",firewall=\"nft\"} 12\n"
		"# TYPE ipq_queue_passed_bytes counter\n"
		"# UNIT ipq_queue_passed_bytes bytes\n"
		"# HELP ipq_queue_passed_bytes Bytes of accepted flows that the kernel let pass.\n"
		"ipq_queue_passed_bytes_total{queue=\"7\",firewall=\"nft\"} 13\n"
		"# TYPE ipq_counters_readable gauge\n"
		"# HELP ipq_counters_readable Whether the kernel's table of queues could be read.\n"
		"ipq_counters_readable 0\n"
		"# EOF\n");
}

/* Fails unless the table is this text, then the line about unread rules, which gives advice to ordinary users. */
static void table_is(const char *expected)
{
	static const char last[] = "iptables-legacy rules could not be read";
	size_t len = strlen(expected);

	print(print_table);
	if (strncmp(text, expected, len) != 0)
		assert_string_equal(text, expected);
	assert_memory_equal(text + len, last, strlen(last));
	assert_string_equal(text + len + strlen(last), geteuid() != 0 ? ": sudo ipq status\n" : "\n");
}

/* The lines before those that say what could not be read, and the lines after them. */
#define LINES_BEFORE                                                                                  \
	"QUEUE OWNER                WAITING COPY            PACKETS  QUEUE-FULL SOCKET-FULL RULES\n"  \
	"    7 4711 a\"b                  71 meta                 75          73          74     1\n" \
	"    9 5 \\x1b[1m                  0 none                  0           0           0     0\n" \
	"\n"                                                                                          \
	"! queue 9: its owner has not set a copy mode: it receives nothing\n"                         \
	"    ipq_set_mode(h, IPQ_COPY_PACKET, ...) in the program\n"                                  \
	"\n"
#define LINES_AFTER                                                                          \
	"  has a netfilter socket and may own a queue: 815 program\n"                        \
	"  has a netfilter socket and may own a queue: 816 other\n"                          \
	"\n"                                                                                 \
	"QUEUE FLOWS LEFT      PACKETS           BYTES  KEPT BY CONNECTION MARKS OF\n"       \
	"    7         11           12              13  nft\n"                               \
	"\n"                                                                                 \
	"RULES FOR QUEUE\n"                                                                  \
	"        7-8  iptables-legacy, ip filter: -A INPUT -j NFQUEUE --queue-balance 7:8\n" \
	"      65535  nft, inet t: c: queue num 65535\n"                                     \
	"          ?  nft, inet t: c: queue num 65535\n"

static void table_has_a_line_of_each_kind(void **state)
{
	(void)state;
	begin_with_all_kinds();
	before = NULL;
	columns = 0;
	table_is(LINES_BEFORE "The kernel's table of queues cannot be read: Input/output error\n"
			      "The owners are unknown without CAP_NET_ADMIN: sudo ipq status\n" LINES_AFTER);
	s.blind = false;
	s.table = -EACCES;
	table_is(LINES_BEFORE
		 "Only root of the machine can read the kernel's counters (/proc/net/netfilter/\n"
		 "nfnetlink_queue): waiting packets, copy mode and losses are unknown here.\n" LINES_AFTER);
	s.table = -ENOENT;
	s.count = s.firewall.count = s.firewall.flows = 0;
	s.suspects = 0;
	table_is("There are no queues, and no visible rule names a queue. Start with \"ipq doctor\".\n"
		 "\n"
		 "This kernel has no nfnetlink_queue, or its module is not loaded: modprobe "
		 "nfnetlink_queue\n");
	s.table = 0;
	s.blind = true;
	table_is("No queue rules are visible.\n");
}

static void table_is_as_wide_as_the_terminal(void **state)
{
	/* The column of owners has 8 to 40 characters. From 120 columns on, there are totals beside the rates. */
	static const struct {
		unsigned columns, width;
	} all[] = {
		{ 1, 69 }, { 60, 69 }, { 70, 70 }, { 100, 100 }, { 119, 101 }, { 120, 120 }, { 200, 136 }
	};

	(void)state;
	begin();
	before = NULL;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const char *line;

		columns = all[i].columns;
		print(print_table);
		line = text;
		for (unsigned n = 0; n < 3; n++, line = strchr(line, '\n') + 1)
			assert_int_equal(strcspn(line, "\n"), all[i].width);
		assert_true((strstr(text, " SOCKET-FULL ") != NULL) == (columns >= 120));
		assert_non_null(strstr(text, " S-FULL/S "));
	}
}

static enum queue_problem explain(unsigned i)
{
	row_explain(&s, &row[i], problem, sizeof(problem), remedy, sizeof(remedy));
	return row_problem(&s, &row[i]);
}

static void explained(unsigned i, enum queue_problem expected, const char *problem_text,
		      const char *remedy_text)
{
	assert_int_equal(explain(i), expected);
	assert_string_equal(problem, problem_text);
	assert_string_equal(remedy, remedy_text);
}

/* A problem of a rule names the rule that misses packets, although earlier rules are for other queues. */
static void rule_with_the_problem_is_found(void **state)
{
	(void)state;
	begin();
	rule[1] = rule[2] = rule[3] = rule[0];
	rule[0].first = rule[0].last = 5;
	rule[0].unreached = true;
	strcpy(rule[0].blocker, "other");
	strcpy(rule[0].passing, "other");
	strcpy(rule[3].blocker, "other"); /* beyond the last rule */
	rule[3].unreached = true;
	s.firewall.count = 3;
	row[0].rules = 2;
	row[0].reached = 0;
	rule[1].unreached = rule[2].unreached = true;
	strcpy(rule[2].chain, "C");
	explained(0, QUEUE_UNREACHED, "no hook calls the chain C of its rule, so no packets arrive",
		  "sudo iptables-legacy -t filter -S   (or restart the program that made it)");
	strcpy(rule[1].blocker, "-j DROP");
	explained(0, QUEUE_SHADOWED, "an earlier rule decides its packets, so none arrive: -j DROP",
		  "sudo iptables-legacy -t filter -S   (and move that rule after it)");
	rule[2].unreached = false;
	row[0].reached = 1;
	explained(0, QUEUE_PARTLY,
		  "an earlier rule decides one rule's packets, so that rule queues none: -j DROP",
		  "sudo iptables-legacy -t filter -S   (and move that rule after it)");
	rule[1].blocker[0] = '\0';
	rule[1].kind = FIREWALL_NFT;
	explained(0, QUEUE_PARTLY,
		  "no hook calls the chain INPUT of one rule, so that rule queues no packets",
		  "sudo nft -a list table ip filter");
	rule[1] = rule[2];
	strcpy(rule[2].chain, "ipq-7");
	strcpy(rule[3].chain, "ipq-7");
	strcpy(rule[3].passing, "other");
	explained(0, QUEUE_OK, "", "");
	strcpy(rule[1].passing, "-j ACCEPT");
	explained(0, QUEUE_PASSED, "packets that an earlier rule accepts bypass ipq: -j ACCEPT",
		  "sudo iptables-legacy -t filter -S   (and move that rule after it)");
}

static void rule_to_remove_is_one_without_bypass(void **state)
{
	(void)state;
	begin();
	rule[1] = rule[2] = rule[3] = rule[0];
	strcpy(rule[0].chain, "ipq-9"); /* a rule of another queue */
	rule[1].first = rule[1].last = rule[2].first = rule[2].last = 9;
	rule[1].bypass = true;
	strcpy(rule[2].text, "-A INPUT -j NFQUEUE --queue-num 9");
	rule[3].first = rule[3].last = 9;
	strcpy(rule[3].chain, "ipq-9"); /* beyond the last rule */
	s.firewall.count = 3;
	row[1].rules = 2;
	row[1].bypass = false;
	explained(1, QUEUE_ORPHAN,
		  "no process owns it, and a rule without bypass feeds it: its packets are dropped",
		  "iptables-legacy -t filter -D INPUT -j NFQUEUE --queue-num 9");
	s.firewall.count = 4;
	explained(1, QUEUE_BLOCKED,
		  "blocked: the ipq process that owned it has ended, and its packets are dropped",
		  "sudo ipq clean   (or start ipq filter on that hook again)");
}

static void problems_of_queues_with_an_owner_are_found(void **state)
{
	(void)state;
	begin();
	assert_int_equal(explain(0), QUEUE_OK);
	row[0].stuck = true;
	assert_int_equal(explain(0), QUEUE_STUCK);
	assert_string_equal(remedy, "sudo strace -p 4711   (does it read?)");
	row[0].line.copy_mode = 0; /* without a copy mode, the owner reads no packets at all */
	assert_int_equal(explain(0), QUEUE_NO_MODE);
	row[0].line.copy_mode = 2;
	row[0].stuck = false;
	rule[0].unreached = true;
	row[0].reached = 0;
	assert_int_equal(explain(0), QUEUE_UNREACHED);
	assert_non_null(strstr(problem, "no hook calls the chain INPUT of its rule"));
	strcpy(rule[0].blocker, "-A INPUT -j DROP");
	assert_int_equal(explain(0), QUEUE_SHADOWED);
	assert_non_null(strstr(problem, "decides its packets, so none arrive: -A INPUT -j DROP"));
	row[0].reached = 1;
	assert_int_equal(explain(0), QUEUE_PARTLY);
	rule[0].queued = true; /* the earlier rule queues its packets to the same queue */
	assert_int_equal(explain(0), QUEUE_OK);
	strcpy(rule[0].chain, "ipq-7");
	assert_int_equal(explain(0), QUEUE_OK);
	strcpy(rule[0].passing, "-A INPUT -p udp -j ACCEPT");
	assert_int_equal(explain(0), QUEUE_PASSED);
	assert_string_equal(problem,
			    "packets that an earlier rule accepts bypass ipq: -A INPUT -p udp -j ACCEPT");
	rule[0].passing[0] = '\0';
	s.ipv6 = row[0].ipv4 = true;
	assert_int_equal(explain(0), QUEUE_ONE_FAMILY);
	assert_string_equal(problem, "the rules of ipq for IPv6 are missing: IPv6 packets bypass ipq");
	assert_string_equal(remedy, "restart that ipq process");
	s.ipv6 = false; /* the kernel has no IPv6 */
	assert_int_equal(explain(0), QUEUE_OK);
	s.ipv6 = true;
	row[0].ipv6 = true;
	row[0].ipv4 = false;
	assert_int_equal(explain(0), QUEUE_ONE_FAMILY);
	assert_string_equal(problem, "the rules of ipq for IPv4 are missing: IPv4 packets bypass ipq");
	strcpy(rule[0].chain, "INPUT"); /* a rule of a user may be for only one family */
	assert_int_equal(explain(0), QUEUE_OK);
	row[0].rules = 0;
	assert_int_equal(explain(0), QUEUE_FORWARDED);
	row[0].line.last_id = 0;
	assert_int_equal(explain(0), QUEUE_IDLE);
	assert_true(row_is_idle(&s, &row[0]));
	assert_string_equal(remedy, "");
	strcpy(row[0].command, "ipq");
	explain(0);
	assert_string_equal(remedy, "restart that ipq process, with --on HOOK");
	s.computed = 1; /* the rules with unknown queue numbers may include one of this queue */
	assert_int_equal(explain(0), QUEUE_OK);
	s.computed = 0;
	s.firewall.state[FIREWALL_NFT] = FIREWALL_REFUSED;
	assert_int_equal(explain(0), QUEUE_OK);
}

static void problems_of_queues_without_an_owner_are_found(void **state)
{
	(void)state;
	begin();
	assert_int_equal(explain(1), QUEUE_OK);
	row[1].rules = 1;
	assert_int_equal(explain(1), QUEUE_BYPASSED);
	assert_false(row_is_orphan(&s, &row[1]));
	row[1].bypass = false;
	rule[0].first = rule[0].last = 9;
	assert_int_equal(explain(1), QUEUE_ORPHAN);
	assert_true(row_is_orphan(&s, &row[1]));
	assert_string_equal(remedy, "iptables-legacy -t filter -D INPUT -j NFQUEUE --queue-balance 7:8");
	strcpy(rule[0].chain, "ipq-9");
	assert_int_equal(explain(1), QUEUE_BLOCKED);
	strcpy(rule[0].chain, "ipq-99");
	assert_int_equal(explain(1), QUEUE_ORPHAN);
	rule[0].kind = FIREWALL_NFT;
	strcpy(rule[0].table, "ipq_9");
	assert_int_equal(explain(1), QUEUE_BLOCKED);
	assert_non_null(strstr(remedy, "ipq clean"));
	s.blind = true; /* the queue may have a rule that could not be read */
	assert_int_equal(explain(1), QUEUE_OK);
	assert_false(row_is_orphan(&s, &row[1]));
}

/* ---- taking a snapshot ----------------------------------------------------------------------------- */

static struct queue_line earlier, later; /* the line of queue 7 at both readings */
static int table = 1;			 /* number of lines in the kernel's table, or why it cannot be read */
static struct queue_line other_line;	 /* the second line */
static bool gone;			 /* the queue has no line at the second reading */
static unsigned rules = 2, pauses, lookups;
static uint8_t probed[65536];
static int probe_result;

int __wrap_firewall_read(struct firewall *f);
int __wrap_firewall_read(struct firewall *f)
{
	*f = (struct firewall){ .rule = malloc(sizeof(rule)), .count = rules };
	memcpy(f->rule, rule, sizeof(rule));
	return 0;
}

int __wrap_queue_lines(struct queue_line *line, unsigned max);
int __wrap_queue_lines(struct queue_line *line, unsigned max)
{
	assert_int_equal(max, 65536);
	if (table > 0)
		line[0] = earlier;
	if (table > 1)
		line[1] = other_line;
	return table;
}

int __wrap_queue_owner(uint32_t port_id, pid_t *pid, char command[64]);
int __wrap_queue_owner(uint32_t port_id, pid_t *pid, char command[64])
{
	lookups++;
	*pid = port_id == 3 ? getpid() : (pid_t)(1000 + port_id);
	snprintf(command, 64, "owner of %u", port_id);
	return port_id == 9 ? -ENOENT : 0;
}

int __wrap_netfilter_sockets(uint32_t *port, unsigned max);
int __wrap_netfilter_sockets(uint32_t *port, unsigned max)
{
	assert_int_equal(max, 64);
	for (unsigned i = 0; i < 12; i++)
		port[i] = i;
	return 12;
}

int __wrap_probe_queues(uint8_t *owned, uint32_t first, uint32_t last);
int __wrap_probe_queues(uint8_t *owned, uint32_t first, uint32_t last)
{
	assert_int_equal(first, 0);
	assert_int_equal(last, 65535);
	memcpy(owned, probed, sizeof(probed));
	return probe_result;
}

int __wrap_queue_line(uint32_t number, struct queue_line *line);
int __wrap_queue_line(uint32_t number, struct queue_line *line)
{
	assert_int_equal(number, 7);
	*line = later;
	return gone ? -ENOENT : 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)left;
	assert_int_equal(time->tv_sec * 1000000000LL + time->tv_nsec, 500000000);
	pauses++;
	return 0;
}

/* Returns the row of queue 7. */
static struct queue_row taken(void)
{
	struct queue_row r;

	assert_int_equal(snapshot_take(&s, false), 0);
	r = s.row[0];
	snapshot_free(&s);
	return r;
}

static void families_of_a_row_are_those_of_its_rules(void **state)
{
	static const struct {
		const char *family[2];
		bool ipv4, ipv6;
	} all[] = { { { "ip", "ip" }, true, false },
		    { { "ip6", "ip6" }, false, true },
		    { { "ip", "ip6" }, true, true },
		    { { "inet", "inet" }, true, true } };

	(void)state;
	begin();
	earlier = (struct queue_line){ .number = 7, .port_id = 1 };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct queue_row r;

		for (unsigned j = 0; j < 2; j++) {
			rule[j] =
				(struct queue_rule){ .first = 7, .last = 7, .packets = 5, .counted = j == 0 };
			strcpy(rule[j].family, all[i].family[j]);
		}
		r = taken();
		assert_int_equal(r.ipv4, all[i].ipv4);
		assert_int_equal(r.ipv6, all[i].ipv6);
		assert_int_equal(r.rules, 2);
		assert_int_equal(r.rule_packets, 10);
		assert_false(r.rules_counted);
		assert_false(r.bypass);
	}
}

static void stuck_queue_decides_no_packet_meanwhile(void **state)
{
	(void)state;
	begin();
	earlier = later = (struct queue_line){
		.number = 7, .port_id = 1, .waiting = 5, .last_id = 100, .user_dropped = 2
	};
	assert_true(taken().stuck);
	gone = true;
	assert_false(taken().stuck);
	gone = false;
	later.waiting = 8; /* three packets have arrived */
	later.last_id = 103;
	assert_true(taken().stuck);
	later.user_dropped = 6; /* and four packets were lost */
	later.last_id = 107;
	assert_true(taken().stuck);
	later.last_id = 108; /* one packet was decided */
	assert_false(taken().stuck);
	later = earlier;
	later.waiting = 4;
	assert_false(taken().stuck);
	later = earlier;
	later.port_id = 2;
	assert_false(taken().stuck);
	earlier.waiting = 0;
	assert_false(taken().stuck);
}

static void rows_are_sorted_and_have_their_owners(void **state)
{
	(void)state;
	begin();
	rules = 0;
	table = 2;
	earlier = later = (struct queue_line){ .number = 7, .port_id = 1, .last_id = 4 };
	other_line = (struct queue_line){ .number = 3, .port_id = 1 };
	lookups = pauses = 0;
	assert_int_equal(snapshot_take(&s, false), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.row[0].line.number, 3);
	assert_int_equal(s.row[1].line.number, 7);
	assert_int_equal(s.row[1].line.last_id, 4);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(s.row[i].owned && s.row[i].counted);
		assert_int_equal(s.row[i].pid, 1001);
		assert_string_equal(s.row[i].command, "owner of 1");
		assert_int_equal(s.row[i].rules, 0);
	}
	assert_int_equal(lookups, 1); /* the process that owns both is looked up once */
	assert_int_equal(pauses, 0);  /* no packets wait */
	assert_int_equal(s.table, 0);
	assert_false(s.blind);
	assert_int_equal(s.suspects, 0);
	assert_true(s.time > 0);
	assert_int_equal(s.ipv6, access("/proc/net/if_inet6", F_OK) == 0);
	snapshot_free(&s);
	assert_null(s.row);
	assert_int_equal(s.count, 0);
	earlier.port_id = 9; /* its process is hidden */
	earlier.waiting = 1;
	table = 1;
	assert_int_equal(snapshot_take(&s, true), 0);
	assert_int_equal(s.row[0].pid, 0);
	assert_int_equal(pauses, 0); /* `quick` */
	assert_false(s.row[0].stuck);
	snapshot_free(&s);
	assert_int_equal(snapshot_take(&s, false), 0);
	assert_int_equal(pauses, 1);
	snapshot_free(&s);
}

static void unreadable_table_is_probed(void **state)
{
	(void)state;
	begin();
	rules = 0;
	table = -EACCES;
	probed[0] = probed[65535] = 1;
	assert_int_equal(snapshot_take(&s, false), 0);
	assert_int_equal(s.table, -EACCES);
	assert_false(s.blind);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.row[0].line.number, 0);
	assert_int_equal(s.row[1].line.number, 65535);
	assert_true(s.row[1].owned);
	assert_false(s.row[1].counted);
	/* not this process, and not one that is hidden; no more than there is room for */
	assert_int_equal(s.suspects, 8);
	assert_int_equal(s.suspect[0].pid, 1000);
	assert_int_equal(s.suspect[3].pid, 1004);
	assert_int_equal(s.suspect[7].pid, 1008);
	assert_string_equal(s.suspect[7].command, "owner of 8");
	snapshot_free(&s);
	probe_result = -EPERM;
	assert_int_equal(snapshot_take(&s, false), 0);
	assert_true(s.blind);
	assert_int_equal(s.count, 0);
	snapshot_free(&s);
	probe_result = 0;
	table = -ENOMEM;
	assert_int_equal(snapshot_take(&s, false), -ENOMEM);
	assert_null(s.row);
}

static void rules_are_counted_at_their_queues(void **state)
{
	(void)state;
	begin();
	table = 1;
	earlier = later = (struct queue_line){ .number = 5000, .port_id = 1 };
	rules = 3;
	/* a rule for very many queues gets only so many rows, and those of queues with an owner */
	rule[0] = (struct queue_rule){
		.first = 100, .last = 5000, .counted = true, .packets = 4, .bypass = true, .unreached = true
	};
	rule[1] = (struct queue_rule){ .first = 100, .last = 100, .counted = true, .packets = 5 };
	rule[2] = (struct queue_rule){ .computed = true };
	strcpy(rule[0].family, "ip");
	strcpy(rule[1].family, "ip6");
	assert_int_equal(snapshot_take(&s, false), 0);
	assert_int_equal(s.count, 1025);
	assert_int_equal(s.computed, 1);
	assert_int_equal(s.row[0].line.number, 100);
	assert_int_equal(s.row[0].rules, 2);
	assert_int_equal(s.row[0].reached, 1);
	assert_int_equal(s.row[0].rule_packets, 9);
	assert_true(s.row[0].rules_counted && s.row[0].ipv4 && s.row[0].ipv6);
	assert_false(s.row[0].bypass || s.row[0].owned);
	assert_int_equal(s.row[1].rules, 1);
	assert_int_equal(s.row[1].reached, 0);
	assert_true(s.row[1].bypass && s.row[1].ipv4 && !s.row[1].ipv6);
	assert_int_equal(s.row[1023].line.number, 1123);
	assert_int_equal(s.row[1024].line.number, 5000);
	assert_int_equal(s.row[1024].rules, 1);
	assert_true(s.row[1024].owned);
	snapshot_free(&s);
	/* beyond the last rule */
	rule[1].first = rule[1].last = 6000;
	rule[1].counted = false;
	rules = 2;
	assert_int_equal(snapshot_take(&s, false), 0);
	assert_int_equal(s.computed, 0);
	assert_int_equal(s.count, 1026);
	assert_int_equal(s.row[1025].line.number, 6000);
	assert_false(s.row[1025].rules_counted);
	snapshot_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(json_has_each_counter_by_its_name, end),
		cmocka_unit_test_teardown(metrics_have_each_counter_by_its_name, end),
		cmocka_unit_test_teardown(table_has_totals_and_rates, end),
		cmocka_unit_test_teardown(json_and_metrics_are_printed_in_full, end),
		cmocka_unit_test_teardown(table_has_a_line_of_each_kind, end),
		cmocka_unit_test_teardown(table_is_as_wide_as_the_terminal, end),
		cmocka_unit_test(rule_with_the_problem_is_found),
		cmocka_unit_test(rule_to_remove_is_one_without_bypass),
		cmocka_unit_test_teardown(problems_of_queues_with_an_owner_are_found, end),
		cmocka_unit_test_teardown(problems_of_queues_without_an_owner_are_found, end),
		cmocka_unit_test(families_of_a_row_are_those_of_its_rules),
		cmocka_unit_test(stuck_queue_decides_no_packet_meanwhile),
		cmocka_unit_test(rows_are_sorted_and_have_their_owners),
		cmocka_unit_test(unreadable_table_is_probed),
		cmocka_unit_test(rules_are_counted_at_their_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
