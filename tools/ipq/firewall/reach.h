/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds out whether packets reach a rule, from the order of the rules of one table. Used by parse.c. */
#ifndef IPQ_FIREWALL_REACH_H
#define IPQ_FIREWALL_REACH_H

#include "firewall/firewall.h"

enum reach_end { REACH_GOES_ON, REACH_DECIDES, REACH_RETURNS, REACH_JUMPS };

/* A rule of the table: in `chain`, for packets that match `match` (words, "" for all). */
struct reach_rule {
	/* the chain; the conditions; the target chain, with REACH_JUMPS */
	char chain[64], match[256], target[64];
	enum reach_end end;
	size_t queue_rule; /* index of the rule in struct firewall, plus 1; 0: the rule does not queue */
	char text[200];
};

struct reach {
	struct reach_rule *rule;
	size_t count;
	char (*base)[64]; /* chains that a hook calls */
	size_t bases;
};

/* Adds a chain that a hook calls. 0 or -ENOMEM. */
int reach_add_base(struct reach *r, const char *chain);
int reach_add(struct reach *r, const struct reach_rule *rule);

/* Call it at the end of a table: fills in the results in the rules of f, and empties r. */
void reach_finish(struct reach *r, struct firewall *f);

#endif
