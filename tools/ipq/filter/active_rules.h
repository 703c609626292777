/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules in force, which `ipq filter` has read from arguments and files, their counters, and the settings that
 * they need of the queue and of the firewall rule that feeds it.
 */
#ifndef IPQ_FILTER_ACTIVE_RULES_H
#define IPQ_FILTER_ACTIVE_RULES_H

#include <stdio.h>
#include "filter/ruleset.h"

/* Counters of one rule in one worker. */
struct counters {
	_Atomic uint64_t packets, bytes;
	_Atomic uint64_t dropped;    /* of these packets: dropped by chance, beyond a rate, or out of order */
	_Atomic uint64_t places;     /* texts rewritten, headers edited */
	_Atomic uint64_t not_edited; /* edits that could not be made */
};

/* Counters of the flows that rules decided. */
struct flow_totals {
	uint64_t decided;	       /* flows */
	uint64_t packets, bytes;       /* packets of decided flows: the rules were not applied to them */
	bool in_kernel;		       /* the firewall rules count the following: */
	uint64_t passed, passed_bytes; /* packets of accepted flows, which were not queued */
};

struct active_rules {
	struct ruleset set;
	unsigned workers;
	bool kernel_accepts; /* the kernel accepts what the last accept would accept, without queueing it */
	bool resizes_tcp;    /* a rule changes the length of TCP payload */
	bool rewrites_by_metadata; /* a rewrite may match at one hook and not at an earlier one */
	bool selects_records;	   /* a rule has "record": packets of other rules are not recorded */
	bool flows;		   /* a rule decides flows */
	bool whole_flows; /* drops or marks flows: all packets must be queued, also those that no condition matches */
	uint32_t flags; /* IPQ_O_ that conditions and actions need */
	/*
	 * All bytes of rewritten texts except the last one of each: if a segment ends with such a byte, its text may
	 * continue in the next segment.
	 */
	bool splits[256];
	bool rewrites_http;
	struct counters *counters;  /* [worker][rule]; rule set.count stands for "no rule" */
	struct counters *base;	    /* [rule]: what the same rule counted before a reload */
	struct bpf_program *filter; /* for the firewall rule: a packet that none matches is not queued */
	size_t filters;		    /* number of filters; 0: every packet must be queued */
};

/* The arguments and the file that rules are read from. */
struct active_rules_source {
	char *const *text; /* arguments */
	unsigned count;
	const char *file; /* NULL: none. Its rules come before those of text. */
	bool again;	  /* the file was read before: now it must be a regular file, and complete */
};

/*
 * Reads and parses. Prints all mistakes on stderr, each with a caret. 0, -EINVAL if the rules or the file are invalid,
 * or another -errno.
 */
int active_rules_load(struct active_rules **active_rules, const struct active_rules_source *from,
		      unsigned workers);
void active_rules_free(struct active_rules *p);

static inline struct counters *active_rules_counters(const struct active_rules *active_rules, unsigned worker,
						     unsigned rule)
{
	return &active_rules->counters[(size_t)worker * (active_rules->set.count + 1) + rule];
}

/* Called by the worker that owns the counter, so that no locked instruction is needed. */
static inline void counters_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Rules with the same text continue their counters. `old` must not be in use any more. */
void active_rules_restore(struct active_rules *p, const struct active_rules *old);
/* Rates of rules with the same text continue. */
void active_rules_restore_rates(struct active_rules *p, const struct active_rules *old);

/* Sets the counters to 0. */
void active_rules_reset(struct active_rules *p);
/* The sum over all workers and the base. */
void active_rules_sum(const struct active_rules *p, unsigned rule, struct counters *sum);
/* The table of counters: text, whose lines are cut to `width` (0: not cut), or JSON, without its closing brace. flows:
 * NULL if no rule decides flows. Returns the number of lines. */
unsigned active_rules_print(const struct active_rules *p, const struct flow_totals *flows, FILE *out,
			    bool json, unsigned width);

/* Bytes of a packet that the rules read; 0: all may be needed. */
uint32_t active_rules_copy_range(const struct active_rules *p);
/* Does a rule edit packets, or count them one by one? */
bool active_rules_need_segments(const struct active_rules *p);
/* A rule that changes the length of TCP payload, so that both directions must be queued. NULL: none. */
const struct rule *active_rules_resize_tcp(const struct active_rules *p);
/* A rule after `from` that applies to packets which `from` would have decided before version 0.2. NULL: none. */
const struct rule *active_rules_now_reached(const struct active_rules *p, const struct rule **from);

#endif
