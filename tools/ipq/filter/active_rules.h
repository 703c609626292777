/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules in force with their counters, as `ipq filter` reads them from arguments and files, and what
 * follows from them for the queue and for the firewall rule that feeds it.
 */
#ifndef PLAN_H
#define PLAN_H

#include <stdio.h>
#include "filter/ruleset.h"

/* Counters of one rule in one worker. */
struct tally {
	_Atomic uint64_t packets, bytes;
	_Atomic uint64_t dropped; /* of these: beyond a rate, out of order, or not editable */
	_Atomic uint64_t places;  /* texts rewritten */
};

struct plan {
	struct ruleset set;
	unsigned workers;
	bool kernel_accepts; /* what the last accept would accept does not come to user space */
	bool resizes_tcp;    /* a rule changes the length of TCP payload */
	struct tally *tally; /* [worker][rule]; rule set.count stands for "no rule" */
	struct tally *base;  /* [rule]: what the same rule counted before a reload */
};

/* Where rules come from. */
struct plan_source {
	char *const *text; /* arguments */
	unsigned count;
	const char *file; /* or NULL; its rules come first */
};

/* Reads and parses. What is wrong is shown on stderr with a caret. 0 or -errno. */
int plan_load(struct plan **plan, const struct plan_source *from, unsigned workers);
void plan_free(struct plan *plan);

static inline struct tally *plan_tally(const struct plan *plan, unsigned worker, unsigned rule)
{
	return &plan->tally[(size_t)worker * (plan->set.count + 1) + rule];
}

/* Rules with the same text go on counting where they were. `old` must not be in use any more. */
void plan_inherit(struct plan *plan, const struct plan *old);
/* A rate goes on where the same rule of the old plan is. */
void plan_inherit_rates(struct plan *plan, const struct plan *old);

/* Sum over workers, with base. */
void plan_sum(const struct plan *plan, unsigned rule, struct tally *sum);
/* The table of counters: text, its lines cut to width (0: as long as they are), or one line of JSON. Returns
 * the number of lines. */
unsigned plan_print(const struct plan *plan, FILE *out, bool json, unsigned width);

/* Bytes of a packet that the filters look at; 0: all of it may be needed. */
uint32_t plan_copy_range(const struct plan *plan);
/* Does a rule edit payload? Count packets one by one? */
bool plan_needs_segments(const struct plan *plan);
/* A rule changes the length of TCP payload: both directions must pass. NULL: none. */
const struct rule *plan_resizes_tcp(const struct plan *plan);
/* The filters that the firewall rule needs: room for set.count. 0: every packet must come. */
size_t plan_filters(const struct plan *plan, struct bpf_program *filters);

#endif
