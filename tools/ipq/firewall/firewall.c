/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/subprocess.h"
#include "common/tool.h"
#include "firewall/firewall.h"
#include "nfqueue/diagnose.h"

static const char *const tools[FIREWALL_KINDS] = {
	[FIREWALL_IPTABLES_NFT] = "iptables-nft",
	[FIREWALL_IP6TABLES_NFT] = "ip6tables-nft",
	[FIREWALL_NFT] = "nft",
};

const char *firewall_tool(enum firewall_kind kind)
{
	return tools[kind] != NULL ? tools[kind] : tool_iptables(kind == FIREWALL_IP6TABLES_LEGACY);
}

/* Gets the rules of one table, or of all (NULL). */
static int ask(enum firewall_kind kind, const char *table, char **text)
{
	char command[96];

	if (kind == FIREWALL_NFT)
		return subprocess_run_line("nft list ruleset", text);
	snprintf(command, sizeof(command), "%s-save -c%s%s", firewall_tool(kind), table != NULL ? " -t " : "",
		 table != NULL ? table : "");
	return subprocess_run_line(command, text);
}

static int parse(struct firewall *f, enum firewall_kind kind, const char *text)
{
	if (text == NULL)
		return 0;
	return kind == FIREWALL_NFT ? firewall_parse_nft(f, text) : firewall_parse_save(f, kind, text);
}

/*
 * The list of legacy tables, /proc/net/ip_tables_names, has mode 0440 and belongs to the machine's root. So
 * iptables-legacy-save fails for root of a user namespace, unless it gets the name of a table. But then it creates
 * the table (empty) if it is missing. So a name is given only in such a namespace.
 */
static int read_tables(struct firewall *f, enum firewall_kind kind)
{
	static const char *const tables[] = { "raw", "mangle", "nat", "filter" };
	char *text;
	int err = 0;

	f->state[kind] = FIREWALL_READ;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && err == 0; i++) {
		if (ask(kind, tables[i], &text) == 0)
			err = parse(f, kind, text);
		else if (strcmp(tables[i], "filter") == 0) /* the kernel may lack the other tables */
			f->state[kind] = FIREWALL_REFUSED;
		free(text);
	}
	return err;
}

static int read_kind(struct firewall *f, enum firewall_kind kind)
{
	bool own_namespace = have_net_admin() && access("/proc/net/netfilter/nfnetlink_queue", R_OK) < 0;
	char *text = NULL;
	int err = 0, status = ask(kind, NULL, &text);

	if (status == -ENOENT) {
		f->state[kind] = FIREWALL_NO_TOOL;
	} else if (status == 0) {
		err = parse(f, kind, text);
	} else {
		f->state[kind] = FIREWALL_REFUSED;
		f->error[kind] = status;
		if (kind <= FIREWALL_IP6TABLES_LEGACY && own_namespace)
			err = read_tables(f, kind);
	}
	free(text);
	return err;
}

int firewall_read(struct firewall *f)
{
	int err = 0;

	*f = (struct firewall){ .rule = NULL };
	/* Read nft last, because it shows the rules of iptables-nft once more. */
	for (enum firewall_kind kind = 0; kind < FIREWALL_KINDS && err == 0; kind++)
		err = read_kind(f, kind);
	if (err < 0)
		firewall_free(f);
	return err;
}

void firewall_free(struct firewall *f)
{
	free(f->rule);
	free(f->flow);
	free(f->chain);
	*f = (struct firewall){ .rule = NULL };
}

bool firewall_complete(const struct firewall *f)
{
	bool any = false;

	for (enum firewall_kind kind = 0; kind < FIREWALL_KINDS; kind++) {
		if (f->state[kind] == FIREWALL_REFUSED)
			return false;
		any |= f->state[kind] == FIREWALL_READ;
	}
	return any;
}

bool queue_rule_feeds(const struct queue_rule *rule, uint32_t queue)
{
	return !rule->computed && queue >= rule->first && queue <= rule->last;
}

void queue_rule_removal(const struct queue_rule *rule, char *to, size_t room)
{
	to[0] = '\0';
	if (rule->kind == FIREWALL_NFT) /* removing this rule needs its handle, which only "nft -a" shows */
		snprintf(to, room, "nft -a list chain %s %s %s", rule->family, rule->table, rule->chain);
	else if (strncmp(rule->text, "-A ", 3) == 0 && strlen(rule->text) + 1 < sizeof(rule->text))
		snprintf(to, room, "%s -t %s -D %s", firewall_tool(rule->kind), rule->table, rule->text + 3);
}
