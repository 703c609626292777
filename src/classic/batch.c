/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Batches, for programs that wait only in ipq_read and have requested batches by IPQ_BATCH or IPQ_CTL_BATCH. A
 * receive fetches many packets, and each ipq_read returns one of them; verdicts are sent together around the next
 * receive (core/moderation.c). So h->fd may be unreadable although packets were received.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>
#include <string.h>
#include "classic/classic.h"
#include "core/core.h"
#include "util/compiler.h"

struct classic_batch {
	struct ipq_queue *queue;
	struct ipq_packet packet[SOURCE_BATCH_MAX];
	int next, count;
	struct source_refusal refusal[SOURCE_BATCH_MAX];
	unsigned refusals;
};

static bool keep_refusal(void *context, const struct source_refusal *refusal)
{
	struct classic_batch *b = context;

	if (b->refusals < SOURCE_BATCH_MAX)
		b->refusal[b->refusals++] = *refusal;
	return true;
}

int classic_batch_set(struct classic *c, unsigned size)
{
	struct classic_batch *b = c->batching;
	int err;

	c->batch = size;
	if (size <= 1 && b != NULL)
		return ipq_queue_flush(b->queue); /* packets that were received before are still delivered */
	if (size <= 1 || b != NULL)
		return 0;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	err = queue_create(&b->queue, c->source, SOURCE_SLOT_SIZE, 0, 0);
	if (err < 0) {
		free(b);
		return err;
	}
	queue_on_refused(b->queue, keep_refusal, b);
	if (c->configured)
		queue_expect_unknown_pending(b->queue);
	c->batching = b;
	return 0;
}

void classic_batch_free(struct classic *c)
{
	if (c->batching == NULL)
		return;
	ipq_queue_close(c->batching->queue);
	free(c->batching);
	c->batching = NULL;
}

/* Returns a message of the last batch; 0: no message is left. */
static ssize_t next_message(struct classic *c, unsigned char *buf, size_t len)
{
	struct classic_batch *b = c->batching;
	struct source_refusal r;

	if (b->refusals > 0) {
		r = b->refusal[0];
		memmove(b->refusal, b->refusal + 1, --b->refusals * sizeof(r));
		return classic_deliver_refusal(c, &r, buf, len);
	}
	while (b->next < b->count) {
		const struct ipq_packet *p = &b->packet[b->next++];

		if (p->family == c->family)
			return classic_deliver(c, p, NULL, buf, len);
		atomic_fetch_add(&c->wrong_family, 1);
		ipq_drop(b->queue, p);
	}
	return 0;
}

/* Receives the next batch. READ_NOTHING: packets or refusals were received. */
__cancelled_frame static struct read_result receive(struct classic *c, int64_t deadline)
{
	struct classic_batch *b = c->batching;
	unsigned max = c->batch > SOURCE_BATCH_MAX ? SOURCE_BATCH_MAX : c->batch > 1 ? c->batch : 1;
	struct read_result wait;
	int n;

	b->next = b->count = 0;
	for (;;) {
		n = ipq_queue_recv(b->queue, b->packet, max, deadline == READ_FOREVER ? IPQ_FOREVER : 0);
		if (n != 0 || b->refusals > 0)
			break;
		if (deadline == READ_FOREVER)
			continue;
		wait = classic_wait(c, deadline);
		if (wait.event != READ_NOTHING)
			return wait;
	}
	if (n < 0)
		return classic_read_failed(IPQ_ERR_RECV, -n);
	b->count = n;
	return (struct read_result){ READ_NOTHING, 0 };
}

__cancelled_frame struct read_result classic_batch_read(struct classic *c, unsigned char *buf, size_t len,
							int64_t deadline)
{
	struct read_result r = { READ_NOTHING, 0 };
	int saved = errno;
	ssize_t n;

	while ((n = next_message(c, buf, len)) == 0) {
		r = receive(c, deadline);
		if (r.event != READ_NOTHING)
			return r;
	}
	if (n > 0)
		errno = saved; /* restore errno, which a receive without a result has set */
	return classic_read_done(n);
}

int classic_batch_verdict(struct classic *c, const struct source_verdict *v)
{
	const struct ipq_packet packet = { .id = v->id };
	struct ipq_verdict verdict = {
		.size = sizeof(verdict),
		.present = v->present,
		.code = v->code & 0xffff,
		.queue = (uint16_t)(v->code >> 16),
		.payload = v->payload,
		.payload_len = v->payload_len,
	};
	int saved = errno, err = ipq_decide(c->batching->queue, &packet, &verdict);

	/*
	 * The kernel decides on verdicts for ids that the queue does not have: packets that another process or a
	 * read before batching has received, and invalid ids.
	 */
	if (err == -ENOENT) {
		err = ipq_queue_flush(c->batching->queue);
		if (err >= 0)
			err = source_send(c->source, v, 1);
	}
	if (err >= 0)
		errno = saved;
	return err;
}
