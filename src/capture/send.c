/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: carrying out verdicts. */
#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>
#include "capture/state.h"

static void refuse(struct pcap_source *p, const struct source_verdict *v, int error)
{
	p->summary.refused++;
	if (p->refusals == REFUSALS_MAX)
		return;
	p->refusal[p->refusals++] = (struct source_refusal){
		.error = error,
		.id = v->id,
		.code = v->code,
		.tag = v->tag,
		.payload_len = (uint32_t)v->payload_len,
	};
}

static void release(struct pcap_source *p, struct held *h)
{
	held_decided(&p->store, h);
	held_give_back(&p->store, h);
}

static int accept_packet(struct pcap_source *p, struct held *h, const struct source_verdict *v)
{
	int err = source_pcap_write(p, h, v);

	if (err < 0)
		return err;
	p->summary.accepted++;
	p->summary.replaced += (v->present & IPQ_SET_PAYLOAD) != 0;
	release(p, h);
	return 0;
}

/* Back to the end of what is delivered next, as the verdict changed it. */
static int repeat_packet(struct pcap_source *p, struct held *h, const struct source_verdict *v)
{
	uint32_t link_len = h->frame.link_len;

	if (v->present & IPQ_SET_PAYLOAD) {
		if (held_resize(&p->store, h, link_len + v->payload_len, link_len) < 0)
			return -ENOMEM;
		if (v->payload_len > 0)
			memcpy(h->data + link_len, v->payload, v->payload_len);
		h->frame.payload_len = h->frame.full_len = (uint32_t)v->payload_len;
		h->record.caplen = h->record.len = (uint32_t)(link_len + v->payload_len);
	}
	if (v->present & IPQ_SET_MARK) {
		h->marked = true;
		h->mark = v->mark;
	}
	p->summary.repeated++;
	held_decided(&p->store, h);
	held_list_append(&p->again, h);
	return 0;
}

/* 0, or -errno with the packet still waiting. */
static int decide_one(struct pcap_source *p, struct held *h, const struct source_verdict *v)
{
	bool too_long = (v->present & IPQ_SET_PAYLOAD) != 0 && v->payload_len > PAYLOAD_MAX;
	uint32_t code = too_long ? NF_DROP : v->code & NF_VERDICT_MASK;
	uint32_t kept =
		code == NF_REPEAT || code == NF_QUEUE ? IPQ_SET_PAYLOAD | IPQ_SET_MARK : IPQ_SET_PAYLOAD;
	int err = source_pcap_let_pass(p, h->id, false);

	if (err < 0 && code != NF_DROP)
		return err;
	if (v->present & ~kept)
		p->summary.ignored++;
	switch (code) {
	case NF_ACCEPT:
	case NF_STOP:
		return accept_packet(p, h, v);
	case NF_QUEUE:
	case NF_REPEAT:
		return repeat_packet(p, h, v);
	default: /* NF_DROP; NF_STOLEN, which leaves the queue and is never sent */
		p->summary.dropped++;
		release(p, h);
		return 0;
	}
}

static int decide_batch(struct pcap_source *p, const struct source_verdict *v)
{
	struct held *h, *next;
	int err;

	for (h = p->store.waiting.first; h != NULL && (int32_t)(h->id - v->id) <= 0; h = next) {
		next = h->next;
		err = decide_one(p, h, v);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Refusals are the reader's to hear of later; an error means that the verdict was not carried out. */
static int decide(struct pcap_source *p, const struct source_verdict *v)
{
	struct held *first = p->store.waiting.first;
	struct held *h = v->batch ? first : held_find(&p->store, v->id);
	int err = 0;

	if ((v->code & NF_VERDICT_MASK) > NF_MAX_VERDICT || (v->batch && (v->present & IPQ_SET_PAYLOAD)))
		refuse(p, v, EINVAL);
	else if (h == NULL || (v->batch && (int32_t)(h->id - v->id) > 0))
		refuse(p, v, ENOENT);
	else
		err = v->batch ? decide_batch(p, v) : decide_one(p, h, v);
	if (err == 0 && p->store.waiting_count == 0)
		err = source_pcap_let_pass(p, 0, true);
	return err;
}

/* No verdicts at all: what is written goes to the disk, which is the way to hear of a full one before close.
 */
int source_pcap_send(struct source *s, const struct source_verdict *verdict, unsigned n)
{
	struct pcap_source *p = pcap_of(s);
	int err = 0, flushed = 0;
	unsigned i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < n; i++) {
		err = decide(p, &verdict[i]);
		if (err < 0)
			break;
	}
	if (n == 0 || p->end != 0 || p->wait == WAIT_INPUT || p->wait == WAIT_TIME)
		flushed = source_pcap_flush(p); /* nothing will come soon that fills the buffer */
	if (p->refusals > 0 || p->again.first != NULL || (p->wait == WAIT_VERDICT && !source_pcap_full(p)))
		source_pcap_wait_for(p, WAIT_NOTHING, 0);
	pthread_mutex_unlock(&p->lock);
	if (err == 0 && flushed < 0)
		return flushed; /* carried out, but for nothing */
	return i > 0 || err == 0 ? (int)i : err;
}
