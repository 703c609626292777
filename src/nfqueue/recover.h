/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private: recovers the packets that a predecessor left in a queue. */
#ifndef NFQUEUE_RECOVER_H
#define NFQUEUE_RECOVER_H

#include "nfqueue/state.h"

/*
 * Receives again all packets that wait for a verdict in an adopted queue. The caller has configured the queue with
 * c. From then on nfqueue_recv() returns these packets first. 0 or -errno.
 */
int nfqueue_recover(struct nfqueue *q, const struct source_config *c, uint32_t range, struct ipq_error *e);

#endif
