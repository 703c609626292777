// SPDX-License-Identifier: LGPL-2.1-or-later
/* The firewall rules of ipq: reading them, and the scripts that create and remove them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "firewall/rules_script.h"

#define KIND FIREWALL_IPTABLES_LEGACY
#define INPUT (1U << 1)
#define OUTPUT (1U << 3)

static struct chains chains;
static char *script;

static int end(void **state)
{
	(void)state;
	chains_free(&chains);
	free(script);
	script = NULL;
	return 0;
}

static void parse(const char *text)
{
	assert_int_equal(chains_parse_save(&chains, KIND, text), 0);
}

static const struct ipq_chain *find(const char *name)
{
	for (size_t i = 0; i < chains.count; i++)
		if (strcmp(chains.chain[i].name, name) == 0)
			return &chains.chain[i];
	return NULL;
}

static const char table[] = "*mangle\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
			    ":ipq-5 - [0:0]\n:ipq-5-done - [0:0]\n:ipq-5-left - [0:0]\n:ipq-5-gone - [0:0]\n"
			    ":ipq-log-7 - [0:0]\n:ipq-6 - [0:0]\n:others - [0:0]\n"
			    "[1:2] -A INPUT -p tcp -j ACCEPT\n"
			    "[1:2] -A INPUT -j ipq-5\n"
			    "[1:2] -A INPUT -j ipq-6\n"
			    "[1:2] -A INPUT -j ipq-5\n"
			    "[1:2] -A OUTPUT -j CONNMARK --save-mark\n"
			    "[1:2] -A OUTPUT -j ipq-5\n"
			    "[1:2] -A OUTPUT -j others\n"
			    "[1:2] -A OUTPUT -j ipq-log-7\n"
			    "[1:2] -A ipq-5 -m mark --mark 0x20/0xf0 -j RETURN\n"
			    "[1:2] -A ipq-5 -m mark --mark 0x40/0xf0 -g ipq-5-done\n"
			    "[1:2] -A ipq-5 -m mark --mark 0x50/0xf0 -g ipq-5-left\n"
			    "[3:400] -A ipq-5 -m connmark --mark 0x50/0xf0 -j RETURN\n"
			    "[1:2] -A ipq-5 -j NFQUEUE --queue-num 5\n"
			    "[1:2] -A ipq-6 -j NFQUEUE --queue-balance 6:9 --queue-bypass\n"
			    "[1:2] -A others -j MARK --set-xmark 0x1/0x1\n"
			    "[1:2] -A ipq-log-7 -j NFLOG --nflog-group 7\nCOMMIT\n";

static void chains_are_read(void **state)
{
	const struct ipq_chain *c;

	(void)state;
	parse(table);
	assert_int_equal(chains.count, 3);
	c = find("ipq-5");
	assert_non_null(c);
	assert_true(c->exists && !c->log && !c->bypass && c->flows);
	assert_true(c->number == 5 && c->last == 5);
	assert_int_equal(c->helpers, 7);
	assert_int_equal(c->rules, 5);
	assert_int_equal(c->targets, 1);
	assert_int_equal(c->hooks, INPUT | OUTPUT);
	assert_int_equal(c->at[1], 2);
	assert_int_equal(c->at[3], 2);
	assert_true(c->mark.mark == 0x40 && c->mark.mask == 0xf0);
	assert_int_equal(c->known_count, 1);
	assert_int_equal(c->known[0].mark, 0x20);
	assert_true(c->packets == 3 && c->bytes == 400);
	assert_true(chain_blocks(c));
	c = find("ipq-6");
	assert_true(c != NULL && c->bypass && c->hooks == INPUT && c->at[1] == 3 && !chain_blocks(c));
	assert_true(c->number == 6 && c->last == 9);
	c = find("ipq-log-7");
	assert_true(c != NULL && c->log && c->number == 7 && c->hooks == OUTPUT && !chain_blocks(c));
	/*
	 * The third rule of OUTPUT jumps to a chain that changes marks; the first one jumps to a chain that only
	 * saves them.
	 */
	assert_int_equal(chains.marks_at[KIND][3], 3);
	assert_int_equal(chains.marks_at[KIND][1], 0);
}

