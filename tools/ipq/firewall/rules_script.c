/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules as input for iptables-restore and nft.
 *
 * A verdict of NF_ACCEPT skips the rest of the table, so accepted packets are repeated (NF_REPEAT) with our mark T, and
 * traverse the same hook again from its first rule. In the table mangle:
 *
 *	-A HOOK -j ipq-N				first rule of the hook
 *	-A ipq-N -m mark --mark T'/M -j RETURN		for each ipq chain after ours: it repeated the packet,
 *							which has passed us before
 *	-A ipq-N -m mark --mark T/M -g ipq-N-done	accepted by us
 *	-A ipq-N FILTER -j NFQUEUE --queue-num N	one for each filter
 *	-A ipq-N-done -j MARK --set-xmark 0x0/M		the last of our rules, because -g returns to HOOK
 *
 * T is cleared before the packet continues, so no other chain sees it. In nftables NF_ACCEPT continues with the next
 * base chain of the hook, so none of this is needed.
 *
 * With verdicts on flows there are two more marks, L = T + 1 and G = T + 2 in units of the lowest bit of M. The library
 * repeats the newest packet of a flow with one of them, and the rules save the mark in the connection:
 *
 *	-A ipq-N -m mark --mark L'/M -m connmark ! --mark L'/M -j RETURN	for each chain after ours that does so
 *	-A ipq-N -m mark --mark G'/M -j RETURN
 *	-A ipq-N -m mark --mark L/M -g ipq-N-left	CONNMARK --save-mark, then as ipq-N-done
 *	-A ipq-N -m mark --mark G/M -g ipq-N-gone	CONNMARK --save-mark, then DROP
 *	-A ipq-N -m connmark --mark L/M -j RETURN	the rest of the flow
 *	-A ipq-N -m connmark --mark G/M -j DROP
 *
 * Without its second condition, the first rule would let a packet bypass us if another rule has restored the packet's
 * mark from the connection. The nftables rules are equivalent.
 *
 * At the end, the rules that queue are removed first, and those for marks when no packet waits any more: see
 * rules_stop(). When a base chain of nftables is removed, the kernel drops all packets that wait in any queue
 * (nf_unregister_net_hook), so ours is emptied instead wherever that is possible.
 */
#include <string.h>
#include "firewall/rules_script.h"

#define BPF_MATCH_MAX 64 /* the maximum number of instructions of xt_bpf */

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

	if (c == own || c->kind != kind || c->mark.mask == 0 || c->alive == 0)
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

/* Whether this program of the old filters is also among the new ones. Then it needs no second rule. */
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

bool rules_have_flows(const struct rules *r)
{
	return r->options.kind == RULES_QUEUE && r->options.flows && !r->no_flows;
}

unsigned rules_count(const struct rules *r)
{
	size_t n = rules_unfiltered(r) ? 1 : r->new.count + count_old(r);

	return (unsigned)(n + (r->options.kind == RULES_QUEUE) + (rules_have_flows(r) ? 4 : 0));
}

struct mark mark_left(struct mark m)
{
	return (struct mark){ .mark = m.mark | (m.mask & -m.mask), .mask = m.mask };
}

struct mark mark_gone(struct mark m)
{
	return (struct mark){ .mark = m.mark | (m.mask & -m.mask) << 1, .mask = m.mask };
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

/* Writes rules that let packets which another chain has repeated bypass our chain. */
static void put_known(const struct rules *r, const struct ipq_chain *c, FILE *script)
{
	struct mark left = mark_left(c->mark), gone = mark_gone(c->mark);

	fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -j RETURN\n", r->name, c->mark.mark, c->mark.mask);
	if (!c->flows)
		return;
	fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -m connmark ! --mark 0x%x/0x%x -j RETURN\n", r->name,
		left.mark, left.mask, left.mark, left.mask);
	fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -j RETURN\n", r->name, gone.mark, gone.mask);
}

static void put_helpers(const struct rules *r, FILE *script)
{
	uint32_t mask = r->mark.mask;

	fprintf(script, ":%s-done - [0:0]\n-A %s-done -j MARK --set-xmark 0x0/0x%x\n", r->name, r->name,
		mask);
	if (!rules_have_flows(r))
		return;
	fprintf(script, ":%s-left - [0:0]\n:%s-gone - [0:0]\n", r->name, r->name);
	fprintf(script, "-A %s-left -j CONNMARK --save-mark --nfmask 0x%x --ctmask 0x%x\n", r->name, mask,
		mask);
	fprintf(script, "-A %s-left -j MARK --set-xmark 0x0/0x%x\n", r->name, mask);
	fprintf(script, "-A %s-gone -j CONNMARK --save-mark --nfmask 0x%x --ctmask 0x%x\n", r->name, mask,
		mask);
	fprintf(script, "-A %s-gone -j DROP\n", r->name);
}

