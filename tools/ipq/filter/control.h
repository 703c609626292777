/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main thread of `ipq filter`: reloads, counters, signals. */
#ifndef IPQ_FILTER_CONTROL_H
#define IPQ_FILTER_CONTROL_H

#include "filter/decide.h"

struct filter {
	struct session session;
	struct decide_common common;
	struct active_rules_source rules;
	struct active_rules *old; /* the old rules, which a worker may still use */
	const char *record_path;
	bool counters, record_given, check, strict;
	uint64_t seed;
	/* the flow counts at the last SIGUSR2, which resets the displayed counts */
	struct flow_totals flows_base;
	unsigned lines; /* lines of the table that is on the terminal */
	int64_t shown;	/* time in seconds when the table was printed */
};

/* Handlers of the session for struct filter. */
void control_started(struct session *s);
void control_signal(struct session *s, int signo);
void control_tick(struct session *s);

/*
 * Frees the old rules if no worker uses them any more, after adding their counters to those of the new rules.
 * ended: no worker runs.
 */
void control_retire(struct filter *f, bool ended);

/*
 * Prints the table of counters. in_place: overwrites the last table, if it fits on the terminal; lines are cut so that
 * they do not wrap.
 */
void control_print_counters(struct filter *f, bool in_place);

#endif
