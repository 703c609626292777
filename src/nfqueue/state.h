/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private: the state of the nfnetlink_queue source. source.c begins with its theory of operation. */
#ifndef NFQUEUE_STATE_H
#define NFQUEUE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include "nfqueue/adopted.h"
#include "nfqueue/nfqueue.h"

/* Sequence numbers of the NOOPs that make the socket readable: see source.c. */
#define SEQ_WAKE 0x77616b65U
#define SEQ_DEFERRED 0x61736964U
#define SEQ_READABLE 0x72656164U

/*
 * A message or refusal that a later recv() returns. The message was read while waiting for an acknowledgement; the
 * refusal comes from this source, not from the kernel.
 */
struct deferred {
	struct deferred *next;
	struct source_refusal refusal; /* valid when len is 0 */
	size_t len;
	unsigned char message[];
};

struct nfqueue {
	struct source base;

	/* Members that are used for every packet. */
	int fd;
	uint16_t number;
	atomic_bool woken; /* recv() has not yet returned for this wake */
	atomic_uint deferred_count;
	atomic_uint_fast64_t received, malformed;
	atomic_uint_fast32_t first_id, last_id;
	struct batch *batch; /* belongs to the thread that receives several packets at a time */
	/* set if another process has opened the socket; NULL: this source has opened it */
	struct adopted *adopted;

	bool absent; /* this kernel has no NETLINK_NETFILTER: the socket is a placeholder */
	bool bound;
	bool held;	/* the socket was inherited: see held.h */
	uint16_t asked; /* the queue to which requests apply: `number`, or a spare queue */
	pthread_mutex_t config_lock;
	struct source_config config; /* the configuration in force */
	int flags;		     /* the flags of `config` that are in force */
	uint32_t seq;
	/* distinguishes our NOOPs from those of a predecessor in the same socket */
	uint32_t noop_mask;
	atomic_uint awaited, answered; /* sequence numbers of the last request and of the last answer */
	atomic_int answer;	       /* errno in the last answer */
	pthread_mutex_t deferred_lock;
	struct deferred *deferred, **deferred_end;
	atomic_uint requeues_left; /* limits how many packets without payload are queued once more */
};

static inline struct nfqueue *nfqueue(const struct source *s)
{
	return (struct nfqueue *)(uintptr_t)s;
}

/* The spare queues may have a socket of their own. */
static inline int nfqueue_socket_of(const struct nfqueue *q, uint16_t number)
{
	return number != q->number && q->adopted->spare_fd >= 0 ? q->adopted->spare_fd : q->fd;
}

struct nfq_reply;

/* Functions of deferred.c */

/* The sequence number of our NOOP of this kind. */
static inline uint32_t nfqueue_noop_seq(const struct nfqueue *q, uint32_t kind)
{
	return kind ^ q->noop_mask;
}

/*
 * Sends a NOOP. The kernel acknowledges it, which makes the socket readable once. Async-signal-safe. 0 or -errno.
 */
int nfqueue_send_noop(const struct nfqueue *q, uint32_t kind);

/*
 * Appends a message of len bytes or, if message is NULL, a refusal. The caller then sends SEQ_DEFERRED. 0 or
 * -ENOMEM.
 */
int nfqueue_defer(struct nfqueue *q, const unsigned char *message, size_t len,
		  const struct source_refusal *refusal);

/* Removes the oldest deferred message; the caller frees it. NULL: none. */
struct deferred *nfqueue_pop_deferred(struct nfqueue *q);

/* Records an acknowledgement for the thread that sent the request. */
void nfqueue_post_ack(struct nfqueue *q, uint32_t seq, int error);

/* Functions of io.c */

/* Sends a verdict without extras. 1 or -errno. */
int nfqueue_send_bare(int fd, uint16_t queue, const struct source_verdict *v);

/* Drops and counts a packet that cannot be returned to a reader: it is malformed, or there is no memory for it. */
void nfqueue_drop(struct nfqueue *q, const struct nfq_reply *r, uint32_t id);

/* The buffers of a reader that receives several packets per call; free() releases them. NULL: no memory. */
struct batch *nfqueue_new_batch(void);

#endif
