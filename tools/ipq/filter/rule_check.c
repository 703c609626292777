/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/text.h"
#include "filter/rule_check.h"

static bool refuse(const struct rule *r, const char *why)
{
	text_complain("ipq filter", "\"%s\": %s", r->text, why);
	return false;
}

/*
 * Whether the rule can be used with a capture file, which has one queue, and lacks metadata that only the kernel
 * has.
 */
static bool fits_file(const struct rule *r)
{
	uint32_t flags = expression_flags(r->expression);

	if (rule_action(r, ACTION_QUEUE) != NULL)
		return refuse(r, "a capture file has no other queue");
	if (rule_action(r, ACTION_CTMARK) != NULL || (flags & IPQ_O_CONNTRACK) != 0)
		return refuse(r, "a capture file has no connection state: state and ctmark cannot be used");
	if ((flags & IPQ_O_OWNER) != 0)
		return refuse(r, "a capture file has no owners of packets: uid and gid cannot be used");
	return true;
}

/*
 * Whether the rule leaves our bits of the mark unchanged. An accepted packet has our mark until it has passed our
 * rules; then these bits are cleared.
 */
static bool keeps_mark_bits(const struct rule *r, const struct session *s)
{
	const struct action *mark = rule_action(r, ACTION_MARK), *repeat = rule_action(r, ACTION_REPEAT);
	uint32_t ours = s->mark_bits != 0 ? s->mark_bits : RULES_MARK_BITS;
	char why[160];

	if (s->hooks == 0 || s->via == RULES_NFTABLES ||
	    (((mark != NULL ? mark->number : 0) | (repeat != NULL ? repeat->number : 0)) & ours) == 0)
		return true;
	snprintf(why, sizeof(why),
		 "ipq needs the bits 0x%x of packet marks for itself: use other bits, or choose those of ipq "
		 "with "
		 "--mark-bits",
		 ours);
	return refuse(r, why);
}

static bool fits_queue(const struct rule *r, const struct session *s)
{
	const struct action *queue = rule_action(r, ACTION_QUEUE);

	if (queue != NULL && (s->hooks == 0 || s->queue_given) && queue->number >= s->queue_first &&
	    queue->number <= s->queue_last)
		return refuse(r, "packets come from this queue: they would be queued again for ever");
	if (rule_action(r, ACTION_DUPLICATE) != NULL && (s->hooks & (1U << 0 | 1U << 1)) != 0)
		return refuse(r, "duplicate sends its copies from this machine: it works in FORWARD, "
				 "OUTPUT and POSTROUTING, not in PREROUTING and INPUT");
	if (rule_action(r, ACTION_REJECT) != NULL && (s->hooks & 1U << 4) != 0)
		return refuse(r, "reject works in PREROUTING, INPUT, FORWARD and OUTPUT, not in POSTROUTING");
	return keeps_mark_bits(r, s);
}

/* The first action of the rule that must be applied to every packet; NULL: none. */
static const struct action *needs_each_packet(const struct rule *r)
{
	for (unsigned i = 0; i < r->actions; i++)
		if (!action_ends(&r->action[i]))
			return &r->action[i];
	return NULL;
}

/* Whether the rule leaves our bits of connection marks unchanged. They record the decision on a flow. */
static bool keeps_flow_bits(const struct rule *r, const struct session *s)
{
	const struct action *ctmark = rule_action(r, ACTION_CTMARK);
	uint32_t ours = s->mark_bits != 0 ? s->mark_bits : RULES_MARK_BITS;
	char why[160];

	if (s->hooks == 0 || ctmark == NULL || (ctmark->number & ours) == 0)
		return true;
	snprintf(why, sizeof(why),
		 "rules with \"flow\" need the bits 0x%x of connection marks: use other bits, or choose "
		 "those of "
		 "ipq with --mark-bits",
		 ours);
	return refuse(r, why);
}

/*
 * Whether other rules allow the decision on a flow. No rule is applied to the later packets of a decided flow, so
 * no other rule may need them.
 */
static bool fits_flow(const struct ruleset *set, const struct rule *flow)
{
	for (unsigned i = 0; i < set->count; i++) {
		const struct rule *r = &set->rule[i];
		const struct action *a = needs_each_packet(r);
		char why[RULE_TEXT_MAX + 200];

		if (a == NULL || !expression_may_share_flow(r->expression, flow->expression))
			continue;
		snprintf(why, sizeof(why),
			 "\"%s\" needs every packet, but later packets of a decided flow reach no rule: give "
			 "\"%s\" a condition that excludes these packets, or remove \"flow\"",
			 action_name(a->type), r->text);
		return refuse(flow, why);
	}
	return true;
}

static bool flows_fit(const struct ruleset *set, const struct session *s, bool records)
{
	bool fit = true;

	for (unsigned i = 0; i < set->count; i++) {
		const struct rule *r = &set->rule[i];

		if (rule_flow(r) == NULL)
			continue;
		for (unsigned j = 0; j < set->count; j++)
			fit &= keeps_flow_bits(&set->rule[j], s);
		if (records)
			fit &= refuse(r, "-w records every packet, but ipq does not get the later packets of "
					 "a decided flow: remove \"flow\" or -w");
		else
			fit &= fits_flow(set, r);
	}
	return fit;
}

bool rules_fit(const struct ruleset *set, const struct session *s, bool records)
{
	bool fit = flows_fit(set, s, records);

	for (unsigned i = 0; i < set->count; i++)
		fit &= s->source != NULL ? fits_file(&set->rule[i]) : fits_queue(&set->rule[i], s);
	return fit;
}

/*
 * Warns if a rewrite changes the length of text but only one direction is queued. Both directions of the connection
 * must be queued.
 */
static void warn_one_way(const struct active_rules *rules, const struct session *s)
{
	const struct rule *r = active_rules_resize_tcp(rules);
	unsigned input = 1U << 1, forward = 1U << 2, output = 1U << 3;

	if (r == NULL || s->hooks == 0 || (s->hooks & forward) != 0 ||
	    ((s->hooks & input) != 0 && (s->hooks & output) != 0))
		return;
	text_complain("ipq filter",
		      "\"%s\" changes the length of TCP payload: packets of both directions must pass, or "
		      "connections stall. Use --on INPUT,OUTPUT for connections of this machine, or --on "
		      "FORWARD on a router.",
		      r->text);
}

void rules_warn(const struct active_rules *rules, const struct session *s)
{
	const struct rule *first, *second = active_rules_now_reached(rules, &first);
	int actions;

	warn_one_way(rules, s);
	if (second == NULL || s->quiet)
		return;
	actions = (int)(first->condition - first->text);
	while (actions > 0 && first->text[actions - 1] == ' ')
		actions--;
	text_complain(
		"ipq filter",
		"note: since version 0.2 packets continue with the next rule after \"%s\", so that \"%s\" "
		"applies to them, too. To accept them there, write: %.*s, accept%s%s",
		first->text, second->text, actions, first->text, first->condition[0] != '\0' ? " if " : "",
		first->condition);
}
