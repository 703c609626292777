/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation. libpcap compiles the condition of each rule (see expression.c), and the programs are laid
 * end to end: "no match" becomes a jump to the next program, "match" returns the number of the rule. Each
 * instruction is replaced by one instruction, so no offset inside a program changes. A packet needs one call of the
 * interpreter for any number of rules. To continue after rule i, start at the first instruction of rule i + 1: the
 * programs share no state, because libpcap's code sets every register and memory cell before it reads it.
 *
 * If a rule has predicates about metadata, its expression must confirm the match. A packet that is not plain, or is
 * too short for the bytes that a program reads, is matched by the expressions alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <pcap/pcap.h>
#include "filter/ruleset.h"

#define NO_MATCH UINT32_MAX

static void rule_free(struct rule *rule)
{
	for (unsigned i = 0; i < rule->actions; i++)
		action_free(&rule->action[i]);
	free(rule->action);
	expression_free(rule->expression);
	pcap_freecode(&rule->candidates);
	free(rule->text);
}

/* Parses actions, separated by commas. */
static int parse_actions(struct rule *rule, struct cursor *c)
{
	for (;;) {
		struct action *grown = realloc(rule->action, (rule->actions + 1) * sizeof(*grown));
		int err;

		if (grown == NULL)
			return -ENOMEM;
		rule->action = grown;
		err = action_parse(&grown[rule->actions++], c);
		if (err < 0)
			return err;
		rule->ends = action_ends(&grown[rule->actions - 1]);
		cursor_skip_space(c);
		if (*c->at != ',')
			return 0;
		if (rule->ends)
			return cursor_fail(c, c->at, "no action can follow \"%s\", which is terminating",
					   action_name(grown[rule->actions - 1].type));
		c->at++;
	}
}

static int rule_parse(struct rule *rule, const char *text, struct rule_error *e)
{
	struct cursor c;
	int err;

	rule->text = strdup(text);
	if (rule->text == NULL)
		return -ENOMEM;
	c = (struct cursor){ .text = rule->text, .at = rule->text, .e = e };
	if (strlen(text) > RULE_TEXT_MAX)
		return cursor_fail(&c, c.at + RULE_TEXT_MAX, "a rule has %d characters at most",
				   RULE_TEXT_MAX);
	err = parse_actions(rule, &c);
	if (err < 0)
		return err;
	if (cursor_take(&c, "if") && *c.at == '\0')
		return cursor_fail(&c, c.at, "a condition must follow \"if\"");
	rule->condition = c.at;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the rule has the text, and frees it */
	err = expression_parse(&rule->expression, &c);
	if (err < 0)
		return err;
	rule->confirm = expression_has_metadata(rule->expression);
	return expression_candidates(rule->expression, false, &rule->candidates);
}

int ruleset_add(struct ruleset *set, const char *text, struct rule_error *e)
{
	struct rule *grown, rule = { .text = NULL };
	int err;

	*e = (struct rule_error){ .offset = 0 };
	err = rule_parse(&rule, text, e);
	if (err < 0)
		goto fail;
	err = -ENOMEM;
	grown = realloc(set->rule, (set->count + 1) * sizeof(*grown));
	if (grown == NULL)
		goto fail;
	set->rule = grown;
	memcpy(&set->rule[set->count++], &rule, sizeof(rule));
	expression_add_reach(rule.expression, &set->reach);
	return 0;
fail:
	rule_free(&rule);
	return err;
}

int ruleset_finish(struct ruleset *set)
{
	unsigned total = 1, at = 0;

	for (unsigned i = 0; i < set->count; i++)
		total += set->rule[i].candidates.bf_len;
	set->code = calloc(total, sizeof(*set->code));
	set->start = calloc(set->count + 1, sizeof(*set->start));
	if (set->code == NULL || set->start == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < set->count; i++) {
		const struct bpf_program *p = &set->rule[i].candidates;

		set->start[i] = at;
		for (unsigned j = 0; j < p->bf_len; j++) {
			struct bpf_insn insn = p->bf_insns[j];

			if (BPF_CLASS(insn.code) == BPF_RET && insn.k == 2)
				insn.k = i + 1;
			else if (BPF_CLASS(insn.code) == BPF_RET)
				insn = (struct bpf_insn)BPF_STMT(BPF_JMP | BPF_JA, p->bf_len - j - 1);
			set->code[at + j] = insn;
		}
		at += p->bf_len;
	}
	set->start[set->count] = at;
	set->code[at] = (struct bpf_insn)BPF_STMT(BPF_RET | BPF_K, NO_MATCH);
	return 0;
}

void ruleset_free(struct ruleset *set)
{
	for (unsigned i = 0; i < set->count; i++)
		rule_free(&set->rule[i]);
	free(set->rule);
	free(set->code);
	free(set->start);
	*set = (struct ruleset){ .rule = NULL };
}

static unsigned match_one_by_one(const struct ruleset *set, unsigned from, struct subject *s)
{
	for (unsigned i = from; i < set->count; i++)
		if (expression_match(set->rule[i].expression, s))
			return i;
	return set->count;
}

unsigned ruleset_match(const struct ruleset *set, unsigned from, struct subject *s)
{
	const struct view *v = s->view;

	if (!expression_is_plain(&set->reach, v))
		return match_one_by_one(set, from, s);
	while (from < set->count) {
		unsigned found = bpf_filter(&set->code[set->start[from]], v->data, v->full_len, v->len);

		if (found == 0)
			return match_one_by_one(set, from, s);
		if (found == NO_MATCH)
			break;
		from = found - 1;
		if (!set->rule[from].confirm || expression_match(set->rule[from].expression, s))
			return from;
		from++;
	}
	return set->count;
}

bool ruleset_may_match(const struct ruleset *set, const struct rule *rule, const struct ipq_packet *packet,
		       struct view *v)
{
	view_set(v, packet->payload, packet->payload_len, packet->full_len);
	return !expression_is_plain(&set->reach, v) ||
	       bpf_filter(rule->candidates.bf_insns, v->data, v->full_len, v->len) != 1;
}

const struct action *rule_action(const struct rule *rule, enum action_type type)
{
	for (unsigned i = 0; i < rule->actions; i++)
		if (rule->action[i].type == type)
			return &rule->action[i];
	return NULL;
}

const struct rule *ruleset_find(const struct ruleset *set, enum action_type type)
{
	for (unsigned i = 0; i < set->count; i++)
		if (rule_action(&set->rule[i], type) != NULL)
			return &set->rule[i];
	return NULL;
}

bool ruleset_needs(const struct ruleset *set, unsigned needs)
{
	unsigned found = 0;

	for (unsigned i = 0; i < set->count; i++)
		for (unsigned j = 0; j < set->rule[i].actions; j++)
			found |= set->rule[i].action[j].needs;
	return (found & needs) != 0;
}

/* Returns the action that decides a flow. It can only be the last action of the rule. */
const struct action *rule_flow(const struct rule *rule)
{
	const struct action *last = &rule->action[rule->actions - 1];

	return last->flow ? last : NULL;
}
