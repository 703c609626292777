/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Describes the problem of a queue as text, for `ipq status` and `ipq doctor`. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "status/snapshot.h"

bool row_is_orphan(const struct snapshot *s, const struct queue_row *row)
{
	return !s->blind && !row->owned && row->rules > 0 && !row->bypass;
}

bool row_is_idle(const struct snapshot *s, const struct queue_row *row)
{
	return row_problem(s, row) == QUEUE_IDLE;
}

/* Whether the rule is in the chain or nftables table of an ipq process that has this queue. */
static bool is_ipq_rule(const struct queue_rule *rule, uint32_t queue)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%" PRIu32, rule->kind == FIREWALL_NFT ? "ipq_" : "ipq-", queue);
	return strcmp(rule->kind == FIREWALL_NFT ? rule->table : rule->chain, name) == 0;
}

/* Finds a rule that names the queue: preferably a rule of ipq, then a rule without bypass. */
static const struct queue_rule *rule_of(const struct snapshot *s, uint32_t queue, bool *ipq)
{
	const struct queue_rule *found = NULL;

	*ipq = false;
	for (size_t i = 0; i < s->firewall.count && !*ipq; i++) {
		const struct queue_rule *rule = &s->firewall.rule[i];

		if (!queue_rule_feeds(rule, queue))
			continue;
		*ipq = is_ipq_rule(rule, queue);
		if (found == NULL || *ipq || (found->bypass && !rule->bypass))
			found = rule;
	}
	return found;
}

/* Finds a rule that no packet reaches: preferably one whose packets an earlier rule decides. */
static const struct queue_rule *missed_rule(const struct snapshot *s, uint32_t queue)
{
	const struct queue_rule *found = NULL;

	for (size_t i = 0; i < s->firewall.count; i++) {
		const struct queue_rule *rule = &s->firewall.rule[i];

		if (!queue_rule_feeds(rule, queue) || !rule->unreached || rule->queued)
			continue;
		if (rule->blocker[0] != '\0')
			return rule;
		found = rule;
	}
	return found;
}

static enum queue_problem missed_problem(const struct snapshot *s, const struct queue_row *row)
{
	const struct queue_rule *rule = missed_rule(s, row->line.number);

	if (rule == NULL)
		return QUEUE_OK;
	return row->reached > 0 ? QUEUE_PARTLY : rule->blocker[0] != '\0' ? QUEUE_SHADOWED : QUEUE_UNREACHED;
}

/* The rule of ipq before which another program's rule accepts packets, or NULL. */
static const struct queue_rule *passed_rule(const struct snapshot *s, uint32_t queue)
{
	for (size_t i = 0; i < s->firewall.count; i++)
		if (queue_rule_feeds(&s->firewall.rule[i], queue) && s->firewall.rule[i].passing[0] != '\0')
			return &s->firewall.rule[i];
	return NULL;
}

/*
 * Checks the rules of ipq. There should be rules for both families, and they should be the first ones of their
 * hooks.
 */
static enum queue_problem problem_of_ipq(const struct snapshot *s, const struct queue_row *row)
{
	bool ipq;

	rule_of(s, row->line.number, &ipq);
	if (!ipq)
		return QUEUE_OK;
	if (passed_rule(s, row->line.number) != NULL)
		return QUEUE_PASSED;
	return s->ipv6 && row->ipv4 != row->ipv6 && firewall_complete(&s->firewall) ? QUEUE_ONE_FAMILY
										    : QUEUE_OK;
}

static enum queue_problem owned_problem(const struct snapshot *s, const struct queue_row *row)
{
	enum queue_problem missed;

	if (row->counted && row->line.copy_mode == 0)
		return QUEUE_NO_MODE;
	if (row->stuck)
		return QUEUE_STUCK;
	if (row->rules > 0) {
		missed = missed_problem(s, row);
		return missed != QUEUE_OK ? missed : problem_of_ipq(s, row);
	}
	if (s->computed > 0 || !firewall_complete(&s->firewall))
		return QUEUE_OK;
	return row->counted && row->line.last_id > 0 ? QUEUE_FORWARDED : QUEUE_IDLE;
}

enum queue_problem row_problem(const struct snapshot *s, const struct queue_row *row)
{
	bool ipq;

	if (row->owned)
		return owned_problem(s, row);
	if (s->blind || row->rules == 0)
		return QUEUE_OK;
	if (row->bypass)
		return QUEUE_BYPASSED;
	rule_of(s, row->line.number, &ipq);
	return ipq ? QUEUE_BLOCKED : QUEUE_ORPHAN;
}

