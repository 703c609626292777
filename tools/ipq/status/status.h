/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `ipq status`: one snapshot in its several forms. */
#ifndef IPQ_STATUS_STATUS_H
#define IPQ_STATUS_STATUS_H

#include <stdbool.h>
#include <stdio.h>
#include "status/snapshot.h"

/* Between two snapshots, for rates. before may be NULL. */
struct status_view {
	const struct snapshot *now, *before;
	unsigned columns; /* of the terminal; 0: lines are as long as they are */
};

/* The table, what is wrong, the rules. Everything from outside is escaped. */
void status_print(const struct status_view *v, FILE *out);
void status_print_json(const struct snapshot *s, FILE *out);
void status_print_openmetrics(const struct snapshot *s, FILE *out);

/* The table again every interval_ms, until q or Ctrl-C. Returns the exit status. */
int status_watch(unsigned interval_ms);

#endif
