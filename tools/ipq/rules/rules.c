/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq rules: prints the firewall rules that a program with flow verdicts needs. See ipq_accept_flow(3). */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "command.h"
#include "core/core.h"
#include "firewall/chains.h"
#include "firewall/rules.h"

struct flow_rules {
	unsigned hooks;
	unsigned queue;
	uint32_t leave, drop, mask;
	char **match; /* the user's words; the last one is NULL */
};

static void put_match(const struct flow_rules *r)
{
	for (char **word = r->match; *word != NULL; word++)
		printf("%s ", *word);
}

/* Calls `put` for each hook. */
static void for_hooks(const struct flow_rules *r, void (*put)(const struct flow_rules *, unsigned hook))
{
	for (unsigned h = 0; h < HOOKS; h++)
		if (r->hooks & 1U << h)
			put(r, h);
}

/* ---- iptables ------------------------------------------------------------------------------------ */

static void put_jump(const struct flow_rules *r, unsigned hook)
{
	printf("-A %s -j ipq-flows-%u\n", hook_names[hook], r->queue);
}

static void put_removal(const struct flow_rules *r, unsigned hook)
{
	printf("#   iptables -t mangle -D %s -j ipq-flows-%u\n", hook_names[hook], r->queue);
}

static void put_iptables(const struct flow_rules *r)
{
	unsigned n = r->queue;

	puts("# For iptables-restore -n, and for ip6tables-restore -n. To remove:");
	for_hooks(r, put_removal);
	printf("#   for c in flows left gone; do iptables -t mangle -F ipq-$c-%u; done\n"
	       "#   for c in flows left gone; do iptables -t mangle -X ipq-$c-%u; done\n"
	       "*mangle\n:ipq-flows-%u - [0:0]\n:ipq-left-%u - [0:0]\n:ipq-gone-%u - [0:0]\n",
	       n, n, n, n, n);
	printf("-A ipq-left-%u -j CONNMARK --save-mark --nfmask 0x%x --ctmask 0x%x\n"
	       "-A ipq-left-%u -j MARK --set-xmark 0x0/0x%x\n"
	       "-A ipq-gone-%u -j CONNMARK --save-mark --nfmask 0x%x --ctmask 0x%x\n"
	       "-A ipq-gone-%u -j DROP\n",
	       n, r->mask, r->mask, n, r->mask, n, r->mask, r->mask, n);
	printf("-A ipq-flows-%u -m connmark --mark 0x%x/0x%x -j RETURN\n"
	       "-A ipq-flows-%u -m connmark --mark 0x%x/0x%x -j DROP\n"
	       "-A ipq-flows-%u -m mark --mark 0x%x/0x%x -g ipq-left-%u\n"
	       "-A ipq-flows-%u -m mark --mark 0x%x/0x%x -g ipq-gone-%u\n"
	       "-A ipq-flows-%u ",
	       n, r->leave, r->mask, n, r->drop, r->mask, n, r->leave, r->mask, n, n, r->drop, r->mask, n, n);
	put_match(r);
	printf("-j NFQUEUE --queue-num %u\n", n);
	for_hooks(r, put_jump);
	puts("COMMIT");
}

/* ---- nftables ------------------------------------------------------------------------------------ */

#define PORTS "meta l4proto { tcp, udp, udplite, sctp, dccp } "
#define TUPLE(ip) ip " saddr . " ip " daddr . meta l4proto . th sport . th dport"

static void put_set(const char *name, const char *address)
{
	printf("\tset %s {\n\t\ttype %s . %s . inet_proto . inet_service . inet_service\n"
	       "\t\tflags dynamic,timeout\n\t\ttimeout 60s\n\t\tsize 65536\n\t}\n",
	       name, address, address);
}

static void put_nft_chain(const struct flow_rules *r, unsigned hook)
{
	char name[16];

	hook_lower(hook, name);
	printf("\tchain %s {\n\t\ttype filter hook %s priority -150;\n", name, name);
	printf("\t\tct mark and 0x%x == 0x%x counter accept\n"
	       "\t\tct mark and 0x%x == 0x%x drop\n",
	       r->mask, r->leave, r->mask, r->drop);
	fputs("\t\t" PORTS TUPLE("ip") " @dropped4 drop\n\t\t" PORTS TUPLE("ip6") " @dropped6 drop\n",
	      stdout);
	printf("\t\tmeta mark and 0x%x == 0x%x counter goto left\n"
	       "\t\tmeta mark and 0x%x == 0x%x goto gone\n\t\t",
	       r->mask, r->leave, r->mask, r->drop);
	put_match(r);
	printf("queue num %u\n\t}\n", r->queue);
}

static void put_nft(const struct flow_rules *r)
{
	unsigned n = r->queue;
	uint32_t others = ~r->mask;

	printf("# For nft -f. To remove: nft delete table inet ipq_flows_%u\n"
	       "table inet ipq_flows_%u\ndelete table inet ipq_flows_%u\ntable inet ipq_flows_%u {\n",
	       n, n, n, n);
	put_set("dropped4", "ipv4_addr");
	put_set("dropped6", "ipv6_addr");
	printf("\tchain left {\n\t\tct mark set ct mark and 0x%x or 0x%x\n"
	       "\t\tmeta mark set meta mark and 0x%x\n\t\taccept\n\t}\n",
	       others, r->leave, others);
	printf("\tchain gone {\n\t\tct mark set ct mark and 0x%x or 0x%x\n", others, r->drop);
	fputs("\t\t" PORTS
	      "update @dropped4 { " TUPLE("ip") " }\n"
						"\t\t" PORTS
						"update @dropped6 { " TUPLE("ip6") " }\n"
										   "\t\tdrop\n\t}\n",
	      stdout);
	for_hooks(r, put_nft_chain);
	puts("}");
}

