/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Declarations that rules.c, rules_choose.c and rules_script.c share. */
#ifndef IPQ_FIREWALL_RULES_SCRIPT_H
#define IPQ_FIREWALL_RULES_SCRIPT_H

#include <sys/types.h>
#include "firewall/rules.h"

#define FAMILIES 2 /* address families: IPv4 and IPv6; nftables has one table for both */

struct filters {
	const struct bpf_program *program;
	size_t count;
};

struct rules {
	struct rules_options options;
	/* the kinds that rules_install tries; for iptables, the kinds of IPv4 */
	enum firewall_kind candidate[3];
	unsigned candidates;
	enum firewall_kind kind[FAMILIES]; /* the kinds in use */
	unsigned families;		   /* number of the kinds in use */
	struct chains chains;		   /* all ipq chains, as read most recently */
	struct mark mark;
	uint16_t first, last;
	char name[32];		 /* name of our chain or table */
	struct filters new, old; /* the filters; old: still in force during a change */
	bool no_match;		 /* this kernel has no bpf match */
	bool touched;		 /* a change has succeeded for at least one family */
	bool no_flows;		 /* this kernel has no connection marks */
	bool stopping;		 /* no further packet may be queued: see rules_stop() */
	/* Write chains without hooks: the kernel adds and removes hooks even for a check, and drops all packets that
	 * wait in any queue when a hook is removed. */
	bool no_hooks;
	/* packets and bytes counted by rules that were replaced: see rules_passed() */
	uint64_t packets, bytes;
	bool on_top;  /* our jumps are, or are about to become, the first rule of each hook */
	bool old_all; /* the old filters queued all packets */
	enum {
		SETTLED,
		EXTENDED,
		UNSETTLED
	} change;      /* UNSETTLED: the chain may have more rules than `new` requires */
	unsigned same; /* number of checks of legacy tables, each fifth of which reads the table */
	uint64_t generation[FAMILIES]; /* probe_generation() when the rules were last found complete */
	int lock;		       /* descriptor of the lock; -1: the lock is not held */
	int failed;		       /* the result of rules_stop() */
	struct ipq_error why;	       /* the reason of `failed` */
	pid_t guardian;
	int guardian_fd;
};

#define CLOSE_WAIT_MS 60000

/* Starts the guardian. Call it before threads exist. 0 or -errno with a text in *e. */
int guardian_start(struct rules *r, struct ipq_error *e);
/*
 * Ends the guardian. removed: no rules are left, so the guardian ends immediately. Otherwise it tries to remove
 * them when this process has ended.
 */
void guardian_end(struct rules *r, bool removed);

/* Sets r->candidate. 0 or -errno. */
int rules_choose_kinds(struct rules *r, struct ipq_error *e);
/* Sets r->mark to a mark that no chain in r->chains uses. 0 or -EBUSY. */
int rules_choose_mark(struct rules *r, struct ipq_error *e);

/*
 * The hooks whose jumps to chain c these rules must remove. *all: set if no jump will be left, so that the chain
 * must be removed, too.
 */
unsigned rules_takes_over(const struct rules *r, const struct ipq_chain *c, bool *all);

/* Our entry in r->chains, or NULL. */
const struct ipq_chain *rules_own_chain(const struct rules *r, enum firewall_kind kind);

/* Whether the rules have marks for flows, or will have them. */
bool rules_have_flows(const struct rules *r);
/* The marks of an accepted flow and of a dropped flow of the process whose mark is m. */
struct mark mark_left(struct mark m);
struct mark mark_gone(struct mark m);

/*
 * Whether our chain must let packets with this chain's mark pass. Only if that chain comes after ours, and its
 * process runs.
 */
bool rules_must_know(const struct rules *r, enum firewall_kind kind, const struct ipq_chain *c);

/* Whether all packets are queued, because there is no filter or one is too long for the bpf match. */
bool rules_unfiltered(const struct rules *r);
/* The number of rules that script_chain() writes into the chain, without those for marks of other chains. */
unsigned rules_count(const struct rules *r);

/* Creates our chain, or replaces its content. Adds no jumps. */
void script_chain(const struct rules *r, enum firewall_kind kind, FILE *script);
/* Writes the complete script, including the removal of a chain with our name. */
void script_install(const struct rules *r, enum firewall_kind kind, FILE *script);

#endif
