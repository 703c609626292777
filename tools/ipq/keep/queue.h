/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queues that ipq keep holds. Configures them and can decide all their packets at the same time, but reads no
 * packets.
 */
#ifndef IPQ_KEEP_QUEUE_H
#define IPQ_KEEP_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include "nfqueue/held.h"
#include "util/error.h"

#define KEEP_QUEUES_MAX 256

struct kept_queue {
	uint16_t number;
	int fd;		 /* socket of the queue */
	int spare_fd;	 /* socket of the queue's spare queues */
	bool configured; /* all messages in the socket were written with this configuration */
	struct held_config config;
	bool taken;  /* the program that runs has taken the queue */
	bool policy; /* the policy is in force, so no packet waits */
	/* time at which the policy comes into force if no program has taken the queue; 0: never */
	int64_t policy_at;
	/* From the kernel's table: the number of packets that have left the queue, and of those that wait. */
	uint32_t decided, waiting;
	uint32_t decided_at_start; /* value of `decided` when the program was started */
	int64_t decided_last;	   /* time when `decided` changed, or when no packet waited */
};

/* Opens the queue: from now on packets wait, up to `length`. 0 or -errno. */
int kept_open(struct kept_queue *q, uint16_t number, uint32_t length, int min_fd, struct ipq_error *e);

/* Accepts (open) or drops all waiting and later packets until a program takes the queue. */
void kept_apply_policy(struct kept_queue *q, bool open);

/* Reads the kernel's table for all queues. 0, or -errno if it is not readable. */
int kept_update(struct kept_queue *q, unsigned count, int64_t now);

#endif
