/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capture files as a source: carrying out verdicts. */
#include <errno.h>
#include <stdlib.h>
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

/*
 * Moves the bytes after a frame. In pcapng the frame is padded to 4 bytes, then come the options and the length of
 * the block.
 */
static void move_tail(struct held *h, size_t caplen)
{
	struct capture_record *r = &h->record;
	size_t before = r->tail > 0 ? -(size_t)r->caplen & 3 : 0, after = r->tail > 0 ? -caplen & 3 : 0;
	uint8_t *frame = held_frame(h);

	memmove(frame + caplen + after, frame + r->caplen + before, r->tail - before);
	memset(frame + caplen, 0, after);
	r->tail = (uint32_t)(r->tail - before + after);
}

/* Puts the verdict's payload into the held record. */
static int replace_payload(struct pcap_source *p, struct held *h, const struct source_verdict *v)
{
	size_t size = capture_record_size(&h->record), caplen = 0, at = h->record.head;
	struct capture_piece piece[3];
	int err = source_pcap_change_frame(h, v, piece);

	if (err < 0)
		return err;
	for (int i = 0; i < 3; i++)
		caplen += piece[i].len;
	err = held_resize(&p->store, h, h->record.head + caplen + 3 + h->record.tail, size);
	if (err == 0) {
		move_tail(h, caplen);
		for (int i = 0; i < 3; at += piece[i++].len)
			if (piece[i].len > 0)
				memcpy(h->data + at, piece[i].bytes, piece[i].len);
		if (!frame_is_cut(&h->frame, v->payload, v->payload_len)) {
			h->frame.payload_len = h->frame.full_len = (uint32_t)v->payload_len;
			h->frame.limit = h->frame.limit != 0 ? (uint32_t)v->payload_len : 0;
			h->record.caplen = h->record.len = (uint32_t)caplen;
		}
		h->changed = true;
	}
	free((void *)(uintptr_t)piece[0].bytes);
	return err;
}

/* Queues the packet for delivery under a new id, with the changes of the verdict. */
static int repeat_packet(struct pcap_source *p, struct held *h, const struct source_verdict *v)
{
	if ((v->present & IPQ_SET_PAYLOAD) && replace_payload(p, h, v) < 0)
		return -ENOMEM;
	if (v->present & IPQ_SET_MARK) {
		h->marked = true;
		h->mark = v->mark;
	}
	p->summary.repeated++;
	held_decided(&p->store, h);
	held_list_append(&p->again, h);
	return 0;
}

/* Carries out a verdict. 0, or -errno; then the packet still waits. */
static int decide_one(struct pcap_source *p, struct held *h, const struct source_verdict *v)
{
	bool too_long = (v->present & IPQ_SET_PAYLOAD) != 0 && v->payload_len > SOURCE_FILE_PACKET_MAX;
	uint32_t code = too_long ? NF_DROP : v->code & NF_VERDICT_MASK;
	uint32_t kept = IPQ_SET_PAYLOAD |
			(code == NF_REPEAT || code == NF_QUEUE ? IPQ_SET_MARK : SOURCE_SET_TIMESTAMP);
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
	default: /* NF_DROP, or NF_STOLEN, after which the packet is never sent */
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

/*
 * Carries out a verdict. A later recv reports a refusal. An error means that the verdict was not carried out.
 */
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

/* A call without verdicts writes the buffer to the file, so that a full disk is reported before close. */
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
		flushed = source_pcap_flush(p); /* no packet that fills the buffer will follow soon */
	if (p->refusals > 0 || p->again.first != NULL || (p->wait == WAIT_VERDICT && !source_pcap_full(p)))
		source_pcap_wait_for(p, WAIT_NOTHING, 0);
	pthread_mutex_unlock(&p->lock);
	if (err == 0 && flushed < 0)
		return flushed; /* the verdicts were carried out, but the packets are not in the file */
	return i > 0 || err == 0 ? (int)i : err;
}

int source_pcap_copy(struct source *s, const struct source_verdict *v)
{
	struct pcap_source *p = pcap_of(s);
	struct held *h;
	int err;

	pthread_mutex_lock(&p->lock);
	h = held_find(&p->store, v->id);
	err = h != NULL ? source_pcap_let_pass(p, h->id, false) : -ENOENT;
	if (err == 0)
		err = source_pcap_write(p, h, v);
	pthread_mutex_unlock(&p->lock);
	return err;
}