/* Explains why a rule is not reached. */
static void explain_missed(const struct snapshot *s, const struct queue_row *row, char *text, size_t size,
			   char *remedy, size_t remedy_size)
{
	const struct queue_rule *rule = missed_rule(s, row->line.number);
	bool shadowed = rule->blocker[0] != '\0', partly = row->reached > 0;

	if (shadowed)
		snprintf(text, size, "an earlier rule decides %s packets, so %s: %s",
			 partly ? "one rule's" : "its", partly ? "that rule queues none" : "none arrive",
			 rule->blocker);
	else
		snprintf(text, size, "no hook calls the chain %s of %s rule, so %s", rule->chain,
			 partly ? "one" : "its",
			 partly ? "that rule queues no packets" : "no packets arrive");
	if (rule->kind == FIREWALL_NFT)
		snprintf(remedy, remedy_size, "sudo nft -a list table %s %s", rule->family, rule->table);
	else
		snprintf(remedy, remedy_size, "sudo %s -t %s -S   (%s)", firewall_tool(rule->kind),
			 rule->table,
			 shadowed ? "and move that rule after it" : "or restart the program that made it");
}

static void explain_passed(const struct snapshot *s, const struct queue_row *row, char *text, size_t size,
			   char *remedy, size_t remedy_size)
{
	const struct queue_rule *rule = passed_rule(s, row->line.number);

	snprintf(text, size, "packets that an earlier rule accepts bypass ipq: %s", rule->passing);
	snprintf(remedy, remedy_size, "sudo %s -t %s -S   (and move that rule after it)",
		 firewall_tool(rule->kind), rule->table);
}

void row_explain(const struct snapshot *s, const struct queue_row *row, char *text, size_t size, char *remedy,
		 size_t remedy_size)
{
	static const char *const texts[] = {
		[QUEUE_OK] = "",
		[QUEUE_BLOCKED] =
			"blocked: the ipq process that owned it has ended, and its packets are dropped",
		[QUEUE_ORPHAN] =
			"no process owns it, and a rule without bypass feeds it: its packets are dropped",
		[QUEUE_BYPASSED] =
			"no process owns it; its rules have bypass: packets pass without a verdict",
		[QUEUE_NO_MODE] = "its owner has not set a copy mode: it receives nothing",
		[QUEUE_STUCK] =
			("packets wait and none was decided for half a second: its owner does not read them, "
			 "or holds them"),
		[QUEUE_FORWARDED] = "no rule names it: it receives packets only by verdicts of another queue",
		[QUEUE_ONE_FAMILY] = "the rules of ipq for IPv4 are missing: IPv4 packets bypass ipq",
		[QUEUE_IDLE] = "no rule feeds it: its owner receives no packets",
	};
	enum queue_problem problem = row_problem(s, row);
	const struct queue_rule *rule;
	bool ipq;

	remedy[0] = '\0';
	if (problem == QUEUE_SHADOWED || problem == QUEUE_UNREACHED || problem == QUEUE_PARTLY) {
		explain_missed(s, row, text, size, remedy, remedy_size);
		return;
	}
	if (problem == QUEUE_PASSED) {
		explain_passed(s, row, text, size, remedy, remedy_size);
		return;
	}
	snprintf(text, size, "%s",
		 problem == QUEUE_ONE_FAMILY && row->ipv4 ? "the rules of ipq for IPv6 are missing: "
							    "IPv6 packets bypass ipq"
							  : texts[problem]);
	rule = rule_of(s, row->line.number, &ipq);
	if (problem == QUEUE_BLOCKED)
		snprintf(remedy, remedy_size, "sudo ipq clean   (or start ipq filter on that hook again)");
	else if (problem == QUEUE_ORPHAN && rule != NULL)
		queue_rule_removal(rule, remedy, remedy_size);
	else if (problem == QUEUE_STUCK && row->pid != 0)
		snprintf(remedy, remedy_size, "sudo strace -p %d   (does it read?)", (int)row->pid);
	else if (problem == QUEUE_NO_MODE)
		snprintf(remedy, remedy_size, "ipq_set_mode(h, IPQ_COPY_PACKET, ...) in the program");
	else if (problem == QUEUE_ONE_FAMILY)
		snprintf(remedy, remedy_size, "restart that ipq process");
	else if (problem == QUEUE_IDLE && strcmp(row->command, "ipq") == 0)
		snprintf(remedy, remedy_size, "restart that ipq process, with --on HOOK");
}
