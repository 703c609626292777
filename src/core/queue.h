/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of struct ipq_queue that the classic API's batching shares. */
#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include "source/source.h"

#define QUEUE_BATCH_MAX 64

/* A queue over a source that is open and configured, and stays the caller's. slot_size: bytes for a packet. */
int queue_create(struct ipq_queue **q, struct source *source, size_t slot_size, uint32_t flags,
		 uint32_t spin_usec);

/* Packets may wait that were received before this queue was put over the source. */
void queue_expect_unknown_pending(struct ipq_queue *q);

/* Who hears of refusals, beside the counter. ipq_queue_recv does not wait any longer then: 0. */
void queue_on_refused(struct ipq_queue *q, source_refused refused, void *context);

/* What the queue has counted itself: for the thread that owns the queue. */
void queue_counters(const struct ipq_queue *q, struct ipq_stats *stats);

/* Adds what the origin has counted (lost, queue_dropped, malformed). Any thread. 0 or -errno. */
int queue_add_losses(const struct ipq_queue *q, struct ipq_stats *stats);

#endif
