/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This library's new calls, in batches of 64; and the same with the latency option. */
#include <ipq.h>
#include <stdlib.h>
#include "bench.h"

struct holder {
	struct ipq_packet **kept;
	uint32_t *order;
	unsigned n;
};

static int decide_held(struct ipq_queue *q, const struct job *job, struct tally *tally, struct holder *held)
{
	int err = 0;

	for (unsigned i = 0; i < held->n && err >= 0; i++) {
		struct ipq_packet *packet = held->kept[held->order[i]];
		unsigned verdict = job_verdict(job, packet->id, 0);

		err = verdict ? ipq_accept(q, packet) : ipq_drop(q, packet);
		tally_verdict(tally, verdict);
		ipq_packet_free(packet);
	}
	held->n = 0;
	return err;
}

static int packet_decide(struct ipq_queue *q, const struct job *job, struct tally *tally, struct holder *held,
			 const struct ipq_packet *packet)
{
	unsigned verdict;
	int err;

	if (held->kept != NULL) {
		held->kept[held->n] = ipq_packet_keep(packet);
		if (held->kept[held->n++] == NULL)
			return -1;
		return held->n == job->hold ? decide_held(q, job, tally, held) : 0;
	}
	verdict = job_verdict(job, packet->id, packet->present & IPQ_HAS_MARK ? packet->mark : 0);
	if (job->verdict == SEND_BACK)
		err = ipq_replace(q, packet, packet->payload, packet->payload_len);
	else
		err = verdict ? ipq_accept(q, packet) : ipq_drop(q, packet);
	tally_verdict(tally, verdict);
	return err;
}

static int loop(struct ipq_queue *q, const struct job *job, struct tally *tally)
{
	struct ipq_packet packet[BATCH];
	struct holder held = { .kept = NULL };
	int n;

	if (job->hold > 1) {
		held.kept = calloc(job->hold, sizeof(struct ipq_packet *));
		held.order = order_make(job->order, job->hold);
		if (held.kept == NULL || held.order == NULL)
			return -1;
	}
	atomic_store(&tally->ready, 1);
	while ((n = ipq_queue_recv(q, packet, BATCH, IPQ_FOREVER)) >= 0) {
		tally_add(&tally->received, (uint64_t)n);
		for (int i = 0; i < n; i++)
			if (packet_decide(q, job, tally, &held, &packet[i]) < 0)
				return -1;
	}
	return n;
}

static int consume(const struct job *job, unsigned queue, struct tally *tally, unsigned spin_usec)
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
	loop(q, job, tally);
	fprintf(stderr, "ipq: %s\n", ipq_queue_error(q));
	return -1;
}

int consume_ipq(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume(job, queue, tally, 0);
}

int consume_ipq_spin(const struct job *job, unsigned queue, struct tally *tally)
{
	return consume(job, queue, tally, 50);
}
