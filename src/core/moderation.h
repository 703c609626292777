/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moderation, as network cards moderate their interrupts: a reader that has emptied a busy queue waits for a
 * moment, so that it finds many packets and not the first of them.
 */
#ifndef CORE_MODERATION_H
#define CORE_MODERATION_H

#include <stdint.h>
#include <sys/types.h>
#include "source/source.h"

struct moderation {
	int timer; /* a timerfd; -1: none to be had, and no pauses */
	pid_t owner;
	int64_t not_before, trusted_until, backoff; /* microseconds */
	int64_t received;			    /* when, if the queue was busy; else 0 */
	unsigned last, before_last;		    /* packets of two receives of a busy queue */
	bool small_batch;			    /* came, and there were no more */
};

void moderation_begin(struct moderation *m);

/* Up to max packets were asked for and n were received. */
void moderation_note(struct moderation *m, unsigned n, unsigned max);

/* How many verdicts may wait until more packets have been fetched: 0 when the queue is not busy. */
size_t moderation_deferred_count(const struct moderation *m);

/*
 * Sleeps for a moment if packets keep coming meanwhile, as far as is known. 0, or -EINTR under the same
 * conditions under which a blocking receive says it.
 */
int moderation_pause(struct moderation *m, const struct source *s);

void moderation_end(struct moderation *m);

#endif
