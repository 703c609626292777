/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The work of a worker of `ipq filter`: rules, edits, delays, records. */
#ifndef IPQ_FILTER_DECIDE_H
#define IPQ_FILTER_DECIDE_H

#include "filter/active_rules.h"
#include "filter/chance.h"
#include "filter/delay.h"
#include "filter/edits.h"
#include "filter/hold.h"
#include "filter/inject.h"
#include "filter/loops.h"
#include "output/output.h"
#include "session/session.h"

#define HOLD_DEFAULT INT64_C(20000000)

enum record_what { RECORD_ALL, RECORD_DROP, RECORD_ACCEPT };

/* The session's context: state that all workers share. Only the rules change. */
struct decide_common {
	struct active_rules *_Atomic active_rules; /* the newest rules */
	bool record;
	enum record_what record_what;
	struct print_style style;
	_Atomic uint64_t loops; /* number of packets that were queued again too often */
	struct injector injector;
	struct edits_shared edits;
	int64_t hold; /* time in ns that a segment may wait for the next one; 0: segments do not wait */
};

/* The context of a worker: its own state. */
struct filter_worker {
	struct active_rules *_Atomic active_rules; /* the rules that this worker uses */
	struct delays delays;
	struct chance chance;
	struct loops loops;
	struct view view;
	struct editor editor;
	struct hold hold;
	_Atomic uint64_t flows, flow_packets, flow_bytes; /* counts as in struct flow_totals */
};

/* Creates the state of a worker. NULL: no memory. */
struct filter_worker *filter_worker_new(struct decide_common *common, uint64_t seed);
void filter_worker_free(struct filter_worker *d);

/* Decides one packet. 0 or -errno. */
int decide_packet(struct worker *w, struct ipq_packet *packet);

/* Handlers of the session. */
int decide_batch(struct worker *w, unsigned n);
int decide_timeout(struct worker *w);
int decide_wake(struct worker *w);
void decide_finish(struct worker *w);

#endif
