/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks of queues and of the rules that feed them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "doctor/doctor.h"

#define QUEUES_MAX 32 /* maximum number of printed queues */

/* Writes an example of a rule, for a tool that works on this machine. */
static void example(const struct doctor *d, uint32_t queue, char *to, size_t room)
{
	to[0] = '\0';
	if (d->method == NULL)
		return;
	if (strcmp(d->method, "nft") == 0)
		snprintf(
			to, room,
			"sudo nft 'add table ip q; add chain ip q in { type filter hook input priority 0; }; "
			"add rule ip q in icmp type echo-request queue num %" PRIu32 "'",
			queue);
	else
		snprintf(to, room,
			 "sudo %s -A INPUT -p icmp -j NFQUEUE --queue-num %" PRIu32 "   (for example, pings)",
			 d->method, queue);
}

static void say_lossy(struct doctor *d, const struct queue_row *row)
{
	if (!row->counted || (row->line.queue_dropped == 0 && row->line.user_dropped == 0))
		return;
	doctor_say(d, CHECK_WARNING, "losses", "ipq status --watch",
		   "queue %" PRIu32 " lost %" PRIu32 " packets because the queue was full, and %" PRIu32
		   " because its owner's receive buffer was full",
		   row->line.number, row->line.queue_dropped, row->line.user_dropped);
}

static const char *families(const struct queue_row *row)
{
	return row->ipv4 && row->ipv6 ? "" : row->ipv4 ? ", IPv4 only" : ", IPv6 only";
}

/* Reports a queue to which rules send packets. */
static void say_fed(struct doctor *d, const struct queue_row *row, const char *who)
{
	char met[64] = "";

	if (row->rules_counted && row->rule_packets == 0)
		snprintf(met, sizeof(met), "; no packet has matched it so far");
	else if (row->rules_counted)
		snprintf(met, sizeof(met), "; %" PRIu64 " packets have matched it", row->rule_packets);
	doctor_say(d, CHECK_OK, "queue", NULL,
		   "queue %" PRIu32 " is owned by %s and fed by %u rule%s%s%s; another program gets EBUSY",
		   row->line.number, who, row->rules, row->rules == 1 ? "" : "s", families(row), met);
}

static void say_row(struct doctor *d, const struct snapshot *s, const struct queue_row *row)
{
	enum queue_problem problem = row_problem(s, row);
	char who[96] = "a process that is not visible here", text[400], remedy[640];
	bool warning = problem == QUEUE_BYPASSED || problem == QUEUE_FORWARDED || problem == QUEUE_PARTLY ||
		       problem == QUEUE_PASSED;

	if (row->pid != 0)
		snprintf(who, sizeof(who), "process %" PRId32 " (%.63s)", (int32_t)row->pid, row->command);
	row_explain(s, row, text, sizeof(text), remedy, sizeof(remedy));
	if (problem == QUEUE_IDLE && remedy[0] == '\0')
		example(d, row->line.number, remedy, sizeof(remedy));
	if (!row->owned && s->blind)
		doctor_say(d, CHECK_WARNING, "queue", "sudo ipq doctor",
			   "the owner of queue %" PRIu32 " is unknown", row->line.number);
	else if (problem == QUEUE_OK && row->rules == 0)
		doctor_say(d, CHECK_WARNING, "queue", "sudo ipq doctor",
			   "queue %" PRIu32 " is owned by %s; no rule that feeds it is visible",
			   row->line.number, who);
	else if (problem == QUEUE_OK)
		say_fed(d, row, who);
	else if (row->owned)
		doctor_say(d, warning ? CHECK_WARNING : CHECK_FAIL, "queue",
			   remedy[0] != '\0' ? remedy : NULL, "queue %" PRIu32 ", owned by %s: %s",
			   row->line.number, who, text);
	else
		doctor_say(d, warning ? CHECK_WARNING : CHECK_FAIL, "queue",
			   remedy[0] != '\0' ? remedy : "start the program", "queue %" PRIu32 ": %s",
			   row->line.number, text);
	if (row->owned)
		say_lossy(d, row);
}

void doctor_queues(struct doctor *d, const struct snapshot *s)
{
	bool asked_for = false;
	char text[256];

	example(d, d->queue, text, sizeof(text));
	for (size_t i = 0; i < s->count; i++) {
		asked_for |= s->row[i].line.number == d->queue;
		if (i < QUEUES_MAX || s->row[i].line.number == d->queue)
			say_row(d, s, &s->row[i]);
	}
	if (s->count > QUEUES_MAX)
		doctor_say(d, CHECK_WARNING, "queue", "ipq status", "%zu queues; not all are shown",
			   s->count);
	if (s->blind && !asked_for)
		doctor_say(d, CHECK_WARNING, "queue", "sudo ipq doctor",
			   "the owner of queue %" PRIu32 " is unknown", d->queue);
	else if (!asked_for)
		doctor_say(d, CHECK_WARNING, "queue", text[0] != '\0' ? text : NULL,
			   "no process owns queue %" PRIu32 ", and no %srule feeds it", d->queue,
			   firewall_complete(&s->firewall) ? "" : "visible ");
}

static unsigned count_kind(const struct firewall *f, enum firewall_kind kind, unsigned *bypass)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->count; i++) {
		n += f->rule[i].kind == kind;
		*bypass += f->rule[i].kind == kind && f->rule[i].bypass;
	}
	return n;
}

void doctor_rules(struct doctor *d, const struct snapshot *s)
{
	const struct firewall *f = &s->firewall;
	unsigned total = 0, bypass = 0, n;
	bool legacy = false, nft = false;
	char refused[128] = ""; /* an array with room for all names */
	size_t used = 0;

	for (enum firewall_kind kind = 0; kind < FIREWALL_KINDS; kind++) {
		n = count_kind(f, kind, &bypass);
		total += n;
		legacy |= n > 0 && kind <= FIREWALL_IP6TABLES_LEGACY;
		nft |= n > 0 && kind > FIREWALL_IP6TABLES_LEGACY;
		if (f->state[kind] == FIREWALL_REFUSED)
			used += (size_t)snprintf(refused + used, sizeof(refused) - used, "%s%s",
						 used > 0 ? ", " : "", firewall_tool(kind));
		else if (n > 0)
			doctor_say(d, CHECK_OK, "rules", NULL, "%u rule%s of %s queue packets", n,
				   n == 1 ? "" : "s", firewall_tool(kind));
	}
	if (used > 0)
		doctor_say(d, CHECK_WARNING, "rules", "sudo ipq doctor", "the rules of %s could not be read",
			   refused);
	if (legacy && nft)
		doctor_say(d, CHECK_WARNING, "rules", "iptables-legacy-save; nft list ruleset",
			   "both iptables-legacy and nftables queue packets: a packet may be queued twice");
	if (total == 0 && firewall_complete(f))
		doctor_say(d, CHECK_OK, "rules", NULL, "no rule here queues packets");
	if (total > 0)
		doctor_say(d, CHECK_OK, "bypass", NULL,
			   bypass == total
				   ? "%u of %u rules let packets pass while no process owns the queue"
				   : "%u of %u rules let packets pass while no process owns the queue; "
				     "the others drop them "
				     "(--queue-bypass, or \"queue flags bypass\")",
			   bypass, total);
}
