/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The edits that rules make to one packet: rewrite, set, strip. */
#ifndef IPQ_FILTER_EDITS_H
#define IPQ_FILTER_EDITS_H

#include "filter/active_rules.h"
#include "filter/tcp_seq.h"
#include "nfqueue/nfqueue.h"
#include "session/session.h"

#define PACKET_MAX 65535
#define VERDICT_MAX NFQ_PAYLOAD_MAX
#define EDITS_MAX 64 /* for one packet */

/* What a worker has for edits. */
struct editor {
	struct flows *flows;
	uint8_t edited[PACKET_MAX], mirrored[PACKET_MAX];
	unsigned count;
	struct {
		const struct action *action;
		struct counters *counters;
	} edit[EDITS_MAX];
};

/* Adds to what is to be done with the packet at hand. */
void edits_add(struct editor *ed, const struct action *action, struct counters *counters);

/* 1: *e has the edited packet. 0: nothing has changed. -1: drop it, it must come again in order. */
int edits_apply(struct editor *ed, struct worker *w, const struct active_rules *rules,
		const struct ipq_packet *packet, struct ipq_edit *e);

#endif
