/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `ipq status`: the output formats of a snapshot. */
#ifndef IPQ_STATUS_STATUS_H
#define IPQ_STATUS_STATUS_H

#include <stdbool.h>
#include <stdio.h>
#include "status/snapshot.h"

/* Two snapshots, from which rates are computed. `before` may be NULL. */
struct status_view {
	const struct snapshot *now, *before;
	unsigned columns; /* columns of the terminal; 0: not limited */
};

/* Prints the table, the problems and the rules. All texts from outside are escaped. */
void status_print(const struct status_view *v, FILE *out);
void status_print_json(const struct snapshot *s, FILE *out);
void status_print_openmetrics(const struct snapshot *s, FILE *out);

/* Updates the table every interval_ms, until q or Ctrl-C. Returns the exit status. */
int status_watch(unsigned interval_ms);

#endif
