/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker of `ipq filter` does with packets: the rules applied, edits, delays, records. */
#ifndef IPQ_FILTER_DECIDE_H
#define IPQ_FILTER_DECIDE_H

#include "filter/active_rules.h"
#include "filter/delay.h"
#include "filter/tcp_seq.h"
#include "nfqueue/nfqueue.h"
#include "output/output.h"
#include "session/session.h"

#define PACKET_MAX 65535
#define VERDICT_MAX NFQ_PAYLOAD_MAX

enum record_what { RECORD_ALL, RECORD_DROP, RECORD_ACCEPT };

/* What all workers share; only the plan changes. It is the session's context. */
struct decide_common {
	struct active_rules *_Atomic active_rules; /* the newest */
	bool record;
	enum record_what record_what;
	struct print_style style;
};

/* What a worker has to itself: its context. */
struct filter_worker {
	struct active_rules *_Atomic active_rules; /* in use */
	struct delays delays;
	struct flows *flows;
	uint8_t edited[PACKET_MAX], mirrored[PACKET_MAX];
};

/* NULL: no memory. */
struct filter_worker *filter_worker_new(struct active_rules *active_rules);
void filter_worker_free(struct filter_worker *d);

/* Handlers of a session. */
int decide_batch(struct worker *w, unsigned n);
int decide_timeout(struct worker *w);
void decide_wake(struct worker *w);
void decide_finish(struct worker *w);

#endif
