/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues and rules: whether they meet. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "doctor/doctor.h"

#define QUEUES_MAX 32 /* that get a line */

/* A rule to try with, in the way that works here. */
static const char *example(const struct doctor *d, uint32_t queue, char *to, size_t room)
{
	if (d->method == NULL)
		return NULL;
	if (strcmp(d->method, "nft") == 0)
		snprintf(
			to, room,
			"sudo nft 'add table ip q; add chain ip q in { type filter hook input priority 0; }; "
			"add rule ip q in icmp type echo-request queue num %" PRIu32 "'",
			queue);
	else
		snprintf(to, room,
			 "sudo %s -A INPUT -p icmp -j NFQUEUE --queue-num %" PRIu32
			 "   (pings, as an example)",
			 d->method, queue);
	return to;
}

static const struct queue_rule *rule_of(const struct snapshot *s, uint32_t queue)
{
	for (size_t i = 0; i < s->firewall.count; i++)
		if (queue_rule_feeds(&s->firewall.rule[i], queue) && !s->firewall.rule[i].bypass)
			return &s->firewall.rule[i];
	return NULL;
}

static void say_orphan(struct doctor *d, const struct snapshot *s, const struct queue_row *row)
{
	const struct queue_rule *rule = rule_of(s, row->line.number);
	char removal[640] = "", text[800];

	if (rule != NULL)
		queue_rule_removal(rule, removal, sizeof(removal));
	snprintf(text, sizeof(text), "start the program%s%s",
		 removal[0] != '\0' ? ", or take the rule away: sudo " : "", removal);
	doctor_say(d, CHECK_FAIL, "queue", text,
		   "nobody owns queue %" PRIu32 ", and a rule feeds it: its packets are dropped",
		   row->line.number);
}

static void say_lossy(struct doctor *d, const struct queue_row *row)
{
	if (!row->counted || (row->line.queue_dropped == 0 && row->line.user_dropped == 0))
		return;
	doctor_say(d, CHECK_WARNING, "losses", "ipq status --watch",
		   "queue %" PRIu32 " has lost %" PRIu32 " packets because it was full, %" PRIu32
		   " because its owner's receive buffer was",
		   row->line.number, row->line.queue_dropped, row->line.user_dropped);
}

static void say_owned(struct doctor *d, const struct snapshot *s, const struct queue_row *row)
{
	char who[96] = "a process that cannot be seen from here", text[256];

	if (row->pid != 0)
		snprintf(who, sizeof(who), "process %" PRId32 " (%.63s)", (int32_t)row->pid, row->command);
	if (row->counted && row->line.copy_mode == 0)
		doctor_say(d, CHECK_FAIL, "queue", "ipq_set_mode(h, IPQ_COPY_PACKET, ...) in the program",
			   "queue %" PRIu32 " is owned by %s, which has set no copy mode: it gets nothing",
			   row->line.number, who);
	else if (row_is_idle(s, row))
		doctor_say(d, CHECK_FAIL, "queue", example(d, row->line.number, text, sizeof(text)),
			   "queue %" PRIu32 " is owned by %s, but no rule feeds it: nothing arrives",
			   row->line.number, who);
	else if (row->rules == 0)
		doctor_say(d, CHECK_WARNING, "queue", "sudo ipq doctor",
			   "queue %" PRIu32 " is taken by %s; no rule for it can be seen", row->line.number,
			   who);
	else
		doctor_say(d, CHECK_OK, "queue", NULL,
			   "queue %" PRIu32
			   " is taken by %s and fed by %u rule%s; a second program is refused (EBUSY)",
			   row->line.number, who, row->rules, row->rules == 1 ? "" : "s");
	say_lossy(d, row);
}

static void say_row(struct doctor *d, const struct snapshot *s, const struct queue_row *row)
{
	if (row->owned)
		say_owned(d, s, row);
	else if (s->blind)
		doctor_say(d, CHECK_WARNING, "queue", "sudo ipq doctor",
			   "who owns queue %" PRIu32 " cannot be told", row->line.number);
	else if (row_is_orphan(s, row))
		say_orphan(d, s, row);
	else
		doctor_say(d, CHECK_WARNING, "queue", "start the program",
			   "nobody owns queue %" PRIu32 "; its rules have bypass, so packets pass unseen",
			   row->line.number);
}

void doctor_queues(struct doctor *d, const struct snapshot *s)
{
	bool asked_for = false;
	char text[256];

	for (size_t i = 0; i < s->count; i++) {
		asked_for |= s->row[i].line.number == d->queue;
		if (i < QUEUES_MAX || s->row[i].line.number == d->queue)
			say_row(d, s, &s->row[i]);
	}
	if (s->count > QUEUES_MAX)
		doctor_say(d, CHECK_WARNING, "queue", "ipq status", "%zu queues; not all were looked at",
			   s->count);
	if (s->blind && !asked_for)
		doctor_say(d, CHECK_WARNING, "queue", "sudo ipq doctor",
			   "who owns queue %" PRIu32 " cannot be told", d->queue);
	else if (!asked_for)
		doctor_say(d, CHECK_WARNING, "queue", example(d, d->queue, text, sizeof(text)),
			   "nobody owns queue %" PRIu32 ", and no rule %s feeds it", d->queue,
			   firewall_complete(&s->firewall) ? "here" : "that can be seen");
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
	char refused[128] = ""; /* room for all names */
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
			doctor_say(d, CHECK_OK, "rules", NULL, "%u of %s queue%s", n, firewall_tool(kind),
				   n == 1 ? "s" : "");
	}
	if (used > 0)
		doctor_say(d, CHECK_WARNING, "rules", "sudo ipq doctor", "those of %s could not be read",
			   refused);
	if (legacy && nft)
		doctor_say(d, CHECK_WARNING, "rules", "iptables-legacy-save; nft list ruleset",
			   "both iptables-legacy and nftables queue: a packet may be queued twice");
	if (total == 0 && firewall_complete(f))
		doctor_say(d, CHECK_OK, "rules", NULL, "none here queues");
	if (total > 0)
		doctor_say(d, CHECK_OK, "bypass", NULL,
			   bypass == total ? "%u of %u rules let packets pass while nobody owns the queue"
					   : "%u of %u rules let packets pass while nobody owns the queue; "
					     "the others drop them "
					     "(--queue-bypass, or \"queue flags bypass\")",
			   bypass, total);
}