static void names_of_others_are_not_ours(void **state)
{
	(void)state;
	parse("*mangle\n:ipq-65536 - [0:0]\n:ipq-5x - [0:0]\n:ipq-5-mine - [0:0]\n:ipq-x - [0:0]\n"
	      ":ipq- - [0:0]\n:ipq_5 - [0:0]\n:IPQ-5 - [0:0]\n:ipq-log- - [0:0]\n:ipq-5-done-x - "
	      "[0:0]\nCOMMIT\n");
	assert_int_equal(chains.count, 0);
	parse("*mangle\n:ipq-65535 - [0:0]\nCOMMIT\n");
	assert_int_equal(chains.count, 1);
}

static void known_marks_are_limited(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	fputs("*mangle\n:ipq-5 - [0:0]\n", f);
	for (unsigned i = 0; i < KNOWN_MAX + 50; i++)
		fprintf(f, "-A ipq-5 -m mark --mark 0x%x/0xffff -j RETURN\n", i);
	fclose(f);
	parse(text);
	free(text);
	assert_int_equal(chains.chain[0].known_count, KNOWN_MAX);
	assert_int_equal(chains.chain[0].rules, KNOWN_MAX + 50);
	assert_false(chains.chain[0].flows || chains.chain[0].bypass);
}

static FILE *begin_script(void)
{
	static size_t size;

	free(script);
	script = NULL;
	return open_memstream(&script, &size);
}

static const char *removal(const struct ipq_chain *c, unsigned hooks)
{
	FILE *f = begin_script();

	chain_removal(c, hooks, f);
	fclose(f);
	return script;
}

static void removal_leaves_the_other_hooks(void **state)
{
	const struct ipq_chain nft = { .kind = FIREWALL_NFT, .name = "ipq_5", .hooks = INPUT | OUTPUT };

	(void)state;
	parse(table);
	assert_string_equal(removal(find("ipq-5"), INPUT), "-D INPUT -j ipq-5\n-D INPUT -j ipq-5\n");
	assert_string_equal(removal(find("ipq-5"), ALL_HOOKS),
			    "-D INPUT -j ipq-5\n-D INPUT -j ipq-5\n-D OUTPUT -j ipq-5\n-F ipq-5\n-F "
			    "ipq-5-done\n-F ipq-5-left\n"
			    "-F ipq-5-gone\n-X ipq-5\n-X ipq-5-done\n-X ipq-5-left\n-X ipq-5-gone\n");
	assert_string_equal(removal(find("ipq-6"), INPUT), "-D INPUT -j ipq-6\n-F ipq-6\n-X ipq-6\n");
	assert_string_equal(removal(&nft, INPUT),
			    "flush chain inet ipq_5 input\ndelete chain inet ipq_5 input\n");
	assert_string_equal(removal(&nft, INPUT | OUTPUT), "delete table inet ipq_5\n");
}

/* ---- our rules --------------------------------------------------------------------------------------- */

static struct rules ours(void)
{
	return (struct rules){ .options = { .hooks = INPUT, .kind = RULES_QUEUE },
			       .mark = { 0x80, 0xf0 },
			       .first = 9,
			       .last = 9,
			       .name = "ipq-9" };
}

static const char *written(void (*write)(const struct rules *r, enum firewall_kind kind, FILE *script),
			   const struct rules *r, enum firewall_kind kind)
{
	FILE *f = begin_script();

	write(r, kind, f);
	fclose(f);
	return script;
}

static const char *install(const struct rules *r, enum firewall_kind kind)
{
	return written(script_install, r, kind);
}

