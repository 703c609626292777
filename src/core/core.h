/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The room of ipq.h: queues, pending verdicts and their coalescing, moderation, groups, conntrack entries. It has
 * the list of all kinds of sources, so other rooms open sources through it. May use source, nfqueue, nflog,
 * capture, edit, util.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "nfqueue/nfqueue.h"
#include "source/source.h"

#define SOURCE_DEFAULT "nfqueue:0"

/* Defaults of ipq_options.flow_mask and flow_mark. */
#define FLOWS_MASK 0xff000000
#define FLOWS_MARK 0x41000000

/* Opens a source by name, such as "nfqueue:0" or "pcap:in.pcap"; NULL is SOURCE_DEFAULT. */
int source_open(struct source **s, const char *name, struct ipq_error *e);

/* The kind of source that name selects, by the word before the colon. NULL: none. */
const struct source_ops *source_kind(const char *name);

/* Whether name selects capture files. */
bool source_is_file(const char *name);

/*
 * If name is "engine:NAME" (a source that is to be read through an engine), returns NAME. Returns any other name
 * unchanged.
 */
const char *source_skip_engine(const char *name);

/* The source's recv and send. In nearly every program they are those of nfnetlink_queue, which are called directly. */
static inline int source_recv(struct source *s, const struct iovec *slot, struct ipq_packet *packet,
			      unsigned max, int timeout_ms, source_refused refused, void *context)
{
	return DIRECT_CALL(nfqueue_recv, s->ops->recv, s, slot, packet, max, timeout_ms, refused, context);
}

static inline int source_send(struct source *s, const struct source_verdict *verdict, unsigned n)
{
	return DIRECT_CALL(nfqueue_send, s->ops->send, s, verdict, n);
}

/*
 * Creates a queue over a source that is open and configured. The caller still owns the source and must close it
 * after the queue. slot_size: bytes of memory for each packet. 0 or -ENOMEM.
 */
int queue_create(struct ipq_queue **q, struct source *source, size_t slot_size, uint32_t flags,
		 uint32_t spin_usec);

/*
 * Call this if packets may wait that this queue has not received. Then each verdict is sent for its packet only,
 * never for a range.
 */
void queue_expect_unknown_pending(struct ipq_queue *q);

/*
 * For each refused verdict, the queue calls `refused` in addition to counting it. ipq_queue_recv then returns 0 and
 * does not wait any longer.
 */
void queue_on_refused(struct ipq_queue *q, source_refused refused, void *context);

/* Does the same as ipq_decide(). In a capture file, the packet's record gets this time (ns since 1970). */
int queue_decide_at(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict,
		    int64_t time);

/* Whether the source delivers nothing until more packets are decided. Verdicts that were not sent yet do not count. */
bool queue_is_full(const struct ipq_queue *q);

/*
 * Makes the source pass on a copy of a waiting packet, with the payload of this verdict if it has one. Earlier
 * verdicts are sent first. 0, -EOPNOTSUPP (only a capture file can), or -errno.
 */
int queue_copy(struct ipq_queue *q, const struct ipq_packet *packet, const struct ipq_verdict *verdict);

/*
 * Firewall rules that the program itself has installed. The functions are called in the thread that uses the queue.
 */
struct queue_flow_rules {
	/* Changes code and mark of the verdict of an accepted packet. Only the mark of the packet is known. */
	void (*accept)(void *context, const struct ipq_packet *packet, struct ipq_verdict *verdict);
	/* Whether the kernel can keep flows with these rules now. NULL: never. */
	bool (*keep)(void *context);
};

/*
 * From now on packets of decided flows are received as well, and the program calls queue_decided_flow() for each
 * packet in turn. So verdicts, and the records of a capture file, have the same order as the packets. rules: kept
 * by reference; NULL: none. Call it before the first flow verdict.
 */
void queue_ask_flows(struct ipq_queue *q, const struct queue_flow_rules *rules, void *context);

/* If the packet belongs to a decided flow, gives it the verdict of the flow. Returns whether it did. */
bool queue_decided_flow(struct ipq_queue *q, const struct ipq_packet *packet);

/* The verdict on the packet when it was recorded, such as "drop"; "": unknown. Valid until the next receive. */
const char *queue_recorded_verdict(const struct ipq_queue *q, const struct ipq_packet *packet);

/* The queue's own counters, without those of the source. Call it in the thread that uses the queue. */
void queue_counters(const struct ipq_queue *q, struct ipq_stats *stats);

/* Adds the source's counters (lost, queue_dropped, malformed). Any thread. 0 or -errno. */
int queue_add_losses(const struct ipq_queue *q, struct ipq_stats *stats);

#endif