static void put_marks(const struct rules *r, FILE *script)
{
	struct mark left = mark_left(r->mark), gone = mark_gone(r->mark);

	fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -g %s-done\n", r->name, r->mark.mark, r->mark.mask,
		r->name);
	if (!rules_have_flows(r))
		return;
	fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -g %s-left\n", r->name, left.mark, left.mask,
		r->name);
	fprintf(script, "-A %s -m mark --mark 0x%x/0x%x -g %s-gone\n", r->name, gone.mark, gone.mask,
		r->name);
	if (r->stopping)
		return;
	fprintf(script, "-A %s -m connmark --mark 0x%x/0x%x -j RETURN\n", r->name, left.mark, left.mask);
	fprintf(script, "-A %s -m connmark --mark 0x%x/0x%x -j DROP\n", r->name, gone.mark, gone.mask);
}

static void put_chain(const struct rules *r, enum firewall_kind kind, FILE *script)
{
	fprintf(script, ":%s - [0:0]\n", r->name);
	if (r->options.kind == RULES_QUEUE)
		put_helpers(r, script);
	for (size_t i = 0; i < r->chains.count; i++)
		if (rules_must_know(r, kind, &r->chains.chain[i]))
			put_known(r, &r->chains.chain[i], script);
	if (r->options.kind == RULES_QUEUE)
		put_marks(r, script);
	if (r->stopping)
		return;
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

/* Writes the chains for packets that the library repeats. */
static void put_nft_left(const struct rules *r, FILE *script)
{
	uint32_t others = ~r->mark.mask, left = mark_left(r->mark).mark, gone = mark_gone(r->mark).mark;

	fprintf(script,
		"\tchain left {\n\t\tct mark set ct mark and 0x%x or 0x%x\n"
		"\t\tmeta mark set meta mark and 0x%x\n\t\taccept\n\t}\n",
		others, left, others);
	fprintf(script, "\tchain gone {\n\t\tct mark set ct mark and 0x%x or 0x%x\n\t\tdrop\n\t}\n", others,
		gone);
}

static void put_nft_marks(const struct rules *r, FILE *script)
{
	struct mark left = mark_left(r->mark), gone = mark_gone(r->mark);

	fprintf(script,
		"\t\tmeta mark and 0x%x == 0x%x counter goto left\n\t\tmeta mark and 0x%x == 0x%x goto "
		"gone\n",
		left.mask, left.mark, gone.mask, gone.mark);
	if (!r->stopping)
		fprintf(script,
			"\t\tct mark and 0x%x == 0x%x counter accept\n\t\tct mark and 0x%x == 0x%x drop\n",
			left.mask, left.mark, gone.mask, gone.mark);
}

static void put_nft_target(const struct rules *r, FILE *script)
{
	if (r->options.kind == RULES_LOG)
		fprintf(script, "\t\tlog group %u", r->first);
	else if (r->first == r->last)
		fprintf(script, "\t\tqueue num %u", r->first);
	else
		fprintf(script, "\t\tqueue num %u-%u", r->first, r->last);
	if (r->options.kind == RULES_LOG && r->options.snaplen > 0)
		fprintf(script, " snaplen %u", r->options.snaplen);
	fputs(r->options.bypass ? " bypass\n" : "\n", script);
}

static void put_table(const struct rules *r, FILE *script)
{
	fprintf(script, "table inet %s {\n", r->name);
	if (rules_have_flows(r))
		put_nft_left(r, script);
	for (unsigned h = 0; h < HOOKS; h++) {
		char hook[16];

		if ((r->options.hooks & 1U << h) == 0)
			continue;
		fprintf(script, "\tchain %s {\n", hook_lower(h, hook));
		if (!r->no_hooks)
			fprintf(script, "\t\ttype filter hook %s priority -150;\n", hook);
		if (rules_have_flows(r))
			put_nft_marks(r, script);
		if (!r->stopping)
			put_nft_target(r, script);
		fputs("\t}\n", script);
	}
	fputs("}\n", script);
}

/* ---- both ---------------------------------------------------------------------------------------- */

void script_chain(const struct rules *r, enum firewall_kind kind, FILE *script)
{
	const struct ipq_chain *own = rules_own_chain(r, kind);

	if (kind != FIREWALL_NFT) {
		put_chain(r, kind, script);
		return;
	}
	if (own != NULL) {
		fprintf(script, "flush table inet %s\n", r->name);
		if ((own->hooks & ~r->options.hooks) != 0)
			chain_removal(own, ~r->options.hooks, script);
	}
	put_table(r, script);
}

void script_install(const struct rules *r, enum firewall_kind kind, FILE *script)
{
	const struct ipq_chain *own = rules_own_chain(r, kind);

	if (own != NULL && kind != FIREWALL_NFT)
		chain_removal(own, ALL_HOOKS, script);
	script_chain(r, kind, script);
	for (unsigned h = 0; kind != FIREWALL_NFT && h < HOOKS; h++)
		if ((r->options.hooks & 1U << h) != 0)
			fprintf(script, "-I %s 1 -j %s\n", hook_names[h], r->name);
}