/* ---- the command line ---------------------------------------------------------------------------- */

/* Parses VALUE/MASK, with the same checks as ipq_queue_open(). */
static int parse_mark(struct flow_rules *r, const char *text)
{
	char *slash, *end;
	unsigned long value, mask;
	uint32_t low;

	errno = 0;
	value = strtoul(text, &slash, 0);
	mask = *slash == '/' ? strtoul(slash + 1, &end, 0) : 0;
	if (slash == text || *slash != '/' || end == slash + 1 || *end != '\0' || errno != 0 ||
	    mask > UINT32_MAX || value > mask || strchr(text, '-') != NULL)
		return command_usage(&command_rules,
				     "--flow-mark \"%s\": give VALUE/MASK, as 0x41000000/0xff000000", text);
	low = (uint32_t)mask & -(uint32_t)mask;
	if ((mask & low << 1) == 0 || (value & ~mask) != 0 || (value & (low | low << 1)) != low)
		return command_usage(
			&command_rules,
			"--flow-mark \"%s\": the mask needs at least two adjacent bits; the value "
			"must set the lowest one and clear the next",
			text);
	r->leave = (uint32_t)value;
	r->mask = (uint32_t)mask;
	r->drop = r->leave ^ 3 * low;
	return 0;
}

static int parse_queue(struct flow_rules *r, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end != '\0' || n > 65535)
		return command_usage(&command_rules, "--queue \"%s\": give a number from 0 to 65535", text);
	r->queue = (unsigned)n;
	return 0;
}

static int parse(struct flow_rules *r, int option, const char *value, bool *nft, bool *flows)
{
	struct ipq_error e;

	switch (option) {
	case 'f':
		*flows = true;
		return 0;
	case 'o':
		return rules_parse_hooks(value, &r->hooks, &e) < 0
			       ? command_usage(&command_rules, "%s", e.text)
			       : 0;
	case 'q':
		return parse_queue(r, value);
	case 'm':
		return parse_mark(r, value);
	default:
		*nft = strcmp(value, "nftables") == 0;
		if (!*nft && strcmp(value, "iptables") != 0)
			return command_usage(&command_rules, "--via \"%s\": give iptables or nftables",
					     value);
		return 0;
	}
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "flows", no_argument, NULL, 'f' },	       { "on", required_argument, NULL, 'o' },
		{ "queue", required_argument, NULL, 'q' },     { "via", required_argument, NULL, 'v' },
		{ "flow-mark", required_argument, NULL, 'm' }, { NULL, 0, NULL, 0 }
	};
	struct flow_rules r = { .leave = FLOWS_MARK, .drop = FLOWS_MARK ^ 3 << 24, .mask = FLOWS_MASK };
	bool nft = false, flows = false;
	int c, status = 0;

	opterr = 0;
	while (status == 0 && (c = getopt_long(argc, argv, "+:q:", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return command_bad_option(&command_rules, options, argv, c);
		status = parse(&r, c, optarg, &nft, &flows);
	}
	if (status != 0)
		return status;
	if (!flows)
		return command_usage(&command_rules, "give --flows: there are no other rules to print");
	if (r.hooks == 0)
		return command_usage(&command_rules, "give --on HOOK: where packets are queued");
	r.match = argv + optind;
	if (nft)
		put_nft(&r);
	else
		put_iptables(&r);
	return 0;
}

const struct command command_rules = {
	.name = "rules",
	.summary = "print firewall rules for programs with flow verdicts",
	.help = "Usage: ipq rules --flows --on HOOK[,HOOK...] [OPTIONS] [-- MATCH...]\n"
		"\n"
		"Prints firewall rules for programs that call ipq_accept_flow(3). With these\n"
		"rules, the kernel decides the rest of a flow. Changes nothing.\n"
		"\n"
		"      --on HOOK      where packets are queued: PREROUTING, INPUT, FORWARD,\n"
		"                     OUTPUT or POSTROUTING\n"
		"  -q, --queue N      the program's queue (0)\n"
		"      --via KIND     iptables (the default) or nftables\n"
		"      --flow-mark VALUE/MASK\n"
		"                     the program's flow_mark and flow_mask\n"
		"                     (default 0x41000000/0xff000000)\n"
		"  MATCH              queue only such packets, in the syntax of iptables or nft\n"
		"\n"
		"  ipq rules --flows --on FORWARD -- -p tcp | sudo iptables-restore -n\n"
		"  ipq rules --flows --on FORWARD -- -p tcp | sudo ip6tables-restore -n\n"
		"  ipq rules --flows --on FORWARD --via nftables | sudo nft -f -\n"
		"\n"
		"Exit status: 0 success, 2 usage.\n"
		"See ipq-rules(1).\n",
	.run = run,
};
