/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deferred messages, which a later recv() returns; acknowledgements; and the NOOPs that announce both: see
 * source.c.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "nfqueue/state.h"
#include "util/netlink.h"

int nfqueue_send_noop(const struct nfqueue *q, uint32_t kind)
{
	return netlink_send_noop(q->fd, nfqueue_noop_seq(q, kind));
}

int nfqueue_defer(struct nfqueue *q, const unsigned char *message, size_t len,
		  const struct source_refusal *refusal)
{
	struct deferred *d = calloc(1, sizeof(*d) + len);

	if (d == NULL)
		return -ENOMEM;
	d->len = len;
	if (message != NULL)
		memcpy(d->message, message, len);
	else
		d->refusal = *refusal;
	pthread_mutex_lock(&q->deferred_lock);
	*q->deferred_end = d;
	q->deferred_end = &d->next;
	atomic_fetch_add(&q->deferred_count, 1);
	pthread_mutex_unlock(&q->deferred_lock);
	return 0;
}

struct deferred *nfqueue_pop_deferred(struct nfqueue *q)
{
	struct deferred *d;

	pthread_mutex_lock(&q->deferred_lock);
	d = q->deferred;
	if (d != NULL) {
		q->deferred = d->next;
		if (q->deferred == NULL)
			q->deferred_end = &q->deferred;
		atomic_fetch_sub(&q->deferred_count, 1);
	}
	pthread_mutex_unlock(&q->deferred_lock);
	return d;
}

void nfqueue_post_ack(struct nfqueue *q, uint32_t seq, int error)
{
	if (seq != atomic_load(&q->awaited))
		return; /* a late or repeated answer: the request has timed out or was sent again */
	atomic_store(&q->answer, error);
	atomic_store(&q->answered, seq);
}
