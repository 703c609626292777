/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <pcap/pcap.h>
#include "filter/needs.h"

#define HEADERS 128 /* number of bytes of a packet from which a line about it is printed */
/*
 * Number of bytes in which the transport header must be found. A packet whose extension headers are longer is
 * dropped, because rules cannot be applied to it. RFC 8883 expects nodes to process extension headers of this
 * length.
 */
#define HEADER_CHAIN 1280
#define KERNEL_FILTER_MAX 64 /* maximum number of instructions of a bpf match (XT_BPF_MAX_NUM_INSTR) */

uint32_t active_rules_copy_range(const struct active_rules *p)
{
	uint32_t far = p->set.reach.bytes > HEADERS ? p->set.reach.bytes : HEADERS;

	if (p->set.reach.everywhere || ruleset_needs(&p->set, NEEDS_WHOLE_PACKET))
		return 0;
	return p->set.reach.transport && far < HEADER_CHAIN ? HEADER_CHAIN : far;
}

bool active_rules_need_segments(const struct active_rules *p)
{
	return ruleset_needs(&p->set, NEEDS_SEGMENTS);
}

static bool resizes_tcp(const struct rule *r)
{
	for (unsigned i = 0; i < r->actions; i++)
		if (r->action[i].type == ACTION_REWRITE &&
		    r->action[i].rewrite.from_len != r->action[i].rewrite.to_len &&
		    expression_may_match_tcp(r->expression))
			return true;
	return false;
}

const struct rule *active_rules_resize_tcp(const struct active_rules *p)
{
	for (unsigned i = 0; i < p->set.count; i++)
		if (resizes_tcp(&p->set.rule[i]))
			return &p->set.rule[i];
	return NULL;
}

/* ---- filters for the firewall rule ------------------------------------------------------------------ */

static bool is_constant(const struct bpf_program *program, uint32_t value)
{
	return program->bf_len == 1 && program->bf_insns[0].k == value;
}

/* Adapts the results of a program to the kernel, for which 0 is no match and any other value is a match. */
static void for_kernel(struct bpf_program *program)
{
	for (unsigned i = 0; i < program->bf_len; i++)
		if (BPF_CLASS(program->bf_insns[i].code) == BPF_RET)
			program->bf_insns[i].k = program->bf_insns[i].k == 2 ? UINT16_MAX : 0;
}

static void remove_filters(struct active_rules *p)
{
	for (size_t i = 0; i < p->filters; i++)
		pcap_freecode(&p->filter[i]);
	p->filters = 0;
}

/* Adds the filter of a rule. 1: added. 0: every packet must be queued. -ENOMEM. */
static int add_filter(struct active_rules *p, const struct rule *r, bool segmented)
{
	struct bpf_program *program = &p->filter[p->filters];
	int err = expression_candidates(r->expression, segmented, program);
	bool all, none;

	if (err < 0)
		return err;
	all = is_constant(program, 2);
	none = is_constant(program, 1);
	if (all || none) {
		pcap_freecode(program);
		return none;
	}
	for_kernel(program);
	p->filters++;
	return 1;
}

/* Makes *program also match the packets of `first`. */
static int prepend(struct bpf_program *program, const struct bpf_program *first)
{
	unsigned total = first->bf_len + program->bf_len;
	struct bpf_insn *code = calloc(total + 1U, sizeof(*code));

	if (code == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < first->bf_len; i++) {
		code[i] = first->bf_insns[i];
		if (BPF_CLASS(code[i].code) == BPF_RET && code[i].k == 0)
			code[i] = (struct bpf_insn)BPF_STMT(BPF_JMP | BPF_JA, first->bf_len - i - 1);
	}
	memcpy(code + first->bf_len, program->bf_insns, program->bf_len * sizeof(*code));
	free(program->bf_insns);
	program->bf_insns = code;
	program->bf_len = total;
	return 0;
}

int needs_filter(const struct expression *x, struct bpf_program *filter)
{
	struct expression_reach reach = { .transport = false };
	struct bpf_program doubtful;
	int err = expression_candidates(x, false, filter);

	if (err < 0)
		return err;
	expression_add_reach(x, &reach);
	if (is_constant(filter, 2) || reach.unbounded) {
		pcap_freecode(filter);
		return 0;
	}
	err = expression_doubtful(&reach, &doubtful);
	if (err == 0) {
		for_kernel(filter);
		for_kernel(&doubtful);
		err = prepend(filter, &doubtful);
		pcap_freecode(&doubtful);
	}
	if (err < 0)
		pcap_freecode(filter);
	return err < 0 ? err : 1;
}

/* Whether the rule is a last rule "accept". It needs no packets: those that are not queued are accepted. */
static bool accepts_the_rest(const struct rule *r)
{
	return expression_is_empty(r->expression) && r->actions == 1 && r->action[0].type == ACTION_ACCEPT &&
	       !r->action[0].flow;
}

