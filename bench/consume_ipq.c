/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Consumers that use this library's new calls: in batches of 64, with the latency option, and with complete packets
 * held back.
 */
#include <ipq.h>
#include <stdlib.h>
#include "bench.h"

/* Packets that are held back completely. */
struct keeper {
	struct ipq_packet **kept;
	uint32_t *order;
	unsigned n;
};

static int give_verdict(struct ipq_queue *q, struct tally *tally, const struct ipq_packet *packet,
			unsigned verdict)
{
	tally_verdict(tally, verdict);
	return verdict ? ipq_accept(q, packet) : ipq_drop(q, packet);
}

/* Like the other consumers, this one stores only the id of a held packet. */
static int decide_id(void *context, uint32_t id, unsigned verdict)
{
	const struct ipq_packet packet = { .id = id };

	return verdict ? ipq_accept(context, &packet) : ipq_drop(context, &packet);
}

static int keep(struct ipq_queue *q, const struct job *job, struct tally *tally, struct keeper *k,
		const struct ipq_packet *packet)
{
	int err = 0;

	k->kept[k->n] = ipq_packet_keep(packet);
	if (k->kept[k->n++] == NULL)
		return -1;
	if (k->n < job->hold)
		return 0;
	for (unsigned i = 0; i < k->n && err >= 0; i++) {
		struct ipq_packet *kept = k->kept[k->order[i]];

		err = give_verdict(q, tally, kept, job_verdict(job, kept->id, 0));
		ipq_packet_free(kept);
	}
	k->n = 0;
	return err;
}

static int decide_now(struct ipq_queue *q, const struct job *job, struct tally *tally,
		      const struct ipq_packet *packet)
{
	unsigned verdict = job_verdict(job, packet->id, packet->present & IPQ_HAS_MARK ? packet->mark : 0);

	if (job->verdict != SEND_BACK)
		return give_verdict(q, tally, packet, verdict);
	tally_verdict(tally, verdict);
	return ipq_replace(q, packet, packet->payload, packet->payload_len);
}

static int loop(struct ipq_queue *q, const struct job *job, struct tally *tally, bool whole)
{
	struct ipq_packet packet[BATCH];
	struct keeper k = { .kept = calloc(job->hold, sizeof(struct ipq_packet *)),
			    .order = order_make(job->order, job->hold) };
	struct hold hold;
	int n, err = 0;

	if (k.kept == NULL || k.order == NULL || hold_init(&hold, job, tally, decide_id, q) < 0)
		return -1;
	atomic_store(&tally->ready, 1);
	while ((n = ipq_queue_recv(q, packet, BATCH, IPQ_FOREVER)) >= 0) {
		if (job->hold <= 1 || whole)
			tally_add(&tally->received, (uint64_t)n);
		for (int i = 0; i < n && err >= 0; i++) {
			if (job->hold <= 1)
				err = decide_now(q, job, tally, &packet[i]);
			else if (whole)
				err = keep(q, job, tally, &k, &packet[i]);
			else
				err = hold_packet(&hold, packet[i].id, 0);
		}
		if (err < 0)
			return err;
	}
	return n;
}

static int consume(const struct job *job, unsigned queue, struct tally *tally, unsigned spin_usec, bool whole)
{
	char name[32], error[320] = "";
	struct ipq_options options = {
		.size = sizeof(options),
		.flags = (job->meta ? IPQ_O_META_ONLY : 0) | (job->split ? IPQ_O_SEGMENT : 0),
		.queue_length = job->queue_length,
		.receive_buffer = RECEIVE_BUFFER,
		.spin_usec = spin_usec,
		.error = error,
		.error_size = sizeof(error),
	};
	struct ipq_queue *q;

	snprintf(name, sizeof(name), "nfqueue:%u", queue);
	if (ipq_queue_open(&q, name, &options) < 0) {
		fprintf(stderr, "ipq: %s\n", error);
		return -1;
	}
	loop(q, job, tally, whole);
	fprintf(stderr, "ipq: %s\n", ipq_queue_error(q));
	return -1;
}

int consume_ipq(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume(job, queue, tally, 0, false);
}

int consume_ipq_spin(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume(job, queue, tally, 50, false);
}

int consume_ipq_keep(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume(job, queue, tally, 0, true);
}
