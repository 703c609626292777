/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of `ipq filter`: each has a condition, and actions that are taken if it matches. Rules are tried in order.
 * Some actions leave the packet to the next rule, others end the processing. Any number of threads may read a parsed
 * set at the same time; only the clocks of rates change in it, and they are atomic.
 */
#ifndef IPQ_FILTER_RULESET_H
#define IPQ_FILTER_RULESET_H

#include "filter/actions.h"
#include "filter/expression.h"

struct rule {
	char *text;	       /* the text of the rule as it was written */
	const char *condition; /* the condition, inside `text`; "" matches everything */
	struct action *action;
	unsigned actions;
	bool ends;    /* no further rule is applied to a packet that matches */
	bool confirm; /* the condition tests metadata: a match of `candidates` must be confirmed */
	struct expression *expression;
	struct bpf_program candidates;
};

struct ruleset {
	struct rule *rule;
	unsigned count;
	struct expression_reach reach;
	struct bpf_insn *code; /* the programs of all rules in one, which returns the rule's number + 1 */
	unsigned *start;       /* the first instruction of each rule in `code`; start[count] is the end */
};

/* Adds a rule at the end. 0, -EINVAL with *e filled in, -ENOMEM. */
int ruleset_add(struct ruleset *set, const char *text, struct rule_error *e);
/* Links the filters into one program. Call it once, when all rules are added. 0 or -ENOMEM. */
int ruleset_finish(struct ruleset *set);
void ruleset_free(struct ruleset *set);

/* The index of the first rule, from `from` on, that matches; `count` if none does. */
unsigned ruleset_match(const struct ruleset *set, unsigned from, struct subject *s);

/* Whether this rule could match the packet if its metadata is ignored. v: working memory. */
bool ruleset_may_match(const struct ruleset *set, const struct rule *rule, const struct ipq_packet *packet,
		       struct view *v);

/* The rule's action of this type, or NULL. */
const struct action *rule_action(const struct rule *rule, enum action_type type);
/* The first rule of the set that has such an action; NULL: none. */
const struct rule *ruleset_find(const struct ruleset *set, enum action_type type);

/* Whether an action of the set has one of these requirements. needs: bits of enum action_needs. */
bool ruleset_needs(const struct ruleset *set, unsigned needs);
/* The rule's action that decides the rest of a flow, or NULL. */
const struct action *rule_flow(const struct rule *rule);

#endif
