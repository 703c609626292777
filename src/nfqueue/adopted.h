/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private: a queue whose socket another process has opened, and whose predecessor may have left packets without a
 * verdict. recover.c explains how these packets are received again. They wait in a spare queue of the same socket.
 * For the reader, this file joins both queues to one: it returns the packets of the spare queue first, and their
 * ids precede those of the main queue. No I/O.
 */
#ifndef NFQUEUE_ADOPTED_H
#define NFQUEUE_ADOPTED_H

#include <pthread.h>
#include <stdatomic.h>
#include "nfqueue/messages.h"

/* How to treat the packets that are read before an acknowledgement. */
enum collecting {
	COLLECT_NOT,
	COLLECT_NONE,  /* ignore all: their packets will be queued once more */
	COLLECT_SPARE, /* store only those of the spare queue */
	COLLECT_ALL
};

struct held_message {
	struct held_message *next;
	size_t len;
	unsigned char bytes[];
};

struct held_list {
	struct held_message *first, **end;
};

/*
 * The state of an adopted queue. Processes share it after a fork: one may read the packets and another decide them.
 */
struct adopted {
	pthread_mutex_t lock;
	uint16_t main, spare; /* numbers of the queue and of the spare queue */
	int spare_fd;	      /* the socket of the spare queues; -1: they use the main queue's socket */
	bool unread;	      /* messages that the predecessor has not read are in the socket */
	uint32_t first;
	enum collecting collecting;
	/* COLLECT_SPARE: a packet of the main queue was ignored; main_last is the id of the last one */
	bool main_seen;
	uint32_t main_last;
	atomic_bool ready;     /* the packets of the predecessor have been collected */
	atomic_uint collected; /* messages in spare_messages and main_messages */
	struct held_list spare_messages, main_messages;

	/* The range of ids of the spare queue's packets. The bit of each packet that has a verdict is set. */
	uint32_t spare_first, spare_last;
	atomic_uint left;
	unsigned char *decided;

	/* The reader's id of a packet in the main queue is the kernel's id plus `shift`. */
	bool shift_known;
	uint32_t shift;
};

/* Creates the state of an adopted queue. NULL: no memory. */
struct adopted *adopted_new(void);
void adopted_free(struct adopted *a);

/* Stores or ignores a message other than an acknowledgement, while messages are collected. 0 or -ENOMEM. */
int adopted_collect(struct adopted *a, const unsigned char *message, size_t len, const struct ipq_packet *p,
		    const struct nfq_reply *r);

/* Call this when all messages have been collected: from now on they are returned to the reader. 0 or -ENOMEM. */
int adopted_finish(struct adopted *a);

/* Removes the oldest message; the caller frees it. NULL: none. */
struct held_message *adopted_pop(struct adopted *a);

/*
 * Changes the ids of a parsed message from the kernel's to the reader's. True: the message is from the spare queue.
 */
bool adopted_translate(struct adopted *a, const unsigned char *message, size_t len, struct ipq_packet *p,
		       struct nfq_reply *r);

/*
 * Splits a verdict into a part for the spare queue and a part for the main queue, with the kernel's ids. Returns
 * which parts exist.
 */
struct adopted_parts {
	bool spare, main;
};
struct adopted_parts adopted_split(struct adopted *a, const struct source_verdict *v,
				   struct source_verdict *spare, struct source_verdict *main);

/* Call this after a verdict for the spare queue was sent. True: no packet waits there any more. */
bool adopted_decided(struct adopted *a, const struct source_verdict *spare);

#endif
