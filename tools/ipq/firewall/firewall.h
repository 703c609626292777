/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All firewall rules that queue packets, also those of other programs, parsed from the output of iptables-save and
 * "nft list ruleset".
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
	FIREWALL_NFT, /* tables that iptables does not manage */
	FIREWALL_KINDS
};

/* A rule that queues. */
struct queue_rule {
	enum firewall_kind kind;
	uint16_t first, last; /* queue numbers, both included */
	bool computed;	      /* the number is from a map, or is not shown: first and last are invalid */
	bool bypass;	      /* packets pass while no process owns the queue */
	char family[8];	      /* "ip", "ip6", "inet", "bridge", ... */
	char table[64], chain[64];
	bool counted;	   /* packets is known */
	uint64_t packets;  /* packets that have matched it */
	uint64_t bytes;	   /* of these */
	bool unreached;	   /* no packet reaches this rule */
	char blocker[200]; /* unreached: the earlier rule that decides, "" if nothing calls its chain */
	bool queued;	   /* unreached: because that earlier rule queues its packets to the same queues */
	char passing[200]; /* an earlier rule that accepts packets before those of ipq: "" none */
	char text[400];	   /* as the tool shows it, cut; untrusted text: see text.h */
};

/* The result of a tool. */
enum firewall_state {
	FIREWALL_READ,
	FIREWALL_NO_TOOL,
	FIREWALL_REFUSED /* not permitted, not in this kernel, or timed out */
};

/*
 * Rules of `ipq filter` or `ipq rules --flows` by which the kernel keeps the flows that a queue decided, and
 * counters.
 */
struct kept_flows {
	enum firewall_kind kind;
	uint16_t queue;
	uint64_t left;		 /* how often a flow was left to the kernel */
	uint64_t packets, bytes; /* packets of accepted flows, which were not queued */
};

/* A chain that iptables-nft has shown: "nft list ruleset" shows it again. */
struct firewall_chain {
	char family[8], table[64], chain[64];
};

struct firewall {
	enum firewall_state state[FIREWALL_KINDS];
	int error[FIREWALL_KINDS]; /* with FIREWALL_REFUSED: the exit status, or -errno */
	struct queue_rule *rule;
	size_t count;
	struct kept_flows *flow;
	size_t flows;
	struct firewall_chain *chain;
	size_t chains;
};

/* The command of a kind: "iptables-legacy", ..., "nft". */
const char *firewall_tool(enum firewall_kind kind);

/* Calls every installed tool. Changes nothing. 0, or -ENOMEM. */
int firewall_read(struct firewall *f);
void firewall_free(struct firewall *f);

/* Was at least one kind of firewall read, and none refused? Else "no rule" means "none that can be seen". */
bool firewall_complete(const struct firewall *f);

/* Does the rule name this queue? */
bool queue_rule_feeds(const struct queue_rule *rule, uint32_t queue);

/* The command that removes the rule, as typed in a shell; "" if there is no simple one. */
void queue_rule_removal(const struct queue_rule *rule, char *to, size_t room);

/* The parsers: add the rules in this text to f, and skip what they cannot parse. 0 or -ENOMEM. */
int firewall_parse_save(struct firewall *f, enum firewall_kind kind, const char *text);
int firewall_parse_nft(struct firewall *f, const char *text);

#endif
