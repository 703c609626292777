/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of the nfnetlink_queue source: source_nfqueue.c opens and configures, nfqueue_flow.c moves packets. */
#ifndef NFQUEUE_NFQUEUE_H
#define NFQUEUE_NFQUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include "source/source.h"

/* Sequence numbers of the NOOPs that make the socket readable, see source_nfqueue.c. */
#define SEQ_WAKE 0x77616b65U
#define SEQ_DEFERRED 0x61736964U
#define SEQ_READABLE 0x72656164U

/* What a later recv() has to return: a message that was read while an acknowledgement was awaited, or a refusal of ours. */
struct deferred {
	struct deferred *next;
	struct source_refusal refusal; /* when len is 0 */
	size_t len;
	unsigned char message[];
};

struct nfqueue {
	struct source base;

	/* What every packet needs. */
	int fd;
	uint16_t number;
	atomic_bool woken; /* a wake that recv() has still to return */
	atomic_uint deferred_count;
	atomic_uint_fast64_t received, malformed;
	atomic_uint_fast32_t first_id, last_id;
	struct batch *batch; /* of the thread that receives many at a time */

	bool absent; /* no NETLINK_NETFILTER in this kernel: the socket is a placeholder */
	bool bound;
	pthread_mutex_t config_lock;
	struct source_config config; /* in force */
	int flags;		     /* in force, of those asked for */
	uint32_t seq;
	atomic_uint awaited, answered; /* sequence numbers */
	atomic_int answer;	       /* errno of `answered` */
	pthread_mutex_t deferred_lock;
	struct deferred *deferred, **deferred_end;
	atomic_uint
		again_left; /* packets without bytes that may still be queued once more: none ever loops for good */
};

static inline struct nfqueue *nfqueue(const struct source *s)
{
	return (struct nfqueue *)(uintptr_t)s;
}

/* A NOOP that the kernel acknowledges, which makes the socket readable once. Async-signal-safe. 0 or -errno. */
int nfqueue_send_noop(const struct nfqueue *q, uint32_t seq);

/* The next thing put aside, which the caller frees; NULL: nothing. */
struct deferred *nfqueue_pop_deferred(struct nfqueue *q);

/* Whoever reads an acknowledgement leaves it here for the thread that asked. */
void nfqueue_post_ack(struct nfqueue *q, uint32_t seq, int error);

struct nfq_reply;

/* A packet that no reader will get, because it is malformed or there is no memory for it. */
void nfqueue_drop(struct nfqueue *q, const struct nfq_reply *r, uint32_t id);

/* What a reader of many packets a call needs; free() ends it. NULL: no memory. */
struct batch *nfqueue_new_batch(void);

#endif