#define HEAD                                                                                \
	":ipq-9 - [0:0]\n:ipq-9-done - [0:0]\n-A ipq-9-done -j MARK --set-xmark 0x0/0xf0\n" \
	"-A ipq-9 -m mark --mark 0x80/0xf0 -g ipq-9-done\n"

static void rules_are_the_first_of_their_hooks(void **state)
{
	struct rules r = ours();

	(void)state;
	assert_string_equal(install(&r, KIND),
			    HEAD "-A ipq-9 -j NFQUEUE --queue-num 9\n-I INPUT 1 -j ipq-9\n");
	assert_int_equal(rules_count(&r), 2);
	r.last = 12;
	r.options.bypass = true;
	r.options.hooks |= OUTPUT;
	assert_string_equal(install(&r, KIND),
			    HEAD "-A ipq-9 -j NFQUEUE --queue-balance 9:12 --queue-bypass\n"
				 "-I INPUT 1 -j ipq-9\n-I OUTPUT 1 -j ipq-9\n");
	strcpy(r.name, "ipq_9");
	assert_string_equal(
		install(&r, FIREWALL_NFT),
		"table inet ipq_9 {\n"
		"\tchain input {\n\t\ttype filter hook input priority -150;\n\t\tqueue num 9-12 bypass\n\t}\n"
		"\tchain output {\n\t\ttype filter hook output priority -150;\n\t\tqueue num 9-12 bypass\n"
		"\t}\n}\n");
}

static void copies_are_as_long_as_asked_for(void **state)
{
	struct rules r = ours();

	(void)state;
	r.options.kind = RULES_LOG;
	r.options.snaplen = 96;
	assert_string_equal(
		install(&r, KIND),
		":ipq-9 - [0:0]\n-A ipq-9 -j NFLOG --nflog-group 9 --nflog-size 96\n-I INPUT 1 -j ipq-9\n");
	strcpy(r.name, "ipq_log_9");
	assert_non_null(strstr(install(&r, FIREWALL_NFT), "\t\tlog group 9 snaplen 96\n"));
	r.options.snaplen = 0;
	assert_non_null(strstr(install(&r, FIREWALL_NFT), "\t\tlog group 9\n"));
}

static void flows_have_marks_of_their_own(void **state)
{
	struct rules r = ours();

	(void)state;
	r.options.flows = true;
	install(&r, KIND);
	assert_int_equal(mark_left(r.mark).mark, 0x90);
	assert_int_equal(mark_gone(r.mark).mark, 0xa0);
	assert_non_null(strstr(script, "-A ipq-9 -m mark --mark 0x90/0xf0 -g ipq-9-left\n"
				       "-A ipq-9 -m mark --mark 0xa0/0xf0 -g ipq-9-gone\n"
				       "-A ipq-9 -m connmark --mark 0x90/0xf0 -j RETURN\n"
				       "-A ipq-9 -m connmark --mark 0xa0/0xf0 -j DROP\n"));
	assert_int_equal(rules_count(&r), 6);
}

static struct bpf_insn insns[2][65];

static void filters_are_changed_without_a_gap(void **state)
{
	struct bpf_program new[2] = { { 1, insns[0] }, { 1, insns[1] } },
			   old[2] = { { 1, insns[1] }, { 2, insns[0] } };
	struct rules r = ours();

	(void)state;
	insns[0][0] = (struct bpf_insn){ 6, 0, 0, 1 };
	insns[1][0] = (struct bpf_insn){ 6, 0, 0, 2 };
	r.new = (struct filters){ new, 2 };
	r.old = (struct filters){ old, 2 };
	assert_string_equal(install(&r, KIND),
			    HEAD "-A ipq-9 -m bpf --bytecode \"1,6 0 0 1\" -j NFQUEUE --queue-num 9\n"
				 "-A ipq-9 -m bpf --bytecode \"1,6 0 0 2\" -j NFQUEUE --queue-num 9\n"
				 "-A ipq-9 -m bpf --bytecode \"2,6 0 0 1,0 0 0 0\" -j NFQUEUE --queue-num 9\n"
				 "-I INPUT 1 -j ipq-9\n");
	assert_int_equal(rules_count(&r), 4);
	new[1].bf_len = 64;
	assert_false(rules_unfiltered(&r));
	new[1].bf_len = 65; /* more instructions than the kernel's bpf match accepts */
	assert_true(rules_unfiltered(&r));
	assert_string_equal(install(&r, KIND),
			    HEAD "-A ipq-9 -j NFQUEUE --queue-num 9\n-I INPUT 1 -j ipq-9\n");
}

