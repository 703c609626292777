/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All firewall rules that queue packets, including those of other programs. They are parsed from the output of
 * iptables-save and "nft list ruleset".
 */
#ifndef IPQ_FIREWALL_FIREWALL_H
#define IPQ_FIREWALL_FIREWALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum firewall_kind {
	FIREWALL_IPTABLES_LEGACY,
	FIREWALL_IP6TABLES_LEGACY,
	FIREWALL_IPTABLES_NFT,
	FIREWALL_IP6TABLES_NFT,
	FIREWALL_NFT, /* nft: tables that iptables does not manage */
	FIREWALL_KINDS
};

/* A firewall rule that queues packets. */
struct queue_rule {
	enum firewall_kind kind;
	uint16_t first, last; /* range of queue numbers, both ends included */
	/* the queue number comes from a map, or is not shown: first and last are invalid */
	bool computed;
	bool bypass;	/* packets pass while no process owns the queue */
	char family[8]; /* "ip", "ip6", "inet", "bridge", ... */
	char table[64], chain[64];
	bool counted;	  /* the counters below are known */
	uint64_t packets; /* packets that have matched the rule */
	uint64_t bytes;	  /* bytes of these packets */
	bool unreached;	  /* no packet reaches this rule */
	/* unreached: the earlier rule that decides its packets; "" if nothing calls its chain */
	char blocker[200];
	bool queued; /* unreached: because that earlier rule queues its packets to the same queues */
	/* an earlier rule that accepts packets before the rules of ipq see them; "": none */
	char passing[200];
	char text[400]; /* the rule as the tool shows it, truncated; untrusted text: see text.h */
};

/* The result of running a tool. */
enum firewall_state {
	FIREWALL_READ,
	FIREWALL_NO_TOOL,
	FIREWALL_REFUSED /* the tool is not permitted, not supported by this kernel, or timed out */
};

/*
 * Rules by which the kernel keeps the flows that a queue has decided (`ipq filter` or `ipq rules --flows`), and
 * their counters.
 */
struct kept_flows {
	enum firewall_kind kind;
	uint16_t queue;
	uint64_t left;		 /* number of flows that were left to the kernel */
	uint64_t packets, bytes; /* packets of accepted flows, which were not queued */
};

/* A chain that iptables-nft has shown: "nft list ruleset" will show it again. */
struct firewall_chain {
	char family[8], table[64], chain[64];
};

struct firewall {
	enum firewall_state state[FIREWALL_KINDS];
	int error[FIREWALL_KINDS]; /* the exit status, or -errno, if the state is FIREWALL_REFUSED */
	struct queue_rule *rule;
	size_t count;
	struct kept_flows *flow;
	size_t flows;
	struct firewall_chain *chain;
	size_t chains;
};

/* The command of a kind, such as "iptables-legacy" or "nft". */
const char *firewall_tool(enum firewall_kind kind);

/* Runs every installed tool. Changes no rules. 0, or -ENOMEM. */
int firewall_read(struct firewall *f);
void firewall_free(struct firewall *f);

/*
 * Whether at least one kind of firewall was read, and no kind was refused. Otherwise "no rule" means "no visible
 * rule".
 */
bool firewall_complete(const struct firewall *f);

/* Whether the rule names this queue. */
bool queue_rule_feeds(const struct queue_rule *rule, uint32_t queue);

/* The shell command that removes the rule; "" if there is no simple one. */
void queue_rule_removal(const struct queue_rule *rule, char *to, size_t room);

/* Parsers. Each adds the rules in this text to f, and skips text that it cannot parse. 0 or -ENOMEM. */
int firewall_parse_save(struct firewall *f, enum firewall_kind kind, const char *text);
int firewall_parse_nft(struct firewall *f, const char *text);

#endif
