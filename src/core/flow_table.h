/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private: the flows that the program has decided. A bounded table with a keyed hash; a new flow replaces the one that
 * was used least recently. No I/O.
 */
#ifndef CORE_FLOW_TABLE_H
#define CORE_FLOW_TABLE_H

#include <stdbool.h>
#include <ipq.h>

/*
 * Both directions of a flow have the same key: its endpoints are sorted. The key is hashed as words, so it has no
 * padding.
 */
struct flow_key {
	uint8_t address[2][16];
	uint16_t port[2]; /* the ports; for an ICMP query, its id twice */
	uint8_t family, protocol;
	uint16_t unused;
};

struct flow {
	struct flow_key key;
	uint32_t chain;	       /* index of the next flow of the bucket */
	uint32_t newer, older; /* neighbours in the list that is sorted by time of use */
	uint32_t code;	       /* IPQ_ACCEPT, IPQ_DROP; IPQ_STOP: not decided yet, see `after` */
	uint32_t mark;	       /* mark for accepted packets, valid if has_mark is set */
	bool has_mark;
	bool held; /* a packet is held back: see flow.c */
	uint32_t held_id, held_mark;
	/* packets of the flow's connection that were queued although the connection has our mark */
	uint32_t marked_came;
	int64_t marked;		 /* time at which a packet was last dropped with the mark; 0: never */
	uint32_t seen;		 /* packets that were decided by ipq_decide_flow() with `after` */
	int64_t used, until;	 /* times in milliseconds of the monotonic clock; until 0: no timeout */
	uint64_t packets, bytes; /* packets and bytes decided without the program */
};

/* Indices begin at 1; index 0 means none. */
struct flow_table {
	struct flow *flow;
	uint32_t *bucket;
	uint32_t max, buckets;	/* maximum number of flows; a power of 2 */
	uint32_t count, unused; /* flows in the table; free entries, linked by `chain` */
	uint32_t touched;	/* entries that were ever used */
	uint32_t newest, oldest;
	uint64_t evicted;
	uint64_t hash_key[2];
};

/*
 * The key of a packet's flow. False: it has none (a fragment, an ICMP error, or truncated before the ports).
 * *opens: the packet is a TCP SYN.
 */
bool flow_key_of_packet(struct flow_key *key, const struct ipq_packet *packet, bool *opens);
/* The key of a tuple's flow. False: the tuple is not IPv4 or IPv6. */
bool flow_key_of_tuple(struct flow_key *key, const struct ipq_tuple *tuple);

/* Creates an empty table. max: at most FLOW_TABLE_MAX. 0 or -ENOMEM. */
#define FLOW_TABLE_MAX (1U << 24)
int flow_table_init(struct flow_table *t, uint32_t max);
void flow_table_free(struct flow_table *t);

/* Finds a flow. NULL: it is not in the table, it was idle for too long, or its timeout has passed. */
struct flow *flow_find(struct flow_table *t, const struct flow_key *key, int64_t now);
/* Adds a flow, or returns the existing one. NULL: every flow of the table holds a packet back. */
struct flow *flow_add(struct flow_table *t, const struct flow_key *key, int64_t now);
void flow_remove(struct flow_table *t, struct flow *f);

#endif