static void own_chain_is_replaced(void **state)
{
	struct rules r = ours();

	(void)state;
	parse("*mangle\n:ipq-9 - [0:0]\n:ipq-9-done - [0:0]\n-A INPUT -j ipq-9\n-A OUTPUT -j "
	      "ipq-9\nCOMMIT\n");
	r.chains = chains;
	assert_string_equal(install(&r, KIND),
			    "-D INPUT -j ipq-9\n-D OUTPUT -j ipq-9\n-F ipq-9\n-F ipq-9-done\n-X ipq-9\n"
			    "-X ipq-9-done\n" HEAD
			    "-A ipq-9 -j NFQUEUE --queue-num 9\n-I INPUT 1 -j ipq-9\n");
}

static void dead_chains_are_taken_over_on_our_hooks(void **state)
{
	struct rules r = ours();
	struct ipq_chain c = { .hooks = INPUT | OUTPUT, .targets = 1 };
	bool all;

	(void)state;
	assert_int_equal(rules_takes_over(&r, &c, &all), INPUT);
	assert_false(all);
	r.options.hooks |= OUTPUT;
	assert_int_equal(rules_takes_over(&r, &c, &all), INPUT | OUTPUT);
	assert_true(all);
	c.alive = 1;
	assert_int_equal(rules_takes_over(&r, &c, &all), 0);
	c.alive = -EPERM; /* it is unknown whether the process is alive */
	assert_int_equal(rules_takes_over(&r, &c, &all), 0);
	c.alive = 0;
	c.bypass = true; /* with bypass, the chain blocks no packets */
	c.hooks = 1U << 2;
	assert_int_equal(rules_takes_over(&r, &c, &all), ALL_HOOKS);
	assert_true(all);
	c.bypass = false;
	r.options.kind = RULES_LOG;
	c.hooks = INPUT;
	assert_int_equal(rules_takes_over(&r, &c, &all), 0);
	c.targets = 0; /* its rule that queues has been removed */
	assert_int_equal(rules_takes_over(&r, &c, &all), ALL_HOOKS);
}

/* The kernel drops packets that wait in any queue when a base chain is removed, so the chain is only emptied. */
static void own_table_is_emptied(void **state)
{
	struct ipq_chain own = { .kind = FIREWALL_NFT, .name = "ipq_9", .hooks = INPUT | OUTPUT };
	struct rules r = ours();

	(void)state;
	strcpy(r.name, "ipq_9");
	r.chains = (struct chains){ .chain = &own, .count = 1 };
	assert_string_equal(
		install(&r, FIREWALL_NFT),
		"flush table inet ipq_9\nflush chain inet ipq_9 output\ndelete chain inet ipq_9 output\n"
		"table inet ipq_9 {\n\tchain input {\n\t\ttype filter hook input priority -150;\n"
		"\t\tqueue num 9\n\t}\n}\n");
}

