/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This library's classic calls, strict and with batching. */
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdlib.h>
#include "bench.h"

static int decide(void *context, uint32_t id, unsigned verdict)
{
	return ipq_set_verdict(context, id, verdict, 0, NULL) > 0 ? 0 : -1;
}

static int packet_decide(struct ipq_handle *h, struct hold *hold, ipq_packet_msg_t *m)
{
	int err;

	if (hold->job->verdict != SEND_BACK)
		return hold_packet(hold, (uint32_t)m->packet_id, (uint32_t)m->mark);
	tally_add(&hold->tally->received, 1);
	err = ipq_set_verdict(h, m->packet_id, NF_ACCEPT, m->data_len, m->payload);
	tally_add(&hold->tally->accepted, 1);
	return err > 0 ? 0 : -1;
}

static int consume(const struct job *job, struct tally *tally, unsigned batch)
{
	static unsigned char buf[65536 + 256];
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	struct hold hold;

	if (h == NULL || hold_init(&hold, job, tally, decide, h) < 0)
		goto fail;
	if (ipq_ctl(h, IPQ_CTL_QUEUE_LENGTH, (unsigned)job->queue_length) < 0 ||
	    ipq_ctl(h, IPQ_CTL_RECEIVE_BUFFER, (unsigned)RECEIVE_BUFFER) < 0)
		goto fail;
	if (batch > 1 && ipq_ctl(h, IPQ_CTL_BATCH, batch) < 0) {
		ipq_perror("classic-batch");
		return errno == ENOTSUP ? UNAVAILABLE : -1;
	}
	if (ipq_set_mode(h, job->meta ? IPQ_COPY_META : IPQ_COPY_PACKET, 0) < 0)
		goto fail;
	atomic_store(&tally->ready, 1);
	while (ipq_read(h, buf, sizeof(buf), 0) > 0)
		if (ipq_message_type(buf) == IPQM_PACKET && packet_decide(h, &hold, ipq_get_packet(buf)) < 0)
			break;
fail:
	ipq_perror(batch > 1 ? "classic-batch" : "classic");
	return -1;
}

int consume_classic(const struct job *job, unsigned queue, struct tally *tally)
{
	(void)queue; /* the queue number is always 0: the classic calls cannot select another queue */
	return consume(job, tally, 1);
}

int consume_classic_batch(const struct job *job, unsigned queue, struct tally *tally)
{
	(void)queue;
	return consume(job, tally, BATCH);
}
