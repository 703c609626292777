/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules in force with their counters, as `ipq filter` reads them from arguments and files, and what
 * follows from them for the queue and for the firewall rule that feeds it.
 */
#ifndef IPQ_FILTER_ACTIVE_RULES_H
#define IPQ_FILTER_ACTIVE_RULES_H

#include <stdio.h>
#include "filter/ruleset.h"

/* Counters of one rule in one worker. */
struct counters {
	_Atomic uint64_t packets, bytes;
	_Atomic uint64_t dropped; /* of these: beyond a rate, out of order, or not editable */
	_Atomic uint64_t places;  /* texts rewritten */
};

struct active_rules {
	struct ruleset set;
	unsigned workers;
	bool kernel_accepts;	   /* what the last accept would accept does not come to user space */
	bool resizes_tcp;	   /* a rule changes the length of TCP payload */
	struct counters *counters; /* [worker][rule]; rule set.count stands for "no rule" */
	struct counters *base;	   /* [rule]: what the same rule counted before a reload */
};

/* Where rules come from. */
struct active_rules_source {
	char *const *text; /* arguments */
	unsigned count;
	const char *file; /* or NULL; its rules come first */
};

/* Reads and parses. What is wrong is shown on stderr with a caret. 0 or -errno. */
int active_rules_load(struct active_rules **active_rules, const struct active_rules_source *from,
		      unsigned workers);
void active_rules_free(struct active_rules *active_rules);

static inline struct counters *active_rules_counters(const struct active_rules *active_rules, unsigned worker,
						     unsigned rule)
{
	return &active_rules->counters[(size_t)worker * (active_rules->set.count + 1) + rule];
}

/* Rules with the same text go on counting where they were. `old` must not be in use any more. */
void active_rules_restore(struct active_rules *active_rules, const struct active_rules *old);
/* A rate goes on where the same rule of the old plan is. */
void active_rules_restore_rates(struct active_rules *active_rules, const struct active_rules *old);

/* Sum over workers, with base. */
void active_rules_sum(const struct active_rules *active_rules, unsigned rule, struct counters *sum);
/* The table of counters: text, its lines cut to width (0: as long as they are), or one line of JSON. Returns
 * the number of lines. */
unsigned active_rules_print(const struct active_rules *active_rules, FILE *out, bool json, unsigned width);

/* Bytes of a packet that the filters look at; 0: all of it may be needed. */
uint32_t active_rules_copy_range(const struct active_rules *active_rules);
/* Does a rule edit payload? Count packets one by one? */
bool active_rules_need_segments(const struct active_rules *active_rules);
/* A rule changes the length of TCP payload: both directions must pass. NULL: none. */
const struct rule *active_rules_resize_tcp(const struct active_rules *active_rules);
/* The filters that the firewall rule needs: room for set.count. 0: every packet must come. */
size_t active_rules_filters(const struct active_rules *active_rules, struct bpf_program *filters);

#endif
