/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main thread of `ipq filter`: reloads, counters, signals. */
#ifndef IPQ_FILTER_CONTROL_H
#define IPQ_FILTER_CONTROL_H

#include "filter/decide.h"

struct filter {
	struct session session;
	struct decide_common common;
	struct active_rules_source rules;
	struct active_rules *old; /* still in use by a worker that has not looked yet */
	const char *record_path;
	bool counters, record_given, check, strict;
	uint64_t seed;
	struct flow_totals flows_base; /* what SIGUSR2 has set to 0 */
	unsigned lines;		       /* of the table on the terminal */
	int64_t shown;		       /* when it was printed, s */
};

/* Handlers of the session, which is the one in struct filter. */
void control_started(struct session *s);
void control_signal(struct session *s, int signo);
void control_tick(struct session *s);

/* When no worker uses the old rules: adds their counters to the new ones and frees them. ended: no worker runs. */
void control_retire(struct filter *f, bool ended);

/*
 * Prints the table of counters. in_place: over the last table, if it fits the terminal; its lines are cut so that
 * they do not wrap.
 */
void control_print_counters(struct filter *f, bool in_place);

#endif
