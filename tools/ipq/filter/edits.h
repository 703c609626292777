/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The edits that rules make to one packet: rewrite, set, strip. */
#ifndef IPQ_FILTER_EDITS_H
#define IPQ_FILTER_EDITS_H

#include <ipq_tcp.h>
#include "filter/across.h"
#include "filter/active_rules.h"
#include "nfqueue/nfqueue.h"
#include "session/session.h"

#define PACKET_MAX SOURCE_FILE_PACKET_MAX /* maximum size of a packet, even in a capture file */
#define VERDICT_MAX NFQ_PAYLOAD_MAX
#define EDITS_MAX 64 /* maximum number of edits of one packet */

/* State that all workers share, because the two directions of a connection may be handled by different workers. */
struct edits_shared {
	struct ipq_tcp *tcp;
	_Atomic bool used;				    /* at least one connection is in the table */
	_Atomic uint64_t not_edited[IPQ_EDIT_REASON_COUNT]; /* edits that were not made, by reason */
	_Atomic unsigned hooks;	   /* a bit for each hook at which a loopback packet was seen */
	_Atomic uint64_t across;   /* replaced texts that were split between segments */
	_Atomic uint64_t messages; /* HTTP messages whose bodies could not be searched */
	/* number of held segments; number of those whose next segment was late */
	_Atomic uint64_t held, late;
	_Atomic uint64_t beyond_mtu; /* packets that became longer than the MTU */
	int mtu_socket;		     /* socket to query the MTU; -1 with a capture file */
};

/* The state of a worker for edits. */
struct editor {
	struct edits_shared *shared;
	uint8_t edited[PACKET_MAX], mirrored[PACKET_MAX];
	struct following following; /* the segments after this one that have already arrived */
	unsigned count;
	uint32_t mtu, mtu_index; /* MTU and index of the interface of the last packet that grew */
	int64_t mtu_time;
	struct {
		const struct action *action;
		struct counters *counters;
	} edit[EDITS_MAX];
};

/* Creates the shared state. recorded: packets come from a capture file. 0 or -errno. */
int edits_open(struct edits_shared *shared, bool recorded);
void edits_close(struct edits_shared *shared);

/* Adds an edit for the current packet. */
void edits_add(struct editor *ed, const struct action *action, struct counters *counters);

/* Whether this packet was rewritten at an earlier hook. */
bool edits_passed_before(struct edits_shared *shared, struct worker *w, const struct active_rules *rules,
			 const struct ipq_packet *packet, uint8_t protocol);

/*
 * Edits the packet. 1: *e has the edited packet. 0: nothing has changed. -1: drop it; its sender will retransmit it.
 */
int edits_apply(struct editor *ed, struct worker *w, const struct active_rules *rules,
		const struct ipq_packet *packet, struct ipq_edit *e);

#endif
