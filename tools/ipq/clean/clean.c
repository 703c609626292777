/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ipq clean: removes the firewall rules of ipq processes that were killed. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "command.h"
#include "common/text.h"
#include "firewall/chains.h"
#include "nfqueue/diagnose.h"

#define WAIT_MS 60000

/* Removes the rules of a chain. Returns 1 if they are still there. */
static int remove_one(const struct ipq_chain *c, bool dry_run, int lock)
{
	char what[80], hooks[64];
	struct ipq_error e;

	chain_describe(c, what, sizeof(what));
	hooks_describe(c->hooks, hooks, sizeof(hooks));
	if (c->alive < 0) {
		text_complain("ipq clean", "%s (%s) stays: it is unknown whether its process is alive (%s)",
			      what, hooks, strerror(-c->alive));
		return 1;
	}
	if (!dry_run && chain_remove(c, ALL_HOOKS, WAIT_MS, "ipq clean", lock, &e) < 0) {
		text_complain("ipq clean", "%s (%s) stays: %s", what, hooks, e.text);
		return 1;
	}
	printf("%s %s (%s), which %s\n", dry_run ? "would remove" : "removed", what,
	       c->hooks != 0 ? hooks : "in no hook",
	       chain_blocks(c) ? "dropped packets because its process has ended" : "had no effect any more");
	return 0;
}

static int report_unread(const struct chains *c)
{
	int status = 0;

	for (enum firewall_kind kind = 0; kind < FIREWALL_KINDS; kind++) {
		if ((c->unread & 1U << kind) == 0)
			continue;
		text_complain("ipq clean", "the rules of %s could not be read", firewall_tool(kind));
		status = 1;
	}
	return status;
}

static int clean(bool dry_run)
{
	struct ipq_error e;
	struct chains c;
	int status, lock;

	if (!have_net_admin()) {
		text_complain("ipq clean", "this needs CAP_NET_ADMIN: run as root");
		return 1;
	}
	/* The lock could not be taken: a process may have bound a queue and be about to add its rules. */
	lock = firewall_lock("ipq clean", &e);
	if (lock < 0) {
		text_complain("ipq clean", "%s", e.text);
		return 1;
	}
	if (chains_read(&c, ALL_KINDS) < 0) {
		text_complain("ipq clean", "out of memory");
		close(lock);
		return 1;
	}
	status = report_unread(&c);
	for (size_t i = 0; i < c.count; i++)
		if (c.chain[i].alive != 1)
			status |= remove_one(&c.chain[i], dry_run, lock);
	chains_free(&c);
	close(lock);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
						 { NULL, 0, NULL, 0 } };
	bool dry_run = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "n", options, NULL)) != -1) {
		if (c != 'n')
			return command_usage(&command_clean, "unknown option \"%s\"", argv[optind - 1]);
		dry_run = true;
	}
	if (optind < argc)
		return command_usage(&command_clean, "\"%s\": ipq clean takes no arguments", argv[optind]);
	return clean(dry_run);
}

const struct command command_clean = {
	.name = "clean",
	.summary = "remove firewall rules of ipq processes that were killed",
	.help = "Usage: ipq clean [--dry-run]\n"
		"\n"
		"Removes the firewall rules that ipq filter and ipq watch left because they were\n"
		"killed or ended with an error, in this network namespace, from iptables and\n"
		"nftables. Rules of a process that is alive stay. The kernel drops packets that\n"
		"match rules of a killed ipq filter; after the removal these packets pass.\n"
		"\n"
		"  -n, --dry-run     only show what would be removed\n"
		"\n"
		"Exit status: 0 no such rules are left, 1 some are left, 2 usage.\n"
		"See ipq-clean(1).\n",
	.run = run,
};
