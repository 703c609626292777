/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules as input for iptables-restore and nft.
 *
 * A verdict of NF_ACCEPT skips the rest of the table, so accepted packets are repeated (NF_REPEAT) with our mark T,
 * and meet the same hook again from its first rule. In the table mangle:
 *
 *	-A HOOK -j ipq-N				first rule of the hook
 *	-A ipq-N -m mark --mark T'/M -j RETURN		for each ipq chain after ours: it repeated the packet,
 *							which has passed us before
 *	-A ipq-N -m mark --mark T/M -g ipq-N-done	accepted by us
 *	-A ipq-N FILTER -j NFQUEUE --queue-num N	one for each filter
 *	-A ipq-N-done -j MARK --set-xmark 0x0/M		the last of our rules, because -g returns to HOOK
 *
 * T is cleared before the packet goes on, so no other chain meets it. T is even: T + 1 is free for verdicts on whole
 * flows. In nftables NF_ACCEPT continues with the next base chain of the hook, and nothing of this is needed.
 */
#include <ctype.h>
#include <string.h>
#include "firewall/rules_script.h"

#define BPF_MATCH_MAX 64 /* instructions that xt_bpf takes */

unsigned rules_takes_over(const struct rules *r, const struct ipq_chain *c, bool *all)
{
	unsigned hooks = 0;

	*all = false;
	if (c->alive != 0)
		return 0;
	if (!chain_blocks(c))
		hooks = ALL_HOOKS;
	else if (r->options.kind == RULES_QUEUE)
		hooks = c->hooks & r->options.hooks;
	*all = hooks != 0 && (c->hooks & ~hooks) == 0;
	return hooks;
}

const struct ipq_chain *rules_own_chain(const struct rules *r, enum firewall_kind kind)
{
	for (size_t i = 0; i < r->chains.count; i++)
		if (r->chains.chain[i].kind == kind && strcmp(r->chains.chain[i].name, r->name) == 0)
			return &r->chains.chain[i];
	return NULL;
}

bool rules_must_know(const struct rules *r, enum firewall_kind kind, const struct ipq_chain *c)
{
	const struct ipq_chain *own = rules_own_chain(r, kind);
	bool all;

	if (c == own || c->kind != kind || c->mark.mask == 0 || (rules_takes_over(r, c, &all) != 0 && all))
		return false;
	for (unsigned h = 0; h < HOOKS; h++)
		if ((r->options.hooks & c->hooks & 1U << h) != 0 &&
		    (own == NULL || r->on_top || own->at[h] < c->at[h]))
			return true;
	return false;
}

bool rules_unfiltered(const struct rules *r)
{
	const struct filters *both[] = { &r->new, &r->old };

	if (r->no_match || r->new.count == 0 || r->old_all)
		return true;
	for (size_t f = 0; f < 2; f++)
		for (size_t i = 0; i < both[f]->count; i++)
			if (both[f]->program[i].bf_len > BPF_MATCH_MAX)
				return true;
	return false;
}

/* Is this program of the old filters among the new ones? Then it needs no second rule. */
static bool stays(const struct rules *r, const struct bpf_program *p)
{
	for (size_t i = 0; i < r->new.count; i++)
		if (r->new.program[i].bf_len == p->bf_len &&
		    memcmp(r->new.program[i].bf_insns, p->bf_insns, p->bf_len * sizeof(*p->bf_insns)) == 0)
			return true;
	return false;
}

static size_t count_old(const struct rules *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->old.count; i++)
		n += !stays(r, &r->old.program[i]);
	return n;
}

unsigned rules_count(const struct rules *r)
{
	size_t n = rules_unfiltered(r) ? 1 : r->new.count + count_old(r);

	return (unsigned)(n + (r->options.kind == RULES_QUEUE));
}

/* ---- iptables ------------------------------------------------------------------------------------ */

static void put_target(const struct rules *r, FILE *script)
{
	if (r->options.kind == RULES_LOG) {
		fprintf(script, "-j NFLOG --nflog-group %u", r->first);
		if (r->options.snaplen > 0)
			fprintf(script, " --nflog-size %u", r->options.snaplen);
	} else if (r->first == r->last) {
		fprintf(script, "-j NFQUEUE --queue-num %u", r->first);
	} else {
		fprintf(script, "-j NFQUEUE --queue-balance %u:%u", r->first, r->last);
	}
	fputs(r->options.bypass ? " --queue-bypass\n" : "\n", script);
}

