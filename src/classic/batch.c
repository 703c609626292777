/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation: batching for programs that only block in ipq_read, asked for by IPQ_BATCH or
 * IPQ_CTL_BATCH. Packets are received many at a time and handed out one by one; verdicts leave together around
 * the next receive (moderation.c). What strict mode promises of h->fd does not hold then: packets and verdicts
 * may be here while the descriptor says nothing.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "classic/classic.h"
#include "core/core.h"
#include "util/clock.h"

struct classic_batch {
	struct ipq_queue *queue;
	struct ipq_packet packet[SOURCE_BATCH_MAX];
	int next, count;
	struct source_refusal refusal[SOURCE_BATCH_MAX];
	unsigned refusals;
};

static void keep_refusal(void *context, const struct source_refusal *refusal)
{
	struct classic_batch *b = context;

	if (b->refusals < SOURCE_BATCH_MAX)
		b->refusal[b->refusals++] = *refusal;
}

int classic_batch_set(struct classic *c, unsigned size)
{
	struct classic_batch *b = c->batching;
	int err;

	c->batch = size;
	if (size <= 1 && b != NULL)
		return ipq_queue_flush(b->queue); /* packets that are here are still handed out */
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

/* What is here already: a message, or 0. */
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

/* Receives, waiting until end, where timeout says so. 1, 0 (timed out), -1 (the error is set). */
static int receive(struct classic *c, int timeout, int64_t end)
{
	struct classic_batch *b = c->batching;
	struct pollfd wait = { .fd = c->public.fd, .events = POLLIN };
	unsigned max = c->batch > SOURCE_BATCH_MAX ? SOURCE_BATCH_MAX : c->batch > 1 ? c->batch : 1;
	int64_t left = 0;
	struct timespec t;
	int n, ready;

	b->next = b->count = 0;
	for (;;) {
		n = ipq_queue_recv(b->queue, b->packet, max, timeout == 0 ? IPQ_FOREVER : 0);
		if (timeout > 0)
			left = end - now_us();
		if (n != 0 || b->refusals > 0 || timeout <= 0 || left < 0)
			break;
		t = (struct timespec){ .tv_sec = (time_t)(left / 1000000),
				       .tv_nsec = (long)(left % 1000000 * 1000) };
		ready = ppoll(&wait, 1, &t, NULL);
		if (ready < 0 && errno == EINTR)
			return 0; /* errno says so */
		if (ready < 0)
			return (int)classic_fail(IPQ_ERR_RECV, errno);
	}
	if (n < 0)
		return (int)classic_fail(IPQ_ERR_RECV, -n);
	b->count = n;
	if (n > 0 || b->refusals > 0)
		return 1;
	return (int)classic_timed_out();
}

ssize_t classic_batch_read(struct classic *c, unsigned char *buf, size_t len, int timeout)
{
	int64_t end = 0; /* of all receives together: packets of another family do not begin it anew */
	int saved = errno, got;
	ssize_t n;

	while ((n = next_message(c, buf, len)) == 0) {
		if (timeout > 0 && end == 0)
			end = now_us() + timeout;
		got = receive(c, timeout, end);
		if (got <= 0)
			return got;
	}
	if (n > 0)
		errno = saved; /* a queue found empty is no news */
	return n;
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

	/* Read by another process, read before batching was switched on, or no packet at all: the kernel knows. */
	if (err == -ENOENT) {
		err = ipq_queue_flush(c->batching->queue);
		if (err >= 0)
			err = source_send(c->source, v, 1);
	}
	if (err >= 0)
		errno = saved;
	return err;
}
