/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the settings of the queue that rules need, and the packets that the firewall rule must queue for them. */
#ifndef IPQ_FILTER_NEEDS_H
#define IPQ_FILTER_NEEDS_H

#include "filter/active_rules.h"

/* Fills in resizes_tcp, selects_records, flags, filter and filters. 0 or -ENOMEM. */
int active_rules_find_needs(struct active_rules *p);

/*
 * Makes the firewall queue every packet: connections that were rewritten before need it for their sequence numbers.
 */
void active_rules_need_all(struct active_rules *p);

/*
 * Makes a filter for a firewall rule that queues the packets which one expression may match. 1; 0: every packet
 * must be queued, and *filter is not used; or -ENOMEM.
 */
int needs_filter(const struct expression *x, struct bpf_program *filter);

#endif