static void put_rule(const struct rules *r, const struct bpf_program *p, FILE *script)
{
	fprintf(script, "-A %s -m bpf --bytecode \"%u", r->name, p->bf_len);
	for (unsigned n = 0; n < p->bf_len; n++)
		fprintf(script, ",%u %u %u %u", p->bf_insns[n].code, p->bf_insns[n].jt, p->bf_insns[n].jf,
			p->bf_insns[n].k);
	fputs("\" ", script);
	put_target(r, script);
}

static void put_chain(const struct rules *r, enum firewall_kind kind, FILE *script)
{
	fprintf(script, ":%s - [0:0]\n", r->name);
	if (r->options.kind == RULES_QUEUE)
		fprintf(script, ":%s-done - [0:0]\n-A %s-done -j MARK --set-xmark 0x0/0x%x\n", r->name,
			r->name, r->mark.mask);
	for (size_t i = 0; i < r->chains.count; i++) {
		const struct ipq_chain *c = &r->chains.chain[i];

		if (rules_must_know(r, kind, c))
			fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -j RETURN\n", r->name, c->mark.mark,
				c->mark.mask);
	}
	if (r->options.kind == RULES_QUEUE)
		fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -g %s-done\n", r->name, r->mark.mark,
			r->mark.mask, r->name);
	if (rules_unfiltered(r)) {
		fprintf(script, "-A %s ", r->name);
		put_target(r, script);
		return;
	}
	for (size_t i = 0; i < r->new.count; i++)
		put_rule(r, &r->new.program[i], script);
	for (size_t i = 0; i < r->old.count; i++)
		if (!stays(r, &r->old.program[i]))
			put_rule(r, &r->old.program[i], script);
}

/* ---- nftables ------------------------------------------------------------------------------------ */

static void put_table(const struct rules *r, FILE *script)
{
	fprintf(script, "table inet %s {\n", r->name);
	for (unsigned h = 0; h < HOOKS; h++) {
		char hook[16] = "";

		if ((r->options.hooks & 1U << h) == 0)
			continue;
		for (size_t i = 0; hook_names[h][i] != '\0'; i++)
			hook[i] = (char)tolower((unsigned char)hook_names[h][i]);
		fprintf(script, "\tchain %s {\n\t\ttype filter hook %s priority -150;\n\t\t", hook, hook);
		if (r->options.kind == RULES_LOG)
			fprintf(script, "log group %u", r->first);
		else if (r->first == r->last)
			fprintf(script, "queue num %u", r->first);
		else
			fprintf(script, "queue num %u-%u", r->first, r->last);
		if (r->options.kind == RULES_LOG && r->options.snaplen > 0)
			fprintf(script, " snaplen %u", r->options.snaplen);
		fputs(r->options.bypass ? " bypass\n\t}\n" : "\n\t}\n", script);
	}
	fputs("}\n", script);
}

/* ---- both ---------------------------------------------------------------------------------------- */

void script_chain(const struct rules *r, enum firewall_kind kind, FILE *script)
{
	if (kind == FIREWALL_NFT)
		put_table(r, script);
	else
		put_chain(r, kind, script);
}

void script_install(const struct rules *r, enum firewall_kind kind, FILE *script)
{
	const struct ipq_chain *own = rules_own_chain(r, kind);
	unsigned hooks;
	bool all;

	for (size_t i = 0; i < r->chains.count; i++) {
		const struct ipq_chain *c = &r->chains.chain[i];

		if (c == own)
			chain_removal(c, ALL_HOOKS, script);
		else if (c->kind == kind && (hooks = rules_takes_over(r, c, &all)) != 0)
			chain_removal(c, hooks, script);
	}
	script_chain(r, kind, script);
	for (unsigned h = 0; kind != FIREWALL_NFT && h < HOOKS; h++)
		if ((r->options.hooks & 1U << h) != 0)
			fprintf(script, "-I %s 1 -j %s\n", hook_names[h], r->name);
}
