/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private: struct ipq_queue, for queue.c (opening, receiving, sending) and decide.c (giving verdicts). */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include <net/if.h>
#include "core/core.h"
#include "core/moderation.h"
#include "core/verdicts.h"

/* Beyond one of these limits, the recorded verdicts are sent at once. */
#define PENDING_MAX 65536    /* verdicts */
#define EXTRAS_MAX 1024	     /* verdicts with more than a code and a mark */
#define COPIES_MAX (1 << 20) /* bytes of copied replacements */

struct copy {
	struct copy *next;
	uint8_t bytes[];
};

struct ipq_queue {
	/* First the fields that every packet needs, in as few cache lines as possible. */
	struct source *source;
	struct verdicts verdicts;
	unsigned forks;	  /* fork_count when the queue was opened */
	uint32_t last_id; /* id of the packet received last; ids count up from 1 */
	uint32_t spin_usec;
	bool receiving;	       /* ipq_queue_recv is running, or was cancelled */
	bool pinned;	       /* the payload of a verdict that was not sent lies in a slot */
	bool eperm_seen;       /* the kernel refused a verdict because CAP_NET_ADMIN is missing */
	bool refusal_reported; /* `refused` was called in this receive */
	struct copy *copies;   /* payloads of verdicts that were not sent */
	size_t copies_size;
	struct moderation moderation;
	struct ipq_stats stats;
	struct iovec slot[SOURCE_BATCH_MAX];

	struct flows *flows; /* NULL: no flow was decided */
	bool owned;	     /* close the source with the queue */
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
