/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules in force, which `ipq filter` has read from arguments and files; their counters; and the settings that they
 * need, for the queue and for the firewall rule that feeds it.
 */
#ifndef IPQ_FILTER_ACTIVE_RULES_H
#define IPQ_FILTER_ACTIVE_RULES_H

#include <stdio.h>
#include "filter/ruleset.h"

/* Counters of one rule in one worker. */
struct counters {
	_Atomic uint64_t packets, bytes;
	/* the part of these packets that was dropped by chance, beyond a rate, or out of order */
	_Atomic uint64_t dropped;
	_Atomic uint64_t places;     /* number of texts rewritten or headers edited */
	_Atomic uint64_t not_edited; /* number of edits that could not be made */
};

/* Counters of flows that rules have decided. */
struct flow_totals {
	uint64_t decided;	       /* number of flows */
	uint64_t packets, bytes;       /* packets of decided flows, to which no rule was applied */
	bool in_kernel;		       /* there are firewall rules that count the packets below */
	uint64_t passed, passed_bytes; /* packets of accepted flows, which were not queued */
};

struct active_rules {
	struct ruleset set;
	unsigned workers;
	/* the kernel accepts packets that the last rule "accept" would accept, without queueing them */
	bool kernel_accepts;
	bool resizes_tcp; /* a rule changes the length of TCP payload */
	/* a rewrite may match at one hook although it has not matched at an earlier one */
	bool rewrites_by_metadata;
	bool selects_records; /* a rule has "record": only packets of such rules are recorded */
	bool flows;	      /* a rule decides flows */
	/* a rule drops or marks flows: all packets must be queued, even if they match no condition */
	bool whole_flows;
	uint32_t flags; /* IPQ_O_ flags that conditions and actions need */
	/*
	 * A set of bytes: all bytes of the texts to rewrite, except the last byte of each text. If a segment ends
	 * with such a byte, the text may continue in the next segment.
	 */
	bool splits[256];
	bool rewrites_http;
	struct counters *counters; /* counters[worker][rule]; rule set.count means "no rule" */
	struct counters *base;	   /* base[rule]: the counts of the same rule before a reload */
	/* filters for the firewall rule: a packet that matches none is not queued */
	struct bpf_program *filter;
	size_t filters; /* number of filters; 0: every packet must be queued */
};

/* The arguments and the file from which rules are read. */
struct active_rules_source {
	char *const *text; /* rules as arguments */
	unsigned count;
	const char *file; /* path of a file with rules; NULL: none. Its rules come before those of `text`. */
	bool again;	  /* the file is read again: it must be a regular file and complete */
};

/*
 * Reads and parses the rules. Prints all mistakes on stderr, each with a caret. 0, -EINVAL if the rules or the file
 * are invalid, or another -errno.
 */
int active_rules_load(struct active_rules **active_rules, const struct active_rules_source *from,
		      unsigned workers);
void active_rules_free(struct active_rules *p);

static inline struct counters *active_rules_counters(const struct active_rules *active_rules, unsigned worker,
						     unsigned rule)
{
	return &active_rules->counters[(size_t)worker * (active_rules->set.count + 1) + rule];
}

/* Adds to a counter. Only the worker that owns the counter calls it, so no atomic read-modify-write is needed. */
static inline void counters_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Lets rules continue the counters of old rules with the same text. `old` must not be in use any more. */
void active_rules_restore(struct active_rules *p, const struct active_rules *old);
/* Lets rules continue the rates of old rules with the same text. */
void active_rules_restore_rates(struct active_rules *p, const struct active_rules *old);

/* Sets the counters to 0. */
void active_rules_reset(struct active_rules *p);
/* Computes the sum over all workers and the base. */
void active_rules_sum(const struct active_rules *p, unsigned rule, struct counters *sum);
/*
 * Prints the table of counters: text, whose lines are cut to `width` (0: not cut), or JSON without its closing
 * brace. flows: NULL if no rule decides flows. Returns the number of lines.
 */
unsigned active_rules_print(const struct active_rules *p, const struct flow_totals *flows, FILE *out,
			    bool json, unsigned width);

/* The number of bytes of a packet that the rules read; 0: they may need all bytes. */
uint32_t active_rules_copy_range(const struct active_rules *p);
/* Whether a rule edits packets, or counts them one by one. */
bool active_rules_need_segments(const struct active_rules *p);
/* Finds a rule that changes the length of TCP payload: then both directions must be queued. NULL: none. */
const struct rule *active_rules_resize_tcp(const struct active_rules *p);
/*
 * Finds a rule after `from` that now applies to packets which `from` would have decided before version 0.2. NULL:
 * none.
 */
const struct rule *active_rules_now_reached(const struct active_rules *p, const struct rule **from);

#endif