/* At the end, accepted packets still reach the rules that clear their mark. */
static void end_begins_with_rules_that_queue(void **state)
{
	struct rules r = ours();

	(void)state;
	r.stopping = r.options.flows = true;
	written(script_chain, &r, KIND);
	assert_non_null(strstr(script, "-A ipq-9 -m mark --mark 0x80/0xf0 -g ipq-9-done\n"));
	assert_non_null(strstr(script, "-A ipq-9 -m mark --mark 0x90/0xf0 -g ipq-9-left\n"));
	assert_null(strstr(script, "NFQUEUE"));
	assert_null(strstr(script, "-m connmark"));
	written(script_chain, &r, FIREWALL_NFT);
	assert_non_null(strstr(script, "meta mark and 0xf0 == 0x90 counter goto left\n"));
	assert_non_null(strstr(script, "type filter hook input priority -150;\n"));
	assert_null(strstr(script, "queue"));
	assert_null(strstr(script, "ct mark and 0xf0 =="));
}

/*
 * A packet that a later chain repeats has already passed our chain. A packet that an earlier chain repeats has not
 * passed it yet.
 */
static void later_chains_are_known(void **state)
{
	static const char text[] =
		"*mangle\n:ipq-1 - [0:0]\n:ipq-9 - [0:0]\n:ipq-2 - [0:0]\n:ipq-3 - [0:0]\n"
		"-A INPUT -j ipq-1\n-A INPUT -j ipq-9\n-A INPUT -j ipq-2\n-A OUTPUT -j ipq-3\n"
		"-A ipq-1 -m mark --mark 0x10/0xf0 -g ipq-1-done\n"
		"-A ipq-2 -m mark --mark 0x20/0xf0 -g ipq-2-done\n"
		"-A ipq-3 -m mark --mark 0x30/0xf0 -g ipq-3-done\nCOMMIT\n";
	struct rules r = ours();

	(void)state;
	parse(text);
	for (size_t i = 0; i < chains.count; i++)
		chains.chain[i].alive = 1;
	r.chains = chains;
	assert_false(rules_must_know(&r, KIND, find("ipq-1")));
	assert_true(rules_must_know(&r, KIND, find("ipq-2")));
	assert_false(rules_must_know(&r, KIND, find("ipq-3")));
	assert_false(rules_must_know(&r, KIND, find("ipq-9")));
	assert_false(rules_must_know(&r, FIREWALL_IPTABLES_NFT, find("ipq-2")));
	r.on_top = true;
	assert_true(rules_must_know(&r, KIND, find("ipq-1")));
	assert_non_null(strstr(install(&r, KIND), "-A ipq-9 -m mark --mark 0x10/0xf0 -j RETURN\n"));
}

/* ---- choices ---------------------------------------------------------------------------------------- */

static void hooks_are_whole_words(void **state)
{
	static const char *const wrong[] = { "", "IN", "INPUTS", "INPUT,,OUTPUT", "INPUT OUTPUT", "," };
	struct ipq_error e;
	unsigned hooks = 0;

	(void)state;
	assert_int_equal(rules_parse_hooks("input,Output", &hooks, &e), 0);
	assert_int_equal(hooks, INPUT | OUTPUT);
	assert_int_equal(rules_parse_hooks("PREROUTING|FORWARD,POSTROUTING", &hooks, &e), 0);
	assert_int_equal(hooks, ALL_HOOKS);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(rules_parse_hooks(wrong[i], &hooks, &e), -EINVAL);
}

static void mark_bits_are_adjacent(void **state)
{
	static const char *const right[] = { "0xf", "0xf0", "0xff000000", "0x7fffffff", "240", "0xfffffffe" };
	static const char *const wrong[] = { "0",   "0x7",   "0xf0f", "0xffffffff", "0x1f0000000", "x",
					     "-16", "0xf0z", "" };
	struct ipq_error e;
	uint32_t mask;

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(rules_parse_mark_bits(right[i], &mask, &e), 0);
		assert_int_equal(mask, strtoul(right[i], NULL, 0));
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(rules_parse_mark_bits(wrong[i], &mask, &e), -EINVAL);
}

