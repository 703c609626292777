/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall rules of ipq processes, running or dead, in this network namespace.
 *
 * A process that has bound queue N (or NFLOG group N) has its rules in the chain ipq-N (ipq-log-N) of the table
 * mangle, or in the nftables table "inet ipq_N" ("inet ipq_log_N"). It binds the number before it adds the rules
 * and removes the rules before it closes the queue. So rules whose number is not bound belong to a dead process.
 * The kernel reports whether a number is bound, across process and user namespaces.
 */
#ifndef IPQ_FIREWALL_CHAINS_H
#define IPQ_FIREWALL_CHAINS_H

#include "firewall/firewall.h"
#include "source/source.h"

#define HOOKS 5 /* PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING */
#define ALL_KINDS ((1U << FIREWALL_KINDS) - 1)
#define ALL_HOOKS ((1U << HOOKS) - 1)

extern const char *const hook_names[HOOKS];
/* The name of a hook in nftables, such as "prerouting". */
const char *hook_lower(unsigned hook, char to[16]);

enum { HELPER_DONE, HELPER_LEFT, HELPER_GONE, HELPERS };
extern const char *const chain_helpers[HELPERS]; /* "done", "left", "gone" */

#define KNOWN_MAX 192

/* Bits of a packet mark: the bits in `mask` have the value `mark`. */
struct mark {
	uint32_t mark, mask;
};

struct ipq_chain {
	enum firewall_kind kind;
	bool log; /* true: sends copies to NFLOG group `number`; false: sends packets to queue `number` */
	uint16_t number;
	uint16_t last; /* the last queue number, if there are several */
	char name[32]; /* name of the chain, or of the nftables table */
	bool exists;
	unsigned helpers; /* bit i: the helper chain NAME-chain_helpers[i] exists */
	bool bypass;
	unsigned rules;		      /* number of rules in the chain */
	unsigned targets;	      /* number of rules in the chain or table that queue or log */
	unsigned hooks;		      /* bit i: the hook hook_names[i] jumps to the chain */
	unsigned jumps[HOOKS];	      /* for each hook, the number of its jumps without a condition */
	unsigned at[HOOKS];	      /* for each hook, the position of the jump among its rules, from 1 */
	struct mark mark;	      /* the mark of packets that the chain's process repeats; mask 0: none */
	struct mark known[KNOWN_MAX]; /* marks of later chains: their repeated packets pass this chain */
	unsigned known_count;
	bool flows;		 /* the chain leaves decided flows to the kernel: see rules_script.c */
	uint64_t packets, bytes; /* packets and bytes of these flows that passed */
	bool unread;		 /* the rules of the chain could not be read */
	int alive;		 /* whether its process runs: 1, 0, or -errno (unknown) */
};

struct chains {
	struct ipq_chain *chain;
	size_t count;
	unsigned unread; /* bit k: firewall_kind k exists and could not be read */
	/* For each hook, the position of the first rule of another program that may change the mark; 0: none */
	unsigned marks_at[FIREWALL_KINDS][HOOKS];
};

/*
 * Reads the chains of the kinds whose bits are set, and asks the kernel which of their processes are alive. 0 or
 * -ENOMEM.
 */
int chains_read(struct chains *c, unsigned kinds);
void chains_free(struct chains *c);

/* Parses the output of "iptables-save -t mangle" and adds its chains to c, without `alive`. 0 or -ENOMEM. */
int chains_parse_save(struct chains *c, enum firewall_kind kind, const char *text);

/* Whether the chain drops packets while no process is bound. */
bool chain_blocks(const struct ipq_chain *c);

/* Describes a chain: "iptables-nft -t mangle chain ipq-5", "nft table inet ipq_5". */
const char *chain_describe(const struct ipq_chain *c, char *to, size_t room);
/* The names of the hooks: "INPUT, OUTPUT". */
const char *hooks_describe(unsigned hooks, char *to, size_t room);

/*
 * Appends commands to a script for firewall_apply(): they remove the jumps from these hooks, and the chain itself
 * when no hook is left.
 */
void chain_removal(const struct ipq_chain *c, unsigned hooks, FILE *script);

/* A script for firewall_apply(), in memory. */
struct firewall_script {
	FILE *file; /* stream that the caller writes the script to */
	char *text;
	size_t size;
};

/* Opens a script. False: there is no memory; firewall_apply() will report that. */
bool firewall_script_open(struct firewall_script *s);

/*
 * Runs iptables-restore --noflush or nft with a script, which is one transaction, and frees the script. While
 * another program holds the xtables lock, the call tries again for wait_ms. who: prefix of a message on stderr
 * about this wait (NULL: no message). hold: see struct subprocess. 0, or -errno with a text in *e.
 */
int firewall_apply(enum firewall_kind kind, struct firewall_script *s, int wait_ms, const char *who, int hold,
		   struct ipq_error *e);
/*
 * Whether this error of firewall_apply() does not depend on the rules and the kernel: a lock, or a tool that was
 * killed or slow.
 */
bool firewall_failed_by_chance(int err);

/*
 * Removes the jumps from these hooks, and the chain itself when no hook is left. Returns the values of
 * firewall_apply().
 */
int chain_remove(const struct ipq_chain *c, unsigned hooks, int wait_ms, const char *who, int hold,
		 struct ipq_error *e);

/*
 * Takes this network namespace's lock for changes of ipq's rules, by binding queue 65535. Waits up to 30 s. Returns
 * a descriptor to close, or -errno with a text in *e. Tools must inherit the descriptor (struct subprocess), so
 * that the lock is free only when they have ended.
 */
int firewall_lock(const char *who, struct ipq_error *e);

#endif
