/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private: flows that the program has decided as a whole.
 *
 * The table decides packets of such a flow, so the calls are correct without any firewall rule. With the rules of
 * ipq_accept_flow(3), the kernel decides the rest of an accepted flow itself: the last packet that arrived gets a mark
 * that the rules save in the connection (see enum ipq_flow_keeper).
 *
 * Order. If a packet got the mark while later packets of its flow still wait in the queue, packets that the kernel
 * passes would overtake the waiting ones. So the verdict of the newest packet is held back until a receive finds the
 * socket empty. The kernel needs some microseconds for each verdict, and packets can arrive during this time. So there
 * is a receive between any two of these verdicts.
 */
#ifndef CORE_FLOWS_H
#define CORE_FLOWS_H

#include "core/flow_table.h"
#include "core/state.h"

#define FLOWS_MAX 65536
#define HELD_MAX 256	 /* maximum number of flows that hold back a packet at the same time */
#define HELD_MAX_US 2000 /* longest time that packets are held back if the socket is never found empty */
/*
 * After HELD_MAX_US has passed this many times in a row, flows are left to the kernel although packets wait. The second
 * number applies if packets were lost.
 */
#define OVERDUE_MAX 500
#define OVERDUE_MAX_LOSING 25
#define MARKED_CAME_MAX 16

struct flows {
	struct flow_table table;
	/* the bits of packet and connection marks that flows use, and the two values of these bits */
	uint32_t mask, leave, drop;
	uint32_t keeper; /* enum ipq_flow_keeper */
	const char *why;
	bool one_by_one; /* receive one packet at a time, so that a capture file keeps the order */
	bool repeats;	 /* packets are repeated, with a mark of ours */
	bool revoked;	 /* marks of an earlier run were removed */
	uint32_t held[HELD_MAX];
	/* held_next: index of the next packet to release if too many are held */
	unsigned held_count, held_next;
	int64_t held_since; /* us */
	int64_t held_max_us;
	unsigned overdue;     /* how many times in a row HELD_MAX_US has passed without an empty socket */
	uint64_t lost_before; /* number of packets that were lost when `overdue` became 1 */
	uint64_t decided, packets, bytes, no_key, came_back;
};

/*
 * Gives verdicts to those of n received packets that belong to decided flows, and moves the others to the front of
 * packet[]. Returns how many are left for the program.
 */
int flows_take(struct ipq_queue *q, struct ipq_packet *packet, int n);

/* Records the verdict of this packet of an accepted flow, or holds it back for the kernel's mark. 0 or -errno. */
int flows_accept(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet);

/* Changes an accept verdict with the rules of queue_ask_flows(). */
void flows_adapt(struct ipq_queue *q, const struct ipq_packet *packet, struct ipq_verdict *v);

/* Records the verdict of this packet of a dropped flow. 0 or -errno. Nothing is held back. */
int flows_drop(struct ipq_queue *q, struct flow *f, const struct ipq_packet *packet, int64_t now);

/*
 * Call this when the program decides this packet alone. An older packet of its flow that is held back is decided
 * first.
 */
void flows_overtake(struct ipq_queue *q, const struct ipq_packet *packet);

/* Creates the table of flows. NULL: no memory. */
struct flows *flows_create(const struct ipq_queue *q);
void flows_choose_keeper(const struct ipq_queue *q, struct flows *fl);

/*
 * The code under which a verdict with this mark is counted: NF_ACCEPT or NF_DROP if it leaves a flow to the kernel.
 */
uint32_t flows_code(const struct flows *fl, uint32_t code, uint32_t mark);

/* Ends the decisions of an earlier run with the same mark. Has an effect only once. */
void flows_revoke_earlier(struct flows *fl);

/*
 * Releases one held packet if the socket was found empty, or all held packets if they were held for too long. Returns
 * whether it did.
 */
bool flows_release_due(struct ipq_queue *q, bool empty);

void flows_destroy(struct flows *fl);

/* Records the verdicts that are held back. leave: the kernel decides the later packets of these flows. */
void flows_release(struct ipq_queue *q, bool leave);

/* Records one of these verdicts. The kernel decides the later packets of its flow. */
void flows_release_one(struct ipq_queue *q);

#endif
