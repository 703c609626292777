/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private: moderation, as network cards moderate their interrupts. A reader that has emptied a busy queue
 * pauses, so that its next receive returns many packets, not one.
 */
#ifndef CORE_MODERATION_H
#define CORE_MODERATION_H

#include <stdint.h>
#include <sys/types.h>
#include "source/source.h"

struct moderation {
	int timer; /* a timerfd; -1: none could be created, so there are no pauses */
	pid_t owner;
	int64_t not_before, trusted_until, backoff; /* times in microseconds */
	int64_t received;	    /* time of the last receive if the queue was busy, else 0 */
	unsigned last, before_last; /* number of packets of the last receive and of the one before it */
	unsigned streak;	    /* number of consecutive receives that returned many packets */
	bool small_batch;	    /* the last receive emptied the queue and returned few packets */
};

void moderation_begin(struct moderation *m);

/* Records a receive that requested up to max packets and returned n. */
void moderation_note(struct moderation *m, unsigned n, unsigned max);

/* The number of verdicts that may be sent after the next receive; 0: the queue is not busy. */
size_t moderation_deferred_count(const struct moderation *m);

/* Pauses if packets can be expected meanwhile. 0, or -EINTR where a blocking receive would return it. */
int moderation_pause(struct moderation *m, const struct source *s);

void moderation_end(struct moderation *m);

#endif