/*
 * Adds a filter for the packets that the other filters may miss: combines it with the first filter that has room,
 * or adds it as another one.
 */
static int add_doubtful(struct active_rules *p)
{
	struct bpf_program doubtful;
	int err = expression_doubtful(&p->set.reach, &doubtful);

	if (err < 0)
		return err;
	for_kernel(&doubtful);
	for (size_t i = 0; i < p->filters; i++) {
		if (p->filter[i].bf_len + doubtful.bf_len > KERNEL_FILTER_MAX)
			continue;
		err = prepend(&p->filter[i], &doubtful);
		pcap_freecode(&doubtful);
		return err;
	}
	p->filter[p->filters++] = doubtful;
	return 0;
}

static int find_filters(struct active_rules *p)
{
	const struct expression_reach *reach = &p->set.reach;
	bool segmented = active_rules_need_segments(p);
	int err = 1;

	p->filter = calloc(p->set.count + 1, sizeof(*p->filter));
	if (p->filter == NULL)
		return -ENOMEM;
	if (p->resizes_tcp || p->whole_flows || reach->unbounded)
		return 0;
	for (unsigned i = 0; i < p->set.count && err > 0 && !accepts_the_rest(&p->set.rule[i]); i++)
		err = add_filter(p, &p->set.rule[i], segmented);
	if (err == 1 && p->filters > 0 && (reach->transport || reach->ipv4_transport > 0 || reach->ipv6 > 40))
		err = add_doubtful(p) < 0 ? -ENOMEM : 1;
	if (err <= 0)
		remove_filters(p);
	return err < 0 ? err : 0;
}

void active_rules_need_all(struct active_rules *p)
{
	remove_filters(p);
}

static void find_splits(struct active_rules *p, const struct rule *r)
{
	for (unsigned i = 0; i < r->actions; i++) {
		const struct rewrite *w = &r->action[i].rewrite;

		if (r->action[i].type != ACTION_REWRITE)
			continue;
		p->rewrites_http |= w->http;
		for (size_t j = 0; !w->http && j + 1 < w->from_len; j++)
			p->splits[w->from[j]] = true;
	}
}

int active_rules_find_needs(struct active_rules *p)
{
	p->resizes_tcp = active_rules_resize_tcp(p) != NULL;
	p->selects_records = ruleset_find(&p->set, ACTION_RECORD) != NULL;
	for (unsigned i = 0; i < p->set.count; i++) {
		const struct action *flow = rule_flow(&p->set.rule[i]);

		p->rewrites_by_metadata |= rule_action(&p->set.rule[i], ACTION_REWRITE) != NULL &&
					   expression_has_metadata(p->set.rule[i].expression);
		find_splits(p, &p->set.rule[i]);
		p->flags |= expression_flags(p->set.rule[i].expression);
		p->flows |= flow != NULL;
		p->whole_flows |= flow != NULL && flow->type != ACTION_ACCEPT;
	}
	if (ruleset_find(&p->set, ACTION_CTMARK) != NULL)
		p->flags |= IPQ_O_CONNTRACK;
	if (active_rules_need_segments(p))
		p->flags |= IPQ_O_SEGMENT;
	return find_filters(p);
}

/* ---- rules of version 0.1 --------------------------------------------------------------------------- */

/* Whether this action was final up to version 0.1. */
static bool ended_before(const struct rule *r)
{
	enum action_type type = r->action[0].type;

	return r->actions == 1 &&
	       (type == ACTION_MARK || type == ACTION_REWRITE || type == ACTION_DELAY || type == ACTION_RATE);
}

/* Whether the rule uses words that version 0.1 did not have: then it was written for a later version. */
static bool is_new(const struct rule *r)
{
	size_t skipped = (size_t)(r->condition - r->text);

	return r->actions > 1 || expression_has_metadata(r->expression) ||
	       (skipped >= 3 && memmem(r->text, skipped, " if ", 4) != NULL);
}

const struct rule *active_rules_now_reached(const struct active_rules *p, const struct rule **from)
{
	const struct rule *rule = p->set.rule;
	/* number of compared pairs of rules: for each, libpcap compiles an expression */
	unsigned compared = 0;

	for (unsigned i = 0; i < p->set.count; i++)
		if (is_new(&rule[i]))
			return NULL;
	for (unsigned i = 0; i < p->set.count; i++) {
		for (unsigned j = i + 1; j < p->set.count && ended_before(&rule[i]); j++) {
			if (accepts_the_rest(&rule[j]))
				continue;
			if (++compared > 500)
				return NULL;
			if (!expression_may_overlap(rule[i].expression, rule[j].expression))
				continue;
			*from = &rule[i];
			return &rule[j];
		}
	}
	return NULL;
}
