/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Declarations that rules.c, rules_choose.c and rules_script.c share. */
#ifndef IPQ_FIREWALL_RULES_SCRIPT_H
#define IPQ_FIREWALL_RULES_SCRIPT_H

#include <sys/types.h>
#include "firewall/rules.h"

#define FAMILIES 2 /* IPv4 and IPv6; nftables has one table for both */

struct filters {
	const struct bpf_program *program;
	size_t count;
};

struct rules {
	struct rules_options options;
	enum firewall_kind candidate[3]; /* the kinds that rules_install tries; of iptables, the IPv4 ones */
	unsigned candidates;
	enum firewall_kind kind[FAMILIES]; /* in use */
	unsigned families;		   /* the length of the list above */
	struct chains chains;		   /* all ipq chains, as they were read last */
	struct mark mark;
	uint16_t first, last;
	char name[32];		 /* name of our chain or table */
	struct filters new, old; /* old: still in force during a change */
	bool no_match;		 /* this kernel has no bpf match */
	bool touched;		 /* a change has succeeded for at least one family */
	bool no_flows;		 /* this kernel has no connection marks */
	bool stopping;		 /* no further packet may be queued: see rules_stop() */
	/* Write chains without hooks: the kernel adds and removes hooks even for a check, and drops all packets that
	 * wait in any queue when a hook is removed. */
	bool no_hooks;
	uint64_t packets, bytes; /* see rules_passed(): counts of the rules that were replaced */
	bool on_top;		 /* our jumps are, or are about to become, the first rule of each hook */
	bool old_all;		 /* with the old filters all packets were queued */
	enum {
		SETTLED,
		EXTENDED,
		UNSETTLED
	} change;		       /* UNSETTLED: the chain may have more rules than `new` needs */
	unsigned same;		       /* how often they were found unchanged since then */
	uint64_t generation[FAMILIES]; /* probe_generation() when the rules were last found complete */
	int lock;		       /* -1: not held */
	int failed;		       /* the result of rules_stop() */
	struct ipq_error why;	       /* the reason of `failed` */
	pid_t guardian;
	int guardian_fd;
};

#define CLOSE_WAIT_MS 60000

/* Call before threads exist. 0 or -errno with a text in *e. */
int guardian_start(struct rules *r, struct ipq_error *e);
/* removed: no rules are left, and the guardian ends at once. Otherwise it tries to remove them when this process has
 * ended. */
void guardian_end(struct rules *r, bool removed);

/* Sets r->candidate. 0 or -errno. */
int rules_choose_kinds(struct rules *r, struct ipq_error *e);
/* Sets r->mark to one that no chain in r->chains uses. 0 or -EBUSY. */
int rules_choose_mark(struct rules *r, struct ipq_error *e);

/*
 * The hooks whose jumps to chain c these rules must remove. *all: no jump is left then, so the chain is removed, too.
 */
unsigned rules_takes_over(const struct rules *r, const struct ipq_chain *c, bool *all);

/* Our entry in r->chains, or NULL. */
const struct ipq_chain *rules_own_chain(const struct rules *r, enum firewall_kind kind);

/* Do the rules have marks for flows, or will they? */
bool rules_have_flows(const struct rules *r);
/* The marks of an accepted flow and of a dropped flow of the process whose mark is m. */
struct mark mark_left(struct mark m);
struct mark mark_gone(struct mark m);

/* Must our chain let packets with the mark of this one pass? Only if it comes after ours, and its process runs. */
bool rules_must_know(const struct rules *r, enum firewall_kind kind, const struct ipq_chain *c);

/* Are all packets queued, because there is no filter or one is too long for the bpf match? */
bool rules_unfiltered(const struct rules *r);
/* The number of rules that script_chain() writes into the chain, without those for marks of other chains. */
unsigned rules_count(const struct rules *r);

/* Creates or replaces the content of our chain; no jumps. */
void script_chain(const struct rules *r, enum firewall_kind kind, FILE *script);
/* The whole script, including the removal of a chain with our name. */
void script_install(const struct rules *r, enum firewall_kind kind, FILE *script);

#endif