/* Two of the 4 bits are for flows. Three marks are left, because 0 is not a mark. */
static void mark_is_one_that_nobody_uses(void **state)
{
	struct ipq_chain taken[3] = { { .mark = { 0x40, 0xf0 } },
				      { .mark = { 0x90, 0xf0 } },
				      { .alive = 1 } };
	struct rules r = ours();
	struct ipq_error e;

	(void)state;
	r.options.mark_bits = 0xf0;
	r.chains = (struct chains){ .chain = taken, .count = 3 };
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(rules_choose_mark(&r, &e), 0);
		assert_true(r.mark.mark == 0xc0 && r.mark.mask == 0xf0);
	}
	taken[2].mark = (struct mark){ 0x300, 0xf00 }; /* a mark in other bits */
	assert_int_equal(rules_choose_mark(&r, &e), 0);
	taken[2].mark = (struct mark){ 0xf0, 0xff }; /* the mark of a process that uses more bits */
	assert_int_equal(rules_choose_mark(&r, &e), -EBUSY);
}

/* ---- packets of flows that the kernel decided ---------------------------------------------------- */

int __wrap_chains_read(struct chains *c, unsigned kinds);
int __wrap_chains_read(struct chains *c, unsigned kinds)
{
	assert_int_equal(kinds, 1U << FIREWALL_IPTABLES_NFT | 1U << FIREWALL_IP6TABLES_NFT);
	*c = (struct chains){ .chain = calloc(3, sizeof(*c->chain)), .count = 3 };
	for (unsigned i = 0; i < 3; i++) {
		c->chain[i] =
			(struct ipq_chain){ .kind = i == 1 ? FIREWALL_IP6TABLES_NFT : FIREWALL_IPTABLES_NFT,
					    .packets = 10 + i,
					    .bytes = 1000 + i };
		strcpy(c->chain[i].name, i == 2 ? "ipq-8" : "ipq-7");
	}
	return 0;
}

static void passed_packets_are_those_of_its_own_chains(void **state)
{
	struct rules r = { .options.kind = RULES_QUEUE,
			   .options.flows = true,
			   .kind = { FIREWALL_IPTABLES_NFT, FIREWALL_IP6TABLES_NFT },
			   .families = 2,
			   .name = "ipq-7",
			   .packets = 5,
			   .bytes = 500 };
	uint64_t packets, bytes;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rules_passed(&r, &packets, &bytes), 0);
		assert_int_equal(packets, 5 + 10 + 11);
		assert_int_equal(bytes, 500 + 1000 + 1001);
	}
	chains_free(&r.chains);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(chains_are_read, end),
		cmocka_unit_test_teardown(names_of_others_are_not_ours, end),
		cmocka_unit_test_teardown(known_marks_are_limited, end),
		cmocka_unit_test_teardown(removal_leaves_the_other_hooks, end),
		cmocka_unit_test_teardown(rules_are_the_first_of_their_hooks, end),
		cmocka_unit_test_teardown(copies_are_as_long_as_asked_for, end),
		cmocka_unit_test_teardown(flows_have_marks_of_their_own, end),
		cmocka_unit_test_teardown(filters_are_changed_without_a_gap, end),
		cmocka_unit_test_teardown(own_chain_is_replaced, end),
		cmocka_unit_test_teardown(own_table_is_emptied, end),
		cmocka_unit_test_teardown(end_begins_with_rules_that_queue, end),
		cmocka_unit_test_teardown(dead_chains_are_taken_over_on_our_hooks, end),
		cmocka_unit_test_teardown(later_chains_are_known, end),
		cmocka_unit_test_teardown(hooks_are_whole_words, end),
		cmocka_unit_test_teardown(mark_bits_are_adjacent, end),
		cmocka_unit_test_teardown(mark_is_one_that_nobody_uses, end),
		cmocka_unit_test(passed_packets_are_those_of_its_own_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
