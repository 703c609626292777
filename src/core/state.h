/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private: struct ipq_queue, for queue.c (opening, receiving, sending) and decide.c (giving verdicts). */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include <net/if.h>
#include "core/core.h"
#include "core/moderation.h"
#include "core/verdicts.h"

/* If one of these limits is exceeded, the recorded verdicts are sent immediately. */
#define PENDING_MAX 65536    /* verdicts */
#define EXTRAS_MAX 1024	     /* verdicts that have more than a code and a mark */
#define COPIES_MAX (1 << 20) /* bytes of copied replacement payloads */

struct copy {
	struct copy *next;
	uint8_t bytes[];
};

struct ipq_queue {
	/*
	 * The first members are those that every packet needs, so that they fill as few cache lines as possible.
	 */
	struct source *source;
	struct verdicts verdicts;
	unsigned forks;	  /* the value of fork_count when the queue was opened */
	uint32_t last_id; /* id of the packet received last; ids count up from 1 */
	uint32_t spin_usec;
	bool receiving;	       /* ipq_queue_recv is running, or was cancelled */
	bool pinned;	       /* a slot has the payload of a verdict that was not sent */
	bool eperm_seen;       /* the kernel refused a verdict because the process has no CAP_NET_ADMIN */
	bool refusal_reported; /* `refused` was called in this receive */
	struct copy *copies;   /* payloads of verdicts that were not sent */
	size_t copies_size;
	struct moderation moderation;
	struct ipq_stats stats;
	struct iovec slot[SOURCE_BATCH_MAX];

	struct flows *flows; /* NULL: no flow has been decided */
	bool owned;	     /* the queue closes the source when it is closed */
	uint32_t flow_mask, flow_mark, flow_max;
	bool asks_flows; /* see queue_ask_flows() */
	const struct queue_flow_rules *flow_rules;
	void *flow_context;
	uint32_t flags;
	uint32_t spin_now; /* the current spinning time: see receive_until() */
	unsigned char *memory;
	size_t memory_size, slot_size;
	source_refused refused;
	void *refused_context;
	struct ipq_error error;
	char interface[IFNAMSIZ];
};

#endif
