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
 * A later recv() returns it: a message that was read while waiting for an acknowledgement, or a refusal of
 * our own.
 */
struct deferred {
	struct deferred *next;
	struct source_refusal refusal; /* when len is 0 */
	size_t len;
	unsigned char message[];
};

struct nfqueue {
	struct source base;

	/* Used for every packet. */
	int fd;
	uint16_t number;
	atomic_bool woken; /* recv() still has to return a wake */
	atomic_uint deferred_count;
	atomic_uint_fast64_t received, malformed;
	atomic_uint_fast32_t first_id, last_id;
	struct batch *batch;	 /* of the thread that receives several packets at a time */
	struct adopted *adopted; /* the socket was opened by another process; NULL: by this source */

	bool absent; /* this kernel has no NETLINK_NETFILTER: the socket is a placeholder */
	bool bound;
	bool held;	/* the socket is from held.h */
	uint16_t asked; /* the queue that requests are for: `number`, or a spare queue */
	pthread_mutex_t config_lock;
	struct source_config config; /* in force */
	int flags;		     /* those of config.flags that are in force */
	uint32_t seq;
	uint32_t noop_mask;	       /* marks our NOOPs if the socket may contain those of a predecessor */
	atomic_uint awaited, answered; /* sequence numbers */
	atomic_int answer;	       /* errno of `answered` */
	pthread_mutex_t deferred_lock;
	struct deferred *deferred, **deferred_end;
	atomic_uint requeues_left; /* bounds how many packets without payload are queued once more */
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

/* deferred.c */

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
 * Appends a message of len bytes, or, when message is NULL, a refusal. The caller sends SEQ_DEFERRED. 0 or
 * -ENOMEM.
 */
int nfqueue_defer(struct nfqueue *q, const unsigned char *message, size_t len,
		  const struct source_refusal *refusal);

/* Removes the oldest deferred message; the caller frees it. NULL: none. */
struct deferred *nfqueue_pop_deferred(struct nfqueue *q);

/* Records an acknowledgement for the thread that sent the request. */
void nfqueue_post_ack(struct nfqueue *q, uint32_t seq, int error);

/* io.c */

/* Sends a verdict without extras. 1 or -errno. */
int nfqueue_send_bare(int fd, uint16_t queue, const struct source_verdict *v);

/* Drops and counts a packet that no reader will get: it is malformed, or there is no memory for it. */
void nfqueue_drop(struct nfqueue *q, const struct nfq_reply *r, uint32_t id);

/* The buffers of a reader that receives several packets per call; free() releases them. NULL: no memory. */
struct batch *nfqueue_new_batch(void);

#endif
